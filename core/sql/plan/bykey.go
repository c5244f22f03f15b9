package plan

import (
	"slices"

	"actordb/core/expr"
	"actordb/core/row"
)

// byKey is what most correlated subqueries need: an aggregate whose rows are
// chosen by equalities with what is around,
//
//	L ⋈ π(γ(σ x = f (R)))  =  π(L ⟕ x γ(R) on f = x)
//
// It spares the domain of the general method. A row of L without a group sees
// the aggregates of no rows: a count of 0, the others null. Nothing below the
// aggregate may fail: groups are computed that L does not ask for.
func (b *binder) byKey(r *Rel) *Rel {
	if r.Kind != Inner || r.Pred != nil {
		return nil
	}
	l := r.In[0]
	var above []*Rel // projections over the aggregate, from the top
	agg := r.In[1]
	for agg.Op == Project {
		above, agg = append(above, agg), agg.In[0]
	}
	if agg.Op != Aggregate || len(agg.Keys) > 0 {
		return nil
	}
	k := &keyed{b: b, outer: l}
	in, ok := k.strip(agg.In[0])
	if !ok || len(k.inner) == 0 {
		return nil
	}
	group := *agg
	group.In, group.Cols = []*Rel{in}, slices.Clone(k.keys)
	for _, c := range k.keys {
		group.Keys = append(group.Keys, c.ID)
	}
	back := &Rel{Op: Project, Pos: agg.Pos} // the aggregates under their own names
	pass := func(p *Rel) {
		for _, c := range l.Cols {
			p.Cols, p.Exprs = append(p.Cols, c), append(p.Exprs, col(c))
		}
	}
	pass(back)
	for i, c := range agg.Cols {
		raw := b.p.fresh(c.Name, c.Type)
		group.Cols = append(group.Cols, raw)
		e := col(raw)
		if agg.Aggs[i].Name == "count" {
			e = must(expr.Resolve("coalesce", []*expr.Node{e, expr.Constant(row.Value{Type: c.Type}, agg.Pos)}, agg.Pos))
		}
		back.Cols, back.Exprs = append(back.Cols, c), append(back.Exprs, e)
	}
	var on []*expr.Node
	for i, c := range k.keys {
		on = append(on, must(expr.Compare("=", k.around[i], col(c), agg.Pos)))
	}
	back.In = []*Rel{b.join(Left, l, &group, expr.All(on), at(agg.Pos))}
	out := back
	for _, p := range slices.Backward(above) {
		next := &Rel{Op: Project, In: []*Rel{out}, Pos: p.Pos}
		pass(next)
		next.Cols, next.Exprs = append(next.Cols, p.Cols...), append(next.Exprs, p.Exprs...)
		out = next
	}
	return out
}

// keyed collects the equalities of a subquery with what is around it.
type keyed struct {
	b      *binder
	outer  *Rel
	inner  []*expr.Node // of the subquery's columns
	around []*expr.Node // of the outer relation's
	keys   []Col        // of inner, above what was stripped
}

// uses reports whether an expression has columns of the outer relation, and
// others.
func (k *keyed) uses(e *expr.Node) (outer, other bool) {
	e.Walk(func(n *expr.Node) {
		if n.Op == expr.Column {
			if k.outer.has(n.Index) {
				outer = true
			} else {
				other = true
			}
		}
	})
	return outer, other
}

// strip returns a relation without the conditions that relate it to the outer
// one, and with the columns that they compare. ok is false if there are others.
func (k *keyed) strip(r *Rel) (out *Rel, ok bool) {
	if len(intersect(r.freeOnce(k.b.free), k.outer)) == 0 {
		return k.base(r), true
	}
	switch r.Op {
	case Filter:
		var rest []*expr.Node
		for _, c := range r.Pred.Conjuncts() {
			if outer, _ := k.uses(c); !outer {
				rest = append(rest, c)
			} else if !k.equality(c) {
				return nil, false
			}
		}
		if slices.ContainsFunc(rest, fails) {
			return nil, false
		}
		in, ok := k.strip(r.In[0])
		if !ok {
			return nil, false
		}
		return filtered(in, rest), true
	case Project:
		for _, e := range r.Exprs {
			if outer, _ := k.uses(e); outer || fails(e) {
				return nil, false
			}
		}
		by := map[int]*expr.Node{}
		for i, c := range r.Cols {
			by[c.ID] = r.Exprs[i]
		}
		for i, x := range k.inner { // what stood above is computed below
			k.inner[i] = substitute(x, by)
		}
		in, ok := k.strip(r.In[0])
		if !ok {
			return nil, false
		}
		p := *r
		p.In, p.Cols, p.Exprs = []*Rel{in}, slices.Clone(r.Cols), slices.Clone(r.Exprs)
		for _, c := range k.keys {
			p.Cols, p.Exprs = append(p.Cols, c), append(p.Exprs, col(c))
		}
		return &p, true
	}
	return nil, false
}

// equality takes down x = f.
func (k *keyed) equality(c *expr.Node) bool {
	if c.Op != expr.Call || c.Func.Name != "=" || len(c.Args) != 2 || fails(c.Args[0]) || fails(c.Args[1]) {
		return false
	}
	x, f := c.Args[0], c.Args[1]
	if outer, _ := k.uses(x); outer {
		x, f = f, x
	}
	xo, xi := k.uses(x)
	fo, fi := k.uses(f)
	if xo || !xi || !fo || fi || x.Type.Kind == row.Interval {
		return false
	}
	k.inner, k.around = append(k.inner, x), append(k.around, f)
	return true
}

// base adds the columns that the equalities compare.
func (k *keyed) base(r *Rel) *Rel {
	p := &Rel{Op: Project, In: []*Rel{r}, Pos: r.Pos}
	for _, c := range r.Cols {
		p.Cols, p.Exprs = append(p.Cols, c), append(p.Exprs, col(c))
	}
	for _, x := range k.inner {
		c := k.b.p.fresh("key", x.Type)
		k.keys = append(k.keys, c)
		p.Cols, p.Exprs = append(p.Cols, c), append(p.Exprs, x)
	}
	return p
}
