package olddata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk/pebblekv"
	"actordb/internal/inspect"
	"actordb/internal/node"
	"actordb/internal/nodetest"
	"actordb/internal/verify"
	"actordb/net/wire"
	"actordb/workloads"
)

var write = flag.String("write", "", "name of a directory to write with today's code")

func config(dir string) node.Config {
	c := nodetest.Config(dir, true)
	c.Shard.SegmentBytes, c.Shard.BlockBytes = 16<<10, 4<<10
	c.Shard.CheckpointBytes, c.Shard.CompactKeep = 8<<10, 48<<10
	c.Operators = []core.Principal{operator}
	return c
}

const operator = "spiffe://actordb/client/operator"

// An upgrader raises the logs of a node to the newest version, one after the other.
type upgrader struct {
	gateway proc.Addr
	session core.SessionID
	shards  core.ShardID
	done    chan struct{}

	number core.CommandNumber
	at     core.ShardID
}

func (u *upgrader) ask(out *proc.Effects) {
	u.number++
	var w wire.Writer
	w.Command(&core.Command{Session: u.session, Number: u.number, Actor: core.ShardActor(u.at), Kind: core.Regroup, Expected: core.AnySeq,
		Type: shard.VerbUpgrade, Payload: shard.AppendVersion(nil, core.VersionMax)})
	out.Send(u.gateway, w.Finish(wire.Commands))
}

func (u *upgrader) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		u.session = core.NewSessionID(core.Timestamp(now.Wall)+3600e9, 99)
		u.ask(out)
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) {
			if a.Number != u.number {
				return
			}
			if a.Status == core.Accepted {
				u.at++
			}
			if u.at == u.shards {
				u.number = 0
				close(u.done)
				return
			}
			u.ask(out)
		})
	}
}

// upgrade raises the logs of a node.
func upgrade(n *node.Node, shards int) error {
	u := &upgrader{gateway: n.Gateway, shards: core.ShardID(shards), done: make(chan struct{})}
	if _, err := n.Spawn("operator", operator, func(proc.Env) proc.Process { return u }); err != nil {
		return err
	}
	select {
	case <-u.done:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("shard %d is not upgraded", u.at)
	}
}

// dump is what a directory is read as, by the engine and by the tools.
func dump(dir string) (string, error) {
	var out strings.Builder
	d, err := inspect.Open(dir, nil, nil)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, "node.json version %d, cluster %s\n", d.Identity.Version, d.Identity.Cluster)
	ids, failed := d.Actors()
	sessions, err := d.Sessions("")
	if err := errors.Join(failed, err, d.Close()); err != nil {
		return "", err
	}
	for _, s := range sessions {
		fmt.Fprintf(&out, "session %s of shard %d, floor %d\n", s.Session, s.Shard, s.Floor)
		for _, a := range s.Answers {
			fmt.Fprintf(&out, "  %d %s: %s %q at %d, %d events, %s\n", a.Number, a.Digest, a.Answer, a.Detail, a.Seq, a.Count, a.Timestamp)
		}
	}
	served, err := read(dir, ids)
	return out.String() + served, err
}

// read is what the engine serves of these actors. It compacts nothing meanwhile.
func read(dir string, ids []core.ActorID) (string, error) {
	c := config(dir)
	c.Shard.CompactKeep = 0
	audit, err := nodetest.ReadBack(c, ids)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for i, f := range audit.Finals() {
		s := audit.States()[i]
		fmt.Fprintf(&out, "%s at %d, state %x\n", s.Actor, s.Seq, s.State)
		for _, e := range f.Events {
			fmt.Fprintf(&out, "  %d %s v%d at %d, committed %d, %s/%d by %s: %x, personal %x\n", e.Seq, e.Type, e.Version, e.EventTime, e.Committed,
				e.Session, e.Number, e.Principal, e.Payload, e.Personal)
		}
	}
	return out.String(), nil
}

// TestWrite makes a directory with today's code that has all that there is:
// several segments, compaction, checkpoints, snapshots, light states, refusals,
// sessions, decided and appended events, personal columns, blocks of every version.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	load, err := nodetest.Start(config(dir), 6, nil)
	if err != nil {
		t.Fatal(err)
	}
	ops := 400
	if *write != "" {
		ops = 1200
	}
	if err := errors.Join(load.Until(ops/2), upgrade(load.Node, 2), load.Until(ops), load.Stop()); err != nil {
		t.Fatal(err)
	}
	text, err := dump(dir)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := Pack(&packed, dir); err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	if err := Unpack(bytes.NewReader(packed.Bytes()), again); err != nil {
		t.Fatal(err)
	}
	if copied, err := dump(again); err != nil || copied != text {
		t.Fatalf("packed and unpacked it is read otherwise: %v", err)
	}
	if *write == "" {
		return
	}
	base := filepath.Join("testdata", *write)
	if _, err := os.Stat(base + ".tar.gz"); err == nil {
		t.Fatalf("%s is there: the old ones stay as they are", base)
	}
	if err := errors.Join(os.WriteFile(base+".tar.gz", packed.Bytes(), 0o644), os.WriteFile(base+".txt", []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// unpacked returns a fresh copy of a kept directory.
func unpacked(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := errors.Join(Unpack(f, dir), f.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func kept(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", "*.tar.gz"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no directories are kept: %v", err)
	}
	return list
}

func sound(t *testing.T, dir string) *verify.Report {
	t.Helper()
	r, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("%+v", p)
	}
	return r
}

// Every directory ever kept opens with today's code, is read as it was written,
// holds, and is written on.
func TestOldDirectories(t *testing.T) {
	for _, path := range kept(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := unpacked(t, path)
			for _, s := range sound(t, dir).Shards {
				if s.Floor == 0 || s.Segments < 2 || s.Checkpoint == 0 || s.Folded == 0 || s.Sessions == 0 {
					t.Errorf("shard %d does not have all that it should: %+v", s.Shard, s)
				}
			}
			want, err := os.ReadFile(strings.TrimSuffix(path, ".tar.gz") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			got, err := dump(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Fatalf("it is read otherwise than it was written: %s", firstDifference(string(want), got))
			}
			load, err := nodetest.Start(config(dir), 6, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(load.Until(200), load.Stop()); err != nil {
				t.Fatal(err)
			}
			sound(t, dir)
		})
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %q, now %q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines, now %d", len(x), len(y))
}

// actorsOf lists the actors of a directory.
func actorsOf(t *testing.T, dir string) []core.ActorID {
	t.Helper()
	d, err := inspect.Open(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := d.Actors()
	if err := errors.Join(err, d.Close()); err != nil || len(ids) == 0 {
		t.Fatal(len(ids), err)
	}
	return ids
}

func edit(t *testing.T, path string, change func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A format of a later version is refused by its name and left as it is: by the
// engine and by verify, wherever it stands.
func TestFutureVersions(t *testing.T) {
	path := kept(t)[0]
	ids := actorsOf(t, unpacked(t, path))
	newest := func(dir, shard string) string {
		list, err := filepath.Glob(filepath.Join(dir, shard, "log", "*.journal"))
		if err != nil || len(list) == 0 {
			t.Fatal(err)
		}
		return list[len(list)-1]
	}
	for what, change := range map[string]func(dir string) (file string){
		"identity": func(dir string) string {
			edit(t, filepath.Join(dir, "node.json"), func(b []byte) {
				copy(b, bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 9`), 1))
			})
			return "node.json"
		},
		"segment": func(dir string) string {
			name := newest(dir, "shard-1")
			edit(t, name, func(b []byte) {
				b[40] = 9 // the payload's first field
				reseal(b, 0, 0)
			})
			return name
		},
		"block": func(dir string) string {
			name := newest(dir, "shard-0")
			edit(t, name, func(b []byte) {
				at := frameOf(t, b, 2)
				b[at+40+24+4] = 9 // header, fixed part of an entry, magic
				reseal(b, at, saltOf(b))
			})
			return name
		},
		"store": func(dir string) string {
			kv := filepath.Join(dir, "shard-0", "kv")
			list, err := filepath.Glob(filepath.Join(kv, "marker.format-version.*"))
			if err != nil || len(list) == 0 {
				t.Fatal(err)
			}
			from := list[len(list)-1]
			if err := os.Rename(from, from[:strings.LastIndex(from, ".")]+".999"); err != nil {
				t.Fatal(err)
			}
			return kv
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := unpacked(t, path)
			file := change(dir)
			r, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Problems) == 0 || !strings.HasSuffix(file, r.Problems[0].File) || !strings.Contains(r.Problems[0].What, "format") {
				t.Errorf("verify says %+v, want a format of %s", r.Problems, file)
			}
			_, err = read(dir, ids)
			var version *core.VersionError
			var store *pebblekv.VersionError
			if !errors.As(err, &version) && !errors.As(err, &store) {
				t.Fatalf("the engine says %v, want a version error", err)
			}
			if !strings.Contains(err.Error(), "use the") {
				t.Errorf("no cure: %v", err)
			}
		})
	}
}

// The layout of a frame, by the book (docs/formats.md, core/journal/frame.go).

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reseal makes a frame's checksums right again, and the chain behind it.
func reseal(b []byte, at int, salt uint32) {
	le := binary.LittleEndian
	n := int(le.Uint32(b[at+8:]))
	le.PutUint32(b[at+4:], crc32.Update(salt, castagnoli, b[at+40:at+40+n]))
	le.PutUint32(b[at:], crc32.Update(salt, castagnoli, b[at+4:at+40]))
	next := at + 40 + (n+7)&^7
	if next+40 <= len(b) && le.Uint64(b[next+16:]) == uint64(next) {
		salt := saltOf(b)
		le.PutUint32(b[next+32:], le.Uint32(b[at+4:]))
		le.PutUint32(b[next:], crc32.Update(salt, castagnoli, b[next+4:next+40]))
	}
}

// saltOf computes a segment's salt from its first frame.
func saltOf(b []byte) uint32 {
	var id [36]byte
	copy(id[:], b[40+8:40+24])       // cluster
	copy(id[16:], b[40+4:40+8])      // shard
	copy(id[20:], b[40+24:40+24+16]) // replica, number
	return crc32.Checksum(id[:], castagnoli)
}

// frameOf finds the first frame of a kind that holds something.
func frameOf(t *testing.T, b []byte, kind byte) int {
	t.Helper()
	for at := 0; at+40 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[at+8:]))
		if b[at+12] == kind && n > 100 {
			return at
		}
		at += 40 + (n+7)&^7
	}
	t.Fatal("no such frame")
	return 0
}

// A flipped byte anywhere in a directory is refused with place and cure, or what
// is served is what was written: never anything else.
func TestFlippedBytesAreNotServed(t *testing.T) {
	path := kept(t)[0]
	pristine := unpacked(t, path)
	ids := actorsOf(t, pristine)
	want, err := read(unpacked(t, path), ids)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := filepath.WalkDir(pristine, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(pristine, p)
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	const flipsPerFile = 3
	refused, same, torn := 0, 0, 0
	for i := range flipsPerFile * len(names) {
		name := names[i%len(names)]
		dir := unpacked(t, path)
		size := 0
		edit(t, filepath.Join(dir, name), func(b []byte) {
			if size = len(b); size > 0 {
				b[(i*7919+size/2)%size] ^= 0x04
			}
		})
		if size == 0 {
			continue
		}
		judged, err := verify.Run(verify.Options{Dir: dir, Kinds: workloads.Kinds})
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(dir, ids)
		switch {
		case err != nil:
			refused++
			if judged.Holds() {
				t.Errorf("%s: the engine refuses what verify says holds: %v", name, err)
			}
			if said := err.Error(); !strings.Contains(said, "restore") && !strings.Contains(said, "remove") && !strings.Contains(said, "check the") {
				t.Errorf("%s: refused without a cure: %v", name, err)
			}
		case got == want:
			same++
		case judged.Holds() && len(judged.Notes) > 0:
			torn++ // the newest bytes, for which nothing vouches
		default:
			t.Errorf("%s: something else is served: %s", name, firstDifference(want, got))
		}
	}
	if t.Logf("%d files: %d refused, %d served as written, %d cut like a torn tail", len(names), refused, same, torn); refused < len(names) {
		t.Errorf("only %d refused", refused)
	}
}
