package parse

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

func (c *converter) query(s *pg.SelectStmt, pos tree.Pos) *tree.Query {
	q := &tree.Query{}
	q.SetPos(pos)
	if s == nil {
		c.unsupported(pos, "a statement that changes data, within a query,")
		return q
	}
	c.refuse(pos, []feature{{"SELECT INTO", s.IntoClause != nil}, {"FOR UPDATE and FOR SHARE", len(s.LockingClause) > 0}, {"WITH TIES", s.LimitOption == pg.LimitOption_LIMIT_OPTION_WITH_TIES}, {"GROUP BY DISTINCT", s.GroupDistinct}})
	if s.WithClause != nil {
		q.With = c.with(s.WithClause, pos)
	}
	switch {
	case s.Op != pg.SetOperation_SETOP_NONE && s.Op != pg.SetOperation_SET_OPERATION_UNDEFINED:
		op := map[pg.SetOperation]tree.SetOperator{pg.SetOperation_SETOP_UNION: tree.Union, pg.SetOperation_SETOP_INTERSECT: tree.Intersect, pg.SetOperation_SETOP_EXCEPT: tree.Except}[s.Op]
		b := &tree.SetOp{Op: op, All: s.All, L: c.query(s.Larg, pos), R: c.query(s.Rarg, pos)}
		b.SetPos(pos)
		q.Body = b
	case len(s.ValuesLists) > 0:
		b := &tree.Values{}
		b.SetPos(pos)
		for _, row := range s.ValuesLists {
			b.Rows = append(b.Rows, c.exprs(row.GetList().GetItems(), pos))
		}
		q.Body = b
	default:
		q.Body = c.selectBody(s, pos)
	}
	q.OrderBy = c.orderBy(s.SortClause, pos)
	q.Limit, q.Offset = c.limit(s.LimitCount, pos), c.limit(s.LimitOffset, pos)
	return q
}

// limit is an expression, or nil where LIMIT ALL or NULL means none.
func (c *converter) limit(n *pg.Node, pos tree.Pos) tree.Expr {
	if n == nil || n.GetAConst().GetIsnull() {
		return nil
	}
	return c.expr(n, pos)
}

func (c *converter) with(w *pg.WithClause, holder tree.Pos) *tree.With {
	out := &tree.With{Recursive: w.Recursive}
	out.SetPos(c.pos(w.Location, holder))
	for _, n := range w.Ctes {
		t := n.GetCommonTableExpr()
		pos := c.pos(t.GetLocation(), out.Pos)
		c.refuse(pos, []feature{{"SEARCH", t.SearchClause != nil}, {"CYCLE", t.CycleClause != nil}})
		cte := tree.CTE{Name: t.Ctename, Columns: nameList(t.Aliascolnames), Query: c.query(t.Ctequery.GetSelectStmt(), pos)}
		cte.SetPos(pos)
		out.Tables = append(out.Tables, cte)
	}
	return out
}

func (c *converter) selectBody(s *pg.SelectStmt, pos tree.Pos) *tree.SelectBody {
	b := &tree.SelectBody{}
	b.SetPos(pos)
	if len(s.DistinctClause) > 0 {
		if s.DistinctClause[0].GetNode() == nil {
			b.Distinct = true
		} else {
			b.DistinctOn = c.exprs(s.DistinctClause, pos)
		}
	}
	for _, n := range s.TargetList {
		t := n.GetResTarget()
		item := tree.Item{Alias: t.GetName()}
		item.SetPos(c.pos(t.GetLocation(), pos))
		item.Expr = c.expr(t.GetVal(), item.Pos)
		b.Items = append(b.Items, item)
	}
	if len(b.Items) > columnsMax {
		c.fail(sqlerr.At(b.Items[columnsMax].Pos, sqlerr.TooManyColumns, "more than %d columns", columnsMax))
	}
	for _, n := range s.FromClause {
		b.From = append(b.From, c.from(n, pos))
	}
	b.Where = c.optional(s.WhereClause, pos)
	b.GroupBy = c.exprs(s.GroupClause, pos)
	b.Having = c.optional(s.HavingClause, pos)
	for _, n := range s.WindowClause {
		w := c.window(n.GetWindowDef(), pos)
		w.Name = n.GetWindowDef().GetName()
		b.Windows = append(b.Windows, *w)
	}
	spread(b)
	return b
}

// spread has a function of many rows, which PostgreSQL allows in a SELECT list, too, stand
// where it is otherwise: SELECT a, f(a) FROM t is SELECT a, r FROM t, LATERAL f(a) AS r. That
// is so for one such function as a whole item, beside what is neither * nor a call, which
// may be an aggregate or a window function: these come before it.
func spread(b *tree.SelectBody) {
	at := -1
	for i := range b.Items {
		call, ok := b.Items[i].Expr.(*tree.Call)
		if ok && (call.Name == "generate_series" || call.Name == "unnest") && call.Over == nil && at < 0 {
			at = i
			continue
		}
		plain := true
		tree.Walk(b.Items[i].Expr, func(e tree.Expr) bool {
			switch e := e.(type) {
			case *tree.Call:
				plain = false
			case *tree.ColumnRef:
				plain = plain && !e.Star
			}
			return plain
		})
		if !plain {
			return
		}
	}
	if at < 0 || len(b.GroupBy) > 0 || b.Having != nil {
		return
	}
	item := &b.Items[at]
	call := item.Expr.(*tree.Call)
	from := &tree.FunctionFrom{Lateral: true, Call: call, Alias: tree.Alias{Name: "rows of " + call.Name, Columns: []string{call.Name}}}
	from.SetPos(call.Pos)
	b.From = append(b.From, from)
	ref := &tree.ColumnRef{Names: []string{from.Alias.Name, call.Name}}
	ref.SetPos(call.Pos)
	item.Expr = ref
}

func (c *converter) orderBy(nodes []*pg.Node, holder tree.Pos) (keys []tree.Order) {
	for _, n := range nodes {
		s := n.GetSortBy()
		o := tree.Order{Expr: c.expr(s.GetNode(), holder), Descending: s.GetSortbyDir() == pg.SortByDir_SORTBY_DESC}
		pos := holder
		if o.Expr != nil {
			pos = o.Expr.At()
		}
		o.SetPos(c.pos(s.GetLocation(), pos))
		if s.GetSortbyDir() == pg.SortByDir_SORTBY_USING {
			c.unsupported(o.Pos, "ORDER BY … USING")
		}
		switch s.GetSortbyNulls() {
		case pg.SortByNulls_SORTBY_NULLS_FIRST:
			o.NullsFirst = true
		case pg.SortByNulls_SORTBY_NULLS_LAST:
		default:
			o.NullsFirst = o.Descending
		}
		keys = append(keys, o)
	}
	return keys
}

// PostgreSQL's frame options (parsenodes.h, FRAMEOPTION_…).
const (
	frameNonDefault         = 1 << 0
	frameRows               = 1 << 2
	frameGroups             = 1 << 3
	frameStartUnboundedPrec = 1 << 5
	frameEndUnboundedFoll   = 1 << 8
	frameStartCurrent       = 1 << 9
	frameEndCurrent         = 1 << 10
	frameStartPrec          = 1 << 11
	frameEndPrec            = 1 << 12
	frameStartFoll          = 1 << 13
	frameEndFoll            = 1 << 14
	frameExcludeCurrent     = 1 << 15
	frameExcludeGroup       = 1 << 16
	frameExcludeTies        = 1 << 17
)

func (c *converter) window(w *pg.WindowDef, holder tree.Pos) *tree.Window {
	pos := c.pos(w.GetLocation(), holder)
	out := &tree.Window{Base: w.GetRefname(), PartitionBy: c.exprs(w.GetPartitionClause(), pos), OrderBy: c.orderBy(w.GetOrderClause(), pos)}
	out.SetPos(pos)
	o := w.GetFrameOptions()
	if o&frameNonDefault == 0 {
		return out
	}
	f := &tree.Frame{}
	f.SetPos(pos)
	switch {
	case o&frameRows != 0:
		f.Mode = tree.Rows
	case o&frameGroups != 0:
		f.Mode = tree.Groups
	}
	f.Start = tree.Bound{Kind: boundKind(o, frameStartUnboundedPrec, frameStartPrec, frameStartCurrent, frameStartFoll), Offset: c.optional(w.StartOffset, pos)}
	f.End = tree.Bound{Kind: boundKind(o, 0, frameEndPrec, frameEndCurrent, frameEndFoll), Offset: c.optional(w.EndOffset, pos)}
	switch {
	case o&frameExcludeCurrent != 0:
		f.Exclude = tree.ExcludeCurrentRow
	case o&frameExcludeGroup != 0:
		f.Exclude = tree.ExcludeGroup
	case o&frameExcludeTies != 0:
		f.Exclude = tree.ExcludeTies
	}
	out.Frame = f
	return out
}

func boundKind(o, unboundedPrec, prec, current, foll int32) tree.BoundKind {
	switch {
	case o&unboundedPrec != 0:
		return tree.UnboundedPreceding
	case o&prec != 0:
		return tree.Preceding
	case o&current != 0:
		return tree.CurrentRow
	case o&foll != 0:
		return tree.Following
	}
	return tree.UnboundedFollowing
}

func alias(a *pg.Alias) tree.Alias {
	return tree.Alias{Name: a.GetAliasname(), Columns: nameList(a.GetColnames())}
}

func (c *converter) from(n *pg.Node, holder tree.Pos) tree.From {
	switch n := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		return c.table(n.RangeVar)
	case *pg.Node_RangeTableSample:
		return c.sample(n.RangeTableSample, holder)
	case *pg.Node_RangeSubselect:
		s := n.RangeSubselect
		out := &tree.SubqueryFrom{Lateral: s.Lateral, Query: c.query(s.Subquery.GetSelectStmt(), holder), Alias: alias(s.Alias)}
		out.SetPos(holder)
		return out
	case *pg.Node_RangeFunction:
		return c.function(n.RangeFunction, holder)
	case *pg.Node_JoinExpr:
		return c.join(n.JoinExpr, holder)
	}
	c.unsupported(holder, "this entry of FROM (%s)", kindOf(n))
	return nil
}

func (c *converter) table(v *pg.RangeVar) *tree.TableName {
	name := c.name(v)
	out := &tree.TableName{Schema: name.Schema, Name: name.Name, Alias: alias(v.Alias)}
	out.SetPos(name.Pos)
	return out
}

// sample is what the rewriter makes of AS OF.
func (c *converter) sample(s *pg.RangeTableSample, holder tree.Pos) tree.From {
	v := s.Relation.GetRangeVar()
	if v == nil || len(s.Method) != 1 || len(s.Args) != 1 || s.Repeatable != nil {
		c.unsupported(c.pos(s.Location, holder), "AS OF here")
		return nil
	}
	out := c.table(v)
	out.AsOf = &tree.AsOf{}
	out.AsOf.SetPos(c.pos(s.Location, out.Pos))
	switch s.Method[0].GetString_().GetSval() {
	case asOfEvent:
		out.AsOf.Axis = tree.EventTime
	case asOfSystem:
		out.AsOf.Axis = tree.SystemTime
	default:
		c.unsupported(out.AsOf.Pos, "TABLESAMPLE")
	}
	out.AsOf.Time = c.expr(s.Args[0], out.AsOf.Pos)
	return out
}

func (c *converter) function(f *pg.RangeFunction, holder tree.Pos) tree.From {
	c.refuse(holder, []feature{{"ROWS FROM", f.IsRowsfrom}, {"a list of column definitions", len(f.Coldeflist) > 0}})
	out := &tree.FunctionFrom{Lateral: f.Lateral, Ordinality: f.Ordinality, Alias: alias(f.Alias)}
	out.SetPos(holder)
	if len(f.Functions) != 1 || len(f.Functions[0].GetList().GetItems()) == 0 {
		c.unsupported(holder, "several functions as one table")
		return out
	}
	call, ok := c.expr(f.Functions[0].GetList().Items[0], holder).(*tree.Call)
	if !ok {
		c.unsupported(holder, "this expression in FROM")
		return out
	}
	out.SetPos(call.Pos)
	out.Call = call
	return out
}

func (c *converter) join(j *pg.JoinExpr, holder tree.Pos) tree.From {
	out := &tree.Join{Natural: j.IsNatural, L: c.from(j.Larg, holder), R: c.from(j.Rarg, holder), On: c.optional(j.Quals, holder), Using: nameList(j.UsingClause)}
	out.SetPos(holder)
	if out.R != nil {
		out.SetPos(out.R.At())
	}
	c.refuse(out.Pos, []feature{{"an alias of a join", j.Alias != nil}, {"an alias of USING", j.JoinUsingAlias != nil}})
	switch j.Jointype {
	case pg.JoinType_JOIN_INNER:
	case pg.JoinType_JOIN_LEFT:
		out.Kind = tree.Left
	case pg.JoinType_JOIN_RIGHT:
		out.Kind = tree.Right
	case pg.JoinType_JOIN_FULL:
		out.Kind = tree.Full
	default:
		c.unsupported(out.Pos, "this join")
	}
	return out
}
