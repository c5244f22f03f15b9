// Package journal is the truth: the block log of one shard replica, which is
// its Raft log.
//
// A Log lives in a process. It does no I/O itself: it asks for file operations
// through proc.Effects and is told of their completion through Done. It is the
// storage of an etcd-raft RawNode (raft.Storage) and stores each entry once; an
// entry's data is a block (see Block), or empty.
//
// # Invariants
//
//	J1  An append is reported durable only when all its bytes, all bytes before
//	    them and the names of their files are.
//	J2  Recovery yields every entry that was ever reported durable, or a
//	    located error. Bytes that were never reported durable may be cut.
//	J3  Damage is told from a torn tail: each frame says up to where its file
//	    was durable when it was written, so an invalid frame below what any
//	    later frame vouches for was damaged, and one above it was never durable.
//	J4  What recovery keeps beyond the last vouched-for byte is written and
//	    synced again before it counts: a page cache that survived a failed sync
//	    must not pass for a disk (package disk, F5).
//	J5  A segment's successor is begun only when the segment is sealed and
//	    durable. Numbers of segments have no holes.
//	J6  Space is reserved before it is needed: after Room said yes, the append
//	    does not fail for lack of space.
//	J7  The log never writes after a failed write or sync: it fails for good
//	    and its node stops.
//
// A flipped bit in the very last durable bytes, before any later frame could
// vouch for them, looks like a torn tail. The log closes this window when it is
// idle, by appending a frame that vouches (Idle).
package journal

import (
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

// Config of a Log. Limits are in bytes.
type Config struct {
	Identity     Identity
	SegmentBytes int64 // a segment is sealed when a block does not fit any more
	WindowBytes  int64 // applied entries kept in memory
	Writes       int   // under way at once; 0: DefaultWrites
	Tokens       proc.Token

	// Peers says that other replicas hold the same log: damage that recovery locates
	// is told by Damaged, for the owner to mend, and does not fail the log.
	Peers bool
	// Fresh says that this log may begin with nothing. Otherwise one with peers whose
	// files are gone has been forgotten, and says so (Forgotten) until Remember.
	Fresh bool
}

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case c.SegmentBytes < SegmentBytesMin || c.SegmentBytes > SegmentBytesMax:
		return fmt.Errorf("journal: segment size %d: want %d to %d bytes", c.SegmentBytes, SegmentBytesMin, int64(SegmentBytesMax))
	case c.Writes < 0 || c.Writes > WritesMax:
		return fmt.Errorf("journal: %d writes at once, at most %d", c.Writes, WritesMax)
	case c.WindowBytes < 0:
		return fmt.Errorf("journal: window of %d bytes", c.WindowBytes)
	case len(c.Identity.Voters) == 0:
		return fmt.Errorf("journal: the group has no voters")
	case len(c.Identity.Voters) > votersMax:
		return fmt.Errorf("journal: %d voters, at most %d", len(c.Identity.Voters), votersMax)
	}
	return nil
}

const (
	markCutTail     proc.Mark = "journal.tail-cut"
	markDamage      proc.Mark = "journal.damage-located"
	markShortWrite  proc.Mark = "journal.short-write"
	markRotate      proc.Mark = "journal.segment-sealed"
	markTruncate    proc.Mark = "journal.suffix-truncated"
	markNoSpace     proc.Mark = "journal.no-space"
	markReadRetry   proc.Mark = "journal.read-retried"
	markRewrite     proc.Mark = "journal.tail-rewritten"
	markDropSegment proc.Mark = "journal.unborn-segment-dropped"
	markCompact     proc.Mark = "journal.segment-compacted"
	markVouch       proc.Mark = "journal.idle-vouched"
	markFailed      proc.Mark = "journal.write-failed"
	markZeros       proc.Mark = "journal.zeros-ahead"
	markRestore     proc.Mark = "journal.begun-anew"
	markForgotten   proc.Mark = "journal.forgotten"
	markRemembered  proc.Mark = "journal.remembered"
	markCold        proc.Mark = "journal.old-entries-read"
)

// Marks lists the places of this package that tests want reached.
func Marks() []proc.Mark {
	return []proc.Mark{markCutTail, markDamage, markShortWrite, markRotate, markTruncate, markNoSpace,
		markReadRetry, markRewrite, markDropSegment, markCompact, markVouch, markFailed, markZeros, markCold, markRestore, markForgotten, markRemembered}
}

// ref is where an entry stands.
type ref struct {
	term    core.Term
	segment uint32 // in Log.segments, counted from Log.firstSegment
	offset  uint32
	length  uint32 // of the payload
}

type segment struct {
	number    uint64
	size      int64      // bytes of valid frames
	lastIndex core.Index // of the last entry in the files when the segment ends
	lastTerm  core.Term
	header    segmentHeader
}

// A Log is the journal of one replica.
type Log struct {
	cfg   Config
	state logState
	err   error

	// What is stored.
	firstSegment uint64 // number of segments[0]
	segments     []segment
	floor        core.Index // entries up to here are compacted away
	floorTerm    core.Term
	refs         []ref // of entry floor+1 and on
	hard         pb.HardState
	hardWritten  pb.HardState

	// Entries in memory: windowFirst and on.
	window      []*pb.Entry
	windowFirst core.Index
	windowBytes int64
	applied     core.Index
	restored    core.Index // the entry after which the log last began anew, 0: it never did
	members     Membership // what changes builds on
	changes     []change   // entries of the log that change the group
	startAt     core.Index // Raft begins as of here

	// Writing.
	queue      []request
	nextID     uint64
	writes     []write // submitted, in order of offset, in the last segment
	free       [][]byte
	durable    int64 // bytes of the last segment known durable
	durableID  uint64
	lastCRC    uint32
	reserved   int64
	zeroed     int64  // zeros stand in the last segment up to here
	zeroing    bool   // more are being written, from there on
	zeros      []byte // never changed
	rotation   rotation
	roomFor    int64 // Room was refused for a block of this size
	noSpace    bool
	vouched    bool
	compacting compaction

	cold      cold
	damage    *Damage // that recovery has met
	forgotten bool
	recovery  recovery
}

type logState uint8

const (
	logClosed logState = iota
	logRecovering
	logOpen
	logDamaged
	logFailed
)

// request is an append that waits to be written.
type request struct {
	id      uint64
	entries []*pb.Entry
	hard    *pb.HardState
	vouch   bool
	restore []byte // payload of a restore frame
}

// write is a submitted range of the last segment.
type write struct {
	id       uint64 // append that is durable with it
	from, to int64
	done     int64 // bytes from from that are written
	synced   bool
	buf      []byte
}

// Tokens of the log's effects: cfg.Tokens plus one of these, writes counted up.
const (
	tokenRecovery proc.Token = iota
	tokenRotate
	tokenCompact
	tokenZero
	tokenCold
	tokenForget
	tokenWrite // and above
)

// TokenSpace is how many tokens, from Config.Tokens on, belong to the log.
const TokenSpace proc.Token = 1 << 40

// New makes a closed log.
func New(cfg Config) *Log {
	return &Log{cfg: cfg}
}

// Err is why the log failed, or nil: a *Damage, a *disk.PathError, or an error
// that wraps ErrForeign.
func (l *Log) Err() error { return l.err }

// Open reports whether recovery has ended well.
func (l *Log) Open() bool { return l.state == logOpen }

// Damaged is what recovery located and cannot go on over, or nil.
func (l *Log) Damaged() *Damage {
	if l.state != logDamaged {
		return nil
	}
	return l.damage
}

// Floor is the last entry that was compacted away, 0 for none.
func (l *Log) Floor() core.Index { return l.floor }

// Last is the log's last entry, written or about to be.
func (l *Log) Last() core.Index { return l.floor + core.Index(len(l.refs)) }

// HardState is the newest known.
func (l *Log) HardState() *pb.HardState { return &l.hard }

// Segments counts the log's files, Bytes their valid bytes.
func (l *Log) Segments() int { return len(l.segments) }
func (l *Log) Bytes() (n int64) {
	for i := range l.segments {
		n += l.segments[i].size
	}
	return n
}

// LastAppend is the id of the newest append.
func (l *Log) LastAppend() uint64 { return l.nextID }

// Durable is the highest append id that is durable.
func (l *Log) Durable() uint64 { return l.durableID }

// Full reports that the disk had no room for the next segment when last asked.
func (l *Log) Full() bool { return l.noSpace }

// Queued counts appends that wait for a segment.
func (l *Log) Queued() int { return len(l.queue) }

func (l *Log) last() *segment { return &l.segments[len(l.segments)-1] }

func (l *Log) fail(err error, out *proc.Effects) {
	if l.state == logFailed {
		return
	}
	l.state, l.err = logFailed, err
	out.Mark(markFailed)
	out.Halt(fmt.Errorf("shard %d journal: %w", l.cfg.Identity.Shard, err))
}

// Append adds entries and a hard state and returns the append's id, by which
// Durable reports it. Entries replace those from their first index on.
func (l *Log) Append(entries []*pb.Entry, hard *pb.HardState, out *proc.Effects) uint64 {
	core.Assert(l.state == logOpen || l.state == logFailed, "append to a log that is not open")
	l.nextID++
	r := request{id: l.nextID, hard: hard}
	r.entries = append(r.entries, entries...)
	if len(entries) > 0 {
		l.admit(entries, out)
	}
	if hard != nil {
		l.hard.Term, l.hard.Vote, l.hard.Commit = hard.Term, hard.Vote, hard.Commit
	}
	l.queue = append(l.queue, r)
	l.flush(out)
	return r.id
}

// Restore begins the log anew after an entry that the group has committed, with the
// membership as of there: what was before it is void. It returns the append's id.
func (l *Log) Restore(index core.Index, term core.Term, members Membership, hard *pb.HardState, out *proc.Effects) uint64 {
	core.Assert(l.state == logOpen || l.state == logFailed, "restore of a log that is not open")
	core.Assert(index > l.floor && index > l.applied, "a log of %d to %d, applied to %d, cannot begin anew after %d", l.floor+1, l.Last(), l.applied, index)
	out.Mark(markRestore)
	payload := binary.LittleEndian.AppendUint64(nil, uint64(index))
	payload = binary.LittleEndian.AppendUint64(payload, uint64(term))
	payload = members.encode(payload)
	l.beginAnew(index, term, members)
	l.applied = index
	l.nextID++
	if hard != nil {
		l.hard.Term, l.hard.Vote, l.hard.Commit = hard.Term, hard.Vote, hard.Commit
	}
	if l.hard.GetCommit() < uint64(index) {
		l.hard.Commit = proto.Uint64(uint64(index))
	}
	l.queue = append(l.queue, request{id: l.nextID, hard: hard, restore: payload})
	l.flush(out)
	return l.nextID
}

func (l *Log) beginAnew(index core.Index, term core.Term, members Membership) {
	l.floor, l.floorTerm, l.restored, l.members, l.changes = index, term, index, members, nil
	l.refs, l.window, l.windowBytes, l.windowFirst = nil, nil, 0, index+1
	l.cold.ranges, l.cold.wanted = [coldRanges][]*pb.Entry{}, 0
}

// Restored is the entry after which the log last began anew, 0 if it never did.
func (l *Log) Restored() core.Index { return l.restored }

// NoteCommit remembers a commit index to be stored with the next append: it
// may be lost, since Raft finds it again.
func (l *Log) NoteCommit(hard *pb.HardState) {
	l.hard.Commit = hard.Commit
}

// Idle is called when nothing was appended for a while: it vouches for the tail.
func (l *Log) Idle(out *proc.Effects) {
	if l.state != logOpen || l.vouched || len(l.queue) > 0 || len(l.writes) > 0 || l.rotation.step != rotateNone {
		return
	}
	if !l.fitsSlack(int64(frameBytes(stateBytes))) {
		return // the successor vouches for a segment that is full
	}
	out.Mark(markVouch)
	l.nextID++
	l.queue = append(l.queue, request{id: l.nextID, vouch: true})
	l.flush(out)
}

// admit puts entries into the window and drops what they replace.
func (l *Log) admit(entries []*pb.Entry, out *proc.Effects) {
	first := core.Index(entries[0].GetIndex())
	core.Assert(first > l.floor && first <= l.Last()+1, "entry %d does not continue a log of %d to %d", first, l.floor, l.Last())
	core.Assert(first > l.applied, "entry %d would replace an applied one (%d)", first, l.applied)
	if first <= l.Last() {
		out.Mark(markTruncate)
		l.refs = l.refs[:first-l.floor-1]
		l.dropWindowFrom(first)
	}
	if len(l.window) == 0 {
		l.windowFirst = first
	}
	for i, e := range entries {
		core.Assert(core.Index(e.GetIndex()) == first+core.Index(i), "entries are not consecutive")
		l.noteChange(e)
		l.window = append(l.window, e)
		l.windowBytes += int64(len(e.GetData()))
		l.refs = append(l.refs, ref{term: core.Term(e.GetTerm())}) // placed when written
	}
}

func (l *Log) dropWindowFrom(index core.Index) {
	if index <= l.windowFirst {
		l.window, l.windowBytes = l.window[:0], 0
		return
	}
	keep := int(index - l.windowFirst)
	for _, e := range l.window[min(keep, len(l.window)):] {
		l.windowBytes -= int64(len(e.GetData()))
	}
	l.window = l.window[:min(keep, len(l.window))]
}

// Applied tells the log that entries up to index are applied: they may leave
// the memory window.
func (l *Log) Applied(index core.Index) {
	l.applied = max(l.applied, index)
	drop := 0
	for drop < len(l.window) && l.windowBytes > l.cfg.WindowBytes && l.windowFirst+core.Index(drop) < l.applied &&
		l.refs[l.windowFirst+core.Index(drop)-l.floor-1].length > 0 {
		l.windowBytes -= int64(len(l.window[drop].GetData()))
		drop++
	}
	if drop > 0 {
		l.window = slices.Delete(l.window, 0, drop)
		l.windowFirst += core.Index(drop)
	}
}

// Entry returns the block of an entry that is in memory.
func (l *Log) Entry(index core.Index) (data []byte, ok bool) {
	if index < l.windowFirst || index >= l.windowFirst+core.Index(len(l.window)) {
		return nil, false
	}
	return blockOf(l.window[index-l.windowFirst]), true
}

// blockOf is what an entry says to the shard's actors: nothing, if it is a leader's
// first one, or changes the group.
func blockOf(e *pb.Entry) []byte {
	if e.GetType() != pb.EntryNormal {
		return nil
	}
	return e.GetData()
}

// ReadOp is the file operation that reads an entry; DecodeEntry takes its result.
func (l *Log) ReadOp(index core.Index) disk.Op {
	core.Assert(index > l.floor && index <= l.Last(), "entry %d is not in the log of %d to %d", index, l.floor+1, l.Last())
	r := l.refs[index-l.floor-1]
	s := l.segmentOf(r)
	return disk.Op{Kind: disk.OpRead, Name: segmentName(s.number), Offset: int64(r.offset), Length: frameBytes(int(r.length))}
}

// ReadRange is the file operation that reads an entry and those after it that
// stand behind it in the same file, up to about most bytes. EachOf takes its
// result.
func (l *Log) ReadRange(first core.Index, most int) (op disk.Op, last core.Index) {
	op, last = l.ReadOp(first), first
	from := l.refs[first-l.floor-1]
	for before := from; last < l.Last(); last++ {
		next := l.refs[last-l.floor]
		end := int64(next.offset) + int64(frameBytes(int(next.length)))
		if next.length == 0 || next.segment != from.segment || next.offset < before.offset || end-op.Offset > int64(most) {
			break
		}
		op.Length, before = int(end-op.Offset), next
	}
	return op, last
}

// EachOf checks the entries of a range that was read and visits their data in
// order. The error is a *Damage, or the visitor's.
func (l *Log) EachOf(first, last core.Index, b []byte, visit func(index core.Index, data []byte) error) error {
	from := l.refs[first-l.floor-1].offset
	for index := first; index <= last; index++ {
		at := min(int(l.refs[index-l.floor-1].offset-from), len(b))
		data, err := l.DecodeEntry(index, b[at:])
		if err != nil {
			return err
		}
		if err := visit(index, data); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) segmentOf(r ref) *segment { return &l.segments[uint64(r.segment)-l.firstSegment] }

// DecodeEntry checks what ReadOp read and returns the entry's block. The error
// is a *Damage.
func (l *Log) DecodeEntry(index core.Index, b []byte) ([]byte, error) {
	e, err := l.decodeAt(index, b)
	return blockOf(e), err
}

func (l *Log) decodeAt(index core.Index, b []byte) (*pb.Entry, error) {
	r := l.refs[index-l.floor-1]
	s := l.segmentOf(r)
	salt := l.cfg.Identity.salt(s.number)
	damage := &Damage{Segment: segmentName(s.number), From: int64(r.offset),
		To: int64(r.offset) + int64(frameBytes(int(r.length))), After: index - 1, ValidNext: true}
	h, ok := parseFrameHeader(b, salt, int64(r.offset))
	switch {
	case !ok || h.kind != frameEntry || h.length != int(r.length) || len(b) < frameBytes(h.length):
		damage.Reason = "the frame's header is not the one written"
		return nil, damage
	case checksum(salt, b[frameHeaderBytes:frameHeaderBytes+h.length]) != h.payloadCRC:
		damage.Reason = "the entry's checksum does not match"
		return nil, damage
	case !cleanPadding(b, h.length):
		damage.Reason = "the padding is not zero"
		return nil, damage
	}
	e := decodeEntry(b[frameHeaderBytes : frameHeaderBytes+h.length])
	if core.Index(e.GetIndex()) != index {
		damage.Reason = fmt.Sprintf("entry %d stands here", e.GetIndex())
		return nil, damage
	}
	return e, nil
}

// raft.Storage.

// InitialState implements raft.Storage.
func (l *Log) InitialState() (*pb.HardState, *pb.ConfState, error) {
	hard := &pb.HardState{Term: l.hard.Term, Vote: l.hard.Vote, Commit: l.hard.Commit}
	return hard, l.Membership(l.startAt).Conf, nil
}

// Entries implements raft.Storage. Entries that are not in memory count as
// compacted until they are: Raft asks for a snapshot then, hears that there is
// none yet, and tries again.
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if core.Index(lo) <= l.floor {
		return nil, raft.ErrCompacted
	}
	if core.Index(lo) < l.windowFirst || len(l.window) == 0 {
		return l.coldEntries(core.Index(lo), core.Index(hi), maxSize)
	}
	if core.Index(hi) > l.windowFirst+core.Index(len(l.window)) {
		return nil, raft.ErrUnavailable
	}
	list := l.window[core.Index(lo)-l.windowFirst : core.Index(hi)-l.windowFirst]
	return slices.Clone(limited(list, maxSize)), nil
}

// limited is as much of a list as a size allows, and one entry at least.
func limited(list []*pb.Entry, maxSize uint64) []*pb.Entry {
	size := uint64(0)
	for i, e := range list {
		size += uint64(len(e.GetData())) + entryFixedBytes
		if i > 0 && size > maxSize {
			return list[:i]
		}
	}
	return list
}

// Term implements raft.Storage.
func (l *Log) Term(i uint64) (uint64, error) {
	index := core.Index(i)
	switch {
	case index == l.floor:
		return uint64(l.floorTerm), nil
	case index < l.floor:
		return 0, raft.ErrCompacted
	case index > l.Last():
		return 0, raft.ErrUnavailable
	}
	return uint64(l.refs[index-l.floor-1].term), nil
}

// LastIndex implements raft.Storage.
func (l *Log) LastIndex() (uint64, error) { return uint64(l.Last()), nil }

// FirstIndex implements raft.Storage.
func (l *Log) FirstIndex() (uint64, error) { return uint64(l.floor) + 1, nil }

// Snapshot implements raft.Storage. A snapshot says where the log begins; the state
// as of there, or later, is the shard's to send. Raft also asks for one when old
// entries are not in memory: then there is none, until they are.
func (l *Log) Snapshot() (*pb.Snapshot, error) {
	if l.cold.missed || l.floor == 0 {
		l.cold.missed = false
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	members := l.Membership(l.floor)
	return &pb.Snapshot{Data: members.encode(nil), Metadata: &pb.SnapshotMetadata{ConfState: members.Conf, Index: proto.Uint64(uint64(l.floor)), Term: proto.Uint64(uint64(l.floorTerm))}}, nil
}

func decodeEntry(payload []byte) *pb.Entry {
	term, index := le64(payload), le64(payload[8:])
	kind := pb.EntryType(payload[16])
	return &pb.Entry{Term: proto.Uint64(term), Index: proto.Uint64(index), Type: kind.Enum(), Data: payload[entryFixedBytes:]}
}

// String is one line about where the log stands, for people.
func (l *Log) String() string {
	return fmt.Sprintf("%d to %d in %d segments, %d appends queued, %d writes, rotation step %d, full %t",
		l.floor+1, l.Last(), len(l.segments), len(l.queue), len(l.writes), l.rotation.step, l.noSpace)
}
