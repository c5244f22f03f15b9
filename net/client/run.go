package client

import (
	"slices"
	"time"

	"actordb/core"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// run keeps the client connected until it is closed.
func (c *Client) run(conn Link) {
	defer close(c.ended)
	failures := 0
	for {
		if conn != nil {
			began := time.Now()
			err := c.use(conn)
			if time.Since(began) > time.Duration(redialMax) {
				failures = 0
			}
			c.lost(err)
		}
		if failures > 0 && !c.sleep(pause(redialMin, redialMax, failures)) {
			return
		}
		failures++
		next, err := c.dial(c.ctx)
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			if next != nil {
				next.Close()
			}
			return
		}
		if conn = next; conn != nil {
			c.conn, c.broken = conn, nil
		} else {
			c.broken = err
		}
		c.mu.Unlock()
	}
}

func (c *Client) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.closing:
		return false
	}
}

// use writes to a connection, and has it read, until it ends.
func (c *Client) use(conn Link) error {
	var failed error
	read := make(chan struct{})
	go func() {
		defer close(read)
		failed = c.read(conn)
	}()
	silent := c.watch(conn, read)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		frame, wait := c.fill()
		if frame != nil {
			if conn.Send(c.ctx, tlsnet.GatewayProc, frame) != nil {
				break // Recv knows why
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-c.wake:
			continue
		case <-timer.C:
			continue
		case <-read:
		case <-c.closing:
		}
		break
	}
	conn.Close()
	<-read
	if <-silent {
		c.addr = (c.addr + 1) % len(c.cfg.Addrs)
		return ErrSilent
	}
	return failed
}

// watch closes a connection to a node that says nothing for too long, and tells
// whether it has when the reader has ended.
func (c *Client) watch(conn Link, read <-chan struct{}) <-chan bool {
	silent := make(chan bool, 1)
	go func() {
		for {
			left := c.patience()
			if left <= 0 {
				conn.Abort()
				silent <- true
				return
			}
			t := time.NewTimer(left)
			select {
			case <-t.C:
			case <-read:
				t.Stop()
				silent <- false
				return
			}
		}
	}()
	return silent
}

// patience is how much longer the node may say nothing though it was asked.
func (c *Client) patience() time.Duration {
	if c.cfg.Silence == 0 {
		return time.Hour
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked() == 0 {
		return c.cfg.Silence
	}
	return c.cfg.Silence - time.Since(c.heard)
}

// asked counts the calls that wait for an answer of the node.
// Statements count while they wait for their first reply.
func (c *Client) asked() int {
	n := c.taken - c.backlog.len() - c.queue.len() - len(c.delayed)
	for _, s := range c.asks {
		if s.next == 0 && !s.owes {
			n++
		}
	}
	return n
}

// fill makes a frame of what is to be written. If there is nothing, it says
// how long to wait for what is delayed.
func (c *Client) fill() (frame []byte, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = c.undelay()
	if c.asked() == 0 {
		c.heard = time.Now() // it owes nothing
	}
	if frame, left := c.fillAsks(); frame != nil {
		return frame, 0
	} else if left < wait {
		wait = left
	}
	w := &c.writer
	for c.queue.len() > 0 && w.Count() < core.FrameCommandsMax {
		call := c.queue.first()
		if w.Count() > 0 && w.Bytes()+call.bytes > frameBytes {
			break
		}
		c.queue.pop()
		call.Command.AckedBelow = call.lane.floor
		call.stage = sent
		call.attempts++
		w.Command(&call.Command)
	}
	if w.Count() == 0 {
		return nil, wait
	}
	return w.Finish(wire.Commands), 0
}

// commandBytes is what a command takes in a frame, at most.
func commandBytes(cmd *core.Command) int {
	n := len(cmd.Payload) + 512
	for i := range cmd.Events {
		n += len(cmd.Events[i].Payload) + len(cmd.Events[i].Personal) + 128
	}
	return n
}

// undelay queues the delayed calls that are due and returns how long the others
// have to wait.
func (c *Client) undelay() time.Duration {
	wait := time.Hour
	if len(c.delayed) == 0 {
		return wait
	}
	now := time.Now()
	c.delayed = slices.DeleteFunc(c.delayed, func(call *Call) bool {
		left := call.due.Sub(now)
		if left > 0 {
			wait = min(wait, left)
			return false
		}
		c.enqueue(call)
		return true
	})
	return wait
}

// later has a call sent again after a while.
func (c *Client) later(call *Call, now time.Time) {
	call.stage = delayed
	call.due = now.Add(pause(resendMin, resendMax, call.attempts))
	c.delayed = append(c.delayed, call)
	if len(c.delayed) == 1 {
		signal(c.wake) // run does not know of the time yet
	}
}

// lost has everything sent again on the next connection.
func (c *Client) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.broken = nil, err
	c.queue, c.delayed = fifo{}, nil
	for _, call := range c.open() {
		c.enqueue(call)
	}
	for _, s := range c.asks {
		s.owes, s.again = true, true
	}
}

// read takes what comes from a connection until it ends.
func (c *Client) read(conn Link) error {
	var done []*Call
	for {
		got, err := conn.Recv()
		if err != nil {
			return err
		}
		if got.Reset {
			c.again()
			continue
		}
		done, err = c.answers(got.Frame, done[:0])
		for _, call := range done {
			call.Done(call)
		}
		clear(done)
		if err != nil {
			return err
		}
	}
}

// again sends anew what may have been lost: what has no answer yet.
func (c *Client) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, call := range c.open() {
		if call.stage == sent {
			c.later(call, now)
		}
	}
	for _, s := range c.asks {
		s.owes, s.again = true, true
		signal(c.wake)
	}
}

// answers settles the calls that a frame answers.
func (c *Client) answers(frame []byte, done []*Call) ([]*Call, error) {
	r, err := wire.Open(frame)
	if err != nil {
		return done, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = time.Now()
	if r.Kind == wire.Replies {
		return done, c.replies(&r)
	}
	if r.Kind != wire.Answers {
		return done, wire.ErrFrame
	}
	var a core.Answer
	var l *lane // of the answer before
	for r.Answer(&a) {
		if l == nil || l.id != a.Session {
			if l = c.find(a.Session); l == nil {
				continue // of a call that was given up
			}
		}
		call := l.find(a.Number)
		if call == nil || call.Command.Kind != a.Kind || call.attempts == 0 {
			continue
		}
		if c.answered(call, &a) {
			done = append(done, call)
		}
	}
	return done, r.Err()
}

func (c *Client) find(id core.SessionID) *lane {
	for _, l := range c.lanes {
		if l.id == id {
			return l
		}
	}
	return nil
}

// answered settles a call, or has it sent again, and reports whether it has ended.
func (c *Client) answered(call *Call, a *core.Answer) bool {
	switch react(a) {
	case repeat:
		if call.stage == sent {
			call.code = a.Code
			c.later(call, time.Now())
		}
		return false
	case lost:
		call.code = a.Code
		c.retire(call.lane)
		call.Err = c.unanswered(call, nil)
	case refused:
		call.Err = &Refused{Actor: call.Command.Actor, Status: a.Status, Code: a.Code, Detail: a.Detail, Seq: a.Seq}
	}
	call.Answer = *a
	c.token = max(c.token, a.Timestamp)
	c.drop(call)
	c.settle(call)
	return true
}

// drop takes a call that is to be sent again out of what waits for that: a late
// answer came first.
func (c *Client) drop(call *Call) {
	switch call.stage {
	case queued:
		c.queue.remove(call)
	case delayed:
		c.delayed = slices.DeleteFunc(c.delayed, func(x *Call) bool { return x == call })
	}
}

// A reaction is what to make of an answer.
type reaction uint8

const (
	accepted reaction = iota
	refused           // for good
	repeat            // it may be accepted a little later
	lost              // nobody will ever tell
)

// react classes an answer. A refusal at the door ends a command that changes
// something only if it depends on the command alone: a copy that the cluster
// repeated may have been let in, whatever this one was told.
func react(a *core.Answer) reaction {
	switch a.Status {
	case core.Accepted:
		return accepted
	case core.Refused:
		return refused
	case core.RefusedAtDoor:
	default:
		return repeat
	}
	switch {
	case a.Code.Transient(), a.Code == core.CodeWindowFull, a.Code == core.CodeSessionsFull:
		return repeat
	case a.Code.Final(), !a.Kind.Changes():
		return refused
	}
	return lost
}
