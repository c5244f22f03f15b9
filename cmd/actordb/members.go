package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/internal/operator"
	"actordb/net/client"
	"actordb/net/tlsnet"

	"github.com/jedib0t/go-pretty/v6/table"
)

// operated are the flags of commands that ask a running cluster.
type operated struct {
	Target   []string      `required:"" placeholder:"HOST:PORT" help:"Nodes; the next one is tried when one cannot be reached."`
	Identity string        `required:"" placeholder:"DIR" help:"An operator's identity: the client directory that cluster create made."`
	Timeout  time.Duration `default:"5m" help:"Give up after this time. Asked again, the command goes on where it was left."`
}

// with calls f with an operator, and turns its errors into the command's.
func (o *operated) with(f func(ctx context.Context, o *operator.Operator) error) error {
	identity, err := tlsnet.LoadIdentity(o.Identity)
	if err != nil {
		return usage("%w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addrs: o.Target, Source: identity})
	if err != nil {
		return environment("%w", err)
	}
	defer c.Close()
	op, err := operator.New(ctx, c)
	if err == nil {
		err = f(ctx, op)
	}
	if err != nil {
		return environment("%w", err)
	}
	return nil
}

type clusterStatusCommand struct {
	operated
	JSON bool `name:"json" help:"One JSON document on standard output."`
}

// shardStatus is a shard as cluster status prints it.
type shardStatus struct {
	Shard    core.ShardID  `json:"shard"`
	Slots    int           `json:"slots"`
	Voters   []proc.NodeID `json:"voters"`
	Learners []proc.NodeID `json:"learners"`
	Behind   []string      `json:"behind"`     // members that are not level with the leader
	Changed  core.Index    `json:"changed_at"` // the entry that made the group so, 0: it is as it was made
	Moves    []string      `json:"moves"`      // under way
	Version  core.Version  `json:"version"`    // of what its replicas share
	Speak    []string      `json:"speak"`      // members' programs, as far as they said
}

// Run implements the command.
func (c *clusterStatusCommand) Run() error {
	var list []shardStatus
	err := c.with(func(ctx context.Context, o *operator.Operator) error {
		for id := range core.ShardID(o.Shards) {
			s, err := o.Look(ctx, id)
			if err != nil {
				return fmt.Errorf("shard %d: %w", id, err)
			}
			lags, err := o.Lags(ctx, id)
			if err != nil {
				return fmt.Errorf("shard %d: %w", id, err)
			}
			tongue, err := o.Versions(ctx, id)
			if err != nil {
				return fmt.Errorf("shard %d: %w", id, err)
			}
			list = append(list, statusOf(s, lags, &tongue))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(list)
	}
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.AppendHeader(table.Row{"shard", "slots", "voters on", "learners on", "behind", "moves under way", "version", "programs"})
	for _, s := range list {
		t.AppendRow(table.Row{s.Shard, s.Slots, fmt.Sprint(s.Voters), fmt.Sprint(s.Learners), strings.Join(s.Behind, "; "), strings.Join(s.Moves, "; "), s.Version, strings.Join(s.Speak, "; ")})
	}
	t.Render()
	return nil
}

func statusOf(s *operator.State, lags []shard.Lag, tongue *shard.Tongue) shardStatus {
	x := shardStatus{Version: tongue.Log, Speak: []string{}, Shard: s.Shard, Slots: len(s.Owns()), Changed: s.Roster.Index, Voters: []proc.NodeID{}, Learners: []proc.NodeID{}, Behind: []string{}, Moves: []string{}}
	for _, m := range s.Roster.Members {
		i := slices.IndexFunc(lags, func(l shard.Lag) bool { return l.ID == m.ID })
		switch {
		case i < 0 || lags[i].Level():
		case lags[i].Unheard:
			x.Behind = append(x.Behind, fmt.Sprintf("node %d is not heard", m.Node))
		default:
			x.Behind = append(x.Behind, fmt.Sprintf("node %d lacks %d entries", m.Node, lags[i].Lacks))
		}
		if m.Learner {
			x.Learners = append(x.Learners, m.Node)
		} else {
			x.Voters = append(x.Voters, m.Node)
		}
	}
	for _, m := range tongue.Members {
		if r := s.Roster.Find(m.ID); r != nil && m.Speaks.High > 0 {
			x.Speak = append(x.Speak, fmt.Sprintf("node %d: %d to %d", r.Node, m.Speaks.Low, m.Speaks.High))
		}
	}
	for _, m := range s.Slots.Offers() {
		x.Moves = append(x.Moves, fmt.Sprintf("%d slots to shard %d", len(m.Slots), m.To))
	}
	if m := s.Slots.Incoming(); m != nil {
		x.Moves = append(x.Moves, fmt.Sprintf("%d slots from shard %d", len(m.Slots), m.From))
	}
	return x
}

type clusterMoveCommand struct {
	operated
	From  uint32 `required:"" placeholder:"SHARD" help:"Whose slots are moved."`
	To    uint32 `required:"" placeholder:"SHARD" help:"Where to."`
	Slots string `placeholder:"RANGES" help:"Such as 0-99,4000: of these, those that the source owns. Left out: half of what it owns."`
	Actor string `placeholder:"ID" help:"Instead of --slots: the slot of this actor."`
}

func (clusterMoveCommand) Help() string {
	return `Examples:

    actordb cluster move --target 127.0.0.1:7400 --identity trio/client --from 0 --to 1 --slots 0-1023
    actordb cluster move --target 127.0.0.1:7400 --identity trio/client --from 0 --to 1 --actor stream/hello

Actors move with their history and with what their clients were told; commands wait for less than a second at the gateways. A plan that another operator's has overtaken is refused as stale.`
}

// Run implements the command.
func (c *clusterMoveCommand) Run() error {
	wanted, err := slotsOf(c.Slots)
	if err != nil {
		return usage("--slots %s: %w", c.Slots, err)
	}
	if c.Actor != "" {
		if err := core.ActorID(c.Actor).Validate(); err != nil {
			return usage("--actor: %w", err)
		}
		wanted = map[core.Slot]bool{core.ActorID(c.Actor).Slot(): true}
	}
	var slots []core.Slot
	began := time.Now()
	err = c.with(func(ctx context.Context, o *operator.Operator) error {
		if int(c.From) >= o.Shards || int(c.To) >= o.Shards || c.From == c.To {
			return fmt.Errorf("from shard %d to shard %d: there are shards 0 to %d", c.From, c.To, o.Shards-1)
		}
		s, err := o.Look(ctx, core.ShardID(c.From))
		if err != nil {
			return err
		}
		owns := s.Owns()
		for i, slot := range owns {
			if wanted[slot] || wanted == nil && i < len(owns)/2 {
				slots = append(slots, slot)
			}
		}
		if len(slots) == 0 {
			return fmt.Errorf("shard %d owns none of them: actordb cluster status says who owns how many", c.From)
		}
		return o.Move(ctx, core.ShardID(c.From), core.ShardID(c.To), slots)
	})
	if err == nil {
		fmt.Printf("%s moved from shard %d to shard %d in %s\n", counted(int64(len(slots)), "slot"), c.From, c.To, time.Since(began).Round(time.Millisecond))
	}
	return err
}

// slotsOf reads ranges of slots, nil for none.
func slotsOf(text string) (map[core.Slot]bool, error) {
	if text == "" {
		return nil, nil
	}
	slots := map[core.Slot]bool{}
	for _, part := range strings.Split(text, ",") {
		lo, hi, ranged := strings.Cut(part, "-")
		if !ranged {
			hi = lo
		}
		first, err := strconv.ParseUint(lo, 10, 16)
		last, err2 := strconv.ParseUint(hi, 10, 16)
		if err != nil || err2 != nil || first > last || last >= core.Slots {
			return nil, fmt.Errorf("%q: want numbers from 0 to %d, or ranges of them", part, core.Slots-1)
		}
		for slot := first; slot <= last; slot++ {
			slots[core.Slot(slot)] = true
		}
	}
	return slots, nil
}

type clusterEnlistCommand struct {
	operated
	Node uint32 `required:"" help:"A node that runs: its replicas learn what their groups know, and then vote."`
}

// Run implements the command.
func (c *clusterEnlistCommand) Run() error {
	return c.regroup(c.Node, "votes", func(ctx context.Context, o *operator.Operator, id core.ShardID) error {
		return o.Enlist(ctx, id, proc.NodeID(c.Node))
	})
}

type clusterDrainCommand struct {
	operated
	Node uint32 `required:"" help:"A node whose replicas leave their groups; those that lead hand over first. Then it can be stopped for good."`
}

// Run implements the command.
func (c *clusterDrainCommand) Run() error {
	return c.regroup(c.Node, "is no member any more", func(ctx context.Context, o *operator.Operator, id core.ShardID) error {
		return o.Drain(ctx, id, proc.NodeID(c.Node))
	})
}

type clusterUpgradeCommand struct {
	operated
	To uint16 `placeholder:"VERSION" help:"Left out: the newest that this program speaks."`
}

func (clusterUpgradeCommand) Help() string {
	return `Example:

    actordb cluster upgrade --target 127.0.0.1:7400 --identity trio/client

When every node runs the newer program, not before: a replica whose program does not speak the version has it refused. From then on
an older program is refused, by the other nodes and on the directories of those that were upgraded.`
}

// Run implements the command.
func (c *clusterUpgradeCommand) Run() error {
	to := core.Version(c.To)
	if to == 0 {
		to = core.VersionMax
	}
	if !core.Spoken().Has(to) {
		return usage("--to %d: this program speaks %s", to, core.Spoken())
	}
	return c.with(func(ctx context.Context, o *operator.Operator) error {
		for id := range core.ShardID(o.Shards) {
			if err := o.Upgrade(ctx, id, to); err != nil {
				return fmt.Errorf("shard %d: %w", id, err)
			}
			fmt.Printf("shard %d: version %d\n", id, to)
		}
		return nil
	})
}

func (o *operated) regroup(node uint32, now string, change func(context.Context, *operator.Operator, core.ShardID) error) error {
	if node == 0 {
		return usage("--node 0: nodes are numbered from 1")
	}
	return o.with(func(ctx context.Context, op *operator.Operator) error {
		for id := range core.ShardID(op.Shards) {
			if err := change(ctx, op, id); err != nil {
				return fmt.Errorf("shard %d: %w", id, err)
			}
			fmt.Printf("shard %d: node %d %s\n", id, node, now)
		}
		return nil
	})
}
