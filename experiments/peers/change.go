package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/mattn/go-sqlite3"
)

// A change is an order or a payment; what a view of them costs is the time of an insertion
// with the triggers that keep it, less that without.
type change struct {
	view    string // group or join
	batch   int    // changes of a transaction
	changes int
	base    int // orders that are there before
}

// Upkeep is what was measured, in microseconds a change.
type Upkeep struct {
	Missing string  `json:"missing,omitempty"`
	Without float64 `json:"without"`
	With    float64 `json:"with"`
}

const changeItems = 1000

// changeTables make the tables anew; the last two are the views.
var changeTables = []string{
	`DROP TABLE IF EXISTS orders`, `DROP TABLE IF EXISTS payments`, `DROP TABLE IF EXISTS by_item`, `DROP TABLE IF EXISTS paid`,
	`CREATE TABLE orders (number bigint PRIMARY KEY, item text NOT NULL, cents bigint NOT NULL)`,
	`CREATE TABLE payments (number bigint PRIMARY KEY, method text NOT NULL)`,
	`CREATE TABLE by_item (item text PRIMARY KEY, orders bigint NOT NULL, cents bigint NOT NULL)`,
	`CREATE TABLE paid (number bigint PRIMARY KEY, item text NOT NULL, cents bigint NOT NULL, method text NOT NULL)`,
}

// changeChecks count the rows by which a kept view differs from its query.
var changeChecks = map[string]string{
	"group": `SELECT (SELECT count(*) FROM (SELECT * FROM by_item EXCEPT SELECT item, count(*), sum(cents) FROM orders GROUP BY item) d) +
		abs((SELECT count(*) FROM by_item) - (SELECT count(DISTINCT item) FROM orders))`,
	"join": `SELECT (SELECT count(*) FROM (SELECT * FROM paid EXCEPT SELECT o.number, o.item, o.cents, p.method FROM orders o JOIN payments p ON p.number = o.number) d) +
		abs((SELECT count(*) FROM paid) - (SELECT count(*) FROM orders o JOIN payments p ON p.number = o.number))`,
}

// store of changes: both contestants.
type changeStore interface {
	exec(ctx context.Context, statement string) error
	differ(ctx context.Context, check string) (rows int64, err error)
	// keep makes the triggers of a view.
	keep(ctx context.Context, view string) error
	// insert adds orders and payments by their numbers, in one transaction.
	insert(ctx context.Context, orders, payments []int64) error
	close() error
}

func (c *change) run(ctx context.Context, who string) (u *Upkeep, err error) {
	if changeChecks[c.view] == "" || c.batch < 1 || c.changes < 1 || c.base < c.changes {
		return nil, fmt.Errorf("view %q, batches of %d, %d changes of %d orders: want group or join, and an order for each change", c.view, c.batch, c.changes, c.base)
	}
	dir, err := os.MkdirTemp("", "actordb-peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var s changeStore
	switch who {
	case "postgres":
		s, err = openPostgresChanges(ctx, dir)
	case "sqlite":
		s, err = openSQLiteChanges()
	default:
		return nil, fmt.Errorf("contestant %q: want postgres or sqlite", who)
	}
	if missing := (notInstalled{}); asNotInstalled(err, &missing) {
		return &Upkeep{Missing: missing.Error()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	defer func() {
		if closed := s.close(); err == nil {
			err = closed
		}
	}()
	u = &Upkeep{}
	if u.Without, err = c.measure(ctx, s, false); err != nil {
		return nil, err
	}
	u.With, err = c.measure(ctx, s, true)
	return u, err
}

func (c *change) measure(ctx context.Context, s changeStore, kept bool) (micros float64, err error) {
	for _, statement := range changeTables {
		if err := s.exec(ctx, statement); err != nil {
			return 0, err
		}
	}
	next := int64(0)
	numbers := func(n int) (list []int64) {
		for range n {
			list = append(list, next)
			next++
		}
		return list
	}
	for done := 0; done < c.base; done += 1000 {
		if err := s.insert(ctx, numbers(min(1000, c.base-done)), nil); err != nil {
			return 0, err
		}
	}
	// The triggers come when the base is there, and is analyzed: their plans are made for what
	// is measured, and not for how the base was loaded.
	if err := s.exec(ctx, "ANALYZE"); err != nil {
		return 0, err
	}
	if kept {
		if err := s.exec(ctx, `INSERT INTO by_item SELECT item, count(*), sum(cents) FROM orders GROUP BY item`); err != nil {
			return 0, err
		}
		if err := s.keep(ctx, c.view); err != nil {
			return 0, err
		}
	}
	paid, turn := int64(0), 0
	var took time.Duration
	for done := 0; done < c.changes; {
		n := min(c.batch, c.changes-done)
		done += n
		pay := 0
		if c.view == "join" { // half of the changes are payments of orders that are there
			pay = n / 2
			if n%2 == 1 {
				pay += turn % 2
				turn++
			}
		}
		orders := numbers(n - pay)
		var payments []int64
		for range pay {
			payments = append(payments, paid)
			paid++
		}
		begun := time.Now()
		if err := s.insert(ctx, orders, payments); err != nil {
			return 0, err
		}
		took += time.Since(begun)
	}
	if kept {
		rows, err := s.differ(ctx, changeChecks[c.view])
		if err != nil || rows != 0 {
			return 0, fmt.Errorf("the %s view differs from its query by %d rows: %w", c.view, rows, err)
		}
	}
	return took.Seconds() * 1e6 / float64(c.changes), nil
}

func itemOf(number int64) string   { return fmt.Sprintf("item-%04d", number*7919%changeItems) }
func centsOf(number int64) int64   { return number * 31 % 10_000 }
func methodOf(number int64) string { return []string{"card", "cash", "invoice"}[number%3] }

// postgresChanges is one connection, whose commits do not wait for the disk: what is asked
// is what upkeep costs.
type postgresChanges struct {
	server *postgres
	conn   *pgx.Conn
}

func openPostgresChanges(ctx context.Context, dir string) (*postgresChanges, error) {
	server, err := startPostgres(ctx, dir, &contest{workers: 1})
	if err != nil {
		return nil, err
	}
	s := &postgresChanges{server: server}
	if s.conn, err = pgx.ConnectConfig(ctx, server.pool.Config().ConnConfig.Copy()); err == nil {
		err = s.exec(ctx, `SET synchronous_commit = off`)
	}
	if err != nil {
		_ = server.close()
		return nil, err
	}
	return s, nil
}

func (s *postgresChanges) exec(ctx context.Context, statement string) error {
	_, err := s.conn.Exec(ctx, statement)
	return err
}

func (s *postgresChanges) differ(ctx context.Context, check string) (rows int64, err error) {
	err = s.conn.QueryRow(ctx, check).Scan(&rows)
	return rows, err
}

// Triggers of a statement, which see all its rows: the cheapest that PostgreSQL has.
var postgresTriggers = map[string][]string{
	"group": {
		`CREATE OR REPLACE FUNCTION ordered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO by_item SELECT item, count(*), sum(cents) FROM n GROUP BY item
			ON CONFLICT (item) DO UPDATE SET orders = by_item.orders + excluded.orders, cents = by_item.cents + excluded.cents;
			RETURN NULL; END $$`,
		`CREATE TRIGGER kept AFTER INSERT ON orders REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ordered()`,
	},
	"join": {
		`CREATE OR REPLACE FUNCTION ordered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO paid SELECT n.number, n.item, n.cents, p.method FROM n JOIN payments p ON p.number = n.number;
			RETURN NULL; END $$`,
		`CREATE OR REPLACE FUNCTION payed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO paid SELECT o.number, o.item, o.cents, n.method FROM n JOIN orders o ON o.number = n.number;
			RETURN NULL; END $$`,
		`CREATE TRIGGER kept AFTER INSERT ON orders REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ordered()`,
		`CREATE TRIGGER kept AFTER INSERT ON payments REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION payed()`,
	},
}

func (s *postgresChanges) keep(ctx context.Context, view string) error {
	for _, statement := range postgresTriggers[view] {
		if err := s.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *postgresChanges) insert(ctx context.Context, orders, payments []int64) error {
	items, cents, methods := make([]string, len(orders)), make([]int64, len(orders)), make([]string, len(payments))
	for i, n := range orders {
		items[i], cents[i] = itemOf(n), centsOf(n)
	}
	for i, n := range payments {
		methods[i] = methodOf(n)
	}
	b := &pgx.Batch{} // one round trip, one transaction
	if len(orders) > 0 {
		b.Queue(`INSERT INTO orders SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])`, orders, items, cents)
	}
	if len(payments) > 0 {
		b.Queue(`INSERT INTO payments SELECT * FROM unnest($1::bigint[], $2::text[])`, payments, methods)
	}
	return s.conn.SendBatch(ctx, b).Close()
}

func (s *postgresChanges) close() error {
	_ = s.conn.Close(context.Background())
	return s.server.close()
}

// sqliteChanges is a database in memory.
type sqliteChanges struct {
	db             *sql.DB
	order, payment *sql.Stmt // nil: to be prepared
}

func openSQLiteChanges() (*sqliteChanges, error) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &sqliteChanges{db: db}, nil
}

func (s *sqliteChanges) exec(ctx context.Context, statement string) error {
	s.forget()
	_, err := s.db.ExecContext(ctx, statement)
	return err
}

// forget closes the statements: their tables are made anew.
func (s *sqliteChanges) forget() {
	if s.order != nil {
		_ = s.order.Close()
		_ = s.payment.Close()
		s.order, s.payment = nil, nil
	}
}

func (s *sqliteChanges) differ(ctx context.Context, check string) (rows int64, err error) {
	err = s.db.QueryRowContext(ctx, check).Scan(&rows)
	return rows, err
}

// Triggers of a row: SQLite has no others.
var sqliteTriggers = map[string][]string{
	"group": {`CREATE TRIGGER kept_orders AFTER INSERT ON orders BEGIN
		INSERT INTO by_item VALUES (new.item, 1, new.cents)
		ON CONFLICT (item) DO UPDATE SET orders = orders + 1, cents = cents + excluded.cents; END`},
	"join": {
		`CREATE TRIGGER kept_orders AFTER INSERT ON orders BEGIN
		INSERT INTO paid SELECT new.number, new.item, new.cents, p.method FROM payments p WHERE p.number = new.number; END`,
		`CREATE TRIGGER kept_payments AFTER INSERT ON payments BEGIN
		INSERT INTO paid SELECT o.number, o.item, o.cents, new.method FROM orders o WHERE o.number = new.number; END`,
	},
}

func (s *sqliteChanges) keep(ctx context.Context, view string) error {
	for _, statement := range sqliteTriggers[view] {
		if err := s.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqliteChanges) insert(ctx context.Context, orders, payments []int64) (err error) {
	if s.order == nil {
		if s.order, err = s.db.PrepareContext(ctx, `INSERT INTO orders VALUES (?, ?, ?)`); err != nil {
			return err
		}
		if s.payment, err = s.db.PrepareContext(ctx, `INSERT INTO payments VALUES (?, ?)`); err != nil {
			return err
		}
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback()
		}
	}()
	order, payment := tx.StmtContext(ctx, s.order), tx.StmtContext(ctx, s.payment)
	for _, n := range orders {
		if _, err = order.ExecContext(ctx, n, itemOf(n), centsOf(n)); err != nil {
			return err
		}
	}
	for _, n := range payments {
		if _, err = payment.ExecContext(ctx, n, methodOf(n)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *sqliteChanges) close() error {
	s.forget()
	return s.db.Close()
}
