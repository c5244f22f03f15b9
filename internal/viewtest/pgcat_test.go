package viewtest

import (
	"slices"
	"strings"
	"testing"

	"actordb/core/sql/tree"
	"actordb/core/view"
)

// ask answers a query of the catalog alone.
func ask(t testing.TB, c *view.Catalog, text string) (list []string, err error) {
	t.Helper()
	j, err := c.NewJob(query(t, text), view.Options{User: "spiffe://test/client/a"})
	if err != nil {
		return nil, err
	}
	for done := false; !done; {
		if done, err = j.Finish(epoch, 1000); err != nil {
			return nil, err
		}
	}
	if err := j.Err(); err != nil {
		return nil, err
	}
	return rows(t, j.Rows), nil
}

func shop(t testing.TB) *view.Catalog {
	c := view.NewCatalog()
	for _, text := range []string{
		`CREATE EVENT TYPE shop.sold (sku text NOT NULL, n int8, tags text[])`,
		`CREATE EVENT TYPE shop.gone (sku text)`,
		`CREATE PROJECTION totals AS SELECT sku, sum(n) AS n FROM shop.sold GROUP BY sku`,
		`DROP EVENT TYPE shop.gone`,
		`CREATE PROJECTION projections."Kept" WITH (materialized = true) AS SELECT sku FROM shop.sold`,
	} {
		if err := c.Execute(statement(t, text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return c
}

// What psql and drivers ask, and what it is here.
func TestPostgresCatalog(t *testing.T) {
	c := shop(t)
	for _, x := range []struct{ text, want string }{
		{`SELECT n.nspname, c.relname, c.relkind, c.relnatts FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE pg_table_is_visible(c.oid) AND n.nspname !~ '^pg_'`,
			"projections Kept m 1; projections totals v 2; shop sold r 8"},
		{`SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = 'shop.sold'::regclass AND attnum > 5`,
			"n bigint f; sku text t; tags text[] f"},
		{`SELECT format_type(23, NULL), format_type(0, 7), format_type(NULL, 1)`, "integer ??? NULL"},
		{`SELECT 'totals'::regclass, 'projections."Kept"'::regclass, 'shop.sold'::regclass, '0'::regclass, '-'::regclass, '77'::regclass, 'pg_type'::regclass::oid`,
			`totals "Kept" shop.sold - - 77 1247`},
		{`SELECT (SELECT relname FROM pg_class WHERE oid = 'totals'::regclass), ('totals'::regclass)::text, 'totals'::regclass = 'projections.totals'::regclass`, "totals totals t"},
		{`SELECT 'int4'::regtype, '_text'::regtype, 'timestamp with time zone'::regtype::oid, 'public'::text::regnamespace IS NULL FROM pg_class WHERE false`, ""},
		{`SELECT 'int4'::regtype, '_text'::regtype, 'timestamp with time zone'::regtype::oid, 'shop'::regnamespace`, "integer text[] 1184 shop"},
		{`SELECT to_regclass('nothing') IS NULL, to_regclass('totals') = 'totals'::regclass`, "t t"},
		{`SELECT pg_get_userbyid(10), pg_get_userbyid(11), current_user, session_user, current_database(), current_catalog, current_schema, current_schemas(true)`,
			"actordb unknown (OID=11) spiffe://test/client/a spiffe://test/client/a actordb actordb projections {pg_catalog,projections}"},
		{`SELECT version(), current_setting('TIMEZONE'), current_setting('no.such', true)`, "PostgreSQL 17.0 (ActorDB) UTC NULL"},
		{`SELECT pg_get_viewdef('totals'::regclass, true)`, "SELECT sku, sum(n) AS n FROM shop.sold GROUP BY sku"},
		{`SELECT pg_get_viewdef('shop.sold'::regclass), pg_table_is_visible(1), obj_description(1, 'pg_class')`, "NULL NULL NULL"},
		{`SELECT proname, pg_get_function_result(oid), pg_get_function_arguments(oid) FROM pg_proc WHERE proname = 'strpos'`, "strpos integer text, text"},
		{`SELECT typname, typelem, typarray FROM pg_type WHERE oid IN (20, 1016)`, "_int8 20 0; int8 0 1016"},
		{`SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema IN ('shop', 'projections')`,
			"projections Kept VIEW; projections totals VIEW; shop sold BASE TABLE"},
		{`SELECT column_name, ordinal_position, is_nullable, data_type, udt_name, numeric_precision FROM information_schema.columns WHERE table_name = 'sold' AND ordinal_position > 5`,
			"n 7 YES bigint int8 64; sku 6 NO text text NULL; tags 8 YES ARRAY _text NULL"},
		{`SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = 'projections' AND table_name = 'Kept'`, "Kept SELECT sku FROM shop.sold"},
		{`SELECT has_table_privilege('totals', 'SELECT'), has_table_privilege('totals', 'insert'), has_schema_privilege('shop', 'USAGE')`, "t f t"},
		{`SELECT s.x, a[1] FROM string_to_array('a,b', ',') AS a, upper('u') AS s(x)`, "U a"},
		{`SELECT string_to_array('ab', NULL), quote_ident('A"b'), quote_ident('ab'), array_upper(ARRAY[7, 8], 1)`, `{a,b} "A""b" ab 2`},
		{`SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(totals)$' COLLATE pg_catalog.default`, "totals"},
		{`SELECT '7'::oid, 'a'::name, 'r'::"char", '{1,2}'::oid[]`, "7 a r {1,2}"},
		{`SELECT pg_size_pretty(x) FROM unnest(ARRAY[0, 10239, 10240, 1048576, 10485759, 123456789012, -10240, 9223372036854775807]) AS s(x)`,
			"-10 kB; 0 bytes; 10 MB; 10 kB; 10239 bytes; 1024 kB; 115 GB; 8192 PB"},
	} {
		list, err := ask(t, c, x.text)
		if got := strings.ReplaceAll(strings.Join(list, "; "), "|", " "); err != nil || got != x.want {
			t.Errorf("%s\n%s %v\nwant %s", x.text, got, err, x.want)
		}
	}
	for text, want := range map[string]string{
		`SELECT 'nothing'::regclass`:                               "42P01",
		`SELECT 'nothing'::text::regtype`:                          "42704",
		`SELECT 'nothing'::regnamespace`:                           "3F000",
		`SELECT current_setting('no.such')`:                        "42704",
		`SELECT * FROM pg_catalog.totals`:                          "42P01",
		`SELECT format_type('x', 'y')`:                             "22P02",
		`SELECT * FROM string_to_array('a', ',') AS s(x, y)`:       "42P10",
		`SELECT pg_get_userbyid('a' || 'b')`:                       "42883",
		`SELECT true::regclass`:                                    "42804",
		`SELECT * FROM upper((SELECT max(relname) FROM pg_class))`: "0A000",
	} {
		if list, err := ask(t, c, text); stateOf(err) != want {
			t.Errorf("%s: %v %v, want %s", text, list, err, want)
		}
	}
	for text, want := range map[string]string{
		`CREATE PROJECTION pg_catalog.mine AS SELECT 1 AS a`:             "42501",
		`CREATE EVENT TYPE information_schema.mine (a int)`:              "42501",
		`CREATE PROJECTION p AS SELECT relname FROM pg_class`:            "0A000",
		`CREATE PROJECTION p AS SELECT current_user AS u`:                "0A000",
		`CREATE PROJECTION p AS SELECT version() AS v`:                   "0A000",
		`CREATE PROJECTION p AS SELECT 'totals'::regclass AS v`:          "0A000",
		`CREATE EVENT TYPE shop.numbered (a oid)`:                        "42704",
		`CREATE PROJECTION p AS SELECT string_to_array(sku, ',') FROM v`: "42P01",
	} {
		if err := c.Clone().Execute(statement(t, text)); stateOf(err) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Every table can be read, has the columns that it says it has, and OIDs are the table's own.
func TestPostgresTables(t *testing.T) {
	c := shop(t)
	names, err := ask(t, c, `SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace::regnamespace::text IN ('pg_catalog', 'information_schema')`)
	if err != nil || len(names) < 40 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		list, err := ask(t, c, `SELECT * FROM `+name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		known, err := ask(t, c, `SELECT count(*) FROM pg_attribute WHERE attrelid = '`+name+`'::regclass`)
		if err != nil || len(list) > 0 && known[0] == "0" {
			t.Errorf("%s has columns: %v %v", name, known, err)
		}
	}
	for _, name := range []string{"pg_class", "pg_namespace", "pg_type", "pg_proc", "pg_collation"} {
		if twice, err := ask(t, c, `SELECT oid FROM `+name+` GROUP BY oid HAVING count(*) > 1`); err != nil || len(twice) > 0 {
			t.Errorf("%s has OIDs twice: %v %v", name, twice, err)
		}
	}
}

// An OID stays, whatever else is dropped, and is not given again; who executes the same
// statements gives the same.
func TestPostgresOIDs(t *testing.T) {
	oids := func(c *view.Catalog) []string {
		list, err := ask(t, c, `SELECT relname, oid FROM pg_class WHERE oid >= 16384 UNION ALL SELECT nspname, oid FROM pg_namespace WHERE oid >= 16384`)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	c := shop(t)
	before := oids(c)
	if len(before) != 4 || !slices.Equal(before, oids(shop(t))) || !slices.Equal(before, oids(c.Clone())) {
		t.Fatal(before)
	}
	again := c.Clone()
	for _, text := range []string{`DROP PROJECTION totals`, `CREATE PROJECTION totals AS SELECT sku FROM shop.sold`} {
		if err := again.Execute(statement(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	after := oids(again)
	for _, x := range after {
		if slices.Contains(before, x) == strings.HasPrefix(x, "totals|") {
			t.Errorf("%v became %v", before, after)
		}
	}
	if !slices.Contains(after, "totals|16389") {
		t.Errorf("the sixth that was numbered is none of %v", after)
	}
	if got := oids(c); !slices.Equal(got, before) {
		t.Errorf("a clone's statements changed %v to %v", before, got)
	}
	printed := tree.Print(statement(t, `CREATE PROJECTION p AS SELECT current_user AS u, session_user AS s`))
	if again := tree.Print(statement(t, printed)); again != printed {
		t.Errorf("%s is printed as %s", printed, again)
	}
}
