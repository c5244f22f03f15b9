package flow

import (
	"cmp"
	"math/bits"
	"slices"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
)

// table holds the groups of an aggregate: an open hash table from keys to
// accumulators. It is a cache of state, an arrangement of records (key, encoded
// accumulators) in which groups wait that were spilled or checkpointed: a group
// in the table is newer than its record.
type table struct {
	keyTypes []row.Type
	keys     row.Batch
	hash     []uint64
	total    []int64 // rows of the group; it is there if that is above 0
	accs     []acc
	slots    []int32 // group plus 1
	shift    uint
	dead     int    // groups without rows
	epoch    uint64 // counts how often groups were numbered anew
	inserted int    // groups since the last discard

	stamp   []uint64 // of the last step that touched the group
	step    uint64
	touched []int32
	was     []int64 // total of each touched group before the step
	before  []acc   // and its accumulators

	dirty   []int32 // groups that differ from their record
	isDirty []bool

	state   *zset.Arrangement
	missing []missing
	rows    zset.Rows
	records *zset.Batch
	scratch []byte
}

type missing struct {
	hash uint64
	row  int32
}

func newTable(keyTypes []row.Type, accs []acc) *table {
	t := &table{keyTypes: keyTypes, accs: accs, step: 1}
	for _, a := range accs {
		t.before = append(t.before, newAcc(a.agg, a.arg, a.out))
	}
	key := make([]int, len(keyTypes))
	for i := range key {
		key[i] = i
	}
	types := append(slices.Clone(keyTypes), row.Of(row.Bytea))
	t.state = zset.NewArrangement(types, zset.Order{Key: key})
	t.records = zset.NewBatch(types)
	t.reset()
	return t
}

// reset empties the cache.
func (t *table) reset() {
	t.keys.Reset(t.keyTypes)
	t.hash, t.total, t.stamp, t.isDirty, t.dirty = t.hash[:0], t.total[:0], t.stamp[:0], t.isDirty[:0], t.dirty[:0]
	for i := range t.accs {
		t.accs[i].reset()
	}
	t.epoch++
	t.slots = make([]int32, 64)
	t.shift = 64 - 6
	t.dead = 0
}

// lookup appends the group of each row of in to dst; groups that are not there
// are made. cols are the key's columns of in, hash the keys' hashes.
func (t *table) lookup(in *row.Batch, cols []int, hash []uint64, dst []int32) ([]int32, error) {
	t.missing = t.missing[:0]
	stored := t.state.Len() > 0
	one := len(cols) == 1 && in.Cols[cols[0]].Type.Fixed() && len(in.Cols[cols[0]].Nulls) == 0
	for i, h := range hash {
		g := int32(-1)
		if one {
			g = t.findInt(h, in.Cols[cols[0]].I[i])
		} else {
			g = t.find(h, in, cols, i)
		}
		if g < 0 && !stored {
			g = t.insert(h, in, cols, i)
		} else if g < 0 {
			t.missing = append(t.missing, missing{h, int32(i)})
		}
		dst = append(dst, g)
	}
	if len(t.missing) == 0 {
		return dst, nil
	}
	return dst, t.fetch(in, cols, dst[len(dst)-in.N:])
}

// fetch makes the missing groups, from their records if they have one.
func (t *table) fetch(in *row.Batch, cols []int, groups []int32) error {
	slices.SortFunc(t.missing, func(x, y missing) int {
		if c := cmp.Compare(x.hash, y.hash); c != 0 {
			return c
		}
		return compareKey(in, cols, int(x.row), in, cols, int(y.row))
	})
	t.rows.Finder(t.state, t.state.State(), nil)
	record := len(t.keyTypes)
	for _, m := range t.missing {
		i := int(m.row)
		if g := t.find(m.hash, in, cols, i); g >= 0 {
			groups[i] = g
			continue
		}
		g := t.insert(m.hash, in, cols, i)
		groups[i] = g
		for t.rows.Find(m.hash, in, cols, i); t.rows.Next(); {
			if err := t.decode(t.rows.B.Cols[record].Bytes(t.rows.I), int(g)); err != nil {
				return err
			}
			if t.total[g] > 0 {
				t.dead--
			}
		}
		if t.rows.Err != nil {
			return t.rows.Err
		}
	}
	return nil
}

// find returns the group of a key, or -1.
func (t *table) find(h uint64, in *row.Batch, cols []int, i int) int32 {
	mask := len(t.slots) - 1
	for at := int(h >> t.shift); ; at = (at + 1) & mask {
		g := t.slots[at] - 1
		if g < 0 {
			return -1
		}
		if t.hash[g] != h {
			continue
		}
		same := true
		for k, c := range cols {
			if !row.Same(t.keys.Cols[k], int(g), in.Cols[c], i) {
				same = false
				break
			}
		}
		if same {
			return g
		}
	}
}

// findInt is find for a key that is one int64.
func (t *table) findInt(h uint64, x int64) int32 {
	mask := len(t.slots) - 1
	key := t.keys.Cols[0]
	for at := int(h >> t.shift); ; at = (at + 1) & mask {
		g := t.slots[at] - 1
		if g < 0 || key.I[g] == x && !key.Null(int(g)) {
			return g
		}
	}
}

// insert adds an empty group.
func (t *table) insert(h uint64, in *row.Batch, cols []int, i int) int32 {
	g := int32(len(t.hash))
	for k, c := range cols {
		t.keys.Cols[k].AppendRow(in.Cols[c], i)
	}
	t.keys.N++
	t.hash = append(t.hash, h)
	t.total = append(t.total, 0)
	t.dead++
	t.inserted++
	t.stamp = append(t.stamp, 0)
	t.isDirty = append(t.isDirty, false)
	for k := range t.accs {
		t.accs[k].grow()
	}
	if 4*len(t.hash) > 3*len(t.slots) {
		t.rehash(2 * len(t.slots))
	} else {
		t.place(g)
	}
	return g
}

func (t *table) place(g int32) {
	mask := len(t.slots) - 1
	at := int(t.hash[g] >> t.shift)
	for t.slots[at] != 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = g + 1
}

func (t *table) rehash(size int) {
	t.slots = make([]int32, size)
	t.shift = uint(64 - bits.Len(uint(size-1)))
	for g := range t.hash {
		t.place(int32(g))
	}
}

// touch notes what the groups were before the step.
func (t *table) touch(groups []int32) {
	for _, g := range groups {
		if t.stamp[g] == t.step {
			continue
		}
		t.stamp[g] = t.step
		t.touched = append(t.touched, g)
		t.was = append(t.was, t.total[g])
		for k := range t.accs {
			t.accs[k].save(&t.before[k], int(g))
		}
		if !t.isDirty[g] {
			t.isDirty[g] = true
			t.dirty = append(t.dirty, g)
		}
	}
}

// endStep forgets what was touched, and the groups that are gone if they are
// many.
func (t *table) endStep() error {
	t.step++
	for i, g := range t.touched {
		if was, is := t.was[i] > 0, t.total[g] > 0; was && !is {
			t.dead++
		} else if is && !was {
			t.dead--
		}
	}
	t.touched, t.was = t.touched[:0], t.was[:0]
	for k := range t.before {
		t.before[k].truncate()
	}
	if t.dead < 512 || t.dead*2 < len(t.hash) {
		return nil
	}
	if t.state.Len() > 0 {
		if err := t.writeBack(); err != nil {
			return err
		}
	}
	t.keepIf(func(g int) bool { return t.total[g] > 0 })
	return nil
}

// keepIf drops the other groups from the cache.
func (t *table) keepIf(keep func(g int) bool) {
	var keys row.Batch
	keys.Reset(t.keyTypes)
	accs := make([]acc, len(t.accs))
	for k, a := range t.accs {
		accs[k] = newAcc(a.agg, a.arg, a.out)
	}
	n := 0
	t.dead = 0
	t.epoch++
	var dirty []int32
	for g := range t.hash {
		if !keep(g) {
			continue
		}
		if t.total[g] <= 0 {
			t.dead++
		}
		keys.AppendRow(&t.keys, g)
		for k := range t.accs {
			t.accs[k].save(&accs[k], g)
		}
		t.hash[n], t.total[n], t.stamp[n], t.isDirty[n] = t.hash[g], t.total[g], t.stamp[g], t.isDirty[g]
		if t.isDirty[n] {
			dirty = append(dirty, int32(n))
		}
		n++
	}
	t.keys, t.accs, t.dirty = keys, accs, dirty
	t.hash, t.total, t.stamp, t.isDirty = t.hash[:n], t.total[:n], t.stamp[:n], t.isDirty[:n]
	size := 64
	for 4*n > 2*size {
		size *= 2
	}
	t.rehash(size)
}

// writeBack makes the records of all dirty groups what the groups are.
func (t *table) writeBack() error {
	if len(t.dirty) == 0 {
		return nil
	}
	cols := make([]int, len(t.keyTypes))
	for i := range cols {
		cols[i] = i
	}
	slices.SortFunc(t.dirty, func(g, h int32) int {
		if c := cmp.Compare(t.hash[g], t.hash[h]); c != 0 {
			return c
		}
		return compareKey(&t.keys, cols, int(g), &t.keys, cols, int(h))
	})
	t.records.Clear()
	t.rows.Finder(t.state, t.state.State(), nil)
	for _, g := range t.dirty {
		t.isDirty[g] = false
		for t.rows.Find(t.hash[g], &t.keys, cols, int(g)); t.rows.Next(); {
			t.records.Add(&t.rows.B.Batch.Batch, t.rows.I, -t.rows.Old)
		}
		if t.rows.Err != nil {
			return t.rows.Err
		}
		if t.total[g] != 0 {
			for k, c := range t.keys.Cols {
				t.records.Cols[k].AppendRow(c, int(g))
			}
			t.scratch = t.encode(t.scratch[:0], int(g))
			t.records.Cols[len(cols)].AppendBytes(t.scratch)
			t.records.N++
			t.records.W = append(t.records.W, 1)
		}
		if t.records.N >= chunkRows {
			if err := t.state.Add(t.records); err != nil {
				return err
			}
			t.records.Clear()
		}
	}
	t.dirty = t.dirty[:0]
	err := t.state.Add(t.records)
	t.records.Clear()
	if err != nil {
		return err
	}
	for {
		if done, err := t.state.Seal(1 << 20); err != nil {
			return err
		} else if done {
			return t.state.Commit()
		}
	}
}

func (t *table) encode(dst []byte, g int) []byte {
	dst = appendVarint(dst, t.total[g])
	for k := range t.accs {
		dst = t.accs[k].store(dst, g)
	}
	return dst
}

func (t *table) decode(b []byte, g int) error {
	r := reader{b: b}
	t.total[g] = r.varint()
	for k := range t.accs {
		t.accs[k].load(&r, g)
	}
	if r.bad || len(r.b) != 0 {
		return &zset.DamageError{What: "a group's record is of another plan"}
	}
	return nil
}

// discard drops the groups, and their records, whose key column col is below
// bound.
func (t *table) discard(col int, bound int64) error {
	v := t.keys.Cols[col]
	t.keepIf(func(g int) bool { return v.I[g] >= bound || v.Null(g) })
	return discardBelow(t.state, col, bound, t.records)
}

func (t *table) memBytes() int {
	n := t.keys.MemBytes() + 8*(cap(t.hash)+cap(t.total)+cap(t.stamp)) + 4*(len(t.slots)+cap(t.dirty)+cap(t.touched)) + cap(t.isDirty)
	for k := range t.accs {
		c := &t.accs[k]
		n += 8*cap(c.n) + 16*cap(c.sum) + 64*cap(c.num) + 256*len(c.flt)
	}
	return n + t.state.MemBytes()
}

func (t *table) spill(b *disk.Batch, most int) (bool, error) {
	if err := t.writeBack(); err != nil {
		return false, err
	}
	t.reset()
	return t.state.Spill(b, most), nil
}

func (t *table) checkpoint(b *disk.Batch) error {
	if err := t.writeBack(); err != nil {
		return err
	}
	t.reset() // else every group would be held twice from now on
	return t.state.Checkpoint(b)
}
