package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"actordb/core"
)

// A segment is a file of frames, each at a multiple of frameAlign.
//
//	0   u32  header CRC: CRC-32C of bytes 4 to 40, begun with the segment's salt
//	4   u32  payload CRC: CRC-32C of the payload, begun with the segment's salt
//	8   u32  payload bytes
//	12  u8   kind, 3 zero
//	16  u64  offset of this frame in its file
//	24  u64  durable: every byte of this file below it was durable when this frame was written
//	32  u32  payload CRC of the frame before, 0 for the first
//	36  u32  zero
//	40       payload, zeros up to a multiple of 8
//
//	segment  u32 format, u32 shard, [16] cluster, u64 replica, u64 number, u64 last index before, u64 its term, u32 n, u64 voters each, then nothing or a membership (members.go)
//	entry    u64 term, u64 index, u8 raft type, 7 zero, data
//	state    u64 term, u64 vote, u64 commit        (Raft's HardState)
//	seal     u64 last index                        (the segment is full; the next one follows)
//	restore  u64 index, u64 term, Raft's ConfState (kind 5) or a membership (kind 6) (the log begins anew after this entry; all before is void)
//
// The salt makes a frame of another segment, shard or node invalid here, and
// the offset one that was written to the wrong place. The salt of the segment
// frame itself is zero, so that a file of another node is recognised as such.
type frameKind uint8

const (
	frameSegment frameKind = 1
	frameEntry   frameKind = 2
	frameState   frameKind = 3
	frameSeal    frameKind = 4
	frameRestore frameKind = 5 // written before groups could change
	frameAnew    frameKind = 6
)

const (
	frameHeaderBytes = 40
	frameAlign       = 8
	entryFixedBytes  = 24
	stateBytes       = 24
	sealBytes        = 8
	restoreFixed     = 16
	segmentFixed     = 60 // bytes of a segment header without voters
	framePayloadMax  = entryFixedBytes + BlockBytesMax
	formatVersion    = 1
	// unbornBytesMax is what a file may hold before it is a segment: its first
	// write, with the segment frame and a hard state.
	unbornBytesMax = 2*frameHeaderBytes + segmentFixed + 8*votersMax + MembershipBytesMax + frameAlign + stateBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(salt uint32, b []byte) uint32 { return crc32.Update(salt, castagnoli, b) }

func padded(n int) int { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// frameBytes is what a payload of n bytes takes in the file.
func frameBytes(n int) int { return frameHeaderBytes + padded(n) }

type frameHeader struct {
	payloadCRC uint32
	length     int
	kind       frameKind
	offset     int64
	durable    int64
	prev       uint32
}

func putFrameHeader(b []byte, salt uint32, h frameHeader) {
	le := binary.LittleEndian
	le.PutUint32(b[4:], h.payloadCRC)
	le.PutUint32(b[8:], uint32(h.length))
	le.PutUint32(b[12:], uint32(h.kind))
	le.PutUint64(b[16:], uint64(h.offset))
	le.PutUint64(b[24:], uint64(h.durable))
	le.PutUint32(b[32:], h.prev)
	le.PutUint32(b[36:], 0)
	le.PutUint32(b[0:], checksum(salt, b[4:frameHeaderBytes]))
}

// parseFrameHeader reports whether b starts with a valid header for this offset.
func parseFrameHeader(b []byte, salt uint32, offset int64) (frameHeader, bool) {
	if len(b) < frameHeaderBytes {
		return frameHeader{}, false
	}
	le := binary.LittleEndian
	h := frameHeader{
		payloadCRC: le.Uint32(b[4:]), length: int(le.Uint32(b[8:])), kind: frameKind(b[12]),
		offset: int64(le.Uint64(b[16:])), durable: int64(le.Uint64(b[24:])), prev: le.Uint32(b[32:]),
	}
	if h.offset != offset || h.kind < frameSegment || h.kind > frameAnew || h.length > framePayloadMax || h.durable > offset {
		return frameHeader{}, false
	}
	if h.kind == frameSegment {
		salt = 0
	}
	return h, le.Uint32(b) == checksum(salt, b[4:frameHeaderBytes])
}

// cleanPadding reports whether the bytes between a payload and the next frame
// are the zeros that were written: no checksum covers them, and damage is
// damage wherever it shows.
func cleanPadding(frame []byte, length int) bool {
	for _, b := range frame[frameHeaderBytes+length : frameBytes(length)] {
		if b != 0 {
			return false
		}
	}
	return true
}

// appendFrame adds a frame whose payload is head followed by body.
func appendFrame(dst []byte, salt uint32, h frameHeader, head, body []byte) []byte {
	if h.kind == frameSegment {
		salt = 0
	}
	h.length = len(head) + len(body)
	h.payloadCRC = checksum(checksum(salt, head), body)
	at := len(dst)
	dst = append(dst, make([]byte, frameHeaderBytes)...)
	putFrameHeader(dst[at:], salt, h)
	dst = append(dst, head...)
	dst = append(dst, body...)
	for len(dst)-at < frameBytes(h.length) {
		dst = append(dst, 0)
	}
	return dst
}

// An Identity says whose log this is. A log is opened only by its owner.
type Identity struct {
	Cluster [16]byte
	Shard   core.ShardID
	Replica uint64   // Raft id
	Voters  []uint64 // of the group when the log was created
}

func (id Identity) salt(segment uint64) uint32 {
	var b [36]byte
	copy(b[:], id.Cluster[:])
	binary.LittleEndian.PutUint32(b[16:], uint32(id.Shard))
	binary.LittleEndian.PutUint64(b[20:], id.Replica)
	binary.LittleEndian.PutUint64(b[28:], segment)
	return crc32.Checksum(b[:], castagnoli)
}

type segmentHeader struct {
	identity  Identity
	number    uint64
	lastIndex core.Index // of the log when the segment was begun
	lastTerm  core.Term
	members   Membership // as of an entry that was applied by then; no Conf: not told
}

func (s *segmentHeader) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, formatVersion)
	b = le.AppendUint32(b, uint32(s.identity.Shard))
	b = append(b, s.identity.Cluster[:]...)
	b = le.AppendUint64(b, s.identity.Replica)
	b = le.AppendUint64(b, s.number)
	b = le.AppendUint64(b, uint64(s.lastIndex))
	b = le.AppendUint64(b, uint64(s.lastTerm))
	b = le.AppendUint32(b, uint32(len(s.identity.Voters)))
	for _, v := range s.identity.Voters {
		b = le.AppendUint64(b, v)
	}
	if s.members.Conf != nil {
		b = s.members.encode(b)
	}
	return b
}

func parseSegmentHeader(b []byte) (s segmentHeader, err error) {
	le := binary.LittleEndian
	if len(b) < segmentFixed {
		return s, errors.New("segment header too short")
	}
	if v := le.Uint32(b); v != formatVersion {
		return s, &core.VersionError{Place: "the segment", Found: uint64(v), Reads: formatVersion}
	}
	s.identity.Shard = core.ShardID(le.Uint32(b[4:]))
	copy(s.identity.Cluster[:], b[8:])
	s.identity.Replica = le.Uint64(b[24:])
	s.number = le.Uint64(b[32:])
	s.lastIndex = core.Index(le.Uint64(b[40:]))
	s.lastTerm = core.Term(le.Uint64(b[48:]))
	n := int(le.Uint32(b[56:]))
	if n > votersMax || len(b) < segmentFixed+8*n {
		return s, fmt.Errorf("segment header lists %d voters in %d bytes", n, len(b))
	}
	for i := range n {
		s.identity.Voters = append(s.identity.Voters, le.Uint64(b[segmentFixed+8*i:]))
	}
	if rest := b[segmentFixed+8*n:]; len(rest) > 0 {
		s.members, err = parseMembership(rest)
	}
	return s, err
}

const segmentSuffix = ".journal"

// segmentName is ten digits and the suffix. Every operation on a file names it.
func segmentName(number uint64) string {
	b := []byte("0000000000" + segmentSuffix)
	for i := 9; number > 0 && i >= 0; i-- {
		b[i] += byte(number % 10)
		number /= 10
	}
	return string(b)
}

// segmentNumber reads a number back from a name; ok is false for other files.
func segmentNumber(name string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	if !found || len(digits) != 10 {
		return 0, false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		number = number*10 + uint64(c-'0')
	}
	return number, true
}

// A Damage is truth that cannot be read back: where it stands and what it
// held. The log refuses to open, or to serve the entry, until the bytes are
// mended (see Mend) or the file is restored.
type Damage struct {
	Segment   string
	From, To  int64      // bytes of the segment that cannot be trusted
	After     core.Index // the last entry before them
	Reason    string
	ValidNext bool // a valid frame begins at To
}

func (d *Damage) Error() string {
	return fmt.Sprintf("journal damaged: %s bytes %d to %d (after entry %d): %s; mend it from a replica or restore the file from a backup",
		d.Segment, d.From, d.To, d.After, d.Reason)
}

// ErrForeign is wrapped when a log belongs to another node, shard or cluster.
var ErrForeign = errors.New("journal of another replica")
