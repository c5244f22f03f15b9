package osfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LockShared keeps owners out of a directory without becoming one: several
// readers may hold it at once, and an owner may not. It writes nothing. A
// directory that never had an owner has no lock to hold, and is not in use.
// If the directory has an owner, the error is an *OwnedError.
func LockShared(path string) (io.Closer, error) {
	f, err := os.Open(filepath.Join(path, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nothing{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock directory %s: %w", path, reasoned(err))
	}
	raw, err := f.SyscallConn()
	if err == nil {
		var locked error
		err = raw.Control(func(fd uintptr) { locked = unix.Flock(int(fd), unix.LOCK_SH|unix.LOCK_NB) })
		err = errors.Join(err, locked)
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(&OwnedError{path, owner(f)}, f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock directory %s: %w", path, reasoned(err)), f.Close())
	}
	return f, nil
}

type nothing struct{}

func (nothing) Close() error { return nil }
