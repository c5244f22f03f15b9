// Package kvfile is disk.FS over any disk.KV: a store that has no files, a
// PostgreSQL table or a SQLite file, carries the journal as well.
//
//	kv, err := sqlitekv.Open("/var/lib/actordb/log.db")
//	fs, err := kvfile.Open(kv)
//	e := disk.NewExecutor(fs, 64)
//
// The store belongs to the directory alone. A file is cut into pages of
// pageBytes, each under a key of its own.
//
// # How it keeps the promises of package disk
//
// V1. Each change is one batch, and visible when the call returns (F1). Sync and
// SyncDir flush the store. A crash leaves a prefix of the changes (K2), which is
// less than F2 and F3 would allow it to take: no write is torn, and a name is
// never durable before the bytes that it was given earlier.
//
// V2. A write of more than writeBytesMax is short (F4), to bound a batch.
//
// V3. Once the store has failed to flush, each Sync and SyncDir fails with the
// same error (F5). After a failed change sizes are read again.
//
// V4. Bytes are those written, or an error: the store checksums (K4).
//
// Reserve does nothing: a store has no space to set aside, and a full one shows
// at the write instead, which fails the journal where a reservation would have
// been refused.
//
// # What it costs
//
// An append rewrites the page that it begins in, half a page on average, and the
// file's size: a commit of 200 bytes writes about 2.3 kB, one of 64 kB 3 % more
// than that; then the store's own log writes them again. A Sync is a Flush, so
// the store sets the rate of commits. It is for those to whom one place to
// administer is worth that.
//
// # Keys
//
//	"f"                              format, u32
//	"n" name                         id u64
//	"s" id u64                       size u64
//	"p" id u64 page u64              at most pageBytes; what is not there is zero
//
// Integers are big-endian.
package kvfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"actordb/disk"
)

// formatVersion is what the key "f" says.
const formatVersion = 1

const (
	tagFormat = 'f'
	tagName   = 'n'
	tagSize   = 's'
	tagPage   = 'p'
)

// A VersionError says that the store is not ours, or a later version's.
type VersionError struct {
	Found uint32 // 0 if the store holds something else
}

func (e *VersionError) Error() string {
	if e.Found == 0 {
		return "the store holds something else than files: it is left as it is; choose another one"
	}
	return fmt.Sprintf("the store holds files of format %d, this program knows formats up to %d: use the program that wrote it", e.Found, formatVersion)
}

// A Dir is a directory in a store. It may be used from several goroutines.
type Dir struct {
	kv disk.KV

	mu     sync.Mutex // guards names and inodes
	inodes map[uint64]*inode
	nextID uint64

	sickMu sync.Mutex
	sick   error // a Flush that failed
}

var _ disk.FS = (*Dir)(nil)

// Open opens the directory in a store, which is empty or one of ours. Close
// closes the store too.
func Open(kv disk.KV) (*Dir, error) {
	d := &Dir{kv: kv, inodes: map[uint64]*inode{}, nextID: 1}
	v, found, err := kv.Get([]byte{tagFormat})
	if err != nil {
		return nil, located(disk.OpList, "", 0, err)
	}
	if !found {
		return d, d.found()
	}
	if len(v) != 4 {
		return nil, &VersionError{}
	}
	if n := binary.BigEndian.Uint32(v); n != formatVersion {
		return nil, &VersionError{n}
	}
	err = kv.Scan([]byte{tagName}, []byte{tagName + 1}, func(_, v []byte) bool {
		d.nextID = max(d.nextID, binary.BigEndian.Uint64(v)+1)
		return true
	})
	return d, located(disk.OpList, "", 0, err)
}

// found makes a directory of an empty store.
func (d *Dir) found() error {
	empty := true
	err := d.kv.Scan(nil, nil, func(_, _ []byte) bool { empty = false; return false })
	if err == nil && !empty {
		return &VersionError{}
	}
	if err == nil {
		var b disk.Batch
		b.Put([]byte{tagFormat}, binary.BigEndian.AppendUint32(nil, formatVersion))
		if err = d.kv.Apply(&b); err == nil {
			err = d.kv.Flush()
		}
	}
	return located(disk.OpCreate, "", 0, err)
}

func nameKey(name string) []byte { return append([]byte{tagName}, name...) }

func sizeKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{tagSize}, id) }

func pageKey(id, page uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{tagPage}, id), page)
}

// located gives an error a place, and one of package disk's reasons.
func located(kind disk.OpKind, name string, off int64, err error) error {
	if err == nil {
		return nil
	}
	for _, reason := range []error{disk.ErrNotExist, disk.ErrExist, disk.ErrNoSpace, disk.ErrIO, disk.ErrBadRequest} {
		if errors.Is(err, reason) {
			return &disk.PathError{Kind: kind, Name: name, Offset: off, Err: err}
		}
	}
	return &disk.PathError{Kind: kind, Name: name, Offset: off, Err: fmt.Errorf("%w: %w", disk.ErrIO, err)}
}

// flush makes everything durable that was changed before (V3).
func (d *Dir) flush() error {
	d.sickMu.Lock()
	defer d.sickMu.Unlock()
	if d.sick == nil {
		d.sick = d.kv.Flush()
	}
	return d.sick
}

// lookup returns the inode of a name. The caller holds d.mu.
func (d *Dir) lookup(name string) (*inode, error) {
	v, found, err := d.kv.Get(nameKey(name))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, disk.ErrNotExist
	}
	return d.inode(binary.BigEndian.Uint64(v)), nil
}

func (d *Dir) inode(id uint64) *inode {
	i := d.inodes[id]
	if i == nil {
		i = &inode{dir: d, id: id}
		d.inodes[id] = i
	}
	return i
}

// List returns the names in the directory in byte order.
func (d *Dir) List() (names []string, err error) {
	err = d.kv.Scan([]byte{tagName}, []byte{tagName + 1}, func(k, _ []byte) bool {
		names = append(names, string(k[1:]))
		return true
	})
	return names, located(disk.OpList, "", 0, err)
}

// Create makes a new empty file.
func (d *Dir) Create(name string) (disk.File, error) {
	i, err := d.create(name)
	if err != nil {
		return nil, located(disk.OpCreate, name, 0, err)
	}
	return &file{i, name}, nil
}

func (d *Dir) create(name string) (*inode, error) {
	if !disk.ValidName(name) {
		return nil, disk.ErrBadRequest
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.lookup(name)
	if err == nil {
		return nil, disk.ErrExist
	}
	if !errors.Is(err, disk.ErrNotExist) {
		return nil, err
	}
	id := d.nextID
	var b disk.Batch
	b.Put(nameKey(name), binary.BigEndian.AppendUint64(nil, id))
	b.Put(sizeKey(id), make([]byte, 8))
	if err := d.kv.Apply(&b); err != nil {
		return nil, err
	}
	d.nextID++
	return d.inode(id), nil
}

// Open opens a file for reading and writing.
func (d *Dir) Open(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := disk.ErrBadRequest
	if disk.ValidName(name) {
		var i *inode
		if i, err = d.lookup(name); err == nil {
			return &file{i, name}, nil
		}
	}
	return nil, located(disk.OpStat, name, 0, err)
}

// Rename gives the file from the name to, whose file is replaced.
func (d *Dir) Rename(from, to string) error {
	err := disk.ErrBadRequest
	if disk.ValidName(to) {
		err = d.move(from, to)
	}
	return located(disk.OpRename, from, 0, err)
}

// Remove removes a file. Handles that are still open find it gone.
func (d *Dir) Remove(name string) error { return located(disk.OpRemove, name, 0, d.move(name, "")) }

// move renames a file, or removes it if to is empty, and with it the one that it
// replaces.
func (d *Dir) move(from, to string) error {
	if !disk.ValidName(from) {
		return disk.ErrBadRequest
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	moved, err := d.lookup(from)
	if err != nil || from == to {
		return err
	}
	gone := moved
	var b disk.Batch
	b.Delete(nameKey(from))
	if to != "" {
		b.Put(nameKey(to), binary.BigEndian.AppendUint64(nil, moved.id))
		if gone, err = d.lookup(to); errors.Is(err, disk.ErrNotExist) {
			return d.kv.Apply(&b)
		}
		if err != nil {
			return err
		}
	}
	gone.mu.Lock()
	defer gone.mu.Unlock()
	b.Delete(sizeKey(gone.id))
	if err := gone.deletePages(&b, 0); err != nil {
		return err
	}
	if err := d.kv.Apply(&b); err != nil {
		return err
	}
	gone.removed = true
	delete(d.inodes, gone.id)
	return nil
}

// SyncDir makes the names durable, and everything else.
func (d *Dir) SyncDir() error { return located(disk.OpSyncDir, "", 0, d.flush()) }

// Close closes the store.
func (d *Dir) Close() error { return d.kv.Close() }

// deletePages adds the deletion of all pages from first on.
func (i *inode) deletePages(b *disk.Batch, first uint64) error {
	return i.dir.kv.Scan(pageKey(i.id, first), pageKey(i.id+1, 0), func(k, _ []byte) bool {
		b.Delete(slices.Clone(k))
		return true
	})
}
