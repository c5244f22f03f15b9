package actor

import (
	"bytes"
	"slices"

	"actordb/core"
)

// SessionLimits bound what a shard remembers of its clients.
type SessionLimits struct {
	Sessions int // at once
	Window   int // answers kept per session, above its floor
}

// A Recorded answer is what a repeated command gets.
type Recorded struct {
	Number    core.CommandNumber
	Digest    uint64 // of the command
	Code      core.Code
	Detail    string
	Seq       core.Seq
	Count     uint32
	Timestamp core.Timestamp
	Pending   bool // decided, not durable yet
}

// A Session remembers the answers to its commands above a floor. The numbers
// kept are the bitmap of answered commands: sorted, mostly dense.
type Session struct {
	ID      core.SessionID
	Floor   core.CommandNumber // lower numbers are answered and forgotten
	Answers []Recorded         // ascending by Number

	// For the shard's use.
	Dirty      bool   // changed since the last checkpoint
	Generation uint64 // of the block in which Entry is its dictionary number
	Entry      int
}

// Sessions is the table of one shard.
//
//	S1  A command whose answer is recorded is never run again.
//	S2  A command below the floor, or of an expired session, is never run.
//	S3  A session is forgotten only when the shard's clock has passed its expiry,
//	    which its id carries: so nothing of it can be taken for new (S2).
//	S4  Sessions and answers per session are bounded; at the bound new ones are
//	    refused, recorded ones are never dropped.
type Sessions struct {
	limits SessionLimits
	table  map[core.SessionID]*Session
	recent *Session         // found last: commands come in runs of one session
	expiry []core.SessionID // binary heap; an id's bytes begin with its expiry
}

// NewSessions makes an empty table.
func NewSessions(limits SessionLimits) *Sessions {
	return &Sessions{limits: limits, table: make(map[core.SessionID]*Session)}
}

// Len is the number of sessions.
func (t *Sessions) Len() int { return len(t.table) }

// Get returns a session, or nil.
func (t *Sessions) Get(id core.SessionID) *Session {
	if t.recent != nil && t.recent.ID == id {
		return t.recent
	}
	s := t.table[id]
	if s != nil {
		t.recent = s
	}
	return s
}

// Each visits the sessions in the order of their ids.
func (t *Sessions) Each(visit func(*Session)) {
	ids := slices.Clone(t.expiry)
	slices.SortFunc(ids, func(a, b core.SessionID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		visit(t.table[id])
	}
}

func (t *Sessions) drop(id core.SessionID) {
	delete(t.table, id)
	if t.recent != nil && t.recent.ID == id {
		t.recent = nil
	}
}

// Verdict is what a session says to a command.
type Verdict uint8

const (
	Run      Verdict = iota // it is new
	Repeated                // it has an answer, or will have one soon (Pending)
	Decline                 // the code says why
)

// Look tells whether a command is to be run. It changes nothing.
func (t *Sessions) Look(c *core.Command, digest uint64, now core.Timestamp) (Verdict, *Recorded, core.Code) {
	if c.Number == 0 {
		return Decline, nil, core.CodeMalformed
	}
	s := t.Get(c.Session)
	if s == nil {
		switch expires := c.Session.Expires(); {
		case expires <= now:
			return Decline, nil, core.CodeSessionExpired
		case expires > now+core.SessionLifetimeMax:
			return Decline, nil, core.CodeSessionTooLong
		case len(t.table) >= t.limits.Sessions:
			return Decline, nil, core.CodeSessionsFull
		}
		return Run, nil, core.CodeNone
	}
	if c.Number < s.Floor {
		return Decline, nil, core.CodeBelowFloor
	}
	if i, found := s.find(c.Number); found {
		if s.Answers[i].Digest != digest {
			return Decline, nil, core.CodeReused
		}
		return Repeated, &s.Answers[i], core.CodeNone
	}
	switch {
	case c.Session.Expires() <= now:
		return Decline, nil, core.CodeSessionExpired
	case len(s.Answers)-s.below(c.AckedBelow) >= t.limits.Window:
		return Decline, nil, core.CodeWindowFull
	}
	return Run, nil, core.CodeNone
}

func (s *Session) find(n core.CommandNumber) (int, bool) {
	k := len(s.Answers)
	if k == 0 || s.Answers[k-1].Number < n {
		return k, false // a new command, usually
	}
	if i := uint64(n - s.Answers[0].Number); n >= s.Answers[0].Number && i < uint64(k) && s.Answers[i].Number == n {
		return int(i), true // numbers are dense, usually
	}
	return slices.BinarySearchFunc(s.Answers, n, func(r Recorded, n core.CommandNumber) int {
		switch {
		case r.Number < n:
			return -1
		case r.Number > n:
			return 1
		}
		return 0
	})
}

// below counts the answers under a number.
func (s *Session) below(n core.CommandNumber) int {
	if n <= s.Floor {
		return 0
	}
	i, _ := s.find(n)
	return i
}

// Admit returns the session, making it if it is new.
func (t *Sessions) Admit(id core.SessionID) *Session {
	s := t.Get(id)
	if s == nil {
		s = &Session{ID: id}
		t.table[id] = s
		t.push(id)
	}
	return s
}

// Record puts an answer in its place, or replaces a pending one. Below the floor
// nothing is kept: a later command of the same block declared it answered.
func (s *Session) Record(r *Recorded) {
	if r.Number < s.Floor {
		return
	}
	i, found := s.find(r.Number)
	if found {
		s.Answers[i] = *r
		return
	}
	if i == len(s.Answers) {
		s.Answers = append(s.Answers, *r)
		return
	}
	s.Answers = slices.Insert(s.Answers, i, *r)
}

// Settle makes a pending answer a durable one. It may be gone: a later command of
// the same block may have declared it answered.
func (s *Session) Settle(n core.CommandNumber) {
	if i, found := s.find(n); found {
		s.Answers[i].Pending = false
	}
}

// Forget drops a pending answer whose block came to nothing, and the session
// with it if it has nothing else: a replica that replays does not have it either.
func (t *Sessions) Forget(id core.SessionID, n core.CommandNumber) {
	s := t.Get(id)
	if s == nil {
		return
	}
	s.forget(n)
	if s.Floor == 0 && len(s.Answers) == 0 {
		t.drop(id)
		t.remove(slices.Index(t.expiry, id))
	}
}

func (s *Session) forget(n core.CommandNumber) {
	if i, found := s.find(n); found && s.Answers[i].Pending {
		s.Answers = slices.Delete(s.Answers, i, i+1)
	}
}

// Raise lifts the floor to what the client has acknowledged. Every replica does
// it at the same block.
func (s *Session) Raise(floor core.CommandNumber) {
	if floor <= s.Floor {
		return
	}
	n := s.below(floor)
	s.Floor = floor
	if n > 0 {
		s.Answers = slices.Delete(s.Answers, 0, n)
	}
}

// Expire forgets the sessions that ended before now and calls gone for each.
func (t *Sessions) Expire(now core.Timestamp, gone func(core.SessionID)) {
	for len(t.expiry) > 0 && t.expiry[0].Expires() < now {
		id := t.remove(0)
		t.drop(id)
		if gone != nil {
			gone(id)
		}
	}
}

// The heap orders ids by their bytes: by expiry, then by their random part.

func less(a, b core.SessionID) bool { return string(a[:]) < string(b[:]) }

func (t *Sessions) push(id core.SessionID) {
	t.expiry = append(t.expiry, id)
	t.up(len(t.expiry) - 1)
}

// remove takes the id at position i out of the heap.
func (t *Sessions) remove(i int) core.SessionID {
	h := t.expiry
	id, last := h[i], len(h)-1
	h[i] = h[last]
	t.expiry = h[:last]
	if i < last {
		t.down(i)
		t.up(i)
	}
	return id
}

func (t *Sessions) up(i int) {
	h := t.expiry
	for i > 0 && less(h[i], h[(i-1)/2]) {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
}

func (t *Sessions) down(i int) {
	h := t.expiry
	for {
		k := 2*i + 1
		if k >= len(h) {
			return
		}
		if k+1 < len(h) && less(h[k+1], h[k]) {
			k++
		}
		if !less(h[k], h[i]) {
			return
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
}
