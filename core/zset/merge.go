package zset

import "actordb/core/row"

// A merger makes one run of two, in steps.
type merger struct {
	a, b Cursor
	out  *Run
	blk  *Block

	sel []int32 // rows for blk: i of a's block, ^i of b's
	w   []int64
	h   []uint64
}

func newMerger(owner *Arrangement, a, b *Run) *merger {
	return &merger{a: a.Cursor(), b: b.Cursor(), out: owner.newRun(), blk: owner.newBlock()}
}

// work merges until it has taken fuel rows or is done.
func (m *merger) work(fuel int) (done bool, err error) {
	for fuel > 0 {
		if !m.a.Valid() || !m.b.Valid() {
			break
		}
		taken, err := m.stretch(min(fuel, blockRows-m.blk.N))
		if err != nil {
			return false, err
		}
		fuel -= taken
		if m.blk.N == blockRows {
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
		n := min(rest.B.N-rest.I, blockRows-m.blk.N)
		m.blk.AddRange(&rest.B.Batch, rest.I, rest.I+n)
		m.blk.Hash = append(m.blk.Hash, rest.B.Hash[rest.I:rest.I+n]...)
		if rest.I += n; rest.I == rest.B.N {
			rest.open(rest.k + 1)
		}
		fuel -= n
		if m.blk.N == blockRows {
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
	m.blk = m.out.owner.newBlock()
}

// stretch merges rows of the two present blocks, at most most, and copies what
// is left of them, a column at a time.
func (m *merger) stretch(most int) (taken int, err error) {
	m.sel, m.w, m.h = m.sel[:0], m.w[:0], m.h[:0]
	a, b := m.a.B, m.b.B
	i, j := m.a.I, m.b.I
	ah, bh := a.Hash, b.Hash
	o := &m.out.owner.order
	for i < len(ah) && j < len(bh) && len(m.sel) < most {
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
				if w != 0 {
					m.sel, m.w, m.h = append(m.sel, int32(i)), append(m.w, w), append(m.h, x)
				}
				i, j = i+1, j+1
				continue
			}
		}
		if takeA {
			m.sel, m.w, m.h = append(m.sel, int32(i)), append(m.w, a.W[i]), append(m.h, x)
			i++
		} else {
			m.sel, m.w, m.h = append(m.sel, ^int32(j)), append(m.w, b.W[j]), append(m.h, y)
			j++
		}
	}
	for k, c := range m.blk.Cols {
		appendPicked(c, a.Cols[k], b.Cols[k], m.sel)
	}
	m.blk.N += len(m.sel)
	m.blk.W = append(m.blk.W, m.w...)
	m.blk.Hash = append(m.blk.Hash, m.h...)
	m.a.I, m.b.I = i, j
	if i == len(ah) {
		m.a.open(m.a.k + 1)
	}
	if j == len(bh) {
		m.b.open(m.b.k + 1)
	}
	return max(taken, 1), nil
}

// appendPicked appends row s of a, or row ^s of b if s is negative.
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
		dst, x, y := out.I, a.I, b.I
		for _, s := range sel {
			v := int64(0)
			if s >= 0 {
				v = x[s]
			} else {
				v = y[^s]
			}
			dst = append(dst, v)
		}
		out.I = dst
		return
	}
	for _, s := range sel {
		if s >= 0 {
			out.AppendBytes(a.Bytes(int(s)))
		} else {
			out.AppendBytes(b.Bytes(int(^s)))
		}
	}
}
