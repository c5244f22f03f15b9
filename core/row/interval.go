package row

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// An Interval is months, days and microseconds, none of which is a multiple of
// another: PostgreSQL's interval.
type IntervalValue struct {
	Months, Days int32
	Micros       int64
}

// intervalBytes: 12 bytes of its length in microseconds, with months of 30
// days and days of 24 hours, which is how PostgreSQL compares intervals; then
// months and days, which tell equally long ones apart. All big endian, sign
// inverted.
const intervalBytes = 20

// span returns the length in microseconds, as a number of 128 bits.
func (v IntervalValue) span() (hi, lo uint64) {
	days := int64(v.Months)*30 + int64(v.Days)
	neg := days < 0
	if neg {
		days = -days
	}
	hi, lo = bits.Mul64(uint64(days), uint64(dayMicros))
	if neg {
		hi, lo = negate128(hi, lo)
	}
	lo, carry := bits.Add64(lo, uint64(v.Micros), 0)
	hi, _ = bits.Add64(hi, uint64(v.Micros>>63), carry)
	return hi, lo
}

func negate128(hi, lo uint64) (uint64, uint64) {
	lo, borrow := bits.Sub64(0, lo, 0)
	hi, _ = bits.Sub64(0, hi, borrow)
	return hi, lo
}

// AppendInterval writes the canonical bytes.
func AppendInterval(dst []byte, v IntervalValue) []byte {
	hi, lo := v.span()
	dst = binary.BigEndian.AppendUint32(dst, uint32(hi)^1<<31)
	dst = binary.BigEndian.AppendUint64(dst, lo)
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Months)^1<<31)
	return binary.BigEndian.AppendUint32(dst, uint32(v.Days)^1<<31)
}

// DecodeInterval reads canonical bytes.
func DecodeInterval(b []byte) (v IntervalValue) {
	v.Months = int32(binary.BigEndian.Uint32(b[12:]) ^ 1<<31)
	v.Days = int32(binary.BigEndian.Uint32(b[16:]) ^ 1<<31)
	_, days := IntervalValue{Months: v.Months, Days: v.Days}.span()
	v.Micros = int64(binary.BigEndian.Uint64(b[4:]) - days)
	return v
}

// IntervalSpan is the part of canonical bytes that PostgreSQL compares.
func IntervalSpan(b []byte) []byte { return b[:12] }

func checkInterval(b []byte) error {
	if len(b) != intervalBytes || !bytes.Equal(AppendInterval(nil, DecodeInterval(b)), b) {
		return errorf(CodeInvalidPayload, "not an interval: %x", b)
	}
	return nil
}

// appendIntervalText writes PostgreSQL's style "postgres".
func appendIntervalText(dst []byte, v IntervalValue) []byte {
	at := len(dst)
	before := false // the field before was negative: a positive one gets a plus
	field := func(x int64, unit string) {
		if x == 0 {
			return
		}
		if len(dst) > at {
			dst = append(dst, ' ')
		}
		if before && x > 0 {
			dst = append(dst, '+')
		}
		before = x < 0
		dst = strconv.AppendInt(dst, x, 10)
		dst = append(append(dst, ' '), unit...)
		if x != 1 {
			dst = append(dst, 's')
		}
	}
	field(int64(v.Months)/12, "year")
	field(int64(v.Months)%12, "mon")
	field(int64(v.Days), "day")
	if v.Micros == 0 && len(dst) > at {
		return dst
	}
	if len(dst) > at {
		dst = append(dst, ' ')
	}
	u := uint64(v.Micros)
	switch {
	case v.Micros < 0:
		u = -u
		dst = append(dst, '-')
	case before:
		dst = append(dst, '+')
	}
	const hour = 3600e6
	dst = append(appendPadded(dst, int64(u/hour), 2), ':')
	rest := appendClock(nil, int64(u%hour))
	return append(dst, rest[3:]...)
}

// intervalUnits gives each unit in months, days or micros. Singular and plural
// forms and PostgreSQL's abbreviations.
func intervalUnit(name string) (months, days, micros int64, ok bool) {
	switch strings.TrimSuffix(name, "s") {
	case "year", "yr", "y":
		return 12, 0, 0, true
	case "month", "mon":
		return 1, 0, 0, true
	case "decade", "dec":
		return 120, 0, 0, true
	case "century", "centurie", "c":
		return 1200, 0, 0, true
	case "millennium", "millennia", "mil":
		return 12000, 0, 0, true
	case "week", "w":
		return 0, 7, 0, true
	case "day", "d":
		return 0, 1, 0, true
	case "hour", "hr", "h":
		return 0, 0, 3600e6, true
	case "minute", "min", "m":
		return 0, 0, 60e6, true
	case "second", "sec", "":
		return 0, 0, 1e6, true
	case "millisecond", "msec", "m.":
		return 0, 0, 1e3, true
	case "microsecond", "usec", "u":
		return 0, 0, 1, true
	}
	return 0, 0, 0, false
}

// An intervalSum adds fields with their overflow watched.
type intervalSum struct {
	months, days, micros int64
	overflow             bool
}

func (s *intervalSum) add(to *int64, x, unit, frac int64) {
	hi, lo := bits.Mul64(uint64(max(x, -x)), uint64(unit))
	if hi != 0 || lo > math.MaxInt64 || x == math.MinInt64 {
		s.overflow = true
		return
	}
	product := int64(lo)
	if x < 0 {
		product = -product
	}
	sum := *to + product
	if (sum > *to) != (product > 0) && product != 0 {
		s.overflow = true
	}
	*to = sum + frac
}

// quantity adds x units and the fraction frac (in millionths) of one.
func (s *intervalSum) quantity(x, frac int64, unit string) bool {
	m, d, u, ok := intervalUnit(unit)
	if !ok {
		return false
	}
	switch {
	case m > 1: // fractions of years are rounded to months, as PostgreSQL 15 does
		months := frac * m
		half := int64(5e5)
		if months < 0 {
			half = -half
		}
		s.add(&s.months, x, m, (months+half)/1e6)
	case m > 0:
		months := frac * m
		s.add(&s.months, x, m, months/1e6)
		s.add(&s.days, 0, 0, months%1e6*30/1e6)
		s.add(&s.micros, 0, 0, months%1e6*30%1e6*(dayMicros/1e6))
	case d > 0:
		days := frac * d
		s.add(&s.days, x, d, days/1e6)
		s.add(&s.micros, 0, 0, days%1e6*(dayMicros/1e6))
	default:
		s.add(&s.micros, x, u, 0)
		s.add(&s.micros, 0, 0, frac*(u/1e3)/1e3+frac*(u%1e3)/1e6)
	}
	return true
}

func (s *intervalSum) value(text []byte) (v IntervalValue, err error) {
	if s.overflow || s.months != int64(int32(s.months)) || s.days != int64(int32(s.days)) {
		return v, errorf(CodeDatetimeRange, "interval field value out of range: %q", text)
	}
	return IntervalValue{int32(s.months), int32(s.days), s.micros}, nil
}

// number reads a signed decimal; the fraction is in millionths.
func (p *scanner) number() (x, frac int64, ok bool) {
	neg := false
	if p.accept('-') {
		neg = true
	} else {
		p.accept('+')
	}
	from := p.i
	x, _ = p.digits(0, 18)
	whole := p.i > from
	if p.accept('.') {
		if frac, ok = p.fraction(); !ok {
			return 0, 0, false
		}
	} else if !whole {
		return 0, 0, false
	}
	if neg {
		x, frac = -x, -frac
	}
	return x, frac, true
}

// ParseInterval reads PostgreSQL's forms (1 day 02:03:04.5, 3 hours ago) and
// ISO 8601's durations (P1DT2H).
func ParseInterval(text []byte) (v IntervalValue, err error) {
	s := bytes.ToLower(bytes.TrimSpace(text))
	bad := errorf(CodeInvalidDatetime, "invalid input syntax for type interval: %q", text)
	if len(s) == 0 || len(s) > 255 {
		return v, bad
	}
	p := &scanner{s: s}
	var sum intervalSum
	if p.accept('p') {
		if !parseISODuration(p, &sum) {
			return v, bad
		}
		return sum.value(text)
	}
	p.accept('@')
	ago := false
	for p.spaces(); p.i < len(s); p.spaces() {
		if string(s[p.i:]) == "ago" {
			ago = true
			break
		}
		if micros, ok := p.signedClock(); ok {
			sum.add(&sum.micros, 0, 0, micros)
			continue
		}
		x, frac, ok := p.number()
		if !ok {
			return v, bad
		}
		p.spaces()
		from := p.i
		for c := p.peek(); c >= 'a' && c <= 'z'; c = p.peek() {
			p.i++
		}
		unit := string(s[from:p.i])
		if unit == "ago" {
			p.i, unit = from, ""
		}
		if unit == "ms" {
			unit = "msec"
		}
		if !sum.quantity(x, frac, unit) {
			return v, bad
		}
	}
	if ago {
		sum.months, sum.days, sum.micros = -sum.months, -sum.days, -sum.micros
	}
	return sum.value(text)
}

// hoursEnd is one more than the most whole hours of 64 bits of microseconds.
const hoursEnd = math.MaxInt64/3_600_000_000 + 1

// signedClock reads [-]hours:minutes[:seconds], any number of hours; it leaves
// the scanner where it was if there is none.
func (p *scanner) signedClock() (micros int64, ok bool) {
	from := p.i
	neg := p.accept('-')
	if !neg {
		p.accept('+')
	}
	h, ok := p.digits(1, 10)
	if !ok || h >= hoursEnd || !p.accept(':') {
		p.i = from
		return 0, false
	}
	m, ok := p.digits(2, 2)
	var s, frac int64
	if ok && p.accept(':') {
		if s, ok = p.digits(2, 2); ok && p.accept('.') {
			frac, ok = p.fraction()
		}
	}
	if !ok || m > 59 || s > 59 {
		p.i = from
		return 0, false
	}
	// Two's complement holds one more below 0 than above it.
	total := uint64((h*60+m)*60+s)*1e6 + uint64(frac)
	switch {
	case neg && total <= 1<<63:
		return int64(-total), true
	case !neg && total < 1<<63:
		return int64(total), true
	}
	p.i = from
	return 0, false
}

func parseISODuration(p *scanner, sum *intervalSum) bool {
	clock, any := false, false
	for p.i < len(p.s) {
		if !clock && p.accept('t') {
			clock = true
			continue
		}
		x, frac, ok := p.number()
		if !ok {
			return false
		}
		var unit string
		switch c := p.peek(); {
		case c == 'y' && !clock:
			unit = "year"
		case c == 'm' && !clock:
			unit = "month"
		case c == 'w' && !clock:
			unit = "week"
		case c == 'd' && !clock:
			unit = "day"
		case c == 'h' && clock:
			unit = "hour"
		case c == 'm' && clock:
			unit = "minute"
		case c == 's' && clock:
			unit = "second"
		default:
			return false
		}
		p.i++
		any = true
		if !sum.quantity(x, frac, unit) {
			return false
		}
	}
	return any
}
