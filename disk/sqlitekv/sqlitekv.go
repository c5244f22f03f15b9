// Package sqlitekv is disk.KV in one SQLite file, without cgo: for small nodes,
// and for those who want to look into derived state with a tool that they have.
//
// # How it keeps the promises of package disk
//
// Q1. A batch is one transaction (K1). The file is in WAL mode with
// synchronous=NORMAL: a commit appends checksummed frames and syncs nothing, and
// recovery takes the frames up to the first that does not fit, so a crash leaves
// a prefix of the batches (K2). A checkpoint, which SQLite makes when the WAL is
// a few megabytes long, syncs the WAL before it writes the file and the file
// before the WAL is used again.
//
// Q2. Flush commits one more transaction with synchronous=FULL, which syncs the
// WAL and with it every commit before. A checkpoint instead would sync nothing
// while a Scan holds an old state. Once a Flush has failed all calls fail: what a
// failed sync was to make durable is in doubt.
//
// Q3. Scan reads on a connection of its own in one read transaction: it sees the
// state as of its start, and visit may write (K3). Keys are blobs and compared
// as bytes.
//
// Q4. SQLite does not checksum its pages. A value carries a CRC-32C of key and
// value, so that a wrong value is an error (K4); damage to the pages between that
// hides a key from Get is found by Verify only.
//
// The file belongs to one process. SQLite itself would let several write, and
// nothing would break, but K2 would be theirs together; the node's directory has
// one owner anyway. While it is open there are two more files beside it, -wal and
// -shm; Close leaves one.
package sqlitekv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"actordb/disk"
	"actordb/disk/checked"
)

const (
	// applicationID tells our files from others, formatVersion what is in them.
	applicationID = 0x41444b56 // "ADKV"
	formatVersion = 1

	// idleReadersMax is how many connections, of 2 MB of cache each, are kept.
	idleReadersMax = 4
)

// ErrCorrupt is what a Fault wraps when bytes are not those that were written.
// The store holds derived state: remove the file and rebuild it.
var ErrCorrupt = errors.New("store is damaged: remove its file, to have it rebuilt")

// A Fault says what broke in which store.
type Fault struct {
	Path   string
	Doing  string
	Reason error // one of package disk's, or ErrCorrupt
	Err    error
}

func (f *Fault) Error() string {
	return fmt.Sprintf("store %s: %s: %v (%v)", f.Path, f.Doing, f.Reason, f.Err)
}

func (f *Fault) Unwrap() []error { return []error{f.Reason, f.Err} }

// A VersionError says that the file is not ours, or a later version's.
type VersionError struct {
	Path                 string
	Application, Version int
}

func (e *VersionError) Error() string {
	if e.Application != applicationID {
		return fmt.Sprintf("%s is not a store of ActorDB (application id %#x): it is left as it is", e.Path, e.Application)
	}
	return fmt.Sprintf("store %s has format %d, this program knows formats up to %d: use the program that wrote it, or remove the file to have it rebuilt",
		e.Path, e.Version, formatVersion)
}

// A Store is an open store. It may be used from several goroutines.
type Store struct {
	path   string
	db     *sql.DB // readers
	get    *sql.Stmt
	scan   *sql.Stmt
	scanTo *sql.Stmt
	sick   atomic.Pointer[Fault]

	mu   sync.Mutex // guards the writer
	conn *sql.Conn
	put  *sql.Stmt
	del  *sql.Stmt
}

var _ disk.KV = (*Store)(nil)

// Open opens the store in a file, which is made if there is none.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, s.fault("open", err)
	}
	source := url.URL{Scheme: "file", Path: absolute, RawQuery: url.Values{
		"_pragma": {"busy_timeout(10000)", "synchronous(NORMAL)", "fullfsync(1)", "checkpoint_fullfsync(1)"},
	}.Encode()}
	if s.db, err = sql.Open("sqlite", source.String()); err != nil {
		return nil, s.fault("open", err)
	}
	s.db.SetMaxIdleConns(idleReadersMax)
	if err := s.prepare(filepath.Dir(absolute)); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

func (s *Store) prepare(dir string) (err error) {
	ctx := context.Background()
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return s.fault("open", err)
	}
	if err := s.format(ctx, dir); err != nil {
		return errors.Join(err, s.conn.Close())
	}
	for _, p := range []struct {
		stmt **sql.Stmt
		on   interface {
			PrepareContext(context.Context, string) (*sql.Stmt, error)
		}
		text string
	}{
		{&s.get, s.db, "SELECT v FROM kv WHERE k = ?"},
		{&s.scan, s.db, "SELECT k, v FROM kv WHERE k >= ? ORDER BY k"},
		{&s.scanTo, s.db, "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k"},
		{&s.put, s.conn, "INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v"},
		{&s.del, s.conn, "DELETE FROM kv WHERE k = ?"},
	} {
		if *p.stmt, err = p.on.PrepareContext(ctx, p.text); err != nil {
			return errors.Join(s.fault("open", err), s.conn.Close())
		}
	}
	return nil
}

// format checks what the file is, and makes a store of an empty one.
func (s *Store) format(ctx context.Context, dir string) error {
	v := VersionError{Path: s.path}
	tables := 0
	for _, q := range []struct {
		into *int
		text string
	}{{&v.Application, "PRAGMA application_id"}, {&v.Version, "PRAGMA user_version"}, {&tables, "SELECT count(*) FROM sqlite_schema"}} {
		if err := s.conn.QueryRowContext(ctx, q.text).Scan(q.into); err != nil {
			return s.fault("open", err)
		}
	}
	created := v.Application == 0 && v.Version == 0 && tables == 0
	if !created && (v.Application != applicationID || v.Version > formatVersion) {
		return &v
	}
	if _, err := s.conn.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return s.fault("open", err)
	}
	if !created {
		return nil
	}
	// One transaction: a crash leaves an empty file or a store.
	if _, err := s.conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA synchronous = FULL; BEGIN IMMEDIATE;
		CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;
		CREATE TABLE flushes (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
		INSERT INTO flushes VALUES (1, 0);
		PRAGMA application_id = %d; PRAGMA user_version = %d;
		COMMIT; PRAGMA synchronous = NORMAL`, applicationID, formatVersion)); err != nil {
		return s.fault("create", err)
	}
	d, err := os.Open(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return s.fault("create", err)
	}
	return nil
}

func (s *Store) fault(doing string, err error) *Fault {
	f := &Fault{Path: s.path, Doing: doing, Reason: disk.ErrIO, Err: err}
	var e *sqlite.Error
	switch {
	case errors.Is(err, ErrCorrupt):
		f.Reason = ErrCorrupt
	case !errors.As(err, &e):
	case e.Code()&0xff == sqlite3.SQLITE_FULL:
		f.Reason = disk.ErrNoSpace
	case e.Code()&0xff == sqlite3.SQLITE_CORRUPT, e.Code()&0xff == sqlite3.SQLITE_NOTADB:
		f.Reason = ErrCorrupt
	}
	return f
}

func (s *Store) faulty() error {
	if f := s.sick.Load(); f != nil {
		return f
	}
	return nil
}

// unseal returns the value in what was stored.
func unseal(key, stored []byte) ([]byte, error) {
	value, ok := checked.Value(key, stored)
	if !ok {
		return nil, fmt.Errorf("value of key %x: %w", key, ErrCorrupt)
	}
	return value, nil
}

// blob keeps the driver from taking an empty key for NULL.
func blob(p []byte) []byte {
	if p == nil {
		return []byte{}
	}
	return p
}

// Get returns the value of key.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	if err := s.faulty(); err != nil {
		return nil, false, err
	}
	var stored []byte
	err = s.get.QueryRow(blob(key)).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		value, err = unseal(key, stored)
	}
	if err != nil {
		return nil, false, s.fault("get", err)
	}
	return value, true, nil
}

// Apply writes b. It keeps none of its slices.
func (s *Store) Apply(b *disk.Batch) error {
	if len(b.Mutations) == 0 {
		return s.faulty()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faulty(); err != nil {
		return err
	}
	return s.transaction("apply", func() error {
		for i := range b.Mutations {
			m := &b.Mutations[i]
			var err error
			if m.Delete {
				_, err = s.del.Exec(blob(m.Key))
			} else {
				_, err = s.put.Exec(blob(m.Key), checked.Seal(m.Key, m.Value))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// transaction runs f in one transaction of the writer.
func (s *Store) transaction(doing string, f func() error) error {
	err := s.exec("BEGIN IMMEDIATE")
	if err == nil {
		if err = f(); err == nil {
			err = s.exec("COMMIT")
		}
		if err != nil {
			// SQLite may have rolled back by itself, which is then the error here.
			_ = s.exec("ROLLBACK")
		}
	}
	if err != nil {
		return s.fault(doing, err)
	}
	return nil
}

func (s *Store) exec(text string) error {
	_, err := s.conn.ExecContext(context.Background(), text)
	return err
}

// Flush makes everything durable that was applied before (Q2).
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faulty(); err != nil {
		return err
	}
	err := s.exec("PRAGMA synchronous = FULL")
	if err == nil {
		err = s.transaction("flush", func() error { return s.exec("UPDATE flushes SET n = n + 1") })
	}
	if err == nil {
		err = s.exec("PRAGMA synchronous = NORMAL")
	}
	if err != nil {
		f, ok := err.(*Fault)
		if !ok {
			f = s.fault("flush", err)
		}
		s.sick.CompareAndSwap(nil, f)
		return f
	}
	return nil
}

// Scan visits [lo, hi) as it is now. visit may call the store.
func (s *Store) Scan(lo, hi []byte, visit func(key, value []byte) bool) (err error) {
	if err := s.faulty(); err != nil {
		return err
	}
	var rows *sql.Rows
	if hi == nil {
		rows, err = s.scan.Query(blob(lo))
	} else {
		rows, err = s.scanTo.Query(blob(lo), hi)
	}
	if err != nil {
		return s.fault("scan", err)
	}
	defer func() {
		if cerr := rows.Close(); cerr != nil && err == nil {
			err = s.fault("scan", cerr)
		}
	}()
	for rows.Next() {
		var key, stored []byte
		err := rows.Scan(&key, &stored)
		var value []byte
		if err == nil {
			value, err = unseal(key, stored)
		}
		if err != nil {
			return s.fault("scan", err)
		}
		if !visit(key, value) {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return s.fault("scan", err)
	}
	return nil
}

// Verify reads the whole file: its structure as SQLite sees it, and every value.
func (s *Store) Verify() error {
	var said string
	if err := s.db.QueryRow("PRAGMA integrity_check(1)").Scan(&said); err != nil {
		return s.fault("verify", err)
	}
	if said != "ok" {
		return s.fault("verify", fmt.Errorf("%w: %s", ErrCorrupt, said))
	}
	return s.Scan(nil, nil, func(_, _ []byte) bool { return true })
}

// Close flushes and closes the store.
func (s *Store) Close() error {
	err := s.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range []*sql.Stmt{s.get, s.scan, s.scanTo, s.put, s.del} {
		err = errors.Join(err, stmt.Close())
	}
	return errors.Join(err, s.conn.Close(), s.db.Close())
}
