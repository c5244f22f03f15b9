package osfile

import "golang.org/x/sys/unix"

// syncData writes back the contents and what is needed to read them, the size
// among it, but not the times.
func syncData(fd uintptr) error {
	for {
		if err := unix.Fdatasync(int(fd)); err != unix.EINTR {
			return err
		}
	}
}

// reserve allocates blocks beyond the end and leaves the size alone.
func reserve(fd uintptr, size int64) error {
	if size == 0 {
		return nil
	}
	for {
		switch err := unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, 0, size); err {
		case unix.EINTR:
		case unix.EOPNOTSUPP:
			return nil
		default:
			return err
		}
	}
}

// forget drops the cached pages of a file after a failed write-back: the kernel
// has marked them clean, and reads would return what is not on the disk.
func forget(fd uintptr) {
	_ = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) // best effort: F5 promises no more
}
