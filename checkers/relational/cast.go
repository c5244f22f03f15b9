package relational

import (
	"encoding/hex"
	"strings"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// cast brings a value to a kind, as CAST does.
func cast(v Value, k Kind) Value {
	switch {
	case v.K == k:
		return v
	case v.null():
		return null(k)
	case k.isArray() && v.K.isArray():
		var out []Value
		for _, e := range v.V.([]Value) {
			out = append(out, cast(e, k.elem()))
		}
		return Value{k, out}
	case k == Text:
		if v.K == Bool {
			return Value{k, map[bool]string{true: "true", false: "false"}[v.V.(bool)]}
		}
		return Value{k, v.String()}
	case v.K == Unknown || v.K == Text:
		return parse(v.V.(string), k)
	case numberRank(v.K) > 0 && numberRank(k) > 0:
		return castNumber(v, k)
	case timeRank(v.K) > 0 && timeRank(k) > 0:
		us := v.V.(int64)
		if v.K == Date {
			us *= day
		}
		if k == Date {
			us = floorDiv(us, day)
		}
		return Value{k, us}
	case v.K == Int4 && k == Bool:
		return Value{k, v.V.(int64) != 0}
	case v.K == Bool && k == Int4:
		return Value{k, map[bool]int64{true: 1, false: 0}[v.V.(bool)]}
	case v.K == JSON && k == JSONB:
		return Value{k, decodeJSON(v.V.(string))}
	case v.K == JSONB && k == JSON:
		return Value{k, encodeJSON(v.V)}
	}
	return fail(sqlerr.CannotCoerce, "cannot cast type %s to %s", v.K, k)
}

// parse reads a value from text.
func parse(s string, k Kind) Value {
	switch k {
	case Unknown, Text:
		return Value{k, s}
	case Bool:
		t := strings.ToLower(strings.TrimSpace(s))
		for _, w := range []string{"true", "yes", "on", "1"} {
			if t != "" && strings.HasPrefix(w, t) && t != "o" {
				return Value{k, true}
			}
		}
		for _, w := range []string{"false", "no", "off", "0"} {
			if t != "" && strings.HasPrefix(w, t) && t != "o" {
				return Value{k, false}
			}
		}
	case Int2, Int4, Int8, Numeric, Float4, Float8:
		return parseNumber(s, k)
	case Date, Timestamp, Timestamptz:
		return parseTimestamp(s, k)
	case Interval:
		return parseSpan(s, "")
	case JSON:
		decodeJSON(s)
		return Value{k, s}
	case JSONB:
		return Value{k, decodeJSON(s)}
	case Bytea:
		if h, ok := strings.CutPrefix(s, `\x`); ok {
			if b, err := hex.DecodeString(h); err == nil {
				return Value{k, b}
			}
		} else if !strings.Contains(s, `\`) {
			return Value{k, []byte(s)}
		}
	}
	if k.isArray() {
		return parseArray(s, k)
	}
	return fail(sqlerr.InvalidText, "invalid input syntax for type %s: %q", k, s)
}

// parseArray reads {a,"b c",NULL}.
func parseArray(s string, k Kind) Value {
	bad := func() Value { return fail(sqlerr.InvalidText, "malformed array literal: %q", s) }
	t := strings.TrimSpace(s)
	if len(t) < 2 || t[0] != '{' || t[len(t)-1] != '}' {
		return bad()
	}
	out := []Value{}
	t = strings.TrimSpace(t[1 : len(t)-1])
	for t != "" {
		var word strings.Builder
		quoted, i := false, 0
		for in := false; i < len(t) && (in || t[i] != ','); i++ {
			switch {
			case t[i] == '"':
				in, quoted = !in, true
			case t[i] == '\\' && i+1 < len(t):
				i++
				word.WriteByte(t[i])
			case !in && (t[i] == '{' || t[i] == '}'):
				return bad()
			default:
				word.WriteByte(t[i])
			}
		}
		w := word.String()
		if !quoted {
			w = strings.TrimSpace(w)
		}
		switch {
		case !quoted && w == "":
			return bad()
		case !quoted && strings.EqualFold(w, "null"):
			out = append(out, null(k.elem()))
		default:
			out = append(out, parse(w, k.elem()))
		}
		if i == len(t) {
			break
		}
		if t = strings.TrimSpace(t[i+1:]); t == "" {
			return bad()
		}
	}
	return Value{k, out}
}

// castTo is a CAST with the type's modifiers.
func castTo(v Value, t *tree.TypeName) Value {
	k := kindOfType(t)
	if k == Interval && v.K == Unknown && !v.null() {
		v = parseSpan(v.V.(string), t.Fields)
	}
	out := cast(v, k)
	if out.null() || len(t.Mods) == 0 {
		return out
	}
	switch k {
	case Numeric:
		n := int32(0)
		if len(t.Mods) > 1 {
			n = int32(t.Mods[1])
		}
		d := rescale(decimalOf(out), n)
		if !d.IsZero() && d.NumDigits()-int64(n) > int64(t.Mods[0])-int64(n) {
			return fail(sqlerr.NumericOutOfRange, "numeric field overflow")
		}
		return Value{k, d}
	case Text: // varchar(n): an explicit cast cuts
		if r := []rune(out.V.(string)); len(r) > t.Mods[0] {
			return Value{k, string(r[:t.Mods[0]])}
		}
		return out
	}
	return unsupported(t, "a modifier of type %s", k)
}
