package workloads

import (
	"strings"
	"testing"

	"actordb/checkers"
	"actordb/core"
	"actordb/sim"
)

// A run's worth of each workload has the shape that it promises: histories stay
// short enough to be searched, a quarter are reads, few actors are contended and
// many are not, and every command passes the door's check.
func TestShapeOfWorkloads(t *testing.T) {
	const clients, each = 20, 3000
	for _, name := range Names() {
		perActor := map[core.ActorID]int{}
		ops := map[string]int{}
		expected, appended, rushed := 0, 0, 0
		for c := range clients {
			g, err := NewGenerator(name, sim.Stream(uint64(c), name), c, clients)
			if err != nil {
				t.Fatal(err)
			}
			for n := range each {
				p := g.Next(n, core.Timestamp(n)*20e6)
				p.Command.Number = 1
				if code, detail := core.CheckCommand(&p.Command); code != core.CodeNone {
					t.Fatalf("%s: %s: %s %s", name, p.Name, code, detail)
				}
				if p.Rush {
					rushed++
				}
				if p.Command.Kind == core.Append {
					appended++
				}
				if p.Command.Kind.Changes() && p.Command.Expected != core.AnySeq {
					expected++
				}
				perActor[p.Command.Actor]++
				ops[p.Name]++
				g.Learn(&checkers.Op{Actor: p.Command.Actor, Name: p.Name, In: p.In, Status: core.Accepted, Seq: core.Seq(n)})
			}
		}
		most, rare, busiest := 0, 0, core.ActorID("")
		for id, n := range perActor {
			limit := 8000
			if id.Type() == "list" {
				limit = 500
			}
			if n > limit {
				t.Errorf("%s: %d operations on %s, want at most %d", name, n, id, limit)
			}
			if n < 5 {
				rare++
			}
			if n > most || n == most && id < busiest {
				most, busiest = n, id
			}
		}
		total := clients * each
		if reads := ops["read"] * 100 / total; reads < 22 || reads > 28 {
			t.Errorf("%s: %d %% reads", name, reads)
		}
		if rare < 100 || most < 200 {
			t.Errorf("%s: %d actors with less than 5 operations, at most %d", name, rare, most)
		}
		if (name == HotWorkload) != (rushed > 0) {
			t.Errorf("%s: %d operations in bursts", name, rushed)
		}
		if usesAppend := strings.Contains("append-list cart mixed", name); usesAppend != (appended > 0) {
			t.Errorf("%s: %d generic appends", name, appended)
		}
		if name != HotWorkload && expected == 0 {
			t.Errorf("%s: no command with an expected seq", name)
		}
		t.Logf("%s: %d actors, busiest %s with %d, %d rare, %d expected, ops %v", name, len(perActor), busiest, most, rare, expected, ops)
	}
}

// Names are selectable, one or all, and nothing else is.
func TestSelect(t *testing.T) {
	if all, err := Select("all"); err != nil || len(all) != len(Names()) {
		t.Errorf("all: %v, %v", all, err)
	}
	for _, name := range Names() {
		if one, err := Select(name); err != nil || len(one) != 1 || one[0] != name {
			t.Errorf("%s: %v, %v", name, one, err)
		}
	}
	if _, err := Select("nonsense"); err == nil {
		t.Error("nonsense is a workload")
	}
}
