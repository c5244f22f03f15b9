package node

import (
	"slices"

	"actordb/core"
	"actordb/core/control"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/internal/host"
)

// startQuery starts the process that answers SQL.
func (n *Node) startQuery(network *control.Network, placement *shard.Placement) error {
	c := query.Config{Sources: sources(placement, n.cfg.Node), Peers: n.cfg.clusterPeers(), Gateway: n.Gateway, Limits: network.QueryLimits()}
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := n.host.SpawnAt(control.QueryAt(n.cfg.Node).Proc, "query", c.Peers+"query", host.Storage{},
		func(env proc.Env) proc.Process { return query.New(c, env) })
	return err
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
