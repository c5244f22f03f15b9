package workloads

import (
	"fmt"

	"actordb/core"
	"actordb/core/actor"
)

// CartCommand is what a shopping cart understands: AddItem, RemoveItem or
// Checkout.
type CartCommand interface{ cartCommand() }

// AddItem puts Quantity pieces of Item into the cart. It must be positive.
type AddItem struct {
	Item     string
	Quantity int64
}

// RemoveItem takes all pieces of Item out; there must be some.
type RemoveItem struct{ Item string }

// Checkout buys what is in the cart, which must not be empty, and empties it.
// The address is a personal column of the event, and of nothing else.
type Checkout struct{ Address string }

func (AddItem) cartCommand()    {}
func (RemoveItem) cartCommand() {}
func (Checkout) cartCommand()   {}

// CartState is what is in the cart.
type CartState struct{ items holdings }

// CartEvent is ItemAdded, ItemRemoved or CheckedOut.
type CartEvent interface{ cartEvent() }

// Events of a cart.
type (
	ItemAdded   AddItem
	ItemRemoved RemoveItem
	CheckedOut  struct {
		Pieces  int64
		Address []byte // empty once erased
	}
)

func (ItemAdded) cartEvent()   {}
func (ItemRemoved) cartEvent() {}
func (CheckedOut) cartEvent()  {}

// CartRef refers to a cart.
type CartRef = actor.Ref[CartCommand]

// Schemas of item-added. Version 1 knew no quantity: each event was one piece.
//
//	version 1  {1: item}
//	version 2  {1: item, 2: quantity}
const (
	itemAdded        = "item-added"
	itemAddedVersion = 2
)

func newCart() (*actor.Type[CartState, CartCommand, CartEvent], error) {
	return actor.Define(actor.Behavior[CartState, CartCommand, CartEvent]{
		Type:          "cart",
		New:           func(core.ActorID) CartState { return CartState{} },
		Decide:        decideCart,
		Evolve:        evolveCart,
		EncodeCommand: encodeCartCommand,
		DecodeCommand: decodeCartCommand,
		EncodeEvent:   encodeCartEvent,
		DecodeEvent:   decodeCartEvent,
		Upcasts: []actor.Upcast{{Name: itemAdded, From: 1, Apply: func(payload []byte) ([]byte, error) {
			m, err := parse(payload)
			if err != nil {
				return nil, err
			}
			return appendInt(appendText(nil, 1, string(m.texts[1])), 2, 1), nil
		}}},
		EncodeState: func(dst []byte, s *CartState) []byte { return s.items.encode(dst) },
		DecodeState: func(b []byte) (CartState, error) {
			h, err := decodeHoldings(b)
			return CartState{h}, err
		},
		StateVersion: 2,
		Policy:       actor.Policy{SnapshotEvery: 16, SnapshotKeep: 3, AllowAppend: true},
	})
}

func decideCart(s *CartState, c CartCommand, out []CartEvent) ([]CartEvent, *core.Refusal) {
	switch c := c.(type) {
	case AddItem:
		if c.Quantity <= 0 {
			return nil, core.Refuse("quantities are positive")
		}
		return append(out, ItemAdded(c)), nil
	case RemoveItem:
		if s.items.amount(c.Item) == 0 {
			return nil, core.Refuse("no such item in the cart")
		}
		return append(out, ItemRemoved(c)), nil
	case Checkout:
		if len(s.items) == 0 {
			return nil, core.Refuse("the cart is empty")
		}
		return append(out, CheckedOut{s.items.total(), []byte(c.Address)}), nil
	}
	panic(core.Bug(fmt.Sprintf("cart command %T", c)))
}

func evolveCart(s *CartState, e CartEvent) {
	switch e := e.(type) {
	case ItemAdded:
		s.items.change(e.Item, e.Quantity)
	case ItemRemoved:
		s.items.change(e.Item, -s.items.amount(e.Item))
	case CheckedOut:
		clear(s.items)
		s.items = s.items[:0]
	}
}

func encodeCartCommand(dst []byte, c CartCommand) (string, []byte) {
	switch c := c.(type) {
	case AddItem:
		return "add", appendInt(appendText(dst, 1, c.Item), 2, c.Quantity)
	case RemoveItem:
		return "remove", appendText(dst, 1, c.Item)
	case Checkout:
		return "checkout", appendText(dst, 1, c.Address)
	}
	panic(core.Bug(fmt.Sprintf("cart command %T", c)))
}

func decodeCartCommand(name string, payload []byte) (CartCommand, error) {
	m, err := parse(payload)
	switch {
	case err != nil:
		return nil, err
	case name == "add":
		return AddItem{string(m.texts[1]), m.ints[2]}, nil
	case name == "remove":
		return RemoveItem{string(m.texts[1])}, nil
	case name == "checkout":
		return Checkout{string(m.texts[1])}, nil
	}
	return nil, actor.ErrNoSuchCommand
}

func encodeCartEvent(dst []byte, e CartEvent) ([]byte, actor.EventMeta) {
	switch e := e.(type) {
	case ItemAdded:
		return appendInt(appendText(dst, 1, e.Item), 2, e.Quantity), actor.EventMeta{Name: itemAdded, Version: itemAddedVersion}
	case ItemRemoved:
		return appendText(dst, 1, e.Item), actor.EventMeta{Name: "item-removed", Version: 1}
	case CheckedOut:
		return appendInt(dst, 1, e.Pieces), actor.EventMeta{Name: "checked-out", Version: 1, Personal: e.Address}
	}
	panic(core.Bug(fmt.Sprintf("cart event %T", e)))
}

func decodeCartEvent(name string, payload, personal []byte) (CartEvent, error) {
	m, err := parse(payload)
	switch {
	case err != nil:
		return nil, err
	case name == itemAdded && m.ints[2] <= 0:
		return nil, fmt.Errorf("%s: a quantity of %d", itemAdded, m.ints[2])
	case name == itemAdded:
		return ItemAdded{string(m.texts[1]), m.ints[2]}, nil
	case name == "item-removed":
		return ItemRemoved{string(m.texts[1])}, nil
	case name == "checked-out":
		return CheckedOut{m.ints[1], personal}, nil
	}
	return nil, fmt.Errorf("a cart has no event %q", name)
}
