package host

import (
	"container/heap"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"actordb/core/proc"
)

var errNoStorage = errors.New("the process has no such storage")

// systemClock reads CLOCK_BOOTTIME, which counts the time that a machine sleeps.
type systemClock struct{}

// SystemClock is the machine's.
func SystemClock() Clock { return systemClock{} }

func (systemClock) Now() proc.Now {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // Linux has had it since 2.6.39
	}
	return proc.Now{Mono: proc.Tick(ts.Nano()), Wall: time.Now().UnixNano()}
}

// systemSeed seeds a stream from the system's randomness.
func systemSeed() (uint64, uint64) {
	var b [16]byte
	if _, err := crand.Read(b[:]); err != nil {
		panic(err) // documented never to happen
	}
	return binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
}

func panicked(name string, v any) error {
	if v == nil {
		return nil
	}
	return &PanicError{Process: name, Value: v, Stack: debug.Stack()}
}

// timers are a process's, by time; a set replaces the earlier one of its id.
type timers struct {
	heap timerHeap
	at   map[proc.TimerID]proc.Tick
}

type timerEntry struct {
	id proc.TimerID
	at proc.Tick
}

type timerHeap []timerEntry

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timerEntry)) }
func (h *timerHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (t *timers) set(id proc.TimerID, at proc.Tick) {
	if t.at == nil {
		t.at = make(map[proc.TimerID]proc.Tick)
	}
	t.at[id] = at
	heap.Push(&t.heap, timerEntry{id, at})
}

func (t *timers) cancel(id proc.TimerID) { delete(t.at, id) }

// next is the earliest timer that stands. Entries that were replaced or
// cancelled fall out here.
func (t *timers) next() (proc.TimerID, proc.Tick, bool) {
	for len(t.heap) > 0 {
		e := t.heap[0]
		if at, ok := t.at[e.id]; ok && at == e.at {
			return e.id, e.at, true
		}
		heap.Pop(&t.heap)
	}
	return 0, 0, false
}
