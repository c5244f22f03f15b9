package history

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"actordb/core/actor"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/disk/pebblekv"
)

// pinAttempts is how often files may vanish under a reader: a store that runs
// removes them by and by, not all at once.
const pinAttempts = 8

// OpenKV opens a derived store for reading, as it is at a moment between the call
// and its return. It returns nil if there is none.
func OpenKV(dir string) (disk.KV, error) {
	var err error
	for range pinAttempts {
		var kv disk.KV
		if kv, err = openPinned(dir); err == nil || !errors.Is(err, disk.ErrNotExist) {
			return kv, err
		}
	}
	return nil, err
}

func openPinned(dir string) (disk.KV, error) {
	p, err := pin(dir)
	if err != nil {
		return nil, err
	}
	store, err := pebblekv.Open(pebblekv.Config{Dir: pebblekv.OverFSDir, FS: pebblekv.OverFS(p), ReadOnly: true, NoCompactions: true})
	if err != nil {
		err = errors.Join(located(dir, err), p.close())
		if errors.Is(err, pebblekv.ErrNone) {
			return nil, nil
		}
		return nil, err
	}
	return &pinnedKV{store, p, dir}, nil
}

// located names the true place in errors that know only OverFSDir.
func located(dir string, err error) error {
	var version *pebblekv.VersionError
	if errors.As(err, &version) {
		version.Dir = dir
		return version
	}
	var fault *pebblekv.Fault
	if errors.As(err, &fault) {
		f := *fault
		f.Dir = dir
		return &f
	}
	return err
}

type pinnedKV struct {
	*pebblekv.Store
	files *pinned
	dir   string
}

func (k *pinnedKV) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	if err := k.Store.Scan(lo, hi, visit); err != nil {
		return located(k.dir, err)
	}
	return nil
}

func (k *pinnedKV) Close() error { return errors.Join(k.Store.Close(), k.files.close()) }

// pinned is a store's directory at one moment: what it lists was there then, and
// stays readable. Tables are immutable, so it is enough to hold them open; what
// says which tables count is a manifest, which grows, so that its bytes are taken.
type pinned struct {
	files map[string]*pinnedFile
	names []string
}

const manifestPrefix = "MANIFEST-"

func pin(dir string) (*pinned, error) {
	p := &pinned{files: map[string]*pinnedFile{}}
	if err := p.take(dir); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *pinned) take(dir string) error {
	if _, err := p.hold(dir); err != nil { // tables that may go soon
		return err
	}
	names, err := list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, manifestPrefix) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // an old one
		}
		if err != nil {
			return err
		}
		p.files[name] = &pinnedFile{name: name, bytes: b}
	}
	if _, err := p.hold(dir); err != nil { // tables that came before the manifest was read
		return err
	}
	for name := range p.files {
		// Markers are files whose names count: only those of the moment.
		if strings.HasPrefix(name, "marker.") && !slices.Contains(names, name) {
			continue
		}
		p.names = append(p.names, name)
	}
	slices.Sort(p.names)
	return nil
}

func list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// hold opens the files that are there and not manifests.
func (p *pinned) hold(dir string) (names []string, err error) {
	names, err = list(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if p.files[name] != nil || strings.HasPrefix(name, manifestPrefix) {
			continue
		}
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.files[name] = &pinnedFile{name: name, f: f}
	}
	return names, nil
}

func (p *pinned) close() (err error) {
	for _, f := range p.files {
		if f.f != nil {
			err = errors.Join(err, f.f.Close())
		}
	}
	return err
}

func readOnly(kind disk.OpKind, name string) error {
	return &disk.PathError{Kind: kind, Name: name, Err: fmt.Errorf("%w: the directory is only read", disk.ErrBadRequest)}
}

func (p *pinned) List() ([]string, error) { return slices.Clone(p.names), nil }
func (p *pinned) Open(name string) (disk.File, error) {
	if f := p.files[name]; f != nil {
		return f, nil
	}
	return nil, &disk.PathError{Kind: disk.OpStat, Name: name, Err: disk.ErrNotExist}
}
func (p *pinned) Create(name string) (disk.File, error) { return nil, readOnly(disk.OpCreate, name) }
func (p *pinned) Rename(from, _ string) error           { return readOnly(disk.OpRename, from) }
func (p *pinned) Remove(name string) error              { return readOnly(disk.OpRemove, name) }
func (p *pinned) SyncDir() error                        { return nil }

// A pinnedFile stays open until the store is closed, whoever closes it before.
type pinnedFile struct {
	name  string
	f     *os.File
	bytes []byte
}

func (f *pinnedFile) ReadAt(b []byte, off int64) (int, error) {
	if f.f == nil {
		return copy(b, f.bytes[min(off, int64(len(f.bytes))):]), nil
	}
	n, err := f.f.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *pinnedFile) Size() (int64, error) {
	if f.f == nil {
		return int64(len(f.bytes)), nil
	}
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
func (f *pinnedFile) WriteAt([]byte, int64) (int, error) { return 0, readOnly(disk.OpWrite, f.name) }
func (f *pinnedFile) Truncate(int64) error               { return readOnly(disk.OpTruncate, f.name) }
func (f *pinnedFile) Reserve(int64) error                { return readOnly(disk.OpReserve, f.name) }
func (f *pinnedFile) Sync() error                        { return nil }
func (f *pinnedFile) Close() error                       { return nil }

// Derived is what a derived store holds but for the states.
type Derived struct {
	There     bool // there is a checkpoint
	Position  shard.Position
	Actors    []shard.DerivedActor
	Sessions  []*actor.Session
	Snapshots []shard.DerivedSnapshot // without State, unless asked for
}

// ReadDerived reads a store; nil is an empty one. If a pair cannot be read, the
// error wraps shard.ErrDerived.
func ReadDerived(kv disk.KV, states bool) (*Derived, error) {
	d := &Derived{}
	if kv == nil {
		return d, nil
	}
	visitor := shard.DerivedVisitor{
		Position: func(p shard.Position) error { d.There, d.Position = true, p; return nil },
		Actor:    func(a shard.DerivedActor) error { d.Actors = append(d.Actors, a); return nil },
		Session:  func(s *actor.Session) error { d.Sessions = append(d.Sessions, s); return nil },
		Snapshot: func(s shard.DerivedSnapshot) error {
			if s.State = slices.Clone(s.State); !states {
				s.State = nil
			}
			d.Snapshots = append(d.Snapshots, s)
			return nil
		},
	}
	var bad error
	err := kv.Scan(nil, nil, func(key, value []byte) bool {
		bad = visitor.Visit(key, value)
		return bad == nil
	})
	return d, errors.Join(err, bad)
}
