package rpc

import (
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"actordb/core"
	pb "actordb/net/rpc/actordbv1"
)

// malformed is a message that cannot be put into the engine's words. Its place is
// a path within the message.
func malformed(place, format string, args ...any) *core.Refusal {
	return &core.Refusal{Code: core.CodeMalformed, Detail: place + ": " + fmt.Sprintf(format, args...)}
}

// commandOf reads a command. What core.CheckCommand checks is left to it.
func commandOf(m *pb.Command) (core.Command, *core.Refusal) {
	var c core.Command
	if m == nil {
		return c, malformed("command", "there is none")
	}
	c = core.Command{Actor: core.ActorID(m.Actor), Number: core.CommandNumber(m.Number), AckedBelow: core.CommandNumber(m.AckedBelow), Expected: core.AnySeq}
	if m.ExpectedSeq != nil {
		c.Expected = core.Seq(*m.ExpectedSeq)
		if c.Expected == core.AnySeq {
			return c, malformed("expected_seq", "no actor gets there: leave it out for any")
		}
	}
	if refusal := sessionOf(m, &c); refusal != nil {
		return c, refusal
	}
	switch action := m.Action.(type) {
	case *pb.Command_Append:
		c.Kind = core.Append
		return c, eventsOf(action.Append.GetEvents(), &c)
	case *pb.Command_Decide:
		c.Kind, c.Type, c.Payload = core.Decide, action.Decide.GetType(), action.Decide.GetPayload()
	case *pb.Command_Read:
		c.Kind = core.Read
		if m.Session != "" || m.ExpectedSeq != nil {
			return c, malformed("read", "it has neither a session nor an expected_seq")
		}
		return c, freshnessOf(action.Read, &c)
	default:
		return c, malformed("action", "want append, decide or read")
	}
	return c, nil
}

// freshnessOf reads how new what is read must be.
func freshnessOf(m *pb.Read, c *core.Command) *core.Refusal {
	var f core.Freshness
	switch fresh := m.GetFreshness().(type) {
	case *pb.Read_FromLeader:
		if fresh.FromLeader {
			f.Level = core.FromLeader
		}
	case *pb.Read_MaxAge:
		if !fresh.MaxAge.IsValid() || fresh.MaxAge.AsDuration() < 0 || fresh.MaxAge.AsDuration() > time.Duration(core.MaxAgeMax) {
			return malformed("read.max_age", "want 0 to 24 hours")
		}
		f = core.Freshness{Level: core.Stale, MaxAge: core.Timestamp(fresh.MaxAge.AsDuration())}
	case *pb.Read_Token:
		at, refusal := timestampOf("read.token", fresh.Token)
		if refusal == nil && at == 0 {
			refusal = malformed("read.token", "want an answer's timestamp")
		}
		if refusal != nil {
			return refusal
		}
		f = core.Freshness{Level: core.AtToken, Token: at}
	}
	f.Ask(c)
	return nil
}

func sessionOf(m *pb.Command, c *core.Command) *core.Refusal {
	if m.Session == "" {
		if m.Number != 0 || m.AckedBelow != 0 {
			return malformed("number", "it needs a session: OpenSession makes one")
		}
		return nil
	}
	if hex.DecodedLen(len(m.Session)) != len(c.Session) {
		return malformed("session", "%d characters, want %d", len(m.Session), hex.EncodedLen(len(c.Session)))
	}
	if _, err := hex.Decode(c.Session[:], []byte(m.Session)); err != nil || c.Session == (core.SessionID{}) {
		return malformed("session", "%q is not one that OpenSession made", m.Session)
	}
	return nil
}

func eventsOf(list []*pb.NewEvent, c *core.Command) *core.Refusal {
	if len(list) > core.CommandEventsMax {
		return &core.Refusal{Code: core.CodeTooLarge, Detail: fmt.Sprintf("append.events: %d, the limit is %d", len(list), core.CommandEventsMax)}
	}
	c.Events = make([]core.NewEvent, len(list))
	for i, e := range list {
		place := fmt.Sprintf("append.events[%d]", i)
		if e.GetVersion() > math.MaxUint16 {
			return malformed(place+".version", "%d, the limit is %d", e.GetVersion(), math.MaxUint16)
		}
		at, refusal := timestampOf(place+".event_time", e.GetEventTime())
		if refusal != nil {
			return refusal
		}
		c.Events[i] = core.NewEvent{Type: e.GetType(), Version: uint16(e.GetVersion()), EventTime: at, Payload: e.GetPayload(), Personal: e.GetPersonal()}
	}
	return nil
}

var lastTime = time.Unix(0, math.MaxInt64)

func timestampOf(place string, t *timestamppb.Timestamp) (core.Timestamp, *core.Refusal) {
	if t == nil {
		return 0, nil
	}
	at := t.AsTime()
	if !t.IsValid() || at.Before(time.Unix(0, 1)) || at.After(lastTime) {
		return 0, malformed(place, "want a time after 1970-01-01T00:00:00Z and not after %s", lastTime.UTC().Format(time.RFC3339))
	}
	return core.Timestamp(at.UnixNano()), nil
}

func timestamp(t core.Timestamp) *timestamppb.Timestamp {
	if t == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, int64(t)))
}

func answerMessage(a *core.Answer) *pb.Answer {
	return &pb.Answer{Seq: uint64(a.Seq), Count: a.Count, Timestamp: timestamp(a.Timestamp), State: a.State}
}

func refusalMessage(a *core.Answer) *pb.Refusal {
	return &pb.Refusal{
		Code: uint32(a.Code), Name: a.Code.String(), Status: statuses[a.Status], Detail: a.Detail,
		Final:     a.Status == core.Refused || a.Status == core.RefusedAtDoor && a.Code.Final(),
		Transient: a.Code.Transient(), Seq: uint64(a.Seq), Cure: a.Code.Cure(),
	}
}

var statuses = map[core.Status]pb.Status{
	core.Refused: pb.Status_STATUS_REFUSED, core.RefusedAtDoor: pb.Status_STATUS_REFUSED_AT_DOOR, core.Unknown: pb.Status_STATUS_UNKNOWN,
}

func eventMessages(list []core.Event) []*pb.Event {
	out := make([]*pb.Event, len(list))
	for i := range list {
		e := &list[i]
		out[i] = &pb.Event{
			Seq: uint64(e.Seq), Type: e.Type, Version: uint32(e.Version), EventTime: timestamp(e.EventTime), Committed: timestamp(e.Committed),
			Principal: string(e.Principal), Session: e.Session.String(), Number: uint64(e.Number), Payload: e.Payload, Personal: e.Personal,
		}
	}
	return out
}
