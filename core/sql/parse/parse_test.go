package parse

import (
	"bufio"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// statements are those of testdata/statements.sql, one a line.
func statements(t testing.TB) (all []string) {
	f, err := os.Open("testdata/statements.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, s.Text())
	}
	if len(all) < 50 {
		t.Fatalf("only %d statements", len(all))
	}
	return all
}

// positions calls visit with every position in a tree, in the order of its
// fields, and a copy of the tree with all of them zero can be made by set.
func positions(v reflect.Value, visit func(p reflect.Value)) {
	if v.Type() == reflect.TypeFor[tree.Pos]() {
		visit(v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			positions(v.Elem(), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			positions(v.Field(i), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			positions(v.Index(i), visit)
		}
	}
}

// unplaced sets every position of a tree to zero.
func unplaced(s tree.Statement) tree.Statement {
	positions(reflect.ValueOf(s), func(p reflect.Value) {
		// at is unexported, its field is not: reach it through its address.
		reflect.NewAt(p.Type(), p.Addr().UnsafePointer()).Elem().SetInt(0)
	})
	return s
}

// T1: what is printed parses to the same tree.
func TestRoundTrip(t *testing.T) {
	for _, text := range statements(t) {
		s, err := One(text)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		printed := tree.Print(s)
		again, err := One(printed)
		if err != nil {
			t.Errorf("%s\nprinted %s\n%v", text, printed, err)
			continue
		}
		if !reflect.DeepEqual(unplaced(s), unplaced(again)) {
			t.Errorf("%s\nprinted %s\nparsed  %s", text, printed, tree.Print(again))
		}
	}
}

// T2: positions lie in the text, and those of names and constants point at them.
func TestPositions(t *testing.T) {
	for _, text := range statements(t) {
		s, err := One(text)
		if err != nil {
			t.Fatal(err)
		}
		positions(reflect.ValueOf(s), func(p reflect.Value) {
			if p.Int() < 0 || int(p.Int()) > len(text) {
				t.Errorf("%s: position %d", text, p.Int())
			}
		})
	}
	text := "SUBSCRIBE TO été FOR"
	for text, want := range map[string]string{
		"SELECT 'é', ab FROM t":                          "ab",
		"SUBSCRIBE TO v WHERE é = ab":                    "ab",
		"SELECT * FROM v FOR TIMESTAMP AS OF 'é' x, ab":  "ab",
		"SELECT ab FROM v FOR SYSTEM_TIME AS OF ('é') x": "ab",
		"SELECT 1 FROM v FOR SYSTEM_TIME AS OF (ab) x":   "ab",
		"CREATE PROJECTION p AS SELECT 'é', ab":          "ab",
		"EXPLAIN (ANALYZE) SUBSCRIBE TO v WHERE x = ab":  "ab",
	} {
		s, err := One(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		found := false
		walk(reflect.ValueOf(s), func(n any) {
			switch n := n.(type) {
			case *tree.ColumnRef:
				found = found || len(n.Names) == 1 && n.Names[0] == want && strings.HasPrefix(text[n.Pos:], want)
			case *tree.TableName:
				found = found || n.Name == want && strings.HasPrefix(text[n.Pos:], want)
			}
		})
		if !found {
			t.Errorf("%s: no node %s at its place", text, want)
		}
	}
	if at, ok := tree.Locate("é\nüx", 5); !ok || at != (tree.Place{Line: 2, Column: 2, Char: 4}) {
		t.Errorf("Locate: %+v %v", at, ok)
	}
	if _, ok := tree.Locate(text, tree.Pos(len(text)+1)); ok {
		t.Error("Locate found a place outside")
	}
}

func walk(v reflect.Value, visit func(any)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			if v.Kind() == reflect.Pointer {
				visit(v.Interface())
			}
			walk(v.Elem(), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(v.Field(i), visit)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), visit)
		}
	}
}

// The extensions mean what they say.
func TestExtensions(t *testing.T) {
	for text, want := range map[string]string{
		"select * from v for timestamp as of '2026-01-01' x where a":           "SELECT * FROM v FOR TIMESTAMP AS OF ('2026-01-01') AS x WHERE a",
		"select * from v x for system_time as of $1":                           "SELECT * FROM v FOR SYSTEM_TIME AS OF ($1) AS x",
		"select * from v for system_time as of now() where b":                  "SELECT * FROM v FOR SYSTEM_TIME AS OF (now()) WHERE b",
		"Subscribe To s.v Where a":                                             "SUBSCRIBE TO s.v WHERE a",
		"create event type c.e (a text personal, personal int)":                `CREATE EVENT TYPE c.e (a text PERSONAL, "personal" int4)`,
		"create projection p as select 1":                                      "CREATE PROJECTION p AS SELECT 1",
		"create event type c.e (a int) with (lateness = '10 s', source = key)": `CREATE EVENT TYPE c.e (a int4) WITH (lateness = '10 s', source = 'key')`,
		"call Send('a/b', $1, e'\\\\x')":                                       `CALL send('a/b', $1, E'\\x')`,
		"drop event type if exists a.b":                                        "DROP EVENT TYPE IF EXISTS a.b",
		"drop projection a, b cascade":                                         "DROP PROJECTION a, b CASCADE",
		"explain analyze subscribe to v":                                       "EXPLAIN ANALYZE SUBSCRIBE TO v",
		"select a from (select 1 from v for timestamp as of '1') y":            "SELECT a FROM (SELECT 1 FROM v FOR TIMESTAMP AS OF ('1')) AS y",
		"select 'FOR TIMESTAMP AS OF' -- for system_time as of now()":          "SELECT 'FOR TIMESTAMP AS OF'",
	} {
		s, err := One(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := tree.Print(s); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// R1: errors have a SQLSTATE, and a position that is PostgreSQL's, in the text
// as it was typed.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"selec 1", `1:1: syntax error at or near "selec" (SQLSTATE 42601)`},
		{"SELECT 'é' FROM t\nWHERE WHERE", `2:7: syntax error at or near "WHERE" (SQLSTATE 42601)`},
		{"SELECT 'abc", `1:8: unterminated quoted string at or near "'abc" (SQLSTATE 42601)`},
		{"SUBSCRIBE TO v WHERE x x", `1:24: syntax error at or near "x" (SQLSTATE 42601)`},
		{"SUBSCRIBE TO WHERE", `1:14: syntax error at or near "WHERE" (SQLSTATE 42601)`},
		{"SELECT * FROM v FOR TIMESTAMP AS OF 'é' x FROM", `1:43: syntax error at or near "FROM" (SQLSTATE 42601)`},
		{"SELECT * FROM v FOR TIMESTAMP AS OF WHERE a", `1:37: syntax error at or near "WHERE": AS OF takes a constant, a parameter, a call, or an expression in parentheses (SQLSTATE 42601)`},
		{"SELECT * FROM v FOR TIMESTAMP AS OF", `1:36: syntax error at end of input: AS OF needs a time (SQLSTATE 42601)`},
		{"CREATE EVENT TYPE e (a PERSONAL)", `1:24: syntax error at or near "PERSONAL" (SQLSTATE 42601)`},
		{"CREATE EVENT TYPE e (a int, a int)", `1:29: column "a" stands twice (SQLSTATE 42701)`},
		{"SELECT 1; SELECT 2", `1:11: the text holds several statements (SQLSTATE 42601): send them one by one`},
		{" ; ", `1:4: the text holds no statement (SQLSTATE 42601)`},
		{"SELECT $0", `1:8: parameters are $1 to $65535 (SQLSTATE 42P02)`},
		{"SELECT $65536", `1:8: parameters are $1 to $65535 (SQLSTATE 42P02)`},
		{"SELECT '\xff'", `1:9: the text is not UTF-8 (SQLSTATE 22021)`},
		{"SELECT \x00", `1:8: the text holds a byte 0 (SQLSTATE 22021)`},
	} {
		_, err := One(c.text)
		var e *sqlerr.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.text, err)
		} else if got := e.Explain(c.text); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// R2: what has no node is refused, with its position.
func TestRefused(t *testing.T) {
	for text, at := range map[string]int{
		"SELECT * FROM t TABLESAMPLE system (10)":               17,
		"SELECT * FROM t TABLESAMPLE __as_of_event_time('now')": 17,
		"CREATE EVENT TYPE e (a text COMPRESSION personal)":     29,
		"CREATE EVENT TYPE e (a text DEFAULT 1)":                29,
		"CREATE EVENT TYPE e (a text PRIMARY KEY)":              19,
		"CREATE EVENT TYPE e (a text, CHECK (a = 'x'))":         30,
		"CREATE TEMP TABLE e (a text)":                          19,
		"CREATE MATERIALIZED VIEW v AS SELECT 1":                1,
		"CREATE TABLE v AS SELECT 1":                            1,
		"CREATE PROJECTION v AS SELECT 1 WITH NO DATA":          19,
		"DROP TABLE t":                        1,
		"DELETE FROM t":                       1,
		"SELECT * FROM t FOR UPDATE":          1,
		"SELECT 1 INTO t":                     1,
		"SELECT a FROM t GROUP BY ROLLUP (a)": 1,
		"SELECT a FROM t ORDER BY a FETCH FIRST 1 ROW WITH TIES": 1,
		"SELECT x'ff'":             8,
		"SELECT a SIMILAR TO 'b'":  10,
		"SELECT (a).b FROM t":      9,
		"SELECT a[1:2] FROM t":     8,
		`SELECT a COLLATE "de_DE"`: 10,
		"SELECT current_time":      8,
		"SELECT s.f(1)":            8,
		"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t": 8,
		"SELECT * FROM ROWS FROM (f(1), g(2))":                         1,
		"SUBSCRIBE TO v ORDER BY a":                                    1,
		"SUBSCRIBE TO v, w":                                            1,
		"SUBSCRIBE TO (SELECT 1) x":                                    1,
		"SUBSCRIBE TO v FOR TIMESTAMP AS OF 'x'":                       16,
		"EXPLAIN (FORMAT json) SELECT 1":                               10,
		"INSERT INTO t VALUES (1) RETURNING a":                         13,
		"INSERT INTO t VALUES (DEFAULT)":                               1,
		"SELECT JSON_OBJECT('a': 1)":                                   8,
		"WITH d AS (DELETE FROM t RETURNING a) SELECT * FROM d":        6,
		"SELECT a OPERATOR(s.+) b":                                     10,
		"SELECT * FROM (a JOIN b ON true) AS j":                        1,
	} {
		_, err := One(text)
		var e *sqlerr.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: not refused: %v", text, err)
			continue
		}
		place, _ := tree.Locate(text, e.Pos)
		if e.State != sqlerr.FeatureNotSupported || e.Pos == tree.NoPos {
			t.Errorf("%s: %v", text, e)
		} else if place.Char != at && at != 1 {
			t.Errorf("%s: refused at %d, want %d: %v", text, place.Char, at, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range statements(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := All(text)
		var e *sqlerr.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if e != nil && int(e.Pos) > len(text) {
			t.Fatalf("position %d of %d", e.Pos, len(text))
		}
		for _, s := range all {
			printed := tree.Print(s)
			again, err := One(printed)
			if err != nil {
				if errors.As(err, &e) && (e.State == sqlerr.StatementTooComplex || e.State == sqlerr.ProgramLimit) {
					continue // parentheses are added
				}
				t.Fatalf("%q\nprinted %q\n%v", text, printed, err)
			}
			if !reflect.DeepEqual(unplaced(s), unplaced(again)) {
				t.Fatalf("%q\nprinted %q\nparsed  %q", text, printed, tree.Print(again))
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	const text = "SELECT sku, sum(quantity * price) AS total FROM cart.item_added WHERE at > $1 GROUP BY sku HAVING count(*) > 2 ORDER BY total DESC LIMIT 10"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := One(text); err != nil {
			b.Fatal(err)
		}
	}
}
