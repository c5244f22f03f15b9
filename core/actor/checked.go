package actor

import (
	"bytes"

	"actordb/core"
)

// Checked returns a kind that asserts A1 and A2 at each command: a refused one
// leaves the encoded state as it was, and an accepted one leaves what its stored
// events make of the state before. It is for tests and the simulator, since it
// encodes every state twice.
func Checked(kind Kind) Kind { return &checked{Kind: kind} }

type checked struct {
	Kind
	before, after []byte
}

// Decide implements Kind.
func (k *checked) Decide(s State, c *core.Command, d *Decision) (*core.Refusal, error) {
	k.before = k.Kind.AppendState(k.before[:0], s)
	refusal, err := k.Kind.Decide(s, c, d)
	k.after = k.Kind.AppendState(k.after[:0], s)
	if refusal != nil || err != nil {
		core.Assert(bytes.Equal(k.before, k.after), "%s refused %s and changed its state", c.Actor, c.Type)
		core.Assert(len(d.Events) == 0, "%s refused %s and left %d events", c.Actor, c.Type, len(d.Events))
		return refusal, err
	}
	folded, failed := k.Kind.DecodeState(k.before)
	core.Assert(failed == nil, "%s does not decode its own state: %v", c.Actor, failed)
	for i := range d.Events {
		e := &d.Events[i]
		failed = k.Kind.Evolve(folded, e.Type, e.Version, e.Payload, e.Personal)
		core.Assert(failed == nil, "%s does not read its own event: %v", c.Actor, failed)
	}
	k.before = k.Kind.AppendState(k.before[:0], folded)
	core.Assert(bytes.Equal(k.before, k.after), "%s: the events of %s make another state than the command left", c.Actor, c.Type)
	return nil, nil
}
