package journal

import (
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
)

func changeEntry(t *testing.T, term uint64, index core.Index, note string, changes ...*pb.ConfChangeSingle) *pb.Entry {
	t.Helper()
	data, err := proto.Marshal(&pb.ConfChangeV2{Changes: changes, Context: []byte(note)})
	if err != nil {
		t.Fatal(err)
	}
	return &pb.Entry{Term: &term, Index: proto.Uint64(uint64(index)), Type: pb.EntryConfChangeV2.Enum(), Data: data}
}

func single(kind pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: &kind, NodeId: &id}
}

// A log knows who makes up the group as of each of its entries: through power losses,
// when entries that changed it are replaced, and when they are compacted away.
func TestMembership(t *testing.T) {
	h := newHost(newDisk(3))
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	born := slices.Clone(h.log.Membership(0).Conf.GetVoters())
	check := func(when string, at core.Index, index core.Index, note string, voters, learners []uint64) {
		t.Helper()
		m := h.log.Membership(at)
		if m.Index != index || string(m.Note) != note || !slices.Equal(m.Conf.GetVoters(), voters) || !slices.Equal(m.Conf.GetLearners(), learners) {
			t.Fatalf("%s: as of entry %d: entry %d, note %q, %v; want entry %d, note %q, %v and %v", when, at, m.Index, m.Note, m.Conf, index, note, voters, learners)
		}
	}
	h.append([]*pb.Entry{entryOf(1, 1, payload(1, 1, 100)), changeEntry(t, 1, 2, "four learns", single(pb.ConfChangeAddLearnerNode, 4)), entryOf(1, 3, nil)}, stateOf(1, 1, 2))
	h.settle()
	h.append([]*pb.Entry{changeEntry(t, 1, 4, "never", single(pb.ConfChangeAddNode, 5))}, nil)
	h.settle()
	check("appended", 4, 4, "never", append(slices.Clone(born), 5), []uint64{4})
	h.append([]*pb.Entry{entryOf(2, 4, payload(2, 4, 100)), changeEntry(t, 2, 5, "four votes", single(pb.ConfChangeAddNode, 4))}, stateOf(2, 1, 5))
	h.settle()
	all := append(slices.Clone(born), 4)
	see := func(when string) {
		t.Helper()
		check(when, 1, 0, "", born, nil)
		check(when, 4, 2, "four learns", born, []uint64{4})
		check(when, h.log.Last(), 5, "four votes", all, nil)
	}
	see("replaced")
	if data, ok := h.log.Entry(5); !ok || len(data) > 0 {
		t.Fatalf("an entry that changes the group has a block: %x", data)
	}
	h.disk.Crash(true)
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	see("recovered")
	h.log.Applied(4)
	for i := core.Index(6); i <= 20; i++ { // the segments that come know of entry 2, and not of entry 5
		h.append([]*pb.Entry{entryOf(2, i, payload(2, i, 1500))}, stateOf(2, 1, uint64(i)))
		h.settle()
	}
	if keeps := h.log.KeepsChange(); keeps != 4 {
		t.Fatalf("entries up to %d may go, though nothing else says what entry 5 does", keeps)
	}
	h.log.Applied(20)
	for i := core.Index(21); i <= 60; i++ {
		h.append([]*pb.Entry{entryOf(2, i, payload(2, i, 1500))}, stateOf(2, 1, uint64(i)))
		h.settle()
	}
	h.log.Applied(60)
	h.log.Compact(h.log.CompactableTo(min(h.log.KeepsChange(), 50)), &h.fx)
	h.submit()
	h.settle()
	if h.log.Floor() <= 5 {
		t.Fatalf("the log begins after %d", h.log.Floor())
	}
	h.disk.Crash(true)
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	check("compacted", h.log.Floor(), 5, "four votes", all, nil)
	snapshot, err := h.log.Snapshot()
	if err != nil || !slices.Equal(snapshot.GetMetadata().GetConfState().GetVoters(), all) {
		t.Fatalf("%v, %v", snapshot, err)
	}
}
