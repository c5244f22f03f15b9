// Package nodetest drives a real node with the clients of the workloads and
// judges what it kept: for the tests of tools that work on a node's directory,
// and for whoever makes one.
package nodetest

import (
	"errors"
	"fmt"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/gateway"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/disk/osfile"
	"actordb/disk/pebblekv"
	"actordb/internal/node"
	"actordb/workloads"
)

// Config is a node on real files and Pebble whose directory soon has all that a
// directory can have: segments, checkpoints, and, if asked for, compaction.
func Config(dir string, compact bool) node.Config {
	c := node.Config{Dir: dir, Node: 1, Shards: 2, Kinds: workloads.Kinds, Shard: shard.DefaultConfig(), Gateway: gateway.DefaultConfig()}
	c.Shard.SegmentBytes, c.Shard.BlockBytes = 32<<10, 8<<10
	c.Shard.CheckpointBytes = 24 << 10
	if compact {
		c.Shard.CompactKeep = 96 << 10
	}
	c.OpenFiles = func(dir string) (disk.FS, error) { return osfile.Open(dir) }
	c.OpenKV = func(dir string) (disk.KV, error) {
		return pebblekv.Open(pebblekv.Config{Dir: dir, CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
	}
	return c
}

// A Load is a node with clients.
type Load struct {
	Node    *node.Node
	clients int
	begun   time.Time
	records []*workloads.Recorder
	control *workloads.Control
}

// Start starts a node and so many clients. Those of an earlier load go on with
// their records if it is given.
func Start(cfg node.Config, clients int, before *Load) (*Load, error) {
	n, err := node.Start(cfg)
	if err != nil {
		return nil, err
	}
	l := &Load{Node: n, clients: clients, control: &workloads.Control{}}
	if before != nil {
		l.records, l.begun = before.records, before.begun
	} else {
		l.begun = time.Now()
		for i := range clients {
			l.records = append(l.records, workloads.NewRecorder(i, l.Now))
		}
	}
	for i, r := range l.records {
		c := workloads.DefaultClientConfig()
		c.Workload = workloads.Names()[i%len(workloads.Names())]
		c.Clients, c.Gateways = clients, []proc.Addr{n.Gateway}
		c.ThinkMin, c.ThinkMax = 0, 1e6
		if _, err := n.Spawn(fmt.Sprintf("client-%d", i), identity(i), func(env proc.Env) proc.Process {
			return workloads.NewClient(c, env, r, l.control)
		}); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return l, nil
}

func identity(client int) string { return fmt.Sprintf("spiffe://actordb/client/%d", client) }

// Issued counts operations.
func (l *Load) Issued() (n int) {
	for _, r := range l.records {
		n += r.Issued()
	}
	return n
}

// Now is a time as operations are recorded with.
func (l *Load) Now() int64 { return int64(time.Since(l.begun)) }

// Before is what clients knew at a time: of operations that were under way then,
// and up to a later time, anything may have become.
func Before(ops []checkers.Op, known, sent int64) (list []checkers.Op) {
	for _, o := range ops {
		if o.Invoke > sent {
			continue
		}
		if o.Return > known {
			o.Return, o.Status, o.Code, o.Seq, o.Count, o.Out = checkers.Pending, core.Unknown, core.CodeTimeout, 0, 0, checkers.Value{}
		}
		list = append(list, o)
	}
	return list
}

// Until waits for so many operations in all.
func (l *Load) Until(ops int) error {
	return within("operations", func() bool { return l.Issued() >= ops })
}

// Ops is what the clients were told, once they are at rest.
func (l *Load) Ops() []checkers.Op { return workloads.Collect(l.records) }

// Stop lets the clients come to rest and closes the node.
func (l *Load) Stop() error {
	l.control.Stop()
	err := within("the clients' rest", func() bool {
		open := 0
		for _, r := range l.records {
			open += r.Open()
		}
		return open == 0
	})
	return errors.Join(err, l.Node.Close())
}

// patience is for conditions of processes that know of no test: nothing else
// tells when they hold.
const patience = time.Minute

func within(what string, holds func() bool) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			return fmt.Errorf("%s: not within %s", what, patience)
		}
	}
	return nil
}

// ReadBack starts a node and reads everything of these actors.
func ReadBack(cfg node.Config, actors []core.ActorID) (*workloads.Audit, error) {
	n, err := node.Start(cfg)
	if err != nil {
		return nil, err
	}
	audit := &workloads.Audit{}
	c := workloads.DefaultAuditorConfig()
	c.Gateways, c.Actors = []proc.Addr{n.Gateway}, actors
	if _, err := n.Spawn("auditor", "spiffe://actordb/client/auditor", func(env proc.Env) proc.Process {
		return workloads.NewAuditor(c, env, audit)
	}); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	stopped := false
	err = within("the audit", func() bool {
		select {
		case <-n.Done():
			stopped = true
		default:
		}
		return stopped || audit.Done()
	})
	if err := errors.Join(err, n.Close()); err != nil {
		return nil, err
	}
	if failed := audit.Failed(); len(failed) > 0 {
		return nil, fmt.Errorf("not read back: %v", failed)
	}
	return audit, nil
}

// Judge runs the checkers over what clients were told and what was read back.
// It returns what does not pass.
func Judge(ops []checkers.Op, audit *workloads.Audit) (failed []string) {
	applied, finals := checkers.NewApplied(), audit.Finals()
	sender := checkers.Sender{Principal: func(c int) core.Principal { return core.Principal(identity(c)) }, Personal: workloads.Personal}
	for _, r := range []checkers.Result{
		checkers.Linearizable(ops, finals, checkers.LinearizableOptions{}),
		checkers.Sequence(applied, ops, finals),
		checkers.Durability(applied, ops, finals),
		checkers.Provenance(ops, finals, sender),
	} {
		if r.Verdict != checkers.Pass {
			failed = append(failed, fmt.Sprint(r))
		}
	}
	return failed
}
