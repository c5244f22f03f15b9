package testbed

import (
	"math/rand/v2"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/gateway"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/workloads"
)

// Identities of the simulated cluster.
const (
	clusterPeers = "spiffe://testbed/cluster/"
	clientPeers  = "spiffe://testbed/client/"
	operatorPeer = "spiffe://testbed/operator"
)

// epoch is true wall time at the start of every run: 2025-09-29, the day that
// the paper's queries ask about.
const epoch = int64(1759104000e9)

// settings are what a seed draws beside its faults: sizes small enough that
// every limit and every rare path is met within a run.
type settings struct {
	Shards  int // per server that a shard has a replica of its own on
	Clients int
	shard   shard.Config
	gateway gateway.Config
	query   query.Limits
	// of clients
	timeout, backoffMax, deadline time.Duration
	lifetime                      time.Duration // of sessions
	think                         time.Duration
	fences                        time.Duration // between fences of the operator; 0: none
	moves                         time.Duration // between moves of slots by an operator; 0: none
	regroups                      time.Duration // between exchanges of replicas; 0: none
	strategy                      string
	slower                        int  // disks, than a good SSD: times
	askers                        int  // clients that ask in SQL
	workers                       int  // of each server, for parts of queries
	views                         bool // a watcher keeps views and compares them
	sensors, banks                bool // the same of these
	checked                       bool // actor types assert their invariants at every command
}

func between(r *rand.Rand, lo, hi int) int { return lo + r.IntN(hi-lo+1) }

// drawSettings makes a seed's settings. The profile "none" gets the middle of
// the road, so that a run without faults measures the engine and not its limits.
func drawSettings(r *rand.Rand, o *Options) settings {
	s := settings{
		Shards: 2, Clients: o.Clients, slower: 1,
		timeout: 400 * time.Millisecond, backoffMax: 200 * time.Millisecond, deadline: 6 * time.Second,
		lifetime: time.Hour, think: o.Think,
	}
	c := shard.DefaultConfig()
	c.SegmentBytes, c.WindowBytes, c.CheckpointBytes = 1<<20, 1<<20, 512<<10
	c.BlockBytes = 128 << 10
	c.Tick = 50e6
	g := gateway.DefaultConfig()
	g.ResendBase, g.ResendMax, g.Deadline = 30e6, 100e6, proc.Tick(s.deadline)
	if o.Faults != "none" {
		s.Shards = between(r, 1, 3)
		s.slower = 1 << r.IntN(5)
		s.checked = r.IntN(4) == 0
		c.SegmentBytes = int64(32<<10) << r.IntN(5)
		c.WindowBytes = int64(4<<10) << r.IntN(8)
		c.CheckpointBytes = int64(16<<10) << r.IntN(6)
		c.BlockBytes = int(c.SegmentBytes) >> between(r, 2, 5)
		c.BlockCommands = 1 << r.IntN(10)
		c.Pipeline = between(r, 1, 6)
		c.HotActors = 4 << r.IntN(10)
		c.Hydrations = between(r, 1, 16)
		c.MailboxCommands = 8 << r.IntN(7)
		c.Sessions.Window = between(r, 4, 64)
		if r.IntN(2) == 0 {
			c.CompactKeep = 3 * c.SegmentBytes
		}
		if r.IntN(2) == 0 {
			// Sessions are remembered until they end, and a shard whose clock was an
			// hour ahead makes clients ask for sessions that end an hour later on all
			// others too: the table must hold those of the whole run.
			s.lifetime = time.Duration(between(r, 2, 20)) * time.Second
			c.Sessions.Sessions = o.Clients * (between(r, 20, 40) + 2*int(o.Duration/s.lifetime))
		}
		if r.IntN(2) == 0 {
			s.fences = time.Duration(between(r, 300, 3000)) * time.Millisecond
		}
		g.PendingMax = 16 << r.IntN(6)
		c.Writes = between(r, 1, 4)
		c.HistoryBytes = 256 << r.IntN(11)
		c.MessageBytes = 1 << r.IntN(21)
		if r.IntN(8) == 0 {
			c.Feeds = 1 // fewer than there are watchers
		}
	}
	if s.moves = drawMoves(r, o); s.moves > 0 && c.Feeds == 1 {
		c.Feeds = watchers + 1 + o.Nodes*(1+query.DefaultLimits().Scans) // else a watcher may keep a move from its source as long as it likes
	}
	s.regroups = drawRegroups(r, o)
	few := len(o.Workloads) <= 2 // they were asked for by name
	s.views = (r.IntN(3) == 0 || few) && slices.Contains(o.Workloads, workloads.CartWorkload)
	s.sensors = (r.IntN(2) == 0 || few) && slices.Contains(o.Workloads, workloads.SensorWorkload)
	s.banks = (r.IntN(3) == 0 || few) && slices.Contains(o.Workloads, workloads.BankWorkload)
	s.shard, s.gateway, s.query = c, g, query.DefaultLimits()
	s.drawSQL(r, o, few)
	s.drawPrices(r, o)
	if s.strategy = o.Strategy; s.strategy == "" {
		s.strategy = "time"
		if o.Faults != "none" {
			s.strategy = []string{"time", "random", "pct"}[r.IntN(3)]
		}
	}
	return s
}

// drawSQL draws who asks in SQL, and limits that are met.
func (s *settings) drawSQL(r *rand.Rand, o *Options, few bool) {
	if (r.IntN(3) == 0 || few) && slices.Contains(o.Workloads, workloads.CartWorkload) {
		s.askers = between(r, 1, 3)
	}
	if q := &s.query; o.Faults != "none" {
		q.Scans = between(r, 1, 4)
		q.Statements = between(r, 3, 32)
		q.Subscriptions = between(r, 1, q.Statements)
		q.InboxBytes = 4 << 10 << r.IntN(12)
		q.WindowBytes = 256 << r.IntN(12)
		q.FeedWindow = 16 << 10 << r.IntN(9)
		q.CheckpointBytes = 1 << 10 << (o.Seed % 8)
		q.Wait, q.Idle = proc.Tick(between(r, 1, 5))*1e9, proc.Tick(between(r, 2, 10))*1e9
		if r.IntN(4) == 0 {
			q.MemoryBytes = 64 << 10 << r.IntN(6)
		}
	}
	if s.askers == 0 {
		return
	}
	if r.IntN(3) > 0 {
		s.shard.CompactKeep = 0 // what is compacted cannot be asked for, but of views that have it
	} else if o.Faults != "none" {
		s.shard.SegmentBytes = min(s.shard.SegmentBytes, 64<<10)
		s.shard.BlockBytes = min(s.shard.BlockBytes, int(s.shard.SegmentBytes)>>2)
		s.shard.CheckpointBytes = min(s.shard.CheckpointBytes, 64<<10)
		s.shard.CompactKeep = 2 * s.shard.SegmentBytes
	}
	scans := s.query.Scans
	if s.workers = int(o.Seed / 8 % 4); s.workers > 1 {
		scans *= 2
	} else {
		s.workers = 0
	}
	s.shard.Feeds = max(s.shard.Feeds, watchers+2+o.Nodes*(1+scans))
}

// queueLimits are the run's own idea of the limits (see checkers.Terms).
func (s *settings) queueLimits(held, shards int) map[string]int {
	return map[string]int{
		"shard.mailbox":         s.shard.MailboxCommands,
		"shard.mailbox-bytes":   s.shard.MailboxBytes,
		"shard.flights":         s.shard.Pipeline,
		"shard.sessions":        s.shard.Sessions.Sessions,
		"shard.walks":           s.shard.Hydrations + 1,
		"shard.feeds":           s.shard.Feeds,
		"feed.held":             held,
		"gateway.pending":       s.gateway.PendingMax,
		"query.statements":      s.query.Statements,
		"query.subscriptions":   s.query.Subscriptions,
		"query.inbox-bytes":     s.query.InboxBytes + shards*(s.query.FeedWindow+2*s.shard.BlockBytes+core.CommandBytesMax),
		"query.replies-over":    2 * core.FrameBytesMax,
		"gateway.pending-bytes": s.gateway.PendingBytes,
	}
}

func clusterID(seed uint64) (id [16]byte) {
	for i := range 8 {
		id[i] = byte(seed >> (8 * i))
	}
	id[15] = 1
	return id
}
