package parse

import (
	"fmt"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// A converter turns PostgreSQL's tree into ours. The first error stays in err;
// what is built after it is thrown away.
type converter struct {
	r     *rewriter
	begin tree.Pos // of the statement
	err   error
}

// pos is the position in the text of a node, or that of what holds it: some of
// PostgreSQL's nodes have none.
func (c *converter) pos(location int32, holder tree.Pos) tree.Pos {
	if location < 0 {
		return holder
	}
	return c.r.original(int(location))
}

func (c *converter) fail(err *sqlerr.Error) {
	if c.err == nil {
		c.err = err
	}
}

// unsupported refuses what PostgreSQL's grammar takes and we do not.
func (c *converter) unsupported(pos tree.Pos, format string, args ...any) {
	c.fail(sqlerr.Unsupported(pos, format, args...))
}

// A feature is something of PostgreSQL's that has no place in our tree.
type feature struct {
	what string
	set  bool
}

// refuse refuses a node with a feature that is set.
func (c *converter) refuse(pos tree.Pos, features []feature) {
	for _, f := range features {
		if f.set {
			c.unsupported(pos, "%s", f.what)
		}
	}
}

func (c *converter) statement(n *pg.Node) tree.Statement {
	switch n := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		return c.selectStatement(n.SelectStmt)
	case *pg.Node_ExplainStmt:
		return c.explain(n.ExplainStmt)
	case *pg.Node_CreateStmt:
		return c.createTable(n.CreateStmt)
	case *pg.Node_CreateTableAsStmt:
		return c.createProjection(n.CreateTableAsStmt)
	case *pg.Node_DropStmt:
		return c.drop(n.DropStmt)
	case *pg.Node_InsertStmt:
		return c.insert(n.InsertStmt)
	case *pg.Node_CallStmt:
		out := &tree.CallStatement{}
		out.SetPos(c.begin)
		if out.Call, _ = c.call(n.CallStmt.Funccall, c.begin).(*tree.Call); out.Call != nil {
			out.Call.SetPos(c.pos(n.CallStmt.Funccall.GetLocation(), c.begin))
		}
		return out
	}
	c.unsupported(c.begin, "this kind of statement (%s)", kindOf(n))
	return nil
}

// kindOf is PostgreSQL's name of a node.
func kindOf(n *pg.Node) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", n.GetNode()), "*pg_query.Node_")
}

func (c *converter) selectStatement(s *pg.SelectStmt) tree.Statement {
	q := c.query(s, c.begin)
	if c.r.form != subscribe {
		out := &tree.Select{Query: q}
		out.SetPos(c.begin)
		return out
	}
	out := &tree.Subscribe{}
	out.SetPos(c.begin)
	if c.err != nil {
		return out
	}
	body, ok := q.Body.(*tree.SelectBody)
	if !ok || q.With != nil || q.Limit != nil || q.Offset != nil || len(q.OrderBy) > 0 || len(body.From) != 1 || len(body.GroupBy) > 0 || body.Having != nil || len(body.Windows) > 0 {
		c.unsupported(c.begin, "SUBSCRIBE TO with more than one projection and WHERE")
		return out
	}
	if out.From, ok = body.From[0].(*tree.TableName); !ok {
		c.fail(sqlerr.Unsupported(body.From[0].At(), "SUBSCRIBE TO anything but a projection").Hint("give the query a name with CREATE PROJECTION"))
	} else if out.From.AsOf != nil {
		c.unsupported(out.From.AsOf.Pos, "SUBSCRIBE TO the past")
	}
	out.Where = body.Where
	return out
}

func (c *converter) explain(s *pg.ExplainStmt) tree.Statement {
	out := &tree.Explain{}
	out.SetPos(c.begin)
	for _, o := range s.Options {
		d := o.GetDefElem()
		if d.GetDefname() != "analyze" {
			c.unsupported(c.pos(d.Location, c.begin), "EXPLAIN's option %s", d.Defname)
			continue
		}
		switch v := strings.ToLower(defString(d)); v {
		case "", "true", "on", "1":
			out.Analyze = true
		case "false", "off", "0":
			out.Analyze = false
		default:
			c.fail(sqlerr.At(c.pos(d.Location, c.begin), sqlerr.InvalidParameter, "analyze takes true or false, not %q", v))
		}
	}
	out.Statement = c.statement(s.Query)
	return out
}

// defString is an option's value as text, or "".
func defString(d *pg.DefElem) string {
	switch v := d.GetArg().GetNode().(type) {
	case *pg.Node_String_:
		return v.String_.Sval
	case *pg.Node_Integer:
		return fmt.Sprint(v.Integer.Ival)
	case *pg.Node_Float:
		return v.Float.Fval
	case *pg.Node_Boolean:
		return fmt.Sprint(v.Boolean.Boolval)
	case *pg.Node_TypeName:
		if names := v.TypeName.Names; len(names) > 0 {
			return names[len(names)-1].GetString_().GetSval()
		}
	}
	return ""
}

func (c *converter) name(v *pg.RangeVar) tree.Name {
	pos := c.pos(v.GetLocation(), c.begin)
	c.refuse(pos, []feature{{"a database in a name", v.Catalogname != ""}, {"a temporary table", v.Relpersistence == "t"}, {"an unlogged table", v.Relpersistence == "u"}, {"ONLY", !v.Inh}})
	n := tree.Name{Schema: v.Schemaname, Name: v.Relname}
	n.SetPos(pos)
	return n
}

func (c *converter) createTable(s *pg.CreateStmt) tree.Statement {
	name := c.name(s.Relation)
	c.refuse(name.Pos, []feature{
		{"INHERITS", len(s.InhRelations) > 0}, {"PARTITION BY", s.Partspec != nil}, {"PARTITION OF", s.Partbound != nil}, {"OF a type", s.OfTypename != nil},
		{"WITH options of a table", len(s.Options) > 0 && c.r.form != eventType}, {"ON COMMIT", s.Oncommit != pg.OnCommitAction_ONCOMMIT_NOOP}, {"TABLESPACE", s.Tablespacename != ""}, {"USING an access method", s.AccessMethod != ""},
	})
	var columns []tree.Column
	var key []string
	for _, e := range s.TableElts {
		switch e := e.GetNode().(type) {
		case *pg.Node_ColumnDef:
			col, isKey := c.column(e.ColumnDef)
			if columns = append(columns, col); isKey {
				key = append(key, col.Name)
			}
		case *pg.Node_Constraint:
			if e.Constraint.Contype != pg.ConstrType_CONSTR_PRIMARY {
				c.unsupported(c.pos(e.Constraint.Location, name.Pos), "this constraint")
			}
			for _, k := range e.Constraint.Keys {
				key = append(key, k.GetString_().GetSval())
			}
		default:
			c.unsupported(name.Pos, "this part of a table (%T)", e)
		}
	}
	if len(columns) > columnsMax {
		c.fail(sqlerr.At(columns[columnsMax].Pos, sqlerr.TooManyColumns, "more than %d columns", columnsMax))
	}
	seen := map[string]bool{}
	for _, col := range columns {
		if seen[col.Name] {
			c.fail(sqlerr.At(col.Pos, sqlerr.DuplicateColumn, "column %q stands twice", col.Name))
		}
		seen[col.Name] = true
	}
	if c.r.form == eventType {
		if len(key) > 0 {
			c.unsupported(name.Pos, "PRIMARY KEY of an event type")
		}
		out := &tree.CreateEventType{Name: name, IfNotExists: s.IfNotExists, Columns: columns, Options: c.options(s.Options, name.Pos)}
		out.SetPos(c.begin)
		return out
	}
	out := &tree.CreateTable{Name: name, IfNotExists: s.IfNotExists, Columns: columns, PrimaryKey: key}
	out.SetPos(c.begin)
	return out
}

func (c *converter) column(d *pg.ColumnDef) (col tree.Column, key bool) {
	pos := c.pos(d.Location, c.begin)
	col = tree.Column{Name: d.Colname, Type: c.typeName(d.TypeName, pos), Personal: d.Compression == personal && c.r.form == eventType}
	col.SetPos(pos)
	c.refuse(pos, []feature{{"COMPRESSION of a column", d.Compression != "" && !col.Personal}, {"STORAGE of a column", d.StorageName != ""}, {"COLLATE of a column", d.CollClause != nil}, {"OPTIONS of a column", len(d.Fdwoptions) > 0}})
	for _, n := range d.Constraints {
		switch k := n.GetConstraint(); k.GetContype() {
		case pg.ConstrType_CONSTR_NOTNULL:
			col.NotNull = true
		case pg.ConstrType_CONSTR_NULL:
		case pg.ConstrType_CONSTR_PRIMARY:
			key, col.NotNull = true, true
		case pg.ConstrType_CONSTR_UNIQUE:
			if col.Unique = true; c.r.form == eventType {
				c.unsupported(c.pos(k.GetLocation(), pos), "UNIQUE in an event type")
			}
		default:
			c.unsupported(c.pos(k.GetLocation(), pos), "this constraint")
		}
	}
	return col, key
}

func (c *converter) createProjection(s *pg.CreateTableAsStmt) tree.Statement {
	out := &tree.CreateProjection{IfNotExists: s.IfNotExists}
	out.SetPos(c.begin)
	if c.r.form != projection {
		c.fail(sqlerr.Unsupported(c.begin, "CREATE TABLE AS and CREATE MATERIALIZED VIEW").Hint("use CREATE PROJECTION … AS SELECT …"))
		return out
	}
	into := s.Into
	out.Name = c.name(into.Rel)
	c.refuse(out.Name.Pos, []feature{{"USING an access method", into.AccessMethod != ""}, {"TABLESPACE", into.TableSpaceName != ""}, {"WITH NO DATA", into.SkipData}})
	out.Columns = nameList(into.ColNames)
	out.Options = c.options(into.Options, out.Name.Pos)
	q := s.Query.GetSelectStmt()
	if q == nil {
		c.unsupported(c.begin, "CREATE PROJECTION AS anything but a query")
		return out
	}
	out.Query = c.query(q, c.begin)
	return out
}

// options is WITH (name = 'value', …).
func (c *converter) options(nodes []*pg.Node, at tree.Pos) (list []tree.Option) {
	for _, o := range nodes {
		d := o.GetDefElem()
		option := tree.Option{Name: d.GetDefname(), Value: defString(d)}
		option.SetPos(c.pos(d.GetLocation(), at))
		if d.GetDefnamespace() != "" || option.Value == "" {
			c.fail(sqlerr.At(option.Pos, sqlerr.SyntaxError, "an option is written name = 'value'"))
		}
		list = append(list, option)
	}
	return list
}

// nameList is a list of names.
func nameList(nodes []*pg.Node) (names []string) {
	for _, n := range nodes {
		names = append(names, n.GetString_().GetSval())
	}
	return names
}

func (c *converter) drop(s *pg.DropStmt) tree.Statement {
	out := &tree.Drop{IfExists: s.MissingOk, Cascade: s.Behavior == pg.DropBehavior_DROP_CASCADE}
	out.SetPos(c.begin)
	switch c.r.form {
	case eventType:
		out.Kind = tree.EventTypes
	case projection:
		out.Kind = tree.Projections
	default:
		c.fail(sqlerr.Unsupported(c.begin, "this DROP").Hint("DROP EVENT TYPE and DROP PROJECTION are"))
	}
	for _, o := range s.Objects {
		parts := nameList(o.GetList().GetItems())
		n := tree.Name{}
		n.SetPos(c.begin)
		switch len(parts) {
		case 1:
			n.Name = parts[0]
		case 2:
			n.Schema, n.Name = parts[0], parts[1]
		default:
			c.unsupported(c.begin, "a database in a name")
		}
		out.Names = append(out.Names, n)
	}
	return out
}

func (c *converter) insert(s *pg.InsertStmt) tree.Statement {
	out := &tree.Insert{Table: c.name(s.Relation)}
	out.SetPos(c.begin)
	c.refuse(out.Table.Pos, []feature{{"ON CONFLICT", s.OnConflictClause != nil}, {"RETURNING", len(s.ReturningList) > 0}, {"WITH before INSERT", s.WithClause != nil}, {"OVERRIDING", s.Override != pg.OverridingKind_OVERRIDING_NOT_SET}, {"an alias of INSERT's table", s.Relation.GetAlias() != nil}})
	for _, n := range s.Cols {
		t := n.GetResTarget()
		if len(t.GetIndirection()) > 0 {
			c.unsupported(c.pos(t.Location, out.Table.Pos), "INSERT into a part of a column")
		}
		out.Columns = append(out.Columns, t.GetName())
	}
	if s.SelectStmt == nil {
		c.unsupported(out.Table.Pos, "DEFAULT VALUES")
		return out
	}
	out.Query = c.query(s.SelectStmt.GetSelectStmt(), c.begin)
	return out
}

// typeName converts a type. pg_catalog is where the grammar looks for those
// that it knows itself.
func (c *converter) typeName(t *pg.TypeName, holder tree.Pos) *tree.TypeName {
	if t == nil {
		c.fail(sqlerr.At(holder, sqlerr.SyntaxError, "a type is missing"))
		return &tree.TypeName{}
	}
	out := &tree.TypeName{}
	out.SetPos(c.pos(t.Location, holder))
	names := nameList(t.Names)
	if len(names) == 2 && names[0] == "pg_catalog" {
		names = names[1:]
	}
	c.refuse(out.Pos, []feature{{"SETOF", t.Setof}, {"%TYPE", t.PctType}, {"a type in a schema", len(names) != 1}, {"an array of arrays", len(t.ArrayBounds) > 1}})
	if c.err != nil {
		return out
	}
	out.Name, out.Array = names[0], len(t.ArrayBounds) > 0
	for _, m := range t.Typmods {
		k := m.GetAConst()
		if k.GetIval() == nil {
			c.fail(sqlerr.At(out.Pos, sqlerr.InvalidParameter, "a type's modifiers are integers"))
			return out
		}
		out.Mods = append(out.Mods, int(k.GetIval().Ival))
	}
	if out.Name == "interval" && len(out.Mods) > 0 {
		out.Fields = intervalFields[out.Mods[0]]
		if out.Mods = out.Mods[1:]; len(out.Mods) == 0 {
			out.Mods = nil
		}
	}
	return out
}

// intervalFields are the masks of PostgreSQL's INTERVAL_MASK (timestamp.h).
var intervalFields = map[int]string{
	1 << 2: "YEAR", 1 << 1: "MONTH", 1 << 3: "DAY", 1 << 10: "HOUR", 1 << 11: "MINUTE", 1 << 12: "SECOND",
	1<<2 | 1<<1: "YEAR TO MONTH", 1<<3 | 1<<10: "DAY TO HOUR", 1<<3 | 1<<10 | 1<<11: "DAY TO MINUTE",
	1<<3 | 1<<10 | 1<<11 | 1<<12: "DAY TO SECOND", 1<<10 | 1<<11: "HOUR TO MINUTE", 1<<10 | 1<<11 | 1<<12: "HOUR TO SECOND",
	1<<11 | 1<<12: "MINUTE TO SECOND",
}
