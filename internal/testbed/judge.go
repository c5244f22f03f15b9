package testbed

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/query"
	"actordb/core/shard"
	"actordb/sim"
	"actordb/workloads"
)

// history is an actor's events as the taps saw them first.
type history struct {
	events []core.Event
}

// know remembers an event that a tap saw, if it is the next one.
func (r *run) know(e *core.Event) {
	h := r.histories[e.Actor]
	if h == nil {
		h = &history{}
		r.histories[e.Actor] = h
		r.known = append(r.known, e.Actor)
	}
	if e.Seq == core.Seq(len(h.events))+1 {
		h.events = append(h.events, *e)
		if e.Actor.Type() == workloads.CartWorkload {
			r.asked = *e
		}
	}
}

const (
	hydratesMax = 20_000    // states kept for the snapshot checker
	foldsMax    = 2_000_000 // events folded for them
)

// hydrated keeps a state that was brought back to memory, for the snapshot
// checker: all that began with a stored state, as long as there is room.
func (r *run) hydrated(h shard.Hydrated) {
	if len(r.hydrates) < hydratesMax {
		r.hydrates = append(r.hydrates, h)
	}
}

// snapshotPairs sets the states that the engine made beside the fold of all
// events.
func (r *run) snapshotPairs() ([]checkers.SnapshotPair, error) {
	var pairs []checkers.SnapshotPair
	folded := 0
	add := func(id core.ActorID, snapshot, seq core.Seq, state []byte) error {
		h := r.histories[id]
		if id.Type() == query.SystemType {
			return nil // its state is empty
		}
		if h == nil || core.Seq(len(h.events)) < seq {
			return nil // the sequence checker says what is wrong here
		}
		if folded += int(seq); folded > foldsMax {
			return nil
		}
		fold, err := workloads.Fold(id, h.events[:seq])
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		pairs = append(pairs, checkers.SnapshotPair{Actor: id, Seq: seq, SnapshotSeq: snapshot,
			Tail: uint64(seq - snapshot), Engine: state, Fold: fold})
		return nil
	}
	// The newest first: the last restart brought every actor back.
	for i := len(r.hydrates) - 1; i >= 0; i-- {
		h := &r.hydrates[i]
		if err := add(h.Actor, h.Snapshot, h.Seq, h.State); err != nil {
			return nil, err
		}
	}
	for _, s := range r.audit.States() {
		if err := add(s.Actor, 0, s.Seq, s.State); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// check runs every checker. stopped is why the world ended early, or nil.
func (r *run) check(stopped error) []checkers.Result {
	var list []checkers.Result
	if stopped != nil {
		list = append(list, verdictOf(stopped))
	}
	if r.broken != nil {
		list = append(list, checkers.Result{Name: "recovery", Verdict: checkers.Fail, Note: "damage could not be mended: " + r.broken.Error()})
	}
	ops := r.ops()
	if stopped != nil || r.options.Until > 0 {
		// Cut short: only what holds at any time can be judged.
		return append(list, checkers.Sequence(r.applied, ops, nil), r.raft.Result(), r.owner.Result(), r.slots.Result(), r.upgrades.check.Result())
	}
	r.stand()
	r.filed()
	finals := r.audit.Finals()
	list = append(list,
		checkers.Linearizable(ops, finals, checkers.LinearizableOptions{HTML: r.options.HTML}),
		checkers.Tokens(r.applied, ops),
		checkers.Sequence(r.applied, ops, finals),
		checkers.Durability(r.applied, ops, finals))
	pairs, err := r.snapshotPairs()
	if err != nil {
		list = append(list, checkers.Result{Name: "snapshot", Verdict: checkers.Fail, Note: err.Error()})
	} else {
		list = append(list, checkers.Snapshot(pairs))
	}
	list = append(list,
		checkers.Recovery(r.disks.expose(), r.disks.reports),
		checkers.Liveness(ops, r.queues(), r.nodes(), checkers.Terms{
			HealedAt: r.healedAt, EndedAt: r.endedAt, Within: int64(r.healWithin()),
			BackoffMax: int64(r.settings.timeout + r.settings.backoffMax), Slack: int64(r.slack()),
			Queues: r.settings.queueLimits(r.feedsHeld(watcherWindow(watchers-1)), r.placement.Shards())}))
	if len(r.viewers) > 0 {
		list = append(list, r.judgeViews())
	}
	if len(r.notebooks) > 0 {
		list = append(list, r.judgeAsked()...)
	}
	list = append(list, r.judgeStandings()...)
	return append(list, checkers.Provenance(ops, finals, sender), r.fencing.Result(), r.raft.Result(), r.owner.Result(), r.cuts.Result(), r.slots.Result(), r.upgrades.check.Result(), r.readBack(len(finals)))
}

// sender is who the clients are (see buildClients) and what of theirs is personal.
var sender = checkers.Sender{
	Principal: func(client int) core.Principal { return core.Principal(clientIdentity(client)) },
	Personal:  workloads.Personal,
}

// readBack judges the audit itself: without it the other verdicts are hollow.
func (r *run) readBack(read int) checkers.Result {
	c := checkers.Result{Name: "audit", Verdict: checkers.Pass, Examined: read}
	failed := r.audit.Failed()
	switch {
	case !r.audit.Done():
		c.Verdict, c.Note = checkers.Fail, "the servers did not let themselves be read back: "+r.whyNot()
	case len(failed) > 0:
		c.Verdict, c.Note = checkers.Fail, fmt.Sprintf("%d actors could not be read back, the first is %s", len(failed), failed[0])
	}
	return c
}

// verdictOf turns what stopped the world into a check's result.
func verdictOf(err error) checkers.Result {
	var panicked *sim.PanicError
	var shared *sim.SharingError
	var queue *sim.QueueError
	var limit *sim.LimitError
	switch {
	case errors.As(err, &panicked):
		return checkers.Result{Name: "assertions", Verdict: checkers.Fail, Note: err.Error()}
	case errors.As(err, &shared):
		return checkers.Result{Name: "no-sharing", Verdict: checkers.Fail, Note: err.Error()}
	case errors.As(err, &queue):
		return checkers.Result{Name: "liveness", Verdict: checkers.Fail, Note: err.Error()}
	case errors.As(err, &limit):
		return checkers.Result{Name: "limits", Verdict: checkers.Unknown, Note: err.Error()}
	}
	return checkers.Result{Name: "world", Verdict: checkers.Fail, Note: err.Error()}
}

func (r *run) queues() []checkers.Queue {
	var list []checkers.Queue
	for _, h := range r.world.HighWater() {
		list = append(list, checkers.Queue{Process: h.Process, Name: h.Queue, Max: h.Most})
	}
	return list
}

func (r *run) nodes() []checkers.Node {
	var list []checkers.Node
	for _, n := range r.servers {
		list = append(list, checkers.Node{Node: uint32(n), Up: r.world.Up(n), Reason: r.reasons[n]})
	}
	return list
}

// whyNot says which replicas do not serve.
func (r *run) whyNot() string {
	why := ""
	for _, s := range r.disks.stores {
		if s.retired {
			continue
		}
		if p, ok := r.world.Process(s.addr).(*shard.Shard); !ok || !r.world.Running(s.addr) {
			why += fmt.Sprintf("%s is down (%s); ", s.label, r.reasons[s.node])
		} else if !p.Serving() {
			why += s.label + " knows no leader; "
		}
	}
	if why == "" {
		why = "all know a leader, but it does not lead, or answers are missing"
	}
	return why
}

// stand tells the checkers what state the replicas have.
func (r *run) stand() {
	for _, s := range r.disks.stores {
		p, ok := r.world.Process(s.addr).(*shard.Shard)
		if !ok || s.retired || !r.world.Running(s.addr) {
			continue
		}
		if digest, ok := p.StateDigest(); ok {
			r.raft.Add(&checkers.GroupRecord{Shard: s.identity.Shard, Replica: s.identity.Replica, Did: checkers.Stands,
				Index: p.Applied(), Digest: digest})
		}
	}
}

// filed tells the checkers which entries stand in the replicas' files at the end.
func (r *run) filed() {
	for _, s := range r.disks.stores {
		p, ok := r.world.Process(s.addr).(*shard.Shard)
		if !ok {
			continue
		}
		records := make(map[core.Index]checkers.GroupRecord)
		for _, name := range s.files.Names() {
			image, _ := s.files.Export(name)
			if segment, err := journal.OpenSegment(image); err == nil {
				s.file(segment, records)
			}
		}
		for _, index := range slices.Sorted(maps.Keys(records)) {
			if record := records[index]; index <= p.Applied() {
				r.raft.Add(&record)
			}
		}
	}
}

// file notes the entries of a segment, in the place of those that they replace.
func (s *store) file(segment *journal.Segment, records map[core.Index]checkers.GroupRecord) {
	for at := int64(0); ; {
		f, whole, _ := segment.Frame(at)
		if !whole {
			return
		}
		if _, _, anew := f.Restore(); anew {
			clear(records) // what was before it is void
		}
		if e, ok := f.Entry(); ok {
			if e.Type != 0 {
				e.Data = nil // as the replicas tell it (core/shard, watch.go)
			}
			records[e.Index] = checkers.GroupRecord{Shard: s.identity.Shard, Replica: s.identity.Replica, Did: checkers.Stored,
				Index: e.Index, Entry: e.Term, Digest: xxhash.Sum64(e.Data)}
		}
		at = f.End
	}
}
