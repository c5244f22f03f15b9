// Package host runs processes on a real machine: it keeps the host contract
// (package proc) with goroutines, files and clocks, as package sim keeps it with
// a queue and virtual time. internal/proctest judges both.
//
// Each process has one goroutine, which alone calls Step, and a mailbox. Inputs
// are handed over in batches: the goroutine takes all that is there. Files and
// KV operations run on a few workers per process; those of one name go to the
// same worker, so that they keep their order (disk F1).
//
//	N1  A mailbox holds at most MailboxInputs frames. A frame for a full one is
//	    dropped, as a network may (proc H5), and its sender is told by a Reset, so
//	    that it backs off. Completions and timers are never dropped: a process
//	    cannot have more of them than it asked for.
//	N2  When a process halts, or panics, its node stops: no process gets another
//	    input, workers finish what they have, and Wait returns the fault.
//	N3  Close lets no further input in, waits until each process has handled what
//	    it had and its files' operations have ended, and then returns.
package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"actordb/core/proc"
	"actordb/disk"
)

// Config of a node. Zero fields take defaults.
type Config struct {
	Node          proc.NodeID
	MailboxInputs int // frames that wait for one process
	FileWorkers   int // per process
	Clock         Clock
	// Remote carries frames to other nodes; nil: they are dropped.
	Remote Transport
	// Observe makes the observer of a process; nil: nobody watches.
	Observe func(process string) Observer
	// Seed makes the processes' streams. 0 in production: drawn from the system.
	Seed func() (uint64, uint64)
}

// A Transport carries frames between nodes. Send must not wait: what it cannot
// take it drops, and reports with Node.Broken.
type Transport interface {
	Send(from, to proc.Addr, frame []byte)
}

// A Clock is where time comes from: Mono counts suspended time and never goes
// back, Wall is the machine's idea of the date.
type Clock interface {
	Now() proc.Now
}

const (
	mailboxInputs = 4096
	fileWorkers   = 4
	batchInputs   = 256 // steps between two looks at the timers
)

// Storage is what a process may write to; nil fields: nothing.
type Storage struct {
	Files *disk.Executor
	KV    disk.KV
}

// A Node hosts the processes of one machine.
type Node struct {
	cfg     Config
	mu      sync.Mutex
	tasks   []*task
	stopped atomic.Bool
	fault   error
	done    chan struct{} // closed when the node has stopped for a fault or a Close
	running sync.WaitGroup
}

// New makes an empty node.
func New(cfg Config) (*Node, error) {
	if cfg.MailboxInputs == 0 {
		cfg.MailboxInputs = mailboxInputs
	}
	if cfg.FileWorkers == 0 {
		cfg.FileWorkers = fileWorkers
	}
	if cfg.Clock == nil {
		cfg.Clock = SystemClock()
	}
	if cfg.Seed == nil {
		cfg.Seed = systemSeed
	}
	if cfg.MailboxInputs < 1 || cfg.FileWorkers < 1 {
		return nil, errors.New("host: mailbox and workers must be positive")
	}
	return &Node{cfg: cfg, done: make(chan struct{})}, nil
}

// ErrStopped says that a node takes no more processes; Wait says why.
var ErrStopped = errors.New("host: the node has stopped")

// Spawn starts a process under the next number and returns its address. peer is
// the identity that receivers see.
func (n *Node) Spawn(name, peer string, storage Storage, factory func(proc.Env) proc.Process) (proc.Addr, error) {
	return n.SpawnAt(0, name, peer, storage, factory)
}

// numberMax bounds the numbers of processes.
const numberMax = 1 << 16

// SpawnAt is Spawn with a number of the caller's, which must be free; 0 is the next.
func (n *Node) SpawnAt(number uint32, name, peer string, storage Storage, factory func(proc.Env) proc.Process) (proc.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped.Load() {
		return proc.Addr{}, ErrStopped
	}
	if number == 0 {
		number = uint32(len(n.tasks) + 1)
	}
	if number > numberMax || int(number) <= len(n.tasks) && n.tasks[number-1] != nil {
		return proc.Addr{}, fmt.Errorf("host: number %d of process %q is taken, or over %d", number, name, numberMax)
	}
	addr := proc.Addr{Node: n.cfg.Node, Proc: number}
	a, b := n.cfg.Seed()
	t := &task{node: n, addr: addr, name: name, peer: peer, storage: storage, wake: make(chan struct{}, 1)}
	if n.cfg.Observe != nil {
		t.observer = n.cfg.Observe(name)
	}
	t.process = factory(proc.Env{Self: addr, Name: name, Rand: rand.New(rand.NewPCG(a, b))})
	t.startWorkers()
	for int(number) > len(n.tasks) {
		n.tasks = append(n.tasks, nil)
	}
	n.tasks[number-1] = t
	t.put(proc.Input{Kind: proc.Start})
	n.running.Add(1)
	go t.run()
	return addr, nil
}

func (n *Node) task(a proc.Addr) *task {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.Node != n.cfg.Node || a.Proc == 0 || int(a.Proc) > len(n.tasks) {
		return nil
	}
	return n.tasks[a.Proc-1]
}

// Deliver hands a frame that came from outside to a process. It reports false
// if the mailbox is full or the process unknown.
func (n *Node) Deliver(from proc.Addr, peer string, to proc.Addr, frame []byte) bool {
	t := n.task(to)
	return t != nil && t.offer(proc.Input{Kind: proc.Message, From: from, Peer: peer, Frame: frame})
}

// Broken tells a process that the connection to a peer broke.
func (n *Node) Broken(to, peer proc.Addr) {
	if t := n.task(to); t != nil {
		t.offer(proc.Input{Kind: proc.Reset, From: peer})
	}
}

// Queues returns how full the queues of a process are, its mailbox first.
func (n *Node) Queues(a proc.Addr) []proc.Queue {
	t := n.task(a)
	if t == nil {
		return nil
	}
	return t.queues()
}

// Stop ends the node at once for a fault, or in order if that is nil. The first
// call counts.
func (n *Node) Stop(fault error) {
	n.mu.Lock()
	if n.stopped.Load() {
		n.mu.Unlock()
		return
	}
	n.fault = fault
	n.stopped.Store(true)
	tasks := n.tasks
	n.mu.Unlock()
	close(n.done)
	for _, t := range tasks {
		if t != nil {
			t.signal()
		}
	}
}

// Done is closed when the node stops.
func (n *Node) Done() <-chan struct{} { return n.done }

// Wait returns when the node has stopped and everything in it has ended: the
// fault that stopped it, or nil after Close.
func (n *Node) Wait() error {
	<-n.done
	n.running.Wait()
	return n.fault
}

// Close stops the node in order and waits for it (N3).
func (n *Node) Close() error {
	n.Stop(nil)
	return n.Wait()
}

// A PanicError is a bug in a process: its node stopped.
type PanicError struct {
	Process string
	Value   any
	Stack   []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("process %s panicked: %v\n%s", e.Process, e.Value, e.Stack)
}
