package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/disk/simfile"
)

var testIdentity = Identity{Cluster: [16]byte{0xc1}, Shard: 7, Replica: 1, Voters: []uint64{1}}

func testConfig() Config {
	return Config{Identity: testIdentity, SegmentBytes: SegmentBytesMin, WindowBytes: 8 << 10, Tokens: 100}
}

// A host plays the host of one log: it submits effects in their order and
// completes them in any order that F1 allows, as pick says.
type host struct {
	disk     *simfile.Disk
	cfg      Config
	log      *Log
	fx       proc.Effects
	fault    error
	inflight []inflight
	pick     func(n int) int // which of n lanes completes next; nil: the oldest op
	diary    *strings.Builder
	marks    map[proc.Mark]int
}

type inflight struct {
	token  proc.Token
	op     disk.Op
	ticket uint64
}

func newDisk(seed uint64) *simfile.Disk {
	return simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(seed, 11))})
}

// newFlippable is a disk whose every byte may be flipped.
func newFlippable(seed uint64) *simfile.Disk {
	return simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(seed, 11)),
		Atlas: &simfile.Atlas{Redundancy: 1}, Eligible: func(string, int64, int64) bool { return true }})
}

func newHost(d *simfile.Disk) *host {
	return &host{disk: d, cfg: testConfig(), marks: map[proc.Mark]int{}}
}

// start makes an incarnation and lets it recover.
func (h *host) start() {
	h.log, h.fault = New(h.cfg), nil
	h.inflight = nil
	h.note("recover")
	h.log.Recover(&h.fx)
	h.submit()
}

// open starts and runs until nothing is in flight.
func (h *host) open() error {
	h.start()
	h.settle()
	if h.log.Err() == nil && !h.log.Open() && !h.log.Full() {
		return errors.New("recovery stopped without a word")
	}
	return h.log.Err()
}

func (h *host) note(format string, args ...any) {
	if h.diary != nil {
		fmt.Fprintf(h.diary, format+"\n", args...)
	}
}

// submit hands the effects to the disk.
func (h *host) submit() {
	for _, m := range h.fx.Marks {
		h.marks[m]++
		h.note("  mark %s", m)
	}
	for _, f := range h.fx.Files {
		ticket, _ := h.disk.Submit(f.Op)
		h.inflight = append(h.inflight, inflight{f.Token, f.Op, ticket})
		h.note("> %s", f.Op)
		if h.diary != nil && f.Op.Kind == disk.OpWrite {
			h.note("%s", describe(f.Op))
		}
	}
	if h.fx.Fault != nil {
		h.fault = h.fx.Fault
		h.note("  fault: %v", h.fault)
	}
	h.fx.Reset()
}

func lane(op disk.Op) string {
	switch op.Kind {
	case disk.OpList, disk.OpRename, disk.OpRemove, disk.OpSyncDir:
		return "/"
	}
	return op.Name
}

// step completes one operation. It returns false when none is in flight, or the
// log has failed.
func (h *host) step() bool {
	if len(h.inflight) == 0 || h.fault != nil {
		return false
	}
	i := 0
	if h.pick != nil {
		var heads []int
		seen := map[string]bool{}
		for k, f := range h.inflight {
			if !seen[lane(f.op)] {
				seen[lane(f.op)] = true
				heads = append(heads, k)
			}
		}
		i = heads[h.pick(len(heads))]
	}
	f := h.inflight[i]
	h.inflight = slices.Delete(h.inflight, i, i+1)
	res := h.disk.Complete(f.ticket)
	switch {
	case res.Err != nil:
		h.note("< %s: %v", f.op.Kind, res.Err)
	case f.op.Kind == disk.OpRead || f.op.Kind == disk.OpWrite:
		h.note("< %s %d bytes", f.op.Kind, res.N)
	case f.op.Kind == disk.OpList:
		h.note("< list %s", strings.Join(res.Names, " "))
	case f.op.Kind == disk.OpStat:
		h.note("< stat %d bytes", res.Size)
	default:
		h.note("< %s", f.op.Kind)
	}
	h.log.Done(f.token, &res, &h.fx)
	h.submit()
	return true
}

func (h *host) settle() {
	for h.step() {
	}
}

// crash ends the incarnation.
func (h *host) crash(power bool) {
	h.note("crash power=%v", power)
	h.disk.Crash(power)
	h.inflight = nil
}

func (h *host) append(entries []*pb.Entry, hard *pb.HardState) uint64 {
	for _, e := range entries {
		h.note("append %d.%d %d bytes", e.GetTerm(), e.GetIndex(), len(e.GetData()))
	}
	if hard != nil {
		h.note("append state term %d vote %d commit %d", hard.GetTerm(), hard.GetVote(), hard.GetCommit())
	}
	id := h.log.Append(entries, hard, &h.fx)
	h.submit()
	return id
}

func (h *host) idle() {
	h.note("idle")
	h.log.Idle(&h.fx)
	h.submit()
}

// entry reads an entry as the shard does: from memory, or from its file.
func (h *host) entry(index core.Index) (*pb.Entry, error) {
	term, err := h.log.Term(uint64(index))
	if err != nil {
		return nil, err
	}
	data, ok := h.log.Entry(index)
	if !ok {
		var res disk.Result
		for range readAttempts { // as the shard does
			ticket, _ := h.disk.Submit(h.log.ReadOp(index))
			if res = h.disk.Complete(ticket); res.Err == nil {
				break
			}
		}
		if res.Err != nil {
			return nil, res.Err
		}
		if data, err = h.log.DecodeEntry(index, res.Data); err != nil {
			return nil, err
		}
	}
	return entryOf(core.Term(term), index, data), nil
}

func entryOf(term core.Term, index core.Index, data []byte) *pb.Entry {
	return &pb.Entry{Term: proto.Uint64(uint64(term)), Index: proto.Uint64(uint64(index)), Data: data}
}

func stateOf(term, vote, commit uint64) *pb.HardState {
	return &pb.HardState{Term: proto.Uint64(term), Vote: proto.Uint64(vote), Commit: proto.Uint64(commit)}
}

// payload makes bytes that tell an entry from every other.
func payload(term core.Term, index core.Index, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(uint64(term)*131 + uint64(index)*31 + uint64(i)*7)
	}
	return b
}

// same tells why two entries differ, or "".
func same(a, b *pb.Entry) string {
	switch {
	case a.GetTerm() != b.GetTerm() || a.GetIndex() != b.GetIndex():
		return fmt.Sprintf("entry %d.%d in the place of %d.%d", a.GetTerm(), a.GetIndex(), b.GetTerm(), b.GetIndex())
	case !bytes.Equal(a.GetData(), b.GetData()):
		return fmt.Sprintf("entry %d.%d has other bytes", a.GetTerm(), a.GetIndex())
	}
	return ""
}

// check compares the log's entries with list, which begins at entry 1.
func (h *host) check(t testing.TB, list []*pb.Entry) {
	t.Helper()
	if int(h.log.Last()) != len(list) {
		t.Fatalf("the log ends at %d, want %d", h.log.Last(), len(list))
	}
	for index := h.log.Floor() + 1; index <= h.log.Last(); index++ {
		e, err := h.entry(index)
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		if why := same(e, list[index-1]); why != "" {
			t.Fatal(why)
		}
	}
}

func mustOpen(t testing.TB, h *host) {
	t.Helper()
	if err := h.open(); err != nil {
		t.Fatalf("recovery: %v", err)
	}
}

// fill appends entries of the given sizes one by one, each durable before the
// next, and returns them.
func (h *host) fill(t testing.TB, term core.Term, sizes ...int) (list []*pb.Entry) {
	t.Helper()
	for _, n := range sizes {
		index := h.log.Last() + 1
		e := entryOf(term, index, payload(term, index, n))
		id := h.append([]*pb.Entry{e}, stateOf(uint64(term), 1, uint64(index)-1))
		h.settle()
		if h.log.Durable() < id {
			t.Fatalf("entry %d is not durable: %v", index, h.log.Err())
		}
		list = append(list, e)
	}
	return list
}

// image returns all files by name.
func image(d *simfile.Disk) map[string][]byte {
	names, _ := d.FS().List()
	files := map[string][]byte{}
	for _, n := range names {
		files[n], _ = d.Export(n)
	}
	return files
}

// restore makes a disk with these files, durable.
func restore(t testing.TB, files map[string][]byte) *simfile.Disk {
	t.Helper()
	d := newFlippable(1)
	fs := d.FS()
	for name, b := range files {
		f, err := fs.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.SyncDir(); err != nil {
		t.Fatal(err)
	}
	return d
}

// describe lists the frames of a write, one a line.
func describe(op disk.Op) string {
	number, _ := segmentNumber(op.Name)
	salt := testIdentity.salt(number)
	var lines []string
	for at := 0; at < len(op.Data); {
		h, ok := parseFrameHeader(op.Data[at:], salt, op.Offset+int64(at))
		if !ok || at+frameBytes(h.length) > len(op.Data) {
			if !slices.ContainsFunc(op.Data[at:], func(b byte) bool { return b != 0 }) {
				return fmt.Sprintf("    %d: %d zeros", op.Offset+int64(at), len(op.Data)-at)
			}
			lines = append(lines, fmt.Sprintf("    %d: %d bytes that are no frame", op.Offset+int64(at), len(op.Data)-at))
			break
		}
		p := op.Data[at+frameHeaderBytes:]
		what := "?"
		switch h.kind {
		case frameSegment:
			s, _ := parseSegmentHeader(p[:h.length])
			what = fmt.Sprintf("segment %d after entry %d.%d", s.number, s.lastTerm, s.lastIndex)
		case frameEntry:
			what = fmt.Sprintf("entry %d.%d %d bytes", le64(p), le64(p[8:]), h.length-entryFixedBytes)
		case frameState:
			what = fmt.Sprintf("state term %d vote %d commit %d", le64(p), le64(p[8:]), le64(p[16:]))
		case frameSeal:
			what = fmt.Sprintf("seal after entry %d", le64(p))
		}
		lines = append(lines, fmt.Sprintf("    %d: %s, durable to %d", h.offset, what, h.durable))
		at += frameBytes(h.length)
	}
	return strings.Join(lines, "\n")
}
