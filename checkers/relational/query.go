package relational

import (
	"slices"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// A scope is where an expression is evaluated: a row, what it is called, and
// the scopes around.
type scope struct {
	db      *DB
	cols    []column
	row     []Value
	parent  *scope
	ctes    *cte
	group   []*scope             // rows that the row stands for, where there is a GROUP BY
	grouped bool                 // group counts
	windows map[*tree.Call]Value // window functions' values for the row
	probing bool
}

type cte struct {
	name  string
	table *Table
	next  *cte
}

// within is a scope for rows of a table, inside of s.
func (s *scope) within(cols []column, row []Value) *scope {
	return &scope{db: s.db, cols: cols, row: row, parent: s, ctes: s.ctes, probing: s.probing}
}

func (s *scope) column(e *tree.ColumnRef) Value {
	if e.Star {
		return unsupported(e, "* here")
	}
	name, table := e.Names[len(e.Names)-1], ""
	if len(e.Names) > 1 {
		table = e.Names[len(e.Names)-2]
	}
	for at := s; at != nil; at = at.parent {
		found := -1
		for i, c := range at.cols {
			if c.name != name || table == "" && c.hidden || table != "" && c.table != table {
				continue
			}
			if found >= 0 {
				panic(failure{sqlerr.At(e.Pos, sqlerr.AmbiguousColumn, "column reference %q is ambiguous", name)})
			}
			found = i
		}
		if found >= 0 {
			return s.leaf(at.row[found])
		}
	}
	known := table == ""
	for at := s; at != nil; at = at.parent {
		known = known || slices.ContainsFunc(at.cols, func(c column) bool { return c.table == table })
	}
	if !known {
		panic(failure{sqlerr.At(e.Pos, sqlerr.UndefinedTable, "missing FROM-clause entry for table %q", table)})
	}
	panic(failure{sqlerr.At(e.Pos, sqlerr.UndefinedColumn, "column %q does not exist", name)})
}

func nulls(cols []column) []Value {
	row := make([]Value, len(cols))
	for i, c := range cols {
		row[i] = null(c.kind)
	}
	return row
}

// query answers a query within s.
func (s *scope) query(q *tree.Query) *Table {
	if q.With != nil {
		inner := *s
		s = &inner
		for _, c := range q.With.Tables {
			s.ctes = &cte{c.Name, s.cteTable(q.With, c), s.ctes}
		}
	}
	var out *Table
	switch b := q.Body.(type) {
	case *tree.SelectBody:
		return s.limit(q, s.selectRows(b, q.OrderBy))
	case *tree.Values:
		out = s.values(b)
	case *tree.SetOp:
		out = s.setOp(b)
	}
	var keyed []keyedRow
	for _, r := range out.rows {
		k := keyedRow{row: r}
		for _, o := range q.OrderBy {
			k.keys = append(k.keys, s.outputKey(o.Expr, out, r))
		}
		keyed = append(keyed, k)
	}
	sortKeyed(keyed, q.OrderBy)
	for i, k := range keyed {
		out.rows[i] = k.row
	}
	return s.limit(q, out)
}

// outputKey is a value to sort by that an output column holds.
func (s *scope) outputKey(e tree.Expr, t *Table, row []Value) Value {
	if i, ok := outputColumn(e, t.cols); ok {
		return row[i]
	}
	return unsupported(e, "ORDER BY an expression after a set operation")
}

// outputColumn finds an output column by its number or name.
func outputColumn(e tree.Expr, cols []column) (int, bool) {
	switch e := e.(type) {
	case *tree.Literal:
		if e.Kind == tree.Integer {
			n := int(parseNumber(e.Text, Int4).V.(int64))
			if n < 1 || n > len(cols) {
				panic(failure{sqlerr.At(e.Pos, sqlerr.InvalidColumnRef, "position %d is not in select list", n)})
			}
			return n - 1, true
		}
	case *tree.ColumnRef:
		if len(e.Names) == 1 && !e.Star {
			for i, c := range cols {
				if c.name == e.Names[0] {
					return i, true
				}
			}
		}
	}
	return 0, false
}

type keyedRow struct {
	row  []Value
	keys []Value
	on   []Value // of DISTINCT ON
}

func sortKeyed(rows []keyedRow, order []tree.Order) {
	slices.SortStableFunc(rows, func(a, b keyedRow) int { return compareKeys(a.keys, b.keys, order) })
}

func compareKeys(a, b []Value, order []tree.Order) int {
	for i, o := range order {
		c := 0
		switch {
		case a[i].null() || b[i].null():
			c = compareNulls(a[i], b[i], o.NullsFirst)
		default:
			if c = compare(a[i], b[i]); o.Descending {
				c = -c
			}
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func (s *scope) limit(q *tree.Query, t *Table) *Table {
	count := func(e tree.Expr, state sqlerr.State) (int, bool) {
		if e == nil || s.probing {
			return 0, false
		}
		v := cast(s.eval(e), Int8)
		if v.null() {
			return 0, false
		}
		if v.V.(int64) < 0 {
			panic(failure{sqlerr.At(e.At(), state, "LIMIT and OFFSET must not be negative")})
		}
		return int(min(v.V.(int64), int64(len(t.rows)))), true
	}
	if n, ok := count(q.Offset, sqlerr.InvalidOffset); ok {
		t.rows = t.rows[n:]
	}
	if n, ok := count(q.Limit, sqlerr.InvalidLimit); ok {
		t.rows = t.rows[:n]
	}
	return t
}

// cteTable is the table of a CTE; a recursive one is repeated until nothing new
// comes.
func (s *scope) cteTable(w *tree.With, c tree.CTE) *Table {
	body, isSet := c.Query.Body.(*tree.SetOp)
	if !w.Recursive || !isSet || body.Op != tree.Union || !mentions(body.R, c.Name) {
		return rename(s.query(c.Query), tree.Alias{Name: c.Name, Columns: c.Columns})
	}
	all := rename(s.query(body.L), tree.Alias{Name: c.Name, Columns: c.Columns})
	if !body.All {
		all.rows = distinct(all.rows)
	}
	last := all.rows
	for rounds := 0; len(last) > 0; rounds++ {
		if rounds > 10_000 {
			panic(failure{sqlerr.At(c.Pos, sqlerr.ProgramLimit, "the recursion does not end")})
		}
		inner := *s
		inner.ctes = &cte{c.Name, &Table{cols: all.cols, rows: last}, s.ctes}
		next := inner.query(body.R)
		last = nil
		for _, r := range next.rows {
			for i := range r {
				r[i] = cast(r[i], all.cols[i].kind)
			}
			if body.All || !slices.ContainsFunc(all.rows, func(o []Value) bool { return sameRow(o, r) }) && !slices.ContainsFunc(last, func(o []Value) bool { return sameRow(o, r) }) {
				last = append(last, r)
			}
		}
		all.rows = append(all.rows, last...)
	}
	return all
}

// mentions tells whether a query reads a table of this name.
func mentions(q *tree.Query, name string) bool {
	switch b := q.Body.(type) {
	case *tree.SetOp:
		return mentions(b.L, name) || mentions(b.R, name)
	case *tree.SelectBody:
		return slices.ContainsFunc(b.From, func(f tree.From) bool { return fromMentions(f, name) })
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

func (s *scope) values(b *tree.Values) *Table {
	out := &Table{}
	for i := range b.Rows[0] {
		var es []tree.Expr
		for _, r := range b.Rows {
			if len(r) != len(b.Rows[0]) {
				panic(failure{sqlerr.At(b.Pos, sqlerr.SyntaxError, "VALUES lists must all be the same length")})
			}
			es = append(es, r[i])
		}
		out.cols = append(out.cols, column{name: "column" + Value{Int4, int64(i + 1)}.String(), kind: unify(s.kinds(es...)...)})
	}
	for _, r := range b.Rows {
		row := make([]Value, len(r))
		for i, e := range r {
			row[i] = cast(s.eval(e), out.cols[i].kind)
		}
		out.rows = append(out.rows, row)
	}
	return out
}

func (s *scope) setOp(b *tree.SetOp) *Table {
	l, r := s.query(b.L), s.query(b.R)
	if len(l.cols) != len(r.cols) {
		panic(failure{sqlerr.At(b.Pos, sqlerr.SyntaxError, "each %s query must have the same number of columns", b.Op)})
	}
	out := &Table{}
	for i, c := range l.cols {
		k := unify(c.kind, r.cols[i].kind)
		if k == Unknown {
			k = Text
		}
		out.cols = append(out.cols, column{name: c.name, kind: k})
	}
	bring := func(rows [][]Value) (all [][]Value) {
		for _, row := range rows {
			n := make([]Value, len(row))
			for i := range row {
				n[i] = cast(row[i], out.cols[i].kind)
			}
			all = append(all, n)
		}
		return all
	}
	left, right := bring(l.rows), bring(r.rows)
	switch {
	case b.Op == tree.Union:
		out.rows = append(left, right...)
	case b.Op == tree.Intersect:
		out.rows, _ = pairOff(left, right)
	default:
		if !b.All {
			left = distinct(left)
		}
		_, out.rows = pairOff(left, right)
	}
	if !b.All {
		out.rows = distinct(out.rows)
	}
	return out
}

// pairOff takes from the left each row that the right has, once for each time
// that it has it.
func pairOff(left, right [][]Value) (paired, rest [][]Value) {
	right = slices.Clone(right)
	for _, l := range left {
		i := slices.IndexFunc(right, func(r []Value) bool { return sameRow(l, r) })
		if i < 0 {
			rest = append(rest, l)
			continue
		}
		paired = append(paired, l)
		right = slices.Delete(right, i, i+1)
	}
	return paired, rest
}

func distinct(rows [][]Value) (out [][]Value) {
	for _, r := range rows {
		if !slices.ContainsFunc(out, func(o []Value) bool { return sameRow(o, r) }) {
			out = append(out, r)
		}
	}
	return out
}
