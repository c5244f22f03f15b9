// Package zset holds weighted relations. A Z-set gives each row an integer
// weight: 1 for a row that is there once, 2 twice, -1 for a row taken away.
// Relations, and changes of relations, are both Z-sets; adding a change to a
// relation is adding weights. (Budiu et al., "DBSP: Automatic Incremental View
// Maintenance for Rich Query Languages", VLDB 2023, section 3.)
//
// A Batch is a Z-set in columns. An Arrangement is a large one, kept in sorted
// immutable runs so that the rows of a key can be found, in memory or in a
// disk.KV, and that a change costs an amortized logarithmic number of copies.
//
// # Invariants
//
// Z1. The Z-set of an arrangement is the sum of its runs, and of its delta.
//
// Z2. A run holds each row once, with a weight that is not 0, in the order of
// its arrangement: by hash of the key, by key, by the arrangement's sorts, by
// all columns. Rows of a key are thus neighbours.
//
// Z3. Runs and blocks never change. Merging makes new ones.
//
// Z4. Weights that leave 64 bits are an error, never a wrong weight.
//
// Z5. What a manifest names is in the store when the manifest is, and stays
// until the next manifest is.
package zset

import (
	"errors"
	"math/bits"

	"actordb/core/row"
)

// ErrWeight says that a row's weight left 64 bits.
var ErrWeight = errors.New("zset: the weight of a row leaves 64 bits; the view must be built again")

// A Batch is a list of weighted rows. A row may stand in it more than once;
// its weight is then the sum.
type Batch struct {
	row.Batch
	W []int64
}

// NewBatch returns an empty batch.
func NewBatch(types []row.Type) *Batch {
	b := &Batch{}
	b.Reset(types)
	return b
}

// Reset makes b an empty batch of these types and keeps its memory.
func (b *Batch) Reset(types []row.Type) {
	b.Batch.Reset(types)
	b.W = b.W[:0]
}

// Clear drops the rows and keeps types and memory.
func (b *Batch) Clear() {
	b.Batch.Clear()
	b.W = b.W[:0]
}

// MemBytes is the memory that b holds on to.
func (b *Batch) MemBytes() int { return b.Batch.MemBytes() + 8*cap(b.W) }

// Add appends row i of src with a weight.
func (b *Batch) Add(src *row.Batch, i int, w int64) {
	b.Batch.AppendRow(src, i)
	b.W = append(b.W, w)
}

// AddAll appends all rows of src with their weights.
func (b *Batch) AddAll(src *Batch) { b.AddRange(src, 0, src.N) }

// AddRange appends the rows lo to hi, hi not included.
func (b *Batch) AddRange(src *Batch, lo, hi int) {
	b.Batch.AppendRange(&src.Batch, lo, hi)
	b.W = append(b.W, src.W[lo:hi]...)
}

// AddGather appends the rows that sel names with their weights.
func (b *Batch) AddGather(src *Batch, sel []int32) {
	b.Batch.AppendGather(&src.Batch, sel)
	for _, i := range sel {
		b.W = append(b.W, src.W[i])
	}
}

// AddValues appends one row.
func (b *Batch) AddValues(w int64, values ...row.Value) {
	b.Batch.AppendValues(values...)
	b.W = append(b.W, w)
}

// Negate turns additions into removals.
func (b *Batch) Negate() error {
	for i, w := range b.W {
		if w == -w && w != 0 {
			return ErrWeight
		}
		b.W[i] = -w
	}
	return nil
}

// Sum adds two weights.
func Sum(a, b int64) (int64, error) {
	s := a + b
	if (s > a) != (b > 0) && b != 0 {
		return 0, ErrWeight
	}
	return s, nil
}

// Product multiplies two weights.
func Product(a, b int64) (int64, error) {
	if a == int64(int32(a)) && b == int64(int32(b)) {
		return a * b, nil
	}
	hi, lo := bits.Mul64(uint64(max(a, -a)), uint64(max(b, -b)))
	if hi != 0 || lo > 1<<62 || a == -a || b == -b {
		return 0, ErrWeight
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), nil
	}
	return int64(lo), nil
}

// An Order is how an arrangement keeps its rows. The zero Order is by all
// columns.
type Order struct {
	Key   []int      // equality on these finds rows
	Sorts []row.Sort // the order among the rows of a key
}

// order is an Order made ready for the columns of a relation.
type order struct {
	Order
	full []row.Sort // key, sorts, and what columns are left
	rest []row.Sort // full without the key
}

func newOrder(o Order, columns int) order {
	named := make([]bool, columns)
	full := make([]row.Sort, 0, columns)
	for _, k := range o.Key {
		if !named[k] {
			full = append(full, row.Sort{Col: k})
			named[k] = true
		}
	}
	keys := len(full)
	for _, s := range o.Sorts {
		if !named[s.Col] {
			full = append(full, s)
			named[s.Col] = true
		}
	}
	for c := range columns {
		if !named[c] {
			full = append(full, row.Sort{Col: c})
		}
	}
	return order{o, full, full[keys:]}
}

// hashes appends the hash of each row's key. In an order without key, all rows
// have one key: the first sort's prefix takes the place of its hash, so that
// runs are sorted, sought and merged by it.
func (o *order) hashes(b *row.Batch, dst []uint64) []uint64 {
	if len(o.Key) == 0 && len(o.Sorts) > 0 {
		return b.SortPrefix(o.Sorts[0], dst)
	}
	return b.Hash(o.Key, dst)
}

func (o *order) compare(a *row.Batch, i int, b *row.Batch, j int) int {
	return row.CompareBy(o.full, a, i, b, j)
}
