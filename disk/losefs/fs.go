package losefs

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"actordb/disk"
)

// An FS is a directory that remembers what is not durable. It may be used from
// several goroutines.
//
// Locks are taken in this order: dir, then a file's mu, then mu.
type FS struct {
	under disk.FS

	dir     sync.Mutex // held while names are changed or looked up
	dirSick error      // a SyncDir that failed

	mu      sync.Mutex // guards the ledger and the journal
	ledger  *ledger
	journal *journal
	broken  error // a rewrite of the journal that failed

	failSync atomic.Bool
}

var _ disk.FS = (*FS)(nil)

// Open opens a directory under, with its undo journal in side. Both must have
// no other owner. What a failed Sync left in doubt is lost now (L3).
func Open(under, side disk.FS) (*FS, error) {
	l, j, err := load(under, side)
	if err != nil {
		return nil, err
	}
	for _, file := range l.sorted() {
		if !file.failed {
			continue
		}
		if _, err := settle(under, j, file, Everything, nil); err != nil {
			return nil, errors.Join(err, j.file.Close())
		}
		e := entry{kind: kindSynced, id: file.id}
		if err := errors.Join(j.append(&e), l.apply(&e)); err != nil {
			return nil, errors.Join(err, j.file.Close())
		}
	}
	return &FS{under: under, ledger: l, journal: j}, nil
}

// Close closes the journal and makes nothing durable. The directories stay open.
func (s *FS) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.file.Close()
}

// FailNextSync makes the next File.Sync fail.
func (s *FS) FailNextSync() { s.failSync.Store(true) }

// log makes an entry part of the journal and of the ledger.
func (s *FS) log(e *entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logLocked(e)
}

func (s *FS) logLocked(e *entry) error {
	if s.ledger.pending+int64(len(e.old)) > pendingBytesMax {
		return &disk.PathError{Kind: disk.OpWrite, Name: journalName, Offset: s.journal.end, Err: disk.ErrNoSpace}
	}
	if s.broken == nil && s.journal.end > compactBytes && s.journal.end/compactRatio > s.ledger.pending {
		s.broken = s.journal.rewrite(s.list) // half done, the ledger points to neither
	}
	if s.broken != nil {
		return s.broken
	}
	if err := s.journal.append(e); err != nil {
		return err
	}
	return s.ledger.apply(e)
}

// list gives what the next journal holds.
func (s *FS) list(add func(*entry) error) error {
	return s.ledger.list(func(r *record) ([]byte, error) {
		p := make([]byte, r.oldLen)
		return p, s.journal.read(p, r.oldAt)
	}, add)
}

// undone takes back the change of names that has failed with err.
func (s *FS) undone(err error) error {
	if lerr := s.log(&entry{kind: kindUndone}); lerr != nil {
		return errors.Join(err, lerr)
	}
	return err
}

func valid(name string) bool {
	return disk.ValidName(name) && !strings.HasPrefix(name, gravePrefix)
}

func refused(kind disk.OpKind, name string, err error) error {
	return &disk.PathError{Kind: kind, Name: name, Err: err}
}

// inode returns the file of a name, or nil if there is none. dir is held.
func (s *FS) inode(name string) (*inode, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if file := s.ledger.names[name]; file != nil {
		return file, nil
	}
	if there, err := exists(s.under, name); err != nil || !there {
		return nil, err
	}
	e := entry{kind: kindAdopt, id: s.ledger.nextID, from: name}
	if err := s.logLocked(&e); err != nil {
		return nil, err
	}
	return s.ledger.inodes[e.id], nil
}

// List returns the names in order, without graves.
func (s *FS) List() ([]string, error) {
	s.dir.Lock()
	defer s.dir.Unlock()
	names, err := s.under.List()
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, gravePrefix) }), err
}

// Create makes a new file, whose name is lost without a SyncDir.
func (s *FS) Create(name string) (disk.File, error) {
	if !valid(name) {
		return nil, refused(disk.OpCreate, name, disk.ErrBadRequest)
	}
	s.dir.Lock()
	defer s.dir.Unlock()
	there, err := exists(s.under, name)
	if err != nil {
		return nil, err
	}
	if there {
		return nil, refused(disk.OpCreate, name, disk.ErrExist)
	}
	s.mu.Lock()
	e := entry{kind: kindCreate, id: s.ledger.nextID, from: name}
	err = s.logLocked(&e)
	node := s.ledger.inodes[e.id]
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f, err := s.under.Create(name)
	if err != nil {
		return nil, s.undone(err)
	}
	return &file{fs: s, name: name, node: node, under: f}, nil
}

// Open opens a file.
func (s *FS) Open(name string) (disk.File, error) {
	if !valid(name) {
		return nil, refused(disk.OpStat, name, disk.ErrBadRequest)
	}
	s.dir.Lock()
	defer s.dir.Unlock()
	node, err := s.inode(name)
	if err != nil {
		return nil, err
	}
	f, err := s.under.Open(name)
	if err != nil {
		return nil, err
	}
	return &file{fs: s, name: name, node: node, under: f}, nil
}

// Remove removes a name, which is back without a SyncDir.
func (s *FS) Remove(name string) error {
	if !valid(name) {
		return refused(disk.OpRemove, name, disk.ErrBadRequest)
	}
	s.dir.Lock()
	defer s.dir.Unlock()
	node, err := s.inode(name)
	if err != nil {
		return err
	}
	if node == nil {
		return refused(disk.OpRemove, name, disk.ErrNotExist)
	}
	if err := s.log(&entry{kind: kindRemove, id: node.id, from: name}); err != nil {
		return err
	}
	if err := s.under.Rename(name, graveName(node.id)); err != nil {
		return s.undone(err)
	}
	return nil
}

// Rename gives the file from the name to, and is undone without a SyncDir.
func (s *FS) Rename(from, to string) error {
	if !valid(from) || !valid(to) {
		return refused(disk.OpRename, from, disk.ErrBadRequest)
	}
	s.dir.Lock()
	defer s.dir.Unlock()
	node, err := s.inode(from)
	if err != nil {
		return err
	}
	if node == nil {
		return refused(disk.OpRename, from, disk.ErrNotExist)
	}
	if from == to {
		return nil
	}
	target, err := s.inode(to)
	if err != nil {
		return err
	}
	e := entry{kind: kindRename, id: node.id, from: from, to: to}
	if target != nil {
		e.other = target.id
	}
	if err := s.log(&e); err != nil {
		return err
	}
	if target != nil {
		if err := s.under.Rename(to, graveName(target.id)); err != nil {
			return s.undone(err)
		}
	}
	if err := s.under.Rename(from, to); err != nil {
		if target != nil {
			err = errors.Join(err, s.under.Rename(graveName(target.id), to))
		}
		return s.undone(err)
	}
	return nil
}

// SyncDir makes the names durable. Once it has failed it always fails.
func (s *FS) SyncDir() error {
	s.dir.Lock()
	defer s.dir.Unlock()
	if s.dirSick != nil {
		return s.dirSick
	}
	if s.dirSick = s.under.SyncDir(); s.dirSick != nil {
		return s.dirSick
	}
	s.mu.Lock()
	err := s.broken
	if err == nil {
		err = s.journal.append(&entry{kind: kindDirSynced})
	}
	var graves []string
	if err == nil {
		graves = s.ledger.dirSynced()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, name := range graves {
		if err := s.under.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// A file is an open file.
type file struct {
	fs    *FS
	name  string // when it was opened
	node  *inode
	under disk.File
}

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.under.ReadAt(p, off) }
func (f *file) Size() (int64, error)                    { return f.under.Size() }
func (f *file) Reserve(size int64) error                { return f.under.Reserve(size) }
func (f *file) Close() error                            { return f.under.Close() }

// WriteAt writes p, having remembered what is there.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if off >= 0 && len(p) > 0 {
		if err := f.remember(kindWrite, off, off+int64(len(p))); err != nil {
			return 0, err
		}
	}
	return f.under.WriteAt(p, off)
}

// Truncate ends the file at size, having remembered what it cuts off.
func (f *file) Truncate(size int64) error {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if size >= 0 {
		now, err := f.under.Size()
		if err != nil {
			return err
		}
		if err := f.remember(kindTruncate, size, max(size, now)); err != nil {
			return err
		}
	}
	return f.under.Truncate(size)
}

// remember writes down what [from, to) holds. A record of a change that fails
// afterwards does no harm: it restores what is there.
func (f *file) remember(k kind, from, to int64) error {
	f.fs.mu.Lock()
	gone := f.node.gone
	f.fs.mu.Unlock()
	if gone {
		return nil
	}
	size, err := f.under.Size()
	if err != nil {
		return err
	}
	e := entry{kind: k, id: f.node.id, off: from, n: to - from, size: size}
	if from < size {
		e.old = make([]byte, min(to, size)-from)
		n, err := f.under.ReadAt(e.old, from)
		if err != nil {
			return err
		}
		e.old = e.old[:n]
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.node.gone {
		return nil
	}
	return f.fs.logLocked(&e)
}

// Sync makes everything durable that was written to the file by any handle.
func (f *file) Sync() error {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if f.node.sick != nil {
		return f.node.sick
	}
	var err error
	if f.fs.failSync.CompareAndSwap(true, false) {
		err = &disk.PathError{Kind: disk.OpSync, Name: f.name, Err: disk.ErrIO}
	} else {
		err = f.under.Sync()
	}
	e := entry{kind: kindSynced, id: f.node.id}
	if err != nil {
		f.node.sick, e.kind = err, kindFailed
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.node.gone || err == nil && len(f.node.undo) == 0 {
		return err
	}
	return errors.Join(err, f.fs.logLocked(&e))
}
