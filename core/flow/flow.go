// Package flow computes relational queries over changes. A plan is a graph of
// operators; a Circuit runs it. Fed with all of history as one change it answers
// a query; fed with one change after another it keeps a view. The operators are
// the same, so both give the same answer.
//
// # Laws
//
// Let Q be the query that a circuit was built for, on Z-sets (core/zset). After
// every step, with I the sum of all that was pushed and O the sum of all that
// came out:
//
// L1. O = Q(I), as multisets: what a batch evaluation of I gives.
//
// L2. O does not depend on the order in which rows arrive, nor on how they are
// divided into chunks and steps.
//
// L3. An evaluation that fails (a division by zero) is data: the row leaves the
// result and an error enters Errors, with the same weight. When the row is
// retracted, the error leaves. A query fails if there is an error at its end; a
// view is ill while there is one, and well again after it.
//
// L4. What does not fit a limit is refused with an error; the circuit is then
// of no more use, and nothing of the step has come out.
//
// L5. A step can be run in slices: Finish returns after about as many rows as
// it is allowed, and goes on where it was. What it computes is the same.
//
// L6. Restoring a checkpoint gives a circuit that behaves as the one that wrote
// it. Spilling changes nothing but memory.
//
// # How a step runs
//
// Push hands a chunk of rows to a source. Linear operators (filter, map, expand,
// union) pass their part on at once, a batch at a time. Operators with state
// collect it: arrangements sort it, aggregates add it up. Finish then goes
// through the operators in the order of the graph; each reads the state before
// the step and the delta of its arrangements and emits the change of its result.
// At last deltas become state.
//
// Every operator's file states what it computes and the law by which it does so
// incrementally. The notation: d is the change of a relation in a step; a
// relation's name alone is what it was before the step.
package flow

import (
	"errors"
	"fmt"
)

// ErrMemory says that a query holds more than it may.
var ErrMemory = errors.New("flow: over the memory limit")

// A MemoryError tells what was held.
type MemoryError struct{ Used, Limit int }

func (e *MemoryError) Error() string {
	return fmt.Sprintf("flow: the query holds %d bytes, more than its limit of %d; raise the limit, filter more, or spill", e.Used, e.Limit)
}

// Is makes errors.Is(err, ErrMemory) true.
func (e *MemoryError) Is(target error) bool { return target == ErrMemory }
