package flow

import "actordb/core/zset"

// topK keeps, of each partition, the rows from offset to offset+limit in an
// order; rows that the order leaves equal are ordered by all columns, so that
// the choice depends on the rows alone. The partition may be empty: ORDER BY …
// LIMIT. It reads no further than the limit, in old and new state at once:
//
//	d = first(L + dL) - first(L)     for the partitions of dL
type topK struct {
	core
	in            *arrange
	offset, limit int64
	walk          keyWalk
	rows          zset.Rows
}

func (o *topK) flush(fuel int) (bool, error) {
	if !o.walk.open {
		o.walk.begin(o.in.a)
		o.rows.Finder(o.in.a, o.in.a.State(), o.in.a.Delta())
	}
	end := o.offset + o.limit
	for {
		more, err := o.walk.next()
		if err != nil {
			return false, err
		}
		if !more {
			return true, o.emitOut()
		}
		k := &o.walk
		var was, is int64 // rows before the present one
		for o.rows.Find(k.Hash, k.B, k.Cols, k.I); (was < end || is < end) && o.rows.Next(); fuel-- {
			old, now := max(o.rows.Old, 0), max(o.rows.Old+o.rows.Delta, 0)
			if w := overlap(is, now, o.offset, end) - overlap(was, old, o.offset, end); w != 0 {
				o.out.Add(&o.rows.B.Batch.Batch, o.rows.I, w)
			}
			was, is = was+min(old, end), is+min(now, end) // beyond the end it does not matter how far
			if err := o.emitFull(); err != nil {
				return false, err
			}
		}
		if o.rows.Err != nil {
			return false, o.rows.Err
		}
		if fuel--; fuel <= 0 {
			return false, o.emitOut()
		}
	}
}

// overlap is how many of n rows from at on are within lo to hi.
func overlap(at, n, lo, hi int64) int64 {
	return max(0, min(at+min(n, hi), hi)-max(at, lo))
}
