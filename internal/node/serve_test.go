package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/internal/datadir"
	"actordb/net/client"
	"actordb/net/tlsnet"
	"actordb/net/wire"
	"actordb/workloads"
)

const testDomain = "test.example"

// site is a directory that is served, stopped and served again at one address.
type site struct {
	t    *testing.T
	dir  string
	addr string
	web  string // likewise, for HTTP; "": none
	ca   *tlsnet.CA
	*Server
	logs   logs
	change func(*ServeConfig) // or nil
}

// logs is what a server says, and can be waited for.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.open()
	s.serve()
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, errKilled) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// open makes the site's authority, and takes a free port.
func (s *site) open() {
	s.t.Helper()
	ca, err := tlsnet.NewCA(testDomain)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr, s.ca = "127.0.0.1:0", ca
}

func sampleKinds() []actor.Kind { return append(workloads.Kinds(), actor.Stream()) }

func (s *site) config() ServeConfig {
	return ServeConfig{Dir: s.dir, Listen: s.addr, Web: s.web, Shards: 2, Kinds: sampleKinds,
		Credentials: Credentials{Source: s.source(tlsnet.NodeID(testDomain, 1), "127.0.0.1")}, Log: slog.New(slog.NewTextHandler(&s.logs, nil))}
}

func (s *site) serve() {
	s.t.Helper()
	cfg := s.config()
	if s.change != nil {
		s.change(&cfg)
	}
	server, err := Serve(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server, s.addr = server, server.Addr().String()
}

// kill ends the server in the middle of everything.
func (s *site) kill() {
	s.t.Helper()
	s.Node.host.Stop(errKilled)
	if err := s.Wait(); !errors.Is(err, errKilled) {
		s.t.Fatalf("the server stopped for another reason: %v", err)
	}
}

func (s *site) source(id string, hosts ...string) tlsnet.Source {
	s.t.Helper()
	source, err := s.ca.Source(id, time.Hour, hosts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

func (s *site) dial(change func(*client.Config)) *client.Client {
	s.t.Helper()
	cfg := client.Config{Addrs: []string{s.addr}, Source: s.source(tlsnet.ClientID(testDomain, "a"))}
	if change != nil {
		change(&cfg)
	}
	c, err := client.Dial(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func note(text string) core.NewEvent {
	return core.NewEvent{Type: "noted", Version: 3, Payload: []byte(text)}
}

// What is sent through TLS is there afterwards, numbered, with its sender; what
// is wrong comes back with the code that says so.
func TestCommandsOverTheWire(t *testing.T) {
	s := newSite(t)
	c, ctx := s.dial(nil), t.Context()
	for i := range 5 {
		a, err := c.Append(ctx, "stream/a", core.Seq(2*i), note("x"), note("y"))
		if err != nil || a.Status != core.Accepted || a.Seq != core.Seq(2*i+2) || a.Count != 2 {
			t.Fatalf("append %d: %+v %v", i, a, err)
		}
	}
	next := core.Seq(3)
	for e, err := range c.History(ctx, "stream/a", next) {
		if err != nil || e.Seq != next || e.Type != "noted" || e.Version != 3 || string(e.Payload) != "xy"[(next-1)%2:][:1] ||
			e.Principal != core.Principal(tlsnet.ClientID(testDomain, "a")) {
			t.Fatalf("event %d: %v %q by %s, %v", next, e, e.Payload, e.Principal, err)
		}
		next++
	}
	if next != 11 {
		t.Errorf("history ended before %d", next)
	}
	counter, err := workloads.Counter("c")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a, err := client.Decide(ctx, c, counter, workloads.CounterCommand(workloads.Increment{By: 7})); err != nil || a.Count != 1 {
			t.Fatalf("%+v %v", a, err)
		}
	}
	a, err := c.Read(ctx, counter.ID)
	if err != nil || a.Seq != 3 || len(a.State) == 0 {
		t.Errorf("read: %+v %v", a, err)
	}
	big := core.NewEvent{Type: "noted", Version: 1, Payload: make([]byte, core.PayloadBytesMax)}
	if _, err := c.Append(ctx, "stream/big", 0, big, big, big); err != nil {
		t.Errorf("as large as can be: %v", err)
	}
	big.Payload = append(big.Payload, 0)
	for what, bad := range map[string]struct {
		command core.Command
		code    core.Code
		seq     core.Seq
	}{
		"wrong sequence": {core.Command{Actor: "stream/a", Kind: core.Append, Expected: 9, Events: []core.NewEvent{note("")}}, core.CodeWrongSeq, 10},
		"unknown type":   {core.Command{Actor: "nobody/a", Kind: core.Append, Events: []core.NewEvent{note("")}}, core.CodeUnknownType, 0},
		"unknown command": {core.Command{Actor: "stream/a", Kind: core.Decide, Type: "explode", Expected: core.AnySeq},
			core.CodeUnknownType, 0},
		"append to a type with rules": {core.Command{Actor: "bank/a", Kind: core.Append, Events: []core.NewEvent{note("")}}, core.CodeAppendForbidden, 0},
		"bad payload":                 {core.Command{Actor: "counter/c", Kind: core.Decide, Type: "inc", Expected: core.AnySeq, Payload: []byte{0xff}}, core.CodeBadPayload, 3},
		"oversize":                    {core.Command{Actor: "stream/big", Kind: core.Append, Expected: core.AnySeq, Events: []core.NewEvent{big}}, core.CodeTooLarge, 0},
		"no events":                   {core.Command{Actor: "stream/a", Kind: core.Append}, core.CodeMalformed, 0},
		"no actor":                    {core.Command{Actor: "stream", Kind: core.Read}, core.CodeMalformed, 0},
		"a fence by a stranger":       {core.Command{Actor: "stream/a", Kind: core.Fence, Payload: make([]byte, 8)}, core.CodeNotPermitted, 0},
	} {
		_, err := c.Do(ctx, bad.command)
		var refused *client.Refused
		if !errors.As(err, &refused) || refused.Code != bad.code || refused.Seq != bad.seq || refused.Actor != bad.command.Actor {
			t.Errorf("%s: %v, want %s", what, err, bad.code)
		}
	}
}

// C1: each of thousands of commands, in flight while the server is killed and
// comes back, again and again, is answered once and has its effect once.
func TestKilledUnderLoad(t *testing.T) {
	const calls, actors, rounds = 6000, 7, 3
	s := newSite(t)
	c := s.dial(func(cfg *client.Config) { cfg.InFlight = 1500 })
	var answered atomic.Int64
	var ended sync.WaitGroup
	list := make([]client.Call, calls)
	go func() {
		for i := range list {
			ended.Add(1)
			call := &list[i]
			call.Command = core.Command{Actor: core.ActorID(fmt.Sprintf("stream/%d", i%actors)), Kind: core.Append,
				Expected: core.AnySeq, Events: []core.NewEvent{note(fmt.Sprint(i))}}
			call.Done = func(*client.Call) { answered.Add(1); ended.Done() }
			if err := c.Go(context.Background(), call); err != nil {
				panic(err)
			}
		}
	}()
	for round := range int64(rounds) {
		within(t, "answers", func() bool { return answered.Load() >= (round+1)*calls/(rounds+1) })
		s.kill()
		s.serve()
	}
	within(t, "all answers", func() bool { return answered.Load() == calls })
	ended.Wait()
	at := map[string]core.Seq{} // by payload
	for k := range actors {
		for e, err := range c.History(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", k)), 1) {
			if err != nil {
				t.Fatal(err)
			}
			if at[string(e.Payload)] != 0 {
				t.Errorf("%s is there twice", e.Payload)
			}
			at[string(e.Payload)] = e.Seq
		}
	}
	for i := range list {
		if call := &list[i]; call.Err != nil || call.Answer.Seq != at[fmt.Sprint(i)] || call.Answer.Count != 1 {
			t.Fatalf("call %d: %v, answered with event %d, stands at %d", i, call.Err, call.Answer.Seq, at[fmt.Sprint(i)])
		}
	}
	if len(at) != calls {
		t.Errorf("%d events, want %d", len(at), calls)
	}
}

// T7: a client that sends what is no frame of commands loses its connection, the
// log says why, and another client goes on.
func TestGarbageFrames(t *testing.T) {
	s := newSite(t)
	good := s.dial(nil)
	var answers wire.Writer
	for what, send := range map[string]struct {
		to    uint32
		frame []byte
	}{
		"garbage":         {tlsnet.GatewayProc, []byte("garbage")},
		"answers":         {tlsnet.GatewayProc, answers.Finish(wire.Answers)},
		"past the door":   {2, nil},
		"nobody at home":  {99, nil},
		"an empty packet": {tlsnet.GatewayProc, nil},
	} {
		bad, err := tlsnet.Dial(t.Context(), s.addr, s.source(tlsnet.ClientID(testDomain, "bad")))
		if err != nil {
			t.Fatal(err)
		}
		if err := bad.Send(t.Context(), send.to, send.frame); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(20*time.Second, func() { bad.Close() })
		if _, err := bad.Recv(); !errors.Is(err, &tlsnet.Error{Reason: tlsnet.BadFrame}) {
			t.Errorf("%s: the connection ended with %v", what, err)
		}
		late.Stop()
		bad.Close()
	}
	within(t, "reports", func() bool {
		stats := s.Net.Stats()
		return stats.Count(tlsnet.BadFrame) == 5
	})
	within(t, "a line in the log", func() bool {
		said := s.logs.String()
		return strings.Contains(said, "reason=bad-frame") && strings.Contains(said, "client/bad")
	})
	if _, err := good.Append(t.Context(), "stream/a", 0, note("x")); err != nil {
		t.Error(err)
	}
}

// Whoever cannot prove who he is gets no connection, and is told why as far as
// his own side can know.
func TestWrongIdentities(t *testing.T) {
	s := newSite(t)
	foreign, err := tlsnet.NewCA(testDomain)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := foreign.Source(tlsnet.ClientID(testDomain, "a"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	svid, err := s.ca.Issue(tlsnet.ClientID(testDomain, "late"), time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		source tlsnet.Source
		late   time.Duration // of the client's clock
		reason tlsnet.Reason
	}{
		"foreign authority":               {stranger, 0, tlsnet.Untrusted},
		"a node":                          {s.source(tlsnet.NodeID(testDomain, 7)), 0, tlsnet.OwnCertificate},
		"expired":                         {tlsnet.NewCredential(svid, s.ca.Bundle()), -time.Minute, tlsnet.Refused},
		"expired, as the client can tell": {tlsnet.NewCredential(svid, s.ca.Bundle()), time.Minute, tlsnet.Expired},
	} {
		_, err := client.Dial(t.Context(), client.Config{Addrs: []string{s.addr}, Source: c.source,
			Now: func() time.Time { return time.Now().Add(c.late) }})
		if !errors.Is(err, &tlsnet.Error{Reason: c.reason}) && !errors.Is(err, &tlsnet.Error{Reason: tlsnet.OwnCertificate, Err: &tlsnet.Error{Reason: c.reason}}) {
			t.Errorf("%s: %v, want %s", what, err, c.reason)
		}
	}
	if _, err := client.Dial(t.Context(), client.Config{Addrs: []string{"127.0.0.1:1", s.addr}, Source: s.source(tlsnet.ClientID(testDomain, "a"))}); err != nil {
		t.Errorf("the second address is not tried: %v", err)
	}
}

// A damaged journal stops the server with the place; so does a store that breaks
// by itself. The process would end with an error, and never limp on.
func TestFaultsStopTheServer(t *testing.T) {
	s := newSite(t)
	c := s.dial(nil)
	for i := range 200 {
		if _, err := c.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i)), 0, note("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Server.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "shard-0", "log", "0000000001.journal")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[3000] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := Serve(s.config())
	if err == nil { // it was quicker than the shard
		err = damaged.Wait()
	}
	if err == nil || !strings.HasPrefix(err.Error(), "shard-0") || !strings.Contains(err.Error(), "0000000001.journal") {
		t.Errorf("a damaged journal: %v", err)
	}
	b[3000] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.serve()
	broken := errors.New("a store broke")
	s.faults <- broken
	if err := s.Wait(); !errors.Is(err, broken) {
		t.Errorf("a broken store: %v", err)
	}
	s.serve()
	if _, err := c.Append(t.Context(), "stream/0", 1, note("y")); err != nil {
		t.Error(err)
	}
}

// A directory is its own authority: a client's identity that it made once is
// good after a restart, and after the authority was replaced by a younger one.
func TestDev(t *testing.T) {
	dir := t.TempDir()
	var s *Server
	serve := func() *client.Client {
		t.Helper()
		credentials, err := OpenDev(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		s, err = Serve(ServeConfig{Dir: dir, Listen: "127.0.0.1:0", Kinds: sampleKinds, Credentials: credentials, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		identity, err := tlsnet.LoadIdentity(credentials.Client)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Dial(t.Context(), client.Config{Addrs: []string{s.Addr().String()}, Source: identity})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i := range 2 {
		c := serve()
		if a, err := c.Append(t.Context(), "stream/a", core.Seq(i), note("x")); err != nil || a.Seq != core.Seq(i+1) {
			t.Errorf("%+v %v", a, err)
		}
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	var wrong *datadir.IdentityError
	if _, err := OpenDev(dir, 3); !errors.As(err, &wrong) || !wrong.Mismatch || !strings.Contains(err.Error(), "has 1 shards") {
		t.Errorf("another number of shards: %v", err)
	}
}

// An authority is replaced before its end; a client's file is renewed with it, or
// at half of its time, and tells the client whom to trust now.
func TestDevRenews(t *testing.T) {
	ca, err := tlsnet.NewCA(DevDomain)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := &dev{dir: filepath.Join(dir, "ca"), ca: ca, margin: devAuthorityEnd, client: filepath.Join(dir, DevClient)}
	renew := func(want bool, authorities int) tlsnet.Source {
		t.Helper()
		if changed, err := d.renew(); changed != want || err != nil {
			t.Fatalf("renewed: %v %v", changed, err)
		}
		c, err := tlsnet.LoadIdentity(d.client)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(ca.Bundle().X509Authorities()); n != authorities {
			t.Fatalf("%d authorities, want %d", n, authorities)
		}
		return c
	}
	first := renew(true, 1)
	renew(false, 1)
	d.issued = d.issued.Add(-devClientTTL / 2)
	renew(true, 1)
	d.margin = 1000 * 24 * time.Hour
	if err := os.WriteFile(d.dir, nil, 0o600); err != nil { // the new authority cannot be saved
		t.Fatal(err)
	}
	for range 2 {
		if _, err := d.renew(); err == nil || len(ca.Bundle().X509Authorities()) != 2 {
			t.Fatalf("%v, %d authorities", err, len(ca.Bundle().X509Authorities()))
		}
	}
	if err := os.Remove(d.dir); err != nil {
		t.Fatal(err)
	}
	second := renew(true, 2)
	if stored, err := tlsnet.LoadCA(d.dir); err != nil || !stored.Bundle().Equal(ca.Bundle()) {
		t.Fatalf("stored: %v", err)
	}
	source, err := ca.Source(tlsnet.NodeID(DevDomain, 1), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(ServeConfig{Dir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Shards: 1, Kinds: sampleKinds,
		Credentials: Credentials{Source: source}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := tlsnet.Dial(t.Context(), s.Addr().String(), second)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := tlsnet.Dial(t.Context(), s.Addr().String(), first); !errors.Is(err, &tlsnet.Error{Reason: tlsnet.Untrusted}) {
		t.Errorf("a client that knows the first authority alone: %v", err)
	}
}

// What strangers do fills no disk: some lines a second, and how many more there were.
func TestReporter(t *testing.T) {
	r := newReporter(slog.New(slog.DiscardHandler))
	admitted := 0
	for range 25 {
		if _, ok := r.admit(1); ok {
			admitted++
		}
	}
	hidden, ok := r.admit(2)
	if admitted != reportLinesMax || hidden != 25-reportLinesMax || !ok {
		t.Errorf("%d lines, %d hidden", admitted, hidden)
	}
	if hidden, ok := r.admit(2); hidden != 0 || !ok {
		t.Errorf("%d hidden again", hidden)
	}
}
