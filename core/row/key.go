package row

import (
	"bytes"
	"encoding/binary"
)

// A key is, for each column of an order, a byte that tells nulls (0 before
// values, 2 after them, 1 a value) and the value: a fixed type as big endian
// with the sign inverted, text-like bytes escaped (00 as 00 FF, end 00 01),
// other types as they are, since they end themselves. Descending values are
// inverted.

const (
	keyNullFirst = 0
	keyValue     = 1
	keyNullLast  = 2
)

// escaped reports whether values of t need an end in a key.
func escaped(t Type) bool {
	return t.Kind == Text || t.Kind == Bytea || t.Kind == JSONB
}

// AppendKey appends the key of row i under sorts.
func (b *Batch) AppendKey(dst []byte, sorts []Sort, i int) []byte {
	for _, s := range sorts {
		dst = b.Cols[s.Col].appendKey(dst, i, s)
	}
	return dst
}

func (v *Vector) appendKey(dst []byte, i int, s Sort) []byte {
	if v.Nulls.Get(i) {
		if s.NullsFirst {
			return append(dst, keyNullFirst)
		}
		return append(dst, keyNullLast)
	}
	dst = append(dst, keyValue)
	at := len(dst)
	if v.Type.Fixed() {
		dst = appendKeyInt(dst, v.Type, v.I[i])
	} else {
		dst = appendKeyBytes(dst, v.Type, v.Bytes(i))
	}
	if s.Desc {
		for k := at; k < len(dst); k++ {
			dst[k] = ^dst[k]
		}
	}
	return dst
}

func appendKeyInt(dst []byte, t Type, x int64) []byte {
	switch kinds[t.Kind].keySize {
	case 1:
		return append(dst, byte(x)^0x80)
	case 2:
		return binary.BigEndian.AppendUint16(dst, uint16(x)^1<<15)
	case 4:
		return binary.BigEndian.AppendUint32(dst, uint32(x)^1<<31)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(x)^1<<63)
}

func appendKeyBytes(dst []byte, t Type, b []byte) []byte {
	if !escaped(t) {
		return append(dst, b...)
	}
	for {
		z := bytes.IndexByte(b, 0)
		if z < 0 {
			break
		}
		dst = append(append(dst, b[:z]...), 0, 0xff)
		b = b[z+1:]
	}
	return append(append(dst, b...), 0, 1)
}

// DecodeKey appends the row of a key to the columns that sorts name, and
// returns what follows the key. Columns that sorts do not name are left alone;
// so is b.N.
func (b *Batch) DecodeKey(key []byte, sorts []Sort) (rest []byte, err error) {
	for _, s := range sorts {
		if key, err = b.Cols[s.Col].decodeKey(key, s); err != nil {
			return nil, err
		}
	}
	return key, nil
}

func (v *Vector) decodeKey(key []byte, s Sort) (rest []byte, err error) {
	if len(key) == 0 {
		return nil, notKey(v.Type)
	}
	mark := key[0]
	key = key[1:]
	switch {
	case mark == keyNullFirst && s.NullsFirst || mark == keyNullLast && !s.NullsFirst:
		v.AppendNull()
		return key, nil
	case mark != keyValue:
		return nil, notKey(v.Type)
	}
	var flip byte
	if s.Desc {
		flip = 0xff
	}
	if v.Type.Fixed() {
		return v.decodeKeyInt(key, flip)
	}
	if escaped(v.Type) {
		return v.decodeEscaped(key, flip)
	}
	n, err := keyLength(v.Type, key, flip)
	if err != nil {
		return nil, err
	}
	at := len(v.Data)
	v.Data = append(v.Data, key[:n]...)
	if flip != 0 {
		for i := at; i < len(v.Data); i++ {
			v.Data[i] = ^v.Data[i]
		}
	}
	if err := checkBytes(v.Type, v.Data[at:]); err != nil {
		v.Data = v.Data[:at]
		return nil, err
	}
	v.EndValue()
	return key[n:], nil
}

func (v *Vector) decodeKeyInt(key []byte, flip byte) ([]byte, error) {
	size := kinds[v.Type.Kind].keySize
	if len(key) < size {
		return nil, errorf(CodeInvalidPayload, "not a key of type %s: %d bytes", v.Type, len(key))
	}
	var u uint64
	for _, c := range key[:size] {
		u = u<<8 | uint64(c^flip)
	}
	shift := uint(64 - 8*size)
	x := int64(u<<shift^1<<63) >> shift
	if err := checkInt(v.Type, x); err != nil {
		return nil, err
	}
	v.I = append(v.I, x)
	return key[size:], nil
}

func (v *Vector) decodeEscaped(key []byte, flip byte) ([]byte, error) {
	at := len(v.Data)
	for i := 0; i < len(key); i++ {
		c := key[i] ^ flip
		if c != 0 {
			v.Data = append(v.Data, c)
			continue
		}
		if i++; i == len(key) {
			break
		}
		switch key[i] ^ flip {
		case 0xff:
			v.Data = append(v.Data, 0)
			continue
		case 1:
			if err := checkBytes(v.Type, v.Data[at:]); err != nil {
				v.Data = v.Data[:at]
				return nil, err
			}
			v.EndValue()
			return key[i+1:], nil
		}
		break
	}
	v.Data = v.Data[:at]
	return nil, errorf(CodeInvalidPayload, "not a key of type %s: no end", v.Type)
}

func notKey(t Type) error { return errorf(CodeInvalidPayload, "not a key of type %s", t) }

// keyLength is the length of a value that ends itself.
func keyLength(t Type, key []byte, flip byte) (int, error) {
	if size := kinds[t.Kind].keySize; size > 0 {
		if len(key) < size {
			return 0, notKey(t)
		}
		return size, nil
	}
	if len(key) == 0 {
		return 0, notKey(t)
	}
	switch t.Kind {
	case Numeric:
		class := key[0] ^ flip
		if class != numNeg && class != numPos {
			return 1, nil
		}
		end := flip
		if class == numNeg {
			end = ^flip
		}
		for i := 3; i < len(key); i++ {
			if key[i] == end {
				return i + 1, nil
			}
		}
	case Array:
		n := 0
		for n < len(key) {
			switch key[n] ^ flip {
			case arrayEnd:
				return n + 1, nil
			case arrayNull:
				n++
			case arrayValue:
				size, err := elementLength(Of(t.Elem), key[n+1:], flip)
				if err != nil {
					return 0, err
				}
				n += 1 + size
			default:
				return 0, notKey(t)
			}
		}
	}
	return 0, notKey(t)
}

// elementLength is the length of an array's element in a key.
func elementLength(t Type, key []byte, flip byte) (int, error) {
	if t.Fixed() || !escaped(t) {
		return keyLength(t, key, flip)
	}
	for i := 0; i+1 < len(key); i++ {
		if key[i]^flip == 0 {
			if key[i+1]^flip == 1 {
				return i + 2, nil
			}
			i++
		}
	}
	return 0, errorf(CodeInvalidPayload, "not a key of type %s: no end", t)
}

// checkInt refuses an int64 that no value of t is.
func checkInt(t Type, x int64) error {
	ok := true
	switch t.Kind {
	case Bool:
		ok = x == 0 || x == 1
	case Int2:
		ok = x == int64(int16(x))
	case Int4:
		ok = x == int64(int32(x))
	case Time:
		ok = x >= 0 && x <= dayMicros
	case Float4, Float8:
		ok = canonicalFloat(x)
		if r, fits := RoundFloat4(x); ok && t.Kind == Float4 {
			ok = fits && r == x
		}
	case Date, Timestamp, Timestamptz:
		ok = inTimeRange(t, x)
	}
	if !ok {
		return errorf(CodeInvalidPayload, "%d is no value of type %s", x, t)
	}
	return nil
}

// checkBytes refuses bytes that no value of t has.
func checkBytes(t Type, b []byte) error {
	if len(b) > ValueBytesMax {
		return errorf(CodeTooLong, "a value has at most %d bytes, this one %d", ValueBytesMax, len(b))
	}
	switch t.Kind {
	case Text:
		return checkText(b)
	case Numeric:
		return checkNumeric(b)
	case Interval:
		return checkInterval(b)
	case UUID:
		if len(b) != 16 {
			return errorf(CodeInvalidPayload, "a uuid has 16 bytes, not %d", len(b))
		}
	case JSONB:
		return checkJSON(b)
	case Array:
		return checkArray(Of(t.Elem), b)
	}
	return nil
}
