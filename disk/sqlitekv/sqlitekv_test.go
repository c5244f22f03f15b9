package sqlitekv_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/sqlitekv"
)

// flushLog remembers how long the WAL was when it was last synced.
type flushLog struct {
	*sqlitekv.Store
	path   string
	synced int64
}

func (f *flushLog) Flush() error {
	err := f.Store.Flush()
	if err == nil {
		info, serr := os.Stat(f.path + "-wal")
		if serr != nil {
			return serr
		}
		f.synced = info.Size()
	}
	return err
}

// Protects K1 to K4. A power loss is a copy of the files, of whose WAL any part
// after what was synced is cut off or torn.
func TestConformance(t *testing.T) {
	disktest.TestKV(t, func(t *testing.T) disktest.KVHarness {
		path := filepath.Join(t.TempDir(), "state 0%?.db")
		rnd := rand.New(rand.NewPCG(1, 4))
		var s *flushLog
		rounds := 0
		return disktest.KVHarness{
			Open: func() (disk.KV, error) {
				store, err := sqlitekv.Open(path)
				if err != nil {
					return nil, err
				}
				s = &flushLog{Store: store, path: path}
				return s, nil
			},
			Crash: func() error {
				rounds++
				next := filepath.Join(t.TempDir(), fmt.Sprintf("state %d%%?.db", rounds))
				main, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				wal, err := os.ReadFile(path + "-wal")
				if err != nil {
					return err
				}
				synced := min(int(s.synced), len(wal))
				wal = wal[:synced+rnd.IntN(len(wal)-synced+1)]
				if tail := wal[synced:]; len(tail) > 0 && rnd.IntN(2) == 0 {
					from := rnd.IntN(len(tail))
					clear(tail[from:min(len(tail), from+disk.SectorBytes)])
				}
				err = errors.Join(os.WriteFile(next, main, 0o600), os.WriteFile(next+"-wal", wal, 0o600), s.Store.Close())
				path = next
				return err
			},
		}
	})
}

func open(t *testing.T, path string) *sqlitekv.Store {
	t.Helper()
	s, err := sqlitekv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *sqlitekv.Store, key string, value []byte) {
	t.Helper()
	var b disk.Batch
	b.Put([]byte(key), value)
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
}

// Protects Q1: a closed store is one file.
func TestOneFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"))
	put(t, s, "a", []byte("1"))
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// Protects Q4: a flipped bit in a value is an error of Get, of Scan and of
// Verify, never a wrong value.
func TestFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	value := bytes.Repeat([]byte("value"), 100)
	put(t, s, "key", value)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(all, value)
	all[at+77] ^= 4
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	_, _, err = s.Get([]byte("key"))
	for _, err := range []error{err, s.Scan(nil, nil, func(_, _ []byte) bool { return true }), s.Verify()} {
		if !errors.Is(err, sqlitekv.ErrCorrupt) {
			t.Errorf("%v, want %v", err, sqlitekv.ErrCorrupt)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Protects against opening what is not ours: a database of somebody else, one of
// a later version, and no database at all are refused and left alone.
func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"foreign": "CREATE TABLE t (x)",
		"later":   "PRAGMA application_id = 0x41444b56; PRAGMA user_version = 9",
	} {
		path := filepath.Join(t.TempDir(), "a.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sqlitekv.Open(path)
		var version *sqlitekv.VersionError
		if !errors.As(err, &version) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitekv.Open(path); !errors.Is(err, sqlitekv.ErrCorrupt) {
		t.Errorf("a text file: %v", err)
	}
}

func BenchmarkApplyFlush(b *testing.B) {
	for _, n := range []int{1, 1600} {
		for _, flush := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch=%d/flush=%v", n, flush), func(b *testing.B) {
				s, err := sqlitekv.Open(filepath.Join(b.TempDir(), "state.db"))
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				i := 0
				for b.Loop() {
					var batch disk.Batch
					for range n {
						i++
						batch.Put(fmt.Appendf(nil, "%08x", i*2654435761), make([]byte, 200))
					}
					if err := s.Apply(&batch); err != nil {
						b.Fatal(err)
					}
					if flush {
						if err := s.Flush(); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i), "ns/pair")
			})
		}
	}
}
