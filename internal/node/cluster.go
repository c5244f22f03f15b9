package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"actordb/core"
	"actordb/core/control"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/internal/datadir"
	"actordb/net/tlsnet"
)

// A new cluster is made at one place, as directories that are then carried to
// where the nodes run: DIR/ca (the authority; keep it apart), DIR/node-N, and
// DIR/client with an identity for a client.

// NewCluster is what CreateCluster makes.
type NewCluster struct {
	Dir    string
	Domain string   // trust domain
	Addrs  []string // where the nodes will listen, host:port
	Shards int      // 0: one for two processors of this machine
}

// NodeDir is the directory of a new cluster's node.
func (c *NewCluster) NodeDir(node proc.NodeID) string {
	return filepath.Join(c.Dir, fmt.Sprintf("node-%d", node))
}

// ClientDir is where the identity of the new cluster's first client is.
func (c *NewCluster) ClientDir() string { return filepath.Join(c.Dir, "client") }

// Create makes the directories. What stands there already is not touched.
func (c *NewCluster) Create() error {
	if n := len(c.Addrs); n < 1 || n > datadir.FirstNodesMax {
		return fmt.Errorf("a cluster of %d nodes: want 1 to %d; 3 or 5 survive the loss of 1 or 2", n, datadir.FirstNodesMax)
	}
	if c.Shards < 0 || c.Shards > datadir.ShardsMax {
		return fmt.Errorf("%d shards: want 1 to %d", c.Shards, datadir.ShardsMax)
	}
	if entries, err := os.ReadDir(c.Dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: it has files: choose an empty directory", c.Dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	ca, err := tlsnet.NewCA(c.Domain)
	if err == nil {
		err = tlsnet.SaveCA(filepath.Join(c.Dir, datadir.AuthorityDir), ca)
	}
	if err != nil {
		return err
	}
	if c.Shards == 0 {
		c.Shards = datadir.DefaultShards()
	}
	cluster := &datadir.Cluster{Version: datadir.ClusterVersion}
	for i, addr := range c.Addrs {
		cluster.Nodes = append(cluster.Nodes, datadir.Member{Node: proc.NodeID(i + 1), Addr: addr})
	}
	for _, m := range cluster.Nodes {
		if err := c.createNode(ca, cluster, m); err != nil {
			return err
		}
	}
	svid, err := ca.Issue(tlsnet.ClientID(c.Domain, AdminClient), tlsnet.CertificateLifetimeMax)
	if err == nil {
		err = tlsnet.SaveIdentity(c.ClientDir(), svid, ca.Bundle())
	}
	return err
}

func (c *NewCluster) createNode(ca *tlsnet.CA, cluster *datadir.Cluster, m datadir.Member) error {
	host, _, err := net.SplitHostPort(m.Addr)
	if err != nil {
		return fmt.Errorf("node %d: %w; want host:port", m.Node, err)
	}
	id, err := datadir.Fresh(m.Node, c.Shards)
	if err != nil {
		return err
	}
	if cluster.Cluster == "" {
		cluster.Cluster = id.Cluster
	}
	id.Cluster, id.Members = cluster.Cluster, cluster.Members()
	dir := c.NodeDir(m.Node)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := id.Write(dir); err != nil {
		return err
	}
	if err := cluster.Write(dir); err != nil {
		return err
	}
	svid, err := ca.Issue(tlsnet.NodeID(c.Domain, m.Node), tlsnet.CertificateLifetimeMax, host)
	if err == nil {
		err = tlsnet.SaveIdentity(filepath.Join(dir, datadir.OwnIdentityDir), svid, ca.Bundle())
	}
	return err
}

// placement is where the replicas of all shards are: one of each on every node. The
// groups begin with different nodes, so that leaders are spread.
func (c *Config) placement() (*shard.Placement, error) {
	members := c.Members
	if len(members) == 0 {
		members = []proc.NodeID{c.Node}
	}
	if !slices.Contains(members, c.Node) && c.Node < members[len(members)-1] {
		return nil, fmt.Errorf("node: node %d is none of the cluster's nodes %v", c.Node, members)
	}
	var groups [][]shard.Replica
	for s := range c.Shards {
		var group []shard.Replica
		for i := range members {
			m := members[(s+i)%len(members)]
			group = append(group, shard.Replica{ID: c.replica(m), Addr: control.ShardAt(m, s), Peer: c.clusterPeers() + fmt.Sprint(m)})
		}
		groups = append(groups, group)
	}
	return shard.SpreadGroups(groups)
}

// locate says where a replica of a shard is that a node has got which came later: nodes
// have numbers of their own for ever, and replicas their nodes' numbers.
// Groups of fewer than three do not change.
func (c *Config) locate() shard.Locator {
	if len(c.Members) < 3 {
		return nil
	}
	return c.located
}

func (c *Config) located(id core.ShardID, replica uint64, node proc.NodeID) shard.Replica {
	return shard.Replica{ID: replica, Addr: control.ShardAt(node, int(id)), Peer: c.clusterPeers() + fmt.Sprint(node)}
}

// A Place in a cluster is what one more node needs to know of it.
type Place struct {
	Member  datadir.Member    // its number, and where it will listen
	Host    string            // of that
	First   *datadir.Identity // of a node that the cluster was made of
	Cluster *datadir.Cluster  // with the new member
	CA      *tlsnet.CA
}

// Next is the place of one more node, which will listen at addr. It is taken with Take.
func (c *NewCluster) Next(addr string) (*Place, error) {
	first := c.NodeDir(1)
	cluster, err := datadir.ReadCluster(first)
	if err == nil && cluster == nil {
		err = fmt.Errorf("%s: no cluster was made there", c.Dir)
	}
	if err != nil {
		return nil, err
	}
	p := &Place{Cluster: cluster}
	if p.First, err = datadir.Read(first); err != nil {
		return nil, err
	}
	p.Host, _, err = net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w; want host:port", addr, err)
	case len(p.First.Members) < 3:
		return nil, fmt.Errorf("a cluster of %d nodes keeps its members: only one of three or more can be joined", len(p.First.Members))
	case len(cluster.Nodes) >= datadir.NodesMax:
		return nil, fmt.Errorf("the cluster has had %d nodes, the limit is %d", len(cluster.Nodes), datadir.NodesMax)
	}
	if p.CA, err = tlsnet.LoadCA(filepath.Join(c.Dir, datadir.AuthorityDir)); err != nil {
		return nil, err
	}
	p.Member = datadir.Member{Node: cluster.Nodes[len(cluster.Nodes)-1].Node + 1, Addr: addr}
	cluster.Nodes = append(cluster.Nodes, p.Member)
	return p, nil
}

// Take tells the nodes' directories that stand here of the new member.
func (c *NewCluster) Take(p *Place) error {
	for i := range p.Cluster.Nodes {
		other := c.NodeDir(p.Cluster.Nodes[i].Node)
		if _, missing := os.Stat(other); missing == nil {
			if err := p.Cluster.Write(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// AddNode makes the directory of a node that is to join a cluster, beside those that
// Create made, and tells the others' directories where it will listen.
func (c *NewCluster) AddNode(addr string) (proc.NodeID, error) {
	p, err := c.Next(addr)
	if err != nil {
		return 0, err
	}
	m := p.Member
	id, err := datadir.Fresh(m.Node, p.First.Shards)
	if err != nil {
		return 0, err
	}
	id.Cluster, id.Members = p.First.Cluster, p.First.Members
	dir := c.NodeDir(m.Node)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	svid, err := p.CA.Issue(tlsnet.NodeID(p.CA.TrustDomain(), m.Node), tlsnet.CertificateLifetimeMax, p.Host)
	if err == nil {
		err = tlsnet.SaveIdentity(filepath.Join(dir, datadir.OwnIdentityDir), svid, p.CA.Bundle())
	}
	if err == nil {
		err = id.Write(dir)
	}
	if err == nil {
		err = c.Take(p)
	}
	return m.Node, err
}

// replica is the id in Raft of a node's replicas. A node that is alone has always
// been 1, whatever its number.
func (c *Config) replica(node proc.NodeID) uint64 {
	if len(c.Members) == 0 || len(c.Members) == 1 && c.Members[0] == node {
		return 1
	}
	return uint64(node)
}

// voters are the ids of a shard's replicas, ascending.
func (c *Config) voters(p *shard.Placement, id core.ShardID) (list []uint64) {
	for _, r := range p.Group(id) {
		list = append(list, r.ID)
	}
	slices.Sort(list)
	return list
}
