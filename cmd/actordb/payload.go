package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/row"
	"actordb/net/client"
)

// schemas are the event types that the node's catalog declares: payloads of these are
// columns, encoded as their type says, and those of others any bytes.
type schemas map[string]*schema

// schema is one of them. Personal columns are stored apart.
type schema struct {
	plain, personal []row.Field
}

// readSchemas asks the node, again while shards have no leader or are behind. One that
// serves no SQL declares nothing.
func readSchemas(ctx context.Context, c *client.Client) (schemas, error) {
	for {
		list, err := tryReadSchemas(ctx, c)
		var declined *client.SQLError
		if !errors.As(err, &declined) || declined.State != "57P03" || ctx.Err() != nil {
			return list, err
		}
	}
}

func tryReadSchemas(ctx context.Context, c *client.Client) (schemas, error) {
	rows, err := c.Query(ctx, `SELECT relation, position, name, type, not_null, personal FROM system.columns WHERE position > 0 ORDER BY relation, position`)
	var declined *client.SQLError
	switch {
	case errors.As(err, &declined) && declined.State == "0A000":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the event types: %w", err)
	}
	defer rows.Close()
	list := make(schemas)
	for rows.Next() {
		b := rows.Batch()
		for i := range b.N {
			text := func(k int) string { return string(b.Cols[k].AppendText(nil, i)) }
			typ, err := row.ParseType(text(3))
			if err != nil {
				return nil, fmt.Errorf("the event types: %s.%s: %w", text(0), text(2), err)
			}
			f := row.Field{Number: int32(b.Cols[1].I[i]), Column: row.Column{Name: text(2), Type: typ, NotNull: b.Cols[4].I[i] != 0}}
			s := list[text(0)]
			if s == nil {
				s = &schema{}
				list[text(0)] = s
			}
			if b.Cols[5].I[i] != 0 {
				s.personal = append(s.personal, f)
			} else {
				s.plain = append(s.plain, f)
			}
		}
	}
	return list, rows.Err()
}

// encode turns the JSON payloads of a record's event into columns, if its type is
// declared.
func (s schemas) encode(r *record, c *core.Command) error {
	if c.Kind != core.Append || r.PayloadBase64 != nil {
		return nil
	}
	e := &c.Events[0]
	found := s[c.Actor.Type()+"."+e.Type]
	if found == nil {
		return nil
	}
	if err := found.encode(e); err != nil {
		return &recordError{r.line, "payload", err.Error()}
	}
	return nil
}

func (s *schema) encode(e *core.NewEvent) error {
	d := json.NewDecoder(bytes.NewReader(e.Payload))
	d.UseNumber()
	var given map[string]json.RawMessage
	if len(e.Payload) > 0 {
		if err := d.Decode(&given); err != nil {
			return fmt.Errorf("%v; want a JSON object with the columns %s", err, s.names())
		}
	}
	known := slices.Concat(s.plain, s.personal)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(known, func(f row.Field) bool { return f.Name == name }) {
			return fmt.Errorf("no column is called %.60q; want %s", name, s.names())
		}
	}
	var err error
	if e.Payload, err = pack(s.plain, given); err != nil {
		return err
	}
	e.Personal, err = pack(s.personal, given)
	return err
}

func (s *schema) names() string {
	var list []string
	for _, f := range slices.Concat(s.plain, s.personal) {
		list = append(list, f.Name)
	}
	return strings.Join(list, ", ")
}

// pack makes a payload of the fields that are given.
func pack(fields []row.Field, given map[string]json.RawMessage) ([]byte, error) {
	var types []row.Type
	for _, f := range fields {
		types = append(types, f.Type)
	}
	b := row.NewBatch(types)
	b.N = 1
	for i, f := range fields {
		text, null, err := plainText(given[f.Name], f.Type)
		if err == nil && !null {
			err = b.Cols[i].ParseAppend([]byte(text))
		}
		if err != nil {
			return nil, fmt.Errorf("column %s, of type %s: %w", f.Name, f.Type, err)
		}
		if null {
			b.Cols[i].AppendNull()
		}
	}
	return row.AppendPayload(nil, fields, b, 0)
}

// plainText is a JSON value as SQL's text of a type.
func plainText(v json.RawMessage, t row.Type) (text string, null bool, err error) {
	v = bytes.TrimSpace(v)
	switch {
	case len(v) == 0 || string(v) == "null":
		return "", true, nil
	case t.Kind == row.JSONB:
		return string(v), false, nil
	case v[0] == '"':
		err = json.Unmarshal(v, &text)
		return text, false, err
	case v[0] == '[' && t.Kind == row.Array:
		text, err = arrayText(v, t)
		return text, false, err
	case v[0] == '[' || v[0] == '{':
		return "", false, errors.New("an array or object is none")
	}
	return string(v), false, nil
}

func arrayText(v json.RawMessage, t row.Type) (string, error) {
	var elems []json.RawMessage
	if err := json.Unmarshal(v, &elems); err != nil {
		return "", err
	}
	var list []string
	for _, e := range elems {
		text, null, err := plainText(e, row.Of(t.Elem))
		if err != nil {
			return "", err
		}
		if null {
			list = append(list, "NULL")
			continue
		}
		list = append(list, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)+`"`)
	}
	return "{" + strings.Join(list, ",") + "}", nil
}
