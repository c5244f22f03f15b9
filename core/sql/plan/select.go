package plan

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// aggregateArguments is a place, for errors.
const aggregateArguments = "the arguments of aggregate functions"

// group is what a SELECT aggregates.
type group struct {
	in   *scope       // before: FROM and WHERE
	keys []*expr.Node // over in
	pre  *Rel         // Project: the keys, then the aggregates' arguments
	agg  *Rel         // Aggregate
}

// windows are the window functions of a SELECT.
type windows struct {
	named []tree.Window
	calls []windowCall
}

type windowCall struct {
	name   string
	args   []*expr.Node
	consts []row.Value
	keys   []*expr.Node
	order  []*expr.Node
	flags  []tree.Order
	frame  *Frame
	out    Col
}

// selectBody binds SELECT: in the order in which SQL evaluates it.
func (b *binder) selectBody(q *tree.SelectBody, order []tree.Order, outer *scope) (*Rel, []Col, []Order) {
	s := b.from(q.From, outer)
	s.place = "WHERE"
	b.where(q.Where, s)
	items := b.expand(q.Items, s)
	if len(q.GroupBy) > 0 || q.Having != nil || hasAggregate(items, order) {
		s = b.grouped(q, items, s)
	}
	s.place = "HAVING"
	if q.Having != nil {
		n := b.condition(q.Having, s, "HAVING")
		s.rel = &Rel{Op: Filter, In: []*Rel{s.rel}, Cols: s.rel.Cols, Pred: n, Pos: q.Having.At()}
	}
	s.win = &windows{named: q.Windows}
	out := &Rel{Op: Project, Pos: q.Pos}
	for _, item := range items {
		n := b.output(item.Expr, s)
		if expr.Unknown(n.Type) {
			n = must(expr.Coerce(n, row.Of(row.Text)))
		}
		name := item.Alias
		if name == "" {
			name = tree.OutputName(item.Expr)
		}
		out.Exprs = append(out.Exprs, n)
		out.Cols = append(out.Cols, b.p.fresh(name, n.Type))
	}
	cols := slices.Clone(out.Cols)
	var sorts []Order
	for _, o := range order {
		c, ok := outputColumn(o.Expr, cols, "ORDER BY")
		if !ok {
			n := b.expr(o.Expr, s)
			if i := slices.IndexFunc(out.Exprs, func(x *expr.Node) bool { return expr.Equal(x, n) }); i >= 0 {
				c = out.Cols[i]
			} else if q.Distinct {
				fail(o.Expr, sqlerr.InvalidColumnRef, "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
			} else {
				if expr.Unknown(n.Type) {
					n = must(expr.Coerce(n, row.Of(row.Text)))
				}
				c = b.p.fresh("?column?", n.Type)
				out.Exprs, out.Cols = append(out.Exprs, n), append(out.Cols, c)
			}
		}
		sorts = append(sorts, Order{c.ID, o.Descending, o.NullsFirst})
	}
	keys := b.distinctOn(q, s, out, cols, sorts)
	rel := b.finishGroup(s, out)
	b.windowed(s, rel)
	if len(keys) > 0 {
		rel = &Rel{Op: TopK, In: []*Rel{rel}, Cols: rel.Cols, Keys: keys, Order: sorts, Limit: 1, Pos: q.Pos}
	}
	if q.Distinct {
		rel = &Rel{Op: Distinct, In: []*Rel{rel}, Cols: rel.Cols, Pos: q.Pos}
	}
	return rel, cols, sorts
}

// distinctOn adds the columns that DISTINCT ON names. ORDER BY, which says which
// row is the first, must begin with them.
func (b *binder) distinctOn(q *tree.SelectBody, s *scope, out *Rel, cols []Col, sorts []Order) (keys []int) {
	for _, e := range q.DistinctOn {
		c, ok := outputColumn(e, cols, "DISTINCT ON")
		if !ok {
			n := b.expr(e, s)
			if expr.Unknown(n.Type) {
				n = must(expr.Coerce(n, row.Of(row.Text)))
			}
			i := slices.IndexFunc(out.Exprs, func(x *expr.Node) bool { return expr.Equal(x, n) })
			if i < 0 {
				i = len(out.Cols)
				out.Exprs, out.Cols = append(out.Exprs, n), append(out.Cols, b.p.fresh("?column?", n.Type))
			}
			c = out.Cols[i]
		}
		if !slices.Contains(keys, c.ID) {
			keys = append(keys, c.ID)
		}
	}
	for i, o := range sorts {
		if i < len(keys) && !slices.Contains(keys, o.Col) {
			fail(q.DistinctOn[0], sqlerr.InvalidColumnRef, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
		}
	}
	return keys
}

// expand replaces * and t.*.
func (b *binder) expand(items []tree.Item, s *scope) (out []tree.Item) {
	for _, item := range items {
		ref, ok := item.Expr.(*tree.ColumnRef)
		if !ok || !ref.Star {
			out = append(out, item)
			continue
		}
		table := ""
		if len(ref.Names) > 0 {
			table = ref.Names[len(ref.Names)-1]
		}
		n := len(out)
		for _, x := range s.entries {
			if table == "" && x.hidden || table != "" && x.table != table {
				continue
			}
			r := &tree.ColumnRef{Names: []string{x.name}}
			if x.table != "" {
				r.Names = []string{x.table, x.name}
			}
			r.SetPos(ref.Pos)
			i := tree.Item{Expr: r, Alias: x.name}
			i.SetPos(item.Pos)
			out = append(out, i)
		}
		if len(out) == n && table != "" {
			fail(ref, sqlerr.UndefinedTable, "missing FROM-clause entry for table %q", table)
		}
		if len(s.entries) == 0 {
			fail(ref, sqlerr.SyntaxError, "SELECT * with no tables specified is not valid")
		}
	}
	return out
}

func hasAggregate(items []tree.Item, order []tree.Order) (found bool) {
	look := func(e tree.Expr) {
		tree.Walk(e, func(e tree.Expr) bool {
			c, ok := e.(*tree.Call)
			found = found || ok && c.Over == nil && isAggregate(c.Name)
			return true
		})
	}
	for _, i := range items {
		look(i.Expr)
	}
	for _, o := range order {
		look(o.Expr)
	}
	return found
}

// grouped makes the scope of what stands after GROUP BY.
func (b *binder) grouped(q *tree.SelectBody, items []tree.Item, in *scope) *scope {
	g := &group{in: in, pre: &Rel{Op: Project, Pos: q.Pos}}
	g.agg = &Rel{Op: Aggregate, In: []*Rel{g.pre}, Pos: q.Pos}
	in.place = "GROUP BY"
	for _, e := range q.GroupBy {
		n := b.expr(groupExpr(e, items, in), in)
		if expr.Unknown(n.Type) {
			n = must(expr.Coerce(n, row.Of(row.Text)))
		}
		c := b.argument(g, n)
		if slices.Contains(g.agg.Keys, c.ID) {
			continue
		}
		g.keys = append(g.keys, n)
		g.agg.Keys = append(g.agg.Keys, c.ID)
		g.agg.Cols = append(g.agg.Cols, c)
	}
	return &scope{entries: in.entries, parent: in.parent, ctes: in.ctes, rel: g.agg, group: g}
}

// groupExpr is what an entry of GROUP BY means: a number is an output column, a
// name a column of the input, or else of the output.
func groupExpr(e tree.Expr, items []tree.Item, in *scope) tree.Expr {
	var cols []Col
	for i, item := range items {
		cols = append(cols, Col{ID: i, Name: item.Alias})
	}
	if l, ok := e.(*tree.Literal); ok && l.Kind == tree.Integer {
		c, _ := outputColumn(e, cols, "GROUP BY")
		return items[c.ID].Expr
	}
	if r, ok := e.(*tree.ColumnRef); ok && len(r.Names) == 1 && !r.Star {
		if slices.ContainsFunc(in.entries, func(x entry) bool { return x.name == r.Names[0] && !x.hidden }) {
			return e
		}
		if c, ok := outputColumn(e, cols, "GROUP BY"); ok {
			return items[c.ID].Expr
		}
	}
	return e
}

// argument is the column of the projection before the aggregate for an
// expression; equal ones share it.
func (b *binder) argument(g *group, n *expr.Node) Col {
	for i, old := range g.pre.Exprs {
		if expr.Equal(old, n) {
			return g.pre.Cols[i]
		}
	}
	name := "arg"
	if n.Op == expr.Column {
		if c, ok := g.in.rel.find(n.Index); ok {
			name = c.Name
		}
	}
	c := b.p.fresh(name, n.Type)
	g.pre.Exprs, g.pre.Cols = append(g.pre.Exprs, n), append(g.pre.Cols, c)
	return c
}

// aggregate binds an aggregate function: its arguments before the grouping, its
// value after it.
func (b *binder) aggregate(e *tree.Call, s *scope) *expr.Node {
	g := s.group
	if g == nil {
		where := s.place
		if where == "" {
			where = "this place"
		}
		fail(e, sqlerr.GroupingError, "aggregate functions are not allowed in %s", where)
	}
	old := g.in.place
	g.in.place = aggregateArguments
	defer func() { g.in.place = old }()
	a := Agg{Name: e.Name, Arg: -1, Filter: -1, Distinct: e.Distinct}
	if a.Name == "every" {
		a.Name = "bool_and"
	}
	args := b.exprs(e.Args, g.in)
	b.checkAggregate(e, args)
	if len(args) > 0 {
		if expr.Unknown(args[0].Type) || e.Name == "string_agg" && args[0].Type.Kind != row.Bytea {
			args[0] = must(expr.Coerce(args[0], row.Of(row.Text)))
		}
		a.Arg = b.argument(g, args[0]).ID
	}
	if e.Name == "string_agg" {
		sep := expr.Fold(must(expr.Coerce(args[1], args[0].Type)))
		if !sep.IsConst() {
			unsupported(e.Args[1], "a separator that is not constant")
		}
		a.Sep = sep.Value
	}
	if e.Filter != nil {
		a.Filter = b.argument(g, b.condition(e.Filter, g.in, "FILTER")).ID
	}
	for _, o := range e.OrderBy {
		a.Order = append(a.Order, Order{b.argument(g, b.expr(o.Expr, g.in)).ID, o.Descending, o.NullsFirst})
	}
	if e.Distinct && len(a.Order) > 0 && (len(a.Order) > 1 || a.Order[0].Col != a.Arg) {
		fail(e, sqlerr.InvalidColumnRef, "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list")
	}
	for i, old := range g.agg.Aggs {
		if sameAgg(old, a) {
			return col(g.agg.Cols[len(g.agg.Keys)+i])
		}
	}
	c := b.p.fresh(e.Name, b.aggType(a, g.pre))
	g.agg.Aggs, g.agg.Cols = append(g.agg.Aggs, a), append(g.agg.Cols, c)
	return col(c)
}

func sameAgg(a, b Agg) bool {
	return a.Name == b.Name && a.Arg == b.Arg && a.Distinct == b.Distinct && a.Filter == b.Filter && slices.Equal(a.Order, b.Order) &&
		a.Sep.IsNull == b.Sep.IsNull && string(a.Sep.B) == string(b.Sep.B)
}

// checkAggregate refuses arguments that the aggregate does not take.
func (b *binder) checkAggregate(e *tree.Call, args []*expr.Node) {
	want := 1
	switch {
	case e.Star && e.Name == "count":
		want = 0
	case e.Name == "string_agg":
		want = 2
	}
	bad := len(args) != want || e.Star && e.Name != "count"
	if !bad && want > 0 {
		t := args[0].Type
		number := t.Kind >= row.Int2 && t.Kind <= row.Numeric
		switch e.Name {
		case "sum", "avg":
			if t.Kind == row.Interval {
				unsupported(e, "%s of intervals", e.Name)
			}
			bad = !number
		case "bool_and", "bool_or", "every":
			bad = t.Kind != row.Bool && !expr.Unknown(t)
			args[0] = must(expr.Cast(args[0], boolean()))
		case "array_agg":
			if t.Kind == row.Array {
				unsupported(e, "array_agg of arrays")
			}
		case "string_agg":
			bad = t.Kind != row.Text && t.Kind != row.Bytea && !expr.Unknown(t)
		}
	}
	if bad {
		fail(e, sqlerr.UndefinedFunction, "there is no aggregate %s for these arguments", e.Name)
	}
}

// finishGroup puts the projection over the scope's relation. What it says of
// the grouped input must be a key, or be computed from keys.
func (b *binder) finishGroup(s *scope, out *Rel) *Rel {
	out.In = []*Rel{s.rel}
	g := s.group
	if g == nil {
		return out
	}
	g.pre.In = []*Rel{g.in.rel}
	toKeys := func(n *expr.Node) *expr.Node {
		for i, k := range g.keys {
			if expr.Equal(k, n) {
				return col(g.agg.Cols[i])
			}
		}
		return n
	}
	above(out, g.agg, func(r *Rel) {
		r.exprs(func(e *expr.Node) *expr.Node {
			e = e.Map(toKeys)
			e.Walk(func(n *expr.Node) {
				if n.Op != expr.Column || !g.in.rel.has(n.Index) {
					return
				}
				c, _ := g.in.rel.find(n.Index)
				panic(sqlerr.At(n.Pos, sqlerr.GroupingError, "column %q must appear in the GROUP BY clause or be used in an aggregate function", c.Name))
			})
			return e
		})
	})
	if s.win != nil {
		for i := range s.win.calls {
			c := &s.win.calls[i]
			for _, list := range [][]*expr.Node{c.args, c.keys, c.order} {
				for k, e := range list {
					list[k] = e.Map(toKeys)
				}
			}
		}
	}
	return out
}

// above visits the relations over stop.
func above(r, stop *Rel, visit func(*Rel)) {
	if r == stop {
		return
	}
	visit(r)
	for _, in := range r.In {
		above(in, stop, visit)
	}
}
