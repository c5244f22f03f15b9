package sim

import "time"

// calls are the scheduled callbacks, a binary heap by time, then by age. They
// are apart from the inputs since no strategy may move them (S9).
type calls struct{ heap []call }

type call struct {
	at   time.Duration
	seq  uint64
	name string
	run  func()
}

func (a *call) before(b *call) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (c *calls) first() (time.Duration, bool) {
	if len(c.heap) == 0 {
		return 0, false
	}
	return c.heap[0].at, true
}

func (c *calls) push(x call) {
	c.heap = append(c.heap, x)
	for i := len(c.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !c.heap[i].before(&c.heap[parent]) {
			break
		}
		c.heap[i], c.heap[parent] = c.heap[parent], c.heap[i]
		i = parent
	}
}

func (c *calls) pop() call {
	h := c.heap
	top, n := h[0], len(h)-1
	h[0], h[n] = h[n], call{}
	c.heap = h[:n]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < n; child++ {
			if h[child].before(&h[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// At schedules a callback, at once if t has passed. Its name goes into the
// trace. A callback may do anything to the world but run it.
func (w *World) At(t time.Duration, name string, run func()) {
	if len(w.calls.heap) >= w.cfg.Limits.Pending {
		w.limit("pending callbacks", uint64(w.cfg.Limits.Pending))
		return
	}
	w.seq++
	w.calls.push(call{max(t, w.now), w.seq, name, run})
}

// After is At, counted from now.
func (w *World) After(d time.Duration, name string, run func()) { w.At(w.now+d, name, run) }

func (w *World) call() {
	c := w.calls.pop()
	w.now = max(w.now, c.at)
	w.event(c.name)
	c.run()
}
