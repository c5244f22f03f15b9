package pgwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/pgcat"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/net/client"
	"actordb/net/wire"
)

// changes reports whether a statement is a command to an actor.
func changes(p *parse.Part) bool { return p.Word == "insert" || p.Word == "call" }

// A command is what a statement comes to: a query of its values, which the node computes,
// and what becomes a core.Command of them.
type command struct {
	tag    string // of the statement, once it is done
	values string
	make   func(values *row.Batch) (core.Command, error)
}

// compile makes a command of a statement.
func (x *session) compile(ctx context.Context, p *parse.Part) (*command, error) {
	s, err := parse.One(p.Text)
	if err != nil {
		return nil, placed(err, p.Text)
	}
	var c *command
	switch s := s.(type) {
	case *tree.Insert:
		c, err = x.insert(ctx, s)
	case *tree.CallStatement:
		c, err = call(s)
	default:
		err = sqlerr.Unsupported(s.At(), "this statement")
	}
	return c, placed(err, p.Text)
}

// placed makes an error of the statement's own tree one of its text.
func placed(err error, text string) error {
	var e *sqlerr.Error
	if !errors.As(err, &e) {
		return err
	}
	return &client.SQLError{State: string(e.State), Message: e.Message, Cure: e.Cure, Position: int(e.Pos), Text: text}
}

// unplaced is an error of the query of values, whose text is not the client's.
func unplaced(err error) error {
	var e *client.SQLError
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Position = -1
	return &c
}

// command runs an INSERT or a CALL.
func (x *session) command(ctx context.Context, p *parse.Part, args []any) (answer, error) {
	if x.status != 'I' {
		return nil, refusal("25006", fmt.Sprintf("cannot execute %s in a transaction, which only reads", upper[p.Word]), "end the transaction first")
	}
	c, err := x.compile(ctx, p)
	if err != nil {
		return nil, err
	}
	rows, err := x.client.Query(ctx, c.values, args...)
	if err != nil {
		return nil, unplaced(err)
	}
	defer rows.Close()
	var types []row.Type
	for _, col := range rows.Columns() {
		t, err := row.ParseType(col.Type)
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	all := row.NewBatch(types)
	for rows.Next() {
		for i := range rows.Batch().N {
			all.AppendRow(rows.Batch(), i)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, unplaced(err)
	}
	cmd, err := c.make(all)
	if err != nil {
		return nil, err
	}
	if _, err := x.client.Do(ctx, cmd); err != nil {
		return nil, commandError(err)
	}
	return done(c.tag), nil
}

var upper = map[string]string{"insert": "INSERT", "call": "CALL"}

// done is the answer of a statement without rows: its tag.
type done string

func (d done) columns() []wire.AnswerColumn             { return nil }
func (d done) next(context.Context) (*row.Batch, error) { return nil, nil }
func (d done) tag() string                              { return string(d) }
func (d done) close()                                   {}

// A field of an event's payload.
type field struct {
	row.Field
	personal bool
}

// eventType is one as system.columns shows it.
type eventType struct {
	fields []field
	system []string
}

// eventType asks the node for an event type.
func (x *session) eventType(ctx context.Context, name tree.Name) (*eventType, error) {
	rows, err := x.client.Query(ctx, `SELECT c.position, c.name, c.type, c.not_null, c.personal, r.kind FROM system.columns AS c JOIN system.relations AS r ON r.name = c.relation
		WHERE c.relation = $1 ORDER BY c.position`, name.Schema+"."+name.Name)
	if err != nil {
		return nil, unplaced(err)
	}
	defer rows.Close()
	t := &eventType{}
	kind := ""
	for rows.Next() {
		b := rows.Batch()
		for i := range b.N {
			text := func(k int) string { return string(b.Cols[k].AppendText(nil, i)) }
			if kind = text(5); b.Cols[0].I[i] == 0 {
				t.system = append(t.system, text(1))
				continue
			}
			typ, err := row.ParseType(text(2))
			if err != nil {
				return nil, err
			}
			t.fields = append(t.fields, field{row.Field{Number: int32(b.Cols[0].I[i]), Column: row.Column{Name: text(1), Type: typ, NotNull: b.Cols[3].I[i] != 0}}, b.Cols[4].I[i] != 0})
		}
	}
	switch {
	case rows.Err() != nil:
		return nil, unplaced(rows.Err())
	case kind == "":
		return nil, sqlerr.At(name.Pos, sqlerr.UndefinedTable, "relation %q does not exist", name.String())
	case kind != "event type":
		return nil, sqlerr.At(name.Pos, "42809", "cannot insert into projection %q", name.String()).Hint("insert into the event types that it reads")
	}
	return t, nil
}

// settable are the columns of every event that an INSERT may give, and one that is not
// shown: the version of the schema that the payload has for the actor's type, 1 if it is
// left out.
var settable = map[string]row.Kind{"key": row.Text, "seq": row.Int8, "event_time": row.Timestamptz, "version": row.Int2}

// insert makes an INSERT one Append: its rows are events, in their order.
func (x *session) insert(ctx context.Context, s *tree.Insert) (*command, error) {
	body, ok := s.Query.Body.(*tree.Values)
	switch {
	case !ok || s.Query.With != nil || len(s.Query.OrderBy) > 0 || s.Query.Limit != nil || s.Query.Offset != nil:
		return nil, sqlerr.Unsupported(s.Pos, "INSERT of anything but VALUES")
	case len(s.Columns) == 0:
		return nil, sqlerr.At(s.Table.Pos, sqlerr.SyntaxError, "an INSERT names its columns").Hint("write INSERT INTO type.event (key, …) VALUES …")
	case len(body.Rows) > core.CommandEventsMax:
		return nil, sqlerr.At(s.Table.Pos, sqlerr.ProgramLimit, "%d events in one command, the limit is %d", len(body.Rows), core.CommandEventsMax)
	}
	t, err := x.eventType(ctx, s.Table)
	if err != nil {
		return nil, err
	}
	types, err := t.columns(s)
	if err != nil {
		return nil, err
	}
	values := &tree.Values{}
	for i, r := range body.Rows {
		if len(r) != len(s.Columns) {
			return nil, sqlerr.At(r[0].At(), sqlerr.SyntaxError, "%d values for %d columns", len(r), len(s.Columns))
		}
		out := []tree.Expr{&tree.Literal{Kind: tree.Integer, Text: strconv.Itoa(i)}}
		for k, e := range r {
			out = append(out, cast(e, types[k]))
		}
		values.Rows = append(values.Rows, out)
	}
	q := &tree.Query{Body: values, OrderBy: []tree.Order{{Expr: &tree.Literal{Kind: tree.Integer, Text: "1"}}}}
	return &command{tag: fmt.Sprintf("INSERT 0 %d", len(body.Rows)), values: tree.PrintQuery(q),
		make: func(b *row.Batch) (core.Command, error) { return t.append(s, b) }}, nil
}

func cast(e tree.Expr, t row.Type) tree.Expr {
	name := &tree.TypeName{Name: pgcat.TypeName(row.Of(t.Kind))}
	if t.Kind == row.Array {
		name = &tree.TypeName{Name: pgcat.TypeName(t.Element()), Array: true}
	}
	return &tree.Cast{X: e, Type: name}
}

// columns are the types of an INSERT's columns.
func (t *eventType) columns(s *tree.Insert) (types []row.Type, err error) {
	for i, name := range s.Columns {
		k := slices.IndexFunc(t.fields, func(f field) bool { return f.Name == name })
		kind, ok := settable[name]
		switch {
		case slices.Contains(s.Columns[:i], name):
			return nil, sqlerr.At(s.Table.Pos, sqlerr.DuplicateColumn, "column %q specified more than once", name)
		case k >= 0:
			types = append(types, t.fields[k].Type)
		case ok:
			types = append(types, row.Of(kind))
		case slices.Contains(t.system, name):
			return nil, sqlerr.At(s.Table.Pos, "428C9", "cannot insert into column %q: the database fills it", name)
		default:
			return nil, sqlerr.At(s.Table.Pos, sqlerr.UndefinedColumn, "column %q of relation %q does not exist", name, s.Table.String())
		}
	}
	if !slices.Contains(s.Columns, "key") {
		return nil, sqlerr.At(s.Table.Pos, "23502", "an event needs the key of its actor").Hint(`give a value for the column "key"`)
	}
	return types, nil
}

// append makes the command of the rows, whose first column is their number.
func (t *eventType) append(s *tree.Insert, b *row.Batch) (c core.Command, err error) {
	col := func(name string) *row.Vector {
		if i := slices.Index(s.Columns, name); i >= 0 {
			return b.Cols[1+i]
		}
		return nil
	}
	key, seq, when, version := col("key"), col("seq"), col("event_time"), col("version")
	if slices.ContainsFunc(t.fields, func(f field) bool { return f.Name == "version" }) {
		version = nil
	}
	plain, personal := t.payloads(b, col, false), t.payloads(b, col, true)
	c.Kind, c.Expected = core.Append, core.AnySeq
	for i := range b.N {
		if key.Null(i) {
			return c, refusal("23502", `null value in column "key" violates not-null constraint`, "")
		}
		id := core.ActorID(s.Table.Schema + "/" + string(key.Bytes(i)))
		switch {
		case i == 0:
			c.Actor = id
		case id != c.Actor:
			return c, refusal("0A000", fmt.Sprintf("an INSERT is one command to one actor, not to %s and %s", c.Actor, id), "send an INSERT for each")
		}
		if seq != nil && !seq.Null(i) {
			if i == 0 && seq.I[0] > 0 {
				c.Expected = core.Seq(seq.I[0] - 1)
			} else if c.Expected == core.AnySeq || core.Seq(seq.I[i]) != c.Expected+core.Seq(i)+1 {
				return c, refusal("22023", "the events' seq are not numbers one after another, from 1", "give the seq that each will have, or none")
			}
		} else if c.Expected != core.AnySeq {
			return c, refusal("22023", "the events' seq are not numbers one after another, from 1", "give the seq that each will have, or none")
		}
		e := core.NewEvent{Type: s.Table.Name, Version: 1}
		if version != nil && !version.Null(i) {
			if version.I[i] < 1 {
				return c, refusal("22023", "versions of schemas begin at 1", "")
			}
			e.Version = uint16(version.I[i])
		}
		if when != nil && !when.Null(i) {
			micros := when.I[i]
			if micros <= 0 || micros > 1<<62/1000 {
				return c, refusal("22008", "an event's time is after 1970 and before 2116", "")
			}
			e.EventTime = core.Timestamp(micros * 1000)
		}
		if e.Payload, err = plain.encode(i); err == nil {
			e.Personal, err = personal.encode(i)
		}
		if err != nil {
			return c, valueError(err)
		}
		c.Events = append(c.Events, e)
	}
	return c, nil
}

// payload is one of an event's two: some fields, with their columns.
type payload struct {
	fields []row.Field
	batch  *row.Batch
}

func (t *eventType) payloads(b *row.Batch, col func(string) *row.Vector, personal bool) payload {
	out := payload{batch: &row.Batch{N: b.N}}
	for _, f := range t.fields {
		if f.personal != personal {
			continue
		}
		v := col(f.Name)
		if v == nil {
			v = row.NewVector(f.Type)
			for range b.N {
				v.AppendNull()
			}
		}
		out.fields, out.batch.Cols = append(out.fields, f.Field), append(out.batch.Cols, v)
	}
	return out
}

func (p *payload) encode(i int) ([]byte, error) { return row.AppendPayload(nil, p.fields, p.batch, i) }

func valueError(err error) error {
	var e *row.Error
	if errors.As(err, &e) {
		return refusal(e.Code, e.Text, "")
	}
	return err
}

// call is CALL send(actor, command, payload [, seq]): a command of the actor's own type.
// The payload is bytes, or a text as its bytes; seq is the actor's last one as the caller
// knows it.
func call(s *tree.CallStatement) (*command, error) {
	c := s.Call
	switch {
	case c.Name != "send" || len(c.Args) < 3 || len(c.Args) > 4:
		return nil, sqlerr.At(c.Pos, sqlerr.UndefinedFunction, "procedure %s with %d arguments does not exist", c.Name, len(c.Args)).Hint("send(actor, command, payload [, seq]) does")
	case c.Star || c.Distinct || c.Filter != nil || c.Over != nil || len(c.OrderBy) > 0:
		return nil, sqlerr.At(c.Pos, sqlerr.SyntaxError, "a procedure takes its arguments alone")
	}
	text := row.Of(row.Text)
	values := []tree.Expr{cast(c.Args[0], text), cast(c.Args[1], text), c.Args[2]}
	if len(c.Args) > 3 {
		values = append(values, cast(c.Args[3], row.Of(row.Int8)))
	}
	q := &tree.Query{Body: &tree.Values{Rows: [][]tree.Expr{values}}}
	return &command{tag: "CALL", values: tree.PrintQuery(q), make: func(b *row.Batch) (core.Command, error) {
		for i, v := range b.Cols {
			if v.Null(0) && i < 3 {
				return core.Command{}, refusal("22004", fmt.Sprintf("argument %d of send is null", i+1), "")
			}
		}
		cmd := core.Command{Kind: core.Decide, Actor: core.ActorID(b.Cols[0].Bytes(0)), Type: string(b.Cols[1].Bytes(0)), Expected: core.AnySeq}
		if cmd.Payload = b.Cols[2].AppendText(nil, 0); b.Cols[2].Type.Kind == row.Bytea {
			cmd.Payload = slices.Clone(b.Cols[2].Bytes(0))
		}
		if len(b.Cols) > 3 && !b.Cols[3].Null(0) {
			if b.Cols[3].I[0] < 0 {
				return cmd, refusal("22023", "seq is 0 or more", "")
			}
			cmd.Expected = core.Seq(b.Cols[3].I[0])
		}
		return cmd, nil
	}}, nil
}

// commandStates are the SQLSTATEs of refusals, PostgreSQL's appendix A.
var commandStates = map[core.Code]string{
	core.CodeRule: "P0001", core.CodeWrongSeq: "40001", core.CodeBadPayload: "22P03", core.CodeOverloaded: "53000", core.CodeWrongShard: "57P03", core.CodeNotLeader: "57P03",
	core.CodeUnknownType: "42704", core.CodeMalformed: "22023", core.CodeTooLarge: "54000", core.CodeSessionExpired: "40003", core.CodeSessionTooLong: "22023",
	core.CodeSessionsFull: "53300", core.CodeBelowFloor: "40003", core.CodeWindowFull: "53000", core.CodeDiskFull: "53100", core.CodeNotPermitted: "42501",
	core.CodeAppendForbidden: "42809", core.CodeReused: "40003", core.CodeStalePlan: "40001", core.CodeNotFresh: "57P03", core.CodeOldVersion: "55000",
}

// commandError is why a command has no good answer, with its SQLSTATE.
func commandError(err error) error {
	var refused *client.Refused
	var unanswered *client.Unanswered
	switch {
	case errors.As(err, &refused):
		state := commandStates[refused.Code]
		if state == "" {
			state = "XX000"
		}
		says := fmt.Sprintf("%s: %s", refused.Actor, refused.Code)
		if refused.Detail != "" {
			says += ": " + refused.Detail
		}
		if refused.Code == core.CodeWrongSeq {
			says += fmt.Sprintf(": the actor is at %d", refused.Seq)
		}
		return refusal(state, says, refused.Code.Cure())
	case errors.As(err, &unanswered) && unanswered.Attempts > 0:
		return refusal("40003", unanswered.Error(), "read the actor: the command may take effect yet")
	case errors.As(err, &unanswered):
		return refusal("57P03", unanswered.Error(), "send it again: it has no effect")
	}
	return err
}
