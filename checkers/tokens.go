package checkers

import (
	"actordb/core"
)

// Tokens checks reads that were asked for at a token, which is the timestamp of an
// answer.
//
// Law:
//
//   - such a read tells of all events of its actor that were committed at or before the
//     token, on whatever shard, whenever they became known
//
//   - what its client was told of the actor before, it is told again, and more: it reads
//     its own writes, and never goes back. (Clients take the newest token that they have.)
//
// Examined counts reads at tokens.
func Tokens(applied *Applied, ops []Op) Result {
	r := Result{Name: "tokens", Verdict: Pass}
	known := make(map[heard][]*Op)
	for i := range ops {
		o := &ops[i]
		if !definitive(o) || o.Kind == core.History {
			continue
		}
		k := heard{o.Client, o.Incarnation, o.Actor}
		known[k] = append(known[k], o)
	}
	for i := range ops {
		o := &ops[i]
		if o.Kind != core.Read || o.Status != core.Accepted || o.Fresh.Level != core.AtToken {
			continue
		}
		r.Examined++
		// Of one actor later events have later timestamps, also when it has moved: the
		// first that is missing tells.
		if e := applied.find(o.Actor, o.Seq+1); e != nil && e.committed <= o.Fresh.Token {
			r.fail("%s: event %d, which it does not tell of, was committed at %d", o, o.Seq+1, e.committed)
		}
		for _, before := range known[heard{o.Client, o.Incarnation, o.Actor}] {
			if before.Return < o.Invoke && before.Seq > o.Seq {
				r.fail("%s: its client had been told of more: %s", o, before)
			}
		}
	}
	return r
}

// heard is what one life of a client was told of an actor.
type heard struct {
	client, incarnation int
	actor               core.ActorID
}
