// Package pgtest runs a PostgreSQL server for a test: an own one, in a new
// directory, on a Unix socket, gone when the test ends.
package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// A Server is a running server with one superuser, postgres, and no password.
type Server struct {
	t    testing.TB
	bin  string
	dir  string
	proc *process
}

// process is one life of the server.
type process struct {
	pid  int
	done chan error // of Wait
}

// Start starts a server, or skips the test where none is installed.
//
// It syncs what it commits, as pgkv wants, and hardly ever writes the log before
// it must, so that Crash loses what was not flushed.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := installed()
	if err != nil {
		t.Skip("no PostgreSQL here, this backend is not tested: ", err)
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, bin: bin, dir: dir}
	t.Cleanup(s.remove)
	if err := handOver(dir); err != nil {
		t.Skip("PostgreSQL does not run as root, this backend is not tested: ", err)
	}
	initdb := s.command("initdb", "--pgdata="+s.data(), "--auth=trust", "--username=postgres",
		"--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.start()
	return s
}

// installed finds the newest server's programs: where Debian has them, or on the
// path.
func installed() (bin string, err error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	for _, f := range found { // two digits each, so the last is the newest
		bin = filepath.Dir(f)
	}
	if bin != "" {
		return bin, nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("no initdb in /usr/lib/postgresql or on the path (Debian: apt-get install postgresql)")
	}
	return filepath.Dir(path), nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = attributes()
	return cmd
}

// ready is what the server says when it takes connections.
const ready = "database system is ready to accept connections"

func (s *Server) start() {
	s.t.Helper()
	args := []string{"-D", s.data(), "-k", s.dir, "-h", ""}
	for _, setting := range []string{
		"shared_buffers=4MB", "max_connections=20", "wal_writer_delay=10s", "autovacuum=off",
		"bgwriter_lru_maxpages=0", "max_wal_size=64MB", "wal_recycle=off",
	} {
		args = append(args, "-c", setting)
	}
	cmd := s.command("postgres", args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{done: make(chan error, 1)}
	started := make(chan error)
	go func() {
		// The server ends with the thread that started it: it must not end before
		// the test does, and must when that is killed.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	lines := bufio.NewReader(log)
	var said strings.Builder
	for {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if strings.Contains(line, ready) {
			break
		}
		if err != nil {
			s.t.Fatalf("PostgreSQL did not start: %v\n%s", err, said.String())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // until it ends
	s.proc = p
}

// URL is how to connect.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres:///postgres?host=%s&user=postgres&sslmode=disable", s.dir)
}

// Crash ends the server without a chance to write anything, and starts it again.
func (s *Server) Crash() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Stop is the first half of Crash.
func (s *Server) Stop() {
	s.t.Helper()
	if s.proc == nil {
		return
	}
	// On SIGQUIT it tells its children to exit at once and waits for them; SIGKILL
	// would leave them behind.
	if err := syscall.Kill(s.proc.pid, syscall.SIGQUIT); err != nil {
		s.t.Fatal(err)
	}
	err := <-s.proc.done
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	s.proc = nil
}

// Resume is the second half of Crash.
func (s *Server) Resume() {
	s.t.Helper()
	s.start()
}

func (s *Server) remove() {
	s.Stop()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Error(err)
	}
}
