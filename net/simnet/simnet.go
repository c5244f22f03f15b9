package simnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"actordb/core/proc"
	"actordb/sim"
)

// The faults that a rate can be set for, by frame, and those that links have
// for a while. The names are the sites of reports.
const (
	SiteDrop      = "drop"       // the frame is lost
	SiteDuplicate = "duplicate"  // it arrives twice
	SiteDelay     = "delay"      // it takes up to DelayMax longer, and all behind it
	SiteReorder   = "reorder"    // it takes up to DelayMax longer, and those behind it do not
	SiteReset     = "reset"      // its connection breaks
	SiteHalfFrame = "half_frame" // its connection breaks in the middle of it
	SiteSlowLink  = "slow_link"
)

// rates are the faults by frame, in the order in which they are drawn.
const (
	drop = iota
	duplicate
	delay
	reorder
	reset
	halfFrame
	rateCount
)

var rateSites = [rateCount]string{SiteDrop, SiteDuplicate, SiteDelay, SiteReorder, SiteReset, SiteHalfFrame}

const (
	million      = 1_000_000
	nodesMax     = 4096 // links are a square table
	cutsMax      = 1024 // faults of links at once
	bandwidthMin = 1    // bytes/s
)

// Config describes the links. A zero Bandwidth is no limit.
type Config struct {
	BaseMin   time.Duration // base delays are drawn between these two
	BaseMax   time.Duration
	Jitter    time.Duration // added to each frame, up to this
	TailPPM   int           // of frames, the part that takes up to TailMax longer
	TailMax   time.Duration
	Bandwidth int64         // bytes/s of each link
	DelayMax  time.Duration // of the faults delay and reorder
	WaitMax   time.Duration // frames that would wait longer for bandwidth are lost
	Unordered bool          // frames overtake each other even without faults
}

// DefaultConfig is a data centre.
func DefaultConfig() Config {
	return Config{
		BaseMin:   100 * time.Microsecond,
		BaseMax:   300 * time.Microsecond,
		Jitter:    100 * time.Microsecond,
		TailPPM:   1000,
		TailMax:   5 * time.Millisecond,
		Bandwidth: 1 << 30,
		DelayMax:  500 * time.Millisecond,
		WaitMax:   2 * time.Second,
	}
}

// Validate says what is wrong with c, or nil.
func (c Config) Validate() error {
	switch {
	case c.BaseMin < 0 || c.BaseMax < c.BaseMin:
		return fmt.Errorf("simnet: base delays from %v to %v", c.BaseMin, c.BaseMax)
	case c.Jitter < 0 || c.TailMax < 0 || c.DelayMax < 0 || c.WaitMax < 0:
		return errors.New("simnet: negative delay")
	case c.TailPPM < 0 || c.TailPPM > million:
		return fmt.Errorf("simnet: tail rate of %d parts per million", c.TailPPM)
	case c.Bandwidth < 0:
		return fmt.Errorf("simnet: bandwidth of %d bytes/s", c.Bandwidth)
	}
	return nil
}

// link is one direction between two nodes.
type link struct {
	base  time.Duration
	free  time.Duration // when the last byte sent so far has left the sender
	limit int64         // bytes/s; 0: none
	known bool
}

// fault is something that links have for a while.
type fault struct {
	id      int
	site    string
	from    []proc.NodeID
	to      []proc.NodeID
	limit   int64 // of a slow link; 0: the links are cut
	counted bool
}

// Network implements sim.Network and sim.Healer.
type Network struct {
	cfg    Config
	delays *rand.Rand
	bases  uint64 // seed of the base delays
	rates  [rateCount]uint32
	rngs   [rateCount]*rand.Rand
	any    bool // some rate is not zero
	faults []*fault
	links  []link // from·nodes + to
	nodes  int
	hits   map[string]uint64
}

// New returns a network without faults. seed is the world's.
func New(seed uint64, cfg Config) (*Network, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg, delays: sim.Stream(seed, "simnet/delay"), bases: seed, hits: map[string]uint64{}}
	for i, site := range rateSites {
		n.rngs[i] = sim.Stream(seed, "simnet/"+site)
	}
	return n, nil
}

// SetRate sets how many of a million frames meet a fault.
func (n *Network) SetRate(site string, ppm int) error {
	if ppm < 0 || ppm > million {
		return fmt.Errorf("simnet: rate of %s is %d parts per million", site, ppm)
	}
	for i, s := range rateSites {
		if s == site {
			n.rates[i] = uint32(ppm)
			n.any = n.rates != [rateCount]uint32{}
			return nil
		}
	}
	return fmt.Errorf("simnet: no rate is called %q: there are %v", site, rateSites)
}

// Cut loses what is sent from one of from to one of to, until Mend(id). It is
// counted under site. Several calls with one id are one fault.
func (n *Network) Cut(id int, site string, from, to []proc.NodeID) error {
	return n.add(&fault{id: id, site: site, from: from, to: to})
}

// Slow limits the links from one of from to one of to to a bandwidth, until
// Mend(id).
func (n *Network) Slow(id int, from, to []proc.NodeID, bytesPerSecond int64) error {
	return n.add(&fault{id: id, site: SiteSlowLink, from: from, to: to, limit: max(bytesPerSecond, bandwidthMin)})
}

func (n *Network) add(f *fault) error {
	if len(n.faults) >= cutsMax {
		return fmt.Errorf("simnet: more than %d faults of links at once", cutsMax)
	}
	n.faults = append(n.faults, f)
	n.refresh()
	return nil
}

// Mend ends the faults called id.
func (n *Network) Mend(id int) {
	keep := n.faults[:0]
	for _, f := range n.faults {
		if f.id != id {
			keep = append(keep, f)
		}
	}
	clear(n.faults[len(keep):])
	n.faults = keep
	n.refresh()
}

// Heal ends all faults, and the long tail.
func (n *Network) Heal() {
	n.rates, n.any = [rateCount]uint32{}, false
	n.faults = nil
	n.cfg.TailPPM = 0
	n.refresh()
	for i := range n.links {
		n.links[i].free = 0
	}
}

// Hits returns how often each fault took effect.
func (n *Network) Hits() map[string]uint64 {
	c := make(map[string]uint64, len(n.hits))
	for site, count := range n.hits {
		c[site] = count
	}
	return c
}

// refresh sets the limits of all links by the faults in force.
func (n *Network) refresh() {
	for i := range n.links {
		n.links[i].limit = n.cfg.Bandwidth
	}
	for _, f := range n.faults {
		if f.limit == 0 {
			continue
		}
		for _, from := range f.from {
			for _, to := range f.to {
				l := n.link(from, to)
				if l.limit == 0 || f.limit < l.limit {
					l.limit = f.limit
				}
			}
		}
	}
}

// link returns the link between two nodes, and makes room in the table.
func (n *Network) link(from, to proc.NodeID) *link {
	if most := int(max(from, to)); most >= n.nodes {
		n.grow(most + 1)
	}
	l := &n.links[int(from)*n.nodes+int(to)]
	if !l.known {
		// Drawn from the link's own stream, so that it does not matter which
		// link is used first.
		rng := sim.Stream(n.bases, fmt.Sprintf("simnet/link/%d/%d", from, to))
		l.base = n.cfg.BaseMin + upTo(rng, n.cfg.BaseMax-n.cfg.BaseMin)
		l.known = true
		l.limit = n.cfg.Bandwidth
	}
	return l
}

func (n *Network) grow(nodes int) {
	if nodes > nodesMax {
		panic(fmt.Sprintf("simnet: more than %d nodes", nodesMax))
	}
	links := make([]link, nodes*nodes)
	for from := range n.nodes {
		copy(links[from*nodes:], n.links[from*n.nodes:(from+1)*n.nodes])
	}
	n.links, n.nodes = links, nodes
}

// Route implements sim.Network.
func (n *Network) Route(now time.Duration, from, to proc.Addr, size int, dst []sim.Delivery) []sim.Delivery {
	l := n.link(from.Node, to.Node)
	if len(n.faults) > 0 && n.cut(from.Node, to.Node) {
		return dst
	}
	wait, ok := n.queue(l, now, size, from.Node, to.Node)
	if !ok {
		return dst
	}
	d := sim.Delivery{
		Outcome: sim.Whole,
		Ordered: !n.cfg.Unordered,
		Delay:   wait + l.base + upTo(n.delays, n.cfg.Jitter),
	}
	if n.cfg.TailPPM > 0 && n.delays.Uint32N(million) < uint32(n.cfg.TailPPM) {
		d.Delay += upTo(n.delays, n.cfg.TailMax)
	}
	if !n.any {
		return append(dst, d)
	}
	return n.disturb(d, size, dst)
}

// disturb draws the faults of one frame.
func (n *Network) disturb(d sim.Delivery, size int, dst []sim.Delivery) []sim.Delivery {
	switch {
	case n.happens(drop):
		n.hits[SiteDrop]++
		return dst
	case n.happens(reset):
		n.hits[SiteReset]++
		return append(dst,
			sim.Delivery{Outcome: sim.Break},
			sim.Delivery{Outcome: sim.ResetReceiver, Delay: d.Delay},
			sim.Delivery{Outcome: sim.ResetSender, Delay: upTo(n.rngs[reset], d.Delay)})
	case size > 0 && n.happens(halfFrame):
		n.hits[SiteHalfFrame]++
		d.Outcome, d.Keep = sim.Part, n.rngs[halfFrame].IntN(size)
		return append(dst, d,
			sim.Delivery{Outcome: sim.ResetReceiver, Delay: d.Delay + 1},
			sim.Delivery{Outcome: sim.ResetSender, Delay: upTo(n.rngs[halfFrame], d.Delay)})
	}
	if n.happens(delay) {
		n.hits[SiteDelay]++
		d.Delay += n.longer(delay)
	}
	if n.happens(reorder) {
		n.hits[SiteReorder]++
		d.Ordered = false
		d.Delay += n.longer(reorder)
	}
	dst = append(dst, d)
	if n.happens(duplicate) {
		n.hits[SiteDuplicate]++
		d.Ordered = false
		d.Delay += n.longer(duplicate)
		dst = append(dst, d)
	}
	return dst
}

func (n *Network) happens(rate int) bool {
	return n.rates[rate] > 0 && n.rngs[rate].Uint32N(million) < n.rates[rate]
}

// longer draws a delay with a long tail: each further doubling up to DelayMax
// is as likely as the one before.
func (n *Network) longer(rate int) time.Duration {
	const doublings = 10
	return upTo(n.rngs[rate], n.cfg.DelayMax>>n.rngs[rate].IntN(doublings))
}

// cut tells whether a frame is lost to a partition, and counts that.
func (n *Network) cut(from, to proc.NodeID) bool {
	lost := false
	for _, f := range n.faults {
		if f.limit == 0 && f.covers(from, to) {
			lost = true
			n.count(f)
		}
	}
	return lost
}

// count counts f once, and with it the other faults of its id.
func (n *Network) count(f *fault) {
	if f.counted {
		return
	}
	n.hits[f.site]++
	for _, other := range n.faults {
		if other.id == f.id && other.site == f.site {
			other.counted = true
		}
	}
}

// queue returns how long a frame waits for the link's bandwidth and takes to
// be sent; not ok, if that is too long and the frame is lost.
func (n *Network) queue(l *link, now time.Duration, size int, from, to proc.NodeID) (wait time.Duration, ok bool) {
	if l.limit == 0 {
		return 0, true
	}
	if l.limit != n.cfg.Bandwidth {
		for _, f := range n.faults {
			if f.limit > 0 && f.covers(from, to) {
				n.count(f)
			}
		}
	}
	wait = max(l.free-now, 0)
	if wait > n.cfg.WaitMax {
		return 0, false
	}
	wait += time.Duration(int64(size) * int64(time.Second) / l.limit)
	l.free = now + wait
	return wait, true
}

func (f *fault) covers(from, to proc.NodeID) bool {
	return contains(f.from, from) && contains(f.to, to)
}

func contains(set []proc.NodeID, id proc.NodeID) bool {
	for _, x := range set {
		if x == id {
			return true
		}
	}
	return false
}

// upTo draws from [0, most].
func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(rng.Uint64N(uint64(most) + 1))
}
