package shard

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/seal"
)

// memory is what a shard knows, without what is decided and not durable.
func memory(l *loop, sessions ...core.SessionID) string {
	s := l.shard
	var b strings.Builder
	fmt.Fprintf(&b, "chain %x clock %d epoch %d\n", s.chain, s.clock, s.slotEpoch)
	for _, id := range sessions {
		x := s.sessions.Get(id)
		if x == nil {
			continue
		}
		line := ""
		for _, a := range x.Answers {
			if !a.Pending {
				line += fmt.Sprintf(" %+v", a)
			}
		}
		if x.Floor > 0 || line != "" {
			fmt.Fprintf(&b, "session %s floor %d:%s\n", id, x.Floor, line)
		}
	}
	for i := range s.actors.used {
		if k := s.actors.at(i); k.seq > 0 {
			fmt.Fprintf(&b, "%s %d %d %v\n", k.id, k.seq, k.last, k.snapshots())
		}
	}
	return b.String()
}

// flying is a shard with three blocks in flight: they change an actor that was
// there, make one, refuse a command, and belong to a session that was there and
// one that was not.
func flying(t *testing.T) (l *loop, list []core.Command, before string, sessions []core.SessionID) {
	l = newLoop(t, actor.Policy{SnapshotEvery: 2}, func(c *Config) { c.BlockCommands, c.Pipeline, c.Writes = 2, 3, 8 })
	one, two := l.session(), core.NewSessionID(core.Timestamp(l.now.Wall)+3600e9, 8)
	l.ask(add(one, 1, "a", 5), add(one, 2, "a", 6), add(one, 3, "b", 7), add(one, 4, "b", -100))
	sessions = []core.SessionID{one, two}
	before = memory(l, sessions...)
	list = []core.Command{add(one, 5, "a", 1), add(one, 6, "new", 2), add(two, 1, "a", -100), add(two, 2, "b", 3),
		add(one, 7, "new", -3), add(one, 8, "a", 4)}
	list[5].AckedBelow = 4
	l.answers = nil
	l.putFrame(list...)
	l.runSome(1)
	if n := len(l.shard.flights); n != 3 || len(l.answers) > 0 {
		t.Fatalf("%d blocks in flight, %d answers", n, len(l.answers))
	}
	return l, list, before, sessions
}

func (l *loop) checkSums(t *testing.T, want map[string]int64) {
	t.Helper()
	for _, key := range []string{"a", "b", "new"} {
		if got := l.ask(readOf(key)); len(got) != 1 || got[0].Status != core.Accepted || sumOf(t, got[0].State) != want[key] {
			t.Errorf("%s: %+v, want %d; fault %v", key, got, want[key], l.fault)
		}
	}
}

// again asks everything once more; each command has had its effect once then.
func (l *loop) again(t *testing.T, list []core.Command) {
	t.Helper()
	codes := []core.Code{0, 0, core.CodeRule, 0, core.CodeRule, 0}
	for range 2 {
		got := l.ask(list...)
		if len(got) != len(list) {
			t.Fatalf("%+v, fault %v", got, l.fault)
		}
		for _, a := range got {
			for i := range list {
				if list[i].Session == a.Session && list[i].Number == a.Number && a.Code != codes[i] {
					t.Errorf("%+v, want code %s", a, codes[i])
				}
			}
		}
	}
	l.checkSums(t, map[string]int64{"a": 16, "b": 10, "new": 2})
}

// When the write of blocks in flight fails, nobody is told, memory is as it was,
// and when the disk is sound again each command can be asked for once more.
func TestFailedPersistLeavesMemoryAsItWas(t *testing.T) {
	l, list, before, sessions := flying(t)
	// The writes of this step were carried out: make those of the next fail.
	more := add(sessions[0], 9, "a", 1000)
	l.files.FailNth(1, false)
	l.queue = l.queue[:l.head] // what was written is never reported
	l.shard.cfg.Pipeline = 4
	l.putFrame(more)
	l.run()
	if l.fault == nil || len(l.answers) > 0 {
		t.Fatalf("fault %v, answers %+v", l.fault, l.answers)
	}
	if after := memory(l, sessions...); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	l.files.Heal()
	l.restart(true)
	l.again(t, list)
	if got := l.ask(more); len(got) != 1 || got[0].Status != core.Accepted || got[0].Count != 1 {
		t.Errorf("%+v", got)
	}
}

// A leader that steps down drops what is in flight: memory is as it was, actors
// and sessions that came to nothing are gone, and everybody is told that the
// outcome is unknown. What was written may come back under another leader, once.
func TestLostTermDropsTheOverlay(t *testing.T) {
	l, list, before, sessions := flying(t)
	l.putFrame(readOf("a"), readOf("b"))
	l.shard.cfg.Pipeline = 3
	l.runSomeLast()
	l.inside(func(s *Shard) {
		s.leader = false
		s.stepDown()
		s.pump()
	})
	if after := memory(l, sessions...); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	s := l.shard
	if len(s.flights) > 0 || s.parked > 0 || s.mailbox.len() > 0 || s.mailbox.bytes > 0 || s.headChain != s.chain || s.headClock != s.clock {
		t.Errorf("something is left: %s, %d bytes", s, s.mailbox.bytes)
	}
	if k := s.known("tally/new"); k != nil {
		t.Error("an actor that came to nothing is still known")
	}
	unknown, refused := 0, 0
	for _, a := range l.answers {
		switch {
		case a.Status == core.Unknown && a.Code == core.CodeNotLeader && a.Kind == core.Decide:
			unknown++
		case a.Status == core.RefusedAtDoor && a.Code == core.CodeNotLeader && a.Kind == core.Read:
			refused++
		default:
			t.Errorf("%+v", a)
		}
	}
	if unknown != len(list) || refused != 2 {
		t.Errorf("%d commands and %d reads answered", unknown, refused)
	}
	l.restart(false)
	l.again(t, list)
}

// runSomeLast runs the newest input first: completions stay under way.
func (l *loop) runSomeLast() {
	n := len(l.queue) - 1
	in := l.queue[n]
	l.queue = l.queue[:n]
	l.step(in)
}

// A void block drops what is in flight, and its commands are decided again: with
// effect exactly once, though the blocks stand in the log.
func TestVoidBlocksAreDecidedAgain(t *testing.T) {
	l, list, _, _ := flying(t)
	l.inside(func(s *Shard) { s.slotEpoch++ }) // as if a fence had been applied before them
	l.run()
	if l.marks[markVoid] != 3 || l.marks[markRedecide] != 1 {
		t.Errorf("%d void blocks, %d times decided again", l.marks[markVoid], l.marks[markRedecide])
	}
	if len(l.answers) != len(list) {
		t.Fatalf("%+v, fault %v", l.answers, l.fault)
	}
	l.again(t, list)
}

// H2 on replay too: blocks in the log that extend something else, or were
// decided under an older epoch or for another shard, change nothing, and the
// commands in them can be asked for with effect once.
func TestCraftedVoidBlocks(t *testing.T) {
	void, restored := 0, 0
	l := newLoop(t, actor.Policy{}, func(c *Config) {
		c.Tap = func(a Applied) {
			if a.Void {
				void++
			}
			if a.Restored {
				restored++
			}
		}
	})
	session := l.session()
	l.ask(add(session, 1, "a", 1), core.Command{Number: 1, Actor: "tally/a", Kind: core.Fence, Principal: "operator",
		Payload: binary.LittleEndian.AppendUint64(nil, 4)}, add(session, 2, "a", 2))
	begun := void // behind the fence
	craft := func(number core.CommandNumber, change func(h *journal.Header)) {
		l.inside(func(s *Shard) {
			f := s.newFlight(journal.Commands)
			change(&f.header)
			b := journal.NewBuilder(&seal.Salter{})
			b.Start(f.header)
			who, what := b.Session(session), b.Actor("tally/a", s.actors.at(0).last, 3)
			b.Event(what, 3, &core.NewEvent{Type: "added", Version: 1, EventTime: 1, Payload: binary.AppendVarint(nil, 100)})
			b.Outcome(who, what, &journal.Outcome{Session: session, Number: number, AckedBelow: 1, Actor: what, Seq: 3, Count: 1})
			data, _ := b.Finish()
			if err := s.node.Propose(data); err != nil {
				t.Fatal(err)
			}
			s.progress()
		})
		l.run()
	}
	craft(3, func(h *journal.Header) { h.Extends[5] ^= 1 })
	craft(4, func(h *journal.Header) { h.SlotEpoch-- })
	craft(5, func(h *journal.Header) { h.SlotEpoch++ })
	craft(6, func(h *journal.Header) { h.PolicyEpoch++ })
	craft(7, func(h *journal.Header) { h.Catalog++ })
	craft(8, func(h *journal.Header) { h.Shard++ })
	if void -= begun; void != 6 {
		t.Fatalf("%d void blocks, fault %v", void, l.fault)
	}
	before := memory(l, session)
	l.restart(false)
	if void != 12+begun || memory(l, session) != before || l.fault != nil {
		t.Fatalf("%d void blocks, fault %v\n%s\n%s", void, l.fault, before, memory(l, session))
	}
	for n := core.CommandNumber(3); n <= 8; n++ {
		for range 2 {
			if got := l.ask(add(session, n, "a", 1)); len(got) != 1 || got[0].Status != core.Accepted || got[0].Seq != core.Seq(n) || got[0].Count != 1 {
				t.Fatalf("%+v fault %v", got, l.fault)
			}
		}
	}
	if sum := sumOf(t, l.ask(readOf("a"))[0].State); sum != 9 {
		t.Errorf("sum %d, want 9", sum)
	}
}

// Blocks that were written and not committed when the process died are committed
// by the next term, whole, whatever number of terms lies between.
func TestBlocksOfAnOldTerm(t *testing.T) {
	for _, terms := range []int{1, 3} {
		l, list, _, _ := flying(t)
		for range terms {
			l.restart(false)
		}
		if l.shard.term < core.Term(1+terms) {
			t.Fatalf("term %d", l.shard.term)
		}
		duplicates := l.marks[markDuplicate]
		l.again(t, list)
		if n := l.marks[markDuplicate] - duplicates; n != 2*len(list) {
			t.Errorf("%d of %d commands were recorded", n, 2*len(list))
		}
	}
}

// A fence that is in force needs no block, and says so. One for another shard's
// actor, or none, is refused.
func TestFenceAtTheDoor(t *testing.T) {
	l := newLoop(t, actor.Policy{}, nil)
	fence := func(epoch uint64) core.Command {
		return core.Command{Number: 1, Actor: "tally/a", Kind: core.Fence, Principal: "operator",
			Payload: binary.LittleEndian.AppendUint64(nil, epoch)}
	}
	if got := l.ask(fence(5)); len(got) != 1 || got[0].Status != core.Accepted || got[0].Detail != "" {
		t.Fatalf("%+v", got)
	}
	last := l.shard.journal.Last()
	for _, epoch := range []uint64{5, 4, 0} {
		got := l.ask(fence(epoch))
		if len(got) != 1 || got[0].Status != core.Accepted || got[0].Count != 0 || got[0].Detail != "the epoch is 5 already" {
			t.Errorf("%+v", got)
		}
	}
	if l.shard.journal.Last() != last || l.shard.slotEpoch != 5 {
		t.Errorf("entry %d after %d, epoch %d", l.shard.journal.Last(), last, l.shard.slotEpoch)
	}
	// Behind one that is in force, the rest of the frame goes on.
	if got := l.ask(fence(5), add(l.session(), 1, "a", 1), fence(6), add(l.session(), 2, "a", 1)); len(got) != 4 {
		t.Errorf("%+v", got)
	}
	bad := fence(9)
	bad.Actor = "nobody"
	if got := l.ask(bad); len(got) != 1 || got[0].Code != core.CodeMalformed {
		t.Errorf("%+v", got)
	}
	bad = fence(9)
	bad.Principal = "alice"
	if got := l.ask(bad); len(got) != 1 || got[0].Code != core.CodeNotPermitted {
		t.Errorf("%+v", got)
	}
	bad = fence(9)
	bad.Payload = bad.Payload[:7]
	if got := l.ask(bad); len(got) != 1 || got[0].Code != core.CodeMalformed {
		t.Errorf("%+v", got)
	}
	two, err := Spread([]proc.Addr{{}, {Node: 1}})
	if err != nil {
		t.Fatal(err)
	}
	l.cfg.Placement = two
	l.restart(false)
	codes := make(map[core.Code]int)
	for i := range 20 {
		f := fence(9)
		f.Actor = core.ActorID(fmt.Sprintf("tally/%d", i))
		for _, a := range l.ask(f) {
			codes[a.Code]++
		}
	}
	if codes[core.CodeWrongShard] == 0 || codes[core.CodeNone] == 0 || codes[core.CodeWrongShard]+codes[core.CodeNone] != 20 {
		t.Errorf("%v", codes)
	}
}

// A client whose clock is wrong learns the shard's from the refusal.
func TestRefusedSessionsTellTheTime(t *testing.T) {
	l := newLoop(t, actor.Policy{}, nil)
	now := core.Timestamp(l.now.Wall)
	for want, expires := range map[core.Code]core.Timestamp{
		core.CodeSessionExpired: now - 1, core.CodeSessionTooLong: now + core.SessionLifetimeMax + 1e9} {
		got := l.ask(add(core.NewSessionID(expires, 1), 1, "a", 1))
		if len(got) != 1 || got[0].Code != want || got[0].Timestamp < now || got[0].Timestamp > now+1e9 {
			t.Errorf("%+v, want %s at %d", got, want, now)
		}
	}
}

// Two commands have one digest only if they are one.
func TestDigest(t *testing.T) {
	event := func(kind, payload, personal string) core.NewEvent {
		return core.NewEvent{Type: kind, Version: 1, Payload: []byte(payload), Personal: []byte(personal)}
	}
	list := []core.Command{
		{Kind: core.Append, Events: []core.NewEvent{event("a", "bx", "y")}},
		{Kind: core.Append, Events: []core.NewEvent{event("ab", "xy", "")}},
		{Kind: core.Append, Events: []core.NewEvent{event("a", "bx", ""), event("y", "", "")}},
		{Kind: core.Append, Payload: []byte("a"), Events: []core.NewEvent{event("a", "bx", "y")}},
		{Kind: core.Decide, Type: "a", Payload: []byte("b")},
		{Kind: core.Decide, Type: "a", Payload: []byte("b"), Expected: 1},
		{Kind: core.Decide, Type: "ab"},
	}
	seen := make(map[uint64]int)
	for i := range list {
		if k, ok := seen[digest(&list[i], list[i].Actor.Hash())]; ok {
			t.Errorf("commands %d and %d have one digest", k, i)
		}
		seen[digest(&list[i], list[i].Actor.Hash())] = i
	}
}
