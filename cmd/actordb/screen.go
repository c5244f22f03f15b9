package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"actordb/checkers"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// isWide tells whether the file is a terminal that lines can be edited on: some say that they have no columns.
func isWide(f *os.File) bool {
	columns, _, err := term.GetSize(int(f.Fd()))
	return err == nil && columns > 0
}

const (
	lineWidth = 110
	noteWidth = 72
)

func newTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Options.SeparateRows = false
	t.Style().Format.Header = text.FormatDefault
	return t
}

// printReport shows a run on one screen.
func printReport(w io.Writer, r *outcome) {
	fmt.Fprintf(w, "seed %d: %s\n", r.Seed, r.Scenario)
	fmt.Fprintf(w, "workloads %s\n", strings.Join(r.Workloads, ", "))
	printFaults(w, r.Faults)
	t := newTable(w)
	t.AppendHeader(table.Row{"check", "verdict", "examined", "note"})
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 3, Align: text.AlignRight},
		{Number: 4, WidthMax: noteWidth, WidthMaxEnforcer: text.WrapSoft}})
	for i := range r.Checks {
		c := &r.Checks[i]
		note := c.Note
		if c.Verdict == checkers.Fail {
			note = "see below"
		}
		t.AppendRow(table.Row{c.Name, c.Verdict, c.Examined, note})
	}
	t.Render()
	fmt.Fprintf(w, "%d operations, %d steps, %s of virtual time in %s, %.0f times real time\n", r.Operations, r.Steps,
		seconds(r.SimSeconds), seconds(r.Wall), r.SimSeconds/max(r.Wall, 1e-9))
	fmt.Fprintf(w, "trace hash %s\n", r.TraceHash)
	switch r.Verdict {
	case checkers.Fail:
		fmt.Fprintln(w, "VIOLATED")
		for _, c := range failedChecks(r.Checks) {
			fmt.Fprintf(w, "  %s: %s\n", c.Name, c.Note)
		}
		fmt.Fprintf(w, "  repeat:  %s\n", r.Repeat)
	case checkers.Unknown:
		fmt.Fprintln(w, "UNKNOWN: a checker could not tell; no law is known to be broken")
	default:
		fmt.Fprintln(w, "HOLDS")
	}
	if r.Saved != "" {
		fmt.Fprintf(w, "  replay:  actordb sim replay %s\n", r.Saved)
	}
	if r.Picture != "" {
		fmt.Fprintf(w, "  picture: %s\n", r.Picture)
	}
}

func printFaults(w io.Writer, faults map[string]uint64) {
	if len(faults) == 0 {
		fmt.Fprintln(w, "faults: none happened")
		return
	}
	var list []string
	for _, site := range slices.Sorted(maps.Keys(faults)) {
		list = append(list, fmt.Sprintf("%s %d", site, faults[site]))
	}
	line := "faults:"
	for i, f := range list {
		if i < len(list)-1 {
			f += ","
		}
		if len(line)+1+len(f) > lineWidth {
			fmt.Fprintln(w, line)
			line = "       "
		}
		line += " " + f
	}
	fmt.Fprintln(w, line)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}
