package journal

import (
	"fmt"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

const benchEvents = 1000

func benchBlock(b *Builder, ids []core.ActorID, payload []byte) []byte {
	b.Start(Header{Kind: Commands, Shard: 1, Term: 1, Timestamp: 1e18})
	session := b.Session(core.SessionID{1})
	for i, id := range ids {
		a := b.Actor(id, core.Index(i), 10)
		b.Event(a, 10, &core.NewEvent{Type: "added", Version: 1, EventTime: 1e18, Payload: payload})
		b.Outcome(session, a, &Outcome{Number: core.CommandNumber(i + 1), Principal: "spiffe://example.org/client", Seq: 10, Count: 1})
	}
	data, _ := b.Finish()
	return data
}

func benchIDs() []core.ActorID {
	ids := make([]core.ActorID, benchEvents)
	for i := range ids {
		ids[i] = core.ActorID(fmt.Sprintf("cart/customer-%06d", i))
	}
	return ids
}

// One command with one event of 100 bytes, on an actor of its own.
func BenchmarkBlockBuild(b *testing.B) {
	builder, ids, payload := NewBuilder(&testSalter), benchIDs(), make([]byte, 100)
	b.ReportAllocs()
	for n := 0; n < b.N; n += benchEvents {
		benchBlock(builder, ids, payload)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/event")
}

func BenchmarkParseBlock(b *testing.B) {
	data := benchBlock(NewBuilder(&testSalter), benchIDs(), make([]byte, 100))
	b.ReportAllocs()
	for n := 0; n < b.N; n += benchEvents {
		if _, err := ParseBlock(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/event")
}

// instant completes every operation at once and keeps nothing.
func instant(l *Log, fx *proc.Effects) {
	for len(fx.Files) > 0 {
		ops := append([]proc.FileOp(nil), fx.Files...)
		fx.Reset()
		for _, f := range ops {
			l.Done(f.Token, &disk.Result{Kind: f.Op.Kind, N: len(f.Op.Data)}, fx)
		}
	}
}

// One entry of 64 KiB, from Append to Durable, without the disk's time.
func BenchmarkAppend(b *testing.B) {
	cfg := testConfig()
	cfg.SegmentBytes, cfg.WindowBytes = 64<<20, 1<<20
	l := New(cfg)
	var fx proc.Effects
	l.Recover(&fx)
	instant(l, &fx)
	if !l.Open() {
		b.Fatal("not open")
	}
	data := make([]byte, 64<<10)
	list := make([]*pb.Entry, 1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		list[0] = entryOf(1, l.Last()+1, data)
		id := l.Append(list, nil, &fx)
		instant(l, &fx)
		if l.Durable() != id {
			b.Fatal("not durable")
		}
		l.Applied(l.Last())
		if l.Segments() > 4 {
			l.Compact(l.CompactableTo(l.Last()), &fx)
			instant(l, &fx)
		}
	}
}

// Building a block takes memory for the block alone.
func TestBuildAllocations(t *testing.T) {
	builder, ids, payload := NewBuilder(&testSalter), benchIDs(), make([]byte, 100)
	benchBlock(builder, ids, payload)
	if n := testing.AllocsPerRun(20, func() { benchBlock(builder, ids, payload) }); n > 8 {
		t.Errorf("%v allocations for a block of %d events", n, benchEvents)
	}
}
