package disktest

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"actordb/disk"
)

// KVChecks returns the suite for disk.KV.
func KVChecks() []KVCheck {
	return []KVCheck{
		{"K1/visible", "K1: a batch is visible, all of it, once Apply has returned", kvVisible},
		{"K1/atomic", "K1: a crash never leaves a part of a batch", kvAtomic},
		{"K2/reopen", "K2: what was flushed is there after closing and opening", kvReopen},
		{"K2/flushed", "K2: what was flushed survives a crash", kvFlushed},
		{"K2/prefix", "K2: after a crash the batches that survive are a prefix", kvPrefix},
		{"K3/last", "K3: the last entry of a key in a batch wins", kvLast},
		{"K3/order", "K3: iteration is in byte order, within its bounds, until visit stops it", kvOrder},
		{"K3/start", "K3: iteration sees the state as of its start", kvStart},
		{"K3/random", "K3: a long run of batches, reads and scans agrees with a sorted map", kvRandom},
		{"K4/bytes", "K4: a value read is the value written, whatever its bytes and length", kvBytes},
		{"K4/owned", "K4: slices given to the store and got from it are the caller's", kvOwned},
	}
}

type kvRun struct {
	T
	h  KVHarness
	kv disk.KV
}

func newKV(t T, h KVHarness) *kvRun {
	r := &kvRun{T: t, h: h}
	r.open()
	return r
}

func (r *kvRun) open() {
	r.Helper()
	kv, err := r.h.Open()
	r.ok(err, "open the store")
	r.kv = kv
}

func (r *kvRun) ok(err error, format string, args ...any) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

func (r *kvRun) needCrash() {
	r.Helper()
	if r.h.Crash == nil {
		r.Skipf("the backend cannot crash")
	}
}

func (r *kvRun) crash() {
	r.Helper()
	r.ok(r.h.Crash(), "crash")
	r.open()
}

// apply writes key, value, key, value…; the value "-" deletes.
func (r *kvRun) apply(pairs ...string) {
	r.Helper()
	var b disk.Batch
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			b.Delete([]byte(pairs[i]))
		} else {
			b.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	}
	r.ok(r.kv.Apply(&b), "apply")
}

// get returns a value, or "-" if there is none.
func (r *kvRun) get(key string) string {
	r.Helper()
	v, found, err := r.kv.Get([]byte(key))
	r.ok(err, "get %q", key)
	if !found {
		return "-"
	}
	return string(v)
}

func (r *kvRun) wantValue(key, want, when string) {
	r.Helper()
	if got := r.get(key); got != want {
		r.Fatalf("%s: key %q holds %.40q (%d bytes), want %.40q (%d bytes)", when, key, got, len(got), want, len(want))
	}
}

// scan returns key, value, key, value… of [lo, hi).
func (r *kvRun) scan(lo, hi []byte) (pairs []string) {
	r.Helper()
	r.ok(r.kv.Scan(lo, hi, func(k, v []byte) bool {
		pairs = append(pairs, string(k), string(v))
		return true
	}), "scan")
	return pairs
}

func (r *kvRun) wantScan(lo, hi []byte, when string, want ...string) {
	r.Helper()
	if got := r.scan(lo, hi); !slices.Equal(got, want) {
		r.Fatalf("%s: scan of [%q, %q) gave %.400q, want %.400q", when, lo, hi, got, want)
	}
}

func kvVisible(t T, h KVHarness) {
	r := newKV(t, h)
	r.wantValue("a", "-", "in an empty store")
	r.wantScan(nil, nil, "in an empty store")
	r.apply("a", "1", "b", "2", "c", "3")
	r.wantScan(nil, nil, "after a batch", "a", "1", "b", "2", "c", "3")
	r.apply("a", "-", "b", "4", "d", "5", "missing", "-")
	r.wantValue("a", "-", "deleted")
	r.wantValue("b", "4", "overwritten")
	r.wantScan(nil, nil, "after two batches", "b", "4", "c", "3", "d", "5")
	r.ok(r.kv.Apply(new(disk.Batch)), "apply an empty batch")
	r.wantScan(nil, nil, "after an empty batch", "b", "4", "c", "3", "d", "5")
	r.ok(r.kv.Close(), "close")
}

func kvAtomic(t T, h KVHarness) {
	r := newKV(t, h)
	r.needCrash()
	for i := range crashRounds {
		var b disk.Batch
		for k := range 20 {
			b.Put(fmt.Appendf(nil, "k%02d", k), fmt.Appendf(nil, "%d", i))
		}
		r.ok(r.kv.Apply(&b), "apply")
		r.crash()
		first := r.get("k00")
		for k := range 20 {
			r.wantValue(fmt.Sprintf("k%02d", k), first, "after a crash, beside its batch")
		}
	}
}

func kvReopen(t T, h KVHarness) {
	r := newKV(t, h)
	r.apply("a", "1", "b", "2")
	r.ok(r.kv.Flush(), "flush")
	r.apply("b", "3", "a", "-")
	r.ok(r.kv.Flush(), "flush")
	r.ok(r.kv.Flush(), "flush with nothing to do")
	r.ok(r.kv.Close(), "close")
	r.open()
	r.wantScan(nil, nil, "after closing and opening", "b", "3")
	r.ok(r.kv.Close(), "close")
}

func kvFlushed(t T, h KVHarness) {
	r := newKV(t, h)
	r.needCrash()
	for i := range crashRounds {
		value := fmt.Sprint(i)
		r.apply("a", value, "gone", "x")
		r.apply("b", value, "gone", "-")
		r.ok(r.kv.Flush(), "flush")
		r.crash()
		r.wantValue("a", value, "flushed, after a crash")
		r.wantValue("b", value, "flushed, after a crash")
		r.wantValue("gone", "-", "deleted and flushed, after a crash")
	}
}

func kvPrefix(t T, h KVHarness) {
	r := newKV(t, h)
	r.needCrash()
	for i := range crashRounds {
		flushed := i % 4
		for b := range 8 {
			// Each batch writes its own key, overwrites a shared one and takes
			// back the key of the batch before the last.
			pairs := []string{fmt.Sprintf("r%02d.%d", i, b), "x", "position", fmt.Sprintf("%d.%d", i, b)}
			if b >= 2 {
				pairs = append(pairs, fmt.Sprintf("r%02d.%d", i, b-2), "-")
			}
			r.apply(pairs...)
			if b == flushed {
				r.ok(r.kv.Flush(), "flush")
			}
		}
		r.crash()
		var round, last int
		if _, err := fmt.Sscanf(r.get("position"), "%d.%d", &round, &last); err != nil || round != i || last < flushed {
			r.Fatalf("after a crash in round %d the position is %q, want at least %d.%d", i, r.get("position"), i, flushed)
		}
		var want []string
		for b := max(0, last-1); b <= last; b++ {
			want = append(want, fmt.Sprintf("r%02d.%d", i, b), "x")
		}
		prefix := fmt.Appendf(nil, "r%02d.", i)
		r.wantScan(prefix, append(prefix, 0xff), fmt.Sprintf("after a crash that kept batch %d", last), want...)
	}
}

func kvLast(t T, h KVHarness) {
	r := newKV(t, h)
	r.apply("b", "0")
	r.apply("a", "1", "a", "2", "b", "-", "c", "1", "c", "-", "b", "3", "d", "1", "d", "-", "d", "2")
	r.wantScan(nil, nil, "after a batch with several entries for a key", "a", "2", "b", "3", "d", "2")
	r.ok(r.kv.Close(), "close")
}

func kvOrder(t T, h KVHarness) {
	r := newKV(t, h)
	keys := []string{"\x00", "\x00\x00", "\x00\x01", "A", "a", "a\x00", "a\xff", "aa", "b", "\x7f", "\x80", "\xc3\xa4", "\xff", "\xff\xff"}
	slices.Sort(keys)
	for _, i := range random(6).Perm(len(keys)) {
		r.apply(keys[i], "v"+keys[i])
	}
	bounds := append([]string{"", "a\x00\x00", "zz"}, keys...)
	for _, lo := range bounds {
		for _, hi := range append([]string{"none"}, bounds...) {
			var end []byte
			if hi != "none" {
				end = []byte(hi)
			}
			var want []string
			for _, k := range keys {
				if k >= lo && (end == nil || k < hi) {
					want = append(want, k, "v"+k)
				}
			}
			r.wantScan([]byte(lo), end, "with bounds", want...)
		}
	}
	visits := 0
	r.ok(r.kv.Scan(nil, nil, func(_, _ []byte) bool {
		visits++
		return visits < 3
	}), "scan")
	if visits != 3 {
		r.Errorf("visit returned false the third time and was called %d times", visits)
	}
	r.ok(r.kv.Close(), "close")
}

func kvStart(t T, h KVHarness) {
	r := newKV(t, h)
	var want []string
	for i := range 50 {
		k := fmt.Sprintf("k%02d", i)
		r.apply(k, "old")
		want = append(want, k, "old")
	}
	var got []string
	i := 0
	r.ok(r.kv.Scan(nil, nil, func(k, v []byte) bool {
		got = append(got, string(k), string(v))
		r.apply(fmt.Sprintf("k%02d", i), "new", fmt.Sprintf("k%02d", 49-i), "-", fmt.Sprintf("k%02dx", i), "new")
		i++
		return true
	}), "scan")
	if !slices.Equal(got, want) {
		r.Fatalf("a scan saw what was written after its start: %.400q", got)
	}
	r.wantValue("k49x", "new", "written during a scan")
	r.ok(r.kv.Close(), "close")
}

func kvRandom(t T, h KVHarness) {
	r := newKV(t, h)
	rnd := random(7)
	model := map[string]string{}
	for i := range 200 {
		var pairs []string
		for range rnd.IntN(8) {
			k, v := fmt.Sprintf("%02x", rnd.IntN(64)), fmt.Sprint(i)
			if rnd.IntN(3) == 0 {
				v = "-"
				delete(model, k)
			} else {
				model[k] = v
			}
			pairs = append(pairs, k, v)
		}
		r.apply(pairs...)
		if rnd.IntN(10) == 0 {
			r.ok(r.kv.Flush(), "flush")
		}
		k := fmt.Sprintf("%02x", rnd.IntN(64))
		want, ok := model[k]
		if !ok {
			want = "-"
		}
		r.wantValue(k, want, fmt.Sprintf("after batch %d", i))
		lo, hi := fmt.Sprintf("%02x", rnd.IntN(64)), fmt.Sprintf("%02x", rnd.IntN(64))
		var inside, expect []string
		for k := range model {
			if k >= lo && k < hi {
				inside = append(inside, k)
			}
		}
		sort.Strings(inside)
		for _, k := range inside {
			expect = append(expect, k, model[k])
		}
		r.wantScan([]byte(lo), []byte(hi), fmt.Sprintf("after batch %d", i), expect...)
	}
	r.ok(r.kv.Close(), "close")
}

func kvBytes(t T, h KVHarness) {
	r := newKV(t, h)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := map[string][]byte{
		"empty":  {},
		"zero":   {0},
		"all":    all,
		"long":   bytes.Repeat(all, 1024),
		"utf8":   []byte("ä\xff\xfe"),
		"spaces": []byte("  \n "),
	}
	for _, k := range []string{"all", "empty", "long", "spaces", "utf8", "zero"} {
		r.apply(k, string(values[k]))
		r.wantValue(k, string(values[k]), "as written")
	}
	r.apply(string(all), "key of all bytes")
	r.wantValue(string(all), "key of all bytes", "as written")
	r.ok(r.kv.Flush(), "flush")
	r.wantValue("long", string(values["long"]), "after a flush")
	r.ok(r.kv.Close(), "close")
}

func kvOwned(t T, h KVHarness) {
	r := newKV(t, h)
	key, value := []byte("key"), []byte("value")
	var b disk.Batch
	b.Put(key, value)
	r.ok(r.kv.Apply(&b), "apply")
	copy(key, "xxx")
	copy(value, "xxxxx")
	r.wantValue("key", "value", "after the caller used its slices again")

	got, _, err := r.kv.Get([]byte("key"))
	r.ok(err, "get")
	r.apply("key", "other")
	r.apply("key", "third")
	if string(got) != "value" {
		r.Fatalf("a value that Get returned turned into %q when its key was overwritten", got)
	}
	got, _, err = r.kv.Get([]byte("key"))
	r.ok(err, "get")
	copy(got, "xxxxx")
	r.wantValue("key", "third", "after the caller changed a value that it had got")
	r.ok(r.kv.Close(), "close")
}
