package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"actordb/core"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

type sendCommand struct {
	Target   []string      `required:"" placeholder:"HOST:PORT" help:"Nodes; the next one is tried when one cannot be reached."`
	Identity string        `required:"" placeholder:"DIR" help:"The caller's identity.pem, such as DIR/ca/dev of a node that runs with --dev."`
	Format   string        `default:"auto" enum:"auto,ndjson,csv" help:"ndjson, csv, or auto: csv for a file called .csv, else ndjson."`
	Timeout  time.Duration `default:"30s" help:"Give up when nothing is answered for so long."`
	JSON     bool          `name:"json" help:"One JSON document on standard output."`
	File     string        `arg:"" help:"Input, or - for standard input."`
}

func (sendCommand) Help() string {
	return `Examples:

    echo '{"actor": "stream/hello", "type": "said", "payload": {"text": "hello"}}' |
        actordb send --target 127.0.0.1:7400 --identity data/ca/dev -
    actordb send --target 127.0.0.1:7400 --identity data/ca/dev orders.csv

Each line is one event or one command. NDJSON: a JSON object with these fields. CSV: the first line names the columns.

    actor           type/key
    type            the event's type; it is appended to the actor
    command         instead of type: the name of a command that the actor's own type decides on
    version         of the event type's schema; left out: 1
    event_time      when it happened, RFC 3339 or nanoseconds since 1970; left out: when it is recorded
    payload         NDJSON: any JSON, stored as it stands; CSV: the text. Of an event type that CREATE EVENT TYPE has declared:
                    a JSON object with its columns
    payload_base64  instead of payload: bytes
    expected        the actor's last sequence, 0 for none; left out: any

Lines are sent without waiting for the answers of those before; each takes effect once, however often it had to be sent again within this run.
At the first line that is wrong or refused it stops reading. Lines on their way by then may be accepted; the summary counts them.
Exit codes: 0 all accepted, 2 a line is wrong or refused, 4 the node could not be reached or an outcome is not known.`
}

// sendReport is what --json prints.
type sendReport struct {
	Lines    int64         `json:"lines"`    // that were sent
	Accepted int64         `json:"accepted"` // of these
	Events   int64         `json:"events"`
	Refused  int64         `json:"refused"`
	Unknown  int64         `json:"unknown"`
	First    *sendFailure  `json:"first_failure,omitempty"` // by its line
	Seconds  float64       `json:"seconds"`
	Elapsed  time.Duration `json:"-"`
}

// sendFailure is a line that was not accepted.
type sendFailure struct {
	Line  int    `json:"line"`
	Field string `json:"field,omitempty"`
	Code  string `json:"code,omitempty"`
	Error string `json:"error"`

	err error
}

// Run implements the command.
func (c *sendCommand) Run() error {
	if c.Timeout <= 0 {
		return usage("--timeout %v: want a positive time", c.Timeout)
	}
	identity, err := tlsnet.LoadIdentity(c.Identity)
	if err != nil {
		return usage("--identity: %w", err)
	}
	in, closeInput, err := c.open()
	if err != nil {
		return err
	}
	defer closeInput()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dialing, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := client.Dial(dialing, client.Config{Addrs: c.Target, Source: identity})
	if err != nil {
		return environment("%w", err)
	}
	declared, err := readSchemas(dialing, conn)
	if err != nil {
		return environment("%w", err)
	}
	s := &sending{client: conn, schemas: declared, bar: newProgress("lines sent", 0), failed: make(chan struct{})}
	begun := time.Now()
	err = s.all(ctx, in, c.Timeout)
	s.bar.end()
	s.report.Elapsed = time.Since(begun)
	s.report.Seconds = s.report.Elapsed.Seconds()
	return c.tell(&s.report, err)
}

// open opens the input. Its errors are told at once, before anything is sent.
func (c *sendCommand) open() (records, func(), error) {
	file := os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, nil, usage("%w", err)
		}
		file = f
	}
	closeFile := func() { file.Close() }
	if c.Format == "csv" || c.Format == "auto" && strings.HasSuffix(strings.ToLower(c.File), ".csv") {
		in, err := newCSV(file)
		if err != nil {
			closeFile()
			return nil, nil, usage("%s: %w", c.File, err)
		}
		return in, closeFile, nil
	}
	return newNDJSON(file), closeFile, nil
}

// print shows a report for people.
func (r *sendReport) print() {
	fmt.Printf("%s accepted, %s, in %s", counted(r.Accepted, "line"), counted(r.Events, "event"), r.Elapsed.Round(time.Millisecond))
	if r.Elapsed > time.Second { // below that it says nothing
		fmt.Printf(" (%.0f lines/s)", float64(r.Accepted)/r.Seconds)
	}
	fmt.Println()
	if r.Refused > 0 {
		fmt.Printf("%s refused\n", counted(r.Refused, "line"))
	}
	if r.Unknown > 0 {
		fmt.Printf("%s without an answer\n", counted(r.Unknown, "line"))
	}
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// tell prints the summary. err is why not all was read or answered.
func (c *sendCommand) tell(r *sendReport, err error) error {
	if c.JSON {
		if err := printJSON(r); err != nil {
			return err
		}
	} else {
		r.print()
	}
	if err != nil {
		unknown := ""
		if r.Unknown > 0 {
			unknown = fmt.Sprintf(", of %d the outcome is not known", r.Unknown)
		}
		return environment("%s: %w; %d of %d lines sent were accepted%s", c.File, err, r.Accepted, r.Lines, unknown)
	}
	if r.First != nil {
		after := fmt.Sprintf("; %d of %d lines sent were accepted", r.Accepted, r.Lines)
		if r.Unknown > 0 {
			return environment("%s: %w%s", c.File, r.First.err, after)
		}
		return usage("%s: %w%s", c.File, r.First.err, after)
	}
	return nil
}

// sending is a run of send.
type sending struct {
	client  *client.Client
	schemas schemas
	bar     *progress
	settled atomic.Int64
	failed  chan struct{} // closed when a line was not accepted
	open    sync.WaitGroup

	mu     sync.Mutex
	over   bool // no more lines are sent
	report sendReport
}

// line is a call with the line that it came from.
type line struct {
	client.Call
	number int
}

// all sends all records and waits for their answers.
func (s *sending) all(ctx context.Context, in records, patience time.Duration) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(ctx, patience, giveUp)
	}()
	read := make(chan error, 1)
	go func() { read <- s.read(ctx, in) }() // it may wait for its input when nobody waits for it any more
	var err error
	select {
	case err = <-read:
	case <-s.failed:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		s.open.Wait()
	}()
	select {
	case <-answered:
	case <-ctx.Done():
		if err = context.Cause(ctx); err == context.Canceled {
			err = errors.New("interrupted")
		}
	}
	s.client.Close() // ends what is not answered
	<-answered
	giveUp(nil)
	<-watched
	return err
}

// errSilence says that nothing was answered for too long.
var errSilence = errors.New("nothing was answered in time (--timeout): look at the node's log")

// watch gives up when no line is settled for as long as patience.
func (s *sending) watch(ctx context.Context, patience time.Duration, giveUp func(error)) {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.settled.Load()
		s.mu.Lock()
		waiting := s.report.Lines > now
		s.mu.Unlock()
		if waiting && now == last {
			giveUp(errSilence)
			return
		}
		last = now
	}
}

// read sends record by record, until the end or the first failure.
func (s *sending) read(ctx context.Context, in records) error {
	for {
		r, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var command core.Command
		if err == nil {
			command, err = r.command()
		}
		if err == nil {
			err = s.schemas.encode(r, &command)
		}
		if bad := (*recordError)(nil); errors.As(err, &bad) {
			s.fail(sendFailure{Line: bad.Line, Field: bad.Field, Error: bad.Error(), err: err})
			return nil
		}
		if err != nil {
			return err
		}
		l := &line{number: r.line}
		l.Command, l.Done = command, func(*client.Call) { s.answered(l) }
		if !s.begin() {
			return nil
		}
		if err := s.client.Go(ctx, &l.Call); err != nil {
			s.mu.Lock()
			s.report.Lines--
			s.mu.Unlock()
			s.open.Done()
			return err
		}
		s.bar.step("")
	}
}

// begin counts a line in, unless no more are to be sent.
func (s *sending) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.report.First != nil {
		return false
	}
	s.report.Lines++
	s.open.Add(1)
	return true
}

// answered counts a line that has ended. It is called by the client.
func (s *sending) answered(l *line) {
	defer s.open.Done()
	s.settled.Add(1)
	var refused *client.Refused
	s.mu.Lock()
	switch {
	case l.Err == nil:
		s.report.Accepted++
		s.report.Events += int64(l.Answer.Count)
	case errors.As(l.Err, &refused):
		s.report.Refused++
	default:
		s.report.Unknown++
	}
	s.mu.Unlock()
	if l.Err == nil {
		return
	}
	f := sendFailure{Line: l.number, Error: l.Err.Error(), err: fmt.Errorf("line %d: %w", l.number, l.Err)}
	if refused != nil {
		f.Code = refused.Code.String()
	}
	s.fail(f)
}

// fail keeps the failure of the lowest line.
func (s *sending) fail(f sendFailure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report.First == nil {
		close(s.failed)
	}
	if s.report.First == nil || f.Line < s.report.First.Line {
		s.report.First = &f
	}
}
