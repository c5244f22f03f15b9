package journal

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
)

// Entries that have left the memory window are said to be compacted until they have
// been read back, and then they are given as they were, the next ones ahead of
// their use. What is still being written is never read back.
func TestOldEntriesComeBack(t *testing.T) {
	h := newHost(newDisk(1))
	h.cfg.WindowBytes, h.cfg.SegmentBytes = 4<<10, 1<<20
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	const last = 200
	data := func(i core.Index) []byte { return bytes.Repeat([]byte{byte(i)}, 300) }
	for i := core.Index(1); i <= last; i++ {
		h.append(entries1(i, data(i)), nil)
		h.settle()
	}
	h.log.Applied(last)
	h.append(entries1(last+1, data(last+1)), nil) // under way
	if h.log.windowFirst < last/2 {
		t.Fatalf("the window begins at %d", h.log.windowFirst)
	}
	got := core.Index(1)
	for tries := 0; got < h.log.windowFirst; {
		list, err := h.log.Entries(uint64(got), last+1, 2000)
		switch {
		case errors.Is(err, raft.ErrCompacted):
			if tries++; tries > 5 {
				t.Fatalf("entry %d does not come back", got)
			}
			if _, err := h.log.Snapshot(); !errors.Is(err, raft.ErrSnapshotTemporarilyUnavailable) {
				t.Fatalf("a snapshot for entry %d: %v", got, err)
			}
			h.log.FetchCold(&h.fx)
			h.submit()
			if h.log.cold.last >= h.log.windowFirst {
				t.Fatalf("entries up to %d are read, the window begins at %d", h.log.cold.last, h.log.windowFirst)
			}
			h.settle()
			continue
		case err != nil || len(list) == 0:
			t.Fatalf("entry %d: %v", got, err)
		}
		for _, e := range list {
			if core.Index(e.GetIndex()) != got || !bytes.Equal(e.GetData(), data(got)) || e.GetTerm() != 1 {
				t.Fatalf("entry %d.%d is given for %d", e.GetTerm(), e.GetIndex(), got)
			}
			got++
		}
	}
	if h.marks[markCold] == 0 {
		t.Error("nothing was read")
	}
	if _, err := h.log.Entries(0, 1, 1); !errors.Is(err, raft.ErrCompacted) {
		t.Errorf("entry 0: %v", err)
	}
}

func entries1(i core.Index, data []byte) []*pb.Entry { return []*pb.Entry{entryOf(1, i, data)} }
