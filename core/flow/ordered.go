package flow

import (
	"actordb/core/row"
	"actordb/core/zset"
)

// orderedAgg reads an aggregate off an arrangement of (key, …, argument), in
// the order that the aggregate needs.
type orderedAgg struct {
	agg  Agg
	in   *arrange
	arg  int // column of the argument in the arrangement
	out  row.Type
	cols []int
	rows zset.Rows

	best           bestCache
	old, now       row.Vector // one value each
	oldErr, nowErr *row.Error
	lists          [2]row.Vector // elements of the two lists
}

func (x *orderedAgg) begin(cols []int, epoch uint64) {
	x.cols = cols
	x.rows.Finder(x.in.a, x.in.a.State(), x.in.a.Delta())
	if x.agg.Kind == Min || x.agg.Kind == Max {
		x.best.delta.Finder(x.in.a, nil, x.in.a.Delta())
		x.best.forget(epoch)
	}
}

// read computes the aggregate of a group before the step and after it.
func (x *orderedAgg) read(h uint64, keys *row.Batch, g int, was, is bool) error {
	x.old.Reset(x.out)
	x.now.Reset(x.out)
	x.oldErr, x.nowErr = nil, nil
	extreme := x.agg.Kind == Min || x.agg.Kind == Max
	if extreme {
		if done, err := x.fromBest(h, keys, g); done || err != nil {
			return err
		}
	}
	x.rows.Find(h, keys, x.cols, g)
	if extreme {
		for (was && x.old.Len() == 0 || is && x.now.Len() == 0) && x.rows.Next() {
			v := x.rows.B.Cols[x.arg]
			if x.old.Len() == 0 && x.rows.Old > 0 {
				x.old.AppendRow(v, x.rows.I)
			}
			if x.now.Len() == 0 && x.rows.Old+x.rows.Delta > 0 {
				x.now.AppendRow(v, x.rows.I)
			}
		}
		for _, v := range [2]*row.Vector{&x.old, &x.now} {
			if v.Len() == 0 {
				v.AppendNull()
			}
		}
		x.best.set(g, is, &x.now)
		return x.rows.Err
	}
	for i := range x.lists {
		x.lists[i].Reset(x.in.a.Types()[x.arg])
	}
	var size [2]int64
	for x.rows.Next() {
		v := x.rows.B.Cols[x.arg]
		for i, w := range [2]int64{x.rows.Old, x.rows.Old + x.rows.Delta} {
			if w <= 0 {
				continue
			}
			if size[i] += w; size[i] <= multiplicityMax {
				x.lists[i].AppendRepeat(v, x.rows.I, int(w))
			}
		}
	}
	x.oldErr = x.list(&x.old, &x.lists[0], size[0])
	x.nowErr = x.list(&x.now, &x.lists[1], size[1])
	return x.rows.Err
}

// list appends the array or the string of the elements to v.
func (x *orderedAgg) list(v, elems *row.Vector, size int64) *row.Error {
	at := len(v.Data)
	switch {
	case size == 0:
		v.AppendNull()
		return nil
	case size > row.ArrayElementsMax && x.agg.Kind == ArrayAgg || size > multiplicityMax || len(elems.Data) > row.ValueBytesMax:
		v.AppendNull()
		return row.Errorf(row.CodeTooLong, "a list of %d elements is too long", size)
	case x.agg.Kind == ArrayAgg:
		data, err := row.AppendArray(v.Data, elems, 0, elems.Len())
		if err != nil {
			v.AppendNull()
			return row.Errorf(row.CodeTooLong, "%v", err)
		}
		v.Data = data
	default:
		for i := range elems.Len() {
			if i > 0 && !x.agg.Delimiter.IsNull {
				v.Data = append(v.Data, x.agg.Delimiter.B...)
			}
			v.Data = append(v.Data, elems.Bytes(i)...)
		}
	}
	if len(v.Data)-at > row.ValueBytesMax {
		v.Data = v.Data[:at]
		v.AppendNull()
		return row.Errorf(row.CodeTooLong, "a value has at most %d bytes", row.ValueBytesMax)
	}
	v.EndValue()
	return nil
}

// bestCache remembers the least, or the greatest, of groups, so that a step
// need not look for it: an insertion can only better it, and the retraction of
// another value leaves it. Only when the best itself is retracted it is sought
// in the arrangement. It is of types that are one int64.
type bestCache struct {
	epoch uint64 // of the table's group numbers
	known []bestState
	value []int64
	delta zset.Rows // of the step's delta alone
}

type bestState uint8

const (
	bestUnknown bestState = iota
	bestNone              // the group has no value
	bestValue
)

// forget drops all if groups are numbered anew.
func (b *bestCache) forget(epoch uint64) {
	if b.epoch != epoch {
		b.epoch, b.known, b.value = epoch, b.known[:0], b.value[:0]
	}
}

// set remembers the value in v, or that the group has none.
func (b *bestCache) set(g int, alive bool, v *row.Vector) {
	if !v.Type.Fixed() {
		return
	}
	for len(b.known) <= g {
		b.known, b.value = append(b.known, bestUnknown), append(b.value, 0)
	}
	if !alive || v.Null(0) {
		b.known[g], b.value[g] = bestNone, 0
		return
	}
	b.known[g], b.value[g] = bestValue, v.I[0]
}

// fromBest computes old and now from what is remembered and the delta, if that
// is enough.
func (x *orderedAgg) fromBest(h uint64, keys *row.Batch, g int) (done bool, err error) {
	b := &x.best
	if g >= len(b.known) || b.known[g] == bestUnknown {
		return false, nil
	}
	old, had := b.value[g], b.known[g] == bestValue
	now, has := old, had
	for b.delta.Find(h, keys, x.cols, g); b.delta.Next(); {
		v := b.delta.B.Cols[x.arg].I[b.delta.I]
		better := x.agg.Kind == Min && v < old || x.agg.Kind == Max && v > old
		switch {
		case b.delta.Delta < 0 && (!had || better || v == old):
			return false, nil
		case b.delta.Delta > 0 && (!has || x.agg.Kind == Min && v < now || x.agg.Kind == Max && v > now):
			now, has = v, true
		}
	}
	put := func(v *row.Vector, value int64, ok bool) {
		if ok {
			v.AppendInt(value)
		} else {
			v.AppendNull()
		}
	}
	put(&x.old, old, had)
	put(&x.now, now, has)
	b.set(g, true, &x.now)
	return true, b.delta.Err
}
