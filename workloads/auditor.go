package workloads

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// AuditorConfig of an auditor. Start from DefaultAuditorConfig.
type AuditorConfig struct {
	Gateways []proc.Addr
	Actors   []core.ActorID
	Parallel int // actors at once
	Retry    Retry
}

// DefaultAuditorConfig suits a local network.
func DefaultAuditorConfig() AuditorConfig {
	return AuditorConfig{Parallel: 16, Retry: Retry{Base: 250e6, Max: 2e9, Deadline: 60e9}}
}

// Validate reports the first thing wrong with c.
func (c *AuditorConfig) Validate() error {
	switch {
	case len(c.Gateways) == 0:
		return errors.New("workloads: an auditor without gateways")
	case c.Parallel <= 0 || c.Parallel > pipelineMax:
		return fmt.Errorf("workloads: %d actors at once, want 1 to %d", c.Parallel, pipelineMax)
	}
	return c.Retry.Validate()
}

// A FinalState is an actor's state as a read gave it.
type FinalState struct {
	Actor core.ActorID
	Seq   core.Seq
	State []byte
}

// An Audit is what an auditor read, in all of its incarnations.
type Audit struct {
	found []finding // by position in AuditorConfig.Actors
	done  atomic.Bool
}

type finding struct {
	ended  bool
	failed string
	final  checkers.Final
	state  FinalState
}

// Done reports whether every actor was read or given up. Safe to call from
// anywhere; read the rest only then.
func (a *Audit) Done() bool { return a.done.Load() }

// Finals are the histories, in the order of the actors asked for.
func (a *Audit) Finals() (list []checkers.Final) {
	for i := range a.found {
		if f := &a.found[i]; f.ended && f.failed == "" {
			list = append(list, f.final)
		}
	}
	return list
}

// States are the states, in the order of Finals.
func (a *Audit) States() (list []FinalState) {
	for i := range a.found {
		if f := &a.found[i]; f.ended && f.failed == "" {
			list = append(list, f.state)
		}
	}
	return list
}

// Failed says which actors could not be read, and why.
func (a *Audit) Failed() (list []string) {
	for i := range a.found {
		if f := &a.found[i]; f.failed != "" {
			list = append(list, fmt.Sprintf("%s: %s", f.final.Actor, f.failed))
		}
	}
	return list
}

// reading is one actor being read: its history from event next on, page by
// page, then its state. If the state is newer than the history, more history.
type reading struct {
	call
	actor      int      // position, or idle
	next       core.Seq // event wanted
	floorKnown bool
}

// An Auditor is a process that reads back the history and the state of actors.
// It implements proc.Process.
type Auditor struct {
	cfg      AuditorConfig
	link     caller
	audit    *Audit
	session  core.SessionID
	number   core.CommandNumber
	upcoming int // actors before it are taken
	readings []reading
}

// NewAuditor makes an incarnation that goes on where the one before ended. The
// config must be valid, and the same for all incarnations.
func NewAuditor(cfg AuditorConfig, env proc.Env, audit *Audit) *Auditor {
	core.Assert(cfg.Validate() == nil, "invalid config: %v", cfg.Validate())
	if audit.found == nil {
		audit.found = make([]finding, len(cfg.Actors))
		for i, id := range cfg.Actors {
			audit.found[i].final.Actor, audit.found[i].state.Actor = id, id
		}
	}
	core.Assert(len(audit.found) == len(cfg.Actors), "an audit of %d actors goes on with %d", len(audit.found), len(cfg.Actors))
	return &Auditor{cfg: cfg, audit: audit, readings: make([]reading, cfg.Parallel),
		link:    caller{gateways: cfg.Gateways, retry: cfg.Retry, rand: env.Rand},
		session: core.NewSessionID(0, env.Rand.Uint64())}
}

// Step implements proc.Process.
func (d *Auditor) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	d.link.out = out
	switch in.Kind {
	case proc.Start:
		for i := range d.readings {
			d.take(now, i)
		}
	case proc.Timer:
		if i := int(in.Timer); i < len(d.readings) {
			d.timer(now, i)
		}
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) { d.answer(now, a) })
	case proc.Reset:
		d.link.leave(in.From)
		for i := range d.readings {
			if r := &d.readings[i]; r.actor != idle && r.gateway == in.From {
				r.due = min(r.due, max(now.Mono, r.sent+resendMin))
				d.link.out.SetTimer(proc.TimerID(i), r.wake())
			}
		}
	}
	d.link.flush()
	d.link.out = nil
}

// take begins with the next actor.
func (d *Auditor) take(now proc.Now, i int) {
	r := &d.readings[i]
	found := d.audit.found
	for d.upcoming < len(found) && found[d.upcoming].ended {
		d.upcoming++
	}
	if d.upcoming == len(found) {
		*r = reading{actor: idle}
		d.finish()
		return
	}
	*r = reading{actor: d.upcoming, next: 1, floorKnown: true}
	f := &found[d.upcoming]
	f.final.Floor, f.final.Events = 0, nil
	d.upcoming++
	d.ask(now, i, core.History, r.next)
}

func (d *Auditor) finish() {
	for i := range d.audit.found {
		if !d.audit.found[i].ended {
			return
		}
	}
	d.audit.done.Store(true)
}

func (d *Auditor) ask(now proc.Now, i int, k core.CommandKind, from core.Seq) {
	r := &d.readings[i]
	d.number++
	r.command = core.Command{Session: d.session, Number: d.number, Actor: d.cfg.Actors[r.actor], Kind: k, Expected: from}
	d.link.begin(now.Mono, &r.call)
	d.link.out.SetTimer(proc.TimerID(i), r.wake())
}

func (d *Auditor) timer(now proc.Now, i int) {
	r := &d.readings[i]
	switch {
	case r.actor == idle:
		return
	case now.Mono >= r.deadline:
		d.end(now, i, "no answer")
		return
	case now.Mono >= r.due:
		d.link.leave(r.gateway)
		d.link.send(now.Mono, &r.call)
	}
	d.link.out.SetTimer(proc.TimerID(i), r.wake())
}

// end puts the reading's actor down as read, or as failed.
func (d *Auditor) end(now proc.Now, i int, failed string) {
	f := &d.audit.found[d.readings[i].actor]
	f.ended, f.failed = true, failed
	if failed != "" {
		d.link.out.Mark(markAuditFails)
	}
	d.take(now, i)
}

func (d *Auditor) answer(now proc.Now, a *core.Answer) {
	for i := range d.readings {
		r := &d.readings[i]
		if r.actor == idle || !r.matches(a) {
			continue
		}
		switch {
		case a.Status == core.RefusedAtDoor && a.Code == core.CodeCompacted:
			d.compacted(now, i, a.Seq)
		case react(a) != settled:
			d.link.later(now.Mono, &r.call)
			d.link.out.SetTimer(proc.TimerID(i), r.wake())
		case a.Status != core.Accepted:
			d.end(now, i, fmt.Sprintf("%s: %s %s", r.command.Kind, a.Code, a.Detail))
		case a.Kind == core.History:
			d.page(now, i, a)
		default:
			d.state(now, i, a)
		}
		return
	}
}

// compacted goes on at the first event that was kept. If that is not above what
// was asked for, the log was compacted in between: ask again. Should the answer
// not tell, all that the actor has counts as compacted.
func (d *Auditor) compacted(now proc.Now, i int, kept core.Seq) {
	r := &d.readings[i]
	f := &d.audit.found[r.actor]
	d.link.out.Mark(markCompacted)
	switch {
	case kept > r.next:
		f.final.Floor, f.final.Events, r.next = kept-1, nil, kept
		d.ask(now, i, core.History, r.next)
	case kept > 0:
		d.link.later(now.Mono, &r.call)
		d.link.out.SetTimer(proc.TimerID(i), r.wake())
	default:
		f.final.Events, r.floorKnown = nil, false
		d.ask(now, i, core.Read, core.AnySeq)
	}
}

func (d *Auditor) page(now proc.Now, i int, a *core.Answer) {
	r := &d.readings[i]
	f := &d.audit.found[r.actor]
	events, err := wire.DecodeEvents(f.final.Actor, a.State)
	if err != nil {
		d.end(now, i, err.Error())
		return
	}
	if n := len(events); n > 0 {
		last := events[n-1].Seq
		if last < r.next {
			d.end(now, i, fmt.Sprintf("asked for events from seq %d, got some up to %d", r.next, last))
			return
		}
		f.final.Events = append(f.final.Events, events...)
		r.next = last + 1
		if last < a.Seq {
			d.link.out.Mark(markPaged)
			d.ask(now, i, core.History, r.next)
			return
		}
	}
	d.ask(now, i, core.Read, core.AnySeq)
}

func (d *Auditor) state(now proc.Now, i int, a *core.Answer) {
	r := &d.readings[i]
	f := &d.audit.found[r.actor]
	switch {
	case !r.floorKnown:
		f.final.Floor = a.Seq
	case a.Seq >= r.next && f.state.Seq < a.Seq:
		// Somebody still writes. If the next page brings nothing, then so be it:
		// the difference is for the checkers to see.
		f.state.Seq = a.Seq
		d.ask(now, i, core.History, r.next)
		return
	}
	f.state.Seq, f.state.State = a.Seq, bytes.Clone(a.State)
	d.end(now, i, "")
}
