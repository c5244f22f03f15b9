// Package relational says what a query's answer is: an evaluator of SQL that is
// as simple as its author could make it, to check the engine against. It works
// straight from the tree, on plain values, one row at a time, with nested loops,
// and shares no code with the engine but the tree. Its own answers are compared
// with PostgreSQL's (internal/slt).
//
// It finds answers, not mistakes: a query that PostgreSQL refuses to bind may
// have one here.
package relational

import (
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// A Table is named columns and rows.
type Table struct {
	cols []column
	rows [][]Value
}

// column of a table or of a scope.
type column struct {
	table, name string
	kind        Kind
	hidden      bool // merged by USING: only its table's name finds it
}

// NewTable is an empty table with the columns' names and kinds.
func NewTable(columns []tree.Column) (t *Table, err error) {
	defer recovered(&err)
	t = &Table{}
	for _, c := range columns {
		t.cols = append(t.cols, column{name: c.Name, kind: kindOfType(c.Type)})
	}
	return t, nil
}

// Names are the columns'.
func (t *Table) Names() (names []string) {
	for _, c := range t.cols {
		names = append(names, c.name)
	}
	return names
}

// Kinds are the columns'.
func (t *Table) Kinds() (kinds []Kind) {
	for _, c := range t.cols {
		kinds = append(kinds, c.kind)
	}
	return kinds
}

// Rows are the table's, not to be changed.
func (t *Table) Rows() [][]Value { return t.rows }

// Add appends a row whose values are cast to the columns' kinds.
func (t *Table) Add(row []Value) (err error) {
	defer recovered(&err)
	out := make([]Value, len(t.cols))
	for i, c := range t.cols {
		out[i] = cast(row[i], c.kind)
	}
	t.rows = append(t.rows, out)
	return nil
}

// Remove takes out row i.
func (t *Table) Remove(i int) { t.rows = append(t.rows[:i:i], t.rows[i+1:]...) }

// A DB is what queries ask.
type DB struct {
	Tables map[string]*Table // by name, or schema.name
	Params []Value
	Now    int64 // microseconds since 1970-01-01 00:00 UTC
	// Pairs bounds the pairs of rows that a join looks at: beyond, this evaluator is
	// not the one to ask. 0: 300,000.
	Pairs int
}

// NewDB is empty.
func NewDB() *DB { return &DB{Tables: map[string]*Table{}} }

func recovered(err *error) {
	switch f := recover().(type) {
	case nil:
	case failure:
		*err = f.err
	default:
		panic(f)
	}
}

// Query answers a query.
func (db *DB) Query(q *tree.Query) (t *Table, err error) {
	defer recovered(&err)
	s := &scope{db: db}
	return s.query(q), nil
}

// Eval computes an expression over a row of a table, or of none.
func (db *DB) Eval(e tree.Expr, of *Table, row []Value) (v Value, err error) {
	defer recovered(&err)
	s := &scope{db: db}
	if of != nil {
		s.cols, s.row = of.cols, row
	}
	return s.eval(e), nil
}

// Exec creates a table or inserts rows.
func (db *DB) Exec(st tree.Statement) (err error) {
	defer recovered(&err)
	switch st := st.(type) {
	case *tree.CreateTable:
		return db.create(st.Name, st.Columns)
	case *tree.CreateEventType:
		return db.create(st.Name, st.Columns)
	case *tree.Insert:
		t := db.Tables[qualified(st.Table.Schema, st.Table.Name)]
		if t == nil {
			return sqlerr.At(st.Table.Pos, sqlerr.UndefinedTable, "relation %q does not exist", st.Table.Name)
		}
		rows, err := db.Query(st.Query)
		if err != nil {
			return err
		}
		for _, r := range rows.rows {
			if r, err = t.arrange(st.Columns, r); err != nil {
				return err
			}
			if err = t.Add(r); err != nil {
				return err
			}
		}
		return nil
	}
	return sqlerr.Unsupported(st.At(), "this statement (%T)", st)
}

func (db *DB) create(name tree.Name, columns []tree.Column) error {
	key := qualified(name.Schema, name.Name)
	if db.Tables[key] != nil {
		return sqlerr.At(name.Pos, sqlerr.DuplicateTable, "relation %q already exists", name.Name)
	}
	t, err := NewTable(columns)
	if err != nil {
		return err
	}
	db.Tables[key] = t
	return nil
}

// arrange puts inserted values in the order of the table's columns.
func (t *Table) arrange(names []string, r []Value) ([]Value, error) {
	out := make([]Value, len(t.cols))
	for i, c := range t.cols {
		out[i] = null(c.kind)
	}
	if len(names) == 0 {
		if len(r) > len(out) {
			return nil, sqlerr.New(sqlerr.SyntaxError, "INSERT has more expressions than target columns")
		}
		copy(out, r)
		return out, nil
	}
	if len(names) != len(r) {
		return nil, sqlerr.New(sqlerr.SyntaxError, "INSERT has %d expressions for %d columns", len(r), len(names))
	}
	for i, n := range names {
		at := -1
		for j, c := range t.cols {
			if c.name == n {
				at = j
			}
		}
		if at < 0 {
			return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", n)
		}
		out[at] = r[i]
	}
	return out, nil
}

func qualified(schema, name string) string {
	if schema == "" {
		return name
	}
	return schema + "." + name
}
