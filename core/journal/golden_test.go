package journal

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden traces in testdata")

// The diary of a log, operation by operation: > goes to the disk, < comes back,
// with the frames of each write.
func TestGolden(t *testing.T) {
	for topic, play := range map[string]func(t *testing.T, h *host){
		"fresh-start": func(t *testing.T, h *host) {
			mustOpen(t, h)
			h.fill(t, 1, 0, 100)
			h.idle()
			h.settle()
			h.crash(true)
			mustOpen(t, h)
		},
		"rotation": func(t *testing.T, h *host) {
			mustOpen(t, h)
			h.fill(t, 1, 9000, 9000)
			h.crash(true)
			mustOpen(t, h)
		},
		"torn-tail": func(t *testing.T, h *host) {
			mustOpen(t, h)
			h.fill(t, 1, 100, 200)
			files := image(h.disk)
			name := segmentName(1)
			spans := frames(files[name], name)
			clear(files[name][spans[len(spans)-1].to-150:])
			h.note("-- the last 150 bytes did not reach the disk")
			h.disk = restore(t, files)
			mustOpen(t, h)
			h.fill(t, 2, 50)
		},
		"suffix-replaced": func(t *testing.T, h *host) {
			mustOpen(t, h)
			h.append([]*pb.Entry{entryOf(1, 1, payload(1, 1, 10)), entryOf(1, 2, payload(1, 2, 20)), entryOf(1, 3, payload(1, 3, 30))}, stateOf(1, 1, 0))
			h.settle()
			h.append([]*pb.Entry{entryOf(2, 2, payload(2, 2, 40))}, stateOf(2, 0, 1))
			h.settle()
			h.crash(true)
			mustOpen(t, h)
		},
		"damage": func(t *testing.T, h *host) {
			mustOpen(t, h)
			list := h.fill(t, 1, 100, 200, 300)
			h.idle()
			h.settle()
			files := image(h.disk)
			name := segmentName(1)
			files[name][512] ^= 1
			h.note("-- a bit flips in byte 512")
			h.disk = restore(t, files)
			d := wantDamage(t, h, name)
			patch, err := Mend(testIdentity, d, files[name], list)
			if err != nil {
				t.Fatal(err)
			}
			h.note("-- mended with %d bytes", len(patch))
			copy(files[name][d.From:], patch)
			h.disk = restore(t, files)
			mustOpen(t, h)
		},
		"compaction": func(t *testing.T, h *host) {
			mustOpen(t, h)
			h.fill(t, 1, 9000, 9000, 9000)
			h.log.Applied(3)
			h.note("compact to 2")
			h.log.Compact(2, &h.fx)
			h.submit()
			h.settle()
			h.crash(true)
			mustOpen(t, h)
		},
	} {
		t.Run(topic, func(t *testing.T) {
			h := newHost(newFlippable(1))
			h.diary = &strings.Builder{}
			play(t, h)
			h.note("-- entries %d to %d, hard state term %d vote %d commit %d", h.log.Floor()+1, h.log.Last(),
				h.log.HardState().GetTerm(), h.log.HardState().GetVote(), h.log.HardState().GetCommit())
			file := filepath.Join("testdata", topic+".txt")
			if *rewrite {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(h.diary.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != h.diary.String() {
				t.Errorf("%s differs from\n%s\nafter a change that is meant: go test ./core/journal -run TestGolden -rewrite", file, h.diary.String())
			}
		})
	}
}
