package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// The client against the real engine is in internal/node, which may import it.
// Here it meets a gateway that answers as a test wants.

const (
	domain   = "test.example"
	patience = 20 * time.Second
)

// gateway is a node's network with an answer to each command.
type gateway struct {
	t   *testing.T
	net *tlsnet.Net
	ca  *tlsnet.CA

	mu     sync.Mutex
	answer func(c *core.Command) *core.Answer // nil: none
	seen   []core.Command                     // if keep; without what aliases frames
	keep   bool
	drop   int       // so many frames find no room
	last   proc.Addr // a client
	wrong  string
}

func newGateway(t *testing.T, answer func(c *core.Command) *core.Answer) *gateway {
	t.Helper()
	ca, err := tlsnet.NewCA(domain)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, ca: ca, answer: answer, keep: true}
	g.listen("127.0.0.1:0")
	t.Cleanup(func() {
		g.net.Close()
		if g.wrong != "" {
			t.Error(g.wrong)
		}
	})
	return g
}

func (g *gateway) listen(addr string) {
	g.t.Helper()
	var err error
	g.net, err = tlsnet.New(tlsnet.Config{Source: g.source(tlsnet.NodeID(domain, 1)), Listen: addr})
	if err == nil {
		err = g.net.Start(g)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) source(id string) tlsnet.Source {
	s, err := g.ca.Source(id, time.Hour)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *gateway) dial(change func(*Config)) *Client {
	g.t.Helper()
	cfg := Config{Addrs: []string{g.net.Addr().String()}, Source: g.source(tlsnet.ClientID(domain, "a"))}
	if change != nil {
		change(&cfg)
	}
	c, err := Dial(g.t.Context(), cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// Deliver implements tlsnet.Local.
func (g *gateway) Deliver(from proc.Addr, _ string, to proc.Addr, frame []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, err := wire.Open(frame)
	if err != nil || r.Kind != wire.Commands || to.Proc != tlsnet.GatewayProc {
		g.wrong = fmt.Sprintf("frame to %v: %v", to, err)
		return true
	}
	if g.drop > 0 {
		g.drop--
		return false
	}
	g.last = from
	var w wire.Writer
	var c core.Command
	for r.Command(&c) {
		if c.Number-c.AckedBelow >= window {
			g.wrong = fmt.Sprintf("number %d with answers wanted from %d", c.Number, c.AckedBelow)
		}
		if g.keep {
			g.seen = append(g.seen, core.Command{Session: c.Session, Number: c.Number, AckedBelow: c.AckedBelow, Kind: c.Kind, Payload: bytes.Clone(c.Payload)})
		}
		if a := g.answer(&c); a != nil {
			a.Session, a.Number, a.Kind = c.Session, c.Number, c.Kind
			w.Answer(a)
		}
	}
	if w.Count() > 0 {
		g.net.Send(to, from, w.Finish(wire.Answers))
	}
	return true
}

// Broken implements tlsnet.Local.
func (g *gateway) Broken(proc.Addr, proc.Addr) {}

func (g *gateway) do(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func accept(*core.Command) *core.Answer { return &core.Answer{Status: core.Accepted, Seq: 1} }

func push(n int) core.Command {
	return core.Command{Actor: "stream/a", Kind: core.Decide, Type: "push", Expected: core.AnySeq, Payload: fmt.Append(nil, n)}
}

func wait[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing for %v", what, patience)
		panic("unreachable")
	}
}

// C2: what time can cure ends no call; each attempt has the same session and
// number, and the answer that counts is handed over as it is.
func TestRepeats(t *testing.T) {
	attempts := 0
	g := newGateway(t, func(*core.Command) *core.Answer {
		passing := []core.Code{core.CodeOverloaded, core.CodeNotLeader, core.CodeWindowFull, core.CodeSessionsFull, core.CodeDiskFull}
		attempts++
		switch {
		case attempts == 1:
			return &core.Answer{Status: core.Unknown, Code: core.CodeTimeout}
		case attempts-2 < len(passing):
			return &core.Answer{Status: core.RefusedAtDoor, Code: passing[attempts-2]}
		}
		return &core.Answer{Status: core.Accepted, Seq: 42, Count: 3, Timestamp: 7, State: []byte("state")}
	})
	a, err := g.dial(nil).Do(t.Context(), push(1))
	if err != nil || a.Seq != 42 || a.Count != 3 || a.Timestamp != 7 || string(a.State) != "state" {
		t.Fatalf("%+v %v", a, err)
	}
	for _, c := range g.seen {
		if c.Session != g.seen[0].Session || c.Number != 1 || c.AckedBelow != 1 {
			t.Errorf("an attempt was %+v", c)
		}
	}
	if len(g.seen) != 7 {
		t.Errorf("%d attempts", len(g.seen))
	}
}

// C2: an answer that only says that nobody knows ends the call so, and its
// session; a read, which changes nothing, is simply refused.
func TestLostSessions(t *testing.T) {
	code := core.CodeSessionExpired
	g := newGateway(t, func(*core.Command) *core.Answer { return &core.Answer{Status: core.RefusedAtDoor, Code: code, Seq: 5} })
	c := g.dial(nil)
	for _, next := range []core.Code{core.CodeSessionTooLong, core.CodeBelowFloor, core.CodeReused, core.CodeNone} {
		_, err := c.Do(t.Context(), push(1))
		var unanswered *Unanswered
		if !errors.As(err, &unanswered) || unanswered.Code != code || unanswered.Attempts != 1 {
			t.Errorf("%s: %v", code, err)
		}
		g.do(func() { code = next })
	}
	sessions := map[core.SessionID]bool{}
	for _, c := range g.seen {
		sessions[c.Session] = true
	}
	if len(sessions) != 4 {
		t.Errorf("%d sessions for 4 commands whose sessions were lost", len(sessions))
	}
	g.do(func() { code = core.CodeCompacted })
	var refused *Refused
	if _, err := c.Read(t.Context(), "stream/a"); !errors.As(err, &refused) || refused.Code != core.CodeCompacted || refused.Seq != 5 {
		t.Errorf("a read: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lanes) != 1 || c.taken != 0 {
		t.Errorf("%d sessions and %d calls are kept", len(c.lanes), c.taken)
	}
}

// When the context ends the call does, as unanswered; what comes later answers
// nobody, and its number is in nobody's way.
func TestGivenUp(t *testing.T) {
	came := make(chan struct{}, 100)
	silent := true
	var first core.Command
	g := newGateway(t, nil)
	g.answer = func(c *core.Command) *core.Answer {
		if silent {
			first = core.Command{Session: c.Session, Number: c.Number, Kind: c.Kind}
			came <- struct{}{}
			return nil
		}
		return accept(c)
	}
	c := g.dial(nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-came
		cancel()
	}()
	_, err := c.Do(ctx, push(1))
	var unanswered *Unanswered
	if !errors.As(err, &unanswered) || !errors.Is(err, context.Canceled) || unanswered.Attempts != 1 {
		t.Fatalf("%v", err)
	}
	g.do(func() {
		silent = false
		var w wire.Writer
		w.Answer(&core.Answer{Session: first.Session, Number: first.Number, Kind: first.Kind, Status: core.Accepted, Seq: 99})
		g.net.Send(proc.Addr{Node: 1, Proc: 1}, g.last, w.Finish(wire.Answers))
	})
	if a, err := c.Do(t.Context(), push(2)); err != nil || a.Seq != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if last := g.seen[len(g.seen)-1]; last.AckedBelow != 2 || last.Number != 2 {
		t.Errorf("after number 1 was given up: %+v", last)
	}
	call := &Call{Command: push(3), Done: func(*Call) {}}
	g.do(func() { silent = true })
	if err := c.Go(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	wait(t, "the command", came)
	if !c.Cancel(call, errors.New("no longer wanted")) || c.Cancel(call, nil) {
		t.Error("a call is cancelled once")
	}
}

// C3: the bound holds, and a closed loop of as many calls as it allows goes on
// for ever, though one of them is never answered.
func TestBound(t *testing.T) {
	const bound, total = 1500, 40_000
	g := newGateway(t, nil)
	g.keep = false
	g.answer = func(c *core.Command) *core.Answer {
		if string(c.Payload) == "0" {
			return nil
		}
		return accept(c)
	}
	c := g.dial(func(cfg *Config) { cfg.InFlight = bound })
	done := make(chan error, bound)
	left := total
	var mu sync.Mutex
	for i := range bound {
		call := &Call{Command: push(i)}
		call.Done = func(call *Call) {
			mu.Lock()
			left--
			more := left > 0
			mu.Unlock()
			switch {
			case call.Err != nil:
				done <- call.Err
			case !more:
				done <- nil
			default:
				if err := c.TryGo(call); err != nil {
					done <- err
				}
			}
		}
		if err := c.TryGo(call); err != nil {
			t.Fatal(err)
		}
	}
	if err := wait(t, "the loop", done); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	lanes := len(c.lanes)
	c.mu.Unlock()
	if lanes > 2*(bound/window+1) {
		t.Errorf("%d sessions", lanes)
	}
	held := make(chan struct{})
	g.do(func() { g.answer = func(*core.Command) *core.Answer { return nil } })
	full := &Call{Command: push(0), Done: func(*Call) {}}
	for c.TryGo(full) != ErrFull {
		full = &Call{Command: push(0), Done: func(*Call) {}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(held)
		if err := c.Go(ctx, full); !errors.Is(err, context.Canceled) {
			t.Errorf("Go at the bound: %v", err)
		}
	}()
	cancel()
	wait(t, "Go", held)
}

// C3: large calls are bounded by their bytes, and one is let in however large.
func TestBytesBound(t *testing.T) {
	g := newGateway(t, func(*core.Command) *core.Answer { return nil })
	c := g.dial(func(cfg *Config) { cfg.InFlightBytes = 1 << 20 })
	large := func(n int) *Call {
		cmd := push(1)
		cmd.Payload = make([]byte, n)
		return &Call{Command: cmd, Done: func(*Call) {}}
	}
	first := large(core.PayloadBytesMax)
	if err := c.TryGo(first); err != nil {
		t.Fatal(err)
	}
	if err := c.TryGo(large(1)); err != ErrFull {
		t.Errorf("beside one that fills all: %v", err)
	}
	c.Cancel(first, nil)
	for range 3 {
		if err := c.TryGo(large(300 << 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.TryGo(large(300 << 10)); err != ErrFull {
		t.Errorf("a fourth: %v", err)
	}
}

// A frame that the node had no room for is sent again, on the connection that
// lives.
func TestDroppedFrames(t *testing.T) {
	g := newGateway(t, accept)
	g.drop = 3
	if a, err := g.dial(nil).Do(t.Context(), push(1)); err != nil || a.Seq != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if g.drop != 0 || len(g.seen) != 1 {
		t.Errorf("%d frames more to drop, %d commands seen", g.drop, len(g.seen))
	}
}

// Everything that has no answer is sent again when the connection breaks, in the
// order in which it was made, to the next address if need be.
func TestBrokenConnection(t *testing.T) {
	const calls = 300
	came := make(chan struct{}, 1000)
	g := newGateway(t, nil)
	g.answer = func(*core.Command) *core.Answer { came <- struct{}{}; return nil }
	other := newGateway(t, accept)
	other.net.Close()
	other.ca = g.ca
	other.listen("127.0.0.1:0")
	c := g.dial(func(cfg *Config) { cfg.Addrs = append(cfg.Addrs, other.net.Addr().String()) })
	done := make(chan error, calls)
	for i := range calls {
		call := &Call{Command: push(i), Done: func(call *Call) { done <- call.Err }}
		if err := c.Go(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	for range calls {
		wait(t, "the commands", came)
	}
	g.net.Close()
	for range calls {
		if err := wait(t, "the answers", done); err != nil {
			t.Fatal(err)
		}
	}
	var order []core.CommandNumber
	for _, cmd := range other.seen[:calls] {
		order = append(order, cmd.Number)
	}
	if !slices.IsSorted(order) {
		t.Errorf("sent again as %v", order)
	}
	if who, ok := c.Node(); !ok || who.Node != 1 {
		t.Errorf("connected to %v %v", who, ok)
	}
}

// Close ends what has no answer, and nothing can be started afterwards.
func TestClose(t *testing.T) {
	came := make(chan struct{}, 10)
	g := newGateway(t, nil)
	g.answer = func(*core.Command) *core.Answer { came <- struct{}{}; return nil }
	c := g.dial(nil)
	done := make(chan error, 1)
	go func() {
		_, err := c.Do(t.Context(), push(1))
		done <- err
	}()
	wait(t, "the command", came)
	c.Close()
	var unanswered *Unanswered
	if err := wait(t, "Do", done); !errors.As(err, &unanswered) || !errors.Is(err, ErrClosed) || unanswered.Attempts != 1 {
		t.Errorf("%v", err)
	}
	if _, err := c.Do(t.Context(), push(2)); !errors.As(err, &unanswered) || !errors.Is(err, ErrClosed) || unanswered.Attempts != 0 {
		t.Errorf("after Close: %v", err)
	}
}

// A session is replaced at half of its time, and forgotten when its last call
// has ended.
func TestSessionsAreReplaced(t *testing.T) {
	g := newGateway(t, accept)
	c := g.dial(nil)
	for range 3 {
		if _, err := c.Do(t.Context(), push(1)); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.retire(c.lanes[0])
		if len(c.lanes) != 0 {
			t.Error("a session without calls is kept")
		}
		c.mu.Unlock()
	}
	if g.seen[0].Session == g.seen[1].Session || g.seen[1].Session == g.seen[2].Session || g.seen[2].Number != 1 {
		t.Errorf("%v", g.seen)
	}
	left := time.Until(time.Unix(0, int64(g.seen[2].Session.Expires())))
	if left > sessionLifetime || left < sessionLifetime-time.Minute {
		t.Errorf("the session ends in %v", left)
	}
}

// A command on its way costs no memory that stays, and hardly any that does not.
func TestAllocations(t *testing.T) {
	const bound, total = 512, 50_000
	g := newGateway(t, nil)
	g.keep = false
	answer := core.Answer{Status: core.Accepted}
	g.answer = func(*core.Command) *core.Answer { return &answer }
	c := g.dial(nil)
	done := make(chan struct{})
	left := total
	var mu sync.Mutex
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range bound {
		call := &Call{Command: push(i)}
		call.Done = func(call *Call) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				close(done)
			} else if left > 0 {
				_ = c.TryGo(call)
			}
		}
		if err := c.TryGo(call); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "the loop", done)
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / total; each > 1 {
		t.Errorf("%.2f allocations for each command, at both ends together", each)
	}
}

// connected is a connection that is of no use: all that a dial needs.
type connected struct{ Link }

// A node that takes a connection and says nothing is left for the next address; if all
// are slow, each is waited for.
func TestSilentDial(t *testing.T) {
	for name, c := range map[string]struct {
		quick string // address that answers at once
		slow  bool   // all answer who are given time
		want  string
		tried []string
	}{
		"the first one is stopped":  {"b", false, "b", []string{"a", "b"}},
		"all are slow":              {"", true, "a", []string{"a", "b", "c", "a"}},
		"all but the last are slow": {"c", true, "c", []string{"a", "b", "c"}},
	} {
		var tried []string
		cl := &Client{cfg: Config{Addrs: []string{"a", "b", "c"}, Silence: 20 * time.Millisecond}}
		cl.cfg.Connect = func(ctx context.Context, addr string) (Link, error) {
			tried = append(tried, addr)
			if _, hurry := ctx.Deadline(); addr == c.quick || c.slow && !hurry {
				return connected{}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		conn, err := cl.dial(t.Context())
		if err != nil || conn == nil || cl.cfg.Addrs[cl.addr] != c.want || !slices.Equal(tried, c.tried) {
			t.Errorf("%s: tried %v, %v", name, tried, err)
		}
	}
	refused := errors.New("nobody listens")
	cl := &Client{cfg: Config{Addrs: []string{"a", "b"}, Silence: time.Hour}}
	cl.cfg.Connect = func(context.Context, string) (Link, error) { return nil, refused }
	if _, err := cl.dial(t.Context()); !errors.Is(err, refused) {
		t.Error(err)
	}
}

// Configurations that make no sense are refused with what to do.
func TestConfig(t *testing.T) {
	g := newGateway(t, accept)
	source := g.source(tlsnet.ClientID(domain, "a"))
	for what, cfg := range map[string]Config{
		"no address":       {Source: source},
		"no identity":      {Addrs: []string{"x"}},
		"too many calls":   {Addrs: []string{"x"}, Source: source, InFlight: InFlightMax + 1},
		"negative bytes":   {Addrs: []string{"x"}, Source: source, InFlightBytes: -1},
		"negative":         {Addrs: []string{"x"}, Source: source, InFlight: -1},
		"short sessions":   {Addrs: []string{"x"}, Source: source, SessionLifetime: time.Second},
		"endless sessions": {Addrs: []string{"x"}, Source: source, SessionLifetime: 13 * time.Hour},
	} {
		if c, err := Dial(t.Context(), cfg); err == nil {
			c.Close()
			t.Errorf("%s was accepted", what)
		}
	}
}
