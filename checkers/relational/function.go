package relational

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

func (s *scope) call(e *tree.Call) Value {
	switch {
	case e.Over != nil:
		if s.probing {
			return null(s.windowKind(e))
		}
		return s.windows[e]
	case isAggregate(e.Name):
		if s.probing {
			return null(s.aggregateKind(e))
		}
		if !s.grouped {
			panic(failure{sqlerr.At(e.Pos, sqlerr.GroupingError, "aggregate functions are not allowed here")})
		}
		return s.aggregate(e, s.group)
	}
	switch e.Name {
	case "coalesce":
		k := s.common(e.Args...)
		for _, a := range e.Args {
			if s.probing {
				break
			}
			if v := s.eval(a); !v.null() {
				return cast(v, k)
			}
		}
		return null(k)
	case "nullif":
		a, b := s.eval(e.Args[0]), s.eval(e.Args[1])
		if a.K == Unknown {
			a = cast(a, Text)
		}
		if !a.null() && comparison("=", a, b).V == true {
			return null(a.K)
		}
		return a
	case "greatest", "least":
		return s.extreme(e)
	case "current_timestamp", "now":
		return s.leaf(Value{Timestamptz, s.db.Now})
	case "localtimestamp":
		return s.leaf(Value{Timestamp, s.db.Now})
	case "current_date":
		return s.leaf(Value{Date, floorDiv(s.db.Now, day)})
	}
	var args []Value
	for _, a := range e.Args {
		args = append(args, s.eval(a))
	}
	return s.plain(e, args)
}

func (s *scope) extreme(e *tree.Call) Value {
	k := s.common(e.Args...)
	out := null(k)
	for _, a := range e.Args {
		v := cast(s.eval(a), k)
		if !v.null() && (out.null() || compare(v, out) > 0 == (e.Name == "greatest") && compare(v, out) != 0) {
			out = v
		}
	}
	return out
}

// plain calls a function of values. All but the first few are NULL if an
// argument is.
func (s *scope) plain(e *tree.Call, a []Value) Value {
	text := func(i int) string { return cast(a[i], Text).V.(string) }
	switch e.Name {
	case "concat", "concat_ws":
		var parts []string
		sep, rest := "", a
		if e.Name == "concat_ws" {
			if a[0].null() {
				return null(Text)
			}
			sep, rest = text(0), a[1:]
		}
		for _, v := range rest {
			if !v.null() {
				parts = append(parts, plainText(v))
			}
		}
		return s.leaf(Value{Text, strings.Join(parts, sep)})
	case "array_to_string":
		if a[0].null() || a[1].null() {
			return null(Text)
		}
		var parts []string
		for _, v := range a[0].V.([]Value) {
			if !v.null() {
				parts = append(parts, plainText(v))
			} else if len(a) > 2 {
				parts = append(parts, text(2))
			}
		}
		return Value{Text, strings.Join(parts, text(1))}
	}
	k := s.kindOfCall(e, a)
	for _, v := range a {
		if v.null() {
			return null(k)
		}
	}
	if s.probing {
		return null(k)
	}
	if v, ok := textFunction(e.Name, a, text); ok {
		return v
	}
	if v, ok := numberFunction(e.Name, k, a); ok {
		return v
	}
	return otherFunction(e, k, a, text)
}

// plainText is a value in a concatenation: true is t there.
func plainText(v Value) string { return v.String() }

// kindOfCall is the kind of a function's result.
func (s *scope) kindOfCall(e *tree.Call, a []Value) Kind {
	first := Unknown
	if len(a) > 0 {
		first = a[0].K
	}
	switch e.Name {
	case "length", "char_length", "character_length", "octet_length", "bit_length", "strpos", "position", "ascii", "array_length", "array_upper", "array_lower", "cardinality", "json_array_length", "jsonb_array_length":
		return Int4
	case "upper", "lower", "btrim", "ltrim", "rtrim", "substring", "substr", "replace", "left", "right", "lpad", "rpad", "repeat", "reverse", "split_part", "chr", "translate", "initcap", "json_typeof", "jsonb_typeof":
		return Text
	case "string_to_array":
		return Text + "[]"
	case "starts_with":
		return Bool
	case "abs", "mod":
		if len(a) == 2 {
			return unify(first, a[1].K)
		}
		return unify(first)
	case "ceil", "ceiling", "floor", "round", "trunc", "sign":
		if len(a) == 2 || first == Numeric {
			return Numeric
		}
		return Float8
	case "sqrt", "power", "pow":
		return Float8
	case "extract":
		return Numeric
	case "date_part":
		return Float8
	case "date_trunc":
		if a[1].K == Date || a[1].K == Unknown {
			return Timestamptz
		}
		return a[1].K
	case "date_bin":
		return unify(a[1].K, a[2].K)
	case "timezone":
		if a[1].K == Timestamp {
			return Timestamptz
		}
		return Timestamp
	}
	panic(failure{sqlerr.At(e.Pos, sqlerr.UndefinedFunction, "function %s does not exist", e.Name)})
}

func textFunction(name string, a []Value, text func(int) string) (Value, bool) {
	str := func(s string) (Value, bool) { return Value{Text, s}, true }
	num := func(n int) (Value, bool) { return Value{Int4, int64(n)}, true }
	count := func(i int) int { return int(cast(a[i], Int4).V.(int64)) }
	set := func() string {
		if len(a) > 1 {
			return text(1)
		}
		return " "
	}
	switch name {
	case "length", "char_length", "character_length":
		return num(utf8.RuneCountInString(text(0)))
	case "octet_length":
		return num(len(text(0)))
	case "bit_length":
		return num(8 * len(text(0)))
	case "upper":
		return str(asciiCase(text(0), 'a', 'z'))
	case "lower":
		return str(asciiCase(text(0), 'A', 'Z'))
	case "btrim":
		return str(strings.Trim(text(0), set()))
	case "ltrim":
		return str(strings.TrimLeft(text(0), set()))
	case "rtrim":
		return str(strings.TrimRight(text(0), set()))
	case "strpos", "position":
		i := strings.Index(text(0), text(1))
		if i < 0 {
			return num(0)
		}
		return num(utf8.RuneCountInString(text(0)[:i]) + 1)
	case "replace":
		if text(1) == "" {
			return str(text(0))
		}
		return str(strings.ReplaceAll(text(0), text(1), text(2)))
	case "starts_with":
		return Value{Bool, strings.HasPrefix(text(0), text(1))}, true
	case "repeat":
		return str(strings.Repeat(text(0), max(0, count(1))))
	case "reverse":
		r := []rune(text(0))
		slices.Reverse(r)
		return str(string(r))
	case "left", "right":
		r := []rune(text(0))
		n := count(1)
		if n < 0 {
			n = max(0, len(r)+n)
		}
		n = min(n, len(r))
		if name == "left" {
			return str(string(r[:n]))
		}
		return str(string(r[len(r)-n:]))
	case "substring", "substr":
		return str(substring([]rune(text(0)), a))
	case "lpad", "rpad":
		return str(pad(name, []rune(text(0)), count(1), a, text))
	case "split_part":
		return str(splitPart(text(0), text(1), count(2)))
	case "translate":
		from, to := []rune(text(1)), []rune(text(2))
		return str(strings.Map(func(r rune) rune {
			i := slices.Index(from, r)
			switch {
			case i < 0:
				return r
			case i < len(to):
				return to[i]
			}
			return -1
		}, text(0)))
	case "ascii":
		for _, r := range text(0) {
			return num(int(r))
		}
		return num(0)
	case "chr":
		n := count(0)
		if n <= 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return fail("54000", "requested character not valid: %d", n), true
		}
		return str(string(rune(n)))
	}
	return Value{}, false
}

// asciiCase changes the case of the letters from lo to hi, no others: that is
// what the C locale does.
func asciiCase(s string, lo, hi byte) string {
	b := []byte(s)
	for i, c := range b {
		if c >= lo && c <= hi {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

func substring(r []rune, a []Value) string {
	from := cast(a[1], Int4).V.(int64)
	end := int64(len(r)) + 1
	if len(a) > 2 {
		n := cast(a[2], Int4).V.(int64)
		if n < 0 {
			fail(sqlerr.SubstringError, "negative substring length not allowed")
		}
		end = min(end, from+n)
	}
	from = max(from, 1)
	if from >= end {
		return ""
	}
	return string(r[from-1 : end-1])
}

func pad(name string, r []rune, n int, a []Value, text func(int) string) string {
	fill := []rune(" ")
	if len(a) > 2 {
		fill = []rune(text(2))
	}
	n = max(n, 0)
	if len(r) >= n {
		return string(r[:n])
	}
	if len(fill) == 0 {
		return string(r)
	}
	var more []rune
	for i := 0; len(r)+len(more) < n; i++ {
		more = append(more, fill[i%len(fill)])
	}
	if name == "lpad" {
		return string(more) + string(r)
	}
	return string(r) + string(more)
}

func splitPart(s, sep string, n int) string {
	if n == 0 {
		fail(sqlerr.InvalidParameter, "field position must not be zero")
	}
	parts := []string{s}
	if sep != "" {
		parts = strings.Split(s, sep)
	}
	if n < 0 {
		n += len(parts) + 1
	}
	if n < 1 || n > len(parts) {
		return ""
	}
	return parts[n-1]
}

func numberFunction(name string, k Kind, a []Value) (Value, bool) {
	switch name {
	case "abs":
		v := cast(a[0], k)
		if x, ok := v.V.(float64); ok {
			return Value{k, math.Abs(x)}, true
		}
		if compare(v, cast(Value{Int2, int64(0)}, k)) >= 0 {
			return v, true
		}
		return arithmetic("-", cast(Value{Int2, int64(0)}, k), v), true
	case "mod":
		return arithmetic("%", cast(a[0], k), cast(a[1], k)), true
	case "sign":
		c := compare(cast(a[0], k), cast(Value{Int2, int64(0)}, k))
		return cast(Value{Int4, int64(c)}, k), true
	case "ceil", "ceiling", "floor", "round", "trunc":
		if k == Float8 {
			f := map[string]func(float64) float64{"ceil": math.Ceil, "ceiling": math.Ceil, "floor": math.Floor, "round": math.RoundToEven, "trunc": math.Trunc}[name]
			return Value{k, f(cast(a[0], k).V.(float64))}, true
		}
		return Value{k, roundDecimal(name, decimalOf(a[0]), a)}, true
	case "sqrt":
		x := cast(a[0], k).V.(float64)
		if a[0].K == Numeric {
			return fail(sqlerr.FeatureNotSupported, "sqrt of numeric"), true
		}
		if x < 0 {
			return fail("2201F", "cannot take square root of a negative number"), true
		}
		return Value{k, math.Sqrt(x)}, true
	}
	return Value{}, false
}

func roundDecimal(name string, d *apd.Decimal, a []Value) *apd.Decimal {
	n := int32(0)
	if len(a) > 1 {
		n = int32(cast(a[1], Int4).V.(int64))
	}
	c := exact()
	switch name {
	case "ceil", "ceiling":
		c.Rounding = apd.RoundCeiling
	case "floor":
		c.Rounding = apd.RoundFloor
	case "trunc":
		c.Rounding = apd.RoundDown
	}
	out := new(apd.Decimal)
	if _, err := c.Quantize(out, d, -n); err != nil {
		fail(sqlerr.NumericOutOfRange, "value overflows numeric format")
	}
	if n < 0 {
		return rescale(out, 0)
	}
	if out.IsZero() {
		out.Negative = false
	}
	return out
}

func otherFunction(e *tree.Call, k Kind, a []Value, text func(int) string) Value {
	switch e.Name {
	case "extract", "date_part":
		v := a[1]
		if v.K == Unknown {
			v = cast(v, Timestamptz)
		}
		return cast(extract(strings.ToLower(text(0)), v), k)
	case "date_trunc":
		if a[1].K == Interval {
			return unsupported(e, "date_trunc of an interval")
		}
		return Value{k, truncate(strings.ToLower(text(0)), cast(a[1], k).V.(int64))}
	case "date_bin":
		w := cast(a[0], Interval).V.(span)
		stride := w.days*day + w.micros
		if w.months != 0 || stride <= 0 {
			return fail(sqlerr.InvalidParameter, "stride must be greater than zero, without months")
		}
		origin := cast(a[2], k).V.(int64)
		return Value{k, origin + floorDiv(cast(a[1], k).V.(int64)-origin, stride)*stride}
	case "timezone":
		if z := strings.ToUpper(text(0)); z != "UTC" && z != "GMT" && z != "Z" {
			return fail(sqlerr.FeatureNotSupported, "time zone %q", text(0))
		}
		return Value{k, cast(a[1], k).V.(int64)}
	case "array_length", "array_upper", "array_lower":
		n := len(a[0].V.([]Value))
		if n == 0 || cast(a[1], Int4).V.(int64) != 1 {
			return null(k)
		}
		if e.Name == "array_lower" {
			n = 1
		}
		return Value{k, int64(n)}
	case "string_to_array":
		list := []Value{}
		if text(1) == "" && text(0) != "" {
			list = append(list, Value{Text, text(0)})
		} else if text(0) != "" {
			for _, part := range strings.Split(text(0), text(1)) {
				list = append(list, Value{Text, part})
			}
		}
		return Value{k, list}
	case "cardinality":
		return Value{k, int64(len(a[0].V.([]Value)))}
	case "json_array_length", "jsonb_array_length", "json_typeof", "jsonb_typeof":
		return jsonFunction(e.Name, cast(a[0], JSONB).V)
	}
	return unsupported(e, "function %s", e.Name)
}

func jsonFunction(name string, doc any) Value {
	if strings.HasSuffix(name, "array_length") {
		list, ok := doc.([]any)
		if !ok {
			return fail(sqlerr.InvalidParameter, "cannot get array length of a non-array")
		}
		return Value{Int4, int64(len(list))}
	}
	switch doc.(type) {
	case jsonNull:
		return Value{Text, "null"}
	case bool:
		return Value{Text, "boolean"}
	case *apd.Decimal:
		return Value{Text, "number"}
	case string:
		return Value{Text, "string"}
	case []any:
		return Value{Text, "array"}
	}
	return Value{Text, "object"}
}

// ---- aggregates

func isAggregate(name string) bool {
	return slices.Contains([]string{"count", "sum", "min", "max", "avg", "bool_and", "every", "bool_or", "array_agg", "string_agg"}, name)
}

func (s *scope) aggregateKind(e *tree.Call) Kind {
	if e.Name == "count" {
		return Int8
	}
	k := s.kinds(e.Args[0])[0]
	switch e.Name {
	case "sum":
		switch k {
		case Int2, Int4:
			return Int8
		case Int8:
			return Numeric
		}
	case "avg":
		switch k {
		case Int2, Int4, Int8, Numeric:
			return Numeric
		case Float4:
			return Float8
		}
	case "bool_and", "bool_or", "every":
		return Bool
	case "string_agg":
		return Text
	case "array_agg":
		if k == Unknown {
			k = Text
		}
		return k + "[]"
	}
	if k == Unknown {
		k = Text
	}
	if (e.Name == "sum" || e.Name == "avg") && numberRank(k) == 0 && k != Interval {
		panic(failure{sqlerr.At(e.Pos, sqlerr.UndefinedFunction, "function %s(%s) does not exist", e.Name, k)})
	}
	return k
}

// aggregate folds the values of rows.
func (s *scope) aggregate(e *tree.Call, rows []*scope) Value {
	k := s.aggregateKind(e)
	var in []keyedRow
	for _, r := range rows {
		if e.Filter != nil && !r.holds(e.Filter) {
			continue
		}
		var row keyedRow
		for _, a := range e.Args {
			row.row = append(row.row, r.eval(a))
		}
		for _, o := range e.OrderBy {
			row.keys = append(row.keys, r.eval(o.Expr))
		}
		if e.Star || e.Name == "array_agg" || !row.row[0].null() {
			in = append(in, row)
		}
	}
	if e.Distinct {
		var seen []keyedRow
		for _, r := range in {
			if !slices.ContainsFunc(seen, func(o keyedRow) bool { return sameRow(o.row, r.row) }) {
				seen = append(seen, r)
			}
		}
		in = seen
	}
	sortKeyed(in, e.OrderBy)
	if e.Name == "count" {
		return Value{k, int64(len(in))}
	}
	if len(in) == 0 {
		return null(k)
	}
	var list []Value
	for _, r := range in {
		list = append(list, r.row[0])
	}
	switch e.Name {
	case "array_agg":
		for i := range list {
			list[i] = cast(list[i], k.elem())
		}
		return Value{k, list}
	case "string_agg":
		out := cast(list[0], Text).V.(string)
		for _, r := range in[1:] {
			if sep := cast(r.row[1], Text); !sep.null() {
				out += sep.V.(string)
			}
			out += cast(r.row[0], Text).V.(string)
		}
		return Value{k, out}
	}
	return fold(e.Name, k, list)
}

func fold(name string, k Kind, list []Value) Value {
	out := list[0]
	switch name {
	case "min", "max":
		if k == Text {
			out = cast(out, k)
		}
		for _, v := range list[1:] {
			if v = cast(v, out.K); compare(v, out) > 0 == (name == "max") && compare(v, out) != 0 {
				out = v
			}
		}
		return out
	case "bool_and", "every", "bool_or":
		for _, v := range list {
			if cast(v, Bool).V == (name == "bool_or") {
				return Value{k, name == "bool_or"}
			}
		}
		return Value{k, name != "bool_or"}
	}
	wide := k // sum and avg: exactly, then rounded once
	if numberRank(k) > 0 && k != Float4 && k != Float8 {
		wide = Numeric
	}
	if k == Interval {
		for _, v := range list[1:] {
			out, _ = dateArithmetic("+", out, v)
		}
		if name == "avg" {
			out, _ = dateArithmetic("/", out, Value{Int8, int64(len(list))})
		}
		return out
	}
	out = cast(out, wide)
	for _, v := range list[1:] {
		out = arithmetic("+", out, cast(v, wide))
	}
	if name == "avg" {
		out = arithmetic("/", out, cast(Value{Int8, int64(len(list))}, wide))
	}
	if k == Int8 {
		i, _ := new(big.Int).SetString(out.String(), 10)
		return integer(k, i)
	}
	return cast(out, k)
}
