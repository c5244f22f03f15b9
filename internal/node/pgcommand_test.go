package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
)

// INSERT appends events: with parameters and without, several at once, each value as its
// column's type has it; who reads afterwards sees them, in SQL and as the actor's history.
func TestPgInsert(t *testing.T) {
	s := pgSite(t)
	c, cl := s.pgx(), s.dial(nil)
	exec := func(text string, args ...any) pgconn.CommandTag {
		t.Helper()
		tag, err := c.Exec(t.Context(), text, args...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return tag
	}
	exec(`CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8, price numeric, tags text[], at date, note text PERSONAL, doc jsonb)`)
	exec(`INSERT INTO stream.sold (sku, key, n) VALUES ('pear', 'a', 1 + 1)`)
	when := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	if tag := exec(`INSERT INTO stream.sold (key, event_time, sku, n, price, tags, at, note, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9), ($1, $2, 'z', -4, NULL, '{}', NULL, NULL, NULL), ($1, NULL, 'b', $4, NULL, NULL, NULL, NULL, NULL)`,
		"a", when, "fig", int64(7), "1.50", []string{"x", "y z"}, when, "for Ann", `{"k": [1, null]}`); tag.String() != "INSERT 0 3" || tag.RowsAffected() != 3 {
		t.Errorf("%s", tag)
	}
	// For the simple protocol the client writes the values into the text.
	if _, err := c.Exec(t.Context(), `INSERT INTO stream.sold (key, sku, note) VALUES ($1, $2, 'it''s')`, pgx.QueryExecModeSimpleProtocol, "a", "plum"); err != nil {
		t.Fatal(err)
	}
	rows, err := c.Query(t.Context(), `SELECT seq || ' ' || sku || ' ' || coalesce(n, 0) || ' ' || coalesce(price::text, '-') || ' ' || coalesce(array_to_string(tags, '+'), '-') || ' ' || coalesce(at::text, '-') || ' ' || coalesce(note, '-') || ' ' || coalesce(doc::text, '-')
		FROM stream.sold WHERE key = 'a' ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	want := []string{"1 pear 2 - - - - -", `2 fig 7 1.5 x+y z 2026-01-02 for Ann {"k": [1, null]}`, "3 z -4 -  - - -", "4 b 7 - - - - -", "5 plum 0 - - - it's -"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
	at := core.Seq(0)
	for e, err := range cl.History(t.Context(), "stream/a", 1) {
		if err != nil {
			t.Fatal(err)
		}
		if at = e.Seq; e.Principal == "" || (e.EventTime == core.Timestamp(when.UnixNano())) != (at == 2 || at == 3) || e.Version != 1 || e.Type != "sold" {
			t.Errorf("%+v", e)
		}
	}
	if at != 5 {
		t.Errorf("the history has %d events", at)
	}
}

// CALL sends an actor a command of its type; the answers of actors that decline, and all
// that is wrong with a statement, are errors with SQLSTATE and, where the text is to blame, place.
func TestPgCommands(t *testing.T) {
	s := pgSite(t)
	c := s.pgx()
	run := func(want, text string, args ...any) {
		t.Helper()
		tag, err := c.Exec(t.Context(), text, args...)
		got := tag.String()
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			if got = refused.Code; refused.Position > 0 {
				got += fmt.Sprint(" at ", refused.Position)
			}
		} else if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", text, got, err, want)
		}
	}
	by := func(n int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(n))
	}
	run("CREATE EVENT TYPE", `CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int2)`)
	run("CREATE EVENT TYPE", `CREATE EVENT TYPE counter.incremented (n int8)`)
	run("CREATE PROJECTION", `CREATE PROJECTION p AS SELECT sku FROM stream.sold`)
	run("CALL", `CALL send('counter/a', 'inc', '')`)
	run("CALL", `CALL send($1, $2, $3::bytea, $4)`, "counter/a", "inc", by(2), 1)
	run("40001", `CALL send($1, $2, $3::bytea, $4)`, "counter/a", "inc", by(2), 1)
	run("22023", `CALL send('counter/a', 'inc', '', -1)`)
	run("42704", `CALL send('nothing/a', 'inc', '')`)
	run("22023", `CALL send('no actor', 'inc', '')`)
	run("22004", `CALL send('counter/a', NULL, '')`)
	run("42883 at 6", `CALL dend('counter/a', 'inc', '')`)
	run("42601 at 11", `CALL send(`)
	run("P0001", `CALL send('cart/a', 'remove', '')`)
	var n int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM counter.incremented`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d increments: %v", n, err)
	}
	run("INSERT 0 1", `INSERT INTO stream.sold (key, seq, sku) VALUES ('a', 1, 'x')`)
	run("40001", `INSERT INTO stream.sold (key, seq, sku) VALUES ('a', 1, 'x')`)
	run("INSERT 0 2", `INSERT INTO stream.sold (key, seq, sku) VALUES ('a', 2, 'y'), ('a', 3, 'z')`)
	run("22023", `INSERT INTO stream.sold (key, seq, sku) VALUES ('a', 4, 'y'), ('a', 6, 'z')`)
	run("22023", `INSERT INTO stream.sold (key, seq, sku) VALUES ('a', NULL, 'y'), ('a', 5, 'z')`)
	run("22023", `INSERT INTO stream.sold (key, seq, sku) VALUES ('a', 0, 'y')`)
	run("0A000", `INSERT INTO stream.sold (key, sku) VALUES ('a', 'x'), ('b', 'x')`)
	run("23502", `INSERT INTO stream.sold (key, sku) VALUES (NULL, 'x')`)
	run("23502 at 13", `INSERT INTO stream.sold (sku) VALUES ('x')`)
	run("23502", `INSERT INTO stream.sold (key) VALUES ('a')`)
	run("23502", `INSERT INTO stream.sold (key, sku) VALUES ('a', NULL)`)
	run("22003", `INSERT INTO stream.sold (key, sku, n) VALUES ('a', 'x', 70000)`)
	run("22P02", `INSERT INTO stream.sold (key, sku, n) VALUES ('a', 'x', 'seven')`)
	run("42703 at 13", `INSERT INTO stream.sold (key, sku, m) VALUES ('a', 'x', 1)`)
	run("42701 at 13", `INSERT INTO stream.sold (key, sku, sku) VALUES ('a', 'x', 'x')`)
	run("428C9 at 13", `INSERT INTO stream.sold (key, sku, commit_time) VALUES ('a', 'x', now())`)
	run("42601 at 13", `INSERT INTO stream.sold VALUES ('a', 'x')`)
	run("42601 at 44", `INSERT INTO stream.sold (key, sku) VALUES ('é', 'x', 1)`)
	run("42P01 at 13", `INSERT INTO stream.bought (key, sku) VALUES ('a', 'x')`)
	run("42809 at 13", `INSERT INTO projections.p (key, sku) VALUES ('a', 'x')`)
	run("42809", `INSERT INTO counter.incremented (key, n) VALUES ('a', 1)`)
	run("0A000 at 1", `INSERT INTO stream.sold (key, sku) SELECT key, sku FROM stream.sold`)
	run("22008", `INSERT INTO stream.sold (key, sku, event_time) VALUES ('a', 'x', '1969-01-01')`)
	run("54000", fmt.Sprintf(`INSERT INTO stream.sold (key, sku) VALUES ('a', repeat('x', %d))`, core.PayloadBytesMax))
	run("CREATE EVENT TYPE", `CREATE EVENT TYPE stream.kept (version text)`)
	run("INSERT 0 1", `INSERT INTO stream.kept (key, version) VALUES ('v', 'mine')`)
	run("22023", `INSERT INTO stream.sold (key, sku, version) VALUES ('v', 'x', 0)`)
	run("INSERT 0 1", `INSERT INTO stream.sold (key, sku, version) VALUES ('v', 'x', 7)`)
	var versions []uint16
	for e, err := range s.dial(nil).History(t.Context(), "stream/v", 1) {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, e.Version)
	}
	if !slices.Equal(versions, []uint16{1, 7}) {
		t.Errorf("versions %v", versions)
	}
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run("25006", `INSERT INTO stream.sold (key, sku) VALUES ('a', 'x')`)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM stream.sold`).Scan(&n); err != nil || n != 4 {
		t.Errorf("%d events, want the 4 that were accepted: %v", n, err)
	}
}
