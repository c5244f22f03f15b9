package pgwire

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/net/client"
	"actordb/net/wire"
)

// simple runs a text of statements, one after another, until one fails.
func (x *session) simple(text string) {
	parts, err := parse.Split(text)
	if err != nil {
		x.fail(err, 0)
		return
	}
	if len(parts) == 0 {
		x.back.Send(&pgproto3.EmptyQueryResponse{})
	}
	for i := range parts {
		if err := x.statement(&parts[i]); err != nil {
			x.fail(err, utf8.RuneCountInString(text[:parts[i].At]))
			return
		}
	}
}

// statement runs one, and tells everything about its answer.
func (x *session) statement(p *parse.Part) error {
	if err := x.allowed(p); err != nil {
		return err
	}
	if isLocal(p) {
		name, value, tag, err := x.local(p)
		if err != nil {
			return err
		}
		if name != "" {
			x.back.Send(rowDescription([]wire.AnswerColumn{{Name: name, Type: "text"}}, nil))
			x.back.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(value)}})
		}
		x.back.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
		return nil
	}
	ctx, end := x.begin()
	defer end()
	if inner, ok := copied(p); ok {
		return x.copyOut(ctx, inner)
	}
	a, err := x.ask(ctx, p, nil)
	if err != nil {
		return err
	}
	defer a.close()
	if len(a.columns()) > 0 {
		x.back.Send(rowDescription(a.columns(), nil))
	}
	w := rowWriter{x: x}
	if _, err := w.write(ctx, a, 0); err != nil {
		return err
	}
	x.back.Send(&pgproto3.CommandComplete{CommandTag: []byte(a.tag())})
	return nil
}

// allowed refuses what may not be in a transaction that failed.
func (x *session) allowed(p *parse.Part) error {
	if ends := p.Word == "commit" || p.Word == "end" || p.Word == "rollback" || p.Word == "abort"; x.status == 'E' && !ends {
		return refusal("25P02", "current transaction is aborted, commands ignored until end of transaction block", "")
	}
	return nil
}

// An answer is what a statement returns, piece by piece.
type answer interface {
	columns() []wire.AnswerColumn
	next(ctx context.Context) (*row.Batch, error) // nil: there is no more
	tag() string                                  // then
	close()
}

// ask runs a statement on the node.
func (x *session) ask(ctx context.Context, p *parse.Part, args []any) (answer, error) {
	if changes(p) {
		return x.command(ctx, p, args)
	}
	if err := x.pin(ctx); err != nil {
		return nil, err
	}
	if p.Word == "subscribe" && x.cut == 0 {
		return x.subscribe(ctx, p.Text, args)
	}
	rows, err := x.client.Ask(ctx, client.Query{Text: p.Text, Args: args, At: x.cut})
	if err != nil {
		return nil, err
	}
	return answerRows{rows}, nil
}

// answerRows are the rows of a query.
type answerRows struct{ rows *client.Rows }

func (a answerRows) columns() []wire.AnswerColumn { return a.rows.Columns() }
func (a answerRows) close()                       { a.rows.Close() }

func (a answerRows) next(context.Context) (*row.Batch, error) {
	if a.rows.Next() {
		return a.rows.Batch(), nil
	}
	return nil, a.rows.Err()
}

func (a answerRows) tag() string {
	if t := a.rows.Tag(); t != "SELECT" {
		return t
	}
	return fmt.Sprintf("SELECT %d", a.rows.Count())
}

// rowDescription describes columns. Formats are as in a Bind: none, one for all, or one
// for each; nil is text.
func rowDescription(cols []wire.AnswerColumn, formats []int16) *pgproto3.RowDescription {
	m := &pgproto3.RowDescription{}
	for i, c := range cols {
		oid := oidOf(c.Type)
		m.Fields = append(m.Fields, pgproto3.FieldDescription{Name: []byte(c.Name), DataTypeOID: oid, DataTypeSize: sizeOf(oid), TypeModifier: -1, Format: formatOf(formats, i)})
	}
	return m
}

func formatOf(formats []int16, i int) int16 {
	switch {
	case len(formats) == 0:
		return 0
	case len(formats) == 1:
		return formats[0]
	}
	return formats[i]
}

// rowWriter sends rows. It keeps where it is in a batch, for a portal that is suspended.
type rowWriter struct {
	x       *session
	formats []int16
	oids    []uint32
	batch   *row.Batch
	at      int
	message pgproto3.DataRow
	text    []byte
	sent    int
}

// flushRows is how many are written before they are sent off.
const flushRows = 512

// write sends rows, at most so many, or all if max is 0. It reports whether there may be
// more.
func (w *rowWriter) write(ctx context.Context, a answer, max int) (more bool, err error) {
	if w.oids == nil {
		w.oids = oidsOf(a.columns())
	}
	for n := 0; max == 0 || n < max; n++ {
		for w.batch == nil || w.at == w.batch.N {
			if w.batch != nil || w.sent == 0 { // what waits for more is shown first
				if err := w.x.flush(); err != nil {
					return false, err
				}
			}
			if w.batch, err = a.next(ctx); w.batch == nil || err != nil {
				return false, err
			}
			w.at = 0
		}
		if err := w.row(); err != nil {
			return false, err
		}
		w.at++
		if w.sent++; w.sent%flushRows == 0 {
			if err := w.x.flush(); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// row sends one.
func (w *rowWriter) row() error {
	w.text, w.message.Values = w.text[:0], w.message.Values[:0]
	for i, c := range w.batch.Cols {
		if c.Null(w.at) {
			w.message.Values = append(w.message.Values, nil)
			continue
		}
		from := len(w.text)
		w.text = c.AppendText(w.text, w.at)
		value := w.text[from:len(w.text):len(w.text)]
		if formatOf(w.formats, i) == 1 {
			b, err := w.x.values.binary(w.oids[i], value)
			if err != nil {
				return fmt.Errorf("column %d has no binary form: %w", i+1, err)
			}
			value = b
		}
		if value == nil {
			value = []byte{} // empty, and not null
		}
		w.message.Values = append(w.message.Values, value)
	}
	w.x.back.Send(&w.message)
	return nil
}
