// Command peers measures what users might choose instead of ActorDB, under the same
// loads: databases that keep streams of events, and an actor library. It is a module
// of its own, so that none of them becomes a dependency of the database.
//
//	peers throughput --contestant redis --in-flight 256 --duration 4s    one load.Measurement as JSON
//	peers throughput --contestant etcd3 …                                the same of a cluster of three members
//	peers messages --n 5000000                                           JSON rows
//	peers change --contestant sqlite --view join --batch 1000            what a view kept by triggers costs, as JSON
//
// actordb exp run throughput, replication, messages and change build and run it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"actordb/internal/load"
)

func main() {
	// Servers end with the thread that started them, which is this one: it lives as
	// long as the process.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want throughput, messages or change")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var result any
	var err error
	switch args[0] {
	case "throughput":
		who := flags.String("contestant", "", "redis, postgres, etcd, or etcd3: three members")
		var c contest
		flags.IntVar(&c.streams, "streams", 10_000, "streams")
		flags.IntVar(&c.size, "size", 200, "bytes of an event")
		flags.IntVar(&c.workers, "workers", 0, "connections; 0: those that suit the contestant")
		flags.IntVar(&c.load.Slots, "in-flight", 256, "commands at once")
		flags.Float64Var(&c.load.Rate, "rate", 0, "commands that arrive a second; 0: closed loop")
		flags.DurationVar(&c.load.RampUp, "ramp-up", time.Second, "before the measurement")
		flags.DurationVar(&c.load.Duration, "duration", 4*time.Second, "of the measurement")
		flags.Uint64Var(&c.load.Seed, "seed", 0, "of the arrivals")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		result, err = c.run(ctx, *who)
	case "etcd-node":
		return etcdNode(args[1:])
	case "messages":
		n := flags.Int("n", 5_000_000, "messages")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		result, err = messages(*n)
	case "change":
		who := flags.String("contestant", "", "postgres or sqlite")
		var c change
		flags.StringVar(&c.view, "view", "group", "group or join")
		flags.IntVar(&c.batch, "batch", 1000, "changes of a transaction")
		flags.IntVar(&c.changes, "changes", 100_000, "that are measured")
		flags.IntVar(&c.base, "base", 100_000, "orders that are there before")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		result, err = c.run(ctx, *who)
	default:
		return fmt.Errorf("%q: want throughput, messages or change", args[0])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// A contest is one load on one contestant.
type contest struct {
	streams, size, workers int
	load                   load.Config
}

// A store is a contestant that runs.
type store interface {
	// write appends a group of events, each if its stream is at the version before,
	// and returns when they are durable. Workers call it at once.
	write(ctx context.Context, group []event) error
	pids() []int
	close() error
}

// An event that is to be appended to a stream.
type event struct {
	stream  int
	version int64 // that it is to have; the first is 1
}

func (c *contest) run(ctx context.Context, who string) (m *load.Measurement, err error) {
	if c.streams < c.load.Slots {
		return nil, fmt.Errorf("%d streams for %d commands at once: want at least as many", c.streams, c.load.Slots)
	}
	dir, err := os.MkdirTemp("", "actordb-peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var s store
	switch who {
	case "redis":
		s, err = startRedis(ctx, dir, c)
	case "postgres":
		s, err = startPostgres(ctx, dir, c)
	case "etcd":
		s, err = startEtcd(ctx, dir, 1, c)
	case "etcd3":
		s, err = startEtcd(ctx, dir, 3, c)
	default:
		return nil, fmt.Errorf("contestant %q: want redis, postgres, etcd or etcd3", who)
	}
	if missing := (notInstalled{}); asNotInstalled(err, &missing) {
		return &load.Measurement{Missing: missing.Error()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	defer func() {
		if closed := s.close(); err == nil {
			err = closed
		}
	}()
	g := newGroups(s, c)
	m, err = load.Measure(ctx, c.load, load.Server{PIDs: s.pids(), Dir: dir}, g.drive)
	g.stop()
	return m, err
}
