package kvfile

import (
	"encoding/binary"
	"slices"
	"sync"

	"actordb/disk"
)

const (
	// pageBytes trades what an append rewrites, half a page, against rows: a
	// segment of 64 MiB has 16,384 of them.
	pageBytes = 4 << 10
	// writeBytesMax bounds a batch; a block of the journal seldom has more.
	writeBytesMax = 1 << 20
	// fileBytesMax bounds the batch that removes a file; the journal's segments
	// have half of that at most.
	fileBytesMax = 4 << 30
)

// An inode is a file, whatever its name.
type inode struct {
	dir *Dir
	id  uint64

	mu      sync.Mutex
	removed bool
	known   bool // size and tail are those of the store
	size    int64
	tail    []byte // the last page, if the last change was made to it
	tailAt  uint64 // its number
}

// load learns what the store says. The caller holds i.mu.
func (i *inode) load() error {
	if i.removed {
		return disk.ErrNotExist
	}
	if i.known {
		return nil
	}
	v, found, err := i.dir.kv.Get(sizeKey(i.id))
	if err != nil {
		return err
	}
	if !found || len(v) != 8 {
		return disk.ErrNotExist
	}
	i.size, i.tail, i.known = int64(binary.BigEndian.Uint64(v)), nil, true
	return nil
}

// page returns what is stored of a page, which may be shorter than one.
func (i *inode) page(n uint64) ([]byte, error) {
	if i.tail != nil && i.tailAt == n {
		return i.tail, nil
	}
	v, _, err := i.dir.kv.Get(pageKey(i.id, n))
	return v, err
}

// change applies a batch and the new size. The caller holds i.mu; tail is what
// the batch makes of page tailAt, or nil.
func (i *inode) change(b *disk.Batch, size int64, tail []byte, tailAt uint64) error {
	if size != i.size {
		b.Put(sizeKey(i.id), binary.BigEndian.AppendUint64(nil, uint64(size)))
	}
	if err := i.dir.kv.Apply(b); err != nil {
		i.known = false
		return err
	}
	i.size, i.tail, i.tailAt = size, tail, tailAt
	return nil
}

func (i *inode) write(p []byte, off int64) (int, error) {
	if off < 0 || off > fileBytesMax-int64(len(p)) {
		return 0, disk.ErrBadRequest
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.load(); err != nil || len(p) == 0 {
		return 0, err
	}
	p = p[:min(len(p), writeBytesMax)]
	var b disk.Batch
	var last []byte
	var lastAt uint64
	for done := 0; done < len(p); {
		at := off + int64(done)
		n, within := uint64(at/pageBytes), int(at%pageBytes)
		piece := p[done:min(len(p), done+pageBytes-within)]
		var old []byte
		if within > 0 || len(piece) < pageBytes && at+int64(len(piece)) < i.size {
			var err error
			if old, err = i.page(n); err != nil {
				return 0, err
			}
		}
		now := make([]byte, max(len(old), within+len(piece)))
		copy(now, old)
		copy(now[within:], piece)
		b.Put(pageKey(i.id, n), now)
		last, lastAt = now, n
		done += len(piece)
	}
	if err := i.change(&b, max(i.size, off+int64(len(p))), last, lastAt); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (i *inode) truncate(size int64) error {
	if size < 0 || size > fileBytesMax {
		return disk.ErrBadRequest
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.load(); err != nil || size == i.size {
		return err
	}
	var b disk.Batch
	if size < i.size {
		// No bytes stay beyond the end: they would come back when it moves.
		n, within := uint64(size/pageBytes), int(size%pageBytes)
		if within > 0 {
			old, err := i.page(n)
			if err != nil {
				return err
			}
			b.Put(pageKey(i.id, n), slices.Clone(old[:min(len(old), within)]))
			n++
		}
		if err := i.deletePages(&b, n); err != nil {
			return err
		}
	}
	return i.change(&b, size, nil, 0)
}

func (i *inode) read(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, disk.ErrBadRequest
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.load(); err != nil {
		return 0, err
	}
	p = p[:max(0, min(int64(len(p)), i.size-off))]
	if len(p) == 0 {
		return 0, nil
	}
	clear(p)
	end := off + int64(len(p))
	return len(p), i.dir.kv.Scan(pageKey(i.id, uint64(off/pageBytes)), pageKey(i.id, uint64((end-1)/pageBytes)+1), func(k, v []byte) bool {
		at := int64(binary.BigEndian.Uint64(k[9:])) * pageBytes
		if at < off {
			v = v[min(int64(len(v)), off-at):]
			at = off
		}
		copy(p[at-off:], v)
		return true
	})
}

// A file is an open file. Its name is that by which it was opened.
type file struct {
	inode *inode
	name  string
}

// ReadAt reads until p is full or the file ends.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.inode.read(p, off)
	if err != nil {
		n = 0
	}
	return n, located(disk.OpRead, f.name, off, err)
}

// WriteAt writes all of p, or none with an error; of a long one a first part (V2).
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.inode.write(p, off)
	return n, located(disk.OpWrite, f.name, off, err)
}

// Sync makes the file durable, and everything else.
func (f *file) Sync() error { return located(disk.OpSync, f.name, 0, f.inode.dir.flush()) }

// Truncate ends the file at size.
func (f *file) Truncate(size int64) error {
	return located(disk.OpTruncate, f.name, size, f.inode.truncate(size))
}

// Reserve does nothing: a store has no space to set aside.
func (f *file) Reserve(size int64) error {
	var err error
	if size < 0 {
		err = disk.ErrBadRequest
	}
	return located(disk.OpReserve, f.name, size, err)
}

// Size returns the size in bytes.
func (f *file) Size() (int64, error) {
	f.inode.mu.Lock()
	defer f.inode.mu.Unlock()
	err := f.inode.load()
	return f.inode.size, located(disk.OpStat, f.name, 0, err)
}

// Close does nothing.
func (f *file) Close() error { return nil }
