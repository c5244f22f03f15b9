package relational

import (
	"slices"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// selectRows answers SELECT: from, where, group by, having, windows, the list,
// distinct, order by.
func (s *scope) selectRows(b *tree.SelectBody, order []tree.Order) *Table {
	src := s.from(b.From)
	var rows []*scope
	for _, r := range src.rows {
		in := s.within(src.cols, r)
		if in.holds(b.Where) {
			rows = append(rows, in)
		}
	}
	items := s.expand(b.Items, src.cols)
	if s.aggregates(b, items, order) {
		rows = s.groups(b, items, src.cols, rows)
		rows = slices.DeleteFunc(rows, func(r *scope) bool { return !r.holds(b.Having) })
	}
	s.computeWindows(b, items, order, rows)
	out := &Table{}
	shape := s.within(src.cols, nulls(src.cols))
	shape.probing = true
	shape.grouped = len(rows) > 0 && rows[0].grouped || s.aggregates(b, items, order)
	for _, i := range items {
		name := i.Alias
		if name == "" {
			name = tree.OutputName(i.Expr)
		}
		k := shape.eval(i.Expr).K
		if k == Unknown {
			k = Text
		}
		out.cols = append(out.cols, column{name: name, kind: k})
	}
	var keyed []keyedRow
	for _, r := range rows {
		k := keyedRow{}
		for i, item := range items {
			k.row = append(k.row, cast(r.eval(item.Expr), out.cols[i].kind))
		}
		for _, o := range order {
			if i, ok := outputColumn(o.Expr, out.cols); ok {
				k.keys = append(k.keys, k.row[i])
			} else {
				k.keys = append(k.keys, r.eval(o.Expr))
			}
		}
		for _, e := range b.DistinctOn {
			if i, ok := outputColumn(e, out.cols); ok {
				k.on = append(k.on, k.row[i])
			} else {
				k.on = append(k.on, r.eval(e))
			}
		}
		keyed = append(keyed, k)
	}
	sortKeyed(keyed, order)
	var firsts [][]Value // of DISTINCT ON
	for _, k := range keyed {
		if len(b.DistinctOn) > 0 {
			if slices.ContainsFunc(firsts, func(o []Value) bool { return sameRow(o, k.on) }) {
				continue
			}
			firsts = append(firsts, k.on)
		}
		out.rows = append(out.rows, k.row)
	}
	if b.Distinct {
		out.rows = distinct(out.rows)
	}
	return out
}

func unsupportedTable(n tree.Node, what string) *Table {
	unsupported(n, "%s", what)
	return nil
}

// expand replaces * and t.* by columns.
func (s *scope) expand(items []tree.Item, cols []column) (out []tree.Item) {
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
		for _, c := range cols {
			if table == "" && !c.hidden || table != "" && c.table == table {
				r := &tree.ColumnRef{Names: []string{c.name}}
				if c.table != "" {
					r.Names = []string{c.table, c.name}
				}
				out = append(out, tree.Item{Expr: r, Alias: c.name})
			}
		}
		if len(out) == n && table != "" {
			panic(failure{sqlerr.At(ref.Pos, sqlerr.UndefinedTable, "missing FROM-clause entry for table %q", table)})
		}
	}
	return out
}

// aggregates tells whether the rows of a SELECT are groups.
func (s *scope) aggregates(b *tree.SelectBody, items []tree.Item, order []tree.Order) bool {
	found := len(b.GroupBy) > 0 || b.Having != nil
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

// groups makes one scope for each group: its first row, and all of them.
func (s *scope) groups(b *tree.SelectBody, items []tree.Item, cols []column, rows []*scope) (out []*scope) {
	if len(b.GroupBy) == 0 {
		g := s.within(cols, nulls(cols))
		g.grouped, g.group = true, rows
		return []*scope{g}
	}
	var keys [][]Value
	for _, r := range rows {
		var key []Value
		for _, e := range b.GroupBy {
			key = append(key, r.eval(s.groupExpr(e, items, cols)))
		}
		i := slices.IndexFunc(keys, func(k []Value) bool { return sameRow(k, key) })
		if i < 0 {
			i = len(keys)
			keys = append(keys, key)
			g := s.within(cols, r.row)
			g.grouped = true
			out = append(out, g)
		}
		out[i].group = append(out[i].group, r)
	}
	return out
}

// groupExpr is what a GROUP BY entry means: a number is an output column, a
// name is a column of the input, or else an output column's.
func (s *scope) groupExpr(e tree.Expr, items []tree.Item, cols []column) tree.Expr {
	if l, ok := e.(*tree.Literal); ok && l.Kind == tree.Integer {
		n := int(parseNumber(l.Text, Int4).V.(int64))
		if n < 1 || n > len(items) {
			panic(failure{sqlerr.At(l.Pos, sqlerr.InvalidColumnRef, "GROUP BY position %d is not in select list", n)})
		}
		return items[n-1].Expr
	}
	if r, ok := e.(*tree.ColumnRef); ok && len(r.Names) == 1 {
		input := slices.ContainsFunc(cols, func(c column) bool { return c.name == r.Names[0] && !c.hidden })
		for _, i := range items {
			if !input && i.Alias == r.Names[0] {
				return i.Expr
			}
		}
	}
	return e
}
