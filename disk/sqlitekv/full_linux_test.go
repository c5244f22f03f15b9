package sqlitekv_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"actordb/disk"
)

// Protects against silence on a full disk: the error says so, and what was
// flushed before is there.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("no small file system to fill: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "state.db")
	s := open(t, path)
	put(t, s, "key", []byte("value"))
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil; i++ {
		var b disk.Batch
		b.Put(fmt.Appendf(nil, "k%d", i), make([]byte, 10_000))
		err = s.Apply(&b)
	}
	if !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("apply on a full disk: %v", err)
	}
	if v, found, err := s.Get([]byte("key")); err != nil || !found || string(v) != "value" {
		t.Errorf("%q, %v, %v", v, found, err)
	}
	_ = s.Close() // may find the disk full again
}
