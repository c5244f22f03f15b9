package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug" //arch:allow ambient: the stack of a panic goes into its report, never into the run
	"slices"
	"strconv"
	"time"

	"actordb/core/proc"
	"actordb/disk"

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

// Run delivers the inputs due by until and leaves the time there.
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

// carryOut turns effects into pending inputs, in the order of H2.
func (w *World) carryOut(p *process, out *proc.Effects) {
	for i := range out.Sends {
		w.send(p, out.Sends[i].To, out.Sends[i].Frame)
	}
	for _, t := range out.Timers {
		w.setTimer(p, t.ID, t.At)
	}
	for i := range out.Files {
		w.submitFile(p, &out.Files[i])
	}
	for i := range out.KVs {
		w.submitKV(p, &out.KVs[i])
	}
	for _, m := range out.Marks {
		w.marks[m]++
	}
}

// add makes an entry pending. It sets the number and, through enqueue, the place.
func (w *World) add(e entry) int32 {
	w.seq++
	e.seq, e.next, e.pos = w.seq, none, none
	slot := w.q.alloc()
	w.q.slab[slot] = e
	w.enqueue(slot)
	return slot
}

// Keys of channels: the top two bits tell the classes apart.
const (
	frameChannel uint64 = 1 << 62
	fileChannel  uint64 = 2 << 62
	kvChannel    uint64 = 3 << 62
	channelMask  uint64 = 1<<62 - 1
)

func frameChannelOf(sender *process) uint64 { return frameChannel | uint64(sender.index) }

// fileChannelOf orders operations as F1 does. Operations on the directory have
// a channel of their own, as directories of hosts have.
func fileChannelOf(op *disk.Op) uint64 {
	switch op.Kind {
	case disk.OpList, disk.OpSyncDir, disk.OpRename, disk.OpRemove:
		return fileChannel
	}
	return fileChannel | xxhash.Sum64String(op.Name)&channelMask
}

func (w *World) send(p *process, to proc.Addr, frame []byte) {
	target := w.lookup(to)
	if target == nil {
		w.blame(p, fmt.Sprintf("frame sent to %v, which does not exist", to))
		return
	}
	frame = frame[:len(frame):len(frame)] // an append by the receiver must not reach the sender's bytes
	e := entry{
		kind: proc.Message, target: target.index, from: p.addr, sender: p.index, frame: frame,
	}
	if target.node == p.node {
		if target.running {
			e.at, e.channel, e.hash = w.now+w.cfg.LocalDelay, frameChannelOf(p), xxhash.Sum64(frame)
			w.add(e)
		}
		return
	}
	if w.cfg.Network == nil {
		w.route = append(w.route[:0], Delivery{Outcome: Whole, Ordered: true, Delay: linkDelayDefault})
	} else {
		w.route = w.cfg.Network.Route(w.now, p.addr, to, len(frame), w.route[:0])
	}
	for i := range w.route {
		w.consequence(&w.route[i], p, target, e)
	}
}

// consequence carries out one Delivery of the frame in e.
func (w *World) consequence(d *Delivery, p, target *process, e entry) {
	e.at = w.now + max(d.Delay, 0)
	switch d.Outcome {
	case Part:
		e.frame = e.frame[:min(d.Keep, len(e.frame)):min(d.Keep, len(e.frame))]
	case Break:
		w.purge(func(x *entry) bool {
			return x.kind == proc.Message && (x.sender == p.index && x.target == target.index || x.sender == target.index && x.target == p.index)
		})
		return
	case ResetReceiver:
		w.addReset(e.at, target, p)
		return
	case ResetSender:
		w.addReset(e.at, p, target)
		return
	}
	if !target.running {
		return
	}
	if d.Ordered {
		e.channel = frameChannelOf(p)
	}
	e.hash = xxhash.Sum64(e.frame)
	w.add(e)
}

func (w *World) addReset(at time.Duration, target, from *process) {
	if target.running {
		w.add(entry{at: at, kind: proc.Reset, target: target.index, from: from.addr, sender: from.index})
	}
}

func (w *World) setTimer(p *process, id proc.TimerID, at proc.Tick) {
	if slot, ok := p.timers[id]; ok {
		if at >= 0 { // reuse the entry: the commonest thing done to a timer
			w.seq++
			e := &w.q.slab[slot]
			e.seq, e.tick = w.seq, at
			e.at = p.node.clock.due(w.now, int64(at))
			w.q.fix(slot)
			return
		}
		w.q.take(w.q.slab[slot].pos)
		w.q.release(slot)
		delete(p.timers, id)
		return
	}
	if at >= 0 {
		p.timers[id] = w.add(entry{
			at: p.node.clock.due(w.now, int64(at)), kind: proc.Timer, target: p.index, id: uint64(id), tick: at,
		})
	}
}

func (w *World) submitFile(p *process, f *proc.FileOp) {
	if p.storage.Files == nil {
		w.blame(p, "file operation of a process without files")
		return
	}
	e := entry{kind: proc.FileDone, target: p.index, id: uint64(f.Token), channel: fileChannelOf(&f.Op)}
	if f.Op.Kind == disk.OpWrite {
		e.frame, e.hash = f.Op.Data, xxhash.Sum64(f.Op.Data)
	}
	ticket, latency := p.storage.Files.Submit(f.Op)
	e.ticket, e.at = ticket, w.now+max(latency, 0)
	w.add(e)
}

func (w *World) submitKV(p *process, k *proc.KVOp) {
	if p.storage.KV == nil {
		w.blame(p, "KV operation of a process without a KV")
		return
	}
	e := entry{kind: proc.KVDone, target: p.index, id: uint64(k.Token), channel: kvChannel}
	if k.Op.Batch != nil {
		e.batch, e.hash = k.Op.Batch, w.hashBatch(k.Op.Batch)
	}
	ticket, latency := p.storage.KV.Submit(k.Op)
	e.ticket, e.at = ticket, w.now+max(latency, 0)
	w.add(e)
}

// High is how full a queue of a process ever was.
type High struct {
	Process string
	Queue   string
	Most    int
	Limit   int
}

// gauge looks at the queues of p after a step of it.
func (w *World) gauge(p *process) {
	if p.gauged == nil || w.cfg.GaugeEvery < 0 {
		return
	}
	if p.ungauged++; p.ungauged < w.cfg.GaugeEvery {
		return
	}
	p.ungauged = 0
	w.queues = p.gauged.Queues(w.queues[:0])
	for i := range w.queues {
		q := &w.queues[i]
		h := p.high(i, q.Name)
		h.Limit = q.Limit
		h.Most = max(h.Most, q.Len)
		if q.Len > q.Limit {
			w.stop(&QueueError{Addr: p.addr, Name: p.name, Queue: *q, Step: w.steps})
		}
	}
}

// high finds the record of a queue. Queues come in the same order each time, so
// it looks at place i first.
func (p *process) high(i int, name string) *High {
	if i < len(p.highs) && p.highs[i].Queue == name {
		return &p.highs[i]
	}
	for j := range p.highs {
		if p.highs[j].Queue == name {
			return &p.highs[j]
		}
	}
	p.highs = append(p.highs, High{Process: p.name, Queue: name})
	return &p.highs[len(p.highs)-1]
}

// HighWater returns the records of all queues, by process, then by queue.
func (w *World) HighWater() []High {
	var all []High
	for _, p := range w.procs {
		own := slices.Clone(p.highs)
		slices.SortFunc(own, func(a, b High) int {
			if a.Queue < b.Queue {
				return -1
			}
			return 1
		})
		all = append(all, own...)
	}
	return all
}

func incarnationStream(seed uint64, name string, incarnation uint32) *rand.Rand {
	return Stream(seed, "process/"+name+"/"+strconv.FormatUint(uint64(incarnation), 10))
}
