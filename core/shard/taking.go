package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
	corefeed "actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/net/wire"
)

// taking is what the leader of a move's destination does: it follows the source's
// blocks and puts what concerns the slots into its own log, one Import at a time. A
// later leader goes on where the last Import ended that took effect.
type taking struct {
	set    [core.Slots]bool
	feed   *corefeed.Feed
	block  *journal.Block // read, not imported
	index  core.Index     // of block
	next   core.Index     // the source's entries before it are seen
	flying bool           // an Import is in flight
	based  bool           // a page of the base is awaited
	floor  core.Index     // of the source, when the base's first page was made
	page   []byte         // the key that the next page begins at; nil: no base is being fetched
	over   bool           // the source says that there is no such move
}

// courier is how a shard's leader asks another shard's: the same question again and
// again, of one replica after the other until one leads.
type courier struct {
	target int
	wait   int
}

const (
	courierWait  = 3  // ticks for an answer
	courierRest  = 20 // ticks until it is asked again whether what was said still holds
	importBlocks = 256
	importWindow = 1 << 20
)

// movesOn goes on with the move that comes in, at a step's end.
func (s *Shard) movesOn() {
	in := s.slots.incoming
	if in == nil || !s.leading || s.out.Fault != nil {
		s.taking = nil
		return
	}
	t := s.taking
	if t == nil {
		t = &taking{next: in.next}
		for _, slot := range in.Slots {
			t.set[slot] = true
		}
		s.taking, s.releases = t, courier{}
	}
	for s.taking == t && !t.flying && len(s.flights) < s.cfg.Pipeline && !s.unknown() && s.out.Fault == nil {
		if t.over {
			s.giveUp(in)
			return
		}
		if t.page != nil {
			return // the base comes first
		}
		if t.feed == nil {
			s.startTaking(t, in)
		}
		if !s.takeSome(t, in) {
			return
		}
	}
}

func (s *Shard) startTaking(t *taking, in *incoming) {
	source := corefeed.Source{Shard: in.From}
	for _, r := range s.atlas.Group(in.From) {
		source.Homes = append(source.Homes, r.Addr)
	}
	cfg := corefeed.Config{Sources: []corefeed.Source{source}, Peers: s.cfg.TrustedPeers, Window: importWindow, Timer: timerMove, Tick: corefeed.TickDefault}
	t.feed = corefeed.New(cfg, corefeed.Position{Next: []core.Index{t.next}}, s.env.Rand)
	t.feed.Start(s.now, s.out)
}

// takeFrame hands a frame of blocks to the move.
func (s *Shard) takeFrame(in *proc.Input) {
	if t := s.taking; t != nil && t.feed != nil {
		t.feed.Receive(s.now, in.Peer, in.Frame, s.out)
	}
}

// takeSome imports what has come, and reports whether it proposed anything.
func (s *Shard) takeSome(t *taking, in *incoming) bool {
	if err := t.feed.Err(); err != nil {
		t.feed, t.block = nil, nil
		if gone := (*corefeed.CompactedError)(nil); errors.As(err, &gone) {
			t.page, t.floor = []byte{keySnapshot}, 0 // what is compacted is to be had as state
			s.base = courier{}
			return false
		}
		s.halt(fmt.Errorf("move %d from shard %d: %w", in.ID, in.From, err))
		return false
	}
	if !s.journal.Room(s.cfg.BlockBytes, s.out) {
		s.watchSpace()
		return false
	}
	var list []*journal.Block
	note := Imported{ID: in.ID}
	outcomes, rows, bytes := 0, 0, 0
	for !note.Last && len(list) < importBlocks {
		if t.block == nil {
			b, ok := t.feed.Next(s.now, s.out)
			if !ok {
				break
			}
			t.block, t.index = new(journal.Block), b.Index
			if err := t.block.Parse(b.Data); err != nil {
				s.halt(fmt.Errorf("shard %d entry %d: %w", in.From, b.Index, err))
				return false
			}
		}
		b := t.block
		o, r, n := t.weight(b) // an Import of the source's own begins one here: states come before events
		if len(list) > 0 && (b.Kind == journal.Import || outcomes+o > s.cfg.BlockCommands || rows+r > journal.BlockEventsMax || bytes+n > s.cfg.BlockBytes) {
			break
		}
		note.Last = s.isHand(b, in)
		if o+n > 0 || note.Last {
			list = append(list, b)
			note.Reached = b.Timestamp
			outcomes, rows, bytes = outcomes+o, rows+r, bytes+n
		}
		t.block, t.next = nil, t.index+1
	}
	if len(list) == 0 {
		return false
	}
	note.Next = t.next
	return s.proposeImport(t, &note, list)
}

// isHand tells whether a block is the source's word that the slots are handed over.
func (s *Shard) isHand(b *journal.Block, in *incoming) bool {
	if b.Kind != journal.Hand {
		return false
	}
	m, err := DecodeMove(b.Note())
	return err == nil && m.Same(&in.Move)
}

// weight is how much of a block concerns the move: outcomes, events, and bytes, also
// of states that the source had imported itself.
func (t *taking) weight(b *journal.Block) (outcomes, rows, bytes int) {
	for i := range b.Outcomes {
		if t.set[b.Actors[b.Outcomes[i].Actor].ID.Slot()] {
			outcomes++
			bytes += 96 + len(b.Outcomes[i].Detail)
		}
	}
	for i := range b.Rows() {
		r := &b.Rows()[i]
		if t.set[b.Actors[b.Outcomes[r.Outcome].Actor].ID.Slot()] {
			rows++
			bytes += len(r.Payload) + len(r.Personal) + 64
		}
	}
	if b.Kind == journal.Import {
		n, err := DecodeImport(b.Note())
		if err == nil {
			bytes += len(t.pairs(nil, n.Pairs))
		}
	}
	return outcomes, rows, bytes
}

// pairs adds those that concern the move.
func (t *taking) pairs(dst []byte, list []disk.Pair) []byte {
	for i := range list {
		p := &list[i]
		if p.Key[0] == keySnapshot {
			if at := len(p.Key) - 9; at < 1 || !t.set[core.ActorID(p.Key[1:at]).Slot()] {
				continue
			}
		}
		dst = appendPair(dst, p)
	}
	return dst
}

// proposeImport makes an Import of blocks of the source.
func (s *Shard) proposeImport(t *taking, note *Imported, list []*journal.Block) bool {
	f := s.newFlight(journal.Import)
	f.header.Timestamp = max(f.header.Timestamp, note.Reached+1) // what happens next to the actors is later (M1)
	w := importer{s: s, t: t, sessions: map[core.SessionID]int{}, actors: map[core.ActorID]*imported{}}
	s.builder.Start(f.header)
	var pairs []byte
	for _, b := range list {
		if b.Kind == journal.Import {
			n, err := DecodeImport(b.Note())
			if err != nil {
				s.halt(fmt.Errorf("move %d from shard %d: %w", note.ID, b.Shard, err))
				return false
			}
			pairs = t.pairs(pairs, n.Pairs)
			w.bases(&n)
		}
		if err := w.add(b); err != nil {
			s.halt(fmt.Errorf("move %d from shard %d: %w", note.ID, b.Shard, err))
			return false
		}
	}
	s.builder.Note(note.encode(pairs))
	data, hash := s.builder.Finish()
	return s.fly(t, f, data, hash)
}

// importer writes what concerns a move into the block being built.
type importer struct {
	s        *Shard
	t        *taking
	sessions map[core.SessionID]int
	actors   map[core.ActorID]*imported
}

// imported is an actor in the block being built.
type imported struct {
	entry int      // in the block's dictionary, -1: not yet
	seq   core.Seq // the shard will have events up to here
	last  core.Index
}

func (w *importer) actor(id core.ActorID) *imported {
	a := w.actors[id]
	if a == nil {
		a = &imported{entry: -1}
		if _, k := w.s.actors.find(w.s.actors.hash(id), id); k != nil {
			a.seq, a.last = k.seq, k.last
		}
		w.actors[id] = a
	}
	return a
}

// bases notes states that the block brings beside events.
func (w *importer) bases(n *Imported) {
	err := n.Bases(func(id core.ActorID, seq core.Seq) {
		if a := w.actor(id); w.t.set[id.Slot()] && seq > a.seq {
			a.seq, a.last = seq, 0
		}
	})
	core.Assert(err == nil, "pairs that were decoded: %v", err)
}

// add takes the outcomes of one block of the source, and the events that are new here.
func (w *importer) add(b *journal.Block) error {
	rows, at := b.Rows(), 0
	for i := range b.Outcomes {
		o := b.Outcomes[i]
		from := at
		for at < len(rows) && rows[at].Outcome == i {
			at++
		}
		id := b.Actors[o.Actor].ID
		if !w.t.set[id.Slot()] {
			continue
		}
		a := w.actor(id)
		if o.Bare = o.Bare || from < at && o.Seq <= a.seq; o.Bare {
			from = at
		}
		if from < at && rows[from].Seq != a.seq+1 {
			return fmt.Errorf("events of %s go on at %d after %d", id, rows[from].Seq, a.seq)
		}
		if a.entry < 0 {
			a.entry = w.s.builder.Actor(id, a.last, a.seq+1)
		}
		for ; from < at; from++ {
			r := &rows[from]
			w.s.builder.Event(a.entry, r.Seq, &core.NewEvent{Type: b.Types[r.Type].Name, Version: r.Version, EventTime: r.EventTime,
				Payload: r.Payload, Personal: r.Personal})
			a.seq = r.Seq
		}
		session, ok := w.sessions[o.Session]
		if !ok {
			session = w.s.builder.Session(o.Session)
			w.sessions[o.Session] = session
		}
		w.s.builder.Outcome(session, a.entry, &o)
	}
	return nil
}

// giveUp ends a move that the source does not know of.
func (s *Shard) giveUp(in *incoming) {
	f := s.newFlight(journal.Drop)
	data, hash := journal.EncodeNote(f.header, in.Append(nil))
	s.fly(s.taking, f, data, hash)
}

func (s *Shard) fly(t *taking, f *flight, data []byte, hash [32]byte) bool {
	t.flying = true
	if !s.launch(f, data, hash, s.journal.Last()+1) {
		return false
	}
	s.drainRaft()
	return s.taking == t
}

// moveTick asks other shards what is due to be asked.
func (s *Shard) moveTick() {
	if !s.leading {
		return
	}
	for i := range s.slots.offers {
		m := &s.slots.offers[i]
		s.ask(s.courierOf(m), m.To, verbAdopt, m, nil)
	}
	t, in := s.taking, s.slots.incoming
	switch {
	case t == nil || in == nil || t.over:
	case t.page != nil:
		s.ask(&s.base, in.From, verbBase, &in.Move, t.page)
	case t.feed != nil && t.feed.Level() && t.block == nil && !t.flying:
		s.ask(&s.releases, in.From, verbRelease, &in.Move, nil)
	}
}

// courierOf is that of an offer.
func (s *Shard) courierOf(m *Move) *courier {
	if len(s.adopts) > offersMax {
		s.adopts = nil // some are of offers of the past
	}
	if s.adopts == nil {
		s.adopts = make(map[core.Epoch]*courier)
	}
	if s.adopts[m.ID] == nil {
		s.adopts[m.ID] = &courier{}
	}
	return s.adopts[m.ID]
}

// ask sends a question to the other shard, unless the last one may yet be answered.
func (s *Shard) ask(c *courier, to core.ShardID, verb string, m *Move, rest []byte) {
	if c.wait > 0 {
		c.wait--
		return
	}
	group := s.atlas.Group(to)
	c.target++
	c.wait = courierWait
	s.send(group[c.target%len(group)].Addr, to, verb, m, rest)
}

func (s *Shard) send(at proc.Addr, to core.ShardID, verb string, m *Move, rest []byte) {
	var w wire.Writer
	command := core.Command{Number: core.CommandNumber(m.ID), Actor: core.ShardActor(to), Kind: core.Move, Expected: core.AnySeq,
		Principal: core.Principal(s.cfg.TrustedPeers), Type: verb, Payload: append(m.Append(nil), rest...)}
	command.Session[0] = verb[0]
	w.Command(&command)
	s.out.Send(at, w.Finish(wire.Commands))
}

// told takes what another shard answers.
func (s *Shard) told(from proc.Addr, r *wire.Reader) {
	var a core.Answer
	for r.Answer(&a) {
		if a.Kind != core.Move || !s.leading {
			continue
		}
		in, t := s.slots.incoming, s.taking
		mine := in != nil && t != nil && core.Epoch(a.Number) == in.ID
		switch a.Session[0] {
		case verbAdopt[0]:
			for i := range s.slots.offers {
				if m := &s.slots.offers[i]; m.ID == core.Epoch(a.Number) {
					c := s.courierOf(m)
					s.heed(c, m.To, &a)
					if a.Status == core.Accepted {
						c.wait = courierRest
					}
				}
			}
		case verbRelease[0]:
			if mine {
				s.heed(&s.releases, in.From, &a)
				t.over = t.over || a.Status == core.RefusedAtDoor && a.Code == core.CodeStalePlan
				if a.Status == core.Accepted && t.feed != nil {
					// The Hand is there. The replica that is followed may have left the group, and hear of nothing.
					t.feed.Want(a.Timestamp)
				}
				if a.Status == core.Accepted && a.Count == 1 {
					s.takeHanded(t, in, &a)
				}
			}
		case verbBase[0]:
			if mine && t.page != nil && !t.flying {
				s.heed(&s.base, in.From, &a)
				if a.Status == core.Accepted {
					s.takeBase(t, in, a.State)
				}
			}
		}
	}
}

// heed turns to the replica that leads the other shard.
func (s *Shard) heed(c *courier, to core.ShardID, a *core.Answer) {
	if a.Code != core.CodeNotLeader {
		return
	}
	s.atlas.Regrouped(to, a)
	if a.Seq == 0 {
		return
	}
	for i, r := range s.atlas.Group(to) {
		if core.Seq(r.ID) == a.Seq {
			c.target, c.wait = i-1+len(s.atlas.Group(to)), 0
		}
	}
}

// takeHanded ends a move whose Hand this shard has not read: the source says that it
// had applied it by an entry that is behind all that was read here, so it stood in
// what was compacted, and came as state.
func (s *Shard) takeHanded(t *taking, in *incoming, a *core.Answer) {
	if core.Index(a.Seq) >= t.next || t.page != nil || t.block != nil || t.flying || !in.base ||
		len(s.flights) >= s.cfg.Pipeline || s.unknown() || !s.journal.Room(s.cfg.BlockBytes, s.out) {
		return // what is under way comes first; it is asked again
	}
	s.out.Mark(markHandUnread)
	s.proposeImport(t, &Imported{ID: in.ID, Next: t.next, Reached: a.Timestamp, Last: true}, nil)
}

// What is compacted at the source is told as its derived store has it: one snapshot of
// each actor, and the sessions. It is told in pages, each as of a later time, which does no harm:
// nothing in it can be older than the entries that the source's log still has, and
// those are imported afterwards. A page: u floor  b key to go on from, empty at the
// end  pairs.

// baseAsk is a question for a page that waits for the store.
type baseAsk struct {
	*pending
	set  [core.Slots]bool
	from []byte
}

func (s *Shard) giveBase(p *pending, m *Move, from []byte) {
	if len(from) == 0 || s.asking != nil || s.behind {
		s.reject(p, core.CodeOverloaded, "")
		return
	}
	s.asking = &baseAsk{pending: p, from: append([]byte(nil), from...)}
	for _, slot := range m.Slots {
		s.asking.set[slot] = true
	}
	s.out.KV(tokenBase, disk.KVOp{Kind: disk.KVScan, Lo: s.asking.from, Limit: chunkPairs})
}

// baseRead answers with a page.
func (s *Shard) baseRead(res *disk.KVResult) {
	ask := s.asking
	s.asking = nil
	if ask == nil {
		return
	}
	if res.Err != nil || !s.leading {
		s.reject(ask.pending, core.CodeNotLeader, "")
		return
	}
	var next, pairs []byte
	for i := range res.Pairs {
		p := &res.Pairs[i]
		if len(pairs) >= min(chunkBytes, s.cfg.BlockBytes) {
			break
		}
		next = append(append(next[:0], p.Key...), 0)
		wanted := p.Key[0] == keySession
		if at := len(p.Key) - 9; p.Key[0] == keySnapshot && at > 0 {
			id := core.ActorID(p.Key[1:at])
			_, k := s.actors.find(s.actors.hash(id), id)
			wanted = ask.set[id.Slot()] && k != nil && k.snap() == core.Seq(binary.BigEndian.Uint64(p.Key[at+1:]))
		}
		if wanted {
			pairs = appendPair(pairs, p)
		}
	}
	if len(res.Pairs) == 0 {
		next = nil
	}
	state := binary.AppendUvarint(nil, uint64(s.journal.Floor()))
	state = binary.AppendUvarint(state, uint64(len(next)))
	state = append(append(state, next...), pairs...)
	c := &ask.command
	s.answer(ask.pending.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, State: state})
	s.release(ask.pending)
}

func appendPair(dst []byte, p *disk.Pair) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.Key)))
	dst = append(dst, p.Key...)
	dst = binary.AppendUvarint(dst, uint64(len(p.Value)))
	return append(dst, p.Value...)
}

// takeBase imports a page.
func (s *Shard) takeBase(t *taking, in *incoming, state []byte) {
	if len(s.flights) >= s.cfg.Pipeline || s.unknown() || !s.journal.Room(s.cfg.BlockBytes, s.out) {
		return // it is asked for again
	}
	r := fields{b: state}
	floor := core.Index(r.uvarint())
	next := r.bytes(int(min(r.uvarint(), uint64(len(state)))))
	pairs := state[r.at:]
	list, err := pairsOf(pairs)
	note := Imported{ID: in.ID, Pairs: list}
	if err == nil {
		err = note.Bases(func(core.ActorID, core.Seq) {})
	}
	if r.err != nil || err != nil {
		s.out.Mark(markBadFrame)
		return
	}
	if t.floor == 0 {
		t.floor = floor + 1
	}
	if t.page = append([]byte(nil), next...); len(next) == 0 {
		t.page = nil
		note.Whole, note.Next = true, max(t.floor, t.next)
		t.next = note.Next
	}
	s.base = courier{target: s.base.target - 1} // the same one is asked for the next page, at once
	f := s.newFlight(journal.Import)
	data, hash := journal.EncodeNote(f.header, note.encode(pairs))
	s.fly(t, f, data, hash)
}
