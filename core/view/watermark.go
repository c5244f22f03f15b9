package view

import (
	"container/heap"
	"container/list"

	"actordb/core/row"
)

// Timing is what a type of event declares about the times of its events, in
// microseconds.
type Timing struct {
	Lateness   int64 // how much an event may be older than one that its source has sent before it
	Correction int64 // how long a window that is complete takes in late events
	Skew       int64 // how far a source's clock may be ahead of the commit's
	Idle       int64 // how long a source may be silent before nobody waits for it
	Source     int   // the column that tells sources apart, or -1: the type is one source
}

// Limits and defaults of Timing.
const (
	TimingMax   = int64(366 * 24 * 3600 * 1e6)
	IdleDefault = int64(60e6)
	// SourcesMax bounds the sources that are waited for. One more, and the one that
	// was silent the longest counts as idle.
	SourcesMax = 100_000
)

// tracker follows the watermark of one type of event through the journals: the time
// that the type's events have come up to. It is the least time that any source
// has come up to, less the lateness, and never goes back. A source has come up to
// its newest event, but not further than the commit's time and the skew: a clock that
// is far ahead cannot carry it away. A source that is silent for too long, by commit
// times, holds it back no more; when it sends again it does.
//
//	T1  The watermark before a block is a function of the blocks before it, in the
//	    order of (timestamp, shard), and of the block's timestamp: no timer and no
//	    cut has a part in it.
//	T2  It never goes back.
//
// A block's events are judged by the watermark before the block.
type tracker struct {
	Timing
	mark    int64 // microseconds; row.NegInfinity before the first event
	sources map[string]*source
	least   byTime
	silent  *list.List // of *source, who was heard longest ago first
}

// source is one that is waited for.
type source struct {
	name  string
	time  int64 // that it has come up to
	heard int64 // commit time of its last event
	index int   // in least
	place *list.Element
}

func newTracker(t Timing) *tracker {
	return &tracker{Timing: t, mark: row.NegInfinity, sources: map[string]*source{}, silent: list.New()}
}

// at is the watermark at a commit time, which must not be before the last one.
// Asking changes nothing that is told later.
func (t *tracker) at(commit int64) int64 {
	for t.silent.Len() > 0 {
		first := t.silent.Front().Value.(*source).heard
		if first+t.Idle >= commit {
			break
		}
		t.forget(first)
	}
	return t.mark
}

// forget takes out the sources that were heard last at a time, all at once.
func (t *tracker) forget(heard int64) {
	for e := t.silent.Front(); e != nil && e.Value.(*source).heard == heard; e = t.silent.Front() {
		s := e.Value.(*source)
		t.silent.Remove(e)
		heap.Remove(&t.least, s.index)
		delete(t.sources, s.name)
	}
	t.advance()
}

// advance moves the watermark to where the sources are. Without sources it stays.
func (t *tracker) advance() {
	if len(t.least) > 0 {
		t.mark = max(t.mark, t.least[0].time-t.Lateness)
	}
}

// see takes the time of an event of a source, committed at a time for which at was
// asked before.
func (t *tracker) see(name []byte, event, commit int64) {
	event = min(event, commit+t.Skew)
	s := t.sources[string(name)]
	if s == nil {
		if len(t.sources) == SourcesMax {
			t.forget(t.silent.Front().Value.(*source).heard)
		}
		s = &source{name: string(name), time: event, heard: commit}
		t.sources[s.name] = s
		heap.Push(&t.least, s)
		s.place = t.silent.PushBack(s)
		return
	}
	if event > s.time {
		s.time = event
		heap.Fix(&t.least, s.index)
	}
	if s.heard != commit {
		s.heard = commit
		t.silent.MoveToBack(s.place)
	}
}

// closed is the time at or before which windows are closed when the watermark is
// mark: nothing in them changes any more.
func (t *tracker) closed(mark int64) int64 {
	if mark == row.NegInfinity {
		return mark
	}
	return mark - t.Correction
}

// byTime is a heap of sources by the time that they have come up to.
type byTime []*source

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].time < h[j].time }
func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *byTime) Push(x any) {
	s := x.(*source)
	s.index = len(*h)
	*h = append(*h, s)
}
func (h *byTime) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}
