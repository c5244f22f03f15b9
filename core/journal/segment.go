package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
)

// A Segment is the image of a segment for who looks at it from outside of a log.
// A torn or damaged one can be looked at: each frame is judged by itself. What
// they mean together, order, gaps, tails, is for the caller to find out.
type Segment struct {
	SegmentInfo
	image []byte
	salt  uint32
}

// SegmentInfo is what the first frame of a segment says.
type SegmentInfo struct {
	Identity  Identity
	Number    uint64
	LastIndex core.Index // of the log before it
	LastTerm  core.Term
}

// UnbornBytesMax is what a newest file may hold before it is a segment.
const UnbornBytesMax = unbornBytesMax

// EntryFrameBytes is what an entry with so many bytes of data takes in a file.
func EntryFrameBytes(data int) int { return frameBytes(entryFixedBytes + data) }

// SegmentName is the name of a segment's file.
func SegmentName(number uint64) string { return segmentName(number) }

// SegmentNumber reads a number back from a name; ok is false for other files.
func SegmentNumber(name string) (number uint64, ok bool) { return segmentNumber(name) }

// ErrNoSegment is wrapped when an image does not begin with a valid segment frame.
var ErrNoSegment = errors.New("no valid segment frame")

// OpenSegment reads the first frame. The image is kept. The error wraps
// ErrNoSegment or is a *core.VersionError.
func OpenSegment(image []byte) (*Segment, error) {
	payload, _, ok := firstFrame(image, 0, 0, frameSegment)
	if !ok {
		return nil, ErrNoSegment
	}
	h, err := parseSegmentHeader(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSegment, err)
	}
	s := &Segment{image: image, salt: h.identity.salt(h.number)}
	s.SegmentInfo = SegmentInfo{Identity: h.identity, Number: h.number, LastIndex: h.lastIndex, LastTerm: h.lastTerm}
	return s, nil
}

// Salted makes a Segment of an image whose first frame cannot be read, as that
// of this owner and number.
func Salted(id Identity, number uint64, image []byte) *Segment {
	return &Segment{SegmentInfo: SegmentInfo{Identity: id, Number: number}, image: image, salt: id.salt(number)}
}

// A Frame is one valid frame of a segment. Payload aliases the image.
type Frame struct {
	Offset  int64
	End     int64 // where the next one begins
	Durable int64 // up to where the file was durable when it was written
	Prev    uint32
	Sum     uint32 // of the payload: Prev of the frame that follows
	Payload []byte
	kind    frameKind
}

// Frame reads the frame at an offset. The error says why there is none that is
// valid. whole is false if the header is valid and the rest is not.
func (s *Segment) Frame(offset int64) (f Frame, whole bool, err error) {
	if offset < 0 || offset > int64(len(s.image)) {
		return f, false, errors.New("beyond the end")
	}
	return s.Parse(s.image[offset:], offset)
}

// Parse is Frame for bytes that were read from an offset of the file.
func (s *Segment) Parse(rest []byte, offset int64) (f Frame, whole bool, err error) {
	h, ok := parseFrameHeader(rest, s.salt, offset)
	if !ok {
		return f, false, errors.New("no valid frame header")
	}
	f = Frame{Offset: offset, End: offset + int64(frameBytes(h.length)), Durable: h.durable, Prev: h.prev, Sum: h.payloadCRC, kind: h.kind}
	switch {
	case frameBytes(h.length) > len(rest):
		return f, false, errors.New("the frame is cut short")
	case checksum(saltOf(h.kind, s.salt), rest[frameHeaderBytes:frameHeaderBytes+h.length]) != h.payloadCRC:
		return f, false, errors.New("the payload's checksum does not match")
	case !cleanPadding(rest, h.length):
		return f, false, errors.New("the padding is not zero")
	case (h.kind == frameSegment) != (offset == 0):
		return f, false, errors.New("a segment frame out of place")
	}
	f.Payload = rest[frameHeaderBytes : frameHeaderBytes+h.length]
	switch {
	case h.kind == frameEntry && h.length < entryFixedBytes,
		h.kind == frameState && h.length != stateBytes, h.kind == frameSeal && h.length != sealBytes,
		(h.kind == frameRestore || h.kind == frameAnew) && h.length < restoreFixed:
		return f, false, fmt.Errorf("a payload of %d bytes", h.length)
	}
	return f, true, nil
}

// Next looks for a valid frame header above an offset.
func (s *Segment) Next(offset int64) (at int64, durable int64, ok bool) {
	for at = (offset + frameAlign) &^ (frameAlign - 1); at+frameHeaderBytes <= int64(len(s.image)); at += frameAlign {
		if h, ok := parseFrameHeader(s.image[at:], s.salt, at); ok {
			return at, h.durable, true
		}
	}
	return 0, 0, false
}

// Kind names what a frame is.
func (f *Frame) Kind() string {
	return [...]string{frameSegment: "segment", frameEntry: "entry", frameState: "state", frameSeal: "seal", frameRestore: "restore", frameAnew: "restore"}[f.kind]
}

// An Entry is one entry of the log. Data aliases the image.
type Entry struct {
	Term  core.Term
	Index core.Index
	Type  byte // Raft's
	Data  []byte
}

// A State is Raft's hard state.
type State struct {
	Term   core.Term
	Vote   uint64
	Commit core.Index
}

// Entry returns what an entry's frame holds.
func (f *Frame) Entry() (e Entry, ok bool) {
	if f.kind != frameEntry {
		return e, false
	}
	return Entry{Term: core.Term(le64(f.Payload)), Index: core.Index(le64(f.Payload[8:])), Type: f.Payload[16], Data: f.Payload[entryFixedBytes:]}, true
}

// State returns what a state's frame holds.
func (f *Frame) State() (s State, ok bool) {
	if f.kind != frameState {
		return s, false
	}
	return State{Term: core.Term(le64(f.Payload)), Vote: le64(f.Payload[8:]), Commit: core.Index(le64(f.Payload[16:]))}, true
}

// Seal returns the last entry that a seal names.
func (f *Frame) Seal() (last core.Index, ok bool) {
	if f.kind != frameSeal {
		return 0, false
	}
	return core.Index(le64(f.Payload)), true
}

// Restore returns the entry after which the log begins anew.
func (f *Frame) Restore() (index core.Index, term core.Term, ok bool) {
	if f.kind != frameRestore && f.kind != frameAnew {
		return 0, 0, false
	}
	return core.Index(le64(f.Payload)), core.Term(le64(f.Payload[8:])), true
}

// An Image is a segment being made at once, as a restored log needs it. Its
// frames vouch for all before them, so it must be synced before a log is opened
// over it.
type Image struct {
	bytes []byte
	salt  uint32
	last  uint32
	index core.Index
}

// NewImage begins a segment.
func NewImage(info SegmentInfo, state State) *Image {
	h := segmentHeader{identity: info.Identity, number: info.Number, lastIndex: info.LastIndex, lastTerm: info.LastTerm}
	m := &Image{salt: info.Identity.salt(info.Number), index: info.LastIndex}
	m.frame(frameSegment, h.encode(), nil)
	m.State(state)
	return m
}

func (m *Image) frame(kind frameKind, head, body []byte) {
	at := len(m.bytes)
	m.bytes = appendFrame(m.bytes, m.salt, frameHeader{kind: kind, offset: int64(at), durable: int64(at), prev: m.last}, head, body)
	m.last = binary.LittleEndian.Uint32(m.bytes[at+4:])
}

// State adds a hard state.
func (m *Image) State(s State) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(s.Term))
	b = binary.LittleEndian.AppendUint64(b, s.Vote)
	m.frame(frameState, binary.LittleEndian.AppendUint64(b, uint64(s.Commit)), nil)
}

// Entry adds an entry.
func (m *Image) Entry(e Entry) {
	var head [entryFixedBytes]byte
	binary.LittleEndian.PutUint64(head[:], uint64(e.Term))
	binary.LittleEndian.PutUint64(head[8:], uint64(e.Index))
	head[16] = e.Type
	m.frame(frameEntry, head[:], e.Data)
	m.index = e.Index
}

// Seal ends a segment that another one follows.
func (m *Image) Seal() {
	m.frame(frameSeal, binary.LittleEndian.AppendUint64(nil, uint64(m.index)), nil)
}

// Bytes returns the image.
func (m *Image) Bytes() []byte { return m.bytes }
