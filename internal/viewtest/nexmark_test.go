package viewtest

import (
	"slices"
	"testing"

	"actordb/core"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/workloads/nexmark"
)

// Nexmark's queries have the evaluator's answers: kept as views, at cuts while events
// come in, some of them late, and asked on demand at the end.
func TestNexmark(t *testing.T) {
	const blocks, perBlock, compareEvery = 10, 80, 5
	catalog := view.NewCatalog()
	for _, text := range nexmark.Schema {
		if err := catalog.Execute(statement(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	oracle, err := NewOracle(nexmark.Schema)
	if err != nil {
		t.Fatal(err)
	}
	// 100 ms from event to event, so that there are many windows.
	g := nexmark.New(nexmark.Config{Seed: 7, Start: epoch, Every: 100e6, Delayed: 20, DelayMax: 30e9})
	var h History
	var list []Block
	var queries []*tree.Query
	var views []*view.View
	for _, q := range nexmark.Queries {
		parsed := query(t, q.SQL)
		v, err := catalog.NewView(parsed, view.Options{})
		if err != nil {
			t.Fatalf("%s: %v", q.Name, err)
		}
		queries, views = append(queries, parsed), append(views, v)
	}
	for n := range blocks {
		cut := epoch + core.Timestamp((n+1)*perBlock)*100e6
		b, err := h.Write(cut, take(g, perBlock))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
		if err := oracle.Take(b); err != nil {
			t.Fatal(err)
		}
		for i, v := range views {
			v.Take(0, b.Index, b.Block)
			finish(t, cut, v.Finish, 1000)
			if n%compareEvery != compareEvery-1 {
				continue
			}
			want, err := oracle.Answer(queries[i])
			if err != nil {
				t.Fatalf("%s: %v", nexmark.Queries[i].Name, err)
			}
			if got := rows(t, v.Rows); !slices.Equal(got, want) {
				t.Errorf("%s after %d blocks: %d rows, want %d", nexmark.Queries[i].Name, n+1, len(got), len(want))
			}
			if n == blocks-1 && len(want) == 0 && queries[i] != queries[2] { // q2 wants auction 1107, which comes later

				t.Errorf("%s has no rows: it shows nothing", nexmark.Queries[i].Name)
			}
		}
	}
	for i, q := range queries {
		j, err := catalog.NewJob(q, view.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			j.Take(0, b.Index, b.Block)
		}
		finish(t, views[i].Cut(), j.Finish, 1000)
		if j.Undecodable > 0 {
			t.Fatal(j.First)
		}
		if got, want := rows(t, j.Rows), rows(t, views[i].Rows); !slices.Equal(got, want) {
			t.Errorf("%s on demand: %d rows, the view has %d", nexmark.Queries[i].Name, len(got), len(want))
		}
	}
}

func take(g *nexmark.Generator, n int) (list []Event) {
	for range n {
		e := g.Next()
		list = append(list, Event(e))
	}
	return list
}
