package checkers

import (
	"actordb/core"
)

// Durability checks that what was acknowledged can be read at the end, and
// that what can be read was asked for.
//
// Law, over the histories read at the end:
//
//   - the events of an accepted command stand at exactly the sequence numbers
//     that its answer named
//   - a command that was answered with a refusal, or that was refused at the
//     door each time, has no events
//   - every event belongs to a command that a client sent
//
// An event at or below an actor's compaction floor cannot be read; it is
// excused if a tap saw it applied. Examined counts commands and events.
func Durability(applied *Applied, ops []Op, finals []Final) Result {
	r := Result{Name: "durability", Verdict: Pass}
	list := commands(ops)
	dumps := make(map[core.ActorID]*Final, len(finals))
	for i := range finals {
		f := &finals[i]
		if dumps[f.Actor] != nil {
			r.fail("%s: read back twice", f.Actor)
		}
		dumps[f.Actor] = f
		onlySent(&r, list, f)
	}
	for i := range list {
		c := &list[i]
		if !c.decided || c.op.Status != core.Accepted || c.op.Count == 0 {
			continue
		}
		r.Examined++
		acknowledged(&r, applied, dumps[c.op.Actor], c.op)
	}
	return r
}

// acknowledged checks one accepted command against its actor's dump.
func acknowledged(r *Result, applied *Applied, f *Final, o *Op) {
	if core.Seq(o.Count) > o.Seq {
		r.fail("%s: acknowledged more events than the actor has", o)
		return
	}
	if f == nil {
		r.fail("%s: nothing of its actor was read back: lost, or not read (see audit)", o)
		return
	}
	floor := f.Floor
	last := floor + core.Seq(len(f.Events))
	for seq := o.Seq - core.Seq(o.Count) + 1; seq <= o.Seq; seq++ {
		switch {
		case seq <= floor:
			e := applied.find(o.Actor, seq)
			if e == nil || e.number != o.Number || applied.ids[e.session] != o.Session {
				r.fail("lost: %s: seq %d is below the compaction floor %d and no replica ever applied it", o, seq, floor)
			}
		case seq > last:
			r.fail("lost: %s: the actor's history ends at seq %d", o, last)
		default:
			e := &f.Events[seq-floor-1]
			if e.Session != o.Session || e.Number != o.Number {
				r.fail("lost: %s: at seq %d stands %s", o, seq, e)
			}
		}
		if r.Verdict == Fail {
			return
		}
	}
}

// onlySent checks that each event of a dump belongs to a command that may have
// had an effect, at a place that fits its answer.
func onlySent(r *Result, list []command, f *Final) {
	for i := range f.Events {
		e := &f.Events[i]
		if e.Number == 0 && e.Session == (core.SessionID{}) {
			continue // made by the cluster itself
		}
		r.Examined++
		k := findCommand(list, e.Session, e.Number)
		if k < 0 || list[k].op.Actor != f.Actor {
			r.fail("invented: %s: no client sent it", e)
			return
		}
		switch c := &list[k]; {
		case !c.sent:
			r.fail("invented: %s: it was refused at the door: %s", e, c.op)
		case c.decided && c.op.Status == core.Refused:
			r.fail("invented: %s: it was refused: %s", e, c.op)
		case c.decided && (e.Seq > c.op.Seq || e.Seq+core.Seq(c.op.Count) <= c.op.Seq):
			r.fail("misplaced: %s: its answer was %s", e, c.op)
		}
		if r.Verdict == Fail {
			return
		}
	}
}
