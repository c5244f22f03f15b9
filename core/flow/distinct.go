package flow

import "actordb/core/zset"

// SetKind is an operation on two relations of equal types, by whole rows; nulls
// are equal to nulls.
type SetKind uint8

const (
	ExceptAll SetKind = iota
	Except
	IntersectAll
	Intersect
)

// weight is how often a row is in the result that is a times in the left
// relation and b times in the right one (SQL:2016, 7.17).
func (k SetKind) weight(a, b int64) int64 {
	a, b = max(a, 0), max(b, 0)
	switch k {
	case ExceptAll:
		return max(a-b, 0)
	case Except:
		if b > 0 {
			return 0
		}
		return min(a, 1)
	case IntersectAll:
		return min(a, b)
	}
	return min(a, b, 1)
}

// distinct gives every row that is there the weight 1. Not linear, but a row's
// result depends on its own weight alone: only rows of the delta are looked up
// (DBSP, proposition 4.7).
//
//	d = [R + dR > 0] - [R > 0]
type distinct struct {
	core
	in   *arrange
	walk keyWalk
	rows zset.Rows
}

func (o *distinct) flush(fuel int) (bool, error) {
	if !o.walk.open {
		o.walk.begin(o.in.a)
		o.rows.Finder(o.in.a, o.in.a.State(), o.in.a.Delta())
	}
	for ; fuel > 0; fuel-- {
		more, err := o.walk.next()
		if err != nil {
			return false, err
		}
		if !more {
			return true, o.emitOut()
		}
		k := &o.walk
		for o.rows.Find(k.Hash, k.B, k.Cols, k.I); o.rows.Next(); {
			w := min(max(o.rows.Old+o.rows.Delta, 0), 1) - min(max(o.rows.Old, 0), 1)
			if w != 0 {
				o.out.Add(&o.rows.B.Batch.Batch, o.rows.I, w)
			}
		}
		if o.rows.Err != nil {
			return false, o.rows.Err
		}
		if err := o.emitFull(); err != nil {
			return false, err
		}
	}
	return false, o.emitOut()
}

// setOp is EXCEPT and INTERSECT. As distinct, with two weights:
//
//	d = f(L + dL, R + dR) - f(L, R)
type setOp struct {
	core
	kind        SetKind
	left, right *arrange
	walk        keyWalk
	l, r        zset.Rows
}

func (o *setOp) flush(fuel int) (bool, error) {
	if !o.walk.open {
		o.walk.begin(o.left.a, o.right.a)
		o.l.Finder(o.left.a, o.left.a.State(), o.left.a.Delta())
		o.r.Finder(o.right.a, o.right.a.State(), o.right.a.Delta())
	}
	for ; fuel > 0; fuel-- {
		more, err := o.walk.next()
		if err != nil {
			return false, err
		}
		if !more {
			return true, o.emitOut()
		}
		k := &o.walk
		var a, a2, b, b2 int64
		for o.l.Find(k.Hash, k.B, k.Cols, k.I); o.l.Next(); {
			a, a2 = o.l.Old, o.l.Old+o.l.Delta
		}
		for o.r.Find(k.Hash, k.B, k.Cols, k.I); o.r.Next(); {
			b, b2 = o.r.Old, o.r.Old+o.r.Delta
		}
		if o.l.Err != nil {
			return false, o.l.Err
		}
		if o.r.Err != nil {
			return false, o.r.Err
		}
		if w := o.kind.weight(a2, b2) - o.kind.weight(a, b); w != 0 {
			o.out.Add(k.B, k.I, w)
		}
		if err := o.emitFull(); err != nil {
			return false, err
		}
	}
	return false, o.emitOut()
}
