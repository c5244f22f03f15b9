package expr

import (
	"math"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/row"
)

// decimals is scratch memory for numerics.
type decimals struct {
	a, b, out apd.Decimal
	ctx       apd.Context
}

// exactDigits holds every sum, difference and product of two numerics of
// package row.
const exactDigits = 2*row.NumericExponentMax + 2*row.NumericDigitsMax

func (c *call) decimals() *decimals {
	d, ok := c.memo.(*decimals)
	if !ok {
		d = &decimals{ctx: apd.Context{Precision: exactDigits, MaxExponent: apd.MaxExponent, MinExponent: apd.MinExponent, Traps: apd.DefaultTraps, Rounding: apd.RoundHalfUp}}
		c.memo = d
	}
	return d
}

// load decodes the numeric arguments of row i.
func (c *call) load(i int) (*decimals, *row.Error) {
	d := c.decimals()
	for k, to := range []*apd.Decimal{&d.a, &d.b} {
		if k < len(c.args) && c.args[k].Type.Kind == row.Numeric {
			if err := row.DecodeNumeric(c.args[k].Bytes(i), to); err != nil {
				return d, asError(err)
			}
			if to.Form != apd.Finite {
				return d, row.Errorf(row.CodeNotSupported, "arithmetic on numeric %s is not supported", to)
			}
		}
	}
	return d, nil
}

// asError is an error of package row.
func asError(err error) *row.Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*row.Error); ok {
		return e
	}
	return row.Errorf(row.CodeOutOfRange, "%v", err)
}

func appendDecimal(dst []byte, d *apd.Decimal) ([]byte, *row.Error) {
	out, err := row.AppendNumeric(dst, d)
	return out, asError(err)
}

func numericKernel(op byte) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		if op == '/' {
			out, err := row.DivNumeric(dst, c.args[0].Bytes(i), c.args[1].Bytes(i))
			return out, asError(err)
		}
		if op != '%' {
			x, xe, ok1 := row.NumericSmall(c.args[0].Bytes(i))
			y, ye, ok2 := row.NumericSmall(c.args[1].Bytes(i))
			if ok1 && ok2 {
				if coef, exp, ok := small(op, x, xe, y, ye); ok {
					out, err := row.AppendNumericScaled(dst, coef, exp)
					return out, asError(err)
				}
			}
		}
		d, bad := c.load(i)
		if bad != nil {
			return dst, bad
		}
		var err error
		switch op {
		case '+':
			_, err = d.ctx.Add(&d.out, &d.a, &d.b)
		case '-':
			_, err = d.ctx.Sub(&d.out, &d.a, &d.b)
		case '*':
			_, err = d.ctx.Mul(&d.out, &d.a, &d.b)
		case '%':
			if d.b.IsZero() {
				return dst, divisionByZero
			}
			_, err = d.ctx.Rem(&d.out, &d.a, &d.b)
		}
		if err != nil {
			return dst, row.Errorf(row.CodeOutOfRange, "value overflows numeric format")
		}
		return appendDecimal(dst, &d.out)
	})
}

// small computes on 64 bits where that is exact.
func small(op byte, x int64, xe int, y int64, ye int) (coef int64, exp int, ok bool) {
	if op == '*' {
		coef, ok = product(x, y)
		return coef, xe + ye, ok
	}
	for xe > ye {
		if x, ok = product(x, 10); !ok {
			return 0, 0, false
		}
		xe--
	}
	for ye > xe {
		if y, ok = product(y, 10); !ok {
			return 0, 0, false
		}
		ye--
	}
	if op == '-' {
		if y == math.MinInt64 {
			return 0, 0, false
		}
		y = -y
	}
	s := x + y
	return s, xe, (x^s)&(y^s) >= 0
}

// roundNumeric is ceil, floor, round and trunc, with a number of digits if
// there is a second argument.
func roundNumeric(name string) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		d, bad := c.load(i)
		if bad != nil {
			return dst, bad
		}
		digits := int64(0)
		if len(c.args) > 1 {
			digits = min(max(c.args[1].I[i], -2000), 2000)
		}
		if err := d.round(name, digits); err != nil {
			return dst, err
		}
		return appendDecimal(dst, &d.out)
	})
}

func (d *decimals) round(name string, digits int64) *row.Error {
	ctx := d.ctx
	switch name {
	case "ceil":
		ctx.Rounding = apd.RoundCeiling
	case "floor":
		ctx.Rounding = apd.RoundFloor
	case "trunc":
		ctx.Rounding = apd.RoundDown
	}
	if _, err := ctx.Quantize(&d.out, &d.a, int32(-digits)); err != nil {
		return row.Errorf(row.CodeOutOfRange, "value overflows numeric format")
	}
	return nil
}

var negNumeric = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	d, bad := c.load(i)
	if bad != nil {
		return dst, bad
	}
	d.a.Negative = !d.a.Negative
	return appendDecimal(dst, &d.a)
})

var absNumeric = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	d, bad := c.load(i)
	if bad != nil {
		return dst, bad
	}
	d.a.Negative = false
	return appendDecimal(dst, &d.a)
})

var signNumeric = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	d, bad := c.load(i)
	if bad != nil {
		return dst, bad
	}
	return row.AppendNumericInt(dst, int64(d.a.Sign())), nil
})

var intsToNumeric = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	return row.AppendNumericInt(dst, c.args[0].I[i]), nil
})

func numericToInts(k row.Kind) kernel {
	lo, hi, outOfRange := intLimits(k)
	return ints(func(c *call, i int) (int64, *row.Error) {
		d, bad := c.load(i)
		if bad == nil {
			bad = d.round("round", 0)
		}
		if bad != nil {
			return 0, outOfRange
		}
		x, err := d.out.Int64()
		if err != nil || x < lo || x > hi {
			return 0, outOfRange
		}
		return x, nil
	})
}

// floatToNumeric keeps 15 significant digits of a float8, 6 of a float4.
func floatToNumeric(digits int) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		var room [40]byte
		v, err := row.Parse(row.Of(row.Numeric), floatDigits(room[:0], c.args[0].I[i], digits))
		if err != nil {
			return dst, asError(err)
		}
		return append(dst, v.B...), nil
	})
}

// numericToFloat goes through the text, so that it is rounded once.
func numericToFloat(k row.Kind) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		var room [64]byte
		v, err := row.Parse(row.Of(k), c.args[0].AppendText(room[:0], i))
		return v.I, asError(err)
	})
}

// limitNumeric is numeric(precision, scale): its second and third arguments.
var limitNumeric = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	d, bad := c.load2(i)
	if bad != nil {
		return dst, bad
	}
	precision, scale := c.args[1].I[i], c.args[2].I[i]
	if err := d.round("round", scale); err != nil {
		return dst, err
	}
	if !d.out.IsZero() && d.out.NumDigits() > precision {
		return dst, row.Errorf(row.CodeOutOfRange, "numeric field overflow: a field with precision %d, scale %d holds less than 10^%d", precision, scale, precision-scale)
	}
	return appendDecimal(dst, &d.out)
})

// load2 decodes the first argument alone.
func (c *call) load2(i int) (*decimals, *row.Error) {
	d := c.decimals()
	if err := row.DecodeNumeric(c.args[0].Bytes(i), &d.a); err != nil {
		return d, asError(err)
	}
	if d.a.Form != apd.Finite {
		return d, row.Errorf(row.CodeNotSupported, "numeric %s is not supported here", &d.a)
	}
	return d, nil
}
