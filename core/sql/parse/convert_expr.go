package parse

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// optional converts an expression that may be absent.
func (c *converter) optional(n *pg.Node, holder tree.Pos) tree.Expr {
	if n.GetNode() == nil {
		return nil
	}
	return c.expr(n, holder)
}

func (c *converter) exprs(nodes []*pg.Node, holder tree.Pos) (all []tree.Expr) {
	for _, n := range nodes {
		all = append(all, c.expr(n, holder))
	}
	return all
}

// positioned is what every expression is, to be given its place.
type positioned interface {
	tree.Expr
	SetPos(tree.Pos)
}

func (c *converter) expr(n *pg.Node, holder tree.Pos) tree.Expr {
	if c.err != nil {
		return nil
	}
	e, location := c.bare(n, holder)
	if c.err != nil {
		return nil
	}
	e.SetPos(c.pos(location, holder))
	return e
}

// bare converts an expression and says where PostgreSQL has it.
func (c *converter) bare(n *pg.Node, holder tree.Pos) (e positioned, location int32) {
	switch n := n.GetNode().(type) {
	case *pg.Node_AConst:
		return c.constant(n.AConst, holder), n.AConst.Location
	case *pg.Node_ColumnRef:
		return c.columnRef(n.ColumnRef, holder), n.ColumnRef.Location
	case *pg.Node_ParamRef:
		if n.ParamRef.Number < 1 || n.ParamRef.Number > paramMax {
			c.fail(sqlerr.At(c.pos(n.ParamRef.Location, holder), sqlerr.UndefinedParameter, "parameters are $1 to $%d", paramMax))
		}
		return &tree.Param{Number: int(n.ParamRef.Number)}, n.ParamRef.Location
	case *pg.Node_AExpr:
		return c.operator(n.AExpr, holder), n.AExpr.Location
	case *pg.Node_BoolExpr:
		return c.boolean(n.BoolExpr, holder), n.BoolExpr.Location
	case *pg.Node_NullTest:
		return &tree.IsNull{X: c.expr(n.NullTest.Arg, holder), Not: n.NullTest.Nulltesttype == pg.NullTestType_IS_NOT_NULL}, n.NullTest.Location
	case *pg.Node_BooleanTest:
		return c.truth(n.BooleanTest, holder), n.BooleanTest.Location
	case *pg.Node_SubLink:
		return c.subquery(n.SubLink, holder), n.SubLink.Location
	case *pg.Node_CaseExpr:
		return c.caseExpr(n.CaseExpr, holder), n.CaseExpr.Location
	case *pg.Node_CoalesceExpr:
		return &tree.Call{Name: "coalesce", Args: c.exprs(n.CoalesceExpr.Args, holder)}, n.CoalesceExpr.Location
	case *pg.Node_MinMaxExpr:
		name := "greatest"
		if n.MinMaxExpr.Op == pg.MinMaxOp_IS_LEAST {
			name = "least"
		}
		return &tree.Call{Name: name, Args: c.exprs(n.MinMaxExpr.Args, holder)}, n.MinMaxExpr.Location
	case *pg.Node_SqlvalueFunction:
		return c.valueFunction(n.SqlvalueFunction, holder), n.SqlvalueFunction.Location
	case *pg.Node_FuncCall:
		return c.call(n.FuncCall, holder), n.FuncCall.Location
	case *pg.Node_TypeCast:
		t := c.typeName(n.TypeCast.TypeName, holder)
		location := n.TypeCast.Location
		if location < 0 {
			location = n.TypeCast.TypeName.GetLocation()
		}
		return &tree.Cast{X: c.expr(n.TypeCast.Arg, holder), Type: t}, location
	case *pg.Node_AArrayExpr:
		return &tree.Array{Elems: c.exprs(n.AArrayExpr.Elements, holder)}, n.AArrayExpr.Location
	case *pg.Node_RowExpr:
		return &tree.Row{Elems: c.exprs(n.RowExpr.Args, holder)}, n.RowExpr.Location
	case *pg.Node_AIndirection:
		return c.indirection(n.AIndirection, holder), -1
	case *pg.Node_CollateClause:
		return c.collate(n.CollateClause, holder), n.CollateClause.Location
	}
	c.unsupported(holder, "this form of expression (%s)", kindOf(n))
	return nil, -1
}

func (c *converter) constant(k *pg.A_Const, holder tree.Pos) positioned {
	if k.Isnull {
		return &tree.Literal{Kind: tree.Null}
	}
	switch v := k.Val.(type) {
	case *pg.A_Const_Ival:
		return &tree.Literal{Kind: tree.Integer, Text: strconv.Itoa(int(v.Ival.GetIval()))}
	case *pg.A_Const_Fval:
		return &tree.Literal{Kind: tree.Decimal, Text: v.Fval.GetFval()}
	case *pg.A_Const_Boolval:
		return &tree.Literal{Kind: tree.Bool, Text: strconv.FormatBool(v.Boolval.GetBoolval())}
	case *pg.A_Const_Sval:
		return &tree.Literal{Kind: tree.String, Text: v.Sval.GetSval()}
	}
	c.unsupported(c.pos(k.Location, holder), "a bit string")
	return &tree.Literal{}
}

func (c *converter) columnRef(r *pg.ColumnRef, holder tree.Pos) positioned {
	out := &tree.ColumnRef{}
	for _, f := range r.Fields {
		if f.GetAStar() != nil {
			out.Star = true
			continue
		}
		out.Names = append(out.Names, f.GetString_().GetSval())
	}
	if len(out.Names) > 3 {
		c.unsupported(c.pos(r.Location, holder), "a name of more than three parts")
	}
	return out
}

// operatorName is that of a list of which the last is the operator.
func (c *converter) operatorName(names []*pg.Node, pos tree.Pos) string {
	list := nameList(names)
	if len(list) == 0 || len(list) > 1 && list[0] != "pg_catalog" {
		c.unsupported(pos, "an operator in a schema")
		return ""
	}
	op := list[len(list)-1]
	if op == "!=" {
		op = "<>"
	}
	return op
}

func (c *converter) operator(e *pg.A_Expr, holder tree.Pos) positioned {
	pos := c.pos(e.Location, holder)
	switch e.Kind {
	case pg.A_Expr_Kind_AEXPR_IN:
		return &tree.InList{X: c.expr(e.Lexpr, pos), List: c.exprs(e.Rexpr.GetList().GetItems(), pos), Not: nameList(e.Name)[0] == "<>"}
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		bounds := e.Rexpr.GetList().GetItems()
		return &tree.Between{
			X: c.expr(e.Lexpr, pos), Low: c.expr(bounds[0], pos), High: c.expr(bounds[1], pos),
			Not:       e.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN || e.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM,
			Symmetric: e.Kind == pg.A_Expr_Kind_AEXPR_BETWEEN_SYM || e.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM,
		}
	case pg.A_Expr_Kind_AEXPR_SIMILAR:
		c.unsupported(pos, "SIMILAR TO")
		return &tree.Literal{}
	}
	if e.Lexpr == nil {
		op := c.operatorName(e.Name, pos)
		return &tree.Unary{Op: op, X: c.expr(e.Rexpr, pos)}
	}
	if e.Kind == pg.A_Expr_Kind_AEXPR_LIKE || e.Kind == pg.A_Expr_Kind_AEXPR_ILIKE {
		return c.like(e, pos)
	}
	l, r := c.expr(e.Lexpr, pos), c.expr(e.Rexpr, pos)
	switch e.Kind {
	case pg.A_Expr_Kind_AEXPR_OP:
		return &tree.Binary{Op: c.operatorName(e.Name, pos), L: l, R: r}
	case pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL:
		return &tree.Quantified{X: l, Op: c.operatorName(e.Name, pos), All: e.Kind == pg.A_Expr_Kind_AEXPR_OP_ALL, Array: r}
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return &tree.IsDistinct{L: l, R: r, Not: e.Kind == pg.A_Expr_Kind_AEXPR_NOT_DISTINCT}
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		return &tree.Call{Name: "nullif", Args: []tree.Expr{l, r}}
	}
	c.unsupported(pos, "this operator")
	return &tree.Literal{}
}

func (c *converter) like(e *pg.A_Expr, pos tree.Pos) positioned {
	op := nameList(e.Name)[0]
	out := &tree.Like{X: c.expr(e.Lexpr, pos), Insensitive: e.Kind == pg.A_Expr_Kind_AEXPR_ILIKE, Not: op[0] == '!'}
	pattern := e.Rexpr
	if f := pattern.GetFuncCall(); f != nil && len(f.Args) == 2 && f.Funcformat != pg.CoercionForm_COERCE_SQL_SYNTAX {
		if names := nameList(f.Funcname); len(names) == 2 && names[0] == "pg_catalog" && names[1] == "like_escape" {
			out.Escape = c.expr(f.Args[1], pos)
			pattern = f.Args[0]
		}
	}
	out.Pattern = c.expr(pattern, pos)
	return out
}

func (c *converter) boolean(b *pg.BoolExpr, holder tree.Pos) positioned {
	pos := c.pos(b.Location, holder)
	args := c.exprs(b.Args, pos)
	switch b.Boolop {
	case pg.BoolExprType_AND_EXPR:
		return &tree.And{Args: args}
	case pg.BoolExprType_OR_EXPR:
		return &tree.Or{Args: args}
	}
	// x NOT IN (SELECT …) is written so; NOT (x IN (SELECT …)) is the same.
	if in, ok := args[0].(*tree.InSubquery); ok && !in.Not {
		in.Not = true
		return in
	}
	return &tree.Not{X: args[0]}
}

func (c *converter) truth(t *pg.BooleanTest, holder tree.Pos) positioned {
	out := &tree.IsTruth{X: c.expr(t.Arg, holder)}
	switch t.Booltesttype {
	case pg.BoolTestType_IS_TRUE, pg.BoolTestType_IS_NOT_TRUE:
		out.Truth = tree.True
	case pg.BoolTestType_IS_FALSE, pg.BoolTestType_IS_NOT_FALSE:
		out.Truth = tree.False
	default:
		out.Truth = tree.Unknown
	}
	switch t.Booltesttype {
	case pg.BoolTestType_IS_NOT_TRUE, pg.BoolTestType_IS_NOT_FALSE, pg.BoolTestType_IS_NOT_UNKNOWN:
		out.Not = true
	}
	return out
}

func (c *converter) subquery(s *pg.SubLink, holder tree.Pos) positioned {
	pos := c.pos(s.Location, holder)
	q := c.query(s.Subselect.GetSelectStmt(), pos)
	switch s.SubLinkType {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return &tree.Exists{Query: q}
	case pg.SubLinkType_EXPR_SUBLINK:
		return &tree.ScalarSubquery{Query: q}
	case pg.SubLinkType_ARRAY_SUBLINK:
		return &tree.ArraySubquery{Query: q}
	case pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK:
		x := c.expr(s.Testexpr, pos)
		all := s.SubLinkType == pg.SubLinkType_ALL_SUBLINK
		if len(s.OperName) == 0 {
			return &tree.InSubquery{X: x, Query: q}
		}
		return &tree.Quantified{X: x, Op: c.operatorName(s.OperName, pos), All: all, Query: q}
	}
	c.unsupported(pos, "this subquery")
	return &tree.Literal{}
}

func (c *converter) caseExpr(e *pg.CaseExpr, holder tree.Pos) positioned {
	pos := c.pos(e.Location, holder)
	out := &tree.Case{Operand: c.optional(e.Arg, pos), Else: c.optional(e.Defresult, pos)}
	for _, n := range e.Args {
		w := n.GetCaseWhen()
		when := tree.When{}
		when.SetPos(c.pos(w.GetLocation(), pos))
		when.Cond, when.Result = c.expr(w.GetExpr(), when.Pos), c.expr(w.GetResult(), when.Pos)
		out.Whens = append(out.Whens, when)
	}
	return out
}

func (c *converter) valueFunction(f *pg.SQLValueFunction, holder tree.Pos) positioned {
	name := map[pg.SQLValueFunctionOp]string{
		pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP: "current_timestamp", pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE: "current_date",
		pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP: "localtimestamp", pg.SQLValueFunctionOp_SVFOP_CURRENT_USER: "current_user",
		pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE: "current_role", pg.SQLValueFunctionOp_SVFOP_SESSION_USER: "session_user",
		pg.SQLValueFunctionOp_SVFOP_USER: "user", pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG: "current_catalog",
		pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA: "current_schema",
	}[f.Op]
	if name != "" {
		return &tree.Call{Name: name}
	}
	c.unsupported(c.pos(f.Location, holder), "this function without parentheses")
	return &tree.Literal{}
}

func (c *converter) call(f *pg.FuncCall, holder tree.Pos) positioned {
	pos := c.pos(f.Location, holder)
	names := nameList(f.Funcname)
	if len(names) == 2 && names[0] == "pg_catalog" {
		names = names[1:]
	}
	c.refuse(pos, []feature{{"a function in a schema", len(names) != 1}, {"WITHIN GROUP", f.AggWithinGroup}, {"VARIADIC", f.FuncVariadic}})
	switch names[len(names)-1] {
	case "coalesce", "nullif", "greatest", "least": // quoted: without quotes they are not functions of the grammar
		c.fail(sqlerr.At(pos, sqlerr.UndefinedFunction, "function %q does not exist", names[len(names)-1]).Hint("write it without quotes"))
	}
	if len(f.Args) > argsMax {
		c.fail(sqlerr.At(pos, sqlerr.TooManyArguments, "a function takes at most %d arguments", argsMax))
	}
	out := &tree.Call{Name: names[len(names)-1], Args: c.exprs(f.Args, pos), Star: f.AggStar, Distinct: f.AggDistinct, OrderBy: c.orderBy(f.AggOrder, pos), Filter: c.optional(f.AggFilter, pos)}
	if f.Over != nil {
		out.Over = c.window(f.Over, pos)
		out.Over.Name = f.Over.Name
	}
	return out
}

func (c *converter) indirection(n *pg.A_Indirection, holder tree.Pos) positioned {
	x := c.expr(n.Arg, holder)
	if x == nil {
		return nil
	}
	pos := x.At()
	for _, i := range n.Indirection {
		index := i.GetAIndices()
		if index == nil || index.IsSlice {
			c.unsupported(pos, "a field or a slice of a value")
			return nil
		}
		s := &tree.Subscript{X: x, Index: c.expr(index.Uidx, pos)}
		s.SetPos(pos)
		x = s
	}
	s, ok := x.(*tree.Subscript)
	if !ok {
		c.unsupported(pos, "this indirection")
		return nil
	}
	return s
}

// collate accepts the one collation there is, which is the default too, and drops it.
func (c *converter) collate(n *pg.CollateClause, holder tree.Pos) positioned {
	names := nameList(n.Collname)
	switch names[len(names)-1] {
	case "C", "POSIX", "ucs_basic", "default":
	default:
		c.fail(sqlerr.Unsupported(c.pos(n.Location, holder), "collation %q", names[len(names)-1]).Hint(`text is ordered by its bytes, as with COLLATE "C"`))
	}
	e := c.expr(n.Arg, holder)
	if e == nil {
		return nil
	}
	return e.(positioned)
}
