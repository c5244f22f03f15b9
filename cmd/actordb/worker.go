package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"actordb/checkers"
	"actordb/internal/host"
	"actordb/internal/testbed"
)

// A worker is a process that runs one seed after another: it reads a seed per
// line and answers each with one line of JSON. Runs go to processes of their own
// because only one may be under way in a process, and because a run that takes
// the process down must not take the others along.

type workerCommand struct {
	runFlags  `embed:""`
	Scenarios string `help:"Directory for the scenarios of failing seeds."`
	Trace     string `help:"File for the trace of the last seed."`
}

// seedResult is a worker's answer.
type seedResult struct {
	Seed       uint64            `json:"seed"`
	Verdict    checkers.Verdict  `json:"verdict"`
	Failed     []failedCheck     `json:"failed"`
	TraceHash  string            `json:"trace_hash"`
	Steps      uint64            `json:"steps"`
	SimSeconds float64           `json:"sim_seconds"`
	Operations int               `json:"operations"`
	Examined   int               `json:"examined"`
	Unknown    []failedCheck     `json:"unknown"`
	Reached    map[string]uint64 `json:"reached"`
	Repeat     string            `json:"repeat"`
	Saved      string            `json:"saved,omitempty"`
	Error      string            `json:"error,omitempty"` // the run could not be made
}

// checkDied names the check of a seed whose process died.
const checkDied = "process"

// Run implements the command.
func (c *workerCommand) Run() error {
	host.CollectLess()
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		seed, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			return usage("worker: %q is no seed", lines.Text())
		}
		o, err := c.options(seed)
		if err != nil {
			return err
		}
		r, err := c.runSeed(o)
		if err != nil {
			r = &seedResult{Seed: seed, Repeat: o.Repeat(), Error: err.Error()}
		}
		if err := out.Encode(r); err != nil {
			return environment("worker: %w", err)
		}
	}
	return lines.Err()
}

func (c *workerCommand) runSeed(o testbed.Options) (*seedResult, error) {
	var traced *tracer
	if c.Trace != "" {
		var err error
		if traced, err = newTracer(c.Trace); err != nil {
			return nil, err
		}
		o.Trace = traced.line
	}
	report, err := testbed.Run(o)
	if traced != nil {
		if closeErr := traced.close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		return nil, err
	}
	r := summarize(report)
	if report.Verdict == checkers.Fail && c.Scenarios != "" {
		r.Saved, err = saveAgain(o, c.Scenarios)
		if err != nil {
			fmt.Fprintf(os.Stderr, "actordb: seed %d: %v\n", o.Seed, err)
		}
	}
	return r, nil
}

func summarize(report *testbed.Report) *seedResult {
	r := &seedResult{Seed: report.Seed, Verdict: report.Verdict, Failed: failedChecks(report.Checks),
		TraceHash: report.TraceHash, Steps: report.Steps, SimSeconds: report.SimSeconds,
		Operations: report.Operations, Reached: report.Reached, Repeat: report.Repeat}
	for i := range report.Checks {
		check := &report.Checks[i]
		r.Examined += check.Examined
		if check.Verdict == checkers.Unknown {
			r.Unknown = append(r.Unknown, failedCheck{check.Name, check.Note})
		}
	}
	return r
}

// saveAgain makes a failing run once more, now with a record of it, so that the
// runs that hold do not pay for one.
func saveAgain(o testbed.Options, dir string) (string, error) {
	name := filepath.Join(dir, fmt.Sprintf("seed-%d", o.Seed))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	o.Record, o.Trace, o.HTML = true, nil, name+".html"
	report, err := testbed.Run(o)
	if err != nil {
		return "", err
	}
	return name + ".json", newScenario(o, report).save(name + ".json")
}

// A process is a running worker, seen from its parent.
type process struct {
	program string
	args    []string
	env     []string

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *tail
	cpu time.Duration // of processes that have ended
}

// newProcess prepares a worker of this very program; env is added to the
// environment.
func newProcess(program string, f *runFlags, env []string, more ...string) *process {
	args := []string{"sim", "worker", "--workload", strings.Join(f.Workload, ","), "--faults", f.Faults,
		"--nodes", strconv.Itoa(f.Nodes), "--replicas", strconv.Itoa(f.Replicas), "--duration", f.Duration.String(),
		"--clients", strconv.Itoa(f.Clients), "--think", f.Think.String()}
	if f.Strategy != "" {
		args = append(args, "--strategy", f.Strategy)
	}
	return &process{program: program, args: append(args, more...), env: env}
}

// self is the path of the running program.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", environment("find the program's own file: %w", err)
	}
	return path, nil
}

func (p *process) start() error {
	cmd := exec.Command(p.program, p.args...)
	cmd.Args[0] = "actordb" // whatever the file is called
	cmd.Env = append(os.Environ(), p.env...)
	p.err = &tail{}
	cmd.Stderr = p.err
	in, err := cmd.StdinPipe()
	if err != nil {
		return environment("%w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return environment("%w", err)
	}
	if err := cmd.Start(); err != nil {
		return environment("start a worker: %w", err)
	}
	p.cmd, p.in, p.out = cmd, in, bufio.NewReaderSize(out, 1<<16)
	return nil
}

// seed runs one seed, within a limit of wall time unless that is 0. A worker
// that dies or does not answer is a result too: its check is called "process".
func (p *process) seed(seed uint64, limit time.Duration) (*seedResult, error) {
	if p.cmd == nil {
		if err := p.start(); err != nil {
			return nil, err
		}
	}
	var late *time.Timer
	if limit > 0 {
		victim := p.cmd.Process
		late = time.AfterFunc(limit, func() { _ = victim.Kill() })
		defer late.Stop()
	}
	_, err := fmt.Fprintln(p.in, seed)
	var line []byte
	if err == nil {
		line, err = p.out.ReadBytes('\n')
	}
	if err != nil {
		note := p.died()
		if late != nil && !late.Stop() {
			note = fmt.Sprintf("no answer within %v", limit)
		}
		return &seedResult{Seed: seed, Verdict: checkers.Fail, Failed: []failedCheck{{checkDied, note}}}, nil
	}
	var r seedResult
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, environment("a worker said %q: %w", line, err)
	}
	if r.Error != "" {
		return nil, environment("seed %d: %s", seed, r.Error)
	}
	return &r, nil
}

// died says how the worker ended, and readies for another.
func (p *process) died() string {
	err := p.end()
	if text := p.err.text(); text != "" {
		return text
	}
	if err != nil {
		return err.Error()
	}
	return "the process ended without an answer"
}

// end lets the worker end and counts its processor time.
func (p *process) end() error {
	if p.cmd == nil {
		return nil
	}
	_ = p.in.Close()
	_, _ = io.Copy(io.Discard, p.out)
	err := p.cmd.Wait()
	if s := p.cmd.ProcessState; s != nil {
		p.cpu += s.UserTime() + s.SystemTime()
	}
	p.cmd = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return fmt.Errorf("the process was ended by signal %v", status.Signal())
		}
	}
	return err
}

// tail keeps the first line of what a worker writes to standard error that
// tells why it died.
type tail struct{ b []byte }

const tailMax = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	if room := tailMax - len(t.b); room > 0 {
		t.b = append(t.b, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(t.b)), "\n")
	return line
}
