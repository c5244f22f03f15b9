package viewtest

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// fed is what a query answers that is merged from parts: each block is in one of them.
func (w *world) fed(q *tree.Query, cut core.Timestamp, parts int) []string {
	w.t.Helper()
	planned, err := w.catalog.Plan(q, view.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	merge, err := planned.Merge(view.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	elsewhere := view.NewCatalog() // a worker plans the query again
	for _, text := range strings.Split(strings.TrimSuffix(planned.Definitions(), ";\n"), ";\n") {
		if err := elsewhere.Execute(statement(w.t, text)); err != nil {
			w.t.Fatal(err)
		}
	}
	for part := range parts {
		again, err := elsewhere.Plan(q, view.Options{})
		if err != nil {
			w.t.Fatal(err)
		}
		j, err := again.Part(view.Options{})
		if err != nil {
			w.t.Fatal(err)
		}
		for i, b := range w.blocks {
			if int(w.indexes[i])%parts == part {
				j.Take(0, w.indexes[i], b)
			}
		}
		finish(w.t, cut, j.Finish, 1+w.rand.IntN(1000))
		if err := j.Rows(merge.Feed); err != nil {
			w.t.Fatal(err)
		}
	}
	finish(w.t, cut, merge.Finish, 1+w.rand.IntN(1000))
	return rows(w.t, merge.Rows)
}

// The law of plan.Plan.Fan: what is merged from parts is the answer over all rows, however
// these are divided.
func TestParts(t *testing.T) {
	var worlds []*world
	for seed := range uint64(3) {
		w := newWorld(t, seed)
		for range 15 * seed { // the first has no events
			w.write(1 + w.rand.IntN(6))
		}
		worlds = append(worlds, w)
	}
	tables := []struct{ from, number, any string }{
		{"cart.added", "quantity", "item"}, {"cart.added", "quantity::int4", "note"}, {"price.set", "cents", "key"}, {"cart.added", "quantity::numeric / 7", "event_time"},
		{"(SELECT key, item, quantity FROM cart.added WHERE quantity > 1 UNION ALL SELECT key, item, seq FROM cart.removed) x", "quantity", "item"},
		{"tumble(cart.added, event_time, interval '5 seconds')", "quantity", "window_start"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := rapid.SampledFrom(worlds).Draw(rt, "world")
		x := rapid.SampledFrom(tables).Draw(rt, "table")
		aggs := []string{"count(*)", "count(" + x.any + ")", "sum(" + x.number + ")", "avg(" + x.number + ")", "min(" + x.number + ")", "max(" + x.any + ")",
			"bool_and(" + x.number + " > 2)", "bool_or(" + x.number + " IS NULL)", "sum(" + x.number + ") FILTER (WHERE " + x.any + " IS NOT NULL)", "count(*) FILTER (WHERE " + x.number + " > 3)"}
		list := rapid.SliceOfN(rapid.SampledFrom(aggs), 1, 4).Draw(rt, "aggregates")
		keys := rapid.SampledFrom([]string{"", x.any, x.any + ", key", "(" + x.number + ")"}).Draw(rt, "keys")
		text := "SELECT " + strings.Join(list, ", ")
		if keys != "" {
			text += ", " + keys
		}
		text += " FROM " + x.from
		if rapid.Bool().Draw(rt, "filtered") {
			text += " WHERE " + x.number + " <> 4"
		}
		if keys != "" {
			text += " GROUP BY " + keys
		}
		text += rapid.SampledFrom([]string{"", " HAVING count(*) > 1"}).Draw(rt, "having")
		if rapid.Bool().Draw(rt, "first") {
			text += " ORDER BY 1 DESC LIMIT 3"
		}
		q := query(t, text)
		want := w.onDemand(q, w.clock)
		for parts := 1; parts <= 3; parts++ {
			if got := w.fed(q, w.clock, parts); !slices.Equal(got, want) {
				rt.Fatalf("%s, in %d parts:\n%s\nas a whole:\n%s", text, parts, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	})
}

// What has no parts says why.
func TestNoParts(t *testing.T) {
	w := newWorld(t, 1)
	w.execute(`CREATE EVENT TYPE stream.timed (x float8) WITH (lateness = '1 s')`)
	w.execute(`CREATE EVENT TYPE stream.real (x float8)`)
	w.execute(`CREATE PROJECTION totals AS SELECT item, sum(quantity) AS n FROM cart.added GROUP BY item`)
	for text, because := range map[string]string{
		`SELECT item FROM cart.added`:                                                                     "no aggregate",
		`SELECT count(DISTINCT item) FROM cart.added`:                                                     "distinct values",
		`SELECT array_agg(item) FROM cart.added`:                                                          "lists values",
		`SELECT sum(x) FROM stream.real`:                                                                  "rounded once",
		`SELECT count(*) FROM stream.timed`:                                                               "watermark",
		`SELECT sum(n) FROM totals`:                                                                       "no type of event",
		`SELECT count(*) FROM cart.added WHERE now() > event_time`:                                        "present time",
		`SELECT count(*) FROM (SELECT item FROM cart.added LIMIT 3) x`:                                    "one row after another",
		`SELECT count(*) FROM cart.added a, cart.removed r WHERE a.item = r.item`:                         "one row after another",
		`SELECT a.item, count(*) FROM cart.added a GROUP BY a.item EXCEPT SELECT item, 1 FROM cart.added`: "no aggregate",
	} {
		p, err := w.catalog.Plan(query(t, text), view.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if why := p.Fan(); !strings.Contains(why, because) {
			t.Errorf("%s: %q", text, why)
		}
		if _, err := p.Part(view.Options{}); err == nil {
			t.Errorf("%s has a part", text)
		}
	}
}
