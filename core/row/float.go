package row

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// Floats are kept as ordered bits: the IEEE bits, with all but the sign
// inverted in negative numbers, so that integers order and compare them as
// PostgreSQL does. What computes with floats turns them into float64 for one
// operation at a time and nothing fuses two (the Go specification allows x*y+z
// to be fused; an explicit conversion between them prevents it).

const (
	nanBits    = math.MaxInt64 // greatest
	floatWhole = 0x7fffffffffffffff
)

// FromFloat returns the ordered bits of f; there is one NaN and one zero.
func FromFloat(f float64) int64 { //arch:allow float: the one place where floats become ordered bits
	if f != f { //arch:allow float: NaN is the value that differs from itself
		return nanBits
	}
	if f == 0 { //arch:allow float: -0 is 0
		return 0
	}
	b := int64(math.Float64bits(f)) //arch:allow float: the one place where floats become ordered bits
	if b < 0 {
		b ^= floatWhole
	}
	return b
}

// ToFloat is the inverse of FromFloat.
func ToFloat(x int64) float64 { //arch:allow float: the one place where ordered bits become floats
	if x == nanBits {
		return math.NaN() //arch:allow float: the one place where ordered bits become floats
	}
	if x < 0 {
		x ^= floatWhole
	}
	return math.Float64frombits(uint64(x)) //arch:allow float: the one place where ordered bits become floats
}

// RoundFloat4 gives a float8 the precision of a float4. ok is false if it is
// too large for one.
func RoundFloat4(x int64) (y int64, ok bool) {
	f := ToFloat(x)                            //arch:allow float: rounding to single precision is exact in IEEE terms
	g := float64(float32(f))                   //arch:allow float: rounding to single precision is exact in IEEE terms
	if math.IsInf(g, 0) && !math.IsInf(f, 0) { //arch:allow float: overflow of the conversion
		return 0, false
	}
	return FromFloat(g), true //arch:allow float: rounding to single precision is exact in IEEE terms
}

func parseFloat(text []byte, bitSize int) (int64, error) {
	s := strings.ToLower(string(bytes.TrimSpace(text)))
	if strings.ContainsAny(s, "_xp") {
		return 0, errorf(CodeInvalidText, "invalid input syntax for type double precision: %q", text)
	}
	f, err := strconv.ParseFloat(s, bitSize)
	if err != nil {
		if math.IsInf(f, 0) { //arch:allow float: strconv's sign of overflow
			return 0, errorf(CodeOutOfRange, "%q is out of range for type double precision", text)
		}
		return 0, errorf(CodeInvalidText, "invalid input syntax for type double precision: %q", text)
	}
	return FromFloat(f), nil //arch:allow float: text to bits
}

// appendFloat writes the shortest text that reads back as the same value, in
// PostgreSQL's form.
func appendFloat(dst []byte, x int64, bitSize int) []byte {
	f := ToFloat(x) //arch:allow float: bits to text
	switch {
	case x == nanBits:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1): //arch:allow float: bits to text
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1): //arch:allow float: bits to text
		return append(dst, "-Infinity"...)
	}
	var room [32]byte
	e := strconv.AppendFloat(room[:0], f, 'e', -1, bitSize) //arch:allow float: bits to text
	exp, _ := strconv.Atoi(string(e[bytes.IndexByte(e, 'e')+1:]))
	most := 15
	if bitSize == 32 {
		most = 6
	}
	if exp < -4 || exp >= most {
		return append(dst, e...)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bitSize) //arch:allow float: bits to text
}

// canonicalFloat reports whether x is the ordered bits of a float: not a second
// NaN or zero.
func canonicalFloat(x int64) bool {
	const posInf = 0x7ff0000000000000
	return x == nanBits || x <= posInf && x >= -posInf-1 && x != -1
}

// IEEE bits, as they stand on wires, from and to ordered bits.

func float8Bits(u uint64) int64 {
	return FromFloat(math.Float64frombits(u)) //arch:allow float: wire bits to ordered bits
}

func float4Bits(u uint32) int64 {
	return FromFloat(float64(math.Float32frombits(u))) //arch:allow float: wire bits to ordered bits
}

func toFloat8Bits(x int64) uint64 {
	return math.Float64bits(ToFloat(x)) //arch:allow float: ordered bits to wire bits
}

func toFloat4Bits(x int64) uint32 {
	return math.Float32bits(float32(ToFloat(x))) //arch:allow float: ordered bits to wire bits
}
