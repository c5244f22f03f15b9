package view

import (
	"fmt"
	"slices"

	"actordb/core"
	"actordb/core/columnar"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/seal"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/zset"
)

// Sealed events stand in columnar files, those of one type in each: the columns of the
// type's table, but for personal ones, which can be erased in a block and not in a file,
// and the watermark, which depends on what other shards have; then the version and the
// payload of each event, for other programs. The rows are in the order of key and seq, so
// that an actor's history is a range.

const (
	versionColumn = "_version"
	payloadColumn = "_payload"
)

// withoutTiming is a type as its files have it.
func (t *EventType) withoutTiming() *EventType {
	if t.Timing == nil {
		return t
	}
	plainly := *t
	plainly.Timing = nil
	plainly.table = &plan.Table{Name: t.table.Name, Schema: slices.Delete(slices.Clone(t.table.Schema), systemCols, systemCols+1)}
	return &plainly
}

// A Sealer makes columnar files of the events of one type, from blocks.
type Sealer struct {
	intake *intake
	table  []int // where in the table the columns of a file stand
	about  columnar.Description
	writer *columnar.Writer // nil: no row since the last file
	batch  *row.Batch
}

// NewSealer begins to seal events of a type.
func (c *Catalog) NewSealer(full string) (*Sealer, error) {
	t := c.types[full]
	if t == nil {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "there is no event type %q to seal", full)
	}
	t = t.withoutTiming()
	in, err := newIntake(t)
	if err != nil {
		return nil, err
	}
	s := &Sealer{intake: in, about: columnar.Description{Table: full}}
	var schema row.Schema
	for i, col := range t.table.Schema {
		if i < systemCols || !t.Personal[i-systemCols] {
			schema, s.table = append(schema, col), append(s.table, i)
		}
	}
	for _, col := range []row.Column{{Name: versionColumn, Type: row.Of(row.Int4), NotNull: true}, {Name: payloadColumn, Type: row.Of(row.Bytea), NotNull: true}} {
		for schema.Index(col.Name) >= 0 { // a field may be called so
			col.Name = "_" + col.Name
		}
		schema = append(schema, col)
	}
	s.about.Columns = columnar.ColumnsOf(schema, colSeq+1)
	s.batch = row.NewBatch(schema.Types())
	return s, schema.Check()
}

// Take takes a block's events of the type. The blocks of a shard come in the order of its
// log; chain is the hash over them up to this one.
func (s *Sealer) Take(shard core.ShardID, index core.Index, chain seal.Hash, b *journal.Block) error {
	s.ranged(shard, index, chain)
	in, version, payload := s.intake, len(s.table), len(s.table)+1
	if b.Kind == journal.Import { // these are in the files of the shard that they come from
		return nil
	}
	for i := range b.Types {
		for _, ordinal := range b.Types[i].Rows {
			e := b.Event(int(ordinal))
			if e.Type != in.event.Name.Name || e.Actor.Type() != in.event.Name.Schema {
				continue
			}
			if err := in.take(&e); err != nil {
				if s.about.Unreadable++; s.about.Unreadable == 1 {
					s.about.First = fmt.Sprintf("%s: %v", Place{shard, index, e.Actor, e.Seq}, err)
				}
				continue
			}
			s.batch.Cols[version].AppendInt(int64(e.Version))
			s.batch.Cols[payload].AppendBytes(e.Payload)
			if in.rows.N >= row.ChunkRows {
				if err := s.flush(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ranged extends the ranges that the next file has.
func (s *Sealer) ranged(shard core.ShardID, index core.Index, chain seal.Hash) {
	i := slices.IndexFunc(s.about.Ranges, func(r columnar.Range) bool { return r.Shard == shard })
	if i < 0 {
		i = len(s.about.Ranges)
		s.about.Ranges = append(s.about.Ranges, columnar.Range{Shard: shard, First: index})
	}
	r := &s.about.Ranges[i]
	core.Assert(index > r.Last, "entry %d of shard %d comes after %d", index, shard, r.Last)
	r.Last, r.Chain = index, fmt.Sprintf("%x", chain[:])
}

// flush gives the writer what the intake has.
func (s *Sealer) flush() error {
	if s.intake.rows.N == 0 {
		return nil
	}
	if s.writer == nil {
		var err error
		if s.writer, err = columnar.NewWriter(columnar.Description{Table: s.about.Table, Columns: s.about.Columns}); err != nil {
			return err
		}
	}
	list := slices.Clone(s.batch.Cols)
	for i, col := range s.table {
		list[i] = s.intake.rows.Cols[col]
	}
	err := s.writer.Add(&row.Batch{N: s.intake.rows.N, Cols: list})
	s.intake.rows.Clear()
	s.batch.Clear()
	return err
}

// Full reports whether it is time to Finish.
func (s *Sealer) Full() bool { return s.writer != nil && s.writer.Full() }

// Rows is how many events the next file has so far.
func (s *Sealer) Rows() int {
	n := s.intake.rows.N
	if s.writer != nil {
		n += s.writer.Rows()
	}
	return n
}

// Finish makes the file of the blocks taken since the last one. If none of their events
// is of the type there is none.
func (s *Sealer) Finish() (file []byte, name seal.Hash, err error) {
	if err := s.flush(); err != nil {
		return nil, name, err
	}
	if s.writer != nil {
		s.writer.Describe(s.about.Ranges, s.about.Unreadable, s.about.First)
		file, name, err = s.writer.Finish()
	}
	s.writer, s.about.Ranges, s.about.Unreadable, s.about.First = nil, nil, 0, ""
	return file, name, err
}

// Reads are the event types that the job reads.
func (j *Job) Reads() (names []string) {
	for _, in := range j.list {
		names = append(names, in.event.table.Name)
	}
	return names
}

// Needs are the columns that the job reads of a type that it Reads; there may be none. ok is
// false if files do not have them all, or if it is not only the rows that count: the
// watermark of a type with a lateness follows the order of the blocks.
func (j *Job) Needs(full string) (cols []string, ok bool) {
	in := j.intakes[full]
	core.Assert(in != nil, "a job that does not read %s is asked what it needs of it", full)
	if in.times != nil {
		return nil, false
	}
	var list []int
	for _, r := range j.runs {
		for i := range r.from {
			if r.from[i].intake != in {
				continue
			}
			list = append(list, r.program.Sources[i].Columns...)
			if asOf := r.from[i].asOf; asOf != nil {
				list = append(list, timeColumn(asOf))
			}
		}
	}
	slices.Sort(list)
	for _, col := range slices.Compact(list) {
		if col >= systemCols && in.event.Personal[col-systemCols] {
			return nil, false
		}
		cols = append(cols, in.event.table.Schema[col].Name)
	}
	return cols, true
}

// TakeRows takes events of a type whose Needs are ok, as rows of these columns, instead of
// their blocks: each as often as its weight says. They count with the next Finish, at whose
// cut all of them are committed. Rows are given to the circuits before it returns.
func (j *Job) TakeRows(full string, rows *zset.Batch) {
	in := j.intakes[full]
	core.Assert(in != nil && in.times == nil, "rows of %s for a job that does not want them", full)
	core.Assert(j.at == 0 && !j.runs[0].pushed, "rows come in the middle of a step")
	core.Assert(!j.once || j.cut == 0, "a query on demand makes one step")
	if j.err != nil {
		return // Finish says so
	}
	j.pour() // what came in blocks: then the other intakes have nothing to give twice
	names, _ := j.Needs(full)
	whole := in.rows
	in.rows = &zset.Batch{Batch: row.Batch{N: rows.N, Cols: slices.Clone(whole.Cols)}, W: rows.W}
	for i, name := range names {
		col := in.event.table.Schema.Index(name)
		core.Assert(rows.Cols[i].Type == whole.Cols[col].Type, "column %q of %s is %s", name, full, rows.Cols[i].Type)
		in.rows.Cols[col] = rows.Cols[i]
	}
	j.pushIntakes()
	in.rows = whole
}
