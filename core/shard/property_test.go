package shard

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/seal"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/net/wire"
)

// A sheet is the plain model of a shard: it is told what is applied and judges
// it, and every answer, by sums and lists alone.
type sheet struct {
	tb        reporter
	l         *loop
	entries   map[core.Index]string
	last      core.Index
	chain     seal.Hash
	clock     core.Timestamp
	epoch     core.Epoch
	accounts  map[core.ActorID]*account
	outcomes  map[numbered]*journal.Outcome
	stamps    map[numbered]core.Timestamp
	asked     map[numbered]core.Command
	answered  map[numbered]bool
	questions map[core.CommandNumber]question
	replied   map[core.CommandNumber]bool // of the questions
	sessions  []*client
	forgotten []core.SessionID
	questionN core.CommandNumber
	full      bool
}

type numbered struct {
	session core.SessionID
	number  core.CommandNumber
}

type account struct {
	sum    int64
	events []int64
	points []point
}

// point is an account after a block.
type point struct {
	at  core.Timestamp
	seq core.Seq
	sum int64
}

type client struct {
	id    core.SessionID
	next  core.CommandNumber
	floor core.CommandNumber // all lower ones are answered
	dead  bool
}

type question struct {
	command core.Command
	least   core.Seq // that the answer must show
}

func (m *sheet) account(id core.ActorID) *account {
	a := m.accounts[id]
	if a == nil {
		a = &account{}
		m.accounts[id] = a
	}
	return a
}

// tap judges an applied entry (H2, H3; each command at most once).
func (m *sheet) tap(a Applied) {
	if a.Restored {
		if a.Timestamp > m.clock {
			m.tb.Fatalf("a checkpoint of entry %d at %d, the last one applied is of %d", a.Index, a.Timestamp, m.clock)
		}
		return
	}
	b := a.Block
	line := fmt.Sprintf("%d %v %d %d %d %x", a.Term, a.Void, a.Timestamp, len(b.Outcomes), len(b.Rows()), b.Hash())
	if was, ok := m.entries[a.Index]; ok || a.Index <= m.last {
		if was != line {
			m.tb.Fatalf("entry %d was %s and is %s now", a.Index, was, line)
		}
		return
	}
	m.entries[a.Index], m.last = line, a.Index
	if void := b.Extends != m.chain || b.SlotEpoch != m.epoch; void != a.Void {
		m.tb.Fatalf("entry %d: void is %t", a.Index, a.Void)
	}
	if a.Void {
		return
	}
	if a.Timestamp <= m.clock {
		m.tb.Fatalf("entry %d: time %d after %d", a.Index, a.Timestamp, m.clock)
	}
	m.chain, m.clock = seal.Chain(m.chain, b.Hash()), a.Timestamp
	m.epoch = max(m.epoch, b.Raise)
	row := 0
	for i := range b.Outcomes {
		o := b.Outcomes[i]
		m.outcome(a.Index, a.Timestamp, &o, b.Actors[o.Actor].ID)
		for range o.Count {
			e := b.Event(row)
			row++
			acc := m.account(e.Actor)
			n, _ := binary.Varint(e.Payload)
			acc.sum += n
			acc.events = append(acc.events, n)
			if int(e.Seq) != len(acc.events) {
				m.tb.Fatalf("entry %d: %s is the event after %d", a.Index, e, len(acc.events)-1)
			}
			acc.points = append(acc.points, point{a.Timestamp, e.Seq, acc.sum})
		}
	}
}

// outcome judges what was decided, before its events.
func (m *sheet) outcome(index core.Index, at core.Timestamp, o *journal.Outcome, id core.ActorID) {
	k := numbered{o.Session, o.Number}
	c, ok := m.asked[k]
	if _, twice := m.outcomes[k]; twice || !ok || c.Actor != id {
		m.tb.Fatalf("entry %d: command %s/%d: asked %t, done before %t", index, o.Session, o.Number, ok, twice)
	}
	if o.Session.Expires() <= at {
		m.tb.Fatalf("entry %d: a command of a session that has ended", index)
	}
	acc := m.account(id)
	n := amount(&c)
	code, count := core.CodeNone, uint32(1)
	switch {
	case c.Expected != core.AnySeq && int(c.Expected) != len(acc.events):
		code, count = core.CodeWrongSeq, 0
	case c.Kind == core.Decide && acc.sum+n < 0:
		code, count = core.CodeRule, 0
	}
	if seq := core.Seq(len(acc.events)) + core.Seq(count); o.Code != code || o.Count != count || o.Seq != seq {
		m.tb.Fatalf("entry %d: %+v, want code %s, %d events, sequence %d", index, o, code, count, seq)
	}
	o.Detail = strings.Clone(o.Detail)
	m.outcomes[k], m.stamps[k] = o, at
}

func amount(c *core.Command) int64 {
	b := c.Payload
	if c.Kind == core.Append {
		b = c.Events[0].Payload
	}
	n, _ := binary.Varint(b)
	return n
}

// answer judges an answer (H1; it is always the same).
func (m *sheet) answer(a core.Answer) {
	if !a.Kind.Changes() {
		if hint := a.Code == core.CodeNotLeader && a.Seq != 0; m.replied[a.Number] && !hint { // who leads is told afterwards (asking.go)
			m.tb.Fatalf("a second answer: %+v", a)
		}
		m.replied[a.Number] = true
	}
	switch {
	case a.Kind.Changes() && (a.Status == core.Accepted || a.Status == core.Refused):
		k := numbered{a.Session, a.Number}
		o := m.outcomes[k]
		if o == nil || o.Code != a.Code || o.Seq != a.Seq || o.Count != a.Count || o.Detail != a.Detail ||
			(a.Status == core.Accepted) != (a.Code == core.CodeNone) || a.Timestamp != m.stamps[k] {
			m.tb.Fatalf("answer %+v, outcome %+v at %d", a, o, m.stamps[k])
		}
		m.answered[k] = true
	case a.Kind.Changes() && (a.Code == core.CodeSessionExpired || a.Code == core.CodeSessionTooLong):
		if a.Timestamp < m.clock {
			m.tb.Fatalf("%+v carries no time, the clock is %d", a, m.clock)
		}
		for _, c := range m.sessions {
			c.dead = c.dead || c.id == a.Session
		}
	case a.Kind.Changes():
		if !a.Code.AtDoor() && a.Status != core.Unknown || a.Code == core.CodeReused {
			m.tb.Fatalf("answer %+v", a)
		}
	case a.Status == core.Accepted && a.Kind == core.Fence:
		if e := core.Epoch(binary.LittleEndian.Uint64(m.questions[a.Number].command.Payload)); e > m.epoch || a.Count != 0 {
			m.tb.Fatalf("fence %d accepted at %d: %+v", e, m.epoch, a)
		}
	case a.Status == core.Accepted:
		m.shown(&a)
	}
}

func (m *sheet) shown(a *core.Answer) {
	q := m.questions[a.Number]
	acc := m.account(q.command.Actor)
	if a.Seq < q.least && a.Kind == core.Read || int(a.Seq) > len(acc.events) {
		m.tb.Fatalf("%s of %s: %+v, at least %d and at most %d events", a.Kind, q.command.Actor, a, q.least, len(acc.events))
	}
	if a.Kind == core.History {
		events, err := wire.DecodeEvents(q.command.Actor, a.State)
		if err != nil {
			m.tb.Fatal(err)
		}
		for i, e := range events {
			if n, _ := binary.Varint(e.Payload); e.Seq != max(q.command.Expected, 1)+core.Seq(i) || n != acc.events[e.Seq-1] {
				m.tb.Fatalf("history from %d: event %d is %s with %d", q.command.Expected, i, e, n)
			}
		}
		if from := max(q.command.Expected, 1); len(events) == 0 && from <= q.least {
			m.tb.Fatalf("history from %d is empty, there are %d events", from, q.least)
		}
		return
	}
	var p point // the state at the answer's time, exactly
	for _, x := range acc.points {
		if x.at <= a.Timestamp {
			p = x
		}
	}
	if n, _ := binary.Varint(a.State[2:]); p.seq != a.Seq || p.sum != n {
		m.tb.Fatalf("read of %s at %d: sum %d at %d, want %d at %d", q.command.Actor, a.Timestamp, n, a.Seq, p.sum, p.seq)
	}
}

func newSheet(t *rapid.T) *sheet {
	m := &sheet{tb: t, entries: make(map[core.Index]string), accounts: make(map[core.ActorID]*account),
		outcomes: make(map[numbered]*journal.Outcome), stamps: make(map[numbered]core.Timestamp),
		asked: make(map[numbered]core.Command), answered: make(map[numbered]bool), questions: make(map[core.CommandNumber]question), replied: make(map[core.CommandNumber]bool)}
	draw := func(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, name) }
	policy := actor.Policy{SnapshotEvery: draw("every", 1, 6), SnapshotKeep: draw("keep", 0, 2), Light: draw("light", 0, 2) == 0, AllowAppend: true}
	m.l = newLoopIn(t, policy, func(c *Config) {
		c.Kinds = []actor.Kind{actor.Checked(tally(policy))}
		c.SegmentBytes, c.BlockBytes, c.WindowBytes = 16<<10, 1<<draw("block", 6, 12), int64(draw("window", 0, 4<<10))
		c.BlockCommands, c.Pipeline = draw("commands", 1, 6), draw("pipeline", 1, 4)
		c.MailboxCommands, c.MailboxBytes = draw("mailbox", 1, 16), draw("bytes", 4<<10, 12<<10)
		c.HotActors, c.Hydrations = draw("hot", 1, 5), draw("hydrations", 1, 3)
		c.Sessions = actor.SessionLimits{Sessions: draw("sessions", 3, 6), Window: draw("answers", 1, 8)}
		c.CheckpointBytes = int64(draw("checkpoint", 500, 8<<10))
		if draw("compact", 0, 1) == 1 {
			c.CompactKeep = 17 << 10
		}
		c.Tap = m.tap
	})
	m.l.onAnswer = m.answer
	m.l.drop = true
	seed := uint64(draw("seed", 0, 1<<20))
	m.l.files = simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(seed, 2))})
	m.l.kv = memkv.NewSim(memkv.Config{Rand: rand.New(rand.NewPCG(seed, 4)), Faults: memkv.Faults{LostUnflushed: 500_000}})
	m.space(true)
	m.l.restart(false)
	for range 3 {
		m.sessions = append(m.sessions, m.open())
	}
	return m
}

func (m *sheet) open() *client {
	expires := max(core.Timestamp(m.l.now.Wall), m.l.shard.clock) + 3600e9
	return &client{id: core.NewSessionID(expires, uint64(len(m.forgotten))+100), next: 1, floor: 1}
}

// space fills the disk or frees it.
func (m *sheet) space(free bool) {
	f := simfile.Faults{LostUnsynced: 500_000, TornWrite: 300_000, LostDirent: 500_000}
	if m.full = !free; m.full {
		for _, name := range m.l.files.Names() {
			image, _ := m.l.files.Export(name)
			f.QuotaBytes += int64(len(image))
		}
		f.QuotaBytes = max(1, f.QuotaBytes)
	}
	m.l.files.SetFaults(f)
}

func (m *sheet) command(t *rapid.T) core.Command {
	c := m.sessions[rapid.IntRange(0, len(m.sessions)-1).Draw(t, "session")]
	for m.answered[numbered{c.id, c.floor}] {
		c.floor++
	}
	number := c.next
	if c.next > 1 && rapid.IntRange(0, 2).Draw(t, "again") == 0 {
		number = max(1, c.next-core.CommandNumber(rapid.IntRange(1, 6).Draw(t, "back")), 1)
		number = min(number, c.next-1)
	}
	k := numbered{c.id, number}
	if old, ok := m.asked[k]; ok {
		return old
	}
	if number == c.next {
		c.next++
	}
	key := fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "actor"))
	x := add(c.id, number, key, int64(rapid.IntRange(-6, 9).Draw(t, "amount")))
	x.AckedBelow = min(c.floor, number)
	if p := rapid.IntRange(-400, 1500).Draw(t, "padding"); p > 0 {
		x.Events = []core.NewEvent{{Type: "added", Version: 1, Payload: append(x.Payload, make([]byte, p)...)}}
		x.Kind, x.Type, x.Payload = core.Append, "", nil
	}
	if e := rapid.IntRange(-8, 8).Draw(t, "expected"); e >= 0 {
		x.Expected = max(0, core.Seq(len(m.account(x.Actor).events)+e)-4)
		if e > len(m.account(x.Actor).events) {
			x.Expected = 0
		}
	}
	m.asked[k] = x
	return x
}

func (m *sheet) ask(c core.Command) core.Command {
	m.questionN++
	c.Number = m.questionN
	m.questions[c.Number] = question{command: c, least: core.Seq(len(m.account(c.Actor).events))}
	return c
}

func (m *sheet) put(list ...core.Command) { m.l.putFrame(list...) }

// sound checks that nothing broke.
func (m *sheet) sound() {
	if m.l.fault != nil {
		m.tb.Fatal(m.l.fault)
	}
}

// dump is all that must not depend on whether it was lived through or replayed.
func (m *sheet) dump() string {
	s := m.l.shard
	var b strings.Builder
	fmt.Fprintf(&b, "chain %x clock %d epochs %d %d %d\n", s.chain, s.clock, s.slotEpoch, s.policyEpoch, s.catalog)
	ids := slices.Clone(m.forgotten)
	for _, c := range m.sessions {
		ids = append(ids, c.id)
	}
	for _, id := range ids {
		if x := s.sessions.Get(id); x != nil && (x.Floor > 0 || len(x.Answers) > 0) {
			fmt.Fprintf(&b, "session %s floor %d %+v\n", id, x.Floor, x.Answers)
		}
	}
	for i := range 6 {
		if k := s.known(core.ActorID(fmt.Sprintf("tally/%d", i))); k != nil && k.seq > 0 {
			fmt.Fprintf(&b, "%s %d %d\n", k.id, k.seq, k.last)
		}
	}
	return b.String()
}

// settle lets everything under way end.
func (m *sheet) settle() {
	m.l.run()
	for range 4 {
		m.l.fire()
	}
	m.sound()
}

func TestShardAgainstAPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newSheet(t)
		run := func(t *rapid.T) {
			m.l.runSome(rapid.IntRange(0, 12).Draw(t, "steps"))
			m.sound()
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { m.sound() },
			"commands": func(t *rapid.T) {
				var list []core.Command
				for range rapid.IntRange(1, 8).Draw(t, "n") {
					if rapid.IntRange(0, 4).Draw(t, "look") == 0 {
						list = append(list, m.ask(readOf(fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "actor")))))
					} else {
						list = append(list, m.command(t))
					}
				}
				if rapid.Bool().Draw(t, "reversed") {
					slices.Reverse(list)
				}
				m.put(list...)
				run(t)
			},
			"read": func(t *rapid.T) {
				m.put(m.ask(readOf(fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "actor")))))
				run(t)
			},
			"history": func(t *rapid.T) {
				c := readOf(fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "actor")))
				c.Kind, c.Expected = core.History, core.Seq(rapid.IntRange(0, 9).Draw(t, "from"))
				m.put(m.ask(c))
				run(t)
			},
			"fence": func(t *rapid.T) {
				epoch := uint64(m.epoch) + uint64(rapid.IntRange(0, 2).Draw(t, "raise"))
				m.put(m.ask(core.Command{Actor: "tally/0", Kind: core.Fence, Principal: "operator",
					Payload: binary.LittleEndian.AppendUint64(nil, epoch)}), m.command(t), m.command(t))
				run(t)
			},
			"time": func(t *rapid.T) { m.l.run(); m.l.fire(); m.sound() },
			"crash": func(t *rapid.T) {
				m.l.restart(false)
				m.sound()
			},
			"power": func(t *rapid.T) {
				m.put(m.command(t))
				m.l.cutAt = m.l.steps + rapid.IntRange(1, 6).Draw(t, "cut")
				m.l.run()
				m.l.cutAt = 0
				m.l.restart(true)
				m.sound()
			},
			"rebuilt": func(t *rapid.T) {
				m.settle()
				if len(m.l.shard.flights) > 0 || m.full {
					return
				}
				before, was := m.dump(), m.l.shard.String()
				if m.l.cfg.CompactKeep == 0 && rapid.Bool().Draw(t, "lose") {
					m.l.kv.Lose()
				}
				m.l.restart(false)
				m.sound()
				if after := m.dump(); after != before {
					t.Fatalf("%s\nbefore:\n%s\n%s\nafter:\n%s", was, before, m.l.shard, after)
				}
			},
			"space": func(t *rapid.T) { m.space(m.full) },
			"clock": func(t *rapid.T) {
				m.l.now.Wall += int64(rapid.IntRange(-7200, 7200).Draw(t, "seconds")) * 1e9
			},
			"session": func(t *rapid.T) {
				i := rapid.IntRange(0, len(m.sessions)-1).Draw(t, "session")
				m.forgotten = append(m.forgotten, m.sessions[i].id)
				m.sessions[i] = m.open()
			},
		})
		m.finish()
	})
}

// finish heals all and asks until everything is answered; then the shard is
// compared with the model, alive and started again.
func (m *sheet) finish() {
	m.space(true)
	if !m.l.shard.Serving() {
		m.l.restart(false)
	}
	m.settle()
	for attempt := 0; ; attempt++ {
		open := 0
		for _, c := range m.sessions {
			for n := core.CommandNumber(1); n < c.next && !c.dead; n++ {
				if k := (numbered{c.id, n}); !m.answered[k] {
					open++
					x := m.asked[k]
					for m.answered[numbered{c.id, c.floor}] {
						c.floor++
					}
					m.put(x)
					m.settle()
				}
			}
			if attempt > 40 { // the table of sessions may be full, or the window
				c.dead = true
			}
		}
		if open == 0 {
			break
		}
	}
	for range 2 {
		for i := range 6 {
			m.put(m.ask(readOf(fmt.Sprint(i))))
			m.settle()
			if !m.replied[m.questionN] {
				m.tb.Fatalf("a read has no answer; %s", m.l.shard)
			}
		}
		m.l.restart(true)
		m.sound()
	}
}
