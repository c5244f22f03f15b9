package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// Node is the node number of a Dispatcher's addresses: no machine has it, and no
// client of package tlsnet.
const Node proc.NodeID = 0

// ErrClosed is why a command of a closed Dispatcher has no answer.
var ErrClosed = errors.New("the node is stopping: send it again, to another or later")

// Config of a Dispatcher. Deliver is required; other zero fields take defaults.
type Config struct {
	// Deliver hands a frame to the gateway, as host.Node.Deliver does. It must not
	// wait. False: there is no room.
	Deliver func(from proc.Addr, peer string, frame []byte) bool
	// InFlight bounds the commands under way, InFlightBytes their bytes,
	// InFlightPerClient those of one client.
	InFlight, InFlightBytes, InFlightPerClient int
	// Held bounds the bytes of requests, and of pages of history, in memory.
	Held int
	Now  func() time.Time
}

// A Dispatcher carries commands of many requests to the gateway and matches the
// answers.
type Dispatcher struct {
	cfg     Config
	wake    chan struct{} // there is something to send
	closing chan struct{}
	ended   chan struct{} // closed when run has ended
	writer  wire.Writer   // run's own
	held    budget        // of requests in memory

	mu       sync.Mutex
	closed   bool
	clients  map[core.Principal]*client
	numbers  map[uint32]*client
	last     uint32    // number of a client
	ready    []*client // with commands to be sent, in turn
	taken    int       // places
	bytes    int
	unbound  core.SessionID     // of kinds that change nothing: it matches answers
	reads    core.CommandNumber // in it
	sessions ownSessions
	ends     [core.Unknown + 1]uint64 // of commands, by status
}

// client is a principal with commands under way.
type client struct {
	number    uint32
	principal core.Principal
	table     map[key]*entry
	queue     []*entry // to be sent
	ready     bool     // it is in Dispatcher.ready
	taken     int
}

type key struct {
	session core.SessionID
	number  core.CommandNumber
	kind    core.CommandKind
}

func keyOf(session core.SessionID, number core.CommandNumber, kind core.CommandKind) key {
	return key{session, number, kind}
}

// entry is a command under way. It stays until it is answered (R2).
type entry struct {
	command core.Command
	own     *ownSession // that numbered it, or nil
	places  int         // its own, and one for each that joined
	bytes   int
	sent    bool
	dropped bool // before it was sent
	waiters []waiter
}

func (e *entry) key() key { return keyOf(e.command.Session, e.command.Number, e.command.Kind) }

// waiter is a place in a batch that an entry's answer goes to.
type waiter struct {
	batch *batch
	at    int
}

// batch is what one request waits for.
type batch struct {
	answers []core.Answer
	entries []*entry // by command; nil: answered
	left    int
	done    chan struct{}
}

func (b *batch) answer(at int, a *core.Answer) {
	b.answers[at] = *a
	if b.entries[at] == nil {
		return
	}
	b.entries[at] = nil
	if b.left--; b.left == 0 {
		close(b.done)
	}
}

// NewDispatcher starts a Dispatcher.
func NewDispatcher(cfg Config) *Dispatcher {
	if cfg.InFlight == 0 {
		cfg.InFlight = inFlight
	}
	if cfg.InFlightBytes == 0 {
		cfg.InFlightBytes = inFlightBytes
	}
	if cfg.InFlightPerClient == 0 {
		cfg.InFlightPerClient = inFlightPerClient
	}
	if cfg.Held == 0 {
		cfg.Held = held
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Dispatcher{
		cfg: cfg, wake: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
		clients: make(map[core.Principal]*client), numbers: make(map[uint32]*client),
		unbound: newSession(cfg.Now(), sessionLifetimeMax),
	}
	d.held.max = int64(cfg.Held)
	go d.run()
	return d
}

// Do carries out commands of one client and waits for their answers, one for
// each and in their order. A command without a session gets a number of the
// Dispatcher's own. The error says why some have none: of the context, or
// ErrClosed. Their status is Unknown if they had left, else RefusedAtDoor.
func (d *Dispatcher) Do(ctx context.Context, principal core.Principal, commands []core.Command) ([]core.Answer, error) {
	b := d.start(principal, commands)
	return b.answers, d.finish(ctx, b)
}

// start takes commands in.
func (d *Dispatcher) start(principal core.Principal, commands []core.Command) *batch {
	b := &batch{answers: make([]core.Answer, len(commands)), entries: make([]*entry, len(commands)), done: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range commands {
		c := &commands[i]
		c.Principal = principal
		if code, detail := d.admit(b, i, c); code != core.CodeNone {
			d.ends[core.RefusedAtDoor]++
			b.answers[i] = core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.RefusedAtDoor, Code: code, Detail: detail}
		}
	}
	if b.left == 0 {
		close(b.done)
	} else {
		signal(d.wake)
	}
	return b
}

// finish waits until all commands of a batch are answered, or gives up.
func (d *Dispatcher) finish(ctx context.Context, b *batch) (err error) {
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-d.closing:
		err = ErrClosed
	}
	if d.giveUp(b) == 0 { // the last answer came just now
		return nil
	}
	return err
}

// admit takes a command in, or says why not.
func (d *Dispatcher) admit(b *batch, at int, c *core.Command) (core.Code, string) {
	own := c.Session == core.SessionID{}
	if own {
		c.Number, c.AckedBelow = 1, 0 // the real ones cannot be wrong
	}
	if code, detail := core.CheckCommand(c); code != core.CodeNone {
		return code, detail
	}
	if d.closed {
		return core.CodeNotLeader, "the node is stopping"
	}
	p, size := d.clients[c.Principal], commandBytes(c)
	switch {
	case d.taken >= d.cfg.InFlight:
		return core.CodeOverloaded, fmt.Sprintf("%d commands under way, the limit of this face", d.taken)
	case d.taken > 0 && d.bytes+size > d.cfg.InFlightBytes:
		return core.CodeOverloaded, fmt.Sprintf("%d bytes of commands under way: the limit of this face is %d", d.bytes, d.cfg.InFlightBytes)
	case p != nil && p.taken >= d.cfg.InFlightPerClient:
		return core.CodeOverloaded, fmt.Sprintf("%d commands of this client under way, the limit", p.taken)
	}
	if p != nil && !own {
		if e := p.table[keyOf(c.Session, c.Number, c.Kind)]; e != nil {
			return d.join(b, at, p, e, c)
		}
	}
	e := &entry{bytes: size}
	switch {
	case own && c.Kind.Changes():
		if e.own = d.sessions.take(d.cfg.Now()); e.own == nil {
			return core.CodeOverloaded, "too many commands without a session wait for slow ones"
		}
		e.own.number(c)
	case own:
		d.reads++
		c.Session, c.Number = d.unbound, d.reads
	}
	if p == nil {
		p = d.enter(c.Principal)
	}
	e.command = *c
	p.table[e.key()] = e
	d.bytes += size
	d.wait(b, at, p, e)
	p.queue = append(p.queue, e)
	if !p.ready {
		p.ready = true
		d.ready = append(d.ready, p)
	}
	return core.CodeNone, ""
}

// join has one more request wait for a command that is under way.
func (d *Dispatcher) join(b *batch, at int, p *client, e *entry, c *core.Command) (core.Code, string) {
	if !e.command.Same(c) {
		return core.CodeReused, "the number is under way for another command"
	}
	d.wait(b, at, p, e)
	return core.CodeNone, ""
}

func (d *Dispatcher) wait(b *batch, at int, p *client, e *entry) {
	e.waiters = append(e.waiters, waiter{b, at})
	e.places++
	p.taken++
	d.taken++
	b.entries[at] = e
	b.left++
}

// enter gives a client an address. The numbers go round, so that a late answer
// finds nobody.
func (d *Dispatcher) enter(principal core.Principal) *client {
	for d.last++; d.last == 0 || d.numbers[d.last] != nil; d.last++ {
	}
	p := &client{number: d.last, principal: principal, table: make(map[key]*entry)}
	d.clients[principal], d.numbers[p.number] = p, p
	return p
}

// commandBytes is what a command takes in a frame, at most.
func commandBytes(c *core.Command) int {
	n := len(c.Payload) + 1024
	for i := range c.Events {
		n += len(c.Events[i].Payload) + len(c.Events[i].Personal) + 128
	}
	return n
}

// giveUp answers what has no answer yet, and returns how many that were.
func (d *Dispatcher) giveUp(b *batch) (open int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at, e := range b.entries {
		if e == nil {
			continue
		}
		open++
		a := core.Answer{Session: e.command.Session, Number: e.command.Number, Kind: e.command.Kind, Status: core.Unknown, Code: core.CodeTimeout}
		if !e.sent {
			a.Status, a.Detail = core.RefusedAtDoor, "it was not sent"
		}
		b.answer(at, &a)
		for i := range e.waiters {
			if e.waiters[i] == (waiter{b, at}) {
				e.waiters[i].batch = nil
			}
		}
		if !e.sent && !e.awaited() {
			e.dropped = true
			d.settle(d.clients[e.command.Principal], e, &a)
		}
	}
	return open
}

func (e *entry) awaited() bool {
	for _, w := range e.waiters {
		if w.batch != nil {
			return true
		}
	}
	return false
}

// settle ends a command.
func (d *Dispatcher) settle(p *client, e *entry, a *core.Answer) {
	if int(a.Status) < len(d.ends) {
		d.ends[a.Status]++
	}
	for _, w := range e.waiters {
		if w.batch != nil {
			w.batch.answer(w.at, a)
		}
	}
	if e.own != nil {
		e.own.settle(e.command.Number, a.Code)
	}
	d.taken -= e.places
	d.bytes -= e.bytes
	p.taken -= e.places
	delete(p.table, e.key())
	if len(p.table) == 0 {
		delete(d.clients, p.principal)
		delete(d.numbers, p.number)
	}
}

// run sends what there is to send.
func (d *Dispatcher) run() {
	defer close(d.ended)
	var sent []*entry
	for {
		p, frame := d.fill(&sent)
		if frame == nil {
			select {
			case <-d.wake:
				continue
			case <-d.closing:
				return
			}
		}
		if !d.cfg.Deliver(proc.Addr{Node: Node, Proc: p.number}, string(p.principal), frame) {
			d.unsent(p, sent)
		}
	}
}

// fill makes a frame of what the next client in turn has to send; nil: nothing.
func (d *Dispatcher) fill(sent *[]*entry) (*client, []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(*sent)
	*sent = (*sent)[:0]
	w := &d.writer
	for len(d.ready) > 0 {
		p := d.ready[0]
		d.ready = d.ready[1:]
		n := 0
		for ; n < len(p.queue) && w.Count() < core.FrameCommandsMax; n++ {
			e := p.queue[n]
			if e.dropped {
				continue
			}
			if w.Count() > 0 && w.Bytes()+e.bytes > frameBytes {
				break
			}
			e.sent = true
			w.Command(&e.command)
			*sent = append(*sent, e)
		}
		if p.queue = p.queue[n:]; len(p.queue) > 0 {
			d.ready = append(d.ready, p)
		} else {
			p.ready, p.queue = false, nil
		}
		if w.Count() > 0 {
			return p, w.Finish(wire.Commands)
		}
	}
	d.ready = nil
	return nil, nil
}

// unsent refuses what the gateway had no room for.
func (d *Dispatcher) unsent(p *client, list []*entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range list {
		d.settle(p, e, &core.Answer{Session: e.command.Session, Number: e.command.Number, Kind: e.command.Kind,
			Status: core.RefusedAtDoor, Code: core.CodeOverloaded, Detail: "the gateway takes no more at the moment"})
	}
}

// Receive takes a frame for one of the Dispatcher's addresses, and its bytes. It
// does not wait.
func (d *Dispatcher) Receive(to uint32, frame []byte) {
	r, err := wire.Open(frame)
	if err != nil || r.Kind != wire.Answers {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.numbers[to]
	if p == nil {
		return
	}
	var a core.Answer
	for r.Answer(&a) {
		if e := p.table[keyOf(a.Session, a.Number, a.Kind)]; e != nil && e.sent {
			d.settle(p, e, &a)
		}
	}
}

// Queues implements proc.Gauged.
func (d *Dispatcher) Queues(dst []proc.Queue) []proc.Queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(dst,
		proc.Queue{Name: "rpc.pending", Len: d.taken, Limit: d.cfg.InFlight},
		proc.Queue{Name: "rpc.pending-bytes", Len: d.bytes, Limit: d.cfg.InFlightBytes},
		proc.Queue{Name: "rpc.request-bytes", Len: int(d.held.taken.Load()), Limit: d.cfg.Held})
}

// Counters implements proc.Counted.
func (d *Dispatcher) Counters(dst []proc.Counter) []proc.Counter {
	d.mu.Lock()
	defer d.mu.Unlock()
	for status := core.Accepted; status <= core.Unknown; status++ {
		dst = append(dst, proc.Counter{Name: "commands." + status.String(), Value: d.ends[status]})
	}
	return dst
}

// Close ends all that is under way, with ErrClosed.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.closing)
	}
	d.mu.Unlock()
	<-d.ended
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it is signalled already
	}
}
