package journal

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

type recoverStep uint8

const (
	recoverList     recoverStep = iota
	recoverStat                 // size of a segment
	recoverRead                 // its bytes, piece by piece
	recoverRest                 // all of the rest after an invalid frame
	recoverTail                 // reading what is to be written again
	recoverRewrite              // writing it again (J4)
	recoverTruncate             // cutting the tail
	recoverSync                 // making all of it durable
	recoverDrop                 // removing a segment that was never begun
	recoverDir                  // making the names durable
	recoverReserve              // room for appends
)

// recovery reads segment after segment and keeps one frame's worth of bytes.
type recovery struct {
	step     recoverStep
	op       disk.Op
	attempts int

	numbers []uint64 // found in the directory
	current int      // in numbers
	size    int64
	buf     []byte // bytes from at on
	at      int64  // offset of the next frame
	sealed  bool   // the segment's seal was seen
	vouched int64  // highest durable of a frame of this segment
	cutAt   int64
}

// Recover begins to read the log. Afterwards Open or Err tells the result.
func (l *Log) Recover(out *proc.Effects) {
	core.Assert(l.state == logClosed, "recovery of a log that is in use")
	l.state = logRecovering
	l.windowFirst = 1
	l.ask(recoverList, disk.Op{Kind: disk.OpList}, out)
}

func (l *Log) ask(step recoverStep, op disk.Op, out *proc.Effects) {
	l.recovery.step, l.recovery.op, l.recovery.attempts = step, op, 0
	out.File(l.cfg.Tokens+tokenRecovery, op)
}

func (l *Log) recovered(res *disk.Result, out *proc.Effects) {
	r := &l.recovery
	noSpace := r.step == recoverReserve && errors.Is(res.Err, disk.ErrNoSpace)
	if res.Err != nil && !noSpace {
		// Reading again is safe; a failed write or sync is not to be trusted (F5).
		reading := r.op.Kind == disk.OpRead || r.op.Kind == disk.OpStat || r.op.Kind == disk.OpList
		if r.attempts++; reading && r.attempts < readAttempts {
			out.Mark(markReadRetry)
			out.File(l.cfg.Tokens+tokenRecovery, r.op)
			return
		}
		l.fail(res.Err, out)
		return
	}
	switch r.step {
	case recoverList:
		l.listed(res.Names, out)
	case recoverStat:
		r.size = res.Size
		l.readMore(out)
	case recoverRead:
		r.buf = append(r.buf, res.Data...)
		if res.N == 0 {
			r.size = r.at + int64(len(r.buf)) // shorter than Stat said
		}
		l.parse(out)
	case recoverRest:
		l.judge(res.Data, out)
	case recoverTail:
		if len(res.Data) == 0 {
			l.settle(out)
			return
		}
		out.Mark(markRewrite)
		l.ask(recoverRewrite, disk.Op{Kind: disk.OpWrite, Sync: true, Name: r.op.Name, Offset: r.op.Offset, Data: res.Data}, out)
	case recoverRewrite:
		if res.N < len(r.op.Data) {
			if res.N == 0 {
				l.fail(&disk.PathError{Kind: disk.OpWrite, Name: r.op.Name, Offset: r.op.Offset, Err: disk.ErrIO}, out)
				return
			}
			out.Mark(markShortWrite)
			l.ask(recoverRewrite, disk.Op{Kind: disk.OpWrite, Sync: true, Name: r.op.Name,
				Offset: r.op.Offset + int64(res.N), Data: r.op.Data[res.N:]}, out)
			return
		}
		l.settle(out)
	case recoverTruncate:
		l.ask(recoverSync, disk.Op{Kind: disk.OpSync, Name: r.op.Name}, out)
	case recoverSync:
		l.ask(recoverDir, disk.Op{Kind: disk.OpSyncDir}, out)
	case recoverDrop:
		l.dropped(out)
	case recoverDir:
		l.ask(recoverReserve, disk.Op{Kind: disk.OpReserve, Name: segmentName(l.last().number),
			Offset: max(l.cfg.SegmentBytes, l.last().size)}, out)
	case recoverReserve:
		l.finish(noSpace, out)
	}
}

func (l *Log) listed(names []string, out *proc.Effects) {
	r := &l.recovery
	for _, name := range names {
		if number, ok := segmentNumber(name); ok {
			r.numbers = append(r.numbers, number)
		}
	}
	slices.Sort(r.numbers)
	for i := 1; i < len(r.numbers); i++ {
		if r.numbers[i] != r.numbers[i-1]+1 {
			out.Mark(markDamage)
			l.fail(&Damage{Segment: segmentName(r.numbers[i-1] + 1), Reason: "the file is missing"}, out)
			return
		}
	}
	if len(r.numbers) == 0 {
		l.rotate(0, out)
		return
	}
	l.firstSegment = r.numbers[0]
	l.nextSegment(0, out)
}

func (l *Log) nextSegment(i int, out *proc.Effects) {
	r := &l.recovery
	r.current, r.at, r.buf, r.sealed, r.vouched = i, 0, r.buf[:0], false, 0
	l.lastCRC = 0
	l.ask(recoverStat, disk.Op{Kind: disk.OpStat, Name: segmentName(r.numbers[i])}, out)
}

func (l *Log) isLast() bool { return l.recovery.current == len(l.recovery.numbers)-1 }

func (l *Log) readMore(out *proc.Effects) {
	r := &l.recovery
	from := r.at + int64(len(r.buf))
	n := min(readBytes, r.size-from)
	if n <= 0 {
		l.parse(out)
		return
	}
	l.ask(recoverRead, disk.Op{Kind: disk.OpRead, Name: segmentName(r.numbers[r.current]), Offset: from, Length: int(n)}, out)
}

// parse takes whole frames off the buffer and asks for more bytes when it ends
// inside one.
func (l *Log) parse(out *proc.Effects) {
	r := &l.recovery
	salt := l.cfg.Identity.salt(r.numbers[r.current])
	used := 0
	for !r.sealed {
		rest := r.buf[used:]
		atEnd := r.at+int64(len(rest)) >= r.size
		h, ok := parseFrameHeader(rest, salt, r.at)
		whole := ok && len(rest) >= frameBytes(h.length)
		if !whole && !atEnd && (ok || len(rest) < frameHeaderBytes) {
			r.buf = r.buf[:copy(r.buf, rest)]
			l.readMore(out)
			return
		}
		reason := ""
		switch {
		case !ok && len(rest) == 0:
			reason = "the segment ends without a seal"
		case !ok:
			reason = "no valid frame header"
		case !whole:
			reason = "the frame is cut short"
		case checksum(saltOf(h.kind, salt), rest[frameHeaderBytes:frameHeaderBytes+h.length]) != h.payloadCRC:
			reason = "the payload's checksum does not match"
		case h.prev != l.lastCRC:
			reason = "the frame does not follow the one before it"
		case (h.kind == frameSegment) != (r.at == 0):
			reason = "a segment header out of place"
		}
		if reason != "" {
			l.invalid(reason, out)
			return
		}
		if err := l.take(h, rest[frameHeaderBytes:frameHeaderBytes+h.length]); err != nil {
			l.fail(err, out)
			return
		}
		l.lastCRC = h.payloadCRC
		r.vouched = max(r.vouched, h.durable)
		used += frameBytes(h.length)
		r.at += int64(frameBytes(h.length))
		l.last().size = r.at
	}
	l.segmentRead(out)
}

func saltOf(kind frameKind, salt uint32) uint32 {
	if kind == frameSegment {
		return 0
	}
	return salt
}

// take accepts a valid frame.
func (l *Log) take(h frameHeader, payload []byte) error {
	r := &l.recovery
	number := r.numbers[r.current]
	here := func(reason string) error {
		return &Damage{Segment: segmentName(number), From: r.at, To: r.at + int64(frameBytes(h.length)),
			After: l.Last(), Reason: reason, ValidNext: true}
	}
	switch h.kind {
	case frameSegment:
		s, err := parseSegmentHeader(payload)
		if err != nil {
			return fmt.Errorf("%s: %w", segmentName(number), err)
		}
		if s.identity.Cluster != l.cfg.Identity.Cluster || s.identity.Shard != l.cfg.Identity.Shard ||
			s.identity.Replica != l.cfg.Identity.Replica || s.number != number {
			return fmt.Errorf("%w: %s belongs to cluster %x, shard %d, replica %d, segment %d; this is cluster %x, shard %d, replica %d: check the data directory",
				ErrForeign, segmentName(number), s.identity.Cluster[:4], s.identity.Shard, s.identity.Replica, s.number,
				l.cfg.Identity.Cluster[:4], l.cfg.Identity.Shard, l.cfg.Identity.Replica)
		}
		if r.current == 0 {
			l.floor, l.floorTerm = s.lastIndex, s.lastTerm
			l.windowFirst = l.floor + 1
			l.cfg.Identity.Voters = s.identity.Voters
		}
		l.segments = append(l.segments, segment{number: number, lastIndex: s.lastIndex, header: s})
	case frameEntry:
		if len(payload) < entryFixedBytes {
			return here("an entry without its fixed part")
		}
		e := decodeEntry(slices.Clone(payload))
		index := core.Index(e.GetIndex())
		if index <= l.floor || index > l.Last()+1 {
			return here(fmt.Sprintf("entry %d in a log of %d to %d", index, l.floor+1, l.Last()))
		}
		if index <= l.Last() {
			l.refs = l.refs[:index-l.floor-1]
			l.dropWindowFrom(index)
		}
		if len(l.window) == 0 {
			l.windowFirst = index
		}
		l.window = append(l.window, e)
		l.windowBytes += int64(len(e.GetData()))
		l.refs = append(l.refs, ref{term: core.Term(e.GetTerm()), segment: uint32(number), offset: uint32(r.at), length: uint32(h.length)})
		s := l.last()
		s.lastIndex = index
		if s.header.firstEntry == 0 || index < s.header.firstEntry {
			s.header.firstEntry = index
		}
	case frameState:
		if len(payload) != stateBytes {
			return here("a hard state of the wrong size")
		}
		l.hard.Term, l.hard.Vote, l.hard.Commit = proto.Uint64(le64(payload)), proto.Uint64(le64(payload[8:])), proto.Uint64(le64(payload[16:]))
		l.hardWritten.Term, l.hardWritten.Vote, l.hardWritten.Commit = l.hard.Term, l.hard.Vote, l.hard.Commit
		l.trimRecovered()
	case frameSeal:
		r.sealed = true
	}
	return nil
}

// trimRecovered lets committed entries leave memory: they are applied from the file.
func (l *Log) trimRecovered() {
	drop := 0
	for drop < len(l.window) && l.windowBytes > l.cfg.WindowBytes && uint64(l.windowFirst)+uint64(drop) < l.hard.GetCommit() {
		l.windowBytes -= int64(len(l.window[drop].GetData()))
		drop++
	}
	if drop > 0 {
		l.window = slices.Delete(l.window, 0, drop)
		l.windowFirst += core.Index(drop)
	}
}

// invalid is where no valid frame begins. In a segment that has a successor
// this is damage; in the last one the rest decides.
func (l *Log) invalid(reason string, out *proc.Effects) {
	r := &l.recovery
	r.op.To = reason
	if r.at >= r.size {
		l.judge(nil, out)
		return
	}
	l.ask(recoverRest, disk.Op{Kind: disk.OpRead, Name: segmentName(r.numbers[r.current]),
		Offset: r.at, Length: int(r.size - r.at), To: reason}, out)
}

// judge decides between damage and a torn tail (J3) from all bytes that follow
// the last valid frame.
func (l *Log) judge(rest []byte, out *proc.Effects) {
	r := &l.recovery
	number := r.numbers[r.current]
	salt := l.cfg.Identity.salt(number)
	damage := &Damage{Segment: segmentName(number), From: r.at, To: r.at + int64(len(rest)), After: l.Last(), Reason: r.op.To}
	vouched := !l.isLast()
	for at := frameAlign; at+frameHeaderBytes <= len(rest); at += frameAlign {
		h, ok := parseFrameHeader(rest[at:], salt, r.at+int64(at))
		if !ok {
			continue
		}
		if !damage.ValidNext {
			damage.ValidNext, damage.To = true, r.at+int64(at)
		}
		vouched = vouched || h.durable > r.at
		at += padded(h.length) + frameHeaderBytes - frameAlign
	}
	if vouched {
		out.Mark(markDamage)
		l.fail(damage, out)
		return
	}
	if r.at == 0 {
		// The header was never durable: the segment was being begun.
		out.Mark(markDropSegment)
		l.ask(recoverDrop, disk.Op{Kind: disk.OpRemove, Name: segmentName(number)}, out)
		return
	}
	for _, c := range rest {
		if c != 0 {
			out.Mark(markCutTail)
			break
		}
	}
	l.segmentRead(out)
}

func (l *Log) dropped(out *proc.Effects) {
	r := &l.recovery
	r.numbers = r.numbers[:r.current]
	if len(r.numbers) == 0 {
		l.rotate(0, out)
		return
	}
	// The one before it is sealed, and durable: a successor was begun.
	r.current--
	l.rotation.sealed = true
	l.ask(recoverDir, disk.Op{Kind: disk.OpSyncDir}, out)
}

func (l *Log) segmentRead(out *proc.Effects) {
	r := &l.recovery
	if !l.isLast() {
		l.nextSegment(r.current+1, out)
		return
	}
	l.rotation.sealed = r.sealed
	name := segmentName(l.last().number)
	if r.vouched < r.at {
		l.ask(recoverTail, disk.Op{Kind: disk.OpRead, Name: name, Offset: r.vouched, Length: int(r.at - r.vouched)}, out)
		return
	}
	l.settle(out)
}

// settle cuts the tail and makes what is left durable.
func (l *Log) settle(out *proc.Effects) {
	r := &l.recovery
	name := segmentName(l.last().number)
	if r.size > r.at {
		l.ask(recoverTruncate, disk.Op{Kind: disk.OpTruncate, Name: name, Offset: r.at}, out)
		return
	}
	l.ask(recoverSync, disk.Op{Kind: disk.OpSync, Name: name}, out)
}

func (l *Log) finish(noSpace bool, out *proc.Effects) {
	s := l.last()
	l.durable = s.size
	l.reserved = max(l.cfg.SegmentBytes, s.size)
	if noSpace {
		out.Mark(markNoSpace)
		l.noSpace = true
		l.reserved = s.size
	}
	if n := l.hard.GetCommit(); core.Index(n) > l.Last() {
		// A commit index never runs ahead of what is durable with it.
		out.Mark(markDamage)
		l.fail(&Damage{Segment: segmentName(s.number), From: s.size, To: s.size, After: l.Last(),
			Reason: fmt.Sprintf("entries up to %d were committed, the log ends at %d", n, l.Last())}, out)
		return
	}
	l.recovery = recovery{}
	l.state = logOpen
}
