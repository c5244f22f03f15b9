package client

import (
	crand "crypto/rand"
	"slices"
	"time"

	"actordb/core"
	"actordb/net/wire"
)

// statement is one of SQL on its way. The client's lock guards it; what it brings is
// taken by one goroutine.
type statement struct {
	ask    wire.Ask // as it was asked
	next   uint64   // of the replies, received
	used   uint64   // taken by the caller
	told   uint64   // of these, the node knows
	queue  []reply
	bytes  int // of the queue's and of those taken since the node was told
	owes   bool
	again  bool
	due    time.Time // of the next word if nothing comes
	ended  bool      // nothing comes any more
	err    error     // why, if not by a reply
	signal chan struct{}
}

// reply keeps the frame that it came in.
type reply struct {
	wire.Reply
	bytes int
}

const (
	// askWindow is how much of an answer may be under way.
	askWindow = 1 << 20
	// askEvery is how often the node hears that its client is there, well within what
	// it waits for (core/query: Limits.Idle).
	askEvery = 3 * time.Second
	// askFirst is how long the first reply to a statement may take until it is sent again.
	askFirst = time.Second
)

// begin starts a statement.
func (c *Client) begin(a wire.Ask) (*statement, error) {
	crand.Read(a.ID[:]) // documented never to fail
	a.Op, a.Window = max(a.Op, wire.Run), askWindow
	s := &statement{ask: a, owes: true, signal: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if !a.Exact {
		s.ask.AtLeast = max(a.AtLeast, c.token)
	}
	c.asks = append(c.asks, s)
	signal(c.wake)
	return s, nil
}

// end ends a statement without a reply.
func (s *statement) end(err error) {
	s.ended, s.err = true, err
	signal(s.signal)
}

// fillAsks makes a frame of what statements have to say, or tells when they will.
func (c *Client) fillAsks() (frame []byte, wait time.Duration) {
	wait = time.Hour
	if len(c.asks) == 0 {
		return nil, wait
	}
	var w wire.Writer
	now := time.Now()
	for _, s := range c.asks {
		late := !now.Before(s.due)
		if !s.owes && !late {
			wait = min(wait, s.due.Sub(now))
			continue
		}
		if w.Count() > 0 && w.Bytes()+len(s.ask.Text) > frameBytes {
			wait = 0
			break
		}
		if s.next == 0 {
			w.Ask(&s.ask)
			s.due = now.Add(askFirst)
		} else {
			w.Ask(&wire.Ask{ID: s.ask.ID, Op: wire.More, Next: s.used, Window: askWindow, Again: s.again || late && len(s.queue) == 0})
			s.due, s.told, s.bytes = now.Add(askEvery), s.used, bytesOf(s.queue)
		}
		s.owes, s.again = false, false
	}
	if w.Count() == 0 {
		return nil, wait
	}
	return w.Finish(wire.Asks), 0
}

func bytesOf(list []reply) (n int) {
	for i := range list {
		n += list[i].bytes
	}
	return n
}

// replies hands out what a frame brings.
func (c *Client) replies(r *wire.Reader) error {
	var p wire.Reply
	for r.Reply(&p) {
		i := slices.IndexFunc(c.asks, func(s *statement) bool { return s.ask.ID == p.ID })
		if i < 0 {
			continue // of one that was given up
		}
		switch s := c.asks[i]; {
		case s.ended || p.Number < s.next:
		case p.Number > s.next:
			s.owes, s.again = true, true
			signal(c.wake)
		default:
			s.next++
			n := len(p.Batch) + len(p.Weights) + 64
			s.queue = append(s.queue, reply{p, n})
			s.bytes += n
			s.due = time.Now().Add(askEvery)
			s.ended = p.What == wire.ReplyDone || p.What == wire.ReplyError
			signal(s.signal)
		}
	}
	return r.Err()
}

// take returns the next reply if there is one.
func (c *Client) take(s *statement) (p reply, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(s.queue) == 0 {
		if s.ended {
			err = s.err
		}
		return p, false, err
	}
	p = s.queue[0]
	s.queue[0] = reply{}
	s.queue = s.queue[1:]
	s.used++
	// The node's window may be smaller than the one that was asked for: who has nothing
	// left says so.
	if len(s.queue) == 0 || s.bytes-bytesOf(s.queue) >= askWindow/2 {
		s.owes = true
		signal(c.wake)
	}
	return p, true, nil
}

// leave forgets a statement, and tells the node so.
func (c *Client) leave(s *statement) {
	c.mu.Lock()
	at := slices.Index(c.asks, s)
	if at < 0 {
		c.mu.Unlock()
		return
	}
	c.asks = slices.Delete(c.asks, at, at+1)
	s.end(ErrClosed)
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		var w wire.Writer
		w.Ask(&wire.Ask{ID: s.ask.ID, Op: wire.Cancel})
		// If it is lost, the node gives the statement up by itself.
		_ = conn.Send(c.ctx, gatewayProc, w.Finish(wire.Asks))
	}
}

// seen notes a cut: what is asked later reads at it or after it.
func (c *Client) seen(cut core.Timestamp) {
	c.mu.Lock()
	c.token = max(c.token, cut)
	c.mu.Unlock()
}

// Token is the time of the newest answer that the client has seen: an answer at a
// cut at or after it shows what that one did.
func (c *Client) Token() core.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}
