package rpc

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"actordb/core"
)

// newSession makes the id of a session.
func newSession(now time.Time, lifetime time.Duration) core.SessionID {
	var b [8]byte
	rand.Read(b[:]) // documented never to fail
	return core.NewSessionID(core.Timestamp(now.Add(lifetime).UnixNano()), binary.LittleEndian.Uint64(b[:]))
}

// An ownSession numbers commands that came without a session, so that the gateway
// can repeat them.
type ownSession struct {
	id      core.SessionID
	born    time.Time
	retired bool
	open    [window]bool       // by number, modulo the window
	floor   core.CommandNumber // all below are settled
	next    core.CommandNumber
}

// ownSessions are the sessions that take commands, or wait for answers.
type ownSessions []*ownSession

// take finds a session with a free number, or makes one; nil: there are enough.
func (l *ownSessions) take(now time.Time) *ownSession {
	for _, s := range *l {
		if age := now.Sub(s.born); age < 0 || age > sessionLifetimeDefault/2 {
			s.retired = true
		}
		if !s.retired && s.next-s.floor < window {
			return s
		}
	}
	*l = slices.DeleteFunc(*l, func(s *ownSession) bool { return s.retired && s.floor == s.next })
	if len(*l) >= ownSessionsMax {
		return nil
	}
	s := &ownSession{id: newSession(now, sessionLifetimeDefault), born: now, floor: 1, next: 1}
	*l = append(*l, s)
	return s
}

// number gives a command the next number.
func (s *ownSession) number(c *core.Command) {
	c.Session, c.Number, c.AckedBelow = s.id, s.next, s.floor
	s.open[s.next%window] = true
	s.next++
}

// settle takes a number back that will not be sent again.
func (s *ownSession) settle(n core.CommandNumber, code core.Code) {
	switch code {
	case core.CodeSessionExpired, core.CodeSessionTooLong, core.CodeSessionsFull, core.CodeWindowFull:
		s.retired = true
	}
	s.open[n%window] = false
	for s.floor < s.next && !s.open[s.floor%window] {
		s.floor++
	}
}
