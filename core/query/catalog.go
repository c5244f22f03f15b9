package query

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// The catalog is an actor like others: its events are the statements that were
// executed, and what a name means at a cut is what they come to, in their order.
const (
	SystemType = "system"
	// CatalogActor is the actor's id.
	CatalogActor = core.ActorID(SystemType + "/catalog")

	executeCommand = "execute"
	executedEvent  = "executed"
)

// execute is the catalog's one command, and its one event: a statement, and who
// asked for it.
//
//	{1: statement, 2: principal}   Protobuf, both strings
type execute struct{ text, principal string }

func (e execute) append(dst []byte) []byte {
	dst = protowire.AppendString(protowire.AppendTag(dst, 1, protowire.BytesType), e.text)
	return protowire.AppendString(protowire.AppendTag(dst, 2, protowire.BytesType), e.principal)
}

var errStatement = errors.New("no statement in the payload")

func parseExecute(b []byte) (e execute, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.BytesType {
			return e, errStatement
		}
		text, k := protowire.ConsumeString(b[n:])
		switch {
		case k < 0:
			return e, errStatement
		case number == 1:
			e.text = text
		case number == 2:
			e.principal = text
		}
		b = b[n+k:]
	}
	if e.text == "" {
		return e, errStatement
	}
	return e, nil
}

// System is the type of the catalog's actor. Who sends it a command has made sure that
// the catalog at the expected sequence allows the statement; one that it does not allow
// has no effect, for everybody alike.
func System() (actor.Kind, error) {
	t, err := actor.Define(actor.Behavior[struct{}, execute, execute]{
		Type:          SystemType,
		New:           func(core.ActorID) struct{} { return struct{}{} },
		Decide:        func(_ *struct{}, c execute, out []execute) ([]execute, *core.Refusal) { return append(out, c), nil },
		Evolve:        func(*struct{}, execute) {},
		EncodeCommand: func(dst []byte, c execute) (string, []byte) { return executeCommand, c.append(dst) },
		DecodeCommand: func(name string, payload []byte) (execute, error) {
			if name != executeCommand {
				return execute{}, actor.ErrNoSuchCommand
			}
			return parseExecute(payload)
		},
		EncodeEvent: func(dst []byte, e execute) ([]byte, actor.EventMeta) {
			return e.append(dst), actor.EventMeta{Name: executedEvent, Version: 1}
		},
		DecodeEvent: func(name string, payload, _ []byte) (execute, error) {
			if name != executedEvent {
				return execute{}, fmt.Errorf("a catalog has no event %q", name)
			}
			return parseExecute(payload)
		},
		EncodeState:  func(dst []byte, _ *struct{}) []byte { return dst },
		DecodeState:  func([]byte) (struct{}, error) { return struct{}{}, nil },
		StateVersion: 1,
		Policy:       actor.Policy{Light: true},
	})
	if err != nil {
		return nil, err
	}
	return t.Instance(), nil
}

// A definition is a statement that the catalog has executed.
type definition struct {
	seq       core.Seq
	at        core.Timestamp
	statement tree.Statement // nil: it has no effect
	after     *view.Catalog
}

// catalogs is the catalog through time.
type catalogs struct {
	list  []definition
	empty *view.Catalog
}

// seq is that of the last statement.
func (c *catalogs) seq() core.Seq {
	if len(c.list) == 0 {
		return 0
	}
	return c.list[len(c.list)-1].seq
}

// at is the catalog as of a time: after all statements at or before it.
func (c *catalogs) at(t core.Timestamp) *view.Catalog {
	for i := len(c.list) - 1; i >= 0; i-- {
		if c.list[i].at <= t {
			return c.list[i].after
		}
	}
	return c.empty
}

// last is the catalog as far as it is known.
func (c *catalogs) last() *view.Catalog {
	if len(c.list) == 0 {
		return c.empty
	}
	return c.list[len(c.list)-1].after
}

// take notes the catalog's events of a block, and reports what was dropped.
func (c *catalogs) take(b *journal.Block) (changed bool, dropped []string) {
	for i := range b.Types {
		t := &b.Types[i]
		if t.Name != executedEvent {
			continue
		}
		for _, ordinal := range t.Rows {
			e := b.Event(int(ordinal))
			if e.Actor != CatalogActor || e.Seq <= c.seq() {
				continue
			}
			changed = true
			before := c.last()
			d := definition{seq: e.Seq, at: e.Committed, after: before}
			if x, err := parseExecute(e.Payload); err == nil {
				d.statement, _ = parse.One(x.text)
			}
			if next := before.Clone(); d.statement != nil && next.Execute(d.statement) == nil {
				d.after = next
			}
			c.list = append(c.list, d)
			for _, name := range before.Names() {
				if _, still := d.after.Lookup(name); !still {
					dropped = append(dropped, name)
				}
			}
		}
	}
	return changed, dropped
}
