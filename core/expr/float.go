package expr

import (
	"math"
	"strconv"

	"actordb/core/row"
)

// Binary floating point is what a query computes with where its columns are of
// these types. The same operations on the same bits give the same bits
// everywhere: each is one IEEE 754 operation, rounded at once (the conversions
// forbid fusing a product with a sum).

var (
	floatOverflow  = row.Errorf(row.CodeOutOfRange, "value out of range: overflow")
	floatUnderflow = row.Errorf(row.CodeOutOfRange, "value out of range: underflow")
)

// roundTo gives a float8's bits the precision of a kind.
func roundTo(k row.Kind, x int64) (int64, *row.Error) {
	if k == row.Float8 {
		return x, nil
	}
	y, ok := row.RoundFloat4(x)
	if !ok {
		return 0, floatOverflow
	}
	return y, nil
}

func floatKernel(op byte, k row.Kind) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		return floatOp(op, k, c.args[0].I[i], c.args[1].I[i])
	})
}

func floatOp(op byte, k row.Kind, a, b int64) (int64, *row.Error) {
	x, y := row.ToFloat(a), row.ToFloat(b) //arch:allow float: one IEEE operation, see above
	z := x                                 //arch:allow float: one IEEE operation, see above
	switch op {
	case '+':
		z = float64(x + y) //arch:allow float: one IEEE operation, see above
	case '-':
		z = float64(x - y) //arch:allow float: one IEEE operation, see above
	case '*':
		z = float64(x * y) //arch:allow float: one IEEE operation, see above
	case '/':
		if y == 0 && !math.IsNaN(x) { //arch:allow float: one IEEE operation, see above
			return 0, divisionByZero
		}
		z = float64(x / y) //arch:allow float: one IEEE operation, see above
	}
	out, err := roundTo(k, row.FromFloat(z)) //arch:allow float: one IEEE operation, see above
	if err != nil {
		return 0, err
	}
	z = row.ToFloat(out)                                            //arch:allow float: one IEEE operation, see above
	if math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) { //arch:allow float: one IEEE operation, see above
		return 0, floatOverflow
	}
	zero := z == 0 && x != 0 && y != 0 && !math.IsInf(y, 0) //arch:allow float: one IEEE operation, see above
	if zero && (op == '*' || op == '/') {
		return 0, floatUnderflow
	}
	return out, nil
}

// negFloat and absFloat change the sign.
var negFloat = ints(func(c *call, i int) (int64, *row.Error) {
	return row.FromFloat(-row.ToFloat(c.args[0].I[i])), nil //arch:allow float: one IEEE operation, see above
})

var absFloat = ints(func(c *call, i int) (int64, *row.Error) {
	return row.FromFloat(math.Abs(row.ToFloat(c.args[0].I[i]))), nil //arch:allow float: one IEEE operation, see above
})

var sqrtFloat = ints(func(c *call, i int) (int64, *row.Error) {
	x := row.ToFloat(c.args[0].I[i]) //arch:allow float: one IEEE operation, see above
	if x < 0 {                       //arch:allow float: one IEEE operation, see above
		return 0, row.Errorf("2201F", "cannot take square root of a negative number")
	}
	return row.FromFloat(math.Sqrt(x)), nil //arch:allow float: one IEEE operation, see above
})

// roundFloat is ceil, floor, round and trunc.
func roundFloat(name string) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		x := row.ToFloat(c.args[0].I[i]) //arch:allow float: one IEEE operation, see above
		switch name {
		case "ceil":
			x = math.Ceil(x) //arch:allow float: one IEEE operation, see above
		case "floor":
			x = math.Floor(x) //arch:allow float: one IEEE operation, see above
		case "round":
			x = math.RoundToEven(x) //arch:allow float: one IEEE operation, see above
		case "trunc":
			x = math.Trunc(x) //arch:allow float: one IEEE operation, see above
		}
		return row.FromFloat(x), nil //arch:allow float: one IEEE operation, see above
	})
}

// signFloat is -1, 0 or 1.
var signFloat = ints(func(c *call, i int) (int64, *row.Error) {
	switch x := row.ToFloat(c.args[0].I[i]); { //arch:allow float: one IEEE operation, see above
	case x > 0: //arch:allow float: one IEEE operation, see above
		return intFloat(1), nil
	case x < 0: //arch:allow float: one IEEE operation, see above
		return intFloat(-1), nil
	}
	return c.args[0].I[i], nil
})

// intFloat is an integer as a float8.
func intFloat(x int64) int64 {
	return row.FromFloat(float64(x)) //arch:allow float: one IEEE operation, see above
}

func intsToFloat(k row.Kind) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		if k == row.Float4 { // rounded once
			return row.FromFloat(float64(float32(c.args[0].I[i]))), nil //arch:allow float: one IEEE operation, see above
		}
		return intFloat(c.args[0].I[i]), nil
	})
}

// floatToInts rounds to even.
func floatToInts(k row.Kind) kernel {
	lo, hi, outOfRange := intLimits(k)
	return ints(func(c *call, i int) (int64, *row.Error) {
		x := math.RoundToEven(row.ToFloat(c.args[0].I[i]))                         //arch:allow float: one IEEE operation, see above
		if math.IsNaN(x) || x < -9223372036854775808 || x >= 9223372036854775808 { //arch:allow float: one IEEE operation, see above
			return 0, outOfRange
		}
		n := int64(x) //arch:allow float: one IEEE operation, see above
		if n < lo || n > hi {
			return 0, outOfRange
		}
		return n, nil
	})
}

func floatToFloat(k row.Kind) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) { return roundTo(k, c.args[0].I[i]) })
}

// floatDigits writes a float with so many significant digits.
func floatDigits(dst []byte, x int64, digits int) []byte {
	return strconv.AppendFloat(dst, row.ToFloat(x), 'g', digits, 64) //arch:allow float: text of a float
}

// timesFloat multiplies an interval's part by a float: what PostgreSQL does.
func timesFloat(x, f int64, divide bool) (whole int64, rest int64) {
	y := row.ToFloat(f) //arch:allow float: one IEEE operation, see above
	z := float64(x) * y //arch:allow float: one IEEE operation, see above
	if divide {
		z = float64(x) / y //arch:allow float: one IEEE operation, see above
	}
	w := math.Trunc(z)                    //arch:allow float: one IEEE operation, see above
	return int64(w), row.FromFloat(z - w) //arch:allow float: one IEEE operation, see above
}

// roundBits is the nearest integer, to even, of a float.
func roundBits(x int64) int64 {
	return int64(math.RoundToEven(row.ToFloat(x))) //arch:allow float: one IEEE operation, see above
}
