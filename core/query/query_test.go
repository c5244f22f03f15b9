package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/seal"
	"actordb/core/sql/sqlerr"
	"actordb/core/view"
)

// history writes blocks of the catalog's actor.
type history struct {
	builder *journal.Builder
	clock   core.Timestamp
	seq     core.Seq
}

func (h *history) block(t *testing.T, texts ...string) *journal.Block {
	t.Helper()
	b := h.builder
	h.clock += 10
	b.Start(journal.Header{Kind: journal.Commands, Term: 1, Timestamp: h.clock})
	session := b.Session(core.SessionID{1})
	entry := b.Actor(CatalogActor, 0, h.seq+1)
	for i, text := range texts {
		h.seq++
		b.Event(entry, h.seq, &core.NewEvent{Type: executedEvent, Version: 1, EventTime: h.clock, Payload: execute{text, "alice"}.append(nil)})
		b.Outcome(session, entry, &journal.Outcome{Number: core.CommandNumber(i + 1), Principal: "alice", Seq: h.seq, Count: 1})
	}
	data, _ := b.Finish()
	parsed, err := journal.ParseBlock(slices.Clone(data))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// The catalog at a time is what the statements up to it come to: those that it does not
// allow have no effect, and what comes twice counts once.
func TestCatalogs(t *testing.T) {
	h := &history{builder: journal.NewBuilder(&seal.Salter{})}
	c := catalogs{empty: view.NewCatalog()}
	first := h.block(t, `CREATE EVENT TYPE cart.added (item text)`, `CREATE PROJECTION items AS SELECT item FROM cart.added`)
	second := h.block(t, `CREATE PROJECTION items AS SELECT 1 AS one`, `DROP EVENT TYPE cart.nothing`, `no SQL`)
	third := h.block(t, `DROP EVENT TYPE cart.added CASCADE`, `CREATE EVENT TYPE cart.added (thing text)`)
	for i, b := range []*journal.Block{first, first, second, first} {
		if changed, dropped := c.take(b); len(dropped) > 0 || changed != (i == 0 || i == 2) {
			t.Fatalf("block %d: changed %t, dropped %v", i, changed, dropped)
		}
	}
	if c.seq() != 5 {
		t.Fatalf("the catalog is at %d, want 5", c.seq())
	}
	changed, dropped := c.take(third)
	if slices.Sort(dropped); !changed || !slices.Equal(dropped, []string{"cart.added", "projections.items"}) {
		t.Errorf("changed %t, dropped %v", changed, dropped)
	}
	for at, want := range map[core.Timestamp]string{0: "[]", 9: "[]", 10: "[cart.added projections.items]", 29: "[cart.added projections.items]", 30: "[cart.added]"} {
		if got := fmt.Sprint(c.at(at).Names()); got != want {
			t.Errorf("at %d there are %s, want %s", at, got, want)
		}
	}
	if s, _ := c.at(29).Lookup("cart.added"); !strings.Contains(s, "item text") {
		t.Errorf("before the drop it is %s", s)
	}
	if s, _ := c.at(30).Lookup("cart.added"); !strings.Contains(s, "thing text") {
		t.Errorf("after the drop it is %s", s)
	}
}

// The catalog's actor takes statements and nothing else.
func TestSystem(t *testing.T) {
	kind, err := System()
	if err != nil {
		t.Fatal(err)
	}
	kind = actor.Checked(kind)
	s := kind.New(CatalogActor)
	d := &actor.Decision{}
	good := core.Command{Actor: CatalogActor, Kind: core.Decide, Type: executeCommand, Payload: execute{"SELECT 1", "alice"}.append(nil)}
	if refusal, err := kind.Decide(s, &good, d); refusal != nil || err != nil || len(d.Events) != 1 || d.Events[0].Type != executedEvent {
		t.Fatalf("%v, %v, %v", refusal, err, d.Events)
	}
	if e, err := parseExecute(d.Events[0].Payload); err != nil || e != (execute{"SELECT 1", "alice"}) {
		t.Errorf("%+v, %v", e, err)
	}
	for _, bad := range []core.Command{
		{Kind: core.Decide, Type: "drop", Payload: good.Payload},
		{Kind: core.Decide, Type: executeCommand},
		{Kind: core.Decide, Type: executeCommand, Payload: []byte{8, 1}},
		{Kind: core.Decide, Type: executeCommand, Payload: []byte{10, 200, 1}},
	} {
		if _, err := kind.Decide(s, &bad, d); err == nil {
			t.Errorf("%s %v is taken", bad.Type, bad.Payload)
		}
	}
}

// What cannot be is refused before a process is made.
func TestLimits(t *testing.T) {
	for what, change := range map[string]func(*Limits){
		"subscriptions": func(l *Limits) { l.Subscriptions = l.Statements + 1 },
		"statements":    func(l *Limits) { l.Statements = 0 },
		"scans":         func(l *Limits) { l.Scans = scansMax + 1 },
		"memory":        func(l *Limits) { l.MemoryBytes = 0 },
		"window":        func(l *Limits) { l.FeedWindow = core.FeedWindowMax + 1 },
		"times":         func(l *Limits) { l.Wait = 0 },
	} {
		l := DefaultLimits()
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&l)
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Every error has a SQLSTATE; which of them a subscription survives is told apart.
func TestErrors(t *testing.T) {
	for _, x := range []struct {
		err   error
		state string
		again bool
	}{
		{sqlerr.At(7, sqlerr.UndefinedColumn, "none"), "42703", false},
		{fmt.Errorf("around: %w", sqlerr.New(sqlerr.OutOfMemory, "much")), "53200", false},
		{resumable{sqlerr.New(subscriberTooSlow, "slow")}, "57014", true},
		{&feed.CompactedError{}, "58030", false},
		{errors.New("anything"), "XX000", false},
		{tooMany(3, "statements"), "53300", false},
		{notReached(5, 4), "57P03", false},
	} {
		if e := queryError(x.err); e.State != x.state || e.Resumable != x.again || e.Message == "" {
			t.Errorf("%v: %+v", x.err, e)
		}
	}
}
