package experiments

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/internal/host"
)

// writes is the first row of the paper's table (section 8): one event to an actor,
// and its honest twins: durable, and through the wire.
var writes = Experiment{
	Name: "write", Claim: "M6", Says: "time and memory of one event written, in memory, durable, and through mutual TLS",
	run: runWrites,
}

const (
	paperWriteNS = 636.0 // ns/op, section 8
	paperWriteB  = 376.0 // B/op
	rounds       = 5
)

func runWrites(ctx context.Context, e *Env) (*Result, error) {
	n := e.scale(1_000_000)
	host.CollectLess() // as a served node does
	kinds := []struct {
		name string
		id   func(i int) core.ActorID
	}{
		{"new actors", counterID},
		{"existing actors", func(i int) core.ActorID { return counterID(i * 7919 % 10_000) }},
	}
	var rows []Row
	var pass bool
	for k, kind := range kinds {
		var ns, allocated, retained []float64
		for i := range rounds + 1 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			w, err := writeInMemory(n, kind.id)
			if err != nil {
				return nil, err
			}
			e.Say("in memory, %s: %.0f ns, %.0f B allocated, %.0f B of them retained", kind.name, w.ns, w.allocated, w.retained)
			if i > 0 { // the first one gets the process its memory
				ns, allocated, retained = append(ns, w.ns), append(allocated, w.allocated), append(retained, w.retained)
			}
		}
		t := row("in memory, "+kind.name, "ns/event", ns)
		b := row("allocated, "+kind.name, "B/event", allocated)
		if k == 0 {
			pass = t.Value <= paperWriteNS && b.Value <= paperWriteB
		}
		rows = append(rows, t, b, row("retained, "+kind.name, "B/event", retained))
	}
	for _, twin := range []struct {
		name string
		run  func(context.Context, string, int) (float64, error)
	}{
		{"durable, in process, 1,600 in flight", durableWrites},
		{"durable, through mutual TLS, 1,600 in flight", wireWrites},
	} {
		var ns []float64
		for range rounds {
			v, err := twin.run(ctx, e.fresh(), n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", twin.name, err)
			}
			e.Say("%s: %.0f ns", twin.name, v)
			ns = append(ns, v)
		}
		rows = append(rows, row(twin.name, "ns/event", ns))
	}
	return e.about(rows[0], pass, fmt.Sprintf("at most %.0f ns and %.0f B per event of new actors", paperWriteNS, paperWriteB), rows[1:]...), nil
}

type written struct{ ns, allocated, retained float64 }

// writeInMemory writes n events, in frames that are ready before the clock starts:
// making commands is the clients' work.
func writeInMemory(n int, id func(i int) core.ActorID) (written, error) {
	m, err := newMemory(nil, actor.Policy{}, func(c *shard.Config) { c.HotActors = 1 << 28 })
	if err != nil {
		return written{}, err
	}
	before, _ := heap()
	a := newAdds(m.now, 1)
	var frames [64][]byte
	var took time.Duration
	var allocated uint64
	for done := 0; done < n; {
		ready := 0
		for ; ready < len(frames) && done < n; ready++ {
			k, from := min(batch, n-done), done
			frames[ready] = a.frame(k, func(i int) core.ActorID { return id(from + i) })
			done += k
		}
		var s0, s1 runtime.MemStats
		runtime.ReadMemStats(&s0)
		begun := time.Now()
		for i := range frames[:ready] {
			m.put(proc.Input{Kind: proc.Message, Frame: frames[i]})
			frames[i] = nil
		}
		took += time.Since(begun)
		runtime.ReadMemStats(&s1)
		allocated += s1.TotalAlloc - s0.TotalAlloc
	}
	after, _ := heap()
	if m.fault != nil || m.answers != n {
		return written{}, fmt.Errorf("%d answers of %d, fault %v", m.answers, n, m.fault)
	}
	runtime.KeepAlive(m)
	per := float64(n)
	return written{float64(took.Nanoseconds()) / per, float64(allocated) / per, float64(after-before) / per}, nil
}
