package view

import (
	"fmt"
	"slices"

	"actordb/core"
)

// A rental decides whether one view is computed each time that somebody asks, or
// kept. Nobody knows who will ask; it is decided as one decides between renting and
// buying (Karlin et al., 1988), with a way back: two states, of which one costs for
// every question and the other for every change, and a price of going from the first
// to the second (Borodin, Linial and Saks, 1992: a metrical task system of two states).
//
// The advantage is by how much keeping has been better than not, lately: questions
// raise it, changes lower it, and it stays within half the price of building, either way.
// At the upper end the view is promoted, at the lower end demoted. So between two
// promotions the questions must have cost the price of building, and the changes as
// much: a load that goes to and fro moves the advantage, not the view.
//
//	R1  What is paid is at most 3 + (q + u)/b times what would have had to be paid by
//	    one who knew all that comes, and 2 b; b is the price of building, q and u those
//	    of the dearest question and the dearest step of changes.
type rental struct {
	kept      bool
	advantage int64
	build     int64 // twice the bound of the advantage
}

// price sets what building costs now. The first time it is not worth it.
func (r *rental) price(build int64) {
	first := r.build == 0
	if r.build = max(build, 2); first {
		r.advantage = -r.build / 2
	}
	r.advantage = max(min(r.advantage, r.build/2), -r.build/2)
}

// asked takes what an answer on demand has cost, or would have cost of what is kept. It
// tells whether the view should be promoted now.
func (r *rental) asked(cost int64) bool {
	r.advantage = min(r.advantage+cost, r.build/2)
	return !r.kept && r.advantage == r.build/2
}

// changed takes what it cost to keep the view, or would have cost. It tells whether the
// view should be demoted now.
func (r *rental) changed(cost int64) bool {
	r.advantage = max(r.advantage-cost, -r.build/2)
	return r.kept && r.advantage == -r.build/2
}

// Prices say what things cost, in rows: one that a question on demand goes through
// costs 1.
type Prices struct {
	Build  int64 // of a row that a new view goes through
	Change int64 // of a row that a kept view takes in
	// Rent is for a MiB that a view holds for a second.
	Rent int64
	// Late is how many times dearer a question is that was answered later than it
	// should have been.
	Late int64
}

// DefaultPrices come from what a row costs on demand, when a view is built, and when
// it is kept in small steps (docs/incremental.md: about 30, 80 and 150 to 500 ns).
// Memory is cheap: a GiB that nobody asks for is given up for what building it again
// costs after some hours.
func DefaultPrices() Prices { return Prices{Build: 3, Change: 8, Rent: 50, Late: 4} }

// Validate reports what is wrong with p.
func (p Prices) Validate() error {
	if p.Build <= 0 || p.Change < 0 || p.Rent < 0 || p.Late < 1 || max(p.Build, p.Change, p.Rent, p.Late) > priceMax {
		return fmt.Errorf("view: prices %+v: want up to %d, those of building and of late answers 1 or more", p, priceMax)
	}
	return nil
}

// Limits of a policy.
const (
	// WatchedMax bounds the views that a policy has an opinion about. One more, and the
	// one whose questions have cost least is forgotten.
	WatchedMax = 1000
	// watchedTextMax bounds what is remembered of a definition, in bytes.
	watchedTextMax = 1 << 10
	costMax        = int64(1) << 40 // of one thing: with prices, and sums of some, it fits
	priceMax       = 1000
)

// A Policy decides for many views which of them are kept. It is a function of what it
// was told: no clock, no draw, no order but that of the telling. The zero Policy does
// not work; NewPolicy makes one.
type Policy struct {
	prices  Prices
	keptMax int
	views   map[string]*watched
	order   []*watched // by when they were first heard of
	kept    int
}

type watched struct {
	rental
	name   string
	rows   int64 // that a question on demand goes through, at last
	credit int64 // what its questions have cost, less what had to be forgotten meanwhile
	text   string
}

// NewPolicy makes a policy that keeps at most so many views at once.
func NewPolicy(p Prices, keptMax int) *Policy {
	core.Assert(p.Validate() == nil, "%v", p.Validate())
	return &Policy{prices: p, keptMax: keptMax, views: map[string]*watched{}}
}

// Asked says that a view was computed on demand, through so many rows, and whether the
// answer was late. It tells whether the view should be promoted now; Promoted says that
// it was.
func (p *Policy) Asked(name string, rows int64, late bool) (promote bool) {
	w := p.watch(name)
	w.rows = clamp(rows)
	w.price(w.rows * p.prices.Build)
	cost := w.rows
	if late {
		cost *= p.prices.Late
	}
	w.credit = min(w.credit+cost, costMax)
	return w.asked(cost) && p.kept < p.keptMax
}

// Called says what a view is, for List.
func (p *Policy) Called(name, text string) {
	if w := p.views[name]; w != nil && w.text == "" {
		w.text = text[:min(len(text), watchedTextMax)]
	}
}

// A Candidate is what a policy thinks of a view.
type Candidate struct {
	Name  string
	Text  string // its beginning
	Kept  bool
	Built bool  // and answered from; who keeps it knows
	Rows  int64 // that a question goes through on demand
	// Paid of Price: at the price it is promoted, at 0 it is demoted.
	Paid, Price int64
}

// List has the views that the policy has an opinion about, by when they were first heard of.
func (p *Policy) List() (list []Candidate) {
	for _, w := range p.order {
		list = append(list, w.candidate())
	}
	return list
}

// Candidate is what the policy thinks of a view; ok is false if nothing.
func (p *Policy) Candidate(name string) (c Candidate, ok bool) {
	w := p.views[name]
	if w == nil {
		return c, false
	}
	return w.candidate(), true
}

func (w *watched) candidate() Candidate {
	return Candidate{Name: w.name, Text: w.text, Kept: w.kept, Rows: w.rows, Paid: w.advantage + w.build/2, Price: w.build / 2 * 2}
}

// Read says that a kept view was read: on demand it would have gone through what it
// has gone through before, and what came since.
func (p *Policy) Read(name string) {
	if w := p.views[name]; w != nil && w.kept {
		w.asked(w.rows)
	}
}

// Changed says that a kept view has taken in so many rows, and has held so many bytes
// for so many nanoseconds. It tells whether the view should be demoted now; Demoted
// says that it was.
func (p *Policy) Changed(name string, rows int64, bytes int, held int64) (demote bool) {
	w := p.views[name]
	if w == nil || !w.kept {
		return false
	}
	rows = clamp(rows)
	w.rows = clamp(w.rows + rows)
	w.price(w.rows * p.prices.Build)
	return w.changed(clamp(rows*p.prices.Change) + p.prices.RentOf(bytes, held))
}

// RentOf is what so many bytes cost for so many nanoseconds.
func (p *Prices) RentOf(bytes int, held int64) int64 {
	kib, ms := min(int64(bytes)>>10, 1<<27), min(max(held, 0)/1e6, 1<<24) // 128 GiB, four hours
	return kib * p.Rent * ms / (1024 * 1000)
}

// Promoted says that a view is built, or about to be.
func (p *Policy) Promoted(name string) {
	if w := p.watch(name); !w.kept {
		w.kept = true
		p.kept++
	}
}

// Demoted says that a view is not kept any more: it was dropped, could not be built, or
// the policy wanted it.
func (p *Policy) Demoted(name string) {
	if w := p.views[name]; w != nil && w.kept {
		w.kept = false
		w.advantage = -w.build / 2
		p.kept--
	}
}

// Keeps tells whether a view is promoted.
func (p *Policy) Keeps(name string) bool { w := p.views[name]; return w != nil && w.kept }

func (p *Policy) watch(name string) *watched {
	if w := p.views[name]; w != nil {
		return w
	}
	if len(p.order) == WatchedMax {
		p.forget()
	}
	w := &watched{name: name}
	p.views[name] = w
	p.order = append(p.order, w)
	return w
}

// forget drops the view whose questions have cost least, of several the oldest, and takes as
// much from the others: so what was dear once gives way to what is asked now (the Landlord
// algorithm: Young, 2002, On-line file caching).
func (p *Policy) forget() {
	least := -1
	for i, w := range p.order {
		if !w.kept && (least < 0 || w.credit < p.order[least].credit) {
			least = i
		}
	}
	if least < 0 {
		least = 0 // all are kept: more than there may be
	}
	gone := p.order[least]
	price := gone.credit
	for _, w := range p.order {
		w.credit = max(w.credit-price, 0)
	}
	p.Demoted(gone.name)
	delete(p.views, gone.name)
	p.order = slices.Delete(p.order, least, least+1)
}

func clamp(x int64) int64 { return max(0, min(x, costMax)) }

// Cost is how many rows went through all circuits of a job.
func (j *Job) Cost() (rows int64) {
	for _, r := range j.runs {
		rows += r.rows
	}
	return rows
}

// Computed are the projections that a job has computed because nobody keeps them, and
// how many rows went through each and through what it reads.
func (j *Job) Computed(yield func(name string, rows int64)) {
	for _, r := range j.runs {
		if r.name != "" {
			yield(r.name, r.cost())
		}
	}
}

func (r *run) cost() (rows int64) {
	rows = r.rows
	for i := range r.from {
		if in := r.from[i].run; in != nil {
			rows += in.cost()
		}
	}
	return rows
}
