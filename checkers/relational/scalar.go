package relational

import (
	"regexp"
	"strconv"
	"strings"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// eval computes an expression for a row. In a scope that probes, leaves are
// NULL, so that nothing fails and the value tells the kind.
func (s *scope) eval(e tree.Expr) Value {
	switch e := e.(type) {
	case *tree.Literal:
		return s.literal(e)
	case *tree.ColumnRef:
		return s.column(e)
	case *tree.Param:
		if e.Number > len(s.db.Params) {
			panic(failure{sqlerr.At(e.Pos, sqlerr.UndefinedParameter, "there is no parameter $%d", e.Number)})
		}
		return s.leaf(s.db.Params[e.Number-1])
	case *tree.Unary:
		return s.unary(e)
	case *tree.Binary:
		return s.binary(e.Op, s.eval(e.L), s.eval(e.R))
	case *tree.And:
		return s.logic(e.Args, false)
	case *tree.Or:
		return s.logic(e.Args, true)
	case *tree.Not:
		return not(s.truth(e.X))
	case *tree.IsNull:
		return Value{Bool, s.eval(e.X).null() != e.Not}
	case *tree.IsTruth:
		v := s.truth(e.X)
		is := v.null()
		if e.Truth != tree.Unknown {
			is = v.V == (e.Truth == tree.True)
		}
		return Value{Bool, is != e.Not}
	case *tree.IsDistinct:
		a, b := match(s.eval(e.L), s.eval(e.R))
		return Value{Bool, same(a, b) == e.Not}
	case *tree.Between:
		return s.between(e)
	case *tree.Like:
		return s.like(e)
	case *tree.InList:
		return negate(e.Not, s.inList(e))
	case *tree.Case:
		return s.caseOf(e)
	case *tree.Call:
		return s.call(e)
	case *tree.Cast:
		return castTo(s.eval(e.X), e.Type)
	case *tree.Array:
		return s.array(e)
	case *tree.Subscript:
		return s.subscript(e)
	case *tree.Row:
		var out []Value
		for _, x := range e.Elems {
			out = append(out, s.eval(x))
		}
		return Value{record, out}
	}
	return s.subquery(e)
}

// leaf hides the value of a leaf while probing.
func (s *scope) leaf(v Value) Value {
	if s.probing {
		return null(v.K)
	}
	return v
}

func (s *scope) literal(l *tree.Literal) Value {
	switch l.Kind {
	case tree.Bool:
		return s.leaf(Value{Bool, l.Text == "true"})
	case tree.Integer:
		return s.leaf(parseNumber(l.Text, Int4))
	case tree.Decimal:
		// The least of int4, int8 and numeric that holds it.
		k := Numeric
		if i, err := strconv.ParseInt(l.Text, 10, 64); err == nil {
			if k = Int8; i == int64(int32(i)) {
				k = Int4
			}
		}
		return s.leaf(parseNumber(l.Text, k))
	case tree.String:
		return s.leaf(Value{Unknown, l.Text})
	}
	return null(Unknown)
}

// match brings two operands to one kind.
func match(a, b Value) (Value, Value) {
	if a.K == record && b.K == record {
		return a, b
	}
	k := unify(a.K, b.K)
	if k == Unknown {
		k = Text
	}
	if k == Float4 && a.K != b.K && a.K != Unknown && b.K != Unknown {
		k = Float8
	}
	return cast(a, k), cast(b, k)
}

func not(v Value) Value {
	if v.null() {
		return v
	}
	return Value{Bool, !v.V.(bool)}
}

func negate(on bool, v Value) Value {
	if on {
		return not(v)
	}
	return v
}

// truth evaluates a condition.
func (s *scope) truth(e tree.Expr) Value {
	v := s.eval(e)
	if v.K != Bool && v.K != Unknown {
		panic(failure{sqlerr.At(e.At(), sqlerr.DatatypeMismatch, "a condition must be of type boolean, not %s", v.K)})
	}
	return cast(v, Bool)
}

// holds tells whether a condition is true; no condition is.
func (s *scope) holds(e tree.Expr) bool {
	return e == nil || s.truth(e).V == true
}

// logic is AND and OR, from left to right as far as needed.
func (s *scope) logic(args []tree.Expr, decisive bool) Value {
	out := Value{Bool, !decisive}
	for _, a := range args {
		switch v := s.truth(a); {
		case v.null():
			out = v
		case v.V == decisive:
			return v
		}
	}
	return out
}

func (s *scope) unary(e *tree.Unary) Value {
	v := s.eval(e.X)
	if v.K == Unknown && e.Op != "~" {
		v = cast(v, Float8)
	}
	switch {
	case e.Op == "+" && numberRank(v.K) > 0:
		return v
	case e.Op == "-" && numberRank(v.K) > 0:
		if x, ok := v.V.(float64); ok {
			return Value{v.K, -x}
		}
		return s.binary("-", cast(Value{Int2, int64(0)}, v.K), v)
	case e.Op == "-" && v.K == Interval:
		return s.binary("-", Value{Interval, span{}}, v)
	}
	return fail(sqlerr.UndefinedFunction, "operator does not exist: %s %s", e.Op, v.K)
}

func (s *scope) binary(op string, a, b Value) Value {
	switch op {
	case "=", "<>", "<", "<=", ">", ">=":
		return comparison(op, a, b)
	case "||":
		return concat(a, b)
	case "->", "->>", "#>", "#>>":
		if a.K == JSON || a.K == JSONB {
			return access(op, a, b)
		}
	case "~", "~*", "!~", "!~*":
		return regex(op, cast(a, Text), cast(b, Text))
	case "+", "-", "*", "/", "%":
		if a.K == Unknown && b.K == Interval && op != "*" {
			a = cast(a, Interval)
		}
		if b.K == Unknown && timeRank(a.K) > 0 { // PostgreSQL prefers the operator of one kind
			b = cast(b, map[bool]Kind{true: a.K, false: Interval}[op == "-"])
		}
		if b.K == Unknown && a.K == Interval && (op == "+" || op == "-") {
			b = cast(b, Interval)
		}
		if v, ok := dateArithmetic(op, a, b); ok {
			return v
		}
		k := unify(a.K, b.K)
		if numberRank(k) > 0 {
			if k == Float4 && (a.K == Numeric || b.K == Numeric || a.K != b.K) && a.K != Unknown && b.K != Unknown {
				k = Float8 // there is no operator of float4 and another kind
			}
			if a.null() || b.null() {
				return null(k)
			}
			return arithmetic(op, cast(a, k), cast(b, k))
		}
	}
	return fail(sqlerr.UndefinedFunction, "operator does not exist: %s %s %s", a.K, op, b.K)
}

func comparison(op string, a, b Value) Value {
	if a.K == record {
		return compareRows(op, a.V.([]Value), b)
	}
	a, b = match(a, b)
	if a.null() || b.null() {
		return null(Bool)
	}
	c := compare(a, b)
	return Value{Bool, map[string]bool{"=": c == 0, "<>": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[op]}
}

// compareRows decides at the first pair that is not equal; = and <> look at all.
func compareRows(op string, a []Value, other Value) Value {
	b, ok := other.V.([]Value)
	if !ok || len(a) != len(b) {
		return fail(sqlerr.SyntaxError, "unequal number of entries in row expressions")
	}
	unknown := false
	for i := range a {
		switch eq := comparison("=", a[i], b[i]); {
		case eq.null() && op != "=" && op != "<>":
			return eq
		case eq.null():
			unknown = true
		case eq.V == false:
			if op == "=" || op == "<>" {
				return Value{Bool, op == "<>"}
			}
			return comparison(strings.TrimSuffix(op, "="), a[i], b[i])
		}
	}
	if unknown {
		return null(Bool)
	}
	return Value{Bool, op == "=" || op == "<=" || op == ">="}
}

// anyOf is x op ANY of a list.
func anyOf(x Value, op string, list []Value, s *scope) Value {
	out := Value{Bool, false}
	for _, v := range list {
		switch c := s.binary(op, x, v); {
		case c.null():
			out = c
		case c.V == true:
			return c
		}
	}
	return out
}

// inList compares from left to right until one is equal.
func (s *scope) inList(e *tree.InList) Value {
	x, out := s.eval(e.X), Value{Bool, false}
	for _, item := range e.List {
		switch c := comparison("=", x, s.eval(item)); {
		case c.null():
			out = c
		case c.V == true:
			return c
		}
	}
	return out
}

// between looks at the upper bound only where the lower one does not decide.
func (s *scope) between(e *tree.Between) Value {
	x, lo := s.eval(e.X), s.eval(e.Low)
	above := comparison(">=", x, lo)
	if above.V == false && !e.Symmetric {
		return negate(e.Not, above)
	}
	hi := s.eval(e.High)
	v := and(above, comparison("<=", x, hi))
	if e.Symmetric {
		v = not(and(not(v), not(and(comparison(">=", x, hi), comparison("<=", x, lo)))))
	}
	return negate(e.Not, v)
}

func and(a, b Value) Value {
	switch {
	case a.V == false || b.V == false:
		return Value{Bool, false}
	case a.null() || b.null():
		return null(Bool)
	}
	return Value{Bool, true}
}

func (s *scope) like(e *tree.Like) Value {
	x, p := cast(s.eval(e.X), Text), cast(s.eval(e.Pattern), Text)
	escape := Value{Text, `\`}
	if e.Escape != nil {
		escape = cast(s.eval(e.Escape), Text)
	}
	if x.null() || p.null() || escape.null() {
		return null(Bool)
	}
	esc := []rune(escape.V.(string))
	if len(esc) > 1 {
		return fail(sqlerr.InvalidEscape, "invalid escape string")
	}
	var re strings.Builder
	re.WriteString("(?s")
	if e.Insensitive {
		re.WriteString("i")
	}
	re.WriteString(")^")
	pattern := []rune(p.V.(string))
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case len(esc) == 1 && c == esc[0]:
			if i++; i == len(pattern) {
				return fail(sqlerr.InvalidEscape, "LIKE pattern must not end with escape character")
			}
			re.WriteString(regexp.QuoteMeta(string(pattern[i])))
		case c == '%':
			re.WriteString(".*")
		case c == '_':
			re.WriteString(".")
		default:
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return negate(e.Not, Value{Bool, regexp.MustCompile(re.String() + "$").MatchString(x.V.(string))})
}

func regex(op string, a, b Value) Value {
	if a.null() || b.null() {
		return null(Bool)
	}
	flags := ""
	if strings.HasSuffix(op, "*") {
		flags = "(?i)"
	}
	re, err := regexp.Compile(flags + "(?s)" + b.V.(string))
	if err != nil {
		return fail(sqlerr.InvalidRegexp, "invalid regular expression: %v", err)
	}
	return Value{Bool, re.MatchString(a.V.(string)) != (op[0] == '!')}
}

func concat(a, b Value) Value {
	switch {
	case a.K.isArray() && b.K.isArray():
		if a.null() {
			return b
		}
		if b.null() {
			return a
		}
		k := unify(a.K.elem(), b.K.elem()) + "[]"
		a, b = cast(a, k), cast(b, k)
		return Value{k, append(append([]Value{}, a.V.([]Value)...), b.V.([]Value)...)}
	case a.K.isArray() && b.K == Unknown:
		return concat(a, cast(b, a.K))
	case b.K.isArray() && a.K == Unknown:
		return concat(cast(a, b.K), b)
	case a.K.isArray() || b.K.isArray():
		elems, elem := a, b
		if b.K.isArray() {
			elems, elem = b, a
		}
		k := unify(elems.K.elem(), elem.K) + "[]"
		list := []Value{}
		if !elems.null() {
			list = cast(elems, k).V.([]Value)
		}
		one := []Value{cast(elem, k.elem())}
		if b.K.isArray() {
			return Value{k, append(one, list...)}
		}
		return Value{k, append(append([]Value{}, list...), one...)}
	case a.K != Text && a.K != Unknown && b.K != Text && b.K != Unknown:
		return fail(sqlerr.UndefinedFunction, "operator does not exist: %s || %s", a.K, b.K)
	}
	return strict(Text, a, b, func() any { return cast(a, Text).V.(string) + cast(b, Text).V.(string) })
}

// kinds are those of expressions, without evaluating them for the row.
func (s *scope) kinds(es ...tree.Expr) []Kind {
	p := *s
	p.probing = true
	var out []Kind
	for _, e := range es {
		if e != nil {
			out = append(out, p.eval(e).K)
		}
	}
	return out
}

// common is the kind of a list of alternatives.
func (s *scope) common(es ...tree.Expr) Kind {
	if k := unify(s.kinds(es...)...); k != Unknown {
		return k
	}
	return Text
}

func (s *scope) caseOf(e *tree.Case) Value {
	var results []tree.Expr
	for _, w := range e.Whens {
		results = append(results, w.Result)
	}
	k := s.common(append(results, e.Else)...)
	if s.probing {
		return null(k)
	}
	for _, w := range e.Whens {
		hit := false
		if e.Operand != nil {
			hit = comparison("=", s.eval(e.Operand), s.eval(w.Cond)).V == true
		} else {
			hit = s.holds(w.Cond)
		}
		if hit {
			return cast(s.eval(w.Result), k)
		}
	}
	if e.Else == nil {
		return null(k)
	}
	return cast(s.eval(e.Else), k)
}

func (s *scope) array(e *tree.Array) Value {
	k := Text
	if len(e.Elems) > 0 {
		k = s.common(e.Elems...)
	}
	out := []Value{}
	for _, x := range e.Elems {
		out = append(out, cast(s.eval(x), k))
	}
	return s.leaf(Value{k + "[]", out})
}

func (s *scope) subscript(e *tree.Subscript) Value {
	x, i := s.eval(e.X), s.eval(e.Index)
	if !x.K.isArray() {
		panic(failure{sqlerr.At(e.Pos, sqlerr.DatatypeMismatch, "cannot subscript type %s", x.K)})
	}
	k := x.K.elem()
	i = cast(i, Int4)
	if x.null() || i.null() {
		return null(k)
	}
	list, n := x.V.([]Value), i.V.(int64)
	if n < 1 || n > int64(len(list)) {
		return null(k)
	}
	return list[n-1]
}

// subquery evaluates what holds a query.
func (s *scope) subquery(e tree.Expr) Value {
	switch e := e.(type) {
	case *tree.Exists:
		return s.leaf(Value{Bool, len(s.query(e.Query).rows) > 0})
	case *tree.ScalarSubquery:
		t := s.query(e.Query)
		if len(t.cols) != 1 {
			panic(failure{sqlerr.At(e.Pos, sqlerr.SyntaxError, "subquery must return only one column")})
		}
		switch {
		case s.probing || len(t.rows) == 0:
			return null(t.cols[0].kind)
		case len(t.rows) > 1:
			panic(failure{sqlerr.At(e.Pos, sqlerr.CardinalityViolation, "more than one row returned by a subquery used as an expression")})
		}
		return t.rows[0][0]
	case *tree.ArraySubquery:
		t := s.query(e.Query)
		out := []Value{}
		for _, r := range t.rows {
			out = append(out, r[0])
		}
		return Value{t.cols[0].kind + "[]", out}
	case *tree.InSubquery:
		return negate(e.Not, anyOf(s.eval(e.X), "=", s.rowsOf(e.Query), s))
	case *tree.Quantified:
		x := s.eval(e.X)
		var list []Value
		if e.Query != nil {
			list = s.rowsOf(e.Query)
		} else {
			a := s.eval(e.Array)
			if a.K == Unknown {
				a = cast(a, x.K+"[]")
			}
			if a.null() {
				return null(Bool)
			}
			list = a.V.([]Value)
		}
		if e.All { // x op ALL is NOT (NOT (x op …) for any)
			out := Value{Bool, true}
			for _, v := range list {
				out = and(out, s.binary(e.Op, x, v))
			}
			return out
		}
		return anyOf(x, e.Op, list, s)
	}
	return unsupported(e, "this expression (%T)", e)
}

// rowsOf are a query's rows as values: plain of one column, records of several.
func (s *scope) rowsOf(q *tree.Query) (out []Value) {
	t := s.query(q)
	for _, r := range t.rows {
		if len(t.cols) == 1 {
			out = append(out, r[0])
		} else {
			out = append(out, Value{record, r})
		}
	}
	return out
}
