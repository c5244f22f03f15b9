package client

import (
	crand "crypto/rand"
	"encoding/binary"
	"time"

	"actordb/core"
)

// A lane is one session: a window of numbers, each with the call that has it.
type lane struct {
	id      core.SessionID
	slots   [window]*Call      // by number, modulo the window
	floor   core.CommandNumber // all below are settled
	next    core.CommandNumber
	retired bool // takes no new calls
	old     *time.Timer
}

func newLane(lifetime time.Duration) *lane {
	var b [8]byte
	crand.Read(b[:]) // documented never to fail
	expires := core.Timestamp(time.Now().Add(lifetime).UnixNano())
	return &lane{id: core.NewSessionID(expires, binary.LittleEndian.Uint64(b[:])), floor: 1, next: 1}
}

func (l *lane) full() bool  { return l.next-l.floor >= window }
func (l *lane) empty() bool { return l.next == l.floor }

// take gives a call the next number.
func (l *lane) take(call *Call) {
	l.slots[l.next%window] = call
	call.lane = l
	call.Command.Session, call.Command.Number = l.id, l.next
	l.next++
}

// find is the call of a number, or nil.
func (l *lane) find(n core.CommandNumber) *Call {
	if n < l.floor || n >= l.next {
		return nil
	}
	return l.slots[n%window]
}

// settle takes a call out.
func (l *lane) settle(call *Call) {
	l.slots[call.Command.Number%window] = nil
	for l.floor < l.next && l.slots[l.floor%window] == nil {
		l.floor++
	}
	call.lane = nil
}
