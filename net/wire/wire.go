// Package wire is the form in which commands and answers travel between
// clients, gateways and shards: frames of many, checked as a whole.
//
//	0   u32  magic "ADBF", little-endian as all fixed integers
//	4   u8   version, u8 kind (1 commands, 2 answers, 3 and 4 between replicas, 8 follows, 9 blocks, 10 asks, 11 replies), u16 zero
//	8   u32  items
//	12  u32  body bytes
//	16  u32  CRC-32C of bytes 4 to 16 and the body
//	20       body
//
//	command  [16] session  u number  u number−acked  u8 kind  u expected+1 (0: any)  s actor  s principal  s type  b payload
//	         u n, events: s type  u version  z event time  b payload  b personal
//	answer   [16] session  u number  u8 kind  u8 status  u code  s detail  u seq  u count  z timestamp  b state
//
// u is an unsigned varint, z a zig-zag one, s a length byte and text, b a
// varint length and bytes.
//
// Decoding never panics and never allocates by what a length field claims. The
// decoded strings and slices alias the frame, which therefore must not change.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unsafe"

	"actordb/core"
)

// Kind says what a frame holds.
type Kind uint8

const (
	Commands Kind = 1
	Answers  Kind = 2
	Follows  Kind = 8
	Blocks   Kind = 9
)

const (
	magic       = 0x46424441
	version     = 1
	headerBytes = 20
)

func (k Kind) known() bool {
	return k == Commands || k == Answers || k >= Follows && k <= Replies
}

// ErrFrame is wrapped by every decoding error. A cut-off frame gives one too:
// the connection broke, and its sender will send again.
var ErrFrame = errors.New("bad frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Writer builds frames. The zero value is ready.
type Writer struct {
	buf   []byte
	count uint32
	usual int // bytes of the frame before: the next one may be as large
}

// Count is the number of items so far, Bytes the size.
func (w *Writer) Count() int { return int(w.count) }
func (w *Writer) Bytes() int { return len(w.buf) }

// Finish returns the frame and gives it away; the writer is empty again.
func (w *Writer) Finish(kind Kind) []byte {
	b := w.buf
	if b == nil {
		b = make([]byte, headerBytes)
	}
	binary.LittleEndian.PutUint32(b, magic)
	b[4], b[5], b[6], b[7] = version, byte(kind), 0, 0
	binary.LittleEndian.PutUint32(b[8:], w.count)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-headerBytes))
	binary.LittleEndian.PutUint32(b[16:], frameSum(b))
	w.buf, w.count, w.usual = nil, 0, len(b)
	return b
}

func frameSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[4:16], castagnoli), castagnoli, b[headerBytes:])
}

func (w *Writer) start() []byte {
	w.count++
	if w.buf == nil {
		w.buf = make([]byte, headerBytes, max(128, w.usual+w.usual/32+64))
	}
	return w.buf
}

// Command adds a command.
func (w *Writer) Command(c *core.Command) {
	d := w.start()
	d = append(d, c.Session[:]...)
	d = binary.AppendUvarint(d, uint64(c.Number))
	d = binary.AppendUvarint(d, uint64(c.Number-c.AckedBelow))
	d = append(d, byte(c.Kind))
	d = binary.AppendUvarint(d, uint64(c.Expected+1)) // AnySeq wraps to 0
	d = appendText(d, string(c.Actor))
	d = appendText(d, string(c.Principal))
	d = appendText(d, c.Type)
	d = appendBytes(d, c.Payload)
	d = binary.AppendUvarint(d, uint64(len(c.Events)))
	for i := range c.Events {
		e := &c.Events[i]
		d = appendText(d, e.Type)
		d = binary.AppendUvarint(d, uint64(e.Version))
		d = binary.AppendVarint(d, int64(e.EventTime))
		d = appendBytes(d, e.Payload)
		d = appendBytes(d, e.Personal)
	}
	w.buf = d
}

// Answer adds an answer.
func (w *Writer) Answer(a *core.Answer) {
	d := w.start()
	d = append(d, a.Session[:]...)
	d = binary.AppendUvarint(d, uint64(a.Number))
	d = append(d, byte(a.Kind), byte(a.Status))
	d = binary.AppendUvarint(d, uint64(a.Code))
	d = appendText(d, a.Detail)
	d = binary.AppendUvarint(d, uint64(a.Seq))
	d = binary.AppendUvarint(d, uint64(a.Count))
	d = binary.AppendVarint(d, int64(a.Timestamp))
	w.buf = appendBytes(d, a.State)
}

func appendText(d []byte, s string) []byte {
	core.Assert(len(s) <= 255, "text of %d bytes on the wire", len(s))
	return append(append(d, byte(len(s))), s...)
}

func appendBytes(d, b []byte) []byte {
	return append(binary.AppendUvarint(d, uint64(len(b))), b...)
}

// A Reader takes a frame apart.
type Reader struct {
	Kind Kind
	left uint32
	b    []byte
	at   int
	err  error
}

// Open checks a frame of commands, answers, follows, blocks, asks or replies as a whole.
func Open(frame []byte) (Reader, error) {
	r, err := open(frame)
	if err == nil && !r.Kind.known() {
		return Reader{}, fmt.Errorf("%w: kind %d", ErrFrame, r.Kind)
	}
	return r, err
}

func open(frame []byte) (Reader, error) {
	le := binary.LittleEndian
	switch {
	case len(frame) < headerBytes:
		return Reader{}, fmt.Errorf("%w: %d bytes, a header has %d", ErrFrame, len(frame), headerBytes)
	case len(frame) > core.FrameBytesMax:
		return Reader{}, fmt.Errorf("%w: %d bytes, the limit is %d: send fewer commands at once", ErrFrame, len(frame), core.FrameBytesMax)
	case le.Uint32(frame) != magic:
		return Reader{}, fmt.Errorf("%w: it does not start with the magic number", ErrFrame)
	case frame[4] != version:
		return Reader{}, fmt.Errorf("%w: version %d, this program speaks %d", ErrFrame, frame[4], version)
	case int(le.Uint32(frame[12:])) != len(frame)-headerBytes:
		return Reader{}, fmt.Errorf("%w: body of %d bytes announced, %d there", ErrFrame, le.Uint32(frame[12:]), len(frame)-headerBytes)
	case le.Uint32(frame[16:]) != frameSum(frame):
		return Reader{}, fmt.Errorf("%w: checksum", ErrFrame)
	case le.Uint32(frame[8:]) > core.FrameCommandsMax:
		return Reader{}, fmt.Errorf("%w: %d items, the limit is %d", ErrFrame, le.Uint32(frame[8:]), core.FrameCommandsMax)
	}
	return Reader{Kind: Kind(frame[5]), left: le.Uint32(frame[8:]), b: frame, at: headerBytes}, nil
}

// Err is the first error met.
func (r *Reader) Err() error { return r.err }

// Len is how many items are left.
func (r *Reader) Len() int { return int(r.left) }

func (r *Reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: byte %d: %s", ErrFrame, r.at, what)
		r.left = 0
	}
}

// more counts an item off; at the end it checks that no bytes are left over.
func (r *Reader) more() bool {
	if r.err != nil {
		return false
	}
	if r.left == 0 {
		if r.at != len(r.b) {
			r.fail("bytes left over")
		}
		return false
	}
	r.left--
	return true
}

// take and the readers below go on after an error, from where it was met: what they
// return then is not looked at. That leaves one question less for each field.
func (r *Reader) take(n uint64, what string) []byte {
	at := r.at
	if n > uint64(len(r.b)-at) {
		r.fail(what + " ends past the frame")
		return nil
	}
	r.at = at + int(n)
	return r.b[at:r.at:r.at]
}

func (r *Reader) byte(what string) byte {
	if r.at < len(r.b) {
		r.at++
		return r.b[r.at-1]
	}
	r.fail(what + " ends past the frame")
	return 0
}

func (r *Reader) uvarint(what string) uint64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 { // most are small
		r.at++
		return uint64(r.b[r.at-1])
	}
	return r.longUvarint(what)
}

func (r *Reader) longUvarint(what string) uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail(what + " is no varint")
		return 0
	}
	r.at += n
	return v
}

func (r *Reader) varint(what string) int64 {
	v, n := binary.Varint(r.b[r.at:])
	if n <= 0 {
		r.fail(what + " is no varint")
		return 0
	}
	r.at += n
	return v
}

func (r *Reader) version() uint16 {
	v := r.uvarint("event version")
	if v > 0xffff {
		r.fail("event version over 65535")
	}
	return uint16(v)
}

// text aliases the frame, which must not change: it saves an allocation for
// each id of each command.
func (r *Reader) text(what string) string {
	b := r.take(uint64(r.byte(what)), what)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (r *Reader) bytes(what string) []byte {
	return r.take(r.uvarint(what), what)
}

// Command reads the next command into c. It returns false at the end and on an
// error (see Err).
func (r *Reader) Command(c *core.Command) bool {
	if !r.more() {
		return false
	}
	c.Events = c.Events[:0] // every other field is set below
	copy(c.Session[:], r.take(16, "session"))
	c.Number = core.CommandNumber(r.uvarint("number"))
	below := core.CommandNumber(r.uvarint("acked"))
	if below > c.Number {
		r.fail("acked below zero")
	}
	c.AckedBelow = c.Number - below
	c.Kind = core.CommandKind(r.byte("kind"))
	c.Expected = core.Seq(r.uvarint("expected")) - 1
	c.Actor = core.ActorID(r.text("actor"))
	c.Principal = core.Principal(r.text("principal"))
	c.Type = r.text("type")
	c.Payload = r.bytes("payload")
	n := r.uvarint("events")
	if n > core.CommandEventsMax {
		r.fail(fmt.Sprintf("%d events in one command, the limit is %d", n, core.CommandEventsMax))
		return false
	}
	for range n {
		var e core.NewEvent
		e.Type = r.text("event type")
		e.Version = r.version()
		e.EventTime = core.Timestamp(r.varint("event time"))
		e.Payload = r.bytes("event payload")
		e.Personal = r.bytes("event personal columns")
		if r.err != nil {
			return false
		}
		c.Events = append(c.Events, e)
	}
	return r.err == nil
}

// EachAnswer visits the answers of a frame. One that holds none, or was cut off, is passed
// over: what it answered is asked again.
func EachAnswer(frame []byte, visit func(*core.Answer)) {
	r, err := Open(frame)
	if err != nil || r.Kind != Answers {
		return
	}
	var a core.Answer
	for r.Answer(&a) {
		visit(&a)
	}
}

// Answer reads the next answer into a.
func (r *Reader) Answer(a *core.Answer) bool {
	if !r.more() {
		return false
	}
	copy(a.Session[:], r.take(16, "session"))
	a.Number = core.CommandNumber(r.uvarint("number"))
	a.Kind = core.CommandKind(r.byte("kind"))
	a.Status = core.Status(r.byte("status"))
	code := r.uvarint("code")
	if code > 0xffff {
		r.fail("code over 65535")
	}
	a.Code = core.Code(code)
	a.Detail = r.text("detail")
	a.Seq = core.Seq(r.uvarint("seq"))
	count := r.uvarint("count")
	if count > core.CommandEventsMax {
		r.fail("count over the limit")
	}
	a.Count = uint32(count)
	a.Timestamp = core.Timestamp(r.varint("timestamp"))
	a.State = r.bytes("state")
	return r.err == nil
}

// AppendEvent adds an event to the State of a History answer.
func AppendEvent(d []byte, e *core.Event) []byte {
	d = binary.AppendUvarint(d, uint64(e.Seq))
	d = appendText(d, e.Type)
	d = binary.AppendUvarint(d, uint64(e.Version))
	d = binary.AppendVarint(d, int64(e.EventTime))
	d = binary.AppendVarint(d, int64(e.Committed))
	d = append(d, e.Session[:]...)
	d = binary.AppendUvarint(d, uint64(e.Number))
	d = appendText(d, string(e.Principal))
	d = appendBytes(d, e.Payload)
	return appendBytes(d, e.Personal)
}

// DecodeEvents reads the State of a History answer about an actor.
func DecodeEvents(actor core.ActorID, b []byte) ([]core.Event, error) {
	r := Reader{b: b}
	var list []core.Event
	for r.err == nil && r.at < len(r.b) {
		e := core.Event{Actor: actor}
		e.Seq = core.Seq(r.uvarint("seq"))
		e.Type = r.text("type")
		e.Version = r.version()
		e.EventTime = core.Timestamp(r.varint("event time"))
		e.Committed = core.Timestamp(r.varint("committed"))
		copy(e.Session[:], r.take(16, "session"))
		e.Number = core.CommandNumber(r.uvarint("number"))
		e.Principal = core.Principal(r.text("principal"))
		e.Payload = r.bytes("payload")
		e.Personal = r.bytes("personal columns")
		if r.err == nil {
			list = append(list, e)
		}
	}
	return list, r.err
}
