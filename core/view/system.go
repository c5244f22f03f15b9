package view

import (
	"maps"
	"slices"
	"strings"

	"actordb/core/row"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// The catalog itself as tables. They are read as they are when a query is planned:
// nothing that is kept can depend on them.
//
//	system.relations (name, kind, materialized, definition)
//	system.columns (relation, position, name, type, not_null, personal)
//	system.promotions (name, kind, state, question_rows, paid, price, definition)
//
// system.promotions is what the node that is asked thinks of views that nobody declared to
// be kept, at the moment: no function of the journals, and other nodes think otherwise.
// position is that of the payload's field for those columns of an event type that
// are fields, and 0 for others.
var systemTables = map[string]*plan.Table{
	"system.relations": {Name: "system.relations", Schema: row.Schema{
		{Name: "name", Type: row.Of(row.Text), NotNull: true},
		{Name: "kind", Type: row.Of(row.Text), NotNull: true},
		{Name: "materialized", Type: row.Of(row.Bool), NotNull: true},
		{Name: "definition", Type: row.Of(row.Text), NotNull: true},
	}},
	"system.columns": {Name: "system.columns", Schema: row.Schema{
		{Name: "relation", Type: row.Of(row.Text), NotNull: true},
		{Name: "position", Type: row.Of(row.Int4), NotNull: true},
		{Name: "name", Type: row.Of(row.Text), NotNull: true},
		{Name: "type", Type: row.Of(row.Text), NotNull: true},
		{Name: "not_null", Type: row.Of(row.Bool), NotNull: true},
		{Name: "personal", Type: row.Of(row.Bool), NotNull: true},
	}},
	promotions: {Name: promotions, Schema: row.Schema{
		{Name: "name", Type: row.Of(row.Text), NotNull: true},
		{Name: "kind", Type: row.Of(row.Text), NotNull: true},          // projection or query
		{Name: "state", Type: row.Of(row.Text), NotNull: true},         // on demand, building or kept
		{Name: "question_rows", Type: row.Of(row.Int8), NotNull: true}, // that one goes through on demand
		{Name: "paid", Type: row.Of(row.Int8), NotNull: true},          // of the price; then it is promoted, and demoted at 0
		{Name: "price", Type: row.Of(row.Int8), NotNull: true},         // of building, in rows of questions
		{Name: "definition", Type: row.Of(row.Text), NotNull: true},    // its beginning
	}},
}

const promotions = SystemSchema + ".promotions"

// promotionRows are those of system.promotions.
func promotionRows(o Options) *zset.Batch {
	out := zset.NewBatch(systemTables[promotions].Schema.Types())
	number := func(n int64) row.Value { return row.Value{Type: row.Of(row.Int8), I: n} }
	if o.Candidates == nil {
		return out
	}
	for _, x := range o.Candidates() {
		name, kind, state := x.Name, "projection", "on demand"
		if !strings.Contains(name, ".") {
			kind = "query"
		}
		if x.Kept {
			state = "kept"
			if !x.Built {
				state = "building"
			}
		}
		out.AddValues(1, text(name), text(kind), text(state), number(x.Rows), number(x.Paid), number(x.Price), text(x.Text))
	}
	return out
}

// systemRows are the rows of one of them.
func (c *Catalog) systemRows(full string, o Options) (*zset.Batch, error) {
	if o.keep && !o.Stream {
		return nil, sqlerr.Unsupported(tree.NoPos, "keeping what is read from %s", full)
	}
	if full == promotions {
		return promotionRows(o), nil
	}
	if systemTables[full] == nil {
		return c.postgres().Rows(full), nil
	}
	out := zset.NewBatch(systemTables[full].Schema.Types())
	for _, name := range c.order {
		t, p := c.types[name], c.projections[name]
		if full == "system.relations" {
			if t != nil {
				out.AddValues(1, text(name), text("event type"), boolean(false), text(t.text))
			} else {
				out.AddValues(1, text(name), text("projection"), boolean(p.Kept), text(p.text))
			}
			continue
		}
		schema, fields := row.Schema(nil), 0
		if t != nil {
			schema, fields = t.table.Schema, len(t.Fields)
		} else {
			schema = p.table.Schema
		}
		for i, col := range schema {
			field := i - (len(schema) - fields) // of the payload, from 0
			position, personal := 0, false
			if field >= 0 && t != nil {
				position, personal = int(t.Fields[field].Number), t.Personal[field]
			}
			out.AddValues(1, text(name), row.Value{Type: row.Of(row.Int4), I: int64(position)}, text(col.Name), text(col.Type.String()),
				boolean(col.NotNull), boolean(personal))
		}
	}
	return out, nil
}

func text(s string) row.Value { return row.Value{Type: row.Of(row.Text), B: []byte(s)} }

func boolean(b bool) row.Value {
	v := row.Value{Type: row.Of(row.Bool)}
	if b {
		v.I = 1
	}
	return v
}

// Clone is a catalog that can be changed apart from c.
func (c *Catalog) Clone() *Catalog {
	return &Catalog{types: maps.Clone(c.types), projections: maps.Clone(c.projections), order: slices.Clone(c.order),
		schemas: slices.Clone(c.schemas), created: c.created}
}

// Lookup tells whether there is an event type or a projection of a full name, and
// which statement made it.
func (c *Catalog) Lookup(full string) (statement string, ok bool) {
	if t := c.types[full]; t != nil {
		return t.text, true
	}
	if p := c.projections[full]; p != nil {
		return p.text, true
	}
	return "", false
}

// Reads are the event types and projections that some depend on, directly or not, and
// they themselves.
func (c *Catalog) Reads(names []string) (all []string) {
	for _, full := range names {
		all = append(all, full)
		if p := c.projections[full]; p != nil {
			all = append(all, c.Reads(p.Uses)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TablesOf are the full names of what a plan scans.
func TablesOf(p *plan.Plan) []string { return tablesOf(p.Root, nil) }
