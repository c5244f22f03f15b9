package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

type auditCommand struct {
	Seeds    string        `default:"10" placeholder:"N|A-B" help:"Seeds 1 to N, or A to B."`
	Jobs     int           `help:"Processes at once; 0: one per CPU."`
	Duration time.Duration `default:"10s" help:"Virtual time of each run."`
	Workload []string      `default:"all" placeholder:"NAME" help:"What clients do: names, or all."`
	Faults   string        `default:"${faults}" placeholder:"PROFILE" help:"What goes wrong, see sim run --help."`
	Nodes    int           `default:"${nodes}" help:"Servers."`
	Strategy string        `placeholder:"NAME" help:"time, random or pct. Left out, the seed draws one."`
	Clients  int           `default:"${clients}" help:"Clients."`
	Think    time.Duration `default:"${think}" help:"Mean pause of a client between two operations."`
	JSON     bool          `name:"json" help:"One JSON document on standard output."`
}

func (auditCommand) Help() string {
	return `Each seed runs twice, in separate processes with GOMAXPROCS 1 and 2; both must give one trace hash.
If they do not, both run again with a trace, and the first line that differs is printed.

Example:

    actordb sim audit --seeds 20

Exit codes: 0 every seed gave one execution, 2 wrong usage, 3 some seed gave two, 4 the environment failed.`
}

// audited is one seed's result. Lines are of the trace.
type audited struct {
	Seed   uint64    `json:"seed"`
	Hashes [2]string `json:"trace_hashes"`
	Line   int       `json:"line"` // first one that differs; 0: not found when the seed ran again
	Step   string    `json:"step,omitempty"`
	First  string    `json:"first,omitempty"`
	Second string    `json:"second,omitempty"`
	Repeat string    `json:"repeat"`
}

// auditReport is what sim audit --json prints.
type auditReport struct {
	Seeds       int       `json:"seeds"`
	Diverged    []audited `json:"diverged"`
	Steps       uint64    `json:"steps"`
	WallSeconds float64   `json:"wall_seconds"`
}

// Run implements the command.
func (c *auditCommand) Run() error {
	f := &runFlags{Workload: c.Workload, Faults: c.Faults, Nodes: c.Nodes, Duration: c.Duration,
		Strategy: c.Strategy, Clients: c.Clients, Think: c.Think}
	seeds, err := parseSeeds(c.Seeds)
	if err != nil {
		return err
	}
	if c.Jobs, err = jobsOf(c.Jobs); err != nil {
		return err
	}
	if _, err := f.options(seeds.first); err != nil {
		return err
	}
	program, err := self()
	if err != nil {
		return err
	}
	shown := newProgress("audit", seeds.count())
	r, err := audit(program, f, seeds, c.Jobs, shown)
	shown.end()
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(r); err != nil {
			return err
		}
	} else {
		r.print()
	}
	if len(r.Diverged) > 0 {
		return diverged()
	}
	return nil
}

// audit runs every seed twice. Each job keeps two workers, which take turns.
func audit(program string, f *runFlags, seeds seedRange, jobs int, shown *progress) (*auditReport, error) {
	r := &auditReport{Diverged: []audited{}}
	begun := time.Now()
	var mu sync.Mutex // over r, next and failed
	var failed error
	next := seeds.first
	var group sync.WaitGroup
	for range min(uint64(jobs), seeds.count()) {
		group.Go(func() {
			pair := newPair(program, f)
			defer pair.end()
			for {
				mu.Lock()
				seed, stop := next, next > seeds.last || failed != nil
				next++
				mu.Unlock()
				if stop {
					return
				}
				steps, found, err := pair.seed(f, seed)
				mu.Lock()
				r.Seeds++
				r.Steps += steps
				if found != nil {
					r.Diverged = append(r.Diverged, *found)
				}
				failed = cmp.Or(failed, err)
				shown.step(fmt.Sprintf(", %d diverged", len(r.Diverged)))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.SortFunc(r.Diverged, func(a, b audited) int { return cmp.Compare(a.Seed, b.Seed) })
	r.WallSeconds = time.Since(begun).Seconds()
	return r, failed
}

// A pair is two workers with different numbers of processors.
type pair struct {
	program string
	workers [2]*process
}

func pairEnv(i int) []string { return []string{fmt.Sprintf("GOMAXPROCS=%d", i+1)} }

func newPair(program string, f *runFlags) *pair {
	p := &pair{program: program}
	for i := range p.workers {
		p.workers[i] = newProcess(program, f, pairEnv(i))
	}
	return p
}

func (p *pair) end() {
	for _, w := range p.workers {
		_ = w.end() // every answer is in
	}
}

// seed runs a seed in both, and looks closer if they differ.
func (p *pair) seed(f *runFlags, seed uint64) (steps uint64, found *audited, err error) {
	a := audited{Seed: seed}
	for i, w := range p.workers {
		r, err := w.seed(seed, seedLimit)
		if err != nil {
			return 0, nil, err
		}
		if r.TraceHash == "" {
			return 0, nil, environment("seed %d: the worker died: %s", seed, r.Failed[0].Note)
		}
		a.Hashes[i], a.Repeat, steps = r.TraceHash, r.Repeat, r.Steps
	}
	if a.Hashes[0] == a.Hashes[1] {
		return steps, nil, nil
	}
	return steps, &a, p.locate(f, &a)
}

// locate runs a seed twice more, with traces, and finds the first difference.
func (p *pair) locate(f *runFlags, a *audited) error {
	dir, err := os.MkdirTemp("", "actordb-audit-")
	if err != nil {
		return environment("%w", err)
	}
	defer os.RemoveAll(dir)
	var files [2]string
	for i := range p.workers {
		files[i] = filepath.Join(dir, fmt.Sprint(i))
		w := newProcess(p.program, f, pairEnv(i), "--trace", files[i])
		_, err := w.seed(a.Seed, seedLimit)
		_ = w.end() // its trace is written
		if err != nil {
			return err
		}
	}
	first, err := os.Open(files[0])
	if err != nil {
		return environment("%w", err)
	}
	defer first.Close()
	second, err := os.Open(files[1])
	if err != nil {
		return environment("%w", err)
	}
	defer second.Close()
	a.Line, a.First, a.Second, err = firstDifference(first, second)
	if err != nil {
		return environment("%w", err)
	}
	a.Step, _, _ = strings.Cut(a.First, " ")
	return nil
}

// firstDifference returns the number of the first line, from 1, in which two
// traces differ, and both lines; an ended trace has "" there. Equal: 0.
func firstDifference(a, b io.Reader) (line int, first, second string, err error) {
	ra, rb := bufio.NewReaderSize(a, 1<<16), bufio.NewReaderSize(b, 1<<16)
	for line = 1; ; line++ {
		first, err = ra.ReadString('\n')
		endA := errors.Is(err, io.EOF)
		if err != nil && !endA {
			return 0, "", "", err
		}
		second, err = rb.ReadString('\n')
		endB := errors.Is(err, io.EOF)
		if err != nil && !endB {
			return 0, "", "", err
		}
		switch {
		case first != second:
			return line, strings.TrimSuffix(first, "\n"), strings.TrimSuffix(second, "\n"), nil
		case endA || endB:
			return 0, "", "", nil
		}
	}
}

func (r *auditReport) print() {
	w := os.Stdout
	fmt.Fprintf(w, "%d seeds twice, GOMAXPROCS 1 and 2, %d steps each way in %s\n", r.Seeds, r.Steps, seconds(r.WallSeconds))
	if len(r.Diverged) == 0 {
		fmt.Fprintln(w, "DETERMINISTIC: every seed gave one trace hash")
		return
	}
	fmt.Fprintln(w, "NOT DETERMINISTIC")
	for _, a := range r.Diverged {
		fmt.Fprintf(w, "  seed %d: trace hashes %s and %s\n", a.Seed, a.Hashes[0], a.Hashes[1])
		if a.Line == 0 {
			fmt.Fprintln(w, "    run again with traces, both were equal: the difference does not happen every time")
		} else {
			fmt.Fprintf(w, "    first difference in line %d of the trace\n    1: %s\n    2: %s\n", a.Line, a.First, a.Second)
		}
		fmt.Fprintf(w, "    repeat: %s --trace FILE\n", a.Repeat)
	}
}
