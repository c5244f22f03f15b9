package pgcat

import (
	"actordb/core/expr"
	"actordb/core/row"
)

// A Relation is what has rows.
type Relation struct {
	OID          int64
	Schema, Name string
	Kind         byte // as in pg_class: r of events, v a query, m a query whose rows are kept
	Columns      row.Schema
	Definition   string // the query of v and m
}

// A Namespace is what PostgreSQL calls a schema.
type Namespace struct {
	OID  int64
	Name string
}

// Contents is what there is: what was created, and what the database has of itself. It is
// not changed any more once it is asked. The tables of this package are added to it.
type Contents struct {
	Relations []Relation
	Schemas   []Namespace
	all       []Relation // with those of this package, once they are asked for
	functions []proc     // the same
}

// Database and Owner are the names of the one database, and of the one role that there is.
const (
	Database     = "actordb"
	Owner        = "actordb"
	databaseOID  = 5
	ownerOID     = 10
	collationC   = 950
	catalogOID   = 11
	standardOID  = 13000
	arrayInOID   = 750
	firstProcOID = 13_100
)

// Path is where a name without a schema is looked for, in this order.
var Path = []string{"projections", Schema}

func (c *Contents) namespaces() []Namespace {
	return append([]Namespace{{catalogOID, Schema}, {standardOID, Standard}}, c.Schemas...)
}

func (c *Contents) namespace(name string) int64 {
	for _, n := range c.namespaces() {
		if n.Name == name {
			return n.OID
		}
	}
	return 0
}

func (c *Contents) relations() []Relation {
	if c.all == nil {
		c.all = append(c.all, c.Relations...)
		for _, t := range tables {
			kind := byte('r')
			if t.schema == Standard || t.oid > 12000 {
				kind = 'v'
			}
			c.all = append(c.all, Relation{OID: t.oid, Schema: t.schema, Name: t.name, Kind: kind, Columns: t.Schema})
		}
	}
	return c.all
}

// sources are the rows of those tables that have some.
var sources = map[string]func(c *Contents, add func(kv ...any)){
	"pg_catalog.pg_namespace": func(c *Contents, add func(kv ...any)) {
		for _, n := range c.namespaces() {
			add("oid", n.OID, "nspname", n.Name)
		}
	},
	"pg_catalog.pg_class":     classes,
	"pg_catalog.pg_attribute": attributes,
	"pg_catalog.pg_type":      typeRows,
	"pg_catalog.pg_proc":      procedures,
	"pg_catalog.pg_database":  func(_ *Contents, add func(kv ...any)) { add("oid", databaseOID, "datname", Database) },
	"pg_catalog.pg_roles":     func(_ *Contents, add func(kv ...any)) { add("oid", ownerOID, "rolname", Owner) },
	"pg_catalog.pg_collation": func(_ *Contents, add func(kv ...any)) {
		add("oid", 100, "collname", "default", "collprovider", "d")
		add("oid", collationC, "collname", "C", "collprovider", "c", "collcollate", "C", "collctype", "C")
	},
	"pg_catalog.pg_tablespace": func(_ *Contents, add func(kv ...any)) { add("oid", 1663, "spcname", "pg_default") },
	"pg_catalog.pg_language":   func(_ *Contents, add func(kv ...any)) { add("oid", 12, "lanname", "internal") },
	"pg_catalog.pg_settings": func(_ *Contents, add func(kv ...any)) {
		for _, s := range Settings {
			add("name", s.Name, "setting", s.Value, "boot_val", s.Value, "reset_val", s.Value)
		}
	},
	"pg_catalog.pg_tables": func(c *Contents, add func(kv ...any)) {
		for _, r := range c.relations() {
			if r.Kind == 'r' {
				add("schemaname", r.Schema, "tablename", r.Name)
			}
		}
	},
	"pg_catalog.pg_views": func(c *Contents, add func(kv ...any)) {
		for _, r := range c.relations() {
			if r.Kind == 'v' {
				add("schemaname", r.Schema, "viewname", r.Name, "definition", r.Definition)
			}
		}
	},
	"pg_catalog.pg_matviews": func(c *Contents, add func(kv ...any)) {
		for _, r := range c.relations() {
			if r.Kind == 'm' {
				add("schemaname", r.Schema, "matviewname", r.Name, "definition", r.Definition)
			}
		}
	},
	"information_schema.schemata": schemata,
	"information_schema.tables":   standardTables,
	"information_schema.columns":  standardColumns,
	"information_schema.views":    standardViews,
}

func classes(c *Contents, add func(kv ...any)) {
	for _, r := range c.relations() {
		add("oid", r.OID, "relname", r.Name, "relnamespace", c.namespace(r.Schema), "relkind", string(r.Kind), "relnatts", len(r.Columns),
			"relhasrules", r.Kind != 'r')
	}
}

func attributes(c *Contents, add func(kv ...any)) {
	for _, r := range c.relations() {
		for i, col := range r.Columns {
			oid := OID(col.Type)
			add("attrelid", r.OID, "attname", col.Name, "atttypid", oid, "attlen", Size(oid), "attnum", i+1, "attbyval", byValue(oid), "attndims", dimensions(col.Type),
				"attstorage", storage(oid), "attnotnull", col.NotNull, "attcollation", collation(col.Type))
		}
	}
}

func byValue(oid int64) bool { n := Size(oid); return n > 0 && n <= 8 }

// storage is plain for values of a fixed size, else extended.
func storage(oid int64) string {
	if Size(oid) > 0 {
		return "p"
	}
	return "x"
}

func dimensions(t row.Type) int {
	if t.Kind == row.Array {
		return 1
	}
	return 0
}

// collation is that of texts, and of nothing else.
func collation(t row.Type) int {
	if t.Kind == row.Text || t.Elem == row.Text {
		return 100
	}
	return 0
}

func typeRows(_ *Contents, add func(kv ...any)) {
	for _, x := range types {
		t := row.Of(x.kind)
		add("oid", x.oid, "typname", x.name, "typlen", x.size, "typbyval", byValue(x.oid), "typcategory", x.category, "typispreferred", x.preferred,
			"typarray", x.array, "typstorage", storage(x.oid), "typcollation", collation(t))
		add("oid", x.array, "typname", "_"+x.name, "typlen", -1, "typbyval", false, "typcategory", "A", "typelem", x.oid, "typinput", arrayInOID,
			"typstorage", "x", "typcollation", collation(t))
	}
}

// proc is a row of pg_proc.
type proc struct {
	oid int64
	expr.Signature
}

// procs lists the functions with fixed types.
func (c *Contents) procs() []proc {
	if c.functions != nil {
		return c.functions
	}
	c.functions = []proc{{arrayInOID, expr.Signature{Name: "array_in", Args: []row.Type{row.Of(row.Text)}, Ret: row.ArrayOf(row.Text)}}}
	add := func(s expr.Signature) {
		c.functions = append(c.functions, proc{firstProcOID + int64(len(c.functions)), s})
	}
	for _, s := range expr.Signatures() {
		add(s)
	}
	for _, d := range definitions() {
		add(d.signature())
	}
	return c.functions
}

func procedures(c *Contents, add func(kv ...any)) {
	for _, p := range c.procs() {
		args := "{"
		for k, t := range p.Args {
			if k > 0 {
				args += ","
			}
			args += row.Value{Type: row.Of(row.Int8), I: OID(t)}.String()
		}
		add("oid", p.oid, "proname", p.Name, "prokind", "f", "pronargs", len(p.Args), "prorettype", OID(p.Ret), "proargtypes", args+"}", "prosrc", p.Name)
	}
}
