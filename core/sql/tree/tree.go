// Package tree is the abstract syntax of ActorDB's SQL: what a statement says,
// with the position of each part in the statement's text.
//
// It is smaller than PostgreSQL's own tree: what the database does not
// understand has no node, so that nothing behind the parser has to refuse it.
// Names are as PostgreSQL folds them: lower case unless quoted.
//
// Its laws:
//
// T1. For every tree that the parser makes, parsing what Print writes gives the
// tree again, positions aside (core/sql/parse TestRoundTrip).
//
// T2. Every node's position lies in the text it was parsed from, and points at
// the token that PostgreSQL would name in an error (core/sql/parse TestPositions).
package tree

import "unicode/utf8"

// A Pos is a byte offset into the text of a statement, or NoPos.
type Pos int32

// NoPos is the position of what stands in no text.
const NoPos Pos = -1

// A Place is a position as people count: from one, in characters, as PostgreSQL
// does for its clients.
type Place struct {
	Line, Column int
	Char         int // from the beginning of the text
}

// Locate says where in the text a position is. A position outside of the text
// has no place: ok is false.
func Locate(text string, p Pos) (at Place, ok bool) {
	if p < 0 || int(p) > len(text) {
		return Place{}, false
	}
	at = Place{Line: 1, Column: 1, Char: 1}
	for i, r := range text {
		if i >= int(p) {
			break
		}
		if i+utf8.RuneLen(r) > int(p) && r != utf8.RuneError {
			break // inside of a character: that character
		}
		at.Char++
		at.Column++
		if r == '\n' {
			at.Line, at.Column = at.Line+1, 1
		}
	}
	return at, true
}

// A Node is any part of a statement.
type Node interface {
	// At is where the node stands.
	At() Pos
}

// At is embedded by every node.
type at struct{ Pos Pos }

func (a at) At() Pos { return a.Pos }

// SetPos says where the node stands.
func (a *at) SetPos(p Pos) { a.Pos = p }

// A Statement is what a client sends.
type Statement interface {
	Node
	statement()
	write(p *printer)
}

type (
	// Select is a query as a statement.
	Select struct {
		at
		Query *Query
	}

	// Explain asks for the plan of a statement, and with Analyze runs it.
	Explain struct {
		at
		Analyze   bool
		Statement Statement
	}

	// Subscribe asks for a projection's rows and then for their changes.
	Subscribe struct {
		at
		From  *TableName
		Where Expr // or nil
	}

	// CreateEventType declares the columns of a type of event. The name's schema is
	// the type of actor.
	CreateEventType struct {
		at
		Name        Name
		IfNotExists bool
		Columns     []Column
		Options     []Option
	}

	// CreateProjection names a query, to be kept as a view.
	CreateProjection struct {
		at
		Name        Name
		IfNotExists bool
		Columns     []string // or none: those of the query
		Options     []Option
		Query       *Query
	}

	// Drop removes event types or projections.
	Drop struct {
		at
		Kind     ObjectKind
		Names    []Name
		IfExists bool
		Cascade  bool
	}

	// CreateTable declares a table inside an actor.
	CreateTable struct {
		at
		Name        Name
		IfNotExists bool
		Columns     []Column
		PrimaryKey  []string
	}

	// Insert adds rows to a table inside an actor, or events of a type to an actor.
	Insert struct {
		at
		Table   Name
		Columns []string
		Query   *Query
	}

	// CallStatement is CALL f(…).
	CallStatement struct {
		at
		Call *Call
	}
)

// ObjectKind is what a Drop names.
type ObjectKind uint8

const (
	EventTypes ObjectKind = iota
	Projections
)

// A Name is an object's, with its schema or "".
type Name struct {
	at
	Schema, Name string
}

// A Column of an event type or a table.
type Column struct {
	at
	Name     string
	Type     *TypeName
	NotNull  bool
	Unique   bool
	Personal bool // erasable: see docs/guarantees.md
}

// An Option is WITH (name = value).
type Option struct {
	at
	Name, Value string
}

// A TypeName is a type as written: "int4", "numeric" with modifiers, "text"
// with Array.
type TypeName struct {
	at
	Name  string
	Mods  []int
	Array bool
	// Fields is an interval's restriction, as "year to month", or "".
	Fields string
}

func (*Select) statement()           {}
func (*Explain) statement()          {}
func (*Subscribe) statement()        {}
func (*CreateEventType) statement()  {}
func (*CreateProjection) statement() {}
func (*Drop) statement()             {}
func (*CreateTable) statement()      {}
func (*Insert) statement()           {}
func (*CallStatement) statement()    {}
