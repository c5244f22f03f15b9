package client

import (
	"context"

	"actordb/core"
	"actordb/net/wire"
)

// A Description is what a statement takes and returns.
type Description struct {
	Params  []string            // types of $1, $2, …, as they are used
	Columns []wire.AnswerColumn // of its rows; none: it has no rows
	Tag     string              // its name, as SELECT
}

// Describe asks what a statement takes and returns, and runs nothing of it. at is the cut
// that it will be asked at, or 0.
func (c *Client) Describe(ctx context.Context, text string, at core.Timestamp) (*Description, error) {
	s, err := c.begin(wire.Ask{Op: wire.Describe, Text: text, AtLeast: at, Exact: at != 0})
	if err != nil {
		return nil, err
	}
	defer c.leave(s)
	d := &Description{}
	for {
		p, err := c.wait(ctx, s)
		if err != nil {
			return nil, err
		}
		switch p.What {
		case wire.ReplyHead:
			d.Params, d.Columns = p.Params, p.Columns
		case wire.ReplyDone:
			d.Tag = p.Tag
			return d, nil
		case wire.ReplyError:
			return nil, sqlError(&p.Error, text)
		}
	}
}
