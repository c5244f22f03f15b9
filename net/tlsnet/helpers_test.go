package tlsnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"actordb/core/proc"
)

const domain = "test.example"

const patience = 20 * time.Second // for what must happen; nothing waits that long when all is well

// got is what a node was given.
type got struct {
	from, to proc.Addr
	peer     string
	frame    []byte
	reset    bool
}

// recorder is a Local whose inputs a test reads from a channel. full makes it
// refuse frames.
type recorder struct {
	in   chan got
	full func(to proc.Addr) bool
}

func newRecorder() *recorder { return &recorder{in: make(chan got, 1<<16)} }

func (r *recorder) Deliver(from proc.Addr, peer string, to proc.Addr, frame []byte) bool {
	if r.full != nil && r.full(to) {
		return false
	}
	r.in <- got{from: from, to: to, peer: peer, frame: frame}
	return true
}

func (r *recorder) Broken(to, peer proc.Addr) { r.in <- got{from: peer, to: to, reset: true} }

func (r *recorder) next(t testing.TB) got {
	t.Helper()
	select {
	case g := <-r.in:
		return g
	case <-time.After(patience):
		t.Fatal("nothing came")
		return got{}
	}
}

// frame waits for a frame, reset for a reset; other inputs in between are passed over.
func (r *recorder) frame(t testing.TB) got {
	t.Helper()
	for {
		if g := r.next(t); !g.reset {
			return g
		}
	}
}

func (r *recorder) reset(t testing.TB) got {
	t.Helper()
	for {
		if g := r.next(t); g.reset {
			return g
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// cluster is an authority and what tests hear of connections.
type cluster struct {
	t      testing.TB
	ca     *CA
	errors chan error
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t, must(NewCA(domain)), make(chan error, 1<<12)}
}

func (c *cluster) source(id string) Source {
	c.t.Helper()
	return must(c.ca.Source(id, time.Hour))
}

func (c *cluster) client(name string) Source { return c.source(ClientID(domain, name)) }

// node starts a node. change may be nil.
func (c *cluster) node(id proc.NodeID, change func(*Config)) (*Net, *recorder) {
	c.t.Helper()
	cfg := Config{Source: c.source(NodeID(domain, id)), Listen: "127.0.0.1:0"}
	cfg.Report = func(err error) {
		select {
		case c.errors <- err:
		default:
		}
	}
	cfg.Limits.BackoffMin, cfg.Limits.BackoffMax = time.Millisecond, 20*time.Millisecond
	cfg.Limits.FlushTimeout = 500 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	r := newRecorder()
	if err := n.Start(r); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { n.Close() })
	return n, r
}

// pair starts node 2, which listens, and node 1, which knows its address.
func (c *cluster) pair(change func(*Config)) (n1 *Net, r1 *recorder, n2 *Net, r2 *recorder) {
	c.t.Helper()
	n2, r2 = c.node(2, change)
	n1, r1 = c.node(1, func(cfg *Config) {
		cfg.Peers = map[proc.NodeID]string{2: n2.Addr().String()}
		if change != nil {
			change(cfg)
		}
	})
	return
}

// hears waits until a node reports an error of reason.
func (c *cluster) hears(reason Reason) *Error {
	c.t.Helper()
	late := time.After(patience)
	for {
		select {
		case err := <-c.errors:
			if errors.Is(err, &Error{Reason: reason}) {
				var e *Error
				errors.As(err, &e)
				if e.Place == "" || reasonTexts[reason].cure == "" {
					c.t.Errorf("no place or no cure: %v", err)
				}
				return e
			}
		case <-late:
			c.t.Fatalf("no error of reason %s", reason)
		}
	}
}

func wants(t testing.TB, err error, reason Reason) {
	t.Helper()
	if !errors.Is(err, &Error{Reason: reason}) {
		t.Fatalf("error %v, want reason %s", err, reason)
	}
}

func dial(t testing.TB, n *Net, source Source) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), n.Addr().String(), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// relay passes connections on to an address; a test may break those in conns.
type relay struct {
	listener net.Listener
	conns    chan net.Conn
}

func newRelay(t testing.TB, to string) *relay {
	r := &relay{must(net.Listen("tcp", "127.0.0.1:0")), make(chan net.Conn, 64)}
	t.Cleanup(func() { r.listener.Close() })
	go func() {
		for {
			in, err := r.listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			pass := func(a, b net.Conn) {
				io.Copy(a, b)
				a.Close()
				b.Close()
			}
			go pass(in, out)
			go pass(out, in)
			r.conns <- in
		}
	}()
	return r
}

func (r *relay) addr() string { return r.listener.Addr().String() }

var here = proc.Addr{Node: 1, Proc: 7}
var there = proc.Addr{Node: 2, Proc: 9}

func numbered(i int) []byte { return fmt.Appendf(nil, "frame %d", i) }

var background = context.Background()
