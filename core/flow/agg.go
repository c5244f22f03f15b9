package flow

import (
	"math/big"

	"actordb/core/row"
	"actordb/core/zset"
)

// AggKind is what an aggregate computes of the rows of a group.
type AggKind uint8

const (
	CountRows AggKind = iota // count(*)
	Count                    // of the values that are not null
	SumOf
	Avg
	Min
	Max
	BoolAnd
	BoolOr
	ArrayAgg
	StringAgg
)

// An Agg is one aggregate. What it leaves open is 0.
type Agg struct {
	Kind      AggKind
	Arg       int // column, of all kinds but CountRows
	Filter    int // column of booleans, plus 1; 0: all rows count
	Distinct  bool
	Order     []row.Sort // of ArrayAgg and StringAgg; ties by the whole row
	Delimiter row.Value  // of StringAgg
}

// ordered reports whether the kind needs the rows of a group in order.
func (k AggKind) ordered() bool {
	return k == Min || k == Max || k == ArrayAgg || k == StringAgg
}

// aggType is the type of an aggregate's result, as in PostgreSQL.
func aggType(k AggKind, arg row.Type) (row.Type, *row.Error) {
	number := arg.Kind >= row.Int2 && arg.Kind <= row.Numeric
	switch {
	case k == CountRows || k == Count:
		return row.Of(row.Int8), nil
	case k == SumOf && (arg.Kind == row.Int2 || arg.Kind == row.Int4):
		return row.Of(row.Int8), nil
	case k == SumOf && arg.Kind == row.Int8:
		return row.Of(row.Numeric), nil
	case k == SumOf && number:
		return arg, nil
	case k == Avg && (arg.Kind == row.Float4 || arg.Kind == row.Float8):
		return row.Of(row.Float8), nil
	case k == Avg && number:
		return row.Of(row.Numeric), nil
	case k == Min || k == Max:
		return arg, nil
	case (k == BoolAnd || k == BoolOr) && arg.Kind == row.Bool:
		return arg, nil
	case k == ArrayAgg && arg.Kind != row.Array:
		return row.ArrayOf(arg.Kind), nil
	case k == StringAgg && (arg.Kind == row.Text || arg.Kind == row.Bytea):
		return arg, nil
	}
	return row.Type{}, row.Errorf(row.CodeNotSupported, "no such aggregate of type %s", arg)
}

// accKind is how a linear aggregate is added up.
type accKind uint8

const (
	accCount accKind = iota
	accInt
	accNum
	accFloat
	accBool
)

// acc holds one linear aggregate of every group. Of the columns only those of
// its kind are used.
type acc struct {
	agg  Agg
	arg  row.Type
	out  row.Type
	kind accKind
	n    []int64 // rows that count
	sum  []wide  // accInt; accBool: how many are true
	num  []numSum
	flt  []floatSum
}

func newAcc(a Agg, arg, out row.Type) acc {
	c := acc{agg: a, arg: arg, out: out}
	switch {
	case a.Kind == CountRows || a.Kind == Count:
	case a.Kind == BoolAnd || a.Kind == BoolOr:
		c.kind = accBool
	case arg.Kind == row.Numeric:
		c.kind = accNum
	case arg.Kind == row.Float4 || arg.Kind == row.Float8:
		c.kind = accFloat
	default:
		c.kind = accInt
	}
	return c
}

// grow adds an empty group.
func (c *acc) grow() {
	c.n = append(c.n, 0)
	switch c.kind {
	case accInt, accBool:
		c.sum = append(c.sum, wide{})
	case accNum:
		c.num = append(c.num, numSum{})
	case accFloat:
		c.flt = append(c.flt, floatSum{})
	}
}

// clear makes group g empty.
func (c *acc) clear(g int) {
	c.n[g] = 0
	switch c.kind {
	case accInt, accBool:
		c.sum[g] = wide{}
	case accNum:
		c.num[g] = numSum{}
	case accFloat:
		c.flt[g] = floatSum{}
	}
}

// reset drops all groups.
func (c *acc) reset() {
	clear(c.num)
	clear(c.flt)
	c.n, c.sum, c.num, c.flt = c.n[:0], c.sum[:0], c.num[:0], c.flt[:0]
}

// save appends a copy of group g to d.
func (c *acc) save(d *acc, g int) {
	d.n = append(d.n, c.n[g])
	switch c.kind {
	case accInt, accBool:
		d.sum = append(d.sum, c.sum[g])
	case accNum:
		s := c.num[g]
		if s.big != nil {
			s.big = new(big.Int).Set(s.big)
		}
		d.num = append(d.num, s)
	case accFloat:
		s := c.flt[g]
		n := len(d.flt)
		if n < cap(d.flt) {
			d.flt = d.flt[:n+1]
		} else {
			d.flt = append(d.flt, floatSum{})
		}
		to := &d.flt[n]
		to.specials = s.specials
		if s.sum == nil {
			to.sum = nil
			return
		}
		if to.sum == nil { // of an earlier step there may be memory
			to.sum = new(big.Int)
		}
		to.sum.Set(s.sum)
	}
}

// truncate drops all groups and keeps the memory of their sums for save.
func (c *acc) truncate() {
	c.n, c.sum, c.num, c.flt = c.n[:0], c.sum[:0], c.num[:0], c.flt[:0]
}

// same reports whether group g is what was saved in place i of d.
func (c *acc) same(d *acc, g, i int) bool {
	if c.n[g] != d.n[i] {
		return false
	}
	switch c.kind {
	case accInt, accBool:
		return c.sum[g] == d.sum[i]
	case accNum, accFloat:
		return false
	}
	return true
}

// add adds the rows of a batch to their groups.
func (c *acc) add(in *zset.Batch, groups []int32, scratch *floatScratch) error {
	var f *row.Vector
	if c.agg.Filter > 0 {
		f = in.Cols[c.agg.Filter-1]
	}
	if c.agg.Kind == CountRows {
		for i, g := range groups {
			if f == nil || f.I[i] != 0 {
				if err := c.count(g, in.W[i]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	v := in.Cols[c.agg.Arg]
	plain := f == nil && len(v.Nulls) == 0
	switch {
	case c.kind == accInt && plain:
		for i, g := range groups {
			if err := c.count(g, in.W[i]); err != nil {
				return err
			}
			if err := c.sum[g].addProduct(v.I[i], in.W[i]); err != nil {
				return err
			}
		}
		return nil
	case c.kind == accCount && plain:
		for i, g := range groups {
			if err := c.count(g, in.W[i]); err != nil {
				return err
			}
		}
		return nil
	}
	for i, g := range groups {
		if f != nil && f.I[i] == 0 || v.Null(i) {
			continue
		}
		if err := c.addOne(v, i, int(g), in.W[i], scratch); err != nil {
			return err
		}
	}
	return nil
}

// count adds w to the number of rows of a group.
func (c *acc) count(g int32, w int64) error {
	n := c.n[g]
	sum := n + w
	if (sum > n) != (w > 0) && w != 0 {
		return zset.ErrWeight
	}
	c.n[g] = sum
	return nil
}

// addOne adds row i of v, which is not null, w times to group g.
func (c *acc) addOne(v *row.Vector, i, g int, w int64, scratch *floatScratch) error {
	if err := c.count(int32(g), w); err != nil {
		return err
	}
	switch c.kind {
	case accInt, accBool:
		return c.sum[g].addProduct(v.I[i], w)
	case accNum:
		return c.num[g].add(v.Bytes(i), w)
	case accFloat:
		c.flt[g].add(v.I[i], w, scratch)
	}
	return nil
}

// result appends the aggregate of group g to v. A result that cannot be had is
// an error of the group, and null.
func (c *acc) result(v *row.Vector, g int) *row.Error {
	n := c.n[g]
	switch c.agg.Kind {
	case CountRows, Count:
		v.AppendInt(n)
		return nil
	}
	if n <= 0 {
		v.AppendNull()
		return nil
	}
	switch c.kind {
	case accBool:
		trues, _ := c.sum[g].small()
		v.AppendBool(trues == n || c.agg.Kind == BoolOr && trues > 0)
		return nil
	case accFloat:
		by := int64(1)
		if c.agg.Kind == Avg {
			by = n
		}
		x, err := c.flt[g].result(by, c.out.Kind == row.Float4)
		if err != nil {
			v.AppendNull()
			return err
		}
		v.AppendInt(x)
		return nil
	case accInt:
		return c.intResult(v, g)
	}
	at := len(v.Data)
	data, err := c.num[g].append(v.Data)
	if err == nil && c.agg.Kind == Avg {
		sum := append([]byte(nil), data[at:]...)
		data, err = row.DivNumeric(data[:at], sum, row.AppendNumericInt(nil, n))
	}
	return endNumeric(v, data, at, err)
}

func endNumeric(v *row.Vector, data []byte, at int, err error) *row.Error {
	if err != nil {
		v.Data = data[:at]
		v.AppendNull()
		if e, ok := err.(*row.Error); ok {
			return e
		}
		return row.Errorf(row.CodeOutOfRange, "%v", err)
	}
	v.Data = data
	v.EndValue()
	return nil
}

// intResult is the sum or the average of integers.
func (c *acc) intResult(v *row.Vector, g int) *row.Error {
	sum, small := c.sum[g].small()
	at := len(v.Data)
	switch {
	case c.out.Kind == row.Int8 && !small:
		v.AppendNull()
		return row.Errorf(row.CodeOutOfRange, "bigint out of range")
	case c.out.Kind == row.Int8:
		v.AppendInt(sum)
		return nil
	case c.agg.Kind == Avg && small:
		data, err := row.AppendQuotient(v.Data, sum, c.n[g])
		return endNumeric(v, data, at, err)
	case c.agg.Kind == Avg:
		total, err := row.AppendNumericBig(nil, c.sum[g].big(), 0)
		if err != nil {
			return endNumeric(v, v.Data, at, err)
		}
		data, err := row.DivNumeric(v.Data, total, row.AppendNumericInt(nil, c.n[g]))
		return endNumeric(v, data, at, err)
	case small:
		v.Data = row.AppendNumericInt(v.Data, sum)
		v.EndValue()
		return nil
	}
	data, err := row.AppendNumericBig(v.Data, c.sum[g].big(), 0)
	return endNumeric(v, data, at, err)
}

// Stored form of a group's accumulator.

func (c *acc) store(dst []byte, g int) []byte {
	dst = appendVarint(dst, c.n[g])
	switch c.kind {
	case accInt, accBool:
		dst = appendWide(dst, c.sum[g])
	case accNum:
		s := &c.num[g]
		dst = appendVarint(dst, int64(s.scale))
		dst = appendWide(dst, s.sum)
		dst = appendBig(dst, s.big)
		dst = appendSpecials(dst, s.specials)
	case accFloat:
		dst = appendBig(dst, c.flt[g].sum)
		dst = appendSpecials(dst, c.flt[g].specials)
	}
	return dst
}

// load reads group g.
func (c *acc) load(r *reader, g int) {
	c.n[g] = r.varint()
	switch c.kind {
	case accInt, accBool:
		c.sum[g] = r.wide()
	case accNum:
		s := numSum{scale: int(r.varint())}
		if s.scale < 0 || s.scale > 2*row.NumericExponentMax {
			s.scale, r.bad = 0, true
		}
		s.sum = r.wide()
		s.big = r.big()
		s.specials = r.specials()
		c.num[g] = s
	case accFloat:
		s := floatSum{sum: r.big()}
		s.specials = r.specials()
		c.flt[g] = s
	}
}
