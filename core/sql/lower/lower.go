// Package lower turns plans (core/sql/plan) into circuits (core/flow), and runs
// them: once over history, or again and again on changes.
//
// Its laws:
//
// W1. A query's answer is the same either way (internal/slt: each query of every
// file runs on demand, and incrementally row by row with retractions).
//
// W2. What the circuit has no operator for is refused with SQLSTATE 0A000 and the
// position in the statement, before any row is read.
package lower

import (
	"errors"
	"slices"

	"actordb/core/expr"
	"actordb/core/flow"
	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// A Source is a relation that a circuit reads.
type Source struct {
	Table   string
	Columns []int // of the table, in the order in which they are fed
	AsOf    *plan.AsOf
	Equal   []Equal // rows without these values need not be fed
	node    flow.Node
}

// Equal is a value that a condition wants of a column of a table.
type Equal struct {
	Column int
	Value  row.Value
}

// A Program is a plan as a circuit, not yet running.
type Program struct {
	Sources []Source
	Cols    []plan.Col // of the answer
	flow    *flow.Plan
	types   []row.Type // of the output: Cols, then what only the order needs
	order   []row.Sort
	output  int
	rows    []constant
	clocks  []*plan.Table // of the circuit, by number
}

// constant is what a source of VALUES holds.
type constant struct {
	node  flow.Node
	batch *zset.Batch
}

// Plan lowers a plan.
func Plan(p *plan.Plan) (out *Program, err error) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *sqlerr.Error:
			out, err = nil, f
		default:
			panic(f)
		}
	}()
	l := &lowering{p: &Program{flow: flow.NewPlan(), Cols: p.Cols}, done: map[*plan.Rel]*lowered{}, readers: map[*plan.Rel]int{}}
	l.count(p.Root)
	root := l.rel(p.Root)
	cols := append([]plan.Col(nil), p.Cols...)
	at := map[int]int{}
	for i, c := range cols {
		at[c.ID] = i
	}
	for _, o := range p.Order {
		if _, ok := at[o.Col]; !ok {
			c := plan.Col{ID: o.Col, Type: l.types(root)[root.at[o.Col]]}
			at[o.Col] = len(cols)
			cols = append(cols, c)
		}
		l.p.order = append(l.p.order, row.Sort{Col: at[o.Col], Desc: o.Desc, NullsFirst: o.NullsFirst})
	}
	exact := l.exact(root, cols)
	l.p.types = l.types(exact)
	l.p.output = l.p.flow.Output(exact.node)
	return l.p, nil
}

// lowering is one plan on its way.
type lowering struct {
	p       *Program
	done    map[*plan.Rel]*lowered
	readers map[*plan.Rel]int
}

// count notes how many read each relation.
func (l *lowering) count(r *plan.Rel) {
	if l.readers[r]++; l.readers[r] > 1 {
		return
	}
	for _, in := range r.In {
		l.count(in)
	}
}

// lowered is a relation as a node, and where its columns are.
type lowered struct {
	node   flow.Node
	at     map[int]int
	closes []plan.Closing // see closing.go
}

func (l *lowering) types(x *lowered) []row.Type { return l.p.flow.Types(x.node) }

// rel lowers a relation, once.
func (l *lowering) rel(r *plan.Rel) *lowered {
	if x := l.done[r]; x != nil {
		return x
	}
	x := l.make(r)
	if x.node < 0 {
		panic(sqlerr.Unsupported(r.Pos, "this part of the query"))
	}
	x.closes = l.closing(r)
	l.done[r] = x
	return x
}

// positions are the columns of a relation that stand in their order.
func positions(cols []plan.Col) map[int]int {
	at := map[int]int{}
	for i, c := range cols {
		at[c.ID] = i
	}
	return at
}

func (l *lowering) make(r *plan.Rel) *lowered {
	f := l.p.flow
	switch r.Op {
	case plan.Scan:
		var types []row.Type
		for _, c := range r.Cols {
			types = append(types, c.Type)
		}
		node := f.Source(types)
		l.p.Sources = append(l.p.Sources, Source{Table: r.Table.Name, Columns: r.Source, AsOf: r.AsOf, node: node})
		return &lowered{node: node, at: positions(r.Cols)}
	case plan.Values:
		return l.values(r)
	case plan.Project:
		in := l.rel(r.In[0])
		return &lowered{node: f.Project(in.node, l.exprs(in, r.Exprs)...), at: positions(r.Cols)}
	case plan.Filter:
		in := l.rel(r.In[0])
		l.want(r)
		return &lowered{node: f.Filter(in.node, l.expr(in, r.Pred)), at: in.at}
	case plan.Join:
		return l.join(r)
	case plan.Aggregate:
		return l.aggregate(r)
	case plan.Distinct:
		in := l.exact(l.rel(r.In[0]), r.Cols)
		if e := l.expiry(in, in.closes, ids(r.Cols)); e.Col > 0 {
			return &lowered{node: f.DistinctUntil(in.node, e), at: positions(r.Cols)}
		}
		return &lowered{node: f.Distinct(in.node), at: positions(r.Cols)}
	case plan.SetOp:
		a, b := l.exact(l.rel(r.In[0]), r.In[0].Cols), l.exact(l.rel(r.In[1]), r.In[1].Cols)
		if r.Set == plan.UnionAll {
			return &lowered{node: f.Union(a.node, b.node), at: positions(r.Cols)}
		}
		kind := map[plan.SetKind]flow.SetKind{plan.ExceptAll: flow.ExceptAll, plan.Except: flow.Except, plan.IntersectAll: flow.IntersectAll, plan.Intersect: flow.Intersect}[r.Set]
		return &lowered{node: f.Set(kind, a.node, b.node), at: positions(r.Cols)}
	case plan.TopK:
		in := l.exact(l.rel(r.In[0]), r.Cols)
		return &lowered{node: f.TopK(in.node, flow.TopK{Partition: l.columns(in, r.Keys), Sorts: l.sorts(in, r.Order), Offset: r.Offset, Limit: r.Limit,
			Expire: l.expiry(in, in.closes, r.Keys)}), at: in.at}
	case plan.Window:
		return l.window(r)
	case plan.Expand:
		return l.expand(r)
	case plan.Session:
		return l.session(r)
	}
	panic(sqlerr.Unsupported(r.Pos, "this part of the query"))
}

// want notes what a filter wants of the table that it alone reads: nobody misses the
// rows that it would drop, unless to look at one of them is an error.
func (l *lowering) want(filter *plan.Rel) {
	scan := filter.In[0]
	if scan.Op != plan.Scan || l.readers[scan] > 1 {
		return
	}
	fails := false
	filter.Pred.Walk(func(n *expr.Node) { fails = fails || n.Op == expr.Call && !n.Func.Total() })
	if fails {
		return
	}
	at := slices.IndexFunc(l.p.Sources, func(s Source) bool { return s.node == l.done[scan].node })
	for _, c := range filter.Pred.Conjuncts() {
		x, v, nullSafe := equality(c)
		if x == nil || nullSafe {
			continue
		}
		if x.IsConst() {
			x, v = v, x
		}
		if x.Op != expr.Column || !v.IsConst() || v.Value.IsNull || x.Type != v.Type || !bySameBytes(x.Type) {
			continue
		}
		i := slices.IndexFunc(scan.Cols, func(c plan.Col) bool { return c.ID == x.Index })
		l.p.Sources[at].Equal = append(l.p.Sources[at].Equal, Equal{scan.Source[i], v.Value})
	}
}

// bySameBytes tells of types whose values are equal only if they are the same (decision 15).
func bySameBytes(t row.Type) bool {
	switch t.Kind {
	case row.Bool, row.Int2, row.Int4, row.Int8, row.Numeric, row.Text, row.Bytea, row.Date, row.Time, row.Timestamp, row.Timestamptz, row.UUID:
		return true
	}
	return false
}

// exact projects to columns, in their order, if they are not what is there.
func (l *lowering) exact(x *lowered, cols []plan.Col) *lowered {
	same := len(l.types(x)) == len(cols)
	var exprs []row.Expr
	for i, c := range cols {
		k, ok := x.at[c.ID]
		if !ok {
			panic(sqlerr.New(sqlerr.InternalError, "column %d is missing from the plan", c.ID))
		}
		same = same && k == i
		exprs = append(exprs, row.Col{Index: k, Of: l.types(x)[k]})
	}
	if same {
		return x
	}
	return &lowered{node: l.p.flow.Project(x.node, exprs...), at: positions(cols), closes: x.closes}
}

// local gives an expression the positions of a relation's columns.
func local(x *lowered, e *expr.Node) *expr.Node {
	return e.Map(func(n *expr.Node) *expr.Node {
		if n.Op != expr.Column {
			return n
		}
		k, ok := x.at[n.Index]
		if !ok {
			panic(sqlerr.New(sqlerr.InternalError, "column %d is missing from the plan", n.Index))
		}
		return expr.Col(k, n.Type, n.Pos)
	})
}

// expr compiles an expression over a relation. A column costs nothing.
func (l *lowering) expr(x *lowered, e *expr.Node) row.Expr {
	e = local(x, e)
	if e.Op == expr.Column {
		return row.Col{Index: e.Index, Of: e.Type}
	}
	return expr.Compile(e)
}

func (l *lowering) exprs(x *lowered, list []*expr.Node) (out []row.Expr) {
	for _, e := range list {
		out = append(out, l.expr(x, e))
	}
	return out
}

func (l *lowering) columns(x *lowered, ids []int) (out []int) {
	for _, id := range ids {
		out = append(out, x.at[id])
	}
	return out
}

func (l *lowering) sorts(x *lowered, order []plan.Order) (out []row.Sort) {
	for _, o := range order {
		out = append(out, row.Sort{Col: x.at[o.Col], Desc: o.Desc, NullsFirst: o.NullsFirst})
	}
	return out
}

// with adds computed columns behind a relation's; the positions of the new ones
// are returned.
func (l *lowering) with(x *lowered, list []*expr.Node) (*lowered, []int) {
	types := l.types(x)
	var exprs []row.Expr
	for i, t := range types {
		exprs = append(exprs, row.Col{Index: i, Of: t})
	}
	var at []int
	for _, e := range list {
		c := l.expr(x, e)
		if k, ok := c.(row.Col); ok {
			at = append(at, k.Index)
			continue
		}
		at = append(at, len(exprs))
		exprs = append(exprs, c)
	}
	if len(exprs) == len(types) {
		return x, at
	}
	return &lowered{node: l.p.flow.Project(x.node, exprs...), at: x.at, closes: x.closes}, at
}

// values computes rows of constants now.
func (l *lowering) values(r *plan.Rel) *lowered {
	var types []row.Type
	for _, c := range r.Cols {
		types = append(types, c.Type)
	}
	b := zset.NewBatch(types)
	none := &lowered{at: map[int]int{}}
	for _, list := range r.Rows {
		for i, e := range list {
			var v row.Vector
			var errs row.Errors
			expr.Compile(local(none, e)).Eval(&row.Batch{N: 1}, &v, &errs)
			if errs.Any() {
				panic(sqlerr.At(e.Pos, sqlerr.State(errs.List[0].Err.Code), "%s", errs.List[0].Err.Text))
			}
			b.Cols[i].AppendRow(&v, 0)
		}
		b.N++
		b.W = append(b.W, 1)
	}
	node := l.p.flow.Source(types)
	l.p.rows = append(l.p.rows, constant{node, b})
	return &lowered{node: node, at: positions(r.Cols)}
}

// join finds the equal keys in a join's condition; the rest stays a condition.
func (l *lowering) join(r *plan.Rel) *lowered {
	a, b := l.rel(r.In[0]), l.rel(r.In[1])
	var lk, rk, rest []*expr.Node
	for _, c := range r.Pred.Conjuncts() {
		x, y, nullSafe := equality(c)
		if x != nil && within(a, y) && within(b, x) {
			x, y = y, x
		}
		if x == nil || x.Type.Kind == row.Interval || !within(a, x) || !within(b, y) || !simple(x) || !simple(y) {
			rest = append(rest, c)
			continue
		}
		if nullSafe {
			lk, rk = append(lk, expr.Boolean(expr.IsNull, c.Pos, x), known(x)), append(rk, expr.Boolean(expr.IsNull, c.Pos, y), known(y))
		} else {
			lk, rk = append(lk, x), append(rk, y)
		}
	}
	var j flow.Join
	left, lkeys := l.with(a, lk)
	right, rkeys := l.with(b, rk)
	j.Left, j.Right, j.LeftKey, j.RightKey = left.node, right.node, lkeys, rkeys
	j.Kind = map[plan.JoinKind]flow.JoinKind{plan.Inner: flow.Inner, plan.Left: flow.Left, plan.Full: flow.Full, plan.Semi: flow.Semi, plan.Anti: flow.Anti}[r.Kind]
	both := &lowered{at: map[int]int{}}
	for id, k := range left.at {
		both.at[id] = k
	}
	width := len(l.types(left))
	for id, k := range right.at {
		both.at[id] = k + width
	}
	if pred := expr.All(rest); pred != nil {
		j.On = l.expr(both, pred)
	}
	j.NullAware = r.NullAware
	node := l.p.flow.Join(j)
	if r.Kind == plan.Semi || r.Kind == plan.Anti {
		return &lowered{node: node, at: left.at}
	}
	both.node = node
	return both
}

// equality takes an equality apart: x = y, or NOT (x IS DISTINCT FROM y).
func equality(c *expr.Node) (x, y *expr.Node, nullSafe bool) {
	switch {
	case c.Op == expr.Call && c.Func.Name == "=":
		return c.Args[0], c.Args[1], false
	case c.Op == expr.Not && c.Args[0].Op == expr.IsDistinct:
		return c.Args[0].Args[0], c.Args[0].Args[1], true
	}
	return nil, nil, false
}

// within reports whether an expression has columns, all of them x's.
func within(x *lowered, e *expr.Node) bool {
	ok, some := true, false
	e.Walk(func(n *expr.Node) {
		if n.Op == expr.Column {
			_, has := x.at[n.Index]
			ok, some = ok && has, true
		}
	})
	return ok && some
}

// simple reports whether an expression cannot fail: a key is computed for rows
// that a condition might have spared.
func simple(e *expr.Node) bool {
	ok := true
	e.Walk(func(n *expr.Node) { ok = ok && (n.Op != expr.Call || n.Func.Total()) })
	return ok
}

// known is x, or some value of its type where it is null.
func known(x *expr.Node) *expr.Node {
	v := row.Value{Type: x.Type}
	if !x.Type.Fixed() {
		v.B = zero(x.Type)
	}
	return &expr.Node{Op: expr.Coalesce, Type: x.Type, Args: []*expr.Node{x, expr.Constant(v, x.Pos)}, Pos: x.Pos}
}

// zero is some value of a type that is not fixed.
func zero(t row.Type) []byte {
	text := map[row.Kind]string{row.Numeric: "0", row.Interval: "0", row.UUID: "00000000-0000-0000-0000-000000000000", row.JSONB: "null", row.Array: "{}"}[t.Kind]
	v, err := row.Parse(t, []byte(text))
	if err != nil {
		panic(sqlerr.New(sqlerr.InternalError, "no zero of type %s: %v", t, err))
	}
	return v.B
}

func (l *lowering) aggregate(r *plan.Rel) *lowered {
	in := l.rel(r.In[0])
	spec := flow.Aggregate{Key: l.columns(in, r.Keys), Scalar: len(r.Keys) == 0, Expire: l.expiry(in, in.closes, r.Keys)}
	for _, a := range r.Aggs {
		kind, ok := aggregates[a.Name]
		if !ok {
			panic(sqlerr.Unsupported(r.Pos, "aggregate %s", a.Name))
		}
		f := flow.Agg{Kind: kind, Distinct: a.Distinct, Order: l.sorts(in, a.Order), Delimiter: a.Sep}
		if a.Arg < 0 {
			f.Kind = flow.CountRows
		} else {
			f.Arg = in.at[a.Arg]
		}
		if a.Filter >= 0 {
			f.Filter = in.at[a.Filter] + 1
		}
		spec.Aggs = append(spec.Aggs, f)
	}
	return &lowered{node: l.p.flow.Aggregate(in.node, spec), at: positions(r.Cols)}
}

var aggregates = map[string]flow.AggKind{
	"count": flow.Count, "sum": flow.SumOf, "avg": flow.Avg, "min": flow.Min, "max": flow.Max,
	"bool_and": flow.BoolAnd, "bool_or": flow.BoolOr, "array_agg": flow.ArrayAgg, "string_agg": flow.StringAgg,
}

var windowKinds = map[string]flow.WindowKind{
	"row_number": flow.RowNumber, "rank": flow.Rank, "dense_rank": flow.DenseRank, "ntile": flow.Ntile, "lag": flow.Lag,
	"lead": flow.Lead, "first_value": flow.FirstValue, "last_value": flow.LastValue, "nth_value": flow.NthValue,
}

func (l *lowering) window(r *plan.Rel) *lowered {
	in := l.rel(r.In[0])
	spec := flow.Window{Partition: l.columns(in, r.Keys), Sorts: l.sorts(in, r.Order), Expire: l.expiry(in, in.closes, r.Keys)}
	at := map[int]int{}
	for id, k := range in.at {
		at[id] = k
	}
	base := len(l.types(in))
	for i, f := range r.Funcs {
		at[r.Cols[len(r.Cols)-len(r.Funcs)+i].ID] = base + i
		w := flow.WindowFunc{Offset: 1, Frame: flow.DefaultFrame()}
		if len(f.Args) > 0 {
			w.Arg = in.at[f.Args[0]]
		}
		if len(f.Const) > 0 {
			if f.Const[0].IsNull {
				panic(sqlerr.Unsupported(r.Pos, "a null argument of %s", f.Name))
			}
			w.Offset = f.Const[0].I
		}
		if len(f.Const) > 1 {
			w.Default = f.Const[1]
		}
		if f.Frame != nil {
			w.Frame = frame(f.Frame)
		}
		kind, ok := windowKinds[f.Name]
		if agg, is := aggregates[f.Name]; is {
			kind, ok, w.Agg = flow.WindowAgg, true, agg
			if len(f.Args) == 0 {
				w.Agg = flow.CountRows
			}
		}
		if !ok {
			panic(sqlerr.Unsupported(r.Pos, "window function %s", f.Name))
		}
		if (kind == flow.Lag || kind == flow.Lead) && w.Offset < 0 { // the other way
			kind, w.Offset = flow.Lag+flow.Lead-kind, -w.Offset
		}
		w.Kind = kind
		spec.Funcs = append(spec.Funcs, w)
	}
	return &lowered{node: l.p.flow.Window(in.node, spec), at: at}
}

func frame(f *plan.Frame) flow.Frame {
	bound := func(b plan.Bound) flow.Bound {
		kind := map[tree.BoundKind]flow.BoundKind{tree.Preceding: flow.Preceding, tree.CurrentRow: flow.CurrentRow, tree.Following: flow.Following}
		return flow.Bound{Kind: kind[b.Kind], Offset: b.Offset} // Unbounded is the zero value
	}
	mode := map[tree.FrameMode]flow.FrameMode{tree.Range: flow.Range, tree.Rows: flow.Rows, tree.Groups: flow.Groups}[f.Mode]
	return flow.Frame{Mode: mode, Start: bound(f.Start), End: bound(f.End)}
}

func (l *lowering) session(r *plan.Rel) *lowered {
	in, at := l.with(l.rel(r.In[0]), append([]*expr.Node{r.Exprs[0]}, r.Exprs[2:]...))
	width := span(row.DecodeInterval(r.Exprs[1].Value.B))
	spec := flow.Window{Partition: at[1:], Sorts: []row.Sort{{Col: at[0]}}, Funcs: []flow.WindowFunc{{Kind: flow.SessionStart, Offset: width}, {Kind: flow.SessionEnd, Offset: width}}}
	for _, c := range r.Closes { // sessions end, and their state with them
		spec.Session, spec.Expire = width, flow.Expiry{Col: 1, Clock: l.clock(c.Table), After: width}
	}
	base := len(l.types(in))
	out := &lowered{node: l.p.flow.Window(in.node, spec), at: map[int]int{}}
	for id, k := range in.at {
		out.at[id] = k
	}
	for i := range 2 {
		out.at[r.Cols[len(r.Cols)-2+i].ID] = base + i
	}
	return out
}

func (l *lowering) expand(r *plan.Rel) *lowered {
	in, at := l.with(l.rel(r.In[0]), r.Exprs)
	own := len(r.Cols) - len(r.In[0].Cols)
	var types []row.Type
	for _, c := range r.Cols[len(r.In[0].Cols):] {
		types = append(types, c.Type)
	}
	var x row.Expander
	switch r.Name {
	case "generate_series":
		x = &series{types: types, at: at}
	case "unnest":
		x = &unnest{types: types, at: at[0]}
	case "hop":
		slide, size := row.DecodeInterval(r.Exprs[1].Value.B), row.DecodeInterval(r.Exprs[2].Value.B)
		x = &hop{types: types, at: at[0], slide: span(slide), size: span(size)}
	default:
		panic(sqlerr.Unsupported(r.Pos, "function %s in FROM", r.Name))
	}
	base := len(l.types(in))
	out := &lowered{node: l.p.flow.Expand(in.node, x), at: map[int]int{}}
	for id, k := range in.at {
		out.at[id] = k
	}
	for i := range own {
		out.at[r.Cols[len(r.In[0].Cols)+i].ID] = base + i
	}
	return out
}

func span(v row.IntervalValue) int64 { return int64(v.Days)*86_400_000_000 + v.Micros }

// asError makes an error of SQL of a circuit's.
func asError(err error) error {
	var e *row.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flow.ErrMemory):
		return sqlerr.New(sqlerr.OutOfMemory, "%v", err)
	case errors.As(err, &e):
		return sqlerr.New(sqlerr.State(e.Code), "%s", e.Text)
	}
	return err
}
