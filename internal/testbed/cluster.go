package testbed

import (
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"actordb"
	"actordb/checkers"
	"actordb/core"
	"actordb/core/actor"
	"actordb/core/control"
	"actordb/core/gateway"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/query"
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

// groups deals replicas out to the servers: those of a shard to consecutive ones,
// beginning with another server each, so that every server leads some at first and
// none has two of one shard. On a server they are numbered as they come.
func groups(servers []proc.NodeID, shards, replicas int) (groups [][]shard.Replica, most int) {
	hosted := make(map[proc.NodeID]int)
	for g := range shards {
		var group []shard.Replica
		for k := range replicas {
			node := servers[(g+k)%len(servers)]
			id := uint64(k + 1)
			group = append(group, shard.Replica{ID: id, Addr: control.ShardAt(node, hosted[node]), Peer: clusterPeers + replicaName(core.ShardID(g), id)})
			hosted[node]++
			most = max(most, hosted[node])
		}
		groups = append(groups, group)
	}
	return groups, most
}

func replicaName(s core.ShardID, id uint64) string { return fmt.Sprintf("shard-%d-%d", s, id) }

// buildServers makes the servers: on each the process network that a real node
// has, with as many shards as the seed drew.
func (r *run) buildServers() error {
	o, s, w := &r.options, &r.settings, r.world
	for range o.Nodes {
		r.servers = append(r.servers, w.AddNode(r.clock()))
	}
	groups, most := groups(r.servers, max(1, s.Shards*o.Nodes/o.Replicas), o.Replicas)
	network, err := actordb.Network()
	if err == nil {
		network, err = network.With(network.The(control.Shard).Name, most, nil)
	}
	if err != nil {
		return err
	}
	if r.placement, err = shard.SpreadGroups(groups); err != nil {
		return err
	}
	for n, node := range r.servers {
		err := network.Start(func(p *control.Process, i int) error {
			switch p.Kind {
			case control.Files, control.KV, control.Listener:
				return nil // simulated: a shard's disk is made with it, the net with the world
			case control.Shard:
				return r.buildReplica(control.ShardAt(node, i))
			case control.Gateway:
				r.buildGateway(n, node)
				return nil
			case control.Query:
				return r.buildQuery(n, node)
			}
			return fmt.Errorf("the simulator knows no %s", p.Kind)
		})
		if err == nil {
			err = r.buildWorkers(n, node)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replicas are the places of all replicas.
func (r *run) replicas() (list []proc.Addr) {
	for _, group := range r.placement.Groups {
		for i := range group {
			list = append(list, group[i].Addr)
		}
	}
	return list
}

// buildReplica makes the replica that the placement has at an address, if any.
func (r *run) buildReplica(at proc.Addr) error {
	for g, group := range r.placement.Groups {
		for i := range group {
			if group[i].Addr == at {
				return r.buildShard(core.ShardID(g), &group[i])
			}
		}
	}
	return nil
}

func (r *run) buildGateway(n int, node proc.NodeID) {
	g := r.settings.gateway
	g.Placement, g.ClusterPeers, g.Query, g.Locate = r.placement, clusterPeers, control.QueryAt(node), locate
	name := fmt.Sprintf("gateway-%d", n)
	r.gateways = append(r.gateways, r.world.SpawnAt(control.GatewayAt(node), name, clusterPeers+name, sim.Storage{},
		func(env proc.Env) proc.Process { return gateway.New(g, env) }))
}

func (r *run) buildShard(id core.ShardID, replica *shard.Replica) error {
	cfg := r.settings.shard
	cfg.Replica, cfg.Voters = replica.ID, nil
	for _, other := range r.placement.Group(id) {
		cfg.Voters = append(cfg.Voters, other.ID)
	}
	cfg.Shard, cfg.Cluster, cfg.Placement = id, clusterID(r.options.Seed), r.placement
	cfg.TrustedPeers, cfg.Locate = clusterPeers, locate
	cfg.Operators = []core.Principal{operatorPeer}
	cfg.Secret[0] = byte(id)
	name := replicaName(id, replica.ID)
	store := r.disks.add(name, replica.Addr.Node)
	store.alone = len(cfg.Voters) == 1
	store.identity = journal.Identity{Cluster: cfg.Cluster, Shard: id, Replica: cfg.Replica, Voters: cfg.Voters}
	factory := func(env proc.Env) proc.Process {
		if store.retired {
			return idle{}
		}
		r.lives++
		c := cfg
		c.Kinds = r.kinds()
		stream := entropy{rand.New(rand.NewPCG(env.Rand.Uint64(), env.Rand.Uint64()))}
		c.BeforeRaft = func() { crand.Reader = stream }
		incarnation := r.lives
		c.Tap = func(a shard.Applied) { r.tap(incarnation, replica.ID, a) }
		c.Speaks = r.upgrades.life(id, replica.ID, replica.Addr.Node)
		c.OnHydrate, c.Watch = r.hydrated, func(w shard.Watched) {
			store.begun = store.begun || w.Did == shard.Recovered
			if w.Did == shard.Forgot {
				store.gone() // the journal was made void
			}
			if store.haunts {
				w.Terms, w.Voters, w.Leaving = slices.Clone(w.Terms), slices.Clone(w.Voters), slices.Clone(w.Leaving)
				store.ghost = append(store.ghost, w)
				return
			}
			r.watched(w)
		}
		c.Fresh = !store.begun
		c.OnDamage = func(found journal.Damage) { r.disks.found(store, &found) }
		return shard.New(c, env)
	}
	if err := cfgWithKinds(cfg).Validate(); err != nil {
		return err
	}
	files := &edges{Files: store.files, run: r, store: store, rand: r.world.Stream("edges " + name), on: r.powerMayFail}
	store.addr = r.world.SpawnAt(replica.Addr, name, replica.Peer, sim.Storage{Files: files, KV: store.kv}, factory)
	return nil
}

// kinds are the workloads' actor types for one shard, in some runs with their
// invariants asserted at every command, which is dear.
func (r *run) kinds() []actor.Kind {
	kinds := append(workloads.Kinds(), system())
	if r.settings.checked {
		for i := range kinds {
			kinds[i] = actor.Checked(kinds[i])
		}
	}
	return kinds
}

// system is the catalog's type.
func system() actor.Kind {
	kind, err := query.System()
	core.Assert(err == nil, "%v", err)
	return kind
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
func (r *run) tap(incarnation, replica uint64, a shard.Applied) {
	record := checkers.LogRecord{Shard: a.Shard, Incarnation: incarnation, Index: a.Index, Term: a.Term,
		Timestamp: a.Timestamp, Void: a.Void, Restored: a.Restored}
	if a.Block != nil && !a.Void {
		if a.Block.Kind == journal.Import {
			importOf(&a, &record)
		}
		rows := a.Block.Rows()
		r.events = r.events[:0]
		for i := range rows {
			r.events = append(r.events, a.Block.Event(i))
		}
		record.Events = r.events
		for i := range r.events {
			r.know(&r.events[i]) // what was moved is known already
		}
	}
	var decided, raise core.Epoch
	if a.Block != nil {
		if decided = a.Block.SlotEpoch; a.Block.Kind == journal.Fence || a.Block.Kind == journal.Hand {
			raise = a.Block.Raise
		}
		if !a.Void {
			r.cuts.Applied(a.Shard, a.Index, a.Timestamp)
		}
		record.Decided = a.Block.Term
	}
	r.applied.Add(&record)
	r.owner.Decided(&record)
	r.fencing.Add(&record, decided, raise)
	r.slotsOf(&a)
	r.upgrades.applied(replica, &a)
}

// exorcise tells what a replica that came back did, once it counts.
func (r *run) exorcise(w *shard.Watched) {
	for _, s := range r.disks.stores {
		if s.haunts && s.identity.Shard == w.Shard && w.Index > s.since && slices.Contains(w.Voters, s.identity.Replica) {
			s.haunts = false
			for _, did := range s.ghost {
				r.watched(did)
			}
			s.ghost = nil
		}
	}
}

// deeds are the checkers' names of what replicas do.
var deeds = map[shard.Deed]string{shard.Recovered: checkers.Recovered, shard.Forgot: checkers.Forgot, shard.Configured: checkers.Configured,
	shard.Appended: checkers.Appended, shard.Voted: checkers.Voted, shard.Promised: checkers.Promised, shard.Led: checkers.Led, shard.Took: checkers.Took,
	shard.Acknowledged: checkers.Acknowledged, shard.Restored: checkers.Restored, shard.Installed: checkers.Installed, shard.Ticked: checkers.Ticked, shard.Asked: checkers.Asked, shard.Confirmed: checkers.Confirmed}

// watched sees what a replica does as a member of its group.
func (r *run) watched(w shard.Watched) {
	record := checkers.GroupRecord{Shard: w.Shard, Replica: w.Replica, Did: deeds[w.Did], Term: w.Term, Index: w.Index,
		Entry: w.Entry, Digest: w.Digest, For: w.For, Terms: w.Terms, Voters: w.Voters, Leaving: w.Leaving}
	r.raft.Add(&record)
	r.owner.Add(&record)
	r.upgrades.watched(&record)
	if w.Did == shard.Configured {
		r.configured[w.Shard] = max(r.configured[w.Shard], w.Index)
		r.exorcise(&w)
	}
	if w.Did == shard.Voted {
		r.voted(w.Shard, w.Replica)
	}
}
