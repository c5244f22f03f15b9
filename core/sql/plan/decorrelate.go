package plan

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// Decorrelation after T. Neumann and A. Kemper, "Unnesting Arbitrary Queries"
// (BTW 2015). A join whose right side R uses columns F of the left L is
//
//	L ⋈ R(F)  =  L ⋈ (D ⋈ R(D))  on F = D, null equal to null,   D = distinct F of L
//
// and D ⋈ R(D) is pushed down R until nothing below uses D: then it is a cross
// product.

// decorrelate makes every join of a plan independent. Relations below r are not
// changed any more once it is done with them, so what they use is found once.
func (b *binder) decorrelate(r *Rel) *Rel {
	for i, in := range r.In {
		r.In[i] = b.decorrelate(in)
	}
	if r.Op != Join {
		return r
	}
	used := intersect(r.In[1].freeOnce(b.free), r.In[0])
	if len(used) == 0 {
		return r
	}
	if r.Kind == Semi || r.Kind == Anti {
		if lifted := lift(r); lifted {
			if used = intersect(r.In[1].freeOnce(b.free), r.In[0]); len(used) == 0 {
				return r
			}
		}
	}
	if out := b.byKey(r); out != nil {
		return out
	}
	if r.Kind == Full {
		panic(sqlerr.Unsupported(r.Pos, "a FULL JOIN with LATERAL"))
	}
	d := &domain{b: b, of: r.In[0], cols: used}
	right, m := b.push(r.In[1], d)
	parts := r.Pred.Conjuncts()
	for _, c := range used {
		parts = append(parts, nullSafe(col(c), m[c.ID]))
	}
	out := *r
	out.In, out.Pred = []*Rel{r.In[0], right}, expr.All(parts)
	out.Cols = slices.Clone(r.In[0].Cols)
	if r.Kind != Semi && r.Kind != Anti {
		out.Cols = append(out.Cols, right.Cols...)
	}
	return &out
}

// nullSafe is a IS NOT DISTINCT FROM b.
func nullSafe(a, b *expr.Node) *expr.Node {
	return expr.Boolean(expr.Not, a.Pos, expr.Boolean(expr.IsDistinct, a.Pos, a, b))
}

// lift moves filters of the right side of a semi-join into its condition: of
// the right side only the existence of a row counts.
func lift(r *Rel) bool {
	lifted := false
	for {
		switch in := r.In[1]; {
		case in.Op == Filter:
			r.Pred = expr.All(append(r.Pred.Conjuncts(), in.Pred.Conjuncts()...))
			r.In[1], lifted = in.In[0], true
		case in.Op == Project:
			by := map[int]*expr.Node{}
			for i, c := range in.Cols {
				by[c.ID] = in.Exprs[i]
			}
			r.Pred = substitute(r.Pred, by)
			r.In[1] = in.In[0]
		default:
			return lifted
		}
	}
}

// A domain is D: the distinct values of some columns of a relation.
type domain struct {
	b    *binder
	of   *Rel
	cols []Col
}

// mapping says by which expression a column of the domain is had.
type mapping map[int]*expr.Node

// copy is D with columns of its own. What it reads, of, is shared.
func (d *domain) copy() (*Rel, mapping) {
	p := &Rel{Op: Project, In: []*Rel{d.of}, Pos: d.of.Pos}
	m := mapping{}
	for _, c := range d.cols {
		n := d.b.p.fresh(c.Name, c.Type)
		p.Cols, p.Exprs = append(p.Cols, n), append(p.Exprs, col(c))
		m[c.ID] = col(n)
	}
	return &Rel{Op: Distinct, In: []*Rel{p}, Cols: p.Cols, Pos: p.Pos}, m
}

// columns are those of a mapping, in the domain's order.
func (d *domain) columns(m mapping) (ids []int, cols []Col) {
	for _, c := range d.cols {
		n := m[c.ID]
		ids = append(ids, n.Index)
		cols = append(cols, Col{n.Index, c.Name, c.Type})
	}
	return ids, cols
}

func (d *domain) usedBy(r *Rel) bool {
	free := r.freeOnce(d.b.free)
	return slices.ContainsFunc(d.cols, func(c Col) bool { return free[c.ID] })
}

// push returns D ⋈ r, and which of its columns are D's.
func (b *binder) push(r *Rel, d *domain) (*Rel, mapping) {
	if !d.usedBy(r) {
		dc, m := d.copy()
		return b.join(Inner, dc, r, nil, at(r.Pos)), m
	}
	out := *r
	switch r.Op {
	case Filter:
		in, m := b.push(r.In[0], d)
		out.In, out.Cols, out.Pred = []*Rel{in}, in.Cols, substitute(r.Pred, m)
		return &out, m
	case Project:
		in, m := b.push(r.In[0], d)
		_, cols := d.columns(m)
		out.In, out.Exprs, out.Cols = []*Rel{in}, nil, append(slices.Clone(r.Cols), cols...)
		for _, e := range r.Exprs {
			out.Exprs = append(out.Exprs, substitute(e, m))
		}
		for _, c := range cols {
			out.Exprs = append(out.Exprs, col(c))
		}
		return &out, m
	case Distinct:
		in, m := b.push(r.In[0], d)
		out.In, out.Cols = []*Rel{in}, in.Cols
		return &out, m
	case TopK, Window:
		in, m := b.push(r.In[0], d)
		ids, _ := d.columns(m)
		out.In, out.Keys = []*Rel{in}, append(ids, r.Keys...)
		out.Cols = in.Cols
		if r.Op == Window {
			out.Cols = append(slices.Clone(in.Cols), r.Cols[len(r.In[0].Cols):]...)
		}
		return &out, m
	case Expand, Session:
		in, m := b.push(r.In[0], d)
		out.In, out.Exprs = []*Rel{in}, nil
		for _, e := range r.Exprs {
			out.Exprs = append(out.Exprs, substitute(e, m))
		}
		out.Cols = append(slices.Clone(in.Cols), r.Cols[len(r.In[0].Cols):]...)
		if r.Op == Session {
			ids, _ := d.columns(m)
			for _, id := range ids {
				c, _ := in.find(id)
				out.Exprs = append(out.Exprs, col(c))
			}
		}
		return &out, m
	case Aggregate:
		return b.pushAggregate(r, d)
	case SetOp:
		return b.pushSet(r, d)
	case Join:
		return b.pushJoin(r, d)
	}
	panic(sqlerr.Unsupported(r.Pos, "a reference to the query around, here,"))
}

// at is a node for a position.
type at tree.Pos

func (a at) At() tree.Pos { return tree.Pos(a) }

// pushAggregate groups by D as well. Without keys there is a row for each of D,
// also where nothing was aggregated: a count is 0 then, the others are null.
func (b *binder) pushAggregate(r *Rel, d *domain) (*Rel, mapping) {
	in, m := b.push(r.In[0], d)
	ids, cols := d.columns(m)
	agg := *r
	agg.In, agg.Keys = []*Rel{in}, append(slices.Clone(ids), r.Keys...)
	agg.Cols = append(slices.Clone(cols), r.Cols...)
	if len(r.Keys) > 0 {
		return &agg, m
	}
	agg.Cols = slices.Clone(cols)
	out := &Rel{Op: Project, Pos: r.Pos}
	for i, c := range r.Cols {
		raw := b.p.fresh(c.Name, c.Type)
		agg.Cols = append(agg.Cols, raw)
		e := col(raw)
		if r.Aggs[i].Name == "count" {
			zero := expr.Constant(row.Value{Type: c.Type}, r.Pos)
			e = must(expr.Resolve("coalesce", []*expr.Node{e, zero}, r.Pos))
		}
		out.Cols, out.Exprs = append(out.Cols, c), append(out.Exprs, e)
	}
	dc, dm := d.copy()
	var on []*expr.Node
	for _, c := range d.cols {
		on = append(on, nullSafe(dm[c.ID], m[c.ID]))
	}
	out.In = []*Rel{b.join(Left, dc, &agg, expr.All(on), at(r.Pos))}
	for _, c := range dc.Cols {
		out.Cols, out.Exprs = append(out.Cols, c), append(out.Exprs, col(c))
	}
	return out, dm
}

// pushSet puts D's columns behind those of both sides.
func (b *binder) pushSet(r *Rel, d *domain) (*Rel, mapping) {
	out := *r
	out.In, out.Cols = nil, slices.Clone(r.Cols)
	for _, side := range r.In {
		in, m := b.push(side, d)
		p := &Rel{Op: Project, In: []*Rel{in}, Pos: r.Pos}
		_, cols := d.columns(m)
		for _, c := range append(slices.Clone(side.Cols), cols...) {
			p.Cols, p.Exprs = append(p.Cols, b.p.fresh(c.Name, c.Type)), append(p.Exprs, col(c))
		}
		out.In = append(out.In, p)
	}
	m := mapping{}
	for _, c := range d.cols {
		n := b.p.fresh(c.Name, c.Type)
		out.Cols = append(out.Cols, n)
		m[c.ID] = col(n)
	}
	return &out, m
}

// pushJoin pushes D to the side that needs it, or to both, which then must
// agree on it.
func (b *binder) pushJoin(r *Rel, d *domain) (*Rel, mapping) {
	left, right := d.usedBy(r.In[0]), d.usedBy(r.In[1])
	if r.Kind == Full {
		panic(sqlerr.Unsupported(r.Pos, "a FULL JOIN that refers to the query around"))
	}
	if r.Kind != Inner { // the left side's rows are kept: they need D
		left = true
	}
	if !left && !right {
		left = true
	}
	out := *r
	out.In = slices.Clone(r.In)
	parts := r.Pred.Conjuncts()
	var m mapping
	var lm, rm mapping
	if left {
		out.In[0], lm = b.push(r.In[0], d)
		m = lm
	}
	if right {
		out.In[1], rm = b.push(r.In[1], d)
		if m == nil {
			m = rm
		}
	}
	for i, p := range parts {
		parts[i] = substitute(p, m)
	}
	if left && right {
		for _, c := range d.cols {
			parts = append(parts, nullSafe(lm[c.ID], rm[c.ID]))
		}
	}
	out.Pred = expr.All(parts)
	out.Cols = slices.Clone(out.In[0].Cols)
	if r.Kind != Semi && r.Kind != Anti {
		out.Cols = append(out.Cols, out.In[1].Cols...)
	}
	return &out, m
}
