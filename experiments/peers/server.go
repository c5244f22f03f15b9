package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// notInstalled says which program is not on this machine.
type notInstalled struct{ program string }

func (e notInstalled) Error() string { return e.program + " is not installed" }

func asNotInstalled(err error, to *notInstalled) bool { return errors.As(err, to) }

// find is exec.LookPath.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", notInstalled{program}
	}
	return path, nil
}

// process is a server that ends with this program.
type process struct {
	cmd *exec.Cmd
	end syscall.Signal
}

// start runs a server. The thread must live as long as it does.
func start(cmd *exec.Cmd, end syscall.Signal) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = end
	return &process{cmd, end}, cmd.Start()
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) pids() []int { return []int{p.pid()} }

// close ends it; what it leaves behind is thrown away.
func (p *process) close() error {
	if err := p.cmd.Process.Signal(p.end); err != nil {
		return err
	}
	_ = p.cmd.Wait() // it was told to end
	return nil
}

// unprivileged gives a directory to a user who is not root, as PostgreSQL wants it,
// and returns how to run as him; nil: we are not root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, int(uid), int(gid))
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

// payload is what an event holds: bytes that nothing can compress.
func payload(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // it never fails
	return b
}
