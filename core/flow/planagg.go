package flow

import (
	"fmt"
	"slices"

	"actordb/core/row"
	"actordb/core/zset"
)

// Aggregate is GROUP BY: the key's columns, then one for each aggregate.
// Without key and with Scalar it gives one row for no rows, too.
type Aggregate struct {
	Key    []int
	Scalar bool
	Aggs   []Agg
	Expire Expiry // of Key
}

// Aggregate adds an aggregate. Arguments are columns: compute them before.
func (p *Plan) Aggregate(in Node, spec Aggregate) Node {
	if !p.columns("aggregate", in, spec.Key) {
		return -1
	}
	if spec.Scalar && len(spec.Key) > 0 {
		return p.fail("aggregate: with a key no row stands for no rows")
	}
	in, l, ok := p.expiry(in, spec.Key, spec.Expire)
	if !ok {
		return -1
	}
	l.col = spec.Expire.Col - 1 // where the key is by itself
	b := aggBuilder{p: p, in: in, spec: spec, lapse: l, ports: []aggPort{{key: spec.Key}}, inputs: []Node{in}}
	for _, k := range spec.Key {
		b.keyTypes = append(b.keyTypes, p.Types(in)[k])
	}
	types := slices.Clone(b.keyTypes)
	for _, a := range spec.Aggs {
		t := b.add(a)
		if p.err != nil {
			return -1
		}
		types = append(types, t)
	}
	n := p.add(fmt.Sprint("aggregate ", spec.Key, spec.Aggs, spec.Expire), types, b.inputs, func(k core, ops []op) op {
		accs := make([]acc, len(b.accs))
		for i, a := range b.accs {
			accs[i] = newAcc(a.agg, a.arg, a.out)
		}
		o := &aggregate{core: k, ports: b.ports, columns: b.columns, scalar: spec.Scalar, lapse: l, t: newTable(b.keyTypes, accs)}
		for i, x := range b.ordered {
			y := x
			y.in = arranged(ops, b.reads[i])
			o.ordered = append(o.ordered, &y)
		}
		return o
	})
	if spec.Expire.Col > 0 {
		return p.expired(n, in)
	}
	return n
}

// aggBuilder gathers what the aggregates of one node need.
type aggBuilder struct {
	p        *Plan
	in       Node
	spec     Aggregate
	lapse    lapse
	keyTypes []row.Type

	ports   []aggPort
	inputs  []Node
	accs    []acc
	columns []aggColumn
	ordered []orderedAgg
	reads   []Node
}

func (b *aggBuilder) add(a Agg) row.Type {
	p, in := b.p, b.in
	var arg row.Type
	if a.Kind != CountRows {
		if !p.columns("aggregate", in, []int{a.Arg}) {
			return row.Type{}
		}
		arg = p.Types(in)[a.Arg]
	} else if a.Distinct {
		p.fail("aggregate: count(distinct *) has no meaning")
		return row.Type{}
	}
	if a.Filter > 0 && (!p.columns("aggregate", in, []int{a.Filter - 1}) || p.Types(in)[a.Filter-1] != row.Of(row.Bool)) {
		p.fail("aggregate: FILTER is a boolean column")
		return row.Type{}
	}
	out, err := aggType(a.Kind, arg)
	if err != nil {
		if p.err == nil {
			p.err = err
		}
		return row.Type{}
	}
	if a.Kind == Min || a.Kind == Max || a.Kind == BoolAnd || a.Kind == BoolOr {
		a.Distinct = false // it makes no difference
	}
	switch {
	case a.Kind.ordered():
		b.addOrdered(a, arg, out)
	case a.Distinct:
		// The values of each key, each once, are a relation of their own.
		values := p.distinctTimed(b.argument(a, nil), b.lapse)
		k := len(b.spec.Key)
		b.ports = append(b.ports, aggPort{key: upTo(k), accs: []int{len(b.accs)}})
		b.inputs = append(b.inputs, values)
		b.columns = append(b.columns, aggColumn{len(b.accs), -1})
		b.accs = append(b.accs, acc{agg: Agg{Kind: a.Kind, Arg: k}, arg: arg, out: out})
	default:
		b.ports[0].accs = append(b.ports[0].accs, len(b.accs))
		b.columns = append(b.columns, aggColumn{len(b.accs), -1})
		b.accs = append(b.accs, acc{agg: a, arg: arg, out: out})
	}
	return out
}

// argument is the relation of (key, order columns, argument), of the rows that
// the aggregate looks at.
func (b *aggBuilder) argument(a Agg, order []row.Sort) Node {
	in := b.in
	if a.Filter > 0 {
		in = b.p.Filter(in, row.Col{Index: a.Filter - 1, Of: row.Of(row.Bool)})
	}
	if a.Kind != ArrayAgg {
		in = b.p.Filter(in, nullTest{a.Arg, false})
	}
	cols := slices.Clone(b.spec.Key)
	for _, s := range order {
		cols = append(cols, s.Col)
	}
	return b.p.pick(in, append(cols, a.Arg))
}

func (b *aggBuilder) addOrdered(a Agg, arg, out row.Type) {
	p, k := b.p, len(b.spec.Key)
	if !p.sortColumns("aggregate", b.in, a.Order) {
		return
	}
	var order []row.Sort
	var sorts []row.Sort
	switch a.Kind {
	case Min, Max:
		sorts = []row.Sort{{Col: k, Desc: a.Kind == Max}}
	default:
		if a.Distinct && len(a.Order) > 0 && (len(a.Order) > 1 || a.Order[0].Col != a.Arg) {
			p.fail("aggregate: with DISTINCT only the argument can be in ORDER BY")
			return
		}
		if a.Kind == StringAgg && !a.Delimiter.IsNull && a.Delimiter.Type != arg {
			p.fail("string_agg: the delimiter is of type %s, the argument of %s", a.Delimiter.Type, arg)
			return
		}
		order = a.Order
		for i, s := range order {
			sorts = append(sorts, row.Sort{Col: k + i, Desc: s.Desc, NullsFirst: s.NullsFirst})
		}
	}
	values := b.argument(a, order)
	if a.Distinct {
		values = p.distinctTimed(values, b.lapse)
	}
	from := p.arrangeTimed(values, zset.Order{Key: upTo(k), Sorts: sorts}, b.lapse)
	b.columns = append(b.columns, aggColumn{-1, len(b.ordered)})
	b.ordered = append(b.ordered, orderedAgg{agg: a, arg: k + len(order), out: out})
	b.reads = append(b.reads, from)
}

// Window adds functions of a row's partition, as columns.
type Window struct {
	Partition []int
	Sorts     []row.Sort
	Funcs     []WindowFunc
	Expire    Expiry // of Partition, unless Session
	// Session makes Expire one of the first column of Sorts (its Col is 1), for
	// sessions with this gap: one is over as a whole when no row that is not late can
	// be a part of it, so a gap after Expire.After has passed since it ended.
	Session int64
}

// Window adds a window: the input's columns, then one for each function.
func (p *Plan) Window(in Node, spec Window) Node {
	if !p.sortColumns("window", in, spec.Sorts) {
		return -1
	}
	var types []row.Type
	var accs []acc
	for i := range spec.Funcs {
		f := &spec.Funcs[i]
		t, a, err := p.windowFunc(in, spec, f)
		if err != nil {
			if p.err == nil {
				p.err = err
			}
			return -1
		}
		types, accs = append(types, t), append(accs, a)
	}
	key := spec.Partition
	if spec.Session > 0 && len(spec.Sorts) > 0 {
		key = []int{spec.Sorts[0].Col}
	}
	from, l, ok := p.expiry(in, key, spec.Expire)
	if !ok {
		return -1
	}
	if l.gap = spec.Session; l.gap > 0 {
		l.after += l.gap
	}
	a := p.arrangeTimed(from, zset.Order{Key: spec.Partition, Sorts: spec.Sorts}, l)
	all := append(slices.Clone(p.Types(in)), types...)
	inTypes := p.Types(in)
	n := p.reads(fmt.Sprint("window ", spec), all, func(k core, ops []op) op {
		o := &window{core: k, in: arranged(ops, a), sorts: spec.Sorts, funcs: spec.Funcs, types: types, both: zset.NewBatch(all)}
		for _, x := range accs {
			o.accs = append(o.accs, newAcc(x.agg, x.arg, x.out))
		}
		for i := range o.parts {
			o.parts[i], o.added[i] = row.NewBatch(inTypes), row.NewBatch(types)
		}
		return o
	}, a)
	if spec.Expire.Col > 0 {
		return p.expired(n, from)
	}
	return n
}

// windowFunc checks a window function and returns its type.
func (p *Plan) windowFunc(in Node, spec Window, f *WindowFunc) (row.Type, acc, *row.Error) {
	refuse := func(format string, args ...any) (row.Type, acc, *row.Error) {
		return row.Type{}, acc{}, row.Errorf(row.CodeNotSupported, format, args...)
	}
	types := p.Types(in)
	needsArg := f.Kind == Lag || f.Kind == Lead || f.Kind == FirstValue || f.Kind == LastValue || f.Kind == NthValue || f.Kind == WindowAgg && f.Agg != CountRows
	var arg row.Type
	if needsArg {
		if !p.columns("window", in, []int{f.Arg}) {
			return refuse("window: no column %d", f.Arg)
		}
		arg = types[f.Arg]
	}
	for _, b := range [2]Bound{f.Frame.Start, f.Frame.End} {
		if b.Offset < 0 {
			return row.Type{}, acc{}, row.Errorf("22013", "frame offset must not be negative")
		}
		if f.Frame.Mode == Range && (b.Kind == Preceding || b.Kind == Following) {
			if len(spec.Sorts) != 1 {
				return refuse("RANGE with an offset needs exactly one ORDER BY column")
			}
			if t := types[spec.Sorts[0].Col]; !t.Fixed() || t.Kind == row.Float4 || t.Kind == row.Float8 || t.Kind == row.Bool {
				return refuse("RANGE with an offset over a column of type %s", t)
			}
		}
	}
	if f.Frame.Mode == Groups && len(spec.Sorts) == 0 {
		return refuse("GROUPS needs an ORDER BY")
	}
	switch f.Kind {
	case RowNumber, Rank, DenseRank:
		return row.Of(row.Int8), acc{}, nil
	case Ntile:
		if f.Offset < 1 {
			return row.Type{}, acc{}, row.Errorf("22014", "argument of ntile must be greater than zero")
		}
		return row.Of(row.Int4), acc{}, nil
	case NthValue:
		if f.Offset < 1 {
			return row.Type{}, acc{}, row.Errorf("22016", "argument of nth_value must be greater than zero")
		}
		return arg, acc{}, nil
	case Lag, Lead, FirstValue, LastValue:
		return arg, acc{}, nil
	case SessionStart, SessionEnd:
		if len(spec.Sorts) == 0 || spec.Sorts[0].Desc || !types[spec.Sorts[0].Col].Fixed() || f.Offset < 0 {
			return refuse("a session window is ordered by time, ascending, and has a gap that is not negative")
		}
		return types[spec.Sorts[0].Col], acc{}, nil
	}
	if f.Agg == ArrayAgg || f.Agg == StringAgg {
		return refuse("array_agg and string_agg over a window")
	}
	out, err := aggType(f.Agg, arg)
	if err != nil {
		return row.Type{}, acc{}, err
	}
	return out, acc{agg: Agg{Kind: f.Agg, Arg: f.Arg}, arg: arg, out: out}, nil
}
