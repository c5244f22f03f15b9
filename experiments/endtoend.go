package experiments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/net/wire"
)

// endToEnd is the paper's time from a command to the state that shows it (section
// 8): 19.8 ms there, by polling.
var endToEnd = Experiment{
	Name: "e2e", Claim: "M6", Says: "time from a command to a read that sees it: in memory, durable, and through mutual TLS",
	run: runEndToEnd,
}

const paperVisibleMS = 19.8

func runEndToEnd(ctx context.Context, e *Env) (*Result, error) {
	var rows []Row
	for _, twin := range []struct {
		name string
		n    int
		run  func(context.Context, string, int) ([]time.Duration, error)
	}{
		{"in memory", e.scale(50_000), visibleInMemory},
		{"durable, through mutual TLS", e.scale(2_000), visibleThroughWire},
	} {
		var p50, p99 []float64
		for range rounds {
			d, err := twin.run(ctx, e.fresh(), twin.n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", twin.name, err)
			}
			slices.Sort(d)
			p50 = append(p50, float64(d[len(d)/2])/1e6)
			p99 = append(p99, float64(d[len(d)*99/100])/1e6)
			e.Say("%s: p50 %.4f ms, p99 %.4f ms of %d", twin.name, p50[len(p50)-1], p99[len(p99)-1], len(d))
		}
		rows = append(rows, row(twin.name+", p99", "ms", p99), row(twin.name+", p50", "ms", p50))
	}
	last := rows[2] // the whole way
	others := []Row{rows[0], rows[1], rows[3]}
	return e.about(last, last.Value < paperVisibleMS, fmt.Sprintf("below %.1f ms", paperVisibleMS), others...), nil
}

// visibleInMemory writes and reads one at a time.
func visibleInMemory(_ context.Context, _ string, n int) ([]time.Duration, error) {
	m, err := newMemory(nil, actor.Policy{}, nil)
	if err != nil {
		return nil, err
	}
	a := newAdds(m.now, 1)
	var seen core.Seq
	m.onFrame = func(frame []byte) { wire.EachAnswer(frame, func(a *core.Answer) { seen = a.Seq }) }
	var w wire.Writer
	samples := make([]time.Duration, n)
	for i := range samples {
		id := counterID(i % 100)
		begun := time.Now()
		m.put(proc.Input{Kind: proc.Message, Frame: a.frame(1, func(int) core.ActorID { return id })})
		w.Command(&core.Command{Number: 1, Actor: id, Kind: core.Read, Expected: core.AnySeq})
		m.put(proc.Input{Kind: proc.Message, Frame: w.Finish(wire.Commands)})
		samples[i] = time.Since(begun)
		if want := core.Seq(i/100 + 1); seen != want || m.fault != nil {
			return nil, fmt.Errorf("the read after write %d sees %d, want %d; fault %v", i, seen, want, m.fault)
		}
	}
	return samples, nil
}

// visibleThroughWire does it from outside of a real node.
func visibleThroughWire(ctx context.Context, dir string, n int) (samples []time.Duration, err error) {
	s, credentials, err := serve(dir, 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c, err := dial(ctx, s, credentials)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	add := core.Command{Kind: core.Decide, Expected: core.AnySeq, Type: "add", Payload: binary.AppendVarint(nil, 1)}
	for i := range n {
		add.Actor = counterID(i % 100)
		begun := time.Now()
		if _, err := c.Do(ctx, add); err != nil {
			return nil, err
		}
		a, err := c.Read(ctx, add.Actor)
		if err != nil {
			return nil, err
		}
		samples = append(samples, time.Since(begun))
		if want := core.Seq(i/100 + 1); a.Seq != want {
			return nil, fmt.Errorf("the read after write %d sees %d, want %d", i, a.Seq, want)
		}
	}
	return samples, nil
}
