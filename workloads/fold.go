package workloads

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"actordb/checkers"
	"actordb/core"
)

// This file is the second opinion on what events amount to. It shares no line
// with the behaviours: its own reading of the Protobuf wire (in encoding/binary
// alone), maps where they have sorted lists, its own layout of states. Keep it
// that way, or the snapshot check compares a thing with itself.

func errNoType(id core.ActorID) error { return fmt.Errorf("no actor type %.60q here", id.Type()) }

// field is one field of a Protobuf message.
type field struct {
	number uint64
	n      int64  // sint64
	text   string // string, message
}

// readFields takes a message apart.
func readFields(b []byte) (list []field, err error) {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = fmt.Errorf("fold: bad varint, %d bytes from the end", len(b))
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		tag := number()
		f := field{number: tag / 8}
		switch tag % 8 {
		case 0:
			u := number()
			f.n = int64(u / 2)
			if u%2 == 1 {
				f.n = -f.n - 1
			}
		case 2:
			length := number()
			if length > uint64(len(b)) {
				return nil, fmt.Errorf("fold: field %d of %d bytes, %d left", f.number, length, len(b))
			}
			f.text, b = string(b[:length]), b[length:]
		default:
			return nil, fmt.Errorf("fold: tag %d", tag)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, err
}

func intField(list []field, number uint64) (n int64) {
	for _, f := range list {
		if f.number == number {
			n = f.n
		}
	}
	return n
}

func textField(list []field, number uint64) (s string) {
	for _, f := range list {
		if f.number == number {
			s = f.text
		}
	}
	return s
}

// writeInt appends a sint64 field with a number below 16.
func writeInt(b []byte, number byte, v int64) []byte {
	u := uint64(v) * 2
	if v < 0 {
		u = ^u
	}
	return binary.AppendUvarint(append(b, number*8), u)
}

func writeText(b []byte, number byte, s string) []byte {
	return append(binary.AppendUvarint(append(b, number*8+2), uint64(len(s))), s...)
}

// fold applies each event, after reading its payload.
func fold(events []core.Event, apply func(e *core.Event, f []field) error) error {
	for i := range events {
		e := &events[i]
		f, err := readFields(e.Payload)
		if err == nil {
			err = apply(e, f)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	return nil
}

func unexpected(e *core.Event) error { return fmt.Errorf("fold: no event type %s", e.Type) }

func foldRegister(events []core.Event) ([]byte, error) {
	var value int64
	err := fold(events, func(e *core.Event, f []field) error {
		if e.Type != "written" {
			return unexpected(e)
		}
		value = intField(f, 1)
		return nil
	})
	return writeInt([]byte{1, 0}, 1, value), err
}

func foldCounter(events []core.Event) ([]byte, error) {
	var value int64
	err := fold(events, func(e *core.Event, f []field) error {
		if e.Type != "incremented" {
			return unexpected(e)
		}
		value += intField(f, 1)
		return nil
	})
	return writeInt([]byte{1, 0}, 1, value), err
}

func foldSensor(events []core.Event) ([]byte, error) {
	var sum int64
	err := fold(events, func(e *core.Event, f []field) error {
		if e.Type != "reading" {
			return unexpected(e)
		}
		sum += intField(f, 1)
		return nil
	})
	return writeInt([]byte{1, 0}, 1, sum), err
}

func foldList(events []core.Event) ([]byte, error) {
	state := []byte{1, 0}
	err := fold(events, func(e *core.Event, f []field) error {
		if e.Type != "appended" {
			return unexpected(e)
		}
		state = writeInt(state, 1, intField(f, 1))
		return nil
	})
	return state, err
}

func foldBank(events []core.Event) ([]byte, error) {
	balance := map[string]int64{}
	err := fold(events, func(e *core.Event, f []field) error {
		account, amount := textField(f, 1), intField(f, 3)
		switch e.Type {
		case "deposited":
			balance[account] += amount
		case "withdrawn":
			balance[account] -= amount
		case "transferred":
			balance[account] -= amount
			balance[textField(f, 2)] += amount
		default:
			return unexpected(e)
		}
		return nil
	})
	return writeAmounts([]byte{1, 0}, balance), err
}

func foldCart(events []core.Event) ([]byte, error) {
	pieces := map[string]int64{}
	err := fold(events, func(e *core.Event, f []field) error {
		switch item := textField(f, 1); {
		case e.Type == "item-added" && e.Version == 1:
			pieces[item]++
		case e.Type == "item-added":
			pieces[item] += intField(f, 2)
		case e.Type == "item-removed":
			delete(pieces, item)
		case e.Type == "checked-out":
			clear(pieces)
		default:
			return unexpected(e)
		}
		return nil
	})
	return writeAmounts([]byte{2, 0}, pieces), err
}

// writeAmounts appends what is not zero, by name.
func writeAmounts(state []byte, amounts map[string]int64) []byte {
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		if n := amounts[name]; n != 0 {
			state = writeText(state, 1, string(writeInt(writeText(nil, 1, name), 2, n)))
		}
	}
	return state
}

// What reads see, from the same second opinion on states.

func stateFields(state []byte) ([]field, error) {
	if len(state) < 2 {
		return nil, fmt.Errorf("a state of %d bytes has no version", len(state))
	}
	return readFields(state[2:])
}

func answerInteger(state []byte, _ checkers.Value) (checkers.Value, error) {
	f, err := stateFields(state)
	return checkers.Value{Ints: []int64{intField(f, 1)}}, err
}

func answerList(state []byte, _ checkers.Value) (v checkers.Value, err error) {
	f, err := stateFields(state)
	if len(f) > 0 {
		v.Ints = make([]int64, len(f))
	}
	for i := range f {
		v.Ints[i] = f[i].n
	}
	return v, err
}

func answerCart(state []byte, _ checkers.Value) (v checkers.Value, err error) {
	list, err := stateFields(state)
	for i := range list {
		f, err := readFields([]byte(list[i].text))
		if err != nil {
			return v, err
		}
		v.Strs, v.Ints = append(v.Strs, textField(f, 1)), append(v.Ints, intField(f, 2))
	}
	return v, err
}

// answerBank gives the balance of the account that was asked for, or the sum.
func answerBank(state []byte, in checkers.Value) (checkers.Value, error) {
	all, err := answerCart(state, in)
	var sum int64
	for i, account := range all.Strs {
		if len(in.Strs) == 0 || in.Strs[0] == account {
			sum += all.Ints[i]
		}
	}
	return checkers.Value{Ints: []int64{sum}}, err
}
