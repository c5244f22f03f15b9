//go:build unix && !linux

package osfile

import "golang.org/x/sys/unix"

// syncData writes back everything. On Darwin fsync stops at the drive's cache.
func syncData(fd uintptr) error {
	for {
		if err := fullSync(fd); err != unix.EINTR {
			return err
		}
	}
}

// reserve does nothing: there is no portable call that keeps the size.
func reserve(uintptr, int64) error { return nil }

func forget(uintptr) {}
