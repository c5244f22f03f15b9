package checkers

import (
	"bytes"

	"actordb/core"
)

// A Sender is who a client is and what it meant to store, as the run set it up.
type Sender struct {
	// Principal is the authenticated identity of a client.
	Principal func(client int) core.Principal
	// Personal returns the personal columns that an operation's only event must
	// hold; ok is false for operations whose events have none.
	Personal func(o *Op) (want []byte, ok bool)
}

// Provenance checks that events say truly whose they are.
//
// Law, over the histories read at the end:
//
//   - an event's principal is the identity of the client that sent its command
//   - an event's personal columns are those that were sent, and an event that
//     was sent without any has none
//
// Examined counts events whose command is known.
func Provenance(ops []Op, finals []Final, sender Sender) Result {
	r := Result{Name: "provenance", Verdict: Pass}
	type command struct {
		session core.SessionID
		number  core.CommandNumber
	}
	sent := make(map[command]*Op, len(ops))
	for i := range ops {
		if o := &ops[i]; o.Kind.Changes() {
			sent[command{o.Session, o.Number}] = o
		}
	}
	for i := range finals {
		for k := range finals[i].Events {
			e := &finals[i].Events[k]
			o := sent[command{e.Session, e.Number}]
			if o == nil {
				continue // for durability to report
			}
			r.Examined++
			if want := sender.Principal(o.Client); e.Principal != want {
				r.fail("%s seq %d is said to be by %q, it was sent by %q: %s", e.Actor, e.Seq, e.Principal, want, o)
			}
			if want, _ := sender.Personal(o); !bytes.Equal(e.Personal, want) {
				r.fail("%s seq %d has personal columns %q, sent were %q: %s", e.Actor, e.Seq, e.Personal, want, o)
			}
		}
	}
	return r
}

// Fences checks that what is decided under an old epoch takes no effect. It
// reads taps while they stream in.
//
// Law, per incarnation of a replica, in the order of the log: a block takes
// effect if and only if it was decided under the slot epoch that the fences
// before it have raised. (A block may also be void for another reason; then it
// must still have no effect, which Sequence sees.)
type Fences struct {
	epochs map[lifeKey]core.Epoch
	raised map[core.ShardID][]raised // ascending by index
	result Result
}

// raised is a fence that took effect.
type raised struct {
	index core.Index
	epoch core.Epoch
}

// NewFences makes an empty one.
func NewFences() *Fences {
	return &Fences{epochs: map[lifeKey]core.Epoch{}, raised: map[core.ShardID][]raised{},
		result: Result{Name: "fencing", Verdict: Pass}}
}

// Add reads one applied entry: the epoch it was decided under, and the one that
// it raises the shard to, 0 for none.
func (f *Fences) Add(l *LogRecord, decided, raise core.Epoch) {
	key := lifeKey{l.Shard, l.Incarnation}
	if l.Restored {
		// What it starts from is what some replica had there.
		f.epochs[key] = 0
		for _, x := range f.raised[l.Shard] {
			if x.index <= l.Index {
				f.epochs[key] = x.epoch
			}
		}
		return
	}
	now := f.epochs[key]
	f.result.Examined++
	if !l.Void && decided != now {
		f.result.fail("shard %d entry %d was decided under slot epoch %d and took effect under %d", l.Shard, l.Index, decided, now)
	}
	if !l.Void && raise > now {
		f.epochs[key] = raise
		if list := f.raised[l.Shard]; len(list) == 0 || list[len(list)-1].index < l.Index {
			f.raised[l.Shard] = append(list, raised{l.Index, raise})
		}
	}
}

// Result is the verdict so far.
func (f *Fences) Result() Result { return f.result }
