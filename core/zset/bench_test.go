package zset

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"actordb/core/row"
)

// cpuTime is the processor time that the test has used: what a row costs on a
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
	began := cpuTime()
	for b.Loop() {
		out.Clear()
		if err := s.Consolidate(in, out); err != nil {
			b.Fatal(err)
		}
	}
	report(b, began, in.N, "row")
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
			began := cpuTime()
			for b.Loop() {
				if n%(rows/size) == 0 {
					b.StopTimer()
					setup := cpuTime()
					a = NewArrangement(ins[0].Types(), Order{Key: []int{0}})
					if err := a.Add(benchBatch(rows/20, 0)); err != nil {
						b.Fatal(err)
					}
					began += cpuTime() - setup
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
			report(b, began, size, "row")
		})
	}
}
