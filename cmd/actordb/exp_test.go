package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"actordb/experiments"
)

// Rows with subjects become tables, one line for each subject, whatever came first.
func TestPrintWide(t *testing.T) {
	row := func(subject, column string, v float64) experiments.Row {
		return experiments.Row{Subject: subject, Column: column, Value: v, Unit: "1/s", N: 1}
	}
	said := printed(t, func() {
		printWide([]experiments.Row{row("b", "rate", 1), row("a", "rate", 2), row("a", "p50", 3), row("b", "p50", 4), row("c", "ratio", 5), row("d", "ratio", 6)})
	})
	var lines []string
	for line := range strings.Lines(said) {
		if f := strings.Fields(strings.NewReplacer("│", " ", "─", "", "┌", "", "┬", "", "┐", "", "├", "", "┼", "", "┤", "", "└", "", "┴", "", "┘", "").Replace(line)); len(f) > 0 {
			lines = append(lines, strings.Join(f, " "))
		}
	}
	if got, want := strings.Join(lines, "|"), "rate p50|1/s 1/s|b 1 4|a 2 3|ratio|1/s|c 5|d 6"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// printed is what f writes to standard output, which must fit into a pipe.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stdout
	os.Stdout = w
	f()
	os.Stdout = was
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
