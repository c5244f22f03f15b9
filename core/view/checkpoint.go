package view

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/sql/lower"
	"actordb/core/sql/tree"
	"actordb/core/zset"
	"actordb/disk"
)

// A view that is kept in a place can be checkpointed between two steps, and restored: then
// it goes on after that cut as if it had never ended. Its checkpoint is the state of
// its circuits, its answer, and, of each type with a lateness, how far the times of its
// events had come: events that come later are judged by that (decision 20).
//
// Under the place's prefix there are
//
//	'r' u32(BE)   a circuit, see core/flow and core/zset
//	'a'           the answer, an arrangement
//
// and the caller keeps the rest, which Checkpoint returns.

const checkpointVersion = 2 // 1 had the answers arranged by all columns

// circuit is where a job's i-th circuit is.
func circuit(at lower.Place, i int) lower.Place {
	return lower.Place{Store: at.Store, Prefix: binary.BigEndian.AppendUint32(append(slices.Clone(at.Prefix), 'r'), uint32(i))}
}

// attach names the place of the answer.
func (v *View) attach(at lower.Place) { v.all.Attach(at.Store, append(slices.Clone(at.Prefix), 'a')) }

// Checkpoint adds to b the view as of its last cut. All of b is to be applied at once, with
// the state that is returned, and before what the next Checkpoint writes.
func (v *View) Checkpoint(b *disk.Batch) (state []byte, err error) {
	j := v.Job
	core.Assert(j.at == 0 && !j.poured && !j.runs[0].pushed, "a checkpoint within a step")
	if j.err != nil {
		return nil, j.err
	}
	state = binary.AppendUvarint(state, checkpointVersion)
	state = binary.AppendVarint(state, int64(j.cut))
	state = binary.AppendVarint(state, j.Undecodable)
	state = appendBytes(state, []byte(j.First))
	for _, r := range j.runs {
		if err := r.query.Checkpoint(b); err != nil {
			return nil, j.fail(err)
		}
		state = binary.AppendVarint(state, r.rows)
	}
	if err := v.all.Checkpoint(b); err != nil {
		return nil, j.fail(err)
	}
	for _, in := range j.list {
		core.Assert(in.rows.N == 0, "a checkpoint within a step")
		if in.times != nil {
			state = in.times.append(state)
		}
	}
	return state, nil
}

// RestoreView makes a view what it was at the checkpoint that its place holds, with the state
// that Checkpoint has returned. What is missing, damaged or of another query is refused
// with an error; the view is then to be built anew. Warm has to follow.
func (c *Catalog) RestoreView(q *tree.Query, o Options, state []byte) (*View, error) {
	v, err := c.NewView(q, o)
	if err != nil {
		return nil, err
	}
	j, d := v.Job, zset.Decoder{B: state}
	if version := d.Uvarint(); version != checkpointVersion {
		return nil, &zset.DamageError{Key: o.Place.Prefix, What: fmt.Sprintf("is a checkpoint of version %d, not %d", version, checkpointVersion)}
	}
	j.cut, j.Undecodable, j.First = core.Timestamp(d.Varint()), d.Varint(), string(d.Bytes())
	for _, r := range j.runs {
		if err := r.query.Restore(); err != nil {
			return nil, err
		}
		r.rows = d.Varint()
	}
	if err := v.all.Restore(); err != nil {
		return nil, err
	}
	for _, in := range j.list {
		if in.times != nil {
			in.times.read(&d)
		}
	}
	if d.Bad || len(d.B) > 0 {
		return nil, &zset.DamageError{Key: o.Place.Prefix, What: "is cut short, or of another query"}
	}
	return v, nil
}

// Warm reads about so many rows of a restored view into memory, and reports whether that was
// all: before that it must not be fed, and afterwards its store is not read any more.
func (v *View) Warm(rows int) (done bool, err error) {
	for _, r := range v.runs {
		if done, err = r.query.Warm(rows); err != nil || !done {
			return false, err
		}
	}
	n, err := v.all.Warm(rows)
	return n == 0, err
}

// Definition is what a projection is made by: its statement, and those of all that it reads.
func (c *Catalog) Definition(full string) string {
	var b strings.Builder
	for _, name := range c.Reads([]string{full}) {
		if text, ok := c.Lookup(name); ok {
			fmt.Fprintf(&b, "%s;\n", text)
		}
	}
	return b.String()
}

// append adds the tracker: its sources in the order in which they were heard.
func (t *tracker) append(dst []byte) []byte {
	dst = binary.AppendVarint(dst, t.mark)
	dst = binary.AppendUvarint(dst, uint64(t.silent.Len()))
	for e := t.silent.Front(); e != nil; e = e.Next() {
		s := e.Value.(*source)
		dst = appendBytes(dst, []byte(s.name))
		dst = binary.AppendVarint(dst, s.time)
		dst = binary.AppendVarint(dst, s.heard)
	}
	return dst
}

// read makes a new tracker what append has written.
func (t *tracker) read(d *zset.Decoder) {
	t.mark = d.Varint()
	heard := int64(-1 << 63)
	for range d.Count(SourcesMax) {
		s := &source{name: string(d.Bytes()), time: d.Varint(), heard: d.Varint()}
		if d.Bad || s.heard < heard || t.sources[s.name] != nil {
			d.Bad = true
			return
		}
		heard = s.heard
		t.sources[s.name] = s
		heap.Push(&t.least, s)
		s.place = t.silent.PushBack(s)
	}
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
