package experiments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"actordb/internal/bench"
	"actordb/internal/load"
)

// throughput is how many durable commands one node takes (M1), beside a bare file
// and beside what else one might use for it.
var throughput = Experiment{
	Name: "throughput", Claim: "M1", Says: "durable commands a second through mutual TLS, beside a bare file, Redis Streams and PostgreSQL",
	run: runThroughput,
}

const (
	eventBytes      = 200
	streams         = 10_000
	cellTime        = 4 * time.Second
	cellRampUp      = time.Second
	contestRounds   = 3
	commandsWanted  = 50_000 // M1: 50,000 to 100,000 a second
	batchedWanted   = 300_000
	openShare       = 0.7 // of the closed loop's rate
	openSlots       = 4096
	contestedFlight = 256
)

// A cell is one load, which each contestant gets in turn.
type cell struct {
	inFlight int
	streams  int
	size     int
}

func cells(e *Env) (list []cell) {
	flights := []int{1, 16, contestedFlight, 1600, 16_000}
	if e.trial() {
		flights = []int{contestedFlight}
	}
	for _, n := range flights {
		list = append(list, cell{inFlight: n, streams: max(streams, 2*n), size: eventBytes})
	}
	return list
}

// A contestant is a store of events.
type contestant struct {
	name    string
	note    string
	measure func(context.Context, *Env, load.Config, cell) (*load.Measurement, error)
}

// ours is the contestant that all is about, oneShard itself with another setting,
// bound the one that nobody can beat.
const (
	ours     = "ActorDB"
	oneShard = "ActorDB, one shard"
	bound    = "bare file"
)

func contestants() []contestant {
	list := []contestant{
		{bound, "one goroutine of the measuring process appends what waits, with length and CRC-32C, in one write, and syncs (fdatasync); no protocol, no index, no version check; its CPU is that of the whole process, with the load", func(ctx context.Context, e *Env, l load.Config, c cell) (*load.Measurement, error) {
			return measureBare(ctx, e.fresh(), l, c)
		}},
		{ours, "actordb serve --dev in a process of its own, defaults; one connection with mutual TLS 1.3; expected sequence of each stream; synced before the answer", func(ctx context.Context, e *Env, l load.Config, c cell) (*load.Measurement, error) {
			return measureServe(ctx, e, l, c)
		}},
		{oneShard, "the same with --shards 1: one journal, so that more commands share a sync", func(ctx context.Context, e *Env, l load.Config, c cell) (*load.Measurement, error) {
			return measureServe(ctx, e, l, c, "--shards", "1")
		}},
	}
	for _, p := range peers {
		list = append(list, contestant{p.name, p.note, p.measure})
	}
	return list
}

// measureServe is a load on a fresh node, which is given these arguments more.
func measureServe(ctx context.Context, e *Env, l load.Config, c cell, args ...string) (m *load.Measurement, err error) {
	dir := e.fresh()
	defer os.RemoveAll(dir) // the next ones need the space
	server, err := startChild(e.Serve(dir, args...))
	if err != nil {
		return nil, err
	}
	defer func() {
		syncs, stopped := server.stop()
		if err = errors.Join(err, stopped); err == nil {
			m.Syncs = float64(syncs) / (l.RampUp + l.Duration).Seconds()
		}
	}()
	identity, err := server.identity(dir)
	if err != nil {
		return nil, err
	}
	var result *bench.Result
	m, err = load.MeasureWith(l, load.Server{PIDs: []int{server.cmd.Process.Pid}, Dir: dir}, func(l load.Config) (*load.Report, error) {
		result, err = bench.Run(ctx, bench.Config{Addrs: []string{server.addr}, Source: identity, Workload: bench.AppendWorkload,
			Actors: c.streams, Size: c.size, Connections: 1, Load: l})
		if err != nil {
			return nil, err
		}
		return &result.Report, result.Trouble
	})
	return m, err
}

// turn is what a contestant did in a cell, in all rounds.
type turn struct {
	closed, open []*load.Measurement
}

func runThroughput(ctx context.Context, e *Env) (*Result, error) {
	all := contestants()
	list := cells(e)
	turns := make([][]turn, len(all)) // by contestant and cell
	missing := make([]string, len(all))
	for i := range all {
		turns[i] = make([]turn, len(list))
	}
	for round := range e.rounds(contestRounds) {
		for k, c := range list {
			for i, who := range all {
				if missing[i] != "" {
					continue
				}
				l := e.loadOf(c.inFlight, 0, round)
				closed, err := who.measure(ctx, e, l, c)
				if err != nil {
					return nil, fmt.Errorf("%s, %d in flight: %w", who.name, c.inFlight, err)
				}
				if closed.Missing != "" {
					e.Say("%s: %s", who.name, closed.Missing)
					missing[i] = closed.Missing
					continue
				}
				e.Say("round %d, %d in flight, %s: %.0f/s, p50 %.3g ms, p99 %.3g ms", round+1, c.inFlight, who.name, closed.PerSecond, closed.Latency.P50, closed.Latency.P99)
				open, err := who.measure(ctx, e, e.loadOf(max(c.inFlight, min(openSlots, c.streams)), openShare*closed.PerSecond, round), c)
				if err != nil {
					return nil, fmt.Errorf("%s, open loop of %.0f/s: %w", who.name, openShare*closed.PerSecond, err)
				}
				e.Say("round %d, %.0f/s arriving, %s: %.0f/s, p50 %.3g ms, p99 %.3g ms, overloaded %t", round+1, open.Rate, who.name, open.PerSecond, open.Latency.P50, open.Latency.P99, open.Overloaded)
				t := &turns[i][k]
				t.closed, t.open = append(t.closed, closed), append(t.open, open)
			}
		}
	}
	return e.judgeContest(all, list, turns, missing)
}

// loadOf is the load of a cell; rate 0: a closed loop.
func (e *Env) loadOf(slots int, rate float64, round int) load.Config {
	scale := func(d, least time.Duration) time.Duration { return max(d/time.Duration(max(e.Part, 1)), least) }
	return load.Config{Slots: slots, Rate: rate, RampUp: scale(cellRampUp, 100*time.Millisecond), Duration: scale(cellTime, 400*time.Millisecond), Seed: uint64(round)}
}

// judgeContest makes rows of it.
func (e *Env) judgeContest(all []contestant, list []cell, turns [][]turn, missing []string) (*Result, error) {
	var rows []Row
	var about Row
	rate := map[string]map[int][]float64{}
	for i, who := range all {
		if missing[i] != "" {
			rows = append(rows, missingRow(who.name, "1/s", missing[i]))
			continue
		}
		rate[who.name] = map[int][]float64{}
		for k, c := range list {
			made := rowsOf(who, c, &turns[i][k])
			rate[who.name][c.inFlight] = made[0].Samples
			if who.name == ours && c.inFlight == contestedFlight {
				about, made = made[0], made[1:]
			}
			rows = append(rows, made...)
		}
	}
	ahead := true
	for _, who := range all {
		if rate[who.name] == nil || who.name == ours {
			continue
		}
		for _, c := range list {
			what := ours + " over " + who.name
			r := row(fmt.Sprintf("%s, %d in flight", what, c.inFlight), "ratio", ratios(rate[ours][c.inFlight], rate[who.name][c.inFlight]))
			r.Subject, r.Column = what, fmt.Sprintf("%d in flight", c.inFlight)
			rows = append(rows, r)
			if who.name != bound && who.name != oneShard && c.inFlight == contestedFlight {
				ahead = ahead && r.Value > 1
			}
		}
	}
	return e.about(about, ahead && about.Value >= commandsWanted,
		fmt.Sprintf("at 256 in flight at least %d/s (M1: 50,000 to 100,000) and ahead of the others; aims: half of the bare file's rate, %d/s with frames full", commandsWanted, batchedWanted),
		rows...), nil
}

// rowsOf is what a contestant did in a cell.
func rowsOf(who contestant, c cell, t *turn) []Row {
	subject := fmt.Sprintf("%s, %d in flight", who.name, c.inFlight)
	make1 := func(what, unit string, of []*load.Measurement, get func(*load.Measurement) float64) Row {
		var samples []float64
		for _, m := range of {
			samples = append(samples, get(m))
		}
		r := row(subject+", "+what, unit, samples)
		r.Subject, r.Column = subject, what
		r.Note = fmt.Sprintf("%s; %d-byte events, %d streams", who.note, c.size, c.streams)
		return r
	}
	rows := []Row{
		make1("closed loop", "1/s", t.closed, func(m *load.Measurement) float64 { return m.PerSecond }),
		make1("closed loop, p50", "ms", t.closed, func(m *load.Measurement) float64 { return m.Latency.P50 }),
		make1("closed loop, p99", "ms", t.closed, func(m *load.Measurement) float64 { return m.Latency.P99 }),
		make1("server's CPU", "us/command", t.closed, func(m *load.Measurement) float64 { return m.CPU }),
	}
	for _, r := range []Row{
		make1("written to the disk", "B/command", t.closed, func(m *load.Measurement) float64 { return m.Written }),
		make1("flushes of the disk", "1/s", t.closed, func(m *load.Measurement) float64 { return m.Flushes }),
		make1("syncs", "1/s", t.closed, func(m *load.Measurement) float64 { return m.Syncs }),
	} {
		if r.Value > 0 { // else nobody counts
			rows = append(rows, r)
		}
	}
	return append(rows,
		make1("open loop at 70 %", "1/s", t.open, func(m *load.Measurement) float64 { return m.PerSecond }),
		make1("open loop, p50", "ms", t.open, func(m *load.Measurement) float64 { return m.Latency.P50 }),
		make1("open loop, p99", "ms", t.open, func(m *load.Measurement) float64 { return m.Latency.P99 }))
}

// ratios are those of the same round.
func ratios(a, b []float64) (list []float64) {
	for i := range a {
		list = append(list, a[i]/cmp.Or(b[i], 1))
	}
	return list
}
