package row

// A Batch is columns of equal length. N is their length, so that a batch
// without columns has rows, too.
type Batch struct {
	N    int
	Cols []*Vector
}

// NewBatch returns an empty batch.
func NewBatch(types []Type) *Batch {
	b := &Batch{}
	b.Reset(types)
	return b
}

// Reset makes b an empty batch of these types and keeps its memory.
func (b *Batch) Reset(types []Type) {
	b.N = 0
	for len(b.Cols) < len(types) {
		if len(b.Cols) < cap(b.Cols) {
			if b.Cols = b.Cols[:len(b.Cols)+1]; b.Cols[len(b.Cols)-1] != nil {
				continue
			}
			b.Cols[len(b.Cols)-1] = &Vector{}
			continue
		}
		b.Cols = append(b.Cols, &Vector{})
	}
	b.Cols = b.Cols[:len(types)]
	for i, t := range types {
		b.Cols[i].Reset(t)
	}
}

// Clear drops the rows and keeps types and memory.
func (b *Batch) Clear() {
	b.N = 0
	for _, c := range b.Cols {
		c.Reset(c.Type)
	}
}

// Types returns the columns' types.
func (b *Batch) Types() []Type {
	ts := make([]Type, len(b.Cols))
	for i, c := range b.Cols {
		ts[i] = c.Type
	}
	return ts
}

// MemBytes is the memory that b holds on to.
func (b *Batch) MemBytes() int {
	n := 64 * len(b.Cols)
	for _, c := range b.Cols {
		n += c.MemBytes()
	}
	return n
}

// RowBytes is about what row i takes.
func (b *Batch) RowBytes(i int) (n int) {
	for _, c := range b.Cols {
		if n += 8; !c.Type.Fixed() {
			n += int(c.Off[i+1] - c.Off[i])
		}
	}
	return n
}

// AppendRow adds row i of src, which has the same types.
func (b *Batch) AppendRow(src *Batch, i int) {
	for k, c := range b.Cols {
		c.AppendRow(src.Cols[k], i)
	}
	b.N++
}

// AppendRange adds the rows lo to hi, hi not included, of src.
func (b *Batch) AppendRange(src *Batch, lo, hi int) {
	for k, c := range b.Cols {
		c.AppendRange(src.Cols[k], lo, hi)
	}
	b.N += hi - lo
}

// AppendGather adds the rows of src that sel names.
func (b *Batch) AppendGather(src *Batch, sel []int32) {
	for k, c := range b.Cols {
		c.AppendGather(src.Cols[k], sel)
	}
	b.N += len(sel)
}

// AppendValues adds one row of the columns' types.
func (b *Batch) AppendValues(values ...Value) {
	for k, c := range b.Cols {
		c.AppendValue(values[k])
	}
	b.N++
}

// Truncate drops the rows from n on.
func (b *Batch) Truncate(n int) {
	for _, c := range b.Cols {
		c.Truncate(n)
	}
	b.N = n
}

// Pick returns a batch of the columns that cols names. They are shared.
func (b *Batch) Pick(cols []int) *Batch {
	p := &Batch{N: b.N, Cols: make([]*Vector, len(cols))}
	for i, c := range cols {
		p.Cols[i] = b.Cols[c]
	}
	return p
}

// SameRow reports whether row i of a and row j of b agree in all columns.
func SameRow(a *Batch, i int, b *Batch, j int) bool {
	for k, c := range a.Cols {
		if !Same(c, i, b.Cols[k], j) {
			return false
		}
	}
	return true
}

// CompareRows orders two rows by all columns, ascending, nulls last.
func CompareRows(a *Batch, i int, b *Batch, j int) int {
	for k, c := range a.Cols {
		if o := Compare(c, i, b.Cols[k], j); o != 0 {
			return o
		}
	}
	return 0
}

// A Sort is one key of an order. The zero value of its flags is PostgreSQL's
// default: ascending, nulls last.
type Sort struct {
	Col        int
	Desc       bool
	NullsFirst bool // whatever Desc says
}

// CompareBy orders two rows by sorts.
func CompareBy(sorts []Sort, a *Batch, i int, b *Batch, j int) int {
	for _, s := range sorts {
		x, y := a.Cols[s.Col], b.Cols[s.Col]
		if xn, yn := x.Nulls.Get(i), y.Nulls.Get(j); xn || yn {
			if xn == yn {
				continue
			}
			if xn == s.NullsFirst {
				return -1
			}
			return 1
		}
		if o := Compare(x, i, y, j); o != 0 {
			if s.Desc {
				return -o
			}
			return o
		}
	}
	return 0
}
