package testbed

import (
	"testing"
	"time"

	"actordb/checkers"
)

// Views of readings and of banks stand under every kind of cluster, and what they are
// judged on is there: readings that are corrected, that are beyond correction, from
// the future.
func TestStandings(t *testing.T) {
	var sum checkers.Account
	judged := map[string]int{}
	for seed, nodes := range []int{1, 3, 5, 3} {
		p := mustPass(t, Options{Seed: uint64(seed + 20), Nodes: nodes, Workloads: []string{"sensors", "bank"}, Duration: 4 * time.Second, Clients: 16})
		for _, c := range p.Checks {
			judged[c.Name] += c.Examined
		}
		t.Log(nodes, p.Readings)
		sum.Corrected += p.Readings.Corrected
		sum.Missed += p.Readings.Missed
		sum.Future += p.Readings.Future
	}
	if judged["watermarks"] == 0 || judged["bank"] == 0 || sum.Corrected == 0 || sum.Missed == 0 || sum.Future == 0 {
		t.Errorf("not all was met: %v, %v", judged, sum)
	}
}
