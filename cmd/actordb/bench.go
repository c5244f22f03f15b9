package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"actordb/internal/bench"
	"actordb/internal/load"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

type benchCommand struct {
	Target      []string      `required:"" placeholder:"HOST:PORT" help:"Nodes; the next one is tried when one cannot be reached."`
	Identity    string        `required:"" placeholder:"DIR" help:"The caller's identity.pem, such as DIR/ca/dev of a node that runs with --dev."`
	Workload    string        `default:"append" placeholder:"NAME" help:"append: events to streams, each with the expected sequence. Or one of the simulator's: register, append-list, bank, cart, hot-actor, mixed, sensors."`
	Clients     int           `placeholder:"N" help:"Commands under way at once; with --rate at most. Left out: 256, with --rate 4096."`
	Rate        float64       `placeholder:"N" help:"Open loop: so many commands arrive a second, as a Poisson process. Left out, a closed loop: each client sends its next command when it has its answer."`
	Duration    time.Duration `default:"10s" help:"How long to measure."`
	RampUp      time.Duration `default:"2s" help:"How long to load before that."`
	Size        int           `default:"200" placeholder:"BYTES" help:"Payload of an event of append."`
	Actors      int           `default:"10000" placeholder:"N" help:"Streams of append."`
	Connections int           `default:"1" placeholder:"N" help:"Connections that share the clients."`
	JSON        bool          `name:"json" help:"One JSON document on standard output."`
}

func (benchCommand) Help() string {
	return `Examples:

    actordb bench --target 127.0.0.1:7400 --identity data/ca/dev
    actordb bench --target 127.0.0.1:7400 --identity data/ca/dev --clients 1600 --duration 30s
    actordb bench --target 127.0.0.1:7400 --identity data/ca/dev --rate 20000 --json

An open loop counts latency from the moment that a command arrives, whether or not anything was free to send it, so that a slow server cannot
slow down its own test; if it does not keep pace, the output says OVERLOADED, and its latencies grow with the duration.
The events stay: bench appends to new streams (stream/bench-…), the other workloads to actors of their own names. Use a node of its own.
Exit codes: 0 measured, 2 wrong usage, or the node refused commands at the door, 4 it could not be reached or an outcome is not known.`
}

// benchReport is what --json prints.
type benchReport struct {
	Workload    string `json:"workload"`
	Size        int    `json:"size_bytes,omitempty"`
	Actors      int    `json:"actors,omitempty"`
	Connections int    `json:"connections"`
	load.Report
	Trouble string `json:"first_failure,omitempty"`
}

// Clients of a load when none are asked for.
const (
	benchClients     = 256
	benchClientsOpen = 4096
)

// config is the load that is asked for.
func (c *benchCommand) config() (bench.Config, error) {
	if c.Clients == 0 {
		c.Clients = benchClients
		if c.Rate > 0 {
			c.Clients = benchClientsOpen
		}
	}
	cfg := bench.Config{Addrs: c.Target, Workload: c.Workload, Actors: c.Actors, Size: c.Size, Connections: c.Connections,
		Load: load.Config{Slots: c.Clients, Rate: c.Rate, RampUp: c.RampUp, Duration: c.Duration}}
	if err := cfg.Validate(); err != nil {
		return cfg, usage("%w", err)
	}
	identity, err := tlsnet.LoadIdentity(c.Identity)
	if err != nil {
		return cfg, usage("--identity: %w", err)
	}
	cfg.Source = identity
	return cfg, nil
}

// Run implements the command.
func (c *benchCommand) Run() error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bar := newProgress("load", uint64((c.RampUp + c.Duration).Seconds()))
	cfg.Load.Interval = time.Second
	cfg.Load.OnInterval = func(i load.Interval) {
		bar.describe(i.String())
		bar.to(int64(i.At.Seconds()), int64((c.RampUp + c.Duration).Seconds()))
	}
	r, err := bench.Run(ctx, cfg)
	bar.end()
	switch {
	case ctx.Err() != nil:
		return environment("interrupted: nothing was measured")
	case err != nil:
		return environment("%w", err)
	}
	if err := c.tell(r); err != nil {
		return err
	}
	if refused := (*client.Refused)(nil); errors.As(r.Trouble, &refused) {
		return usage("commands were refused at the door, the first: %w", r.Trouble)
	} else if r.Trouble != nil {
		return environment("the outcome of some commands is not known, the first: %w", r.Trouble)
	}
	if r.Unanswered > 0 && !r.Overloaded {
		return environment("%s had no answer when the load was over: look at the node's log", counted(r.Unanswered, "command"))
	}
	return nil
}

func (c *benchCommand) tell(r *bench.Result) error {
	report := benchReport{Workload: c.Workload, Connections: c.Connections, Report: r.Report}
	if c.Workload == bench.AppendWorkload {
		report.Size, report.Actors = c.Size, c.Actors
	}
	if r.Trouble != nil {
		report.Trouble = r.Trouble.Error()
	}
	if c.JSON {
		return printJSON(report)
	}
	report.print()
	return nil
}

// print shows a report for people.
func (r *benchReport) print() {
	what := r.Workload
	if r.Size > 0 {
		what = fmt.Sprintf("%s, %d bytes, %s", r.Workload, r.Size, counted(int64(r.Actors), "actor"))
	}
	if r.Loop == load.OpenLoop {
		fmt.Printf("%s; open loop, %.0f/s arriving, at most %d at once\n", what, r.Rate, r.Slots)
	} else {
		fmt.Printf("%s; closed loop, %s\n", what, counted(int64(r.Slots), "client"))
	}
	fmt.Printf("%.0f commands/s, %.1f MB/s of payload, in %.3g s\n", r.PerSecond, float64(r.Bytes)/1e6/r.Seconds, r.Seconds)
	l := r.Latency
	fmt.Printf("latency ms: p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f\n", l.P50, l.P90, l.P99, l.P999, l.Max)
	var rest []string
	for _, n := range []struct {
		n    int64
		what string
	}{{r.Refused, "refused"}, {r.Unknown, "with an unknown outcome"}, {r.Unanswered, "without an answer"}} {
		if n.n > 0 {
			rest = append(rest, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	if rest != nil {
		fmt.Println(strings.Join(rest, ", "))
	}
	if r.Overloaded {
		fmt.Println("OVERLOADED: commands arrive faster than the node answers; latencies are those of a queue that grows")
	}
}
