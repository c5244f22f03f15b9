package node

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"actordb/core"
)

// Between BEGIN and COMMIT all queries are of one cut, also of views that are kept, of the
// catalog, and of now(), whatever is committed meanwhile; after it they are of a later one.
func TestPgTransactions(t *testing.T) {
	s := pgSite(t)
	c, other, cl := s.pgx(), s.pgx(), s.dial(nil)
	exec := func(c *pgx.Conn, text string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	exec(c, `CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8 NOT NULL)`)
	exec(c, `CREATE PROJECTION computed AS SELECT count(*) AS n, sum(n) AS total FROM stream.sold`)
	exec(c, `CREATE PROJECTION kept WITH (materialized = true) AS SELECT count(*) AS n, sum(n) AS total FROM stream.sold`)
	var mu sync.Mutex
	sent := 0
	sell := func() {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if _, err := cl.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", sent%5)), core.AnySeq, sold("x", 1)); err != nil {
			t.Error(err)
		}
		sent++
	}
	state := func(c *pgx.Conn, args ...any) (n int, all string) {
		t.Helper()
		var a, b, d int
		var when, relations string
		for text, into := range map[string][]any{`SELECT n FROM kept`: {&a}, `SELECT n FROM computed`: {&b}, `SELECT count(*) FROM stream.sold`: {&d},
			`SELECT now()::text`: {&when}, `SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE oid >= 16384`: {&relations}} {
			if err := c.QueryRow(t.Context(), text, args...).Scan(into...); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		if a != b || b != d {
			t.Errorf("of one cut: %d kept, %d computed, %d events", a, b, d)
		}
		return a, fmt.Sprint(a, " ", when, " ", relations)
	}
	for round, args := range [][]any{nil, {pgx.QueryExecModeSimpleProtocol}} {
		sell()
		exec(c, `BEGIN ISOLATION LEVEL REPEATABLE READ`)
		n, first := state(c, args...)
		if n != sent {
			t.Errorf("%d of %d events are seen", n, sent)
		}
		stop := make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					sell()
				}
			}
		})
		for range 3 {
			sell()
			exec(other, fmt.Sprintf(`CREATE PROJECTION later_%d_%d AS SELECT sku FROM stream.sold`, round, sent))
			if _, again := state(c, args...); again != first {
				t.Errorf("%q became %q", first, again)
			}
		}
		close(stop)
		writer.Wait()
		exec(c, `COMMIT`)
		var after int
		if err := c.QueryRow(t.Context(), `SELECT n FROM kept`).Scan(&after); err != nil || after != sent {
			t.Errorf("after the transaction %d of %d events are seen: %v", after, sent, err)
		}
	}
}

// What a transaction refuses, and what becomes of it then.
func TestPgTransactionsRefuse(t *testing.T) {
	c := pgSite(t).pgx()
	run := func(text, want string) {
		t.Helper()
		tag, err := c.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol)
		got := tag.String()
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			got = refused.Code
		} else if err != nil {
			got = err.Error()
		}
		if got += " " + string(c.PgConn().TxStatus()); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	run(`CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8 NOT NULL)`, "CREATE EVENT TYPE I")
	run(`BEGIN READ WRITE`, "25006 I")
	run(`SAVEPOINT a`, "25P01 I")
	run(`ROLLBACK TO a`, "25P01 I")
	for _, text := range []string{`CREATE PROJECTION p AS SELECT sku FROM stream.sold`, `DROP EVENT TYPE stream.sold`, `SUBSCRIBE TO stream.sold`, `COPY (SUBSCRIBE TO stream.sold) TO STDOUT`} {
		run(`START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY`, "START TRANSACTION T")
		run(text, "25006 E")
		run(`SELECT 1`, "25P02 E")
		run(`SAVEPOINT a`, "25P02 E")
		run(`COMMIT`, "ROLLBACK I")
	}
	run(`BEGIN; SAVEPOINT a; SAVEPOINT "B"; SELECT 1`, "SELECT 1 T")
	run(`SELECT nothing`, "42703 E")
	run(`ROLLBACK TO SAVEPOINT b`, "3B001 E")
	run(`ROLLBACK WORK TO SAVEPOINT "B"`, "ROLLBACK T")
	run(`EXPLAIN SELECT sku FROM stream.sold`, "EXPLAIN T")
	run(`RELEASE A`, "RELEASE T")
	run(`RELEASE SAVEPOINT "B"`, "3B001 E")
	run(`ROLLBACK AND CHAIN`, "ROLLBACK T")
	run(`SELECT * FROM stream.sold FOR SYSTEM_TIME AS OF (now() + interval '1 s')`, "22023 E")
	run(`ABORT`, "ROLLBACK I")
	run(`BEGIN`, "BEGIN T")
	run(`SELECT count(*) FROM stream.sold FOR SYSTEM_TIME AS OF '2020-01-01'`, "42P01 E") // there was no such type then
	run(`END TRANSACTION`, "ROLLBACK I")
	run(`COMMIT PREPARED 'x'`, "42601 I")
	run(`BEGIN; `+strings.Repeat("SAVEPOINT s; ", 1025), "54000 E")
	run(`ROLLBACK`, "ROLLBACK I")
	run(`DROP EVENT TYPE stream.sold`, "DROP EVENT TYPE I")
}
