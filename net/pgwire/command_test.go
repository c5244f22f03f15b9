package pgwire

import (
	"context"
	"errors"
	"testing"

	"actordb/core"
	"actordb/net/client"
)

// Every way in which a command can end has the SQLSTATE that says whether it may have
// taken effect, and no refusal is without one.
func TestCommandErrors(t *testing.T) {
	for _, x := range []struct {
		err  error
		want string
	}{
		{&client.Refused{Status: core.Refused, Code: core.CodeRule, Detail: "no"}, "P0001"},
		{&client.Refused{Code: core.CodeWrongSeq, Seq: 4}, "40001"},
		{&client.Refused{Code: core.CodeAppendForbidden}, "42809"},
		{&client.Unanswered{Attempts: 2, Cause: context.DeadlineExceeded}, "40003"},
		{&client.Unanswered{Attempts: 1, Cause: errCancelled}, "40003"},
		{&client.Unanswered{Cause: errCancelled}, "57P03"},
		{errCancelled, "57014"},
	} {
		var got *client.SQLError
		if !errors.As(commandError(x.err), &got) || got.State != x.want || got.Message == "" || got.Position != -1 {
			t.Errorf("%v: %+v, want %s", x.err, got, x.want)
		}
	}
	for code := core.Code(1); code < core.CodeTimeout; code++ {
		// Compacted is said of histories alone.
		if known := code.String() != core.Code(99).String() && code.Cure() != "" && code != core.CodeCompacted; known && commandStates[code] == "" {
			t.Errorf("%s has no SQLSTATE", code)
		}
	}
}
