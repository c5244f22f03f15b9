package query

import (
	"fmt"
	"slices"

	"actordb/core"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// Which views a node keeps, beside those that were declared so, its own policy
// decides (core/view: promotion.go), by what is asked here: projections, and queries over
// events that have no name and keep coming. A promoted view is built as
// any: a clone of the projection goes through the journals up to a cut, then through
// what the live feed brought meanwhile; answers are taken from it where it stands at
// their cut (keptAt), and until then computed. So nothing half-built is read, and what
// is answered does not depend on what is kept (Q1).

// charge tells the policy what a question has cost that was answered.
func (p *Process) charge(a *ask) {
	if a.job == nil || a.planned == nil || a.analyze != nil || a.exact > 0 { // what is kept stands at no cut that somebody chose
		return
	}
	late := p.now.Mono-a.since > p.cfg.Limits.Late
	c := p.catalogs.at(p.cut)
	promoted := false
	a.job.Computed(func(name string, rows int64) {
		projection, ok := c.Projection(name)
		if !ok || projection.Kept || !p.policy.Asked(name, rows, late) {
			return
		}
		p.out.Mark(markPromoted)
		p.policy.Promoted(name)
		promoted = true
	})
	if promoted {
		p.keep()
	}
	if key := a.planned.Key(); key != "" && !a.kept {
		promote := p.policy.Asked(key, int64(a.read()), late)
		p.policy.Called(key, a.said())
		if promote && a.planned.Holds(c) {
			p.keepQuery(a.planned)
		}
	}
}

// said is a query as it was asked, with the values of its parameters.
func (a *ask) said() string {
	s := tree.Print(a.statement)
	for i := range a.params {
		s += fmt.Sprintf("; $%d = %s", i+1, a.params[i].String())
	}
	return s
}

// keepQuery begins to keep a query. Under its key it is found by all that mean the same.
func (p *Process) keepQuery(planned *view.Planned) {
	v, err := planned.Keep(view.Options{Memory: p.cfg.Limits.MemoryBytes})
	if err != nil {
		return // it goes on being computed when it is asked
	}
	p.out.Mark(markQueryPromoted)
	k := &kept{name: planned.Key(), reads: planned.Tables(), view: v, since: p.now.Mono, runner: runner{job: v, follows: true}}
	k.ended = func(core.Timestamp) { p.paid(k) }
	p.policy.Promoted(k.name)
	p.begin(&k.runner)
	p.kept = append(p.kept, k)
}

// promotedQuery finds a kept query that stands at the cut of an answer.
func (p *Process) promotedQuery(a *ask) (*kept, bool) {
	key := a.planned.Key()
	if key == "" || p.answersAt(a) != p.cut {
		return nil, false
	}
	for _, k := range p.kept {
		if k.name == key && p.stands(k) {
			return k, true
		}
	}
	return nil, false
}

// answerOf finds the kept rows of a query's answer.
func (p *Process) answerOf(a *ask) (*view.View, bool) {
	k, ok := p.promotedQuery(a)
	if !ok {
		return nil, false
	}
	p.out.Mark(markQueryKept)
	p.policy.Read(k.name)
	a.kept = true
	return k.view, true
}

// candidates are what the policy has an opinion about, as system.promotions shows them.
func (p *Process) candidates() []view.Candidate {
	list, c := p.policy.List(), p.catalogs.at(p.cut)
	for i := range list {
		x := &list[i]
		x.Built = slices.ContainsFunc(p.kept, func(k *kept) bool { return k.name == x.Name && p.stands(k) })
		if text, ok := c.Lookup(x.Name); ok {
			x.Text = text
		}
		x.Name = view.NameOf(x.Name)
	}
	return list
}

// whyKept are lines for EXPLAIN: what of an answer is kept, and why or why not.
func (p *Process) whyKept(a *ask, c *view.Catalog) (lines []string) {
	if key := a.planned.Key(); key == "" {
		lines = append(lines, "this query is computed on demand: "+a.planned.Why())
	} else {
		_, stands := p.promotedQuery(a)
		lines = append(lines, "this query, "+view.NameOf(key)+": "+p.why(key, false, stands))
	}
	if n := p.parts(); n > 1 {
		if why := a.planned.Fan(); why == "" {
			lines = append(lines, fmt.Sprintf("computed on demand, it is aggregated by %d workers, and merged", n))
		} else {
			lines = append(lines, "computed on demand, it is not divided among workers: "+why)
		}
	}
	for _, full := range a.planned.Tables() {
		if projection, ok := c.Projection(full); ok {
			_, stands := p.keptAt(c)(full)
			lines = append(lines, full+": "+p.why(full, projection.Kept, stands && p.answersAt(a) == p.cut))
		}
	}
	return lines
}

// why tells what is with a view that was declared to be kept, or that the policy decides
// about; stands tells that it stands at the cut.
func (p *Process) why(name string, declared, stands bool) string {
	if !declared && !p.policy.Keeps(name) {
		paid := ""
		if x, ok := p.policy.Candidate(name); ok {
			paid = fmt.Sprintf(" (it has cost %d rows too much, of %d that would be worth it)", x.Paid, x.Price)
		}
		return "it is computed on demand: nobody asked to keep it, and it is not asked often enough" + paid
	}
	why := "it is computed on demand: its rows are still being collected"
	if stands {
		why = "its rows are kept; as of a time it is computed on demand"
	}
	if !declared {
		why += "; it was promoted, since to ask for it costs more than to keep it"
	}
	return why
}

// paid tells the policy what it cost to keep a view for another step.
func (p *Process) paid(k *kept) {
	if !p.policy.Keeps(k.name) {
		return
	}
	rows, cost, since := k.view.Cost(), k.cost, k.since
	k.cost, k.since = rows, p.now.Mono
	if !k.built { // that was what it cost to build
		k.built = k.scanned
		return
	}
	if k.view.MemBytes() > p.cfg.Limits.MemoryBytes { // nobody has said that it has to be kept
		k.unwanted = true
	}
	if p.policy.Changed(k.name, rows-cost, k.view.MemBytes(), int64(p.now.Mono-since)) {
		k.unwanted = true
	}
}

// demote gives up the views that the policy does not want any more, and those that
// failed: a failed one is built again when it is worth it again.
func (p *Process) demote() {
	p.kept = slices.DeleteFunc(p.kept, func(k *kept) bool {
		if !p.policy.Keeps(k.name) || !k.unwanted && k.err == nil {
			return false
		}
		if p.out.Mark(markDemoted); k.reads != nil {
			p.out.Mark(markQueryDemoted)
		}
		p.policy.Demoted(k.name)
		p.release(&k.runner)
		return true
	})
}

// found is keptAt for an answer: it tells the policy that the view was read.
func (p *Process) found(c *view.Catalog) func(full string) (*view.View, bool) {
	at := p.keptAt(c)
	return func(full string) (*view.View, bool) {
		v, ok := at(full)
		if ok {
			p.policy.Read(full)
		}
		return v, ok
	}
}
