// Package bench loads a running node with commands of clients (package load does
// the loading).
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/actor"
	"actordb/internal/load"
	"actordb/net/client"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

// AppendWorkload appends an event of Size bytes to one of Actors streams, each
// expected to be where the append before left it. The other workloads are those of
// package workloads.
const AppendWorkload = "append"

// Config of a load on a node.
type Config struct {
	Addrs    []string
	Source   tlsnet.Source
	Workload string
	Actors   int // of AppendWorkload
	Size     int // of its events' payloads, in bytes
	// Connections share the slots of the load.
	Connections int
	Load        load.Config
}

const (
	// ActorsMax bounds the names that are kept.
	ActorsMax = 10_000_000
	// ConnectionsMax is what a node admits from one client.
	ConnectionsMax = 64
)

// Validate reports the first thing wrong with c.
func (c *Config) Validate() error {
	if err := c.Load.Validate(); err != nil {
		return err
	}
	if c.Connections < 1 || c.Connections > min(ConnectionsMax, c.Load.Slots) {
		return fmt.Errorf("%d connections for %d commands at once; want 1 to %d", c.Connections, c.Load.Slots, min(ConnectionsMax, c.Load.Slots))
	}
	if c.Workload != AppendWorkload {
		_, err := workloads.NewGenerator(c.Workload, nil, 0, 1)
		return err
	}
	switch {
	case c.Size < 1 || c.Size > core.PayloadBytesMax:
		return fmt.Errorf("events of %d bytes; want 1 to %d", c.Size, core.PayloadBytesMax)
	case c.Actors < c.Load.Slots || c.Actors > ActorsMax:
		return fmt.Errorf("%d actors for %d commands at once; want at least as many, since each names what it expects its actor's last sequence to be, and at most %d",
			c.Actors, c.Load.Slots, ActorsMax)
	}
	return nil
}

// Names lists the workloads.
func Names() []string { return append([]string{AppendWorkload}, workloads.Names()...) }

// A Result is what was measured, and the first command that did not go well.
type Result struct {
	load.Report
	// Trouble is the first refusal that is not an actor's decision, or the first
	// outcome that is not known; nil: there was none.
	Trouble error `json:"-"`
}

// Run loads the node. Errors of dialing wrap a *tlsnet.Error.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &bench{cfg: cfg}
	defer b.close()
	for range cfg.Connections {
		c, err := client.Dial(ctx, client.Config{Addrs: cfg.Addrs, Source: cfg.Source,
			InFlight: (cfg.Load.Slots + cfg.Connections - 1) / cfg.Connections, InFlightBytes: inFlightBytes})
		if err != nil {
			return nil, err
		}
		b.clients = append(b.clients, c)
	}
	drive := b.generate
	if cfg.Workload == AppendWorkload {
		drive = b.append
		b.name()
	}
	report, err := load.Run(ctx, cfg.Load, drive)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Result{*report, b.trouble}, nil
}

// inFlightBytes is more than a node takes: what is in flight is bounded by slots.
const inFlightBytes = 1 << 30

type bench struct {
	cfg     Config
	clients []*client.Client
	actors  []core.ActorID
	last    []core.Seq // of each, as its slot knows

	mu      sync.Mutex
	trouble error
}

func (b *bench) close() {
	for _, c := range b.clients {
		_ = c.Close() // it ends calls that the load no longer waits for
	}
}

// client is that of a slot.
func (b *bench) client(s *load.Slot) *client.Client { return b.clients[s.Number%len(b.clients)] }

// settle tells the load how a call ended.
func (b *bench) settle(s *load.Slot, call *client.Call, bytes int) {
	var refused *client.Refused
	switch {
	case call.Err == nil:
		s.End(load.Accepted, bytes)
		return
	case !errors.As(call.Err, &refused):
		b.note(call.Err)
		s.End(load.Unknown, 0)
		return
	case refused.Status != core.Refused:
		b.note(call.Err)
	}
	s.End(load.Refused, 0)
}

func (b *bench) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trouble == nil {
		b.trouble = err
	}
}

// begin starts a call, whose predecessor has ended.
func begin(c *client.Client, s *load.Slot, call *client.Call) {
	if err := c.TryGo(call); err != nil && err != client.ErrClosed { // closed: the load is over
		s.Fail(err)
	}
}

// name names the streams, after this run: those of another have a history.
func (b *bench) name() {
	run := rand.Uint64()
	b.actors, b.last = make([]core.ActorID, b.cfg.Actors), make([]core.Seq, b.cfg.Actors)
	for i := range b.actors {
		b.actors[i] = core.ActorID(fmt.Sprintf("%s/bench-%x-%d", actor.StreamType, run, i))
	}
}

// append has each slot append to streams of its own, so that its expectation holds.
func (b *bench) append(s *load.Slot) func() {
	c := b.client(s)
	payload := make([]byte, b.cfg.Size)
	random := rand.NewChaCha8([32]byte{byte(s.Number), byte(s.Number >> 8)})
	_, _ = random.Read(payload) // it never fails
	next, at := s.Turns(b.cfg.Actors), 0
	call := &client.Call{Command: core.Command{Kind: core.Append, Events: []core.NewEvent{{Type: "appended", Version: 1, Payload: payload}}}}
	call.Done = func(call *client.Call) {
		var refused *client.Refused
		switch {
		case call.Err == nil:
			b.last[at] = call.Answer.Seq
		case errors.As(call.Err, &refused) && refused.Code == core.CodeWrongSeq:
			b.last[at] = refused.Seq
		case !errors.As(call.Err, &refused):
			b.last[at] = core.AnySeq // the next answer tells
		}
		b.settle(s, call, len(payload))
	}
	return func() {
		at = next()
		call.Command.Actor, call.Command.Expected = b.actors[at], b.last[at]
		begin(c, s, call)
	}
}

// generate makes each slot a client of a workload.
func (b *bench) generate(s *load.Slot) func() {
	c := b.client(s)
	g, err := workloads.NewGenerator(b.cfg.Workload, rand.New(rand.NewPCG(b.cfg.Load.Seed, uint64(s.Number))), s.Number, b.cfg.Load.Slots)
	if err != nil {
		panic(core.Bug(err.Error())) // Validate has tried
	}
	n, op, bytes := 0, checkers.Op{}, 0
	call := &client.Call{}
	call.Done = func(call *client.Call) {
		if refused := (*client.Refused)(nil); call.Err == nil || errors.As(call.Err, &refused) {
			op.Status, op.Code, op.Seq = call.Answer.Status, call.Answer.Code, call.Answer.Seq
			g.Learn(&op)
		}
		b.settle(s, call, bytes)
	}
	return func() {
		p := g.Next(n, core.Timestamp(time.Now().UnixNano()))
		n++
		op = checkers.Op{Actor: p.Command.Actor, Name: p.Name, In: p.In}
		call.Command = p.Command
		if bytes = len(p.Command.Payload); len(p.Command.Events) > 0 {
			bytes = len(p.Command.Events[0].Payload)
		}
		begin(c, s, call)
	}
}
