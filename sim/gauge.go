package sim

import (
	"cmp"
	"slices"
)

// High is how full a queue of a process ever was.
type High struct {
	Process string
	Queue   string
	Most    int
	Limit   int
}

// gauge looks at the queues of p after a step of it.
func (w *World) gauge(p *process) {
	if p.gauged == nil || w.cfg.GaugeEvery < 0 {
		return
	}
	if p.ungauged++; p.ungauged < w.cfg.GaugeEvery {
		return
	}
	p.ungauged = 0
	w.queues = p.gauged.Queues(w.queues[:0])
	for i := range w.queues {
		q := &w.queues[i]
		h := p.high(i, q.Name)
		h.Limit = q.Limit
		h.Most = max(h.Most, q.Len)
		if q.Len > q.Limit {
			w.stop(&QueueError{Addr: p.addr, Name: p.name, Queue: *q, Step: w.steps})
		}
	}
}

// high finds the record of a queue. Queues come in the same order each time, so
// it looks at place i first.
func (p *process) high(i int, name string) *High {
	if i < len(p.highs) && p.highs[i].Queue == name {
		return &p.highs[i]
	}
	for j := range p.highs {
		if p.highs[j].Queue == name {
			return &p.highs[j]
		}
	}
	p.highs = append(p.highs, High{Process: p.name, Queue: name})
	return &p.highs[len(p.highs)-1]
}

// HighWater returns the records of all queues, by process, then by queue.
func (w *World) HighWater() []High {
	var all []High
	for _, p := range w.procs {
		own := slices.Clone(p.highs)
		slices.SortFunc(own, func(a, b High) int { return cmp.Compare(a.Queue, b.Queue) })
		all = append(all, own...)
	}
	return all
}
