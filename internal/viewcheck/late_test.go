package viewcheck

import (
	"math/rand/v2"
	"testing"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/view"
)

// onDemand asks for each view's query over the whole history at once.
func onDemand(t testing.TB, seed uint64, l *Sensors, blocks []*journal.Block, cut core.Timestamp) {
	t.Helper()
	want := l.expected()
	for i, q := range l.readers {
		j, err := l.catalog.NewJob(q, view.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for k, b := range blocks {
			j.Take(0, core.Index(k+1), b)
		}
		for done := false; !done; {
			if done, err = j.Finish(cut, 1000); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := compare(j.Rows, want[i]); err != nil {
			t.Errorf("seed %d, %q on demand: %v", seed, lateQueries[i], err)
		}
	}
}

// run feeds a history to views, in steps that the seed draws.
func run(t testing.TB, seed uint64, classes []Class, blocks int) *Sensors {
	t.Helper()
	l, err := NewSensors()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	h := NewHistory(r, classes)
	every := 1 + r.IntN(20)
	var all []*journal.Block
	for i := range blocks {
		b, err := h.Block(r.IntN(6))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Block)
		if err := l.Take(0, b.Index, b.Block); err != nil {
			t.Fatal(err)
		}
		if r.IntN(every) > 0 && i < blocks-1 {
			continue
		}
		if err := l.Cut(h.Clock()+core.Timestamp(r.IntN(1e6)*r.IntN(2)), r); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if r.IntN(8) == 0 || i == blocks-1 {
			if _, err := l.Compare(); err != nil {
				t.Fatalf("seed %d, block %d: %v", seed, i, err)
			}
		}
	}
	if len(all) < 1000 {
		onDemand(t, seed, l, all, l.cut)
	}
	return l
}

// Views over late events hold what the definition says, however the journal was cut
// into steps; every class has events of each kind.
func TestLate(t *testing.T) {
	restarts := 0
	for seed := range uint64(40) {
		classes := Classes
		if seed%2 == 1 {
			classes = []Class{OnTime, OnTime, Classes[seed/2%uint64(len(Classes))]}
		}
		l := run(t, seed, classes, 150)
		a := l.Account()
		restarts += l.again.Done
		if a.In != a.OnTime+a.Corrected+a.Missed {
			t.Errorf("seed %d: %s", seed, a)
		}
		if seed%2 == 0 && (a.Corrected == 0 || a.Missed == 0 || a.Future == 0) {
			t.Errorf("seed %d has not met everything: %s", seed, a)
		}
	}
	if restarts < 40 {
		t.Errorf("views went on from checkpoints %d times", restarts)
	}
}

// State of closed windows is gone: what circuits hold does not grow with the history.
func TestMemoryIsBounded(t *testing.T) {
	early := run(t, 1, []Class{OnTime, OutOfOrder, Late}, 400).MemBytes()
	late := run(t, 1, []Class{OnTime, OutOfOrder, Late}, 4000).MemBytes()
	if late > 2*early {
		t.Errorf("%d bytes after 400 blocks, %d after 4000", early, late)
	}
}
