package rest

import (
	"encoding/json"
	"net/http"
	"strings"

	"actordb/core/sql/parse"
	"actordb/net/client"
	"actordb/net/wire"
)

// question is the body of POST /v1/sql.
type question struct {
	Statement string `json:"statement"`
	Params    []any  `json:"params"`
	At        string `json:"at"` // the cut of the answer, of an earlier one
}

// one takes a text that holds one statement, and returns its first word.
func one(text string) (word string, err error) {
	parts, err := parse.Split(text)
	if err != nil {
		return "", err
	}
	if len(parts) != 1 {
		return "", bad("42601", "a request holds one statement", "send them one by one")
	}
	return parts[0].Word, nil
}

func columnsOf(list []wire.AnswerColumn) []column {
	out := []column{}
	for _, c := range list {
		out = append(out, column{c.Name, c.Type})
	}
	return out
}

// summary is the end of an answer.
type summary struct {
	Tag   string `json:"tag"`
	Count uint64 `json:"count"`
	Cut   string `json:"cut"`
}

func summaryOf(r *client.Rows) summary { return summary{r.Tag(), r.Count(), cutText(r.Cut())} }

func (s *Server) sql(w http.ResponseWriter, r *http.Request, c *client.Client) error {
	var q question
	if err := read(r, &q); err != nil {
		return err
	}
	word, err := one(q.Statement)
	switch {
	case err != nil:
		return err
	case word == "subscribe":
		return bad("0A000", "a subscription has no end", "use GET /v1/subscribe")
	}
	args, err := params(q.Params)
	if err != nil {
		return err
	}
	at, err := cutOf(q.At, "at")
	if err != nil {
		return err
	}
	rows, err := c.Ask(r.Context(), client.Query{Text: q.Statement, Args: args, At: at})
	if err != nil {
		return err
	}
	defer rows.Close()
	if strings.Contains(r.Header.Get("Accept"), "application/x-ndjson") {
		return streamRows(w, rows)
	}
	return oneDocument(w, rows)
}

// oneDocument answers with all rows at once.
func oneDocument(w http.ResponseWriter, rows *client.Rows) error {
	var list []json.RawMessage
	size := 0
	for rows.Next() {
		b := rows.Batch()
		for i := range b.N {
			line := appendRow(nil, b, i)
			if size += len(line); len(list) == rowsMax || size > answerBytesMax {
				return &apiError{status: http.StatusRequestEntityTooLarge, Code: "54000", Message: "the answer is too large for one document", Cure: "accept application/x-ndjson, or add a LIMIT"}
			}
			list = append(list, line)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if list == nil {
		list = []json.RawMessage{}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(struct {
		Columns []column          `json:"columns"`
		Rows    []json.RawMessage `json:"rows"`
		summary
	}{columnsOf(rows.Columns()), list, summaryOf(rows)})
}

// streamRows answers with a document a line: the columns, each row, the end.
func streamRows(w http.ResponseWriter, rows *client.Rows) error {
	out, err := newStream(w, "application/x-ndjson")
	if err != nil {
		return err
	}
	line := func(x any) error {
		b, err := json.Marshal(x)
		if err != nil {
			return err
		}
		return out.send(append(b, '\n'))
	}
	if err := line(map[string][]column{"columns": columnsOf(rows.Columns())}); err != nil {
		return errStreamed
	}
	var text []byte
	for rows.Next() {
		b := rows.Batch()
		text = text[:0]
		for i := range b.N {
			text = append(appendRow(text, b, i), '\n')
		}
		if out.send(text) != nil {
			return errStreamed // nobody reads
		}
	}
	if err := rows.Err(); err != nil {
		line(map[string]*apiError{"error": errorOf(err)})
	} else {
		line(summaryOf(rows))
	}
	return errStreamed
}
