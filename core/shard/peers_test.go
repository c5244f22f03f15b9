package shard

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/net/wire"
)

// ofThree makes the second replica of a group of three, whose others are the test.
func ofThree(t *testing.T) *loop {
	t.Helper()
	return newLoop(t, actor.Policy{}, func(c *Config) {
		group := []Replica{{1, proc.Addr{Node: 1, Proc: 2}, "one"}, {2, proc.Addr{Node: 2, Proc: 2}, "two"}, {3, proc.Addr{Node: 3, Proc: 2}, "three"}}
		placement, err := SpreadGroups([][]Replica{group})
		if err != nil {
			t.Fatal(err)
		}
		c.Placement, c.Replica, c.Voters, c.TrustedPeers, c.Fresh = placement, 2, []uint64{1, 2, 3}, "gateway", true
	})
}

func message(kind pb.MessageType, term, index, logTerm uint64) *pb.Message {
	return &pb.Message{Type: &kind, From: proto.Uint64(1), To: proto.Uint64(2), Term: &term, Index: &index, LogTerm: &logTerm, Commit: proto.Uint64(0)}
}

func encoded(t *testing.T, m *pb.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A vote is answered to the replica that asks for it, and to nobody who only says
// that it is that replica: neither from another place, nor under another identity,
// nor for another cluster, shard or replica.
func TestFramesOfOthers(t *testing.T) {
	honest := wire.PeerHeader{From: 1, To: 2}
	for name, c := range map[string]struct {
		change func(in *proc.Input, h *wire.PeerHeader)
		taken  bool
	}{
		"honest":        {func(*proc.Input, *wire.PeerHeader) {}, true},
		"other place":   {func(in *proc.Input, _ *wire.PeerHeader) { in.From.Node = 3 }, false},
		"other peer":    {func(in *proc.Input, _ *wire.PeerHeader) { in.Peer = "three" }, false},
		"no peer":       {func(in *proc.Input, _ *wire.PeerHeader) { in.Peer = "" }, false},
		"other cluster": {func(_ *proc.Input, h *wire.PeerHeader) { h.Cluster[3] = 1 }, false},
		"other shard":   {func(_ *proc.Input, h *wire.PeerHeader) { h.Shard = 1 }, false},
		"other replica": {func(_ *proc.Input, h *wire.PeerHeader) { h.To = 3 }, false},
		"other sender":  {func(_ *proc.Input, h *wire.PeerHeader) { h.From = 3 }, false},
		"nobody":        {func(_ *proc.Input, h *wire.PeerHeader) { h.From = 9 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := ofThree(t)
			in := proc.Input{Kind: proc.Message, From: proc.Addr{Node: 1, Proc: 2}, Peer: "one"}
			h := honest
			c.change(&in, &h)
			var w wire.Writer
			w.Message(&h, encoded(t, message(pb.MsgVote, 5, 0, 0)))
			in.Frame = w.Finish(wire.Peers)
			l.drop = true
			l.put(in)
			l.run()
			if taken := l.shard.term == 5; taken != c.taken || l.marks[markNotPeer] == 1 == c.taken {
				t.Errorf("term %d, marks %v", l.shard.term, l.marks)
			}
		})
	}
}

// A frame from a replica is no door for commands, and messages that Raft sends to
// itself alone, or that it would not survive, are no messages between replicas.
func TestMessagesThatAreNone(t *testing.T) {
	entry := func(term, index uint64) *pb.Entry { return &pb.Entry{Term: &term, Index: &index} }
	for name, change := range map[string]func(*pb.Message){
		"hup":           func(m *pb.Message) { m.Type = pb.MsgHup.Enum() },
		"proposal":      func(m *pb.Message) { m.Type = pb.MsgProp.Enum() },
		"stored":        func(m *pb.Message) { m.Type = pb.MsgStorageAppendResp.Enum() },
		"applied":       func(m *pb.Message) { m.Type = pb.MsgStorageApplyResp.Enum() },
		"no term":       func(m *pb.Message) { m.Term = proto.Uint64(0) },
		"other sender":  func(m *pb.Message) { m.From = proto.Uint64(3) },
		"gap":           func(m *pb.Message) { m.Entries = []*pb.Entry{entry(1, 2)} },
		"term back":     func(m *pb.Message) { m.Entries = []*pb.Entry{entry(2, 1), entry(1, 2)} },
		"term ahead":    func(m *pb.Message) { m.Entries = []*pb.Entry{entry(3, 1)} },
		"entries":       func(m *pb.Message) { m.Type = pb.MsgVote.Enum(); m.Entries = []*pb.Entry{entry(1, 1)} },
		"responses":     func(m *pb.Message) { m.Responses = []*pb.Message{{}} },
		"with snapshot": func(m *pb.Message) { m.Snapshot = &pb.Snapshot{} },
	} {
		m := message(pb.MsgApp, 2, 0, 0)
		if _, err := decodeMessage(encoded(t, m), 1, 2); err != nil {
			t.Fatal(err)
		}
		change(m)
		if _, err := decodeMessage(encoded(t, m), 1, 2); !errors.Is(err, errMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A replica whose leader remembers entries of it that are gone stops, with the
// place, and takes part in nothing more.
func TestLostLogIsNoticed(t *testing.T) {
	l := ofThree(t)
	m := message(pb.MsgHeartbeat, 5, 0, 0)
	m.Commit = proto.Uint64(3)
	var w wire.Writer
	w.Message(&wire.PeerHeader{From: 1, To: 2}, encoded(t, m))
	l.put(proc.Input{Kind: proc.Message, From: proc.Addr{Node: 1, Proc: 2}, Peer: "one", Frame: w.Finish(wire.Peers)})
	l.run()
	if l.fault == nil {
		t.Error("a heartbeat that commits what is not here is followed")
	}
}

// Any bytes are a message or an error, and what is a message does not break Raft.
func FuzzMessage(f *testing.F) {
	m := message(pb.MsgApp, 2, 0, 0)
	m.Entries = []*pb.Entry{{Term: proto.Uint64(2), Index: proto.Uint64(1), Data: []byte("x")}}
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, kind := range []pb.MessageType{pb.MsgVote, pb.MsgPreVote, pb.MsgHeartbeat, pb.MsgAppResp, pb.MsgTimeoutNow} {
		if b, err = proto.Marshal(message(kind, 2, 0, 0)); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b, 1, 2)
		if err != nil {
			if !errors.Is(err, errMessage) {
				t.Fatal(err)
			}
			return
		}
		if !between(m.GetType()) || m.GetFrom() != 1 || m.GetTo() != 2 {
			t.Fatalf("accepted: %v", m)
		}
	})
}

// A replica that has forgotten its promises gives no vote and stands for none, until
// every other voter has told its term and it has what stood in their leader's log.
func TestForgetfulReplicaAbstains(t *testing.T) {
	l := ofThree(t)
	l.files.Wipe()
	l.cfg.Fresh = false
	l.drop = true
	l.restart(true)
	s := l.shard
	tell := func(from uint64, kind wire.Kind, b []byte) {
		var w wire.Writer
		w.Message(&wire.PeerHeader{From: from, To: 2}, b)
		l.put(proc.Input{Kind: proc.Message, From: proc.Addr{Node: proc.NodeID(from), Proc: 2}, Peer: []string{"", "one", "", "three"}[from], Frame: w.Finish(kind)})
		l.run()
	}
	vote := func(term uint64) core.Term {
		tell(1, wire.Peers, encoded(t, message(pb.MsgVote, term, 9, term-1)))
		return s.term
	}
	if got := vote(7); got != 0 || l.marks[markAbstained] != 1 {
		t.Fatalf("in term %d after a request for a vote in term 7", got)
	}
	for range 60 {
		l.fire()
	}
	if s.term != 0 || s.node.BasicStatus().RaftState != raft.StateFollower {
		t.Fatalf("it stands for election: %s", s)
	}
	app := message(pb.MsgApp, 7, 0, 0)
	app.Entries = []*pb.Entry{{Term: proto.Uint64(7), Index: proto.Uint64(1)}}
	tell(1, wire.Peers, encoded(t, app))
	witness := func(from uint64, term core.Term, at core.Index) {
		p := parcel{kind: parcelWitness, nonce: s.remembering.nonce, term: term, at: at}
		tell(from, wire.Transfers, p.encode())
	}
	witness(1, 7, 2)
	witness(3, 7, 0)
	if !s.journal.Forgotten() {
		t.Fatal("it remembers, and the leader's log is longer than its own")
	}
	witness(1, 7, 1)
	if s.journal.Forgotten() {
		t.Fatal("it does not remember")
	}
	for range 25 { // until its leader has been silent for long enough
		l.fire()
	}
	if got := vote(8); got != 8 {
		t.Errorf("in term %d after a request for a vote in term 8", got)
	}
}
