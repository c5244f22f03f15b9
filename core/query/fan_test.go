package query

import (
	"math/rand/v2"
	"testing"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/net/wire"
)

func fiveShards() (list []feed.Source) {
	for i := range core.ShardID(5) {
		list = append(list, feed.Source{Shard: i, Homes: []proc.Addr{{Node: 1, Proc: uint32(i + 2)}}})
	}
	return list
}

// Each shard is in one share, and no share is empty as long as there are shards.
func TestShares(t *testing.T) {
	for n := 1; n <= 5; n++ {
		seen := map[core.ShardID]int{}
		for i := range n {
			share := PartOf(fiveShards(), i, n)
			if len(share) == 0 {
				t.Errorf("worker %d of %d has nothing to read", i, n)
			}
			for _, s := range share {
				seen[s.Shard]++
			}
		}
		for id := range core.ShardID(5) {
			if seen[id] != 1 {
				t.Errorf("%d of %d workers read shard %d", seen[id], n, id)
			}
		}
	}
}

// A worker answers the cluster's own processes, what is a part of a query at a cut, and nothing
// else; and it says so when it is asked about what it does not know, as after a restart.
func TestWorkerDeclines(t *testing.T) {
	w := New(Config{Sources: PartOf(fiveShards(), 1, 2), Peers: "own/", Worker: true, Limits: DefaultLimits()},
		proc.Env{Self: proc.Addr{Node: 1, Proc: 80}, Name: "worker-1", Rand: rand.New(rand.NewPCG(1, 2))})
	out := &proc.Effects{}
	w.Step(proc.Now{Wall: 1e18}, proc.Input{Kind: proc.Start}, out)
	if len(out.Sends)+len(out.Timers) > 0 {
		t.Errorf("a worker that nobody asks does something: %+v", out)
	}
	const made = `CREATE EVENT TYPE cart.added (item text);`
	for i, x := range []struct {
		ask   wire.Ask
		peer  string
		state string // "": nothing is said
	}{
		{wire.Ask{Op: wire.Run, Exact: true, AtLeast: 1e18, Text: made + `SELECT count(*) FROM cart.added`}, "stranger", ""},
		{wire.Ask{Op: wire.Run, Text: made + `SELECT count(*) FROM cart.added`}, "own/query", "0A000"},
		{wire.Ask{Op: wire.Run, Exact: true, AtLeast: 1e18, Text: made + `SELECT item FROM cart.added`}, "own/query", "0A000"},
		{wire.Ask{Op: wire.Run, Exact: true, AtLeast: 1e18, Text: `DROP EVENT TYPE cart.added`}, "own/query", "0A000"},
		{wire.Ask{Op: wire.Run, Exact: true, AtLeast: 1e18, Text: `SELECT count(*) FROM cart.added`}, "own/query", "42P01"},
		{wire.Ask{Op: wire.Describe, Exact: true, AtLeast: 1e18, Text: made + `SELECT count(*) FROM cart.added`}, "own/query", "0A000"},
		{wire.Ask{Op: wire.More, Next: 3}, "own/query", "08006"},
	} {
		x.ask.ID, x.ask.Node, x.ask.Proc = wire.AskID{byte(i)}, 1, 66
		var f wire.Writer
		f.Ask(&x.ask)
		out.Reset()
		w.Step(proc.Now{Wall: 1e18}, proc.Input{Kind: proc.Message, Peer: x.peer, From: proc.Addr{Node: 1, Proc: 66}, Frame: f.Finish(wire.Asks)}, out)
		state := ""
		for _, s := range out.Sends {
			r, err := wire.Open(s.Frame)
			var reply wire.Reply
			for err == nil && r.Kind == wire.Replies && r.Reply(&reply) {
				state = reply.Error.State
			}
		}
		if state != x.state {
			t.Errorf("%d, %s: %q, want %q", i, x.ask.Text, state, x.state)
		}
	}
}
