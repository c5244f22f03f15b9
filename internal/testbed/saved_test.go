package testbed

import (
	"testing"
	"time"
)

// Views go on from checkpoints after crashes, and refuse those that were harmed: a store
// whose pairs are lost, changed or swapped costs time and no answer.
func TestViewsGoOn(t *testing.T) {
	reached := map[string]uint64{}
	for seed := uint64(1); seed <= 3; seed++ {
		p := mustPass(t, Options{Seed: seed, Workloads: []string{"cart"}, Faults: "crash,kv_lost", Duration: 6 * time.Second, Clients: 4, Think: 20 * time.Millisecond})
		for site, n := range p.Reached {
			reached[site] += n
		}
	}
	for _, site := range []string{"query.view-checkpointed", "query.view-resumed-from-a-checkpoint", "query.live-feed-resumed", "query.checkpoint-refused", "query.answer-from-a-kept-view"} {
		if reached[site] == 0 {
			t.Errorf("%s was not reached", site)
		}
	}
}
