package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"actordb/checkers"
	"actordb/workloads"
)

// TestMain is the node, too, when a drill starts this program.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "node" {
		if err := Node(os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func config(t *testing.T) Config {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{Program: []string{program, "node"}, Dir: filepath.Join(t.TempDir(), "nodes"), Seed: 1, Kills: 5, Clients: 12, Workloads: workloads.Names(), Shards: 2}
}

// Nothing that a real node acknowledged is lost or doubled when it is killed with
// what it had not synced taken away, and every check had something to look at.
func TestDrill(t *testing.T) {
	cfg := config(t)
	told := 0
	cfg.Killed = func(string, int) { told++ }
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	passed(t, r.Checks)
	if r.Verdict != checkers.Pass || len(r.Checks) != 8 {
		t.Errorf("%s by %d checks", r.Verdict, len(r.Checks))
	}
	if r.Kills != cfg.Kills || told != cfg.Kills || len(r.Stages) < 3 {
		t.Errorf("%d kills in %d stages, %d told, want %d", r.Kills, len(r.Stages), told, cfg.Kills)
	}
	if r.Acknowledged == 0 || r.Lost.Writes+r.Lost.Torn+r.Lost.Names == 0 || len(r.Recovery) == 0 {
		t.Errorf("a drill of nothing: %+v", r)
	}
	out := t.TempDir()
	if err := r.Save(out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "drill.csv"))
	starts := 0
	for _, b := range r.Recovery {
		starts += b.Starts
	}
	if lines := bytes.Count(text, []byte("\n")); err != nil || lines != starts+1 || starts < r.Kills/2 {
		t.Errorf("%d lines of %d starts: %v", lines, starts, err)
	}
}

// A node that does not come back is a violation and is told with what it said;
// an interrupted drill is none.
func TestNodeThatEndsByItself(t *testing.T) {
	cfg := config(t)
	script := filepath.Join(t.TempDir(), "node")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Program = []string{script}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != checkers.Fail || len(r.Checks) == 0 || r.Checks[0].Name != "node" || !strings.Contains(r.Checks[0].Note, "exit status 3: the disk is on fire") {
		t.Errorf("%s: %v", r.Verdict, r.Checks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cfg = config(t)
	cfg.Killed = func(string, int) { cancel() }
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// A node whose files forget cannot be started by accident.
func TestNodeWantsAnOrder(t *testing.T) {
	for _, text := range []string{"", "{}", "serve", `{"dir": "d"}`} {
		if err := Node(strings.NewReader(text), &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, ErrOrder) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A check that looked at nothing is no pass, and the worst verdict counts.
func TestVerdicts(t *testing.T) {
	r := Report{Moments: map[string]int{}}
	r.add(&StageReport{Name: "a", Checks: []checkers.Result{{Name: "x", Verdict: checkers.Pass, Examined: 2}, {Name: "y", Verdict: checkers.Pass, Examined: 1}}})
	if r.Verdict != checkers.Pass {
		t.Error(r.Verdict)
	}
	r.add(&StageReport{Name: "b", Checks: []checkers.Result{{Name: "x", Verdict: checkers.Pass}}})
	if r.Verdict != checkers.Unknown || r.Checks[0].Examined != 2 || !strings.HasPrefix(r.Checks[0].Note, "b: ") {
		t.Errorf("%s %v", r.Verdict, r.Checks)
	}
	r.add(&StageReport{Name: "c", Checks: []checkers.Result{{Name: "x", Verdict: checkers.Fail, Note: "n"}, {Name: "y", Verdict: checkers.Pass, Examined: 1}}})
	if r.Verdict != checkers.Fail || r.Checks[0].Note != "c: n" || r.Checks[1].Verdict != checkers.Pass {
		t.Errorf("%s %v", r.Verdict, r.Checks)
	}
}

// Starts fall into buckets by the size of the journals.
func TestBuckets(t *testing.T) {
	got := buckets([]Sample{{"s", 0, 3, 4}, {"s", mib, 1, 9}, {"s", mib + 1, 5, 6}, {"s", 2 << 40, 7, 8}})
	want := []Bucket{{"s", mib, 2, 2, 3, 6.5, 9}, {"s", 4 * mib, 1, 5, 5, 6, 6}, {"s", 1 << 62, 1, 7, 7, 8, 8}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The stages that are chosen share all of the kills.
func TestChosen(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{{nil, "small 40 compacted 30 large 15 large-compacted 15 "}, {[]string{"small"}, "small 100 "}, {[]string{"large", "small"}, "small 72 large 28 "}} {
		list, err := chosen(c.names)
		got := ""
		for i := range list {
			got += fmt.Sprintf("%s %d ", list[i].name, list[i].share)
		}
		if err != nil || got != c.want {
			t.Errorf("%s, want %s (%v)", got, c.want, err)
		}
	}
}

// What is wrong with a drill is told before it begins.
func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"0 kills": func(c *Config) { c.Kills = 0 }, "10001 kills": func(c *Config) { c.Kills = 10_001 },
		"257 clients": func(c *Config) { c.Clients = 257 }, "65 shards": func(c *Config) { c.Shards = 65 },
		"no workloads": func(c *Config) { c.Workloads = nil }, `no workload "x"`: func(c *Config) { c.Workloads = []string{"x"} },
		`no stage "x"`: func(c *Config) { c.Stages = []string{"large", "x"} },
		"no program":   func(c *Config) { c.Program = nil }, "duration of -1s": func(c *Config) { c.Duration = -1e9 },
	} {
		c := config(t)
		change(&c)
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// passed wants every check to have looked at something, and to have found it well.
func passed(t *testing.T, checks []checkers.Result) {
	t.Helper()
	for _, c := range checks {
		if t.Log(c); c.Verdict != checkers.Pass || c.Examined == 0 {
			t.Errorf("%s, want a pass over something", c)
		}
	}
}
