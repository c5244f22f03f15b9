package testbed

import (
	"encoding/json"
	"testing"
	"time"

	"actordb/checkers"
)

func show(t *testing.T, p *Report) {
	t.Helper()
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(string(b))
}

// A run without faults holds, and does what was asked.
func TestCalm(t *testing.T) {
	p, err := Run(Options{Seed: 1, Faults: "none", Duration: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() || p.Verdict != checkers.Pass {
		show(t, p)
	}
	if p.Verdict != checkers.Pass || p.Operations < 5000 {
		t.Fail()
	}
}

// One seed is one execution, whatever the strategy.
func TestSwarm(t *testing.T) {
	for seed := range uint64(8) {
		o := Options{Seed: seed + 1, Faults: "swarm", Duration: 10 * time.Second}
		p, err := Run(o)
		if err != nil {
			t.Fatal(err)
		}
		if p.Verdict != checkers.Pass {
			show(t, p)
			t.Fail()
		}
		again, err := Run(o)
		if err != nil {
			t.Fatal(err)
		}
		if again.TraceHash != p.TraceHash {
			t.Errorf("seed %d: trace %s and then %s", seed, p.TraceHash, again.TraceHash)
		}
	}
}
