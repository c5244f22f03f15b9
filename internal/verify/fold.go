package verify

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/shard"
	"actordb/internal/history"
)

// folding is what the entries up to one amount to.
type folding struct {
	run      *shardRun
	whole    bool // the log begins with the first entry
	actors   map[core.ActorID]*folded
	sessions *history.Sessions
	index    core.Index
	unknown  map[string]bool // types that were noted
}

type folded struct {
	seq       core.Seq
	last      core.Index
	kind      actor.Kind
	state     actor.State // nil: not folded
	at        core.Seq    // that state reflects
	snapshots []*shard.DerivedSnapshot
}

// blocks applies the log's entries and compares.
func (s *shardRun) blocks() {
	s.kinds = map[string]actor.Kind{}
	for _, k := range s.options.Kinds() {
		s.kinds[k.Name()] = k
	}
	if p := s.derived.Position; s.derived.There && p.Applied > s.log.Last() && len(s.log.Problems) == 0 {
		s.kvProblem(fmt.Sprintf("the derived store reflects entry %d, but the journal ends at %d", p.Applied, s.log.Last()))
		return
	}
	walk, err := s.log.NewWalk(s.derived)
	if err != nil {
		s.failed(err)
		return
	}
	f := &folding{run: s, whole: s.log.Floor == 0, actors: map[core.ActorID]*folded{},
		sessions: history.NewSessions(), unknown: map[string]bool{}}
	f.expectSnapshots()
	if s.derived.There && s.derived.Position.Applied == s.log.Floor {
		f.checkpoint()
	}
	for {
		a, err := walk.Next()
		if err != nil {
			s.failed(err)
			return
		}
		if a == nil {
			break
		}
		s.moved(int64(s.log.Entries[a.Index-s.log.Floor-1].Bytes))
		if err := f.apply(a); err != nil {
			s.failed(err)
			return
		}
		if s.derived.There && s.derived.Position.Applied == a.Index {
			s.position(a.After)
			f.checkpoint()
		}
	}
	f.end()
	s.found.Actors, s.found.Sessions = len(f.actors), len(f.sessions.Table)
}

func (s *shardRun) failed(err error) {
	var p *history.Problem
	if !errors.As(err, &p) {
		p = &history.Problem{File: filepath.Join(s.dir(), "log"), What: err.Error(), Cure: "look at the machine"}
	}
	where := *p
	if where.File == "kv" {
		where.File = filepath.Join(s.dir(), "kv")
	} else if where.File != "" && filepath.Dir(where.File) == "." {
		where.File = filepath.Join(s.dir(), "log", where.File)
	}
	s.report.problem(where)
}

func (f *folding) wrong(format string, args ...any) error {
	file, offset := f.run.log.Place(f.index)
	return &history.Problem{File: file, Offset: offset, Entry: f.index, What: fmt.Sprintf(format, args...),
		Cure: "restore the directory from a backup, and report this: the engine wrote what it must not"}
}

// expectSnapshots has the states of the actors folded that have stored ones.
func (f *folding) expectSnapshots() {
	list := f.run.derived.Snapshots
	for i := range list {
		d := &list[i]
		a := f.actor(d.ID)
		a.snapshots = append(a.snapshots, d)
		if a.kind == nil && !f.unknown[d.ID.Type()] {
			f.unknown[d.ID.Type()] = true
			f.run.report.note(filepath.Join(f.run.dir(), "kv"), fmt.Sprintf("actor type %q is not known here: its stored states are not compared with a fold", d.ID.Type()))
		}
	}
}

// actor returns what is known of an actor.
func (f *folding) actor(id core.ActorID) *folded {
	a := f.actors[id]
	if a == nil {
		a = &folded{kind: f.run.kinds[id.Type()]}
		f.actors[id] = a
	}
	return a
}

// apply takes one entry.
func (f *folding) apply(a *history.Applied) error {
	found := &f.run.found
	f.index = a.Index
	if a.Block == nil {
		return nil
	}
	found.Blocks++
	if a.Void {
		found.Void++
		return nil
	}
	b := a.Block
	if b.Kind == journal.Import {
		if err := f.imported(b); err != nil {
			return err
		}
	}
	found.Events, found.Outcomes, found.Until = found.Events+len(b.Rows()), found.Outcomes+len(b.Outcomes), b.Timestamp
	for i := range b.Actors {
		if err := f.events(b, &b.Actors[i]); err != nil {
			return err
		}
	}
	for i := range b.Outcomes {
		if o := &b.Outcomes[i]; !f.sessions.Outcome(b, o) {
			return f.wrong("command %d of session %s has an outcome already", o.Number, o.Session)
		}
	}
	f.sessions.Expire(b.Timestamp)
	return f.lightStates(b)
}

// imported takes what came from another shard as state: of actors whose earlier events
// are not in this log, and of sessions.
func (f *folding) imported(b *journal.Block) error {
	n, err := shard.DecodeImport(b.Note())
	if err != nil {
		return f.wrong("%v", err)
	}
	v := shard.DerivedVisitor{
		Position: func(shard.Position) error { return nil },
		Actor:    func(shard.DerivedActor) error { return nil },
		Session:  func(d *actor.Session) error { f.sessions.Merge(d); return nil },
		Snapshot: func(d shard.DerivedSnapshot) error {
			a := f.actor(d.ID)
			if d.Seq <= a.seq {
				return nil
			}
			a.seq, a.last, a.state = d.Seq, 0, nil
			if a.kind == nil {
				return nil
			}
			if a.state, err = a.kind.DecodeState(d.State); errors.Is(err, actor.ErrStaleState) {
				a.state = nil
				return nil
			}
			a.at = d.Seq
			if err == nil {
				err = f.compare(a, d.ID)
			}
			return err
		},
	}
	for _, p := range n.Pairs {
		if err := v.Visit(p.Key, p.Value); err != nil {
			return f.wrong("%v", err)
		}
	}
	return nil
}

// events takes one actor's events of a block.
func (f *folding) events(b *journal.Block, entry *journal.ActorEntry) error {
	if len(entry.Rows) == 0 {
		return nil
	}
	if err := entry.ID.Validate(); err != nil {
		return f.wrong("%v", err)
	}
	a := f.actor(entry.ID)
	if a.seq == 0 && !f.whole { // its first events may be gone
		a.seq, a.last = entry.First-1, entry.Prev
	}
	if entry.First != a.seq+1 || entry.Prev != a.last {
		return f.wrong("events of %s begin at %d and name block %d before them; it had %d, the last in block %d", entry.ID, entry.First, entry.Prev, a.seq, a.last)
	}
	if err := f.base(a, entry.ID); err != nil {
		return err
	}
	for i, ordinal := range entry.Rows {
		a.seq = entry.First + core.Seq(i)
		row := &b.Rows()[ordinal]
		if row.Erased && a.state != nil {
			a.state = nil // the fold of what is left is another state
		}
		if a.state != nil && a.seq > a.at {
			if err := a.kind.Evolve(a.state, b.Types[row.Type].Name, row.Version, row.Payload, row.Personal); err != nil {
				return f.wrong("event %d of %s cannot be folded: %v", a.seq, entry.ID, err)
			}
			a.at = a.seq
		}
		if err := f.compare(a, entry.ID); err != nil {
			return err
		}
	}
	a.last = f.index
	return nil
}

// base finds the state to fold from, when an actor is met first.
func (f *folding) base(a *folded, id core.ActorID) error {
	wanted := len(a.snapshots) > 0 || a.kind != nil && a.kind.Policy().Light
	if a.kind == nil || a.state != nil || !wanted || a.at > 0 {
		return nil
	}
	if a.seq == 0 {
		a.state = a.kind.New(id)
		return nil
	}
	for _, d := range a.snapshots { // ascending, as keys are
		if d.Seq >= a.seq {
			state, err := a.kind.DecodeState(d.State)
			if errors.Is(err, actor.ErrStaleState) {
				continue
			}
			if err != nil {
				return f.snapshotWrong(d, "cannot be read: %v", err)
			}
			a.state, a.at = state, d.Seq
			return nil
		}
	}
	return nil
}

func (f *folding) snapshotWrong(d *shard.DerivedSnapshot, format string, args ...any) error {
	f.run.kvProblem(fmt.Sprintf("the snapshot of %s at %d %s", d.ID, d.Seq, fmt.Sprintf(format, args...)))
	return nil
}

// compare looks for a stored state of the actor as it is now.
func (f *folding) compare(a *folded, id core.ActorID) error {
	for _, d := range a.snapshots {
		if d.Seq != a.seq {
			continue
		}
		if d.Index != f.index {
			return f.snapshotWrong(d, "says it was taken after block %d; that event is in block %d", d.Index, f.index)
		}
		return f.sameState(a, d.State, func(format string, args ...any) error { return f.snapshotWrong(d, format, args...) })
	}
	return nil
}

// sameState compares the fold with a stored state.
func (f *folding) sameState(a *folded, stored []byte, wrong func(string, ...any) error) error {
	if a.state == nil || a.at != a.seq {
		return nil // events before it were compacted, or erased
	}
	_, err := a.kind.DecodeState(stored)
	if errors.Is(err, actor.ErrStaleState) {
		return nil // it is passed over by the engine, too
	}
	if err != nil {
		return wrong("cannot be read: %v", err)
	}
	f.run.found.Folded++
	if !bytes.Equal(a.kind.AppendState(nil, a.state), stored) {
		return wrong("is not what the events before it amount to")
	}
	return nil
}

// lightStates compares the states that a block carries.
func (f *folding) lightStates(b *journal.Block) error {
	for _, light := range b.States() {
		id := b.Actors[light.Actor].ID
		a := f.actors[id]
		if a == nil || light.Seq != a.seq {
			return f.wrong("a state of %s at %d, which is not where the block leaves it", id, light.Seq)
		}
		if a.kind == nil {
			continue
		}
		err := f.sameState(a, light.State, func(format string, args ...any) error {
			return f.wrong("the light state of %s at %d %s", id, light.Seq, fmt.Sprintf(format, args...))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkpoint compares the derived store with the fold at its position, and takes
// from it what a compacted log does not tell.
func (f *folding) checkpoint() {
	f.actorsAt()
	f.sessionsAt()
}

func (f *folding) actorsAt() {
	d := f.run.derived
	stored := map[core.ActorID]map[core.Seq]bool{}
	for i := range d.Snapshots {
		n := &d.Snapshots[i]
		if stored[n.ID] == nil {
			stored[n.ID] = map[core.Seq]bool{}
		}
		stored[n.ID][n.Seq] = true
	}
	there := map[core.ActorID]bool{}
	for i := range d.Actors {
		k := &d.Actors[i]
		there[k.ID] = true
		a := f.actor(k.ID)
		switch {
		case !f.whole && a.seq == 0:
			a.seq, a.last = k.Seq, k.Last
		case a.seq != k.Seq || a.last != k.Last:
			f.run.kvProblem(fmt.Sprintf("it has %s at %d in block %d; in the journal it is at %d in block %d", k.ID, k.Seq, k.Last, a.seq, a.last))
		}
		for _, seq := range k.Snapshots {
			if !stored[k.ID][seq] {
				f.run.kvProblem(fmt.Sprintf("the snapshot of %s at %d is gone", k.ID, seq))
			}
		}
		if floor := f.run.log.Floor; k.Uncovered > k.Last || k.Uncovered != 0 && k.Uncovered <= floor {
			f.run.kvProblem(fmt.Sprintf("%s has events from block %d on that no snapshot covers, and the journal begins after %d", k.ID, k.Uncovered, floor))
		}
	}
	for id, a := range f.actors {
		if a.seq > 0 && !there[id] {
			f.run.kvProblem(fmt.Sprintf("%s is not in it; in the journal it is at %d", id, a.seq))
		}
	}
}

func (f *folding) sessionsAt() {
	there := map[core.SessionID]bool{}
	for _, d := range f.run.derived.Sessions {
		there[d.ID] = true
		s := f.sessions.Table[d.ID]
		if s == nil {
			if f.whole {
				f.run.kvProblem(fmt.Sprintf("it has session %s, the journal does not", d.ID))
				continue
			}
			s = f.sessions.Session(d.ID)
		}
		if s.Floor > d.Floor || f.whole && s.Floor != d.Floor || f.whole && len(s.Answers) != len(d.Answers) {
			f.run.kvProblem(fmt.Sprintf("session %s has floor %d and %d answers; the journal makes it %d and %d", d.ID, d.Floor, len(d.Answers), s.Floor, len(s.Answers)))
		}
		for n, r := range s.Answers {
			if n >= d.Floor && !slices.Contains(d.Answers, r) {
				f.run.kvProblem(fmt.Sprintf("session %s lacks the answer to %d, or has another", d.ID, n))
			}
		}
		f.sessions.Load(d)
	}
	for id := range f.sessions.Table {
		if !there[id] {
			f.run.kvProblem(fmt.Sprintf("session %s is not in it", id))
		}
	}
}

// end judges what is left over.
func (f *folding) end() {
	for id, a := range f.actors {
		for _, d := range a.snapshots {
			if d.Seq > a.seq {
				f.run.kvProblem(fmt.Sprintf("a snapshot of %s at %d, but it ends at %d", id, d.Seq, a.seq))
			}
		}
		if a.seq == 0 {
			delete(f.actors, id)
		}
	}
}
