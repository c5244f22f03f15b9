package pebblekv_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"actordb/disk"
	"actordb/disk/pebblekv"
)

const (
	benchKeys       = 1 << 20
	benchValueBytes = 200
)

func openBench(b *testing.B) *pebblekv.Store {
	s, err := pebblekv.Open(pebblekv.Config{Dir: filepath.Join(b.TempDir(), "state")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// benchKey spreads keys all over, as ids of actors are.
func benchKey(i uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 16), i%benchKeys*0x9e3779b97f4a7c15)
}

func fillBench(b *testing.B, s *pebblekv.Store, keys uint64) {
	value := make([]byte, benchValueBytes)
	for i := uint64(0); i < keys; {
		var batch disk.Batch
		for range 1000 {
			batch.Put(benchKey(i), value)
			i++
		}
		if err := s.Apply(&batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply writes batches without a flush but Pebble's own.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 16, 256, 1600} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			s := openBench(b)
			value := make([]byte, benchValueBytes)
			var batch disk.Batch
			i := uint64(0)
			b.SetBytes(int64(n * benchValueBytes))
			b.ReportAllocs()
			for b.Loop() {
				batch.Mutations, batch.Bytes = batch.Mutations[:0], 0
				for range n {
					batch.Put(benchKey(i), value)
					i++
				}
				if err := s.Apply(&batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i), "ns/pair")
		})
	}
}

// BenchmarkFlush makes batches durable one by one: what a checkpoint costs.
func BenchmarkFlush(b *testing.B) {
	for _, n := range []int{1, 1600, 16000} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			s := openBench(b)
			value := make([]byte, benchValueBytes)
			i := uint64(0)
			b.SetBytes(int64(n * benchValueBytes))
			for b.Loop() {
				var batch disk.Batch
				for range n {
					batch.Put(benchKey(i), value)
					i++
				}
				if err := s.Apply(&batch); err != nil {
					b.Fatal(err)
				}
				if err := s.Flush(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGet reads keys of a store of a quarter of a million flushed ones.
func BenchmarkGet(b *testing.B) {
	s := openBench(b)
	const keys = 250_000
	fillBench(b, s, keys)
	for _, what := range []string{"there", "missing"} {
		b.Run(what, func(b *testing.B) {
			i := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				key := benchKey(i * 7919 % keys)
				if what == "missing" {
					key = append(key, 1)
				}
				_, found, err := s.Get(key)
				if err != nil || found != (what == "there") {
					b.Fatal(found, err)
				}
				i++
			}
		})
	}
	b.Run("scan", func(b *testing.B) {
		n := 0
		for b.Loop() {
			if err := s.Scan(nil, nil, func(_, v []byte) bool { n++; return true }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/pair")
	})
}
