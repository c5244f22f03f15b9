package experiments

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"actordb"
	"actordb/internal/bench"
	"actordb/internal/load"
)

// sustained is throughput for ten minutes, with everything on that works in the
// background: checkpoints, sealing of segments, compaction of the log, and that of
// Pebble. Nothing may stall, and nothing may grow.
var sustained = Experiment{
	Name: "sustained", Claim: "M1", Says: "ten minutes of durable commands with checkpoints and compaction on: rate, latency and memory every ten seconds",
	run: runSustained,
}

const (
	sustainedTime     = 10 * time.Minute
	sustainedParts    = 60
	sustainedInFlight = 1600
	// sustainedKeep is what each shard keeps of its log: less than a minute's.
	sustainedKeep = 256 << 20
)

func runSustained(ctx context.Context, e *Env) (*Result, error) {
	dag, err := compactingNetwork(e.fresh())
	if err != nil {
		return nil, err
	}
	took, parts := sustainedTime/time.Duration(max(e.Part, 1)), sustainedParts
	if e.trial() {
		took, parts = 2*time.Second, 6
	}
	dir := e.fresh()
	server, err := startChild(e.Serve(dir, "--dag", dag))
	if err != nil {
		return nil, err
	}
	s := &watched{e: e, dir: dir, pid: server.cmd.Process.Pid, parts: parts}
	m, err := s.run(ctx, server, took)
	syncs, stopped := server.stop()
	switch {
	case err != nil:
		return nil, err
	case stopped != nil:
		return nil, stopped
	case len(s.rates) < 4:
		return nil, fmt.Errorf("%d intervals in %v: the machine has no time", len(s.rates), took)
	}
	m.Syncs = float64(syncs) / took.Seconds()
	return s.judge(m), nil
}

// compactingNetwork writes the default network, with compaction on.
func compactingNetwork(dir string) (file string, err error) {
	text := actordb.NetworkSource()
	const at = "segment_bytes:"
	if strings.Count(text, at) != 1 {
		return "", fmt.Errorf("dag.jsonnet names %s not once", at)
	}
	text = strings.Replace(text, at, fmt.Sprintf("compact_keep_bytes: %d, %s", sustainedKeep, at), 1)
	file = filepath.Join(dir, "dag.jsonnet")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// watched is a node under a long load, and what it was like in each interval.
type watched struct {
	e                           *Env
	dir                         string
	pid                         int
	parts                       int
	rates, p99s, memories, logs []float64
	err                         error
}

func (s *watched) run(ctx context.Context, server *child, took time.Duration) (*load.Measurement, error) {
	identity, err := server.identity(s.dir)
	if err != nil {
		return nil, err
	}
	m, err := load.MeasureWith(load.Config{Slots: sustainedInFlight, Duration: took, Interval: took / time.Duration(s.parts), OnInterval: s.look},
		load.Server{PIDs: []int{s.pid}, Dir: s.dir},
		func(l load.Config) (*load.Report, error) {
			r, err := bench.Run(ctx, bench.Config{Addrs: []string{server.addr}, Source: identity, Workload: bench.AppendWorkload,
				Actors: streams, Size: eventBytes, Connections: 1, Load: l})
			if err != nil {
				return nil, err
			}
			return &r.Report, r.Trouble
		})
	if err == nil {
		err = s.err
	}
	return m, err
}

// look is called after each interval.
func (s *watched) look(i load.Interval) {
	u, err := load.UsageOf(s.pid)
	size, sized := logBytes(s.dir)
	if s.err == nil {
		s.err = err
	}
	if s.err == nil {
		s.err = sized
	}
	s.rates, s.p99s = append(s.rates, i.PerSecond), append(s.p99s, i.P99)
	s.memories, s.logs = append(s.memories, float64(u.Memory)/1e6), append(s.logs, float64(size)/1e6)
	s.e.Say("%v: %v, memory %.0f MB, journals %.0f MB", i.At.Round(time.Second), i, float64(u.Memory)/1e6, float64(size)/1e6)
}

// logBytes is what the journals take. Segments may go while it looks.
func logBytes(dir string) (n int64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "shard-*", "log", "*"))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		switch {
		case err == nil:
			n += info.Size()
		case !os.IsNotExist(err):
			return 0, err
		}
	}
	return n, nil
}

// growthMax is what memory may differ by between quarters, and stallShare the part
// of the median rate that each interval must reach.
const (
	growthMax  = 1.25
	stallShare = 0.5
)

func (s *watched) judge(m *load.Measurement) *Result {
	rate := row("commands, 1,600 in flight", "1/s", s.rates)
	quarter := len(s.rates) / 4
	growth := median(s.memories[len(s.memories)-quarter:]) / median(s.memories[quarter:2*quarter])
	slowest := slices.Min(s.rates) / rate.Value
	one := func(name, unit string, v float64) Row { return row(name, unit, []float64{v}) }
	rows := []Row{
		row("p99 of each interval", "ms", s.p99s),
		row("memory resident", "MB", s.memories),
		row("journals on disk", "MB", s.logs),
		one("slowest interval over the median", "ratio", slowest),
		one("memory of the last quarter over the second's", "ratio", growth),
		one("server's CPU", "us/command", m.CPU),
		one("written to the disk", "B/command", m.Written),
		one("syncs", "1/s", m.Syncs),
	}
	rate.Note = fmt.Sprintf("%d-byte events, %d streams, intervals of %.3g s, %d MiB of log kept by each shard", eventBytes, streams, m.Seconds/float64(s.parts), sustainedKeep>>20)
	return s.e.about(rate, slowest >= stallShare && growth <= growthMax,
		fmt.Sprintf("no interval below %.0f %% of the median rate, memory of the last quarter at most %.0f %% of the second's", 100*stallShare, 100*growthMax), rows...)
}
