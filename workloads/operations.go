package workloads

import (
	"strconv"

	"actordb/checkers"
	"actordb/core"
)

// registerOp reads, writes, and compares what it saw before it sets.
func (g *Generator) registerOp(n int) Planned {
	id := g.actor(kindRegister, n)
	if g.chance(readShare) {
		return read(id, checkers.Value{})
	}
	ref, value := g.register, g.unique(n)
	ref.ID = id
	if g.chance(55) {
		p := Planned{Name: "write", In: checkers.Value{Ints: g.intArgs(value)}, Command: ref.Command(Write{value})}
		g.expect(&p.Command, 15)
		return p
	}
	var old int64
	if m := g.recall(id); m != nil {
		old = m.value
	}
	return Planned{Name: "cas", In: checkers.Value{Ints: g.intArgs(old, value)}, Command: ref.Command(CompareAndSet{old, value})}
}

// listOp appends, mostly through the door for callers without Go types.
func (g *Generator) listOp(n int) Planned {
	id := g.actor(kindList, n)
	if g.chance(readShare) {
		return read(id, checkers.Value{})
	}
	value := g.unique(n)
	p := Planned{Name: "append", In: checkers.Value{Ints: g.intArgs(value)}}
	if g.chance(60) {
		p.Command = genericAppend(id, core.NewEvent{Type: "appended", Version: 1, Payload: appendInt(nil, 1, value)})
	} else {
		ref := g.list
		ref.ID = id
		p.Command = ref.Command(Push{value})
	}
	g.expect(&p.Command, 30)
	return p
}

func genericAppend(id core.ActorID, e core.NewEvent) core.Command {
	return core.Command{Actor: id, Kind: core.Append, Expected: core.AnySeq, Events: []core.NewEvent{e}}
}

// bankOp moves money between few accounts, sometimes more than there is.
func (g *Generator) bankOp(n int) Planned {
	id := g.actor(kindBank, n)
	account := g.accounts[g.rand.IntN(len(g.accounts))]
	if g.chance(readShare) {
		if g.chance(50) {
			return read(id, checkers.Value{})
		}
		return read(id, checkers.Value{Strs: g.textArgs(account)})
	}
	amount := 1 + g.rand.Int64N(100)
	if g.chance(2) {
		amount = -amount
	}
	ref := g.bank
	ref.ID = id
	p := Planned{In: checkers.Value{Strs: g.textArgs(account), Ints: g.intArgs(amount)}}
	switch draw := g.rand.IntN(100); {
	case draw < 45:
		p.Name, p.Command = "deposit", ref.Command(Deposit{account, amount})
	case draw < 65:
		p.Name, p.Command = "withdraw", ref.Command(Withdraw{account, amount})
	default:
		to := g.accounts[g.rand.IntN(len(g.accounts))]
		p.In.Strs = g.textArgs(account, to)
		p.Name, p.Command = "transfer", ref.Command(Transfer{account, to, amount})
	}
	g.expect(&p.Command, 10)
	return p
}

// cartOp is the paper's shopping cart, used by callers of two generations: the
// older ones append item-added events of version 1.
func (g *Generator) cartOp(n int) Planned {
	id := g.actor(kindCart, n)
	if g.chance(readShare) {
		return read(id, checkers.Value{})
	}
	item := g.items[g.rand.IntN(len(g.items))]
	ref := g.cart
	ref.ID = id
	var p Planned
	switch draw := g.rand.IntN(100); {
	case draw < 20:
		p.Name, p.In = "add", checkers.Value{Strs: g.textArgs(item), Ints: g.intArgs(1)}
		p.Command = genericAppend(id, core.NewEvent{Type: itemAdded, Version: 1, Payload: appendText(nil, 1, item)})
	case draw < 58:
		quantity := g.rand.Int64N(6) // none: refused
		p.Name, p.In = "add", checkers.Value{Strs: g.textArgs(item), Ints: g.intArgs(quantity)}
		p.Command = ref.Command(AddItem{item, quantity})
	case draw < 82:
		p.Name, p.In, p.Command = "remove", checkers.Value{Strs: g.textArgs(item)}, ref.Command(RemoveItem{item})
	default:
		p.Name, p.Command = "checkout", ref.Command(Checkout{address(g.client)})
	}
	g.expect(&p.Command, 15)
	return p
}

// address is where a client has its carts sent.
func address(client int) string { return strconv.Itoa(1+client) + " Main Street" }

// Personal returns what an operation's event holds as personal columns; ok is
// false if it has none.
func Personal(o *checkers.Op) (want []byte, ok bool) {
	if o.Name != "checkout" {
		return nil, false
	}
	return []byte(address(o.Client)), true
}

const (
	hotShare   = 90 // per cent of hot-actor's operations
	hotOpsMax  = 6000
	burstEvery = 150 // operations of a client
	burstOps   = 50  // of them without a pause
)

// hotOp has all clients at one counter, in bursts.
func (g *Generator) hotOp(n int) Planned {
	perTurn := max(1, hotOpsMax*100/(hotShare*g.clients))
	id := g.contended(kindCounter, 0, n/perTurn)
	if !g.chance(hotShare) {
		id = g.actor(kindCounter, n)
	}
	p := g.counterOp(id)
	p.Rush = n%burstEvery >= burstEvery-burstOps
	return p
}

func (g *Generator) counterOp(id core.ActorID) Planned {
	if g.chance(readShare) {
		return read(id, checkers.Value{})
	}
	ref, by := g.counter, 1+g.rand.Int64N(3)
	ref.ID = id
	return Planned{Name: "inc", In: checkers.Value{Ints: g.intArgs(by)}, Command: ref.Command(Increment{by})}
}

// mixedOp uses all actor types.
func (g *Generator) mixedOp(n int) Planned {
	switch g.rand.IntN(5) {
	case 0:
		return g.registerOp(n)
	case 1:
		return g.listOp(n)
	case 2:
		return g.bankOp(n)
	case 3:
		return g.cartOp(n)
	}
	return g.counterOp(g.actor(kindCounter, n))
}
