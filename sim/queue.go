package sim

import (
	"slices"
	"time"

	"actordb/core/proc"
	"actordb/disk"
)

// An entry is a pending input. Entries live in one slab and are named by their
// slot, so that the scheduler allocates nothing once the slab has grown.
type entry struct {
	at      time.Duration
	seq     uint64 // unique in the world, ascending
	frame   []byte // Message: the frame. FileDone: data of the write
	batch   *disk.Batch
	hash    uint64 // of frame or batch when the world took it
	id      uint64 // timer or token
	ticket  uint64 // FileDone, KVDone
	channel uint64 // S3; 0: in none
	tick    proc.Tick
	from    proc.Addr
	sender  int32 // Message: index of the sending process
	target  int32 // index of the process
	pos     int32 // in the heap, or a place below
	next    int32 // in the channel, or in the free list
	kind    proc.Kind
}

const (
	none      = -1 // no slot
	inWaiting = -2 // behind the head of its channel
	inParking = -3 // for a paused node
)

// A key orders the heap: by due time, then by age.
type key struct {
	at   time.Duration
	seq  uint64
	slot int32
}

func (a key) before(b key) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// queue is a 4-ary heap of keys over the slab of entries. Entries know their
// position, so any of them can be taken out or moved.
type queue struct {
	heap []key
	slab []entry
	free int32
	used int
}

func newQueue() queue { return queue{free: none} }

// alloc returns a slot. Its entry holds garbage: the caller assigns it whole.
func (q *queue) alloc() int32 {
	q.used++
	if q.free != none {
		s := q.free
		q.free = q.slab[s].next
		return s
	}
	q.slab = append(q.slab, entry{})
	return int32(len(q.slab) - 1)
}

func (q *queue) release(slot int32) {
	q.slab[slot] = entry{next: q.free, pos: none} // lets go of the frame, too
	q.free = slot
	q.used--
}

func (q *queue) push(slot int32) {
	e := &q.slab[slot]
	q.heap = append(q.heap, key{})
	q.up(len(q.heap)-1, key{e.at, e.seq, slot})
}

// take removes the key at position i of the heap. The entry stays.
func (q *queue) take(i int32) {
	q.slab[q.heap[i].slot].pos = none
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap = q.heap[:n]
	if int(i) < n {
		q.settle(int(i), last)
	}
}

// fix restores the order after the entry in slot got another time.
func (q *queue) fix(slot int32) {
	e := &q.slab[slot]
	q.settle(int(e.pos), key{e.at, e.seq, slot})
}

func (q *queue) settle(i int, k key) {
	if i > 0 && k.before(q.heap[(i-1)/4]) {
		q.up(i, k)
	} else {
		q.down(i, k)
	}
}

func (q *queue) up(i int, k key) {
	for i > 0 {
		parent := (i - 1) / 4
		if !k.before(q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, k)
}

func (q *queue) down(i int, k key) {
	h := q.heap
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(k) {
			break
		}
		q.put(i, h[least])
		i = least
	}
	q.put(i, k)
}

func (q *queue) put(i int, k key) {
	q.heap[i] = k
	q.slab[k.slot].pos = int32(i)
}

// A channel is a chain of entries of one process that are delivered in order.
// Only its head is in the heap, so a strategy cannot but respect it.
type channel struct {
	key        uint64
	head, tail int32
}

// Channels are few per process, and a collision of keys merely orders two of
// them: hence a list, searched by a number.
func (p *process) channelOf(key uint64) int {
	for i := range p.channels {
		if p.channels[i].key == key {
			return i
		}
	}
	return none
}

// enqueue makes the entry in slot pending, in its channel if it has one.
func (w *World) enqueue(slot int32) {
	if w.q.used > w.cfg.Limits.Pending {
		w.limit("pending inputs", uint64(w.cfg.Limits.Pending))
	}
	e := &w.q.slab[slot]
	if e.channel == 0 {
		w.q.push(slot)
		return
	}
	p := w.procs[e.target]
	i := p.channelOf(e.channel)
	if i == none {
		p.channels = append(p.channels, channel{e.channel, slot, slot})
		w.q.push(slot)
		return
	}
	c := &p.channels[i]
	tail := &w.q.slab[c.tail]
	tail.next = slot
	e.at = max(e.at, tail.at)
	e.pos = inWaiting
	c.tail = slot
}

// advance lets the next entry of a channel take the place of its head.
func (w *World) advance(p *process, key uint64) {
	i := p.channelOf(key)
	c := &p.channels[i]
	next := w.q.slab[c.head].next
	if next == none {
		last := len(p.channels) - 1
		p.channels[i] = p.channels[last]
		p.channels = p.channels[:last]
		return
	}
	c.head = next
	w.q.push(next)
}

// purge drops the pending inputs for which drop holds, wherever they are. It
// goes through the slab, which is slow and rare.
func (w *World) purge(drop func(e *entry) bool) {
	for i := range w.q.slab {
		slot, e := int32(i), &w.q.slab[i]
		if e.kind == 0 || !drop(e) {
			continue
		}
		p := w.procs[e.target]
		if e.kind == proc.Timer {
			delete(p.timers, proc.TimerID(e.id))
		}
		switch {
		case e.pos >= 0:
			w.q.take(e.pos)
			if e.channel != 0 {
				w.advance(p, e.channel)
			}
		case e.pos == inParking:
			if e.channel != 0 {
				w.advance(p, e.channel)
			}
		case e.pos == inWaiting:
			w.unchain(p, slot)
		}
		w.q.release(slot)
	}
	for _, n := range w.nodes {
		n.parked = slices.DeleteFunc(n.parked, func(slot int32) bool { return w.q.slab[slot].pos != inParking })
	}
}

// unchain takes slot out of its channel, of which it is not the head.
func (w *World) unchain(p *process, slot int32) {
	c := &p.channels[p.channelOf(w.q.slab[slot].channel)]
	prev := c.head
	for w.q.slab[prev].next != slot {
		prev = w.q.slab[prev].next
	}
	w.q.slab[prev].next = w.q.slab[slot].next
	if c.tail == slot {
		c.tail = prev
	}
}
