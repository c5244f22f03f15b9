package zset

import (
	"slices"

	"actordb/core/row"
)

// A merger makes one run of two, in steps.
type merger struct {
	a, b Cursor
	out  *Run
	blk  *Block
}

// A picking is memory for one stretch of a merge: rows that go into a block, i
// of a's block or ^i of b's, their weights and hashes.
type picking struct {
	sel [blockRows]int32
	w   [blockRows]int64
	h   [blockRows]uint64
}

func newMerger(owner *Arrangement, a, b *Run) merger {
	return merger{a: a.Cursor(), b: b.Cursor(), out: owner.newRun(), blk: owner.newBlock(a.n + b.n)}
}

// work merges until it has taken fuel rows or is done.
func (m *merger) work(fuel int) (done bool, err error) {
	for fuel > 0 {
		if !m.a.Valid() || !m.b.Valid() {
			break
		}
		taken, err := m.stretch(min(fuel, m.out.owner.lengths.block-m.blk.N))
		if err != nil {
			return false, err
		}
		fuel -= taken
		if m.blk.N == m.out.owner.lengths.block {
			m.finishBlock()
		}
	}
	rest := &m.a
	if !rest.Valid() {
		rest = &m.b
	}
	if m.a.Valid() && m.b.Valid() {
		return false, nil
	}
	for fuel > 0 && rest.Valid() {
		n := min(rest.B.N-rest.I, m.out.owner.lengths.block-m.blk.N)
		m.blk.AddRange(&rest.B.Batch, rest.I, rest.I+n)
		m.blk.Hash = append(m.blk.Hash, rest.B.Hash[rest.I:rest.I+n]...)
		if rest.I += n; rest.I == rest.B.N {
			rest.open(rest.k + 1)
		}
		fuel -= n
		if m.blk.N == m.out.owner.lengths.block {
			m.finishBlock()
		}
	}
	if m.a.Err != nil || m.b.Err != nil {
		if m.a.Err != nil {
			return false, m.a.Err
		}
		return false, m.b.Err
	}
	if rest.Valid() {
		return false, nil
	}
	if m.blk.N > 0 {
		m.finishBlock()
	}
	return true, nil
}

func (m *merger) finishBlock() {
	m.out.push(m.blk)
	m.blk = m.out.owner.newBlock(blockRows)
}

// stretch merges rows of the two present blocks, at most most, and copies them,
// a column at a time.
func (m *merger) stretch(most int) (taken int, err error) {
	a, b := m.a.B, m.b.B
	i, j := m.a.I, m.b.I
	ah, bh := a.Hash, b.Hash
	o := &m.out.owner.order
	p := &m.out.owner.picking
	sel, ws, hs := p.sel[:most], p.w[:most], p.h[:most]
	n := 0
	for i < len(ah) && j < len(bh) && n < most {
		x, y := ah[i], bh[j]
		taken++
		takeA := x < y
		if x == y {
			c := o.compare(&a.Batch.Batch, i, &b.Batch.Batch, j)
			if takeA = c < 0; c == 0 {
				w, err := Sum(a.W[i], b.W[j])
				if err != nil {
					return 0, err
				}
				sel[n], ws[n], hs[n] = int32(i), w, x
				if w != 0 {
					n++
				}
				i, j = i+1, j+1
				continue
			}
		}
		if takeA {
			sel[n], ws[n], hs[n] = int32(i), a.W[i], x
			i++
		} else {
			sel[n], ws[n], hs[n] = ^int32(j), b.W[j], y
			j++
		}
		n++
	}
	for k, c := range m.blk.Cols {
		appendPicked(c, a.Cols[k], b.Cols[k], sel[:n])
	}
	m.blk.N += n
	m.blk.W = append(m.blk.W, ws[:n]...)
	m.blk.Hash = append(m.blk.Hash, hs[:n]...)
	m.a.I, m.b.I = i, j
	if i == len(ah) {
		m.a.open(m.a.k + 1)
	}
	if j == len(bh) {
		m.b.open(m.b.k + 1)
	}
	return max(taken, 1), nil
}

// appendPicked appends row s of a, or row ^s of b if s is negative. Which one
// is as random as hashes are: the loops pick without a branch.
func appendPicked(out, a, b *row.Vector, sel []int32) {
	if len(a.Nulls) > 0 || len(b.Nulls) > 0 {
		for _, s := range sel {
			if s >= 0 {
				out.AppendRow(a, int(s))
			} else {
				out.AppendRow(b, int(^s))
			}
		}
		return
	}
	if out.Type.Fixed() {
		at := len(out.I)
		out.I = slices.Grow(out.I, len(sel))[:at+len(sel)]
		dst := out.I[at:]
		from := [2][]int64{a.I, b.I}
		for k, s := range sel {
			sign := s >> 31
			dst[k] = from[sign&1][s^sign]
		}
		return
	}
	data, off := out.Data, slices.Grow(out.Off, len(sel))
	offs := [2][]uint32{a.Off, b.Off}
	datas := [2][]byte{a.Data, b.Data}
	for _, s := range sel {
		sign := s >> 31
		of, i := offs[sign&1], s^sign
		data = append(data, datas[sign&1][of[i]:of[i+1]]...)
		off = append(off, uint32(len(data)))
	}
	out.Data, out.Off = data, off
}
