package plan

import (
	"slices"

	"actordb/core/expr"
)

// finish makes the bound plan one that can be run: subqueries become joins,
// constants are folded, conditions move to where their columns come from, and
// columns that nobody needs are left out.
func (b *binder) finish() {
	p := b.p
	p.Root = b.decorrelate(p.Root)
	everywhere(p.Root, map[*Rel]bool{}, func(r *Rel) {
		r.exprs(func(e *expr.Node) *expr.Node { return expr.Fold(e) })
	})
	if b.o.Keep {
		return
	}
	d := &downer{parents: map[*Rel]int{}, done: map[*Rel]*Rel{}}
	everywhere(p.Root, map[*Rel]bool{}, func(r *Rel) {
		for _, in := range r.In {
			d.parents[in]++
		}
	})
	p.Root = d.down(p.Root, nil)
	need := map[int]bool{}
	for _, c := range p.Cols {
		need[c.ID] = true
	}
	for _, o := range p.Order {
		need[o.Col] = true
	}
	(&pruner{done: map[*Rel]bool{}, need: map[*Rel]map[int]bool{}}).plan(p.Root, need)
}

// everywhere visits each relation of a plan once, inputs first.
func everywhere(r *Rel, seen map[*Rel]bool, visit func(*Rel)) {
	if seen[r] {
		return
	}
	seen[r] = true
	for _, in := range r.In {
		everywhere(in, seen, visit)
	}
	visit(r)
}

// covers reports whether a relation produces all columns of an expression.
func covers(r *Rel, e *expr.Node) bool {
	ok := true
	e.Walk(func(n *expr.Node) {
		ok = ok && (n.Op != expr.Column || r.has(n.Index))
	})
	return ok
}

// fails reports whether an expression may have an error, or may not be computed
// twice: then it stays behind what guards it.
func fails(e *expr.Node) (may bool) {
	e.Walk(func(n *expr.Node) {
		may = may || n.Op == expr.Call && !n.Func.Total()
	})
	return may
}

// downer moves conditions towards the scans, and makes new relations. One that
// several read is made once, and conditions stay above it.
type downer struct {
	parents map[*Rel]int
	done    map[*Rel]*Rel
}

func (d *downer) down(r *Rel, conds []*expr.Node) *Rel {
	if d.parents[r] < 2 {
		return d.move(r, conds)
	}
	if d.done[r] == nil {
		d.done[r] = d.move(r, nil)
	}
	return filtered(d.done[r], conds)
}

// move moves conditions into a relation. Those that may fail stay above what
// filtered before them.
func (d *downer) move(r *Rel, conds []*expr.Node) *Rel {
	out := *r
	out.In = slices.Clone(r.In)
	switch r.Op {
	case Filter:
		own := r.Pred.Conjuncts()
		if slices.ContainsFunc(own, fails) || slices.ContainsFunc(conds, fails) {
			out.In[0] = d.down(r.In[0], nil)
			out.Cols = out.In[0].Cols
			return filtered(&out, conds)
		}
		return d.down(r.In[0], append(own, conds...))
	case Project:
		return d.downProject(&out, conds)
	case Join:
		if r.Kind == Inner {
			return d.reorder(r, conds)
		}
		return d.downJoin(&out, conds)
	case SetOp:
		for i, in := range out.In {
			out.In[i] = d.down(in, nil)
		}
	case Distinct:
		// A row is there or not whatever the others are.
		out.In[0] = d.down(r.In[0], conds)
		out.Cols = out.In[0].Cols
		return &out
	case Aggregate:
		var below, above []*expr.Node
		for _, c := range conds {
			if onlyKeys(c, r.Keys) && len(r.Keys) > 0 && !fails(c) {
				below = append(below, c)
			} else {
				above = append(above, c)
			}
		}
		out.In[0] = d.down(r.In[0], below)
		return filtered(&out, above)
	default:
		for i, in := range out.In {
			out.In[i] = d.down(in, nil)
		}
	}
	return filtered(&out, conds)
}

func onlyKeys(e *expr.Node, keys []int) bool {
	ok := true
	e.Walk(func(n *expr.Node) {
		ok = ok && (n.Op != expr.Column || slices.Contains(keys, n.Index))
	})
	return ok
}

// filtered puts what is left of conditions above a relation.
func filtered(r *Rel, conds []*expr.Node) *Rel {
	if len(conds) == 0 {
		return r
	}
	return &Rel{Op: Filter, In: []*Rel{r}, Cols: r.Cols, Pred: expr.All(conds), Pos: conds[0].Pos}
}

// downProject moves conditions below a projection, if nothing in them or in it
// may fail that would not have failed before.
func (d *downer) downProject(r *Rel, conds []*expr.Node) *Rel {
	by := map[int]*expr.Node{}
	for i, c := range r.Cols {
		by[c.ID] = r.Exprs[i]
	}
	var below, above []*expr.Node
	for _, c := range conds {
		if s := substitute(c, by); !fails(s) {
			below = append(below, s)
		} else {
			above = append(above, c)
		}
	}
	r.In[0] = d.down(r.In[0], below)
	return filtered(r, above)
}

// downJoin moves conditions into a join that is not an inner one.
func (d *downer) downJoin(r *Rel, conds []*expr.Node) *Rel {
	var left, right, on, above []*expr.Node
	for _, c := range conds {
		if covers(r.In[0], c) && r.Kind != Full && !fails(c) {
			left = append(left, c)
		} else {
			above = append(above, c)
		}
	}
	for _, c := range r.Pred.Conjuncts() {
		switch {
		case covers(r.In[1], c) && r.Kind != Full && !r.NullAware && !fails(c):
			right = append(right, c)
		case covers(r.In[0], c) && r.Kind == Semi && !fails(c):
			left = append(left, c)
		default:
			on = append(on, c)
		}
	}
	r.In[0], r.In[1] = d.down(r.In[0], left), d.down(r.In[1], right)
	r.Pred = expr.All(on)
	return filtered(r, above)
}

// reorder takes a tree of inner joins apart, and joins what it was made of one
// after another, each time something that an equality ties to what is joined
// already: FROM a, b, c says nothing about an order, and products are dear.
func (d *downer) reorder(r *Rel, conds []*expr.Node) *Rel {
	var leaves []*Rel
	var take func(r *Rel)
	take = func(r *Rel) {
		if r.Op == Join && r.Kind == Inner && d.parents[r] < 2 {
			conds = append(conds, r.Pred.Conjuncts()...)
			take(r.In[0])
			take(r.In[1])
			return
		}
		leaves = append(leaves, r)
	}
	conds = slices.Clone(conds)
	conds = append(conds, r.Pred.Conjuncts()...)
	take(r.In[0])
	take(r.In[1])
	var ties, above []*expr.Node
	own := make([][]*expr.Node, len(leaves))
	for _, c := range conds {
		i := slices.IndexFunc(leaves, func(l *Rel) bool { return covers(l, c) })
		switch {
		case fails(c):
			above = append(above, c)
		case i >= 0:
			own[i] = append(own[i], c)
		default:
			ties = append(ties, c)
		}
	}
	first := 0 // what is filtered most is likely to be small
	for i := range leaves {
		if len(own[i]) > len(own[first]) {
			first = i
		}
	}
	for i, l := range leaves {
		leaves[i] = d.down(l, own[i])
	}
	out := leaves[first]
	rest := slices.Delete(slices.Clone(leaves), first, first+1)
	for len(rest) > 0 {
		next := max(0, slices.IndexFunc(rest, func(l *Rel) bool { return tied(out, l, ties) }))
		j := &Rel{Op: Join, Kind: Inner, In: []*Rel{out, rest[next]}, Cols: append(slices.Clone(out.Cols), rest[next].Cols...), Pos: r.Pos}
		rest = slices.Delete(rest, next, next+1)
		var on, later []*expr.Node
		for _, c := range ties {
			if covers(j, c) {
				on = append(on, c)
			} else {
				later = append(later, c)
			}
		}
		j.Pred, ties = expr.All(on), later
		out = j
	}
	return filtered(out, append(ties, above...))
}

// tied reports whether an equality relates columns of two relations.
func tied(a, b *Rel, conds []*expr.Node) bool {
	return slices.ContainsFunc(conds, func(c *expr.Node) bool {
		var x, y *expr.Node
		switch {
		case c.Op == expr.Call && len(c.Args) == 2 && c.Func.Name == "=":
			x, y = c.Args[0], c.Args[1]
		case c.Op == expr.Not && c.Args[0].Op == expr.IsDistinct:
			x, y = c.Args[0].Args[0], c.Args[0].Args[1]
		default:
			return false
		}
		return covers(a, x) && covers(b, y) || covers(a, y) && covers(b, x)
	})
}

// pruner leaves out columns that nobody needs. A relation that several read
// keeps what any of them needs.
type pruner struct {
	done map[*Rel]bool
	need map[*Rel]map[int]bool
}

func (p *pruner) plan(root *Rel, need map[int]bool) {
	p.want(root, need)
	for {
		before := p.size()
		p.collect(root, map[*Rel]bool{})
		if p.size() == before {
			break
		}
	}
	everywhere(root, p.done, p.cut)
}

func (p *pruner) size() (n int) {
	for _, s := range p.need {
		n += len(s)
	}
	return n
}

func (p *pruner) want(r *Rel, ids map[int]bool) {
	if p.need[r] == nil {
		p.need[r] = map[int]bool{}
	}
	for id := range ids {
		if r.has(id) {
			p.need[r][id] = true
		}
	}
}

// collect tells each relation what those above it need.
func (p *pruner) collect(r *Rel, seen map[*Rel]bool) {
	if seen[r] {
		return
	}
	seen[r] = true
	need := map[int]bool{}
	add := func(e *expr.Node) {
		e.Walk(func(n *expr.Node) {
			if n.Op == expr.Column {
				need[n.Index] = true
			}
		})
	}
	whole := r.Op == Distinct || r.Op == SetOp && r.Set != UnionAll
	for _, in := range r.In {
		for i, c := range in.Cols {
			switch {
			case r.Op == SetOp && !whole:
				need[c.ID] = need[c.ID] || p.need[r][r.Cols[i].ID]
			case whole || p.need[r][c.ID] && r.Op != Project && r.Op != Aggregate:
				need[c.ID] = true
			}
		}
	}
	for i, e := range r.Exprs {
		if r.Op != Project || p.need[r][r.Cols[i].ID] {
			add(e)
		}
	}
	if r.Pred != nil {
		add(r.Pred)
	}
	for _, id := range r.Keys {
		need[id] = true
	}
	for _, o := range r.Order {
		need[o.Col] = true
	}
	for i, a := range r.Aggs {
		if !p.need[r][r.Cols[len(r.Keys)+i].ID] {
			continue
		}
		need[a.Arg], need[a.Filter] = true, true
		for _, o := range a.Order {
			need[o.Col] = true
		}
	}
	for _, f := range r.Funcs {
		for _, id := range f.Args {
			need[id] = true
		}
	}
	for id, ok := range need {
		if !ok {
			delete(need, id)
		}
	}
	for _, in := range r.In {
		p.want(in, need)
		p.collect(in, seen)
	}
}

// cut drops the columns of a relation that are not needed. Its inputs are cut
// already.
func (p *pruner) cut(r *Rel) {
	need := p.need[r]
	switch r.Op {
	case Scan:
		var cols []Col
		var source []int
		for i, c := range r.Cols {
			if need[c.ID] {
				cols, source = append(cols, c), append(source, r.Source[i])
			}
		}
		r.Cols, r.Source = cols, source
	case Project:
		var cols []Col
		var exprs []*expr.Node
		for i, c := range r.Cols {
			if need[c.ID] {
				cols, exprs = append(cols, c), append(exprs, r.Exprs[i])
			}
		}
		r.Cols, r.Exprs = cols, exprs
	case Aggregate:
		cols := slices.Clone(r.Cols[:len(r.Keys)])
		var aggs []Agg
		for i, a := range r.Aggs {
			if c := r.Cols[len(r.Keys)+i]; need[c.ID] {
				cols, aggs = append(cols, c), append(aggs, a)
			}
		}
		r.Cols, r.Aggs = cols, aggs
	case Values, SetOp:
		p.cutPositions(r, need)
	case Window, Expand, Session:
		own := r.Cols[len(r.Cols)-ownColumns(r):]
		r.Cols = append(slices.Clone(r.In[0].Cols), own...)
	case Join:
		r.Cols = slices.Clone(r.In[0].Cols)
		if r.Kind != Semi && r.Kind != Anti {
			r.Cols = append(r.Cols, r.In[1].Cols...)
		}
	default:
		r.Cols = r.In[0].Cols
	}
}

// ownColumns is how many columns a relation adds to its input's.
func ownColumns(r *Rel) int {
	switch {
	case r.Op == Window:
		return len(r.Funcs)
	case r.Name == "hop" || r.Op == Session:
		return 2
	}
	return 1
}

// cutPositions cuts what is by position: rows of constants, and unions, whose
// inputs are projections of their own that were cut in the same way.
func (p *pruner) cutPositions(r *Rel, need map[int]bool) {
	if r.Op == SetOp && r.Set != UnionAll {
		return
	}
	var keep []int
	for i, c := range r.Cols {
		if need[c.ID] {
			keep = append(keep, i)
		}
	}
	pick := func(list []Col) (out []Col) {
		for _, i := range keep {
			out = append(out, list[i])
		}
		return out
	}
	for k, list := range r.Rows {
		var out []*expr.Node
		for _, i := range keep {
			out = append(out, list[i])
		}
		r.Rows[k] = out
	}
	r.Cols = pick(r.Cols)
}
