package slt

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Random writes SQL at random: expressions and queries over the tables of
// RandomTables. What it writes is what it is for: nulls, overflows, divisions by
// zero behind guards, subqueries that look at what is around.
type Random struct {
	*rand.Rand
	aliases int
}

// RandomTables are statements that make tables p and q.
func RandomTables(r *rand.Rand) (all []string) {
	columns := "(k int4, a int4, b int4, l int8, s int2, d numeric, f float8, x text, c bool, t timestamp, v interval, j jsonb)"
	value := func(choices ...string) string {
		if r.IntN(5) == 0 {
			return "NULL"
		}
		return choices[r.IntN(len(choices))]
	}
	for _, name := range []string{"p", "q"} {
		all = append(all, "CREATE TABLE "+name+" "+columns)
		for k := range 7 {
			all = append(all, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", name, k,
				value("0", "1", "2", "3", "-1", "2147483647", "-2147483648"), value("0", "1", "2", "3", "-7"), value("0", "5", "9223372036854775807", "-4"), value("1", "2", "32767", "-32768"),
				value("0", "1.5", "-2.25", "100.01", "0.3333", "12345678901234567890.5"), value("0", "0.5", "-1.25", "3", "1e300"), value("''", "'abc'", "'aB%'", "'héé'", "'b'"), value("true", "false"),
				value("'2024-02-29 12:34:56.789'", "'2023-12-31 23:59:59'", "'1969-07-20 20:17:40'"), value("'1 day'", "'1 mon 2 days 03:04:05'", "'-00:30:00'"),
				value(`'{"a": 1, "b": [1, 2, "x"]}'`, `'[1, {"a": null}]'`, `'"s"'`, `'{"a": {"b": true}}'`)))
		}
	}
	return all
}

func (r *Random) pick(choices ...string) string { return choices[r.IntN(len(choices))] }

// Kinds are what Expr writes.
var Kinds = []string{"int", "long", "numeric", "float", "text", "bool", "time", "span", "json"}

// constants are lists to look values up in.
var constants = map[string]string{
	"int": "1, 3, -7, 0, 2147483647, 2", "long": "5, 0, 9223372036854775807, 1, 2, 3", "numeric": "1.5, 0, -2.250, 7, 100.01, 3", "float": "0.5, 1e300, -1.25, 2, 3, 4",
	"text": "'abc', '', 'b', 'x', 'y', 'z'", "time": "'2024-02-29 12:34:56.789', '2000-01-01', '2001-01-01', '2002-01-01', '2003-01-01'", "span": "'1 day', '24:00:00', '1 mon', '30 days', '2 days'", "bool": "true, false, NULL, true, false",
}

// Expr writes an expression of a kind over the columns of a table's alias.
func (r *Random) Expr(kind, of string, depth int) string {
	col := func(names ...string) string { return of + "." + r.pick(names...) }
	e := func(kind string) string { return r.Expr(kind, of, depth-1) }
	if depth <= 0 {
		switch kind {
		case "int":
			return r.pick(col("a", "b", "k"), col("a", "b"), "0", "1", "2", "-3", "2147483647", col("s"))
		case "long":
			return r.pick(col("l"), "9223372036854775807", col("a")+"::int8", "5::int8")
		case "numeric":
			return r.pick(col("d"), col("d"), "1.50", "0.0", "-3.125", "1e20")
		case "float":
			return r.pick(col("f"), col("f"), "0.5::float8", "1e300::float8", "'-2.5'::float8")
		case "text":
			return r.pick(col("x"), col("x"), "'abc'::text", "''::text", "'%b'::text", "'é'::text")
		case "bool":
			return r.pick(col("c"), "true", "false", "NULL::bool", "("+col("a")+" > 1)", "("+col("x")+" IS NULL)")
		case "time":
			return r.pick(col("t"), "timestamp '2024-01-31 10:00:00'")
		case "span":
			return r.pick(col("v"), "interval '1 month -2 days'", "interval '90 minutes'")
		}
		return r.pick(col("j"), `'{"a": [10, "z"]}'::jsonb`)
	}
	number := func(kind string) string {
		return "(" + e(kind) + " " + r.pick("+", "-", "*", "/") + " " + e(kind) + ")"
	}
	switch r.IntN(6) {
	case 0:
		return "CASE WHEN " + e("bool") + " THEN " + e(kind) + " WHEN " + e("bool") + " THEN " + e(kind) + r.pick("", " ELSE "+e(kind)) + " END"
	case 1:
		f := r.pick("coalesce(", "greatest(", "least(")
		if kind == "json" { // documents are ordered otherwise
			f = "coalesce("
		}
		return f + e(kind) + ", " + e(kind) + ")"
	}
	if kind == "json" {
		return "(" + e("json") + " -> " + r.pick("'a'", "'b'", "0", "-1", "1") + ")"
	}
	switch kind {
	case "int":
		return r.pick(number("int"), number("int"), "("+e("int")+" % "+e("int")+")", "abs("+e("int")+")", "length("+e("text")+")", "strpos("+e("text")+", "+e("text")+")",
			e("numeric")+"::int4", e("long")+"::int4", "nullif("+e("int")+", "+e("int")+")", "(- "+e("int")+")", e("bool")+"::int4", e("float")+"::int4")
	case "long":
		return r.pick(number("long"), "("+e("long")+" % "+e("int")+")", e("numeric")+"::int8", "abs("+e("long")+")")
	case "numeric":
		return r.pick(number("numeric"), "round("+e("numeric")+", "+r.pick("0", "1", "2", "-1")+")", e("int")+"::numeric", "trunc("+e("numeric")+")", "ceil("+e("numeric")+")", "floor("+e("numeric")+")",
			"("+e("numeric")+" + "+e("int")+")", "extract("+r.pick("year", "month", "day", "hour", "second", "epoch", "dow", "week", "quarter")+" FROM "+e("time")+")", "(- "+e("numeric")+")", "sign("+e("numeric")+")")
	case "float":
		return r.pick(number("float"), e("int")+"::float8", e("numeric")+"::float8", "floor("+e("float")+")", "("+e("float")+" * "+e("int")+")", "abs("+e("float")+")")
	case "text":
		return r.pick("("+e("text")+" || "+e("text")+")", "upper("+e("text")+")", "substring("+e("text")+", "+r.pick("1", "2", "-1")+", "+r.pick("0", "1", "3")+")", "left("+e("text")+", "+r.pick("2", "-1")+")",
			"replace("+e("text")+", 'b', 'xy')", e("int")+"::text", e("bool")+"::text", "lpad("+e("text")+", 4, 'ab')", "trim("+e("text")+")", "reverse("+e("text")+")", "split_part("+e("text")+", 'b', 1)",
			"("+e("json")+" ->> "+r.pick("'a'", "0")+")", "concat("+e("text")+", "+e("int")+", "+e("bool")+")", e("time")+"::text", "right("+e("text")+", 2)")
	case "bool":
		list := func(kind string) string { return constants[kind] + r.pick("", ", NULL") }
		k := r.pick("int", "long", "numeric", "float", "text", "time", "span", "bool")
		return r.pick("("+e("bool")+" AND "+e("bool")+")", "("+e("bool")+" OR "+e("bool")+")", "(NOT "+e("bool")+")", "("+e(k)+" "+r.pick("=", "<>", "<", "<=", ">", ">=")+" "+e(k)+")", "("+e(k)+" "+r.pick("=", "<")+" "+e(k)+")",
			"("+e(k)+" IS "+r.pick("", "NOT ")+"DISTINCT FROM "+e(k)+")", "("+e(k)+" IS NULL)", "("+e("int")+" "+r.pick("", "NOT ")+"IN ("+e("int")+", "+e("int")+"))", "("+e(k)+" BETWEEN "+e(k)+" AND "+e(k)+")",
			"("+e(k)+" "+r.pick("", "NOT ")+"IN ("+list(k)+"))", "("+e("text")+" "+r.pick("", "NOT ")+"LIKE "+r.pick("'%b%'", "'_b_'", "'a%'", "'abc'", "'%'")+")", "("+e("bool")+" IS "+r.pick("TRUE", "NOT FALSE", "UNKNOWN")+")", "("+e("int")+" = ANY (ARRAY["+e("int")+", "+e("int")+"]))")
	case "time":
		return r.pick("("+e("time")+" + "+e("span")+")", "("+e("time")+" - "+e("span")+")", "date_trunc("+r.pick("'month'", "'day'", "'hour'", "'week'", "'quarter'")+", "+e("time")+")", e("time")+"::date::timestamp")
	}
	return r.pick("("+e("time")+" - "+e("time")+")", "("+e("span")+" + "+e("span")+")", "("+e("span")+" * "+r.pick("2", "3", "-1")+")", "(- "+e("span")+")")
}

// simple is an expression that cannot fail.
func (r *Random) simple(of string) string {
	return r.pick(of+".a", of+".b", of+".s", "coalesce("+of+".a, 1)", of+".k")
}

func (r *Random) alias() string {
	r.aliases++
	return fmt.Sprintf("t%d", r.aliases)
}

// Predicate is a condition that cannot fail; outer is an alias of a query
// around, or "".
func (r *Random) Predicate(of, outer string, depth int) string {
	around := of
	if outer != "" && r.IntN(2) == 0 {
		around = outer
	}
	if depth > 0 {
		switch r.IntN(7) {
		case 0:
			return "(" + r.Predicate(of, outer, depth-1) + r.pick(" AND ", " OR ") + r.Predicate(of, outer, depth-1) + ")"
		case 1:
			return r.pick("", "NOT ") + "EXISTS (" + r.subquery("1", of, depth-1) + ")"
		case 2:
			a := r.alias()
			return r.simple(around) + r.pick(" IN (", " NOT IN (", " = ANY (", " < ALL (") + r.subqueryAs(a, r.simple(a), of, depth-1) + ")"
		case 3:
			a := r.alias()
			return r.simple(of) + r.pick(" = ", " < ", " >= ") + "(" + r.subqueryAs(a, r.pick("max(", "min(", "count(")+r.simple(a)+")", of, depth-1) + ")"
		}
	}
	return r.pick(r.simple(of)+r.pick(" = ", " < ", " <> ")+r.simple(around), r.simple(of)+" IS NULL", of+".c", r.simple(around)+" > "+r.pick("0", "1", "2"), of+".x = 'abc'", "NOT ("+r.simple(of)+" = "+r.simple(around)+")")
}

func (r *Random) subquery(item, outer string, depth int) string {
	return r.subqueryAs(r.alias(), item, outer, depth)
}

func (r *Random) subqueryAs(a, item, outer string, depth int) string {
	return "SELECT " + item + " FROM " + r.pick("p", "q") + " " + a + " WHERE " + r.Predicate(a, outer, depth)
}

// from is an entry of FROM, and its alias.
func (r *Random) from(depth int) (text, of string) {
	a := r.alias()
	switch {
	case depth > 0 && r.IntN(3) == 0:
		b := r.alias()
		return "(SELECT " + b + ".* FROM " + r.pick("p", "q") + " " + b + " WHERE " + r.Predicate(b, "", depth-1) + ") " + a, a
	case depth > 0 && r.IntN(2) == 0:
		other, o := r.from(depth - 1)
		return other + r.pick(" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ") + r.pick("p ", "q ") + a + " ON " + a + r.pick(".a", ".b") + " = " + o + r.pick(".a", ".b", ".k") +
			r.pick("", "", " AND "+a+".k < "+o+".k"), a
	}
	return r.pick("p ", "q ") + a, a
}

// Query writes a query without ORDER BY that cannot fail.
func (r *Random) Query(depth int) string {
	from, of := r.from(depth)
	where := ""
	if r.IntN(4) > 0 {
		where = " WHERE " + r.Predicate(of, "", depth)
	}
	switch r.IntN(6) {
	case 0:
		key := r.simple(of)
		return "SELECT " + key + ", count(*), sum(" + r.simple(of) + "), min(" + of + ".x), count(DISTINCT " + of + ".b), avg(" + of + ".s) FROM " + from + where + " GROUP BY " + key +
			r.pick("", " HAVING count(*) > 1", " HAVING max("+of+".k) > 2")
	case 1:
		return "SELECT count(*), sum(" + r.simple(of) + "), max(" + of + ".d), bool_or(" + of + ".c), string_agg(" + of + ".x, ',' ORDER BY " + of + ".x), min(" + of + ".v) FROM " + from + where
	case 2:
		return "SELECT " + r.simple(of) + " FROM " + from + where + r.pick(" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ", " EXCEPT ALL ", " INTERSECT ALL ") + r.subquery("a", "", 0)
	case 3:
		return "SELECT " + of + ".k, " + r.pick("rank()", "dense_rank()", "sum("+of+".s)", "count(*)", "max("+of+".b)") + " OVER (" + r.pick("", "PARTITION BY "+of+".b ") + "ORDER BY " + r.simple(of) + r.pick("", " DESC") +
			r.pick("", "", " RANGE BETWEEN 1 PRECEDING AND CURRENT ROW", " GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING") + ") FROM " + from + where
	case 4:
		items := []string{of + ".k"}
		for range 1 + r.IntN(2) {
			a := r.alias()
			items = append(items, r.pick(
				"("+r.subqueryAs(a, r.pick("max(", "count(", "sum(")+r.simple(a)+")", of, depth-1)+")",
				r.simple(of)+r.pick(" IN (", " NOT IN (")+r.subqueryAs(a, r.simple(a), of, depth-1)+")",
				"EXISTS ("+r.subqueryAs(a, "1", of, depth-1)+")"))
		}
		return "SELECT " + strings.Join(items, ", ") + " FROM " + from + where
	}
	return "SELECT " + r.pick("", "DISTINCT ") + r.simple(of) + ", " + of + ".x, " + of + ".d FROM " + from + where
}
