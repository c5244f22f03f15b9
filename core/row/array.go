package row

import "bytes"

// An array is kept as the keys of its elements, each after a mark, and an end.
// So arrays are ordered by their elements, a shorter one before a longer one
// that begins with it, null elements after values.
const (
	arrayEnd   = 0
	arrayValue = 1
	arrayNull  = 2
)

// AppendArray writes an array of the rows lo to hi of elems.
func AppendArray(dst []byte, elems *Vector, lo, hi int) ([]byte, error) {
	if hi-lo > ArrayElementsMax {
		return dst, errorf(CodeTooLong, "an array has at most %d elements, this one %d", ArrayElementsMax, hi-lo)
	}
	for i := lo; i < hi; i++ {
		dst = elems.appendKey(dst, i, Sort{})
	}
	return append(dst, arrayEnd), nil
}

// DecodeArray appends the elements of an array to elems, which has their type.
func DecodeArray(b []byte, elems *Vector) error {
	for n := 0; len(b) > 0; n++ {
		if b[0] == arrayEnd {
			if len(b) != 1 {
				break
			}
			return nil
		}
		if n == ArrayElementsMax {
			return errorf(CodeTooLong, "an array has at most %d elements", ArrayElementsMax)
		}
		rest, err := elems.decodeKey(b, Sort{})
		if err != nil {
			return err
		}
		b = rest
	}
	return errorf(CodeInvalidPayload, "not an array of %s", elems.Type)
}

func checkArray(elem Type, b []byte) error {
	elems := NewVector(elem)
	if err := DecodeArray(b, elems); err != nil {
		return err
	}
	again, err := AppendArray(nil, elems, 0, elems.Len())
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return errorf(CodeInvalidPayload, "an array of %s is not canonical", elem)
	}
	return nil
}

// appendArrayText writes {1,NULL,"a b"}.
func appendArrayText(dst []byte, elem Type, b []byte) []byte {
	elems := NewVector(elem)
	if DecodeArray(b, elems) != nil {
		return dst
	}
	dst = append(dst, '{')
	for i := range elems.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if elems.Null(i) {
			dst = append(dst, "NULL"...)
			continue
		}
		text := elems.AppendText(nil, i)
		if !arrayQuotes(text) {
			dst = append(dst, text...)
			continue
		}
		dst = append(dst, '"')
		for _, c := range text {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func arrayQuotes(text []byte) bool {
	return len(text) == 0 || bytes.EqualFold(text, []byte("null")) || bytes.ContainsAny(text, "{},\"\\ \t\n\r\v\f")
}

// parseArray reads what appendArrayText writes.
func parseArray(dst []byte, elem Type, text []byte) ([]byte, error) {
	bad := errorf(CodeInvalidText, "malformed array literal: %q", text)
	s := bytes.TrimSpace(text)
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return dst, bad
	}
	s = s[1 : len(s)-1]
	elems := NewVector(elem)
	if len(bytes.TrimSpace(s)) == 0 {
		return AppendArray(dst, elems, 0, 0)
	}
	for more := true; more; {
		item, quoted, rest, ok := arrayItem(s)
		if !ok {
			return dst, bad
		}
		s, more = rest, false
		if len(s) > 0 {
			s, more = s[1:], true
		}
		if !quoted && bytes.EqualFold(item, []byte("null")) {
			elems.AppendNull()
			continue
		}
		if err := elems.ParseAppend(item); err != nil {
			return dst, err
		}
	}
	return AppendArray(dst, elems, 0, elems.Len())
}

// arrayItem reads up to a comma or the end.
func arrayItem(s []byte) (item []byte, quoted bool, rest []byte, ok bool) {
	s = bytes.TrimLeft(s, " \t\n\r\v\f")
	if len(s) > 0 && s[0] == '"' {
		quoted = true
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' {
				if i++; i == len(s) {
					return nil, false, nil, false
				}
			}
			item = append(item, s[i])
		}
		if i >= len(s) {
			return nil, false, nil, false
		}
		rest = bytes.TrimLeft(s[i+1:], " \t\n\r\v\f")
		return item, true, rest, len(rest) == 0 || rest[0] == ','
	}
	i := 0
	for ; i < len(s) && s[i] != ','; i++ {
		switch s[i] {
		case '{', '}', '"':
			return nil, false, nil, false
		case '\\':
			if i++; i == len(s) {
				return nil, false, nil, false
			}
		}
		item = append(item, s[i])
	}
	item = bytes.TrimRight(item, " \t\n\r\v\f")
	return item, false, s[i:], len(item) > 0
}
