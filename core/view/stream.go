package view

import (
	"slices"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/plan"
	"actordb/core/zset"
)

// linear tells whether a plan passes on what it is given row by row: then an answer
// over additions alone can be read while it comes, and need not be held.
func (c *Catalog) linear(r *plan.Rel) bool {
	switch r.Op {
	case plan.Scan:
		if full := r.Table.Name; c.types[full] == nil && !ofCatalog(full) {
			below, err := c.planOf(full)
			return err == nil && c.linear(below.Root)
		}
	case plan.Values, plan.Project, plan.Filter, plan.Expand:
	case plan.SetOp:
		if r.Set != plan.UnionAll {
			return false
		}
	default:
		return false
	}
	for _, in := range r.In {
		if !c.linear(in) {
			return false
		}
	}
	return true
}

// Streams tells that Changes after each step are rows of the answer, which come
// once: the job need not have taken all blocks.
func (j *Job) Streams() bool { return j.streams }

// Due tells, of a job that streams, that the blocks taken are worth a step, which
// ends at the time returned, before the next block is taken.
func (j *Job) Due(next core.Timestamp) (core.Timestamp, bool) {
	if !j.streams || next <= j.newest || j.newest <= j.cut {
		return 0, false
	}
	for _, in := range j.list {
		if j.poured || in.rows.N >= row.ChunkRows/2 {
			return j.newest, true
		}
	}
	return 0, false
}

// NeedsBlocks tells whether the answer depends on events at all.
func (j *Job) NeedsBlocks() bool { return len(j.list) > 0 }

// Analyze is what EXPLAIN ANALYZE tells of the query's own circuit, and what all
// circuits hold.
func (j *Job) Analyze() []string { return j.last().query.Analyze() }

// rows are those of a view at its last cut that have some values, or more, copied. It
// reports whether they were looked up.
func (v *View) rows(equal []lower.Equal) (out *zset.Batch, found bool, err error) {
	if err := v.Err(); err != nil {
		return nil, false, err
	}
	out = zset.NewBatch(v.all.Types())
	if key := v.probe(equal); key != nil {
		err := v.Finder().Find(key, out)
		return out, true, err
	}
	for _, run := range v.all.State() {
		c := run.Cursor()
		for ; c.Valid(); c.Next() {
			out.AddRange(&c.B.Batch, c.I, c.I+1)
		}
		if c.Err != nil {
			return nil, false, v.fail(c.Err)
		}
	}
	return out, false, nil
}

// probe is the key that values make up, or nil if they make up none.
func (v *View) probe(equal []lower.Equal) *row.Batch {
	var types []row.Type
	var values []row.Value
	for _, col := range v.all.Key() {
		i := slices.IndexFunc(equal, func(e lower.Equal) bool { return e.Column == col })
		if i < 0 {
			return nil
		}
		types, values = append(types, v.all.Types()[col]), append(values, equal[i].Value)
	}
	if len(values) == 0 {
		return nil
	}
	b := row.NewBatch(types)
	b.AppendValues(values...)
	return b
}

// LookedUp tells whether rows of kept views were found by their keys, and the others not
// looked at.
func (j *Job) LookedUp() bool { return j.lookedUp }

// Changes is what a subscription is: those of what it shows, step by step, with
// nothing kept beside them.
func (c *Catalog) Changes(p *plan.Plan, o Options) (*Job, error) {
	o.keep = true
	return c.newJob(p, o)
}
