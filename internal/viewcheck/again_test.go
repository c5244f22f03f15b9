package viewcheck

import (
	"math/rand/v2"
	"slices"
	"testing"

	"actordb/core"
	"actordb/core/view"
	"actordb/disk"
)

// A checkpoint whose state is cut short or changed is refused or restored to something that
// works, and never more than that: who owns it has a checksum over it.
func TestCheckpointDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	l, err := NewSensors()
	if err != nil {
		t.Fatal(err)
	}
	h := NewHistory(r, Classes)
	for range 60 {
		b, err := h.Block(4)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Take(0, b.Index, b.Block); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Cut(h.Clock(), r); err != nil {
		t.Fatal(err)
	}
	batch := &disk.Batch{}
	state, err := l.Views[visits].Checkpoint(batch)
	if err == nil {
		err = l.again.store.Apply(batch)
	}
	if err != nil {
		t.Fatal(err)
	}
	restore := func(q int, state []byte) (*view.View, error) {
		return l.catalog.RestoreView(l.readers[q], view.Options{Place: l.places[visits]}, state)
	}
	v, err := restore(visits, state)
	if err != nil || v.Cut() != core.Timestamp(h.Clock()) && v.Cut() != l.cut {
		t.Fatalf("the checkpoint is refused: %v", err)
	}
	if _, err := restore(hopped, state); err == nil {
		t.Error("the checkpoint of another query is taken")
	}
	for n := range state {
		if _, err := restore(visits, state[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(state))
		}
		changed := slices.Clone(state)
		changed[n] ^= 1 << r.IntN(8)
		_, _ = restore(visits, changed) // it may be another view's; it must not panic
	}
	for _, m := range batch.Mutations {
		if value, found, err := l.again.store.Get(m.Key); err != nil || !found || m.Delete {
			continue
		} else {
			gone := &disk.Batch{}
			gone.Delete(m.Key)
			if err := l.again.store.Apply(gone); err != nil {
				t.Fatal(err)
			}
			v, err := restore(visits, state)
			for done := false; err == nil && !done; {
				done, err = v.Warm(100)
			}
			if err == nil {
				t.Errorf("the state without %x is taken", m.Key)
			}
			back := &disk.Batch{}
			back.Put(m.Key, value)
			if err := l.again.store.Apply(back); err != nil {
				t.Fatal(err)
			}
		}
	}
}
