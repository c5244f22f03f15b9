package backup

import (
	"errors"
	"path/filepath"
	"testing"

	"actordb/internal/nodetest"
	"actordb/workloads"
)

// B1: though the node goes on, with checkpoints and compaction, while hold is taken
// of its files, the journal that is taken reaches the store's position from both
// sides, at the first attempt.
func TestNodeGoesOnMeanwhile(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	load, err := nodetest.Start(nodetest.Config(dir, true), 12, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Until(1500); err != nil {
		t.Fatal(err)
	}
	r, err := Create(repo)
	if err != nil {
		t.Fatal(err)
	}
	times := 0
	m, err := r.Take(Options{Dir: dir, between: func() {
		times++
		if err := load.Until(load.Issued() + 400); err != nil {
			t.Error(err)
		}
	}})
	if err := errors.Join(err, r.Close(), load.Stop()); err != nil {
		t.Fatal(err)
	}
	if times != 3*len(m.Shards) {
		t.Errorf("%d pauses for %d shards: a shard was read again", times, len(m.Shards))
	}
	for _, s := range m.Shards {
		if s.Floor == 0 || s.Position <= s.Floor || s.Position >= s.Last {
			t.Errorf("nothing happened meanwhile: %+v", s)
		}
	}
	back := filepath.Join(t.TempDir(), "back")
	if _, err := r.Restore(RestoreOptions{Dir: back, Kinds: workloads.Kinds, OpenKV: nodetest.Config(back, true).OpenKV}); err != nil {
		t.Fatal(err)
	}
}
