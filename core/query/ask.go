package query

import (
	"slices"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/parse"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/net/wire"
)

// stage of a statement.
type stage uint8

const (
	waits    stage = iota // for its cut
	defines               // its command to the catalog is to be sent, or under way
	settles               // for the cut that shows what it has defined
	runs                  // its runner works, and what it finds is sent
	finished              // the last reply is made
)

// ask is a statement under way.
type ask struct {
	id           wire.AskID
	principal    core.Principal
	batch        bool
	describe     bool // only what it takes and returns
	subscription bool
	text         string
	statement    tree.Statement
	params       []row.Value
	exact        core.Timestamp // the cut of the answer; 0: the node chooses it
	after        core.Timestamp // subscription: its changes are wanted from there on
	then         core.Timestamp // the catalog is meant as of it; 0: as of the cut
	clock        int64          // the node's, when it came, in microseconds

	stage stage
	need  core.Timestamp // the cut that it waits for
	since proc.Tick      // its stage began
	heard proc.Tick      // of the client
	taken proc.Tick      // the client used up replies, or owed none
	shown proc.Tick      // the last step was sent
	sent  core.Timestamp // up to which cut all was sent

	runner  runner
	stream  stream
	planned *view.Planned // of a query
	kept    bool          // its answer comes from a promoted query
	fan     *fan          // nil: it is computed here as a whole
	given   *view.Catalog // of a worker's part: what its names mean
	job     *view.Job
	reading *lower.Reading // of a query's answer
	changes *changes       // of a subscription's step
	analyze []string       // plan, for EXPLAIN ANALYZE
	reads   []string       // names that a subscription depends on
	cut     core.Timestamp // of what is being sent
	rows    uint64
}

// ask takes a client's word.
func (p *Process) ask(m *wire.Ask) {
	a := p.asks[m.ID]
	if a != nil && a.principal != m.Principal {
		return // somebody guesses numbers
	}
	switch {
	case m.Op == wire.Cancel:
		if a != nil {
			p.forget(a)
		}
	case a != nil:
		a.heard = p.now.Mono
		a.stream.to = proc.Addr{Node: proc.NodeID(m.Node), Proc: m.Proc} // it may have connected anew
		if m.Op == wire.More {
			p.more(a, m)
			if a.stream.ended && len(a.stream.frames) == 0 {
				p.forget(a)
			}
		} else { // it came twice: the first replies may have been lost
			p.again(a)
		}
	case m.Op == wire.More:
		p.strange(m)
	default:
		p.admit(m)
	}
}

// admit takes a new statement, or refuses it.
func (p *Process) admit(m *wire.Ask) {
	if len(p.asks) >= p.cfg.Limits.Statements {
		p.out.Mark(markFull)
		p.decline(m, 0, queryError(tooMany(len(p.asks), "statements")))
		return
	}
	a := &ask{id: m.ID, principal: core.Principal(string([]byte(m.Principal))), batch: m.Batch, text: m.Text, after: m.After,
		describe: m.Op == wire.Describe, clock: p.now.Wall / 1000, since: p.now.Mono, heard: p.now.Mono, taken: p.now.Mono,
		stream: stream{to: proc.Addr{Node: proc.NodeID(m.Node), Proc: m.Proc}, window: min(int(m.Window), p.cfg.Limits.WindowBytes)}}
	if m.Exact {
		a.exact = m.AtLeast
	}
	for _, x := range m.Params {
		v := row.Value{IsNull: x.Null}
		if !x.Null {
			v.B = []byte(x.Text)
		}
		a.params = append(a.params, v)
	}
	p.asks[a.id] = a
	p.order = append(p.order, a)
	if err := p.prepare(a, m.AtLeast); err != nil {
		p.refuse(a, err)
		return
	}
	if a.need > p.cut && !p.cfg.Worker {
		p.out.Mark(markWaited)
		p.live.WantNow(a.need, p.now, p.out)
	}
}

// prepare parses a statement, and says which cut it needs (Q1).
func (p *Process) prepare(a *ask, atLeast core.Timestamp) (err error) {
	if p.cfg.Worker {
		return p.preparePart(a, atLeast)
	}
	if a.statement, err = parse.One(a.text); err != nil {
		return err
	}
	clock := core.Timestamp(p.now.Wall)
	a.need = max(clock, atLeast, a.after)
	query := (*tree.Query)(nil)
	if a.exact > 0 {
		if !readsOnly(a.statement) {
			return sqlerr.At(a.statement.At(), readOnly, "cannot execute %s in a transaction, which only reads", tagOf(a.statement)).Hint("end the transaction first")
		}
		a.need, a.then, a.clock = a.exact, a.exact, int64(a.exact)/1000
	}
	if a.describe {
		return nil
	}
	switch s := a.statement.(type) {
	case *tree.Select:
		query = s.Query
	case *tree.Explain:
		if s, ok := s.Statement.(*tree.Select); ok {
			query = s.Query
		}
	case *tree.Subscribe:
		n := 0
		for _, other := range p.order {
			if other.subscription && other.stage != finished {
				n++
			}
		}
		if n >= p.cfg.Limits.Subscriptions {
			p.out.Mark(markFull)
			return tooMany(n, "subscriptions")
		}
		a.subscription = true
	}
	if query != nil {
		times, err := plan.TimesOf(query, plan.Options{Params: a.params, Now: a.clock})
		if err != nil {
			return err
		}
		if err := p.asOf(a, times); err != nil {
			return err
		}
	}
	if a.need > clock+p.cfg.Limits.Ahead {
		return sqlerr.New(sqlerr.InvalidParameter, "the time %s is %d ms ahead of the node's clock: what was committed by then is not known yet", a.need, (a.need-clock)/1e6).
			Hint("ask when it has come, and compare the clocks of node and client")
	}
	return nil
}

// asOf makes a statement wait for the system times that it reads at: before the cut
// has reached one, what was committed by then is not known. If all tables are read at
// system times, names mean what they meant at the last of them.
func (p *Process) asOf(a *ask, times []*plan.AsOf) error {
	past := len(times) > 0
	a.then = 0
	for _, t := range times {
		if t == nil || t.Axis != tree.SystemTime {
			past = false
			continue
		}
		end := core.Timestamp(min(t.Micros, 1<<62/1000)*1000 + 999)
		if a.exact > 0 && end > a.exact {
			return sqlerr.New(sqlerr.InvalidParameter, "the transaction reads at %s, before the time %s", a.exact, end).Hint("end the transaction first")
		}
		a.need, a.then = max(a.need, end), max(a.then, end)
	}
	if !past {
		a.then = a.exact
	}
	return nil
}

const readOnly sqlerr.State = "25006" // read_only_sql_transaction

// readsOnly tells of statements that can be answered at a cut.
func readsOnly(s tree.Statement) bool {
	switch s := s.(type) {
	case *tree.Select:
		return true
	case *tree.Explain:
		return readsOnly(s.Statement)
	}
	return false
}

// answersAt is the cut of a query's answer, now that it can be answered.
func (p *Process) answersAt(a *ask) core.Timestamp {
	if a.exact > 0 {
		return a.exact
	}
	return p.cut
}

// work does a piece of work on a statement.
func (p *Process) work(a *ask) (more bool) {
	switch {
	case a.stage == finished:
		return false
	case p.failed != nil:
		p.refuse(a, p.failed)
		return false
	case a.stage == waits || a.stage == settles:
		if !p.cfg.Worker && p.cut < a.need || p.behind() || p.learn.asking {
			return false
		}
		if a.stage == settles {
			p.done(a, a.need)
			return false
		}
		if err := p.start(a); err != nil {
			p.refuse(a, err)
			return false
		}
		return a.stage == runs
	case a.stage == defines:
		return p.defineNext(a)
	}
	if a.reading != nil || a.changes != nil {
		return p.send(a)
	}
	if a.fan != nil && !a.fan.done() {
		return false // replies will come
	}
	more = p.advance(&a.runner)
	if a.runner.err != nil {
		p.refuse(a, a.runner.err)
		return false
	}
	return more
}

// done ends a statement well.
func (p *Process) done(a *ask, cut core.Timestamp) {
	p.charge(a)
	read := a.read()
	p.end(a)
	done := &wire.Reply{What: wire.ReplyDone, Cut: cut, Tag: tagOf(a.statement), Rows: a.rows}
	if p.cfg.Worker {
		done.Rows = read
	}
	p.reply(a, done)
}

// end gives up what a statement holds, but for its replies.
func (p *Process) end(a *ask) {
	p.release(&a.runner)
	p.dismiss(a)
	if p.define.under == a {
		p.define.under = nil
	}
	a.stage, a.runner, a.planned, a.job, a.reading, a.changes = finished, runner{}, nil, nil, nil, nil
}

// forget gives up all that is known of a statement.
func (p *Process) forget(a *ask) {
	p.end(a)
	delete(p.asks, a.id)
	p.order = slices.DeleteFunc(p.order, func(x *ask) bool { return x == a })
}

// cutOff ends a subscription that is read too slowly.
func (p *Process) cutOff(a *ask) {
	p.out.Mark(markCutOff)
	p.refuse(a, resumable{sqlerr.New(subscriberTooSlow, "the client reads more slowly than changes come: more than %d bytes wait for it", p.cfg.Limits.InboxBytes/2).
		Hint("go on from the last step")})
}

// sweep looks for what has waited too long.
func (p *Process) sweep() {
	limits := &p.cfg.Limits
	subscribed := false
	for _, a := range slices.Clone(p.order) {
		if a.stream.room() {
			a.taken = p.now.Mono
		}
		subscribed = subscribed || a.subscription && a.stage == runs
		switch {
		case p.now.Mono-a.heard > limits.Idle:
			p.out.Mark(markGone)
			p.forget(a)
		case a.fan != nil && p.listen(a):
		case a.stage == finished:
		case (a.stage == waits || a.stage == settles) && p.now.Mono-a.since > limits.Wait:
			p.out.Mark(markLate)
			if a.stage == settles {
				p.refuse(a, sqlerr.New(outcomeUnknown, "it is done, but not to be seen yet: the cut %s was not reached in time", a.need))
				continue
			}
			p.refuse(a, notReached(a.need, p.cut))
		case a.stage == defines && p.now.Mono-a.since > 2*limits.Wait:
			p.out.Mark(markLate)
			p.refuse(a, sqlerr.New(outcomeUnknown, "no answer from the catalog's shard: the statement may take effect yet").Hint("look what the catalog says, and ask again"))
		case p.now.Mono-a.taken > limits.Idle:
			p.cutOff(a)
		}
	}
	if subscribed {
		// Keeps the shards' leases long enough that a change is not held back by one.
		p.live.WantNow(core.Timestamp(p.now.Wall), p.now, p.out)
	}
	p.repeat()
}

// waiting tells whether a statement waits whose cut has come.
func (p *Process) waiting() bool {
	return slices.ContainsFunc(p.order, func(a *ask) bool { return (a.stage == waits || a.stage == settles) && a.need <= p.cut })
}
