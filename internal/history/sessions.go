package history

import (
	"maps"
	"slices"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
)

// Sessions is what a shard remembers of its clients, folded from blocks.
type Sessions struct {
	Table    map[core.SessionID]*Answered
	earliest core.Timestamp // no session expires before
}

// Answered is one session.
type Answered struct {
	Floor   core.CommandNumber // lower numbers are answered and forgotten
	Answers map[core.CommandNumber]actor.Recorded
}

const maxTimestamp = core.Timestamp(1<<63 - 1)

// NewSessions makes an empty table.
func NewSessions() *Sessions {
	return &Sessions{Table: map[core.SessionID]*Answered{}, earliest: maxTimestamp}
}

// Session returns a session, made if it is new.
func (t *Sessions) Session(id core.SessionID) *Answered {
	s := t.Table[id]
	if s == nil {
		s = &Answered{Answers: map[core.CommandNumber]actor.Recorded{}}
		t.Table[id] = s
		t.earliest = min(t.earliest, id.Expires())
	}
	return s
}

// Load takes a session from a derived store.
func (t *Sessions) Load(d *actor.Session) {
	s := t.Session(d.ID)
	s.Floor = d.Floor
	for _, r := range d.Answers {
		s.Answers[r.Number] = r
	}
}

// Merge takes what another shard knew of a session: nothing is taken back.
func (t *Sessions) Merge(d *actor.Session) {
	s := t.Session(d.ID)
	for _, r := range d.Answers {
		if r.Number >= s.Floor {
			s.Answers[r.Number] = r
		}
	}
	s.raise(d.Floor)
}

func (s *Answered) raise(floor core.CommandNumber) {
	if floor > s.Floor {
		s.Floor = floor
		maps.DeleteFunc(s.Answers, func(n core.CommandNumber, _ actor.Recorded) bool { return n < s.Floor })
	}
}

// Outcome records one answer of a block. It returns false if the command has one
// already, unless that is what was moved from another shard.
func (t *Sessions) Outcome(b *journal.Block, o *journal.Outcome) bool {
	s := t.Session(o.Session)
	if _, twice := s.Answers[o.Number]; twice && b.Kind != journal.Import {
		return false
	}
	if o.Number >= s.Floor {
		s.Answers[o.Number] = actor.Recorded{Number: o.Number, Digest: o.Digest, Code: o.Code, Detail: o.Detail,
			Seq: o.Seq, Count: o.Count, Timestamp: o.Committed}
	}
	s.raise(o.AckedBelow)
	return true
}

// Expire forgets the sessions that ended before now, as replicas do after each block.
func (t *Sessions) Expire(now core.Timestamp) {
	if t.earliest >= now {
		return
	}
	t.earliest = maxTimestamp
	for id := range t.Table {
		if id.Expires() < now {
			delete(t.Table, id)
			continue
		}
		t.earliest = min(t.earliest, id.Expires())
	}
}

// Sorted lists the answers by number.
func (s *Answered) Sorted() (list []actor.Recorded) {
	for _, n := range slices.Sorted(maps.Keys(s.Answers)) {
		list = append(list, s.Answers[n])
	}
	return list
}
