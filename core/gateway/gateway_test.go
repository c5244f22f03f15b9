package gateway

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
)

const cluster = "spiffe://test/cluster/"

var (
	alice = proc.Addr{Node: 100, Proc: 1}
	bob   = proc.Addr{Node: 101, Proc: 1}
)

// driver is a host for a gateway alone: clients and shards are the test.
type driver struct {
	t     *testing.T
	g     *Gateway
	now   proc.Now
	out   proc.Effects
	timer proc.Tick // of the sweep, -1 for none
	marks map[proc.Mark]int
}

func drive(t *testing.T, change func(*Config)) *driver {
	t.Helper()
	placement, err := shard.Spread([]proc.Addr{{Node: 1, Proc: 2}, {Node: 2, Proc: 2}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Placement, cfg.ClusterPeers = placement, cluster
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	d := &driver{t: t, now: proc.Now{Mono: 1000, Wall: 5}, timer: -1, marks: make(map[proc.Mark]int)}
	d.g = New(cfg, proc.Env{Name: "gateway", Rand: rand.New(rand.NewPCG(1, 2))})
	d.step(proc.Input{Kind: proc.Start})
	return d
}

// sent is what a step sent: commands by shard, answers by client.
type sent struct {
	to       proc.Addr
	commands []core.Command
	answers  []core.Answer
}

func (d *driver) step(in proc.Input) (list []sent) {
	d.t.Helper()
	d.out.Reset()
	d.g.Step(d.now, in, &d.out)
	for _, m := range d.out.Marks {
		d.marks[m]++
	}
	for _, t := range d.out.Timers {
		d.timer = t.At
	}
	for _, s := range d.out.Sends {
		r, err := wire.Open(s.Frame)
		if err != nil {
			d.t.Fatal(err)
		}
		one := sent{to: s.To}
		var c core.Command
		for r.Kind == wire.Commands && r.Command(&c) {
			one.commands = append(one.commands, c)
			c.Events = nil
		}
		var a core.Answer
		for r.Kind == wire.Answers && r.Answer(&a) {
			one.answers = append(one.answers, a)
		}
		list = append(list, one)
	}
	if d.g.bytes < 0 || d.g.bytes > d.g.cfg.PendingBytes || len(d.g.table) == 0 && d.g.bytes != 0 {
		d.t.Errorf("%d bytes of %d commands under way, the limit is %d", d.g.bytes, len(d.g.table), d.g.cfg.PendingBytes)
	}
	for _, q := range d.g.Queues(nil) {
		if q.Len < 0 || q.Len > q.Limit {
			d.t.Errorf("queue %s holds %d, the limit is %d", q.Name, q.Len, q.Limit)
		}
	}
	return list
}

func (d *driver) ask(from proc.Addr, peer string, list ...core.Command) []sent {
	d.t.Helper()
	var w wire.Writer
	for i := range list {
		w.Command(&list[i])
	}
	return d.step(proc.Input{Kind: proc.Message, From: from, Peer: peer, Frame: w.Finish(wire.Commands)})
}

func (d *driver) tell(peer string, list ...core.Answer) []sent {
	d.t.Helper()
	var w wire.Writer
	for i := range list {
		w.Answer(&list[i])
	}
	return d.step(proc.Input{Kind: proc.Message, From: proc.Addr{Node: 1, Proc: 2}, Peer: peer, Frame: w.Finish(wire.Answers)})
}

// wait lets time pass until the timer fires.
func (d *driver) wait() []sent {
	d.t.Helper()
	if d.timer < 0 {
		d.t.Fatal("no timer is set")
	}
	d.now.Mono, d.timer = max(d.now.Mono, d.timer), -1
	return d.step(proc.Input{Kind: proc.Timer, Timer: timerSweep})
}

func command(n core.CommandNumber) core.Command {
	return core.Command{Session: core.NewSessionID(1e18, 7), Number: n, AckedBelow: 1, Actor: "tally/a", Kind: core.Decide,
		Expected: core.AnySeq, Type: "add", Payload: []byte{2}, Principal: "spiffe://test/forged"}
}

func answerTo(c *core.Command, status core.Status, code core.Code) core.Answer {
	return core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: status, Code: code, Seq: 3}
}

// one expects a single answer to a client.
func one(t *testing.T, list []sent, to proc.Addr) core.Answer {
	t.Helper()
	if len(list) != 1 || list[0].to != to || len(list[0].answers) != 1 {
		t.Fatalf("want one answer to %s: %+v", to, list)
	}
	return list[0].answers[0]
}

// G1: whoever the frame says is asking, it is the peer.
func TestPrincipalIsThePeer(t *testing.T) {
	d := drive(t, nil)
	c := command(1)
	got := d.ask(alice, "spiffe://test/alice", c)
	home := d.g.cfg.Placement.Home(d.g.cfg.Placement.ShardOf(c.Actor))
	if len(got) != 1 || got[0].to != home || len(got[0].commands) != 1 {
		t.Fatalf("%+v", got)
	}
	sent := got[0].commands[0]
	if sent.Principal != "spiffe://test/alice" {
		t.Errorf("principal %s", sent.Principal)
	}
	if sent.Session != c.Session || sent.Number != 1 || sent.Actor != c.Actor || !bytes.Equal(sent.Payload, c.Payload) {
		t.Errorf("%+v", sent)
	}
}

// Answers come from the cluster; one from outside changes nothing, and one that
// nobody waits for neither.
func TestForgedAnswers(t *testing.T) {
	d := drive(t, nil)
	c := command(1)
	d.ask(alice, "spiffe://test/alice", c)
	if got := d.tell("spiffe://test/mallory", answerTo(&c, core.Accepted, 0)); len(got) != 0 || d.marks[markForged] != 1 {
		t.Fatalf("%+v", got)
	}
	stray := command(2)
	if got := d.tell(cluster+"shard-0", answerTo(&stray, core.Accepted, 0)); len(got) != 0 || d.marks[markStray] != 1 {
		t.Fatalf("%+v", got)
	}
	if a := one(t, d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)), alice); a.Status != core.Accepted || a.Seq != 3 {
		t.Errorf("%+v", a)
	}
	if got := d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)); len(got) != 0 {
		t.Errorf("answered twice: %+v", got)
	}
}

// G2: what was in the way is told at the deadline: a client learns that the disk is
// full, and not only that there was no answer.
func TestDeadlineTellsWhy(t *testing.T) {
	d := drive(t, nil)
	c := command(1)
	d.ask(alice, "spiffe://test/alice", c)
	refusal := answerTo(&c, core.RefusedAtDoor, core.CodeDiskFull)
	for {
		if got := d.tell(cluster+"shard-0", refusal); len(got) != 0 {
			t.Fatalf("passed on at once: %+v", got)
		}
		list := d.wait()
		if len(list) == 0 || len(list[0].answers) == 0 {
			continue
		}
		if a := one(t, list, alice); a.Status != core.Unknown || a.Code != core.CodeDiskFull {
			t.Fatalf("%+v", a)
		}
		return
	}
}

// G2: the same command again and again, at growing intervals, and at the deadline
// the answer is Unknown.
func TestResendUntilDeadline(t *testing.T) {
	d := drive(t, nil)
	c := command(1)
	d.ask(alice, "spiffe://test/alice", c)
	begun, last, times := d.now.Mono, d.now.Mono, 0
	for {
		list := d.wait()
		if len(list) == 0 {
			continue
		}
		if len(list[0].answers) > 0 {
			a := one(t, list, alice)
			if a.Status != core.Unknown || a.Code != core.CodeTimeout || a.Number != 1 || d.now.Mono < begun+d.g.cfg.Deadline {
				t.Fatalf("%+v after %d", a, d.now.Mono-begun)
			}
			break
		}
		again := list[0].commands[0]
		if again.Session != c.Session || again.Number != c.Number || again.Actor != c.Actor || again.Principal != "spiffe://test/alice" {
			t.Fatalf("%+v", again)
		}
		gap := d.now.Mono - last
		if most := d.g.cfg.ResendMax*5/4 + d.g.cfg.ResendBase; gap < d.g.cfg.ResendBase || gap > most {
			t.Errorf("attempt %d after %d, want %d to %d", times+2, gap, d.g.cfg.ResendBase, most)
		}
		last = d.now.Mono
		times++
	}
	if times < 10 || d.timer >= 0 {
		t.Errorf("%d attempts, timer %d", times, d.timer)
	}
	if got := d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)); len(got) != 0 {
		t.Errorf("answered after the deadline: %+v", got)
	}
}

// G3: what time can cure is held back, what it cannot is passed on.
func TestRefusals(t *testing.T) {
	for code := core.Code(1); code <= core.CodeTimeout; code++ {
		for _, status := range []core.Status{core.Refused, core.RefusedAtDoor, core.Unknown} {
			if code.String() == core.Code(9999).String() || (status == core.Refused) == code.AtDoor() || (status == core.Unknown) != (code == core.CodeTimeout || code == core.CodeNotLeader) && status != core.Refused {
				continue
			}
			d := drive(t, nil)
			c := command(1)
			d.ask(alice, "spiffe://test/alice", c)
			got := d.tell(cluster+"shard-0", answerTo(&c, status, code))
			held := status != core.Refused && code.Transient()
			if held != (len(got) == 0) {
				t.Errorf("%s %s: %+v", status, code, got)
				continue
			}
			if !held {
				if a := one(t, got, alice); a.Status != status || a.Code != code {
					t.Errorf("%s %s: %+v", status, code, a)
				}
				continue
			}
			for got = d.wait(); len(got) == 0; got = d.wait() {
			}
			if len(got[0].commands) != 1 {
				t.Errorf("%s %s: %+v is sent instead", status, code, got)
			}
			if a := one(t, d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)), alice); a.Status != core.Accepted {
				t.Errorf("%+v", a)
			}
		}
	}
}

// G4: at the bound new commands are refused, and those under way go on. So it is
// with their bytes.
func TestBounds(t *testing.T) {
	d := drive(t, func(c *Config) { c.PendingMax, c.PendingBytes = 4, core.FrameBytesMax })
	for n := range core.CommandNumber(4) {
		d.ask(alice, "spiffe://test/alice", command(n+1))
	}
	if a := one(t, d.ask(alice, "spiffe://test/alice", command(5)), alice); a.Status != core.RefusedAtDoor || a.Code != core.CodeOverloaded || a.Number != 5 {
		t.Errorf("%+v", a)
	}
	for n := range core.CommandNumber(4) {
		c := command(n + 1)
		one(t, d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)), alice)
	}
	large := func(n core.CommandNumber) core.Command {
		c := command(n)
		c.Kind, c.Type, c.Payload = core.Append, "", nil
		for range 3 {
			c.Events = append(c.Events, core.NewEvent{Type: "e", Version: 1, Payload: make([]byte, 1<<20)})
		}
		return c
	}
	for n := range core.CommandNumber(2) {
		if got := d.ask(alice, "spiffe://test/alice", large(n+10)); len(got) != 1 || len(got[0].commands) != 1 {
			t.Fatal("refused below the bound")
		}
	}
	if a := one(t, d.ask(alice, "spiffe://test/alice", large(12)), alice); a.Code != core.CodeOverloaded {
		t.Errorf("%+v", a)
	}
	// Those that are done leave the order of arrival without a sweep.
	for n := range core.CommandNumber(1000) {
		c := command(n + 100)
		d.ask(alice, "spiffe://test/alice", c)
		one(t, d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)), alice)
		if len(d.g.order) > 2*d.g.cfg.PendingMax {
			t.Fatalf("%d entries in order of arrival", len(d.g.order))
		}
	}
}

// A client that asks again, maybe over another connection, joins the command
// under way; the answer goes where it asked last.
func TestClientRetryJoins(t *testing.T) {
	d := drive(t, nil)
	c := command(2)
	d.ask(alice, "spiffe://test/alice", c)
	c.AckedBelow = 2
	if got := d.ask(bob, "spiffe://test/alice", c); len(got) != 0 || d.marks[markJoined] != 1 {
		t.Fatalf("%+v", got)
	}
	one(t, d.tell(cluster+"shard-0", answerTo(&c, core.Accepted, 0)), bob)
}

// G5: a number under way belongs to its principal and its command.
func TestNumbersAreNotShared(t *testing.T) {
	read := core.Command{Number: 1, Actor: "tally/secret", Kind: core.Read, Expected: core.AnySeq}
	d := drive(t, nil)
	d.ask(alice, "spiffe://test/alice", read)
	theirs := read
	theirs.Actor = "tally/other"
	for _, c := range []core.Command{read, theirs} {
		if a := one(t, d.ask(bob, "spiffe://test/bob", c), bob); a.Status != core.RefusedAtDoor || a.Code != core.CodeReused {
			t.Errorf("%+v", a)
		}
	}
	if a := one(t, d.ask(alice, "spiffe://test/alice", theirs), alice); a.Code != core.CodeReused {
		t.Errorf("%+v", a)
	}
	a := answerTo(&read, core.Accepted, 0)
	a.State = []byte("secret")
	if got := one(t, d.tell(cluster+"shard-0", a), alice); string(got.State) != "secret" {
		t.Errorf("%+v", got)
	}
}

// A frame that was cut short has no effect, wherever it was cut.
func TestTruncatedFrames(t *testing.T) {
	d := drive(t, nil)
	var w wire.Writer
	for n := range core.CommandNumber(3) {
		c := command(n + 1)
		w.Command(&c)
	}
	whole := w.Finish(wire.Commands)
	for n := range whole {
		if got := d.step(proc.Input{Kind: proc.Message, From: alice, Peer: "spiffe://test/alice", Frame: whole[:n]}); len(got) != 0 || len(d.g.table) != 0 {
			t.Fatalf("%d of %d bytes: %+v", n, len(whole), got)
		}
	}
	if got := d.step(proc.Input{Kind: proc.Message, From: alice, Peer: "spiffe://test/alice", Frame: whole}); len(got) != 1 || len(got[0].commands) != 3 {
		t.Fatalf("%+v", got)
	}
}

// When a connection breaks, what is under way there is sent again soon.
func TestBrokenConnection(t *testing.T) {
	d := drive(t, func(c *Config) { c.ResendBase, c.ResendMax, c.Deadline = 100e6, 100e9, 1000e9 })
	c := command(1)
	d.ask(alice, "spiffe://test/alice", c)
	for attempts := 0; attempts < 6; {
		if len(d.wait()) > 0 {
			attempts++
		}
	}
	home := d.g.cfg.Placement.Home(d.g.cfg.Placement.ShardOf(c.Actor))
	d.step(proc.Input{Kind: proc.Reset, From: home})
	from := d.now.Mono
	for len(d.wait()) == 0 {
	}
	if took := d.now.Mono - from; took > 2*d.g.cfg.ResendBase {
		t.Errorf("sent again after %d", took)
	}
}

// What breaks the format is refused here and goes no further.
func TestMalformedCommands(t *testing.T) {
	d := drive(t, nil)
	c := command(1)
	c.Actor = "no-slash"
	if a := one(t, d.ask(alice, "spiffe://test/alice", c), alice); a.Status != core.RefusedAtDoor || a.Code != core.CodeMalformed {
		t.Errorf("%+v", a)
	}
	c = command(0)
	c.AckedBelow = 0
	if a := one(t, d.ask(alice, "spiffe://test/alice", c), alice); a.Code != core.CodeMalformed {
		t.Errorf("%+v", a)
	}
}
