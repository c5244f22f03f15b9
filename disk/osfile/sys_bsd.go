//go:build unix && !linux && !darwin

package osfile

import "golang.org/x/sys/unix"

func fullSync(fd uintptr) error { return unix.Fsync(int(fd)) }
