package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// Config of a Client. Addrs and Source are required.
type Config struct {
	Addrs  []string      // of nodes, host:port; the next one is tried when one fails
	Source tlsnet.Source // the client's certificate and the authorities it trusts
	// InFlight bounds the calls that have no answer yet; 0: 4,096.
	InFlight int
	// InFlightBytes bounds their payloads; 0: 32 MiB.
	InFlightBytes int
	// SessionLifetime bounds for how long a command can be repeated: at least half
	// of it; 0: 30 minutes.
	SessionLifetime time.Duration
	// Silence is for how long a node may leave every command without an answer
	// before the next of Addrs is asked: it may be stopped, or cut off from the
	// others. 0: 1 s, and for ever with a single address. The next one is tried
	// likewise when a node has not shaken hands after half of it.
	Silence time.Duration
	// Connect makes a connection to one of Addrs; nil: mutual TLS, by Source. Who is in
	// the node's own process needs none.
	Connect func(ctx context.Context, addr string) (Link, error)
	// Limits of the connection; zero fields take the defaults.
	Limits tlsnet.Limits
	// Now is the machine's idea of the date, for certificates; nil: time.Now.
	Now func() time.Time
}

// Validate reports the first thing wrong with c.
func (c *Config) Validate() error {
	switch {
	case len(c.Addrs) == 0:
		return errors.New("client: no address to connect to")
	case c.Source == nil && c.Connect == nil:
		return errors.New("client: no identity: there is no plaintext mode")
	case c.InFlight < 0 || c.InFlight > InFlightMax:
		return fmt.Errorf("client: %d calls in flight, want at most %d", c.InFlight, InFlightMax)
	case c.InFlightBytes < 0:
		return fmt.Errorf("client: %d bytes in flight", c.InFlightBytes)
	case c.Silence < 0:
		return fmt.Errorf("client: a silence of %v", c.Silence)
	case c.SessionLifetime != 0 && (c.SessionLifetime < sessionLifetimeMin || c.SessionLifetime > time.Duration(core.SessionLifetimeMax)/2):
		return fmt.Errorf("client: sessions of %v, want %v to %v", c.SessionLifetime, sessionLifetimeMin, time.Duration(core.SessionLifetimeMax)/2)
	}
	return nil
}

// A Call is one command under way. It belongs to the client from Go until Done
// is called; then it can be used again. Its Session, Number and AckedBelow are
// the client's to set.
type Call struct {
	Command core.Command
	Answer  core.Answer
	Err     error // nil, *Refused or *Unanswered
	// Done is called when the call has ended, from a goroutine that also reads the
	// answers of others: it must not wait, nor Close the client, but may start
	// calls with TryGo. One that replaces the call that has ended, and is no larger,
	// always finds room.
	Done func(*Call)

	lane     *lane // nil: it waits for a number
	made     uint64
	bytes    int
	attempts int
	code     core.Code // of the last answer that did not end it
	stage    stage
	due      time.Time // delayed
}

type stage uint8

const (
	ended   stage = iota // it is the caller's
	numbers              // in backlog: waits for a number
	queued               // in queue: to be written
	sent                 // waits for an answer
	delayed              // in delayed: to be sent again at due
)

// A Link is a connection to a node, as tlsnet.Conn is one.
type Link interface {
	Node() tlsnet.Identity
	// Send queues a frame for the process with this number; it waits while there is no
	// room.
	Send(ctx context.Context, to uint32, frame []byte) error
	// Recv waits for the next frame or reset. After an error the link is of no use.
	Recv() (tlsnet.Received, error)
	Abort() // ends it at once
	Close() error
}

// A Client sends commands to a node.
type Client struct {
	cfg Config

	wake    chan struct{} // there is something to write
	room    chan struct{} // there is room for calls
	closing chan struct{}
	ctx     context.Context // done when closing
	cancel  context.CancelFunc
	ended   chan struct{} // closed when run has ended
	addr    int           // of cfg.Addrs, run's own
	writer  wire.Writer   // run's own

	mu      sync.Mutex
	closed  bool
	lanes   []*lane // with calls, or the ones to take some
	backlog fifo
	queue   fifo
	delayed []*Call
	taken   int // calls that have not ended
	bytes   int // of these
	made    uint64
	conn    Link
	broken  error     // why there is no connection
	heard   time.Time // an answer, or that nothing was asked
	asks    []*statement
	token   core.Timestamp // of the newest answer: what is asked in SQL reads it
}

// Dial connects to the first of cfg.Addrs that answers. If none does, the error
// tells of each why; it wraps their *tlsnet.Errors.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.InFlight = cmp.Or(cfg.InFlight, inFlight)
	cfg.InFlightBytes = cmp.Or(cfg.InFlightBytes, inFlightBytes)
	cfg.SessionLifetime = cmp.Or(cfg.SessionLifetime, sessionLifetime)
	if len(cfg.Addrs) == 1 {
		cfg.Silence = 0
	} else {
		cfg.Silence = cmp.Or(cfg.Silence, silence)
	}
	cfg.Limits.ClientQueueFrames = queueFrames
	if cfg.Connect == nil {
		dialer := tlsnet.Dialer{Source: cfg.Source, Limits: cfg.Limits, Now: cfg.Now}
		cfg.Connect = func(ctx context.Context, addr string) (Link, error) {
			conn, err := dialer.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return conn, nil
		}
	}
	c := &Client{
		cfg:  cfg,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.conn = conn
	go c.run(conn)
	return c, nil
}

// dial tries each address once, in a hurry: a node that is stopped takes connections and
// says nothing. If nobody answers, those may be slow: each has the time that it needs then.
func (c *Client) dial(ctx context.Context) (Link, error) {
	for hurry := c.cfg.Silence / 2; ; hurry = 0 {
		var all []error
		late := false
		for range c.cfg.Addrs {
			conn, slow, err := c.connect(ctx, hurry)
			if err == nil {
				return conn, nil
			}
			all, late = append(all, err), late || slow
			c.addr = (c.addr + 1) % len(c.cfg.Addrs)
			if ctx.Err() != nil {
				return nil, errors.Join(all...)
			}
		}
		if !late {
			return nil, errors.Join(all...)
		}
	}
}

// connect tries the present address, for a time unless that is 0, and tells whether it
// was too short.
func (c *Client) connect(ctx context.Context, within time.Duration) (conn Link, late bool, err error) {
	addr := c.cfg.Addrs[c.addr]
	if within == 0 {
		conn, err = c.cfg.Connect(ctx, addr)
		return conn, false, err
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err = c.cfg.Connect(limited, addr)
	return conn, err != nil && limited.Err() != nil, err
}

// Node is who the client is connected to, if it is.
func (c *Client) Node() (tlsnet.Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return tlsnet.Identity{}, false
	}
	return c.conn.Node(), true
}

// Go starts a call, and waits while there is no room for it. An error says that
// it was not started: a *Refused if the command breaks a limit, ErrClosed, or the
// context's.
func (c *Client) Go(ctx context.Context, call *Call) error {
	for {
		err := c.TryGo(call)
		if err != ErrFull {
			return err
		}
		select {
		case <-c.room:
		case <-c.closing:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// TryGo starts a call like Go, or returns ErrFull.
func (c *Client) TryGo(call *Call) error {
	core.Assert(call.stage == ended, "a call is started twice")
	core.Assert(call.Done != nil, "a call whose end nobody hears of")
	cmd := &call.Command
	cmd.Number, cmd.AckedBelow, cmd.Principal = 1, 0, "" // the real ones cannot be wrong
	if code, detail := core.CheckCommand(cmd); code != core.CodeNone {
		return &Refused{Actor: cmd.Actor, Status: core.RefusedAtDoor, Code: code, Detail: detail}
	}
	call.Answer, call.Err, call.attempts, call.code = core.Answer{}, nil, 0, core.CodeNone
	call.bytes = commandBytes(cmd)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.taken >= c.cfg.InFlight, c.taken > 0 && c.bytes+call.bytes > c.cfg.InFlightBytes:
		return ErrFull
	}
	c.taken++
	c.bytes += call.bytes
	if c.taken < c.cfg.InFlight {
		signal(c.room) // for others who wait
	}
	c.made++
	call.made = c.made
	call.stage = numbers
	c.backlog.push(call)
	c.admit()
	return nil
}

// admit moves calls from the backlog to the queue as long as there are numbers.
func (c *Client) admit() {
	for c.backlog.len() > 0 {
		l := c.lane()
		if l == nil {
			return
		}
		call := c.backlog.pop()
		l.take(call)
		c.enqueue(call)
	}
}

func (c *Client) enqueue(call *Call) {
	call.stage = queued
	c.queue.push(call)
	if c.queue.len() == 1 {
		signal(c.wake)
	}
}

// lane finds a session with a free number, or opens one. There are enough for
// all calls in flight, and as many again that wait for their last answers.
func (c *Client) lane() *lane {
	for _, l := range c.lanes {
		if !l.retired && !l.full() {
			return l
		}
	}
	if len(c.lanes) >= 2*(c.cfg.InFlight/window+1) {
		return nil
	}
	l := newLane(c.cfg.SessionLifetime)
	l.old = time.AfterFunc(c.cfg.SessionLifetime/2, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.retire(l)
	})
	c.lanes = append(c.lanes, l)
	return l
}

// retire gives a session no more calls.
func (c *Client) retire(l *lane) {
	l.retired = true
	c.forget(l)
}

func (c *Client) forget(l *lane) {
	if l.retired && l.empty() {
		l.old.Stop()
		c.lanes = slices.DeleteFunc(c.lanes, func(x *lane) bool { return x == l })
	}
}

// settle ends a call; the caller of settle then calls Done, without the lock.
func (c *Client) settle(call *Call) {
	if l := call.lane; l != nil {
		l.settle(call)
		c.forget(l)
	}
	call.stage = ended
	c.taken--
	c.bytes -= call.bytes
	signal(c.room)
	c.admit()
}

// Cancel ends a call that has not ended, with an *Unanswered around cause. It
// reports whether it did; Done has been called then.
func (c *Client) Cancel(call *Call, cause error) bool {
	c.mu.Lock()
	at := call.stage
	if at == ended {
		c.mu.Unlock()
		return false
	}
	switch at {
	case numbers:
		c.backlog.remove(call)
	case queued:
		c.queue.remove(call)
	case delayed:
		c.delayed = slices.DeleteFunc(c.delayed, func(x *Call) bool { return x == call })
	}
	call.Err = c.unanswered(call, cause)
	c.settle(call)
	c.mu.Unlock()
	call.Done(call)
	return true
}

func (c *Client) unanswered(call *Call, cause error) error {
	return &Unanswered{Actor: call.Command.Actor, Attempts: call.attempts, Code: call.code, Cause: cause, Link: c.broken}
}

// Close ends the connection, and all calls that have not ended, with an
// *Unanswered around ErrClosed.
func (c *Client) Close() error {
	c.mu.Lock()
	var open []*Call
	if !c.closed {
		c.closed = true
		close(c.closing)
		c.cancel()
		open = c.open()
		for c.backlog.len() > 0 {
			open = append(open, c.backlog.pop())
		}
		c.queue, c.delayed = fifo{}, nil
		for _, call := range open {
			call.Err = c.unanswered(call, ErrClosed)
			c.settle(call)
		}
		for _, l := range c.lanes {
			l.old.Stop()
		}
		for _, s := range c.asks {
			s.end(ErrClosed)
		}
		c.asks = nil
	}
	c.mu.Unlock()
	for _, call := range open {
		call.Done(call)
	}
	<-c.ended
	return nil
}

// open lists the calls that have numbers, in the order in which they were made.
func (c *Client) open() []*Call {
	var list []*Call
	for _, l := range c.lanes {
		for n := l.floor; n < l.next; n++ {
			if call := l.find(n); call != nil {
				list = append(list, call)
			}
		}
	}
	slices.SortFunc(list, func(a, b *Call) int { return cmp.Compare(a.made, b.made) })
	return list
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it is signalled already
	}
}

// pause is how long to wait before the next attempt.
func pause(least, most proc.Tick, attempt int) time.Duration {
	d := time.Duration(core.Backoff(least, most, attempt))
	return d + rand.N(d/4+1)
}
