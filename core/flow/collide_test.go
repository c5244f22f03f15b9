package flow

import (
	"fmt"
	"maps"
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
	"actordb/disk/memkv"
)

// colliding returns keys of two bigints that all have one hash: the second is
// chosen so that the step of the hash multiplies by zero.
func colliding(t fataler, n int) (keys [][2]int64) {
	b := row.NewBatch([]row.Type{tInt, tInt})
	const pi, gold, root = 0x243f6a8885a308d3, 0x9e3779b97f4a7c15, 0x6a09e667f3bcc909
	for x := range int64(n) {
		hi, lo := bits.Mul64(uint64(x)^pi^root, gold^bits.RotateLeft64(root, 32))
		y := int64((hi ^ lo) ^ pi)
		keys = append(keys, [2]int64{x, y})
		b.Cols[0].AppendInt(x)
		b.Cols[1].AppendInt(y)
		b.N++
	}
	hs := b.Hash([]int{0, 1}, nil)
	for _, h := range hs {
		if h != hs[0] {
			t.Fatal("the keys do not collide: the hash has changed, and so must this test")
		}
	}
	return keys
}

// Keys of one hash are different keys, in every operator that looks up by hash.
func TestCollisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := colliding(t, 5)
		types := []row.Type{tInt, tInt, tInt}
		p := NewPlan()
		s, r := p.Source(types), p.Source(types)
		key := []int{0, 1}
		outs := []int{
			p.Output(p.Join(Join{Kind: Full, Left: s, Right: r, LeftKey: key, RightKey: key})),
			p.Output(p.Join(Join{Kind: Semi, Left: s, Right: r, LeftKey: key, RightKey: key})),
			p.Output(p.Aggregate(s, Aggregate{Key: key, Aggs: []Agg{{Kind: CountRows}, {Kind: Min, Arg: 2}, {Kind: ArrayAgg, Arg: 2}}})),
			p.Output(p.Distinct(p.pick(s, key))),
			p.Output(p.Set(ExceptAll, p.pick(s, key), p.pick(r, key))),
			p.Output(p.TopK(s, TopK{Partition: key, Sorts: []row.Sort{{Col: 2}}, Limit: 1})),
		}
		pick := func(in nrel) (out nrel) {
			for _, x := range in.rows {
				out.rows = append(out.rows, pickRow(x, key))
			}
			return out
		}
		naive := func(a, b nrel) []nrel {
			distinct := nset(Intersect, pick(a), pick(a))
			return []nrel{
				njoin(Full, a, b, key, key, 3, 3, nil), njoin(Semi, a, b, key, key, 3, 3, nil),
				naggregate(a, key, false, []nagg{{kind: CountRows, filter: -1}, {kind: Min, arg: 2, filter: -1}, {kind: ArrayAgg, arg: 2, filter: -1}}),
				distinct, nset(ExceptAll, pick(a), pick(b)), ntopk(a, key, []nsort{{col: 2}}, 0, 1),
			}
		}
		kv := memkv.New()
		c, err := p.Build(Config{Store: kv})
		if err != nil {
			t.Fatal(err)
		}
		var rels [2]nrel
		integrals := make([]bag, len(outs))
		for i := range integrals {
			integrals[i] = bag{}
		}
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			in := map[Node]*zset.Batch{s: zset.NewBatch(types), r: zset.NewBatch(types)}
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				i := rapid.IntRange(0, 1).Draw(t, "source")
				b := in[[2]Node{s, r}[i]]
				if n := len(rels[i].rows); n > 0 && rapid.IntRange(0, 2).Draw(t, "retract") == 0 {
					addRow(b, rels[i].rows[n-1], -1)
					rels[i].rows = rels[i].rows[:n-1]
					continue
				}
				k := rapid.SampledFrom(keys).Draw(t, "key")
				x := nrow{k[0], k[1], rapid.Int64Range(0, 3).Draw(t, "x")}
				addRow(b, x, 1)
				rels[i].rows = append(rels[i].rows, x)
			}
			if err := c.Step(in); err != nil {
				t.Fatal(err)
			}
			for i, want := range naive(rels[0], rels[1]) {
				integrals[i].add(c.Output(outs[i]))
				if w := (bag{}).of(want.rows); !maps.Equal(integrals[i], w) {
					t.Fatal(fmt.Sprintf("output %d:\n have %v\n want %v", i, integrals[i], w))
				}
			}
			if rapid.Bool().Draw(t, "spill") {
				var b disk.Batch
				if _, err := c.Spill(&b, 1<<20); err != nil {
					t.Fatal(err)
				}
				if err := kv.Apply(&b); err != nil {
					t.Fatal(err)
				}
				c.Applied()
			}
		}
	})
}
