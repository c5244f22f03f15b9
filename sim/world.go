package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug" //arch:allow ambient: the stack of a panic goes into its report, never into the run
	"time"

	"actordb/core/proc"

	"github.com/cespare/xxhash/v2"
)

// Config describes a World. Zero fields take defaults.
type Config struct {
	Seed       uint64
	Strategy   Strategy
	Network    Network // nil: every frame arrives, in order, after 100 µs
	Limits     Limits
	Epoch      int64         // true wall time at virtual time zero, ns since 1970
	LocalDelay time.Duration // of frames within a node
	GaugeEvery int           // steps of a Gauged process between two looks at its queues; 0: 1, negative: never
	Record     bool          // keep decisions and events for Log

	// OnHalt is told that a process halted its node for a fault. The node is
	// down by then; the callee may schedule its restart.
	OnHalt func(addr proc.Addr, fault error)
	// Trace is given one line for each input delivered and each event.
	Trace func(line string)
}

func (c *Config) defaults() {
	c.Strategy.defaults()
	c.Limits.defaults()
	orDefault(&c.Epoch, epochDefault)
	orDefault(&c.LocalDelay, localDelayDefault)
	orDefault(&c.GaugeEvery, 1)
	if c.Strategy.Kind == Replay && c.Strategy.Log != nil && c.Strategy.Log.Slack > 0 {
		c.Strategy.Slack = c.Strategy.Log.Slack
	}
}

// A World is a set of nodes in virtual time. It is not safe for concurrent use,
// and apart from Config's hooks and At's callbacks nothing may call it during
// Run.
type World struct {
	cfg   Config
	now   time.Duration
	steps uint64
	seq   uint64 // of the last entry or callback

	q     queue
	calls calls
	ch    chooser
	nodes []*node
	procs []*process
	names map[string]proc.Addr

	eff    proc.Effects
	route  []Delivery
	queues []proc.Queue
	marks  map[proc.Mark]uint64

	trace    uint64
	traceBuf [64]byte
	digest   xxhash.Digest

	rec        recorder
	events     []Event
	eventCount int

	instant      time.Duration // of the latest step
	instantSteps int

	active *process // whose code is running
	err    error    // sticky: why the world stopped
}

const startKind = proc.Start

// New returns an empty world.
func New(cfg Config) *World {
	cfg.defaults()
	w := &World{
		cfg:   cfg,
		q:     newQueue(),
		ch:    newChooser(cfg.Seed, cfg.Strategy),
		names: map[string]proc.Addr{},
		marks: map[proc.Mark]uint64{},
		trace: cfg.Seed,
	}
	if s := cfg.Strategy; s.Kind == Replay {
		switch {
		case s.Log == nil:
			w.stop(&DivergenceError{Want: "no log", Got: "strategy replay"})
		case !s.Loose && s.Log.Seed != cfg.Seed:
			w.stop(&DivergenceError{Want: fmt.Sprintf("seed %d", s.Log.Seed), Got: fmt.Sprintf("seed %d", cfg.Seed)})
		}
	}
	return w
}

// Now returns the virtual time since the beginning.
func (w *World) Now() time.Duration { return w.now }

// Steps returns how many inputs were delivered.
func (w *World) Steps() uint64 { return w.steps }

// Pending returns how many inputs are waiting.
func (w *World) Pending() int { return w.q.used }

// Err returns why the world stopped, or nil.
func (w *World) Err() error { return w.err }

// Stream returns the random stream called name of the world's seed. Each call
// starts it anew.
func (w *World) Stream(name string) *rand.Rand { return Stream(w.cfg.Seed, name) }

// Stop ends the run: Run returns err, now and ever after. The first one counts.
func (w *World) Stop(err error) { w.stop(err) }

func (w *World) stop(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *World) limit(what string, limit uint64) {
	w.stop(&LimitError{What: what, Limit: limit, Step: w.steps, At: w.now})
}

// Marks returns how often each mark was reached.
func (w *World) Marks() map[proc.Mark]uint64 { return maps.Clone(w.marks) }

// Run delivers the inputs due by until and leaves the time there. Strategies do
// not look beyond until, so a run in two parts may differ from one in one.
func (w *World) Run(until time.Duration) error {
	for w.err == nil {
		if !w.next(until) {
			w.now = max(w.now, until)
			break
		}
	}
	return w.err
}

// RunUntil delivers inputs until holds is true, which it looks at before the
// first and after each, but none due after limit. It tells whether holds
// became true.
func (w *World) RunUntil(holds func() bool, limit time.Duration) (bool, error) {
	for w.err == nil {
		if holds() {
			return true, nil
		}
		if !w.next(limit) {
			w.now = max(w.now, limit)
			break
		}
	}
	return w.err == nil && holds(), w.err
}

// StepOnce delivers one input, after the callbacks due before it. It returns
// false when nothing is pending, or the world has stopped.
func (w *World) StepOnce() (bool, error) {
	ok := w.err == nil && w.next(timeMax-1)
	return ok && w.err == nil, w.err
}

// next delivers one input due by horizon, if there is one.
func (w *World) next(horizon time.Duration) (delivered bool) {
	defer w.catch()
	for w.err == nil {
		h := w.q.heap
		if at, ok := w.calls.first(); ok && (len(h) == 0 || at <= h[0].at) {
			if at > horizon {
				return false
			}
			w.call()
			continue
		}
		if len(h) == 0 || h[0].at > horizon {
			return false
		}
		if n := w.procs[w.q.slab[h[0].slot].target].node; n.paused {
			w.park(n, h[0].slot)
			continue
		}
		bound := min(h[0].at+w.cfg.Strategy.Slack, horizon)
		if at, ok := w.calls.first(); ok {
			bound = min(bound, at-1)
		}
		pos := w.choose(bound)
		if w.err != nil || w.exhausted(h[0].at) {
			return false
		}
		w.deliver(pos)
		return true
	}
	return false
}

// catch turns a panic of a process into the world's verdict. A panic of anyone
// else goes on.
func (w *World) catch() {
	p := w.active
	if p == nil {
		return
	}
	w.active = nil
	if v := recover(); v != nil {
		w.stop(&PanicError{Addr: p.addr, Name: p.name, Step: w.steps, Value: v, Stack: debug.Stack()})
	}
}

// blame stops the world for an effect that makes no sense, as if the process
// had panicked.
func (w *World) blame(p *process, what string) {
	w.stop(&PanicError{Addr: p.addr, Name: p.name, Step: w.steps, Value: what})
}

// exhausted tells whether one step more would go over a limit.
func (w *World) exhausted(at time.Duration) bool {
	l := &w.cfg.Limits
	if l.Steps > 0 && w.steps >= l.Steps {
		w.limit("steps", l.Steps)
		return true
	}
	if max(w.now, at) > w.instant {
		w.instant, w.instantSteps = max(w.now, at), 0
	}
	if w.instantSteps++; w.instantSteps > l.StepsPerInstant {
		w.limit("steps at one instant", uint64(l.StepsPerInstant))
		return true
	}
	return false
}

// deliver takes the input at a position of the heap, gives it to its process
// and carries out the effects.
func (w *World) deliver(pos int32) {
	slot := w.q.heap[pos].slot
	w.steps++
	if pos != 0 {
		w.decided(w.q.heap[pos].seq)
	}
	w.q.take(pos)
	e := w.q.slab[slot] // a copy: effects may move the slab
	p := w.procs[e.target]
	if e.channel != 0 {
		w.advance(p, e.channel)
	}
	w.q.release(slot)
	w.now = max(w.now, e.at)

	in, payload, ok := w.open(p, &e)
	if !ok {
		return
	}
	w.traceInput(p, &e, payload)
	out := &w.eff
	w.active = p
	p.machine.Step(p.node.clock.read(w.now), in, out)
	w.active = nil
	if e.kind == proc.Message && xxhash.Sum64(e.frame) != e.hash {
		w.stop(&SharingError{What: "frame", Sender: e.from, Receiver: p.addr, Step: w.steps, Held: true})
		return
	}
	w.carryOut(p, out)
	w.gauge(p)
	fault := out.Fault
	out.Reset()
	if fault != nil {
		w.halt(p, fault)
	}
}

// open makes the Input of an entry, and checks what was in the world's hands.
func (w *World) open(p *process, e *entry) (in proc.Input, payload uint64, ok bool) {
	in.Kind = e.kind
	switch e.kind {
	case proc.Start:
		p.started = true
	case proc.Message:
		if xxhash.Sum64(e.frame) != e.hash {
			w.stop(&SharingError{What: "frame", Sender: e.from, Receiver: p.addr, Step: w.steps})
			return in, 0, false
		}
		in.From, in.Peer, in.Frame = e.from, w.procs[e.sender].peer, e.frame
		payload = e.hash
	case proc.Reset:
		in.From = e.from
	case proc.Timer:
		delete(p.timers, proc.TimerID(e.id))
		if p.node.clock.mono(w.now) < int64(e.tick) {
			panic(fmt.Sprintf("sim: timer %d of %v is early", e.id, p.addr))
		}
		in.Timer = proc.TimerID(e.id)
	case proc.FileDone:
		if e.frame != nil && xxhash.Sum64(e.frame) != e.hash {
			w.stop(&SharingError{What: "data of a write", Sender: p.addr, Receiver: p.addr, Step: w.steps})
			return in, 0, false
		}
		r := p.storage.Files.Complete(e.ticket)
		in.Token, in.File, payload = proc.Token(e.id), &r, w.hashResult(&r)
	case proc.KVDone:
		if e.batch != nil && w.hashBatch(e.batch) != e.hash {
			w.stop(&SharingError{What: "batch", Sender: p.addr, Receiver: p.addr, Step: w.steps})
			return in, 0, false
		}
		r := p.storage.KV.Complete(e.ticket)
		in.Token, in.KV, payload = proc.Token(e.id), &r, w.hashKVResult(&r)
	}
	return in, payload, true
}
