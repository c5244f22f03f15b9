package shard

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/seal"
)

// apply makes a committed entry take effect.
func (s *Shard) apply(e *pb.Entry) {
	index, term := core.Index(e.GetIndex()), core.Term(e.GetTerm())
	core.Assert(index == s.applied+1, "entry %d applied after %d", index, s.applied)
	s.watchEntry(Took, e)
	data := e.GetData()
	if e.GetType() != pb.EntryNormal {
		data = nil // it changes the group, and that it has done
	}
	if len(data) == 0 { // or a leader's first entry
		s.applied = index
		s.journal.Applied(index)
		if s.leader && term == s.term && !s.leading {
			s.leading = true
			s.headChain, s.promised = s.chain, s.lease
			s.headClock = s.floorClock()
		}
		s.feedApplied(index, nil, false)
		return
	}
	h, err := journal.ParseHeader(data)
	if err != nil {
		s.halt(fmt.Errorf("entry %d: %w", index, err))
		return
	}
	if err := s.tooNew("the block", h.Version); err != nil {
		s.out.Mark(markTooOld)
		s.halt(fmt.Errorf("entry %d: %w", index, err))
		return
	}
	if h.Version >= 2 {
		s.out.Mark(markVersionTwo)
	}
	var f *flight
	if len(s.flights) > 0 && s.flights[0].index == index && s.flights[0].term == term {
		f = s.flights[0]
	}
	if h.Shard != s.cfg.Shard || h.Term != term || h.Extends != s.chain || h.SlotEpoch != s.slotEpoch ||
		h.PolicyEpoch != s.policyEpoch || h.Catalog != s.catalog {
		s.out.Mark(markVoid)
		s.voided++
		s.tap(index, term, data, true)
		s.applied = index
		s.journal.Applied(index)
		s.feedApplied(index, data, true)
		if f != nil {
			s.dropOverlay()
		}
		return
	}
	s.tap(index, term, data, false)
	s.applied, s.clock = index, h.Timestamp
	s.blocks++
	if h.Kind.Moves() { // before anybody is told: who reads what has moved must not be
		b := s.parse(index, data)
		if b == nil {
			return
		}
		if s.applyMove(index, b); s.out.Fault != nil {
			return
		}
	}
	switch {
	case f != nil:
		s.chain = f.chain
		rest := copy(s.flights, s.flights[1:])
		s.flights[rest] = nil
		s.flights = s.flights[:rest]
		s.applyFlight(f)
	default:
		if len(s.flights) > 0 {
			s.dropOverlay() // what is in flight was decided before this block, and stands on nothing now
		}
		b := s.parse(index, data)
		if b == nil {
			return
		}
		s.chain = seal.Chain(s.chain, b.Hash())
		s.headChain, s.headClock = s.chain, s.clock
		if h.Kind == journal.Commands {
			s.applyBlock(index, b)
		}
	}
	s.journal.Applied(index)
	switch h.Kind {
	case journal.Fence:
		s.out.Mark(markFence)
		s.slotEpoch = max(s.slotEpoch, h.Raise)
	case journal.Lease:
		s.applyLease(core.Timestamp(h.Raise))
	case journal.Upgrade:
		s.applyUpgrade(core.Version(h.Raise))
	}
	s.feedApplied(index, data, false)
	s.sessions.Expire(s.clock, s.forget)
	s.checkpoint.bytes += int64(len(data))
}

func (s *Shard) tap(index core.Index, term core.Term, data []byte, void bool) {
	if s.cfg.Tap == nil {
		return
	}
	if b := s.parse(index, data); b != nil {
		s.cfg.Tap(Applied{Shard: s.cfg.Shard, Index: index, Term: term, Timestamp: b.Timestamp, Void: void, Block: b})
	}
}

// parse reads an entry's block into memory that the next parse takes again. It
// halts the node and returns nil if the block cannot be read.
func (s *Shard) parse(index core.Index, data []byte) *journal.Block {
	if err := s.parsed.Parse(data); err != nil {
		s.halt(fmt.Errorf("entry %d: %w", index, err))
		return nil
	}
	return &s.parsed
}

// applyFlight makes a block of this leader's own take effect: the overlay has
// all of it already, so what was head becomes durable, and people are told.
func (s *Shard) applyFlight(f *flight) {
	s.watch(Watched{Did: Acknowledged, Index: f.index, Entry: f.term})
	for i := range f.touched {
		t := &f.touched[i]
		s.advance(t.actor.handle, t.seq, f.index)
		t.actor.flights--
		if t.snapshot != nil {
			s.storeSnapshot(t.actor.handle, t.seq, f.index, t.snapshot)
		}
	}
	for _, p := range f.commands {
		if p.command.Kind.Changes() {
			session := s.sessions.Get(p.command.Session)
			if session == nil {
				core.Assert(false, "session %s of a block in flight is gone", p.command.Session)
			}
			session.Settle(p.command.Number)
			session.Raise(p.command.AckedBelow)
			s.dirtySession(session)
			s.events += uint64(p.recorded.Count)
		}
		a := recordedAnswer(&p.command, &p.recorded)
		s.answer(p.from, &a)
		s.release(p)
	}
	for i := range f.reads {
		s.answerRead(&f.reads[i])
	}
	s.recycle(f)
}

// answerRead tells what was read. A state that outgrew an answer while its block
// was decided is refused.
func (s *Shard) answerRead(r *read) {
	if r.command.Kind < core.Fence && !s.owns(r.slot) { // moved while it waited
		s.reject(r.pending, core.CodeWrongShard, "")
		return
	}
	if len(r.answer.State) > actor.StateBytesMax {
		s.reject(r.pending, core.CodeTooLarge, fmt.Sprintf("state of %d bytes, the limit is %d", len(r.answer.State), actor.StateBytesMax))
		return
	}
	s.answer(r.from, &r.answer)
	s.release(r.pending)
}

// applyBlock makes a block from the log take effect that this incarnation did
// not decide: after a restart, or on a follower.
func (s *Shard) applyBlock(index core.Index, b *journal.Block) {
	s.events += uint64(len(b.Rows()))
	for i := range b.Actors {
		entry := &b.Actors[i]
		if len(entry.Rows) == 0 {
			continue
		}
		handle, k := s.actors.enter(s.actors.hash(entry.ID), entry.ID)
		if entry.First != k.seq+1 {
			s.halt(fmt.Errorf("entry %d: events of %s begin at %d after %d", index, entry.ID, entry.First, k.seq))
			return
		}
		if a := s.memory.of(k); a != nil && a.state != nil {
			for _, ordinal := range entry.Rows {
				if err := s.evolve(s.kindList[a.kind], a.state, b, int(ordinal)); err != nil {
					s.halt(err)
					return
				}
			}
			a.seq += core.Seq(len(entry.Rows))
			a.last = index
		}
		s.advance(handle, k.seq+core.Seq(len(entry.Rows)), index)
	}
	for i := range b.Outcomes {
		o := &b.Outcomes[i]
		session := s.sessions.Admit(o.Session)
		session.Record(&actor.Recorded{Number: o.Number, Digest: o.Digest, Code: o.Code, Detail: o.Detail,
			Seq: o.Seq, Count: o.Count, Timestamp: o.Committed})
		session.Raise(o.AckedBelow)
		s.dirtySession(session)
	}
}

// advance moves an actor's durable end.
func (s *Shard) advance(handle uint32, seq core.Seq, index core.Index) {
	k := s.actors.at(handle)
	if seq <= k.seq || index <= k.last { // arguments of an assertion are allocated
		core.Assert(false, "%s goes from %d to %d", k.id, k.seq, seq)
	}
	k.seq, k.last = seq, index
	if k.uncovered == 0 {
		k.uncovered = index
	}
	s.dirtyActor(handle)
}

func (s *Shard) evolve(kind actor.Kind, state actor.State, b *journal.Block, ordinal int) error {
	r := &b.Rows()[ordinal]
	return kind.Evolve(state, b.Types[r.Type].Name, r.Version, r.Payload, r.Personal)
}
