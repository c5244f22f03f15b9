package backup_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/internal/backup"
	"actordb/internal/datadir"
	"actordb/internal/history"
	"actordb/internal/node"
	"actordb/net/client"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

// Of a cluster whose majority is gone a node that is alone can be made, if that is asked
// for by name: with everything that the replicas which are left had.
func TestLostQuorum(t *testing.T) {
	made := node.NewCluster{Dir: filepath.Join(t.TempDir(), "trio"), Domain: "test.actordb", Shards: 2}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		made.Addrs = append(made.Addrs, l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := made.Create(); err != nil {
		t.Fatal(err)
	}
	kinds := func() []actor.Kind { return append(workloads.Kinds(), actor.Stream()) }
	var servers []*node.Server
	for i := range 3 {
		dir := made.NodeDir(proc.NodeID(i + 1))
		credentials, err := node.OpenIdentity(filepath.Join(dir, datadir.OwnIdentityDir))
		if err != nil {
			t.Fatal(err)
		}
		s, err := node.Serve(node.ServeConfig{Dir: dir, Listen: made.Addrs[i], Kinds: kinds, Credentials: credentials, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	source, err := tlsnet.LoadIdentity(made.ClientDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(t.Context(), client.Config{Addrs: made.Addrs[:1], Source: source})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if _, err := c.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i)), 0, core.NewEvent{Type: "noted", Version: 1}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	for _, s := range servers {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	repo, most := "", core.Index(0)
	for i := range 3 { // the one that has the most
		dir := made.NodeDir(proc.NodeID(i + 1))
		entries := core.Index(0)
		for s := range 2 {
			log, err := history.OpenLog(datadir.LogDir(dir, core.ShardID(s)))
			if err == nil {
				err = log.Scan(nil, nil)
				entries += log.Last()
				log.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if entries > most {
			most, repo = entries, filepath.Join(t.TempDir(), "repo")
			take(t, dir, repo, func() int64 { return 0 })
		}
	}
	r, err := backup.Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	o := options(filepath.Join(t.TempDir(), "alone"))
	o.Kinds = kinds
	var refused *backup.RangeError
	if _, err := r.Restore(o); !errors.As(err, &refused) {
		t.Fatalf("one replica of three is restored, and nobody has asked for that: %v", err)
	}
	o.LostQuorum = true
	restored, err := r.Restore(o) // verified before it appears
	if err != nil {
		t.Fatal(err)
	}
	id, err := datadir.Read(o.Dir)
	if err != nil || id.Node != 1 || len(id.Members) > 0 || restored.Cluster == restored.From {
		t.Fatalf("%+v %v", id, err)
	}
	total := 0
	for s := range 2 {
		log, err := history.OpenLog(datadir.LogDir(o.Dir, core.ShardID(s)))
		if err == nil {
			err = log.Scan(nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := log.Floor + 1; i <= log.Last(); i++ {
			e, err := log.Entry(i)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Data) > 0 {
				total++
			}
		}
		log.Close()
	}
	if total < 2 {
		t.Fatalf("%d blocks came back", total)
	}
}
