package experiments

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"actordb/core"
	corerow "actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/internal/viewtest"
)

// changes is what one change of a kept view costs, beside triggers that keep the same.
var changes = Experiment{
	Name: "change", Claim: "M6", Says: "what an event costs a group-by and a join view, in blocks of 1 and 1,000, beside triggers of PostgreSQL and SQLite",
	run: runChanges,
}

const (
	changesBase  = 100_000 // orders before the first change
	changesItems = 1000
)

var changesSchema = []string{
	`CREATE EVENT TYPE shop.ordered (number int8 NOT NULL, item text NOT NULL, cents int8 NOT NULL)`,
	`CREATE EVENT TYPE shop.paid (number int8 NOT NULL, method text NOT NULL)`,
}

// The views, by the names that the peers have for them.
var changesViews = []struct{ name, says, sql string }{
	{"group", "group-by view", `SELECT item, count(*) AS orders, sum(cents) AS cents FROM shop.ordered GROUP BY item`},
	{"join", "join view", `SELECT o.number, o.item, o.cents, p.method FROM shop.ordered o JOIN shop.paid p ON p.number = o.number`},
}

var changesPeers = []struct{ name, contestant, note string }{
	{"PostgreSQL", "postgres", "triggers of statements over transition tables, one connection on a Unix socket, synchronous_commit off"},
	{"SQLite", "sqlite", "triggers of rows, in memory, in process"},
}

func runChanges(ctx context.Context, e *Env) (*Result, error) {
	var rows []Row
	pass := true
	for _, w := range changesViews {
		for _, size := range []struct{ batch, n int }{{1, 20_000}, {1000, 100_000}} {
			base, n := e.scale(changesBase), max(e.scale(size.n), size.batch)
			base = max(base, n)
			name := fmt.Sprintf("%s, blocks of %d", w.says, size.batch)
			ours := make([]float64, 0, 5)
			theirs := make([][]float64, len(changesPeers))
			notes := make([]string, len(changesPeers))
			for range e.rounds(5) { // they take turns, so that a disturbance hits all alike
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				micros, err := upkeep(w.sql, w.name == "join", size.batch, n, base)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				ours = append(ours, micros)
				for i, p := range changesPeers {
					if notes[i], err = e.peerUpkeep(ctx, p.contestant, w.name, size.batch, n, base, &theirs[i]); err != nil {
						return nil, fmt.Errorf("%s, %s: %w", name, p.name, err)
					}
				}
			}
			r := row(name+", ActorDB", "µs/change", ours)
			r.Note = "from the parsed block to the view's new answer; one thread"
			e.Say("%s: %.2f µs", r.Name, r.Value)
			rows = append(rows, r)
			for i, p := range changesPeers {
				full := name + ", " + p.name
				if len(theirs[i]) == 0 {
					rows = append(rows, missingRow(full, "µs/change", notes[i]))
					continue
				}
				x := row(full, "µs/change", theirs[i])
				x.Note = "time with triggers less that without; " + p.note
				e.Say("%s: %.2f µs", x.Name, x.Value)
				pass = pass && r.Value < x.Value
				rows = append(rows, x)
			}
		}
	}
	return e.about(rows[0], pass, "cheaper than triggers in every case", rows[1:]...), nil
}

// peerUpkeep adds a sample of what triggers cost; missing says why there is none.
func (e *Env) peerUpkeep(ctx context.Context, who, view string, batch, n, base int, samples *[]float64) (missing string, err error) {
	if e.peersProgram() == "" {
		return notAvailable, nil
	}
	var u struct {
		Missing       string
		Without, With float64
	}
	err = e.askPeers(ctx, &u, "change", "--contestant", who, "--view", view, "--batch", strconv.Itoa(batch), "--changes", strconv.Itoa(n), "--base", strconv.Itoa(base))
	if err == nil && u.Missing == "" {
		*samples = append(*samples, u.With-u.Without)
	}
	return u.Missing, err
}

// upkeep keeps a view over orders, and measures what the changes after them cost: orders,
// and for a join as many payments of orders that are there. The answer is set beside that
// of the query asked on demand.
func upkeep(text string, pays bool, batch, n, base int) (micros float64, err error) {
	h, begin, err := shopHistory(pays, batch, n, base)
	if err != nil {
		return 0, err
	}
	asked, err := parse.One(text)
	if err != nil {
		return 0, err
	}
	q := asked.(*tree.Select).Query
	v, err := h.catalog.NewView(q, view.Options{Memory: nexmarkMemory})
	if err != nil {
		return 0, err
	}
	var begun time.Time
	for i, b := range h.blocks {
		if i == begin {
			begun = time.Now()
		}
		v.Take(0, b.Index, b.Block)
		if err := complete(v.Finish, b.Timestamp); err != nil {
			return 0, err
		}
	}
	took := time.Since(begun)
	kept, err := viewtest.Lines(v.Rows)
	if err != nil {
		return 0, err
	}
	again, err := h.ask(q)
	if err != nil {
		return 0, err
	}
	if !slices.Equal(kept, again) || len(kept) == 0 {
		return 0, fmt.Errorf("%d rows are kept, the query has %d: they are not the same", len(kept), len(again))
	}
	return took.Seconds() * 1e6 / float64(n), nil
}

// shopHistory is orders in blocks of 1,000, and from block begin on the changes.
func shopHistory(pays bool, batch, n, base int) (h *house, begin int, err error) {
	h = &house{catalog: view.NewCatalog()}
	for _, text := range changesSchema {
		declared, err := parse.One(text)
		if err != nil {
			return nil, 0, err
		}
		if err := h.catalog.Execute(declared); err != nil {
			return nil, 0, err
		}
	}
	var history viewtest.History
	var list []viewtest.Event
	at := nexmarkStart
	add := func(full bool, kind string, values ...corerow.Value) error {
		t, _ := h.catalog.EventType("shop." + kind)
		b := corerow.NewBatch(nil)
		var types []corerow.Type
		for _, f := range t.Fields {
			types = append(types, f.Type)
		}
		b.Reset(types)
		b.AppendValues(values...)
		payload, err := corerow.AppendPayload(nil, t.Fields, b, 0)
		if err != nil {
			return err
		}
		id := core.ActorID("shop/" + strconv.FormatInt(values[0].I%1000, 10))
		list = append(list, viewtest.Event{Actor: id, NewEvent: core.NewEvent{Type: kind, Version: 1, EventTime: at, Payload: payload}})
		if !full {
			return nil
		}
		at += 1e6
		block, err := history.Write(at, list)
		h.blocks, list = append(h.blocks, block), list[:0]
		return err
	}
	integer := func(x int) corerow.Value { return corerow.Value{Type: corerow.Of(corerow.Int8), I: int64(x)} }
	word := func(s string) corerow.Value { return corerow.Value{Type: corerow.Of(corerow.Text), B: []byte(s)} }
	order := func(number int, full bool) error {
		return add(full, "ordered", integer(number), word(fmt.Sprintf("item-%04d", number*7919%changesItems)), integer(number*31%10_000))
	}
	for i := range base {
		if err := order(i, len(list) == 999 || i == base-1); err != nil {
			return nil, 0, err
		}
	}
	begin = len(h.blocks)
	for i := range n {
		full := len(list) == batch-1 || i == n-1
		if pays && i%2 == 1 {
			err = add(full, "paid", integer(i/2), word([]string{"card", "cash", "invoice"}[i/2%3]))
		} else {
			err = order(base+i, full)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return h, begin, nil
}
