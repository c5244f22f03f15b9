package checkers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actordb/core"
)

// chooser draws the generator's decisions: from rapid in properties, so that a
// failure shrinks, from a plain source in benchmarks.
type chooser func(label string, n int) int

func fromRapid(t *rapid.T) chooser {
	return func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
}

func fromSource(r *rand.Rand) chooser {
	return func(_ string, n int) int { return r.IntN(n) }
}

// generated is a history made by running models one operation at a time, and
// then blurring when each began and ended.
type generated struct {
	History
	states map[core.ActorID]any
	seqs   map[core.ActorID]core.Seq
	events map[core.ActorID][]core.Event
}

var generatedTypes = []string{TypeRegister, TypeList, TypeBank, TypeCart, TypeCounter}

// generate makes a right history: each operation takes effect at one instant
// that lies between its invocation and its return. One in unknowns is left
// without an answer, and of those half never took effect.
func generate(choose chooser, ops, actors, clients, unknowns int) *generated {
	g := &generated{states: map[core.ActorID]any{}, seqs: map[core.ActorID]core.Seq{}, events: map[core.ActorID][]core.Event{}}
	const step, blur = 100, 1000
	free := make([]int64, clients) // when each client's last operation ended
	numbers := make([]core.CommandNumber, clients)
	at := int64(blur)
	for range ops {
		at += step
		client := choose("client", clients)
		if free[client] >= at {
			continue // busy
		}
		a := choose("actor", actors)
		actor := core.ActorID(fmt.Sprintf("%s/%d", generatedTypes[a%len(generatedTypes)], a))
		o := Op{Client: client, Actor: actor, Kind: core.Decide, Expected: core.AnySeq}
		o.Session = core.NewSessionID(0, uint64(client)+1)
		numbers[client]++
		o.Number = numbers[client]
		chooseOp(choose, &o)
		o.Invoke = max(free[client]+1, at-int64(choose("before", blur)))
		o.Return = at + int64(choose("after", blur))
		free[client] = o.Return
		lost := unknowns > 0 && o.Kind != core.Read && choose("unknown", unknowns) == 0
		if !lost || choose("happened", 2) == 0 {
			g.execute(&o, at)
		}
		if lost {
			o.Status, o.Out, o.Seq, o.Count, o.Code = core.Unknown, Value{}, 0, 0, core.CodeTimeout
		}
		g.Ops = append(g.Ops, o)
	}
	return g
}

func chooseOp(choose chooser, o *Op) {
	names := map[string][]string{
		TypeRegister: {"read", "write", "cas"}, TypeList: {"read", "append", "append"}, TypeCounter: {"read", "inc", "inc"},
		TypeBank: {"read", "deposit", "transfer", "withdraw"}, TypeCart: {"read", "add", "add", "remove", "checkout"},
	}[o.Actor.Type()]
	o.Name = names[choose("name", len(names))]
	people := []string{"ann", "bob", "cid"}
	switch o.Name {
	case "read":
		o.Kind = core.Read
		return
	case "cas":
		o.In.Ints = []int64{int64(choose("old", 4)), int64(choose("new", 4))}
	case "write", "append", "inc":
		o.In.Ints = []int64{int64(choose("value", 4))}
	case "transfer":
		o.In = Value{[]int64{int64(choose("amount", 5))}, []string{people[choose("from", 3)], people[choose("to", 3)]}}
	case "deposit", "withdraw", "add":
		o.In = Value{[]int64{int64(choose("amount", 5))}, []string{people[choose("account", 3)]}}
	case "remove":
		o.In.Strs = []string{people[choose("item", 3)]}
	}
}

// execute runs an operation on its model and fills in the answer.
func (g *generated) execute(o *Op, at int64) {
	m := modelOf(o.Actor)
	s, ok := g.states[o.Actor]
	if !ok {
		s = m.initial()
	}
	next, refused := m.step(s, o)
	o.Status, o.Seq = core.Accepted, g.seqs[o.Actor]
	switch {
	case refused:
		o.Status, o.Code = core.Refused, core.CodeRule
	case o.Kind == core.Read:
		o.Out = answerOf(m, s, o)
	default:
		g.states[o.Actor] = next
		g.seqs[o.Actor]++
		o.Seq, o.Count = g.seqs[o.Actor], 1
		e := core.Event{Actor: o.Actor, Seq: o.Seq, Type: o.Name, Session: o.Session, Number: o.Number, Committed: core.Timestamp(at), Payload: []byte(o.In.String())}
		g.events[o.Actor] = append(g.events[o.Actor], e)
		index := core.Index(len(g.Logs) + 1)
		g.Logs = append(g.Logs, LogRecord{Shard: 1, Incarnation: 1, Index: index, Term: 1, Timestamp: core.Timestamp(at), Events: []core.Event{e}})
	}
}

// answerOf computes a read's answer.
func answerOf(m model, s any, o *Op) (v Value) {
	switch m.(type) {
	case list:
		for l := s.(*listState); l != nil; l = l.before {
			v.Ints = append(v.Ints, l.last)
		}
		slices.Reverse(v.Ints)
	case cart:
		for _, h := range s.([]holding) {
			v.Strs, v.Ints = append(v.Strs, h.name), append(v.Ints, h.amount)
		}
	case bank:
		v.Ints = []int64{0}
		for _, h := range s.([]holding) {
			v.Ints[0] += h.amount
		}
	default:
		v.Ints = []int64{s.(int64)}
	}
	return v
}

// finals reads every actor back.
func (g *generated) finals() []Final {
	var list []Final
	for a, events := range g.events {
		list = append(list, Final{Actor: a, Events: slices.Clone(events)})
	}
	slices.SortFunc(list, func(x, y Final) int { return strings.Compare(string(x.Actor), string(y.Actor)) })
	return list
}

func searchOptions() LinearizableOptions { return LinearizableOptions{Timeout: time.Minute} }

// What a sequential execution explains is accepted, with and without the help
// of the history read back.
func TestRightHistoriesAreAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := generate(fromRapid(t), rapid.IntRange(1, 120).Draw(t, "ops"), 5, 4, 8)
		finals := g.finals()
		for _, r := range []Result{
			Linearizable(g.Ops, nil, searchOptions()), Linearizable(g.Ops, finals, searchOptions()),
			Sequence(appliedOf(&g.History), g.Ops, finals), Durability(appliedOf(&g.History), g.Ops, finals),
		} {
			if r.Verdict != Pass {
				t.Fatal(r)
			}
		}
	})
}

// mutations each break a right history in one way; they return false where
// they find nothing to break.
var mutations = []struct {
	name    string
	checker string // that must reject it
	mutate  func(g *generated, choose chooser) bool
}{
	{"lost write", "linearizable", func(g *generated, choose chooser) bool {
		// The answers of all operations after an acknowledged one are as if it
		// had not been there; its own answer stays.
		return g.chooseOp(choose, func(o *Op) bool { return acceptedWrite(o) }, func(o *Op) bool {
			broken := false
			for i := range g.Ops {
				p := &g.Ops[i]
				if p.Actor == o.Actor && p != o && definitive(p) && (p.Seq > o.Seq || p.Seq == o.Seq && p.Count == 0) {
					p.Seq--
					// A read that overlaps it may have come before it.
					broken = broken || p.Count > 0 || p.Invoke > o.Return
				}
			}
			return broken
		})
	}},
	{"duplicate apply", "linearizable", func(g *generated, choose chooser) bool {
		return g.chooseOp(choose, func(o *Op) bool { return acceptedWrite(o) }, func(o *Op) bool {
			for i := range g.Ops {
				p := &g.Ops[i]
				if p.Actor == o.Actor && p != o && definitive(p) && (p.Seq > o.Seq || p.Seq == o.Seq && p.Count == 0) {
					p.Seq++
				}
			}
			o.Seq++
			return !g.anyUnknown(o.Actor)
		})
	}},
	{"stale read", "linearizable", func(g *generated, choose chooser) bool {
		return g.chooseOp(choose, func(o *Op) bool {
			return o.Kind == core.Read && slices.ContainsFunc(g.Ops, func(w Op) bool {
				return w.Actor == o.Actor && acceptedWrite(&w) && w.Seq == o.Seq && w.Return < o.Invoke
			})
		}, func(o *Op) bool {
			o.Seq--
			return true
		})
	}},
	{"swapped seq", "linearizable", func(g *generated, choose chooser) bool {
		return g.chooseOp(choose, func(o *Op) bool { return acceptedWrite(o) }, func(o *Op) bool {
			for i := range g.Ops {
				p := &g.Ops[i]
				if p.Actor == o.Actor && acceptedWrite(p) && o.Return < p.Invoke {
					o.Seq, p.Seq = p.Seq, o.Seq
					return true
				}
			}
			return false
		})
	}},
	{"wrong value", "linearizable", func(g *generated, choose chooser) bool {
		return g.chooseOp(choose, func(o *Op) bool { return o.Kind == core.Read && len(o.Out.Ints) > 0 }, func(o *Op) bool {
			o.Out.Ints[choose("element", len(o.Out.Ints))]++
			return !g.anyUnknown(o.Actor)
		})
	}},
	{"event twice", "sequence", func(g *generated, choose chooser) bool {
		if len(g.Logs) < 2 {
			return false
		}
		e := g.Logs[choose("entry", len(g.Logs)-1)].Events[0]
		log := g.events[e.Actor]
		e.Seq = log[len(log)-1].Seq + 1
		if e.Number == log[len(log)-1].Number && e.Session == log[len(log)-1].Session {
			return false // contiguous: one command of two events
		}
		e.Committed = 1 << 60
		g.Logs = append(g.Logs, LogRecord{Shard: 1, Incarnation: 1, Index: core.Index(len(g.Logs) + 1), Term: 1, Timestamp: 1 << 60, Events: []core.Event{e}})
		return true
	}},
	{"entries swapped on a follower", "sequence", func(g *generated, choose chooser) bool {
		if len(g.Logs) < 2 {
			return false
		}
		i := choose("entry", len(g.Logs)-1)
		a, b := g.Logs[i], g.Logs[i+1]
		a.Index, b.Index, a.Incarnation, b.Incarnation = b.Index, a.Index, 2, 2
		g.Logs = append(g.Logs, b, a)
		return true
	}},
	{"event not read back", "durability", func(g *generated, choose chooser) bool {
		return g.chooseOp(choose, func(o *Op) bool { return acceptedWrite(o) }, func(o *Op) bool {
			log := g.events[o.Actor]
			g.events[o.Actor] = slices.Delete(log, int(o.Seq)-1, int(o.Seq))
			return true
		})
	}},
	{"refused with event", "durability", func(g *generated, choose chooser) bool {
		return g.chooseOp(choose, func(o *Op) bool { return o.Status == core.Refused }, func(o *Op) bool {
			log := g.events[o.Actor]
			g.events[o.Actor] = append(log, core.Event{Actor: o.Actor, Seq: core.Seq(len(log) + 1), Session: o.Session, Number: o.Number})
			return true
		})
	}},
}

func acceptedWrite(o *Op) bool { return o.Status == core.Accepted && o.Count > 0 }

func (g *generated) anyUnknown(a core.ActorID) bool {
	return slices.ContainsFunc(g.Ops, func(o Op) bool { return o.Actor == a && o.Status == core.Unknown })
}

func (g *generated) chooseOp(choose chooser, eligible, mutate func(o *Op) bool) bool {
	var candidates []int
	for i := range g.Ops {
		if eligible(&g.Ops[i]) {
			candidates = append(candidates, i)
		}
	}
	return len(candidates) > 0 && mutate(&g.Ops[candidates[choose("victim", len(candidates))]])
}

// A right history with one thing broken is rejected by the checker whose law
// it breaks.
func TestBrokenHistoriesAreRejected(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			rejected := 0
			rapid.Check(t, func(t *rapid.T) {
				choose := fromRapid(t)
				g := generate(choose, rapid.IntRange(20, 120).Draw(t, "ops"), 5, 4, 0)
				if !m.mutate(g, choose) {
					t.Skip("nothing to break")
				}
				h := &g.History
				h.Finals = g.finals()
				if r := checkersByName[m.checker](h); r.Verdict != Fail {
					t.Fatalf("%s after %s", r, m.name)
				}
				rejected++
			})
			if rejected == 0 {
				t.Error("nothing was ever broken")
			}
		})
	}
}

// The order given by the sequence and porcupine's own search agree: without
// the sequence's help a small history gets the same verdict.
func TestAgreesWithPlainSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := fromRapid(t)
		g := generate(choose, rapid.IntRange(1, 40).Draw(t, "ops"), 5, 4, 6)
		if choose("break", 2) == 0 {
			m := mutations[choose("mutation", 5)]
			m.mutate(g, choose)
		}
		judged := Linearizable(g.Ops, nil, searchOptions()).Verdict
		if plain := plainVerdict(g.Ops); judged != plain {
			t.Fatalf("judged %s, plain search says %s", judged, plain)
		}
	})
}

// plainVerdict searches with no cut, no given order and no pruning: an
// operation without an answer happens at any time after its invocation, or not.
func plainVerdict(ops []Op) Verdict {
	for _, h := range actorHistories(ops, nil) {
		all := slices.Concat(h.ops, h.open)
		if !plainSearch(&h, all, make([]bool, len(all)), position{state: h.model.initial()}) {
			return Fail
		}
	}
	return Pass
}

func plainSearch(h *actorHistory, all []placed, done []bool, at position) bool {
	finished := true
	earliest := int64(Pending)
	for i := range all {
		if !done[i] && !all[i].open {
			finished = false
			earliest = min(earliest, all[i].returned)
		}
	}
	if finished {
		return true
	}
	for i := range all {
		p := &all[i]
		if done[i] || p.invoke > earliest {
			continue
		}
		next, ok := at, false
		if p.open {
			state, refused := h.model.step(at.state, p.Op)
			next, ok = position{at.seq + 1, state}, !refused
		} else {
			var why string
			next, why = h.apply(at, p, nil)
			ok = why == ""
		}
		if !ok {
			continue
		}
		done[i] = true
		if plainSearch(h, all, done, next) {
			return true
		}
		done[i] = false
	}
	return false
}

// Any history written and read is itself.
func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := generate(fromRapid(t), 40, 5, 4, 8)
		h := &g.History
		h.Finals = g.finals()
		var first, second bytes.Buffer
		if err := Write(&first, h); err != nil {
			t.Fatal(err)
		}
		back, err := Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(&second, back); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatal("reading and writing changes the bytes")
		}
	})
}

// A violation is drawn where the options say.
func TestViolationIsDrawn(t *testing.T) {
	h, _ := readCase(t, "testdata/invalid/linearizable/stale_read.jsonl")
	file := t.TempDir() + "/violation.html"
	r := Linearizable(h.Ops, nil, LinearizableOptions{HTML: file})
	if r.Verdict != Fail || !slices.Contains(r.Evidence, file) {
		t.Fatalf("%s, evidence %v", r, r.Evidence)
	}
}

// benchmarkOps is what one run of the simulator leaves behind.
const benchmarkOps = 60_000

func benchmarkHistory(actors int) *generated {
	g := generate(fromSource(rand.New(rand.NewPCG(1, 2))), benchmarkOps, actors, 64, 50)
	g.Finals = g.finals()
	return g
}

func benchmark(b *testing.B, h *History, check func(h *History) Result) {
	b.ReportAllocs()
	examined := 0
	for b.Loop() {
		r := check(h)
		if r.Verdict != Pass {
			b.Fatal(r)
		}
		examined = r.Examined
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(examined), "ns/examined")
}

func BenchmarkLinearizable(b *testing.B) {
	for _, actors := range []int{1000, 50, 5} {
		b.Run(fmt.Sprintf("actors=%d", actors), func(b *testing.B) {
			benchmark(b, &benchmarkHistory(actors).History, checkersByName["linearizable"])
		})
	}
}

func BenchmarkSequence(b *testing.B) {
	benchmark(b, &benchmarkHistory(1000).History, checkersByName["sequence"])
}

func BenchmarkDurability(b *testing.B) {
	g := benchmarkHistory(1000)
	a := appliedOf(&g.History)
	benchmark(b, &g.History, func(h *History) Result { return Durability(a, h.Ops, h.Finals) })
}

func BenchmarkSnapshot(b *testing.B) {
	h := &History{}
	state := bytes.Repeat([]byte("state"), 40)
	for i := range 1000 {
		h.Snapshots = append(h.Snapshots, SnapshotPair{"bank/a", core.Seq(i + 2), 1, uint64(i + 1), state, slices.Clone(state)})
	}
	benchmark(b, h, checkersByName["snapshot"])
}

func BenchmarkRecovery(b *testing.B) {
	h := &History{}
	for i := range int64(200) {
		p := Place{1, "log.1", i * 4096, 4096}
		h.Damages = append(h.Damages, Damage{p, "flip", i, true, true})
		h.Reports = append(h.Reports, Report{p, Repaired, i + 1, ""})
	}
	benchmark(b, h, checkersByName["recovery"])
}

func BenchmarkLiveness(b *testing.B) {
	g := benchmarkHistory(1000)
	g.Terms = Terms{HealedAt: 0, EndedAt: 1 << 60, Within: 1 << 40}
	benchmark(b, &g.History, checkersByName["liveness"])
}
