package osfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LockName is the one name in a directory that is not the caller's.
const LockName = ".lock"

// pidBytesMax bounds what is read of a lock file.
const pidBytesMax = 32

// An OwnedError says that a directory has an owner already.
type OwnedError struct {
	Path string
	PID  int // the owner's process id, or 0 if it is not known
}

func (e *OwnedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("directory %s is in use by another owner: stop it first", e.Path)
	}
	return fmt.Sprintf("directory %s is in use by process %d: stop it first", e.Path, e.PID)
}

func parentOf(path string) string { return filepath.Dir(filepath.Clean(path)) }

// lockDir locks a directory by a lock on a file in it, which the kernel takes
// back when the process ends, however it ends. The file itself is never
// removed: somebody could be waiting to lock it. It says who has it, for people.
func lockDir(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(LockName, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, fmt.Errorf("lock directory %s: %w", path, reasoned(err))
	}
	raw, err := f.SyscallConn()
	if err == nil {
		var locked error
		err = raw.Control(func(fd uintptr) { locked = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
		err = errors.Join(err, locked)
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		pid := owner(f)
		return nil, errors.Join(&OwnedError{path, pid}, f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock directory %s: %w", path, reasoned(err)), f.Close())
	}
	// A full disk must not keep an owner from recovering what is there, so the
	// process id is written where it can be.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// owner reads the process id in a lock file. It returns 0 for any other text.
func owner(f *os.File) int {
	text := make([]byte, pidBytesMax)
	n, _ := f.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
