package pgwire

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"

	"actordb/core/sql/parse"
	"actordb/net/client"
	"actordb/net/wire"
)

// prepared is a statement that was parsed.
type prepared struct {
	part    *parse.Part // nil: an empty text
	params  []uint32
	columns []wire.AnswerColumn
}

// portal is a statement with its arguments.
type portal struct {
	of      *prepared
	args    []any
	formats []int16
	answer  answer // nil: it was not executed
	stop    context.CancelCauseFunc
	ctx     context.Context
	writer  rowWriter
	done    bool
}

// parse prepares a statement.
func (x *session) parse(m *pgproto3.Parse) error {
	if m.Name != "" && x.prepared[m.Name] != nil {
		return refusal("42P05", fmt.Sprintf("prepared statement %q already exists", m.Name), "close it, or choose another name")
	}
	if len(x.prepared) >= statementsMax {
		return refusal("53000", fmt.Sprintf("%d statements are prepared", len(x.prepared)), "close some")
	}
	parts, err := parse.Split(m.Query)
	if err != nil {
		return err
	}
	p := &prepared{}
	switch {
	case len(parts) > 1:
		return refusal("42601", "cannot insert multiple commands into a prepared statement", "prepare them one by one")
	case len(parts) == 1:
		// Positions are in the client's text.
		p.part = &parse.Part{Text: m.Query, Word: parts[0].Word}
		if isLocal(p.part) {
			p.part = &parts[0]
			break
		}
		if err := x.allowed(p.part); err != nil {
			return err
		}
		ctx, end := x.begin()
		d, err := x.described(ctx, p.part)
		if err != nil {
			err = cause(ctx, err) // before the context ends by itself
		}
		end()
		if err != nil {
			return err
		}
		p.columns = d.Columns
		if p.part.Word == "subscribe" {
			p.columns = append(append([]wire.AnswerColumn{}, subscribed...), d.Columns...)
		}
		for _, t := range d.Params {
			p.params = append(p.params, oidOf(t))
		}
	}
	for i, oid := range m.ParameterOIDs {
		if i < len(p.params) && oid != 0 {
			p.params[i] = oid
		}
	}
	if p.part != nil && p.part.Word == "show" {
		p.columns = []wire.AnswerColumn{{Name: "setting", Type: "text"}}
	}
	x.prepared[m.Name] = p
	x.back.Send(&pgproto3.ParseComplete{})
	return nil
}

// described asks the node what a statement takes and returns.
func (x *session) described(ctx context.Context, p *parse.Part) (*client.Description, error) {
	if changes(p) {
		c, err := x.compile(ctx, p)
		if err != nil {
			return nil, err
		}
		d, err := x.client.Describe(ctx, c.values, 0)
		if err != nil {
			return nil, unplaced(err)
		}
		return &client.Description{Params: d.Params}, nil
	}
	if err := x.pin(ctx); err != nil {
		return nil, err
	}
	return x.client.Describe(ctx, p.Text, x.cut)
}

// cause is why a context ended, if that is the error.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

func (x *session) statementOf(name string) (*prepared, error) {
	if p := x.prepared[name]; p != nil {
		return p, nil
	}
	return nil, refusal("26000", fmt.Sprintf("prepared statement %q does not exist", name), "")
}

func (x *session) portalOf(name string) (*portal, error) {
	if p := x.portals[name]; p != nil {
		return p, nil
	}
	return nil, refusal("34000", fmt.Sprintf("portal %q does not exist", name), "")
}

// describe tells of a statement, or of a portal.
func (x *session) describe(m *pgproto3.Describe) error {
	var p *prepared
	var formats []int16
	var err error
	if m.ObjectType == 'S' {
		if p, err = x.statementOf(m.Name); err != nil {
			return err
		}
		x.back.Send(&pgproto3.ParameterDescription{ParameterOIDs: p.params})
	} else {
		o, err := x.portalOf(m.Name)
		if err != nil {
			return err
		}
		p, formats = o.of, o.formats
	}
	if len(p.columns) == 0 {
		x.back.Send(&pgproto3.NoData{})
	} else {
		x.back.Send(rowDescription(p.columns, formats))
	}
	return nil
}

// bind makes a portal.
func (x *session) bind(m *pgproto3.Bind) error {
	p, err := x.statementOf(m.PreparedStatement)
	if err != nil {
		return err
	}
	switch n := len(m.ParameterFormatCodes); {
	case m.DestinationPortal != "" && x.portals[m.DestinationPortal] != nil:
		return refusal("42P03", fmt.Sprintf("portal %q already exists", m.DestinationPortal), "close it first")
	case len(x.portals) >= portalsMax:
		return refusal("53000", fmt.Sprintf("%d portals are open", len(x.portals)), "close some")
	case len(m.Parameters) != len(p.params):
		return refusal("08P01", fmt.Sprintf("%d parameters are bound, the statement has %d", len(m.Parameters), len(p.params)), "")
	case n > 1 && n != len(m.Parameters):
		return refusal("08P01", fmt.Sprintf("%d formats for %d parameters", n, len(m.Parameters)), "")
	}
	if n := len(m.ResultFormatCodes); n > 1 && n != len(p.columns) {
		return refusal("08P01", fmt.Sprintf("%d formats for %d columns", n, len(p.columns)), "")
	}
	o := &portal{of: p, formats: append([]int16{}, m.ResultFormatCodes...)}
	for i, b := range m.Parameters {
		if b == nil {
			o.args = append(o.args, nil)
			continue
		}
		if formatOf(m.ParameterFormatCodes, i) == 1 {
			if b, err = x.values.text(p.params[i], b); err != nil {
				return refusal("22P03", fmt.Sprintf("parameter $%d: %v", i+1, err), "")
			}
		}
		o.args = append(o.args, string(b))
	}
	if old := x.portals[m.DestinationPortal]; old != nil {
		old.close()
	}
	x.portals[m.DestinationPortal] = o
	x.back.Send(&pgproto3.BindComplete{})
	return nil
}

// execute runs a portal, or goes on with it.
func (x *session) execute(m *pgproto3.Execute) error {
	o, err := x.portalOf(m.Portal)
	if err != nil {
		return err
	}
	p := o.of.part
	switch {
	case p == nil:
		x.back.Send(&pgproto3.EmptyQueryResponse{})
		return nil
	case o.done:
		x.back.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")})
		return nil
	}
	if err := x.allowed(p); err != nil {
		return err
	}
	if isLocal(p) {
		name, value, tag, err := x.local(p)
		if err != nil {
			return err
		}
		if name != "" {
			x.back.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(value)}})
		}
		x.back.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
		return nil
	}
	if o.ctx == nil {
		o.ctx, o.stop = x.context()
		o.writer = rowWriter{x: x, formats: o.formats}
	}
	x.running(o.stop)
	defer x.running(nil)
	if o.answer == nil {
		if o.answer, err = x.ask(o.ctx, p, o.args); err != nil {
			o.done = true
			return cause(o.ctx, err)
		}
	}
	more, err := o.writer.write(o.ctx, o.answer, int(m.MaxRows))
	switch {
	case err != nil:
		o.done = true
		return cause(o.ctx, err)
	case more:
		x.back.Send(&pgproto3.PortalSuspended{})
		return nil
	}
	o.done = true
	x.back.Send(&pgproto3.CommandComplete{CommandTag: []byte(o.answer.tag())})
	return nil
}

// running says what a cancel request ends.
func (x *session) running(stop context.CancelCauseFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stop = stop
}

func (o *portal) close() {
	if o.answer != nil {
		o.answer.close()
	}
	if o.stop != nil {
		o.stop(client.ErrClosed)
	}
}

// close closes a statement or a portal, if it is there.
func (x *session) close(m *pgproto3.Close) {
	if m.ObjectType == 'S' {
		delete(x.prepared, m.Name)
	} else if o := x.portals[m.Name]; o != nil {
		o.close()
		delete(x.portals, m.Name)
	}
	x.back.Send(&pgproto3.CloseComplete{})
}

func (x *session) closePortals() {
	for _, o := range x.portals {
		o.close()
	}
	clear(x.portals)
}
