package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"actordb/disk"
)

const sector = disk.SectorBytes

// FSChecks returns the suite for disk.FS.
func FSChecks() []FSCheck {
	return []FSCheck{
		{"F1/sequence", "F1: calls on one file take effect in their order", fsSequence},
		{"F1/executor", "F1: the same through an Executor that opens and closes files as it goes", fsExecutor},
		{"F2/readable", "F2: a completed write is readable, through every handle and after reopening", fsReadable},
		{"F2/reserve", "F2: a reservation changes neither size nor contents", fsReserve},
		{"F2/synced", "F2: what was synced survives a power loss", fsSynced},
		{"F2/truncate", "F2: a synced truncation survives a power loss", fsTruncate},
		{"F2/sectors", "F2: a power loss leaves each sector of an unsynced write old or new", fsSectors},
		{"F2/append", "F2: a power loss leaves each sector of unsynced appends as one of them left it, or zero", fsAppend},
		{"F3/names", "F3: names are exclusive, listed in order, renamed and removed", fsNames},
		{"F3/synced", "F3: a synced change of a name survives a power loss", fsNamesSynced},
		{"F3/rename", "F3: a power loss leaves an unsynced rename done or undone, nothing between", fsRename},
		{"F4/count", "F4: a write changes exactly the N bytes that it reports", fsCount},
		{"F5/syncfail", "F5: a failed Sync says so, and harms nothing that was synced before", fsSyncFail},
		{"F6/end", "F6: a read is short at the end of the file only", fsEnd},
		{"F6/holes", "F6: bytes that were never written read as zeros", fsHoles},
		{"F6/requests", "Op: malformed requests are refused and change nothing", fsRequests},
	}
}

// fsRun is a harness in use by one check.
type fsRun struct {
	T
	h  FSHarness
	fs disk.FS
}

func newFS(t T, h FSHarness) *fsRun {
	r := &fsRun{T: t, h: h}
	r.open()
	return r
}

func (r *fsRun) open() {
	r.Helper()
	fs, err := r.h.Open()
	r.ok(err, "open the directory")
	r.fs = fs
}

func (r *fsRun) ok(err error, format string, args ...any) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

func (r *fsRun) is(err, want error, format string, args ...any) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("%s: error %v, want %v", fmt.Sprintf(format, args...), err, want)
	}
}

func (r *fsRun) needCrash() {
	r.Helper()
	if r.h.Crash == nil {
		r.Skipf("the backend cannot lose power")
	}
}

// crash cuts the power and opens the directory again.
func (r *fsRun) crash() {
	r.Helper()
	r.ok(r.h.Crash(), "crash")
	r.open()
}

func (r *fsRun) create(name string) disk.File {
	r.Helper()
	f, err := r.fs.Create(name)
	r.ok(err, "create %s", name)
	return f
}

func (r *fsRun) openFile(name string) disk.File {
	r.Helper()
	f, err := r.fs.Open(name)
	r.ok(err, "open %s", name)
	return f
}

func (r *fsRun) close(f disk.File) {
	r.Helper()
	r.ok(f.Close(), "close")
}

// write writes all of p: F4 leaves the rest of a short write to the caller.
func (r *fsRun) write(f disk.File, p []byte, off int64) {
	r.Helper()
	for len(p) > 0 {
		n, err := f.WriteAt(p, off)
		r.ok(err, "write %d bytes at %d", len(p), off)
		if n <= 0 || n > len(p) {
			r.Fatalf("write of %d bytes at %d wrote %d", len(p), off, n)
		}
		p, off = p[n:], off+int64(n)
	}
}

// change writes all of p and returns the last of versions as each write on the
// way left it. A sector may keep any of them.
func (r *fsRun) change(f disk.File, versions [][]byte, p []byte, off int) [][]byte {
	r.Helper()
	for len(p) > 0 {
		n, err := f.WriteAt(p, int64(off))
		r.ok(err, "write %d bytes at %d", len(p), off)
		if n <= 0 || n > len(p) {
			r.Fatalf("write of %d bytes at %d wrote %d", len(p), off, n)
		}
		now := overwrite(bytes.Clone(versions[len(versions)-1]), p[:n], off)
		versions = append(versions, now)
		p, off = p[n:], off+n
	}
	return versions
}

// wantSectors checks that each sector of a file is that of one of the versions,
// and that its length lies between theirs. What a version does not have is zero.
func (r *fsRun) wantSectors(name string, versions [][]byte, when string) {
	r.Helper()
	got := r.contents(name)
	shortest, longest := len(versions[0]), len(versions[0])
	for _, v := range versions {
		shortest, longest = min(shortest, len(v)), max(longest, len(v))
	}
	if len(got) < shortest || len(got) > longest {
		r.Fatalf("%d bytes %s, want %d to %d", len(got), when, shortest, longest)
	}
	for s := 0; s < len(got); s += sector {
		end := min(s+sector, len(got))
		if !slices.ContainsFunc(versions, func(v []byte) bool {
			return bytes.Equal(got[s:end], resize(bytes.Clone(v), longest)[s:end])
		}) {
			r.Fatalf("the sector at %d is none of its %d versions %s", s, len(versions), when)
		}
	}
}

func (r *fsRun) size(f disk.File) int64 {
	r.Helper()
	n, err := f.Size()
	r.ok(err, "size")
	return n
}

func (r *fsRun) read(f disk.File, off int64, n int) []byte {
	r.Helper()
	p := make([]byte, n)
	got, err := f.ReadAt(p, off)
	r.ok(err, "read %d bytes at %d", n, off)
	if got < 0 || got > n {
		r.Fatalf("read of %d bytes at %d gave %d", n, off, got)
	}
	return p[:got]
}

// contents reads a whole file, and checks that its size agrees.
func (r *fsRun) contents(name string) []byte {
	r.Helper()
	f := r.openFile(name)
	defer r.close(f)
	size := r.size(f)
	p := r.read(f, 0, int(size)+sector)
	if int64(len(p)) != size {
		r.Fatalf("%s: size %d, but a read gives %d bytes", name, size, len(p))
	}
	return p
}

func (r *fsRun) want(name string, want []byte, when string) {
	r.Helper()
	if got := r.contents(name); !bytes.Equal(got, want) {
		r.Fatalf("%s %s: %s", name, when, difference(got, want))
	}
}

func (r *fsRun) names() []string {
	r.Helper()
	names, err := r.fs.List()
	r.ok(err, "list")
	return names
}

func (r *fsRun) wantNames(want ...string) {
	r.Helper()
	if got := r.names(); !slices.Equal(got, want) {
		r.Fatalf("the directory holds %q, want %q", got, want)
	}
}

// make creates a file and makes it durable, name and all.
func (r *fsRun) make(name string, p []byte) {
	r.Helper()
	f := r.create(name)
	r.write(f, p, 0)
	r.ok(f.Sync(), "sync %s", name)
	r.close(f)
	r.ok(r.fs.SyncDir(), "sync the directory")
}

func difference(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("byte %d is %#x, want %#x (%d bytes, want %d)", i, got[i], want[i], len(got), len(want))
		}
	}
	return fmt.Sprintf("%d bytes, want %d", len(got), len(want))
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// fill returns n bytes other than zero, different for each tag.
func fill(tag byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = tag*31 + byte(i%251) | 1
	}
	return p
}

// overwrite is what a write does to contents.
func overwrite(contents, p []byte, off int) []byte {
	for len(contents) < off+len(p) {
		contents = append(contents, 0)
	}
	copy(contents[off:], p)
	return contents
}

func resize(contents []byte, size int) []byte {
	for len(contents) < size {
		contents = append(contents, 0)
	}
	return contents[:size:size]
}

func fsSequence(t T, h FSHarness) {
	r := newFS(t, h)
	rnd := random(1)
	f := r.create("a")
	var model []byte
	for i := range 300 {
		off, n := rnd.IntN(3*sector), rnd.IntN(2*sector)
		switch rnd.IntN(8) {
		case 0:
			r.ok(f.Truncate(int64(off)), "truncate to %d", off)
			model = resize(model, off)
		case 1:
			r.ok(f.Sync(), "sync")
		case 2:
			r.close(f)
			f = r.openFile("a")
		case 3, 4:
			want := model[min(off, len(model)):min(off+n, len(model))]
			if got := r.read(f, int64(off), n); !bytes.Equal(got, want) {
				r.Fatalf("step %d: read at %d: %s", i, off, difference(got, want))
			}
		default:
			p := fill(byte(i), n)
			r.write(f, p, int64(off))
			if n > 0 {
				model = overwrite(model, p, off)
			}
		}
		if got := r.size(f); got != int64(len(model)) {
			r.Fatalf("step %d: size %d, want %d", i, got, len(model))
		}
	}
	r.close(f)
	r.want("a", model, "at the end")
}

func fsExecutor(t T, h FSHarness) {
	r := newFS(t, h)
	rnd := random(2)
	e := disk.NewExecutor(r.fs, 2)
	do := func(op disk.Op) disk.Result {
		res := e.Do(op)
		if res.Kind != op.Kind {
			r.Fatalf("%v: result of kind %v", op, res.Kind)
		}
		r.ok(res.Err, "%v", op)
		return res
	}
	names := []string{"a", "b", "c", "d"}
	model := map[string][]byte{}
	for i := range 300 {
		name, other := names[rnd.IntN(4)], names[rnd.IntN(4)]
		contents, exists := model[name]
		off, n := rnd.IntN(3*sector), 1+rnd.IntN(sector)
		if !exists {
			r.is(e.Do(disk.Op{Kind: disk.OpRead, Name: name, Length: 1}).Err, disk.ErrNotExist, "read of a missing file")
			do(disk.Op{Kind: disk.OpCreate, Name: name})
			model[name] = nil
			continue
		}
		switch rnd.IntN(10) {
		case 0:
			do(disk.Op{Kind: disk.OpRemove, Name: name})
			delete(model, name)
		case 1:
			do(disk.Op{Kind: disk.OpRename, Name: name, To: other})
			delete(model, name)
			model[other] = contents
		case 2:
			do(disk.Op{Kind: disk.OpTruncate, Name: name, Offset: int64(off)})
			model[name] = resize(contents, off)
		case 3:
			do(disk.Op{Kind: disk.OpSync, Name: name})
		case 4, 5:
			want := contents[min(off, len(contents)):min(off+n, len(contents))]
			res := do(disk.Op{Kind: disk.OpRead, Name: name, Offset: int64(off), Length: n})
			if !bytes.Equal(res.Data, want) || res.N != len(want) {
				r.Fatalf("step %d: read %s at %d: %s", i, name, off, difference(res.Data, want))
			}
		default:
			p := fill(byte(i), n)
			for at := off; len(p) > 0; {
				res := do(disk.Op{Kind: disk.OpWrite, Name: name, Offset: int64(at), Data: p, Sync: i%2 == 0})
				if res.N <= 0 || res.N > len(p) {
					r.Fatalf("step %d: write of %d bytes wrote %d", i, len(p), res.N)
				}
				contents = overwrite(contents, p[:res.N], at)
				p, at = p[res.N:], at+res.N
			}
			model[name] = contents
		}
		var want []string
		for _, name := range names {
			if _, ok := model[name]; ok {
				want = append(want, name)
			}
		}
		if got := do(disk.Op{Kind: disk.OpList}).Names; !slices.Equal(got, want) {
			r.Fatalf("step %d: the directory holds %q, want %q", i, got, want)
		}
	}
	r.ok(e.Close(), "close the executor")
}

func fsReadable(t T, h FSHarness) {
	r := newFS(t, h)
	f := r.create("a")
	other := r.openFile("a")
	p := fill(1, 3*sector+7)
	r.write(f, p, 0)
	q := bytes.Clone(p)
	clear(p) // the buffer is the caller's again
	if got := r.read(other, 0, len(q)); !bytes.Equal(got, q) {
		r.Errorf("another handle: %s", difference(got, q))
	}
	if got := r.read(f, 100, 50); !bytes.Equal(got, q[100:150]) {
		r.Errorf("a part: %s", difference(got, q[100:150]))
	}
	r.close(other)
	r.ok(f.Sync(), "sync")
	r.close(f)
	r.ok(r.fs.SyncDir(), "sync the directory")
	r.open()
	r.want("a", q, "after reopening")
}

func fsReserve(t T, h FSHarness) {
	r := newFS(t, h)
	f := r.create("a")
	r.write(f, fill(1, 10), 0)
	r.ok(f.Reserve(8*sector), "reserve")
	if n := r.size(f); n != 10 {
		r.Errorf("size is %d after a reservation, want 10", n)
	}
	r.ok(f.Reserve(4), "reserve less than there is")
	r.write(f, fill(2, sector), 10)
	r.close(f)
	r.want("a", append(fill(1, 10), fill(2, sector)...), "after a write within the reservation")
}

func fsSynced(t T, h FSHarness) {
	r := newFS(t, h)
	r.needCrash()
	rnd := random(3)
	var model []byte
	r.make("a", nil)
	for range crashRounds {
		f := r.openFile("a")
		for range 1 + rnd.IntN(4) {
			off := rnd.IntN(len(model) + 1)
			p := fill(byte(rnd.Uint32()), 1+rnd.IntN(3*sector))
			r.write(f, p, int64(off))
			model = overwrite(model, p, off)
		}
		r.ok(f.Sync(), "sync")
		r.close(f)
		r.crash()
		r.want("a", model, "after a power loss")
	}
}

func fsTruncate(t T, h FSHarness) {
	r := newFS(t, h)
	r.needCrash()
	for i := range crashRounds {
		name := fmt.Sprintf("f%d", i)
		r.make(name, fill(1, 4*sector))
		f := r.openFile(name)
		size := 100 * i
		r.ok(f.Truncate(int64(size)), "truncate")
		r.ok(f.Sync(), "sync")
		r.close(f)
		r.crash()
		r.want(name, resize(fill(1, 4*sector), size), "truncated and synced, after a power loss")
	}
}

func fsSectors(t T, h FSHarness) {
	r := newFS(t, h)
	r.needCrash()
	old := fill(1, 8*sector)
	for i := range crashRounds {
		name := fmt.Sprintf("f%d", i)
		r.make(name, old)
		f := r.openFile(name)
		versions := r.change(f, [][]byte{old}, fill(2, 5*sector), 37*i)
		r.close(f)
		r.crash()
		r.wantSectors(name, versions, "after an unsynced write and a power loss")
	}
}

func fsAppend(t T, h FSHarness) {
	r := newFS(t, h)
	r.needCrash()
	for i := range crashRounds {
		name := fmt.Sprintf("f%d", i)
		r.make(name, fill(1, 700))
		f := r.openFile(name)
		versions := [][]byte{fill(1, 700)}
		for j := range 3 {
			versions = r.change(f, versions, fill(byte(j+2), 600), 700+j*600)
		}
		r.close(f)
		r.crash()
		r.wantSectors(name, versions, "after unsynced appends and a power loss")
	}
}

func fsNames(t T, h FSHarness) {
	r := newFS(t, h)
	r.wantNames()
	want := []string{"0", "B", "a", "a.1", "aa", "b", "c-2", "c10", "z"}
	for _, i := range random(4).Perm(len(want)) {
		f := r.create(want[i])
		r.write(f, []byte(want[i]), 0)
		r.close(f)
	}
	r.wantNames(want...)
	_, err := r.fs.Create("a")
	r.is(err, disk.ErrExist, "create a name that is taken")
	r.want("a", []byte("a"), "after an attempt to create it again")

	_, err = r.fs.Open("missing")
	r.is(err, disk.ErrNotExist, "open a missing file")
	r.is(r.fs.Remove("missing"), disk.ErrNotExist, "remove a missing file")
	r.is(r.fs.Rename("missing", "a"), disk.ErrNotExist, "rename a missing file")
	r.want("a", []byte("a"), "after an attempt to replace it with nothing")

	r.ok(r.fs.Rename("b", "y"), "rename to a free name")
	r.want("y", []byte("b"), "after a rename")
	r.ok(r.fs.Rename("a.1", "z"), "rename to a taken name")
	r.want("z", []byte("a.1"), "after it was replaced")
	r.ok(r.fs.Remove("B"), "remove")
	r.wantNames("0", "a", "aa", "c-2", "c10", "y", "z")
	r.close(r.create("B"))
	r.want("B", nil, "created again after its removal")
}

func fsNamesSynced(t T, h FSHarness) {
	r := newFS(t, h)
	r.needCrash()
	r.make("keep", fill(1, 10))
	for i := range crashRounds {
		tag := byte(i + 2)
		r.make("new", fill(tag, 10))
		r.make("old", fill(tag, 20))
		r.crash()
		r.wantNames("keep", "new", "old")
		r.ok(r.fs.Rename("new", "keep"), "rename")
		r.ok(r.fs.Remove("old"), "remove")
		r.ok(r.fs.SyncDir(), "sync the directory")
		r.crash()
		r.wantNames("keep")
		r.want("keep", fill(tag, 10), "replaced by a synced rename, after a power loss")
	}
}

func fsRename(t T, h FSHarness) {
	r := newFS(t, h)
	r.needCrash()
	old, now := fill(1, 10), fill(2, 20)
	for i := range crashRounds {
		from, to := fmt.Sprintf("from%02d", i), fmt.Sprintf("to%02d", i)
		r.make(to, old)
		r.make(from, now)
		r.ok(r.fs.Rename(from, to), "rename")
		r.crash()
		got := r.contents(to)
		undone := slices.Contains(r.names(), from)
		switch {
		case undone && bytes.Equal(got, old):
			r.want(from, now, "after its rename was undone")
		case !undone && bytes.Equal(got, now):
		default:
			r.Fatalf("after a power loss the rename is half done: source there %v, target %d bytes", undone, len(got))
		}
	}
}

func fsCount(t T, h FSHarness) {
	r := newFS(t, h)
	f := r.create("a")
	model := fill(1, 4*sector)
	r.write(f, model, 0)
	rnd := random(5)
	for i := range 100 {
		off := rnd.IntN(3 * sector)
		p := fill(byte(i+2), 1+rnd.IntN(sector-1))
		n, err := f.WriteAt(p, int64(off))
		r.ok(err, "write")
		if n <= 0 || n > len(p) {
			r.Fatalf("a write of %d bytes wrote %d without error", len(p), n)
		}
		copy(model[off:], p[:n])
		if got := r.read(f, 0, len(model)); !bytes.Equal(got, model) {
			r.Fatalf("after a write that reports %d of %d bytes at %d: %s", n, len(p), off, difference(got, model))
		}
	}
	r.close(f)
}

func fsSyncFail(t T, h FSHarness) {
	r := newFS(t, h)
	if h.FailNextSync == nil {
		r.Skipf("the backend cannot fail a Sync on purpose")
	}
	old := fill(1, 4*sector)
	for i := range crashRounds {
		name := fmt.Sprintf("f%d", i)
		r.make(name, old)
		f := r.openFile(name)
		versions := r.change(f, [][]byte{old}, fill(2, 2*sector), sector)
		h.FailNextSync()
		if f.Sync() == nil {
			r.Fatalf("a Sync that failed gave no error")
		}
		r.close(f)
		if h.Crash != nil {
			r.crash()
			r.wantSectors(name, versions, "after a failed Sync and a power loss")
		}
	}
}

func fsEnd(t T, h FSHarness) {
	r := newFS(t, h)
	f := r.create("a")
	size := 5*sector + 13
	p := fill(1, size)
	r.write(f, p, 0)
	for off := 0; off < size+100; off += 61 {
		for _, n := range []int{0, 1, 17, sector, sector + 1, 3 * sector, 2 * size} {
			want := p[min(off, size):min(off+n, size)]
			buf := bytes.Repeat([]byte{0xee}, n)
			got, err := f.ReadAt(buf, int64(off))
			if err != nil {
				r.Fatalf("read of %d bytes at %d of %d: %v", n, off, size, err)
			}
			if got != len(want) || !bytes.Equal(buf[:got], want) {
				r.Fatalf("read of %d bytes at %d of %d gave %d, want %d", n, off, size, got, len(want))
			}
		}
	}
	r.close(f)
}

func fsHoles(t T, h FSHarness) {
	r := newFS(t, h)
	f := r.create("a")
	r.write(f, fill(1, 3*sector), 0)
	r.ok(f.Truncate(100), "truncate")
	r.write(f, fill(2, 10), 5*sector)
	want := overwrite(resize(fill(1, 3*sector), 100), fill(2, 10), 5*sector)
	if got := r.read(f, 0, len(want)); !bytes.Equal(got, want) {
		r.Errorf("a gap between writes: %s", difference(got, want))
	}
	r.ok(f.Truncate(9*sector), "truncate beyond the end")
	r.close(f)
	r.want("a", resize(want, 9*sector), "lengthened by a truncation")
}

func fsRequests(t T, h FSHarness) {
	r := newFS(t, h)
	f := r.create("a")
	r.write(f, []byte("x"), 0)
	if _, err := f.WriteAt([]byte("y"), -1); err == nil {
		r.Errorf("a write at byte -1 gave no error")
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil {
		r.Errorf("a read at byte -1 gave no error")
	}
	if f.Truncate(-1) == nil {
		r.Errorf("a truncation to -1 gave no error")
	}
	r.close(f)
	for _, name := range []string{"", ".", "..", "../b", "b/c", "/b"} {
		if _, err := r.fs.Create(name); err == nil {
			r.Errorf("the name %q was taken", name)
		}
		if r.fs.Rename("a", name) == nil {
			r.Errorf("a was renamed to %q", name)
		}
	}
	r.wantNames("a")
	r.want("a", []byte("x"), "after malformed requests")
}
