package plan

import (
	"slices"
	"strconv"
	"strings"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

func boolean() row.Type { return row.Of(row.Bool) }

func isAggregate(name string) bool {
	return slices.Contains([]string{"count", "sum", "min", "max", "avg", "bool_and", "every", "bool_or", "array_agg", "string_agg"}, name)
}

// expr binds an expression in a scope.
func (b *binder) expr(e tree.Expr, s *scope) *expr.Node {
	pos := e.At()
	switch e := e.(type) {
	case *tree.Literal:
		return literal(e)
	case *tree.ColumnRef:
		if e.Star {
			fail(e, sqlerr.SyntaxError, "* is not a value")
		}
		c := s.lookup(e)
		return expr.Col(c.ID, c.Type, pos)
	case *tree.Param:
		if b.o.View {
			unsupported(e, "a parameter in what is kept")
		}
		if b.taken != nil {
			for len(*b.taken) < e.Number {
				*b.taken = append(*b.taken, &[]row.Type{})
			}
			return &expr.Node{Op: expr.Param, Index: e.Number, Pos: pos, Taken: (*b.taken)[e.Number-1]}
		}
		if e.Number > len(b.o.Params) {
			fail(e, sqlerr.UndefinedParameter, "there is no parameter $%d", e.Number)
		}
		return expr.Constant(b.o.Params[e.Number-1], pos)
	case *tree.Unary:
		return must(expr.Resolve(e.Op, []*expr.Node{b.expr(e.X, s)}, pos))
	case *tree.Binary:
		return b.binary(e, s)
	case *tree.And:
		return expr.Boolean(expr.And, pos, b.conditions(e.Args, s)...)
	case *tree.Or:
		return expr.Boolean(expr.Or, pos, b.conditions(e.Args, s)...)
	case *tree.Not:
		return expr.Boolean(expr.Not, pos, b.condition(e.X, s, "NOT"))
	case *tree.IsNull:
		return negate(e.Not, expr.Boolean(expr.IsNull, pos, b.expr(e.X, s)))
	case *tree.IsTruth:
		op := map[tree.Truth]expr.Op{tree.True: expr.IsTrue, tree.False: expr.IsFalse, tree.Unknown: expr.IsNull}[e.Truth]
		return negate(e.Not, expr.Boolean(op, pos, b.condition(e.X, s, "IS")))
	case *tree.IsDistinct:
		return negate(e.Not, b.distinct(b.expr(e.L, s), b.expr(e.R, s), pos))
	case *tree.Between:
		return b.between(e, s)
	case *tree.Like:
		return b.like(e, s)
	case *tree.InList:
		return b.inList(e, s)
	case *tree.Case:
		return b.caseOf(e, s)
	case *tree.Call:
		return b.call(e, s)
	case *tree.Cast:
		return b.cast(e, s)
	case *tree.Array:
		return must(expr.MakeArrayOf(b.exprs(e.Elems, s), pos))
	case *tree.Subscript:
		i := must(expr.Coerce(b.expr(e.Index, s), row.Of(row.Int4)))
		return must(expr.Resolve("[]", []*expr.Node{b.expr(e.X, s), i}, pos))
	case *tree.Row:
		unsupported(e, "a row as a value")
	}
	return b.subquery(e, s)
}

func (b *binder) exprs(list []tree.Expr, s *scope) (out []*expr.Node) {
	for _, e := range list {
		out = append(out, b.expr(e, s))
	}
	return out
}

// condition binds what must be a boolean.
func (b *binder) condition(e tree.Expr, s *scope, where string) *expr.Node {
	n := b.expr(e, s)
	if n.Type.Kind != row.Bool && !expr.Unknown(n.Type) {
		fail(e, sqlerr.DatatypeMismatch, "argument of %s must be type boolean, not type %s", where, n.Type)
	}
	return must(expr.Coerce(n, boolean()))
}

func (b *binder) conditions(list []tree.Expr, s *scope) (out []*expr.Node) {
	for _, e := range list {
		out = append(out, b.condition(e, s, "AND and OR"))
	}
	return out
}

func negate(on bool, n *expr.Node) *expr.Node {
	if !on {
		return n
	}
	return expr.Boolean(expr.Not, n.Pos, n)
}

func literal(l *tree.Literal) *expr.Node {
	switch l.Kind {
	case tree.Bool:
		return expr.Constant(row.Value{Type: boolean(), I: int64(len("false") - len(l.Text))}, l.Pos)
	case tree.Integer, tree.Decimal:
		t := row.Of(row.Numeric)
		if n, err := strconv.ParseInt(l.Text, 10, 64); err == nil {
			if t = row.Of(row.Int8); n == int64(int32(n)) {
				t = row.Of(row.Int4)
			}
		}
		v, err := row.Parse(t, []byte(l.Text))
		if err != nil {
			fail(l, sqlerr.NumericOutOfRange, "%v", err)
		}
		return expr.Constant(v, l.Pos)
	case tree.String:
		return expr.Constant(row.Value{B: []byte(l.Text)}, l.Pos)
	}
	return expr.Constant(row.Value{IsNull: true}, l.Pos)
}

func (b *binder) distinct(l, r *expr.Node, pos tree.Pos) *expr.Node {
	eq := must(expr.Compare("=", l, r, pos)) // brings both to one type
	return expr.Boolean(expr.IsDistinct, pos, eq.Args...)
}

func (b *binder) binary(e *tree.Binary, s *scope) *expr.Node {
	l, lrow := e.L.(*tree.Row)
	r, rrow := e.R.(*tree.Row)
	if lrow && rrow {
		return b.compareRows(e.Op, b.exprs(l.Elems, s), b.exprs(r.Elems, s), e)
	}
	return must(expr.Resolve(e.Op, []*expr.Node{b.expr(e.L, s), b.expr(e.R, s)}, e.Pos))
}

// compareRows compares two rows, element by element (SQL:2016, 8.2).
func (b *binder) compareRows(op string, l, r []*expr.Node, at tree.Node) *expr.Node {
	pos := at.At()
	if len(l) != len(r) {
		fail(at, sqlerr.SyntaxError, "unequal number of entries in row expressions")
	}
	if len(l) == 1 {
		return must(expr.Resolve(op, []*expr.Node{l[0], r[0]}, pos))
	}
	var parts []*expr.Node
	switch op {
	case "=", "<>":
		for i := range l {
			parts = append(parts, must(expr.Compare(op, l[i], r[i], pos)))
		}
		if op == "=" {
			return expr.Boolean(expr.And, pos, parts...)
		}
		return expr.Boolean(expr.Or, pos, parts...)
	case "<", "<=", ">", ">=":
		strict := strings.TrimSuffix(op, "=")
		rest := b.compareRows(op, l[1:], r[1:], at)
		eq := must(expr.Compare("=", l[0], r[0], pos))
		return expr.Boolean(expr.Or, pos, must(expr.Compare(strict, l[0], r[0], pos)), expr.Boolean(expr.And, pos, eq, rest))
	}
	unsupported(at, "operator %s on rows", op)
	return nil
}

func (b *binder) between(e *tree.Between, s *scope) *expr.Node {
	x, lo, hi := b.expr(e.X, s), b.expr(e.Low, s), b.expr(e.High, s)
	within := func(lo, hi *expr.Node) *expr.Node {
		return expr.Boolean(expr.And, e.Pos, must(expr.Compare(">=", x, lo, e.Pos)), must(expr.Compare("<=", x, hi, e.Pos)))
	}
	n := within(lo, hi)
	if e.Symmetric {
		n = expr.Boolean(expr.Or, e.Pos, n, within(hi, lo))
	}
	return negate(e.Not, n)
}

func (b *binder) like(e *tree.Like, s *scope) *expr.Node {
	args, op := []*expr.Node{b.expr(e.X, s), b.expr(e.Pattern, s)}, "~~"
	if e.Insensitive {
		op = "~~*"
	}
	if e.Escape != nil {
		args = append(args, b.expr(e.Escape, s))
		op = map[string]string{"~~": "like_escape", "~~*": "ilike_escape"}[op]
	}
	return negate(e.Not, must(expr.Resolve(op, args, e.Pos)))
}

func (b *binder) inList(e *tree.InList, s *scope) *expr.Node {
	x, isRow := e.X.(*tree.Row)
	var left []*expr.Node
	if isRow {
		left = b.exprs(x.Elems, s)
	} else {
		left = []*expr.Node{b.expr(e.X, s)}
	}
	if !isRow {
		if n := b.inConstants(e, left[0], s); n != nil {
			return negate(e.Not, n)
		}
	}
	var parts []*expr.Node
	for _, item := range e.List {
		right := []tree.Expr{item}
		if r, ok := item.(*tree.Row); ok && isRow {
			right = r.Elems
		}
		parts = append(parts, b.compareRows("=", left, b.exprs(right, s), e))
	}
	if len(parts) == 1 {
		return negate(e.Not, parts[0])
	}
	return negate(e.Not, expr.Boolean(expr.Or, e.Pos, parts...))
}

// inConstants makes a list of many constants an array, in which values are looked
// up. It is nil for other lists.
func (b *binder) inConstants(e *tree.InList, x *expr.Node, s *scope) *expr.Node {
	const few = 4 // are compared one by one, for whole columns
	if len(e.List) <= few || len(e.List) > row.ArrayElementsMax {
		return nil
	}
	for _, item := range e.List {
		if l, ok := item.(*tree.Literal); !ok || l.Kind == tree.Bool {
			return nil
		}
	}
	list := b.exprs(e.List, s)
	t, err := expr.Common("IN", append([]*expr.Node{x}, list...)...)
	if err != nil || t.Kind == row.Array {
		return nil // compared one by one, the error says which it is
	}
	for i, n := range list {
		list[i] = must(expr.Cast(n, t))
	}
	return must(expr.Any("=", false, x, expr.Fold(must(expr.MakeArrayOf(list, e.Pos))), e.Pos))
}

func (b *binder) caseOf(e *tree.Case, s *scope) *expr.Node {
	var args, results []*expr.Node
	var operand *expr.Node
	if e.Operand != nil {
		operand = b.expr(e.Operand, s)
	}
	for _, w := range e.Whens {
		var cond *expr.Node
		if operand != nil {
			cond = must(expr.Compare("=", operand, b.expr(w.Cond, s), w.Pos))
		} else {
			cond = b.condition(w.Cond, s, "CASE/WHEN")
		}
		results = append(results, b.expr(w.Result, s))
		args = append(args, cond, nil)
	}
	last := expr.Constant(row.Value{IsNull: true}, e.Pos)
	if e.Else != nil {
		last = b.expr(e.Else, s)
	}
	results = append(results, last)
	t, err := expr.Common("CASE", results...)
	if err != nil {
		panic(err)
	}
	for i, r := range results {
		r = must(expr.Coerce(r, t))
		if i < len(e.Whens) {
			args[2*i+1] = r
		} else {
			args = append(args, r)
		}
	}
	return &expr.Node{Op: expr.Case, Type: t, Args: args, Pos: e.Pos}
}

// typeOf is the type that a name stands for. json is kept as jsonb.
func typeOf(t *tree.TypeName) row.Type {
	name := t.Name
	if t.Array {
		name += "[]"
	}
	out, err := row.ParseType(name)
	if err != nil {
		fail(t, sqlerr.UndefinedObject, "type %q does not exist", name)
	}
	return out
}

func (b *binder) cast(e *tree.Cast, s *scope) *expr.Node {
	if t, named, ok := b.alias(e.Type); ok && named {
		return b.number(e, s)
	} else if inner, is := e.X.(*tree.Cast); is {
		if _, named, _ := b.alias(inner.Type); named && (t == "text" || !ok && typeOf(e.Type).Kind == row.Text) {
			return b.catalogCall(inner.Type.Name, []*expr.Node{b.number(inner, s)}, e.Pos)
		}
	}
	x, t := b.expr(e.X, s), b.castType(e.Type)
	if t.Kind == row.Interval && (e.Type.Fields != "" || len(e.Type.Mods) > 0) {
		if len(e.Type.Mods) > 0 {
			unsupported(e.Type, "a precision of intervals")
		}
		if x.IsConst() && expr.Unknown(x.Type) && !x.Value.IsNull { // a bare number counts the last unit
			if _, err := strconv.ParseFloat(strings.TrimSpace(string(x.Value.B)), 64); err == nil {
				words := strings.Fields(e.Type.Fields)
				x = expr.Constant(row.Value{B: []byte(string(x.Value.B) + " " + words[len(words)-1])}, x.Pos)
			}
		}
	}
	if x.Pos == tree.NoPos {
		x.Pos = e.Pos
	}
	n := must(expr.Cast(x, t))
	if t.Kind == row.Interval {
		return n
	}
	return must(expr.Modified(n, e.Type.Mods))
}

func (b *binder) call(e *tree.Call, s *scope) *expr.Node {
	switch {
	case e.Over != nil:
		return b.windowCall(e, s)
	case isAggregate(e.Name):
		return b.aggregate(e, s)
	case e.Star || e.Distinct || e.Filter != nil || len(e.OrderBy) > 0:
		fail(e, sqlerr.UndefinedFunction, "%s is not an aggregate function", e.Name)
	}
	stamp := func(k row.Kind, x int64) *expr.Node { return expr.Constant(row.Value{Type: row.Of(k), I: x}, e.Pos) }
	switch e.Name {
	case "current_timestamp", "now", "localtimestamp", "current_date":
		if b.o.View {
			panic(sqlerr.Unsupported(e.Pos, "the present time in what is kept").Hint("compare with a time that an event has"))
		}
		b.p.Moment = "the present time"
	}
	switch e.Name {
	case "current_user", "current_role", "session_user", "user":
		if b.o.View {
			unsupported(e, "who asks, in what is kept,")
		}
		b.p.Moment = "who asks"
		return expr.Constant(row.Value{Type: row.Of(row.Text), B: []byte(b.o.User)}, e.Pos)
	case "current_timestamp", "now":
		return stamp(row.Timestamptz, b.o.Now)
	case "localtimestamp":
		return stamp(row.Timestamp, b.o.Now)
	case "current_date":
		return stamp(row.Date, row.FloorDiv(b.o.Now, 86_400_000_000))
	case "row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value", "last_value", "nth_value":
		fail(e, sqlerr.WindowingError, "window function %s requires an OVER clause", e.Name)
	}
	args := b.exprs(e.Args, s)
	if n := b.catalogCall(e.Name, args, e.Pos); n != nil {
		return n
	}
	return must(expr.Resolve(e.Name, args, e.Pos))
}
