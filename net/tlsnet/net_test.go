package tlsnet

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/proc"
)

// T2, T5: thousands of frames of all sizes arrive whole, in order, with the
// sender's node and identity from its certificate.
func TestOrder(t *testing.T) {
	c := newCluster(t)
	n1, _, n2, r2 := c.pair(func(cfg *Config) { cfg.Limits.QueueFrames = 1 << 20 })
	const frames = 20_000
	payload := make([]byte, 3*stageBytes)
	rand.Read(payload)
	size := func(i int) int {
		if i%500 == 0 {
			return i * 7 % len(payload)
		}
		return i % 300
	}
	for i := range frames {
		n1.Send(here, there, bytes.Clone(payload[:size(i)]))
	}
	for i := range frames {
		g := r2.next(t)
		if g.reset || g.from != here || g.to != there || g.peer != NodeID(domain, 1) || !bytes.Equal(g.frame, payload[:size(i)]) {
			t.Fatalf("input %d: %v from %v, %d bytes, want %d", i, g.reset, g.from, len(g.frame), size(i))
		}
	}
	if s := n2.Stats(); s.FramesIn != frames || n1.Stats().FramesDropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

// The largest frame passes, a larger one is refused where it is sent.
func TestFrameLimit(t *testing.T) {
	c := newCluster(t)
	n1, r1, _, r2 := c.pair(nil)
	n1.Send(here, there, make([]byte, frameBytesMax))
	if g := r2.frame(t); len(g.frame) != frameBytesMax {
		t.Fatalf("%d bytes", len(g.frame))
	}
	n1.Send(here, there, make([]byte, frameBytesMax+1))
	if g := r1.reset(t); g.from != there || g.to != here {
		t.Fatalf("reset %v", g)
	}
	if s := n1.Stats(); s.Count(Oversize) != 1 {
		t.Errorf("stats %+v", s)
	}
	n1.Send(here, proc.Addr{Node: 3, Proc: 1}, nil)
	r1.reset(t)
	if s := n1.Stats(); s.Count(UnknownPeer) != 1 {
		t.Errorf("stats %+v", s)
	}
}

// T4: when a connection breaks, both who sent and who received are told; then
// it is made again.
func TestReconnect(t *testing.T) {
	c := newCluster(t)
	n2, r2 := c.node(2, nil)
	relay := newRelay(t, n2.Addr().String())
	n1, r1 := c.node(1, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{2: relay.addr()} })
	for i := range 5 {
		n1.Send(here, there, numbered(i))
		if g := r2.frame(t); string(g.frame) != string(numbered(i)) {
			t.Fatalf("%q", g.frame)
		}
		(<-relay.conns).Close()
		if g := r1.reset(t); g.to != here || g.from != there {
			t.Fatalf("sender was told %+v", g)
		}
		if g := r2.reset(t); g.to != there || g.from != here {
			t.Fatalf("receiver was told %+v", g)
		}
	}
}

// A node whose cluster was upgraded speaks to no node of the older release, whoever dials;
// clients of it are welcome.
func TestRequire(t *testing.T) {
	c := newCluster(t)
	n2, r2 := c.node(2, nil)
	n1, _ := c.node(1, func(cfg *Config) {
		cfg.Peers = map[proc.NodeID]string{2: n2.Addr().String()}
		cfg.Speaks = core.Versions{Low: core.VersionMin, High: core.VersionMax - 1}
	})
	n2.Require(core.VersionMax)
	n2.Require(core.VersionMin) // is not taken back
	n1.Send(here, there, numbered(1))
	c.hears(OtherVersion)
	n3, _ := c.node(3, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{1: n1.Addr().String()} })
	n3.Require(core.VersionMax)
	n3.Send(proc.Addr{Node: 3, Proc: 1}, proc.Addr{Node: 1, Proc: 1}, numbered(1))
	c.hears(OtherVersion)
	n4, _ := c.node(4, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{2: n2.Addr().String()} })
	n4.Send(proc.Addr{Node: 4, Proc: 1}, there, numbered(4))
	if g := r2.frame(t); string(g.frame) != string(numbered(4)) {
		t.Fatalf("%q", g.frame)
	}
	conn, err := Dial(t.Context(), n2.Addr().String(), c.client("alice"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// T3, T4: frames for a node that cannot be reached are dropped and told of.
func TestUnreachable(t *testing.T) {
	c := newCluster(t)
	n1, r1 := c.node(1, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{2: "127.0.0.1:1"} })
	n1.Send(here, there, numbered(1))
	if g := r1.reset(t); g.to != here || g.from != there {
		t.Fatalf("told %+v", g)
	}
	c.hears(Unreachable)
	if s := n1.Stats(); s.FramesDropped != 1 {
		t.Errorf("stats %+v", s)
	}
}

// A frame for a process that has no room comes back as a reset to its sender.
func TestReceiverFull(t *testing.T) {
	c := newCluster(t)
	n2, _ := c.node(2, nil)
	n2.mu.Lock()
	n2.local.(*recorder).full = func(to proc.Addr) bool { return to == there }
	n2.mu.Unlock()
	n1, r1 := c.node(1, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{2: n2.Addr().String()} })
	n1.Send(here, there, numbered(1))
	if g := r1.reset(t); g.to != here || g.from != there {
		t.Fatalf("told %+v", g)
	}
	client := dial(t, n2, c.client("a"))
	if err := client.Send(background, there.Proc, numbered(1)); err != nil {
		t.Fatal(err)
	}
	if m, err := client.Recv(); err != nil || !m.Reset || m.From != there.Proc {
		t.Fatalf("%+v %v", m, err)
	}
}

// T3: a client that does not read costs bounded memory, does not hold up the
// sender, who is told of each frame, and is disconnected; others go on.
func TestSlowReader(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) {
		cfg.Limits.ClientQueueBytes = 1 << 20
		cfg.Limits.WriteTimeout = time.Second
	})
	slow, quick := dial(t, n, c.client("slow")), dial(t, n, c.client("quick"))
	slow.Send(background, 9, nil)
	at := r.frame(t).from
	quick.Send(background, 9, nil)
	other := r.frame(t).from
	began := time.Now()
	n.mu.RLock()
	q := n.clients[at.Node].out
	n.mu.RUnlock()
	const frames = 2000
	for range frames {
		n.Send(there, at, make([]byte, 64<<10))
		q.mu.Lock()
		used := q.bytes
		q.mu.Unlock()
		if used > 1<<20+stageBytes {
			t.Fatalf("%d bytes in the queue", used)
		}
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("%d sends took %v", frames, d)
	}
	n.Send(there, other, numbered(1))
	if m, err := quick.Recv(); err != nil || string(m.Frame) != string(numbered(1)) {
		t.Fatalf("%+v %v", m, err)
	}
	s := n.Stats()
	if s.Count(QueueFull) == 0 {
		t.Fatalf("nothing was dropped: %+v", s)
	}
	for range s.Count(QueueFull) {
		if g := r.reset(t); g.to != there || g.from != at {
			t.Fatalf("told %+v", g)
		}
	}
	c.hears(WriteSlow)
	r.reset(t) // the connection is gone
	if used := n.clientBytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken from the clients' share", used)
	}
	n.Send(there, at, nil)
	r.reset(t)
}

// A client's Send waits while the queue is full, as long as its context lets it.
func TestClientWaits(t *testing.T) {
	q := newQueue(0, 1, 1<<20, 8, nil)
	c := &Conn{limits: Limits{}.withDefaults(), closing: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(background)
	defer cancel(nil)
	c.link = &link{out: q, ctx: ctx}
	if err := c.Send(background, 1, nil); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(background, time.Millisecond)
	defer stop()
	if err := c.Send(short, 1, nil); err != context.DeadlineExceeded {
		t.Fatal(err)
	}
	sent := make(chan error)
	go func() { sent <- c.Send(background, 1, nil) }()
	q.take(nil)
	q.done(1, headerBytes)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// Clients get addresses of their own, answers reach the right one, and the
// processes that spoke to one hear when it leaves.
func TestClients(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, nil)
	var wg sync.WaitGroup
	const clients, frames = 8, 500
	go func() {
		for range clients * frames {
			g := r.frame(t)
			n.Send(g.to, g.from, g.frame)
		}
	}()
	for i := range clients {
		conn := dial(t, n, c.client("a"))
		if conn.Node().Node != 2 {
			t.Fatalf("%+v", conn.Node())
		}
		wg.Go(func() {
			for j := range frames {
				if err := conn.Send(background, 9, numbered(i<<20+j)); err != nil {
					t.Error(err)
				}
			}
			for j := range frames {
				if m, err := conn.Recv(); err != nil || string(m.Frame) != string(numbered(i<<20+j)) || m.From != 9 {
					t.Errorf("client %d answer %d: %+v %v", i, j, m, err)
					return
				}
			}
		})
	}
	wg.Wait()
	last := dial(t, n, c.client("b"))
	last.Send(background, 9, []byte("x"))
	g := r.frame(t)
	if g.from.Node < ClientNodes || g.from.Proc != ClientProc || g.peer != ClientID(domain, "b") {
		t.Fatalf("%+v", g)
	}
	last.Close()
	if b := r.reset(t); b.from != g.from || b.to != g.to {
		t.Fatalf("%+v", b)
	}
	_, err := last.Recv()
	wants(t, err, Closed)
	wants(t, last.Send(background, 9, nil), Closed)
}

// Close sends what was queued before it.
func TestCloseFlushes(t *testing.T) {
	c := newCluster(t)
	n1, _, n2, r2 := c.pair(nil)
	n1.Send(here, there, numbered(0))
	r2.frame(t)
	const frames = 3000
	for i := range frames {
		n1.Send(here, there, numbered(i))
	}
	n1.Close()
	for i := range frames {
		if g := r2.next(t); string(g.frame) != string(numbered(i)) {
			t.Fatalf("input %d: %+v", i, g)
		}
	}
	if g := r2.next(t); !g.reset {
		t.Fatalf("%+v", g)
	}
	client := dial(t, n2, c.client("a"))
	for i := range frames {
		client.Send(background, 9, numbered(i))
	}
	client.Close()
	for i := range frames {
		if g := r2.next(t); string(g.frame) != string(numbered(i)) {
			t.Fatalf("input %d: %+v", i, g)
		}
	}
}

// T4: a connection whose certificate nears its end is replaced, with traffic
// on it, and nothing is lost, repeated or told of.
func TestRenew(t *testing.T) {
	c := newCluster(t)
	n2, r2 := c.node(2, nil)
	n1, r1 := c.node(1, func(cfg *Config) {
		cfg.Peers = map[proc.NodeID]string{2: n2.Addr().String()}
		cfg.Source = must(c.ca.Source(NodeID(domain, 1), 3*time.Second))
	})
	began, i := time.Now(), 0
	for ; time.Since(began) < 5*time.Second; i++ {
		n1.Send(here, there, numbered(i))
		g := r2.next(t)
		if g.reset || string(g.frame) != string(numbered(i)) {
			t.Fatalf("input %d: %+v", i, g)
		}
	}
	for _, r := range []*recorder{r1, r2} {
		for len(r.in) > 0 {
			t.Errorf("told %+v", <-r.in)
		}
	}
	for len(c.errors) > 0 {
		t.Error(<-c.errors)
	}
	t.Logf("%d frames", i)
}

// What Inspect refuses ends the client's connection; nodes are not asked.
func TestInspect(t *testing.T) {
	c := newCluster(t)
	n1, _, n2, r2 := c.pair(func(cfg *Config) {
		cfg.Inspect = func(from Identity, to uint32, frame []byte) error {
			if from.Client != "a" || to != 9 || string(frame) != "good" {
				return errors.New("not good")
			}
			return nil
		}
	})
	n1.Send(here, there, []byte("bad"))
	if g := r2.frame(t); string(g.frame) != "bad" {
		t.Errorf("%+v", g)
	}
	client := dial(t, n2, c.client("a"))
	client.Send(background, 9, []byte("good"))
	if g := r2.frame(t); string(g.frame) != "good" {
		t.Errorf("%+v", g)
	}
	client.Send(background, 9, []byte("bad"))
	_, err := client.Recv()
	wants(t, err, BadFrame)
	if e := c.hears(BadFrame); e.Peer != ClientID(domain, "a") {
		t.Errorf("%v", e)
	}
}

// A connection to a node that has stopped, and closes nothing, ends at once when it
// is aborted: nobody waits for what is queued.
func TestAbort(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, nil)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	stopped := make(chan struct{})
	go func() {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", n.Addr().String())
		if err != nil {
			return
		}
		go io.Copy(from, to)
		buf := make([]byte, 1<<10)
		for {
			k, err := from.Read(buf)
			select {
			case <-stopped: // it keeps the connection, and reads no more
				<-t.Context().Done()
				from.Close()
				return
			default:
			}
			if err != nil {
				return
			}
			to.Write(buf[:k])
		}
	}()
	d := Dialer{Source: c.client("a")}
	d.Limits.FlushTimeout, d.Limits.WriteTimeout = time.Hour, time.Hour
	conn, err := d.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Send(background, 1, []byte("before")); err != nil {
		t.Fatal(err)
	}
	if g := r.next(t); string(g.frame) != "before" {
		t.Fatalf("%+v", g)
	}
	close(stopped)
	if err := conn.Send(background, 1, make([]byte, frameBytesMax)); err != nil { // more than the sockets hold
		t.Fatal(err)
	}
	conn.Abort()
	ended := make(chan struct{})
	go func() { conn.Close(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it waits for a node that has stopped")
	}
	_, err = conn.Recv()
	wants(t, err, Closed)
}
