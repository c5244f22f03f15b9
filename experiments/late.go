package experiments

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"actordb/checkers"
	"actordb/core"
	"actordb/internal/testbed"
	"actordb/internal/viewcheck"
	"actordb/internal/viewtest"
	"actordb/sim/fault"
)

// lateEvents is how often a correction fails. Histories with events that are late,
// and worse, go through views in this process, steps and crashes drawn; and whole
// clusters are simulated, with all faults. In each of these runs, which share
// nothing but the code, views are set beside what they must hold by the definition.
// A run fails if any of it differs, and then all its events count as failed.
var lateEvents = Experiment{
	Name: "late-events", Claim: "M3", Says: "corrections of late events that fail: 95 % upper bounds, per event and per run",
	run: runLate,
}

const (
	lateTarget    = 1e-6 // of the paper: failures per late event
	lateWanted    = 3_200_000
	lateSimulated = 60 // runs of a cluster
	lateFailedMax = 20 // failed runs after which no more are made
	lateBlocks    = 250
	lateBlockRows = 24
	crashed       = viewcheck.Class("crash in the middle")
	everything    = viewcheck.Class("all of these")
)

// lateTally is what is known of a class.
type lateTally struct {
	class              string
	events, late, runs int64
	failedEvents       int64
	failedRuns         int64
	first              string // what went wrong first
}

// lateRun is the outcome of one run.
type lateRun struct {
	events, late int64
	err          error
}

func (t *lateTally) add(r lateRun) {
	t.runs++
	t.events += r.events
	t.late += r.late
	if r.err != nil {
		t.failedRuns++
		t.failedEvents += max(r.events, 1)
		if t.first == "" {
			t.first = r.err.Error()
		}
	}
}

func runLate(ctx context.Context, e *Env) (*Result, error) {
	var classes []*lateTally
	for _, c := range append(append([]viewcheck.Class{}, viewcheck.Classes[1:]...), crashed, everything) {
		classes = append(classes, &lateTally{class: string(c)})
	}
	wanted := int64(e.scale(lateWanted))
	if err := direct(ctx, e, classes, wanted); err != nil {
		return nil, err
	}
	clusters, err := simulated(ctx, e)
	if err != nil {
		return nil, err
	}
	total := &lateTally{class: "all"}
	for _, t := range append(classes, clusters[0]) {
		total.late += t.late
		total.runs += t.runs
		total.failedRuns += t.failedRuns
		total.failedEvents += t.failedEvents
		if total.first == "" {
			total.first = t.first
		}
	}
	bound := upperBound(total.failedEvents, total.late)
	r := Row{Name: "late events, corrected or recorded, that went wrong", Value: bound, Unit: "failures per late event", N: int(total.late),
		CI95: [2]float64{0, bound}, Note: total.first}
	perRun := upperBound(total.failedRuns, total.runs)
	rows := []Row{{Name: "independent runs in which anything went wrong", Value: perRun, Unit: "failures per run", N: int(total.runs), CI95: [2]float64{0, perRun}, Note: total.first}}
	for _, t := range append(classes, clusters...) {
		rows = append(rows, t.rows()...)
	}
	pass := total.failedRuns == 0 && (e.Part > 1 || bound < lateTarget)
	return e.about(r, pass, "no failure; of the whole run the 95 % upper bound per event below 1e-6", rows...), nil
}

// rows are a class's line in the table.
func (t *lateTally) rows() []Row {
	cell := func(column, unit string, value float64) Row {
		return Row{Name: t.class + ", " + column, Subject: t.class, Column: column, Unit: unit, Value: value, N: 1, Samples: []float64{value}, CI95: [2]float64{value, value}, Note: t.first}
	}
	return []Row{
		cell("events", "events", float64(t.events)), cell("late", "events", float64(t.late)), cell("failed", "failures", float64(t.failedEvents)),
		cell("bound per event", "failures per event", upperBound(t.failedEvents, t.events)), cell("runs", "runs", float64(t.runs)),
		cell("failed runs", "failures", float64(t.failedRuns)), cell("bound per run", "failures per run", upperBound(t.failedRuns, t.runs)),
	}
}

// upperBound is the one-sided 95 % bound of a probability after k failures of n
// (Clopper and Pearson, 1934). Without failures it is about 3/n.
func upperBound(k, n int64) float64 {
	switch {
	case n == 0 || k >= n:
		return 1
	case k == 0:
		return -math.Expm1(math.Log(0.05) / float64(n))
	}
	return distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}.Quantile(0.95)
}

// direct runs histories through views, class after class, until there were as many
// late events as are wanted. A run is a function of its class and its number.
func direct(ctx context.Context, e *Env, classes []*lateTally, wanted int64) error {
	var mu sync.Mutex
	var workers sync.WaitGroup
	var late, failed int64
	next, said := uint64(0), time.Now()
	more := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || failed >= lateFailedMax || late >= wanted && next >= uint64(len(classes)) {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed, ok := more(); ok; seed, ok = more() {
				t := classes[seed%uint64(len(classes))]
				r := lateHistory(seed, viewcheck.Class(t.class), e.trial())
				mu.Lock()
				t.add(r)
				if late += r.late; r.err != nil {
					failed++
					e.Say("%v", r.err)
				}
				if time.Since(said) > 5*time.Second {
					e.Say("%d of %d late events, %d runs", late, wanted, next)
					said = time.Now()
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return ctx.Err()
}

// lateHistory is one run: what a class is about, mixed with events on time and late.
func lateHistory(seed uint64, class viewcheck.Class, short bool) (out lateRun) {
	classes := []viewcheck.Class{viewcheck.OnTime, viewcheck.Late, viewcheck.Late, viewcheck.Beyond, class}
	if class == crashed || class == everything {
		classes = append(append([]viewcheck.Class{}, viewcheck.Classes...), viewcheck.Late, viewcheck.Late, viewcheck.Beyond)
	}
	r := rand.New(rand.NewPCG(seed, 0x1a7e))
	h := viewcheck.NewHistory(r, classes)
	blocks := lateBlocks
	if short {
		blocks /= 10
	}
	run := &lateViews{rand: r, crashes: class == crashed || class == everything}
	account, err := run.follow(h, blocks, 1+r.IntN(12))
	out.late = account.Corrected + account.Missed
	if out.events = h.Made[class]; class == crashed || class == everything {
		out.events = account.In
	}
	if out.err = err; err != nil {
		out.err = fmt.Errorf("%s, history %d: %w", class, seed, err)
	}
	return out
}

// lateViews follow a history, and crash now and then.
type lateViews struct {
	rand    *rand.Rand
	crashes bool
	views   *viewcheck.Sensors
	judge   func(checkers.Timing) checkers.Timing // nil: as declared
}

// begin makes views of nothing.
func (v *lateViews) begin() (err error) {
	if v.views, err = viewcheck.NewSensors(); err == nil && v.judge != nil {
		v.views.Judge = checkers.NewWatermarks(v.judge(viewcheck.ReadingTiming))
	}
	return err
}

// follow takes a history's blocks, with a cut after one in so many, and compares some
// times and at the end.
func (v *lateViews) follow(h *viewcheck.History, blocks, every int) (a checkers.Account, err error) {
	if err := v.begin(); err != nil {
		return a, err
	}
	var all []viewtest.Block
	for i := range blocks {
		b, err := h.Block(v.rand.IntN(lateBlockRows))
		if err != nil {
			return a, err
		}
		all = append(all, b)
		if err := v.views.Take(0, b.Index, b.Block); err != nil {
			return a, err
		}
		last := i == blocks-1
		if v.crashes && v.rand.IntN(60) == 0 { // what was not made a part of a cut is lost, and so are the views
			if err := v.begin(); err != nil {
				return a, err
			}
			for _, b := range all {
				if err := v.views.Take(0, b.Index, b.Block); err != nil {
					return a, err
				}
			}
		}
		if v.rand.IntN(every) > 0 && !last {
			continue
		}
		if err := v.views.Cut(h.Clock()+core.Timestamp(v.rand.IntN(1000)), v.rand); err != nil {
			return v.views.Account(), err
		}
		if last || v.rand.IntN(blocks/3) == 0 {
			if _, err := v.views.Compare(); err != nil {
				return v.views.Account(), err
			}
		}
	}
	return v.views.Account(), nil
}

// simulated runs clusters with all faults, and tells of all their events, then of
// those in runs that met a fault, for each.
func simulated(ctx context.Context, e *Env) ([]*lateTally, error) {
	runs, duration, clients := max(3, lateSimulated/max(e.Part, 1)), 20*time.Second, 16
	if e.trial() {
		duration = 2 * time.Second
	}
	all := &lateTally{class: "simulated clusters"}
	list := []*lateTally{all}
	by := map[string]*lateTally{}
	for i := range runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o := testbed.Options{Seed: uint64(1000 + i), Nodes: []int{1, 3, 5}[i%3], Workloads: []string{"sensors", "bank"}, Duration: duration, Clients: clients}
		p, err := testbed.Run(o)
		if err != nil {
			return nil, err
		}
		r := lateRun{events: p.Readings.In, late: p.Readings.Corrected + p.Readings.Missed}
		if p.Verdict == checkers.Fail || !judged(p.Checks) {
			r.err = fmt.Errorf("%s: %s", p.Repeat, failedChecks(p.Checks))
		}
		all.add(r)
		for _, family := range faultFamilies {
			met := false
			for _, site := range family.sites {
				met = met || p.Faults[site] > 0
			}
			if !met {
				continue
			}
			if by[family.name] == nil {
				by[family.name] = &lateTally{class: "simulated, " + family.name}
				list = append(list, by[family.name])
			}
			by[family.name].add(r)
		}
		e.Say("cluster %d of %d: %s", i+1, runs, p.Readings)
	}
	return list, nil
}

// judged reports whether the views of late events were compared, and right.
func judged(list []checkers.Result) bool {
	return slices.ContainsFunc(list, func(c checkers.Result) bool {
		return c.Name == "watermarks" && c.Verdict == checkers.Pass && c.Examined > 0
	})
}

func failedChecks(list []checkers.Result) string {
	var names []string
	for _, c := range list {
		if c.Verdict == checkers.Fail || c.Name == "watermarks" {
			names = append(names, c.String())
		}
	}
	return strings.Join(names, "; ")
}

// faultFamilies are faults that belong together.
var faultFamilies = []struct {
	name  string
	sites []string
}{
	{"crashes", []string{fault.Crash, fault.PowerLoss, fault.TornWrite, fault.LostUnsynced, fault.LostDirent}},
	{"client crashes", []string{fault.ClientCrash}},
	{"clocks", []string{fault.ClockJump, fault.ClockDrift, fault.ClockFreeze}},
	{"partitions", []string{fault.Partition, fault.PartitionOneway, fault.PartitionPartial}},
	{"messages lost, twice, late", []string{fault.Drop, fault.Duplicate, fault.Delay, fault.Reorder, fault.Reset, fault.HalfFrame}},
	{"disks", []string{fault.ShortWrite, fault.BitFlip, fault.ReadError, fault.SyncError, fault.WriteError, fault.DiskFull, fault.SlowDisk, fault.KVLost, fault.Reformat}},
}
