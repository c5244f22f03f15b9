package testbed

import (
	"math/rand/v2"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/control"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/net/wire"
	"actordb/sim"
)

// regrouper is an operator that exchanges replicas, one after the other: it starts a new
// one, lets it learn, lets it vote in the place of an old one, and takes that one away.
// Now and then it starts one again, with an empty disk and under its old id, that was
// removed, and asks for it to be taken in.
type regrouper struct {
	run     *run
	rand    *rand.Rand
	shard   core.ShardID
	comes   *shard.Member // nil: nobody yet
	goes    uint64
	ghost   bool // who comes was there before
	asking  bool
	session core.SessionID
	number  core.CommandNumber
	command core.Command
	asked   proc.Tick
	begun   proc.Tick
	want    shard.Roster
}

const (
	regrouperEvery  = proc.Tick(100e6)
	regrouperAgain  = proc.Tick(1500e6)
	regrouperGiveUp = proc.Tick(15e9)
)

// buildRegrouper makes the operator that exchanges replicas, if the seed drew one.
func (r *run) buildRegrouper() {
	if r.settings.regroups == 0 || r.options.Replicas < 3 {
		return
	}
	r.world.Spawn(r.world.AddNode(r.clock()), "regrouper", operatorPeer, sim.Storage{}, func(env proc.Env) proc.Process {
		return &regrouper{run: r, rand: env.Rand, session: core.NewSessionID(0, env.Rand.Uint64())}
	})
}

// locate is where a replica runs that came later: apart from those of the beginning.
func locate(id core.ShardID, replica uint64, node proc.NodeID) shard.Replica {
	at := control.QueryAt(node)
	at.Proc += 1 + query.WorkersMax + uint32(id)*laterReplicas + uint32(replica%laterReplicas)
	return shard.Replica{ID: replica, Addr: at, Peer: clusterPeers + replicaName(id, replica)}
}

// laterReplicas is how many a group may get in a run: checkers tell so many apart.
const laterReplicas = 60

// Step implements proc.Process.
func (g *regrouper) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		g.rest(now, out)
	case proc.Timer:
		g.timer(now, out)
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) {
			if a.Session == g.session && a.Number == g.number && g.asking {
				g.told(now, a, out)
			}
		})
	}
}

func (g *regrouper) rest(now proc.Now, out *proc.Effects) {
	g.asking, g.comes, g.goes, g.begun = false, nil, 0, 0
	out.SetTimer(0, now.Mono+restOf(g.run.settings.regroups, g.rand))
}

func (g *regrouper) timer(now proc.Now, out *proc.Effects) {
	if g.run.control.Stopped() {
		return
	}
	out.SetTimer(0, now.Mono+regrouperEvery)
	switch {
	case g.begun == 0:
		g.begun, g.shard = now.Mono, core.ShardID(g.rand.IntN(g.run.placement.Shards()))
		g.ask(now, shard.VerbRoster, nil, out)
	case now.Mono-g.begun > regrouperGiveUp && g.ghost:
		g.rest(now, out) // it was taken in, it seems
	case now.Mono-g.asked > regrouperAgain:
		g.ask(now, shard.VerbRoster, nil, out) // whatever became of the last question
	}
}

func (g *regrouper) ask(now proc.Now, verb string, payload []byte, out *proc.Effects) {
	g.number++
	g.asking, g.asked = true, now.Mono
	g.command = core.Command{Session: g.session, Number: g.number, Actor: core.ShardActor(g.shard), Kind: core.Regroup, Expected: core.AnySeq, Type: verb, Payload: payload}
	var w wire.Writer
	w.Command(&g.command)
	out.Send(g.run.gateways[g.rand.IntN(len(g.run.gateways))], w.Finish(wire.Commands))
}

func (g *regrouper) told(now proc.Now, a *core.Answer, out *proc.Effects) {
	g.asking = false
	switch {
	case a.Status == core.RefusedAtDoor && a.Code == core.CodeMalformed && g.ghost:
		g.run.retire(g.shard, g.comes.ID) // as it should be
		g.rest(now, out)
	case a.Status == core.Accepted && g.command.Type == shard.VerbRoster:
		r, err := shard.DecodeRoster(a.State)
		core.Assert(err == nil, "the roster of a group: %v", err)
		g.next(now, &r, out)
	}
}

// next takes the next step from what there is.
func (g *regrouper) next(now proc.Now, r *shard.Roster, out *proc.Effects) {
	if g.comes == nil && !g.choose(r) {
		g.rest(now, out)
		return
	}
	at := slices.IndexFunc(r.Members, func(m shard.Member) bool { return m.ID == g.comes.ID })
	want := shard.Roster{Shard: r.Shard, Index: r.Index, Highest: max(r.Highest, g.comes.ID), Members: slices.Clone(r.Members)}
	switch {
	case r.Joint:
		return // a change is on its way
	case at < 0 && g.comes.ID <= r.Highest && !g.ghost:
		g.rest(now, out)
		return
	case at < 0:
		want.Members = append(want.Members, *g.comes)
		slices.SortFunc(want.Members, func(a, b shard.Member) int { return int(a.ID) - int(b.ID) })
	case r.Members[at].Learner:
		want.Members[at].Learner = false
		want.Members = slices.DeleteFunc(want.Members, func(m shard.Member) bool { return m.ID == g.goes })
	default:
		if gone := !slices.ContainsFunc(r.Members, func(m shard.Member) bool { return m.ID == g.goes }); gone && g.goes != 0 {
			g.run.retire(g.shard, g.goes)
		}
		g.rest(now, out)
		return
	}
	g.ask(now, shard.VerbRegroup, want.Append(nil), out)
}

// choose thinks of who is to come, and for whom. One of the first replicas stays: from
// it those find the group who know only the placement.
func (g *regrouper) choose(r *shard.Roster) bool {
	first := uint64(len(g.run.placement.Group(g.shard)))
	var voters []shard.Member
	firsts := 0
	for _, m := range r.Members {
		if !m.Learner {
			voters = append(voters, m)
			if m.ID <= first {
				firsts++
			}
		}
	}
	if len(voters) == 0 || r.Highest+1 >= laterReplicas {
		return false
	}
	if g.ghost = g.rand.IntN(3) == 0 && g.run.removed(g.shard); g.ghost {
		m, ok := g.run.revive(g.shard)
		g.comes, g.goes = m, 0
		return ok
	}
	x := voters[g.rand.IntN(len(voters))]
	if x.ID <= first && firsts == 1 {
		return false
	}
	node := x.Node
	for _, other := range g.run.servers {
		if !slices.ContainsFunc(r.Members, func(m shard.Member) bool { return m.Node == other }) && g.rand.IntN(2) == 0 {
			node = other
		}
	}
	m := shard.Member{ID: r.Highest + 1, Node: node, Learner: true}
	for _, y := range r.Members {
		if y.Learner { // who was to come and did not get there
			m = y
		}
	}
	g.comes, g.goes = &m, x.ID
	g.run.recruit(g.shard, m)
	return true
}

// storeOf is the disk of a replica, or nil.
func (r *run) storeOf(id core.ShardID, replica uint64) *store {
	for _, s := range r.disks.stores {
		if s.identity.Shard == id && s.identity.Replica == replica {
			return s
		}
	}
	return nil
}

// recruit starts a replica that is to come, unless it runs.
func (r *run) recruit(id core.ShardID, m shard.Member) {
	r.world.After(0, "a replica comes", func() {
		if r.storeOf(id, m.ID) != nil {
			return
		}
		replica := locate(id, m.ID, m.Node)
		if err := r.buildShard(id, &replica); err != nil {
			r.broken = err
			return
		}
		r.disks.apply(r.disks.stores[len(r.disks.stores)-1])
	})
}

// retire takes a replica away that was removed: its process does nothing any more.
func (r *run) retire(id core.ShardID, replica uint64) {
	r.world.After(0, "a replica goes", func() {
		if s := r.storeOf(id, replica); s != nil && !s.retired {
			s.retired = true
			r.world.CrashProc(s.addr)
			r.world.RestartProc(s.addr)
		}
	})
}

// removed tells whether a replica of the shard was taken away.
func (r *run) removed(id core.ShardID) bool {
	return slices.ContainsFunc(r.disks.stores, func(s *store) bool { return s.identity.Shard == id && s.retired })
}

// revive starts a replica again that was removed, as if it were new.
func (r *run) revive(id core.ShardID) (*shard.Member, bool) {
	for _, s := range r.disks.stores {
		if s.identity.Shard != id || !s.retired {
			continue
		}
		r.world.After(0, "a replica comes back", func() {
			r.world.CrashProc(s.addr)
			s.retired, s.begun, s.haunts, s.ghost, s.since = false, false, true, nil, r.configured[id]
			s.kv.Lose()
			s.files.Wipe()
			s.gone()
			r.world.RestartProc(s.addr)
		})
		return &shard.Member{ID: s.identity.Replica, Node: s.node, Learner: true}, true
	}
	return nil, false
}

// idle is a process that is there no more.
type idle struct{}

// Step implements proc.Process.
func (idle) Step(proc.Now, proc.Input, *proc.Effects) {}

// drawRegroups is how long an operator rests between two exchanges, 0 for none.
func drawRegroups(random *rand.Rand, o *Options) time.Duration {
	if o.Faults == "none" || random.IntN(2) == 0 {
		return 0
	}
	return time.Duration(between(random, 500, 4000)) * time.Millisecond
}
