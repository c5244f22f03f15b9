// Package pgkv is disk.KV in one table of a PostgreSQL database: for those who
// have a server that is backed up and watched, and want derived state in it.
//
//	store, err := pgkv.Open(pgkv.Config{URL: "postgres://actordb@db.example/actordb", Table: "shard_0"})
//
// # How it keeps the promises of package disk
//
// G1. A batch is one transaction, sent in one round trip (K1), committed with
// synchronous_commit = off: PostgreSQL writes its log in order, so a crash of the
// server leaves a prefix of the batches (K2).
//
// G2. Flush commits one more transaction, with synchronous_commit = on, which
// makes the log durable up to it and with it every commit before, on synchronous
// standbys too if there are any. It writes a message into the log and no row.
//
// G3. The table has one owner: a session that holds an advisory lock, through
// which Apply, Flush and Get go one after the other. When this session is lost,
// all calls fail from then on (ErrAway), even when the server is back: a server
// that crashed may have lost what was applied and not flushed, and a store that
// went on would tell of a state that never was. The owner opens it again.
//
// G4. Scan reads on a connection of its own, page by page, in a read-only
// transaction with the owner's snapshot: it sees the state as of its start, visit
// may call the store (K3), and it cannot see another life of the server. Keys are
// bytea, which PostgreSQL compares as bytes.
//
// G5. A value carries a checksum, so that a wrong one is an error (K4), whether
// the cluster has page checksums or not.
//
// G6. Open refuses a server or a table that cannot keep K2 (fsync or
// full_page_writes off, an unlogged table): UnsafeError.
//
// Connect to the server itself: a pooler that hands out sessions by transaction
// takes lock and settings away. Each call to the server is bounded by
// Config.Timeout. Errors never show a password.
package pgkv

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"actordb/disk"
)

// A Config says which table of which database.
type Config struct {
	URL   string // or a list of key=value, as libpq takes them; PGHOST and the like fill in the rest
	Table string // small letters, digits and _, not a digit first; made if there is none

	Timeout   time.Duration // of one call to the server; 0 for timeoutDefault
	OwnerWait time.Duration // for an owner that is about to end; 0 for ownerWaitDefault
}

// Validate returns what is wrong with a Config.
func (c *Config) Validate() error {
	if !validTable(c.Table) {
		return fmt.Errorf("pgkv: table name %q: want small letters, digits and _, not a digit first, at most %d", c.Table, tableBytesMax)
	}
	if c.Timeout < 0 || c.OwnerWait < 0 {
		return errors.New("pgkv: a time below zero")
	}
	return nil
}

func validTable(name string) bool {
	return name != "" && len(name) <= tableBytesMax && (name[0] < '0' || name[0] > '9') &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// A Store is an open store. It may be used from several goroutines.
type Store struct {
	name    string // for people
	table   string // quoted
	timeout time.Duration
	pool    *pgxpool.Pool // of the owner and of readers
	sick    atomic.Pointer[Fault]

	mu    sync.Mutex // guards the owner's session
	owner *pgxpool.Conn
}

var _ disk.KV = (*Store)(nil)

// Open opens the store in a table, which is made if there is none. Its errors
// are a *Fault, an *OwnedError, a *VersionError, an *UnsafeError, or of the Config.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("pgkv: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = timeoutDefault
	}
	if cfg.OwnerWait == 0 {
		cfg.OwnerWait = ownerWaitDefault
	}
	pc.MinConns, pc.MaxConns = 0, 1+readersMax
	pc.ConnConfig.RuntimeParams["application_name"] = applicationName
	s := &Store{
		name:    fmt.Sprintf("%s/%s/%s", pc.ConnConfig.Host, pc.ConnConfig.Database, cfg.Table),
		table:   pgx.Identifier{cfg.Table}.Sanitize(),
		timeout: cfg.Timeout,
	}
	ctx, cancel := s.context()
	defer cancel()
	if s.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, s.fault("open", err)
	}
	if s.owner, err = s.pool.Acquire(ctx); err != nil {
		s.pool.Close()
		return nil, s.fault("open", err)
	}
	err = s.own(cfg.Table, cfg.OwnerWait)
	if err == nil {
		err = s.format()
	}
	if err == nil {
		err = s.exec("open", "SET synchronous_commit = off")
	}
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *Store) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.timeout)
}

// end gives up the owner's session, and with it the lock.
func (s *Store) end() {
	_ = s.owner.Hijack().Close(context.Background()) // nothing is left to be lost
	s.pool.Close()
}

// exec runs statements that have no parameters.
func (s *Store) exec(doing, text string) error {
	ctx, cancel := s.context()
	defer cancel()
	if _, err := s.owner.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol); err != nil {
		return s.fault(doing, err)
	}
	return nil
}

// own takes the table's lock, which belongs to the session.
func (s *Store) own(table string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout+wait)
	defer cancel()
	var schema string
	if err := s.owner.QueryRow(ctx, "SELECT coalesce(current_schema(), '')").Scan(&schema); err != nil {
		return s.fault("open", err)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s.%s.%s", applicationName, schema, table)
	key := int64(h.Sum64())
	if err := s.exec("open", fmt.Sprintf("SET lock_timeout = %d", max(1, wait.Milliseconds()))); err != nil {
		return err
	}
	_, err := s.owner.Exec(ctx, "SELECT pg_advisory_lock($1)", key)
	if state(err) == lockNotAvailable {
		return s.owned(ctx, key)
	}
	if err != nil {
		return s.fault("open", err)
	}
	return s.exec("open", "SET lock_timeout = 0")
}

// owned says who has the table.
func (s *Store) owned(ctx context.Context, key int64) error {
	e := &OwnedError{Store: s.name}
	err := s.owner.QueryRow(ctx, `SELECT pid, coalesce(host(client_addr), 'this machine') FROM pg_stat_activity
		WHERE pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND classid::bigint = ($1::bigint >> 32) & 4294967295 AND objid::bigint = $1::bigint & 4294967295)`, key).Scan(&e.PID, &e.From)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // without rows, it has just ended
		return s.fault("open", err)
	}
	return e
}

// format checks server and table, and makes the table if there is none.
func (s *Store) format() error {
	ctx, cancel := s.context()
	defer cancel()
	var server int
	var fsync, pages string
	if err := s.owner.QueryRow(ctx, `SELECT current_setting('server_version_num')::int,
		current_setting('fsync'), current_setting('full_page_writes')`).Scan(&server, &fsync, &pages); err != nil {
		return s.fault("open", err)
	}
	switch {
	case server < serverVersionMin:
		return &VersionError{Store: s.name, Server: server}
	case fsync != "on":
		return &UnsafeError{s.name, "the server runs with fsync = off", "set fsync = on"}
	case pages != "on":
		return &UnsafeError{s.name, "the server runs with full_page_writes = off", "set full_page_writes = on"}
	}
	var comment, persistence string
	err := s.owner.QueryRow(ctx, `SELECT coalesce(obj_description(oid, 'pg_class'), ''), relpersistence::text
		FROM pg_class WHERE oid = to_regclass($1)`, s.table).Scan(&comment, &persistence)
	if errors.Is(err, pgx.ErrNoRows) {
		// One transaction, with synchronous_commit still on.
		return s.exec("create", fmt.Sprintf("CREATE TABLE %s (k bytea PRIMARY KEY, v bytea NOT NULL); COMMENT ON TABLE %s IS '%s%d'",
			s.table, s.table, commentPrefix, formatVersion))
	}
	if err != nil {
		return s.fault("open", err)
	}
	found := 0
	if rest, ok := strings.CutPrefix(comment, commentPrefix); ok {
		if _, err := fmt.Sscanf(rest, "%d", &found); err != nil {
			found = 0
		}
	}
	switch {
	case found < 1 || found > formatVersion:
		return &VersionError{Store: s.name, Format: found, Comment: comment}
	case persistence != "p":
		return &UnsafeError{s.name, "the table is not a logged one, a crash would empty it", "ALTER TABLE … SET LOGGED"}
	}
	return nil
}

// lost tells a fault that leaves the owner's session in doubt: all calls fail
// from now on (G3).
func (s *Store) lost(f *Fault) *Fault {
	if s.owner.Conn().IsClosed() {
		s.sick.CompareAndSwap(nil, f)
	}
	return f
}

func (s *Store) faulty() error {
	if f := s.sick.Load(); f != nil {
		return f
	}
	return nil
}

// Get returns the value of key.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faulty(); err != nil {
		return nil, false, err
	}
	ctx, cancel := s.context()
	defer cancel()
	var stored []byte
	err = s.owner.QueryRow(ctx, "SELECT v FROM "+s.table+" WHERE k = $1", blob(key)).Scan(&stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		value, err = unseal(key, stored)
	}
	if err != nil {
		return nil, false, s.lost(s.fault("get", err))
	}
	return value, true, nil
}

// Apply writes b. It keeps none of its slices.
func (s *Store) Apply(b *disk.Batch) error {
	parts, err := divide(b)
	if err != nil {
		return s.fault("apply", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faulty(); err != nil || len(parts) == 0 {
		return err
	}
	// Until its end a pipeline is one transaction.
	var all pgx.Batch
	for _, p := range parts {
		if len(p.values) > 0 {
			all.Queue("INSERT INTO "+s.table+" (k, v) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (k) DO UPDATE SET v = excluded.v", p.keys, p.values)
		} else {
			all.Queue("DELETE FROM "+s.table+" WHERE k = ANY ($1::bytea[])", p.keys)
		}
	}
	ctx, cancel := s.context()
	defer cancel()
	if err := s.owner.SendBatch(ctx, &all).Close(); err != nil {
		return s.lost(s.fault("apply", err))
	}
	return nil
}

// Flush makes everything durable that was applied before (G2).
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faulty(); err != nil {
		return err
	}
	err := s.exec("flush", "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, '"+applicationName+"', ''); COMMIT")
	if err != nil {
		// What it was to make durable is in doubt, whatever a second one says.
		s.sick.CompareAndSwap(nil, err.(*Fault))
	}
	return err
}

// Scan visits [lo, hi) as it is now. visit may call the store.
func (s *Store) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	if err := s.faulty(); err != nil {
		return err
	}
	ctx, cancel := s.context()
	defer cancel()
	reader, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.fault("scan", err)
	}
	defer func() {
		// Read only: there is nothing to commit. A connection that cannot even end
		// its transaction is not used again.
		ctx, cancel := s.context()
		defer cancel()
		_, _ = reader.Exec(ctx, "ROLLBACK", pgx.QueryExecModeSimpleProtocol)
		reader.Release()
	}()
	if err := s.share(ctx, reader); err != nil {
		return err
	}
	from, text := blob(lo), "SELECT k, v FROM "+s.table+" WHERE k >= $1"
	bound := " AND k < $2 ORDER BY k LIMIT $3"
	if hi == nil {
		bound = " AND $2::bytea IS NULL ORDER BY k LIMIT $3"
	}
	for limit := pageRowsFirst; ; limit = min(2*limit, pageRowsMax) {
		last, n, stopped, err := s.page(reader, text+bound, visit, from, hi, limit)
		if err != nil {
			return s.fault("scan", err)
		}
		if stopped || n < limit {
			return nil
		}
		from, text = last, "SELECT k, v FROM "+s.table+" WHERE k > $1"
	}
}

// share begins a transaction of the reader that sees what the owner sees (G4).
func (s *Store) share(ctx context.Context, reader *pgxpool.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faulty(); err != nil {
		return err
	}
	tx, err := s.owner.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return s.lost(s.fault("scan", err))
	}
	defer func() {
		if err := tx.Rollback(ctx); err != nil {
			s.lost(s.fault("scan", err))
		}
	}()
	var snapshot string
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
		return s.lost(s.fault("scan", err))
	}
	if _, err := reader.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '"+snapshot+"'",
		pgx.QueryExecModeSimpleProtocol); err != nil {
		return s.fault("scan", err)
	}
	return nil
}

// page visits the next limit rows at most. It returns the last key and how many
// there were.
func (s *Store) page(reader *pgxpool.Conn, text string, visit func(key, value []byte) bool, from, hi []byte, limit int) (last []byte, n int, stopped bool, err error) {
	ctx, cancel := s.context()
	defer cancel()
	rows, err := reader.Query(ctx, text, from, hi, limit)
	if err != nil {
		return nil, 0, false, err
	}
	pairs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p disk.Pair, err error) {
		err = row.Scan(&p.Key, &p.Value)
		return p, err
	})
	if err != nil {
		return nil, 0, false, err
	}
	for i := range pairs {
		last = pairs[i].Key
		value, err := unseal(last, pairs[i].Value)
		if err != nil {
			return nil, 0, false, err
		}
		if !visit(last, value) {
			return last, i, true, nil
		}
	}
	return last, len(pairs), false, nil
}

// Verify reads every value.
func (s *Store) Verify() error { return s.Scan(nil, nil, func(_, _ []byte) bool { return true }) }

// Close flushes and closes the store. It waits for scans.
func (s *Store) Close() error {
	err := s.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick.CompareAndSwap(nil, &Fault{Store: s.name, Doing: "call", Reason: ErrClosed, Err: ErrClosed})
	if s.owner == nil {
		return ErrClosed
	}
	s.end()
	s.owner = nil
	return err
}

// state is the SQLSTATE of an error of the server, or "".
func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
