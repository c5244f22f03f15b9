package rpc

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"actordb/core"
)

// connectCodes are the table of commands.proto. What is missing there is not known
// to this release, and unknown.
var connectCodes = map[core.Code]connect.Code{
	core.CodeRule: connect.CodeFailedPrecondition, core.CodeWrongSeq: connect.CodeAborted, core.CodeBadPayload: connect.CodeInvalidArgument,
	core.CodeOverloaded: connect.CodeResourceExhausted, core.CodeWrongShard: connect.CodeUnavailable, core.CodeNotLeader: connect.CodeUnavailable,
	core.CodeUnknownType: connect.CodeNotFound, core.CodeMalformed: connect.CodeInvalidArgument, core.CodeTooLarge: connect.CodeInvalidArgument,
	core.CodeSessionExpired: connect.CodeFailedPrecondition, core.CodeSessionTooLong: connect.CodeInvalidArgument,
	core.CodeSessionsFull: connect.CodeResourceExhausted, core.CodeBelowFloor: connect.CodeFailedPrecondition,
	core.CodeWindowFull: connect.CodeResourceExhausted, core.CodeDiskFull: connect.CodeResourceExhausted,
	core.CodeNotPermitted: connect.CodePermissionDenied, core.CodeCompacted: connect.CodeOutOfRange,
	core.CodeAppendForbidden: connect.CodeFailedPrecondition, core.CodeReused: connect.CodeAlreadyExists, core.CodeStalePlan: connect.CodeAborted, core.CodeNotFresh: connect.CodeUnavailable, core.CodeOldVersion: connect.CodeFailedPrecondition, core.CodeTimeout: connect.CodeDeadlineExceeded,
}

func connectCode(c core.Code) connect.Code {
	if code, ok := connectCodes[c]; ok {
		return code
	}
	return connect.CodeUnknown
}

// refused makes an error of an answer that is not Accepted. cause is why a
// Dispatcher had none, or nil.
func refused(actor core.ActorID, a *core.Answer, cause error) *connect.Error {
	code, text := connectCode(a.Code), fmt.Sprintf("%s: %s: %s", actor, a.Status, a.Code)
	if a.Detail != "" {
		text += ": " + a.Detail
	}
	switch a.Code {
	case core.CodeWrongSeq:
		text += fmt.Sprintf(": the actor is at %d", a.Seq)
	case core.CodeCompacted:
		text += fmt.Sprintf(": the first event is %d", a.Seq)
	}
	switch {
	case errors.Is(cause, ErrClosed):
		code = connect.CodeUnavailable
	case errors.Is(cause, context.Canceled):
		code = connect.CodeCanceled
	}
	if cause != nil {
		text += ": " + cause.Error()
	} else if cure := a.Code.Cure(); cure != "" {
		text += "; " + cure
	}
	err := connect.NewError(code, errors.New(text))
	if detail, e := connect.NewErrorDetail(refusalMessage(a)); e == nil {
		err.AddDetail(detail)
	}
	return err
}
