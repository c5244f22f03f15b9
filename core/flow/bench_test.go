package flow

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"actordb/core/row"
	"actordb/core/zset"
)

// cpuTime is the processor time that the test has used: what a change costs on a
// machine that others use, too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report tells what each of n things costs.
func report(b *testing.B, began time.Duration, n int, what string) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/"+what)
	b.ReportMetric(float64(cpuTime()-began)/float64(b.N)/float64(n), "cpu-ns/"+what)
}

// benchmark steps a circuit with batches of size changes: each row that comes
// in one batch goes in a later one, so that the state stays what it is.
func benchmark(b *testing.B, c *Circuit, source Node, types []row.Type, size int, fill func(b *zset.Batch, i int)) {
	const batches = 64
	var ins [batches]*zset.Batch
	n := 0
	for k := range ins {
		ins[k] = zset.NewBatch(types)
		for range size {
			fill(ins[k], n)
			ins[k].N++
			ins[k].W = append(ins[k].W, 1)
			n++
		}
	}
	k := 0
	step := func() {
		in := ins[k%batches]
		if err := c.Push(source, in); err != nil {
			b.Fatal(err)
		}
		for {
			done, err := c.Finish(1 << 20)
			if err != nil {
				b.Fatal(err)
			}
			if done {
				break
			}
		}
		if err := in.Negate(); err != nil {
			b.Fatal(err)
		}
		k++
	}
	for range 2 * batches {
		step()
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for range b.N {
		step()
	}
	report(b, began, size, "change")
}

func load(b *testing.B, c *Circuit, source Node, types []row.Type, n int, fill func(b *zset.Batch, i int)) {
	in := zset.NewBatch(types)
	for i := 0; i < n; {
		in.Clear()
		for ; i < n && in.N < chunkRows; i++ {
			fill(in, i)
			in.N++
			in.W = append(in.W, 1)
		}
		if err := c.Push(source, in); err != nil {
			b.Fatal(err)
		}
		if done, err := c.Finish(1 << 30); !done || err != nil {
			b.Fatal(done, err)
		}
	}
}

func spread(i, n int) int64 { return int64(uint64(i) * 0x9e3779b97f4a7c15 >> 20 % uint64(n)) }

func order(customers int) func(*zset.Batch, int) {
	return func(b *zset.Batch, i int) {
		b.Cols[0].AppendInt(spread(i, customers))
		b.Cols[1].AppendInt(int64(i))
		b.Cols[2].AppendInt(int64(i % 1000))
	}
}

var orderTypes = []row.Type{tInt, tInt, tInt}

// GROUP BY customer: count and sum, 10,000 groups, of 100,000 rows.
func BenchmarkGroupBy(b *testing.B) {
	for _, size := range []int{1, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := NewPlan()
			s := p.Source(orderTypes)
			p.Output(p.Aggregate(s, Aggregate{Key: []int{0}, Aggs: []Agg{{Kind: CountRows}, {Kind: SumOf, Arg: 2}}}))
			c, err := p.Build(Config{})
			if err != nil {
				b.Fatal(err)
			}
			load(b, c, s, orderTypes, 100_000, order(10_000))
			benchmark(b, c, s, orderTypes, size, order(10_000))
		})
	}
}

// The least of each group, which a retraction may change.
func BenchmarkMin(b *testing.B) {
	for _, size := range []int{1, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := NewPlan()
			s := p.Source(orderTypes)
			p.Output(p.Aggregate(s, Aggregate{Key: []int{0}, Aggs: []Agg{{Kind: Min, Arg: 2}}}))
			c, err := p.Build(Config{})
			if err != nil {
				b.Fatal(err)
			}
			load(b, c, s, orderTypes, 100_000, order(10_000))
			benchmark(b, c, s, orderTypes, size, order(10_000))
		})
	}
}

// 100,000 orders joined with 10,000 customers; orders come and go.
func BenchmarkJoin(b *testing.B) {
	for _, size := range []int{1, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := NewPlan()
			orders := p.Source(orderTypes)
			customerTypes := []row.Type{tInt, tText}
			customers := p.Source(customerTypes)
			p.Output(p.Join(Join{Left: orders, Right: customers, LeftKey: []int{0}, RightKey: []int{0}}))
			c, err := p.Build(Config{})
			if err != nil {
				b.Fatal(err)
			}
			load(b, c, customers, customerTypes, 10_000, func(b *zset.Batch, i int) {
				b.Cols[0].AppendInt(int64(i))
				b.Cols[1].AppendString(fmt.Sprint("customer ", i))
			})
			load(b, c, orders, orderTypes, 100_000, order(10_000))
			benchmark(b, c, orders, orderTypes, size, order(10_000))
		})
	}
}

// A filter that keeps half, and a computed column, per row.
func BenchmarkFilterProject(b *testing.B) {
	p := NewPlan()
	s := p.Source(orderTypes)
	f := p.Filter(s, compareConst{2, 500})
	n := p.Project(f, row.Col{Index: 0, Of: tInt}, quotient{1, tInt})
	p.add("sink", orderTypes[:2], []Node{n}, func(k core, _ []op) op { return &pass{k} })
	c, err := p.Build(Config{})
	if err != nil {
		b.Fatal(err)
	}
	in := zset.NewBatch(orderTypes)
	for i := range chunkRows {
		order(10_000)(in, i+1)
		in.N++
		in.W = append(in.W, 1)
	}
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		if err := c.Push(s, in); err != nil {
			b.Fatal(err)
		}
	}
	report(b, began, chunkRows, "row")
}

// What one would write by hand: maps of Go, a row at a time, no output kept.
func BenchmarkPlainMaps(b *testing.B) {
	const size = 1000
	in := zset.NewBatch(orderTypes)
	for i := range size {
		order(10_000)(in, i)
		in.N++
	}
	b.Run("group", func(b *testing.B) {
		type group struct{ n, sum int64 }
		groups := map[int64]group{}
		began := cpuTime()
		for b.Loop() {
			for i := range size {
				g := groups[in.Cols[0].I[i]]
				groups[in.Cols[0].I[i]] = group{g.n + 1, g.sum + in.Cols[2].I[i]}
			}
		}
		report(b, began, size, "change")
	})
	b.Run("join", func(b *testing.B) {
		type row struct{ customer, id, amount int64 }
		customers := map[int64]map[string]int64{}
		orders := map[int64]map[row]int64{}
		for i := range int64(10_000) {
			customers[i] = map[string]int64{fmt.Sprint("customer ", i): 1}
		}
		for i := range 100_000 {
			c := spread(i, 10_000)
			if orders[c] == nil {
				orders[c] = map[row]int64{}
			}
			orders[c][row{c, int64(i), int64(i % 1000)}]++
		}
		w := int64(1)
		out := int64(0)
		began := cpuTime()
		for b.Loop() {
			for i := range size {
				r := row{in.Cols[0].I[i], in.Cols[1].I[i] + 1e6, in.Cols[2].I[i]}
				if orders[r.customer][r] += w; orders[r.customer][r] == 0 {
					delete(orders[r.customer], r)
				}
				for _, n := range customers[r.customer] {
					out += n * w
				}
			}
			w = -w
		}
		report(b, began, size, "change")
		_ = out
	})
}

// A query on demand: a million rows pushed in chunks, one result.
func BenchmarkOnDemand(b *testing.B) {
	const rows = 1 << 20
	var ins []*zset.Batch
	for lo := 0; lo < rows; lo += 4 * chunkRows {
		in := zset.NewBatch(orderTypes)
		for i := lo; i < lo+4*chunkRows; i++ {
			order(10_000)(in, i)
			in.N++
			in.W = append(in.W, 1)
		}
		ins = append(ins, in)
	}
	for name, build := range map[string]func(p *Plan, s Node) Node{
		"group": func(p *Plan, s Node) Node {
			return p.Aggregate(s, Aggregate{Key: []int{0}, Aggs: []Agg{{Kind: CountRows}, {Kind: SumOf, Arg: 2}}})
		},
		"total": func(p *Plan, s Node) Node {
			return p.Aggregate(s, Aggregate{Scalar: true, Aggs: []Agg{{Kind: CountRows}, {Kind: SumOf, Arg: 2}}})
		},
		"join": func(p *Plan, s Node) Node {
			few := p.Aggregate(p.Filter(s, compareConst{0, 1000}), Aggregate{Key: []int{0}, Aggs: []Agg{{Kind: CountRows}}})
			j := p.Join(Join{Left: s, Right: few, LeftKey: []int{0}, RightKey: []int{0}})
			return p.Aggregate(j, Aggregate{Scalar: true, Aggs: []Agg{{Kind: SumOf, Arg: 2}}})
		},
		"filter": func(p *Plan, s Node) Node { return p.Filter(s, compareConst{2, 10}) },
		"top":    func(p *Plan, s Node) Node { return p.TopK(s, TopK{Sorts: []row.Sort{{Col: 2, Desc: true}}, Limit: 10}) },
	} {
		b.Run(name, func(b *testing.B) {
			began := cpuTime()
			for b.Loop() {
				p := NewPlan()
				s := p.Source(orderTypes)
				p.Output(build(p, s))
				c, err := p.Build(Config{MemoryBytes: 1 << 30, Once: true})
				if err != nil {
					b.Fatal(err)
				}
				for _, in := range ins {
					if err := c.Push(s, in); err != nil {
						b.Fatal(err)
					}
				}
				for done := false; !done; {
					if done, err = c.Finish(1 << 20); err != nil {
						b.Fatal(err)
					}
				}
			}
			report(b, began, rows, "row")
		})
	}
}

// Running totals by customer: what one more row of a partition costs, and what
// one more costs in a partition of 20,000 rows.
func BenchmarkWindow(b *testing.B) {
	for _, partitions := range []int{10_000, 5} {
		b.Run(fmt.Sprint(100_000/partitions, "rows"), func(b *testing.B) {
			p := NewPlan()
			s := p.Source(orderTypes)
			p.Output(p.Window(s, Window{Partition: []int{0}, Sorts: []row.Sort{{Col: 1}}, Funcs: []WindowFunc{{Kind: RowNumber}, {Kind: WindowAgg, Agg: SumOf, Arg: 2, Frame: DefaultFrame()}}}))
			c, err := p.Build(Config{})
			if err != nil {
				b.Fatal(err)
			}
			load(b, c, s, orderTypes, 100_000, order(partitions))
			benchmark(b, c, s, orderTypes, 1, func(b *zset.Batch, i int) { order(partitions)(b, i+100_000) })
		})
	}
}

// Exact sums of each type, a group of its own for each of 100 keys.
func BenchmarkSum(b *testing.B) {
	for _, typ := range []row.Type{row.Of(row.Int8), row.Of(row.Numeric), row.Of(row.Float8)} {
		b.Run(typ.String(), func(b *testing.B) {
			types := []row.Type{tInt, typ}
			p := NewPlan()
			s := p.Source(types)
			p.Output(p.Aggregate(s, Aggregate{Key: []int{0}, Aggs: []Agg{{Kind: SumOf, Arg: 1}}}))
			c, err := p.Build(Config{})
			if err != nil {
				b.Fatal(err)
			}
			benchmark(b, c, s, types, 1000, func(in *zset.Batch, i int) {
				in.Cols[0].AppendInt(spread(i, 100))
				text := fmt.Sprint(i % 5000)
				if typ.Kind != row.Int8 {
					text += fmt.Sprintf(".%02d", i%100)
				}
				if err := in.Cols[1].ParseAppend([]byte(text)); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
