// Package expr is scalar expressions with types: how they are resolved
// (PostgreSQL's overloads and casts), and how they are computed, a column at a
// time.
//
// A Node is a tree that the planner may inspect and change; Compile makes a
// row.Expr of it, which keeps scratch memory and allocates nothing per row.
//
// Its laws:
//
// X1. Every node computes what PostgreSQL does, up to the canonical form of
// package row (TestAgainstPostgreSQL, TestAgainstNaive).
//
// X2. An error is reported for a row only if PostgreSQL could have computed the
// failing part for it: not in a branch of CASE that was not taken, nor to the
// right of what decides an AND, an OR or a COALESCE (TestGuards). All parts are
// computed for all rows, which is total, and the errors of what was not wanted
// are dropped.
//
// X3. Folding constants changes no value and no error (TestFold).
package expr

import (
	"strconv"
	"strings"

	"actordb/core/row"
	"actordb/core/sql/tree"
)

// Op is what a node does.
type Op uint8

const (
	Column     Op = iota // Index of the input
	Outer                // Index of a row Level queries further out: only while planning
	Const                // Value
	Call                 // Func of Args
	And                  // Args, three-valued
	Or                   // Args, three-valued
	Not                  // Args[0]
	IsNull               // Args[0]
	IsTrue               // Args[0], never null
	IsFalse              // Args[0], never null
	IsDistinct           // Args[0], Args[1], never null
	Case                 // cond, value, cond, value, …, else
	Coalesce             // first of Args that is not null
	NullIf               // Args[0] unless Args[1] is true
	Extreme              // greatest (Index 1) or least (Index 0) of Args, nulls aside
	MakeArray            // Args are the elements
	AnyArray             // Args[0] compared by Func with ANY (Index 0) or ALL (Index 1) of the array Args[1]
	Param                // Index: parameter, only while planning
)

// A Node is an expression with a type. The zero Type is that of NULL and of
// string constants whose type is yet to be found.
type Node struct {
	Op    Op
	Type  row.Type
	Args  []*Node
	Index int
	Level int
	Value row.Value
	Func  *Func
	Pos   tree.Pos
	Taken *[]row.Type // of a Param without a value: the types that it was taken for, in order
}

// Unknown reports whether a type is yet to be found.
func Unknown(t row.Type) bool { return t.Kind == row.Invalid }

// Col is a column of the input.
func Col(i int, t row.Type, pos tree.Pos) *Node {
	return &Node{Op: Column, Index: i, Type: t, Pos: pos}
}

// Constant is a value.
func Constant(v row.Value, pos tree.Pos) *Node {
	return &Node{Op: Const, Type: v.Type, Value: v, Pos: pos}
}

// True is the constant.
func True(pos tree.Pos) *Node { return Constant(row.Value{Type: row.Of(row.Bool), I: 1}, pos) }

// Boolean makes a node of type boolean.
func Boolean(op Op, pos tree.Pos, args ...*Node) *Node {
	return &Node{Op: op, Type: row.Of(row.Bool), Args: args, Pos: pos}
}

// IsConst reports whether a node is a constant.
func (n *Node) IsConst() bool { return n.Op == Const }

// IsConstTrue reports whether a node is the constant true.
func (n *Node) IsConstTrue() bool { return n.Op == Const && !n.Value.IsNull && n.Value.I == 1 }

// Walk visits a node and all within, outside first.
func (n *Node) Walk(visit func(*Node)) {
	visit(n)
	for _, a := range n.Args {
		a.Walk(visit)
	}
}

// Map rebuilds a node from the inside out; f gets nodes whose arguments are
// done, and returns them or others.
func (n *Node) Map(f func(*Node) *Node) *Node {
	out := n
	for i, a := range n.Args {
		if b := a.Map(f); b != a {
			if out == n {
				c := *n
				c.Args = append([]*Node(nil), n.Args...)
				out = &c
			}
			out.Args[i] = b
		}
	}
	return f(out)
}

// Conjuncts are the parts of a condition that must all be true.
func (n *Node) Conjuncts() (out []*Node) {
	if n == nil || n.IsConstTrue() {
		return nil
	}
	if n.Op != And {
		return []*Node{n}
	}
	for _, a := range n.Args {
		out = append(out, a.Conjuncts()...)
	}
	return out
}

// All is the conjunction of conditions, or nil of none.
func All(parts []*Node) *Node {
	switch len(parts) {
	case 0:
		return nil
	case 1:
		return parts[0]
	}
	return Boolean(And, parts[0].Pos, parts...)
}

// Equal reports whether two nodes are the same expression.
func Equal(a, b *Node) bool {
	if a.Op != b.Op || a.Type != b.Type || a.Index != b.Index || a.Level != b.Level || len(a.Args) != len(b.Args) {
		return false
	}
	if a.Op == Const && (a.Value.IsNull != b.Value.IsNull || a.Value.I != b.Value.I || string(a.Value.B) != string(b.Value.B)) {
		return false
	}
	if a.Func != b.Func && (a.Func == nil || b.Func == nil || a.Func.Name != b.Func.Name || a.Func.volatile || b.Func.volatile) {
		return false
	}
	for i := range a.Args {
		if !Equal(a.Args[i], b.Args[i]) {
			return false
		}
	}
	return true
}

// String is the expression with columns as $i of the input, as EXPLAIN prints it.
func (n *Node) String() string { return n.Named(nil) }

// Named prints the expression with the names of columns.
func (n *Node) Named(names []string) string {
	arg := func(i int) string { return n.Args[i].Named(names) }
	var all []string
	for i := range n.Args {
		all = append(all, arg(i))
	}
	switch n.Op {
	case Column:
		if n.Index < len(names) {
			return names[n.Index]
		}
		return "#" + strconv.Itoa(n.Index)
	case Outer:
		return "outer#" + strconv.Itoa(n.Level) + "." + strconv.Itoa(n.Index)
	case Param:
		return "$" + strconv.Itoa(n.Index)
	case Const:
		s := n.Value.String()
		if !n.Value.IsNull && !n.Type.Fixed() && n.Type.Kind != row.Numeric {
			s = "'" + strings.ReplaceAll(s, "'", "''") + "'"
		}
		return s
	case And:
		return "(" + strings.Join(all, " AND ") + ")"
	case Or:
		return "(" + strings.Join(all, " OR ") + ")"
	case Not:
		return "(NOT " + arg(0) + ")"
	case IsNull:
		return "(" + arg(0) + " IS NULL)"
	case IsTrue:
		return "(" + arg(0) + " IS TRUE)"
	case IsFalse:
		return "(" + arg(0) + " IS FALSE)"
	case IsDistinct:
		return "(" + arg(0) + " IS DISTINCT FROM " + arg(1) + ")"
	case Case:
		s := "CASE"
		for i := 0; i+1 < len(all); i += 2 {
			s += " WHEN " + all[i] + " THEN " + all[i+1]
		}
		return s + " ELSE " + all[len(all)-1] + " END"
	case Coalesce:
		return "COALESCE(" + strings.Join(all, ", ") + ")"
	case NullIf:
		return "NULLIF(" + arg(0) + " WHERE " + arg(1) + ")"
	case Extreme:
		return [...]string{"LEAST(", "GREATEST("}[n.Index] + strings.Join(all, ", ") + ")"
	case MakeArray:
		return "ARRAY[" + strings.Join(all, ", ") + "]"
	case AnyArray:
		return "(" + arg(0) + " " + n.Func.Name + [...]string{" ANY ", " ALL "}[n.Index] + arg(1) + ")"
	}
	if n.Func.infix && len(all) == 2 {
		return "(" + all[0] + " " + n.Func.Name + " " + all[1] + ")"
	}
	if n.Func.cast {
		return all[0] + "::" + n.Type.String()
	}
	return n.Func.Name + "(" + strings.Join(all, ", ") + ")"
}
