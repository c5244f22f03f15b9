package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"actordb/core"
	"actordb/core/seal"
)

// BlockKind says what a block does when it is applied.
type BlockKind uint8

const (
	// Commands is the ordinary block: outcomes of commands and their events.
	Commands BlockKind = 1
	// Fence raises the shard's slot epoch to Header.Raise and holds nothing else.
	Fence BlockKind = 2
	// Lease lets the leader of Header.Term close times up to Header.Raise, a
	// Timestamp, without writing each down: later leaders stamp later. It holds
	// nothing else.
	Lease BlockKind = 3
	// Upgrade raises the version of the log to Header.Raise, a core.Version, which it
	// is itself written in. It holds nothing else.
	Upgrade BlockKind = 4

	// The blocks of a move of slots from one shard's log to another's (core/shard,
	// move.go). Each has a Note, which says what it is about.

	// Offer, at the source, sets slots aside for a move to another shard.
	Offer BlockKind = 16
	// Adopt, at the destination, begins to take slots over.
	Adopt BlockKind = 17
	// Import, at the destination, holds events and outcomes that another shard's
	// log had before. They are no news: who derives something from events has them
	// from there. The last one makes the destination their slots' owner.
	Import BlockKind = 18
	// Hand, at the source, is the fence: from here on the slots are not its own. It
	// raises the slot epoch to Header.Raise, as a Fence does.
	Hand BlockKind = 19
	// Drop, on either side, ends a move that did not get to its Hand.
	Drop BlockKind = 20
)

// Moves reports whether blocks of this kind are part of a move: they have a Note.
func (k BlockKind) Moves() bool { return k >= Offer && k <= Drop }

func (k BlockKind) String() string {
	switch k {
	case Offer:
		return "offer"
	case Adopt:
		return "adopt"
	case Import:
		return "import"
	case Hand:
		return "hand"
	case Drop:
		return "drop"
	case Commands:
		return "commands"
	case Fence:
		return "fence"
	case Lease:
		return "lease"
	case Upgrade:
		return "upgrade"
	}
	return "?"
}

const (
	blockMagic  = 0x31424441 // "ADB1", little-endian
	headerBytes = 136
)

// Header is what a block was decided on, and when. A block whose Extends,
// SlotEpoch, PolicyEpoch or Catalog differ from the replica's at its turn is
// void: every replica skips it alike.
type Header struct {
	Version     core.Version // that the block is written in; 0: the first
	Kind        BlockKind
	Shard       core.ShardID
	Extends     seal.Hash // chain of the applied blocks before it
	Term        core.Term // of the leader that decided it
	SlotEpoch   core.Epoch
	PolicyEpoch core.Epoch
	Catalog     core.Epoch
	Raise       core.Epoch // Fence: the new slot epoch; Lease: the timestamp that it reaches to; Upgrade: the new version
	Timestamp   core.Timestamp

	// Of blocks of version 2 and on: the replica that decided it, and what its clock
	// said, which Timestamp may be ahead of and is never behind.
	Decider uint64
	Wall    core.Timestamp
}

// An Outcome is the recorded answer to one command.
type Outcome struct {
	Session    core.SessionID
	Number     core.CommandNumber
	AckedBelow core.CommandNumber
	Digest     uint64 // of the command, to tell a retry from a reused number
	Actor      int    // in Block.Actors
	Principal  core.Principal
	Code       core.Code // CodeNone: accepted
	Detail     string
	Seq        core.Seq // the actor's last after the command
	Count      uint32   // events added

	Committed core.Timestamp // when it was recorded: the block's own time, but in an Import
	Bare      bool           // Import: its events are not here, since the shard has them
}

// rows is how many events of the outcome its block holds.
func (o *Outcome) rows() uint32 {
	if o.Bare {
		return 0
	}
	return o.Count
}

// An ActorEntry is an actor's part of a block, from the footer.
type ActorEntry struct {
	ID    core.ActorID
	Prev  core.Index // the block with the actor's events before these, 0 for none
	First core.Seq   // of its events here
	Rows  []uint32   // ordinals of its events
}

// A TypeEntry is an event type's part of a block, from the footer.
type TypeEntry struct {
	Name string
	Rows []uint32 // ordinals of its events
}

// A Row is one event as the block holds it. Payload and Personal alias the block.
type Row struct {
	Outcome    int
	Seq        core.Seq
	Type       int // in Block.Types
	Version    uint16
	EventTime  core.Timestamp
	Payload    []byte
	Personal   []byte
	Erased     bool // the personal bytes were erased; the commitment remains
	Commitment seal.Hash
	Committed  bool // it has personal columns
}

// Block layout. Integers are little-endian; u is an unsigned varint, z a
// zig-zag varint (encoding/binary).
//
//	0    u32  magic "ADB1"
//	4    u8   version, u8 kind, u16 zero
//	8    u32  shard
//	12   u32  outcomes    16  u32 events
//	20   u32  bytes of the outcome section
//	24   u32  bytes of the event section
//	28   u32  bytes of the state section
//	32   u32  bytes of the footer
//	36   u32  bytes of the personal section
//	40   [32] extends
//	72   u64  term   80 u64 slot epoch   88 u64 policy epoch   96 u64 catalog   104 u64 raise
//	112  i64  timestamp
//	120  version 1: [16] zero; 2: u64 replica that decided it, i64 its clock
//	136       outcome section, event section, state section, footer, personal section
//
//	outcome   u session  u number  u number−acked  8 digest  u actor  u principal  u code  [u len, detail]  u seq  u count
//	event     0x00  u outcome  u seq  u type  u version  z time−timestamp  u len payload  [32 commitment when flagged]
//	          in an Import then z committed−timestamp  u8 bare
//	state     u actor  u seq  u len  bytes            (light persistence: state after the block)
//	          in blocks of moves the section is the Note instead
//	footer    sessions: u n, 16 bytes each · principals: u n, (u len, bytes) each
//	          actors: u n, (u len, id, u prev, u first, u rows, ordinals as u deltas) each
//	          types: u n, (u len, name, u rows, ordinals as u deltas) each
//	personal  (u ordinal, u8 erased, 16 salt, u len, bytes) each event with a commitment;
//	          erased: salt zero, no bytes
//
// An event's version is stored shifted left by one; the low bit says that a
// commitment follows.

// ErrMalformed is wrapped by every error of ParseBlock.
var ErrMalformed = errors.New("malformed block")

func malformed(at int, format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %s", ErrMalformed, at, fmt.Sprintf(format, args...))
}

// A Block is a parsed block. Its slices alias the bytes that it was parsed from.
type Block struct {
	Header
	Outcomes []Outcome
	Actors   []ActorEntry
	Types    []TypeEntry

	data       []byte
	sessions   []core.SessionID
	principals []core.Principal
	ordinals   []uint32 // of all lists
	rows       [][]byte // event rows, for their leaves
	parsed     []Row
	states     []LightState
	note       []byte
}

// Note is what a block of a move is about. It aliases the block.
func (b *Block) Note() []byte { return b.note }

// A LightState is an actor's state after the block, kept for light persistence.
type LightState struct {
	Actor int
	Seq   core.Seq
	State []byte
}

// Rows returns the block's events in order.
func (b *Block) Rows() []Row { return b.parsed }

// States returns the states that the block carries for light persistence.
func (b *Block) States() []LightState { return b.states }

// Leaf is the leaf hash of the event with this ordinal.
func (b *Block) Leaf(ordinal int) seal.Hash { return seal.Leaf(b.rows[ordinal]) }

// Event returns the event with this ordinal in full. Bytes alias the block.
func (b *Block) Event(ordinal int) core.Event {
	r := &b.parsed[ordinal]
	o := &b.Outcomes[r.Outcome]
	return core.Event{
		Actor: b.Actors[o.Actor].ID, Seq: r.Seq, Type: b.Types[r.Type].Name, Version: r.Version,
		EventTime: r.EventTime, Committed: o.Committed, Session: o.Session, Number: o.Number,
		Principal: o.Principal, Payload: r.Payload, Personal: r.Personal,
	}
}

// FindActor returns the actor's entry in the footer.
func (b *Block) FindActor(id core.ActorID) (*ActorEntry, bool) {
	for i := range b.Actors {
		if b.Actors[i].ID == id {
			return &b.Actors[i], true
		}
	}
	return nil, false
}

// LightStateOf returns the state that the block carries for the actor.
func (b *Block) LightStateOf(id core.ActorID) (LightState, bool) {
	for _, s := range b.states {
		if b.Actors[s.Actor].ID == id {
			return s, true
		}
	}
	return LightState{}, false
}

// ParseHeader reads the fixed part alone.
func ParseHeader(data []byte) (Header, error) {
	if len(data) < headerBytes {
		return Header{}, malformed(len(data), "%d bytes, a header has %d", len(data), headerBytes)
	}
	le := binary.LittleEndian
	if m := le.Uint32(data); m != blockMagic {
		return Header{}, malformed(0, "magic %#x", m)
	}
	version := core.Version(data[4])
	if !core.Spoken().Has(version) {
		return Header{}, fmt.Errorf("%w: byte 4: %w", ErrMalformed, VersionError(version, core.VersionMax))
	}
	h := Header{
		Version: version, Kind: BlockKind(data[5]), Shard: core.ShardID(le.Uint32(data[8:])),
		Term: core.Term(le.Uint64(data[72:])), SlotEpoch: core.Epoch(le.Uint64(data[80:])),
		PolicyEpoch: core.Epoch(le.Uint64(data[88:])), Catalog: core.Epoch(le.Uint64(data[96:])),
		Raise: core.Epoch(le.Uint64(data[104:])), Timestamp: core.Timestamp(le.Uint64(data[112:])),
	}
	copy(h.Extends[:], data[40:72])
	if version >= 2 {
		h.Decider, h.Wall = le.Uint64(data[120:]), core.Timestamp(le.Uint64(data[128:]))
	}
	switch {
	case h.Kind < Commands || h.Kind > Upgrade && !h.Kind.Moves() || h.Kind == Upgrade && version < 2:
		return Header{}, malformed(5, "block kind %d", h.Kind)
	case h.Kind == Upgrade && h.Raise != core.Epoch(version):
		return Header{}, malformed(104, "an upgrade to version %d, written in version %d", h.Raise, version)
	case version >= 2 && h.Decider == 0:
		return Header{}, malformed(120, "nobody decided it")
	case version >= 2 && h.Wall > h.Timestamp:
		return Header{}, malformed(128, "a clock of %d, beyond the timestamp %d", h.Wall, h.Timestamp)
	}
	return h, nil
}

// VersionError says that a block is of a version beyond those that are read.
func VersionError(found, reads core.Version) *core.VersionError {
	return &core.VersionError{Place: "the block", Found: uint64(found), Reads: uint64(reads)}
}

func appendHeader(dst []byte, h *Header, outcomes, events int, sizes [5]int) []byte {
	var b [headerBytes]byte
	le := binary.LittleEndian
	le.PutUint32(b[0:], blockMagic)
	b[4], b[5] = byte(max(h.Version, core.VersionMin)), byte(h.Kind)
	le.PutUint32(b[8:], uint32(h.Shard))
	le.PutUint32(b[12:], uint32(outcomes))
	le.PutUint32(b[16:], uint32(events))
	for i, n := range sizes {
		le.PutUint32(b[20+4*i:], uint32(n))
	}
	copy(b[40:], h.Extends[:])
	le.PutUint64(b[72:], uint64(h.Term))
	le.PutUint64(b[80:], uint64(h.SlotEpoch))
	le.PutUint64(b[88:], uint64(h.PolicyEpoch))
	le.PutUint64(b[96:], uint64(h.Catalog))
	le.PutUint64(b[104:], uint64(h.Raise))
	le.PutUint64(b[112:], uint64(h.Timestamp))
	if h.Version >= 2 {
		le.PutUint64(b[120:], h.Decider)
		le.PutUint64(b[128:], uint64(h.Wall))
	}
	return append(dst, b[:]...)
}

// ParseBlock checks and indexes a block. It never panics, whatever the bytes.
func ParseBlock(data []byte) (*Block, error) {
	b := &Block{}
	if err := b.Parse(data); err != nil {
		return nil, err
	}
	return b, nil
}

// Parse is ParseBlock into a block whose memory is used again: what was taken
// from it before, but for strings and what aliases the old data, is overwritten.
func (b *Block) Parse(data []byte) error {
	h, err := ParseHeader(data)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	outcomes, events := int(le.Uint32(data[12:])), int(le.Uint32(data[16:]))
	if h.Kind != Commands && h.Kind != Import && outcomes+events > 0 {
		return malformed(12, "a %s with %d outcomes and %d events", h.Kind, outcomes, events)
	}
	if outcomes > BlockCommandsMax || events > BlockEventsMax {
		return malformed(12, "%d outcomes and %d events exceed the limits", outcomes, events)
	}
	var section [5][]byte
	at := headerBytes
	for i := range section {
		n := int(le.Uint32(data[20+4*i:]))
		if n > len(data)-at {
			return malformed(20+4*i, "section %d of %d bytes ends past the block", i, n)
		}
		section[i] = data[at : at+n]
		at += n
	}
	if at != len(data) {
		return malformed(at, "%d bytes follow the block", len(data)-at)
	}
	b.Header, b.data = h, nil
	b.Outcomes, b.Actors, b.Types = b.Outcomes[:0], b.Actors[:0], b.Types[:0]
	b.sessions, b.principals, b.ordinals = b.sessions[:0], b.principals[:0], b.ordinals[:0]
	b.rows, b.parsed, b.states, b.note = b.rows[:0], b.parsed[:0], b.states[:0], nil
	base := headerBytes
	// The footer comes first: the rows refer to its dictionaries.
	footerAt := base + len(section[0]) + len(section[1]) + len(section[2])
	if err := b.parseFooter(&reader{b: section[3], base: footerAt}, events); err != nil {
		return err
	}
	if err := b.parseOutcomes(&reader{b: section[0], base: base}, outcomes); err != nil {
		return err
	}
	base += len(section[0])
	if err := b.parseRows(&reader{b: section[1], base: base}, events); err != nil {
		return err
	}
	base += len(section[1])
	if h.Kind.Moves() {
		b.note = section[2]
	} else if err := b.parseStates(&reader{b: section[2], base: base}); err != nil {
		return err
	}
	if err := b.parsePersonal(&reader{b: section[4], base: footerAt + len(section[3])}); err != nil {
		return err
	}
	if err := b.checkIndex(footerAt); err != nil {
		return err
	}
	b.data = data
	return nil
}

// Hash computes the block's hash from its leaves.
func (b *Block) Hash() seal.Hash {
	leaves := make([]byte, 0, len(b.rows)*seal.Bytes)
	for _, row := range b.rows {
		l := seal.Leaf(row)
		leaves = append(leaves, l[:]...)
	}
	le := binary.LittleEndian
	at := headerBytes
	next := func(i int) []byte {
		n := int(le.Uint32(b.data[20+4*i:]))
		at += n
		return b.data[at-n : at]
	}
	outcomes, _, states, footer := next(0), next(1), next(2), next(3)
	return blockHash(b.data[:headerBytes], outcomes, leaves, states, footer)
}

// blockHash leaves out the personal section and its size, so that it can be erased.
func blockHash(header, outcomes, leaves, states, footer []byte) seal.Hash {
	var h [headerBytes]byte
	copy(h[:], header)
	clear(h[36:40])
	return seal.Block(h[:], seal.Section(outcomes), seal.Section(leaves), seal.Section(states), seal.Section(footer))
}

func (b *Block) parseFooter(r *reader, events int) error {
	n := r.count(16)
	for range n {
		var s core.SessionID
		copy(s[:], r.bytes(16))
		b.sessions = append(b.sessions, s)
	}
	n = r.count(1)
	for range n {
		b.principals = append(b.principals, core.Principal(r.sized(core.PrincipalBytesMax)))
	}
	n = r.count(5)
	for range n {
		var a ActorEntry
		a.ID = core.ActorID(r.sized(255))
		a.Prev = core.Index(r.uvarint())
		a.First = core.Seq(r.uvarint())
		a.Rows = b.takeOrdinals(r, events)
		b.Actors = append(b.Actors, a)
	}
	n = r.count(2)
	for range n {
		var t TypeEntry
		t.Name = string(r.sized(core.TypeNameBytesMax))
		t.Rows = b.takeOrdinals(r, events)
		b.Types = append(b.Types, t)
	}
	return r.end()
}

// takeOrdinals reads one actor's or type's list into the block's own memory.
func (b *Block) takeOrdinals(r *reader, events int) []uint32 {
	from := len(b.ordinals)
	b.ordinals = r.ordinals(b.ordinals, events)
	return b.ordinals[from:len(b.ordinals):len(b.ordinals)]
}

func (b *Block) parseOutcomes(r *reader, n int) error {
	b.Outcomes = slices.Grow(b.Outcomes, min(n, len(r.b)))
	for range n {
		var o Outcome
		session := r.index(len(b.sessions))
		o.Number = core.CommandNumber(r.uvarint())
		below := r.uvarint()
		if d := r.bytes(8); d != nil {
			o.Digest = binary.LittleEndian.Uint64(d)
		}
		o.Actor = r.index(len(b.Actors))
		principal := r.index(len(b.principals))
		code := r.uvarint()
		if code > 0xffff {
			r.fail("code %d", code)
		}
		if o.Code = core.Code(code); o.Code != core.CodeNone {
			o.Detail = string(r.sized(core.DetailBytesMax))
		}
		o.Seq = core.Seq(r.uvarint())
		count := r.uvarint()
		if count > core.CommandEventsMax || count > uint64(o.Seq) {
			r.fail("%d events end at sequence %d", count, o.Seq)
		}
		if below > uint64(o.Number) {
			r.fail("acknowledged below a negative number")
		}
		if r.err != nil {
			return r.err
		}
		o.Count, o.Committed = uint32(count), b.Timestamp
		if b.Kind == Import {
			o.Committed += core.Timestamp(r.varint())
			bare := r.byte()
			if bare > 1 {
				r.fail("flag %d of an outcome that was moved", bare)
			}
			o.Bare = bare == 1
		}
		o.AckedBelow = o.Number - core.CommandNumber(below)
		o.Session, o.Principal = b.sessions[session], b.principals[principal]
		b.Outcomes = append(b.Outcomes, o)
	}
	return r.end()
}

func (b *Block) parseRows(r *reader, n int) error {
	b.parsed = slices.Grow(b.parsed, min(n, len(r.b)))
	b.rows = slices.Grow(b.rows, min(n, len(r.b)))
	for range n {
		start := r.at
		var row Row
		if tag := r.byte(); tag != seal.TagRow {
			r.fail("row tag %d", tag)
		}
		row.Outcome = r.index(len(b.Outcomes))
		row.Seq = core.Seq(r.uvarint())
		row.Type = r.index(len(b.Types))
		version := r.uvarint()
		if version>>1 > 0xffff {
			r.fail("version %d", version>>1)
		}
		row.Version = uint16(version >> 1)
		row.EventTime = b.Timestamp + core.Timestamp(r.varint())
		row.Payload = r.sized(core.PayloadBytesMax)
		if row.Committed = version&1 == 1; row.Committed {
			copy(row.Commitment[:], r.bytes(seal.Bytes))
		}
		if r.err != nil {
			return r.err
		}
		b.parsed = append(b.parsed, row)
		b.rows = append(b.rows, r.b[start:r.at])
	}
	return r.end()
}

func (b *Block) parseStates(r *reader) error {
	for r.err == nil && r.at < len(r.b) {
		var s LightState
		s.Actor = r.index(len(b.Actors))
		s.Seq = core.Seq(r.uvarint())
		s.State = r.sized(BlockBytesMax)
		b.states = append(b.states, s)
	}
	return r.end()
}

// parsePersonal checks each event's personal columns against its commitment.
// Erased ones leave nothing behind, neither bytes nor salt; and no event that has
// a commitment lacks a record here, so that lost columns do not pass for none.
func (b *Block) parsePersonal(r *reader) error {
	next := 0
	skip := func() { // to the next event with a commitment
		for next < len(b.parsed) && !b.parsed[next].Committed {
			next++
		}
	}
	for skip(); r.err == nil && r.at < len(r.b); skip() {
		ordinal := r.index(len(b.parsed))
		erased := r.byte()
		var salt [seal.SaltBytes]byte
		copy(salt[:], r.bytes(seal.SaltBytes))
		personal := r.sized(core.PayloadBytesMax)
		if r.err != nil {
			return r.err
		}
		switch row := &b.parsed[ordinal]; {
		case ordinal != next || erased > 1:
			return malformed(r.base+r.at, "personal columns of event %d out of place", ordinal)
		case erased == 1 && (len(personal) > 0 || salt != [seal.SaltBytes]byte{}):
			return malformed(r.base+r.at, "erased personal columns of event %d are still there", ordinal)
		case erased == 1:
			row.Erased = true
		case seal.Commit(salt, personal) != row.Commitment:
			return malformed(r.base+r.at, "personal columns of event %d are not those committed to", ordinal)
		default:
			row.Personal = personal
		}
		next++
	}
	if r.err == nil && next < len(b.parsed) {
		r.fail("the personal columns of event %d are missing", next)
	}
	return r.end()
}

// checkIndex compares the footer's index with the rows: what it lists is what
// is there, in order and without holes.
func (b *Block) checkIndex(at int) error {
	next, left := 0, uint32(0)
	for i := range b.parsed {
		row := &b.parsed[i]
		for left == 0 && next < len(b.Outcomes) {
			left = b.Outcomes[next].rows()
			next++
		}
		if left == 0 || row.Outcome != next-1 {
			return malformed(at, "event %d does not belong to the outcome that its place says", i)
		}
		o := &b.Outcomes[row.Outcome]
		if row.Seq != o.Seq-core.Seq(left)+1 {
			return malformed(at, "event %d has sequence %d, its outcome ends at %d with %d to come", i, row.Seq, o.Seq, left)
		}
		left--
	}
	for left == 0 && next < len(b.Outcomes) {
		left = b.Outcomes[next].rows()
		next++
	}
	if left != 0 {
		return malformed(at, "outcome %d lacks %d events", next-1, left)
	}
	indexed := 0
	for i := range b.Actors {
		a := &b.Actors[i]
		for k, ordinal := range a.Rows {
			row := &b.parsed[ordinal]
			if b.Outcomes[row.Outcome].Actor != i || row.Seq != a.First+core.Seq(k) {
				return malformed(at, "the index of %s lists event %d wrongly", a.ID, ordinal)
			}
		}
		indexed += len(a.Rows)
	}
	if indexed != len(b.parsed) {
		return malformed(at, "the actor index lists %d of %d events", indexed, len(b.parsed))
	}
	indexed = 0
	for i := range b.Types {
		for _, ordinal := range b.Types[i].Rows {
			if b.parsed[ordinal].Type != i {
				return malformed(at, "the index of type %s lists event %d wrongly", b.Types[i].Name, ordinal)
			}
		}
		indexed += len(b.Types[i].Rows)
	}
	if indexed != len(b.parsed) {
		return malformed(at, "the type index lists %d of %d events", indexed, len(b.parsed))
	}
	return nil
}
