package workloads

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// Retry says when a command is sent again: after Base, doubled for each further
// attempt, at most Max, all less up to a quarter that is drawn. At Deadline after
// the first attempt it is given up.
type Retry struct {
	Base, Max proc.Tick
	Deadline  proc.Tick
}

// resendMin keeps two attempts of one command from falling into one instant.
const resendMin = proc.Tick(1e6)

// Validate reports the first thing wrong with r.
func (r Retry) Validate() error {
	switch {
	case r.Base < resendMin:
		return fmt.Errorf("workloads: the first attempt's timeout is %d ns, want at least %d", r.Base, resendMin)
	case r.Max < r.Base:
		return errors.New("workloads: the longest backoff is shorter than the first")
	case r.Deadline <= 0 || r.Deadline > 1<<60:
		return fmt.Errorf("workloads: a deadline of %d ns", r.Deadline)
	}
	return nil
}

// After is the longest wait after an attempt, counted from 1.
func (r Retry) After(attempt int) proc.Tick {
	return core.Backoff(r.Base, r.Max, attempt)
}

func (r Retry) draw(rng *rand.Rand, attempt int) proc.Tick {
	d := r.After(attempt)
	return max(d-proc.Tick(rng.Int64N(int64(d/4)+1)), resendMin)
}

// A call is a command on its way.
type call struct {
	command  core.Command
	gateway  proc.Addr // of the last attempt
	attempts int
	sent     proc.Tick // last attempt
	due      proc.Tick // of the next
	deadline proc.Tick
}

func (c *call) matches(a *core.Answer) bool {
	return c.attempts > 0 && c.command.Number == a.Number && c.command.Kind == a.Kind && c.command.Session == a.Session
}

// wake is when the call needs attention.
func (c *call) wake() proc.Tick { return min(c.due, c.deadline) }

// A caller sends calls to one gateway of several until it disappoints.
type caller struct {
	gateways []proc.Addr
	at       int
	retry    Retry
	rand     *rand.Rand
	writer   wire.Writer
	out      *proc.Effects
}

// begin makes the first attempt.
func (l *caller) begin(now proc.Tick, c *call) {
	c.attempts, c.deadline = 0, now+l.retry.Deadline
	l.send(now, c)
}

// send makes an attempt. The frame leaves with flush.
func (l *caller) send(now proc.Tick, c *call) {
	c.gateway = l.gateways[l.at]
	c.attempts++
	c.sent = now
	c.due = now + l.retry.draw(l.rand, c.attempts)
	if l.writer.Bytes() > core.FrameBytesMax/2 || l.writer.Count() >= core.FrameCommandsMax {
		l.flush()
	}
	l.writer.Command(&c.command)
}

// flush sends what was written, to the gateway of the moment.
func (l *caller) flush() {
	if l.writer.Count() > 0 {
		l.out.Send(l.gateways[l.at], l.writer.Finish(wire.Commands))
	}
}

// leave turns to the next gateway, unless a call that was sent to another one
// complains.
func (l *caller) leave(g proc.Addr) {
	if len(l.gateways) > 1 && l.gateways[l.at] == g {
		l.flush()
		l.at = (l.at + 1) % len(l.gateways)
		l.out.Mark(markSwitched)
	}
}

// later puts the next attempt off after an answer that asks for it.
func (l *caller) later(now proc.Tick, c *call) {
	c.due = min(max(now, c.sent)+l.retry.draw(l.rand, c.attempts), c.sent+l.retry.Max)
	c.due = max(c.due, c.sent+resendMin)
}

// A reaction is what a caller makes of an answer.
type reaction uint8

const (
	settled reaction = iota // it ends the command
	retried                 // it does not: send it again, later
	lost                    // nobody will ever tell; its session is of no more use
)

// react classes an answer. A refusal at the door ends a command only if it
// depends on the command alone: the network may have delivered another copy,
// which any other circumstance may have let in.
func react(a *core.Answer) reaction {
	switch a.Status {
	case core.Accepted, core.Refused:
		return settled
	case core.RefusedAtDoor:
	default:
		return retried
	}
	switch a.Code {
	case core.CodeMalformed, core.CodeTooLarge, core.CodeUnknownType, core.CodeAppendForbidden, core.CodeNotPermitted:
		return settled
	case core.CodeNotFresh: // a read's
		return settled
	case core.CodeOverloaded, core.CodeNotLeader, core.CodeWrongShard, core.CodeDiskFull, core.CodeWindowFull, core.CodeSessionsFull:
		return retried
	}
	return lost
}

const (
	markSwitched   proc.Mark = "client.gateway-switched"
	markRetry      proc.Mark = "client.sent-again"
	markGaveUp     proc.Mark = "client.gave-up"
	markRenewed    proc.Mark = "client.session-renewed"
	markLost       proc.Mark = "client.session-lost"
	markDoor       proc.Mark = "client.refused-at-door"
	markRefused    proc.Mark = "client.refused"
	markBadState   proc.Mark = "client.state-unreadable"
	markStray      proc.Mark = "client.stray-answer"
	markReset      proc.Mark = "client.sent-again-after-reset"
	markCompacted  proc.Mark = "auditor.history-compacted"
	markPaged      proc.Mark = "auditor.history-in-pages"
	markAuditFails proc.Mark = "auditor.actor-given-up"
	markFenced     proc.Mark = "fences.raised"
)

// Marks lists the places of this package that tests want reached.
func Marks() []proc.Mark {
	return []proc.Mark{markSwitched, markRetry, markGaveUp, markRenewed, markLost, markDoor, markRefused, markBadState,
		markStray, markReset, markCompacted, markPaged, markAuditFails, markFenced}
}
