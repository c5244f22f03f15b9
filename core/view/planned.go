package view

import (
	"fmt"
	"strings"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// A Planned query can be run on demand. If nothing but events goes into it, it can be kept
// too, though it has no name: then its key stands for it. Two queries of one key have one
// answer at each cut, however they are written; constants and the definitions of
// the tables belong to the key.
type Planned struct {
	catalog *Catalog
	plan    *plan.Plan
	rows    *plan.Plan // that can be kept
	reads   *plan.Plan // the answer, from these
	tables  []string
	key     string
	why     string // it has no key
}

// KeyBytesMax bounds a key: a query with a longer one is not kept.
const KeyBytesMax = 8 << 10

// Plan plans a query.
func (c *Catalog) Plan(q *tree.Query, o Options) (*Planned, error) {
	p, err := plan.Query(q, plan.Options{Catalog: c, Params: o.Params, Now: o.Now, User: o.User})
	if err != nil {
		return nil, err
	}
	x := &Planned{catalog: c, plan: p, tables: TablesOf(p)}
	x.key, x.why = x.identify()
	return x, nil
}

// identify finds the key, or says why there is none.
func (x *Planned) identify() (key, why string) {
	if x.plan.Moment != "" {
		return "", "it depends on " + x.plan.Moment
	}
	var b strings.Builder
	b.WriteByte(keyMark)
	for _, full := range x.tables {
		t := x.catalog.types[full]
		if t == nil {
			return "", "of what it reads, " + full + " is no type of event"
		}
		fmt.Fprintf(&b, "%d ", t.oid) // given once: what is dropped and made anew has another one
	}
	if len(x.tables) == 0 {
		return "", "it reads no events"
	}
	rows, reads, ok := x.plan.Split("")
	if !ok {
		return "", "its order goes by what it does not compute"
	}
	x.rows, x.reads = rows, reads
	text, ok := rows.Key()
	switch {
	case !ok:
		return "", "it is not the same when it is planned again"
	case b.Len()+len(text) > KeyBytesMax:
		return "", fmt.Sprintf("it is too large to be recognized: %d bytes, of at most %d", b.Len()+len(text), KeyBytesMax)
	}
	b.WriteString(text)
	x.reads.Root.Table.Name = NameOf(b.String())
	return b.String(), ""
}

// Key is what the query is kept under, or "": Why says why not.
func (x *Planned) Key() string { return x.key }

// Why tells why the query cannot be kept.
func (x *Planned) Why() string { return x.why }

// Tables are the full names of what it reads.
func (x *Planned) Tables() []string { return x.tables }

// Holds tells whether the tables are in a later catalog what they were.
func (x *Planned) Holds(c *Catalog) bool {
	for _, full := range x.tables {
		if t := c.types[full]; t == nil || t.oid != x.catalog.types[full].oid {
			return false
		}
	}
	return true
}

// keyMark begins all keys, and no name of a projection.
const keyMark = 0

// NameOf is a short name for a key, to be shown, and of a projection its name.
func NameOf(key string) string {
	if key == "" || key[0] != keyMark {
		return key
	}
	return fmt.Sprintf("query-%016x", row.HashBytes(nameSeed, []byte(key)))
}

const nameSeed = 0x91_77_0b_5d

// Explain is the plan as text.
func (x *Planned) Explain() []string { return x.plan.Explain() }

// Job computes the answer.
func (x *Planned) Job(o Options) (*Job, error) { return x.catalog.newJob(x.plan, o) }

// Keep begins to keep the rows of the answer, from the beginning of all logs.
func (x *Planned) Keep(o Options) (*View, error) {
	o.keep, o.Kept = true, nil
	return x.catalog.keep(x.rows, o)
}

// Read answers from the rows that Keep of a query of the same key has kept, as of
// their last cut.
func (x *Planned) Read(kept *View, o Options) (*Job, error) {
	o.Stream = false
	o.Kept = func(string) (*View, bool) { return kept, true }
	return x.catalog.newJob(x.reads, o)
}

// Fan says why the query cannot be computed in parts, each over the events of some shards; ""
// if it can.
func (x *Planned) Fan() (why string) {
	_, _, why = x.halves()
	return why
}

func (x *Planned) halves() (part, merge *plan.Plan, why string) {
	if x.plan.Moment != "" {
		return nil, nil, "it depends on " + x.plan.Moment
	}
	for _, full := range x.tables {
		switch t := x.catalog.types[full]; {
		case t == nil:
			return nil, nil, "of what it reads, " + full + " is no type of event"
		case t.Timing != nil:
			return nil, nil, "the watermark of " + full + " comes from all shards"
		}
	}
	return x.plan.Fan()
}

// Part computes what the query's parts are merged from, over the blocks that the job takes.
func (x *Planned) Part(o Options) (*Job, error) {
	part, _, why := x.halves()
	if why != "" {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "the query has no parts: %s", why)
	}
	o.Stream, o.Kept = false, nil
	return x.catalog.newJob(part, o)
}

// Merge computes the answer from the answers of its parts, which Feed gives it.
func (x *Planned) Merge(o Options) (*Job, error) {
	_, merge, why := x.halves()
	core.Assert(why == "", "no parts: %s", why)
	o.Stream, o.Kept = false, nil
	return x.catalog.newJob(merge, o)
}

// PartTypes are the types of what Feed is given.
func (j *Job) PartTypes() []row.Type { return j.last().program.SourceTypes(0) }

// Feed gives a job of Merge rows of a part's answer, before its one step.
func (j *Job) Feed(rows *row.Batch) error {
	r := j.last()
	core.Assert(len(r.from) == 1 && r.from[0].parts && j.cut == 0, "a job that merges no parts is fed")
	in := &zset.Batch{Batch: *rows.Pick(r.program.Sources[0].Columns)}
	for range rows.N {
		in.W = append(in.W, 1)
	}
	if err := r.query.Push(0, in); err != nil {
		return j.fail(err)
	}
	return nil
}

// Definitions are the statements that make the tables which the query reads, for who plans it
// elsewhere.
func (x *Planned) Definitions() string {
	var b strings.Builder
	for _, full := range x.tables {
		text, _ := x.catalog.Lookup(full)
		fmt.Fprintf(&b, "%s;\n", text)
	}
	return b.String()
}
