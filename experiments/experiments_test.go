package experiments

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"actordb/core/actor"
	"actordb/internal/datadir"
	"actordb/internal/node"
)

// served is set in a process that is the server of a test.
const served = "ACTORDB_EXPERIMENT_SERVES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(served); dir != "" {
		serveForTest(dir)
		return
	}
	m.Run()
}

// serveCommand is this program, which serves a directory as actordb serve does.
func serveCommand(dir string, _ ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), served+"="+dir)
	return cmd
}

// serveDir serves a directory of its own, or one of a cluster's node.
func serveDir(dir string) (*node.Server, error) {
	cluster, err := datadir.ReadCluster(dir)
	if err != nil {
		return nil, err
	}
	if cluster == nil {
		s, _, err := serve(dir, 2)
		return s, err
	}
	credentials, err := node.OpenIdentity(filepath.Join(dir, datadir.OwnIdentityDir))
	if err != nil {
		return nil, err
	}
	id, err := datadir.Read(dir)
	if err != nil {
		return nil, err
	}
	return node.Serve(node.ServeConfig{Dir: dir, Listen: cluster.Nodes[id.Node-1].Addr, Kinds: func() []actor.Kind { return []actor.Kind{actor.Stream()} },
		Credentials: credentials, Log: slog.New(slog.DiscardHandler)})
}

func serveForTest(dir string) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	s, err := serveDir(dir)
	if err != nil {
		panic(err)
	}
	fmt.Printf("READY %s\n", s.Addr())
	<-term
	if err := s.Close(); err != nil {
		panic(err)
	}
	log.Info("stopped", "syncs", s.Metrics.Syncs())
}

// Every experiment runs, on a thousandth of its work, and its result is whole.
func TestAll(t *testing.T) {
	for _, x := range All() {
		t.Run(x.Name, func(t *testing.T) {
			// One weighs the heap, where others would leave theirs; simulated clusters give all
			// of the process their entropy.
			if x.Name != idleActors.Name && x.Name != lateEvents.Name {
				t.Parallel()
			}
			r, err := x.Run(t.Context(), &Env{Part: 1000, Dir: t.TempDir(), Say: t.Logf, Serve: serveCommand,
				ServeMember: func(dir string) *exec.Cmd { return serveCommand(dir) }})
			if err != nil {
				t.Fatal(err)
			}
			if r.Name != x.Name || r.Unit == "" || r.Target == "" || len(r.Rows) < 2 || r.N != r.Rows[0].N {
				t.Errorf("result %+v", r)
			}
			for _, row := range r.Rows {
				if row.Note == notAvailable {
					continue
				}
				counted := strings.HasPrefix(row.Unit, "failures per") // of events or runs, which are no samples
				if row.Value < 0 || row.Value == 0 && row.Unit != "B/read" && row.Unit != "ms" && row.Unit != "ratio" && row.Unit != "failures" || !counted && row.N != len(row.Samples) || row.N == 0 || row.CI95[0] > row.Value || row.CI95[1] < row.Value {
					t.Errorf("row %+v", row)
				}
			}
		})
	}
}

func TestInterval(t *testing.T) {
	same := []float64{3, 3, 3, 3}
	if ci := interval(same); ci != [2]float64{3, 3} || median(same) != 3 {
		t.Errorf("of equal samples: %v", ci)
	}
	var wide []float64
	for i := range 101 {
		wide = append(wide, float64(i))
	}
	ci := interval(wide)
	if median(wide) != 50 || ci[0] < 30 || ci[0] > 45 || ci[1] < 55 || ci[1] > 70 || !slices.IsSorted(ci[:]) || math.IsNaN(ci[0]) {
		t.Errorf("of 0 to 100: %v", ci)
	}
	if interval(wide) != ci {
		t.Error("not the same twice")
	}
}
