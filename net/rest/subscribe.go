package rest

import (
	"encoding/json"
	"fmt"
	"net/http"

	"actordb/net/client"
)

// subscribe sends a subscription's changes as server-sent events: columns first, then a
// change for each row that comes or goes, and a step, which has the cut as its id, when all
// changes up to it were sent. After a restart, changes since the last step are void.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, c *client.Client) error {
	query := r.URL.Query()
	text := query.Get("statement")
	word, err := one(text)
	switch {
	case err != nil:
		return err
	case word != "subscribe":
		return bad("42601", "the statement is none that subscribes", "write SUBSCRIBE TO and a projection")
	}
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = query.Get("last_event_id")
	}
	after, err := cutOf(last, "Last-Event-ID")
	if err != nil {
		return err
	}
	sub, err := c.Subscribe(r.Context(), text, after)
	if err != nil {
		return err
	}
	defer sub.Close()
	out, err := newStream(w, "text/event-stream")
	if err != nil {
		return err
	}
	columns, err := json.Marshal(columnsOf(sub.Columns()))
	if err != nil {
		return err
	}
	if out.send(fmt.Appendf(nil, "event: columns\ndata: %s\n\n", columns)) != nil {
		return errStreamed
	}
	var events []byte
	for {
		change, err := sub.Next(r.Context())
		if err == nil {
			if _, judged := s.cfg.Judge(r); judged != nil { // a stream outlives a certificate
				err = unauthorized(judged)
			}
		}
		events = events[:0]
		switch {
		case err != nil:
			if b, e := json.Marshal(map[string]*apiError{"error": errorOf(err)}); e == nil {
				out.send(fmt.Appendf(nil, "event: error\ndata: %s\n\n", b))
			}
			return errStreamed
		case change.Restart:
			events = append(events, "event: restart\ndata: {}\n\n"...)
		case change.Step:
			events = fmt.Appendf(events, "event: step\nid: %s\ndata: {\"cut\":\"%s\"}\n\n", cutText(change.Cut), cutText(change.Cut))
		}
		for i := range change.Rows.N {
			events = fmt.Appendf(events, "event: change\ndata: {\"weight\":%d,\"row\":", change.Weights[i])
			events = append(appendRow(events, change.Rows, i), "}\n\n"...)
		}
		if out.send(events) != nil {
			return errStreamed
		}
	}
}
