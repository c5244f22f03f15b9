package sim_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/internal/proctest"
	"actordb/sim"
)

// simHost runs the contract's suite in a world of one node.
type simHost struct {
	t     *testing.T
	world *sim.World
	node  proc.NodeID
	fault error
	n     uint64
}

func (h *simHost) Spawn(name, peer string, factory func(proc.Env) proc.Process) proc.Addr {
	h.n++
	now := func() int64 { return int64(h.world.Now()) }
	storage := sim.Storage{
		Files: simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(h.n, 1)), Now: now}),
		KV:    memkv.NewSim(memkv.Config{Rand: rand.New(rand.NewPCG(h.n, 2)), Now: now}),
	}
	return h.world.Spawn(h.node, name, peer, storage, factory)
}

func (h *simHost) Run(finished func() bool) error {
	holds, err := h.world.RunUntil(func() bool { return finished() || h.fault != nil }, h.world.Now()+time.Minute)
	if err != nil {
		h.t.Fatal(err)
	}
	if !holds {
		h.t.Fatal("nothing happened for a minute of virtual time")
	}
	if h.fault != nil { // whatever is still to come must not reach it
		if err := h.world.Run(h.world.Now() + time.Second); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.fault
}

// The simulator keeps the contract, under every strategy but for the order of
// frames, which only time order promises.
func TestContract(t *testing.T) {
	for _, strategy := range []sim.StrategyKind{sim.Time, sim.Random, sim.PCT} {
		for _, c := range proctest.Checks() {
			if strategy != sim.Time && c.Name[:2] == "H2" {
				continue
			}
			t.Run(strategy.String()+"/"+c.Name, func(t *testing.T) {
				h := &simHost{t: t}
				h.world = sim.New(sim.Config{Seed: 5, Strategy: sim.Strategy{Kind: strategy, Depth: 3, Steps: 1000},
					OnHalt: func(_ proc.Addr, fault error) { h.fault = errors.Join(h.fault, fault) }})
				h.node = h.world.AddNode(sim.ClockConfig{})
				c.Run(t, h)
			})
		}
	}
}
