package row

import (
	"fmt"
	"syscall"
	"testing"
	"time"
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

// orders are events of a shop: a Protobuf payload of about 90 bytes.
func orders(n int) ([]Field, [][]byte, *Batch) {
	fields := []Field{
		field(1, "customer", "int8"), field(2, "sku", "text"), field(3, "quantity", "int4"), field(4, "price", "numeric"),
		field(5, "at", "timestamptz"), field(6, "note", "text"), field(7, "paid", "bool"),
	}
	types := make([]Type, len(fields))
	for i, f := range fields {
		types[i] = f.Type
	}
	b := NewBatch(types)
	var payloads [][]byte
	for i := range n {
		for k, text := range []string{fmt.Sprint(i % 97), fmt.Sprintf("sku-%06d", i%1000), fmt.Sprint(i % 7), fmt.Sprintf("%d.%02d", i%500, i%100), "", "a note of forty bytes, more or less, yes", "t"} {
			if k == 4 {
				b.Cols[k].AppendInt(1.7e15 + int64(i)*1e6)
				continue
			}
			if err := b.Cols[k].ParseAppend([]byte(text)); err != nil {
				panic(err)
			}
		}
		b.N++
		p, err := AppendPayload(nil, fields, b, i)
		if err != nil {
			panic(err)
		}
		payloads = append(payloads, p)
	}
	return fields, payloads, b
}

// Decoding of payloads, all of their columns or two of them, per event.
func BenchmarkDecode(b *testing.B) {
	fields, payloads, _ := orders(ChunkRows)
	size := 0
	for _, p := range payloads {
		size += len(p)
	}
	for name, want := range map[string][]int{"all": {0, 1, 2, 3, 4, 5, 6}, "ints": {0, 2}} {
		b.Run(name, func(b *testing.B) {
			d, err := NewDecoder(fields, want)
			if err != nil {
				b.Fatal(err)
			}
			out := NewBatch(d.Types())
			b.SetBytes(int64(size))
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				out.Clear()
				if err := d.AppendAll(out, payloads); err != nil {
					b.Fatal(err)
				}
			}
			report(b, began, len(payloads), "event")
		})
	}
}

// Hashing, gathering and storing, per row of seven columns.
func BenchmarkBatch(b *testing.B) {
	_, _, in := orders(ChunkRows)
	perRow := func(b *testing.B, began time.Duration) {
		b.ReportAllocs()
		report(b, began, in.N, "row")
	}
	b.Run("hash", func(b *testing.B) {
		var hs []uint64
		began := cpuTime()
		for b.Loop() {
			hs = in.Hash([]int{0, 1}, hs[:0])
		}
		perRow(b, began)
	})
	b.Run("gather", func(b *testing.B) {
		sel := make([]int32, in.N)
		for i := range sel {
			sel[i] = int32(i * 37 % in.N)
		}
		out := NewBatch(in.Types())
		began := cpuTime()
		for b.Loop() {
			out.Clear()
			out.AppendGather(in, sel)
		}
		perRow(b, began)
	})
	var stored []byte
	b.Run("store", func(b *testing.B) {
		began := cpuTime()
		for b.Loop() {
			stored = in.AppendStored(stored[:0])
		}
		perRow(b, began)
	})
	b.Run("load", func(b *testing.B) {
		out, types := NewBatch(nil), in.Types()
		began := cpuTime()
		for b.Loop() {
			if _, err := out.DecodeStored(stored, types); err != nil {
				b.Fatal(err)
			}
		}
		perRow(b, began)
	})
}
