package shard

import (
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
)

// A time is closed when no later block is stamped with it or less: those who read
// at a cut wait for all shards to have closed it.
//
// Blocks of one chain have rising timestamps, so whatever is applied closes its
// own time. A leader without work closes times beyond that by promising to stamp
// later; but a promise that only it knows does not bind the next leader. So the
// log holds leases: a Lease block says up to where its leader may promise, and
// every later leader begins beyond it. One block serves all times of a second;
// without anyone who wants times closed there is none.
//
//	L1  A leader stamps its first block later than every lease before its term.
//	L2  A time is closed by memory alone only up to the applied lease, and only
//	    below what is in the log and not applied.
//
// Whether the leader is deposed meanwhile does not matter: its blocks in flight
// are above what it closed, its successor's above its lease.

// leaseSpan is how far a lease reaches. After a change of leaders timestamps may
// be ahead of the clocks by as much, for as long.
const leaseSpan = core.Timestamp(1e9)

// floorClock is the time that the next block's must be greater than.
func (s *Shard) floorClock() core.Timestamp { return max(s.clock, s.promised) }

// closed is the greatest time closed by now: what is applied, and beyond that what is
// wanted and no more. If it were the present, followers of two shards would have each
// close what the other just did, without end. It binds the leader: what it closes
// here it will never stamp.
func (s *Shard) closed(want core.Timestamp) core.Timestamp {
	if !s.leading {
		return s.clock
	}
	if s.unknown() {
		return s.floorClock()
	}
	if len(s.flights) > 0 {
		s.promised = max(s.promised, min(s.lease, want, s.flights[0].header.Timestamp-1))
		return s.floorClock()
	}
	s.promised = max(s.promised, min(s.lease, want))
	s.headClock = max(s.headClock, s.promised)
	return s.floorClock()
}

// closeTo closes a time that is wanted, now or when a lease that it proposes for that
// is applied, and returns what is closed.
func (s *Shard) closeTo(want core.Timestamp) core.Timestamp {
	closed := s.closed(want)
	if closed < want && s.extendLease(want) {
		s.drainRaft()
		closed = s.closed(want)
	}
	return closed
}

// unknown tells that the log holds an entry of which nothing is known here but that
// it may yet take effect: a block that was given up when one after it was not taken
// by Raft, as happens while the leadership is handed over.
func (s *Shard) unknown() bool {
	return s.journal.Last() > s.applied && (len(s.flights) == 0 || s.flights[0].index != s.applied+1)
}

// extendLease proposes a lease when a time is wanted that the present one does not
// reach, or soon will not. It waits for an empty pipeline: blocks close times too.
func (s *Shard) extendLease(want core.Timestamp) bool {
	if !s.leading || len(s.flights) > 0 || s.unknown() || s.out.Fault != nil || s.lease-leaseSpan/2 >= want {
		return false
	}
	if !s.journal.Room(s.cfg.BlockBytes, s.out) {
		s.watchSpace()
		return false
	}
	f := s.newFlight(journal.Lease)
	f.header.Raise = core.Epoch(max(want, f.header.Timestamp) + leaseSpan)
	data, hash := journal.EncodeEmpty(f.header)
	s.out.Mark(markLease)
	return s.launch(f, data, hash, s.journal.Last()+1)
}

// applyLease makes a lease known.
func (s *Shard) applyLease(until core.Timestamp) { s.lease = max(s.lease, until) }

const markLease proc.Mark = "shard.lease-proposed"
