package viewtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/checkers/relational"
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/seal"
	"actordb/core/sql/parse"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// world writes events into blocks, and into tables of the naive evaluator.
type world struct {
	t       testing.TB
	rand    *rand.Rand
	catalog *view.Catalog
	db      *relational.DB
	builder *journal.Builder
	clock   core.Timestamp
	index   core.Index
	seqs    map[core.ActorID]core.Seq
	blocks  []*journal.Block
	data    [][]byte // of blocks
	indexes []core.Index
}

const epoch = core.Timestamp(1_759_140_000_000_000_000) // 2025-09-29T10:00:00Z

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), catalog: view.NewCatalog(), db: relational.NewDB(),
		builder: journal.NewBuilder(&seal.Salter{}), clock: epoch, seqs: map[core.ActorID]core.Seq{}}
	for _, text := range []string{
		`CREATE EVENT TYPE cart.added (item text NOT NULL, quantity int8, note text PERSONAL)`,
		`CREATE EVENT TYPE cart.removed (item text)`,
		`CREATE EVENT TYPE price.set (cents numeric)`,
	} {
		w.execute(text)
		s := statement(t, text).(*tree.CreateEventType)
		s.Columns = append(slices.Clone(statement(t, `CREATE EVENT TYPE x.y (key text, seq int8, event_time timestamptz, commit_time timestamptz, principal text)`).(*tree.CreateEventType).Columns), s.Columns...)
		if err := w.db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func statement(t testing.TB, text string) tree.Statement {
	t.Helper()
	s, err := parse.One(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func query(t testing.TB, text string) *tree.Query {
	t.Helper()
	return statement(t, text).(*tree.Select).Query
}

func (w *world) execute(text string) {
	w.t.Helper()
	if err := w.catalog.Execute(statement(w.t, text)); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
}

// write makes a block of n events, some of which happened long before.
func (w *world) write(n int) {
	w.clock += core.Timestamp(1 + w.rand.IntN(2e9))
	w.index += core.Index(1 + w.rand.IntN(3))
	b := w.builder
	b.Start(journal.Header{Kind: journal.Commands, Term: 1, Timestamp: w.clock})
	session := b.Session(core.SessionID{1})
	entries := map[core.ActorID]int{}
	for i := range n {
		kind := []string{"cart", "cart", "cart", "price"}[w.rand.IntN(4)]
		id := core.ActorID(fmt.Sprintf("%s/%d", kind, w.rand.IntN(5)))
		if _, ok := entries[id]; !ok {
			entries[id] = b.Actor(id, 0, w.seqs[id]+1)
		}
		w.seqs[id]++
		e := core.NewEvent{Version: 1, EventTime: w.clock - core.Timestamp(w.rand.IntN(3))*core.Timestamp(w.rand.IntN(30e9))}
		item, quantity := fmt.Sprintf("item-%d", w.rand.IntN(6)), w.rand.IntN(9)
		var values string
		switch {
		case kind == "price":
			e.Type, e.Payload = "set", protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), fmt.Sprintf("%d.5", quantity))
			values = fmt.Sprintf("'%d.5'", quantity)
		case w.rand.IntN(3) == 0:
			e.Type, e.Payload = "removed", protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), item)
			values = "'" + item + "'"
		default:
			e.Type, e.Payload = "added", protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), item)
			values = "'" + item + "', NULL, NULL"
			if quantity > 0 {
				e.Payload = protowire.AppendVarint(protowire.AppendTag(e.Payload, 2, protowire.VarintType), protowire.EncodeZigZag(int64(quantity)))
				values = fmt.Sprintf("'%s', %d, NULL", item, quantity)
			}
			if quantity > 5 {
				e.Personal = protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), "gift")
				values = fmt.Sprintf("'%s', %d, 'gift'", item, quantity)
			}
		}
		b.Event(entries[id], w.seqs[id], &e)
		b.Outcome(session, entries[id], &journal.Outcome{Number: core.CommandNumber(i + 1), Principal: "alice", Seq: w.seqs[id], Count: 1})
		insert := fmt.Sprintf("INSERT INTO %s.%s VALUES ('%s', %d, '%s', '%s', 'alice', %s)", kind, e.Type, id.Key(), w.seqs[id],
			sqlTime(e.EventTime), sqlTime(w.clock), values)
		if err := w.db.Exec(statement(w.t, insert)); err != nil {
			w.t.Fatalf("%s: %v", insert, err)
		}
	}
	data, _ := b.Finish()
	data = slices.Clone(data)
	w.data = append(w.data, data)
	block, err := journal.ParseBlock(data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.blocks, w.indexes = append(w.blocks, block), append(w.indexes, w.index)
}

func sqlTime(t core.Timestamp) string {
	return row.Value{Type: row.Of(row.Timestamptz), I: int64(t) / 1000}.String()
}

// naive is the answer of the evaluator, with projections as tables.
func (w *world) naive(q *tree.Query) []string {
	w.t.Helper()
	db := relational.NewDB()
	for name, t := range w.db.Tables {
		db.Tables[name] = t
	}
	for _, full := range w.catalog.Names() {
		if p, ok := w.catalog.Projection(full); ok {
			t, err := db.Query(p.Query)
			if err != nil {
				w.t.Fatal(err)
			}
			db.Tables[full] = t
			db.Tables[p.Name.Name] = t
		}
	}
	t, err := db.Query(q)
	if err != nil {
		w.t.Fatal(err)
	}
	return Shown(t)
}

// rows are an answer as sorted lines.
func rows(t testing.TB, read func(func(*row.Batch) error) error) []string {
	t.Helper()
	out, err := Lines(read)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func finish(t testing.TB, cut core.Timestamp, f func(core.Timestamp, int) (bool, error), fuel int) {
	t.Helper()
	for {
		done, err := f(cut, fuel)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
	}
}

// onDemand answers a query from all blocks, in one step.
func (w *world) onDemand(q *tree.Query, until core.Timestamp) []string {
	w.t.Helper()
	j, err := w.catalog.NewJob(q, view.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	for i, b := range w.blocks {
		if b.Timestamp <= until {
			j.Take(0, w.indexes[i], b)
		}
	}
	finish(w.t, until, j.Finish, 1+w.rand.IntN(1000))
	if j.Undecodable > 0 {
		w.t.Fatal(j.First)
	}
	return rows(w.t, j.Rows)
}

var projections = []string{
	`CREATE PROJECTION totals AS SELECT item, sum(quantity) AS n, count(note) AS gifts FROM cart.added GROUP BY item`,
	`CREATE PROJECTION projections.net AS SELECT a.key AS cart, a.item, count(*) AS n FROM cart.added a LEFT JOIN cart.removed r ON r.key = a.key AND r.item = a.item AND r.seq > a.seq WHERE r.key IS NULL GROUP BY a.key, a.item`,
	`CREATE PROJECTION top AS SELECT item, n FROM totals ORDER BY n DESC NULLS LAST, item LIMIT 3`,
}

var queries = []string{
	`SELECT * FROM totals`,
	`SELECT * FROM projections.net WHERE n > 1`,
	`SELECT * FROM top`,
	`SELECT t.item, t.n, p.cents FROM totals t CROSS JOIN price.set p WHERE p.seq < 3`,
	`SELECT key, seq, item, event_time, commit_time, principal, note FROM cart.added WHERE quantity IS NULL OR note IS NOT NULL`,
	`SELECT count(*), max(event_time), min(cents) FROM price.set`,
	`SELECT n.cart, count(*) FROM projections.net n JOIN totals t ON t.item = n.item AND t.n > 5 GROUP BY n.cart`,
	`SELECT item FROM totals WHERE item NOT IN (SELECT item FROM cart.removed WHERE item IS NOT NULL)`,
	`SELECT item, row_number() OVER (ORDER BY n DESC NULLS LAST, item) FROM totals`,
}

// A1: at every cut a view, and the same query asked on demand, have the answer that
// the naive evaluator gives over all events; a view's changes make the next answer
// of the one before.
func TestViewsAndQueriesAgree(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(t, seed)
		for _, p := range projections {
			w.execute(p)
		}
		var views []*view.View
		sums := make([]map[string]int64, len(queries))
		for i, text := range queries {
			v, err := w.catalog.NewView(query(t, text), view.Options{})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			views, sums[i] = append(views, v), map[string]int64{}
		}
		taken := 0
		for step := range 25 {
			for range w.rand.IntN(4) {
				w.write(1 + w.rand.IntN(6))
			}
			cut := w.clock + core.Timestamp(w.rand.IntN(2))
			w.clock = cut
			for i, v := range views {
				for k := taken; k < len(w.blocks); k++ {
					v.Take(0, w.indexes[k], w.blocks[k])
				}
				finish(t, cut, v.Finish, 1+w.rand.IntN(200))
				want := w.naive(query(t, queries[i]))
				if got := rows(t, v.Rows); !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: %s\nview  %q\nnaive %q", seed, step, queries[i], got, want)
				}
				ch := v.Changes()
				for r := range ch.N {
					var cells []string
					for _, c := range ch.Cols {
						cells = append(cells, cell(c.Null(r), string(c.AppendText(nil, r))))
					}
					line := strings.Join(cells, "|")
					if sums[i][line] += ch.W[r]; sums[i][line] == 0 {
						delete(sums[i], line)
					}
				}
				var summed []string
				for line, n := range sums[i] {
					for range n {
						summed = append(summed, line)
					}
				}
				if slices.Sort(summed); !slices.Equal(summed, want) {
					t.Fatalf("seed %d step %d: %s\nsum of changes %q\nnaive %q", seed, step, queries[i], summed, want)
				}
				if step%8 == 7 {
					if got := w.onDemand(query(t, queries[i]), cut); !slices.Equal(got, want) {
						t.Fatalf("seed %d step %d: %s\non demand %q\nnaive %q", seed, step, queries[i], got, want)
					}
				}
			}
			taken = len(w.blocks)
		}
		if len(w.blocks) < 10 {
			t.Fatalf("%d blocks", len(w.blocks))
		}
	}
}

// Who names the key of a kept view's row gets it without the others being looked at, and
// it is what the evaluator has.
func TestKeptRowsAreLookedUp(t *testing.T) {
	w := newWorld(t, 4)
	kept := map[string]*view.View{}
	for _, text := range projections {
		w.execute(text)
	}
	for _, full := range w.catalog.Names() {
		if p, ok := w.catalog.Projection(full); ok {
			v, err := w.catalog.NewView(p.Query, view.Options{})
			if err != nil {
				t.Fatal(err)
			}
			kept[full] = v
		}
	}
	taken := 0
	for range 12 {
		for range 3 {
			w.write(1 + w.rand.IntN(6))
		}
		for _, v := range kept {
			for k := taken; k < len(w.blocks); k++ {
				v.Take(0, w.indexes[k], w.blocks[k])
			}
			finish(t, w.clock, v.Finish, 1000)
		}
		taken = len(w.blocks)
		for text, found := range map[string]bool{
			`SELECT * FROM totals WHERE item = 'item-3'`:                                            true,
			`SELECT n FROM projections.net WHERE item = 'item-1' AND cart = '2' AND n > 0`:          true,
			`SELECT * FROM totals WHERE item = 'nothing'`:                                           true,
			`SELECT a.n, b.item FROM totals a CROSS JOIN totals b WHERE a.item = 'item-3'`:          true,
			`SELECT * FROM projections.net WHERE item = 'item-1'`:                                   false, // half a key
			`SELECT * FROM totals WHERE item = 'item-3' OR n = 4`:                                   false,
			`SELECT * FROM totals WHERE item = 'item-3' AND 100 / (n + 1000) < 1`:                   true,
			`SELECT * FROM totals WHERE 100 / (n + 1000) < 1 AND item = 'item-3'`:                   false, // other rows might fail
			`SELECT * FROM totals WHERE item = NULL`:                                                false,
			`SELECT a.item FROM totals a WHERE a.n = 3 UNION ALL SELECT item FROM totals WHERE n=4`: false,
			`SELECT * FROM top WHERE item = 'item-2'`:                                               false, // it has no groups
		} {
			q := query(t, text)
			j, err := w.catalog.NewJob(q, view.Options{Kept: func(full string) (*view.View, bool) { v, ok := kept[full]; return v, ok }})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if j.LookedUp() != found {
				t.Fatalf("%s: looked up: %t, want %t", text, j.LookedUp(), found)
			}
			finish(t, w.clock, j.Finish, 1000)
			if got, want := rows(t, j.Rows), w.naive(q); !slices.Equal(got, want) {
				t.Fatalf("%s\ngot   %q\nnaive %q", text, got, want)
			}
		}
	}
}

// The answer as of a commit time is the one that there was; as of an event time it
// is that of the events that had happened, whenever they came.
func TestAsOf(t *testing.T) {
	w := newWorld(t, 9)
	for _, p := range projections {
		w.execute(p)
	}
	for range 20 {
		w.write(1 + w.rand.IntN(5))
	}
	at := w.clock
	w.clock += 5e9
	then := w.naive(query(t, `SELECT * FROM totals`))
	happened := w.naive(query(t, fmt.Sprintf(`SELECT item, sum(quantity), count(note) FROM cart.added WHERE event_time <= '%s' GROUP BY item`, sqlTime(at))))
	for range 20 {
		w.write(1 + w.rand.IntN(5))
	}
	late := w.naive(query(t, fmt.Sprintf(`SELECT item, sum(quantity), count(note) FROM cart.added WHERE event_time <= '%s' GROUP BY item`, sqlTime(at))))
	if slices.Equal(late, happened) {
		t.Fatal("no event came late")
	}
	if got := w.onDemand(query(t, fmt.Sprintf(`SELECT * FROM totals FOR SYSTEM_TIME AS OF '%s'`, sqlTime(at))), w.clock); !slices.Equal(got, then) {
		t.Errorf("system time:\n%q\nwant %q", got, then)
	}
	if got := w.onDemand(query(t, fmt.Sprintf(`SELECT * FROM totals FOR TIMESTAMP AS OF '%s'`, sqlTime(at))), w.clock); !slices.Equal(got, late) {
		t.Errorf("event time:\n%q\nwant %q", got, late)
	}
	both := fmt.Sprintf(`SELECT now.item, now.n - old.n FROM totals now JOIN totals FOR SYSTEM_TIME AS OF '%s' AS old ON old.item = now.item`, sqlTime(at))
	if got := w.onDemand(query(t, both), w.clock); len(got) == 0 {
		t.Error("two times in one query: no rows")
	}
}

// A2: what cannot be read is counted with its place, and hides nothing.
func TestUndecodable(t *testing.T) {
	w := newWorld(t, 1)
	w.write(5)
	b := w.builder
	w.clock++
	b.Start(journal.Header{Kind: journal.Commands, Term: 1, Timestamp: w.clock})
	actor := b.Actor("cart/bad", 0, 1)
	b.Event(actor, 1, &core.NewEvent{Type: "added", Version: 1, Payload: []byte{0xff}})
	b.Event(actor, 2, &core.NewEvent{Type: "added", Version: 1}) // without its item, which is NOT NULL
	b.Outcome(b.Session(core.SessionID{1}), actor, &journal.Outcome{Number: 1, Principal: "mallory", Seq: 2, Count: 2})
	data, _ := b.Finish()
	block, err := journal.ParseBlock(data)
	if err != nil {
		t.Fatal(err)
	}
	j, err := w.catalog.NewJob(query(t, `SELECT item FROM cart.added`), view.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j.Take(3, 1, w.blocks[0])
	j.Take(3, 7, block)
	finish(t, w.clock, j.Finish, 100)
	if got, want := rows(t, j.Rows), w.naive(query(t, `SELECT item FROM cart.added`)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if j.Undecodable != 2 || !strings.Contains(j.First, "cart/bad@1 in entry 7 of shard 3") {
		t.Errorf("%d, the first: %s", j.Undecodable, j.First)
	}
}

// What cannot be created or dropped is refused with the state that PostgreSQL has.
func TestCatalogRefuses(t *testing.T) {
	w := newWorld(t, 1)
	for _, p := range projections {
		w.execute(p)
	}
	for text, state := range map[string]string{
		`CREATE EVENT TYPE cart.added (x int4)`:                           "42P07",
		`CREATE EVENT TYPE added (x int4)`:                                "42601",
		`CREATE EVENT TYPE "Cart".added (x int4)`:                         "42601",
		`CREATE EVENT TYPE a.b (x int4, x int8)`:                          "42701",
		`CREATE EVENT TYPE a.b (seq int4)`:                                "42701",
		`CREATE EVENT TYPE a.b (x nothing)`:                               "42704",
		`CREATE EVENT TYPE a.b (x int4 PERSONAL NOT NULL)`:                "42P16",
		`CREATE PROJECTION totals AS SELECT 1 AS x`:                       "42P07",
		`CREATE PROJECTION p AS SELECT nothing FROM cart.added`:           "42703",
		`CREATE PROJECTION p AS SELECT item FROM nowhere`:                 "42P01",
		`CREATE PROJECTION p AS SELECT item + 1 AS x FROM cart.added`:     "42883",
		`CREATE PROJECTION p AS SELECT item, item FROM cart.added`:        "42701",
		`CREATE PROJECTION p AS SELECT now() AS x`:                        "0A000",
		`CREATE PROJECTION p WITH (speed = 9) AS SELECT item FROM totals`: "22023",
		`DROP EVENT TYPE cart.added`:                                      "2BP01",
		`DROP PROJECTION totals`:                                          "2BP01",
		`DROP PROJECTION nowhere`:                                         "42P01",
		`DROP EVENT TYPE totals`:                                          "42P01",
		`SELECT 1`:                                                        "0A000",
	} {
		s, err := parse.One(text)
		if err == nil {
			err = w.catalog.Execute(s)
		}
		if err == nil || !strings.Contains(fmt.Sprintf("%+v %s", err, stateOf(err)), state) {
			t.Errorf("%s: %v (%s), want %s", text, err, stateOf(err), state)
		}
	}
	w.execute(`CREATE EVENT TYPE IF NOT EXISTS cart.added (x int4)`)
	w.execute(`DROP PROJECTION IF EXISTS nowhere`)
	w.execute(`DROP EVENT TYPE cart.added CASCADE`)
	if names := w.catalog.Names(); !slices.Equal(names, []string{"cart.removed", "price.set"}) {
		t.Errorf("left: %v", names)
	}
}

// A3: a job that outgrows its memory ends with 53200.
func TestMemoryLimit(t *testing.T) {
	w := newWorld(t, 1)
	for range 50 {
		w.write(20)
	}
	j, err := w.catalog.NewJob(query(t, `SELECT a.key, a.seq, b.key, b.seq FROM cart.added a, cart.added b`), view.Options{Memory: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range w.blocks {
		j.Take(0, w.indexes[i], b)
	}
	for done := false; err == nil && !done; {
		done, err = j.Finish(w.clock, 1000)
	}
	if stateOf(err) != "53200" {
		t.Errorf("%v, holding %d bytes", err, j.MemBytes())
	}
}

// A subscription's changes add up to the rows of its projection that it asks for.
func TestSubscribe(t *testing.T) {
	w := newWorld(t, 4)
	for _, p := range projections {
		w.execute(p)
	}
	s := statement(t, `SUBSCRIBE TO projections.totals WHERE n > 4`).(*tree.Subscribe)
	v, err := w.catalog.Subscribe(s, view.Options{})
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for taken := range 40 {
		w.write(1 + w.rand.IntN(4))
		v.Take(0, w.indexes[taken], w.blocks[taken])
		finish(t, w.clock, v.Finish, 50)
		changed += v.Changes().N
		if got, want := rows(t, v.Rows), w.naive(query(t, `SELECT * FROM totals WHERE n > 4`)); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	if changed == 0 {
		t.Error("nothing changed")
	}
}

// A projection's columns have the names that it gives them.
func TestColumnNames(t *testing.T) {
	w := newWorld(t, 1)
	w.execute(`CREATE PROJECTION renamed (a, b) AS SELECT item, quantity FROM cart.added`)
	j, err := w.catalog.NewJob(query(t, `SELECT b, a FROM renamed`), view.Options{})
	if err != nil || j.Cols()[0].Name != "b" || j.Cols()[0].Type != row.Of(row.Int8) {
		t.Fatalf("%v %v", j, err)
	}
}

func stateOf(err error) string {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return string(e.State)
	}
	var r *row.Error
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// A history longer than a batch goes through the circuits piece by piece, with the
// same answer.
func TestLongHistory(t *testing.T) {
	w := newWorld(t, 5)
	w.execute(projections[0])
	for range 60 {
		w.write(60)
	}
	for _, i := range []int{0, 4, 5} {
		if got, want := w.onDemand(query(t, queries[i]), w.clock), w.naive(query(t, queries[i])); !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\nwant %q", queries[i], got, want)
		}
	}
}

// BenchmarkOnDemand is a group-by over 10,000 events in blocks of 100, from their
// bytes on.
func BenchmarkOnDemand(b *testing.B) {
	w := newWorld(b, 1)
	for range 100 {
		w.write(100)
	}
	q := query(b, `SELECT item, count(*), sum(quantity) FROM cart.added GROUP BY item`)
	b.ReportAllocs()
	parsed := &journal.Block{}
	for b.Loop() {
		j, err := w.catalog.NewJob(q, view.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for i, x := range w.data {
			if err := parsed.Parse(x); err != nil {
				b.Fatal(err)
			}
			j.Take(0, w.indexes[i], parsed)
		}
		finish(b, w.clock, j.Finish, 1<<20)
		if err := j.Rows(func(*row.Batch) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/event")
}
