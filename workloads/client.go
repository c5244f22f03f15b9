package workloads

import (
	"errors"
	"fmt"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// ClientConfig of a client. Start from DefaultClientConfig.
type ClientConfig struct {
	Workload   string
	Clients    int // in all, so that they can share out the actors
	Gateways   []proc.Addr
	Operations int // over all incarnations; 0: until stopped
	Pipeline   int // operations at once

	// Between operations a client pauses for a time drawn from this range.
	ThinkMin, ThinkMax proc.Tick

	Retry           Retry
	SessionLifetime core.Timestamp

	// Levels draws how new what a read returns must be; else all are linearizable.
	Levels bool
}

const (
	pipelineMax        = 1024
	sessionLifetimeMin = core.Timestamp(1e6)
)

// DefaultClientConfig suits a local network.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{
		Workload: MixedWorkload, Clients: 1, Pipeline: 1,
		ThinkMin: 1e6, ThinkMax: 20e6,
		Retry:           Retry{Base: 250e6, Max: 2e9, Deadline: 20e9},
		SessionLifetime: 60e9,
	}
}

// Validate reports the first thing wrong with c.
func (c *ClientConfig) Validate() error {
	if list, err := Select(c.Workload); err != nil || len(list) != 1 {
		return errors.Join(fmt.Errorf("workloads: a client has one workload, not %q", c.Workload), err)
	}
	switch {
	case len(c.Gateways) == 0:
		return errors.New("workloads: a client without gateways")
	case c.Clients <= 0 || c.Operations < 0:
		return fmt.Errorf("workloads: %d clients, %d operations", c.Clients, c.Operations)
	case c.Pipeline <= 0 || c.Pipeline > pipelineMax:
		return fmt.Errorf("workloads: %d operations at once, want 1 to %d", c.Pipeline, pipelineMax)
	case c.ThinkMin < 0 || c.ThinkMax < c.ThinkMin || c.ThinkMax > 1<<60:
		return fmt.Errorf("workloads: pauses from %d to %d ns", c.ThinkMin, c.ThinkMax)
	case c.SessionLifetime < sessionLifetimeMin || c.SessionLifetime > core.SessionLifetimeMax/2:
		return fmt.Errorf("workloads: sessions of %d ns, want %d to %d", c.SessionLifetime, sessionLifetimeMin, core.SessionLifetimeMax/2)
	}
	return c.Retry.Validate()
}

// A lane carries out one operation at a time. Its timer is the pause before
// the next one, or else when the present one needs attention.
type lane struct {
	call
	op   int // in the record, or idle
	rush bool
}

const idle = -1

// A Client is a process that carries out a workload and records what comes of
// it. It implements proc.Process.
type Client struct {
	cfg      ClientConfig
	link     caller
	record   *Recorder
	control  *Control
	generate *Generator
	session  session
	reads    core.CommandNumber
	token    core.Timestamp // of the newest answer that tells of an actor
	lanes    []lane
	planned  Planned
}

// NewClient makes an incarnation of the client that the recorder belongs to.
// The config must be valid.
func NewClient(cfg ClientConfig, env proc.Env, record *Recorder, control *Control) *Client {
	core.Assert(cfg.Validate() == nil, "invalid config: %v", cfg.Validate())
	record.begin()
	c := &Client{cfg: cfg, record: record, control: control,
		link:     caller{gateways: cfg.Gateways, at: record.client % len(cfg.Gateways), retry: cfg.Retry, rand: env.Rand},
		generate: must(NewGenerator(cfg.Workload, env.Rand, record.client, cfg.Clients)),
		session:  session{lifetime: cfg.SessionLifetime, rand: env.Rand},
		lanes:    make([]lane, cfg.Pipeline)}
	for i := range c.lanes {
		c.lanes[i].op = idle
	}
	return c
}

// Step implements proc.Process.
func (c *Client) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	c.link.out = out
	switch in.Kind {
	case proc.Start:
		for i := range c.lanes {
			c.pause(now, i)
		}
	case proc.Timer:
		if i := int(in.Timer); i < len(c.lanes) {
			c.timer(now, i)
		}
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) { c.answer(now, a) })
	case proc.Reset:
		c.reset(now, in.From)
	}
	c.link.flush()
	c.link.out = nil
}

// pause sets the lane's timer for its next operation.
func (c *Client) pause(now proc.Now, i int) {
	l := &c.lanes[i]
	wait := proc.Tick(0)
	if !l.rush {
		wait = c.cfg.ThinkMin + proc.Tick(c.link.rand.Int64N(int64(c.cfg.ThinkMax-c.cfg.ThinkMin)+1))
	}
	c.link.out.SetTimer(proc.TimerID(i), now.Mono+wait)
}

func (c *Client) timer(now proc.Now, i int) {
	l := &c.lanes[i]
	switch {
	case l.op == idle:
		if !c.control.Stopped() && (c.cfg.Operations == 0 || c.record.Issued() < c.cfg.Operations) {
			c.invoke(now, i)
		}
		return
	case now.Mono >= l.deadline:
		c.link.out.Mark(markGaveUp)
		c.settle(now, i, &core.Answer{Status: core.Unknown, Code: core.CodeTimeout})
		return
	case now.Mono >= l.due:
		c.link.leave(l.gateway)
		c.again(now, i)
	}
	c.arm(i)
}

func (c *Client) arm(i int) { c.link.out.SetTimer(proc.TimerID(i), c.lanes[i].wake()) }

// invoke begins the lane's next operation.
func (c *Client) invoke(now proc.Now, i int) {
	l := &c.lanes[i]
	if c.session.ensure(now) {
		c.link.out.Mark(markRenewed)
	}
	c.planned = c.generate.Next(c.record.Issued(), c.session.clock(now))
	l.command, l.rush = c.planned.Command, c.planned.Rush
	l.command.Session = c.session.id
	if l.command.Kind.Changes() {
		l.command.Number = c.session.number()
	} else {
		c.reads++
		l.command.Number = c.reads
		if c.cfg.Levels {
			c.freshness().Ask(&l.command)
		}
	}
	c.planned.Command = l.command
	l.op = c.record.invoke(&c.planned)
	l.command.AckedBelow = c.floor(l)
	c.link.begin(now.Mono, &l.call)
	c.arm(i)
}

// maxAges are those of stale reads.
var maxAges = []core.Timestamp{0, 20e6, 200e6, 2e9, 10e9}

// freshness draws a read's.
func (c *Client) freshness() (f core.Freshness) {
	switch draw := c.link.rand.IntN(100); {
	case draw < 40:
	case draw < 50:
		f.Level = core.FromLeader
	case draw < 75:
		f = core.Freshness{Level: core.Stale, MaxAge: maxAges[c.link.rand.IntN(len(maxAges))]}
	case c.token > 0:
		f = core.Freshness{Level: core.AtToken, Token: c.token}
	}
	return f
}

// floor is the lowest number that is not settled of the lane's session: those
// below will not be sent again.
func (c *Client) floor(l *lane) core.CommandNumber {
	if !l.command.Kind.Changes() {
		return 0
	}
	lowest := l.command.Number
	for i := range c.lanes {
		if o := &c.lanes[i]; o.op != idle && o.command.Kind.Changes() && o.command.Session == l.command.Session {
			lowest = min(lowest, o.command.Number)
		}
	}
	return lowest
}

// again makes a further attempt.
func (c *Client) again(now proc.Now, i int) {
	l := &c.lanes[i]
	l.command.AckedBelow = c.floor(l)
	c.link.out.Mark(markRetry)
	c.link.send(now.Mono, &l.call)
	c.record.again(l.op)
}

// reset sends again at once what may have been lost with a connection.
func (c *Client) reset(now proc.Now, from proc.Addr) {
	c.link.leave(from)
	for i := range c.lanes {
		l := &c.lanes[i]
		switch {
		case l.op == idle || l.gateway != from || now.Mono >= l.deadline:
			continue
		case now.Mono < l.sent+resendMin:
			l.due = min(l.due, l.sent+resendMin)
		default:
			c.link.out.Mark(markReset)
			c.again(now, i)
		}
		c.arm(i)
	}
}

func (c *Client) answer(now proc.Now, a *core.Answer) {
	c.session.hear(a.Timestamp)
	for i := range c.lanes {
		l := &c.lanes[i]
		if l.op == idle || !l.matches(a) {
			continue
		}
		switch react(a) {
		case settled:
			c.settle(now, i, a)
		case lost:
			c.link.out.Mark(markLost)
			c.session.end(now, a.Session, a.Code)
			if l.command.Kind.Changes() {
				c.settle(now, i, &core.Answer{Status: core.Unknown, Code: a.Code})
				return
			}
			fallthrough
		default:
			c.link.out.Mark(markDoor)
			if a.Code == core.CodeNotLeader || a.Code == core.CodeWrongShard {
				c.link.leave(l.gateway)
			}
			c.link.later(now.Mono, &l.call)
			c.arm(i)
		}
		return
	}
	c.link.out.Mark(markStray)
}

// settle ends the lane's operation.
func (c *Client) settle(now proc.Now, i int, a *core.Answer) {
	l := &c.lanes[i]
	o := c.record.settle(l.op)
	o.Status, o.Code, o.Seq, o.Count = a.Status, a.Code, a.Seq, a.Count
	if a.Status == core.Accepted || a.Status == core.Refused {
		c.token = max(c.token, a.Timestamp)
	}
	switch a.Status {
	case core.Accepted:
		if o.Kind == core.Read {
			out, err := Answer(o.Actor, a.State, o.In)
			if err != nil {
				// Recorded as an answer that is right for no state.
				c.link.out.Mark(markBadState)
				out = checkers.Value{Strs: []string{err.Error()}}
			}
			o.Out = out
		}
		c.generate.Learn(o)
	case core.Refused:
		c.link.out.Mark(markRefused)
		c.generate.Learn(o)
	}
	l.op, l.command, l.attempts = idle, core.Command{}, 0
	c.pause(now, i)
}
