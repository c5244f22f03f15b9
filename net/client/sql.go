package client

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"actordb/core"
	"actordb/core/row"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

const gatewayProc = tlsnet.GatewayProc

// A SQLError declines a statement, or ends it.
type SQLError struct {
	State     string // SQLSTATE, as in PostgreSQL's documentation, appendix A
	Message   string
	Cure      string // or ""
	Position  int    // in the text, in bytes from 0, or -1
	Resumable bool   // a subscription goes on by itself
	Text      string // of the statement
}

func (e *SQLError) Error() string {
	s := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.State)
	if e.Cure != "" {
		s += ": " + e.Cure
	}
	return s
}

// A Query says more of a statement than its text and arguments.
type Query struct {
	Text string
	Args []any
	// AtLeast is the earliest cut that the answer may be of. What the client itself was
	// answered is always seen.
	AtLeast core.Timestamp
	// At is the cut that the answer is of, and now() its time; 0: the node chooses one.
	// Answers at one cut are of one state. Only queries can be asked at a cut (25006).
	At    core.Timestamp
	Batch bool // statements of others go first
}

// Rows is an answer that comes piece by piece: Next, until it returns false, then
// Err. It is for one goroutine, and must be closed.
type Rows struct {
	ctx    context.Context
	client *Client
	stmt   *statement
	types  []row.Type
	cols   []wire.AnswerColumn
	batch  *row.Batch
	tag    string
	count  uint64
	cut    core.Timestamp
	got    bool // rows
	done   bool
	err    error
}

// Query asks for rows. Arguments stand for $1, $2, …: nil, booleans, integers, floats,
// strings, bytes and times. It returns when the columns are known; an error is of type
// *SQLError if the node declined.
func (c *Client) Query(ctx context.Context, text string, args ...any) (*Rows, error) {
	return c.Ask(ctx, Query{Text: text, Args: args})
}

// Ask is Query with more to say.
func (c *Client) Ask(ctx context.Context, q Query) (*Rows, error) {
	params, err := paramsOf(q.Args)
	if err != nil {
		return nil, err
	}
	r := &Rows{ctx: ctx, client: c, batch: &row.Batch{}}
	a := wire.Ask{Text: q.Text, Params: params, AtLeast: q.AtLeast, Batch: q.Batch}
	if q.At != 0 {
		a.AtLeast, a.Exact = q.At, true
	}
	r.stmt, err = c.begin(a)
	if err != nil {
		return nil, err
	}
	for r.cols == nil && !r.done {
		r.step()
	}
	if r.err != nil {
		err := r.err
		r.Close()
		return nil, err
	}
	return r, nil
}

// Cut is one that can be asked at: all is to be seen there that the client was answered, and
// all that was committed before by the clock of the node.
func (c *Client) Cut(ctx context.Context) (core.Timestamp, error) {
	r, err := c.Exec(ctx, "VALUES (1)")
	return r.Cut, err
}

// Result is what became of a statement without rows.
type Result struct {
	Tag  string // as CREATE PROJECTION
	Rows uint64
	Cut  core.Timestamp // from which on it is to be seen, anywhere in the cluster
}

// Exec runs a statement to its end, and lets its rows go.
func (c *Client) Exec(ctx context.Context, text string, args ...any) (Result, error) {
	r, err := c.Query(ctx, text, args...)
	if err != nil {
		return Result{}, err
	}
	defer r.Close()
	for r.Next() {
	}
	return Result{r.tag, r.count, r.cut}, r.err
}

// Columns are the names and types of the answer's columns.
func (r *Rows) Columns() []wire.AnswerColumn { return r.cols }

// Next waits for the next rows; they are good until it is called again.
func (r *Rows) Next() bool {
	for !r.done {
		if r.step() {
			return true
		}
	}
	return false
}

// Batch is the rows that Next brought.
func (r *Rows) Batch() *row.Batch { return r.batch }

// Err is why there are no more rows, nil if there are none.
func (r *Rows) Err() error { return r.err }

// Tag is the statement's name, Count how many rows there were, Cut what the answer is
// of, once Next has returned false.
func (r *Rows) Tag() string         { return r.tag }
func (r *Rows) Count() uint64       { return r.count }
func (r *Rows) Cut() core.Timestamp { return r.cut }

// Close gives up what is left of the answer.
func (r *Rows) Close() {
	r.done = true
	r.client.leave(r.stmt)
}

// wait takes the next reply of a statement.
func (c *Client) wait(ctx context.Context, s *statement) (reply, error) {
	for {
		p, ok, err := c.take(s)
		if ok || err != nil {
			return p, err
		}
		select {
		case <-s.signal:
		case <-ctx.Done():
			return reply{}, context.Cause(ctx)
		}
	}
}

// step takes a reply and reports whether it brought rows.
func (r *Rows) step() bool {
	p, err := r.client.wait(r.ctx, r.stmt)
	if err != nil {
		r.done, r.err = true, err
		return false
	}
	switch p.What {
	case wire.ReplyHead:
		r.cols = p.Columns
		r.types, r.err = typesOf(p.Columns)
		r.done = r.err != nil
		if r.cols == nil {
			r.cols = []wire.AnswerColumn{}
		}
	case wire.ReplyRows:
		r.got, r.cut = true, p.Cut
		if _, err := r.batch.DecodeStored(p.Batch, r.types); err != nil {
			r.done, r.err = true, err
			return false
		}
		return r.batch.N > 0
	case wire.ReplyDone:
		r.done, r.tag, r.count, r.cut = true, p.Tag, p.Rows, p.Cut
		r.client.seen(p.Cut)
	case wire.ReplyError:
		if !r.got && p.Error.State == lostState && r.again() {
			return false
		}
		r.done, r.err = true, sqlError(&p.Error, r.stmt.ask.Text)
	}
	return false
}

// lostState is told by a node that does not know a statement (any more).
const lostState = "08006"

// again asks once more, of a node that has lost the statement before it told any rows.
// What changes the catalog is not asked twice: the first may have done it.
func (r *Rows) again() bool {
	if r.cols == nil {
		return false
	}
	a := r.stmt.ask
	r.client.leave(r.stmt)
	s, err := r.client.begin(a)
	if err == nil {
		r.stmt = s
	}
	return err == nil
}

func sqlError(e *wire.QueryError, text string) *SQLError {
	return &SQLError{State: e.State, Message: e.Message, Cure: e.Cure, Position: e.Position, Resumable: e.Resumable, Text: text}
}

func typesOf(cols []wire.AnswerColumn) (types []row.Type, err error) {
	for _, c := range cols {
		t, err := row.ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		types = append(types, t)
	}
	return types, nil
}

func paramsOf(args []any) (list []wire.Param, err error) {
	for i, arg := range args {
		var p wire.Param
		switch x := arg.(type) {
		case nil:
			p.Null = true
		case string:
			p.Text = x
		case []byte:
			p.Text = `\x` + hex.EncodeToString(x)
		case bool:
			p.Text = strconv.FormatBool(x)
		case int:
			p.Text = strconv.Itoa(x)
		case int64:
			p.Text = strconv.FormatInt(x, 10)
		case int32:
			p.Text = strconv.FormatInt(int64(x), 10)
		case float64:
			p.Text = strconv.FormatFloat(x, 'g', -1, 64)
		case time.Time:
			p.Text = x.UTC().Format("2006-01-02 15:04:05.999999Z07:00")
		case fmt.Stringer:
			p.Text = x.String()
		default:
			return nil, fmt.Errorf("client: argument %d is a %T: want nil, a boolean, a number, text, bytes or a time", i+1, arg)
		}
		list = append(list, p)
	}
	return list, nil
}
