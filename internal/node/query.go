package node

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"actordb/core"
	"actordb/core/control"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/internal/datadir"
	"actordb/internal/host"
)

// startQuery starts the process that answers SQL.
func (n *Node) startQuery(network *control.Network, placement *shard.Placement) error {
	c := query.Config{Sources: sources(placement, n.cfg.Node), Peers: n.cfg.clusterPeers(), Gateway: n.Gateway, Stored: true,
		Workers: network.Workers(n.cfg.Node), Limits: network.QueryLimits()}
	if err := c.Validate(); err != nil {
		return err
	}
	kv, err := n.openViews()
	if err != nil {
		return err
	}
	n.closers = append(n.closers, kv)
	_, err = n.host.SpawnAt(control.QueryAt(n.cfg.Node).Proc, "query", c.Peers+"query", host.Storage{KV: kv},
		func(env proc.Env) proc.Process { return query.New(c, env) })
	return err
}

// startWorker starts the i-th process that computes parts of queries. One that has no shard
// is not needed.
func (n *Node) startWorker(network *control.Network, placement *shard.Placement, i int) error {
	all := sources(placement, n.cfg.Node)
	workers := min(len(network.Workers(n.cfg.Node)), len(all))
	if i >= workers {
		return nil
	}
	c := query.Config{Sources: query.PartOf(all, i, workers), Peers: n.cfg.clusterPeers(), Worker: true, Limits: network.WorkerLimits()}
	if err := c.Validate(); err != nil {
		return err
	}
	name := fmt.Sprintf("worker-%d", i)
	_, err := n.host.SpawnAt(control.WorkerAt(n.cfg.Node, i).Proc, name, c.Peers+name, host.Storage{},
		func(env proc.Env) proc.Process { return query.New(c, env) })
	return err
}

// openViews opens the store of the views' checkpoints, a new one if that which is there cannot be
// opened: what stood in it is built again from the journals.
func (n *Node) openViews() (disk.KV, error) {
	dir, mark := datadir.ViewsDir(n.cfg.Dir), datadir.ViewsDamaged(n.cfg.Dir)
	if _, err := os.Stat(mark); err == nil {
		if err := errors.Join(os.RemoveAll(dir), os.Remove(mark)); err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	kv, damaged := n.cfg.OpenKV(dir)
	if damaged == nil {
		return kv, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("node: the views' store cannot be opened (%w), nor removed: %w", damaged, err)
	}
	return n.cfg.OpenKV(dir)
}

// sources are all shards, as a node follows them: at home first.
func sources(placement *shard.Placement, home proc.NodeID) (list []feed.Source) {
	for id := range placement.Shards() {
		s := feed.Source{Shard: core.ShardID(id)}
		for _, r := range placement.Group(s.Shard) {
			if r.Addr.Node == home {
				s.Homes = slices.Insert(s.Homes, 0, r.Addr)
			} else {
				s.Homes = append(s.Homes, r.Addr)
			}
		}
		list = append(list, s)
	}
	return list
}
