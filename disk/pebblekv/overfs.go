package pebblekv

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"actordb/disk"
)

// OverFSDir is the one directory that OverFS has.
const OverFSDir = "/store"

// OverFS lets Pebble use a directory of package disk, under the name OverFSDir.
// It has no links, no space left to tell and no times, and holds one lock at a
// time: whoever opened the directory owns it.
func OverFS(under disk.FS) vfs.FS { return &overFS{under: under, locked: map[string]bool{}} }

type overFS struct {
	under disk.FS

	mu     sync.Mutex
	locked map[string]bool
}

// overError lets Pebble know an error that it looks for.
type overError struct{ error }

func (e overError) Unwrap() error { return e.error }

func (e overError) Is(target error) bool {
	return target == fs.ErrNotExist && errors.Is(e.error, disk.ErrNotExist) ||
		target == fs.ErrExist && errors.Is(e.error, disk.ErrExist)
}

func over(err error) error {
	if err == nil {
		return nil
	}
	return overError{err}
}

// name returns the name of a path in the directory.
func name(p string) (string, error) {
	p = path.Clean(p)
	if path.Dir(p) != OverFSDir {
		return "", &fs.PathError{Op: "open", Path: p, Err: fs.ErrInvalid}
	}
	return path.Base(p), nil
}

func (o *overFS) open(p string, open func(name string) (disk.File, error)) (vfs.File, error) {
	n, err := name(p)
	if err != nil {
		return nil, err
	}
	f, err := open(n)
	if err != nil {
		return nil, over(err)
	}
	return &overFile{f: f, name: n}, nil
}

func (o *overFS) Create(p string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return o.open(p, func(n string) (disk.File, error) {
		f, err := o.under.Create(n)
		if errors.Is(err, disk.ErrExist) {
			if err := o.under.Remove(n); err != nil {
				return nil, err
			}
			return o.under.Create(n)
		}
		return f, err
	})
}

func (o *overFS) Open(p string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := o.open(p, o.under.Open)
	if err == nil {
		for _, opt := range opts {
			opt.Apply(f)
		}
	}
	return f, err
}

func (o *overFS) OpenReadWrite(p string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return o.open(p, func(n string) (disk.File, error) {
		f, err := o.under.Open(n)
		if errors.Is(err, disk.ErrNotExist) {
			return o.under.Create(n)
		}
		return f, err
	})
}

func (o *overFS) OpenDir(string) (vfs.File, error) {
	return &overFile{f: overDir{o.under}, name: OverFSDir, dir: true}, nil
}

func (o *overFS) Remove(p string) error {
	n, err := name(p)
	if err != nil {
		return err
	}
	return over(o.under.Remove(n))
}

func (o *overFS) RemoveAll(p string) error {
	if err := o.Remove(p); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (o *overFS) Rename(from, to string) error {
	f, err := name(from)
	if err != nil {
		return err
	}
	t, err := name(to)
	if err != nil {
		return err
	}
	return over(o.under.Rename(f, t))
}

// ReuseForWrite makes a new file: reuse is for logs, and there are none.
func (o *overFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := o.Remove(from); err != nil {
		return nil, err
	}
	return o.Create(to, c)
}

func (o *overFS) Link(string, string) error          { return vfs.ErrUnsupported }
func (o *overFS) MkdirAll(string, os.FileMode) error { return nil }
func (o *overFS) PathBase(p string) string           { return path.Base(p) }
func (o *overFS) PathJoin(elem ...string) string     { return path.Join(elem...) }
func (o *overFS) PathDir(p string) string            { return path.Dir(p) }
func (o *overFS) Unwrap() vfs.FS                     { return nil }
func (o *overFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, vfs.ErrUnsupported
}

func (o *overFS) List(string) ([]string, error) {
	names, err := o.under.List()
	return names, over(err)
}

func (o *overFS) Stat(p string) (vfs.FileInfo, error) {
	if path.Clean(p) == OverFSDir {
		return overInfo{name: OverFSDir, dir: true}, nil
	}
	f, err := o.Open(p)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return info, errors.Join(err, f.Close())
}

// Lock keeps a second store of this process away.
func (o *overFS) Lock(p string) (io.Closer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.locked[p] {
		return nil, &fs.PathError{Op: "lock", Path: p, Err: fs.ErrExist}
	}
	o.locked[p] = true
	return overLock{o, p}, nil
}

type overLock struct {
	fs   *overFS
	path string
}

func (l overLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locked, l.path)
	return nil
}

// overDir is the directory as a file: it can be synced.
type overDir struct{ under disk.FS }

func (d overDir) Sync() error                        { return d.under.SyncDir() }
func (d overDir) Close() error                       { return nil }
func (d overDir) Size() (int64, error)               { return 0, nil }
func (d overDir) ReadAt([]byte, int64) (int, error)  { return 0, fs.ErrInvalid }
func (d overDir) WriteAt([]byte, int64) (int, error) { return 0, fs.ErrInvalid }
func (d overDir) Truncate(int64) error               { return fs.ErrInvalid }
func (d overDir) Reserve(int64) error                { return fs.ErrInvalid }

// An overFile is a file with a place to read and write on.
type overFile struct {
	f    disk.File
	name string
	at   int64
	dir  bool
}

func (f *overFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.at)
	f.at += int64(n)
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

func (f *overFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == nil && n < len(p) {
		return n, io.EOF
	}
	return n, over(err)
}

func (f *overFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

// WriteAt writes all of p: Pebble takes a short write for an error.
func (f *overFile) WriteAt(p []byte, off int64) (int, error) {
	for at := 0; at < len(p); {
		n, err := f.f.WriteAt(p[at:], off+int64(at))
		if err == nil && n <= 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return at, over(err)
		}
		at += n
	}
	return len(p), nil
}

func (f *overFile) Preallocate(off, length int64) error { return over(f.f.Reserve(off + length)) }
func (f *overFile) Sync() error                         { return over(f.f.Sync()) }
func (f *overFile) SyncData() error                     { return over(f.f.Sync()) }
func (f *overFile) SyncTo(int64) (bool, error)          { return false, nil }
func (f *overFile) Prefetch(int64, int64) error         { return nil }
func (f *overFile) Fd() uintptr                         { return vfs.InvalidFd }
func (f *overFile) Close() error                        { return over(f.f.Close()) }

func (f *overFile) Stat() (vfs.FileInfo, error) {
	size, err := f.f.Size()
	return overInfo{name: f.name, size: size, dir: f.dir}, over(err)
}

type overInfo struct {
	name string
	size int64
	dir  bool
}

func (i overInfo) Name() string           { return path.Base(i.name) }
func (i overInfo) Size() int64            { return i.size }
func (i overInfo) ModTime() time.Time     { return time.Time{} }
func (i overInfo) IsDir() bool            { return i.dir }
func (i overInfo) Sys() any               { return nil }
func (i overInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i overInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
