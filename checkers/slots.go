package checkers

import (
	"actordb/core"
)

// A SlotRecord is what an entry of a shard's log says of slots, when it takes effect.
type SlotRecord struct {
	Shard     core.ShardID
	Index     core.Index
	Timestamp core.Timestamp
	Did       string       // one of the constants below
	ID, Based core.Epoch   // of the move; Based: Offered
	From, To  core.ShardID // of the move
	Slots     []core.Slot
}

// What a log can say of slots.
const (
	Decided = "decided" // commands for actors of these slots
	Offered = "offered" // the source sets them aside for a move
	Handed  = "handed"  // the source gives them away
	Owned   = "owned"   // the destination takes them for its own
	Dropped = "dropped" // the source sets them aside no more
)

// Slots watches that a slot has one owner in each epoch, and that nobody else decides
// for it, while the records stream in.
//
// Law, in the order in which entries first take effect anywhere:
//
//   - a shard decides commands of a slot only while it owns it: from the beginning, or from its taking over
//     on, up to its handing over
//
//   - a plan is offered only for slots that the shard owns, that no other plan has, and whose last
//     move the plan knew of
//
//   - what is handed over was offered, and what is taken over was handed over to that shard by that move,
//     at an earlier time; so no two own a slot in an epoch
//
// Examined counts decisions by slot, and moves.
type Slots struct {
	genesis func(core.Slot) core.ShardID
	at      map[core.ShardID]core.Index // taken in up to here
	slots   [core.Slots]slotFact
	result  Result
	moved   int
}

// slotFact is where a slot is.
type slotFact struct {
	known  bool
	owner  core.ShardID
	owned  bool // else it is on its way from the owner to
	to     core.ShardID
	epoch  core.Epoch
	offer  core.Epoch // 0: none
	handed core.Timestamp
}

// NewSlots makes one for slots that are dealt out so in the beginning.
func NewSlots(genesis func(core.Slot) core.ShardID) *Slots {
	return &Slots{genesis: genesis, at: map[core.ShardID]core.Index{}, result: Result{Name: "slots", Verdict: Pass}}
}

// Result is the verdict so far.
func (s *Slots) Result() Result { return s.result }

// Moved counts the slots taken over.
func (s *Slots) Moved() int { return s.moved }

func (s *Slots) of(slot core.Slot) *slotFact {
	f := &s.slots[slot]
	if !f.known {
		f.known, f.owner, f.owned = true, s.genesis(slot), true
	}
	return f
}

// Add takes in what an entry says. Those of one entry come together; repetitions by
// other replicas are passed over. r is not kept.
func (s *Slots) Add(r *SlotRecord) {
	if r.Index <= s.at[r.Shard] {
		return
	}
	s.at[r.Shard] = r.Index
	s.result.Examined += len(r.Slots)
	for _, slot := range r.Slots {
		s.judge(r, slot, s.of(slot))
	}
}

func (s *Slots) judge(r *SlotRecord, slot core.Slot, f *slotFact) {
	mine := f.owned && f.owner == r.Shard
	switch r.Did {
	case Decided:
		if !mine {
			s.result.fail("shard %d entry %d: commands of slot %d are decided, which belongs to shard %d (owned %t) since move %d", r.Shard, r.Index, slot, f.owner, f.owned, f.epoch)
		}
	case Offered:
		if !mine || f.offer != 0 || f.epoch > r.Based || r.ID <= f.epoch {
			s.result.fail("shard %d entry %d: a stale plan wins: move %d of slot %d, made at epoch %d; the slot is shard %d's since move %d, set aside for move %d",
				r.Shard, r.Index, r.ID, slot, r.Based, f.owner, f.epoch, f.offer)
		}
		f.offer = r.ID
	case Dropped:
		if mine && f.offer == r.ID {
			f.offer = 0
		}
	case Handed:
		if !mine || f.offer != r.ID {
			s.result.fail("shard %d entry %d: slot %d is handed over by move %d, but belongs to shard %d (owned %t) and is set aside for move %d", r.Shard, r.Index, slot, r.ID, f.owner, f.owned, f.offer)
		}
		f.owned, f.to, f.offer, f.handed, f.epoch = false, r.To, 0, r.Timestamp, r.ID
	case Owned:
		if f.owned || f.to != r.Shard || f.epoch != r.ID || r.Timestamp <= f.handed {
			s.result.fail("shard %d entry %d at %s: two owners: slot %d is taken over by move %d, but it is shard %d's (owned %t) by move %d, handed to shard %d at %s",
				r.Shard, r.Index, r.Timestamp, slot, r.ID, f.owner, f.owned, f.epoch, f.to, f.handed)
		}
		f.owned, f.owner = true, r.Shard
		s.moved++
	}
}
