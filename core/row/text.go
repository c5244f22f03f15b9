package row

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// checkText refuses what PostgreSQL's text cannot hold.
func checkText(b []byte) error {
	if !utf8.Valid(b) {
		return errorf("22021", "invalid byte sequence for encoding UTF8")
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return errorf("22021", "a text holds no zero byte")
	}
	return nil
}

// AppendText writes row i, which is not null, as PostgreSQL prints it.
func (v *Vector) AppendText(dst []byte, i int) []byte {
	if v.Type.Fixed() {
		return appendInt(dst, v.Type, v.I[i])
	}
	return appendBytesText(dst, v.Type, v.Bytes(i))
}

// AppendText writes a value that is not null, as PostgreSQL prints it.
func (x Value) AppendText(dst []byte) []byte {
	if x.Type.Fixed() {
		return appendInt(dst, x.Type, x.I)
	}
	return appendBytesText(dst, x.Type, x.B)
}

// String is the value's text, for messages and tests.
func (x Value) String() string {
	if x.IsNull {
		return "NULL"
	}
	return string(x.AppendText(nil))
}

func appendInt(dst []byte, t Type, x int64) []byte {
	switch t.Kind {
	case Bool:
		if x != 0 {
			return append(dst, 't')
		}
		return append(dst, 'f')
	case Float4:
		return appendFloat(dst, x, 32)
	case Float8:
		return appendFloat(dst, x, 64)
	case Date, Time, Timestamp, Timestamptz:
		return appendTemporal(dst, t, x)
	}
	return strconv.AppendInt(dst, x, 10)
}

func appendBytesText(dst []byte, t Type, b []byte) []byte {
	switch t.Kind {
	case Numeric:
		return appendNumericText(dst, b)
	case Bytea:
		return hex.AppendEncode(append(dst, '\\', 'x'), b)
	case Interval:
		return appendIntervalText(dst, DecodeInterval(b))
	case UUID:
		for i, c := range b {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				dst = append(dst, '-')
			}
			dst = hex.AppendEncode(dst, []byte{c})
		}
		return dst
	case Array:
		return appendArrayText(dst, Of(t.Elem), b)
	}
	return append(dst, b...)
}

// Parse reads a value's text.
func Parse(t Type, text []byte) (Value, error) {
	v := NewVector(t)
	if err := v.ParseAppend(text); err != nil {
		return Value{}, err
	}
	return v.Value(0), nil
}

// ParseAppend reads a value's text, in the forms that PostgreSQL prints and the
// common ones that it reads, and appends it. The vector is unchanged by text
// that is refused.
func (v *Vector) ParseAppend(text []byte) error {
	if len(text) > ValueBytesMax {
		return errorf(CodeTooLong, "a value has at most %d bytes, this one %d", ValueBytesMax, len(text))
	}
	if v.Type.Fixed() {
		x, err := parseFixed(v.Type, text)
		if err != nil {
			return err
		}
		v.I = append(v.I, x)
		return nil
	}
	at := len(v.Data)
	data, err := appendParsed(v.Data, v.Type, text)
	if err == nil && len(data)-at > ValueBytesMax {
		err = errorf(CodeTooLong, "a value has at most %d bytes", ValueBytesMax)
	}
	if err != nil {
		v.Data = data[:at]
		return err
	}
	v.Data = data
	v.EndValue()
	return nil
}

func parseFixed(t Type, text []byte) (int64, error) {
	switch t.Kind {
	case Bool:
		return parseBool(text)
	case Float4, Float8:
		bits := 64
		if t.Kind == Float4 {
			bits = 32
		}
		return parseFloat(text, bits)
	case Date, Time, Timestamp, Timestamptz:
		return parseTemporal(t, text)
	}
	s := string(bytes.TrimSpace(text))
	x, err := strconv.ParseInt(s, 10, 8*kinds[t.Kind].keySize)
	if err != nil {
		if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
			return 0, errorf(CodeOutOfRange, "value %q is out of range for type %s", text, t)
		}
		return 0, errorf(CodeInvalidText, "invalid input syntax for type %s: %q", t, text)
	}
	return x, nil
}

func parseBool(text []byte) (int64, error) {
	switch string(bytes.ToLower(bytes.TrimSpace(text))) {
	case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
		return 1, nil
	case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
		return 0, nil
	}
	return 0, errorf(CodeInvalidText, "invalid input syntax for type boolean: %q", text)
}

func appendParsed(dst []byte, t Type, text []byte) ([]byte, error) {
	switch t.Kind {
	case Numeric:
		return appendParsedNumeric(dst, text)
	case Text:
		return append(dst, text...), checkText(text)
	case Bytea:
		return parseBytea(dst, text)
	case Interval:
		x, err := ParseInterval(text)
		if err != nil {
			return dst, err
		}
		return AppendInterval(dst, x), nil
	case UUID:
		return parseUUID(dst, text)
	case JSONB:
		return AppendJSON(dst, text)
	case Array:
		return parseArray(dst, Of(t.Elem), text)
	}
	return dst, errorf(CodeDatatype, "type %s has no text", t)
}

func parseBytea(dst, text []byte) ([]byte, error) {
	if h, ok := bytes.CutPrefix(text, []byte(`\x`)); ok {
		out, err := hex.AppendDecode(dst, bytes.Join(bytes.Fields(h), nil))
		if err != nil {
			return dst, errorf(CodeInvalidText, "invalid hexadecimal data: %q", text)
		}
		return out, nil
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			dst = append(dst, text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '\\' {
			dst = append(dst, '\\')
			i++
			continue
		}
		if i+3 >= len(text) {
			return dst, errorf(CodeInvalidText, "invalid input syntax for type bytea: %q", text)
		}
		x, err := strconv.ParseUint(string(text[i+1:i+4]), 8, 8)
		if err != nil {
			return dst, errorf(CodeInvalidText, "invalid input syntax for type bytea: %q", text)
		}
		dst = append(dst, byte(x))
		i += 3
	}
	return dst, nil
}

func parseUUID(dst, text []byte) ([]byte, error) {
	s := bytes.TrimSpace(text)
	if len(s) > 1 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	var digits [32]byte
	n := 0
	for i, c := range s {
		if c == '-' && n > 0 && n%4 == 0 && i+1 < len(s) && s[i-1] != '-' {
			continue
		}
		if n == 32 {
			n++
			break
		}
		digits[n] = c
		n++
	}
	out, err := hex.AppendDecode(dst, digits[:min(n, 32)])
	if n != 32 || err != nil {
		return dst, errorf(CodeInvalidText, "invalid input syntax for type uuid: %q", text)
	}
	return out, nil
}
