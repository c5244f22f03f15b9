package experiments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk/osfile"
	"actordb/net/wire"
)

// hydration is how long an actor takes to come back to memory (P3).
var hydration = Experiment{
	Name: "hydration", Claim: "P3", Says: "time until an actor with 100,000 events is back in memory, with and without snapshots",
	run: runHydration,
}

func runHydration(ctx context.Context, e *Env) (*Result, error) {
	events := e.scale(100_000)
	var rows []Row
	for _, c := range []struct {
		name  string
		every int
	}{
		{"with a snapshot every 100 events", 100},
		{"without a snapshot", events + 1},
	} {
		var ms []float64
		for range rounds {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d, err := hydrateOnce(e.fresh(), events, c.every)
			if err != nil {
				return nil, err
			}
			e.Say("%d events, %s: %.3f ms", events, c.name, float64(d)/1e6)
			ms = append(ms, float64(d)/1e6)
		}
		rows = append(rows, row(fmt.Sprintf("%d events, %s", events, c.name), "ms", ms))
	}
	return e.about(rows[0], rows[0].Value < rows[1].Value/10, "with snapshots bounded by the snapshot interval, not by the history: under a tenth of the time without", rows[1]), nil
}

// hydrationActors fit in memory: those that are written at once do.
const hydrationActors = 64

// hydrateOnce writes an actor's events among those of others, drops it from memory,
// and reads it.
func hydrateOnce(dir string, events, every int) (took time.Duration, err error) {
	files, err := osfile.Open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	m, err := newMemory(files, actor.Policy{SnapshotEvery: every}, func(c *shard.Config) { c.HotActors = hydrationActors })
	if err != nil {
		return 0, err
	}
	a := newAdds(m.now, 1)
	for done := 0; done < events; {
		k := min(batch/2, events-done)
		m.put(proc.Input{Kind: proc.Message, Frame: a.frame(2*k, func(i int) core.ActorID {
			if i%2 == 0 {
				return counterID(0)
			}
			return counterID(1 + i%50)
		})})
		done += k
	}
	m.put(proc.Input{Kind: proc.Message, Frame: a.frame(2*hydrationActors, func(i int) core.ActorID { return counterID(100 + i) })}) // others in its place
	var seen core.Seq
	m.onFrame = func(frame []byte) { wire.EachAnswer(frame, func(a *core.Answer) { seen = a.Seq }) }
	var w wire.Writer
	w.Command(&core.Command{Number: 1, Actor: counterID(0), Kind: core.Read, Expected: core.AnySeq})
	begun := time.Now()
	m.put(proc.Input{Kind: proc.Message, Frame: w.Finish(wire.Commands)})
	took = time.Since(begun)
	if m.fault != nil || seen != core.Seq(events) {
		return 0, fmt.Errorf("the actor is read at %d of %d events, fault %v", seen, events, m.fault)
	}
	return took, nil
}
