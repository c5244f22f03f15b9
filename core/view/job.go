package view

import (
	"fmt"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/plan"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// Options of a query.
type Options struct {
	Params []row.Value
	Now    int64 // microseconds since 1970-01-01 00:00 UTC
	User   string
	Memory int  // bytes that a circuit may hold; 0: MemoryDefault
	Stream bool // the answer may be read while it comes, where the plan allows it
	// Kept finds the rows of a projection that are kept, as of the cut that the job
	// will finish; nil: none are.
	Kept func(full string) (*View, bool)
	// Candidates are those of the node's policy; nil: it has none.
	Candidates func() []Candidate
	// Place is where the view is checkpointed; without a prefix it is not.
	Place lower.Place

	keep bool
}

// MemoryDefault is what one circuit may hold.
const MemoryDefault = 256 << 20

// A Job computes the answer of one query from events: its circuit and those of the
// projections that it reads, directly or not.
type Job struct {
	intakes map[string]*intake
	list    []*intake      // the same
	runs    []*run         // what is read comes first; the last is the query's
	at      int            // of runs: the one that works on the step
	once    bool           // one step, and no more
	streams bool           // a step now and then, whose changes are the answer
	newest  core.Timestamp // of the blocks taken
	poured  bool           // the circuits hold a part of the present step

	lookedUp bool // rows of a kept view by their key
	cut      core.Timestamp
	err      error

	Undecodable int64  // events that their type cannot read
	First       string // the first of them, and why
}

// run is one circuit of a job.
type run struct {
	program *lower.Program
	query   *lower.Query
	from    []input
	pushed  bool // of the present step
	picked  *zset.Batch
	name    string // of the projection that it computes as of now, or ""
	rows    int64  // pushed, ever
}

// input is where a source of a circuit gets its rows: from an intake or a run.
type input struct {
	intake *intake
	run    *run
	fixed  *zset.Batch // or what is there from the beginning
	parts  bool        // or by Feed
	asOf   *plan.AsOf
}

// NewJob plans a query and what it reads.
func (c *Catalog) NewJob(q *tree.Query, o Options) (*Job, error) {
	p, err := c.Plan(q, o)
	if err != nil {
		return nil, err
	}
	return p.Job(o)
}

func (c *Catalog) newJob(p *plan.Plan, o Options) (*Job, error) {
	if o.Memory == 0 {
		o.Memory = MemoryDefault
	}
	j := &Job{intakes: map[string]*intake{}, once: !o.keep}
	if o.Stream && !o.keep && len(p.Order) == 0 && c.linear(p.Root) {
		j.streams, j.once, o.keep = true, false, true
	}
	if _, err := c.addRun(j, p, nil, o, map[string]*run{}); err != nil {
		return nil, err
	}
	return j, nil
}

// addRun makes the circuit of a plan and, before it, of the projections that it
// reads, each as of a time once.
func (c *Catalog) addRun(j *Job, p *plan.Plan, asOf *plan.AsOf, o Options, made map[string]*run) (*run, error) {
	program, err := lower.Plan(p)
	if err != nil {
		return nil, err
	}
	r := &run{program: program}
	for i := range program.Sources {
		s := &program.Sources[i]
		in := input{asOf: asOf}
		if s.AsOf != nil {
			in.asOf = s.AsOf
		}
		if s.Table == plan.PartsTable {
			in.parts = true
		} else if t := c.types[s.Table]; t != nil {
			in.intake, err = j.intake(s.Table, t)
		} else if ofCatalog(s.Table) {
			in.fixed, err = c.systemRows(s.Table, o)
		} else if kept, ok := o.kept(s.Table, in.asOf); ok {
			var found bool
			in.fixed, found, err = kept.rows(s.Equal)
			j.lookedUp = j.lookedUp || found
		} else {
			in.run, err = c.projectionRun(j, s.Table, in.asOf, o, made)
		}
		if err != nil {
			return nil, err
		}
		r.from = append(r.from, in)
	}
	switch {
	case o.keep && o.Place.Prefix != nil:
		r.query, err = program.OpenAt(o.Memory, circuit(o.Place, len(j.runs)))
	case o.keep:
		r.query, err = program.Open(o.Memory)
	default:
		r.query, err = program.OpenOnce(o.Memory)
	}
	if err != nil {
		return nil, err
	}
	r.picked = &zset.Batch{}
	j.runs = append(j.runs, r)
	return r, nil
}

func (c *Catalog) projectionRun(j *Job, full string, asOf *plan.AsOf, o Options, made map[string]*run) (*run, error) {
	key := full
	if asOf != nil {
		key += fmt.Sprintf(" %s %d", asOf.Axis, asOf.Micros)
	}
	if r := made[key]; r != nil {
		return r, nil
	}
	p, err := c.planOf(full)
	if err != nil {
		return nil, err
	}
	r, err := c.addRun(j, p, asOf, o, made)
	if err == nil {
		made[key] = r
		if asOf == nil {
			r.name = full
		}
	}
	return r, err
}

// planOf is the query of a projection, or of LateEvents.
func (c *Catalog) planOf(full string) (*plan.Plan, error) {
	if full == LateEvents {
		return c.latePlan()
	}
	proj := c.projections[full]
	core.Assert(proj != nil, "a plan reads %s, which the catalog does not have", full)
	return plan.Query(proj.Query, plan.Options{Catalog: c, View: true})
}

func (j *Job) intake(full string, t *EventType) (*intake, error) {
	if in := j.intakes[full]; in != nil {
		return in, nil
	}
	in, err := newIntake(t)
	if err == nil {
		j.intakes[full] = in
		j.list = append(j.list, in)
	}
	return in, err
}

// kept finds the rows of a projection that are kept.
func (o *Options) kept(full string, asOf *plan.AsOf) (*View, bool) {
	if o.Kept == nil || asOf != nil {
		return nil, false
	}
	return o.Kept(full)
}

func (j *Job) last() *run { return j.runs[len(j.runs)-1] }

// Cols are the answer's columns.
func (j *Job) Cols() []plan.Col { return j.last().program.Cols }

// Cut is the last one that the job has finished.
func (j *Job) Cut() core.Timestamp { return j.cut }

// MemBytes is what the circuits hold.
func (j *Job) MemBytes() (n int) {
	for _, r := range j.runs {
		n += r.query.MemBytes()
	}
	return n
}

// Take takes a block's events. They count with the next Finish. Blocks come in
// the order of time, each once, and none at or below a finished cut.
func (j *Job) Take(shard core.ShardID, index core.Index, b *journal.Block) {
	core.Assert(b.Timestamp > j.cut, "a block stamped %s comes after the cut %s", b.Timestamp, j.cut)
	core.Assert(j.at == 0 && !j.runs[0].pushed, "a block comes in the middle of a step")
	core.Assert(!j.once || j.cut == 0, "a query on demand makes one step")
	if j.err != nil {
		return // Finish says so
	}
	j.newest = b.Timestamp
	takeBlock(j.intakes, b, func(e *core.Event, err error) {
		if j.Undecodable++; j.Undecodable == 1 {
			j.First = fmt.Sprintf("%s: %v", Place{shard, index, e.Actor, e.Seq}, err)
		}
	})
	for _, in := range j.list {
		if in.rows.N >= row.ChunkRows {
			j.pour()
			break
		}
	}
}

// pour gives the circuits what the intakes have, so that a long history does not
// stand in them as a whole.
func (j *Job) pour() {
	j.pushIntakes()
	for _, in := range j.list {
		in.rows.Clear()
	}
}

func (j *Job) pushIntakes() {
	j.poured = true
	for _, r := range j.runs {
		if err := r.push(true); err != nil {
			j.fail(err)
			return
		}
	}
}

// Finish works on the step that ends at a cut, through about fuel rows, and
// reports whether it is done. An error ends the job.
func (j *Job) Finish(cut core.Timestamp, fuel int) (done bool, err error) {
	if j.err != nil {
		return false, j.err
	}
	core.Assert(cut >= j.cut, "a step to the cut %s after %s", cut, j.cut)
	for ; j.at < len(j.runs); j.at++ {
		r := j.runs[j.at]
		if !r.pushed {
			if err := r.push(false); err != nil {
				return false, j.fail(err)
			}
			r.pushed = true
		}
		done, err := r.query.Finish(fuel)
		if err != nil {
			return false, j.fail(err)
		}
		if !done {
			return false, nil
		}
	}
	j.at, j.cut, j.poured = 0, cut, false
	if !j.once {
		j.close()
	}
	for _, r := range j.runs {
		r.pushed = false
	}
	for _, in := range j.list {
		in.rows.Clear()
	}
	return true, nil
}

// close lets circuits discard what can change no more after the cut.
func (j *Job) close() {
	for _, r := range j.runs {
		for i, t := range r.program.Clocks() {
			if closed := j.intakes[t.Name].closed(j.cut); closed != row.NegInfinity {
				r.query.Close(i, closed)
			}
		}
	}
}

// Watermark is how far the times of a type's events had come at the last cut, and
// what was closed, in microseconds since 1970. A type that declares no lateness, that
// the job does not read, or that had no event, has none.
func (j *Job) Watermark(full string) (mark, closed int64, ok bool) {
	in := j.intakes[full]
	if in == nil || in.times == nil {
		return 0, 0, false
	}
	mark = in.times.at(micros(j.cut))
	return mark, in.times.closed(mark), mark != row.NegInfinity
}

func (j *Job) fail(err error) error {
	if j.err == nil {
		j.err = err
	}
	return j.err
}

// push feeds a circuit with what its inputs have: the intakes alone, in the middle of
// a step, or all.
func (r *run) push(intakes bool) error {
	for i := range r.from {
		in := &r.from[i]
		if intakes && in.intake == nil {
			continue
		}
		var rows *zset.Batch
		switch {
		case in.intake != nil:
			rows = in.intake.rows
		case in.run != nil:
			rows = in.run.query.Changes()
		case in.fixed == nil:
			continue
		default:
			rows, in.fixed = in.fixed, nil
		}
		r.picked.Batch, r.picked.W = *rows.Batch.Pick(r.program.Sources[i].Columns), rows.W
		if in.intake != nil && in.asOf != nil {
			r.picked = before(r.picked, rows.Cols[timeColumn(in.asOf)], in.asOf)
		}
		if r.picked.N == 0 {
			continue
		}
		r.rows += int64(r.picked.N)
		if err := r.query.Push(i, r.picked); err != nil {
			return err
		}
	}
	return nil
}

// timeColumn is the column of an event type that tells whether an event is as of a time.
func timeColumn(asOf *plan.AsOf) int {
	if asOf.Axis == tree.SystemTime {
		return colCommitTime
	}
	return colEventTime
}

// before are the rows of events at or before a time.
func before(in *zset.Batch, times *row.Vector, asOf *plan.AsOf) *zset.Batch {
	var sel []int32
	for i, at := range times.I {
		if at <= asOf.Micros {
			sel = append(sel, int32(i))
		}
	}
	if len(sel) == in.N {
		return in
	}
	out := zset.NewBatch(in.Types())
	out.AddGather(in, sel)
	return out
}

// Err is what the answer must be refused with: that of a circuit that failed, or,
// as long as they are there, of rows that have no value.
func (j *Job) Err() error {
	if j.err != nil {
		return j.err
	}
	for _, r := range j.runs {
		if err := r.query.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Changes are those of the last step.
func (j *Job) Changes() *zset.Batch { return j.last().query.Changes() }

// Rows yields the answer of a job of one step, in the query's order, in batches;
// each is good until the next.
func (j *Job) Rows(yield func(*row.Batch) error) error {
	if err := j.Err(); err != nil {
		return err
	}
	return j.last().query.Rows(yield)
}

// Read begins to read what Rows would yield, for who takes it piece by piece.
func (j *Job) Read() (*lower.Reading, error) {
	if err := j.Err(); err != nil {
		return nil, err
	}
	return j.last().query.Read(), nil
}
