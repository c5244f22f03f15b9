package plan

import (
	"reflect"
	"testing"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
)

func parsed(t *testing.T, text string) *tree.Query {
	t.Helper()
	s, err := parse.One(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.(*tree.Select).Query
}

// Two queries have one key if they mean the same, however they are written, and no other: an
// answer that is kept under it is given to both.
func TestKey(t *testing.T) {
	key := func(text string, params ...row.Value) string {
		t.Helper()
		p, err := Query(parsed(t, text), Options{Catalog: catalog(), Params: params})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		rows, _, ok := p.Split("")
		if !ok {
			t.Fatalf("%s cannot be split", text)
		}
		k, ok := rows.Key()
		if !ok {
			t.Fatalf("%s has no key", text)
		}
		return k
	}
	two := row.Value{B: []byte("2")}
	same := [][2]string{
		{`SELECT a FROM t WHERE b > 2`, `SELECT x.a AS other FROM t x WHERE (x.b) > 2`},
		{`SELECT a FROM t WHERE b > 2`, `SELECT a FROM t WHERE b > $1`},
		{`SELECT a FROM t WHERE b > 2`, `SELECT a FROM t WHERE b > 1 + 1`},
		{`SELECT a, b FROM t`, `SELECT a, b FROM t ORDER BY b DESC`},
		{`SELECT a, sum(b) FROM t GROUP BY a`, `SELECT x.a, sum(x.b) AS s FROM t AS x GROUP BY 1 ORDER BY s`},
	}
	for _, x := range same {
		if a, b := key(x[0], two), key(x[1], two); a != b {
			t.Errorf("%s and %s: %s and %s", x[0], x[1], a, b)
		}
	}
	seen := map[string]string{}
	for _, text := range []string{
		`SELECT a FROM t`, `SELECT b FROM t`, `SELECT a, b FROM t`, `SELECT b, a FROM t`, `SELECT a, a FROM t`, `SELECT DISTINCT a FROM t`,
		`SELECT a FROM t WHERE b > 2`, `SELECT a FROM t WHERE b > 3`, `SELECT a FROM t WHERE b >= 2`, `SELECT a FROM t WHERE b > 2.0`, `SELECT a FROM t WHERE b > $1 + a`,
		`SELECT c FROM t WHERE c = 'x'`, `SELECT c FROM t WHERE c = 'y'`, `SELECT c FROM t WHERE c = ''`, `SELECT c FROM t WHERE c IS NULL`,
		`SELECT a FROM u`, `SELECT t.a FROM t, u`, `SELECT u.a FROM t, u`, `SELECT t.a FROM t JOIN u ON t.a = u.a`, `SELECT t.a FROM t LEFT JOIN u ON t.a = u.a`,
		`SELECT a, sum(b) FROM t GROUP BY a`, `SELECT a, min(b) FROM t GROUP BY a`, `SELECT a, sum(DISTINCT b) FROM t GROUP BY a`, `SELECT a, sum(b) FILTER (WHERE b > 1) FROM t GROUP BY a`,
		`SELECT string_agg(c, ',') FROM t`, `SELECT string_agg(c, ';') FROM t`, `SELECT string_agg(c, ',' ORDER BY a) FROM t`,
		`SELECT a FROM t ORDER BY a LIMIT 1`, `SELECT a FROM t ORDER BY a LIMIT 2`, `SELECT a FROM t ORDER BY a DESC LIMIT 1`, `SELECT a FROM t ORDER BY a OFFSET 1`,
		`SELECT a, row_number() OVER (ORDER BY a) FROM t`, `SELECT a, row_number() OVER (ORDER BY b) FROM t`, `SELECT a, row_number() OVER (PARTITION BY b ORDER BY a) FROM t`,
		`SELECT a, sum(b) OVER (ORDER BY a ROWS 1 PRECEDING) FROM t`, `SELECT a, sum(b) OVER (ORDER BY a ROWS 2 PRECEDING) FROM t`, `SELECT a, lag(b, 1) OVER (ORDER BY a) FROM t`, `SELECT a, lag(b, 2) OVER (ORDER BY a) FROM t`,
		`SELECT a FROM t UNION SELECT a FROM u`, `SELECT a FROM t UNION ALL SELECT a FROM u`, `SELECT a FROM t EXCEPT SELECT a FROM u`,
		`SELECT a FROM t WHERE a IN (SELECT a FROM u)`, `SELECT a FROM t WHERE a NOT IN (SELECT a FROM u)`, `SELECT a::text FROM t`, `SELECT a::numeric FROM t`, `VALUES (1)`, `VALUES (2)`,
	} {
		k := key(text, two)
		if other := seen[k]; other != "" {
			t.Errorf("%s and %s have one key: %s", text, other, k)
		}
		seen[k] = text
	}
	for _, text := range []string{`SELECT a FROM t WHERE now() > '2000-01-01'`, `SELECT current_user, a FROM t`, `SELECT a FROM t FOR SYSTEM_TIME AS OF '2000-01-01'`} {
		p, err := Query(parsed(t, text), Options{Catalog: catalog()})
		if err != nil {
			t.Fatal(err)
		}
		if k, ok := p.Key(); ok || p.Moment == "" {
			t.Errorf("%s has the key %s, and does not depend on the moment", text, k)
		}
	}
}

// Key goes through all fields of what a plan is made of: who adds one comes by here, and decides
// whether two plans that differ in it have one answer.
func TestKeySaysAll(t *testing.T) {
	for _, x := range []struct {
		of     any
		fields int
	}{{Plan{}, 5}, {Rel{}, 21}, {Agg{}, 6}, {Func{}, 4}, {Frame{}, 3}, {Bound{}, 2}, {Order{}, 3}, {AsOf{}, 2}, {Closing{}, 3}, {expr.Node{}, 9}, {row.Value{}, 4}, {row.Type{}, 2}} {
		if n := reflect.TypeOf(x.of).NumField(); n != x.fields {
			t.Errorf("%T has %d fields, the key knows %d", x.of, n, x.fields)
		}
	}
}
