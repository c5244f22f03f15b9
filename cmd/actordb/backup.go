package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"actordb/core"
	"actordb/disk"
	"actordb/disk/pebblekv"
	"actordb/internal/backup"
	"actordb/internal/datadir"

	"github.com/jedib0t/go-pretty/v6/table"
)

type backupCommand struct {
	Dir  string `arg:"" help:"A node's data directory; the node may run."`
	Repo string `arg:"" help:"Repository: a directory, made if there is none. Better on another disk."`
	JSON bool   `name:"json" help:"One JSON document on standard output."`
}

func (backupCommand) Help() string {
	return `Adds a backup to a repository. The node may run and write; the backup holds everything that was acknowledged
before it began. Only what the repository does not have is stored. The backup counts when the command ends with 0:
then it is durable. A damaged directory is not backed up; the message says where the damage is.

Examples:

    actordb backup /var/lib/actordb /mnt/backup
    actordb backups /mnt/backup
    actordb restore /mnt/backup /var/lib/actordb-back --until 2026-11-21T13:00:00Z

A repository holds all data, personal columns and the node's secret: it is made for its owner alone (0700). Keys and
certificates are not in it.
Exit codes: 0 done, 1 the directory is damaged, 2 wrong usage or somebody else adds to the repository, 4 the machine failed.`
}

// Run implements the command.
func (c *backupCommand) Run() error {
	if _, err := datadir.Read(c.Dir); err != nil { // before a repository is made for nothing
		return directory(err)
	}
	r, err := backup.Create(c.Repo)
	if err != nil {
		return repository(err)
	}
	shown := newProgress("bytes read", 0)
	m, err := r.Take(backup.Options{Dir: c.Dir, Moved: shown.more})
	shown.end()
	if err := errors.Join(err, r.Close()); err != nil {
		return repository(err)
	}
	line := lineOf(m)
	line.Added = r.Added
	if c.JSON {
		return printJSON(line)
	}
	printBackups([]backupLine{line})
	fmt.Printf("backup %s is durable; %d bytes were new\n", m.ID, r.Added)
	return nil
}

// repository tells bad input from damage and from a machine that failed.
func repository(err error) error {
	var damage *backup.Damage
	var out *backup.RangeError
	switch {
	case errors.As(err, &damage):
		return &failure{exitViolated, err}
	case errors.Is(err, backup.ErrNotRepository), errors.Is(err, backup.ErrNone), errors.Is(err, backup.ErrDirTaken), errors.As(err, &out):
		return usage("%w", err)
	}
	return directory(err)
}

// A backupLine is a backup in short.
type backupLine struct {
	ID      string      `json:"id"`
	Cluster string      `json:"cluster"`
	Node    uint32      `json:"node"`
	Begun   time.Time   `json:"begun"`
	Ended   time.Time   `json:"ended"`
	Added   int64       `json:"bytes_added,omitempty"`
	Bytes   int64       `json:"journal_bytes"`
	Shards  []shardLine `json:"shards"`
	Problem string      `json:"problem,omitempty"`
}

type shardLine struct {
	Shard core.ShardID `json:"shard"`
	First core.Index   `json:"first"`
	Last  core.Index   `json:"last"`
	Until string       `json:"until"`
}

func lineOf(m *backup.Manifest) backupLine {
	line := backupLine{ID: m.ID, Cluster: m.Cluster, Node: m.Node, Begun: m.Begun, Ended: m.Ended}
	for i := range m.Shards {
		s := &m.Shards[i]
		for _, seg := range s.Segments {
			line.Bytes += seg.Bytes
		}
		line.Shards = append(line.Shards, shardLine{s.Shard, s.Floor + 1, s.Last, s.Until.String()})
	}
	return line
}

func printBackups(list []backupLine) {
	t := newTable(os.Stdout)
	t.AppendHeader(table.Row{"backup", "cluster", "node", "journal bytes", "entries of each shard"})
	for _, b := range list {
		entries := ""
		for _, s := range b.Shards {
			entries += fmt.Sprintf("%d: %d to %d  ", s.Shard, s.First, s.Last)
		}
		if b.Problem != "" {
			entries = b.Problem
		}
		t.AppendRow(table.Row{b.ID, clip(b.Cluster, 8), b.Node, b.Bytes, entries})
	}
	t.Render()
}

type backupsCommand struct {
	Repo  string `arg:"" help:"A backup repository."`
	Check bool   `help:"Read all of each backup and compare hashes."`
	JSON  bool   `name:"json" help:"One JSON document on standard output."`
}

func (backupsCommand) Help() string {
	return `Examples:

    actordb backups /mnt/backup
    actordb backups /mnt/backup --check

Exit codes: 0 all is well, 1 a file of the repository is damaged, 2 it is no repository.`
}

// Run implements the command.
func (c *backupsCommand) Run() error {
	r, err := backup.Open(c.Repo)
	if err != nil {
		return repository(err)
	}
	ids, err := r.IDs()
	if err != nil {
		return repository(err)
	}
	list := []backupLine{}
	shown := newProgress("bytes checked", 0)
	for _, id := range ids {
		line := backupLine{ID: id}
		m, err := r.Manifest(id)
		if err == nil {
			line = lineOf(m)
			if c.Check {
				err = r.Check(m, shown.more)
			}
		}
		if err != nil {
			line.Problem = err.Error()
		}
		list = append(list, line)
	}
	shown.end()
	if c.JSON {
		err = printJSON(map[string]any{"backups": list})
	} else {
		printBackups(list)
	}
	if err == nil && slices.ContainsFunc(list, func(b backupLine) bool { return b.Problem != "" }) {
		return violated()
	}
	return err
}

type restoreCommand struct {
	Repo       string            `arg:"" help:"A backup repository."`
	Dir        string            `arg:"" help:"Directory to make: a new one, or empty."`
	Backup     string            `placeholder:"ID" help:"Which one; left out: the newest."`
	Until      string            `placeholder:"TIMESTAMP" help:"Leave out what was recorded after this time (RFC 3339, as in 2026-11-21T13:00:00Z)."`
	UntilIndex map[uint32]uint64 `name:"until-index" placeholder:"SHARD=INDEX" help:"Leave out the entries of a shard after this one."`
	LostQuorum bool              `name:"lost-quorum" help:"The backup is of one node of a cluster whose majority is gone for good: make a node that is alone of what it had."`
	JSON       bool              `name:"json" help:"One JSON document on standard output."`
}

func (restoreCommand) Help() string {
	return `Makes a data directory from a backup, or as it was at a point in time that the backups reach: events, answers
of sessions and states up to it, and nothing later. It appears when it is whole, verified and durable.

Examples:

    actordb restore /mnt/backup /var/lib/actordb-back
    actordb restore /mnt/backup DIR --until 2026-11-21T13:00:00Z
    actordb restore /mnt/backup DIR --backup 20261121T130000.000000000Z --until-index 0=1207

What is restored is a cluster of its own, with a new number and secret: its files and backups cannot be mixed up with the
original's, which may still run. Clients cannot tell them apart, though: do not let both answer under one name.
Clients of the original may hold answers that the restored one does not know; have them open new sessions.
Exit codes: 0 done, 1 the repository is damaged, 2 wrong usage, or the point in time cannot be reached, 4 the machine failed.`
}

// Run implements the command.
func (c *restoreCommand) Run() error {
	o := backup.RestoreOptions{Dir: c.Dir, Backup: c.Backup, LostQuorum: c.LostQuorum, Kinds: sampleKinds, UntilIndex: map[core.ShardID]core.Index{},
		OpenKV: func(dir string) (disk.KV, error) { return pebblekv.Open(pebblekv.Config{Dir: dir}) }}
	if c.Until != "" {
		at, err := time.Parse(time.RFC3339Nano, c.Until)
		if err != nil {
			return usage("--until %s: want a time as in 2026-11-21T13:00:00Z", c.Until)
		}
		o.Until = core.Timestamp(at.UnixNano())
	}
	if c.Until != "" && len(c.UntilIndex) > 0 {
		return usage("--until and --until-index exclude each other")
	}
	for shard, index := range c.UntilIndex {
		o.UntilIndex[core.ShardID(shard)] = core.Index(index)
	}
	r, err := backup.Open(c.Repo)
	if err != nil {
		return repository(err)
	}
	shown := newProgress("bytes restored", 0)
	o.Moved = shown.more
	out, err := r.Restore(o)
	shown.end()
	if err != nil {
		return repository(err)
	}
	if c.JSON {
		return printJSON(out)
	}
	fmt.Printf("%s: backup %s of cluster %s, restored as cluster %s\n", out.Dir, out.Backup, out.From, out.Cluster)
	for _, s := range out.Shards {
		fmt.Printf("shard %d: entries %d to %d, the last block of %s; %d entries of the backup left out\n", s.Shard, s.Floor+1, s.Last, s.Until, s.Cut)
	}
	fmt.Println("it holds; start a node with it by: actordb serve --dir", out.Dir)
	return nil
}
