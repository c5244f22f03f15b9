package expr

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"actordb/core/row"
)

// Documents are canonical jsonb (package row): no space but after ',' and ':',
// so that a part of one is canonical, too.

// skipJSON returns where the value that begins at i ends.
func skipJSON(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// jsonMember finds the member of an object by its key, as canonical JSON.
func jsonMember(doc, key []byte) ([]byte, bool) {
	if len(doc) < 2 || doc[0] != '{' {
		return nil, false
	}
	for i := 1; i < len(doc) && doc[i] != '}'; {
		end := skipJSON(doc, i)
		value := end + 2 // after ": "
		next := skipJSON(doc, value)
		if bytes.Equal(doc[i:end], key) {
			return doc[value:next], true
		}
		i = next + 2 // after ", "
		if doc[next] == '}' {
			break
		}
	}
	return nil, false
}

// jsonElement finds an element of an array; negative ones count from the end.
func jsonElement(doc []byte, n int64) ([]byte, bool) {
	if len(doc) > 0 && doc[0] != '[' && doc[0] != '{' { // PostgreSQL keeps a scalar as an array of one
		return doc, n == 0 || n == -1
	}
	if n < 0 {
		n += jsonLength(doc)
	}
	if n < 0 || len(doc) < 3 || doc[0] != '[' {
		return nil, false
	}
	for i := 1; i < len(doc); n-- {
		end := skipJSON(doc, i)
		if n == 0 {
			return doc[i:end], true
		}
		if doc[end] == ']' {
			break
		}
		i = end + 2
	}
	return nil, false
}

// jsonLength is the number of an array's elements.
func jsonLength(doc []byte) (n int64) {
	if len(doc) < 3 || doc[0] != '[' {
		return 0
	}
	for i := 1; ; {
		n++
		end := skipJSON(doc, i)
		if doc[end] == ']' {
			return n
		}
		i = end + 2
	}
}

// appendJSON writes a part of a document: as jsonb, or as text, which is null
// for null and without quotes for a string.
func appendJSON(dst, part []byte, asText bool) ([]byte, *row.Error) {
	if !asText {
		return append(dst, part...), nil
	}
	if string(part) == "null" {
		return dst, isNull
	}
	if part[0] == '"' {
		return unquoteJSON(dst, part[1:len(part)-1]), nil
	}
	return append(dst, part...), nil
}

// unquoteJSON resolves the escapes that canonical JSON has.
func unquoteJSON(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			if i+4 < len(s) {
				if n, err := strconv.ParseUint(string(s[i+1:i+5]), 16, 32); err == nil {
					dst = utf8.AppendRune(dst, rune(n))
				}
				i += 4
			}
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

// jsonKey is -> and ->> with a text.
func jsonKey(asText bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		key := c.scratch(0, row.Of(row.Text))
		key.Data = row.AppendJSONString(key.Data, c.args[1].Bytes(i))
		part, ok := jsonMember(c.args[0].Bytes(i), key.Data)
		if !ok {
			return dst, isNull
		}
		return appendJSON(dst, part, asText)
	})
}

// jsonIndex is -> and ->> with an integer.
func jsonIndex(asText bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		part, ok := jsonElement(c.args[0].Bytes(i), c.args[1].I[i])
		if !ok {
			return dst, isNull
		}
		return appendJSON(dst, part, asText)
	})
}

// jsonPath is #> and #>> with an array of texts.
func jsonPath(asText bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		steps := c.scratch(0, row.Of(row.Text))
		if err := row.DecodeArray(c.args[1].Bytes(i), steps); err != nil {
			return dst, asError(err)
		}
		part, ok := c.args[0].Bytes(i), true
		key := c.scratch(1, row.Of(row.Text))
		for k := range steps.Len() {
			if steps.Null(k) {
				return dst, isNull
			}
			if len(part) > 0 && part[0] == '[' {
				n, err := strconv.ParseInt(string(steps.Bytes(k)), 10, 64)
				if err != nil {
					return dst, isNull
				}
				part, ok = jsonElement(part, n)
			} else {
				key.Data = row.AppendJSONString(key.Data[:0], steps.Bytes(k))
				part, ok = jsonMember(part, key.Data)
			}
			if !ok {
				return dst, isNull
			}
		}
		return appendJSON(dst, part, asText)
	})
}

var jsonTypeof = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	name := "number"
	switch c.args[0].Bytes(i)[0] {
	case '{':
		name = "object"
	case '[':
		name = "array"
	case '"':
		name = "string"
	case 't', 'f':
		name = "boolean"
	case 'n':
		name = "null"
	}
	return append(dst, name...), nil
})

var jsonArrayLength = ints(func(c *call, i int) (int64, *row.Error) {
	doc := c.args[0].Bytes(i)
	if doc[0] != '[' {
		return 0, row.Errorf("22023", "cannot get array length of a non-array")
	}
	return jsonLength(doc), nil
})
