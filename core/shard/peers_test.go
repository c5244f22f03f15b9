package shard

import (
	"errors"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

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
		c.Placement, c.Replica, c.Voters, c.TrustedPeers = placement, 2, []uint64{1, 2, 3}, "gateway"
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
