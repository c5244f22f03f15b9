package query

import (
	"actordb/core"
	"actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/view"
)

// A runner brings a job through the blocks: from the beginning of the journals up to a
// cut by a scan of its own, and then, if it follows, with all others through what the
// live feed brings. The blocks and cuts of the live feed that come while it scans wait
// in its inbox, from the moment at which the scan's cut was chosen: so there is no gap
// between the two, and nothing comes twice (Q3).
type runner struct {
	job     stepper
	catalog *view.Catalog
	from    *feed.Position   // where its scan begins; nil: where the journals do
	marks   []core.Timestamp // cuts at which a step ends, while it scans
	scan    *scan            // nil: it does not scan (any more)
	scanned bool
	follows bool
	batch   bool // leaves the last lane to others

	inbox  []item
	first  int // of inbox
	bytes  int // of the blocks in it
	finish core.Timestamp
	at     *feed.Position              // of the live feed at the step's cut, if somebody wants to know
	ended  func(cut core.Timestamp)    // a step
	ready  func() bool                 // for more: nil, always
	gone   func(dropped []string) bool // tells whether that ends it
	err    error
}

// stepper is what a runner feeds: a view.Job or a view.View.
type stepper interface {
	Take(shard core.ShardID, index core.Index, b *journal.Block)
	Finish(cut core.Timestamp, fuel int) (done bool, err error)
	Cut() core.Timestamp
}

// item is a block, or the end of a step.
type item struct {
	shard core.ShardID
	index core.Index
	block *journal.Block // nil: a cut
	bytes int
	cut   core.Timestamp
	gone  []string       // dropped at this cut
	at    *feed.Position // of the live feed at this cut, if somebody wants to know
}

// scan is a pass over the journals.
type scan struct {
	lane *lane // nil: it waits for one
	held *feed.Block
}

// lane is the room for one scan at a time.
type lane struct {
	number uint32
	feed   *feed.Feed // nil: it is free
}

// target is the cut at which the scan ends.
func (r *runner) target() core.Timestamp { return r.marks[len(r.marks)-1] }

// current tells whether the job has finished all that is known.
func (r *runner) current() bool {
	return r.scanned && r.finish == 0 && r.first == len(r.inbox)
}

// put adds to the inbox.
func (r *runner) put(i item) {
	r.inbox = append(r.inbox, i)
	r.bytes += i.bytes
}

// drop empties the inbox: the scan will bring what is in it.
func (r *runner) drop() { r.inbox, r.first, r.bytes = nil, 0, 0 }

// advance does a piece of work. It reports whether there is more to do at once.
func (p *Process) advance(r *runner) (more bool) {
	switch {
	case r.err != nil || r.ready != nil && !r.ready():
		return false
	case r.finish != 0:
		return p.step(r)
	case !r.scanned:
		return p.scanSome(r)
	}
	for n := 0; r.first < len(r.inbox); n++ {
		if n == blocksAtOnce {
			return true
		}
		i := r.inbox[r.first]
		r.inbox[r.first] = item{}
		if r.first++; r.first == len(r.inbox) {
			r.inbox, r.first = r.inbox[:0], 0
		}
		r.bytes -= i.bytes
		if i.block == nil {
			if r.finish, r.at = i.cut, i.at; i.gone != nil && r.gone != nil && r.gone(i.gone) {
				return false
			}
			return true
		}
		r.job.Take(i.shard, i.index, i.block)
	}
	return false
}

// step goes on with the end of a step.
func (p *Process) step(r *runner) (more bool) {
	done, err := r.job.Finish(r.finish, fuel)
	if err != nil {
		r.err = err
		p.release(r)
		return false
	}
	if !done {
		return true
	}
	cut := r.finish
	r.finish = 0
	if !r.scanned && len(r.marks) > 0 && cut == r.marks[0] {
		if r.marks = r.marks[1:]; len(r.marks) == 0 {
			r.scanned = true
			p.release(r)
		}
	}
	r.ended(cut)
	return true
}

// scanSome takes some blocks of the scan.
func (p *Process) scanSome(r *runner) (more bool) {
	if job, ok := r.job.(needy); ok && !job.NeedsBlocks() {
		r.finish = r.marks[0]
		return true
	}
	if r.scan == nil {
		r.scan = &scan{}
	}
	if r.scan.lane == nil && !p.acquire(r) {
		return false
	}
	f := r.scan.lane.feed
	for range blocksAtOnce {
		b := r.scan.held
		if r.scan.held = nil; b == nil {
			next, ok := f.Next(p.now, p.out)
			switch {
			case ok:
				b = &next
			case f.Err() != nil:
				r.err = f.Err()
				p.release(r)
				return false
			case f.Cut() < r.marks[0]:
				return false // a frame will come
			default:
				r.finish = r.marks[0]
				return true
			}
		}
		if b.Timestamp > r.marks[0] {
			r.scan.held, r.finish = b, r.marks[0]
			return true
		}
		if job, ok := r.job.(streaming); ok {
			if at, due := job.Due(b.Timestamp); due {
				r.scan.held, r.finish = b, at
				return true
			}
		}
		block := new(journal.Block)
		if r.err = block.Parse(b.Data); r.err != nil {
			p.release(r)
			return false
		}
		r.job.Take(b.Shard, b.Index, block)
	}
	return true
}

// needy is a job that may not depend on events at all.
type needy interface{ NeedsBlocks() bool }

// streaming is a job that may end steps on the way.
type streaming interface {
	Due(next core.Timestamp) (core.Timestamp, bool)
}

// acquire gives a scan a lane, if one is free. Batch leaves the last one to those that
// somebody waits for.
func (p *Process) acquire(r *runner) bool {
	var free *lane
	left := 0
	for i := range p.lanes {
		if l := &p.lanes[i]; l.feed == nil {
			free, left = l, left+1
		}
	}
	if left == 0 || left == 1 && r.batch && len(p.lanes) > 1 {
		p.out.Mark(markNoLane)
		return false
	}
	var from feed.Position
	if r.from != nil {
		from = *r.from
	}
	free.feed = feed.New(p.feedConfig(free.number), from, p.env.Rand)
	free.feed.Want(r.target())
	free.feed.Start(p.now, p.out)
	r.scan.lane = free
	p.out.Mark(markScan)
	return true
}

// release gives up a runner's scan.
func (p *Process) release(r *runner) {
	if r.scan == nil {
		return
	}
	if l := r.scan.lane; l != nil {
		l.feed.Stop(p.now, p.out)
		if p.cfg.Worker { // which has no live feed to learn where replicas are
			p.cfg.Sources = l.feed.Sources()
		}
		l.feed = nil
	}
	r.scan = nil
}

// begin makes a runner scan up to the present cut, and through others on the way.
func (p *Process) begin(r *runner, on ...core.Timestamp) { p.beginTo(r, p.cut, on...) }

// beginTo is begin up to a cut that may be an earlier one: no runner follows from there.
func (p *Process) beginTo(r *runner, cut core.Timestamp, on ...core.Timestamp) {
	core.Assert(cut == p.cut || !r.follows, "a runner that follows from %s, at the cut %s", cut, p.cut)
	r.marks = nil
	for _, t := range on {
		if t > 0 && t < cut {
			r.marks = append(r.marks, t)
		}
	}
	r.marks = append(r.marks, cut)
	p.refill(r)
}

// refill gives a runner that will follow what was handed on since the present cut.
func (p *Process) refill(r *runner) {
	r.drop()
	if r.follows {
		for _, i := range p.recent {
			r.put(i)
		}
	}
}

// overflow is met when a runner's inbox is full. A scan's cut can be chosen anew.
func (p *Process) overflow(r *runner) (mended bool) {
	if r.scanned || r.finish == r.target() {
		return false
	}
	p.out.Mark(markRetarget)
	r.marks[len(r.marks)-1] = p.cut
	p.refill(r)
	if r.scan != nil && r.scan.lane != nil {
		r.scan.lane.feed.WantNow(p.cut, p.now, p.out)
	}
	return true
}
