package host

import (
	"slices"
	"time"

	"actordb/core/proc"
	"actordb/disk"
)

// An Observer is told what a process does. Step, Mark and Dropped come from the
// process's goroutine, File and KV from its workers, several at once. None may wait.
type Observer interface {
	Step(kind proc.Kind, took time.Duration)
	Mark(m proc.Mark)
	// Dropped is a frame of this process for another one whose mailbox was full.
	Dropped()
	File(op *disk.Op, res *disk.Result, took time.Duration)
	KV(kind disk.KVKind, err error, took time.Duration)
}

// A Report is what a process said of itself after its last step.
type Report struct {
	Process  string
	Addr     proc.Addr
	Serving  bool // it takes part; see proc.Server
	Queues   []proc.Queue
	Counters []proc.Counter
}

// Reports asks all processes, in the order of their numbers.
func (n *Node) Reports() (list []Report) {
	n.mu.Lock()
	tasks := slices.Clone(n.tasks)
	n.mu.Unlock()
	for _, t := range tasks {
		if t == nil {
			continue
		}
		r := Report{Process: t.name, Addr: t.addr, Queues: t.queues()}
		t.mu.Lock()
		r.Serving, r.Counters = t.serving, slices.Clone(t.counters)
		t.mu.Unlock()
		list = append(list, r)
	}
	return list
}
