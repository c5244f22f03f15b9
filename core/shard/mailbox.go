package shard

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/net/wire"
)

// pending is a command from its arrival to its answer. It is large, so it is
// passed by pointer and used again (see Shard.take and Shard.release).
type pending struct {
	from     proc.Addr
	command  core.Command
	size     int
	hash     uint64 // of the actor, in the directory
	slot     core.Slot
	fresh    core.Freshness // of reads
	arrived  proc.Tick      // of reads
	recorded actor.Recorded // its digest from the door on, the rest once it is decided
}

// spareMax bounds the pendings kept for use.
const spareMax = 1 << 14

func (s *Shard) take() *pending {
	if n := len(s.spare); n > 0 {
		p := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return p
	}
	return new(pending)
}

// release takes back what the door counted in, once the command is answered.
func (s *Shard) release(p *pending) {
	core.Assert(s.parked > 0 && s.mailbox.bytes >= p.size, "a command is answered twice")
	s.parked--
	s.mailbox.bytes -= p.size
	s.keep(p)
}

func (s *Shard) keep(p *pending) {
	if len(s.spare) < spareMax {
		*p = pending{}
		s.spare = append(s.spare, p)
	}
}

// mailbox is a queue with a front door and, for commands that waited for a
// hydration or whose block was void, a priority lane that is served first.
type mailbox struct {
	first []*pending // served from the end
	ring  []*pending
	head  int
	count int
	bytes int // of all commands that are not answered, in the mailbox or not
}

func (m *mailbox) len() int { return m.count + len(m.first) }

func (m *mailbox) push(p *pending) {
	if m.count == len(m.ring) {
		grown := make([]*pending, max(64, 2*len(m.ring)))
		n := copy(grown, m.ring[m.head:])
		copy(grown[n:], m.ring[:m.head])
		m.ring, m.head = grown, 0
	}
	m.ring[(m.head+m.count)&(len(m.ring)-1)] = p
	m.count++
}

// putBack puts commands before all others again, keeping their order.
func (s *Shard) putBack(list ...*pending) {
	s.parked -= len(list)
	s.mailbox.pushFirst(list)
}

// fetch takes the next command, which is to be answered or put back.
func (s *Shard) fetch() (p *pending, ok bool) {
	if p, ok = s.mailbox.pop(); ok {
		s.parked++
	}
	return p, ok
}

func (m *mailbox) pushFirst(list []*pending) {
	for i := len(list) - 1; i >= 0; i-- {
		m.first = append(m.first, list[i])
	}
}

func (m *mailbox) pop() (p *pending, ok bool) {
	switch {
	case len(m.first) > 0:
		n := len(m.first) - 1
		p = m.first[n]
		m.first[n] = nil
		m.first = m.first[:n]
	case m.count > 0:
		p = m.ring[m.head]
		m.ring[m.head] = nil
		m.head = (m.head + 1) & (len(m.ring) - 1)
		m.count--
	default:
		return p, false
	}
	return p, true
}

// receive takes a frame apart. A frame that is damaged or cut off is dropped:
// its sender will ask again.
func (s *Shard) receive(in *proc.Input) {
	from := in.From
	r, err := wire.Open(in.Frame)
	trusted := s.trusted(in.Peer)
	switch {
	case err == nil && r.Kind == wire.Commands:
	case err == nil && r.Kind == wire.Follows:
		s.follow(from, in.Peer, &r)
		return
	case err == nil && r.Kind == wire.Blocks:
		s.takeFrame(in)
		return
	case err == nil && r.Kind == wire.Answers && trusted:
		s.told(from, &r)
		return
	default:
		s.out.Mark(markBadFrame)
		return
	}
	before := s.mailbox.count
	p := s.take()
	for r.Command(&p.command) {
		c, hash := &p.command, p.command.Actor.Hash()
		p.slot = core.SlotOf(hash)
		code, detail := s.door(c, trusted, p.slot)
		if code != core.CodeNone {
			s.refuse(from, c, code, detail)
			continue
		}
		p.from, p.size, p.hash = from, commandSize(c), s.actors.hash(c.Actor)
		if c.Kind.Changes() {
			p.recorded.Digest = digest(c, hash)
		} else if c.Kind < core.Fence {
			p.arrived = s.now.Mono
			p.fresh, _ = core.FreshnessOf(c) // the door has looked
		}
		s.mailbox.push(p)
		s.mailbox.bytes += p.size
		p = s.take()
	}
	s.keep(p)
	s.lookAhead(s.mailbox.count - before)
	if r.Err() != nil {
		s.out.Mark(markBadFrame)
	}
}

// lookAhead reads what is known of the actors of the last n commands, for no other
// reason than that it is in the processor's caches when they are decided: most
// of the time of a command to a new or long unused actor is waiting for memory.
func (s *Shard) lookAhead(n int) {
	m := &s.mailbox
	s.ahead = s.ahead[:0]
	for i := m.count - n; i < m.count; i++ {
		p := m.ring[(m.head+i)&(len(m.ring)-1)]
		if h := s.actors.touch(p.hash); h != 0 {
			s.ahead = append(s.ahead, h-1)
		}
	}
	hot := s.ahead[:0]
	for _, h := range s.ahead {
		if at := s.actors.at(h).hot; at != 0 {
			hot = append(hot, uint32(at))
		}
	}
	sum := core.Seq(0)
	for _, at := range hot {
		sum += s.memory.at(place(at)).seq
	}
	s.aheadSum = sum
}

func commandSize(c *core.Command) int {
	n := len(c.Actor) + len(c.Type) + len(c.Payload) + 64
	for i := range c.Events {
		n += len(c.Events[i].Type) + len(c.Events[i].Payload) + len(c.Events[i].Personal) + 16
	}
	return n
}

// door checks what can be checked without the state. A command refused here
// has no effect and never will have: the answer depends on it alone.
func (s *Shard) door(c *core.Command, trusted bool, slot core.Slot) (core.Code, string) {
	if !trusted {
		return core.CodeNotPermitted, "commands come through a gateway"
	}
	if c.Kind == core.Fence && !s.operator(c.Principal) {
		return core.CodeNotPermitted, "only operators raise fences"
	}
	if code, detail := core.CheckCommand(c); code != core.CodeNone {
		return code, detail
	}
	if named, ok := c.Actor.NamesShard(); ok && c.Kind >= core.Fence {
		if named != s.cfg.Shard {
			return core.CodeMalformed, "the actor names another shard"
		}
	} else if !s.owns(slot) {
		if s.phase != phaseServing || !s.leading {
			return core.CodeNotLeader, "" // what it knows may be long past, and who leads knows better
		}
		return core.CodeWrongShard, ""
	}
	switch c.Kind {
	case core.Move:
		if code, detail := s.moveDoor(c); code != core.CodeNone {
			return code, detail
		}
	case core.Regroup:
		if code, detail := s.regroupDoor(c); code != core.CodeNone {
			return code, detail
		}
	case core.Fence: // its actor only names the shard
		if len(c.Payload) != 8 {
			return core.CodeMalformed, "a fence's payload is its epoch, 8 bytes"
		}
	default:
		kind := s.kindOf(c.Actor)
		switch {
		case kind == nil:
			return core.CodeUnknownType, "no such actor type"
		case c.Kind == core.Append && !kind.policy.AllowAppend:
			return core.CodeAppendForbidden, ""
		}
	}
	return s.room(c)
}

// room tells whether the replica can take one more command in.
func (s *Shard) room(c *core.Command) (core.Code, string) {
	switch {
	case s.phase != phaseServing || !s.leading && (s.behind || !c.Anywhere()):
		return core.CodeNotLeader, ""
	case s.mailbox.len()+s.parked+1 > s.cfg.MailboxCommands || s.mailbox.bytes+commandSize(c) > s.cfg.MailboxBytes:
		s.out.Mark(markOverload)
		return core.CodeOverloaded, ""
	}
	return core.CodeNone, ""
}

// digest tells a repeated command from another one under the same number: the
// hash of its fields' hashes, the actor's being given, so that what one ends with
// cannot begin the next.
// It is part of the stored format.
func digest(c *core.Command, actor uint64) uint64 {
	d := hashOf(uint64(c.Kind), uint64(c.Expected), actor,
		xxhash.Sum64String(c.Type), xxhash.Sum64(c.Payload))
	for i := range c.Events {
		e := &c.Events[i]
		d = hashOf(d, uint64(e.Version), uint64(e.EventTime), xxhash.Sum64String(e.Type),
			xxhash.Sum64(e.Payload), xxhash.Sum64(e.Personal))
	}
	return d
}

func hashOf(words ...uint64) uint64 {
	var b [6 * 8]byte
	for i, w := range words {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return xxhash.Sum64(b[:8*len(words)])
}

// reject answers at the door a command that is inside already.
func (s *Shard) reject(p *pending, code core.Code, detail string) {
	a := core.Answer{Session: p.command.Session, Number: p.command.Number, Kind: p.command.Kind,
		Status: core.RefusedAtDoor, Code: code, Detail: detail}
	switch code {
	case core.CodeSessionExpired, core.CodeSessionTooLong:
		a.Timestamp = s.nextTimestamp() // a client whose clock is wrong can tell by it
	case core.CodeNotLeader:
		s.hintInto(&a)
		s.asks(p.from, &a)
	case core.CodeWrongShard:
		s.out.Mark(markMoved)
		s.toward(&a, p.slot)
	}
	s.answer(p.from, &a)
	s.release(p)
}

// refuse answers at the door.
func (s *Shard) refuse(to proc.Addr, c *core.Command, code core.Code, detail string) {
	a := core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
		Status: core.RefusedAtDoor, Code: code, Detail: detail}
	switch code {
	case core.CodeNotLeader:
		s.hintInto(&a)
		s.asks(to, &a)
	case core.CodeWrongShard:
		s.toward(&a, c.Actor.Slot())
	}
	s.answer(to, &a)
}

// hintInto tells who leads, and who makes up the group if that has changed.
func (s *Shard) hintInto(a *core.Answer) {
	if a.Seq = s.hint(); s.roster.Index > 0 {
		a.State = s.roster.Append(nil)
	}
}

// hint is who leads, if this replica knows of another one that does.
func (s *Shard) hint() core.Seq {
	if s.leader {
		return 0 // not yet ready, or not any more
	}
	return core.Seq(s.lead)
}
