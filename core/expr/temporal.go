package expr

import (
	"math"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/row"
)

const (
	secondMicros = int64(1_000_000)
	minuteMicros = 60 * secondMicros
	hourMicros   = 60 * minuteMicros
	dayMicros    = 24 * hourMicros
)

// infinite reports whether a date or a time is.
func infinite(x int64) bool { return x == row.Infinity || x == row.NegInfinity }

var intervalOverflow = row.Errorf(row.CodeDatetimeRange, "interval out of range")

// sum adds; ok is false if it does not fit.
func sum(x, y int64) (s int64, ok bool) {
	s = x + y
	return s, (x^s)&(y^s) >= 0
}

// shift moves a time by an interval: months first, with the day of the month
// clipped, then days, then the rest (timestamp_pl_interval).
func shift(t row.Type, us int64, v row.IntervalValue) (int64, *row.Error) {
	if infinite(us) {
		return us, nil
	}
	if v.Months != 0 {
		days := row.FloorDiv(us, dayMicros)
		clock := us - days*dayMicros
		y, m, d := row.CivilDate(days)
		first := row.CivilDays(y, m+int64(v.Months), 1)
		next := row.CivilDays(y, m+int64(v.Months)+1, 1)
		us = (first+min(d, next-first)-1)*dayMicros + clock
		if err := row.CheckTime(t, us); err != nil {
			return 0, err
		}
	}
	us, ok1 := sum(us, int64(v.Days)*dayMicros)
	us, ok2 := sum(us, v.Micros)
	if !ok1 || !ok2 {
		return 0, row.Errorf(row.CodeDatetimeRange, "timestamp out of range")
	}
	if err := row.CheckTime(t, us); err != nil {
		return 0, err
	}
	return us, nil
}

func negated(v row.IntervalValue) (row.IntervalValue, *row.Error) {
	if v.Months == math.MinInt32 || v.Days == math.MinInt32 || v.Micros == math.MinInt64 {
		return v, intervalOverflow
	}
	return row.IntervalValue{Months: -v.Months, Days: -v.Days, Micros: -v.Micros}, nil
}

// dayShift is date ± interval: a timestamp.
func dayShift(minus, swapped bool) kernel { return shifting(row.Timestamp, dayMicros, minus, swapped) }

// timeShift is time ± interval.
func timeShift(t row.Kind, minus, swapped bool) kernel { return shifting(t, 1, minus, swapped) }

// shifting moves a time of so many microseconds a unit; swapped, the interval is
// the first argument.
func shifting(t row.Kind, unit int64, minus, swapped bool) kernel {
	at, by := 0, 1
	if swapped {
		at, by = 1, 0
	}
	return ints(func(c *call, i int) (int64, *row.Error) {
		v := row.DecodeInterval(c.args[by].Bytes(i))
		if minus {
			var err *row.Error
			if v, err = negated(v); err != nil {
				return 0, err
			}
		}
		us := c.args[at].I[i]
		if !infinite(us) {
			us *= unit
		}
		return shift(row.Of(t), us, v)
	})
}

// dateShift is date ± integer.
func dateShift(minus bool) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		x, n := c.args[0].I[i], c.args[1].I[i]
		if infinite(x) {
			return x, nil
		}
		if minus {
			n = -n
		}
		if err := row.CheckTime(row.Of(row.Date), x+n); err != nil {
			return 0, err
		}
		return x + n, nil
	})
}

var dateDifference = ints(func(c *call, i int) (int64, *row.Error) {
	if infinite(c.args[0].I[i]) || infinite(c.args[1].I[i]) {
		return 0, row.Errorf(row.CodeDatetimeRange, "cannot subtract infinite dates")
	}
	return c.args[0].I[i] - c.args[1].I[i], nil
})

var timeDifference = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	x, y := c.args[0].I[i], c.args[1].I[i]
	if infinite(x) || infinite(y) {
		return dst, row.Errorf(row.CodeDatetimeRange, "cannot subtract infinite timestamps")
	}
	us := x - y
	return row.AppendInterval(dst, row.IntervalValue{Days: int32(us / dayMicros), Micros: us % dayMicros}), nil
})

func addIntervals(x, y row.IntervalValue) (row.IntervalValue, *row.Error) {
	m, d := int64(x.Months)+int64(y.Months), int64(x.Days)+int64(y.Days)
	us, ok := sum(x.Micros, y.Micros)
	if !ok || m != int64(int32(m)) || d != int64(int32(d)) {
		return x, intervalOverflow
	}
	return row.IntervalValue{Months: int32(m), Days: int32(d), Micros: us}, nil
}

func intervalSum(minus bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		x, y := row.DecodeInterval(c.args[0].Bytes(i)), row.DecodeInterval(c.args[1].Bytes(i))
		var err *row.Error
		if minus {
			y, err = negated(y)
		}
		if err == nil {
			x, err = addIntervals(x, y)
		}
		if err != nil {
			return dst, err
		}
		return row.AppendInterval(dst, x), nil
	})
}

var intervalNegate = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	v, err := negated(row.DecodeInterval(c.args[0].Bytes(i)))
	if err != nil {
		return dst, err
	}
	return row.AppendInterval(dst, v), nil
})

// intervalScale is interval times or divided by a float8: what is left of a
// month goes on as days of a 30th, of a day as time (interval_mul).
func intervalScale(divide, swapped bool) kernel {
	at, by := 0, 1
	if swapped {
		at, by = 1, 0
	}
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		v, f := row.DecodeInterval(c.args[at].Bytes(i)), c.args[by].I[i]
		if divide && f == 0 {
			return dst, divisionByZero
		}
		m, mr := timesFloat(int64(v.Months), f, divide)
		d, dr := timesFloat(int64(v.Days), f, divide)
		md, mdr := timesFloat(30, mr, false)
		us, usr := timesFloat(v.Micros, f, divide)
		du, dur := timesFloat(dayMicros, dr, false)
		mu, mur := timesFloat(dayMicros, mdr, false)
		rest, _ := floatOp('+', row.Float8, usr, dur)
		rest, _ = floatOp('+', row.Float8, rest, mur)
		if d += md; m != int64(int32(m)) || d != int64(int32(d)) {
			return dst, intervalOverflow
		}
		return row.AppendInterval(dst, row.IntervalValue{Months: int32(m), Days: int32(d), Micros: us + du + mu + roundBits(rest)}), nil
	})
}

// dateToTime and timeToDate cast.
var dateToTime = ints(func(c *call, i int) (int64, *row.Error) {
	x := c.args[0].I[i]
	if infinite(x) {
		return x, nil
	}
	if us, ok := product(x, dayMicros); ok && row.CheckTime(row.Of(row.Timestamp), us) == nil {
		return us, nil
	}
	return 0, row.Errorf(row.CodeDatetimeRange, "date out of range for timestamp")
})

var timeToDate = ints(func(c *call, i int) (int64, *row.Error) {
	x := c.args[0].I[i]
	if infinite(x) {
		return x, nil
	}
	return row.FloorDiv(x, dayMicros), nil
})

// truncateTime is date_trunc.
func truncateTime(c *call, i int) (int64, *row.Error) {
	us := c.args[1].I[i]
	unit := timeUnit(c.args[0].Bytes(i))
	if infinite(us) {
		return us, nil
	}
	days := row.FloorDiv(us, dayMicros)
	y, m, _ := row.CivilDate(days)
	switch unit {
	case "microseconds":
		return us, nil
	case "milliseconds":
		return row.FloorDiv(us, 1000) * 1000, nil
	case "second":
		return row.FloorDiv(us, secondMicros) * secondMicros, nil
	case "minute":
		return row.FloorDiv(us, minuteMicros) * minuteMicros, nil
	case "hour":
		return row.FloorDiv(us, hourMicros) * hourMicros, nil
	case "day":
		return days * dayMicros, nil
	case "week":
		return (days - (isoWeekday(days) - 1)) * dayMicros, nil
	case "month":
		return row.CivilDays(y, m, 1) * dayMicros, nil
	case "quarter":
		return row.CivilDays(y, (m-1)/3*3+1, 1) * dayMicros, nil
	case "year":
		return row.CivilDays(y, 1, 1) * dayMicros, nil
	}
	return 0, row.Errorf("22023", "unit %q not recognized", c.args[0].Bytes(i))
}

// isoWeekday is 1 for Monday to 7 for Sunday; 1970-01-01 was a Thursday.
func isoWeekday(days int64) int64 { return days + 3 - row.FloorDiv(days+3, 7)*7 + 1 }

// timeUnit is a unit's name in small letters and without a plural's s, but for
// those that PostgreSQL names so.
func timeUnit(b []byte) string {
	s := string(lowerASCII(nil, b))
	switch s {
	case "milliseconds", "millisecond", "ms", "msec", "msecs":
		return "milliseconds"
	case "microseconds", "microsecond", "us", "usec", "usecs":
		return "microseconds"
	case "years", "months", "days", "hours", "minutes", "seconds", "weeks", "quarters":
		return s[:len(s)-1]
	case "hr", "hrs", "h":
		return "hour"
	case "min", "mins", "m":
		return "minute"
	case "sec", "secs", "s":
		return "second"
	}
	return s
}

// binTime is date_bin: the begin of the stride, counted from an origin.
var binTime = ints(func(c *call, i int) (int64, *row.Error) {
	stride, err := fixedSpan(row.DecodeInterval(c.args[0].Bytes(i)))
	if err != nil {
		return 0, err
	}
	us, origin := c.args[1].I[i], c.args[2].I[i]
	if infinite(us) || infinite(origin) {
		return 0, row.Errorf(row.CodeDatetimeRange, "timestamps must be finite")
	}
	return origin + row.FloorDiv(us-origin, stride)*stride, nil
})

// fixedSpan is the length of an interval that has one: no months, positive.
func fixedSpan(v row.IntervalValue) (int64, *row.Error) {
	d, ok := product(int64(v.Days), dayMicros)
	us, ok2 := sum(d, v.Micros)
	if v.Months != 0 || !ok || !ok2 || us <= 0 {
		return 0, row.Errorf("22023", "the width must be positive, and without months")
	}
	return us, nil
}

// extractTime is EXTRACT of a date (in days) or a time.
func extractTime(unit string, us int64, isDate bool) (coef int64, exp int, err *row.Error) {
	if isDate {
		switch unit {
		case "hour", "minute", "second", "milliseconds", "microseconds":
			return 0, 0, row.Errorf(row.CodeNotSupported, "unit %q not supported for type date", unit)
		}
	}
	days := row.FloorDiv(us, dayMicros)
	clock := us - days*dayMicros
	y, m, d := row.CivilDate(days)
	isoYear, week := isoWeek(days)
	if y <= 0 {
		y--
	}
	switch unit {
	case "year":
		return y, 0, nil
	case "quarter":
		return (m + 2) / 3, 0, nil
	case "month":
		return m, 0, nil
	case "week":
		return week, 0, nil
	case "isoyear":
		return isoYear, 0, nil
	case "day":
		return d, 0, nil
	case "dow":
		return isoWeekday(days) % 7, 0, nil
	case "isodow":
		return isoWeekday(days), 0, nil
	case "doy":
		year, _, _ := row.CivilDate(days)
		return days - row.CivilDays(year, 1, 1) + 1, 0, nil
	case "hour":
		return clock / hourMicros, 0, nil
	case "minute":
		return clock % hourMicros / minuteMicros, 0, nil
	case "second":
		return clock % minuteMicros, -6, nil
	case "milliseconds":
		return clock % minuteMicros, -3, nil
	case "microseconds":
		return clock % minuteMicros, 0, nil
	case "epoch":
		return us, -6, nil
	}
	return 0, 0, row.Errorf("22023", "unit %q not recognized", unit)
}

// isoWeek is the ISO 8601 week of a day: that of its Thursday.
func isoWeek(days int64) (year, week int64) {
	thursday := days - isoWeekday(days) + 4
	year, _, _ = row.CivilDate(thursday)
	return year, (thursday-row.CivilDays(year, 1, 1))/7 + 1
}

func extractInterval(unit string, v row.IntervalValue) (coef int64, exp int, err *row.Error) {
	switch unit {
	case "year":
		return int64(v.Months) / 12, 0, nil
	case "quarter":
		return int64(v.Months)%12/3 + 1, 0, nil
	case "month":
		return int64(v.Months) % 12, 0, nil
	case "day":
		return int64(v.Days), 0, nil
	case "hour":
		return v.Micros / hourMicros, 0, nil
	case "minute":
		return v.Micros % hourMicros / minuteMicros, 0, nil
	case "second":
		return v.Micros % minuteMicros, -6, nil
	case "milliseconds":
		return v.Micros % minuteMicros, -3, nil
	case "microseconds":
		return v.Micros % minuteMicros, 0, nil
	case "epoch": // a year has 365.25 days, a month 30
		seconds := int64(v.Months)/12*31_557_600 + int64(v.Months)%12*2_592_000 + int64(v.Days)*86_400
		if us, ok := product(seconds, secondMicros); ok {
			if us, ok = sum(us, v.Micros); ok {
				return us, -6, nil
			}
		}
		return 0, 0, intervalOverflow
	}
	return 0, 0, row.Errorf("22023", "unit %q not recognized", unit)
}

// extractPart reads the arguments of extract.
func extractPart(c *call, i int) (coef int64, exp int, err *row.Error) {
	unit := timeUnit(c.args[0].Bytes(i))
	switch v := c.args[1]; v.Type.Kind {
	case row.Interval:
		return extractInterval(unit, row.DecodeInterval(v.Bytes(i)))
	case row.Date:
		if infinite(v.I[i]) {
			return 0, 0, isNull
		}
		return extractTime(unit, v.I[i]*dayMicros, true)
	default:
		if infinite(v.I[i]) {
			return 0, 0, isNull
		}
		return extractTime(unit, v.I[i], false)
	}
}

var extractNumeric = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	coef, exp, bad := extractPart(c, i)
	if bad != nil {
		return dst, bad
	}
	out, err := row.AppendNumericScaled(dst, coef, exp)
	return out, asError(err)
})

var extractFloat = ints(func(c *call, i int) (int64, *row.Error) {
	coef, exp, bad := extractPart(c, i)
	if bad != nil {
		return 0, bad
	}
	d := apd.New(coef, int32(exp))
	v, err := row.Parse(row.Of(row.Float8), []byte(d.String()))
	return v.I, asError(err)
})
