package backup

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// No chunk makes the reader of pairs panic, and what it reads is what was packed.
func FuzzPairs(f *testing.F) {
	f.Add(appendPair(appendPair(nil, []byte("m"), []byte("value")), []byte("a/b"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			key, value, rest, err := takePair(b)
			if err != nil {
				return
			}
			packed := appendPair(nil, key, value)
			k, v, end, err := takePair(packed)
			if err != nil || len(end) > 0 || !bytes.Equal(k, key) || !bytes.Equal(v, value) {
				t.Fatalf("%x is read as %x %x: %v", packed, k, v, err)
			}
			b = rest
		}
	})
}

// No file passes for a manifest but one that was written as such.
func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	r, err := Create(dir)
	if err != nil {
		f.Fatal(err)
	}
	m := &Manifest{Format: repositoryFormat, ID: "x", Identity: []byte(`{"version":1}`), Shards: []Shard{{Segments: []Segment{{Number: 1, Chunks: []string{"a"}}}}}}
	if err := r.commit(m); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, backupsDir, "x"+manifestSuffix)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := r.Manifest("x"); err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(bytes.Replace(whole, []byte(`"number":1`), []byte(`"number":2`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := r.Manifest("x"); err == nil {
			want := m.Sum
			if err := m.seal(); err != nil || m.Sum != want {
				t.Errorf("another sum: %v", err)
			}
		}
	})
}
