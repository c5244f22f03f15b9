package fault

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"actordb/core/proc"
	"actordb/sim"
)

const (
	// eventsMax bounds the events of one site: a run of weeks is drawn as well.
	eventsMax = 1000

	// Mean times between the events of a site. Short enough that a run of ten
	// seconds sees some, long enough that the system recovers in between.
	periodMin = 2 * time.Second
	periodMax = 30 * time.Second

	million = 1_000_000
)

// A Plan is what goes wrong in one run.
type Plan struct {
	Seed     uint64        `json:"seed"`
	Profile  string        `json:"profile"`
	Duration time.Duration `json:"duration_ns"`
	Heal     time.Duration `json:"heal_ns"` // all faults stop
	Rates    []Rate        `json:"rates"`
	Events   []Event       `json:"events"` // ascending by At
}

// A Rate is how often a fault happens, of the frames or operations that it can
// happen to.
type Rate struct {
	Site string `json:"site"`
	PPM  int    `json:"ppm"` // parts per million
}

// An Event is a fault that starts at a time and lasts.
type Event struct {
	At    time.Duration `json:"at_ns"`
	For   time.Duration `json:"for_ns"`
	Site  string        `json:"site"`
	Nodes []proc.NodeID `json:"nodes"`           // to whom, or one side of a partition
	Peers []proc.NodeID `json:"peers,omitempty"` // the other side
	// Amount is the bandwidth of a slow link (bytes/s), the jump of a clock (ns),
	// its drift (ppm), the space left on a disk (bytes), how many times slower it
	// is; else 0.
	Amount int64 `json:"amount,omitempty"`
}

func (e Event) String() string {
	t := fmt.Sprintf("%s n%v", e.Site, e.Nodes)
	if len(e.Peers) > 0 {
		t += fmt.Sprintf(" from n%v", e.Peers)
	}
	if e.Amount != 0 {
		t += fmt.Sprintf(" by %d", e.Amount)
	}
	return t + fmt.Sprintf(" for %v", e.For)
}

// Topology is who there is to hit.
type Topology struct {
	Servers []proc.NodeID
	Clients []proc.NodeID
}

// Draw makes the plan of a seed. Sites that the topology has no room for, such
// as a partition of one node, are left out.
func Draw(seed uint64, profile string, topology Topology, duration time.Duration) (Plan, error) {
	p := Plan{Seed: seed, Profile: profile, Duration: duration, Heal: duration / 5 * 4, Rates: []Rate{}, Events: []Event{}}
	var named map[string]bool
	switch profile {
	case "none", "light", "swarm":
	default:
		var err error
		if named, err = parse(profile); err != nil {
			return Plan{}, err
		}
	}
	for _, sp := range specs() {
		rng := sim.Stream(seed, "fault/"+sp.site)
		coin := rng.Uint64N(2) == 0
		switch {
		case named[sp.site], profile == "swarm" && coin:
			p.add(rng, sp, topology, 1)
		case profile == "light" && sp.light:
			sp.soften()
			p.add(rng, sp, topology, 4)
		}
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int { return int(min(max(a.At-b.At, -1), 1)) })
	return p, nil
}

// soften leaves the milder tenth of what a site can do.
func (p *spec) soften() {
	p.ppm[1] = max(p.ppm[0], p.ppm[1]/10)
	p.lasts[1] = max(p.lasts[0], p.lasts[1]/5)
}

// add draws the rate or the events of one site. Events come calm times rarer.
func (p *Plan) add(rng *rand.Rand, sp spec, t Topology, calm int64) {
	if sp.hasRate() {
		p.Rates = append(p.Rates, Rate{sp.site, int(logBetween(rng, sp.ppm[0], sp.ppm[1]))})
		return
	}
	period := time.Duration(calm * logBetween(rng, int64(periodMin), int64(periodMax)))
	count := min(max(p.Heal/period, 1), eventsMax)
	var turns []proc.NodeID
	if sp.each {
		turns = pick(rng, t.Servers, len(t.Servers))
		count += time.Duration(len(turns))
	}
	for i := range count {
		e, ok := p.drawEvent(rng, &sp, t)
		if int(i) < len(turns) {
			e.Nodes = turns[i : i+1 : i+1]
		}
		if ok && !p.overlaps(&e, &sp) {
			p.Events = append(p.Events, e)
		}
	}
}

// drawEvent draws one event. It is no longer than a quarter of the time there
// is, so that a short run is not one single fault.
func (p *Plan) drawEvent(rng *rand.Rand, sp *spec, t Topology) (Event, bool) {
	longest := min(sp.lasts[1], p.Heal/4)
	if longest <= 0 {
		return Event{}, false
	}
	e := Event{Site: sp.site}
	e.For = time.Duration(logBetween(rng, min(int64(sp.lasts[0]), int64(longest)), int64(longest)))
	e.At = time.Duration(rng.Int64N(int64(p.Heal-e.For) + 1))
	if sp.amount[1] > 0 {
		e.Amount = logBetween(rng, sp.amount[0], sp.amount[1])
		if sp.signed && rng.Uint64N(2) == 0 {
			e.Amount = -e.Amount
		}
	}
	return e, e.aim(rng, t)
}

// aim draws whom the event hits.
func (e *Event) aim(rng *rand.Rand, t Topology) bool {
	switch e.Site {
	case ClientCrash:
		if len(t.Clients) == 0 {
			return false
		}
		e.Nodes = pick(rng, t.Clients, 1)
	case Partition, PartitionOneway:
		if len(t.Servers) < 2 {
			return false
		}
		e.split(rng, t)
	case PartitionPartial, SlowLink:
		least := 2
		if e.Site == PartitionPartial {
			least = 3
		}
		if len(t.Servers) < least {
			return false
		}
		two := pick(rng, t.Servers, 2)
		e.Nodes, e.Peers = two[:1:1], two[1:]
	default:
		if len(t.Servers) == 0 {
			return false
		}
		e.Nodes = pick(rng, t.Servers, 1)
	}
	return true
}

// split puts some servers, but not all, on one side, and each client on either.
func (e *Event) split(rng *rand.Rand, t Topology) {
	servers := pick(rng, t.Servers, len(t.Servers))
	n := 1 + rng.IntN(len(servers)-1)
	e.Nodes, e.Peers = slices.Clone(servers[:n]), slices.Clone(servers[n:])
	for _, c := range t.Clients {
		if rng.Uint64N(2) == 0 {
			e.Nodes = append(e.Nodes, c)
		} else {
			e.Peers = append(e.Peers, c)
		}
	}
	slices.Sort(e.Nodes)
	slices.Sort(e.Peers)
}

// pick draws n of the nodes, in random order.
func pick(rng *rand.Rand, from []proc.NodeID, n int) []proc.NodeID {
	all := slices.Clone(from)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n:n]
}

// logBetween draws from [lo, hi] such that every order of magnitude is as
// likely: lo ≥ 1.
func logBetween(rng *rand.Rand, lo, hi int64) int64 {
	lo = max(lo, 1)
	doublings := bits.Len64(uint64(hi / lo))
	low := lo << rng.IntN(doublings)
	high := min(2*low, hi)
	return low + rng.Int64N(max(high-low, 0)+1)
}

// overlaps tells whether e would get in the way of an event drawn before (P4).
func (p *Plan) overlaps(e *Event, sp *spec) bool {
	group := groupOf(sp)
	for i := range p.Events {
		o := &p.Events[i]
		if e.At <= o.At+o.For && o.At <= e.At+e.For && groupOfSite(o.Site) == group && sharesNode(o.Nodes, e.Nodes) {
			return true
		}
	}
	return false
}

func groupOf(sp *spec) string {
	if sp.group != "" {
		return sp.group
	}
	return sp.site
}

func groupOfSite(site string) string {
	for _, sp := range specs() {
		if sp.site == site {
			return groupOf(&sp)
		}
	}
	return site
}

func sharesNode(a, b []proc.NodeID) bool {
	return slices.ContainsFunc(a, func(n proc.NodeID) bool { return slices.Contains(b, n) })
}

// Validate says what is wrong with a plan that was not drawn, or nil.
func (p *Plan) Validate() error {
	byName := map[string]spec{}
	for _, sp := range specs() {
		byName[sp.site] = sp
	}
	for _, r := range p.Rates {
		sp, ok := byName[r.Site]
		switch {
		case !ok:
			return &UnknownError{r.Site}
		case !sp.hasRate():
			return fmt.Errorf("fault: %s has events and no rate", r.Site)
		case r.PPM < 0 || r.PPM > million:
			return fmt.Errorf("fault: rate of %s is %d parts per million", r.Site, r.PPM)
		}
	}
	for i, e := range p.Events {
		sp, ok := byName[e.Site]
		switch {
		case !ok:
			return &UnknownError{e.Site}
		case sp.hasRate():
			return fmt.Errorf("fault: event %d: %s has a rate and no events", i, e.Site)
		case e.At < 0 || e.For < 0 || e.At+e.For > p.Heal:
			return fmt.Errorf("fault: event %d (%v): from %v is not within [0, %v]", i, e, e.At, p.Heal)
		case len(e.Nodes) == 0:
			return fmt.Errorf("fault: event %d (%v) hits nobody", i, e)
		}
	}
	return nil
}
