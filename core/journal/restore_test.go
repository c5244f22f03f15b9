package journal

import (
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
)

// A log that begins anew after an entry has nothing before it any more, goes on
// from there, and is the same after a loss of power, whether its older segments have
// been compacted or not.
func TestBeginAnew(t *testing.T) {
	for _, compact := range []bool{false, true} {
		h := newHost(newDisk(3))
		if err := h.open(); err != nil {
			t.Fatal(err)
		}
		for i := core.Index(1); i <= 30; i++ { // some segments
			h.append(entries1(i, payload(1, i, 1500)), stateOf(1, 1, uint64(i)))
			h.settle()
		}
		h.log.Applied(20)
		h.append(entries1(31, payload(1, 31, 10)), nil) // under way, and void
		id := h.log.Restore(100, 4, Membership{Index: 90, Conf: &pb.ConfState{Voters: []uint64{1, 5, 9}}, Note: []byte("three")}, stateOf(5, 0, 100), &h.fx)
		h.submit()
		h.settle()
		if h.log.Durable() < id {
			t.Fatal("it is not durable")
		}
		h.append([]*pb.Entry{entryOf(5, 101, payload(5, 101, 40))}, nil)
		h.settle()
		if compact {
			for i := core.Index(102); i < 120; i++ {
				h.append([]*pb.Entry{entryOf(5, i, payload(5, i, 1500))}, stateOf(5, 0, uint64(i)))
				h.settle()
			}
			h.log.Applied(119)
			h.log.Compact(h.log.CompactableTo(119), &h.fx)
			h.submit()
			h.settle()
		}
		floor, last := h.log.Floor(), h.log.Last()
		for range 2 {
			h.disk.Crash(true)
			if err := h.open(); err != nil {
				t.Fatal(err)
			}
			hard, conf, err := h.log.InitialState()
			if err != nil || h.log.Floor() != floor || h.log.Last() != last || hard.GetTerm() != 5 || hard.GetCommit() < 100 {
				t.Fatalf("compacted %t: a log of %d to %d, %v, %v", compact, h.log.Floor()+1, h.log.Last(), hard, err)
			}
			if members := h.log.Membership(floor); !slices.Equal(conf.GetVoters(), []uint64{1, 5, 9}) || string(members.Note) != "three" || members.Index != 90 || !compact && h.log.Restored() != 100 {
				t.Fatalf("configuration %v, restored at %d", conf, h.log.Restored())
			}
			if term, err := h.log.Term(uint64(floor)); err != nil || !compact && term != 4 {
				t.Fatalf("term %d of the entry that it begins after, %v", term, err)
			}
			if e, err := h.log.Entries(uint64(last), uint64(last)+1, 1<<20); err != nil || len(e) != 1 || core.Index(e[0].GetIndex()) != last {
				t.Fatalf("%v, %v", e, err)
			}
		}
	}
}
