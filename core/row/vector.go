package row

import "bytes"

// Bitmap has a bit per row, of which those beyond its end are 0. The nil
// bitmap is all 0.
type Bitmap []uint64

// Get returns bit i.
func (m Bitmap) Get(i int) bool {
	w := i >> 6
	return w < len(m) && m[w]>>(uint(i)&63)&1 != 0
}

// Set sets bit i.
func (m *Bitmap) Set(i int) {
	for len(*m) <= i>>6 {
		*m = append(*m, 0)
	}
	(*m)[i>>6] |= 1 << (uint(i) & 63)
}

// Any reports whether a bit is set.
func (m Bitmap) Any() bool {
	for _, w := range m {
		if w != 0 {
			return true
		}
	}
	return false
}

// truncate clears the bits from n on.
func (m *Bitmap) truncate(n int) {
	if w := n >> 6; w < len(*m) {
		(*m)[w] &= 1<<(uint(n)&63) - 1
		*m = (*m)[:w+1]
	}
}

// A Vector is a column of values. Its fields are open to loops; what changes
// them keeps R1 to R3. The zero Vector has no type: see Reset.
type Vector struct {
	Type  Type
	Nulls Bitmap // set: null
	I     []int64
	Off   []uint32 // Off[i] to Off[i+1] in Data; one more than there are rows
	Data  []byte
}

// NewVector returns an empty vector.
func NewVector(t Type) *Vector {
	v := &Vector{}
	v.Reset(t)
	return v
}

// Reset makes v an empty vector of t and keeps its memory.
func (v *Vector) Reset(t Type) {
	v.Type = t
	v.Nulls, v.I, v.Off, v.Data = v.Nulls[:0], v.I[:0], v.Off[:0], v.Data[:0]
	if !t.Fixed() {
		v.Off = append(v.Off, 0)
	}
}

// Len is the number of rows.
func (v *Vector) Len() int {
	if v.Type.Fixed() {
		return len(v.I)
	}
	return len(v.Off) - 1
}

// Null reports whether row i is null.
func (v *Vector) Null(i int) bool { return v.Nulls.Get(i) }

// Bytes returns the bytes of row i; they belong to the vector.
func (v *Vector) Bytes(i int) []byte { return v.Data[v.Off[i]:v.Off[i+1]:v.Off[i+1]] }

// MemBytes is the memory that v holds on to.
func (v *Vector) MemBytes() int {
	return cap(v.Nulls)*8 + cap(v.I)*8 + cap(v.Off)*4 + cap(v.Data)
}

// AppendInt adds a value of a fixed type.
func (v *Vector) AppendInt(x int64) { v.I = append(v.I, x) }

// AppendBool adds a boolean.
func (v *Vector) AppendBool(b bool) {
	x := int64(0)
	if b {
		x = 1
	}
	v.I = append(v.I, x)
}

// AppendBytes adds a value of a type that is not fixed, in canonical form.
func (v *Vector) AppendBytes(b []byte) {
	v.Data = append(v.Data, b...)
	v.Off = append(v.Off, uint32(len(v.Data)))
}

// AppendString adds a text.
func (v *Vector) AppendString(s string) {
	v.Data = append(v.Data, s...)
	v.Off = append(v.Off, uint32(len(v.Data)))
}

// EndValue ends a value whose bytes were appended to Data.
func (v *Vector) EndValue() { v.Off = append(v.Off, uint32(len(v.Data))) }

// AppendNull adds a null.
func (v *Vector) AppendNull() {
	v.Nulls.Set(v.Len())
	if v.Type.Fixed() {
		v.I = append(v.I, 0)
	} else {
		v.Off = append(v.Off, uint32(len(v.Data)))
	}
}

// SetNull makes row i of a fixed type null.
func (v *Vector) SetNull(i int) {
	v.I[i] = 0
	v.Nulls.Set(i)
}

// Resize gives a vector of a fixed type n rows, of unknown values, none null.
func (v *Vector) Resize(n int) {
	v.Nulls = v.Nulls[:0]
	if cap(v.I) < n {
		v.I = make([]int64, n, n+n/4)
	}
	v.I = v.I[:n]
}

// Truncate drops the rows from n on.
func (v *Vector) Truncate(n int) {
	v.Nulls.truncate(n)
	if v.Type.Fixed() {
		v.I = v.I[:n]
		return
	}
	v.Off = v.Off[:n+1]
	v.Data = v.Data[:v.Off[n]]
}

// AppendRow adds row i of src.
func (v *Vector) AppendRow(src *Vector, i int) {
	switch {
	case src.Nulls.Get(i):
		v.AppendNull()
	case v.Type.Fixed():
		v.I = append(v.I, src.I[i])
	default:
		v.AppendBytes(src.Bytes(i))
	}
}

// AppendRange adds the rows lo to hi, hi not included, of src.
func (v *Vector) AppendRange(src *Vector, lo, hi int) {
	n := v.Len()
	if v.Type.Fixed() {
		v.I = append(v.I, src.I[lo:hi]...)
	} else {
		from, to := src.Off[lo], src.Off[hi]
		base := uint32(len(v.Data)) - from
		v.Data = append(v.Data, src.Data[from:to]...)
		ends := v.Off
		for _, o := range src.Off[lo+1 : hi+1] {
			ends = append(ends, o+base)
		}
		v.Off = ends
	}
	if len(src.Nulls) > lo>>6 {
		for i := lo; i < hi; i++ {
			if src.Nulls.Get(i) {
				v.Nulls.Set(n + i - lo)
			}
		}
	}
}

// AppendGather adds the rows of src that sel names, in its order.
func (v *Vector) AppendGather(src *Vector, sel []int32) {
	n := v.Len()
	if v.Type.Fixed() {
		at := len(v.I)
		v.I = growInts(v.I, len(sel))
		out, in := v.I[at:], src.I
		for k, i := range sel {
			out[k] = in[i]
		}
	} else {
		from, off, data, ends := src.Data, src.Off, v.Data, v.Off
		for _, i := range sel {
			data = append(data, from[off[i]:off[i+1]]...)
			ends = append(ends, uint32(len(data)))
		}
		v.Data, v.Off = data, ends
	}
	if len(src.Nulls) > 0 {
		for k, i := range sel {
			if src.Nulls.Get(int(i)) {
				v.Nulls.Set(n + k)
			}
		}
	}
}

// growInts makes room for n more values.
func growInts(s []int64, n int) []int64 {
	if need := len(s) + n; need <= cap(s) {
		return s[:need]
	}
	t := make([]int64, len(s)+n, 2*len(s)+n)
	copy(t, s)
	return t
}

// AppendRepeat adds row i of src n times.
func (v *Vector) AppendRepeat(src *Vector, i, n int) {
	switch {
	case src.Nulls.Get(i):
		for range n {
			v.AppendNull()
		}
	case v.Type.Fixed():
		x, at := src.I[i], len(v.I)
		v.I = growInts(v.I, n)
		for k := range v.I[at:] {
			v.I[at+k] = x
		}
	default:
		b := src.Bytes(i)
		for range n {
			v.AppendBytes(b)
		}
	}
}

// A Value is one value at the edges: a literal, a parameter, a test's.
type Value struct {
	Type   Type
	IsNull bool
	I      int64  // of a fixed type
	B      []byte // of another
}

// NullOf is the null of a type.
func NullOf(t Type) Value { return Value{Type: t, IsNull: true} }

// Value returns row i; its bytes belong to the vector.
func (v *Vector) Value(i int) Value {
	switch {
	case v.Nulls.Get(i):
		return NullOf(v.Type)
	case v.Type.Fixed():
		return Value{Type: v.Type, I: v.I[i]}
	}
	return Value{Type: v.Type, B: v.Bytes(i)}
}

// AppendValue adds a value of v's type.
func (v *Vector) AppendValue(x Value) {
	switch {
	case x.IsNull:
		v.AppendNull()
	case v.Type.Fixed():
		v.AppendInt(x.I)
	default:
		v.AppendBytes(x.B)
	}
}

// Compare orders row i of a before row j of b: nulls last, else by R2.
func Compare(a *Vector, i int, b *Vector, j int) int {
	if len(a.Nulls) > 0 || len(b.Nulls) > 0 {
		an, bn := a.Nulls.Get(i), b.Nulls.Get(j)
		if an || bn {
			switch {
			case an && bn:
				return 0
			case an:
				return 1
			}
			return -1
		}
	}
	if a.Type.Fixed() {
		x, y := a.I[i], b.I[j]
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return bytes.Compare(a.Data[a.Off[i]:a.Off[i+1]], b.Data[b.Off[j]:b.Off[j+1]])
}

// Same reports whether row i of a and row j of b are not distinct: equal, or
// both null.
func Same(a *Vector, i int, b *Vector, j int) bool {
	if a.Type.Fixed() {
		return a.I[i] == b.I[j] && (len(a.Nulls) == 0 && len(b.Nulls) == 0 || a.Nulls.Get(i) == b.Nulls.Get(j))
	}
	return bytes.Equal(a.Data[a.Off[i]:a.Off[i+1]], b.Data[b.Off[j]:b.Off[j+1]]) && a.Nulls.Get(i) == b.Nulls.Get(j)
}
