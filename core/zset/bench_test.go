package zset

import (
	"fmt"
	"testing"

	"actordb/core/row"
)

func benchBatch(n, from int) *Batch {
	b := NewBatch([]row.Type{row.Of(row.Int8), row.Of(row.Text), row.Of(row.Int8)})
	for i := range n {
		k := (from + i) * 7919 % 1000003
		b.Cols[0].AppendInt(int64(k))
		b.Cols[1].AppendString(fmt.Sprintf("name-%05d", k%5000))
		b.Cols[2].AppendInt(int64(i))
		b.N++
		b.W = append(b.W, 1)
	}
	return b
}

// Consolidation of a batch of three columns, per row.
func BenchmarkConsolidate(b *testing.B) {
	in := benchBatch(1000, 0)
	var s Sorter
	out := NewBatch(in.Types())
	b.ReportAllocs()
	for b.Loop() {
		out.Clear()
		if err := s.Consolidate(in, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(in.N), "ns/row")
}

// Keeping an arrangement of a million rows: what a row that comes or goes costs.
func BenchmarkArrange(b *testing.B) {
	for _, size := range []int{1, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var a *Arrangement
			var ins [64]*Batch
			for i := range ins {
				ins[i] = benchBatch(size, i*size*13)
			}
			const rows = 1_000_000
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if n%(rows/size) == 0 {
					b.StopTimer()
					a = NewArrangement(ins[0].Types(), Order{Key: []int{0}})
					if err := a.Add(benchBatch(rows/20, 0)); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				in := ins[n%len(ins)]
				n++
				if err := a.Add(in); err != nil {
					b.Fatal(err)
				}
				if _, err := a.Seal(1 << 30); err != nil {
					b.Fatal(err)
				}
				if err := a.Commit(); err != nil {
					b.Fatal(err)
				}
				if n%len(ins) == 0 { // the other half of the time the rows go
					for _, in := range ins {
						_ = in.Negate()
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/row")
		})
	}
}
