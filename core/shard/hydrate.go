package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/net/wire"
)

// A walk visits the blocks that hold one actor's events: back along the chain
// of Prev, which each block's footer holds, until it has met what it starts
// from, and then forward again, folding. Only positions are kept on the way
// back, eight bytes a block.
type walk struct {
	token   proc.Token
	handle  uint32
	target  core.Seq // the actor's durable end when the walk began
	base    core.Seq // events up to here are in the state already
	began   core.Seq // base at the start: where a stored state stood
	state   actor.State
	step    walkStep
	at      core.Index
	back    []core.Index
	request *pending // History: who asked
	kept    core.Seq // History: oldest event met on the way back
	events  []byte
	tries   int
	resumed bool // History: it began where another one ended
	stale   bool // a stored state of another version was passed over
}

type walkStep uint8

const (
	walkSnapshot walkStep = iota // asking the KV for the snapshot
	walkLight                    // reading the newest block for its light state
	walkBack                     // following the chain
	walkForward                  // folding
)

const (
	kvAttempts = 4 // a KV read that fails this often in a row is a fault
)

// hydrate starts to bring an actor back to memory, unless that is under way or
// too many are: then it starts when one of them has ended.
func (s *Shard) hydrate(a *hot) {
	if a.hydration.queued {
		return
	}
	for _, w := range s.walks {
		if w.request == nil && w.handle == a.handle {
			return
		}
	}
	if len(s.walks) >= s.cfg.Hydrations {
		a.hydration.queued = true
		s.wanted = append(s.wanted, a)
		return
	}
	k := s.actors.at(a.handle)
	w := &walk{handle: a.handle, target: k.seq}
	s.beginWalk(w)
	switch {
	case s.kindList[a.kind].policy.Light && k.last > s.journal.Floor():
		w.step, w.at = walkLight, k.last
		s.visit(w)
	case k.snap() > 0:
		s.askSnapshot(w, k)
	default:
		s.walkFrom(w, k, 0, s.kindList[a.kind].New(k.id))
	}
}

func (s *Shard) beginWalk(w *walk) {
	s.walkNext++
	w.token = s.walkNext
	s.walks = append(s.walks, w)
}

func (s *Shard) askSnapshot(w *walk, k *known) {
	w.step = walkSnapshot
	s.out.KV(w.token, disk.KVOp{Kind: disk.KVGet, Lo: snapshotKey(k.id, k.snap())})
}

// walkFrom goes on once it is known which state the walk starts from.
func (s *Shard) walkFrom(w *walk, k *known, base core.Seq, state actor.State) {
	w.base, w.began, w.state, w.step, w.at = base, base, state, walkBack, k.last
	if base >= w.target {
		s.finishWalk(w)
		return
	}
	s.visit(w)
}

// history starts to read an actor's events.
func (s *Shard) history(p *pending, handle uint32, k *known) {
	c := &p.command
	from := max(c.Expected, 1)
	answer := core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, Timestamp: s.clock}
	if k == nil || c.Expected == core.AnySeq || from > k.seq {
		if k != nil {
			answer.Seq = k.seq
		}
		s.ready(read{pending: p, answer: answer})
		return
	}
	if len(s.walks) > s.cfg.Hydrations {
		s.out.Mark(markOverload)
		s.reject(p, core.CodeOverloaded, "")
		return
	}
	w := &walk{handle: handle, target: k.seq, base: from - 1, request: p, step: walkBack, at: k.last}
	s.resume(w, k)
	s.out.Mark(markHistory)
	s.beginWalk(w)
	s.visit(w)
}

// visit gets the block at w.at, now if it is in memory.
func (s *Shard) visit(w *walk) {
	for s.out.Fault == nil {
		if w.at <= s.journal.Floor() {
			s.walkedOff(w)
			return
		}
		data, ok := s.journal.Entry(w.at)
		if !ok {
			s.out.File(w.token, s.journal.ReadOp(w.at))
			return
		}
		if !s.visited(w, data) {
			return
		}
	}
}

// walkRead takes a block that had to be read.
func (s *Shard) walkRead(token proc.Token, res *disk.Result) {
	if token == s.load.token {
		s.entriesRead(token, res)
		return
	}
	w := s.findWalk(token)
	if w == nil {
		return
	}
	if w.at <= s.journal.Floor() { // compacted meanwhile
		s.walkedOff(w)
		return
	}
	if res.Err != nil {
		if w.tries++; w.tries < kvAttempts {
			s.out.File(w.token, s.journal.ReadOp(w.at))
			return
		}
		s.halt(res.Err)
		return
	}
	w.tries = 0
	data, err := s.journal.DecodeEntry(w.at, res.Data)
	if err != nil {
		s.halt(err)
		return
	}
	if s.visited(w, data) {
		s.visit(w)
	}
}

func (s *Shard) findWalk(token proc.Token) *walk {
	for _, w := range s.walks {
		if w.token == token {
			return w
		}
	}
	return nil
}

// visited takes the block at w.at and moves on. It returns false when the walk
// has ended or waits.
func (s *Shard) visited(w *walk, data []byte) bool {
	k := s.actors.at(w.handle)
	b := s.parse(w.at, data)
	if b == nil {
		return false
	}
	entry, ok := b.FindActor(k.id)
	if !ok || len(entry.Rows) == 0 {
		s.halt(fmt.Errorf("entry %d holds no events of %s, which the next one's index says", w.at, k.id))
		return false
	}
	switch w.step {
	case walkLight:
		return s.visitLight(w, k, b)
	case walkBack:
		w.back = append(w.back, w.at)
		w.kept = entry.First
		if entry.First > w.base+1 {
			w.at = entry.Prev
			return true
		}
		w.step = walkForward
		fallthrough
	default:
		return s.visitForward(w, b, entry)
	}
}

func (s *Shard) visitLight(w *walk, k *known, b *journal.Block) bool {
	kind := s.kindOf(k.id)
	if light, ok := b.LightStateOf(k.id); ok && light.Seq == w.target {
		state, err := kind.DecodeState(light.State)
		if err == nil {
			s.out.Mark(markFromLight)
			w.state, w.base, w.began = state, light.Seq, light.Seq
			s.finishWalk(w)
			return false
		}
		if w.stale = errors.Is(err, actor.ErrStaleState); !w.stale {
			s.halt(fmt.Errorf("entry %d: %w", w.at, err))
			return false
		}
	}
	if k.snap() > 0 {
		s.askSnapshot(w, k)
		return false
	}
	w.step, w.base, w.state, w.at = walkBack, 0, kind.New(k.id), k.last
	return true
}

// visitForward folds the block's events and goes on to the next newer one.
func (s *Shard) visitForward(w *walk, b *journal.Block, entry *journal.ActorEntry) bool {
	kind := s.kindOf(entry.ID)
	for i, ordinal := range entry.Rows {
		seq := entry.First + core.Seq(i)
		if seq <= w.base || seq > w.target {
			continue
		}
		if w.request != nil {
			if !s.collect(w, b, int(ordinal)) {
				s.finishWalk(w)
				return false
			}
		} else if err := s.evolve(kind, w.state, b, int(ordinal)); err != nil {
			s.halt(err)
			return false
		}
		w.base = seq
	}
	w.back = w.back[:len(w.back)-1]
	if len(w.back) == 0 {
		s.finishWalk(w)
		return false
	}
	w.at = w.back[len(w.back)-1]
	return true
}

// collect takes an event into a History answer, unless it is full.
func (s *Shard) collect(w *walk, b *journal.Block, ordinal int) bool {
	e := b.Event(ordinal)
	n := len(w.events)
	w.events = wire.AppendEvent(w.events, &e)
	if n > 0 && len(w.events) > s.cfg.HistoryBytes {
		w.events = w.events[:n]
		return false
	}
	return true
}

// walkedOff handles a chain that leads below the compacted part of the log.
func (s *Shard) walkedOff(w *walk) {
	k := s.actors.at(w.handle)
	if w.request == nil && w.step == walkLight && k.snap() > 0 {
		s.askSnapshot(w, k) // the newest block went while it was read; its state is in a snapshot
		return
	}
	if w.request == nil && w.stale {
		s.halt(fmt.Errorf("the snapshot of %s that covers compacted events was stored by another version of its type: run that version, or restore a backup from before the compaction", k.id))
		return
	}
	if w.request == nil {
		s.halt(fmt.Errorf("the snapshot of %s that covers compacted events is gone: restore the derived store from a backup", k.id))
		return
	}
	if w.resumed {
		s.restart(w)
		return
	}
	c := &w.request.command
	s.endWalk(w)
	kept := w.kept
	if kept == 0 {
		kept = k.seq + 1
	}
	s.answer(w.request.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
		Status: core.RefusedAtDoor, Code: core.CodeCompacted, Seq: kept})
	s.release(w.request)
	s.nextHydration()
}

func (s *Shard) endWalk(w *walk) {
	for i := range s.walks {
		if s.walks[i] == w {
			s.walks = append(s.walks[:i], s.walks[i+1:]...)
			return
		}
	}
}

func (s *Shard) finishWalk(w *walk) {
	s.endWalk(w)
	k := s.actors.at(w.handle)
	if w.request != nil {
		s.keepPage(w, k)
		c := &w.request.command
		s.ready(read{pending: w.request, answer: core.Answer{Session: c.Session, Number: c.Number,
			Kind: c.Kind, Status: core.Accepted, Seq: k.seq, Timestamp: s.clock, State: w.events}})
	} else if a := s.memory.of(k); a != nil && a.state == nil {
		if k.snap() > w.target { // its events up to there are not in this log
			s.hydrate(a)
			return
		}
		if w.target != k.seq { // a follower applied more meanwhile: the rest is folded onto it
			s.walks = append(s.walks, w)
			w.target, w.step, w.at = k.seq, walkBack, k.last
			s.visit(w)
			return
		}
		core.Assert(w.base == k.seq, "%s hydrated to %d of %d", k.id, w.base, k.seq)
		s.out.Mark(markHydrate)
		if s.cfg.OnHydrate != nil {
			s.cfg.OnHydrate(Hydrated{Actor: k.id, Snapshot: w.began, Seq: w.base, State: s.kindList[a.kind].AppendState(nil, w.state)})
		}
		a.state, a.seq, a.last, a.snap = w.state, k.seq, k.last, k.snap()
		waiting := a.hydration.waiting
		a.hydration = nil
		s.waiting -= len(waiting)
		s.putBack(waiting...)
	}
	s.nextHydration()
}

// nextHydration starts those that had to wait for a place, the first to wait
// first. One that ends at once makes room for another one here.
func (s *Shard) nextHydration() {
	if s.starting {
		return
	}
	s.starting = true
	n := 0
	for ; n < len(s.wanted) && len(s.walks) < s.cfg.Hydrations && s.out.Fault == nil; n++ {
		a := s.wanted[n]
		s.wanted[n], a.hydration.queued = nil, false
		s.hydrate(a)
	}
	if s.wanted = s.wanted[n:]; len(s.wanted) == 0 {
		s.wanted = nil
	}
	s.starting = false
}

// snapshotRead takes the KV's answer about a snapshot.
func (s *Shard) snapshotRead(w *walk, res *disk.KVResult) {
	k := s.actors.at(w.handle)
	kind := s.kindOf(k.id)
	if res.Err != nil {
		if w.tries++; w.tries < kvAttempts {
			s.askSnapshot(w, k)
			return
		}
		s.halt(fmt.Errorf("snapshot of %s: %w", k.id, res.Err))
		return
	}
	w.tries = 0
	if res.Found && len(res.Value) >= 16 {
		seq := core.Seq(binary.BigEndian.Uint64(res.Value))
		state, err := kind.DecodeState(res.Value[16:])
		switch {
		case err == nil && seq == k.snap() && seq <= w.target:
			s.out.Mark(markFromSnapshot)
			s.walkFrom(w, k, seq, state)
			return
		case err != nil && !errors.Is(err, actor.ErrStaleState):
			s.halt(fmt.Errorf("snapshot of %s: %w", k.id, err))
			return
		}
		w.stale = w.stale || err != nil
	}
	// Snapshots are derived: without it, all events are folded.
	s.walkFrom(w, k, 0, kind.New(k.id))
}
