package verify_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"actordb/disk"
	"actordb/internal/datadir"
	"actordb/internal/history"
	"actordb/internal/nodetest"
	"actordb/internal/verify"
	"actordb/workloads"
)

func made(t *testing.T, compact bool, ops int) string {
	t.Helper()
	dir := t.TempDir()
	load, err := nodetest.Start(nodetest.Config(dir, compact), 12, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Until(ops); err != nil {
		t.Fatal(err)
	}
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func holds(t *testing.T, dir string) *verify.Report {
	t.Helper()
	r, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("%+v", p)
	}
	for _, n := range r.Notes {
		t.Logf("%+v", n)
	}
	for _, s := range r.Shards {
		t.Logf("%+v", s)
	}
	return r
}

// What a node leaves holds, with compaction and without.
func TestHolds(t *testing.T) {
	holds(t, made(t, false, 1500))
	r := holds(t, made(t, true, 6000))
	for _, s := range r.Shards {
		if s.Floor == 0 || s.Folded == 0 || s.Checkpoint == 0 {
			t.Errorf("shard %d proves little: %+v", s.Shard, s)
		}
	}
}

// judged verifies without expecting anything.
func judged(t *testing.T, dir string) *verify.Report {
	t.Helper()
	r, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// files lists the files of a directory tree, sorted.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// with changes a file while f runs.
func with(t *testing.T, path string, change func([]byte) []byte, f func()) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(change(slices.Clone(b)))
	f()
	write(b)
}

// A flipped byte is located in its own file, or changes nothing that is read.
func TestFlippedBytes(t *testing.T) {
	dir := made(t, true, 2500)
	clean := judged(t, dir)
	if !clean.Holds() {
		t.Fatal(clean.Problems)
	}
	flipped, located, torn := 0, 0, 0
	for _, path := range files(t, dir) {
		name, _ := filepath.Rel(dir, path)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, info.Size()/12)
		for at := info.Size() % step / 2; at < info.Size(); at += step {
			with(t, path, func(b []byte) []byte { b[at] ^= 0x10; return b }, func() {
				flipped++
				r := judged(t, dir)
				journal := strings.HasSuffix(name, ".journal")
				for _, p := range r.Problems {
					if p.What == "" || p.Cure == "" || p.File == "" {
						t.Errorf("%s byte %d: a problem without place or cure: %+v", name, at, p)
					}
				}
				switch {
				case !r.Holds():
					located++
					if p := r.Problems[0]; journal && (p.File != name || p.Offset > at || p.Offset < at-frameMax) {
						t.Errorf("%s byte %d is located at %s byte %d: %s", name, at, p.File, p.Offset, p.What)
					}
				case journal && len(r.Notes) > len(clean.Notes):
					torn++ // the last frames, for which nothing vouches
				case journal:
					t.Errorf("%s byte %d flipped and nothing is said", name, at)
				}
			})
		}
	}
	if t.Logf("%d flipped, %d located, %d like a torn tail", flipped, located, torn); located < flipped/2 {
		t.Errorf("%d of %d flipped bytes located", located, flipped)
	}
	holds(t, dir)
}

// frameMax is how long a frame of these tests may be.
const frameMax = 16 << 10

// A tail that a crash tore is noted, and a file that is not there, of another
// shard or too much is a problem with its name.
func TestDirectories(t *testing.T) {
	dir := made(t, false, 800)
	log := filepath.Join(dir, "shard-0", "log")
	names, err := filepath.Glob(filepath.Join(log, "*.journal"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	last := names[len(names)-1]
	with(t, last, func(b []byte) []byte { return append(b, bytes.Repeat([]byte{7}, 100)...) }, func() {
		if r := judged(t, dir); !r.Holds() || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].What, "torn tail of") {
			t.Errorf("a torn tail: %+v %+v", r.Problems, r.Notes)
		}
	})
	says := func(what, file, want string) {
		t.Helper()
		r := judged(t, dir)
		if r.Holds() || r.Problems[0].File != file || !strings.Contains(r.Problems[0].What, want) {
			t.Errorf("%s: %+v, want %q of %s", what, r.Problems, want, file)
		}
	}
	move := func(from, to string, f func()) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		f()
		if err := os.Rename(to, from); err != nil {
			t.Fatal(err)
		}
	}
	away := filepath.Join(t.TempDir(), "away")
	move(names[1], away, func() { says("a hole", "shard-0/log/0000000002.journal", "missing") })
	cut := func(b []byte) []byte { // zeros behind the seal are nothing
		b = bytes.TrimRight(b, "\x00")
		return b[:len(b)-8]
	}
	with(t, names[0], cut, func() {
		says("a cut segment", "shard-0/log/0000000001.journal", "it was durable")
	})
	other, err := os.ReadFile(filepath.Join(dir, "shard-1", "log", "0000000001.journal"))
	if err != nil {
		t.Fatal(err)
	}
	with(t, names[0], func([]byte) []byte { return other }, func() {
		says("another shard's", "shard-0/log/0000000001.journal", "belongs to shard 1")
	})
	move(filepath.Join(dir, "node.json"), away, func() {
		if _, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds}); !errors.Is(err, datadir.ErrNotData) {
			t.Errorf("without node.json: %v", err)
		}
	})
	stray := filepath.Join(dir, "photo.jpg")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := holds(t, dir); len(r.Notes) != 1 || r.Notes[0].File != "photo.jpg" {
		t.Errorf("a stray file: %+v", r.Notes)
	}
}

// changed is a derived store with other pairs.
type changed struct {
	disk.KV
	change func(key, value []byte) []byte
}

func (c changed) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	return c.KV.Scan(lo, hi, func(key, value []byte) bool {
		if v := c.change(key, value); v != nil {
			return visit(key, v)
		}
		return true
	})
}

// What is derived wrongly is found though every checksum is right.
func TestWrongDerivedState(t *testing.T) {
	dir := made(t, false, 1500)
	for what, c := range map[string]struct {
		want   string
		change func(key, value []byte) []byte
	}{
		"a state":     {"is not what the events before it amount to", func(k, v []byte) []byte { return flip(k, v, 'n', len(v)-1) }},
		"a session":   {"session", func(k, v []byte) []byte { return flip(k, v, 's', 2) }},
		"a chain":     {"the checkpoint says", func(k, v []byte) []byte { return flip(k, v, 'm', 10) }},
		"an actor":    {"in the journal it is at", func(k, v []byte) []byte { return flip(k, v, 'a', 0) }},
		"lost actors": {"is not in it", func(k, v []byte) []byte { return without(k, v, 'a') }},
		"lost states": {"is gone", func(k, v []byte) []byte { return without(k, v, 'n') }},
		"strangers":   {"nothing is kept under such a key", func(k, v []byte) []byte { k[0] = 'x'; return v }},
	} {
		r, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds, Open: func(dir string) (disk.KV, error) {
			kv, err := history.OpenKV(dir)
			return changed{kv, c.change}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Problems, func(p history.Problem) bool {
			return strings.Contains(p.What, c.want) && strings.Contains(p.Cure, "remove shard-")
		}) {
			t.Errorf("%s: want %q, got %+v", what, c.want, r.Problems)
		}
	}
}

func flip(key, value []byte, kind byte, at int) []byte {
	v := slices.Clone(value)
	if key[0] == kind {
		v[at] ^= 1
	}
	return v
}

func without(key, value []byte, kind byte) []byte {
	if key[0] == kind {
		return nil
	}
	return value
}
