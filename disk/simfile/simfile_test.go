package simfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/simfile"
)

const sector = disk.SectorBytes

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// do submits and completes op.
func do(d *simfile.Disk, op disk.Op) disk.Result {
	ticket, _ := d.Submit(op)
	return d.Complete(ticket)
}

func must(t testing.TB, d *simfile.Disk, op disk.Op) disk.Result {
	t.Helper()
	res := do(d, op)
	if res.Err != nil {
		t.Fatalf("%v: %v", op, res.Err)
	}
	return res
}

// file makes a durable file.
func file(t testing.TB, d *simfile.Disk, name string, p []byte) {
	t.Helper()
	must(t, d, disk.Op{Kind: disk.OpCreate, Name: name})
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: name, Data: p, Sync: true})
	must(t, d, disk.Op{Kind: disk.OpSyncDir})
}

func contents(t testing.TB, d *simfile.Disk, name string) []byte {
	t.Helper()
	p, ok := d.Export(name)
	if !ok {
		t.Fatalf("no file %s", name)
	}
	return p
}

func fill(tag byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = tag*31 + byte(i%251) | 1
	}
	return p
}

// Protects F1 to F6: the directory keeps the contract of package disk.
func TestConformance(t *testing.T) {
	for _, rates := range []simfile.Faults{
		{},
		{TornWrite: 500_000, LostUnsynced: 500_000, LostDirent: 500_000},
		{TornWrite: 1_000_000, LostDirent: 1_000_000},
		{LostUnsynced: 1_000_000, ShortWrite: 300_000},
	} {
		t.Run(fmt.Sprintf("%d-%d-%d-%d", rates.TornWrite, rates.LostUnsynced, rates.LostDirent, rates.ShortWrite), func(t *testing.T) {
			disktest.TestFS(t, func(*testing.T) disktest.FSHarness {
				d := simfile.New(simfile.Config{Rand: stream(1), Faults: rates})
				return disktest.FSHarness{
					Open:         func() (disk.FS, error) { return d.FS(), nil },
					Crash:        func() error { d.Crash(true); return nil },
					FailNextSync: func() { d.FailNth(1, true) },
				}
			})
		})
	}
}

// A version is what a file was at some time since its last Sync.
type version []byte

// A modelFile is a list of versions. The first one is durable.
type modelFile struct{ versions []version }

func (m *modelFile) now() version { return m.versions[len(m.versions)-1] }

func (m *modelFile) add(v version) { m.versions = append(m.versions, v) }

// sector returns sector s of v, padded with zeros.
func (v version) sector(s int) [sector]byte {
	var p [sector]byte
	if s*sector < len(v) {
		copy(p[:], v[s*sector:])
	}
	return p
}

// accept checks what a power loss left against S2.
func (m *modelFile) accept(got []byte) error {
	ends := []int{}
	for _, v := range m.versions {
		ends = append(ends, len(v))
	}
	for s := 0; s*sector < len(got); s++ {
		g, ok := version(got).sector(s), false
		for _, v := range m.versions {
			// A version's sector may be cut where the file ends.
			want := v.sector(s)
			if end := len(got) - s*sector; end < sector {
				clear(want[end:])
			}
			ok = ok || g == want
		}
		if !ok {
			return fmt.Errorf("sector %d holds none of its %d versions", s, len(m.versions))
		}
	}
	if !slices.Contains(ends, len(got)) && len(got)%sector != 0 {
		return fmt.Errorf("%d bytes, which no version had (%v) and no sector ends at", len(got), ends)
	}
	if len(got) > slices.Max(ends) || len(got) < slices.Min(ends) {
		return fmt.Errorf("%d bytes, but its versions had %v", len(got), ends)
	}
	return nil
}

// Protects S2 and S4: any mixture of calls, with crashes of both kinds, against
// a file that is a list of versions.
func TestFileModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := simfile.New(simfile.Config{
			Rand:   stream(rapid.Uint64().Draw(t, "seed")),
			Faults: simfile.Faults{TornWrite: 400_000, LostUnsynced: 500_000},
		})
		do(d, disk.Op{Kind: disk.OpCreate, Name: "f"})
		do(d, disk.Op{Kind: disk.OpSyncDir})
		m := &modelFile{versions: []version{{}}}
		change := func(v version) { m.add(v) }
		written := func(p []byte, off int) version {
			v := slices.Clone(m.now())
			if n := off + len(p); n > len(v) {
				v = append(v, make([]byte, n-len(v))...)
			}
			copy(v[off:], p)
			return v
		}
		tag := byte(0)
		drawWrite := func(t *rapid.T) ([]byte, int) {
			tag++
			off := rapid.IntRange(0, 6*sector).Draw(t, "off")
			return fill(tag, rapid.IntRange(1, 3*sector).Draw(t, "n")), off
		}
		check := func(t *rapid.T) {
			got, ok := d.Export("f")
			if !ok {
				t.Fatalf("a synced name was lost")
			}
			if !bytes.Equal(got, m.now()) {
				t.Fatalf("%d bytes do not match the %d of the model", len(got), len(m.now()))
			}
			if durable, ok := d.ExportDurable("f"); !ok || !bytes.Equal(durable, m.versions[0]) {
				t.Fatalf("durable bytes do not match the model")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": check,
			"write": func(t *rapid.T) {
				p, off := drawWrite(t)
				do(d, disk.Op{Kind: disk.OpWrite, Name: "f", Offset: int64(off), Data: p})
				change(written(p, off))
			},
			"truncate": func(t *rapid.T) {
				n := rapid.IntRange(0, 8*sector).Draw(t, "n")
				do(d, disk.Op{Kind: disk.OpTruncate, Name: "f", Offset: int64(n)})
				v := slices.Clone(m.now())
				if n > len(v) {
					v = append(v, make([]byte, n-len(v))...)
				}
				change(v[:n:n])
			},
			"sync": func(*rapid.T) {
				do(d, disk.Op{Kind: disk.OpSync, Name: "f"})
				m.versions = []version{m.now()}
			},
			"writeSync": func(t *rapid.T) {
				p, off := drawWrite(t)
				do(d, disk.Op{Kind: disk.OpWrite, Name: "f", Offset: int64(off), Data: p, Sync: true})
				m.versions = []version{written(p, off)}
			},
			"power": func(t *rapid.T) {
				if rapid.Bool().Draw(t, "inflight") {
					p, off := drawWrite(t)
					d.Submit(disk.Op{Kind: disk.OpWrite, Name: "f", Offset: int64(off), Data: p, Sync: true})
					change(written(p, off))
				}
				d.Crash(true)
				got, ok := d.Export("f")
				if !ok {
					t.Fatalf("a synced name was lost")
				}
				if err := m.accept(got); err != nil {
					t.Fatalf("after a power loss: %v", err)
				}
				m.versions = []version{got}
			},
			"kill": func(t *rapid.T) {
				p, off := drawWrite(t)
				d.Submit(disk.Op{Kind: disk.OpWrite, Name: "f", Offset: int64(off), Data: p})
				d.Crash(false)
				got, _ := d.Export("f")
				before := m.now()
				for n := 0; n <= len(p); n++ {
					v := before
					if n > 0 {
						v = written(p[:n], off)
					}
					if bytes.Equal(got, v) {
						if n > 0 {
							change(v)
						}
						return
					}
				}
				t.Fatalf("after a kill a write in flight is neither done, nor cut short, nor not done")
			},
		})
	})
}

// Protects S3: after a power loss the directory is one that some subset of the
// unsynced changes gives, closed under the names that they share.
func TestDirectoryModel(t *testing.T) {
	type change struct {
		kind     disk.OpKind
		name, to string
		id       string // contents of a created file
	}
	apply := func(dir map[string]string, c change) map[string]string {
		switch c.kind {
		case disk.OpCreate:
			dir[c.name] = c.id
		case disk.OpRemove:
			delete(dir, c.name)
		case disk.OpRename:
			id := dir[c.name]
			delete(dir, c.name)
			dir[c.to] = id
		}
		return dir
	}
	shares := func(a, b change) bool {
		return a.name == b.name || a.to != "" && (a.to == b.name || a.to == b.to) || b.to != "" && b.to == a.name
	}
	rapid.Check(t, func(t *rapid.T) {
		d := simfile.New(simfile.Config{
			Rand:   stream(rapid.Uint64().Draw(t, "seed")),
			Faults: simfile.Faults{LostDirent: 500_000},
		})
		names := []string{"a", "b", "c", "d"}
		durable := map[string]string{}
		var log []change
		clone := func() map[string]string {
			dir := map[string]string{}
			for k, v := range durable {
				dir[k] = v
			}
			return dir
		}
		read := func() map[string]string {
			dir := map[string]string{}
			for _, name := range do(d, disk.Op{Kind: disk.OpList}).Names {
				p, _ := d.Export(name)
				dir[name] = string(p)
			}
			return dir
		}
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			now := clone()
			for _, c := range log {
				now = apply(now, c)
			}
			if got := read(); fmt.Sprint(got) != fmt.Sprint(now) {
				t.Fatalf("the directory is %v, want %v", got, now)
			}
			name := rapid.SampledFrom(names).Draw(t, "name")
			to := rapid.SampledFrom(names).Draw(t, "to")
			_, exists := now[name]
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
			case what == 0:
				do(d, disk.Op{Kind: disk.OpSyncDir})
				durable, log = now, nil
			case !exists:
				id := fmt.Sprintf("file%d", step)
				do(d, disk.Op{Kind: disk.OpCreate, Name: name})
				do(d, disk.Op{Kind: disk.OpWrite, Name: name, Data: []byte(id), Sync: true})
				log = append(log, change{disk.OpCreate, name, "", id})
			case what < 4:
				do(d, disk.Op{Kind: disk.OpRemove, Name: name})
				log = append(log, change{disk.OpRemove, name, "", ""})
			case name != to:
				do(d, disk.Op{Kind: disk.OpRename, Name: name, To: to})
				log = append(log, change{disk.OpRename, name, to, ""})
			}
		}
		d.Crash(true)
		got := read()
		for kept := range 1 << len(log) {
			legal := true
			dir := clone()
			for i, c := range log {
				if kept>>i&1 == 1 {
					dir = apply(dir, c)
					continue
				}
				for j := i + 1; j < len(log); j++ {
					legal = legal && (kept>>j&1 == 0 || !shares(c, log[j]))
				}
			}
			if legal && fmt.Sprint(dir) == fmt.Sprint(got) {
				return
			}
		}
		t.Fatalf("after a power loss the directory is %v, which no legal part of %v makes of %v", got, log, durable)
	})
}

// Protects S5: with everything off, a power loss takes nothing that had
// completed, and no fault draws from the stream.
func TestPerfectDisk(t *testing.T) {
	r, fresh := stream(1), stream(1)
	d := simfile.New(simfile.Config{Rand: r})
	must(t, d, disk.Op{Kind: disk.OpCreate, Name: "a"})
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Data: fill(1, 5000)})
	must(t, d, disk.Op{Kind: disk.OpRename, Name: "a", To: "b"})
	d.Crash(true)
	if got := contents(t, d, "b"); !bytes.Equal(got, fill(1, 5000)) {
		t.Errorf("a perfect disk lost bytes")
	}
	if r.Uint64() != fresh.Uint64() {
		t.Errorf("a perfect disk drew from its stream")
	}
	for _, h := range d.Hits() {
		if h.Count != 0 {
			t.Errorf("a perfect disk counts %d of %s", h.Count, h.Site)
		}
	}
}

// Protects S8: each fault of a power loss is counted when it had an effect, and
// each of them happens.
func TestPowerLossHits(t *testing.T) {
	for _, c := range []struct {
		site   string
		faults simfile.Faults
		noop   bool
	}{
		{simfile.SiteLostUnsynced, simfile.Faults{LostUnsynced: 1_000_000}, false},
		{simfile.SiteTornWrite, simfile.Faults{TornWrite: 1_000_000}, false},
		{simfile.SiteLostDirent, simfile.Faults{LostDirent: 1_000_000}, false},
		{simfile.SiteLostUnsynced, simfile.Faults{LostUnsynced: 1_000_000}, true},
		{simfile.SiteTornWrite, simfile.Faults{TornWrite: 1_000_000}, true},
	} {
		d := simfile.New(simfile.Config{Rand: stream(1), Faults: c.faults})
		file(t, d, "a", fill(1, 64*sector))
		if c.noop { // the same bytes again: nothing can be lost
			must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Data: fill(1, 64*sector)})
		} else {
			must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Data: fill(2, 64*sector)})
			must(t, d, disk.Op{Kind: disk.OpCreate, Name: "b"})
		}
		d.Crash(true)
		if hit := d.HitCount(c.site) > 0; hit == c.noop {
			t.Errorf("%s, write without effect %v: counted %v", c.site, c.noop, hit)
		}
	}
}

// script runs a fixed mixture of calls and returns everything that it saw.
func script(d *simfile.Disk, steps int) string {
	var out bytes.Buffer
	rnd := stream(99)
	var tickets []uint64
	complete := func() {
		for _, i := range tickets {
			res := d.Complete(i)
			fmt.Fprintln(&out, res.Kind, res.N, res.Size, res.Names, len(res.Data), res.Err)
		}
		tickets = tickets[:0]
	}
	for i := range steps {
		name := string(rune('a' + rnd.IntN(3)))
		kinds := []disk.OpKind{disk.OpCreate, disk.OpWrite, disk.OpWrite, disk.OpWrite, disk.OpRead, disk.OpSync,
			disk.OpTruncate, disk.OpReserve, disk.OpStat, disk.OpRename, disk.OpRemove, disk.OpSyncDir, disk.OpList}
		op := disk.Op{Kind: kinds[rnd.IntN(len(kinds))], Name: name, To: "b", Offset: int64(rnd.IntN(9 * sector)),
			Length: rnd.IntN(4 * sector), Data: fill(byte(i), rnd.IntN(5*sector)), Sync: rnd.IntN(2) == 0}
		ticket, latency := d.Submit(op)
		tickets = append(tickets, ticket)
		fmt.Fprintln(&out, op, latency)
		switch rnd.IntN(20) {
		case 0:
			d.Crash(rnd.IntN(2) == 0)
			tickets = tickets[:0]
		case 1, 2, 3, 4, 5:
			complete()
		}
	}
	complete()
	for _, name := range do(d, disk.Op{Kind: disk.OpList}).Names {
		p, _ := d.Export(name)
		fmt.Fprintf(&out, "%s %x\n", name, p)
	}
	fmt.Fprintln(&out, d.Hits(), d.Damages())
	return out.String()
}

func wild(seed uint64) *simfile.Disk {
	return simfile.New(simfile.Config{
		Rand: stream(seed),
		Latencies: simfile.Latencies{
			Read:  simfile.Latency{Base: 90 * time.Microsecond, Jitter: 40 * time.Microsecond},
			Write: simfile.Latency{Base: 20 * time.Microsecond, Jitter: 10 * time.Microsecond, PerKiB: time.Microsecond},
			Sync:  simfile.Latency{Base: 300 * time.Microsecond, Jitter: time.Millisecond, TailPPM: 10_000, Tail: 80 * time.Millisecond},
		},
		Faults: simfile.Faults{ShortWrite: 50_000, WriteError: 50_000, ReadError: 50_000, ReadErrorSticky: 200_000,
			SyncError: 50_000, Misdirected: 200_000, SlowDisk: 50_000, SlowFactor: 20, QuotaBytes: 20 * sector,
			TornWrite: 400_000, LostUnsynced: 400_000, LostDirent: 400_000},
		Atlas:    &simfile.Atlas{Redundancy: 1},
		Eligible: func(string, int64, int64) bool { return true },
	})
}

// Protects determinism: the same stream gives the same outcomes, another gives
// others, and a run of all faults hits them all.
func TestDeterminism(t *testing.T) {
	const steps = 4000
	d := wild(1)
	one, two, other := script(d, steps), script(wild(1), steps), script(wild(2), steps)
	if one != two {
		t.Errorf("two runs of one stream differ")
	}
	if one == other {
		t.Errorf("runs of different streams do not differ")
	}
	d.FlipBit("b", 0)
	for _, h := range d.Hits() {
		if h.Count == 0 && h.Site != simfile.SiteBitFlip {
			t.Errorf("%s never happened", h.Site)
		}
	}
}

// Protects FailNth: the n-th Op fails for every n and every kind, and without
// effect; then the next ones work again, or none does.
func TestFailNth(t *testing.T) {
	ops := []disk.Op{
		{Kind: disk.OpCreate, Name: "a"},
		{Kind: disk.OpWrite, Name: "a", Data: fill(1, 1000)},
		{Kind: disk.OpReserve, Name: "a", Offset: 4096},
		{Kind: disk.OpSync, Name: "a"},
		{Kind: disk.OpRead, Name: "a", Length: 10},
		{Kind: disk.OpTruncate, Name: "a", Offset: 7},
		{Kind: disk.OpStat, Name: "a"},
		{Kind: disk.OpRename, Name: "a", To: "b"},
		{Kind: disk.OpSyncDir},
		{Kind: disk.OpList},
		{Kind: disk.OpRemove, Name: "b"},
	}
	for _, once := range []bool{true, false} {
		for n := 1; n <= len(ops); n++ {
			d := simfile.New(simfile.Config{Rand: stream(1)})
			d.FailNth(uint64(n), once)
			for i, op := range ops {
				before := fmt.Sprint(d.Export("a"))
				err := do(d, op).Err
				if i+1 == n && (!errors.Is(err, disk.ErrIO) || fmt.Sprint(d.Export("a")) != before) {
					t.Errorf("op %d (%v): error %v, or an effect", n, op, err)
				}
				if i+1 > n && !once && !errors.Is(err, disk.ErrIO) {
					t.Errorf("op %d (%v) after the failing one %d: error %v", i+1, op, n, err)
				}
				if i+1 < n && err != nil || i+1 > n && once && errors.Is(err, disk.ErrIO) {
					t.Errorf("op %d (%v), where %d fails: error %v", i+1, op, n, err)
				}
			}
			if got := d.OpCount(); got != uint64(len(ops)) {
				t.Errorf("%d ops counted, want %d", got, len(ops))
			}
		}
	}
}

// Protects S7 and F5: after a failed Sync a later good one proves nothing, what
// was synced before is safe, what is written over and synced is safe, and after
// the next crash nothing is in doubt any more.
func TestSyncFailure(t *testing.T) {
	for _, power := range []bool{true, false} {
		lostSome, keptSome := false, false
		for seed := range uint64(60) {
			d := simfile.New(simfile.Config{Rand: stream(seed)})
			file(t, d, "a", fill(1, 4*sector))
			must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: sector, Data: fill(2, 2*sector)})
			d.FailNth(1, true)
			if do(d, disk.Op{Kind: disk.OpSync, Name: "a"}).Err == nil {
				t.Fatalf("a failed sync gave no error")
			}
			must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: 2 * sector, Data: fill(3, sector)})
			must(t, d, disk.Op{Kind: disk.OpSync, Name: "a"})
			read := must(t, d, disk.Op{Kind: disk.OpRead, Name: "a", Offset: sector, Length: sector}).Data
			if !bytes.Equal(read, fill(2, sector)) {
				t.Fatalf("before a crash reads must return what was written")
			}
			d.Crash(power)
			got := contents(t, d, "a")
			old, doubtful := fill(1, 4*sector), fill(2, 2*sector)
			if !bytes.Equal(got[:sector], old[:sector]) || !bytes.Equal(got[2*sector:3*sector], fill(3, sector)) ||
				!bytes.Equal(got[3*sector:], old[3*sector:]) {
				t.Fatalf("seed %d: bytes that were synced are lost", seed)
			}
			switch {
			case bytes.Equal(got[sector:2*sector], old[sector:2*sector]):
				lostSome = true
			case bytes.Equal(got[sector:2*sector], doubtful[:sector]):
				keptSome = true
			default:
				t.Fatalf("seed %d: a sector in doubt is neither old nor new", seed)
			}
			d.SetFaults(simfile.Faults{LostUnsynced: 1_000_000})
			d.Crash(true)
			if !bytes.Equal(contents(t, d, "a"), got) {
				t.Fatalf("seed %d: what recovery has read is lost later", seed)
			}
		}
		if !lostSome || !keptSome {
			t.Errorf("power %v: lost %v, kept %v, want both", power, lostSome, keptSome)
		}
	}
}

// Protects the quota: a full disk refuses, a reservation is kept, and room comes
// back when files go.
func TestQuota(t *testing.T) {
	d := simfile.New(simfile.Config{Rand: stream(1), Faults: simfile.Faults{QuotaBytes: 10_000}})
	file(t, d, "journal", nil)
	must(t, d, disk.Op{Kind: disk.OpReserve, Name: "journal", Offset: 6000})
	file(t, d, "other", fill(1, 4000))
	full := func(op disk.Op) {
		t.Helper()
		if err := do(d, op).Err; !errors.Is(err, disk.ErrNoSpace) {
			t.Errorf("%v on a full disk: %v", op, err)
		}
	}
	full(disk.Op{Kind: disk.OpWrite, Name: "other", Offset: 4000, Data: fill(1, 1)})
	full(disk.Op{Kind: disk.OpCreate, Name: "third"})
	full(disk.Op{Kind: disk.OpReserve, Name: "journal", Offset: 6001})
	full(disk.Op{Kind: disk.OpTruncate, Name: "other", Offset: 4001})
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "other", Data: fill(2, 4000)})
	for off := int64(0); off < 6000; off += 1000 {
		must(t, d, disk.Op{Kind: disk.OpWrite, Name: "journal", Offset: off, Data: fill(1, 1000), Sync: true})
	}
	full(disk.Op{Kind: disk.OpWrite, Name: "journal", Offset: 6000, Data: fill(1, 1)})
	if n := d.HitCount(simfile.SiteDiskFull); n != 5 {
		t.Errorf("%d times full, want 5", n)
	}
	must(t, d, disk.Op{Kind: disk.OpRemove, Name: "other"})
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "journal", Offset: 6000, Data: fill(1, 4000)})
	must(t, d, disk.Op{Kind: disk.OpTruncate, Name: "journal", Offset: 2000}) // and its reservation
	file(t, d, "new", fill(1, 8000))
	must(t, d, disk.Op{Kind: disk.OpRename, Name: "new", To: "journal"}) // replaces 2000
	file(t, d, "new", fill(1, 2000))
	d.Heal()
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "journal", Offset: 10_000, Data: fill(1, 4000)})

	if err := do(d, disk.Op{Kind: disk.OpWrite, Name: "journal", Offset: 1 << 60, Data: fill(1, 1)}).Err; !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("a write at a wild offset: %v", err)
	}
}

// Protects S6: damage needs a declaration, keeps to it, remembers what it
// destroyed, and is healed by an overwrite.
func TestAtlas(t *testing.T) {
	atlas := &simfile.Atlas{Redundancy: 1, Region: func(name string, off, _ int64) string {
		return fmt.Sprint(name, off/4096)
	}}
	var disks []*simfile.Disk
	for i := range 3 {
		d := simfile.New(simfile.Config{Rand: stream(uint64(i)), Atlas: atlas,
			Eligible: func(name string, off, n int64) bool { return name == "log" && off+n <= 8192 }})
		file(t, d, "log", fill(1, 9000))
		file(t, d, "meta", fill(1, 100))
		disks = append(disks, d)
	}
	refuse := func(d *simfile.Disk, name string, off int64, why string) {
		t.Helper()
		if d.FlipBit(name, off) {
			t.Errorf("damage %s", why)
		}
	}
	a, b := disks[0], disks[1]
	if !a.FlipBit("log", 10) || !a.FlipBit("log", 600) {
		t.Fatalf("one copy of three may be damaged")
	}
	refuse(a, "log", 10, "to a damaged byte: a second flip would heal it")
	refuse(b, "log", 2000, "to the second copy of a region")
	refuse(a, "meta", 1, "outside of what was declared")
	refuse(a, "log", 8192, "outside of what was declared")
	refuse(a, "log", 9000, "beyond the end")
	refuse(a, "none", 0, "to no file")
	if !b.FlipBit("log", 5000) {
		t.Errorf("another region of another copy may be damaged")
	}
	refuse(simfile.New(simfile.Config{Rand: stream(9)}), "log", 0, "without a declaration")

	got := contents(t, a, "log")
	want := fill(1, 9000)
	if bytes.Equal(got, want) || !bytes.Equal(a.Pristine("log", 0, 9000), want) {
		t.Errorf("the damage does not show, or the pristine bytes are not known")
	}
	damages := a.Damages()
	if len(damages) != 2 || damages[0].Offset != 10 || damages[1].Offset != 600 || damages[0].Pristine[0] != want[10] {
		t.Errorf("the damages are %v", damages)
	}

	// An overwrite heals; if a power loss undoes it, the damage is back.
	a.SetFaults(simfile.Faults{LostUnsynced: 1_000_000})
	must(t, a, disk.Op{Kind: disk.OpWrite, Name: "log", Offset: 0, Data: want[:50]})
	if len(a.Damages()) != 1 {
		t.Errorf("an overwrite does not heal")
	}
	must(t, a, disk.Op{Kind: disk.OpWrite, Name: "log", Offset: 512, Data: want[512:1024], Sync: false})
	refuse(b, "log", 100, "while a power loss could bring back that of another copy")
	a.Crash(true)
	if fmt.Sprint(a.Damages()) != fmt.Sprint(damages) || !bytes.Equal(contents(t, a, "log"), got) {
		t.Errorf("after its repair was lost, the damage is %v", a.Damages())
	}
	must(t, a, disk.Op{Kind: disk.OpWrite, Name: "log", Offset: 0, Data: want, Sync: true})
	a.Crash(true)
	if len(a.Damages()) != 0 || !bytes.Equal(contents(t, a, "log"), want) {
		t.Errorf("a synced repair does not last")
	}
	if !b.FlipBit("log", 100) {
		t.Errorf("after the repair of one copy another may be damaged")
	}
	if disks[2].FlipRandom([]simfile.Range{{Name: "log", Offset: 8192, Length: 0}, {Name: "log", Offset: 0, Length: 1}}) {
		t.Errorf("damage to a second copy")
	}
	must(t, b, disk.Op{Kind: disk.OpTruncate, Name: "log", Offset: 0})
	must(t, b, disk.Op{Kind: disk.OpSync, Name: "log"})
	if !disks[2].FlipRandom([]simfile.Range{{Name: "log", Offset: 300, Length: 1}}) {
		t.Errorf("a declared range was not damaged")
	}
}

// Protects S6: damage to bytes that a power loss takes goes with them.
func TestAtlasLostBytes(t *testing.T) {
	d := simfile.New(simfile.Config{Rand: stream(1), Atlas: &simfile.Atlas{Redundancy: 1},
		Eligible: func(string, int64, int64) bool { return true },
		Faults:   simfile.Faults{LostUnsynced: 1_000_000}})
	file(t, d, "a", fill(1, 2*sector))
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: 0, Data: fill(2, 4*sector)})
	if !d.FlipBit("a", 10) || !d.FlipBit("a", 3*sector) {
		t.Fatalf("no damage")
	}
	d.Crash(true)
	if g := d.Damages(); len(g) != 0 || !bytes.Equal(contents(t, d, "a"), fill(1, 2*sector)) {
		t.Errorf("damages %v", g)
	}
}

// Protects S2 from being kept by doing too little: of a torn append a power loss
// leaves all lengths that it may, and holes between kept sectors.
func TestTornAppends(t *testing.T) {
	lengths, holes := map[int]bool{}, 0
	for seed := range uint64(200) {
		d := simfile.New(simfile.Config{Rand: stream(seed), Faults: simfile.Faults{TornWrite: 1_000_000}})
		file(t, d, "a", fill(1, sector))
		must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: sector, Data: fill(2, 4*sector)})
		d.Crash(true)
		got := contents(t, d, "a")
		lengths[len(got)] = true
		if len(got) > 2*sector && got[sector] == 0 && got[len(got)-1] != 0 {
			holes++
		}
	}
	if len(lengths) != 5 || holes == 0 {
		t.Errorf("lengths %v, %d files with holes", lengths, holes)
	}
}

// Protects S6: a misdirected write leaves its place as it was and damages
// another one, and both are known.
func TestMisdirected(t *testing.T) {
	d := simfile.New(simfile.Config{Rand: stream(1), Atlas: &simfile.Atlas{Redundancy: 1},
		Eligible: func(string, int64, int64) bool { return true }})
	file(t, d, "a", fill(1, 20*sector))
	file(t, d, "b", fill(2, 20*sector))
	d.SetFaults(simfile.Faults{Misdirected: 1_000_000})
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: 20 * sector, Data: fill(3, 2*sector), Sync: true})
	damages := d.Damages()
	if len(damages) != 2 || d.HitCount(simfile.SiteMisdirected) != 1 {
		t.Fatalf("damages %v", damages)
	}
	wantA := append(fill(1, 20*sector), fill(3, 2*sector)...)
	if got := d.Pristine("a", 0, 1<<20); !bytes.Equal(got, wantA) {
		t.Errorf("pristine bytes of the place meant are not those written")
	}
	if got := d.Pristine("b", 0, 1<<20); !bytes.Equal(got, fill(2, 20*sector)) {
		t.Errorf("pristine bytes of the other file are not the old ones")
	}
	if got := contents(t, d, "a"); len(got) != len(wantA) || !bytes.Equal(got[20*sector:], make([]byte, 2*sector)) {
		t.Errorf("the place meant was written")
	}
}

// Protects S6: a sector that cannot be read stays so until it is overwritten.
func TestStickyReadError(t *testing.T) {
	d := simfile.New(simfile.Config{Rand: stream(1), Atlas: &simfile.Atlas{Redundancy: 1},
		Eligible: func(string, int64, int64) bool { return true }})
	file(t, d, "a", fill(1, 4*sector))
	d.SetFaults(simfile.Faults{ReadErrorSticky: 1_000_000})
	read := disk.Op{Kind: disk.OpRead, Name: "a", Offset: sector + 5, Length: 10}
	if err := do(d, read).Err; !errors.Is(err, disk.ErrIO) {
		t.Fatalf("read: %v", err)
	}
	d.Heal()
	if err := do(d, read).Err; !errors.Is(err, disk.ErrIO) {
		t.Errorf("the damage did not last: %v", err)
	}
	must(t, d, disk.Op{Kind: disk.OpRead, Name: "a", Offset: 2 * sector, Length: sector})
	if g := d.Damages(); len(g) != 1 || g[0].Offset != sector || g[0].Length != sector {
		t.Errorf("damages %v", g)
	}
	must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: sector, Data: fill(1, 4*sector)[sector : 2*sector]})
	must(t, d, read)
}

// Protects S1: with and without a clock, completions of one name come in the
// order of submission, and a slow operation slows the next ones only as long as
// it lasts, if there is a clock.
func TestLatencyOrder(t *testing.T) {
	for _, clock := range []bool{true, false} {
		now := int64(0)
		cfg := simfile.Config{Rand: stream(1), Latencies: simfile.Latencies{
			Write: simfile.Latency{Base: 10, Jitter: 100, TailPPM: 10_000, Tail: 100_000}}}
		if clock {
			cfg.Now = func() int64 { return now }
		}
		d := simfile.New(cfg)
		must(t, d, disk.Op{Kind: disk.OpCreate, Name: "a"})
		last, total := int64(0), int64(0)
		var inflight []uint64
		for i := range 1000 {
			ticket, latency := d.Submit(disk.Op{Kind: disk.OpWrite, Name: "a", Data: fill(1, 10)})
			inflight = append(inflight, ticket)
			if now+int64(latency) <= last {
				t.Fatalf("op %d completes at %d, not after the one before at %d", i, now+int64(latency), last)
			}
			last = now + int64(latency)
			total += int64(latency)
			now += 10_000
			if len(inflight) > 3 {
				d.Complete(inflight[0])
				inflight = inflight[1:]
			}
		}
		if mean := total / 1000; clock && mean > 5_000 {
			t.Errorf("with a clock the mean latency is %d", mean)
		}
	}
	defer func() {
		if recover() == nil {
			t.Errorf("completing out of order did not panic")
		}
	}()
	d := simfile.New(simfile.Config{Rand: stream(1)})
	d.Submit(disk.Op{Kind: disk.OpStat, Name: "a"})
	ticket, _ := d.Submit(disk.Op{Kind: disk.OpStat, Name: "a"})
	d.Complete(ticket)
}

// Protects S4: of the Ops in flight on one name a kill lets a prefix happen.
func TestKillPrefix(t *testing.T) {
	seen := map[int]bool{}
	for seed := range uint64(200) {
		d := simfile.New(simfile.Config{Rand: stream(seed)})
		file(t, d, "a", nil)
		for i := range 4 {
			d.Submit(disk.Op{Kind: disk.OpWrite, Name: "a", Offset: int64(i * 100), Data: fill(byte(i+1), 100)})
		}
		d.Crash(false)
		got := contents(t, d, "a")
		for i := 0; i*100 < len(got); i++ {
			p := got[i*100 : min(len(got), i*100+100)]
			if !bytes.Equal(p, fill(byte(i+1), 100)[:len(p)]) {
				t.Fatalf("seed %d: write %d did not happen, though a later one did", seed, i)
			}
		}
		seen[len(got)/100] = true
	}
	if len(seen) != 5 {
		t.Errorf("kills left %d different numbers of writes, want 5", len(seen))
	}
}

// Protects the limit on undo records: they do not grow without bound, and
// nothing is lost when they are dropped.
func TestUndoLimit(t *testing.T) {
	d := simfile.New(simfile.Config{Rand: stream(1), Faults: simfile.Faults{LostUnsynced: 1_000_000}})
	file(t, d, "a", nil)
	const n = 1<<16 + 10
	for i := range n {
		must(t, d, disk.Op{Kind: disk.OpWrite, Name: "a", Offset: int64(i), Data: []byte{byte(i) | 1}})
	}
	d.Crash(true)
	if got := contents(t, d, "a"); len(got) < 1<<16 || len(got) == n {
		t.Errorf("%d of %d bytes are left", len(got), n)
	}
}

func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{512, 4096, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := simfile.New(simfile.Config{Rand: stream(1),
				Latencies: simfile.Latencies{Write: simfile.Latency{Base: 10, Jitter: 10}, Sync: simfile.Latency{Base: 10, Jitter: 10}},
				Faults:    simfile.Faults{TornWrite: 500_000, LostUnsynced: 500_000, ShortWrite: 1}})
			file(b, d, "a", nil)
			p := fill(1, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			off := int64(0)
			for b.Loop() {
				ticket, _ := d.Submit(disk.Op{Kind: disk.OpWrite, Name: "a", Offset: off, Data: p})
				d.Complete(ticket)
				ticket, _ = d.Submit(disk.Op{Kind: disk.OpSync, Name: "a"})
				d.Complete(ticket)
				if off += int64(size); off > 64<<20 {
					off = 0
				}
			}
		})
	}
}
