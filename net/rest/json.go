package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/net/client"
)

// An apiError is an error as clients read it.
type apiError struct {
	status   int
	Code     string `json:"code"` // SQLSTATE, or the name of a command's refusal
	Message  string `json:"message"`
	Cure     string `json:"cure,omitempty"`
	Position int    `json:"position,omitempty"` // in the statement, in characters from 1
	Seq      string `json:"seq,omitempty"`      // wrong-seq: where the actor is
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func bad(code, message, cure string) error {
	return &apiError{status: http.StatusBadRequest, Code: code, Message: message, Cure: cure}
}

// streamed is an error that was told within the answer.
var errStreamed = errors.New("told within the answer")

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, errStreamed) {
		return
	}
	e := errorOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(map[string]*apiError{"error": e})
}

// errorOf makes an error one for clients.
func errorOf(err error) *apiError {
	var e *apiError
	var declined *client.SQLError
	var parsed *sqlerr.Error
	var refused *client.Refused
	var unanswered *client.Unanswered
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &declined):
		e = &apiError{status: statusOf(declined.State), Code: declined.State, Message: declined.Message, Cure: declined.Cure}
		if p := declined.Position; p >= 0 && p <= len(declined.Text) {
			e.Position = utf8.RuneCountInString(declined.Text[:p]) + 1
		}
		return e
	case errors.As(err, &parsed):
		return &apiError{status: statusOf(string(parsed.State)), Code: string(parsed.State), Message: parsed.Message, Cure: parsed.Cure}
	case errors.As(err, &refused):
		e = &apiError{status: refusals[refused.Code], Code: refused.Code.String(), Message: refused.Error(), Cure: refused.Code.Cure()}
		if refused.Code == core.CodeWrongSeq {
			e.Seq = strconv.FormatUint(uint64(refused.Seq), 10)
		}
		if e.status == 0 {
			e.status = http.StatusServiceUnavailable
		}
		return e
	case errors.As(err, &unanswered) && unanswered.Attempts > 0:
		return &apiError{status: http.StatusGatewayTimeout, Code: "outcome-unknown", Message: unanswered.Error(), Cure: "read the actor: the command may take effect yet"}
	case errors.As(err, &unanswered):
		return &apiError{status: http.StatusServiceUnavailable, Code: "not-sent", Message: unanswered.Error(), Cure: "send it again: it has no effect"}
	case errors.As(err, &long):
		return &apiError{status: http.StatusRequestEntityTooLarge, Code: "54000", Message: fmt.Sprintf("a request has at most %d bytes", long.Limit), Cure: "make it smaller"}
	case errors.Is(err, client.ErrClosed):
		return &apiError{status: http.StatusServiceUnavailable, Code: "57P01", Message: "the node is stopping", Cure: "ask another node, or try again later"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &apiError{status: http.StatusServiceUnavailable, Code: "57014", Message: "the request was given up"}
	}
	return &apiError{status: http.StatusInternalServerError, Code: "XX000", Message: err.Error()}
}

// refusals are the statuses of refused commands; 503 of others.
var refusals = map[core.Code]int{
	core.CodeRule: 422, core.CodeWrongSeq: 409, core.CodeBadPayload: 400, core.CodeMalformed: 400, core.CodeTooLarge: 413, core.CodeSessionTooLong: 400,
	core.CodeNotPermitted: 403, core.CodeUnknownType: 404, core.CodeAppendForbidden: 422, core.CodeOverloaded: 429, core.CodeSessionsFull: 429,
	core.CodeWindowFull: 429, core.CodeDiskFull: 507, core.CodeStalePlan: 409,
}

// statusOf is by the class of a SQLSTATE.
func statusOf(state string) int {
	switch {
	case state == "42501":
		return http.StatusForbidden
	case state[:2] == "53":
		return http.StatusTooManyRequests
	case state[:2] == "57" || state[:2] == "08" || state[:2] == "58":
		return http.StatusServiceUnavailable
	case state[:2] == "XX":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// read reads a request's body, in which nothing may be unknown.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	d.UseNumber()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("more than one JSON document")
	}
	var long *http.MaxBytesError
	if err != nil && !errors.As(err, &long) {
		return bad("22P02", "the body: "+err.Error(), "send one JSON object, as /v1/openapi.json describes it")
	}
	return err
}

// params are those of a statement.
func params(list []any) (args []any, err error) {
	for i, p := range list {
		switch x := p.(type) {
		case nil, bool, string:
			args = append(args, x)
		case json.Number:
			args = append(args, x.String())
		default: // of jsonb
			b, err := json.Marshal(x)
			if err != nil {
				return nil, bad("22023", fmt.Sprintf("parameter %d: %v", i+1, err), "")
			}
			args = append(args, string(b))
		}
	}
	return args, nil
}

// appendRow writes a row as an array.
func appendRow(dst []byte, b *row.Batch, i int) []byte {
	dst = append(dst, '[')
	for k, v := range b.Cols {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, v, i)
	}
	return append(dst, ']')
}

// appendValue writes a value: booleans, integers of 32 bits, finite floats and jsonb as JSON
// has them, all else as the text that PostgreSQL shows.
func appendValue(dst []byte, v *row.Vector, i int) []byte {
	if v.Null(i) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case row.Bool:
		return strconv.AppendBool(dst, v.I[i] != 0)
	case row.Int2, row.Int4, row.JSONB:
		return v.AppendText(dst, i)
	case row.Float4, row.Float8:
		text := v.AppendText(nil, i)
		if json.Valid(text) {
			return append(dst, text...)
		}
	}
	b, err := json.Marshal(string(v.AppendText(nil, i)))
	if err != nil {
		return append(dst, "null"...) // a string always has a JSON form
	}
	return append(dst, b...)
}

// column is one of an answer.
type column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// cutText is a cut as JSON has it, a string of digits; cutOf reads it.
func cutText(t core.Timestamp) string { return strconv.FormatInt(int64(t), 10) }

func cutOf(text, what string) (core.Timestamp, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, bad("22023", fmt.Sprintf("%s: %.40q is no cut", what, text), "give one that an answer named")
	}
	return core.Timestamp(n), nil
}
