package flow

import (
	"actordb/core/row"
	"actordb/core/zset"
)

// keyWalk lists the keys that a step touches, each once, by rising hash: those
// of the deltas of one or two arrangements.
type keyWalk struct {
	cursors []zset.Cursor
	cols    [][]int
	open    bool

	Hash uint64
	B    *row.Batch // the key stands in row I of B, in columns Cols
	Cols []int
	I    int
}

// begin opens the walk unless it is under way.
func (k *keyWalk) begin(as ...*zset.Arrangement) {
	if k.open {
		return
	}
	k.open = true
	k.cursors, k.cols = k.cursors[:0], k.cols[:0]
	for _, a := range as {
		for _, r := range a.Delta() {
			k.cursors = append(k.cursors, r.Cursor())
			k.cols = append(k.cols, a.Key())
		}
	}
}

// next goes to the next key.
func (k *keyWalk) next() (bool, error) {
	least := -1
	for i := range k.cursors {
		c := &k.cursors[i]
		if c.Err != nil {
			return false, c.Err
		}
		if c.Valid() && (least < 0 || k.before(i, least)) {
			least = i
		}
	}
	if least < 0 {
		k.open = false
		return false, nil
	}
	c := &k.cursors[least]
	k.Hash, k.B, k.Cols, k.I = c.Hash(), &c.B.Batch.Batch, k.cols[least], c.I
	if len(k.Cols) == 0 { // all rows have this key
		k.cursors = k.cursors[:0]
		return true, nil
	}
	for i := range k.cursors {
		c := &k.cursors[i]
		for c.Valid() && c.Hash() == k.Hash && sameKey(&c.B.Batch.Batch, k.cols[i], c.I, k.B, k.Cols, k.I) {
			c.Next()
		}
		if c.Err != nil {
			return false, c.Err
		}
	}
	return true, nil
}

func (k *keyWalk) before(i, j int) bool {
	c, d := &k.cursors[i], &k.cursors[j]
	if ch, dh := c.Hash(), d.Hash(); ch != dh {
		return ch < dh
	}
	return compareKey(&c.B.Batch.Batch, k.cols[i], c.I, &d.B.Batch.Batch, k.cols[j], d.I) < 0
}
