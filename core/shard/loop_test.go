package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/net/wire"
)

// tally is the actor type of these tests: a sum, with a refusal below zero.
func tally(policy actor.Policy) actor.Kind { return tallyOf(policy, 0) }

func tallyOf(policy actor.Policy, stateVersion uint16) actor.Kind {
	type state struct{ sum int64 }
	encode := func(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }
	decode := func(b []byte) (int64, error) {
		n, k := binary.Varint(b)
		if k <= 0 {
			return 0, fmt.Errorf("no number in %d bytes", len(b))
		}
		return n, nil
	}
	t, err := actor.Define(actor.Behavior[state, int64, int64]{
		Type: "tally",
		New:  func(core.ActorID) state { return state{} },
		Decide: func(s *state, c int64, out []int64) ([]int64, *core.Refusal) {
			if s.sum+c < 0 {
				return nil, core.Refuse("the sum would be negative")
			}
			return append(out, c), nil
		},
		Evolve:        func(s *state, e int64) { s.sum += e },
		EncodeCommand: func(dst []byte, c int64) (string, []byte) { return "add", encode(dst, c) },
		DecodeCommand: func(name string, b []byte) (int64, error) {
			if name != "add" {
				return 0, actor.ErrNoSuchCommand
			}
			return decode(b)
		},
		EncodeEvent: func(dst []byte, e int64) ([]byte, actor.EventMeta) {
			return encode(dst, e), actor.EventMeta{Name: "added", Version: 1}
		},
		DecodeEvent:  func(_ string, b, _ []byte) (int64, error) { return decode(b) },
		EncodeState:  func(dst []byte, s *state) []byte { return encode(dst, s.sum) },
		DecodeState:  func(b []byte) (state, error) { n, err := decode(b); return state{n}, err },
		Policy:       policy,
		StateVersion: stateVersion,
	})
	if err != nil {
		panic(err)
	}
	return t.Instance()
}

func sumOf(tb testing.TB, state []byte) int64 {
	tb.Helper()
	n, k := binary.Varint(state[2:])
	if k <= 0 {
		tb.Fatalf("state %x", state)
	}
	return n
}

// loop is the smallest host: it completes every effect at once, in order, and
// keeps the answers. Its stores survive its shard.
type loop struct {
	tb      reporter
	cfg     Config
	shard   *Shard
	files   *simfile.Disk
	fs      *disk.Executor
	kv      *memkv.Sim
	now     proc.Now
	queue   []proc.Input
	head    int
	out     proc.Effects
	answers []core.Answer
	drop    bool     // answers are only counted
	fed     [][]byte // frames of blocks
	count   int
	timers  map[proc.TimerID]proc.Tick
	fault   error
	marks   map[proc.Mark]int

	steps    int
	cutAt    int // the step after which the power fails, or 0
	kvOps    int
	kvFail   int  // the KV operation that fails, or 0
	kvBad    bool // all later ones too
	onAnswer func(core.Answer)
}

var errPower = errors.New("the power failed")

var door = proc.Addr{Node: 9}

// reporter is what testing.TB and rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newLoop(tb testing.TB, policy actor.Policy, change func(*Config)) *loop {
	return newLoopIn(tb, policy, change)
}

func newLoopIn(tb reporter, policy actor.Policy, change func(*Config)) *loop {
	l := &loop{tb: tb, now: proc.Now{Mono: 1, Wall: 1_700_000_000e9}, marks: make(map[proc.Mark]int)}
	l.files = simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(1, 2))})
	l.fs = disk.NewExecutor(l.files.FS(), 64)
	l.kv = memkv.NewSim(memkv.Config{Rand: rand.New(rand.NewPCG(3, 4))})
	placement, err := Spread([]proc.Addr{{}})
	if err != nil {
		tb.Fatal(err)
	}
	l.cfg = DefaultConfig()
	l.cfg.Placement, l.cfg.Kinds = placement, []actor.Kind{tally(policy)}
	l.cfg.Operators = []core.Principal{"operator"}
	if change != nil {
		change(&l.cfg)
	}
	if err := l.cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	l.start()
	return l
}

// start makes a new incarnation over what the stores hold.
func (l *loop) start() {
	l.queue, l.head, l.fault = nil, 0, nil
	l.timers = make(map[proc.TimerID]proc.Tick)
	l.shard = New(l.cfg, proc.Env{Name: "shard", Rand: rand.New(rand.NewPCG(5, 6))})
	l.put(proc.Input{Kind: proc.Start})
	l.run()
}

func (l *loop) put(in proc.Input) { l.queue = append(l.queue, in) }

func (l *loop) run() {
	for l.head < len(l.queue) && l.fault == nil {
		in := l.queue[l.head]
		l.queue[l.head] = proc.Input{}
		l.head++
		l.step(in)
	}
	if l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
}

// runSome runs at most n steps and leaves what is under way.
func (l *loop) runSome(n int) {
	for ; n > 0 && l.head < len(l.queue) && l.fault == nil; n-- {
		in := l.queue[l.head]
		l.queue[l.head] = proc.Input{}
		l.head++
		l.step(in)
	}
}

func (l *loop) step(in proc.Input) {
	l.do(func() { l.shard.Step(l.now, in, &l.out) })
}

// inside does what no input can make a shard do.
func (l *loop) inside(f func(s *Shard)) {
	l.do(func() {
		s := l.shard
		s.now, s.out = l.now, &l.out
		f(s)
		s.sendAnswers()
	})
}

// do runs a step and carries out its effects.
func (l *loop) do(f func()) {
	l.out.Reset()
	l.now.Mono += 1000
	l.now.Wall += 1000
	l.steps++
	f()
	l.fault = l.out.Fault
	for _, m := range l.out.Marks {
		l.marks[m]++
	}
	for _, q := range l.shard.Queues(nil) {
		if q.Len < 0 || q.Len > q.Limit {
			l.tb.Fatalf("queue %s holds %d, the limit is %d", q.Name, q.Len, q.Limit)
		}
	}
	for _, t := range l.out.Timers {
		l.timers[t.ID] = t.At
	}
	if l.fault == nil && l.steps == l.cutAt {
		l.cut()
	}
	for i := range l.out.Files {
		f := &l.out.Files[i]
		res := l.fs.Do(f.Op)
		l.put(proc.Input{Kind: proc.FileDone, Token: f.Token, File: &res})
	}
	for i := range l.out.KVs {
		k := &l.out.KVs[i]
		res := l.doKV(k.Op)
		l.put(proc.Input{Kind: proc.KVDone, Token: k.Token, KV: &res})
	}
	for _, s := range l.out.Sends {
		l.take(s.Frame)
	}
}

// cut is a loss of power: what the step wanted done is under way.
func (l *loop) cut() {
	for i := range l.out.Files {
		l.files.Submit(l.out.Files[i].Op)
	}
	for i := range l.out.KVs {
		l.kv.Submit(l.out.KVs[i].Op)
	}
	l.out.Files, l.out.KVs = nil, nil
	l.fault = errPower
}

func (l *loop) doKV(op disk.KVOp) disk.KVResult {
	if l.kvOps++; l.kvFail > 0 && (l.kvOps == l.kvFail || l.kvBad && l.kvOps > l.kvFail) {
		return disk.KVResult{Kind: op.Kind, Err: fmt.Errorf("kv %s: %w", op.Kind, disk.ErrIO)}
	}
	return disk.DoKV(l.kv.KV(), op)
}

// restart ends the incarnation in a crash, of the machine if the power failed,
// and starts the next one.
func (l *loop) restart(power bool) {
	l.files.Crash(power)
	l.kv.Crash(power)
	l.fs = disk.NewExecutor(l.files.FS(), 64)
	l.start()
}

// fire lets time pass until the next timer, and fires it.
func (l *loop) fire() {
	var next proc.TimerID
	for id := proc.TimerID(1); id <= timerSpace; id++ {
		if at, ok := l.timers[id]; ok && at >= 0 && (next == 0 || at < l.timers[next]) {
			next = id
		}
	}
	if next == 0 {
		return
	}
	l.now.Wall += max(0, int64(l.timers[next]-l.now.Mono))
	l.now.Mono = max(l.now.Mono, l.timers[next])
	delete(l.timers, next)
	l.put(proc.Input{Kind: proc.Timer, Timer: next})
	l.run()
}

func (l *loop) take(frame []byte) {
	if kind := wire.KindOf(frame); kind == wire.Peers || kind == wire.Transfers {
		return // to replicas that are not here
	}
	r, err := wire.Open(frame)
	if err != nil {
		l.tb.Fatal(err)
	}
	if r.Kind == wire.Blocks {
		l.fed = append(l.fed, frame)
		return
	}
	if l.drop && l.onAnswer == nil {
		l.count += r.Len()
		return
	}
	var a core.Answer
	for r.Answer(&a) {
		l.count++
		if l.onAnswer != nil {
			l.onAnswer(a)
		}
		if !l.drop {
			l.answers = append(l.answers, a)
		}
	}
}

func (l *loop) send(commands ...core.Command) {
	l.putFrame(commands...)
	l.run()
}

func (l *loop) putFrame(commands ...core.Command) {
	var w wire.Writer
	for i := range commands {
		w.Command(&commands[i])
	}
	l.put(proc.Input{Kind: proc.Message, From: door, Frame: w.Finish(wire.Commands)})
}

// ask sends commands and returns their answers.
func (l *loop) ask(commands ...core.Command) []core.Answer {
	l.answers = nil
	l.send(commands...)
	return l.answers
}

func (l *loop) session() core.SessionID {
	return core.NewSessionID(core.Timestamp(l.now.Wall)+3600e9, 7)
}

func add(session core.SessionID, number core.CommandNumber, key string, n int64) core.Command {
	return core.Command{Session: session, Number: number, Actor: core.ActorID("tally/" + key), Kind: core.Decide,
		Expected: core.AnySeq, Type: "add", Payload: binary.AppendVarint(nil, n), Principal: "alice"}
}

func readOf(key string) core.Command {
	return core.Command{Number: 1, Actor: core.ActorID("tally/" + key), Kind: core.Read, Expected: core.AnySeq}
}

// The write path in one piece: decided, durable, answered, read back, and all
// of it again after a restart, from the journal alone and from snapshots.
func TestWriteReadRestart(t *testing.T) {
	for _, policy := range []actor.Policy{{}, {SnapshotEvery: 3}, {SnapshotEvery: 3, SnapshotKeep: 2}, {Light: true}} {
		t.Run(fmt.Sprintf("%+v", policy), func(t *testing.T) {
			l := newLoop(t, policy, func(c *Config) {
				c.SegmentBytes, c.BlockBytes, c.CheckpointBytes, c.HotActors = 16<<10, 4<<10, 4<<10, 3
			})
			session := l.session()
			want := make(map[string]int64)
			number := core.CommandNumber(0)
			for round := range 200 {
				key := fmt.Sprint(round % 7)
				number++
				got := l.ask(add(session, number, key, int64(round)))
				if len(got) != 1 || got[0].Status != core.Accepted || got[0].Seq != core.Seq(round/7+1) {
					t.Fatalf("round %d: %+v, fault %v", round, got, l.fault)
				}
				want[key] += int64(round)
				if round%50 == 49 {
					l.start()
					if l.fault != nil {
						t.Fatal(l.fault)
					}
					again := l.ask(add(session, number, key, int64(round)))
					if len(again) != 1 || again[0].Seq != got[0].Seq || again[0].Status != core.Accepted {
						t.Fatalf("round %d asked again: %+v", round, again)
					}
				}
			}
			for key, sum := range want {
				got := l.ask(readOf(key))
				if len(got) != 1 || sumOf(t, got[0].State) != sum {
					t.Errorf("%s: %+v, want sum %d", key, got, sum)
				}
			}
			refused := l.ask(add(session, number+1, "0", -1<<40))
			if len(refused) != 1 || refused[0].Status != core.Refused || refused[0].Code != core.CodeRule {
				t.Errorf("refusal: %+v", refused)
			}
		})
	}
}

// A history comes back whole and in order, in pages.
func TestHistory(t *testing.T) {
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.SegmentBytes, c.BlockBytes, c.WindowBytes = 16<<10, 4<<10, 0 })
	session := l.session()
	for i := range 500 {
		l.ask(add(session, core.CommandNumber(i+1), "a", int64(i)))
	}
	l.start()
	c := readOf("a")
	c.Kind, c.Expected = core.History, 100
	got := l.ask(c)
	if len(got) != 1 || got[0].Status != core.Accepted {
		t.Fatalf("%+v fault %v", got, l.fault)
	}
	events, err := wire.DecodeEvents(c.Actor, got[0].State)
	if err != nil || len(events) != 401 || events[0].Seq != 100 || events[400].Seq != 500 {
		t.Fatalf("%d events, %v", len(events), err)
	}
}

// A long history is read in pages, each from where the one before ended: every block
// is read about twice, and not once for each page behind it.
func TestHistoryByPages(t *testing.T) {
	const events = 3000
	l := newLoop(t, actor.Policy{}, func(c *Config) {
		c.SegmentBytes, c.BlockBytes, c.WindowBytes, c.HistoryBytes = 64<<10, 1<<10, 0, 4<<10
	})
	session := l.session()
	for i := range events {
		c := add(session, core.CommandNumber(i+1), "a", int64(i))
		c.AckedBelow = c.Number
		l.ask(c)
	}
	l.start()
	c := readOf("a")
	c.Kind = core.History
	pages, begun := 0, l.steps
	for c.Expected = 1; c.Expected <= events; pages++ {
		got := l.ask(c)
		if len(got) != 1 || got[0].Status != core.Accepted || got[0].Seq != events {
			t.Fatalf("from %d: %+v fault %v", c.Expected, got, l.fault)
		}
		page, err := wire.DecodeEvents(c.Actor, got[0].State)
		if err != nil || len(page) == 0 {
			t.Fatalf("from %d: %d events, %v", c.Expected, len(page), err)
		}
		for _, e := range page {
			if e.Seq != c.Expected {
				t.Fatalf("event %d, want %d", e.Seq, c.Expected)
			}
			c.Expected++
		}
	}
	// One block has one event here. A page asks, reads its blocks, and reads the one
	// again at which the one before ended.
	if took := l.steps - begun; took > 2*events+4*pages || pages < 20 || l.marks[markResumed] != pages-1 {
		t.Errorf("%d steps for %d blocks in %d pages, %d of them resumed", took, events, pages, l.marks[markResumed])
	}
	// Pages of two readers at once, and one from the middle: what is remembered is
	// nobody's.
	for _, from := range []core.Seq{1, 1500, 1, 40, 1500, 2999, 3000} {
		c.Expected = from
		page, err := wire.DecodeEvents(c.Actor, l.ask(c)[0].State)
		if err != nil || len(page) == 0 || page[0].Seq != from {
			t.Fatalf("from %d: %d events, %v", from, len(page), err)
		}
	}
}

// H2: a block that was decided under an older epoch is void, and its commands
// are decided again.
func TestFenceVoidsWhatIsInFlight(t *testing.T) {
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.BlockCommands = 2 })
	session := l.session()
	fence := core.Command{Number: 1, Actor: "tally/x", Kind: core.Fence, Principal: "operator",
		Payload: binary.LittleEndian.AppendUint64(nil, 3)}
	void := 0
	l.cfg.Tap = func(a Applied) {
		if a.Void {
			void++
		}
	}
	l.start()
	got := l.ask(fence, add(session, 1, "a", 1), add(session, 2, "a", 2), add(session, 3, "b", 3))
	if len(got) != 4 || l.fault != nil {
		t.Fatalf("%+v %v", got, l.fault)
	}
	for _, a := range got {
		if a.Status != core.Accepted {
			t.Errorf("%+v", a)
		}
	}
	if void == 0 {
		t.Error("no block was void")
	}
	if sum := sumOf(t, l.ask(readOf("a"))[0].State); sum != 3 {
		t.Errorf("sum %d, want 3", sum)
	}
}

// With compaction on, the journal stays small and nothing is forgotten (H3).
func TestCompaction(t *testing.T) {
	l := newLoop(t, actor.Policy{SnapshotEvery: 10}, func(c *Config) {
		c.SegmentBytes, c.BlockBytes, c.CheckpointBytes, c.CompactKeep, c.HotActors = 16<<10, 4<<10, 8<<10, 32<<10, 4
	})
	session := l.session()
	number := core.CommandNumber(0)
	for round := range 4000 {
		number++
		c := add(session, number, fmt.Sprint(round%20), 1)
		c.AckedBelow = number
		got := l.ask(c)
		if len(got) != 1 || got[0].Status != core.Accepted || got[0].Seq != core.Seq(round/20+1) {
			t.Fatalf("round %d: %+v, fault %v", round, got, l.fault)
		}
		if round%1000 == 999 {
			l.start()
		}
	}
	if l.shard.journal.Floor() == 0 || l.shard.journal.Bytes() > 160<<10 {
		t.Errorf("floor %d, %d bytes", l.shard.journal.Floor(), l.shard.journal.Bytes())
	}
	for i := range 20 {
		if sum := sumOf(t, l.ask(readOf(fmt.Sprint(i)))[0].State); sum != 200 {
			t.Errorf("actor %d: sum %d, want 200", i, sum)
		}
	}
}

// known is what the shard knows of an actor, or nil.
func (s *Shard) known(id core.ActorID) *known {
	_, k := s.actors.find(s.actors.hash(id), id)
	return k
}
