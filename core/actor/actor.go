// Package actor is the single writer: what an actor's type has to provide, how
// commands become events and events state, and how a repeated command is told
// from a new one.
//
// A type is a Behavior: Decide looks at the state and answers a command with
// events or a refusal; Evolve folds one event into the state. Both are plain
// functions. Decide runs once, on the leader; Evolve runs wherever the state is
// rebuilt, so it must depend on nothing but its arguments.
//
//	A1  Decide does not modify the state. A refused command leaves no trace in it.
//	A2  state = fold(Evolve, New, events): whatever rebuilds it gets the same.
//	A3  An event once stored is read by all later code: Upcasts bring its
//	    payload up to the newest version before it is decoded.
package actor

import (
	"errors"
	"fmt"

	"actordb/core"
)

// A Policy says how a type's actors are kept.
type Policy struct {
	// SnapshotEvery is full persistence: a snapshot after this many events; 0
	// means DefaultSnapshotEvery. The tail that hydration replays is at most this
	// long plus what is in flight.
	SnapshotEvery int
	// SnapshotKeep is how many snapshots of an actor are retained; 0 means 1.
	SnapshotKeep int
	// Light persistence stores the state with every command, so that hydration
	// reads one block. It pays for small states.
	Light bool
	// AllowAppend opens the type to generic appends (core.Append).
	AllowAppend bool
}

const (
	// DefaultSnapshotEvery bounds hydration to a hundred events.
	DefaultSnapshotEvery = 100
	// StateBytesMax bounds an encoded state, since it is stored as one value.
	StateBytesMax = 4 << 20
)

// Every is the effective snapshot interval.
func (p Policy) Every() core.Seq {
	if p.SnapshotEvery > 0 {
		return core.Seq(p.SnapshotEvery)
	}
	return DefaultSnapshotEvery
}

// Keep is the effective number of snapshots to retain.
func (p Policy) Keep() int { return max(p.SnapshotKeep, 1) }

// Behavior defines a type of actor with state S, commands C and events E. C
// and E are usually interfaces with one implementation per case.
type Behavior[S, C, E any] struct {
	Type string
	New  func(core.ActorID) S
	// Decide appends the command's events to out, or refuses. It must not modify s.
	Decide func(s *S, c C, out []E) ([]E, *core.Refusal)
	Evolve func(s *S, e E)

	EncodeCommand func(dst []byte, c C) (name string, payload []byte)
	DecodeCommand func(name string, payload []byte) (C, error)

	// EncodeEvent appends an event's payload. Version counts the schemas of this
	// event's type from 1. Time is when it happened, 0 for its commit time.
	// Personal columns, if any, are stored apart and can be erased.
	EncodeEvent func(dst []byte, e E) (payload []byte, meta EventMeta)
	// DecodeEvent reads the newest version of a payload.
	DecodeEvent func(name string, payload, personal []byte) (E, error)
	// Upcasts turn a payload of From into one of From+1. For each event type they
	// lead from version 1 to the newest without a gap; a type without any has
	// version 1 alone.
	Upcasts []Upcast

	EncodeState func(dst []byte, s *S) []byte
	DecodeState func(b []byte) (S, error)
	// StateVersion changes whenever EncodeState or Evolve do: older snapshots
	// are then passed over and the state is folded from events.
	StateVersion uint16

	Policy Policy
}

// EventMeta is an event's envelope.
type EventMeta struct {
	Name     string
	Version  uint16
	Time     core.Timestamp
	Personal []byte
}

// An Upcast brings payloads of one event type from version From to From+1.
type Upcast struct {
	Name  string
	From  uint16
	Apply func(payload []byte) ([]byte, error)
}

// State is a state whose type only its Kind knows.
type State any

// ErrStaleState says that a snapshot was written by an older StateVersion.
var ErrStaleState = errors.New("snapshot of an older version of the state")

// ErrNoSuchCommand says that a behaviour does not know a command's name.
var ErrNoSuchCommand = errors.New("no such command")

// A Kind is a Behavior behind an interface without type parameters, as a shard
// uses it. Only Define makes one.
type Kind interface {
	Name() string
	Policy() Policy
	New(core.ActorID) State
	// Decide runs a command. Accepted, its events are in d and in the state.
	// Refused, nothing has changed. An error means that the command cannot be
	// decoded: it wraps ErrNoSuchCommand or describes the payload.
	Decide(s State, c *core.Command, d *Decision) (*core.Refusal, error)
	// Evolve folds a stored event into the state. An error is a fault.
	Evolve(s State, name string, version uint16, payload, personal []byte) error
	AppendState(dst []byte, s State) []byte
	DecodeState(b []byte) (State, error)

	sealed()
}

// A Decision collects what a command leads to. It is reused.
type Decision struct {
	Events []core.NewEvent
	buf    []byte
}

// Reset empties d.
func (d *Decision) Reset() { d.Events, d.buf = d.Events[:0], d.buf[:0] }

// A Ref names an actor of a type whose commands are C: sending it anything
// else does not compile.
type Ref[C any] struct {
	ID     core.ActorID
	encode func(dst []byte, c C) (string, []byte)
}

// Command makes the command c for the actor. Session, number and expectations
// are the caller's to fill in.
func (r Ref[C]) Command(c C) core.Command {
	name, payload := r.encode(nil, c)
	return core.Command{Actor: r.ID, Kind: core.Decide, Expected: core.AnySeq, Type: name, Payload: payload}
}

// A Type is a defined behaviour: what a shard registers and clients refer to.
type Type[S, C, E any] struct {
	b       Behavior[S, C, E]
	current map[string]uint16 // newest version by event name, of those with upcasts
	scratch []E
}

// Define checks a behaviour and makes it usable.
func Define[S, C, E any](b Behavior[S, C, E]) (*Type[S, C, E], error) {
	missing := ""
	switch {
	case !core.ValidTypeName(b.Type):
		return nil, fmt.Errorf("actor type %q: want 1 to %d of a-z 0-9 . _ -", b.Type, core.TypeNameBytesMax)
	case b.New == nil:
		missing = "New"
	case b.Decide == nil:
		missing = "Decide"
	case b.Evolve == nil:
		missing = "Evolve"
	case b.EncodeCommand == nil || b.DecodeCommand == nil:
		missing = "EncodeCommand or DecodeCommand"
	case b.EncodeEvent == nil || b.DecodeEvent == nil:
		missing = "EncodeEvent or DecodeEvent"
	case b.EncodeState == nil || b.DecodeState == nil:
		missing = "EncodeState or DecodeState"
	}
	if missing != "" {
		return nil, fmt.Errorf("actor type %q: %s is missing", b.Type, missing)
	}
	t := &Type[S, C, E]{b: b, current: make(map[string]uint16)}
	steps := make(map[string]uint16)
	for _, u := range b.Upcasts {
		if u.From == 0 || u.Apply == nil || t.has(u.Name, u.From) > 1 {
			return nil, fmt.Errorf("actor type %q: upcast of event %s from version %d: want one with Apply for each version from 1", b.Type, u.Name, u.From)
		}
		t.current[u.Name] = max(t.current[u.Name], u.From+1)
		steps[u.Name]++
	}
	for _, u := range b.Upcasts {
		if steps[u.Name]+1 != t.current[u.Name] {
			return nil, fmt.Errorf("actor type %q: the upcasts of event %s lead to version %d with %d steps", b.Type, u.Name, t.current[u.Name], steps[u.Name])
		}
	}
	return t, nil
}

func (t *Type[S, C, E]) has(name string, from uint16) (n int) {
	for _, u := range t.b.Upcasts {
		if u.Name == name && u.From == from {
			n++
		}
	}
	return n
}

// newest is the version in which events of a type are made and decoded.
func (t *Type[S, C, E]) newest(name string) uint16 { return max(t.current[name], 1) }

// Ref refers to the actor of this type with the given key.
func (t *Type[S, C, E]) Ref(key string) (Ref[C], error) {
	id, err := core.NewActorID(t.b.Type, key)
	return Ref[C]{ID: id, encode: t.b.EncodeCommand}, err
}

// Instance returns the type as a shard uses it, with scratch space of its own:
// shards must not share one.
func (t *Type[S, C, E]) Instance() Kind {
	return &Type[S, C, E]{b: t.b, current: t.current}
}

func (t *Type[S, C, E]) sealed() {}

// Name implements Kind.
func (t *Type[S, C, E]) Name() string { return t.b.Type }

// Policy implements Kind.
func (t *Type[S, C, E]) Policy() Policy { return t.b.Policy }

// New implements Kind.
func (t *Type[S, C, E]) New(id core.ActorID) State {
	s := t.b.New(id)
	return &s
}

// Decide implements Kind.
func (t *Type[S, C, E]) Decide(state State, c *core.Command, d *Decision) (*core.Refusal, error) {
	s := state.(*S)
	d.Reset()
	if c.Kind == core.Append {
		return nil, t.append(s, c, d)
	}
	command, err := t.b.DecodeCommand(c.Type, c.Payload)
	if err != nil {
		return nil, err
	}
	events, refusal := t.b.Decide(s, command, t.scratch[:0])
	if refusal != nil {
		return refusal, nil
	}
	t.scratch = events[:0]
	defer clear(events)
	if len(events) > core.CommandEventsMax {
		return &core.Refusal{Code: core.CodeRule, Detail: fmt.Sprintf("%d events from one command, the limit is %d", len(events), core.CommandEventsMax)}, nil
	}
	if refusal := t.encode(events, d); refusal != nil {
		d.Reset()
		return refusal, nil
	}
	for i := range events {
		t.b.Evolve(s, events[i])
	}
	return nil, nil
}

// encode puts events into d, and refuses what could not be stored or not be read
// back: the command has no effect then, and the shard goes on.
func (t *Type[S, C, E]) encode(events []E, d *Decision) *core.Refusal {
	size := 0
	for i := range events {
		from := len(d.buf)
		payload, meta := t.b.EncodeEvent(d.buf, events[i])
		d.buf = payload
		payload = payload[from:len(payload):len(payload)]
		switch {
		case !core.ValidTypeName(meta.Name):
			return core.Refuse("event %d: type %.60q", i, meta.Name)
		case meta.Version != t.newest(meta.Name):
			return core.Refuse("event %d: %s has version %d, its upcasts lead to %d", i, meta.Name, meta.Version, t.newest(meta.Name))
		case len(payload) > core.PayloadBytesMax || len(meta.Personal) > core.PayloadBytesMax:
			return core.Refuse("event %d: payload over %d bytes", i, core.PayloadBytesMax)
		}
		size += len(payload) + len(meta.Personal)
		d.Events = append(d.Events, core.NewEvent{Type: meta.Name, Version: meta.Version, EventTime: meta.Time,
			Payload: payload, Personal: meta.Personal})
	}
	if size > core.CommandBytesMax {
		return core.Refuse("events of %d bytes from one command, the limit is %d", size, core.CommandBytesMax)
	}
	return nil
}

// append takes events as they are, once all of them have proved readable.
func (t *Type[S, C, E]) append(s *S, c *core.Command, d *Decision) error {
	t.scratch = t.scratch[:0]
	for i := range c.Events {
		e := &c.Events[i]
		event, err := t.decode(e.Type, e.Version, e.Payload, e.Personal)
		if err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		t.scratch = append(t.scratch, event)
	}
	d.Events = append(d.Events, c.Events...)
	for _, event := range t.scratch {
		t.b.Evolve(s, event)
	}
	clear(t.scratch)
	return nil
}

func (t *Type[S, C, E]) decode(name string, version uint16, payload, personal []byte) (E, error) {
	var none E
	newest := t.newest(name)
	if version == 0 || version > newest {
		return none, fmt.Errorf("version %d of event %s: this program knows 1 to %d", version, name, newest)
	}
	for ; version < newest; version++ {
		up, err := t.upcast(name, version, payload)
		if err != nil {
			return none, err
		}
		payload = up
	}
	return t.b.DecodeEvent(name, payload, personal)
}

func (t *Type[S, C, E]) upcast(name string, version uint16, payload []byte) ([]byte, error) {
	for _, u := range t.b.Upcasts {
		if u.Name == name && u.From == version {
			return u.Apply(payload)
		}
	}
	return nil, fmt.Errorf("no upcast of event %s from version %d", name, version)
}

// Evolve implements Kind.
func (t *Type[S, C, E]) Evolve(state State, name string, version uint16, payload, personal []byte) error {
	e, err := t.decode(name, version, payload, personal)
	if err != nil {
		return fmt.Errorf("actor type %s, event %s version %d: %w", t.b.Type, name, version, err)
	}
	t.b.Evolve(state.(*S), e)
	return nil
}

// AppendState implements Kind: two bytes of version, then the state.
func (t *Type[S, C, E]) AppendState(dst []byte, state State) []byte {
	dst = append(dst, byte(t.b.StateVersion), byte(t.b.StateVersion>>8))
	return t.b.EncodeState(dst, state.(*S))
}

// DecodeState implements Kind.
func (t *Type[S, C, E]) DecodeState(b []byte) (State, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("actor type %s: a state of %d bytes", t.b.Type, len(b))
	}
	if v := uint16(b[0]) | uint16(b[1])<<8; v != t.b.StateVersion {
		return nil, ErrStaleState
	}
	s, err := t.b.DecodeState(b[2:])
	if err != nil {
		return nil, fmt.Errorf("actor type %s: state: %w", t.b.Type, err)
	}
	return &s, nil
}
