package actor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
)

// A ledger counts what was added to it. Its events were once one byte long.
type ledger struct{ total int64 }

type add struct {
	amount int64
	times  int
	size   int // of the payload, when not 0
	name   string
	person string
}

type added struct {
	add
}

func ledgerBehavior() Behavior[ledger, add, added] {
	return Behavior[ledger, add, added]{
		Type: "ledger",
		New:  func(core.ActorID) ledger { return ledger{} },
		Decide: func(s *ledger, c add, out []added) ([]added, *core.Refusal) {
			for range c.times {
				out = append(out, added{c})
			}
			if s.total+c.amount*int64(c.times) < 0 {
				return out, core.Refuse("only %d left", s.total)
			}
			return out, nil
		},
		Evolve: func(s *ledger, e added) { s.total += e.amount },
		EncodeCommand: func(dst []byte, c add) (string, []byte) {
			dst = binary.AppendVarint(dst, c.amount)
			dst = binary.AppendVarint(dst, int64(c.times))
			dst = binary.AppendVarint(dst, int64(c.size))
			return "add", append(append(append(dst, c.name...), 0), c.person...)
		},
		DecodeCommand: func(name string, p []byte) (c add, err error) {
			if name != "add" {
				return c, ErrNoSuchCommand
			}
			var v [3]int64
			for i := range v {
				n := 0
				if v[i], n = binary.Varint(p); n <= 0 {
					return c, errors.New("short command")
				}
				p = p[n:]
			}
			event, person, _ := strings.Cut(string(p), "\x00")
			return add{v[0], int(v[1]), int(v[2]), event, person}, nil
		},
		EncodeEvent: func(dst []byte, e added) ([]byte, EventMeta) {
			name := e.name
			if name == "" {
				name = "added"
			}
			dst = binary.LittleEndian.AppendUint64(dst, uint64(e.amount))
			return append(dst, make([]byte, e.size)...), EventMeta{Name: name, Version: 2, Personal: []byte(e.person)}
		},
		DecodeEvent: func(name string, p, personal []byte) (e added, err error) {
			if name != "added" || len(p) < 8 {
				return e, fmt.Errorf("event %s of %d bytes", name, len(p))
			}
			return added{add{amount: int64(binary.LittleEndian.Uint64(p)), person: string(personal)}}, nil
		},
		Upcasts: []Upcast{{Name: "added", From: 1, Apply: func(p []byte) ([]byte, error) {
			if len(p) != 1 {
				return nil, errors.New("want one byte")
			}
			return binary.LittleEndian.AppendUint64(nil, uint64(p[0])), nil
		}}},
		EncodeState: func(dst []byte, s *ledger) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(s.total)) },
		DecodeState: func(b []byte) (s ledger, err error) {
			if len(b) != 8 {
				return s, errors.New("want 8 bytes")
			}
			return ledger{int64(binary.LittleEndian.Uint64(b))}, nil
		},
		StateVersion: 3,
	}
}

func ledgerType(t testing.TB) *Type[ledger, add, added] {
	t.Helper()
	typ, err := Define(ledgerBehavior())
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func decide(t testing.TB, typ *Type[ledger, add, added], k Kind, s State, c add, d *Decision) (*core.Refusal, error) {
	t.Helper()
	ref, err := typ.Ref("a")
	if err != nil {
		t.Fatal(err)
	}
	command := ref.Command(c)
	return k.Decide(s, &command, d)
}

// A1, A2: refused commands leave the state alone; what the stored events make is
// what the command left, whatever was decided and in whichever order.
func TestDecideAndFold(t *testing.T) {
	typ := ledgerType(t)
	rapid.Check(t, func(t *rapid.T) {
		k := Checked(typ.Instance())
		s, folded := k.New("ledger/a"), k.New("ledger/a")
		var total int64
		var d Decision
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			c := add{amount: int64(rapid.IntRange(-20, 20).Draw(t, "amount")), times: rapid.IntRange(0, 3).Draw(t, "times")}
			ref, _ := typ.Ref("a")
			command := ref.Command(c)
			refusal, err := k.Decide(s, &command, &d)
			if err != nil || (refusal != nil) != (total+c.amount*int64(c.times) < 0) {
				t.Fatalf("%+v on %d: %v, %v", c, total, refusal, err)
			}
			if refusal != nil {
				continue
			}
			total += c.amount * int64(c.times)
			for _, e := range d.Events {
				if err := k.Evolve(folded, e.Type, e.Version, e.Payload, e.Personal); err != nil {
					t.Fatal(err)
				}
			}
			if s.(*ledger).total != total || folded.(*ledger).total != total {
				t.Fatalf("state %+v, folded %+v, want %d", s, folded, total)
			}
		}
	})
}

// A1: Checked catches a behaviour that breaks it.
func TestCheckedCatches(t *testing.T) {
	for what, spoil := range map[string]func(*Behavior[ledger, add, added]){
		"refuses and changes": func(b *Behavior[ledger, add, added]) {
			b.Decide = func(s *ledger, c add, out []added) ([]added, *core.Refusal) {
				s.total++
				return nil, core.Refuse("no")
			}
		},
		"accepts and changes beside its events": func(b *Behavior[ledger, add, added]) {
			b.Decide = func(s *ledger, c add, out []added) ([]added, *core.Refusal) {
				s.total++
				return append(out, added{c}), nil
			}
		},
		"encodes what it does not decode": func(b *Behavior[ledger, add, added]) {
			b.EncodeEvent = func(dst []byte, e added) ([]byte, EventMeta) { return dst, EventMeta{Name: "added", Version: 2} }
		},
	} {
		b := ledgerBehavior()
		spoil(&b)
		typ, err := Define(b)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if _, ok := recover().(core.Bug); !ok {
					t.Errorf("%s: not caught", what)
				}
			}()
			k := Checked(typ.Instance())
			_, _ = decide(t, typ, k, k.New("ledger/a"), add{amount: 1, times: 1}, new(Decision))
		}()
	}
}

// What could not be stored, or not be read back, is refused and changes nothing:
// a block with it would stop every replica for good.
func TestUnstorableEventsAreRefused(t *testing.T) {
	typ := ledgerType(t)
	for what, c := range map[string]add{
		"payload too large":  {amount: 1, times: 1, size: core.PayloadBytesMax},
		"personal too large": {amount: 1, times: 1, person: strings.Repeat("x", core.PayloadBytesMax+1)},
		"too much in all":    {amount: 1, times: 5, size: core.PayloadBytesMax - 8},
		"too many":           {amount: 1, times: core.CommandEventsMax + 1},
		"name":               {amount: 1, times: 1, name: "Not A Name"},
		"version":            {amount: 1, times: 1, name: "unheard-of"},
	} {
		k := Checked(typ.Instance())
		s := k.New("ledger/a")
		refusal, err := decide(t, typ, k, s, c, new(Decision))
		if err != nil || refusal == nil || refusal.Code != core.CodeRule {
			t.Errorf("%s: %v, %v", what, refusal, err)
		}
	}
}

// The payloads of a decision stay good while its buffer grows.
func TestPayloadsOfOneDecision(t *testing.T) {
	typ := ledgerType(t)
	k := typ.Instance()
	s := k.New("ledger/a")
	d := new(Decision)
	if refusal, err := decide(t, typ, k, s, add{amount: 7, times: 500, person: "p"}, d); refusal != nil || err != nil {
		t.Fatal(refusal, err)
	}
	for i, e := range d.Events {
		if len(e.Payload) != 8 || e.Payload[0] != 7 || string(e.Personal) != "p" || e.Type != "added" || e.Version != 2 {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
}

// A3: old payloads are brought up to date; versions that this program does not
// know are errors, not misreadings.
func TestUpcasts(t *testing.T) {
	k := ledgerType(t).Instance()
	s := k.New("ledger/a")
	if err := k.Evolve(s, "added", 1, []byte{5}, nil); err != nil || s.(*ledger).total != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, e := range []struct {
		version uint16
		payload []byte
	}{{0, []byte{5}}, {3, make([]byte, 8)}, {1, []byte{5, 5}}, {2, nil}} {
		if err := k.Evolve(s, "added", e.version, e.payload, nil); err == nil || !strings.Contains(err.Error(), "ledger") {
			t.Errorf("version %d: %v", e.version, err)
		}
	}
	if s.(*ledger).total != 5 {
		t.Errorf("failed events changed the state to %+v", s)
	}
}

// Append takes events of any version that can be read, all or none.
func TestAppend(t *testing.T) {
	k := Checked(ledgerType(t).Instance())
	s := k.New("ledger/a")
	var d Decision
	good := core.Command{Kind: core.Append, Events: []core.NewEvent{{Type: "added", Version: 1, Payload: []byte{4}},
		{Type: "added", Version: 2, Payload: binary.LittleEndian.AppendUint64(nil, 6)}}}
	if refusal, err := k.Decide(s, &good, &d); refusal != nil || err != nil || s.(*ledger).total != 10 || len(d.Events) != 2 {
		t.Fatalf("%+v, %v, %v", s, refusal, err)
	}
	bad := core.Command{Kind: core.Append, Events: append(good.Events[:1:1], core.NewEvent{Type: "added", Version: 9})}
	if _, err := k.Decide(s, &bad, &d); err == nil || !strings.Contains(err.Error(), "event 1") || s.(*ledger).total != 10 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// A command that does not decode is an error that says so, and no effect.
func TestUndecodableCommands(t *testing.T) {
	k := Checked(ledgerType(t).Instance())
	s := k.New("ledger/a")
	if _, err := k.Decide(s, &core.Command{Kind: core.Decide, Type: "burn"}, new(Decision)); !errors.Is(err, ErrNoSuchCommand) {
		t.Error(err)
	}
	if _, err := k.Decide(s, &core.Command{Kind: core.Decide, Type: "add"}, new(Decision)); err == nil || errors.Is(err, ErrNoSuchCommand) {
		t.Error(err)
	}
}

// A snapshot of another version of the state is stale; one cut short an error.
func TestStates(t *testing.T) {
	typ := ledgerType(t)
	k := typ.Instance()
	b := k.AppendState([]byte("x"), &ledger{42})
	if b[0] != 'x' {
		t.Error("AppendState does not append")
	}
	s, err := k.DecodeState(b[1:])
	if err != nil || s.(*ledger).total != 42 {
		t.Fatal(s, err)
	}
	if again := k.AppendState([]byte("x"), s); !bytes.Equal(again, b) {
		t.Error("a state does not encode as it was")
	}
	for n := range len(b) - 1 {
		if _, err := k.DecodeState(b[1 : 1+n]); err == nil || errors.Is(err, ErrStaleState) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	b[1]++
	if _, err := k.DecodeState(b[1:]); !errors.Is(err, ErrStaleState) {
		t.Error(err)
	}
}

// Define refuses what would fail later.
func TestDefine(t *testing.T) {
	for i, spoil := range []func(*Behavior[ledger, add, added]){
		func(b *Behavior[ledger, add, added]) { b.Type = "Ledger" },
		func(b *Behavior[ledger, add, added]) { b.New = nil },
		func(b *Behavior[ledger, add, added]) { b.Decide = nil },
		func(b *Behavior[ledger, add, added]) { b.Evolve = nil },
		func(b *Behavior[ledger, add, added]) { b.DecodeCommand = nil },
		func(b *Behavior[ledger, add, added]) { b.EncodeEvent = nil },
		func(b *Behavior[ledger, add, added]) { b.DecodeState = nil },
		func(b *Behavior[ledger, add, added]) { b.Upcasts[0].Apply = nil },
		func(b *Behavior[ledger, add, added]) { b.Upcasts[0].From = 2 },
		func(b *Behavior[ledger, add, added]) { b.Upcasts[0].From = 0 },
		func(b *Behavior[ledger, add, added]) { b.Upcasts = append(b.Upcasts, b.Upcasts[0]) },
	} {
		b := ledgerBehavior()
		spoil(&b)
		if _, err := Define(b); err == nil {
			t.Errorf("behaviour %d is accepted", i)
		}
	}
	if _, err := ledgerType(t).Ref(""); err == nil {
		t.Error("an empty key is accepted")
	}
	p := Policy{}
	if p.Every() != DefaultSnapshotEvery || p.Keep() != 1 || (Policy{SnapshotEvery: 7, SnapshotKeep: 3}).Every() != 7 {
		t.Error("policy defaults")
	}
}
