package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
)

var (
	_ Files  = (*simfile.Disk)(nil)
	_ KV     = (*memkv.Sim)(nil)
	_ Healer = (*simfile.Disk)(nil)
	_ Healer = (*memkv.Sim)(nil)
)

// churn keeps a handful of operations on files, on the directory and on the KV
// in flight.
type churn struct {
	rng   *rand.Rand
	token proc.Token
	done  map[disk.OpKind]int
}

func (c *churn) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		for range 8 {
			c.operate(out)
		}
		out.KV(0, disk.KVOp{Kind: disk.KVFlush})
	case proc.FileDone:
		c.done[in.File.Kind]++
		c.operate(out)
	case proc.KVDone:
		b := &disk.Batch{}
		b.Put([]byte{byte(c.rng.IntN(256))}, []byte("value"))
		out.KV(0, disk.KVOp{Kind: disk.KVApply, Batch: b})
	}
}

func (c *churn) operate(out *proc.Effects) {
	c.token++
	name := func() string { return string(rune('a' + c.rng.IntN(4))) }
	op := disk.Op{Name: name()}
	switch c.rng.IntN(8) {
	case 0:
		op.Kind = disk.OpCreate
	case 1:
		op.Kind = disk.OpRead
		op.Length = 1000
	case 2:
		op.Kind = disk.OpSync
	case 3:
		op = disk.Op{Kind: disk.OpSyncDir}
	case 4:
		op.Kind, op.To = disk.OpRename, name()
	case 5:
		op = disk.Op{Kind: disk.OpList}
	default:
		op.Kind, op.Offset, op.Data = disk.OpWrite, int64(c.rng.IntN(2000)), make([]byte, 700)
	}
	out.File(c.token, op)
}

// S1, S3 and S5 against the simulated disk and KV, which panic when operations
// are completed out of order, twice, or after a crash.
func TestWithSimulatedStorage(t *testing.T) {
	for _, s := range strategies() {
		var hash string
		for range 2 {
			w := New(Config{Seed: 5, Strategy: s})
			now := func() int64 { return int64(w.Now()) }
			latency := simfile.Latency{Base: 20 * time.Microsecond, Jitter: 200 * time.Microsecond}
			done := map[disk.OpKind]int{}
			for i := range 3 {
				st := Storage{
					Files: simfile.New(simfile.Config{
						Rand: w.Stream(fmt.Sprint("disk", i)), Now: now,
						Latencies: simfile.Latencies{Read: latency, Write: latency, Sync: latency, Meta: latency},
						Faults:    simfile.Faults{ShortWrite: 10_000, TornWrite: 500_000, LostUnsynced: 500_000, LostDirent: 500_000},
					}),
					KV: memkv.NewSim(memkv.Config{
						Rand: w.Stream(fmt.Sprint("kv", i)), Now: now,
						Latencies: memkv.Latencies{Apply: memkv.Latency{Base: 1000, Jitter: 100_000}},
						Faults:    memkv.Faults{LostUnflushed: 500_000},
					}),
				}
				n := w.AddNode(ClockConfig{})
				w.Spawn(n, fmt.Sprint("churn", i), "", st, func(env proc.Env) proc.Process {
					return &churn{rng: env.Rand, done: done}
				})
				for k := range 20 {
					at := time.Duration(k+i+1) * 5 * time.Millisecond
					w.At(at, "crash", func() { w.Crash(n, k%2 == 0) })
					w.At(at+time.Millisecond, "restart", func() { w.Restart(n) })
				}
			}
			run(t, w, 200*time.Millisecond)
			for _, kind := range []disk.OpKind{disk.OpCreate, disk.OpRead, disk.OpSync, disk.OpSyncDir, disk.OpRename, disk.OpList, disk.OpWrite} {
				if done[kind] < 100 {
					t.Fatalf("%v: %d of %v completed", s.Kind, done[kind], kind)
				}
			}
			if hash != "" && hash != w.TraceHash() {
				t.Fatalf("%v: two traces", s.Kind)
			}
			hash = w.TraceHash()
		}
	}
}
