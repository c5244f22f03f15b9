package experiments

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"actordb/internal/node"
	"actordb/net/tlsnet"
)

// child is a node in a process of its own.
type child struct {
	cmd  *exec.Cmd
	addr string
	said bytes.Buffer // its log
	rest chan struct{}
}

// startChild runs a command that serves a directory, and returns when it can be
// reached.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, rest: make(chan struct{})}
	cmd.Stderr = &c.said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	first, _ := lines.ReadString('\n') // a process that ends says nothing
	go func() {
		defer close(c.rest)
		_, _ = io.Copy(io.Discard, lines)
	}()
	addr, ok := strings.CutPrefix(strings.TrimSpace(first), "READY ")
	if !ok {
		_ = cmd.Process.Kill()
		<-c.rest
		return nil, fmt.Errorf("the server did not start: %v; %s", cmd.Wait(), &c.said)
	}
	c.addr = addr
	return c, nil
}

// identity is the client's that the server has made.
func (c *child) identity(dir string) (tlsnet.Source, error) {
	return tlsnet.LoadIdentity(filepath.Join(dir, "ca", node.DevClient))
}

// stop ends it in order, and returns how often it synced.
func (c *child) stop() (syncs int64, err error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	<-c.rest
	if err := c.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("the server ended: %w; %s", err, &c.said)
	}
	for line := range strings.Lines(c.said.String()) {
		var last struct {
			Msg   string
			Syncs int64
		}
		if json.Unmarshal([]byte(line), &last) == nil && last.Msg == "stopped" {
			syncs = last.Syncs
		}
	}
	return syncs, nil
}
