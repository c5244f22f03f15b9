package shard

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/net/wire"
)

// frameCommands is how many commands a client puts into one frame here.
const frameCommands = 256

// fill encodes a frame of commands, as a client does.
func fill(w *wire.Writer, session core.SessionID, from core.CommandNumber, n int, id func(i int) core.ActorID, payload []byte) []byte {
	c := core.Command{Session: session, Kind: core.Decide, Expected: core.AnySeq, Type: "add", Payload: payload,
		Principal: "spiffe://bench/client", AckedBelow: from}
	for i := range n {
		c.Number = from + core.CommandNumber(i)
		c.Actor = id(i)
		w.Command(&c)
	}
	return w.Finish(wire.Commands)
}

// framesAhead is how many frames the clients of a benchmark have ready when the
// clock starts: making commands is not the engine's work.
const framesAhead = 64

// benchWrite measures commands from their frame to their durable answer, with
// everything retained: files in memory, actors, sessions. All of it is done once
// before it is measured, so that the process has the memory that it needs: the
// first touch of a page costs what the machine makes of it (here from 0.5 to 9 us)
// and not what the engine does.
func benchWrite(b *testing.B, id func(i int) core.ActorID) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as a served node does
	b.ReportAllocs()
	b.StopTimer()
	writeAll(b, id, func() {}, func() {})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	l := writeAll(b, id, b.StartTimer, b.StopTimer)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc {
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "retained-B/op")
	}
	runtime.KeepAlive(l)
}

// writeAll writes b.N events. It calls start and stop around the engine's part.
func writeAll(b *testing.B, id func(i int) core.ActorID, start, stop func()) *loop {
	l := newLoop(b, actor.Policy{}, func(c *Config) {
		c.HotActors, c.CheckpointBytes, c.WindowBytes = 1<<30, 1<<60, 0
	})
	l.drop = true
	session := l.session()
	payload := binary.AppendVarint(nil, 1)
	var w wire.Writer
	var frames [][]byte
	for done := 0; done < b.N; {
		frames = frames[:0]
		for len(frames) < framesAhead && done < b.N {
			n, from := min(frameCommands, b.N-done), done
			frames = append(frames, fill(&w, session, core.CommandNumber(done+1), n, func(i int) core.ActorID { return id(from + i) }, payload))
			done += n
		}
		start()
		for i, frame := range frames {
			l.put(proc.Input{Kind: proc.Message, From: door, Frame: frame})
			l.run()
			frames[i] = nil
		}
		stop()
	}
	if l.count != b.N || l.fault != nil {
		b.Fatalf("%d answers of %d, fault %v", l.count, b.N, l.fault)
	}
	return l
}

// BenchmarkWriteEvent is the paper's first row (section 8): one event to an
// actor, in memory.
func BenchmarkWriteEvent(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		benchWrite(b, func(i int) core.ActorID { return core.ActorID(fmt.Sprintf("tally/%012d", i)) })
	})
	b.Run("existing", func(b *testing.B) {
		ids := make([]core.ActorID, 10_000)
		for i := range ids {
			ids[i] = core.ActorID(fmt.Sprintf("tally/%012d", i))
		}
		benchWrite(b, func(i int) core.ActorID { return ids[i*7919%len(ids)] })
	})
}

// BenchmarkReadActor reads the state of an actor in memory, by frames of many.
func BenchmarkReadActor(b *testing.B) {
	l := newLoop(b, actor.Policy{}, nil)
	session := l.session()
	for i := range 1000 {
		l.ask(add(session, core.CommandNumber(i+1), fmt.Sprint(i), 1))
	}
	var w wire.Writer
	for i := range frameCommands {
		c := readOf(fmt.Sprint(i * 3 % 1000))
		c.Number = core.CommandNumber(i + 1)
		w.Command(&c)
	}
	frame := w.Finish(wire.Commands)
	l.drop, l.count = true, 0
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += frameCommands {
		l.put(proc.Input{Kind: proc.Message, From: door, Frame: frame})
		l.run()
	}
	if l.count < b.N {
		b.Fatalf("%d answers", l.count)
	}
}

// BenchmarkE2E is the time from a command to the state that shows it, one at a
// time: a write, then a read that must see it.
func BenchmarkE2E(b *testing.B) {
	l := newLoop(b, actor.Policy{}, nil)
	session := l.session()
	samples := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		start := time.Now()
		c := add(session, core.CommandNumber(i+1), "a", 1)
		c.AckedBelow = c.Number
		l.ask(c)
		got := l.ask(readOf("a"))
		samples = append(samples, time.Since(start))
		if got[0].Seq != core.Seq(i+1) {
			b.Fatalf("read sees %d after write %d", got[0].Seq, i+1)
		}
	}
	b.StopTimer()
	slices.Sort(samples)
	b.ReportMetric(float64(samples[len(samples)*99/100]), "p99-ns")
}
