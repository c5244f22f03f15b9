package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

// An incarnation starts in three phases: the journal is read and judged, the
// newest durable checkpoint is loaded, and the entries between it and the
// journal's commit index are applied. Then Raft starts.

// loading is what recovery waits for.
type loading struct {
	asked  bool
	next   []byte // key to go on scanning from
	until  core.Index
	read   disk.Op // of entries that are not in memory
	token  proc.Token
	first  core.Index
	last   core.Index
	failed int
}

const loadPairs = 1024

func (s *Shard) start() {
	core.Assert(s.phase == phaseNew, "started twice")
	s.phase = phaseJournal
	s.journal.Recover(s.out)
}

// recover goes as far as it can without waiting.
func (s *Shard) recover() {
	if s.phase == phaseJournal {
		s.watchSpace()
		if s.journal.Damaged() != nil && s.repairing.step == repairNone {
			s.out.SetTimer(timerRaft, s.nextTick())
			s.repair()
		}
		if !s.journal.Open() {
			return
		}
		s.phase = phaseCheckpoint
		s.askKV(disk.KVOp{Kind: disk.KVGet, Lo: []byte{keyMeta}})
	}
	if s.phase == phaseReplay && (s.behind || s.replay()) {
		s.begin()
	}
}

func (s *Shard) askKV(op disk.KVOp) { s.out.KV(tokenLoad, op) }

// loaded takes a piece of the checkpoint.
func (s *Shard) loaded(res *disk.KVResult) {
	if res.Err != nil {
		if s.load.failed++; s.load.failed < kvAttempts {
			s.askAgain(res.Kind)
			return
		}
		s.halt(fmt.Errorf("derived store: %w", res.Err))
		return
	}
	s.load.failed = 0
	if res.Kind == disk.KVGet {
		if err := s.loadMeta(res); err != nil {
			s.halt(err)
		}
		return
	}
	for _, p := range res.Pairs {
		if err := s.loadPair(p); err != nil {
			cure := "remove the store to have it rebuilt"
			if s.journal.Floor() > 0 {
				cure = "restore the store from a backup, since the journal is compacted"
			}
			s.halt(fmt.Errorf("derived store, key %q: %w; %s", p.Key, err, cure))
			return
		}
	}
	if res.More {
		s.load.next = append(res.Pairs[len(res.Pairs)-1].Key, 0)
		s.scan()
		return
	}
	s.beginReplay()
}

func (s *Shard) askAgain(kind disk.KVKind) {
	if kind == disk.KVGet {
		s.askKV(disk.KVOp{Kind: disk.KVGet, Lo: []byte{keyMeta}})
		return
	}
	s.scan()
}

func (s *Shard) loadMeta(res *disk.KVResult) error {
	if res.Found {
		if err := s.decodeMeta(res.Value); err != nil {
			return fmt.Errorf("derived store, checkpoint: %w", err)
		}
		s.out.Mark(markFromCheckpoint)
		if s.cfg.Tap != nil {
			s.cfg.Tap(Applied{Shard: s.cfg.Shard, Index: s.applied, Timestamp: s.clock, Restored: true})
		}
	}
	alone := len(s.peers) == 0
	if s.applied < s.journal.Floor() && alone {
		return fmt.Errorf("the derived store reflects entry %d, but the journal begins after %d: restore the store from a backup", s.applied, s.journal.Floor())
	}
	if s.applied > s.journal.Last() && (alone || s.journal.Restored() == 0 && !s.journal.Forgotten()) {
		return fmt.Errorf("the derived store reflects entry %d, but the journal ends at %d: they do not belong together", s.applied, s.journal.Last())
	}
	s.checkpoint.durable = s.applied
	if s.applied < s.journal.Floor() {
		s.noPosition()
		s.checkpoint.durable = 0
		s.fetchState(s.journal.Floor())
		s.beginReplay()
		return nil
	}
	if s.applied == 0 {
		s.beginReplay()
		return nil
	}
	s.load.next = []byte{keyActor}
	s.scan()
	return nil
}

// scan reads actors and sessions. Snapshots lie between them in key order and
// are stepped over.
func (s *Shard) scan() {
	hi := []byte{keyActor + 1}
	if s.load.next[0] == keySession {
		hi = []byte{keySession + 1}
	}
	s.askKV(disk.KVOp{Kind: disk.KVScan, Lo: s.load.next, Hi: hi, Limit: loadPairs})
}

func (s *Shard) loadPair(p disk.Pair) error {
	if len(p.Key) == 0 {
		return errors.New("empty key")
	}
	switch p.Key[0] {
	case keyActor:
		k, err := decodeKnown(core.ActorID(p.Key[1:]), p.Value)
		if err != nil {
			return err
		}
		_, at := s.actors.enter(s.actors.hash(k.id), k.id)
		*at = k
	case keySession:
		var id core.SessionID
		if len(p.Key) != 1+len(id) {
			return errors.New("session key of the wrong size")
		}
		copy(id[:], p.Key[1:])
		return decodeSession(s.sessions.Admit(id), p.Value)
	}
	return nil
}

func (s *Shard) beginReplay() {
	if len(s.load.next) > 0 && s.load.next[0] == keyActor {
		s.load.next = []byte{keySession}
		s.scan()
		return
	}
	if floor := s.journal.Floor(); len(s.peers) > 0 && !s.behind && floor > 0 && !s.holds(floor) {
		s.fetchState(floor)
	}
	s.checkpoint.covered = s.coveredTo()
	s.phase = phaseReplay
	s.term = core.Term(s.journal.HardState().GetTerm())
	s.watchRecovered()
	if s.cfg.OnOpen != nil {
		s.cfg.OnOpen()
	}
	// What a checkpoint reflects was committed, whether or not the journal got
	// to store that commit index.
	s.load.until = max(s.load.until, min(s.applied, s.journal.Last()), core.Index(s.journal.HardState().GetCommit()))
	s.behind = s.behind || s.applied > s.load.until // the journal was lost: its entries come again
	members := s.journal.Membership(s.load.until)
	if members.Index > s.journal.Floor() {
		before := s.journal.Membership(members.Index - 1).Conf
		s.watch(Watched{Did: Configured, Voters: before.GetVoters(), Leaving: before.GetVotersOutgoing()})
	}
	s.regrouped(members)
	commit := uint64(s.load.until)
	s.journal.NoteCommit(&pb.HardState{Commit: &commit})
	s.journal.Applied(min(s.applied, s.journal.Last()))
}

// begin starts Raft, which finds out about the rest.
func (s *Shard) begin() {
	if err := s.startRaft(); err != nil {
		s.halt(err)
		return
	}
	s.phase = phaseServing
	s.versionKnown()
	s.armIdle(s.now.Mono + idleAfter)
}

// replay applies committed entries in order, and reports whether it is done.
func (s *Shard) replay() bool {
	for s.out.Fault == nil && s.applied < s.load.until {
		next := s.applied + 1
		data, ok := s.journal.Entry(next)
		if !ok {
			if s.load.first == 0 {
				s.readEntries(next)
			}
			return false
		}
		s.replayEntry(next, data)
	}
	return s.out.Fault == nil
}

func (s *Shard) replayEntry(index core.Index, data []byte) {
	s.out.Mark(markReplay)
	term, err := s.journal.Term(uint64(index))
	core.Assert(err == nil, "term of entry %d: %v", index, err)
	u := uint64(index)
	s.apply(&pb.Entry{Index: &u, Term: &term, Data: data})
}

// replayBytes is how much of the log replay reads at a time.
const replayBytes = 1 << 20

// readEntries asks for an entry that is not in memory and as many after it as
// one read brings.
func (s *Shard) readEntries(index core.Index) {
	s.walkNext++
	op, last := s.journal.ReadRange(index, replayBytes)
	s.load.read, s.load.first, s.load.last = op, index, min(last, s.load.until)
	s.load.token = s.walkNext
	s.out.File(s.walkNext, op)
}

// entriesRead takes the entries that replay had to read.
func (s *Shard) entriesRead(token proc.Token, res *disk.Result) {
	l := &s.load
	if res.Err != nil {
		if l.failed++; l.failed < kvAttempts {
			s.out.File(token, l.read)
			return
		}
		s.halt(res.Err)
		return
	}
	first, last := l.first, l.last
	l.failed, l.first = 0, 0
	if first != s.applied+1 || first <= s.journal.Floor() {
		return // state was fetched meanwhile
	}
	err := s.journal.EachOf(first, last, res.Data, func(index core.Index, data []byte) error {
		if s.out.Fault == nil {
			s.replayEntry(index, data)
		}
		return nil
	})
	if err != nil {
		s.halt(err)
	}
}

// fields reads a record of the derived store.
type fields struct {
	b   []byte
	at  int
	err error
}

func (r *fields) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if r.err != nil || n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

func (r *fields) bytes(n int) []byte {
	if r.err != nil || n > len(r.b)-r.at {
		r.fail()
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *fields) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("malformed record of %d bytes", len(r.b))
	}
}

func (r *fields) end() error {
	if r.err == nil && r.at != len(r.b) {
		r.fail()
	}
	return r.err
}
