package testbed

import (
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"

	"actordb"
	"actordb/checkers"
	"actordb/core"
	"actordb/core/actor"
	"actordb/core/control"
	"actordb/core/gateway"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/sim"
	"actordb/workloads"
)

// entropy is what Raft draws from: the replica's own stream.
type entropy struct{ r *rand.Rand }

func (e entropy) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e.r.Uint32())
	}
	return len(p), nil
}

var _ io.Reader = entropy{}

// buildServers makes the servers: on each the process network that a real node
// has, with as many shards as the seed drew, every shard a group of one voter.
func (r *run) buildServers() error {
	o, s, w := &r.options, &r.settings, r.world
	network, err := actordb.Network()
	if err == nil {
		network, err = network.With(network.The(control.Shard).Name, s.Shards, nil)
	}
	if err != nil {
		return err
	}
	var homes []proc.Addr
	for range o.Nodes {
		node := w.AddNode(r.clock())
		r.servers = append(r.servers, node)
		for k := range s.Shards {
			homes = append(homes, control.ShardAt(node, k))
		}
	}
	placement, err := shard.Spread(homes)
	if err != nil {
		return err
	}
	r.placement = placement
	for n, node := range r.servers {
		err := network.Start(func(p *control.Process, i int) error {
			switch p.Kind {
			case control.Files, control.KV, control.Listener:
				return nil // simulated: a shard's disk is made with it, the net with the world
			case control.Shard:
				return r.buildShard(core.ShardID(n*s.Shards+i), node)
			case control.Gateway:
				r.buildGateway(n, node)
				return nil
			}
			return fmt.Errorf("the simulator knows no %s", p.Kind)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) buildGateway(n int, node proc.NodeID) {
	g := r.settings.gateway
	g.Placement, g.ClusterPeers = r.placement, clusterPeers
	name := fmt.Sprintf("gateway-%d", n)
	r.gateways = append(r.gateways, r.world.SpawnAt(control.GatewayAt(node), name, clusterPeers+name, sim.Storage{},
		func(env proc.Env) proc.Process { return gateway.New(g, env) }))
}

func (r *run) buildShard(id core.ShardID, node proc.NodeID) error {
	cfg := r.settings.shard
	cfg.Shard, cfg.Cluster, cfg.Placement = id, clusterID(r.options.Seed), r.placement
	cfg.TrustedPeers = clusterPeers
	cfg.Operators = []core.Principal{operatorPeer}
	cfg.Secret[0] = byte(id)
	store := r.disks.add(fmt.Sprintf("shard-%d", id), node)
	store.identity = journal.Identity{Cluster: cfg.Cluster, Shard: id, Replica: cfg.Replica, Voters: cfg.Voters}
	lives := uint64(0)
	name := fmt.Sprintf("shard-%d", id)
	factory := func(env proc.Env) proc.Process {
		lives++
		c := cfg
		c.Kinds = r.kinds()
		stream := entropy{rand.New(rand.NewPCG(env.Rand.Uint64(), env.Rand.Uint64()))}
		c.BeforeRaft = func() { crand.Reader = stream }
		incarnation := uint64(id)<<32 | lives
		c.Tap = func(a shard.Applied) { r.tap(incarnation, a) }
		c.OnHydrate = r.hydrated
		return shard.New(c, env)
	}
	if err := cfgWithKinds(cfg).Validate(); err != nil {
		return err
	}
	files := &edges{Files: store.files, run: r, store: store, rand: r.world.Stream("edges " + name), on: r.powerMayFail}
	store.addr = r.world.SpawnAt(r.placement.Home(id), name, clusterPeers+name, sim.Storage{Files: files, KV: store.kv}, factory)
	return nil
}

// kinds are the workloads' actor types for one shard, in some runs with their
// invariants asserted at every command, which is dear.
func (r *run) kinds() []actor.Kind {
	kinds := workloads.Kinds()
	if r.settings.checked {
		for i := range kinds {
			kinds[i] = actor.Checked(kinds[i])
		}
	}
	return kinds
}

func cfgWithKinds(c shard.Config) *shard.Config {
	c.Kinds = workloads.Kinds()
	return &c
}

// clock draws a server's clock error: within what an operator would tolerate.
func (r *run) clock() sim.ClockConfig {
	if r.options.Faults == "none" {
		return sim.ClockConfig{}
	}
	return r.drawClock()
}

// tap sees what a replica applies.
func (r *run) tap(incarnation uint64, a shard.Applied) {
	record := checkers.LogRecord{Shard: a.Shard, Incarnation: incarnation, Index: a.Index, Term: a.Term,
		Timestamp: a.Timestamp, Void: a.Void, Restored: a.Restored}
	if a.Block != nil && !a.Void {
		rows := a.Block.Rows()
		r.events = r.events[:0]
		for i := range rows {
			r.events = append(r.events, a.Block.Event(i))
		}
		record.Events = r.events
		for i := range r.events {
			r.know(&r.events[i])
		}
	}
	r.applied.Add(&record)
	var decided, raise core.Epoch
	if a.Block != nil {
		decided, raise = a.Block.SlotEpoch, a.Block.Raise
	}
	r.fencing.Add(&record, decided, raise)
}
