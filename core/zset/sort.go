package zset

import (
	"cmp"
	"math/bits"
	"slices"

	"actordb/core/row"
)

// entry is a row to be sorted.
type entry struct {
	hash uint64
	i    int32
}

// A Sorter sorts and consolidates batches. It keeps scratch memory.
type Sorter struct {
	hash    []uint64
	entries []entry
	spread  []entry
	counts  []int32
	sel     []int32
	w       []int64
	columns int   // of whole
	whole   order // by all columns
}

// sort leaves in s.entries the rows of b in the order o.
func (s *Sorter) sort(b *row.Batch, o *order) {
	n := b.N
	s.hash = o.hashes(b, s.hash[:0])
	s.entries = slices.Grow(s.entries[:0], n)[:n]
	for i, h := range s.hash {
		s.entries[i] = entry{h, int32(i)}
	}
	if n < 2 {
		return
	}
	least, most := s.hash[0], s.hash[0]
	for _, h := range s.hash {
		least, most = min(least, h), max(most, h)
	}
	// Hashes are uniform: spread by the upper bits in which they differ they are
	// nearly sorted.
	width := uint(bits.Len(uint(n)))
	shift := uint(max(0, bits.Len64(most-least)-int(width)))
	s.counts = slices.Grow(s.counts[:0], 1<<width+1)[:1<<width+1]
	clear(s.counts)
	for _, h := range s.hash {
		s.counts[(h-least)>>shift+1]++
	}
	for i := 1; i < len(s.counts); i++ {
		s.counts[i] += s.counts[i-1]
	}
	s.spread = slices.Grow(s.spread[:0], n)[:n]
	for _, e := range s.entries {
		at := &s.counts[(e.hash-least)>>shift]
		s.spread[*at] = e
		*at++
	}
	s.entries, s.spread = s.spread, s.entries
	from := int32(0) // counts are now the ends of the parts
	for _, to := range s.counts[:1<<width] {
		if to-from > 1 {
			s.sortPart(s.entries[from:to], b, o)
		}
		from = to
	}
}

func (s *Sorter) sortPart(part []entry, b *row.Batch, o *order) {
	if len(part) > 8 {
		slices.SortFunc(part, func(x, y entry) int {
			if x.hash != y.hash {
				return cmp.Compare(x.hash, y.hash)
			}
			return o.compare(b, int(x.i), b, int(y.i))
		})
		return
	}
	for k := 1; k < len(part); k++ {
		for j := k; j > 0; j-- {
			x, y := part[j-1], part[j]
			if x.hash < y.hash || x.hash == y.hash && o.compare(b, int(x.i), b, int(y.i)) <= 0 {
				break
			}
			part[j-1], part[j] = y, x
		}
	}
}

// merge walks the sorted entries: s.sel gets the rows whose weights do not
// cancel, s.w their weights, s.hash their hashes.
func (s *Sorter) merge(b *Batch) error {
	s.sel, s.w, s.hash = s.sel[:0], s.w[:0], s.hash[:0]
	for k := 0; k < len(s.entries); {
		e := s.entries[k]
		w := b.W[e.i]
		for k++; k < len(s.entries); k++ {
			f := s.entries[k]
			if f.hash != e.hash || !row.SameRow(&b.Batch, int(e.i), &b.Batch, int(f.i)) {
				break
			}
			var err error
			if w, err = Sum(w, b.W[f.i]); err != nil {
				return err
			}
		}
		if w != 0 {
			s.sel = append(s.sel, e.i)
			s.w = append(s.w, w)
			s.hash = append(s.hash, e.hash)
		}
	}
	return nil
}

// Consolidate appends to out the rows of b, each once, with the sum of its
// weights unless that is 0, in an order that depends on the rows alone.
func (s *Sorter) Consolidate(b, out *Batch) error {
	if s.columns != len(b.Cols) || s.whole.full == nil {
		all := make([]int, len(b.Cols))
		for i := range all {
			all[i] = i
		}
		s.columns, s.whole = len(b.Cols), newOrder(Order{Key: all}, len(b.Cols))
	}
	s.sort(&b.Batch, &s.whole)
	if err := s.merge(b); err != nil {
		return err
	}
	out.AppendGather(&b.Batch, s.sel)
	out.W = append(out.W, s.w...)
	return nil
}

// SortBy appends to out the rows of b by sorts, those that sorts leave equal
// by all columns.
func (s *Sorter) SortBy(b, out *Batch, sorts []row.Sort) {
	o := newOrder(Order{Sorts: sorts}, len(b.Cols))
	s.sort(&b.Batch, &o)
	s.sel = s.sel[:0]
	for _, e := range s.entries {
		s.sel = append(s.sel, e.i)
	}
	out.AddGather(b, s.sel)
}
