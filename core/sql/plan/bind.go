package plan

import (
	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// A Catalog knows tables.
type Catalog interface {
	// Table finds a table; the schema may be "".
	Table(schema, name string) (*Table, bool)
}

// A Caller is a Catalog that has functions: what it knows of what it holds.
type Caller interface {
	// Call makes a call of one of them; it is nil if there is none of that name.
	Call(name string, args []*expr.Node, pos tree.Pos) (*expr.Node, *sqlerr.Error)
	// Alias is the name of the type that one of PostgreSQL's catalogs is kept as; named
	// reports whether its values are numbers that stand for names. The function of the
	// type's name makes the one of the other then.
	Alias(name string) (kept string, named, ok bool)
}

// Options are what a statement depends on besides its text.
type Options struct {
	Catalog Catalog
	Params  []row.Value // $1, $2, …; of no type: text whose type is yet to be found
	Now     int64       // microseconds since 1970-01-01 00:00 UTC
	User    string      // who asks
	View    bool        // the answer will be kept: it must depend on the tables alone
	Keep    bool        // no rewrites but those without which there is no plan
	late    bool        // see Late
}

// Query plans a query.
func Query(q *tree.Query, o Options) (_ *Plan, err error) {
	defer caught(&err)
	p := &Plan{}
	b := &binder{p: p, o: o, free: map[*Rel]map[int]bool{}}
	rel, cols, order := b.query(q, &scope{}, true)
	p.Root, p.Cols, p.Order = rel, cols, order
	b.finish()
	return p, nil
}

// Describe tells what types the parameters of a query are taken for, at first
// or else as text, and the columns of its answer.
func Describe(q *tree.Query, o Options) (params []row.Type, cols []Col, err error) {
	defer caught(&err)
	b := &binder{p: &Plan{}, o: o, taken: &[]*[]row.Type{}}
	_, cols, _ = b.query(q, &scope{}, true)
	for _, t := range *b.taken {
		params = append(params, append(*t, row.Of(row.Text))[0])
	}
	return params, cols, nil
}

// Scalar binds an expression over columns: its nodes name them by their numbers.
func Scalar(e tree.Expr, cols []Col, o Options) (_ *expr.Node, err error) {
	defer caught(&err)
	b := &binder{p: &Plan{}, o: o}
	return expr.Fold(b.expr(e, &scope{entries: entries(e, "", nil, cols)})), nil
}

// binder walks a statement's tree. Errors end it by panic.
type binder struct {
	p     *Plan
	o     Options
	depth int                   // of queries within queries
	taken *[]*[]row.Type        // by parameter, while they have no values
	free  map[*Rel]map[int]bool // what finished relations use and do not produce
	lates []lateRows
}

// nestingMax bounds queries within queries: each may copy what is around it.
const nestingMax = 32

func fail(n tree.Node, state sqlerr.State, format string, args ...any) {
	panic(sqlerr.At(n.At(), state, format, args...))
}

func unsupported(n tree.Node, format string, args ...any) {
	panic(sqlerr.Unsupported(n.At(), format, args...))
}

func must(n *expr.Node, err *sqlerr.Error) *expr.Node {
	if err != nil {
		panic(err)
	}
	return n
}

// entry is a column that names can find.
type entry struct {
	table, name string
	col         Col
	hidden      bool // merged by USING: only with its table's name
}

// A scope is what expressions see, and the relation that they are computed on,
// which grows by subqueries.
type scope struct {
	entries []entry
	parent  *scope
	ctes    *cte
	rel     *Rel
	group   *group      // of a SELECT with aggregates, where they may stand
	win     *windows    // of a SELECT, where window functions may stand
	place   string      // for errors: where aggregates may not stand
	items   []tree.Item // for GROUP BY and ORDER BY
}

type cte struct {
	name  string
	names []string
	query *tree.Query
	scope *scope // where it was declared
	next  *cte
}

// lookup finds a column by its names.
func (s *scope) lookup(e *tree.ColumnRef) Col {
	name, table := e.Names[len(e.Names)-1], ""
	if len(e.Names) > 1 {
		table = e.Names[len(e.Names)-2]
	}
	known := table == ""
	for at := s; at != nil; at = at.parent {
		var found *entry
		for i := range at.entries {
			x := &at.entries[i]
			known = known || x.table == table
			if x.name != name || table == "" && x.hidden || table != "" && x.table != table {
				continue
			}
			if found != nil {
				fail(e, sqlerr.AmbiguousColumn, "column reference %q is ambiguous", name)
			}
			found = x
		}
		if found != nil {
			return found.col
		}
	}
	if !known {
		fail(e, sqlerr.UndefinedTable, "missing FROM-clause entry for table %q", table)
	}
	if table != "" {
		fail(e, sqlerr.UndefinedColumn, "column %s.%s does not exist", table, name)
	}
	fail(e, sqlerr.UndefinedColumn, "column %q does not exist", name)
	return Col{}
}

// query binds a query. The order is that of its rows; without top it only
// matters together with LIMIT, and is not returned.
func (b *binder) query(q *tree.Query, outer *scope, top bool) (*Rel, []Col, []Order) {
	if b.depth++; b.depth > nestingMax {
		fail(q, sqlerr.StatementTooComplex, "more than %d queries within one another", nestingMax)
	}
	defer func() { b.depth-- }()
	if q.With != nil {
		inner := *outer
		outer = &inner
		for i := range q.With.Tables {
			t := &q.With.Tables[i]
			if q.With.Recursive && mentions(t.Query, t.Name) {
				unsupported(t, "a recursive query")
			}
			at := *outer
			outer.ctes = &cte{t.Name, t.Columns, t.Query, &at, outer.ctes}
		}
	}
	var rel *Rel
	var cols []Col
	var order []Order
	switch body := q.Body.(type) {
	case *tree.SelectBody:
		rel, cols, order = b.selectBody(body, q.OrderBy, outer)
	case *tree.Values:
		rel, cols = b.values(body, outer)
		order = b.outputOrder(q.OrderBy, cols)
	case *tree.SetOp:
		rel, cols = b.setOp(body, outer)
		order = b.outputOrder(q.OrderBy, cols)
	}
	limit, offset := b.count(q.Limit, outer, sqlerr.InvalidLimit, "LIMIT", -1), b.count(q.Offset, outer, sqlerr.InvalidOffset, "OFFSET", 0)
	if limit >= 0 || offset > 0 {
		rel = &Rel{Op: TopK, In: []*Rel{rel}, Cols: rel.Cols, Order: order, Limit: limit, Offset: offset, Pos: q.Pos}
	}
	if !top {
		order = nil
	}
	return rel, cols, order
}

// count is a LIMIT or an OFFSET.
func (b *binder) count(e tree.Expr, s *scope, state sqlerr.State, what string, none int64) int64 {
	if e == nil {
		return none
	}
	n := expr.Fold(must(expr.Cast(b.expr(e, &scope{parent: s, ctes: s.ctes, place: what}), row.Of(row.Int8))))
	if n.Op == expr.Param {
		return none
	}
	if !n.IsConst() {
		unsupported(e, "%s of anything but a constant", what)
	}
	switch {
	case n.Value.IsNull:
		return none
	case n.Value.I < 0:
		fail(e, state, "%s must not be negative", what)
	}
	return n.Value.I
}

// outputColumn finds an output column by its number or its name.
func outputColumn(e tree.Expr, cols []Col, clause string) (Col, bool) {
	switch e := e.(type) {
	case *tree.Literal:
		if e.Kind != tree.Integer {
			if e.Kind == tree.Null || e.Kind == tree.String {
				fail(e, sqlerr.SyntaxError, "non-integer constant in %s", clause)
			}
			return Col{}, false
		}
		n := 0
		for _, c := range e.Text {
			if n = n*10 + int(c-'0'); n > len(cols) || c == '-' {
				break
			}
		}
		if n < 1 || n > len(cols) {
			fail(e, sqlerr.InvalidColumnRef, "%s position %s is not in select list", clause, e.Text)
		}
		return cols[n-1], true
	case *tree.ColumnRef:
		if len(e.Names) == 1 && !e.Star {
			for i, c := range cols {
				if c.Name != e.Names[0] {
					continue
				}
				for _, d := range cols[i+1:] {
					if d.Name == c.Name && d.ID != c.ID {
						fail(e, sqlerr.AmbiguousColumn, "%s %q is ambiguous", clause, c.Name)
					}
				}
				return c, true
			}
		}
	}
	return Col{}, false
}

func (b *binder) outputOrder(keys []tree.Order, cols []Col) (out []Order) {
	for _, o := range keys {
		c, ok := outputColumn(o.Expr, cols, "ORDER BY")
		if !ok {
			if r, is := o.Expr.(*tree.ColumnRef); is && len(r.Names) == 1 {
				fail(o.Expr, sqlerr.UndefinedColumn, "column %q does not exist", r.Names[0])
			}
			unsupported(o.Expr, "ORDER BY an expression after a set operation")
		}
		out = append(out, Order{c.ID, o.Descending, o.NullsFirst})
	}
	return out
}

// mentions reports whether a query reads a table of this name.
func mentions(q *tree.Query, name string) bool {
	switch body := q.Body.(type) {
	case *tree.SetOp:
		return mentions(body.L, name) || mentions(body.R, name)
	case *tree.SelectBody:
		for _, f := range body.From {
			if fromMentions(f, name) {
				return true
			}
		}
	}
	return false
}

func fromMentions(f tree.From, name string) bool {
	switch f := f.(type) {
	case *tree.TableName:
		return f.Schema == "" && f.Name == name
	case *tree.SubqueryFrom:
		return mentions(f.Query, name)
	case *tree.Join:
		return fromMentions(f.L, name) || fromMentions(f.R, name)
	}
	return false
}

// values binds VALUES: constants and parameters, one row after another.
func (b *binder) values(v *tree.Values, outer *scope) (*Rel, []Col) {
	s := &scope{parent: outer, ctes: outer.ctes, place: "VALUES"}
	out := &Rel{Op: Values, Pos: v.Pos}
	for _, r := range v.Rows {
		if len(r) != len(v.Rows[0]) {
			fail(v, sqlerr.SyntaxError, "VALUES lists must all be the same length")
		}
		var list []*expr.Node
		for _, e := range r {
			list = append(list, b.expr(e, s))
		}
		out.Rows = append(out.Rows, list)
	}
	if s.rel != nil {
		unsupported(v, "a subquery in VALUES")
	}
	for i := range v.Rows[0] {
		var list []*expr.Node
		for _, r := range out.Rows {
			list = append(list, r[i])
		}
		t, err := expr.Common("VALUES", list...)
		if err != nil {
			panic(err)
		}
		for _, r := range out.Rows {
			r[i] = must(expr.Coerce(r[i], t))
		}
		out.Cols = append(out.Cols, b.p.fresh("column"+itoa(i+1), t))
	}
	return out, out.Cols
}

func itoa(n int) string { return row.Value{Type: row.Of(row.Int4), I: int64(n)}.String() }

// setOp binds UNION, INTERSECT and EXCEPT.
func (b *binder) setOp(s *tree.SetOp, outer *scope) (*Rel, []Col) {
	l, lc, _ := b.query(s.L, outer, false)
	r, rc, _ := b.query(s.R, outer, false)
	if len(lc) != len(rc) {
		fail(s, sqlerr.SyntaxError, "each %s query must have the same number of columns", s.Op)
	}
	var types []row.Type
	for i := range lc {
		t, err := expr.Common(s.Op.String(), col(lc[i]), col(rc[i]))
		if err != nil {
			err.Pos = s.Pos
			panic(err)
		}
		types = append(types, t)
	}
	kind := map[tree.SetOperator][2]SetKind{tree.Union: {UnionAll, UnionAll}, tree.Except: {Except, ExceptAll}, tree.Intersect: {Intersect, IntersectAll}}[s.Op]
	out := &Rel{Op: SetOp, In: []*Rel{b.castTo(l, lc, types), b.castTo(r, rc, types)}, Set: kind[0], Pos: s.Pos}
	if s.All {
		out.Set = kind[1]
	}
	for i, c := range lc {
		out.Cols = append(out.Cols, b.p.fresh(c.Name, types[i]))
	}
	cols := out.Cols
	if s.Op == tree.Union && !s.All {
		out = &Rel{Op: Distinct, In: []*Rel{out}, Cols: cols, Pos: s.Pos}
	}
	return out, cols
}

// castTo projects some columns of a relation, cast.
func (b *binder) castTo(r *Rel, cols []Col, types []row.Type) *Rel {
	out := &Rel{Op: Project, In: []*Rel{r}, Pos: r.Pos}
	for i, c := range cols {
		out.Exprs = append(out.Exprs, must(expr.Cast(col(c), types[i])))
		out.Cols = append(out.Cols, b.p.fresh(c.Name, types[i]))
	}
	return out
}

// caught ends a statement that cannot be planned: the binder panics with the error.
func caught(err *error) {
	switch f := recover().(type) {
	case nil:
	case *sqlerr.Error:
		*err = f
	default:
		panic(f)
	}
}
