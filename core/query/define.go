package query

import (
	"slices"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/sql/sqlerr"
	"actordb/net/wire"
)

// define changes the catalog, one statement after another.
type define struct {
	session core.SessionID
	number  core.CommandNumber
	under   *ask // whose command is under way, or nil
	command core.Command
	due     proc.Tick // of the next attempt

	changed bool     // since the last cut
	dropped []string // since then
	ready   bool     // views were looked after once
}

const (
	defineLifetime = core.Timestamp(600e9) // of a session
	defineAgain    = proc.Tick(500e6)      // between two attempts
)

// defineNext sends the command of a statement once it is its turn and the catalog, as
// far as it is known, allows it.
func (p *Process) defineNext(a *ask) (more bool) {
	d := &p.define
	if d.under != nil || p.learn.asking {
		return false // an answer will come, to this statement or to the one before
	}
	before := p.catalogs.last()
	next := before.Clone()
	if err := next.Execute(a.statement); err != nil {
		p.refuse(a, err)
		return false
	}
	if slices.Equal(before.Names(), next.Names()) { // IF EXISTS, IF NOT EXISTS
		p.done(a, p.cut)
		return false
	}
	if now := core.Timestamp(p.now.Wall); d.number == 0 || d.session.Expires() < now+defineLifetime/2 {
		d.session, d.number = core.NewSessionID(now+defineLifetime, p.env.Rand.Uint64()), 0
	}
	d.number++
	d.under = a
	d.command = core.Command{Session: d.session, Number: d.number, AckedBelow: d.number, Actor: CatalogActor, Kind: core.Decide,
		Expected: p.catalogs.seq(), Type: executeCommand, Payload: execute{a.text, string(a.principal)}.append(nil)}
	p.transmit()
	return false
}

func (p *Process) transmit() {
	p.define.due = p.now.Mono + defineAgain
	var w wire.Writer
	w.Command(&p.define.command)
	p.out.Send(p.cfg.Gateway, w.Finish(wire.Commands))
}

// repeat sends the command again when it is due.
func (p *Process) repeat() {
	if p.define.under != nil && p.now.Mono >= p.define.due {
		p.transmit()
	}
	if p.learn.asking && p.now.Mono >= p.learn.due {
		p.askCatalog()
	}
}

// broken is told that frames to or from a peer may have been lost.
func (p *Process) broken(peer proc.Addr) {
	if peer == p.cfg.Gateway {
		p.define.due = min(p.define.due, p.now.Mono)
	}
	p.lost(peer)
}

// answered takes the answer to the command.
func (p *Process) answered(answer *core.Answer) {
	if answer.Kind == core.Read {
		p.learned(answer)
		return
	}
	d := &p.define
	a := d.under
	if a == nil || answer.Session != d.command.Session || answer.Number != d.command.Number || answer.Kind != d.command.Kind {
		return
	}
	switch {
	case answer.Status == core.Accepted:
		d.under = nil
		a.stage, a.need, a.since = settles, answer.Timestamp, p.now.Mono
		p.live.WantNow(a.need, p.now, p.out)
	case answer.Code == core.CodeWrongSeq && answer.Status == core.Refused:
		// Somebody else was first: once that is known, the statement is judged anew.
		p.out.Mark(markConflict)
		d.under = nil
		a.stage, a.need, a.since = waits, max(p.cut+1, core.Timestamp(p.now.Wall), answer.Timestamp), p.now.Mono
		p.live.WantNow(a.need, p.now, p.out)
	case answer.Status == core.Refused || answer.Status == core.RefusedAtDoor && answer.Code.Final():
		p.refuse(a, sqlerr.New(catalogUnavailable, "the catalog refuses: %s: %s", answer.Code, answer.Detail))
	case answer.Status == core.RefusedAtDoor && !answer.Code.Transient():
		d.number = 0 // of a session that is of no more use
		p.refuse(a, sqlerr.New(outcomeUnknown, "the catalog does not answer: %s", answer.Code).Hint("look what the catalog says, and ask again"))
	}
}
