package relational

import (
	"cmp"
	"slices"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// from is the table that a FROM clause makes: all combinations.
func (s *scope) from(list []tree.From) *Table {
	out := &Table{rows: [][]Value{{}}}
	for _, f := range list {
		out = s.combine(out, f, func(l, r *Table) *tree.Join { return &tree.Join{} })
	}
	if s.probing {
		out.rows = nil
	}
	return out
}

// lateral tells whether an entry may look at those to its left.
func lateral(f tree.From) bool {
	switch f := f.(type) {
	case *tree.SubqueryFrom:
		return f.Lateral
	case *tree.FunctionFrom:
		return true
	case *tree.Join:
		return lateral(f.L) || lateral(f.R)
	}
	return false
}

// combine joins a table with an entry; how says how, once the columns are known.
func (s *scope) combine(l *Table, f tree.From, how func(l, r *Table) *tree.Join) *Table {
	if !lateral(f) {
		r := s.entry(f)
		return s.join(l, r, how(l, r))
	}
	probe := s.within(l.cols, nulls(l.cols))
	probe.probing = true
	out := s.join(&Table{cols: l.cols}, &Table{cols: probe.entry(f).cols}, how(l, nil))
	for _, row := range l.rows {
		r := s.within(l.cols, row).entry(f)
		j := how(l, r)
		if j.Kind == tree.Right || j.Kind == tree.Full {
			unsupported(f, "a RIGHT or FULL JOIN with LATERAL")
		}
		out.rows = append(out.rows, s.join(&Table{l.cols, [][]Value{row}}, r, j).rows...)
	}
	return out
}

// rename gives a table and its first columns other names.
func rename(t *Table, a tree.Alias) *Table {
	out := &Table{rows: t.rows, cols: slices.Clone(t.cols)}
	for i := range out.cols {
		if a.Name != "" {
			out.cols[i].table = a.Name
			out.cols[i].hidden = false
		}
		if i < len(a.Columns) {
			out.cols[i].name = a.Columns[i]
		}
	}
	return out
}

func (s *scope) entry(f tree.From) *Table {
	switch f := f.(type) {
	case *tree.TableName:
		a := f.Alias
		if a.Name == "" {
			a.Name = f.Name
		}
		return rename(s.table(f), a)
	case *tree.SubqueryFrom:
		a := f.Alias
		if a.Name == "" {
			a.Name = "unnamed_subquery"
		}
		return rename(s.query(f.Query), a)
	case *tree.FunctionFrom:
		return s.tableFunction(f)
	case *tree.Join:
		return s.combine(s.entry(f.L), f.R, func(l, r *Table) *tree.Join { return f })
	}
	return unsupportedTable(f, "this entry of FROM")
}

func (s *scope) table(f *tree.TableName) *Table {
	if f.AsOf != nil {
		return unsupportedTable(f, "AS OF")
	}
	if f.Schema == "" {
		for c := s.ctes; c != nil; c = c.next {
			if c.name == f.Name {
				return c.table
			}
		}
	}
	t := s.db.Tables[qualified(f.Schema, f.Name)]
	if t == nil {
		panic(failure{sqlerr.At(f.Pos, sqlerr.UndefinedTable, "relation %q does not exist", f.Name)})
	}
	return t
}

const pairsDefault = 300_000

// join combines two tables.
func (s *scope) join(l, r *Table, j *tree.Join) *Table {
	if len(l.rows)*len(r.rows) > cmp.Or(s.db.Pairs, pairsDefault) {
		fail(sqlerr.FeatureNotSupported, "a join of %d by %d rows", len(l.rows), len(r.rows))
	}
	using := j.Using
	if j.Natural {
		for _, c := range l.cols {
			if !c.hidden && slices.ContainsFunc(r.cols, func(o column) bool { return o.name == c.name && !o.hidden }) {
				using = append(using, c.name)
			}
		}
	}
	find := func(cols []column, name string) int {
		return slices.IndexFunc(cols, func(c column) bool { return c.name == name && !c.hidden })
	}
	out := &Table{}
	var merged [][2]int
	for _, name := range using {
		a, b := find(l.cols, name), find(r.cols, name)
		if a < 0 || b < 0 {
			panic(failure{sqlerr.At(j.Pos, sqlerr.UndefinedColumn, "column %q specified in USING clause does not exist", name)})
		}
		merged = append(merged, [2]int{a, b})
		out.cols = append(out.cols, column{name: name, kind: unify(l.cols[a].kind, r.cols[b].kind)})
	}
	both := append(slices.Clone(l.cols), r.cols...)
	for i, c := range both {
		for _, m := range merged {
			c.hidden = c.hidden || i == m[0] || i == m[1]+len(l.cols)
		}
		out.cols = append(out.cols, c)
	}
	put := func(a, b []Value) {
		var row []Value
		for i, m := range merged {
			v := a[m[0]]
			if v.null() {
				v = b[m[1]]
			}
			row = append(row, cast(v, out.cols[i].kind))
		}
		out.rows = append(out.rows, append(append(row, a...), b...))
	}
	matched := make([]bool, len(r.rows))
	for _, a := range l.rows {
		hit := false
		for i, b := range r.rows {
			row := append(slices.Clone(a), b...)
			ok := s.within(both, row).holds(j.On)
			for _, m := range merged {
				ok = ok && comparison("=", a[m[0]], b[m[1]]).V == true
			}
			if ok {
				hit, matched[i] = true, true
				put(a, b)
			}
		}
		if !hit && (j.Kind == tree.Left || j.Kind == tree.Full) {
			put(a, nulls(r.cols))
		}
	}
	for i, b := range r.rows {
		if !matched[i] && (j.Kind == tree.Right || j.Kind == tree.Full) {
			put(nulls(l.cols), b)
		}
	}
	return out
}

// tableFunction is a function in FROM.
func (s *scope) tableFunction(f *tree.FunctionFrom) *Table {
	c := f.Call
	a := f.Alias
	if a.Name == "" {
		a.Name = c.Name
	}
	var out *Table
	switch c.Name {
	case "tumble", "hop", "session":
		out = s.timeWindows(c)
	case "generate_series":
		out = s.series(c)
	case "unnest":
		v := s.eval(c.Args[0])
		out = &Table{cols: []column{{kind: v.K.elem()}}}
		if !v.null() {
			for _, e := range v.V.([]Value) {
				out.rows = append(out.rows, []Value{e})
			}
		}
	default:
		panic(failure{sqlerr.At(c.Pos, sqlerr.UndefinedFunction, "function %s does not exist in FROM", c.Name)})
	}
	if len(out.cols) == 1 && out.cols[0].name == "" { // a scalar's column has the alias's name
		out.cols[0].name = a.Name
	}
	if f.Ordinality {
		out.cols = append(out.cols, column{name: "ordinality", kind: Int8})
		for i := range out.rows {
			out.rows[i] = append(out.rows[i], Value{Int8, int64(i + 1)})
		}
	}
	return rename(out, a)
}

func (s *scope) series(c *tree.Call) *Table {
	k := s.common(c.Args...)
	if k == Int2 {
		k = Int4
	}
	if k != Int4 && k != Int8 {
		return unsupportedTable(c, "generate_series of anything but integers")
	}
	var n []int64
	for _, e := range c.Args {
		v := cast(s.eval(e), k)
		if v.null() {
			return &Table{cols: []column{{kind: k}}}
		}
		n = append(n, v.V.(int64))
	}
	if len(n) == 2 {
		n = append(n, 1)
	}
	if n[2] == 0 {
		fail(sqlerr.InvalidParameter, "step size cannot equal zero")
	}
	out := &Table{cols: []column{{kind: k}}}
	for i := n[0]; n[2] > 0 && i <= n[1] || n[2] < 0 && i >= n[1]; i += n[2] {
		out.rows = append(out.rows, []Value{{k, i}})
	}
	return out
}

// timeWindows adds window_start and window_end to each row of a table: the
// windows [start, end) of its time. A row without a time is in none.
func (s *scope) timeWindows(c *tree.Call) *Table {
	name, ok := c.Args[0].(*tree.ColumnRef)
	if !ok {
		return unsupportedTable(c, "a window over anything but a table's name")
	}
	t := &tree.TableName{Name: name.Names[len(name.Names)-1]}
	if len(name.Names) > 1 {
		t.Schema = name.Names[len(name.Names)-2]
	}
	src := rename(s.table(t), tree.Alias{Name: t.Name})
	width := func(e tree.Expr) int64 {
		in := s.within(src.cols, nulls(src.cols))
		in.probing = false // it is a constant
		v := cast(in.eval(e), Interval).V.(span)
		if v.months != 0 || v.days*day+v.micros <= 0 {
			panic(failure{sqlerr.At(e.At(), sqlerr.InvalidParameter, "a window's width must be positive, and without months")})
		}
		return v.days*day + v.micros
	}
	at := func(row []Value) Value { return s.within(src.cols, row).eval(c.Args[1]) }
	k := s.within(src.cols, nulls(src.cols)).kinds(c.Args[1])[0]
	if k == Date {
		k = Timestamp
	}
	out := &Table{cols: append(slices.Clone(src.cols), column{name: "window_start", kind: k}, column{name: "window_end", kind: k})}
	put := func(row []Value, start, end int64) {
		out.rows = append(out.rows, append(slices.Clone(row), Value{k, start}, Value{k, end}))
	}
	if c.Name == "session" {
		s.sessions(c, src, k, width(c.Args[2]), put)
		return out
	}
	slide := width(c.Args[2])
	size := slide
	if c.Name == "hop" {
		size = width(c.Args[3])
	}
	for _, row := range src.rows {
		v := cast(at(row), k)
		if v.null() {
			continue
		}
		us := v.V.(int64)
		for start := floorDiv(us, slide) * slide; start > us-size; start -= slide {
			put(row, start, start+size)
		}
	}
	return out
}

// sessions puts rows of equal keys into one session as long as each is at most
// the gap after the one before.
func (s *scope) sessions(c *tree.Call, src *Table, k Kind, gap int64, put func([]Value, int64, int64)) {
	type entry struct {
		row, key []Value
		us       int64
	}
	var all []entry
	for _, row := range src.rows {
		in := s.within(src.cols, row)
		v := cast(in.eval(c.Args[1]), k)
		if v.null() {
			continue
		}
		e := entry{row: row, us: v.V.(int64)}
		for _, x := range c.Args[3:] {
			e.key = append(e.key, in.eval(x))
		}
		all = append(all, e)
	}
	for _, e := range all {
		start, end := e.us, e.us
		for grown := true; grown; {
			grown = false
			for _, o := range all {
				if !sameRow(o.key, e.key) {
					continue
				}
				if o.us < start && o.us >= start-gap {
					start, grown = o.us, true
				}
				if o.us > end && o.us <= end+gap {
					end, grown = o.us, true
				}
			}
		}
		put(e.row, start, end+gap)
	}
}
