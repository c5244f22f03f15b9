package client

import (
	"context"
	"errors"

	"actordb/core"
	"actordb/core/row"
	"actordb/net/wire"
)

// A Subscription brings the rows of a projection, and then their changes, step by
// step: what is said in the steps up to a cut is the answer at that cut. When a
// connection or a node is lost it goes on from its last whole step, by itself. It is for
// one goroutine, and must be closed.
type Subscription struct {
	client *Client
	ask    wire.Ask
	stmt   *statement
	cols   []wire.AnswerColumn
	types  []row.Type
	change Change
	part   bool // rows of a step came whose end did not
	batch  row.Batch
	tries  int
	anew   int
}

// A Change is a part of a step. It is good until Next is called again.
type Change struct {
	Rows    *row.Batch
	Weights []int64 // of each row: 1 comes, -1 goes
	Cut     core.Timestamp
	Step    bool // everything up to Cut has come
	// Restart says that a step was broken off: what came since the last whole one is
	// void, and will come again.
	Restart bool
}

// Subscribe runs SUBSCRIBE TO …. After a cut of an earlier subscription's step it brings
// what has changed since, else all rows first.
func (c *Client) Subscribe(ctx context.Context, text string, after core.Timestamp, args ...any) (*Subscription, error) {
	params, err := paramsOf(args)
	if err != nil {
		return nil, err
	}
	s := &Subscription{client: c, ask: wire.Ask{Text: text, Params: params, After: after}}
	if s.stmt, err = c.begin(s.ask); err != nil {
		return nil, err
	}
	for s.cols == nil {
		if _, err := s.next(ctx); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Columns are the names and types of the rows' columns.
func (s *Subscription) Columns() []wire.AnswerColumn { return s.cols }

// Cut is the last whole step's: Subscribe can go on after it.
func (s *Subscription) Cut() core.Timestamp { return s.ask.After }

// Resumed is how often it went on anew: after a lost connection or node, or because it was
// read too slowly.
func (s *Subscription) Resumed() int { return s.anew }

// Next waits for the next change. An error is the end: the context's, or a *SQLError.
func (s *Subscription) Next(ctx context.Context) (*Change, error) {
	for {
		if change, err := s.next(ctx); change != nil || err != nil {
			return change, err
		}
	}
}

// next takes a reply.
func (s *Subscription) next(ctx context.Context) (*Change, error) {
	p, err := s.client.wait(ctx, s.stmt)
	if err != nil {
		return nil, err
	}
	switch p.What {
	case wire.ReplyHead:
		types, err := typesOf(p.Columns)
		if err != nil {
			return nil, err
		}
		s.cols, s.types = p.Columns, types
	case wire.ReplyRows:
		rest, err := s.batch.DecodeStored(p.Batch, s.types)
		if err == nil && len(rest) > 0 {
			err = errors.New("bytes left over after a batch of rows")
		}
		if err == nil {
			s.change.Weights, _, err = row.DecodeInts(s.change.Weights[:0], p.Weights, s.batch.N)
		}
		if err != nil {
			return nil, err
		}
		s.part, s.tries = true, 0
		s.change = Change{Rows: &s.batch, Weights: s.change.Weights, Cut: p.Cut}
		return &s.change, nil
	case wire.ReplyStep:
		s.part, s.tries, s.ask.After = false, 0, p.Cut
		s.batch.Clear()
		s.change = Change{Rows: &s.batch, Weights: s.change.Weights[:0], Cut: p.Cut, Step: true}
		s.client.seen(p.Cut)
		return &s.change, nil
	case wire.ReplyError:
		if !p.Error.Resumable {
			return nil, sqlError(&p.Error, s.ask.Text)
		}
		return s.resume()
	}
	return nil, nil
}

// resume asks for what has changed since the last whole step.
func (s *Subscription) resume() (*Change, error) {
	s.client.leave(s.stmt)
	s.anew++
	if s.tries++; s.tries > 1 && !s.client.sleep(pause(redialMin, redialMax, s.tries)) {
		return nil, ErrClosed
	}
	stmt, err := s.client.begin(s.ask)
	if err != nil {
		return nil, err
	}
	s.stmt = stmt
	if !s.part {
		return nil, nil
	}
	s.part = false
	s.batch.Clear()
	s.change = Change{Rows: &s.batch, Weights: s.change.Weights[:0], Cut: s.ask.After, Restart: true}
	return &s.change, nil
}

// Close ends the subscription.
func (s *Subscription) Close() { s.client.leave(s.stmt) }
