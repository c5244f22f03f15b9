package flow

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
	"actordb/disk/memkv"
)

var sourceTypes = []row.Type{tInt, tText, tInt}

func drawRow(t *rapid.T) nrow {
	r := nrow{}
	for k := range 3 {
		x := rapid.Int64Range(-1, 4).Draw(t, "x")
		switch {
		case x == 4:
			r = append(r, nil)
		case k == 1:
			r = append(r, string(rune('a'+max(x, 0))))
		default:
			r = append(r, max(x, 0))
		}
	}
	return r
}

func addRow(b *zset.Batch, r nrow, w int64) {
	for k, x := range r {
		switch x := x.(type) {
		case nil:
			b.Cols[k].AppendNull()
		case int64:
			b.Cols[k].AppendInt(x)
		case string:
			b.Cols[k].AppendString(x)
		case bool:
			b.Cols[k].AppendBool(x)
		}
	}
	b.N++
	b.W = append(b.W, w)
}

// bag is a multiset of rows as text.
type bag map[string]int64

func (m bag) add(b *zset.Batch) {
	for i := range b.N {
		var s strings.Builder
		for _, c := range b.Cols {
			s.WriteString(c.Value(i).String() + "|")
		}
		if m[s.String()] += b.W[i]; m[s.String()] == 0 {
			delete(m, s.String())
		}
	}
}

func (m bag) of(rows []nrow) bag {
	for _, r := range rows {
		m[r.String()]++
	}
	return m
}

// change is one row that comes or goes.
type change struct {
	source int
	row    nrow
	w      int64
}

// history draws steps of changes: insertions, copies, retractions of rows that
// are there; within a step in any order.
func history(t *rapid.T, steps int) (list [][]change) {
	var there [2][]nrow
	for range steps {
		var step []change
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			s := rapid.IntRange(0, 1).Draw(t, "source")
			if n := len(there[s]); n > 0 && rapid.IntRange(0, 2).Draw(t, "retract") == 0 {
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				step = append(step, change{s, there[s][i], -1})
				there[s] = slices.Delete(there[s], i, i+1)
				continue
			}
			r := drawRow(t)
			if n := len(there[s]); n > 0 && rapid.IntRange(0, 3).Draw(t, "copy") == 0 {
				r = there[s][rapid.IntRange(0, n-1).Draw(t, "of")]
			}
			there[s] = append(there[s], r)
			step = append(step, change{s, r, 1})
		}
		list = append(list, rapid.Permutation(step).Draw(t, "order"))
	}
	return list
}

// push gives changes to a circuit in chunks of drawn length.
func push(t *rapid.T, c *Circuit, sources []Node, step []change) {
	for s, n := range sources {
		b := zset.NewBatch(sourceTypes)
		send := func() {
			if err := c.Push(n, b); err != nil {
				t.Fatal(err)
			}
			b.Clear()
		}
		for _, x := range step {
			if x.source != s {
				continue
			}
			addRow(b, x.row, x.w)
			if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
				send()
			}
		}
		send()
	}
}

func finish(t *rapid.T, c *Circuit) {
	for {
		done, err := c.Finish(rapid.SampledFrom([]int{1, 3, 1 << 20}).Draw(t, "fuel"))
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
	}
}

// apply carries out the sum of some steps on the naive side.
func contents(steps [][]change) []nrel {
	var rels [2]map[string]int64
	var rows [2]map[string]nrow
	for s := range rels {
		rels[s], rows[s] = map[string]int64{}, map[string]nrow{}
	}
	for _, step := range steps {
		for _, x := range step {
			rels[x.source][x.row.String()] += x.w
			rows[x.source][x.row.String()] = x.row
		}
	}
	out := make([]nrel, 2)
	for s := range rels {
		for _, k := range slices.Sorted(maps.Keys(rels[s])) {
			for range rels[s][k] {
				out[s].rows = append(out[s].rows, rows[s][k])
			}
		}
	}
	return out
}

func checkError(t *rapid.T, c *Circuit, want []string) {
	got, err := c.Error()
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case len(want) == 0 && got != nil:
		t.Fatalf("an error is told, %v, and there is none", got)
	case len(want) > 0 && (got == nil || got.Code+got.Text != slices.Min(want)):
		t.Fatalf("the error is %v, want %s", got, slices.Min(want))
	}
}

// run is L1, L2, L3, L5 and L6 for random plans of the operators of names.
func run(t *rapid.T, ops int, names []string) {
	g := planner{t: t}
	sources, out := g.draw(ops, names)
	o := g.p.Output(out.node)
	kv := memkv.New()
	config := Config{Store: kv, Prefix: []byte("view7/")}
	block, now := rapid.SampledFrom([]int{1, 3, 1024}).Draw(t, "block"), rapid.SampledFrom([]int{1, 1 << 14}).Draw(t, "now")
	build := func() *Circuit {
		c, err := g.p.Build(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range c.ops {
			switch o := o.(type) {
			case *arrange:
				o.a.Lengths(block, now)
			case *aggregate:
				o.t.state.Lengths(block, now)
			}
		}
		return c
	}
	c := build()
	steps := history(t, rapid.IntRange(1, 6).Draw(t, "steps"))
	integral, saved := bag{}, bag{}
	savedAt := -1
	for i := 0; i < len(steps); i++ {
		push(t, c, sources, steps[i])
		finish(t, c)
		integral.add(c.Output(o))
		rels := contents(steps[:i+1])
		want := out.eval(rels)
		if w := (bag{}).of(want.rows); !maps.Equal(integral, w) {
			t.Fatalf("step %d:\n have %v\n want %v", i, integral, w)
		}
		checkError(t, c, want.errs)
		var b disk.Batch
		switch rapid.IntRange(0, 5).Draw(t, "then") {
		case 0:
			for {
				wrote, err := c.Spill(&b, rapid.IntRange(1, 2000).Draw(t, "most"))
				if err != nil {
					t.Fatal(err)
				}
				if err := kv.Apply(&b); err != nil {
					t.Fatal(err)
				}
				c.Applied()
				if b = (disk.Batch{}); !wrote {
					break
				}
			}
		case 1:
			if err := c.Checkpoint(&b, []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			if err := kv.Apply(&b); err != nil {
				t.Fatal(err)
			}
			saved, savedAt = maps.Clone(integral), i
		case 2:
			if savedAt < 0 {
				break
			}
			c = build()
			cut, found, err := c.Restore()
			if err != nil || !found || int(cut[0]) != savedAt {
				t.Fatalf("restored: cut %v, found %v, %v", cut, found, err)
			}
			integral, i = maps.Clone(saved), savedAt
			savedAt = -1 // once, so that it ends
		}
	}
	// The same rows at once, in another order: as an on-demand query. It sees
	// retractions, or what is left of the rows alone.
	config = Config{Once: rapid.Bool().Draw(t, "Once")}
	once := build()
	all := slices.Concat(steps...)
	if config.Once {
		all = nil
		for s, rel := range contents(steps) {
			for _, r := range rel.rows {
				all = append(all, change{s, r, 1})
			}
		}
	}
	push(t, once, sources, rapid.Permutation(all).Draw(t, "once"))
	finish(t, once)
	result := bag{}
	result.add(once.Output(o))
	if !maps.Equal(result, integral) {
		t.Fatalf("in one step:\n have %v\n want %v", result, integral)
	}
}

// Each operator alone.
func TestOperators(t *testing.T) {
	for _, name := range []string{"filter", "failing", "project", "expand", "union", "join", "distinct", "set", "aggregate", "topk", "window", "session", "frame"} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) { run(t, 1, []string{name}) }))
	}
}

// Operators over operators.
func TestPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { run(t, rapid.IntRange(2, 5).Draw(t, "ops"), opNames) })
}
