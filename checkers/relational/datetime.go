package relational

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/sql/sqlerr"
)

const (
	second = int64(1_000_000) // in microseconds
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

func micros(t time.Time) int64 { return t.Unix()*second + int64(t.Nanosecond())/1000 }

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

func formatDate(days int64) string {
	t := time.Unix(days*86400, 0).UTC()
	if t.Year() <= 0 {
		return fmt.Sprintf("%04d-%02d-%02d BC", 1-t.Year(), t.Month(), t.Day())
	}
	return fmt.Sprintf("%04d-%02d-%02d", t.Year(), t.Month(), t.Day())
}

func formatTimestamp(us int64) string {
	t := timeOf(us)
	s := fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second())
	if f := t.Nanosecond() / 1000; f != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
	}
	return s
}

var timestampRE = regexp.MustCompile(`^(\d{4,6})-(\d{1,2})-(\d{1,2})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d*)?)?)?\s*(Z|z|UTC|[+-]\d{1,2}(?::?\d{2})?)?$`)

// parseTimestamp reads ISO 8601's form. The zone counts for timestamptz alone.
func parseTimestamp(s string, k Kind) Value {
	m := timestampRE.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return fail(sqlerr.InvalidDatetime, "invalid input syntax for type %s: %q", k, s)
	}
	n := func(i int) int { x, _ := strconv.Atoi(m[i]); return x }
	y, mo, d, h, mi, sec := n(1), n(2), n(3), n(4), n(5), n(6)
	if mo < 1 || mo > 12 || d < 1 || d > time.Date(y, time.Month(mo)+1, 0, 0, 0, 0, 0, time.UTC).Day() || h > 24 || mi > 59 || sec > 60 || y == 0 || h == 24 && (mi > 0 || sec > 0) {
		return fail(sqlerr.DatetimeOverflow, "date/time field value out of range: %q", s)
	}
	us := micros(time.Date(y, time.Month(mo), d, h, mi, sec, 0, time.UTC))
	if len(m[7]) > 1 {
		f, _ := strconv.ParseFloat("0"+m[7], 64)
		us += int64(f*1e6 + 0.5)
	}
	if k == Date {
		return Value{k, floorDiv(micros(time.Date(y, time.Month(mo), d, 0, 0, 0, 0, time.UTC)), day)}
	}
	if z := m[8]; k == Timestamptz && len(z) > 1 && (z[0] == '+' || z[0] == '-') {
		sign := int64(1)
		if z[0] == '-' {
			sign = -1
		}
		digits := strings.ReplaceAll(z[1:], ":", "")
		hh, mm := digits, "0"
		if len(digits) > 2 {
			hh, mm = digits[:len(digits)-2], digits[len(digits)-2:]
		}
		a, _ := strconv.ParseInt(hh, 10, 64)
		b, _ := strconv.ParseInt(mm, 10, 64)
		us -= sign * (a*hour + b*minute)
	}
	return Value{k, us}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// compareSpans takes a month for 30 days and a day for 24 hours.
func compareSpans(a, b span) int { return spanBig(a).Cmp(spanBig(b)) }

func spanBig(s span) *big.Int {
	out := new(big.Int).Mul(big.NewInt(s.months*30+s.days), big.NewInt(day))
	return out.Add(out, big.NewInt(s.micros))
}

func formatSpan(s span) string {
	var parts []string
	put := func(n int64, unit string) {
		if n == 0 {
			return
		}
		plus := ""
		if n > 0 && len(parts) > 0 && strings.HasPrefix(parts[len(parts)-1], "-") {
			plus = "+"
		}
		if n != 1 {
			unit += "s"
		}
		parts = append(parts, fmt.Sprintf("%s%d %s", plus, n, unit))
	}
	put(s.months/12, "year")
	put(s.months%12, "mon")
	put(s.days, "day")
	if s.micros != 0 || len(parts) == 0 {
		sign, us := "", s.micros
		if us < 0 {
			sign, us = "-", -us
		} else if len(parts) > 0 && strings.HasPrefix(parts[len(parts)-1], "-") {
			sign = "+"
		}
		t := fmt.Sprintf("%s%02d:%02d:%02d", sign, us/hour, us%hour/minute, us%minute/second)
		if f := us % second; f != 0 {
			t += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
		}
		parts = append(parts, t)
	}
	return strings.Join(parts, " ")
}

var (
	spanUnitRE  = regexp.MustCompile(`^([+-]?\d+(?:\.\d+)?|[+-]?\.\d+)\s*([a-zA-Z]+)\s*`)
	spanClockRE = regexp.MustCompile(`^([+-]?)(\d+):(\d{2})(?::(\d{2})(\.\d+)?)?\s*`)
	spanBareRE  = regexp.MustCompile(`^([+-]?\d+(?:\.\d+)?)\s*$`)
)

// parseSpan reads "1 year 2 days 03:04:05" and a bare number of seconds.
func parseSpan(s, fields string) Value {
	bad := func() Value { return fail(sqlerr.InvalidDatetime, "invalid input syntax for type interval: %q", s) }
	rest := strings.TrimSpace(s)
	if m := spanBareRE.FindStringSubmatch(rest); m != nil {
		unit := "second"
		if fields != "" {
			words := strings.Fields(strings.ToLower(fields))
			unit = words[len(words)-1]
		}
		rest += " " + unit
	}
	var out span
	if rest == "" {
		return bad()
	}
	for rest != "" {
		if m := spanClockRE.FindStringSubmatch(rest); m != nil {
			h, _ := strconv.ParseInt(m[2], 10, 64)
			mi, _ := strconv.ParseInt(m[3], 10, 64)
			f, _ := strconv.ParseFloat("0"+m[4]+m[5], 64)
			us := h*hour + mi*minute + int64(f*1e6+0.5)
			if m[1] == "-" {
				us = -us
			}
			out.micros += us
			rest = rest[len(m[0]):]
			continue
		}
		m := spanUnitRE.FindStringSubmatch(rest)
		if m == nil {
			return bad()
		}
		rest = rest[len(m[0]):]
		n, _, err := apd.NewFromString(m[1])
		if err != nil {
			return bad()
		}
		months, days, us := spanUnit(strings.ToLower(m[2]))
		if months == 0 && days == 0 && us == 0 {
			return bad()
		}
		addScaled(&out, span{months, days, us}, n)
	}
	return Value{Interval, out}
}

func spanUnit(u string) (months, days, us int64) {
	switch strings.TrimSuffix(u, "s") {
	case "year", "yr", "y":
		return 12, 0, 0
	case "month", "mon":
		return 1, 0, 0
	case "week", "w":
		return 0, 7, 0
	case "day", "d":
		return 0, 1, 0
	case "hour", "hr", "h":
		return 0, 0, hour
	case "minute", "min", "m":
		return 0, 0, minute
	case "second", "sec", "":
		return 0, 0, second
	case "millisecond", "msec":
		return 0, 0, 1000
	case "microsecond", "usec":
		return 0, 0, 1
	}
	return 0, 0, 0
}

// addScaled adds n times one unit; a fraction of a month goes on as days of 30,
// one of a day as microseconds.
func addScaled(out *span, unit span, n *apd.Decimal) {
	r, ok := new(big.Rat).SetString(n.Text('f'))
	if !ok {
		panic("not a number: " + n.String())
	}
	whole := func(r *big.Rat) (int64, *big.Rat) {
		q := new(big.Int).Quo(r.Num(), r.Denom())
		return q.Int64(), new(big.Rat).Sub(r, new(big.Rat).SetInt(q))
	}
	times := func(x int64) *big.Rat { return new(big.Rat).Mul(r, big.NewRat(x, 1)) }
	m, rest := whole(times(unit.months))
	d, rest2 := whole(new(big.Rat).Add(times(unit.days), rest.Mul(rest, big.NewRat(30, 1))))
	us := new(big.Rat).Add(times(unit.micros), rest2.Mul(rest2, big.NewRat(day, 1)))
	out.months, out.days, out.micros = out.months+m, out.days+d, out.micros+roundEven(us)
}

func roundEven(r *big.Rat) int64 {
	i, _ := new(big.Int).SetString(r.FloatString(0), 10) // half away from zero
	diff := new(big.Rat).Sub(r, new(big.Rat).SetInt(i))
	if diff.Abs(diff).Cmp(big.NewRat(1, 2)) == 0 && i.Bit(0) == 1 {
		i.Sub(i, big.NewInt(int64(r.Sign())))
	}
	return i.Int64()
}

// addSpan moves a time: months first, the day clipped to the month's last; then
// days; then the rest.
func addSpan(us int64, s span, sign int64) int64 {
	t := timeOf(us)
	if s.months != 0 {
		first := time.Date(t.Year(), t.Month()+time.Month(sign*s.months), 1, 0, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		clock := us - micros(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC))
		us = micros(first) + int64(min(t.Day(), last)-1)*day + clock
	}
	return us + sign*(s.days*day+s.micros)
}

// dateArithmetic applies + - * / where one operand at least is a time or an
// interval. ok is false where PostgreSQL has no such operator.
func dateArithmetic(op string, a, b Value) (v Value, ok bool) {
	if op == "+" && (a.K == Interval || numberRank(a.K) > 0) && timeRank(b.K) > 0 || op == "*" && b.K == Interval {
		a, b = b, a
	}
	sign := int64(1)
	if op == "-" {
		sign = -1
	}
	plus := op == "+" || op == "-"
	switch {
	case a.K == Date && (b.K == Int4 || b.K == Int2) && plus:
		return strict(Date, a, b, func() any { return a.V.(int64) + sign*b.V.(int64) }), true
	case a.K == Date && b.K == Date && op == "-":
		return strict(Int4, a, b, func() any { return a.V.(int64) - b.V.(int64) }), true
	case timeRank(a.K) > 0 && b.K == Interval && plus:
		k := a.K
		if k == Date {
			a, k = cast(a, Timestamp), Timestamp
		}
		return strict(k, a, b, func() any { return addSpan(a.V.(int64), b.V.(span), sign) }), true
	case timeRank(a.K) > 0 && timeRank(b.K) > 0 && op == "-":
		k := unify(a.K, b.K)
		a, b = cast(a, k), cast(b, k)
		return strict(Interval, a, b, func() any {
			us := a.V.(int64) - b.V.(int64)
			return span{0, us / day, us % day}
		}), true
	case a.K == Interval && b.K == Interval && plus:
		return strict(Interval, a, b, func() any {
			x, y := a.V.(span), b.V.(span)
			return span{x.months + sign*y.months, x.days + sign*y.days, x.micros + sign*y.micros}
		}), true
	case a.K == Interval && numberRank(b.K) > 0 && (op == "*" || op == "/"):
		b = cast(b, Float8)
		return strict(Interval, a, b, func() any {
			f := new(big.Rat).SetFloat64(b.V.(float64))
			if op == "/" {
				if f.Sign() == 0 {
					fail(sqlerr.DivisionByZero, "division by zero")
				}
				f.Inv(f)
			}
			var out span
			n, _, _ := apd.NewFromString(f.FloatString(30))
			addScaled(&out, a.V.(span), n)
			return out
		}), true
	}
	return Value{}, false
}

// strict is NULL if an operand is.
func strict(k Kind, a, b Value, f func() any) Value {
	if a.null() || b.null() {
		return null(k)
	}
	return Value{k, f()}
}

// truncate is date_trunc.
func truncate(field string, us int64) int64 {
	t := timeOf(us)
	y, m := t.Year(), t.Month()
	date := func(y int, m time.Month, d int) int64 { return micros(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)) }
	switch field {
	case "microseconds":
		return us
	case "milliseconds":
		return floorDiv(us, 1000) * 1000
	case "second":
		return floorDiv(us, second) * second
	case "minute":
		return floorDiv(us, minute) * minute
	case "hour":
		return floorDiv(us, hour) * hour
	case "day":
		return floorDiv(us, day) * day
	case "week":
		d := floorDiv(us, day)
		return (d - (int64(t.Weekday())+6)%7) * day
	case "month":
		return date(y, m, 1)
	case "quarter":
		return date(y, (m-1)/3*3+1, 1)
	case "year":
		return date(y, 1, 1)
	}
	fail(sqlerr.InvalidParameter, "unit %q not recognized", field)
	return 0
}

// extract is EXTRACT of a time: a numeric.
func extract(field string, v Value) Value {
	if v.K == Interval {
		return extractSpan(field, v.V.(span))
	}
	us := cast(v, Timestamp).V.(int64)
	t := timeOf(us)
	clock := us - floorDiv(us, day)*day
	whole := func(n int) Value { return Value{Numeric, apd.New(int64(n), 0)} }
	if v.K == Date {
		switch field {
		case "hour", "minute", "second", "milliseconds", "microseconds":
			return fail(sqlerr.FeatureNotSupported, "unit %q not supported for type date", field)
		case "epoch":
			return Value{Numeric, apd.New(us/second, 0)}
		}
	}
	switch field {
	case "year":
		return whole(t.Year())
	case "quarter":
		return whole((int(t.Month()) + 2) / 3)
	case "month":
		return whole(int(t.Month()))
	case "week":
		_, w := t.ISOWeek()
		return whole(w)
	case "isoyear":
		y, _ := t.ISOWeek()
		return whole(y)
	case "day":
		return whole(t.Day())
	case "dow":
		return whole(int(t.Weekday()))
	case "isodow":
		return whole((int(t.Weekday())+6)%7 + 1)
	case "doy":
		return whole(t.YearDay())
	case "hour":
		return whole(t.Hour())
	case "minute":
		return whole(t.Minute())
	case "second":
		return Value{Numeric, apd.New(clock%minute, -6)}
	case "milliseconds":
		return Value{Numeric, apd.New(clock%minute, -3)}
	case "microseconds":
		return Value{Numeric, apd.New(clock%minute, 0)}
	case "epoch":
		return Value{Numeric, apd.New(us, -6)}
	}
	return fail(sqlerr.InvalidParameter, "unit %q not recognized", field)
}

func extractSpan(field string, s span) Value {
	n := func(x int64, exp int32) Value { return Value{Numeric, apd.New(x, exp)} }
	switch field {
	case "year":
		return n(s.months/12, 0)
	case "month":
		return n(s.months%12, 0)
	case "day":
		return n(s.days, 0)
	case "hour":
		return n(s.micros/hour, 0)
	case "minute":
		return n(s.micros%hour/minute, 0)
	case "second":
		return n(s.micros%minute, -6)
	case "epoch": // a year has 365.25 days
		return n((s.months/12*31_557_600+s.months%12*2_592_000)*second+s.days*day+s.micros, -6)
	}
	return fail(sqlerr.InvalidParameter, "unit %q not recognized", field)
}
