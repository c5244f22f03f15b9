package checkers

import (
	"cmp"
	"slices"

	"actordb/core"
)

// Sequence checks that each actor has one history.
//
// Law, over the taps of all incarnations and the histories read at the end:
//
//   - an actor's events are numbered 1, 2, 3 … without hole or repetition, in
//     every incarnation and in all of them together
//   - the same (actor, seq) and the same (shard, index) have the same content
//     wherever they were applied or read
//   - the events of a (session, number) stand in one contiguous block of one actor
//   - all answers to a (session, number) are the same (status, seq, count, code)
//   - who was told no answer is not told that there was one, or that the number is another
//     command's: clients number honestly, and declare answered what they were told
//   - per shard, commit timestamps grow and terms never shrink with the index;
//     per actor, commit timestamps never shrink with seq
//
// Examined counts events applied, events read back and answers.
func Sequence(applied *Applied, ops []Op, finals []Final) Result {
	r := Result{Name: "sequence", Verdict: Pass, Examined: applied.examined}
	if applied.wrong != "" {
		r.fail("%s", applied.wrong)
		return r
	}
	applied.dense(&r)
	applied.onceEach(&r)
	applied.monotone(&r)
	oneAnswer(&r, ops)
	for i := range finals {
		applied.readBack(&r, &finals[i])
	}
	return r
}

func (a *Applied) dense(r *Result) {
	for i, log := range a.logs {
		var last core.Timestamp
		for j := range log {
			e := &log[j]
			if e.digest == 0 {
				r.fail("%s seq %d: no replica applied it, but seq %d was", a.names[i], j+1, len(log))
				return
			}
			if e.committed != 0 && e.committed < last {
				r.fail("%s seq %d: committed at %d, before its predecessor at %d", a.names[i], j+1, e.committed, last)
				return
			}
			last = max(last, e.committed)
		}
	}
}

// onceEach checks that a command's events stand together, by sorting the runs
// of equal (session, number): two runs with one name are a repetition.
func (a *Applied) onceEach(r *Result) {
	type run struct {
		number  core.CommandNumber
		session int32
		actor   int32
		first   int32
	}
	var runs []run
	for i, log := range a.logs {
		for j := range log {
			e := &log[j]
			if e.number == 0 && a.ids[e.session] == (core.SessionID{}) {
				continue // made by the cluster itself
			}
			if j > 0 && log[j-1].number == e.number && log[j-1].session == e.session {
				continue
			}
			runs = append(runs, run{e.number, e.session, int32(i), int32(j)})
		}
	}
	slices.SortFunc(runs, func(x, y run) int {
		return cmp.Or(cmp.Compare(x.session, y.session), cmp.Compare(x.number, y.number), cmp.Compare(x.actor, y.actor), cmp.Compare(x.first, y.first))
	})
	for i := 1; i < len(runs); i++ {
		x, y := runs[i-1], runs[i]
		if x.session == y.session && x.number == y.number {
			r.fail("%x/%d executed twice: at %s seq %d and at %s seq %d", shortSession(a.ids[x.session]), x.number,
				a.names[x.actor], x.first+1, a.names[y.actor], y.first+1)
			return
		}
	}
}

func (a *Applied) monotone(r *Result) {
	keys := make([]blockKey, 0, len(a.blocks))
	for k := range a.blocks {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y blockKey) int {
		return cmp.Or(cmp.Compare(x.shard, y.shard), cmp.Compare(x.index, y.index))
	})
	var shard core.ShardID
	var term core.Term
	var timestamp core.Timestamp
	for i, k := range keys {
		b := a.blocks[k]
		if i == 0 || k.shard != shard {
			shard, term, timestamp = k.shard, 0, 0
		}
		if b.term < term {
			r.fail("shard %d index %d: term %d after term %d", k.shard, k.index, b.term, term)
			return
		}
		term = b.term
		if b.timestamp == 0 || b.void {
			continue
		}
		if b.timestamp <= timestamp {
			r.fail("shard %d index %d: committed at %d, not after the block before at %d", k.shard, k.index, b.timestamp, timestamp)
			return
		}
		timestamp = b.timestamp
	}
}

func oneAnswer(r *Result, ops []Op) {
	order := byCommand(ops)
	var first, forgotten *Op // the first decisive answer of the present command; the answer that there was one
	for i, x := range order {
		o := &ops[x]
		if i > 0 && !sameCommand(o, &ops[order[i-1]]) {
			first, forgotten = nil, nil
		}
		if o.Code == core.CodeBelowFloor || o.Code == core.CodeReused {
			forgotten = o
		}
		if definitive(o) {
			r.Examined++
			switch {
			case first == nil:
				first = o
			case o.Status != first.Status || o.Seq != first.Seq || o.Count != first.Count || o.Code != first.Code:
				r.fail("%x/%d got two answers: %s; then %s", shortSession(o.Session), o.Number, first, o)
				return
			}
		}
		if last := i+1 == len(order) || !sameCommand(o, &ops[order[i+1]]); last && forgotten != nil && first == nil {
			r.fail("forgotten: %s", forgotten)
			return
		}
	}
}

func (a *Applied) readBack(r *Result, f *Final) {
	for i := range f.Events {
		e := &f.Events[i]
		r.Examined++
		if want := f.Floor + core.Seq(i) + 1; e.Seq != want || e.Actor != f.Actor {
			r.fail("%s: read back %s, want %s@%d", f.Actor, e, f.Actor, want)
			return
		}
		have := a.find(e.Actor, e.Seq)
		if have == nil {
			if len(a.blocks) == 0 {
				continue // a run without taps
			}
			r.fail("%s seq %d: read back %s, which no replica applied", f.Actor, e.Seq, e)
			return
		}
		if d := a.digest(e); !have.same(d) {
			r.fail("%s seq %d: read back %s with other content than was applied, by %x/%d", f.Actor, e.Seq, e, shortSession(a.ids[have.session]), have.number)
			return
		}
	}
}
