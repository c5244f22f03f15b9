// Package gateway is the door of the cluster: it knows who a client is, checks
// what can be checked without state, and routes each command to the shard that
// owns its actor's slot. It is a process (see core/proc) and keeps nothing that
// has to survive.
//
//	G1  A command's principal is the authenticated peer, whatever the frame says.
//	G2  A command is sent to its shard again, under the same session and number,
//	    until it is answered or its deadline passes; then the answer is Unknown, with
//	    the code of what was in the way, if that was heard.
//	G3  A refusal that time can cure is held back and the command sent again. Of
//	    the refusals passed on only the final ones (core.Code.Final) say that no
//	    copy of the command has had or will have an effect.
//	G4  The commands under way and their bytes are bounded; at the bound new ones
//	    are refused.
//	G5  An answer goes only to the principal whose command it answers. A number
//	    that is under way for another command, or for another principal, is
//	    refused.
//	    Statements of SQL are the query process's (pass.go): what it is told of their
//	    senders is the authenticated peer, too.
//	G6  A command goes to the replica that leads its shard, as far as the gateway
//	    knows: a hint in a refusal is followed at once, but only a few times before
//	    the command waits again, and a replica that is silent is given up for the
//	    next one. So an attempt of a command costs a bounded number of frames. When
//	    there was no leader, the first word of a new one sends all that waits to it.
//	    A read that any replica may answer goes to the one on the gateway's own node,
//	    and to the others in turn; it is refused as not fresh when one has said that
//	    it is not, and none of the others has answered.
//	G7  Where a slot is, the placement says until a shard knows better: what a refusal
//	    tells of a later move is believed, of an earlier one it is not.
package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
)

// Config of a gateway. Start from DefaultConfig.
type Config struct {
	Placement *shard.Placement
	Locate    shard.Locator // as the shards have it
	Query     proc.Addr     // the node's query process; zero: it serves no SQL
	// ClusterPeers is the prefix of the identities of the cluster's own
	// processes: only they may answer.
	ClusterPeers string
	PendingMax   int       // commands under way
	PendingBytes int       // of their payloads
	ResendBase   proc.Tick // before the second attempt; doubled for each further one
	ResendMax    proc.Tick
	Silence      proc.Tick // of a replica that was asked, before another is
	Deadline     proc.Tick // after which the answer is Unknown
}

// DefaultConfig suits a local network.
func DefaultConfig() Config {
	return Config{PendingMax: 1 << 14, PendingBytes: 64 << 20, ResendBase: 50e6, ResendMax: 400e6, Silence: 250e6, Deadline: 5e9}
}

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case c.Placement == nil:
		return fmt.Errorf("gateway: no placement")
	case c.PendingMax <= 0:
		return fmt.Errorf("gateway: %d commands under way", c.PendingMax)
	case c.PendingBytes < core.FrameBytesMax:
		return fmt.Errorf("gateway: %d bytes of commands under way: want at least a frame's, %d", c.PendingBytes, core.FrameBytesMax)
	case c.Silence <= 0:
		return fmt.Errorf("gateway: a silence of %d ns", c.Silence)
	case c.ResendBase <= 0 || c.ResendMax < c.ResendBase || c.ResendMax > 1<<61 || c.Deadline < c.ResendBase:
		return fmt.Errorf("gateway: want 0 < resend base ≤ resend max and base ≤ deadline")
	}
	return nil
}

const (
	markResend    proc.Mark = "gateway.command-resent"
	markDeadline  proc.Mark = "gateway.deadline-passed"
	markFull      proc.Mark = "gateway.table-full"
	markJoined    proc.Mark = "gateway.client-retry-joined"
	markHeld      proc.Mark = "gateway.refusal-held-back"
	markStray     proc.Mark = "gateway.stray-answer"
	markForged    proc.Mark = "gateway.answer-from-outside"
	markReused    proc.Mark = "gateway.number-reused"
	markFollowed  proc.Mark = "gateway.leader-followed"
	markGivenUp   proc.Mark = "gateway.silent-replica-left"
	markMoved     proc.Mark = "gateway.slot-followed"
	markRegrouped proc.Mark = "gateway.group-learned"
	markElsewhere proc.Mark = "gateway.read-by-the-next-replica"
)

// Marks lists the places of this package that tests want reached.
func Marks() []proc.Mark {
	return []proc.Mark{markResend, markDeadline, markFull, markJoined, markHeld, markStray, markForged, markReused, markFollowed, markGivenUp, markMoved, markRegrouped, markElsewhere}
}

const timerSweep proc.TimerID = 1

type key struct {
	session core.SessionID
	number  core.CommandNumber
	kind    core.CommandKind
}

// entry is a command under way.
type entry struct {
	key      key
	client   proc.Addr
	command  core.Command
	size     int
	attempts int
	due      proc.Tick // of the next attempt
	deadline proc.Tick
	held     core.Code // of the last refusal that was held back
	shard    core.ShardID
	sentTo   int       // replica, in its shard's group
	asked    proc.Tick // when that one was first sent it
	heard    bool      // it refused since it was last sent it
	hops     int       // hints followed in this attempt
	turn     int       // of a read that any replica may answer: how many were asked before
	lacks    string    // what one of them lacks
	done     bool
}

// A Gateway implements proc.Process.
type Gateway struct {
	cfg     Config
	env     proc.Env
	table   map[key]*entry
	order   []*entry // by arrival; done ones leave at a sweep
	spare   []*entry // to be used again
	routes  []route  // by shard
	atlas   *shard.Atlas
	bytes   int // of the commands in table
	armed   bool
	now     proc.Now
	out     *proc.Effects
	frames  []frame
	answers []frame
}

// frame collects what goes to one peer within a step.
type frame struct {
	to     proc.Addr
	writer wire.Writer
}

// New makes an incarnation. The config must be valid.
func New(cfg Config, env proc.Env) *Gateway {
	core.Assert(cfg.Validate() == nil, "invalid config: %v", cfg.Validate())
	return &Gateway{cfg: cfg, env: env, table: make(map[key]*entry), routes: make([]route, cfg.Placement.Shards()),
		atlas: shard.NewAtlas(cfg.Placement, cfg.Locate)}
}

// Queues implements proc.Gauged.
func (g *Gateway) Queues(dst []proc.Queue) []proc.Queue {
	return append(dst,
		proc.Queue{Name: "gateway.pending", Len: len(g.table), Limit: g.cfg.PendingMax},
		proc.Queue{Name: "gateway.pending-bytes", Len: g.bytes, Limit: g.cfg.PendingBytes})
}

// Step implements proc.Process.
func (g *Gateway) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	g.now, g.out = now, out
	switch in.Kind {
	case proc.Message:
		g.receive(&in)
	case proc.Reset:
		g.broken(in.From)
	case proc.Timer:
		g.armed = false
		g.sweep()
	}
	g.frames = g.flush(g.frames, wire.Commands)
	g.answers = g.flush(g.answers, wire.Answers)
	if len(g.table) > 0 && !g.armed {
		g.armed = true
		out.SetTimer(timerSweep, now.Mono+g.cfg.ResendBase/2)
	}
	g.out = nil
}

// peersKept is for how many peers a writer is kept from step to step: it remembers
// how large a frame usually gets.
const peersKept = 64

func (g *Gateway) flush(list []frame, kind wire.Kind) []frame {
	for i := range list {
		if list[i].writer.Count() > 0 {
			g.out.Send(list[i].to, list[i].writer.Finish(kind))
		}
	}
	if len(list) > peersKept {
		clear(list)
		return list[:0]
	}
	return list
}

// toward returns the writer of the frame for a peer, sending a full one off.
func (g *Gateway) toward(list *[]frame, to proc.Addr, kind wire.Kind, size int) *wire.Writer {
	for i := range *list {
		f := &(*list)[i]
		if f.to == to {
			if f.writer.Count() >= core.FrameCommandsMax || f.writer.Bytes()+size > core.FrameBytesMax-4096 {
				g.out.Send(to, f.writer.Finish(kind))
			}
			return &f.writer
		}
	}
	*list = append(*list, frame{to: to})
	return &(*list)[len(*list)-1].writer
}

func (g *Gateway) receive(in *proc.Input) {
	r, err := wire.Open(in.Frame)
	if err != nil {
		return // cut off or damaged: its sender will send again
	}
	if r.Kind == wire.Answers {
		if !strings.HasPrefix(in.Peer, g.cfg.ClusterPeers) {
			g.out.Mark(markForged)
			return
		}
		var a core.Answer
		for r.Answer(&a) {
			g.answered(in.From, &a)
		}
		return
	}
	if r.Kind == wire.Asks {
		g.pass(in, &r)
		return
	}
	e := g.take()
	for r.Command(&e.command) {
		e.command.Principal = core.Principal(in.Peer)
		if g.admit(in.From, e) {
			e = g.take()
		}
	}
	g.keep(e)
}

// take returns an entry for the next command: they are large, so they are used
// again, with the room for their events.
func (g *Gateway) take() *entry {
	if n := len(g.spare); n > 0 {
		e := g.spare[n-1]
		g.spare = g.spare[:n-1]
		return e
	}
	return new(entry)
}

func (g *Gateway) keep(e *entry) {
	if len(g.spare) < g.cfg.PendingMax {
		e.forget()
		*e = entry{command: e.command}
		g.spare = append(g.spare, e)
	}
}

// eventsKept bounds the room for events that an entry keeps.
const eventsKept = 8

// forget drops the command, which may keep a whole frame.
func (e *entry) forget() {
	events := e.command.Events
	if cap(events) > eventsKept {
		events = nil
	}
	clear(events)
	e.command = core.Command{Events: events[:0]}
}

// admit takes a command from a client, and reports whether it keeps the entry.
func (g *Gateway) admit(client proc.Addr, e *entry) bool {
	c := &e.command
	if code, detail := core.CheckCommand(c); code != core.CodeNone {
		g.reply(client, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
			Status: core.RefusedAtDoor, Code: code, Detail: detail})
		return false
	}
	if named, ok := namesShard(c); ok && int(named) >= g.atlas.Shards() {
		g.reply(client, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
			Status: core.RefusedAtDoor, Code: core.CodeMalformed, Detail: "there is no such shard"})
		return false
	}
	k := key{c.Session, c.Number, c.Kind}
	if first := g.table[k]; first != nil {
		if !first.command.Same(c) {
			g.out.Mark(markReused)
			g.refuse(client, c, core.CodeReused)
			return false
		}
		g.out.Mark(markJoined)
		first.client = client
		return false
	}
	size := commandSize(c)
	if len(g.table) >= g.cfg.PendingMax || g.bytes+size > g.cfg.PendingBytes {
		g.out.Mark(markFull)
		g.refuse(client, c, core.CodeOverloaded)
		return false
	}
	if len(g.order) >= 2*g.cfg.PendingMax {
		g.order = slices.DeleteFunc(g.order, func(e *entry) bool {
			done := e.done
			if done {
				g.keep(e)
			}
			return done
		})
	}
	e.key, e.client, e.size, e.deadline = k, client, size, g.now.Mono+g.cfg.Deadline
	g.table[k] = e
	g.order = append(g.order, e)
	g.bytes += size
	g.send(e)
	return true
}

func (g *Gateway) refuse(client proc.Addr, c *core.Command, code core.Code) {
	g.reply(client, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.RefusedAtDoor, Code: code})
}

func commandSize(c *core.Command) int {
	n := len(c.Payload) + 1024
	for i := range c.Events {
		n += len(c.Events[i].Payload) + len(c.Events[i].Personal) + 128
	}
	return n
}

// send makes an attempt and sets the time of the next.
func (g *Gateway) send(e *entry) {
	e.attempts++
	wait := core.Backoff(g.cfg.ResendBase, g.cfg.ResendMax, e.attempts)
	e.due = g.now.Mono + wait + proc.Tick(g.env.Rand.Int64N(int64(wait)/4+1))
	e.hops = 0
	if e.command.Anywhere() {
		e.due = max(e.due, g.now.Mono+g.cfg.Silence) // a replica lets it wait for a while
		if e.attempts > 1 {
			e.turn++
		}
	}
	g.transmit(e)
}

// transmit sends a command to the replica that is to carry it out.
func (g *Gateway) transmit(e *entry) {
	to := g.shardOf(&e.command)
	if e.shard != to {
		e.turn, e.lacks = 0, ""
	}
	at := g.replicaFor(e, to)
	if e.sentTo != at || e.shard != to || e.attempts == 1 {
		e.asked = g.now.Mono
	}
	e.shard, e.sentTo, e.heard = to, at, false
	home := g.atlas.Group(e.shard)[at].Addr
	g.toward(&g.frames, home, wire.Commands, e.size).Command(&e.command)
}

func (g *Gateway) reply(client proc.Addr, a *core.Answer) {
	g.toward(&g.answers, client, wire.Answers, len(a.State)+1024).Answer(a)
}

// answered passes a replica's answer on.
func (g *Gateway) answered(from proc.Addr, a *core.Answer) {
	k := key{a.Session, a.Number, a.Kind}
	e := g.table[k]
	if e == nil {
		g.out.Mark(markStray)
		return
	}
	anywhere := e.command.Anywhere()
	if anywhere && g.elsewhere(e, from, a) {
		return
	}
	news := !anywhere && g.heard(e, from, a)
	passing := a.Status == core.RefusedAtDoor && !a.Code.Final() || a.Status == core.Unknown
	if passing && a.Code.Transient() {
		g.out.Mark(markHeld) // sent again when it is due
		e.held, e.heard = a.Code, true
		switch {
		case news:
			g.follow(e.shard)
		case !anywhere && a.Code == core.CodeNotLeader && a.Seq != 0 && e.sentTo != g.routes[e.shard].target && e.hops < hopsMax:
			g.out.Mark(markFollowed)
			e.hops++
			g.transmit(e)
		}
		if a.Code == core.CodeWrongShard {
			g.atlas.Moved(e.command.Actor.Slot(), a)
		}
		if a.Code == core.CodeWrongShard && g.shardOf(&e.command) != e.shard && e.hops < hopsMax {
			g.out.Mark(markMoved)
			e.hops++
			g.transmit(e)
		}
		return
	}
	g.settle(e, a)
}

func (g *Gateway) settle(e *entry, a *core.Answer) {
	e.done = true
	g.bytes -= e.size
	e.forget()
	delete(g.table, e.key)
	g.reply(e.client, a)
}

// sweep sends again what is due and gives up what is past its deadline.
func (g *Gateway) sweep() {
	kept := g.order[:0]
	for _, e := range g.order {
		if e.done {
			g.keep(e)
			continue
		}
		switch {
		case g.now.Mono >= e.deadline:
			g.out.Mark(markDeadline)
			g.settle(e, &core.Answer{Session: e.key.session, Number: e.key.number, Kind: e.key.kind,
				Status: core.Unknown, Code: cmp.Or(e.held, core.CodeTimeout)})
			g.keep(e)
			continue
		case g.now.Mono >= e.due && g.notFresh(e):
			g.keep(e)
			continue
		case g.now.Mono >= e.due:
			g.out.Mark(markResend)
			g.silent(e)
			g.send(e)
		}
		kept = append(kept, e)
	}
	clear(g.order[len(kept):])
	g.order = kept
}

// broken sends again at once what was under way to a peer whose connection broke, to
// the next replica: this one may be dead, and if it is not, that one knows.
func (g *Gateway) broken(peer proc.Addr) {
	for i := range g.routes {
		if id := core.ShardID(i); g.atlas.Group(id)[g.routes[i].target].Addr == peer {
			g.leave(id)
		}
	}
	for _, e := range g.order {
		if !e.done && e.sentTo >= 0 && g.atlas.Group(e.shard)[e.sentTo].Addr == peer {
			e.due = min(e.due, g.now.Mono+g.cfg.ResendBase)
		}
	}
}
