package gateway

import (
	"cmp"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
)

// A route is what the gateway believes about who leads a shard.
type route struct {
	target int       // replica, in the shard's group
	since  proc.Tick // when it became the target, or last said anything
	lost   bool      // nobody is known to lead: the target is a guess
}

// hopsMax is how many hints one attempt follows: a stale one, its correction, and
// one more for a leader that has just changed.
const hopsMax = 3

// heard notes what an answer tells of who leads, and reports whether that is news.
// Of the replica that is asked a refusal to lead counts, and so does the word of any
// that leads; of others their hint, as long as nobody is known to lead: they give it
// unasked when they were asked before they knew (see shard).
func (g *Gateway) heard(e *entry, from proc.Addr, a *core.Answer) (news bool) {
	if a.Code == core.CodeNotLeader {
		g.regrouped(e.shard, a)
	}
	group, r := g.atlas.Group(e.shard), &g.routes[e.shard]
	at := slices.IndexFunc(group, func(x shard.Replica) bool { return x.Addr == from })
	if at < 0 {
		return false
	}
	if a.Code != core.CodeNotLeader {
		if at == r.target || a.Status != core.RefusedAtDoor {
			r.target, r.since, r.lost = at, g.now.Mono, false
		}
		return false
	}
	leader := slices.IndexFunc(group, func(x shard.Replica) bool { return core.Seq(x.ID) == a.Seq })
	if at != r.target && (leader < 0 || !r.lost) {
		return false
	}
	r.since = g.now.Mono
	if leader < 0 { // it knows of none
		r.target, r.lost = (at+1)%len(group), true
		return false
	}
	news = r.lost || r.target != leader
	r.target, r.lost = leader, false
	return news
}

// replicaFor is which replica of its shard's group a command goes to: the one that
// leads, as far as is known; for a read that any may answer the nearest, and then the
// others in turn.
func (g *Gateway) replicaFor(e *entry, id core.ShardID) int {
	target := g.routes[id].target
	if !e.command.Anywhere() {
		return target
	}
	group := g.atlas.Group(id)
	if near := slices.IndexFunc(group, func(x shard.Replica) bool { return x.Addr.Node == g.env.Self.Node }); near >= 0 {
		target = near
	}
	return (target + e.turn) % len(group)
}

// elsewhere has the next replica answer a read that any may answer, when the one that
// was asked cannot. It reports whether the answer has been dealt with.
func (g *Gateway) elsewhere(e *entry, from proc.Addr, a *core.Answer) bool {
	if a.Status != core.RefusedAtDoor {
		return false
	}
	if a.Code == core.CodeNotLeader {
		g.regrouped(e.shard, a)
	}
	if a.Code != core.CodeNotFresh && a.Code != core.CodeNotLeader && a.Code != core.CodeOverloaded {
		return false
	}
	group := g.atlas.Group(e.shard)
	if e.sentTo < 0 || group[e.sentTo].Addr != from {
		return true // another one is being asked by now
	}
	if a.Code == core.CodeNotFresh {
		e.lacks = strings.Clone(cmp.Or(a.Detail, "it does not say what it lacks"))
	}
	if e.turn+1 >= len(group) {
		return g.notFresh(e)
	}
	g.out.Mark(markElsewhere)
	e.turn++
	e.due = g.now.Mono + g.cfg.Silence
	g.transmit(e)
	return true
}

// notFresh ends a read for which a replica was not fresh enough, when each has been
// asked. It reports whether it did.
func (g *Gateway) notFresh(e *entry) bool {
	if e.lacks == "" || e.turn+1 < len(g.atlas.Group(e.shard)) {
		return false
	}
	g.settle(e, &core.Answer{Session: e.key.session, Number: e.key.number, Kind: e.key.kind,
		Status: core.RefusedAtDoor, Code: core.CodeNotFresh, Detail: e.lacks})
	return true
}

// regrouped takes what a replica says of its group, and finds those again that it has to
// do with.
func (g *Gateway) regrouped(id core.ShardID, a *core.Answer) {
	old := slices.Clone(g.atlas.Group(id))
	if !g.atlas.Regrouped(id, a) {
		return
	}
	g.out.Mark(markRegrouped)
	now := g.atlas.Group(id)
	found := func(at int) int {
		return slices.IndexFunc(now, func(x shard.Replica) bool { return at >= 0 && x.ID == old[at].ID })
	}
	r := &g.routes[id]
	if r.target = found(r.target); r.target < 0 {
		r.target, r.lost = 0, true
	}
	for _, e := range g.order {
		if !e.done && e.shard == id {
			e.sentTo = found(e.sentTo)
		}
	}
}

// follow sends what a replica refused, or did not answer, to the one that leads.
func (g *Gateway) follow(id core.ShardID) {
	target := g.routes[id].target
	for _, e := range g.order {
		if !e.done && e.shard == id && !e.command.Anywhere() && (e.heard || e.sentTo != target) && e.hops < hopsMax {
			g.out.Mark(markFollowed)
			e.hops++
			g.transmit(e)
		}
	}
}

// silent is told that a command was not answered in time.
func (g *Gateway) silent(e *entry) {
	r := &g.routes[e.shard]
	if !e.heard && !e.command.Anywhere() && e.sentTo == r.target && g.now.Mono-max(r.since, e.asked) > g.cfg.Silence {
		g.leave(e.shard)
	}
}

// leave gives a replica up for the next one of its group.
func (g *Gateway) leave(id core.ShardID) {
	r := &g.routes[id]
	g.out.Mark(markGivenUp)
	r.target, r.since, r.lost = (r.target+1)%len(g.atlas.Group(id)), g.now.Mono, true
}

// shardOf is where a command goes: to the shard that it names, or to the owner of its
// actor's slot, as far as is known.
func (g *Gateway) shardOf(c *core.Command) core.ShardID {
	if named, ok := namesShard(c); ok {
		return named
	}
	return g.atlas.OwnerOf(c.Actor.Slot())
}

// namesShard tells of a command that is not for an actor but for a shard.
func namesShard(c *core.Command) (core.ShardID, bool) {
	if c.Kind != core.Fence && c.Kind != core.Move && c.Kind != core.Regroup {
		return 0, false
	}
	return c.Actor.NamesShard()
}
