package main

import (
	"context"
	"sync"

	"actordb/internal/load"
)

// groups lets a few workers each take all events that wait, up to groupMax, and
// write them at once: the batching that ActorDB's client and shards do by themselves.
type groups struct {
	store    store
	contest  *contest
	versions []int64 // of each stream, its slot's own
	ctx      context.Context
	cancel   context.CancelFunc
	ended    sync.WaitGroup

	mu      sync.Mutex
	some    sync.Cond
	over    bool
	waiting []waiting
}

type waiting struct {
	event event
	slot  *load.Slot
}

const groupMax = 4096

func newGroups(s store, c *contest) *groups {
	g := &groups{store: s, contest: c, versions: make([]int64, c.streams)}
	g.some.L = &g.mu
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for range c.workers {
		g.ended.Go(g.work)
	}
	return g
}

// stop ends the workers. Nothing is sent any more.
func (g *groups) stop() {
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
	g.some.Broadcast()
	g.ended.Wait()
	g.cancel()
}

func (g *groups) drive(s *load.Slot) func() {
	next := s.Turns(g.contest.streams)
	return func() {
		stream := next()
		g.versions[stream]++
		g.mu.Lock()
		g.waiting = append(g.waiting, waiting{event{stream, g.versions[stream]}, s})
		g.mu.Unlock()
		g.some.Signal()
	}
}

func (g *groups) work() {
	var taken []waiting
	var group []event
	for {
		g.mu.Lock()
		for len(g.waiting) == 0 && !g.over {
			g.some.Wait()
		}
		if len(g.waiting) == 0 || g.over {
			g.mu.Unlock()
			return
		}
		n := min(len(g.waiting), groupMax)
		taken = append(taken[:0], g.waiting[:n]...)
		g.waiting = append(g.waiting[:0], g.waiting[n:]...)
		more := len(g.waiting) > 0
		g.mu.Unlock()
		if more {
			g.some.Signal()
		}
		group = group[:0]
		for i := range taken {
			group = append(group, taken[i].event)
		}
		if err := g.store.write(g.ctx, group); err != nil {
			taken[0].slot.Fail(err)
			return
		}
		for i := range taken {
			taken[i].slot.End(load.Accepted, g.contest.size)
		}
	}
}
