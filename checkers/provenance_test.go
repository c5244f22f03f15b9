package checkers

import (
	"strings"
	"testing"

	"actordb/core"
)

var testSender = Sender{
	Principal: func(client int) core.Principal { return core.Principal([]string{"alice", "bob"}[client]) },
	Personal: func(o *Op) ([]byte, bool) {
		if o.Name != "checkout" {
			return nil, false
		}
		return []byte(o.In.Strs[0]), true
	},
}

// Provenance: what it must accept, and what it must reject and how.
func TestProvenance(t *testing.T) {
	op := Op{Client: 1, Session: core.NewSessionID(9, 9), Number: 4, Actor: "cart/a", Kind: core.Decide, Name: "checkout", In: Value{Strs: []string{"1 Main Street"}}}
	good := core.Event{Actor: "cart/a", Seq: 1, Session: op.Session, Number: 4, Principal: "bob", Personal: []byte("1 Main Street")}
	cases := []struct {
		name   string
		change func(e *core.Event)
		want   string // part of the note; "": accepted
	}{
		{"as sent", func(*core.Event) {}, ""},
		{"of a command that nobody sent: durability's to report", func(e *core.Event) { e.Number = 5 }, ""},
		{"under another's name", func(e *core.Event) { e.Principal = "alice" }, "said to be by"},
		{"under no name", func(e *core.Event) { e.Principal = "" }, "said to be by"},
		{"without its personal columns", func(e *core.Event) { e.Personal = nil }, "personal columns"},
		{"with another's personal columns", func(e *core.Event) { e.Personal = []byte("2 Main Street") }, "personal columns"},
	}
	for _, c := range cases {
		e := good
		c.change(&e)
		r := Provenance([]Op{op}, []Final{{Actor: "cart/a", Events: []core.Event{e}}}, testSender)
		if (r.Verdict == Pass) != (c.want == "") || !strings.Contains(r.Note, c.want) {
			t.Errorf("%s: %s", c.name, r)
		}
	}
}

// Fencing: what it must accept, and what it must reject.
func TestFences(t *testing.T) {
	type entry struct {
		index          core.Index
		life           uint64
		void, restored bool
		decided, raise core.Epoch
	}
	cases := []struct {
		name    string
		entries []entry
		want    Verdict
	}{
		{"no fence", []entry{{index: 1, life: 1}, {index: 2, life: 1}}, Pass},
		{"the old block is void, the new one is not", []entry{{index: 1, life: 1, raise: 2}, {index: 2, life: 1, void: true}, {index: 3, life: 1, decided: 2}}, Pass},
		{"a replay sees the same", []entry{{index: 1, life: 1, raise: 2}, {index: 2, life: 1, decided: 2}, {index: 1, life: 2, raise: 2}, {index: 2, life: 2, decided: 2}}, Pass},
		{"a checkpoint after the fence", []entry{{index: 1, life: 1, raise: 2}, {index: 1, life: 2, restored: true}, {index: 2, life: 2, decided: 2}}, Pass},
		{"the old block takes effect", []entry{{index: 1, life: 1, raise: 2}, {index: 2, life: 1}}, Fail},
		{"a block of the future takes effect", []entry{{index: 1, life: 1, decided: 1}}, Fail},
		{"a replay lets the old block through", []entry{{index: 1, life: 1, raise: 2}, {index: 2, life: 1, void: true}, {index: 1, life: 2, raise: 2}, {index: 2, life: 2}}, Fail},
		{"a checkpoint forgets the epoch", []entry{{index: 1, life: 1, raise: 2}, {index: 1, life: 2, restored: true}, {index: 2, life: 2}}, Fail},
		{"a void fence raises nothing", []entry{{index: 1, life: 1, raise: 2, void: true}, {index: 2, life: 1, decided: 2}}, Fail},
	}
	for _, c := range cases {
		f := NewFences()
		for _, e := range c.entries {
			f.Add(&LogRecord{Shard: 1, Incarnation: e.life, Index: e.index, Void: e.void, Restored: e.restored}, e.decided, e.raise)
		}
		if r := f.Result(); r.Verdict != c.want || r.Verdict == Pass && r.Examined == 0 {
			t.Errorf("%s: %s", c.name, r)
		}
	}
}
