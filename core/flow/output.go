package flow

import (
	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
)

// output collects a step's changes and consolidates them when it ends.
type output struct {
	core
	all, result *zset.Batch
	sorter      zset.Sorter
	fresh       bool // result is of the step before
}

func (o *output) absorb(_ int, in *zset.Batch) error {
	if o.fresh {
		o.result.Clear()
		o.fresh = false
	}
	o.all.AddAll(in)
	return nil
}

func (o *output) commit() error {
	o.result.Clear()
	if err := o.sorter.Consolidate(o.all, o.result); err != nil {
		return err
	}
	o.all.Clear()
	o.fresh = true
	return nil
}

func (o *output) memBytes() int { return o.all.MemBytes() + o.result.MemBytes() }

// errorSink is the Z-set of the errors of all evaluations: columns code and
// text. A circuit has one.
type errorSink struct {
	arrange
	in *zset.Batch
}

func errorTypes() []row.Type { return []row.Type{row.Of(row.Text), row.Of(row.Text)} }

func (o *errorSink) add(e *row.Error, w int64) error {
	o.in.Cols[0].AppendString(e.Code)
	o.in.Cols[1].AppendString(e.Text[:min(len(e.Text), errorTextMax)])
	o.in.N++
	o.in.W = append(o.in.W, w)
	if o.in.N < chunkRows {
		return nil
	}
	return o.drain()
}

func (o *errorSink) drain() error {
	err := o.a.Add(o.in)
	o.in.Clear()
	return err
}

func (o *errorSink) flush(fuel int) (bool, error) {
	if err := o.drain(); err != nil {
		return false, err
	}
	return o.arrange.flush(fuel)
}

// first returns the least error that there is.
func (o *errorSink) first() (*row.Error, error) {
	var rows zset.Rows
	for rows.Open(o.a, o.a.State(), nil); rows.Next(); {
		if rows.Old > 0 {
			return &row.Error{Code: string(rows.B.Cols[0].Bytes(rows.I)), Text: string(rows.B.Cols[1].Bytes(rows.I))}, nil
		}
	}
	return nil, rows.Err
}

// arrange integrates its input, sorted by key, for all operators that look up
// by that key: the state is the integral up to the step before, the delta the
// change of this one.
type arrange struct {
	core
	a       *zset.Arrangement
	lapse   lapse       // rows that are over are dropped
	dropped int64       // what was over then
	added   int         // rows since then
	first   *zset.First // if only the first rows are wanted
	loose   bool        // joins alone read it, once: they seal it if they want
}

func (o *arrange) absorb(_ int, in *zset.Batch) error {
	o.added += in.N
	if o.first != nil {
		return o.a.AddFirst(in, o.first)
	}
	return o.a.Add(in)
}

func (o *arrange) flush(fuel int) (bool, error) {
	if o.loose {
		return true, nil
	}
	return o.a.Seal(fuel)
}

func (o *arrange) memBytes() int { return o.a.MemBytes() }

// commit makes the delta a part of the state. What is below the bound is never
// looked at again, so it may be dropped late: each row that comes pays for two
// that are looked through.
func (o *arrange) commit() error {
	if err := o.a.Commit(); err != nil || o.lapse.col < 0 || o.over(o.lapse) <= o.dropped || 2*o.added < o.a.Len() {
		return err
	}
	o.dropped, o.added = o.over(o.lapse), 0
	if o.lapse.gap > 0 {
		return discardSessions(o.a, o.a.Key(), o.lapse, o.dropped, o.out)
	}
	return discardBelow(o.a, o.lapse.col, o.dropped, o.out)
}

func (o *arrange) attach(store zset.Store, prefix []byte) { o.a.Attach(store, prefix) }
func (o *arrange) spill(b *disk.Batch, most int) (bool, error) {
	return o.a.Spill(b, most), nil
}
func (o *arrange) applied()                       { o.a.Applied() }
func (o *arrange) checkpoint(b *disk.Batch) error { return o.a.Checkpoint(b) }

// restore makes what is there count as new, or who is restored often would never drop it.
func (o *arrange) restore() error {
	err := o.a.Restore()
	o.added = o.a.Len()
	return err
}
func (o *arrange) warm(most int) (int, error) { return o.a.Warm(most) }
