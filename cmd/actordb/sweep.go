package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"actordb/checkers"
	"actordb/internal/testbed"
)

type sweepCommand struct {
	Seeds    string        `placeholder:"N|A-B" help:"Seeds 1 to N, or A to B. Without it and without --budget: 100."`
	Budget   time.Duration `help:"Begin no further seed after this time."`
	Jobs     int           `help:"Processes at once; 0: one per CPU."`
	runFlags `embed:""`
	Tally    string `placeholder:"FILE" help:"Add a line about the sweep to this table (CSV): commit, what was swept, seeds, failures, CPU seconds."`
	JSON     bool   `name:"json" help:"One JSON document on standard output."`
}

func (sweepCommand) Help() string {
	return `Example:

    actordb sim sweep --budget 60s
    actordb sim sweep --seeds 1000-1999 --faults power_loss,lost_unsynced --duration 10s

Each failing seed is printed with the command that repeats it, and its scenario is saved to ` + scenarioDir + `.
The sweep ends early after ` + fmt.Sprint(failuresMax) + ` failing seeds. Seeds whose verdict is unknown are counted apart and do not fail it.
Exit codes: 0 every seed holds, 1 some seed does not, 2 wrong usage, 4 the environment failed.`
}

const (
	seedsDefault = "100"
	failuresMax  = 20
	seedLimit    = 10 * time.Minute // of wall time; a run of a minute takes seconds
	jobsMax      = 1024
)

type failedSeed struct {
	Seed   uint64 `json:"seed"`
	Check  string `json:"check"`
	Repeat string `json:"repeat"`
	Note   string `json:"note"`
	Saved  string `json:"saved,omitempty"`
}

// sweepReport is what sim sweep --json prints.
type sweepReport struct {
	Seeds                  int               `json:"seeds"`
	Failed                 []failedSeed      `json:"failed"`
	Unknown                int               `json:"unknown"`
	SeedsPerMinute         float64           `json:"seeds_per_minute"`
	SimPerWall             float64           `json:"sim_per_wall"`
	Steps                  uint64            `json:"steps"`
	CPUSeconds             float64           `json:"cpu_seconds"`
	Reached                map[string]uint64 `json:"reached"`
	NeverReached           []string          `json:"never_reached"`
	Explained              map[string]string `json:"explained"`
	Operations             int               `json:"operations"`
	OperationsPerSimSecond float64           `json:"operations_per_sim_second"`
	StepsPerCPUSecond      float64           `json:"steps_per_cpu_second"`
	CheckedPerCPUSecond    float64           `json:"checked_per_cpu_second"` // things that checkers examined
	WallSeconds            float64           `json:"wall_seconds"`
	SimSeconds             float64           `json:"sim_seconds"`
	Jobs                   int               `json:"jobs"`
	FirstSeed              uint64            `json:"first_seed"`
	LastSeed               uint64            `json:"last_seed"`

	examined int
	cpu      time.Duration
}

// Run implements the command.
func (c *sweepCommand) Run() error {
	seeds, err := c.plan()
	if err != nil {
		return err
	}
	if _, err := c.options(seeds.first); err != nil {
		return err
	}
	program, err := self()
	if err != nil {
		return err
	}
	total := uint64(0)
	if !seeds.endless {
		total = seeds.count()
	}
	shown := newProgress("sweep", total)
	r, err := sweep(program, &c.runFlags, seeds, c.Budget, c.Jobs, shown)
	shown.end()
	if err != nil {
		return err
	}
	if c.Tally != "" {
		if err := tally(c.Tally, &c.runFlags, r); err != nil {
			return err
		}
	}
	if c.JSON {
		if err := printJSON(r); err != nil {
			return err
		}
	} else {
		r.print()
	}
	if len(r.Failed) > 0 {
		return violated()
	}
	return nil
}

// plan checks the flags of the sweep itself.
func (c *sweepCommand) plan() (seedRange, error) {
	jobs, err := jobsOf(c.Jobs)
	if err != nil {
		return seedRange{}, err
	}
	c.Jobs = jobs
	switch {
	case c.Budget < 0:
		return seedRange{}, usage("--budget %v: want a positive time", c.Budget)
	case c.Seeds == "" && c.Budget > 0:
		return seedRange{first: 1, endless: true}, nil
	case c.Seeds == "":
		c.Seeds = seedsDefault
	}
	return parseSeeds(c.Seeds)
}

func jobsOf(n int) (int, error) {
	if n < 0 || n > jobsMax {
		return 0, usage("--jobs %d: want 1 to %d, or 0 for one per CPU", n, jobsMax)
	}
	return cmp.Or(n, runtime.NumCPU()), nil
}

// sweep runs the seeds, jobs at a time.
func sweep(program string, f *runFlags, seeds seedRange, budget time.Duration, jobs int, shown *progress) (*sweepReport, error) {
	r := &sweepReport{Failed: []failedSeed{}, Reached: map[string]uint64{}, Jobs: jobs}
	begun := time.Now()
	var mu sync.Mutex // over r, next and failed
	var failed error
	next := seeds.first
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		over := !seeds.endless && next > seeds.last || budget > 0 && time.Since(begun) >= budget
		if over || failed != nil || len(r.Failed) >= failuresMax {
			return 0, false
		}
		next++
		return next - 1, true
	}
	var group sync.WaitGroup
	for range jobs {
		group.Go(func() {
			p := newProcess(program, f, nil, "--scenarios", scenarioDir)
			for {
				seed, ok := take()
				if !ok {
					break
				}
				got, err := p.seed(seed, seedLimit)
				mu.Lock()
				if err != nil && failed == nil {
					failed = err
				}
				if err == nil {
					r.add(f, got, shown)
				}
				mu.Unlock()
			}
			_ = p.end() // every answer is in
			mu.Lock()
			r.cpu += p.cpu
			mu.Unlock()
		})
	}
	group.Wait()
	if failed != nil {
		return nil, failed
	}
	r.finish(time.Since(begun))
	return r, nil
}

// add counts one seed.
func (r *sweepReport) add(f *runFlags, got *seedResult, shown *progress) {
	r.Seeds++
	r.Steps += got.Steps
	r.Operations += got.Operations
	r.SimSeconds += got.SimSeconds
	r.examined += got.Examined
	if r.FirstSeed == 0 || got.Seed < r.FirstSeed {
		r.FirstSeed = got.Seed
	}
	r.LastSeed = max(r.LastSeed, got.Seed)
	for site, n := range got.Reached {
		r.Reached[site] += n
	}
	switch got.Verdict {
	case checkers.Fail:
		if got.Repeat == "" { // its process died
			if o, err := f.options(got.Seed); err == nil {
				got.Repeat = o.Repeat()
			}
		}
		r.Failed = append(r.Failed, failedSeed{Seed: got.Seed, Check: got.Failed[0].Name, Note: got.Failed[0].Note,
			Repeat: got.Repeat, Saved: got.Saved})
		shown.say(fmt.Sprintf("seed %d: %s: %s", got.Seed, got.Failed[0].Name, got.Failed[0].Note))
	case checkers.Unknown:
		r.Unknown++
		for _, u := range got.Unknown {
			shown.say(fmt.Sprintf("seed %d: unknown: %s: %s", got.Seed, u.Name, u.Note))
		}
	}
	shown.step(fmt.Sprintf(", %d failed, %d unknown", len(r.Failed), r.Unknown))
}

func (r *sweepReport) finish(wall time.Duration) {
	slices.SortFunc(r.Failed, func(a, b failedSeed) int { return cmp.Compare(a.Seed, b.Seed) })
	r.WallSeconds, r.CPUSeconds = wall.Seconds(), r.cpu.Seconds()
	r.SeedsPerMinute = per(float64(r.Seeds)*60, r.WallSeconds)
	r.SimPerWall = per(r.SimSeconds, r.WallSeconds)
	r.OperationsPerSimSecond = per(float64(r.Operations), r.SimSeconds)
	r.StepsPerCPUSecond = per(float64(r.Steps), r.CPUSeconds)
	r.CheckedPerCPUSecond = per(float64(r.examined), r.CPUSeconds)
	r.Explained, r.NeverReached = map[string]string{}, []string{}
	for _, site := range testbed.Sites() {
		if r.Reached[site] > 0 {
			continue
		}
		if why, ok := testbed.Explained()[site]; ok {
			r.Explained[site] = why
		} else {
			r.NeverReached = append(r.NeverReached, site)
		}
	}
}

func per(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

func (r *sweepReport) print() {
	w := os.Stdout
	fmt.Fprintf(w, "%d seeds (%d to %d), %d failed, %d unknown\n", r.Seeds, r.FirstSeed, r.LastSeed, len(r.Failed), r.Unknown)
	fmt.Fprintf(w, "%s of virtual time in %s on %d processes: %.0f seeds a minute, %.0f times real time\n",
		seconds(r.SimSeconds), seconds(r.WallSeconds), r.Jobs, r.SeedsPerMinute, r.SimPerWall)
	fmt.Fprintf(w, "%d operations, %.0f per virtual second; %d steps, %.0f per CPU second; CPU %s\n",
		r.Operations, r.OperationsPerSimSecond, r.Steps, r.StepsPerCPUSecond, seconds(r.CPUSeconds))
	sites := len(testbed.Sites())
	fmt.Fprintf(w, "%d of %d fault sites and marks reached\n", sites-len(r.NeverReached)-len(r.Explained), sites)
	for _, site := range r.NeverReached {
		fmt.Fprintf(w, "  never reached: %s\n", site)
	}
	for _, site := range slices.Sorted(maps.Keys(r.Explained)) {
		fmt.Fprintf(w, "  not reachable: %s: %s\n", site, r.Explained[site])
	}
	if len(r.Failed) == 0 {
		fmt.Fprintln(w, "HOLDS")
		return
	}
	fmt.Fprintln(w, "VIOLATED")
	for _, f := range r.Failed {
		fmt.Fprintf(w, "  seed %d: %s: %s\n    repeat: %s\n", f.Seed, f.Check, f.Note, f.Repeat)
		if f.Saved != "" {
			fmt.Fprintf(w, "    replay: actordb sim replay %s\n", f.Saved)
		}
	}
}
