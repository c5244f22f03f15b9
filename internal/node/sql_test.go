package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
	"actordb/net/client"
)

// asked is an answer as text, a line for each row.
func asked(t *testing.T, c *client.Client, text string, args ...any) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rows, err := c.Query(ctx, text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		b := rows.Batch()
		for i := range b.N {
			var cells []string
			for _, col := range b.Cols {
				if col.Null(i) {
					cells = append(cells, "NULL")
				} else {
					cells = append(cells, string(col.AppendText(nil, i)))
				}
			}
			lines = append(lines, strings.Join(cells, "|"))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return lines
}

// declined is the error of a statement.
func declined(t *testing.T, c *client.Client, text string, args ...any) *client.SQLError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := c.Exec(ctx, text, args...)
	var declined *client.SQLError
	if !errors.As(err, &declined) {
		t.Fatalf("%s: %v, want it declined", text, err)
	}
	return declined
}

func perform(t *testing.T, c *client.Client, text string) client.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := c.Exec(ctx, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// sale is an event of orders.
func sale(item string, n int64) core.NewEvent {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), item)
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), protowire.EncodeZigZag(n))
	return core.NewEvent{Type: "sold", Version: 1, Payload: b}
}

// Statements over mutual TLS, against a real node: what is written is read at once, the
// catalog outlives a restart, and a subscription goes on over it.
func TestSQL(t *testing.T) {
	s := newSite(t)
	c := s.dial(nil)
	if r := perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`); r.Tag != "CREATE EVENT TYPE" || r.Cut == 0 {
		t.Fatalf("%+v", r)
	}
	perform(t, c, `CREATE PROJECTION totals AS SELECT item, sum(n) AS total FROM stream.sold GROUP BY item`)
	perform(t, c, `CREATE PROJECTION kept WITH (materialized = true) AS SELECT item, count(*) AS sales FROM stream.sold GROUP BY item`)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	sub, err := c.Subscribe(ctx, `SUBSCRIBE TO totals WHERE item = 'pear'`, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	total := map[string]int64{}
	follow := func(want string) {
		t.Helper()
		for fmt.Sprint(total) != want {
			change, err := sub.Next(ctx)
			if err != nil {
				t.Fatalf("%v; so far %v, want %s", err, total, want)
			}
			for i, w := range change.Weights {
				key := fmt.Sprintf("%s %s", change.Rows.Cols[0].AppendText(nil, i), change.Rows.Cols[1].AppendText(nil, i))
				if total[key] += w; total[key] == 0 {
					delete(total, key)
				}
			}
		}
	}
	for i := range 20 {
		if _, err := c.Append(ctx, core.ActorID(fmt.Sprintf("stream/%d", i%5)), core.AnySeq, sale([]string{"apple", "pear"}[i%2], int64(i))); err != nil {
			t.Fatal(err)
		}
		if n := asked(t, c, `SELECT count(*) FROM stream.sold`); n[0] != fmt.Sprint(i+1) {
			t.Fatalf("%s events after %d", n[0], i+1)
		}
	}
	follow("map[pear 100:1]")
	want := fmt.Sprint([]string{"apple|90", "pear|100"})
	if got := asked(t, c, `SELECT * FROM totals ORDER BY item`); fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if got := asked(t, c, `SELECT sales FROM kept WHERE item = $1`, "pear"); fmt.Sprint(got) != "[10]" {
		t.Errorf("%v pears sold, want 10", got)
	}
	s.kill()
	s.serve()
	if got := asked(t, c, `SELECT * FROM totals ORDER BY item`); fmt.Sprint(got) != want {
		t.Errorf("%v after a restart, want %s", got, want)
	}
	if _, err := c.Append(ctx, "stream/9", core.AnySeq, sale("pear", 11)); err != nil {
		t.Fatal(err)
	}
	follow("map[pear 111:1]")
	for plan := ""; !strings.Contains(plan, "projections.kept: its rows are kept"); {
		if plan = strings.Join(asked(t, c, `EXPLAIN SELECT * FROM kept`), "\n"); ctx.Err() != nil {
			t.Fatal(plan)
		}
	}
	if list := asked(t, c, `SELECT name, kind FROM system.relations ORDER BY name`); len(list) != 3 {
		t.Error(list)
	}
	perform(t, c, `DROP PROJECTION totals`)
	for err = nil; err == nil; {
		_, err = sub.Next(ctx)
	}
	if !strings.Contains(err.Error(), `"projections.totals" was dropped (SQLSTATE 42P01)`) {
		t.Errorf("a subscription to what was dropped: %v", err)
	}
}

// What is wrong with a statement is told with SQLSTATE and place.
func TestSQLDeclined(t *testing.T) {
	s := newSite(t)
	c := s.dial(nil)
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	for _, x := range []struct {
		text, state string
		at          int
	}{
		{`SELECT item, price FROM stream.sold`, "42703", 13},
		{`SELECT * FROM nowhere`, "42P01", 14},
		{`SELECT item + n FROM stream.sold`, "42883", 12},
		{`SELECT n FROM stream.sold WHERE item > date '2025-01-01'`, "42883", 37},
		{`SELECT 1/0`, "22012", -1},
		{`SELEC 1`, "42601", 0},
		{`WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) SELECT * FROM r`, "0A000", 15},
		{`SUBSCRIBE TO nowhere`, "42P01", 13},
		{`CREATE EVENT TYPE stream.sold (x int)`, "42P07", 18},
		{`CREATE PROJECTION p WITH (kept = true) AS SELECT 1`, "22023", 26},
		{`DROP PROJECTION p`, "42P01", 0},
		{`SELECT * FROM stream.sold FOR SYSTEM_TIME AS OF '2200-01-01'`, "22023", -1},
		{`INSERT INTO t VALUES (1)`, "0A000", 0},
	} {
		if e := declined(t, c, x.text); e.State != x.state || e.Position != x.at {
			t.Errorf("%s: %v at %d, want %s at %d", x.text, e, e.Position, x.state, x.at)
		}
	}
}
