package primarybackup

import (
	"reflect"
	"testing"
)

const seeds = 200

func mustRun(t *testing.T, seed uint64, ackEarly bool) Result {
	t.Helper()
	r, err := Run(seed, ackEarly)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The protocol holds under every seed, and the faults were there.
func TestCorrectProtocolPasses(t *testing.T) {
	hits := map[string]uint64{}
	answers := 0
	for seed := range uint64(seeds) {
		r := mustRun(t, seed, false)
		if r.Violation != nil {
			t.Fatalf("seed %d: %v", seed, r.Violation)
		}
		if r.Answers == 0 {
			t.Fatalf("seed %d: the client got no answer", seed)
		}
		answers += r.Answers
		for site, n := range r.Hits {
			hits[site] += n
		}
	}
	for _, site := range []string{"crash", "partition", "drop", "pause"} {
		if hits[site] == 0 {
			t.Errorf("%d seeds and no %s took effect", seeds, site)
		}
	}
	t.Logf("%d seeds, %d answers, faults %v", seeds, answers, hits)
}

// The planted bug is found, and the seed repeats it exactly.
func TestPlantedBugIsFound(t *testing.T) {
	for seed := range uint64(seeds) {
		r := mustRun(t, seed, true)
		if r.Violation == nil {
			continue
		}
		t.Logf("found by seed %d after %d steps: %v", seed, r.Steps, r.Violation)
		if again := mustRun(t, seed, true); !reflect.DeepEqual(again, r) {
			t.Fatalf("seed %d gave %+v, then %+v", seed, r, again)
		}
		if clean := mustRun(t, seed, false); clean.Violation != nil {
			t.Fatalf("seed %d fails without the bug: %v", seed, clean.Violation)
		}
		return
	}
	t.Fatalf("%d seeds did not find the planted bug", seeds)
}

// The checker rejects what it must: it shares no code with the protocol.
func TestCheckerRejects(t *testing.T) {
	for i, h := range [][]Entry{
		{{Value: 1}, {Value: 2}, {Read: true, Value: 1}},
		{{Read: true, Value: 2}, {Read: true, Value: 1}},
		{{Value: 1}, {Read: true, Value: 0}},
	} {
		if Check(h) == nil {
			t.Errorf("history %d was accepted", i)
		}
	}
	if err := Check([]Entry{{Value: 1}, {Read: true, Value: 2}, {Read: true, Value: 2}}); err != nil {
		t.Error(err)
	}
}
