package workloads

import (
	"actordb/checkers"
	"actordb/core"
	"actordb/core/actor"
)

// A Definition is an actor type as those need it who run and check it.
type Definition struct {
	Name string
	// Kind returns the type as one shard uses it: shards must not share one.
	Kind func() actor.Kind
	// Fold rebuilds the state from all events, in the layout of
	// Kind.AppendState, by code that shares nothing with the behaviour.
	Fold func(events []core.Event) ([]byte, error)
	// Answer is what the state tells a read with these arguments.
	Answer func(state []byte, in checkers.Value) (checkers.Value, error)
}

// Types lists the actor types of the workloads.
func Types() []Definition {
	t := define()
	return []Definition{
		{"register", t.register.Instance, foldRegister, answerInteger},
		{"list", t.list.Instance, foldList, answerList},
		{"bank", t.bank.Instance, foldBank, answerBank},
		{"cart", t.cart.Instance, foldCart, answerCart},
		{"counter", t.counter.Instance, foldCounter, answerInteger},
		{"sensor", t.sensor.Instance, foldSensor, answerInteger},
	}
}

// Kinds returns an instance of every type, for one shard.
func Kinds() []actor.Kind {
	var kinds []actor.Kind
	for _, d := range Types() {
		kinds = append(kinds, d.Kind())
	}
	return kinds
}

// Fold folds an actor's events by its type.
func Fold(id core.ActorID, events []core.Event) ([]byte, error) {
	switch id.Type() {
	case "register":
		return foldRegister(events)
	case "list":
		return foldList(events)
	case "bank":
		return foldBank(events)
	case "cart":
		return foldCart(events)
	case "counter":
		return foldCounter(events)
	case "sensor":
		return foldSensor(events)
	}
	return nil, errNoType(id)
}

// Answer reads a state by the actor's type.
func Answer(id core.ActorID, state []byte, in checkers.Value) (checkers.Value, error) {
	switch id.Type() {
	case "register", "counter", "sensor":
		return answerInteger(state, in)
	case "list":
		return answerList(state, in)
	case "bank":
		return answerBank(state, in)
	case "cart":
		return answerCart(state, in)
	}
	return checkers.Value{}, errNoType(id)
}

// defined is every type, ready to be referred to.
type defined struct {
	register *actor.Type[RegisterState, RegisterCommand, Written]
	list     *actor.Type[ListState, ListCommand, Appended]
	bank     *actor.Type[BankState, BankCommand, BankEvent]
	cart     *actor.Type[CartState, CartCommand, CartEvent]
	counter  *actor.Type[CounterState, CounterCommand, Incremented]
	sensor   *actor.Type[SensorState, SensorCommand, Reading]
}

func define() defined {
	return defined{must(newRegister()), must(newList()), must(newBank()), must(newCart()), must(newCounter()), must(newSensor())}
}

func must[T any](v T, err error) T {
	core.Assert(err == nil, "workloads: %v", err)
	return v
}

// Register refers to the register of this key.
func Register(key string) (RegisterRef, error) { return define().register.Ref(key) }

// List refers to the list of this key.
func List(key string) (ListRef, error) { return define().list.Ref(key) }

// Bank refers to the bank of this key.
func Bank(key string) (BankRef, error) { return define().bank.Ref(key) }

// Cart refers to the cart of this key.
func Cart(key string) (CartRef, error) { return define().cart.Ref(key) }

// Counter refers to the counter of this key.
func Counter(key string) (CounterRef, error) { return define().counter.Ref(key) }

// Sensor refers to the sensor of this key.
func Sensor(key string) (SensorRef, error) { return define().sensor.Ref(key) }
