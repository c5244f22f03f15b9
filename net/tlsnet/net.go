package tlsnet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"golang.org/x/sync/semaphore"

	"actordb/core"
	"actordb/core/proc"
)

// Local is the node that a Net belongs to. Its methods must not wait.
type Local interface {
	// Deliver hands a frame to a process; false: it has no room, or is unknown.
	Deliver(from proc.Addr, peer string, to proc.Addr, frame []byte) bool
	// Broken tells process to that frames to or from peer may have been lost.
	Broken(to, peer proc.Addr)
}

// Config of a Net.
type Config struct {
	// Source gives the node's certificate, which says its number, and the bundle.
	Source Source
	// Listen is the address to accept connections at; empty: none.
	Listen string
	// Peers are the addresses of the other nodes.
	Peers map[proc.NodeID]string
	// Authorize may refuse a peer whose certificate is right; nil: it does not.
	Authorize func(Identity) error
	// Inspect may refuse a frame of a client, for process to; the connection then
	// ends with BadFrame. It is called from the connection's goroutine; nil: it
	// does not.
	Inspect func(from Identity, to uint32, frame []byte) error
	// Report hears of each connection that was refused or lost, with an *Error,
	// from any goroutine; nil: they are only counted.
	Report func(error)
	Limits Limits
	// Speaks are the versions of the program; zero: all that core.Spoken has.
	Speaks core.Versions
	// Now is the machine's idea of the date, for certificates; nil: time.Now.
	Now func() time.Time
}

// A Net is a node's end of the network.
type Net struct {
	cfg      Config
	limits   Limits
	policy   *policy
	node     proc.NodeID
	listener net.Listener
	local    Local
	peers    map[proc.NodeID]*peer
	stats    stats

	clientBytes     *budget
	nodeAssembly    *semaphore.Weighted
	clientsAssembly *semaphore.Weighted

	closing chan struct{}
	ctx     context.Context // done when closing: for dials and handshakes
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu         sync.RWMutex
	started    bool
	closed     bool
	links      map[*link]struct{}
	inbound    map[string][]*inbound // by SPIFFE id, oldest first
	clients    map[proc.NodeID]*inbound
	admitted   int
	nextClient proc.NodeID
	handshakes map[netip.Addr]int
	shaking    int
	bundle     *x509bundle.Bundle // by which all links were judged
}

// Require has nodes refused, from now on, that do not speak a version at least: what the
// cluster shares is written in it. It is not taken back. What is connected stays so.
func (n *Net) Require(v core.Version) { n.policy.lowest.Store(max(n.policy.lowest.Load(), uint32(v))) }

// New makes the Net of the node that cfg.Source speaks for, and listens. Frames
// flow when Start is called.
func New(cfg Config) (*Net, error) {
	n := &Net{
		cfg: cfg, limits: cfg.Limits.withDefaults(),
		peers: map[proc.NodeID]*peer{}, links: map[*link]struct{}{}, inbound: map[string][]*inbound{},
		clients: map[proc.NodeID]*inbound{}, nextClient: ClientNodes, handshakes: map[netip.Addr]int{},
		closing: make(chan struct{}),
	}
	if err := n.limits.validate(); err != nil {
		return nil, err
	}
	p, self, err := newPolicy(cfg.Source, cfg.Now, cfg.Authorize)
	if err != nil {
		return nil, err
	}
	if self.Node == 0 {
		return nil, errorf(OwnCertificate, "%s is no node", self.ID)
	}
	n.policy, n.node = p, self.Node
	if cfg.Speaks != (core.Versions{}) {
		p.program = cfg.Speaks
	}
	n.clientBytes = &budget{max: n.limits.ClientsQueueBytes}
	n.nodeAssembly = semaphore.NewWeighted(n.limits.AssemblyBytes)
	n.clientsAssembly = semaphore.NewWeighted(n.limits.AssemblyBytes)
	for id, addr := range cfg.Peers {
		if id == 0 || id >= ClientNodes {
			return nil, fmt.Errorf("tlsnet: peer %d at %s: nodes are numbered from 1 to %d", id, addr, ClientNodes-1)
		}
		if id != n.node {
			n.peers[id] = &peer{node: id, addr: addr, out: newQueue(n.node, n.limits.QueueFrames, n.limits.QueueBytes, n.limits.Routes, nil)}
		}
	}
	if b, err := cfg.Source.GetX509BundleForTrustDomain(p.domain); err == nil {
		n.bundle = b.Clone()
	}
	if cfg.Listen != "" {
		n.listener, err = net.Listen("tcp", cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("tlsnet: %w; choose another address, or stop what listens there", err)
		}
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n, nil
}

// Node is the node's own number, from its certificate.
func (n *Net) Node() proc.NodeID { return n.node }

// Addr is where it listens, nil if it does not.
func (n *Net) Addr() net.Addr {
	if n.listener == nil {
		return nil
	}
	return n.listener.Addr()
}

// Start lets frames flow to and from local. It must be called once, before the
// first Send.
func (n *Net) Start(local Local) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.started {
		return errors.New("tlsnet: Start was called twice or after Close")
	}
	n.started, n.local = true, local
	if n.listener != nil {
		n.running.Go(n.accept)
	}
	for _, p := range n.peers {
		n.running.Go(func() { n.keep(p) })
	}
	n.running.Go(n.watch)
	return nil
}

// AddPeer makes another node known, unless it is: it came to the cluster after this one
// began. An error names the number that is none.
func (n *Net) AddPeer(id proc.NodeID, addr string) error {
	if id == 0 || id >= ClientNodes {
		return fmt.Errorf("tlsnet: peer %d at %s: nodes are numbered from 1 to %d", id, addr, ClientNodes-1)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id == n.node || n.peers[id] != nil || n.closed {
		return nil
	}
	p := &peer{node: id, addr: addr, out: newQueue(n.node, n.limits.QueueFrames, n.limits.QueueBytes, n.limits.Routes, nil)}
	n.peers[id] = p
	if n.started {
		n.running.Go(func() { n.keep(p) })
	}
	return nil
}

// Send queues a frame for a process of another node, or for a client of this
// one, and gives its bytes away. It never waits (T3).
func (n *Net) Send(from, to proc.Addr, frame []byte) {
	out, reason := n.queueOf(to)
	switch {
	case reason != 0:
	case len(frame) > frameBytesMax:
		reason = Oversize
	default:
		reason = out.push(from, to.Proc, frame)
	}
	if reason == 0 {
		return
	}
	n.stats.dropped.Add(1)
	n.stats.count(reason)
	if reason == QueueFull || reason == RoutesFull {
		out.reset(from.Proc, to.Proc) // if even this finds no room, the sender at least is told
	}
	n.local.Broken(from, to)
}

func (n *Net) queueOf(to proc.Addr) (*queue, Reason) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	switch {
	case n.closed:
		return nil, Closed
	case to.Node < ClientNodes:
		if p := n.peers[to.Node]; p != nil {
			return p.out, 0
		}
	case to.Proc == ClientProc:
		if in := n.clients[to.Node]; in != nil {
			return in.out, 0
		}
	}
	return nil, UnknownPeer
}

// report counts and tells why a connection was refused or lost.
func (n *Net) report(err error) {
	var e *Error
	if !errors.As(err, &e) { // an end in order
		return
	}
	n.stats.count(e.Reason)
	if n.cfg.Report != nil {
		n.cfg.Report(err)
	}
}

// tell lets the processes of routes know that the connection to node is lost.
func (n *Net) tell(routes map[route]struct{}, node proc.NodeID) {
	for r := range routes {
		n.local.Broken(r.local, proc.Addr{Node: node, Proc: r.remote})
	}
}

// enroll makes a link known to watch and Close; false: the Net is closed.
func (n *Net) enroll(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.links[l] = struct{}{}
	return true
}

func (n *Net) strike(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
}

// peer is another node, to which this one sends.
type peer struct {
	node proc.NodeID
	addr string
	out  *queue
}

// keep has a connection to p whenever there is something to send.
func (n *Net) keep(p *peer) {
	failures := 0
	for {
		if p.out.empty() {
			select {
			case <-p.out.wake:
				continue
			case <-n.closing:
				return
			}
		}
		began := time.Now()
		err := n.once(p)
		n.report(err)
		switch {
		case err == errRenewed:
			failures = 0
			continue
		case time.Since(began) > n.limits.BackoffMax:
			failures = 0
		default:
			failures++
		}
		if !n.pause(failures) {
			return
		}
	}
}

// pause waits before the next dial, and reports false when the Net closes.
func (n *Net) pause(failures int) bool {
	wait := n.limits.BackoffMin
	for i := 1; i < failures && wait < n.limits.BackoffMax; i++ {
		wait *= 2
	}
	wait = min(wait, n.limits.BackoffMax)
	wait -= rand.N(wait/2 + 1)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-n.closing:
		return false
	}
}

// once makes one connection to p and uses it to its end.
func (n *Net) once(p *peer) error {
	conn, who, err := connect(n.ctx, p.addr, n.policy, n.node, p.node, &n.limits)
	if err != nil {
		waiting, routes := p.out.lost(true)
		n.stats.dropped.Add(uint64(waiting))
		n.tell(routes, p.node)
		return err
	}
	l := newLink(conn, who, x509.ExtKeyUsageServerAuth, p.out, &n.limits, &n.stats, nil, n.closing)
	l.renew = n.renewAfter(l)
	if !n.enroll(l) {
		l.fail(errFlushed)
		return errFlushed
	}
	err = l.run(func(h header, _ []byte) error {
		if h.kind != kindReset {
			return errorf(BadMessage, "a frame on a connection that this node dialed to send")
		}
		n.local.Broken(proc.Addr{Node: n.node, Proc: h.to}, proc.Addr{Node: p.node, Proc: h.from})
		return nil
	})
	n.strike(l)
	if err != errRenewed {
		_, routes := p.out.lost(false)
		n.tell(routes, p.node)
	}
	return err
}

// renewAfter is two thirds of the time that both ends' certificates have left.
func (n *Net) renewAfter(l *link) time.Duration {
	end := l.chain[0].NotAfter
	if svid, err := n.cfg.Source.GetX509SVID(); err == nil && svid.Certificates[0].NotAfter.Before(end) {
		end = svid.Certificates[0].NotAfter
	}
	return max(end.Sub(n.policy.now())*2/3, renewMin)
}

// watch ends connections that may not go on (T6).
func (n *Net) watch() {
	tick := time.NewTicker(n.limits.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b, err := n.cfg.Source.GetX509BundleForTrustDomain(n.policy.domain)
			n.judge(err == nil && !b.Equal(n.bundle))
			if err == nil {
				n.bundle = b.Clone()
			}
		case <-n.closing:
			return
		}
	}
}

// Recheck judges each connection's peer anew, by the bundle, the time and
// Authorize as they are now, and ends those that would be refused.
func (n *Net) Recheck() { n.judge(true) }

// judge checks the links; with whole also the signatures.
func (n *Net) judge(whole bool) {
	n.mu.RLock()
	links := make([]*link, 0, len(n.links))
	for l := range n.links {
		links = append(links, l)
	}
	n.mu.RUnlock()
	for _, l := range links {
		if err := n.policy.again(l.chain, l.usage, whole); err != nil {
			l.fail(err)
		}
	}
}

// Close takes no more frames, sends those that wait, for at most FlushTimeout,
// and returns when all connections have ended.
func (n *Net) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		n.running.Wait()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	close(n.closing)
	n.cancel()
	if n.listener != nil {
		n.listener.Close()
	}
	late := time.AfterFunc(n.limits.FlushTimeout, func() {
		n.mu.RLock()
		defer n.mu.RUnlock()
		for l := range n.links {
			l.fail(errFlushed)
		}
	})
	defer late.Stop()
	n.running.Wait()
	return nil
}
