package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
)

// specimen makes a journal of several segments with a vouched tail.
func specimen(t testing.TB) (files map[string][]byte, list []*pb.Entry, hard *pb.HardState) {
	t.Helper()
	h := newHost(newDisk(3))
	mustOpen(t, h)
	list = h.fill(t, 2, 0, 1, 700, 3000, 4000, 5000, 3000, 13, 8000, 4500, 900, 1200, 40, 0, 77)
	h.idle()
	h.settle()
	if h.log.Segments() < 3 {
		t.Fatalf("%d segments, want more", h.log.Segments())
	}
	s := h.log.HardState()
	return image(h.disk), list, stateOf(s.GetTerm(), s.GetVote(), s.GetCommit())
}

type span struct {
	from, to int64
	kind     frameKind
}

// frames lists the frames of a sound segment.
func frames(b []byte, name string) (list []span) {
	number, _ := segmentNumber(name)
	for at := int64(0); at < int64(len(b)); {
		h, ok := parseFrameHeader(b[at:], testIdentity.salt(number), at)
		if !ok {
			break
		}
		list = append(list, span{at, at + int64(frameBytes(h.length)), h.kind})
		at = list[len(list)-1].to
	}
	return list
}

func frameAt(list []span, at int64) span {
	for _, s := range list {
		if at >= s.from && at < s.to {
			return s
		}
	}
	return span{at, at + 1, 0}
}

func sortedNames(files map[string][]byte) []string {
	var names []string
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func clone(files map[string][]byte) map[string][]byte {
	c := map[string][]byte{}
	for n, b := range files {
		c[n] = slices.Clone(b)
	}
	return c
}

// zerosFlipped is how many of the zeros behind a segment's frames are flipped too.
const zerosFlipped = 100

// J2, J3: a flipped bit anywhere, when the tail is vouched for, is either of no
// consequence or a damage located in its frame; and from the right entries every
// entry's frame is mended, so that all comes back.
func TestEveryByteFlipped(t *testing.T) {
	files, list, hard := specimen(t)
	stride := 1
	if testing.Short() {
		stride = 13
	}
	harmless, located, mended := 0, 0, 0
	for _, name := range sortedNames(files) {
		spans := frames(files[name], name)
		end := int(spans[len(spans)-1].to)
		for at := 0; at < min(len(files[name]), end+zerosFlipped); at += stride {
			flipped := clone(files)
			flipped[name][at] ^= 1 << (at % 8)
			h := newHost(restore(t, flipped))
			err := h.open()
			var d *Damage
			frame := frameAt(spans, int64(at))
			switch {
			case err == nil:
				h.check(t, list)
				if s := h.log.HardState(); s.GetTerm() != hard.GetTerm() || s.GetVote() != hard.GetVote() || s.GetCommit() != hard.GetCommit() {
					t.Fatalf("%s byte %d: hard state %v, want %v", name, at, s, hard)
				}
				harmless++
				continue
			case !errors.As(err, &d):
				t.Fatalf("%s byte %d: %v, want a located damage", name, at, err)
			case d.Segment != name || d.To <= frame.from || d.From >= frame.to:
				t.Fatalf("%s byte %d: %v does not meet the frame [%d,%d)", name, at, d, frame.from, frame.to)
			}
			located++
			patch, err := Mend(testIdentity, d, flipped[name], list)
			if frame.kind != frameEntry {
				if err != nil && !errors.Is(err, ErrBeyondMending) {
					t.Fatalf("%s byte %d: %v", name, at, err)
				}
				if err != nil {
					continue
				}
			} else if err != nil {
				t.Fatalf("%s byte %d: %v: %v", name, at, d, err)
			}
			copy(flipped[name][d.From:d.To], patch)
			h = newHost(restore(t, flipped))
			mustOpen(t, h)
			h.check(t, list)
			mended++
		}
	}
	if harmless == 0 || located < 10*harmless || mended == 0 {
		t.Errorf("%d flips harmless, %d located, %d of them mended", harmless, located, mended)
	}
	t.Logf("%d flips harmless, %d located, %d of them mended", harmless, located, mended)
}

// J2: an entry read back from its file while the log is open is the right one or
// a located damage.
func TestEveryByteOfAnEntryFlippedWhileOpen(t *testing.T) {
	files, list, _ := specimen(t)
	h := newHost(restore(t, files))
	h.cfg.WindowBytes = 0
	mustOpen(t, h)
	for index := core.Index(1); index <= 4; index++ {
		op := h.log.ReadOp(index)
		good := files[op.Name][op.Offset : op.Offset+int64(op.Length)]
		for at := range good {
			bad := slices.Clone(good)
			bad[at] ^= 1 << (at % 8)
			data, err := h.log.DecodeEntry(index, bad)
			var d *Damage
			switch {
			case err == nil && bytes.Equal(data, list[index-1].GetData()):
			case !errors.As(err, &d) || d.From != op.Offset || d.To != op.Offset+int64(op.Length):
				t.Fatalf("entry %d, byte %d flipped: %v", index, at, err)
			}
			if _, err := h.log.DecodeEntry(index, good[:at]); !errors.As(err, &d) {
				t.Fatalf("entry %d cut to %d bytes: %v", index, at, err)
			}
		}
	}
}

// J3: what was never vouched for is cut, at whatever byte it is torn, and not
// reported as damage.
func TestTornTailAtEveryByte(t *testing.T) {
	h := newHost(newDisk(4))
	mustOpen(t, h)
	list := h.fill(t, 1, 100, 200)
	before := image(h.disk)
	list = append(list, h.fill(t, 1, 300)...)
	files := image(h.disk)
	name := segmentName(1)
	for n := len(before[name]); n <= len(files[name]); n++ {
		for _, junk := range []byte{0, 0xa5} {
			torn := clone(files)
			for i := n; i < len(torn[name]); i++ {
				torn[name][i] = junk
			}
			g := newHost(restore(t, torn))
			mustOpen(t, g)
			keep := int(g.log.Last())
			if keep < 2 {
				t.Fatalf("torn at %d: %d entries left", n, keep)
			}
			g.check(t, list[:keep])
			list2 := append(slices.Clone(list[:keep]), g.fill(t, 2, 50)...)
			g.crash(true)
			mustOpen(t, g)
			g.check(t, list2)
		}
	}
}

func wantDamage(t *testing.T, h *host, segment string) *Damage {
	t.Helper()
	var d *Damage
	if err := h.open(); !errors.As(err, &d) || d.Segment != segment {
		t.Fatalf("recovery: %v, want damage of %s", err, segment)
	}
	if h.fault == nil || !errors.As(h.fault, &d) {
		t.Fatalf("the node was not halted with the damage: %v", h.fault)
	}
	return d
}

// J5: a missing file is located.
func TestMissingSegment(t *testing.T) {
	files, _, _ := specimen(t)
	delete(files, segmentName(2))
	wantDamage(t, newHost(restore(t, files)), segmentName(2))
}

// A log is opened only by its owner, and only by a program that knows its format.
func TestForeignAndFuture(t *testing.T) {
	files, _, _ := specimen(t)
	for what, change := range map[string]func(*Identity){
		"cluster": func(id *Identity) { id.Cluster[15]++ },
		"shard":   func(id *Identity) { id.Shard++ },
		"replica": func(id *Identity) { id.Replica++ },
	} {
		h := newHost(restore(t, files))
		change(&h.cfg.Identity)
		if err := h.open(); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), ".journal") {
			t.Errorf("another %s: %v", what, err)
		}
		for name, b := range image(h.disk) {
			if !bytes.Equal(b, files[name]) {
				t.Errorf("another %s: %s was changed", what, name)
			}
		}
	}
	renamed := map[string][]byte{segmentName(1): files[segmentName(2)]}
	if err := newHost(restore(t, renamed)).open(); !errors.Is(err, ErrForeign) {
		t.Errorf("a segment under another's name: %v", err)
	}
	for _, name := range sortedNames(files) {
		future := clone(files)
		b := future[name]
		b[frameHeaderBytes] = 9
		length := binary.LittleEndian.Uint32(b[8:])
		binary.LittleEndian.PutUint32(b[4:], checksum(0, b[frameHeaderBytes:frameHeaderBytes+length]))
		binary.LittleEndian.PutUint32(b[0:], checksum(0, b[4:frameHeaderBytes]))
		err := newHost(restore(t, future)).open()
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "format 9") {
			t.Errorf("a future format: %v", err)
		}
	}
}

// A valid frame in the wrong place is no frame there: misdirected writes do not
// pass for truth.
func TestMisdirectedFrame(t *testing.T) {
	files, _, _ := specimen(t)
	one := frames(files[segmentName(1)], segmentName(1))
	two := frames(files[segmentName(2)], segmentName(2))
	entry := func(list []span, n int) span {
		for _, s := range list {
			if s.kind == frameEntry {
				if n--; n < 0 {
					return s
				}
			}
		}
		t.Fatal("too few entries")
		return span{}
	}
	move := func(from string, src span, to string, at int64) {
		t.Helper()
		bad := clone(files)
		copy(bad[to][at:], files[from][src.from:src.to])
		d := wantDamage(t, newHost(restore(t, bad)), to)
		if d.From > at || d.To <= at {
			t.Errorf("%s [%d,+%d) over %s byte %d: %v", from, src.from, src.to-src.from, to, at, d)
		}
	}
	move(segmentName(1), entry(one, 0), segmentName(1), entry(one, 3).from)
	move(segmentName(1), entry(one, 3), segmentName(1), entry(one, 4).from)
	move(segmentName(1), entry(one, 3), segmentName(2), entry(two, 0).from)
	move(segmentName(2), entry(two, 0), segmentName(1), entry(one, 4).from)
}

// A stale frame of the same place breaks the chain to the next one.
func TestStaleFrame(t *testing.T) {
	h := newHost(newDisk(5))
	mustOpen(t, h)
	h.fill(t, 1, 500)
	before := image(h.disk)
	end := func(files map[string][]byte) int64 {
		spans := frames(files[segmentName(1)], segmentName(1))
		return spans[len(spans)-1].to
	}
	at := end(before)
	h.fill(t, 1, 500)
	after := image(h.disk)
	stale := after[segmentName(1)][at:end(after)]
	g := newHost(restore(t, before))
	mustOpen(t, g)
	g.fill(t, 2, 500, 500)
	files := image(g.disk)
	copy(files[segmentName(1)][at:], stale)
	wantDamage(t, newHost(restore(t, files)), segmentName(1))
}

// Mend proves what it puts in place, and gives up where it cannot.
func TestMendRefuses(t *testing.T) {
	files, list, _ := specimen(t)
	name := segmentName(1)
	spans := frames(files[name], name)
	try := func(what string, break_ func(b []byte), entries []*pb.Entry) {
		t.Helper()
		bad := clone(files)
		break_(bad[name])
		d := wantDamage(t, newHost(restore(t, bad)), name)
		if patch, err := Mend(testIdentity, d, bad[name], entries); !errors.Is(err, ErrBeyondMending) || patch != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var entry, state, seal span
	for _, s := range spans {
		switch {
		case s.kind == frameEntry && s.to-s.from > 1000 && entry.to == 0:
			entry = s
		case s.kind == frameState && entry.to != 0 && state.to == 0:
			state = s
		case s.kind == frameSeal:
			seal = s
		}
	}
	other := slices.Clone(list)
	for i, e := range other {
		other[i] = entryOf(9, core.Index(e.GetIndex()), e.GetData())
	}
	try("entries of another term", func(b []byte) { b[entry.from+100]++ }, other)
	try("entries of another term, header lost", func(b []byte) { b[entry.from]++ }, other)
	try("no entries", func(b []byte) { b[entry.from+100]++ }, nil)
	try("a hard state", func(b []byte) { b[state.from+45]++ }, list)
	try("a hard state, header lost", func(b []byte) { b[state.from]++ }, list)
	try("the segment frame", func(b []byte) { b[0]++ }, list)
	try("the seal's header", func(b []byte) { b[seal.from]++ }, list)
	bad := clone(files)
	bad[name][seal.from+41]++
	d := wantDamage(t, newHost(restore(t, bad)), name)
	patch, err := Mend(testIdentity, d, bad[name], nil)
	if err != nil || len(patch) == 0 || !bytes.Equal(patch, files[name][d.From:d.From+int64(len(patch))]) {
		t.Errorf("the seal's payload: %v", err)
	}
}

// What is damaged behind the frame that is mended is not written again: it is found
// on its own, and mended then.
func TestMendWritesOnlyWhatItMends(t *testing.T) {
	files, list, _ := specimen(t)
	name := segmentName(1)
	spans := frames(files[name], name)
	i := slices.IndexFunc(spans, func(s span) bool { return s.kind == frameEntry })
	bad := clone(files)
	bad[name][spans[i].from+frameHeaderBytes+1]++ // a payload
	bad[name][spans[i+1].from+27]++               // the next one's header
	d := wantDamage(t, newHost(restore(t, bad)), name)
	if d.To <= int64(spans[i].to) {
		t.Fatalf("the damage ends at %d, the first frame at %d", d.To, spans[i].to)
	}
	patch, err := Mend(testIdentity, d, bad[name], list)
	if err != nil || len(patch) != int(spans[i].to-spans[i].from) {
		t.Fatalf("a patch of %d bytes for a frame of %d: %v", len(patch), spans[i].to-spans[i].from, err)
	}
}

// Mend fills a gap of several entries whose headers are all lost.
func TestMendGapOfSeveral(t *testing.T) {
	h := newHost(newDisk(6))
	mustOpen(t, h)
	var list []*pb.Entry
	for i := core.Index(1); i <= 6; i++ {
		list = append(list, entryOf(1, i, payload(1, i, int(i)*50)))
	}
	h.append(list, stateOf(1, 1, 0))
	h.settle()
	h.idle()
	h.settle()
	files := image(h.disk)
	name := segmentName(1)
	var entries []span
	for _, s := range frames(files[name], name) {
		if s.kind == frameEntry {
			entries = append(entries, s)
		}
	}
	for i := entries[2].from; i < entries[4].to; i++ {
		files[name][i] ^= 0xff
	}
	d := wantDamage(t, newHost(restore(t, files)), name)
	if d.From != entries[2].from || d.To != entries[4].to || d.After != 2 {
		t.Fatalf("%v", d)
	}
	patch, err := Mend(testIdentity, d, files[name], list)
	if err != nil {
		t.Fatal(err)
	}
	copy(files[name][d.From:], patch)
	g := newHost(restore(t, files))
	mustOpen(t, g)
	g.check(t, list)
}
