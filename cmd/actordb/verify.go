package main

import (
	"errors"
	"fmt"
	"os"

	"actordb/core"
	"actordb/disk/osfile"
	"actordb/internal/datadir"
	"actordb/internal/history"
	"actordb/internal/inspect"
	"actordb/internal/verify"

	"github.com/jedib0t/go-pretty/v6/table"
)

type verifyCommand struct {
	Dir  string `arg:"" help:"A node's data directory."`
	JSON bool   `name:"json" help:"One JSON document on standard output."`
}

func (verifyCommand) Help() string {
	return `Reads all of a stopped node's directory and changes nothing: every checksum, hash and chain, and whether
what is derived (checkpoints, snapshots, answers of sessions) follows from what is recorded. A torn tail, as a crash
leaves it, is noted and is no damage; the next start cuts it off.

Example:

    actordb verify /var/lib/actordb
    actordb verify --json /var/lib/actordb | jq '.problems[]'

Each problem comes with file, byte offset and cure.
Exit codes: 0 all of it holds, 1 something is damaged or wrong, 2 not a data directory, or a node runs in it.`
}

// Run implements the command.
func (c *verifyCommand) Run() error {
	lock, err := offline(c.Dir)
	if err != nil {
		return err
	}
	shown := newProgress("bytes verified", 0)
	report, err := verify.Run(verify.Options{Dir: c.Dir, Kinds: sampleKinds, Moved: shown.to})
	shown.end()
	if err := errors.Join(err, lock.Close()); err != nil {
		return directory(err)
	}
	if c.JSON {
		err = printJSON(report)
	} else {
		printVerified(report)
	}
	if err == nil && !report.Holds() {
		return violated()
	}
	return err
}

// offline keeps nodes out of a directory as long as it is read.
func offline(dir string) (interface{ Close() error }, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, usage("%v", err)
	}
	lock, err := datadir.LockShared(dir)
	if err != nil {
		return nil, directory(err)
	}
	return lock, nil
}

// directory tells bad input from a machine that failed.
func directory(err error) error {
	var owned *osfile.OwnedError
	var version *core.VersionError
	var identity *datadir.IdentityError
	var problem *history.Problem
	var said *failure
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, datadir.ErrNotData), errors.Is(err, inspect.ErrNone), errors.As(err, &owned), errors.As(err, &version), errors.As(err, &identity):
		return usage("%w", err)
	case errors.As(err, &problem):
		return &failure{exitViolated, err}
	}
	return environment("%w", err)
}

func printVerified(r *verify.Report) {
	w := os.Stdout
	if r.Cluster != "" {
		fmt.Fprintf(w, "%s: node %d of cluster %s\n", r.Dir, r.Node, r.Cluster)
	}
	t := newTable(w)
	t.AppendHeader(table.Row{"shard", "segments", "bytes", "entries", "blocks", "events", "outcomes", "actors", "sessions", "checkpoint", "states folded"})
	for i := range r.Shards {
		s := &r.Shards[i]
		t.AppendRow(table.Row{s.Shard, s.Segments, s.Bytes, fmt.Sprintf("%d to %d", s.Floor+1, s.Last), s.Blocks, s.Events, s.Outcomes,
			s.Actors, s.Sessions, s.Checkpoint, s.Folded})
	}
	if len(r.Shards) > 0 {
		t.Render()
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s: %s\n", n.File, n.What)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s, byte %d: %s\n  cure: %s\n", p.File, p.Offset, p.What, p.Cure)
	}
	if r.Holds() {
		fmt.Fprintln(w, "HOLDS")
		return
	}
	fmt.Fprintf(w, "DAMAGED OR WRONG: %d problems\n", len(r.Problems))
}
