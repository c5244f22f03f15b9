package relational

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/sql/sqlerr"
)

// exact holds every sum and product that a test makes; it rounds as PostgreSQL
// does, half away from zero.
func exact() *apd.Context {
	c := apd.BaseContext.WithPrecision(2000)
	c.Rounding = apd.RoundHalfUp
	return c
}

func decimalOf(v Value) *apd.Decimal {
	switch x := v.V.(type) {
	case int64:
		return apd.New(x, 0)
	case *apd.Decimal:
		return x
	case float64:
		digits := 15
		if v.K == Float4 {
			digits = 6
		}
		d, _, err := apd.NewFromString(strconv.FormatFloat(x, 'g', digits, 64))
		if err != nil || d.Form != apd.Finite {
			fail(sqlerr.FeatureNotSupported, "numeric %v", x)
		}
		d.Reduce(d)
		if d.Exponent > 0 {
			d = rescale(d, 0)
		}
		return d
	}
	panic("not a number: " + string(v.K))
}

func scale(d *apd.Decimal) int32 { return max(0, -d.Exponent) }

// rescale rounds or extends to n digits after the point.
func rescale(d *apd.Decimal, n int32) *apd.Decimal {
	out := new(apd.Decimal)
	if _, err := exact().Quantize(out, d, -n); err != nil {
		fail(sqlerr.NumericOutOfRange, "value overflows numeric format")
	}
	if out.IsZero() {
		out.Negative = false
	}
	return out
}

// baseDigits gives the weight and the first digit of a number in base 10000, as
// PostgreSQL stores it (numeric.c).
func baseDigits(d *apd.Decimal) (weight int, first int64) {
	if d.IsZero() {
		return 0, 0
	}
	digits := d.Coeff.String()
	magnitude := len(digits) + int(d.Exponent) // digits before the point
	weight = int(math.Floor(float64(magnitude-1) / 4))
	n := magnitude - weight*4 // decimal digits in the first base digit
	for len(digits) < n {
		digits += "0"
	}
	first, _ = strconv.ParseInt(digits[:n], 10, 64)
	return weight, first
}

// quotient divides numerics with the scale that PostgreSQL chooses
// (select_div_scale): 16 significant digits at least, and no less than either
// operand has.
func quotient(a, b *apd.Decimal) *apd.Decimal {
	if b.IsZero() {
		fail(sqlerr.DivisionByZero, "division by zero")
	}
	wa, fa := baseDigits(a)
	wb, fb := baseDigits(b)
	weight := wa - wb
	if fa <= fb {
		weight--
	}
	n := min(max(int32(16-weight*4), scale(a), scale(b), 0), 1000)
	// One integer division, so that the rounding is of the exact quotient.
	num, den := new(big.Int).Set(a.Coeff.MathBigInt()), new(big.Int).Set(b.Coeff.MathBigInt())
	shift := a.Exponent - b.Exponent + n
	ten := func(e int32) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(e)), nil) }
	if shift >= 0 {
		num.Mul(num, ten(shift))
	} else {
		den.Mul(den, ten(-shift))
	}
	num.Mul(num, big.NewInt(2)).Add(num, den).Quo(num, den.Mul(den, big.NewInt(2)))
	out := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(num), -n)
	out.Negative = a.Negative != b.Negative && !out.IsZero()
	return out
}

func intRange(k Kind) (lo, hi int64) {
	switch k {
	case Int2:
		return math.MinInt16, math.MaxInt16
	case Int4:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

func integer(k Kind, x *big.Int) Value {
	lo, hi := intRange(k)
	if !x.IsInt64() || x.Int64() < lo || x.Int64() > hi {
		return fail(sqlerr.NumericOutOfRange, "%s out of range", intName(k))
	}
	return Value{k, x.Int64()}
}

func intName(k Kind) string {
	return map[Kind]string{Int2: "smallint", Int4: "integer", Int8: "bigint"}[k]
}

func floating(k Kind, x float64) Value {
	if k == Float4 {
		x = float64(float32(x))
	}
	return Value{k, x}
}

// arithmetic applies + - * / % to numbers of one kind, none NULL.
func arithmetic(op string, a, b Value) Value {
	switch x := a.V.(type) {
	case int64:
		return intArithmetic(op, a.K, big.NewInt(x), big.NewInt(b.V.(int64)))
	case *apd.Decimal:
		return Value{Numeric, decimalArithmetic(op, x, b.V.(*apd.Decimal))}
	case float64:
		return floatArithmetic(op, a.K, x, b.V.(float64))
	}
	return fail(sqlerr.UndefinedFunction, "operator does not exist: %s %s %s", a.K, op, b.K)
}

func intArithmetic(op string, k Kind, a, b *big.Int) Value {
	out := new(big.Int)
	switch op {
	case "+":
		out.Add(a, b)
	case "-":
		out.Sub(a, b)
	case "*":
		out.Mul(a, b)
	default:
		if b.Sign() == 0 {
			return fail(sqlerr.DivisionByZero, "division by zero")
		}
		if op == "/" {
			out.Quo(a, b)
		} else {
			out.Rem(a, b)
		}
	}
	return integer(k, out)
}

func decimalArithmetic(op string, a, b *apd.Decimal) *apd.Decimal {
	out := new(apd.Decimal)
	var err error
	switch op {
	case "+":
		_, err = exact().Add(out, a, b)
	case "-":
		_, err = exact().Sub(out, a, b)
	case "*":
		_, err = exact().Mul(out, a, b)
	case "/":
		return quotient(a, b)
	default:
		if b.IsZero() {
			fail(sqlerr.DivisionByZero, "division by zero")
		}
		_, err = exact().Rem(out, a, b)
		out = rescale(out, max(scale(a), scale(b)))
	}
	if err != nil {
		fail(sqlerr.NumericOutOfRange, "value overflows numeric format")
	}
	if out.IsZero() {
		out.Negative = false
	}
	return out
}

func floatArithmetic(op string, k Kind, a, b float64) Value {
	var x float64
	switch op {
	case "+":
		x = a + b
	case "-":
		x = a - b
	case "*":
		x = a * b
	case "/":
		if b == 0 && !math.IsNaN(a) {
			return fail(sqlerr.DivisionByZero, "division by zero")
		}
		x = a / b
	default:
		return fail(sqlerr.UndefinedFunction, "operator does not exist: %s %% %s", k, k)
	}
	out := floating(k, x)
	if y := out.V.(float64); math.IsInf(y, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		return fail(sqlerr.NumericOutOfRange, "value out of range: overflow")
	} else if y == 0 && a != 0 && b != 0 && (op == "*" || op == "/" && !math.IsInf(b, 0)) {
		return fail(sqlerr.NumericOutOfRange, "value out of range: underflow")
	}
	return out
}

// castNumber brings a number to another kind of number.
func castNumber(v Value, k Kind) Value {
	switch k {
	case Numeric:
		return Value{k, decimalOf(v)}
	case Float4, Float8:
		x, ok := v.V.(float64)
		if !ok {
			s := v.String()
			bits := 64
			if k == Float4 {
				bits = 32
			}
			var err error
			if x, err = strconv.ParseFloat(s, bits); err != nil {
				return fail(sqlerr.NumericOutOfRange, "%q is out of range for type %s", s, k)
			}
		}
		if out := floating(k, x); math.IsInf(out.V.(float64), 0) && !math.IsInf(x, 0) {
			return fail(sqlerr.NumericOutOfRange, "value out of range: overflow")
		} else {
			return out
		}
	}
	switch x := v.V.(type) {
	case int64:
		return integer(k, big.NewInt(x))
	case float64: // to even
		r := math.RoundToEven(x)
		if math.IsNaN(r) || r < -9223372036854775808 || r >= 9223372036854775808 {
			return fail(sqlerr.NumericOutOfRange, "%s out of range", intName(k))
		}
		return integer(k, big.NewInt(int64(r)))
	}
	d := rescale(v.V.(*apd.Decimal), 0)
	i, ok := new(big.Int).SetString(d.Text('f'), 10)
	if !ok {
		panic("not an integer: " + d.String())
	}
	return integer(k, i)
}

// parseNumber reads a number from text.
func parseNumber(s string, k Kind) Value {
	t := strings.TrimSpace(s)
	bad := func() Value {
		return fail(sqlerr.InvalidText, "invalid input syntax for type %s: %q", map[Kind]string{Int2: "smallint", Int4: "integer", Int8: "bigint", Numeric: "numeric", Float4: "real", Float8: "double precision"}[k], s)
	}
	if strings.ContainsAny(t, "_xXpP") || t == "" {
		return bad()
	}
	switch k {
	case Numeric:
		d, _, err := apd.NewFromString(t)
		if err != nil {
			return bad()
		}
		if d.Form != apd.Finite {
			return fail(sqlerr.FeatureNotSupported, "numeric %s", t)
		}
		if d.Exponent > 0 {
			d = rescale(d, 0)
		}
		if d.IsZero() {
			d.Negative = false
		}
		return Value{k, d}
	case Float4, Float8:
		bits := 64
		if k == Float4 {
			bits = 32
		}
		x, err := strconv.ParseFloat(t, bits)
		if err != nil && strings.Contains(err.Error(), "range") {
			return fail(sqlerr.NumericOutOfRange, "%q is out of range for type %s", s, k)
		}
		if err != nil {
			return bad()
		}
		return floating(k, x)
	}
	i, ok := new(big.Int).SetString(strings.TrimPrefix(t, "+"), 10)
	if !ok || strings.HasPrefix(t, "+-") {
		return bad()
	}
	if lo, hi := intRange(k); !i.IsInt64() || i.Int64() < lo || i.Int64() > hi {
		return fail(sqlerr.NumericOutOfRange, "value %q is out of range for type %s", s, intName(k))
	}
	return Value{k, i.Int64()}
}
