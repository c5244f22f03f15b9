package testbed

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"actordb/core/control"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/sim"
)

// buildQuery makes a server's query process.
func (r *run) buildQuery(n int, node proc.NodeID) error {
	c := query.Config{Sources: r.sources(), Peers: clusterPeers, Gateway: control.GatewayAt(node), Stored: true, Limits: r.settings.query}
	for i := range r.settings.workers {
		c.Workers = append(c.Workers, control.WorkerAt(node, i))
	}
	if err := c.Validate(); err != nil {
		return err
	}
	name := fmt.Sprintf("query-%d", n)
	r.world.SpawnAt(control.QueryAt(node), name, clusterPeers+name, sim.Storage{KV: r.disks.addViews(name, node)},
		func(env proc.Env) proc.Process { return query.New(c, env) })
	return nil
}

// buildWorkers makes a server's workers, as many as have shards to read.
func (r *run) buildWorkers(n int, node proc.NodeID) error {
	all := r.sources()
	workers := min(r.settings.workers, len(all))
	for i := range workers {
		c := query.Config{Sources: query.PartOf(all, i, workers), Peers: clusterPeers, Worker: true, Limits: r.settings.query}
		if err := c.Validate(); err != nil {
			return err
		}
		name := fmt.Sprintf("worker-%d-%d", n, i)
		r.workers = append(r.workers, r.world.SpawnAt(control.WorkerAt(node, i), name, clusterPeers+name, noStorage,
			func(env proc.Env) proc.Process { return query.New(c, env) }))
	}
	return nil
}

// crashWorkers lets some end in the middle of their parts, and come back.
func (r *run) crashWorkers() {
	for _, addr := range r.workers {
		if r.downtime.IntN(4) == 0 && r.world.Running(addr) {
			r.world.CrashProc(addr)
			r.world.After(time.Duration(r.downtime.Int64N(int64(2*time.Second))), "worker is back", func() { r.world.RestartProc(addr) })
		}
	}
}

// viewStore has the checkpoints of a server's views.
type viewStore struct {
	node proc.NodeID
	kv   *memkv.Sim
	rand *rand.Rand
}

func (d *disks) addViews(name string, node proc.NodeID) *memkv.Sim {
	w := d.run.world
	s := &viewStore{node: node, rand: w.Stream("harm " + name), kv: memkv.NewSim(memkv.Config{
		Rand: w.Stream("kv " + name), Now: func() int64 { return int64(w.Now()) }, Count: func(site string) { d.hits[site]++ },
		Latencies: memkv.Latencies{
			Read:  memkv.Latency{Base: 30 * time.Microsecond, Jitter: 30 * time.Microsecond},
			Apply: memkv.Latency{Base: 10 * time.Microsecond, Jitter: 10 * time.Microsecond},
			Flush: memkv.Latency{Base: 2 * time.Millisecond, Jitter: 2 * time.Millisecond},
		},
	})}
	d.views = append(d.views, s)
	return s.kv
}

// harm does to a store what no store should do: it is derived state, and who reads it has to
// notice. Its process is down.
func (s *viewStore) harm() bool {
	if s.kv.Len() == 0 {
		return false
	}
	var pairs []disk.Pair
	kv := s.kv.KV()
	s.kv.Heal()
	err := kv.Scan(nil, nil, func(key, value []byte) bool {
		pairs = append(pairs, disk.Pair{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		return true
	})
	if err != nil {
		panic(err)
	}
	one, other := &pairs[s.rand.IntN(len(pairs))], &pairs[s.rand.IntN(len(pairs))]
	b := &disk.Batch{}
	switch s.rand.IntN(4) {
	case 0:
		s.kv.Lose()
		return true
	case 1: // a pair is gone
		b.Delete(one.Key)
	case 2: // a bit is another
		one.Value[s.rand.IntN(len(one.Value))] ^= 1 << s.rand.IntN(8)
		b.Put(one.Key, one.Value)
	default: // two pairs have each other's values
		b.Put(one.Key, other.Value)
		b.Put(other.Key, one.Value)
	}
	if err := kv.Apply(b); err != nil {
		panic(err)
	}
	if err := kv.Flush(); err != nil {
		panic(err)
	}
	return true
}
