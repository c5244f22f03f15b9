package shard

import (
	"fmt"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"actordb/core"
)

// The directory against a map: what was entered is found under its handle, what
// was forgotten is not, and handles of living actors never change.
func TestDirectory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDirectory()
		model := map[core.ActorID]uint32{}
		ids := rapid.Custom(func(t *rapid.T) core.ActorID {
			return core.ActorID(fmt.Sprintf("tally/%d", rapid.IntRange(0, 3000).Draw(t, "id")))
		})
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				for range rapid.IntRange(1, 500).Draw(t, "n") {
					id := ids.Draw(t, "id")
					h, k := d.enter(d.hash(id), id)
					if old, ok := model[id]; ok && old != h || k.id != id {
						t.Fatalf("%s has handle %d, had %d", k.id, h, old)
					}
					model[id] = h
				}
			},
			"forget": func(t *rapid.T) {
				for range rapid.IntRange(1, 500).Draw(t, "n") {
					id := ids.Draw(t, "id")
					if h, ok := model[id]; ok {
						d.forget(h)
						delete(model, id)
					}
				}
			},
			"": func(t *rapid.T) {
				if d.len() != len(model) {
					t.Fatalf("%d actors, want %d", d.len(), len(model))
				}
				for range 20 {
					id := ids.Draw(t, "id")
					h, k := d.find(d.hash(id), id)
					if old, ok := model[id]; ok != (k != nil) || ok && (h != old || k.id != id) {
						t.Fatalf("%s: %v at %d, want %t at %d", id, k, h, ok, old)
					}
				}
			},
		})
	})
}

// A million idle actors are held in memory by what this says of each.
func TestKnownIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(known{}); n > 64 {
		t.Errorf("known has %d bytes, want at most 64", n)
	}
	if n := unsafe.Sizeof(hot{}); n > 128 {
		t.Errorf("hot has %d bytes, want at most 128", n)
	}
}
