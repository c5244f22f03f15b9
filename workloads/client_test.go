package workloads

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
	"actordb/sim"
)

// store is a database in one piece: actors, and what sessions were answered.
// Gateways of a test share one.
type store struct {
	actors   map[core.ActorID]*script
	sessions map[core.SessionID]*remembered
	ends     core.Timestamp // the store's clock is ahead of the true one by this much
	keep     core.Seq       // events that an actor's history keeps; 0: all
	perPage  int
}

type remembered struct {
	floor   core.CommandNumber
	answers map[core.CommandNumber]core.Answer
}

func newStore() *store {
	return &store{actors: map[core.ActorID]*script{}, sessions: map[core.SessionID]*remembered{}, perPage: 7}
}

func (s *store) actor(id core.ActorID) *script {
	a := s.actors[id]
	if a == nil {
		for _, d := range Types() {
			if d.Name == id.Type() {
				a = newScript(id, d)
			}
		}
		s.actors[id] = a
	}
	return a
}

func door(c *core.Command, code core.Code) core.Answer {
	return core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.RefusedAtDoor, Code: code}
}

// do answers a command, exactly once as the engine promises.
func (s *store) do(c *core.Command, now core.Timestamp) core.Answer {
	now += s.ends
	answer := core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, Timestamp: now}
	a := s.actor(c.Actor)
	answer.Seq = core.Seq(len(a.events))
	switch c.Kind {
	case core.Fence:
		return answer
	case core.Read:
		answer.State = a.kind.AppendState(nil, a.state)
		return answer
	case core.History:
		if kept := answer.Seq - s.keep + 1; s.keep > 0 && kept > c.Expected && kept <= answer.Seq {
			answer = door(c, core.CodeCompacted)
			answer.Seq = kept
			return answer
		}
		for i := int(c.Expected) - 1; i < len(a.events) && i < int(c.Expected)-1+s.perPage; i++ {
			answer.State = wire.AppendEvent(answer.State, &a.events[i])
		}
		return answer
	}
	session := s.sessions[c.Session]
	if session == nil {
		session = &remembered{answers: map[core.CommandNumber]core.Answer{}}
	}
	if c.Number < session.floor {
		return door(c, core.CodeBelowFloor)
	}
	if have, ok := session.answers[c.Number]; ok {
		return have
	}
	switch left := c.Session.Expires() - now; {
	case left <= 0:
		return door(c, core.CodeSessionExpired)
	case left > core.SessionLifetimeMax:
		return door(c, core.CodeSessionTooLong)
	}
	s.sessions[c.Session] = session
	session.floor = max(session.floor, c.AckedBelow)
	switch {
	case c.Expected != core.AnySeq && c.Expected != answer.Seq:
		answer.Status, answer.Code = core.Refused, core.CodeWrongSeq
	default:
		if r := a.run(failing{}, c); r != nil {
			answer.Status, answer.Code = core.Refused, r.Code
		}
	}
	for i := int(answer.Seq); i < len(a.events); i++ {
		a.events[i].Session, a.events[i].Number = c.Session, c.Number
		answer.Count++
	}
	answer.Seq = core.Seq(len(a.events))
	session.answers[c.Number] = answer
	return answer
}

type failing struct{}

func (failing) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// front is a gateway that refuses some commands at the door for no reason.
type front struct {
	store   *store
	env     proc.Env
	refuses int // per cent
	seen    func(c *core.Command)
}

func (f *front) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind != proc.Message {
		return
	}
	r, err := wire.Open(in.Frame)
	if err != nil {
		return
	}
	var w wire.Writer
	var c core.Command
	for r.Command(&c) {
		if f.seen != nil {
			f.seen(&c)
		}
		var a core.Answer
		if f.env.Rand.IntN(100) < f.refuses {
			codes := []core.Code{core.CodeOverloaded, core.CodeNotLeader, core.CodeWrongShard, core.CodeDiskFull, core.CodeSessionsFull}
			a = door(&c, codes[f.env.Rand.IntN(len(codes))])
		} else {
			a = f.store.do(&c, core.Timestamp(now.Wall))
		}
		w.Answer(&a)
		c.Events = nil
	}
	if r.Err() != nil {
		panic(r.Err()) // the frame is whole: its sender wrote nonsense
	}
	if w.Count() > 0 {
		out.Send(in.From, w.Finish(wire.Answers))
	}
}

// badNetwork loses, repeats, delays and cuts off frames, and breaks connections.
type badNetwork struct {
	rand    *rand.Rand
	percent int
}

func (n *badNetwork) Heal() { n.percent = 0 }

func (n *badNetwork) Route(_ time.Duration, _, _ proc.Addr, size int, dst []sim.Delivery) []sim.Delivery {
	delay := func() time.Duration { return time.Duration(100_000 + n.rand.IntN(3_000_000)) }
	whole := sim.Delivery{Outcome: sim.Whole, Delay: delay()}
	switch draw := n.rand.IntN(100); {
	case draw < n.percent:
		return dst
	case draw < 2*n.percent:
		late := sim.Delivery{Outcome: sim.Whole, Delay: 100 * delay()}
		return append(dst, whole, late)
	case draw < 3*n.percent:
		return append(dst, sim.Delivery{Outcome: sim.Part, Keep: n.rand.IntN(size), Delay: delay()})
	case draw < 4*n.percent:
		return append(dst, sim.Delivery{Outcome: sim.Break}, sim.Delivery{Outcome: sim.ResetSender, Delay: delay()}, sim.Delivery{Outcome: sim.ResetReceiver, Delay: delay()})
	}
	return append(dst, whole)
}

// trial is a world of clients around one store.
type trial struct {
	*sim.World
	net      *badNetwork
	store    *store
	gateways []proc.Addr
	control  Control
	records  []*Recorder
	nodes    []proc.NodeID
}

func newTrial(seed uint64, gateways, percent, refuses int, seen func(*core.Command)) *trial {
	tr := &trial{net: &badNetwork{sim.Stream(seed, "net"), percent}, store: newStore()}
	tr.World = sim.New(sim.Config{Seed: seed, Network: tr.net, Strategy: sim.Strategy{Kind: sim.Random}})
	for i := range gateways {
		node := tr.AddNode(sim.ClockConfig{})
		tr.gateways = append(tr.gateways, tr.Spawn(node, fmt.Sprintf("gateway%d", i), "", sim.Storage{}, func(env proc.Env) proc.Process {
			return &front{store: tr.store, env: env, refuses: refuses, seen: seen}
		}))
	}
	return tr
}

func (tr *trial) client(cfg ClientConfig, clock sim.ClockConfig) {
	i := len(tr.records)
	cfg.Gateways = tr.gateways
	record := NewRecorder(i, func() int64 { return int64(tr.Now()) })
	tr.records = append(tr.records, record)
	tr.nodes = append(tr.nodes, tr.AddNode(clock))
	tr.Spawn(tr.nodes[i], fmt.Sprintf("client%d", i), "", sim.Storage{}, func(env proc.Env) proc.Process {
		return NewClient(cfg, env, record, &tr.control)
	})
}

func (tr *trial) open() (n int) {
	for _, r := range tr.records {
		n += r.Open()
	}
	return n
}

// finish heals, stops the clients, waits for them and reads everything back.
func (tr *trial) finish(t *testing.T) *checkers.History {
	tr.Heal()
	healed := int64(tr.Now())
	tr.control.Stop()
	idle, err := tr.RunUntil(func() bool { return tr.open() == 0 }, tr.Now()+time.Minute)
	if err != nil || !idle {
		t.Fatalf("%d operations open a minute after stop: %v", tr.open(), err)
	}
	ended := int64(tr.Now())
	ops := Collect(tr.records)
	cfg := DefaultAuditorConfig()
	cfg.Gateways, cfg.Actors = tr.gateways, Actors(ops)
	var audit Audit
	tr.Spawn(tr.AddNode(sim.ClockConfig{}), "auditor", "", sim.Storage{}, func(env proc.Env) proc.Process { return NewAuditor(cfg, env, &audit) })
	if done, err := tr.RunUntil(audit.Done, tr.Now()+time.Minute); err != nil || !done {
		t.Fatalf("no end of the audit: %v", err)
	}
	if f := audit.Failed(); len(f) > 0 {
		t.Fatal(f)
	}
	h := &checkers.History{Ops: ops, Finals: audit.Finals()}
	h.Terms = checkers.Terms{HealedAt: healed, EndedAt: ended, Within: int64(30 * time.Second), BackoffMax: int64(DefaultClientConfig().Retry.Max), Slack: int64(time.Second)}
	for i, s := range audit.States() {
		f := h.Finals[i]
		pair := checkers.SnapshotPair{Actor: s.Actor, Seq: s.Seq, SnapshotSeq: s.Seq, Engine: s.State}
		if f.Floor == 0 {
			if pair.Fold, err = Fold(s.Actor, f.Events); err != nil || int(s.Seq) != len(f.Events) {
				t.Fatalf("%s: state at seq %d, %d events, %v", s.Actor, s.Seq, len(f.Events), err)
			}
			h.Snapshots = append(h.Snapshots, pair)
		}
	}
	return h
}

func judge(t *testing.T, h *checkers.History) {
	t.Helper()
	options := checkers.LinearizableOptions{}
	for _, r := range []checkers.Result{checkers.Linearizable(h.Ops, h.Finals, options), checkers.Snapshot(h.Snapshots),
		checkers.Durability(checkers.NewApplied(), h.Ops, h.Finals), checkers.Liveness(h.Ops, nil, nil, h.Terms)} {
		if r.Verdict != checkers.Pass || r.Examined == 0 && r.Name != "liveness" {
			t.Fatal(r)
		}
	}
}

func count(ops []checkers.Op, holds func(*checkers.Op) bool) (n int) {
	for i := range ops {
		if holds(&ops[i]) {
			n++
		}
	}
	return n
}

func accepted(o *checkers.Op) bool { return o.Status == core.Accepted }

// W1, W2, W3: over a network that loses, repeats and delays, with gateways that
// refuse and clients that crash, what is recorded is what the store did.
func TestRecordsAreTrue(t *testing.T) {
	for i, name := range Names() {
		t.Run(name, func(t *testing.T) {
			const clients = 4
			sent := map[string]string{}
			tr := newTrial(uint64(i), 3, 4, 5, func(c *core.Command) {
				c2 := *c
				c2.AckedBelow = 0
				k, v := fmt.Sprintf("%s %d %v", c.Session, c.Number, c.Kind), fmt.Sprintf("%+v", c2)
				if was, ok := sent[k]; ok && was != v {
					t.Errorf("one number, two commands: %s and %s", was, v)
				}
				sent[k] = v
			})
			cfg := DefaultClientConfig()
			cfg.Workload, cfg.Clients, cfg.Pipeline, cfg.Retry.Base = name, clients, 1+i%3, 20e6
			cfg.SessionLifetime = 3e9
			for range clients {
				tr.client(cfg, sim.ClockConfig{})
			}
			for j := range 5 {
				tr.At(time.Duration(j+1)*2*time.Second, "crash", func() { tr.Crash(tr.nodes[j%clients], true); tr.Restart(tr.nodes[j%clients]) })
			}
			if err := tr.Run(15 * time.Second); err != nil {
				t.Fatal(err)
			}
			h := tr.finish(t)
			judge(t, h)
			if n := count(h.Ops, func(o *checkers.Op) bool { return o.Return == checkers.Pending }); n > 0 {
				t.Errorf("%d operations never ended, though their clients died", n)
			}
			again := count(h.Ops, func(o *checkers.Op) bool { return len(o.Attempts) > 1 })
			unknown := count(h.Ops, func(o *checkers.Op) bool { return o.Status == core.Unknown })
			reads := count(h.Ops, func(o *checkers.Op) bool { return o.Kind == core.Read })
			n := len(h.Ops)
			if good := count(h.Ops, accepted); good < n/2 || again == 0 || unknown == 0 || reads < n/5 || reads > n/3 {
				t.Fatalf("%d operations: %d accepted, %d sent again, %d unknown, %d reads", n, good, again, unknown, reads)
			}
			for _, m := range []proc.Mark{markSwitched, markRetry, markRenewed, markDoor, markReset} {
				if tr.Marks()[m] == 0 {
					t.Errorf("%s never reached", m)
				}
			}
		})
	}
}

// W4: one seed gives one trace.
func TestSameSeedSameTrace(t *testing.T) {
	run := func() string {
		tr := newTrial(7, 2, 5, 10, nil)
		cfg := DefaultClientConfig()
		cfg.Clients, cfg.Pipeline = 3, 2
		for range 3 {
			tr.client(cfg, sim.ClockConfig{})
		}
		if err := tr.Run(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		return tr.TraceHash()
	}
	if a, b := run(), run(); a != b {
		t.Fatalf("traces %s and %s", a, b)
	}
}

// Sessions end before their expiry; a client whose clock is behind learns what
// time it is, and one whose clock is ahead keeps its promises short.
func TestSessions(t *testing.T) {
	for name, c := range map[string]struct {
		clock sim.ClockConfig
		ahead time.Duration
	}{
		"right":        {},
		"behind":       {clock: sim.ClockConfig{Offset: -time.Hour}},
		"ahead":        {clock: sim.ClockConfig{Offset: time.Hour}},
		"shards ahead": {ahead: 2 * time.Hour},
		"drift":        {clock: sim.ClockConfig{DriftPPM: -200_000}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(1, 1, 0, 0, nil)
			tr.store.ends = core.Timestamp(c.ahead)
			cfg := DefaultClientConfig()
			cfg.Workload, cfg.SessionLifetime = BankWorkload, 2e9
			tr.client(cfg, c.clock)
			if err := tr.Run(20 * time.Second); err != nil {
				t.Fatal(err)
			}
			h := tr.finish(t)
			judge(t, h)
			lost := count(h.Ops, func(o *checkers.Op) bool { return o.Status == core.Unknown })
			if n := len(tr.store.sessions); lost > 8 || n < 8 || n > 25 {
				t.Errorf("%d of %d operations unknown, %d sessions in 20 s", lost, len(h.Ops), n)
			}
		})
	}
}

// A final refusal at the door ends an operation; any other one may be about
// another copy, so the operation ends unknown.
func TestDoor(t *testing.T) {
	retries := map[core.Code]bool{core.CodeOverloaded: true, core.CodeDiskFull: true, core.CodeSessionsFull: true}
	for code, want := range map[core.Code]core.Status{
		core.CodeNotPermitted: core.RefusedAtDoor, core.CodeTooLarge: core.RefusedAtDoor, core.CodeUnknownType: core.RefusedAtDoor,
		core.CodeAppendForbidden: core.RefusedAtDoor, core.CodeMalformed: core.RefusedAtDoor,
		core.CodeOverloaded: core.Unknown, core.CodeSessionExpired: core.Unknown, core.CodeBelowFloor: core.Unknown,
		core.CodeReused: core.Unknown, core.CodeDiskFull: core.Unknown, core.CodeSessionsFull: core.Unknown, 999: core.Unknown,
	} {
		tr := newTrial(1, 0, 0, 0, nil)
		node := tr.AddNode(sim.ClockConfig{})
		tr.gateways = []proc.Addr{tr.Spawn(node, "wall", "", sim.Storage{}, func(proc.Env) proc.Process { return refusing(code) })}
		cfg := DefaultClientConfig()
		cfg.Workload, cfg.Operations, cfg.Retry.Deadline = RegisterWorkload, 20, 1e9
		tr.client(cfg, sim.ClockConfig{})
		if idle, err := tr.RunUntil(func() bool { r := tr.records[0]; return r.Issued() == 20 && r.Open() == 0 }, time.Minute); err != nil || !idle {
			t.Fatalf("%s: not idle, %v", code, err)
		}
		for i := range tr.records[0].Ops() {
			o := &tr.records[0].Ops()[i]
			if o.Status != want && o.Kind != core.Read || o.Kind == core.Read && o.Status == core.Accepted {
				t.Fatalf("%s: %s, want %s", code, o, want)
			}
			if again := len(o.Attempts) > 1; o.Kind != core.Read && again != retries[code] {
				t.Fatalf("%s: %s was sent at %d", code, o, o.Attempts)
			}
		}
	}
}

// W2: an answer to anything else leaves an operation open.
func TestAnswersMustMatch(t *testing.T) {
	record := NewRecorder(0, func() int64 { return 1 })
	cfg := DefaultClientConfig()
	cfg.Gateways, cfg.Workload = []proc.Addr{{Node: 1}}, HotWorkload
	c := NewClient(cfg, proc.Env{Rand: sim.Stream(1, "client")}, record, &Control{})
	var out proc.Effects
	c.Step(proc.Now{Mono: 1}, proc.Input{Kind: proc.Start}, &out)
	c.Step(proc.Now{Mono: 1e9}, proc.Input{Kind: proc.Timer}, &out)
	if record.Open() != 1 {
		t.Fatal("no operation began")
	}
	o := record.Ops()[0]
	right := core.Answer{Session: o.Session, Number: o.Number, Kind: o.Kind, Status: core.Accepted, State: []byte{1, 0}}
	session, number, kind := right, right, right
	session.Session[15]++
	number.Number++
	kind.Kind = core.History
	for i, a := range []core.Answer{session, number, kind, right} {
		var w wire.Writer
		w.Answer(&a)
		c.Step(proc.Now{Mono: 1e9 + 1}, proc.Input{Kind: proc.Message, Frame: w.Finish(wire.Answers)}, &out)
		if settles := i == 3; settles != (record.Open() == 0) {
			t.Errorf("answer %d: %d operations open", i, record.Open())
		}
	}
}

type refusing core.Code

func (r refusing) Step(_ proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind != proc.Message {
		return
	}
	f, err := wire.Open(in.Frame)
	if err != nil {
		return
	}
	var w wire.Writer
	var c core.Command
	for f.Command(&c) {
		a := door(&c, core.Code(r))
		w.Answer(&a)
	}
	out.Send(in.From, w.Finish(wire.Answers))
}

// Waits double up to the bound and never overflow.
func TestBackoff(t *testing.T) {
	r := Retry{Base: 3e6, Max: 1<<62 - 1, Deadline: 1e9}
	rng := sim.Stream(1, "backoff")
	for attempt, last := 1, proc.Tick(0); attempt < 200; attempt++ {
		d := r.After(attempt)
		if d < last || d > r.Max || attempt < 30 && d != r.Base<<(attempt-1) {
			t.Fatalf("attempt %d waits %d after %d", attempt, d, last)
		}
		if got := r.draw(rng, attempt); got > d || got < d-d/4-1 {
			t.Fatalf("attempt %d drew %d of %d", attempt, got, d)
		}
		last = d
	}
	for _, bad := range []Retry{{}, {Base: 1e6, Max: 1e5, Deadline: 1}, {Base: 1e6, Max: 1e6}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

// An auditor reads compacted histories from the first event kept, across
// crashes; a fence operator counts what was accepted.
func TestAuditorAndFences(t *testing.T) {
	tr := newTrial(3, 2, 4, 5, nil)
	tr.store.keep = 20
	cfg := DefaultClientConfig()
	cfg.Workload = HotWorkload
	tr.client(cfg, sim.ClockConfig{})
	ids, err := FenceActors(func(id core.ActorID) core.ShardID { return core.ShardID(id.Slot() % 4) }, 4)
	if err != nil {
		t.Fatal(err)
	}
	var fences Fences
	fc := FenceConfig{Gateways: tr.gateways, Actors: ids, Interval: 500e6, Count: 10, Retry: cfg.Retry}
	tr.Spawn(tr.AddNode(sim.ClockConfig{}), "operator", "", sim.Storage{}, func(env proc.Env) proc.Process {
		return NewFenceOperator(fc, env, &fences, &tr.control)
	})
	if err := tr.Run(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	if fences.Accepted() != 10 || fences.Open() {
		t.Errorf("%d fences accepted, want 10", fences.Accepted())
	}
	h := tr.finish(t)
	compacted := 0
	for _, f := range h.Finals {
		want := tr.store.actors[f.Actor].events
		if len(want) > 20 {
			compacted++
			want = want[len(want)-20:]
		}
		if len(f.Events) != len(want) || len(want) > 0 && f.Floor != want[0].Seq-1 {
			t.Fatalf("%s: floor %d and %d events, want %d", f.Actor, f.Floor, len(f.Events), len(want))
		}
	}
	if compacted == 0 {
		t.Fatal("no history was compacted")
	}
}

func BenchmarkClient(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		tr := newTrial(1, 1, 0, 0, nil)
		cfg := DefaultClientConfig()
		cfg.Operations, cfg.ThinkMax = 10_000, 1e6
		tr.client(cfg, sim.ClockConfig{})
		if _, err := tr.RunUntil(func() bool { return tr.records[0].Issued() == cfg.Operations }, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
