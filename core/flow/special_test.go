package flow

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
	"actordb/disk/memkv"
)

func mustBuild(t testing.TB, p *Plan, config Config) *Circuit {
	t.Helper()
	c, err := p.Build(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type fataler interface{ Fatal(...any) }

func step(t fataler, c *Circuit, n Node, b *zset.Batch) {
	if err := c.Step(map[Node]*zset.Batch{n: b}); err != nil {
		t.Fatal(err)
	}
}

// texts is a consolidated batch as lines.
func texts(b *zset.Batch) (lines []string) {
	m := bag{}
	m.add(b)
	for k, w := range m {
		lines = append(lines, fmt.Sprintf("%+d %s", w, k))
	}
	slices.Sort(lines)
	return lines
}

// Sums and averages of every numeric type are those of exact arithmetic,
// whatever comes and goes: no rounding stays behind.
func TestExactSums(t *testing.T) {
	for _, typ := range []row.Type{row.Of(row.Int2), row.Of(row.Int8), row.Of(row.Numeric), row.Of(row.Float8), row.Of(row.Float4)} {
		t.Run(typ.String(), rapid.MakeCheck(func(t *rapid.T) {
			p := NewPlan()
			types := []row.Type{typ}
			s := p.Source(types)
			o := p.Output(p.Aggregate(s, Aggregate{Scalar: true, Aggs: []Agg{{Kind: SumOf}, {Kind: Avg}, {Kind: Count}}}))
			kv := memkv.New()
			c, err := p.Build(Config{Store: kv})
			if err != nil {
				t.Fatal(err)
			}
			var there []string
			now := bag{}
			for range rapid.IntRange(1, 8).Draw(t, "steps") {
				b := zset.NewBatch(types)
				for range rapid.IntRange(0, 4).Draw(t, "changes") {
					if n := len(there); n > 0 && rapid.Bool().Draw(t, "retract") {
						i := rapid.IntRange(0, n-1).Draw(t, "which")
						parse(t, b, there[i], -1)
						there = slices.Delete(there, i, i+1)
						continue
					}
					x := drawNumber(t, typ)
					there = append(there, x)
					parse(t, b, x, 1)
				}
				step(t, c, s, b)
				now.add(c.Output(o))
				sum := new(big.Rat)
				for _, x := range there {
					r, _ := new(big.Rat).SetString(x)
					if typ.Kind == row.Float4 || typ.Kind == row.Float8 {
						v, _ := row.Parse(typ, []byte(x))
						r.SetFloat64(row.ToFloat(v.I))
					}
					sum.Add(sum, r)
				}
				if len(now) != 1 {
					t.Fatalf("%d rows: %v", len(now), now)
				}
				var got [3]string
				for k := range now {
					got = [3]string(splitColumns(k))
				}
				checkNumber(t, typ, "sum", got[0], sum, len(there), 1)
				checkNumber(t, typ, "avg", got[1], sum, len(there), int64(len(there)))
				if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
					var b disk.Batch
					if err := c.Checkpoint(&b, nil); err != nil {
						t.Fatal(err)
					}
					if err := kv.Apply(&b); err != nil {
						t.Fatal(err)
					}
					if c, err = p.Build(Config{Store: kv}); err != nil {
						t.Fatal(err)
					}
					if _, found, err := c.Restore(); !found || err != nil {
						t.Fatal(found, err)
					}
				}
			}
		}))
	}
}

func splitColumns(k string) (cols []string) {
	from := 0
	for i := range k {
		if k[i] == '|' {
			cols = append(cols, k[from:i])
			from = i + 1
		}
	}
	return cols
}

func parse(t fataler, b *zset.Batch, x string, w int64) {
	if err := b.Cols[0].ParseAppend([]byte(x)); err != nil {
		t.Fatal(err)
	}
	b.N++
	b.W = append(b.W, w)
}

func drawNumber(t *rapid.T, typ row.Type) string {
	switch typ.Kind {
	case row.Int2:
		return fmt.Sprint(rapid.Int16().Draw(t, "x"))
	case row.Int8:
		return fmt.Sprint(rapid.Int64().Draw(t, "x"))
	case row.Numeric:
		return rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,3}\.[0-9]{0,2}`), rapid.StringMatching(`-?[0-9]{1,30}\.[0-9]{0,30}`)).Draw(t, "x")
	case row.Float4:
		return fmt.Sprint(rapid.Float32Range(-1e30, 1e30).Draw(t, "x"))
	}
	return fmt.Sprint(rapid.Float64Range(-1e300, 1e300).Draw(t, "x"))
}

func checkNumber(t *rapid.T, typ row.Type, what, got string, sum *big.Rat, n int, by int64) {
	if n == 0 {
		if got != "NULL" {
			t.Fatalf("%s of nothing is %s", what, got)
		}
		return
	}
	exact := new(big.Rat).Quo(sum, new(big.Rat).SetInt64(by))
	switch {
	case typ.Kind == row.Float8 || typ.Kind == row.Float4 && what == "avg":
		f, _ := exact.Float64()
		if want := (row.Value{Type: row.Of(row.Float8), I: row.FromFloat(f)}).String(); got != want {
			t.Fatalf("%s is %s, want %s", what, got, want)
		}
		return
	case typ.Kind == row.Float4:
		f, _ := exact.Float32()
		if want := (row.Value{Type: typ, I: row.FromFloat(float64(f))}).String(); got != want {
			t.Fatalf("%s is %s, want %s", what, got, want)
		}
		return
	}
	have, ok := new(big.Rat).SetString(got)
	if !ok {
		t.Fatalf("%s is %q", what, got)
	}
	if what == "sum" && have.Cmp(exact) != 0 {
		t.Fatalf("sum is %s, want %s", got, exact.FloatString(40))
	}
	// An average has at least 16 digits; it is at most half a unit of the last off.
	diff := new(big.Rat).Sub(have, exact)
	bound := new(big.Rat).Mul(exact, big.NewRat(1, 1e15))
	if diff.Abs(diff).Cmp(bound.Abs(bound)) > 0 {
		t.Fatalf("%s is %s, want %s", what, got, exact.FloatString(40))
	}
}

// NaN and infinities come and go like other values.
func TestSpecialNumbers(t *testing.T) {
	for _, typ := range []row.Type{row.Of(row.Numeric), row.Of(row.Float8)} {
		p := NewPlan()
		s := p.Source([]row.Type{typ})
		o := p.Output(p.Aggregate(s, Aggregate{Scalar: true, Aggs: []Agg{{Kind: SumOf}}}))
		c := mustBuild(t, p, Config{})
		for _, x := range []struct {
			value string
			w     int64
			sum   string
		}{{"1.5", 1, "1.5"}, {"Infinity", 1, "Infinity"}, {"-Infinity", 1, "NaN"}, {"Infinity", -1, "-Infinity"}, {"NaN", 1, "NaN"}, {"NaN", -1, "-Infinity"}, {"-Infinity", -1, "1.5"}} {
			b := zset.NewBatch([]row.Type{typ})
			parse(t, b, x.value, x.w)
			step(t, c, s, b)
			if got := texts(c.Output(o)); got[0] != "+1 "+x.sum+"|" && len(got) > 0 && got[len(got)-1] != "+1 "+x.sum+"|" {
				if !slices.Contains(got, "+1 "+x.sum+"|") {
					t.Errorf("%s after %+d %s: %v, want %s", typ, x.w, x.value, got, x.sum)
				}
			}
		}
	}
}

// A sum that leaves its type is an error while it does, and well again after.
func TestSumOutOfRange(t *testing.T) {
	p := NewPlan()
	s := p.Source([]row.Type{tInt4})
	o := p.Output(p.Aggregate(s, Aggregate{Scalar: true, Aggs: []Agg{{Kind: SumOf}}}))
	c := mustBuild(t, p, Config{})
	for _, x := range []struct {
		w    int64
		fail bool
	}{{1 << 32, false}, {1 << 33, true}, {-(1 << 33), false}} {
		b := zset.NewBatch([]row.Type{tInt4})
		parse(t, b, fmt.Sprint(math.MaxInt32), x.w)
		step(t, c, s, b)
		err, _ := c.Error()
		if (err != nil) != x.fail || err != nil && err.Code != row.CodeOutOfRange {
			t.Errorf("after %d rows: %v", x.w, err)
		}
	}
	if got := texts(c.Output(o)); len(got) != 1 || got[0] != fmt.Sprintf("+1 %d|", int64(math.MaxInt32)<<32) {
		t.Errorf("well again: %v", got)
	}
}

// L3: a row for which an evaluation fails makes the view ill, and its
// retraction makes it well.
func TestErrorComesAndGoes(t *testing.T) {
	p := NewPlan()
	s := p.Source([]row.Type{tInt})
	o := p.Output(p.Project(s, quotient{0, tInt}))
	c := mustBuild(t, p, Config{})
	push := func(x string, w int64) {
		b := zset.NewBatch([]row.Type{tInt})
		parse(t, b, x, w)
		step(t, c, s, b)
	}
	push("2", 1)
	push("0", 1)
	if err, _ := c.Error(); err == nil || err.Code != row.CodeDivisionByZero {
		t.Fatalf("ill: %v", err)
	}
	push("3", 1)
	push("0", -1)
	if err, _ := c.Error(); err != nil {
		t.Fatalf("well: %v", err)
	}
	if c.Output(o).N != 0 {
		t.Errorf("the failing row has left %v", texts(c.Output(o)))
	}
}

// The operators that expire, beside their naive evaluation.
func expiring(p *Plan, s Node) (nodes []Node, naive []func(nrel) nrel) {
	part := []int{0}
	sorts, ns := []row.Sort{{Col: 1}}, []nsort{{col: 1}}
	agg := Aggregate{Key: part, Expire: Expiry{Col: 1}, Aggs: []Agg{{Kind: CountRows}, {Kind: SumOf, Arg: 1}, {Kind: Min, Arg: 1}, {Kind: Count, Arg: 1, Distinct: true}}}
	sessions := []WindowFunc{{Kind: SessionStart, Offset: 1}, {Kind: SessionEnd, Offset: 1}}
	funcs := []WindowFunc{{Kind: RowNumber}, {Kind: WindowAgg, Agg: SumOf, Arg: 1, Frame: DefaultFrame()}}
	nodes = []Node{
		p.Aggregate(s, agg), p.DistinctUntil(s, Expiry{Col: 1}),
		p.TopK(s, TopK{Partition: part, Sorts: sorts, Limit: 2, Expire: Expiry{Col: 1}}),
		p.Window(s, Window{Partition: part, Sorts: sorts, Funcs: funcs, Expire: Expiry{Col: 1}}),
		p.Window(s, Window{Partition: []int{1}, Sorts: []row.Sort{{Col: 0}}, Funcs: sessions, Session: 1, Expire: Expiry{Col: 1}}),
	}
	return nodes, []func(nrel) nrel{
		func(in nrel) nrel {
			return naggregate(in, part, false, []nagg{{kind: CountRows, filter: -1}, {kind: SumOf, arg: 1, filter: -1}, {kind: Min, arg: 1, filter: -1}, {kind: Count, arg: 1, filter: -1, distinct: true}})
		},
		func(in nrel) nrel { return nset(Intersect, in, in) },
		func(in nrel) nrel { return ntopk(in, part, ns, 0, 2) },
		func(in nrel) nrel { return nwindow(in, part, ns, funcs) },
		func(in nrel) nrel { return nwindow(in, []int{1}, []nsort{{col: 0}}, sessions) },
	}
}

// State below the bound is discarded, rows for it are late: they come out and
// are counted, and change nothing else. in = applied + late.
func TestLateness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPlan()
		types := []row.Type{tInt, tInt}
		s := p.Source(types)
		nodes, naive := expiring(p, s)
		which := rapid.IntRange(0, len(nodes)-1).Draw(t, "operator")
		o, late := p.Output(nodes[which]), p.Output(p.Late(nodes[which]))
		kv := memkv.New()
		c, err := p.Build(Config{Store: kv})
		if err != nil {
			t.Fatal(err)
		}
		bound, lates := int64(math.MinInt64), int64(0)
		var applied nrel
		result, lateRows, wantLate := bag{}, bag{}, bag{}
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "advance") {
				bound = max(bound, rapid.Int64Range(0, 6).Draw(t, "bound"))
				c.Advance(0, bound)
			}
			b := zset.NewBatch(types)
			for range rapid.IntRange(0, 5).Draw(t, "rows") {
				r := nrow{rapid.Int64Range(0, 6).Draw(t, "time"), rapid.Int64Range(0, 2).Draw(t, "x")}
				w := int64(1)
				if n := len(applied.rows); n > 0 && rapid.IntRange(0, 3).Draw(t, "retract") == 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "which")
					if r, w = applied.rows[i], -1; r[0].(int64) >= bound {
						applied.rows = slices.Delete(applied.rows, i, i+1)
					}
				} else if r[0].(int64) >= bound {
					applied.rows = append(applied.rows, r)
				}
				if r[0].(int64) < bound {
					lates++
					if wantLate[r.String()] += w; wantLate[r.String()] == 0 {
						delete(wantLate, r.String())
					}
				}
				addRow(b, r, w)
			}
			step(t, c, s, b)
			result.add(c.Output(o))
			lateRows.add(c.Output(late))
			if w := (bag{}).of(naive[which](applied).rows); fmt.Sprint(result) != fmt.Sprint(w) {
				t.Fatalf("bound %d: have %v, want %v", bound, result, w)
			}
			if c.Late() != lates || fmt.Sprint(lateRows) != fmt.Sprint(wantLate) {
				t.Fatalf("%d late rows %v, want %d: %v", c.Late(), lateRows, lates, wantLate)
			}
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				var b disk.Batch
				if err := c.Checkpoint(&b, nil); err != nil {
					t.Fatal(err)
				}
				if err := kv.Apply(&b); err != nil {
					t.Fatal(err)
				}
				if c, err = p.Build(Config{Store: kv}); err != nil {
					t.Fatal(err)
				}
				if _, found, err := c.Restore(); !found || err != nil {
					t.Fatal(found, err)
				}
			}
		}
	})
}

// A session's state goes when no row that is not late can be a part of it, and not
// before: also where one row would have joined two.
func TestSessionsExpire(t *testing.T) {
	const gap = 3
	sorts, ns, part := []row.Sort{{Col: 0}}, []nsort{{col: 0}}, []int{1}
	funcs := []WindowFunc{{Kind: SessionStart, Offset: gap}, {Kind: SessionEnd, Offset: gap}}
	gone := false
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := NewPlan()
		types := []row.Type{tInt, tInt}
		s := p.Source(types)
		n := p.Window(s, Window{Partition: part, Sorts: sorts, Funcs: funcs, Session: gap, Expire: Expiry{Col: 1, After: gap}})
		o := p.Output(n)
		c := mustBuild(t, p, Config{})
		bound := int64(0)
		c.Advance(0, bound)
		var applied nrel
		result := bag{}
		for range 40 {
			b := zset.NewBatch(types)
			for range r.IntN(4) {
				x := nrow{bound - 2*gap + r.Int64N(6*gap), r.Int64N(2)}
				if x[0].(int64)+gap >= bound {
					applied.rows = append(applied.rows, x)
				}
				addRow(b, x, 1)
			}
			step(t, c, s, b)
			result.add(c.Output(o))
			if want := (bag{}).of(nwindow(applied, part, ns, funcs).rows); fmt.Sprint(result) != fmt.Sprint(want) {
				t.Fatalf("seed %d, bound %d: have %v, want %v", seed, bound, result, want)
			}
			bound += r.Int64N(4)
			c.Advance(0, bound)
		}
		for _, x := range c.ops {
			if a, ok := x.(*arrange); ok && a.lapse.gap > 0 {
				gone = gone || a.a.Len() < len(applied.rows)/2
			}
		}
	}
	if !gone {
		t.Error("no session was ever discarded")
	}
}

// State below the bound is really gone.
func TestDiscard(t *testing.T) {
	p := NewPlan()
	types := []row.Type{tInt, tInt}
	s := p.Source(types)
	expiring(p, s)
	c := mustBuild(t, p, Config{})
	peak := 0
	for window := range int64(200) {
		b := zset.NewBatch(types)
		for i := range int64(300) {
			addRow(b, nrow{window*10 + i%10, i}, 1)
		}
		c.Advance(0, window*10)
		step(t, c, s, b)
		if window == 20 {
			peak = c.MemBytes()
		}
	}
	if now := c.MemBytes(); now > 3*peak {
		t.Errorf("after 200 windows %d bytes are held, after 20 there were %d", now, peak)
	}
}

// L4: what holds more than its limit is refused, with an error that says so,
// and says so again.
func TestMemoryLimit(t *testing.T) {
	p := NewPlan()
	s := p.Source([]row.Type{tInt, tText, tInt})
	p.Output(p.Join(Join{Left: s, Right: s}))
	c := mustBuild(t, p, Config{MemoryBytes: 1 << 20})
	b := zset.NewBatch(sourceTypes)
	for i := range int64(1000) {
		addRow(b, nrow{i, "text", i}, 1)
	}
	err := c.Step(map[Node]*zset.Batch{s: b})
	var m *MemoryError
	if !errors.Is(err, ErrMemory) || !errors.As(err, &m) || m.Used <= m.Limit {
		t.Fatalf("a product of a million rows within a megabyte: %v", err)
	}
	if again := c.Push(s, b); !errors.Is(again, ErrMemory) {
		t.Errorf("the circuit goes on: %v", again)
	}
}

// L5: a step in slices never works long without a pause: a product of a million
// rows takes many slices.
func TestSlices(t *testing.T) {
	p := NewPlan()
	s := p.Source(sourceTypes)
	j := p.Join(Join{Left: s, Right: s})
	o := p.Output(p.Aggregate(j, Aggregate{Scalar: true, Aggs: []Agg{{Kind: CountRows}}}))
	c := mustBuild(t, p, Config{})
	b := zset.NewBatch(sourceTypes)
	for i := range int64(1000) {
		addRow(b, nrow{i, "text", i}, 1)
	}
	if err := c.Push(s, b); err != nil {
		t.Fatal(err)
	}
	slices := 1
	for ; ; slices++ {
		done, err := c.Finish(10_000)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
		if err := c.Push(s, b); err == nil {
			t.Fatal("a push within a step is accepted")
		}
	}
	if got := texts(c.Output(o)); len(got) != 1 || got[0] != "+1 1000000|" {
		t.Errorf("%v", got)
	}
	if slices == 1 {
		t.Errorf("a million rows in one slice of 10,000")
	}
}

// Many rows: chunks, blocks, long merges, the hash table's growth and its
// emptying, against a sum by hand; spilled in between.
func TestManyRows(t *testing.T) {
	p := NewPlan()
	types := []row.Type{tInt, tInt}
	s := p.Source(types)
	g := p.Aggregate(s, Aggregate{Key: []int{0}, Aggs: []Agg{{Kind: CountRows}, {Kind: Max, Arg: 1}}})
	o := p.Output(p.Join(Join{Left: g, Right: s, LeftKey: []int{0}, RightKey: []int{0}}))
	kv := memkv.New()
	c := mustBuild(t, p, Config{Store: kv})
	const rows = 20_000
	total := bag{}
	for _, w := range []int64{1, -1} {
		for lo := 0; lo < rows; lo += 5000 {
			b := zset.NewBatch(types)
			for i := lo; i < lo+5000; i++ {
				addRow(b, nrow{int64(i % 7000), int64(i)}, w)
			}
			step(t, c, s, b)
			total.add(c.Output(o))
			var d disk.Batch
			if _, err := c.Spill(&d, 1<<20); err != nil {
				t.Fatal(err)
			}
			if err := kv.Apply(&d); err != nil {
				t.Fatal(err)
			}
			c.Applied()
		}
		if w > 0 {
			if len(total) != rows {
				t.Fatalf("%d rows, want %d", len(total), rows)
			}
			for _, k := range []int{0, 6999} {
				want := fmt.Sprintf("%d|%d|%d|%d|%d|", k, (rows-k+6999)/7000, k+(rows-k-1)/7000*7000, k, k)
				if total[want] != 1 {
					t.Errorf("no row %s", want)
				}
			}
		}
	}
	if len(total) != 0 {
		t.Errorf("%d rows are left of nothing", len(total))
	}
}

// What a plan cannot be is told when it is built, with an SQLSTATE.
func TestPlanMistakes(t *testing.T) {
	for name, make := range map[string]func(p *Plan, s Node){
		"not boolean":    func(p *Plan, s Node) { p.Filter(s, row.Col{Index: 0, Of: tInt}) },
		"no such column": func(p *Plan, s Node) { p.Project(s, row.Col{Index: 9, Of: tInt}) },
		"wrong type":     func(p *Plan, s Node) { p.Project(s, row.Col{Index: 0, Of: tText}) },
		"union":          func(p *Plan, s Node) { p.Union(s, p.Project(s, row.Col{Index: 1, Of: tText})) },
		"keys":           func(p *Plan, s Node) { p.Join(Join{Left: s, Right: s, LeftKey: []int{0}, RightKey: []int{1}}) },
		"number of keys": func(p *Plan, s Node) { p.Join(Join{Left: s, Right: s, LeftKey: []int{0}}) },
		"sum of text":    func(p *Plan, s Node) { p.Aggregate(s, Aggregate{Aggs: []Agg{{Kind: SumOf, Arg: 1}}}) },
		"range of text": func(p *Plan, s Node) {
			p.Window(s, Window{Sorts: []row.Sort{{Col: 1}}, Funcs: []WindowFunc{{Kind: WindowAgg, Frame: Frame{Range, Bound{Preceding, 1}, Bound{}}}}})
		},
		"ntile of none":    func(p *Plan, s Node) { p.Window(s, Window{Funcs: []WindowFunc{{Kind: Ntile}}}) },
		"negative offset":  func(p *Plan, s Node) { p.TopK(s, TopK{Offset: -1}) },
		"no node":          func(p *Plan, s Node) { p.Distinct(77) },
		"expiry of no key": func(p *Plan, s Node) { p.Aggregate(s, Aggregate{Key: []int{0}, Expire: Expiry{Col: 2}}) },
		"late of a source": func(p *Plan, s Node) { p.Output(p.Late(s)) },
	} {
		p := NewPlan()
		make(p, p.Source(sourceTypes))
		_, err := p.Build(Config{})
		var e *row.Error
		if !errors.As(err, &e) || e.Code == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A checkpoint that is damaged, or of another plan, is refused.
func TestRestoreRefused(t *testing.T) {
	build := func(kv disk.KV, aggs ...Agg) (*Circuit, Node) {
		p := NewPlan()
		s := p.Source(sourceTypes)
		p.Output(p.Aggregate(s, Aggregate{Key: []int{0}, Aggs: aggs}))
		return mustBuild(t, p, Config{Store: kv, Prefix: []byte("p")}), s
	}
	kv := memkv.New()
	c, s := build(kv, Agg{Kind: SumOf, Arg: 2})
	b := zset.NewBatch(sourceTypes)
	addRow(b, nrow{int64(1), "a", int64(5)}, 1)
	step(t, c, s, b)
	var d disk.Batch
	if err := c.Checkpoint(&d, []byte("cut")); err != nil {
		t.Fatal(err)
	}
	if err := kv.Apply(&d); err != nil {
		t.Fatal(err)
	}
	if other, _ := build(kv, Agg{Kind: Min, Arg: 2}); true {
		if _, _, err := other.Restore(); err == nil {
			t.Error("the checkpoint of another plan is taken")
		}
	}
	for _, agg := range []Agg{{Kind: Avg, Arg: 2}, {Kind: Count, Arg: 2}, {Kind: SumOf, Arg: 0}, {Kind: SumOf, Arg: 2, Distinct: true}} {
		other, _ := build(kv, agg)
		if _, _, err := other.Restore(); err == nil {
			t.Errorf("the checkpoint of another plan is taken for %v", agg)
		}
	}
	again, _ := build(kv, Agg{Kind: SumOf, Arg: 2})
	if cut, found, err := again.Restore(); err != nil || !found || string(cut) != "cut" {
		t.Fatal(cut, found, err)
	}
	fresh, _ := build(memkv.New(), Agg{Kind: Count})
	if _, found, err := fresh.Restore(); found || err != nil {
		t.Error(found, err)
	}
}
