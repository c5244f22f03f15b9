package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"actordb/checkers"
	"actordb/experiments/mutants"

	"github.com/alecthomas/kong"
	"github.com/jedib0t/go-pretty/v6/table"
)

type mutantsCommand struct {
	Only  []string `placeholder:"ID" help:"Just these."`
	Seeds string   `default:"100" help:"Seeds to try before a mutant counts as alive: N, from 1, or A-B."`
	Jobs  int      `help:"Mutants at once; 0: one per CPU."`
	Dir   string   `placeholder:"DIR" help:"Mutants to plant; left out: experiments/mutants of the source tree around the working directory."`
	JSON  bool     `name:"json" help:"One JSON document on standard output."`
}

func (mutantsCommand) Help() string {
	return `Builds each mutant with go build -overlay, runs seeds until a checker that is meant to catch it does, and runs the clean build on the same seeds.
A mutant is killed only by an intended checker. What else failed (another checker, an assertion, a process that died) is told apart.
Needs the source tree and the go command.

Example:

    actordb sim mutants --only ZD1,ZD3

Exit codes: 0 all are killed and the clean build holds, 1 not so, 2 wrong usage, 4 the environment failed.`
}

const (
	mutantSeedLimit = 2 * time.Minute // of wall time: a mutant may never end
	mutantSeedsMax  = 100_000
	mutantDir       = "experiments/mutants"
)

// mutantResult is one row of sim mutants --json.
type mutantResult struct {
	ID          string            `json:"id"`
	Title       string            `json:"title"`
	Killed      bool              `json:"killed"`
	By          string            `json:"by"` // the check that failed: an intended one if killed
	Intended    []string          `json:"intended"`
	SeedsToKill uint64            `json:"seeds_to_kill"` // 0: alive
	CPUSeconds  float64           `json:"cpu_seconds"`   // of the runs
	Other       map[string]uint64 `json:"other"`         // checks not intended, with the first seed that they failed on
	Note        string            `json:"note"`          // what the check said
	Repeat      string            `json:"repeat"`        // with the mutant planted
	SeedsRun    uint64            `json:"seeds_run"`

	flags *runFlags
}

// mutantsReport is what sim mutants --json prints.
type mutantsReport struct {
	Mutants          []mutantResult `json:"mutants"`
	Killed           int            `json:"killed"`
	Total            int            `json:"total"`
	CleanSeedsPassed int            `json:"clean_seeds_passed"`
	CleanSeeds       int            `json:"clean_seeds"`
	CleanFailed      []failedSeed   `json:"clean_failed"`
	MedianSeeds      float64        `json:"median_seeds_to_kill"`
	CPUSeconds       float64        `json:"cpu_seconds"`
	WallSeconds      float64        `json:"wall_seconds"`
}

// Run implements the command.
func (c *mutantsCommand) Run() error {
	jobs, err := jobsOf(c.Jobs)
	if err != nil {
		return err
	}
	seeds, err := parseSeeds(c.Seeds)
	if err != nil {
		return err
	}
	if seeds.count() > mutantSeedsMax {
		return usage("--seeds %s: %d seeds, want at most %d", c.Seeds, seeds.count(), mutantSeedsMax)
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if c.Dir == "" {
		c.Dir = filepath.Join(root, filepath.FromSlash(mutantDir))
	}
	list, err := c.load()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "actordb-mutants-")
	if err != nil {
		return environment("%w", err)
	}
	defer os.RemoveAll(scratch)
	l := &laboratory{root: root, scratch: scratch, seeds: seeds, jobs: jobs}
	r, err := l.examine(list)
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
	if r.Killed < r.Total || len(r.CleanFailed) > 0 {
		return violated()
	}
	return nil
}

// load reads the mutants that were asked for.
func (c *mutantsCommand) load() ([]mutants.Mutant, error) {
	all, err := mutants.Load(c.Dir)
	if err != nil {
		return nil, usage("%w", err)
	}
	if len(all) == 0 {
		return nil, usage("--dir %s: no *.txtar there", c.Dir)
	}
	if len(c.Only) == 0 {
		return all, nil
	}
	var list []mutants.Mutant
	for _, id := range c.Only {
		i := slices.IndexFunc(all, func(m mutants.Mutant) bool { return m.ID == id })
		if i < 0 {
			var ids []string
			for _, m := range all {
				ids = append(ids, m.ID)
			}
			return nil, usage("--only %s: no such mutant; there are %s", id, strings.Join(ids, ", "))
		}
		list = append(list, all[i])
	}
	return list, nil
}

// moduleRoot finds the source tree around the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", environment("%w", err)
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module actordb\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", usage("sim mutants needs the source tree of actordb: run it inside a checkout")
		}
		dir = parent
	}
}

// mutantFlags reads a mutant's args as sim run would.
func mutantFlags(m *mutants.Mutant) (*runFlags, error) {
	var f runFlags
	parser, err := kong.New(&f, kong.Name("args"), defaults(), kong.Exit(func(int) {}))
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(m.Args); err != nil {
		return nil, usage("%s: args: %w", m.Path, err)
	}
	if _, err := f.options(1); err != nil {
		return nil, usage("%s: args: %w", m.Path, err)
	}
	return &f, nil
}

// laboratory examines mutants.
type laboratory struct {
	root, scratch string
	seeds         seedRange
	jobs          int
	shown         *progress
}

func (l *laboratory) examine(list []mutants.Mutant) (*mutantsReport, error) {
	r := &mutantsReport{Mutants: make([]mutantResult, len(list)), Total: len(list), CleanFailed: []failedSeed{}}
	begun := time.Now()
	for i := range list { // before anything takes time
		if _, err := mutantFlags(&list[i]); err != nil {
			return nil, err
		}
		if _, err := list[i].Files(l.root); err != nil {
			return nil, usage("%w", err)
		}
	}
	clean := filepath.Join(l.scratch, "clean")
	if err := mutants.Build(l.root, nil, clean); err != nil {
		return nil, environment("%w", err)
	}
	l.shown = newProgress("mutants", uint64(len(list)))
	err := l.parallel(len(list), func(i int) error {
		m := &list[i]
		got, err := l.hunt(m)
		if err != nil {
			return err
		}
		r.Mutants[i] = *got
		return nil
	})
	l.shown.end()
	if err != nil {
		return nil, err
	}
	if err := l.hold(clean, r); err != nil {
		return nil, err
	}
	r.count()
	r.WallSeconds = time.Since(begun).Seconds()
	return r, nil
}

// parallel calls f for 0 to n-1 and returns the first error.
func (l *laboratory) parallel(n int, f func(i int) error) error {
	var mu sync.Mutex // over next and failed
	var failed error
	next := 0
	var group sync.WaitGroup
	for range min(l.jobs, n) {
		group.Go(func() {
			for {
				mu.Lock()
				i, stop := next, next >= n || failed != nil
				next++
				mu.Unlock()
				if stop {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					failed = cmp.Or(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return failed
}

// hunt builds a mutant and runs seeds until an intended checker fails.
func (l *laboratory) hunt(m *mutants.Mutant) (*mutantResult, error) {
	f, err := mutantFlags(m)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(l.scratch, "mutant-"+m.ID)
	if err := mutants.Build(l.root, m, program); err != nil {
		return nil, environment("%w", err)
	}
	defer os.Remove(program)
	r := &mutantResult{ID: m.ID, Title: m.Title, Intended: m.Intended, Other: map[string]uint64{}, flags: f}
	p := newProcess(program, f, nil)
	for seed := l.seeds.first; seed <= l.seeds.last && !r.Killed; seed++ {
		got, err := p.seed(seed, mutantSeedLimit)
		if err != nil {
			return nil, err
		}
		r.SeedsRun = seed - l.seeds.first + 1
		r.judge(m, f, got)
	}
	_ = p.end() // every answer is in
	r.CPUSeconds = p.cpu.Seconds()
	line := fmt.Sprintf("%s alive after %d seeds", m.ID, r.SeedsRun)
	if r.Killed {
		line = fmt.Sprintf("%s killed by %s with seed %d", m.ID, r.By, l.seeds.first+r.SeedsToKill-1)
	}
	l.shown.say(line)
	l.shown.step("")
	return r, nil
}

// judge looks at one run of a mutant.
func (r *mutantResult) judge(m *mutants.Mutant, f *runFlags, got *seedResult) {
	if got.Verdict != checkers.Fail {
		return
	}
	for _, c := range got.Failed {
		if m.IntendedFor(c.Name) {
			r.Killed, r.By, r.Note, r.SeedsToKill = true, c.Name, c.Note, r.SeedsRun
			break
		}
	}
	for _, c := range got.Failed {
		if m.IntendedFor(c.Name) {
			continue
		}
		if _, known := r.Other[c.Name]; !known {
			r.Other[c.Name] = got.Seed
		}
		if r.By == "" {
			r.By, r.Note = c.Name, c.Note
		}
	}
	if o, err := f.options(got.Seed); err == nil && (r.Killed || r.Repeat == "") {
		r.Repeat = o.Repeat()
	}
}

// hold runs the clean build on the seeds that the mutants met.
func (l *laboratory) hold(clean string, r *mutantsReport) error {
	most := map[string]uint64{} // by flags
	flags := map[string]*runFlags{}
	for i := range r.Mutants {
		m := &r.Mutants[i]
		o, err := m.flags.options(0)
		if err != nil {
			return err
		}
		key := o.Repeat()
		most[key], flags[key] = max(most[key], m.SeedsRun), m.flags
	}
	type task struct {
		f           *runFlags
		first, last uint64
	}
	var tasks []task
	const chunk = 10 // seeds of one task
	for _, key := range sortedKeys(most) {
		last := l.seeds.first + most[key] - 1
		for first := l.seeds.first; first <= last; first += chunk {
			tasks = append(tasks, task{flags[key], first, min(first+chunk-1, last)})
		}
	}
	l.shown = newProgress("clean build", uint64(len(tasks)))
	defer l.shown.end()
	var mu sync.Mutex // over r
	return l.parallel(len(tasks), func(i int) error {
		t := tasks[i]
		p := newProcess(clean, t.f, nil)
		defer p.end()
		for seed := t.first; seed <= t.last; seed++ {
			got, err := p.seed(seed, mutantSeedLimit)
			if err != nil {
				return err
			}
			mu.Lock()
			r.CleanSeeds++
			if got.Verdict == checkers.Fail {
				r.CleanFailed = append(r.CleanFailed, failedSeed{Seed: seed, Check: got.Failed[0].Name,
					Note: got.Failed[0].Note, Repeat: got.Repeat})
			} else {
				r.CleanSeedsPassed++
			}
			mu.Unlock()
		}
		l.shown.step("")
		return nil
	})
}

func (r *mutantsReport) count() {
	var seeds []uint64
	for i := range r.Mutants {
		m := &r.Mutants[i]
		r.CPUSeconds += m.CPUSeconds
		if m.Killed {
			r.Killed++
			seeds = append(seeds, m.SeedsToKill)
		}
	}
	slices.Sort(seeds)
	if n := len(seeds); n > 0 {
		r.MedianSeeds = float64(seeds[(n-1)/2]+seeds[n/2]) / 2
	}
	slices.SortFunc(r.CleanFailed, func(a, b failedSeed) int {
		return cmp.Or(cmp.Compare(a.Seed, b.Seed), strings.Compare(a.Repeat, b.Repeat))
	})
}

func (r *mutantsReport) print() {
	w := os.Stdout
	t := newTable(w)
	t.AppendHeader(table.Row{"mutant", "bug", "intended", "killed by", "seeds", "CPU", "also failed"})
	for i := range r.Mutants {
		m := &r.Mutants[i]
		by, seeds := "alive", any("")
		if m.Killed {
			by, seeds = m.By, m.SeedsToKill
		}
		var other []string
		for _, name := range sortedKeys(m.Other) {
			other = append(other, fmt.Sprintf("%s (seed %d)", name, m.Other[name]))
		}
		t.AppendRow(table.Row{m.ID, m.Title, strings.Join(m.Intended, ","), by, seeds,
			seconds(m.CPUSeconds), strings.Join(other, ", ")})
	}
	t.Render()
	fmt.Fprintf(w, "%d of %d killed, median %.1f seeds; the clean build passed %d of %d seeds; CPU %s, wall %s\n", r.Killed, r.Total,
		r.MedianSeeds, r.CleanSeedsPassed, r.CleanSeeds, seconds(r.CPUSeconds), seconds(r.WallSeconds))
	for i := range r.Mutants {
		if m := &r.Mutants[i]; m.By != "" {
			fmt.Fprintf(w, "  %s: %s: %s\n", m.ID, m.By, clip(m.Note, noteMax))
		}
	}
	for _, f := range r.CleanFailed {
		fmt.Fprintf(w, "  clean build, seed %d: %s: %s\n    repeat: %s\n", f.Seed, f.Check, f.Note, f.Repeat)
	}
}

const noteMax = 200 // letters of a note where there are many

func clip(note string, most int) string {
	letters := []rune(note)
	if len(letters) <= most {
		return note
	}
	return string(letters[:most]) + "…"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
