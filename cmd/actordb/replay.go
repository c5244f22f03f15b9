package main

import (
	"fmt"
	"os"
	"strings"

	"actordb/checkers"
	"actordb/internal/testbed"
)

type replayCommand struct {
	Scenario string `arg:"" help:"File that sim run --save wrote, or that a violation left in results/scenarios."`
	Until    uint64 `placeholder:"STEP" help:"Stop after this step and say where the run is."`
	View     bool   `help:"Draw the last deliveries, and the history of the violation if there is one."`
	Last     int    `default:"120" help:"How many deliveries --view draws."`
	JSON     bool   `name:"json" help:"One JSON document on standard output."`
	Trace    string `placeholder:"FILE" help:"Write one line for each step."`
}

func (replayCommand) Help() string {
	return `Example:

    actordb sim replay results/scenarios/seed-42.json --until 18321 --view

Exit codes: as the run that was saved: 0 every law holds, 1 a law is broken; 2 bad scenario,
3 the run did not go as it was saved (the program has changed, or is not deterministic), 4 the environment failed.`
}

// replayed is what sim replay --json prints: the report of the run, and whether
// it is the saved one.
type replayed struct {
	*testbed.Report
	ExpectedHash string `json:"expected_trace_hash"`
	Same         bool   `json:"same"`
	StoppedAt    uint64 `json:"stopped_at,omitempty"`
	LastStep     string `json:"last_step,omitempty"`
	View         string `json:"view,omitempty"`
	Picture      string `json:"picture,omitempty"`
}

const viewMax = 10_000

// Run implements the command.
func (c *replayCommand) Run() error {
	if c.Last < 1 || c.Last > viewMax {
		return usage("--last %d: want 1 to %d", c.Last, viewMax)
	}
	s, err := loadScenario(c.Scenario)
	if err != nil {
		return err
	}
	if c.Until > s.Steps {
		return usage("--until %d: the run has %d steps", c.Until, s.Steps)
	}
	r, last, err := c.execute(s)
	if err != nil {
		return err
	}
	out := &replayed{Report: r, ExpectedHash: s.TraceHash, Same: r.TraceHash == s.TraceHash, LastStep: last.newest()}
	if c.Until > 0 {
		out.StoppedAt = r.Steps
	}
	if c.View {
		if err := c.draw(s, out, last); err != nil {
			return err
		}
	}
	if c.JSON {
		err = printJSON(out)
	} else {
		c.print(out)
	}
	switch {
	case err != nil:
		return err
	case strayed(out, c.Until) != "":
		return diverged()
	case c.Until == 0 && r.Verdict == checkers.Fail:
		return violated()
	}
	return nil
}

// execute runs the scenario and keeps the last lines of its trace.
func (c *replayCommand) execute(s *scenario) (*testbed.Report, *lastLines, error) {
	o := s.Options
	o.Replay, o.Until = s.Log, c.Until
	if c.View && c.Until == 0 {
		o.HTML = strings.TrimSuffix(c.Scenario, ".json") + ".html"
	}
	last := &lastLines{most: c.Last}
	var traced *tracer
	if c.Trace != "" {
		var err error
		if traced, err = newTracer(c.Trace); err != nil {
			return nil, nil, err
		}
	}
	if traced != nil || c.View || c.Until > 0 {
		o.Trace = func(line string) {
			last.add(line)
			if traced != nil {
				traced.line(line)
			}
		}
	}
	r, err := testbed.Run(o)
	if traced != nil {
		if closeErr := traced.close(); err == nil && closeErr != nil {
			return nil, nil, closeErr
		}
	}
	if err != nil {
		return nil, nil, environment("replay %s: %w", c.Scenario, err)
	}
	return r, last, nil
}

// checkStopped is the check by which the testbed reports that the world stopped
// early for a reason that is no process's fault; in a replay, a divergence.
const checkStopped = "world"

// strayed tells how the replay left the path of the saved run, or "".
func strayed(out *replayed, until uint64) string {
	for i := range out.Checks {
		if c := &out.Checks[i]; c.Name == checkStopped && c.Verdict == checkers.Fail && (until > 0 || !out.Same) {
			return c.Note
		}
	}
	switch {
	case until > 0 && out.Steps == until:
		return "" // the hash is that of another step
	case !out.Same:
		return fmt.Sprintf("the trace hash after %d steps is %s, the saved one is %s, though every recorded decision could be followed",
			out.Steps, out.TraceHash, out.ExpectedHash)
	}
	return ""
}

func (c *replayCommand) draw(s *scenario, out *replayed, last *lastLines) error {
	base := strings.TrimSuffix(c.Scenario, ".json")
	out.View = base + ".view.html"
	title := fmt.Sprintf("seed %d, up to step %d", s.Options.Seed, out.Steps)
	if err := writeFile(out.View, drawView(title, s.Repeat, last.lines())); err != nil {
		return err
	}
	if _, err := os.Stat(base + ".html"); err == nil {
		out.Picture = base + ".html"
	}
	return nil
}

func (c *replayCommand) print(out *replayed) {
	w := os.Stdout
	why := strayed(out, c.Until)
	switch {
	case why != "":
		fmt.Fprintf(w, "NOT DETERMINISTIC: %s\n", why)
		fmt.Fprintln(w, "either the program has changed since the run was saved, or something in it does not come from the seed")
		fmt.Fprintf(w, "find out with: actordb sim audit --seeds %d-%d\n", out.Seed, out.Seed)
	case c.Until > 0:
		fmt.Fprintf(w, "seed %d stopped after step %d at %s of virtual time\n", out.Seed, out.Steps, seconds(out.SimSeconds))
		fmt.Fprintf(w, "  %s\n", out.LastStep)
	default:
		printReport(w, &outcome{Report: out.Report, Picture: out.Picture})
		fmt.Fprintf(w, "the same run as saved: trace hash %s\n", out.TraceHash)
	}
	if out.View != "" {
		fmt.Fprintf(w, "  view:    %s\n", out.View)
	}
}

// lastLines keeps the newest lines of a trace: the deliveries that a picture
// shows and the events between them.
type lastLines struct {
	most int
	ring []string
	next int
}

func (l *lastLines) add(line string) {
	if len(l.ring) < l.most {
		l.ring = append(l.ring, line)
		return
	}
	l.ring[l.next] = line
	l.next = (l.next + 1) % l.most
}

func (l *lastLines) lines() []string {
	return append(append([]string(nil), l.ring[l.next:]...), l.ring[:l.next]...)
}

func (l *lastLines) newest() string {
	if all := l.lines(); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}
