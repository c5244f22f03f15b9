package journal

import (
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/disk"
	"actordb/disk/simfile"
)

// Zeros never go over an append, however short they are written and however many
// appends are submitted meanwhile: all entries are read back after a crash.
func TestZerosUnderAppends(t *testing.T) {
	zeros := 0
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 12))
		h := newHost(newDisk(seed))
		mustOpen(t, h) // a segment so small that what is left of short zeros lies under appends
		h.disk.SetFaults(simfile.Faults{ShortWrite: 800_000})
		var list []*pb.Entry
		for i := range 40 {
			e := entryOf(1, core.Index(i+1), payload(1, core.Index(i+1), rnd.IntN(100)))
			list = append(list, e)
			h.append([]*pb.Entry{e}, nil)
			if rnd.IntN(12) == 0 {
				h.settle()
			}
		}
		h.disk.SetFaults(simfile.Faults{})
		h.settle()
		h.crash(true)
		mustOpen(t, h)
		h.check(t, list)
		zeros += h.marks[markZeros]
	}
	if zeros < 60 {
		t.Errorf("zeros were written %d times", zeros)
	}
}

// Zeros go ahead of small appends only, stay within what is reserved, and are as
// much as the limit says.
func TestZerosAhead(t *testing.T) {
	h := newHost(newDisk(1))
	h.cfg.SegmentBytes = 1 << 20
	mustOpen(t, h)
	h.fill(t, 1, 40<<10, 17<<10)
	if n := h.marks[markZeros]; n != 0 {
		t.Errorf("zeros ahead of large appends: %d times", n)
	}
	h.append([]*pb.Entry{entryOf(1, 3, payload(1, 3, 100))}, nil)
	h.settle()
	if got, want := int64(len(image(h.disk)[segmentName(1)])), h.log.last().size+aheadBytes; got != want {
		t.Errorf("the segment has %d bytes, want %d", got, want)
	}
	for i := core.Index(4); h.log.last().number == 1; i++ {
		h.append([]*pb.Entry{entryOf(1, i, payload(1, i, 9000))}, nil)
		h.settle()
		if got := int64(len(image(h.disk)[segmentName(1)])); got > h.cfg.SegmentBytes {
			t.Fatalf("the segment has %d bytes, reserved are %d", got, h.cfg.SegmentBytes)
		}
	}
	if n := h.marks[markZeros]; n < 4 {
		t.Errorf("zeros were written %d times in 1 MiB", n)
	}
}

// J7: a failed write of zeros fails the log.
func TestZerosFail(t *testing.T) {
	h := newHost(newDisk(1))
	mustOpen(t, h)
	h.append([]*pb.Entry{entryOf(1, 1, payload(1, 1, 100))}, nil)
	h.step() // the append
	last := &h.inflight[len(h.inflight)-1]
	if last.op.Kind != disk.OpWrite || last.op.Sync || last.token != h.cfg.Tokens+tokenZero {
		t.Fatalf("in flight is %v, want zeros", last.op)
	}
	h.disk.SetFaults(simfile.Faults{WriteError: 1_000_000})
	h.settle()
	if h.log.Err() == nil {
		t.Error("the log goes on after a failed write")
	}
}
