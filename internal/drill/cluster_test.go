package drill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actordb/checkers"
	"actordb/workloads"
)

// Three real nodes, of which one after the other is killed with what it had not
// synced taken away, cut off, and stopped, and all of which are killed at once:
// nothing acknowledged is lost or doubled, and their journals agree.
func TestClusterDrill(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := ClusterConfig{Program: []string{program, "node"}, Dir: filepath.Join(t.TempDir(), "drill"), Seed: 1, Nodes: 3, Shards: 2, Clients: 6,
		Workloads: workloads.Names(), Duration: 4 * time.Second, Stop: time.Second, Rest: 200 * time.Millisecond}
	told := 0
	cfg.Struck = func(string, time.Duration) { told++ }
	r, err := RunCluster(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	passed(t, r.Checks)
	struck := 0
	for _, n := range r.Faults {
		struck += n
	}
	if r.Verdict != checkers.Pass || len(r.Checks) != 10 || struck != told || struck == 0 || r.Kills == 0 {
		t.Errorf("%s by %d checks, %d faults, %d told, %d kills", r.Verdict, len(r.Checks), struck, told, r.Kills)
	}
	if len(r.Level) != struck {
		t.Errorf("replicas were level %d times, after %d faults", len(r.Level), struck)
	}
	if len(r.Gaps) != 2*struck {
		t.Errorf("%d gaps of %d faults and 2 shards", len(r.Gaps), struck)
	}
	out := t.TempDir()
	if err := r.Save(out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "drill-cluster.csv"))
	if err != nil || strings.Count(string(text), "\n") != len(r.Gaps)+1 {
		t.Errorf("%v: %s", err, text)
	}
}

// Three real nodes whose slots move, which a fourth one joins, and of which the first is
// drained, under load: nothing is refused that clients do not bear, nothing is lost or
// doubled, and who was drained has what the others have, as far as it goes.
func TestClusterChanges(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := ClusterConfig{Program: []string{program, "node"}, Dir: filepath.Join(t.TempDir(), "drill"), Seed: 2, Nodes: 3, Shards: 2, Clients: 6,
		Workloads: workloads.Names(), Duration: time.Millisecond, Stop: time.Second, Rest: 50 * time.Millisecond, Moves: true}
	r, err := RunCluster(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	passed(t, r.Checks)
	if r.Verdict != checkers.Pass || r.Faults[didMove] != 4 || r.Faults[didJoin] != 1 || r.Faults[didDrain] != 1 || len(r.Latencies) != 4 {
		t.Errorf("%s, %v, %v", r.Verdict, r.Faults, r.Latencies)
	}
}

func TestLongest(t *testing.T) {
	s := time.Second
	acks := []time.Duration{0, 1 * s, 2 * s, 5 * s, 6 * s, 10 * s}
	for _, c := range []struct{ from, to, want time.Duration }{{2 * s, 3 * s, 3 * s}, {0, 10 * s, 4 * s}, {0, 1 * s, 1 * s}, {3 * s, 4 * s, 3 * s}, {11 * s, 12 * s, 0}} {
		if got := longest(acks, c.from, c.to); got != c.want {
			t.Errorf("from %v to %v: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
