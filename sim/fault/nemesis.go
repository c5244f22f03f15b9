package fault

import (
	"fmt"
	"time"

	"actordb/core/proc"
	"actordb/sim"
)

// Network is what a Nemesis needs of a network. net/simnet has it.
type Network interface {
	SetRate(site string, ppm int) error
	Cut(id int, site string, from, to []proc.NodeID) error
	Slow(id int, from, to []proc.NodeID, bytesPerSecond int64) error
	Mend(id int)
	Hits() map[string]uint64
}

// Target does what neither the world nor the network can: faults of storage,
// and crashes of clients, whose owner must know that they forgot what they had
// asked for.
type Target interface {
	SetRate(site string, ppm int) error         // sites of the disk: on every server
	DiskFull(node proc.NodeID, bytesLeft int64) // negative: there is space again
	SlowDisk(node proc.NodeID, times int64)     // 1: as usual
	LoseKV(node proc.NodeID) bool               // called while the node is down; true if there was something to lose
	Reformat(node proc.NodeID) bool             // likewise; true if there was something, and others have it
	Exchange(node proc.NodeID) bool             // likewise, its program; true if it goes on with another one
	CrashClient(node proc.NodeID) bool          // true if it was running
	RestartClient(node proc.NodeID)
	Hits() map[string]uint64 // of its sites, but for kv_lost, reformat, upgrade and client_crash
}

// A Nemesis carries a plan out.
type Nemesis struct {
	plan   Plan
	world  *sim.World
	net    Network
	target Target
	hits   map[string]uint64
	open   []*ending
}

// An ending is what undoes an event.
type ending struct {
	run  func()
	done bool
}

// Unleash schedules a plan on a world, counted from the world's now. net and
// target may be nil if the plan has nothing for them. An error during the run
// stops the world.
func Unleash(plan Plan, w *sim.World, net Network, target Target) (*Nemesis, error) {
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	n := &Nemesis{plan: plan, world: w, net: net, target: target, hits: map[string]uint64{}}
	for _, r := range plan.Rates {
		if err := n.served(r.Site); err != nil {
			return nil, err
		}
	}
	for _, e := range plan.Events {
		if err := n.served(e.Site); err != nil {
			return nil, err
		}
	}
	begin := w.Now()
	if len(plan.Rates) > 0 {
		w.At(begin, "faults: rates", func() { n.setRates(func(r Rate) int { return r.PPM }) })
	}
	for i, e := range plan.Events {
		w.At(begin+e.At, "faults: "+e.String(), func() { n.begin(i, e) })
	}
	w.At(begin+plan.Heal, "faults end", func() {
		n.endAll()
		n.setRates(func(Rate) int { return 0 })
		w.Heal()
	})
	return n, nil
}

// served tells whether there is someone to carry a site out.
func (n *Nemesis) served(site string) error {
	switch {
	case ofNetwork(site) && n.net == nil:
		return fmt.Errorf("fault: %s needs a network", site)
	case ofTarget(site) && n.target == nil:
		return fmt.Errorf("fault: %s needs a target", site)
	}
	return nil
}

func (n *Nemesis) setRates(of func(Rate) int) {
	for _, r := range n.plan.Rates {
		if ofNetwork(r.Site) {
			n.check(n.net.SetRate(r.Site, of(r)))
		} else {
			n.check(n.target.SetRate(r.Site, of(r)))
		}
	}
}

func (n *Nemesis) check(err error) {
	if err != nil {
		n.world.Stop(fmt.Errorf("fault: %w", err))
	}
}

// Hits returns how often each site took effect: those of the world, of the
// network and of the target together.
func (n *Nemesis) Hits() map[string]uint64 {
	all := map[string]uint64{}
	add := func(hits map[string]uint64) {
		for site, count := range hits {
			all[site] += count
		}
	}
	add(n.hits)
	if n.net != nil {
		add(n.net.Hits())
	}
	if n.target != nil {
		add(n.target.Hits())
	}
	return all
}

// begin starts event i and schedules its end.
func (n *Nemesis) begin(i int, e Event) {
	w, node := n.world, e.Nodes[0]
	switch e.Site {
	case Crash, PowerLoss, KVLost, Reformat, Upgrade:
		n.crash(e, node)
	case Pause:
		if w.Up(node) && !w.Paused(node) && e.For > 0 {
			w.Pause(node, w.Now()+e.For)
			n.hits[Pause]++
		}
	case ClientCrash:
		if n.target.CrashClient(node) {
			n.hits[ClientCrash]++
			n.end(e, func() { n.target.RestartClient(node) })
		}
	case Partition, PartitionOneway, PartitionPartial, SlowLink:
		n.disturbLinks(i, e)
	case ClockJump, ClockDrift, ClockFreeze:
		n.bendClock(e, node)
	case DiskFull:
		n.target.DiskFull(node, e.Amount)
		n.end(e, func() { n.target.DiskFull(node, -1) })
	case SlowDisk:
		n.target.SlowDisk(node, e.Amount)
		n.end(e, func() { n.target.SlowDisk(node, 1) })
	}
}

// end schedules the end of an event that has just begun.
func (n *Nemesis) end(e Event, run func()) {
	x := &ending{run: run}
	n.open = append(n.open, x)
	n.world.After(e.For, "faults: end of "+e.String(), x.finish)
}

// endAll ends what ends at the time of healing, before the world heals: undone
// after that, a clock's jump would be a new one.
func (n *Nemesis) endAll() {
	for _, x := range n.open {
		x.finish()
	}
	n.open = nil
}

func (x *ending) finish() {
	if !x.done {
		x.done = true
		x.run()
	}
}

func (n *Nemesis) crash(e Event, node proc.NodeID) {
	w := n.world
	if !w.Up(node) {
		return
	}
	w.Crash(node, e.Site == PowerLoss || e.Site == Reformat)
	effect := true
	switch e.Site {
	case KVLost:
		effect = n.target.LoseKV(node)
	case Reformat:
		effect = n.target.Reformat(node)
	case Upgrade:
		effect = n.target.Exchange(node)
	}
	if effect {
		n.hits[e.Site]++
	}
	n.end(e, func() { w.Restart(node) })
}

func (n *Nemesis) disturbLinks(id int, e Event) {
	switch e.Site {
	case SlowLink:
		n.check(n.net.Slow(id, e.Nodes, e.Peers, e.Amount))
		n.check(n.net.Slow(id, e.Peers, e.Nodes, e.Amount))
	case PartitionOneway:
		n.check(n.net.Cut(id, e.Site, e.Nodes, e.Peers))
	default:
		n.check(n.net.Cut(id, e.Site, e.Nodes, e.Peers))
		n.check(n.net.Cut(id, e.Site, e.Peers, e.Nodes))
	}
	n.end(e, func() { n.net.Mend(id) })
}

func (n *Nemesis) bendClock(e Event, node proc.NodeID) {
	w := n.world
	n.hits[e.Site]++
	switch e.Site {
	case ClockJump:
		w.JumpWall(node, time.Duration(e.Amount))
		n.end(e, func() { w.JumpWall(node, -time.Duration(e.Amount)) })
	case ClockDrift:
		w.SetClockRate(node, e.Amount)
		n.end(e, func() { w.SetClockRate(node, w.DriftPPM(node)) })
	case ClockFreeze:
		w.FreezeWall(node)
		n.end(e, func() { w.UnfreezeWall(node) })
	}
}
