package drill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"actordb"
	"actordb/core/actor"
	"actordb/core/control"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/disk/losefs"
	"actordb/disk/osfile"
	"actordb/internal/node"
	"actordb/workloads"
)

// An order is what a node is told on its standard input.
type order struct {
	Dir      string           `json:"dir"`
	Undo     string           `json:"undo"` // where losefs keeps its journals
	Identity string           `json:"identity"`
	Shards   int              `json:"shards"`
	Shard    map[string]int64 `json:"shard"` // limits, as in dag.jsonnet
	KV       map[string]int64 `json:"kv"`
	// Peers says where the nodes of the cluster are reached; none: it is alone.
	Peers map[proc.NodeID]string `json:"peers,omitempty"`
}

// ready is the first word of the line that says where the node listens.
const ready = "READY "

// ErrOrder says that standard input holds no order: nobody should run the node
// of a drill by hand.
var ErrOrder = errors.New("drill: a node whose files forget; only a drill starts it")

// Node is the process that a drill kills: it reads its order from in, serves, and
// writes READY HOST:PORT to out. It ends in order when in ends, so that it does
// not outlive the drill.
func Node(in io.Reader, out, log io.Writer) error {
	var o order
	orders := json.NewDecoder(in)
	if err := orders.Decode(&o); err != nil || o.Dir == "" || o.Undo == "" {
		return ErrOrder
	}
	network, err := o.network()
	if err != nil {
		return err
	}
	credentials, err := node.OpenIdentity(o.Identity)
	if err != nil {
		return err
	}
	s, err := node.Serve(node.ServeConfig{
		Dir: o.Dir, Listen: "127.0.0.1:0", Shards: o.Shards, Peers: o.Peers, Network: network, Kinds: kinds, OpenDir: o.open,
		Credentials: credentials, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s%s\n", ready, s.Addr()); err != nil {
		return errors.Join(err, s.Close())
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = io.Copy(io.Discard, io.MultiReader(orders.Buffered(), in)) // however it ends
	}()
	select {
	case <-s.Done():
		return s.Wait()
	case <-left:
		return s.Close()
	}
}

// kinds are the actor types of the clients, and streams for the appender.
func kinds() []actor.Kind { return append(workloads.Kinds(), actor.Stream()) }

func (o *order) network() (*control.Network, error) {
	n, err := actordb.Network()
	if err != nil {
		return nil, err
	}
	if n, err = n.With(n.The(control.Shard).Name, o.Shards, o.Shard); err != nil {
		return nil, err
	}
	return n.With(n.The(control.KV).Name, 1, o.KV)
}

// open opens a directory of a shard so that what is not synced can be taken away.
func (o *order) open(dir string) (disk.FS, error) {
	under, err := osfile.Open(dir)
	if err != nil {
		return nil, err
	}
	undo, err := osfile.Open(undoDir(o.Dir, o.Undo, dir))
	if err != nil {
		return nil, errors.Join(err, under.Close())
	}
	fs, err := losefs.Open(under, undo)
	if err != nil {
		return nil, errors.Join(err, under.Close(), undo.Close())
	}
	return &forgetful{fs, under, undo}, nil
}

// undoDir is where the undo journal of one of a node's directories stands.
func undoDir(node, undo, dir string) string {
	return filepath.Join(undo, strings.ReplaceAll(strings.TrimPrefix(dir, node+string(filepath.Separator)), string(filepath.Separator), "-"))
}

type forgetful struct {
	*losefs.FS
	under, undo *osfile.Dir
}

// Close implements io.Closer.
func (f *forgetful) Close() error { return errors.Join(f.FS.Close(), f.under.Close(), f.undo.Close()) }

// lastLine is the end of a log, for people.
func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}
