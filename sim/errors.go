package sim

import (
	"fmt"
	"time"

	"actordb/core/proc"
)

// A PanicError is a panic in a Step, or in a factory: a bug of the process.
type PanicError struct {
	Addr  proc.Addr
	Name  string
	Step  uint64
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("step %d: %v (%s) panicked: %v", e.Step, e.Addr, e.Name, e.Value)
}

// Unwrap returns what was thrown, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// A SharingError says that bytes changed while they belonged to someone else
// (S6): a bug of the sender, or, with Held set, of the receiver.
type SharingError struct {
	What     string // "frame", "data of a write", "batch"
	Sender   proc.Addr
	Receiver proc.Addr // of a frame; else equal to Sender
	Step     uint64    // at which the change was found
	Held     bool      // changed by the Step that received it
}

func (e *SharingError) Error() string {
	if e.Held {
		return fmt.Sprintf("step %d: %v changed a %s that %v sent it and that it may only read", e.Step, e.Receiver, e.What, e.Sender)
	}
	return fmt.Sprintf("step %d: %s from %v to %v was changed after it had been given away", e.Step, e.What, e.Sender, e.Receiver)
}

// A LimitError says which limit of the world was reached.
type LimitError struct {
	What  string
	Limit uint64
	Step  uint64
	At    time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("step %d at %v: limit of %d %s reached", e.Step, e.At, e.Limit, e.What)
}

// A QueueError says that a process let one of its queues outgrow its limit.
type QueueError struct {
	Addr  proc.Addr
	Name  string
	Queue proc.Queue
	Step  uint64
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("step %d: queue %s of %v (%s) holds %d, limit %d", e.Step, e.Queue.Name, e.Addr, e.Name, e.Queue.Len, e.Queue.Limit)
}

// A DivergenceError says that a replay did not follow its Log.
type DivergenceError struct {
	Step uint64
	Want string
	Got  string
}

func (e *DivergenceError) Error() string {
	return fmt.Sprintf("step %d: the replay diverged: the log has %s, the run has %s", e.Step, e.Want, e.Got)
}
