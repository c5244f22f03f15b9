package sim

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A Log is what a run cannot derive from its seed and its World's user: the
// decisions of the strategy that differ from time order. It also holds what
// the user did to the World, so that a replay can tell where it diverges. It is
// plain data, for JSON.
type Log struct {
	Seed      uint64        `json:"seed"`
	Strategy  string        `json:"strategy"` // that made it
	Slack     time.Duration `json:"slack_ns"`
	Steps     uint64        `json:"steps"`
	TraceHash string        `json:"trace_hash"`
	Events    []Event       `json:"events"`
	// Decisions, in order, each two varints: its step, unsigned, less the step
	// of the one before, then its input's number, signed, less that of the one
	// before. About three bytes a decision.
	Packed []byte `json:"decisions"`
}

// An Event is something that was done to the World from outside.
type Event struct {
	Step uint64        `json:"step"` // inputs delivered before it
	At   time.Duration `json:"at_ns"`
	What string        `json:"what"`
}

func (e Event) String() string { return fmt.Sprintf("%d %v %s", e.Step, e.At, e.What) }

// A Decision is one step at which not the earliest input was taken.
type Decision struct {
	Step uint64 // counted from 1
	Seq  uint64 // number of the input taken
}

// Decisions unpacks the decisions.
func (l *Log) Decisions() []Decision {
	var all []Decision
	for c := l.start(); c.ok; c.next() {
		all = append(all, Decision{c.step, c.seq})
	}
	return all
}

// WithDecisions returns a copy of the log with other decisions, in ascending
// order of their steps. A shrinker uses it, with a loose replay.
func (l *Log) WithDecisions(all []Decision) *Log {
	var r recorder
	for _, d := range all {
		r.add(d)
	}
	c := *l
	c.Packed = r.packed
	return &c
}

// recorder packs decisions.
type recorder struct {
	packed []byte
	last   Decision
}

func (r *recorder) add(d Decision) {
	r.packed = binary.AppendUvarint(r.packed, d.Step-r.last.Step)
	r.packed = binary.AppendVarint(r.packed, int64(d.Seq-r.last.Seq))
	r.last = d
}

// cursor goes through packed decisions.
type cursor struct {
	rest      []byte
	step, seq uint64
	ok        bool
}

func (l *Log) start() cursor {
	if l == nil {
		return cursor{}
	}
	c := cursor{rest: l.Packed}
	c.next()
	return c
}

func (c *cursor) next() {
	step, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.ok = false
		return
	}
	seq, m := binary.Varint(c.rest[n:])
	if m <= 0 {
		c.ok = false
		return
	}
	c.rest = c.rest[n+m:]
	c.step += step
	c.seq += uint64(seq)
	c.ok = true
}

// Log returns the record of the run so far. It is empty of decisions and events
// unless Config.Record is set.
func (w *World) Log() *Log {
	return &Log{
		Seed:      w.cfg.Seed,
		Strategy:  w.cfg.Strategy.Kind.String(),
		Slack:     w.cfg.Strategy.Slack,
		Steps:     w.steps,
		TraceHash: w.TraceHash(),
		Events:    append([]Event{}, w.events...),
		Packed:    append([]byte{}, w.rec.packed...),
	}
}

// decided records that not the earliest input was taken.
func (w *World) decided(seq uint64) {
	if !w.cfg.Record {
		return
	}
	if len(w.rec.packed) >= w.cfg.Limits.DecisionBytes {
		w.limit("bytes of decisions", uint64(w.cfg.Limits.DecisionBytes))
		return
	}
	w.rec.add(Decision{w.steps, seq})
}

// event notes what was done to the world, in the trace and in the record, and
// holds a replay against its log.
func (w *World) event(what string) {
	w.traceEvent(what)
	s := &w.cfg.Strategy
	if s.Kind == Replay && !s.Loose {
		w.checkEvent(Event{w.steps, w.now, what})
	}
	w.eventCount++
	if !w.cfg.Record {
		return
	}
	if len(w.events) >= w.cfg.Limits.Events {
		w.limit("world events", uint64(w.cfg.Limits.Events))
		return
	}
	w.events = append(w.events, Event{w.steps, w.now, what})
}

func (w *World) checkEvent(got Event) {
	l := w.cfg.Strategy.Log
	if w.eventCount >= len(l.Events) {
		if got.Step < l.Steps {
			w.stop(&DivergenceError{Step: w.steps, Want: "no event", Got: got.String()})
		}
		return
	}
	if want := l.Events[w.eventCount]; got != want {
		w.stop(&DivergenceError{Step: w.steps, Want: want.String(), Got: got.String()})
	}
}
