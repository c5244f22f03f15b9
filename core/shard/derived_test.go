package shard

import (
	"testing"

	"actordb/core/actor"
)

// No pair makes the reader of the derived store panic.
func FuzzDerived(f *testing.F) {
	s := &Shard{applied: 7, clock: 9}
	f.Add([]byte{keyMeta}, s.encodeMeta())
	f.Add(actorKey("cart/7"), encodeKnown(&known{id: "cart/7", seq: 3, last: 2}))
	session := &actor.Session{Floor: 2, Answers: []actor.Recorded{{Number: 2, Detail: "no"}}}
	f.Add(sessionKey(session.ID), encodeSession(session))
	f.Add(snapshotKey("cart/7", 3), make([]byte, 20))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		seen := 0
		v := DerivedVisitor{
			Position: func(Position) error { seen++; return nil },
			Actor:    func(a DerivedActor) error { seen++; return a.ID.Validate() },
			Session:  func(*actor.Session) error { seen++; return nil },
			Snapshot: func(d DerivedSnapshot) error { seen++; return d.ID.Validate() },
		}
		if err := v.Visit(key, value); (err == nil) != (seen == 1) {
			t.Errorf("seen %d times: %v", seen, err)
		}
	})
}
