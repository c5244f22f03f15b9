package pgkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/pgkv"
	"actordb/disk/pgkv/pgtest"
)

func open(t *testing.T, server *pgtest.Server, table string) *pgkv.Store {
	t.Helper()
	s, err := pgkv.Open(pgkv.Config{URL: server.URL(), Table: table})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s disk.KV, key, value string) {
	t.Helper()
	var b disk.Batch
	b.Put([]byte(key), []byte(value))
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
}

// sql runs a statement past the store.
func sql(t *testing.T, server *pgtest.Server, text string, args ...any) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, text, args...); err != nil {
		t.Fatal(err)
	}
}

// Protects K1 to K4. A crash is that of the server.
func TestConformance(t *testing.T) {
	server := pgtest.Start(t)
	tables := 0
	disktest.TestKV(t, func(t *testing.T) disktest.KVHarness {
		tables++
		table := fmt.Sprintf("t%d", tables)
		return disktest.KVHarness{
			Open:  func() (disk.KV, error) { return pgkv.Open(pgkv.Config{URL: server.URL(), Table: table}) },
			Crash: func() error { server.Crash(); return nil },
		}
	})
}

// Protects G3: when the server was away, the store says so and goes on saying so
// when the server is back; it is opened again, with what was flushed. The crash
// here loses what was not, or the conformance suite would prove little.
func TestServerAway(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server, "state")
	put(t, s, "flushed", "1")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "applied", "1")
	server.Stop()
	all := func(when string) {
		t.Helper()
		_, _, err := s.Get([]byte("flushed"))
		for _, err := range []error{err, s.Apply(new(disk.Batch)), s.Flush(), s.Scan(nil, nil, nil), s.Verify()} {
			var f *pgkv.Fault
			if !errors.Is(err, pgkv.ErrAway) || !errors.As(err, &f) || f.Store == "" {
				t.Errorf("%s: %v, want %v", when, err, pgkv.ErrAway)
			}
		}
	}
	all("the server is down")
	if _, err := pgkv.Open(pgkv.Config{URL: server.URL(), Table: "state"}); !errors.Is(err, pgkv.ErrAway) {
		t.Errorf("opened without a server: %v", err)
	}
	server.Resume()
	all("the server is back")
	if err := s.Close(); !errors.Is(err, pgkv.ErrAway) {
		t.Errorf("close: %v", err)
	}
	s = open(t, server, "state")
	for key, want := range map[string]bool{"flushed": true, "applied": false} {
		if _, found, err := s.Get([]byte(key)); found != want || err != nil {
			t.Errorf("%s: found %v, want %v (%v)", key, found, want, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(new(disk.Batch)); !errors.Is(err, pgkv.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, pgkv.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}

// Protects G3 and G6, and against opening what is not ours: each refusal is typed
// and names the place.
func TestRefused(t *testing.T) {
	server := pgtest.Start(t)
	first := open(t, server, "state")
	_, err := pgkv.Open(pgkv.Config{URL: server.URL(), Table: "state", OwnerWait: time.Millisecond})
	var owned *pgkv.OwnedError
	if !errors.As(err, &owned) || owned.PID == 0 || owned.From == "" {
		t.Errorf("opened twice: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	sql(t, server, "CREATE TABLE foreign_table (x int)")
	sql(t, server, "COMMENT ON TABLE state IS 'ActorDB derived state, format 9'")
	for table, format := range map[string]int{"foreign_table": 0, "state": 9} {
		_, err := pgkv.Open(pgkv.Config{URL: server.URL(), Table: table})
		var version *pgkv.VersionError
		if !errors.As(err, &version) || version.Format != format || !strings.Contains(err.Error(), table) {
			t.Errorf("%s: %v", table, err)
		}
	}
	sql(t, server, "COMMENT ON TABLE state IS 'ActorDB derived state, format 1'")

	var unsafe *pgkv.UnsafeError
	sql(t, server, "ALTER TABLE state SET UNLOGGED")
	if _, err := pgkv.Open(pgkv.Config{URL: server.URL(), Table: "state"}); !errors.As(err, &unsafe) {
		t.Errorf("an unlogged table: %v", err)
	}
	sql(t, server, "ALTER TABLE state SET LOGGED")
	for _, setting := range []string{"fsync", "full_page_writes"} {
		sql(t, server, "ALTER SYSTEM SET "+setting+" = off")
		server.Crash() // for the setting
		if _, err := pgkv.Open(pgkv.Config{URL: server.URL(), Table: "state"}); !errors.As(err, &unsafe) {
			t.Errorf("%s = off: %v", setting, err)
		}
		sql(t, server, "ALTER SYSTEM RESET "+setting)
	}
	server.Crash()
	if err := open(t, server, "state").Close(); err != nil {
		t.Error(err)
	}
}

// Protects against names that are more than a name, and against a password in an
// error.
func TestConfig(t *testing.T) {
	for _, table := range []string{"", "1a", "A", "a b", `a"b`, "a;b", "a.b", strings.Repeat("a", 64)} {
		if _, err := pgkv.Open(pgkv.Config{Table: table}); err == nil {
			t.Errorf("the table name %q was taken", table)
		}
	}
	for _, url := range []string{"postgres://u:secret@/db?host=/nowhere", "postgres://u:secret@host:port/"} {
		_, err := pgkv.Open(pgkv.Config{URL: url, Table: "t"})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	if _, err := pgkv.Open(pgkv.Config{Table: "t", Timeout: -1}); err == nil {
		t.Error("a time below zero was taken")
	}
}

// Protects G5 and the limits: a changed value is an error, and what is too large
// is refused as a whole and leaves the store as it was.
func TestDamageAndLimits(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server, "state")
	put(t, s, "key", "value")
	sql(t, server, "UPDATE state SET v = set_byte(v, 6, 1)")
	_, _, err := s.Get([]byte("key"))
	for _, err := range []error{err, s.Verify()} {
		if !errors.Is(err, pgkv.ErrCorrupt) {
			t.Errorf("%v, want %v", err, pgkv.ErrCorrupt)
		}
	}
	put(t, s, "key", "value")

	var b disk.Batch
	b.Put([]byte("small"), nil)
	b.Put(make([]byte, 2601), nil)
	if err := s.Apply(&b); !errors.Is(err, disk.ErrBadRequest) {
		t.Errorf("a key of 2601 bytes: %v", err)
	}
	if _, found, err := s.Get([]byte("small")); found || err != nil {
		t.Errorf("half of a batch that was refused: %v, %v", found, err)
	}
	// The largest key, of bytes that do not compress, and a batch of several parts.
	b = disk.Batch{}
	key := bytes.Repeat([]byte{0}, 2600)
	for i := range key {
		key[i] = byte(i * i >> 3)
	}
	b.Put(key, []byte("x"))
	for i := range 3 {
		b.Put(fmt.Appendf(nil, "big%d", i), make([]byte, 3<<20))
	}
	b.Delete([]byte("key"))
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.Scan(nil, nil, func(_, v []byte) bool { n += len(v); return true }); err != nil || n != 1+9<<20 {
		t.Errorf("%d bytes of values, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
