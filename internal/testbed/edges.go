package testbed

import (
	"math/rand/v2"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/sim"
	"actordb/sim/fault"
)

// edges cuts the power where it hurts: within the moments in which a name has
// been changed and is not durable yet, a write is under way, or a vote has left. A schedule
// that is drawn beforehand hits these moments too rarely.
type edges struct {
	sim.Files
	run   *run
	store *store
	rand  *rand.Rand
	on    func() bool // while power losses are part of the schedule
}

// The chance of a power loss at an operation is one in so many.
const (
	oddsAtName  = 40
	oddsAtWrite = 4000
	oddsAtVote  = 8
)

// Submit implements sim.Files.
func (e *edges) Submit(op disk.Op) (uint64, time.Duration) {
	ticket, latency := e.Files.Submit(op)
	odds := 0
	switch op.Kind {
	case disk.OpCreate, disk.OpRename, disk.OpRemove, disk.OpSyncDir:
		odds = oddsAtName
	case disk.OpWrite:
		odds = oddsAtWrite
	}
	if odds > 0 && e.on() && e.rand.IntN(odds) == 0 {
		// Until a few operations later: what follows the change is at stake too.
		wait := time.Duration(e.rand.Int64N(int64(4*latency) + 1))
		e.run.world.After(wait, "power loss at "+op.Kind.String(), e.cut)
	}
	return ticket, latency
}

func (e *edges) cut() { e.run.cut(e.store.node, e.rand) }

// cut takes a node's power, for a while.
func (r *run) cut(node proc.NodeID, draws *rand.Rand) {
	if !r.powerMayFail() || !r.world.Up(node) {
		return
	}
	r.disks.hits[fault.PowerLoss]++
	r.world.Crash(node, true)
	down := 20*time.Millisecond + time.Duration(draws.Int64N(int64(500*time.Millisecond)))
	r.world.After(down, "power is back", func() { r.world.Restart(node) })
}

// voted is told that a replica's vote has left it: now it must not forget it.
func (r *run) voted(shard core.ShardID, replica uint64) {
	if !r.powerMayFail() || r.votes.IntN(oddsAtVote) != 0 {
		return
	}
	for _, s := range r.disks.stores {
		if s.identity.Shard == shard && s.identity.Replica == replica {
			// What the vote makes possible needs a moment, and so does what would hide it.
			wait := time.Duration(r.votes.Int64N(int64(2 * time.Millisecond)))
			r.world.After(wait, "power loss at a vote", func() { r.cut(s.node, r.votes) })
		}
	}
}

// Heal implements sim.Healer.
func (e *edges) Heal() { e.store.files.Heal() }
