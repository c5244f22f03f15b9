// Package proc is the host contract: what a process may ask of the host that
// runs it, and what the host owes it. It imports nothing but the storage
// contract, so that the simulator can run processes of any system.
//
// A Process is a state machine. It owns its state; its host calls Step with
// one Input at a time, and carries out the Effects that Step leaves behind. In
// Step there are no goroutines, no clocks, no ambient randomness, no files and
// no sockets.
//
// # What a host promises
//
// H1. Steps of one process never overlap, and each Input is delivered at most
// once. The first Input of an incarnation is of kind Start.
//
// H2. Effects are carried out in the order of their kind's list, after Step has
// returned.
//
// H3. Every File and KV effect is completed by exactly one Input with its
// token, in the order that package disk promises (F1, KVOp), unless the
// process's node crashes first. Completions may be late; a crash may lose both
// the completion and, as package disk says, the work.
//
// H4. A timer fires at or after its time, never before, and at most once per
// Set. Setting an id again replaces it. Timers run on monotonic time.
//
// H5. Frames may be lost, delayed, repeated and reordered, or arrive cut short
// (a connection broke in the middle). Bytes that do arrive whole are the bytes
// that were sent: damage in flight is the transport's to detect. The sender
// gives the frame away: it must not touch its bytes again. The receiver owns
// what it gets for reading only, since a repeated frame shares its bytes.
//
// H6. Peer is the authenticated identity of the sender, put there by the host
// and never by the sender.
//
// H7. Now.Mono never goes back within an incarnation and counts suspended
// time. Now.Wall is what the node's clock says: it may jump both ways.
//
// H8. After Halt the process gets no more Inputs; the host stops its node and
// reports the fault.
package proc

import (
	"fmt"
	"math/rand/v2"

	"actordb/disk"
)

// NodeID numbers a machine.
type NodeID uint32

// An Addr names a process: the node it runs on and its number there.
type Addr struct {
	Node NodeID
	Proc uint32
}

func (a Addr) String() string { return fmt.Sprintf("n%d.%d", a.Node, a.Proc) }

// Tick is monotonic time since the node booted, in nanoseconds.
type Tick int64

// Now is a reading of a node's two clocks.
type Now struct {
	Mono Tick  // monotonic, since boot
	Wall int64 // nanoseconds since 1970, as the node's clock believes
}

// TimerID names a timer of one process.
type TimerID uint64

// Token pairs an effect with its completion. The process chooses it.
type Token uint64

// Kind says what an Input is.
type Kind uint8

const (
	Start    Kind = iota + 1 // the first input of an incarnation
	Message                  // a frame from a peer
	Reset                    // the connection from From broke; frames may have been lost
	Timer                    // a timer fired
	FileDone                 // a file operation completed
	KVDone                   // a KV operation completed
)

var kindNames = [...]string{"?", "start", "message", "reset", "timer", "file", "kv"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// An Input is one thing that happened to a process. Fields that do not belong
// to its kind are zero.
type Input struct {
	Kind  Kind
	From  Addr           // Message, Reset
	Peer  string         // Message: identity of the sender (a SPIFFE id)
	Frame []byte         // Message
	Timer TimerID        // Timer
	Token Token          // FileDone, KVDone
	File  *disk.Result   // FileDone
	KV    *disk.KVResult // KVDone
}

// A Process is a deterministic state machine run by a host.
type Process interface {
	Step(now Now, in Input, out *Effects)
}

// Env is what a host gives a process when it creates an incarnation.
type Env struct {
	Self Addr
	Name string     // stable across incarnations, unique in its world
	Rand *rand.Rand // this incarnation's own stream
}

// A Mark names a place in the code that tests want to see reached.
type Mark string

// Send is a frame on its way out.
type Send struct {
	To    Addr
	Frame []byte
}

// TimerSet arms a timer, or disarms it when At is negative.
type TimerSet struct {
	ID TimerID
	At Tick
}

// FileOp is a file operation on its way out.
type FileOp struct {
	Token Token
	Op    disk.Op
}

// KVOp is a KV operation on its way out.
type KVOp struct {
	Token Token
	Op    disk.KVOp
}

// Effects collects what a Step wants done. The host owns it, passes it empty
// to each Step and reuses its slices.
type Effects struct {
	Sends  []Send
	Timers []TimerSet
	Files  []FileOp
	KVs    []KVOp
	Marks  []Mark
	Fault  error // not nil: halt the node
}

// Send hands a frame to the transport and gives up its bytes.
func (e *Effects) Send(to Addr, frame []byte) {
	e.Sends = append(e.Sends, Send{to, frame})
}

// SetTimer arms id for at, replacing an earlier setting.
func (e *Effects) SetTimer(id TimerID, at Tick) {
	e.Timers = append(e.Timers, TimerSet{id, at})
}

// CancelTimer disarms id.
func (e *Effects) CancelTimer(id TimerID) {
	e.Timers = append(e.Timers, TimerSet{id, -1})
}

// File submits a file operation.
func (e *Effects) File(t Token, op disk.Op) {
	e.Files = append(e.Files, FileOp{t, op})
}

// KV submits a KV operation.
func (e *Effects) KV(t Token, op disk.KVOp) {
	e.KVs = append(e.KVs, KVOp{t, op})
}

// Mark records that a place in the code was reached.
func (e *Effects) Mark(m Mark) { e.Marks = append(e.Marks, m) }

// Halt stops the node for a fault that it must not survive. The first one
// counts: the later ones are its consequences.
func (e *Effects) Halt(fault error) {
	if e.Fault == nil {
		e.Fault = fault
	}
}

// Reset empties e for the next Step and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Sends)
	clear(e.Files)
	clear(e.KVs)
	e.Sends, e.Timers, e.Files, e.KVs, e.Marks = e.Sends[:0], e.Timers[:0], e.Files[:0], e.KVs[:0], e.Marks[:0]
	e.Fault = nil
}

// A Queue tells how full a bounded queue of a process is.
type Queue struct {
	Name  string
	Len   int
	Limit int
}

// A Gauged process tells how full its queues are. Hosts export the figures;
// the simulator checks that Len never exceeds Limit.
type Gauged interface {
	Queues(dst []Queue) []Queue
}

// A Counter is how often something happened since the process began.
type Counter struct {
	Name  string // what, then a dot and which: commands.accepted
	Value uint64
}

// A Counted process tells what it has done. Hosts export the figures.
type Counted interface {
	Counters(dst []Counter) []Counter
}

// A Server is a process that is not always ready to serve.
type Server interface {
	Serving() bool
}
