package row

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Quotients have PostgreSQL's digits; these were computed by PostgreSQL 15
// (select a::numeric / b::numeric), less the zeros at the end.
func TestDivNumeric(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"4", "3", "1.3333333333333333"}, {"1", "3", "0.33333333333333333333"}, {"2", "3", "0.66666666666666666667"}, {"10000", "3", "3333.3333333333333333"},
		{"-7", "2", "-3.5"}, {"1", "0.0003", "3333.3333333333333333"}, {"0", "5", "0"}, {"NaN", "0", "NaN"}, {"Infinity", "-2", "-Infinity"}, {"5", "-Infinity", "0"},
	} {
		a, _ := Parse(Of(Numeric), []byte(c.a))
		b, _ := Parse(Of(Numeric), []byte(c.b))
		q, err := DivNumeric(nil, a.B, b.B)
		if got := (Value{Type: Of(Numeric), B: q}).String(); err != nil || got != c.want {
			t.Errorf("%s / %s = %s, %v; want %s", c.a, c.b, got, err, c.want)
		}
	}
	zero, _ := Parse(Of(Numeric), []byte("0"))
	if _, err := DivNumeric(nil, AppendNumericInt(nil, 1), zero.B); err == nil {
		t.Error("1 / 0 is a number")
	}
}

// The short way of integers gives what the long way gives.
func TestAppendQuotient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sum := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-20000, 20000)).Draw(t, "sum")
		n := rapid.OneOf(rapid.Int64Range(1, 1<<62), rapid.Int64Range(1, 20000)).Draw(t, "n")
		got, err := AppendQuotient(nil, sum, n)
		want, err2 := DivNumeric(nil, AppendNumericInt(nil, sum), AppendNumericInt(nil, n))
		if err != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d / %d: %s, %s", sum, n, appendNumericText(nil, got), appendNumericText(nil, want))
		}
	})
}
