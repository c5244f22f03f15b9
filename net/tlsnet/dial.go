package tlsnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"actordb/core"
	"actordb/core/proc"
)

// connect dials, shakes hands and says hello. self is 0 for a client; want is
// the node that must answer, 0 for any.
func connect(ctx context.Context, addr string, p *policy, self, want proc.NodeID, limits *Limits) (*tls.Conn, Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.HandshakeTimeout)
	defer cancel()
	fail := func(err error, r Reason) (*tls.Conn, Identity, error) {
		e := asError(err, r)
		e.Place = addr
		return nil, Identity{}, e
	}
	if _, err := p.own(); err != nil {
		return fail(err, OwnCertificate)
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fail(err, Unreachable)
	}
	deadline, _ := ctx.Deadline()
	raw.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn := tls.Client(raw, p.clientConfig())
	who, err := introduce(ctx, conn, p, self, want)
	if !stop() && err == nil {
		err = errorf(HandshakeSlow, "%v", context.Cause(ctx))
	}
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			err = &Error{Reason: HandshakeSlow, Err: err}
		}
		return fail(err, HandshakeFailed)
	}
	raw.SetDeadline(time.Time{})
	return conn, who, nil
}

// introduce is the dialer's part of handshake and hello.
func introduce(ctx context.Context, conn *tls.Conn, p *policy, self, want proc.NodeID) (Identity, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return Identity{}, refused(err, HandshakeFailed)
	}
	who, err := met(conn)
	if err != nil {
		return Identity{}, err
	}
	if who.Node == 0 || want != 0 && who.Node != want {
		e := errorf(WrongNode, "want %s", NodeID(p.domain.Name(), want))
		e.Peer = who.ID
		return Identity{}, e
	}
	speaks := core.Spoken()
	if self != 0 {
		speaks = p.speaks(who)
	}
	if _, err := conn.Write(hello{speaks: speaks, node: self, other: want}.append(nil)); err != nil {
		return Identity{}, refused(err, Lost)
	}
	var b [helloBytes]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return Identity{}, refused(err, Lost)
	}
	h, err := readHello(b[:], speaks)
	switch {
	case err != nil:
		return Identity{}, err
	case h.refusal != 0:
		return Identity{}, &Error{Reason: h.refusal, Peer: who.ID, Detail: "says the peer"}
	case h.node != who.Node || h.other != self:
		return Identity{}, errorf(BadHello, "node %d answers as %d to %d", who.Node, h.node, h.other)
	}
	return who, nil
}

// refused finds out whether the peer sent an alert. In TLS 1.3 a server judges
// the client's certificate after the client's handshake has ended.
func refused(err error, otherwise Reason) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return &Error{Reason: Refused, Err: err}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return asError(err, HandshakeSlow)
	}
	return asError(err, otherwise)
}

// A Dialer makes connections for a client. Zero fields take defaults.
type Dialer struct {
	Source Source
	Node   proc.NodeID // that must answer; 0: any
	Limits Limits
	Now    func() time.Time
}

// A Conn is a client's connection to a node. Send and Recv may be called at the
// same time; each by any number of goroutines.
type Conn struct {
	link    *link
	stats   stats
	limits  Limits
	closing chan struct{}
	wrote   chan struct{}
	once    sync.Once
	recv    sync.Mutex
	expiry  *time.Timer // of the node's certificate
}

// Received is a frame from a process of the node, or the news that frames from
// it or to it were lost.
type Received struct {
	From  uint32
	Reset bool
	Frame []byte
}

// Dial connects a client to a node at addr.
func Dial(ctx context.Context, addr string, source Source) (*Conn, error) {
	return (&Dialer{Source: source}).Dial(ctx, addr)
}

// Dial connects to a node at addr. Its errors are of type *Error.
func (d *Dialer) Dial(ctx context.Context, addr string) (*Conn, error) {
	c := &Conn{limits: d.Limits.withDefaults(), closing: make(chan struct{}), wrote: make(chan struct{})}
	if err := c.limits.validate(); err != nil {
		return nil, err
	}
	p, self, err := newPolicy(d.Source, d.Now, nil)
	if err != nil {
		return nil, err
	}
	if self.Client == "" {
		return nil, errorf(OwnCertificate, "%s is no client", self.ID)
	}
	conn, who, err := connect(ctx, addr, p, 0, d.Node, &c.limits)
	if err != nil {
		return nil, err
	}
	out := newQueue(0, c.limits.ClientQueueFrames, c.limits.ClientQueueBytes, c.limits.Routes, nil)
	c.link = newLink(conn, who, x509.ExtKeyUsageServerAuth, out, &c.limits, &c.stats, nil, c.closing)
	c.link.bye = true
	c.expiry = time.AfterFunc(c.link.chain[0].NotAfter.Sub(p.now()), func() {
		c.link.fail(&Error{Reason: Expired, Detail: "while connected"})
	})
	go func() {
		defer close(c.wrote)
		if err := c.link.write(); err != nil && err != errFlushed && err != errBye {
			c.link.fail(err)
		}
	}()
	return c, nil
}

// Node is who answered.
func (c *Conn) Node() Identity { return c.link.who }

// Send queues a frame for a process of the node and gives its bytes away. It
// waits while the queue is full. That it returns nil does not say that the frame
// arrived.
func (c *Conn) Send(ctx context.Context, to uint32, frame []byte) error {
	if len(frame) > frameBytesMax {
		return c.link.place(errorf(Oversize, "a frame of %d bytes, the limit is %d", len(frame), frameBytesMax))
	}
	for {
		select {
		case <-c.closing:
			return c.link.place(&Error{Reason: Closed})
		case <-c.link.ctx.Done():
			return c.cause()
		default:
		}
		r := c.link.out.push(proc.Addr{Proc: ClientProc}, to, frame)
		switch r {
		case 0:
			signal(c.link.out.room) // there may be some left for others who wait
			return nil
		case QueueFull:
		default:
			return c.link.place(&Error{Reason: r})
		}
		select {
		case <-c.link.out.room:
		case <-c.closing:
		case <-c.link.ctx.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cause is why the connection has ended.
func (c *Conn) cause() error {
	err := context.Cause(c.link.ctx)
	if err == errFlushed || err == errBye {
		err = &Error{Reason: Closed}
	}
	return c.link.place(err)
}

// Recv waits for the next frame or reset. It must be called again and again: a
// client that does not read is disconnected after WriteTimeout. After an error
// the connection is of no more use.
func (c *Conn) Recv() (Received, error) {
	c.recv.Lock()
	defer c.recv.Unlock()
	h, frame, err := c.link.reader.next()
	switch {
	case err != nil:
	case h.to != ClientProc:
		err = errorf(BadMessage, "to process %d, a client is process %d", h.to, ClientProc)
	default:
		return Received{From: h.from, Reset: h.kind == kindReset, Frame: frame}, nil
	}
	c.link.fail(err)
	return Received{}, c.cause()
}

// Abort ends the connection at once: the node is believed to be gone, and waiting for
// it to take what is queued would be in vain. Close is still to be called.
func (c *Conn) Abort() { c.link.fail(errFlushed) }

// Close sends what is queued, for at most FlushTimeout, and ends the
// connection. Recv may go on until the node has closed its end.
func (c *Conn) Close() error {
	c.once.Do(func() {
		late := time.AfterFunc(c.limits.FlushTimeout, func() { c.link.fail(errFlushed) })
		defer late.Stop()
		close(c.closing)
		<-c.wrote
		end := errFlushed
		c.link.reader.ending.Store(&end)
		if c.link.conn.CloseWrite() == nil {
			for {
				if _, err := c.Recv(); err != nil {
					break
				}
			}
		}
		c.link.fail(errFlushed)
		c.expiry.Stop()
	})
	return nil
}
