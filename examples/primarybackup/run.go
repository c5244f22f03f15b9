package primarybackup

import (
	"fmt"
	"time"

	"actordb/core/proc"
	"actordb/net/simnet"
	"actordb/sim"
	"actordb/sim/fault"
)

const (
	duration = 5 * time.Second
	faults   = "crash,partition,drop,duplicate,delay,reorder,half_frame,pause"
)

// A Result is what one seed gave.
type Result struct {
	Violation error // nil: the history is that of a register
	Answers   int
	Steps     uint64
	TraceHash string
	Hits      map[string]uint64 // the faults that took effect
}

// Run runs the protocol once. err says that the run itself went wrong: a panic,
// a limit, bytes shared between processes.
func Run(seed uint64, ackEarly bool) (Result, error) {
	net, err := simnet.New(seed, simnet.DefaultConfig())
	if err != nil {
		return Result{}, err
	}
	w := sim.New(sim.Config{Seed: seed, Network: net, Strategy: sim.Strategy{Kind: sim.Random}})
	b, p, c := w.AddNode(sim.ClockConfig{}), w.AddNode(sim.ClockConfig{}), w.AddNode(sim.ClockConfig{})

	// The state of Backup lives outside its factory, so it survives a crash as if
	// it were on a disk. The primary forgets; its clients then turn to the backup.
	copyOnDisk := &Backup{}
	backup := w.Spawn(b, "backup", "", sim.Storage{}, func(proc.Env) proc.Process { return copyOnDisk })
	primary := w.Spawn(p, "primary", "", sim.Storage{}, func(proc.Env) proc.Process {
		return &Primary{Backup: backup, AckEarly: ackEarly, waiting: map[uint64]proc.Addr{}}
	})
	var history []Entry
	w.Spawn(c, "client", "", sim.Storage{}, func(proc.Env) proc.Process {
		return &Client{Primary: primary, Backup: backup, History: &history}
	})

	plan, err := fault.Draw(seed, faults, fault.Topology{Servers: []proc.NodeID{b, p}, Clients: []proc.NodeID{c}}, duration)
	if err != nil {
		return Result{}, err
	}
	nemesis, err := fault.Unleash(plan, w, net, nil)
	if err != nil {
		return Result{}, err
	}
	if err := w.Run(duration); err != nil {
		return Result{}, fmt.Errorf("seed %d: %w", seed, err)
	}
	return Result{Check(history), len(history), w.Steps(), w.TraceHash(), nemesis.Hits()}, nil
}
