package actor

import "actordb/core"

// StreamType is the name of the built-in type of event streams.
const StreamType = "stream"

// Stream is a type without behaviour: a stream's history is what callers append
// to it, in any encoding, under any event type and version. It understands no
// commands, and its state is empty; its sequence is what callers can hold on to
// (Command.Expected). All shards may share it.
func Stream() Kind { return stream{} }

type stream struct{}

func (stream) sealed() {}

// Name implements Kind.
func (stream) Name() string { return StreamType }

// Policy implements Kind: to store an empty state with each command is cheaper
// than to replay events that change nothing.
func (stream) Policy() Policy { return Policy{Light: true, AllowAppend: true} }

// New implements Kind.
func (stream) New(core.ActorID) State { return struct{}{} }

// Decide implements Kind.
func (stream) Decide(_ State, c *core.Command, d *Decision) (*core.Refusal, error) {
	d.Reset()
	if c.Kind != core.Append {
		return nil, ErrNoSuchCommand
	}
	d.Events = append(d.Events, c.Events...)
	return nil, nil
}

// Evolve implements Kind.
func (stream) Evolve(State, string, uint16, []byte, []byte) error { return nil }

// AppendState implements Kind. There is something to store, if only a version.
func (stream) AppendState(dst []byte, _ State) []byte { return append(dst, 1, 0) }

// DecodeState implements Kind.
func (stream) DecodeState(b []byte) (State, error) {
	if len(b) != 2 || b[0] != 1 || b[1] != 0 {
		return nil, ErrStaleState
	}
	return struct{}{}, nil
}
