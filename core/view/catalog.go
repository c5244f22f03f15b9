package view

import (
	"slices"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/pgcat"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// An EventType is a type of event as a table: the schema's name is the type of
// actor, the table's the type of event.
type EventType struct {
	Name     tree.Name
	Fields   []row.Field // of the payload, numbered from 1 in the order of the columns
	Personal []bool      // of each field: it stands with the personal columns
	Timing   *Timing     // nil: nothing about it is ever final
	oid      int64
	table    *plan.Table
	text     string // of the statement
}

// system are the columns that every event has, before those of its type.
var system = row.Schema{
	{Name: "key", Type: row.Of(row.Text), NotNull: true},                // of the actor
	{Name: "seq", Type: row.Of(row.Int8), NotNull: true},                // in the actor's history
	{Name: "event_time", Type: row.Of(row.Timestamptz), NotNull: true},  // when it happened
	{Name: "commit_time", Type: row.Of(row.Timestamptz), NotNull: true}, // when it was recorded
	{Name: "principal", Type: row.Of(row.Text), NotNull: true},          // who caused it
}

// Positions of the system's columns.
const (
	colKey = iota
	colSeq
	colEventTime
	colCommitTime
	colPrincipal
	systemCols
)

// watermark is a column more of types that declare a lateness: that of the type when
// the event was recorded.
var watermark = row.Column{Name: "watermark", Type: row.Of(row.Timestamptz), NotNull: true}

// fieldCol is the column of a type's first field.
func (t *EventType) fieldCol() int {
	if t.Timing != nil {
		return systemCols + 1
	}
	return systemCols
}

// A Projection is a query with a name.
type Projection struct {
	Name  tree.Name
	Query *tree.Query
	Uses  []string // tables, by their full names
	Kept  bool     // materialized: its rows are kept
	names []string // of the columns
	oid   int64
	text  string // of the statement
	table *plan.Table
}

// A Catalog says what names mean. It implements plan.Catalog.
type Catalog struct {
	types       map[string]*EventType
	projections map[string]*Projection
	order       []string // of creation: what is used comes first
	schemas     []pgcat.Namespace
	created     int64           // ever, schemas too: they are numbered
	contents    *pgcat.Contents // as PostgreSQL shows it; nil: nobody has asked since it changed
}

// NewCatalog is empty.
func NewCatalog() *Catalog {
	return &Catalog{types: map[string]*EventType{}, projections: map[string]*Projection{}}
}

// Limits of a catalog.
const (
	ObjectsMax = 10_000
	// ProjectionSchema is where a projection is that names no schema, and where a
	// table is looked for that has none.
	ProjectionSchema = "projections"
)

func fullName(schema, name string) string {
	if schema == "" {
		schema = ProjectionSchema
	}
	return schema + "." + name
}

// Table implements plan.Catalog.
func (c *Catalog) Table(schema, name string) (*plan.Table, bool) {
	full := fullName(schema, name)
	if full == LateEvents {
		return lateTable, true
	}
	if t := c.types[full]; t != nil {
		return t.table, true
	}
	if p := c.projections[full]; p != nil {
		return p.table, true
	}
	if t := systemTables[full]; t != nil {
		return t, true
	}
	return pgcat.Table(schema, name)
}

// Names lists event types and projections in the order of their creation.
func (c *Catalog) Names() []string { return slices.Clone(c.order) }

// EventType finds one by its full name.
func (c *Catalog) EventType(full string) (*EventType, bool) { t := c.types[full]; return t, t != nil }

// Projection finds one by its full name.
func (c *Catalog) Projection(full string) (*Projection, bool) {
	p := c.projections[full]
	return p, p != nil
}

// Execute carries out a statement that creates or drops. Others are refused.
func (c *Catalog) Execute(s tree.Statement) error {
	c.contents = nil
	switch s := s.(type) {
	case *tree.CreateEventType:
		return c.createEventType(s)
	case *tree.CreateProjection:
		return c.createProjection(s)
	case *tree.Drop:
		return c.drop(s)
	}
	return sqlerr.Unsupported(s.At(), "this statement here")
}

// room refuses a name that is taken, and one too many.
func (c *Catalog) room(name tree.Name, ifNotExists bool) (full string, err error) {
	full = fullName(name.Schema, name.Name)
	if name.Schema == SystemSchema || pgcat.Own(name.Schema) {
		return "", sqlerr.At(name.Pos, insufficientPrivilege, "schema %q is the database's own", name.Schema).Hint("choose another name")
	}
	if _, taken := c.Lookup(full); taken {
		if ifNotExists {
			return "", nil
		}
		return "", sqlerr.At(name.Pos, sqlerr.DuplicateTable, "relation %q already exists", full)
	}
	if len(c.order) >= ObjectsMax {
		return "", sqlerr.At(name.Pos, sqlerr.ProgramLimit, "%d event types and projections are the most", ObjectsMax).Hint("drop some")
	}
	return full, nil
}

func (c *Catalog) createEventType(s *tree.CreateEventType) error {
	if !core.ValidTypeName(s.Name.Schema) || !core.ValidTypeName(s.Name.Name) {
		return sqlerr.At(s.Name.Pos, sqlerr.SyntaxError, "%q is no type of event", s.Name.Schema+"."+s.Name.Name).
			Hint("write actor_type.event_type, each of a-z 0-9 . _ - and beginning with a letter")
	}
	full, err := c.room(s.Name, s.IfNotExists)
	if full == "" {
		return err
	}
	t := &EventType{Name: s.Name, text: tree.Print(s), table: &plan.Table{Name: full, Schema: slices.Clone(system)}}
	if len(s.Options) > 0 {
		t.table.Schema = append(t.table.Schema, watermark)
	}
	for i, col := range s.Columns {
		typ, err := plan.TypeOf(col.Type)
		if err != nil {
			return err
		}
		if t.table.Schema.Index(col.Name) >= 0 {
			return sqlerr.At(col.Pos, sqlerr.DuplicateColumn, "column %q specified more than once, or of every event", col.Name)
		}
		f := row.Field{Number: int32(i + 1), Column: row.Column{Name: col.Name, Type: typ, NotNull: col.NotNull}}
		if col.Personal && col.NotNull {
			return sqlerr.At(col.Pos, sqlerr.InvalidTableDef, "column %q cannot be PERSONAL and NOT NULL: what is erased is null", col.Name)
		}
		t.Fields, t.Personal = append(t.Fields, f), append(t.Personal, col.Personal)
		shown := f.Column
		t.table.Schema = append(t.table.Schema, shown)
	}
	if err := row.CheckFields(t.Fields); err != nil {
		return err
	}
	if t.Timing, err = timing(s); err != nil {
		return err
	}
	if t.Timing != nil {
		t.table.Clock = &plan.Clock{Time: colEventTime, Closed: len(t.table.Schema), Correction: t.Timing.Correction,
			Shown: []int{colKey, colSeq, colEventTime, colCommitTime, colPrincipal, systemCols}}
		if t.Timing.Source, err = t.source(s); err != nil {
			return err
		}
	}
	t.oid = c.number(s.Name.Schema)
	c.types[full] = t
	c.order = append(c.order, full)
	return nil
}

func (c *Catalog) createProjection(s *tree.CreateProjection) error {
	full, err := c.room(s.Name, s.IfNotExists)
	if full == "" {
		return err
	}
	made := &Projection{Name: s.Name, Query: s.Query, text: tree.Print(s), table: &plan.Table{Name: full}}
	for _, o := range s.Options {
		switch {
		case o.Name != "materialized":
			return sqlerr.At(o.Pos, sqlerr.InvalidParameter, "projections have no option %q", o.Name).Hint("materialized is one")
		case o.Value != "true" && o.Value != "false":
			return sqlerr.At(o.Pos, sqlerr.InvalidParameter, "materialized is true or false, not %q", o.Value)
		}
		made.Kept = o.Value == "true"
	}
	p, err := plan.Projection(s, plan.Options{Catalog: c})
	if err != nil {
		return err
	}
	for _, col := range p.Cols {
		made.names = append(made.names, col.Name)
		made.table.Schema = append(made.table.Schema, row.Column{Name: col.Name, Type: col.Type})
	}
	if made.Uses = tablesOf(p.Root, nil); slices.Contains(made.Uses, LateEvents) {
		return sqlerr.Unsupported(s.Name.Pos, LateEvents+" in a projection: it tells of all projections")
	}
	for _, used := range made.Uses {
		if ofCatalog(used) {
			return sqlerr.Unsupported(s.At(), "a projection of %s", used)
		}
	}
	made.oid = c.number(s.Name.Schema)
	c.projections[full] = made
	c.order = append(c.order, full)
	return nil
}

// tablesOf adds the tables that a plan reads to list.
func tablesOf(r *plan.Rel, list []string) []string {
	if r.Op == plan.Scan && !slices.Contains(list, r.Table.Name) {
		list = append(list, r.Table.Name)
	}
	for _, in := range r.In {
		list = tablesOf(in, list)
	}
	return list
}

func (c *Catalog) drop(s *tree.Drop) error {
	var gone []string
	for _, name := range s.Names {
		full := fullName(name.Schema, name.Name)
		known := c.types[full] != nil
		if s.Kind == tree.Projections {
			known = c.projections[full] != nil
		}
		switch {
		case known:
			gone = append(gone, full)
		case !s.IfExists:
			return sqlerr.At(name.Pos, sqlerr.UndefinedTable, "relation %q does not exist", full)
		}
	}
	for i := 0; i < len(gone); i++ {
		for _, user := range c.users(gone[i]) {
			switch {
			case slices.Contains(gone, user):
			case s.Cascade:
				gone = append(gone, user)
			default:
				return sqlerr.At(s.At(), dependentObjects, "projection %q reads %q", user, gone[i]).Hint("drop it first, or add CASCADE")
			}
		}
	}
	for _, full := range gone {
		delete(c.types, full)
		delete(c.projections, full)
	}
	c.order = slices.DeleteFunc(c.order, func(full string) bool { return slices.Contains(gone, full) })
	return nil
}

const dependentObjects sqlerr.State = "2BP01" // dependent_objects_still_exist

// users are the projections that read a table, in the order of their creation.
func (c *Catalog) users(full string) (list []string) {
	for _, name := range c.order {
		if p := c.projections[name]; p != nil && slices.Contains(p.Uses, full) {
			list = append(list, name)
		}
	}
	return list
}
