package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/seal"
)

// What stands in the derived store, for tools that read one without a shard.

// A Position is what a checkpoint reflects.
type Position struct {
	Applied     core.Index
	Chain       seal.Hash // of the applied blocks
	Clock       core.Timestamp
	SlotEpoch   core.Epoch
	PolicyEpoch core.Epoch
	Catalog     core.Epoch
	Version     core.Version // of the log
}

// A DerivedActor is an actor's durable end.
type DerivedActor struct {
	ID        core.ActorID
	Seq       core.Seq
	Last      core.Index // block with its newest events
	Uncovered core.Index // first block whose events are in no snapshot, 0 for none
	Snapshots []core.Seq // ascending
}

// A DerivedSnapshot is a stored state.
type DerivedSnapshot struct {
	ID    core.ActorID
	Seq   core.Seq
	Index core.Index // block after which it was taken
	State []byte     // version and state, as a Kind reads it
}

// A DerivedVisitor is told what stands in a store.
type DerivedVisitor struct {
	Position func(Position) error
	Actor    func(DerivedActor) error
	Session  func(*actor.Session) error
	Snapshot func(DerivedSnapshot) error
}

// ErrDerived is wrapped when a pair of the derived store cannot be read.
var ErrDerived = errors.New("derived store")

// Visit reads one pair of the derived store. What it passes on aliases value.
func (v *DerivedVisitor) Visit(key, value []byte) error {
	bad := func(err error) error { return fmt.Errorf("%w: key %q: %w", ErrDerived, key, err) }
	if len(key) == 0 {
		return bad(errors.New("it is empty"))
	}
	switch key[0] {
	case keyMeta:
		var s Shard
		if err := s.decodeMeta(value); err != nil || len(key) > 1 {
			return bad(errors.Join(errors.New("not a checkpoint"), err))
		}
		return v.Position(Position{s.applied, s.chain, s.clock, s.slotEpoch, s.policyEpoch, s.catalog, s.version})
	case keyActor:
		k, err := decodeKnown(core.ActorID(key[1:]), value)
		if err == nil {
			err = k.id.Validate()
		}
		if err != nil {
			return bad(err)
		}
		return v.Actor(DerivedActor{k.id, k.seq, k.last, k.uncovered, k.snapshots()})
	case keySession:
		session := &actor.Session{}
		if len(key) != 1+len(session.ID) {
			return bad(errors.New("a session has 16 bytes"))
		}
		copy(session.ID[:], key[1:])
		if err := decodeSession(session, value); err != nil {
			return bad(err)
		}
		return v.Session(session)
	case keySnapshot:
		at := len(key) - 9
		if at < 1 || key[at] != 0 || len(value) < 16 {
			return bad(errors.New("not a snapshot"))
		}
		d := DerivedSnapshot{ID: core.ActorID(key[1:at]), Seq: core.Seq(binary.BigEndian.Uint64(key[at+1:])),
			Index: core.Index(binary.BigEndian.Uint64(value[8:])), State: value[16:]}
		if err := d.ID.Validate(); err != nil {
			return bad(err)
		}
		if core.Seq(binary.BigEndian.Uint64(value)) != d.Seq {
			return bad(errors.New("a snapshot of another sequence"))
		}
		return v.Snapshot(d)
	}
	return bad(errors.New("nothing is kept under such a key"))
}
