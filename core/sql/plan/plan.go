// Package plan binds a statement's tree to tables and types, and makes a plan of
// relational algebra of it.
//
// Columns have numbers that are unique in a plan, and expressions name columns
// by them (expr.Node.Index). So a part of a plan can be moved without touching
// what refers to its columns, and a subquery's references to what is around it
// are the numbers that it does not itself produce.
//
// Its laws:
//
// P1. A plan's answer is that of the naive evaluation of the tree, as multisets;
// and as sequences where there is an ORDER BY (internal/slt).
//
// P2. Every rewrite keeps P1: subqueries to joins (decorrelate.go), predicates
// moved down (rewrite.go), columns left out (internal/slt runs all files with
// and without).
//
// P3. What cannot be planned is refused with a SQLSTATE and a position.
package plan

import (
	"fmt"
	"strings"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/tree"
)

// Op is an operation on relations.
type Op uint8

const (
	Scan      Op = iota // Table: Source are the columns taken
	Values              // Rows
	Project             // Exprs of In[0]
	Filter              // Pred
	Join                // of In[0] and In[1], by Kind and Pred
	Aggregate           // of In[0] by Keys
	Distinct            // In[0]
	SetOp               // Set of In
	TopK                // the first rows by Order of each part by Keys
	Window              // Funcs over In[0] by Keys and Order
	Expand              // In[0] with the rows of a function for each of its rows
	Session             // In[0] with the session of each row
)

// JoinKind is what a join does with rows that match none.
type JoinKind uint8

const (
	Inner JoinKind = iota
	Left
	Full
	Semi
	Anti
)

// SetKind is a set operation.
type SetKind uint8

const (
	UnionAll SetKind = iota
	ExceptAll
	Except
	IntersectAll
	Intersect
)

// A Col is a column of a plan.
type Col struct {
	ID   int
	Name string
	Type row.Type
}

// An Agg is an aggregate over columns of the input.
type Agg struct {
	Name     string
	Arg      int // column, or -1: count(*)
	Distinct bool
	Filter   int // column, or -1
	Order    []Order
	Sep      row.Value // of string_agg
}

// A Func is a window function over columns of the input.
type Func struct {
	Name  string
	Args  []int
	Const []row.Value // the constant arguments after the first
	Frame *Frame      // nil: the default
}

// A Frame is a window's.
type Frame struct {
	Mode       tree.FrameMode
	Start, End Bound
}

// A Bound of a frame.
type Bound struct {
	Kind   tree.BoundKind
	Offset int64
}

// An Order is a column to sort by.
type Order struct {
	Col              int
	Desc, NullsFirst bool
}

// A Table is what a Scan reads.
type Table struct {
	Name   string // with its schema
	Schema row.Schema
	Clock  *Clock // of its rows' times, or nil
}

// AsOf is a point in time to read at.
type AsOf struct {
	Axis   tree.TimeAxis
	Micros int64 // since 1970-01-01 00:00 UTC
}

// A Rel is an operation with its inputs. Which fields count, Op says.
type Rel struct {
	Op   Op
	In   []*Rel
	Cols []Col
	Pos  tree.Pos

	Table  *Table
	Source []int // positions of Cols in the table
	AsOf   *AsOf
	Rows   [][]*expr.Node
	Exprs  []*expr.Node // of a Project: one for each of Cols; of an Expand, Session: arguments
	Pred   *expr.Node   // nil: true
	Kind   JoinKind
	// NullAware makes an anti-join by one equality NOT IN: a null on the right
	// lets no row pass, a null on the left only if the right is empty.
	NullAware bool
	Set       SetKind
	Keys      []int
	Aggs      []Agg // of an Aggregate: Cols are those of Keys, then one for each
	Funcs     []Func
	Order     []Order
	Limit     int64 // -1: none
	Offset    int64
	Name      string // of an Expand's function
	// Closes says which of its columns' times end: in what stands above the filter
	// that is right above it.
	Closes []Closing
}

// A Plan is a statement, ready to be run.
type Plan struct {
	Root  *Rel
	Cols  []Col   // those of the answer, in order
	Order []Order // of the answer
	// Moment is what the plan depends on besides tables and parameters, as a person would
	// say it: asked again, it is another one. "" for nothing.
	Moment string
	next   int
}

// fresh makes a new column.
func (p *Plan) fresh(name string, t row.Type) Col {
	p.next++
	return Col{p.next, name, t}
}

// col is an expression that is a column.
func col(c Col) *expr.Node { return expr.Col(c.ID, c.Type, tree.NoPos) }

// find returns the column of a number.
func (r *Rel) find(id int) (Col, bool) {
	for _, c := range r.Cols {
		if c.ID == id {
			return c, true
		}
	}
	return Col{}, false
}

func (r *Rel) has(id int) bool { _, ok := r.find(id); return ok }

// exprs calls visit with every expression of r itself, to be replaced.
func (r *Rel) exprs(visit func(*expr.Node) *expr.Node) {
	for i, e := range r.Exprs {
		r.Exprs[i] = visit(e)
	}
	if r.Pred != nil {
		r.Pred = visit(r.Pred)
	}
	for _, row := range r.Rows {
		for i, e := range row {
			row[i] = visit(e)
		}
	}
}

// free are the columns that r and what is below use and do not produce.
func (r *Rel) free() map[int]bool { return r.freeOnce(map[*Rel]map[int]bool{}) }

func (r *Rel) freeOnce(known map[*Rel]map[int]bool) map[int]bool {
	if out := known[r]; out != nil {
		return out
	}
	used := map[int]bool{}
	for _, in := range r.In {
		for id := range in.freeOnce(known) {
			used[id] = true
		}
	}
	r.exprs(func(e *expr.Node) *expr.Node {
		e.Walk(func(n *expr.Node) {
			if n.Op == expr.Column {
				used[n.Index] = true
			}
		})
		return e
	})
	for _, in := range r.In {
		for _, c := range in.Cols {
			delete(used, c.ID)
		}
	}
	known[r] = used
	return used
}

// substitute replaces columns in an expression.
func substitute(e *expr.Node, by map[int]*expr.Node) *expr.Node {
	if e == nil || len(by) == 0 {
		return e
	}
	return e.Map(func(n *expr.Node) *expr.Node {
		if n.Op == expr.Column {
			if to := by[n.Index]; to != nil {
				return to
			}
		}
		return n
	})
}

// Explain prints a plan, a line for each operation, inputs below it.
func (p *Plan) Explain() []string {
	var lines []string
	if len(p.Order) > 0 {
		lines = append(lines, "Sort "+orderText(p.Order, p.Root.Cols))
	}
	p.Root.explain(&lines, strings.Repeat("  ", len(lines)), map[*Rel]int{})
	return append(lines, p.finality()...)
}

func names(cols []Col) map[int]string {
	m := map[int]string{}
	for _, c := range cols {
		m[c.ID] = c.Name
	}
	return m
}

// text is an expression with the names of columns and their numbers, so that
// two of one name can be told apart.
func text(e *expr.Node, of map[int]string) string {
	list := []string{}
	e.Walk(func(n *expr.Node) {
		if n.Op == expr.Column {
			for len(list) <= n.Index {
				list = append(list, "")
			}
			name := of[n.Index]
			if name == "" {
				name = "outer"
			}
			list[n.Index] = fmt.Sprintf("%s#%d", name, n.Index)
		}
	})
	return e.Named(list)
}

func orderText(order []Order, cols []Col) string {
	of := names(cols)
	var parts []string
	for _, o := range order {
		s := fmt.Sprintf("%s#%d", of[o.Col], o.Col)
		if o.Desc {
			s += " DESC"
		}
		if o.NullsFirst != o.Desc {
			s += map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[o.NullsFirst]
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// explain prints what several read once.
func (r *Rel) explain(lines *[]string, indent string, seen map[*Rel]int) {
	if at := seen[r]; at > 0 && len(r.In) > 0 {
		*lines = append(*lines, fmt.Sprintf("%sthe same as line %d", indent, at))
		return
	}
	seen[r] = len(*lines) + 1
	of := map[int]string{}
	var all []Col
	for _, in := range r.In {
		all = append(all, in.Cols...)
	}
	for _, c := range append(all, r.Cols...) {
		of[c.ID] = c.Name
	}
	ids := func(list []int) string {
		var parts []string
		for _, id := range list {
			parts = append(parts, fmt.Sprintf("%s#%d", of[id], id))
		}
		return strings.Join(parts, ", ")
	}
	s := [...]string{"Scan", "Values", "Project", "Filter", "Join", "Aggregate", "Distinct", "SetOp", "TopK", "Window", "Expand", "Session"}[r.Op]
	switch r.Op {
	case Scan:
		s += " " + r.Table.Name
		if r.AsOf != nil {
			s += " as of " + r.AsOf.Axis.String() + " " + row.Value{Type: row.Of(row.Timestamptz), I: r.AsOf.Micros}.String()
		}
		var parts []string
		for _, c := range r.Cols {
			parts = append(parts, fmt.Sprintf("%s#%d", c.Name, c.ID))
		}
		s += " (" + strings.Join(parts, ", ") + ")"
	case Values:
		s += fmt.Sprintf(" %d rows", len(r.Rows))
	case Project:
		var parts []string
		for i, c := range r.Cols {
			if e := r.Exprs[i]; e.Op == expr.Column && e.Index == c.ID {
				parts = append(parts, text(e, of))
			} else {
				parts = append(parts, fmt.Sprintf("%s AS %s#%d", text(e, of), c.Name, c.ID))
			}
		}
		s += " " + strings.Join(parts, ", ")
	case Join:
		s = [...]string{"Inner", "Left", "Full", "Semi", "Anti"}[r.Kind] + " join"
		if r.NullAware {
			s += " for NOT IN"
		}
		if r.Pred != nil {
			s += " on " + text(r.Pred, of)
		}
	case Filter:
		s += " " + text(r.Pred, of)
	case Aggregate:
		s += " by (" + ids(r.Keys) + ")"
		for i, a := range r.Aggs {
			c := r.Cols[len(r.Keys)+i]
			arg := "*"
			if a.Arg >= 0 {
				arg = ids([]int{a.Arg})
			}
			s += fmt.Sprintf(", %s(%s)#%d", a.Name, arg, c.ID)
		}
	case SetOp:
		s = [...]string{"Union all", "Except all", "Except", "Intersect all", "Intersect"}[r.Set]
	case TopK:
		s += fmt.Sprintf(" limit %d offset %d by (%s) order %s", r.Limit, r.Offset, ids(r.Keys), orderText(r.Order, append(all, r.Cols...)))
	case Window:
		s += " by (" + ids(r.Keys) + ") order " + orderText(r.Order, append(all, r.Cols...))
		for _, f := range r.Funcs {
			s += ", " + f.Name + "(" + ids(f.Args) + ")"
		}
	case Expand, Session:
		s += " " + r.Name
	}
	*lines = append(*lines, indent+s)
	for _, in := range r.In {
		in.explain(lines, indent+"  ", seen)
	}
}
