package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"actordb/disk"
	"actordb/disk/kvfile"
	"actordb/disk/losefs"
	"actordb/disk/memkv"
	"actordb/disk/osfile"
	"actordb/disk/pebblekv"
	"actordb/disk/pgkv"
	"actordb/disk/pgkv/pgtest"
)

// stores are the disks of a machine. After cut nothing that the node does to
// them has an effect, and what was not durable is gone when they are opened
// again.
type stores struct {
	files func(dir string) (disk.FS, error)
	kv    func(dir string) (disk.KV, error)
	cut   func() // the power, while the node runs
	lose  func() error

	compact bool // derived state outlives the power, and the log is cut behind it
}

var errPower = errors.New("the power is off")

// power lets calls through until it is cut.
type power struct {
	mu  sync.RWMutex
	off bool
}

func (p *power) do(f func() error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.off {
		return fmt.Errorf("%w: %w", disk.ErrIO, errPower)
	}
	return f()
}

func (p *power) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
}

// powered is a directory that needs power. Closing it needs none.
type powered struct {
	p           *power
	fs          *losefs.FS
	under, side *osfile.Dir
}

func (d *powered) List() (names []string, err error) {
	err = d.p.do(func() error { names, err = d.fs.List(); return err })
	return names, err
}

func (d *powered) open(open func(string) (disk.File, error), name string) (f disk.File, err error) {
	if err = d.p.do(func() error { f, err = open(name); return err }); err != nil {
		return nil, err
	}
	return &poweredFile{d.p, f}, nil
}

func (d *powered) Create(name string) (disk.File, error) { return d.open(d.fs.Create, name) }
func (d *powered) Open(name string) (disk.File, error)   { return d.open(d.fs.Open, name) }
func (d *powered) Rename(from, to string) error {
	return d.p.do(func() error { return d.fs.Rename(from, to) })
}
func (d *powered) Remove(name string) error { return d.p.do(func() error { return d.fs.Remove(name) }) }
func (d *powered) SyncDir() error           { return d.p.do(d.fs.SyncDir) }

// Close gives the directories up once no call is in them.
func (d *powered) Close() error {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	return errors.Join(d.under.Close(), d.side.Close())
}

type poweredFile struct {
	p *power
	disk.File
}

func (f *poweredFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = f.p.do(func() error { n, err = f.File.ReadAt(b, off); return err })
	return n, err
}
func (f *poweredFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.p.do(func() error { n, err = f.File.WriteAt(b, off); return err })
	return n, err
}
func (f *poweredFile) Sync() error { return f.p.do(f.File.Sync) }
func (f *poweredFile) Truncate(size int64) error {
	return f.p.do(func() error { return f.File.Truncate(size) })
}
func (f *poweredFile) Reserve(size int64) error {
	return f.p.do(func() error { return f.File.Reserve(size) })
}

// lossyStores are directories that lose what was not synced: of the journal, and
// of Pebble if that keeps derived state. Otherwise derived state is rebuilt at
// every start.
func lossyStores(pebble bool) *stores {
	var p *power
	var opened []*powered
	dirs := map[string]string{}
	open := func(dir string) (*powered, error) {
		if p == nil || p.off {
			p, opened = &power{}, nil
		}
		side := dir + "-undo"
		under, err := osfile.Open(dir)
		if err != nil {
			return nil, err
		}
		undo, err := osfile.Open(side)
		if err != nil {
			return nil, errors.Join(err, under.Close())
		}
		fs, err := losefs.Open(under, undo)
		if err != nil {
			return nil, errors.Join(err, under.Close(), undo.Close())
		}
		dirs[dir] = side
		d := &powered{p, fs, under, undo}
		opened = append(opened, d)
		return d, nil
	}
	s := &stores{
		files: func(dir string) (disk.FS, error) { return open(dir) },
		kv:    func(string) (disk.KV, error) { return memkv.New(), nil },
		cut:   func() { p.cut() },
		lose: func() error {
			var err error
			for _, d := range opened {
				err = errors.Join(err, d.Close()) // again for some, to no harm
			}
			err = nil
			for dir, side := range dirs {
				err = errors.Join(err, cutDir(dir, side))
			}
			return err
		},
	}
	if pebble {
		s.kv = func(dir string) (disk.KV, error) {
			d, err := open(dir)
			if err != nil {
				return nil, err
			}
			kv, err := pebblekv.Open(pebblekv.Config{Dir: pebblekv.OverFSDir, FS: pebblekv.OverFS(d), CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
			if err != nil {
				return nil, errors.Join(err, d.Close())
			}
			return &closing{kv, d}, nil
		}
	}
	return s
}

// closing closes a store and then what it stands on.
type closing struct {
	disk.KV
	under *powered
}

func (c *closing) Close() error { return errors.Join(c.KV.Close(), c.under.Close()) }

func cutDir(dir, side string) error {
	under, err := osfile.Open(dir)
	if err != nil {
		return err
	}
	undo, err := osfile.Open(side)
	if err != nil {
		return errors.Join(err, under.Close())
	}
	_, err = losefs.Cut(under, undo, losefs.Everything, nil)
	return errors.Join(err, under.Close(), undo.Close())
}

// poweredKV is a store in memory that needs power.
type poweredKV struct {
	mu  *sync.Mutex
	p   *power
	sim *memkv.Sim
}

func (k *poweredKV) do(f func(kv disk.KV) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.p.do(func() error { return f(k.sim.KV()) })
}

func (k *poweredKV) Get(key []byte) (v []byte, found bool, err error) {
	err = k.do(func(kv disk.KV) error { v, found, err = kv.Get(key); return err })
	return v, found, err
}
func (k *poweredKV) Apply(b *disk.Batch) error {
	return k.do(func(kv disk.KV) error { return kv.Apply(b) })
}
func (k *poweredKV) Flush() error { return k.do(disk.KV.Flush) }
func (k *poweredKV) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	return k.do(func(kv disk.KV) error { return kv.Scan(lo, hi, visit) }) // kvfile's visitors call no store
}
func (k *poweredKV) Close() error { return nil }

// memoryStores keep the journal in a store in memory, over kvfile, that loses
// what was not flushed.
func memoryStores() *stores {
	rnd := rand.New(rand.NewPCG(1, 7))
	sims := map[string]*poweredKV{}
	return &stores{
		files: func(dir string) (disk.FS, error) {
			k := sims[dir]
			if k == nil {
				k = &poweredKV{mu: new(sync.Mutex), sim: memkv.NewSim(memkv.Config{Rand: rnd, Faults: memkv.Faults{LostUnflushed: 1_000_000}})}
				sims[dir] = k
			}
			k.p = &power{}
			return kvfile.Open(k)
		},
		kv: func(string) (disk.KV, error) { return memkv.New(), nil },
		cut: func() {
			for _, k := range sims {
				k.p.cut()
			}
		},
		lose: func() error {
			for _, k := range sims {
				k.sim.Crash(true)
			}
			return nil
		},
	}
}

// postgresStores keep everything in PostgreSQL. The power is the server's.
func postgresStores(t *testing.T) *stores {
	server := pgtest.Start(t)
	open := func(dir string) (disk.KV, error) {
		shard, kind := filepath.Split(dir)
		return pgkv.Open(pgkv.Config{URL: server.URL(), Table: fmt.Sprintf("shard_%c_%s", shard[len(shard)-2], kind)})
	}
	return &stores{
		files: func(dir string) (disk.FS, error) {
			kv, err := open(dir)
			if err != nil {
				return nil, err
			}
			return kvfile.Open(kv)
		},
		kv:   open,
		cut:  server.Stop,
		lose: func() error { server.Resume(); return nil },
	}
}
