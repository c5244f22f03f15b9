package workloads

import (
	"actordb/core"
	"actordb/core/actor"
)

// ListCommand is what a list understands: Push. Generic appends of "appended"
// events do the same.
type ListCommand interface{ listCommand() }

// Push adds an element at the end.
type Push struct{ Value int64 }

func (Push) listCommand() {}

// ListState is all elements.
type ListState struct{ Values []int64 }

// Appended is a list's one event.
type Appended struct{ Value int64 }

// ListRef refers to a list.
type ListRef = actor.Ref[ListCommand]

func newList() (*actor.Type[ListState, ListCommand, Appended], error) {
	return actor.Define(actor.Behavior[ListState, ListCommand, Appended]{
		Type: "list",
		New:  func(core.ActorID) ListState { return ListState{} },
		Decide: func(_ *ListState, c ListCommand, out []Appended) ([]Appended, *core.Refusal) {
			return append(out, Appended(c.(Push))), nil
		},
		Evolve: func(s *ListState, e Appended) { s.Values = append(s.Values, e.Value) },
		EncodeCommand: func(dst []byte, c ListCommand) (string, []byte) {
			return "append", appendInt(dst, 1, c.(Push).Value)
		},
		DecodeCommand: func(name string, payload []byte) (ListCommand, error) {
			m, err := parse(payload)
			switch {
			case err != nil:
				return nil, err
			case name == "append":
				return Push{m.ints[1]}, nil
			}
			return nil, actor.ErrNoSuchCommand
		},
		EncodeEvent: func(dst []byte, e Appended) ([]byte, actor.EventMeta) {
			return appendInt(dst, 1, e.Value), actor.EventMeta{Name: "appended", Version: 1}
		},
		DecodeEvent: func(name string, payload, _ []byte) (Appended, error) {
			m, err := parse(payload)
			return Appended{m.ints[1]}, eventError(name, "appended", err)
		},
		EncodeState: func(dst []byte, s *ListState) []byte {
			for _, v := range s.Values {
				dst = appendInt(dst, 1, v)
			}
			return dst
		},
		DecodeState:  decodeList,
		StateVersion: 1,
		Policy:       actor.Policy{SnapshotEvery: 20, AllowAppend: true},
	})
}

func decodeList(b []byte) (s ListState, err error) {
	for len(b) > 0 {
		var v int64
		if v, b, err = consumeInt(b, 1); err != nil {
			return s, err
		}
		s.Values = append(s.Values, v)
	}
	return s, nil
}
