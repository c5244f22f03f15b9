package testbed

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/row"
	"actordb/net/wire"
)

// asker is a client that asks in SQL, through the gateways: it declares the catalog,
// asks queries of now and of other times, and subscribes. It reads fast or slowly, goes
// away in the middle, and goes on with a subscription after its last step. What it is
// answered stands in its notebook, which outlives it.
type asker struct {
	run      *run
	rand     *rand.Rand
	notes    *notebook
	gateway  int
	declared int // of the catalog's statements
	open     []*asking
}

// notebook is what an asker was told, over all its incarnations.
type notebook struct {
	answers []answered
	chains  []*chain
	seen    core.Timestamp // the newest cut
	open    int
	ignored []string       // statements that had no reply though all was well
	refused map[string]int // by SQLSTATE
}

// answered is a query and its answer.
type answered struct {
	question *question
	at       asOfTime // that it was asked as of
	clock    core.Timestamp
	token    core.Timestamp
	exact    bool // the token was to be the cut
	cut      core.Timestamp
	rows     []string
}

// asOfTime is an AS OF; the zero one is none.
type asOfTime struct {
	system bool
	micros int64
}

// A chain is one subscription over all its resumptions: the state that its steps make.
type chain struct {
	question *question
	cut      core.Timestamp // of the last whole step
	state    map[string]int64
	steps    int
	marks    []mark
	busy     bool
	wrong    string
}

// mark is a state at a cut.
type mark struct {
	cut  core.Timestamp
	rows []string
}

// asking is a statement under way.
type asking struct {
	id       wire.AskID
	ask      wire.Ask
	question *question // nil: a declaration
	at       asOfTime
	clock    core.Timestamp
	chain    *chain // of a subscription
	change   map[string]int64
	next     uint64
	slow     bool
	due      proc.Tick
	ends     proc.Tick // it is given up, or left, then
	types    []row.Type
	rows     []string
	gateway  int
	begun    int64 // in true time
}

const (
	askerEvery   = proc.Tick(50e6)
	askerAgain   = proc.Tick(300e6)
	askerPatient = proc.Tick(10e9) // longer than the node waits for a cut
	askerSurely  = proc.Tick(6e9)  // likewise: within it there is a reply once all is well
	askersOpen   = 3
	chainsMax    = 6
	marksMax     = 12
	answersMax   = 120
)

// Step implements proc.Process.
func (a *asker) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		out.SetTimer(1, now.Mono+askerEvery)
	case proc.Message:
		r, err := wire.Open(in.Frame)
		if err != nil || r.Kind != wire.Replies || !strings.HasPrefix(in.Peer, clusterPeers) {
			return
		}
		var p wire.Reply
		for r.Reply(&p) {
			a.take(now, &p, out)
		}
	case proc.Timer:
		out.SetTimer(1, now.Mono+askerEvery)
		a.tick(now, out)
	}
	a.notes.open = len(a.open)
}

func (a *asker) tick(now proc.Now, out *proc.Effects) {
	for i := len(a.open) - 1; i >= 0; i-- {
		switch s := a.open[i]; {
		case now.Mono >= s.ends || a.run.control.Stopped() && s.chain != nil:
			a.leave(s, out)
			if s.chain == nil {
				a.gateway++
			}
			if s.next == 0 && s.chain == nil && int64(a.run.world.Now())-max(s.begun, a.run.healedAt) > int64(askerSurely) {
				a.notes.ignored = append(a.notes.ignored, s.ask.Text)
			}
		case now.Mono >= s.due:
			s.due = now.Mono + askerAgain
			a.say(s, s.next > 0, out)
		}
	}
	if len(a.open) >= askersOpen || a.run.control.Stopped() || a.rand.IntN(3) > 0 {
		return
	}
	switch {
	case a.declared < len(askedCatalog):
		if len(a.open) == 0 {
			a.begin(now, &asking{ask: wire.Ask{Text: askedCatalog[a.declared]}}, out)
		}
	case a.rand.IntN(3) == 0:
		a.subscribe(now, out)
	case len(a.notes.answers) < answersMax:
		a.query(now, out)
	}
}

// query asks one, of now or of another time.
func (a *asker) query(now proc.Now, out *proc.Effects) {
	q := &askedQueries[a.rand.IntN(len(askedQueries))]
	s, again := &asking{question: q}, false
	switch a.rand.IntN(4) {
	case 0: // a little ahead, or behind
		s.at = asOfTime{true, a.moment(now.Wall+a.rand.Int64N(4e8)-2e8, int64(a.run.asked.Committed))}
	case 1:
		s.at = asOfTime{false, a.moment(now.Wall-a.rand.Int64N(3e9), int64(a.run.asked.EventTime))}
	case 2: // at the cut of another answer, as in a transaction
		again = true
	}
	s.ask.Text = q.text(s.at)
	for _, x := range q.params {
		s.ask.Params = append(s.ask.Params, wire.Param{Text: x})
	}
	s.ask.Batch = a.rand.IntN(4) == 0
	if a.notes.seen > 0 && a.rand.IntN(2) == 0 {
		s.ask.AtLeast = a.notes.seen + core.Timestamp(a.rand.Int64N(1e8))
	}
	if n := len(a.notes.answers); again && n > 0 {
		s.ask.AtLeast, s.ask.Exact = a.notes.answers[n-1].cut, true
	}
	a.begin(now, s, out)
}

// moment is a drawn time in microseconds, or just that of an event: bounds have to be right
// to the microsecond.
func (a *asker) moment(drawn, exact int64) int64 {
	if exact > 0 && a.rand.IntN(2) == 0 {
		return exact / 1000
	}
	return drawn / 1000
}

// insist asks a question that has just been answered again, at once: what was promoted for it is
// still being built then.
func (a *asker) insist(now proc.Now, q *question, out *proc.Effects) {
	if q == nil || a.run.control.Stopped() || len(a.notes.answers) >= answersMax || a.rand.IntN(2) == 0 {
		return
	}
	s := &asking{question: q, ask: wire.Ask{Text: q.text(asOfTime{})}}
	for _, x := range q.params {
		s.ask.Params = append(s.ask.Params, wire.Param{Text: x})
	}
	a.begin(now, s, out)
}

// subscribe begins a subscription, or goes on with one.
func (a *asker) subscribe(now proc.Now, out *proc.Effects) {
	var c *chain
	if n := len(a.notes.chains); n < chainsMax {
		q := &askedViews[a.rand.IntN(len(askedViews))]
		c = &chain{question: q, state: map[string]int64{}}
		a.notes.chains = append(a.notes.chains, c)
	} else if c = a.notes.chains[a.rand.IntN(n)]; c.busy {
		return
	}
	c.busy = true
	a.begin(now, &asking{question: c.question, chain: c, change: map[string]int64{}, ask: wire.Ask{Text: c.question.asked, After: c.cut}}, out)
}

func (a *asker) begin(now proc.Now, s *asking, out *proc.Effects) {
	binary.LittleEndian.PutUint64(s.id[:], a.rand.Uint64())
	binary.LittleEndian.PutUint64(s.id[8:], a.rand.Uint64())
	s.ask.ID, s.ask.Op, s.ask.Window = s.id, wire.Run, uint32(1)<<a.rand.IntN(18)
	s.slow, s.clock = a.rand.IntN(5) == 0, core.Timestamp(now.Wall)
	s.ends, s.due = now.Mono+askerPatient, now.Mono+askerAgain
	if s.chain != nil {
		s.ends = now.Mono + proc.Tick(a.rand.Int64N(4e9))
	}
	s.gateway, s.begun = a.gateway%len(a.run.gateways), int64(a.run.world.Now())
	a.open = append(a.open, s)
	a.say(s, false, out)
}

// say sends the statement, or how far its replies have come.
func (a *asker) say(s *asking, again bool, out *proc.Effects) {
	var w wire.Writer
	if s.next == 0 {
		w.Ask(&s.ask)
	} else {
		w.Ask(&wire.Ask{ID: s.id, Op: wire.More, Next: s.next, Window: s.ask.Window, Again: again})
	}
	out.Send(a.run.gateways[s.gateway], w.Finish(wire.Asks))
}

// leave ends a statement on this side.
func (a *asker) leave(s *asking, out *proc.Effects) {
	var w wire.Writer
	w.Ask(&wire.Ask{ID: s.id, Op: wire.Cancel})
	out.Send(a.run.gateways[s.gateway], w.Finish(wire.Asks))
	a.close(s)
}

func (a *asker) close(s *asking) {
	if s.chain != nil {
		s.chain.busy = false
	}
	for i := range a.open {
		if a.open[i] == s {
			a.open = append(a.open[:i], a.open[i+1:]...)
			return
		}
	}
}

// take takes a reply.
func (a *asker) take(now proc.Now, p *wire.Reply, out *proc.Effects) {
	for _, s := range a.open {
		if s.id != p.ID {
			continue
		}
		switch {
		case p.Number < s.next:
		case p.Number > s.next:
			a.say(s, true, out)
		default:
			s.next++
			a.took(now, s, p, out)
			if !s.slow && p.What != wire.ReplyDone && p.What != wire.ReplyError {
				s.due = now.Mono + askerAgain
				a.say(s, false, out)
			}
		}
		return
	}
}

func (a *asker) took(now proc.Now, s *asking, p *wire.Reply, out *proc.Effects) {
	switch p.What {
	case wire.ReplyHead:
		for _, c := range p.Columns {
			t, err := row.ParseType(c.Type)
			core.Assert(err == nil, "an answer's type: %v", err)
			s.types = append(s.types, t)
		}
	case wire.ReplyRows:
		a.rows(s, p)
	case wire.ReplyStep:
		a.notes.seen = max(a.notes.seen, p.Cut)
		s.chain.step(p.Cut, s.change, a.rand)
		clear(s.change)
	case wire.ReplyDone:
		a.notes.seen = max(a.notes.seen, p.Cut)
		if s.question == nil {
			a.declared++
		} else {
			a.notes.answers = append(a.notes.answers, answered{s.question, s.at, s.clock, s.ask.AtLeast, s.ask.Exact, p.Cut, s.rows})
		}
		a.leave(s, out)
		a.insist(now, s.question, out)
	case wire.ReplyError:
		if a.notes.refused[p.Error.State]++; p.Error.State == "42P07" {
			a.declared++ // somebody else was first
		}
		if p.Error.State != "22023" {
			a.gateway++
		}
		a.leave(s, out)
	}
}

// rows takes rows of an answer, or changes.
func (a *asker) rows(s *asking, p *wire.Reply) {
	b := &row.Batch{}
	_, err := b.DecodeStored(p.Batch, s.types)
	core.Assert(err == nil, "an answer's rows: %v", err)
	var weights []int64
	if s.chain != nil {
		weights, _, err = row.DecodeInts(nil, p.Weights, b.N)
		core.Assert(err == nil, "a subscription's weights: %v", err)
	}
	for i := range b.N {
		var cells []string
		for _, c := range b.Cols {
			cells = append(cells, cell(c.Null(i), string(c.AppendText(nil, i))))
		}
		line := strings.Join(cells, "|")
		if s.chain == nil {
			s.rows = append(s.rows, line)
		} else {
			s.change[line] += weights[i]
		}
	}
}

// buildAskers makes the clients that ask in SQL, each on a machine of its own, where
// they crash now and then.
func (r *run) buildAskers() {
	for i := range r.settings.askers {
		notes := &notebook{refused: map[string]int{}}
		r.notebooks = append(r.notebooks, notes)
		node := r.world.AddNode(r.clock())
		name := fmt.Sprintf("asker-%d", i)
		r.askers = append(r.askers, r.world.SpawnAt(proc.Addr{Node: node, Proc: 1}, name, clientPeers+name, noStorage, func(env proc.Env) proc.Process {
			for _, c := range notes.chains {
				c.busy = false
			}
			return &asker{run: r, rand: env.Rand, notes: notes, gateway: env.Rand.IntN(len(r.gateways))}
		}))
	}
}

// crashAskers lets one go away without a word, and come back.
func (r *run) crashAskers() {
	for _, addr := range r.askers {
		if r.downtime.IntN(4) == 0 && r.world.Running(addr) {
			r.world.CrashProc(addr)
			r.world.After(time.Duration(r.downtime.Int64N(int64(time.Second))), "asker is back", func() { r.world.RestartProc(addr) })
		}
	}
}

// asking tells whether a statement is under way.
func (r *run) asks() bool {
	for _, n := range r.notebooks {
		if n.open > 0 {
			return true
		}
	}
	return false
}
