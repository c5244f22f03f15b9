package pebblekv_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"actordb/disk"
	"actordb/disk/pebblekv"
	"actordb/disk/simfile"
)

// Protects P1 to P3: each call of Pebble on its files fails in turn, once or from
// then on, and then the power goes. The store answers rightly or with an error,
// the first fault is told exactly once, nothing hangs, and what was flushed is
// there when the disk works again.
func TestEveryCallFails(t *testing.T) {
	for _, forGood := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgood=%v", forGood), func(t *testing.T) {
			faults, fatal := 0, 0
			stride := 1
			if testing.Short() {
				stride = 7
			}
			n := 0
			for ; ; n += stride {
				f, more := failCall(t, n, forGood)
				if f != nil {
					faults++
					if f.Fatal {
						fatal++
					}
				}
				if !more {
					break
				}
			}
			t.Logf("%d calls, %d faults told, %d of them fatal", n, faults, fatal)
			if fatal == 0 || faults == fatal {
				t.Errorf("the test met no fault of one of the two forms")
			}
		})
	}
}

// failCall runs a workload whose n-th call on files that could change or read
// something fails. It returns false if there were fewer calls.
func failCall(t *testing.T, n int, forGood bool) (told *pebblekv.Fault, more bool) {
	when := fmt.Sprintf("call %d fails, for good %v", n, forGood)
	mem := vfs.NewCrashableMem()
	var calls, hits atomic.Int64
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		i := calls.Add(1) - 1
		if i == int64(n) || forGood && i > int64(n) {
			hits.Add(1)
			return &injected{op.Kind, op.Path}
		}
		return nil
	})
	var tellings atomic.Int64
	var f atomic.Pointer[pebblekv.Fault]
	cfg := pebblekv.Config{
		Dir: "state", FS: errorfs.Wrap(mem, inject), CacheBytes: 1 << 20, MemTableBytes: 1 << 16, NoCompactions: true,
		OnFault: func(fault *pebblekv.Fault) { tellings.Add(1); f.Store(fault) },
	}
	last, flushed := 0, 0
	s, err := pebblekv.Open(cfg)
	for err == nil && last < 40 {
		if v, found, gerr := s.Get(fmt.Appendf(nil, "k%06d", last)); gerr != nil {
			err = gerr
			break
		} else if last > 0 && (!found || len(v) != size(last)) {
			t.Fatalf("%s: a wrong answer: batch %d found %v, %d bytes", when, last, found, len(v))
		}
		last++ // a batch that failed may be there all the same
		if err = s.Apply(batch(last)); err == nil && last%7 == 0 {
			if err = s.Flush(); err == nil {
				flushed = last
			}
		}
	}
	if err == nil {
		err = s.Close()
	} else {
		located(t, when, err)
	}
	if k := tellings.Load(); k > 1 || s != nil && f.Load() != nil && err == nil {
		t.Fatalf("%s: a fault was told %d times, the last call said %v", when, k, err)
	}
	cfg.FS, cfg.OnFault = mem.CrashClone(vfs.CrashCloneCfg{}), nil
	again, err := pebblekv.Open(cfg)
	if err != nil {
		t.Fatalf("%s: opened again with a good disk: %v", when, err)
	}
	wantPrefix(t, again, when, last, flushed)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if s != nil && hits.Load() > 0 && (f.Load() == nil || !f.Load().Fatal) {
		_ = s.Close() // P4: a store that met a fatal fault cannot be closed
	}
	return f.Load(), hits.Load() > 0
}

type injected struct {
	kind errorfs.OpKind
	path string
}

func (e *injected) Error() string { return fmt.Sprintf("injected at %v of %s", e.kind, e.path) }
func (e *injected) Unwrap() error { return syscall.EIO }

func size(i int) int { return 1 + i*i*37%9000 }

func batch(i int) *disk.Batch {
	b := new(disk.Batch)
	b.Put([]byte("position"), fmt.Appendf(nil, "%d", i))
	b.Put(fmt.Appendf(nil, "k%06d", i), []byte(strings.Repeat("x", size(i))))
	return b
}

func located(t *testing.T, when string, err error) {
	t.Helper()
	var f *pebblekv.Fault
	if !errors.As(err, &f) || f.Dir == "" || f.Doing == "" || !errors.Is(err, disk.ErrIO) && !errors.Is(err, pebblekv.ErrCorrupt) {
		t.Fatalf("%s: %v is no located fault", when, err)
	}
}

// Protects P3: a full disk is told as one, and after room was made the flushed
// part is there.
func TestNoSpace(t *testing.T) {
	m := newMachine(1, simfile.Faults{})
	full := false
	m.call = func(kind disk.OpKind, name string) error {
		if full && (kind == disk.OpWrite || kind == disk.OpReserve || kind == disk.OpCreate) {
			return &disk.PathError{Kind: kind, Name: name, Err: disk.ErrNoSpace}
		}
		return nil
	}
	s, err := m.open(pebblekv.Config{NoCompactions: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 5; i++ {
		if err := s.Apply(batch(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	m.g.mu.Lock()
	full = true
	m.g.mu.Unlock()
	if err := s.Apply(batch(6)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the fault stays
		if err := s.Flush(); !errors.Is(err, disk.ErrNoSpace) {
			t.Fatalf("flush on a full disk: %v", err)
		}
	}
	if _, _, err := s.Get([]byte("position")); !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("get after a fault: %v", err)
	}
	if err := s.Close(); !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("close after a fault: %v", err)
	}
	m.crash()
	full = false
	again, err := m.open(pebblekv.Config{})
	if err != nil {
		t.Fatal(err)
	}
	wantPrefix(t, again, "after room was made", 6, 5)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// Protects K4: a flipped byte in any file that holds data is an error or does no
// harm. It never changes an answer.
func TestFlippedBytes(t *testing.T) {
	const batches = 30
	mem := vfs.NewMem()
	cfg := pebblekv.Config{Dir: "state", FS: mem, CacheBytes: 1 << 20, MemTableBytes: 1 << 16, NoCompactions: true}
	s, err := pebblekv.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= batches; i++ {
		if err := s.Apply(batch(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("state")
	if err != nil {
		t.Fatal(err)
	}
	rnd := stream(2)
	refusals := map[string]int{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		for range 40 {
			at := rnd.IntN(1 << 20)
			flip(t, mem, "state/"+name, at)
			refused, err := readAll(cfg, batches)
			if err != nil {
				t.Fatalf("%s, byte %d: %v", name, at, err)
			}
			if refused != nil {
				refusals[fmt.Sprint(errors.Is(refused, pebblekv.ErrCorrupt))]++
			}
			flip(t, mem, "state/"+name, at)
		}
	}
	t.Logf("refused as damaged: %v", refusals)
	if refusals["true"] == 0 {
		t.Error("no flipped byte was noticed")
	}
}

// readAll reads everything. refused is the store's error, wrong a wrong answer.
func readAll(cfg pebblekv.Config, batches int) (refused, wrong error) {
	s, err := pebblekv.Open(cfg)
	if err != nil {
		return err, nil
	}
	defer s.Close()
	for i := 1; i <= batches; i++ {
		v, found, err := s.Get(fmt.Appendf(nil, "k%06d", i))
		if err != nil {
			return err, nil
		}
		if !found || string(v) != strings.Repeat("x", size(i)) {
			return nil, fmt.Errorf("batch %d: found %v, %d bytes", i, found, len(v))
		}
	}
	n := 0
	if err := s.Scan([]byte("k"), nil, func(_, v []byte) bool { n++; return true }); err != nil {
		return err, nil
	}
	if n != batches+1 {
		return nil, fmt.Errorf("a scan gave %d pairs of %d", n, batches+1)
	}
	return nil, nil
}

// flip changes a byte of a file, counted round its end.
func flip(t *testing.T, fs vfs.FS, path string, at int) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, off := make([]byte, 1), int64(at)%info.Size()
	if _, err := f.ReadAt(p, off); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 0x10
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
