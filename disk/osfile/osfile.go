package osfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"actordb/disk"
)

// dirPerm and filePerm keep a store from everybody but its owner.
const (
	dirPerm  = 0o700
	filePerm = 0o600
)

// A Dir is a directory that this process owns. It may be used from several
// goroutines.
type Dir struct {
	path string
	root *os.Root
	self *os.File // the directory, open to be synced
	lock *os.File
	sick atomic.Pointer[disk.PathError] // a SyncDir that failed
}

var _ disk.FS = (*Dir)(nil)

// Open takes possession of the directory at path, which it makes if there is
// none; its parent must exist. If another process has it, or this one already,
// the error is an *OwnedError.
func Open(path string) (*Dir, error) {
	if err := makeDir(path); err != nil {
		return nil, fmt.Errorf("open directory %s: %w", path, reasoned(err))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", path, reasoned(err))
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open directory %s: %w", path, reasoned(err)), root.Close())
	}
	lock, err := lockDir(root, path)
	if err != nil {
		return nil, errors.Join(err, self.Close(), root.Close())
	}
	return &Dir{path: path, root: root, self: self, lock: lock}, nil
}

// makeDir makes a directory whose name is durable when it returns.
func makeDir(path string) error {
	err := os.Mkdir(path, dirPerm)
	if errors.Is(err, fs.ErrExist) {
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		return err
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(parentOf(path))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Path returns the path that the directory was opened by.
func (d *Dir) Path() string { return d.path }

// Close gives the directory up. Files stay open.
func (d *Dir) Close() error {
	return errors.Join(d.lock.Close(), d.self.Close(), d.root.Close())
}

// List returns the names in the directory in byte order.
func (d *Dir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, located(disk.OpList, "", 0, err)
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, located(disk.OpList, "", 0, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == LockName })
	slices.Sort(names)
	return names, nil
}

// Create makes a new empty file.
func (d *Dir) Create(name string) (disk.File, error) {
	return d.open(disk.OpCreate, name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open opens a file for reading and writing.
func (d *Dir) Open(name string) (disk.File, error) {
	return d.open(disk.OpStat, name, os.O_RDWR)
}

func (d *Dir) open(kind disk.OpKind, name string, flags int) (disk.File, error) {
	if !valid(name) {
		return nil, located(kind, name, 0, disk.ErrBadRequest)
	}
	f, err := d.root.OpenFile(name, flags, filePerm) // O_CLOEXEC is package os's own
	if err != nil {
		return nil, located(kind, name, 0, err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, located(kind, name, 0, errors.Join(err, f.Close()))
	}
	return &file{name: name, f: f, raw: raw}, nil
}

// Rename gives the file from the name to, whose file is replaced.
func (d *Dir) Rename(from, to string) error {
	if !valid(from) || !valid(to) {
		return located(disk.OpRename, from, 0, disk.ErrBadRequest)
	}
	return located(disk.OpRename, from, 0, d.root.Rename(from, to))
}

// Remove removes a name.
func (d *Dir) Remove(name string) error {
	if !valid(name) {
		return located(disk.OpRemove, name, 0, disk.ErrBadRequest)
	}
	return located(disk.OpRemove, name, 0, d.root.Remove(name))
}

// SyncDir makes the names durable. Once it has failed it always fails (O3).
func (d *Dir) SyncDir() error {
	if sick := d.sick.Load(); sick != nil {
		return sick
	}
	if err := d.self.Sync(); err != nil {
		sick := &disk.PathError{Kind: disk.OpSyncDir, Err: reasoned(err)}
		d.sick.CompareAndSwap(nil, sick)
		return sick
	}
	return nil
}

func valid(name string) bool { return disk.ValidName(name) && name != LockName }

// A file is an open file. Package os guards its descriptor against a Close in
// the midst of a call.
type file struct {
	name string
	f    *os.File
	raw  syscall.RawConn

	mu   sync.Mutex
	sick *disk.PathError // a Sync that failed
}

// ReadAt reads until p is full or the file ends.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return n, f.located(disk.OpRead, off, err)
}

// WriteAt is one system call: if that wrote a part of p only, so does WriteAt,
// without error (F4); the caller, who submits the rest, is told the reason then.
// os.File.WriteAt would call again, and not count the part when that fails.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	if cerr := f.raw.Control(func(fd uintptr) {
		for n, err = unix.Pwrite(int(fd), p, off); err == unix.EINTR; {
			n, err = unix.Pwrite(int(fd), p, off)
		}
	}); cerr != nil {
		err = cerr
	}
	return max(n, 0), f.located(disk.OpWrite, off, err)
}

// Sync makes the contents and the size durable. Once it has failed it always
// fails (O3).
func (f *file) Sync() error {
	f.mu.Lock()
	sick := f.sick
	f.mu.Unlock()
	if sick != nil {
		return sick
	}
	var err error
	if cerr := f.raw.Control(func(fd uintptr) { err = syncData(fd) }); cerr != nil {
		err = cerr
	}
	if err == nil {
		return nil
	}
	if cerr := f.raw.Control(forget); cerr != nil {
		err = errors.Join(err, cerr)
	}
	sick = &disk.PathError{Kind: disk.OpSync, Name: f.name, Err: reasoned(err)}
	f.mu.Lock()
	f.sick = sick
	f.mu.Unlock()
	return sick
}

// Truncate ends the file at size.
func (f *file) Truncate(size int64) error {
	return f.located(disk.OpTruncate, size, f.f.Truncate(size))
}

// Reserve sets space aside (O4).
func (f *file) Reserve(size int64) error {
	if size < 0 {
		return f.located(disk.OpReserve, size, disk.ErrBadRequest)
	}
	var err error
	if cerr := f.raw.Control(func(fd uintptr) { err = reserve(fd, size) }); cerr != nil {
		err = cerr
	}
	return f.located(disk.OpReserve, size, err)
}

// Size returns the size in bytes.
func (f *file) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, f.located(disk.OpStat, 0, err)
	}
	return info.Size(), nil
}

// Close closes the file and makes nothing durable.
func (f *file) Close() error { return f.located(disk.OpSync, 0, f.f.Close()) }

func (f *file) located(kind disk.OpKind, off int64, err error) error {
	return located(kind, f.name, off, err)
}
