package testbed

import (
	"fmt"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/proc"
	"actordb/sim"
	"actordb/workloads"
)

// buildClients makes the clients, each on a node of its own, and the operator.
func (r *run) buildClients() error {
	s, w := &r.settings, r.world
	trueTime := func() int64 { return int64(w.Now()) }
	for i := range s.Clients {
		cfg := workloads.DefaultClientConfig()
		cfg.Workload = r.options.Workloads[i%len(r.options.Workloads)]
		cfg.Clients, cfg.Gateways = s.Clients, r.gateways
		cfg.ThinkMin, cfg.ThinkMax = proc.Tick(s.think/2), proc.Tick(s.think*3/2)
		cfg.Retry = r.retry()
		cfg.SessionLifetime = core.Timestamp(s.lifetime)
		cfg.Levels = true
		if err := cfg.Validate(); err != nil {
			return err
		}
		c := &client{node: w.AddNode(r.clock()), record: workloads.NewRecorder(i, trueTime)}
		name := fmt.Sprintf("client-%d", i)
		c.addr = w.Spawn(c.node, name, clientIdentity(i), sim.Storage{}, func(env proc.Env) proc.Process {
			return workloads.NewClient(cfg, env, c.record, &r.control)
		})
		r.clients = append(r.clients, c)
	}
	if r.options.Faults != "none" {
		x := &outsider{gateways: r.gateways, shards: r.replicas(), groups: r.placement.Groups, cluster: clusterID(r.options.Seed), control: &r.control}
		for _, c := range r.clients {
			x.records = append(x.records, c.record)
		}
		w.Spawn(w.AddNode(r.clock()), "outsider", clientPeers+"outsider", sim.Storage{}, func(env proc.Env) proc.Process {
			x.rand = env.Rand
			return x
		})
	}
	if s.fences == 0 {
		return nil
	}
	actors, err := workloads.FenceActors(r.placement.ShardOf, r.placement.Shards())
	if err != nil {
		return err
	}
	cfg := workloads.FenceConfig{Gateways: r.gateways, Actors: actors, Interval: proc.Tick(s.fences), Retry: r.retry()}
	if err := cfg.Validate(); err != nil {
		return err
	}
	w.Spawn(w.AddNode(r.clock()), "operator", operatorPeer, sim.Storage{}, func(env proc.Env) proc.Process {
		return workloads.NewFenceOperator(cfg, env, &r.fences, &r.control)
	})
	return nil
}

func clientIdentity(i int) string { return fmt.Sprintf("%sclient-%d", clientPeers, i) }

func (r *run) retry() workloads.Retry {
	s := &r.settings
	return workloads.Retry{Base: proc.Tick(s.timeout), Max: proc.Tick(s.timeout + s.backoffMax), Deadline: proc.Tick(s.deadline)}
}

// slack is what a client's clock and its node's pauses may add to an interval
// between two attempts.
func (r *run) slack() time.Duration { return pauseMax + r.settings.timeout/100 }

// pauseMax is the longest that a client's node is ever paused: never, since
// the schedule pauses servers alone.
const pauseMax = 10 * time.Millisecond

func (r *run) idle() bool {
	for _, c := range r.clients {
		if c.record.Open() > 0 {
			return false
		}
	}
	return !r.fences.Open() && !r.asks()
}

func (r *run) issued() (n int) {
	for _, c := range r.clients {
		n += c.record.Issued()
	}
	return n
}

func (r *run) ops() []checkers.Op {
	var records []*workloads.Recorder
	for _, c := range r.clients {
		records = append(records, c.record)
	}
	return workloads.Collect(records)
}

// startAuditor lets an auditor read back every actor that a client named.
func (r *run) startAuditor() error {
	cfg := workloads.DefaultAuditorConfig()
	cfg.Gateways, cfg.Actors = r.gateways, workloads.Actors(r.ops())
	cfg.Parallel = min(cfg.Parallel, r.settings.gateway.PendingMax, r.settings.shard.MailboxCommands)
	cfg.Retry = r.retry()
	cfg.Retry.Deadline = proc.Tick(auditLimit / 2)
	if err := cfg.Validate(); err != nil {
		return err
	}
	r.world.Spawn(r.world.AddNode(sim.ClockConfig{}), "auditor", clientPeers+"auditor", sim.Storage{},
		func(env proc.Env) proc.Process { return workloads.NewAuditor(cfg, env, &r.audit) })
	return nil
}
