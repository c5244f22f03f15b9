package testbed

import (
	"math/rand/v2"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/view"
	"actordb/internal/viewcheck"
)

// standing is kept views with their judge, over what a watcher is handed: compared
// when there are a share more events, and when the run ends.
type standing struct {
	judge  viewJudge
	rand   *rand.Rand
	out    *checkers.Result
	events int
	next   int  // compare at so many
	whole  bool // nothing was taken since the last cut
	done   bool // it has seen enough, or something was wrong
}

// viewJudge is what internal/viewcheck has several of.
type viewJudge interface {
	Take(core.ShardID, core.Index, *journal.Block) error
	Cut(core.Timestamp, *rand.Rand) error
	Compare() (examined int, err error)
}

const standingMax = 30_000 // events

// newStandings makes those that the run's workloads have events for.
func (r *run) newStandings(random *rand.Rand) (list []*standing) {
	add := func(name string, j viewJudge, err error) {
		core.Assert(err == nil, "the views of %s: %v", name, err)
		list = append(list, &standing{judge: j, rand: random, out: r.standingResult(name)})
	}
	if r.settings.sensors {
		j, err := viewcheck.NewSensors()
		add("watermarks", j, err)
	}
	if r.settings.banks {
		j, err := viewcheck.NewBank()
		add("bank", j, err)
	}
	r.standings = append(r.standings, list...)
	return list
}

// standingResult is the result of a name, which all that stand under it share.
func (r *run) standingResult(name string) *checkers.Result {
	for _, c := range r.stood {
		if c.Name == name {
			return c
		}
	}
	c := &checkers.Result{Name: name, Verdict: checkers.Pass}
	r.stood = append(r.stood, c)
	return c
}

func (s *standing) take(b *feed.Block, parsed *journal.Block) {
	if s.done {
		return
	}
	s.whole = false
	s.events += len(parsed.Rows())
	s.note(s.judge.Take(b.Shard, b.Index, parsed))
}

func (s *standing) cut(at core.Timestamp) {
	if s.done {
		return
	}
	s.note(s.judge.Cut(at, s.rand))
	if s.whole = true; s.done || s.events < s.next {
		return
	}
	s.next = s.events + s.events/4 + 100
	s.compare()
	s.done = s.done || s.events >= standingMax
}

func (s *standing) compare() {
	n, err := s.judge.Compare()
	s.out.Examined += n
	s.note(err)
}

func (s *standing) note(err error) {
	if err != nil && s.out.Verdict != checkers.Fail {
		s.out.Verdict, s.out.Note = checkers.Fail, err.Error()
	}
	s.done = s.done || err != nil
}

// judgeStandings compares once more what stands at a cut.
func (r *run) judgeStandings() (list []checkers.Result) {
	for _, s := range r.standings {
		if s.whole && !s.done {
			s.compare()
		}
	}
	for _, c := range r.stood {
		list = append(list, *c)
	}
	return list
}

// drawPrices draws by what views are promoted and demoted: in most seeds so little that
// it happens all the time, at moments that the seed decides.
func (s *settings) drawPrices(r *rand.Rand, o *Options) {
	if q := &s.query; o.Faults != "none" && r.IntN(4) > 0 {
		q.Promoted = between(r, 1, 4)
		q.Prices = view.Prices{Build: int64(between(r, 1, 2)), Change: int64(1) << r.IntN(6), Rent: int64(r.IntN(100)), Late: int64(between(r, 1, 8))}
		q.Late = proc.Tick(between(r, 1, 100)) * 1e6
	}
}

// readings adds up what the judges of sensors account for.
func (r *run) readings() (sum checkers.Account) {
	for _, s := range r.standings {
		if j, ok := s.judge.(*viewcheck.Sensors); ok {
			a := j.Account()
			sum.In += a.In
			sum.OnTime += a.OnTime
			sum.Corrected += a.Corrected
			sum.Missed += a.Missed
			sum.Future += a.Future
		}
	}
	return sum
}
