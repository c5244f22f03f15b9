package workloads

import (
	"math/rand/v2"

	"actordb/core"
	"actordb/core/proc"
)

// session numbers a client's commands. It is replaced before it expires, by
// either clock, and when a shard will not have it.
//
// Its expiry is measured on the shards' clocks, of which the client knows its
// own node's and the newest timestamp of an answer. A shard whose clock runs
// further ahead than that refuses even a new session: each time the client
// asks for twice as much, and for no more than its lifetime if that is too much.
type session struct {
	id       core.SessionID
	open     bool
	last     core.CommandNumber
	lifetime core.Timestamp
	lead     core.Timestamp // how far ahead the shards' clocks are taken to be
	began    proc.Now
	heard    core.Timestamp // newest timestamp of any answer
	rand     *rand.Rand
}

// ensure begins a new session unless the present one will do, and reports it.
func (s *session) ensure(now proc.Now) (renewed bool) {
	margin := s.lifetime / 4
	if s.open {
		left := s.id.Expires() - s.clock(now)
		old := core.Timestamp(now.Mono-s.began.Mono) >= s.lifetime-margin
		if !old && left > margin && left <= s.lifetime+s.lead+margin {
			return false
		}
	}
	s.begin(now)
	return true
}

// clock is the best guess at the shards' clocks, less the lead.
func (s *session) clock(now proc.Now) core.Timestamp {
	return max(core.Timestamp(now.Wall), s.heard)
}

func (s *session) begin(now proc.Now) {
	expires := s.clock(now) + min(s.lifetime+s.lead, core.SessionLifetimeMax)
	s.id = core.NewSessionID(expires, s.rand.Uint64())
	s.open, s.last, s.began = true, 0, now
}

// hear takes note of a timestamp.
func (s *session) hear(t core.Timestamp) { s.heard = max(s.heard, t) }

// end makes the next command begin a new session, if a shard refused this one.
func (s *session) end(now proc.Now, id core.SessionID, code core.Code) {
	if id != s.id || !s.open {
		return // it has gone already
	}
	young := core.Timestamp(now.Mono-s.began.Mono) < s.lifetime/2
	switch {
	case code == core.CodeSessionExpired && young:
		s.lead = min(max(2*s.lead, s.lifetime), core.SessionLifetimeMax/2)
	case code == core.CodeSessionTooLong:
		s.lead, s.heard = 0, 0
	}
	s.open = false
}

// number is the next command's.
func (s *session) number() core.CommandNumber {
	s.last++
	return s.last
}
