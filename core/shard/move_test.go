package shard

import (
	"errors"
	"slices"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/net/wire"
)

// ofTwo makes the only replica of the first of two shards.
func ofTwo(t *testing.T) *loop {
	t.Helper()
	return newLoop(t, actor.Policy{}, func(c *Config) {
		placement, err := Spread([]proc.Addr{{}, {Node: 2, Proc: 2}})
		if err != nil {
			t.Fatal(err)
		}
		c.Placement = placement
		c.TrustedPeers = "gateway"
	})
}

// slotsOfFirst are slots of the first shard of two, which has every other one.
func slotsOfFirst(n int) (list []core.Slot) {
	for i := range n {
		list = append(list, core.Slot(2*i))
	}
	return list
}

func (l *loop) asked(t *testing.T, verb string, principal core.Principal, payload []byte) core.Answer {
	t.Helper()
	c := core.Command{Number: 7, Actor: core.ShardActor(0), Kind: core.Move, Expected: core.AnySeq, Principal: principal, Type: verb, Payload: payload}
	l.answers = nil
	var w wire.Writer
	w.Command(&c)
	l.put(proc.Input{Kind: proc.Message, From: door, Peer: "gateway", Frame: w.Finish(wire.Commands)})
	l.run()
	for _, a := range l.answers {
		if a.Kind == core.Move {
			return a
		}
	}
	t.Fatalf("%s is not answered: %v", verb, l.answers)
	return core.Answer{}
}

// A plan is compared with what is true when it is offered: slots that are elsewhere,
// that another plan has, or that have moved since it was made are not given away, and an id
// that was withdrawn is not used again. Asking again is no second plan.
func TestStalePlans(t *testing.T) {
	l := ofTwo(t)
	plan := Move{ID: 5, Based: 0, From: 0, To: 1, Slots: slotsOfFirst(10)}
	offer := func(m Move) core.Answer { return l.asked(t, VerbOffer, "operator", m.Append(nil)) }
	stale := func(why string, m Move) {
		t.Helper()
		if a := offer(m); a.Status != core.RefusedAtDoor || a.Code != core.CodeStalePlan {
			t.Errorf("%s: %s %s", why, a.Status, a.Code)
		}
	}
	elsewhere := plan
	elsewhere.Slots = []core.Slot{0, 1}
	stale("a slot of the other shard", elsewhere)
	for range 2 {
		if a := offer(plan); a.Status != core.Accepted || a.Count != 0 {
			t.Fatalf("%s %s %q", a.Status, a.Code, a.Detail)
		}
	}
	if n := len(l.shard.slots.offers); n != 1 {
		t.Fatalf("%d offers", n)
	}
	other := plan
	other.ID, other.Slots = 9, []core.Slot{18, 20}
	stale("a slot that is promised", other)
	if a := l.asked(t, verbRelease, "gateway", plan.Append(nil)); a.Status != core.Accepted {
		t.Fatalf("release: %s %s", a.Status, a.Code)
	}
	if a := offer(plan); a.Status != core.Accepted || a.Count != 1 {
		t.Errorf("a plan that was carried out: %s %s, %d", a.Status, a.Code, a.Count)
	}
	stale("slots that are gone", Move{ID: 12, Based: 5, From: 0, To: 1, Slots: slotsOfFirst(10)})
	third := Move{ID: 20, Based: 0, From: 0, To: 1, Slots: []core.Slot{100}}
	offer(third)
	if a := l.asked(t, VerbWithdraw, "operator", third.Append(nil)); a.Status != core.Accepted {
		t.Fatalf("withdraw: %s %s", a.Status, a.Code)
	}
	stale("an id that was withdrawn", third)
	if a := l.asked(t, verbRelease, "gateway", third.Append(nil)); a.Code != core.CodeStalePlan {
		t.Errorf("a plan that was withdrawn is released: %s %s", a.Status, a.Code)
	}
	// All of it stands in the log, and in the derived store.
	want := l.shard.slots.append(nil)
	l.restart(true)
	if have := l.shard.slots.append(nil); !slices.Equal(have, want) {
		t.Errorf("after a restart: %x, was %x", have, want)
	}
	if h, err := DecodeHolding(l.cfg.Placement, want); err != nil || h.Of(0) != (Tenure{1, 5}) || h.Of(100) != (Tenure{0, 0}) {
		t.Errorf("%v, %v", h, err)
	}
}

// Only operators plan moves, and only shards speak to each other about them; what is no
// move, or one of other shards, is refused for good.
func TestMovesAtTheDoor(t *testing.T) {
	l := ofTwo(t)
	plan := Move{ID: 5, From: 0, To: 1, Slots: slotsOfFirst(2)}
	back := Move{ID: 5, From: 1, To: 0, Slots: []core.Slot{1}}
	far := Move{ID: 5, From: 0, To: 9, Slots: slotsOfFirst(2)}
	for _, c := range []struct {
		what, verb string
		who        core.Principal
		payload    []byte
		code       core.Code
	}{
		{"a client's plan", VerbOffer, "client", plan.Append(nil), core.CodeNotPermitted},
		{"a client's release", verbRelease, "client", plan.Append(nil), core.CodeNotPermitted},
		{"an operator's release", verbRelease, "operator", plan.Append(nil), core.CodeNotPermitted},
		{"no verb", "steal", "operator", plan.Append(nil), core.CodeMalformed},
		{"no move", VerbOffer, "operator", []byte{1, 2}, core.CodeMalformed},
		{"bytes left over", VerbOffer, "operator", append(plan.Append(nil), 0), core.CodeMalformed},
		{"another shard's", VerbOffer, "operator", back.Append(nil), core.CodeMalformed},
		{"to nowhere", VerbOffer, "operator", far.Append(nil), core.CodeMalformed},
	} {
		if a := l.asked(t, c.verb, c.who, c.payload); a.Status != core.RefusedAtDoor || a.Code != c.code {
			t.Errorf("%s: %s %s %q", c.what, a.Status, a.Code, a.Detail)
		}
	}
	if len(l.shard.slots.offers) > 0 || l.shard.slots.moved != nil {
		t.Error("something was moved")
	}
}

// FuzzMove reads moves, rosters, holdings and notes of imports: no bytes make it panic, and what is
// read is written back as it was.
func FuzzMove(f *testing.F) {
	m := Move{ID: 9, Based: 3, From: 1, To: 2, Slots: []core.Slot{0, 7, 4095}}
	f.Add(m.Append(nil))
	r := Roster{Index: 4, Highest: 9, Members: []Member{{1, 1, false}, {9, 4, true}}}
	f.Add(r.Append(nil))
	f.Add([]byte{2, 1, 0, 0, 9, 0x81, 1, 1})
	f.Add((&Imported{ID: 4, Next: 9, Reached: 77, Last: true}).encode(nil))
	placement, err := Spread([]proc.Addr{{}, {}})
	if err != nil {
		f.Fatal(err)
	}
	h := Holding{placement: placement, offers: []Move{m}, incoming: &incoming{Move: m, next: 5, base: true}, burnt: 2}
	h.set([]core.Slot{1, 2, 3}, Tenure{0, 8})
	f.Add(h.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeMove(b); err == nil {
			if again, err := DecodeMove(m.Append(nil)); err != nil || !again.Same(&m) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		} else if !errors.Is(err, ErrMove) {
			t.Fatal(err)
		}
		if r, err := DecodeRoster(b); err == nil {
			if again, err := DecodeRoster(r.Append(nil)); err != nil || !slices.Equal(again.Members, r.Members) || again.Index != r.Index {
				t.Fatalf("%+v became %+v, %v", r, again, err)
			}
		} else if !errors.Is(err, ErrRoster) {
			t.Fatal(err)
		}
		if _, err := DecodeLags(b); err != nil && !errors.Is(err, ErrRoster) {
			t.Fatal(err)
		}
		if h, err := DecodeHolding(placement, b); err == nil {
			if _, err := DecodeHolding(placement, h.append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := DecodeImport(b); err == nil {
			_ = n.Bases(func(core.ActorID, core.Seq) {})
		}
	})
}
