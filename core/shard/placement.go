package shard

import (
	"fmt"

	"actordb/core"
	"actordb/core/proc"
)

// Placement says which shard owns each slot and where the shard's replica runs.
type Placement struct {
	Epoch core.Epoch
	Slots []core.ShardID // by slot
	Homes []proc.Addr    // by shard
}

// Spread deals the slots out to the shards in turn.
func Spread(homes []proc.Addr) (*Placement, error) {
	if len(homes) == 0 || len(homes) > core.Slots {
		return nil, fmt.Errorf("placement over %d shards: want 1 to %d", len(homes), core.Slots)
	}
	p := &Placement{Slots: make([]core.ShardID, core.Slots), Homes: homes}
	for i := range p.Slots {
		p.Slots[i] = core.ShardID(i % len(homes))
	}
	return p, nil
}

// ShardOf is the shard that owns the actor.
func (p *Placement) ShardOf(id core.ActorID) core.ShardID { return p.Slots[id.Slot()] }

// ShardOfSlot is the shard that owns a slot.
func (p *Placement) ShardOfSlot(s core.Slot) core.ShardID { return p.Slots[s] }

// Home is where the shard runs.
func (p *Placement) Home(s core.ShardID) proc.Addr { return p.Homes[s] }
