package lower

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/flow"
	"actordb/core/sql/plan"
)

// What closes. A window excludes rows that come when it is closed (core/sql/plan:
// time.go), so behind it nothing changes any more whose window is. Operators whose key
// has the window's time may then let go of their state. That cannot be seen: the
// same rows come out, on demand and in a view, with the state and without.

// closing says which columns of a relation close: of every change that is still to
// come, the column's time and After are later than what is closed.
func (l *lowering) closing(r *plan.Rel) []plan.Closing {
	if len(r.Closes) > 0 {
		return r.Closes
	}
	if len(r.In) == 0 {
		return nil
	}
	in := l.rel(r.In[0]).closes
	switch r.Op {
	case plan.Filter, plan.Expand, plan.Distinct:
		return in
	case plan.Project:
		return renamed(in, r)
	case plan.Aggregate, plan.TopK, plan.Window, plan.Session:
		// A change of one row may change all of its group.
		keys := r.Keys
		if r.Op == plan.Session {
			keys = nil
			for _, e := range r.Exprs[2:] {
				if e.Op == expr.Column {
					keys = append(keys, e.Index)
				}
			}
		}
		return of(in, keys)
	}
	return nil // of a join, or a set, either side may change what the other has closed
}

// of are the closings of some columns.
func of(list []plan.Closing, cols []int) (out []plan.Closing) {
	for _, c := range list {
		if slices.Contains(cols, c.Col) {
			out = append(out, c)
		}
	}
	return out
}

// renamed are the closings of columns that a projection hands on.
func renamed(list []plan.Closing, r *plan.Rel) (out []plan.Closing) {
	for _, c := range list {
		for i, e := range r.Exprs {
			if e.Op == expr.Column && e.Index == c.Col {
				out = append(out, plan.Closing{Col: r.Cols[i].ID, Table: c.Table, After: c.After})
			}
		}
	}
	return out
}

// expiry is how an operator with this key expires.
func (l *lowering) expiry(in *lowered, closes []plan.Closing, key []int) flow.Expiry {
	for _, c := range closes {
		if i := slices.Index(key, c.Col); i >= 0 {
			return flow.Expiry{Col: i + 1, Clock: l.clock(c.Table), After: c.After}
		}
	}
	return flow.Expiry{}
}

// clock numbers the table that a circuit's clock goes by.
func (l *lowering) clock(t *plan.Table) int {
	i := slices.Index(l.p.clocks, t)
	if i < 0 {
		i = len(l.p.clocks)
		l.p.clocks = append(l.p.clocks, t)
	}
	return i
}

func ids(cols []plan.Col) (out []int) {
	for _, c := range cols {
		out = append(out, c.ID)
	}
	return out
}

// Clocks are the tables by whose times state is discarded.
func (p *Program) Clocks() []*plan.Table { return p.clocks }

// Close lets go of state: windows of a clock's table that end at or before a time are
// closed for all rows that are still to be pushed.
func (q *Query) Close(clock int, micros int64) { q.circuit.Advance(clock, micros+1) }
