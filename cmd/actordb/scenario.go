package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"actordb/checkers"
	"actordb/internal/testbed"
	"actordb/sim"
)

const (
	scenarioFormat  = "actordb scenario"
	scenarioVersion = 1
	scenarioDir     = "results/scenarios"
	scenarioMax     = 256 << 20 // bytes of a file that is read
)

// A scenario is a saved run: what it was, every decision in it that the seed
// alone does not give, and how it ended.
type scenario struct {
	Format    string           `json:"format"`
	Version   int              `json:"version"`
	Repeat    string           `json:"repeat"`
	Options   testbed.Options  `json:"options"`
	TraceHash string           `json:"trace_hash"`
	Steps     uint64           `json:"steps"`
	Verdict   checkers.Verdict `json:"verdict"`
	Failed    []failedCheck    `json:"failed"`
	Log       *sim.Log         `json:"log"`
}

// A failedCheck is a law that was found broken.
type failedCheck struct {
	Name string `json:"name"`
	Note string `json:"note"`
}

func failedChecks(checks []checkers.Result) []failedCheck {
	failed := []failedCheck{}
	for i := range checks {
		if checks[i].Verdict == checkers.Fail {
			failed = append(failed, failedCheck{checks[i].Name, checks[i].Note})
		}
	}
	return failed
}

func newScenario(o testbed.Options, r *testbed.Report) *scenario {
	return &scenario{Format: scenarioFormat, Version: scenarioVersion, Repeat: r.Repeat, Options: o,
		TraceHash: r.TraceHash, Steps: r.Steps, Verdict: r.Verdict, Failed: failedChecks(r.Checks), Log: r.Log}
}

// save writes the scenario and makes its directory.
func (s *scenario) save(path string) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return environment("save the scenario: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o666); err != nil {
		return environment("save the scenario: %w", err)
	}
	return nil
}

// loadScenario reads and checks a scenario. Errors tell the place in the file.
func loadScenario(path string) (*scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage("%w: want a file that sim run --save wrote", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, scenarioMax+1))
	if err != nil {
		return nil, usage("%w: want a file that sim run --save wrote", err)
	}
	if len(b) > scenarioMax {
		return nil, usage("%s: longer than %d bytes: this is no scenario", path, scenarioMax)
	}
	s, err := parseScenario(b)
	if err != nil {
		return nil, usage("%s%w", path, err)
	}
	return s, nil
}

func parseScenario(b []byte) (*scenario, error) {
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, placed(b, err)
	}
	switch {
	case head.Format != scenarioFormat:
		return nil, fmt.Errorf(": format is %q, want %q: this is no scenario", head.Format, scenarioFormat)
	case head.Version != scenarioVersion:
		return nil, fmt.Errorf(": version %d, this program reads %d: replay it with the program that saved it", head.Version, scenarioVersion)
	}
	var s scenario
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, placed(b, err)
	}
	if s.Log == nil {
		return nil, errors.New(": it has no log of decisions: save the run again")
	}
	if s.Log.Seed != s.Options.Seed {
		return nil, fmt.Errorf(": options are of seed %d, the log of seed %d: save the run again", s.Options.Seed, s.Log.Seed)
	}
	s.Options = s.Options.WithDefaults()
	if err := checkOptions(&s.Options); err != nil {
		return nil, fmt.Errorf(": options: %w", err)
	}
	return &s, nil
}

// placed puts line and column before a JSON error.
func placed(b []byte, err error) error {
	at := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
	}
	if at < 0 {
		return fmt.Errorf(": %w", err)
	}
	before := b[:min(at, int64(len(b)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Errorf(":%d:%d: %w", line, max(column, 1), err)
}
