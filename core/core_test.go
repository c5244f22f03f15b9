package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Names keep to their grammar, and what they are made of comes back.
func TestActorID(t *testing.T) {
	id, err := NewActorID("cart", "customer/1 ü")
	if err != nil || id.Type() != "cart" || id.Key() != "customer/1 ü" {
		t.Errorf("%q: %q %q, %v", id, id.Type(), id.Key(), err)
	}
	long := strings.Repeat("x", ActorKeyBytesMax)
	kind := strings.Repeat("t", TypeNameBytesMax)
	for _, good := range []ActorID{"a/b", "a0._-/1", ActorID(kind + "/" + long)} {
		if err := good.Validate(); err != nil || len(good) > 255 {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []ActorID{"", "cart", "/1", "cart/", "Cart/1", "1cart/1", "_c/1", "ca rt/1", "cart/\x00", "cart/a\n", "cart/\x7f",
		"cart/\xff", ActorID("cart/" + long + "x"), ActorID(kind + "t/1")} {
		if bad.Validate() == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for name, want := range map[string]bool{"a": true, "a-b.c_9": true, "": false, "9": false, "-a": false, "A": false, kind: true, kind + "t": false} {
		if ValidTypeName(name) != want {
			t.Errorf("%q as a type name: %v", name, !want)
		}
	}
}

// Slots are part of the stored format: they never change. The hash is xxHash64,
// with the published answers.
func TestSlots(t *testing.T) {
	if xxhash.Sum64String("") != 0xef46db3751d8e999 || xxhash.Sum64String("a") != 0xd24ec4f1a98c6e5b {
		t.Fatal("this is not xxHash64")
	}
	for id, want := range map[ActorID]Slot{"cart/1": 2545, "cart/2": 1767, "bank/main": 4041, "counter/a": 162, "ledger/customer-000001": 3210} {
		if got := id.Slot(); got != want {
			t.Errorf("%s is in slot %d, was %d", id, got, want)
		}
	}
	var count [Slots]int
	const perSlot = 50
	for i := range perSlot * Slots {
		count[ActorID(fmt.Sprintf("cart/%d", i)).Slot()]++
	}
	if slices.Min(count[:]) < perSlot/4 || slices.Max(count[:]) > 2*perSlot {
		t.Errorf("%d to %d actors in a slot, want about %d", slices.Min(count[:]), slices.Max(count[:]), perSlot)
	}
}

// A session's id says when it ends, and ids sort by that.
func TestSessionID(t *testing.T) {
	a, b := NewSessionID(1_000, 1<<63), NewSessionID(1_001, 2)
	if a.Expires() != 1_000 || b.Expires() != 1_001 || string(a[:]) >= string(b[:]) {
		t.Errorf("%s %s", a, b)
	}
	if s := NewSessionID(0x0102030405060708, 0x1112131415161718).String(); s != "01020304050607081112131415161718" {
		t.Error(s)
	}
}

// Codes are what clients branch on: a number once given keeps its meaning.
func TestCodesAreStable(t *testing.T) {
	want := map[Code]string{
		0: "none", 1: "rule", 2: "wrong-seq", 3: "bad-payload",
		100: "overloaded", 101: "wrong-shard", 102: "not-leader", 103: "unknown-type", 104: "malformed", 105: "too-large",
		106: "session-expired", 107: "session-too-long", 108: "sessions-full", 109: "below-floor", 110: "window-full",
		111: "disk-full", 112: "not-permitted", 113: "compacted", 114: "append-forbidden", 115: "number-reused",
		116: "stale-plan", 117: "not-fresh", 118: "old-version",
		200: "timeout",
	}
	for code, name := range want {
		if code.String() != name || code.AtDoor() != (code >= 100 && code < 200) {
			t.Errorf("code %d is %s, was %s", code, code, name)
		}
		if (code.Cure() == "") != (code == CodeNone || code == CodeRule) {
			t.Errorf("%s: the cure is %q; only a type's own rules have none here", code, code.Cure())
		}
	}
	if len(codeNames) != len(want) {
		t.Errorf("%d codes, %d in this list: add the new ones here", len(codeNames), len(want))
	}
	if Code(999).String() != "code-999" {
		t.Error(Code(999).String())
	}
	for i, name := range []string{"?", "decide", "append", "read", "history", "fence", "move", "regroup", "?"} {
		if k := CommandKind(i); k.String() != name || k.Changes() != (k == Decide || k == Append) {
			t.Errorf("command kind %d is %s", i, k)
		}
	}
	for i, name := range []string{"?", "accepted", "refused", "refused-at-door", "unknown", "?"} {
		if s := Status(i); s.String() != name {
			t.Errorf("status %d is %s", i, s)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	good := func() Command {
		return Command{Actor: "cart/1", Number: 5, AckedBelow: 5, Kind: Append, Events: []NewEvent{{Type: "added", Version: 1}}}
	}
	c := good()
	if code, detail := CheckCommand(&c); code != CodeNone {
		t.Fatal(code, detail)
	}
	big := make([]byte, PayloadBytesMax+1)
	for i, row := range []struct {
		spoil func(*Command)
		want  Code
	}{
		{func(c *Command) { c.Actor = "cart" }, CodeMalformed},
		{func(c *Command) { c.Kind = 0 }, CodeMalformed},
		{func(c *Command) { c.Kind = Fence + 1 }, CodeMalformed},
		{func(c *Command) { c.Number, c.AckedBelow = 0, 0 }, CodeMalformed},
		{func(c *Command) { c.AckedBelow = 6 }, CodeMalformed},
		{func(c *Command) { c.Principal = Principal(big[:PrincipalBytesMax+1]) }, CodeTooLarge},
		{func(c *Command) { c.Payload = big }, CodeTooLarge},
		{func(c *Command) { c.Kind, c.Events, c.Type = Decide, nil, "Bad" }, CodeMalformed},
		{func(c *Command) { c.Kind, c.Type = Decide, "add" }, CodeMalformed},
		{func(c *Command) { c.Events = nil }, CodeMalformed},
		{func(c *Command) { c.Events = make([]NewEvent, CommandEventsMax+1) }, CodeTooLarge},
		{func(c *Command) { c.Events[0].Type = "" }, CodeMalformed},
		{func(c *Command) { c.Events[0].Version = 0 }, CodeMalformed},
		{func(c *Command) { c.Events[0].Payload = big }, CodeTooLarge},
		{func(c *Command) { c.Events[0].Personal = big }, CodeTooLarge},
		{func(c *Command) {
			for range 5 {
				c.Events = append(c.Events, NewEvent{Type: "added", Version: 1, Payload: big[1:]})
			}
		}, CodeTooLarge},
	} {
		c := good()
		row.spoil(&c)
		if code, detail := CheckCommand(&c); code != row.want || detail == "" || len(detail) > DetailBytesMax {
			t.Errorf("case %d: %s %q, want %s", i, code, detail, row.want)
		}
	}
}

// A refusal's detail keeps its limit and stays text.
func TestRefuse(t *testing.T) {
	if r := Refuse("no"); r.Detail != "no" || r.Code != CodeRule || !strings.Contains(r.Error(), "rule") {
		t.Errorf("%+v", r)
	}
	for n := range 4 {
		r := Refuse("%s", strings.Repeat("x", n)+strings.Repeat("é", DetailBytesMax))
		if len(r.Detail) > DetailBytesMax || len(r.Detail) < DetailBytesMax-1 || !utf8.ValidString(r.Detail) {
			t.Errorf("%d bytes, text %v", len(r.Detail), utf8.ValidString(r.Detail))
		}
	}
}

func TestAssert(t *testing.T) {
	Assert(true, "fine")
	defer func() {
		if b, ok := recover().(Bug); !ok || b.Error() != "bug: 2 is not 3" {
			t.Errorf("%v", b)
		}
	}()
	Assert(false, "%d is not %d", 2, 3)
}
