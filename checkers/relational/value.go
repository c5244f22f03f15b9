package relational

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// A Kind is a type's name as PostgreSQL has it; an array's ends with [].
type Kind string

const (
	Unknown     Kind = "unknown" // of NULL and of string constants
	Bool        Kind = "bool"
	Int2        Kind = "int2"
	Int4        Kind = "int4"
	Int8        Kind = "int8"
	Numeric     Kind = "numeric"
	Float4      Kind = "float4"
	Float8      Kind = "float8"
	Text        Kind = "text"
	Bytea       Kind = "bytea"
	Date        Kind = "date"
	Timestamp   Kind = "timestamp"
	Timestamptz Kind = "timestamptz"
	Interval    Kind = "interval"
	JSON        Kind = "json"
	JSONB       Kind = "jsonb"
	record      Kind = "record"
)

func (k Kind) elem() Kind    { return Kind(strings.TrimSuffix(string(k), "[]")) }
func (k Kind) isArray() bool { return strings.HasSuffix(string(k), "[]") }

// numberRank orders the numbers by what is cast to what.
func numberRank(k Kind) int {
	switch k {
	case Int2:
		return 1
	case Int4:
		return 2
	case Int8:
		return 3
	case Numeric:
		return 4
	case Float4:
		return 5
	case Float8:
		return 6
	}
	return 0
}

// A Value is of a kind, also when it is NULL, which is V == nil. V is
//
//	bool                          bool
//	int2 int4 int8                int64
//	numeric                       *apd.Decimal; its exponent is minus the scale
//	float4 float8                 float64
//	text unknown json             string
//	bytea                         []byte
//	date                          int64, days since 1970-01-01
//	timestamp timestamptz         int64, microseconds since 1970-01-01 00:00 UTC
//	interval                      span
//	jsonb                         any, as decodeJSON makes it
//	arrays and record             []Value
type Value struct {
	K Kind
	V any
}

type span struct{ months, days, micros int64 }

func (v Value) null() bool { return v.V == nil }

func null(k Kind) Value { return Value{K: k} }

// failure is how evaluation ends early; Run turns it into an error.
type failure struct{ err *sqlerr.Error }

func fail(state sqlerr.State, format string, args ...any) Value {
	panic(failure{sqlerr.New(state, format, args...)})
}

func unsupported(n tree.Node, format string, args ...any) Value {
	panic(failure{sqlerr.Unsupported(n.At(), format, args...)})
}

// kindOfType is the kind that a type's name stands for.
func kindOfType(t *tree.TypeName) Kind {
	k := Kind(t.Name)
	switch t.Name {
	case "varchar", "text", "name":
		k = Text
	case "bool", "int2", "int4", "int8", "numeric", "float4", "float8", "bytea", "date", "timestamp", "timestamptz", "interval", "json", "jsonb":
	default:
		panic(failure{sqlerr.At(t.Pos, sqlerr.UndefinedObject, "type %q does not exist", t.Name)})
	}
	if t.Array {
		k += "[]"
	}
	return k
}

// compare orders two values of one kind, none NULL.
func compare(a, b Value) int {
	if a.K == JSONB {
		return compareJSON(a.V, b.V)
	}
	switch x := a.V.(type) {
	case bool:
		return cmp.Compare(map[bool]int{true: 1}[x], map[bool]int{true: 1}[b.V.(bool)])
	case int64:
		return cmp.Compare(x, b.V.(int64))
	case *apd.Decimal:
		return x.Cmp(b.V.(*apd.Decimal))
	case float64: // NaN equals itself and is the greatest
		y := b.V.(float64)
		switch {
		case math.IsNaN(x) && math.IsNaN(y):
			return 0
		case math.IsNaN(x):
			return 1
		case math.IsNaN(y):
			return -1
		}
		return cmp.Compare(x, y)
	case string:
		if a.K == JSON {
			fail(sqlerr.UndefinedFunction, "json has no order")
		}
		return strings.Compare(x, b.V.(string))
	case []byte:
		return bytes.Compare(x, b.V.([]byte))
	case span:
		return compareSpans(x, b.V.(span))
	case []Value:
		return compareArrays(x, b.V.([]Value))
	}
	panic("no order: " + string(a.K))
}

// compareArrays is by elements, NULL after everything, then by length.
func compareArrays(x, y []Value) int {
	for i := range min(len(x), len(y)) {
		if c := compareNulls(x[i], y[i], false); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// compareNulls orders values of which some may be NULL.
func compareNulls(a, b Value, nullsFirst bool) int {
	switch {
	case a.null() && b.null():
		return 0
	case a.null() != b.null():
		if a.null() == nullsFirst {
			return -1
		}
		return 1
	}
	return compare(a, b)
}

// same tells whether two values are not distinct.
func same(a, b Value) bool { return compareNulls(a, b, false) == 0 }

func sameRow(a, b []Value) bool {
	for i := range a {
		if !same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// unify is the kind that values of several kinds are brought to: for operands,
// the branches of CASE, the parts of a UNION. Constants of unknown kind follow
// the others.
func unify(kinds ...Kind) Kind {
	out := Unknown
	for _, k := range kinds {
		switch {
		case k == out || k == Unknown:
		case out == Unknown:
			out = k
		case numberRank(k) > 0 && numberRank(out) > 0:
			if numberRank(k) > numberRank(out) {
				out = k
			}
		case timeRank(k) > 0 && timeRank(out) > 0:
			if timeRank(k) > timeRank(out) {
				out = k
			}
		default:
			fail(sqlerr.DatatypeMismatch, "types %s and %s do not match", out, k)
		}
	}
	return out
}

func timeRank(k Kind) int {
	return map[Kind]int{Date: 1, Timestamp: 2, Timestamptz: 3}[k]
}

// String is the value as PostgreSQL writes it.
func (v Value) String() string {
	if v.K == JSONB && v.V != nil {
		return encodeJSON(v.V)
	}
	switch x := v.V.(type) {
	case nil:
		return "NULL"
	case bool:
		if x {
			return "t"
		}
		return "f"
	case int64:
		switch v.K {
		case Date:
			return formatDate(x)
		case Timestamp:
			return formatTimestamp(x)
		case Timestamptz:
			return formatTimestamp(x) + "+00"
		}
		return strconv.FormatInt(x, 10)
	case *apd.Decimal:
		return x.Text('f')
	case float64:
		return formatFloat(x, v.K)
	case string:
		return x
	case []byte:
		return fmt.Sprintf("\\x%x", x)
	case span:
		return formatSpan(x)
	case []Value:
		return formatArray(x, v.K == record)
	}
	panic("no text: " + string(v.K))
}

// formatFloat writes the shortest digits that read back, with an exponent below
// 1e-4 and from 1e15 (1e6 for float4) on.
func formatFloat(x float64, k Kind) string {
	bits, large := 64, 15
	if k == Float4 {
		bits, large = 32, 6
	}
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	case x == 0:
		return strconv.FormatFloat(x, 'f', -1, bits)
	}
	e := strconv.FormatFloat(x, 'e', -1, bits)
	exp, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	if exp < -4 || exp >= large {
		return e
	}
	return strconv.FormatFloat(x, 'f', -1, bits)
}

func formatArray(elems []Value, row bool) string {
	open, end := "{", "}"
	if row {
		open, end = "(", ")"
	}
	var parts []string
	for _, e := range elems {
		s := e.String()
		switch {
		case e.null() && row:
			s = ""
		case e.null():
		case s == "" || strings.ContainsAny(s, "{}(),\"\\ \t\n") || strings.EqualFold(s, "null"):
			s = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s) + `"`
		}
		parts = append(parts, s)
	}
	return open + strings.Join(parts, ",") + end
}
