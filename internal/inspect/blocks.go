package inspect

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/internal/history"
)

// A Block is one entry of a log in full.
type Block struct {
	Shard     core.ShardID `json:"shard"`
	Index     core.Index   `json:"index"`
	Term      core.Term    `json:"term"`
	File      string       `json:"file"`
	Offset    int64        `json:"offset"`
	Bytes     int          `json:"bytes"`
	Kind      string       `json:"kind"` // commands, fence, or empty: a leader's first entry
	Hash      string       `json:"hash,omitempty"`
	Decided   Conditions   `json:"decided_on"`
	Timestamp string       `json:"timestamp,omitempty"`
	Raise     core.Epoch   `json:"raise,omitempty"`
	Version   core.Version `json:"version,omitempty"`
	Decider   uint64       `json:"decider,omitempty"` // replica; of version 2 and on
	Wall      string       `json:"wall,omitempty"`    // its clock; likewise
	Outcomes  []Outcome    `json:"outcomes,omitempty"`
	Events    []Event      `json:"events,omitempty"`
	States    []LightState `json:"states,omitempty"`
	Actors    []ActorIndex `json:"actors,omitempty"` // footer
	Types     []TypeIndex  `json:"types,omitempty"`  // footer
}

// Conditions are what a block was decided on: it is void on any other history.
type Conditions struct {
	Extends     string     `json:"extends"`
	Term        core.Term  `json:"term"`
	SlotEpoch   core.Epoch `json:"slot_epoch"`
	PolicyEpoch core.Epoch `json:"policy_epoch"`
	Catalog     core.Epoch `json:"catalog"`
}

// An Outcome is the recorded answer to one command.
type Outcome struct {
	Session    string             `json:"session"`
	Number     core.CommandNumber `json:"number"`
	AckedBelow core.CommandNumber `json:"acked_below,omitempty"`
	Digest     string             `json:"digest,omitempty"`
	Actor      core.ActorID       `json:"actor,omitempty"`
	Principal  core.Principal     `json:"principal,omitempty"`
	Answer     string             `json:"answer"` // accepted, or the refusal's code
	Detail     string             `json:"detail,omitempty"`
	Seq        core.Seq           `json:"seq"`
	Count      uint32             `json:"events"`
	Timestamp  string             `json:"timestamp,omitempty"`
}

// An Event is one event of an actor.
type Event struct {
	Shard     core.ShardID       `json:"shard"`
	Block     core.Index         `json:"block"`
	Ordinal   int                `json:"ordinal"`
	Actor     core.ActorID       `json:"actor"`
	Seq       core.Seq           `json:"seq"`
	Type      string             `json:"type"`
	Version   uint16             `json:"version"`
	EventTime string             `json:"event_time"`
	Committed string             `json:"committed"`
	Session   string             `json:"session"`
	Number    core.CommandNumber `json:"number"`
	Principal core.Principal     `json:"principal"`
	Payload   *Value             `json:"payload"`
	Personal  *Value             `json:"personal,omitempty"`
	Erased    bool               `json:"personal_erased,omitempty"`
	Leaf      string             `json:"leaf"`
}

// A LightState is a state that a block carries.
type LightState struct {
	Actor core.ActorID `json:"actor"`
	Seq   core.Seq     `json:"seq"`
	State State        `json:"state"`
}

// An ActorIndex is an actor's line of the footer.
type ActorIndex struct {
	Actor core.ActorID `json:"actor"`
	Prev  core.Index   `json:"previous_block"`
	First core.Seq     `json:"first_seq"`
	Rows  []uint32     `json:"events"`
}

// A TypeIndex is an event type's line of the footer.
type TypeIndex struct {
	Type string   `json:"type"`
	Rows []uint32 `json:"events"`
}

// Block shows one entry.
func (d *Dir) Block(id core.ShardID, index core.Index) (*Block, error) {
	s, err := d.shard(id)
	if err != nil {
		return nil, err
	}
	if index <= s.log.Floor || index > s.log.Last() {
		return nil, fmt.Errorf("entry %d of shard %d: %w; the log holds %d to %d", index, id, ErrNone, s.log.Floor+1, s.log.Last())
	}
	e, err := s.log.Entry(index)
	if err != nil {
		return nil, err
	}
	out := &Block{Shard: id, Index: index, Term: e.Term, Bytes: len(e.Data), Kind: "empty"}
	out.File, out.Offset = s.log.Place(index)
	if len(e.Data) == 0 {
		return out, nil
	}
	b, err := journal.ParseBlock(e.Data)
	if err != nil {
		return nil, &history.Problem{File: out.File, Offset: out.Offset, Entry: index, What: err.Error(), Cure: "restore the directory from a backup"}
	}
	hash := b.Hash()
	out.Kind, out.Hash, out.Timestamp, out.Raise = b.Kind.String(), hex.EncodeToString(hash[:]), b.Timestamp.String(), b.Raise
	if out.Version = b.Version; b.Version >= 2 {
		out.Decider, out.Wall = b.Decider, b.Wall.String()
	}
	out.Decided = Conditions{hex.EncodeToString(b.Extends[:]), b.Term, b.SlotEpoch, b.PolicyEpoch, b.Catalog}
	for i := range b.Outcomes {
		o := &b.Outcomes[i]
		out.Outcomes = append(out.Outcomes, Outcome{Session: o.Session.String(), Number: o.Number, AckedBelow: o.AckedBelow,
			Digest: fmt.Sprintf("%016x", o.Digest), Actor: b.Actors[o.Actor].ID, Principal: o.Principal,
			Answer: answerOf(o.Code), Detail: o.Detail, Seq: o.Seq, Count: o.Count})
	}
	for i := range b.Rows() {
		out.Events = append(out.Events, eventOf(id, index, b, i))
	}
	for _, l := range b.States() {
		actor := b.Actors[l.Actor].ID
		out.States = append(out.States, LightState{actor, l.Seq, d.state(actor.Type(), l.State)})
	}
	for i := range b.Actors {
		a := &b.Actors[i]
		out.Actors = append(out.Actors, ActorIndex{a.ID, a.Prev, a.First, a.Rows})
	}
	for i := range b.Types {
		out.Types = append(out.Types, TypeIndex{b.Types[i].Name, b.Types[i].Rows})
	}
	return out, nil
}

func answerOf(code core.Code) string {
	if code == core.CodeNone {
		return "accepted"
	}
	return code.String()
}

func eventOf(id core.ShardID, index core.Index, b *journal.Block, ordinal int) Event {
	e, r, leaf := b.Event(ordinal), &b.Rows()[ordinal], b.Leaf(ordinal)
	return Event{Shard: id, Block: index, Ordinal: ordinal, Actor: e.Actor, Seq: e.Seq, Type: e.Type, Version: e.Version,
		EventTime: e.EventTime.String(), Committed: e.Committed.String(), Session: e.Session.String(), Number: e.Number,
		Principal: e.Principal, Payload: valueOf(e.Payload), Personal: valueOf(e.Personal), Erased: r.Erased, Leaf: hex.EncodeToString(leaf[:])}
}

// walk visits the blocks of a shard that took effect.
func (s *shardDir) walk(visit func(a *history.Applied) error) error {
	if len(s.log.Segments) == 0 {
		return nil
	}
	w, err := s.log.NewWalk(s.derived)
	if err != nil {
		return err
	}
	for {
		a, err := w.Next()
		if a == nil || err != nil {
			return err
		}
		if a.Block == nil || a.Void {
			continue
		}
		if err := visit(a); err != nil {
			return err
		}
	}
}

// An Actor is an actor's history.
type Actor struct {
	Actor     core.ActorID `json:"actor"`
	Seq       core.Seq     `json:"seq"`
	Compacted core.Seq     `json:"compacted"` // events up to here are gone; a snapshot stands for them
	Events    []Event      `json:"events"`
	More      bool         `json:"more"` // --limit kept some back
}

// Actor shows an actor's events from a sequence on, at most so many.
func (d *Dir) Actor(id core.ActorID, from core.Seq, limit int) (*Actor, error) {
	out := &Actor{Actor: id, Events: []Event{}}
	first := core.Seq(0)
	for _, s := range d.shards {
		for i := range s.derived.Actors {
			if a := &s.derived.Actors[i]; a.ID == id {
				out.Seq = a.Seq
			}
		}
		err := s.walk(func(a *history.Applied) error {
			entry, ok := a.Block.FindActor(id)
			if !ok || len(entry.Rows) == 0 {
				return nil
			}
			if first == 0 {
				first = entry.First
			}
			for i, ordinal := range entry.Rows {
				seq := entry.First + core.Seq(i)
				out.Seq = max(out.Seq, seq)
				switch {
				case seq < from:
				case len(out.Events) >= limit:
					out.More = true
				default:
					out.Events = append(out.Events, eventOf(s.id, a.Index, a.Block, int(ordinal)))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	switch {
	case out.Seq == 0:
		return nil, fmt.Errorf("actor %s: %w", id, ErrNone)
	case first > 0:
		out.Compacted = first - 1
	default:
		out.Compacted = out.Seq
	}
	return out, nil
}

// A Session is what a shard remembers of a client.
type Session struct {
	Shard   core.ShardID       `json:"shard"`
	Session string             `json:"session"`
	Expires string             `json:"expires"`
	Floor   core.CommandNumber `json:"floor"` // lower numbers are answered and forgotten
	Answers []Outcome          `json:"answers"`
}

// Sessions shows all sessions, or the one whose id begins with a prefix.
func (d *Dir) Sessions(prefix string) ([]Session, error) {
	out := []Session{}
	for _, s := range d.shards {
		t := history.NewSessions()
		for _, session := range s.derived.Sessions {
			t.Load(session)
		}
		err := s.walk(func(a *history.Applied) error {
			if a.Index <= s.derived.Position.Applied {
				return nil // in the checkpoint
			}
			for i := range a.Block.Outcomes {
				t.Outcome(a.Block, &a.Block.Outcomes[i])
			}
			t.Expire(a.Block.Timestamp)
			return nil
		})
		if err != nil {
			return nil, err
		}
		var ids []core.SessionID
		for id := range t.Table {
			if strings.HasPrefix(id.String(), prefix) {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, func(a, b core.SessionID) int { return bytes.Compare(a[:], b[:]) })
		for _, id := range ids {
			out = append(out, sessionOf(s.id, id, t.Table[id]))
		}
	}
	if prefix != "" && len(out) == 0 {
		return nil, fmt.Errorf("session %s: %w; it may have expired", prefix, ErrNone)
	}
	return out, nil
}

func sessionOf(shard core.ShardID, id core.SessionID, a *history.Answered) Session {
	line := Session{Shard: shard, Session: id.String(), Expires: id.Expires().String(), Floor: a.Floor}
	for _, r := range a.Sorted() {
		line.Answers = append(line.Answers, answer(id, r))
	}
	return line
}

func answer(id core.SessionID, r actor.Recorded) Outcome {
	return Outcome{Session: id.String(), Number: r.Number, Digest: fmt.Sprintf("%016x", r.Digest), Answer: answerOf(r.Code),
		Detail: r.Detail, Seq: r.Seq, Count: r.Count, Timestamp: r.Timestamp.String()}
}

// Actors lists the actors that have events, in the order of their ids.
func (d *Dir) Actors() (list []core.ActorID, err error) {
	for _, s := range d.shards {
		for i := range s.derived.Actors {
			list = append(list, s.derived.Actors[i].ID)
		}
		if err := s.walk(func(a *history.Applied) error {
			for i := range a.Block.Actors {
				if entry := &a.Block.Actors[i]; len(entry.Rows) > 0 {
					list = append(list, entry.ID)
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
