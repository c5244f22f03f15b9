package plan

import (
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// Subscribe plans what a subscription shows: the rows of a projection that a
// condition is true for. Its changes are those of the plan's answer.
func Subscribe(s *tree.Subscribe, o Options) (*Plan, error) {
	all := &tree.ColumnRef{Star: true}
	all.SetPos(s.Pos)
	item := tree.Item{Expr: all}
	item.SetPos(s.Pos)
	body := &tree.SelectBody{Items: []tree.Item{item}, From: []tree.From{s.From}, Where: s.Where}
	body.SetPos(s.Pos)
	q := &tree.Query{Body: body}
	q.SetPos(s.Pos)
	o.View = true
	return Query(q, o)
}

// Projection plans the query of a projection, whose columns get the names that
// the statement gives them. What depends on more than the rows of its tables has
// no place in it: the present time, parameters, AS OF.
func Projection(s *tree.CreateProjection, o Options) (*Plan, error) {
	o.View, o.Params = true, nil
	p, err := Query(s.Query, o)
	if err != nil {
		return nil, err
	}
	if len(s.Columns) > len(p.Cols) {
		return nil, sqlerr.At(s.Name.Pos, sqlerr.SyntaxError, "too many column names were specified: the query has %d columns", len(p.Cols))
	}
	seen := map[string]bool{}
	for i := range p.Cols {
		c := &p.Cols[i]
		if i < len(s.Columns) {
			c.Name = s.Columns[i]
		}
		if seen[c.Name] {
			return nil, sqlerr.At(s.Name.Pos, sqlerr.DuplicateColumn, "column %q specified more than once", c.Name).Hint("give the columns of the query names with AS")
		}
		seen[c.Name] = true
	}
	return p, nil
}

// TimesOf finds the times that a query reads at, one for each table in the text; nil
// for a table that is read as it is. It needs no catalog: it says which one is meant.
func TimesOf(q *tree.Query, o Options) (times []*AsOf, err error) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *sqlerr.Error:
			times, err = nil, f
		default:
			panic(f)
		}
	}()
	b := &binder{p: &Plan{}, o: o}
	tree.Tables(q, func(t *tree.TableName) {
		if t.AsOf == nil {
			times = append(times, nil)
		} else {
			times = append(times, b.asOf(t.AsOf))
		}
	})
	return times, nil
}
