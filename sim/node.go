package sim

import (
	"fmt"
	"slices"
	"time"

	"actordb/core/proc"
)

// A node is a machine: a pair of clocks and some processes.
type node struct {
	id     proc.NodeID
	config ClockConfig
	clock  clock
	procs  []*process // in the order in which they were spawned
	at     []*process // by number, from 1
	down   bool       // crashed and not restarted
	dark   bool       // without power, so that the next restart is a boot
	paused bool
	until  time.Duration // end of the pause
	parked []int32       // slots of inputs that came due during the pause
}

// A process is a place for incarnations of one state machine.
type process struct {
	addr    proc.Addr
	index   int32
	node    *node
	name    string
	peer    string
	storage Storage
	factory func(proc.Env) proc.Process

	machine     proc.Process // of the running incarnation, or of the last
	gauged      proc.Gauged  // machine, if it is one
	incarnation uint32
	running     bool
	started     bool // Start has been delivered
	priority    uint64
	timers      map[proc.TimerID]int32
	channels    []channel
	ungauged    int
	highs       []High
}

// AddNode adds a node and starts its clocks.
func (w *World) AddNode(c ClockConfig) proc.NodeID {
	checkRate(c.DriftPPM)
	n := &node{id: proc.NodeID(len(w.nodes) + 1), config: c}
	n.clock = clock{anchor: w.now, ppm: c.DriftPPM, ahead: w.trueWall() + int64(c.Offset)}
	w.nodes = append(w.nodes, n)
	return n.id
}

func (w *World) trueWall() int64 { return w.cfg.Epoch + int64(w.now) }

// Spawn adds a process to a node, under the next number, and starts it. name must
// be unique in the world; peerIdentity is what receivers see as Input.Peer;
// factory makes each of its incarnations.
func (w *World) Spawn(id proc.NodeID, name, peerIdentity string, storage Storage, factory func(proc.Env) proc.Process) proc.Addr {
	next := uint32(len(w.node(id).at) + 1)
	return w.SpawnAt(proc.Addr{Node: id, Proc: next}, name, peerIdentity, storage, factory)
}

// numberMax bounds the numbers of a node's processes.
const numberMax = 1 << 16

// SpawnAt is Spawn with an address of the caller's. Processes start, at first and
// with their node, in the order in which they were spawned.
func (w *World) SpawnAt(addr proc.Addr, name, peerIdentity string, storage Storage, factory func(proc.Env) proc.Process) proc.Addr {
	n := w.node(addr.Node)
	for addr.Proc <= numberMax && addr.Proc > uint32(len(n.at)) {
		n.at = append(n.at, nil)
	}
	if addr.Proc == 0 || addr.Proc > numberMax || n.at[addr.Proc-1] != nil {
		panic(fmt.Sprintf("sim: %v cannot be the address of %q", addr, name))
	}
	if _, taken := w.names[name]; taken {
		panic(fmt.Sprintf("sim: a process is called %q already", name))
	}
	p := &process{
		addr:     addr,
		index:    int32(len(w.procs)),
		node:     n,
		name:     name,
		peer:     peerIdentity,
		storage:  storage,
		factory:  factory,
		priority: w.ch.priority(),
		timers:   map[proc.TimerID]int32{},
	}
	w.names[name] = p.addr
	n.procs = append(n.procs, p)
	n.at[addr.Proc-1] = p
	w.procs = append(w.procs, p)
	w.event(fmt.Sprintf("spawn %v %s", p.addr, name))
	if !n.down {
		w.start(p)
	}
	return p.addr
}

// start makes a new incarnation. Restart may be called from outside of Run,
// where nobody catches a factory's panic; it then goes to the caller.
func (w *World) start(p *process) {
	p.incarnation++
	p.running, p.started = true, false
	outer := w.active
	w.active = p
	p.machine = p.factory(proc.Env{Self: p.addr, Name: p.name, Rand: incarnationStream(w.cfg.Seed, p.name, p.incarnation)})
	w.active = outer
	p.gauged, _ = p.machine.(proc.Gauged)
	w.add(entry{at: w.now, kind: proc.Start, target: p.index})
}

// stopProcess ends the incarnation of p and voids what is pending for it (S5).
func (w *World) stopProcess(p *process, power bool) {
	if p.running {
		p.running, p.started = false, false
		w.purge(func(e *entry) bool { return e.target == p.index })
	}
	// A power loss also takes what an earlier crash left in the page cache.
	if p.storage.Files != nil {
		p.storage.Files.Crash(power)
	}
	if p.storage.KV != nil {
		p.storage.KV.Crash(power)
	}
}

// Crash stops all processes of a node: with power set the machine goes dark,
// else only the processes die and the system under them lives on. The
// monotonic clock starts anew after a power loss alone.
func (w *World) Crash(id proc.NodeID, power bool) {
	n := w.node(id)
	if power {
		w.event(fmt.Sprintf("n%d loses power", id))
	} else {
		w.event(fmt.Sprintf("n%d crashes", id))
	}
	n.down = true
	n.dark = n.dark || power
	for _, p := range n.procs {
		w.stopProcess(p, power)
	}
	n.paused = false
}

// CrashProc stops one process. Its node lives on.
func (w *World) CrashProc(a proc.Addr) {
	w.event(fmt.Sprintf("%v crashes", a))
	w.stopProcess(w.process(a), false)
}

// Restart starts a new incarnation of every process of the node that is not
// running.
func (w *World) Restart(id proc.NodeID) {
	n := w.node(id)
	w.event(fmt.Sprintf("n%d restarts", id))
	if n.dark {
		n.clock.reboot(w.now)
	}
	n.down, n.dark = false, false
	for _, p := range n.procs {
		if !p.running {
			w.start(p)
		}
	}
}

// RestartProc starts a new incarnation of a process that is not running. It
// does nothing while the node is down.
func (w *World) RestartProc(a proc.Addr) {
	p := w.process(a)
	w.event(fmt.Sprintf("%v restarts", a))
	if !p.running && !p.node.down {
		w.start(p)
	}
}

func (w *World) halt(p *process, fault error) {
	w.event(fmt.Sprintf("%v halts: %v", p.addr, fault))
	w.Crash(p.node.id, false)
	if w.cfg.OnHalt != nil {
		w.cfg.OnHalt(p.addr, fault)
	}
}

// Pause holds back the inputs of a node until a time, or longer if it is
// already paused for longer. Its clocks go on.
func (w *World) Pause(id proc.NodeID, until time.Duration) {
	n := w.node(id)
	if n.down || until <= w.now || n.paused && until <= n.until {
		return
	}
	n.paused, n.until = true, until
	w.event(fmt.Sprintf("n%d pauses until %v", id, until))
	w.At(until, fmt.Sprintf("n%d pause ends", id), func() {
		if n.paused && n.until == until {
			w.resume(n)
		}
	})
}

// Resume ends the pause of a node.
func (w *World) Resume(id proc.NodeID) {
	n := w.node(id)
	w.event(fmt.Sprintf("n%d resumes", id))
	w.resume(n)
}

// resume puts the parked inputs back. They keep their due times, which have
// passed, and so stand in order before everything else.
func (w *World) resume(n *node) {
	n.paused = false
	for _, slot := range n.parked {
		w.q.push(slot)
	}
	n.parked = n.parked[:0]
}

// park takes the earliest input, which is for a paused node, aside. It stays
// the head of its channel.
func (w *World) park(n *node, slot int32) {
	w.q.take(0)
	w.q.slab[slot].pos = inParking
	n.parked = append(n.parked, slot)
}

// Heal ends all faults that the world, its network and its storage know of, to
// begin a phase in which the system has to make progress: pauses end, clocks
// keep to their configuration again, what is down is restarted.
func (w *World) Heal() {
	w.event("heal")
	if h, ok := w.cfg.Network.(Healer); ok {
		h.Heal()
	}
	for _, p := range w.procs {
		if h, ok := p.storage.Files.(Healer); ok {
			h.Heal()
		}
		if h, ok := p.storage.KV.(Healer); ok {
			h.Heal()
		}
	}
	for _, n := range w.nodes {
		w.healNode(n)
	}
}

func (w *World) healNode(n *node) {
	if n.paused {
		w.resume(n)
	}
	n.clock.setRate(w.now, n.config.DriftPPM)
	w.retime(n)
	n.clock.frozen = false
	n.clock.ahead = w.trueWall() + int64(n.config.Offset) - n.clock.mono(w.now)
	if n.down || slices.ContainsFunc(n.procs, func(p *process) bool { return !p.running }) {
		w.Restart(n.id)
	}
}

func (w *World) node(id proc.NodeID) *node {
	if id == 0 || int(id) > len(w.nodes) {
		panic(fmt.Sprintf("sim: there is no node %d", id))
	}
	return w.nodes[id-1]
}

// lookup returns the process at an address, or nil.
func (w *World) lookup(a proc.Addr) *process {
	if a.Node-1 >= proc.NodeID(len(w.nodes)) {
		return nil
	}
	at := w.nodes[a.Node-1].at
	if a.Proc-1 >= uint32(len(at)) {
		return nil
	}
	return at[a.Proc-1]
}

func (w *World) process(a proc.Addr) *process {
	p := w.lookup(a)
	if p == nil {
		panic(fmt.Sprintf("sim: there is no process %v", a))
	}
	return p
}

// Lookup returns the address of the process called name.
func (w *World) Lookup(name string) (proc.Addr, bool) {
	a, ok := w.names[name]
	return a, ok
}

// Name returns the name of a process.
func (w *World) Name(a proc.Addr) string { return w.process(a).name }

// Process returns the state machine of a process, for checkers to look at: the
// running incarnation, or the last one.
func (w *World) Process(a proc.Addr) proc.Process { return w.process(a).machine }

// Nodes returns how many nodes there are; they are numbered from 1.
func (w *World) Nodes() int { return len(w.nodes) }

// Up tells whether the node has not crashed, or has been restarted since.
func (w *World) Up(id proc.NodeID) bool { return !w.node(id).down }

// Paused tells whether the node is paused.
func (w *World) Paused(id proc.NodeID) bool { return w.node(id).paused }

// Running tells whether the process runs.
func (w *World) Running(a proc.Addr) bool { return w.process(a).running }

// Incarnation counts the starts of a process.
func (w *World) Incarnation(a proc.Addr) uint32 { return w.process(a).incarnation }
