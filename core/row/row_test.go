package row

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

// R4: encoded keys are ordered as their rows, and decode to them.
func TestKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, rapid.IntRange(1, 3).Draw(t, "cols"), 2)
		var sorts []Sort
		for i := range b.Cols {
			sorts = append(sorts, Sort{i, rapid.Bool().Draw(t, "desc"), rapid.Bool().Draw(t, "first")})
		}
		k0, k1 := b.AppendKey(nil, sorts, 0), b.AppendKey(nil, sorts, 1)
		if got, want := bytes.Compare(k0, k1), CompareBy(sorts, b, 0, b, 1); got != want {
			t.Fatalf("keys %x and %x compare as %d, rows as %d", k0, k1, got, want)
		}
		back := NewBatch(b.Types())
		rest, err := back.DecodeKey(append(k0, 7), sorts)
		if err != nil || !bytes.Equal(rest, []byte{7}) {
			t.Fatalf("rest %x, %v", rest, err)
		}
		if !SameRow(b, 0, back, 0) {
			t.Fatalf("key %x decodes to another row", k0)
		}
	})
}

// R1: a value's text reads back as the value.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 1, 1)
		v := b.Cols[0]
		if v.Null(0) {
			return
		}
		text := v.AppendText(nil, 0)
		back, err := Parse(v.Type, text)
		if err != nil {
			t.Fatalf("%s %q: %v", v.Type, text, err)
		}
		w := NewVector(v.Type)
		w.AppendValue(back)
		if !Same(v, 0, w, 0) {
			t.Fatalf("%s %q reads back as %q", v.Type, text, back)
		}
	})
}

// Batches survive storage, gathering, slicing and hashing as rows do.
func TestBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 150).Draw(t, "rows")
		b := drawBatch(t, rapid.IntRange(0, 3).Draw(t, "cols"), 0)
		for range n {
			for _, c := range b.Cols {
				drawAppend(t, c)
			}
			b.N++
		}
		back := NewBatch(nil)
		rest, err := back.DecodeStored(append(b.AppendStored(nil), 9), b.Types())
		if err != nil || len(rest) != 1 || back.N != n {
			t.Fatalf("stored: %d rows, rest %x, %v", back.N, rest, err)
		}
		var sel []int32
		for range rapid.IntRange(0, 2*n).Draw(t, "picks") {
			sel = append(sel, int32(rapid.IntRange(0, n-1).Draw(t, "i")))
		}
		lo := rapid.IntRange(0, n).Draw(t, "lo")
		hi := rapid.IntRange(lo, n).Draw(t, "hi")
		out := NewBatch(b.Types())
		out.AppendRange(b, lo, hi)
		out.AppendGather(b, sel)
		cut := rapid.IntRange(0, out.N).Draw(t, "cut")
		full := out.N
		rows := make([]int, 0, full)
		for i := lo; i < hi; i++ {
			rows = append(rows, i)
		}
		for _, i := range sel {
			rows = append(rows, int(i))
		}
		out.Truncate(cut)
		for _, i := range rows[cut:] {
			out.AppendRow(b, i)
		}
		cols := make([]int, len(b.Cols))
		for i := range cols {
			cols[i] = i
		}
		hb, ho := b.Hash(cols, nil), out.Hash(cols, nil)
		for k, i := range rows {
			if !SameRow(out, k, b, i) || !SameRow(out, k, back, i) || CompareRows(out, k, b, i) != 0 {
				t.Fatalf("row %d is not row %d", k, i)
			}
			if hb[i] != ho[k] {
				t.Fatal("equal rows have different hashes")
			}
		}
		for i := range min(n, 20) {
			for j := range min(n, 20) {
				if SameRow(b, i, b, j) != (CompareRows(b, i, b, j) == 0) {
					t.Fatal("same and compare disagree")
				}
				if SameRow(b, i, b, j) && hb[i] != hb[j] {
					t.Fatal("equal rows have different hashes")
				}
			}
		}
	})
}

// The order of numerics is that of their values.
func TestNumericOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := NewVector(Of(Numeric))
		for v.Len() < 2 {
			drawAppend(t, v)
			if v.Null(v.Len() - 1) {
				v.Truncate(v.Len() - 1)
			}
		}
		var x, y apd.Decimal
		if err := cmp.Or(DecodeNumeric(v.Bytes(0), &x), DecodeNumeric(v.Bytes(1), &y)); err != nil {
			t.Fatal(err)
		}
		got := bytes.Compare(v.Bytes(0), v.Bytes(1))
		want := x.Cmp(&y)
		if x.Form == apd.NaN || y.Form == apd.NaN {
			want = cmp.Compare(b2i(x.Form == apd.NaN), b2i(y.Form == apd.NaN))
		}
		if got != want {
			t.Fatalf("%s and %s compare as %d, want %d", &x, &y, got, want)
		}
		again, err := AppendNumeric(nil, &x)
		if err != nil || !bytes.Equal(again, v.Bytes(0)) {
			t.Fatalf("%x decodes and encodes as %x, %v", v.Bytes(0), again, err)
		}
		if coef, exp, ok := NumericSmall(v.Bytes(0)); ok {
			if again, err := AppendNumericScaled(nil, coef, exp); err != nil || !bytes.Equal(again, v.Bytes(0)) {
				t.Fatalf("%d times 10 to the %d is written as %x, not %x, %v", coef, exp, again, v.Bytes(0), err)
			}
		}
		if coef, exp, ok := NumericSmall(v.Bytes(0)); ok {
			z := apd.New(coef, int32(exp))
			if z.Cmp(&x) != 0 {
				t.Fatalf("%s is small as %s", &x, z)
			}
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Floats are ordered as PostgreSQL orders them: -0 = 0, NaN = NaN, greatest.
func TestFloatOrder(t *testing.T) {
	nan := math.NaN()
	fs := []float64{math.Inf(-1), -math.MaxFloat64, -1, -math.SmallestNonzeroFloat64, 0, math.SmallestNonzeroFloat64, 1, math.MaxFloat64, math.Inf(1), nan}
	for i := range fs {
		if i > 0 && FromFloat(fs[i-1]) >= FromFloat(fs[i]) {
			t.Errorf("%v is not before %v", fs[i-1], fs[i])
		}
		if back := ToFloat(FromFloat(fs[i])); back != fs[i] && back == back {
			t.Errorf("%v comes back as %v", fs[i], back)
		}
		if !canonicalFloat(FromFloat(fs[i])) {
			t.Errorf("%v is not canonical", fs[i])
		}
	}
	if FromFloat(math.Copysign(0, -1)) != FromFloat(0) || FromFloat(math.Float64frombits(0xfff8000000000001)) != FromFloat(nan) {
		t.Error("two zeros or two NaNs")
	}
}

// Values print as PostgreSQL 17 prints them, and common forms are read. The
// expected texts were taken from its documentation, chapter 8.
func TestText(t *testing.T) {
	for _, c := range []struct{ typ, in, out string }{
		{"bool", " yes", "t"}, {"int4", " 42 ", "42"}, {"int8", "-9223372036854775808", "-9223372036854775808"},
		{"float8", "1e15", "1e+15"}, {"float8", "100000000000000", "100000000000000"}, {"float8", "0.0001", "0.0001"}, {"float8", "0.00001", "1e-05"},
		{"float8", "-0", "0"}, {"float8", "inf", "Infinity"}, {"float4", "1.1", "1.1"}, {"float4", "1234567", "1.234567e+06"},
		{"numeric", "1.50", "1.5"}, {"numeric", "1e3", "1000"}, {"numeric", "-0.00120", "-0.0012"}, {"numeric", "nan", "NaN"}, {"numeric", ".5", "0.5"},
		{"text", "a b", "a b"}, {"bytea", `\x00Ff`, `\x00ff`}, {"bytea", `a\\\001`, `\x615c01`},
		{"date", "1999-01-08", "1999-01-08"}, {"date", "0044-03-15 BC", "0044-03-15 BC"}, {"date", "-infinity", "-infinity"}, {"date", "2024-02-29", "2024-02-29"},
		{"time", "04:05:06.789", "04:05:06.789"}, {"time", "04:05", "04:05:00"},
		{"timestamp", "2004-10-19T10:23:54", "2004-10-19 10:23:54"}, {"timestamp", "2004-10-19", "2004-10-19 00:00:00"},
		{"timestamptz", "2004-10-19 10:23:54+02", "2004-10-19 08:23:54+00"}, {"timestamptz", "2004-10-19 10:23:54.5-05:30", "2004-10-19 15:53:54.5+00"}, {"timestamptz", "epoch", "1970-01-01 00:00:00+00"},
		{"interval", "1 day 2 hours", "1 day 02:00:00"}, {"interval", "P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"},
		{"interval", "-1 day +02:03:00", "-1 days +02:03:00"}, {"interval", "3 hours ago", "-03:00:00"}, {"interval", "1.5 days", "1 day 12:00:00"}, {"interval", "0", "00:00:00"}, {"interval", "5 min 1.25 s", "00:05:01.25"},
		{"uuid", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"jsonb", `{"bb": 1, "a" : [1.50, "x", null] , "a":2}`, `{"a": 2, "bb": 1}`}, {"jsonb", `"\u00e9\/"`, `"é/"`},
		{"int4[]", "{1, NULL,3}", "{1,NULL,3}"}, {"text[]", `{a,"b c","",NULL,"NULL"}`, `{a,"b c","",NULL,"NULL"}`}, {"text[]", "{}", "{}"},
	} {
		typ, err := ParseType(c.typ)
		if err != nil {
			t.Fatal(err)
		}
		x, err := Parse(typ, []byte(c.in))
		if err != nil || x.String() != c.out {
			t.Errorf("%s %q: %q, %v; want %q", c.typ, c.in, x, err, c.out)
		}
	}
}

// Text that is no value is refused with PostgreSQL's code.
func TestTextRefused(t *testing.T) {
	for _, c := range []struct{ typ, in, code string }{
		{"int2", "32768", CodeOutOfRange}, {"int4", "1.5", CodeInvalidText}, {"bool", "maybe", CodeInvalidText}, {"float8", "1e999", CodeOutOfRange}, {"float8", "0x1p3", CodeInvalidText},
		{"numeric", "1e20000", CodeOutOfRange}, {"numeric", "1e", CodeInvalidText}, {"numeric", "", CodeInvalidText}, {"date", "2023-02-29", CodeDatetimeRange}, {"date", "today", CodeInvalidDatetime},
		{"timestamp", "now", CodeInvalidDatetime}, {"timestamp", "294277-01-01", CodeDatetimeRange}, {"time", "25:00", CodeDatetimeRange}, {"interval", "1 fortnight", CodeInvalidDatetime},
		{"interval", "999999999999 years", CodeDatetimeRange}, {"uuid", "a0eebc99", CodeInvalidText}, {"jsonb", "{'a':1}", CodeInvalidText}, {"jsonb", `"\ud800"`, CodeInvalidText},
		{"int4[]", "{1,2", CodeInvalidText}, {"int4[]", "{1,,2}", CodeInvalidText}, {"text", "\xff", "22021"}, {"text", "a\x00", "22021"}, {"bytea", `\x0`, CodeInvalidText},
	} {
		typ, _ := ParseType(c.typ)
		x, err := Parse(typ, []byte(c.in))
		if e, ok := err.(*Error); !ok || e.Code != c.code {
			t.Errorf("%s %q: %q, %v; want SQLSTATE %s", c.typ, c.in, x, err, c.code)
		}
	}
}

// Nothing longer than its limit becomes a value.
func TestLimits(t *testing.T) {
	deep := append(bytes.Repeat([]byte("["), JSONDepthMax+2), bytes.Repeat([]byte("]"), JSONDepthMax+2)...)
	array := append(append([]byte("{1"), bytes.Repeat([]byte(",1"), ArrayElementsMax)...), '}')
	for name, c := range map[string]struct {
		typ  Type
		text []byte
	}{
		"text":    {Of(Text), bytes.Repeat([]byte("x"), ValueBytesMax+1)},
		"json":    {Of(JSONB), deep},
		"numeric": {Of(Numeric), bytes.Repeat([]byte("1"), NumericDigitsMax+1)},
		"array":   {ArrayOf(Int4), array},
	} {
		if _, err := Parse(c.typ, c.text); err == nil {
			t.Errorf("%s: %d bytes are accepted", name, len(c.text))
		}
	}
	wide := make(Schema, ColumnsMax+1)
	if wide.Check() == nil {
		t.Error("a schema of too many columns is accepted")
	}
}

// Expressions that stand for themselves have as many rows as their input.
func TestColAndConst(t *testing.T) {
	in := NewBatch([]Type{Of(Int4)})
	for i := range 5 {
		in.AppendValues(Value{Type: Of(Int4), I: int64(i)})
	}
	out := &Vector{}
	Col{0, Of(Int4)}.Eval(in, out, nil)
	if !slices.Equal(out.I, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("column: %v", out.I)
	}
	Const{Value{Type: Of(Text), B: []byte("x")}}.Eval(in, out, nil)
	if out.Len() != 5 || string(out.Data) != "xxxxx" {
		t.Errorf("constant: %q", out.Data)
	}
	Const{NullOf(Of(Int8))}.Eval(in, out, nil)
	if out.Len() != 5 || !out.Null(4) {
		t.Errorf("null: %v", out)
	}
}
