package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/control"
	"actordb/core/proc"
	"actordb/internal/verify"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

// judge starts the node a last time, reads everything back through the wire, ends
// it in order, and runs the checkers over what clients were told and what is
// there now.
func (s *stage) judge(ctx context.Context, ops []checkers.Op) error {
	v, err := s.begin()
	if err != nil {
		return err
	}
	audit, streams, payload, err := s.readBack(ctx, v, workloads.Actors(workloads.Collect(s.records)))
	if err != nil {
		_ = v.kill() // err says what was wrong first
		return err
	}
	if err := v.close(); err != nil {
		return err
	}
	finals := append(audit.Finals(), streams...)
	states, err := finalReads(audit, s.cfg.Clients+1, s.now())
	if err != nil {
		return err
	}
	whole, folded := folds(audit)
	sender := checkers.Sender{Principal: func(c int) core.Principal { return core.Principal(clientID(c)) }, Personal: workloads.Personal}
	applied := checkers.NewApplied()
	s.out.Checks = append(s.out.Checks,
		checkers.Linearizable(append(slices.Clone(ops), states...), finals, checkers.LinearizableOptions{}),
		checkers.Sequence(applied, ops, finals),
		checkers.Durability(applied, readable(ops, finals), finals),
		checkers.Provenance(ops, finals, sender),
		renamed(checkers.Snapshot(whole), "state", len(whole), folded),
		payload, readBackResult(audit, len(finals)))
	directory, err := verify.Run(verify.Options{Dir: s.dir, Kinds: kinds})
	if err != nil {
		return err
	}
	s.out.JournalBytes = journalBytes(s.dir, s.cfg.Shards)
	s.out.Checks = append(s.out.Checks, verified(directory))
	return nil
}

// readBack reads all actors' histories and states.
func (s *stage) readBack(ctx context.Context, v *victim, actors []core.ActorID) (audit *workloads.Audit, streams []checkers.Final, payload checkers.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() { // what waits for an answer need not wait for a dead node
		select {
		case <-v.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	var addr string
	select {
	case addr = <-v.addr:
	case <-ctx.Done():
		return nil, nil, payload, v.stoppedOr(ctx.Err())
	}
	if streams, payload, err = s.appender.readBack(ctx, addr); err != nil {
		return nil, nil, payload, v.stoppedOr(fmt.Errorf("read the streams back: %w", err))
	}
	audit, err = readActors(ctx, s.auditor, theNode, addr, actors)
	return audit, streams, payload, v.stoppedOr(err)
}

// readActors has an auditor read the workloads' actors from a node.
func readActors(ctx context.Context, source tlsnet.Source, node proc.NodeID, addr string, actors []core.ActorID) (audit *workloads.Audit, err error) {
	ctx, cancel := context.WithCancel(ctx)
	n, err := newNetwork(ctx, node)
	defer func() {
		cancel()
		if n != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err != nil {
		return nil, err
	}
	audit = &workloads.Audit{}
	c := workloads.DefaultAuditorConfig()
	c.Gateways, c.Actors = []proc.Addr{control.GatewayAt(node)}, actors
	if err := n.spawn(auditorID, source, func(env proc.Env) proc.Process {
		return workloads.NewAuditor(c, env, audit)
	}); err != nil {
		return nil, err
	}
	n.turn(node, addr)
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for !audit.Done() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return audit, nil
}

// finalReads are what the auditor read last, as operations: after a compaction
// only the state tells of the events that are gone.
func finalReads(audit *workloads.Audit, client int, now int64) (ops []checkers.Op, err error) {
	for i, f := range audit.States() {
		out, err := workloads.Answer(f.Actor, f.State, checkers.Value{})
		if err != nil {
			return nil, fmt.Errorf("the state of %s: %w", f.Actor, err)
		}
		ops = append(ops, checkers.Op{Client: client, Number: core.CommandNumber(i + 1), Actor: f.Actor, Kind: core.Read, Name: "read",
			Expected: core.AnySeq, Status: core.Accepted, Seq: f.Seq, Out: out, Invoke: now, Return: now})
	}
	return ops, nil
}

// readable leaves to durability what histories can tell: a command whose events
// were compacted away is judged by its actor's state.
func readable(ops []checkers.Op, finals []checkers.Final) []checkers.Op {
	floors := map[core.ActorID]core.Seq{}
	for i := range finals {
		floors[finals[i].Actor] = finals[i].Floor
	}
	list := slices.Clone(ops)
	for i := range list {
		if o := &list[i]; o.Count > 0 && o.Seq <= floors[o.Actor] {
			o.Count = 0
		}
	}
	return list
}

// folds pairs each state that was read with the fold of its actor's history, by
// code that is not the engine's, where all of that is there.
func folds(audit *workloads.Audit) (pairs []checkers.SnapshotPair, err error) {
	states := audit.States()
	for i, f := range audit.Finals() {
		if f.Floor > 0 {
			continue
		}
		fold, err := workloads.Fold(f.Actor, f.Events)
		if err != nil {
			return pairs, fmt.Errorf("%s: %w", f.Actor, err)
		}
		pairs = append(pairs, checkers.SnapshotPair{Actor: f.Actor, Seq: states[i].Seq, Tail: uint64(len(f.Events)), Engine: states[i].State, Fold: fold})
	}
	return pairs, nil
}

// renamed is a checker's result under the name that says what it was given.
func renamed(r checkers.Result, name string, examined int, err error) checkers.Result {
	if r.Name, r.Examined = name, examined; r.Verdict == checkers.Pass {
		r.Note = ""
	}
	if err != nil {
		r.Verdict, r.Note = checkers.Fail, err.Error()
	}
	return r
}

func readBackResult(audit *workloads.Audit, read int) checkers.Result {
	r := checkers.Result{Name: "audit", Verdict: checkers.Pass, Examined: read}
	if failed := audit.Failed(); len(failed) > 0 {
		r.Verdict, r.Note = checkers.Fail, fmt.Sprintf("%d actors could not be read back, the first is %s", len(failed), failed[0])
	}
	return r
}

func verified(d *verify.Report) checkers.Result {
	r := checkers.Result{Name: "verify", Verdict: checkers.Pass}
	for i := range d.Shards {
		r.Examined += d.Shards[i].Blocks + d.Shards[i].Outcomes + d.Shards[i].Folded
	}
	if len(d.Problems) > 0 {
		r.Verdict, r.Note = checkers.Fail, fmt.Sprintf("%d problems, the first is %s", len(d.Problems), strings.ReplaceAll(fmt.Sprint(d.Problems[0]), "\n", "; "))
	}
	return r
}
