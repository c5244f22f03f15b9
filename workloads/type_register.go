package workloads

import (
	"fmt"

	"actordb/core"
	"actordb/core/actor"
)

// RegisterCommand is what a register understands: Write or CompareAndSet.
type RegisterCommand interface{ registerCommand() }

// Write sets the register.
type Write struct{ Value int64 }

// CompareAndSet sets the register to New if it is Old, or is refused.
type CompareAndSet struct{ Old, New int64 }

func (Write) registerCommand()         {}
func (CompareAndSet) registerCommand() {}

// RegisterState is the register's value, 0 at first.
type RegisterState struct{ Value int64 }

// Written is a register's one event.
type Written struct{ Value int64 }

// RegisterRef refers to a register.
type RegisterRef = actor.Ref[RegisterCommand]

func newRegister() (*actor.Type[RegisterState, RegisterCommand, Written], error) {
	return actor.Define(actor.Behavior[RegisterState, RegisterCommand, Written]{
		Type: "register",
		New:  func(core.ActorID) RegisterState { return RegisterState{} },
		Decide: func(s *RegisterState, c RegisterCommand, out []Written) ([]Written, *core.Refusal) {
			switch c := c.(type) {
			case Write:
				return append(out, Written(c)), nil
			case CompareAndSet:
				if s.Value == c.Old {
					return append(out, Written{c.New}), nil
				}
			}
			return nil, core.Refuse("the register has another value")
		},
		Evolve: func(s *RegisterState, e Written) { s.Value = e.Value },
		EncodeCommand: func(dst []byte, c RegisterCommand) (string, []byte) {
			switch c := c.(type) {
			case Write:
				return "write", appendInt(dst, 1, c.Value)
			case CompareAndSet:
				return "cas", appendInt(appendInt(dst, 1, c.Old), 2, c.New)
			}
			panic(core.Bug(fmt.Sprintf("register command %T", c)))
		},
		DecodeCommand: func(name string, payload []byte) (RegisterCommand, error) {
			m, err := parse(payload)
			switch {
			case err != nil:
				return nil, err
			case name == "write":
				return Write{m.ints[1]}, nil
			case name == "cas":
				return CompareAndSet{m.ints[1], m.ints[2]}, nil
			}
			return nil, actor.ErrNoSuchCommand
		},
		EncodeEvent: func(dst []byte, e Written) ([]byte, actor.EventMeta) {
			return appendInt(dst, 1, e.Value), actor.EventMeta{Name: "written", Version: 1}
		},
		DecodeEvent: func(name string, payload, _ []byte) (Written, error) {
			m, err := parse(payload)
			return Written{m.ints[1]}, eventError(name, "written", err)
		},
		EncodeState: func(dst []byte, s *RegisterState) []byte { return appendInt(dst, 1, s.Value) },
		DecodeState: func(b []byte) (RegisterState, error) {
			m, err := parse(b)
			return RegisterState{m.ints[1]}, err
		},
		StateVersion: 1,
		Policy:       actor.Policy{SnapshotEvery: 8, SnapshotKeep: 2},
	})
}

// eventError is what decoding the event of a type with only one comes to.
func eventError(name, want string, err error) error {
	if name != want {
		return fmt.Errorf("no event %q, want %s", name, want)
	}
	return err
}
