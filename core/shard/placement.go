package shard

import (
	"fmt"

	"actordb/core"
	"actordb/core/proc"
)

// Placement says which shard owns each slot and where the shards' replicas run.
type Placement struct {
	Epoch  core.Epoch
	Slots  []core.ShardID // by slot
	Groups [][]Replica    // by shard
}

// A Replica is a member of a shard's group, voter or not.
type Replica struct {
	ID   uint64 // in Raft, not 0; never used again in its group
	Addr proc.Addr
	Peer string // the identity under which its node's transport is known
}

// ReplicasMax bounds a group: three or five vote, others learn.
const ReplicasMax = 16

// Spread deals the slots out to shards of one replica each, in turn.
func Spread(homes []proc.Addr) (*Placement, error) {
	groups := make([][]Replica, len(homes))
	for i, at := range homes {
		groups[i] = []Replica{{ID: 1, Addr: at}}
	}
	return SpreadGroups(groups)
}

// SpreadGroups deals the slots out to the shards in turn.
func SpreadGroups(groups [][]Replica) (*Placement, error) {
	if len(groups) == 0 || len(groups) > core.Slots {
		return nil, fmt.Errorf("placement over %d shards: want 1 to %d", len(groups), core.Slots)
	}
	for i, g := range groups {
		if len(g) == 0 || len(g) > ReplicasMax {
			return nil, fmt.Errorf("shard %d has %d replicas: want 1 to %d", i, len(g), ReplicasMax)
		}
		for k := range g {
			if g[k].ID == 0 || find(g[:k], g[k].ID) != nil {
				return nil, fmt.Errorf("shard %d: replica id %d is zero or used twice", i, g[k].ID)
			}
		}
	}
	p := &Placement{Slots: make([]core.ShardID, core.Slots), Groups: groups}
	for i := range p.Slots {
		p.Slots[i] = core.ShardID(i % len(groups))
	}
	return p, nil
}

func find(group []Replica, id uint64) *Replica {
	for i := range group {
		if group[i].ID == id {
			return &group[i]
		}
	}
	return nil
}

// ShardOf is the shard that owns the actor.
func (p *Placement) ShardOf(id core.ActorID) core.ShardID { return p.Slots[id.Slot()] }

// ShardOfSlot is the shard that owns a slot.
func (p *Placement) ShardOfSlot(s core.Slot) core.ShardID { return p.Slots[s] }

// Shards is how many there are.
func (p *Placement) Shards() int { return len(p.Groups) }

// Group is where the shard's replicas run. The first is to lead a new group, and
// is the one to ask while nobody knows who leads.
func (p *Placement) Group(s core.ShardID) []Replica { return p.Groups[s] }

// Home is where the shard's first replica runs.
func (p *Placement) Home(s core.ShardID) proc.Addr { return p.Groups[s][0].Addr }
