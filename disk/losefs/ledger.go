package losefs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"actordb/disk"
)

// gravePrefix begins the names of files that were removed and could come back.
const gravePrefix = ".grave-"

func graveName(id uint64) string { return fmt.Sprintf("%s%d", gravePrefix, id) }

// An inode is a file, whatever it is called.
type inode struct {
	id uint64

	mu   sync.Mutex // held while the file is changed or synced
	sick error      // a Sync that failed

	// The ledger's, under its own lock.
	name   string // now
	undo   []record
	failed bool // a Sync failed
	gone   bool // its removal is durable
}

// A record can undo one write or truncation. The bytes lie in the journal.
type record struct {
	off, n   int64
	oldSize  int64
	truncate bool
	oldAt    int64
	oldLen   int64
}

// A dirent is a change of names that is not durable.
type dirent struct {
	kind      kind
	from, to  string
	file      *inode
	displaced *inode
}

// A ledger is what the journal says.
type ledger struct {
	nextID  uint64
	names   map[string]*inode // as they are now, of files that have an id
	inodes  map[uint64]*inode
	dirents []dirent
	pending int64 // bytes to undo
}

func newLedger() *ledger {
	return &ledger{nextID: 1, names: map[string]*inode{}, inodes: map[uint64]*inode{}}
}

// apply makes an entry part of the ledger.
func (l *ledger) apply(e *entry) error {
	var file *inode
	switch e.kind {
	case kindAdopt, kindCreate:
		file = &inode{id: e.id, name: e.from}
		l.inodes[e.id], l.names[e.from] = file, file
		l.nextID = max(l.nextID, e.id+1)
		if e.kind == kindAdopt {
			return nil
		}
	case kindUndone:
		l.undoLast()
		return nil
	case kindDirSynced:
		l.dirSynced()
		return nil
	default:
		if file = l.inodes[e.id]; file == nil {
			return fmt.Errorf("undo journal: an entry of the unknown file %d: %w", e.id, disk.ErrIO)
		}
	}
	switch e.kind {
	case kindWrite, kindTruncate:
		file.undo = append(file.undo, record{e.off, e.n, e.size, e.kind == kindTruncate, e.oldAt, int64(len(e.old))})
		l.pending += int64(len(e.old)) + fixedBytes
	case kindSynced:
		l.forget(file)
	case kindFailed:
		file.failed = true
	default:
		c := dirent{e.kind, e.from, e.to, file, l.inodes[e.other]}
		l.dirents = append(l.dirents, c)
		switch e.kind {
		case kindRemove:
			delete(l.names, c.from)
			file.name = graveName(file.id)
		case kindRename:
			delete(l.names, c.from)
			l.names[c.to], file.name = file, c.to
			if c.displaced != nil {
				c.displaced.name = graveName(c.displaced.id)
			}
		}
	}
	return nil
}

// forget drops what there is to undo in a file.
func (l *ledger) forget(file *inode) {
	for _, r := range file.undo {
		l.pending -= r.oldLen + fixedBytes
	}
	file.undo, file.failed = nil, false
}

// undoLast takes the last change of names out.
func (l *ledger) undoLast() {
	c := l.dirents[len(l.dirents)-1]
	l.dirents = l.dirents[:len(l.dirents)-1]
	l.undoNames(&c)
}

// undoNames takes a change of names back. All later ones on its names must have
// been taken back before.
func (l *ledger) undoNames(c *dirent) {
	switch c.kind {
	case kindCreate:
		delete(l.names, c.from)
		l.drop(c.file)
	case kindRemove:
		l.names[c.from], c.file.name = c.file, c.from
	case kindRename:
		delete(l.names, c.to)
		l.names[c.from], c.file.name = c.file, c.from
		if c.displaced != nil {
			l.names[c.to], c.displaced.name = c.displaced, c.to
		}
	}
}

// drop forgets a file that is gone for good.
func (l *ledger) drop(file *inode) {
	l.forget(file)
	file.gone = true
	delete(l.inodes, file.id)
}

// dirSynced makes all names durable and returns the graves that can go.
func (l *ledger) dirSynced() (graves []string) {
	for _, c := range l.dirents {
		dead := c.displaced
		if c.kind == kindRemove {
			dead = c.file
		}
		if dead != nil {
			graves = append(graves, graveName(dead.id))
			l.drop(dead)
		}
	}
	l.dirents = nil
	return graves
}

// list gives the entries from which apply makes this ledger again; old reads the
// bytes of a record.
func (l *ledger) list(old func(r *record) ([]byte, error), add func(*entry) error) error {
	start := &ledger{names: maps.Clone(l.names), inodes: maps.Clone(l.inodes)}
	now := make(map[uint64]string, len(l.inodes)) // undoNames below changes them
	for id, file := range l.inodes {
		now[id] = file.name
	}
	created := map[*inode]bool{}
	for i := len(l.dirents) - 1; i >= 0; i-- {
		c := l.dirents[i]
		if c.kind == kindCreate {
			created[c.file] = true
			delete(start.names, c.from)
			continue
		}
		start.undoNames(&c)
	}
	ids := slices.Sorted(maps.Keys(l.inodes))
	var entries []entry
	for _, id := range ids {
		if file := l.inodes[id]; !created[file] {
			entries = append(entries, entry{kind: kindAdopt, id: id, from: file.name})
		}
	}
	for id, file := range l.inodes {
		file.name = now[id]
	}
	for _, c := range l.dirents {
		e := entry{kind: c.kind, id: c.file.id, from: c.from, to: c.to}
		if c.displaced != nil {
			e.other = c.displaced.id
		}
		entries = append(entries, e)
	}
	for i := range entries {
		if err := add(&entries[i]); err != nil {
			return err
		}
	}
	for _, id := range ids {
		file := l.inodes[id]
		for i := range file.undo {
			r := &file.undo[i]
			p, err := old(r)
			if err != nil {
				return err
			}
			e := entry{kind: kindWrite, id: id, off: r.off, n: r.n, size: r.oldSize, old: p}
			if r.truncate {
				e.kind = kindTruncate
			}
			if err := add(&e); err != nil {
				return err
			}
			r.oldAt = e.oldAt
		}
		if file.failed {
			if err := add(&entry{kind: kindFailed, id: id}); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads the journal and brings ledger and directory together: of the last
// change of names it is not known whether it happened before the kill.
func load(under, side disk.FS) (*ledger, *journal, error) {
	l := newLedger()
	j, err := openJournal(side, l.apply)
	if err != nil {
		return nil, nil, err
	}
	if err := l.resolve(under, j); err != nil {
		return nil, nil, errors.Join(err, j.file.Close())
	}
	return l, j, nil
}

func (l *ledger) resolve(under disk.FS, j *journal) error {
	if len(l.dirents) > 0 {
		c := l.dirents[len(l.dirents)-1]
		there, err := exists(under, c.from)
		if err != nil {
			return err
		}
		if there != (c.kind == kindCreate) { // it did not happen, or by half
			if c.displaced != nil {
				if err := unbury(under, c.displaced, c.to); err != nil {
					return err
				}
			}
			if err := j.append(&entry{kind: kindUndone}); err != nil {
				return err
			}
			l.undoLast()
		}
	}
	return l.clear(under)
}

// clear removes the graves whose files cannot come back.
func (l *ledger) clear(under disk.FS) error {
	kept := map[string]bool{}
	for _, file := range l.inodes {
		kept[file.name] = true
	}
	names, err := under.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, gravePrefix) && !kept[name] {
			if err := under.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// unbury gives a file its name back if it has lost it.
func unbury(under disk.FS, file *inode, name string) error {
	buried, err := exists(under, graveName(file.id))
	if err != nil || !buried {
		return err
	}
	return under.Rename(graveName(file.id), name)
}

func exists(under disk.FS, name string) (bool, error) {
	f, err := under.Open(name)
	switch {
	case err == nil:
		return true, f.Close()
	case errors.Is(err, disk.ErrNotExist):
		return false, nil
	}
	return false, err
}
