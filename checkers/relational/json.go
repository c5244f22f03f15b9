package relational

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"actordb/core/sql/sqlerr"
)

// A jsonNull is null in a jsonb document, to be told from NULL.
type jsonNull struct{}

// An object is a JSON object's members: sorted for jsonb by length, then bytes,
// with the last of equal keys.
type object []member

type member struct {
	key   string
	value any
}

// decodeJSON reads a document: jsonNull, bool, *apd.Decimal, string, []any, object.
func decodeJSON(s string) any {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	v, ok := decodeValue(d)
	if ok {
		_, err := d.Token()
		ok = err == io.EOF
	}
	if !ok {
		fail(sqlerr.InvalidText, "invalid input syntax for type json")
	}
	return v
}

func decodeValue(d *json.Decoder) (any, bool) {
	t, err := d.Token()
	if err != nil {
		return nil, false
	}
	switch t := t.(type) {
	case nil:
		return jsonNull{}, true
	case json.Number:
		n, _, err := apd.NewFromString(t.String())
		if err == nil && n.Exponent > 0 {
			n = rescale(n, 0)
		}
		return n, err == nil
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				v, ok := decodeValue(d)
				if !ok {
					return nil, false
				}
				list = append(list, v)
			}
			_, err := d.Token()
			return list, err == nil
		}
		o := object{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, false
			}
			v, ok := decodeValue(d)
			if !ok {
				return nil, false
			}
			key := k.(string)
			o = slices.DeleteFunc(o, func(m member) bool { return m.key == key })
			o = append(o, member{key, v})
		}
		slices.SortFunc(o, func(a, b member) int {
			return cmp.Or(cmp.Compare(len(a.key), len(b.key)), strings.Compare(a.key, b.key))
		})
		_, err := d.Token()
		return o, err == nil
	}
	return t, true
}

// encodeJSON writes a jsonb document.
func encodeJSON(v any) string {
	switch v := v.(type) {
	case jsonNull:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case *apd.Decimal:
		return v.Text('f')
	case string:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(err)
		}
		return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(b.String(), "\n"))
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, encodeJSON(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	var parts []string
	for _, m := range v.(object) {
		parts = append(parts, encodeJSON(m.key)+": "+encodeJSON(m.value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// compareJSON orders documents as PostgreSQL's jsonb_ops: object, array, bool,
// number, string, null, from the greatest down. (An empty array is the least of
// all: PostgreSQL keeps that for compatibility.)
func compareJSON(a, b any) int {
	rank := func(v any) int {
		switch v := v.(type) {
		case jsonNull:
			return 1
		case string:
			return 2
		case *apd.Decimal:
			return 3
		case bool:
			return 4
		case []any:
			if len(v) == 0 {
				return 0
			}
			return 5
		}
		return 6
	}
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case *apd.Decimal:
		return a.Cmp(b.(*apd.Decimal))
	case bool:
		return compare(Value{Bool, a}, Value{Bool, b})
	case []any:
		y := b.([]any)
		if c := cmp.Compare(len(a), len(y)); c != 0 {
			return c
		}
		for i := range a {
			if c := compareJSON(a[i], y[i]); c != 0 {
				return c
			}
		}
	case object:
		y := b.(object)
		if c := cmp.Compare(len(a), len(y)); c != 0 {
			return c
		}
		for i := range a {
			if c := strings.Compare(a[i].key, y[i].key); c != 0 {
				return c
			}
			if c := compareJSON(a[i].value, y[i].value); c != 0 {
				return c
			}
		}
	}
	return 0
}

// step goes to a member or an element of a document. The text of a json
// document is not kept: what comes out is written as jsonb would.
func step(doc any, key string, index int64, byIndex bool) (any, bool) {
	switch d := doc.(type) {
	case object:
		for _, m := range d {
			if !byIndex && m.key == key {
				return m.value, true
			}
		}
	case []any:
		if !byIndex {
			return nil, false
		}
		if index < 0 {
			index += int64(len(d))
		}
		if index >= 0 && index < int64(len(d)) {
			return d[index], true
		}
	default: // PostgreSQL keeps a scalar as an array of one
		return doc, byIndex && (index == 0 || index == -1)
	}
	return nil, false
}

// access is -> ->> #> #>>.
func access(op string, a, b Value) Value {
	k := a.K
	if strings.HasSuffix(op, ">>") {
		k = Text
	}
	if a.null() || b.null() {
		return null(k)
	}
	doc := a.V
	if a.K == JSON {
		doc = decodeJSON(a.V.(string))
	}
	found := true
	switch {
	case op[0] == '#':
		path := cast(b, "text[]").V.([]Value)
		for _, p := range path {
			if p.null() {
				return null(k)
			}
			key := p.V.(string)
			index, err := strconv.ParseInt(key, 10, 64)
			_, isArray := doc.([]any)
			if isArray && err != nil {
				return null(k)
			}
			_, isObject := doc.(object)
			if doc, found = step(doc, key, index, isArray); !found || !isArray && !isObject {
				return null(k)
			}
		}
	case numberRank(b.K) > 0:
		doc, found = step(doc, "", b.V.(int64), true)
	default:
		doc, found = step(doc, b.V.(string), 0, false)
	}
	if !found {
		return null(k)
	}
	if k == Text {
		switch d := doc.(type) {
		case jsonNull:
			return null(k)
		case string:
			return Value{k, d}
		}
		return Value{k, encodeJSON(doc)}
	}
	if k == JSON {
		return Value{k, encodeJSON(doc)}
	}
	return Value{k, doc}
}
