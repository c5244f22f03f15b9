package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/internal/datadir"
	"actordb/workloads"
)

// Config of a drill.
type Config struct {
	// Program runs Node, with the arguments that make it do so.
	Program []string
	Dir     string // is made for the drill, and stays
	Seed    uint64
	Kills   int
	// Duration bounds the killing: after it each stage ends as soon as it can. 0:
	// only Kills does.
	Duration  time.Duration
	Clients   int
	Workloads []string // dealt out to the clients
	Shards    int
	Stages    []string // names; none: all
	// Killed is told after each kill; may be nil.
	Killed func(stage string, kills int)

	kills int
}

// KillsMax and ClientsMax bound a drill: its record is in memory.
const (
	KillsMax   = 10_000
	ClientsMax = 256
)

// Validate reports the first thing wrong with c.
func (c *Config) Validate() error {
	switch {
	case len(c.Program) == 0 || c.Dir == "":
		return errors.New("drill: no program, or no directory")
	case c.Kills < 1 || c.Kills > KillsMax:
		return fmt.Errorf("drill: %d kills, want 1 to %d", c.Kills, KillsMax)
	case c.Clients < 1 || c.Clients > ClientsMax:
		return fmt.Errorf("drill: %d clients, want 1 to %d", c.Clients, ClientsMax)
	case c.Shards < 1 || c.Shards > datadir.ShardsMax:
		return fmt.Errorf("drill: %d shards, want 1 to %d", c.Shards, datadir.ShardsMax)
	case c.Duration < 0:
		return fmt.Errorf("drill: a duration of %s", c.Duration)
	case len(c.Workloads) == 0:
		return errors.New("drill: no workloads")
	}
	if _, err := chosen(c.Stages); err != nil {
		return err
	}
	for _, name := range c.Workloads {
		if list, err := workloads.Select(name); err != nil || len(list) != 1 {
			return errors.Join(fmt.Errorf("drill: workload %q", name), err)
		}
	}
	return nil
}

func (c *Config) killed(s *stage) {
	if c.kills++; c.Killed != nil {
		c.Killed(s.plan.name, c.kills)
	}
}

// Run drills. A violation is in the report; an error is the machine's.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	begun := time.Now()
	r := &Report{Seed: cfg.Seed, Clients: cfg.Clients, Shards: cfg.Shards, Moments: map[string]int{}, Dir: cfg.Dir}
	share := 0
	list, err := chosen(cfg.Stages)
	if err != nil {
		return nil, err
	}
	for i, p := range list {
		before := (cfg.Kills*share + 99) / 100 // a few kills go to the first stages
		share += p.share
		kills := (cfg.Kills*share+99)/100 - before
		if kills == 0 {
			continue
		}
		var until time.Time
		if cfg.Duration > 0 {
			until = begun.Add(cfg.Duration * time.Duration(share) / 100)
		}
		s := newStage(&cfg, &p, i+1)
		if err := s.run(ctx, kills, until); err != nil {
			return nil, fmt.Errorf("stage %s: %w", p.name, err)
		}
		r.add(s.out)
		if r.Verdict == checkers.Fail {
			break // the directory is evidence
		}
	}
	r.finish()
	r.WallSeconds = time.Since(begun).Seconds()
	return r, nil
}

// count says what became of operations.
func (s *StageReport) count(ops []checkers.Op) {
	s.Operations = len(ops)
	for i := range ops {
		o := &ops[i]
		switch {
		case o.Status == core.Accepted && o.Kind.Changes():
			s.Acknowledged++
		case o.Status == core.Accepted:
			s.Read++
		case o.Status == core.Unknown:
			s.Unknown++
		default:
			s.Refused++
		}
		if len(o.Attempts) > 1 {
			s.Repeated++
		}
	}
}
