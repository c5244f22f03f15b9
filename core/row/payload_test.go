package row

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func drawFields(t *rapid.T) (fields []Field) {
	used := map[int32]bool{}
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		n := rapid.SampledFrom([]int32{1, 2, 3, 15, 16, 63, 64, 100, 3000}).Draw(t, "number")
		if used[n] {
			continue
		}
		used[n] = true
		fields = append(fields, Field{n, Column{Name: fmt.Sprint("c", i), Type: drawType(t)}})
	}
	return fields
}

// A payload reads back as its row, whichever columns are wanted, with unknown
// fields between.
func TestPayloadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := drawFields(t)
		schema := make([]Type, len(fields))
		for i, f := range fields {
			schema[i] = f.Type
		}
		b := NewBatch(schema)
		var payloads [][]byte
		rows := rapid.IntRange(1, 4).Draw(t, "rows")
		for range rows {
			for _, c := range b.Cols {
				drawAppend(t, c)
			}
			b.N++
			p, err := AppendPayload(nil, fields, b, b.N-1)
			if err != nil { // an array with a null element
				b.Truncate(b.N - 1)
				continue
			}
			p = protowire.AppendTag(p, 2000, protowire.BytesType)
			payloads = append(payloads, protowire.AppendBytes(p, []byte("unknown")))
		}
		var want []int
		for i := range fields {
			if rapid.Bool().Draw(t, "want") {
				want = append(want, i)
			}
		}
		d, err := NewDecoder(fields, want)
		if err != nil {
			t.Fatal(err)
		}
		out := NewBatch(d.Types())
		if err := d.AppendAll(out, payloads); err != nil {
			t.Fatal(err)
		}
		for i := range payloads {
			if !SameRow(out, i, b.Pick(want), i) {
				t.Fatalf("row %d differs", i)
			}
		}
	})
}

func field(n int32, name, typ string) Field {
	t, err := ParseType(typ)
	if err != nil {
		panic(err)
	}
	return Field{n, Column{Name: name, Type: t}}
}

// The last of a field's occurrences counts, and packed and unpacked arrays
// read the same.
func TestPayloadForms(t *testing.T) {
	fields := []Field{field(1, "a", "int8"), field(2, "b", "int4[]"), field(3, "c", "text")}
	d, err := NewDecoder(fields, []int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	out := NewBatch(d.Types())
	p := protowire.AppendVarint(protowire.AppendTag(nil, 1, 0), protowire.EncodeZigZag(5))
	p = protowire.AppendVarint(protowire.AppendTag(p, 1, 0), protowire.EncodeZigZag(-6))
	p = protowire.AppendBytes(protowire.AppendTag(p, 3, 2), []byte("x"))
	p = protowire.AppendBytes(protowire.AppendTag(p, 3, 2), []byte("yz"))
	packed := protowire.AppendBytes(protowire.AppendTag(nil, 1, 2), []byte{2, 4})
	unpacked := []byte{8, 2, 8, 4}
	for _, array := range [][]byte{packed, unpacked} {
		if err := d.Append(out, protowire.AppendBytes(protowire.AppendTag(p, 2, 2), array)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		if got := out.Cols[0].Value(i).String() + out.Cols[1].Value(i).String() + out.Cols[2].Value(i).String(); got != "-6{1,2}yz" {
			t.Errorf("row %d: %s", i, got)
		}
	}
}

// What is no payload of the type is refused and leaves the batch alone.
func TestPayloadRefused(t *testing.T) {
	fields := []Field{field(1, "a", "int2"), field(2, "b", "text"), field(3, "u", "uuid"), field(4, "n", "numeric")}
	fields = append(fields, Field{5, Column{Name: "must", Type: Of(Bool), NotNull: true}})
	d, err := NewDecoder(fields, []int{0, 1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	good := []byte{0x28, 1}
	for name, p := range map[string][]byte{
		"too wide":      append([]byte{8, 0x80, 0x80, 0x08}, good...),
		"wire type":     append([]byte{10, 1, 'x'}, good...),
		"cut short":     {0x28, 1, 18, 5, 'x'},
		"no field":      {0x28, 1, 0},
		"not text":      append([]byte{18, 1, 0xff}, good...),
		"not a uuid":    append([]byte{26, 1, 0xff}, good...),
		"not a numeric": append([]byte{34, 1, 'x'}, good...),
		"null":          {8, 2},
		"unknown cut":   {0x28, 1, 0x82, 1, 9},
		"second is bad": append([]byte{18, 1, 'a', 18, 1, 0xff}, good...),
	} {
		out := NewBatch(d.Types())
		if err := d.AppendAll(out, [][]byte{good, p}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if out.N != 0 || out.Cols[0].Len() != 0 || out.Cols[4].Len() != 0 || out.Cols[1].Len() != 0 {
			t.Errorf("%s: the batch has %d rows, columns %d %d %d", name, out.N, out.Cols[0].Len(), out.Cols[1].Len(), out.Cols[4].Len())
		}
	}
}

// Stored events keep their meaning under every change that is allowed.
func TestEvolution(t *testing.T) {
	from := []Field{field(1, "a", "int4"), field(2, "b", "text"), field(3, "x", "int2[]")}
	with := func(change ...Field) []Field { return append([]Field(nil), change...) }
	notNull := field(9, "new", "text")
	notNull.NotNull = true
	for name, c := range map[string]struct {
		to []Field
		ok bool
	}{
		"same":            {from, true},
		"added":           {with(from[0], from[1], from[2], field(9, "new", "jsonb")), true},
		"widened":         {with(field(1, "a", "int8"), from[1], field(3, "x", "int4[]")), true},
		"renamed":         {with(field(1, "z", "int4"), from[1]), true},
		"dropped":         {with(from[0]), true},
		"narrowed":        {with(field(1, "a", "int2")), false},
		"retyped":         {with(field(2, "b", "bytea")), false},
		"renumbered":      {with(field(7, "a", "int4")), false},
		"reserved":        {with(from[0], field(5, "n", "int4")), false},
		"added not null":  {with(from[0], notNull), false},
		"number twice":    {with(from[0], field(1, "q", "int4")), false},
		"name twice":      {with(from[0], field(8, "a", "int4")), false},
		"number 0":        {with(field(0, "q", "int4")), false},
		"Protobuf's own":  {with(field(19500, "q", "int4")), false},
		"swapped numbers": {with(field(2, "a", "int4"), field(1, "b", "text")), false},
	} {
		if err := CheckEvolution(from, c.to, []int32{5}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	d, _ := NewDecoder([]Field{field(1, "a", "int8")}, []int{0})
	out := NewBatch(d.Types())
	if err := d.Append(out, []byte{8, 3}); err != nil || out.Cols[0].I[0] != -2 {
		t.Errorf("widened: %v, %v", out.Cols[0].I, err)
	}
}
