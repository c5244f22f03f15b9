package core

import "fmt"

// Code is a refusal's stable number. Codes are never renumbered; clients
// branch on them.
type Code uint16

const (
	CodeNone Code = 0

	// By the actor: recorded.

	// CodeRule: the behaviour declined; Detail is its reason.
	CodeRule Code = 1
	// CodeWrongSeq: the actor is not at the expected sequence; Seq tells where it is.
	CodeWrongSeq Code = 2
	// CodeBadPayload: the payload does not decode as the command's type.
	CodeBadPayload Code = 3

	// At the door: no effect, nothing recorded.

	CodeOverloaded      Code = 100 // a queue is full: back off and send again
	CodeWrongShard      Code = 101 // the actor's slot is elsewhere: ask the placement again
	CodeNotLeader       Code = 102 // another replica leads, or none yet: send again
	CodeUnknownType     Code = 103 // no behaviour of this name is registered, or it has no such command
	CodeMalformed       Code = 104 // the command breaks the format; Detail says where
	CodeTooLarge        Code = 105 // a limit of limits.go is exceeded; Detail says which
	CodeSessionExpired  Code = 106 // open a new session; what is unanswered stays unknown
	CodeSessionTooLong  Code = 107 // expires later than SessionLifetimeMax from now
	CodeSessionsFull    Code = 108 // the shard remembers as many sessions as it may: wait for expiry
	CodeBelowFloor      Code = 109 // the client had declared this number answered
	CodeWindowFull      Code = 110 // too many answered numbers above the floor: raise AckedBelow
	CodeDiskFull        Code = 111 // no space to record the command: free some and send again
	CodeNotPermitted    Code = 112 // the principal may not do this
	CodeCompacted       Code = 113 // the events asked for were compacted away; Seq tells the first kept
	CodeAppendForbidden Code = 114 // this type's events are made by its behaviour alone
	CodeReused          Code = 115 // this session and number were used for another command
	CodeStalePlan       Code = 116 // the slots have moved since the plan was made: Seq is their epoch
	CodeNotFresh        Code = 117 // no replica that was asked knows its state to be as new as the read asks for
	CodeOldVersion      Code = 118 // a replica's program does not speak the version that is wanted; Detail says which

	// Of an unknown outcome.

	CodeTimeout Code = 200 // no answer in time: send again with the same number
)

var codeNames = map[Code]string{
	CodeNone: "none", CodeRule: "rule", CodeWrongSeq: "wrong-seq", CodeBadPayload: "bad-payload",
	CodeOverloaded: "overloaded", CodeWrongShard: "wrong-shard", CodeNotLeader: "not-leader",
	CodeUnknownType: "unknown-type", CodeMalformed: "malformed", CodeTooLarge: "too-large",
	CodeSessionExpired: "session-expired", CodeSessionTooLong: "session-too-long",
	CodeSessionsFull: "sessions-full", CodeBelowFloor: "below-floor", CodeWindowFull: "window-full",
	CodeDiskFull: "disk-full", CodeNotPermitted: "not-permitted", CodeCompacted: "compacted",
	CodeAppendForbidden: "append-forbidden", CodeStalePlan: "stale-plan", CodeNotFresh: "not-fresh", CodeOldVersion: "old-version", CodeReused: "number-reused", CodeTimeout: "timeout",
}

func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("code-%d", uint16(c))
}

// cures are what a caller can do about a refusal.
var cures = map[Code]string{
	CodeWrongSeq: "read the actor again and decide anew", CodeBadPayload: "encode the payload as its type says",
	CodeOverloaded: "send less at once, or give it more time", CodeWrongShard: "send it again", CodeNotLeader: "send it again",
	CodeUnknownType: "use a type that the node serves, or serve this one", CodeMalformed: "correct the command",
	CodeTooLarge:       "make the command smaller, or several of it",
	CodeSessionExpired: "open a new session, and compare this machine's clock with the node's", CodeSessionTooLong: "compare this machine's clock with the node's",
	CodeSessionsFull: "wait until some expire, and use fewer", CodeBelowFloor: "send only numbers that were not declared answered",
	CodeWindowFull: "declare numbers answered that are", CodeDiskFull: "free space on the node's disk",
	CodeNotPermitted: "ask the operator, or use another identity", CodeCompacted: "begin at the first event that was kept",
	CodeAppendForbidden: "send the type's commands instead of events", CodeStalePlan: "look where the slots are now, and plan anew",
	CodeNotFresh: "read again, or allow a greater age; if it is a token's time that has not come, compare the nodes' clocks", CodeReused: "give each command of a session a number of its own",
	CodeOldVersion: "start the newer program on every node, wait until cluster status shows it, and ask again",
	CodeTimeout:    "look at the node's log; give it more time",
}

// Cure says what a caller can do, or nothing.
func (c Code) Cure() string { return cures[c] }

// AtDoor reports whether the code belongs to a refusal without effect.
func (c Code) AtDoor() bool { return c >= 100 && c < 200 }

// Final reports whether a refusal at the door depends on the command alone: no
// copy of it, early or late, can have had an effect. After any other one, a
// copy that the network repeated or delayed may still have, or have had, one.
func (c Code) Final() bool {
	switch c {
	case CodeUnknownType, CodeMalformed, CodeTooLarge, CodeNotPermitted, CodeAppendForbidden:
		return true
	}
	return false
}

// Transient reports whether the same command may be accepted a little later.
func (c Code) Transient() bool {
	switch c {
	case CodeOverloaded, CodeWrongShard, CodeNotLeader, CodeDiskFull, CodeTimeout:
		return true
	}
	return false
}

// A Refusal is a command declined by its actor.
type Refusal struct {
	Code   Code
	Detail string
}

// Refuse is what a behaviour returns to decline a command.
func Refuse(format string, args ...any) *Refusal {
	d := format
	if len(args) > 0 {
		d = fmt.Sprintf(format, args...)
	}
	return &Refusal{Code: CodeRule, Detail: clip(d)}
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused (%s): %s", r.Code, r.Detail) }

// A Bug is the panic of an assertion: the program is wrong, and going on
// would spread it.
type Bug string

func (b Bug) Error() string { return "bug: " + string(b) }

// Assert panics with a Bug unless ok. It stays on in production.
func Assert(ok bool, format string, args ...any) {
	if !ok {
		panic(Bug(fmt.Sprintf(format, args...)))
	}
}
