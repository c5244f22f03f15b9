package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// tallyHead names the columns of a tally: a table of sweeps, to which each adds a
// line. What was swept is told whole, so that lines can be summed over commits.
var tallyHead = []string{"commit", "nodes", "replicas", "workloads", "faults", "seconds_each", "first_seed", "last_seed", "seeds", "failed", "unknown",
	"operations", "steps", "cpu_seconds", "sim_seconds"}

// tally adds a sweep to the table in a file.
func tally(path string, f *runFlags, r *sweepReport) (err error) {
	o, err := f.options(r.FirstSeed)
	if err != nil {
		return err
	}
	o = o.WithDefaults()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return environment("--tally: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return environment("--tally: %w", err)
	}
	w := csv.NewWriter(file)
	if info.Size() == 0 {
		if err := w.Write(tallyHead); err != nil {
			return environment("--tally: %w", err)
		}
	}
	line := []string{commit(), strconv.Itoa(o.Nodes), strconv.Itoa(o.Replicas), strings.Join(f.Workload, " "), o.Faults, fmt.Sprintf("%g", o.Duration.Seconds()),
		fmt.Sprint(r.FirstSeed), fmt.Sprint(r.LastSeed), strconv.Itoa(r.Seeds), strconv.Itoa(len(r.Failed)), strconv.Itoa(r.Unknown),
		strconv.Itoa(r.Operations), fmt.Sprint(r.Steps), fmt.Sprintf("%.1f", r.CPUSeconds), fmt.Sprintf("%.1f", r.SimSeconds)}
	if err := w.Write(line); err != nil {
		return environment("--tally: %w", err)
	}
	if w.Flush(); w.Error() != nil {
		return environment("--tally: %w", w.Error())
	}
	return nil
}
