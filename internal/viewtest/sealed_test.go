package viewtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/columnar"
	"actordb/core/row"
	"actordb/core/seal"
	"actordb/core/view"
	"actordb/core/zset"
)

// sealedFile is one that a Sealer made.
type sealedFile struct {
	table string
	bytes []byte
	name  seal.Hash
}

func (f *sealedFile) open() (*columnar.File, error) {
	return columnar.Open(bytes.NewReader(f.bytes), int64(len(f.bytes)), f.name)
}

// sealBlocks makes files of all event types of a catalog, a file for each so many blocks.
func sealBlocks(t interface{ Fatalf(string, ...any) }, c *view.Catalog, blocks []Block, perFile int) (files []sealedFile) {
	for _, full := range c.Names() {
		if _, ok := c.EventType(full); !ok {
			continue
		}
		s, err := c.NewSealer(full)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for some := range slices.Chunk(blocks, perFile) {
			for _, b := range some {
				if err := s.Take(0, b.Index, seal.Hash{byte(b.Index)}, b.Block); err != nil {
					t.Fatalf("%v", err)
				}
			}
			rows := s.Rows()
			file, name, err := s.Finish()
			if err != nil || (file == nil) != (rows == 0) {
				t.Fatalf("%s: %d rows, a file of %d bytes: %v", full, rows, len(file), err)
			}
			if file == nil {
				continue
			}
			f := sealedFile{full, file, name}
			opened, err := f.open()
			if err != nil {
				t.Fatalf("%v", err)
			}
			want := columnar.Range{First: some[0].Index, Last: some[len(some)-1].Index, Chain: fmt.Sprintf("%x", append([]byte{byte(some[len(some)-1].Index)}, make([]byte, 31)...))}
			if opened.Table != full || len(opened.Ranges) != 1 || opened.Ranges[0] != want {
				t.Fatalf("%s says that it has %+v, want %+v", opened.Table, opened.Ranges, want)
			}
			files = append(files, f)
		}
	}
	return files
}

// feed gives a job the rows of files of what it needs.
func feed(t interface{ Fatalf(string, ...any) }, j *view.Job, files []sealedFile) {
	for _, f := range files {
		if !slices.Contains(j.Reads(), f.table) {
			continue
		}
		cols, ok := j.Needs(f.table)
		if !ok {
			t.Fatalf("%s is not to be had from files", f.table)
		}
		opened, err := f.open()
		if err != nil {
			t.Fatalf("%v", err)
		}
		var at []int
		for _, name := range cols {
			at = append(at, slices.IndexFunc(opened.Columns, func(c columnar.Column) bool { return c.Name == name }))
		}
		rows := zset.NewBatch(nil)
		for g := range opened.Groups() {
			if rows.W, err = opened.ReadDistinct(g, at, &rows.Batch, rows.W); err != nil {
				t.Fatalf("%v", err)
			}
			j.TakeRows(f.table, rows)
		}
	}
}

// TestSealedAnswers protects what files are for: the same answer from files of a history's
// beginning and the blocks of its rest as from its blocks alone, on demand and kept, wherever
// it is cut.
func TestSealedAnswers(t *testing.T) {
	queries := []string{
		`SELECT key, seq, item, quantity FROM cart.added`,
		`SELECT item, count(*), sum(quantity) FROM cart.added GROUP BY item`,
		`SELECT a.item, a.quantity, r.why FROM cart.added a JOIN cart.removed r ON a.item = r.item AND a.key = r.key`,
		`SELECT count(*) FROM cart.added`,
		`SELECT item, quantity FROM cart.added`,
		`SELECT quantity, min(item), sum(quantity), count(quantity) FROM cart.added GROUP BY quantity`,
		`SELECT item, quantity FROM cart.added FOR TIMESTAMP AS OF '2026-11-22 00:00:30+00' ORDER BY quantity DESC, item LIMIT 5`,
		`SELECT key, max(seq) FROM cart.added FOR SYSTEM_TIME AS OF '2026-11-22 00:01:00+00' WHERE quantity > 3 GROUP BY key`,
		`SELECT item FROM cart.added EXCEPT SELECT item FROM cart.removed`,
	}
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		c, blocks := carts(t, seed, 30)
		until := rapid.IntRange(0, len(blocks)).Draw(r, "sealed")
		files := sealBlocks(r, c, blocks[:until], rapid.IntRange(1, 20).Draw(r, "blocks of a file"))
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(files), func(i, k int) { files[i], files[k] = files[k], files[i] })
		text := rapid.SampledFrom(queries).Draw(r, "query")
		cut, later := blocks[len(blocks)-1].Timestamp, rapid.Bool().Draw(r, "blocks first")
		answer := func(from int, files []sealedFile, kept bool) []string {
			var j *view.Job
			var finish func(core.Timestamp, int) (bool, error)
			var read func(func(*row.Batch) error) error
			if kept {
				v, err := c.NewView(query(t, text), view.Options{})
				if err != nil {
					r.Fatalf("%v", err)
				}
				j, finish, read = v.Job, v.Finish, v.Rows
			} else {
				var err error
				if j, err = c.NewJob(query(t, text), view.Options{}); err != nil {
					r.Fatalf("%v", err)
				}
				finish, read = j.Finish, j.Rows
			}
			if !later {
				feed(r, j, files)
			}
			for _, b := range blocks[from:] {
				j.Take(0, b.Index, b.Block)
			}
			if later {
				feed(r, j, files)
			}
			for done := false; !done; {
				var err error
				if done, err = finish(cut, 1000); err != nil {
					r.Fatalf("%v", err)
				}
			}
			lines, err := Lines(read)
			if err != nil {
				r.Fatalf("%v", err)
			}
			return lines
		}
		want := answer(0, nil, false)
		if got := answer(until, files, false); !slices.Equal(got, want) {
			r.Fatalf("%s\nfrom files, %d lines: %s\nfrom blocks, %d: %s", text, len(got), got, len(want), want)
		}
		if strings.Contains(text, "LIMIT") || strings.Contains(text, "AS OF") {
			return // such are not kept
		}
		if got := answer(until, files, true); !slices.Equal(got, want) {
			r.Fatalf("%s, kept\nfrom files: %s\nfrom blocks: %s", text, got, want)
		}
	})
}

const cartsStart = core.Timestamp(1_795_305_600e9) // 2026-11-22

// carts is a history of two types of events, some of which cannot be read, and a third
// type that is not asked for.
func carts(t testing.TB, seed uint64, blocks int) (*view.Catalog, []Block) {
	c := view.NewCatalog()
	for _, text := range []string{
		`CREATE EVENT TYPE cart.added (item text NOT NULL, quantity int4, name text PERSONAL)`,
		`CREATE EVENT TYPE cart.removed (item text, why text, _version int4)`,
		`CREATE EVENT TYPE cart.seen (n int8) WITH (lateness = '1 minute')`,
	} {
		if err := c.Execute(statement(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(seed, 1))
	var h History
	var list []Block
	for i := range blocks {
		var events []Event
		at := cartsStart + core.Timestamp(i)*1e9
		for range r.IntN(40) {
			kind := []string{"added", "removed", "seen", "unknown"}[r.IntN(4)]
			full, payload := "cart."+kind, []byte("?")
			if typ, ok := c.EventType(full); ok && r.IntN(20) > 0 {
				values := row.NewBatch(nil)
				payload = payloadOf(t, typ, r, values)
			}
			events = append(events, Event{core.ActorID(fmt.Sprintf("cart/%d", r.IntN(9))),
				core.NewEvent{Type: kind, Version: uint16(r.IntN(3)), EventTime: at - core.Timestamp(r.IntN(30e9)), Payload: payload}})
		}
		b, err := h.Write(at, events)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return c, list
}

// payloadOf draws a payload of the plain fields of a type.
func payloadOf(t testing.TB, typ *view.EventType, r *rand.Rand, b *row.Batch) []byte {
	var fields []row.Field
	var types []row.Type
	var values []row.Value
	for i, f := range typ.Fields {
		if typ.Personal[i] {
			continue
		}
		v := row.NullOf(f.Type)
		switch {
		case !f.NotNull && r.IntN(5) == 0:
		case f.Type.Kind == row.Text:
			v = row.Value{Type: f.Type, B: []byte(fmt.Sprintf("thing %d", r.IntN(12)))}
		default:
			v = row.Value{Type: f.Type, I: int64(r.IntN(9))}
		}
		fields, types, values = append(fields, f), append(types, f.Type), append(values, v)
	}
	b.Reset(types)
	b.AppendValues(values...)
	payload, err := row.AppendPayload(nil, fields, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestSealedColumns protects what other programs see: the table's columns, the payload and
// the version, nothing personal, no watermark; and that a job that wants these goes to the
// blocks.
func TestSealedColumns(t *testing.T) {
	c, blocks := carts(t, 7, 40)
	files := sealBlocks(t, c, blocks, 40)
	want := map[string]string{
		"cart.added":   "key seq event_time commit_time principal item quantity _version _payload",
		"cart.removed": "key seq event_time commit_time principal item why _version __version _payload",
		"cart.seen":    "key seq event_time commit_time principal n _version _payload",
	}
	if len(files) != len(want) {
		t.Fatalf("%d files, want %d", len(files), len(want))
	}
	for _, f := range files {
		opened, err := f.open()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, col := range opened.Columns {
			names = append(names, col.Name)
		}
		if got := strings.Join(names, " "); got != want[f.table] {
			t.Errorf("%s has %s, want %s", f.table, got, want[f.table])
		}
		if opened.Unreadable == 0 || !strings.Contains(opened.First, "entry") {
			t.Errorf("%s tells of %d unreadable events, %q", f.table, opened.Unreadable, opened.First)
		}
		rows := row.NewBatch(nil)
		payload, events := len(names)-1, 0
		if err := opened.Read(0, []int{0, 1, payload}, rows); err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			for i := range b.Rows() {
				e := b.Event(i)
				if e.Actor.Type()+"."+e.Type != f.table {
					continue
				}
				for k := range rows.N {
					if string(rows.Cols[0].Bytes(k)) == e.Actor.Key() && rows.Cols[1].I[k] == int64(e.Seq) {
						events++
						if !bytes.Equal(rows.Cols[2].Bytes(k), e.Payload) {
							t.Fatalf("%s@%d has the payload %x, want %x", e.Actor, e.Seq, rows.Cols[2].Bytes(k), e.Payload)
						}
					}
				}
			}
		}
		if events != rows.N || events == 0 {
			t.Errorf("%s: %d of %d rows are events", f.table, events, rows.N)
		}
	}
	for text, ok := range map[string]bool{`SELECT item FROM cart.added`: true, `SELECT name FROM cart.added`: false, `SELECT n, watermark FROM cart.seen`: false} {
		j, err := c.NewJob(query(t, text), view.Options{})
		if err != nil {
			t.Fatal(err)
		}
		table := strings.Fields(text)[len(strings.Fields(text))-1]
		if _, got := j.Needs(table); got != ok {
			t.Errorf("%s from files: %t, want %t", text, got, ok)
		}
	}
}
