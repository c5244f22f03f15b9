//go:build linux

package osfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	eventBytes = 200
	aheadBytes = 256 << 10
)

// BenchmarkAppendSync appends batches of events, each made durable before the
// next: the bound for a commit. bare is a growing file, reserved one whose space
// was set aside, ahead the same with zeros written aheadBytes at a time before
// the events, as the journal does, over one whose bytes were written before.
func BenchmarkAppendSync(b *testing.B) {
	for _, batch := range []int{1, 16, 256, 1600} {
		for _, how := range []string{"bare", "reserved", "ahead", "over"} {
			b.Run(fmt.Sprintf("%s/batch=%d", how, batch), func(b *testing.B) { appendSync(b, how, batch*eventBytes) })
		}
	}
}

func appendSync(b *testing.B, how string, size int) {
	d := open(b, b.TempDir())
	f, err := d.Create("a")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const extent = 64 << 20
	switch how {
	case "reserved", "ahead":
		err = f.Reserve(extent)
	case "over":
		_, err = f.WriteAt(make([]byte, extent), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	p, zeros := make([]byte, size), make([]byte, aheadBytes)
	var off, zeroed int64
	b.SetBytes(int64(size))
	for b.Loop() {
		if how == "ahead" && zeroed < off+int64(size) {
			zeroed = max(zeroed, off)
			if n, err := f.WriteAt(zeros, zeroed); n != len(zeros) || err != nil {
				b.Fatal(n, err)
			}
			zeroed += aheadBytes
		}
		if how != "bare" && off+int64(size) > extent {
			off = 0
			zeroed = 0
			if how == "reserved" || how == "ahead" { // reuse keeps the blocks; the size grows again
				b.StopTimer()
				if err := f.Truncate(0); err == nil {
					err = f.Reserve(extent)
				}
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		}
		if n, err := f.WriteAt(p, off); n != size || err != nil {
			b.Fatal(n, err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		off += int64(size)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkDirect is the same past the page cache: O_DIRECT, whole pages, with a
// sync after each write or with O_DSYNC. It is why package osfile does not.
func BenchmarkDirect(b *testing.B) {
	for _, batch := range []int{1, 16, 256, 1600} {
		for _, how := range []string{"sync", "dsync"} {
			for _, where := range []string{"reserved", "over"} {
				b.Run(fmt.Sprintf("%s/%s/batch=%d", how, where, batch), func(b *testing.B) {
					direct(b, how, where, (batch*eventBytes+4095)&^4095)
				})
			}
		}
	}
}

func direct(b *testing.B, how, where string, size int) {
	path := filepath.Join(b.TempDir(), "a")
	const extent = 64 << 20
	if where == "over" {
		if err := os.WriteFile(path, make([]byte, extent), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_DIRECT | unix.O_CLOEXEC
	if how == "dsync" {
		flags |= unix.O_DSYNC
	}
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		b.Skipf("no O_DIRECT here: %v", err)
	}
	defer unix.Close(fd)
	if where == "reserved" {
		err = unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, extent)
	}
	if err == nil {
		err = unix.Fsync(fd)
	}
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, size+4096)
	p = p[4096-int(uintptr(unsafe.Pointer(&p[0]))&4095):][:size]
	var off int64
	b.SetBytes(int64(size))
	for b.Loop() {
		if off+int64(size) > extent {
			off = 0
		}
		if n, err := unix.Pwrite(fd, p, off); n != size || err != nil {
			b.Fatal(n, err)
		}
		if how == "sync" {
			if err := unix.Fdatasync(fd); err != nil {
				b.Fatal(err)
			}
		}
		off += int64(size)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}
