package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A tally has its head once and a line for each sweep.
func TestTally(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sweeps.csv")
	f := &runFlags{Workload: []string{"all"}, Faults: "swarm", Nodes: 3, Duration: 20 * time.Second, Clients: 40, Think: time.Millisecond}
	for i := range 2 {
		r := &sweepReport{Seeds: 10 + i, FirstSeed: 1, LastSeed: 10, Steps: 99, CPUSeconds: 1.25, Failed: make([]failedSeed, i)}
		if err := tally(path, f, r); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) != 3 || !slices.Equal(rows[0], tallyHead) {
		t.Fatalf("%v %q", err, rows)
	}
	if want := []string{"3", "3", "all", "swarm", "20", "1", "10", "11", "1"}; !slices.Equal(rows[2][1:10], want) {
		t.Errorf("%q, want %q after the commit", rows[2], want)
	}
	if err := tally(t.TempDir(), f, &sweepReport{}); err == nil {
		t.Error("a directory was taken for a table")
	}
}
