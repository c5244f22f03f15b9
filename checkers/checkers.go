// Package checkers says what must hold: histories in, verdicts out. A checker
// imports the vocabulary and nothing of the engine, so that a bug cannot hide
// in code that both share.
//
// A History is what one run left behind, as seen from outside: what clients
// sent and got back, what taps saw each replica apply, what could be read at
// the end, which damage was done and what recovery said about it. Each checker
// reads the parts that its law speaks of:
//
//	linearizable  per actor, operations appear to take effect one at a time   Ops, Finals
//	tokens        a read at a token tells of all that the token covers        Ops, Logs
//	sequence      one dense history per actor, equal on all replicas          Ops, Logs, Finals
//	durability    acknowledged ⊆ readable ⊆ sent                              Ops, Logs, Finals
//	snapshot      snapshot and tail make the state that a full fold makes     Snapshots
//	recovery      damage is repaired or refused, and only damage is           Damages, Reports
//	raft          what consensus promises, of elections, logs and what takes effect  Groups
//	owner         one owner of a shard and term, and nobody else speaks for it  Groups, Logs
//	cuts          what is handed out at a cut is all of it, for ever          fed while a run goes on
//	views         a kept view is the evaluator's answer over what was handed   fed while a run goes on
//	watermarks    windows hold what was not closed when it came, late events the rest  fed while a run goes on
//	bank          what moves between accounts is nothing in sum, at every cut  fed while a run goes on
//	slots         one owner of a slot and epoch, plans that are not stale     fed while a run goes on
//	versions      what replicas share is written as all of them can read it    fed while a run goes on
//	liveness      after heal every operation ends; queues are bounded         Ops, Queues, Nodes, Terms
//
// Verdicts have three values. Fail means that a law is broken, and the note
// names the first place where. Unknown means that the checker could not tell
// (it ran out of time, or what it needs is missing); it is never a pass.
//
// Times are nanoseconds of the simulator's own clock, which no node sees. An
// interval is closed: an operation that returns at the instant at which another
// is invoked overlaps it.
package checkers

import (
	"fmt"
	"math"

	"actordb/core"
)

// Verdict is a checker's answer.
type Verdict string

const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown"
)

// Result is one checker's report.
type Result struct {
	Name     string   `json:"name"`
	Verdict  Verdict  `json:"verdict"`
	Examined int      `json:"examined"` // things the law was applied to; 0 proves nothing
	Note     string   `json:"note"`     // Fail: the first violation in one line
	Evidence []string `json:"-"`        // files and longer text for people
}

func (r Result) String() string {
	if r.Note == "" {
		return fmt.Sprintf("%s: %s (%d examined)", r.Name, r.Verdict, r.Examined)
	}
	return fmt.Sprintf("%s: %s (%d examined): %s", r.Name, r.Verdict, r.Examined, r.Note)
}

// fail turns r into a violation unless it is one already: the first counts.
func (r *Result) fail(format string, args ...any) {
	if r.Verdict != Fail {
		r.Verdict, r.Note = Fail, fmt.Sprintf(format, args...)
	}
}

// unknown lowers a pass.
func (r *Result) unknown(format string, args ...any) {
	if r.Verdict == Pass {
		r.Verdict, r.Note = Unknown, fmt.Sprintf(format, args...)
	}
}

// Pending as Op.Return: the operation never ended.
const Pending = math.MaxInt64

// A Value is an operation's arguments or its answer.
type Value struct {
	Ints []int64
	Strs []string
}

// An Op is an operation as its client saw it. Several may share a session and
// number: attempts of one command. Reads are not numbered and stand alone.
type Op struct {
	Client      int
	Incarnation int // of the client's process
	Session     core.SessionID
	Number      core.CommandNumber
	Actor       core.ActorID
	Kind        core.CommandKind
	Name        string // of the model's operation
	In, Out     Value
	Expected    core.Seq       // the check that the command asked for, or core.AnySeq
	Fresh       core.Freshness // of a read
	Status      core.Status
	Code        core.Code
	Seq         core.Seq // of the answer
	Count       uint32
	Invoke      int64
	Return      int64   // or Pending
	Attempts    []int64 // when it was sent, first and again; may be left out
}

func (o *Op) String() string {
	s := fmt.Sprintf("client %d %s %s(%s) %x/%d", o.Client, o.Actor, o.Name, o.In, shortSession(o.Session), o.Number)
	if o.Fresh.Level != core.Linearizable {
		s += " " + o.Fresh.String()
	}
	switch {
	case o.Return == Pending:
		return s + fmt.Sprintf(" -> pending [%d,", o.Invoke)
	case o.Status == core.Accepted:
		s += fmt.Sprintf(" -> (%s) seq %d+%d", o.Out, o.Seq, o.Count)
	default:
		s += fmt.Sprintf(" -> %s %s seq %d", o.Status, o.Code, o.Seq)
	}
	return s + fmt.Sprintf(" [%d,%d]", o.Invoke, o.Return)
}

func (v Value) String() string {
	const shown = 8
	ints, more := v.Ints, ""
	if len(ints) > shown {
		ints, more = ints[:shown], fmt.Sprintf(" … %d in all", len(v.Ints))
	}
	switch {
	case len(v.Ints) == 0 && len(v.Strs) == 0:
		return ""
	case len(v.Strs) == 0:
		return fmt.Sprintf("%d%s", ints, more)
	case len(v.Ints) == 0:
		return fmt.Sprintf("%q", v.Strs)
	}
	return fmt.Sprintf("%q %d%s", v.Strs, ints, more)
}

// A LogRecord is one entry of a shard's log as a replica applied it.
type LogRecord struct {
	Shard       core.ShardID
	Incarnation uint64 // one life of one replica, unique in the run
	Index       core.Index
	Term        core.Term
	Timestamp   core.Timestamp // 0 for entries that have none
	Void        bool           // its conditions did not hold: no events
	Restored    bool           // the replica jumped to Index by a snapshot: no events
	Decided     core.Term      // the term that its block says it was decided in, 0 if it has none
	Events      []core.Event
	Moved       bool   // its events are copies of those that another shard applied before
	Bases       []Base // with Moved: what came as a state
}

// A Base is an actor's state that another shard's log stands behind: the events up to
// Seq are not in this shard's log.
type Base struct {
	Actor core.ActorID
	Seq   core.Seq
}

// A Final is one actor's history, read back through the engine at the end.
type Final struct {
	Actor  core.ActorID
	Floor  core.Seq // events up to and including it were compacted away
	Events []core.Event
}

// A SnapshotPair is one actor's state computed twice.
type SnapshotPair struct {
	Actor       core.ActorID
	Seq         core.Seq // of both states
	SnapshotSeq core.Seq // where the engine's snapshot stood; 0: it had none
	Tail        uint64   // events that the engine folded onto it
	Engine      []byte
	Fold        []byte // of all events, by code that is not the engine's
}

// A Place is a range of bytes of a file of a node. Length 0 is all of the file.
type Place struct {
	Node   uint32
	File   string
	Offset int64
	Length int64
}

func (p Place) String() string {
	if p.Length == 0 {
		return fmt.Sprintf("node %d %s", p.Node, p.File)
	}
	return fmt.Sprintf("node %d %s [%d,+%d)", p.Node, p.File, p.Offset, p.Length)
}

// overlaps reports whether two places share a byte.
func (p Place) overlaps(q Place) bool {
	if p.Node != q.Node || p.File != q.File {
		return false
	}
	return p.Length == 0 || q.Length == 0 || p.Offset < q.Offset+q.Length && q.Offset < p.Offset+p.Length
}

// Torn as Damage.Kind: unsynced bytes that a power loss took, wholly or in part.
// Every other kind damages what was durable.
const Torn = "torn"

// A Damage was done to a disk on purpose.
type Damage struct {
	Place
	Kind    string
	At      int64
	Truth   bool // the bytes were part of the journal, not of derived state
	Exposed bool // recovery or a read went over the place afterwards
}

// Outcome is what the engine did about a place.
type Outcome string

const (
	Repaired Outcome = "repaired" // found damaged and replaced from elsewhere
	Declined Outcome = "declined" // found damaged and reported
	Cut      Outcome = "cut"      // taken for a torn tail and cut off
	Served   Outcome = "served"   // given out though the bytes differed from those written
)

// A Report is what recovery, or a reader, said about a place.
type Report struct {
	Place
	Outcome Outcome
	At      int64
	Detail  string
}

// A Queue is the greatest length that a queue was seen to have.
type Queue struct {
	Process string
	Name    string
	Max     int
}

// A Node is a machine's state at the end.
type Node struct {
	Node   uint32
	Up     bool
	Reason string // why it refused to run
}

// Terms is what the run promised. It comes from the run's own configuration:
// a limit read from the engine would be changed by the bug that it guards.
type Terms struct {
	HealedAt   int64          // faults ended
	EndedAt    int64          // the run ended
	Within     int64          // after heal an operation ends within this time
	BackoffMax int64          // between attempts of one operation
	Slack      int64          // scheduling on top of BackoffMax
	Queues     map[string]int // limit by queue name
}

// A History is what one run left behind.
type History struct {
	Ops       []Op
	Logs      []LogRecord
	Groups    []GroupRecord
	Finals    []Final
	Snapshots []SnapshotPair
	Damages   []Damage
	Reports   []Report
	Queues    []Queue
	Nodes     []Node
	Terms     Terms
}

// electionTicks is what a history's replicas wait for a leader (see NewOwner).
const electionTicks = 10

// All runs every checker. The taps are read once for those that need them.
func All(h *History, options LinearizableOptions) []Result {
	applied, raft, owner := NewApplied(), NewRaft(), NewOwner(electionTicks)
	for i := range h.Logs {
		applied.Add(&h.Logs[i])
		owner.Decided(&h.Logs[i])
	}
	for i := range h.Groups {
		raft.Add(&h.Groups[i])
		owner.Add(&h.Groups[i])
	}
	return []Result{
		raft.Result(),
		owner.Result(),
		Linearizable(h.Ops, h.Finals, options),
		Tokens(applied, h.Ops),
		Sequence(applied, h.Ops, h.Finals),
		Durability(applied, h.Ops, h.Finals),
		Snapshot(h.Snapshots),
		Recovery(h.Damages, h.Reports),
		Liveness(h.Ops, h.Queues, h.Nodes, h.Terms),
	}
}
