package disktest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
)

// A recorder is a T that remembers the verdict.
type recorder struct {
	failed, skipped bool
	log             []string
}

type stop struct{}

func (r *recorder) Helper() {}

func (r *recorder) Logf(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.failed = true
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(stop{})
}

func (r *recorder) Skipf(format string, args ...any) {
	r.Logf(format, args...)
	r.skipped = true
	panic(stop{})
}

func record(run func(T)) (r *recorder) {
	r = new(recorder)
	defer func() {
		if p := recover(); p != nil && p != (stop{}) {
			panic(p)
		}
	}()
	run(r)
	return r
}

// brokenFS is a sound backend with some of its calls replaced.
type brokenFS struct {
	disk.FS
	list    func() ([]string, error)
	create  func(name string) (disk.File, error)
	open    func(name string) (disk.File, error)
	rename  func(from, to string) error
	syncDir func() error
	file    func(disk.File) *brokenFile
}

func (b *brokenFS) List() ([]string, error) {
	if b.list != nil {
		return b.list()
	}
	return b.FS.List()
}

func (b *brokenFS) Create(name string) (disk.File, error) {
	if b.create != nil {
		return b.create(name)
	}
	return b.wrap(b.FS.Create(name))
}

func (b *brokenFS) Open(name string) (disk.File, error) {
	if b.open != nil {
		return b.open(name)
	}
	return b.wrap(b.FS.Open(name))
}

func (b *brokenFS) wrap(f disk.File, err error) (disk.File, error) {
	if err != nil || b.file == nil {
		return f, err
	}
	return b.file(f), nil
}

func (b *brokenFS) Rename(from, to string) error {
	if b.rename != nil {
		return b.rename(from, to)
	}
	return b.FS.Rename(from, to)
}

func (b *brokenFS) SyncDir() error {
	if b.syncDir != nil {
		return b.syncDir()
	}
	return b.FS.SyncDir()
}

type brokenFile struct {
	disk.File
	readAt   func(p []byte, off int64) (int, error)
	writeAt  func(p []byte, off int64) (int, error)
	sync     func() error
	truncate func(size int64) error
	reserve  func(size int64) error
	close    func() error
}

func (b *brokenFile) ReadAt(p []byte, off int64) (int, error) {
	if b.readAt != nil {
		return b.readAt(p, off)
	}
	return b.File.ReadAt(p, off)
}

func (b *brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if b.writeAt != nil {
		return b.writeAt(p, off)
	}
	return b.File.WriteAt(p, off)
}

func (b *brokenFile) Sync() error {
	if b.sync != nil {
		return b.sync()
	}
	return b.File.Sync()
}

func (b *brokenFile) Truncate(size int64) error {
	if b.truncate != nil {
		return b.truncate(size)
	}
	return b.File.Truncate(size)
}

func (b *brokenFile) Reserve(size int64) error {
	if b.reserve != nil {
		return b.reserve(size)
	}
	return b.File.Reserve(size)
}

func (b *brokenFile) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.File.Close()
}

func files(breakIt func(f disk.File, b *brokenFile)) func(*brokenFS) {
	return func(b *brokenFS) {
		b.file = func(f disk.File) *brokenFile {
			bf := &brokenFile{File: f}
			breakIt(f, bf)
			return bf
		}
	}
}

// brokenFSs are ways to break a directory, and the check that must see it.
var brokenFSs = []struct {
	check, fault string
	breakIt      func(*brokenFS)
}{
	{"F1/sequence", "writes are swapped in pairs", files(func(f disk.File, b *brokenFile) {
		var held []byte
		var at int64
		b.writeAt = func(p []byte, off int64) (int, error) {
			if held == nil {
				held, at = slices.Clone(p), off
				return len(p), nil
			}
			_, _ = f.WriteAt(p, off)
			_, err := f.WriteAt(held, at)
			held = nil
			return len(p), err
		}
	})},
	{"F1/executor", "a rename to a taken name is forgotten", func(b *brokenFS) {
		b.rename = func(from, to string) error {
			if names, _ := b.FS.List(); slices.Contains(names, to) && slices.Contains(names, from) {
				return nil
			}
			return b.FS.Rename(from, to)
		}
	}},
	{"F2/readable", "writes stay in the handle until a sync", files(func(f disk.File, b *brokenFile) {
		var held [][]byte
		var at []int64
		drain := func() {
			for i := range held {
				_, _ = f.WriteAt(held[i], at[i])
			}
			held, at = nil, nil
		}
		b.writeAt = func(p []byte, off int64) (int, error) {
			held, at = append(held, slices.Clone(p)), append(at, off)
			return len(p), nil
		}
		b.sync = func() error { drain(); return f.Sync() }
		b.close = func() error { drain(); return f.Close() }
	})},
	{"F2/readable", "the caller's buffer is kept", files(func(f disk.File, b *brokenFile) {
		var held []byte
		b.writeAt = func(p []byte, off int64) (int, error) { held = p; return f.WriteAt(p, off) }
		b.readAt = func(p []byte, off int64) (int, error) {
			if held != nil {
				_, _ = f.WriteAt(held, 0)
			}
			return f.ReadAt(p, off)
		}
	})},
	{"F2/reserve", "a reservation lengthens the file", files(func(f disk.File, b *brokenFile) {
		b.reserve = func(size int64) error { return f.Truncate(size) }
	})},
	{"F2/synced", "a sync does nothing", files(func(_ disk.File, b *brokenFile) {
		b.sync = func() error { return nil }
	})},
	{"F2/truncate", "a sync forgets the truncation before it", files(func(f disk.File, b *brokenFile) {
		truncated := false
		b.truncate = func(size int64) error { truncated = true; return f.Truncate(size) }
		b.sync = func() error {
			if truncated {
				return nil
			}
			return f.Sync()
		}
	})},
	{"F2/sectors", "a write is torn within a sector", files(tearing)},
	{"F2/append", "a write is torn within a sector", files(tearing)},
	{"F3/names", "names come in the wrong order", func(b *brokenFS) {
		b.list = func() ([]string, error) {
			names, err := b.FS.List()
			slices.Reverse(names)
			return names, err
		}
	}},
	{"F3/names", "create empties what is there", func(b *brokenFS) {
		b.create = func(name string) (disk.File, error) {
			if f, err := b.FS.Open(name); err == nil {
				return f, f.Truncate(0)
			}
			return b.FS.Create(name)
		}
	}},
	{"F3/names", "a missing file is an I/O error", func(b *brokenFS) {
		b.open = func(name string) (disk.File, error) {
			f, err := b.FS.Open(name)
			if err != nil {
				err = disk.ErrIO
			}
			return f, err
		}
	}},
	{"F3/synced", "a directory sync does nothing", func(b *brokenFS) {
		b.syncDir = func() error { return nil }
	}},
	{"F3/rename", "a rename removes its target first", func(b *brokenFS) {
		b.rename = func(from, to string) error {
			_ = b.FS.Remove(to)
			_ = b.FS.SyncDir()
			return b.FS.Rename(from, to)
		}
	}},
	{"F4/count", "a write writes more than it reports", files(func(f disk.File, b *brokenFile) {
		b.writeAt = func(p []byte, off int64) (int, error) {
			_, err := f.WriteAt(p, off)
			return (len(p) + 1) / 2, err
		}
	})},
	{"F4/count", "a write writes less than it reports", files(func(f disk.File, b *brokenFile) {
		b.writeAt = func(p []byte, off int64) (int, error) {
			_, err := f.WriteAt(p[:(len(p)+1)/2], off)
			return len(p), err
		}
	})},
	{"F5/syncfail", "a failed sync is not reported", files(func(f disk.File, b *brokenFile) {
		b.sync = func() error { _ = f.Sync(); return nil }
	})},
	{"F6/end", "a read is short in the middle", files(func(f disk.File, b *brokenFile) {
		b.readAt = func(p []byte, off int64) (int, error) { return f.ReadAt(p[:min(len(p), 1000)], off) }
	})},
	{"F6/end", "the end of the file is an error", files(func(f disk.File, b *brokenFile) {
		b.readAt = func(p []byte, off int64) (int, error) {
			n, err := f.ReadAt(p, off)
			if n < len(p) && err == nil {
				err = io.EOF
			}
			return n, err
		}
	})},
	{"F6/holes", "a gap shows what was cut off", files(func(f disk.File, b *brokenFile) {
		var stale []byte
		var at int64
		b.truncate = func(size int64) error {
			at = size
			stale = make([]byte, 100)
			n, _ := f.ReadAt(stale, size)
			stale = stale[:n]
			return f.Truncate(size)
		}
		b.writeAt = func(p []byte, off int64) (int, error) {
			if n, _ := f.Size(); off > n && n == at {
				_, _ = f.WriteAt(stale, at)
			}
			return f.WriteAt(p, off)
		}
	})},
	{"F6/requests", "separators are taken", func(b *brokenFS) {
		b.create = func(name string) (disk.File, error) {
			return b.wrap(b.FS.Create(strings.ReplaceAll(name, "/", "_")))
		}
	}},
}

// tearing makes the first part of a write durable, up to the middle of a
// sector.
func tearing(f disk.File, b *brokenFile) {
	b.writeAt = func(p []byte, off int64) (int, error) {
		if len(p) > 300 {
			_, _ = f.WriteAt(p[:300], off)
			_ = f.Sync()
		}
		return f.WriteAt(p, off)
	}
}

func simFS(seed uint64, breakIt func(*brokenFS)) FSHarness {
	d := simfile.New(simfile.Config{
		Rand:   rand.New(rand.NewPCG(seed, 0)),
		Faults: simfile.Faults{TornWrite: 400_000, LostUnsynced: 600_000, LostDirent: 600_000},
	})
	return FSHarness{
		Open: func() (disk.FS, error) {
			if breakIt == nil {
				return d.FS(), nil
			}
			b := &brokenFS{FS: d.FS()}
			breakIt(b)
			return b, nil
		},
		Crash:        func() error { d.Crash(true); return nil },
		FailNextSync: func() { d.FailNth(1, true) },
	}
}

// Protects the suite: a sound directory passes every check and skips none.
func TestFSAcceptsSound(t *testing.T) {
	for _, c := range FSChecks() {
		for seed := range uint64(20) {
			if r := record(func(t T) { c.Run(t, simFS(seed, nil)) }); r.failed || r.skipped {
				t.Errorf("%s, seed %d: failed %v, skipped %v: %s", c.Name, seed, r.failed, r.skipped, r.log)
			}
		}
	}
}

// Protects the suite: each broken directory is rejected by the check of the
// promise that it breaks, and each check rejects something.
func TestFSRejectsBroken(t *testing.T) {
	rejects := map[string]bool{}
	for _, broken := range brokenFSs {
		for _, c := range FSChecks() {
			if c.Name != broken.check {
				continue
			}
			r := record(func(t T) { c.Run(t, simFS(1, broken.breakIt)) })
			if !r.failed {
				t.Errorf("%s accepts a directory in which %s", c.Name, broken.fault)
			}
			rejects[c.Name] = rejects[c.Name] || r.failed
		}
	}
	for _, c := range FSChecks() {
		if !rejects[c.Name] {
			t.Errorf("%s rejects nothing", c.Name)
		}
	}
}

// brokenKV is a sound store with some of its calls replaced.
type brokenKV struct {
	disk.KV
	get   func(key []byte) ([]byte, bool, error)
	apply func(b *disk.Batch) error
	flush func() error
	scan  func(lo, hi []byte, visit func(k, v []byte) bool) error
	close func() error
	crash func() // after the crash
}

func (b *brokenKV) Get(key []byte) ([]byte, bool, error) {
	if b.get != nil {
		return b.get(key)
	}
	return b.KV.Get(key)
}

func (b *brokenKV) Apply(batch *disk.Batch) error {
	if b.apply != nil {
		return b.apply(batch)
	}
	return b.KV.Apply(batch)
}

func (b *brokenKV) Flush() error {
	if b.flush != nil {
		return b.flush()
	}
	return b.KV.Flush()
}

func (b *brokenKV) Scan(lo, hi []byte, visit func(k, v []byte) bool) error {
	if b.scan != nil {
		return b.scan(lo, hi, visit)
	}
	return b.KV.Scan(lo, hi, visit)
}

func (b *brokenKV) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.KV.Close()
}

func collect(kv disk.KV, lo, hi []byte) (pairs []disk.Pair) {
	_ = kv.Scan(lo, hi, func(k, v []byte) bool {
		pairs = append(pairs, disk.Pair{Key: slices.Clone(k), Value: slices.Clone(v)})
		return true
	})
	return pairs
}

// brokenKVs are ways to break a store, and the check that must see it.
var brokenKVs = []struct {
	check, fault string
	breakIt      func(*brokenKV)
}{
	{"K1/visible", "a batch shows only with the next one", func(b *brokenKV) {
		var held *disk.Batch
		b.apply = func(batch *disk.Batch) error {
			now := held
			held = batch
			if now == nil {
				return nil
			}
			return b.KV.Apply(now)
		}
	}},
	{"K1/atomic", "a batch is applied entry by entry", func(b *brokenKV) {
		b.apply = func(batch *disk.Batch) error {
			for _, m := range batch.Mutations {
				if err := b.KV.Apply(&disk.Batch{Mutations: []disk.Mutation{m}}); err != nil {
					return err
				}
			}
			return nil
		}
	}},
	{"K2/reopen", "closing loses everything", func(b *brokenKV) {
		b.close = func() error {
			var all disk.Batch
			for _, p := range collect(b.KV, nil, nil) {
				all.Delete(p.Key)
			}
			return b.KV.Apply(&all)
		}
	}},
	{"K2/flushed", "a flush does nothing", func(b *brokenKV) {
		b.flush = func() error { return nil }
	}},
	{"K2/prefix", "the last batch survives a crash and those before it do not", func(b *brokenKV) {
		var last *disk.Batch
		b.apply = func(batch *disk.Batch) error { last = batch; return b.KV.Apply(batch) }
		b.crash = func() { _ = b.KV.Apply(last) }
	}},
	{"K3/last", "the first entry of a key wins", func(b *brokenKV) {
		b.apply = func(batch *disk.Batch) error {
			c := disk.Batch{Mutations: slices.Clone(batch.Mutations)}
			slices.Reverse(c.Mutations)
			return b.KV.Apply(&c)
		}
	}},
	{"K3/order", "iteration is not sorted", func(b *brokenKV) {
		b.scan = func(lo, hi []byte, visit func(k, v []byte) bool) error {
			pairs := collect(b.KV, lo, hi)
			slices.SortFunc(pairs, func(x, y disk.Pair) int {
				return strings.Compare(strings.ToLower(string(x.Key)), strings.ToLower(string(y.Key)))
			})
			for _, p := range pairs {
				if !visit(p.Key, p.Value) {
					break
				}
			}
			return nil
		}
	}},
	{"K3/order", "the upper bound belongs to the range", func(b *brokenKV) {
		b.scan = func(lo, hi []byte, visit func(k, v []byte) bool) error {
			if hi != nil {
				hi = append(slices.Clone(hi), 0)
			}
			return b.KV.Scan(lo, hi, visit)
		}
	}},
	{"K3/order", "an empty upper bound is taken for none", func(b *brokenKV) {
		b.scan = func(lo, hi []byte, visit func(k, v []byte) bool) error {
			if len(hi) == 0 {
				hi = nil
			}
			return b.KV.Scan(lo, hi, visit)
		}
	}},
	{"K3/order", "visit cannot stop the iteration", func(b *brokenKV) {
		b.scan = func(lo, hi []byte, visit func(k, v []byte) bool) error {
			return b.KV.Scan(lo, hi, func(k, v []byte) bool { visit(k, v); return true })
		}
	}},
	{"K3/start", "iteration sees later batches", func(b *brokenKV) {
		b.scan = func(lo, hi []byte, visit func(k, v []byte) bool) error {
			for {
				pairs := collect(b.KV, lo, hi)
				if len(pairs) == 0 || !visit(pairs[0].Key, pairs[0].Value) {
					return nil
				}
				lo = append(pairs[0].Key, 0)
			}
		}
	}},
	{"K3/random", "every fiftieth deletion is forgotten", func(b *brokenKV) {
		n := 0
		b.apply = func(batch *disk.Batch) error {
			c := new(disk.Batch)
			for _, m := range batch.Mutations {
				if m.Delete {
					n++
				}
				if !m.Delete || n%50 != 0 {
					c.Mutations = append(c.Mutations, m)
				}
			}
			return b.KV.Apply(c)
		}
	}},
	{"K4/bytes", "an empty value counts as none", func(b *brokenKV) {
		b.get = func(key []byte) ([]byte, bool, error) {
			v, found, err := b.KV.Get(key)
			return v, found && len(v) > 0, err
		}
	}},
	{"K4/bytes", "values end at a limit", func(b *brokenKV) {
		b.get = func(key []byte) ([]byte, bool, error) {
			v, found, err := b.KV.Get(key)
			return v[:min(len(v), 1<<16)], found, err
		}
	}},
	{"K4/owned", "values got share a buffer", func(b *brokenKV) {
		shared := make([]byte, 100)
		b.get = func(key []byte) ([]byte, bool, error) {
			v, found, err := b.KV.Get(key)
			return shared[:copy(shared, v)], found, err
		}
		b.apply = func(batch *disk.Batch) error {
			for _, m := range batch.Mutations {
				copy(shared, m.Value)
			}
			return b.KV.Apply(batch)
		}
	}},
	{"K4/owned", "the caller's slices are kept", func(b *brokenKV) {
		held := map[string][]byte{}
		b.apply = func(batch *disk.Batch) error {
			for _, m := range batch.Mutations {
				held[string(m.Key)] = m.Value
			}
			return b.KV.Apply(batch)
		}
		b.get = func(key []byte) ([]byte, bool, error) {
			v, ok := held[string(key)]
			return slices.Clone(v), ok, nil
		}
	}},
}

func simKV(seed uint64, breakIt func(*brokenKV)) KVHarness {
	s := memkv.NewSim(memkv.Config{
		Rand:   rand.New(rand.NewPCG(seed, 0)),
		Faults: memkv.Faults{LostUnflushed: 700_000},
	})
	var open *brokenKV
	return KVHarness{
		Open: func() (disk.KV, error) {
			if open = (&brokenKV{KV: s.KV()}); breakIt != nil {
				breakIt(open)
			}
			return open, nil
		},
		Crash: func() error {
			s.Crash(true)
			if open.crash != nil {
				open.crash()
			}
			return nil
		},
	}
}

// Protects the suite: a sound store passes every check and skips none.
func TestKVAcceptsSound(t *testing.T) {
	for _, c := range KVChecks() {
		for seed := range uint64(20) {
			if r := record(func(t T) { c.Run(t, simKV(seed, nil)) }); r.failed || r.skipped {
				t.Errorf("%s, seed %d: failed %v, skipped %v: %s", c.Name, seed, r.failed, r.skipped, r.log)
			}
		}
	}
}

// Protects the suite: each broken store is rejected by the check of the promise
// that it breaks, and each check rejects something.
func TestKVRejectsBroken(t *testing.T) {
	rejects := map[string]bool{}
	for _, broken := range brokenKVs {
		for _, c := range KVChecks() {
			if c.Name != broken.check {
				continue
			}
			r := record(func(t T) { c.Run(t, simKV(1, broken.breakIt)) })
			if !r.failed {
				t.Errorf("%s accepts a store in which %s", c.Name, broken.fault)
			}
			rejects[c.Name] = rejects[c.Name] || r.failed
		}
	}
	for _, c := range KVChecks() {
		if !rejects[c.Name] {
			t.Errorf("%s rejects nothing", c.Name)
		}
	}
}

// Protects honesty: what a backend cannot be asked is skipped, not passed.
func TestSkipsVisibly(t *testing.T) {
	for _, c := range FSChecks() {
		h := simFS(1, nil)
		h.Crash, h.FailNextSync = nil, nil
		r := record(func(t T) { c.Run(t, h) })
		needs := slices.Contains([]string{"F2/synced", "F2/truncate", "F2/sectors", "F2/append", "F3/synced", "F3/rename", "F5/syncfail"}, c.Name)
		if r.failed || r.skipped != needs {
			t.Errorf("%s without a crash: failed %v, skipped %v", c.Name, r.failed, r.skipped)
		}
	}
	for _, c := range KVChecks() {
		h := simKV(1, nil)
		h.Crash = nil
		r := record(func(t T) { c.Run(t, h) })
		needs := slices.Contains([]string{"K1/atomic", "K2/flushed", "K2/prefix"}, c.Name)
		if r.failed || r.skipped != needs {
			t.Errorf("%s without a crash: failed %v, skipped %v", c.Name, r.failed, r.skipped)
		}
	}
}
