package shard

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
)

// appended is a storage append whose responses wait for its durability.
type appended struct {
	id        uint64
	responses []*pb.Message
}

const (
	electionTicks  = 10
	heartbeatTicks = 1
	// To a replica that does not acknowledge, no more than this is under way.
	inflightMsgs  = 64
	inflightBytes = 16 << 20
)

// startRaft makes the Raft node on the recovered log.
func (s *Shard) startRaft() error {
	s.journal.StartAt(s.raftApplied())
	node, err := raft.NewRawNode(&raft.Config{
		ID: s.cfg.Replica, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks,
		Storage: s.journal, Applied: uint64(s.raftApplied()), AsyncStorageWrites: true,
		MaxSizePerMsg: uint64(s.cfg.MessageBytes), MaxCommittedSizePerReady: 8 << 20,
		MaxUncommittedEntriesSize: uint64(s.cfg.Pipeline+1) * uint64(2*s.cfg.BlockBytes+2*core.CommandBytesMax),
		MaxInflightMsgs:           inflightMsgs, MaxInflightBytes: inflightBytes,
		CheckQuorum: true, PreVote: true, DisableProposalForwarding: true, Logger: quiet{},
		StepDownOnRemoval: true,
	})
	if err != nil {
		return err
	}
	s.node = node
	s.out.SetTimer(timerRaft, s.nextTick())
	if len(s.voters) == 1 && s.voters[0] == s.cfg.Replica {
		return node.Campaign() // nobody to wait for
	}
	// A new group need not wait until somebody loses patience; and so its first
	// leader is where the placement wants it.
	s.eager = !s.journal.Forgotten() && s.term == 0 && s.journal.Last() == 0 && s.cfg.Placement.Group(s.cfg.Shard)[0].ID == s.cfg.Replica
	return nil
}

// nextTick is a tick from now, by up to an eighth more or less: replicas that began
// together do not stay in step, where two that time out at the same tick would split
// the votes.
func (s *Shard) nextTick() proc.Tick {
	d := s.cfg.Tick / 8
	return s.now.Mono + s.cfg.Tick - d + proc.Tick(s.env.Rand.Int64N(2*int64(d)+1))
}

// raftApplied is what Raft need not hand over again: what is applied, or will be
// without it.
func (s *Shard) raftApplied() core.Index {
	if s.behind {
		return s.load.until
	}
	return min(s.applied, s.journal.Last())
}

// drainRaft carries out what Raft wants done until it wants nothing more.
func (s *Shard) drainRaft() {
	defer s.journal.FetchCold(s.out)
	s.deliverDurable()
	for s.out.Fault == nil && s.node.HasReady() {
		rd := s.node.Ready()
		elected := false
		if rd.SoftState != nil {
			s.leader, s.lead = rd.SoftState.RaftState == raft.StateLeader, rd.SoftState.Lead
			elected = s.leader
		}
		if rd.HardState != nil && rd.HardState.GetTerm() != 0 {
			s.setTerm(core.Term(rd.HardState.GetTerm()))
		}
		if elected {
			s.watch(Watched{Did: Led})
		}
		if !s.leader && (s.leading || len(s.flights) > 0) {
			s.stepDown()
		}
		for _, m := range rd.Messages {
			switch m.GetTo() {
			case raft.LocalAppendThread:
				s.store(m)
			case raft.LocalApplyThread:
				for _, e := range m.Entries {
					s.committed(e)
				}
				s.step(m.Responses)
			default:
				s.tell(m)
			}
		}
		for _, r := range rd.ReadStates {
			s.readable(r)
		}
		s.deliverDurable()
	}
}

func (s *Shard) setTerm(term core.Term) {
	if term == s.term {
		return
	}
	s.term = term
	if s.leading || len(s.flights) > 0 {
		s.stepDown()
	}
}

// store hands a storage append to the journal. A mere commit index is not
// worth a write: it rides with the next one.
func (s *Shard) store(m *pb.Message) {
	var hard *pb.HardState
	if m.GetTerm() != 0 || m.GetVote() != 0 || m.GetCommit() != 0 {
		hard = &pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if snap := m.GetSnapshot(); !raft.IsEmptySnap(snap) {
		s.beginAnew(m, snap, hard)
		return
	}
	old := s.journal.HardState()
	if len(m.Entries) == 0 && (hard == nil || hard.GetTerm() == old.GetTerm() && hard.GetVote() == old.GetVote()) {
		if hard != nil {
			s.journal.NoteCommit(hard)
		}
		if len(m.Responses) > 0 {
			s.appends = append(s.appends, appended{id: s.journal.LastAppend(), responses: m.Responses})
		}
		return
	}
	for _, e := range m.Entries {
		s.watchEntry(Appended, e)
	}
	id := s.journal.Append(m.Entries, hard, s.out)
	s.appends = append(s.appends, appended{id: id, responses: m.Responses})
}

// beginAnew replaces the log by one that begins later, since the group has compacted
// what this one lacks. The state as of there is fetched.
func (s *Shard) beginAnew(m *pb.Message, snap *pb.Snapshot, hard *pb.HardState) {
	at, members := snap.GetMetadata(), journal.MembershipOf(snap)
	core.Assert(len(m.Entries) == 0, "a snapshot with %d entries", len(m.Entries))
	index, term := core.Index(at.GetIndex()), core.Term(at.GetTerm())
	s.watch(Watched{Did: Restored, Index: index, Entry: term})
	id := s.journal.Restore(index, term, members, hard, s.out)
	s.appends = append(s.appends, appended{id: id, responses: m.Responses})
	s.anew = id
	s.regrouped(members)
	s.load.until = max(s.load.until, index)
	if s.fetching.step != fetchNone || !s.holds(index) {
		s.fetchState(index)
	}
}

// committed takes an entry that Raft says is committed, and durable here.
func (s *Shard) committed(e *pb.Entry) {
	index := core.Index(e.GetIndex())
	s.handed = max(s.handed, index)
	if e.GetType() != pb.EntryNormal && s.out.Fault == nil {
		s.regroup(e)
	}
	switch {
	case s.out.Fault != nil:
	case s.behind || index <= s.applied: // catchUp applies it, or the fetched state reflects it
		s.load.until = max(s.load.until, index)
		s.journal.Applied(index)
	default:
		s.apply(e)
	}
}

// deliverDurable gives Raft the responses of the appends that are durable now.
func (s *Shard) deliverDurable() {
	n := 0
	for n < len(s.appends) && s.appends[n].id <= s.journal.Durable() && s.out.Fault == nil {
		s.step(s.appends[n].responses)
		n++
	}
	if n > 0 {
		rest := copy(s.appends, s.appends[n:])
		clear(s.appends[rest:])
		s.appends = s.appends[:rest]
	}
}

// step gives Raft what its storage has to say to it, and the other replicas what
// this one may promise them now.
func (s *Shard) step(responses []*pb.Message) {
	for _, m := range responses {
		s.watchPromise(m)
		if m.GetTo() != s.cfg.Replica {
			if m.GetType() == pb.MsgAppResp && !m.GetReject() {
				s.storedTo, s.storedIn = core.Index(m.GetIndex()), core.Term(m.GetTerm())
			}
			s.tell(m)
			continue
		}
		if err := s.node.Step(m); err != nil {
			s.halt(fmt.Errorf("raft refuses its own storage's response %s: %w", m.GetType(), err))
			return
		}
	}
}

// stepDown gives up what only a leader may hold.
func (s *Shard) stepDown() {
	s.leading = false
	s.dropOverlay()
	s.rejectReads()
}

// round is a question to Raft whether this replica still leads, for all reads
// whose states were taken before it was asked.
type round struct {
	reads     []read
	inquirers []inquirer // of replicas, likewise
	asked     proc.Tick
	seq       uint64 // of the question; 0: none is under way
	index     core.Index
	sure      bool // it leads; the answers leave when everything up to index is applied
}

func (s *Shard) rejectReads() {
	for i := range s.asked.reads {
		s.reject(s.asked.reads[i].pending, core.CodeNotLeader, "")
	}
	for i := range s.reads {
		s.reject(s.reads[i].pending, core.CodeNotLeader, "")
	}
	clear(s.asked.reads)
	clear(s.reads)
	s.reads, s.asked = s.reads[:0], round{reads: s.asked.reads[:0], inquirers: s.asked.inquirers[:0]}
	s.inquirers = s.inquirers[:0]
}

// confirmReads asks Raft once for all reads that came while it had to answer the
// last question. Raft asks again with its heartbeats, so none is lost.
func (s *Shard) confirmReads() {
	for s.out.Fault == nil {
		if !s.leading {
			s.rejectReads() // a walk may end in another term than it began in
			return
		}
		if s.asked.sure && s.asked.index <= s.applied {
			s.watch(Watched{Did: Confirmed})
			for i := range s.asked.reads {
				s.answerRead(&s.asked.reads[i])
			}
			clear(s.asked.reads)
			s.tellHorizon(s.asked.inquirers)
			s.horizon.asOf = max(s.horizon.asOf, s.asked.asked)
			s.asked = round{reads: s.asked.reads[:0], inquirers: s.asked.inquirers[:0]}
		}
		if s.asked.seq != 0 {
			return
		}
		if s.asked.inquirers = s.answerable(s.asked.inquirers); len(s.reads) == 0 && len(s.asked.inquirers) == 0 {
			return
		}
		s.readSeq++
		s.reads, s.asked.reads = s.asked.reads[:0], s.reads
		s.asked.seq, s.asked.asked = s.readSeq, s.now.Mono
		s.watch(Watched{Did: Asked, Index: s.applied})
		s.node.ReadIndex(binary.BigEndian.AppendUint64(nil, s.readSeq))
		s.drainRaft()
	}
}

// readable notes that the replica led after the states of a round were taken;
// these reflect everything committed when all up to the index is applied.
func (s *Shard) readable(r raft.ReadState) {
	if len(r.RequestCtx) == 8 && s.asked.seq != 0 && binary.BigEndian.Uint64(r.RequestCtx) == s.asked.seq {
		s.asked.sure, s.asked.index = true, core.Index(r.Index)
	}
}

// quiet drops Raft's chatter: what matters reaches the shard as state. A panic
// of Raft is a bug.
type quiet struct{}

func (quiet) Debug(...any)              {}
func (quiet) Debugf(string, ...any)     {}
func (quiet) Error(...any)              {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Info(...any)               {}
func (quiet) Infof(string, ...any)      {}
func (quiet) Warning(...any)            {}
func (quiet) Warningf(string, ...any)   {}
func (quiet) Fatal(v ...any)            { panic(core.Bug(fmt.Sprint(v...))) }
func (quiet) Fatalf(f string, v ...any) { panic(core.Bug(fmt.Sprintf(f, v...))) }
func (quiet) Panic(v ...any)            { panic(core.Bug(fmt.Sprint(v...))) }
func (quiet) Panicf(f string, v ...any) { panic(core.Bug(fmt.Sprintf(f, v...))) }
