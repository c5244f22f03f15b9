package query

import (
	"slices"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/view"
	"actordb/core/zset"
)

// kept is a materialized view.
type kept struct {
	runner
	name  string   // of the projection, or the key of a promoted query
	reads []string // of a promoted query: what it goes with
	view  *view.View

	cost     int64     // that the policy was told of
	since    proc.Tick // up to when
	built    bool      // from then on it costs what changes
	unwanted bool      // the policy wants it no more

	opening  *opening // its checkpoint is being read; job is nil meanwhile
	restored bool     // it went on from one
	sum      sum      // of its state in the store
	due      bool     // to be checkpointed at the next cut
	saving   bool     // a checkpoint is under way
}

// intake hands the next blocks of the live feed on, and at the end the cut. It stops
// while an inbox that must not lose anything is full: the feed's windows then hold
// back the shards.
func (p *Process) intake() (more bool) {
	if p.cfg.Worker || p.failed != nil || p.saved.opening || p.learn.asking || p.behind() && p.waiting() {
		return false // first those that wait, with what is kept as of this cut
	}
	for range blocksAtOnce {
		if p.full() {
			p.out.Mark(markHeld)
			return false
		}
		b, ok := p.live.Next(p.now, p.out)
		if !ok {
			if err := p.live.Err(); err != nil {
				p.fail(err)
				return false
			}
			p.reach(p.live.Cut())
			return false
		}
		block := new(journal.Block)
		if err := block.Parse(b.Data); err != nil {
			p.fail(err)
			return false
		}
		i := item{shard: b.Shard, index: b.Index, block: block, bytes: len(b.Data)}
		p.recent = append(p.recent, i)
		p.count(i.bytes)
		p.each(func(r *runner) { r.put(i) })
		if changed, dropped := p.catalogs.take(block); changed {
			p.define.changed = true
			p.define.dropped = append(p.define.dropped, dropped...)
		}
	}
	return true
}

// each calls f for all that follow the live feed, or will.
func (p *Process) each(f func(*runner)) {
	for _, k := range p.kept {
		if k.job != nil {
			f(&k.runner)
		}
	}
	for _, a := range p.order {
		if r := &a.runner; r.follows && r.job != nil && r.err == nil {
			f(r)
		}
	}
}

// full tells whether somebody's inbox has no room for a block, and deals with those
// that need not have it.
func (p *Process) full() (full bool) {
	room := p.cfg.Limits.InboxBytes
	p.each(func(r *runner) {
		if r.bytes == 0 || r.bytes < room/2 || p.overflow(r) {
			return
		}
		if a := p.owner(r); a != nil && r.scanned {
			p.cutOff(a)
			return
		}
		full = true
	})
	return full
}

func (p *Process) owner(r *runner) *ask {
	for _, a := range p.order {
		if &a.runner == r {
			return a
		}
	}
	return nil
}

// reach is called when the live feed has handed out all up to a cut.
func (p *Process) reach(cut core.Timestamp) {
	if cut <= p.cut {
		return
	}
	p.cut = cut
	clear(p.recent)
	p.recent = p.recent[:0]
	gone := p.define.dropped
	p.define.dropped = nil
	at := p.position()
	p.each(func(r *runner) { r.put(item{cut: cut, gone: gone, at: at}) })
	p.saveSelf(at)
	if len(gone) > 0 {
		p.kept = slices.DeleteFunc(p.kept, func(k *kept) bool { return p.dropped(k, gone) })
	}
	if p.cut >= p.begun && (p.define.changed || !p.define.ready) {
		p.define.changed, p.define.ready = false, true
		p.keep()
		if p.cfg.Stored && !p.saved.swept {
			p.saved.swept = true
			p.sweepStore([]byte{keyView})
		}
	}
}

// dropped gives up a view that was dropped, or whose tables were.
func (p *Process) dropped(k *kept, gone []string) bool {
	if k.reads != nil {
		if !slices.ContainsFunc(k.reads, func(name string) bool { return slices.Contains(gone, name) }) {
			return false
		}
		p.out.Mark(markQueryDropped)
	} else if !slices.Contains(gone, k.name) {
		return false
	}
	p.policy.Demoted(k.name)
	p.release(&k.runner)
	if p.cfg.Stored && k.reads == nil {
		p.purge(k.name)
	}
	return true
}

// keepOn does a piece of work on a kept view.
func (p *Process) keepOn(k *kept) (more bool) {
	if k.job == nil && k.err == nil {
		return p.openNext(k)
	}
	more = p.advance(&k.runner)
	p.renew(k)
	return more
}

// keep begins to keep the views that the catalog says.
func (p *Process) keep() {
	c := p.catalogs.at(p.cut)
	for _, name := range c.Names() {
		projection, ok := c.Projection(name)
		if !ok || !projection.Kept && !p.policy.Keeps(name) || slices.ContainsFunc(p.kept, func(k *kept) bool { return k.name == name }) {
			continue
		}
		k := &kept{name: name, sum: newSum(), runner: runner{catalog: c, follows: true}, since: p.now.Mono}
		k.ended = func(core.Timestamp) {
			p.paid(k)
			p.save(k)
		}
		if p.cfg.Stored && projection.Kept {
			p.kept = append(p.kept, k)
			p.open(k)
			continue
		}
		v, err := c.NewView(projection.Query, view.Options{Memory: p.cfg.Limits.MemoryBytes})
		if err != nil {
			p.policy.Demoted(name)
			continue // it is computed when somebody asks, who is told why not
		}
		k.view, k.job = v, v
		p.begin(&k.runner)
		p.kept = append(p.kept, k)
	}
}

// behind tells whether a kept view has not caught up with the present cut yet, and
// soon will.
func (p *Process) behind() bool {
	return slices.ContainsFunc(p.kept, func(k *kept) bool { return k.err == nil && k.scanned && !k.current() })
}

// keptAt finds a kept view that stands at the present cut.
func (p *Process) keptAt(c *view.Catalog) func(full string) (*view.View, bool) {
	return func(full string) (*view.View, bool) {
		for _, k := range p.kept {
			if k.name != full || !p.stands(k) {
				continue
			}
			statement, ok := c.Lookup(full)
			if was, _ := k.catalog.Lookup(full); ok && was == statement {
				p.out.Mark(markKept)
				return k.view, true
			}
		}
		return nil, false
	}
}

// stands tells of a kept view that it stands at the present cut.
func (p *Process) stands(k *kept) bool {
	return k.err == nil && k.current() && k.job.Cut() == p.cut
}

// changes yields the weighted rows of a batch in pieces.
type changes struct {
	batch *zset.Batch
	at    int
}

func (c *changes) next(out *zset.Batch) bool {
	from, size := c.at, 0
	for c.at < c.batch.N && c.at-from < replyRows && size < replyBytes {
		size += c.batch.RowBytes(c.at)
		c.at++
	}
	out.AddRange(c.batch, from, c.at)
	return c.at > from
}
