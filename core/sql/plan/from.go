package plan

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// from binds a FROM clause: the relation, and what names can find in it.
func (b *binder) from(list []tree.From, outer *scope) *scope {
	s := &scope{parent: outer, ctes: outer.ctes}
	seen := map[string]bool{}
	for _, f := range list {
		r, entries := b.entry(f, s, outer, seen)
		if s.rel == nil {
			s.rel = r
		} else {
			s.rel = b.join(Inner, s.rel, r, nil, f)
		}
		s.entries = append(s.entries, entries...)
	}
	if s.rel == nil { // one row of no columns
		s.rel = &Rel{Op: Values, Rows: [][]*expr.Node{{}}}
	}
	return s
}

// join makes a join, of which the right side may look at the left.
func (b *binder) join(kind JoinKind, l, r *Rel, pred *expr.Node, at tree.Node) *Rel {
	out := &Rel{Op: Join, Kind: kind, In: []*Rel{l, r}, Pred: pred, Pos: at.At()}
	out.Cols = append(out.Cols, l.Cols...)
	if kind != Semi && kind != Anti {
		out.Cols = append(out.Cols, r.Cols...)
	}
	return out
}

// entry binds one entry. Laterals see left, what is to their left, and what is
// around; others see what is around alone.
func (b *binder) entry(f tree.From, left, outer *scope, seen map[string]bool) (*Rel, []entry) {
	switch f := f.(type) {
	case *tree.TableName:
		name := f.Alias.Name
		if name == "" {
			name = f.Name
		}
		unique(f, name, seen)
		r, cols := b.table(f, outer)
		return r, entries(f, name, f.Alias.Columns, cols)
	case *tree.SubqueryFrom:
		unique(f, f.Alias.Name, seen)
		around := outer
		if f.Lateral {
			around = left
		}
		r, cols, _ := b.query(f.Query, &scope{parent: around, ctes: around.ctes}, false)
		return r, entries(f, f.Alias.Name, f.Alias.Columns, cols)
	case *tree.FunctionFrom:
		return b.function(f, left, seen)
	case *tree.Join:
		return b.joinEntry(f, left, outer, seen)
	}
	unsupported(f, "this entry of FROM")
	return nil, nil
}

func unique(n tree.Node, name string, seen map[string]bool) {
	if name != "" && seen[name] {
		fail(n, sqlerr.DuplicateAlias, "table name %q specified more than once", name)
	}
	seen[name] = true
}

func entries(n tree.Node, table string, names []string, cols []Col) (out []entry) {
	if len(names) > len(cols) {
		fail(n, sqlerr.InvalidColumnRef, "table %q has %d columns available but %d columns specified", table, len(cols), len(names))
	}
	for i, c := range cols {
		if i < len(names) {
			c.Name = names[i]
		}
		out = append(out, entry{table: table, name: c.Name, col: c})
	}
	return out
}

// table binds a name: of a CTE, whose query stands there anew each time, or of
// the catalog.
func (b *binder) table(f *tree.TableName, s *scope) (*Rel, []Col) {
	if f.Schema == "" {
		for c := s.ctes; c != nil; c = c.next {
			if c.name != f.Name {
				continue
			}
			if f.AsOf != nil {
				unsupported(f.AsOf, "AS OF a common table expression")
			}
			r, cols, _ := b.query(c.query, c.scope, false)
			if len(c.names) > len(cols) {
				fail(f, sqlerr.InvalidColumnRef, "WITH query %q has %d columns available but %d columns specified", c.name, len(cols), len(c.names))
			}
			cols = slices.Clone(cols)
			for i, n := range c.names {
				cols[i].Name = n
			}
			return r, cols
		}
	}
	t, ok := b.o.Catalog.Table(f.Schema, f.Name)
	if !ok {
		fail(f, sqlerr.UndefinedTable, "relation %q does not exist", tree.Name{Schema: f.Schema, Name: f.Name}.String())
	}
	r := &Rel{Op: Scan, Table: t, Pos: f.Pos}
	for i, c := range t.Schema {
		r.Cols = append(r.Cols, b.p.fresh(c.Name, c.Type))
		r.Source = append(r.Source, i)
	}
	if f.AsOf != nil {
		if b.o.View {
			unsupported(f.AsOf, "AS OF in what is kept")
		}
		b.p.Moment = "the time that a table is read at"
		r.AsOf = b.asOf(f.AsOf)
	}
	return r, r.Cols
}

// asOf computes the time to read at.
func (b *binder) asOf(a *tree.AsOf) *AsOf {
	at := expr.Fold(must(expr.Cast(b.expr(a.Time, &scope{place: "AS OF"}), row.Of(row.Timestamptz))))
	if !at.IsConst() || at.Value.IsNull {
		fail(a, sqlerr.InvalidParameter, "AS OF needs a time that is constant")
	}
	return &AsOf{a.Axis, at.Value.I}
}

func (b *binder) joinEntry(j *tree.Join, left, outer *scope, seen map[string]bool) (*Rel, []entry) {
	l, le := b.entry(j.L, left, outer, seen)
	inner := &scope{entries: append(slices.Clone(left.entries), le...), parent: left.parent, ctes: left.ctes}
	r, re := b.entry(j.R, inner, outer, seen)
	both := append(slices.Clone(le), re...)
	using := j.Using
	if j.Natural {
		for _, x := range le {
			if !x.hidden && slices.ContainsFunc(re, func(y entry) bool { return y.name == x.name && !y.hidden }) {
				using = append(using, x.name)
			}
		}
	}
	var parts []*expr.Node
	var merged []entry
	var exprs []*expr.Node
	for _, name := range using {
		x, y := b.usingSide(j, le, name), b.usingSide(j, re, name)
		eq := must(expr.Compare("=", col(le[x].col), col(re[y].col), j.Pos))
		parts = append(parts, eq)
		both[x].hidden, both[len(le)+y].hidden = true, true
		e := must(expr.Resolve("coalesce", []*expr.Node{col(le[x].col), col(re[y].col)}, j.Pos))
		switch j.Kind {
		case tree.Inner, tree.Left:
			e = must(expr.Cast(col(le[x].col), e.Type))
		case tree.Right:
			e = must(expr.Cast(col(re[y].col), e.Type))
		}
		exprs = append(exprs, e)
		merged = append(merged, entry{name: name, col: b.p.fresh(name, e.Type)})
	}
	if j.On != nil {
		on := &scope{entries: both, parent: outer, ctes: outer.ctes, place: "JOIN conditions"}
		parts = append(parts, must(expr.Coerce(b.expr(j.On, on), row.Of(row.Bool))))
		if on.rel != nil {
			unsupported(j.On, "a subquery in a join's condition")
		}
	}
	kind := map[tree.JoinKind]JoinKind{tree.Inner: Inner, tree.Left: Left, tree.Right: Left, tree.Full: Full}[j.Kind]
	if j.Kind == tree.Right {
		if len(intersect(r.free(), l)) > 0 {
			fail(j, sqlerr.InvalidColumnRef, "a RIGHT JOIN's right side cannot refer to its left")
		}
		l, r = r, l
	}
	out := b.join(kind, l, r, expr.All(parts), j)
	if len(merged) == 0 {
		return out, both
	}
	p := &Rel{Op: Project, In: []*Rel{out}, Pos: j.Pos}
	for i, m := range merged {
		p.Cols, p.Exprs = append(p.Cols, m.col), append(p.Exprs, exprs[i])
	}
	for _, c := range out.Cols {
		p.Cols, p.Exprs = append(p.Cols, c), append(p.Exprs, col(c))
	}
	return p, append(merged, both...)
}

// intersect is what of a set of columns a relation produces.
func intersect(free map[int]bool, r *Rel) (out []Col) {
	for _, c := range r.Cols {
		if free[c.ID] {
			out = append(out, c)
		}
	}
	return out
}

func (b *binder) usingSide(j *tree.Join, side []entry, name string) int {
	at := -1
	for i, x := range side {
		if x.name != name || x.hidden {
			continue
		}
		if at >= 0 {
			fail(j, sqlerr.AmbiguousColumn, "common column name %q appears more than once", name)
		}
		at = i
	}
	if at < 0 {
		fail(j, sqlerr.UndefinedColumn, "column %q specified in USING clause does not exist", name)
	}
	return at
}

// function binds a function in FROM.
func (b *binder) function(f *tree.FunctionFrom, left *scope, seen map[string]bool) (*Rel, []entry) {
	c := f.Call
	name := f.Alias.Name
	if name == "" {
		name = c.Name
	}
	unique(f, name, seen)
	if f.Ordinality {
		unsupported(f, "WITH ORDINALITY")
	}
	switch c.Name {
	case "tumble", "hop", "session":
		return b.timeWindow(f, name, left)
	case "generate_series", "unnest":
	default:
		return b.scalarFrom(f, name, left)
	}
	s := &scope{parent: left, ctes: left.ctes, place: "functions in FROM"}
	one := &Rel{Op: Values, Rows: [][]*expr.Node{{}}}
	out := &Rel{Op: Expand, Name: c.Name, In: []*Rel{one}, Pos: c.Pos}
	for _, a := range c.Args {
		out.Exprs = append(out.Exprs, b.expr(a, s))
	}
	if s.rel != nil {
		unsupported(f, "a subquery as an argument in FROM")
	}
	var t row.Type
	if c.Name == "unnest" {
		if len(out.Exprs) != 1 || out.Exprs[0].Type.Kind != row.Array {
			fail(c, sqlerr.UndefinedFunction, "unnest takes one array")
		}
		t = out.Exprs[0].Type.Element()
	} else {
		t = b.series(c, out)
	}
	column := name
	out.Cols = []Col{b.p.fresh(column, t)}
	return out, entries(f, name, f.Alias.Columns, out.Cols)
}

// scalarFrom binds a function of one value: it is a table of one row and one column.
func (b *binder) scalarFrom(f *tree.FunctionFrom, name string, left *scope) (*Rel, []entry) {
	s := &scope{parent: left, ctes: left.ctes, place: "functions in FROM"}
	n := b.call(f.Call, s)
	if s.rel != nil {
		unsupported(f, "a subquery as an argument in FROM")
	}
	out := &Rel{Op: Project, In: []*Rel{{Op: Values, Rows: [][]*expr.Node{{}}}}, Exprs: []*expr.Node{n}, Cols: []Col{b.p.fresh(name, n.Type)}, Pos: f.Pos}
	return out, entries(f, name, f.Alias.Columns, out.Cols)
}

func (b *binder) series(c *tree.Call, out *Rel) row.Type {
	t, err := expr.Common("generate_series", out.Exprs...)
	if t.Kind == row.Int2 {
		t = row.Of(row.Int4)
	}
	if err != nil || len(out.Exprs) < 2 || len(out.Exprs) > 3 || t.Kind != row.Int4 && t.Kind != row.Int8 {
		unsupported(c, "generate_series of anything but two or three integers")
	}
	for i, e := range out.Exprs {
		out.Exprs[i] = must(expr.Cast(e, t))
	}
	if len(out.Exprs) == 2 {
		out.Exprs = append(out.Exprs, expr.Constant(row.Value{Type: t, I: 1}, c.Pos))
	}
	return t
}
