// Package experiments measures what the paper claims, one file per table or
// criterion. An experiment repeats its measurement, gives the median and its 95 %
// confidence interval (percentile bootstrap), and says what it was asked to show.
//
// What it compares with, databases and actor libraries, is a module of its own:
// experiments/peers.
package experiments

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"actordb/core"
)

// A Result is what an experiment found. Its value is the one that the claim is
// about; rows hold the rest.
type Result struct {
	Name    string     `json:"name"`
	Claim   string     `json:"claim"`
	Value   float64    `json:"value"`
	Unit    string     `json:"unit"`
	CI95    [2]float64 `json:"ci95"`
	N       int        `json:"n"`
	Pass    bool       `json:"pass"`
	Target  string     `json:"target"`
	Machine Machine    `json:"machine"`
	Command string     `json:"command"`
	Rows    []Row      `json:"rows"`
}

// A Row is one quantity: the median of N samples.
type Row struct {
	Name    string     `json:"name"`
	Value   float64    `json:"value"`
	Unit    string     `json:"unit"`
	CI95    [2]float64 `json:"ci95"`
	N       int        `json:"n"`
	Samples []float64  `json:"samples"`
	Note    string     `json:"note,omitempty"`
	// Subject and Column are the parts of a name that stands in a table of many.
	Subject string `json:"subject,omitempty"`
	Column  string `json:"column,omitempty"`
}

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	OS     string `json:"os"`
	Go     string `json:"go"`
	Commit string `json:"commit"`
}

// An Experiment is one table, figure or criterion.
type Experiment struct {
	Name  string
	Claim string // of the paper or of the checklist
	Says  string // in a line
	run   func(context.Context, *Env) (*Result, error)
}

// Run measures.
func (x Experiment) Run(ctx context.Context, e *Env) (*Result, error) {
	e.experiment = x
	return x.run(ctx, e)
}

// Env is what an experiment runs in.
type Env struct {
	Part int // of the work: 1 for all, 10 for a tenth, to see that it works
	// Events of an experiment whose size can be chosen; 0: its own.
	Events int
	Dir    string // for data; it is emptied by the caller
	Say    func(format string, args ...any)
	// Serve makes the command that serves a directory (actordb serve) with these
	// arguments more, on any port.
	Serve func(dir string, args ...string) *exec.Cmd
	// ServeMember makes the one that serves the directory of a cluster's node, where
	// its cluster has it.
	ServeMember func(dir string) *exec.Cmd
	// Peers builds the program of experiments/peers; nil: it cannot be had.
	Peers func() (program string, err error)
	// DuckDB builds that of experiments/duckdb.
	DuckDB func() (program string, err error)

	experiment Experiment
	dirs       int
	built
}

// fresh makes a directory of its own for a part of the experiment.
func (e *Env) fresh() string {
	e.dirs++
	dir := filepath.Join(e.Dir, fmt.Sprint(e.dirs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(core.Bug(err.Error()))
	}
	return dir
}

// scale is n, or the part of it that is wanted.
func (e *Env) scale(n int) int { return max(n/max(e.Part, 1), 100) }

// trial reports whether this is to see that the experiment works, no more.
func (e *Env) trial() bool { return e.Part >= 1000 }

// rounds is n, or one.
func (e *Env) rounds(n int) int {
	if e.trial() {
		return 1
	}
	return n
}

// All lists the experiments.
func All() []Experiment {
	return []Experiment{writes, reads, endToEnd, idleActors, hydration, messages, throughput, sustained, replication, queryLatency, rebuild, changes, nexmarkQueries, lateEvents, promotion}
}

// Find returns an experiment by its name.
func Find(name string) (Experiment, error) {
	var names []string
	for _, x := range All() {
		if x.Name == name {
			return x, nil
		}
		names = append(names, x.Name)
	}
	return Experiment{}, fmt.Errorf("no experiment %q; there are %s", name, strings.Join(names, ", "))
}

// row makes a row of samples.
func row(name, unit string, samples []float64) Row {
	return Row{Name: name, Value: median(samples), Unit: unit, CI95: interval(samples), N: len(samples), Samples: samples}
}

// about makes a result of the row that its claim is about.
func (e *Env) about(r Row, pass bool, target string, rows ...Row) *Result {
	x := e.experiment
	return &Result{Name: x.Name, Claim: x.Claim, Value: r.Value, Unit: r.Unit, CI95: r.CI95, N: r.N, Pass: pass, Target: target,
		Rows: append([]Row{r}, rows...)}
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	if len(s)%2 == 0 {
		return (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	return s[len(s)/2]
}

// resamples of a bootstrap.
const resamples = 2000

// interval is the 95 % confidence interval of the median: the 2.5 and 97.5 %
// quantiles of the medians of resamples (Efron and Tibshirani, An Introduction to
// the Bootstrap, 1993, chapter 13). The draws are the same each time.
func interval(samples []float64) [2]float64 {
	r := rand.New(rand.NewPCG(1, uint64(len(samples))))
	medians := make([]float64, resamples)
	again := make([]float64, len(samples))
	for i := range medians {
		for k := range again {
			again[k] = samples[r.IntN(len(samples))]
		}
		medians[i] = median(again)
	}
	slices.Sort(medians)
	return [2]float64{stat.Quantile(0.025, stat.Empirical, medians, nil), stat.Quantile(0.975, stat.Empirical, medians, nil)}
}

// ThisMachine describes the machine. Commit is the caller's to fill in.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	m.CPU = field("/proc/cpuinfo", "model name")
	m.Memory = field("/proc/meminfo", "MemTotal")
	return m
}

// field is the value of the first line of a file that begins with a name.
func field(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
