package expr

import (
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
)

// numberRank orders the numbers by what is cast to what without asking.
func numberRank(k row.Kind) int {
	switch k {
	case row.Int2:
		return 1
	case row.Int4:
		return 2
	case row.Int8:
		return 3
	case row.Numeric:
		return 4
	case row.Float4:
		return 5
	case row.Float8:
		return 6
	}
	return 0
}

func timeRank(k row.Kind) int {
	switch k {
	case row.Date:
		return 1
	case row.Timestamp:
		return 2
	case row.Timestamptz:
		return 3
	}
	return 0
}

// implicit reports whether a value is cast without asking (PostgreSQL's pg_cast,
// castcontext i).
func implicit(from, to row.Type) bool {
	switch {
	case from == to || Unknown(from):
		return true
	case numberRank(from.Kind) > 0 && numberRank(to.Kind) > 0:
		return numberRank(from.Kind) < numberRank(to.Kind)
	case timeRank(from.Kind) > 0 && timeRank(to.Kind) > 0:
		return timeRank(from.Kind) < timeRank(to.Kind)
	}
	return false
}

// preferred are the types that PostgreSQL's resolution prefers (typispreferred).
func preferred(t row.Type) bool {
	switch t.Kind {
	case row.Bool, row.Float8, row.Text, row.Timestamptz, row.Interval:
		return true
	}
	return false
}

// Common is the type that alternatives are brought to: branches of CASE, columns
// of a UNION, elements of an array (PostgreSQL's "UNION, CASE, and Related
// Constructs").
func Common(what string, nodes ...*Node) (row.Type, *sqlerr.Error) {
	var out row.Type
	for _, n := range nodes {
		switch {
		case Unknown(n.Type) || n.Type == out:
		case Unknown(out) || implicit(out, n.Type):
			out = n.Type
		case !implicit(n.Type, out):
			return out, sqlerr.At(n.Pos, sqlerr.DatatypeMismatch, "%s types %s and %s cannot be matched", what, out, n.Type)
		}
	}
	if Unknown(out) {
		out = row.Of(row.Text)
	}
	return out, nil
}

// Coerce casts without asking, or says why it cannot.
func Coerce(n *Node, to row.Type) (*Node, *sqlerr.Error) {
	if n.Type == to {
		return n, nil
	}
	if !implicit(n.Type, to) {
		return nil, sqlerr.At(n.Pos, sqlerr.DatatypeMismatch, "expected type %s, not %s", to, n.Type).Hint("add a cast")
	}
	return Cast(n, to)
}

// Assign casts as storing into a column does: numbers to any number, anything
// to text.
func Assign(n *Node, to row.Type) (*Node, *sqlerr.Error) {
	both := numberRank(n.Type.Kind) > 0 && numberRank(to.Kind) > 0 || timeRank(n.Type.Kind) > 0 && timeRank(to.Kind) > 0
	if both || implicit(n.Type, to) || to.Kind == row.Text {
		return Cast(n, to)
	}
	return nil, sqlerr.At(n.Pos, sqlerr.DatatypeMismatch, "a value of type %s cannot be stored as %s", n.Type, to).Hint("add a cast")
}

// Cast casts as CAST does.
func Cast(n *Node, to row.Type) (*Node, *sqlerr.Error) {
	if n.Type == to {
		return n, nil
	}
	if Unknown(n.Type) && n.Op == Const { // a constant takes the type that is wanted
		if n.Value.IsNull {
			return Constant(row.NullOf(to), n.Pos), nil
		}
		v, err := row.Parse(to, n.Value.B)
		if err != nil {
			e := asError(err)
			return nil, sqlerr.At(n.Pos, sqlerr.State(e.Code), "%s", e.Text)
		}
		return Constant(v, n.Pos), nil
	}
	if Unknown(n.Type) && n.Op == Param {
		c := *n
		c.Type = to
		*n.Taken = append(*n.Taken, to)
		return &c, nil
	}
	k := castKernel(typed(n.Type), to)
	if k == nil {
		return nil, sqlerr.At(n.Pos, sqlerr.CannotCoerce, "cannot cast type %s to %s", n.Type, to)
	}
	return call1(&Func{Name: "cast", args: []row.Type{n.Type}, ret: to, kernel: k, cast: true}, n), nil
}

func call1(f *Func, n *Node) *Node {
	return &Node{Op: Call, Type: f.ret, Args: []*Node{n}, Func: f, Pos: n.Pos}
}

// castKernel is nil where there is no cast.
func castKernel(from, to row.Type) kernel {
	switch {
	case from == to && from.Fixed():
		return sameInts
	case from == to:
		return sameBytes
	case from.Kind == row.Array && to.Kind == row.Array:
		if elem := castKernel(from.Element(), to.Element()); elem != nil {
			return castArray(elem, to)
		}
		return nil
	case to.Kind == row.Text:
		return toText
	case from.Kind == row.Text:
		return fromText
	case numberRank(from.Kind) > 0 && numberRank(to.Kind) > 0:
		return castNumber(from.Kind, to.Kind)
	case timeRank(from.Kind) > 0 && timeRank(to.Kind) > 0:
		switch {
		case from.Kind == row.Date:
			return dateToTime
		case to.Kind == row.Date:
			return timeToDate
		}
		return sameInts // the session's time zone is UTC
	case from.Kind == row.Bool && to.Kind == row.Int4:
		return sameInts
	case from.Kind == row.Int4 && to.Kind == row.Bool:
		return ints(func(c *call, i int) (int64, *row.Error) { return bit(c.args[0].I[i] != 0), nil })
	}
	return nil
}

func castNumber(from, to row.Kind) kernel {
	isInt := func(k row.Kind) bool { return numberRank(k) <= 3 }
	isFloat := func(k row.Kind) bool { return numberRank(k) >= 5 }
	switch {
	case isInt(from) && isInt(to):
		return narrowInts(to)
	case isInt(from) && isFloat(to):
		return intsToFloat(to)
	case isInt(from):
		return intsToNumeric
	case isFloat(from) && isFloat(to):
		return floatToFloat(to)
	case isFloat(from) && isInt(to):
		return floatToInts(to)
	case from == row.Float4:
		return floatToNumeric(6)
	case from == row.Float8:
		return floatToNumeric(15)
	case isInt(to):
		return numericToInts(to)
	}
	return numericToFloat(to)
}

// Modified applies a type's modifiers: numeric(p, s) and varchar(n).
func Modified(n *Node, mods []int) (*Node, *sqlerr.Error) {
	var f *Func
	switch {
	case len(mods) == 0:
		return n, nil
	case n.Type.Kind == row.Numeric && len(mods) <= 2:
		if len(mods) == 1 {
			mods = []int{mods[0], 0}
		}
		if mods[0] < 1 || mods[0] > row.NumericDigitsMax || mods[1] < -1000 || mods[1] > 1000 {
			return nil, sqlerr.At(n.Pos, sqlerr.InvalidParameter, "NUMERIC precision must be between 1 and %d, scale between -1000 and 1000", row.NumericDigitsMax)
		}
		f = &Func{Name: "numeric", ret: n.Type, kernel: limitNumeric}
	case n.Type.Kind == row.Text && len(mods) == 1:
		f = &Func{Name: "varchar", ret: n.Type, kernel: cutText}
	default:
		return nil, sqlerr.Unsupported(n.Pos, "a modifier of type %s", n.Type)
	}
	out := call1(f, n)
	for _, m := range mods {
		out.Args = append(out.Args, Constant(row.Value{Type: row.Of(row.Int4), I: int64(m)}, n.Pos))
	}
	return out, nil
}
