package plan

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
)

// PartsTable is what the merging half of a plan reads: the answers of the other half.
const PartsTable = "parts"

// Fan halves a plan whose rows come from several places: part is to be run over the rows of each
// place, merge over all answers of part together, and then the answer is that of the plan. why
// says why there are no such halves.
//
// The law: for any rows R1, …, Rn of the plan's tables, merge(part(R1) + … + part(Rn)) =
// plan(R1 + … + Rn). What is below the aggregate is linear: f(R1 + R2) = f(R1) + f(R2). An
// aggregate of the whole comes from aggregates of the parts: counts and sums add up, minima
// have a minimum, an average is a sum by a count. What is above it, is above it still.
//
// Sums of floats are not in it: theirs are exact until they are read, and an answer of a part
// would be rounded already. Nor are lists, and what tells values apart: their parts are no smaller.
func (p *Plan) Fan() (part, merge *Plan, why string) {
	var above []*Rel
	r := p.Root
	for r.Op != Aggregate {
		if len(r.In) != 1 {
			return nil, nil, "it has no aggregate that all else follows from"
		}
		above = append(above, r)
		r = r.In[0]
	}
	if !linear(r.In[0]) {
		return nil, nil, "what it aggregates does not come from one row after another"
	}
	f := &fan{plan: &Plan{next: p.next}, whole: r}
	if f.halve(); f.why != "" {
		return nil, nil, f.why
	}
	top := f.merged()
	for _, x := range slices.Backward(above) {
		c := *x
		c.In = []*Rel{top}
		top = &c
	}
	merge = &Plan{Root: top, Cols: p.Cols, Order: p.Order, next: f.plan.next}
	return &Plan{Root: f.part, Cols: f.part.Cols, next: f.plan.next}, merge, ""
}

// linear tells of relations that are computed row by row.
func linear(r *Rel) bool {
	switch r.Op {
	case Scan, Project, Filter, Expand:
	case SetOp:
		if r.Set != UnionAll {
			return false
		}
	default:
		return false // Values, too: their rows would be there once for each part
	}
	for _, in := range r.In {
		if !linear(in) {
			return false
		}
	}
	return true
}

// fan is an aggregate being halved.
type fan struct {
	plan  *Plan // counts columns
	whole *Rel
	part  *Rel
	sums  []Agg    // of the merging aggregate, by what is behind the keys of part
	parts [][2]int // of each aggregate of the whole: where its parts are among these, or -1
	why   string
}

// halve makes the part, and says how its columns are merged.
func (f *fan) halve() {
	w := f.whole
	f.part = &Rel{Op: Aggregate, In: w.In, Pos: w.Pos, Keys: w.Keys, Cols: slices.Clone(w.Cols[:len(w.Keys)])}
	for i, a := range w.Aggs {
		out := w.Cols[len(w.Keys)+i]
		arg, _ := w.In[0].find(a.Arg)
		float := arg.Type.Kind == row.Float4 || arg.Type.Kind == row.Float8
		at := [2]int{-1, -1}
		switch {
		case a.Distinct:
			f.why = "it has an aggregate of distinct values"
			return
		case a.Name == "count":
			at[0] = f.add(a, "count", out.Type, "sum")
		case (a.Name == "sum" || a.Name == "avg") && float:
			f.why = "a sum of floating-point numbers is rounded once, at its end"
			return
		case a.Name == "sum":
			at[0] = f.add(a, "sum", out.Type, "sum")
		case a.Name == "avg":
			sum := row.Of(row.Numeric)
			if arg.Type.Kind == row.Int2 || arg.Type.Kind == row.Int4 {
				sum = row.Of(row.Int8)
			}
			at[0], at[1] = f.add(a, "sum", sum, "sum"), f.add(a, "count", row.Of(row.Int8), "sum")
		case a.Name == "min" || a.Name == "max" || a.Name == "bool_and" || a.Name == "bool_or":
			at[0] = f.add(a, a.Name, out.Type, a.Name)
		default:
			f.why = "it has an aggregate that lists values: " + a.Name
			return
		}
		f.parts = append(f.parts, at)
	}
}

// add adds an aggregate to the part, and what merges it. It returns its place.
func (f *fan) add(a Agg, name string, t row.Type, merge string) int {
	c := f.plan.fresh(name, t)
	f.part.Aggs = append(f.part.Aggs, Agg{Name: name, Arg: a.Arg, Filter: a.Filter})
	f.part.Cols = append(f.part.Cols, c)
	f.sums = append(f.sums, Agg{Name: merge, Arg: c.ID, Filter: -1})
	return len(f.sums) - 1
}

// merged is the relation that has the columns of the whole, from the answers of part.
func (f *fan) merged() *Rel {
	w, keys := f.whole, len(f.whole.Keys)
	table := &Table{Name: PartsTable}
	scan := &Rel{Op: Scan, Table: table, Cols: f.part.Cols, Pos: w.Pos}
	for i, c := range f.part.Cols {
		table.Schema = append(table.Schema, row.Column{Name: c.Name, Type: c.Type})
		scan.Source = append(scan.Source, i)
	}
	sums := &Rel{Op: Aggregate, In: []*Rel{scan}, Pos: w.Pos, Keys: w.Keys, Cols: slices.Clone(w.Cols[:keys]), Aggs: f.sums}
	for i, a := range f.sums {
		c := f.part.Cols[keys+i]
		if a.Name == "sum" && c.Type.Kind == row.Int8 {
			c.Type = row.Of(row.Numeric)
		}
		sums.Cols = append(sums.Cols, f.plan.fresh(c.Name, c.Type))
	}
	out := &Rel{Op: Project, In: []*Rel{sums}, Cols: w.Cols, Pos: w.Pos}
	for _, c := range w.Cols[:keys] {
		out.Exprs = append(out.Exprs, col(c))
	}
	for i, at := range f.parts {
		e := col(sums.Cols[keys+at[0]])
		if at[1] >= 0 { // the sum is null where the count is 0
			e = must(expr.Resolve("/", []*expr.Node{e, col(sums.Cols[keys+at[1]])}, w.Pos))
		}
		out.Exprs = append(out.Exprs, must(expr.Cast(e, w.Cols[keys+i].Type)))
	}
	return out
}
