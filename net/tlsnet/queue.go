package tlsnet

import (
	"sync"
	"sync/atomic"

	"actordb/core/proc"
)

// budget bounds the bytes of several queues together.
type budget struct {
	used atomic.Int64
	max  int64
}

func (b *budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

// item is a message on its way out.
type item struct {
	head  header
	frame []byte
}

func (i *item) size() int64 { return int64(headerBytes + len(i.frame)) }

// queue is what waits for one peer. It outlives connections. What is being
// written still counts, so the bounds hold for all of it (T3).
type queue struct {
	node      proc.NodeID // of those who push
	framesMax int
	bytesMax  int64
	routesMax int
	shared    *budget // or nil

	wake chan struct{} // there is something to write
	room chan struct{} // there is room again

	mu     sync.Mutex
	items  []item
	frames int
	bytes  int64
	resets map[[2]uint32]struct{} // from, to: to be told to the peer
	sent   map[route]struct{}     // since the last loss
	last   route                  // in sent
}

func newQueue(node proc.NodeID, frames int, bytes int64, routes int, shared *budget) *queue {
	return &queue{
		node: node, framesMax: frames, bytesMax: bytes, routesMax: routes, shared: shared,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		resets: map[[2]uint32]struct{}{}, sent: map[route]struct{}{},
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is signalled already
	}
}

// push adds a frame, or says why it does not. A queue that is empty takes any
// frame.
func (q *queue) push(from proc.Addr, to uint32, frame []byte) Reason {
	it := item{header{uint32(len(frame)), kindFrame, from.Proc, to}, frame}
	r := route{from, to}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.frames >= q.framesMax || q.frames > 0 && q.bytes+it.size() > q.bytesMax {
		return QueueFull
	}
	if q.last != r {
		if _, ok := q.sent[r]; !ok && len(q.sent) >= q.routesMax {
			return RoutesFull
		}
		q.sent[r] = struct{}{}
		q.last = r
	}
	if !q.shared.take(it.size()) {
		return QueueFull
	}
	q.items = append(q.items, it)
	q.frames++
	q.bytes += it.size()
	signal(q.wake)
	return 0
}

// reset has the peer's process to told that frames from or to process from
// were lost. It reports false when too many wait.
func (q *queue) reset(from, to uint32) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.resets) >= q.routesMax {
		return false
	}
	q.resets[[2]uint32{from, to}] = struct{}{}
	signal(q.wake)
	return true
}

// take moves all that waits into batch, resets first.
func (q *queue) take(batch []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.resets) == 0 {
		batch, q.items = q.items, batch[:0]
		return batch
	}
	batch = batch[:0]
	for r := range q.resets {
		batch = append(batch, item{head: header{0, kindReset, r[0], r[1]}})
	}
	clear(q.resets)
	batch = append(batch, q.items...)
	clear(q.items)
	q.items = q.items[:0]
	return batch
}

// done gives back the room of frames that were taken.
func (q *queue) done(frames int, bytes int64) {
	if frames == 0 {
		return
	}
	q.mu.Lock()
	q.frames -= frames
	q.bytes -= bytes
	q.mu.Unlock()
	q.shared.give(bytes)
	signal(q.room)
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) == 0 && len(q.resets) == 0
}

// lost returns whom a loss concerns, and forgets them. With drop the frames
// that wait are lost too, dropped is how many.
func (q *queue) lost(drop bool) (dropped int, sent map[route]struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if drop {
		for i := range q.items {
			q.frames--
			q.bytes -= q.items[i].size()
			q.shared.give(q.items[i].size())
		}
		dropped = len(q.items)
		q.items = nil
		clear(q.resets)
	}
	sent = q.sent
	q.sent, q.last = map[route]struct{}{}, route{}
	for i := range q.items { // what still waits may yet be lost with the next connection
		h := &q.items[i].head
		q.sent[route{proc.Addr{Node: q.node, Proc: h.from}, h.to}] = struct{}{}
	}
	return dropped, sent
}
