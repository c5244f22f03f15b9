// Package testbed runs the whole engine in the simulator: servers with gateways
// and shards on simulated disks and links, clients with a workload, a schedule
// of faults, and at the end every checker over what happened. One seed is one
// execution.
//
// A run has four phases. In the safety phase, four fifths of its duration,
// faults happen. Then all faults heal, and in the liveness phase everything that
// was asked for must end. Then the clients stop, all servers lose power at once
// and start again, and an auditor reads every actor's history and state back:
// that is what durability and the snapshots are judged by.
//
// Raft's one source of randomness is global to a program (crypto/rand.Reader),
// so only one run at a time may be under way in a process; Run refuses a second.
package testbed

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/gateway"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/net/simnet"
	"actordb/sim"
	"actordb/sim/fault"
	"actordb/workloads"
)

// Options of a run. Zero fields take the defaults of WithDefaults.
type Options struct {
	Seed      uint64        `json:"seed"`
	Workloads []string      `json:"workloads"`
	Faults    string        `json:"faults"`             // profile, see package sim/fault
	Nodes     int           `json:"nodes"`              // servers
	Replicas  int           `json:"replicas,omitempty"` // of each shard; 0: see ReplicasOf
	Duration  time.Duration `json:"duration_ns"`
	Strategy  string        `json:"strategy,omitempty"` // "": drawn from the seed
	Clients   int           `json:"clients"`
	Think     time.Duration `json:"think_ns"` // mean pause of a client between operations

	Record bool              `json:"-"` // keep the decisions of the strategy
	Replay *sim.Log          `json:"-"` // follow these decisions instead
	Until  uint64            `json:"-"` // stop after this many steps
	Trace  func(line string) `json:"-"`
	HTML   string            `json:"-"` // file for the drawing of a violation
}

// WithDefaults fills in what was left out.
func (o Options) WithDefaults() Options {
	if len(o.Workloads) == 0 {
		o.Workloads = []string{"all"}
	}
	if slices.Contains(o.Workloads, "all") {
		o.Workloads = workloads.Names()
	}
	if o.Faults == "" {
		o.Faults = "swarm"
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Replicas == 0 {
		o.Replicas = ReplicasOf(o.Nodes)
	}
	if o.Duration == 0 {
		o.Duration = 60 * time.Second
	}
	if o.Clients == 0 {
		o.Clients = 40
	}
	if o.Think == 0 {
		o.Think = 10 * time.Millisecond
	}
	return o
}

// ReplicasOf is how many replicas a shard has on so many servers unless it is said:
// as many as there are, up to five, and an odd number from three on.
func ReplicasOf(nodes int) int {
	if nodes < 3 {
		return 1
	}
	return min(5, (nodes-1)|1)
}

// Limits of a run.
const (
	NodesMax    = 16
	replicasMax = 5
	ClientsMax  = 512
	DurationMin = 100 * time.Millisecond
	DurationMax = 24 * time.Hour
	stepsMax    = 2_000_000_000
)

// Validate says what is wrong with o, or nil.
func (o *Options) Validate() error {
	for _, name := range o.Workloads {
		if !slices.Contains(workloads.Names(), name) {
			return fmt.Errorf("workload %q: want one of %s, or all", name, strings.Join(workloads.Names(), ", "))
		}
	}
	switch {
	case o.Nodes < 1 || o.Nodes > NodesMax:
		return fmt.Errorf("%d nodes: want 1 to %d", o.Nodes, NodesMax)
	case o.Replicas < 1 || o.Replicas > min(o.Nodes, replicasMax):
		return fmt.Errorf("%d replicas on %d nodes: want 1 to %d, on a node each", o.Replicas, o.Nodes, replicasMax)
	case o.Clients < 1 || o.Clients > ClientsMax:
		return fmt.Errorf("%d clients: want 1 to %d", o.Clients, ClientsMax)
	case o.Duration < DurationMin || o.Duration > DurationMax:
		return fmt.Errorf("duration %v: want %v to %v", o.Duration, DurationMin, DurationMax)
	}
	if o.Strategy != "" {
		if _, err := sim.ParseStrategy(o.Strategy); err != nil {
			return err
		}
	}
	return nil
}

// Repeat is the command that repeats the run.
func (o *Options) Repeat() string {
	names := strings.Join(o.Workloads, ",")
	if slices.Equal(o.Workloads, workloads.Names()) {
		names = "all"
	}
	s := fmt.Sprintf("actordb sim run --seed %d --workload %s --faults %s --nodes %d --duration %s", o.Seed, names, o.Faults, o.Nodes, o.Duration)
	if d := (Options{}).WithDefaults(); o.Clients != d.Clients || o.Think != d.Think {
		s += fmt.Sprintf(" --clients %d --think %s", o.Clients, o.Think)
	}
	if o.Replicas != ReplicasOf(o.Nodes) {
		s += fmt.Sprintf(" --replicas %d", o.Replicas)
	}
	if o.Strategy != "" {
		s += " --strategy " + o.Strategy
	}
	return s
}

// A Report is what a run found out.
type Report struct {
	Seed       uint64            `json:"seed"`
	Scenario   string            `json:"scenario"`
	Nodes      int               `json:"nodes"`
	Replicas   int               `json:"replicas"`
	Workloads  []string          `json:"workloads"`
	Faults     map[string]uint64 `json:"faults"`
	SimSeconds float64           `json:"sim_seconds"`
	Wall       float64           `json:"wall_seconds"`
	Steps      uint64            `json:"steps"`
	TraceHash  string            `json:"trace_hash"`
	Verdict    checkers.Verdict  `json:"verdict"`
	Checks     []checkers.Result `json:"checks"`
	Operations int               `json:"operations"` // that clients asked for
	Repeat     string            `json:"repeat"`

	Reached map[string]uint64 `json:"-"` // marks and fault sites
	Log     *sim.Log          `json:"-"` // with Options.Record
	Plan    fault.Plan        `json:"-"`
	// Readings is what became of the sensors' readings, by the judge of the views.
	Readings checkers.Account `json:"-"`
}

// What the operator did about damage, counted like marks.
const (
	mendedSite   = "operator.damage-mended"
	restoredSite = "operator.file-restored"
)

// Sites lists every fault site and every mark of the engine.
func Sites() []string {
	list := append(fault.Sites(), mendedSite, restoredSite, mixedSite, backSite, refusedSite)
	for _, marks := range [][]proc.Mark{journal.Marks(), shard.Marks(), gateway.Marks(), query.Marks()} {
		for _, m := range marks {
			list = append(list, string(m))
		}
	}
	slices.Sort(list)
	return list
}

// Explained tells why a site cannot be reached in these runs; sites that it
// does not name should be reached by a sweep.
func Explained() map[string]string {
	return map[string]string{
		"shard.message-to-nowhere": "every replica of a group is placed somewhere",
		mendedSite:                 "a group mends itself; with --replicas 1 an operator does",
		restoredSite:               "a group mends itself; with --replicas 1 an operator does",
		"gateway.number-reused":    "a client never uses a number twice: core/gateway tests it",
		fault.MisdirectedWrite:     "destroys durable bytes that no later frame vouches for: a group of one voter has no copy to mend them from",
	}
}

const (
	electionTicks = 10                     // of a replica that hears of no leader
	healBefore    = 3 * time.Second        // after heal, an operation ends within this
	electionMost  = 2 * time.Second        // twenty ticks of a tenth of a second: a replica's patience at most
	settleLimit   = 30 * time.Second       // for clients and servers to come to rest
	auditLimit    = 120 * time.Second      // for the auditor, on disks as quick as a good SSD
	rotEvery      = 100 * time.Millisecond // between two looks at the disks
)

// healWithin is the bound of liveness. A group may need two rounds of elections after
// the network is whole: in the first those candidate whose logs are behind, or two at once,
// which Raft does not exclude but makes rare (its timeouts are drawn).
func (r *run) healWithin() time.Duration {
	if r.options.Replicas == 1 {
		return healBefore
	}
	return healBefore + electionMost
}

// run is one execution.
type run struct {
	options   Options
	settings  settings
	world     *sim.World
	net       *simnet.Network
	disks     *disks
	nemesis   *fault.Nemesis
	placement *shard.Placement
	servers   []proc.NodeID
	gateways  []proc.Addr
	clients   []*client
	drawer    *rand.Rand
	votes     *rand.Rand
	downtime  *rand.Rand
	reasons   map[proc.NodeID]string
	broken    error // the operator could not mend

	control    workloads.Control
	fences     workloads.Fences
	asked      core.Event // the newest one that askers' queries are about
	audit      workloads.Audit
	applied    *checkers.Applied
	fencing    *checkers.Fences
	raft       *checkers.Raft
	owner      *checkers.Owner
	cuts       *checkers.Cuts
	slots      *checkers.Slots
	upgrades   *upgrades
	adopted    map[moveKey]shard.Move
	configured map[core.ShardID]core.Index // the newest change of a group
	hot        [core.Slots]bool
	viewers    []*viewer
	askers     []proc.Addr
	workers    []proc.Addr
	notebooks  []*notebook
	viewed     checkers.Result
	standings  []*standing
	stood      []*checkers.Result
	events     []core.Event
	histories  map[core.ActorID]*history
	known      []core.ActorID // in order of appearance
	hydrates   []shard.Hydrated
	healedAt   int64
	losesPower bool
	endedAt    int64
	lives      uint64 // of replicas
}

// client is a simulated client and where it runs.
type client struct {
	node   proc.NodeID
	addr   proc.Addr
	record *workloads.Recorder
}

var underWay atomic.Bool

// Run executes one seed. An error means that the run could not be made; what
// the engine does wrong is in the report.
func Run(o Options) (*Report, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !underWay.CompareAndSwap(false, true) {
		return nil, errors.New("one simulation at a time per process: Raft's source of randomness is global")
	}
	ambient := crand.Reader
	defer func() {
		crand.Reader = ambient
		underWay.Store(false)
	}()
	begun := time.Now()
	r := &run{options: o, applied: checkers.NewApplied(), fencing: checkers.NewFences(), raft: checkers.NewRaft(), cuts: checkers.NewCuts(), adopted: make(map[moveKey]shard.Move), configured: make(map[core.ShardID]core.Index), hot: hotSlots(), viewed: checkers.Result{Name: "views", Verdict: checkers.Pass}, histories: make(map[core.ActorID]*history), reasons: make(map[proc.NodeID]string)}
	r.settings = drawSettings(sim.Stream(o.Seed, "settings"), &o)
	if err := r.build(); err != nil {
		return nil, err
	}
	err := r.execute()
	report, reportErr := r.report(err)
	if reportErr != nil {
		return nil, reportErr
	}
	report.Wall = time.Since(begun).Seconds()
	return report, nil
}

func (r *run) build() error {
	o := &r.options
	kind, err := sim.ParseStrategy(r.settings.strategy)
	if err != nil {
		return err
	}
	r.net, err = simnet.New(o.Seed, simnet.DefaultConfig())
	if err != nil {
		return err
	}
	strategy := sim.Strategy{Kind: kind, Depth: 3, Steps: uint64(o.Duration/time.Second+1) * 10_000}
	if o.Replay != nil {
		strategy = sim.Strategy{Kind: sim.Replay, Log: o.Replay}
	}
	r.world = sim.New(sim.Config{
		Seed: o.Seed, Strategy: strategy, Network: r.net, Epoch: epoch, Record: o.Record,
		Limits: sim.Limits{Steps: stepsMax}, Trace: o.Trace, OnHalt: r.halted,
	})
	r.drawer, r.downtime, r.votes = r.world.Stream("clocks"), r.world.Stream("downtime"), r.world.Stream("edges votes")
	r.disks = &disks{run: r, rates: make(map[string]int), hits: make(map[string]uint64), flips: r.world.Stream("rot")}
	r.upgrades = newUpgrades(r)
	if err := r.buildServers(); err != nil {
		return err
	}
	for _, s := range r.disks.stores {
		r.disks.apply(s)
	}
	for _, s := range r.disks.views {
		r.disks.applyKV(s.kv)
	}
	if err := r.buildClients(); err != nil {
		return err
	}
	r.slots = checkers.NewSlots(r.placement.ShardOfSlot)
	if err := r.buildWatchers(); err != nil {
		return err
	}
	r.buildMovers()
	r.buildAskers()
	r.buildRegrouper()
	var nodes []proc.NodeID
	for _, c := range r.clients {
		nodes = append(nodes, c.node)
	}
	plan, err := fault.Draw(o.Seed, o.Faults, fault.Topology{Servers: r.servers, Clients: nodes}, o.Duration)
	if err != nil {
		return err
	}
	r.upgrades.build(&plan)
	r.owner = checkers.NewOwner(electionTicks)
	for _, e := range plan.Events {
		if e.Site == fault.SlowLink {
			// What queued up before a link can make a replaced leader believe that it is
			// heard: two seconds' worth, of ticks of 50 ms, three times over.
			r.owner = checkers.NewOwner(electionTicks + 20)
		}
		r.losesPower = r.losesPower || e.Site == fault.PowerLoss
	}
	r.nemesis, err = fault.Unleash(plan, r.world, r.net, r.disks)
	r.healedAt = int64(plan.Heal)
	if o.Faults != "none" {
		r.every(time.Second, "askers", plan.Heal, r.crashAskers)
		r.every(700*time.Millisecond, "workers", plan.Heal, r.crashWorkers)
	}
	r.every(rotEvery, "disks", plan.Heal, r.disks.rot)
	return err
}

// every calls f at intervals until a time.
func (r *run) every(interval time.Duration, name string, until time.Duration, f func()) {
	var again func()
	again = func() {
		f()
		if r.world.Now()+interval < until {
			r.world.After(interval, name, again)
		}
	}
	r.world.After(interval, name, again)
}

func (r *run) powerMayFail() bool { return r.losesPower && int64(r.world.Now()) < r.healedAt }

func (r *run) drawClock() sim.ClockConfig {
	return sim.ClockConfig{
		Offset:   time.Duration(r.drawer.Int64N(int64(200*time.Millisecond))) - 100*time.Millisecond,
		DriftPPM: r.drawer.Int64N(401) - 200,
	}
}

// halted is told that a process stopped its node for a fault. The operator
// mends what was found damaged and, a while later, starts the node again.
func (r *run) halted(addr proc.Addr, cause error) {
	r.reasons[addr.Node] = cause.Error()
	r.upgrades.halted(addr.Node, cause)
	if err := r.disks.halted(addr, cause); err != nil && r.broken == nil {
		r.broken = err
	}
	wait := 20*time.Millisecond + time.Duration(r.downtime.Int64N(int64(time.Second)))
	if int64(r.world.Now()) >= r.healedAt {
		// Rotten bits do not heal, and each start finds one more of them: now the
		// operator sits beside it.
		wait = 20 * time.Millisecond
	}
	r.world.After(wait, "operator restarts", func() { r.world.Restart(addr.Node) })
}

func (r *run) crashClient(node proc.NodeID) bool {
	for _, c := range r.clients {
		if c.node == node && r.world.Running(c.addr) {
			r.world.CrashProc(c.addr)
			return true
		}
	}
	return false
}

func (r *run) restartClient(node proc.NodeID) {
	for _, c := range r.clients {
		if c.node == node {
			r.world.RestartProc(c.addr)
		}
	}
}

// execute goes through the phases, up to the step that the options name, if any.
func (r *run) execute() error {
	w := r.world
	done := func() bool { return r.options.Until > 0 && w.Steps() >= r.options.Until }
	run := func(holds func() bool, limit time.Duration) (more bool, err error) {
		_, err = w.RunUntil(func() bool { return done() || holds() }, limit)
		return err == nil && !done(), err
	}
	if more, err := run(func() bool { return false }, r.options.Duration); !more {
		return err
	}
	r.control.Stop()
	if more, err := run(r.idle, w.Now()+settleLimit); !more {
		return err
	}
	r.endedAt = int64(w.Now())
	r.stand()
	// All at once, so that what is read back comes from the disks, and from what
	// is durable there.
	r.disks.strictly(true)
	for _, node := range r.servers {
		w.Crash(node, true)
	}
	r.disks.strictly(false)
	for _, node := range r.servers {
		w.Restart(node)
	}
	if more, err := run(r.serving, w.Now()+settleLimit); !more {
		return err
	}
	if err := r.startAuditor(); err != nil {
		return err
	}
	_, err := run(r.audit.Done, w.Now()+auditLimit*time.Duration(r.settings.slower))
	return err
}

// serving tells whether each shard has a replica that leads, and every replica
// runs and knows who that is.
func (r *run) serving() bool {
	leaders := make(map[core.ShardID]int)
	for _, s := range r.disks.stores {
		if s.retired {
			continue
		}
		p, ok := r.world.Process(s.addr).(*shard.Shard)
		if !ok || !r.world.Running(s.addr) || !p.Serving() {
			return false
		}
		if p.Leading() {
			leaders[s.identity.Shard]++
		}
	}
	return len(leaders) == r.placement.Shards()
}

// report judges the run.
func (r *run) report(stopped error) (*Report, error) {
	o, w := &r.options, r.world
	p := &Report{
		Seed: o.Seed, Nodes: o.Nodes, Replicas: o.Replicas, Workloads: o.Workloads, Faults: r.nemesis.Hits(),
		SimSeconds: w.Now().Seconds(), Steps: w.Steps(), TraceHash: w.TraceHash(), Repeat: o.Repeat(),
		Reached: make(map[string]uint64), Log: w.Log(), Readings: r.readings(),
	}
	maps.DeleteFunc(p.Faults, func(_ string, n uint64) bool { return n == 0 })
	maps.Copy(p.Reached, p.Faults)
	for m, n := range w.Marks() {
		p.Reached[string(m)] += n
	}
	p.Checks = r.check(stopped)
	if n := r.disks.mended; n > 0 {
		p.Reached[mendedSite] = uint64(n)
	}
	maps.Copy(p.Reached, r.upgrades.hits)
	if n := r.disks.restored; n > 0 {
		p.Reached[restoredSite] = uint64(n)
	}
	p.Operations = r.issued()
	p.Scenario = r.describe()
	p.Verdict = checkers.Pass
	for i := range p.Checks {
		switch v := p.Checks[i].Verdict; {
		case v == checkers.Fail:
			p.Verdict = v
		case v == checkers.Unknown && p.Verdict == checkers.Pass:
			p.Verdict = v
		}
	}
	return p, nil
}

// describe is one line about what the seed drew.
func (r *run) describe() string {
	s := &r.settings
	return fmt.Sprintf("%d servers, %d shards × %d replicas, %d clients, strategy %s, disks %d× slower, pipeline %d, segments %d KiB, compaction %t",
		r.options.Nodes, r.placement.Shards(), r.options.Replicas, s.Clients, s.strategy, s.slower, s.shard.Pipeline, s.shard.SegmentBytes>>10, s.shard.CompactKeep > 0)
}
