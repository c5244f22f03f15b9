package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"actordb/core"
	"actordb/core/proc"
)

const (
	// ClusterFile says where the nodes of the cluster are. Unlike node.json it may
	// be edited: a node that moved is found at its new address after a restart.
	ClusterFile = "cluster.json"
	// ClusterVersion is the format of that file.
	ClusterVersion = 1
	// OwnIdentityDir is where a node of a cluster keeps its certificate by default.
	OwnIdentityDir = "identity"
	// NodesMax bounds the nodes of a cluster in which every node has every shard, those
	// that have come and gone among them.
	NodesMax = 15
	// FirstNodesMax bounds those of a new one: a group has as many voters.
	FirstNodesMax = 7

	clusterBytesMax = 1 << 16
)

// A Member is a node of a cluster and where it listens.
type Member struct {
	Node proc.NodeID `json:"node"`
	Addr string      `json:"addr"` // host:port
}

// A Cluster is what cluster.json says.
type Cluster struct {
	Version int      `json:"version"`
	Cluster string   `json:"cluster"` // as in node.json
	Nodes   []Member `json:"nodes"`   // ascending
}

// Addr is where a node listens, "" if it is none of the cluster's.
func (c *Cluster) Addr(node proc.NodeID) string {
	for _, m := range c.Nodes {
		if m.Node == node {
			return m.Addr
		}
	}
	return ""
}

// Write puts the file into a directory.
func (c *Cluster) Write(dir string) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return WriteDurably(filepath.Join(dir, ClusterFile), append(b, '\n'))
}

// ReadCluster reads the file of a directory. It is nil for a node that is alone.
func ReadCluster(dir string) (*Cluster, error) {
	path := filepath.Join(dir, ClusterFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, clusterBytesMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return ParseCluster(path, b)
}

// ParseCluster reads the bytes of the file; path is for the errors.
func ParseCluster(path string, b []byte) (*Cluster, error) {
	wrong := func(format string, args ...any) error {
		return &IdentityError{Path: path, Reason: fmt.Sprintf(format, args...)}
	}
	if len(b) > clusterBytesMax {
		return nil, wrong("over %d bytes", clusterBytesMax)
	}
	c := &Cluster{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, wrong("%v", err)
	}
	if c.Version != ClusterVersion {
		return nil, &core.VersionError{Place: path, Found: uint64(c.Version), Reads: ClusterVersion}
	}
	if len(c.Nodes) == 0 || len(c.Nodes) > NodesMax {
		return nil, wrong("%d nodes, want 1 to %d", len(c.Nodes), NodesMax)
	}
	for i, m := range c.Nodes {
		if m.Node == 0 || i > 0 && m.Node <= c.Nodes[i-1].Node {
			return nil, wrong("node %d: want numbers from 1, ascending", m.Node)
		}
		if _, _, err := net.SplitHostPort(m.Addr); err != nil {
			return nil, wrong("node %d: %v; want host:port", m.Node, err)
		}
	}
	return c, nil
}

// Members returns the numbers of the cluster's nodes.
func (c *Cluster) Members() (list []proc.NodeID) {
	for _, m := range c.Nodes {
		list = append(list, m.Node)
	}
	return list
}

// Belongs reports whether the file and the directory's identity are of one cluster.
func (c *Cluster) Belongs(id *Identity, dir string) error {
	path := filepath.Join(dir, ClusterFile)
	switch {
	case c.Cluster != id.Cluster:
		return &IdentityError{Path: path, Reason: fmt.Sprintf("is of cluster %.8s, the directory of %.8s: it was copied from elsewhere", c.Cluster, id.Cluster), Mismatch: true}
	case c.Addr(id.Node) == "":
		return &IdentityError{Path: path, Reason: fmt.Sprintf("names the nodes %v, the directory is node %d's: copy the file of a node that knows it (actordb cluster join writes it)", c.Members(), id.Node), Mismatch: true}
	}
	return nil
}

// Seed makes dir the node's directory that stands at from, as it was made for a cluster,
// unless it is a node's already. The certificate stays where it is: it is renewed there.
func Seed(dir, from string) error {
	if _, err := Read(dir); !errors.Is(err, ErrNotData) {
		return err
	}
	id, err := Read(from)
	if err != nil {
		return err
	}
	cluster, err := ReadCluster(from)
	if err == nil && cluster == nil {
		err = fmt.Errorf("%s has no %s: want the directory that was made for a node of a cluster", from, ClusterFile)
	}
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = cluster.Write(dir)
	}
	if err != nil {
		return err
	}
	return id.Write(dir) // last: before that it is nobody's
}
