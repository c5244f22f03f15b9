package plan

import (
	"fmt"
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// A Clock says how far the times of a table's rows have come. At or before a time
// that only grows, windows are closed: rows that come after that are in none of them.
type Clock struct {
	Time       int   // the column that it goes by
	Closed     int   // where each row has what was closed when it came; not in the schema
	Correction int64 // microseconds between the watermark and what is closed
	Shown      []int // what Late tells of a row: columns
}

// A Closing says that rows do not change any more, nor come, when a column's time
// and After have closed.
type Closing struct {
	Col   int
	Table *Table
	After int64 // microseconds
}

// timed is the table of a window of time, with the times.
type timed struct {
	call  *tree.Call
	table *Table
	rel   *Rel
	cols  []Col // that names can find
	at    *expr.Node
	args  []*expr.Node
	shut  *Col // what was closed when the row came; nil if nothing ever is
}

// timeWindow binds tumble(table, time, size), hop(table, time, slide, size) and
// session(table, time, gap, key, …).
func (b *binder) timeWindow(f *tree.FunctionFrom, name string, left *scope) (*Rel, []entry) {
	w := b.timed(f.Call, left)
	out, all, late := b.windows(w)
	if late != nil {
		out = &Rel{Op: Filter, In: []*Rel{out}, Cols: out.Cols, Pred: expr.Boolean(expr.Not, f.Call.Pos, late), Pos: f.Call.Pos}
		if w.call.Name == "session" {
			out = b.session(w, out, all)
		}
		b.noteLate(f.Call, left)
	} else if w.call.Name == "session" {
		out = b.session(w, out, all)
	}
	return out, entries(f, name, f.Alias.Columns, all)
}

// timed binds the arguments of a window.
func (b *binder) timed(c *tree.Call, left *scope) *timed {
	least := map[string]int{"tumble": 3, "hop": 4, "session": 3}[c.Name]
	if len(c.Args) < least || len(c.Args) > least && c.Name != "session" {
		fail(c, sqlerr.UndefinedFunction, "%s takes %s", c.Name, map[string]string{"tumble": "a table, a time and a size", "hop": "a table, a time, a slide and a size", "session": "a table, a time, a gap and keys"}[c.Name])
	}
	ref, ok := c.Args[0].(*tree.ColumnRef)
	if !ok || ref.Star || len(ref.Names) > 2 {
		unsupported(c.Args[0], "a window over anything but a table's name")
	}
	t := &tree.TableName{Name: ref.Names[len(ref.Names)-1]}
	if len(ref.Names) > 1 {
		t.Schema = ref.Names[0]
	}
	t.SetPos(ref.Pos)
	in, cols := b.table(t, left)
	w := &timed{call: c, rel: in, cols: cols}
	s := &scope{entries: entries(t, t.Name, nil, cols), place: "windows of time"}
	w.at = b.expr(c.Args[1], s)
	if w.at.Type.Kind == row.Date {
		w.at = must(expr.Cast(w.at, row.Of(row.Timestamp)))
	}
	if k := w.at.Type.Kind; k != row.Timestamp && k != row.Timestamptz {
		fail(c.Args[1], sqlerr.DatatypeMismatch, "a window's time must be a timestamp, not %s", w.at.Type)
	}
	for i, a := range c.Args[2:] {
		n := b.expr(a, s)
		if c.Name != "session" || i == 0 {
			n = expr.Fold(must(expr.Coerce(n, row.Of(row.Interval))))
			b.width(a, n)
		}
		w.args = append(w.args, n)
	}
	if s.rel != nil {
		unsupported(c, "a subquery in a window of time")
	}
	if in.Op == Scan && in.Table.Clock != nil && w.at.Op == expr.Column && w.at.Index == in.Cols[in.Table.Clock.Time].ID {
		shut := b.p.fresh("closed", row.Of(row.Timestamptz))
		w.table, w.shut = in.Table, &shut
		in.Cols, in.Source = append(slices.Clone(in.Cols), shut), append(in.Source, in.Table.Clock.Closed)
	}
	// Rows without a time are in no window.
	w.rel = &Rel{Op: Filter, In: []*Rel{in}, Cols: in.Cols, Pred: expr.Boolean(expr.Not, c.Pos, expr.Boolean(expr.IsNull, c.Pos, w.at)), Pos: c.Pos}
	return w
}

// windows adds the windows that each row is in (but for sessions, which other rows
// decide) and says of which rows the window was closed when they came, or nil.
func (b *binder) windows(w *timed) (out *Rel, all []Col, late *expr.Node) {
	c, in := w.call, w.rel
	start, end := b.p.fresh("window_start", w.at.Type), b.p.fresh("window_end", w.at.Type)
	all = append(slices.Clone(w.cols), start, end)
	closes := func() (list []Closing) {
		if w.shut != nil {
			size := span(w.args[len(w.args)-1])
			list = []Closing{{end.ID, w.table, 0}, {start.ID, w.table, size}}
		}
		return list
	}
	ends := col(end)
	switch c.Name {
	case "tumble":
		origin := expr.Constant(row.Value{Type: w.at.Type}, c.Pos)
		from := must(expr.Resolve("date_bin", []*expr.Node{w.args[0], w.at, origin}, c.Pos))
		out = &Rel{Op: Project, In: []*Rel{in}, Pos: c.Pos, Closes: closes()}
		for _, x := range in.Cols {
			out.Cols, out.Exprs = append(out.Cols, x), append(out.Exprs, col(x))
		}
		out.Cols = append(out.Cols, start, end)
		out.Exprs = append(out.Exprs, from, must(expr.Resolve("+", []*expr.Node{from, w.args[0]}, c.Pos)))
	case "hop":
		out = &Rel{Op: Expand, Name: "hop", In: []*Rel{in}, Cols: append(slices.Clone(in.Cols), start, end),
			Exprs: append([]*expr.Node{w.at}, w.args...), Pos: c.Pos, Closes: closes()}
	default:
		out = in
		ends = must(expr.Resolve("+", []*expr.Node{w.at, w.args[0]}, c.Pos))
	}
	if w.shut == nil {
		return out, all, nil
	}
	return out, all, must(expr.Compare("<=", ends, col(*w.shut), c.Pos))
}

// session adds each row's session. What is beyond the gap after a session's end can
// touch it no more.
func (b *binder) session(w *timed, in *Rel, all []Col) *Rel {
	out := &Rel{Op: Session, Name: "session", In: []*Rel{in}, Cols: append(slices.Clone(in.Cols), all[len(all)-2:]...),
		Exprs: append([]*expr.Node{w.at}, w.args...), Pos: w.call.Pos}
	if w.shut != nil {
		out.Closes = []Closing{{all[len(all)-1].ID, w.table, span(w.args[0])}}
	}
	return out
}

// span is a constant interval in microseconds.
func span(n *expr.Node) int64 {
	v := row.DecodeInterval(n.Value.B)
	return int64(v.Days)*86_400_000_000 + v.Micros
}

// width checks the size, slide or gap of a window.
func (b *binder) width(at tree.Expr, n *expr.Node) {
	if n.IsConst() && !n.Value.IsNull {
		if v := row.DecodeInterval(n.Value.B); v.Months == 0 && int64(v.Days)*86_400_000_000+v.Micros > 0 {
			return
		}
	}
	fail(at, sqlerr.InvalidParameter, "a window's width must be a constant interval, positive, and without months")
}

// noteLate makes, if they are asked for, a relation of the rows that came too late
// for a window: the columns of Clock.Shown, and the window's.
func (b *binder) noteLate(c *tree.Call, left *scope) {
	if !b.o.late {
		return
	}
	w := b.timed(c, left)
	in, all, late := b.windows(w)
	in = &Rel{Op: Filter, In: []*Rel{in}, Cols: in.Cols, Pred: late, Pos: c.Pos}
	text := row.Of(row.Text)
	constant := func(s string) *expr.Node {
		return expr.Constant(row.Value{Type: text, B: []byte(s)}, c.Pos)
	}
	out := &Rel{Op: Project, In: []*Rel{in}, Pos: c.Pos}
	add := func(name string, e *expr.Node) {
		out.Cols, out.Exprs = append(out.Cols, b.p.fresh(name, e.Type)), append(out.Exprs, e)
	}
	add("event_type", constant(w.table.Name))
	for _, i := range w.table.Clock.Shown {
		add(w.cols[i].Name, col(w.cols[i]))
	}
	reason := "the window was closed"
	if c.Name == "session" {
		add("window_start", w.at)
		add("window_end", must(expr.Resolve("+", []*expr.Node{w.at, w.args[0]}, c.Pos)))
		reason = "the session was closed"
	} else {
		add("window_start", col(all[len(all)-2]))
		add("window_end", col(all[len(all)-1]))
	}
	add("reason", constant(reason))
	b.lates = append(b.lates, lateRows{fmt.Sprint(c.Name, w.table.Name, spans(w)), out})
}

// lateRows are those of one kind of window.
type lateRows struct {
	window string // windows of one kind exclude the same rows
	rel    *Rel
}

func spans(w *timed) (list []int64) {
	for _, a := range w.args {
		if a.Type.Kind == row.Interval && a.IsConst() {
			list = append(list, span(a))
		}
	}
	return list
}

// A NamedQuery is a query and what it is known as.
type NamedQuery struct {
	Name  string
	Query *tree.Query
}

// Late plans what the windows of queries exclude because it came when they were
// closed: a row for each event and window, with the query's name first. The columns
// are those of t.
func Late(list []NamedQuery, t *Table, o Options) (_ *Plan, err error) {
	defer caught(&err)
	o.late = true
	p := &Plan{}
	b := &binder{p: p, o: o, free: map[*Rel]map[int]bool{}}
	for _, c := range t.Schema {
		p.Cols = append(p.Cols, p.fresh(c.Name, c.Type))
	}
	p.Root = &Rel{Op: Values, Cols: p.Cols}
	for _, q := range list {
		b.lates = nil
		b.query(q.Query, &scope{}, true)
		seen := map[string]bool{}
		for _, l := range b.lates {
			if seen[l.window] {
				continue
			}
			seen[l.window] = true
			name := expr.Constant(row.Value{Type: row.Of(row.Text), B: []byte(q.Name)}, l.rel.Pos)
			named := *l.rel
			named.Exprs = append([]*expr.Node{name}, l.rel.Exprs...)
			named.Cols = append([]Col{p.fresh("projection", name.Type)}, l.rel.Cols...)
			u := &Rel{Op: SetOp, Set: UnionAll, In: []*Rel{p.Root, &named}, Pos: l.rel.Pos}
			for _, c := range p.Cols {
				u.Cols = append(u.Cols, p.fresh(c.Name, c.Type))
			}
			p.Root, p.Cols = u, u.Cols
		}
	}
	b.finish()
	return p, nil
}

// finality tells what of an answer stays as it is.
func (p *Plan) finality() (lines []string) {
	windowed := map[*Rel]bool{} // scans below a window that closes
	var scans []*Rel
	everywhere(p.Root, map[*Rel]bool{}, func(r *Rel) {
		if r.Op == Scan && r.Table.Clock != nil {
			scans = append(scans, r)
		}
		if len(r.Closes) == 0 {
			return
		}
		everywhere(r, map[*Rel]bool{}, func(in *Rel) { windowed[in] = true })
		c := r.Closes[0]
		of, _ := r.find(c.Col)
		after := ""
		if c.After > 0 {
			after = " + " + duration(c.After)
		}
		lines = append(lines, fmt.Sprintf("Final: where %s#%d%s is at or before the watermark of %s - %s; what comes later is in system.late_events",
			of.Name, c.Col, after, c.Table.Name, duration(c.Table.Clock.Correction)))
	})
	for _, s := range scans {
		if !windowed[s] {
			lines = append(lines, fmt.Sprintf("Open: an event of %s counts whenever it comes", s.Table.Name))
		}
	}
	return lines
}

func duration(micros int64) string {
	return row.Value{Type: row.Of(row.Interval), B: row.AppendInterval(nil, row.IntervalValue{Micros: micros})}.String()
}
