package row

import (
	"bytes"
	"testing"
)

// Bytes that decode as a key are the key of what they decode to.
func FuzzKey(f *testing.F) {
	f.Add(uint8(1), uint8(0), []byte{1, 0x81})
	f.Add(uint8(8), uint8(1), []byte{1, 'a' ^ 0xff, 0xff, 0xfe})
	f.Add(uint8(17), uint8(40), []byte{1, 1, 0x30, 2, 0})
	f.Add(uint8(7), uint8(0), []byte{1, 0x40, 0x80, 1, 16, 0})
	f.Fuzz(func(t *testing.T, kind, flags uint8, key []byte) {
		typ := Type{Kind: Kind(kind)}
		if typ.Kind == Array {
			typ.Elem = Kind(flags >> 2)
		}
		if !typ.Valid() {
			return
		}
		s := []Sort{{0, flags&1 != 0, flags&2 != 0}}
		b := NewBatch([]Type{typ})
		rest, err := b.DecodeKey(key, s)
		if err != nil {
			if b.Cols[0].Len() != 0 || len(b.Cols[0].Data) != 0 {
				t.Fatal("a refused key leaves something")
			}
			return
		}
		if again := b.AppendKey(nil, s, 0); !bytes.Equal(again, key[:len(key)-len(rest)]) {
			t.Fatalf("%s: %x decodes, and encodes as %x", typ, key[:len(key)-len(rest)], again)
		}
	})
}

// Text that is read prints as text that reads as the same.
func FuzzText(f *testing.F) {
	for k := Bool; k <= Array; k++ {
		for _, s := range []string{"1", "t", "1.5e3", "2024-01-02 03:04:05.6+07", "1 day 02:00", "P1Y", `{"a":[1,"\u0041"]}`, "{1,NULL}", `\x00`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"} {
			f.Add(uint8(k), uint8(Text), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, kind, elem uint8, text []byte) {
		typ := Type{Kind: Kind(kind)}
		if typ.Kind == Array {
			typ.Elem = Kind(elem)
		}
		if !typ.Valid() {
			return
		}
		x, err := Parse(typ, text)
		if err != nil {
			return
		}
		printed := x.AppendText(nil)
		y, err := Parse(typ, printed)
		if err != nil && typ.Kind != Bytea {
			t.Fatalf("%s: %q prints as %q, which is refused: %v", typ, text, printed, err)
		}
		if err == nil && (x.I != y.I || !bytes.Equal(x.B, y.B)) {
			t.Fatalf("%s: %q prints as %q, which is another value", typ, text, printed)
		}
		v := NewVector(typ)
		v.AppendValue(x)
		if typ.Fixed() {
			err = checkInt(typ, x.I)
		} else {
			err = checkBytes(typ, x.B)
		}
		if err != nil {
			t.Fatalf("%s: %q is read as what is no value: %v", typ, text, err)
		}
	})
}

// Payloads are decoded or refused, never more.
func FuzzPayload(f *testing.F) {
	var fields []Field
	for i, typ := range allTypes() {
		fields = append(fields, Field{int32(i + 1), Column{Name: "c" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Type: typ}})
	}
	want := make([]int, len(fields))
	for i := range want {
		want[i] = i
	}
	d, err := NewDecoder(fields, want)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{8, 1, 0x12, 3, 8, 1, 0})
	f.Add([]byte{0x82, 1, 2, 10, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		out := NewBatch(d.Types())
		if d.Append(out, p) != nil {
			if out.N != 0 {
				t.Fatal("a refused payload leaves a row")
			}
			return
		}
		again, err := AppendPayload(nil, fields, out, 0)
		if err != nil {
			t.Fatal(err)
		}
		back := NewBatch(d.Types())
		if err := d.Append(back, again); err != nil || !SameRow(out, 0, back, 0) {
			t.Fatalf("a row does not come back: %v", err)
		}
	})
}

// Stored bytes are decoded or refused.
func FuzzStored(f *testing.F) {
	types := []Type{Of(Int4), Of(Text)}
	b := NewBatch(types)
	b.AppendValues(Value{Type: types[0], I: 300}, NullOf(types[1]))
	b.AppendValues(Value{Type: types[0], I: -2}, Value{Type: types[1], B: []byte("xyz")})
	f.Add(b.AppendStored(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		out := NewBatch(nil)
		rest, err := out.DecodeStored(p, types)
		if err != nil {
			return
		}
		if len(rest) > len(p) {
			t.Fatal("more is left than was there")
		}
		back := NewBatch(nil)
		if _, err := back.DecodeStored(out.AppendStored(nil), types); err != nil || back.N != out.N {
			t.Fatalf("%d rows come back as %d: %v", out.N, back.N, err)
		}
	})
}
