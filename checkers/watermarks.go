package checkers

import (
	"cmp"
	"fmt"
	"slices"
)

// Timing is what a type of event declares about its times, in microseconds.
type Timing struct{ Lateness, Correction, Skew, Idle int64 }

// A Reading is an event with a time of its own. Times are microseconds since 1970.
type Reading struct {
	Key, Source          string
	Seq                  uint64
	Event, Commit, Value int64
	Mark                 Mark // before its block; Watermarks fills it in
}

// A Mark is a watermark, if there is one.
type Mark struct {
	At    int64
	Known bool
}

// Watermarks says, from the journals alone, how far event time had come before each
// block, and what windows must therefore hold. It is straight from the definition:
//
//	A source has come up to the newest of its events, each counted as at most the
//	commit's time and the skew. It is waited for until it was silent for more than
//	the idle time, by commit times, and again once it is heard. Event time has come
//	to the least of the sources that are waited for, less the lateness; it never
//	goes back, and stays where it is while there is no source.
//
// It is fed blocks in the order of (timestamp, shard).
type Watermarks struct {
	timing   Timing
	sources  []heardSource
	mark     Mark
	readings []Reading
}

type heardSource struct {
	name        string
	upTo, heard int64
}

// NewWatermarks begins before the first block.
func NewWatermarks(t Timing) *Watermarks { return &Watermarks{timing: t} }

// Readings are all that was taken.
func (w *Watermarks) Readings() []Reading { return w.readings }

// Block takes the readings of a block, all of one commit time.
func (w *Watermarks) Block(commit int64, list []Reading) {
	if len(list) == 0 {
		return
	}
	before := w.Before(commit)
	for _, r := range list {
		r.Mark = before
		w.readings = append(w.readings, r)
		upTo := min(r.Event, commit+w.timing.Skew)
		i := slices.IndexFunc(w.sources, func(s heardSource) bool { return s.name == r.Source })
		if i < 0 {
			w.sources = append(w.sources, heardSource{r.Source, upTo, commit})
			continue
		}
		w.sources[i].upTo = max(w.sources[i].upTo, upTo)
		w.sources[i].heard = commit
	}
	w.reach()
}

// reach moves the mark to the least of the sources.
func (w *Watermarks) reach() {
	if len(w.sources) == 0 {
		return
	}
	least := slices.MinFunc(w.sources, func(a, b heardSource) int { return cmp.Compare(a.upTo, b.upTo) }).upTo - w.timing.Lateness
	if !w.mark.Known || least > w.mark.At {
		w.mark = Mark{least, true}
	}
}

// Before is the mark that a block with this commit time is judged by.
func (w *Watermarks) Before(commit int64) Mark {
	for {
		// The next moment at which a source is given up.
		moment, some := int64(0), false
		for _, s := range w.sources {
			if gone := s.heard + w.timing.Idle; gone < commit && (!some || gone < moment) {
				moment, some = gone, true
			}
		}
		if !some {
			return w.mark
		}
		w.sources = slices.DeleteFunc(w.sources, func(s heardSource) bool { return s.heard+w.timing.Idle == moment })
		w.reach()
	}
}

// Closed reports whether a window that ends at a time was closed for a reading.
func (w *Watermarks) Closed(r *Reading, end int64) bool {
	return r.Mark.Known && end <= r.Mark.At-w.timing.Correction
}

// A Window is what one window of readings holds.
type Window struct {
	Key             string // of sessions
	Start, End      int64
	Count, Sum, Max int64
}

// A Missed reading came when its window was closed.
type Missed struct {
	Key        string
	Seq        uint64
	Start, End int64
}

// Hops are the windows [start, start+size) at multiples of slide, and what came too
// late for them.
func (w *Watermarks) Hops(slide, size int64) (list []Window, missed []Missed) {
	by := map[int64]*Window{}
	for i := range w.readings {
		r := &w.readings[i]
		start := r.Event - mod(r.Event, slide)
		for ; start+size > r.Event; start -= slide {
			if w.Closed(r, start+size) {
				missed = append(missed, Missed{r.Key, r.Seq, start, start + size})
				continue
			}
			x := by[start]
			if x == nil {
				x = &Window{Start: start, End: start + size, Max: r.Value}
				by[start] = x
			}
			x.add(r)
		}
	}
	for _, x := range by {
		list = append(list, *x)
	}
	slices.SortFunc(list, func(a, b Window) int { return cmp.Compare(a.Start, b.Start) })
	return list, missed
}

func (x *Window) add(r *Reading) {
	x.Count++
	x.Sum += r.Value
	x.Max = max(x.Max, r.Value)
}

func mod(a, b int64) int64 { return (a%b + b) % b }

// Sessions are the runs of readings of a key that are at most a gap apart. A reading
// whose own session would have been closed is in none.
func (w *Watermarks) Sessions(gap int64) (list []Window, missed []Missed) {
	var in []*Reading
	for i := range w.readings {
		if r := &w.readings[i]; w.Closed(r, r.Event+gap) {
			missed = append(missed, Missed{r.Key, r.Seq, r.Event, r.Event + gap})
		} else {
			in = append(in, r)
		}
	}
	slices.SortStableFunc(in, func(a, b *Reading) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Event, b.Event)) })
	for i, r := range in {
		if i == 0 || in[i-1].Key != r.Key || r.Event-in[i-1].Event > gap {
			list = append(list, Window{Key: r.Key, Start: r.Event, Max: r.Value})
		}
		x := &list[len(list)-1]
		x.add(r)
		x.End = r.Event + gap
	}
	return list, missed
}

// An Account says what became of readings: In = OnTime + Corrected + Missed, by
// windows of one size.
type Account struct{ In, OnTime, Corrected, Missed, Future int64 }

func (a Account) String() string {
	return fmt.Sprintf("%d in, %d on time, %d corrected, %d beyond correction; %d from the future", a.In, a.OnTime, a.Corrected, a.Missed, a.Future)
}

// Account accounts for tumbling windows of a size.
func (w *Watermarks) Account(size int64) (a Account) {
	for i := range w.readings {
		r := &w.readings[i]
		a.In++
		if r.Event > r.Commit+w.timing.Skew {
			a.Future++
		}
		switch end := r.Event - mod(r.Event, size) + size; {
		case w.Closed(r, end):
			a.Missed++
		case r.Mark.Known && r.Event < r.Mark.At:
			a.Corrected++
		default:
			a.OnTime++
		}
	}
	return a
}
