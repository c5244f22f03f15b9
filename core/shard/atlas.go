package shard

import (
	"slices"

	"actordb/core"
	"actordb/core/proc"
)

// A Locator says where a replica runs that came to its group later (Config.Locate).
type Locator func(shard core.ShardID, id uint64, node proc.NodeID) Replica

// An Atlas is what somebody believes who is not of a group: the placement, and what
// refusals have told since. A later change is believed, an earlier one is not.
type Atlas struct {
	placement *Placement
	locate    Locator
	places    []Tenure // by slot; nil: nothing was told
	groups    []located
}

// located is a group as a refusal told it.
type located struct {
	index    core.Index // 0: as placed
	replicas []Replica
}

// NewAtlas begins with a placement. Without a locator groups stay as they are.
func NewAtlas(placement *Placement, locate Locator) *Atlas {
	return &Atlas{placement: placement, locate: locate, groups: make([]located, placement.Shards())}
}

// Shards is how many there are.
func (a *Atlas) Shards() int { return a.placement.Shards() }

// OwnerOf is the shard that owns a slot.
func (a *Atlas) OwnerOf(slot core.Slot) core.ShardID {
	if a.places != nil && a.places[slot].Epoch > 0 {
		return a.places[slot].Owner
	}
	return a.placement.ShardOfSlot(slot)
}

// Group is where a shard's replicas run.
func (a *Atlas) Group(s core.ShardID) []Replica {
	if g := &a.groups[s]; g.index > 0 {
		return g.replicas
	}
	return a.placement.Group(s)
}

// Moved takes what a shard says of a slot that is not its own.
func (a *Atlas) Moved(slot core.Slot, said *core.Answer) {
	if said.Count == 0 || int(said.Count) > a.Shards() || said.Seq == 0 {
		return
	}
	if a.places == nil {
		a.places = make([]Tenure, core.Slots)
	}
	if p := &a.places[slot]; core.Epoch(said.Seq) > p.Epoch {
		*p = Tenure{Owner: core.ShardID(said.Count - 1), Epoch: core.Epoch(said.Seq)}
	}
}

// Regrouped takes what a replica that does not lead says of its group, and reports
// whether that is news. It may be an answer to a question of long ago, of another shard.
func (a *Atlas) Regrouped(s core.ShardID, said *core.Answer) bool {
	if len(said.State) == 0 || a.locate == nil {
		return false
	}
	r, err := DecodeRoster(said.State)
	if err != nil || r.Shard != s || r.Index <= a.groups[s].index || len(r.Members) == 0 {
		return false
	}
	g := located{index: r.Index}
	for _, m := range r.Members {
		if x := find(a.placement.Group(s), m.ID); x != nil {
			g.replicas = append(g.replicas, *x)
		} else {
			g.replicas = append(g.replicas, a.locate(s, m.ID, m.Node))
		}
	}
	same := slices.Equal(g.replicas, a.Group(s))
	a.groups[s] = g
	return !same
}
