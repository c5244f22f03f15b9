package kvfile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/kvfile"
	"actordb/disk/memkv"
	"actordb/disk/pgkv"
	"actordb/disk/pgkv/pgtest"
	"actordb/disk/sqlitekv"
)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 6)) }

// failing makes a store's next Flush fail when it is told to.
type failing struct {
	disk.KV
	next *bool
}

func (f failing) Flush() error {
	if *f.next {
		*f.next = false
		return errors.New("planted")
	}
	return f.KV.Flush()
}

// Protects F1 to F6 over stores that lose nothing, something and everything that
// was not flushed.
func TestConformance(t *testing.T) {
	for _, rate := range []uint32{0, 500_000, 1_000_000} {
		t.Run(fmt.Sprintf("memory-%d", rate), func(t *testing.T) {
			disktest.TestFS(t, func(*testing.T) disktest.FSHarness {
				s := memkv.NewSim(memkv.Config{Rand: stream(uint64(rate)), Faults: memkv.Faults{LostUnflushed: rate}})
				fail := false
				return disktest.FSHarness{
					Open:         func() (disk.FS, error) { return kvfile.Open(failing{s.KV(), &fail}) },
					Crash:        func() error { s.Crash(true); return nil },
					FailNextSync: func() { fail = true },
				}
			})
		})
	}
}

// The same over a SQLite file. A crash is a kill: a copy of the files as they are.
func TestConformanceSQLite(t *testing.T) {
	disktest.TestFS(t, func(t *testing.T) disktest.FSHarness {
		dir := t.TempDir()
		lives := 0
		path := func() string { return filepath.Join(dir, fmt.Sprintf("%d.db", lives)) }
		var s *sqlitekv.Store
		return disktest.FSHarness{
			Open: func() (disk.FS, error) {
				if s != nil {
					if err := s.Close(); err != nil {
						return nil, err
					}
				}
				var err error
				if s, err = sqlitekv.Open(path()); err != nil {
					return nil, err
				}
				t.Cleanup(func() { _ = s.Close() })
				return kvfile.Open(s)
			},
			Crash: func() error {
				from := path()
				lives++
				for _, end := range []string{"", "-wal"} {
					b, err := os.ReadFile(from + end)
					if err == nil {
						err = os.WriteFile(path()+end, b, 0o600)
					}
					if err != nil {
						return err
					}
				}
				return nil
			},
		}
	})
}

// The same over PostgreSQL, whose server crashes every eighth time; the others
// are those of a process that took all that it had applied with it to the server.
func TestConformancePostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	tables, crashes := 0, 0
	disktest.TestFS(t, func(t *testing.T) disktest.FSHarness {
		tables++
		cfg := pgkv.Config{URL: server.URL(), Table: fmt.Sprintf("t%d", tables)}
		var s *pgkv.Store
		return disktest.FSHarness{
			Open: func() (disk.FS, error) {
				if s != nil {
					_ = s.Close() // fails where the server has crashed
				}
				var err error
				if s, err = pgkv.Open(cfg); err != nil {
					return nil, err
				}
				t.Cleanup(func() { _ = s.Close() })
				return kvfile.Open(s)
			},
			Crash: func() error {
				if crashes++; crashes%8 == 0 {
					server.Crash()
				}
				return nil
			},
		}
	})
}

// Protects V3: after one failed flush no Sync of any file succeeds.
func TestFailedFlushStays(t *testing.T) {
	fail := false
	fs, err := kvfile.Open(failing{memkv.New(), &fail})
	if err != nil {
		t.Fatal(err)
	}
	a, err := fs.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	fail = true
	var place *disk.PathError
	if err := fs.SyncDir(); !errors.Is(err, disk.ErrIO) || !errors.As(err, &place) {
		t.Errorf("a failed flush: %v", err)
	}
	if a.Sync() == nil || fs.SyncDir() == nil {
		t.Error("a sync after a failed flush succeeded")
	}
}

// Protects against taking a store that holds something else, or a later format.
func TestRefused(t *testing.T) {
	for key, found := range map[string]uint32{"x": 0, "f": 9} {
		kv := memkv.New()
		var b disk.Batch
		b.Put([]byte(key), []byte{0, 0, 0, 9})
		if err := kv.Apply(&b); err != nil {
			t.Fatal(err)
		}
		_, err := kvfile.Open(kv)
		var version *kvfile.VersionError
		if !errors.As(err, &version) || version.Found != found {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

// Protects the space of the store: what was cut off and removed leaves no keys.
func TestNothingStays(t *testing.T) {
	kv := memkv.New()
	fs, err := kvfile.Open(kv)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		f, err := fs.Create("a")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := f.WriteAt(make([]byte, 100_000), 50); n != 100_000 || err != nil {
			t.Fatal(n, err)
		}
		switch i {
		case 0:
			err = fs.Remove("a")
		case 1:
			err = fs.Rename("a", "b")
		default:
			if err = f.Truncate(0); err == nil {
				err = fs.Rename("a", "b")
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if i != 0 {
			continue
		}
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, disk.ErrNotExist) {
			t.Errorf("a write to a removed file: %v", err)
		}
	}
	var keys []string
	if err := kv.Scan(nil, nil, func(k, _ []byte) bool { keys = append(keys, fmt.Sprintf("%q", k[:1])); return true }); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(keys); got != `["f" "n" "s"]` {
		t.Errorf("keys that stay: %s", got)
	}
}
