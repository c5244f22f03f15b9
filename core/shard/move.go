package shard

import (
	"encoding/binary"
	"fmt"
	"strings"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/disk"
)

// A move of slots, in the order of its blocks:
//
//	Offer   at the source: the plan is compared with what the source owns, and the
//	        slots are set aside for it. Two plans for one slot: the second is stale.
//	Adopt   at the destination, which the source's leader asks for it. From now on
//	        the destination's leader follows the source's blocks (taking.go).
//	Import  at the destination, again and again: what the source's blocks say of the
//	        actors of these slots, with the outcomes by which commands that are
//	        repeated are known.
//	Hand    at the source, which the destination asks for when it has caught up. It
//	        is the fence, and who owns the slots is decided here.
//	Import  the last one, with all that stood before the Hand, which is its proof: the
//	        destination owns the slots once it is applied.
//
//	M1  A slot has one owner in each epoch: the source up to its Hand, the destination
//	    from its last Import on, which is stamped later. Between them it has none, and
//	    commands wait at the gateways.
//	M2  What the source acknowledged stands before its Hand, hence is imported: events,
//	    and answers.
//	M3  An Offer ends with a Hand or a Drop in the source's log. The destination gives
//	    a move up only when a leader that was confirmed after its question says that
//	    there is no such offer; an Adopt of a move that was given up finds that out
//	    again.
//
// What a shard has handed over it keeps: its log is what others import from, and when
// a slot comes back only what is new is imported.

// Verbs of a Move, in its command's Type. A payload is a move; that of verbBase is
// followed by the key to go on from; verbSlots has none.
const (
	VerbOffer    = "offer"    // of operators: plan it; again: how far is it? The answer's Count is 1 when the source has handed over
	VerbWithdraw = "withdraw" // of operators: give it up, unless it has been handed over
	VerbSlots    = "slots"    // of operators: which slots are yours? (DecodeHolding)
	verbAdopt    = "adopt"    // of the source's leader
	verbRelease  = "release"  // of the destination's leader
	verbBase     = "base"     // likewise: what you have compacted
)

const (
	markOffer      proc.Mark = "shard.slots-offered"
	markStalePlan  proc.Mark = "shard.plan-stale"
	markAdopt      proc.Mark = "shard.slots-adopted"
	markImport     proc.Mark = "shard.history-imported"
	markBase       proc.Mark = "shard.state-imported"
	markHand       proc.Mark = "shard.slots-handed-over"
	markHandUnread proc.Mark = "shard.hand-came-as-state"
	markOwned      proc.Mark = "shard.slots-taken-over"
	markDrop       proc.Mark = "shard.move-given-up"
	markMoved      proc.Mark = "shard.refused-moved"
)

// owns tells whether commands for a slot are this shard's to decide.
func (s *Shard) owns(slot core.Slot) bool { return s.slots.Of(slot).Owner == s.cfg.Shard }

// toward fills in where a slot is, as far as this shard knows.
func (s *Shard) toward(a *core.Answer, slot core.Slot) {
	if t := s.slots.Of(slot); t.Owner != s.cfg.Shard {
		a.Seq, a.Count = core.Seq(t.Epoch), uint32(t.Owner)+1
	}
}

// moveDoor checks a Move at the door.
func (s *Shard) moveDoor(c *core.Command) (core.Code, string) {
	operators := false
	switch c.Type {
	case VerbOffer, VerbWithdraw, VerbSlots:
		operators = true
	case verbAdopt, verbRelease, verbBase:
	default:
		return core.CodeMalformed, clip("no such verb of a move: " + c.Type)
	}
	switch {
	case operators && !s.operator(c.Principal):
		return core.CodeNotPermitted, "only operators move slots"
	case !operators && !s.trusted(string(c.Principal)):
		return core.CodeNotPermitted, "only shards speak so to each other"
	case c.Type == VerbSlots:
		return core.CodeNone, ""
	}
	m, _, err := moveOf(c)
	switch {
	case err != nil:
		return core.CodeMalformed, clip(err.Error())
	case int(m.From) >= s.cfg.Placement.Shards() || int(m.To) >= s.cfg.Placement.Shards():
		return core.CodeMalformed, "a move from or to a shard that there is not"
	case c.Type == verbAdopt && m.To != s.cfg.Shard, c.Type != verbAdopt && m.From != s.cfg.Shard:
		return core.CodeMalformed, "a move of other shards"
	}
	return core.CodeNone, ""
}

// moveOf reads the move that a command is about, and what follows it.
func moveOf(c *core.Command) (m Move, rest []byte, err error) {
	r := fields{b: c.Payload}
	m = r.move()
	if r.err == nil && c.Type == verbBase {
		return m, c.Payload[r.at:], nil
	}
	if err := r.end(); err != nil {
		return m, nil, fmt.Errorf("%w: %w", ErrMove, err)
	}
	return m, nil, nil
}

// moved answers a Move that needs no block; else it returns the block's kind.
func (s *Shard) moved(p *pending) journal.BlockKind {
	c, h := &p.command, &s.slots
	if c.Type == VerbSlots {
		s.reads = append(s.reads, read{pending: p, answer: core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
			Status: core.Accepted, Timestamp: s.clock, State: h.append(nil)}})
		return 0
	}
	m, rest, err := moveOf(c)
	if err != nil {
		core.Assert(false, "a move passed the door: %v", err)
	}
	switch c.Type {
	case VerbOffer:
		epoch, stale := h.stale(&m)
		switch {
		case h.done(&m):
			s.accept(p, 1)
		case h.offer(&m) >= 0:
			s.accept(p, 0)
		case stale:
			s.out.Mark(markStalePlan)
			s.answer(p.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.RefusedAtDoor,
				Code: core.CodeStalePlan, Seq: core.Seq(epoch)})
			s.release(p)
		case len(h.offers) >= offersMax:
			s.reject(p, core.CodeOverloaded, "too many moves are under way")
		default:
			return journal.Offer
		}
	case VerbWithdraw:
		if h.offer(&m) >= 0 {
			return journal.Drop
		}
		count := uint32(0)
		if h.done(&m) {
			count = 1
		}
		s.accept(p, count)
	case verbAdopt:
		switch in := h.incoming; {
		case in != nil && in.Same(&m), s.taken(&m):
			s.accept(p, 0)
		case in != nil:
			s.reject(p, core.CodeOverloaded, "another move comes in")
		default:
			return journal.Adopt
		}
	case verbRelease:
		switch {
		case h.done(&m): // in an entry that is applied, and maybe compacted
			s.answer(p.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, Count: 1,
				Seq: core.Seq(s.applied), Timestamp: s.clock})
			s.release(p)
		case h.offer(&m) >= 0:
			return journal.Hand
		default: // told when this leader is confirmed: it must not be a late word (M3)
			s.reads = append(s.reads, read{pending: p, answer: core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
				Status: core.RefusedAtDoor, Code: core.CodeStalePlan}})
		}
	case verbBase:
		s.giveBase(p, &m, rest)
	}
	return 0
}

func (s *Shard) accept(p *pending, count uint32) {
	c := &p.command
	s.answer(p.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, Count: count, Timestamp: s.clock})
	s.release(p)
}

// taken tells whether this shard has been the owner by a move, or by a later one.
func (s *Shard) taken(m *Move) bool {
	for _, slot := range m.Slots {
		if s.slots.Of(slot).Epoch >= m.ID {
			return true
		}
	}
	return false
}

// proposeMove puts a Move's block into the log.
func (s *Shard) proposeMove(p *pending, kind journal.BlockKind) bool {
	m, _, err := moveOf(&p.command)
	if err != nil {
		core.Assert(false, "a move passed the door: %v", err)
	}
	f := s.newFlight(kind)
	if kind == journal.Hand {
		f.header.Raise = s.slotEpoch + 1 // what is decided behind it, before it is applied, is void
	}
	p.recorded.Timestamp = f.header.Timestamp
	f.commands = append(f.commands, p)
	data, hash := journal.EncodeNote(f.header, m.Append(nil))
	return s.launch(f, data, hash, s.journal.Last()+1)
}

// applyMove makes a block of a move take effect.
func (s *Shard) applyMove(index core.Index, b *journal.Block) {
	h := &s.slots
	if b.Kind == journal.Import {
		s.applyImport(index, b)
		return
	}
	m, err := DecodeMove(b.Note())
	if err != nil {
		s.halt(fmt.Errorf("entry %d: %w", index, err))
		return
	}
	i := h.offer(&m)
	switch b.Kind {
	case journal.Offer:
		s.out.Mark(markOffer)
		h.offers = append(h.offers, m)
	case journal.Adopt:
		s.out.Mark(markAdopt)
		h.incoming = &incoming{Move: m, next: 1}
	case journal.Hand:
		s.out.Mark(markHand)
		h.offers = append(h.offers[:i:i], h.offers[i+1:]...)
		h.set(m.Slots, Tenure{m.To, m.ID})
		s.slotEpoch = max(s.slotEpoch, b.Raise)
	case journal.Drop:
		s.out.Mark(markDrop)
		if i >= 0 {
			h.offers = append(h.offers[:i:i], h.offers[i+1:]...)
			h.burnt = max(h.burnt, m.ID)
		} else if h.incoming != nil && h.incoming.Same(&m) {
			h.incoming = nil
		}
	}
}

// An Imported is the note of an Import: u id  u next  z reached  u8 flags (1: the last
// one, 2: what the source had compacted is complete), then pairs of the source's derived store,
// as a chunk of a fetch has them: snapshots of actors, sessions.
type Imported struct {
	ID      core.Epoch
	Next    core.Index     // the source's entries before it are imported, 0: this says nothing of them
	Reached core.Timestamp // of the last of these
	Last    bool
	Whole   bool // all is imported that the source had compacted
	Pairs   []disk.Pair
}

func (n *Imported) encode(pairs []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(n.ID))
	b = binary.AppendUvarint(b, uint64(n.Next))
	b = binary.AppendVarint(b, int64(n.Reached))
	flags := byte(0)
	if n.Last {
		flags |= 1
	}
	if n.Whole {
		flags |= 2
	}
	return append(append(b, flags), pairs...)
}

// DecodeImport reads the note of an Import. The pairs alias it.
func DecodeImport(note []byte) (n Imported, err error) {
	r := fields{b: note}
	n.ID, n.Next = core.Epoch(r.uvarint()), core.Index(r.uvarint())
	v, k := binary.Varint(r.b[r.at:])
	if r.at += k; k <= 0 {
		r.fail()
	}
	n.Reached = core.Timestamp(v)
	flags := r.bytes(1)
	if r.err != nil || flags[0] > 3 {
		return n, fmt.Errorf("%w: the note of an import of %d bytes", ErrMove, len(note))
	}
	n.Last, n.Whole = flags[0]&1 != 0, flags[0]&2 != 0
	if n.Pairs, err = pairsOf(note[r.at:]); err != nil {
		return n, fmt.Errorf("%w: %w", ErrMove, err)
	}
	return n, nil
}

// Bases visits the states of actors that an Import brings, each as of a sequence:
// events up to there are not in this shard's log.
func (n *Imported) Bases(visit func(id core.ActorID, seq core.Seq)) error {
	v := DerivedVisitor{
		Position: func(Position) error { return nil },
		Actor:    func(DerivedActor) error { return nil },
		Session:  func(*actor.Session) error { return nil },
		Snapshot: func(d DerivedSnapshot) error { visit(d.ID, d.Seq); return nil },
	}
	for _, p := range n.Pairs {
		if err := v.Visit(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

// applyImport takes over what another shard's log had.
func (s *Shard) applyImport(index core.Index, b *journal.Block) {
	n, err := DecodeImport(b.Note())
	in := s.slots.incoming
	if err == nil && (in == nil || in.ID != n.ID) {
		err = fmt.Errorf("import of move %d, which does not come in", n.ID)
	}
	if err == nil && len(n.Pairs) > 0 {
		err = s.importPairs(index, n.Pairs)
	}
	if err != nil {
		s.halt(fmt.Errorf("entry %d: %w", index, err))
		return
	}
	s.out.Mark(markImport)
	if s.applyBlock(index, b); s.out.Fault != nil {
		return
	}
	if n.Next > 0 {
		in.next = max(in.next, n.Next)
	}
	in.base = in.base || n.Whole
	if n.Last {
		s.out.Mark(markOwned)
		s.slots.set(in.Slots, Tenure{s.cfg.Shard, in.ID})
		s.slots.incoming = nil
	}
	if s.taking != nil {
		s.taking.flying = false
	}
}

// importPairs takes over states of actors and what sessions were told. Either may be
// known here, in part or a newer one: nothing is taken back.
func (s *Shard) importPairs(index core.Index, pairs []disk.Pair) error {
	v := DerivedVisitor{
		Position: func(Position) error { return nil },
		Actor:    func(DerivedActor) error { return nil },
		Session: func(told *actor.Session) error {
			session := s.sessions.Admit(told.ID)
			for i := range told.Answers {
				session.Record(&told.Answers[i])
			}
			session.Raise(told.Floor)
			s.dirtySession(session)
			return nil
		},
		Snapshot: func(d DerivedSnapshot) error {
			if s.kindOf(d.ID) == nil {
				return fmt.Errorf("%s was moved here, of a type that is not known", d.ID)
			}
			handle, k := s.actors.enter(s.actors.hash(d.ID), core.ActorID(strings.Clone(string(d.ID))))
			if d.Seq <= k.seq {
				return nil
			}
			s.out.Mark(markBase)
			if a := s.memory.of(k); a != nil && a.state != nil {
				s.memory.remove(a, k)
			}
			if s.holding() {
				s.endGiving() // this state stands nowhere else
			}
			k.seq, k.last, k.uncovered = d.Seq, 0, 0
			s.storeSnapshot(handle, d.Seq, index, append([]byte(nil), d.State...))
			return nil
		},
	}
	for _, p := range pairs {
		if err := v.Visit(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}
