package row

// An Expr computes a column from the columns of a batch, all rows in one call.
//
// Evaluation is total: a row for which there is no value (a division by zero)
// gets a null in out and an entry in errs. What becomes of such a row is the
// caller's law. An Expr depends on nothing but the batch; it may keep scratch
// memory, so one Expr is used in one place at a time.
type Expr interface {
	// Type is that of the column.
	Type() Type
	// Eval resets out and gives it in.N rows.
	Eval(in *Batch, out *Vector, errs *Errors)
}

// Errors collects the rows of a batch for which an evaluation failed.
type Errors struct {
	List []RowError
}

// A RowError says that there is no value for a row of a batch.
type RowError struct {
	Row int32
	Err *Error
}

// Add notes that row i has no value.
func (e *Errors) Add(i int, err *Error) { e.List = append(e.List, RowError{int32(i), err}) }

// Any reports whether a row failed.
func (e *Errors) Any() bool { return len(e.List) > 0 }

// Reset forgets all and keeps the memory.
func (e *Errors) Reset() {
	clear(e.List)
	e.List = e.List[:0]
}

// An Expander computes a list for each row: unnest, generate_series, the
// hopping windows that a time belongs to.
type Expander interface {
	// Types are those of the columns that it adds.
	Types() []Type
	// Expand appends the elements of all lists to out, in order, and to counts
	// how many each row of in has.
	Expand(in *Batch, out *Batch, counts []int32, errs *Errors) []int32
}

// Col is the expression that is a column.
type Col struct {
	Index int
	Of    Type
}

// Type implements Expr.
func (c Col) Type() Type { return c.Of }

// Eval implements Expr.
func (c Col) Eval(in *Batch, out *Vector, _ *Errors) {
	out.Reset(c.Of)
	out.AppendRange(in.Cols[c.Index], 0, in.N)
}

// Const is the expression that is the same for every row.
type Const struct{ Value Value }

// Type implements Expr.
func (c Const) Type() Type { return c.Value.Type }

// Eval implements Expr.
func (c Const) Eval(in *Batch, out *Vector, _ *Errors) {
	out.Reset(c.Value.Type)
	if in.N == 0 {
		return
	}
	out.AppendValue(c.Value)
	out.AppendRepeat(out, 0, in.N-1)
}
