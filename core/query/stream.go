package query

import (
	"bytes"
	"errors"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/net/wire"
)

// stream is the replies to one statement. Those that the client has not said to have
// are kept, to be sent again.
type stream struct {
	to     proc.Addr
	window int
	base   uint64 // number of the first that is kept
	frames [][]byte
	bytes  int
	ended  bool
}

// room tells whether more may be sent. The first reply always may.
func (s *stream) room() bool { return s.bytes < s.window || len(s.frames) == 0 }

// over is by how much the window is exceeded: one reply may do so.
func (s *stream) over() int { return max(0, s.bytes-s.window) }

// reply sends a reply under the next number.
func (p *Process) reply(a *ask, r *wire.Reply) {
	s := &a.stream
	core.Assert(!s.ended, "a reply after the last")
	r.ID, r.Number = a.id, s.base+uint64(len(s.frames))
	s.ended = r.What == wire.ReplyDone || r.What == wire.ReplyError
	var w wire.Writer
	w.Reply(r)
	frame := w.Finish(wire.Replies)
	s.frames = append(s.frames, frame)
	s.bytes += len(frame)
	p.out.Send(s.to, bytes.Clone(frame))
}

// rows sends rows, and their weights if they are changes.
func (p *Process) rows(a *ask, cut core.Timestamp, b *row.Batch, weights []int64) error {
	r := &wire.Reply{What: wire.ReplyRows, Cut: cut, Batch: b.AppendStored(nil)}
	if weights != nil {
		r.Weights = row.AppendInts(nil, weights)
	}
	if n := len(r.Batch) + len(r.Weights); n > rowsBytesMax {
		return sqlerr.New(sqlerr.ProgramLimit, "a row of some %d bytes, the most that can be sent are %d", n, rowsBytesMax).Hint("ask for fewer columns")
	}
	a.rows += uint64(b.N)
	p.reply(a, r)
	return nil
}

// more takes a client's word about what it has, and sends again what it lacks.
func (p *Process) more(a *ask, m *wire.Ask) {
	s := &a.stream
	s.window = min(int(m.Window), p.cfg.Limits.WindowBytes)
	for len(s.frames) > 0 && s.base < m.Next {
		s.bytes -= len(s.frames[0])
		s.frames[0] = nil
		s.frames = s.frames[1:]
		s.base++
		a.taken = p.now.Mono
	}
	switch {
	case m.Again:
		p.again(a)
	case p.cfg.Worker && a.stage == runs && len(s.frames) == 0: // it works, and has nothing to tell
		p.out.Mark(markIdlePart)
		p.reply(a, &wire.Reply{What: wire.ReplyStep})
	}
}

// again sends once more what the client has not said to have.
func (p *Process) again(a *ask) {
	for _, frame := range a.stream.frames {
		p.out.Mark(markAgain)
		p.out.Send(a.stream.to, bytes.Clone(frame))
	}
}

// fail ends a statement with an error.
func (p *Process) refuse(a *ask, err error) {
	if a.stream.ended {
		return
	}
	p.end(a)
	e := queryError(err)
	e.Resumable = e.Resumable && a.subscription
	p.reply(a, &wire.Reply{What: wire.ReplyError, Cut: a.sent, Error: e})
}

// SQLSTATEs of what is no fault of the statement.
const (
	tooManyStatements  sqlerr.State = "53300" // too_many_connections
	cutNotReached      sqlerr.State = "57P03" // cannot_connect_now
	unknownStatement   sqlerr.State = "08006" // connection_failure
	outcomeUnknown     sqlerr.State = "08007" // transaction_resolution_unknown
	subscriberTooSlow  sqlerr.State = "57014" // query_canceled
	historyCompacted   sqlerr.State = "58030" // io_error
	catalogUnavailable sqlerr.State = "58000" // system_error
)

// A resumable error ends a subscription that can go on from its last step.
type resumable struct{ error }

func (r resumable) Unwrap() error { return r.error }

func queryError(err error) wire.QueryError {
	var e *sqlerr.Error
	var gone *feed.CompactedError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &gone):
		e = sqlerr.New(historyCompacted, "%v", err)
	default:
		e = sqlerr.New(sqlerr.InternalError, "%v", err)
	}
	_, again := err.(resumable)
	return wire.QueryError{State: string(e.State), Message: e.Message, Cure: e.Cure, Position: int(e.Pos), Resumable: again}
}

// strange tells a client that its statement is not known here.
func (p *Process) strange(m *wire.Ask) {
	p.out.Mark(markStrange)
	p.decline(m, m.Next, wire.QueryError{State: string(unknownStatement), Position: -1, Resumable: true,
		Message: "the node does not know this statement: it was started again, or has not heard of its client for too long", Cure: "ask again"})
}

// decline answers for a statement that nothing is kept of.
func (p *Process) decline(m *wire.Ask, number uint64, e wire.QueryError) {
	var w wire.Writer
	w.Reply(&wire.Reply{ID: m.ID, Number: number, What: wire.ReplyError, Error: e})
	p.out.Send(proc.Addr{Node: proc.NodeID(m.Node), Proc: m.Proc}, w.Finish(wire.Replies))
}

func tooMany(n int, what string) error {
	return sqlerr.New(tooManyStatements, "%d %s are under way, the most that this node allows", n, what).Hint("wait until some have ended, or ask another node")
}

func notReached(cut core.Timestamp, reached core.Timestamp) error {
	return sqlerr.New(cutNotReached, "the cut %s was not reached in time: some shard has closed no later one than %s", cut, reached).
		Hint("ask again; look at the shard's leader, and at the clocks of nodes and clients")
}
