package expr

import (
	"cmp"
	"slices"

	"actordb/core/row"
)

// A Func is a function of values that is null if an argument is.
type Func struct {
	Name     string
	args     []row.Type
	ret      row.Type
	kernel   kernel
	infix    bool
	cast     bool
	volatile bool // not folded
}

// Volatile tells of a function that is not known by its name and the types that it takes.
func (f *Func) Volatile() bool { return f.volatile }

// A kernel computes a column. Rows whose argument is null may get any value of
// a fixed type, and no error; they are made null afterwards. A kernel of a type
// that is not fixed appends one value for each row.
type kernel func(c *call)

// call is a Call that is being computed: the vectors of its arguments, which
// have n rows or more, and its result.
type call struct {
	n     int
	args  []*row.Vector
	out   *row.Vector
	errs  *row.Errors
	nulls row.Bitmap // an argument is null
	node  *Node
	memo  any // of the kernel, from batch to batch
	tmp   [2]*row.Vector
}

// fail gives row i no value.
func (c *call) fail(i int, err *row.Error) {
	if err != isNull {
		c.errs.Add(i, err)
	}
	c.nulls.Set(i)
}

// isNull is what a function of one row returns to be null without an error.
var isNull = &row.Error{}

// rows calls f for each row without a null, to append a value.
func rows(f func(c *call, i int, dst []byte) ([]byte, *row.Error)) kernel {
	return func(c *call) {
		for i := range c.n {
			if c.nulls.Get(i) {
				c.out.AppendNull()
				continue
			}
			at := len(c.out.Data)
			data, err := f(c, i, c.out.Data)
			if err == nil && len(data)-at > row.ValueBytesMax {
				err = row.Errorf(row.CodeTooLong, "a value has at most %d bytes", row.ValueBytesMax)
			}
			if err != nil {
				c.out.Data = data[:at]
				c.fail(i, err)
				c.out.AppendNull()
				continue
			}
			c.out.Data = data
			c.out.EndValue()
		}
	}
}

// ints calls f for each row without a null, for a value of a fixed type.
func ints(f func(c *call, i int) (int64, *row.Error)) kernel {
	return func(c *call) {
		for i := range c.n {
			if c.nulls.Get(i) {
				continue
			}
			x, err := f(c, i)
			if err != nil {
				c.fail(i, err)
				continue
			}
			c.out.I[i] = x
		}
	}
}

// program is a compiled node.
type program struct {
	node *Node
	args []*program
	vals []*row.Vector // where the arguments' values are, for one Eval
	mine []row.Vector  // memory for them
	errs []row.Errors  // of each argument, where they may be dropped
	bad  row.Bitmap
	call call
	// constant holds a Const's value repeated, as often as was needed so far.
	constant row.Vector
}

// Compile makes a node ready to be computed. Outer references and parameters
// must be gone.
func Compile(n *Node) row.Expr { return &root{p: compile(n)} }

func compile(n *Node) *program {
	p := &program{node: n, vals: make([]*row.Vector, len(n.Args)), mine: make([]row.Vector, len(n.Args)), errs: make([]row.Errors, len(n.Args))}
	for _, a := range n.Args {
		p.args = append(p.args, compile(a))
	}
	p.call.node = n
	if n.Op == Const {
		p.constant.Reset(typed(n.Type))
	}
	return p
}

// typed is a type that a vector can have: NULL without a type is a text.
func typed(t row.Type) row.Type {
	if Unknown(t) {
		return row.Of(row.Text)
	}
	return t
}

// root is a program as others see it: at most one error a row, in their order.
type root struct {
	p     *program
	local row.Errors
	bad   row.Bitmap
}

func (r *root) Type() row.Type { return typed(r.p.node.Type) }

func (r *root) Eval(in *row.Batch, out *row.Vector, errs *row.Errors) {
	r.local.Reset()
	if v := r.p.run(in, out, &r.local); v != out {
		out.Reset(r.Type())
		out.AppendRange(v, 0, in.N)
	}
	if !r.local.Any() {
		return
	}
	slices.SortStableFunc(r.local.List, func(a, b row.RowError) int { return cmp.Compare(a.Row, b.Row) })
	last := int32(-1)
	for _, e := range r.local.List {
		if e.Row != last {
			errs.List = append(errs.List, e)
			r.bad.Set(int(e.Row))
		}
		last = e.Row
	}
	r.bad = nullify(out, r.bad)
}

// nullify gives no value to the rows that are set in bad, which it empties.
func nullify(out *row.Vector, bad row.Bitmap) row.Bitmap {
	n := out.Len()
	if out.Type.Fixed() {
		for i := range n {
			if bad.Get(i) {
				out.SetNull(i)
			}
		}
		return bad[:0]
	}
	t := row.NewVector(out.Type)
	for i := range n {
		if bad.Get(i) {
			t.AppendNull()
		} else {
			t.AppendRow(out, i)
		}
	}
	*out = *t
	return bad[:0]
}

// run computes the node. The result is out, or a vector that belongs to the
// batch or the program and has at least as many rows.
func (p *program) run(in *row.Batch, out *row.Vector, errs *row.Errors) *row.Vector {
	n := p.node
	switch n.Op {
	case Column:
		return in.Cols[n.Index]
	case Const:
		if have := p.constant.Len(); have < in.N {
			if have == 0 {
				v := n.Value
				v.Type = p.constant.Type
				p.constant.AppendValue(v)
				have = 1
			}
			p.constant.AppendRepeat(&p.constant, 0, in.N-have)
		}
		return &p.constant
	case Call:
		p.strict(in, out, errs)
		return out
	case And, Or, Case, Coalesce:
		p.guarded(in, out, errs)
		return out
	}
	for i, a := range p.args {
		p.vals[i] = a.run(in, &p.mine[i], errs)
	}
	out.Reset(typed(n.Type))
	p.special(in.N, out, errs)
	return out
}

// strict computes a Call.
func (p *program) strict(in *row.Batch, out *row.Vector, errs *row.Errors) {
	c := &p.call
	c.nulls = c.nulls[:0]
	for i, a := range p.args {
		v := a.run(in, &p.mine[i], errs)
		p.vals[i] = v
		for len(c.nulls) < len(v.Nulls) {
			c.nulls = append(c.nulls, 0)
		}
		for w, bits := range v.Nulls {
			c.nulls[w] |= bits
		}
	}
	if extra := (in.N + 63) / 64; len(c.nulls) > extra { // a constant's, beyond the batch
		c.nulls = c.nulls[:extra]
	}
	if r := uint(in.N) & 63; r != 0 && len(c.nulls) == (in.N+63)/64 {
		c.nulls[len(c.nulls)-1] &= 1<<r - 1
	}
	c.n, c.args, c.out, c.errs = in.N, p.vals, out, errs
	out.Reset(typed(p.node.Type))
	if !out.Type.Fixed() {
		p.node.Func.kernel(c)
		return
	}
	out.Resize(in.N)
	clear(out.I)
	p.node.Func.kernel(c)
	if c.nulls.Any() {
		out.Nulls = append(out.Nulls, c.nulls...)
		for i := range in.N {
			if c.nulls.Get(i) {
				out.I[i] = 0
			}
		}
	}
}

// guarded computes all arguments, and takes the errors of those rows for which
// the argument was wanted.
func (p *program) guarded(in *row.Batch, out *row.Vector, errs *row.Errors) {
	failed := false
	for i, a := range p.args {
		p.errs[i].Reset()
		p.vals[i] = a.run(in, &p.mine[i], &p.errs[i])
		failed = failed || p.errs[i].Any()
	}
	out.Reset(typed(p.node.Type))
	switch p.node.Op {
	case And:
		p.logic(in.N, out, 0)
	case Or:
		p.logic(in.N, out, 1)
	case Case:
		p.choose(in.N, out)
	case Coalesce:
		p.firstOf(in.N, out)
	}
	if !failed {
		return
	}
	for i := range p.args {
		for _, e := range p.errs[i].List {
			if !p.bad.Get(int(e.Row)) && p.wanted(int(e.Row), i) {
				p.bad.Set(int(e.Row))
				errs.List = append(errs.List, e)
			}
		}
	}
	p.bad = nullify(out, p.bad) // whatever was computed for them
}

// truth of a row of a boolean column: 0 false, 1 true, 2 unknown.
func truth(v *row.Vector, i int) int {
	if v.Nulls.Get(i) {
		return 2
	}
	return int(v.I[i])
}

// wanted reports whether argument k is computed for row i, given those before.
func (p *program) wanted(i, k int) bool {
	switch p.node.Op {
	case And, Or:
		decisive := 0
		if p.node.Op == Or {
			decisive = 1
		}
		for _, v := range p.vals[:k] {
			if truth(v, i) == decisive {
				return false
			}
		}
		return true
	case Coalesce:
		for _, v := range p.vals[:k] {
			if !v.Nulls.Get(i) {
				return false
			}
		}
		return true
	}
	last := len(p.vals) - 1
	for j := 0; j < last; j += 2 { // Case
		if j == k {
			return true
		}
		if truth(p.vals[j], i) == 1 {
			return k == j+1
		}
	}
	return k == last
}

// logic is AND (decisive 0) and OR (decisive 1).
func (p *program) logic(n int, out *row.Vector, decisive int64) {
	out.Resize(n)
	for i := range out.I {
		out.I[i] = 1 - decisive
	}
	unknown := false
	for _, v := range p.vals {
		unknown = unknown || len(v.Nulls) > 0
		in := v.I[:n]
		for i, x := range in {
			if x == decisive && !v.Nulls.Get(i) {
				out.I[i] = decisive
			}
		}
	}
	if !unknown {
		return
	}
	for i := range n {
		if out.I[i] == decisive {
			continue
		}
		for _, v := range p.vals {
			if v.Nulls.Get(i) {
				out.SetNull(i)
				break
			}
		}
	}
}

// choose is CASE.
func (p *program) choose(n int, out *row.Vector) {
	last := len(p.vals) - 1
	for i := range n {
		k := last
		for j := 0; j < last; j += 2 {
			if truth(p.vals[j], i) == 1 {
				k = j + 1
				break
			}
		}
		out.AppendRow(p.vals[k], i)
	}
}

func (p *program) firstOf(n int, out *row.Vector) {
	last := len(p.vals) - 1
	for i := range n {
		k := 0
		for k < last && p.vals[k].Nulls.Get(i) {
			k++
		}
		out.AppendRow(p.vals[k], i)
	}
}

// special computes what is neither strict nor guarded.
func (p *program) special(n int, out *row.Vector, errs *row.Errors) {
	a := p.vals
	switch p.node.Op {
	case Not:
		out.Resize(n)
		for i, x := range a[0].I[:n] {
			out.I[i] = 1 - x
		}
		for i := range n {
			if a[0].Nulls.Get(i) {
				out.SetNull(i)
			}
		}
	case IsNull:
		out.Resize(n)
		for i := range n {
			out.I[i] = bit(a[0].Nulls.Get(i))
		}
	case IsTrue, IsFalse:
		want := int(bit(p.node.Op == IsTrue))
		out.Resize(n)
		for i := range n {
			out.I[i] = bit(truth(a[0], i) == want)
		}
	case IsDistinct:
		out.Resize(n)
		for i := range n {
			out.I[i] = bit(a[0].Nulls.Get(i) != a[1].Nulls.Get(i) || !a[0].Nulls.Get(i) && compareRow(a[0], i, a[1], i) != 0)
		}
	case NullIf:
		for i := range n {
			if truth(a[1], i) == 1 {
				out.AppendNull()
			} else {
				out.AppendRow(a[0], i)
			}
		}
	case Extreme:
		for i := range n {
			best := -1
			for k, v := range a {
				if v.Nulls.Get(i) {
					continue
				}
				if best < 0 || compareRow(v, i, a[best], i) != 0 && (compareRow(v, i, a[best], i) > 0) == (p.node.Index == 1) {
					best = k
				}
			}
			if best < 0 {
				out.AppendNull()
			} else {
				out.AppendRow(a[best], i)
			}
		}
	case MakeArray:
		p.makeArray(n, out, errs)
	case AnyArray:
		p.anyArray(n, out, errs)
	default:
		panic("expr: cannot compute " + p.node.String())
	}
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Fold computes a node of constants. A node that fails stays as it is: whether
// it is ever computed is not known here.
func Fold(n *Node) *Node {
	return n.Map(func(n *Node) *Node {
		if n.Op == Const || n.Op == Column || n.Op == Outer || n.Op == Param || n.Func != nil && n.Func.volatile {
			return n
		}
		if s := simplify(n); s != n {
			return s
		}
		for _, a := range n.Args {
			if !a.IsConst() {
				return n
			}
		}
		out, errs := row.Vector{}, row.Errors{}
		Compile(n).Eval(&row.Batch{N: 1}, &out, &errs)
		if errs.Any() {
			return n
		}
		v := out.Value(0)
		v.Type, v.B = n.Type, slices.Clone(v.B)
		return Constant(v, n.Pos)
	})
}

// simplify drops arguments of AND and OR that decide nothing, and cuts those
// after one that decides.
func simplify(n *Node) *Node {
	if n.Op != And && n.Op != Or {
		return n
	}
	decisive := bit(n.Op == Or)
	var keep []*Node
	for _, a := range n.Args {
		if a.IsConst() && !a.Value.IsNull {
			if a.Value.I != decisive {
				continue
			}
			if len(keep) == 0 {
				return a
			}
			keep = append(keep, a)
			break
		}
		keep = append(keep, a)
	}
	switch {
	case len(keep) == 0:
		return Constant(row.Value{Type: n.Type, I: 1 - decisive}, n.Pos)
	case len(keep) == 1:
		return keep[0]
	case len(keep) == len(n.Args):
		return n
	}
	c := *n
	c.Args = keep
	return &c
}

// Total reports whether a function never fails.
func (f *Func) Total() bool {
	if _, ok := comparisons[f.Name]; ok {
		return true
	}
	if f.cast && len(f.args) == 1 {
		from, to := f.args[0].Kind, f.ret.Kind
		return to == row.Text || to == row.Bool && from == row.Int4 || from == row.Bool ||
			numberRank(from) > 0 && numberRank(from) < numberRank(to) && numberRank(to) <= 4
	}
	switch f.Name {
	case "length", "char_length", "octet_length", "upper", "lower", "btrim", "ltrim", "rtrim", "strpos", "position", "starts_with", "left", "right", "->", "->>":
		return true
	}
	return false
}
