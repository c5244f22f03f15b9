package load

import (
	"bufio"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server answers commands one after another, each after a time of its own.
type server struct {
	queue chan *Slot
	done  sync.WaitGroup
}

func newServer(t *testing.T, outcome Outcome, takes func(n int) time.Duration) *server {
	v := &server{queue: make(chan *Slot, SlotsMax)}
	v.done.Go(func() {
		n := 0
		for s := range v.queue {
			time.Sleep(takes(n))
			n++
			s.End(outcome, 10)
		}
	})
	return v
}

func (v *server) drive(s *Slot) func() { return func() { v.queue <- s } }

func (v *server) close() {
	close(v.queue)
	v.done.Wait()
}

func near(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.Abs(got-want) > part*want {
		t.Errorf("%s: %v, want about %v", what, got, want)
	}
}

// L1, L2, L3: in a closed loop the server sets the pace, and each command takes as
// long as those in the queue before it; the slow start is in nothing.
func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newServer(t, Accepted, func(n int) time.Duration {
			if n < 100 {
				return 10 * time.Millisecond
			}
			return time.Millisecond
		})
		r, err := Run(t.Context(), Config{Slots: 4, RampUp: 2 * time.Second, Duration: 2 * time.Second}, v.drive)
		v.close()
		if err != nil {
			t.Fatal(err)
		}
		near(t, "rate", r.PerSecond, 1000, 0.01)
		near(t, "p50", r.Latency.P50, 4, 0.01)
		near(t, "max", r.Latency.Max, 4, 0.01)
		if r.Loop != ClosedLoop || r.Overloaded || r.Unanswered != 0 || r.Refused+r.Unknown != 0 || r.Bytes != 10*r.Accepted {
			t.Errorf("%+v", r)
		}
	})
}

// L1: a server that stalls for a second is charged for all that arrived meanwhile,
// though one command alone was under way.
func TestStallIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newServer(t, Accepted, func(n int) time.Duration {
			if n == 3000 {
				return time.Second
			}
			return 100 * time.Microsecond
		})
		r, err := Run(t.Context(), Config{Slots: 1, Rate: 1000, RampUp: time.Second, Duration: 10 * time.Second}, v.drive)
		v.close()
		if err != nil {
			t.Fatal(err)
		}
		near(t, "rate", r.PerSecond, 1000, 0.05)
		near(t, "max", r.Latency.Max, 1000, 0.01)
		near(t, "p99", r.Latency.P99, 900, 0.1) // a tenth arrived within the second
		if r.Latency.P50 > 1 || r.Overloaded {
			t.Errorf("%+v", r)
		}
	})
}

// L1: what an overloaded server leaves is counted, with the time that it waited.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newServer(t, Accepted, func(int) time.Duration { return 2 * time.Millisecond })
		var last Interval
		r, err := Run(t.Context(), Config{Slots: 8, Rate: 1000, Duration: 10 * time.Second, Interval: time.Second,
			OnInterval: func(i Interval) { last = i }}, v.drive)
		v.close()
		if err != nil {
			t.Fatal(err)
		}
		near(t, "rate", r.PerSecond, 500, 0.02)
		near(t, "unanswered", float64(r.Unanswered), 5000, 0.05)
		near(t, "max", r.Latency.Max, 5000, 0.1)
		near(t, "behind", last.Behind.Seconds(), 4.5, 0.2)
		near(t, "rate of an interval", last.PerSecond, 500, 0.02)
		if !r.Overloaded {
			t.Errorf("%+v", r)
		}
	})
}

// L1: commands that are never answered are waited for as long as Drain, counted,
// and what comes after the end changes nothing.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []*Slot
		r, err := Run(t.Context(), Config{Slots: 3, Duration: time.Second, Drain: 4 * time.Second}, func(s *Slot) func() {
			return func() { late = append(late, s) }
		})
		if err != nil {
			t.Fatal(err)
		}
		was := *r
		for _, s := range late {
			s.End(Accepted, 1)
		}
		near(t, "max", r.Latency.Max, 5000, 0.01)
		if *r != was || r.Unanswered != 3 || r.Accepted != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// Refused and unknown commands are no rate.
func TestOutcomes(t *testing.T) {
	for outcome, count := range map[Outcome]func(*Report) int64{
		Refused: func(r *Report) int64 { return r.Refused },
		Unknown: func(r *Report) int64 { return r.Unknown },
	} {
		synctest.Test(t, func(t *testing.T) {
			v := newServer(t, outcome, func(int) time.Duration { return time.Millisecond })
			r, err := Run(t.Context(), Config{Slots: 1, Duration: time.Second}, v.drive)
			v.close()
			if err != nil || r.Accepted != 0 || r.PerSecond != 0 || r.Bytes != 0 || count(r) < 990 {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
}

// A driver that fails, or a context that ends, ends the load at once.
func TestFailure(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			broken := errors.New("broken")
			if _, err := Run(t.Context(), Config{Slots: 2, Rate: rate, Duration: time.Hour}, func(s *Slot) func() {
				return func() { s.Fail(broken) }
			}); err != broken {
				t.Errorf("%v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := Run(ctx, Config{Slots: 2, Rate: rate, Duration: time.Hour}, func(s *Slot) func() {
				return func() {}
			}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
	}
}

// The window is told of at its ends.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		v := newServer(t, Accepted, func(int) time.Duration { return time.Millisecond })
		_, err := Run(t.Context(), Config{Slots: 1, RampUp: time.Second, Duration: 2 * time.Second,
			Window: func(bool) { at = append(at, time.Since(begun)) }}, v.drive)
		v.close()
		if err != nil || len(at) != 2 || at[0] != time.Second || at[1] != 3*time.Second {
			t.Errorf("%v %v", at, err)
		}
	})
}

func TestConfig(t *testing.T) {
	right := Config{Slots: 1, Duration: time.Second}
	for what, change := range map[string]func(*Config){
		"no slots":  func(c *Config) { c.Slots = 0 },
		"too many":  func(c *Config) { c.Slots = SlotsMax + 1 },
		"negative":  func(c *Config) { c.Rate = -1 },
		"no number": func(c *Config) { c.Rate = math.NaN() },
		"too fast":  func(c *Config) { c.Rate = 2 * RateMax },
		"no time":   func(c *Config) { c.Duration = 0 },
		"too long":  func(c *Config) { c.Duration = 2 * DurationMax },
		"backwards": func(c *Config) { c.RampUp = -1 },
	} {
		c := right
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if err := right.Validate(); err != nil {
		t.Error(err)
	}
}

// A process's use includes that of its children, also when they have ended.
func TestUsage(t *testing.T) {
	if _, err := UsageOf(os.Getpid()); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("sh", "-c", "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read x; true'; echo ended; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no shell: ", err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	deadline := time.Now().Add(20 * time.Second)
	for {
		u, err := UsageOf(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if u.CPU >= 3*time.Second/100 && u.Memory > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("used %+v", u)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != "ended\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if u, err := UsageOf(cmd.Process.Pid); err != nil || u.CPU < 3*time.Second/100 {
		t.Errorf("after its child has ended: %+v, %v", u, err)
	}
	if _, err := UsageOf(-1); err == nil {
		t.Error("the use of no process")
	}
}

// What is synced to a disk is counted.
func TestDevice(t *testing.T) {
	dir := t.TempDir()
	before, err := DeviceOf(dir)
	if err != nil {
		t.Skip("it is on no disk: ", err)
	}
	f, err := os.Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	after, err := DeviceOf(dir)
	if err != nil || after.Written-before.Written < 1<<20 || after.Flushes < before.Flushes {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
	if _, err := DeviceOf(filepath.Join(dir, "none")); err == nil {
		t.Error("the disk of nothing")
	}
}
