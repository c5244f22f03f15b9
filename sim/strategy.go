package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// StrategyKind names a way to choose the next input.
type StrategyKind uint8

const (
	// Time takes inputs in the order of their due times.
	Time StrategyKind = iota
	// Random takes any of the inputs due within Slack of the earliest, each
	// with the same probability.
	Random
	// PCT gives each process a random priority and takes the input of the
	// process with the highest, among those due within Slack of the earliest; at
	// Depth−1 random steps the process about to run falls below all others. It
	// finds a bug that takes Depth ordering constraints with probability at
	// least 1/(n·k^(Depth−1)) for n processes and k steps, where all inputs are
	// within one slack (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized
	// Scheduler with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010).
	PCT
	// Replay follows Log.
	Replay
)

var strategyNames = [...]string{"time", "random", "pct", "replay"}

func (k StrategyKind) String() string {
	if int(k) < len(strategyNames) {
		return strategyNames[k]
	}
	return "?"
}

// ParseStrategy is the inverse of String.
func ParseStrategy(s string) (StrategyKind, error) {
	if i := slices.Index(strategyNames[:], s); i >= 0 {
		return StrategyKind(i), nil
	}
	return 0, fmt.Errorf("no strategy is called %q: there are %v", s, strategyNames)
}

// Strategy chooses the next input. Zero fields take defaults.
type Strategy struct {
	Kind  StrategyKind
	Slack time.Duration // how far an input may be overtaken by later ones
	Depth int           // PCT
	Steps uint64        // PCT: how many steps the run will have, roughly
	Log   *Log          // Replay

	// Loose lets a Replay go on where the run differs from the log: it takes the
	// earliest input instead and counts a miss. Shrinking needs it.
	Loose bool
}

func (s *Strategy) defaults() {
	orDefault(&s.Slack, slackDefault)
	orDefault(&s.Depth, pctDepthDefault)
	orDefault(&s.Steps, pctStepsDefault)
}

// chooser is the state of a strategy.
type chooser struct {
	rng     *rand.Rand
	points  []uint64 // PCT: steps of the priority changes, ascending
	changed int      // PCT: how many of them have passed
	walk    []int32  // scratch: positions in the heap
	cursor  cursor   // Replay
	misses  int      // Replay, Loose
}

func newChooser(seed uint64, s Strategy) chooser {
	c := chooser{rng: Stream(seed, "sim/strategy"), walk: make([]int32, 0, candidatesMax+4)}
	if s.Kind == PCT {
		for range s.Depth - 1 {
			c.points = append(c.points, 1+c.rng.Uint64N(s.Steps))
		}
		slices.Sort(c.points)
	}
	if s.Kind == Replay {
		c.cursor = s.Log.start()
	}
	return c
}

// priority draws the PCT priority of a new process: above those that change
// points assign, which are 1, 2, ….
func (c *chooser) priority() uint64 { return c.rng.Uint64() | 1<<63 }

// choose returns the position in the heap of the input to deliver next. The
// one at position 0 is deliverable. bound is the latest due time to consider.
func (w *World) choose(bound time.Duration) int32 {
	switch w.cfg.Strategy.Kind {
	case Random:
		c := w.candidates(bound)
		if len(c) == 1 {
			return c[0]
		}
		return c[w.ch.rng.Uint64N(uint64(len(c)))]
	case PCT:
		return w.choosePCT(bound)
	case Replay:
		return w.chooseReplay(bound)
	default:
		return 0
	}
}

// candidates returns the positions of deliverable inputs due by bound. It goes
// down the heap breadth first, and prunes where the bound is passed.
func (w *World) candidates(bound time.Duration) []int32 {
	h := w.q.heap
	walk := append(w.ch.walk[:0], 0)
	for i := 0; i < len(walk) && len(walk) < candidatesMax; i++ {
		first := 4*int(walk[i]) + 1
		for c := first; c < min(first+4, len(h)); c++ {
			if h[c].at <= bound {
				walk = append(walk, int32(c))
			}
		}
	}
	keep := walk[:0]
	for _, c := range walk {
		if w.deliverable(c) {
			keep = append(keep, c)
		}
	}
	return keep
}

// deliverable tells whether the input at a position of the heap may come now:
// its node is not paused, and it is Start or comes after Start.
func (w *World) deliverable(pos int32) bool {
	e := &w.q.slab[w.q.heap[pos].slot]
	p := w.procs[e.target]
	return !p.node.paused && (p.started || e.kind == startKind)
}

func (w *World) choosePCT(bound time.Duration) int32 {
	best, bestPriority := int32(none), uint64(0)
	for _, c := range w.candidates(bound) {
		k := w.q.heap[c]
		priority := w.procs[w.q.slab[k.slot].target].priority
		if priority > bestPriority || priority == bestPriority && k.before(w.q.heap[best]) {
			best, bestPriority = c, priority
		}
	}
	ch := &w.ch
	if ch.changed < len(ch.points) && w.steps+1 >= ch.points[ch.changed] {
		ch.changed++
		w.procs[w.q.slab[w.q.heap[best].slot].target].priority = uint64(ch.changed)
		return w.choosePCT(bound)
	}
	return best
}

func (w *World) chooseReplay(bound time.Duration) int32 {
	cur := &w.ch.cursor
	for cur.ok && cur.step <= w.steps { // left behind by a loose replay
		w.ch.misses++
		cur.next()
	}
	if !cur.ok || cur.step != w.steps+1 {
		return 0
	}
	seq := cur.seq
	cur.next()
	for i, k := range w.q.heap {
		if k.seq == seq && k.at <= bound && w.deliverable(int32(i)) {
			return int32(i)
		}
	}
	w.ch.misses++
	if !w.cfg.Strategy.Loose {
		w.stop(&DivergenceError{Step: w.steps + 1, Want: fmt.Sprintf("input %d", seq), Got: "none such that is due"})
	}
	return 0
}

// Misses counts the decisions that a loose Replay could not follow.
func (w *World) Misses() int { return w.ch.misses }
