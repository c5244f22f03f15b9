package flow

import (
	"cmp"
	"slices"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
)

// aggregate gives a row for each key that there is: the key, then aggregates of
// the rows with it. Without key it gives one row always, also for no rows.
//
// Counts and sums are linear in the rows of a group, so each keeps an
// accumulator, and a step adds the weighted values of its delta: Σ(G + dG) =
// ΣG + ΣdG. The others (min, max, lists) read the group, in order, from an
// arrangement of their argument; min and max read one row, before the step and
// after it, so that a retraction of the least finds the next. An aggregate of
// distinct values reads a relation of distinct (key, value). The change is
//
//	d = [rows of touched keys after] - [rows of touched keys before]
//
// With an expiry column, groups whose time is below the step's bound are
// dropped when a step ends, and nothing comes out: their rows stay in the
// result for good. Rows for them are late from then on: the plan puts a
// temporal filter of the same column and bound before the aggregate.
type aggregate struct {
	core
	ports   []aggPort
	columns []aggColumn
	ordered []*orderedAgg
	scalar  bool
	lapse   lapse // of the key's columns
	expired int64 // what was over when groups were last discarded
	t       *table

	hash    []uint64
	groups  []int32
	scratch floatScratch

	order   []int32 // of the touched groups, while flushing
	at      int
	running bool
}

// aggPort is a port: where the key stands in its batches, and which
// accumulators it feeds. Port 0 has all rows.
type aggPort struct {
	key  []int
	accs []int
}

// aggColumn says where a column of the output comes from.
type aggColumn struct{ acc, ordered int } // index, or -1

func (o *aggregate) absorb(port int, in *zset.Batch) error {
	if in.N == 0 {
		return nil
	}
	p := &o.ports[port]
	if err := o.find(in, p.key); err != nil {
		return err
	}
	if port == 0 {
		for i, g := range o.groups {
			var err error
			if o.t.total[g], err = zset.Sum(o.t.total[g], in.W[i]); err != nil {
				return err
			}
		}
	}
	for _, k := range p.accs {
		if err := o.t.accs[k].add(in, o.groups, &o.scratch); err != nil {
			return err
		}
	}
	return nil
}

// find puts the group of each row into o.groups, and notes what they were.
func (o *aggregate) find(in *zset.Batch, key []int) (err error) {
	if len(key) > 0 {
		o.hash = in.Batch.Hash(key, o.hash[:0])
		if o.groups, err = o.t.lookup(&in.Batch, key, o.hash, o.groups[:0]); err == nil {
			o.t.touch(o.groups)
		}
		return err
	}
	one := row.Batch{N: 1} // all rows are of one group
	o.hash = one.Hash(nil, o.hash[:0])
	if o.groups, err = o.t.lookup(&one, nil, o.hash, o.groups[:0]); err != nil {
		return err
	}
	o.t.touch(o.groups)
	for range in.N - 1 {
		o.groups = append(o.groups, o.groups[0])
	}
	return nil
}

func (o *aggregate) begin() error {
	o.running, o.at = true, 0
	if o.scalar && o.c.steps == 0 && len(o.t.touched) == 0 { // the row of no rows
		none := zset.Batch{Batch: row.Batch{N: 1}}
		if err := o.find(&none, nil); err != nil {
			return err
		}
	}
	o.order = o.order[:0]
	for i := range o.t.touched {
		o.order = append(o.order, int32(i))
	}
	if len(o.ordered) == 0 {
		return nil
	}
	all := make([]int, len(o.t.keyTypes))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(o.order, func(x, y int32) int {
		g, h := o.t.touched[x], o.t.touched[y]
		if c := cmp.Compare(o.t.hash[g], o.t.hash[h]); c != 0 {
			return c
		}
		return compareKey(&o.t.keys, all, int(g), &o.t.keys, all, int(h))
	})
	for _, x := range o.ordered {
		x.begin(all, o.t.epoch)
	}
	return nil
}

func (o *aggregate) flush(fuel int) (bool, error) {
	if !o.running {
		if err := o.begin(); err != nil {
			return false, err
		}
	}
	for ; o.at < len(o.order); o.at++ {
		if fuel <= 0 {
			return false, o.emitOut()
		}
		fuel--
		i := int(o.order[o.at])
		g := int(o.t.touched[i])
		was, is := o.t.was[i] > 0, o.t.total[g] > 0
		if o.scalar {
			was, is = o.c.steps > 0, true
		}
		if !was && !is || was && is && len(o.ordered) == 0 && o.same(g, i) {
			continue
		}
		for _, x := range o.ordered {
			if err := x.read(o.t.hash[g], &o.t.keys, g, was, is); err != nil {
				return false, err
			}
			fuel--
		}
		if was {
			if err := o.put(o.t.before, i, g, -1); err != nil {
				return false, err
			}
		}
		if is {
			if err := o.put(o.t.accs, g, g, 1); err != nil {
				return false, err
			}
		}
		if err := o.emitFull(); err != nil {
			return false, err
		}
	}
	o.running = false
	return true, o.emitOut()
}

// same reports whether no accumulator of a touched group has changed.
func (o *aggregate) same(g, i int) bool {
	for k := range o.t.accs {
		if !o.t.accs[k].same(&o.t.before[k], g, i) {
			return false
		}
	}
	return true
}

// put adds the row of group g with the accumulators in place i of accs to the
// output, or, if one of its aggregates cannot be had, the error.
func (o *aggregate) put(accs []acc, i, g int, w int64) error {
	keys := o.t.keys.Cols
	for k, c := range keys {
		v := o.out.Cols[k]
		if len(c.Nulls) == 0 && v.Type.Fixed() {
			v.I = append(v.I, c.I[g])
		} else {
			v.AppendRow(c, g)
		}
	}
	var failed *row.Error
	for k, col := range o.columns {
		v := o.out.Cols[len(keys)+k]
		var err *row.Error
		if col.acc >= 0 {
			err = accs[col.acc].result(v, i)
		} else if x := o.ordered[col.ordered]; w < 0 {
			v.AppendRow(&x.old, 0)
			err = x.oldErr
		} else {
			v.AppendRow(&x.now, 0)
			err = x.nowErr
		}
		if failed == nil {
			failed = err
		}
	}
	if failed != nil {
		o.out.Batch.Truncate(o.out.N)
		return o.c.errors.add(failed, w)
	}
	o.out.N++
	o.out.W = append(o.out.W, w)
	return nil
}

func (o *aggregate) commit() error {
	if err := o.t.endStep(); err != nil || o.lapse.col < 0 || o.over(o.lapse) <= o.expired || 2*o.t.inserted < len(o.t.hash)+o.t.state.Len() {
		return err
	}
	o.expired, o.t.inserted = o.over(o.lapse), 0
	return o.t.discard(o.lapse.col, o.expired)
}

func (o *aggregate) memBytes() int {
	n := o.t.memBytes()
	for _, x := range o.ordered {
		n += 8*cap(x.best.value) + cap(x.best.known)
	}
	return n
}

func (o *aggregate) attach(store zset.Store, prefix []byte) { o.t.state.Attach(store, prefix) }
func (o *aggregate) spill(b *disk.Batch, most int) (bool, error) {
	return o.t.spill(b, most)
}
func (o *aggregate) applied()                       { o.t.state.Applied() }
func (o *aggregate) checkpoint(b *disk.Batch) error { return o.t.checkpoint(b) }

// restore makes groups that are there count as new, as arrange does.
func (o *aggregate) restore() error {
	err := o.t.state.Restore()
	o.t.inserted = o.t.state.Len()
	return err
}
func (o *aggregate) warm(most int) (int, error) { return o.t.state.Warm(most) }
