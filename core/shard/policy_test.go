package shard

import (
	"fmt"
	"strings"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
)

// stored lists the snapshots in the KV and those that durable records of actors
// name.
func stored(t *testing.T, l *loop) (snapshots map[string]bool, named []string) {
	t.Helper()
	snapshots = make(map[string]bool)
	err := l.kv.KV().Scan([]byte{0}, nil, func(key, value []byte) bool {
		switch key[0] {
		case keySnapshot:
			snapshots[string(key)] = true
		case keyActor:
			k, err := decodeKnown(core.ActorID(key[1:]), append([]byte(nil), value...))
			if err != nil {
				t.Fatal(err)
			}
			for _, seq := range k.snapshots() {
				named = append(named, string(snapshotKey(k.id, seq)))
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return snapshots, named
}

// Retention: an actor keeps as many snapshots as its type says, and what a
// record in the store names is there, after every step and every crash.
func TestSnapshotRetention(t *testing.T) {
	for _, keep := range []int{0, 1, 3} {
		l := newLoop(t, actor.Policy{SnapshotEvery: 3, SnapshotKeep: keep}, func(c *Config) {
			c.CheckpointBytes, c.SegmentBytes, c.BlockBytes = 1500, 16<<10, 4<<10
		})
		l.kv.SetFaults(memkv.Faults{LostUnflushed: 500_000})
		session := l.session()
		for n := range core.CommandNumber(200) {
			c := add(session, n+1, fmt.Sprint(n%2), 1)
			c.AckedBelow = n + 1
			l.putFrame(c)
			for l.head < len(l.queue) {
				l.runSome(1)
				there, named := stored(t, l)
				for _, key := range named {
					if !there[key] {
						t.Fatalf("keep %d: the store names %q and does not have it", keep, key)
					}
				}
			}
			if n%37 == 36 {
				l.restart(n%2 == 0)
			}
			if l.fault != nil {
				t.Fatal(l.fault)
			}
		}
		for h := range l.shard.actors.used {
			k := l.shard.actors.at(h)
			if len(k.snapshots()) != max(keep, 1) {
				t.Errorf("keep %d: %s has the snapshots %v", keep, k.id, k.snapshots())
			}
		}
		if l.marks[markPrune] == 0 || l.marks[markCheckpoint] < 5 {
			t.Errorf("keep %d: %v", keep, l.marks)
		}
	}
}

// Hydration is bounded: without a crash it folds no more events than the
// interval and what was in one block.
func TestHydrationIsBounded(t *testing.T) {
	for _, light := range []bool{false, true} {
		most, hydrated := core.Seq(0), 0
		l := newLoop(t, actor.Policy{SnapshotEvery: 5, Light: light}, func(c *Config) {
			c.HotActors, c.BlockCommands, c.WindowBytes = 2, 8, 0
			c.OnHydrate = func(h Hydrated) {
				hydrated++
				most = max(most, h.Seq-h.Snapshot)
			}
		})
		session := l.session()
		number := core.CommandNumber(0)
		for round := range 100 {
			var list []core.Command
			for range round%4 + 1 {
				number++
				list = append(list, add(session, number, fmt.Sprint(round%5), 1))
			}
			l.ask(list...)
		}
		limit := core.Seq(5 + 4 - 1)
		if light {
			limit = 0
		}
		if most > limit || hydrated < 50 || l.fault != nil {
			t.Errorf("light %t: %d hydrations fold up to %d events, fault %v", light, hydrated, most, l.fault)
		}
	}
}

// A type whose StateVersion has changed has its older states passed over, and
// new snapshots are taken and used.
func TestStateVersionChanges(t *testing.T) {
	for _, policy := range []actor.Policy{{SnapshotEvery: 4}, {SnapshotEvery: 4, Light: true}} {
		l := newLoop(t, policy, func(c *Config) { c.HotActors, c.CheckpointBytes, c.WindowBytes = 1, 1000, 0 })
		session := l.session()
		write := func(from, n core.CommandNumber) {
			for i := range n {
				if got := l.ask(add(session, from+i, fmt.Sprint(i%3), 1)); len(got) != 1 || got[0].Status != core.Accepted {
					t.Fatalf("%+v fault %v", got, l.fault)
				}
			}
		}
		sums := func(want int64) {
			for i := range 3 {
				if got := l.ask(readOf(fmt.Sprint(i))); len(got) != 1 || sumOf(t, got[0].State) != want {
					t.Fatalf("%+v, want %d, fault %v", got, want, l.fault)
				}
			}
		}
		write(1, 30)
		l.cfg.Kinds = []actor.Kind{tallyOf(policy, 1)}
		l.restart(false)
		clear(l.marks)
		sums(10)
		if n := l.marks[markFromSnapshot] + l.marks[markFromLight]; n > 0 || l.marks[markHydrate] != 3 {
			t.Errorf("%d states of the old version are used, %d hydrations", n, l.marks[markHydrate])
		}
		write(31, 30)
		sums(20)
		l.restart(false)
		clear(l.marks)
		sums(20)
		if n := l.marks[markFromSnapshot] + l.marks[markFromLight]; n != 3 {
			t.Errorf("%d of 3 states of the new version are used", n)
		}
	}
}

// compacted is a shard whose journal begins behind its first entry.
func compacted(t *testing.T) *loop {
	t.Helper()
	l := newLoop(t, actor.Policy{SnapshotEvery: 10}, func(c *Config) {
		c.SegmentBytes, c.BlockBytes, c.CheckpointBytes, c.CompactKeep = 16<<10, 4<<10, 4<<10, 17<<10
	})
	session := l.session()
	for n := range core.CommandNumber(400) {
		l.ask(add(session, n+1, fmt.Sprint(n%4), 1))
	}
	if l.fault != nil || l.shard.journal.Floor() == 0 {
		t.Fatalf("not compacted: %s, fault %v", l.shard, l.fault)
	}
	return l
}

// An actor all of whose events are compacted away keeps its state and goes on
// with its sequence (H3), after a restart too.
func TestActorWithoutEventsInTheJournal(t *testing.T) {
	l := newLoop(t, actor.Policy{SnapshotEvery: 10}, func(c *Config) {
		c.SegmentBytes, c.BlockBytes, c.CheckpointBytes, c.CompactKeep = 16<<10, 4<<10, 4<<10, 17<<10
	})
	session := l.session()
	l.ask(add(session, 1, "quiet", 7), add(session, 2, "quiet", 8))
	for n := core.CommandNumber(3); n < 400; n++ {
		l.ask(add(session, n, fmt.Sprint(n%4), 1))
	}
	for range 2 {
		k := l.shard.known("tally/quiet")
		if k.last > l.shard.journal.Floor() || k.seq != 2 {
			t.Fatalf("%+v above the floor %d, fault %v", k, l.shard.journal.Floor(), l.fault)
		}
		if got := l.ask(readOf("quiet")); len(got) != 1 || got[0].Seq != 2 || sumOf(t, got[0].State) != 15 {
			t.Fatalf("%+v, fault %v", got, l.fault)
		}
		history := readOf("quiet")
		history.Kind, history.Expected = core.History, 1
		if got := l.ask(history); len(got) != 1 || got[0].Code != core.CodeCompacted || got[0].Seq != 3 {
			t.Errorf("%+v", got)
		}
		l.restart(true)
	}
	if got := l.ask(add(session, 400, "quiet", 1)); len(got) != 1 || got[0].Seq != 3 || got[0].Count != 1 {
		t.Errorf("%+v, fault %v", got, l.fault)
	}
	l.restart(true)
	if got := l.ask(readOf("quiet")); len(got) != 1 || got[0].Seq != 3 || sumOf(t, got[0].State) != 16 {
		t.Errorf("%+v, fault %v", got, l.fault)
	}
}

// The derived store can be lost whole as long as the journal is whole; once it
// is compacted the loss is refused, and nothing is written over.
func TestLossOfTheStore(t *testing.T) {
	l := newLoop(t, actor.Policy{SnapshotEvery: 3}, func(c *Config) { c.CheckpointBytes = 1000 })
	session := l.session()
	for n := range core.CommandNumber(50) {
		l.ask(add(session, n+1, fmt.Sprint(n%4), 1))
	}
	before := l.ask(add(session, 50, "1", 1))
	l.kv.Lose()
	l.restart(true)
	if after := l.ask(add(session, 50, "1", 1)); len(after) != 1 || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%+v, was %+v, fault %v", after, before, l.fault)
	}
	if sum := sumOf(t, l.ask(readOf("1"))[0].State); sum != 13 {
		t.Errorf("sum %d, want 13", sum)
	}

	l = compacted(t)
	l.kv.Lose()
	for range 2 {
		l.restart(true)
		if l.fault == nil || !strings.Contains(l.fault.Error(), "restore the store from a backup") || l.kv.Len() > 0 {
			t.Errorf("fault %v, %d keys", l.fault, l.kv.Len())
		}
	}
}

// States of another version that cover compacted events cannot be passed over:
// the fault says so, and the version that stored them still serves.
func TestStateVersionChangesAfterCompaction(t *testing.T) {
	l := compacted(t)
	old := l.cfg.Kinds
	l.cfg.Kinds = []actor.Kind{tallyOf(old[0].Policy(), 1)}
	l.restart(false)
	l.ask(readOf("1"))
	if l.fault == nil || !strings.Contains(l.fault.Error(), "stored by another version") {
		t.Errorf("fault %v", l.fault)
	}
	l.cfg.Kinds = old
	l.restart(false)
	if got := l.ask(readOf("1")); len(got) != 1 || sumOf(t, got[0].State) != 100 {
		t.Errorf("%+v, fault %v", got, l.fault)
	}
}

// A snapshot that could not be stored is named by no durable checkpoint, though
// later writes succeed.
func TestFailedSnapshotIsNotNamed(t *testing.T) {
	for n := 1; n < 40; n++ {
		l := newLoop(t, actor.Policy{SnapshotEvery: 1}, func(c *Config) { c.CheckpointBytes = 300 })
		session := l.session()
		l.kvFail = l.kvOps + n
		for i := range core.CommandNumber(20) {
			l.ask(add(session, i+1, fmt.Sprint(i%3), 1), add(session, i+100, fmt.Sprint(i%3+1), 1))
			if l.fault != nil {
				break
			}
		}
		there, named := stored(t, l)
		for _, key := range named {
			if !there[key] {
				t.Fatalf("operation %d failed (%v): the store names %q and does not have it", n, l.fault, key)
			}
		}
	}
}

// A block with states of light persistence keeps to its size, whatever number
// of actors it touches.
func TestLightBlocksAreBounded(t *testing.T) {
	largest := 0
	l := newLoop(t, actor.Policy{Light: true}, func(c *Config) {
		c.Kinds = []actor.Kind{bulky(4 << 10)}
		c.BlockBytes = 16 << 10
		c.Tap = func(a Applied) {
			n := 0
			for _, s := range a.Block.States() {
				n += len(s.State)
			}
			largest = max(largest, n)
		}
	})
	session := l.session()
	for round := range core.CommandNumber(3) {
		var list []core.Command
		for i := range core.CommandNumber(100) {
			list = append(list, add(session, round*100+i+1, fmt.Sprint(i), 1))
		}
		largest = 0
		if got := l.ask(list...); len(got) != 100 {
			t.Fatalf("%d answers, fault %v", len(got), l.fault)
		}
	}
	if largest > 2*l.cfg.BlockBytes {
		t.Errorf("a block of at most %d bytes carries states of %d", l.cfg.BlockBytes, largest)
	}
}

// bulky is a tally whose state takes much room.
func bulky(size int) actor.Kind { return padded{tally(actor.Policy{Light: true}), size} }

type padded struct {
	actor.Kind
	size int
}

func (p padded) AppendState(dst []byte, s actor.State) []byte {
	return append(p.Kind.AppendState(dst, s), make([]byte, p.size)...)
}

// A state too large for an answer is refused as such, and the shard goes on.
func TestReadOfAHugeState(t *testing.T) {
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.Kinds = []actor.Kind{bulky(actor.StateBytesMax)} })
	session := l.session()
	if got := l.ask(add(session, 1, "a", 1)); len(got) != 1 || got[0].Status != core.Accepted {
		t.Fatalf("%+v fault %v", got, l.fault)
	}
	if got := l.ask(readOf("a")); len(got) != 1 || got[0].Code != core.CodeTooLarge {
		t.Errorf("%+v fault %v", got, l.fault)
	}
	// In the block that changes it, too.
	if got := l.ask(add(session, 2, "a", 1), readOf("a"), add(session, 3, "a", 1)); len(got) != 3 {
		t.Errorf("%+v fault %v", got, l.fault)
	}
}

// Hydrations that wait for a place all get one, the first to wait first.
func TestHydrationsQueue(t *testing.T) {
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.Hydrations, c.HotActors, c.WindowBytes = 1, 2, 0 })
	session := l.session()
	const actors = 50
	for i := range core.CommandNumber(actors) {
		l.ask(add(session, i+1, fmt.Sprint(i), 1))
	}
	l.restart(false)
	var list []core.Command
	for i := range core.CommandNumber(actors) {
		list = append(list, add(session, actors+i+1, fmt.Sprint(i), 1))
	}
	got := l.ask(list...)
	if len(got) != actors || l.shard.wanted != nil || l.shard.parked+l.shard.waiting > 0 {
		t.Fatalf("%d answers, fault %v; %s", len(got), l.fault, l.shard)
	}
	for i, a := range got {
		if a.Number != core.CommandNumber(actors+i+1) || a.Seq != 2 {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
}

// With a full disk what needs no space goes on: reads, histories, repetitions,
// fences in force. A leader whose first entry waits for space gets it when
// there is some.
func TestFullDisk(t *testing.T) {
	l := newLoop(t, actor.Policy{AllowAppend: true}, func(c *Config) { c.SegmentBytes, c.BlockBytes = 16<<10, 4<<10 })
	session := l.session()
	first := l.ask(add(session, 1, "a", 1))
	l.files.SetFaults(simfile.Faults{QuotaBytes: 1}) // what is reserved stays so
	var last core.Answer
	n := core.CommandNumber(1)
	for ; last.Code != core.CodeDiskFull && n < 1000; n++ {
		c := add(session, n+1, "a", 1)
		c.Kind, c.Type, c.Payload = core.Append, "", nil
		c.Events = []core.NewEvent{{Type: "added", Version: 1, Payload: append([]byte{2}, make([]byte, 2000)...)}}
		got := l.ask(c)
		if len(got) != 1 {
			t.Fatalf("%+v fault %v; %s", got, l.fault, l.shard)
		}
		last = got[0]
	}
	if last.Status != core.RefusedAtDoor || last.Code != core.CodeDiskFull {
		t.Fatalf("%+v", last)
	}
	if again := l.ask(add(session, 1, "a", 1)); len(again) != 1 || fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("%+v, was %+v", again, first)
	}
	if got := l.ask(readOf("a")); len(got) != 1 || got[0].Status != core.Accepted {
		t.Errorf("%+v", got)
	}
	history := readOf("a")
	history.Kind, history.Expected = core.History, 1
	if got := l.ask(history); len(got) != 1 || got[0].Status != core.Accepted {
		t.Errorf("%+v", got)
	}
	for range 30 { // terms fill the slack
		l.restart(false)
		if l.fault != nil {
			t.Fatal(l.fault)
		}
	}
	l.files.Heal()
	for range 10 {
		l.fire()
	}
	if !l.shard.Serving() {
		t.Fatalf("not serving: %s", l.shard)
	}
	if got := l.ask(add(session, n+1, "a", 1)); len(got) != 1 || got[0].Status != core.Accepted {
		t.Errorf("%+v fault %v", got, l.fault)
	}
}
