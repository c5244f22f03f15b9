package gateway

import (
	"fmt"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// pass hands statements of SQL to the node's query process, which answers the client
// itself. The gateway says who the client is, and keeps nothing of it.
func (g *Gateway) pass(in *proc.Input, r *wire.Reader) {
	var w wire.Writer
	var a wire.Ask
	for r.Ask(&a) {
		a.Node, a.Proc, a.Principal = uint32(in.From.Node), in.From.Proc, core.Principal(in.Peer)
		if e, ok := g.impassable(&a); !ok {
			if a.Op == wire.Run {
				var w wire.Writer
				w.Reply(&wire.Reply{ID: a.ID, What: wire.ReplyError, Error: e})
				g.out.Send(in.From, w.Finish(wire.Replies))
			}
			continue
		}
		if w.Count() > 0 && w.Bytes()+askBytes(&a) > core.FrameBytesMax/2 {
			g.out.Send(g.cfg.Query, w.Finish(wire.Asks))
		}
		w.Ask(&a)
	}
	if w.Count() > 0 {
		g.out.Send(g.cfg.Query, w.Finish(wire.Asks))
	}
}

// askBytesMax leaves room in a frame for what the gateway adds.
const askBytesMax = core.FrameBytesMax / 2

func askBytes(a *wire.Ask) int {
	n := len(a.Text)
	for _, p := range a.Params {
		n += len(p.Text) + 8
	}
	return n
}

// impassable says why a statement cannot be passed on.
func (g *Gateway) impassable(a *wire.Ask) (wire.QueryError, bool) {
	e := wire.QueryError{Position: -1}
	switch {
	case g.cfg.Query == (proc.Addr{}):
		e.State, e.Message, e.Cure = "0A000", "this node serves no SQL", "ask another one, or add a process of kind query to its network"
	case askBytes(a) > askBytesMax:
		e.State, e.Message = "54000", fmt.Sprintf("the statement and its parameters have %d bytes, at most %d are allowed", askBytes(a), askBytesMax)
	case len(a.Principal) > core.PrincipalBytesMax:
		e.State, e.Message = "54000", fmt.Sprintf("the client's identity has %d bytes, at most %d are allowed", len(a.Principal), core.PrincipalBytesMax)
	default:
		return e, true
	}
	return e, false
}
