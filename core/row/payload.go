package row

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// An event's payload is a Protobuf message; its fields are typed columns. A
// field that is absent is null. On the wire:
//
//	boolean                        varint              bool
//	smallint, integer, bigint      zigzag varint       sint32, sint64
//	date                           zigzag varint       sint32, days since 1970-01-01
//	real, double precision         fixed32, fixed64    float, double
//	time, timestamp, timestamptz   fixed64             sfixed64, microseconds
//	text                           bytes               string
//	numeric, interval, jsonb       bytes               string, the value's text
//	bytea, uuid                    bytes               bytes; a uuid has 16
//	an array                       bytes               a message whose field 1 is repeated (packed or not)
//
// There are no map fields: their encoding is not canonical.

// A Field is a column of an event type, with its Protobuf number.
type Field struct {
	Number int32
	Column
}

// CheckFields refuses fields that no event type can have.
func CheckFields(fields []Field) error {
	schema := make(Schema, len(fields))
	seen := make(map[int32]bool, len(fields))
	for i, f := range fields {
		schema[i] = f.Column
		switch {
		case f.Number < 1 || f.Number > FieldNumberMax:
			return errorf(CodeInvalidEvolve, "field %q: numbers are 1 to %d, not %d", f.Name, FieldNumberMax, f.Number)
		case f.Number >= 19000 && f.Number <= 19999:
			return errorf(CodeInvalidEvolve, "field %q: Protobuf reserves the numbers 19000 to 19999", f.Name)
		case seen[f.Number]:
			return errorf(CodeInvalidEvolve, "field %q: the number %d is taken", f.Name, f.Number)
		}
		seen[f.Number] = true
	}
	return schema.Check()
}

// CheckEvolution refuses a change of an event type under which a stored
// payload would mean something else. Fields may be added if they may be null,
// renamed, dropped (their numbers are then reserved: pass them), integers may be
// widened, NOT NULL may be given up.
func CheckEvolution(from, to []Field, reserved []int32) error {
	if err := CheckFields(to); err != nil {
		return err
	}
	old := make(map[int32]Field, len(from))
	names := make(map[string]int32, len(from))
	for _, f := range from {
		old[f.Number] = f
		names[f.Name] = f.Number
	}
	gone := make(map[int32]bool, len(reserved))
	for _, n := range reserved {
		gone[n] = true
	}
	for _, f := range to {
		was, known := old[f.Number]
		number, named := names[f.Name]
		switch {
		case gone[f.Number]:
			return errorf(CodeInvalidEvolve, "field %q: the number %d belonged to a dropped field; take one that was never used", f.Name, f.Number)
		case named && number != f.Number:
			return errorf(CodeInvalidEvolve, "field %q cannot be renumbered from %d to %d: stored events have the old number", f.Name, number, f.Number)
		case !known && f.NotNull:
			return errorf(CodeInvalidEvolve, "field %q is new and must allow nulls: stored events do not have it", f.Name)
		case !known:
		case !widens(was.Type, f.Type):
			return errorf(CodeInvalidEvolve, "field %q cannot change from %s to %s: stored events would mean something else; add a field", f.Name, was.Type, f.Type)
		case f.NotNull && !was.NotNull:
			return errorf(CodeInvalidEvolve, "field %q must go on allowing nulls: stored events may have none", f.Name)
		}
	}
	return nil
}

// widens reports whether every payload of a field of type a reads the same
// when its type is b.
func widens(a, b Type) bool {
	integer := func(k Kind) bool { return k == Int2 || k == Int4 || k == Int8 }
	switch {
	case a == b:
		return true
	case a.Kind == Array && b.Kind == Array:
		return integer(a.Elem) && integer(b.Elem) && a.Elem < b.Elem
	}
	return integer(a.Kind) && integer(b.Kind) && a.Kind < b.Kind
}

// fieldsDirect is up to which number fields are found by index.
const fieldsDirect = 64

// A Decoder turns payloads into rows of the columns that it was made for.
// Unknown and unwanted fields are skipped; of a field that stands twice the
// last counts.
type Decoder struct {
	fields []Field // wanted, in the order of the batch's columns
	direct [fieldsDirect]int16
	others map[int32]int16
	seen   []int // per column: the row of which it has a value, plus 1
	items  Vector
}

// NewDecoder makes a decoder of the fields that want indexes.
func NewDecoder(fields []Field, want []int) (*Decoder, error) {
	if err := CheckFields(fields); err != nil {
		return nil, err
	}
	d := &Decoder{others: map[int32]int16{}, seen: make([]int, len(want))}
	for i := range d.direct {
		d.direct[i] = -1
	}
	for col, w := range want {
		f := fields[w]
		d.fields = append(d.fields, f)
		if f.Number < fieldsDirect {
			d.direct[f.Number] = int16(col)
		} else {
			d.others[f.Number] = int16(col)
		}
	}
	return d, nil
}

// Types returns the types of the batches that d appends to.
func (d *Decoder) Types() []Type {
	ts := make([]Type, len(d.fields))
	for i, f := range d.fields {
		ts[i] = f.Type
	}
	return ts
}

// AppendAll appends a row for each payload, or none and the first error.
func (d *Decoder) AppendAll(out *Batch, payloads [][]byte) error {
	from := out.N
	for _, p := range payloads {
		if err := d.Append(out, p); err != nil {
			out.Truncate(from)
			return err
		}
	}
	return nil
}

// Append appends the row of one payload. A payload that is refused leaves the
// batch as it was.
func (d *Decoder) Append(out *Batch, payload []byte) error {
	row := out.N + 1
	for i := range d.seen {
		d.seen[i] = 0
	}
	for at := 0; at < len(payload); {
		num, wire, n := consumeTag(payload[at:])
		if n < 0 {
			return d.undo(out, row, errorf(CodeInvalidPayload, "payload: no field at byte %d", at))
		}
		at += n
		col := int16(-1)
		if num < fieldsDirect {
			col = d.direct[num]
		} else if c, ok := d.others[num]; ok {
			col = c
		}
		if col < 0 {
			if n = skipField(num, wire, payload[at:]); n < 0 {
				return d.undo(out, row, errorf(CodeInvalidPayload, "payload: field %d at byte %d is cut short", num, at))
			}
			at += n
			continue
		}
		v := out.Cols[col]
		if d.seen[col] == row {
			v.Truncate(row - 1)
		}
		d.seen[col] = 0
		n, err := d.value(v, d.fields[col].Type, wire, payload[at:])
		if err != nil {
			v.Truncate(row - 1)
			return d.undo(out, row, errorf(CodeInvalidPayload, "payload: field %q at byte %d: %v", d.fields[col].Name, at, err))
		}
		d.seen[col] = row
		at += n
	}
	for i, v := range out.Cols {
		if d.seen[i] == row {
			continue
		}
		if d.fields[i].NotNull {
			return d.undo(out, row, errorf(CodeInvalidPayload, "payload: field %q is absent and may not be null", d.fields[i].Name))
		}
		v.AppendNull()
		d.seen[i] = row
	}
	out.N = row
	return nil
}

func (d *Decoder) undo(out *Batch, row int, err error) error {
	for i, v := range out.Cols {
		if d.seen[i] == row {
			v.Truncate(row - 1)
		}
	}
	return err
}

// consumeTag is protowire.ConsumeTag with its usual case first.
func consumeTag(b []byte) (num int32, wire protowire.Type, n int) {
	if len(b) > 0 && b[0] < 0x80 && b[0] >= 8 {
		return int32(b[0] >> 3), protowire.Type(b[0] & 7), 1
	}
	num64, wire, n := protowire.ConsumeTag(b)
	return int32(num64), wire, n
}

// skipField is the length of a field's value, negative if it is cut short:
// protowire.ConsumeFieldValue with its usual cases first.
func skipField(num int32, wire protowire.Type, b []byte) int {
	switch wire {
	case protowire.VarintType:
		for i, c := range b[:min(len(b), 9)] {
			if c < 0x80 {
				return i + 1
			}
		}
	case protowire.BytesType:
		if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) {
			return int(b[0]) + 1
		}
	case protowire.Fixed64Type:
		if len(b) >= 8 {
			return 8
		}
	}
	return protowire.ConsumeFieldValue(protowire.Number(num), wire, b)
}

// consumeBytes is protowire.ConsumeBytes with its usual case first.
func consumeBytes(b []byte) ([]byte, int) {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) {
		n := int(b[0]) + 1
		return b[1:n:n], n
	}
	return protowire.ConsumeBytes(b)
}

// wireOf is how values of a kind stand in a payload.
func wireOf(k Kind) protowire.Type {
	switch k {
	case Bool, Int2, Int4, Int8, Date:
		return protowire.VarintType
	case Float4:
		return protowire.Fixed32Type
	case Float8, Time, Timestamp, Timestamptz:
		return protowire.Fixed64Type
	}
	return protowire.BytesType
}

func (d *Decoder) value(v *Vector, t Type, wire protowire.Type, b []byte) (n int, err error) {
	if wire != wireOf(t.Kind) {
		return 0, errorf(CodeInvalidPayload, "wire type %d is not one of %s", wire, t)
	}
	if wire != protowire.BytesType {
		x, n, err := consumeInt(t, b)
		if err != nil {
			return 0, err
		}
		v.I = append(v.I, x)
		return n, nil
	}
	text, n := consumeBytes(b)
	if n < 0 {
		return 0, errorf(CodeInvalidPayload, "cut short")
	}
	if t.Kind == Array {
		return n, d.array(v, Of(t.Elem), text)
	}
	return n, appendWireBytes(v, t, text)
}

// appendWireBytes appends a value of a type that is bytes on the wire.
func appendWireBytes(v *Vector, t Type, b []byte) error {
	if len(b) > ValueBytesMax {
		return errorf(CodeTooLong, "a value has at most %d bytes, this one %d", ValueBytesMax, len(b))
	}
	switch t.Kind {
	case Text:
		if err := checkText(b); err != nil {
			return err
		}
	case Bytea:
	case UUID:
		if len(b) != 16 {
			return errorf(CodeInvalidPayload, "a uuid has 16 bytes, not %d", len(b))
		}
	default:
		return v.ParseAppend(b)
	}
	v.AppendBytes(b)
	return nil
}

func consumeInt(t Type, b []byte) (x int64, n int, err error) {
	switch wireOf(t.Kind) {
	case protowire.VarintType:
		var u uint64
		if len(b) > 0 && b[0] < 0x80 {
			u, n = uint64(b[0]), 1
		} else if len(b) > 1 && b[1] < 0x80 {
			u, n = uint64(b[0]&0x7f)|uint64(b[1])<<7, 2
		} else if u, n = protowire.ConsumeVarint(b); n < 0 {
			return 0, 0, errorf(CodeInvalidPayload, "cut short")
		}
		if t.Kind == Bool {
			if u > 1 {
				u = 1
			}
			return int64(u), n, nil
		}
		x = protowire.DecodeZigZag(u)
	case protowire.Fixed32Type:
		if len(b) < 4 {
			return 0, 0, errorf(CodeInvalidPayload, "cut short")
		}
		return float4Bits(binary.LittleEndian.Uint32(b)), 4, nil
	default:
		if len(b) < 8 {
			return 0, 0, errorf(CodeInvalidPayload, "cut short")
		}
		u := binary.LittleEndian.Uint64(b)
		if t.Kind == Float8 {
			return float8Bits(u), 8, nil
		}
		x, n = int64(u), 8
	}
	return x, n, checkInt(t, x)
}

func (d *Decoder) array(v *Vector, elem Type, b []byte) error {
	d.items.Reset(elem)
	for len(b) > 0 {
		num, wire, n := consumeTag(b)
		if n < 0 {
			return errorf(CodeInvalidPayload, "an array is cut short")
		}
		b = b[n:]
		if num != 1 {
			if n = skipField(num, wire, b); n < 0 {
				return errorf(CodeInvalidPayload, "an array is cut short")
			}
			b = b[n:]
			continue
		}
		if wire == protowire.BytesType && elem.Fixed() {
			packed, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errorf(CodeInvalidPayload, "an array is cut short")
			}
			b = b[n:]
			for len(packed) > 0 && d.items.Len() <= ArrayElementsMax {
				x, n, err := consumeInt(elem, packed)
				if err != nil {
					return err
				}
				d.items.I = append(d.items.I, x)
				packed = packed[n:]
			}
		} else {
			n, err := d.value(&d.items, elem, wire, b)
			if err != nil {
				return err
			}
			b = b[n:]
		}
		if d.items.Len() > ArrayElementsMax {
			return errorf(CodeTooLong, "an array has at most %d elements", ArrayElementsMax)
		}
	}
	data, err := AppendArray(v.Data, &d.items, 0, d.items.Len())
	if err != nil {
		return err
	}
	v.Data = data
	v.EndValue()
	return nil
}

// AppendPayload appends row i of a batch, whose columns are the fields in
// order, as a payload: fields in that order, nulls left out.
func AppendPayload(dst []byte, fields []Field, b *Batch, i int) ([]byte, error) {
	for k, f := range fields {
		v := b.Cols[k]
		if v.Null(i) {
			if f.NotNull {
				return dst, errorf("23502", "null value in column %q violates not-null constraint", f.Name)
			}
			continue
		}
		dst = protowire.AppendTag(dst, protowire.Number(f.Number), wireOf(f.Type.Kind))
		if f.Type.Kind != Array {
			dst = appendWire(dst, v, i)
			continue
		}
		elem := Of(f.Type.Elem)
		items := NewVector(elem)
		if err := DecodeArray(v.Bytes(i), items); err != nil {
			return dst, err
		}
		var message []byte
		for j := range items.Len() {
			if items.Null(j) {
				return dst, errorf("22004", "field %q: an event's array has no null elements", f.Name)
			}
			message = protowire.AppendTag(message, 1, wireOf(elem.Kind))
			message = appendWire(message, items, j)
		}
		dst = protowire.AppendBytes(dst, message)
	}
	return dst, nil
}

func appendWire(dst []byte, v *Vector, i int) []byte {
	switch k := v.Type.Kind; wireOf(k) {
	case protowire.VarintType:
		if k == Bool {
			return protowire.AppendVarint(dst, uint64(v.I[i]))
		}
		return protowire.AppendVarint(dst, protowire.EncodeZigZag(v.I[i]))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(dst, toFloat4Bits(v.I[i]))
	case protowire.Fixed64Type:
		if k == Float8 {
			return protowire.AppendFixed64(dst, toFloat8Bits(v.I[i]))
		}
		return protowire.AppendFixed64(dst, uint64(v.I[i]))
	}
	switch v.Type.Kind {
	case Text, Bytea, UUID, JSONB:
		return protowire.AppendBytes(dst, v.Bytes(i))
	}
	return protowire.AppendBytes(dst, v.AppendText(nil, i))
}
