package checkers

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"actordb/core"
)

// A history is written as JSON lines, each an object with one member that
// names what the line is: {"op":{…}}, {"log":{…}}, {"final":{…}},
// {"group":{…}}, {"snapshot":{…}}, {"damage":{…}}, {"report":{…}}, {"queue":{…}}, {"node":{…}},
// {"terms":{…}}. Zero members are left out, lines that start with # are
// comments. Writing what was read gives the same bytes.

const lineBytesMax = 64 << 20 // a final line holds an actor's whole history

// shortSession drops a session's leading zeros: enough to tell it by.
func shortSession(s core.SessionID) []byte { return bytes.TrimLeft(s[:], "\x00") }

// hexSession is a session in lower-case hex without leading zero bytes.
type hexSession core.SessionID

func (s hexSession) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, shortSession(core.SessionID(s))), nil
}

func (s *hexSession) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) > len(s) {
		return fmt.Errorf("session %q: want at most %d bytes in hex", text, len(s))
	}
	*s = hexSession{}
	copy(s[len(s)-len(b):], b)
	return nil
}

var statusNames = [...]string{core.Accepted: "ok", core.Refused: "refused", core.RefusedAtDoor: "door", core.Unknown: "unknown"}

type opLine struct {
	Client      int                `json:"client,omitempty"`
	Incarnation int                `json:"incarnation,omitempty"`
	Session     hexSession         `json:"session,omitzero"`
	Number      core.CommandNumber `json:"number,omitempty"`
	Actor       core.ActorID       `json:"actor"`
	Kind        string             `json:"kind"`
	Name        string             `json:"name"`
	In          *valueLine         `json:"in,omitempty"`
	Out         *valueLine         `json:"out,omitempty"`
	Expected    *core.Seq          `json:"expected,omitempty"`
	Level       string             `json:"level,omitempty"` // absent: linearizable
	MaxAge      core.Timestamp     `json:"max_age,omitempty"`
	Token       core.Timestamp     `json:"token,omitempty"`
	Status      string             `json:"status"`
	Code        core.Code          `json:"code,omitempty"`
	Seq         core.Seq           `json:"seq,omitempty"`
	Count       uint32             `json:"count,omitempty"`
	Invoke      int64              `json:"invoke"`
	Return      *int64             `json:"return,omitempty"` // absent: pending
	Attempts    []int64            `json:"attempts,omitempty"`
}

type valueLine struct {
	Ints []int64  `json:"ints,omitempty"`
	Strs []string `json:"strs,omitempty"`
}

type eventLine struct {
	Actor     core.ActorID       `json:"actor,omitempty"` // absent in a final: its actor
	Seq       core.Seq           `json:"seq"`
	Type      string             `json:"type,omitempty"`
	Version   uint16             `json:"version,omitempty"`
	EventTime core.Timestamp     `json:"event_time,omitempty"`
	Committed core.Timestamp     `json:"committed,omitempty"`
	Session   hexSession         `json:"session,omitzero"`
	Number    core.CommandNumber `json:"number,omitempty"`
	Principal core.Principal     `json:"principal,omitempty"`
	Payload   string             `json:"payload,omitempty"`  // as it is if UTF-8, else hex: …
	Personal  string             `json:"personal,omitempty"` // likewise
}

type logLine struct {
	Shard       core.ShardID   `json:"shard"`
	Incarnation uint64         `json:"incarnation"`
	Index       core.Index     `json:"index"`
	Term        core.Term      `json:"term"`
	Timestamp   core.Timestamp `json:"timestamp,omitempty"`
	Void        bool           `json:"void,omitempty"`
	Restored    bool           `json:"restored,omitempty"`
	Decided     core.Term      `json:"decided,omitempty"`
	Events      []eventLine    `json:"events,omitempty"`
}

type groupLine struct {
	Shard   core.ShardID `json:"shard,omitempty"`
	Replica uint64       `json:"replica"`
	Did     string       `json:"did"`
	Term    core.Term    `json:"term"`
	Index   core.Index   `json:"index,omitempty"`
	Entry   core.Term    `json:"entry,omitempty"`
	Digest  uint64       `json:"digest,omitempty"`
	For     uint64       `json:"for,omitempty"`
	Terms   []core.Term  `json:"terms,omitempty"`
	Voters  []uint64     `json:"voters,omitempty"`
	Leaving []uint64     `json:"leaving,omitempty"`
}

var deeds = []string{Recovered, Forgot, Configured, Appended, Voted, Promised, Led, Took, Acknowledged, Ticked, Asked, Confirmed, Restored, Installed, Stored, Stands}

type finalLine struct {
	Actor  core.ActorID `json:"actor"`
	Floor  core.Seq     `json:"floor,omitempty"`
	Events []eventLine  `json:"events,omitempty"`
}

type snapshotLine struct {
	Actor       core.ActorID `json:"actor"`
	Seq         core.Seq     `json:"seq"`
	SnapshotSeq core.Seq     `json:"snapshot_seq,omitempty"`
	Tail        uint64       `json:"tail,omitempty"`
	Engine      string       `json:"engine"`
	Fold        string       `json:"fold"`
}

type placeLine struct {
	Node   uint32 `json:"node"`
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Length int64  `json:"length,omitempty"`
}

type damageLine struct {
	placeLine
	Kind    string `json:"kind"`
	At      int64  `json:"at"`
	Truth   bool   `json:"truth,omitempty"`
	Exposed bool   `json:"exposed,omitempty"`
}

type reportLine struct {
	placeLine
	Outcome Outcome `json:"outcome"`
	At      int64   `json:"at"`
	Detail  string  `json:"detail,omitempty"`
}

type queueLine struct {
	Process string `json:"process"`
	Name    string `json:"name"`
	Max     int    `json:"max"`
}

type nodeLine struct {
	Node   uint32 `json:"node"`
	Up     bool   `json:"up"`
	Reason string `json:"reason,omitempty"`
}

type termsLine struct {
	HealedAt   int64          `json:"healed_at"`
	EndedAt    int64          `json:"ended_at"`
	Within     int64          `json:"within"`
	BackoffMax int64          `json:"backoff_max"`
	Slack      int64          `json:"slack"`
	Queues     map[string]int `json:"queues,omitempty"`
}

// line is one line; exactly one member is set.
type line struct {
	Op       *opLine       `json:"op,omitempty"`
	Log      *logLine      `json:"log,omitempty"`
	Group    *groupLine    `json:"group,omitempty"`
	Final    *finalLine    `json:"final,omitempty"`
	Snapshot *snapshotLine `json:"snapshot,omitempty"`
	Damage   *damageLine   `json:"damage,omitempty"`
	Report   *reportLine   `json:"report,omitempty"`
	Queue    *queueLine    `json:"queue,omitempty"`
	Node     *nodeLine     `json:"node,omitempty"`
	Terms    *termsLine    `json:"terms,omitempty"`
}

// Write writes h as JSON lines.
func Write(w io.Writer, h *History) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	var err error
	put := func(l line) {
		if err == nil {
			err = e.Encode(l)
		}
	}
	if !emptyTerms(&h.Terms) {
		t := termsLine(h.Terms)
		put(line{Terms: &t})
	}
	for i := range h.Ops {
		put(line{Op: opToLine(&h.Ops[i])})
	}
	for i := range h.Logs {
		r := &h.Logs[i]
		put(line{Log: &logLine{r.Shard, r.Incarnation, r.Index, r.Term, r.Timestamp, r.Void, r.Restored, r.Decided, eventsToLines(r.Events, "")}})
	}
	for i := range h.Groups {
		l := groupLine(h.Groups[i])
		put(line{Group: &l})
	}
	for i := range h.Finals {
		f := &h.Finals[i]
		put(line{Final: &finalLine{f.Actor, f.Floor, eventsToLines(f.Events, f.Actor)}})
	}
	for i := range h.Snapshots {
		s := &h.Snapshots[i]
		put(line{Snapshot: &snapshotLine{s.Actor, s.Seq, s.SnapshotSeq, s.Tail, bytesToText(s.Engine), bytesToText(s.Fold)}})
	}
	for _, d := range h.Damages {
		put(line{Damage: &damageLine{placeLine(d.Place), d.Kind, d.At, d.Truth, d.Exposed}})
	}
	for _, r := range h.Reports {
		put(line{Report: &reportLine{placeLine(r.Place), r.Outcome, r.At, r.Detail}})
	}
	for _, q := range h.Queues {
		l := queueLine(q)
		put(line{Queue: &l})
	}
	for _, n := range h.Nodes {
		l := nodeLine(n)
		put(line{Node: &l})
	}
	if err != nil {
		return err
	}
	return b.Flush()
}

func emptyTerms(t *Terms) bool {
	return t.HealedAt == 0 && t.EndedAt == 0 && t.Within == 0 && t.BackoffMax == 0 && t.Slack == 0 && len(t.Queues) == 0
}

// Read reads what Write wrote.
func Read(r io.Reader) (*History, error) {
	h := &History{}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
	for n := 1; s.Scan(); n++ {
		text := bytes.TrimSpace(s.Bytes())
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		var l line
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := h.add(&l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return h, s.Err()
}

func (h *History) add(l *line) (err error) {
	switch {
	case l.Op != nil:
		var o Op
		o, err = opFromLine(l.Op)
		h.Ops = append(h.Ops, o)
	case l.Log != nil:
		r := LogRecord{Shard: l.Log.Shard, Incarnation: l.Log.Incarnation, Index: l.Log.Index, Term: l.Log.Term,
			Timestamp: l.Log.Timestamp, Void: l.Log.Void, Restored: l.Log.Restored, Decided: l.Log.Decided}
		r.Events, err = eventsFromLines(l.Log.Events, "")
		h.Logs = append(h.Logs, r)
	case l.Group != nil:
		if !slices.Contains(deeds, l.Group.Did) {
			return fmt.Errorf("group: nobody can have %q", l.Group.Did)
		}
		h.Groups = append(h.Groups, GroupRecord(*l.Group))
	case l.Final != nil:
		f := Final{Actor: l.Final.Actor, Floor: l.Final.Floor}
		f.Events, err = eventsFromLines(l.Final.Events, f.Actor)
		h.Finals = append(h.Finals, f)
	case l.Snapshot != nil:
		s := SnapshotPair{Actor: l.Snapshot.Actor, Seq: l.Snapshot.Seq, SnapshotSeq: l.Snapshot.SnapshotSeq, Tail: l.Snapshot.Tail}
		if s.Engine, err = textToBytes(l.Snapshot.Engine); err == nil {
			s.Fold, err = textToBytes(l.Snapshot.Fold)
		}
		h.Snapshots = append(h.Snapshots, s)
	case l.Damage != nil:
		h.Damages = append(h.Damages, Damage{Place(l.Damage.placeLine), l.Damage.Kind, l.Damage.At, l.Damage.Truth, l.Damage.Exposed})
	case l.Report != nil:
		h.Reports = append(h.Reports, Report{Place(l.Report.placeLine), l.Report.Outcome, l.Report.At, l.Report.Detail})
	case l.Queue != nil:
		h.Queues = append(h.Queues, Queue(*l.Queue))
	case l.Node != nil:
		h.Nodes = append(h.Nodes, Node(*l.Node))
	case l.Terms != nil:
		h.Terms = Terms(*l.Terms)
	default:
		err = fmt.Errorf("want one of op, log, group, final, snapshot, damage, report, queue, node, terms")
	}
	return err
}

func opToLine(o *Op) *opLine {
	l := &opLine{
		Client: o.Client, Incarnation: o.Incarnation, Session: hexSession(o.Session), Number: o.Number, Actor: o.Actor,
		Kind: o.Kind.String(), Name: o.Name, In: valueToLine(o.In), Out: valueToLine(o.Out), Status: statusNames[o.Status],
		Code: o.Code, Seq: o.Seq, Count: o.Count, Invoke: o.Invoke, Attempts: o.Attempts,
	}
	if o.Expected != core.AnySeq {
		l.Expected = &o.Expected
	}
	if o.Fresh.Level != core.Linearizable {
		l.Level, l.MaxAge, l.Token = o.Fresh.Level.String(), o.Fresh.MaxAge, o.Fresh.Token
	}
	if o.Return != Pending {
		l.Return = &o.Return
	}
	return l
}

func opFromLine(l *opLine) (Op, error) {
	o := Op{
		Client: l.Client, Incarnation: l.Incarnation, Session: core.SessionID(l.Session), Number: l.Number, Actor: l.Actor,
		Name: l.Name, In: valueFromLine(l.In), Out: valueFromLine(l.Out), Expected: core.AnySeq, Code: l.Code, Seq: l.Seq, Count: l.Count,
		Invoke: l.Invoke, Return: Pending, Attempts: l.Attempts,
	}
	for k := core.Decide; k <= core.Regroup; k++ {
		if k.String() == l.Kind {
			o.Kind = k
		}
	}
	if o.Kind == 0 {
		return o, fmt.Errorf("op: no command kind %q", l.Kind)
	}
	for level := core.FromLeader; level <= core.AtToken; level++ {
		if level.String() == l.Level {
			o.Fresh = core.Freshness{Level: level, MaxAge: l.MaxAge, Token: l.Token}
		}
	}
	if l.Level != "" && o.Fresh.Level == core.Linearizable {
		return o, fmt.Errorf("op: no level of reads %q", l.Level)
	}
	i := slices.Index(statusNames[:], l.Status)
	if i <= 0 {
		return o, fmt.Errorf("op: no status %q", l.Status)
	}
	o.Status = core.Status(i)
	if l.Expected != nil {
		o.Expected = *l.Expected
	}
	if l.Return != nil {
		o.Return = *l.Return
	}
	return o, nil
}

func valueToLine(v Value) *valueLine {
	if len(v.Ints) == 0 && len(v.Strs) == 0 {
		return nil
	}
	return &valueLine{v.Ints, v.Strs}
}

func valueFromLine(l *valueLine) Value {
	if l == nil {
		return Value{}
	}
	return Value{l.Ints, l.Strs}
}

func eventsToLines(events []core.Event, actor core.ActorID) []eventLine {
	lines := make([]eventLine, len(events))
	for i, e := range events {
		lines[i] = eventLine{e.Actor, e.Seq, e.Type, e.Version, e.EventTime, e.Committed, hexSession(e.Session), e.Number,
			e.Principal, bytesToText(e.Payload), bytesToText(e.Personal)}
		if e.Actor == actor {
			lines[i].Actor = ""
		}
	}
	return lines
}

func eventsFromLines(lines []eventLine, actor core.ActorID) (events []core.Event, err error) {
	for _, l := range lines {
		e := core.Event{Actor: l.Actor, Seq: l.Seq, Type: l.Type, Version: l.Version, EventTime: l.EventTime,
			Committed: l.Committed, Session: core.SessionID(l.Session), Number: l.Number, Principal: l.Principal}
		if e.Actor == "" {
			e.Actor = actor
		}
		if e.Payload, err = textToBytes(l.Payload); err != nil {
			return nil, err
		}
		if e.Personal, err = textToBytes(l.Personal); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

const hexPrefix = "hex:"

// bytesToText keeps printable ASCII readable and writes anything else in hex.
func bytesToText(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return hexPrefix + hex.EncodeToString(b)
		}
	}
	if bytes.HasPrefix(b, []byte(hexPrefix)) {
		return hexPrefix + hex.EncodeToString(b)
	}
	return string(b)
}

func textToBytes(s string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(s, hexPrefix); ok {
		return hex.DecodeString(digits)
	}
	if s == "" {
		return nil, nil
	}
	return []byte(s), nil
}
