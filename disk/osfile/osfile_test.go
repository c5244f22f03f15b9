package osfile_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/osfile"
)

func open(t testing.TB, path string) *osfile.Dir {
	t.Helper()
	d, err := osfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Protects F1 to F4 and F6. Losing power is disk/losefs's part, which runs the
// same suite over this package.
func TestConformance(t *testing.T) {
	disktest.TestFS(t, func(t *testing.T) disktest.FSHarness {
		path := filepath.Join(t.TempDir(), "store")
		var last *osfile.Dir
		return disktest.FSHarness{Open: func() (disk.FS, error) {
			if last != nil {
				if err := last.Close(); err != nil {
					return nil, err
				}
			}
			last = open(t, path)
			return last, nil
		}}
	})
}

// Protects O1: a directory has one owner, in this process and in another, and
// the owner's death frees it.
func TestOneOwner(t *testing.T) {
	path := t.TempDir()
	if os.Getenv("OSFILE_OWNER") != "" {
		d := open(t, os.Getenv("OSFILE_OWNER"))
		fmt.Println("owned by", d.Path())
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent kills it
		return
	}
	want := func(pid int) {
		t.Helper()
		_, err := osfile.Open(path)
		var owned *osfile.OwnedError
		if !errors.As(err, &owned) || owned.PID != pid || owned.Path != path {
			t.Fatalf("opened a second time: %v, want an OwnedError of process %d", err, pid)
		}
	}
	d := open(t, path)
	want(os.Getpid())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	child := exec.Command(os.Args[0], "-test.run=^TestOneOwner$")
	child.Env = append(os.Environ(), "OSFILE_OWNER="+path)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "owned by") {
		t.Fatalf("the child said %q, %v", line[:n], err)
	}
	want(child.Process.Pid)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	open(t, path)
}

// Protects O1: the lock file is nobody else's.
func TestLockFileIsHidden(t *testing.T) {
	d := open(t, t.TempDir())
	if names, err := d.List(); err != nil || len(names) != 0 {
		t.Errorf("an empty directory holds %q, %v", names, err)
	}
	_, createErr := d.Create(osfile.LockName)
	_, openErr := d.Open(osfile.LockName)
	for _, err := range []error{createErr, openErr, d.Remove(osfile.LockName), d.Rename("a", osfile.LockName)} {
		if !errors.Is(err, disk.ErrBadRequest) {
			t.Errorf("%v, want %v", err, disk.ErrBadRequest)
		}
	}
}

// Protects O2: a full disk is disk.ErrNoSpace with its place, what fitted is
// reported, and what was there before is unharmed. The limit is that on the
// size of files, which needs no small file system; see TestFullDisk for one.
func TestNoSpace(t *testing.T) {
	if os.Getenv("OSFILE_LIMIT") == "" {
		// In a process of its own: the limit could not be taken back here.
		child := exec.Command(os.Args[0], "-test.run=^TestNoSpace$", "-test.v")
		child.Env = append(os.Environ(), "OSFILE_LIMIT=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	const limit = 100_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	checkFull(t, t.TempDir(), limit, false)
}

func checkFull(t *testing.T, path string, limit int, full bool) {
	d, err := osfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var written int64
	for err == nil {
		var n int
		n, err = f.WriteAt(make([]byte, 30_000), written)
		written += int64(n)
		if written > int64(limit) {
			t.Fatalf("%d bytes went into %d", written, limit)
		}
	}
	var at *disk.PathError
	if !errors.Is(err, disk.ErrNoSpace) || !errors.As(err, &at) || at.Kind != disk.OpWrite || at.Name != "a" || at.Offset != written {
		t.Errorf("after %d bytes of %d: %v", written, limit, err)
	}
	if size, err := f.Size(); err != nil || size != written {
		t.Errorf("size %d, %v; the writes reported %d", size, err, written)
	}
	if err := f.Reserve(int64(4 * limit)); full && !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("a reservation of too much: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("sync of what fitted: %v", err)
	}
}

// Protects O2: each refusal says what, where and why, in words of package disk
// and of the system.
func TestErrorsHaveAPlace(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	_, err := d.Open("missing")
	if got, want := err.Error(), "stat missing at byte 0: no such file (no such file or directory)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v does not wrap ENOENT", err)
	}
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), -1); !errors.Is(err, disk.ErrBadRequest) {
		t.Errorf("write at -1: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err == nil {
		t.Error("a closed file was synced")
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, disk.ErrBadRequest) {
		t.Errorf("read of a closed file: %v", err)
	}
	if err := os.Mkdir(filepath.Join(path, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open("sub"); !errors.Is(err, disk.ErrBadRequest) {
		t.Errorf("open of a directory: %v", err)
	}
	if _, err := osfile.Open(filepath.Join(path, "none", "store")); !errors.Is(err, disk.ErrNotExist) {
		t.Errorf("a directory without a parent: %v", err)
	}
	if _, err := osfile.Open(filepath.Join(path, "a")); !errors.Is(err, disk.ErrBadRequest) {
		t.Errorf("a directory that is a file: %v", err)
	}
}

// Protects O4: a reservation takes blocks, so that a later write cannot find
// the disk full.
func TestReserveTakesBlocks(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 8 << 20
	if err := f.Reserve(size); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(path, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Blocks * 512; got < size {
		t.Skipf("this file system sets no space aside: %d bytes of %d", got, size)
	}
	if info.Size() != 0 {
		t.Errorf("size %d after a reservation", info.Size())
	}
}
