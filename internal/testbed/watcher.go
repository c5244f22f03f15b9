package testbed

import (
	"fmt"
	"math/rand/v2"
	"time"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/sim"
)

// watcher follows all shards and tells the checker of cuts what it is handed. Some
// of its incarnations go on from a cut that an earlier one had reached, some from
// the beginning; it asks for cuts at the present now and then, and takes blocks at
// a pace that the seed draws, so that windows fill.
type watcher struct {
	run   *run
	name  string
	feed  *feed.Feed
	rand  *rand.Rand
	life  int
	pace  int // blocks at a time, 0: all
	limit int
	from  *feed.Position // of the last cut, kept over crashes

	viewer    *viewer // or nil
	standings []*standing
}

const (
	watchers     = 2
	watcherEvery = proc.Tick(20e6)
	timerWatcher = proc.TimerID(1)
	timerFeed    = proc.TimerID(2)
)

// buildWatchers puts one watcher on the first server, where it crashes with it, and
// the others on machines of their own.
func (r *run) buildWatchers() error {
	sources := r.sources()
	for i := range watchers {
		node := r.servers[0]
		if i > 0 {
			node = r.world.AddNode(r.clock())
		}
		name := fmt.Sprintf("watcher-%d", i)
		cfg := feed.Config{Sources: sources, Peers: clusterPeers, Window: watcherWindow(i), Timer: timerFeed, Tick: feed.TickDefault}
		if err := cfg.Validate(); err != nil {
			return err
		}
		position := new(feed.Position)
		r.world.Spawn(node, name, clusterPeers+name, sim.Storage{}, func(env proc.Env) proc.Process {
			w := &watcher{run: r, name: name, rand: env.Rand, from: position, limit: r.feedsHeld(cfg.Window)}
			if env.Rand.IntN(4) == 0 {
				*position = feed.Position{}
			}
			if env.Rand.IntN(2) == 0 {
				w.pace = 1 + env.Rand.IntN(40)
			}
			w.feed = feed.New(cfg, *position, env.Rand)
			w.life = r.cuts.Begin(name, position.Cut)
			if i > 0 && r.settings.views && position.Cut == 0 {
				w.viewer = r.newViewer(env.Rand)
			}
			if i > 0 && position.Cut == 0 {
				w.standings = r.newStandings(env.Rand)
			}
			return w
		})
	}
	return nil
}

// sources are all shards and where their replicas are.
func (r *run) sources() (list []feed.Source) {
	for id, group := range r.placement.Groups {
		source := feed.Source{Shard: core.ShardID(id)}
		for i := range group {
			source.Homes = append(source.Homes, group[i].Addr)
		}
		list = append(list, source)
	}
	return list
}

// Step implements proc.Process.
func (w *watcher) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		w.feed.Start(now, out)
		out.SetTimer(timerWatcher, now.Mono+watcherEvery)
	case proc.Message:
		w.feed.Receive(now, in.Peer, in.Frame, out)
		if w.pace == 0 {
			w.takeSome(now, 1<<20, out)
		}
	case proc.Timer:
		if in.Timer == timerFeed {
			w.feed.Timer(now, out)
			return
		}
		out.SetTimer(timerWatcher, now.Mono+watcherEvery)
		switch w.rand.IntN(64) {
		case 0: // as if another shard's clock were ahead
			w.feed.Want(core.Timestamp(now.Wall) + core.Timestamp(w.rand.IntN(int(3*time.Second))))
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15:
			w.feed.Want(core.Timestamp(now.Wall) - core.Timestamp(w.rand.IntN(int(100*time.Millisecond))))
		}
		if w.pace > 0 {
			w.takeSome(now, w.pace, out)
		}
	}
	if err := w.feed.Err(); err != nil {
		w.failed(err)
	}
}

// failed starts over when what was wanted is compacted away; anything else is wrong.
func (w *watcher) failed(err error) {
	if _, compacted := err.(*feed.CompactedError); !compacted || w.run.settings.shard.CompactKeep == 0 {
		w.run.cuts.Wrong(w.name + ": " + err.Error())
	}
}

// takeSome takes at most n blocks, and the cut when none is left.
func (w *watcher) takeSome(now proc.Now, n int, out *proc.Effects) {
	for range n {
		b, ok := w.feed.Next(now, out)
		if !ok {
			if w.feed.Err() == nil { // else blocks beyond the cut may have been handed out
				w.run.cuts.Promised(w.life, w.feed.Cut())
				*w.from = w.feed.Position()
				if w.viewer != nil {
					w.viewer.cut(w.feed.Cut())
				}
				for _, s := range w.standings {
					s.cut(w.feed.Cut())
				}
			}
			return
		}
		parsed := new(journal.Block)
		if err := parsed.Parse(b.Data); err != nil {
			w.run.cuts.Wrong(fmt.Sprintf("%s: entry %d of shard %d: %v", w.name, b.Index, b.Shard, err))
		} else {
			if w.viewer != nil {
				w.viewer.take(&b, parsed)
			}
			for _, s := range w.standings {
				s.take(&b, parsed)
			}
		}
		w.run.cuts.Handed(w.life, b.Shard, b.Index, b.Timestamp)
	}
}

// Queues implements proc.Gauged.
func (w *watcher) Queues(dst []proc.Queue) []proc.Queue {
	return append(dst, proc.Queue{Name: "feed.held", Len: w.feed.Held(), Limit: w.limit})
}

// watcherWindow is the window of the i-th watcher.
func watcherWindow(i int) int { return 64 << 10 << (2 * i) }

// feedsHeld bounds what a watcher may hold.
func (r *run) feedsHeld(window int) int { return len(r.placement.Groups) * window }
