package shard

import (
	"fmt"
	"reflect"
	"testing"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/net/wire"
)

// reader is the other end of a feed.
type reader struct {
	l      *loop
	from   proc.Addr
	follow wire.Follow
	head   wire.Feed // of the last frame
	blocks []*journal.Block
	frames int
}

func (l *loop) reader(stream uint64, window uint32) *reader {
	return &reader{l: l, from: door, follow: wire.Follow{Shard: 0, Stream: stream, Next: 1, Window: window}}
}

// say sends the Follow and takes what comes.
func (r *reader) say() {
	var w wire.Writer
	w.Follow(&r.follow)
	r.l.put(proc.Input{Kind: proc.Message, From: r.from, Frame: w.Finish(wire.Follows)})
	r.l.run()
	r.take()
}

func (r *reader) take() {
	r.l.tb.Helper()
	for _, frame := range r.l.fed {
		f, err := wire.Open(frame)
		if err != nil || !f.Feed(&r.head) {
			r.l.tb.Fatalf("%v, %v", err, f.Err())
		}
		r.frames++
		if r.head.First != r.follow.Next {
			r.l.tb.Fatalf("a frame from %d, want %d", r.head.First, r.follow.Next)
		}
		for {
			index, data, ok := f.Block()
			if !ok {
				break
			}
			b, err := journal.ParseBlock(data)
			if err != nil || index < r.follow.Next {
				r.l.tb.Fatalf("entry %d: %v", index, err)
			}
			r.blocks = append(r.blocks, b)
			r.follow.Got += uint64(len(data))
		}
		if f.Err() != nil {
			r.l.tb.Fatal(f.Err())
		}
		r.follow.Next = r.head.Next
	}
	r.l.fed = nil
}

func (r *reader) events() (n int) {
	for _, b := range r.blocks {
		n += len(b.Rows())
	}
	return n
}

// A follower gets what was written before it came, from memory or from disk, and
// what is written then, without asking again.
func TestFeed(t *testing.T) {
	for _, window := range []int64{0, 1 << 20} {
		l := newLoop(t, actor.Policy{}, func(c *Config) { c.WindowBytes, c.BlockCommands = window, 2 })
		session := l.session()
		for i := range 40 {
			l.ask(add(session, core.CommandNumber(i+1), fmt.Sprint(i%3), 1))
		}
		r := l.reader(1<<32, 1<<20)
		r.say()
		if r.events() != 40 || r.head.Closed != l.shard.clock {
			t.Fatalf("%d events of 40, closed %s of %s", r.events(), r.head.Closed, l.shard.clock)
		}
		frames := r.frames
		l.send(add(session, 41, "x", 1), add(session, 42, "y", 1), add(session, 43, "z", 1))
		r.take()
		if r.events() != 43 || r.frames == frames {
			t.Fatalf("%d events of 43", r.events())
		}
		l.restart(true)
		r.follow.Stream++
		r.say()
		l.send(add(session, 44, "x", 1))
		r.take()
		if r.events() != 44 {
			t.Fatalf("%d events of 44 after a restart", r.events())
		}
		for i, b := range r.blocks[1:] {
			if b.Timestamp <= r.blocks[i].Timestamp {
				t.Fatalf("block %d is stamped %s after %s", i+1, b.Timestamp, r.blocks[i].Timestamp)
			}
		}
	}
}

// What is under way to a follower stays within its window.
func TestFeedWindow(t *testing.T) {
	for _, memory := range []int64{0, 1 << 20} {
		l := newLoop(t, actor.Policy{}, func(c *Config) { c.WindowBytes, c.BlockCommands = memory, 1 })
		session := l.session()
		r := l.reader(1<<32, 1000)
		r.say()
		for i := range 50 {
			l.ask(add(session, core.CommandNumber(i+1), "a", 1))
		}
		r.take()
		rounds := 0
		for ; r.events() < 50; rounds++ {
			if under := r.follow.Got - r.follow.Taken; under > 1000 || under == 0 {
				t.Fatalf("%d bytes under way, the window is 1000", under)
			}
			r.follow.Taken = r.follow.Got
			r.say()
			if rounds > 50 {
				t.Fatalf("%d events of 50", r.events())
			}
		}
		if rounds < 10 {
			t.Errorf("50 blocks of some 300 bytes came in %d rounds through a window of 1000", rounds)
		}
		// A block larger than the window comes alone.
		r.follow.Taken, r.follow.Window = r.follow.Got, 1
		r.say()
		l.ask(add(session, 51, "a", 1))
		l.ask(add(session, 52, "a", 1))
		if r.take(); r.events() != 51 {
			t.Fatalf("%d events, want 51", r.events())
		}
	}
}

// An idle leader closes the times that are wanted, many by one block; the next one
// stamps later, whatever its clock says.
func TestLease(t *testing.T) {
	for _, power := range []bool{false, true} {
		l := newLoop(t, actor.Policy{}, nil)
		session := l.session()
		l.ask(add(session, 1, "a", 1))
		r := l.reader(1<<32, 1<<20)
		r.say()
		written := l.marks[markLease]
		for range 100 {
			r.follow.Close = core.Timestamp(l.now.Wall)
			if r.say(); r.head.Closed < r.follow.Close {
				t.Fatalf("closed %s, wanted %s", r.head.Closed, r.follow.Close)
			}
			l.now.Mono, l.now.Wall = l.now.Mono+10e6, l.now.Wall+10e6
		}
		if n := l.marks[markLease] - written; n < 1 || n > 4 {
			t.Errorf("%d leases for a second", n)
		}
		closed := r.head.Closed
		l.ask(add(session, 2, "a", 1))
		if r.take(); r.blocks[len(r.blocks)-1].Timestamp <= closed {
			t.Fatalf("a block is stamped %s after %s was closed", r.blocks[len(r.blocks)-1].Timestamp, closed)
		}
		r.follow.Close = core.Timestamp(l.now.Wall) + 300e6 // ahead of this clock, as another shard's block may be
		if r.say(); r.head.Closed < r.follow.Close {
			t.Fatalf("closed %s, wanted %s", r.head.Closed, r.follow.Close)
		}
		closed = r.head.Closed
		l.now.Wall -= 3600e9
		l.restart(power)
		if a := l.ask(add(session, 3, "a", 1)); a[0].Status != core.Accepted || a[0].Timestamp <= closed {
			t.Fatalf("%+v after %s was closed", a[0], closed)
		}
	}
}

// A checkpoint keeps leases and void entries.
func TestLeaseInCheckpoint(t *testing.T) {
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.CheckpointBytes = 1 })
	r := l.reader(1<<32, 1<<20)
	r.follow.Close = core.Timestamp(l.now.Wall) + 5e9
	r.say()
	l.shard.voids = []core.Index{1, 7, 90}
	session := l.session()
	for i := range 5 {
		l.ask(add(session, core.CommandNumber(i+1), "a", 1))
	}
	lease := l.shard.lease
	l.restart(true)
	if l.marks[markFromCheckpoint] == 0 {
		t.Fatal("not started from a checkpoint")
	}
	if l.shard.lease != lease || !l.shard.isVoid(7) || !l.shard.isVoid(90) || l.shard.isVoid(8) {
		t.Fatalf("lease %s, want %s; void %v", l.shard.lease, lease, l.shard.voids)
	}
}

// A follower is told that what it wants is compacted away.
func TestFeedCompacted(t *testing.T) {
	l := newLoop(t, actor.Policy{SnapshotEvery: 2}, func(c *Config) {
		c.SegmentBytes, c.BlockBytes, c.CheckpointBytes, c.CompactKeep = 16<<10, 4<<10, 4<<10, 16<<10
	})
	session := l.session()
	for i := 0; l.shard.journal.Floor() == 0; i++ {
		if i > 2000 {
			t.Fatal("nothing was compacted")
		}
		c := add(session, core.CommandNumber(i+1), fmt.Sprint(i%5), 1)
		c.AckedBelow = c.Number
		l.ask(c)
	}
	r := l.reader(1<<32, 1<<20)
	if r.say(); r.head.Compacted != l.shard.journal.Floor() || len(r.blocks) > 0 {
		t.Fatalf("%+v, %d blocks, floor %d", r.head, len(r.blocks), l.shard.journal.Floor())
	}
}

// More followers than the limit are refused, and strangers get nothing.
func TestFeedRefuses(t *testing.T) {
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.Feeds, c.TrustedPeers = 1, "spiffe://cluster/" })
	say := func(node proc.NodeID, peer string) wire.Feed {
		l.fed = nil
		var w wire.Writer
		w.Follow(&wire.Follow{Stream: 1 << 32, Next: 1, Window: 1000})
		l.put(proc.Input{Kind: proc.Message, From: proc.Addr{Node: node}, Peer: peer, Frame: w.Finish(wire.Follows)})
		l.run()
		var h wire.Feed
		for _, frame := range l.fed {
			if f, err := wire.Open(frame); err != nil || !f.Feed(&h) {
				t.Fatal(err)
			}
		}
		return h
	}
	if h := say(1, "spiffe://cluster/view"); h.Next == 0 || h.Refused {
		t.Fatalf("the first: %+v", h)
	}
	if h := say(2, "spiffe://cluster/view"); !h.Refused {
		t.Fatalf("the second: %+v", h)
	}
	if h := say(3, "spiffe://stranger/view"); !reflect.DeepEqual(h, wire.Feed{}) {
		t.Fatalf("a stranger: %+v", h)
	}
	l.now.Mono += feedIdle + 1 // the first says nothing more
	if h := say(2, "spiffe://cluster/view"); h.Next == 0 || h.Refused {
		t.Fatalf("the second, later: %+v", h)
	}
}

// What a leader closed it does not stamp when its blocks in flight come to nothing,
// either.
func TestLeaseOutlivesTheOverlay(t *testing.T) {
	l := newLoop(t, actor.Policy{}, nil)
	session := l.session()
	r := l.reader(1<<32, 1<<20)
	r.follow.Close = core.Timestamp(l.now.Wall) + 400e6
	if r.say(); r.head.Closed < r.follow.Close {
		t.Fatalf("closed %s, wanted %s", r.head.Closed, r.follow.Close)
	}
	l.inside(func(s *Shard) { s.slotEpoch++ }) // as if a fence had been applied
	l.putFrame(add(session, 1, "a", 1))
	l.runSome(1)
	l.inside(func(s *Shard) { s.slotEpoch++ }) // and another one, behind the block in flight
	l.run()
	if l.marks[markVoid] == 0 {
		t.Fatal("no block was void")
	}
	if r.take(); len(r.blocks) < 2 || r.blocks[len(r.blocks)-1].Timestamp <= r.follow.Close {
		t.Fatalf("%d blocks, the last is stamped %s after %s was closed", len(r.blocks), r.blocks[len(r.blocks)-1].Timestamp, r.follow.Close)
	}
}
