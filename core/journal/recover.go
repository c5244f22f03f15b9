package journal

import (
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

type recoverStep uint8

const (
	recoverList      recoverStep = iota
	recoverNewest                // size of the newest file
	recoverHead                  // its segment header, or all that may be unborn
	recoverImage                 // all of it, when it has no valid header
	recoverStat                  // size of a segment
	recoverRead                  // its bytes, piece by piece
	recoverRest                  // all of the rest after an invalid frame
	recoverTail                  // reading what is to be written again
	recoverRewrite               // writing it again (J4)
	recoverTruncate              // cutting the tail
	recoverSync                  // making all of it durable
	recoverDrop                  // removing a file that never became a segment
	recoverDir                   // making the names durable
	recoverReserve               // room for appends
	recoverForget                // noting that the log is forgotten
	recoverForgetDir             // and that durably
)

// recovery reads segment after segment and keeps one frame's worth of bytes.
type recovery struct {
	step     recoverStep
	op       disk.Op
	attempts int

	numbers []uint64 // found in the directory, without the unborn one
	unborn  uint64   // number of a file that never became a segment, or 0
	current int      // in numbers
	size    int64
	buf     []byte // bytes from at on
	at      int64  // offset of the next frame
	before  int64  // offset of the frame before it
	sealed  bool   // the segment's seal was seen
	vouched int64  // highest durable of a frame of this segment
	reason  string // why there is no valid frame at at
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
	case recoverNewest:
		r.size = res.Size
		l.ask(recoverHead, disk.Op{Kind: disk.OpRead, Name: r.op.Name, Length: unbornBytesMax}, out)
	case recoverHead:
		l.readHead(res.Data, out)
	case recoverImage:
		l.judgeHead(res.Data, out)
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
		l.dropUnborn(out)
	case recoverDrop:
		l.ask(recoverDir, disk.Op{Kind: disk.OpSyncDir}, out)
	case recoverDir:
		l.reserve(out)
	case recoverReserve:
		l.finish(noSpace, out)
	case recoverForget:
		l.ask(recoverForgetDir, disk.Op{Kind: disk.OpSyncDir}, out)
	case recoverForgetDir:
		l.forgotten = true
		out.Mark(markForgotten)
		l.rotate(0, out)
	}
}

func (l *Log) listed(names []string, out *proc.Effects) {
	r := &l.recovery
	for _, name := range names {
		if number, ok := segmentNumber(name); ok {
			r.numbers = append(r.numbers, number)
		}
		l.forgotten = l.forgotten || name == ForgottenName
	}
	slices.Sort(r.numbers)
	for i := 1; i < len(r.numbers); i++ {
		if r.numbers[i] != r.numbers[i-1]+1 {
			l.damaged(&Damage{Segment: segmentName(r.numbers[i-1] + 1), Reason: "the file is missing"}, out)
			return
		}
	}
	if len(r.numbers) == 0 {
		l.begins(out)
		return
	}
	l.ask(recoverNewest, disk.Op{Kind: disk.OpStat, Name: segmentName(r.numbers[len(r.numbers)-1])}, out)
}

// readHead tells whether the newest file is a segment. It is one from the moment
// that its first write stands in it, which is submitted when the segment before
// it is sealed and durable. Until then the file is unborn: created and reserved,
// while the segment before it is still being written.
func (l *Log) readHead(head []byte, out *proc.Effects) {
	r := &l.recovery
	number := r.numbers[len(r.numbers)-1]
	payload, rest, ok := firstFrame(head, 0, 0, frameSegment)
	if ok {
		if _, err := l.own(payload, number); err != nil {
			l.fail(err, out)
			return
		}
		r.at = int64(len(head) - len(rest))
		_, _, ok = firstFrame(rest, l.cfg.Identity.salt(number), r.at, frameState)
	}
	if ok {
		l.readFirst(out)
		return
	}
	l.ask(recoverImage, disk.Op{Kind: disk.OpRead, Name: r.op.Name, Offset: r.at, Length: int(r.size - r.at)}, out)
}

// firstFrame takes a valid frame of a kind off b.
func firstFrame(b []byte, salt uint32, offset int64, kind frameKind) (payload, rest []byte, ok bool) {
	h, ok := parseFrameHeader(b, salt, offset)
	if !ok || h.kind != kind || len(b) < frameBytes(h.length) {
		return nil, nil, false
	}
	payload = b[frameHeaderBytes : frameHeaderBytes+h.length]
	ok = checksum(salt, payload) == h.payloadCRC && cleanPadding(b, h.length)
	return payload, b[frameBytes(h.length):], ok
}

// judgeHead decides whether a newest file without a valid first write is unborn
// or damaged, from its bytes behind what is valid.
func (l *Log) judgeHead(rest []byte, out *proc.Effects) {
	r := &l.recovery
	newest := len(r.numbers) - 1
	number := r.numbers[newest]
	damage := &Damage{Segment: segmentName(number), From: r.at, To: r.at + int64(len(rest)), Reason: "the segment's first frames are not valid"}
	vouched := l.scan(damage, rest, l.cfg.Identity.salt(number))
	// Appends wait until the first write is durable, so what is longer had one. So
	// does the removal of older segments, so what stands alone had one.
	if vouched || r.size > unbornBytesMax || newest == 0 && number > 1 {
		l.damaged(damage, out)
		return
	}
	r.numbers, r.unborn = r.numbers[:newest], number
	if newest == 0 {
		l.dropUnborn(out)
		return
	}
	l.readFirst(out)
}

// dropUnborn removes the unborn file, once what is before it is known to be sound.
func (l *Log) dropUnborn(out *proc.Effects) {
	if n := l.recovery.unborn; n != 0 {
		out.Mark(markDropSegment)
		l.ask(recoverDrop, disk.Op{Kind: disk.OpRemove, Name: segmentName(n)}, out)
		return
	}
	l.ask(recoverDir, disk.Op{Kind: disk.OpSyncDir}, out)
}

func (l *Log) damaged(d *Damage, out *proc.Effects) {
	out.Mark(markDamage)
	if l.cfg.Peers && l.state == logRecovering {
		l.state, l.damage = logDamaged, d
		return
	}
	l.fail(d, out)
}

func (l *Log) readFirst(out *proc.Effects) {
	l.firstSegment = l.recovery.numbers[0]
	l.nextSegment(0, out)
}

func (l *Log) nextSegment(i int, out *proc.Effects) {
	r := &l.recovery
	r.current, r.at, r.before, r.buf, r.sealed, r.vouched = i, 0, 0, r.buf[:0], false, 0
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
	shift := func() { r.buf = r.buf[:copy(r.buf, r.buf[used:])] }
	for !r.sealed {
		rest := r.buf[used:]
		atEnd := r.at+int64(len(rest)) >= r.size
		h, ok := parseFrameHeader(rest, salt, r.at)
		whole := ok && len(rest) >= frameBytes(h.length)
		if !whole && !atEnd && (ok || len(rest) < frameHeaderBytes) {
			shift()
			l.readMore(out)
			return
		}
		if r.reason = l.wrong(h, rest, ok, whole, salt); r.reason != "" {
			shift()
			l.invalid(out)
			return
		}
		if err := l.take(h, rest[frameHeaderBytes:frameHeaderBytes+h.length]); err != nil {
			if d, is := err.(*Damage); is {
				l.damaged(d, out)
			} else {
				l.fail(err, out)
			}
			return
		}
		l.lastCRC = h.payloadCRC
		r.vouched = max(r.vouched, h.durable)
		used += frameBytes(h.length)
		r.before = r.at
		r.at += int64(frameBytes(h.length))
		l.last().size = r.at
	}
	l.segmentRead(out)
}

// wrong says why no valid frame begins with rest, or "".
func (l *Log) wrong(h frameHeader, rest []byte, ok, whole bool, salt uint32) string {
	switch {
	case !ok && len(rest) == 0:
		return "the segment ends without a seal"
	case !ok:
		return "no valid frame header"
	case !whole:
		return "the frame is cut short"
	case checksum(saltOf(h.kind, salt), rest[frameHeaderBytes:frameHeaderBytes+h.length]) != h.payloadCRC:
		return "the payload's checksum does not match"
	case !cleanPadding(rest, h.length):
		return "the padding is not zero"
	case h.prev != l.lastCRC:
		return "the frame does not follow the one before it"
	case (h.kind == frameSegment) != (l.recovery.at == 0):
		return "a segment header out of place"
	}
	return ""
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
		s, err := l.own(payload, number)
		if err != nil {
			return err
		}
		if r.current == 0 {
			l.floor, l.floorTerm = s.lastIndex, s.lastTerm
			l.windowFirst = l.floor + 1
			l.cfg.Identity.Voters = s.identity.Voters
		}
		if r.current > 0 && (s.lastIndex != l.last().lastIndex || s.lastTerm != l.last().lastTerm) || number == 1 && s.lastIndex > 0 {
			return here(fmt.Sprintf("the segment continues entry %d.%d, which is not the last one before it", s.lastTerm, s.lastIndex))
		}
		if s.members.Conf != nil && s.members.Index >= l.members.Index {
			l.members = s.members
		}
		l.segments = append(l.segments, segment{number: number, lastIndex: s.lastIndex, lastTerm: s.lastTerm, header: s})
	case frameEntry:
		if len(payload) < entryFixedBytes {
			return here("an entry without its fixed part")
		}
		return l.takeEntry(h, decodeEntry(slices.Clone(payload)), here)
	case frameState:
		if len(payload) != stateBytes {
			return here("a hard state of the wrong size")
		}
		l.hard.Term, l.hard.Vote, l.hard.Commit = proto.Uint64(le64(payload)), proto.Uint64(le64(payload[8:])), proto.Uint64(le64(payload[16:]))
		l.hardWritten.Term, l.hardWritten.Vote, l.hardWritten.Commit = l.hard.Term, l.hard.Vote, l.hard.Commit
		l.trimRecovered()
	case frameRestore, frameAnew:
		var err error
		if len(payload) < restoreFixed {
			return here("a place to begin anew that cannot be read")
		}
		index, term := core.Index(le64(payload)), core.Term(le64(payload[8:]))
		members := Membership{Index: index, Conf: &pb.ConfState{}}
		if h.kind == frameAnew {
			members, err = parseMembership(payload[restoreFixed:])
		} else {
			err = proto.Unmarshal(payload[restoreFixed:], members.Conf)
		}
		if err != nil {
			return here("a place to begin anew that cannot be read")
		}
		if index == 0 {
			return here("a place to begin anew that is none")
		}
		l.beginAnew(index, term, members)
		l.last().lastIndex, l.last().lastTerm = index, term
	case frameSeal:
		if len(payload) != sealBytes || core.Index(le64(payload)) != l.last().lastIndex {
			return here(fmt.Sprintf("a seal that does not name entry %d, the last one", l.last().lastIndex))
		}
		r.sealed = true
	}
	return nil
}

// own reads a segment header and refuses that of another log.
func (l *Log) own(payload []byte, number uint64) (segmentHeader, error) {
	s, err := parseSegmentHeader(payload)
	mine := &l.cfg.Identity
	switch {
	case err != nil:
		return s, fmt.Errorf("%s: %w", segmentName(number), err)
	case s.identity.Cluster != mine.Cluster || s.identity.Shard != mine.Shard || s.identity.Replica != mine.Replica || s.number != number:
		return s, fmt.Errorf("%w: %s belongs to cluster %x, shard %d, replica %d, segment %d; this is cluster %x, shard %d, replica %d: check the data directory",
			ErrForeign, segmentName(number), s.identity.Cluster[:4], s.identity.Shard, s.identity.Replica, s.number,
			mine.Cluster[:4], mine.Shard, mine.Replica)
	}
	return s, nil
}

// takeEntry adds an entry and drops those that it replaces.
func (l *Log) takeEntry(h frameHeader, e *pb.Entry, here func(string) error) error {
	r := &l.recovery
	index := core.Index(e.GetIndex())
	if index == 0 || index > l.Last()+1 {
		return here(fmt.Sprintf("entry %d in a log of %d to %d", index, l.floor+1, l.Last()))
	}
	l.last().lastIndex, l.last().lastTerm = index, core.Term(e.GetTerm())
	if err := l.takeChange(e); err != nil {
		return here(err.Error())
	}
	if index <= l.floor {
		// It replaced an entry of a segment that is gone, and was applied since.
		if index == l.floor {
			l.floorTerm = core.Term(e.GetTerm())
		}
		l.refs, l.window, l.windowBytes, l.windowFirst = l.refs[:0], l.window[:0], 0, l.floor+1
		return nil
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
	l.refs = append(l.refs, ref{term: core.Term(e.GetTerm()), segment: uint32(r.numbers[r.current]),
		offset: uint32(r.at), length: uint32(h.length)})
	return nil
}

// takeChange remembers an entry that changes the group.
func (l *Log) takeChange(e *pb.Entry) error {
	if e.GetType() != pb.EntryNormal {
		if _, err := ParseChange(e); err != nil {
			return err
		}
	}
	l.noteChange(e)
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
func (l *Log) invalid(out *proc.Effects) {
	r := &l.recovery
	if r.at >= r.size {
		l.judge(nil, out)
		return
	}
	l.ask(recoverRest, disk.Op{Kind: disk.OpRead, Name: segmentName(r.numbers[r.current]),
		Offset: r.at, Length: int(r.size - r.at)}, out)
}

// judge decides between damage and a torn tail (J3) from all bytes that follow
// the last valid frame.
func (l *Log) judge(rest []byte, out *proc.Effects) {
	r := &l.recovery
	number := r.numbers[r.current]
	damage := &Damage{Segment: segmentName(number), From: r.at, To: r.at + int64(len(rest)), After: l.Last(), Reason: r.reason}
	salt := l.cfg.Identity.salt(number)
	vouched := l.scan(damage, rest, salt)
	if h, ok := parseFrameHeader(rest, salt, r.at); ok && h.prev != l.lastCRC && h.durable > r.before {
		// It vouches for what should be before it: a write there was lost.
		vouched = true
		damage.From, damage.To, damage.ValidNext = r.before, r.at, true
	}
	if vouched || !l.isLast() || r.at == 0 { // a successor is begun only when all of it is durable
		l.damaged(damage, out)
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

// scan looks in the bytes from d.From on for frames that vouch for that place,
// and ends d where the first valid frame begins.
func (l *Log) scan(d *Damage, rest []byte, salt uint32) (vouched bool) {
	for at := frameAlign; at+frameHeaderBytes <= len(rest); at += frameAlign {
		h, ok := parseFrameHeader(rest[at:], salt, d.From+int64(at))
		if !ok {
			continue
		}
		if !d.ValidNext {
			d.ValidNext, d.To = true, d.From+int64(at)
		}
		vouched = vouched || h.durable > d.From
		at += frameBytes(h.length) - frameAlign
	}
	return vouched
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

// reserve sets space aside for appends, unless the next one begins a segment.
func (l *Log) reserve(out *proc.Effects) {
	switch {
	case len(l.segments) == 0:
		l.begins(out)
	case l.rotation.sealed:
		l.finish(false, out)
	default:
		l.ask(recoverReserve, disk.Op{Kind: disk.OpReserve, Name: segmentName(l.last().number),
			Offset: max(l.cfg.SegmentBytes, l.last().size)}, out)
	}
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
	if l.hard.GetCommit() < uint64(l.restored) { // the frame that said so was torn off
		l.hard.Commit = proto.Uint64(uint64(l.restored))
	}
	if n := l.hard.GetCommit(); core.Index(n) > l.Last() {
		// A commit index never runs ahead of what is durable with it.
		l.damaged(&Damage{Segment: segmentName(s.number), From: s.size, To: s.size, After: l.Last(),
			Reason: fmt.Sprintf("entries up to %d were committed, the log ends at %d", n, l.Last())}, out)
		return
	}
	l.recovery = recovery{}
	l.state = logOpen
}
