package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

func decimal(c core.Code) string { return strconv.Itoa(int(c)) }

// delivered is a frame that a Dispatcher sent.
type delivered struct {
	from     proc.Addr
	peer     string
	commands []core.Command
}

// gate is a gateway whose test answers by hand.
type gate struct {
	t      testing.TB
	d      *Dispatcher
	frames chan delivered
	full   func() bool
}

func newGate(t testing.TB, cfg Config) *gate {
	g := &gate{t: t, frames: make(chan delivered, 1<<14)}
	cfg.Deliver = g.deliver
	g.d = NewDispatcher(cfg)
	t.Cleanup(g.d.Close)
	return g
}

func (g *gate) deliver(from proc.Addr, peer string, frame []byte) bool {
	if g.full != nil && g.full() {
		return false
	}
	r, err := wire.Open(frame)
	if err != nil || r.Kind != wire.Commands {
		g.t.Errorf("a bad frame was sent: %v", err)
	}
	f := delivered{from: from, peer: peer}
	for c := (core.Command{}); r.Command(&c); c = (core.Command{}) {
		f.commands = append(f.commands, c)
	}
	g.frames <- f
	return true
}

// answer ends commands as a gateway would, their sequences being their numbers.
func (g *gate) answer(to proc.Addr, list ...core.Command) {
	var w wire.Writer
	for _, c := range list {
		w.Answer(&core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, Seq: core.Seq(c.Number), Count: 1})
	}
	g.d.Receive(to.Proc, w.Finish(wire.Answers))
}

func (g *gate) next() delivered {
	g.t.Helper()
	select {
	case f := <-g.frames:
		return f
	case <-time.After(20 * time.Second):
		g.t.Fatal("nothing was sent")
		return delivered{}
	}
}

func (g *gate) none() {
	g.t.Helper()
	select {
	case f := <-g.frames:
		g.t.Fatalf("sent: %+v", f)
	default:
	}
}

// idle wants nothing to remain.
func (g *gate) idle() {
	g.t.Helper()
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if g.d.held.taken.Load() != 0 || g.d.taken != 0 || g.d.bytes != 0 || len(g.d.clients) != 0 || len(g.d.numbers) != 0 {
		g.t.Errorf("%d places, %d bytes, %d clients, %d numbers remain", g.d.taken, g.d.bytes, len(g.d.clients), len(g.d.numbers))
	}
}

type outcome struct {
	answers []core.Answer
	err     error
}

// do begins a request: when it returns the commands are taken in.
func (g *gate) do(ctx context.Context, who core.Principal, list ...core.Command) chan outcome {
	done := make(chan outcome, 1)
	b := g.d.start(who, list)
	go func() {
		err := g.d.finish(ctx, b)
		done <- outcome{b.answers, err}
	}()
	return done
}

func (g *gate) ends(done chan outcome) outcome {
	g.t.Helper()
	select {
	case o := <-done:
		return o
	case <-time.After(20 * time.Second):
		g.t.Fatal("a request does not end")
		return outcome{}
	}
}

var testSession = core.NewSessionID(1<<60, 7)

func appending(number core.CommandNumber, text string) core.Command {
	c := core.Command{Actor: "stream/a", Kind: core.Append, Expected: core.AnySeq, Events: []core.NewEvent{{Type: "said", Version: 1, Payload: []byte(text)}}}
	if number > 0 {
		c.Session, c.Number = testSession, number
	}
	return c
}

const alice, bob = core.Principal("spiffe://test.example/client/alice"), core.Principal("spiffe://test.example/client/bob")

// R1, R2: a command goes out under its client's identity; its answer comes back to
// who asked, whatever else has the same number.
func TestAnswersFindTheirRequests(t *testing.T) {
	g := newGate(t, Config{})
	a := g.do(t.Context(), alice, appending(1, "x"))
	fromAlice := g.next()
	b := g.do(t.Context(), bob, appending(1, "x"))
	fromBob := g.next()
	if fromAlice.peer != string(alice) || fromBob.peer != string(bob) || fromAlice.from == fromBob.from || fromAlice.from.Node != Node {
		t.Fatalf("%+v %+v", fromAlice, fromBob)
	}
	var w wire.Writer
	w.Answer(&core.Answer{Session: testSession, Number: 1, Kind: core.Append, Status: core.RefusedAtDoor, Code: core.CodeReused})
	g.d.Receive(fromBob.from.Proc, w.Finish(wire.Answers))
	if o := g.ends(b); o.err != nil || o.answers[0].Code != core.CodeReused {
		t.Errorf("bob: %+v", o)
	}
	g.answer(proc.Addr{Proc: fromAlice.from.Proc + 1000}, fromAlice.commands...) // nobody's
	g.d.Receive(fromAlice.from.Proc, []byte("garbage"))
	g.answer(fromAlice.from, fromAlice.commands...)
	if o := g.ends(a); o.err != nil || o.answers[0].Status != core.Accepted || o.answers[0].Seq != 1 {
		t.Errorf("alice: %+v", o)
	}
	g.idle()
}

// R2: a repetition waits for the command that is under way, and is not sent. One
// that differs is refused, also when nobody waits for the first one any more.
func TestRepetitions(t *testing.T) {
	g := newGate(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	first := g.do(ctx, alice, appending(1, "x"))
	f := g.next()
	second := g.do(t.Context(), alice, appending(1, "x"), appending(2, "y"))
	sent := g.next()
	if len(sent.commands) != 1 || sent.commands[0].Number != 2 || sent.from != f.from {
		t.Fatalf("%+v", sent)
	}
	if o := g.ends(g.do(t.Context(), alice, appending(1, "other"))); o.err != nil || o.answers[0].Code != core.CodeReused {
		t.Errorf("%+v", o)
	}
	cancel()
	if o := g.ends(first); !errors.Is(o.err, context.Canceled) || o.answers[0].Status != core.Unknown || o.answers[0].Code != core.CodeTimeout {
		t.Errorf("%+v", o)
	}
	g.answer(f.from, sent.commands...)
	gone, cancelGone := context.WithCancel(t.Context())
	third := g.do(gone, alice, appending(3, "z"))
	last := g.next()
	cancelGone()
	g.ends(third)
	if o := g.ends(g.do(t.Context(), alice, appending(3, "other"))); o.answers[0].Code != core.CodeReused {
		t.Errorf("a number whose command may yet be answered was given away: %+v", o)
	}
	g.answer(f.from, f.commands...)
	if o := g.ends(second); o.err != nil || o.answers[0].Seq != 1 || o.answers[1].Seq != 2 {
		t.Errorf("%+v", o)
	}
	g.answer(f.from, last.commands...)
	g.idle()
}

// R4: what comes while a frame is delivered leaves in one, in order; clients take
// turns.
func TestBatches(t *testing.T) {
	g := newGate(t, Config{})
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.full = func() bool {
		once.Do(func() { close(held); <-hold })
		return false
	}
	all := []chan outcome{g.do(t.Context(), alice, appending(1, "x"))}
	<-held
	want := map[core.Principal][]core.CommandNumber{}
	for i := range 200 {
		who := []core.Principal{alice, bob}[i%2]
		all = append(all, g.do(t.Context(), who, appending(core.CommandNumber(i+2), "x")))
		want[who] = append(want[who], core.CommandNumber(i+2))
	}
	close(hold)
	f := g.next()
	g.answer(f.from, f.commands...)
	for range 2 {
		f := g.next()
		numbers := want[core.Principal(f.peer)]
		if !slices.EqualFunc(f.commands, numbers, func(c core.Command, n core.CommandNumber) bool { return c.Number == n }) {
			t.Errorf("%s: %d commands of %d in one frame, or not in their order", f.peer, len(f.commands), len(numbers))
		}
		g.answer(f.from, f.commands...)
	}
	g.none()
	for _, done := range all {
		if o := g.ends(done); o.err != nil || o.answers[0].Status != core.Accepted {
			t.Errorf("%+v", o)
		}
	}
	g.idle()
}

// R3: at each bound new commands are refused, and what a gateway has no room
// for is, too; when the others end there is room again.
func TestBounds(t *testing.T) {
	overloaded := func(t *testing.T, o outcome) {
		t.Helper()
		if a := o.answers[len(o.answers)-1]; o.err != nil || a.Status != core.RefusedAtDoor || a.Code != core.CodeOverloaded || a.Detail == "" {
			t.Errorf("%+v", o)
		}
	}
	for name, cfg := range map[string]Config{
		"commands": {InFlight: 2}, "bytes": {InFlightBytes: 3000}, "one client's": {InFlightPerClient: 2}} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, cfg)
			done := g.do(t.Context(), alice, appending(1, "x"), appending(0, "x"))
			f := g.next()
			overloaded(t, g.ends(g.do(t.Context(), alice, appending(3, "x"))))
			if name != "one client's" {
				overloaded(t, g.ends(g.do(t.Context(), bob, appending(3, "x"))))
			} else {
				o := g.do(t.Context(), bob, appending(3, "x"))
				f := g.next()
				g.answer(f.from, f.commands...)
				g.ends(o)
			}
			g.answer(f.from, f.commands...)
			g.ends(done)
			again := g.do(t.Context(), alice, appending(4, "x"))
			f = g.next()
			g.answer(f.from, f.commands...)
			if o := g.ends(again); o.answers[0].Status != core.Accepted {
				t.Errorf("%+v", o)
			}
			g.idle()
		})
	}
	g := newGate(t, Config{})
	g.full = func() bool { return true }
	overloaded(t, g.ends(g.do(t.Context(), alice, appending(1, "x"))))
	g.idle()
}

// R5: what had not left when its request ended never does. After Close nothing is
// taken in, and all ends.
func TestGivingUp(t *testing.T) {
	g := newGate(t, Config{})
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.full = func() bool {
		once.Do(func() { close(held); <-hold })
		return false
	}
	first := g.do(t.Context(), alice, appending(1, "x"))
	<-held
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no more")
	second := g.do(ctx, alice, appending(2, "never"), appending(0, "never"))
	g.d.mu.Lock()
	at := proc.Addr{Node: Node, Proc: g.d.clients[alice].number}
	g.d.mu.Unlock()
	g.answer(at, appending(2, "never")) // to what was not asked
	cancel(why)
	o := g.ends(second)
	for _, a := range o.answers {
		if a.Status != core.RefusedAtDoor || a.Code != core.CodeTimeout || a.Detail == "" || !errors.Is(o.err, why) {
			t.Errorf("%+v", o)
		}
	}
	close(hold)
	f := g.next()
	third := g.do(t.Context(), alice, appending(3, "x"))
	if sent := g.next(); len(sent.commands) != 1 || sent.commands[0].Number != 3 {
		t.Errorf("%+v", sent)
	}
	g.answer(f.from, f.commands...)
	if o := g.ends(first); o.err != nil {
		t.Error(o.err)
	}
	g.d.Close()
	if o := g.ends(third); !errors.Is(o.err, ErrClosed) || o.answers[0].Status != core.Unknown {
		t.Errorf("%+v", o)
	}
	if o := g.ends(g.do(t.Context(), alice, appending(4, "x"))); o.answers[0].Status != core.RefusedAtDoor || !o.answers[0].Code.Transient() {
		t.Errorf("%+v", o)
	}
}

// Commands without a session are numbered here: no number twice, never more than a
// window above what is settled, each session replaced in time, and none more than
// are needed.
func TestOwnSessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		var list ownSessions
		type issued struct {
			own *ownSession
			n   core.CommandNumber
		}
		seen := map[string]bool{}
		var open []issued
		settle := func(i int) {
			o := open[i]
			if o.n < o.own.floor {
				t.Fatalf("number %d is below the floor, %d, and was not settled", o.n, o.own.floor)
			}
			o.own.settle(o.n, core.CodeNone)
			open = slices.Delete(open, i, i+1)
		}
		take := func() (c core.Command, ok bool) {
			s := list.take(now)
			if s == nil {
				return c, false
			}
			s.number(&c)
			id := fmt.Sprint(c.Session, "/", c.Number)
			if seen[id] || c.Number-c.AckedBelow >= window || c.Session.Expires() < core.Timestamp(now.UnixNano()+int64(sessionLifetimeDefault)/2) {
				t.Fatalf("%s: acked below %d, expires %s", id, c.AckedBelow, c.Session.Expires())
			}
			seen[id] = true
			open = append(open, issued{s, c.Number})
			return c, true
		}
		for range rapid.IntRange(1, 4).Draw(t, "waves") {
			taken := rapid.IntRange(1, inFlight).Draw(t, "taken")
			for range taken {
				if _, ok := take(); !ok && len(list) < ownSessionsMax {
					t.Fatalf("no session, of %d", len(list))
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "seconds")) * time.Second)
			for range rapid.IntRange(0, len(open)).Draw(t, "settled") {
				settle(len(open) - 1 - (len(open)-1)*rapid.IntRange(0, 3).Draw(t, "which")/3)
			}
		}
		for len(open) > 0 {
			settle(0)
		}
		if c, ok := take(); !ok || c.AckedBelow != c.Number {
			t.Fatalf("all is settled, and %d says that below %d is (%v)", c.Number, c.AckedBelow, ok)
		}
		for _, s := range list {
			if s != open[0].own && s.floor != s.next {
				t.Fatalf("a session waits from %d to %d for nothing", s.floor, s.next)
			}
		}
	})
}

// A command that breaks the format is refused here, with the engine's words.
func TestCheckedHere(t *testing.T) {
	g := newGate(t, Config{})
	long := appending(1, "x")
	long.Events[0].Type = strings.Repeat("x", 300)
	for code, c := range map[core.Code]core.Command{
		core.CodeMalformed: long,
		core.CodeTooLarge:  appending(2, strings.Repeat("x", core.PayloadBytesMax+1)),
	} {
		if o := g.ends(g.do(t.Context(), alice, c)); o.answers[0].Code != code || o.answers[0].Status != core.RefusedAtDoor {
			t.Errorf("%+v, want %s", o, code)
		}
	}
	g.none()
	g.idle()
}
