package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"actordb/core"
	"actordb/internal/inspect"

	"github.com/jedib0t/go-pretty/v6/table"
)

type inspectCommand struct {
	Dir   string `arg:"" help:"A node's data directory."`
	What  string `arg:"" enum:"node,segment,block,actor,snapshot,sessions" default:"node" help:"node, segment, block, actor, snapshot or sessions."`
	Name  string `arg:"" optional:"" help:"Which one: the number of a segment or block, an actor's id, the beginning of a session's id."`
	Shard uint32 `placeholder:"N" help:"Whose segment or block it is."`
	From  uint64 `placeholder:"SEQ" help:"actor: first event to show. snapshot: the sequence it was taken at."`
	Limit int    `default:"1000" help:"actor: how many events to show."`
	JSON  bool   `name:"json" help:"One JSON document on standard output."`
}

func (inspectCommand) Help() string {
	return `Shows what stands in a directory, in any state, also while a node runs in it. Nothing is changed.

Examples:

    actordb inspect DIR                             where each shard stands: segments, entries, checkpoint
    actordb inspect DIR segment 3 --shard 1         each frame of a segment
    actordb inspect DIR block 1207                  an entry: conditions, answers, events, footer
    actordb inspect DIR actor cart/7 --from 10      an actor's history
    actordb inspect DIR snapshot cart/7             its stored states, decoded if the type is known
    actordb inspect DIR sessions 18a0               what is remembered of clients, and their answers

It shows personal columns: treat its output like the data.
Exit codes: 0 shown, 1 what was asked for is damaged, 2 there is no such thing, or no data directory.`
}

const inspectLimitMax = 1 << 20

// Run implements the command.
func (c *inspectCommand) Run() error {
	if c.Limit < 1 || c.Limit > inspectLimitMax {
		return usage("--limit %d: want 1 to %d", c.Limit, inspectLimitMax)
	}
	named := c.What != "node" && c.What != "sessions"
	if named != (c.Name != "") && c.What != "sessions" {
		return usage("inspect %s: name one, as in %q", c.What, "actordb inspect DIR block 12")
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return usage("%v", err)
	}
	shown := newProgress("bytes read", 0)
	d, err := inspect.Open(c.Dir, sampleKinds(), shown.more)
	shown.end()
	if err != nil {
		return directory(err)
	}
	v, err := c.look(d)
	if err := errors.Join(err, d.Close()); err != nil {
		return directory(err)
	}
	if c.JSON {
		return printJSON(v)
	}
	show(v)
	return nil
}

func (c *inspectCommand) look(d *inspect.Dir) (any, error) {
	switch c.What {
	case "segment", "block":
		n, err := strconv.ParseUint(c.Name, 10, 63)
		if err != nil {
			return nil, usage("%s %q: want a number", c.What, c.Name)
		}
		if c.What == "segment" {
			return d.Segment(core.ShardID(c.Shard), n)
		}
		return d.Block(core.ShardID(c.Shard), core.Index(n))
	case "actor", "snapshot":
		id := core.ActorID(c.Name)
		if err := id.Validate(); err != nil {
			return nil, usage("%w", err)
		}
		if c.What == "snapshot" {
			return d.Snapshots(id, core.Seq(c.From))
		}
		return d.Actor(id, core.Seq(c.From), c.Limit)
	case "sessions":
		return d.Sessions(strings.ToLower(c.Name))
	}
	return d.Node(), nil
}

func show(v any) {
	switch v := v.(type) {
	case *inspect.Node:
		showNode(v)
	case *inspect.Segment:
		showSegment(v)
	case *inspect.Block:
		showBlock(v)
	case *inspect.Actor:
		fmt.Printf("%s is at %d", v.Actor, v.Seq)
		if v.Compacted > 0 {
			fmt.Printf("; events up to %d were compacted away", v.Compacted)
		}
		fmt.Println()
		showEvents(v.Events)
		if v.More {
			fmt.Println("there are more: see --limit and --from")
		}
	case []inspect.Snapshot:
		for _, s := range v {
			fmt.Printf("%s at %d, shard %d after block %d, named by its actor: %t\n", s.Actor, s.Seq, s.Shard, s.Block, s.Named)
			showState(&s.State)
		}
	case []inspect.Session:
		for _, s := range v {
			fmt.Printf("session %s of shard %d: expires %s, numbers below %d are answered and forgotten\n", s.Session, s.Shard, s.Expires, s.Floor)
			for _, a := range s.Answers {
				fmt.Printf("  %d: %s %s at %d, %d events, %s\n", a.Number, a.Answer, a.Detail, a.Seq, a.Count, a.Timestamp)
			}
		}
	}
}

func showNode(n *inspect.Node) {
	fmt.Printf("%s: node %d of cluster %s\n", n.Dir, n.Node, n.Cluster)
	if r := n.Restored; r != nil {
		fmt.Printf("restored %s from backup %s of cluster %s %s\n", r.At, r.Backup, r.Cluster, r.Until)
	}
	for _, s := range n.Shards {
		fmt.Printf("shard %d: entries %d to %d, term %d, commit %d; checkpoint at %d (%s): %d actors, %d sessions, %d snapshots\n", s.Shard,
			s.Floor+1, s.Last, s.Term, s.Commit, s.Checkpoint, s.Clock, s.Actors, s.Sessions, s.Snapshots)
		t := newTable(os.Stdout)
		t.AppendHeader(table.Row{"segment", "bytes", "after entry", "sealed"})
		for _, f := range s.Segments {
			t.AppendRow(table.Row{f.Name, f.Bytes, f.After, f.Sealed})
		}
		t.Render()
		for _, p := range s.Problems {
			fmt.Printf("%s, byte %d: %s\n  cure: %s\n", p.File, p.Offset, p.What, p.Cure)
		}
		for _, note := range s.Notes {
			fmt.Printf("note: %s, byte %d: %s\n", note.File, note.Offset, note.What)
		}
	}
}

func showSegment(s *inspect.Segment) {
	fmt.Printf("%s: segment %d of shard %d, replica %d, cluster %s, after entry %d\n", s.File, s.Number, s.Shard, s.Replica, s.Cluster, s.After)
	t := newTable(os.Stdout)
	t.AppendHeader(table.Row{"offset", "bytes", "durable", "frame", "term", "index", "commit", "block bytes"})
	for _, f := range s.Frames {
		t.AppendRow(table.Row{f.Offset, f.Bytes, f.Durable, f.Kind, f.Term, f.Index, f.Commit, f.Data})
	}
	t.Render()
	if s.Problem != "" {
		fmt.Printf("%s; %d bytes are not shown\n", s.Problem, s.Rest)
	}
}

func showBlock(b *inspect.Block) {
	fmt.Printf("entry %d of shard %d, term %d: %s, %d bytes, %s byte %d\n", b.Index, b.Shard, b.Term, b.Kind, b.Bytes, b.File, b.Offset)
	if b.Hash == "" {
		return
	}
	fmt.Printf("hash    %s\nextends %s\n", b.Hash, b.Decided.Extends)
	fmt.Printf("decided %s in term %d, epochs: slots %d, policy %d, catalog %d\n", b.Timestamp, b.Decided.Term, b.Decided.SlotEpoch, b.Decided.PolicyEpoch, b.Decided.Catalog)
	if b.Decider > 0 {
		fmt.Printf("by      replica %d, whose clock said %s\n", b.Decider, b.Wall)
	}
	switch b.Kind {
	case "fence":
		fmt.Printf("raises the slot epoch to %d\n", b.Raise)
	case "upgrade":
		fmt.Printf("raises the log's version to %d\n", b.Raise)
	}
	for _, o := range b.Outcomes {
		fmt.Printf("answer  %s/%d by %s to %s: %s %s at %d, %d events\n", o.Session, o.Number, o.Principal, o.Actor, o.Answer, o.Detail, o.Seq, o.Count)
	}
	showEvents(b.Events)
	for i := range b.States {
		s := &b.States[i]
		fmt.Printf("state   %s at %d\n", s.Actor, s.Seq)
		showState(&s.State)
	}
	for _, a := range b.Actors {
		fmt.Printf("footer  %s from %d: events %v, before them block %d\n", a.Actor, a.First, a.Rows, a.Prev)
	}
	for _, t := range b.Types {
		fmt.Printf("footer  type %s: events %v\n", t.Type, t.Rows)
	}
}

func showEvents(list []inspect.Event) {
	for _, e := range list {
		fmt.Printf("event   %s@%d %s v%d in block %d, %s by %s (%s/%d): %s", e.Actor, e.Seq, e.Type, e.Version, e.Block, e.Committed, e.Principal, e.Session, e.Number, e.Payload)
		switch {
		case e.Erased:
			fmt.Print(", personal columns erased")
		case e.Personal != nil:
			fmt.Printf(", personal %s", e.Personal)
		}
		fmt.Println()
	}
}

func showState(s *inspect.State) {
	switch {
	case s.Problem != "":
		fmt.Printf("  %s: %s\n", s.Problem, s.Hex)
	case s.Decoded != "":
		fmt.Printf("  %s version %d: %s\n", s.Type, s.Version, s.Decoded)
	default:
		fmt.Printf("  %s version %d, not known here: %s\n", s.Type, s.Version, s.Hex)
	}
}
