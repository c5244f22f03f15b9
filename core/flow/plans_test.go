package flow

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"actordb/core/row"
)

// A twin is a node of a plan beside its naive evaluation.
type twin struct {
	node Node
	eval func(sources []nrel) nrel
}

// kind letters of the columns that random plans have.
var (
	tInt  = row.Of(row.Int8)
	tInt4 = row.Of(row.Int4)
	tText = row.Of(row.Text)
	tBool = row.Of(row.Bool)
)

// compareConst is column < constant.
type compareConst struct {
	col int
	x   int64
}

func (compareConst) Type() row.Type { return tBool }

func (e compareConst) Eval(in *row.Batch, out *row.Vector, _ *row.Errors) {
	out.Reset(tBool)
	v := in.Cols[e.col]
	for i := range in.N {
		if v.Null(i) {
			out.AppendNull()
		} else {
			out.AppendBool(v.I[i] < e.x)
		}
	}
}

func (e compareConst) naive(r nrow) any {
	if r[e.col] == nil {
		return nil
	}
	return r[e.col].(int64) < e.x
}

// quotient is 6 / column: it fails for 0.
type quotient struct {
	col int
	t   row.Type
}

func (e quotient) Type() row.Type { return e.t }

func (e quotient) Eval(in *row.Batch, out *row.Vector, errs *row.Errors) {
	out.Reset(e.t)
	v := in.Cols[e.col]
	for i := range in.N {
		switch {
		case v.Null(i):
			out.AppendNull()
		case v.I[i] == 0:
			out.AppendNull()
			errs.Add(i, row.Errorf(row.CodeDivisionByZero, "division by zero"))
		default:
			out.AppendInt(6 / v.I[i])
		}
	}
}

func (e quotient) naive(r nrow) (any, string) {
	if r[e.col] == nil {
		return nil, ""
	}
	if r[e.col].(int64) == 0 {
		return nil, row.CodeDivisionByZero + "division by zero"
	}
	return 6 / r[e.col].(int64), ""
}

// isOne is a predicate with errors: 6 / column < 3.
type small6 struct{ quotient }

func (small6) Type() row.Type { return tBool }

func (e small6) Eval(in *row.Batch, out *row.Vector, errs *row.Errors) {
	var q row.Vector
	quotient{e.col, tInt}.Eval(in, &q, errs)
	out.Reset(tBool)
	for i := range in.N {
		if q.Null(i) {
			out.AppendNull()
		} else {
			out.AppendBool(q.I[i] < 3)
		}
	}
}

func (e small6) naive(r nrow) (bool, string) {
	x, err := e.quotient.naive(r)
	return x != nil && x.(int64) < 3, err
}

// repeat expands a row to the numbers 1 to its column's value.
type repeat struct{ col int }

func (repeat) Types() []row.Type { return []row.Type{tInt} }

func (e repeat) Expand(in *row.Batch, out *row.Batch, counts []int32, _ *row.Errors) []int32 {
	for i := range in.N {
		n := in.Cols[e.col].I[i]
		for k := range n {
			out.Cols[0].AppendInt(k + 1)
			out.N++
		}
		counts = append(counts, int32(max(n, 0)))
	}
	return counts
}

// planner draws plans.
type planner struct {
	t *rapid.T
	p *Plan
}

func (g *planner) colsOf(n Node, kind row.Kind) (cols []int) {
	for i, typ := range g.p.Types(n) {
		if typ.Kind == kind {
			cols = append(cols, i)
		}
	}
	return cols
}

func (g *planner) anyCols(n Node, most int) []int {
	var cols []int
	for range rapid.IntRange(0, most).Draw(g.t, "ncols") {
		if c := rapid.IntRange(0, len(g.p.Types(n))-1).Draw(g.t, "col"); !slices.Contains(cols, c) {
			cols = append(cols, c)
		}
	}
	return cols
}

func (g *planner) sorts(n Node, most int) (sorts []row.Sort, naive []nsort) {
	for _, c := range g.anyCols(n, most) {
		s := row.Sort{Col: c, Desc: rapid.Bool().Draw(g.t, "desc"), NullsFirst: rapid.Bool().Draw(g.t, "nf")}
		sorts = append(sorts, s)
		naive = append(naive, nsort{s.Col, s.Desc, s.NullsFirst})
	}
	return sorts, naive
}

// narrow projects to columns that sources have: bigint, text, bigint; so that
// everything can be combined with everything.
func (g *planner) narrow(w twin) twin {
	ints, texts := g.colsOf(w.node, row.Int8), g.colsOf(w.node, row.Text)
	draw := func(cols []int, t row.Type) (row.Expr, func(nrow) any) {
		if len(cols) == 0 {
			return row.Const{Value: row.NullOf(t)}, func(nrow) any { return nil }
		}
		c := rapid.SampledFrom(cols).Draw(g.t, "pick")
		return row.Col{Index: c, Of: t}, func(r nrow) any { return r[c] }
	}
	x, fx := draw(ints, tInt)
	y, fy := draw(texts, tText)
	z, fz := draw(ints, tInt)
	return twin{g.p.Project(w.node, x, y, z), func(s []nrel) nrel {
		in := w.eval(s)
		out := nrel{errs: in.errs}
		for _, r := range in.rows {
			out.rows = append(out.rows, nrow{fx(r), fy(r), fz(r)})
		}
		return out
	}}
}

var opNames = []string{"filter", "failing", "project", "expand", "union", "join", "join", "distinct", "set", "aggregate", "aggregate", "topk", "window", "session", "frame"}

// op draws an operator over the inputs, which have the columns of sources.
func (g *planner) op(name string, l, r twin) twin {
	t, p := g.t, g.p
	unary := func(f func(nrel) nrel) func([]nrel) nrel { return func(s []nrel) nrel { return f(l.eval(s)) } }
	switch name {
	case "filter":
		e := compareConst{rapid.SampledFrom([]int{0, 2}).Draw(t, "col"), rapid.Int64Range(0, 3).Draw(t, "x")}
		return twin{p.Filter(l.node, e), unary(func(in nrel) nrel {
			out := nrel{errs: in.errs}
			for _, x := range in.rows {
				if e.naive(x) == true {
					out.rows = append(out.rows, x)
				}
			}
			return out
		})}
	case "failing":
		e := small6{quotient{0, tInt}}
		return twin{p.Filter(l.node, e), unary(func(in nrel) nrel {
			out := nrel{errs: slices.Clone(in.errs)}
			for _, x := range in.rows {
				ok, err := e.naive(x)
				if err != "" {
					out.errs = append(out.errs, err)
				}
				if ok {
					out.rows = append(out.rows, x)
				}
			}
			return out
		})}
	case "project":
		e := quotient{2, tInt}
		return twin{p.Project(l.node, e, row.Col{Index: 1, Of: tText}, row.Col{Index: 0, Of: tInt}), unary(func(in nrel) nrel {
			out := nrel{errs: slices.Clone(in.errs)}
			for _, x := range in.rows {
				q, err := e.naive(x)
				if err != "" {
					out.errs = append(out.errs, err)
					continue
				}
				out.rows = append(out.rows, nrow{q, x[1], x[0]})
			}
			return out
		})}
	case "expand":
		return twin{p.Expand(l.node, repeat{0}), unary(func(in nrel) nrel {
			out := nrel{errs: in.errs}
			for _, x := range in.rows {
				if x[0] == nil {
					continue
				}
				for k := range x[0].(int64) {
					out.rows = append(out.rows, append(slices.Clone(x), k+1))
				}
			}
			return out
		})}
	case "union":
		return twin{p.Union(l.node, r.node), func(s []nrel) nrel {
			a, b := l.eval(s), r.eval(s)
			return nrel{append(slices.Clone(a.rows), b.rows...), append(slices.Clone(a.errs), b.errs...)}
		}}
	case "join":
		return g.join(l, r)
	case "distinct":
		return twin{p.Distinct(l.node), unary(func(in nrel) nrel {
			out := nset(Intersect, in, in)
			out.errs = in.errs
			return out
		})}
	case "set":
		kind := SetKind(rapid.IntRange(0, 3).Draw(t, "set"))
		return twin{p.Set(kind, l.node, r.node), func(s []nrel) nrel { return nset(kind, l.eval(s), r.eval(s)) }}
	case "aggregate":
		return g.aggregate(l)
	case "topk":
		part := g.anyCols(l.node, 1)
		sorts, ns := g.sorts(l.node, 2)
		offset, limit := rapid.IntRange(0, 2).Draw(t, "offset"), rapid.IntRange(-1, 3).Draw(t, "limit")
		return twin{p.TopK(l.node, TopK{Partition: part, Sorts: sorts, Offset: int64(offset), Limit: int64(limit)}), unary(func(in nrel) nrel { return ntopk(in, part, ns, offset, limit) })}
	}
	return g.window(l, name)
}

func (g *planner) join(l, r twin) twin {
	t := g.t
	keys := rapid.SampledFrom([][2][]int{{{0}, {0}}, {{0}, {2}}, {{1}, {1}}, {{0, 1}, {2, 1}}, {{}, {}}}).Draw(t, "keys")
	j := Join{Kind: JoinKind(rapid.IntRange(0, 5).Draw(t, "kind")), Left: l.node, Right: r.node, LeftKey: keys[0], RightKey: keys[1]}
	var on func(nrow) (bool, string)
	switch rapid.IntRange(0, 3).Draw(t, "on") {
	case 0:
		e := compareConst{5, 2}
		j.On, on = e, func(x nrow) (bool, string) { return e.naive(x) == true, "" }
	case 1:
		e := small6{quotient{3, tInt}}
		j.On, on = e, e.naive
	case 2:
		if j.Kind == Anti && len(keys[0]) == 1 {
			j.NullAware = true
			return twin{g.p.Join(j), func(s []nrel) nrel {
				a, b := l.eval(s), r.eval(s)
				out := nrel{errs: append(slices.Clone(a.errs), b.errs...)}
				for _, x := range a.rows {
					in, unknown := false, x[keys[0][0]] == nil && len(b.rows) > 0
					for _, y := range b.rows {
						unknown = unknown || y[keys[1][0]] == nil
						in = in || nequal(x, keys[0], y, keys[1])
					}
					if !in && !unknown {
						out.rows = append(out.rows, x)
					}
				}
				return out
			}}
		}
	}
	return twin{g.p.Join(j), func(s []nrel) nrel { return njoin(j.Kind, l.eval(s), r.eval(s), keys[0], keys[1], 3, 3, on) }}
}

func (g *planner) aggregate(l twin) twin {
	t := g.t
	// A column to FILTER by, and one to aggregate as a boolean.
	e := compareConst{2, 2}
	in := g.p.Project(l.node, row.Col{Index: 0, Of: tInt}, row.Col{Index: 1, Of: tText}, row.Col{Index: 2, Of: tInt}, e)
	key := g.anyCols(l.node, 2)
	spec := Aggregate{Key: key, Scalar: len(key) == 0 && rapid.Bool().Draw(t, "scalar")}
	var naive []nagg
	for range rapid.IntRange(0, 3).Draw(t, "aggs") {
		kind := rapid.SampledFrom([]AggKind{CountRows, Count, SumOf, Min, Max, BoolAnd, BoolOr, ArrayAgg, StringAgg}).Draw(t, "agg")
		a := Agg{Kind: kind, Arg: rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "arg")}
		switch kind {
		case SumOf:
			a.Arg = 0
		case BoolAnd, BoolOr:
			a.Arg = 3
		case StringAgg:
			a.Arg, a.Delimiter = 1, row.Value{Type: tText, B: []byte(",")}
		}
		n := nagg{kind: kind, arg: a.Arg, filter: -1}
		if rapid.IntRange(0, 2).Draw(t, "filter") == 0 {
			a.Filter, n.filter = 4, 3
		}
		if kind != CountRows && rapid.IntRange(0, 2).Draw(t, "distinct") == 0 {
			a.Distinct, n.distinct = true, true
		}
		if kind == ArrayAgg || kind == StringAgg {
			if a.Distinct {
				a.Order, n.order = []row.Sort{{Col: a.Arg, Desc: true}}, []nsort{{a.Arg, true, false}}
			} else {
				a.Order, n.order = g.sorts(in, 2)
			}
		}
		spec.Aggs, naive = append(spec.Aggs, a), append(naive, n)
	}
	return twin{g.p.Aggregate(in, spec), func(s []nrel) nrel {
		rel := l.eval(s)
		with := nrel{errs: rel.errs}
		for _, r := range rel.rows {
			with.rows = append(with.rows, append(slices.Clone(r), e.naive(r)))
		}
		return naggregate(with, key, spec.Scalar, naive)
	}}
}

// window draws window functions; of a session, or of aggregates over frames, if
// the name says so.
func (g *planner) window(l twin, name string) twin {
	t := g.t
	part := g.anyCols(l.node, 1)
	sorts, ns := g.sorts(l.node, 2)
	if name != "window" || rapid.Bool().Draw(t, "by int") {
		s := row.Sort{Col: 0, Desc: name != "session" && rapid.Bool().Draw(t, "desc"), NullsFirst: rapid.Bool().Draw(t, "nf")}
		sorts, ns = []row.Sort{s}, []nsort{{s.Col, s.Desc, s.NullsFirst}}
	}
	spec := Window{Partition: part, Sorts: sorts}
	for range rapid.IntRange(1, 3).Draw(t, "funcs") {
		f := WindowFunc{Kind: WindowKind(rapid.IntRange(0, int(SessionEnd)).Draw(t, "func")), Arg: rapid.IntRange(0, 2).Draw(t, "arg")}
		switch name {
		case "session":
			f.Kind = rapid.SampledFrom([]WindowKind{SessionStart, SessionEnd}).Draw(t, "func")
		case "frame":
			f.Kind = rapid.SampledFrom([]WindowKind{WindowAgg, FirstValue, LastValue, NthValue}).Draw(t, "func")
		}
		f.Offset = rapid.Int64Range(1, 3).Draw(t, "offset")
		if f.Kind == SessionStart || f.Kind == SessionEnd {
			if len(sorts) == 0 || sorts[0].Desc || sorts[0].Col == 1 {
				continue
			}
			f.Offset--
		}
		f.Agg = rapid.SampledFrom([]AggKind{CountRows, Count, SumOf, Min, Max}).Draw(t, "agg")
		if f.Agg == SumOf {
			f.Arg = 2
		}
		f.Frame = g.frame(sorts)
		spec.Funcs = append(spec.Funcs, f)
	}
	return twin{g.p.Window(l.node, spec), func(s []nrel) nrel { return nwindow(l.eval(s), part, ns, spec.Funcs) }}
}

func (g *planner) frame(sorts []row.Sort) Frame {
	t := g.t
	mode := rapid.SampledFrom([]FrameMode{Range, Rows, Groups}).Draw(t, "mode")
	if mode == Groups && len(sorts) == 0 {
		mode = Rows
	}
	offsets := mode != Range || len(sorts) == 1 && sorts[0].Col != 1
	bound := func(start bool) Bound {
		b := Bound{BoundKind(rapid.IntRange(0, 3).Draw(t, "bound")), rapid.Int64Range(0, 2).Draw(t, "n")}
		if (b.Kind == Preceding || b.Kind == Following) && !offsets {
			b.Kind = CurrentRow
		}
		return b
	}
	return Frame{mode, bound(true), bound(false)}
}

// draw makes a plan of some operators over two sources, with an output.
func (g *planner) draw(ops int, names []string) (sources []Node, out twin) {
	g.p = NewPlan()
	var pool []twin
	for i := range 2 {
		n := g.p.Source([]row.Type{tInt, tText, tInt})
		sources = append(sources, n)
		pool = append(pool, twin{n, func(s []nrel) nrel { return s[i] }})
	}
	for range ops {
		name := rapid.SampledFrom(names).Draw(g.t, "op")
		pickOne := func() twin {
			w := rapid.SampledFrom(pool).Draw(g.t, "input")
			if !slices.Equal(g.p.Types(w.node), []row.Type{tInt, tText, tInt}) {
				w = g.narrow(w)
			}
			return w
		}
		pool = append(pool, g.op(name, pickOne(), pickOne()))
	}
	out = pool[len(pool)-1]
	last := out.eval
	out.eval = func(s []nrel) nrel { // a circuit tells the errors of all of its nodes
		rel := last(s)
		for _, w := range pool {
			rel.errs = append(slices.Clone(rel.errs), w.eval(s).errs...)
		}
		return rel
	}
	if g.p.err != nil {
		panic(fmt.Sprint("a plan was drawn that cannot be: ", g.p.err))
	}
	return sources, out
}
