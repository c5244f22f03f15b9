package checkers

import (
	"bytes"
	"cmp"
	"slices"

	"actordb/core"
)

// A command is one numbered command with all its attempts: what a client knows
// of it in the end.
//
// A refusal at the door has no effect, so it ends its attempt and nothing
// else: a command whose attempts were all refused there was never sent, and one
// that an earlier attempt left unknown stays unknown.
type command struct {
	op       *Op   // the attempt that decided, or the first of those that may have had an effect
	invoke   int64 // when the first attempt that may have had an effect was sent
	returned int64 // when the first decisive answer came, or Pending
	sent     bool  // some attempt may have had an effect
	decided  bool
}

// byCommand returns the indices of the numbered operations, sorted by session
// and number, attempts in the order of their invocation.
func byCommand(ops []Op) []int32 {
	order := make([]int32, 0, len(ops))
	for i := range ops {
		if ops[i].Kind.Changes() {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(x, y int32) int {
		a, b := &ops[x], &ops[y]
		if c := compareCommands(a, b); c != 0 {
			return c
		}
		if c := cmp.Compare(a.Invoke, b.Invoke); c != 0 {
			return c
		}
		return cmp.Compare(x, y)
	})
	return order
}

func compareCommands(a, b *Op) int {
	if c := bytes.Compare(a.Session[:], b.Session[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Number, b.Number)
}

func sameCommand(a, b *Op) bool { return a.Number == b.Number && a.Session == b.Session }

// commands merges attempts. The result is sorted by session and number.
func commands(ops []Op) []command {
	order := byCommand(ops)
	list := make([]command, 0, len(order))
	for i, x := range order {
		o := &ops[x]
		if i == 0 || !sameCommand(o, &ops[order[i-1]]) {
			list = append(list, command{op: o, invoke: o.Invoke, returned: Pending})
		}
		list[len(list)-1].attempt(o)
	}
	return list
}

func (c *command) attempt(o *Op) {
	if o.Status == core.RefusedAtDoor {
		return
	}
	if !c.sent {
		c.sent, c.invoke = true, o.Invoke
		if !c.decided {
			c.op = o
		}
	}
	if definitive(o) && o.Return < c.returned {
		c.decided, c.op, c.returned = true, o, o.Return
	}
}

// definitive reports whether an operation has an answer that decides it.
func definitive(o *Op) bool {
	return (o.Status == core.Accepted || o.Status == core.Refused) && o.Return != Pending
}

// findCommand returns the index of the command with a session and number, or -1.
func findCommand(list []command, session core.SessionID, number core.CommandNumber) int {
	i, found := slices.BinarySearchFunc(list, &Op{Session: session, Number: number}, func(c command, o *Op) int {
		return compareCommands(c.op, o)
	})
	if !found {
		return -1
	}
	return i
}
