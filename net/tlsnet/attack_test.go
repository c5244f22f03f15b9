package tlsnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/proc"
)

// stranger is a peer with a good certificate and a will of its own.
func stranger(t *testing.T, n *Net, source Source) *tls.Conn {
	t.Helper()
	p, _, err := newPolicy(source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := must(net.Dial("tcp", n.Addr().String()))
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, p.clientConfig())
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// admitted is a stranger who has been polite so far.
func admitted(t *testing.T, n *Net, source Source) *tls.Conn {
	t.Helper()
	p, self, err := newPolicy(source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn := stranger(t, n, source)
	if _, err := introduce(t.Context(), conn, p, self.Node, 0); err != nil {
		t.Fatal(err)
	}
	return conn
}

// T7: whatever bad bytes come, the connection they come on ends with its
// reason, and one beside it goes on.
func TestBadMessages(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) {
		cfg.Limits.FrameTimeout = time.Second
		cfg.Limits.Routes = 100
	})
	good := dial(t, n, c.client("good"))
	raw := func(bytes uint32, kind uint32, from, to uint32) []byte {
		le := binary.LittleEndian
		return le.AppendUint32(le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, bytes), kind), from), to)
	}
	var routes []byte
	for i := range uint32(101) {
		routes = append(routes, raw(0, 1, 1, i)...)
	}
	for _, bad := range []struct {
		name   string
		send   []byte
		end    bool // of the connection, afterwards
		reason Reason
	}{
		{"garbage", bytes.Repeat([]byte("garbage!"), 10), false, BadMessage},
		{"plain HTTP inside", []byte("GET / HTTP/1.1\r\n\r\n"), false, BadMessage},
		{"kind 0", raw(0, 0, 1, 1), false, BadMessage},
		{"future kind", raw(0, 5, 1, 1), false, BadMessage},
		{"reserved bytes", raw(0, 0x101, 1, 1), false, BadMessage},
		{"ping with a body", raw(1, 3, 0, 0), false, BadMessage},
		{"ping with a process", raw(0, 3, 1, 0), false, BadMessage},
		{"bye to a process", raw(0, 4, 0, 1), false, BadMessage},
		{"another process than a client's", raw(0, 1, 2, 1), false, BadMessage},
		{"a byte too large", raw(frameBytesMax+1, 1, 1, 1), false, Oversize},
		{"four gigabytes", raw(1<<32-1, 1, 1, 1), false, Oversize},
		{"half a header", raw(0, 1, 1, 1)[:7], true, Truncated},
		{"half a frame", append(raw(100, 1, 1, 1), "half"...), true, Truncated},
		{"half a frame that stays", append(raw(8<<20, 1, 1, 1), "half"...), false, FrameSlow},
		{"too many routes", routes, false, RoutesFull},
	} {
		t.Run(bad.name, func(t *testing.T) {
			conn := admitted(t, n, c.client("bad"))
			conn.Write(bad.send)
			if bad.reason == BadMessage || bad.reason == Oversize || bad.reason == RoutesFull {
				var b [headerBytes]byte
				if _, err := io.ReadFull(conn, b[:]); err != nil {
					t.Fatalf("it is not told why: %v", err)
				}
				if h := must(readHeader(b[:])); h.kind != kindBye || Reason(h.from) != bad.reason {
					t.Errorf("it is told %+v", h)
				}
				conn.Close()
			}
			if bad.end {
				conn.Close()
			}
			e := c.hears(bad.reason)
			if e.Peer != ClientID(domain, "bad") {
				t.Errorf("of %q", e.Peer)
			}
			t.Log(e)
			good.Send(background, 1, []byte("good"))
			for {
				if g := r.frame(t); string(g.frame) == "good" {
					break
				}
			}
		})
	}
	if s := n.Stats(); s.Count(Oversize) != 2 || s.Count(Truncated) != 2 || s.Count(FrameSlow) != 1 {
		t.Errorf("%+v", s)
	}
}

// T7: what is no TLS, no hello, or nothing at all, ends within its time.
func TestBadHandshakes(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) { cfg.Limits.HandshakeTimeout = 2 * time.Second })
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x16\x03\x01\xff\xff"} {
		raw := must(net.Dial("tcp", n.Addr().String()))
		raw.Write([]byte(text))
		raw.(*net.TCPConn).CloseWrite()
		t.Log(c.hears(HandshakeFailed))
		raw.Close()
	}
	silent := must(net.Dial("tcp", n.Addr().String()))
	defer silent.Close()
	t.Log(c.hears(HandshakeSlow))

	v1 := hello{speaks: core.Versions{Low: 1, High: 1}}
	future := hello{speaks: core.Versions{Low: 7, High: 9}}
	liar := hello{speaks: core.Versions{Low: 1, High: 1}, node: 1}
	lost := hello{speaks: core.Versions{Low: 1, High: 1}, other: 3}
	magic := v1.append(nil)
	magic[0]++
	for _, bad := range []struct {
		name   string
		send   []byte
		reason Reason
	}{
		{"future version", future.append(nil), OtherVersion},
		{"a client that says it is a node", liar.append(nil), BadHello},
		{"another node is wanted", lost.append(nil), WrongNode},
		{"no magic", magic, BadHello},
		{"reserved", append(v1.append(nil)[:20], 1, 0, 0, 0), BadHello},
		{"a refusal", hello{speaks: core.Versions{Low: 1, High: 1}, refusal: 1}.append(nil), BadHello},
	} {
		t.Run(bad.name, func(t *testing.T) {
			conn := stranger(t, n, c.client("bad"))
			conn.Write(bad.send)
			var b [helloBytes]byte
			if _, err := conn.Read(b[:]); err != nil {
				t.Fatal(err)
			}
			if got := Reason(binary.LittleEndian.Uint32(b[16:])); got != bad.reason {
				t.Errorf("the peer is told %v, want %v", got, bad.reason)
			}
			t.Log(c.hears(bad.reason))
		})
	}
	t.Run("half a hello", func(t *testing.T) {
		conn := stranger(t, n, c.client("bad"))
		conn.Write(v1.append(nil)[:10])
		t.Log(c.hears(HandshakeSlow))
	})
	dial(t, n, c.client("good")).Send(background, 1, []byte("good"))
	if g := r.frame(t); string(g.frame) != "good" {
		t.Errorf("%+v", g)
	}
}

// A peer that has gone silent is given up; one that only has nothing to say is not.
func TestSilence(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) {
		cfg.Limits.PingEvery, cfg.Limits.IdleTimeout = 20*time.Millisecond, 2*time.Second
	})
	d := Dialer{Source: c.client("quiet")}
	d.Limits.PingEvery, d.Limits.IdleTimeout = 20*time.Millisecond, 2*time.Second
	quiet, err := d.Dial(t.Context(), n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	admitted(t, n, c.client("silent"))
	if e := c.hears(Silent); e.Peer != ClientID(domain, "silent") {
		t.Fatal(e)
	}
	quiet.Send(background, 1, []byte("still here"))
	if g := r.next(t); string(g.frame) != "still here" {
		t.Fatalf("%+v", g)
	}
}

// Connections are limited, by identity and in all, and the one refused is told.
func TestConnectionLimits(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) {
		cfg.Limits.Connections, cfg.Limits.ConnectionsPerClient, cfg.Limits.ConnectionsPerNode = 4, 2, 1
		cfg.Limits.HandshakesPerAddress = 2
	})
	try := func(name string) error {
		conn, err := Dial(t.Context(), n.Addr().String(), c.client(name))
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		return err
	}
	for range 2 {
		if err := try("a"); err != nil {
			t.Fatal(err)
		}
	}
	err := try("a")
	wants(t, err, ConnectionsFull)
	t.Log(err)
	c.hears(ConnectionsFull)
	n1 := c.source(NodeID(domain, 1))
	first := admitted(t, n, n1)
	first.Write(header{kind: kindFrame, from: 7, to: 9}.append(nil))
	r.frame(t)
	admitted(t, n, n1)
	c.hears(Replaced)
	if g := r.reset(t); g.from != (proc.Addr{Node: 1, Proc: 7}) {
		t.Errorf("%+v", g)
	}
	if err := try("b"); err != nil {
		t.Fatal(err)
	}
	wants(t, try("c"), ConnectionsFull)

	for range 3 {
		defer must(net.Dial("tcp", n.Addr().String())).Close()
	}
	last := must(net.Dial("tcp", n.Addr().String()))
	defer last.Close()
	last.SetDeadline(time.Now().Add(patience))
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, &net.OpError{}) {
		t.Error("it was let in")
	}
	if s := n.Stats(); s.Count(HandshakesFull) == 0 {
		t.Errorf("%+v", s)
	}
}

// The share for frames that are arriving bounds them all, and none is lost.
func TestAssembly(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) { cfg.Limits.AssemblyBytes = frameBytesMax })
	var wg sync.WaitGroup
	for range 4 {
		conn := dial(t, n, c.client("a"))
		wg.Go(func() {
			for range 3 {
				if err := conn.Send(background, 1, make([]byte, 5<<20)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 12 {
		if g := r.frame(t); len(g.frame) != 5<<20 {
			t.Fatalf("%d bytes", len(g.frame))
		}
	}
	wg.Wait()
	late, cancel := context.WithTimeout(background, patience)
	defer cancel()
	if err := n.clientsAssembly.Acquire(late, frameBytesMax); err != nil {
		t.Error("some of the share was not given back")
	}
}

// Close ends everything: strangers, clients and dials.
func TestCloseAll(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{3: "127.0.0.1:1"} })
	defer must(net.Dial("tcp", n.Addr().String())).Close()
	client := dial(t, n, c.client("a"))
	n.Send(there, proc.Addr{Node: 3, Proc: 1}, nil)
	began := time.Now()
	n.Close()
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
	if _, err := client.Recv(); err == nil {
		t.Error("the client does not notice")
	}
	n.Send(there, here, nil)
	r.reset(t)
	if s := n.Stats(); s.Connections != 0 || s.Count(Closed) == 0 {
		t.Errorf("%+v", s)
	}
	n.Close()
}

// Each reason has a name and a cure, and they differ.
func TestReasons(t *testing.T) {
	names := map[string]bool{}
	for r := Reason(1); r < reasonsEnd; r++ {
		if reasonTexts[r].name == "" || reasonTexts[r].cure == "" || names[r.String()] {
			t.Errorf("reason %d: %q", uint32(r), r)
		}
		names[r.String()] = true
	}
	if Reason(4000).String() != "reason-4000" {
		t.Error(Reason(4000))
	}
}

// Limits that cannot work are refused.
func TestLimits(t *testing.T) {
	c := newCluster(t)
	for _, l := range []Limits{{Connections: -1}, {IdleTimeout: time.Second}, {AssemblyBytes: 100}, {BackoffMax: 1}} {
		if _, err := New(Config{Source: c.source(NodeID(domain, 1)), Limits: l}); err == nil {
			t.Errorf("%+v", l)
		}
	}
	if _, err := New(Config{Source: c.source(NodeID(domain, 1)), Peers: map[proc.NodeID]string{ClientNodes: "x"}}); err == nil {
		t.Error("a client's number for a peer")
	}
}

// The decoders of what a peer sends neither panic nor accept what they would
// not write.
func FuzzMessages(f *testing.F) {
	f.Add(hello{speaks: core.Versions{Low: 1, High: 1}, node: 3}.append(nil))
	f.Add(hello{speaks: core.Versions{Low: 7, High: 9}, other: 1, refusal: 3}.append(nil))
	f.Add(header{bytes: 100, kind: kindFrame, from: 1, to: 2}.append(nil))
	f.Add(header{kind: kindPing}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := readHello(b, core.Spoken()); err == nil && !bytes.Equal(h.append(nil), b) {
			t.Errorf("hello %x is read as %+v", b, h)
		} else if err != nil && asError(err, 0).Reason == 0 {
			t.Errorf("%v has no reason", err)
		}
		if h, err := readHeader(b); err == nil && (!bytes.Equal(h.append(nil), b) || h.bytes > frameBytesMax) {
			t.Errorf("header %x is read as %+v", b, h)
		} else if err != nil && asError(err, 0).Reason == 0 {
			t.Errorf("%v has no reason", err)
		}
	})
}
