package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"actordb/core/control"
	"actordb/disk"
	"actordb/disk/kvfile"
	"actordb/disk/memkv"
	"actordb/disk/osfile"
	"actordb/disk/pebblekv"
	"actordb/disk/pgkv"
	"actordb/disk/sqlitekv"
	"actordb/internal/datadir"
)

// backends open a node's stores as its network wants them.
type backends struct {
	dir       string
	files, kv *control.Process
	fault     func(error) // of a store, found outside of any call
	openDir   func(dir string) (disk.FS, error)
}

// openFiles opens the journal's files, in a directory or in a store.
func (b *backends) openFiles(dir string) (disk.FS, error) {
	if b.files.Backend == "os" {
		if b.openDir != nil {
			return b.openDir(dir)
		}
		return osfile.Open(dir)
	}
	store, err := b.open(b.files, dir)
	if err != nil {
		return nil, err
	}
	files, err := kvfile.Open(store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return files, nil
}

func (b *backends) openKV(dir string) (disk.KV, error) { return b.open(b.kv, dir) }

// open opens the store of p that belongs to a directory.
func (b *backends) open(p *control.Process, dir string) (disk.KV, error) {
	switch p.Backend {
	case "memory":
		return memkv.New(), nil
	case "sqlite":
		return sqlitekv.Open(filepath.Join(dir, "store.sqlite"))
	case "postgres":
		table, err := b.table(dir)
		if err != nil {
			return nil, err
		}
		return pgkv.Open(pgkv.Config{URL: p.URL, Table: table})
	case "pebble":
		return b.openPebble(pebblekv.Config{Dir: dir, CacheBytes: p.Limits["cache_bytes"], MemTableBytes: p.Limits["memtable_bytes"],
			OnFault: func(f *pebblekv.Fault) { b.fault(b.noted(dir, f)) }})
	}
	return nil, fmt.Errorf("this program has no backend %q for %s", p.Backend, p.Kind)
}

// noted sees to it that views' checkpoints that are damaged are gone at the next start, which
// would find the same damage otherwise.
func (b *backends) noted(dir string, f *pebblekv.Fault) error {
	if dir != datadir.ViewsDir(b.dir) || !errors.Is(f, pebblekv.ErrCorrupt) {
		return f
	}
	return errors.Join(f, os.WriteFile(datadir.ViewsDamaged(b.dir), nil, 0o600))
}

func (b *backends) openPebble(c pebblekv.Config) (disk.KV, error) {
	if b.openDir == nil {
		return pebblekv.Open(c)
	}
	under, err := b.openDir(c.Dir)
	if err != nil {
		return nil, err
	}
	c.Dir, c.FS = pebblekv.OverFSDir, pebblekv.OverFS(under)
	s := &overStore{under: under}
	if s.KV, err = pebblekv.Open(c); err != nil {
		return nil, errors.Join(err, s.closeUnder())
	}
	return s, nil
}

// overStore is Pebble over a directory that is closed after it.
type overStore struct {
	disk.KV
	under disk.FS
}

// Close implements disk.KV.
func (s *overStore) Close() error { return errors.Join(s.KV.Close(), s.closeUnder()) }

func (s *overStore) closeUnder() error {
	if c, ok := s.under.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// table names the table that stands for a directory. Its cluster's number keeps
// the nodes of one database apart, those of restored directories too.
func (b *backends) table(dir string) (string, error) {
	id, err := datadir.Read(b.dir)
	if err != nil {
		return "", err
	}
	if dir == datadir.ViewsDir(b.dir) {
		return fmt.Sprintf("actordb_%s_node%d_views", id.Cluster[:12], id.Node), nil
	}
	shard, kind := filepath.Split(dir)
	number := filepath.Base(shard)[len("shard-"):]
	return fmt.Sprintf("actordb_%s_node%d_shard%s_%s", id.Cluster[:12], id.Node, number, kind), nil
}
