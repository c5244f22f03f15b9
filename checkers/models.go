package checkers

import (
	"slices"
	"strings"

	"actordb/core"
)

// A model is an actor type's sequential specification, written without the
// engine. An operation that is accepted and changes the state adds events (one
// each, in these workloads: what an operation of unknown outcome is taken for).
//
// States are values: step never changes the one that it is given.
type model interface {
	initial() any
	// step returns the state after an operation, or that the actor refuses it.
	step(s any, o *Op) (next any, refused bool)
	// answers reports whether o.Out is right for an operation between two states.
	answers(before, after any, o *Op) bool
	equal(a, b any) bool
	describe(s any) string
}

// Actor types that have a model. An actor's type is the part of its id before
// the slash.
const (
	TypeRegister = "register"
	TypeList     = "list"
	TypeBank     = "bank"
	TypeCart     = "cart"
	TypeCounter  = "counter"
	TypeSensor   = "sensor" // counts what it is told
)

func modelOf(a core.ActorID) model {
	switch a.Type() {
	case TypeRegister:
		return register{}
	case TypeList:
		return list{}
	case TypeBank:
		return bank{}
	case TypeCart:
		return cart{}
	case TypeCounter, TypeSensor:
		return counter{}
	}
	return nil
}

func intArg(v Value, i int) int64 {
	if i < len(v.Ints) {
		return v.Ints[i]
	}
	return 0
}

func strArg(v Value, i int) string {
	if i < len(v.Strs) {
		return v.Strs[i]
	}
	return ""
}

// isRead reports the operation that every model has. It changes nothing.
func isRead(o *Op) bool { return o.Name == "read" }

// register holds an integer, 0 at first.
//
//	read               -> value
//	write(x)
//	cas(old, new)      refused unless the value is old
type register struct{}

func (register) initial() any { return int64(0) }

func (register) step(s any, o *Op) (any, bool) {
	switch o.Name {
	case "read":
		return s, false
	case "write":
		return intArg(o.In, 0), false
	case "cas":
		if s.(int64) == intArg(o.In, 0) {
			return intArg(o.In, 1), false
		}
	}
	return s, true
}

func (register) answers(_, after any, o *Op) bool {
	return !isRead(o) || len(o.Out.Ints) == 1 && o.Out.Ints[0] == after.(int64)
}

func (register) equal(a, b any) bool   { return a == b }
func (register) describe(s any) string { return Value{Ints: []int64{s.(int64)}}.String() }

// counter counts, and is meant to be hot.
//
//	read      -> value
//	inc(by)   by is 1 if left out; -> the value after it, where a client wants it
type counter struct{}

func (counter) initial() any { return int64(0) }

func (counter) step(s any, o *Op) (any, bool) {
	switch o.Name {
	case "read":
		return s, false
	case "inc":
		by := int64(1)
		if len(o.In.Ints) > 0 {
			by = o.In.Ints[0]
		}
		return s.(int64) + by, false
	}
	return s, true
}

func (counter) answers(_, after any, o *Op) bool {
	if len(o.Out.Ints) == 0 {
		return !isRead(o)
	}
	return o.Out.Ints[0] == after.(int64)
}

func (counter) equal(a, b any) bool   { return a == b }
func (counter) describe(s any) string { return Value{Ints: []int64{s.(int64)}}.String() }

// list only grows.
//
//	read        -> all elements
//	append(x)   its answer's Seq is the element's place
type list struct{}

// listState is a linked list from the last element backwards, so that states
// share what they have in common.
type listState struct {
	before *listState
	last   int64
	length int
	hash   uint64 // of all elements: tells most different lists apart at once
}

func (list) initial() any { return (*listState)(nil) }

func (list) step(s any, o *Op) (any, bool) {
	switch o.Name {
	case "read":
		return s, false
	case "append":
		b := s.(*listState)
		n := &listState{before: b, last: intArg(o.In, 0), length: 1}
		if b != nil {
			n.length, n.hash = b.length+1, b.hash
		}
		n.hash = (n.hash ^ uint64(n.last)) * 0x100000001b3
		return n, false
	}
	return s, true
}

func (list) answers(_, after any, o *Op) bool {
	if !isRead(o) {
		return true
	}
	s := after.(*listState)
	n := 0
	if s != nil {
		n = s.length
	}
	if len(o.Out.Ints) != n {
		return false
	}
	for i := n - 1; i >= 0; i-- {
		if o.Out.Ints[i] != s.last {
			return false
		}
		s = s.before
	}
	return true
}

func (list) equal(a, b any) bool {
	x, y := a.(*listState), b.(*listState)
	for x != y {
		if x == nil || y == nil || x.length != y.length || x.hash != y.hash || x.last != y.last {
			return false
		}
		x, y = x.before, y.before
	}
	return true
}

func (list) describe(s any) string {
	var v Value
	for l := s.(*listState); l != nil; l = l.before {
		v.Ints = append(v.Ints, l.last)
	}
	slices.Reverse(v.Ints)
	return v.String()
}

// bank holds accounts by name. Amounts are positive, anything else is refused.
//
//	read                      -> the sum of all balances
//	read(account)             -> its balance
//	deposit(account; amount)
//	withdraw(account; amount)     refused if the balance is less
//	transfer(from, to; amount)    refused if the balance of from is less
type bank struct{}

// holding is a named quantity; a state is a list of them sorted by name, none
// of them zero.
type holding struct {
	name   string
	amount int64
}

func amountOf(s []holding, name string) int64 {
	for i := range s {
		if s[i].name == name {
			return s[i].amount
		}
	}
	return 0
}

// changed returns a copy of s in which name has by more.
func changed(s []holding, name string, by int64) []holding {
	i, found := slices.BinarySearchFunc(s, name, func(h holding, n string) int { return strings.Compare(h.name, n) })
	switch {
	case !found && by == 0:
		return s
	case !found:
		c := make([]holding, 0, len(s)+1)
		return append(append(append(c, s[:i]...), holding{name, by}), s[i:]...)
	}
	c := slices.Clone(s)
	c[i].amount += by
	if c[i].amount == 0 {
		c = slices.Delete(c, i, i+1)
	}
	return c
}

func describeHoldings(s []holding) string {
	var v Value
	for _, h := range s {
		v.Strs, v.Ints = append(v.Strs, h.name), append(v.Ints, h.amount)
	}
	return v.String()
}

func (bank) initial() any { return []holding(nil) }

func (bank) step(s any, o *Op) (any, bool) {
	b, amount := s.([]holding), intArg(o.In, 0)
	from, to := strArg(o.In, 0), strArg(o.In, 1)
	if isRead(o) {
		return s, false
	}
	if amount <= 0 {
		return s, true
	}
	switch o.Name {
	case "deposit":
		return changed(b, from, amount), false
	case "withdraw":
		if amountOf(b, from) >= amount {
			return changed(b, from, -amount), false
		}
	case "transfer":
		if amountOf(b, from) >= amount {
			return changed(changed(b, from, -amount), to, amount), false
		}
	}
	return s, true
}

func (bank) answers(_, after any, o *Op) bool {
	if !isRead(o) {
		return true
	}
	b, want := after.([]holding), int64(0)
	if len(o.In.Strs) > 0 {
		want = amountOf(b, o.In.Strs[0])
	} else {
		for _, h := range b {
			want += h.amount
		}
	}
	return len(o.Out.Ints) == 1 && o.Out.Ints[0] == want
}

func (bank) equal(a, b any) bool   { return slices.Equal(a.([]holding), b.([]holding)) }
func (bank) describe(s any) string { return describeHoldings(s.([]holding)) }

// cart is a shopping cart that can be filled again after a checkout.
//
//	read                  -> names (sorted) and quantities
//	add(item; quantity)   refused unless quantity is positive
//	remove(item)          all of it; refused if there is none
//	checkout              -> the number of pieces; empties the cart; refused if empty
type cart struct{}

func (cart) initial() any { return []holding(nil) }

func (cart) step(s any, o *Op) (any, bool) {
	c, item := s.([]holding), strArg(o.In, 0)
	switch o.Name {
	case "read":
		return s, false
	case "add":
		if n := intArg(o.In, 0); n > 0 {
			return changed(c, item, n), false
		}
	case "remove":
		if n := amountOf(c, item); n > 0 {
			return changed(c, item, -n), false
		}
	case "checkout":
		if len(c) > 0 {
			return []holding(nil), false
		}
	}
	return s, true
}

func (cart) answers(before, after any, o *Op) bool {
	switch o.Name {
	case "read":
		c := after.([]holding)
		if len(o.Out.Strs) != len(c) || len(o.Out.Ints) != len(c) {
			return false
		}
		for i, h := range c {
			if o.Out.Strs[i] != h.name || o.Out.Ints[i] != h.amount {
				return false
			}
		}
	case "checkout":
		pieces := int64(0)
		for _, h := range before.([]holding) {
			pieces += h.amount
		}
		return len(o.Out.Ints) == 0 || o.Out.Ints[0] == pieces
	}
	return true
}

func (cart) equal(a, b any) bool   { return slices.Equal(a.([]holding), b.([]holding)) }
func (cart) describe(s any) string { return describeHoldings(s.([]holding)) }
