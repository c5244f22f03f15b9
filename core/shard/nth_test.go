package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/net/wire"
)

// A scripted client knows, without the shard, what each of its commands must be
// answered: it sends one frame at a time and sends it again until all of it is
// answered, so whatever fails, the order of execution is that of the script.
type scripted struct {
	t       *testing.T
	l       *loop
	session core.SessionID
	number  core.CommandNumber
	sums    map[core.ActorID]int64
	events  map[core.ActorID][]int64
	asked   []*asked
	acked   core.CommandNumber
	faults  int
	judge   func(error) // of the faults
	lift    func()      // called when starting has failed repeatedly
}

type asked struct {
	command core.Command
	want    core.Answer
	got     *core.Answer
}

var scriptKeys = []string{"a", "b", "c", "d", "e"}

func newScripted(t *testing.T, l *loop) *scripted {
	return &scripted{t: t, l: l, session: l.session(), sums: make(map[core.ActorID]int64),
		events: make(map[core.ActorID][]int64), acked: 1}
}

// plan makes a command and its answer. Padding makes the journal grow.
func (s *scripted) plan(key string, n int64, expected core.Seq, padding int) *asked {
	s.number++
	id := core.ActorID("tally/" + key)
	c := add(s.session, s.number, key, n)
	c.AckedBelow, c.Expected = s.acked, expected
	if padding > 0 {
		payload := append(binary.AppendVarint(nil, n), make([]byte, padding)...)
		c.Kind, c.Type, c.Payload = core.Append, "", nil
		c.Events = []core.NewEvent{{Type: "added", Version: 1, Payload: payload}}
	}
	a := &asked{command: c, want: core.Answer{Session: s.session, Number: s.number, Kind: c.Kind, Status: core.Accepted}}
	seq := core.Seq(len(s.events[id]))
	switch {
	case expected != core.AnySeq && expected != seq:
		a.want.Status, a.want.Code = core.Refused, core.CodeWrongSeq
	case padding == 0 && s.sums[id]+n < 0:
		a.want.Status, a.want.Code, a.want.Detail = core.Refused, core.CodeRule, "the sum would be negative"
	default:
		s.sums[id] += n
		s.events[id] = append(s.events[id], n)
		seq++
		a.want.Count = 1
	}
	a.want.Seq = seq
	s.asked = append(s.asked, a)
	return a
}

// send asks until every command has its answer.
func (s *scripted) send(list ...*asked) {
	s.t.Helper()
	for attempt := 0; ; attempt++ {
		frame := make([]core.Command, len(list))
		for i := range list {
			frame[i] = list[i].command
		}
		s.take(s.l.ask(frame...), list)
		open := 0
		for _, a := range list {
			if a.got == nil {
				open++
			}
		}
		if s.l.fault == nil && open == 0 {
			return
		}
		if s.l.fault == nil || attempt > 20 {
			s.t.Fatalf("%d commands without an answer, fault %v; %s", open, s.l.fault, s.l.shard)
		}
		s.revive()
	}
}

func (s *scripted) take(answers []core.Answer, list []*asked) {
	s.t.Helper()
	for _, got := range answers {
		var a *asked
		for _, x := range list {
			if x.command.Number == got.Number {
				a = x
			}
		}
		if a == nil {
			s.t.Fatalf("an answer that nobody asked for: %+v", got)
		}
		want := a.want
		want.Timestamp = got.Timestamp
		if a.got != nil {
			want = *a.got
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			s.t.Fatalf("command %d:\n got %+v\nwant %+v", got.Number, got, want)
		}
		a.got = &got
	}
}

// revive starts the shard again after a fault.
func (s *scripted) revive() {
	s.t.Helper()
	for try := 0; s.l.fault != nil; try++ {
		s.faults++
		if s.judge != nil {
			s.judge(s.l.fault)
		}
		if try == 3 && s.lift != nil {
			s.lift()
		}
		if try > 5 {
			s.t.Fatalf("the shard does not start: %v", s.l.fault)
		}
		s.l.restart(errors.Is(s.l.fault, errPower))
	}
	if !s.l.shard.Serving() {
		s.t.Fatalf("not serving: %s", s.l.shard)
	}
}

// query asks what changes nothing until there is an answer.
func (s *scripted) query(c core.Command) core.Answer {
	s.t.Helper()
	for attempt := 0; attempt < 20; attempt++ {
		got := s.l.ask(c)
		if s.l.fault != nil {
			s.revive()
			continue
		}
		if len(got) != 1 {
			s.t.Fatalf("%s: %d answers; %s", c.Kind, len(got), s.l.shard)
		}
		return got[0]
	}
	s.t.Fatal("no answer")
	return core.Answer{}
}

func (s *scripted) check(key string) {
	s.t.Helper()
	id := core.ActorID("tally/" + key)
	got := s.query(readOf(key))
	if got.Status != core.Accepted || got.Seq != core.Seq(len(s.events[id])) || sumOf(s.t, got.State) != s.sums[id] {
		s.t.Fatalf("%s: %+v, want sum %d after %d events", id, got, s.sums[id], len(s.events[id]))
	}
	c := readOf(key)
	c.Kind, c.Expected = core.History, 1
	got = s.query(c)
	if got.Code == core.CodeCompacted {
		if got.Seq <= 1 || got.Seq > core.Seq(len(s.events[id]))+1 {
			s.t.Fatalf("%s: %+v", id, got)
		}
		if c.Expected = got.Seq; int(got.Seq) > len(s.events[id]) {
			return
		}
		got = s.query(c)
	}
	events, err := wire.DecodeEvents(id, got.State)
	if err != nil || len(events) != len(s.events[id])-int(c.Expected)+1 {
		s.t.Fatalf("%s from %d: %d events of %d, %+v %v", id, c.Expected, len(events), len(s.events[id]), got, err)
	}
	for i, e := range events {
		n, _ := binary.Varint(e.Payload)
		if at := int(c.Expected) + i; int(e.Seq) != at || n != s.events[id][at-1] {
			s.t.Fatalf("%s: event %d is %s with %d, want %d", id, at, e, n, s.events[id][at-1])
		}
	}
}

// run is the script: every path that writes or reads is in it.
func (s *scripted) run() {
	s.t.Helper()
	for round := range 14 {
		var frame []*asked
		for i := range 4 {
			key := scriptKeys[(round+i)%len(scriptKeys)]
			frame = append(frame, s.plan(key, int64(round*4+i), core.AnySeq, 900*(i&1)))
		}
		frame = append(frame, s.plan("a", -1<<40, core.AnySeq, 0), s.plan("b", 1, 999, 0))
		s.send(frame...)
		if round%3 == 2 {
			s.acked = s.number - 5
			s.check(scriptKeys[round%len(scriptKeys)])
		}
		if round == 7 {
			s.l.restart(false)
			s.revive()
		}
	}
}

// end starts once more without faults and compares everything.
func (s *scripted) end() {
	s.t.Helper()
	s.l.files.Heal()
	s.l.kvFail, s.l.cutAt = 0, 0
	s.l.restart(true)
	s.revive()
	for _, key := range scriptKeys {
		s.check(key)
	}
	for _, a := range s.asked {
		if a.command.Number >= s.acked {
			s.send(a)
		}
	}
}

func scriptLoop(t *testing.T) *loop {
	l := newLoop(t, actor.Policy{SnapshotEvery: 4, AllowAppend: true}, func(c *Config) {
		c.SegmentBytes, c.BlockBytes, c.WindowBytes = 16<<10, 2<<10, 1<<10
		c.CheckpointBytes, c.CompactKeep = 6<<10, 17<<10
		c.HotActors, c.Hydrations, c.Pipeline = 2, 1, 2
	})
	l.kv.SetFaults(memkv.Faults{LostUnflushed: 500_000})
	return l
}

// The script reaches what it is for.
func TestScript(t *testing.T) {
	l := scriptLoop(t)
	s := newScripted(t, l)
	s.run()
	s.end()
	for _, m := range []proc.Mark{markHydrate, markFromSnapshot, markPassivate, markSnapshot, markPrune, markCheckpoint,
		markReplay, markFromCheckpoint, markRefused, markHistory, markDuplicate, "journal.segment-sealed", "journal.segment-compacted"} {
		if l.marks[m] == 0 {
			t.Errorf("%s is not reached", m)
		}
	}
}

// Whichever file operation fails, once or for good: the shard stops with an error
// that names the place, and when the disk is sound again nothing is lost,
// doubled or changed.
func TestEveryFileOperationFails(t *testing.T) {
	for _, once := range []bool{true, false} {
		faults := 0
		for n := uint64(1); ; n++ {
			l := scriptLoop(t)
			s := newScripted(t, l)
			s.judge = func(err error) {
				var place *disk.PathError
				if !errors.As(err, &place) || !errors.Is(err, disk.ErrIO) {
					t.Fatalf("operation %d: %v", n, err)
				}
			}
			if !once {
				s.lift = l.files.Heal
			}
			last := l.files.OpCount() + n
			l.files.FailNth(n, once)
			s.run()
			ended := l.files.OpCount()
			s.end()
			faults += s.faults
			if ended < last {
				break
			}
		}
		if faults < 50 {
			t.Errorf("%d faults", faults)
		}
	}
}

// Likewise every KV operation.
func TestEveryKVOperationFails(t *testing.T) {
	for _, once := range []bool{true, false} {
		faults := 0
		for n := 1; ; n++ {
			l := scriptLoop(t)
			s := newScripted(t, l)
			s.judge = func(err error) {
				if !errors.Is(err, disk.ErrIO) || !bytes.Contains([]byte(err.Error()), []byte("shard 0: ")) {
					t.Fatalf("operation %d: %v", n, err)
				}
			}
			l.kvFail, l.kvBad = l.kvOps+n, !once
			if !once {
				s.lift = func() { l.kvFail = 0 }
			}
			last := l.kvFail
			s.run()
			ended := l.kvOps
			s.end()
			faults += s.faults
			if ended < last {
				break
			}
		}
		if faults < 20 {
			t.Errorf("%d faults", faults)
		}
	}
}

// The power fails after every step, and takes all that it may or half of it.
func TestPowerFailsAfterEveryStep(t *testing.T) {
	for _, rate := range []uint32{1_000_000, 500_000} {
		for n := 1; ; n++ {
			l := scriptLoop(t)
			l.files.SetFaults(simfile.Faults{LostUnsynced: rate, TornWrite: rate / 2, LostDirent: rate})
			l.kv.SetFaults(memkv.Faults{LostUnflushed: rate})
			s := newScripted(t, l)
			l.cutAt = l.steps + n
			s.run()
			if l.steps < l.cutAt {
				break
			}
			s.end()
			if s.faults != 1 {
				t.Fatalf("step %d: %d faults", n, s.faults)
			}
		}
	}
}
