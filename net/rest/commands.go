package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"actordb/core"
	"actordb/net/client"
)

// order is the body of POST /v1/commands: a command of the actor's own type, or events.
// Payloads are base64, as encoding/json reads bytes.
type order struct {
	Actor    string   `json:"actor"`
	Expected *uint64  `json:"expected"` // the actor's last seq as the caller knows it; left out: any
	Command  string   `json:"command"`
	Payload  []byte   `json:"payload"` // of the command
	Events   []record `json:"events"`
}

type record struct {
	Type      string     `json:"type"`
	Version   uint16     `json:"version"` // 0: 1
	EventTime *time.Time `json:"event_time"`
	Payload   []byte     `json:"payload"`
	Personal  []byte     `json:"personal"`
}

// receipt is the answer.
type receipt struct {
	Seq       string    `json:"seq"`   // of the actor's last event
	Count     int       `json:"count"` // of the events that the command made
	Timestamp time.Time `json:"timestamp"`
}

func (s *Server) commands(w http.ResponseWriter, r *http.Request, c *client.Client) error {
	var o order
	if err := read(r, &o); err != nil {
		return err
	}
	cmd, err := o.command()
	if err != nil {
		return err
	}
	a, err := c.Do(r.Context(), cmd)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(receipt{fmt.Sprint(uint64(a.Seq)), int(a.Count), time.Unix(0, int64(a.Timestamp)).UTC()})
}

func (o *order) command() (cmd core.Command, err error) {
	cmd = core.Command{Actor: core.ActorID(o.Actor), Expected: core.AnySeq, Kind: core.Decide, Type: o.Command, Payload: o.Payload}
	if o.Expected != nil {
		cmd.Expected = core.Seq(*o.Expected)
	}
	switch {
	case (o.Command == "") == (len(o.Events) == 0):
		return cmd, bad("22023", "a request has either a command, or events", "leave one out")
	case o.Command != "":
		return cmd, nil
	case len(o.Payload) > 0:
		return cmd, bad("22023", "a payload without a command", "give each event its own")
	}
	cmd.Kind, cmd.Type = core.Append, ""
	for i, x := range o.Events {
		e := core.NewEvent{Type: x.Type, Version: max(x.Version, 1), Payload: x.Payload, Personal: x.Personal}
		if x.EventTime != nil {
			if y := x.EventTime.Year(); y < 1971 || y > 2200 {
				return cmd, bad("22008", fmt.Sprintf("event %d: its time is not from 1971 to 2200", i), "")
			}
			e.EventTime = core.Timestamp(x.EventTime.UnixNano())
		}
		cmd.Events = append(cmd.Events, e)
	}
	return cmd, nil
}
