package load

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Loops of a Report.
const (
	ClosedLoop = "closed"
	OpenLoop   = "open"
)

// A Report is what a load measured. Counts are of commands answered in the window.
type Report struct {
	Loop       string  `json:"loop"`
	Slots      int     `json:"in_flight"`
	Rate       float64 `json:"rate,omitempty"` // that was asked for, of an open loop
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"commands_per_second"` // accepted
	Accepted   int64   `json:"accepted"`
	Refused    int64   `json:"refused"`
	Unknown    int64   `json:"unknown"`
	Unanswered int64   `json:"unanswered"` // that arrived in the window, when all was over
	Bytes      int64   `json:"bytes"`      // of payload, accepted
	Latency    Latency `json:"latency_ms"`
	// Overloaded: of an open loop, the server did not keep pace.
	Overloaded bool `json:"overloaded"`
}

// Latency of all commands that arrived in the window, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e6 }
	return Latency{at(50), at(90), at(99), at(99.9), float64(h.Max()) / 1e6, h.Mean() / 1e6}
}

// overloaded reports whether fewer commands were answered in the window than
// arrived: by a twentieth, and by more than chance explains.
func overloaded(answered, arrived float64) bool {
	return arrived-answered > max(arrived/20, 4*math.Sqrt(arrived))
}

// An Interval is a part of a load, from its beginning on.
type Interval struct {
	At        time.Duration // its end, since the load began
	Seconds   float64
	PerSecond float64 // of commands that ended
	P50, P99  float64 // ms
	Max       float64
	Behind    time.Duration // how long the oldest arrival has waited for a slot
}

func (i Interval) String() string {
	s := fmt.Sprintf("%.0f commands/s, p50 %.3g ms, p99 %.3g ms", i.PerSecond, i.P50, i.P99)
	if i.Behind > 0 {
		s += fmt.Sprintf(", %v behind", i.Behind.Round(time.Millisecond))
	}
	return s
}

// watchIntervals tells how it goes until the window closes.
func (r *run) watchIntervals() {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	var last time.Duration
	for {
		select {
		case <-tick.C:
		case <-r.stopped:
			return
		case <-r.ended:
			return
		}
		r.mu.Lock()
		now := r.now()
		i := Interval{At: now, Seconds: (now - last).Seconds()}
		h := r.part.latency
		i.PerSecond = float64(h.TotalCount()) / i.Seconds
		l := latencyOf(h)
		i.P50, i.P99, i.Max = l.P50, l.P99, l.Max
		if r.cfg.Rate > 0 && r.due(now) {
			i.Behind = now - r.arrivals.next
		}
		h.Reset()
		r.mu.Unlock()
		last = now
		r.cfg.OnInterval(i)
	}
}
