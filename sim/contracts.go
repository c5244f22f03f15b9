package sim

import (
	"time"

	"actordb/core/proc"
	"actordb/disk"
)

// Files is the file store of one process. Submit takes an operation and says
// when it is to complete, counted from now; Complete, called once per ticket at
// that time or later, in the order of F1, returns its result; Crash settles all
// operations that were submitted and not completed, and forgets them.
type Files interface {
	Submit(op disk.Op) (ticket uint64, latency time.Duration)
	Complete(ticket uint64) disk.Result
	Crash(power bool)
}

// KV is the KV store of one process. Its methods are those of Files.
type KV interface {
	Submit(op disk.KVOp) (ticket uint64, latency time.Duration)
	Complete(ticket uint64) disk.KVResult
	Crash(power bool)
}

// Storage is what a process may write to. A nil field means that it has none,
// and an operation on it stops the world.
type Storage struct {
	Files Files
	KV    KV
}

// Outcome says what a Delivery is.
type Outcome uint8

const (
	Whole         Outcome = iota + 1 // the frame arrives
	Part                             // the first Keep bytes of the frame arrive
	Break                            // frames in flight between the two processes are lost, now
	ResetReceiver                    // the receiver is told that its connection broke
	ResetSender                      // the sender is told that its connection broke
)

// A Delivery is one consequence of sending a frame.
type Delivery struct {
	Outcome Outcome
	Ordered bool // Whole, Part: not before the ordered frames sent earlier from the same to the same
	Keep    int  // Part: bytes
	Delay   time.Duration
}

// A Network decides what becomes of a frame between nodes: it appends any
// number of deliveries to dst (none: the frame is lost). They are carried out in
// their order. Frames within a node do not come by.
type Network interface {
	Route(now time.Duration, from, to proc.Addr, size int, dst []Delivery) []Delivery
}

// A Healer is a Network, Files or KV that injects faults and can stop doing so.
type Healer interface{ Heal() }
