package journal

import (
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/disk"
	"actordb/disk/simfile"
)

// script is a short workload with everything in it: rotation, replaced entries,
// a read, compaction, an idle mark. It stops when the log fails, and returns what
// was appended and how much of it was durable.
func script(h *host) (list []*pb.Entry, durable int) {
	ids := map[uint64]int{}
	add := func(term core.Term, index core.Index, n int) {
		if h.fault != nil || !h.log.Open() {
			return
		}
		e := entryOf(term, index, payload(term, index, n))
		list = append(list[:index-1:index-1], e)
		id := h.append([]*pb.Entry{e}, stateOf(uint64(term), 1, 0))
		ids[id] = len(list)
		h.settle()
		if n := ids[h.log.Durable()]; n > 0 {
			durable = n
		}
	}
	if h.open() != nil {
		return nil, 0
	}
	for i := core.Index(1); i <= 6; i++ {
		add(1, i, 4000)
	}
	add(2, 6, 300)
	if h.fault == nil && h.log.Open() {
		h.log.Applied(5)
		h.log.Room(15<<10, &h.fx)
		h.submit()
		h.settle()
		h.log.Compact(5, &h.fx)
		h.submit()
		h.settle()
	}
	add(2, 7, 100)
	if h.fault == nil {
		h.idle()
		h.settle()
	}
	return list, durable
}

// J2, J7: whichever single operation fails, once or with all after it, the log
// fails with a typed, located error or carries on; what it reported durable is
// there after a restart of either kind, and nothing wrong with it.
func TestEveryOperationFails(t *testing.T) {
	total := uint64(0)
	{
		d := newDisk(1)
		script(newHost(d))
		total = d.OpCount()
	}
	if total < 20 {
		t.Fatalf("the script takes only %d operations", total)
	}
	for n := uint64(1); n <= total; n++ {
		for _, once := range []bool{true, false} {
			for _, power := range []bool{true, false} {
				d := newDisk(n)
				h := newHost(d)
				d.FailNth(n, once)
				list, durable := script(h)
				if h.fault != nil {
					var where *disk.PathError
					if !errors.As(h.fault, &where) || !errors.Is(h.fault, disk.ErrIO) {
						t.Fatalf("operation %d failed: %v, want a *disk.PathError", n, h.fault)
					}
				}
				d.Heal()
				d.SetFaults(simfile.Faults{TornWrite: 500_000, LostUnsynced: 500_000, LostDirent: 500_000})
				h.crash(power)
				if err := h.open(); err != nil {
					t.Fatalf("operation %d failed, once %v, power %v: recovery: %v", n, once, power, err)
				}
				last := int(h.log.Last())
				if last < durable || last > len(list) {
					t.Fatalf("operation %d failed: %d entries are left, %d were durable of %d", n, last, durable, len(list))
				}
				for index := h.log.Floor() + 1; index <= h.log.Last(); index++ {
					e, err := h.entry(index)
					if err != nil {
						t.Fatal(err)
					}
					why := same(e, list[index-1])
					if index == 6 && e.GetTerm() == 1 && durable <= 6 {
						why = "" // its replacement was not durable
					}
					if why != "" {
						t.Fatalf("operation %d failed: %s", n, why)
					}
				}
			}
		}
	}
}

// J7: after a failed write or sync nothing is written any more.
func TestFailsForGood(t *testing.T) {
	for what, faults := range map[string]simfile.Faults{
		"sync":  {SyncError: 1_000_000},
		"write": {WriteError: 1_000_000},
	} {
		h := newHost(newDisk(2))
		mustOpen(t, h)
		list := h.fill(t, 1, 100)
		h.disk.SetFaults(faults)
		e := entryOf(1, 2, payload(1, 2, 100))
		h.append([]*pb.Entry{e}, nil)
		h.settle()
		if h.log.Err() == nil || h.fault == nil || h.log.Open() {
			t.Fatalf("%s: the log goes on after %v", what, h.log.Err())
		}
		h.disk.Heal()
		count := h.disk.OpCount()
		h.log.Append([]*pb.Entry{entryOf(1, 3, nil)}, nil, &h.fx)
		h.log.Idle(&h.fx)
		h.log.Room(100, &h.fx)
		h.log.RetrySpace(&h.fx)
		h.submit()
		if h.disk.OpCount() != count {
			t.Errorf("%s: operations after the failure", what)
		}
		if h.log.Durable() != 1 {
			t.Errorf("%s: append %d passes for durable", what, h.log.Durable())
		}
		h.crash(false)
		mustOpen(t, h)
		if h.log.Last() > 1 {
			list = append(list, e)
		}
		h.check(t, list)
	}
}

// J4: what recovery keeps after a sync that failed is on the disk when the log
// opens, whatever the page cache had shown.
func TestPageCacheIsNotTrusted(t *testing.T) {
	kept := 0
	for seed := uint64(0); seed < 60; seed++ {
		h := newHost(newDisk(seed))
		mustOpen(t, h)
		list := h.fill(t, 1, 600)
		h.disk.SetFaults(simfile.Faults{SyncError: 1_000_000})
		list = append(list, entryOf(1, 2, payload(1, 2, 600)))
		h.append(list[1:], nil)
		h.settle()
		h.disk.Heal()
		h.crash(false)
		mustOpen(t, h)
		list = list[:h.log.Last()]
		kept += len(list) - 1
		shown, _ := h.disk.Export(segmentName(1))
		durable, ok := h.disk.ExportDurable(segmentName(1))
		if !ok || string(shown) != string(durable) {
			t.Fatalf("seed %d: the log is open, and a power loss would leave another file", seed)
		}
		if h.marks[markRewrite] == 0 {
			t.Fatalf("seed %d: the tail was not written again", seed)
		}
		h.disk.SetFaults(simfile.Faults{TornWrite: 1_000_000, LostUnsynced: 1_000_000, LostDirent: 1_000_000})
		h.crash(true)
		mustOpen(t, h)
		h.check(t, list)
	}
	if kept == 0 {
		t.Error("no unsynced entry ever survived: the case is not reached")
	}
}

// A read that fails now and then is tried again.
func TestReadsAreRetried(t *testing.T) {
	h := newHost(newDisk(8))
	mustOpen(t, h)
	list := h.fill(t, 1, 3000, 3000, 3000, 3000, 3000, 3000)
	for n := uint64(1); n < 12; n++ {
		h.crash(false)
		h.disk.FailNth(n, true)
		h.marks[markReadRetry] = 0
		err := h.open()
		if err == nil {
			h.check(t, list)
			continue
		}
		var where *disk.PathError
		if !errors.As(err, &where) || where.Kind == disk.OpRead || where.Kind == disk.OpStat || where.Kind == disk.OpList {
			t.Errorf("operation %d: %v", n, err)
		}
	}
}

// ZK3: the rest of a short write is submitted, and nothing counts before it.
func TestShortWrites(t *testing.T) {
	h := newHost(newDisk(9))
	h.disk.SetFaults(simfile.Faults{ShortWrite: 700_000})
	mustOpen(t, h)
	list := h.fill(t, 1, 500, 5000, 9000, 9000, 70)
	if h.marks[markShortWrite] == 0 {
		t.Error("no write was short")
	}
	h.disk.SetFaults(simfile.Faults{TornWrite: 1_000_000, LostUnsynced: 1_000_000})
	h.crash(true)
	mustOpen(t, h)
	h.check(t, list)
}

// J6: on a full disk Room says no and Full says why; what was admitted stays
// good; hard states go on; with space back RetrySpace gets on.
func TestDiskFull(t *testing.T) {
	h := newHost(newDisk(10))
	mustOpen(t, h)
	list := h.fill(t, 1, 5000)
	h.disk.SetFaults(simfile.Faults{QuotaBytes: 20 << 10})
	for h.log.Room(3000, &h.fx) {
		h.submit()
		list = append(list, h.fill(t, 1, 3000)...)
	}
	h.submit()
	h.settle()
	if !h.log.Full() || h.fault != nil {
		t.Fatalf("full %v, fault %v", h.log.Full(), h.fault)
	}
	if names, _ := h.disk.FS().List(); len(names) != 1 {
		t.Errorf("the file that got no space was left behind: %v", names)
	}
	id := h.append(nil, stateOf(5, 2, 1)) // an election goes on
	h.settle()
	if h.log.Durable() < id {
		t.Error("a hard state waits for space")
	}
	big := entryOf(5, h.log.Last()+1, payload(5, 9, 6000)) // more than Room had granted: it waits
	id = h.append([]*pb.Entry{big}, nil)
	h.settle()
	if h.log.Durable() >= id || h.fault != nil {
		t.Fatalf("an entry without space: durable %d, fault %v", h.log.Durable(), h.fault)
	}
	h.log.RetrySpace(&h.fx)
	h.submit()
	h.settle()
	if !h.log.Full() {
		t.Error("no longer full without space")
	}
	h.disk.Heal()
	h.log.RetrySpace(&h.fx)
	h.submit()
	h.settle()
	if h.log.Full() || h.log.Durable() < id {
		t.Errorf("space is back: full %v, durable %d of %d", h.log.Full(), h.log.Durable(), id)
	}
	list = append(list, big)
	list = append(list, h.fill(t, 5, 100)...)
	h.crash(true)
	mustOpen(t, h)
	h.check(t, list)
	if h.log.HardState().GetVote() != 1 && h.log.HardState().GetVote() != 2 {
		t.Errorf("vote %d", h.log.HardState().GetVote())
	}
}

// A log whose disk is full from the start opens once there is space.
func TestDiskFullAtBirth(t *testing.T) {
	h := newHost(newDisk(11))
	h.disk.SetFaults(simfile.Faults{QuotaBytes: 4 << 10})
	if err := h.open(); err != nil || h.log.Open() || !h.log.Full() {
		t.Fatalf("open %v, full %v, %v", h.log.Open(), h.log.Full(), err)
	}
	h.disk.Heal()
	h.log.RetrySpace(&h.fx)
	h.submit()
	h.settle()
	if !h.log.Open() {
		t.Fatal("not open with space")
	}
	h.check(t, h.fill(t, 1, 10))
}

// Compaction removes whole segments, keeps terms right across replaced suffixes,
// and never stands still behind one.
func TestCompaction(t *testing.T) {
	h := newHost(newDisk(12))
	mustOpen(t, h)
	list := h.fill(t, 1, 5000, 5000, 3000, 3000) // the last one is in segment 2
	for term := core.Term(2); h.log.Segments() < 5; term++ {
		// Each term replaces the last entry, often across a rotation.
		index := h.log.Last()
		e := entryOf(term, index, payload(term, index, 4000))
		h.append([]*pb.Entry{e}, nil)
		h.settle()
		list[index-1] = e
		list = append(list, h.fill(t, term, 1000)...)
	}
	h.log.Applied(h.log.Last())
	segments := h.log.Segments()
	to := h.log.CompactableTo(h.log.Last())
	h.log.Compact(to, &h.fx)
	h.submit()
	h.settle()
	if h.log.Segments() != 1 || h.log.Floor() != to {
		t.Fatalf("%d of %d segments are left, floor %d of %d", h.log.Segments(), segments, h.log.Floor(), to)
	}
	term, err := h.log.Term(uint64(h.log.Floor()))
	if err != nil || term != list[to-1].GetTerm() {
		t.Errorf("term of the floor: %d, %v", term, err)
	}
	h.check(t, list)
	h.crash(true)
	mustOpen(t, h)
	h.check(t, list)
	if again, _ := h.log.Term(uint64(h.log.Floor())); h.log.Floor() == to && again != term {
		t.Errorf("term of the floor after recovery: %d, was %d", again, term)
	}
}

// J2: when older segments are gone, a newest one whose first frames are damaged
// is no unborn file: its hard state is the only one.
func TestOnlySegmentDamagedAtItsHead(t *testing.T) {
	h := newHost(newDisk(13))
	mustOpen(t, h)
	h.fill(t, 3, 5000)
	h.log.Applied(1)
	h.log.Room(15<<10, &h.fx)
	h.submit()
	h.settle()
	h.log.Compact(1, &h.fx)
	h.submit()
	h.settle()
	files := image(h.disk)
	name := segmentName(2)
	if len(files) != 1 || files[name] == nil {
		t.Fatalf("%d files", len(files))
	}
	g := newHost(restore(t, files))
	mustOpen(t, g)
	if g.log.Floor() != 1 || g.log.HardState().GetTerm() != 3 {
		t.Fatalf("floor %d, term %d", g.log.Floor(), g.log.HardState().GetTerm())
	}
	for at := range files[name] {
		bad := clone(files)
		bad[name][at] ^= 4
		d := wantDamageOrOpen(t, newHost(restore(t, bad)), 3)
		if d != nil && d.Segment != name {
			t.Fatal(d)
		}
	}
}

func wantDamageOrOpen(t *testing.T, h *host, term uint64) *Damage {
	t.Helper()
	err := h.open()
	var d *Damage
	switch {
	case errors.As(err, &d):
		return d
	case err != nil || h.log.HardState().GetTerm() != term:
		t.Fatalf("term %d, %v", h.log.HardState().GetTerm(), err)
	}
	return nil
}

// Limits are checked before anything is written.
func TestConfig(t *testing.T) {
	good := testConfig()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for i, spoil := range []func(*Config){
		func(c *Config) { c.SegmentBytes = SegmentBytesMin - 1 },
		func(c *Config) { c.SegmentBytes = SegmentBytesMax + 1 },
		func(c *Config) { c.WindowBytes = -1 },
		func(c *Config) { c.Identity.Voters = nil },
		func(c *Config) { c.Identity.Voters = make([]uint64, votersMax+1) },
	} {
		c := testConfig()
		if spoil(&c); c.Validate() == nil {
			t.Errorf("config %d is accepted", i)
		}
	}
	if fmt.Sprint(Marks()) == "" {
		t.Error("no marks")
	}
}

// J2: a commit index in the file covers only entries that stand before it and are
// not replaced behind it, wherever the tail is torn off.
func TestCommitNeverRunsAhead(t *testing.T) {
	h := newHost(newDisk(14))
	mustOpen(t, h)
	list := h.fill(t, 1, 10)
	h.log.Room(16<<10, &h.fx) // a rotation is under way: appends wait
	h.submit()
	old := []*pb.Entry{entryOf(1, 2, []byte("old")), entryOf(1, 3, []byte("old")), entryOf(1, 4, []byte("old"))}
	h.append(old, nil)
	list = append(list, entryOf(2, 2, []byte("new")), entryOf(2, 3, []byte("new")))
	h.append(list[1:], stateOf(2, 0, 1))
	h.log.NoteCommit(stateOf(2, 0, 3))
	h.settle()
	files := image(h.disk)
	name := segmentName(2)
	highest := uint64(0)
	for _, s := range frames(files[name], name)[2:] {
		torn := clone(files)
		torn[name] = torn[name][:s.to]
		g := newHost(restore(t, torn))
		mustOpen(t, g)
		commit := g.log.HardState().GetCommit()
		highest = max(highest, commit)
		for i := core.Index(1); uint64(i) <= commit; i++ {
			e, err := g.entry(i)
			if err != nil {
				t.Fatal(err)
			}
			if why := same(e, list[i-1]); why != "" {
				t.Errorf("torn off at %d: committed to %d: %s", s.to, commit, why)
			}
		}
	}
	if highest != 3 {
		t.Errorf("commit %d is stored at the end, want 3", highest)
	}
}
