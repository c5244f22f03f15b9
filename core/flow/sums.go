package flow

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"

	"actordb/core/row"
	"actordb/core/zset"
)

// Sums are exact, so that a retraction takes away what its insertion added and
// the order of arrival does not show: integers in 128 bits, numerics as integers
// with a scale, floats as multiples of the least positive float. The result is
// rounded once, when it is read.

// wide is an integer of 128 bits.
type wide struct {
	hi int64
	lo uint64
}

// addProduct adds x times w.
func (a *wide) addProduct(x, w int64) error {
	hi, lo := bits.Mul64(uint64(x), uint64(w))
	hi -= uint64(x>>63) & uint64(w)
	hi -= uint64(w>>63) & uint64(x)
	return a.add(int64(hi), lo)
}

func (a *wide) add(hi int64, lo uint64) error {
	var carry uint64
	a.lo, carry = bits.Add64(a.lo, lo, 0)
	was := a.hi
	a.hi = a.hi + hi + int64(carry)
	if (was < 0) == (hi < 0) && (a.hi < 0) != (was < 0) {
		return zset.ErrWeight
	}
	return nil
}

// small returns the value if it fits 64 bits.
func (a wide) small() (int64, bool) { return int64(a.lo), a.hi == int64(a.lo)>>63 }

func (a wide) big() *big.Int {
	x := new(big.Int).SetInt64(a.hi)
	x.Lsh(x, 64)
	return x.Add(x, new(big.Int).SetUint64(a.lo))
}

// specials counts the values that are no numbers.
type specials struct{ nan, pos, neg int64 }

func (s specials) any() bool { return s != specials{} }

// numSum is a sum of numerics: sum times 10 to the -scale, or, if that grew
// too large once, big times 10 to the -scale.
type numSum struct {
	sum   wide
	scale int
	big   *big.Int
	specials
}

// scaleMax is up to where a sum is kept in 128 bits.
const scaleMax = 18

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func smallPow10(n int) int64 { return pows[n] }

var pows = [scaleMax + 1]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

func (s *numSum) add(b []byte, w int64) error {
	coef, exp, ok := row.NumericSmall(b)
	if ok && exp > 0 && exp <= scaleMax { // 1200 is 12 and two zeros
		hi, lo := bits.Mul64(uint64(max(coef, -coef)), uint64(smallPow10(exp)))
		if hi == 0 && lo <= math.MaxInt64 {
			if coef > 0 {
				coef, exp = int64(lo), 0
			} else {
				coef, exp = -int64(lo), 0
			}
		}
	}
	if ok && s.big == nil && exp <= 0 && -exp <= scaleMax {
		if shift := -exp - s.scale; shift > 0 {
			if ok = s.rescale(shift); ok {
				s.scale += shift
			}
		} else if shift < 0 {
			hi, lo := bits.Mul64(uint64(max(coef, -coef)), uint64(smallPow10(-shift)))
			if ok = hi == 0 && lo <= math.MaxInt64; ok {
				if coef < 0 {
					coef = -int64(lo)
				} else {
					coef = int64(lo)
				}
			}
		}
		if ok {
			was := s.sum
			if s.sum.addProduct(coef, w) == nil {
				return nil
			}
			s.sum = was
		}
	}
	return s.addBig(b, w)
}

// rescale multiplies the sum by 10 to the n, if it fits.
func (s *numSum) rescale(n int) bool {
	x, fits := s.sum.small()
	if !fits {
		return false
	}
	s.sum = wide{}
	return s.sum.addProduct(x, smallPow10(n)) == nil
}

func (s *numSum) addBig(b []byte, w int64) error {
	value := row.Value{Type: row.Of(row.Numeric), B: b}
	switch text := value.String(); text {
	case "NaN":
		s.nan += w
		return nil
	case "Infinity":
		s.pos += w
		return nil
	case "-Infinity":
		s.neg += w
		return nil
	}
	coef, exp, err := row.NumericBig(b)
	if err != nil {
		return err
	}
	if s.big == nil {
		s.big = s.sum.big()
		s.sum = wide{}
	}
	if exp > 0 {
		coef.Mul(coef, pow10(exp))
		exp = 0
	}
	if shift := -exp - s.scale; shift > 0 {
		s.big.Mul(s.big, pow10(shift))
		s.scale += shift
	} else if shift < 0 {
		coef.Mul(coef, pow10(-shift))
	}
	s.big.Add(s.big, coef.Mul(coef, big.NewInt(w)))
	return nil
}

// append appends the sum as a numeric.
func (s *numSum) append(dst []byte) ([]byte, error) {
	switch {
	case s.nan > 0 || s.pos > 0 && s.neg > 0:
		return appendParsed(dst, "NaN")
	case s.pos > 0:
		return appendParsed(dst, "Infinity")
	case s.neg > 0:
		return appendParsed(dst, "-Infinity")
	case s.big != nil:
		return row.AppendNumericBig(dst, s.big, -s.scale)
	}
	if x, ok := s.sum.small(); ok {
		return row.AppendNumericScaled(dst, x, -s.scale)
	}
	return row.AppendNumericBig(dst, s.sum.big(), -s.scale)
}

func appendParsed(dst []byte, text string) ([]byte, error) {
	v, err := row.Parse(row.Of(row.Numeric), []byte(text))
	return append(dst, v.B...), err
}

// floatScale: every finite float64 is a multiple of 2 to the -1074.
const floatScale = 1074

// floatSum is a sum of floats: sum times 2 to the -1074.
type floatSum struct {
	sum *big.Int
	specials
}

// floatScratch is memory for additions.
type floatScratch struct{ x, w big.Int }

// add adds the float with ordered bits x (row.FromFloat), w times.
func (s *floatSum) add(x, w int64, scratch *floatScratch) {
	if s.sum == nil {
		s.sum = new(big.Int)
	}
	const posInf = 0x7ff0000000000000
	switch {
	case x > posInf:
		s.nan += w
		return
	case x == posInf:
		s.pos += w
		return
	case x == -posInf-1:
		s.neg += w
		return
	}
	u := uint64(x)
	if x < 0 {
		u = ^u
	}
	exp, mant := int(u>>52), u&(1<<52-1)
	if exp > 0 {
		mant |= 1 << 52
		exp--
	}
	scratch.x.SetUint64(mant)
	scratch.x.Lsh(&scratch.x, uint(exp))
	if w != 1 && w != -1 {
		scratch.w.SetInt64(max(w, -w))
		scratch.x.Mul(&scratch.x, &scratch.w)
	}
	if (x < 0) != (w < 0) {
		s.sum.Sub(s.sum, &scratch.x)
	} else {
		s.sum.Add(s.sum, &scratch.x)
	}
}

// result returns the sum divided by n as ordered bits of a float8 or a float4,
// rounded once, to nearest, ties to even.
func (s *floatSum) result(n int64, single bool) (int64, *row.Error) {
	switch {
	case s.nan > 0 || s.pos > 0 && s.neg > 0:
		return row.FromFloat(math.NaN()), nil //arch:allow float: a constant, as ordered bits
	case s.pos > 0:
		return row.FromFloat(math.Inf(1)), nil //arch:allow float: a constant, as ordered bits
	case s.neg > 0:
		return row.FromFloat(math.Inf(-1)), nil //arch:allow float: a constant, as ordered bits
	case s.sum == nil:
		return 0, nil
	}
	if n == 1 {
		return s.rounded(single)
	}
	den := new(big.Int).Lsh(big.NewInt(n), floatScale)
	q := new(big.Rat).SetFrac(s.sum, den)
	f, _ := q.Float64()
	if single {
		g, _ := q.Float32()
		f = float64(g) //arch:allow float: exact
	}
	if math.IsInf(f, 0) { //arch:allow float: overflow of the conversion
		return 0, row.Errorf(row.CodeOutOfRange, "value out of range: overflow")
	}
	return row.FromFloat(f), nil //arch:allow float: as ordered bits
}

// rounded is the sum itself as a float.
func (s *floatSum) rounded(single bool) (int64, *row.Error) {
	var x big.Float
	x.SetInt(s.sum) // exact: of as many bits as it needs
	x.SetMantExp(&x, -floatScale)
	f, _ := x.Float64()
	if single {
		g, _ := x.Float32()
		f = float64(g) //arch:allow float: exact
	}
	if math.IsInf(f, 0) { //arch:allow float: overflow of the conversion
		return 0, row.Errorf(row.CodeOutOfRange, "value out of range: overflow")
	}
	return row.FromFloat(f), nil //arch:allow float: as ordered bits
}

// Stored forms of sums, within a group's record (table.go).

func appendVarint(dst []byte, x int64) []byte { return binary.AppendVarint(dst, x) }

func appendWide(dst []byte, a wide) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(a.hi))
	return binary.LittleEndian.AppendUint64(dst, a.lo)
}

func appendBig(dst []byte, x *big.Int) []byte {
	if x == nil {
		return append(dst, 0)
	}
	sign := byte(1)
	if x.Sign() < 0 {
		sign = 2
	}
	b := x.Bytes()
	dst = append(dst, sign)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendSpecials(dst []byte, s specials) []byte {
	dst = binary.AppendVarint(dst, s.nan)
	dst = binary.AppendVarint(dst, s.pos)
	return binary.AppendVarint(dst, s.neg)
}

// A reader takes a record apart; bad tells that it was cut short.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) varint() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, 16)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) wide() wide {
	b := r.bytes(16)
	return wide{int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint64(b[8:])}
}

func (r *reader) big() *big.Int {
	sign := r.bytes(1)[0]
	if sign == 0 {
		return nil
	}
	n, k := binary.Uvarint(r.b)
	if k <= 0 || n > uint64(len(r.b)-k) {
		r.bad = true
		return nil
	}
	r.b = r.b[k:]
	x := new(big.Int).SetBytes(r.bytes(int(n)))
	if sign == 2 {
		x.Neg(x)
	}
	return x
}

func (r *reader) specials() specials { return specials{r.varint(), r.varint(), r.varint()} }
