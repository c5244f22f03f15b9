package osfile

import (
	"errors"
	"os"
	"testing"
)

// Readers share a directory, an owner has it alone, and reading writes nothing.
func TestLockShared(t *testing.T) {
	dir := t.TempDir()
	none, err := LockShared(dir)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Fatalf("a reader left %v, %v", entries, err)
	}
	owner, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var owned *OwnedError
	if _, err := LockShared(dir); !errors.As(err, &owned) || owned.PID != os.Getpid() {
		t.Errorf("beside an owner: %v", err)
	}
	if err := errors.Join(owner.Close(), none.Close()); err != nil {
		t.Fatal(err)
	}
	a, err := LockShared(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := LockShared(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.As(err, &owned) {
		t.Errorf("an owner beside readers: %v", err)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if owner, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
}
