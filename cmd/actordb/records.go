package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"actordb/core"
)

// recordBytesMax bounds one line: the largest payload in base64 and what
// stands around it, or one in JSON with room for its escapes.
const recordBytesMax = 8 << 20

// A recordError is input that is no record: where, and what to do.
type recordError struct {
	Line  int
	Field string // or column of a CSV file; empty: the line as a whole
	What  string
}

func (e *recordError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.What)
	}
	return fmt.Sprintf("line %d, %s: %s", e.Line, e.Field, e.What)
}

// A record is one line of input, before it is checked.
type record struct {
	line int

	Actor         string          `json:"actor"`
	Type          string          `json:"type"`
	Command       string          `json:"command"`
	Version       *uint16         `json:"version"`
	EventTime     json.RawMessage `json:"event_time"`
	Payload       json.RawMessage `json:"payload"`
	PayloadBase64 *string         `json:"payload_base64"`
	Expected      *uint64         `json:"expected"`
}

// columns are the fields' names, in CSV those of the first line.
var columns = []string{"actor", "type", "command", "version", "event_time", "payload", "payload_base64", "expected"}

// command checks a record and makes a command of it.
func (r *record) command() (core.Command, error) {
	bad := func(field, format string, args ...any) (core.Command, error) {
		return core.Command{}, &recordError{r.line, field, fmt.Sprintf(format, args...)}
	}
	c := core.Command{Actor: core.ActorID(r.Actor), Number: 1, Expected: core.AnySeq}
	if r.Actor == "" {
		return bad("actor", "it is missing; want type/key, such as stream/orders")
	}
	if err := c.Actor.Validate(); err != nil {
		return bad("actor", "%v", err)
	}
	payload := []byte(r.Payload)
	if r.PayloadBase64 != nil {
		if r.Payload != nil {
			return bad("payload_base64", "there is a payload as well; give one of them")
		}
		var err error
		if payload, err = base64.StdEncoding.DecodeString(*r.PayloadBase64); err != nil {
			return bad("payload_base64", "%v; want base64 (RFC 4648, with padding)", err)
		}
	}
	if r.Expected != nil {
		if c.Expected = core.Seq(*r.Expected); c.Expected == core.AnySeq {
			return bad("expected", "it is too large; leave it out for any sequence")
		}
	}
	switch {
	case r.Type != "" && r.Command != "":
		return bad("command", "there is a type as well; type is an event's, command a command's: give one of them")
	case r.Command != "":
		if r.Version != nil || r.EventTime != nil {
			return bad("command", "version and event_time are an event's; leave them out")
		}
		c.Kind, c.Type, c.Payload = core.Decide, r.Command, payload
	case r.Type == "":
		return bad("type", "it is missing; name the event's type, such as placed")
	default:
		e := core.NewEvent{Type: r.Type, Version: 1, Payload: payload}
		if r.Version != nil {
			e.Version = *r.Version
		}
		if r.EventTime != nil {
			at, err := eventTime(r.EventTime)
			if err != nil {
				return bad("event_time", "%v; want RFC 3339, such as 2026-01-31T12:00:00Z, or nanoseconds since 1970", err)
			}
			e.EventTime = at
		}
		c.Kind, c.Events = core.Append, []core.NewEvent{e}
	}
	if code, detail := core.CheckCommand(&c); code != core.CodeNone {
		return bad("", "%s: %s", code, detail)
	}
	return c, nil
}

// eventTime reads a JSON number of nanoseconds or a string, which may lack its
// quotes.
func eventTime(b []byte) (core.Timestamp, error) {
	s := strings.Trim(string(b), `"`)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return core.Timestamp(n), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no time", s)
	}
	n := t.UnixNano()
	if !time.Unix(0, n).Equal(t) {
		return 0, fmt.Errorf("%.40q is not between 1678 and 2262", s)
	}
	return core.Timestamp(n), nil
}

// records reads input record by record; next returns io.EOF at its end. What it
// returns shares no memory with what comes later.
type records interface {
	next() (*record, error)
}

// ndjson is a JSON object on each line; empty lines are passed over.
type ndjson struct {
	lines *bufio.Scanner
	line  int
}

func newNDJSON(r io.Reader) *ndjson {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), recordBytesMax)
	return &ndjson{lines: s}
}

func (n *ndjson) next() (*record, error) {
	for n.lines.Scan() {
		n.line++
		b := n.lines.Bytes()
		if len(bytes.TrimSpace(b)) > 0 {
			return parseJSON(n.line, b)
		}
	}
	if err := n.lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, &recordError{Line: n.line + 1, What: fmt.Sprintf("over %d bytes; a payload may have %d", recordBytesMax, core.PayloadBytesMax)}
	} else if err != nil {
		return nil, err
	}
	return nil, io.EOF
}

func parseJSON(line int, b []byte) (*record, error) {
	r := &record{line: line}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(r)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return nil, &recordError{Line: line, What: fmt.Sprintf("byte %d: %v; want one JSON object on each line", syntax.Offset, err)}
	case errors.As(err, &kind) && kind.Field != "":
		return nil, &recordError{line, kind.Field, fmt.Sprintf("it is a %s; want a %s", kind.Value, kindName(kind.Field))}
	case errors.As(err, &kind):
		return nil, &recordError{Line: line, What: fmt.Sprintf("it is a %s; want a JSON object", kind.Value)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &recordError{Line: line, What: "the object does not end; want one JSON object on each line"}
	case err != nil:
		field, found := strings.CutPrefix(err.Error(), "json: unknown field ")
		if !found {
			return nil, &recordError{Line: line, What: err.Error()}
		}
		return nil, &recordError{line, strings.Trim(field, `"`), "no such field; want " + strings.Join(columns, ", ")}
	}
	if rest := bytes.TrimSpace(b[d.InputOffset():]); len(rest) > 0 {
		return nil, &recordError{Line: line, What: fmt.Sprintf("byte %d: something follows the object; want one on each line", d.InputOffset()+1)}
	}
	return r, nil
}

func kindName(field string) string {
	switch field {
	case "version":
		return "number from 1 to 65535"
	case "expected":
		return "number from 0"
	}
	return "string"
}

// csvRecords are lines below one that names the columns. A payload is taken as it
// is; an empty field is as good as none.
type csvRecords struct {
	reader *csv.Reader
	names  []string
}

func newCSV(r io.Reader) (*csvRecords, error) {
	c := &csvRecords{reader: csv.NewReader(r)}
	c.reader.ReuseRecord = true
	head, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, &recordError{Line: 1, What: "the input is empty; want a first line with the columns' names"}
	}
	if err != nil {
		return nil, csvError(err)
	}
	for i, name := range head {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff") // some programs begin a file with a byte order mark
		}
		switch {
		case !slices.Contains(columns, name):
			return nil, &recordError{1, fmt.Sprintf("column %d", i+1), fmt.Sprintf("no column is called %.40q; want %s", name, strings.Join(columns, ", "))}
		case slices.Contains(c.names, name):
			return nil, &recordError{1, name, "the column stands twice"}
		}
		c.names = append(c.names, strings.Clone(name))
	}
	if !slices.Contains(c.names, "actor") {
		return nil, &recordError{1, "actor", "the column is missing; the first line names the columns"}
	}
	return c, nil
}

func csvError(err error) error {
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return &recordError{Line: bad.Line, What: fmt.Sprintf("byte %d: %v; want CSV as in RFC 4180", bad.Column, bad.Err)}
	}
	return err
}

func (c *csvRecords) next() (*record, error) {
	fields, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, err
	}
	if err != nil {
		return nil, csvError(err)
	}
	line, _ := c.reader.FieldPos(0)
	r := &record{line: line}
	size := 0
	for i, value := range fields {
		if size += len(value); size > recordBytesMax {
			return nil, &recordError{Line: line, What: fmt.Sprintf("over %d bytes; a payload may have %d", recordBytesMax, core.PayloadBytesMax)}
		}
		if value == "" {
			continue
		}
		if err := r.set(c.names[i], strings.Clone(value)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// set sets a field from its column.
func (r *record) set(name, value string) error {
	number := func(bits int) (uint64, error) {
		n, err := strconv.ParseUint(value, 10, bits)
		if err != nil {
			return 0, &recordError{r.line, name, fmt.Sprintf("%.40q; want a %s", value, kindName(name))}
		}
		return n, nil
	}
	switch name {
	case "actor":
		r.Actor = value
	case "type":
		r.Type = value
	case "command":
		r.Command = value
	case "event_time":
		r.EventTime = json.RawMessage(value)
	case "payload":
		r.Payload = json.RawMessage(value)
	case "payload_base64":
		r.PayloadBase64 = &value
	case "version":
		n, err := number(16)
		v := uint16(n)
		r.Version = &v
		return err
	case "expected":
		n, err := number(64)
		r.Expected = &n
		return err
	}
	return nil
}
