package simnet

import (
	"reflect"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/sim"

	"pgregory.net/rapid"
)

func network(t testing.TB, change func(*Config)) *Network {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	n, err := New(1, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func addr(node int) proc.Addr { return proc.Addr{Node: proc.NodeID(node), Proc: 1} }

func ids(nodes ...proc.NodeID) []proc.NodeID { return nodes }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// arrives sends one frame and tells whether it arrives whole.
func arrives(n *Network, from, to int) bool {
	for _, d := range n.Route(0, addr(from), addr(to), 100, nil) {
		if d.Outcome == sim.Whole {
			return true
		}
	}
	return false
}

// N1, N6: without faults a frame arrives once, whole, in order and in time, and
// equal networks agree.
func TestHealthy(t *testing.T) {
	a, b := network(t, nil), network(t, nil)
	for i := range 1000 {
		now := time.Duration(i) * time.Millisecond
		x := a.Route(now, addr(1+i%3), addr(4+i%2), i, nil)
		if y := b.Route(now, addr(1+i%3), addr(4+i%2), i, nil); !reflect.DeepEqual(x, y) {
			t.Fatalf("frame %d: %v and %v", i, x, y)
		}
		if len(x) != 1 || x[0].Outcome != sim.Whole || !x[0].Ordered || x[0].Delay < 100*time.Microsecond || x[0].Delay > 6*time.Millisecond {
			t.Fatalf("frame %d: %v", i, x)
		}
	}
}

// N1: switching one fault on shifts no other.
func TestFaultsDrawApart(t *testing.T) {
	dropped := func(extra string) (lost []int) {
		n := network(t, nil)
		must(t, n.SetRate(SiteDrop, 100_000))
		if extra != "" {
			must(t, n.SetRate(extra, 100_000))
		}
		for i := range 1000 {
			before := n.Hits()[SiteDrop]
			n.Route(0, addr(1), addr(2), 100, nil)
			if n.Hits()[SiteDrop] != before {
				lost = append(lost, i)
			}
		}
		return lost
	}
	want := dropped("")
	if len(want) < 50 || len(want) > 150 {
		t.Fatalf("%d of 1000 frames dropped, at 10 %%", len(want))
	}
	for _, site := range rateSites[1:] {
		if got := dropped(site); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s changes which frames are dropped", site)
		}
	}
}

// N3, N4: what each fault by frame looks like, and that it is counted.
func TestRates(t *testing.T) {
	shapes := map[string]func(d []sim.Delivery) bool{
		SiteDrop: func(d []sim.Delivery) bool { return len(d) == 0 },
		SiteDuplicate: func(d []sim.Delivery) bool {
			return len(d) == 2 && d[0].Outcome == sim.Whole && d[1].Outcome == sim.Whole && !d[1].Ordered
		},
		SiteDelay:   func(d []sim.Delivery) bool { return len(d) == 1 && d[0].Ordered },
		SiteReorder: func(d []sim.Delivery) bool { return len(d) == 1 && !d[0].Ordered },
		SiteReset: func(d []sim.Delivery) bool {
			return len(d) == 3 && d[0].Outcome == sim.Break && d[1].Outcome == sim.ResetReceiver && d[2].Outcome == sim.ResetSender
		},
		SiteHalfFrame: func(d []sim.Delivery) bool {
			return len(d) == 3 && d[0].Outcome == sim.Part && d[0].Keep < 100 && d[1].Outcome == sim.ResetReceiver && d[2].Outcome == sim.ResetSender
		},
	}
	for _, site := range rateSites {
		n := network(t, nil)
		must(t, n.SetRate(site, million))
		longest := time.Duration(0)
		for range 200 {
			d := n.Route(0, addr(1), addr(2), 100, nil)
			if !shapes[site](d) {
				t.Fatalf("%s: %+v", site, d)
			}
			if len(d) > 0 {
				longest = max(longest, d[0].Delay)
			}
		}
		if (site == SiteDelay || site == SiteReorder) && longest < 100*time.Millisecond {
			t.Fatalf("%s: no frame takes longer than %v", site, longest)
		}
		if want := map[string]uint64{site: 200}; !reflect.DeepEqual(n.Hits(), want) {
			t.Fatalf("%s: hits %v", site, n.Hits())
		}
		n.Heal()
		if !arrives(n, 1, 2) {
			t.Fatalf("%s: healed and lost", site)
		}
	}
	n := network(t, nil)
	if n.SetRate("gremlins", 1) == nil || n.SetRate(SiteDrop, -1) == nil || n.SetRate(SiteDrop, million+1) == nil {
		t.Fatal("a wrong rate was accepted")
	}
}

// N2, N5: symmetric, one-way and partial partitions, counted once and when
// they eat something.
func TestPartitions(t *testing.T) {
	n := network(t, nil)
	must(t, n.Cut(1, "partition", ids(1), ids(2, 3)))
	must(t, n.Cut(1, "partition", ids(2, 3), ids(1)))
	must(t, n.Cut(2, "partition_oneway", ids(2), ids(4)))
	if len(n.Hits()) != 0 {
		t.Fatalf("hits %v before a frame was lost", n.Hits())
	}
	for _, c := range []struct {
		from, to int
		ok       bool
	}{{1, 2, false}, {2, 1, false}, {1, 3, false}, {2, 3, true}, {1, 4, true}, {2, 4, false}, {4, 2, true}} {
		if got := arrives(n, c.from, c.to); got != c.ok {
			t.Fatalf("%d to %d arrives: %v", c.from, c.to, got)
		}
	}
	if want := map[string]uint64{"partition": 1, "partition_oneway": 1}; !reflect.DeepEqual(n.Hits(), want) {
		t.Fatalf("hits %v, want %v", n.Hits(), want)
	}
	n.Mend(1)
	if !arrives(n, 1, 2) || !arrives(n, 3, 1) || arrives(n, 2, 4) {
		t.Fatal("mending one fault must end that one")
	}
	n.Heal()
	if !arrives(n, 2, 4) {
		t.Fatal("healed and cut")
	}
}

// N7: a slow link holds frames back by their size, and loses what would wait
// too long.
func TestSlowLink(t *testing.T) {
	n := network(t, func(c *Config) { c.Jitter, c.TailPPM, c.BaseMin, c.BaseMax = 0, 0, 0, 0 })
	must(t, n.Slow(7, ids(1), ids(2), 1000))
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		if d := n.Route(0, addr(1), addr(2), 1000, nil); len(d) != 1 || d[0].Delay != want {
			t.Fatalf("frame %d: %v, want %v", i, d, want)
		}
	}
	if arrives(n, 1, 2) {
		t.Fatal("a frame waits for 3 s")
	}
	if d := n.Route(0, addr(2), addr(1), 1000, nil); d[0].Delay > time.Millisecond {
		t.Fatalf("the other direction is slow, too: %v", d)
	}
	if want := map[string]uint64{SiteSlowLink: 1}; !reflect.DeepEqual(n.Hits(), want) {
		t.Fatalf("hits %v", n.Hits())
	}
}

// H5 seen from the receiver: over any mix of faults nothing arrives that was
// not sent, and after Heal everything arrives once and in order.
func TestInWorld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		n, err := New(seed, DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		for _, site := range rateSites {
			if err := n.SetRate(site, rapid.IntRange(0, million/4).Draw(t, site)); err != nil {
				t.Fatal(err)
			}
		}
		w := sim.New(sim.Config{Seed: seed, Network: n, Strategy: sim.Strategy{Kind: sim.Random}})
		healed := time.Second
		var last, sentAtHeal, resets, whole uint64
		rx := w.Spawn(w.AddNode(sim.ClockConfig{}), "rx", "", sim.Storage{}, func(proc.Env) proc.Process {
			return step(func(_ proc.Now, in proc.Input, _ *proc.Effects) {
				switch {
				case in.Kind == proc.Reset:
					resets++
				case in.Kind == proc.Message && len(in.Frame) == 200:
					whole++
					k := uint64(in.Frame[0]) | uint64(in.Frame[1])<<8
					if k > sentAtHeal && sentAtHeal > 0 {
						if k != last+1 && last > sentAtHeal {
							t.Fatalf("healed, and frame %d came after %d", k, last)
						}
						last = k
					}
				case in.Kind == proc.Message && len(in.Frame) > 200:
					t.Fatal("a frame grew")
				}
			})
		})
		var k uint64
		w.Spawn(w.AddNode(sim.ClockConfig{}), "tx", "", sim.Storage{}, func(proc.Env) proc.Process {
			return step(func(now proc.Now, in proc.Input, out *proc.Effects) {
				if in.Kind != proc.Start && in.Kind != proc.Timer {
					return
				}
				k++
				frame := make([]byte, 200)
				frame[0], frame[1] = byte(k), byte(k>>8)
				out.Send(rx, frame)
				out.SetTimer(1, now.Mono+proc.Tick(10*time.Millisecond))
			})
		})
		w.At(healed, "heal", func() { sentAtHeal = k; w.Heal() })
		if err := w.Run(3 * time.Second); err != nil {
			t.Fatal(err)
		}
		if last != k && last != k-1 {
			t.Fatalf("healed, and the last of %d frames to arrive is %d", k, last)
		}
	})
}

type step func(proc.Now, proc.Input, *proc.Effects)

func (f step) Step(now proc.Now, in proc.Input, out *proc.Effects) { f(now, in, out) }

// A configuration without sense is refused.
func TestValidate(t *testing.T) {
	for i, change := range []func(*Config){
		func(c *Config) { c.BaseMin = -1 },
		func(c *Config) { c.BaseMax = 0 },
		func(c *Config) { c.Jitter = -1 },
		func(c *Config) { c.TailPPM = million + 1 },
		func(c *Config) { c.Bandwidth = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := New(1, c); err == nil {
			t.Fatalf("configuration %d was accepted", i)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	n := network(b, nil)
	for _, site := range rateSites {
		must(b, n.SetRate(site, 100))
	}
	var dst []sim.Delivery
	b.ReportAllocs()
	for i := range b.N {
		dst = n.Route(time.Duration(i)*1000, addr(1+i%5), addr(6+i%5), 100, dst[:0])
	}
}
