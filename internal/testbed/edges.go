package testbed

import (
	"math/rand/v2"
	"time"

	"actordb/disk"
	"actordb/sim"
	"actordb/sim/fault"
)

// edges cuts the power where it hurts: within the moments in which a name has
// been changed and is not durable yet, or a large write is under way. A schedule
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

func (e *edges) cut() {
	node := e.store.node
	if !e.on() || !e.run.world.Up(node) {
		return
	}
	e.run.disks.hits[fault.PowerLoss]++
	e.run.world.Crash(node, true)
	down := 20*time.Millisecond + time.Duration(e.rand.Int64N(int64(500*time.Millisecond)))
	e.run.world.After(down, "power is back", func() { e.run.world.Restart(node) })
}

// Heal implements sim.Healer.
func (e *edges) Heal() { e.store.files.Heal() }
