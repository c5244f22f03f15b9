package tlsnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"actordb/core/proc"
)

// inbound is a connection that was accepted.
type inbound struct {
	*link
	node     proc.NodeID // of the peer, or of its own if it is a client
	received map[route]struct{}
	last     route // in received
}

func (n *Net) accept() {
	failures := 0
	for {
		raw, err := n.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			failures++
			n.report(&Error{Reason: ConnectionsFull, Place: n.listener.Addr().String(), Err: err})
			if !n.pause(failures) {
				return
			}
			continue
		}
		failures = 0
		addr := addressOf(raw)
		if !n.enter(addr) {
			n.stats.count(HandshakesFull) // a flood is counted and not told
			raw.Close()
			continue
		}
		n.running.Go(func() { n.serve(raw, addr) })
	}
}

func addressOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// enter takes one of the places for handshakes.
func (n *Net) enter(addr netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shaking >= n.limits.Handshakes || n.handshakes[addr] >= n.limits.HandshakesPerAddress {
		return false
	}
	n.shaking++
	n.handshakes[addr]++
	return true
}

func (n *Net) leave(addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shaking--
	n.handshakes[addr]--
	if n.handshakes[addr] == 0 {
		delete(n.handshakes, addr)
	}
}

// serve is the life of a connection.
func (n *Net) serve(raw net.Conn, addr netip.Addr) {
	in, err := n.welcome(raw)
	n.leave(addr)
	if err != nil {
		raw.Close()
		e := *asError(err, HandshakeFailed)
		e.Place = raw.RemoteAddr().String()
		n.report(&e)
		return
	}
	err = in.run(func(h header, frame []byte) error { return n.receive(in, h, frame) })
	n.dismiss(in)
	n.report(err)
	if err == errBye && in.who.Node != 0 { // it is being replaced, nothing is lost (T4)
		return
	}
	_, routes := in.out.lost(true)
	maps.Copy(routes, in.received)
	n.tell(routes, in.node)
}

// welcome is the acceptor's part of handshake and hello.
func (n *Net) welcome(raw net.Conn) (in *inbound, err error) {
	stop := context.AfterFunc(n.ctx, func() { raw.SetDeadline(time.Unix(1, 0)) }) // Close does not wait for strangers
	defer stop()
	raw.SetDeadline(time.Now().Add(n.limits.HandshakeTimeout))
	conn := tls.Server(raw, n.policy.serverConfig(protocol))
	if err := conn.Handshake(); err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			drain(raw)
		}
		return nil, refused(err, HandshakeFailed)
	}
	who, err := met(conn)
	if err != nil {
		return nil, err
	}
	var b [helloBytes]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		e := *asError(refused(err, BadHello), BadHello)
		e.Peer = who.ID
		return nil, &e
	}
	answer := hello{speaks: n.policy.speaks(who), node: n.node, other: who.Node}
	h, err := readHello(b[:], answer.speaks)
	if err == nil {
		err = n.acquainted(h, who)
	}
	if err == nil {
		in, err = n.admit(conn, who)
	}
	if err != nil {
		e := asError(err, BadHello)
		e.Peer = who.ID
		answer.refusal = e.Reason
		conn.Write(answer.append(nil)) // if it does not arrive, the peer sees the end
		conn.Close()
		return nil, e
	}
	if _, err := conn.Write(answer.append(nil)); err != nil {
		n.dismiss(in)
		return nil, refused(err, Lost)
	}
	raw.SetDeadline(time.Time{})
	return in, nil
}

// drainBytes and drainTime bound what is read of a peer that was refused.
const (
	drainBytes = 64 << 10
	drainTime  = time.Second
)

// drain lets the peer read the alert that tells why it was refused: closing
// with bytes unread would reset the connection and lose the alert.
func drain(raw net.Conn) {
	if t, ok := raw.(*net.TCPConn); ok {
		t.CloseWrite()
	}
	raw.SetReadDeadline(time.Now().Add(drainTime))
	io.CopyN(io.Discard, raw, drainBytes)
}

// acquainted checks a hello against the certificate.
func (n *Net) acquainted(h hello, who Identity) error {
	switch {
	case h.node != who.Node:
		return errorf(BadHello, "it says that it is node %d", h.node)
	case h.other != 0 && h.other != n.node:
		return errorf(WrongNode, "it wants node %d, this is node %d", h.other, n.node)
	case who.Node == n.node:
		return errorf(WrongNode, "it has this node's own number")
	case h.refusal != 0:
		return errorf(BadHello, "a dialer that refuses")
	}
	return nil
}

// admit makes a link of a connection, if there is room for it.
func (n *Net) admit(conn *tls.Conn, who Identity) (*inbound, error) {
	in := &inbound{node: who.Node, received: map[route]struct{}{}}
	out := newQueue(n.node, n.limits.ClientQueueFrames, n.limits.ClientQueueBytes, n.limits.Routes, n.clientBytes)
	assembly := n.clientsAssembly
	if who.Node != 0 {
		assembly = n.nodeAssembly
	}
	in.link = newLink(conn, who, x509.ExtKeyUsageClientAuth, out, &n.limits, &n.stats, assembly, n.closing)
	n.mu.Lock()
	defer n.mu.Unlock()
	same := n.inbound[who.ID]
	switch {
	case n.closed:
		return nil, &Error{Reason: Closed}
	case n.admitted >= n.limits.Connections:
		return nil, errorf(ConnectionsFull, "%d connections, the limit", n.admitted)
	case who.Node == 0 && len(same) >= n.limits.ConnectionsPerClient:
		return nil, errorf(ConnectionsFull, "%d connections of this client, the limit", len(same))
	case who.Node != 0 && len(same) >= n.limits.ConnectionsPerNode:
		same[0].fail(&Error{Reason: Replaced})
		same = slices.Clone(same[1:])
	}
	if who.Node == 0 {
		in.node = n.clientNumber()
		n.clients[in.node] = in
	}
	n.admitted++
	n.inbound[who.ID] = append(same, in)
	n.links[in.link] = struct{}{}
	return in, nil
}

// clientNumber is one that no connection has. They go round, so that an answer
// to a client that has gone does not reach the next one.
func (n *Net) clientNumber() proc.NodeID {
	for {
		c := n.nextClient
		n.nextClient = max(n.nextClient+1, ClientNodes) // the sum wraps to 0
		if n.clients[c] == nil {
			return c
		}
	}
}

// dismiss forgets a connection.
func (n *Net) dismiss(in *inbound) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.admitted--
	delete(n.links, in.link)
	if in.who.Node == 0 {
		delete(n.clients, in.node)
	}
	same := slices.DeleteFunc(slices.Clone(n.inbound[in.who.ID]), func(x *inbound) bool { return x == in })
	if len(same) == 0 {
		delete(n.inbound, in.who.ID)
	} else {
		n.inbound[in.who.ID] = same
	}
}

// receive handles one message of in's peer.
func (n *Net) receive(in *inbound, h header, frame []byte) error {
	from, to := proc.Addr{Node: in.node, Proc: h.from}, proc.Addr{Node: n.node, Proc: h.to}
	if in.who.Node == 0 && h.from != ClientProc {
		return errorf(BadMessage, "from process %d, a client is process %d", h.from, ClientProc)
	}
	if h.kind == kindReset {
		n.local.Broken(to, from)
		return nil
	}
	if in.who.Node == 0 && n.cfg.Inspect != nil {
		if err := n.cfg.Inspect(in.who, h.to, frame); err != nil {
			return &Error{Reason: BadFrame, Err: err}
		}
	}
	if !n.local.Deliver(from, in.who.ID, to, frame) {
		if !in.out.reset(h.to, h.from) {
			return errorf(RoutesFull, "%d resets wait to be sent, the limit", n.limits.Routes)
		}
		return nil
	}
	if r := (route{to, h.from}); r != in.last {
		if len(in.received) >= n.limits.Routes {
			if _, ok := in.received[r]; !ok {
				return errorf(RoutesFull, "%d pairs of processes, the limit", n.limits.Routes)
			}
		}
		in.received[r] = struct{}{}
		in.last = r
	}
	return nil
}
