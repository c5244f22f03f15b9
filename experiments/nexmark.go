package experiments

import (
	"context"
	"fmt"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/internal/viewtest"
	"actordb/workloads/nexmark"
)

// nexmarkQueries is how fast Nexmark's queries are kept as views by one thread, from
// blocks as a shard writes them, and that they are right: the first events' answers
// are set beside the naive evaluator's, all events' beside the same query asked on
// demand.
var nexmarkQueries = Experiment{
	Name: "nexmark", Claim: "P6", Says: "Nexmark's queries kept as views: events a second, answers against recomputation",
	run: runNexmark,
}

const (
	nexmarkBlock  = 1000 // events of a block
	nexmarkJudged = 2000 // events of which the naive evaluator sees the answers: its joins are nested loops
	nexmarkStart  = core.Timestamp(1_795_000_000e9)
)

func runNexmark(ctx context.Context, e *Env) (*Result, error) {
	all, err := auctionHouse(e.scale(200_000), nexmarkBlock)
	if err != nil {
		return nil, err
	}
	few, err := auctionHouse(min(e.scale(200_000), nexmarkJudged), 100)
	if err != nil {
		return nil, err
	}
	right := 0
	var rows []Row
	for _, q := range nexmark.Queries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := parse.One(q.SQL)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Name, err)
		}
		query := s.(*tree.Select).Query
		equal, err := few.judged(query)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Name, err)
		}
		var rates []float64
		for range e.rounds(3) {
			rate, kept, err := all.keep(query)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.Name, err)
			}
			rates = append(rates, rate)
			if len(rates) > 1 {
				continue
			}
			again, err := all.ask(query)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.Name, err)
			}
			equal = equal && slices.Equal(kept, again)
		}
		note := q.Differs
		if equal {
			right++
		} else {
			note = "its answer is not the recomputed one"
		}
		r := row(q.Name+", "+q.Says, "events/s", rates)
		r.Note = note
		rows = append(rows, r)
		e.Say("%s, %s: %.0f events/s, right: %t", q.Name, q.Says, r.Value, equal)
	}
	r := row("queries whose answers are the recomputed ones", "queries", []float64{float64(right)})
	return e.about(r, right == len(nexmark.Queries), "every query runs, and its view is equal to its recomputation", rows...), nil
}

// house is an auction house's history.
type house struct {
	catalog *view.Catalog
	blocks  []viewtest.Block
	events  int
}

func auctionHouse(events, perBlock int) (*house, error) {
	h := &house{catalog: view.NewCatalog(), events: events}
	for _, text := range nexmark.Schema {
		s, err := parse.One(text)
		if err != nil {
			return nil, err
		}
		if err := h.catalog.Execute(s); err != nil {
			return nil, err
		}
	}
	// One in a hundred events comes up to ten seconds late.
	g := nexmark.New(nexmark.Config{Seed: 1, Start: nexmarkStart, Delayed: 100, DelayMax: 10e9})
	var history viewtest.History
	var list []viewtest.Event
	at := nexmarkStart
	for n := range events {
		x := viewtest.Event(g.Next())
		at = max(at+1, x.EventTime+1)
		if list = append(list, x); len(list) == perBlock || n == events-1 {
			b, err := history.Write(at, list)
			if err != nil {
				return nil, err
			}
			h.blocks, list = append(h.blocks, b), list[:0]
		}
	}
	return h, nil
}

const allFuel = 1 << 30

// keep keeps a view, a step for each block, and returns its answer.
func (h *house) keep(q *tree.Query) (rate float64, lines []string, err error) {
	v, err := h.catalog.NewView(q, view.Options{Memory: nexmarkMemory})
	if err != nil {
		return 0, nil, err
	}
	begun := time.Now()
	for _, b := range h.blocks {
		v.Take(0, b.Index, b.Block)
		if err := complete(v.Finish, b.Timestamp); err != nil {
			return 0, nil, err
		}
	}
	rate = float64(h.events) / time.Since(begun).Seconds()
	lines, err = viewtest.Lines(v.Rows)
	return rate, lines, err
}

const nexmarkMemory = 4 << 30

func complete(finish func(core.Timestamp, int) (bool, error), cut core.Timestamp) error {
	for {
		if done, err := finish(cut, allFuel); done || err != nil {
			return err
		}
	}
}

// ask asks on demand.
func (h *house) ask(q *tree.Query) ([]string, error) {
	j, err := h.catalog.NewJob(q, view.Options{Memory: nexmarkMemory})
	if err != nil {
		return nil, err
	}
	for _, b := range h.blocks {
		j.Take(0, b.Index, b.Block)
	}
	if err := complete(j.Finish, h.blocks[len(h.blocks)-1].Timestamp); err != nil {
		return nil, err
	}
	return viewtest.Lines(j.Rows)
}

// judged sets a view's answer beside the naive evaluator's.
func (h *house) judged(q *tree.Query) (equal bool, err error) {
	oracle, err := viewtest.NewOracle(nexmark.Schema)
	if err != nil {
		return false, err
	}
	for _, b := range h.blocks {
		if err := oracle.Take(b); err != nil {
			return false, err
		}
	}
	want, err := oracle.Answer(q)
	if err != nil {
		return false, err
	}
	_, got, err := h.keep(q)
	return slices.Equal(got, want), err
}
