package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/seal"
)

// A flight is a block between its proposal and its commit.
type flight struct {
	index    core.Index
	term     core.Term
	header   journal.Header
	chain    seal.Hash // after the block
	commands []*pending
	touched  []touched
	reads    []read // of states that the block made
}

// touched is an actor with events in a block, as it is after it.
type touched struct {
	actor    *hot
	seq      core.Seq
	snapshot []byte // of the state after the block, when one is due
}

// read is a Read or History that waits to be confirmed.
type read struct {
	*pending
	answer core.Answer
	actor  *hot // whose state the answer gets when the block is closed, or nil
}

// pump decides what is in the mailbox, a block at a time, as long as the
// pipeline has room. It reports whether it proposed anything.
func (s *Shard) pump() bool {
	progress := false
	if !s.leading {
		for p, ok := s.fetch(); ok; p, ok = s.fetch() {
			if s.behind || !p.command.Anywhere() {
				s.reject(p, core.CodeNotLeader, "")
			} else {
				s.decideRead(p)
			}
		}
	}
	for s.leading && s.mailbox.len() > 0 && len(s.flights) < s.cfg.Pipeline {
		if !s.journal.Room(s.cfg.BlockBytes, s.out) {
			s.watchSpace()
			if s.journal.Full() {
				s.refuseForSpace()
			}
			return progress
		}
		if !s.buildBlock() {
			return progress
		}
		progress = true
		s.drainRaft() // the proposal gets its index now
	}
	return progress
}

// refuseForSpace empties the mailbox of what needs space. Reads go on, and so do
// repetitions of what is recorded.
func (s *Shard) refuseForSpace() {
	for p, ok := s.fetch(); ok; p, ok = s.fetch() {
		switch {
		case p.command.Kind == core.Read || p.command.Kind == core.History:
			s.decideRead(p)
		case p.command.Kind == core.Fence && s.fenced(p), p.command.Kind == core.Move && s.moved(p) == 0:
		case p.command.Kind.Changes() && !s.isNew(p, s.nextTimestamp()):
		default:
			s.out.Mark(markDiskFull)
			s.reject(p, core.CodeDiskFull, "")
		}
	}
}

// buildBlock decides commands until the block or the mailbox is at its end, and
// proposes the block unless it is empty.
func (s *Shard) buildBlock() bool {
	f := s.newFlight(journal.Commands)
	s.building = f
	s.builder.Start(f.header)
	s.lightBytes = 0
	for !s.blockFull() {
		p, ok := s.fetch()
		if !ok {
			break
		}
		switch p.command.Kind {
		case core.Decide, core.Append:
			s.decide(p)
		case core.Fence, core.Move:
			kind := s.ownBlock(p)
			if kind == 0 {
				continue
			}
			if s.builder.Commands() > 0 || kind != journal.Fence && len(s.flights) > 0 {
				s.putBack(p)
				if s.builder.Commands() > 0 {
					return s.propose(f)
				}
				s.building = nil
				s.recycle(f)
				return false // a move is judged by what is applied: it waits for what is in flight
			}
			s.building = nil
			s.recycle(f)
			if kind == journal.Fence {
				return s.proposeFence(p)
			}
			return s.proposeMove(p, kind)
		case core.Regroup:
			if s.builder.Commands() > 0 {
				s.putBack(p) // what it proposes must not come between a block and its index
				return s.propose(f)
			}
			s.building = nil
			s.recycle(f)
			s.regroupAsked(p)
			return true
		default:
			s.decideRead(p)
		}
	}
	if s.builder.Commands() == 0 {
		s.building = nil
		s.recycle(f)
		return false
	}
	return s.propose(f)
}

// ownBlock tells which block of its own a Fence or a Move needs; without one it is
// answered.
func (s *Shard) ownBlock(p *pending) journal.BlockKind {
	switch {
	case p.command.Kind == core.Move:
		return s.moved(p)
	case s.fenced(p):
		return 0
	}
	return journal.Fence
}

// blockFull tells whether the block being built takes no further command. It
// takes one at least.
func (s *Shard) blockFull() bool {
	n := s.builder.Commands()
	return n >= s.cfg.BlockCommands || n > 0 && s.builder.Bytes()+s.lightBytes >= s.cfg.BlockBytes ||
		s.builder.Events()+core.CommandEventsMax > journal.BlockEventsMax
}

// newFlight begins a block on top of all that is in flight.
func (s *Shard) newFlight(kind journal.BlockKind) *flight {
	f := &flight{}
	if n := len(s.idleFlights); n > 0 {
		f = s.idleFlights[n-1]
		s.idleFlights = s.idleFlights[:n-1]
	}
	f.term = s.term
	f.header = journal.Header{
		Kind: kind, Shard: s.cfg.Shard, Extends: s.headChain, Term: s.term,
		SlotEpoch: s.slotEpoch, PolicyEpoch: s.policyEpoch, Catalog: s.catalog,
		Timestamp: max(core.Timestamp(s.now.Wall), s.headClock+1),
	}
	s.writeIn(&f.header, s.version)
	return f
}

// nextTimestamp is what the next block's would be: the shard's clock.
func (s *Shard) nextTimestamp() core.Timestamp {
	return max(core.Timestamp(s.now.Wall), s.headClock+1)
}

// recycle keeps a flight's memory for the next one.
func (s *Shard) recycle(f *flight) {
	clear(f.commands)
	clear(f.touched)
	clear(f.reads)
	*f = flight{commands: f.commands[:0], touched: f.touched[:0], reads: f.reads[:0]}
	if len(s.idleFlights) <= s.cfg.Pipeline {
		s.idleFlights = append(s.idleFlights, f)
	}
}

// warm returns the actor in memory, or nil when the command was parked until
// it is.
func (s *Shard) warm(p *pending) *hot {
	handle, k := s.actors.enter(p.hash, p.command.Actor)
	a := s.memory.of(k)
	if a == nil {
		a = s.heat(handle, k)
	} else {
		s.memory.use(a)
	}
	if a.state != nil {
		return a
	}
	a.hydration.waiting = append(a.hydration.waiting, p)
	s.waiting++
	s.hydrate(a)
	return nil
}

// isNew tells whether a command is to be run. If not, it has been dealt with.
func (s *Shard) isNew(p *pending, now core.Timestamp) bool {
	c := &p.command
	verdict, recorded, code := s.sessions.Look(c, p.recorded.Digest, now)
	switch {
	case verdict == actor.Run:
		return true
	case verdict == actor.Decline:
		s.reject(p, code, "")
	case verdict == actor.Repeated && recorded.Pending:
		// The first one's answer is on its way; should it get lost, the next
		// repetition finds it recorded.
		s.out.Mark(markInFlight)
		s.release(p)
	default:
		s.out.Mark(markDuplicate)
		a := recordedAnswer(c, recorded)
		s.answer(p.from, &a)
		s.release(p)
	}
	return false
}

// decide runs one command against the head state and puts its outcome into the block.
func (s *Shard) decide(p *pending) {
	c := &p.command
	if !s.owns(p.slot) {
		s.reject(p, core.CodeWrongShard, "")
		return
	}
	if !s.isNew(p, s.builder.Timestamp()) {
		return
	}
	a := s.warm(p)
	if a == nil {
		return
	}
	outcome := journal.Outcome{Session: c.Session, Number: c.Number, AckedBelow: c.AckedBelow,
		Digest: p.recorded.Digest, Principal: c.Principal, Seq: a.seq}
	s.decision.Reset()
	if c.Expected != core.AnySeq && c.Expected != a.seq {
		outcome.Code = core.CodeWrongSeq
	} else {
		refusal, err := s.kindList[a.kind].Decide(a.state, c, &s.decision)
		switch {
		case errors.Is(err, actor.ErrNoSuchCommand):
			s.reject(p, core.CodeUnknownType, clip("no such command: "+c.Type))
			return
		case err != nil:
			outcome.Code, outcome.Detail = core.CodeBadPayload, clip(err.Error())
		case refusal != nil:
			outcome.Code, outcome.Detail = refusal.Code, clip(refusal.Detail)
		}
	}
	s.record(p, a, &outcome)
}

func clip(detail string) string { return detail[:min(len(detail), core.DetailBytesMax)] }

// record adds a decided command to the block and to the overlay.
func (s *Shard) record(p *pending, a *hot, o *journal.Outcome) {
	b, f := s.builder, s.building
	generation := b.Generation()
	if a.generation != generation {
		a.generation, a.touched = generation, false
		a.entry = int32(b.Actor(s.actors.at(a.handle).id, a.last, a.seq+1))
	}
	o.Actor = int(a.entry)
	if o.Code == core.CodeNone {
		for i := range s.decision.Events {
			e := &s.decision.Events[i]
			if e.EventTime == 0 {
				e.EventTime = b.Timestamp()
			}
			a.seq++
			b.Event(int(a.entry), a.seq, e)
		}
		o.Seq, o.Count = a.seq, uint32(len(s.decision.Events))
		if o.Count > 0 && !a.touched {
			a.touched = true
			a.flights++
			s.lightBytes += int(a.light)
			f.touched = append(f.touched, touched{actor: a})
		}
	} else {
		s.out.Mark(markRefused)
	}
	session := s.sessions.Admit(p.command.Session)
	if session.Generation != generation {
		session.Generation, session.Entry = generation, b.Session(session.ID)
	}
	b.Outcome(session.Entry, int(a.entry), o)
	p.recorded = actor.Recorded{Number: o.Number, Digest: o.Digest, Code: o.Code, Detail: o.Detail, Seq: o.Seq,
		Count: o.Count, Timestamp: b.Timestamp(), Pending: true}
	session.Record(&p.recorded)
	f.commands = append(f.commands, p)
}

func recordedAnswer(c *core.Command, r *actor.Recorded) core.Answer {
	a := core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted,
		Code: r.Code, Detail: r.Detail, Seq: r.Seq, Count: r.Count, Timestamp: r.Timestamp}
	if r.Code != core.CodeNone {
		a.Status = core.Refused
	}
	return a
}

// propose closes the block and hands it to Raft.
func (s *Shard) propose(f *flight) bool {
	next := s.journal.Last() + 1
	for i := range f.touched {
		t := &f.touched[i]
		a := t.actor
		t.seq, a.last = a.seq, next
		kind := s.kindList[a.kind]
		policy := &kind.policy
		if due := a.seq-a.snap >= policy.Every(); due || policy.Light {
			state := kind.AppendState(s.scratch[:0], a.state)
			if len(state) > actor.StateBytesMax {
				state = nil // it is folded from events instead
			}
			if a.light = 0; policy.Light {
				a.light = uint32(len(state))
			}
			if state != nil && policy.Light && s.builder.Bytes()+len(state) <= blockBytesMax {
				s.builder.State(int(a.entry), a.seq, state)
			}
			if state != nil && due {
				t.snapshot = append([]byte(nil), state...)
				a.snap = a.seq
			}
			s.keepScratch(state)
		}
	}
	for i := range f.reads { // all of the block, so that the answer is that of a cut
		if r := &f.reads[i]; r.actor != nil {
			s.readState(r)
		}
	}
	data, hash := s.builder.Finish()
	return s.launch(f, data, hash, next)
}

func (s *Shard) keepScratch(b []byte) {
	if cap(b) <= reuseAnswer && cap(b) > cap(s.scratch) {
		s.scratch = b[:0]
	}
}

// fenced answers a fence that is in force already: it needs no block.
func (s *Shard) fenced(p *pending) bool {
	c := &p.command
	if core.Epoch(binary.LittleEndian.Uint64(c.Payload)) > s.slotEpoch {
		return false
	}
	s.answer(p.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted,
		Detail: fmt.Sprintf("the epoch is %d already", s.slotEpoch), Timestamp: s.clock})
	s.release(p)
	return true
}

func (s *Shard) proposeFence(p *pending) bool {
	c := &p.command
	f := s.newFlight(journal.Fence)
	f.header.Raise = core.Epoch(binary.LittleEndian.Uint64(c.Payload))
	p.recorded.Timestamp = f.header.Timestamp
	f.commands = append(f.commands, p)
	data, hash := journal.EncodeEmpty(f.header)
	return s.launch(f, data, hash, s.journal.Last()+1)
}

// launch proposes a block. The leader alone proposes, so its index is known.
func (s *Shard) launch(f *flight, data []byte, hash seal.Hash, index core.Index) bool {
	f.index = index
	f.chain = seal.Chain(s.headChain, hash)
	s.headChain, s.headClock = f.chain, f.header.Timestamp
	s.flights = append(s.flights, f)
	s.building = nil
	if err := s.node.Propose(data); err != nil {
		s.dropOverlay() // the term was lost
		return false
	}
	s.lastAppend = s.now.Mono
	s.armIdle(s.now.Mono + idleAfter)
	return true
}

// dropOverlay takes back every block in flight: actors that they touched leave
// memory, and their commands are decided again, in order, or answered if this
// replica leads no more.
func (s *Shard) dropOverlay() {
	flights := s.flights
	s.flights, s.building, s.taking = nil, nil, nil
	s.headChain, s.headClock = s.chain, s.floorClock()
	var again, readers []*pending
	for _, f := range flights {
		for i := range f.touched {
			if a := f.touched[i].actor; a.self != 0 { // an earlier flight may have touched it too
				s.cool(a)
			}
		}
		for _, p := range f.commands {
			s.sessions.Forget(p.command.Session, p.command.Number)
		}
		again = append(again, f.commands...)
		for i := range f.reads {
			readers = append(readers, f.reads[i].pending)
		}
	}
	if len(again) > 0 {
		s.out.Mark(markRedecide)
	}
	s.putBack(readers...)
	if s.leader {
		s.putBack(again...)
		return
	}
	for i := range again {
		// The block may still be committed by another leader.
		c := &again[i].command
		s.answer(again[i].from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
			Status: core.Unknown, Code: core.CodeNotLeader})
		s.release(again[i])
	}
}

// decideRead answers from the head state, once the blocks that made it are
// committed and it is known to be as new as the read asks for: unless that asks for
// less, when the replica is known to lead still.
func (s *Shard) decideRead(p *pending) {
	c := &p.command
	r := read{pending: p, answer: core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
		Status: core.Accepted, Timestamp: s.clock}}
	if !s.owns(p.slot) {
		s.reject(p, core.CodeWrongShard, "")
		return
	}
	if !s.reaches(p) {
		s.await(p)
		return
	}
	handle, k := s.actors.find(p.hash, c.Actor)
	switch {
	case c.Kind == core.History:
		s.history(p, handle, k)
		return
	case k == nil:
		kind := s.kindOf(c.Actor)
		r.answer.State = kind.AppendState(nil, kind.New(c.Actor))
		s.ready(r)
		return
	}
	if r.actor = s.warm(p); r.actor == nil {
		return
	}
	a := r.actor
	if s.readState(&r); len(r.answer.State) > actor.StateBytesMax {
		s.reject(p, core.CodeTooLarge, fmt.Sprintf("state of %d bytes, the limit is %d", len(r.answer.State), actor.StateBytesMax))
		return
	}
	switch {
	case a.touched && a.generation == s.builder.Generation() && s.building != nil:
		r.answer.Timestamp = s.builder.Timestamp()
		s.building.reads = append(s.building.reads, r)
	case a.flights > 0:
		f := s.flights[len(s.flights)-1]
		r.answer.Timestamp, r.actor = f.header.Timestamp, nil
		f.reads = append(f.reads, r)
	default:
		r.actor = nil
		s.ready(r)
	}
}

// readState puts the head state into an answer.
func (s *Shard) readState(r *read) {
	r.answer.Seq = r.actor.seq
	r.answer.State = s.kindList[r.actor.kind].AppendState(r.answer.State[:0], r.actor.state)
}
