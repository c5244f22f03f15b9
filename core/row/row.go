// Package row is the vocabulary of relations: types, columns, batches of rows,
// their order, and their bytes.
//
// A Batch is a list of columns (Vector) of equal length. All work is done a
// column at a time, in loops over slices; nothing here is called once per row
// through an interface. A vector has one of two layouts, whatever its type:
//
//	fixed   one int64 per row (booleans, integers, floats, dates, times)
//	bytes   all values in one byte slice, and where each begins
//
// # Laws
//
// R1. Canonical: two values of a type are equal if and only if their int64 or
// their bytes are. So equality, hashing and grouping never look at a type.
//
// R2. Ordered: two values of a type are ordered as their int64 or their bytes
// are. Text is thus in C collation (byte order); floats are kept in an order-
// preserving form of their IEEE bits, NaN greatest and -0 the same as 0;
// numerics, intervals and arrays in order-preserving bytes.
//
// R3. A null is a set bit in the column's bitmap, and has the value 0 or no
// bytes. In orders nulls are greatest unless a Sort says otherwise.
//
// R4. Key codec: bytes.Compare of two encoded keys is the order of their rows
// under the same sorts, and decoding gives the row back.
//
// # Where canonical form differs from PostgreSQL
//
// Trailing zeros of a numeric are not kept (1.50 is 1.5), neither are those in
// jsonb. As keys, one month and thirty days are neighbours and not the same.
// jsonb is ordered by its canonical text.
package row

import "fmt"

// An Error is a value that cannot be had: text that is no number, a division
// by zero. It belongs to a row, and comes and goes with it.
type Error struct {
	Code string // SQLSTATE
	Text string
}

func (e *Error) Error() string { return e.Text + " (SQLSTATE " + e.Code + ")" }

// SQLSTATE codes, PostgreSQL's appendix A.
const (
	CodeOutOfRange      = "22003" // numeric value out of range
	CodeInvalidText     = "22P02" // invalid text representation
	CodeInvalidDatetime = "22007" // invalid datetime format
	CodeDatetimeRange   = "22008" // datetime field overflow
	CodeDivisionByZero  = "22012"
	CodeTooLong         = "54000" // program limit exceeded
	CodeInvalidPayload  = "22P03" // invalid binary representation
	CodeNotSupported    = "0A000"
	CodeDatatype        = "42804" // datatype mismatch
	CodeNoType          = "42704" // undefined object
	CodeInvalidEvolve   = "42P16" // invalid table definition
)

func errorf(code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Errorf makes an Error.
func Errorf(code, format string, args ...any) *Error { return errorf(code, format, args...) }
