package actor

import (
	"errors"
	"testing"

	"actordb/core"
)

// A stream takes whatever is appended, of any event type and version, keeps
// nothing of it in its state, and understands no command.
func TestStream(t *testing.T) {
	k := Stream()
	s := k.New("stream/a")
	c := core.Command{Actor: "stream/a", Kind: core.Append, Events: []core.NewEvent{
		{Type: "a", Version: 1, Payload: []byte{0xff}}, {Type: "b", Version: 9, Personal: []byte("p")}}}
	var d Decision
	for range 2 {
		if refusal, err := k.Decide(s, &c, &d); refusal != nil || err != nil || len(d.Events) != 2 || d.Events[1].Version != 9 {
			t.Fatalf("%+v %v %v", d.Events, refusal, err)
		}
	}
	if err := k.Evolve(s, "b", 9, nil, nil); err != nil {
		t.Error(err)
	}
	state := k.AppendState(nil, s)
	if _, err := k.DecodeState(state); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, {1}, {2, 0}, {1, 0, 0}} {
		if _, err := k.DecodeState(bad); !errors.Is(err, ErrStaleState) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	c = core.Command{Actor: "stream/a", Kind: core.Decide, Type: "a"}
	if _, err := k.Decide(s, &c, &d); !errors.Is(err, ErrNoSuchCommand) || len(d.Events) != 0 {
		t.Errorf("%v, %d events", err, len(d.Events))
	}
}
