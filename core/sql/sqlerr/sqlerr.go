// Package sqlerr is what SQL says when it declines: a SQLSTATE, a message, the
// position in the statement, and a cure where there is one.
//
// Codes and their meaning are PostgreSQL's (its documentation, appendix A), so
// that stock drivers understand them.
package sqlerr

import (
	"fmt"

	"actordb/core/sql/tree"
)

// A State is a SQLSTATE of five characters.
type State string

const (
	SyntaxError           State = "42601"
	UndefinedTable        State = "42P01"
	UndefinedColumn       State = "42703"
	UndefinedFunction     State = "42883"
	UndefinedObject       State = "42704"
	UndefinedParameter    State = "42P02"
	AmbiguousColumn       State = "42702"
	AmbiguousFunction     State = "42725"
	DuplicateAlias        State = "42712"
	DuplicateColumn       State = "42701"
	DuplicateTable        State = "42P07"
	GroupingError         State = "42803"
	WindowingError        State = "42P20"
	DatatypeMismatch      State = "42804"
	CannotCoerce          State = "42846"
	IndeterminateDatatype State = "42P18"
	InvalidColumnRef      State = "42P10"
	InvalidRecursion      State = "42P19"
	InvalidTableDef       State = "42P16"

	FeatureNotSupported State = "0A000"

	DivisionByZero       State = "22012"
	NumericOutOfRange    State = "22003"
	InvalidText          State = "22P02"
	InvalidDatetime      State = "22007"
	DatetimeOverflow     State = "22008"
	IntervalOverflow     State = "22015"
	InvalidParameter     State = "22023"
	StringTruncation     State = "22001"
	SubstringError       State = "22011"
	InvalidEscape        State = "22025"
	InvalidRegexp        State = "2201B"
	InvalidLogArgument   State = "2201E"
	InvalidPowerArgument State = "2201F"
	InvalidLimit         State = "2201W"
	InvalidOffset        State = "2201X"
	InvalidFrame         State = "22013"
	CharacterNotInSet    State = "22021"
	ArraySubscriptError  State = "2202E"
	CardinalityViolation State = "21000"

	StatementTooComplex State = "54001"
	TooManyColumns      State = "54011"
	TooManyArguments    State = "54023"
	ProgramLimit        State = "54000"
	OutOfMemory         State = "53200"
	InternalError       State = "XX000"
)

// An Error declines a statement.
type Error struct {
	State   State
	Message string
	Cure    string   // what to do about it, or ""
	Pos     tree.Pos // in the statement's text, or tree.NoPos
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.State)
	if e.Cure != "" {
		s += ": " + e.Cure
	}
	return s
}

// At makes an error that points at a position.
func At(pos tree.Pos, state State, format string, args ...any) *Error {
	return &Error{State: state, Message: fmt.Sprintf(format, args...), Pos: pos}
}

// New makes an error without a position.
func New(state State, format string, args ...any) *Error {
	return At(tree.NoPos, state, format, args...)
}

// Unsupported declines what is SQL but not ours.
func Unsupported(pos tree.Pos, format string, args ...any) *Error {
	return At(pos, FeatureNotSupported, format+" is not supported", args...)
}

// Hint adds a cure.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Cure = fmt.Sprintf(format, args...)
	return e
}

// Explain is the error with its place in the text.
func (e *Error) Explain(text string) string {
	if at, ok := tree.Locate(text, e.Pos); ok {
		return fmt.Sprintf("%d:%d: %s", at.Line, at.Column, e.Error())
	}
	return e.Error()
}
