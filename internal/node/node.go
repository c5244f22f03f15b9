// Package node puts the engine on a machine: it makes the directories, opens the
// stores, and starts the gateway and the shards on a host.
//
// What stands in a directory is package datadir's. A running node owns it: a
// second one is refused with an *osfile.OwnedError.
//
// The processes are those that the simulator runs, with the same configuration
// types; only the host and the stores differ.
package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"actordb"
	"actordb/core"
	"actordb/core/actor"
	"actordb/core/control"
	"actordb/core/gateway"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/internal/datadir"
	"actordb/internal/host"
)

// Config of a node. All fields are required but Remote and those that have a
// default.
type Config struct {
	Dir     string
	Node    proc.NodeID
	Shards  int           // fixed for the life of the directory; 0: as it has, a new one DefaultShards
	Members []proc.NodeID // of the cluster; filled in from the directory
	// Network says which processes there are and in which order they start; nil:
	// dag.jsonnet's. The number of shards is Shards, the limits those below.
	Network *control.Network
	Observe func(process string) host.Observer // may be nil
	Listen  func(*Node) error                  // starts the network's listener; nil: there is none
	// Upgraded is told that the logs have a version, which other nodes have to speak, in
	// each life and from any goroutine; nil: nobody is.
	Upgraded func(core.Version)
	Kinds    func() []actor.Kind // fresh instances for one shard
	// TrustDomain is that of the identities; nodes of it are the cluster's own.
	TrustDomain string // "actordb"
	// OpenFiles and OpenKV open a shard's stores; the directory exists. What they
	// return is closed with the node.
	OpenFiles func(dir string) (disk.FS, error)
	OpenKV    func(dir string) (disk.KV, error)
	Shard     shard.Config   // limits and sizes; identity and placement are filled in
	Gateway   gateway.Config // likewise
	Operators []core.Principal
	Remote    host.Transport
}

// clusterPeers is the prefix of the cluster's own processes; nobody else may
// have a name below it.
func (c *Config) clusterPeers() string {
	return "spiffe://" + cmp.Or(c.TrustDomain, "actordb") + "/node/"
}

// speaks are the versions of the program.
func (c *Config) speaks() core.Versions {
	if c.Shard.Speaks == (core.Versions{}) {
		return core.Spoken()
	}
	return c.Shard.Speaks
}

const handlesMax = 256 // open files of one shard

// A Node is a running node.
type Node struct {
	Gateway proc.Addr
	Shards  []proc.Addr

	cfg     Config
	host    *host.Node
	closers []io.Closer
	fresh   []fresh

	noting sync.WaitGroup
	mu     sync.Mutex
	id     *datadir.Identity // as the file has it
}

// fresh is a replica that begins with an empty journal.
type fresh struct {
	id   core.ShardID
	open chan struct{} // closed when the journal is there
}

// Start opens a directory, or makes it, and starts the node. An error names the
// place and the cure.
func Start(cfg Config) (*Node, error) {
	id, lock, err := datadir.Claim(cfg.Dir, cfg.Node, cfg.Shards)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if high := cfg.speaks().High; id.Version > int(high) {
		return nil, errors.Join(fmt.Errorf("node: %w", &core.VersionError{Place: cfg.Dir, Found: uint64(id.Version), Reads: uint64(high)}), lock.Close())
	}
	cfg.Shards, cfg.Members = id.Shards, id.Members
	h, err := host.New(host.Config{Node: cfg.Node, Remote: cfg.Remote, Observe: cfg.Observe})
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	n := &Node{cfg: cfg, host: h, closers: []io.Closer{lock}, id: id}
	if err := n.start(id); err != nil {
		fault := h.Close()
		if errors.Is(err, host.ErrStopped) {
			err = nil // the fault says why
		}
		return nil, errors.Join(err, fault, n.closeStores())
	}
	return n, nil
}

func (n *Node) start(id *datadir.Identity) error {
	cfg := &n.cfg
	network, err := cfg.network()
	if err != nil {
		return err
	}
	placement, err := cfg.placement()
	if err != nil {
		return err
	}
	stores := make([]host.Storage, cfg.Shards)
	return network.Start(func(p *control.Process, i int) (err error) {
		switch p.Kind {
		case control.Files:
			return n.openEach(stores, n.openFiles)
		case control.KV:
			return n.openEach(stores, n.openKV)
		case control.Shard:
			return n.startShard(core.ShardID(i), placement, id, stores[i])
		case control.Gateway:
			return n.startGateway(network, placement)
		case control.Query:
			return n.startQuery(network, placement)
		case control.Worker:
			return n.startWorker(network, placement, i)
		case control.Listener:
			if err := n.begun(); err != nil || cfg.Listen == nil {
				return err
			}
			return cfg.Listen(n)
		}
		return fmt.Errorf("this program runs no %s", p.Kind)
	})
}

// network is the one that is asked for, with the directory's number of shards.
func (c *Config) network() (*control.Network, error) {
	network, err := c.Network, error(nil)
	if network == nil {
		network, err = actordb.Network()
	}
	if err != nil {
		return nil, err
	}
	return network.With(network.The(control.Shard).Name, c.Shards, nil)
}

func (n *Node) startGateway(network *control.Network, placement *shard.Placement) (err error) {
	g := n.cfg.Gateway
	g.Placement, g.ClusterPeers, g.Locate = placement, n.cfg.clusterPeers(), n.cfg.locate()
	if network.Has(control.Query) {
		g.Query = control.QueryAt(n.cfg.Node)
	}
	if err := g.Validate(); err != nil {
		return err
	}
	n.Gateway, err = n.host.SpawnAt(control.GatewayAt(n.cfg.Node).Proc, "gateway", g.ClusterPeers+"gateway", host.Storage{},
		func(env proc.Env) proc.Process { return gateway.New(g, env) })
	return err
}

// openEach opens one store of every shard.
func (n *Node) openEach(stores []host.Storage, open func(core.ShardID, *host.Storage) error) error {
	for i := range stores {
		if err := open(core.ShardID(i), &stores[i]); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) openFiles(id core.ShardID, s *host.Storage) error {
	dir := datadir.LogDir(n.cfg.Dir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	files, err := n.cfg.OpenFiles(dir)
	if err != nil {
		return err
	}
	if closer, ok := files.(io.Closer); ok {
		n.closers = append(n.closers, closer)
	}
	s.Files = disk.NewExecutor(files, handlesMax)
	n.closers = append(n.closers, s.Files)
	return nil
}

func (n *Node) openKV(id core.ShardID, s *host.Storage) (err error) {
	dir := datadir.KVDir(n.cfg.Dir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if s.KV, err = n.cfg.OpenKV(dir); err == nil {
		n.closers = append(n.closers, s.KV)
	}
	return err
}

func (n *Node) startShard(id core.ShardID, placement *shard.Placement, who *datadir.Identity, store host.Storage) error {
	c := n.cfg.Shard
	c.Locate = n.cfg.locate()
	c.Shard, c.Placement, c.TrustedPeers, c.Operators = id, placement, n.cfg.clusterPeers(), n.cfg.Operators
	system, err := query.System()
	if err != nil {
		return err
	}
	c.Kinds = append(n.cfg.Kinds(), system)
	c.Cluster, c.Secret = who.ClusterID(), who.SecretBytes()
	c.OnVersion = n.upgraded
	c.Replica, c.Voters = n.cfg.replica(n.cfg.Node), n.cfg.voters(placement, id)
	if err := n.begins(&c); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	name := fmt.Sprintf("shard-%d", id)
	at, err := n.host.SpawnAt(control.ShardAt(n.cfg.Node, int(id)).Proc, name, n.cfg.clusterPeers()+name, store,
		func(env proc.Env) proc.Process { return shard.New(c, env) })
	if err == nil {
		n.Shards = append(n.Shards, at)
	}
	return err
}

// begins finds out whether a shard of a cluster may begin with an empty journal.
func (n *Node) begins(c *shard.Config) error {
	if len(c.Voters) == 1 {
		return nil // nobody was promised anything
	}
	_, err := os.Stat(datadir.BegunFile(n.cfg.Dir, c.Shard))
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	open := make(chan struct{})
	n.fresh = append(n.fresh, fresh{c.Shard, open})
	c.Fresh, c.OnOpen = true, func() { close(open) }
	return nil
}

// begun notes that the journals of new replicas exist, before the node can talk to
// any other: from now on one that is gone was lost.
func (n *Node) begun() error {
	for _, f := range n.fresh {
		select {
		case <-f.open:
		case <-n.host.Done():
			return host.ErrStopped
		}
		if err := datadir.WriteDurably(datadir.BegunFile(n.cfg.Dir, f.id), nil); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	n.fresh = nil
	return nil
}

// upgraded notes in the directory that its logs have a version, so that a program which
// does not speak it is refused before it opens them. It must not wait: a shard calls it.
func (n *Node) upgraded(v core.Version) {
	n.noting.Go(func() {
		if n.cfg.Upgraded != nil {
			n.cfg.Upgraded(v)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.id.Version >= int(v) {
			return
		}
		n.id.Version = int(v)
		if err := n.id.Write(n.cfg.Dir); err != nil {
			n.host.Stop(fmt.Errorf("node: version %d is not noted in %s: %w", v, datadir.IdentityFile, err))
		}
	})
}

// Reports is what the node's processes say of themselves.
func (n *Node) Reports() []host.Report { return n.host.Reports() }

// Spawn runs another process on the node, such as a client within it, under a
// name that its peers see. It cannot take a name of the cluster's own.
func (n *Node) Spawn(name, peer string, factory func(proc.Env) proc.Process) (proc.Addr, error) {
	if strings.HasPrefix(peer, n.cfg.clusterPeers()) {
		return proc.Addr{}, fmt.Errorf("node: %q is a name of the cluster's own", peer)
	}
	return n.host.Spawn(name, peer, host.Storage{}, factory)
}

// Deliver hands a frame from outside to a process of the node.
func (n *Node) Deliver(from proc.Addr, peer string, to proc.Addr, frame []byte) bool {
	return n.host.Deliver(from, peer, to, frame)
}

// Broken tells a process that frames to or from a peer outside may have been lost.
func (n *Node) Broken(to, peer proc.Addr) { n.host.Broken(to, peer) }

// Done is closed when the node stops; Wait then says why.
func (n *Node) Done() <-chan struct{} { return n.host.Done() }

// Wait returns when the node has stopped and its stores are closed: with the
// fault that stopped it, or nil after Close.
func (n *Node) Wait() error { return errors.Join(n.host.Wait(), n.closeStores()) }

// Close stops the node in order.
func (n *Node) Close() error { return errors.Join(n.host.Close(), n.closeStores()) }

// Abort stops the node at once, as a fault would: nothing that is under way is
// waited for but the calls that the system has taken.
func (n *Node) Abort(cause error) error {
	n.host.Stop(cause)
	return n.Wait()
}

func (n *Node) closeStores() (err error) {
	n.noting.Wait()
	for i := len(n.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, n.closers[i].Close())
	}
	n.closers = nil
	return err
}
