package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/sim"

	"pgregory.net/rapid"
)

var five = Topology{Servers: []proc.NodeID{1, 2, 3, 4, 5}, Clients: []proc.NodeID{6, 7}}

func draw(t testing.TB, seed uint64, profile string) Plan {
	t.Helper()
	p, err := Draw(seed, profile, five, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sitesOf(p Plan) (sites []string) {
	for _, r := range p.Rates {
		sites = append(sites, r.Site)
	}
	for _, e := range p.Events {
		sites = append(sites, e.Site)
	}
	slices.Sort(sites)
	return slices.Compact(sites)
}

// P1, P3, P4: what every plan has to be.
func TestPlanProperties(t *testing.T) {
	profiles := append([]string{"none", "light", "swarm", strings.Join(Sites(), ",")}, Sites()...)
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		profile := rapid.SampledFrom(profiles).Draw(t, "profile")
		duration := time.Duration(rapid.Int64Range(0, int64(5*time.Minute)).Draw(t, "duration"))
		var topology Topology
		for i := range rapid.IntRange(0, 7).Draw(t, "servers") {
			topology.Servers = append(topology.Servers, proc.NodeID(i+1))
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "clients") {
			topology.Clients = append(topology.Clients, proc.NodeID(i+10))
		}
		p, err := Draw(seed, profile, topology, duration)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		if p.Heal > duration*4/5 {
			t.Fatalf("healed at %v of %v", p.Heal, duration)
		}
		again, _ := Draw(seed, profile, topology, duration)
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var read Plan
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, again) || !reflect.DeepEqual(p, read) {
			t.Fatalf("drawn %+v, drawn again %+v, read %+v", p, again, read)
		}
		for i, e := range p.Events {
			if i > 0 && e.At < p.Events[i-1].At {
				t.Fatalf("event %d is not in order", i)
			}
			for _, o := range p.Events[:i] {
				if groupOfSite(o.Site) == groupOfSite(e.Site) && sharesNode(o.Nodes, e.Nodes) && e.At <= o.At+o.For {
					t.Fatalf("%v at %v overlaps %v at %v", e, e.At, o, o.At)
				}
			}
		}
	})
}

// Profiles: a list draws all its sites and no others, light is the same for
// all seeds, swarm differs, none is empty.
func TestProfiles(t *testing.T) {
	for _, site := range Sites() {
		want := []string{site}
		switch site {
		case TornWrite, LostUnsynced, LostDirent:
			want = []string{PowerLoss, site}
			slices.Sort(want)
		}
		if got := sitesOf(draw(t, 1, site)); !slices.Equal(got, want) {
			t.Fatalf("profile %s draws %v", site, got)
		}
	}
	if got := sitesOf(draw(t, 1, "none")); len(got) != 0 {
		t.Fatalf("none draws %v", got)
	}
	light, swarms, seen := sitesOf(draw(t, 1, "light")), map[string]bool{}, map[string]bool{}
	for seed := range uint64(50) {
		if got := sitesOf(draw(t, seed, "light")); !slices.Equal(got, light) {
			t.Fatalf("light draws %v, and %v with seed %d", light, got, seed)
		}
		swarm := sitesOf(draw(t, seed, "swarm"))
		swarms[fmt.Sprint(swarm)] = true
		for _, site := range swarm {
			seen[site] = true
		}
	}
	if len(swarms) < 45 || len(seen) != len(Sites()) {
		t.Fatalf("50 seeds of swarm draw %d sets, of %d sites in all", len(swarms), len(seen))
	}
	var ue *UnknownError
	if _, err := Draw(1, "crash,gremlins", five, time.Minute); !errors.As(err, &ue) || ue.Name != "gremlins" || !strings.Contains(err.Error(), "torn_write") {
		t.Fatalf("unknown name: %v", err)
	}
}

// P2: a site more in the list shifts no other.
func TestSitesDrawApart(t *testing.T) {
	alone, both := draw(t, 3, "pause"), draw(t, 3, "pause,slow_link,drop")
	both.Events = slices.DeleteFunc(both.Events, func(e Event) bool { return e.Site != Pause })
	if !reflect.DeepEqual(alone.Events, both.Events) {
		t.Fatalf("alone %v, in company %v", alone.Events, both.Events)
	}
}

// A plan from outside is checked.
func TestValidate(t *testing.T) {
	for i, p := range []Plan{
		{Rates: []Rate{{"gremlins", 1}}},
		{Rates: []Rate{{Crash, 1}}},
		{Rates: []Rate{{Drop, million + 1}}},
		{Events: []Event{{Site: "gremlins", Nodes: five.Servers}}},
		{Events: []Event{{Site: Drop, Nodes: five.Servers}}},
		{Events: []Event{{Site: Crash}}},
		{Heal: 5, Events: []Event{{Site: Crash, Nodes: five.Servers, At: 3, For: 3}}},
	} {
		if p.Validate() == nil {
			t.Fatalf("plan %d was accepted", i)
		}
	}
}

// recorder is a fake Network and Target, which writes down what it is told.
type recorder struct {
	w    *sim.World
	said []string
}

func (r *recorder) say(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf("%v ", r.w.Now())+fmt.Sprintf(format, args...))
}

func (r *recorder) SetRate(site string, ppm int) error { r.say("%s %d", site, ppm); return nil }
func (r *recorder) Cut(id int, site string, from, to []proc.NodeID) error {
	r.say("cut %d %v-%v", id, from, to)
	return nil
}
func (r *recorder) Slow(id int, from, to []proc.NodeID, bytes int64) error {
	r.say("slow %d %v-%v %d", id, from, to, bytes)
	return nil
}
func (r *recorder) Mend(id int)                     { r.say("mend %d", id) }
func (r *recorder) Hits() map[string]uint64         { return map[string]uint64{Drop: 2} }
func (r *recorder) DiskFull(n proc.NodeID, b int64) { r.say("n%d has %d bytes left", n, b) }
func (r *recorder) SlowDisk(n proc.NodeID, t int64) { r.say("n%d is %d times slower", n, t) }
func (r *recorder) LoseKV(n proc.NodeID) bool       { r.say("n%d loses its KV", n); return true }
func (r *recorder) Reformat(n proc.NodeID) bool     { r.say("n%d gets new disks", n); return true }
func (r *recorder) Exchange(n proc.NodeID) bool     { r.say("n%d gets another program", n); return true }
func (r *recorder) CrashClient(n proc.NodeID) bool  { r.say("client n%d crashes", n); return true }
func (r *recorder) RestartClient(n proc.NodeID)     { r.say("client n%d restarts", n) }

type idle struct{}

func (idle) Step(proc.Now, proc.Input, *proc.Effects) {}

func worldOf(seed uint64) *sim.World {
	w := sim.New(sim.Config{Seed: seed})
	for i := range 7 {
		w.Spawn(w.AddNode(sim.ClockConfig{DriftPPM: 10}), fmt.Sprint("p", i), "", sim.Storage{}, func(proc.Env) proc.Process { return idle{} })
	}
	return w
}

// Every kind of event does its thing, and undoes it.
func TestNemesis(t *testing.T) {
	w := worldOf(1)
	r := &recorder{w: w}
	n := []proc.NodeID{1}
	plan := Plan{
		Heal:  100,
		Rates: []Rate{{Drop, 5}, {TornWrite, 7}},
		Events: []Event{
			{At: 10, For: 10, Site: Crash, Nodes: n},
			{At: 15, For: 50, Site: PowerLoss, Nodes: n}, // down already: no hit, no end
			{At: 22, For: 5, Site: KVLost, Nodes: n},
			{At: 30, For: 5, Site: ClientCrash, Nodes: []proc.NodeID{6}},
			{At: 40, For: 5, Site: Partition, Nodes: n, Peers: five.Servers[1:]},
			{At: 50, For: 5, Site: SlowLink, Nodes: n, Peers: five.Servers[1:2], Amount: 9},
			{At: 60, For: 5, Site: DiskFull, Nodes: n, Amount: 3},
			{At: 70, For: 30, Site: SlowDisk, Nodes: n, Amount: 4},
			{At: 70, For: 30, Site: ClockJump, Nodes: n, Amount: -1000},
			{At: 75, For: 5, Site: PartitionOneway, Nodes: n, Peers: five.Servers[1:2]},
			{At: 80, For: 5, Site: Pause, Nodes: n},
			{At: 86, For: 5, Site: Upgrade, Nodes: n},
		},
	}
	nemesis, err := Unleash(plan, w, r, r)
	if err != nil {
		t.Fatal(err)
	}
	var up []bool
	for _, at := range []time.Duration{12, 21, 23, 31} {
		w.At(at, "look", func() { up = append(up, w.Up(1)) })
	}
	before := w.Clock(1).Wall
	if err := w.Run(200); err != nil {
		t.Fatal(err)
	}
	if after := w.Clock(1).Wall; after < before+190 || after > before+210 {
		t.Fatalf("200 ns later the clock is %d ns on", after-before)
	}
	if want := []bool{false, true, false, true}; !slices.Equal(up, want) {
		t.Fatalf("up: %v", up)
	}
	want := []string{
		"0s drop 5", "0s torn_write 7",
		"22ns n1 loses its KV",
		"30ns client n6 crashes", "35ns client n6 restarts",
		"40ns cut 4 [1]-[2 3 4 5]", "40ns cut 4 [2 3 4 5]-[1]", "45ns mend 4",
		"50ns slow 5 [1]-[2] 9", "50ns slow 5 [2]-[1] 9", "55ns mend 5",
		"60ns n1 has 3 bytes left", "65ns n1 has -1 bytes left",
		"70ns n1 is 4 times slower",
		"75ns cut 9 [1]-[2]", "80ns mend 9",
		"86ns n1 gets another program",
		"100ns n1 is 1 times slower",
		"100ns drop 0", "100ns torn_write 0",
	}
	if !slices.Equal(r.said, want) {
		t.Fatalf("said\n%s\nwant\n%s", strings.Join(r.said, "\n"), strings.Join(want, "\n"))
	}
	// The fake reports two drops, once as network and once as target.
	wantHits := map[string]uint64{Crash: 1, ClientCrash: 1, ClockJump: 1, Pause: 1, KVLost: 1, Upgrade: 1, Drop: 4}
	if got := nemesis.Hits(); !maps.Equal(got, wantHits) {
		t.Fatalf("hits %v, want %v", got, wantHits)
	}
}

// P3: whatever was drawn, after Heal everything runs, and a run is repeatable.
func TestEverythingRunsAfterHeal(t *testing.T) {
	for seed := range uint64(30) {
		var hash string
		for range 2 {
			w := worldOf(seed)
			r := &recorder{w: w}
			n, err := Unleash(draw(t, seed, strings.Join(Sites(), ",")), w, r, r)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Run(time.Minute); err != nil {
				t.Fatal(err)
			}
			for i := range w.Nodes() {
				if a := (proc.Addr{Node: proc.NodeID(i + 1), Proc: 1}); !w.Running(a) || w.Paused(a.Node) {
					t.Fatalf("seed %d: %v does not run", seed, a)
				}
			}
			for _, site := range []string{Crash, PowerLoss, Pause, ClockJump, ClockDrift, ClockFreeze, ClientCrash, KVLost} {
				if n.Hits()[site] == 0 && site != PowerLoss && site != Pause && site != KVLost { // these may give way to a crash (P4)
					t.Fatalf("seed %d: no %s in %v", seed, site, n.Hits())
				}
			}
			if hash != "" && w.TraceHash() != hash {
				t.Fatalf("seed %d: two traces", seed)
			}
			hash = w.TraceHash()
		}
	}
}

// A plan that nobody can carry out is refused.
func TestUnserved(t *testing.T) {
	for _, site := range []string{Drop, Partition, TornWrite, DiskFull} {
		if _, err := Unleash(draw(t, 1, site), worldOf(1), nil, nil); err == nil {
			t.Fatalf("%s is carried out by nobody", site)
		}
	}
	if _, err := Unleash(draw(t, 1, "crash,pause,clock_jump"), worldOf(1), nil, nil); err != nil {
		t.Fatal(err)
	}
}
