package shard

import (
	"fmt"
	"slices"

	"actordb/core"
	"actordb/core/proc"
)

// Reads that ask for less than linearizability (core.Freshness) may be answered by any
// replica that knows enough of what it has. What it knows is its horizon, and it has
// that from the leader: it inquires, and is told up to where the log goes and up to
// which time no block is still to come. The leader tells when the group has confirmed
// that it leads, as it answers linearizable reads, so one that was replaced tells nothing.
//
//	F1  All that anybody was told before horizon.asOf, on this replica's monotonic
//	    clock, is applied here. No wall clock is believed.
//	F2  All blocks of the shard at or below horizon.closed are applied here, and none
//	    comes later (see lease.go).
//	F3  A read waits a bounded time for the horizon to reach what it asks for, and is
//	    refused then.
type horizon struct {
	asOf    proc.Tick
	closed  core.Timestamp
	inquiry inquiry
}

// An inquiry is a question to the leader. There is one at a time.
type inquiry struct {
	step   inquiryStep
	nonce  uint64 // no answer to another question, of this life or an earlier one, passes for one to this
	at     proc.Tick
	index  core.Index // told: when this is applied,
	closed core.Timestamp
}

type inquiryStep uint8

const (
	inquiryNone inquiryStep = iota
	inquirySent
	inquiryTold // waits until the entry that it was told of is applied
)

// inquirer is a replica whose inquiry the leader has yet to answer.
type inquirer struct {
	from  uint64
	nonce uint64
	want  core.Timestamp // to be closed before it is answered
}

const (
	// waitTicks is for how many ticks at least a read waits for the horizon, and for one
	// more at most: long enough for a round trip and a sync, and less than a gateway's
	// patience with a replica that is silent.
	waitTicks = 1
	// inquiryTicks is when an inquiry or its answer is taken to be lost.
	inquiryTicks = 4
	// horizonTicks is how old a horizon becomes before a replica inquires though nobody
	// reads: when the leader is lost, stale reads go on from there.
	horizonTicks = 10
	// aheadMax is how far ahead of its own clock a leader closes times because a read
	// wants it.
	aheadMax = core.Timestamp(5e9)
	// longAgo is the horizon of a replica that knows nothing yet.
	longAgo = proc.Tick(-1) << 62
)

const (
	markNotFresh   proc.Mark = "shard.read-not-fresh"
	markFreshWait  proc.Mark = "shard.read-waits-for-horizon"
	markReadHere   proc.Mark = "shard.read-by-who-does-not-lead"
	markInquiry    proc.Mark = "shard.horizon-told"
	markStaleReply proc.Mark = "shard.horizon-of-another-question"
)

// young tells whether a stale read may be answered from what is applied (F1).
func (s *Shard) young(p *pending) bool {
	return s.horizon.asOf >= p.arrived-proc.Tick(p.fresh.MaxAge)
}

// reaches tells whether the horizon is where a read wants it. A leader has a stale read
// confirmed like a linearizable one, if need be.
func (s *Shard) reaches(p *pending) bool {
	switch p.fresh.Level {
	case core.Stale:
		return s.leading || s.young(p)
	case core.AtToken:
		return p.fresh.Token <= s.closedHere()
	}
	return true
}

// closedHere is up to where F2 holds.
func (s *Shard) closedHere() core.Timestamp { return max(s.clock, s.horizon.closed) }

// await puts a read aside until the horizon is where it wants it.
func (s *Shard) await(p *pending) {
	s.out.Mark(markFreshWait)
	s.waits = append(s.waits, p)
}

// ready answers a read whose state is settled, or has it confirmed first.
func (s *Shard) ready(r read) {
	level := r.fresh.Level
	switch {
	case level == core.Linearizable, level == core.Stale && !s.young(r.pending):
		s.reads = append(s.reads, r)
	case level == core.FromLeader && !s.leading:
		s.reject(r.pending, core.CodeNotLeader, "") // it was replaced while the state was read
	default:
		if !s.leading {
			s.out.Mark(markReadHere)
		}
		s.answerRead(&r)
	}
}

// attend moves the horizon, and lets reads go on that waited for that. It reports
// whether any do.
func (s *Shard) attend() bool {
	h := &s.horizon
	if q := &h.inquiry; q.step == inquiryTold && !s.behind && s.applied >= q.index {
		h.asOf, h.closed, q.step = max(h.asOf, q.at), max(h.closed, q.closed), inquiryNone
	}
	if s.leading && (len(s.waits) > 0 || len(s.inquirers) > 0) {
		want := core.Timestamp(0)
		for _, p := range s.waits {
			want = max(want, p.fresh.Token)
		}
		for i := range s.inquirers {
			want = max(want, s.inquirers[i].want)
		}
		if want = min(want, core.Timestamp(s.now.Wall)+aheadMax); want > s.closedHere() {
			h.closed = max(h.closed, s.closeTo(want))
		}
	}
	n := 0
	var released []*pending
	for _, p := range s.waits {
		if s.reaches(p) {
			released = append(released, p)
		} else {
			s.waits[n] = p
			n++
		}
	}
	clear(s.waits[n:])
	s.waits = s.waits[:n]
	if n > 0 && h.inquiry.step == inquiryNone && s.waits[n-1].arrived > h.inquiry.at {
		s.inquire()
	}
	s.putBack(released...)
	return len(released) > 0
}

// inquire asks the leader, if there is one.
func (s *Shard) inquire() {
	if s.phase != phaseServing || s.behind || s.leading || s.lead == 0 || s.lead == s.cfg.Replica {
		return
	}
	want := core.Timestamp(0)
	for _, p := range s.waits {
		want = max(want, p.fresh.Token)
	}
	q := &s.horizon.inquiry
	*q = inquiry{step: inquirySent, nonce: s.env.Rand.Uint64(), at: s.now.Mono}
	s.parcel(s.lead, &parcel{kind: parcelInquiry, nonce: q.nonce, time: want})
}

// inquired takes another replica's question, in the place of the one before.
func (s *Shard) inquired(from uint64, p *parcel) {
	if s.phase != phaseServing || !s.leading {
		return // it asks again
	}
	q := inquirer{from, p.nonce, min(p.time, core.Timestamp(s.now.Wall)+aheadMax)}
	if i := slices.IndexFunc(s.inquirers, func(x inquirer) bool { return x.from == from }); i >= 0 {
		s.inquirers[i] = q
		return
	}
	s.inquirers = append(s.inquirers, q)
}

// answerable moves those to dst whose time is closed.
func (s *Shard) answerable(dst []inquirer) []inquirer {
	s.inquirers = slices.DeleteFunc(s.inquirers, func(q inquirer) bool {
		if q.want > s.closedHere() {
			return false
		}
		dst = append(dst, q)
		return true
	})
	return dst
}

// tellHorizon answers inquiries, now that the group has confirmed that this replica led
// when they had come.
func (s *Shard) tellHorizon(list []inquirer) {
	for i := range list {
		s.parcel(list[i].from, &parcel{kind: parcelHorizon, nonce: list[i].nonce, at: s.applied, time: s.closedHere()})
	}
}

// horizonTold takes the leader's answer.
func (s *Shard) horizonTold(p *parcel) {
	q := &s.horizon.inquiry
	if q.step != inquirySent || p.nonce != q.nonce {
		s.out.Mark(markStaleReply)
		return
	}
	s.out.Mark(markInquiry)
	q.step, q.index, q.closed = inquiryTold, p.at, p.time
}

// freshTick asks again what was not answered, and refuses reads that have waited long
// enough (F3).
func (s *Shard) freshTick() {
	h := &s.horizon
	q := &h.inquiry
	if q.step == inquirySent && s.now.Mono-q.at >= inquiryTicks*s.cfg.Tick {
		q.step = inquiryNone
	}
	if q.step == inquiryNone && (len(s.waits) > 0 || s.now.Mono-h.asOf >= horizonTicks*s.cfg.Tick) {
		s.inquire()
	}
	s.waits = slices.DeleteFunc(s.waits, func(p *pending) bool {
		if s.now.Mono-p.arrived < waitTicks*s.cfg.Tick {
			return false
		}
		s.out.Mark(markNotFresh)
		s.reject(p, core.CodeNotFresh, s.lacks(p))
		return true
	})
}

// lacks tells people why a read is refused.
func (s *Shard) lacks(p *pending) string {
	switch {
	case p.fresh.Level == core.AtToken:
		return fmt.Sprintf("replica %d has all up to %d, the token is %d", s.cfg.Replica, s.closedHere(), p.fresh.Token)
	case s.horizon.asOf == longAgo:
		return fmt.Sprintf("replica %d has not heard from a leader yet", s.cfg.Replica)
	}
	return fmt.Sprintf("replica %d knows that it was up to date %d ms ago", s.cfg.Replica, (s.now.Mono-s.horizon.asOf)/1e6)
}
