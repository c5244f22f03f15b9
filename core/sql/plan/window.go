package plan

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// windowCall binds a window function: its value is a column that windowed makes.
func (b *binder) windowCall(e *tree.Call, s *scope) *expr.Node {
	if s.win == nil {
		where := s.place
		if where == "" || where == "HAVING" {
			where = "window function calls"
		}
		if where == aggregateArguments {
			fail(e, sqlerr.GroupingError, "aggregate function calls cannot contain window function calls")
		}
		fail(e, sqlerr.WindowingError, "window functions are not allowed in %s", where)
	}
	if e.Name == "percent_rank" || e.Name == "cume_dist" {
		return b.expr(distribution(e, resolveWindow(s.win.named, *e.Over)), s)
	}
	win := s.win
	s.win = nil // they do not nest
	defer func() { s.win = win }()
	w := resolveWindow(win.named, *e.Over)
	c := windowCall{name: e.Name, flags: w.OrderBy}
	switch {
	case e.Distinct:
		unsupported(e, "DISTINCT in a window function")
	case e.Filter != nil:
		unsupported(e, "FILTER of a window function")
	case len(e.OrderBy) > 0:
		unsupported(e, "ORDER BY within a window function")
	}
	c.args, c.keys, c.order = b.exprs(e.Args, s), b.exprs(w.PartitionBy, s), b.exprs(tree.Keys(w.OrderBy), s)
	for _, list := range [][]*expr.Node{c.args, c.keys, c.order} {
		for i, n := range list {
			if expr.Unknown(n.Type) {
				list[i] = must(expr.Coerce(n, row.Of(row.Text)))
			}
		}
	}
	if w.Frame != nil {
		c.frame = b.frame(w.Frame, c.order, s)
	}
	t := b.windowType(e, &c)
	c.out = b.p.fresh(e.Name, t)
	win.calls = append(win.calls, c)
	return col(c.out)
}

// distribution writes percent_rank, (rank - 1) / (rows - 1), and cume_dist, rows
// up to the last peer / rows, by other functions.
func distribution(e *tree.Call, w tree.Window) tree.Expr {
	if len(e.Args) > 0 {
		fail(e, sqlerr.UndefinedFunction, "window function %s takes no arguments", e.Name)
	}
	w.Frame = nil
	all := w
	all.OrderBy = nil
	over := func(name string, w tree.Window) tree.Expr {
		c := &tree.Call{Name: name, Star: name == "count", Over: &w}
		c.SetPos(e.Pos)
		return c
	}
	number := func(n string) tree.Expr { return &tree.Literal{Kind: tree.Integer, Text: n} }
	float := func(x tree.Expr) tree.Expr { return &tree.Cast{X: x, Type: &tree.TypeName{Name: "float8"}} }
	less := func(x tree.Expr) tree.Expr { return &tree.Binary{Op: "-", L: x, R: number("1")} }
	if e.Name == "cume_dist" {
		return &tree.Binary{Op: "/", L: float(over("count", w)), R: float(over("count", all))}
	}
	one := &tree.Binary{Op: "=", L: over("count", all), R: number("1")}
	return &tree.Case{
		Whens: []tree.When{{Cond: one, Result: float(number("0"))}},
		Else:  &tree.Binary{Op: "/", L: float(less(over("rank", w))), R: float(less(over("count", all)))},
	}
}

// resolveWindow fills a window in from the one that it names.
func resolveWindow(named []tree.Window, w tree.Window) tree.Window {
	base := w.Base + w.Name
	if base == "" {
		return w
	}
	for _, n := range named {
		if n.Name != base {
			continue
		}
		whole := w.Name != ""
		n.Name = ""
		n = resolveWindow(named, n)
		switch {
		case whole:
			return n
		case len(w.PartitionBy) > 0:
			fail(w, sqlerr.WindowingError, "cannot override PARTITION BY clause of window %q", base)
		case len(w.OrderBy) > 0 && len(n.OrderBy) > 0:
			fail(w, sqlerr.WindowingError, "cannot override ORDER BY clause of window %q", base)
		case n.Frame != nil:
			fail(w, sqlerr.WindowingError, "cannot copy window %q because it has a frame clause", base)
		}
		if len(w.OrderBy) > 0 {
			n.OrderBy = w.OrderBy
		}
		n.Frame, n.Pos = w.Frame, w.Pos
		return n
	}
	fail(w, sqlerr.UndefinedObject, "window %q does not exist", base)
	return w
}

// frame binds a frame: its offsets are constants.
func (b *binder) frame(f *tree.Frame, order []*expr.Node, s *scope) *Frame {
	if f.Exclude != tree.ExcludeNone {
		unsupported(f, "EXCLUDE in a frame")
	}
	if f.Mode == tree.Groups && len(order) == 0 {
		fail(f, sqlerr.WindowingError, "GROUPS mode requires an ORDER BY clause")
	}
	out := &Frame{Mode: f.Mode}
	bound := func(x tree.Bound) Bound {
		if x.Offset == nil {
			return Bound{Kind: x.Kind}
		}
		n := b.expr(x.Offset, s)
		t := row.Of(row.Int8)
		if f.Mode == tree.Range {
			if len(order) != 1 {
				fail(f, sqlerr.WindowingError, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column")
			}
			switch k := order[0].Type.Kind; {
			case k == row.Date || k == row.Timestamp || k == row.Timestamptz:
				t = row.Of(row.Interval)
			case k >= row.Int2 && k <= row.Int8:
			default:
				unsupported(f, "RANGE with an offset over type %s", order[0].Type)
			}
		}
		n = expr.Fold(must(expr.Coerce(n, t)))
		if !n.IsConst() || n.Value.IsNull {
			unsupported(x.Offset, "a frame offset that is not constant")
		}
		offset := n.Value.I
		if t.Kind == row.Interval {
			v := row.DecodeInterval(n.Value.B)
			if v.Months != 0 {
				unsupported(x.Offset, "a frame offset with months")
			}
			offset = int64(v.Days)*86_400_000_000 + v.Micros
			if order[0].Type.Kind == row.Date {
				if offset%86_400_000_000 != 0 {
					unsupported(x.Offset, "a frame offset over dates that is not whole days")
				}
				offset /= 86_400_000_000
			}
		}
		if offset < 0 {
			fail(x.Offset, sqlerr.InvalidFrame, "frame offset must not be negative")
		}
		return Bound{x.Kind, offset}
	}
	out.Start, out.End = bound(f.Start), bound(f.End)
	return out
}

// windowType is the type of a window function's value; it checks the arguments,
// and moves those that must be constant.
func (b *binder) windowType(e *tree.Call, c *windowCall) row.Type {
	constant := func(i int, t row.Type) {
		n := expr.Fold(must(expr.Coerce(c.args[i], t)))
		if !n.IsConst() {
			unsupported(e.Args[i], "an argument of %s that is not constant", e.Name)
		}
		c.consts = append(c.consts, n.Value)
	}
	arity := func(least, most int) {
		if len(c.args) < least || len(c.args) > most {
			fail(e, sqlerr.UndefinedFunction, "window function %s does not take %d arguments", e.Name, len(c.args))
		}
	}
	switch e.Name {
	case "row_number", "rank", "dense_rank":
		arity(0, 0)
		return row.Of(row.Int8)
	case "ntile":
		arity(1, 1)
		constant(0, row.Of(row.Int4))
		c.args = nil
		return row.Of(row.Int4)
	case "lag", "lead":
		arity(1, 3)
		if len(c.args) > 1 {
			constant(1, row.Of(row.Int4))
		}
		t := c.args[0].Type
		if len(c.args) > 2 {
			var err *sqlerr.Error
			if t, err = expr.Common(e.Name, c.args[0], c.args[2]); err != nil {
				panic(err)
			}
			c.args[0] = must(expr.Cast(c.args[0], t))
			constant(2, t)
		}
		c.args = c.args[:1]
		return t
	case "first_value", "last_value":
		arity(1, 1)
		return c.args[0].Type
	case "nth_value":
		arity(2, 2)
		constant(1, row.Of(row.Int4))
		c.args = c.args[:1]
		return c.args[0].Type
	}
	if !isAggregate(e.Name) {
		fail(e, sqlerr.UndefinedFunction, "window function %s does not exist", e.Name)
	}
	b.checkAggregate(e, c.args)
	if c.name == "every" {
		c.name = "bool_and"
	}
	if c.name == "array_agg" || c.name == "string_agg" {
		unsupported(e, "%s as a window function", e.Name)
	}
	a, in := Agg{Name: c.name, Arg: -1}, &Rel{}
	if len(c.args) > 0 {
		a.Arg, in.Cols = 0, []Col{{Type: c.args[0].Type}}
	}
	return b.aggType(a, in)
}

// windowed puts the window functions of a scope under a projection. Those with
// the same partitions and order are computed together.
func (b *binder) windowed(s *scope, out *Rel) {
	if s.win == nil || len(s.win.calls) == 0 {
		return
	}
	below := out.In[0]
	pre := &Rel{Op: Project, In: []*Rel{below}, Pos: out.Pos}
	for _, c := range below.Cols {
		pre.Cols, pre.Exprs = append(pre.Cols, c), append(pre.Exprs, col(c))
	}
	column := func(n *expr.Node) int {
		for i, e := range pre.Exprs {
			if expr.Equal(e, n) {
				return pre.Cols[i].ID
			}
		}
		c := b.p.fresh("arg", n.Type)
		pre.Cols, pre.Exprs = append(pre.Cols, c), append(pre.Exprs, n)
		return c.ID
	}
	columns := func(list []*expr.Node) (ids []int) {
		for _, n := range list {
			ids = append(ids, column(n))
		}
		return ids
	}
	var all []*Rel
	for _, c := range s.win.calls {
		f := Func{Name: c.name, Args: columns(c.args), Const: c.consts, Frame: c.frame}
		keys := columns(c.keys)
		var order []Order
		for i, n := range c.order {
			order = append(order, Order{column(n), c.flags[i].Descending, c.flags[i].NullsFirst})
		}
		i := slices.IndexFunc(all, func(w *Rel) bool { return slices.Equal(w.Keys, keys) && slices.Equal(w.Order, order) })
		if i < 0 {
			i = len(all)
			all = append(all, &Rel{Op: Window, Keys: keys, Order: order, Pos: out.Pos})
		}
		all[i].Funcs = append(all[i].Funcs, f)
		all[i].Cols = append(all[i].Cols, c.out)
	}
	below = pre
	for _, w := range all {
		w.In, w.Cols = []*Rel{below}, append(slices.Clone(below.Cols), w.Cols...)
		below = w
	}
	out.In = []*Rel{below}
}
