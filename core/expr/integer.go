package expr

import (
	"math"
	"math/bits"

	"actordb/core/row"
)

var divisionByZero = row.Errorf(row.CodeDivisionByZero, "division by zero")

// intLimits are the range of an integer type, and what an error calls it.
func intLimits(k row.Kind) (lo, hi int64, outOfRange *row.Error) {
	switch k {
	case row.Int2:
		return math.MinInt16, math.MaxInt16, row.Errorf(row.CodeOutOfRange, "smallint out of range")
	case row.Int4:
		return math.MinInt32, math.MaxInt32, row.Errorf(row.CodeOutOfRange, "integer out of range")
	}
	return math.MinInt64, math.MaxInt64, row.Errorf(row.CodeOutOfRange, "bigint out of range")
}

// overflow notes a row out of range, unless it is null.
func (c *call) overflow(i int, err *row.Error) {
	if !c.nulls.Get(i) {
		c.fail(i, err)
	}
}

func addInts(k row.Kind) kernel {
	lo, hi, err := intLimits(k)
	return func(c *call) {
		a, b, out := c.args[0].I[:c.n], c.args[1].I[:c.n], c.out.I
		for i, x := range a {
			y := b[i]
			s := x + y
			out[i] = s
			if s < lo || s > hi || (x^s)&(y^s) < 0 {
				c.overflow(i, err)
			}
		}
	}
}

func subInts(k row.Kind) kernel {
	lo, hi, err := intLimits(k)
	return func(c *call) {
		a, b, out := c.args[0].I[:c.n], c.args[1].I[:c.n], c.out.I
		for i, x := range a {
			y := b[i]
			s := x - y
			out[i] = s
			if s < lo || s > hi || (x^y)&(x^s) < 0 {
				c.overflow(i, err)
			}
		}
	}
}

// product multiplies; ok is false if it does not fit 64 bits.
func product(x, y int64) (p int64, ok bool) {
	hi, low := bits.Mul64(uint64(x), uint64(y))
	p = int64(low)
	// The high word of the signed product: that of the unsigned, less y for a
	// negative x and less x for a negative y.
	h := int64(hi)
	if x < 0 {
		h -= y
	}
	if y < 0 {
		h -= x
	}
	return p, h == p>>63
}

func mulInts(k row.Kind) kernel {
	lo, hi, err := intLimits(k)
	return func(c *call) {
		a, b, out := c.args[0].I[:c.n], c.args[1].I[:c.n], c.out.I
		for i, x := range a {
			p, ok := product(x, b[i])
			out[i] = p
			if !ok || p < lo || p > hi {
				c.overflow(i, err)
			}
		}
	}
}

func divInts(k row.Kind) kernel {
	lo, _, err := intLimits(k)
	return func(c *call) {
		a, b, out := c.args[0].I[:c.n], c.args[1].I[:c.n], c.out.I
		for i, x := range a {
			switch y := b[i]; {
			case y == 0:
				c.overflow(i, divisionByZero)
			case y == -1:
				if out[i] = -x; x == lo {
					c.overflow(i, err)
				}
			default:
				out[i] = x / y
			}
		}
	}
}

func modInts(c *call) {
	a, b, out := c.args[0].I[:c.n], c.args[1].I[:c.n], c.out.I
	for i, x := range a {
		switch y := b[i]; y {
		case 0:
			c.overflow(i, divisionByZero)
		case -1:
			out[i] = 0
		default:
			out[i] = x % y
		}
	}
}

func negInts(k row.Kind) kernel {
	lo, _, err := intLimits(k)
	return func(c *call) {
		for i, x := range c.args[0].I[:c.n] {
			if c.out.I[i] = -x; x == lo {
				c.overflow(i, err)
			}
		}
	}
}

func absInts(k row.Kind) kernel {
	lo, _, err := intLimits(k)
	return func(c *call) {
		for i, x := range c.args[0].I[:c.n] {
			if x < 0 {
				x = -x
			}
			if c.out.I[i] = x; c.args[0].I[i] == lo {
				c.overflow(i, err)
			}
		}
	}
}

// narrowInts casts between integer types.
func narrowInts(to row.Kind) kernel {
	lo, hi, err := intLimits(to)
	return func(c *call) {
		for i, x := range c.args[0].I[:c.n] {
			if c.out.I[i] = x; x < lo || x > hi {
				c.overflow(i, err)
			}
		}
	}
}

// sameInts casts between types that keep the same int64.
func sameInts(c *call) { copy(c.out.I, c.args[0].I[:c.n]) }

// sameBytes casts between types that keep the same bytes.
var sameBytes = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	return append(dst, c.args[0].Bytes(i)...), nil
})
