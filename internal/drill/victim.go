package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A victim is a running node, seen from the drill.
type victim struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	log   string // file
	begun time.Time
	addr  chan string   // where it listens, once
	dead  chan struct{} // closed when it has ended
	end   error         // then: how
}

// begin starts a node. What it says on standard error is added to the file log.
func begin(program []string, o *order, log string) (*victim, error) {
	said, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer said.Close()
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	v := &victim{cmd: exec.Command(program[0], program[1:]...), log: log, addr: make(chan string, 1), dead: make(chan struct{})}
	v.cmd.Args[0] = "actordb" // whatever the file is called
	v.cmd.Stderr = said
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.begun = time.Now()
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	go v.watch(out)
	if _, err := v.in.Write(append(text, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("tell the node its order: %w", err), v.kill())
	}
	return v, nil
}

// watch reads what the node says until it ends.
func (v *victim) watch(out io.Reader) {
	defer close(v.dead)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), ready); ok {
			select {
			case v.addr <- addr:
			default:
			}
		}
	}
	v.end = v.cmd.Wait()
}

// A Fault is a node that ended by itself, or that does not serve.
type Fault struct{ Says string }

func (f *Fault) Error() string { return f.Says }

func (v *victim) fault(what string) error {
	text, err := os.ReadFile(v.log)
	if err != nil {
		return err
	}
	return &Fault{fmt.Sprintf("%s: %s", what, lastLine(text))}
}

// kill is SIGKILL. It returns when the process is no more, with a *Fault if it
// had ended by itself.
func (v *victim) kill() error {
	_ = v.cmd.Process.Kill() // it may be dead already
	<-v.dead
	v.in.Close()
	var exit *exec.ExitError
	if errors.As(v.end, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return v.stopped()
}

// close ends it in order.
func (v *victim) close() error {
	v.in.Close()
	select {
	case <-v.dead:
	case <-time.After(patience):
		return errors.Join(v.fault(fmt.Sprintf("the node does not end within %s", patience)), v.kill())
	}
	if v.end == nil {
		return nil
	}
	return v.stopped()
}

func (v *victim) stopped() error {
	how := "without an error"
	if v.end != nil {
		how = v.end.Error()
	}
	return v.fault("the node ended by itself, " + how)
}

// stoppedOr is why the node could not be read back: it ended, it took too long,
// or else err.
func (v *victim) stoppedOr(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-v.dead:
		return v.stopped()
	default:
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return v.fault(fmt.Sprintf("the node does not let itself be read back within %s (%v)", patience, err))
	}
	return err
}

// signal sends the process a signal that it does not end by.
func (v *victim) signal(s syscall.Signal) error { return v.cmd.Process.Signal(s) }
