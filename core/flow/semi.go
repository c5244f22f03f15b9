package flow

import "actordb/core/zset"

// semi keeps the left rows whose key is in the right relation; anti those whose
// key is not. The right side is arranged with its key alone, so that the weight
// of a key is the number of its rows.
//
// With p(k) whether key k passes, L's part of key k contributes p·L. It is
// linear in L and not in R:
//
//	d = p'·(L + dL) - p·L
//
// where p' is p after the step: dL if p stays true, all of L when it changes.
type semi struct {
	core
	left, right *arrange
	anti        bool
	nullSafe    bool // null is a key like any other; else it is in no relation
	walk        keyWalk
	l, r        zset.Rows
}

func (o *semi) flush(fuel int) (bool, error) {
	if !o.walk.open {
		o.walk.begin(o.left.a, o.right.a)
		o.l.Finder(o.left.a, o.left.a.State(), o.left.a.Delta())
		o.r.Finder(o.right.a, o.right.a.State(), o.right.a.Delta())
	}
	for {
		more, err := o.walk.next()
		if err != nil {
			return false, err
		}
		if !more {
			return true, o.emitOut()
		}
		k := &o.walk
		var old, now int64
		if o.nullSafe || !anyNull(k.B, k.Cols, k.I) {
			for o.r.Find(k.Hash, k.B, k.Cols, k.I); o.r.Next(); {
				old += o.r.Old
				now += o.r.Old + o.r.Delta
			}
			if o.r.Err != nil {
				return false, o.r.Err
			}
		}
		was, is := (old > 0) != o.anti, (now > 0) != o.anti
		fuel--
		if !was && !is {
			continue
		}
		for o.l.Find(k.Hash, k.B, k.Cols, k.I); o.l.Next(); fuel-- {
			w := int64(0)
			if is {
				w = o.l.Old + o.l.Delta
			}
			if was {
				w -= o.l.Old
			}
			if w == 0 {
				continue
			}
			o.out.Add(&o.l.B.Batch.Batch, o.l.I, w)
			if err := o.emitFull(); err != nil {
				return false, err
			}
		}
		if o.l.Err != nil {
			return false, o.l.Err
		}
		if fuel <= 0 {
			return false, o.emitOut()
		}
	}
}
