package query

import (
	"encoding/binary"
	"slices"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/net/wire"
)

// A query that aggregates events is computed by workers, if the node has some: each reads the journals
// of its share of the shards, and computes the part of the answer that comes from there. So each block is read
// once, by one of them. This process merges the parts (plan.Plan.Fan has the law).
//
// A worker is a process of this package that does nothing else. It is asked, and it answers, with the
// frames that clients use, so that windows, repetition and limits are those of any statement: the text
// has the definitions of the tables and the query, and the cut is named. In it too, what somebody waits for
// goes before batch, at the ends of pieces of work.
//
// Whatever happens to a worker, nothing of an answer has been sent yet: the query is computed here
// then, as it would be without workers. So is one that a worker refuses: what is wrong with it does not
// depend on the number of workers.

// WorkersMax bounds the workers of a node.
const WorkersMax = 16

// partSilence is how long a worker may say nothing while it is asked again and again. One that
// has ended says so, or its host does: this is for what nobody tells.
const partSilence = proc.Tick(3e9)

// PartOf is the share that worker number i of n has of the shards.
func PartOf(sources []feed.Source, i, n int) (share []feed.Source) {
	for at := i; at < len(sources); at += n {
		share = append(share, sources[at])
	}
	return share
}

// fan is a query whose parts are under way.
type fan struct {
	parts []*part
	types []row.Type // of their rows
	read  uint64     // rows that the workers went through
}

type part struct {
	id     wire.AskID
	worker proc.Addr
	next   uint64 // reply
	heard  proc.Tick
	done   bool
}

func (f *fan) done() bool {
	return !slices.ContainsFunc(f.parts, func(x *part) bool { return !x.done })
}

// read is how many rows a statement's computation went through, here and in workers.
func (a *ask) read() (rows uint64) {
	if a.job != nil {
		rows = uint64(a.job.Cost())
	}
	if a.fan != nil {
		rows += a.fan.read
	}
	return rows
}

// parts is among how many workers a query would be divided.
func (p *Process) parts() int { return min(len(p.cfg.Workers), len(p.cfg.Sources)) }

// fans tells whether a query is to be computed in parts. EXPLAIN ANALYZE tells of one circuit.
func (p *Process) fans(a *ask) bool {
	return p.parts() > 1 && a.analyze == nil && len(a.text) < partTextMax && a.planned.Fan() == ""
}

// partTextMax leaves room for definitions.
const partTextMax = 256 << 10

// fanOut asks the workers.
func (p *Process) fanOut(a *ask) {
	p.out.Mark(markFanned)
	a.fan = &fan{types: a.job.PartTypes()}
	text := a.planned.Definitions() + tree.Print(a.statement)
	for i := range p.parts() {
		x := &part{worker: p.cfg.Workers[i], heard: p.now.Mono}
		binary.LittleEndian.PutUint64(x.id[:], p.env.Rand.Uint64())
		binary.LittleEndian.PutUint64(x.id[8:], p.env.Rand.Uint64())
		a.fan.parts = append(a.fan.parts, x)
		m := wire.Ask{Op: wire.Run, Principal: a.principal, Batch: a.batch, AtLeast: p.answersAt(a), Exact: true, Text: text}
		for _, v := range a.params {
			m.Params = append(m.Params, wire.Param{Null: v.IsNull, Text: string(v.B)})
		}
		p.tell(x, &m)
	}
}

// tell sends a worker's process a word about its part.
func (p *Process) tell(x *part, m *wire.Ask) {
	m.ID, m.Node, m.Proc, m.Window = x.id, uint32(p.env.Self.Node), p.env.Self.Proc, uint32(p.cfg.Limits.WindowBytes)
	var w wire.Writer
	w.Ask(m)
	p.out.Send(x.worker, w.Finish(wire.Asks))
}

// part takes a worker's reply.
func (p *Process) part(from proc.Addr, r *wire.Reply) {
	for _, a := range p.order {
		if a.fan == nil {
			continue
		}
		for _, x := range a.fan.parts {
			if x.id == r.ID && x.worker == from {
				p.took(a, x, r)
				return
			}
		}
	}
}

func (p *Process) took(a *ask, x *part, r *wire.Reply) {
	x.heard = p.now.Mono
	switch {
	case r.Number < x.next || x.done:
		return
	case r.Number > x.next:
		p.tell(x, &wire.Ask{Op: wire.More, Next: x.next, Principal: a.principal, Again: true})
		return
	}
	x.next++
	switch r.What {
	case wire.ReplyHead:
		if len(r.Columns) != len(a.fan.types) {
			p.unfan(a)
			return
		}
	case wire.ReplyRows:
		b := &row.Batch{}
		rest, err := b.DecodeStored(r.Batch, a.fan.types)
		if err != nil || len(rest) > 0 {
			p.unfan(a)
			return
		}
		if err := a.job.Feed(b); err != nil {
			p.refuse(a, err)
			return
		}
	case wire.ReplyDone:
		x.done = true
		a.fan.read += r.Rows
	case wire.ReplyError:
		p.unfan(a)
		return
	}
	if x.done || r.What == wire.ReplyRows {
		p.tell(x, &wire.Ask{Op: wire.More, Next: x.next, Principal: a.principal})
	}
}

// listen asks the workers of a statement whether they are there. It reports that there is nothing
// else to be looked after.
func (p *Process) listen(a *ask) bool {
	if a.fan.done() {
		return false
	}
	for _, x := range a.fan.parts {
		switch {
		case x.done:
		case p.now.Mono-x.heard > partSilence:
			p.unfan(a)
			return true
		default:
			p.tell(x, &wire.Ask{Op: wire.More, Next: x.next, Principal: a.principal})
		}
	}
	return true
}

// lost is told that a process may have ended, or frames from it.
func (p *Process) lost(peer proc.Addr) {
	for _, a := range p.order {
		if a.fan != nil && slices.ContainsFunc(a.fan.parts, func(x *part) bool { return x.worker == peer && !x.done }) {
			p.unfan(a)
		}
	}
}

// dismiss ends the parts that are under way.
func (p *Process) dismiss(a *ask) {
	if a.fan == nil {
		return
	}
	for _, x := range a.fan.parts {
		if !x.done {
			p.tell(x, &wire.Ask{Op: wire.Cancel, Principal: a.principal})
		}
	}
	a.fan = nil
}

// unfan gives the parts up and computes the query here.
func (p *Process) unfan(a *ask) {
	p.out.Mark(markUnfanned)
	p.dismiss(a)
	job, err := a.planned.Job(view.Options{Memory: p.cfg.Limits.MemoryBytes})
	if err != nil {
		p.refuse(a, err)
		return
	}
	since, last := a.since, a.runner.target()
	a.job = job
	p.run(a, last)
	a.since = since
}

// preparePart parses what a worker is asked: definitions, and the query of which it is to compute
// a part.
func (p *Process) preparePart(a *ask, cut core.Timestamp) error {
	if a.exact == 0 || a.describe {
		return errNoPart()
	}
	all, err := parse.All(a.text)
	if err != nil || len(all) == 0 {
		return errNoPart()
	}
	a.given = view.NewCatalog()
	for _, s := range all[:len(all)-1] {
		if err := a.given.Execute(s); err != nil {
			return err
		}
	}
	query, ok := all[len(all)-1].(*tree.Select)
	if !ok {
		return errNoPart()
	}
	a.statement, a.need, a.clock = query, cut, int64(cut)/1000
	a.planned, err = a.given.Plan(query.Query, view.Options{Params: a.params, Now: a.clock})
	return err
}

func errNoPart() error {
	return sqlerr.New(sqlerr.FeatureNotSupported, "a worker computes parts of queries, at cuts that are named").Hint("ask the node's gateway")
}

// runPart begins to compute a part.
func (p *Process) runPart(a *ask) (err error) {
	if a.job, err = a.planned.Part(view.Options{Memory: p.cfg.Limits.MemoryBytes}); err != nil {
		return err
	}
	p.head(a, a.job.Cols())
	p.run(a, a.exact)
	return nil
}
