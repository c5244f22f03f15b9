package view

import (
	"slices"
	"strings"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/pgcat"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// OIDs of the database's own, below those of what was created.
const (
	projectionsOID = 2200
	systemOID      = 13_001
	ownOID         = 13_010 // and what follows
)

// number is the next OID. It is a matter of the statements alone, as the whole catalog is,
// and not given twice. A schema gets one with the first that is created in it.
func (c *Catalog) number(schema string) int64 {
	if schema != "" && schema != ProjectionSchema && !slices.ContainsFunc(c.schemas, func(n pgcat.Namespace) bool { return n.Name == schema }) {
		c.schemas = append(c.schemas, pgcat.Namespace{OID: pgcat.FirstOID + c.created, Name: schema})
		c.created++
	}
	c.created++
	return pgcat.FirstOID + c.created - 1
}

// ofCatalog reports whether a table tells of the catalog: its rows are made when a query
// is planned.
func ofCatalog(full string) bool { return systemTables[full] != nil || pgcat.Has(full) }

// postgres is the catalog as PostgreSQL shows one.
func (c *Catalog) postgres() *pgcat.Contents {
	if c.contents != nil {
		return c.contents
	}
	out := &pgcat.Contents{Schemas: append([]pgcat.Namespace{{OID: projectionsOID, Name: ProjectionSchema}, {OID: systemOID, Name: SystemSchema}}, c.schemas...)}
	for i, t := range []*plan.Table{lateTable, systemTables["system.relations"], systemTables["system.columns"], systemTables[promotions]} {
		out.Relations = append(out.Relations, pgcat.Relation{OID: ownOID + int64(i), Schema: SystemSchema, Name: strings.TrimPrefix(t.Name, SystemSchema+"."), Kind: 'v', Columns: t.Schema})
	}
	for _, full := range c.order {
		if t := c.types[full]; t != nil {
			out.Relations = append(out.Relations, pgcat.Relation{OID: t.oid, Schema: t.Name.Schema, Name: t.Name.Name, Kind: 'r', Columns: t.table.Schema})
			continue
		}
		p := c.projections[full]
		r := pgcat.Relation{OID: p.oid, Schema: p.Name.Schema, Name: p.Name.Name, Kind: 'v', Columns: p.table.Schema, Definition: tree.PrintQuery(p.Query)}
		if r.Schema == "" {
			r.Schema = ProjectionSchema
		}
		if p.Kept {
			r.Kind = 'm'
		}
		out.Relations = append(out.Relations, r)
	}
	c.contents = out
	return out
}

// Call implements plan.Caller.
func (c *Catalog) Call(name string, args []*expr.Node, pos tree.Pos) (*expr.Node, *sqlerr.Error) {
	if !pgcat.Function(name) { // most are not, and the contents are not made for them
		return nil, nil
	}
	return c.postgres().Call(name, args, pos)
}

// Alias implements plan.Caller.
func (c *Catalog) Alias(name string) (kept string, named, ok bool) {
	if pgcat.Reg(name) {
		return row.Int8.String(), true, true
	}
	kept, ok = pgcat.Alias(name)
	return kept, false, ok
}
