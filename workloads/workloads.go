// Package workloads is what clients do, in the simulator and in the real mode
// alike: actor types, generators of operations on them, and the processes that
// carry them out.
//
//	type_*.go       actor types: register, list, bank, cart, counter, sensor
//	fold.go         a second opinion on what their events amount to
//	workloads.go    which operation comes next
//	client.go       a client: sessions, numbers, retries, and the record of it all
//	auditor.go      reads everything back at the end
//	fences.go       an operator that raises fences
//
// # Invariants
//
//	W1  A client uses a number of a session for one command only, and sends it
//	    again unchanged, but for AckedBelow, which never passes it.
//	W2  An operation is recorded as accepted or refused only by an answer with
//	    its session, number and kind. It is recorded as without effect only if
//	    every copy of it had to be refused. Otherwise it ends unknown.
//	W3  Attempts of one operation are at least a millisecond apart, and at most
//	    Retry.Max, on the client's clock.
//	W4  Processes decide by their inputs and Env.Rand alone. True time goes into
//	    the record only.
package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"actordb/checkers"
	"actordb/core"
)

// A Planned operation is one that a client is to carry out. Session, number
// and floor of the command are the client's to fill in.
type Planned struct {
	Name    string // of the model's operation
	In      checkers.Value
	Command core.Command
	Rush    bool // the next operation follows without a pause
}

// kind numbers actor types, for tables.
type kind uint8

const (
	kindRegister kind = iota
	kindList
	kindBank
	kindCart
	kindCounter
	kindSensor
	kinds
)

// keyspace is how a workload spreads its operations over the actors of a type:
// some are contended by all clients, many are rarely used, so that they leave
// memory in between, and now and then there is a new one.
type keyspace struct {
	prefix    string
	contended int // at once
	opsMax    int // about so many operations go to one contended actor, then another takes its place
	rare      int
}

// Shares of the operations in per cent; the rest goes to new actors.
const (
	contendedShare = 55
	rareShare      = 42
	readShare      = 25
)

func keyspaces() [kinds]keyspace {
	return [kinds]keyspace{
		kindRegister: {"register/", 4, 4000, 200},
		kindList:     {"list/", 4, 300, 300}, // a read returns all of a list
		kindBank:     {"bank/", 4, 4000, 200},
		kindCart:     {"cart/", 4, 4000, 300},
		kindCounter:  {"counter/", 4, 4000, 200},
		kindSensor:   {"sensor/", 4, 4000, 200},
	}
}

// Workload names.
const (
	RegisterWorkload = "register"
	ListWorkload     = "append-list"
	BankWorkload     = "bank"
	CartWorkload     = "cart"
	HotWorkload      = "hot-actor"
	MixedWorkload    = "mixed"
	SensorWorkload   = "sensors"
)

// Names lists the workloads.
func Names() []string {
	return []string{RegisterWorkload, ListWorkload, BankWorkload, CartWorkload, HotWorkload, MixedWorkload, SensorWorkload}
}

// Select returns the workloads of a name: one, or all of them for "all".
func Select(name string) ([]string, error) {
	if name == "all" {
		return Names(), nil
	}
	for _, n := range Names() {
		if n == name {
			return []string{name}, nil
		}
	}
	return nil, fmt.Errorf("no workload %q: want all or one of %q", name, Names())
}

// memorySlots bounds what a client remembers of actors.
const memorySlots = 64

// memory is what a client last saw of an actor.
type memory struct {
	actor core.ActorID
	seq   core.Seq
	value int64 // of a register
}

// A Generator thinks up one client's operations. They depend on the random
// numbers, the ordinal, the time and what the client was told, on nothing else.
type Generator struct {
	next            func(n int) Planned
	now             core.Timestamp
	reported        reported
	rand            *rand.Rand
	client, clients int
	memory          [memorySlots]memory // by slot of the actor
	spaces          [kinds]keyspace
	ids             [kinds]ids
	ints            []int64 // free rest of a chunk
	texts           []string
	accounts, items []string

	register RegisterRef
	list     ListRef
	bank     BankRef
	cart     CartRef
	counter  CounterRef
	sensor   SensorRef
}

// ids keeps the names of actors, which are used again and again.
type ids struct {
	contended []core.ActorID
	turn      []int
	rare      []core.ActorID
}

// NewGenerator makes the generator of a workload for one of many clients.
func NewGenerator(workload string, rng *rand.Rand, client, clients int) (*Generator, error) {
	if client < 0 || client >= clients {
		return nil, fmt.Errorf("client %d of %d", client, clients)
	}
	g := &Generator{rand: rng, client: client, clients: clients, spaces: keyspaces(),
		accounts: []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"},
		items:    []string{"apple", "bread", "cheese", "date", "egg", "fig"},
		register: must(Register("-")), list: must(List("-")), bank: must(Bank("-")),
		cart: must(Cart("-")), counter: must(Counter("-")), sensor: must(Sensor("-"))}
	switch workload {
	case RegisterWorkload:
		g.next = g.registerOp
	case ListWorkload:
		g.next = g.listOp
	case BankWorkload:
		g.next = g.bankOp
	case CartWorkload:
		g.next = g.cartOp
	case HotWorkload:
		g.next = g.hotOp
	case MixedWorkload:
		g.next = g.mixedOp
	case SensorWorkload:
		g.next = g.sensorOp
	default:
		return nil, fmt.Errorf("no workload %q: want one of %q", workload, Names())
	}
	return g, nil
}

// Next is the client's operation number n, counted from 0 over all of its
// incarnations, at a time by its clock.
func (g *Generator) Next(n int, now core.Timestamp) Planned {
	g.now = now
	return g.next(n)
}

// Learn tells the generator what an answer said about an actor.
func (g *Generator) Learn(o *checkers.Op) {
	m := &g.memory[o.Actor.Slot()%memorySlots]
	same := m.actor == o.Actor
	if same && m.seq > o.Seq {
		return
	}
	value := m.value
	switch {
	case !same:
		value = 0
	case m.seq < o.Seq:
		value = 0 // someone else's command may be between
	}
	if o.Status == core.Accepted && o.Actor.Type() == "register" {
		switch {
		case o.Name == "read" && len(o.Out.Ints) == 1:
			value = o.Out.Ints[0]
		case o.Name == "write":
			value = o.In.Ints[0]
		case o.Name == "cas":
			value = o.In.Ints[1]
		}
	}
	*m = memory{o.Actor, o.Seq, value}
}

func (g *Generator) recall(a core.ActorID) *memory {
	if m := &g.memory[a.Slot()%memorySlots]; m.actor == a {
		return m
	}
	return nil
}

// chance is true in so many of a hundred cases.
func (g *Generator) chance(percent int) bool { return g.rand.IntN(100) < percent }

// actor draws an actor of a kind.
func (g *Generator) actor(k kind, n int) core.ActorID {
	space, ids := &g.spaces[k], &g.ids[k]
	switch draw := g.rand.IntN(100); {
	case draw < contendedShare:
		i := g.rand.IntN(space.contended)
		perTurn := max(1, space.opsMax*space.contended*100/(contendedShare*g.clients))
		return g.contended(k, i, n/perTurn)
	case draw < contendedShare+rareShare:
		if ids.rare == nil {
			ids.rare = make([]core.ActorID, space.rare)
		}
		i := g.rand.IntN(space.rare)
		if ids.rare[i] == "" {
			ids.rare[i] = core.ActorID(space.prefix + "rare-" + strconv.Itoa(i))
		}
		return ids.rare[i]
	}
	return core.ActorID(space.prefix + "new-" + strconv.Itoa(g.client) + "-" + strconv.Itoa(n))
}

// contended is the i-th contended actor of a turn.
func (g *Generator) contended(k kind, i, turn int) core.ActorID {
	ids := &g.ids[k]
	if ids.contended == nil {
		ids.contended = make([]core.ActorID, g.spaces[k].contended)
		ids.turn = make([]int, g.spaces[k].contended)
	}
	if ids.contended[i] == "" || ids.turn[i] != turn {
		ids.turn[i] = turn
		ids.contended[i] = core.ActorID(g.spaces[k].prefix + "contended-" + strconv.Itoa(i) + "." + strconv.Itoa(turn))
	}
	return ids.contended[i]
}

// Arguments come from chunks: an operation keeps its own for ever.

const chunk = 1024

func (g *Generator) intArgs(v ...int64) []int64 {
	if len(g.ints) < len(v) {
		g.ints = make([]int64, chunk)
	}
	n := copy(g.ints, v)
	args := g.ints[:n:n]
	g.ints = g.ints[n:]
	return args
}

func (g *Generator) textArgs(v ...string) []string {
	if len(g.texts) < len(v) {
		g.texts = make([]string, chunk)
	}
	n := copy(g.texts, v)
	args := g.texts[:n:n]
	g.texts = g.texts[n:]
	return args
}

// unique is a value that no other operation of the run writes.
func (g *Generator) unique(n int) int64 { return int64(g.client+1)<<32 | int64(n) }

// expect sometimes adds the check that the actor is where it was last seen.
func (g *Generator) expect(c *core.Command, percent int) {
	if m := g.recall(c.Actor); m != nil && g.chance(percent) {
		c.Expected = m.seq
	}
}

func read(a core.ActorID, in checkers.Value) Planned {
	return Planned{Name: "read", In: in, Command: core.Command{Actor: a, Kind: core.Read, Expected: core.AnySeq}}
}
