package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"actordb/core"
)

// Which slots a shard owns is written in its own log and nowhere else: the placement
// that it is configured with says where all slots were in the beginning, and blocks
// of moves what has changed since. What anybody else believes is a hint, which a
// refusal corrects.

// A Move is a plan to move slots from one shard to another. It is compared, as a
// whole, with what the source's log says: a slot whose epoch is beyond Based, or that
// is not the source's any more, makes it stale.
type Move struct {
	ID       core.Epoch // of its slots once they are moved: greater than Based
	Based    core.Epoch // the plan knows of no later change to its slots
	From, To core.ShardID
	Slots    []core.Slot // ascending
}

// ErrMove is wrapped when bytes are not a move.
var ErrMove = errors.New("not a move of slots")

// Append encodes a move: u id  u based  u from  u to  u n, n × u slot, as differences.
func (m *Move) Append(b []byte) []byte {
	for _, v := range []uint64{uint64(m.ID), uint64(m.Based), uint64(m.From), uint64(m.To), uint64(len(m.Slots))} {
		b = binary.AppendUvarint(b, v)
	}
	next := core.Slot(0)
	for _, slot := range m.Slots {
		b = binary.AppendUvarint(b, uint64(slot-next))
		next = slot + 1
	}
	return b
}

// DecodeMove reads and checks a move.
func DecodeMove(b []byte) (Move, error) {
	r := fields{b: b}
	m := r.move()
	if err := r.end(); err != nil {
		return Move{}, fmt.Errorf("%w: %w", ErrMove, err)
	}
	return m, nil
}

func (r *fields) move() (m Move) {
	m.ID, m.Based = core.Epoch(r.uvarint()), core.Epoch(r.uvarint())
	from, to, n := r.uvarint(), r.uvarint(), r.uvarint()
	m.From, m.To = core.ShardID(from), core.ShardID(to)
	if m.ID <= m.Based || from > 1<<32-1 || to > 1<<32-1 || from == to || n == 0 || n > core.Slots {
		r.fail()
		return m
	}
	next := uint64(0)
	for range n {
		next += r.uvarint()
		if next >= core.Slots {
			r.fail()
			return m
		}
		m.Slots = append(m.Slots, core.Slot(next))
		next++
	}
	return m
}

// Same tells whether two moves are one.
func (m *Move) Same(o *Move) bool {
	return m.ID == o.ID && m.Based == o.Based && m.From == o.From && m.To == o.To && slices.Equal(m.Slots, o.Slots)
}

// A Tenure is who owns a slot, as a shard knows it, and the id of the move by which
// it came there; 0: it never moved.
type Tenure struct {
	Owner core.ShardID
	Epoch core.Epoch
}

// A Holding is what a shard's log says of the slots and of moves under way. All of it
// is applied state.
type Holding struct {
	placement *Placement
	moved     []Tenure // by slot; nil: none has moved. An Epoch of 0: as placed
	offers    []Move   // that this shard has promised and not handed over, or withdrawn
	incoming  *incoming
	burnt     core.Epoch // the greatest id of those withdrawn: it is not used again
}

// incoming is a move to this shard that is under way.
type incoming struct {
	Move
	next core.Index // entries of the source before it are imported
	base bool       // so is what the source had compacted
}

// Of is who owns a slot.
func (h *Holding) Of(slot core.Slot) Tenure {
	if h.moved != nil && h.moved[slot].Epoch > 0 {
		return h.moved[slot]
	}
	return Tenure{Owner: h.placement.Slots[slot]}
}

func (h *Holding) set(slots []core.Slot, t Tenure) {
	if h.moved == nil {
		h.moved = make([]Tenure, core.Slots)
	}
	for _, slot := range slots {
		h.moved[slot] = t
	}
}

// done tells whether all slots of a move have changed hands by it.
func (h *Holding) done(m *Move) bool {
	for _, slot := range m.Slots {
		if h.Of(slot) != (Tenure{m.To, m.ID}) {
			return false
		}
	}
	return true
}

// stale compares a plan with what is: it returns the greatest epoch of its slots, and
// whether one of them is not at hand.
func (h *Holding) stale(m *Move) (core.Epoch, bool) {
	epoch, gone := core.Epoch(0), m.ID <= h.burnt
	for _, slot := range m.Slots {
		t := h.Of(slot)
		epoch = max(epoch, t.Epoch)
		gone = gone || t.Owner != m.From
	}
	for i := range h.offers {
		gone = gone || h.offers[i].ID == m.ID
		for _, slot := range h.offers[i].Slots {
			if _, twice := slices.BinarySearch(m.Slots, slot); twice {
				epoch, gone = max(epoch, h.offers[i].ID), true
			}
		}
	}
	return epoch, gone || epoch > m.Based
}

func (h *Holding) offer(m *Move) int {
	return slices.IndexFunc(h.offers, func(o Move) bool { return o.Same(m) })
}

// append encodes a holding: u n, n × (u first  u slots  u owner  u epoch) for the slots
// that have moved, u n, n × offer, u burnt, u8 whether a move comes in, and then that one:
// move  u next  u8 base.
func (h *Holding) append(b []byte) []byte {
	type run struct {
		first, n int
		Tenure
	}
	var runs []run
	for slot := range h.moved {
		t := h.moved[slot]
		if n := len(runs) - 1; n >= 0 && runs[n].Tenure == t && runs[n].first+runs[n].n == slot {
			runs[n].n++
		} else if t.Epoch > 0 {
			runs = append(runs, run{slot, 1, t})
		}
	}
	b = binary.AppendUvarint(b, uint64(len(runs)))
	for _, r := range runs {
		for _, v := range []uint64{uint64(r.first), uint64(r.n), uint64(r.Owner), uint64(r.Epoch)} {
			b = binary.AppendUvarint(b, v)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(h.offers)))
	for i := range h.offers {
		b = h.offers[i].Append(b)
	}
	b = binary.AppendUvarint(b, uint64(h.burnt))
	if h.incoming == nil {
		return append(b, 0)
	}
	b = h.incoming.Append(append(b, 1))
	b = binary.AppendUvarint(b, uint64(h.incoming.next))
	if h.incoming.base {
		return append(b, 1)
	}
	return append(b, 0)
}

func (r *fields) holding(placement *Placement) Holding {
	h := Holding{placement: placement}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		first, slots := r.uvarint(), r.uvarint()
		t := Tenure{core.ShardID(r.uvarint()), core.Epoch(r.uvarint())}
		if first > core.Slots || slots > core.Slots-first {
			r.fail()
		}
		for slot := first; r.err == nil && slot < first+slots; slot++ {
			h.set([]core.Slot{core.Slot(slot)}, t)
		}
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		h.offers = append(h.offers, r.move())
	}
	h.burnt = core.Epoch(r.uvarint())
	if b := r.bytes(1); b != nil && b[0] == 1 {
		in := &incoming{Move: r.move(), next: core.Index(r.uvarint())}
		if b := r.bytes(1); b != nil {
			in.base = b[0] == 1
		}
		h.incoming = in
	}
	return h
}

// offersMax bounds the moves away from a shard that are under way at once.
const offersMax = 16

// DecodeHolding reads what a shard tells of its slots (the verb slots of a Move). The
// placement is that of the beginning.
func DecodeHolding(placement *Placement, b []byte) (*Holding, error) {
	r := fields{b: b}
	h := r.holding(placement)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("what a shard tells of its slots: %w", err)
	}
	return &h, nil
}

// Offers are the moves away from the shard that are under way, and Incoming the one
// to it, or nil.
func (h *Holding) Offers() []Move { return h.offers }
func (h *Holding) Incoming() *Move {
	if h.incoming == nil {
		return nil
	}
	return &h.incoming.Move
}
