package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/internal/datadir"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

// trio is a cluster in one program, on real files and TLS.
type trio struct {
	t       *testing.T
	made    NewCluster
	servers []*Server // nil: it is down
	logs    logs
}

func newTrio(t *testing.T, nodes, shards int) *trio {
	t.Helper()
	c := &trio{t: t, made: NewCluster{Dir: filepath.Join(t.TempDir(), "cluster"), Domain: testDomain, Shards: shards}, servers: make([]*Server, nodes)}
	for range nodes {
		c.made.Addrs = append(c.made.Addrs, freeAddr(t))
	}
	if err := c.made.Create(); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		c.serve(i)
	}
	t.Cleanup(func() {
		for i, s := range c.servers {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Errorf("node %d: %v", i+1, err)
				}
			}
		}
	})
	return c
}

// freeAddr is an address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *trio) config(i int) ServeConfig {
	c.t.Helper()
	dir := c.made.NodeDir(proc.NodeID(i + 1))
	credentials, err := OpenIdentity(filepath.Join(dir, datadir.OwnIdentityDir))
	if err != nil {
		c.t.Fatal(err)
	}
	return ServeConfig{Dir: dir, Listen: c.made.Addrs[i], Kinds: sampleKinds, Credentials: credentials, Log: slog.New(slog.NewTextHandler(&c.logs, nil))}
}

func (c *trio) serve(i int) {
	c.t.Helper()
	s, err := Serve(c.config(i))
	if err != nil {
		c.t.Fatalf("node %d: %v", i+1, err)
	}
	c.servers[i] = s
}

// kill ends a node in the middle of everything.
func (c *trio) kill(i int) {
	c.t.Helper()
	s := c.servers[i]
	s.Node.host.Stop(errKilled)
	if err := s.Wait(); !errors.Is(err, errKilled) {
		c.t.Fatalf("node %d stopped for another reason: %v", i+1, err)
	}
	c.servers[i] = nil
}

func (c *trio) dial(change func(*client.Config)) *client.Client {
	c.t.Helper()
	source, err := tlsnet.LoadIdentity(c.made.ClientDir())
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := client.Config{Addrs: c.made.Addrs, Source: source}
	if change != nil {
		change(&cfg)
	}
	cl, err := client.Dial(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() })
	return cl
}

// Any node takes commands for every shard, and reads see what another node took.
func TestClusterRoutesFromAnyNode(t *testing.T) {
	c := newTrio(t, 3, 2)
	var clients []*client.Client
	for i := range 3 {
		clients = append(clients, c.dial(func(cfg *client.Config) { cfg.Addrs = cfg.Addrs[i : i+1] }))
	}
	for i := range 12 {
		id := core.ActorID(fmt.Sprintf("stream/%d", i))
		if a, err := clients[i%3].Append(t.Context(), id, 0, note("x")); err != nil || a.Seq != 1 {
			t.Fatalf("%s by node %d: %+v %v", id, i%3+1, a, err)
		}
		n := 0
		for e, err := range clients[(i+1)%3].History(t.Context(), id, 1) {
			if err != nil || string(e.Payload) != "x" {
				t.Fatalf("%s: %v %v", id, e, err)
			}
			n++
		}
		if n != 1 {
			t.Fatalf("%s has %d events by another node", id, n)
		}
	}
}

// Whichever node dies, the others go on: each command is answered once and has
// its effect once. The dead one comes back and takes part.
func TestClusterSurvivesAnyNode(t *testing.T) {
	const calls, actors = 3000, 7
	c := newTrio(t, 3, 2)
	cl := c.dial(func(cfg *client.Config) { cfg.InFlight = 300 })
	var answered atomic.Int64
	var ended sync.WaitGroup
	list := make([]client.Call, calls)
	go func() {
		for i := range list {
			ended.Add(1)
			call := &list[i]
			call.Command = core.Command{Actor: core.ActorID(fmt.Sprintf("stream/%d", i%actors)), Kind: core.Append,
				Expected: core.AnySeq, Events: []core.NewEvent{note(fmt.Sprint(i))}}
			call.Done = func(*client.Call) { answered.Add(1); ended.Done() }
			if err := cl.Go(context.Background(), call); err != nil {
				panic(err)
			}
		}
	}()
	for i := range 3 {
		within(t, "answers", func() bool { return answered.Load() >= int64(i+1)*calls/4 })
		c.kill(i)
		before := answered.Load()
		within(t, "answers without it", func() bool { return answered.Load() >= min(before+100, calls) })
		c.serve(i)
	}
	within(t, "all answers", func() bool { return answered.Load() == calls })
	ended.Wait()
	seen := map[string]core.Seq{}
	for k := range actors {
		next := core.Seq(1)
		for e, err := range cl.History(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", k)), 1) {
			if err != nil || e.Seq != next || seen[string(e.Payload)] != 0 {
				t.Fatalf("event %d: %v, %v; it stands at %d too", next, e, err, seen[string(e.Payload)])
			}
			seen[string(e.Payload)] = next
			next++
		}
	}
	for i := range list {
		if err := list[i].Err; err != nil || list[i].Answer.Seq != seen[fmt.Sprint(i)] {
			t.Fatalf("command %d: %v, answered %d, stands at %d", i, err, list[i].Answer.Seq, seen[fmt.Sprint(i)])
		}
	}
}

// A client leaves a node that takes its commands and does not answer, for one that
// does: here the node is alone without knowing where the others are.
func TestClientLeavesASilentNode(t *testing.T) {
	c := newTrio(t, 3, 1)
	first := c.dial(nil)
	if _, err := first.Append(t.Context(), "stream/a", 0, note("1")); err != nil {
		t.Fatal(err)
	}
	c.kill(0)
	cfg := c.config(0)
	nowhere := freeAddr(t)
	cfg.Peers = map[proc.NodeID]string{1: c.made.Addrs[0], 2: nowhere, 3: nowhere}
	s, err := Serve(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.servers[0] = s
	cl := c.dial(nil)
	if who, ok := cl.Node(); !ok || who.Node != 1 {
		t.Fatalf("connected to %v", who)
	}
	began := time.Now()
	if _, err := cl.Append(t.Context(), "stream/a", 1, note("2")); err != nil {
		t.Fatal(err)
	}
	if who, _ := cl.Node(); who.Node == 1 {
		t.Errorf("answered by the node that is cut off, after %v", time.Since(began))
	}
}

// A node whose journals are gone knows that it forgot what it promised. It gets
// everything back from the others, and then stands for them again.
func TestClusterLostJournal(t *testing.T) {
	c := newTrio(t, 3, 2)
	cl := c.dial(nil)
	for i := range 20 {
		if _, err := cl.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i)), 0, note("x")); err != nil {
			t.Fatal(err)
		}
	}
	c.kill(2)
	for i := range 2 {
		id := core.ShardID(i)
		for _, dir := range []string{datadir.LogDir(c.made.NodeDir(3), id), datadir.KVDir(c.made.NodeDir(3), id)} {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.serve(2)
	within(t, "what was forgotten", func() bool {
		for i := range 2 {
			dir := datadir.LogDir(c.made.NodeDir(3), core.ShardID(i))
			if _, err := os.Stat(filepath.Join(dir, journal.SegmentName(1))); err != nil {
				return false // the mark is made before the first segment
			}
			if _, err := os.Stat(filepath.Join(dir, journal.ForgottenName)); err == nil {
				return false
			}
		}
		return true
	})
	c.kill(0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 20 {
		if a, err := cl.Append(ctx, core.ActorID(fmt.Sprintf("stream/%d", i)), 1, note("y")); err != nil || a.Seq != 2 {
			t.Fatalf("%d: %+v %v", i, a, err)
		}
	}
	c.serve(0)
}

// level waits until the first node's replica knows that it has an actor's events: it
// alone may answer what comes to its node first, if it can.
func (c *trio) level(id core.ActorID, seq core.Seq) {
	c.t.Helper()
	first := c.dial(func(cfg *client.Config) { cfg.Addrs = cfg.Addrs[:1] })
	for {
		answered := c.answered(0)
		a, err := first.ReadAt(c.t.Context(), id, core.Freshness{Level: core.Stale, MaxAge: 1e9})
		if err == nil && a.Seq == seq && c.answered(0) > answered {
			return
		}
		if c.t.Context().Err() != nil {
			c.t.Fatalf("%+v %v", a, err)
		}
	}
}

// answered is how many commands a node's replicas have accepted.
func (c *trio) answered(i int) (n uint64) {
	for _, r := range c.servers[i].reports() {
		for _, counter := range r.Counters {
			if counter.Name == "commands.accepted" && r.Process != "rpc" {
				n += counter.Value
			}
		}
	}
	return n
}

// Without a majority nothing is acknowledged, and reads tell what was, if they may; with one again all goes on by itself.
func TestClusterWithoutMajority(t *testing.T) {
	c := newTrio(t, 3, 1)
	cl := c.dial(nil)
	if _, err := cl.Append(t.Context(), "stream/a", 0, note("1")); err != nil {
		t.Fatal(err)
	}
	first := c.dial(func(cfg *client.Config) { cfg.Addrs = cfg.Addrs[:1] })
	if a, err := first.ReadAt(t.Context(), "stream/a", core.Freshness{Level: core.AtToken, Token: cl.Token()}); err != nil || a.Seq != 1 {
		t.Fatalf("at the token of the append: %+v %v", a, err)
	}
	c.level("stream/a", 1)
	c.kill(1)
	c.kill(2)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if a, err := first.ReadAt(ctx, "stream/a", core.Freshness{Level: core.Stale, MaxAge: core.MaxAgeMax}); err != nil || a.Seq != 1 {
		t.Fatalf("stale, of what the last node has: %+v %v", a, err)
	}
	refused := (*client.Refused)(nil)
	if a, err := first.ReadAt(ctx, "stream/a", core.Freshness{Level: core.Stale}); !errors.As(err, &refused) || refused.Code != core.CodeNotFresh {
		t.Fatalf("as of now, without a majority: %+v %v", a, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if a, err := cl.Append(ctx, "stream/a", 1, note("2")); err == nil {
		t.Fatalf("one node of three acknowledged %+v", a)
	}
	c.serve(1)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := cl.Append(ctx, "stream/b", 0, note("3")); err != nil {
		t.Fatal(err)
	}
	c.serve(2)
}

// A directory's cluster file must be its own, and complete.
func TestClusterFile(t *testing.T) {
	made := NewCluster{Dir: t.TempDir(), Domain: testDomain, Addrs: []string{"a:1", "b:2", "c:3"}, Shards: 2}
	if err := made.Create(); err != nil {
		t.Fatal(err)
	}
	if err := made.Create(); err == nil {
		t.Error("made twice at one place")
	}
	other := made
	other.Dir = t.TempDir()
	if err := other.Create(); err != nil {
		t.Fatal(err)
	}
	dir := made.NodeDir(2)
	peers, err := peersOf(dir)
	if err != nil || len(peers) != 3 || peers[3] != "c:3" {
		t.Fatalf("%v %v", peers, err)
	}
	path := filepath.Join(dir, datadir.ClusterFile)
	own, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other.NodeDir(2), datadir.ClusterFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"another cluster's": foreign, "none": nil, "no JSON": []byte("x"),
		"too many bytes": make([]byte, 1<<17), "another version": []byte(`{"version": 9}`), "no nodes": []byte(`{"version": 1}`)} {
		if b == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := peersOf(dir); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if err := os.WriteFile(path, own, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := peersOf(dir); err != nil {
		t.Error(err)
	}
}
