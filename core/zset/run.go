package zset

import (
	"math/bits"
	"sort"
)

// A Block is a part of a run: rows in order, with the hashes of their keys
// (order.hashes).
type Block struct {
	Batch
	Hash []uint64
}

func (b *Block) memBytes() int { return b.Batch.MemBytes() + 8*cap(b.Hash) }

// blockRef is a run's block: in memory, or in the store, or both.
type blockRef struct {
	mem    *Block
	bytes  int    // of memory, when it is there
	id     uint64 // in the store; 0: it is not there
	size   int    // in the store
	n      int
	last   uint64 // hash of its last row
	settle bool   // written by a batch that is not applied yet
}

// A Run is an immutable Z-set in order.
type Run struct {
	owner  *Arrangement
	id     uint64
	blocks []blockRef
	first  []uint64 // hash of each block's first row
	n      int
}

// Len is the number of rows.
func (r *Run) Len() int { return r.n }

// push appends a block that will not change any more.
func (r *Run) push(b *Block) {
	r.blocks = append(r.blocks, blockRef{mem: b, bytes: b.memBytes(), n: b.N, last: b.Hash[b.N-1]})
	r.first = append(r.first, b.Hash[0])
	r.n += b.N
	r.owner.mem += r.blocks[len(r.blocks)-1].bytes
	r.owner.blocks++
}

// block returns block k, from the store if need be.
func (r *Run) block(k int) (*Block, error) {
	ref := &r.blocks[k]
	if ref.mem != nil {
		return ref.mem, nil
	}
	return r.owner.load(ref)
}

// A Cursor is a place in a run. It moves forward only.
type Cursor struct {
	run *Run
	k   int    // block
	I   int    // row of it
	B   *Block // nil at the end
	Err error
}

// Cursor returns a cursor at the run's first row.
func (r *Run) Cursor() Cursor {
	c := Cursor{run: r}
	c.open(0)
	return c
}

// open goes to the first row of block k.
func (c *Cursor) open(k int) {
	c.k, c.I, c.B = k, 0, nil
	if c.Err == nil && k < len(c.run.blocks) {
		c.B, c.Err = c.run.block(k)
	}
}

// Valid reports whether the cursor stands on a row.
func (c *Cursor) Valid() bool { return c.B != nil }

// Next goes to the next row.
func (c *Cursor) Next() {
	if c.I++; c.I >= c.B.N {
		c.open(c.k + 1)
	}
}

// Hash is the hash of the row's key.
func (c *Cursor) Hash() uint64 { return c.B.Hash[c.I] }

// Weight is the row's weight.
func (c *Cursor) Weight() int64 { return c.B.W[c.I] }

// Seek goes to the first row at or after the cursor whose hash is at least h.
func (c *Cursor) Seek(h uint64) {
	if c.B == nil {
		return
	}
	if r := c.run; h > r.blocks[c.k].last {
		k := c.k + 1
		if k < len(r.blocks) && h > r.blocks[k].last {
			k += sort.Search(len(r.blocks)-k, func(j int) bool { return r.blocks[k+j].last >= h })
		}
		if c.open(k); c.B == nil {
			return
		}
	}
	c.I = seekHash(c.B.Hash, h, c.I)
}

// seekHash returns the first place at or after from whose hash is at least h;
// there is one. Hashes are uniform, so a guess is near.
func seekHash(hs []uint64, h uint64, from int) int {
	if hs[from] >= h {
		return from
	}
	lo, hi := from, len(hs)-1 // hs[lo] < h <= hs[hi]
	if hi-lo > 8 {
		span := hs[hi] - hs[lo]
		shift := uint(max(0, bits.Len64(span)-32))
		guess := lo + int((h-hs[lo])>>shift*uint64(hi-lo)/(span>>shift+1))
		if hs[guess] < h {
			lo = guess
			for step := 8; lo+step < hi; step *= 2 {
				if hs[lo+step] >= h {
					hi = lo + step
					break
				}
				lo += step
			}
		} else {
			hi = guess
			for step := 8; hi-step > lo; step *= 2 {
				if hs[hi-step] < h {
					lo = hi - step
					break
				}
				hi -= step
			}
		}
	}
	for lo+1 < hi {
		mid := int(uint(lo+hi) / 2)
		if hs[mid] < h {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
