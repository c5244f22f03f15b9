package shard

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
)

// appended is a storage append whose responses wait for its durability.
type appended struct {
	id        uint64
	responses []*pb.Message
}

const (
	electionTicks  = 10
	heartbeatTicks = 1
	inflightMsgs   = 64
)

// startRaft makes the Raft node on the recovered log.
func (s *Shard) startRaft() error {
	node, err := raft.NewRawNode(&raft.Config{
		ID: s.cfg.Replica, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks,
		Storage: s.journal, Applied: uint64(s.applied), AsyncStorageWrites: true,
		MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: 8 << 20,
		MaxUncommittedEntriesSize: uint64(s.cfg.Pipeline+1) * uint64(2*s.cfg.BlockBytes+2*core.CommandBytesMax),
		MaxInflightMsgs:           inflightMsgs, CheckQuorum: true, PreVote: true,
		DisableProposalForwarding: true, Logger: quiet{},
	})
	if err != nil {
		return err
	}
	s.node = node
	s.term = core.Term(s.journal.HardState().GetTerm())
	s.out.SetTimer(timerRaft, s.now.Mono+raftTick)
	if len(s.cfg.Voters) == 1 {
		return node.Campaign() // nobody to wait for
	}
	return nil
}

// drainRaft carries out what Raft wants done until it wants nothing more.
func (s *Shard) drainRaft() {
	s.deliverDurable()
	for s.out.Fault == nil && s.node.HasReady() {
		rd := s.node.Ready()
		if rd.SoftState != nil {
			s.leader = rd.SoftState.RaftState == raft.StateLeader
		}
		if rd.HardState != nil && rd.HardState.GetTerm() != 0 {
			s.setTerm(core.Term(rd.HardState.GetTerm()))
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
					if s.out.Fault == nil {
						s.apply(e)
					}
				}
				s.step(m.Responses)
			default:
				core.Assert(false, "message %s to peer %d of a group of one", m.GetType(), m.GetTo())
			}
		}
		for _, r := range rd.ReadStates {
			s.readable(r)
		}
		s.deliverDurable()
	}
}

func (s *Shard) setTerm(term core.Term) {
	if term != s.term {
		s.term, s.leading = term, false
	}
}

// store hands a storage append to the journal. A mere commit index is not
// worth a write: it rides with the next one.
func (s *Shard) store(m *pb.Message) {
	var hard *pb.HardState
	if m.GetTerm() != 0 || m.GetVote() != 0 || m.GetCommit() != 0 {
		hard = &pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
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
	id := s.journal.Append(m.Entries, hard, s.out)
	s.appends = append(s.appends, appended{id: id, responses: m.Responses})
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

func (s *Shard) step(responses []*pb.Message) {
	for _, m := range responses {
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
	for i := range s.reads {
		s.reject(s.reads[i].pending, core.CodeNotLeader, "")
	}
	s.reads = nil
}

// confirmReads asks Raft once for all reads of this step whether this replica
// still leads.
func (s *Shard) confirmReads() {
	if len(s.reads) == 0 || !s.leading || s.out.Fault != nil {
		return
	}
	s.readSeq++
	s.node.ReadIndex(binary.BigEndian.AppendUint64(nil, s.readSeq))
	s.drainRaft()
}

// readable answers the reads: the replica led after their states were taken,
// and those states reflect everything committed.
func (s *Shard) readable(r raft.ReadState) {
	if len(r.RequestCtx) != 8 || binary.BigEndian.Uint64(r.RequestCtx) != s.readSeq || core.Index(r.Index) > s.applied {
		return
	}
	for i := range s.reads {
		s.answerRead(&s.reads[i])
	}
	clear(s.reads)
	s.reads = s.reads[:0]
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
