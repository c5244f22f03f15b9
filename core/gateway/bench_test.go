package gateway

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
)

// BenchmarkCommand is what a gateway adds to a command: in a frame from a client,
// out to its shard, its answer in, and out to the client.
func BenchmarkCommand(b *testing.B) {
	const batch = 256
	placement, err := shard.Spread([]proc.Addr{{Node: 1, Proc: 2}, {Node: 1, Proc: 3}})
	if err != nil {
		b.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Placement, cfg.ClusterPeers = placement, cluster
	g := New(cfg, proc.Env{Name: "gateway", Rand: rand.New(rand.NewPCG(1, 2))})
	now, out := proc.Now{Mono: 1000}, proc.Effects{}
	step := func(in proc.Input) {
		out.Reset()
		now.Mono += 1000
		g.Step(now, in, &out)
	}
	session := core.NewSessionID(1<<62, 7)
	var ids [batch]core.ActorID
	for i := range ids {
		ids[i] = core.ActorID(fmt.Sprintf("stream/%08d", i))
	}
	event := []core.NewEvent{{Type: "noted", Version: 1, Payload: make([]byte, 200)}}
	var commands, answers wire.Writer
	number := core.CommandNumber(0)
	var ahead [64][2][]byte // frames that are ready when the clock starts
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(ahead) * batch {
		b.StopTimer()
		for f := range ahead {
			for i := range batch {
				number++
				commands.Command(&core.Command{Session: session, Number: number, AckedBelow: number, Actor: ids[i], Kind: core.Append,
					Expected: core.AnySeq, Events: event})
				answers.Answer(&core.Answer{Session: session, Number: number, Kind: core.Append, Status: core.Accepted, Seq: 9, Count: 1, Timestamp: 5})
			}
			ahead[f] = [2][]byte{commands.Finish(wire.Commands), answers.Finish(wire.Answers)}
		}
		b.StartTimer()
		for f := range ahead {
			step(proc.Input{Kind: proc.Message, From: alice, Peer: "spiffe://test/client/alice", Frame: ahead[f][0]})
			step(proc.Input{Kind: proc.Message, From: proc.Addr{Node: 1, Proc: 2}, Peer: cluster + "shard-0", Frame: ahead[f][1]})
			if f%16 == 0 {
				step(proc.Input{Kind: proc.Timer, Timer: timerSweep})
			}
		}
	}
	if len(g.table) > 0 {
		b.Fatalf("%d commands are open", len(g.table))
	}
}
