package pebblekv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/losefs"
	"actordb/disk/osfile"
	"actordb/disk/pebblekv"
	"actordb/disk/simfile"
)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

// Protects K1 to K4 on the operating system's files, without crashes.
func TestConformance(t *testing.T) {
	disktest.TestKV(t, func(t *testing.T) disktest.KVHarness {
		dir := filepath.Join(t.TempDir(), "state")
		return disktest.KVHarness{Open: func() (disk.KV, error) { return pebblekv.Open(pebblekv.Config{Dir: dir}) }}
	})
}

// Protects P1 and P2 over Pebble's own crashable file system. The share of what
// is not synced and stays is zero: others are not reproducible.
func TestConformanceStrictMem(t *testing.T) {
	disktest.TestKV(t, func(t *testing.T) disktest.KVHarness {
		mem := vfs.NewCrashableMem()
		return disktest.KVHarness{
			Open: func() (disk.KV, error) {
				return pebblekv.Open(pebblekv.Config{Dir: "state", FS: mem, CacheBytes: 1 << 20, MemTableBytes: 1 << 16})
			},
			Crash: func() error { mem = mem.CrashClone(vfs.CrashCloneCfg{}); return nil },
		}
	})
}

// gate is a simulated directory for a store with goroutines: one call at a time,
// and none once its process is dead.
type gate struct {
	mu   sync.Mutex
	fs   disk.FS
	dead *bool
	call func(kind disk.OpKind, name string) error // may be nil
}

var errDead = errors.New("the process is dead")

func (g *gate) do(kind disk.OpKind, name string, f func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if *g.dead {
		return errDead
	}
	if g.call != nil {
		if err := g.call(kind, name); err != nil {
			return err
		}
	}
	return f()
}

func (g *gate) List() (names []string, err error) {
	err = g.do(disk.OpList, "", func() error { names, err = g.fs.List(); return err })
	return names, err
}
func (g *gate) Create(name string) (f disk.File, err error) {
	err = g.do(disk.OpCreate, name, func() error { f, err = g.fs.Create(name); return err })
	return &gateFile{g, name, f}, err
}
func (g *gate) Open(name string) (f disk.File, err error) {
	err = g.do(disk.OpStat, name, func() error { f, err = g.fs.Open(name); return err })
	return &gateFile{g, name, f}, err
}
func (g *gate) Rename(from, to string) error {
	return g.do(disk.OpRename, from, func() error { return g.fs.Rename(from, to) })
}
func (g *gate) Remove(name string) error {
	return g.do(disk.OpRemove, name, func() error { return g.fs.Remove(name) })
}
func (g *gate) SyncDir() error { return g.do(disk.OpSyncDir, "", g.fs.SyncDir) }

type gateFile struct {
	g    *gate
	name string
	f    disk.File
}

func (f *gateFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.g.do(disk.OpRead, f.name, func() error { n, err = f.f.ReadAt(p, off); return err })
	return n, err
}
func (f *gateFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.g.do(disk.OpWrite, f.name, func() error { n, err = f.f.WriteAt(p, off); return err })
	return n, err
}
func (f *gateFile) Sync() error { return f.g.do(disk.OpSync, f.name, f.f.Sync) }
func (f *gateFile) Truncate(size int64) error {
	return f.g.do(disk.OpTruncate, f.name, func() error { return f.f.Truncate(size) })
}
func (f *gateFile) Reserve(size int64) error {
	return f.g.do(disk.OpReserve, f.name, func() error { return f.f.Reserve(size) })
}
func (f *gateFile) Size() (n int64, err error) {
	err = f.g.do(disk.OpStat, f.name, func() error { n, err = f.f.Size(); return err })
	return n, err
}
func (f *gateFile) Close() error { return nil }

// A machine has a simulated disk and at most one store on it.
type machine struct {
	disk *simfile.Disk
	g    *gate
	call func(kind disk.OpKind, name string) error
}

func newMachine(seed uint64, faults simfile.Faults) *machine {
	d := simfile.New(simfile.Config{Rand: stream(seed)})
	d.SetFaults(faults)
	return &machine{disk: d}
}

// open starts a process.
func (m *machine) open(cfg pebblekv.Config) (*pebblekv.Store, error) {
	m.g = &gate{fs: m.disk.FS(), dead: new(bool), call: m.call}
	cfg.Dir, cfg.FS = pebblekv.OverFSDir, pebblekv.OverFS(m.g)
	cfg.CacheBytes, cfg.MemTableBytes = 1<<20, 1<<16
	return pebblekv.Open(cfg)
}

// crash cuts the power.
func (m *machine) crash() {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	*m.g.dead = true
	m.disk.Crash(true)
}

// Protects P1 and P2 over simulated files that lose, tear and undo whatever is
// not synced.
func TestConformanceSimulated(t *testing.T) {
	for seed := range uint64(2) {
		rate := uint32(500_000 * (seed + 1))
		t.Run(fmt.Sprintf("rate-%d", rate), func(t *testing.T) {
			disktest.TestKV(t, func(t *testing.T) disktest.KVHarness {
				m := newMachine(seed, simfile.Faults{TornWrite: 1_000_000 - rate, LostUnsynced: rate, LostDirent: rate})
				return disktest.KVHarness{
					Open:  func() (disk.KV, error) { return m.open(pebblekv.Config{}) },
					Crash: func() error { m.crash(); return nil },
				}
			})
		})
	}
}

// Protects P1 and P2 over the files that a killed node has.
func TestConformanceLosefs(t *testing.T) {
	disktest.TestKV(t, func(t *testing.T) disktest.KVHarness {
		path, rnd := t.TempDir(), stream(1)
		var dir, side *osfile.Dir
		var g *gate
		open := func() (err error) {
			dir, err = osfile.Open(filepath.Join(path, "dir"))
			if err == nil {
				side, err = osfile.Open(filepath.Join(path, "side"))
			}
			return err
		}
		stop := func() error {
			if g == nil {
				return nil
			}
			g.mu.Lock()
			*g.dead = true
			g.mu.Unlock()
			g = nil
			return errors.Join(dir.Close(), side.Close())
		}
		t.Cleanup(func() { _ = stop() })
		return disktest.KVHarness{
			Open: func() (disk.KV, error) {
				if err := errors.Join(stop(), open()); err != nil {
					return nil, err
				}
				fs, err := losefs.Open(dir, side)
				if err != nil {
					return nil, err
				}
				g = &gate{fs: fs, dead: new(bool)}
				return pebblekv.Open(pebblekv.Config{Dir: pebblekv.OverFSDir, FS: pebblekv.OverFS(g), MemTableBytes: 1 << 16})
			},
			Crash: func() error {
				if err := errors.Join(stop(), open()); err != nil {
					return err
				}
				_, err := losefs.Cut(dir, side, losefs.Take{Unsynced: 500_000, Torn: 300_000, Names: 700_000}, rnd)
				return errors.Join(err, dir.Close(), side.Close())
			},
		}
	})
}

// Protects P1: memory tables that Pebble writes unasked, of batches small and
// larger than a table, leave a prefix too.
func TestPrefixUnasked(t *testing.T) {
	for seed := range uint64(5) {
		m := newMachine(seed, simfile.Faults{TornWrite: 300_000, LostUnsynced: 600_000, LostDirent: 600_000})
		rnd := stream(seed)
		last, flushed := 0, 0
		for round := range 4 {
			s, err := m.open(pebblekv.Config{})
			if err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
			at := wantPrefix(t, s, fmt.Sprintf("seed %d, round %d", seed, round), last, flushed)
			for range 20 + rnd.IntN(60) {
				at++
				var b disk.Batch
				b.Put([]byte("position"), fmt.Appendf(nil, "%d", at))
				b.Put(fmt.Appendf(nil, "k%06d", at), []byte(strings.Repeat("x", 1+rnd.IntN(100)*rnd.IntN(100)*rnd.IntN(12))))
				if err := s.Apply(&b); err != nil {
					t.Fatal(err)
				}
				if rnd.IntN(30) == 0 {
					if err := s.Flush(); err != nil {
						t.Fatal(err)
					}
					flushed = at
				}
			}
			last = at
			m.crash()
		}
	}
}

// wantPrefix checks that a store holds the first so many batches, and returns
// how many.
func wantPrefix(t *testing.T, kv disk.KV, when string, last, flushed int) int {
	t.Helper()
	v, found, err := kv.Get([]byte("position"))
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	at := 0
	if found {
		if _, err := fmt.Sscan(string(v), &at); err != nil {
			t.Fatalf("%s: position %q", when, v)
		}
	}
	if at < flushed || at > last {
		t.Fatalf("%s: position %d, %d batches were flushed and %d applied", when, at, flushed, last)
	}
	n := 0
	if err := kv.Scan([]byte("k"), []byte("l"), func(k, _ []byte) bool {
		n++
		if want := fmt.Sprintf("k%06d", n); string(k) != want {
			t.Fatalf("%s: key %q, want %q", when, k, want)
		}
		return true
	}); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if n != at {
		t.Fatalf("%s: %d batches are there, the position is %d", when, n, at)
	}
	return at
}

// Protects P6: a store of a later format is refused with both versions, and is
// left as it is.
func TestLaterFormat(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := pebblekv.Open(pebblekv.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := filepath.Glob(filepath.Join(dir, "marker.format-version.*"))
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	if err := os.Rename(old[0], filepath.Join(dir, "marker.format-version.000099.999")); err != nil {
		t.Fatal(err)
	}
	_, err = pebblekv.Open(pebblekv.Config{Dir: dir})
	var version *pebblekv.VersionError
	if !errors.As(err, &version) || version.Found != 999 || version.Dir != dir {
		t.Fatalf("opened a store of the future: %v", err)
	}
}

// Protects P3: a closed store says so.
func TestClosed(t *testing.T) {
	s, err := pebblekv.Open(pebblekv.Config{Dir: "state", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pebblekv.Open(pebblekv.Config{}); err == nil {
		t.Error("a Config without a directory was taken")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Get([]byte("a"))
	for _, err := range []error{err, s.Apply(new(disk.Batch)), s.Close(), s.Scan(nil, nil, nil)} {
		if !errors.Is(err, pebblekv.ErrClosed) {
			t.Errorf("%v, want %v", err, pebblekv.ErrClosed)
		}
	}
}
