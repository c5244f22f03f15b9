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
	ties    []int32 // those on the present row

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
	r.begin()
}

// begin makes all cursors live.
func (r *Rows) begin() {
	for i := range r.cursors {
		if r.cursors[i].Valid() {
			r.live = append(r.live, int32(i))
		} else if r.Err = r.cursors[i].Err; r.Err != nil {
			return
		}
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
	r.live = r.live[:0]
	if r.keyed, r.hash = len(r.a.order.Key) > 0, h; !r.keyed { // all rows
		r.begin()
		return
	}
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
		r.least()
		first := &r.cursors[r.ties[0]]
		r.B, r.I, r.Old, r.Delta = first.B, first.I, 0, 0
		r.take()
		if r.Err == nil && (r.Old != 0 || r.Delta != 0) {
			return true
		}
	}
	return false
}

// least finds the live cursors that stand on the first row in order.
func (r *Rows) least() {
	r.ties = append(r.ties[:0], r.live[0])
	least := &r.cursors[r.live[0]]
	for _, k := range r.live[1:] {
		c := &r.cursors[k]
		switch o := r.compare(c, least); {
		case o < 0:
			least = c
			r.ties = append(r.ties[:0], k)
		case o == 0:
			r.ties = append(r.ties, k)
		}
	}
}

// compare orders the rows of two cursors; of a walk of one key it is not
// needed to look at the key.
func (r *Rows) compare(c, d *Cursor) int {
	if r.keyed {
		return row.CompareBy(r.a.order.rest, &c.B.Batch.Batch, c.I, &d.B.Batch.Batch, d.I)
	}
	if ch, dh := c.Hash(), d.Hash(); ch != dh {
		if ch < dh {
			return -1
		}
		return 1
	}
	return r.a.order.compare(&c.B.Batch.Batch, c.I, &d.B.Batch.Batch, d.I)
}

// take adds up the weights of the present row, and moves its cursors on. A
// cursor that ends, or leaves the key, is no longer live.
func (r *Rows) take() {
	for _, k := range r.ties {
		c := &r.cursors[k]
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
		if !c.Valid() || r.keyed && (c.Hash() != r.hash || !sameKey(&c.B.Batch.Batch, r.a.order.Key, c.I, &r.B.Batch.Batch, r.a.order.Key, r.I)) {
			for i, l := range r.live {
				if l == k {
					r.live = append(r.live[:i], r.live[i+1:]...)
					break
				}
			}
		}
	}
}
