package losefs_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/losefs"
	"actordb/disk/osfile"
	"actordb/disk/simfile"
)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

func openDir(t testing.TB, path string) *osfile.Dir {
	t.Helper()
	d, err := osfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Protects L2 and L3, and that a real directory under an FS keeps all of package
// disk's promises when the power goes.
func TestConformance(t *testing.T) {
	takes := map[string]losefs.Take{
		"everything": losefs.Everything,
		"nothing":    {},
		"half":       {Unsynced: 500_000, Names: 500_000},
		"torn":       {Torn: 700_000, Unsynced: 500_000, Names: 300_000},
	}
	for name, take := range takes {
		t.Run(name, func(t *testing.T) {
			disktest.TestFS(t, func(t *testing.T) disktest.FSHarness {
				var (
					path = t.TempDir()
					rnd  = stream(1)
					dir  *osfile.Dir
					side *osfile.Dir
					fs   *losefs.FS
				)
				closeAll := func() error {
					if fs == nil {
						return nil
					}
					err := errors.Join(fs.Close(), dir.Close(), side.Close())
					fs = nil
					return err
				}
				t.Cleanup(func() { _ = closeAll() })
				openDirs := func() {
					dir, side = openDir(t, filepath.Join(path, "dir")), openDir(t, filepath.Join(path, "side"))
				}
				return disktest.FSHarness{
					Open: func() (disk.FS, error) {
						if err := closeAll(); err != nil {
							return nil, err
						}
						openDirs()
						var err error
						fs, err = losefs.Open(dir, side)
						return fs, err
					},
					Crash: func() error {
						if err := closeAll(); err != nil {
							return err
						}
						openDirs()
						_, err := losefs.Cut(dir, side, take, rnd)
						return errors.Join(err, dir.Close(), side.Close())
					},
					FailNextSync: func() { fs.FailNextSync() },
				}
			})
		})
	}
}

// Protects L1: a process dies at each of its calls in turn, in the midst of a
// write too; then everything that was not durable is gone, and nothing else. The
// directory under it and the journal are simulated ones without faults, so a
// dead process is one whose calls do nothing any more.
func TestKilledAtEveryCall(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 6
	}
	kills := 0
	for seed := range seeds {
		for at := 1; ; at += 1 + int(seed)%3 {
			if !killAt(t, seed, at) {
				break
			}
			kills++
		}
	}
	t.Logf("%d kills", kills)
}

// A modelFile is a file with what of it is durable.
type modelFile struct{ now, durable []byte }

// A model is a directory with what of it is durable.
type model struct{ now, durable map[string]*modelFile }

func (m *model) afterPowerLoss() map[string]string {
	all := map[string]string{}
	for name, f := range m.durable {
		all[name] = string(f.durable)
	}
	return all
}

// killAt runs a script until the at-th call and checks what a power loss leaves.
// It returns false if the script ended first.
func killAt(t *testing.T, seed uint64, at int) bool {
	under := simfile.New(simfile.Config{Rand: stream(seed)}).FS()
	side := simfile.New(simfile.Config{Rand: stream(seed)}).FS()
	life := &lifetime{left: at, rnd: stream(seed * 31)}
	m := model{map[string]*modelFile{}, map[string]*modelFile{}}
	rnd := stream(seed)
	var before map[string]string
	run := func() error {
		fs, err := losefs.Open(mortal{under, life}, mortal{side, life})
		for step := 0; step < 60 && err == nil; step++ {
			before = m.afterPowerLoss()
			if rnd.IntN(20) == 0 { // a new process, without a power loss
				fs, err = losefs.Open(mortal{under, life}, mortal{side, life})
				continue
			}
			err = m.step(fs, rnd)
		}
		return err
	}
	err := run()
	if err != nil && !errors.Is(err, errDead) {
		t.Fatalf("seed %d, killed at call %d: %v", seed, at, err)
	}
	if _, cerr := losefs.Cut(under, side, losefs.Everything, nil); cerr != nil {
		t.Fatalf("seed %d, killed at call %d: %v", seed, at, cerr)
	}
	got := contents(t, under)
	if after := m.afterPowerLoss(); !maps.Equal(got, after) && (err == nil || !maps.Equal(got, before)) {
		t.Fatalf("seed %d, killed at call %d: the directory holds %s, want %s or %s", seed, at, sizes(got), sizes(before), sizes(after))
	}
	return err != nil
}

// step makes one random change. The model is changed first: what the kill cut
// off may have happened or not, and before holds the other answer.
func (m *model) step(fs disk.FS, rnd *rand.Rand) error {
	names := []string{"a", "b", "c"}
	name, to := names[rnd.IntN(3)], names[rnd.IntN(3)]
	f := m.now[name]
	if f == nil {
		m.now[name] = &modelFile{}
		h, err := fs.Create(name)
		if err != nil {
			return err
		}
		return h.Close()
	}
	switch rnd.IntN(10) {
	case 0:
		delete(m.now, name)
		return fs.Remove(name)
	case 1:
		delete(m.now, name)
		m.now[to] = f
		return fs.Rename(name, to)
	case 2, 3:
		m.durable = maps.Clone(m.now)
		return fs.SyncDir()
	}
	h, err := fs.Open(name)
	if err != nil {
		return err
	}
	switch rnd.IntN(5) {
	case 0, 1:
		f.durable = bytes.Clone(f.now)
		err = h.Sync()
	case 2:
		size := rnd.IntN(60_000)
		f.now = append(bytes.Clone(f.now), make([]byte, 60_000)...)[:size]
		err = h.Truncate(int64(size))
	default:
		off, p := rnd.IntN(len(f.now)+1), bytes.Repeat([]byte{byte(1 + rnd.IntN(255))}, 1+rnd.IntN(40_000))
		f.now = append(bytes.Clone(f.now[:off]), append(p, f.now[min(len(f.now), off+len(p)):]...)...)
		for len(p) > 0 && err == nil {
			var n int
			n, err = h.WriteAt(p, int64(off))
			p, off = p[n:], off+n
		}
	}
	return errors.Join(err, h.Close())
}

func contents(t *testing.T, fs disk.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := fs.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := fs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, size)
		if _, err := f.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		all[name] = string(p)
	}
	return all
}

func sizes(all map[string]string) string {
	s := "{"
	for _, name := range []string{"a", "b", "c"} {
		if p, ok := all[name]; ok {
			s += fmt.Sprintf(" %s: %d bytes", name, len(p))
		}
	}
	return fmt.Sprintf("%s } (%d names)", s, len(all))
}

var errDead = errors.New("the process is dead")

// A lifetime counts the calls that a process has left.
type lifetime struct {
	left int
	rnd  *rand.Rand
}

// call reports whether a call happens, and whether it is the last one.
func (l *lifetime) call() (last, ok bool) {
	l.left--
	return l.left == 0, l.left >= 0
}

// do runs a call that happens or not when it is the last one.
func (l *lifetime) do(f func() error) error {
	last, ok := l.call()
	if !ok || last && l.rnd.IntN(2) == 0 {
		return errDead
	}
	if err := f(); err != nil {
		return err
	}
	if last {
		return errDead
	}
	return nil
}

// mortal is the FS of a process that dies.
type mortal struct {
	disk.FS
	life *lifetime
}

func (m mortal) Create(name string) (f disk.File, err error) {
	err = m.life.do(func() error { f, err = m.FS.Create(name); return err })
	return mortalFile{f, m.life}, err
}

func (m mortal) Open(name string) (disk.File, error) {
	f, err := m.FS.Open(name)
	return mortalFile{f, m.life}, err
}

func (m mortal) Rename(from, to string) error {
	return m.life.do(func() error { return m.FS.Rename(from, to) })
}
func (m mortal) Remove(name string) error {
	return m.life.do(func() error { return m.FS.Remove(name) })
}
func (m mortal) SyncDir() error { return m.life.do(m.FS.SyncDir) }

type mortalFile struct {
	disk.File
	life *lifetime
}

func (f mortalFile) WriteAt(p []byte, off int64) (int, error) {
	last, ok := f.life.call()
	if !ok {
		return 0, errDead
	}
	if last {
		p = p[:f.life.rnd.IntN(len(p)+1)]
	}
	n, err := f.File.WriteAt(p, off)
	if last {
		return 0, errDead
	}
	return n, err
}
func (f mortalFile) Truncate(size int64) error {
	return f.life.do(func() error { return f.File.Truncate(size) })
}
func (f mortalFile) Sync() error { return f.life.do(f.File.Sync) }
