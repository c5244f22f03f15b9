package experiments

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk/osfile"
)

// idleActors: a million actors that nobody uses (checklist D9).
var idleActors = Experiment{
	Name: "idle-actors", Claim: "D9", Says: "bytes of memory per idle actor of a million, and a full collection's pause",
	run: runIdle,
}

func runIdle(ctx context.Context, e *Env) (*Result, error) {
	n, rounds := e.scale(1_000_000), 5
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	var perActor, full, pause []float64
	for range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bytes, gc, stop, err := idleOnce(e.fresh(), n)
		if err != nil {
			return nil, err
		}
		perActor, full, pause = append(perActor, bytes), append(full, gc), append(pause, stop)
		e.Say("%.1f bytes per actor, a collection takes %.1f ms and stops the world for %.3f ms", bytes, gc, stop)
	}
	r := row("memory of an idle actor, of "+fmt.Sprint(n), "B", perActor)
	return e.about(r, r.Value <= 256, "at most 256 B, aim 100 B",
		row("a full collection with them, wall", "ms", full), row("of which the world stands still", "ms", pause)), nil
}

// idleOnce writes one event to each of n actors, lets all of them leave memory, and
// weighs what is left. The journal is on the disk.
func idleOnce(dir string, n int) (perActor, fullMS, pauseMS float64, err error) {
	files, err := osfile.Open(dir)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	m, err := newMemory(files, actor.Policy{}, func(c *shard.Config) { c.HotActors = 1024 })
	if err != nil {
		return 0, 0, 0, err
	}
	a := newAdds(m.now, 1)
	write := func(from, count int) {
		for done := 0; done < count; {
			k := min(batch, count-done)
			base := from + done
			m.put(proc.Input{Kind: proc.Message, Frame: a.frame(k, func(i int) core.ActorID { return counterID(base + i) })})
			done += k
		}
	}
	write(n, 2048) // what does not grow with the actors is there
	before, _ := heap()
	write(0, n)
	if m.fault != nil {
		return 0, 0, 0, m.fault
	}
	if want := n + 2048; m.answers != want {
		return 0, 0, 0, fmt.Errorf("%d answers of %d", m.answers, want)
	}
	after, _ := heap()
	perActor = (float64(after) - float64(before)) / float64(n)

	var s0, s1 runtime.MemStats
	runtime.ReadMemStats(&s0)
	begun := time.Now()
	runtime.GC()
	fullMS = float64(time.Since(begun)) / 1e6
	runtime.ReadMemStats(&s1)
	pauseMS = float64(s1.PauseTotalNs-s0.PauseTotalNs) / 1e6
	runtime.KeepAlive(m)
	return perActor, fullMS, pauseMS, nil
}
