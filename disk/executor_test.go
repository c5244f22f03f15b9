package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
)

func newDisk() *simfile.Disk {
	return simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(1, 2))})
}

// A countingFS counts how many files are open and locks each call, so that
// goroutines may share it.
type countingFS struct {
	disk.FS
	mu            sync.Mutex
	open, openMax int
}

type countingFile struct {
	disk.File
	fs     *countingFS
	closed bool
}

func (c *countingFS) count(f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	c.open++
	c.openMax = max(c.openMax, c.open)
	return &countingFile{File: f, fs: c}, nil
}

func (c *countingFS) Create(name string) (disk.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(c.FS.Create(name))
}

func (c *countingFS) Open(name string) (disk.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(c.FS.Open(name))
}

func (c *countingFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.FS.Rename(from, to)
}

func (f *countingFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.File.ReadAt(p, off)
}

func (f *countingFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.File.WriteAt(p, off)
}

func (f *countingFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.File.Sync()
}

func (f *countingFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return errors.New("closed twice")
	}
	f.closed = true
	f.fs.open--
	return f.File.Close()
}

// Protects the limit on open files, and that each is closed once.
func TestExecutorHandles(t *testing.T) {
	fs := &countingFS{FS: newDisk().FS()}
	e := disk.NewExecutor(fs, 3)
	for i := range 10 {
		name := fmt.Sprint("f", i)
		for _, op := range []disk.Op{{Kind: disk.OpCreate, Name: name}, {Kind: disk.OpWrite, Name: name, Data: []byte(name)}} {
			if err := e.Do(op).Err; err != nil {
				t.Fatalf("%v: %v", op, err)
			}
		}
	}
	for i := range 10 {
		name := fmt.Sprint("f", i)
		if res := e.Do(disk.Op{Kind: disk.OpRead, Name: name, Length: 1 << 40}); string(res.Data) != name || res.N != 2 {
			t.Errorf("read %s: %q, %v", name, res.Data, res.Err)
		}
	}
	// One more than the limit is open for a moment: a new file is opened
	// before the oldest is closed.
	if fs.openMax > 4 {
		t.Errorf("%d files were open, the limit is 3", fs.openMax)
	}
	if err := e.Close(); err != nil || fs.open != 0 {
		t.Errorf("after closing: %v, %d files open", err, fs.open)
	}
}

// Protects F1 across a rename: a name means the file that has it now.
func TestExecutorRename(t *testing.T) {
	d := newDisk()
	e := disk.NewExecutor(d.FS(), 8)
	for _, op := range []disk.Op{
		{Kind: disk.OpCreate, Name: "a"}, {Kind: disk.OpWrite, Name: "a", Data: []byte("A")},
		{Kind: disk.OpCreate, Name: "b"}, {Kind: disk.OpWrite, Name: "b", Data: []byte("B")},
		{Kind: disk.OpRename, Name: "a", To: "b"},
		{Kind: disk.OpCreate, Name: "a"}, {Kind: disk.OpWrite, Name: "a", Data: []byte("new")},
		{Kind: disk.OpSync, Name: "a"}, {Kind: disk.OpSyncDir},
	} {
		if err := e.Do(op).Err; err != nil {
			t.Fatalf("%v: %v", op, err)
		}
	}
	for name, want := range map[string]string{"a": "new", "b": "A"} {
		if res := e.Do(disk.Op{Kind: disk.OpRead, Name: name, Length: 10}); string(res.Data) != want {
			t.Errorf("%s holds %q, want %q", name, res.Data, want)
		}
	}
}

// Protects F5 across the cache: when a file that was not synced is closed to
// make room and that fails, its next Sync fails too.
func TestExecutorEvictionFailure(t *testing.T) {
	d := newDisk()
	e := disk.NewExecutor(d.FS(), 1)
	e.Do(disk.Op{Kind: disk.OpCreate, Name: "a"})
	e.Do(disk.Op{Kind: disk.OpWrite, Name: "a", Data: []byte("A")})
	d.FailNth(2, true) // Create of b, then the Sync of a
	if err := e.Do(disk.Op{Kind: disk.OpCreate, Name: "b"}).Err; err != nil {
		t.Fatalf("create: %v", err)
	}
	for range 2 {
		if err := e.Do(disk.Op{Kind: disk.OpSync, Name: "a"}).Err; !errors.Is(err, disk.ErrIO) {
			t.Errorf("sync after a lost write-back: %v", err)
		}
	}
	if err := e.Do(disk.Op{Kind: disk.OpSync, Name: "b"}).Err; err != nil {
		t.Errorf("sync of another file: %v", err)
	}
}

// Protects FS from malformed Ops: they are refused before they reach it.
func TestExecutorRefuses(t *testing.T) {
	d := newDisk()
	e := disk.NewExecutor(d.FS(), 1)
	for _, op := range []disk.Op{
		{}, {Kind: 99, Name: "a"},
		{Kind: disk.OpCreate}, {Kind: disk.OpCreate, Name: ".."}, {Kind: disk.OpCreate, Name: "a/b"},
		{Kind: disk.OpRename, Name: "a"},
		{Kind: disk.OpWrite, Name: "a", Offset: -1}, {Kind: disk.OpWrite, Name: "a", Offset: 1<<63 - 1, Data: []byte("x")},
		{Kind: disk.OpRead, Name: "a", Length: -1}, {Kind: disk.OpTruncate, Name: "a", Offset: -1},
	} {
		res := e.Do(op)
		if !errors.Is(res.Err, disk.ErrBadRequest) || res.Kind != op.Kind {
			t.Errorf("%v: %v", op, res.Err)
		}
	}
	if d.OpCount() != 0 {
		t.Errorf("%d malformed ops reached the directory", d.OpCount())
	}
}

// Protects the Executor's promise to be safe for use from several goroutines.
func TestExecutorParallel(t *testing.T) {
	fs := &countingFS{FS: newDisk().FS()}
	e := disk.NewExecutor(fs, 2)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			name := fmt.Sprint("f", w)
			e.Do(disk.Op{Kind: disk.OpCreate, Name: name})
			var want []byte
			for i := range 200 {
				p := []byte{byte(w), byte(i)}
				e.Do(disk.Op{Kind: disk.OpWrite, Name: name, Offset: int64(len(want)), Data: p, Sync: i%3 == 0})
				want = append(want, p...)
				if i%50 == 49 {
					to := fmt.Sprint("f", w, ".", i)
					if err := e.Do(disk.Op{Kind: disk.OpRename, Name: name, To: to}).Err; err != nil {
						t.Errorf("rename: %v", err)
					}
					name = to
				}
			}
			if res := e.Do(disk.Op{Kind: disk.OpRead, Name: name, Length: 1000}); !bytes.Equal(res.Data, want) {
				t.Errorf("%s: %d bytes, %v", name, len(res.Data), res.Err)
			}
		})
	}
	wg.Wait()
	if err := e.Close(); err != nil || fs.open != 0 {
		t.Errorf("after closing: %v, %d files open", err, fs.open)
	}
}

// Protects KVOp: each kind does what the call of its name does.
func TestDoKV(t *testing.T) {
	kv := memkv.New()
	b := new(disk.Batch)
	for _, k := range []string{"a", "b", "c"} {
		b.Put([]byte(k), []byte("v"+k))
	}
	if res := disk.DoKV(kv, disk.KVOp{Kind: disk.KVApply, Batch: b}); res.Err != nil || res.Kind != disk.KVApply {
		t.Fatalf("apply: %v", res)
	}
	if res := disk.DoKV(kv, disk.KVOp{Kind: disk.KVFlush}); res.Err != nil {
		t.Errorf("flush: %v", res)
	}
	if res := disk.DoKV(kv, disk.KVOp{Kind: disk.KVGet, Lo: []byte("b")}); !res.Found || string(res.Value) != "vb" {
		t.Errorf("get: %v", res)
	}
	for limit, want := range []struct {
		pairs int
		more  bool
	}{1: {1, true}, 2: {2, true}, 3: {3, false}, 4: {3, false}} {
		if limit == 0 {
			continue
		}
		res := disk.DoKV(kv, disk.KVOp{Kind: disk.KVScan, Limit: limit})
		if len(res.Pairs) != want.pairs || res.More != want.more || string(res.Pairs[0].Value) != "va" {
			t.Errorf("scan with limit %d: %v", limit, res)
		}
	}
	for _, op := range []disk.KVOp{{}, {Kind: disk.KVScan}, {Kind: disk.KVApply}} {
		if res := disk.DoKV(kv, op); !errors.Is(res.Err, disk.ErrBadRequest) {
			t.Errorf("malformed %d: %v", op.Kind, res.Err)
		}
	}
}
