package slt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	_ "modernc.org/sqlite" // the driver

	"actordb/checkers/relational"
	"actordb/core/sql/parse"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// SQLite is SQLite in memory.
type SQLite struct{ db *sql.DB }

// OpenSQLite opens an empty one.
func OpenSQLite() (*SQLite, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err == nil {
		db.SetMaxOpenConns(1) // each connection has a memory of its own
	}
	return &SQLite{db}, err
}

func (s *SQLite) Close() error         { return s.db.Close() }
func (*SQLite) Labels() []string       { return []string{"sqlite"} }
func (*SQLite) State(err error) string { return "" }

func (s *SQLite) Exec(q string) error {
	_, err := s.db.Exec(q)
	return err
}

func (s *SQLite) Query(q string) (out [][]Cell, err error) {
	rows, err := s.db.Query(q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]any, len(names))
		to := make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		row := make([]Cell, len(names))
		for i, v := range values {
			switch v := v.(type) {
			case nil:
				row[i].Null = true
			case []byte:
				row[i].Text = string(v)
			default:
				row[i].Text = fmt.Sprint(v)
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// Postgres is a session of a PostgreSQL server.
type Postgres struct{ conn *pgconn.PgConn }

// OpenPostgres connects, to an empty schema of its own.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	p := &Postgres{conn}
	for _, q := range []string{"SET timezone TO 'UTC'", "DROP SCHEMA IF EXISTS slt CASCADE", "CREATE SCHEMA slt", "SET search_path TO slt"} {
		if err := p.Exec(q); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Postgres) Close() error   { return p.conn.Close(context.Background()) }
func (*Postgres) Labels() []string { return []string{"postgresql", "postgres-server"} }

func (*Postgres) State(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func (p *Postgres) Exec(q string) error {
	_, err := p.Query(q)
	return err
}

// Types in PostgreSQL's catalog (pg_type.dat).
const (
	boolOID    = 16
	numericOID = 1700
)

func (p *Postgres) Query(q string) (out [][]Cell, err error) {
	results, err := p.conn.Exec(context.Background(), q).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		for _, values := range r.Rows {
			row := make([]Cell, len(values))
			for i, v := range values {
				oid := r.FieldDescriptions[i].DataTypeOID
				row[i] = Cell{Null: v == nil, Bool: oid == boolOID, Number: oid == numericOID, Text: string(v)}
			}
			out = append(out, row)
		}
	}
	return out, nil
}

// Naive is the checkers' evaluator.
type Naive struct{ DB *relational.DB }

// NewNaive is an empty one.
func NewNaive() *Naive { return &Naive{relational.NewDB()} }

func (*Naive) Labels() []string { return []string{"actordb", "postgresql", "naive"} }

func (*Naive) State(err error) string {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return string(e.State)
	}
	return ""
}

// withoutEffect are statements of the public corpus that change no answer.
var withoutEffect = regexp.MustCompile(`(?i)^\s*((CREATE\s+(UNIQUE\s+)?|DROP\s+)INDEX|REINDEX)\b`)

func (n *Naive) Exec(q string) error {
	if withoutEffect.MatchString(q) {
		return nil
	}
	s, err := parse.One(q)
	if err != nil {
		return err
	}
	if s, ok := s.(*tree.Select); ok {
		_, err := n.DB.Query(s.Query)
		return err
	}
	return n.DB.Exec(s)
}

func (n *Naive) Query(q string) ([][]Cell, error) {
	s, err := parse.One(q)
	if err != nil {
		return nil, err
	}
	query, ok := s.(*tree.Select)
	if !ok {
		return nil, fmt.Errorf("not a query: %s", strings.TrimSpace(q))
	}
	return n.answer(query.Query)
}

func (n *Naive) answer(q *tree.Query) ([][]Cell, error) {
	t, err := n.DB.Query(q)
	if err != nil {
		return nil, err
	}
	return cells(t), nil
}

func cells(t *relational.Table) (out [][]Cell) {
	for _, r := range t.Rows() {
		row := make([]Cell, len(r))
		for i, v := range r {
			row[i] = Cell{Null: v.V == nil, Bool: v.K == relational.Bool, Number: v.K == relational.Numeric, Text: v.String()}
		}
		out = append(out, row)
	}
	return out
}
