package row

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Canonical jsonb is text, as PostgreSQL prints it: ", " and ": " as
// separators, an object's keys by length and then by bytes, the last of equal
// keys, no escapes but those that are needed, numbers as canonical numerics.

// AppendJSON reads JSON text and appends canonical jsonb.
func AppendJSON(dst, text []byte) ([]byte, error) {
	if len(text) > ValueBytesMax {
		return dst, errorf(CodeTooLong, "a value has at most %d bytes, this one %d", ValueBytesMax, len(text))
	}
	at := len(dst)
	p := jsonReader{s: text}
	p.space()
	dst, err := p.value(dst, 0)
	if err == nil {
		if p.space(); p.i < len(text) {
			err = p.bad()
		}
	}
	if err != nil {
		return dst[:at], err
	}
	if len(dst)-at > ValueBytesMax {
		return dst[:at], errorf(CodeTooLong, "a value has at most %d bytes", ValueBytesMax)
	}
	return dst, nil
}

func checkJSON(b []byte) error {
	again, err := AppendJSON(nil, b)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return errorf(CodeInvalidPayload, "jsonb is not canonical")
	}
	return nil
}

type jsonReader struct {
	s []byte
	i int
}

func (p *jsonReader) bad() error {
	return errorf(CodeInvalidText, "invalid input syntax for type json: at byte %d", p.i)
}

func (p *jsonReader) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *jsonReader) accept(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *jsonReader) value(dst []byte, depth int) ([]byte, error) {
	if depth > JSONDepthMax {
		return dst, errorf(CodeTooLong, "json nests at most %d deep", JSONDepthMax)
	}
	if p.i == len(p.s) {
		return dst, p.bad()
	}
	switch c := p.s[p.i]; {
	case c == '{':
		return p.object(dst, depth)
	case c == '[':
		return p.array(dst, depth)
	case c == '"':
		return p.str(dst)
	case c == '-' || c >= '0' && c <= '9':
		return p.number(dst)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(p.s)-p.i >= len(word) && string(p.s[p.i:p.i+len(word)]) == word {
			p.i += len(word)
			return append(dst, word...), nil
		}
	}
	return dst, p.bad()
}

func (p *jsonReader) array(dst []byte, depth int) ([]byte, error) {
	p.i++
	dst = append(dst, '[')
	p.space()
	if p.accept(']') {
		return append(dst, ']'), nil
	}
	for {
		var err error
		p.space()
		if dst, err = p.value(dst, depth+1); err != nil {
			return dst, err
		}
		p.space()
		if p.accept(']') {
			return append(dst, ']'), nil
		}
		if !p.accept(',') {
			return dst, p.bad()
		}
		dst = append(dst, ", "...)
	}
}

type jsonMember struct {
	key, value []byte
	order      int
}

func (p *jsonReader) object(dst []byte, depth int) ([]byte, error) {
	p.i++
	p.space()
	if p.accept('}') {
		return append(dst, "{}"...), nil
	}
	var members []jsonMember
	for {
		p.space()
		if p.i == len(p.s) || p.s[p.i] != '"' {
			return dst, p.bad()
		}
		key, err := p.str(nil)
		if err != nil {
			return dst, err
		}
		p.space()
		if !p.accept(':') {
			return dst, p.bad()
		}
		p.space()
		value, err := p.value(nil, depth+1)
		if err != nil {
			return dst, err
		}
		members = append(members, jsonMember{key, value, len(members)})
		p.space()
		if p.accept('}') {
			break
		}
		if !p.accept(',') {
			return dst, p.bad()
		}
	}
	slices.SortFunc(members, func(a, b jsonMember) int {
		if d := len(a.key) - len(b.key); d != 0 {
			return d
		}
		if d := bytes.Compare(a.key, b.key); d != 0 {
			return d
		}
		return a.order - b.order
	})
	dst = append(dst, '{')
	first := true
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.key, members[i+1].key) {
			continue
		}
		if !first {
			dst = append(dst, ", "...)
		}
		first = false
		dst = append(append(append(dst, m.key...), ": "...), m.value...)
	}
	return append(dst, '}'), nil
}

func (p *jsonReader) number(dst []byte) ([]byte, error) {
	from := p.i
	p.accept('-')
	digits := func() bool {
		at := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		return p.i > at
	}
	if !p.accept('0') && !digits() {
		return dst, p.bad()
	}
	if p.accept('.') && !digits() {
		return dst, p.bad()
	}
	if p.accept('e') || p.accept('E') {
		if !p.accept('-') {
			p.accept('+')
		}
		if !digits() {
			return dst, p.bad()
		}
	}
	n, err := appendParsedNumeric(nil, p.s[from:p.i])
	if err != nil {
		return dst, err
	}
	return appendNumericText(dst, n), nil
}

// str reads a string and appends it with its quotes.
func (p *jsonReader) str(dst []byte) ([]byte, error) {
	p.i++
	var room [64]byte
	plain := room[:0]
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			if err := checkText(plain); err != nil {
				return dst, err
			}
			return AppendJSONString(dst, plain), nil
		case c < ' ':
			return dst, p.bad()
		case c == '\\':
			p.i++
			var err error
			if plain, err = p.escape(plain); err != nil {
				return dst, err
			}
		default:
			plain = append(plain, c)
			p.i++
		}
	}
	return dst, p.bad()
}

func (p *jsonReader) escape(plain []byte) ([]byte, error) {
	if p.i == len(p.s) {
		return plain, p.bad()
	}
	c := p.s[p.i]
	p.i++
	switch c {
	case '"', '\\', '/':
		return append(plain, c), nil
	case 'b':
		return append(plain, '\b'), nil
	case 'f':
		return append(plain, '\f'), nil
	case 'n':
		return append(plain, '\n'), nil
	case 'r':
		return append(plain, '\r'), nil
	case 't':
		return append(plain, '\t'), nil
	case 'u':
		r, ok := p.hex4()
		if ok && utf16.IsSurrogate(r) {
			var low rune
			if ok = p.accept('\\') && p.accept('u'); ok {
				low, ok = p.hex4()
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				ok = false
			}
		}
		if !ok || r == 0 {
			return plain, p.bad()
		}
		return utf8.AppendRune(plain, r), nil
	}
	return plain, p.bad()
}

func (p *jsonReader) hex4() (rune, bool) {
	if len(p.s)-p.i < 4 {
		return 0, false
	}
	x, err := strconv.ParseUint(string(p.s[p.i:p.i+4]), 16, 32)
	p.i += 4
	return rune(x), err == nil
}

// AppendJSONString writes a text as a JSON string, escaping what must be.
func AppendJSONString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}
