package gateway

import (
	"slices"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
)

// A route is what the gateway believes about who leads a shard.
type route struct {
	target int       // replica, in the shard's group
	since  proc.Tick // when it became the target, or last said anything
}

const (
	// hopsMax is how many hints one attempt follows: a stale one, its
	// correction, and one more for a leader that has just changed.
	hopsMax = 3
	// silenceTimes ResendMax without a word, and another replica is asked.
	silenceTimes = 2
)

// heard notes what an answer tells of who leads. Of the replica that is asked a
// refusal to lead counts, and so does the word of any that leads.
func (g *Gateway) heard(e *entry, from proc.Addr, a *core.Answer) {
	group, r := g.cfg.Placement.Group(e.shard), &g.routes[e.shard]
	at := slices.IndexFunc(group, func(x shard.Replica) bool { return x.Addr == from })
	if at < 0 {
		return
	}
	if a.Code != core.CodeNotLeader {
		if at == r.target || a.Status != core.RefusedAtDoor {
			r.target, r.since = at, g.now.Mono
		}
		return
	}
	if at != r.target {
		return
	}
	r.since = g.now.Mono
	leader := slices.IndexFunc(group, func(x shard.Replica) bool { return core.Seq(x.ID) == a.Seq })
	if leader < 0 {
		leader = (at + 1) % len(group) // it knows of none
	}
	r.target = leader
}

// silent is told that a command was not answered in time.
func (g *Gateway) silent(e *entry) {
	r := &g.routes[e.shard]
	if !e.heard && e.sentTo == r.target && g.now.Mono-max(r.since, e.asked) > silenceTimes*g.cfg.ResendMax {
		g.out.Mark(markGivenUp)
		r.target, r.since = (r.target+1)%len(g.cfg.Placement.Group(e.shard)), g.now.Mono
	}
}
