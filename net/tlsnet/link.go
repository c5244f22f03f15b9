package tlsnet

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// link is one admitted connection.
type link struct {
	conn   *tls.Conn
	chain  []*x509.Certificate // the peer's
	raw    net.Conn
	who    Identity
	usage  x509.ExtKeyUsage // what the peer's certificate must be for
	out    *queue
	limits *Limits
	stats  *stats

	// renew is when the connection is to be replaced; zero: never.
	renew time.Duration
	// bye is said when closing: the peer need not wonder.
	bye bool
	// closing asks for an orderly end.
	closing <-chan struct{}

	parting chan Reason     // what to tell the peer before the link fails
	ctx     context.Context // done when the link has failed
	cancel  context.CancelCauseFunc
	once    sync.Once
	read    chan struct{} // closed when the reader has ended

	reader reader
}

// Ends in order.
var (
	errFlushed = errors.New("tlsnet: closed in order")
	errRenewed = errors.New("tlsnet: renewed")
	errBye     = errors.New("tlsnet: the peer closed it in order")
	errParted  = errors.New("tlsnet: the peer was told why")
)

func newLink(conn *tls.Conn, who Identity, usage x509.ExtKeyUsage, out *queue, limits *Limits, st *stats, assembly *semaphore.Weighted, closing <-chan struct{}) *link {
	l := &link{conn: conn, parting: make(chan Reason, 1), read: make(chan struct{}), chain: conn.ConnectionState().PeerCertificates, raw: conn.NetConn(), who: who, usage: usage, out: out, limits: limits, stats: st, closing: closing}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.reader = reader{ctx: l.ctx, conn: conn, buf: bufio.NewReaderSize(conn, readBytes), limits: limits, stats: st, assembly: assembly, byes: make(chan struct{})}
	return l
}

// fail ends the link at once. The first error counts.
func (l *link) fail(err error) {
	l.once.Do(func() {
		l.cancel(err)
		l.raw.Close()
	})
}

// place puts into an error whose link it was.
func (l *link) place(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	placed := *e
	placed.Place, placed.Peer = l.raw.RemoteAddr().String(), l.who.ID
	return &placed
}

// run reads and writes until the link ends, and returns why: errFlushed,
// errRenewed, errBye or an *Error. handle is called for each message, from one goroutine.
func (l *link) run(handle func(header, []byte) error) error {
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		switch err := l.write(); err {
		case nil:
		case errParted:
		case errFlushed, errRenewed, errBye:
			l.finish(err)
		default:
			l.fail(err)
		}
	}()
	err := l.reader.loop(handle)
	close(l.read)
	if err == errBye { // the peer waits for ours
		<-wrote
	}
	l.part(err, wrote)
	l.fail(err)
	<-wrote
	l.reader.release()
	return l.place(context.Cause(l.ctx))
}

// part tells a peer that did not keep the protocol so, if it can be told at once.
func (l *link) part(err error, wrote <-chan struct{}) {
	var e *Error
	if !errors.As(err, &e) || e.Reason != BadMessage && e.Reason != Oversize && e.Reason != RoutesFull && e.Reason != BadFrame {
		return
	}
	l.parting <- e.Reason
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case <-wrote:
		drain(l.raw)
	case <-patience.C:
	}
}

// finish tells the peer that nothing more comes, and gives it time to read all
// and close its end. Until then the reader goes on: bytes that nobody reads would
// turn the end into a reset, which loses what is still under way.
func (l *link) finish(end error) {
	l.raw.SetWriteDeadline(time.Now().Add(l.limits.FlushTimeout))
	l.reader.ending.Store(&end)
	if l.conn.CloseWrite() == nil {
		patience := time.NewTimer(l.limits.FlushTimeout)
		defer patience.Stop()
		select {
		case <-l.ctx.Done():
			return
		case <-l.read: // it knows best
			return
		case <-patience.C:
		}
	}
	if end == errRenewed { // without the peer's bye one cannot know what it read
		l.fail(errorf(Silent, "no answer to a bye"))
	} else {
		l.fail(end)
	}
}

// write sends what is queued. It returns errFlushed, errRenewed or errBye when
// the peer has been told that all is done, nil when the link failed elsewhere.
func (l *link) write() error {
	ping := time.NewTimer(l.limits.PingEvery)
	defer ping.Stop()
	var renew <-chan time.Time
	if l.renew > 0 {
		t := time.NewTimer(l.renew)
		defer t.Stop()
		renew = t.C
	}
	var batch []item
	for {
		select {
		case <-renew:
			return l.writeBye(errRenewed)
		case reason := <-l.parting:
			return l.writeParting(reason)
		case <-l.ctx.Done():
			return nil
		default:
		}
		batch = l.out.take(batch)
		if len(batch) > 0 {
			err := l.writeBatch(batch)
			clear(batch)
			if err != nil {
				return err
			}
			ping.Reset(l.limits.PingEvery)
			continue
		}
		select {
		case <-l.out.wake:
		case <-l.closing:
			if !l.out.empty() {
				continue
			}
			if l.bye {
				return l.writeBye(errFlushed)
			}
			return errFlushed
		case <-l.ctx.Done():
			return nil
		case <-renew:
			return l.writeBye(errRenewed)
		case reason := <-l.parting:
			return l.writeParting(reason)
		case <-l.reader.byes:
			if l.out.empty() {
				return l.writeBye(errBye)
			}
		case <-ping.C:
			if err := l.writeBytes(header{kind: kindPing}.append(nil)); err != nil {
				return err
			}
			ping.Reset(l.limits.PingEvery)
		}
	}
}

func (l *link) writeBye(end error) error {
	l.reader.ending.Store(&end) // before the answer can come
	if err := l.writeBytes(header{kind: kindBye}.append(nil)); err != nil {
		return err
	}
	return end
}

func (l *link) writeParting(reason Reason) error {
	if err := l.writeBytes(header{kind: kindBye, from: uint32(reason)}.append(nil)); err != nil {
		return err
	}
	return errParted
}

var stages = sync.Pool{New: func() any { return new([stageBytes]byte) }}

// writeBatch writes messages, as many as fit at a time.
func (l *link) writeBatch(batch []item) (err error) {
	stage := stages.Get().(*[stageBytes]byte)
	defer stages.Put(stage)
	b := stage[:0]
	frames, bytes := 0, int64(0) // in b
	left := batch
	defer func() { // what was not written gives its room back all the same
		for i := range left {
			if left[i].head.kind == kindFrame {
				frames++
				bytes += left[i].size()
			}
		}
		l.out.done(frames, bytes)
	}()
	for i := range batch {
		it := &batch[i]
		b, err = l.stage(b, it)
		left = batch[i+1:]
		if it.head.kind == kindFrame {
			frames++
			bytes += it.size()
		}
		if err != nil {
			return err
		}
		if len(b) == 0 { // all of it is written
			l.out.done(frames, bytes)
			l.stats.sent(frames, bytes)
			frames, bytes = 0, 0
		}
	}
	if err = l.writeBytes(b); err == nil {
		l.stats.sent(frames, bytes)
	}
	return err
}

// stage copies a message into b and writes b whenever it is full.
func (l *link) stage(b []byte, it *item) ([]byte, error) {
	if len(b)+headerBytes > stageBytes {
		if err := l.writeBytes(b); err != nil {
			return b, err
		}
		b = b[:0]
	}
	b = it.head.append(b)
	for rest := it.frame; ; {
		n := copy(b[len(b):stageBytes], rest)
		b, rest = b[:len(b)+n], rest[n:]
		if len(b) == stageBytes {
			if err := l.writeBytes(b); err != nil {
				return b, err
			}
			b = b[:0]
		}
		if len(rest) == 0 {
			return b, nil
		}
	}
}

// writeBytes hands b to TLS. A peer that reads nothing of it in time is given up.
func (l *link) writeBytes(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	l.raw.SetWriteDeadline(time.Now().Add(l.limits.WriteTimeout))
	_, err := l.conn.Write(b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Reason: WriteSlow, Err: err}
	}
	return &Error{Reason: Lost, Err: err}
}

// reader takes messages from a connection.
type reader struct {
	ctx      context.Context
	conn     net.Conn
	buf      *bufio.Reader
	limits   *Limits
	stats    *stats
	assembly *semaphore.Weighted   // or nil
	held     int64                 // of assembly
	bye      bool                  // the peer has said it,
	byes     chan struct{}         // and closed this
	ending   atomic.Pointer[error] // why our own end has finished; nil: it has not
}

func (r *reader) loop(handle func(header, []byte) error) error {
	for {
		h, frame, err := r.next()
		if err == nil {
			err = handle(h, frame)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) release() {
	if r.held > 0 {
		r.assembly.Release(r.held)
		r.held = 0
	}
}

// next returns the next frame or reset.
func (r *reader) next() (header, []byte, error) {
	r.release()
	for {
		h, err := r.header()
		if err != nil {
			return header{}, nil, err
		}
		switch h.kind {
		case kindPing:
		case kindBye:
			if h.from != 0 {
				return header{}, nil, &Error{Reason: Reason(h.from), Detail: "says the peer"}
			}
			if !r.bye {
				r.bye = true
				close(r.byes)
			}
		case kindReset:
			return h, nil, nil
		case kindFrame:
			frame, err := r.frame(int(h.bytes))
			return h, frame, err
		}
	}
}

func (r *reader) header() (header, error) {
	if r.buf.Buffered() < headerBytes {
		r.conn.SetReadDeadline(time.Now().Add(r.limits.IdleTimeout))
	}
	b, err := r.buf.Peek(headerBytes)
	if err != nil {
		return header{}, r.broken(err, len(b) > 0, Silent)
	}
	h, err := readHeader(b)
	if err != nil {
		return header{}, err
	}
	r.buf.Discard(headerBytes)
	return h, nil
}

// frame reads n bytes. Memory for those that are still to come is taken from
// the assembly's share first.
func (r *reader) frame(n int) ([]byte, error) {
	if missing := n - r.buf.Buffered(); missing > 0 {
		if r.assembly != nil {
			if err := r.assembly.Acquire(r.ctx, int64(n)); err != nil {
				return nil, context.Cause(r.ctx)
			}
			r.held = int64(n)
		}
		r.conn.SetReadDeadline(time.Now().Add(r.limits.FrameTimeout))
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r.buf, frame); err != nil {
		return nil, r.broken(err, true, FrameSlow)
	}
	r.stats.received(n)
	return frame, nil
}

// broken says what an error of reading means.
func (r *reader) broken(err error, within bool, late Reason) error {
	end := r.ending.Load()
	eof := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case end != nil && eof && !within && (*end != errRenewed || r.bye):
		return *end
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Reason: late, Err: err}
	case eof && within:
		return &Error{Reason: Truncated, Err: io.ErrUnexpectedEOF}
	case eof && r.bye:
		return errBye
	case eof:
		return &Error{Reason: Lost, Detail: "the peer closed it"}
	}
	return &Error{Reason: Lost, Err: err}
}
