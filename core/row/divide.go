package row

import (
	"math/big"

	"github.com/cockroachdb/apd/v3"
)

// divMinDigits is PostgreSQL's NUMERIC_MIN_SIG_DIGITS: a quotient has about
// that many significant digits at least.
const divMinDigits = 16

// decimalShape tells of a number that is not 0 where it begins when written in
// PostgreSQL's digits of base 10,000: the weight of the first one, and that
// digit. e is its decimal exponent (0.d1d2… times 10 to the e).
func decimalShape(digits []byte, e int) (weight, first int) {
	weight = int(floorDiv(int64(e-1), 4))
	for i := range e - 4*weight {
		first *= 10
		if i < len(digits) {
			first += int(digits[i] - '0')
		}
	}
	return weight, first
}

// DivNumeric appends a/b, with as many digits after the point as PostgreSQL
// gives it (select_div_scale in its numeric.c), rounded half away from zero.
func DivNumeric(dst, a, b []byte) ([]byte, error) {
	finite := func(x []byte) bool { return x[0] == numNeg || x[0] == numZero || x[0] == numPos }
	switch {
	case len(a) == 0 || len(b) == 0:
		return dst, errorf(CodeInvalidPayload, "not a numeric")
	case a[0] == numNaN || b[0] == numNaN:
		return append(dst, numNaN), nil
	case !finite(a) && !finite(b):
		return append(dst, numNaN), nil
	case b[0] == numZero:
		return dst, errorf(CodeDivisionByZero, "division by zero")
	case !finite(a):
		if (a[0] == numNegInf) == (b[0] == numNeg) {
			return append(dst, numPosInf), nil
		}
		return append(dst, numNegInf), nil
	case !finite(b) || a[0] == numZero:
		return append(dst, numZero), nil
	}
	var ra, rb [64]byte
	da, ea, na := numericDigits(ra[:0], a)
	db, eb, nb := numericDigits(rb[:0], b)
	wa, fa := decimalShape(da, ea+len(da))
	wb, fb := decimalShape(db, eb+len(db))
	weight := wa - wb
	if fa <= fb {
		weight--
	}
	scale := min(max(divMinDigits-4*weight, -ea, -eb, 0), NumericDigitsMax)
	x, _ := new(big.Int).SetString(string(da), 10)
	y, _ := new(big.Int).SetString(string(db), 10)
	// a/b with scale digits: x * 10^(ea - eb + scale) / y
	ten := big.NewInt(10)
	if shift := ea - eb + scale; shift >= 0 {
		x.Mul(x, new(big.Int).Exp(ten, big.NewInt(int64(shift)), nil))
	} else {
		y.Mul(y, new(big.Int).Exp(ten, big.NewInt(int64(-shift)), nil))
	}
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	if r.Lsh(r, 1).Cmp(y) >= 0 {
		q.Add(q, big.NewInt(1))
	}
	return appendNumericDigits(dst, na != nb, q.Append(nil, 10), -scale)
}

// AppendNumericBig writes coef times 10 to the exp.
func AppendNumericBig(dst []byte, coef *big.Int, exp int) ([]byte, error) {
	d := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(coef), int32(exp))
	return AppendNumeric(dst, d)
}

// AppendQuotient appends sum/n, as DivNumeric does, of integers; n is not 0.
func AppendQuotient(dst []byte, sum, n int64) ([]byte, error) {
	var room [48]byte
	if n <= 0 || n > 1<<58 || sum == -sum && sum != 0 {
		return DivNumeric(dst, AppendNumericInt(room[:0], sum), AppendNumericInt(nil, n))
	}
	if sum == 0 {
		return append(dst, numZero), nil
	}
	u := uint64(max(sum, -sum))
	wa, fa := intShape(u)
	wb, fb := intShape(uint64(n))
	weight := wa - wb
	if fa <= fb {
		weight--
	}
	scale := max(divMinDigits-4*weight, 0)
	whole, rest := u/uint64(n), u%uint64(n)
	digits := appendUint(room[:0], whole)
	for range scale {
		rest *= 10
		digits = append(digits, byte('0'+rest/uint64(n)))
		rest %= uint64(n)
	}
	if 2*rest >= uint64(n) {
		digits = roundUp(digits)
	}
	return appendNumericDigits(dst, sum < 0, digits, -scale)
}

// intShape is decimalShape of an integer.
func intShape(u uint64) (weight, first int) {
	for u >= 10000 {
		u /= 10000
		weight++
	}
	return weight, int(u)
}

func appendUint(dst []byte, u uint64) []byte {
	at := len(dst)
	for {
		dst = append(dst, byte('0'+u%10))
		if u /= 10; u == 0 {
			break
		}
	}
	for i, j := at, len(dst)-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	return dst
}

// roundUp adds one to the last digit.
func roundUp(digits []byte) []byte {
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i] != '9' {
			digits[i]++
			return digits
		}
		digits[i] = '0'
	}
	digits = append(digits, 0)
	copy(digits[1:], digits)
	digits[0] = '1'
	return digits
}

// NumericBig returns a finite numeric as coef times 10 to the exp.
func NumericBig(b []byte) (coef *big.Int, exp int, err error) {
	if err := checkNumeric(b); err != nil {
		return nil, 0, err
	}
	switch b[0] {
	case numZero:
		return new(big.Int), 0, nil
	case numNeg, numPos:
	default:
		return nil, 0, errorf(CodeOutOfRange, "%s is no number", appendNumericText(nil, b))
	}
	digits, exp, neg := numericDigits(nil, b)
	coef, _ = new(big.Int).SetString(string(digits), 10)
	if neg {
		coef.Neg(coef)
	}
	return coef, exp, nil
}
