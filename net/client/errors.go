package client

import (
	"errors"
	"fmt"
	"strings"

	"actordb/core"
)

var (
	// ErrClosed is why a call of a closed client has no answer.
	ErrClosed = errors.New("the client is closed: dial again")
	// ErrFull says that as many calls are in flight as Config allows.
	ErrFull = errors.New("too many calls in flight: wait for answers")
)

// cures are what to do about a refusal.
var cures = map[core.Code]string{
	core.CodeWrongSeq:        "read the actor again and decide anew",
	core.CodeBadPayload:      "encode the payload as its type says",
	core.CodeUnknownType:     "use a type that the node serves, or serve this one",
	core.CodeMalformed:       "correct the command",
	core.CodeTooLarge:        "make the command smaller, or several of it",
	core.CodeSessionExpired:  "compare this machine's clock with the node's",
	core.CodeSessionTooLong:  "compare this machine's clock with the node's",
	core.CodeNotPermitted:    "ask the operator, or use another identity",
	core.CodeCompacted:       "begin at the first event that was kept",
	core.CodeAppendForbidden: "send the type's commands instead of events",
	core.CodeOverloaded:      "send less at once, or give it more time",
	core.CodeDiskFull:        "free space on the node's disk",
	core.CodeTimeout:         "look at the node's log; give it more time",
}

// A Refused is a command that was declined, for good.
type Refused struct {
	Actor  core.ActorID
	Status core.Status // core.Refused: by the actor, recorded; core.RefusedAtDoor: no effect
	Code   core.Code
	Detail string
	Seq    core.Seq // wrong-seq: where the actor is; compacted: the first event that was kept
}

func (e *Refused) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s", e.Actor, e.Status, e.Code)
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	switch e.Code {
	case core.CodeWrongSeq:
		fmt.Fprintf(&b, ": the actor is at %d", e.Seq)
	case core.CodeCompacted:
		fmt.Fprintf(&b, ": the first event is %d", e.Seq)
	}
	if cure := cures[e.Code]; cure != "" {
		b.WriteString("; " + cure)
	}
	return b.String()
}

// An Unanswered is a command whose outcome is not known. It wraps Cause.
type Unanswered struct {
	Actor    core.ActorID
	Attempts int       // 0: it was never sent, and has no effect
	Code     core.Code // of the last answer, which did not end it; CodeNone: there was none
	Cause    error     // why it was given up: of a context, ErrClosed, or nil
	Link     error     // why there was no connection at the end, or nil
}

func (e *Unanswered) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no answer", e.Actor)
	if e.Attempts == 0 {
		b.WriteString(", and not sent")
	} else if e.Attempts > 1 {
		fmt.Fprintf(&b, " to %d attempts", e.Attempts)
	}
	if e.Code != core.CodeNone {
		fmt.Fprintf(&b, ": %s", e.Code)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Link != nil {
		fmt.Fprintf(&b, ": %v", e.Link)
	}
	if cure := cures[e.Code]; cure != "" {
		b.WriteString("; " + cure)
	}
	return b.String()
}

func (e *Unanswered) Unwrap() []error {
	var list []error
	for _, err := range []error{e.Cause, e.Link} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}
