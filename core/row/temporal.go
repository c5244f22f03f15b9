package row

import (
	"bytes"
	"math"
	"strconv"
)

const (
	dayMicros = 24 * 3600 * 1e6

	// Infinity and NegInfinity of dates and timestamps.
	Infinity    = math.MaxInt64
	NegInfinity = math.MinInt64

	// PostgreSQL's ranges: dates from 4713 BC to 5874897 AD, timestamps to
	// 294276 AD, in days since 1970.
	dateMin      = -2440588
	dateMax      = 2145042905 // 5874897-12-31 is day 2145042905 of this era
	timestampEnd = 106751979  // 294277-01-01
)

// inTimeRange reports whether x is a date or a timestamp.
func inTimeRange(t Type, x int64) bool {
	switch {
	case x == Infinity || x == NegInfinity:
		return true
	case t.Kind == Date:
		return x >= dateMin && x <= dateMax
	}
	return x >= dateMin*int64(dayMicros) && x < timestampEnd*int64(dayMicros)
}

// CheckTime refuses what is outside of the range of a date or a timestamp.
func CheckTime(t Type, x int64) *Error {
	if !inTimeRange(t, x) {
		return errorf(CodeDatetimeRange, "%s out of range", t.Kind)
	}
	return nil
}

// CivilDays returns the days since 1970-01-01 of a day of the proleptic
// Gregorian calendar; year 0 is 1 BC. Months may exceed 1 to 12. (The era
// arithmetic is of H. Hinnant, "chrono-compatible low-level date algorithms".)
func CivilDays(year, month, day int64) int64 {
	year += floorDiv(month-1, 12)
	month = floorMod(month-1, 12) + 1
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := (153*floorMod(month+9, 12)+2)/5 + day - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// CivilDate is the inverse of CivilDays.
func CivilDate(days int64) (year, month, day int64) {
	days += 719468
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = floorMod(mp+2, 12) + 1
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// FloorDiv divides and rounds towards minus infinity.
func FloorDiv(a, b int64) int64 { return floorDiv(a, b) }

func appendPadded(dst []byte, x int64, width int) []byte {
	var room [20]byte
	s := strconv.AppendInt(room[:0], x, 10)
	for range width - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

// appendDay writes a date without its era, and reports whether it is BC.
func appendDay(dst []byte, days int64) ([]byte, bool) {
	y, m, d := CivilDate(days)
	bc := y <= 0
	if bc {
		y = 1 - y
	}
	dst = append(appendPadded(dst, y, 4), '-')
	dst = append(appendPadded(dst, m, 2), '-')
	return appendPadded(dst, d, 2), bc
}

func appendClock(dst []byte, micros int64) []byte {
	dst = append(appendPadded(dst, micros/3600e6, 2), ':')
	dst = append(appendPadded(dst, micros/60e6%60, 2), ':')
	dst = appendPadded(dst, micros/1e6%60, 2)
	if frac := micros % 1e6; frac != 0 {
		dst = appendPadded(append(dst, '.'), frac, 6)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

func appendTemporal(dst []byte, t Type, x int64) []byte {
	if t.Kind == Time {
		return appendClock(dst, x)
	}
	switch x {
	case Infinity:
		return append(dst, "infinity"...)
	case NegInfinity:
		return append(dst, "-infinity"...)
	}
	var bc bool
	if t.Kind == Date {
		dst, bc = appendDay(dst, x)
	} else {
		dst, bc = appendDay(dst, floorDiv(x, dayMicros))
		dst = appendClock(append(dst, ' '), floorMod(x, dayMicros))
		if t.Kind == Timestamptz {
			dst = append(dst, "+00"...)
		}
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// A scanner reads text from left to right.
type scanner struct {
	s []byte
	i int
}

func (p *scanner) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *scanner) accept(c byte) bool {
	if p.peek() == c && p.i < len(p.s) {
		p.i++
		return true
	}
	return false
}

func (p *scanner) spaces() {
	for p.peek() == ' ' {
		p.i++
	}
}

// digits reads least to most digits.
func (p *scanner) digits(least, most int) (x int64, ok bool) {
	from := p.i
	for p.i-from < most && p.peek() >= '0' && p.peek() <= '9' {
		x = x*10 + int64(p.s[p.i]-'0')
		p.i++
	}
	return x, p.i-from >= least
}

// fraction reads the digits after a point as micros, rounding half up.
func (p *scanner) fraction() (micros int64, ok bool) {
	from := p.i
	round := int64(0)
	for n := 0; p.peek() >= '0' && p.peek() <= '9'; n++ {
		d := int64(p.s[p.i] - '0')
		switch {
		case n < 6:
			micros = micros*10 + d
		case n == 6 && d >= 5:
			round = 1
		}
		p.i++
	}
	for n := p.i - from; n < 6; n++ {
		micros *= 10
	}
	return micros + round, p.i > from
}

// parseDay reads year-month-day. ok is false if it is none; ranges are
// checked by the caller.
func (p *scanner) day() (y, m, d int64, ok bool) {
	if y, ok = p.digits(4, 7); !ok || !p.accept('-') {
		return 0, 0, 0, false
	}
	if m, ok = p.digits(1, 2); !ok || !p.accept('-') {
		return 0, 0, 0, false
	}
	d, ok = p.digits(1, 2)
	return y, m, d, ok
}

// clock reads hours:minutes[:seconds[.fraction]].
func (p *scanner) clock() (micros int64, ok, inRange bool) {
	h, ok := p.digits(1, 2)
	if !ok || !p.accept(':') {
		return 0, false, false
	}
	m, ok := p.digits(2, 2)
	if !ok {
		return 0, false, false
	}
	var s, frac int64
	if p.accept(':') {
		if s, ok = p.digits(2, 2); !ok {
			return 0, false, false
		}
		if p.accept('.') {
			if frac, ok = p.fraction(); !ok {
				return 0, false, false
			}
		}
	}
	micros = ((h*60+m)*60+s)*1e6 + frac
	return micros, true, h <= 24 && m < 60 && s <= 60 && micros <= dayMicros
}

// zone reads an offset from UTC in micros.
func (p *scanner) zone() (micros int64, ok, inRange bool) {
	sign := int64(1)
	switch {
	case p.accept('Z') || p.accept('z'):
		return 0, true, true
	case bytes.EqualFold(p.s[p.i:min(p.i+3, len(p.s))], []byte("utc")):
		p.i += 3
		return 0, true, true
	case p.accept('-'):
		sign = -1
	case !p.accept('+'):
		return 0, false, false
	}
	h, ok := p.digits(1, 2)
	if !ok {
		return 0, false, false
	}
	var m, s int64
	colon := p.accept(':')
	if m, ok = p.digits(2, 2); !ok {
		if colon {
			return 0, false, false
		}
		m = 0
	} else if p.accept(':') {
		if s, ok = p.digits(2, 2); !ok {
			return 0, false, false
		}
	}
	return sign * ((h*60+m)*60 + s) * 1e6, true, h < 16 && m < 60 && s < 60
}

// parseTemporal reads what appendTemporal writes, ISO 8601, and PostgreSQL's
// infinity and epoch. Text that depends on the time of reading (now, today) is
// refused: it would not read the same twice.
func parseTemporal(t Type, text []byte) (int64, error) {
	s := bytes.TrimSpace(text)
	bad := func() (int64, error) {
		return 0, errorf(CodeInvalidDatetime, "invalid input syntax for type %s: %q", t, text)
	}
	tooFar := func() (int64, error) {
		return 0, errorf(CodeDatetimeRange, "date/time field value out of range: %q", text)
	}
	p := &scanner{s: s}
	if t.Kind == Time {
		x, ok, inRange := p.clock()
		if !ok || p.i < len(s) {
			return bad()
		}
		if !inRange {
			return tooFar()
		}
		return x, nil
	}
	switch string(bytes.ToLower(s[:min(len(s), 10)])) {
	case "infinity", "+infinity":
		return Infinity, nil
	case "-infinity":
		return NegInfinity, nil
	case "epoch":
		return 0, nil
	}
	y, m, d, ok := p.day()
	if !ok {
		return bad()
	}
	var clock, zone int64
	clockOK, zoneOK := true, true
	if p.accept('T') || p.peek() == ' ' {
		p.spaces()
		if c := p.peek(); c >= '0' && c <= '9' {
			if clock, ok, clockOK = p.clock(); !ok {
				return bad()
			}
			p.spaces()
			if c := p.peek(); c != 0 && c != 'B' && c != 'b' {
				if zone, ok, zoneOK = p.zone(); !ok {
					return bad()
				}
			}
		}
	}
	p.spaces()
	switch rest := s[p.i:]; {
	case bytes.EqualFold(rest, []byte("bc")):
		if y == 0 {
			return tooFar()
		}
		y = 1 - y
	case bytes.EqualFold(rest, []byte("ad")), len(rest) == 0:
		if y == 0 {
			return tooFar()
		}
	default:
		return bad()
	}
	days := CivilDays(y, m, d)
	if y2, m2, d2 := CivilDate(days); y2 != y || m2 != m || d2 != d || !clockOK || !zoneOK {
		return tooFar()
	}
	if t.Kind == Date {
		if !inTimeRange(t, days) {
			return tooFar()
		}
		return days, nil
	}
	if days < dateMin || days > timestampEnd {
		return tooFar()
	}
	x := days*dayMicros + clock
	if t.Kind == Timestamptz {
		x -= zone
	}
	if !inTimeRange(t, x) {
		return tooFar()
	}
	return x, nil
}
