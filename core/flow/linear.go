package flow

import (
	"actordb/core/row"
	"actordb/core/zset"
)

// Linear operators: f(a + b) = f(a) + f(b), so that the change of the result is
// f of the change and there is no state (DBSP, theorem 3.3).

// filter keeps the rows for which a predicate is true. Linear.
type filter struct {
	core
	pred row.Expr
	v    row.Vector
	sel  []int32
}

func (o *filter) absorb(_ int, in *zset.Batch) error {
	sel, err := o.pass(in)
	if err != nil {
		return err
	}
	if len(sel) == in.N {
		return o.emit(in)
	}
	o.out.AddGather(in, sel)
	return o.emitOut()
}

// pass returns the rows that pass; errors go to the circuit.
func (o *filter) pass(in *zset.Batch) ([]int32, error) {
	o.pred.Eval(&in.Batch, &o.v, &o.errs)
	if err := o.raise(in); err != nil { // a failed row is null, and does not pass
		return nil, err
	}
	o.errs.Reset()
	if cap(o.sel) < in.N {
		o.sel = make([]int32, in.N)
	}
	sel := o.sel[:in.N]
	n := 0
	if len(o.v.Nulls) == 0 {
		for i, x := range o.v.I {
			sel[n] = int32(i)
			n += int(x) // a boolean is 0 or 1
		}
	} else {
		for i, x := range o.v.I {
			if x != 0 && !o.v.Nulls.Get(i) {
				sel[n] = int32(i)
				n++
			}
		}
	}
	return sel[:n], nil
}

// raise gives the errors of an evaluation to the circuit, with the weights of
// their rows. Linear, too: so errors come and go with rows.
func (k *core) raise(in *zset.Batch) error {
	if !k.errs.Any() {
		return nil
	}
	k.errs.List = firstOfRows(k.errs.List, in.N) // of a row with several errors the first is told
	for _, e := range k.errs.List {
		if err := k.c.errors.add(e.Err, in.W[e.Row]); err != nil {
			return err
		}
	}
	return nil
}

// sound returns the rows of in that have no error.
func (k *core) sound(in *zset.Batch) []int32 {
	bad := make(map[int32]bool, len(k.errs.List))
	for _, e := range k.errs.List {
		bad[e.Row] = true
	}
	var sel []int32
	for i := range int32(in.N) {
		if !bad[i] {
			sel = append(sel, i)
		}
	}
	return sel
}

// project computes columns. Linear.
type project struct {
	core
	exprs   []row.Expr
	view    zset.Batch   // its columns are computed ones and the input's own
	scratch []row.Vector // of computed columns
}

func (o *project) absorb(_ int, in *zset.Batch) error {
	o.view.N, o.view.W = in.N, in.W
	o.view.Cols = o.view.Cols[:0]
	for i, x := range o.exprs {
		if c, ok := x.(row.Col); ok {
			o.view.Cols = append(o.view.Cols, in.Cols[c.Index])
			continue
		}
		x.Eval(&in.Batch, &o.scratch[i], &o.errs)
		o.view.Cols = append(o.view.Cols, &o.scratch[i])
	}
	if !o.errs.Any() {
		return o.emit(&o.view)
	}
	if err := o.raise(in); err != nil {
		return err
	}
	sel := o.sound(in)
	o.errs.Reset()
	o.out.AddGather(&o.view, sel)
	return o.emitOut()
}

// firstOfRows keeps the first error of each row.
func firstOfRows(list []row.RowError, n int) []row.RowError {
	seen := make([]bool, n)
	kept := list[:0]
	for _, e := range list {
		if !seen[e.Row] {
			seen[e.Row] = true
			kept = append(kept, e)
		}
	}
	return kept
}

// expand adds to each row each element of a list: columns of the input, then
// those of the list. Rows whose list is empty disappear. Linear.
type expand struct {
	core
	x      row.Expander
	list   row.Batch
	counts []int32
	sel    []int32
}

func (o *expand) absorb(_ int, in *zset.Batch) error {
	types := o.x.Types()
	o.list.Reset(types)
	o.counts = o.x.Expand(&in.Batch, &o.list, o.counts[:0], &o.errs)
	if err := o.raise(in); err != nil {
		return err
	}
	o.errs.Reset()
	at, width := 0, len(in.Cols)
	for i, n := range o.counts {
		for ; n > 0; n-- {
			o.sel = append(o.sel, int32(i))
			if len(o.sel) == chunkRows {
				if err := o.send(in, at, width); err != nil {
					return err
				}
				at += chunkRows
			}
		}
	}
	return o.send(in, at, width)
}

// send emits the rows that o.sel names, with the elements from at on.
func (o *expand) send(in *zset.Batch, at, width int) error {
	for k := range in.Cols {
		o.out.Cols[k].AppendGather(in.Cols[k], o.sel)
	}
	for k, c := range o.list.Cols {
		o.out.Cols[width+k].AppendRange(c, at, at+len(o.sel))
	}
	for _, i := range o.sel {
		o.out.W = append(o.out.W, in.W[i])
	}
	o.out.N = len(o.sel)
	o.sel = o.sel[:0]
	return o.emitOut()
}

// pass hands on what it gets: a source, or UNION ALL, of which every input is a
// port. Linear.
type pass struct{ core }

func (o *pass) absorb(_ int, in *zset.Batch) error { return o.emit(in) }

// temporal keeps rows whose time is not over: whose column is at or above the
// bound of its clock. The others go out of late, and are counted. For a fixed
// bound it is linear; the bound is the circuit's, so that what reads it may
// discard state below (see aggregate).
type temporal struct {
	core
	lapse lapse
	late  *pass
	sel   []int32
	rest  []int32
}

func (o *temporal) absorb(_ int, in *zset.Batch) error {
	o.sel, o.rest = o.sel[:0], o.rest[:0]
	v, over := in.Cols[o.lapse.col], o.over(o.lapse)
	for i, x := range v.I {
		if x < over && !v.Null(i) {
			o.rest = append(o.rest, int32(i))
			w := in.W[i]
			if w < 0 {
				w = -w
			}
			o.c.late += w
		} else {
			o.sel = append(o.sel, int32(i))
		}
	}
	if len(o.rest) == 0 {
		return o.emit(in)
	}
	o.out.AddGather(in, o.rest)
	if err := o.late.emit(o.out); err != nil {
		return err
	}
	o.out.Clear()
	o.out.AddGather(in, o.sel)
	return o.emitOut()
}
