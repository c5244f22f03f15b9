package experiments

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	corerow "actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/core/zset"
	"actordb/internal/viewtest"
	"actordb/net/wire"
)

// reads is the paper's on-demand read (section 8) beside the read of a materialized row,
// both in process and from memory.
var reads = Experiment{
	Name: "read", Claim: "M6", Says: "time and memory of one row of a materialized view read by its key, and of an actor's state",
	run: runReads,
}

const (
	paperReadNS = 1041.0 // ns/op, section 8
	paperReadB  = 328.0  // B/op
	readsGroups = 100_000
)

func runReads(ctx context.Context, e *Env) (*Result, error) {
	groups := e.scale(readsGroups)
	v, err := grouped(groups)
	if err != nil {
		return nil, err
	}
	n := e.scale(2_000_000)
	var rows []Row
	for _, twin := range []struct {
		name string
		run  func() (ns, bytes float64, err error)
	}{
		{fmt.Sprintf("a row of a view of %d groups, by its key", groups), func() (float64, float64, error) { return findRows(v, groups, n) }},
		{"the state of an actor, in frames of 256", func() (float64, float64, error) { return readStates(n) }},
	} {
		var ns, bytes []float64
		for i := range e.rounds(rounds) + 1 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t, b, err := twin.run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", twin.name, err)
			}
			e.Say("%s: %.0f ns, %.1f B", twin.name, t, b)
			if i > 0 || e.trial() { // the first one gets the process its memory
				ns, bytes = append(ns, t), append(bytes, b)
			}
		}
		rows = append(rows, row(twin.name, "ns/read", ns), row("allocated, "+twin.name, "B/read", bytes))
	}
	pass := rows[0].Value < paperReadNS && rows[1].Value < paperReadB
	return e.about(rows[0], pass, fmt.Sprintf("a materialized row below %.0f ns and %.0f B", paperReadNS, paperReadB), rows[1:]...), nil
}

// grouped keeps a view of so many groups, whose events came in an order without order.
func grouped(groups int) (*view.View, error) {
	c := view.NewCatalog()
	declared, err := parse.One(`CREATE EVENT TYPE ` + counterType + `.added (n int8)`)
	if err != nil {
		return nil, err
	}
	if err := c.Execute(declared); err != nil {
		return nil, err
	}
	asked, err := parse.One(`SELECT key, count(*) AS n, max(seq) AS last FROM ` + counterType + `.added GROUP BY key`)
	if err != nil {
		return nil, err
	}
	v, err := c.NewView(asked.(*tree.Select).Query, view.Options{Memory: nexmarkMemory})
	if err != nil {
		return nil, err
	}
	var history viewtest.History
	var list []viewtest.Event
	for i, at := 0, nexmarkStart; i < 2*groups; i++ {
		x := viewtest.Event{Actor: counterID(i * 7919 % groups), NewEvent: core.NewEvent{Type: "added", Version: 1, EventTime: at}}
		if list = append(list, x); len(list) == nexmarkBlock || i == 2*groups-1 {
			at++
			b, err := history.Write(at, list)
			if err != nil {
				return nil, err
			}
			list = list[:0]
			v.Take(0, b.Index, b.Block)
			if err := complete(v.Finish, at); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// findRows reads rows one at a time.
func findRows(v *view.View, groups, n int) (ns, bytes float64, err error) {
	const keys = 1024
	var list []*corerow.Batch
	for i := range keys {
		b := corerow.NewBatch([]corerow.Type{corerow.Of(corerow.Text)})
		b.AppendValues(corerow.Value{Type: corerow.Of(corerow.Text), B: []byte(counterID(i * 104_729 % groups).Key())})
		list = append(list, b)
	}
	f, out := v.Finder(), zset.NewBatch(v.Types())
	return perRead(n, func() error {
		for i := range n {
			out.Clear()
			if err := f.Find(list[i%keys], out); err != nil {
				return err
			}
			if out.N != 1 || out.W[0] != 1 || out.Cols[1].I[0] != 2 {
				return fmt.Errorf("read %d finds %d rows, want one of two events", i, out.N)
			}
		}
		return nil
	})
}

// perRead is the time, and what was allocated, of each of n reads.
func perRead(n int, read func() error) (ns, bytes float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begun := time.Now()
	err = read()
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	return float64(took) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n), err
}

// readStates reads the states of actors in memory.
func readStates(n int) (ns, bytes float64, err error) {
	const actors = 1000
	m, err := newMemory(nil, actor.Policy{}, nil)
	if err != nil {
		return 0, 0, err
	}
	a := newAdds(m.now, 1)
	for i := range actors {
		m.put(proc.Input{Kind: proc.Message, Frame: a.frame(1, func(int) core.ActorID { return counterID(i) })})
	}
	var w wire.Writer
	for i := range batch {
		w.Command(&core.Command{Number: core.CommandNumber(i + 1), Actor: counterID(i * 3 % actors), Kind: core.Read, Expected: core.AnySeq})
	}
	frame := w.Finish(wire.Commands)
	m.answers = 0
	n = (n + batch - 1) / batch * batch
	return perRead(n, func() error {
		for done := 0; done < n; done += batch {
			m.put(proc.Input{Kind: proc.Message, Frame: frame})
		}
		if m.fault != nil || m.answers != n {
			return fmt.Errorf("%d answers of %d, fault %v", m.answers, n, m.fault)
		}
		return nil
	})
}
