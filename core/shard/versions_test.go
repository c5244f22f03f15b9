package shard

import (
	"errors"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/net/wire"
)

// regroup asks as an operator does, and returns what is answered at once.
func (l *loop) regroup(number core.CommandNumber, verb string, payload []byte) (told core.Answer) {
	l.tb.Helper()
	var w wire.Writer
	w.Command(&core.Command{Session: l.session(), Number: number, Actor: core.ShardActor(0), Kind: core.Regroup,
		Expected: core.AnySeq, Principal: "operator", Type: verb, Payload: payload})
	l.answers = nil
	l.put(proc.Input{Kind: proc.Message, From: door, Peer: "gateway", Frame: w.Finish(wire.Commands)})
	l.run()
	for _, a := range l.answers {
		told = a
	}
	return told
}

// newest is the head of the block that was applied last.
func (l *loop) newest() journal.Header {
	l.tb.Helper()
	data, ok := l.shard.journal.Entry(l.shard.applied)
	if !ok {
		l.tb.Fatalf("entry %d is not at hand", l.shard.applied)
	}
	h, err := journal.ParseHeader(data)
	if err != nil {
		l.tb.Fatal(err)
	}
	return h
}

// V1, V3: blocks are of the first version until the log is raised, of the second from
// then on, through restarts with the derived store and without; a program that does not
// speak that stops, and says why.
func TestUpgradeOfOne(t *testing.T) {
	raised := core.Version(0)
	l := newLoop(t, actor.Policy{}, func(c *Config) { c.OnVersion = func(v core.Version) { raised = v } })
	session := l.session()
	l.ask(add(session, 1, "a", 1))
	if h := l.newest(); h.Version != 1 || h.Decider != 0 || raised != 0 {
		t.Fatalf("before it was raised: %+v", h)
	}
	if a := l.regroup(1, VerbUpgrade, AppendVersion(nil, 3)); a.Code != core.CodeOldVersion {
		t.Fatalf("raised to what nobody speaks: %+v", a)
	}
	if a := l.regroup(2, VerbUpgrade, AppendVersion(nil, 2)); a.Status != core.Accepted || a.Count != 1 || raised != 2 {
		t.Fatalf("not raised: %+v, %d", a, raised)
	}
	if h := l.newest(); h.Kind != journal.Upgrade || h.Version != 2 {
		t.Fatalf("raised by %+v", h)
	}
	at := l.shard.applied
	if a := l.regroup(3, VerbUpgrade, AppendVersion(nil, 1)); a.Status != core.Accepted || l.shard.applied != at || l.shard.version != 2 {
		t.Fatalf("lowered, or written again: %+v, version %d", a, l.shard.version)
	}
	told, err := DecodeTongue(l.regroup(4, VerbVersions, nil).State)
	if err != nil || told.Log != 2 || len(told.Members) != 1 || told.Members[0].Speaks != core.Spoken() {
		t.Fatalf("told %+v, %v", told, err)
	}
	number := core.CommandNumber(1)
	for _, lose := range []bool{false, true} {
		if lose {
			l.kv.Lose()
		}
		raised = 0
		l.restart(true)
		number++
		l.ask(add(session, number, "a", 1))
		if h := l.newest(); h.Kind != journal.Commands || h.Version != 2 || h.Decider != 1 || h.Wall == 0 || h.Wall > h.Timestamp || raised != 2 {
			t.Fatalf("after a restart (store lost: %t): %+v, told %d", lose, h, raised)
		}
	}
	for _, lose := range []bool{false, true} {
		if lose {
			l.kv.Lose()
		}
		l.cfg.Speaks = core.Versions{Low: 1, High: 1}
		l.restart(true)
		var old *core.VersionError
		if !errors.As(l.fault, &old) || old.Found != 2 || old.Reads != 1 {
			t.Fatalf("an old program goes on (store lost: %t): %v", lose, l.fault)
		}
	}
}

// speak has a replica say what it speaks.
func (l *loop) speak(from uint64, low, high core.Version) {
	var w wire.Writer
	w.Message(&wire.PeerHeader{From: from, To: 2}, (&parcel{kind: parcelSpeaks, speaks: core.Versions{Low: low, High: high}}).encode())
	peer := map[uint64]string{1: "one", 3: "three"}[from]
	l.put(proc.Input{Kind: proc.Message, From: proc.Addr{Node: proc.NodeID(from), Proc: 2}, Peer: peer, Frame: w.Finish(wire.Transfers)})
	l.run()
}

// leader is the second replica of three, elected, with its first entry committed.
func leader(t *testing.T) *follower {
	f := &follower{loop: ofThree(t), t: t}
	f.inside(func(s *Shard) {
		if err := s.node.Campaign(); err != nil {
			t.Fatal(err)
		}
		s.progress()
	})
	f.run()
	for _, answer := range []pb.MessageType{pb.MsgPreVoteResp, pb.MsgVoteResp} {
		f.tell(wire.Peers, encoded(t, message(answer, 1, 0, 0)))
	}
	f.acknowledge()
	if !f.shard.leading {
		t.Fatalf("it does not lead: %s", f.shard)
	}
	return f
}

// acknowledge says that replica 1 has all that the leader has.
func (f *follower) acknowledge() {
	f.tell(wire.Peers, encoded(f.t, message(pb.MsgAppResp, 1, uint64(f.shard.journal.Last()), 0)))
}

// say has a replica answer the leader's last question, or an earlier one.
func (f *follower) say(from uint64, earlier bool, low, high core.Version) {
	nonce := f.shard.poll.nonce
	if earlier {
		nonce++
	}
	var w wire.Writer
	w.Message(&wire.PeerHeader{From: from, To: 2}, (&parcel{kind: parcelSpeaks, nonce: nonce, speaks: core.Versions{Low: low, High: high}}).encode())
	f.put(proc.Input{Kind: proc.Message, From: proc.Addr{Node: proc.NodeID(from), Proc: 2}, Peer: map[uint64]string{1: "one", 3: "three"}[from], Frame: w.Finish(wire.Transfers)})
	f.run()
}

// V2, V4: all members have to have said that they speak the version that is wanted, in
// answer to a question that was put since it is; who has not said it may not vote.
func TestUpgradeNeedsAll(t *testing.T) {
	f := leader(t)
	s, number := f.shard, core.CommandNumber(0)
	upgrade := func() core.Code {
		number++
		a := f.regroup(number, VerbUpgrade, AppendVersion(nil, 2))
		f.acknowledge()
		return a.Code
	}
	long := func() { f.now.Mono += pollWait * s.cfg.Tick }
	f.inside((*Shard).pollAll)
	f.say(1, false, 1, 2)
	f.say(3, false, 1, 2) // before it was asked for
	for _, c := range []struct {
		name string
		then func()
		want core.Code
	}{
		{"asked for", func() {}, core.CodeOverloaded},
		{"replica 3 does not answer", func() { f.say(1, false, 1, 2); long() }, core.CodeOldVersion},
		{"asked for again", func() { f.say(3, false, 1, 2) }, core.CodeOverloaded},
		{"replica 3 answers an earlier question", func() { f.say(1, false, 1, 2); f.say(3, true, 1, 2); long() }, core.CodeOldVersion},
		{"asked for once more", func() {}, core.CodeOverloaded},
		{"replica 3 speaks version 1 alone", func() { f.say(1, false, 1, 2); f.say(3, false, 1, 1) }, core.CodeOldVersion},
		{"it was asked for in vain", func() { f.say(3, false, 1, 2) }, core.CodeOverloaded},
		{"and then not for long", func() { f.say(1, false, 1, 2); f.say(3, false, 1, 2); long(); long(); long() }, core.CodeOverloaded},
		{"all speak it", func() { f.say(1, false, 1, 2); f.say(3, false, 1, 2) }, core.CodeNone},
	} {
		c.then()
		if code := upgrade(); code != c.want || (code == core.CodeNone) != (s.version == 2) {
			t.Fatalf("%s: %s, version %d", c.name, code, s.version)
		}
	}
	if why, mute := s.mute(3); mute {
		t.Fatalf("replica 3 may not vote: %s", why)
	}
	f.say(3, false, 1, 1)
	if _, mute := s.mute(3); !mute {
		t.Fatal("replica 3 may vote, and does not speak the log's version")
	}
}
