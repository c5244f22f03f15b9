package plan

import (
	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// Subqueries in expressions become relations of exactly one row for each row of
// what is around: aggregates without keys. Those are joined to the scope's
// relation, and the subquery's value is a column.

// attach joins a relation of one row to the scope's.
func (b *binder) attach(s *scope, one *Rel, at tree.Node) {
	if s.rel == nil {
		where := s.place
		if where == "" {
			where = "this place"
		}
		unsupported(at, "a subquery in %s", where)
	}
	s.rel = b.join(Inner, s.rel, one, nil, at)
}

// around is the scope of a query within s.
func around(s *scope) *scope {
	return &scope{entries: s.entries, parent: s.parent, ctes: s.ctes}
}

func (b *binder) subquery(e tree.Expr, s *scope) *expr.Node {
	switch e := e.(type) {
	case *tree.Exists:
		r, _, _ := b.query(e.Query, around(s), false)
		agg := b.aggregateAll(r, Agg{Name: "count", Arg: -1, Filter: -1})
		zero := expr.Constant(row.Value{Type: row.Of(row.Int8)}, e.Pos)
		b.attach(s, agg, e)
		return must(expr.Compare(">", col(agg.Cols[0]), zero, e.Pos))
	case *tree.ScalarSubquery:
		return b.scalar(e, s)
	case *tree.ArraySubquery:
		r, cols, order := b.query(e.Query, around(s), true)
		b.oneColumn(e, cols)
		agg := b.aggregateAll(r, Agg{Name: "array_agg", Arg: cols[0].ID, Filter: -1, Order: order})
		b.attach(s, agg, e)
		empty := expr.Constant(row.Value{Type: agg.Cols[0].Type, B: []byte{0}}, e.Pos)
		return must(expr.Resolve("coalesce", []*expr.Node{col(agg.Cols[0]), empty}, e.Pos))
	case *tree.InSubquery:
		return negate(e.Not, b.quantified(e, e.X, "=", false, e.Query, s))
	case *tree.Quantified:
		if e.Query != nil {
			return b.quantified(e, e.X, e.Op, e.All, e.Query, s)
		}
		return must(expr.Any(e.Op, e.All, b.expr(e.X, s), b.expr(e.Array, s), e.Pos))
	}
	unsupported(e, "this expression")
	return nil
}

func (b *binder) oneColumn(n tree.Node, cols []Col) {
	if len(cols) != 1 {
		fail(n, sqlerr.SyntaxError, "subquery must return only one column")
	}
}

// aggregateAll aggregates a relation into one row.
func (b *binder) aggregateAll(in *Rel, aggs ...Agg) *Rel {
	out := &Rel{Op: Aggregate, In: []*Rel{in}, Pos: in.Pos}
	for _, a := range aggs {
		out.Aggs = append(out.Aggs, a)
		out.Cols = append(out.Cols, b.p.fresh(a.Name, b.aggType(a, in)))
	}
	return out
}

// aggType is the type of an aggregate's result.
func (b *binder) aggType(a Agg, in *Rel) row.Type {
	if a.Name == "count" {
		return row.Of(row.Int8)
	}
	c, _ := in.find(a.Arg)
	switch a.Name {
	case "sum":
		switch c.Type.Kind {
		case row.Int2, row.Int4:
			return row.Of(row.Int8)
		case row.Int8:
			return row.Of(row.Numeric)
		}
	case "avg":
		switch c.Type.Kind {
		case row.Int2, row.Int4, row.Int8:
			return row.Of(row.Numeric)
		case row.Float4:
			return row.Of(row.Float8)
		}
	case "array_agg":
		return row.ArrayOf(c.Type.Kind)
	}
	return c.Type
}

// oneRow reports whether a relation has exactly one row.
func oneRow(r *Rel) bool {
	switch r.Op {
	case Aggregate:
		return len(r.Keys) == 0
	case Project:
		return oneRow(r.In[0])
	case Join:
		return r.Kind == Inner && r.Pred == nil && oneRow(r.In[0]) && oneRow(r.In[1])
	case Values:
		return len(r.Rows) == 1
	}
	return false
}

// scalar is a query as a value: null of no rows, an error of several. The error
// is raised where the value is used, so that CASE can guard it.
func (b *binder) scalar(e *tree.ScalarSubquery, s *scope) *expr.Node {
	r, cols, _ := b.query(e.Query, around(s), false)
	b.oneColumn(e, cols)
	if oneRow(r) {
		b.attach(s, r, e)
		return col(cols[0])
	}
	agg := b.aggregateAll(r, Agg{Name: "min", Arg: cols[0].ID, Filter: -1}, Agg{Name: "count", Arg: -1, Filter: -1})
	b.attach(s, agg, e)
	one := expr.Constant(row.Value{Type: row.Of(row.Int8), I: 1}, e.Pos)
	several := must(expr.Compare(">", col(agg.Cols[1]), one, e.Pos))
	raise := expr.Raise(cols[0].Type, row.Errorf(string(sqlerr.CardinalityViolation), "more than one row returned by a subquery used as an expression"), e.Pos)
	return &expr.Node{Op: expr.Case, Type: cols[0].Type, Args: []*expr.Node{several, raise, col(agg.Cols[0])}, Pos: e.Pos}
}

// operands are the values that a subquery's columns are compared with.
func (b *binder) operands(x tree.Expr, s *scope) []*expr.Node {
	if r, ok := x.(*tree.Row); ok {
		return b.exprs(r.Elems, s)
	}
	return []*expr.Node{b.expr(x, s)}
}

// match is x op (the columns of a query).
func (b *binder) match(x []*expr.Node, op string, cols []Col, at tree.Node) *expr.Node {
	if len(x) != len(cols) {
		fail(at, sqlerr.SyntaxError, "subquery has %d columns, %d are compared", len(cols), len(x))
	}
	var q []*expr.Node
	for _, c := range cols {
		q = append(q, col(c))
	}
	return b.compareRows(op, x, q, at)
}

// quantified is x op ANY or ALL of a query: with m = (x op row), ANY is true if
// a row has m, else unknown if one's m is, else false; ALL is NOT ANY of NOT m.
func (b *binder) quantified(at tree.Node, x tree.Expr, op string, all bool, q *tree.Query, s *scope) *expr.Node {
	left := b.operands(x, s)
	r, cols, _ := b.query(q, around(s), false)
	m := negate(all, b.match(left, op, cols, at))
	pre := &Rel{Op: Project, In: []*Rel{r}, Pos: at.At(), Exprs: []*expr.Node{m, expr.Boolean(expr.IsNull, at.At(), m)}}
	pre.Cols = []Col{b.p.fresh("match", boolean()), b.p.fresh("unknown", boolean())}
	agg := b.aggregateAll(pre, Agg{Name: "bool_or", Arg: pre.Cols[0].ID, Filter: -1}, Agg{Name: "bool_or", Arg: pre.Cols[1].ID, Filter: -1})
	b.attach(s, agg, at)
	constant := func(v row.Value) *expr.Node { v.Type = boolean(); return expr.Constant(v, at.At()) }
	return negate(all, &expr.Node{Op: expr.Case, Type: boolean(), Pos: at.At(), Args: []*expr.Node{
		col(agg.Cols[0]), constant(row.Value{I: 1}),
		col(agg.Cols[1]), constant(row.Value{IsNull: true}),
		constant(row.Value{}),
	}})
}

// where binds a condition and filters the scope's relation by it. Conditions
// that are EXISTS or IN become semi-joins.
func (b *binder) where(e tree.Expr, s *scope) {
	if e == nil {
		return
	}
	if and, ok := e.(*tree.And); ok {
		for _, a := range and.Args {
			b.where(a, s)
		}
		return
	}
	if b.semi(e, false, s) {
		return
	}
	n := b.condition(e, s, "WHERE")
	s.rel = &Rel{Op: Filter, In: []*Rel{s.rel}, Cols: s.rel.Cols, Pred: n, Pos: e.At()}
}

// semi handles what is a semi-join or an anti-join as a whole.
func (b *binder) semi(e tree.Expr, not bool, s *scope) bool {
	switch e := e.(type) {
	case *tree.Not:
		return b.semi(e.X, !not, s)
	case *tree.Exists:
		r, _, _ := b.query(e.Query, around(s), false)
		kind := Semi
		if not {
			kind = Anti
		}
		s.rel = b.join(kind, s.rel, r, nil, e)
		return true
	case *tree.InSubquery:
		left := b.operands(e.X, s)
		r, cols, _ := b.query(e.Query, around(s), false)
		match := b.match(left, "=", cols, e)
		if e.Not == not {
			s.rel = b.join(Semi, s.rel, r, match, e)
			return true
		}
		// NOT IN knows three outcomes.
		if len(left) != 1 || !dependsOnRow(left[0]) || len(r.free()) > 0 || fails(match.Args[0]) || fails(match.Args[1]) || match.Args[0].Type.Kind == row.Interval {
			return false
		}
		s.rel = b.join(Anti, s.rel, r, match, e)
		s.rel.NullAware = true
		return true
	}
	return false
}

// dependsOnRow reports whether an expression has a column.
func dependsOnRow(e *expr.Node) (some bool) {
	e.Walk(func(n *expr.Node) { some = some || n.Op == expr.Column })
	return some
}
