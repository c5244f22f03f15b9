package pgwire

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/net/client"
	"actordb/net/wire"
)

// subscription is a SUBSCRIBE as rows that never end, until it is cancelled. Each has
// three columns before its own: commit_time, up to which the change counts; weight, 1
// for a row that comes and -1 for one that goes; and progress. Where progress is true
// the other columns are null: everything up to commit_time has come. Where it is null, all
// rows since the last such are void, and come again.
type subscription struct {
	sub  *client.Subscription
	cols []wire.AnswerColumn
	out  *row.Batch
}

func (x *session) subscribe(ctx context.Context, text string, args []any) (answer, error) {
	sub, err := x.client.Subscribe(ctx, text, 0, args...)
	if err != nil {
		return nil, err
	}
	s := &subscription{sub: sub, cols: append([]wire.AnswerColumn{}, subscribed...)}
	s.cols = append(s.cols, sub.Columns()...)
	types := make([]row.Type, len(s.cols))
	for i, c := range s.cols {
		if types[i], err = row.ParseType(c.Type); err != nil {
			return nil, err
		}
	}
	s.out = row.NewBatch(types)
	return s, nil
}

// subscribed are the columns before those of the projection.
var subscribed = []wire.AnswerColumn{{Name: "commit_time", Type: "timestamptz"}, {Name: "weight", Type: "int8"}, {Name: "progress", Type: "bool"}}

func (s *subscription) columns() []wire.AnswerColumn { return s.cols }
func (s *subscription) tag() string                  { return "SUBSCRIBE" }
func (s *subscription) close()                       { s.sub.Close() }

func (s *subscription) next(ctx context.Context) (*row.Batch, error) {
	change, err := s.sub.Next(ctx)
	if err != nil {
		return nil, err
	}
	s.out.Clear()
	n := change.Rows.N
	if change.Step || change.Restart {
		n = 1
	}
	for i := range n {
		s.out.Cols[0].AppendInt(int64(change.Cut) / 1000)
		switch {
		case change.Restart:
			s.out.Cols[1].AppendNull()
			s.out.Cols[2].AppendNull()
		case change.Step:
			s.out.Cols[1].AppendNull()
			s.out.Cols[2].AppendInt(1)
		default:
			s.out.Cols[1].AppendInt(change.Weights[i])
			s.out.Cols[2].AppendInt(0)
		}
		for k, c := range s.out.Cols[len(subscribed):] {
			if change.Step || change.Restart {
				c.AppendNull()
			} else {
				c.AppendRow(change.Rows.Cols[k], i)
			}
		}
		s.out.N++
	}
	return s.out, nil
}

// copied takes COPY (…) TO STDOUT apart.
func copied(p *parse.Part) (inner string, ok bool) {
	if p.Word != "copy" {
		return "", false
	}
	open := strings.IndexByte(p.Text, '(')
	end := strings.LastIndexByte(p.Text, ')')
	if open < 0 || end < open || strings.TrimSpace(p.Text[len("copy"):open]) != "" {
		return "", false
	}
	return p.Text[open+1 : end], strings.EqualFold(strings.Join(strings.Fields(p.Text[end+1:]), " "), "to stdout")
}

// copyOut runs a query, or a subscription, as COPY in its text format.
func (x *session) copyOut(ctx context.Context, inner string) error {
	parts, err := parse.Split(inner)
	if err != nil {
		return err
	}
	if len(parts) != 1 {
		return refusal("42601", "COPY takes one query in parentheses", "")
	}
	a, err := x.ask(ctx, &parts[0], nil)
	if err != nil {
		return err
	}
	defer a.close()
	x.back.Send(&pgproto3.CopyOutResponse{ColumnFormatCodes: make([]uint16, len(a.columns()))})
	rows := 0
	var line []byte
	for {
		if err := x.flush(); err != nil {
			return err
		}
		b, err := a.next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		for i := range b.N {
			line = line[:0]
			for k, c := range b.Cols {
				if k > 0 {
					line = append(line, '\t')
				}
				if c.Null(i) {
					line = append(line, '\\', 'N')
					continue
				}
				line = appendCopied(line, c.AppendText(nil, i))
			}
			x.back.Send(&pgproto3.CopyData{Data: append(line, '\n')})
			rows++
		}
	}
	x.back.Send(&pgproto3.CopyDone{})
	x.back.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "COPY %d", rows)})
	return nil
}

// copyEscapes are what COPY's text format escapes, and by which letters.
const copyEscapes, copyLetters = "\b\f\n\r\t\v\\", "bfnrtv\\"

// appendCopied escapes a value as COPY's text format has it.
func appendCopied(dst, text []byte) []byte {
	for _, c := range text {
		if i := strings.IndexByte(copyEscapes, c); i >= 0 {
			dst, c = append(dst, '\\'), copyLetters[i]
		}
		dst = append(dst, c)
	}
	return dst
}
