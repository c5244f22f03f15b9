// Package load keeps a server busy with commands and measures what each of them
// waits for.
//
// In a closed loop a fixed number of slots each send their next command when the
// last one is answered: the server sets the pace. In an open loop commands arrive
// at times that do not depend on the server, those of a Poisson process. One that
// finds no free slot waits, and its latency is counted from its arrival, so that a
// server that stalls is charged for every command that would have come meanwhile
// (coordinated omission; Gil Tene, How NOT to Measure Latency, 2013).
//
//	L1  Each command that arrived in the window is in the latencies once: with the
//	    time to its answer, or, if there was none, with the time it has waited,
//	    which is a lower bound, and it is counted in Unanswered.
//	L2  The rate is of commands that were answered within the window, whenever
//	    they arrived.
//	L3  What happens while the load ramps up is in neither.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Config of a load.
type Config struct {
	// Slots: how many commands are under way at once. In an open loop at most.
	Slots int
	// Rate is how many commands arrive a second, on average; 0: a closed loop.
	Rate float64
	// RampUp goes before the window that is measured, which has Duration.
	RampUp, Duration time.Duration
	// Drain is how long to wait for answers at the end; 0: 10 s.
	Drain time.Duration
	Seed  uint64
	// Window is told when the window begins and ends; nil: nobody.
	Window func(open bool)
	// Every Interval, OnInterval is told how it goes; 0: never.
	Interval   time.Duration
	OnInterval func(Interval)
}

const (
	// SlotsMax bounds what a load remembers.
	SlotsMax = 1 << 16
	// RateMax is more than one process can send.
	RateMax = 10e6
	// DurationMax keeps counters of arrivals within their type.
	DurationMax = 24 * time.Hour
	drain       = 10 * time.Second
)

// Validate reports the first thing wrong with c.
func (c *Config) Validate() error {
	switch {
	case c.Slots < 1 || c.Slots > SlotsMax:
		return fmt.Errorf("%d commands at once; want 1 to %d", c.Slots, SlotsMax)
	case !(c.Rate >= 0 && c.Rate <= RateMax):
		return fmt.Errorf("%v commands a second; want at most %v, or 0 for a closed loop", c.Rate, RateMax)
	case c.Duration <= 0 || c.Duration > DurationMax || c.RampUp < 0 || c.RampUp > DurationMax || c.Drain < 0:
		return fmt.Errorf("%v after %v; want a positive time of at most %v", c.Duration, c.RampUp, DurationMax)
	}
	return nil
}

// An Outcome is how a command ended.
type Outcome uint8

const (
	Accepted Outcome = iota
	Refused          // for good
	Unknown          // nobody knows
)

// A Driver makes the sender of a slot. The sender begins the slot's next command
// and does not wait, nor call End itself: that is called once for each command,
// by who receives answers.
type Driver func(s *Slot) (send func())

// A Slot is a place for one command at a time.
type Slot struct {
	// Number counts from 0.
	Number int

	run     *run
	send    func()
	arrived time.Duration // since the run began
	busy    bool
}

// End says that the slot's command has ended, with so many bytes stored.
func (s *Slot) End(o Outcome, bytes int) { s.run.end(s, o, bytes) }

// Fail ends the whole load: something is wrong with it, not with a command.
func (s *Slot) Fail(err error) { s.run.fail(err) }

// Turns spreads a load over n streams: each slot has some of them to itself, so
// that one command at a time is under way to each, and goes round them. There must
// be as many as slots. The function returned tells the stream of the next command.
func (s *Slot) Turns(n int) (next func() int) {
	slots := len(s.run.slots)
	at := s.Number - slots
	return func() int {
		if at += slots; at >= n {
			at = s.Number
		}
		return at
	}
}

// run is a load that runs. Times are since it began.
type run struct {
	cfg         Config
	begun       time.Time
	from, until time.Duration // the window
	stopped     chan struct{} // closed by fail
	ended       chan struct{} // closed by finish
	freed       chan struct{} // a slot became free that nothing waited for
	idle        chan struct{} // closed when the last slot is free, once over

	mu       sync.Mutex
	over     bool // nothing is sent any more
	sealed   bool // what ends now is nobody's
	err      error
	busy     int
	free     []*Slot // of an open loop
	arrivals arrivals
	slots    []Slot
	total    counts
	answered [3]int64 // in the window, by outcome
	bytes    int64
	part     counts // of an interval
}

// counts are latencies.
type counts struct{ latency *hdrhistogram.Histogram }

// Latencies are kept in nanoseconds, with three digits, up to ten minutes; what is
// longer counts as that.
const (
	latencyMax    = 10 * time.Minute
	latencyDigits = 3
)

func newCounts() counts {
	return counts{hdrhistogram.New(1, int64(latencyMax), latencyDigits)}
}

func (c *counts) add(d time.Duration) {
	_ = c.latency.RecordValue(int64(min(max(d, 1), latencyMax))) // it is in range
}

// arrivals are the times of a Poisson process, from a seed.
type arrivals struct {
	rand *rand.Rand
	mean float64 // ns
	next time.Duration
	part float64 // of a nanosecond, which next lacks
}

func newArrivals(rate float64, seed uint64) arrivals {
	a := arrivals{rand: rand.New(rand.NewPCG(seed, 1)), mean: 1e9 / rate}
	a.take()
	return a
}

// take returns the next arrival and draws the one after it.
func (a *arrivals) take() time.Duration {
	at := a.next
	gap := a.rand.ExpFloat64()*a.mean + a.part
	whole := time.Duration(gap)
	a.next, a.part = at+whole, gap-float64(whole)
	return at
}

// Run puts the load on a server and returns what it measured. The error is the
// context's, or what Fail was given. Senders may still be called while Run
// runs, and End at any time.
func Run(ctx context.Context, cfg Config, driver Driver) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Drain == 0 {
		cfg.Drain = drain
	}
	r := &run{cfg: cfg, from: cfg.RampUp, until: cfg.RampUp + cfg.Duration,
		stopped: make(chan struct{}), ended: make(chan struct{}), freed: make(chan struct{}, 1), idle: make(chan struct{}),
		slots: make([]Slot, cfg.Slots), total: newCounts(), part: newCounts()}
	for i := range r.slots {
		s := &r.slots[i]
		s.Number, s.run = i, r
		s.send = driver(s)
	}
	r.begun = time.Now()
	var others sync.WaitGroup
	others.Go(r.watchWindow)
	if cfg.Interval > 0 {
		others.Go(r.watchIntervals)
	}
	if cfg.Rate == 0 {
		r.startAll()
		r.wait(ctx, time.NewTimer(r.until-r.now()))
	} else {
		r.startArriving(ctx)
	}
	r.finish(ctx)
	others.Wait()
	return r.report()
}

func (r *run) now() time.Duration { return time.Since(r.begun) }

// wait reports whether the timer has come before an end.
func (r *run) wait(ctx context.Context, t *time.Timer) bool {
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		r.fail(context.Cause(ctx))
	case <-r.stopped:
	}
	return false
}

// startAll begins a closed loop.
func (r *run) startAll() {
	for i := range r.slots {
		r.mu.Lock()
		if r.over {
			r.mu.Unlock()
			return
		}
		r.begin(&r.slots[i], r.now())
		r.mu.Unlock()
		r.slots[i].send()
	}
}

// begin makes a slot busy. The caller has the lock, and calls send without it.
func (r *run) begin(s *Slot, arrived time.Duration) {
	s.arrived, s.busy = arrived, true
	r.busy++
}

// startArriving is an open loop: it hands arrivals to slots as they come due. When
// there are no free ones, those that end take what has arrived.
func (r *run) startArriving(ctx context.Context) {
	r.arrivals = newArrivals(r.cfg.Rate, r.cfg.Seed)
	for i := range r.slots {
		r.free = append(r.free, &r.slots[i])
	}
	var due []*Slot
	for {
		r.mu.Lock()
		now := r.now()
		due = due[:0]
		for len(r.free) > 0 && r.due(now) && !r.over {
			s := r.free[len(r.free)-1]
			r.free = r.free[:len(r.free)-1]
			r.begin(s, r.arrivals.take())
			due = append(due, s)
		}
		next, full := r.arrivals.next, len(r.free) == 0
		r.mu.Unlock()
		for _, s := range due {
			s.send()
		}
		switch now = r.now(); {
		case now >= r.until:
			return
		case full:
			select {
			case <-r.freed:
				continue
			case <-time.After(r.until - now):
			case <-ctx.Done():
				r.fail(context.Cause(ctx))
			case <-r.stopped:
			}
			return
		case !r.wait(ctx, time.NewTimer(min(next, r.until)-now)):
			return
		}
	}
}

// due reports whether a command has arrived that no slot has taken.
func (r *run) due(now time.Duration) bool {
	return r.arrivals.next <= now && r.arrivals.next < r.until
}

// end takes the end of a slot's command, and starts the next one if there is one.
func (r *run) end(s *Slot, o Outcome, bytes int) {
	r.mu.Lock()
	if r.sealed {
		r.mu.Unlock()
		return
	}
	now := r.now()
	if !s.busy {
		panic("load: a command ends that was not begun") // a driver's bug
	}
	s.busy = false
	r.busy--
	r.count(s, now)
	if now >= r.from && now < r.until {
		r.answered[o]++
		if o == Accepted {
			r.bytes += int64(bytes)
		}
	}
	again := false
	switch {
	case r.over || now >= r.until:
		if r.over && r.busy == 0 {
			close(r.idle)
		}
	case r.cfg.Rate == 0:
		r.begin(s, now)
		again = true
	case r.due(now):
		r.begin(s, r.arrivals.take())
		again = true
	default:
		r.free = append(r.free, s)
		if len(r.free) == 1 {
			select {
			case r.freed <- struct{}{}:
			default:
			}
		}
	}
	r.mu.Unlock()
	if again {
		s.send()
	}
}

// count adds a latency, if the command arrived in the window.
func (r *run) count(s *Slot, now time.Duration) {
	d := now - s.arrived
	r.part.add(d)
	if s.arrived >= r.from && s.arrived < r.until {
		r.total.add(d)
	}
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
		close(r.stopped)
	}
}

// finish waits for the answers that are missing, for a while.
func (r *run) finish(ctx context.Context) {
	defer close(r.ended)
	r.mu.Lock()
	r.over = true
	busy := r.busy
	r.mu.Unlock()
	if busy == 0 {
		return
	}
	t := time.NewTimer(r.cfg.Drain)
	defer t.Stop()
	select {
	case <-r.idle:
	case <-t.C:
	case <-ctx.Done():
		r.fail(context.Cause(ctx))
	case <-r.stopped:
	}
}

// watchWindow tells of the window's ends.
func (r *run) watchWindow() {
	if r.cfg.Window == nil {
		return
	}
	for _, edge := range []struct {
		at   time.Duration
		open bool
	}{{r.from, true}, {r.until, false}} {
		t := time.NewTimer(edge.at - r.now())
		select {
		case <-t.C:
			r.cfg.Window(edge.open)
		case <-r.stopped:
			t.Stop()
			return
		}
	}
}

// report is what was measured.
func (r *run) report() (*Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
	if r.err != nil {
		return nil, r.err
	}
	p := &Report{Loop: ClosedLoop, Slots: r.cfg.Slots, Rate: r.cfg.Rate, Seconds: r.cfg.Duration.Seconds(),
		Accepted: r.answered[Accepted], Refused: r.answered[Refused], Unknown: r.answered[Unknown], Bytes: r.bytes}
	p.PerSecond = float64(p.Accepted) / p.Seconds
	now := r.now()
	for i := range r.slots {
		if s := &r.slots[i]; s.busy {
			p.Unanswered++
			r.count(s, now)
		}
	}
	if r.cfg.Rate > 0 {
		p.Loop = OpenLoop
		for r.arrivals.next < r.until {
			if at := r.arrivals.take(); at >= r.from {
				p.Unanswered++
				r.total.add(now - at)
			}
		}
		p.Overloaded = overloaded(float64(p.Accepted+p.Refused+p.Unknown), float64(r.total.latency.TotalCount()))
	}
	p.Latency = latencyOf(r.total.latency)
	return p, nil
}
