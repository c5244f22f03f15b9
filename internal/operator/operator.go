// Package operator is what an operator asks a running cluster: where slots and
// replicas are, to move slots from one shard to another, to take a node's replicas
// into their groups, and to take them out, and to raise the version of what they share.
//
// Each call says what is to be so, and asks until it is, or until its context ends.
// Asking again after a failure goes on where it was left. A plan that somebody else's
// has overtaken fails with a *client.Refused of code stale-plan.
package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/client"
)

// An Operator asks through a client whose identity is an operator's.
type Operator struct {
	Client *client.Client
	Shards int
	Again  time.Duration // between two questions whether it is so
}

// A State is what one shard says.
type State struct {
	Shard  core.ShardID
	Roster shard.Roster
	Slots  *shard.Holding
}

// Owns are the slots that the shard owns, ascending.
func (s *State) Owns() (list []core.Slot) {
	for slot := range core.Slot(core.Slots) {
		if s.Slots.Of(slot).Owner == s.Shard {
			list = append(list, slot)
		}
	}
	return list
}

// Placement is that of the beginning, as far as slots go: they were dealt out in turn.
func (o *Operator) placement() (*shard.Placement, error) {
	return shard.Spread(make([]proc.Addr, o.Shards))
}

func (o *Operator) ask(ctx context.Context, id core.ShardID, kind core.CommandKind, verb string, payload []byte) (core.Answer, error) {
	return o.Client.Do(ctx, core.Command{Actor: core.ShardActor(id), Kind: kind, Expected: core.AnySeq, Type: verb, Payload: payload})
}

// Look asks one shard.
func (o *Operator) Look(ctx context.Context, id core.ShardID) (*State, error) {
	s := &State{Shard: id}
	a, err := o.ask(ctx, id, core.Move, shard.VerbSlots, nil)
	if err != nil {
		return nil, err
	}
	placement, err := o.placement()
	if err == nil {
		s.Slots, err = shard.DecodeHolding(placement, a.State)
	}
	if err == nil {
		if a, err = o.ask(ctx, id, core.Regroup, shard.VerbRoster, nil); err == nil {
			s.Roster, err = shard.DecodeRoster(a.State)
		}
	}
	return s, err
}

// Lags asks a shard's leader how far each of its replicas is behind, and whether it is
// heard from.
func (o *Operator) Lags(ctx context.Context, id core.ShardID) ([]shard.Lag, error) {
	a, err := o.ask(ctx, id, core.Regroup, shard.VerbLags, nil)
	if err != nil {
		return nil, err
	}
	return shard.DecodeLags(a.State)
}

// Versions asks a shard's leader for its log's version, and what its replicas' programs
// speak. A leader whose program knows one version only speaks the first.
func (o *Operator) Versions(ctx context.Context, id core.ShardID) (shard.Tongue, error) {
	a, err := o.ask(ctx, id, core.Regroup, shard.VerbVersions, nil)
	if refused := (*client.Refused)(nil); errors.As(err, &refused) && refused.Code == core.CodeMalformed {
		return shard.Tongue{Log: core.VersionMin}, nil
	}
	if err != nil {
		return shard.Tongue{}, err
	}
	return shard.DecodeTongue(a.State)
}

// Upgrade raises the version of a shard's log, which all its replicas have to speak.
func (o *Operator) Upgrade(ctx context.Context, id core.ShardID, to core.Version) error {
	return o.until(ctx, func() (bool, error) {
		a, err := o.ask(ctx, id, core.Regroup, shard.VerbUpgrade, shard.AppendVersion(nil, to))
		return err == nil && a.Count == 1, err
	})
}

// Move moves slots, all of which the source must own.
func (o *Operator) Move(ctx context.Context, from, to core.ShardID, slots []core.Slot) error {
	if len(slots) == 0 {
		return errors.New("no slots to move")
	}
	m := shard.Move{From: from, To: to, Slots: slices.Clone(slots)}
	slices.Sort(m.Slots)
	for id := range core.ShardID(o.Shards) { // an id that nobody has used
		s, err := o.Look(ctx, id)
		if err != nil {
			return err
		}
		for slot := range core.Slot(core.Slots) {
			t := s.Slots.Of(slot)
			m.ID = max(m.ID, t.Epoch)
			if _, mine := slices.BinarySearch(m.Slots, slot); mine && id == from {
				if t.Owner != from {
					return fmt.Errorf("slot %d is not shard %d's, but shard %d's", slot, from, t.Owner)
				}
				m.Based = max(m.Based, t.Epoch)
			}
		}
		for _, offer := range s.Slots.Offers() {
			m.ID = max(m.ID, offer.ID)
		}
	}
	m.ID = max(m.ID+1, core.Epoch(time.Now().UnixMilli())) // two operators at once choose different ones, if they can
	return o.until(ctx, func() (bool, error) {
		a, err := o.ask(ctx, from, core.Move, shard.VerbOffer, m.Append(nil))
		if err != nil || a.Count == 0 {
			return false, err
		}
		s, err := o.Look(ctx, to) // handed over: is it taken, too?
		return err == nil && s.Slots.Of(m.Slots[0]) == shard.Tenure{Owner: to, Epoch: m.ID}, err
	})
}

// Enlist takes a node's replica of a shard into the group: it learns, and then votes.
func (o *Operator) Enlist(ctx context.Context, id core.ShardID, node proc.NodeID) error {
	return o.regroup(ctx, id, func(r *shard.Roster) bool {
		for i := range r.Members {
			if m := &r.Members[i]; m.Node == node {
				learns := m.Learner
				m.Learner = false
				return learns
			}
		}
		r.Members = append(r.Members, shard.Member{ID: uint64(node), Node: node, Learner: true})
		r.Highest = max(r.Highest, uint64(node))
		return true
	})
}

// Drain takes a node's replica of a shard out of the group.
func (o *Operator) Drain(ctx context.Context, id core.ShardID, node proc.NodeID) error {
	return o.regroup(ctx, id, func(r *shard.Roster) bool {
		n := len(r.Members)
		r.Members = slices.DeleteFunc(r.Members, func(m shard.Member) bool { return m.Node == node })
		return len(r.Members) < n
	})
}

// regroup changes a group step by step: change makes of a roster the next one, and
// reports whether it is another.
func (o *Operator) regroup(ctx context.Context, id core.ShardID, change func(*shard.Roster) bool) error {
	return o.until(ctx, func() (bool, error) {
		a, err := o.ask(ctx, id, core.Regroup, shard.VerbRoster, nil)
		if err != nil {
			return false, err
		}
		r, err := shard.DecodeRoster(a.State)
		if err != nil || r.Joint {
			return false, err
		}
		if !change(&r) {
			return true, nil
		}
		_, err = o.ask(ctx, id, core.Regroup, shard.VerbRegroup, r.Append(nil))
		if refused := (*client.Refused)(nil); errors.As(err, &refused) && refused.Code == core.CodeStalePlan {
			err = nil // somebody else changed it: look again
		}
		return false, err
	})
}

// until asks again and again until it is so.
func (o *Operator) until(ctx context.Context, so func() (bool, error)) error {
	for {
		done, err := so()
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(o.Again):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// New finds out how many shards the cluster has.
func New(ctx context.Context, c *client.Client) (*Operator, error) {
	o := &Operator{Client: c, Again: 50 * time.Millisecond}
	for ; ; o.Shards++ {
		_, err := o.ask(ctx, core.ShardID(o.Shards), core.Move, shard.VerbSlots, nil)
		if refused := (*client.Refused)(nil); errors.As(err, &refused) && refused.Code == core.CodeMalformed && o.Shards > 0 {
			return o, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
