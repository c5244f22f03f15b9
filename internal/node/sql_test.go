package node

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb"
	"actordb/core"
	"actordb/core/control"
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

// limited serves a site whose query process has other limits.
func limited(t *testing.T, limits map[string]int64) *client.Client {
	t.Helper()
	s := newSite(t)
	s.kill()
	s.change = func(c *ServeConfig) {
		network, err := actordb.Network()
		if err == nil {
			c.Network, err = network.With("query", 1, limits)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.serve()
	return s.dial(nil)
}

// fill appends n sales, a thousand at once.
func fill(t *testing.T, c *client.Client, n int) {
	t.Helper()
	for at := 0; at < n; at += 1000 {
		var events []core.NewEvent
		for i := range min(1000, n-at) {
			events = append(events, sale(fmt.Sprintf("item %06d with a name of some length, so that rows count", at+i), int64(at+i)))
		}
		if _, err := c.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", at)), core.AnySeq, events...); err != nil {
			t.Fatal(err)
		}
	}
}

// What needs more memory than a statement may have is refused, alone; what passes rows on
// does not need it, however slowly they are read.
func TestSQLMemory(t *testing.T) {
	c := limited(t, map[string]int64{"memory_bytes": 512 << 10, "window_bytes": 64 << 10, "feed_window_bytes": 256 << 10})
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	const n = 40_000
	fill(t, c, n)
	if e := declined(t, c, `SELECT item, count(*) FROM stream.sold GROUP BY item`); e.State != "53200" {
		t.Errorf("a query that holds %d groups: %v", n, e)
	}
	if got := asked(t, c, `SELECT count(*) FROM stream.sold`); got[0] != fmt.Sprint(n) {
		t.Errorf("%v after a refusal, want %d", got, n)
	}
	rows, err := c.Query(t.Context(), `SELECT item, n FROM stream.sold WHERE n >= 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen, sum := 0, int64(0)
	for rows.Next() {
		for _, x := range rows.Batch().Cols[1].I {
			seen, sum = seen+1, sum+x
		}
		if seen < 5000 {
			runtime.Gosched()
		}
	}
	if rows.Err() != nil || seen != n || sum != n*(n-1)/2 || rows.Count() != n {
		t.Errorf("%d rows (said %d) with the sum %d, %v; want %d with %d", seen, rows.Count(), sum, rows.Err(), n, n*(n-1)/2)
	}
}

// Too many statements and subscriptions are refused, and the rest go on.
func TestSQLBounds(t *testing.T) {
	c := limited(t, map[string]int64{"statements": 3, "subscriptions": 1})
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	sub, err := c.Subscribe(t.Context(), `SUBSCRIBE TO stream.sold`, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Subscribe(t.Context(), `SUBSCRIBE TO stream.sold`, 0)
	var e *client.SQLError
	if !errors.As(err, &e) || e.State != "53300" {
		t.Errorf("a subscription too many: %v", err)
	}
	fill(t, c, 2500)
	var open []*client.Rows
	for len(open) < 2 {
		rows, err := c.Query(t.Context(), `SELECT * FROM stream.sold`) // and not read to its end
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, rows)
	}
	if _, err = c.Query(t.Context(), `SELECT 1`); !errors.As(err, &e) || e.State != "53300" {
		t.Errorf("a statement too many: %v", err)
	}
	for _, rows := range open {
		rows.Close()
	}
	for n := 0; n < 2500; {
		change, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += change.Rows.N
	}
	sub.Close()
	for { // Close does not wait for the node
		if _, err = c.Exec(t.Context(), `SELECT 1`); err == nil {
			return
		}
		if !errors.As(err, &e) || e.State != "53300" {
			t.Fatal(err)
		}
	}
}

// A subscription whose client does not read is cut off, and then brings what was missed.
func TestSlowSubscriber(t *testing.T) {
	c := limited(t, map[string]int64{"inbox_bytes": 64 << 10, "window_bytes": 4 << 10})
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	perform(t, c, `CREATE PROJECTION total AS SELECT sum(n) AS total, count(*) AS events FROM stream.sold`)
	all, err := c.Subscribe(t.Context(), `SUBSCRIBE TO stream.sold`, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	for i := range 4 { // each is more than the window and the inbox hold, while nobody reads
		fill(t, c, 5000+i)
		if got := asked(t, c, `SELECT events FROM total`); len(got) != 1 {
			t.Fatal(got)
		}
	}
	const want = 4*5000 + 6
	count := map[string]int64{}
	for n := int64(0); n < want; {
		change, err := all.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if change.Restart {
			clear(count) // all of it was one step
			n = 0
		}
		for i, w := range change.Weights {
			key := string(change.Rows.Cols[0].AppendText(nil, i)) + "/" + string(change.Rows.Cols[1].AppendText(nil, i))
			if count[key] += w; count[key] != 1 {
				t.Fatalf("event %s is there %d times", key, count[key])
			}
			n += w
		}
	}
	if all.Resumed() == 0 {
		t.Error("nobody was cut off")
	}
}

// A subscriber of a cluster hears of all that any node takes, while nodes die.
func TestSQLInACluster(t *testing.T) {
	trio := newTrio(t, 3, 2)
	c := trio.dial(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	sub, err := c.Subscribe(ctx, `SUBSCRIBE TO stream.sold`, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	seen := map[string]int64{}
	for i := range 6 {
		if i == 2 {
			trio.kill(0)
		}
		if i == 4 {
			trio.serve(0)
		}
		name := fmt.Sprint(i)
		if _, err := c.Append(ctx, core.ActorID("stream/"+name), core.AnySeq, sale(name, 1)); err != nil {
			t.Fatal(err)
		}
		for seen[name] != 1 {
			change, err := sub.Next(ctx)
			if err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			for k, w := range change.Weights {
				item := string(change.Rows.Cols[5].AppendText(nil, k))
				if seen[item] += w; seen[item] != 1 && !change.Restart {
					t.Fatalf("event %s %d times", item, seen[item])
				}
			}
		}
		if got := asked(t, c, `SELECT count(*) FROM stream.sold`); got[0] != fmt.Sprint(i+1) {
			t.Errorf("%v events after %d", got, i+1)
		}
	}
}

// Where history was compacted away, queries that need it are refused; the catalog is still
// known, to a process that begins anew as well.
func TestSQLCompacted(t *testing.T) {
	s := newSite(t)
	s.kill()
	s.change = func(c *ServeConfig) {
		network, err := actordb.Network()
		if err == nil {
			c.Network, err = network.With("shard", 2, map[string]int64{"segment_bytes": 64 << 10, "block_bytes": 8 << 10, "checkpoint_bytes": 16 << 10, "compact_keep_bytes": 64 << 10})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.serve()
	c := s.dial(nil)
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	perform(t, c, `CREATE PROJECTION total AS SELECT sum(n) AS total FROM stream.sold`)
	for compacted := false; !compacted; {
		for i := range 200 {
			if _, err := c.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i)), core.AnySeq, sale(strings.Repeat("pear", 500), 1)); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := c.Query(t.Context(), `SELECT * FROM total`)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Close()
		}
		var e *client.SQLError
		compacted = errors.As(err, &e) && e.State == "58030"
		if err != nil && !compacted {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := asked(t, c, `SELECT name FROM system.relations ORDER BY name`); fmt.Sprint(got) != "[projections.total stream.sold]" {
			t.Errorf("the catalog has %v", got)
		}
		if e := declined(t, c, `SELECT * FROM total`); e.State != "58030" || !strings.Contains(e.Message, "were compacted away: keep more of the journal") {
			t.Error(e)
		}
		s.kill()
		s.serve()
	}
	perform(t, c, `CREATE PROJECTION another AS SELECT 1 AS one`)
	if got := asked(t, c, `SELECT one FROM another`); fmt.Sprint(got) != "[1]" {
		t.Error(got)
	}
}

// A query that keeps coming is kept, however it is written; one with another constant is not, what is
// kept follows the events, and goes with its table. EXPLAIN and system.promotions say so.
func TestPromotedQuery(t *testing.T) {
	s := newSite(t)
	c := s.dial(nil)
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	sell := func(item string, n int64) {
		t.Helper()
		if _, err := c.Append(ctx, "stream/1", core.AnySeq, sale(item, n)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(10) {
		sell([]string{"apple", "pear"}[i%2], i)
	}
	const text = `SELECT item, sum(n) AS total FROM stream.sold WHERE n > 2 GROUP BY item ORDER BY item`
	why := func(text string) string {
		t.Helper()
		return strings.Join(asked(t, c, `EXPLAIN `+text), "\n")
	}
	if plan := why(text); !strings.Contains(plan, "not asked often enough") {
		t.Fatal(plan)
	}
	for plan := ""; !strings.Contains(plan, "its rows are kept"); plan = why(text) {
		if rows := fmt.Sprint(asked(t, c, text)); rows != "[apple|18 pear|24]" || ctx.Err() != nil {
			t.Fatalf("%s, and %s", rows, plan)
		}
	}
	for i := range int64(5) {
		sell("apple", 100)
		if rows := fmt.Sprint(asked(t, c, `SELECT s.item, sum(s.n) FROM stream.sold s WHERE s.n > $1 GROUP BY 1 ORDER BY 2 DESC`, 2)); rows != fmt.Sprintf("[apple|%d pear|24]", 118+100*i) {
			t.Errorf("after %d sales: %s", i+1, rows)
		}
	}
	if rows := fmt.Sprint(asked(t, c, `SELECT item, sum(n) AS total FROM stream.sold WHERE n > 8 GROUP BY item ORDER BY item`)); rows != "[apple|500 pear|9]" {
		t.Error("with another constant: ", rows)
	}
	if rows := asked(t, c, `SELECT state, question_rows FROM system.promotions WHERE kind = 'query' AND definition LIKE '%> 2%'`); len(rows) != 1 || !strings.HasPrefix(rows[0], "kept|") {
		t.Error(rows)
	}
	for text, because := range map[string]string{
		`SELECT count(*) FROM stream.sold WHERE event_time < now()`: "it depends on the present time",
		`SELECT current_user, n FROM stream.sold`:                   "it depends on who asks",
		`SELECT * FROM system.relations`:                            "no type of event",
		`SELECT 1`:                                                  "it reads no events",
		`SELECT n FROM stream.sold WHERE item = '` + strings.Repeat("x", 10_000) + `'`: "too large to be recognized",
	} {
		if plan := why(text); !strings.Contains(plan, because) {
			t.Errorf("%.80s: %.300s", text, plan)
		}
	}
	perform(t, c, `DROP EVENT TYPE stream.sold`)
	perform(t, c, `CREATE EVENT TYPE stream.sold (what text NOT NULL, n int8, item text)`)
	if rows := asked(t, c, text); len(rows) != 1 || !strings.HasPrefix(rows[0], "NULL|") {
		t.Errorf("of the table's successor: %v", rows)
	}
}

// withWorkers is the own network, and workers.
func withWorkers(t testing.TB, n int) *control.Network {
	t.Helper()
	const before = "// TCP with"
	text := strings.Replace(actordb.NetworkSource(), before, fmt.Sprintf("worker: { kind: 'worker', count: %d, needs: ['query'] },\n%s", n, before), 1)
	network, err := control.Load("dag.jsonnet", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return network
}

// marked is how often the query process has come by a mark.
func marked(t *testing.T, s *site, mark string) (n int) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if count, ok := strings.CutPrefix(line, fmt.Sprintf("actordb_marks_total{mark=%q,process=\"query\"} ", mark)); ok {
			if _, err := fmt.Sscan(count, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// With workers an aggregate over events is computed in parts, one for each share of the shards, and the
// answers are the same; what cannot be divided is computed as ever. EXPLAIN says which it is.
func TestWorkers(t *testing.T) {
	network := withWorkers(t, 2)
	s := &site{t: t, dir: t.TempDir(), change: func(c *ServeConfig) { c.Network = network }}
	s.open()
	s.serve()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := s.dial(nil)
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for i := range int64(30) {
		if _, err := c.Append(ctx, core.ActorID(fmt.Sprintf("stream/%d", i)), core.AnySeq, sale([]string{"apple", "pear"}[i%2], i)); err != nil {
			t.Fatal(err)
		}
		if rows := fmt.Sprint(asked(t, c, fmt.Sprintf(`SELECT sum(n), count(*), avg(n) * 2 FROM stream.sold WHERE n >= -%d`, i+1))); rows != fmt.Sprintf("[%d|%d|%d]", i*(i+1)/2, i+1, i) {
			t.Fatalf("after %d: %s", i, rows)
		}
	}
	for text, says := range map[string]string{
		`SELECT item, sum(n) FROM stream.sold GROUP BY item`: "aggregated by 2 workers",
		`SELECT item, n FROM stream.sold`:                    "not divided among workers: it has no aggregate",
		`SELECT count(DISTINCT item) FROM stream.sold`:       "not divided among workers: it has an aggregate of distinct values",
	} {
		if plan := strings.Join(asked(t, c, `EXPLAIN `+text), "\n"); !strings.Contains(plan, says) {
			t.Errorf("%s: %s", text, plan)
		}
	}
	if rows := fmt.Sprint(asked(t, c, `SELECT item, min(n), max(n) FROM stream.sold GROUP BY item ORDER BY item DESC`)); rows != "[pear|1|29 apple|0|28]" {
		t.Error(rows)
	}
	if n := marked(t, s, "query.computed-in-parts"); n < 31 {
		t.Errorf("%v queries were computed in parts", n)
	}
	if n := marked(t, s, "query.part-given-up"); n > 0 {
		t.Errorf("%v times parts were given up", n)
	}
	if e := declined(t, c, `SELECT sum(1 / (n - 7)) FROM stream.sold`); e.State != "22012" {
		t.Errorf("a division by zero in a part: %+v", e)
	}
}
