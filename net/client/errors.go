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
	// ErrSilent is why a connection was given up whose node answered nothing.
	ErrSilent = errors.New("the node does not answer: it is stopped, or cut off from the others")
	// ErrFull says that as many calls are in flight as Config allows.
	ErrFull = errors.New("too many calls in flight: wait for answers")
)

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
	if cure := e.Code.Cure(); cure != "" {
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
	if cure := e.Code.Cure(); cure != "" {
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
