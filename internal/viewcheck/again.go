package viewcheck

import (
	"encoding/binary"
	"math/rand/v2"

	"actordb/core/sql/lower"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/disk"
	"actordb/disk/memkv"
)

// Restarts makes kept views end and go on from their checkpoints, between two steps that
// random draws: nobody may see that in what they answer.
type Restarts struct {
	store disk.KV
	views uint32
	Done  int // views that went on
}

// NewRestarts begins with an empty store.
func NewRestarts() *Restarts { return &Restarts{store: memkv.New()} }

// Place is that of one more view.
func (r *Restarts) Place() lower.Place {
	r.views++
	return lower.Place{Store: r.store, Prefix: binary.BigEndian.AppendUint32(nil, r.views)}
}

// restartOneIn is how many steps a view goes on for, about.
const restartOneIn = 8

// Maybe checkpoints a view that stands at a cut, and returns the one that goes on.
func (r *Restarts) Maybe(v *view.View, c *view.Catalog, q *tree.Query, at lower.Place, random *rand.Rand) (*view.View, error) {
	if random.IntN(restartOneIn) > 0 {
		return v, nil
	}
	b := &disk.Batch{}
	state, err := v.Checkpoint(b)
	if err == nil {
		err = r.store.Apply(b)
	}
	if err != nil || random.IntN(2) == 0 {
		return v, err // it goes on itself: what it writes next builds on this
	}
	if v, err = c.RestoreView(q, view.Options{Place: at}, state); err != nil {
		return nil, err
	}
	for done := false; !done && err == nil; {
		done, err = v.Warm(1 + random.IntN(finishFuel))
	}
	r.Done++
	return v, err
}
