package experiments

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"actordb/core/view"
)

// promotion is what the rule of core/view costs that keeps views or does not
// (promotion.go there), beside one who knows all that comes: the exact optimum, by
// dynamic programming over each view's questions and changes. Costs are rows; the loads
// are made, the policy is the engine's.
var promotion = Experiment{
	Name: "promotion", Claim: "P7", Says: "keeping views or not: what it costs against the optimum, how often it changes its mind",
	run: runPromotion,
}

const (
	promotionTarget = 3.0
	promotionViews  = 20
	promotionHours  = 48
	promotionSeeds  = 15
	viewRows        = 100_000 // that a view's history has at first
	viewRowBytes    = 64      // that a kept view holds of each
)

// A demand says how often a view is asked in a second, and how many rows change in it.
type demand struct {
	name  string
	rates func(r *rand.Rand, views int) func(view, second int) (questions, rows float64)
}

var demands = []demand{
	{"steady", func(r *rand.Rand, views int) func(int, int) (float64, float64) {
		ask, change := drawn(r, views, 1e-5, 1), drawn(r, views, 0.1, 30)
		return func(v, _ int) (float64, float64) { return ask[v], change[v] }
	}},
	{"bursty", func(r *rand.Rand, views int) func(int, int) (float64, float64) {
		ask, change, on, off, at := drawn(r, views, 0.01, 2), drawn(r, views, 0.1, 30), drawn(r, views, 120, 1800), drawn(r, views, 600, 20_000), drawn(r, views, 1, 20_000)
		return func(v, s int) (float64, float64) {
			if math.Mod(float64(s)+at[v], on[v]+off[v]) < on[v] {
				return ask[v], change[v]
			}
			return 0, change[v]
		}
	}},
	{"shifting", func(r *rand.Rand, views int) func(int, int) (float64, float64) {
		change, every := drawn(r, views, 0.1, 30), 1200+r.IntN(7200)
		return func(v, s int) (float64, float64) {
			rank := (v + s/every*7) % views // the most wanted is another one each time
			return 0.5 / float64((rank+1)*(rank+1)*(rank+1)), change[v]
		}
	}},
	{"oscillating", func(r *rand.Rand, views int) func(int, int) (float64, float64) {
		// Questions for about as long as it takes to be promoted, then changes alone for
		// about as long as it takes to be demoted.
		change, share := drawn(r, views, 2, 30), drawn(r, views, 0.6, 1.8)
		p := view.DefaultPrices()
		return func(v, s int) (float64, float64) {
			build := float64(viewRows * p.Build)
			silent := build / (change[v] * float64(p.Change)) * share[v]
			asking := silent / 4
			if math.Mod(float64(s), silent+asking) < asking {
				return build / viewRows / asking * 1.3, change[v]
			}
			return 0, change[v]
		}
	}},
}

// drawn are numbers between two, spread evenly by their logarithm.
func drawn(r *rand.Rand, n int, lo, hi float64) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = lo * math.Exp(r.Float64()*math.Log(hi/lo))
	}
	return list
}

func runPromotion(ctx context.Context, e *Env) (*Result, error) {
	var rows []Row
	worst := Row{}
	hours, seeds := max(1, promotionHours/max(e.Part, 1)), e.rounds(promotionSeeds)
	for _, l := range demands {
		var ratio, never, always, flips, regretted []float64
		for seed := range seeds {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t := playLoad(rand.New(rand.NewPCG(uint64(seed), 7)), l, hours*3600)
			ratio, never, always = append(ratio, t.paid/t.best), append(never, t.never/t.best), append(always, t.always/t.best)
			flips = append(flips, float64(t.flips)/float64(promotionViews*hours))
			regretted = append(regretted, float64(t.regretted)/float64(max(t.promoted, 1)))
		}
		cells := []Row{row("paid", "ratio", ratio), row("never kept", "ratio", never), row("always kept", "ratio", always), row("flips", "per view-hour", flips), row("regretted", "ratio", regretted)}
		if cells[0].Value > worst.Value {
			worst = cells[0]
			worst.Name = "paid, for what the optimum costs, under the worst load: " + l.name
		}
		for _, c := range cells {
			c.Name, c.Subject, c.Column = l.name+", "+c.Name, l.name, c.Name
			rows = append(rows, c)
		}
		e.Say("%s: %.2f times the optimum, %.3f flips per view-hour, %.2f of the promotions regretted", l.name, cells[0].Value, cells[3].Value, cells[4].Value)
	}
	return e.about(worst, worst.Value < promotionTarget, fmt.Sprintf("under %g times the exact offline optimum with each load", promotionTarget), rows...), nil
}

// played is what a load has cost, in rows.
type played struct {
	paid, best, never, always  float64
	flips, promoted, regretted int
}

// playedView is one view of a load: how it goes with the policy, without, and best.
type playedView struct {
	name         string
	rows, fresh  float64 // of its history; that have come and are less than one yet
	off, on      float64 // the least that it can have cost to be here, not kept and kept
	saved, spent float64 // since it was promoted
	second       int     // up to which the rent is paid
}

// playLoad plays a load, second by second.
func playLoad(r *rand.Rand, l demand, seconds int) (t played) {
	prices := view.DefaultPrices()
	policy := view.NewPolicy(prices, promotionViews)
	rates := l.rates(r, promotionViews)
	views := make([]playedView, promotionViews)
	for i := range views {
		v := &views[i]
		*v = playedView{name: fmt.Sprint("view-", i), rows: viewRows}
		v.on = v.build(&prices)
		t.always += v.on
	}
	for s := range seconds {
		for i := range views {
			v := &views[i]
			questions, changes := rates(i, s)
			for n := poisson(r, questions); n > 0; n-- {
				t.ask(v, policy, &prices)
			}
			if v.fresh += changes; v.fresh >= 1 || s%60 == 0 {
				t.change(v, s, policy, &prices)
			}
		}
	}
	for i := range views {
		v := &views[i]
		t.best += math.Min(v.off, v.on)
		if policy.Keeps(v.name) && v.saved < v.spent {
			t.regretted++
		}
	}
	return t
}

func (v *playedView) build(p *view.Prices) float64 { return v.rows * float64(p.Build) }

// settle finds the best way to be here after what has just been paid for.
func (v *playedView) settle(p *view.Prices) {
	v.off, v.on = math.Min(v.off, v.on), math.Min(v.on, v.off+v.build(p))
}

func (t *played) ask(v *playedView, policy *view.Policy, p *view.Prices) {
	v.off += v.rows
	v.settle(p)
	t.never += v.rows
	if policy.Keeps(v.name) {
		v.saved += v.rows
		policy.Read(v.name)
		return
	}
	t.paid += v.rows
	if policy.Asked(v.name, int64(v.rows), false) {
		policy.Promoted(v.name)
		t.paid += v.build(p)
		t.promoted++
		t.flips++
		v.saved, v.spent = 0, v.build(p)
	}
}

// change takes in what has come since the last time, and asks for the rent.
func (t *played) change(v *playedView, second int, policy *view.Policy, p *view.Prices) {
	n := math.Floor(v.fresh)
	v.fresh -= n
	v.rows += n
	held := int64(second-v.second) * 1e9
	v.second = second
	bytes := int(v.rows * viewRowBytes)
	cost := n*float64(p.Change) + float64(p.RentOf(bytes, held))
	v.on += cost
	v.settle(p)
	t.always += cost
	if !policy.Keeps(v.name) {
		return
	}
	t.paid += cost
	v.spent += cost
	if policy.Changed(v.name, int64(n), bytes, held) {
		policy.Demoted(v.name)
		t.flips++
		if v.saved < v.spent {
			t.regretted++
		}
	}
}

// poisson draws how often something happens that happens so often on average.
func poisson(r *rand.Rand, mean float64) (n int) {
	for x := r.ExpFloat64(); x < mean; x += r.ExpFloat64() {
		n++
	}
	return n
}
