package plan

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/explain.txt")

// tables is a catalog.
type tables map[string]*Table

func (c tables) Table(schema, name string) (*Table, bool) {
	if schema != "" {
		name = schema + "." + name
	}
	t := c[name]
	return t, t != nil
}

func catalog() tables {
	c := tables{}
	add := func(name string, columns ...string) {
		t := &Table{Name: name}
		for i := 0; i < len(columns); i += 2 {
			typ, err := row.ParseType(columns[i+1])
			if err != nil {
				panic(err)
			}
			t.Schema = append(t.Schema, row.Column{Name: columns[i], Type: typ})
		}
		c[name] = t
	}
	add("t", "a", "int4", "b", "int4", "c", "text", "f", "bool")
	add("u", "a", "int4", "k", "text", "n", "int8")
	add("s.e", "id", "int4", "at", "timestamptz", "body", "jsonb")
	return c
}

func planned(text string) (*Plan, error) {
	s, err := parse.One(text)
	if err != nil {
		return nil, err
	}
	o := Options{Catalog: catalog()}
	switch s := s.(type) {
	case *tree.Select:
		return Query(s.Query, o)
	case *tree.Subscribe:
		return Subscribe(s, o)
	case *tree.CreateProjection:
		return Projection(s, o)
	}
	return nil, errors.New("not a query")
}

// The plans that are worth a look; a change of one is a change to be read.
func TestExplain(t *testing.T) {
	const file = "testdata/explain.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	n := 0
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "> "):
			p, err := planned(line[2:])
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			out.WriteString("\n" + line + "\n" + strings.Join(p.Explain(), "\n") + "\n")
			n++
		}
	}
	if n < 10 {
		t.Fatalf("only %d plans", n)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(data) {
		t.Errorf("plans differ from %s; look at them, then: go test ./core/sql/plan -rewrite\n%s", file, out.String())
	}
}

// P3: what cannot be planned is refused, with SQLSTATE and place.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"SELECT x FROM t", `1:8: column "x" does not exist (SQLSTATE 42703)`},
		{"SELECT t.x FROM t", `1:8: column t.x does not exist (SQLSTATE 42703)`},
		{"SELECT z.a FROM t", `1:8: missing FROM-clause entry for table "z" (SQLSTATE 42P01)`},
		{"SELECT 1 FROM nothing", `1:15: relation "nothing" does not exist (SQLSTATE 42P01)`},
		{"SELECT a FROM t, u", `1:8: column reference "a" is ambiguous (SQLSTATE 42702)`},
		{"SELECT 1 FROM t, t", `1:18: table name "t" specified more than once (SQLSTATE 42712)`},
		{"SELECT a + c FROM t", `1:10: operator integer + text does not exist (SQLSTATE 42883): look at the types of its arguments; casts may be needed`},
		{"SELECT a = c FROM t", `1:10: operator integer = text does not exist (SQLSTATE 42883): add a cast`},
		{"SELECT a FROM t WHERE a", `1:23: argument of WHERE must be type boolean, not type integer (SQLSTATE 42804)`},
		{"SELECT a FROM t WHERE a = 'x'", `1:27: invalid input syntax for type integer: "x" (SQLSTATE 22P02)`},
		{"SELECT a, count(*) FROM t", `1:8: column "a" must appear in the GROUP BY clause or be used in an aggregate function (SQLSTATE 42803)`},
		{"SELECT b FROM t GROUP BY a", `1:8: column "b" must appear in the GROUP BY clause or be used in an aggregate function (SQLSTATE 42803)`},
		{"SELECT (SELECT t.b FROM u LIMIT 1) FROM t GROUP BY a", `1:16: column "b" must appear in the GROUP BY clause or be used in an aggregate function (SQLSTATE 42803)`},
		{"SELECT a FROM t WHERE sum(a) > 1", `1:23: aggregate functions are not allowed in WHERE (SQLSTATE 42803)`},
		{"SELECT sum(sum(a)) FROM t", `1:12: aggregate functions are not allowed in the arguments of aggregate functions (SQLSTATE 42803)`},
		{"SELECT a FROM t WHERE rank() OVER () = 1", `1:23: window functions are not allowed in WHERE (SQLSTATE 42P20)`},
		{"SELECT rank() FROM t", `1:8: window function rank requires an OVER clause (SQLSTATE 42P20)`},
		{"SELECT sum(a) OVER w FROM t", `1:20: window "w" does not exist (SQLSTATE 42704)`},
		{"SELECT a FROM t UNION SELECT k FROM u", `1:1: UNION types integer and text cannot be matched (SQLSTATE 42804)`},
		{"SELECT a FROM t UNION SELECT a, n FROM u", `1:1: each UNION query must have the same number of columns (SQLSTATE 42601)`},
		{"SELECT a FROM t ORDER BY 2", `1:26: ORDER BY position 2 is not in select list (SQLSTATE 42P10)`},
		{"SELECT DISTINCT a FROM t ORDER BY b", `1:35: for SELECT DISTINCT, ORDER BY expressions must appear in select list (SQLSTATE 42P10)`},
		{"SELECT a FROM t WHERE a IN (SELECT a, n FROM u)", `1:25: subquery has 2 columns, 1 are compared (SQLSTATE 42601)`},
		{"SELECT nothing(a) FROM t", `1:8: function nothing(integer) does not exist (SQLSTATE 42883): look at the types of its arguments; casts may be needed`},
		{"SELECT a::nothing FROM t", `1:11: type "nothing" does not exist (SQLSTATE 42704)`},
		{"SELECT f::date FROM t", `1:8: cannot cast type boolean to date (SQLSTATE 42846)`},
		{"SELECT $1 FROM t", `1:8: there is no parameter $1 (SQLSTATE 42P02)`},
		{"SELECT a FROM t LIMIT -1", `1:23: LIMIT must not be negative (SQLSTATE 2201W)`},
		{"SELECT a FROM t LIMIT a", `1:23: column "a" does not exist (SQLSTATE 42703)`},
		{"SELECT * FROM t JOIN u USING (b)", `1:22: column "b" specified in USING clause does not exist (SQLSTATE 42703)`},
		{"WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r", `1:16: a recursive query is not supported (SQLSTATE 0A000)`},
		{"SELECT DISTINCT ON (a) a FROM t ORDER BY b", `1:21: SELECT DISTINCT ON expressions must match initial ORDER BY expressions (SQLSTATE 42P10)`},
		{"SELECT t.a FROM t FULL JOIN LATERAL (SELECT n FROM u WHERE u.a = t.a) x ON true", `1:1: a FULL JOIN with LATERAL is not supported (SQLSTATE 0A000)`},
		{"VALUES (1), (1, 2)", `1:1: VALUES lists must all be the same length (SQLSTATE 42601)`},
		{"SELECT a FROM t FOR TIMESTAMP AS OF NULL", `1:37: syntax error at or near "NULL": AS OF takes a constant, a parameter, a call, or an expression in parentheses (SQLSTATE 42601)`},
		{"SELECT a FROM t FOR TIMESTAMP AS OF 'x'", `1:37: invalid input syntax for type timestamp with time zone: "x" (SQLSTATE 22007)`},
		{"CREATE PROJECTION p AS SELECT a, now() FROM t", `1:34: the present time in what is kept is not supported (SQLSTATE 0A000): compare with a time that an event has`},
		{"CREATE PROJECTION p AS SELECT a, a FROM t", `1:19: column "a" specified more than once (SQLSTATE 42701): give the columns of the query names with AS`},
		{"CREATE PROJECTION p (x, y) AS SELECT a FROM t", `1:19: too many column names were specified: the query has 1 columns (SQLSTATE 42601)`},
		{"CREATE PROJECTION p AS SELECT a FROM t WHERE a = $1", `1:50: a parameter in what is kept is not supported (SQLSTATE 0A000)`},
		{"SUBSCRIBE TO t WHERE x = 1", `1:22: column "x" does not exist (SQLSTATE 42703)`},
		{"SELECT " + strings.Repeat("(SELECT ", nestingMax) + "1" + strings.Repeat(")", nestingMax), `1:256: more than 32 queries within one another (SQLSTATE 54001)`},
	} {
		_, err := planned(c.text)
		var e *sqlerr.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.text, err)
		} else if got := e.Explain(c.text); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// A projection has the names that the statement gives.
func TestProjection(t *testing.T) {
	p, err := planned("CREATE PROJECTION p (x) AS SELECT a, sum(b) AS y FROM t GROUP BY a")
	if err != nil {
		t.Fatal(err)
	}
	if p.Cols[0].Name != "x" || p.Cols[1].Name != "y" || p.Cols[1].Type != row.Of(row.Int8) {
		t.Errorf("%v", p.Cols)
	}
	if p, err = planned("SUBSCRIBE TO s.e WHERE id > 1"); err != nil || len(p.Cols) != 3 {
		t.Errorf("%v %v", p, err)
	}
}

// Parameters without values are taken for what they are used as, as PostgreSQL
// tells a client that prepares a statement.
func TestDescribe(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT $1": "text", "SELECT $1 + 1": "integer", "SELECT a FROM t WHERE a = $1": "integer", "SELECT $2::date, $1::int8": "bigint date",
		"SELECT a FROM t WHERE c LIKE $1 LIMIT $2": "text bigint", "SELECT a FROM t WHERE a = ANY ($1)": "integer[]", "SELECT a FROM t WHERE a IN ($1, $2)": "integer integer",
		"SELECT n FROM u WHERE n BETWEEN $1 AND $2 AND k = $3": "bigint bigint text", "SELECT CASE WHEN $1 THEN 1 ELSE $2 END": "boolean integer", "SELECT at + $1 FROM s.e": "interval",
		"SELECT body -> $1 FROM s.e": "text", "SELECT a FROM t WHERE a = $1 AND a > $1": "integer", "SELECT coalesce($1, n) FROM u": "bigint", "SELECT $2": "text text",
		"SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.n = $1)": "bigint", "VALUES ($1, 1), (2, $2)": "integer integer",
	} {
		s, err := parse.One(text)
		if err != nil {
			t.Fatal(err)
		}
		params, cols, err := Describe(s.(*tree.Select).Query, Options{Catalog: catalog()})
		var got []string
		for _, p := range params {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != want || err != nil || len(cols) == 0 {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
	s, _ := parse.One("SELECT $1 + $2")
	if _, _, err := Describe(s.(*tree.Select).Query, Options{Catalog: catalog()}); err == nil {
		t.Error("$1 + $2 has types")
	}
}
