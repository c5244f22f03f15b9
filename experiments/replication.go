package experiments

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"actordb/core/proc"
	"actordb/internal/bench"
	"actordb/internal/load"
	"actordb/internal/node"
	"actordb/net/tlsnet"
)

// replication is what replicas cost: the same load on one node and on three, beside
// etcd with as many members. All processes share this machine and its disk, so the
// CPU of a command, summed over all nodes, says more than the rate.
var replication = Experiment{
	Name: "replication", Claim: "B2", Says: "durable commands a second and CPU per command with 1 and 3 replicas, beside etcd",
	run: runReplication,
}

const (
	oneReplica    = "ActorDB, 1 node"
	threeReplicas = "ActorDB, 3 nodes"
	etcdNote      = "own processes, TCP loopback without TLS; clientv3, eight transactions at once, each of all that waits: it compares each key's version with the expected one and puts"
)

// replicated lists who is measured, and beside whom of the others.
func replicated() []contestant {
	return []contestant{
		{oneReplica, "actordb serve --dev; mutual TLS 1.3; expected sequence of each stream; synced before the answer", func(ctx context.Context, e *Env, l load.Config, c cell) (*load.Measurement, error) {
			return measureServe(ctx, e, l, c, "--shards", "2")
		}},
		{threeReplicas, "three processes of actordb serve, two shards, each a group of three; mutual TLS 1.3 everywhere; synced by two of three before the answer", measureCluster},
		{"etcd, 1 member", etcdNote, peer{contestant: "etcd"}.measure},
		{"etcd, 3 members", etcdNote, peer{contestant: "etcd3"}.measure},
	}
}

var replicationBeside = map[string]string{threeReplicas: oneReplica, oneReplica: "etcd, 1 member", "etcd, 3 members": "etcd, 1 member"}

func runReplication(ctx context.Context, e *Env) (*Result, error) {
	all := replicated()
	flights := []int{1, contestedFlight, 1600}
	if e.trial() {
		flights = []int{contestedFlight}
	}
	measured := map[string]map[int][]*load.Measurement{}
	missing := map[string]string{}
	for _, who := range all {
		measured[who.name] = map[int][]*load.Measurement{}
	}
	for round := range e.rounds(contestRounds) {
		for _, n := range flights {
			c := cell{inFlight: n, streams: max(streams, 2*n), size: eventBytes}
			for _, who := range all {
				if missing[who.name] != "" {
					continue
				}
				m, err := who.measure(ctx, e, e.loadOf(n, 0, round), c)
				if err != nil {
					return nil, fmt.Errorf("%s, %d in flight: %w", who.name, n, err)
				}
				if m.Missing != "" {
					e.Say("%s: %s", who.name, m.Missing)
					missing[who.name] = m.Missing
					continue
				}
				e.Say("round %d, %d in flight, %s: %.0f/s, p50 %.3g ms, p99 %.3g ms, %.3g us of CPU a command", round+1, n, who.name, m.PerSecond, m.Latency.P50, m.Latency.P99, m.CPU)
				measured[who.name][n] = append(measured[who.name][n], m)
			}
		}
	}
	var about Row
	var rows []Row
	for _, who := range all {
		if missing[who.name] != "" {
			rows = append(rows, missingRow(who.name, "1/s", missing[who.name]))
			continue
		}
		for _, n := range flights {
			made := replicaRows(who, n, measured[who.name][n])
			if who.name == threeReplicas && n == contestedFlight {
				about, made = made[0], made[1:]
			}
			rows = append(rows, made...)
		}
	}
	ahead := true
	for _, who := range all {
		beside := replicationBeside[who.name]
		if who.name == threeReplicas {
			rows = append(rows, rateRatios(who.name, "etcd, 3 members", flights, measured)...)
			if theirs := measured["etcd, 3 members"][contestedFlight]; len(theirs) > 0 {
				ahead = median(ratios(rates(measured[who.name][contestedFlight]), rates(theirs))) > 1
			}
		}
		if beside != "" {
			rows = append(rows, rateRatios(who.name, beside, flights, measured)...)
		}
	}
	return e.about(about, ahead, "at 256 in flight ahead of etcd with three members", rows...), nil
}

func rates(list []*load.Measurement) (out []float64) {
	for _, m := range list {
		out = append(out, m.PerSecond)
	}
	return out
}

func rateRatios(a, b string, flights []int, measured map[string]map[int][]*load.Measurement) (rows []Row) {
	for _, n := range flights {
		x, y := rates(measured[a][n]), rates(measured[b][n])
		if len(x) == 0 || len(y) == 0 {
			continue
		}
		r := row(fmt.Sprintf("%s over %s, %d in flight", a, b, n), "ratio", ratios(x, y))
		r.Subject, r.Column = a+" over "+b, fmt.Sprintf("%d in flight", n)
		rows = append(rows, r)
	}
	return rows
}

func replicaRows(who contestant, n int, list []*load.Measurement) (rows []Row) {
	subject := fmt.Sprintf("%s, %d in flight", who.name, n)
	for _, column := range []struct {
		what, unit string
		get        func(*load.Measurement) float64
	}{
		{"closed loop", "1/s", func(m *load.Measurement) float64 { return m.PerSecond }},
		{"p50", "ms", func(m *load.Measurement) float64 { return m.Latency.P50 }},
		{"p99", "ms", func(m *load.Measurement) float64 { return m.Latency.P99 }},
		{"CPU of all nodes", "us/command", func(m *load.Measurement) float64 { return m.CPU }},
		{"written to the disk", "B/command", func(m *load.Measurement) float64 { return m.Written }},
	} {
		var samples []float64
		for _, m := range list {
			samples = append(samples, column.get(m))
		}
		r := row(subject+", "+column.what, column.unit, samples)
		r.Subject, r.Column, r.Note = subject, column.what, who.note
		if r.Value > 0 { // else nobody counts
			rows = append(rows, r)
		}
	}
	return rows
}

// measureCluster is a load on three fresh nodes.
func measureCluster(ctx context.Context, e *Env, l load.Config, c cell) (m *load.Measurement, err error) {
	dir := e.fresh()
	defer os.RemoveAll(dir)
	made := node.NewCluster{Dir: filepath.Join(dir, "cluster"), Domain: "experiment.actordb", Shards: 2}
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
		if err != nil {
			return nil, err
		}
		made.Addrs = append(made.Addrs, listener.Addr().String())
		if err := listener.Close(); err != nil {
			return nil, err
		}
	}
	if err := made.Create(); err != nil {
		return nil, err
	}
	var pids []int
	for i := range made.Addrs {
		server, err := startChild(e.ServeMember(made.NodeDir(proc.NodeID(i + 1))))
		if err != nil {
			return nil, err
		}
		defer func() {
			if _, stopped := server.stop(); stopped != nil {
				m, err = nil, errors.Join(err, stopped)
			}
		}()
		pids = append(pids, server.cmd.Process.Pid)
	}
	identity, err := tlsnet.LoadIdentity(made.ClientDir())
	if err != nil {
		return nil, err
	}
	return load.MeasureWith(l, load.Server{PIDs: pids, Dir: dir}, func(l load.Config) (*load.Report, error) {
		result, err := bench.Run(ctx, bench.Config{Addrs: made.Addrs, Source: identity, Workload: bench.AppendWorkload,
			Actors: c.streams, Size: c.size, Connections: 1, Load: l})
		if err != nil {
			return nil, err
		}
		return &result.Report, result.Trouble
	})
}
