package query

import (
	"slices"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/core/zset"
	"actordb/net/wire"
)

// tagOf is what PostgreSQL calls a statement when it is done.
func tagOf(s tree.Statement) string {
	switch s := s.(type) {
	case *tree.Select:
		return "SELECT"
	case *tree.Explain:
		return "EXPLAIN"
	case *tree.Subscribe:
		return "SUBSCRIBE"
	case *tree.CreateEventType:
		return "CREATE EVENT TYPE"
	case *tree.CreateProjection:
		return "CREATE PROJECTION"
	case *tree.Drop:
		if s.Kind == tree.EventTypes {
			return "DROP EVENT TYPE"
		}
		return "DROP PROJECTION"
	}
	return ""
}

// start begins what a statement wants; its cut has come.
func (p *Process) start(a *ask) error {
	if a.given != nil {
		return p.runPart(a)
	}
	then := p.cut
	if a.then > 0 {
		then = a.then
	}
	catalog := p.catalogs.at(then)
	if a.describe {
		return p.describe(a, catalog)
	}
	switch s := a.statement.(type) {
	case *tree.Select:
		return p.query(a, catalog, s.Query)
	case *tree.Explain:
		return p.explain(a, catalog, s)
	case *tree.Subscribe:
		return p.subscribe(a, catalog, s)
	case *tree.CreateEventType, *tree.CreateProjection, *tree.Drop:
		a.stage, a.since = defines, p.now.Mono
		return nil
	}
	return sqlerr.Unsupported(a.statement.At(), "this statement")
}

func (p *Process) options(a *ask, c *view.Catalog) view.Options {
	o := view.Options{Params: a.params, Now: a.clock, User: string(a.principal), Memory: p.cfg.Limits.MemoryBytes, Candidates: p.candidates}
	if p.answersAt(a) == p.cut { // what is kept stands there
		o.Kept = p.found(c)
	}
	return o
}

// query runs a query over all blocks up to the present cut.
func (p *Process) query(a *ask, c *view.Catalog, q *tree.Query) (err error) {
	o := p.options(a, c)
	o.Stream = a.analyze == nil
	if a.planned, err = c.Plan(q, o); err != nil {
		return err
	}
	fanned := false
	if kept, ok := p.answerOf(a); ok {
		a.job, err = a.planned.Read(kept, o)
	} else if fanned = p.fans(a); fanned {
		a.job, err = a.planned.Merge(o)
	} else {
		a.job, err = a.planned.Job(o)
	}
	if err != nil {
		return err
	}
	if a.job.LookedUp() {
		p.out.Mark(markLookedUp)
	}
	if a.analyze == nil {
		p.head(a, a.job.Cols())
	}
	p.run(a, p.answersAt(a))
	if fanned {
		p.fanOut(a)
	}
	return nil
}

// run begins to compute what the job of a statement does, over all blocks up to a cut.
func (p *Process) run(a *ask, last core.Timestamp) {
	a.stage, a.since = runs, p.now.Mono
	a.runner = runner{job: a.job, ready: a.stream.room, batch: a.batch}
	p.beginTo(&a.runner, last)
	a.runner.ended = func(cut core.Timestamp) {
		if err := a.job.Err(); err != nil {
			a.runner.err = err
			return
		}
		a.cut = last
		if a.analyze != nil {
			p.lines(a, append(a.analyze, a.job.Analyze()...))
			return
		}
		if a.job.Streams() && cut < last {
			p.out.Mark(markStreams)
		}
		a.reading, a.runner.err = a.job.Read()
	}
}

func (p *Process) head(a *ask, cols []plan.Col) { p.reply(a, headOf(cols)) }

func headOf(cols []plan.Col) *wire.Reply {
	r := &wire.Reply{What: wire.ReplyHead}
	for _, c := range cols {
		r.Columns = append(r.Columns, wire.AnswerColumn{Name: c.Name, Type: c.Type.String()})
	}
	return r
}

// describe tells what a statement takes and returns, and does nothing of it.
func (p *Process) describe(a *ask, c *view.Catalog) (err error) {
	o := plan.Options{Catalog: c, Params: a.params, Now: a.clock, User: string(a.principal)}
	var params []row.Type
	var cols []plan.Col
	switch s := a.statement.(type) {
	case *tree.Select:
		params, cols, err = plan.Describe(s.Query, o)
	case *tree.Explain:
		if q, ok := s.Statement.(*tree.Select); ok {
			params, _, err = plan.Describe(q.Query, o)
		}
		cols = []plan.Col{{Name: "QUERY PLAN", Type: row.Of(row.Text)}}
	case *tree.Subscribe:
		var found *plan.Plan
		if found, err = plan.Subscribe(s, o); err == nil {
			cols = found.Cols
		}
	}
	if err != nil {
		return err
	}
	head := headOf(cols)
	for _, t := range params {
		head.Params = append(head.Params, t.String())
	}
	p.reply(a, head)
	p.done(a, p.answersAt(a))
	return nil
}

// explain tells the plan of a query, and what there is of it already.
func (p *Process) explain(a *ask, c *view.Catalog, s *tree.Explain) error {
	q, ok := s.Statement.(*tree.Select)
	if !ok {
		return sqlerr.Unsupported(s.At(), "EXPLAIN of anything but a query")
	}
	planned, err := c.Plan(q.Query, p.options(a, c))
	if err != nil {
		return err
	}
	a.planned = planned
	lines := append(planned.Explain(), p.whyKept(a, c)...)
	text := row.Schema{{Name: "QUERY PLAN", Type: row.Of(row.Text)}}
	p.head(a, []plan.Col{{Name: text[0].Name, Type: text[0].Type}})
	a.cut = p.answersAt(a)
	if s.Analyze {
		a.analyze = lines
		return p.query(a, c, q.Query)
	}
	p.lines(a, lines)
	return nil
}

// lines answers with lines of text.
func (p *Process) lines(a *ask, lines []string) {
	b := row.NewBatch([]row.Type{row.Of(row.Text)})
	for _, line := range lines {
		b.AppendValues(row.Value{Type: row.Of(row.Text), B: []byte(line)})
	}
	if err := p.rows(a, a.cut, b, nil); err != nil {
		p.refuse(a, err)
		return
	}
	p.done(a, a.cut)
}

// subscribe begins a subscription: with all rows at the present cut, or with what has
// changed since the one from which it goes on.
func (p *Process) subscribe(a *ask, c *view.Catalog, s *tree.Subscribe) error {
	found, err := plan.Subscribe(s, plan.Options{Catalog: c, Params: a.params, Now: a.clock, User: string(a.principal)})
	if err != nil {
		return err
	}
	if a.job, err = c.Changes(found, view.Options{Params: a.params, Now: a.clock, User: string(a.principal), Memory: p.cfg.Limits.MemoryBytes}); err != nil {
		return err
	}
	a.reads = c.Reads(view.TablesOf(found))
	p.head(a, a.job.Cols())
	a.stage, a.since = runs, p.now.Mono
	a.runner = runner{job: a.job, catalog: c, follows: true, batch: a.batch, ready: a.stream.room,
		gone: func(dropped []string) bool { return p.gone(a, dropped) }}
	p.begin(&a.runner, a.after)
	if a.after > 0 {
		p.out.Mark(markResumed)
	}
	a.sent = a.after
	a.runner.ended = func(cut core.Timestamp) {
		switch err := a.job.Err(); {
		case err != nil:
			a.runner.err = err
		case cut > a.after:
			a.cut, a.changes = cut, &changes{batch: a.job.Changes()}
		}
	}
	return nil
}

// gone ends a subscription to what was dropped.
func (p *Process) gone(a *ask, dropped []string) bool {
	for _, name := range dropped {
		if slices.Contains(a.reads, name) {
			p.out.Mark(markDropped)
			p.refuse(a, sqlerr.New(sqlerr.UndefinedTable, "relation %q was dropped", name))
			return true
		}
	}
	return false
}

// progressEvery is how often a subscriber hears at least that time goes on.
const progressEvery = 1e9

// send sends what was found, as far as there is room.
func (p *Process) send(a *ask) (more bool) {
	if a.changes != nil {
		return p.sendChanges(a)
	}
	for a.stream.room() {
		b := row.NewBatch(a.reading.Types())
		if !a.reading.Next(b, replyRows, replyBytes) {
			a.reading = nil
			if a.runner.scanned {
				p.done(a, a.cut)
			}
			return true
		}
		if err := p.rows(a, a.cut, b, nil); err != nil {
			p.refuse(a, err)
			return false
		}
	}
	return false
}

func (p *Process) sendChanges(a *ask) (more bool) {
	c := a.changes
	if c.batch.N == 0 && a.sent > 0 && p.now.Mono-a.shown < progressEvery {
		a.changes, a.sent = nil, a.cut
		return true
	}
	for a.stream.room() {
		b := zset.NewBatch(c.batch.Types())
		if !c.next(b) {
			a.changes, a.sent, a.shown = nil, a.cut, p.now.Mono
			p.reply(a, &wire.Reply{What: wire.ReplyStep, Cut: a.cut})
			return true
		}
		if err := p.rows(a, a.cut, &b.Batch, b.W); err != nil {
			p.refuse(a, err)
			return false
		}
	}
	return false
}
