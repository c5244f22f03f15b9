package gateway

import (
	"testing"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
)

// ofThree drives a gateway before one shard of three replicas.
func ofThree(t *testing.T) (*driver, []shard.Replica) {
	t.Helper()
	group := []shard.Replica{{ID: 11, Addr: proc.Addr{Node: 1, Proc: 2}}, {ID: 12, Addr: proc.Addr{Node: 2, Proc: 2}}, {ID: 13, Addr: proc.Addr{Node: 3, Proc: 2}}}
	d := drive(t, func(c *Config) {
		placement, err := shard.SpreadGroups([][]shard.Replica{group})
		if err != nil {
			t.Fatal(err)
		}
		c.Placement = placement
	})
	return d, group
}

func (d *driver) say(from *shard.Replica, a core.Answer) []sent {
	d.t.Helper()
	var w wire.Writer
	w.Answer(&a)
	return d.step(proc.Input{Kind: proc.Message, From: from.Addr, Peer: cluster + "shard", Frame: w.Finish(wire.Answers)})
}

func notLeader(c *core.Command, hint uint64) core.Answer {
	a := answerTo(c, core.RefusedAtDoor, core.CodeNotLeader)
	a.Seq = core.Seq(hint)
	return a
}

// goes expects a single command on its way to a replica.
func goes(t *testing.T, list []sent, to *shard.Replica) {
	t.Helper()
	if len(list) != 1 || list[0].to != to.Addr || len(list[0].commands) != 1 {
		t.Fatalf("want one command to replica %d: %+v", to.ID, list)
	}
}

// A hint is followed at once, and remembered for the next command.
func TestHintIsFollowed(t *testing.T) {
	d, group := ofThree(t)
	c, next := command(1), command(2)
	goes(t, d.ask(alice, "spiffe://test/alice", c), &group[0])
	goes(t, d.say(&group[0], notLeader(&c, 13)), &group[2])
	if a := one(t, d.say(&group[2], answerTo(&c, core.Accepted, 0)), alice); a.Status != core.Accepted {
		t.Fatalf("%+v", a)
	}
	goes(t, d.ask(alice, "spiffe://test/alice", next), &group[2])
}

// Two replicas that each take the other one for the leader are not asked in turn
// for ever: after a few hints the command waits for its next attempt.
func TestHintsInACircle(t *testing.T) {
	d, group := ofThree(t)
	c := command(1)
	at, frames := 0, 0
	for list := d.ask(alice, "spiffe://test/alice", c); len(list) > 0; frames++ {
		goes(t, list, &group[at])
		hint := 1 - at
		list = d.say(&group[at], notLeader(&c, group[hint].ID))
		if at = hint; frames > 2*hopsMax {
			t.Fatal("hints are followed for ever")
		}
	}
	if frames != 1+hopsMax {
		t.Errorf("%d frames in one attempt", frames)
	}
	if got := d.wait(); len(got) > 1 {
		t.Errorf("%+v", got)
	}
}

// While nobody leads the replicas are asked in turn, one in each attempt.
func TestNobodyLeads(t *testing.T) {
	d, group := ofThree(t)
	c := command(1)
	list := d.ask(alice, "spiffe://test/alice", c)
	for i := range 5 {
		goes(t, list, &group[i%3])
		if got := d.say(&group[i%3], notLeader(&c, 0)); len(got) != 0 {
			t.Fatalf("sent at once though nobody leads: %+v", got)
		}
		for list = nil; len(list) == 0; list = d.wait() {
		}
	}
}

// A replica that says nothing is given up for the next one; one that answers, if
// late, is not. The hint of one that is not asked any more counts as long as nobody
// is known to lead, and no longer.
func TestSilentReplica(t *testing.T) {
	d, group := ofThree(t)
	c := command(1)
	d.ask(alice, "spiffe://test/alice", c)
	asked := map[proc.Addr]int{}
	for range 60 {
		for _, s := range d.wait() {
			asked[s.to] += len(s.commands)
		}
		if asked[group[1].Addr] > 0 {
			break
		}
	}
	if asked[group[0].Addr] == 0 || asked[group[1].Addr] == 0 || asked[group[2].Addr] != 0 || d.marks[markGivenUp] != 1 {
		t.Fatalf("asked %v, given up %d times", asked, d.marks[markGivenUp])
	}
	goes(t, d.say(&group[0], notLeader(&c, group[2].ID)), &group[2])
	if got := d.say(&group[0], notLeader(&c, group[1].ID)); len(got) != 0 || d.g.routes[0].target != 2 {
		t.Errorf("target %d after the late word of another replica: %+v", d.g.routes[0].target, got)
	}
}

// Who was told that nobody leads is told of a leader as soon as there is one, and
// everything that waited for it goes there at once.
func TestToldLater(t *testing.T) {
	d, group := ofThree(t)
	var commands []core.Command
	for i := range 3 {
		c := command(core.CommandNumber(i + 1))
		commands = append(commands, c)
		goes(t, d.ask(alice, "spiffe://test/alice", c), &group[0])
	}
	for i := range commands {
		if got := d.say(&group[0], notLeader(&commands[i], 0)); len(got) != 0 {
			t.Fatalf("sent at once though nobody leads: %+v", got)
		}
	}
	got := d.say(&group[0], notLeader(&commands[1], group[2].ID))
	if len(got) != 1 || got[0].to != group[2].Addr || len(got[0].commands) != len(commands) {
		t.Errorf("of a new leader: %+v", got)
	}
	if got := d.say(&group[1], notLeader(&commands[1], group[0].ID)); len(got) != 0 {
		t.Errorf("of a leader that is not news: %+v", got)
	}
}

// A read that any replica may answer goes to the one on this node, and to the others in
// turn; when each has said that it is not fresh, that is the answer. Nothing of this
// changes who is taken for the leader.
func TestReadAnywhere(t *testing.T) {
	d, group := ofThree(t)
	d.g.env.Self.Node = group[1].Addr.Node
	read := core.Command{Number: 7, Actor: "counter/a", Kind: core.Read, Expected: core.AnySeq}
	core.Freshness{Level: core.Stale, MaxAge: 1e9}.Ask(&read)
	notFresh := answerTo(&read, core.RefusedAtDoor, core.CodeNotFresh)
	goes(t, d.ask(alice, "spiffe://test/alice", read), &group[1])
	goes(t, d.say(&group[1], notFresh), &group[2])
	if got := d.say(&group[1], notFresh); len(got) != 0 {
		t.Fatalf("what one said that is not asked any more counts: %+v", got)
	}
	goes(t, d.say(&group[2], notLeader(&read, 0)), &group[0])
	if a := one(t, d.say(&group[0], notFresh), alice); a.Status != core.RefusedAtDoor || a.Code != core.CodeNotFresh {
		t.Fatalf("%+v", a)
	}
	goes(t, d.ask(alice, "spiffe://test/alice", read), &group[1])
	if a := one(t, d.say(&group[1], answerTo(&read, core.Accepted, 0)), alice); a.Status != core.Accepted {
		t.Fatalf("%+v", a)
	}
	goes(t, d.ask(alice, "spiffe://test/alice", command(8)), &group[0])
	goes(t, d.ask(alice, "spiffe://test/alice", read), &group[1])
	for list := d.wait(); ; list = d.wait() {
		if len(list) == 1 && list[0].commands[0].Kind == core.Read {
			goes(t, list, &group[2]) // that one is silent
			break
		}
	}
	goes(t, d.say(&group[2], notFresh), &group[0])
	for list := d.wait(); ; list = d.wait() {
		if len(list) == 1 && list[0].to == alice { // so is the last one
			if a := one(t, list, alice); a.Code != core.CodeNotFresh || a.Status != core.RefusedAtDoor {
				t.Fatalf("%+v", a)
			}
			break
		}
	}
}
