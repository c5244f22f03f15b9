package backup_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"actordb/core"
	"actordb/internal/backup"
	"actordb/internal/datadir"
	"actordb/internal/history"
	"actordb/internal/inspect"
	"actordb/internal/node"
	"actordb/internal/nodetest"
	"actordb/internal/verify"
	"actordb/workloads"
)

const clients = 12

// taken is a backup and what clients knew about it.
type taken struct {
	m           *backup.Manifest
	added       int64
	begun, done int64
}

func take(t *testing.T, dir, repo string, now func() int64) taken {
	t.Helper()
	r, err := backup.Create(repo)
	if err != nil {
		t.Fatal(err)
	}
	b := taken{begun: now()}
	b.m, err = r.Take(backup.Options{Dir: dir})
	b.done, b.added = now(), r.Added
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// drilled is a node under load, with backups taken in the middle.
func drilled(t *testing.T, dir, repo string, compact bool, at ...int) (list []taken, load *nodetest.Load) {
	t.Helper()
	load, err := nodetest.Start(nodetest.Config(dir, compact), clients, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ops := range at {
		if err := load.Until(ops); err != nil {
			t.Fatal(err)
		}
		list = append(list, take(t, dir, repo, load.Now))
	}
	if err := errors.Join(load.Until(at[len(at)-1]+300), load.Stop()); err != nil {
		t.Fatal(err)
	}
	return list, load
}

func options(dir string) backup.RestoreOptions {
	return backup.RestoreOptions{Dir: dir, Kinds: workloads.Kinds, OpenKV: nodetest.Config(dir, false).OpenKV}
}

func restore(t *testing.T, repo string, o backup.RestoreOptions) *backup.Restored {
	t.Helper()
	r, err := backup.Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Restore(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// events reads all events of a directory, without the engine.
func events(t *testing.T, dir string) map[core.ActorID][]inspect.Event {
	t.Helper()
	d, err := inspect.Open(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := d.Actors()
	if err != nil {
		t.Fatal(err)
	}
	all := map[core.ActorID][]inspect.Event{}
	for _, id := range ids {
		a, err := d.Actor(id, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		all[id] = a.Events
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func sessions(t *testing.T, dir string) []inspect.Session {
	t.Helper()
	d, err := inspect.Open(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.Sessions("")
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	return list
}

// writesOn runs clients on a restored directory and verifies it again.
func writesOn(t *testing.T, cfg node.Config) {
	t.Helper()
	load, err := nodetest.Start(cfg, clients, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(load.Until(200), load.Stop()); err != nil {
		t.Fatal(err)
	}
	r, err := verify.Run(verify.Options{Dir: cfg.Dir, Kinds: workloads.Kinds})
	if err != nil || !r.Holds() {
		t.Fatal(err, r.Problems)
	}
}

// B1, B3, B5, B6: backups of a running node have all that was acknowledged
// before they began, store what is new, and what is restored passes the checkers
// and is written on.
func TestDrill(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	list, load := drilled(t, dir, repo, false, 500, 1000, 1500)
	ops := load.Ops()
	again := take(t, dir, repo, load.Now)
	if once := take(t, dir, repo, load.Now); again.added == 0 || once.added != 0 {
		t.Errorf("a backup of what is there already stores %d bytes", once.added)
	}
	for i, b := range list {
		cfg := nodetest.Config(filepath.Join(t.TempDir(), "back"), false)
		o := options(cfg.Dir)
		o.Backup = b.m.ID
		restored := restore(t, repo, o)
		known := nodetest.Before(ops, b.begun, b.done)
		audit, err := nodetest.ReadBack(cfg, workloads.Actors(known))
		if err != nil {
			t.Fatal(err)
		}
		for _, failed := range nodetest.Judge(known, audit) {
			t.Errorf("backup %d: %s", i, failed)
		}
		was, is := identity(t, dir), identity(t, cfg.Dir)
		if was.Cluster == is.Cluster || was.Secret == is.Secret || is.Restored.Cluster != was.Cluster || restored.Cluster != is.Cluster {
			t.Errorf("the restored directory passes for the original: %+v", is)
		}
		writesOn(t, cfg)
	}
}

func identity(t *testing.T, dir string) *datadir.Identity {
	t.Helper()
	id, err := datadir.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// B5: restored to a point in time, a directory has the events up to it, no later
// ones, and its sessions remember the answers up to it and no later ones.
func TestPointInTime(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	list, _ := drilled(t, dir, repo, false, 400, 800)
	full, ends := events(t, dir), list[1].m.Shards
	first, end := list[0].m.Shards[0].Until, list[1].m.Shards[0].Until
	for _, until := range []core.Timestamp{first - 20e6, first, (first + end) / 2, end, end + core.Timestamp(time.Hour)} {
		o := options(filepath.Join(t.TempDir(), "back"))
		o.Until = until
		out := restore(t, repo, o)
		got := events(t, o.Dir)
		late := 0
		for id, all := range full {
			n := 0
			for n < len(all) && all[n].Committed <= until.String() && all[n].Block <= ends[all[n].Shard].Last {
				n++
			}
			if late += len(all) - n; len(got[id]) != n || n > 0 && !reflect.DeepEqual(all[:n], got[id]) {
				t.Errorf("until %s: %s has %d events, want %d of %d", until, id, len(got[id]), n, len(all))
			}
		}
		answers := 0
		for _, s := range sessions(t, o.Dir) {
			for _, a := range s.Answers {
				if answers++; a.Timestamp > until.String() {
					t.Errorf("until %s: session %s remembers the answer to %d, of %s", until, s.Session, a.Number, a.Timestamp)
				}
			}
		}
		if t.Logf("until %s: %d events left out, %d answers kept, %+v", until, late, answers, out.Shards); late == 0 || answers == 0 {
			t.Errorf("until %s: %d events left out, %d answers", until, late, answers)
		}
		writesOn(t, nodetest.Config(o.Dir, false))
	}
	o := options(filepath.Join(t.TempDir(), "back"))
	o.UntilIndex = map[core.ShardID]core.Index{0: 50, 1: 60}
	if out := restore(t, repo, o); out.Shards[0].Last != 50 || out.Shards[1].Last != 60 {
		t.Errorf("by entries: %+v", out.Shards)
	}
	writesOn(t, nodetest.Config(o.Dir, false))
}

// laterStates counts the snapshots of a directory from after a shard's entry.
func laterStates(t *testing.T, dir string, cut map[core.ShardID]core.Index) (n int) {
	t.Helper()
	for shard, index := range cut {
		kv, err := history.OpenKV(datadir.KVDir(dir, shard))
		if err != nil {
			t.Fatal(err)
		}
		d, err := history.ReadDerived(kv, false)
		if err := errors.Join(err, kv.Close()); err != nil || d.Position.Applied != index {
			t.Fatalf("%+v: %v", d.Position, err)
		}
		for _, s := range d.Snapshots {
			if s.Index > index {
				n++
			}
		}
	}
	return n
}

// B5: snapshots of events that are cut off are not restored. A store that was
// closed often has some from after its last checkpoint.
func TestNoLaterStates(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	o := options(filepath.Join(t.TempDir(), "back"))
	for round := 0; ; round++ {
		_, load := drilled(t, dir, repo, false, 400)
		b := take(t, dir, repo, load.Now)
		o.UntilIndex = map[core.ShardID]core.Index{0: b.m.Shards[0].Position, 1: b.m.Shards[1].Position}
		if laterStates(t, dir, o.UntilIndex) > 0 {
			break
		}
		if round == 20 {
			t.Fatal("there is never one to leave out")
		}
	}
	restore(t, repo, o)
	if n := laterStates(t, o.Dir, o.UntilIndex); n > 0 {
		t.Errorf("%d snapshots are there of what was cut off", n)
	}
}

// Compaction while backups are taken changes nothing of it, but for how far back
// one can go: not before what the oldest backup in a row reaches.
func TestCompacted(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	list, load := drilled(t, dir, repo, true, 1500, 2000, 2500, 4500)
	ops := load.Ops()
	for _, b := range list {
		cfg := nodetest.Config(filepath.Join(t.TempDir(), "back"), true)
		o := options(cfg.Dir)
		o.Backup = b.m.ID
		out := restore(t, repo, o)
		if out.Shards[0].Last != b.m.Shards[0].Last {
			t.Errorf("%+v of %+v", out.Shards[0], b.m.Shards[0])
		}
		if _, err := nodetest.ReadBack(cfg, workloads.Actors(nodetest.Before(ops, b.begun, b.begun))); err != nil {
			t.Fatal(err)
		}
		writesOn(t, cfg)
	}
	newest := list[len(list)-1].m.Shards[0]
	if newest.Floor == 0 || newest.Position == 0 {
		t.Fatalf("nothing was compacted: %+v", newest)
	}
	r, err := backup.Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	o := options(filepath.Join(t.TempDir(), "back"))
	o.Until = newest.Clock - core.Timestamp(time.Hour)
	var out *backup.RangeError
	if _, err := r.Restore(o); !errors.As(err, &out) {
		t.Errorf("long before the first backup: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(o.Dir)); err != nil || len(entries) > 0 {
		t.Errorf("a refused restore leaves %v, %v", entries, err)
	}
	// Between two backups, and within an older one that the newest no longer reaches.
	o.Until = max(newest.Clock, list[3].m.Shards[1].Clock)
	if got := restore(t, repo, o); got.Shards[0].Until > o.Until || got.Shards[0].Floor == 0 {
		t.Errorf("%+v", got.Shards[0])
	}
	writesOn(t, nodetest.Config(o.Dir, true))
	o = options(filepath.Join(t.TempDir(), "back"))
	o.Until = min(list[1].m.Shards[0].Until, list[1].m.Shards[1].Until)
	if got := restore(t, repo, o); got.Shards[0].Until > o.Until || got.Shards[1].Until > o.Until {
		t.Errorf("%+v", got.Shards)
	}
	writesOn(t, nodetest.Config(o.Dir, true))
}

// B4: a flipped byte of any file of a repository is located and refused.
func TestDamagedRepository(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	list, _ := drilled(t, dir, repo, false, 200)
	r, err := backup.Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(repo, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".lock" {
			return err
		}
		files++
		name, _ := filepath.Rel(repo, path)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, at := range []int{0, len(b) / 3, len(b) - 1} {
			b[at] ^= 0x20
			if err := os.WriteFile(path, b, 0o600); err != nil {
				return err
			}
			_, err := backup.Open(repo)
			if err == nil {
				_, err = r.Restore(options(filepath.Join(t.TempDir(), "back")))
			}
			var damage *backup.Damage
			var version *core.VersionError
			if !(errors.As(err, &damage) && damage.File == name) && !(errors.As(err, &version) && strings.HasSuffix(version.Place, name)) &&
				!(name == "repository.json" && err == nil) { // white space
				t.Errorf("%s byte %d: %v", name, at, err)
			}
			b[at] ^= 0x20
		}
		if strings.HasPrefix(name, "chunks") && files%7 == 0 { // the next backup heals it
			b[0] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				return err
			}
			take(t, dir, repo, func() int64 { return 0 })
			b[0] ^= 1
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil || files < 5 {
		t.Fatal(files, err)
	}
	o := options(filepath.Join(t.TempDir(), "back"))
	o.Backup = list[0].m.ID
	restore(t, repo, o)
}

// What cannot be backed up or restored is refused by name.
func TestRefusals(t *testing.T) {
	dir, repo := t.TempDir(), filepath.Join(t.TempDir(), "repo")
	list, _ := drilled(t, dir, repo, false, 200)
	r, err := backup.Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Open(dir); !errors.Is(err, backup.ErrNotRepository) {
		t.Errorf("a data directory as a repository: %v", err)
	}
	if _, err := backup.Create(dir); !errors.Is(err, backup.ErrNotRepository) {
		t.Errorf("a repository in a data directory: %v", err)
	}
	if _, err := r.Restore(options(dir)); !errors.Is(err, backup.ErrDirTaken) {
		t.Errorf("over a data directory: %v", err)
	}
	o := options(filepath.Join(t.TempDir(), "back"))
	o.Backup = "yesterday"
	if _, err := r.Restore(o); !errors.Is(err, backup.ErrNone) {
		t.Errorf("a backup that is not there: %v", err)
	}
	o = options(filepath.Join(t.TempDir(), "back"))
	o.UntilIndex = map[core.ShardID]core.Index{0: 1 << 40}
	var beyond *backup.RangeError
	if _, err := r.Restore(o); !errors.As(err, &beyond) {
		t.Errorf("beyond the end: %v", err)
	}
	path := filepath.Join(repo, "backups", list[0].m.ID+".json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	doc["format"] = 9
	if b, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var version *core.VersionError
	if _, err := r.Restore(options(filepath.Join(t.TempDir(), "back"))); !errors.As(err, &version) || version.Found != 9 {
		t.Errorf("a backup of a later format: %v", err)
	}
	// A damaged journal is not backed up.
	segments, err := filepath.Glob(filepath.Join(dir, "shard-0", "log", "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(segments[0]); err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := backup.Create(repo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Take(backup.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), filepath.Base(segments[0])) {
		t.Errorf("a damaged journal: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
