package drill

import (
	"errors"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/journal"
	"actordb/internal/datadir"
	"actordb/internal/history"
)

// autopsy judges a node that does not serve any more by what its journals hold,
// read without the engine: it may have lost something before it noticed.
func (s *stage) autopsy(fault *Fault, ops []checkers.Op) error {
	s.out.Checks = append(s.out.Checks, checkers.Result{Name: "node", Verdict: checkers.Fail, Note: fault.Says, Examined: s.out.Kills + 1})
	finals, err := journals(s.dir, s.cfg.Shards)
	var problem *history.Problem
	if errors.As(err, &problem) {
		return nil // the node has said so
	}
	if err != nil {
		return err
	}
	applied := checkers.NewApplied()
	s.out.Checks = append(s.out.Checks, checkers.Sequence(applied, ops, finals), checkers.Durability(applied, readable(ops, finals), finals))
	return nil
}

// journals are the histories of all actors as they stand in the journals.
func journals(dir string, shards int) (finals []checkers.Final, err error) {
	at := map[core.ActorID]int{}
	for i := range shards {
		err := walk(dir, core.ShardID(i), func(e core.Event) {
			k, ok := at[e.Actor]
			if !ok {
				k = len(finals)
				at[e.Actor] = k
				finals = append(finals, checkers.Final{Actor: e.Actor, Floor: e.Seq - 1})
			}
			e.Payload, e.Personal = nil, nil
			finals[k].Events = append(finals[k].Events, e)
		})
		if err != nil {
			return nil, err
		}
	}
	return finals, nil
}

// walk goes through the events that took effect in a shard.
func walk(dir string, id core.ShardID, each func(core.Event)) (err error) {
	log, err := history.OpenLog(datadir.LogDir(dir, id))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := log.Scan(nil, nil); err != nil {
		return err
	}
	if log.Last() == 0 {
		return nil
	}
	derived := &history.Derived{}
	if log.Floor > 0 {
		kv, err := history.OpenKV(datadir.KVDir(dir, id))
		if err != nil {
			return err
		}
		derived, err = history.ReadDerived(kv, false)
		if err := errors.Join(err, kv.Close()); err != nil {
			return err
		}
	}
	w, err := log.NewWalk(derived)
	if err != nil {
		return err
	}
	for {
		a, err := w.Next()
		if err != nil || a == nil {
			return err
		}
		if a.Block == nil || a.Void || a.Block.Kind == journal.Import { // what was moved stands in another log, too
			continue
		}
		for i := range a.Block.Rows() {
			each(a.Block.Event(i))
		}
	}
}
