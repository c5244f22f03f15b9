package primarybackup

import (
	"fmt"
	"time"

	"actordb/core/proc"
)

// An Entry of a history is one answer that a client got.
type Entry struct {
	At    time.Duration // on the client's clock
	Read  bool
	Value uint64
}

// A Client writes 1, 2, 3, … to the primary, one at a time. When an answer is
// overdue it gives the primary up for good and reads from the backup.
type Client struct {
	Primary, Backup proc.Addr
	History         *[]Entry

	next     uint64
	tries    int
	failover bool
}

const (
	retryAfter = proc.Tick(20 * time.Millisecond)
	triesMax   = 3
	timer      = proc.TimerID(1)
)

// Step implements proc.Process.
func (c *Client) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		c.next = 1
		c.ask(now, out)
	case proc.Timer:
		c.tries++
		c.failover = c.failover || c.tries >= triesMax
		c.ask(now, out)
	case proc.Message:
		switch kind, n, value, _ := parse(in.Frame); {
		case n != c.next: // late, or cut short
		case kind == written && !c.failover:
			c.answered(now, Entry{Value: n}, out)
		case kind == shown && c.failover:
			c.answered(now, Entry{Value: value, Read: true}, out)
		}
	}
}

func (c *Client) answered(now proc.Now, e Entry, out *proc.Effects) {
	e.At = time.Duration(now.Mono)
	*c.History = append(*c.History, e)
	c.next++
	c.tries = 0
	c.ask(now, out)
}

// ask sends the request numbered next. A repeated one does no harm.
func (c *Client) ask(now proc.Now, out *proc.Effects) {
	if c.failover {
		out.Send(c.Backup, frame(read, c.next))
	} else {
		out.Send(c.Primary, frame(write, c.next))
	}
	out.SetTimer(timer, now.Mono+retryAfter)
}

// Check tells whether a history of one client is that of a register: a read
// never shows less than what was written, or read, before.
func Check(history []Entry) error {
	var most Entry
	for _, e := range history {
		if e.Read && e.Value < most.Value {
			return fmt.Errorf("at %v a read shows %d, but %d was answered at %v", e.At, e.Value, most.Value, most.At)
		}
		if e.Value > most.Value {
			most = e
		}
	}
	return nil
}
