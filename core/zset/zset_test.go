package zset

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"actordb/core/row"
	"actordb/disk"
	"actordb/disk/memkv"
)

var testTypes = []row.Type{row.Of(row.Int4), row.Of(row.Text), row.Of(row.Int8)}

// model is a Z-set as a map from a row's text to its weight.
type model map[string]int64

func text(b *row.Batch, i int) string {
	s := ""
	for _, c := range b.Cols {
		s += c.Value(i).String() + "|"
	}
	return s
}

func (m model) add(b *Batch) {
	for i := range b.N {
		k := text(&b.Batch, i)
		if m[k] += b.W[i]; m[k] == 0 {
			delete(m, k)
		}
	}
}

func drawBatch(t *rapid.T, most int) *Batch {
	b := NewBatch(testTypes)
	for range rapid.IntRange(0, most).Draw(t, "rows") {
		for k, typ := range testTypes {
			x := rapid.Int64Range(-2, 3).Draw(t, "x")
			switch {
			case x == 3:
				b.Cols[k].AppendNull()
			case typ.Fixed():
				b.Cols[k].AppendInt(x)
			default:
				b.Cols[k].AppendString(fmt.Sprint("s", x))
			}
		}
		b.N++
		b.W = append(b.W, rapid.SampledFrom([]int64{1, 1, 1, 2, -1, -1, -3}).Draw(t, "w"))
	}
	return b
}

func drawOrder(t *rapid.T) Order {
	return rapid.SampledFrom([]Order{
		{}, {Key: []int{0}}, {Key: []int{1, 0}}, {Key: []int{0, 1, 2}},
		{Key: []int{1}, Sorts: []row.Sort{{Col: 2, Desc: true}}}, {Sorts: []row.Sort{{Col: 1, NullsFirst: true}}},
	}).Draw(t, "order")
}

// Consolidation keeps every weight, each row once, and depends on the rows
// alone, not on their order.
func TestConsolidate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 60)
		want := model{}
		want.add(b)
		perm := rapid.Permutation(slices.Collect(func(yield func(int32) bool) {
			for i := range b.N {
				if !yield(int32(i)) {
					return
				}
			}
		})).Draw(t, "perm")
		shuffled := NewBatch(testTypes)
		shuffled.AddGather(b, perm)
		var s Sorter
		x, y := NewBatch(testTypes), NewBatch(testTypes)
		if err := errors.Join(s.Consolidate(b, x), s.Consolidate(shuffled, y)); err != nil {
			t.Fatal(err)
		}
		got := model{}
		got.add(x)
		if !maps.Equal(got, want) || x.N != len(want) || y.N != x.N {
			t.Fatalf("%d and %d rows %v, want %v", x.N, y.N, got, want)
		}
		for i := range x.N {
			if !row.SameRow(&x.Batch, i, &y.Batch, i) || x.W[i] != y.W[i] {
				t.Fatal("the order of the rows shows")
			}
		}
	})
}

// checkRuns is Z2 of every run: in order, each row once, no weight 0.
func checkRuns(t *rapid.T, a *Arrangement) {
	t.Helper()
	for _, r := range slices.Concat(a.State(), a.Delta()) {
		n := 0
		var last *Block
		lastI := 0
		for c := r.Cursor(); c.Valid(); c.Next() {
			if c.Weight() == 0 {
				t.Fatal("a row of weight 0 is kept")
			}
			if last != nil && (last.Hash[lastI] > c.Hash() || last.Hash[lastI] == c.Hash() && a.order.compare(&last.Batch.Batch, lastI, &c.B.Batch.Batch, c.I) >= 0) {
				t.Fatal("a run is out of order, or has a row twice")
			}
			last, lastI = c.B, c.I
			n++
		}
		if n != r.n || n == 0 {
			t.Fatalf("a run of %d rows says %d", n, r.n)
		}
	}
}

// check compares all that can be asked of an arrangement with the model.
func check(t *rapid.T, a *Arrangement, state, delta model) {
	t.Helper()
	checkRuns(t, a)
	gotState, gotDelta := model{}, model{}
	var rows Rows
	var keys Batch
	keys.Reset(testTypes)
	var before *Block
	var beforeI int
	for rows.Open(a, a.State(), a.Delta()); rows.Next(); {
		if before != nil {
			bh, h := before.Hash[beforeI], rows.B.Hash[rows.I]
			if bh > h || bh == h && a.order.compare(&before.Batch.Batch, beforeI, &rows.B.Batch.Batch, rows.I) >= 0 {
				t.Fatal("rows are out of order")
			}
		}
		before, beforeI = rows.B, rows.I
		k := text(&rows.B.Batch.Batch, rows.I)
		if rows.Old != 0 {
			gotState[k] = rows.Old
		}
		if rows.Delta != 0 {
			gotDelta[k] = rows.Delta
		}
		keys.Add(&rows.B.Batch.Batch, rows.I, 1)
	}
	if rows.Err != nil {
		t.Fatal(rows.Err)
	}
	if !maps.Equal(gotState, state) || !maps.Equal(gotDelta, delta) {
		t.Fatalf("state %v delta %v\nwant %v and %v", gotState, gotDelta, state, delta)
	}
	hs := a.order.hashes(&keys.Batch, nil)
	var find Rows
	find.Finder(a, a.State(), a.Delta())
	seen := 0
	for i := range keys.N { // in order, so neighbours share keys
		if i > 0 && (len(a.Key()) == 0 || hs[i] == hs[i-1]) && sameKey(&keys.Batch, a.Key(), i, &keys.Batch, a.Key(), i-1) {
			continue
		}
		for find.Find(hs[i], &keys.Batch, a.Key(), i); find.Next(); seen++ {
			if !row.SameRow(&find.B.Batch.Batch, find.I, &keys.Batch, seen) {
				t.Fatal("a key is found with the wrong rows")
			}
		}
	}
	if seen != keys.N {
		t.Fatalf("%d rows are found by key, there are %d", seen, keys.N)
	}
	for i := range keys.N {
		w, err := a.Weight(a.State(), hs[i], &keys.Batch, i)
		if err != nil || w != state[text(&keys.Batch, i)] {
			t.Fatalf("weight %d, %v", w, err)
		}
	}
}

// Z1 to Z5 through random steps, with spilling, and crashes that restore the
// last checkpoint and repeat the steps since.
func TestArrangement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := drawOrder(t)
		kv := memkv.New()
		blockLength := rapid.SampledFrom([]int{1, 2, 5, blockRows}).Draw(t, "block")
		nowLength := rapid.SampledFrom([]int{1, 10, mergeNowRows}).Draw(t, "now")
		fresh := func() *Arrangement {
			a := NewArrangement(testTypes, order)
			a.Attach(kv, []byte("v1/"))
			a.Lengths(blockLength, nowLength)
			return a
		}
		a := fresh()
		state, saved := model{}, model{}
		checkpointed := false
		apply := func(b *disk.Batch) {
			if err := kv.Apply(b); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			delta := model{}
			for range rapid.IntRange(0, 3).Draw(t, "chunks") {
				b := drawBatch(t, 30)
				delta.add(b)
				if err := a.Add(b); err != nil {
					t.Fatal(err)
				}
			}
			for done := false; !done; {
				var err error
				if done, err = a.Seal(rapid.IntRange(1, 40).Draw(t, "fuel")); err != nil {
					t.Fatal(err)
				}
			}
			check(t, a, state, delta)
			if err := a.Commit(); err != nil {
				t.Fatal(err)
			}
			for k, w := range delta {
				if state[k] += w; state[k] == 0 {
					delete(state, k)
				}
			}
			check(t, a, state, model{})
			switch rapid.IntRange(0, 6).Draw(t, "then") {
			case 0:
				var b disk.Batch
				if a.Spill(&b, rapid.IntRange(1, 5000).Draw(t, "most")) && rapid.Bool().Draw(t, "applied") {
					apply(&b)
					a.Applied()
				} else {
					apply(&b)
				}
			case 1:
				var b disk.Batch
				if err := a.Checkpoint(&b); err != nil {
					t.Fatal(err)
				}
				apply(&b)
				saved, checkpointed = maps.Clone(state), true
			case 2:
				if checkpointed {
					a, state = fresh(), maps.Clone(saved)
					if err := a.Restore(); err != nil {
						t.Fatal(err)
					}
				}
			case 3:
				if err := a.Compact(); err != nil {
					t.Fatal(err)
				}
			}
			check(t, a, state, model{})
		}
		// After a checkpoint the store holds what the manifest names, no more.
		var b disk.Batch
		if err := a.Checkpoint(&b); err != nil {
			t.Fatal(err)
		}
		apply(&b)
		blocks, pairs := 0, 0
		a.eachRef(func(*blockRef) bool { blocks++; return true })
		if err := kv.Scan(nil, nil, func(_, _ []byte) bool { pairs++; return true }); err != nil {
			t.Fatal(err)
		}
		if pairs != blocks+1 {
			t.Fatalf("the store has %d pairs for %d blocks and a manifest", pairs, blocks)
		}
	})
}

// Runs of many blocks, long merges spread over steps, and seeking in them.
func TestLongRuns(t *testing.T) {
	a := NewArrangement([]row.Type{row.Of(row.Int8)}, Order{Key: []int{0}})
	total := 0
	b := NewBatch(a.Types())
	for step := range 80 {
		b.Clear()
		for i := range 1000 + step%7 {
			b.Cols[0].AppendInt(int64(total + i))
			b.W = append(b.W, 1)
			b.N++
		}
		total += b.N
		if err := a.Add(b); err != nil {
			t.Fatal(err)
		}
		if done, err := a.Seal(1 << 20); !done || err != nil {
			t.Fatal(done, err)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.runs) > 12 {
		t.Errorf("%d runs of %d rows", len(a.runs), total)
	}
	probe := NewBatch(a.Types())
	for i := range total {
		probe.Cols[0].AppendInt(int64(i))
	}
	probe.N = total
	for i, h := range probe.Batch.Hash([]int{0}, nil) {
		if w, err := a.Weight(a.State(), h, &probe.Batch, i); w != 1 || err != nil {
			t.Fatalf("row %d has the weight %d, %v", i, w, err)
		}
	}
	sum := int64(0)
	var rows Rows
	for rows.Open(a, a.State(), nil); rows.Next(); {
		sum += rows.Old
	}
	if sum != int64(total) {
		t.Errorf("%d rows, want %d", sum, total)
	}
}

// Z4: a weight that leaves 64 bits is an error.
func TestWeights(t *testing.T) {
	b := NewBatch([]row.Type{row.Of(row.Bool)})
	for range 2 {
		b.AddValues(math.MaxInt64, row.Value{Type: row.Of(row.Bool)})
	}
	var s Sorter
	if err := s.Consolidate(b, NewBatch(b.Types())); !errors.Is(err, ErrWeight) {
		t.Errorf("sum: %v", err)
	}
	for _, c := range []struct{ x, y int64 }{{1 << 40, 1 << 30}, {math.MinInt64, -1}, {math.MaxInt64, math.MaxInt64}, {math.MinInt64, 0}} {
		if p, err := Product(c.x, c.y); !errors.Is(err, ErrWeight) && p != 0 {
			t.Errorf("%d times %d is %d, %v", c.x, c.y, p, err)
		}
	}
	if p, err := Product(-3_000_000_000, 7); p != -21_000_000_000 || err != nil {
		t.Errorf("product: %d, %v", p, err)
	}
	b.W[0] = math.MinInt64
	if err := b.Negate(); !errors.Is(err, ErrWeight) {
		t.Errorf("negation: %v", err)
	}
}

// Damage in the store is an error that says where, never rows.
func TestDamage(t *testing.T) {
	kv := memkv.New()
	a := NewArrangement(testTypes, Order{Key: []int{0}})
	a.Attach(kv, []byte("v"))
	b := NewBatch(testTypes)
	for i := range 100 {
		b.AddValues(1, row.Value{Type: testTypes[0], I: int64(i)}, row.NullOf(testTypes[1]), row.Value{Type: testTypes[2], I: 7})
	}
	var batch disk.Batch
	if err := errors.Join(a.Add(b), a.Commit(), a.Checkpoint(&batch)); err != nil {
		t.Fatal(err)
	}
	for _, m := range batch.Mutations {
		for _, at := range []int{0, 8, 9, len(m.Value) / 2, len(m.Value) - 1} {
			for _, change := range []string{"flip", "cut", "missing"} {
				if err := kv.Apply(&batch); err != nil {
					t.Fatal(err)
				}
				value := slices.Clone(m.Value)
				switch change {
				case "flip":
					value[at] ^= 4
				case "cut":
					value = value[:at]
				}
				var damage disk.Batch
				if damage.Put(m.Key, value); change == "missing" {
					damage = disk.Batch{}
					damage.Delete(m.Key)
				}
				if err := kv.Apply(&damage); err != nil {
					t.Fatal(err)
				}
				again := NewArrangement(testTypes, Order{Key: []int{0}})
				again.Attach(kv, []byte("v"))
				err := again.Restore()
				if err == nil {
					var rows Rows
					for rows.Open(again, again.State(), nil); rows.Next(); {
						t.Fatalf("%s at %d of %q: a row is served", change, at, m.Key)
					}
					err = rows.Err
				}
				var d *DamageError
				if !errors.As(err, &d) {
					t.Fatalf("%s at %d of %q: %v", change, at, m.Key, err)
				}
			}
		}
	}
}

// Bytes that are no manifest are refused.
func FuzzManifest(f *testing.F) {
	f.Add([]byte{1, 0, 5})
	f.Add([]byte{1, 1, 1, 9, 2, 30, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, m []byte) {
		kv := memkv.New()
		a := NewArrangement(testTypes, Order{Key: []int{0}})
		a.Attach(kv, nil)
		var b disk.Batch
		put(&b, a.storage.manifestKey(), append(make([]byte, checksumBytes), m...))
		if err := kv.Apply(&b); err != nil {
			t.Fatal(err)
		}
		var d *DamageError
		if err := a.Restore(); err != nil && !errors.As(err, &d) {
			t.Fatal(err)
		}
		for _, r := range a.runs {
			if r.n < 1 {
				t.Fatal("an empty run is accepted")
			}
		}
	})
}
