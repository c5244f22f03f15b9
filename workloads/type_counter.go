package workloads

import (
	"actordb/core"
	"actordb/core/actor"
)

// CounterCommand is what a counter understands: Increment.
type CounterCommand interface{ counterCommand() }

// Increment adds By.
type Increment struct{ By int64 }

func (Increment) counterCommand() {}

// CounterState is the count.
type CounterState struct{ Value int64 }

// Incremented is a counter's one event.
type Incremented struct{ By int64 }

// CounterRef refers to a counter.
type CounterRef = actor.Ref[CounterCommand]

func newCounter() (*actor.Type[CounterState, CounterCommand, Incremented], error) {
	return actor.Define(actor.Behavior[CounterState, CounterCommand, Incremented]{
		Type: "counter",
		New:  func(core.ActorID) CounterState { return CounterState{} },
		Decide: func(_ *CounterState, c CounterCommand, out []Incremented) ([]Incremented, *core.Refusal) {
			return append(out, Incremented(c.(Increment))), nil
		},
		Evolve: func(s *CounterState, e Incremented) { s.Value += e.By },
		EncodeCommand: func(dst []byte, c CounterCommand) (string, []byte) {
			return "inc", appendInt(dst, 1, c.(Increment).By)
		},
		DecodeCommand: func(name string, payload []byte) (CounterCommand, error) {
			m, err := parse(payload)
			switch {
			case err != nil:
				return nil, err
			case name == "inc" && !m.filled(1):
				return Increment{1}, nil
			case name == "inc":
				return Increment{m.ints[1]}, nil
			}
			return nil, actor.ErrNoSuchCommand
		},
		EncodeEvent: func(dst []byte, e Incremented) ([]byte, actor.EventMeta) {
			return appendInt(dst, 1, e.By), actor.EventMeta{Name: "incremented", Version: 1}
		},
		DecodeEvent: func(name string, payload, _ []byte) (Incremented, error) {
			m, err := parse(payload)
			return Incremented{m.ints[1]}, eventError(name, "incremented", err)
		},
		EncodeState: func(dst []byte, s *CounterState) []byte { return appendInt(dst, 1, s.Value) },
		DecodeState: func(b []byte) (CounterState, error) {
			m, err := parse(b)
			return CounterState{m.ints[1]}, err
		},
		StateVersion: 1,
		Policy:       actor.Policy{Light: true},
	})
}
