package workloads

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Payloads are Protobuf messages of two kinds of fields: sint64 and string (or
// a message, which looks the same).

var errPayload = errors.New("not a message of this type")

func appendInt(dst []byte, field protowire.Number, v int64) []byte {
	dst = protowire.AppendTag(dst, field, protowire.VarintType)
	return protowire.AppendVarint(dst, protowire.EncodeZigZag(v))
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

// message is the largest message of this package, taken apart: its fields of
// either kind by number, from 1.
type message struct {
	ints  [4]int64
	texts [4][]byte
	has   uint8 // bit n: field n is there
}

func (m *message) filled(field uint8) bool { return m.has&(1<<field) != 0 }

// parse takes b apart. The texts alias b. Unknown fields are an error: nobody
// newer writes here.
func parse(b []byte) (m message, err error) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, fmt.Errorf("%w: %w", errPayload, protowire.ParseError(n))
		}
		if field < 1 || int(field) >= len(m.ints) {
			return m, fmt.Errorf("%w: field %d", errPayload, field)
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, k := protowire.ConsumeVarint(b)
			m.ints[field], n = protowire.DecodeZigZag(v), k
		case protowire.BytesType:
			m.texts[field], n = protowire.ConsumeBytes(b)
		default:
			return m, fmt.Errorf("%w: field %d of wire type %d", errPayload, field, kind)
		}
		if n < 0 {
			return m, fmt.Errorf("%w: %w", errPayload, protowire.ParseError(n))
		}
		m.has |= 1 << field
		b = b[n:]
	}
	return m, nil
}

// messages walks a state that is a list of messages in field 1.
func messages(b []byte, each func(m *message) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 || field != 1 || kind != protowire.BytesType {
			return fmt.Errorf("%w: want field 1", errPayload)
		}
		body, k := protowire.ConsumeBytes(b[n:])
		if k < 0 {
			return fmt.Errorf("%w: %w", errPayload, protowire.ParseError(k))
		}
		m, err := parse(body)
		if err != nil {
			return err
		}
		if err := each(&m); err != nil {
			return err
		}
		b = b[n+k:]
	}
	return nil
}

// consumeInt reads one integer field off the front of b.
func consumeInt(b []byte, want protowire.Number) (v int64, rest []byte, err error) {
	field, kind, n := protowire.ConsumeTag(b)
	if n < 0 || field != want || kind != protowire.VarintType {
		return 0, nil, fmt.Errorf("%w: want an integer in field %d", errPayload, want)
	}
	u, k := protowire.ConsumeVarint(b[n:])
	if k < 0 {
		return 0, nil, fmt.Errorf("%w: %w", errPayload, protowire.ParseError(k))
	}
	return protowire.DecodeZigZag(u), b[n+k:], nil
}
