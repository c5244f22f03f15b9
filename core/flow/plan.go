package flow

import (
	"fmt"
	"math"
	"slices"

	"actordb/core/row"
	"actordb/core/zset"
)

// Node is an operator of a plan. Nodes are numbered as they are made, so that
// a node comes after its inputs.
type Node int

// A Plan is a graph of operators under construction. Its methods add one and
// return it; Build makes a circuit. The first mistake is kept and told by Build.
type Plan struct {
	nodes  []planned
	shared map[string]Node // arrangements and temporal filters, by what they are
	lates  map[Node]Node
	outs   []Node
	clocks int
	err    error
}

// planned is a node: its inputs, what it puts out, and how to make it.
type planned struct {
	inputs []Node // port i
	types  []row.Type
	source bool
	reads  int // how many operators read an arrangement
	joins  int // how many of them are joins
	make   func(k core, ops []op) op
	what   string // its kind and parameters, but for expressions
}

// NewPlan returns an empty plan.
func NewPlan() *Plan { return &Plan{shared: map[string]Node{}, lates: map[Node]Node{}} }

// Types are the types of a node's columns.
func (p *Plan) Types(n Node) []row.Type {
	if n < 0 || int(n) >= len(p.nodes) {
		return nil
	}
	return p.nodes[n].types
}

func (p *Plan) fail(format string, args ...any) Node {
	if p.err == nil {
		p.err = row.Errorf(row.CodeNotSupported, format, args...)
	}
	return -1
}

func (p *Plan) add(what string, types []row.Type, inputs []Node, make func(k core, ops []op) op) Node {
	for _, in := range inputs {
		if in < 0 || int(in) >= len(p.nodes) {
			return p.fail("%s: node %d does not exist", what, in)
		}
	}
	if len(p.nodes) == NodesMax {
		return p.fail("a plan has at most %d nodes", NodesMax)
	}
	if len(types) > row.ColumnsMax {
		return p.fail("%s: at most %d columns, not %d", what, row.ColumnsMax, len(types))
	}
	p.nodes = append(p.nodes, planned{inputs: inputs, types: types, make: make, what: what})
	return Node(len(p.nodes) - 1)
}

// columns checks that all of cols are columns of n.
func (p *Plan) columns(what string, n Node, cols []int) bool {
	for _, c := range cols {
		if c < 0 || c >= len(p.Types(n)) {
			p.fail("%s: node %d has no column %d", what, n, c)
			return false
		}
	}
	return p.err == nil
}

func (p *Plan) sortColumns(what string, n Node, sorts []row.Sort) bool {
	for _, s := range sorts {
		if !p.columns(what, n, []int{s.Col}) {
			return false
		}
	}
	return p.err == nil
}

// Source is a relation whose changes are pushed.
func (p *Plan) Source(types []row.Type) Node {
	n := p.add("source", types, nil, func(k core, _ []op) op { return &pass{k} })
	if n >= 0 {
		p.nodes[n].source = true
	}
	return n
}

// Filter keeps the rows for which pred is true.
func (p *Plan) Filter(in Node, pred row.Expr) Node {
	if pred.Type() != row.Of(row.Bool) {
		return p.fail("filter: a condition is boolean, not %s", pred.Type())
	}
	return p.add("filter", p.Types(in), []Node{in}, func(k core, _ []op) op { return &filter{core: k, pred: pred} })
}

// Project computes columns. row.Col stands for one of the input's, at no cost.
func (p *Plan) Project(in Node, exprs ...row.Expr) Node {
	types := make([]row.Type, len(exprs))
	for i, x := range exprs {
		types[i] = x.Type()
		if c, ok := x.(row.Col); ok && (!p.columns("project", in, []int{c.Index}) || p.Types(in)[c.Index] != c.Of) {
			return p.fail("project: column %d of node %d is not of type %s", c.Index, in, c.Of)
		}
	}
	return p.add("project", types, []Node{in}, func(k core, _ []op) op {
		return &project{core: k, exprs: exprs, scratch: make([]row.Vector, len(exprs))}
	})
}

// pick projects to columns of the input.
func (p *Plan) pick(in Node, cols []int) Node {
	if !p.columns("project", in, cols) {
		return -1
	}
	exprs := make([]row.Expr, len(cols))
	for i, c := range cols {
		exprs[i] = row.Col{Index: c, Of: p.Types(in)[c]}
	}
	return p.Project(in, exprs...)
}

// Expand joins each row with the elements of a list computed from it.
func (p *Plan) Expand(in Node, x row.Expander) Node {
	types := append(slices.Clone(p.Types(in)), x.Types()...)
	return p.add("expand", types, []Node{in}, func(k core, _ []op) op { return &expand{core: k, x: x} })
}

// Union is UNION ALL.
func (p *Plan) Union(ins ...Node) Node {
	if len(ins) == 0 {
		return p.fail("union of nothing")
	}
	for _, in := range ins {
		if !slices.Equal(p.Types(in), p.Types(ins[0])) {
			return p.fail("union: columns of types %v and %v", p.Types(ins[0]), p.Types(in))
		}
	}
	return p.add("union", p.Types(ins[0]), ins, func(k core, _ []op) op { return &pass{k} })
}

// arrange returns the arrangement of a node by an order; there is one of each.
func (p *Plan) arrange(in Node, o zset.Order) Node { return p.arrangeTimed(in, o, never) }

func (p *Plan) arrangeTimed(in Node, o zset.Order, l lapse) Node {
	name := fmt.Sprint(in, o.Key, o.Sorts, l)
	if n, ok := p.shared[name]; ok {
		return n
	}
	if !p.columns("arrange", in, o.Key) || !p.sortColumns("arrange", in, o.Sorts) {
		return -1
	}
	types := p.Types(in)
	n := p.add(fmt.Sprint("arrange ", o, l), types, []Node{in}, func(k core, _ []op) op {
		return &arrange{core: k, a: zset.NewArrangement(types, o), lapse: l}
	})
	p.shared[name] = n
	return n
}

// reads is add for operators that read arrangements: they have no ports.
func (p *Plan) reads(what string, types []row.Type, make func(k core, ops []op) op, from ...Node) Node {
	for _, n := range from {
		if n < 0 {
			return -1
		}
		p.nodes[n].reads++
	}
	return p.add(fmt.Sprint(what, " of ", from), types, nil, make)
}

func arranged(ops []op, n Node) *arrange { return ops[n].(*arrange) }

// wholeRow is the order by all columns, to find rows.
func (p *Plan) wholeRow(n Node) zset.Order { return zset.Order{Key: upTo(len(p.Types(n)))} }

func upTo(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// JoinKind is what becomes of rows without partner.
type JoinKind uint8

const (
	Inner JoinKind = iota
	Left
	Right
	Full
	Semi // left rows with a partner, once; columns of the left alone
	Anti // left rows without
)

// Join joins by equal keys, of which null equals nothing, and a condition On,
// or nil, on the joined row. Without keys it is a product.
type Join struct {
	Kind              JoinKind
	Left, Right       Node
	LeftKey, RightKey []int
	On                row.Expr
	// NullAware makes Anti with one key NOT IN: a null on the right lets no row
	// pass, a null on the left passes only if the right is empty.
	NullAware bool
}

// Join adds a join. The columns are those of the left, then those of the right.
func (p *Plan) Join(j Join) Node {
	if !p.columns("join", j.Left, j.LeftKey) || !p.columns("join", j.Right, j.RightKey) {
		return -1
	}
	if len(j.LeftKey) != len(j.RightKey) {
		return p.fail("join: %d and %d key columns", len(j.LeftKey), len(j.RightKey))
	}
	lt, rt := p.Types(j.Left), p.Types(j.Right)
	for i := range j.LeftKey {
		if a, b := lt[j.LeftKey[i]], rt[j.RightKey[i]]; a != b {
			return p.fail("join: keys of types %s and %s; cast one", a, b)
		}
	}
	if j.On != nil && j.On.Type() != row.Of(row.Bool) {
		return p.fail("join: a condition is boolean, not %s", j.On.Type())
	}
	if j.NullAware && (j.Kind != Anti || len(j.LeftKey) != 1 || j.On != nil) {
		return p.fail("join: only an anti join by one key and no condition is aware of nulls")
	}
	if j.Kind == Semi || j.Kind == Anti {
		return p.semiJoin(j)
	}
	inner := p.innerJoin(j)
	parts := []Node{inner}
	if j.Kind == Left || j.Kind == Full {
		alone := p.unmatched(j.Left, j.LeftKey, j.Right, j.RightKey, j.On != nil, inner, 0)
		exprs := make([]row.Expr, 0, len(lt)+len(rt))
		for i, t := range lt {
			exprs = append(exprs, row.Col{Index: i, Of: t})
		}
		for _, t := range rt {
			exprs = append(exprs, row.Const{Value: row.NullOf(t)})
		}
		parts = append(parts, p.Project(alone, exprs...))
	}
	if j.Kind == Right || j.Kind == Full {
		alone := p.unmatched(j.Right, j.RightKey, j.Left, j.LeftKey, j.On != nil, inner, len(lt))
		exprs := make([]row.Expr, 0, len(lt)+len(rt))
		for _, t := range lt {
			exprs = append(exprs, row.Const{Value: row.NullOf(t)})
		}
		for i, t := range rt {
			exprs = append(exprs, row.Col{Index: i, Of: t})
		}
		parts = append(parts, p.Project(alone, exprs...))
	}
	if len(parts) == 1 {
		return inner
	}
	return p.Union(parts...)
}

func (p *Plan) innerJoin(j Join) Node {
	l := p.arrange(j.Left, zset.Order{Key: j.LeftKey})
	r := p.arrange(j.Right, zset.Order{Key: j.RightKey})
	types := append(slices.Clone(p.Types(j.Left)), p.Types(j.Right)...)
	for _, n := range [2]Node{l, r} {
		if n >= 0 {
			p.nodes[n].joins++
		}
	}
	return p.reads("join", types, func(k core, ops []op) op {
		if k.c.config.Once {
			for _, n := range [2]Node{l, r} {
				if a := arranged(ops, n); p.nodes[n].joins == p.nodes[n].reads && !a.loose {
					a.loose = true
					a.a.Loosen()
				}
			}
		}
		return &join{filter: filter{core: k, pred: j.On}, left: arranged(ops, l), right: arranged(ops, r), joined: zset.NewBatch(types)}
	}, l, r)
}

// unmatched is the rows of n without partner in other. If there is a condition
// these are the rows that do not stand in the inner join, from its column at on.
func (p *Plan) unmatched(n Node, key []int, other Node, otherKey []int, on bool, inner Node, at int) Node {
	if !on {
		return p.bySemi(n, key, p.pick(other, otherKey), true, false)
	}
	cols := upTo(len(p.Types(n)))
	for i := range cols {
		cols[i] += at
	}
	return p.bySemi(n, upTo(len(cols)), p.pick(inner, cols), true, true)
}

// bySemi is the rows of n whose key is, or is not, in keys.
func (p *Plan) bySemi(n Node, key []int, keys Node, anti, nullSafe bool) Node {
	l := p.arrange(n, zset.Order{Key: key})
	r := p.arrange(keys, p.wholeRow(keys))
	return p.reads(fmt.Sprint("semi join ", anti, nullSafe), p.Types(n), func(k core, ops []op) op {
		return &semi{core: k, left: arranged(ops, l), right: arranged(ops, r), anti: anti, nullSafe: nullSafe}
	}, l, r)
}

func (p *Plan) semiJoin(j Join) Node {
	if j.On != nil {
		inner := p.innerJoin(j)
		cols := upTo(len(p.Types(j.Left)))
		return p.bySemi(j.Left, cols, p.pick(inner, cols), j.Kind == Anti, true)
	}
	out := p.bySemi(j.Left, j.LeftKey, p.pick(j.Right, j.RightKey), j.Kind == Anti, false)
	if !j.NullAware {
		return out
	}
	nulls := p.pick(p.Filter(j.Right, nullTest{j.RightKey[0], true}), nil)
	some := p.pick(j.Right, nil)
	known := p.bySemi(p.Filter(out, nullTest{j.LeftKey[0], false}), nil, nulls, true, true)
	unknown := p.bySemi(p.Filter(out, nullTest{j.LeftKey[0], true}), nil, some, true, true)
	return p.Union(known, unknown)
}

// nullTest is IS NULL, or IS NOT NULL, of a column.
type nullTest struct {
	col  int
	want bool
}

func (nullTest) Type() row.Type { return row.Of(row.Bool) }

func (x nullTest) Eval(in *row.Batch, out *row.Vector, _ *row.Errors) {
	out.Reset(x.Type())
	v := in.Cols[x.col]
	for i := range in.N {
		out.AppendBool(v.Null(i) == x.want)
	}
}

// Distinct keeps each row once.
func (p *Plan) Distinct(in Node) Node { return p.distinctTimed(in, never) }

func (p *Plan) distinctTimed(in Node, l lapse) Node {
	a := p.arrangeTimed(in, p.wholeRow(in), l)
	return p.reads("distinct", p.Types(in), func(k core, ops []op) op { return &distinct{core: k, in: arranged(ops, a)} }, a)
}

// Set is EXCEPT and INTERSECT.
func (p *Plan) Set(kind SetKind, l, r Node) Node {
	if !slices.Equal(p.Types(l), p.Types(r)) {
		return p.fail("set operation: columns of types %v and %v", p.Types(l), p.Types(r))
	}
	la, ra := p.arrange(l, p.wholeRow(l)), p.arrange(r, p.wholeRow(r))
	return p.reads(fmt.Sprint("set operation ", kind), p.Types(l), func(k core, ops []op) op {
		return &setOp{core: k, kind: kind, left: arranged(ops, la), right: arranged(ops, ra)}
	}, la, ra)
}

// DistinctUntil is Distinct of rows of which a column expires.
func (p *Plan) DistinctUntil(in Node, e Expiry) Node {
	t, l, ok := p.expiry(in, upTo(len(p.Types(in))), e)
	if !ok {
		return -1
	}
	return p.expired(p.distinctTimed(t, l), t)
}

// expired makes the late rows of a temporal filter those of a node.
func (p *Plan) expired(n, temporal Node) Node {
	if n >= 0 && temporal >= 0 {
		p.lates[n] = p.lates[temporal]
	}
	return n
}

// TopK keeps of each partition the rows from Offset to Offset+Limit by Sorts.
type TopK struct {
	Partition     []int
	Sorts         []row.Sort
	Offset, Limit int64  // Limit < 0: all
	Expire        Expiry // of Partition
}

// TopK adds ORDER BY … LIMIT, within partitions if there are any.
func (p *Plan) TopK(in Node, t TopK) Node {
	if t.Offset < 0 {
		return p.fail("OFFSET must not be negative")
	}
	from, l, ok := p.expiry(in, t.Partition, t.Expire)
	if !ok {
		return -1
	}
	a := p.arrangeTimed(from, zset.Order{Key: t.Partition, Sorts: t.Sorts}, l)
	const most = math.MaxInt64 / 4
	limit := min(t.Limit, most)
	if limit < 0 {
		limit = most
	}
	offset := min(t.Offset, most)
	n := p.reads(fmt.Sprint("top-k ", t), p.Types(in), func(k core, ops []op) op {
		o := &topK{core: k, in: arranged(ops, a), offset: offset, limit: limit}
		if k.c.config.Once && t.Limit >= 0 && len(t.Partition) == 0 && len(t.Sorts) > 0 && p.nodes[a].reads == 1 {
			o.in.first = &zset.First{Rows: offset + limit}
		}
		return o
	}, a)
	if t.Expire.Col > 0 {
		return p.expired(n, from)
	}
	return n
}

// Temporal drops rows whose column col is over; they come out of Late(n) and are
// counted. There is one filter for each column and expiry of a node.
func (p *Plan) Temporal(in Node, col int, e Expiry) Node {
	name := fmt.Sprint("temporal ", in, col, e.Clock, e.After)
	if n, ok := p.shared[name]; ok {
		return n
	}
	switch {
	case !p.columns("temporal filter", in, []int{col}) || !p.Types(in)[col].Fixed():
		return p.fail("temporal filter: column %d is no time", col)
	case e.Clock < 0 || e.Clock >= ClocksMax || e.After < 0:
		return p.fail("temporal filter: clock %d, after %d; there are %d clocks, and time goes on", e.Clock, e.After, ClocksMax)
	}
	p.clocks = max(p.clocks, e.Clock+1)
	types := p.Types(in)
	// The late node comes first: who reads it comes after both.
	l := p.add("late rows", types, nil, func(k core, _ []op) op { return &pass{k} })
	n := p.add(fmt.Sprint("temporal filter ", col, e.Clock, e.After), types, []Node{in}, func(k core, ops []op) op {
		return &temporal{core: k, lapse: lapse{col: col, clock: e.Clock, after: e.After}, late: ops[l].(*pass)}
	})
	p.lates[n] = l
	p.shared[name] = n
	return n
}

// Late is the rows that a temporal filter, or an aggregate that expires, has
// excluded.
func (p *Plan) Late(n Node) Node {
	if l, ok := p.lates[n]; ok {
		return l
	}
	return p.fail("node %d excludes nothing", n)
}

// Output makes a node's changes readable: Circuit.Output of what it returns.
func (p *Plan) Output(in Node) int {
	types := p.Types(in)
	p.outs = append(p.outs, p.add("output", types, []Node{in}, func(k core, _ []op) op {
		return &output{core: k, all: zset.NewBatch(types), result: zset.NewBatch(types)}
	}))
	return len(p.outs) - 1
}

// Materialize keeps the contents of a node, to be read between steps by
// Circuit.View. It may be an arrangement that operators use.
func (p *Plan) Materialize(in Node, o zset.Order) Node {
	n := p.arrange(in, o)
	if n >= 0 {
		p.nodes[n].reads++
	}
	return n
}

// View is what a node of Materialize holds.
func (c *Circuit) View(n Node) *zset.Arrangement { return c.ops[n].(*arrange).a }

// describe is a text of the plan's graph.
func (p *Plan) describe() (text []byte) {
	for _, n := range p.nodes {
		text = fmt.Appendln(text, n.what, n.inputs, n.types)
	}
	return text
}

// Build makes a circuit of the plan.
func (p *Plan) Build(config Config) (*Circuit, error) {
	if p.err != nil {
		return nil, p.err
	}
	if config.MemoryBytes == 0 {
		config.MemoryBytes = memoryDefault
	}
	c := &Circuit{config: config, sources: map[Node]*core{}, bounds: make([]int64, p.clocks)}
	for i := range c.bounds {
		c.bounds[i] = math.MinInt64
	}
	outs := make([][]edge, len(p.nodes))
	for i, n := range p.nodes {
		for port, in := range n.inputs {
			outs[in] = append(outs[in], edge{i, port})
		}
	}
	c.plan = row.HashBytes(metaVersion, p.describe())
	for i, n := range p.nodes {
		o := n.make(core{c: c, types: n.types, outs: outs[i], out: zset.NewBatch(n.types)}, c.ops)
		if n.source {
			c.sources[Node(i)] = &o.(*pass).core
		}
		c.ops = append(c.ops, o)
	}
	for _, n := range p.outs {
		c.outputs = append(c.outputs, c.ops[n].(*output))
	}
	c.errors = &errorSink{
		arrange: arrange{core: core{c: c}, a: zset.NewArrangement(errorTypes(), zset.Order{}), lapse: never},
		in:      zset.NewBatch(errorTypes()),
	}
	c.ops = append(c.ops, c.errors)
	for i, o := range c.ops {
		if s, ok := o.(stateful); ok {
			s.attach(config.Store, c.opPrefix(i))
		}
	}
	return c, nil
}
