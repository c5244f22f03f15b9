package testbed

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
	"actordb/sim"
	"actordb/sim/fault"
)

// What happened in upgrades, counted like marks.
const (
	mixedSite   = "upgrade.mixed-group-acknowledges"
	backSite    = "upgrade.back-to-the-older-program"
	refusedSite = "upgrade.older-program-refused"
)

// previous are the versions of the program of the release before: it does not know what
// came with the newest one.
var previous = core.Versions{Low: core.VersionMin, High: core.VersionMax - 1}

// upgrades are the programs that the servers run, and an operator who raises the logs'
// versions when all run the newer one. With the fault upgrade in the schedule all begin with
// the older one. Until it was asked for, there is a way back; afterwards an older program is
// started now and then, which has to say that it is too old.
type upgrades struct {
	run    *run
	rand   *rand.Rand
	older  map[proc.NodeID]bool // servers whose next life is of the older program
	asked  bool                 // for any log to be raised
	raised map[core.ShardID]bool
	hits   map[string]uint64
	check  *checkers.Versions
}

func newUpgrades(r *run) *upgrades {
	return &upgrades{run: r, rand: r.world.Stream("upgrades"), older: map[proc.NodeID]bool{}, raised: map[core.ShardID]bool{},
		hits: map[string]uint64{}, check: checkers.NewVersions()}
}

// begin has all servers run the older program.
func (u *upgrades) begin() {
	for _, node := range u.run.servers {
		u.older[node] = true
	}
}

// speaks are the versions of a server's program.
func (u *upgrades) speaks(node proc.NodeID) core.Versions {
	if u.older[node] {
		return previous
	}
	return core.Spoken()
}

// life tells the checker that a replica starts, and which program it is of.
func (u *upgrades) life(shard core.ShardID, replica uint64, node proc.NodeID) core.Versions {
	speaks := u.speaks(node)
	u.check.Runs(shard, replica, speaks.High)
	return speaks
}

// Exchange implements fault.Target: a server that is down gets the other program, if that
// is one which an operator would give it, or should not and may.
func (d *disks) Exchange(node proc.NodeID) bool {
	u := d.run.upgrades
	switch everywhere := len(u.raised) == d.run.placement.Shards(); {
	case u.older[node]:
		u.older[node] = false
	case everywhere, !u.asked && u.rand.IntN(3) == 0:
		u.older[node] = true
		if !everywhere {
			u.hits[backSite]++
		}
	default:
		return false
	}
	return true
}

// halted sees whether a server stopped since its program is too old, and gives it the
// newer one.
func (u *upgrades) halted(node proc.NodeID, cause error) {
	var old *core.VersionError
	if !errors.As(cause, &old) {
		return
	}
	u.hits[refusedSite]++
	u.check.Stopped(u.speaks(node).High, core.Version(old.Found))
	u.older[node] = false
}

// watched sees what replicas do.
func (u *upgrades) watched(r *checkers.GroupRecord) {
	u.check.Add(r)
	if r.Did == checkers.Acknowledged && u.check.Mixed(r.Shard) {
		u.hits[mixedSite]++
	}
}

// applied sees an entry that took effect, or is void.
func (u *upgrades) applied(replica uint64, a *shard.Applied) {
	if a.Block == nil {
		return
	}
	r := checkers.VersionRecord{Shard: a.Shard, Replica: replica, Index: a.Index, Term: a.Term, Void: a.Void, Written: a.Block.Version, Decider: a.Block.Decider}
	if a.Block.Kind == journal.Upgrade {
		r.Raised = core.Version(a.Block.Raise)
	}
	u.check.Applied(&r)
}

// upgrader is the operator that asks for the logs to be raised: when all servers run the
// newer program, and with some before, which has to be refused.
type upgrader struct {
	*upgrades
	eager   bool
	shard   core.ShardID
	session core.SessionID
	number  core.CommandNumber
}

const upgraderEvery = 400 * time.Millisecond

// build makes the operator, and the fault's part of it, for a run whose schedule has faults.
func (u *upgrades) build(plan *fault.Plan) {
	exchanges := slices.ContainsFunc(plan.Events, func(e fault.Event) bool { return e.Site == fault.Upgrade })
	if exchanges {
		u.begin()
	}
	if u.run.options.Faults == "none" || !exchanges && u.rand.IntN(2) == 0 {
		return
	}
	u.run.world.Spawn(u.run.world.AddNode(u.run.clock()), "upgrader", operatorPeer, sim.Storage{}, func(env proc.Env) proc.Process {
		return &upgrader{upgrades: u, eager: u.rand.IntN(4) == 0, session: core.NewSessionID(0, env.Rand.Uint64())}
	})
}

// Step implements proc.Process.
func (u *upgrader) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		out.SetTimer(0, now.Mono+restOf(upgraderEvery, u.rand))
	case proc.Timer:
		if u.run.control.Stopped() {
			return
		}
		out.SetTimer(0, now.Mono+restOf(upgraderEvery, u.rand))
		u.ask(out)
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) {
			if a.Session == u.session && a.Number == u.number && a.Status == core.Accepted && a.Count == 1 {
				u.raised[u.shard] = true
			}
		})
	}
}

func (u *upgrader) ask(out *proc.Effects) {
	waiting := slices.ContainsFunc(u.run.servers, func(node proc.NodeID) bool { return u.older[node] })
	if waiting && !u.eager {
		return
	}
	u.asked = true
	u.number++
	u.shard = core.ShardID(u.rand.IntN(u.run.placement.Shards()))
	c := core.Command{Session: u.session, Number: u.number, Actor: core.ShardActor(u.shard), Kind: core.Regroup, Expected: core.AnySeq,
		Type: shard.VerbUpgrade, Payload: shard.AppendVersion(nil, core.VersionMax)}
	var w wire.Writer
	w.Command(&c)
	out.Send(u.run.gateways[u.rand.IntN(len(u.run.gateways))], w.Finish(wire.Commands))
}
