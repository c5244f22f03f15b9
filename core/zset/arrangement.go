package zset

import (
	"errors"
	"slices"

	"actordb/core/row"
)

// An Arrangement is a Z-set whose rows can be found by key. It has a state and
// the delta of the present step, which operators read apart.
type Arrangement struct {
	types []row.Type
	order order

	runs    []*Run // the state, longer ones first
	delta   []*Run // of this step; one after Seal
	merging *merger
	mergeAt int // merging joins the runs there and after it
	sealing *merger
	loose   bool // see Loosen
	sealAt  int

	sorter  Sorter
	picking picking
	now     merger   // the one of mergeNow
	free    []*Block // memory to be used again
	runless []*Run
	mem     int    // bytes of blocks in memory
	blocks  int    // how many these are
	nextID  uint64 // of runs and blocks

	lengths lengths
	storage storage
}

// NewArrangement returns an empty arrangement of rows of these types.
func NewArrangement(types []row.Type, o Order) *Arrangement {
	return &Arrangement{types: types, order: newOrder(o, len(types)), nextID: 1, lengths: lengths{blockRows, mergeNowRows}}
}

// lengths are those of blocks, and of merges that are done at once.
type lengths struct{ block, now int }

// Lengths makes an arrangement that is still empty work with other lengths than
// those of limits.go, which are the most that there can be. Tests take small
// ones, so that few rows meet every limit.
func (a *Arrangement) Lengths(block, now int) {
	a.lengths = lengths{min(max(block, 1), blockRows), min(max(now, 1), mergeNowRows)}
}

// Types are the columns' types.
func (a *Arrangement) Types() []row.Type { return a.types }

// Key is the columns by which rows are found.
func (a *Arrangement) Key() []int { return a.order.Key }

// MemBytes is the memory of its blocks.
func (a *Arrangement) MemBytes() int { return a.mem }

// Len is the number of rows in runs. A row that stands in two counts twice.
func (a *Arrangement) Len() (n int) {
	for _, r := range a.runs {
		n += r.n
	}
	for _, r := range a.delta {
		n += r.n
	}
	return n
}

// State is the runs as of the end of the step before.
func (a *Arrangement) State() []*Run { return a.runs }

// Delta is what this step changes: no run or one, once it is sealed.
func (a *Arrangement) Delta() []*Run { return a.delta }

func (a *Arrangement) newRun() *Run {
	a.nextID++
	if n := len(a.runless); n > 0 {
		r := a.runless[n-1]
		a.runless = a.runless[:n-1]
		*r = Run{owner: a, id: a.nextID, blocks: r.blocks[:0], first: r.first[:0]}
		return r
	}
	return &Run{owner: a, id: a.nextID}
}

// newBlock returns an empty block for about n rows.
func (a *Arrangement) newBlock(n int) *Block {
	if n := len(a.free); n > 0 {
		b := a.free[n-1]
		a.free = a.free[:n-1]
		b.Clear()
		b.Hash = b.Hash[:0]
		return b
	}
	b := &Block{}
	b.Reset(a.types)
	n = min(n, blockRows)
	b.Hash, b.W = make([]uint64, 0, n), make([]int64, 0, n)
	for _, c := range b.Cols {
		if c.Type.Fixed() {
			c.I = make([]int64, 0, n)
		} else {
			c.Off = append(make([]uint32, 0, n+1), 0)
		}
	}
	return b
}

// freeBlocksMax bounds the memory kept for blocks to come, beside an eighth of
// what is in use.
const freeBlocksMax = 16

func (a *Arrangement) recycle(b *Block) {
	if len(a.free) < freeBlocksMax+a.blocks/8 {
		a.free = append(a.free, b)
	}
}

// drop forgets a run, whose rows stand in another one now.
func (a *Arrangement) drop(r *Run) {
	for i := range r.blocks {
		ref := &r.blocks[i]
		if ref.mem != nil {
			a.mem -= ref.bytes
			a.blocks--
			if !ref.settle {
				a.recycle(ref.mem)
			}
		}
		if ref.id != 0 {
			a.storage.dead = append(a.storage.dead, ref.id)
			a.storage.forget(ref.id)
		}
	}
	clear(r.blocks)
	if len(a.runless) < freeBlocksMax && cap(r.blocks) <= freeBlocksMax {
		a.runless = append(a.runless, r)
	}
}

// Add puts a batch into the delta.
func (a *Arrangement) Add(b *Batch) error {
	if b.N == 0 {
		return nil
	}
	a.sorter.sort(&b.Batch, &a.order)
	if err := a.sorter.merge(b); err != nil {
		return err
	}
	return a.addSorted(b)
}

// A First remembers what AddFirst needs no more of.
type First struct {
	Rows  int64 // how many rows are wanted
	cut   uint64
	bound bool // rows whose prefix is above cut are not among the first
	pass  Batch
	sel   []int32
	hash  []uint64
}

// AddFirst puts into the delta what of a batch may be among the first rows of
// an order without key. It is for a relation that only grows: it refuses
// retractions.
func (a *Arrangement) AddFirst(b *Batch, f *First) error {
	for _, w := range b.W {
		if w < 0 {
			return errors.New("zset: a retraction where only the first rows are kept")
		}
	}
	if f.bound {
		f.hash, f.sel = a.order.hashes(&b.Batch, f.hash[:0]), f.sel[:0]
		for i, h := range f.hash {
			if h <= f.cut {
				f.sel = append(f.sel, int32(i))
			}
		}
		if len(f.sel) < b.N {
			f.pass.Reset(a.types)
			f.pass.AddGather(b, f.sel)
			b = &f.pass
		}
	}
	s := &a.sorter
	if b.N == 0 {
		return nil
	}
	s.sort(&b.Batch, &a.order)
	if err := s.merge(b); err != nil {
		return err
	}
	n := int64(0)
	for i, w := range s.w {
		if n += min(w, f.Rows); n >= f.Rows {
			s.sel, s.w = s.sel[:i+1], s.w[:i+1]
			if h := s.hash[i]; !f.bound || h < f.cut {
				f.bound, f.cut = true, h
			}
			break
		}
	}
	return a.addSorted(b)
}

// Loosen leaves the batches of a delta apart until Seal: for one that is read a
// run at a time, and once.
func (a *Arrangement) Loosen() { a.loose = true }

// addSorted makes a run of the rows that the sorter has merged.
func (a *Arrangement) addSorted(b *Batch) error {
	s := &a.sorter
	if len(s.sel) == 0 {
		return nil
	}
	r := a.newRun()
	for lo := 0; lo < len(s.sel); lo += a.lengths.block {
		hi := min(lo+a.lengths.block, len(s.sel))
		blk := a.newBlock(hi - lo)
		blk.AppendGather(&b.Batch, s.sel[lo:hi])
		blk.W = append(blk.W, s.w[lo:hi]...)
		blk.Hash = append(blk.Hash, s.hash[lo:hi]...)
		r.push(blk)
	}
	a.delta = append(a.delta, r)
	for n := len(a.delta); n > 1 && !a.loose && a.sealing == nil && a.delta[n-2].n < mergeFactor*a.delta[n-1].n && a.delta[n-2].n < a.lengths.now; n-- {
		if err := a.mergeNow(&a.delta, n-2); err != nil {
			return err
		}
		n = len(a.delta) + 1
	}
	return nil
}

// mergeNow joins the runs i and i+1 of a list.
func (a *Arrangement) mergeNow(list *[]*Run, i int) error {
	m := &a.now
	*m = newMerger(a, (*list)[i], (*list)[i+1])
	if _, err := m.work((*list)[i].n + (*list)[i+1].n + 2); err != nil {
		return err
	}
	a.replace(list, i, m)
	return nil
}

// replace puts a merger's run in the place of those that it has joined.
func (a *Arrangement) replace(list *[]*Run, i int, m *merger) {
	a.drop((*list)[i])
	a.drop((*list)[i+1])
	a.recycle(m.blk)
	if m.out.n == 0 {
		*list = slices.Delete(*list, i, i+2)
		return
	}
	(*list)[i] = m.out
	*list = slices.Delete(*list, i+1, i+2)
}

// Seal makes the delta one run. It works through about fuel rows at a time.
func (a *Arrangement) Seal(fuel int) (done bool, err error) {
	for len(a.delta) > 1 {
		if a.sealing == nil {
			// The two neighbours that are shortest together: so each row is
			// copied about as often as runs can be halved.
			a.sealAt = 0
			for i := range a.delta[1:] {
				if a.delta[i].n+a.delta[i+1].n < a.delta[a.sealAt].n+a.delta[a.sealAt+1].n {
					a.sealAt = i
				}
			}
			m := newMerger(a, a.delta[a.sealAt], a.delta[a.sealAt+1])
			a.sealing = &m
		}
		done, err := a.sealing.work(fuel)
		if err != nil || !done {
			return false, err
		}
		fuel -= a.sealing.out.n
		a.replace(&a.delta, a.sealAt, a.sealing)
		a.sealing = nil
		if fuel <= 0 {
			return len(a.delta) <= 1, nil
		}
	}
	return true, nil
}

const (
	// mergeNowRows: what is merged at once is at most three times that long.
	mergeNowRows = 16 * blockRows
	// mergeFuel: each row that is added pays for this many steps of merging.
	mergeFuel = 8
	// mergeFuelLeast is what every step pays.
	mergeFuelLeast = 64
)

// Commit makes the delta a part of the state, and pays for merging: long
// merges are spread over the steps that caused them.
func (a *Arrangement) Commit() error {
	fuel := mergeFuelLeast
	for _, r := range a.delta {
		a.runs = append(a.runs, r)
		fuel += mergeFuel * r.n
	}
	a.delta = a.delta[:0]
	for {
		i := len(a.runs) - 2
		if i < 0 || a.runs[i].n >= mergeFactor*a.runs[i+1].n || a.merging != nil && i <= a.mergeAt+1 {
			break
		}
		if a.runs[i].n+a.runs[i+1].n > a.lengths.now {
			if a.merging == nil {
				m := newMerger(a, a.runs[i], a.runs[i+1])
				a.merging, a.mergeAt = &m, i
			}
			break
		}
		if err := a.mergeNow(&a.runs, i); err != nil {
			return err
		}
	}
	return a.pay(fuel)
}

// pay works on the merge under way.
func (a *Arrangement) pay(fuel int) error {
	if a.merging == nil {
		return nil
	}
	done, err := a.merging.work(fuel)
	if err != nil || !done {
		return err
	}
	m := a.merging
	a.merging = nil
	a.replace(&a.runs, a.mergeAt, m)
	return nil
}

// Weight returns the weight in runs of row i of b, whose columns are those of
// the arrangement and whose key has the hash h.
func (a *Arrangement) Weight(runs []*Run, h uint64, b *row.Batch, i int) (w int64, err error) {
	for _, r := range runs {
		c := r.Cursor()
		for c.Seek(h); c.Valid() && c.Hash() == h; c.Next() {
			if o := a.order.compare(&c.B.Batch.Batch, c.I, b, i); o == 0 {
				if w, err = Sum(w, c.Weight()); err != nil {
					return 0, err
				}
				break
			} else if o > 0 {
				break
			}
		}
		if c.Err != nil {
			return 0, c.Err
		}
	}
	return w, nil
}

// Compact merges all runs of the state into one.
func (a *Arrangement) Compact() error {
	for a.merging != nil {
		if err := a.pay(mergeNowRows); err != nil {
			return err
		}
	}
	for len(a.runs) > 1 {
		if err := a.mergeNow(&a.runs, len(a.runs)-2); err != nil {
			return err
		}
	}
	return nil
}
