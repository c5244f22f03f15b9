package expr

import (
	"fmt"
	"strings"
	"testing"

	"actordb/core/row"
)

// build resolves a call, or fails the test.
func build(t testing.TB, name string, args ...*Node) *Node {
	t.Helper()
	n, err := Resolve(name, args, 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func number(x int64) *Node   { return Constant(row.Value{Type: row.Of(row.Int4), I: x}, 0) }
func unknown(s string) *Node { return Constant(row.Value{B: []byte(s)}, 0) }

// column makes a batch of one column of texts; "" is null.
func column(t testing.TB, typ row.Type, texts ...string) *row.Batch {
	t.Helper()
	b := row.NewBatch([]row.Type{typ})
	for _, s := range texts {
		if s == "" {
			b.Cols[0].AppendNull()
		} else if err := b.Cols[0].ParseAppend([]byte(s)); err != nil {
			t.Fatal(err)
		}
		b.N++
	}
	return b
}

// show evaluates a node: values, "null", and errors' codes.
func show(n *Node, in *row.Batch) string {
	var out row.Vector
	var errs row.Errors
	x := Compile(n)
	for range 2 { // memory of the first run must not show in the second
		errs.Reset()
		x.Eval(in, &out, &errs)
	}
	var parts []string
	for i := range in.N {
		s := "null"
		if !out.Null(i) {
			s = string(out.AppendText(nil, i))
		}
		for _, e := range errs.List {
			if int(e.Row) == i {
				s += "!" + e.Err.Code
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

// X2: the errors of what is not wanted do not fire; those of what is do.
func TestGuards(t *testing.T) {
	in := column(t, row.Of(row.Int4), "0", "2", "", "5")
	a := Col(0, row.Of(row.Int4), 0)
	zero := build(t, "=", a, number(0))
	quotient := build(t, "/", number(10), a)
	positive := build(t, ">", quotient, number(0))
	for _, c := range []struct {
		n    *Node
		want string
	}{
		{quotient, "null!22012 5 null 2"},
		{&Node{Op: Case, Type: a.Type, Args: []*Node{zero, number(-1), quotient}}, "-1 5 null 2"},
		{&Node{Op: Case, Type: a.Type, Args: []*Node{zero, quotient, number(1)}}, "null!22012 1 1 1"},
		{&Node{Op: Case, Type: a.Type, Args: []*Node{positive, number(1), number(0)}}, "null!22012 1 0 1"},
		{Boolean(Or, 0, zero, positive), "t t null t"},
		{Boolean(Or, 0, positive, zero), "null!22012 t null t"},
		{Boolean(And, 0, Boolean(Not, 0, zero), positive), "f t null t"},
		{Boolean(And, 0, positive, zero), "null!22012 f null f"},
		{build(t, "coalesce", a, quotient), "0 2 null 5"},
		{build(t, "coalesce", build(t, "nullif", a, number(2)), quotient), "0 5 null 5"},
		{build(t, "coalesce", build(t, "nullif", a, number(0)), quotient), "null!22012 2 null 5"},
		{Boolean(IsNull, 0, quotient), "null!22012 f t f"},
	} {
		if got := show(c.n, in); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.n, got, c.want)
		}
	}
}

// What a large batch leaves behind does not show in a small one.
func TestShrinkingBatches(t *testing.T) {
	t4 := row.Of(row.Int4)
	x := Compile(build(t, "+", Col(0, t4, 0), Constant(row.NullOf(t4), 0)))
	var out row.Vector
	for _, n := range []int{200, 3, 64, 65, 0, 1} {
		in := row.NewBatch([]row.Type{t4})
		for range n {
			in.Cols[0].AppendInt(1)
			in.N++
		}
		x.Eval(in, &out, &row.Errors{})
		for i := range 256 {
			if out.Nulls.Get(i) != (i < n) {
				t.Fatalf("%d rows: null %d is %v", n, i, out.Nulls.Get(i))
			}
		}
	}
}

// X3: a constant part is computed once; one that fails is left to fail.
func TestFold(t *testing.T) {
	a := Col(0, row.Of(row.Int4), 0)
	for _, c := range []struct {
		n    *Node
		want string
	}{
		{build(t, "+", a, build(t, "*", number(2), number(3))), "(#0 + 6)"},
		{build(t, "+", a, build(t, "/", number(2), number(0))), "(#0 + (2 / 0))"},
		{Boolean(And, 0, True(0), build(t, "=", a, number(1))), "(#0 = 1)"},
		{Boolean(And, 0, build(t, "=", a, number(1)), build(t, "=", number(1), number(2))), "((#0 = 1) AND f)"},
		{Boolean(Or, 0, build(t, "=", number(1), number(1)), build(t, "=", a, number(1))), "t"},
		{build(t, "||", unknown("a"), unknown("b'c")), "'ab''c'"},
	} {
		if got := Fold(c.n).String(); got != c.want {
			t.Errorf("%s folds to %s, want %s", c.n, got, c.want)
		}
	}
}

// Overloads are chosen as PostgreSQL does.
func TestResolve(t *testing.T) {
	typed := func(k row.Kind) *Node { return Col(0, row.Of(k), 0) }
	for _, c := range []struct {
		name string
		args []*Node
		want string // type of the result, or SQLSTATE
	}{
		{"+", []*Node{typed(row.Int2), typed(row.Int4)}, "integer"},
		{"+", []*Node{typed(row.Int4), typed(row.Numeric)}, "numeric"},
		{"+", []*Node{typed(row.Numeric), typed(row.Float4)}, "double precision"},
		{"+", []*Node{typed(row.Int8), unknown("1")}, "bigint"},
		{"+", []*Node{unknown("1"), unknown("2")}, "42725"},
		{"-", []*Node{typed(row.Date), typed(row.Date)}, "integer"},
		{"-", []*Node{typed(row.Timestamp), unknown("2020-01-01")}, "interval"},
		{"+", []*Node{typed(row.Date), typed(row.Interval)}, "timestamp without time zone"},
		{"*", []*Node{typed(row.Interval), typed(row.Int4)}, "interval"},
		{"||", []*Node{typed(row.Text), typed(row.Int4)}, "text"},
		{"||", []*Node{typed(row.Int4), typed(row.Int4)}, "42883"},
		{"->", []*Node{typed(row.JSONB), unknown("a")}, "jsonb"},
		{"=", []*Node{typed(row.Int4), typed(row.Text)}, "42883"},
		{"=", []*Node{typed(row.Date), typed(row.Timestamptz)}, "boolean"},
		{"round", []*Node{typed(row.Int4)}, "double precision"},
		{"round", []*Node{typed(row.Numeric), typed(row.Int4)}, "numeric"},
		{"abs", []*Node{typed(row.Int2)}, "smallint"},
		{"coalesce", []*Node{typed(row.Int4), typed(row.Float8), unknown("1")}, "double precision"},
		{"coalesce", []*Node{typed(row.Int4), typed(row.Text)}, "42804"},
		{"nothing", []*Node{typed(row.Int4)}, "42883"},
		{"length", []*Node{typed(row.Int4)}, "42883"},
	} {
		n, err := Resolve(c.name, c.args, 0)
		got := ""
		if err != nil {
			got = string(err.State)
		} else {
			got = n.Type.String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (%v)", describe(c.name, c.args), got, c.want, err)
		}
	}
}

// in100 looks a value up among a hundred.
func in100(b *testing.B, x *Node) *Node {
	var list []*Node
	for i := range 100 {
		list = append(list, Constant(row.Value{Type: x.Type, I: int64(i) * 7000}, 0))
	}
	array, err := MakeArrayOf(list, 0)
	if err != nil {
		b.Fatal(err)
	}
	n, err := Any("=", false, x, Fold(array), 0)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func BenchmarkEval(b *testing.B) {
	const n = 1024
	in := row.NewBatch([]row.Type{row.Of(row.Int4), row.Of(row.Int8), row.Of(row.Numeric), row.Of(row.Text), row.Of(row.Timestamptz)})
	for i := range n {
		in.Cols[0].AppendInt(int64(i))
		in.Cols[1].AppendInt(int64(i) * 1000)
		if err := in.Cols[2].ParseAppend([]byte(fmt.Sprintf("%d.%02d", i, i%100))); err != nil {
			b.Fatal(err)
		}
		in.Cols[3].AppendString(fmt.Sprintf("item %d of a list", i))
		in.Cols[4].AppendInt(int64(i) * 1_000_000)
		in.N++
	}
	col := func(i int) *Node { return Col(i, in.Cols[i].Type, 0) }
	minute, err := Cast(unknown("1 minute"), row.Of(row.Interval))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		n    *Node
	}{
		{"int4 > constant", build(b, ">", col(0), number(500))},
		{"int4 + int4", build(b, "+", col(0), col(0))},
		{"int8 * int8", build(b, "*", col(1), col(1))},
		{"a > 1 AND b < 9", Boolean(And, 0, build(b, ">", col(0), number(1)), build(b, "<", col(1), number(90000)))},
		{"numeric * numeric", build(b, "*", col(2), col(2))},
		{"numeric / numeric", build(b, "/", col(2), number(7))},
		{"text LIKE", build(b, "~~", col(3), unknown("%9%list"))},
		{"text = constant", build(b, "=", col(3), unknown("item 7 of a list"))},
		{"date_bin", build(b, "date_bin", minute, col(4), Constant(row.Value{Type: row.Of(row.Timestamptz)}, 0))},
		{"int8 IN (100 constants)", in100(b, col(1))},
		{"CASE", &Node{Op: Case, Type: row.Of(row.Int4), Args: []*Node{build(b, ">", col(0), number(500)), col(0), number(0)}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			x, out, errs := Compile(c.n), row.Vector{}, row.Errors{}
			b.ReportAllocs()
			for b.Loop() {
				errs.Reset()
				x.Eval(in, &out, &errs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
