package lower

import (
	"encoding/binary"
	"fmt"

	"actordb/core/flow"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/zset"
	"actordb/disk"
)

// A Query is a program that runs. On demand: Push all there is, Finish, read
// Rows. As a view: Push what changed, Finish, read Changes, and again.
type Query struct {
	program *Program
	circuit *flow.Circuit
	begun   bool
	read    []int64 // rows pushed, of each source
	sorter  zset.Sorter
	sorted  *zset.Batch
}

// Open starts a program with a limit of memory.
func (p *Program) Open(memoryBytes int) (*Query, error) {
	return p.open(flow.Config{MemoryBytes: memoryBytes})
}

// OpenOnce starts a program that will make one step, of additions alone: a query on
// demand, which needs to keep less.
func (p *Program) OpenOnce(memoryBytes int) (*Query, error) {
	return p.open(flow.Config{MemoryBytes: memoryBytes, Once: true})
}

// A Place is where a query's state is checkpointed: under a prefix, read from a store if
// there is some.
type Place struct {
	Store  zset.Store
	Prefix []byte
}

// OpenAt is Open for a query that is checkpointed.
func (p *Program) OpenAt(memoryBytes int, at Place) (*Query, error) {
	return p.open(flow.Config{MemoryBytes: memoryBytes, Store: at.Store, Prefix: at.Prefix})
}

func (p *Program) open(config flow.Config) (*Query, error) {
	c, err := p.flow.Build(config)
	if err != nil {
		return nil, asError(err)
	}
	return &Query{program: p, circuit: c, read: make([]int64, len(p.Sources)), sorted: zset.NewBatch(p.types)}, nil
}

// start feeds what does not change.
func (q *Query) start() error {
	if q.begun {
		return nil
	}
	q.begun = true
	for _, c := range q.program.rows {
		if err := q.circuit.Push(c.node, c.batch); err != nil {
			return asError(err)
		}
	}
	return nil
}

// Push feeds changes of source i of the program: its Columns, with weights.
func (q *Query) Push(i int, in *zset.Batch) error {
	if err := q.start(); err != nil {
		return err
	}
	q.read[i] += int64(in.N)
	return asError(q.circuit.Push(q.program.Sources[i].node, in))
}

// Finish works on a step, through about fuel rows, until it is done.
func (q *Query) Finish(fuel int) (done bool, err error) {
	if err := q.start(); err != nil {
		return false, err
	}
	if done, err = q.circuit.Finish(fuel); err == nil && q.circuit.Late() > 0 {
		err = sqlerr.New(sqlerr.InternalError, "a row came for a window whose state is gone")
	}
	return done, asError(err)
}

// Checkpoint adds the query's state to b, as of the step that ended last.
func (q *Query) Checkpoint(b *disk.Batch) error {
	cut := binary.AppendUvarint(nil, uint64(len(q.read)))
	for _, n := range q.read {
		cut = binary.AppendVarint(cut, n)
	}
	return asError(q.circuit.Checkpoint(b, cut))
}

// Restore makes a new query what it was at the checkpoint that its store holds. It is read
// into memory by Warm.
func (q *Query) Restore() error {
	cut, found, err := q.circuit.Restore()
	if err != nil {
		return err
	}
	n, k := binary.Uvarint(cut)
	if !found || k <= 0 || n != uint64(len(q.read)) {
		return &zset.DamageError{What: "there is no checkpoint of this query"}
	}
	cut = cut[k:]
	for i := range q.read {
		if q.read[i], k = binary.Varint(cut); k <= 0 {
			return &zset.DamageError{What: "the checkpoint is cut short"}
		}
		cut = cut[k:]
	}
	q.begun = true // what does not change is in the state
	return nil
}

// Warm reads about so many restored rows into memory, and reports whether that was all.
func (q *Query) Warm(rows int) (done bool, err error) { return q.circuit.Warm(rows) }

// Err is what the answer must be refused with, as long as the rows are there
// that it depends on.
func (q *Query) Err() error {
	e, err := q.circuit.Error()
	if err != nil {
		return asError(err)
	}
	if e != nil {
		return sqlerr.New(sqlerr.State(e.Code), "%s", e.Text)
	}
	return nil
}

// Changes are those of the answer in the step that ended last.
func (q *Query) Changes() *zset.Batch { return q.circuit.Output(q.program.output) }

// Rows yields the answer of a query of one step, in its order, in batches; each
// is good until the next.
func (q *Query) Rows(yield func(*row.Batch) error) error {
	if err := q.Err(); err != nil {
		return err
	}
	r := q.Read()
	out := row.NewBatch(r.Types())
	for r.Next(out, row.ChunkRows, maxBytes) {
		if err := yield(out); err != nil {
			return err
		}
		out.Clear()
	}
	return nil
}

// maxBytes of rows: as many as there are.
const maxBytes = 1 << 62

// A Reading is the answer of a query of one step, on its way out. The query must
// not be fed meanwhile.
type Reading struct {
	show *row.Batch
	w    []int64
	at   int
	done int64 // times that the row at hand was given out
}

// Read begins to read the answer, in the query's order.
func (q *Query) Read() *Reading {
	in := q.Changes()
	if len(q.program.order) > 0 {
		q.sorted.Clear()
		q.sorter.SortBy(in, q.sorted, q.program.order)
		in = q.sorted
	}
	return &Reading{show: in.Batch.Pick(upTo(len(q.program.Cols))), w: in.W}
}

// Types are the columns' types.
func (r *Reading) Types() []row.Type { return r.show.Types() }

// Next adds rows to out until it has rows of them, or bytes; it reports whether there were any.
func (r *Reading) Next(out *row.Batch, rows, bytes int) bool {
	for size := 0; r.at < len(r.w) && out.N < rows && size < bytes; {
		if r.done >= r.w[r.at] {
			r.at, r.done = r.at+1, 0
			continue
		}
		out.AppendRow(r.show, r.at)
		size += r.show.RowBytes(r.at)
		r.done++
	}
	return out.N > 0
}

// MemBytes is what the query holds.
func (q *Query) MemBytes() int { return q.circuit.MemBytes() }

// Analyze is what EXPLAIN ANALYZE adds to the plan: what the query has read, and
// what it answered and held in its last step.
func (q *Query) Analyze() (lines []string) {
	for i, s := range q.program.Sources {
		lines = append(lines, fmt.Sprintf("read %d rows of %s", q.read[i], s.Table))
	}
	n := int64(0)
	for _, w := range q.Changes().W {
		n += max(w, -w)
	}
	return append(lines, fmt.Sprintf("answered %d rows", n), fmt.Sprintf("held %d bytes", q.circuit.MemBytes()))
}

func upTo(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// SourceTypes are the types of what source i is fed.
func (p *Program) SourceTypes(i int) []row.Type { return p.flow.Types(p.Sources[i].node) }
