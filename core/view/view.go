// Package view answers SQL queries from the events of a cluster.
//
//	catalog.go   event types and projections: what names mean
//	intake.go    events of blocks become rows, a batch for each event type
//	job.go       the circuits of a query and of the projections that it reads, fed
//	             with those rows, a step for each cut
//	view.go      a job that goes on, with its answer kept: a materialized view
//	find.go      rows of it by their key
//	checkpoint.go  what of it is stored, so that it can go on after a restart
//	timing.go    what an event type declares about the times of its events
//	watermark.go how far these have come, from the blocks alone
//	late.go      which events came too late for a window
//
// Blocks come from core/feed, in the order of time, cut by cut. One mechanism
// serves all reads: a query on demand is a job that takes all blocks up to a cut
// and is read once; a materialized view is a job that takes them as they come and
// is read at any cut; a subscription is a view's changes from a cut on. So they
// cannot give different answers.
//
//	A1  The answer at a cut is that of the query over all events committed at or
//	    before it, whatever the steps were in which they came.
//	A2  An event whose payload its type cannot read is counted with its place, and
//	    has no row; it never makes others disappear.
//	A3  What a job holds in memory has a limit; beyond it the job ends with SQLSTATE
//	    53200, and nothing else does.
//	A4  An event counts in every window that was not closed when it came, and in
//	    system.late_events for every other. What is closed, the journals say.
package view

import (
	"fmt"

	"actordb/core"
	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// A View is a query whose answer is kept.
type View struct {
	*Job
	all     *zset.Arrangement // the answer at the last cut
	changes *zset.Batch       // of the last cut
}

// NewView begins to keep a query, from the beginning of all logs.
func (c *Catalog) NewView(q *tree.Query, o Options) (*View, error) {
	o.keep = true
	p, err := plan.Query(q, plan.Options{Catalog: c, Params: o.Params, Now: o.Now, View: true})
	if err != nil {
		return nil, err
	}
	v, err := c.keep(p, o)
	if err == nil {
		v.attach(o.Place)
	}
	return v, err
}

func (c *Catalog) keep(p *plan.Plan, o Options) (*View, error) {
	j, err := c.newJob(p, o)
	if err != nil {
		return nil, err
	}
	types := make([]row.Type, len(j.Cols()))
	for i, col := range j.Cols() {
		types[i] = col.Type
	}
	key := keyOf(p)
	if key == nil {
		for i := range types {
			key = append(key, i)
		}
	}
	return &View{Job: j, all: zset.NewArrangement(types, zset.Order{Key: key}), changes: zset.NewBatch(types)}, nil
}

// keyOf are the columns of an answer by which its rows are grouped, if it shows them
// all: who wants a row names these.
func keyOf(p *plan.Plan) []int {
	at := map[int]int{} // column to its place in the answer
	for i, c := range p.Cols {
		at[c.ID] = i
	}
	r := p.Root
	for r.Op == plan.Project || r.Op == plan.Filter {
		if r.Op == plan.Project {
			below := map[int]int{}
			for i, c := range r.Cols {
				if place, shown := at[c.ID]; shown && r.Exprs[i].Op == expr.Column {
					below[r.Exprs[i].Index] = place
				}
			}
			at = below
		}
		r = r.In[0]
	}
	if r.Op != plan.Aggregate {
		return nil
	}
	var key []int
	for _, id := range r.Keys {
		place, shown := at[id]
		if !shown {
			return nil
		}
		key = append(key, place)
	}
	return key
}

// Subscribe begins to keep what a subscription shows.
func (c *Catalog) Subscribe(s *tree.Subscribe, o Options) (*View, error) {
	o.keep = true
	p, err := plan.Subscribe(s, plan.Options{Catalog: c, Params: o.Params, Now: o.Now})
	if err != nil {
		return nil, err
	}
	return c.keep(p, o)
}

// Finish works on the step that ends at a cut, through about fuel rows, until it is
// done: then the answer is that of the cut.
func (v *View) Finish(cut core.Timestamp, fuel int) (done bool, err error) {
	if done, err = v.Job.Finish(cut, fuel); !done || err != nil {
		return false, err
	}
	v.changes = v.Job.Changes()
	if err := v.all.Add(v.changes); err != nil {
		return false, v.fail(err)
	}
	for sealed := false; !sealed; {
		if sealed, err = v.all.Seal(sealRows); err != nil {
			return false, v.fail(err)
		}
	}
	if err := v.all.Commit(); err != nil {
		return false, v.fail(err)
	}
	return true, nil
}

const sealRows = 1 << 16

// Types are those of the answer's columns.
func (v *View) Types() []row.Type { return v.all.Types() }

// Changes are those of the last cut, weighted: they make of the answer at the cut
// before it the answer at it.
func (v *View) Changes() *zset.Batch { return v.changes }

// MemBytes is what the view holds.
func (v *View) MemBytes() int { return v.Job.MemBytes() + v.all.MemBytes() }

// Rows yields the answer at the last cut, in the order of its columns, in batches;
// each is good until the next.
func (v *View) Rows(yield func(*row.Batch) error) error {
	if err := v.Err(); err != nil {
		return err
	}
	if err := v.all.Compact(); err != nil {
		return v.fail(err)
	}
	out := row.NewBatch(v.all.Types())
	for _, run := range v.all.State() {
		c := run.Cursor()
		for ; c.Valid(); c.Next() {
			for w := c.B.W[c.I]; w > 0; w-- {
				if out.AppendRow(&c.B.Batch.Batch, c.I); out.N == row.ChunkRows {
					if err := yield(out); err != nil {
						return err
					}
					out.Clear()
				}
			}
		}
		if c.Err != nil {
			return v.fail(c.Err)
		}
	}
	if out.N > 0 {
		return yield(out)
	}
	return nil
}

// Place says where an event stands.
type Place struct {
	Shard core.ShardID
	Index core.Index
	Actor core.ActorID
	Seq   core.Seq
}

func (p Place) String() string {
	return fmt.Sprintf("%s@%d in entry %d of shard %d", p.Actor, p.Seq, p.Index, p.Shard)
}
