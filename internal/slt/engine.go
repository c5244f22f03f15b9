package slt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"actordb/checkers/relational"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/parse"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// memoryMax is the limit of a query's memory.
const memoryMax = 256 << 20

// OnDemand is the engine, asked for one answer at a time. Its tables are those
// of an evaluator, which takes the statements that are not queries.
type OnDemand struct {
	Naive
	Plain bool // without the rewrites that a plan does not need
}

// NewOnDemand is an empty one.
func NewOnDemand() *OnDemand { return &OnDemand{Naive: *NewNaive()} }

func (*OnDemand) Labels() []string { return []string{"actordb", "postgresql", "engine"} }

// Table implements plan.Catalog.
func (e *OnDemand) Table(schema, name string) (*plan.Table, bool) {
	full := name
	if schema != "" {
		full = schema + "." + name
	}
	t := e.DB.Tables[full]
	if t == nil {
		return nil, false
	}
	out := &plan.Table{Name: full}
	kinds := t.Kinds()
	for i, n := range t.Names() {
		typ, err := row.ParseType(string(kinds[i]))
		if err != nil {
			return nil, false
		}
		out.Schema = append(out.Schema, row.Column{Name: n, Type: typ})
	}
	return out, true
}

func (e *OnDemand) program(sql string) (*lower.Program, *tree.Query, error) {
	s, err := parse.One(sql)
	if err != nil {
		return nil, nil, err
	}
	query, ok := s.(*tree.Select)
	if !ok {
		return nil, nil, sqlerr.Unsupported(s.At(), "this statement")
	}
	p, err := plan.Query(query.Query, plan.Options{Catalog: e, Now: e.DB.Now, Keep: e.Plain})
	if err != nil {
		return nil, nil, err
	}
	l, err := lower.Plan(p)
	return l, query.Query, err
}

// Exec runs queries on the engine, and other statements on the evaluator.
func (e *OnDemand) Exec(sql string) error {
	if isQuery(sql) {
		_, err := e.Query(sql)
		return err
	}
	return e.Naive.Exec(sql)
}

func (e *OnDemand) Query(sql string) (out [][]Cell, err error) {
	p, _, err := e.program(sql)
	if err != nil {
		return nil, err
	}
	q, err := p.Open(memoryMax)
	if err != nil {
		return nil, err
	}
	for i, s := range p.Sources {
		if err := q.Push(i, e.batch(s, p.SourceTypes(i), e.DB.Tables[s.Table].Rows(), 1)); err != nil {
			return nil, err
		}
	}
	if err := finish(q); err != nil {
		return nil, err
	}
	err = q.Rows(func(b *row.Batch) error {
		for i := range b.N {
			out = append(out, cellsOf(b, i))
		}
		return nil
	})
	return out, err
}

func finish(q *lower.Query) error {
	for {
		if done, err := q.Finish(100); done || err != nil {
			return err
		}
	}
}

// batch are rows of a table as a source wants them.
func (e *OnDemand) batch(s lower.Source, types []row.Type, rows [][]relational.Value, w int64) *zset.Batch {
	b := zset.NewBatch(types)
	for _, r := range rows {
		for i, c := range s.Columns {
			if r[c].V == nil {
				b.Cols[i].AppendNull()
			} else if err := b.Cols[i].ParseAppend([]byte(r[c].String())); err != nil {
				panic(fmt.Sprintf("slt: %s: %v", r[c], err))
			}
		}
		b.N++
		b.W = append(b.W, w)
	}
	return b
}

func cellsOf(b *row.Batch, i int) []Cell {
	out := make([]Cell, len(b.Cols))
	for k, c := range b.Cols {
		out[k] = Cell{Null: c.Null(i), Bool: c.Type.Kind == row.Bool, Number: c.Type.Kind == row.Numeric}
		if !out[k].Null {
			out[k].Text = string(c.AppendText(nil, i))
		}
	}
	return out
}

// Incremental is the engine as it keeps a view: it feeds the tables' rows a few
// at a time, with rows that do not belong there and are retracted later, and
// compares the view with the evaluator's answer after each step.
type Incremental struct {
	OnDemand
	Rand  *rand.Rand
	Steps int  // of a query, besides the last
	Last  bool // compare after the last step only, with the answer on demand
}

// NewIncremental is an empty one.
func NewIncremental(seed uint64, steps int) *Incremental {
	return &Incremental{OnDemand: *NewOnDemand(), Rand: rand.New(rand.NewPCG(seed, 1)), Steps: steps}
}

// change is a row that comes or goes.
type change struct {
	table string
	row   []relational.Value
	w     int64
}

// Exec runs queries as views, and other statements on the evaluator.
func (e *Incremental) Exec(sql string) error {
	if isQuery(sql) {
		_, err := e.Query(sql)
		return err
	}
	return e.Naive.Exec(sql)
}

func (e *Incremental) Query(sql string) ([][]Cell, error) {
	p, query, err := e.program(sql)
	if err != nil {
		return nil, err
	}
	q, err := p.Open(memoryMax)
	if err != nil {
		return nil, err
	}
	now := &OnDemand{Naive: Naive{relational.NewDB()}} // the tables as far as they were fed
	now.DB.Now = e.DB.Now
	for name, t := range e.DB.Tables {
		c := *t
		for len(c.Rows()) > 0 {
			c.Remove(len(c.Rows()) - 1)
		}
		now.DB.Tables[name] = &c
	}
	view := map[string]int64{}
	changes := e.changes(p)
	each := max(1, len(changes)/(e.Steps+1))
	for at := 0; at == 0 || at < len(changes); at += each {
		for _, c := range changes[at:min(at+each, len(changes))] {
			for i, s := range p.Sources {
				if s.Table == c.table {
					if err := q.Push(i, e.batch(s, p.SourceTypes(i), [][]relational.Value{c.row}, c.w)); err != nil {
						return nil, err
					}
				}
			}
			now.apply(c)
		}
		if err := finish(q); err != nil {
			return nil, err
		}
		integrate(view, q.Changes(), len(p.Cols))
		if e.Last {
			continue
		}
		if err := now.compare(query, q, view, sql); err != nil {
			return nil, fmt.Errorf("after %d of %d changes: %w", min(at+each, len(changes)), len(changes), err)
		}
	}
	rows, err := e.OnDemand.Query(sql) // of all rows, in order
	if why := same(rows, err, q, view); why != nil {
		return nil, fmt.Errorf("after all changes: %w", why)
	}
	return rows, err
}

// changes are the rows of the tables that a program reads, in any order, and
// copies of them that come and go.
func (e *Incremental) changes(p *lower.Program) (out []change) {
	var names []string
	for _, s := range p.Sources {
		if !slices.Contains(names, s.Table) {
			names = append(names, s.Table)
		}
	}
	for _, name := range names {
		for _, r := range e.DB.Tables[name].Rows() {
			out = append(out, change{name, r, 1})
		}
	}
	e.Rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for range len(out) / 3 { // one more of a row, which is retracted some time later
		c := out[e.Rand.IntN(len(out))]
		c.w = 1
		i := e.Rand.IntN(len(out) + 1)
		out = slices.Insert(out, i, c)
		c.w = -1
		out = slices.Insert(out, i+1+e.Rand.IntN(len(out)-i), c)
	}
	return out
}

// apply changes a table.
func (e *OnDemand) apply(c change) {
	t := e.DB.Tables[c.table]
	if c.w > 0 {
		if err := t.Add(c.row); err != nil {
			panic(err)
		}
		return
	}
	for i, r := range t.Rows() {
		if fmt.Sprint(r) == fmt.Sprint(c.row) {
			t.Remove(i)
			return
		}
	}
	panic("slt: a row that is not there is retracted")
}

// integrate adds changes to a view, without the columns that only an order needs.
func integrate(view map[string]int64, changes *zset.Batch, columns int) {
	for i := range changes.N {
		k := rowText(cellsOf(&changes.Batch, i)[:columns])
		if view[k] += changes.W[i]; view[k] == 0 {
			delete(view, k)
		}
	}
}

func rowText(cells []Cell) string {
	var parts []string
	for _, c := range cells {
		parts = append(parts, fmt.Sprintf("%v%q", c.Null, format(c, 'T')))
	}
	return strings.Join(parts, "|")
}

// compare holds a view against the evaluator's answer over the same rows, or,
// where that is too much for the evaluator, against the engine's on demand.
func (e *OnDemand) compare(query *tree.Query, q *lower.Query, view map[string]int64, sql string) error {
	want, wantErr := e.Naive.answer(query)
	var x *sqlerr.Error
	if errors.As(wantErr, &x) && x.State == sqlerr.FeatureNotSupported {
		want, wantErr = e.Query(sql)
	}
	return same(want, wantErr, q, view)
}

// same holds a view against an answer.
func same(want [][]Cell, wantErr error, q *lower.Query, view map[string]int64) error {
	err := q.Err()
	var x, y *sqlerr.Error
	if errors.As(wantErr, &x) != errors.As(err, &y) {
		return fmt.Errorf("the view's error is %v, the answer's %v", err, wantErr)
	}
	if wantErr != nil {
		return nil
	}
	diff := map[string]int64{}
	for k, n := range view {
		diff[k] += n
	}
	for _, r := range want {
		diff[rowText(r)]--
	}
	for k, n := range diff {
		if n != 0 {
			return fmt.Errorf("the view has %+d of the row %s", n, k)
		}
	}
	return nil
}
