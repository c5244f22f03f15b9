package sim

import (
	"fmt"
	"math/bits"
	"time"

	"actordb/core/proc"
)

// ClockConfig is how a node's clocks are off from the start.
type ClockConfig struct {
	Offset   time.Duration // of the wall clock, from true time
	DriftPPM int64         // of both clocks: parts per million fast (or slow)
}

const million = 1_000_000

// clock is the pair of clocks of a node. The wall clock runs at the rate of
// the monotonic one: wall = mono + ahead, unless it is frozen.
type clock struct {
	anchor time.Duration // virtual time at which the rate was last set
	base   int64         // mono at the anchor
	ppm    int64         // rate less one
	ahead  int64
	frozen bool
	stand  int64 // wall while frozen
}

func (c *clock) mono(now time.Duration) int64 { return c.base + scale(int64(now-c.anchor), c.ppm) }

func (c *clock) wall(now time.Duration) int64 {
	if c.frozen {
		return c.stand
	}
	return c.mono(now) + c.ahead
}

func (c *clock) read(now time.Duration) proc.Now {
	return proc.Now{Mono: proc.Tick(c.mono(now)), Wall: c.wall(now)}
}

// scale returns d·(1+ppm/10⁶), never decreasing in d since ppm > −10⁶.
func scale(d, ppm int64) int64 {
	if ppm == 0 {
		return d
	}
	return d + d/million*ppm + d%million*ppm/million
}

// due returns the first virtual time, not before now, at which mono has
// reached tick (H4).
func (c *clock) due(now time.Duration, tick int64) time.Duration {
	left := tick - c.base
	if left <= 0 {
		return now
	}
	if left > tickMax {
		return timeMax
	}
	if c.ppm == 0 {
		return max(now, c.anchor+time.Duration(left))
	}
	hi, lo := bits.Mul64(uint64(left), million)
	quo, _ := bits.Div64(hi, lo, uint64(million+c.ppm)) // left < 2⁵⁹ and the divisor is at least 10⁵: it fits
	d := int64(quo)
	for scale(d, c.ppm) < left {
		d++
	}
	for d > 0 && scale(d-1, c.ppm) >= left {
		d--
	}
	return max(now, c.anchor+time.Duration(d))
}

func (c *clock) setRate(now time.Duration, ppm int64) {
	c.base, c.anchor, c.ppm = c.mono(now), now, ppm
}

// reboot starts the monotonic clock at zero. The wall clock has a battery.
func (c *clock) reboot(now time.Duration) {
	c.ahead += c.mono(now)
	c.base, c.anchor = 0, now
}

func checkRate(ppm int64) {
	if ppm < ratePPMMin || ppm > ratePPMMax {
		panic(fmt.Sprintf("sim: clock rate of %d ppm is outside [%d, %d]", ppm, ratePPMMin, ratePPMMax))
	}
}

// JumpWall moves the node's wall clock, forwards or back.
func (w *World) JumpWall(id proc.NodeID, by time.Duration) {
	n := w.node(id)
	n.clock.ahead += int64(by)
	n.clock.stand += int64(by)
	w.event(fmt.Sprintf("clock of n%d jumps by %v", id, by))
}

// FreezeWall makes the node's wall clock stand still. The monotonic one goes on.
func (w *World) FreezeWall(id proc.NodeID) {
	c := &w.node(id).clock
	c.stand = c.wall(w.now)
	c.frozen = true
	w.event(fmt.Sprintf("clock of n%d freezes", id))
}

// UnfreezeWall lets the node's wall clock jump to where it would be by now.
func (w *World) UnfreezeWall(id proc.NodeID) {
	w.node(id).clock.frozen = false
	w.event(fmt.Sprintf("clock of n%d unfreezes", id))
}

// SetClockRate makes both clocks of the node run ppm parts per million fast
// (slow if negative), from now on. Timers follow.
func (w *World) SetClockRate(id proc.NodeID, ppm int64) {
	checkRate(ppm)
	n := w.node(id)
	n.clock.setRate(w.now, ppm)
	w.retime(n)
	w.event(fmt.Sprintf("clock of n%d runs %+d ppm", id, ppm))
}

// retime moves the pending timers of a node to where its clock now has them.
func (w *World) retime(n *node) {
	for i := range w.q.slab {
		e := &w.q.slab[i]
		if e.kind == proc.Timer && e.pos >= 0 && w.procs[e.target].addr.Node == n.id {
			e.at = n.clock.due(w.now, int64(e.tick))
			w.q.fix(int32(i))
		}
	}
}

// Clock reads the node's clocks.
func (w *World) Clock(id proc.NodeID) proc.Now { return w.node(id).clock.read(w.now) }

// DriftPPM returns the rate that the node's clocks were configured with.
func (w *World) DriftPPM(id proc.NodeID) int64 { return w.node(id).config.DriftPPM }
