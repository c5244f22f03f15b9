package memkv_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actordb/disk"
	"actordb/disk/disktest"
	"actordb/disk/memkv"
)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }

// Protects K1 to K4: both forms keep the contract of package disk.
func TestConformance(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		disktest.TestKV(t, func(*testing.T) disktest.KVHarness {
			s := memkv.New()
			return disktest.KVHarness{Open: func() (disk.KV, error) { return s, nil }}
		})
	})
	for _, rate := range []uint32{0, 500_000, 1_000_000} {
		t.Run(fmt.Sprintf("sim-%d", rate), func(t *testing.T) {
			disktest.TestKV(t, func(*testing.T) disktest.KVHarness {
				s := memkv.NewSim(memkv.Config{Rand: stream(1), Faults: memkv.Faults{LostUnflushed: rate}})
				return disktest.KVHarness{
					Open:  func() (disk.KV, error) { return s.KV(), nil },
					Crash: func() error { s.Crash(true); return nil },
				}
			})
		})
	}
}

func do(s *memkv.Sim, op disk.KVOp) disk.KVResult {
	ticket, _ := s.Submit(op)
	return s.Complete(ticket)
}

func contents(t interface{ Fatalf(string, ...any) }, s *memkv.Sim) map[string]string {
	all := map[string]string{}
	if err := s.KV().Scan(nil, nil, func(k, v []byte) bool {
		all[string(k)] = string(v)
		return true
	}); err != nil {
		t.Fatalf("scan: %v", err)
	}
	return all
}

// Protects M2: any mixture of batches, flushes, losses and crashes, some with
// operations in flight, against a list of maps.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := memkv.NewSim(memkv.Config{
			Rand:   stream(rapid.Uint64().Draw(t, "seed")),
			Faults: memkv.Faults{LostUnflushed: 700_000},
		})
		// The states since the last flush, that one included.
		states := []map[string]string{{}}
		drawBatch := func(t *rapid.T) (*disk.Batch, map[string]string) {
			b := new(disk.Batch)
			now := maps.Clone(states[len(states)-1])
			for i := range rapid.IntRange(0, 5).Draw(t, "mutations") {
				k := rapid.StringMatching("[a-e]").Draw(t, "key")
				if rapid.Bool().Draw(t, "delete") {
					b.Delete([]byte(k))
					delete(now, k)
				} else {
					v := fmt.Sprint(len(states), i)
					b.Put([]byte(k), []byte(v))
					now[k] = v
				}
			}
			return b, now
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if got := contents(t, s); !maps.Equal(got, states[len(states)-1]) {
					t.Fatalf("the store holds %v, want %v", got, states[len(states)-1])
				}
			},
			"apply": func(t *rapid.T) {
				b, now := drawBatch(t)
				if err := do(s, disk.KVOp{Kind: disk.KVApply, Batch: b}).Err; err != nil {
					t.Fatalf("apply: %v", err)
				}
				states = append(states, now)
			},
			"flush": func(*rapid.T) {
				do(s, disk.KVOp{Kind: disk.KVFlush})
				states = states[len(states)-1:]
			},
			"lose": func(*rapid.T) {
				s.Lose()
				states = []map[string]string{{}}
			},
			"crash": func(t *rapid.T) {
				for range rapid.IntRange(0, 3).Draw(t, "inflight") {
					b, now := drawBatch(t)
					s.Submit(disk.KVOp{Kind: disk.KVApply, Batch: b})
					states = append(states, now)
				}
				s.Crash(rapid.Bool().Draw(t, "power"))
				got := contents(t, s)
				if !slices.ContainsFunc(states, func(m map[string]string) bool { return maps.Equal(m, got) }) {
					t.Fatalf("after a crash the store holds %v, which is none of %v", got, states)
				}
				states = []map[string]string{got}
			},
		})
	})
}

// Protects M2 from being kept by doing too little: crashes leave all prefixes
// that they may.
func TestPrefixes(t *testing.T) {
	seen := map[int]bool{}
	for seed := range uint64(100) {
		s := memkv.NewSim(memkv.Config{Rand: stream(seed), Faults: memkv.Faults{LostUnflushed: 800_000}})
		for i := range 5 {
			b := new(disk.Batch)
			b.Put([]byte{byte(i)}, nil)
			do(s, disk.KVOp{Kind: disk.KVApply, Batch: b})
			if i == 1 {
				do(s, disk.KVOp{Kind: disk.KVFlush})
			}
		}
		s.Crash(true)
		seen[s.Len()] = true
	}
	if !maps.Equal(seen, map[int]bool{2: true, 3: true, 4: true, 5: true}) {
		t.Errorf("prefixes %v", seen)
	}
}

// Protects M4: faults happen at their rates, change nothing, are counted, and
// draw nothing when they are off.
func TestFaults(t *testing.T) {
	r, fresh := stream(1), stream(1)
	counted := map[string]int{}
	s := memkv.NewSim(memkv.Config{Rand: r, Count: func(site string) { counted[site]++ }})
	put := func(v string) disk.KVOp {
		b := new(disk.Batch)
		b.Put([]byte("k"), []byte(v))
		return disk.KVOp{Kind: disk.KVApply, Batch: b}
	}
	do(s, put("1"))
	do(s, disk.KVOp{Kind: disk.KVFlush})
	do(s, put("2"))
	s.Crash(true)
	if r.Uint64() != fresh.Uint64() {
		t.Errorf("a store without faults drew from its stream")
	}
	s.SetFaults(memkv.Faults{WriteError: 1_000_000, ReadError: 1_000_000, LostUnflushed: 1_000_000})
	for _, op := range []disk.KVOp{put("3"), {Kind: disk.KVFlush}, {Kind: disk.KVGet, Lo: []byte("k")}, {Kind: disk.KVScan, Limit: 1}} {
		if res := do(s, op); !errors.Is(res.Err, disk.ErrIO) || res.Found || res.Pairs != nil {
			t.Errorf("%v: %v, want a failure", op, res)
		}
	}
	s.Heal()
	if res := do(s, disk.KVOp{Kind: disk.KVGet, Lo: []byte("k")}); string(res.Value) != "2" {
		t.Errorf("a failed apply left %q", res.Value)
	}
	do(s, put("4"))
	s.SetFaults(memkv.Faults{LostUnflushed: 1_000_000})
	s.Crash(false)
	if res := do(s, disk.KVOp{Kind: disk.KVGet, Lo: []byte("k")}); string(res.Value) != "2" {
		t.Errorf("a crash that takes what it may left %q", res.Value)
	}
	s.Lose()
	if s.Len() != 0 {
		t.Errorf("a lost store holds %d keys", s.Len())
	}
	for _, h := range s.Hits() {
		if h.Count == 0 || counted[h.Site] != int(h.Count) {
			t.Errorf("%s: %d hits, %d counted", h.Site, h.Count, counted[h.Site])
		}
	}
}

// Protects M3: undo records are bounded, by number and by bytes, and what is
// dropped from them is durable.
func TestUndoLimit(t *testing.T) {
	for _, c := range []struct{ batches, valueBytes int }{{1<<16 + 100, 1}, {200, 1 << 20}} {
		s := memkv.NewSim(memkv.Config{Rand: stream(1), Faults: memkv.Faults{LostUnflushed: 1_000_000}})
		value := make([]byte, c.valueBytes)
		lost := false
		for i := range c.batches {
			b := new(disk.Batch)
			b.Put([]byte("value"), value)
			b.Put([]byte("position"), fmt.Appendf(nil, "%d", i))
			do(s, disk.KVOp{Kind: disk.KVApply, Batch: b})
		}
		before := s.Len()
		s.Crash(true)
		var position int
		v := do(s, disk.KVOp{Kind: disk.KVGet, Lo: []byte("position")}).Value
		if _, err := fmt.Sscan(string(v), &position); err != nil {
			t.Fatalf("%d batches of %d bytes: position %q", c.batches, c.valueBytes, v)
		}
		lost = position < c.batches-1
		least := c.batches - 1<<16
		if c.valueBytes > 1 {
			least = c.batches - 65
		}
		if !lost || position < least-1 || s.Len() != before {
			t.Errorf("%d batches of %d bytes: a crash went back to %d, want at least %d", c.batches, c.valueBytes, position, least-1)
		}
	}
}

// Protects M1 and determinism: latencies keep the order, completing out of it
// panics, and the same stream gives the same outcomes.
func TestOrder(t *testing.T) {
	run := func(seed uint64, clock bool) string {
		var out bytes.Buffer
		now := int64(0)
		cfg := memkv.Config{Rand: stream(seed),
			Latencies: memkv.Latencies{
				Read:  memkv.Latency{Base: time.Microsecond, Jitter: time.Millisecond},
				Apply: memkv.Latency{Base: time.Microsecond},
				Flush: memkv.Latency{Base: time.Millisecond, TailPPM: 500_000, Tail: time.Second},
			},
			Faults: memkv.Faults{ReadError: 100_000, WriteError: 100_000, LostUnflushed: 500_000}}
		if clock {
			cfg.Now = func() int64 { return now }
		}
		s := memkv.NewSim(cfg)
		var tickets []uint64
		last := int64(0)
		for i := range 500 {
			b := new(disk.Batch)
			b.Put([]byte{byte(i % 7)}, fmt.Appendf(nil, "%d", i))
			op := []disk.KVOp{{Kind: disk.KVApply, Batch: b}, {Kind: disk.KVFlush}, {Kind: disk.KVScan, Limit: 3}, {Kind: disk.KVGet, Lo: []byte{1}}}[i%4]
			ticket, latency := s.Submit(op)
			tickets = append(tickets, ticket)
			if done := now + int64(latency); done <= last {
				t.Fatalf("op %d completes at %d, not after the one before at %d", i, done, last)
			} else {
				last = done
			}
			now += 1000
			switch {
			case i%50 == 49:
				s.Crash(i%100 == 99)
				tickets, last = nil, 0
			case i%5 == 4:
				for _, ticket := range tickets {
					fmt.Fprintln(&out, s.Complete(ticket), latency)
				}
				tickets = nil
				if !clock {
					last = 0 // nothing is in flight, and the store knows no time
				}
			}
		}
		fmt.Fprintln(&out, contents(t, s), s.Hits())
		return out.String()
	}
	for _, clock := range []bool{true, false} {
		if run(1, clock) != run(1, clock) {
			t.Errorf("two runs of one stream differ")
		}
		if run(1, clock) == run(2, clock) {
			t.Errorf("runs of different streams do not differ")
		}
	}
	defer func() {
		if recover() == nil {
			t.Errorf("completing out of order did not panic")
		}
	}()
	sim := memkv.NewSim(memkv.Config{Rand: stream(1)})
	sim.Submit(disk.KVOp{Kind: disk.KVFlush})
	ticket, _ := sim.Submit(disk.KVOp{Kind: disk.KVFlush})
	sim.Complete(ticket)
}

func BenchmarkApply(b *testing.B) {
	value := make([]byte, 200)
	batch := func(i int) *disk.Batch {
		b := new(disk.Batch)
		for j := range 10 {
			b.Put(fmt.Appendf(nil, "key%06d", (i*7919+j)%100_000), value)
		}
		return b
	}
	b.Run("plain", func(b *testing.B) {
		s := memkv.New()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_ = s.Apply(batch(i))
		}
	})
	b.Run("sim", func(b *testing.B) {
		s := memkv.NewSim(memkv.Config{Rand: stream(1)})
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			do(s, disk.KVOp{Kind: disk.KVApply, Batch: batch(i)})
			if i%100 == 99 {
				do(s, disk.KVOp{Kind: disk.KVFlush})
			}
		}
	})
}
