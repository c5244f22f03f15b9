package shard

import (
	"encoding/binary"
	"fmt"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/disk"
)

// Derived state in the KV. All of it can be rebuilt from the journal, unless
// the journal was compacted: then the checkpoint at or above the floor is
// needed, and compaction waits until it is durable.
//
//	m                   position, epochs, lease and void entries that the rest reflects
//	a id                an actor's durable end
//	s session           a session's floor and answers
//	n id 0x00 seq(BE)   a snapshot: u64 seq, u64 block, state
//
// m is written in the same batch as the a and s that it vouches for (package
// disk, K2); snapshots stand on their own, since each says what it reflects. A
// batch that names a snapshot is submitted when that one is in the store: one
// that failed must not be named by a later batch that does not.
const (
	keyMeta     = 'm'
	keyActor    = 'a'
	keySession  = 's'
	keySnapshot = 'n'
)

// checkpointing is the state of the periodic write of derived state.
type checkpointing struct {
	bytes    int64 // of journal since the last one
	busy     bool
	batch    *disk.Batch // of the running one, until the snapshots that it names are stored
	behind   int         // how many of these are not
	storing  int         // snapshots on their way
	at       core.Index  // that the running one reflects
	covered  core.Index  // every event up to here is in a snapshot that it makes durable
	durable  core.Index  // that the last durable one reflects
	wanted   core.Index  // a peer needs one that has everything up to here in snapshots
	dirty    uint32      // head of the list of actors changed since, by known.nextDirty; plus 1
	sessions []core.SessionID
	gone     []core.SessionID
	pruned   [][]byte // keys of snapshots to delete
	force    []uint32 // actors that need a snapshot before the log can be compacted
}

func actorKey(id core.ActorID) []byte { return append([]byte{keyActor}, id...) }

func sessionKey(id core.SessionID) []byte { return append([]byte{keySession}, id[:]...) }

func snapshotKey(id core.ActorID, seq core.Seq) []byte {
	key := append([]byte{keySnapshot}, id...)
	key = append(key, 0)
	return binary.BigEndian.AppendUint64(key, uint64(seq))
}

func (s *Shard) dirtyActor(handle uint32) {
	if k := s.actors.at(handle); k.nextDirty == 0 {
		k.nextDirty = s.checkpoint.dirty + 1
		s.checkpoint.dirty = handle + 1
	}
}

func (s *Shard) dirtySession(session *actor.Session) {
	if !session.Dirty {
		session.Dirty = true
		s.checkpoint.sessions = append(s.checkpoint.sessions, session.ID)
	}
}

func (s *Shard) forget(id core.SessionID) {
	s.out.Mark(markExpired)
	s.checkpoint.gone = append(s.checkpoint.gone, id)
}

// storeSnapshot puts a snapshot of durable events into the KV. Those beyond the
// type's retention go with the next checkpoint and not before: until then the
// durable record of the actor still names them.
func (s *Shard) storeSnapshot(handle uint32, seq core.Seq, index core.Index, state []byte) {
	if s.holding() {
		return // there will be another one
	}
	k := s.actors.at(handle)
	s.out.Mark(markSnapshot)
	value := binary.BigEndian.AppendUint64(nil, uint64(seq))
	value = binary.BigEndian.AppendUint64(value, uint64(index))
	batch := &disk.Batch{}
	batch.Put(snapshotKey(k.id, seq), append(value, state...))
	list := append(k.snapshots(), seq)
	if keep := s.kindOf(k.id).policy.Keep(); len(list) > keep {
		for _, old := range list[:len(list)-keep] {
			s.out.Mark(markPrune)
			s.checkpoint.pruned = append(s.checkpoint.pruned, snapshotKey(k.id, old))
		}
		list = append([]core.Seq(nil), list[len(list)-keep:]...)
	}
	k.setSnapshots(list)
	if k.seq == seq {
		k.uncovered = 0
	}
	s.dirtyActor(handle)
	s.checkpoint.storing++
	s.out.KV(tokenSnapshot, disk.KVOp{Kind: disk.KVApply, Batch: batch})
}

// advanceCheckpoint starts a checkpoint when enough has been written, and
// works off the snapshots that compaction needs.
func (s *Shard) advanceCheckpoint() {
	if s.out.Fault != nil {
		return
	}
	if s.behind || s.holding() {
		return
	}
	s.forceSnapshots()
	c := &s.checkpoint
	asked := c.covered < c.wanted && len(c.force) == 0
	if c.busy || c.bytes < s.cfg.CheckpointBytes && !asked {
		return
	}
	c.wanted = 0 // the peer asks again
	batch := &disk.Batch{}
	for c.dirty != 0 {
		k := s.actors.at(c.dirty - 1)
		c.dirty, k.nextDirty = k.nextDirty-1, 0
		if k.seq > 0 {
			batch.Put(actorKey(k.id), encodeKnown(k))
		}
	}
	for _, id := range c.sessions {
		if session := s.sessions.Get(id); session != nil {
			session.Dirty = false
			batch.Put(sessionKey(id), encodeSession(session))
		}
	}
	for _, id := range c.gone {
		batch.Delete(sessionKey(id))
	}
	for _, key := range c.pruned {
		batch.Delete(key)
	}
	c.pruned = nil
	s.pruneVoids()
	batch.Put([]byte{keyMeta}, s.encodeMeta())
	c.sessions, c.gone = c.sessions[:0], c.gone[:0]
	c.busy, c.bytes, c.at = true, 0, s.applied
	c.covered = s.coveredTo()
	c.batch, c.behind = batch, c.storing
	s.submitCheckpoint()
}

// submitCheckpoint writes the batch once all that it names is in the store.
func (s *Shard) submitCheckpoint() {
	c := &s.checkpoint
	if c.batch == nil || c.behind > 0 {
		return
	}
	batch := c.batch
	c.batch = nil
	s.out.KV(tokenApply, disk.KVOp{Kind: disk.KVApply, Batch: batch})
	s.out.KV(tokenCheckpoint, disk.KVOp{Kind: disk.KVFlush})
}

// coveredTo is the highest entry up to which every event is in a snapshot.
func (s *Shard) coveredTo() core.Index {
	if s.cfg.CompactKeep == 0 && len(s.peers) == 0 {
		return 0 // nobody asks
	}
	covered := s.applied
	s.actors.each(func(_ uint32, k *known) {
		if k.uncovered != 0 {
			covered = min(covered, k.uncovered-1)
		}
	})
	return covered
}

// kvDone takes the completion of a KV operation.
func (s *Shard) kvDone(token proc.Token, res *disk.KVResult) {
	if token >= tokenWalk {
		if w := s.findWalk(token); w != nil {
			s.snapshotRead(w, res)
		}
		return
	}
	switch token {
	case tokenLoad:
		s.loaded(res)
		return
	case tokenGive:
		s.given(res)
		return
	case tokenBase:
		s.baseRead(res)
		return
	}
	if res.Err != nil {
		s.halt(fmt.Errorf("derived store, %s: %w", res.Kind, res.Err))
		return
	}
	c := &s.checkpoint
	switch token {
	case tokenFetch:
		s.fetchStored(res)
	case tokenSnapshot:
		c.storing--
		c.behind-- // KV operations complete in order
		s.submitCheckpoint()
	case tokenCheckpoint:
		s.out.Mark(markCheckpoint)
		c.busy, c.durable = false, c.at
		s.compact()
	}
}

// compact removes journal that the durable checkpoint makes superfluous, and
// when it cannot, asks for the snapshots that stand in the way.
func (s *Shard) compact() {
	c := &s.checkpoint
	excess := s.journal.Bytes() - s.cfg.CompactKeep
	if s.cfg.CompactKeep == 0 || excess <= 0 || len(c.force) > 0 {
		return
	}
	limit := min(s.journal.CompactionTarget(excess), s.journal.KeepsChange())
	if to := s.journal.CompactableTo(min(limit, c.durable, c.covered)); to > s.journal.Floor() {
		s.journal.Compact(to, s.out)
	}
	s.cover(limit)
}

// cover asks for the snapshots that a checkpoint lacks which is to have everything up to
// an entry in snapshots.
func (s *Shard) cover(limit core.Index) {
	c := &s.checkpoint
	if c.covered >= limit || len(c.force) > 0 {
		return
	}
	s.actors.each(func(h uint32, k *known) {
		if k.uncovered != 0 && k.uncovered <= limit {
			c.force = append(c.force, h)
		}
	})
}

// forceSnapshots takes a few of the snapshots that compaction waits for.
func (s *Shard) forceSnapshots() {
	c := &s.checkpoint
	if s.phase != phaseServing || s.leader && !s.leading {
		return
	}
	for n := 0; len(c.force) > 0 && n < s.cfg.Hydrations; n++ {
		handle := c.force[len(c.force)-1]
		k := s.actors.at(handle)
		a := s.memory.of(k)
		switch {
		case k.uncovered == 0 || k.seq == 0 || a != nil && a.flights > 0:
			// Covered meanwhile, or busy: the next round finds it again.
		case a != nil && a.state != nil:
			state := s.kindList[a.kind].AppendState(nil, a.state)
			if len(state) <= actor.StateBytesMax {
				s.out.Mark(markForceSnapshot)
				a.snap = a.seq
				s.storeSnapshot(handle, a.seq, k.last, state)
			}
		default:
			if len(s.walks) >= s.cfg.Hydrations {
				return
			}
			if a == nil {
				a = s.heat(handle, k)
			}
			s.hydrate(a)
			if a.state == nil {
				return // it goes on when the actor is back
			}
			continue
		}
		c.force = c.force[:len(c.force)-1]
	}
	if len(c.force) == 0 {
		c.force = nil
	}
}

func encodeKnown(k *known) []byte {
	b := binary.AppendUvarint(nil, uint64(k.seq))
	b = binary.AppendUvarint(b, uint64(k.last))
	b = binary.AppendUvarint(b, uint64(k.uncovered))
	b = binary.AppendUvarint(b, uint64(len(k.snapshots())))
	for _, seq := range k.snapshots() {
		b = binary.AppendUvarint(b, uint64(seq))
	}
	return b
}

func decodeKnown(id core.ActorID, b []byte) (known, error) {
	r := fields{b: b}
	k := known{id: id, seq: core.Seq(r.uvarint()), last: core.Index(r.uvarint()), uncovered: core.Index(r.uvarint())}
	n := r.uvarint()
	var list []core.Seq
	for range min(n, uint64(len(b))) {
		list = append(list, core.Seq(r.uvarint()))
	}
	k.setSnapshots(list)
	return k, r.end()
}

func encodeSession(session *actor.Session) []byte {
	b := binary.AppendUvarint(nil, uint64(session.Floor))
	for i := range session.Answers {
		r := &session.Answers[i]
		if r.Pending {
			continue // not durable: it is none of the checkpoint's business
		}
		b = binary.AppendUvarint(b, uint64(r.Number))
		b = binary.LittleEndian.AppendUint64(b, r.Digest)
		b = binary.AppendUvarint(b, uint64(r.Code))
		b = binary.AppendUvarint(b, uint64(len(r.Detail)))
		b = append(b, r.Detail...)
		b = binary.AppendUvarint(b, uint64(r.Seq))
		b = binary.AppendUvarint(b, uint64(r.Count))
		b = binary.AppendUvarint(b, uint64(r.Timestamp))
	}
	return b
}

func decodeSession(session *actor.Session, b []byte) error {
	r := fields{b: b}
	session.Floor = core.CommandNumber(r.uvarint())
	for r.err == nil && r.at < len(b) {
		a := actor.Recorded{Number: core.CommandNumber(r.uvarint())}
		if d := r.bytes(8); d != nil {
			a.Digest = binary.LittleEndian.Uint64(d)
		}
		a.Code = core.Code(r.uvarint())
		a.Detail = string(r.bytes(int(min(r.uvarint(), core.DetailBytesMax+1))))
		a.Seq = core.Seq(r.uvarint())
		a.Count = uint32(r.uvarint())
		a.Timestamp = core.Timestamp(r.uvarint())
		session.Record(&a)
	}
	return r.end()
}

func (s *Shard) encodeMeta() []byte {
	b := binary.AppendUvarint(nil, uint64(s.applied))
	b = append(b, s.chain[:]...)
	b = binary.AppendUvarint(b, uint64(s.clock))
	b = binary.AppendUvarint(b, uint64(s.slotEpoch))
	b = binary.AppendUvarint(b, uint64(s.policyEpoch))
	b = binary.AppendUvarint(b, uint64(s.catalog))
	b = binary.AppendUvarint(b, uint64(s.lease))
	b = binary.AppendUvarint(b, uint64(len(s.voids)))
	before := core.Index(0)
	for _, index := range s.voids {
		b = binary.AppendUvarint(b, uint64(index-before))
		before = index
	}
	b = binary.AppendUvarint(b, uint64(s.unread))
	b = s.slots.append(b)
	if s.version > core.VersionMin { // programs of the first version do not know it
		b = AppendVersion(b, s.version)
	}
	return b
}

func (s *Shard) decodeMeta(b []byte) error {
	r := fields{b: b}
	s.version = core.VersionMin
	s.applied = core.Index(r.uvarint())
	copy(s.chain[:], r.bytes(len(s.chain)))
	s.clock = core.Timestamp(r.uvarint())
	s.slotEpoch = core.Epoch(r.uvarint())
	s.policyEpoch = core.Epoch(r.uvarint())
	s.catalog = core.Epoch(r.uvarint())
	if r.err == nil && r.at == len(b) {
		return nil // written before there were leases
	}
	s.lease = core.Timestamp(r.uvarint())
	s.voids = s.voids[:0]
	index := core.Index(0)
	for range min(r.uvarint(), uint64(len(b))) {
		index += core.Index(r.uvarint())
		s.voids = append(s.voids, index)
	}
	if r.err == nil && r.at == len(b) {
		return nil // written by a group of one
	}
	s.unread = core.Index(r.uvarint())
	if r.err == nil && r.at == len(b) {
		return nil // written before slots could move
	}
	s.slots = r.holding(s.slots.placement)
	if r.err == nil && r.at == len(b) {
		return nil // of a log of the first version
	}
	s.version = r.version()
	if err := r.end(); err != nil {
		return err
	}
	return s.tooNew("the checkpoint", s.version)
}
