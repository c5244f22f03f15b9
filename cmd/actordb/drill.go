package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"actordb/checkers"
	"actordb/experiments/mutants"
	"actordb/internal/drill"
	"actordb/workloads"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

type drillCommand struct {
	Seed     uint64        `default:"1" help:"Draws moments, losses and what clients do. It does not repeat a run: a real machine has its own timing."`
	Kills    int           `default:"20" help:"How often the node is killed, over all stages."`
	Duration time.Duration `placeholder:"TIME" help:"Stop killing after this time, if --kills are not over before."`
	Clients  int           `default:"24" help:"Clients, with four operations under way each."`
	Workload []string      `default:"all" placeholder:"NAME" help:"What clients do; several names share the clients."`
	Shards   int           `default:"2" help:"Shards of the node."`
	Stage    []string      `placeholder:"NAME" help:"Just these: small, compacted (small segments, so that kills meet rotations, checkpoints, compactions), large, large-compacted (recovery of large journals)."`
	Nodes    int           `default:"1" placeholder:"N" help:"3 or more: a cluster, whose nodes are killed, stopped and cut off from each other in turn, for --duration."`
	Moves    bool          `help:"With --nodes: no faults; slots move, a node joins, another one is drained, under load, and what that adds to latencies is printed."`
	Stop     time.Duration `default:"20s" help:"With --nodes: how long a stopped node stays so."`
	Plant    string        `placeholder:"ID" help:"Drill a node with a planted bug (experiments/mutants): the drill has to find it. Needs the source tree and the go command."`
	Out      string        `placeholder:"DIR" help:"Write drill.json, and each start as a line of drill.csv, there."`
	Keep     string        `placeholder:"DIR" help:"Keep the nodes' directories, logs and undo journals there; left out, they are kept only after a violation."`
	JSON     bool          `name:"json" help:"One JSON document on standard output."`
}

func (drillCommand) Help() string {
	return `Starts a node with mutual TLS as a process of its own, drives it with the simulator's clients through the wire, kills it with SIGKILL at drawn moments
(in recovery, under load, as a segment begins or goes, as the derived store writes), takes away every byte and name that was not synced, and starts it again.
At the end of each stage everything is read back and judged by the simulator's checkers, and the directory by those of verify.

Examples:

    actordb drill --kills 200
    actordb drill --kills 6 --plant ZD1
    actordb drill --nodes 3 --duration 5m
    actordb drill --nodes 3 --moves

Exit codes: 0 every law holds, 1 one is broken or could not be judged, 2 wrong usage, 4 the machine failed.`
}

// victimCommand is the node that a drill starts.
type victimCommand struct{}

// Run implements the command.
func (victimCommand) Run() error {
	err := drill.Node(os.Stdin, os.Stdout, os.Stderr)
	if errors.Is(err, drill.ErrOrder) {
		return usage("%w", err)
	}
	return served(err)
}

// Run implements the command.
func (c *drillCommand) Run() (err error) {
	cfg := drill.Config{Seed: c.Seed, Kills: c.Kills, Duration: c.Duration, Clients: c.Clients, Shards: c.Shards, Stages: c.Stage}
	if cfg.Workloads, err = c.workloads(); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "actordb-drill-")
	if err != nil {
		return environment("%w", err)
	}
	keep := c.Keep != ""
	defer func() {
		if !keep {
			err = errors.Join(err, os.RemoveAll(scratch))
		}
	}()
	if cfg.Dir = filepath.Join(scratch, "nodes"); keep {
		cfg.Dir = c.Keep
	}
	program, err := c.program(filepath.Join(scratch, "planted"))
	if err != nil {
		return err
	}
	cfg.Program = []string{program, "drill-node"}
	if c.Nodes != 1 {
		return c.cluster(&cfg, &keep)
	}
	if err := cfg.Validate(); err != nil {
		return usage("%w", err)
	}
	if entries, err := os.ReadDir(cfg.Dir); err == nil && len(entries) > 0 {
		return usage("--keep %s: there is something in it; name a new directory", cfg.Dir)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	shown := newProgress("kills", uint64(c.Kills))
	cfg.Killed = func(stage string, _ int) { shown.step(" (" + stage + ")") }
	r, err := drill.Run(ctx, cfg)
	shown.end()
	if err != nil {
		return environment("%w", err)
	}
	keep = keep || r.Verdict != checkers.Pass
	if c.Out != "" {
		if err := r.Save(c.Out); err != nil {
			return environment("%w", err)
		}
	}
	if c.JSON {
		err = printJSON(r)
	} else {
		printDrill(os.Stdout, r, keep)
	}
	if err == nil && r.Verdict != checkers.Pass {
		err = violated()
	}
	return err
}

// cluster drills several nodes.
func (c *drillCommand) cluster(one *drill.Config, keep *bool) error {
	cfg := drill.ClusterConfig{Program: one.Program, Dir: one.Dir, Seed: c.Seed, Nodes: c.Nodes, Shards: c.Shards, Clients: c.Clients,
		Workloads: one.Workloads, Duration: cmp.Or(c.Duration, time.Minute), Stop: c.Stop, Moves: c.Moves, Rest: 2 * time.Second}
	if err := cfg.Validate(); err != nil {
		return usage("%w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg.Struck = func(fault string, after time.Duration) {
		fmt.Fprintf(os.Stderr, "%6.1f s: a node is %s\n", after.Seconds(), fault)
	}
	r, err := drill.RunCluster(ctx, cfg)
	if err != nil {
		return environment("%w", err)
	}
	*keep = *keep || r.Verdict != checkers.Pass
	if c.Out != "" {
		if err := r.Save(c.Out); err != nil {
			return environment("%w", err)
		}
	}
	if c.JSON {
		err = printJSON(r)
	} else {
		printClusterDrill(os.Stdout, r, *keep)
	}
	if err == nil && r.Verdict != checkers.Pass {
		err = violated()
	}
	return err
}

// printClusterDrill shows a drill of several nodes on one screen.
func printClusterDrill(w io.Writer, r *drill.ClusterReport, kept bool) {
	fmt.Fprintf(w, "seed %d: %d nodes, %d kills among the faults, in %s\n", r.Seed, r.Nodes, r.Kills, seconds(r.WallSeconds))
	fmt.Fprintf(w, "taken away %d writes (%d more in part), %d bytes, %d changes of names\n", r.Lost.Writes, r.Lost.Torn, r.Lost.Bytes, r.Lost.Names)
	fmt.Fprintf(w, "operations %d: %d acknowledged, %d read, %d refused, %d unknown; %d were sent again\n",
		r.Operations, r.Acknowledged, r.Read, r.Refused, r.Unknown, r.Repeated)
	printChecks(w, r.Checks)
	t := newTable(w)
	t.AppendHeader(table.Row{"a node was", "times", "a shard without service", "ms: median", "max", "all level again, ms: max"})
	for _, s := range r.Summary {
		level := 0.0
		for _, w := range r.Level {
			if w.Fault == s.Fault {
				level = max(level, w.MS)
			}
		}
		t.AppendRow(table.Row{s.Fault, s.Faults, s.Gaps, fmt.Sprintf("%.0f", s.MedianMS), fmt.Sprintf("%.0f", s.MaxMS), fmt.Sprintf("%.0f", level)})
	}
	t.Render()
	if len(r.Latencies) > 0 {
		t = newTable(w)
		t.AppendHeader(table.Row{"appends of a probe", "changes", "each in, ms", "appends", "ms: median", "p99", "max", "added p99"})
		for _, l := range r.Latencies {
			t.AppendRow(table.Row{l.When, l.Changes, fmt.Sprintf("%.0f", l.Took), l.Appends, fmt.Sprintf("%.1f", l.P50), fmt.Sprintf("%.1f", l.P99),
				fmt.Sprintf("%.1f", l.Max), fmt.Sprintf("%+.1f", l.P99-r.Latencies[0].P99)})
		}
		t.Render()
	}
	printVerdict(w, r.Verdict, r.Checks)
	if kept {
		fmt.Fprintf(w, "  the nodes' directories: %s\n", r.Dir)
	}
}

func (c *drillCommand) workloads() (list []string, err error) {
	for _, name := range c.Workload {
		some, err := workloads.Select(name)
		if err != nil {
			return nil, usage("--workload: %w", err)
		}
		list = append(list, some...)
	}
	return list, nil
}

// program is this one, or one with the planted bug; the drill itself has none.
func (c *drillCommand) program(out string) (string, error) {
	if c.Plant == "" {
		return self()
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	list, err := (&mutantsCommand{Only: []string{c.Plant}, Dir: filepath.Join(root, filepath.FromSlash(mutantDir))}).load()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "planted in the node: %s, %s\n", list[0].ID, list[0].Title)
	if err := mutants.Build(root, &list[0], out); err != nil {
		return "", environment("%w", err)
	}
	return out, nil
}

// printDrill shows a drill on one screen.
func printDrill(w io.Writer, r *drill.Report, kept bool) {
	var moments []string
	for _, name := range drill.Moments() {
		if n := r.Moments[name]; n > 0 {
			moments = append(moments, fmt.Sprintf("%d %s", n, name))
		}
	}
	fmt.Fprintf(w, "seed %d: a node of %d shards, %d clients through mutual TLS, killed %d times in %s\n", r.Seed, r.Shards, r.Clients, r.Kills, seconds(r.WallSeconds))
	fmt.Fprintf(w, "killed at  %s\n", strings.Join(moments, ", "))
	fmt.Fprintf(w, "taken away %d writes (%d more in part), %d bytes, %d changes of names\n", r.Lost.Writes, r.Lost.Torn, r.Lost.Bytes, r.Lost.Names)
	fmt.Fprintf(w, "operations %d: %d acknowledged, %d read, %d refused, %d unknown; %d were sent again\n",
		r.Operations, r.Acknowledged, r.Read, r.Refused, r.Unknown, r.Repeated)
	printChecks(w, r.Checks)
	printStarts(w, r)
	printVerdict(w, r.Verdict, r.Checks)
	if kept {
		fmt.Fprintf(w, "  the nodes' directories: %s\n", r.Dir)
	}
}

// printStarts is the table of recovery times.
func printStarts(w io.Writer, r *drill.Report) {
	t := newTable(w)
	t.AppendHeader(table.Row{"recovery: stage", "journals up to", "starts", "first command, ms: median", "max", "every shard, ms: median", "max"})
	for i := range r.Recovery {
		b := &r.Recovery[i]
		t.AppendRow(table.Row{b.Stage, size(b.UpTo), b.Starts, fmt.Sprintf("%.0f", b.MedianMS), fmt.Sprintf("%.0f", b.MaxMS),
			fmt.Sprintf("%.0f", b.AllMedian), fmt.Sprintf("%.0f", b.AllMax)})
	}
	t.Render()
}

func size(n int64) string {
	if n > 1<<60 {
		return "more"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func printChecks(w io.Writer, list []checkers.Result) {
	t := newTable(w)
	t.AppendHeader(table.Row{"check", "verdict", "examined", "note"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 3, Align: text.AlignRight}, {Number: 4, WidthMax: noteWidth, WidthMaxEnforcer: text.WrapSoft}})
	for _, c := range list {
		note := c.Note
		if c.Verdict == checkers.Fail {
			note = "see below"
		}
		t.AppendRow(table.Row{c.Name, c.Verdict, c.Examined, note})
	}
	t.Render()
}

func printVerdict(w io.Writer, v checkers.Verdict, list []checkers.Result) {
	switch v {
	case checkers.Fail:
		fmt.Fprintln(w, "VIOLATED")
		for _, c := range failedChecks(list) {
			fmt.Fprintf(w, "  %s: %s\n", c.Name, c.Note)
		}
	case checkers.Unknown:
		fmt.Fprintln(w, "UNKNOWN: a checker could not tell; no law is known to be broken")
	default:
		fmt.Fprintln(w, "HOLDS")
	}
}
