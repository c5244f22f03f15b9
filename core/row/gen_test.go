package row

import (
	"math"

	"pgregory.net/rapid"
)

// allTypes is every type that a column can have.
func allTypes() (ts []Type) {
	for k := Bool; k < Array; k++ {
		ts = append(ts, Of(k), ArrayOf(k))
	}
	return ts
}

func drawType(t *rapid.T) Type { return rapid.SampledFrom(allTypes()).Draw(t, "type") }

// drawAppend appends a value, small ones more often than not so that values
// meet their equals.
func drawAppend(t *rapid.T, v *Vector) {
	if rapid.IntRange(0, 7).Draw(t, "null") == 0 {
		v.AppendNull()
		return
	}
	small := rapid.Bool().Draw(t, "small")
	integer := func(lo, hi int64) int64 {
		if small {
			return rapid.Int64Range(-3, 3).Draw(t, "x")
		}
		return rapid.Int64Range(lo, hi).Draw(t, "x")
	}
	switch v.Type.Kind {
	case Bool:
		v.AppendBool(rapid.Bool().Draw(t, "b"))
	case Int2:
		v.AppendInt(integer(math.MinInt16, math.MaxInt16))
	case Int4:
		v.AppendInt(integer(math.MinInt32, math.MaxInt32))
	case Int8:
		v.AppendInt(integer(math.MinInt64, math.MaxInt64))
	case Float4:
		v.AppendInt(FromFloat(float64(rapid.OneOf(rapid.Float32(), rapid.SampledFrom([]float32{0, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))})).Draw(t, "f"))))
	case Float8:
		v.AppendInt(FromFloat(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1)})).Draw(t, "f")))
	case Date:
		v.AppendInt(rapid.SampledFrom([]int64{integer(dateMin, dateMax), Infinity, NegInfinity}).Draw(t, "d"))
	case Time:
		v.AppendInt(rapid.Int64Range(0, dayMicros).Draw(t, "x"))
	case Timestamp, Timestamptz:
		v.AppendInt(rapid.SampledFrom([]int64{integer(dateMin*dayMicros, timestampEnd*dayMicros-1), Infinity, NegInfinity}).Draw(t, "d"))
	case Numeric:
		if small {
			v.Data, _ = AppendNumericScaled(v.Data, rapid.Int64Range(-20, 20).Draw(t, "coef"), rapid.IntRange(-2, 2).Draw(t, "exp"))
			v.EndValue()
			return
		}
		s := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{0,30})?(e-?[0-9]{1,3})?`), rapid.SampledFrom([]string{"NaN", "Infinity", "-Infinity"})).Draw(t, "n")
		if err := v.ParseAppend([]byte(s)); err != nil {
			t.Fatal(err)
		}
	case Text:
		v.AppendString(rapid.StringMatching(`[a-c "{},\\é]{0,5}`).Draw(t, "s"))
	case Bytea:
		v.AppendBytes(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 254, 255}), 0, 5).Draw(t, "b"))
	case Interval:
		x := IntervalValue{rapid.Int32Range(-3, 3).Draw(t, "m"), rapid.Int32Range(-60, 60).Draw(t, "d"), rapid.Int64Range(-dayMicros*3, dayMicros*3).Draw(t, "u")}
		if !small {
			x = IntervalValue{rapid.Int32().Draw(t, "m"), rapid.Int32().Draw(t, "d"), rapid.Int64().Draw(t, "u")}
		}
		v.Data = AppendInterval(v.Data, x)
		v.EndValue()
	case UUID:
		v.AppendBytes(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "u"))
	case JSONB:
		s := rapid.SampledFrom([]string{`{"b":1.50,"a":[null,true,"x\u0041"]}`, `[]`, `"a\n"`, `-0`, `1e2`, `{"a":1,"a":2}`}).Draw(t, "j")
		if err := v.ParseAppend([]byte(s)); err != nil {
			t.Fatal(err)
		}
	case Array:
		elems := NewVector(Of(v.Type.Elem))
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			drawAppend(t, elems)
		}
		var err error
		if v.Data, err = AppendArray(v.Data, elems, 0, elems.Len()); err != nil {
			t.Fatal(err)
		}
		v.EndValue()
	}
}

func drawBatch(t *rapid.T, cols, rows int) *Batch {
	types := make([]Type, cols)
	for i := range types {
		types[i] = drawType(t)
	}
	b := NewBatch(types)
	for range rows {
		for _, c := range b.Cols {
			drawAppend(t, c)
		}
		b.N++
	}
	return b
}
