package checkers

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"actordb/core"
)

// Applied is what taps saw replicas apply, folded while it streams in: of each
// event a digest is kept, not its bytes, so that a run need not hold the logs
// of all its replicas. It finds violations of the laws of Sequence that speak
// of the logs alone.
type Applied struct {
	seed     maphash.Seed
	actors   map[core.ActorID]int32
	sessions map[core.SessionID]int32
	names    []core.ActorID
	ids      []core.SessionID
	logs     [][]appliedEvent // by actor, then by Seq-1
	blocks   map[blockKey]block
	lives    map[lifeKey]*life
	examined int
	wrong    string // the first violation
}

// appliedEvent is the digest of an event; a zero digest marks a hole.
type appliedEvent struct {
	digest    uint64
	personal  uint64 // of the personal columns, which may be erased later; 0: none
	number    core.CommandNumber
	committed core.Timestamp
	session   int32
}

type blockKey struct {
	shard core.ShardID
	index core.Index
}

type block struct {
	term      core.Term
	timestamp core.Timestamp
	digest    uint64
	void      bool
}

type lifeKey struct {
	shard       core.ShardID
	incarnation uint64
}

// life is one incarnation of a replica.
type life struct {
	last core.Index
	next []core.Seq // by actor; 0: not seen in this life
}

// NewApplied makes an empty one.
func NewApplied() *Applied {
	return &Applied{
		seed: maphash.MakeSeed(), actors: map[core.ActorID]int32{}, sessions: map[core.SessionID]int32{},
		blocks: map[blockKey]block{}, lives: map[lifeKey]*life{},
	}
}

func (a *Applied) fail(format string, args ...any) {
	if a.wrong == "" {
		a.wrong = fmt.Sprintf(format, args...)
	}
}

func (a *Applied) actor(id core.ActorID) int32 {
	i, ok := a.actors[id]
	if !ok {
		i = int32(len(a.names))
		a.actors[id] = i
		a.names = append(a.names, id)
		a.logs = append(a.logs, nil)
	}
	return i
}

func (a *Applied) session(id core.SessionID) int32 {
	i, ok := a.sessions[id]
	if !ok {
		i = int32(len(a.ids))
		a.sessions[id] = i
		a.ids = append(a.ids, id)
	}
	return i
}

// Add takes in one record. Records of one incarnation come in the order in
// which it applied them. r is not kept.
func (a *Applied) Add(r *LogRecord) {
	k := lifeKey{r.Shard, r.Incarnation}
	l := a.lives[k]
	if l == nil {
		l = &life{}
		a.lives[k] = l
	}
	if r.Index <= l.last && l.last > 0 && !r.Restored {
		a.fail("shard %d incarnation %d: index %d applied after index %d", r.Shard, r.Incarnation, r.Index, l.last)
	}
	l.last = r.Index
	if r.Restored {
		clear(l.next)
		return
	}
	if r.Void && len(r.Events) > 0 {
		a.fail("shard %d index %d: void, yet incarnation %d applied %s", r.Shard, r.Index, r.Incarnation, r.Events[0])
	}
	for _, b := range r.Bases {
		if i := a.actor(b.Actor); l.at(i) != 0 { // else it may have had more before this life
			l.next[i] = max(l.next[i], b.Seq+1)
		}
	}
	digest := uint64(len(r.Events))
	for i := range r.Events {
		digest = digest*0x9e3779b97f4a7c15 + a.event(r, l, &r.Events[i])
	}
	b := block{r.Term, r.Timestamp, digest, r.Void}
	first, seen := a.blocks[blockKey{r.Shard, r.Index}]
	if !seen {
		a.blocks[blockKey{r.Shard, r.Index}] = b
	} else if first != b {
		a.fail("shard %d index %d: incarnation %d applied term %d at %d void %t, %d events; an earlier one term %d at %d void %t, or other events",
			r.Shard, r.Index, r.Incarnation, b.term, b.timestamp, b.void, len(r.Events), first.term, first.timestamp, first.void)
	}
}

// event takes in one event and returns its digest.
func (a *Applied) event(r *LogRecord, l *life, e *core.Event) uint64 {
	a.examined++
	i := a.actor(e.Actor)
	want := l.at(i)
	if want != 0 && e.Seq != want {
		a.fail("%s: incarnation %d of shard %d applied seq %d at index %d, want seq %d", e.Actor, r.Incarnation, r.Shard, e.Seq, r.Index, want)
	}
	l.next[i] = e.Seq + 1
	d := a.digest(e)
	if r.Moved && a.find(e.Actor, e.Seq) == nil {
		a.fail("%s seq %d: shard %d took %s over at index %d from another one, where no replica applied it", e.Actor, e.Seq, r.Shard, e, r.Index)
	}
	if e.Seq == 0 || e.Seq > 1<<32 {
		a.fail("%s: seq %d at index %d of shard %d", e.Actor, e.Seq, r.Index, r.Shard)
		return d.digest
	}
	log := a.logs[i]
	for core.Seq(len(log)) < e.Seq {
		log = append(log, appliedEvent{})
	}
	a.logs[i] = log
	have := &log[e.Seq-1]
	switch {
	case have.digest == 0:
		*have = d
	case !have.same(d):
		a.fail("%s seq %d: incarnation %d of shard %d applied %s at index %d; an earlier one had other content, by %x/%d",
			e.Actor, e.Seq, r.Incarnation, r.Shard, e, r.Index, shortSession(a.ids[have.session]), have.number)
	case d.personal == 0:
		have.personal = 0
	}
	return d.digest
}

// at is which of an actor's events comes next in this life, 0 if any may.
func (l *life) at(actor int32) core.Seq {
	for int(actor) >= len(l.next) {
		l.next = append(l.next, 0)
	}
	return l.next[actor]
}

// same compares content. Personal columns count unless they were erased.
func (e appliedEvent) same(o appliedEvent) bool {
	return e.digest == o.digest && (e.personal == o.personal || e.personal == 0 || o.personal == 0)
}

func (a *Applied) digest(e *core.Event) appliedEvent {
	var fixed [34]byte
	binary.LittleEndian.PutUint64(fixed[0:], uint64(len(e.Type)))
	binary.LittleEndian.PutUint64(fixed[8:], uint64(len(e.Principal)))
	binary.LittleEndian.PutUint64(fixed[16:], uint64(e.EventTime))
	binary.LittleEndian.PutUint64(fixed[24:], uint64(e.Committed))
	binary.LittleEndian.PutUint16(fixed[32:], e.Version)
	var h maphash.Hash
	h.SetSeed(a.seed)
	h.Write(fixed[:])
	h.Write(e.Session[:])
	binary.LittleEndian.PutUint64(fixed[:], uint64(e.Number))
	h.Write(fixed[:8])
	h.WriteString(e.Type)
	h.WriteString(string(e.Principal))
	h.Write(e.Payload)
	d := appliedEvent{digest: h.Sum64() | 1, number: e.Number, committed: e.Committed, session: a.session(e.Session)}
	if len(e.Personal) > 0 {
		d.personal = maphash.Bytes(a.seed, e.Personal) | 1
	}
	return d
}

// find returns the digest of an applied event, or nil.
func (a *Applied) find(actor core.ActorID, seq core.Seq) *appliedEvent {
	i, ok := a.actors[actor]
	if !ok || seq == 0 || seq > core.Seq(len(a.logs[i])) || a.logs[i][seq-1].digest == 0 {
		return nil
	}
	return &a.logs[i][seq-1]
}
