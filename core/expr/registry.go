package expr

import (
	"strings"

	"actordb/core/row"
)

// registry is all functions and operators with fixed types, by name. What takes
// any type is in resolve.go.
var registry = buildRegistry()

// signature adds a function: its name, its arguments' types with commas, its
// result's type.
func (r registryMap) signature(name, args, ret string, k kernel) {
	f := &Func{Name: name, ret: mustType(ret), kernel: k, infix: !(name[0] >= 'a' && name[0] <= 'z')}
	for _, a := range strings.Split(args, ",") {
		if a != "" {
			f.args = append(f.args, mustType(a))
		}
	}
	r[name] = append(r[name], f)
}

type registryMap map[string][]*Func

func mustType(name string) row.Type {
	t, err := row.ParseType(name)
	if err != nil {
		panic(err)
	}
	return t
}

func buildRegistry() registryMap {
	r := registryMap{}
	r.arithmetic()
	r.rounding()
	r.times()
	r.texts()
	r.documents()
	return r
}

func (r registryMap) arithmetic() {
	for _, k := range []row.Kind{row.Int2, row.Int4, row.Int8} {
		t := row.Of(k).String()
		r.signature("+", t+","+t, t, addInts(k))
		r.signature("-", t+","+t, t, subInts(k))
		r.signature("*", t+","+t, t, mulInts(k))
		r.signature("/", t+","+t, t, divInts(k))
		r.signature("%", t+","+t, t, modInts)
		r.signature("mod", t+","+t, t, modInts)
		r.signature("-", t, t, negInts(k))
		r.signature("+", t, t, sameInts)
		r.signature("abs", t, t, absInts(k))
	}
	for _, k := range []row.Kind{row.Float4, row.Float8} {
		t := row.Of(k).String()
		for _, op := range "+-*/" {
			r.signature(string(op), t+","+t, t, floatKernel(byte(op), k))
		}
		r.signature("-", t, t, negFloat)
		r.signature("+", t, t, sameInts)
		r.signature("abs", t, t, absFloat)
	}
	for _, op := range "+-*/%" {
		r.signature(string(op), "numeric,numeric", "numeric", numericKernel(byte(op)))
	}
	r.signature("mod", "numeric,numeric", "numeric", numericKernel('%'))
	r.signature("-", "numeric", "numeric", negNumeric)
	r.signature("+", "numeric", "numeric", sameBytes)
	r.signature("abs", "numeric", "numeric", absNumeric)
}

func (r registryMap) rounding() {
	for name, does := range map[string]string{"ceil": "ceil", "ceiling": "ceil", "floor": "floor", "round": "round", "trunc": "trunc"} { //arch:allow maprange: each name is its own key of the registry
		r.signature(name, "float8", "float8", roundFloat(does))
		r.signature(name, "numeric", "numeric", roundNumeric(does))
		if does == "round" || does == "trunc" {
			r.signature(name, "numeric,int4", "numeric", roundNumeric(does))
		}
	}
	r.signature("sign", "float8", "float8", signFloat)
	r.signature("sign", "numeric", "numeric", signNumeric)
	r.signature("sqrt", "float8", "float8", sqrtFloat)
}

func (r registryMap) times() {
	r.signature("+", "date,int4", "date", dateShift(false))
	r.signature("-", "date,int4", "date", dateShift(true))
	r.signature("-", "date,date", "int4", dateDifference)
	r.signature("+", "date,interval", "timestamp", dayShift(false, false))
	r.signature("-", "date,interval", "timestamp", dayShift(true, false))
	r.signature("+", "interval,date", "timestamp", dayShift(false, true))
	r.signature("-", "timestamp,timestamp", "interval", timeDifference)
	r.signature("-", "timestamptz,timestamptz", "interval", timeDifference)
	for _, k := range []row.Kind{row.Timestamp, row.Timestamptz} {
		t := row.Of(k).String()
		r.signature("+", t+",interval", t, timeShift(k, false, false))
		r.signature("-", t+",interval", t, timeShift(k, true, false))
		r.signature("+", "interval,"+t, t, timeShift(k, false, true))
		r.signature("date_trunc", "text,"+t, t, ints(truncateTime))
		r.signature("date_bin", "interval,"+t+","+t, t, binTime)
		r.signature("extract", "text,"+t, "numeric", extractNumeric)
		r.signature("date_part", "text,"+t, "float8", extractFloat)
	}
	r.signature("extract", "text,date", "numeric", extractNumeric)
	r.signature("extract", "text,interval", "numeric", extractNumeric)
	r.signature("date_part", "text,date", "float8", extractFloat)
	r.signature("date_part", "text,interval", "float8", extractFloat)
	r.signature("+", "interval,interval", "interval", intervalSum(false))
	r.signature("-", "interval,interval", "interval", intervalSum(true))
	r.signature("-", "interval", "interval", intervalNegate)
	r.signature("*", "interval,float8", "interval", intervalScale(false, false))
	r.signature("*", "float8,interval", "interval", intervalScale(false, true))
	r.signature("/", "interval,float8", "interval", intervalScale(true, false))
	utc := func(c *call, i int) (int64, *row.Error) {
		if z := string(upperASCII(nil, c.args[0].Bytes(i))); z != "UTC" && z != "GMT" && z != "Z" {
			return 0, row.Errorf(row.CodeNotSupported, "time zone %q is not supported, UTC is", z)
		}
		return c.args[1].I[i], nil
	}
	r.signature("timezone", "text,timestamp", "timestamptz", ints(utc))
	r.signature("timezone", "text,timestamptz", "timestamp", ints(utc))
}

func (r registryMap) texts() {
	r.signature("||", "text,text", "text", concatText)
	for _, name := range []string{"length", "char_length", "character_length"} {
		r.signature(name, "text", "int4", lengthText)
	}
	r.signature("octet_length", "text", "int4", lengthBytes)
	r.signature("octet_length", "bytea", "int4", lengthBytes)
	r.signature("upper", "text", "text", textOf(upperASCII))
	r.signature("lower", "text", "text", textOf(lowerASCII))
	r.signature("reverse", "text", "text", textOf(reverseText))
	for name, side := range map[string][2]bool{"btrim": {true, true}, "ltrim": {true, false}, "rtrim": {false, true}} { //arch:allow maprange: each name is its own key of the registry
		r.signature(name, "text", "text", trimText(side[0], side[1]))
		r.signature(name, "text,text", "text", trimText(side[0], side[1]))
	}
	for _, name := range []string{"substring", "substr"} {
		r.signature(name, "text,int4", "text", substringText)
		r.signature(name, "text,int4,int4", "text", substringText)
	}
	r.signature("strpos", "text,text", "int4", positionText)
	r.signature("position", "text,text", "int4", positionText)
	r.signature("replace", "text,text,text", "text", replaceText)
	r.signature("translate", "text,text,text", "text", translateText)
	r.signature("left", "text,int4", "text", leftText(false))
	r.signature("right", "text,int4", "text", leftText(true))
	for name, left := range map[string]bool{"lpad": true, "rpad": false} { //arch:allow maprange: each name is its own key of the registry
		r.signature(name, "text,int4", "text", padText(left))
		r.signature(name, "text,int4,text", "text", padText(left))
	}
	r.signature("repeat", "text,int4", "text", repeatText)
	r.signature("split_part", "text,text,int4", "text", splitText)
	r.signature("string_to_array", "text,text", "text[]", stringToArray)
	r.signature("quote_ident", "text", "text", textOf(quoteIdent))
	r.signature("starts_with", "text,text", "bool", startsWith)
	r.signature("ascii", "text", "int4", asciiText)
	r.signature("chr", "int4", "text", chrText)
	r.signature("~~", "text,text", "bool", likeText(false))
	r.signature("~~*", "text,text", "bool", likeText(true))
	r.signature("like_escape", "text,text,text", "bool", likeText(false))
	r.signature("ilike_escape", "text,text,text", "bool", likeText(true))
	r.signature("~", "text,text", "bool", regexText(false, false))
	r.signature("~*", "text,text", "bool", regexText(true, false))
	r.signature("!~", "text,text", "bool", regexText(false, true))
	r.signature("!~*", "text,text", "bool", regexText(true, true))
}

func (r registryMap) documents() {
	r.signature("->", "jsonb,text", "jsonb", jsonKey(false))
	r.signature("->>", "jsonb,text", "text", jsonKey(true))
	r.signature("->", "jsonb,int4", "jsonb", jsonIndex(false))
	r.signature("->>", "jsonb,int4", "text", jsonIndex(true))
	r.signature("#>", "jsonb,text[]", "jsonb", jsonPath(false))
	r.signature("#>>", "jsonb,text[]", "text", jsonPath(true))
	for _, p := range []string{"json", "jsonb"} {
		r.signature(p+"_typeof", "jsonb", "text", jsonTypeof)
		r.signature(p+"_array_length", "jsonb", "int4", jsonArrayLength)
	}
}
