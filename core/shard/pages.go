package shard

import "actordb/core"

// A history is read in pages, oldest events first, but its blocks are found from
// the newest one back. To go all the way back for each page would cost the square
// of its length: so where a page ended, and the way from there to the newest block,
// is remembered for the next one. What is remembered may be dropped at any time.
const (
	pagesKept     = 16
	pageBlocksMax = 1 << 17 // of the way, nearest first: 1 MiB
)

// page is where the reading of a history may go on.
type page struct {
	id     core.ActorID
	handle uint32
	next   core.Seq     // first event of the next page
	back   []core.Index // blocks, the one with next at the end
}

// keepPage remembers where a walk ended that answers a request.
func (s *Shard) keepPage(w *walk, k *known) {
	if len(w.back) == 0 {
		return // it is all read
	}
	back := w.back[max(0, len(w.back)-pageBlocksMax):]
	s.pages[s.pageAt%pagesKept] = page{id: k.id, handle: w.handle, next: w.base + 1, back: back}
	s.pageAt++
}

// resume lets a walk go on where an earlier one ended, if that is remembered.
func (s *Shard) resume(w *walk, k *known) {
	for i := range s.pages {
		p := &s.pages[i]
		if p.handle == w.handle && p.next == w.base+1 && len(p.back) > 0 && p.id == k.id {
			w.step, w.back, w.at, w.resumed = walkForward, p.back, p.back[len(p.back)-1], true
			*p = page{}
			s.out.Mark(markResumed)
			return
		}
	}
}

// restart begins a resumed walk anew, from the newest block: the log was compacted,
// and only so can it tell which event is the first one that is left.
func (s *Shard) restart(w *walk) {
	k := s.actors.at(w.handle)
	w.resumed, w.back, w.events = false, nil, nil
	w.base, w.step, w.at = max(w.request.command.Expected, 1)-1, walkBack, k.last
	s.visit(w)
}
