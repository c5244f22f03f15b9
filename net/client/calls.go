package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"actordb/core"
	"actordb/core/actor"
	"actordb/net/wire"
)

// waiter is a call that somebody waits for.
type waiter struct {
	call Call
	done chan struct{}
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{done: make(chan struct{}, 1)}
	w.call.Done = func(*Call) { w.done <- struct{}{} }
	return w
}}

// Do sends a command and waits for its answer. When the context ends first, the
// error is an *Unanswered that wraps the context's. Session, Number and
// AckedBelow are the client's to set.
func (c *Client) Do(ctx context.Context, cmd core.Command) (core.Answer, error) {
	w := waiters.Get().(*waiter)
	w.call.Command = cmd
	if err := c.Go(ctx, &w.call); err != nil {
		w.call.Command = core.Command{}
		waiters.Put(w)
		if refused := (*Refused)(nil); errors.As(err, &refused) {
			return core.Answer{}, err
		}
		return core.Answer{}, &Unanswered{Actor: cmd.Actor, Cause: err}
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		c.Cancel(&w.call, context.Cause(ctx))
		<-w.done // by Cancel, or by an answer that came before it
	}
	answer, err := w.call.Answer, w.call.Err
	w.call.Command, w.call.Answer, w.call.Err = core.Command{}, core.Answer{}, nil
	waiters.Put(w)
	return answer, err
}

// Append adds events to an actor whose type allows it. expected is the actor's
// last sequence as the caller knows it (0: it has no events yet), or core.AnySeq.
// The answer tells the last sequence now.
func (c *Client) Append(ctx context.Context, id core.ActorID, expected core.Seq, events ...core.NewEvent) (core.Answer, error) {
	return c.Do(ctx, core.Command{Actor: id, Kind: core.Append, Expected: expected, Events: events})
}

// Decide sends a command of the actor's own type.
func Decide[C any](ctx context.Context, c *Client, to actor.Ref[C], command C) (core.Answer, error) {
	return c.Do(ctx, to.Command(command))
}

// Read returns an actor's state as its type encodes it, with the sequence of its
// last event, all as of a moment between the call and the return.
func (c *Client) Read(ctx context.Context, id core.ActorID) (core.Answer, error) {
	return c.Do(ctx, core.Command{Actor: id, Kind: core.Read, Expected: core.AnySeq})
}

// ReadAt is Read with a choice of how new the state must be (core.Freshness). A token
// is the Timestamp of an answer, of this client or of another; Token has the newest.
// If no replica is as up to date, the error is a *Refused of core.CodeNotFresh.
func (c *Client) ReadAt(ctx context.Context, id core.ActorID, f core.Freshness) (core.Answer, error) {
	cmd := core.Command{Actor: id, Kind: core.Read, Expected: core.AnySeq}
	f.Ask(&cmd)
	return c.Do(ctx, cmd)
}

// ReadState reads the state of the actor of a type that has this key.
func ReadState[S, C, E any](ctx context.Context, c *Client, t *actor.Type[S, C, E], key string) (state S, at core.Seq, err error) {
	ref, err := t.Ref(key)
	if err != nil {
		return state, 0, err
	}
	a, err := c.Read(ctx, ref.ID)
	if err != nil {
		return state, 0, err
	}
	s, err := t.DecodeState(a.State)
	if err != nil {
		return state, 0, fmt.Errorf("%s: %w; the node runs another version of the type", ref.ID, err)
	}
	return *s.(*S), a.Seq, nil
}

// History returns an actor's events from a sequence on, in order, up to one that
// was the last at some moment since the call. After an error there are no more.
func (c *Client) History(ctx context.Context, id core.ActorID, from core.Seq) iter.Seq2[core.Event, error] {
	return c.HistoryAt(ctx, id, from, core.Freshness{})
}

// HistoryAt is History up to an event that may be older, as f says.
func (c *Client) HistoryAt(ctx context.Context, id core.ActorID, from core.Seq, f core.Freshness) iter.Seq2[core.Event, error] {
	return func(yield func(core.Event, error) bool) {
		for next := max(from, 1); ; {
			cmd := core.Command{Actor: id, Kind: core.History, Expected: next}
			f.Ask(&cmd)
			a, err := c.Do(ctx, cmd)
			var events []core.Event
			if err == nil {
				events, err = wire.DecodeEvents(id, a.State)
			}
			if err == nil && len(events) > 0 && events[0].Seq != next {
				err = fmt.Errorf("%s: asked for event %d, got %d", id, next, events[0].Seq)
			}
			if err != nil {
				yield(core.Event{}, err)
				return
			}
			for i := range events {
				if !yield(events[i], nil) {
					return
				}
			}
			next += core.Seq(len(events))
			if len(events) == 0 || next > a.Seq {
				return
			}
		}
	}
}
