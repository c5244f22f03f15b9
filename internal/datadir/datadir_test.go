package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"actordb/core"
	"actordb/disk/osfile"
)

// A directory is claimed once at a time, by the node that it belongs to.
func TestClaim(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	id, lock, err := Claim(dir, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	var owned *osfile.OwnedError
	if _, _, err := Claim(dir, 1, 2); !errors.As(err, &owned) || owned.PID != os.Getpid() {
		t.Errorf("a second owner: %v", err)
	}
	if _, err := LockShared(dir); !errors.As(err, &owned) {
		t.Errorf("a reader beside the owner: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	var wrong *IdentityError
	if _, _, err := Claim(dir, 2, 2); !errors.As(err, &wrong) || !wrong.Mismatch {
		t.Errorf("another node: %v", err)
	}
	if _, _, err := Claim(dir, 1, 3); !errors.As(err, &wrong) || !wrong.Mismatch {
		t.Errorf("another number of shards: %v", err)
	}
	again, lock, err := Claim(dir, 1, 0)
	if err != nil || !reflect.DeepEqual(id, again) {
		t.Fatalf("%+v, then %+v: %v", id, again, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "photo.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Claim(other, 1, 1); !errors.Is(err, ErrNotData) {
		t.Errorf("a stranger's directory: %v", err)
	}
	if entries, err := os.ReadDir(other); err != nil || len(entries) != 1 {
		t.Errorf("a refused directory was written to: %v, %v", entries, err)
	}
}

// A flipped byte of node.json is refused, or makes no difference.
func TestFlippedIdentity(t *testing.T) {
	dir := t.TempDir()
	id, err := Fresh(7, 3)
	if err != nil {
		t.Fatal(err)
	}
	id.Restored = &Restored{Cluster: strings.Repeat("ab", 16), Backup: "b", At: "now"}
	if err := id.Write(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, IdentityFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := range whole {
		for bit := range 8 {
			b := append([]byte(nil), whole...)
			b[at] ^= 1 << bit
			got, err := ParseIdentity(path, b)
			var wrong *IdentityError
			var version *core.VersionError
			switch {
			case errors.As(err, &wrong), errors.As(err, &version):
				refused++
			case err != nil:
				t.Errorf("byte %d bit %d: %v", at, bit, err)
			default:
				got.Sum = id.Sum // its name may be what was hit
				if !reflect.DeepEqual(got, id) {
					t.Errorf("byte %d bit %d is taken for %+v", at, bit, got)
				}
			}
		}
	}
	if refused < 6*len(whole) {
		t.Errorf("%d of %d flips refused", refused, 8*len(whole))
	}
}

// No bytes make ParseIdentity panic, or pass for an identity that is not whole.
func FuzzIdentity(f *testing.F) {
	f.Add([]byte(`{"version": 1, "cluster": "00000000000000000000000000000000", "node": 1, "shards": 2, "secret": "0000000000000000000000000000000000000000000000000000000000000000"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := ParseIdentity("node.json", b); err == nil {
			_, _ = id.ClusterID(), id.SecretBytes()
			if id.Shards < 1 || id.Shards > ShardsMax {
				t.Errorf("%d shards", id.Shards)
			}
		}
	})
}

// A directory is seeded once, whole, and with nothing but a node of a cluster.
func TestSeed(t *testing.T) {
	from, alone := t.TempDir(), t.TempDir()
	id, err := Fresh(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Write(alone); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Version: ClusterVersion, Cluster: id.Cluster, Nodes: []Member{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}}
	if id.Members = c.Members(); id.Write(from) != nil || c.Write(from) != nil {
		t.Fatal("the seed cannot be written")
	}
	dir := filepath.Join(t.TempDir(), "deep", "node")
	if err := Seed(dir, alone); err == nil {
		t.Error("a node that is alone is no seed")
	}
	if err := Seed(dir, t.TempDir()); !errors.Is(err, ErrNotData) {
		t.Errorf("an empty seed: %v", err)
	}
	if err := Seed(dir, from); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	there, err2 := ReadCluster(dir)
	if err != nil || err2 != nil || got.Secret != id.Secret || got.Node != 2 || there.Addr(3) != "c:1" {
		t.Errorf("%+v %+v %v %v", got, there, err, err2)
	}
	c.Nodes[2].Addr = "d:1"
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := Seed(dir, from); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadCluster(dir); err != nil || there.Addr(3) != "d:1" {
		t.Errorf("seeded again: %+v %v", there, err)
	}
}
