package osfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"actordb/disk"
)

// A SystemError is what the operating system said, with the reason of package
// disk that it stands for. errors.Is finds both.
type SystemError struct {
	Reason error // one of disk.Err…
	System error // a syscall.Errno, mostly
}

func (e *SystemError) Error() string   { return fmt.Sprintf("%v (%v)", e.Reason, e.System) }
func (e *SystemError) Unwrap() []error { return []error{e.Reason, e.System} }

// located says where err happened. It returns nil for nil.
func located(kind disk.OpKind, name string, off int64, err error) error {
	if err == nil {
		return nil
	}
	return &disk.PathError{Kind: kind, Name: name, Offset: off, Err: reasoned(err)}
}

// reasoned gives err one of the reasons of package disk.
func reasoned(err error) error {
	if err == disk.ErrBadRequest {
		return err
	}
	system := err
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		system = path.Err
	} else if link := (*os.LinkError)(nil); errors.As(err, &link) {
		system = link.Err
	}
	return &SystemError{Reason: reason(err), System: system}
}

func reason(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return disk.ErrNotExist
		case errors.Is(err, fs.ErrExist):
			return disk.ErrExist
		case errors.Is(err, fs.ErrClosed), errors.Is(err, fs.ErrInvalid), isNegativeOffset(err):
			return disk.ErrBadRequest
		}
		return disk.ErrIO
	}
	switch errno {
	case syscall.ENOENT:
		return disk.ErrNotExist
	case syscall.EEXIST, syscall.ENOTEMPTY:
		return disk.ErrExist
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return disk.ErrNoSpace
	case syscall.EINVAL, syscall.ENAMETOOLONG, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.EBADF:
		return disk.ErrBadRequest
	}
	return disk.ErrIO
}

// isNegativeOffset knows the error of package os for an offset below zero,
// which is neither exported nor an Errno: a path error around plain text.
func isNegativeOffset(err error) bool {
	path := (*fs.PathError)(nil)
	return errors.As(err, &path) && path.Err.Error() == "negative offset"
}
