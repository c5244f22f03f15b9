package shard

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// The replicas of a group send each other Raft's messages, in one frame for each
// replica and step. What comes is taken only from the place and under the identity
// that the placement gives the replica that it claims to be from.

// A peer is another replica of the group.
type peer struct {
	Replica
	writer wire.Writer
	spoken spoken
}

// messageOverhead is what a frame and a message take beside its entries' data.
const messageOverhead = 64 << 10

// blockBytesMax keeps a block small enough for a frame.
const blockBytesMax = core.FrameBytesMax - messageOverhead

// peersOf are the other replicas.
func peersOf(cfg *Config) []*peer {
	var list []*peer
	for _, r := range cfg.Placement.Group(cfg.Shard) {
		if r.ID != cfg.Replica {
			list = append(list, &peer{Replica: r})
		}
	}
	return list
}

func (s *Shard) peer(id uint64) *peer {
	for _, p := range s.peers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// tell puts a message into the frame for its replica. One that is not placed
// anywhere is not told.
func (s *Shard) tell(m *pb.Message) {
	p := s.peer(m.GetTo())
	if p == nil {
		s.out.Mark(markNoPeer)
		return
	}
	var err error
	if s.scratch, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(s.scratch[:0], m); err != nil {
		core.Assert(false, "message %s cannot be encoded: %v", m.GetType(), err)
	}
	w := &p.writer
	if w.Count() > 0 && (w.Bytes()+len(s.scratch) > core.FrameBytesMax/2 || w.Count() >= core.FrameCommandsMax) {
		s.out.Send(p.Addr, w.Finish(wire.Peers))
	}
	w.Message(&wire.PeerHeader{Cluster: s.cfg.Cluster, Shard: s.cfg.Shard, From: s.cfg.Replica, To: p.ID}, s.scratch)
	if cap(s.scratch) > scratchKept {
		s.scratch = nil
	}
}

// scratchKept bounds the room that is kept for encoding.
const scratchKept = 1 << 20

func (s *Shard) sendPeers() {
	for _, p := range s.peers {
		if p.writer.Count() > 0 {
			s.out.Send(p.Addr, p.writer.Finish(wire.Peers))
		}
	}
}

// fromPeer takes a frame of another replica.
func (s *Shard) fromPeer(in *proc.Input) {
	r, h, err := wire.OpenPeers(in.Frame)
	if err != nil {
		s.out.Mark(markBadFrame)
		return
	}
	p := s.peer(h.From)
	if p == nil && h.Cluster == s.cfg.Cluster && h.Shard == s.cfg.Shard && h.To == s.cfg.Replica {
		p = s.stranger(h.From, in)
	}
	if p == nil || in.From != p.Addr || in.Peer != p.Peer || h.Cluster != s.cfg.Cluster || h.Shard != s.cfg.Shard || h.To != s.cfg.Replica {
		s.out.Mark(markNotPeer)
		return
	}
	if s.node == nil && r.Kind == wire.Peers {
		return // its sender will send again
	}
	for b, ok := r.Message(); ok; b, ok = r.Message() {
		if r.Kind == wire.Transfers {
			s.parcelFrom(h.From, b)
			continue
		}
		m, err := decodeMessage(b, h.From, h.To)
		if err != nil {
			s.out.Mark(markBadFrame)
			return
		}
		s.stepPeer(m)
	}
	if r.Err() != nil {
		s.out.Mark(markBadFrame)
	}
}

// stepPeer hands a message to Raft, unless it says what cannot be.
func (s *Shard) stepPeer(m *pb.Message) {
	if s.journal.Forgotten() {
		switch m.GetType() {
		case pb.MsgVote, pb.MsgPreVote, pb.MsgTimeoutNow:
			s.out.Mark(markAbstained)
			return
		}
	}
	last := uint64(s.journal.Last())
	if m.GetType() == pb.MsgHeartbeat && m.GetTerm() >= uint64(s.term) && m.GetCommit() > last {
		if s.journal.Forgotten() {
			return // true, once: the leader finds out when it is asked (see witness)
		}
		// The leader sends no commit index beyond what this replica told it to have.
		s.halt(fmt.Errorf("replica %d says that entry %d stands here, but the journal ends at %d: it was lost or exchanged", m.GetFrom(), m.GetCommit(), last))
		return
	}
	if err := s.node.Step(m); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) && !errors.Is(err, raft.ErrProposalDropped) {
		s.out.Mark(markBadFrame)
	}
}

var errMessage = errors.New("not a message between replicas")

// between lists the messages that replicas may send each other: none that Raft
// sends to itself, and no proposals, which the leader alone makes.
func between(t pb.MessageType) bool {
	switch t {
	case pb.MsgApp, pb.MsgAppResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp,
		pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgSnap, pb.MsgTimeoutNow:
		return true
	}
	return false
}

// decodeMessage reads a message of Raft from one replica to another and checks
// what Raft takes for granted.
func decodeMessage(b []byte, from, to uint64) (*pb.Message, error) {
	m := &pb.Message{}
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	switch {
	case m.GetFrom() != from || m.GetTo() != to:
		return nil, fmt.Errorf("%w: from %d to %d in a frame from %d to %d", errMessage, m.GetFrom(), m.GetTo(), from, to)
	case !between(m.GetType()):
		return nil, fmt.Errorf("%w: %s", errMessage, m.GetType())
	case m.GetTerm() == 0:
		return nil, fmt.Errorf("%w: no term", errMessage)
	case len(m.Entries) > 0 && m.GetType() != pb.MsgApp:
		return nil, fmt.Errorf("%w: entries in %s", errMessage, m.GetType())
	case m.GetSnapshot() != nil && m.GetType() != pb.MsgSnap || len(m.Responses) > 0:
		return nil, fmt.Errorf("%w: a snapshot or responses in %s", errMessage, m.GetType())
	}
	next, term := m.GetIndex()+1, m.GetLogTerm()
	for _, e := range m.Entries {
		if e.GetIndex() != next || e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return nil, fmt.Errorf("%w: entry %d.%d after %d.%d in term %d", errMessage, e.GetTerm(), e.GetIndex(), term, next-1, m.GetTerm())
		}
		next, term = next+1, e.GetTerm()
	}
	return m, nil
}

// tickPeers does what is due with a tick.
func (s *Shard) tickPeers() {
	if s.leader {
		s.watch(Watched{Did: Ticked})
	}
	if s.journal.Forgotten() {
		s.recall()
	}
	s.giveTick()
	s.fetchTick()
	s.pollTick()
	if s.ticks++; s.ticks%electionTicks != 0 || !s.leader {
		return
	}
	// A snapshot that was sent may be lost. Who has it says so; to the others it is
	// sent again.
	var lost []uint64
	s.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if pr.State == tracker.StateSnapshot {
			lost = append(lost, id)
		}
	})
	for _, id := range lost {
		s.node.ReportSnapshot(id, raft.SnapshotFailure)
	}
}

// unreachable tells Raft that messages to a replica may have been lost.
func (s *Shard) unreachable(at proc.Addr) {
	i := slices.IndexFunc(s.peers, func(p *peer) bool { return p.Addr == at })
	if i >= 0 && s.node != nil {
		s.node.ReportUnreachable(s.peers[i].ID)
	}
}
