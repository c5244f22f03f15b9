package query

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/sql/parse"
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

// statements is the state of the catalog's actor: all that it has executed. Who cannot
// read its events any more, since they were compacted, begins with it.
type statements struct {
	texts []string
	bytes int
}

// statementsMax bounds the state, below what an actor may have.
const statementsMax = actor.StateBytesMax - 64<<10

func (s *statements) add(e execute) {
	s.texts = append(s.texts, e.text)
	s.bytes += len(e.text) + 8
}

func (s *statements) append(dst []byte) []byte {
	for _, text := range s.texts {
		dst = protowire.AppendString(protowire.AppendTag(dst, 1, protowire.BytesType), text)
	}
	return dst
}

func parseStatements(b []byte) (s statements, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number != 1 || kind != protowire.BytesType {
			return s, errStatement
		}
		text, k := protowire.ConsumeString(b[n:])
		if k < 0 {
			return s, errStatement
		}
		s.add(execute{text: text})
		b = b[n+k:]
	}
	return s, nil
}

func decide(s *statements, c execute, out []execute) ([]execute, *core.Refusal) {
	if s.bytes+len(c.text) > statementsMax {
		return nil, core.Refuse("the catalog has %d bytes of statements, the most that it can keep are %d", s.bytes, statementsMax)
	}
	return append(out, c), nil
}

// System is the type of the catalog's actor. Who sends it a command has made sure that
// the catalog at the expected sequence allows the statement; one that it does not allow
// has no effect, for everybody alike.
func System() (actor.Kind, error) {
	t, err := actor.Define(actor.Behavior[statements, execute, execute]{
		Type:          SystemType,
		New:           func(core.ActorID) statements { return statements{} },
		Decide:        decide,
		Evolve:        (*statements).add,
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
		EncodeState:  func(dst []byte, s *statements) []byte { return s.append(dst) },
		DecodeState:  parseStatements,
		StateVersion: 2,
		Policy:       actor.Policy{SnapshotEvery: 16},
	})
	if err != nil {
		return nil, err
	}
	return t.Instance(), nil
}

// A definition is a statement that the catalog has executed.
type definition struct {
	seq   core.Seq
	at    core.Timestamp
	text  string
	after *view.Catalog
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

// add puts a statement behind the others.
func (c *catalogs) add(seq core.Seq, at core.Timestamp, text string) *view.Catalog {
	d := definition{seq: seq, at: at, text: text, after: c.last()}
	if statement, err := parse.One(text); err == nil {
		if next := d.after.Clone(); next.Execute(statement) == nil {
			d.after = next
		}
	}
	c.list = append(c.list, d)
	return d.after
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
			x, _ := parseExecute(e.Payload) // else of no text, and no effect
			after := c.add(e.Seq, e.Committed, x.text)
			for _, name := range before.Names() {
				if _, still := after.Lookup(name); !still {
					dropped = append(dropped, name)
				}
			}
		}
	}
	return changed, dropped
}
