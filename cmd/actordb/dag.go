package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"

	"actordb"
	"actordb/core/control"
)

type dagCommands struct {
	Check     dagCheckCommand     `cmd:"" help:"Is a process network sound? In which order does it start?"`
	Draw      dagDrawCommand      `cmd:"" help:"Draw a process network."`
	Print     dagPrintCommand     `cmd:"" help:"Print the program's own dag.jsonnet: a start for another."`
	Manifests dagManifestsCommand `cmd:"" help:"Print the Kubernetes objects of a cluster that runs it."`
}

type dagCheckCommand struct {
	File   string `arg:"" optional:"" default:"dag.jsonnet" help:"Process network; if there is no such file and none was named, the program's own."`
	Limits bool   `help:"Show every limit, with its bounds."`
	JSON   bool   `name:"json" help:"One JSON document on standard output."`
}

func (dagCheckCommand) Help() string {
	return `Examples:

    actordb dag check
    actordb dag check deploy/dag.jsonnet --limits

Each process has a hash over what it is and over those of what it needs: two networks differ from where their hashes differ on up.
Exit codes: 0 sound, 2 not: every problem with its place.`
}

// dagReport is the JSON of dag check.
type dagReport struct {
	Hash      string       `json:"hash"`
	Processes []dagProcess `json:"processes"` // in the order in which they start
	Limits    []dagLimit   `json:"limits,omitempty"`
	network   *control.Network
}

type dagProcess struct {
	Name    string           `json:"name"`
	Kind    string           `json:"kind"`
	Backend string           `json:"backend,omitempty"`
	URL     string           `json:"url,omitempty"`
	Count   int              `json:"count"`
	Needs   []string         `json:"needs"`
	Limits  map[string]int64 `json:"limits,omitempty"`
	Hash    string           `json:"hash"`
}

type dagLimit struct {
	Process string `json:"process"`
	Name    string `json:"name"`
	Value   int64  `json:"value"`
	Min     int64  `json:"min"`
	Max     int64  `json:"max"`
	Unit    string `json:"unit"`
	Says    string `json:"says"`
}

// Run implements the command.
func (c *dagCheckCommand) Run() error {
	n, err := loadNetwork(c.File)
	if err != nil {
		return err
	}
	r := dagReport{Hash: fmt.Sprintf("%x", n.Hash), network: n}
	for _, p := range n.Processes {
		r.Processes = append(r.Processes, dagProcess{Name: p.Name, Kind: string(p.Kind), Backend: p.Backend, URL: p.URL, Count: p.Count,
			Needs: append([]string{}, p.Needs...), Limits: p.Limits, Hash: fmt.Sprintf("%x", p.Hash)})
		for _, l := range control.Limits(p.Kind) {
			if c.Limits {
				r.Limits = append(r.Limits, dagLimit{p.Name, l.Name, p.Limits[l.Name], l.Min, l.Max, l.Unit, l.Says})
			}
		}
	}
	if c.JSON {
		return printJSON(r)
	}
	r.print()
	return nil
}

func (r *dagReport) print() {
	fmt.Printf("sound: %d processes, network %s; they start in this order:\n\n%s", len(r.Processes), r.network.Hash, r.network.Text())
	if len(r.Limits) == 0 {
		return
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"process", "limit", "value", "from", "to", "unit", ""})
	for _, l := range r.Limits {
		t.AppendRow(table.Row{l.Process, l.Name, l.Value, l.Min, l.Max, l.Unit, l.Says})
	}
	fmt.Printf("\n%s\n", t.Render())
}

type dagDrawCommand struct {
	File   string `arg:"" optional:"" default:"dag.jsonnet" help:"Process network; if there is no such file and none was named, the program's own."`
	Format string `default:"svg" enum:"svg,dot,text" help:"svg, dot (Graphviz) or text."`
	Out    string `short:"o" default:"-" placeholder:"FILE" help:"Where to write it; - is standard output."`
}

func (dagDrawCommand) Help() string {
	return `Examples:

    actordb dag draw -o network.svg
    actordb dag draw --format dot deploy/dag.jsonnet | dot -Tpng -o network.png`
}

// Run implements the command.
func (c *dagDrawCommand) Run() error {
	n, err := loadNetwork(c.File)
	if err != nil {
		return err
	}
	picture := map[string]func() string{"svg": n.SVG, "dot": n.DOT, "text": n.Text}[c.Format]()
	if c.Out == "-" {
		fmt.Print(picture)
		return nil
	}
	if err := os.WriteFile(c.Out, []byte(picture), 0o644); err != nil {
		return environment("%w", err)
	}
	return nil
}

type dagPrintCommand struct{}

// Run implements the command.
func (dagPrintCommand) Run() error {
	fmt.Print(actordb.NetworkSource())
	return nil
}

// loadNetwork reads a process network and what it imports.
func loadNetwork(file string) (*control.Network, error) {
	source, err := readSource(file)
	if errors.Is(err, os.ErrNotExist) && file == "dag.jsonnet" {
		return actordb.Network()
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	n, err := control.Load(file, source, func(name string) (string, error) {
		return readSource(filepath.Join(filepath.Dir(file), filepath.FromSlash(name)))
	})
	if err != nil {
		return nil, usage("%w", err)
	}
	return n, nil
}

func readSource(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", fmt.Errorf("%s is a folder: want a file such as dag.jsonnet", path)
	case info.Size() > control.SourceBytesMax:
		return "", fmt.Errorf("%s: %d bytes, the limit is %d", path, info.Size(), control.SourceBytesMax)
	}
	b, err := os.ReadFile(path)
	return string(b), err
}
