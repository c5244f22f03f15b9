package testbed

import (
	"fmt"

	"actordb/core/control"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/sim"
)

// buildQuery makes a server's query process.
func (r *run) buildQuery(n int, node proc.NodeID) error {
	c := query.Config{Sources: r.sources(), Peers: clusterPeers, Gateway: control.GatewayAt(node), Limits: r.settings.query}
	if err := c.Validate(); err != nil {
		return err
	}
	name := fmt.Sprintf("query-%d", n)
	r.world.SpawnAt(control.QueryAt(node), name, clusterPeers+name, sim.Storage{},
		func(env proc.Env) proc.Process { return query.New(c, env) })
	return nil
}
