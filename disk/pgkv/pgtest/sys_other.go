//go:build !linux

package pgtest

import (
	"errors"
	"os"
	"syscall"
)

func handOver(string) error {
	if os.Geteuid() == 0 {
		return errors.New("run the tests as another user")
	}
	return nil
}

func attributes() *syscall.SysProcAttr { return nil }
