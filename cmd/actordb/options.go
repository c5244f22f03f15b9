package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"actordb/internal/admission"
	"actordb/internal/testbed"
	"actordb/net/tlsnet"
	"actordb/sim"
	"actordb/sim/fault"

	"github.com/alecthomas/kong"
)

// runFlags say what a run is, but for its seed.
type runFlags struct {
	Workload []string      `default:"all" placeholder:"NAME" help:"What clients do: names, or all."`
	Faults   string        `default:"${faults}" placeholder:"PROFILE" help:"What goes wrong: none, light, swarm, or a list of sites such as crash,torn_write."`
	Nodes    int           `default:"${nodes}" help:"Servers."`
	Replicas int           `help:"Replicas of each shard. Left out: 3 on three or four nodes, 5 on more, else 1."`
	Duration time.Duration `default:"${duration}" help:"Virtual time, the last fifth of it without faults."`
	Strategy string        `placeholder:"NAME" help:"How the next input is chosen: time, random or pct. Left out, the seed draws one."`
	Clients  int           `default:"${clients}" help:"Clients."`
	Think    time.Duration `default:"${think}" help:"Mean pause of a client between two operations."`
}

// defaults are those of the testbed, for the tags of flags.
func defaults() kong.Vars {
	o := testbed.Options{}.WithDefaults()
	return kong.Vars{"faults": o.Faults, "nodes": strconv.Itoa(o.Nodes), "clients": strconv.Itoa(o.Clients),
		"duration": o.Duration.String(), "think": o.Think.String(),
		"ttl": tlsnet.CertificateLifetimeMax.String(), "tokenttl": admission.TTLMax.String()}
}

// options checks the flags. The error is one of usage.
func (f *runFlags) options(seed uint64) (testbed.Options, error) {
	o := testbed.Options{Seed: seed, Workloads: f.Workload, Faults: f.Faults, Nodes: f.Nodes, Replicas: f.Replicas,
		Duration: f.Duration, Strategy: f.Strategy, Clients: f.Clients, Think: f.Think}
	switch f.Strategy {
	case "guided":
		return o, usage("--strategy guided: there is no coverage-guided search yet; use random or pct, or leave the flag out")
	case sim.Replay.String():
		return o, usage("--strategy replay: a saved run is replayed by actordb sim replay SCENARIO")
	}
	switch { // what the defaults would hide
	case f.Nodes == 0:
		return o, usage("--nodes 0: want 1 to %d", testbed.NodesMax)
	case f.Clients == 0:
		return o, usage("--clients 0: want 1 to %d", testbed.ClientsMax)
	case f.Duration == 0:
		return o, usage("--duration 0s: want %v to %v", testbed.DurationMin, testbed.DurationMax)
	case f.Think <= 0 || f.Think > time.Hour:
		return o, usage("--think %v: want more than 0 and at most an hour", f.Think)
	}
	o = o.WithDefaults()
	return o, checkOptions(&o)
}

// checkOptions says what is wrong with options from outside.
func checkOptions(o *testbed.Options) error {
	if err := o.Validate(); err != nil {
		return usage("%w", err)
	}
	if _, err := fault.Draw(0, o.Faults, fault.Topology{}, o.Duration); err != nil {
		var unknown *fault.UnknownError
		if errors.As(err, &unknown) {
			return usage("--faults %s: %w", o.Faults, err)
		}
		return usage("%w", err)
	}
	return nil
}

// A seedRange is first to last; no last means that there is no end.
type seedRange struct {
	first, last uint64
	endless     bool
}

const seedsMax = 1 << 40

// parseSeeds reads N (seeds 1 to N) or A-B.
func parseSeeds(s string) (seedRange, error) {
	bad := func() (seedRange, error) {
		return seedRange{}, usage("--seeds %s: want a count such as 100, or a range such as 1-100", s)
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		from, to = "1", s
	}
	first, err := strconv.ParseUint(from, 10, 64)
	if err != nil {
		return bad()
	}
	last, err := strconv.ParseUint(to, 10, 64)
	if err != nil || last < first || last-first >= seedsMax {
		return bad()
	}
	return seedRange{first: first, last: last}, nil
}

func (r seedRange) count() uint64 { return r.last - r.first + 1 }
