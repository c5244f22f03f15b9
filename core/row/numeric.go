package row

import (
	"bytes"
	"strconv"

	"github.com/cockroachdb/apd/v3"
)

// A numeric is kept in order-preserving bytes. With the value written as
// 0.d1d2d3… times 10 to the e, d1 not 0 and no zeros at the end:
//
//	class       1 byte: -Infinity < negative < 0 < positive < Infinity < NaN
//	e           2 bytes, big endian, plus 0x8000
//	digits      a byte for two, plus 1
//	end         0
//
// All bytes after the class are inverted in negative numbers. -Infinity, 0,
// Infinity and NaN are their class alone.
const (
	numNegInf = 0x10
	numNeg    = 0x20
	numZero   = 0x30
	numPos    = 0x40
	numPosInf = 0x50
	numNaN    = 0x60

	numBias = 0x8000
)

// appendNumericDigits writes sign, digits (ASCII) and exponent: the value is
// the digits as an integer, times 10 to the exp.
func appendNumericDigits(dst []byte, neg bool, digits []byte, exp int) ([]byte, error) {
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
	}
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exp++
	}
	if len(digits) == 0 {
		return append(dst, numZero), nil
	}
	e := exp + len(digits)
	if len(digits) > NumericDigitsMax || e > NumericExponentMax || e < -NumericExponentMax {
		return dst, errorf(CodeOutOfRange, "value overflows numeric format: at most %d digits", NumericDigitsMax)
	}
	at := len(dst) + 1
	dst = append(dst, numPos, byte((e+numBias)>>8), byte(e+numBias))
	for i := 0; i < len(digits); i += 2 {
		two := (digits[i] - '0') * 10
		if i+1 < len(digits) {
			two += digits[i+1] - '0'
		}
		dst = append(dst, two+1)
	}
	dst = append(dst, 0)
	if neg {
		dst[at-1] = numNeg
		for i := at; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst, nil
}

// AppendNumericInt writes an integer.
func AppendNumericInt(dst []byte, x int64) []byte {
	dst, _ = AppendNumericScaled(dst, x, 0)
	return dst
}

// AppendNumericScaled writes coef times 10 to the exp.
func AppendNumericScaled(dst []byte, coef int64, exp int) ([]byte, error) {
	u := uint64(coef)
	var flip byte
	class := byte(numPos)
	if coef < 0 {
		u, flip, class = -u, 0xff, numNeg
	}
	if u == 0 {
		return append(dst, numZero), nil
	}
	for u%10 == 0 {
		u /= 10
		exp++
	}
	// Pairs of digits, the last one first.
	var pairs [11]byte
	n := 0
	odd := decimalDigits(u)&1 != 0
	rest := u
	if odd {
		pairs[0] = byte(u%10*10) + 1
		rest, n = u/10, 1
	}
	for ; rest > 0; n++ {
		pairs[n] = byte(rest%100) + 1
		rest /= 100
	}
	e := exp + 2*n
	if odd {
		e--
	}
	if e > NumericExponentMax || e < -NumericExponentMax {
		return dst, errorf(CodeOutOfRange, "value overflows numeric format: at most %d digits", NumericDigitsMax)
	}
	dst = append(dst, class, byte((e+numBias)>>8)^flip, byte(e+numBias)^flip)
	for n--; n >= 0; n-- {
		dst = append(dst, pairs[n]^flip)
	}
	return append(dst, flip), nil
}

// decimalDigits is how many digits u has.
func decimalDigits(u uint64) int {
	n := 1
	for u >= 10000 {
		u /= 10000
		n += 4
	}
	switch {
	case u >= 1000:
		return n + 3
	case u >= 100:
		return n + 2
	case u >= 10:
		return n + 1
	}
	return n
}

// AppendNumeric writes a decimal.
func AppendNumeric(dst []byte, d *apd.Decimal) ([]byte, error) {
	switch d.Form {
	case apd.NaN, apd.NaNSignaling:
		return append(dst, numNaN), nil
	case apd.Infinite:
		if d.Negative {
			return append(dst, numNegInf), nil
		}
		return append(dst, numPosInf), nil
	}
	var room [64]byte
	if d.NumDigits() > 2*NumericDigitsMax {
		return dst, errorf(CodeOutOfRange, "value overflows numeric format: at most %d digits", NumericDigitsMax)
	}
	digits := d.Coeff.Append(room[:0], 10)
	neg := d.Negative
	if len(digits) > 0 && digits[0] == '-' {
		digits, neg = digits[1:], !neg
	}
	return appendNumericDigits(dst, neg, digits, int(d.Exponent))
}

// NumericSmall returns the value of b as coef times 10 to the exp if it is a
// number that fits; the coefficient has no zeros at its end unless it is 0.
func NumericSmall(b []byte) (coef int64, exp int, ok bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	var flip byte
	switch b[0] {
	case numZero:
		return 0, 0, true
	case numNeg:
		flip = 0xff
	case numPos:
	default:
		return 0, 0, false
	}
	if len(b) < 5 || len(b) > 3+9+1 { // 18 digits
		return 0, 0, false
	}
	n := len(b) - 4
	exp = int(b[1]^flip)<<8 + int(b[2]^flip) - numBias - 2*n
	for _, c := range b[3 : 3+n] {
		coef = coef*100 + int64(c^flip) - 1
	}
	if coef%10 == 0 {
		coef /= 10
		exp++
	}
	if flip != 0 {
		coef = -coef
	}
	return coef, exp, true
}

// DecodeNumeric reads what AppendNumeric wrote.
func DecodeNumeric(b []byte, d *apd.Decimal) error {
	if err := checkNumeric(b); err != nil {
		return err
	}
	*d = apd.Decimal{}
	switch b[0] {
	case numNaN:
		d.Form = apd.NaN
		return nil
	case numNegInf, numPosInf:
		d.Form, d.Negative = apd.Infinite, b[0] == numNegInf
		return nil
	case numZero:
		return nil
	}
	if coef, exp, ok := NumericSmall(b); ok {
		d.SetFinite(coef, int32(exp))
		return nil
	}
	digits, exp, neg := numericDigits(nil, b)
	if _, ok := d.Coeff.SetString(string(digits), 10); !ok {
		return errorf(CodeInvalidText, "not a numeric: %x", b)
	}
	d.Exponent, d.Negative = int32(exp), neg
	return nil
}

// numericDigits appends the digits of a finite number that is not 0.
func numericDigits(dst, b []byte) (digits []byte, exp int, neg bool) {
	var flip byte
	if b[0] == numNeg {
		flip, neg = 0xff, true
	}
	at := len(dst)
	for _, c := range b[3 : len(b)-1] {
		two := (c ^ flip) - 1
		dst = append(dst, '0'+two/10, '0'+two%10)
	}
	if dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	exp = int(b[1]^flip)<<8 + int(b[2]^flip) - numBias - (len(dst) - at)
	return dst, exp, neg
}

// checkNumeric refuses bytes that no numeric has.
func checkNumeric(b []byte) error {
	if !isNumeric(b) {
		return errorf(CodeInvalidPayload, "not a numeric: %x", b)
	}
	return nil
}

func isNumeric(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	var flip byte
	switch b[0] {
	case numNegInf, numZero, numPosInf, numNaN:
		return len(b) == 1
	case numNeg:
		flip = 0xff
	case numPos:
	default:
		return false
	}
	if len(b) < 5 || b[len(b)-1]^flip != 0 || len(b) > 4+(NumericDigitsMax+1)/2 {
		return false
	}
	e := int(b[1]^flip)<<8 + int(b[2]^flip) - numBias
	digits := b[3 : len(b)-1]
	for _, c := range digits {
		if two := c ^ flip; two < 1 || two > 100 {
			return false
		}
	}
	first, last := digits[0]^flip, digits[len(digits)-1]^flip
	return first >= 11 && last != 1 && e <= NumericExponentMax && e >= -NumericExponentMax
}

// appendParsedNumeric reads a decimal's text.
func appendParsedNumeric(dst, text []byte) ([]byte, error) {
	bad := func() ([]byte, error) {
		return dst, errorf(CodeInvalidText, "invalid input syntax for type numeric: %q", text)
	}
	s := bytes.TrimSpace(text)
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	switch {
	case len(s) == 0:
		return bad()
	case bytes.EqualFold(s, []byte("nan")):
		return append(dst, numNaN), nil
	case bytes.EqualFold(s, []byte("inf")) || bytes.EqualFold(s, []byte("infinity")):
		if neg {
			return append(dst, numNegInf), nil
		}
		return append(dst, numPosInf), nil
	}
	var room [64]byte
	digits, exp, point, seen := room[:0], 0, false, false
	i := 0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			seen = true
			if len(digits) > 4*NumericExponentMax {
				return dst, errorf(CodeOutOfRange, "value overflows numeric format")
			}
			if c != '0' || len(digits) > 0 {
				digits = append(digits, c)
			}
			if point {
				exp--
			}
			continue
		case c == '.' && !point:
			point = true
			continue
		}
		break
	}
	if !seen {
		return bad()
	}
	if i < len(s) {
		if s[i] != 'e' && s[i] != 'E' {
			return bad()
		}
		x, err := strconv.ParseInt(string(s[i+1:]), 10, 32)
		if err != nil {
			return bad()
		}
		exp += int(x)
	}
	return appendNumericDigits(dst, neg, digits, exp)
}

// appendNumericText writes a numeric as PostgreSQL prints it: without exponent.
func appendNumericText(dst, b []byte) []byte {
	switch {
	case len(b) == 0:
		return dst
	case b[0] == numNaN:
		return append(dst, "NaN"...)
	case b[0] == numPosInf:
		return append(dst, "Infinity"...)
	case b[0] == numNegInf:
		return append(dst, "-Infinity"...)
	case b[0] == numZero:
		return append(dst, '0')
	}
	var room [64]byte
	digits, exp, neg := numericDigits(room[:0], b)
	if neg {
		dst = append(dst, '-')
	}
	whole := len(digits) + exp // digits before the point
	if whole <= 0 {
		dst = append(dst, '0', '.')
		for ; whole < 0; whole++ {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	if whole >= len(digits) {
		dst = append(dst, digits...)
		for range whole - len(digits) {
			dst = append(dst, '0')
		}
		return dst
	}
	dst = append(dst, digits[:whole]...)
	dst = append(dst, '.')
	return append(dst, digits[whole:]...)
}
