package flow

import (
	"actordb/core/row"
	"actordb/core/zset"
)

// WindowKind is a window function.
type WindowKind uint8

const (
	RowNumber WindowKind = iota
	Rank
	DenseRank
	Ntile      // Offset buckets
	Lag        // Arg, Offset rows before; Default if there is none
	Lead       // Arg, Offset rows after
	FirstValue // Arg, of the frame's first row
	LastValue
	NthValue     // Offset counts from 1
	WindowAgg    // Agg of Arg over the frame
	SessionStart // time of the first row of the session
	SessionEnd   // time of its last row, plus Offset, the gap
)

// A WindowFunc is one column that a window adds.
type WindowFunc struct {
	Kind    WindowKind
	Agg     AggKind // of WindowAgg: the linear ones, Min and Max
	Arg     int
	Offset  int64
	Default row.Value // of Lag and Lead; its type may be zero for null
	Frame   Frame
}

// window adds to each row functions of its partition in an order: ranks,
// neighbours, aggregates over frames, sessions (rows whose times, the first
// column of the order, are at most a gap apart). Rows that the order leaves
// equal are ordered by all columns, so that the result depends on the rows
// alone. Partitions are independent; those that a step touches are computed
// before and after it:
//
//	d = f(P + dP) - f(P)
type window struct {
	core
	in    *arrange
	sorts []row.Sort
	funcs []WindowFunc
	types []row.Type // of the added columns

	walk    keyWalk
	rows    zset.Rows
	parts   [2]*row.Batch // before, after
	added   [2]*row.Batch // the functions' columns of each
	p       partition
	both    *zset.Batch // f(P + dP) - f(P), not consolidated
	sorter  zset.Sorter
	accs    []acc
	scratch floatScratch
	deque   []int32
}

func (o *window) flush(fuel int) (bool, error) {
	if !o.walk.open {
		o.walk.begin(o.in.a)
		o.rows.Finder(o.in.a, o.in.a.State(), o.in.a.Delta())
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
		o.parts[0].Clear()
		o.parts[1].Clear()
		for o.rows.Find(k.Hash, k.B, k.Cols, k.I); o.rows.Next(); {
			for i, w := range [2]int64{o.rows.Old, o.rows.Old + o.rows.Delta} {
				if int64(o.parts[i].N)+max(w, 0) > multiplicityMax {
					return false, row.Errorf(row.CodeTooLong, "a partition of a window has more than %d rows; partition it more finely", multiplicityMax)
				}
				for ; w > 0; w-- {
					o.parts[i].AppendRow(&o.rows.B.Batch.Batch, o.rows.I)
				}
			}
		}
		if o.rows.Err != nil {
			return false, o.rows.Err
		}
		fuel -= o.parts[0].N + o.parts[1].N
		for i, w := range [2]int64{-1, 1} {
			if err := o.compute(o.parts[i], o.added[i], w); err != nil {
				return false, err
			}
		}
		if err := o.difference(); err != nil {
			return false, err
		}
		if err := o.emitFull(); err != nil {
			return false, err
		}
		if fuel <= 0 {
			return false, o.emitOut()
		}
	}
}

// compute fills the columns of a partition's functions.
func (o *window) compute(rows, added *row.Batch, w int64) error {
	added.Clear()
	added.N = rows.N
	if rows.N == 0 {
		return nil
	}
	o.p.prepare(rows, o.sorts)
	for k := range o.funcs {
		if err := o.column(&o.funcs[k], &o.accs[k], added.Cols[k], w); err != nil {
			return err
		}
	}
	return nil
}

// difference emits f(P + dP) - f(P): of both, what lies between the rows that
// they have in common at the begin and at the end.
func (o *window) difference() error {
	was, is := o.parts[0].N, o.parts[1].N
	same := func(i, j int) bool {
		return row.SameRow(o.added[0], i, o.added[1], j) && row.SameRow(o.parts[0], i, o.parts[1], j)
	}
	head := 0
	for head < was && head < is && same(head, head) {
		head++
	}
	tail := 0
	for head < was-tail && head < is-tail && same(was-tail-1, is-tail-1) {
		tail++
	}
	o.both.Clear()
	width := len(o.parts[0].Cols)
	for i, w := range [2]int64{-1, 1} {
		lo, hi := head, o.parts[i].N-tail
		for k, c := range o.parts[i].Cols {
			o.both.Cols[k].AppendRange(c, lo, hi)
		}
		for k, c := range o.added[i].Cols {
			o.both.Cols[width+k].AppendRange(c, lo, hi)
		}
		for range hi - lo {
			o.both.W = append(o.both.W, w)
		}
		o.both.N += hi - lo
	}
	return o.sorter.Consolidate(o.both, o.out)
}

func (o *window) column(f *WindowFunc, a *acc, out *row.Vector, w int64) error {
	n := o.p.rows.N
	switch f.Kind {
	case RowNumber, Rank, DenseRank, Ntile:
		for i := range n {
			out.AppendInt(o.number(f, i, n))
		}
	case Lag, Lead:
		v := o.p.rows.Cols[f.Arg]
		step := int(max(min(f.Offset, int64(n)), -int64(n)))
		if f.Kind == Lag {
			step = -step
		}
		for i := range n {
			if j := i + step; j >= 0 && j < n {
				out.AppendRow(v, j)
			} else if f.Default.Type == out.Type {
				out.AppendValue(f.Default)
			} else {
				out.AppendNull()
			}
		}
	case FirstValue, LastValue, NthValue:
		o.p.frame(f.Frame)
		v := o.p.rows.Cols[f.Arg]
		for i := range n {
			lo, hi := int64(o.p.lo[i]), int64(o.p.hi[i])
			at := lo
			if f.Kind == LastValue {
				at = hi - 1
			} else if f.Kind == NthValue {
				at = lo + min(f.Offset, int64(n)+1) - 1
			}
			if at >= lo && at < hi {
				out.AppendRow(v, int(at))
			} else {
				out.AppendNull()
			}
		}
	case SessionStart, SessionEnd:
		o.session(f, out)
	case WindowAgg:
		o.p.frame(f.Frame)
		if f.Agg == Min || f.Agg == Max {
			o.extreme(f, out)
			return nil
		}
		return o.sums(f, a, out, w)
	}
	return nil
}

// number is the functions of a row's place alone.
func (o *window) number(f *WindowFunc, i, n int) int64 {
	switch f.Kind {
	case Rank:
		return int64(o.p.peerStart[i]) + 1
	case DenseRank:
		return int64(o.p.group[i]) + 1
	case Ntile:
		// The first n mod k buckets have one row more.
		k := min(f.Offset, int64(n))
		size, more := int64(n)/k, int64(n)%k
		if at := int64(i); at < more*(size+1) {
			return at/(size+1) + 1
		}
		return (int64(i)-more*(size+1))/size + more + 1
	}
	return int64(i) + 1
}

func (o *window) session(f *WindowFunc, out *row.Vector) {
	n := o.p.rows.N
	v := o.p.rows.Cols[o.sorts[0].Col]
	for i := 0; i < n; {
		j := i + 1
		for j < n && !v.Null(i) && !v.Null(j) && shifted(v.I[j], f.Offset, true) <= v.I[j-1] {
			j++
		}
		for k := i; k < j; k++ {
			switch {
			case v.Null(i):
				out.AppendNull()
			case f.Kind == SessionStart:
				out.AppendInt(v.I[i])
			default:
				out.AppendInt(shifted(v.I[j-1], f.Offset, false))
			}
		}
		i = j
	}
}

// sums are aggregates that can be taken back: the frame slides, and what it
// leaves is subtracted.
func (o *window) sums(f *WindowFunc, a *acc, out *row.Vector, w int64) error {
	a.reset()
	a.grow()
	v := (*row.Vector)(nil)
	if f.Agg != CountRows {
		v = o.p.rows.Cols[f.Arg]
	}
	add := func(i int32, w int64) error {
		if v == nil {
			a.n[0] += w
			return nil
		}
		if v.Null(int(i)) {
			return nil
		}
		return a.addOne(v, int(i), 0, w, &o.scratch)
	}
	lo, hi := int32(0), int32(0)
	for i := range o.p.rows.N {
		for ; hi < o.p.hi[i]; hi++ {
			if err := add(hi, 1); err != nil {
				return err
			}
		}
		for ; lo < o.p.lo[i] && lo < hi; lo++ {
			if err := add(lo, -1); err != nil {
				return err
			}
		}
		if err := a.result(out, 0); err != nil {
			if err := o.c.errors.add(err, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// extreme is the least or the greatest of a sliding frame: the queue holds the
// rows that may still be it.
func (o *window) extreme(f *WindowFunc, out *row.Vector) {
	v := o.p.rows.Cols[f.Arg]
	q := o.deque[:0]
	hi, head := int32(0), 0
	for i := range o.p.rows.N {
		for ; hi < o.p.hi[i]; hi++ {
			if v.Null(int(hi)) {
				continue
			}
			for len(q) > head {
				c := row.Compare(v, int(hi), v, int(q[len(q)-1]))
				if f.Agg == Max {
					c = -c
				}
				if c >= 0 {
					break
				}
				q = q[:len(q)-1]
			}
			q = append(q, hi)
		}
		for head < len(q) && q[head] < o.p.lo[i] {
			head++
		}
		if head < len(q) {
			out.AppendRow(v, int(q[head]))
		} else {
			out.AppendNull()
		}
	}
	o.deque = q
}
