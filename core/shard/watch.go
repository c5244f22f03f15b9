package shard

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/actor"
)

// Watched is what a replica did as a member of its group, for checkers.
type Watched struct {
	Shard   core.ShardID
	Replica uint64
	Did     Deed
	Term    core.Term   // the replica's own at that time
	Index   core.Index  // of the entry it is about
	Entry   core.Term   // that entry's term
	Digest  uint64      // of that entry's bytes; 0: not read
	For     uint64      // Voted: the candidate
	Terms   []core.Term // Recovered: of the entries after Index. Its own only during the call
	Voters  []uint64    // Configured: who votes, and in a joint configuration also
	Leaving []uint64    // who voted before
}

// A Deed is what was done.
type Deed uint8

const (
	Recovered    Deed = iota + 1 // it has a log from Index on; once in each life
	Forgot                       // it has lost what it promised, and knows that
	Configured                   // it knows of this configuration from now on
	Appended                     // an entry went to the journal, in the place of all from its index on
	Voted                        // its vote in term Entry leaves it
	Promised                     // it says that its log holds the leader's entries up to Index
	Led                          // it was elected
	Took                         // an entry is committed, and takes effect here
	Acknowledged                 // it answered the commands of its own block at Index
	Restored                     // its log begins anew after Index
	Installed                    // it has the state as of Index from another replica
	Ticked                       // time has passed while it led
	Asked                        // it asks whether it leads still, for reads of states as of Index
	Confirmed                    // it answered the reads that it asked for last
)

func (s *Shard) watch(w Watched) {
	if s.cfg.Watch != nil {
		w.Shard, w.Replica, w.Term = s.cfg.Shard, s.cfg.Replica, s.term
		s.cfg.Watch(w)
	}
}

func (s *Shard) watchEntry(did Deed, e *pb.Entry) {
	if s.cfg.Watch != nil {
		data := e.GetData()
		if e.GetType() != pb.EntryNormal {
			data = nil // a change of the group: Raft's own business
		}
		s.watch(Watched{Did: did, Index: core.Index(e.GetIndex()), Entry: core.Term(e.GetTerm()), Digest: xxhash.Sum64(data)})
	}
}

// watchRecovered tells what the journal holds when Raft starts.
func (s *Shard) watchRecovered() {
	if s.cfg.Watch == nil {
		return
	}
	if s.journal.Forgotten() {
		s.watch(Watched{Did: Forgot})
	}
	floor := s.journal.Floor()
	w := Watched{Did: Recovered, Index: floor}
	for i := floor; i <= s.journal.Last(); i++ {
		term, err := s.journal.Term(uint64(i))
		core.Assert(err == nil, "term of entry %d: %v", i, err)
		if i == floor {
			w.Entry = core.Term(term)
		} else {
			w.Terms = append(w.Terms, core.Term(term))
		}
	}
	s.watch(w)
}

// watchPromise tells of a vote, or a receipt of entries, that leaves.
func (s *Shard) watchPromise(m *pb.Message) {
	if s.cfg.Watch == nil || m.GetReject() {
		return
	}
	switch m.GetType() {
	case pb.MsgVoteResp:
		s.watch(Watched{Did: Voted, For: m.GetTo(), Entry: core.Term(m.GetTerm())})
	case pb.MsgAppResp:
		s.watch(Watched{Did: Promised, Index: core.Index(m.GetIndex())})
	}
}

// StateDigest is of the state that the entries up to Applied have made: equal for all
// replicas that have applied the same, whatever else they keep. ok is false while the
// replica has no such state, or has one of its own beyond it.
func (s *Shard) StateDigest() (digest uint64, ok bool) {
	if s.phase != phaseServing || s.behind || len(s.flights) > 0 {
		return 0, false
	}
	d := xxhash.New()
	var b []byte
	put := func(list ...uint64) {
		b = b[:0]
		for _, v := range list {
			b = binary.AppendUvarint(b, v)
		}
		_, _ = d.Write(b)
	}
	put(uint64(s.clock), uint64(s.slotEpoch), uint64(s.policyEpoch), uint64(s.catalog), uint64(s.lease), uint64(s.version))
	_, _ = d.Write(s.chain[:])
	_, _ = d.Write(s.slots.append(nil))
	var actors []*known
	s.actors.each(func(_ uint32, k *known) {
		if k.seq > 0 {
			actors = append(actors, k)
		}
	})
	slices.SortFunc(actors, func(x, y *known) int { return strings.Compare(string(x.id), string(y.id)) })
	for _, k := range actors {
		_, _ = d.WriteString(string(k.id))
		put(uint64(k.seq), uint64(k.last))
	}
	s.sessions.Each(func(session *actor.Session) {
		_, _ = d.Write(session.ID[:])
		_, _ = d.Write(encodeSession(session))
	})
	return d.Sum64(), true
}
