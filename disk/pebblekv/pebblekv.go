package pebblekv

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"actordb/disk"
)

// A Config says where a store is and what it may use.
type Config struct {
	Dir string
	FS  vfs.FS // nil: the operating system's; OverFS for one of package disk

	CacheBytes    int64 // of the block cache; 0 for the default
	MemTableBytes int64 // of one memory table; 0 for the default

	// OnFault is told of the first fault, from the goroutine that met it and with
	// Pebble's locks held: it must not call the store, and should not wait.
	OnFault func(*Fault)

	// NoCompactions keeps Pebble from compacting by itself: for tests that inject
	// errors and want them in one place.
	NoCompactions bool

	// ReadOnly opens a store that is there, and writes nothing to it. ErrNone says
	// that there is none, or that its creation was cut short (P7).
	ReadOnly bool
}

// Validate returns what is wrong with a Config.
func (c *Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("pebblekv: no directory")
	case c.CacheBytes < 0 || c.MemTableBytes < 0:
		return errors.New("pebblekv: a size below zero")
	case c.MemTableBytes > 1<<30:
		return fmt.Errorf("pebblekv: memory tables of %d bytes, at most 1 GiB", c.MemTableBytes)
	}
	return nil
}

// A Store is an open store.
type Store struct {
	dir     string
	fs      vfs.FS
	db      *pebble.DB
	onFault func(*Fault)
	closed  bool

	fault  atomic.Pointer[Fault]
	failed chan struct{} // closed with the first fault

	dead    atomic.Bool   // a fault was fatal, the first or, while Pebble retried, a later one
	stopped chan struct{} // closed then

	applied atomic.Uint64 // batches
	flushed atomic.Uint64 // of these, durable
}

var _ disk.KV = (*Store)(nil)

// Open opens the store in a directory, which is made if there is none.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{dir: cfg.Dir, fs: cfg.FS, onFault: cfg.OnFault, failed: make(chan struct{}), stopped: make(chan struct{})}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	creating, err := s.prepare(cfg.ReadOnly)
	if err != nil {
		return nil, err
	}
	cache := cfg.CacheBytes
	if cache == 0 {
		cache = cacheBytesDefault
	}
	blocks := pebble.NewCache(cache)
	defer blocks.Unref() // the DB holds it
	opts := s.options(&cfg)
	opts.Cache = blocks
	if err := s.open(opts); err != nil {
		return nil, err
	}
	if creating {
		if err := s.created(); err != nil {
			return nil, errors.Join(newFault(s.dir, "create", err), s.Close())
		}
	}
	return s, nil
}

// open is a change, but for a fault that is not fatal: then there is a DB to
// close.
func (s *Store) open(opts *pebble.Options) error {
	type outcome struct {
		db  *pebble.DB
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		db, err := pebble.Open(s.dir, opts)
		done <- outcome{db, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-s.stopped:
		return s.faulty()
	}
	if o.err == nil {
		if o.err = s.faulty(); o.err == nil {
			s.db = o.db
			return nil
		}
		return errors.Join(o.err, o.db.Close())
	}
	if err := s.faulty(); err != nil {
		return err
	}
	return newFault(s.dir, "open", o.err)
}

func (s *Store) options(cfg *Config) *pebble.Options {
	memTable := cfg.MemTableBytes
	if memTable == 0 {
		memTable = memTableBytesDefault
	}
	opts := &pebble.Options{
		FS:                          stopFS{s.fs, s},
		DisableWAL:                  true,
		FormatMajorVersion:          formatVersion,
		Logger:                      logger{s},
		MemTableSize:                uint64(memTable),
		MemTableStopWritesThreshold: memTablesMax,
		L0CompactionThreshold:       l0Compact,
		L0StopWritesThreshold:       l0Max,
		MaxOpenFiles:                openFilesMax,
		DisableAutomaticCompactions: cfg.NoCompactions,
		ReadOnly:                    cfg.ReadOnly,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(newFault(s.dir, "in the background", err)) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.fail(newFault(s.dir, "file "+info.Path, fmt.Errorf("%w: %w", ErrCorrupt, info.Details)))
			},
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	return opts
}

// creatingName is the file that says that a store is not yet created (P7).
const creatingName = "CREATING"

// prepare makes the directory ready for Pebble, refuses a store of the future,
// and reports whether there is none yet.
func (s *Store) prepare(readOnly bool) (creating bool, err error) {
	doing := func(err error) error { return newFault(s.dir, "open", err) }
	if !readOnly {
		if err := s.fs.MkdirAll(s.dir, 0o700); err != nil {
			return false, doing(err)
		}
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return false, doing(err)
	}
	marker, version, err := atomicfs.LocateMarkerInListing(s.fs, s.dir, "format-version", names)
	if err != nil {
		return false, doing(err)
	}
	if err := marker.Close(); err != nil {
		return false, doing(err)
	}
	if found, err := strconv.ParseUint(version, 10, 64); err == nil && found > uint64(formatVersion) {
		return false, &VersionError{s.dir, found, uint64(formatVersion)}
	}
	for _, name := range names {
		creating = creating || name == creatingName
	}
	switch {
	case readOnly && (creating || version == ""):
		return false, ErrNone
	case readOnly:
		return false, nil
	case creating:
		for _, name := range names {
			if name == creatingName || name == "LOCK" {
				continue
			}
			if err := s.fs.Remove(s.fs.PathJoin(s.dir, name)); err != nil {
				return false, doing(err)
			}
		}
		return true, nil
	case len(names) > 0:
		return false, nil
	}
	f, err := s.fs.Create(s.fs.PathJoin(s.dir, creatingName), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), s.syncDir(s.dir), s.syncDir(s.fs.PathDir(s.dir)))
	}
	if err != nil {
		return false, doing(err)
	}
	return true, nil
}

// created takes back what prepare said.
func (s *Store) created() error {
	err := s.fs.Remove(s.fs.PathJoin(s.dir, creatingName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.syncDir(s.dir)
}

func (s *Store) syncDir(path string) error {
	d, err := s.fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get returns a copy of the value of key.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	err = s.read("get", func() error {
		v, closer, err := s.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		value, found = append([]byte{}, v...), true
		return closer.Close()
	})
	if err != nil {
		return nil, false, err
	}
	return value, found, nil
}

// Apply writes b. It keeps none of its slices. It waits when memory is full (P5).
func (s *Store) Apply(b *disk.Batch) error {
	if b.Bytes > batchBytesMax {
		return &Fault{Dir: s.dir, Doing: "apply", Reason: disk.ErrBadRequest, Err: fmt.Errorf("a batch of %d bytes, at most %d", b.Bytes, batchBytesMax)}
	}
	if err := s.faulty(); err != nil {
		return err
	}
	if s.closed {
		return ErrClosed
	}
	batch := s.db.NewBatchWithSize(b.Bytes + 24*len(b.Mutations) + 64)
	for i := range b.Mutations {
		m := &b.Mutations[i]
		var err error
		if m.Delete {
			err = batch.Delete(m.Key, nil)
		} else {
			err = batch.Set(m.Key, m.Value, nil)
		}
		if err != nil {
			return errors.Join(newFault(s.dir, "apply", err), batch.Close())
		}
	}
	return s.change("apply", func() error {
		err := batch.Commit(pebble.NoSync)
		// After the commit: a Flush must not count a batch that it could miss.
		s.applied.Add(1)
		return errors.Join(err, batch.Close())
	})
}

// Flush makes everything durable that was applied before.
func (s *Store) Flush() error {
	applied := s.applied.Load()
	if s.flushed.Load() == applied {
		return s.faulty()
	}
	var flushed <-chan struct{}
	if err := s.change("flush", func() (err error) {
		flushed, err = s.db.AsyncFlush()
		return err
	}); err != nil {
		return err
	}
	select {
	case <-flushed:
		for was := s.flushed.Load(); was < applied; was = s.flushed.Load() {
			s.flushed.CompareAndSwap(was, applied)
		}
		return nil
	case <-s.failed:
		return s.faulty()
	}
}

// Scan visits [lo, hi) as it is now. visit may call the store.
func (s *Store) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	var it *pebble.Iterator
	defer func() {
		if it != nil && !s.dead.Load() { // visit has panicked, or an error came first
			_ = it.Close()
		}
	}()
	ended := false
	step := func(move func() bool) error {
		return s.read("scan", func() error {
			if move() {
				return nil
			}
			ended = true
			err := it.Error()
			err = errors.Join(err, it.Close())
			it = nil
			return err
		})
	}
	if hi != nil && len(hi) == 0 {
		return s.faulty() // nothing is below the empty key; Pebble takes it for no bound
	}
	if len(lo) == 0 {
		lo = nil // the same to Pebble, but for an assertion that wants a first byte
	}
	if err := s.read("scan", func() (err error) {
		it, err = s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
		return err
	}); err != nil {
		return err
	}
	for err := step(it.First); ; err = step(it.Next) {
		if err != nil || ended {
			return err
		}
		var value []byte
		if err := s.read("scan", func() (err error) {
			value, err = it.ValueAndErr()
			return err
		}); err != nil {
			return err
		}
		if !visit(it.Key(), value) {
			return nil
		}
	}
}

// Close flushes and closes the store. After a fatal fault it leaves Pebble as it
// is (P4), after another one it closes without a flush; both return the fault.
func (s *Store) Close() error {
	if s.closed {
		return ErrClosed
	}
	err := s.Flush()
	s.closed = true
	if s.dead.Load() {
		return err
	}
	// Not by change, which would not wait after a fault of the background.
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	select {
	case cerr := <-done:
		if err == nil {
			err = s.faulty() // closing met it
		}
		if cerr != nil {
			cerr = newFault(s.dir, "close", cerr)
		}
		return errors.Join(err, cerr)
	case <-s.stopped:
		return s.faulty()
	}
}
