package losefs_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"actordb/disk"
	"actordb/disk/losefs"
)

const recordBytes = 200

// Protects L1 and L2 with a real process, real files and SIGKILL: what the
// process said was durable is there, and nothing that was not.
func TestKilledProcess(t *testing.T) {
	if path := os.Getenv("LOSEFS_CHILD"); path != "" {
		appendForever(t, path)
		return
	}
	path := t.TempDir()
	rnd := stream(11)
	var last uint64
	for round := range 12 {
		acked := killChild(t, path, rnd)
		dir, side := openDir(t, filepath.Join(path, "dir")), openDir(t, filepath.Join(path, "side"))
		lost, err := losefs.Cut(dir, side, losefs.Everything, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := records(t, dir)
		t.Logf("round %d: %d durable, %d there, lost %v", round, acked, got, lost)
		// One batch may have become durable that nobody heard of.
		if got < max(acked, last) || got > max(acked, last)+batchRecords {
			t.Fatalf("round %d: %d records were durable, %d are there", round, max(acked, last), got)
		}
		last = got
		if err := errors.Join(dir.Close(), side.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// killChild starts a process, lets it make some batches durable and kills it. It
// returns how many records it called durable.
func killChild(t *testing.T, path string, rnd *rand.Rand) (acked uint64) {
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	child.Env = append(os.Environ(), "LOSEFS_CHILD="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	wanted := 1 + rnd.IntN(60)
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); seen++ {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		acked = n
		if seen == wanted {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
	return acked
}

const batchRecords = 10

// appendForever appends records in batches, syncs every second one, and prints
// how many are durable. Each batch first goes over an older record and back, so
// that there are bytes to restore.
func appendForever(t *testing.T, path string) {
	dir, side := openDir(t, filepath.Join(path, "dir")), openDir(t, filepath.Join(path, "side"))
	fs, err := losefs.Open(dir, side)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open("log")
	if errors.Is(err, disk.ErrNotExist) {
		if f, err = fs.Create("log"); err == nil {
			err = fs.SyncDir()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	write := func(p []byte, off int64) {
		if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	for n := records(t, fs); ; {
		for range batchRecords / 2 {
			if n > 0 {
				write(bytes.Repeat([]byte{0xff}, recordBytes), int64(n/2)*recordBytes)
				write(record(n/2), int64(n/2)*recordBytes)
			}
			write(record(n), int64(n)*recordBytes)
			n++
		}
		if n%batchRecords != 0 {
			continue
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	}
}

func record(n uint64) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, n+1), recordBytes/8)
}

// records counts the records of the log and checks each.
func records(t *testing.T, fs disk.FS) uint64 {
	all := contents(t, fs)["log"]
	if len(all)%recordBytes != 0 {
		t.Fatalf("the log has %d bytes, no whole number of records", len(all))
	}
	for i := range len(all) / recordBytes {
		if got := all[i*recordBytes : (i+1)*recordBytes]; got != string(record(uint64(i))) {
			t.Fatalf("record %d of %d is damaged", i, len(all)/recordBytes)
		}
	}
	return uint64(len(all) / recordBytes)
}
