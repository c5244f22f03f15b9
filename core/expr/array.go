package expr

import (
	"bytes"
	"slices"

	"actordb/core/row"
)

// makeArray is ARRAY[…].
func (p *program) makeArray(n int, out *row.Vector, errs *row.Errors) {
	elems := p.call.scratch(0, row.Of(p.node.Type.Elem))
	for i := range n {
		elems.Reset(elems.Type)
		for _, v := range p.vals {
			elems.AppendRow(v, i)
		}
		appendArray(out, elems, i, errs)
	}
}

// appendArray adds all of elems as one array.
func appendArray(out, elems *row.Vector, i int, errs *row.Errors) {
	data, err := row.AppendArray(out.Data, elems, 0, elems.Len())
	if err != nil {
		errs.Add(i, asError(err))
		out.AppendNull()
		return
	}
	out.Data = data
	out.EndValue()
}

// anyArray is x op ANY (array) and ALL: three-valued, over the elements.
func (p *program) anyArray(n int, out *row.Vector, errs *row.Errors) {
	x, array := p.vals[0], p.vals[1]
	if p.inConstants(n, out) {
		return
	}
	table := comparisons[p.node.Func.Name]
	elems := p.call.scratch(0, row.Of(array.Type.Elem))
	decisive := int64(1) // of ANY; of ALL it is 0
	if p.node.Index == 1 {
		decisive = 0
	}
	for i := range n {
		if array.Nulls.Get(i) {
			out.AppendNull()
			continue
		}
		elems.Reset(elems.Type)
		if err := row.DecodeArray(array.Bytes(i), elems); err != nil {
			errs.Add(i, asError(err))
			out.AppendNull()
			continue
		}
		found, unknown := false, x.Nulls.Get(i) && elems.Len() > 0
		for k := 0; k < elems.Len() && !found && !x.Nulls.Get(i); k++ {
			if elems.Nulls.Get(k) {
				unknown = true
				continue
			}
			found = table[compareRow(x, i, elems, k)+1] == decisive
		}
		switch {
		case found:
			out.AppendInt(decisive)
		case unknown:
			out.AppendNull()
		default:
			out.AppendInt(1 - decisive)
		}
	}
}

// A constantSet is a constant array, sorted, to look values up.
type constantSet struct {
	ints    []int64
	elems   *row.Vector
	order   []int32 // of elems, those that are not null
	unknown bool    // there is a null
}

// inConstants is x = ANY of a constant array: what a list of constants after IN
// becomes. It is false if the node is something else.
func (p *program) inConstants(n int, out *row.Vector) bool {
	c := p.node.Args[1]
	if c.Op != Const || c.Value.IsNull || p.node.Func.Name != "=" || p.node.Index == 1 || c.Type.Elem == row.Interval {
		return false
	}
	set, ok := p.call.memo.(*constantSet)
	if !ok {
		set = &constantSet{elems: row.NewVector(row.Of(c.Type.Elem))}
		if row.DecodeArray(c.Value.B, set.elems) != nil {
			return false
		}
		for i := range set.elems.Len() {
			switch {
			case set.elems.Nulls.Get(i):
				set.unknown = true
			case set.elems.Type.Fixed():
				set.ints = append(set.ints, set.elems.I[i])
			default:
				set.order = append(set.order, int32(i))
			}
		}
		slices.Sort(set.ints)
		slices.SortFunc(set.order, func(a, b int32) int { return row.Compare(set.elems, int(a), set.elems, int(b)) })
		p.call.memo = set
	}
	x := p.vals[0]
	empty := set.elems.Len() == 0
	for i := range n {
		found := false
		switch {
		case x.Nulls.Get(i):
		case set.elems.Type.Fixed():
			_, found = slices.BinarySearch(set.ints, x.I[i])
		default:
			_, found = slices.BinarySearchFunc(set.order, i, func(k int32, i int) int { return row.Compare(set.elems, int(k), x, i) })
		}
		switch {
		case found:
			out.AppendInt(1)
		case !empty && (set.unknown || x.Nulls.Get(i)):
			out.AppendNull()
		default:
			out.AppendInt(0)
		}
	}
	return true
}

// elements decodes an array argument into scratch k.
func (c *call) elements(arg, i, k int) (*row.Vector, *row.Error) {
	elems := c.scratch(k, row.Of(c.args[arg].Type.Elem))
	return elems, asError(row.DecodeArray(c.args[arg].Bytes(i), elems))
}

// subscript is array[i], from 1.
func subscript(c *call) {
	fixed := c.out.Type.Fixed()
	for i := range c.n {
		if c.nulls.Get(i) {
			if !fixed {
				c.out.AppendNull()
			}
			continue
		}
		elems, err := c.elements(0, i, 0)
		k := c.args[1].I[i] - 1
		switch {
		case err != nil:
			c.fail(i, err)
		case k < 0 || k >= int64(elems.Len()) || elems.Nulls.Get(int(k)):
			c.fail(i, isNull)
		case fixed:
			c.out.I[i] = elems.I[k]
		default:
			c.out.AppendRow(elems, int(k))
			continue
		}
		if !fixed {
			c.out.AppendNull()
		}
	}
}

var cardinality = ints(func(c *call, i int) (int64, *row.Error) {
	elems, err := c.elements(0, i, 0)
	return int64(elems.Len()), err
})

var arrayLength = ints(func(c *call, i int) (int64, *row.Error) {
	elems, err := c.elements(0, i, 0)
	if err == nil && (elems.Len() == 0 || c.args[1].I[i] != 1) {
		err = isNull
	}
	return int64(elems.Len()), err
})

var arrayLower = ints(func(c *call, i int) (int64, *row.Error) {
	elems, err := c.elements(0, i, 0)
	if err == nil && (elems.Len() == 0 || c.args[1].I[i] != 1) {
		err = isNull
	}
	return 1, err
})

// noDelimiter stands for a delimiter that is null: no text holds it.
const noDelimiter = 0

// stringToArray splits a text at each delimiter. An empty one leaves it whole.
var stringToArray = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	s, by := c.args[0].Bytes(i), c.args[1].Bytes(i)
	parts := [][]byte{s}
	switch {
	case len(s) == 0:
		parts = nil
	case len(by) == 1 && by[0] == noDelimiter:
		parts = bytes.Split(s, nil)
	case len(by) > 0:
		parts = bytes.Split(s, by)
	}
	elems := c.scratch(0, row.Of(row.Text))
	for _, p := range parts {
		elems.AppendBytes(p)
	}
	dst, err := row.AppendArray(dst, elems, 0, elems.Len())
	if err != nil {
		return dst, asError(err)
	}
	return dst, nil
})

// arrayConcat appends arrays; elements are arrays of one by then.
var arrayConcat = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	elems, err := c.elements(0, i, 0)
	if err != nil {
		return dst, err
	}
	if e := row.DecodeArray(c.args[1].Bytes(i), elems); e != nil {
		return dst, asError(e)
	}
	out, e := row.AppendArray(dst, elems, 0, elems.Len())
	return out, asError(e)
})

// arrayToString joins the texts of the elements that are not null.
var arrayToString = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	elems, err := c.elements(0, i, 0)
	if err != nil {
		return dst, err
	}
	first := true
	for k := range elems.Len() {
		if elems.Nulls.Get(k) && len(c.args) < 3 {
			continue
		}
		if !first {
			dst = append(dst, c.args[1].Bytes(i)...)
		}
		first = false
		if elems.Nulls.Get(k) {
			dst = append(dst, c.args[2].Bytes(i)...)
		} else {
			dst = elems.AppendText(dst, k)
		}
	}
	return dst, nil
})

// castArray casts the elements.
func castArray(elem kernel, to row.Type) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		elems, err := c.elements(0, i, 0)
		if err != nil {
			return dst, err
		}
		out := c.scratch(1, row.Of(to.Elem))
		inner := call{n: elems.Len(), args: []*row.Vector{elems}, out: out, errs: &row.Errors{}, nulls: append(row.Bitmap(nil), elems.Nulls...), node: c.node}
		if out.Type.Fixed() {
			out.Resize(inner.n)
		}
		elem(&inner)
		if inner.errs.Any() {
			return dst, inner.errs.List[0].Err
		}
		if out.Type.Fixed() {
			for k := range inner.n {
				if inner.nulls.Get(k) {
					out.SetNull(k)
				}
			}
		}
		data, e := row.AppendArray(dst, out, 0, out.Len())
		return data, asError(e)
	})
}
