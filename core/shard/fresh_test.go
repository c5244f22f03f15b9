package shard

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/net/wire"
)

// follower is a replica that follows one which is the test.
type follower struct {
	*loop
	t    *testing.T
	last uint64 // entry that it was sent
}

func newFollower(t *testing.T) *follower {
	f := &follower{loop: ofThree(t), t: t}
	f.entry(true)
	return f
}

func (f *follower) tell(kind wire.Kind, b []byte) {
	var w wire.Writer
	w.Message(&wire.PeerHeader{From: 1, To: 2}, b)
	f.put(proc.Input{Kind: proc.Message, From: proc.Addr{Node: 1, Proc: 2}, Peer: "one", Frame: w.Finish(kind)})
	f.run()
}

// entry sends one more entry, or else the news that the last one is committed.
func (f *follower) entry(more bool) {
	app := message(pb.MsgApp, 3, f.last, min(f.last*3, 3))
	app.Commit = proto.Uint64(f.last)
	if more {
		f.last++
		app.Entries = []*pb.Entry{{Term: proto.Uint64(3), Index: proto.Uint64(f.last)}}
	}
	f.tell(wire.Peers, encoded(f.t, app))
}

// horizon is the leader's answer to the inquiry.
func (f *follower) horizon(nonce uint64, at core.Index, closed core.Timestamp) {
	f.tell(wire.Transfers, (&parcel{kind: parcelHorizon, nonce: nonce, at: at, time: closed}).encode())
}

// read asks as a gateway does, and returns what is answered at once.
func (f *follower) read(number core.CommandNumber, fresh core.Freshness) []core.Answer {
	c := readOf("a")
	c.Number = number
	fresh.Ask(&c)
	var w wire.Writer
	w.Command(&c)
	f.answers = nil
	f.put(proc.Input{Kind: proc.Message, From: door, Peer: "gateway", Frame: w.Finish(wire.Commands)})
	f.run()
	return f.answers
}

func (f *follower) answered(number core.CommandNumber, code core.Code) {
	f.t.Helper()
	if len(f.answers) != 1 || f.answers[0].Number != number || f.answers[0].Code != code || (code == 0) != (f.answers[0].Status == core.Accepted) {
		f.t.Fatalf("want %s for read %d: %+v", code, number, f.answers)
	}
	f.answers = nil
}

// F1: a replica answers a stale read when it has applied what the leader told it since
// its age, and not for what the leader answered to another question.
func TestStaleRead(t *testing.T) {
	f := newFollower(t)
	s := f.shard
	if a := f.read(1, core.Freshness{Level: core.Stale}); len(a) > 0 || s.horizon.inquiry.step != inquirySent {
		t.Fatalf("answered by who knows nothing: %+v, %+v", a, s.horizon)
	}
	f.horizon(s.horizon.inquiry.nonce+1, 0, 0)
	if len(f.answers) > 0 || f.marks[markStaleReply] != 1 {
		t.Fatalf("the answer to another question counts: %+v", f.answers)
	}
	f.horizon(s.horizon.inquiry.nonce, 1, 0)
	if len(f.answers) > 0 || s.applied != 0 {
		t.Fatalf("entry 1 is not applied: %+v", f.answers)
	}
	f.entry(false)
	f.answered(1, core.CodeNone)

	f.read(2, core.Freshness{Level: core.Stale, MaxAge: 1e9})
	f.answered(2, core.CodeNone)
	f.now.Mono += 2e9
	f.now.Wall -= 3600e9 // no wall clock is believed
	if a := f.read(3, core.Freshness{Level: core.Stale, MaxAge: 1e9}); len(a) > 0 {
		t.Fatalf("a state of two seconds ago is a second old: %+v", a)
	}
	for range 3 {
		f.fire()
	}
	f.answered(3, core.CodeNotFresh) // F3
	f.read(4, core.Freshness{Level: core.FromLeader})
	f.answered(4, core.CodeNotLeader)
}

// F2: a read at a token waits until that time is closed here.
func TestReadAtToken(t *testing.T) {
	f := newFollower(t)
	s := f.shard
	token := core.Timestamp(f.now.Wall)
	if a := f.read(1, core.Freshness{Level: core.AtToken, Token: token}); len(a) > 0 {
		t.Fatalf("answered by who has nothing: %+v", a)
	}
	f.horizon(s.horizon.inquiry.nonce, 1, token-1)
	f.entry(false)
	if len(f.answers) > 0 {
		t.Fatalf("the time before the token is closed: %+v", f.answers)
	}
	for range 3 {
		f.fire()
	}
	f.answered(1, core.CodeNotFresh)
	f.read(2, core.Freshness{Level: core.AtToken, Token: token})
	f.horizon(s.horizon.inquiry.nonce, 1, token)
	f.answered(2, core.CodeNone)
	f.read(3, core.Freshness{Level: core.AtToken, Token: token})
	f.answered(3, core.CodeNone)
}

// written are the entries of a log with an actor of five events.
func written(t *testing.T) []*pb.Entry {
	leader := newLoop(t, actor.Policy{}, nil)
	id := leader.session()
	for i := range 5 {
		leader.ask(add(id, core.CommandNumber(i+1), "a", 1))
	}
	last := uint64(leader.shard.journal.Last())
	entries, err := leader.shard.journal.Entries(1, last+1, 1<<20)
	if err != nil || uint64(len(entries)) != last || last < 5 {
		t.Fatalf("%d entries of %d: %v", len(entries), last, err)
	}
	return entries
}

// entries sends some of a list, which are committed.
func (f *follower) entries(list []*pb.Entry, from, to uint64) {
	term := list[0].GetTerm()
	app := message(pb.MsgApp, term, from-1, min(from-1, 1)*term)
	app.Commit, app.Entries = proto.Uint64(to), list[from-1:to]
	f.tell(wire.Peers, encoded(f.t, app))
}

// Who asks for state as of an entry can read nothing before it: it is given a state that
// has all of that in snapshots, which are taken for it if need be.
func TestStateGivenIsCovered(t *testing.T) {
	entries := written(t)
	last := core.Index(len(entries))
	f := &follower{loop: ofThree(t), t: t}
	s := f.shard
	f.entries(entries, 1, uint64(last))
	want := func(at core.Index) {
		f.tell(wire.Transfers, (&parcel{kind: parcelAsk, at: at}).encode())
	}
	want(last + 1)
	f.fire()
	if s.give.wanted || s.checkpoint.durable != 0 || f.fault != nil {
		t.Fatalf("a checkpoint for state that is not here: %s, fault %v", s, f.fault)
	}
	want(last)
	if f.fire(); s.give.wanted || s.checkpoint.durable != last || s.checkpoint.covered != last || !s.holds(last) {
		t.Fatalf("given %t, durable to %d and in snapshots to %d, want %d: %s", s.give.wanted, s.checkpoint.durable, s.checkpoint.covered, last, s)
	}
	if want(last); !s.give.wanted {
		t.Fatal("not given")
	}
}

// A replica whose state is ahead of its log, because that was lost, answers no read
// before the log has what the state reflects: where an actor's newest event stands leads
// out of it.
func TestStateAheadOfTheLog(t *testing.T) {
	entries := written(t)
	last := uint64(len(entries))
	f := &follower{loop: ofThree(t), t: t}
	f.cfg.CheckpointBytes = 1
	f.start()
	send := func(from, to uint64) { f.entries(entries, from, to) }
	send(1, last)
	f.fire()
	if got := f.shard.checkpoint.durable; uint64(got) != last {
		t.Fatalf("a checkpoint at %d, want %d: %s", got, last, f.shard)
	}
	f.files.Wipe()
	f.cfg.Fresh = false
	f.restart(true)
	if f.fault != nil || uint64(f.shard.applied) != last || f.shard.journal.Last() != 0 {
		t.Fatalf("fault %v, %s", f.fault, f.shard)
	}
	send(1, 2)
	f.read(1, core.Freshness{Level: core.Stale})
	f.answered(1, core.CodeNotLeader)
	send(3, last)
	f.read(2, core.Freshness{Level: core.Stale})
	f.horizon(f.shard.horizon.inquiry.nonce, core.Index(last), 0)
	f.answered(2, core.CodeNone)
}
