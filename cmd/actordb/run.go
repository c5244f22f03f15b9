package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"actordb/checkers"
	"actordb/internal/host"
	"actordb/internal/testbed"
)

type runCommand struct {
	Seed     uint64 `default:"1" help:"All randomness of the run."`
	runFlags `embed:""`
	JSON     bool   `name:"json" help:"One JSON document on standard output."`
	Trace    string `placeholder:"FILE" help:"Write one line for each step."`
	Save     string `placeholder:"FILE" help:"Save the scenario, whatever the verdict. A violation is saved in any case."`
}

func (runCommand) Help() string {
	return `Example:

    actordb sim run --seed 42 --faults swarm --duration 30s

Exit codes: 0 every law holds, 1 a law is broken, 2 wrong usage, 4 the environment failed.
The verdict is unknown when a checker could not tell, for instance because it ran out of time; that is noted and exits with 0.
A violation is saved to ` + scenarioDir + `, with a picture of the history, for actordb sim replay.`
}

// outcome is the report of a run and the files about it.
type outcome struct {
	*testbed.Report
	Saved   string `json:"saved,omitempty"`
	Picture string `json:"picture,omitempty"`
}

// Run implements the command.
func (c *runCommand) Run() error {
	o, err := c.options(c.Seed)
	if err != nil {
		return err
	}
	o.Record = true
	host.CollectLess()
	out, err := execute(o, c.Trace, c.Save)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(out); err != nil {
			return err
		}
	} else {
		printReport(os.Stdout, out)
	}
	if out.Verdict == checkers.Fail {
		return violated()
	}
	return nil
}

// execute makes one run and saves what is to be saved of it.
func execute(o testbed.Options, trace, save string) (*outcome, error) {
	scratch, err := os.MkdirTemp("", "actordb-run-")
	if err != nil {
		return nil, environment("%w", err)
	}
	defer os.RemoveAll(scratch)
	o.HTML = filepath.Join(scratch, "history.html")
	var traced *tracer
	if trace != "" {
		if traced, err = newTracer(trace); err != nil {
			return nil, err
		}
		o.Trace = traced.line
	}
	r, err := testbed.Run(o)
	if traced != nil {
		if closeErr := traced.close(); err == nil && closeErr != nil {
			return nil, closeErr
		}
	}
	if err != nil {
		return nil, environment("seed %d: %w", o.Seed, err)
	}
	out := &outcome{Report: r}
	s := newScenario(o, r)
	if save != "" {
		if err := s.save(save); err != nil {
			return nil, err
		}
		out.Saved = save
	}
	if r.Verdict != checkers.Fail {
		return out, nil
	}
	name := filepath.Join(scenarioDir, fmt.Sprintf("seed-%d", o.Seed))
	if save == "" {
		if err := s.save(name + ".json"); err != nil {
			fmt.Fprintf(os.Stderr, "actordb: %v\n", err) // the verdict matters more
		} else {
			out.Saved = name + ".json"
		}
	}
	if picture, err := os.ReadFile(o.HTML); err == nil {
		if err := writeFile(name+".html", picture); err != nil {
			fmt.Fprintf(os.Stderr, "actordb: %v\n", err)
		} else {
			out.Picture = name + ".html"
		}
	}
	return out, nil
}

func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return environment("%w", err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		return environment("%w", err)
	}
	return nil
}

// A tracer writes a trace, line by line. It remembers its first error.
type tracer struct {
	f *os.File
	w *bufio.Writer
}

func newTracer(path string) (*tracer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, environment("--trace: %w", err)
	}
	return &tracer{f, bufio.NewWriterSize(f, 1<<16)}, nil
}

func (t *tracer) line(s string) {
	_, _ = t.w.WriteString(s) // a bufio.Writer keeps its error until Flush
	_ = t.w.WriteByte('\n')
}

func (t *tracer) close() error {
	err := t.w.Flush()
	if closeErr := t.f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return environment("--trace: %w", err)
	}
	return nil
}

// printJSON writes the one document of standard output.
func printJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if _, err := os.Stdout.Write(append(b, '\n')); err != nil {
		return environment("standard output: %w", err)
	}
	return nil
}
