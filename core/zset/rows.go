package zset

import "actordb/core/row"

// Rows walks the rows of several runs in order, each once with the sum of its
// weights, without those that cancel. Weights of a state and of a delta are
// kept apart.
type Rows struct {
	a       *Arrangement
	cursors []Cursor
	deltas  int // the cursors from here on are of the delta
	keyed   bool
	hash    uint64
	live    []int32 // cursors that are on rows of the walk

	B     *Block // of the present row
	I     int
	Old   int64 // its weight in the state
	Delta int64 // and in the delta
	Err   error
}

// Open begins at the first row of all.
func (r *Rows) Open(a *Arrangement, state, delta []*Run) {
	r.reset(a, state, delta)
	r.keyed = false
	for i := range r.cursors {
		r.live = append(r.live, int32(i))
	}
}

func (r *Rows) reset(a *Arrangement, state, delta []*Run) {
	r.a, r.Err, r.B = a, nil, nil
	r.cursors, r.live = r.cursors[:0], r.live[:0]
	for _, run := range state {
		r.cursors = append(r.cursors, run.Cursor())
	}
	r.deltas = len(r.cursors)
	for _, run := range delta {
		r.cursors = append(r.cursors, run.Cursor())
	}
}

// Finder returns r ready for Find. Keys are to be asked for by rising hash.
func (r *Rows) Finder(a *Arrangement, state, delta []*Run) { r.reset(a, state, delta) }

// Find begins at the first row whose key is that of row i of b: columns key of
// b, in the order of the arrangement's key, with the hash h. The hash must not
// be less than that of the Find before; a key may be asked for again.
func (r *Rows) Find(h uint64, b *row.Batch, key []int, i int) {
	r.keyed, r.hash = true, h
	r.live = r.live[:0]
	for k := range r.cursors {
		c := &r.cursors[k]
		c.Seek(h)
		if c.Err != nil {
			r.Err = c.Err
			return
		}
		// Different keys of one hash are neighbours: they are rare.
		for probe := *c; probe.Valid() && probe.Hash() == h; probe.Next() {
			if sameKey(&probe.B.Batch.Batch, r.a.order.Key, probe.I, b, key, i) {
				*c = probe
				r.live = append(r.live, int32(k))
				break
			}
		}
	}
}

func sameKey(a *row.Batch, ak []int, i int, b *row.Batch, bk []int, j int) bool {
	for k, c := range ak {
		if !row.Same(a.Cols[c], i, b.Cols[bk[k]], j) {
			return false
		}
	}
	return true
}

// Next goes to the next row and reports whether there is one.
func (r *Rows) Next() bool {
	for len(r.live) > 0 && r.Err == nil {
		least := &r.cursors[r.live[0]]
		if !least.Valid() {
			if r.Err = least.Err; r.Err != nil {
				return false
			}
			r.live = r.live[1:]
			continue
		}
		for _, k := range r.live[1:] {
			if c := &r.cursors[k]; c.Valid() && r.before(c, least) {
				least = c
			}
		}
		r.B, r.I, r.Old, r.Delta = least.B, least.I, 0, 0
		r.take()
		if r.Err == nil && (r.Old != 0 || r.Delta != 0) {
			return true
		}
	}
	return false
}

func (r *Rows) before(c, d *Cursor) bool {
	if ch, dh := c.Hash(), d.Hash(); ch != dh {
		return ch < dh
	}
	return r.a.order.compare(&c.B.Batch.Batch, c.I, &d.B.Batch.Batch, d.I) < 0
}

// take adds up the weights of the present row, and moves all cursors past it.
// A cursor that leaves the key ends.
func (r *Rows) take() {
	h := r.B.Hash[r.I]
	kept := r.live[:0]
	for _, k := range r.live {
		c := &r.cursors[k]
		if c.Valid() && c.Hash() == h && (c.B == r.B && c.I == r.I || row.SameRow(&c.B.Batch.Batch, c.I, &r.B.Batch.Batch, r.I)) {
			to := &r.Old
			if int(k) >= r.deltas {
				to = &r.Delta
			}
			if *to, r.Err = Sum(*to, c.Weight()); r.Err != nil {
				return
			}
			if c.Next(); c.Err != nil {
				r.Err = c.Err
				return
			}
			if !c.Valid() || r.keyed && (c.Hash() != h || !sameKey(&c.B.Batch.Batch, r.a.order.Key, c.I, &r.B.Batch.Batch, r.a.order.Key, r.I)) {
				continue
			}
		}
		kept = append(kept, k)
	}
	r.live = kept
}
