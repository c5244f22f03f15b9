package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// slackBytes of each segment are kept for hard states, vouching frames and the
// seal, so that an election or a rotation never waits for space.
const slackBytes = 2048

type rotateStep uint8

const (
	rotateNone    rotateStep = iota
	rotateCreate             // the next file is being created
	rotateReserve            // its space is being reserved
	rotateUndo               // there is none: the file is being removed
	rotateDrain              // writes and the seal of the last segment become durable
	rotateHeader             // the header is being written
	rotateDir                // the name is being made durable
)

type rotation struct {
	step   rotateStep
	number uint64
	size   int64
	header segmentHeader
	buf    []byte
	done   int
	sealed bool
}

func requestBytes(r *request) int64 {
	n := int64(frameBytes(stateBytes))
	for _, e := range r.entries {
		n += int64(frameBytes(entryFixedBytes + len(e.GetData())))
	}
	if r.restore != nil {
		n += int64(frameBytes(len(r.restore)))
	}
	return n
}

// Room reports whether a block of this many bytes can be appended without
// asking the disk for space. If not, it starts to get some.
func (l *Log) Room(bytes int, out *proc.Effects) bool {
	if l.state != logOpen || l.rotation.step != rotateNone {
		return false
	}
	need := int64(frameBytes(entryFixedBytes+bytes) + frameBytes(stateBytes))
	for i := range l.queue {
		need += requestBytes(&l.queue[i])
	}
	if l.fits(need) {
		return true
	}
	l.rotate(need, out)
	return false
}

// RetrySpace asks the disk again after it had no room.
func (l *Log) RetrySpace(out *proc.Effects) {
	if (l.state == logOpen || l.state == logRecovering) && l.noSpace && l.rotation.step == rotateNone {
		l.rotate(l.roomFor, out)
	}
}

func (l *Log) fits(need int64) bool {
	return len(l.segments) > 0 && !l.rotation.sealed && l.last().size+need+slackBytes <= l.reserved
}

// fitsSlack tells whether need bytes of other frames than entries fit: they may
// use the slack, but for the seal's part.
func (l *Log) fitsSlack(need int64) bool {
	return len(l.segments) > 0 && !l.rotation.sealed && l.last().size+need+int64(frameBytes(sealBytes)) <= l.reserved
}

const (
	// DefaultWrites is how many writes are under way at once: one that is being
	// synced, and one that is ready when that has ended. What comes meanwhile is
	// written together, with one sync: the disk works without a pause, and never for
	// less than there is.
	DefaultWrites = 2
	WritesMax     = 64
)

// flush writes what is queued and fits, in one write, unless enough are under way:
// the next completion calls it again.
func (l *Log) flush(out *proc.Effects) {
	if l.state != logOpen || l.rotation.step != rotateNone || len(l.queue) == 0 || len(l.writes) >= cmp.Or(l.cfg.Writes, DefaultWrites) {
		return
	}
	s := l.last()
	salt := l.cfg.Identity.salt(s.number)
	buf := l.takeBuffer()
	start := s.size
	taken := 0
	var id uint64
	for i := range l.queue {
		r := &l.queue[i]
		need := requestBytes(r)
		roomy := l.fits(need + int64(len(buf)))
		if len(r.entries) == 0 {
			roomy = l.fitsSlack(need + int64(len(buf)))
		}
		if !roomy {
			break
		}
		buf = l.encode(buf, r, l.queue[i+1:], s, salt, start)
		id = r.id
		taken++
	}
	if taken > 0 {
		rest := copy(l.queue, l.queue[taken:])
		clear(l.queue[rest:])
		l.queue = l.queue[:rest]
		l.submit(write{id: id, from: start, to: start + int64(len(buf)), buf: buf}, out)
		l.zeroAhead(int64(len(buf)), out)
	} else {
		l.free = append(l.free, buf)
	}
	if len(l.queue) > 0 {
		l.rotate(requestBytes(&l.queue[0]), out)
	}
}

func (l *Log) takeBuffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b[:0]
	}
	return nil
}

// encode adds a request's frames to buf, which will stand at start. The requests
// ahead follow it.
func (l *Log) encode(buf []byte, r *request, ahead []request, s *segment, salt uint32, start int64) []byte {
	var head [entryFixedBytes]byte
	for _, e := range r.entries {
		putEntryHead(head[:], e)
		at := start + int64(len(buf))
		buf = l.frame(buf, salt, at, frameEntry, head[:], e.GetData())
		index := core.Index(e.GetIndex())
		if index > l.floor && index <= l.Last() && l.refs[index-l.floor-1].term == core.Term(e.GetTerm()) {
			l.refs[index-l.floor-1] = ref{term: core.Term(e.GetTerm()), segment: uint32(s.number),
				offset: uint32(at), length: uint32(entryFixedBytes + len(e.GetData()))}
		}
		s.lastIndex, s.lastTerm = index, core.Term(e.GetTerm())
	}
	if r.restore != nil {
		buf = l.frame(buf, salt, start+int64(len(buf)), frameAnew, r.restore, nil)
		s.lastIndex, s.lastTerm = core.Index(le64(r.restore)), core.Term(le64(r.restore[8:]))
	}
	commit := l.commitUpTo(s.lastIndex, ahead)
	changed := l.hardWritten.GetTerm() != l.hard.GetTerm() || l.hardWritten.GetVote() != l.hard.GetVote() ||
		l.hardWritten.GetCommit() != commit
	if changed || len(r.entries) == 0 || r.hard != nil {
		buf = l.frame(buf, salt, start+int64(len(buf)), frameState, l.encodeHard(commit), nil)
	}
	l.vouched = r.vouch
	return buf
}

// commitUpTo is the commit index as it may be written behind entry last, before
// the requests ahead. The quorum's may run ahead of what this replica has
// written; in the file it covers only entries that stand there and are not about
// to be replaced, or recovery would apply what was never committed.
func (l *Log) commitUpTo(last core.Index, ahead []request) uint64 {
	for i := range ahead {
		if e := ahead[i].entries; len(e) > 0 {
			last = min(last, core.Index(e[0].GetIndex())-1)
		}
	}
	return min(l.hard.GetCommit(), uint64(last))
}

func (l *Log) encodeHard(commit uint64) []byte {
	h := binary.LittleEndian.AppendUint64(nil, l.hard.GetTerm())
	h = binary.LittleEndian.AppendUint64(h, l.hard.GetVote())
	h = binary.LittleEndian.AppendUint64(h, commit)
	l.hardWritten.Term, l.hardWritten.Vote, l.hardWritten.Commit = l.hard.Term, l.hard.Vote, &commit
	return h
}

func putEntryHead(head []byte, e *pb.Entry) {
	binary.LittleEndian.PutUint64(head, e.GetTerm())
	binary.LittleEndian.PutUint64(head[8:], e.GetIndex())
	clear(head[16:])
	head[16] = byte(e.GetType())
}

// frame adds one frame at offset at and links it to the one before.
func (l *Log) frame(buf []byte, salt uint32, at int64, kind frameKind, head, body []byte) []byte {
	from := len(buf)
	buf = appendFrame(buf, salt, frameHeader{kind: kind, offset: at, durable: min(l.durable, at), prev: l.lastCRC}, head, body)
	l.lastCRC = binary.LittleEndian.Uint32(buf[from+4:])
	return buf
}

func (l *Log) submit(w write, out *proc.Effects) {
	s := l.last()
	s.size = w.to
	l.writes = append(l.writes, w)
	out.File(l.cfg.Tokens+tokenWrite+proc.Token(w.from), disk.Op{
		Kind: disk.OpWrite, Sync: true, Name: segmentName(s.number), Offset: w.from, Data: w.buf})
}

// wrote handles the completion of a write to the last segment.
func (l *Log) wrote(from int64, res *disk.Result, out *proc.Effects) {
	i := 0
	for i < len(l.writes) && l.writes[i].from != from {
		i++
	}
	core.Assert(i < len(l.writes), "completion of a write at %d that was not submitted", from)
	w := &l.writes[i]
	name := segmentName(l.last().number)
	if res.Err == nil && res.N == 0 {
		res.Err = &disk.PathError{Kind: disk.OpWrite, Name: name, Offset: w.from + w.done, Err: io.ErrShortWrite}
	}
	if res.Err != nil {
		l.fail(res.Err, out)
		return
	}
	w.done += int64(res.N)
	if w.from+w.done < w.to {
		out.Mark(markShortWrite)
		out.File(l.cfg.Tokens+tokenWrite+proc.Token(from), disk.Op{
			Kind: disk.OpWrite, Sync: true, Name: name, Offset: w.from + w.done, Data: w.buf[w.done:]})
		return
	}
	w.synced = true
	n := 0
	for n < len(l.writes) && l.writes[n].synced {
		l.durable = l.writes[n].to
		l.durableID = max(l.durableID, l.writes[n].id)
		if cap(l.writes[n].buf) <= 4<<20 && len(l.free) < 8 {
			l.free = append(l.free, l.writes[n].buf)
		}
		n++
	}
	rest := copy(l.writes, l.writes[n:])
	clear(l.writes[rest:])
	l.writes = l.writes[:rest]
	if l.rotation.step == rotateDrain && len(l.writes) == 0 {
		l.drained(out)
	}
	l.flush(out)
}

// rotate begins the next segment, with room for at least need bytes.
func (l *Log) rotate(need int64, out *proc.Effects) {
	if l.rotation.step != rotateNone {
		return
	}
	if len(l.segments) >= SegmentsMax {
		l.fail(fmt.Errorf("the log has %d segments, the most there may be: raise the segment size or compact", SegmentsMax), out)
		return
	}
	l.roomFor = need
	number := uint64(1)
	if len(l.segments) > 0 {
		number = l.last().number + 1
	}
	l.rotation = rotation{step: rotateCreate, number: number, sealed: l.rotation.sealed,
		size: max(l.cfg.SegmentBytes, need+2*slackBytes)}
	out.File(l.cfg.Tokens+tokenRotate, disk.Op{Kind: disk.OpCreate, Name: segmentName(number)})
}

// rotated handles the completion of a step of the rotation.
func (l *Log) rotated(res *disk.Result, out *proc.Effects) {
	r := &l.rotation
	name := segmentName(r.number)
	token := l.cfg.Tokens + tokenRotate
	switch r.step {
	case rotateCreate:
		switch {
		case errors.Is(res.Err, disk.ErrNoSpace):
			l.outOfSpace(out)
		case res.Err != nil:
			l.fail(res.Err, out)
		default:
			r.step = rotateReserve
			out.File(token, disk.Op{Kind: disk.OpReserve, Name: name, Offset: r.size})
		}
	case rotateReserve:
		switch {
		case errors.Is(res.Err, disk.ErrNoSpace):
			r.step = rotateUndo
			out.File(token, disk.Op{Kind: disk.OpRemove, Name: name})
		case res.Err != nil:
			l.fail(res.Err, out)
		default:
			l.sealLast(out)
		}
	case rotateUndo:
		if res.Err != nil {
			l.fail(res.Err, out)
			return
		}
		l.outOfSpace(out)
	case rotateHeader:
		l.wroteHeader(res, out)
	case rotateDir:
		if res.Err != nil {
			l.fail(res.Err, out)
			return
		}
		l.begin(out)
	}
}

func (l *Log) outOfSpace(out *proc.Effects) {
	l.rotation = rotation{sealed: l.rotation.sealed}
	l.noSpace = true
	out.Mark(markNoSpace)
	// What needs no entry's space goes on.
	if len(l.queue) > 0 && (len(l.queue[0].entries) == 0 && l.fitsSlack(requestBytes(&l.queue[0])) || l.fits(requestBytes(&l.queue[0]))) {
		l.flush(out)
	}
}

// sealLast writes the seal of the last segment; drained goes on when all of it
// is durable.
func (l *Log) sealLast(out *proc.Effects) {
	l.rotation.step = rotateDrain
	if len(l.segments) == 0 || l.rotation.sealed {
		l.drained(out)
		return
	}
	s := l.last()
	salt := l.cfg.Identity.salt(s.number)
	var head [sealBytes]byte
	binary.LittleEndian.PutUint64(head[:], uint64(s.lastIndex))
	buf := l.frame(l.takeBuffer(), salt, s.size, frameSeal, head[:], nil)
	l.rotation.sealed = true
	out.Mark(markRotate)
	l.submit(write{id: l.durableID, from: s.size, to: s.size + int64(len(buf)), buf: buf}, out)
}

func (l *Log) drained(out *proc.Effects) {
	r := &l.rotation
	core.Assert(len(l.writes) == 0, "%d writes in flight in a segment that ends", len(l.writes))
	core.Assert(!l.zeroing, "zeros in flight in a segment that ends")
	// The last entry in the files, which an append that waits may replace.
	var last core.Index
	var term core.Term
	if len(l.segments) > 0 {
		last, term = l.last().lastIndex, l.last().lastTerm
	}
	r.header = segmentHeader{identity: l.cfg.Identity, number: r.number, lastIndex: last, lastTerm: term}
	if m := l.Membership(min(l.applied, last)); m.Index > 0 {
		r.header.members = m
	}
	salt := l.cfg.Identity.salt(r.number)
	l.lastCRC, l.durable = 0, 0
	r.buf = l.frame(nil, salt, 0, frameSegment, r.header.encode(), nil)
	r.buf = l.frame(r.buf, salt, int64(len(r.buf)), frameState, l.encodeHard(l.commitUpTo(last, l.queue)), nil)
	r.step = rotateHeader
	out.File(l.cfg.Tokens+tokenRotate, disk.Op{Kind: disk.OpWrite, Sync: true, Name: segmentName(r.number), Data: r.buf})
}

func (l *Log) wroteHeader(res *disk.Result, out *proc.Effects) {
	r := &l.rotation
	name := segmentName(r.number)
	if res.Err == nil && res.N == 0 {
		res.Err = &disk.PathError{Kind: disk.OpWrite, Name: name, Err: io.ErrShortWrite}
	}
	if res.Err != nil {
		l.fail(res.Err, out)
		return
	}
	r.done += res.N
	if r.done < len(r.buf) {
		out.Mark(markShortWrite)
		out.File(l.cfg.Tokens+tokenRotate, disk.Op{Kind: disk.OpWrite, Sync: true, Name: name,
			Offset: int64(r.done), Data: r.buf[r.done:]})
		return
	}
	r.step = rotateDir
	out.File(l.cfg.Tokens+tokenRotate, disk.Op{Kind: disk.OpSyncDir})
}

// begin makes the new segment the last one and writes what waited for it.
func (l *Log) begin(out *proc.Effects) {
	r := &l.rotation
	if len(l.segments) == 0 {
		l.firstSegment = r.number
	}
	l.segments = append(l.segments, segment{number: r.number, size: int64(len(r.buf)), lastIndex: r.header.lastIndex, lastTerm: r.header.lastTerm, header: r.header})
	l.reserved, l.zeroed = r.size, 0
	l.durable = int64(len(r.buf))
	l.noSpace, l.roomFor = false, 0
	l.rotation = rotation{}
	if l.state == logRecovering {
		l.state = logOpen
	}
	l.flush(out)
}

// Done takes the completion of one of the log's file operations. The caller
// looks at Open, Err and Durable afterwards.
func (l *Log) Done(token proc.Token, res *disk.Result, out *proc.Effects) {
	if l.state == logFailed || l.state == logClosed || l.state == logDamaged {
		return
	}
	switch t := token - l.cfg.Tokens; {
	case t >= tokenWrite:
		l.wrote(int64(t-tokenWrite), res, out)
	case t == tokenRotate:
		l.rotated(res, out)
	case t == tokenCompact:
		l.compacted(res, out)
	case t == tokenForget:
		l.remembered(res, out)
	case t == tokenCold:
		l.readCold(res, out)
	case t == tokenZero:
		l.wroteZeros(res, out)
	default:
		l.recovered(res, out)
	}
}
