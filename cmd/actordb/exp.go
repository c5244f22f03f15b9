package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"encoding/json"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"actordb/experiments"
)

type expCommands struct {
	List expListCommand `cmd:"" help:"List the experiments."`
	Run  expRunCommand  `cmd:"" help:"Run an experiment, or all."`
}

type expListCommand struct {
	JSON bool `name:"json" help:"One JSON document on standard output."`
}

// Run implements the command.
func (c *expListCommand) Run() error {
	type line struct {
		Name  string `json:"name"`
		Claim string `json:"claim"`
		Says  string `json:"says"`
	}
	var lines []line
	for _, x := range experiments.All() {
		lines = append(lines, line{x.Name, x.Claim, x.Says})
	}
	if c.JSON {
		return printJSON(lines)
	}
	for _, l := range lines {
		fmt.Printf("%-14s %-4s %s\n", l.Name, l.Claim, l.Says)
	}
	return nil
}

type expRunCommand struct {
	Name   string `arg:"" help:"An experiment's name, or all."`
	Quick  bool   `help:"A tenth of the work: to see that it works, not to quote."`
	Events int    `placeholder:"N" help:"Of rebuild: how many events it has."`
	Out    string `default:"results" placeholder:"DIR" help:"Where NAME.json and NAME.csv, the raw samples, are written; empty: nowhere."`
	JSON   bool   `name:"json" help:"One JSON document on standard output."`
}

func (expRunCommand) Help() string {
	return `Examples:

    actordb exp run write
    actordb exp run all --quick --out /tmp/results

Each value is the median of its samples with a 95 % bootstrap interval. Measure on a machine that does nothing else.
Exit codes: 0 every target is met, 1 one is not, 4 the machine failed.`
}

// Run implements the command.
func (c *expRunCommand) Run() error {
	list := experiments.All()
	if c.Name != "all" {
		x, err := experiments.Find(c.Name)
		if err != nil {
			return usage("%w", err)
		}
		list = []experiments.Experiment{x}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	missed := false
	var results []*experiments.Result
	for _, x := range list {
		r, err := c.run(ctx, x)
		if err != nil {
			return err
		}
		missed = missed || !r.Pass
		results = append(results, r)
		if !c.JSON {
			printExperiment(r)
		}
	}
	if c.JSON {
		var document any = results
		if c.Name != "all" {
			document = results[0]
		}
		if err := printJSON(document); err != nil {
			return err
		}
	}
	if missed {
		return violated()
	}
	return nil
}

func (c *expRunCommand) run(ctx context.Context, x experiments.Experiment) (r *experiments.Result, err error) {
	dir, err := os.MkdirTemp("", "actordb-exp-")
	if err != nil {
		return nil, environment("%w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	e := &experiments.Env{Part: 1, Dir: dir, Serve: serveChild, ServeMember: serveMember, Events: c.Events,
		Peers:  func() (string, error) { return buildHere(experiments.BuildPeers, dir) },
		DuckDB: func() (string, error) { return buildHere(experiments.BuildDuckDB, dir) },
		Say: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, x.Name+": "+format+"\n", args...)
		}}
	if c.Quick {
		e.Part = 10
	}
	r, err = x.Run(ctx, e)
	if err != nil {
		return nil, environment("%s: %w", x.Name, err)
	}
	r.Machine = experiments.ThisMachine()
	r.Machine.Commit = commit()
	r.Command = "actordb exp run " + x.Name
	if c.Quick {
		r.Command += " --quick"
	}
	if c.Events > 0 {
		r.Command += fmt.Sprintf(" --events %d", c.Events)
	}
	if c.Out != "" {
		if err := save(c.Out, r); err != nil {
			return nil, environment("%w", err)
		}
	}
	return r, nil
}

// serveChild is this program as a server.
func serveChild(dir string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.Command(self, append([]string{"serve", "--dir", dir, "--dev", "--listen", "127.0.0.1:0", "--log", "json"}, args...)...)
}

// serveMember is this program as a cluster's node.
func serveMember(dir string) *exec.Cmd {
	cmd := serveChild(dir)
	cmd.Args = []string{cmd.Args[0], "serve", "--dir", dir, "--log", "json"}
	return cmd
}

// buildHere builds what ActorDB is compared with, if the source tree is here.
func buildHere(build func(root, dir string) (string, error), dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	return build(root, dir)
}

// save writes a result, and its samples as CSV.
func save(dir string, r *experiments.Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	lines := [][]string{{"row", "unit", "sample", "value"}}
	for _, row := range r.Rows {
		for i, v := range row.Samples {
			lines = append(lines, []string{row.Name, row.Unit, strconv.Itoa(i), strconv.FormatFloat(v, 'g', -1, 64)})
		}
	}
	if err := w.WriteAll(lines); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, r.Name+".json"), append(b, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, r.Name+".csv"), text.Bytes(), 0o644))
}

// revision is the commit that the program was built from, if make built it.
var revision string

// commit is that, or else what is checked out here.
func commit() string {
	if revision != "" {
		return revision
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func printExperiment(r *experiments.Result) {
	verdict := "met"
	if !r.Pass {
		verdict = "MISSED"
	}
	fmt.Printf("\n%s (%s): %.6g %s; target %s: %s\n", r.Name, r.Claim, r.Value, r.Unit, r.Target, verdict)
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"", "median", "95 % interval", "n"})
	var wide []experiments.Row
	for _, row := range r.Rows {
		switch {
		case row.N == 0:
			defer fmt.Printf("%s: %s\n", row.Name, row.Note) // it is missing
		case row.Subject != "":
			wide = append(wide, row)
		default:
			t.AppendRow(table.Row{row.Name, fmt.Sprintf("%.5g %s", row.Value, row.Unit), fmt.Sprintf("%.5g to %.5g", row.CI95[0], row.CI95[1]), row.N})
		}
	}
	if t.Length() > 0 {
		fmt.Println(t.Render())
	}
	printWide(wide)
	fmt.Printf("%s, %d cores, %s, %s, commit %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Go, r.Machine.Commit)
}

// printWide shows rows that have subjects: medians, one line for each subject. Those
// that share columns share a table.
func printWide(rows []experiments.Row) {
	first := map[string]int{}
	for i, r := range rows {
		if _, ok := first[r.Subject]; !ok {
			first[r.Subject] = i
		}
	}
	slices.SortStableFunc(rows, func(a, b experiments.Row) int { return first[a.Subject] - first[b.Subject] })
	for len(rows) > 0 {
		columns := []string{}
		for _, r := range rows {
			if r.Subject != rows[0].Subject {
				break
			}
			columns = append(columns, r.Column)
		}
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		t.Style().Format.Header = text.FormatDefault
		head := table.Row{""}
		for i, c := range columns {
			head = append(head, c+"\n"+rows[i].Unit)
		}
		t.AppendHeader(head)
		for len(rows) > 0 {
			n := 0
			line := table.Row{rows[0].Subject}
			for ; n < len(rows) && rows[n].Subject == rows[0].Subject; n++ {
				line = append(line, fmt.Sprintf("%.4g", rows[n].Value))
			}
			if !sameColumns(rows[:n], columns) {
				break
			}
			t.AppendRow(line)
			rows = rows[n:]
		}
		fmt.Println(t.Render())
	}
}

func sameColumns(rows []experiments.Row, columns []string) bool {
	return slices.EqualFunc(rows, columns, func(r experiments.Row, c string) bool { return r.Column == c })
}
