package testbed

import (
	"fmt"
	"math/rand/v2"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
	"actordb/sim"
)

// mover is an operator that moves slots between shards, one plan after the other:
// looks at what a shard owns, offers some of it to another one, asks how far it is, and
// now and then withdraws it. Two of them know nothing of each other, and one in so
// many plans is made on what was true long ago.
type mover struct {
	run     *run
	rand    *rand.Rand
	step    moveStep
	plan    shard.Move
	old     []shard.Move // plans of the past
	epoch   core.Epoch   // the greatest heard of
	session core.SessionID
	number  core.CommandNumber
	command core.Command
	asked   proc.Tick
	begun   proc.Tick
	give    bool // the plan is to be withdrawn
}

type moveStep uint8

const (
	moverRests moveStep = iota
	moverLooks
	moverOffers
	moverWithdraws
)

const (
	movers      = 2
	moverEvery  = proc.Tick(100e6)
	moverAgain  = proc.Tick(600e6)
	moverGiveUp = proc.Tick(20e9) // then it turns to another plan: this one goes on without it
)

// buildMovers makes the operators that move slots, if the seed drew them.
func (r *run) buildMovers() {
	if r.settings.moves == 0 || r.placement.Shards() < 2 {
		return
	}
	for i := range movers {
		r.world.Spawn(r.world.AddNode(r.clock()), fmt.Sprintf("mover-%d", i), operatorPeer, sim.Storage{}, func(env proc.Env) proc.Process {
			return &mover{run: r, rand: env.Rand, session: core.NewSessionID(0, env.Rand.Uint64())}
		})
	}
}

// Step implements proc.Process.
func (m *mover) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		m.rest(now, out)
	case proc.Timer:
		m.timer(now, out)
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) {
			if a.Session == m.session && a.Number == m.number && m.step != moverRests {
				m.told(now, a, out)
			}
		})
	}
}

func (m *mover) rest(now proc.Now, out *proc.Effects) {
	m.step = moverRests
	out.SetTimer(0, now.Mono+restOf(m.run.settings.moves, m.rand))
}

func (m *mover) timer(now proc.Now, out *proc.Effects) {
	if m.run.control.Stopped() {
		return
	}
	out.SetTimer(0, now.Mono+moverEvery)
	switch {
	case m.step == moverRests:
		m.begun = now.Mono
		if len(m.old) > 0 && m.rand.IntN(8) == 0 { // an old plan, as if it had been held up
			m.plan, m.step = m.old[m.rand.IntN(len(m.old))], moverOffers
			m.ask(now, m.plan.From, shard.VerbOffer, m.plan.Append(nil), out)
			return
		}
		m.step = moverLooks
		m.ask(now, core.ShardID(m.rand.IntN(m.run.placement.Shards())), shard.VerbSlots, nil, out)
	case now.Mono-m.begun > moverGiveUp:
		m.rest(now, out)
	case now.Mono-m.asked > moverAgain:
		m.send(now, out)
	}
}

func (m *mover) ask(now proc.Now, to core.ShardID, verb string, payload []byte, out *proc.Effects) {
	m.number++
	m.command = core.Command{Session: m.session, Number: m.number, Actor: core.ShardActor(to), Kind: core.Move, Expected: core.AnySeq, Type: verb, Payload: payload}
	m.send(now, out)
}

func (m *mover) send(now proc.Now, out *proc.Effects) {
	m.asked = now.Mono
	var w wire.Writer
	w.Command(&m.command)
	out.Send(m.run.gateways[m.rand.IntN(len(m.run.gateways))], w.Finish(wire.Commands))
}

func (m *mover) told(now proc.Now, a *core.Answer, out *proc.Effects) {
	switch {
	case a.Status == core.RefusedAtDoor && a.Code == core.CodeStalePlan:
		m.epoch = max(m.epoch, core.Epoch(a.Seq))
		m.rest(now, out)
	case a.Status != core.Accepted:
		// It is asked again.
	case m.step == moverLooks:
		h, err := shard.DecodeHolding(m.run.placement, a.State)
		core.Assert(err == nil, "what a shard tells of its slots: %v", err)
		from, _ := m.command.Actor.NamesShard()
		if !m.think(from, h) {
			m.rest(now, out)
			return
		}
		m.step, m.give = moverOffers, m.rand.IntN(6) == 0
		m.ask(now, from, shard.VerbOffer, m.plan.Append(nil), out)
	case m.step == moverWithdraws || a.Count > 0:
		m.rest(now, out)
	case m.give:
		m.step = moverWithdraws
		m.ask(now, m.plan.From, shard.VerbWithdraw, m.plan.Append(nil), out)
	default:
		m.number++ // how far is it?
		m.command.Number = m.number
		m.asked = now.Mono
	}
}

// think makes a plan from what a shard says of its slots: a range of them, or those of the
// actors that all clients use.
func (m *mover) think(from core.ShardID, h *shard.Holding) bool {
	to := core.ShardID(m.rand.IntN(m.run.placement.Shards() - 1))
	if to >= from {
		to++
	}
	p := shard.Move{From: from, To: to}
	first, n := m.rand.IntN(core.Slots), 1<<m.rand.IntN(12)
	hot := m.rand.IntN(2) == 0
	for slot := range core.Slot(core.Slots) {
		t := h.Of(slot)
		m.epoch = max(m.epoch, t.Epoch)
		in := (int(slot)-first+core.Slots)%core.Slots < n
		if hot {
			in = m.run.hot[slot] && m.rand.IntN(3) > 0
		}
		if in && t.Owner == from {
			p.Slots, p.Based = append(p.Slots, slot), max(p.Based, t.Epoch)
		}
	}
	if p.Based > 0 && m.rand.IntN(6) == 0 {
		p.Based-- // it was looked at before the slots went away and came back
	}
	p.ID = m.epoch + 1 + core.Epoch(m.rand.IntN(8))
	m.epoch, m.plan = p.ID, p
	if len(p.Slots) == 0 {
		return false
	}
	if m.old = append(m.old, p); len(m.old) > 16 {
		m.old = m.old[1:]
	}
	return true
}

// hotSlots are those of the actors that many clients use at once.
func hotSlots() (hot [core.Slots]bool) {
	for _, kind := range []string{"register", "list", "bank", "cart", "counter"} {
		for i := range 4 {
			for turn := range 3 {
				hot[core.ActorID(fmt.Sprintf("%s/contended-%d.%d", kind, i, turn)).Slot()] = true
			}
		}
	}
	return hot
}

// slotsOf tells the checker of slots what an entry that took effect says of them.
func (r *run) slotsOf(a *shard.Applied) {
	if a.Block == nil || a.Void {
		return
	}
	record := checkers.SlotRecord{Shard: a.Shard, Index: a.Index, Timestamp: a.Timestamp}
	var m shard.Move
	var err error
	switch a.Block.Kind {
	case journal.Commands:
		record.Did = checkers.Decided
		for i := range a.Block.Actors {
			record.Slots = append(record.Slots, a.Block.Actors[i].ID.Slot())
		}
	case journal.Offer:
		record.Did = checkers.Offered
	case journal.Hand:
		record.Did = checkers.Handed
	case journal.Drop:
		record.Did = checkers.Dropped
	case journal.Adopt:
		if m, err = shard.DecodeMove(a.Block.Note()); err == nil {
			r.adopted[moveKey{a.Shard, m.ID}] = m
		}
	case journal.Import:
		n, err := shard.DecodeImport(a.Block.Note())
		core.Assert(err == nil, "an import took effect that cannot be read: %v", err)
		if m = r.adopted[moveKey{a.Shard, n.ID}]; n.Last {
			record.Did, record.ID, record.From, record.To, record.Slots = checkers.Owned, m.ID, m.From, m.To, m.Slots
		}
	}
	switch record.Did {
	case checkers.Offered, checkers.Handed, checkers.Dropped:
		if m, err = shard.DecodeMove(a.Block.Note()); err == nil {
			record.ID, record.Based, record.From, record.To, record.Slots = m.ID, m.Based, m.From, m.To, m.Slots
		}
	case "":
		return
	}
	core.Assert(err == nil, "a block of a move took effect that cannot be read: %v", err)
	r.slots.Add(&record)
}

type moveKey struct {
	shard core.ShardID
	id    core.Epoch
}

// importOf fills in what a record of events that were moved has besides.
func importOf(a *shard.Applied, record *checkers.LogRecord) {
	n, err := shard.DecodeImport(a.Block.Note())
	if err == nil {
		err = n.Bases(func(id core.ActorID, seq core.Seq) {
			record.Bases = append(record.Bases, checkers.Base{Actor: id, Seq: seq})
		})
	}
	core.Assert(err == nil, "an import took effect that cannot be read: %v", err)
	record.Moved = true
}

// drawMoves is how long an operator rests between two moves, 0 for none.
func drawMoves(random *rand.Rand, o *Options) time.Duration {
	if o.Faults == "none" || random.IntN(2) == 0 {
		return 0
	}
	return time.Duration(between(random, 200, 3000)) * time.Millisecond
}
