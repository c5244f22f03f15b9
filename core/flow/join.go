package flow

import (
	"actordb/core/row"
	"actordb/core/zset"
)

// join is the inner join of two arrangements by equal keys, and a predicate on
// the joined row. Columns: left, then right. A null equals nothing.
//
// Bilinear: a row's weight is the product of its parts', so
//
//	d(L ⋈ R)  =  dL ⋈ R  +  L ⋈ dR  +  dL ⋈ dR
//
// (DBSP, theorem 3.4.) It has no state: that is its inputs' arrangements, which
// other operators share.
type join struct {
	filter      // the predicate; its pred is nil if there is none
	left, right *arrange

	phase, run int // of the present slice: which term, and which two runs of it
	l, r       zset.Cursor
	open       bool
	amid       bool // among the pairs of one hash, whose right rows begin at begin
	begin      zset.Cursor

	lsel, rsel []int32 // pairs of rows of lblk and rblk, and their weights
	w          []int64
	lblk, rblk *zset.Block
	joined     *zset.Batch
}

// terms are the three products.
func (o *join) term(phase int) (l, r []*zset.Run) {
	switch phase {
	case 0:
		return o.left.a.Delta(), o.right.a.State()
	case 1:
		return o.left.a.State(), o.right.a.Delta()
	}
	return o.left.a.Delta(), o.right.a.Delta()
}

func (o *join) absorb(int, *zset.Batch) error { return nil }

// seal makes the smaller side one run. The other side of a query on demand
// stays in as many as it came in: each is sorted, and read once.
func (o *join) seal(fuel int) (bool, error) {
	a := o.left.a
	if o.right.a.Len() < a.Len() {
		a = o.right.a
	}
	return a.Seal(fuel)
}

func (o *join) flush(fuel int) (bool, error) {
	if done, err := o.seal(fuel); !done || err != nil {
		return false, err
	}
	for ; o.phase < 3; o.phase++ {
		ls, rs := o.term(o.phase)
		for ; o.run < len(ls)*len(rs); o.run++ {
			if !o.open {
				o.l, o.r = ls[o.run/len(rs)].Cursor(), rs[o.run%len(rs)].Cursor()
				o.open = true
			}
			done, err := o.merge(&fuel)
			if err != nil {
				return false, err
			}
			if !done {
				return false, o.send()
			}
			o.open = false
		}
		o.run = 0
	}
	o.phase = 0
	return true, o.send()
}

// merge goes through two runs, both by rising hash. It stops when fuel is used up.
func (o *join) merge(fuel *int) (done bool, err error) {
	l, r := &o.l, &o.r
	for l.Valid() && r.Valid() {
		if *fuel <= 0 {
			return false, nil
		}
		lh, rh := l.Hash(), r.Hash()
		switch {
		case lh < rh:
			l.Seek(rh)
			*fuel--
		case lh > rh:
			r.Seek(lh)
			*fuel--
		default:
			if err := o.pairs(lh, fuel); err != nil {
				return false, err
			}
		}
	}
	if l.Err != nil {
		return false, l.Err
	}
	return true, r.Err
}

// pairs joins the rows of one hash, and moves both cursors past it. It may stop
// at any pair: the right cursor then is amid the rows of the hash.
func (o *join) pairs(h uint64, fuel *int) error {
	l, r := &o.l, &o.r
	lk, rk := o.left.a.Key(), o.right.a.Key()
	if !o.amid {
		o.amid, o.begin = true, *r
	}
	for l.Valid() && l.Hash() == h {
		if !anyNull(&l.B.Batch.Batch, lk, l.I) {
			for ; r.Valid() && r.Hash() == h; r.Next() {
				if *fuel <= 0 {
					return nil
				}
				*fuel--
				if !sameKey(&l.B.Batch.Batch, lk, l.I, &r.B.Batch.Batch, rk, r.I) {
					continue
				}
				if err := o.pair(l, r); err != nil {
					return err
				}
			}
			if r.Err != nil {
				return r.Err
			}
		}
		l.Next()
		*r = o.begin
	}
	o.amid = false
	for r.Valid() && r.Hash() == h {
		r.Next()
	}
	return nil
}

func (o *join) pair(l, r *zset.Cursor) error {
	if o.lblk != l.B || o.rblk != r.B {
		if err := o.gather(); err != nil {
			return err
		}
		o.lblk, o.rblk = l.B, r.B
	}
	w, err := zset.Product(l.Weight(), r.Weight())
	if err != nil {
		return err
	}
	o.lsel, o.rsel, o.w = append(o.lsel, int32(l.I)), append(o.rsel, int32(r.I)), append(o.w, w)
	if len(o.w) >= chunkRows {
		return o.gather()
	}
	return nil
}

// gather copies the pairs found so far, a column at a time.
func (o *join) gather() error {
	if len(o.w) == 0 {
		return nil
	}
	k := len(o.lblk.Cols)
	for i, c := range o.lblk.Cols {
		o.joined.Cols[i].AppendGather(c, o.lsel)
	}
	for i, c := range o.rblk.Cols {
		o.joined.Cols[k+i].AppendGather(c, o.rsel)
	}
	o.joined.N += len(o.w)
	o.joined.W = append(o.joined.W, o.w...)
	o.lsel, o.rsel, o.w = o.lsel[:0], o.rsel[:0], o.w[:0]
	if o.joined.N < chunkRows {
		return nil
	}
	return o.send()
}

// send emits what is joined and passes the predicate.
func (o *join) send() error {
	if len(o.w) > 0 {
		if err := o.gather(); err != nil {
			return err
		}
	}
	if o.joined.N == 0 {
		return nil
	}
	err := error(nil)
	if o.pred == nil {
		err = o.emit(o.joined)
	} else {
		err = o.filter.absorb(0, o.joined)
	}
	o.joined.Clear()
	return err
}

func (o *join) memBytes() int { return o.joined.MemBytes() }

func anyNull(b *row.Batch, cols []int, i int) bool {
	for _, c := range cols {
		if b.Cols[c].Null(i) {
			return true
		}
	}
	return false
}

func sameKey(a *row.Batch, ak []int, i int, b *row.Batch, bk []int, j int) bool {
	for k, c := range ak {
		if !row.Same(a.Cols[c], i, b.Cols[bk[k]], j) {
			return false
		}
	}
	return true
}

func compareKey(a *row.Batch, ak []int, i int, b *row.Batch, bk []int, j int) int {
	for k, c := range ak {
		if o := row.Compare(a.Cols[c], i, b.Cols[bk[k]], j); o != 0 {
			return o
		}
	}
	return 0
}
