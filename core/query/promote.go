package query

import (
	"slices"

	"actordb/core/view"
)

// Which projections a node keeps, beside those that were declared so, its own policy
// decides (core/view: promotion.go), by what is asked here. A promoted view is built as
// any: a clone of the projection goes through the journals up to a cut, then through
// what the live feed brought meanwhile; answers are taken from it where it stands at
// their cut (keptAt), and until then computed. So nothing half-built is read, and what
// is answered does not depend on what is kept (Q1).

// charge tells the policy what a question has cost that was answered.
func (p *Process) charge(a *ask) {
	if a.job == nil || a.subscription || a.analyze != nil {
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
		p.out.Mark(markDemoted)
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
