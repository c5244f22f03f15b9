package shard

import (
	"slices"

	"actordb/core"
	"actordb/core/proc"
)

// An asker was refused because nobody is known to lead. It hears as soon as
// somebody does, so that a change of leaders costs no round of repeated attempts.
type asker struct {
	to     proc.Addr
	answer core.Answer // to one of its commands; the others wait with that
}

// askersMax bounds who is told; a gateway needs no more than one to be.
const askersMax = 64

// asks notes who was refused without a hint.
func (s *Shard) asks(to proc.Addr, a *core.Answer) {
	if a.Seq != 0 || len(s.askers) >= askersMax || slices.ContainsFunc(s.askers, func(x asker) bool { return x.to == to }) {
		return
	}
	s.askers = append(s.askers, asker{to, *a})
}

// tellLeader tells those who asked in vain who leads, once that is known.
func (s *Shard) tellLeader() {
	if len(s.askers) == 0 {
		return
	}
	lead := s.hint()
	if s.leading {
		lead = core.Seq(s.cfg.Replica)
	}
	if lead == 0 {
		return
	}
	s.out.Mark(markToldLeader)
	for i := range s.askers {
		x := &s.askers[i]
		x.answer.Seq = lead
		s.answer(x.to, &x.answer)
	}
	clear(s.askers)
	s.askers = s.askers[:0]
}
