package viewcheck

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
	"actordb/internal/viewtest"
)

// A Class is what may be wrong with the times of readings.
type Class string

const (
	OnTime     Class = "on time"
	OutOfOrder Class = "out of order"  // by less than the lateness
	Late       Class = "late"          // within the correction, mostly
	Beyond     Class = "beyond"        // beyond the correction, mostly
	Duplicate  Class = "duplicate"     // the same time and value again
	Future     Class = "far future"    // a clock that is ahead, up to a century
	Resumed    Class = "idle, resumed" // a source that was silent sends what it kept
	Jump       Class = "clock jump"    // commit times leap, by up to minutes
	Skewed     Class = "skewed clocks" // each source has its own
)

// Classes lists them.
var Classes = []Class{OnTime, OutOfOrder, Late, Beyond, Duplicate, Future, Resumed, Jump, Skewed}

// A History makes blocks of readings such as several shards would write, with what
// its classes ask for mixed in. It is a function of its random numbers.
type History struct {
	Made    map[Class]int64
	rand    *rand.Rand
	classes []Class
	blocks  viewtest.History
	clock   core.Timestamp
	skews   []core.Timestamp // of each source
	silent  []core.Timestamp // until when
	kept    [][]core.Timestamp
	grain   core.Timestamp // times are its multiples: so many fall together, also at bounds
	last    core.NewEvent
	lastOf  int
}

const historySources = 6

// NewHistory begins one.
func NewHistory(random *rand.Rand, classes []Class) *History {
	h := &History{Made: map[Class]int64{}, rand: random, classes: classes, clock: core.Timestamp(1_759_140_000e9) + core.Timestamp(random.Int64N(1e9)),
		skews: make([]core.Timestamp, historySources), silent: make([]core.Timestamp, historySources), kept: make([][]core.Timestamp, historySources)}
	if h.grain = 1; random.IntN(2) == 0 {
		h.grain = 100e6
	}
	h.clock -= h.clock % h.grain
	if slices.Contains(classes, Skewed) {
		for i := range h.skews {
			h.skews[i] = core.Timestamp(random.Int64N(800e6)) - 400e6
		}
	}
	return h
}

func (h *History) between(lo, hi int64) core.Timestamp {
	return core.Timestamp(lo + h.rand.Int64N(hi-lo+1))
}

// Block is the next one, with about n readings. Some have none.
func (h *History) Block(n int) (viewtest.Block, error) {
	if h.clock += h.between(1e6, 200e6); h.pick(Jump) && h.rand.IntN(40) == 0 {
		h.clock += h.between(1e9, 120e9)
		h.Made[Jump]++
	}
	h.clock += (h.grain - h.clock%h.grain) % h.grain
	var events []viewtest.Event
	for range n {
		source, e := h.reading()
		events = append(events, viewtest.Event{Actor: core.ActorID("sensor/" + strconv.Itoa(source)), NewEvent: e})
	}
	return h.blocks.Write(h.clock, events)
}

// Clock is the commit time of the last block.
func (h *History) Clock() core.Timestamp { return h.clock }

func (h *History) pick(c Class) bool { return slices.Contains(h.classes, c) }

// reading draws what a source sends.
func (h *History) reading() (source int, e core.NewEvent) {
	class := h.classes[h.rand.IntN(len(h.classes))]
	if class == Duplicate && h.last.Type != "" {
		h.Made[Duplicate]++
		return h.lastOf, h.last
	}
	source = h.rand.IntN(historySources)
	now := h.clock + h.skews[source]
	at := now - h.between(0, 100e6)
	if h.pick(Resumed) {
		switch {
		case h.silent[source] > h.clock: // it keeps what it measures; another one sends
			h.kept[source] = append(h.kept[source], at)
			source = (source + 1) % historySources
		case len(h.kept[source]) > 0:
			last := len(h.kept[source]) - 1
			at, h.kept[source] = h.kept[source][last], h.kept[source][:last]
			class = Resumed
		case class == Resumed && h.rand.IntN(20) == 0:
			h.silent[source] = h.clock + h.between(1e9, 8e9)
		}
	}
	switch class {
	case OutOfOrder:
		at = now - h.between(0, 500e6)
	case Late:
		at = now - h.between(500e6, 4e9)
	case Beyond:
		at = now - h.between(4e9, 30e9)
	case Future:
		at = now + h.between(1e6, []int64{400e6, 30e9, 3e18}[h.rand.IntN(3)])
	}
	h.Made[class]++
	at -= at % h.grain
	h.last = core.NewEvent{Type: "reading", Version: 1, EventTime: at,
		Payload: protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), protowire.EncodeZigZag(h.rand.Int64N(1000)-200))}
	h.lastOf = source
	return source, h.last
}
