package osfile

import "golang.org/x/sys/unix"

func fullSync(fd uintptr) error {
	_, err := unix.FcntlInt(fd, unix.F_FULLFSYNC, 0)
	return err
}
