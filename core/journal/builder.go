package journal

import (
	"encoding/binary"
	"slices"

	"actordb/core"
	"actordb/core/seal"
)

// A Builder assembles one block after another and keeps its memory. Actors and
// sessions get their dictionary number once per block; the caller remembers it
// (Generation tells whether a remembered one is still good).
type Builder struct {
	header     Header
	salter     *seal.Salter
	salted     bool      // origin is made
	origin     seal.Hash // of the header: salts are derived from it
	generation uint64

	outcomes  []byte
	rows      []byte
	rowEnds   []uint32
	states    []byte
	personal  []byte
	leaves    []byte
	footer    []byte
	data      []byte
	nOutcomes int

	sessions   []core.SessionID
	principals []core.Principal
	actors     []builtActor
	types      []string

	eventActor []uint32 // per event
	eventType  []uint32
	starts     []uint32 // counting sort
	sorted     []uint32
}

type builtActor struct {
	id    core.ActorID
	prev  core.Index
	first core.Seq
}

// NewBuilder makes a builder whose salts come from salter.
func NewBuilder(salter *seal.Salter) *Builder { return &Builder{salter: salter} }

// Start begins a block.
func (b *Builder) Start(h Header) {
	b.header, b.salted = h, false
	b.generation++
	b.outcomes, b.rows, b.rowEnds, b.states, b.personal = b.outcomes[:0], b.rows[:0], b.rowEnds[:0], b.states[:0], b.personal[:0]
	b.leaves, b.footer = b.leaves[:0], b.footer[:0]
	b.nOutcomes = 0
	b.sessions, b.principals, b.actors, b.types = b.sessions[:0], b.principals[:0], b.actors[:0], b.types[:0]
	b.eventActor, b.eventType = b.eventActor[:0], b.eventType[:0]
}

// Generation numbers the blocks that this builder started.
func (b *Builder) Generation() uint64 { return b.generation }

// Timestamp is the block's commit timestamp.
func (b *Builder) Timestamp() core.Timestamp { return b.header.Timestamp }

// Commands and Events count what the block holds, Bytes its size so far.
func (b *Builder) Commands() int { return b.nOutcomes }
func (b *Builder) Events() int   { return len(b.rowEnds) }
func (b *Builder) Bytes() int {
	return headerBytes + len(b.outcomes) + len(b.rows) + len(b.states) + len(b.personal) +
		16*len(b.sessions) + 80*len(b.actors) + 4*len(b.rowEnds)
}

// Session enters a session into the dictionary.
func (b *Builder) Session(id core.SessionID) int {
	b.sessions = append(b.sessions, id)
	return len(b.sessions) - 1
}

// Actor enters an actor, with the block of its events before these and the
// sequence that its first event here will have.
func (b *Builder) Actor(id core.ActorID, prev core.Index, first core.Seq) int {
	b.actors = append(b.actors, builtActor{id, prev, first})
	return len(b.actors) - 1
}

func (b *Builder) principal(p core.Principal) int {
	for i := len(b.principals) - 1; i >= 0; i-- { // few per block, the last one most often
		if b.principals[i] == p {
			return i
		}
	}
	b.principals = append(b.principals, p)
	return len(b.principals) - 1
}

func (b *Builder) typeName(name string) int {
	for i, t := range b.types { // a handful per block
		if t == name {
			return i
		}
	}
	b.types = append(b.types, name)
	return len(b.types) - 1
}

// Outcome records a command's answer. Its o.Count events must have been added
// with Event just before. session and actor are dictionary numbers.
func (b *Builder) Outcome(session, actor int, o *Outcome) {
	d := binary.AppendUvarint(b.outcomes, uint64(session))
	d = binary.AppendUvarint(d, uint64(o.Number))
	d = binary.AppendUvarint(d, uint64(o.Number-o.AckedBelow))
	d = binary.LittleEndian.AppendUint64(d, o.Digest)
	d = binary.AppendUvarint(d, uint64(actor))
	d = binary.AppendUvarint(d, uint64(b.principal(o.Principal)))
	d = binary.AppendUvarint(d, uint64(o.Code))
	if o.Code != core.CodeNone {
		d = binary.AppendUvarint(d, uint64(len(o.Detail)))
		d = append(d, o.Detail...)
	}
	d = binary.AppendUvarint(d, uint64(o.Seq))
	d = binary.AppendUvarint(d, uint64(o.Count))
	if b.header.Kind == Import {
		d = binary.AppendVarint(d, int64(o.Committed-b.header.Timestamp))
		bare := byte(0)
		if o.Bare {
			bare = 1
		}
		d = append(d, bare)
	}
	b.outcomes = d
	b.nOutcomes++
}

// Event adds an event of the command whose Outcome comes next.
func (b *Builder) Event(actor int, seq core.Seq, e *core.NewEvent) {
	ordinal := len(b.rowEnds)
	start := len(b.rows)
	kind := b.typeName(e.Type)
	version := uint64(e.Version) << 1
	if len(e.Personal) > 0 {
		version |= 1
	}
	d := append(b.rows, seal.TagRow)
	d = binary.AppendUvarint(d, uint64(b.nOutcomes))
	d = binary.AppendUvarint(d, uint64(seq))
	d = binary.AppendUvarint(d, uint64(kind))
	d = binary.AppendUvarint(d, version)
	d = binary.AppendVarint(d, int64(e.EventTime-b.header.Timestamp))
	d = binary.AppendUvarint(d, uint64(len(e.Payload)))
	d = append(d, e.Payload...)
	if len(e.Personal) > 0 {
		salt := b.salter.Salt(b.saltOrigin(), uint32(ordinal))
		c := seal.Commit(salt, e.Personal)
		d = append(d, c[:]...)
		b.personal = binary.AppendUvarint(b.personal, uint64(ordinal))
		b.personal = append(b.personal, 0)
		b.personal = append(b.personal, salt[:]...)
		b.personal = binary.AppendUvarint(b.personal, uint64(len(e.Personal)))
		b.personal = append(b.personal, e.Personal...)
	}
	b.rows = d
	b.rowEnds = append(b.rowEnds, uint32(len(d)))
	b.eventActor = append(b.eventActor, uint32(actor))
	b.eventType = append(b.eventType, uint32(kind))
	leaf := seal.Leaf(d[start:])
	b.leaves = append(b.leaves, leaf[:]...)
}

// saltOrigin names the block to the salter. Two blocks may extend one chain, when
// the first comes to nothing, and every shard's chain begins alike; but no two
// have the shard, chain, term, epochs and time in common.
func (b *Builder) saltOrigin() seal.Hash {
	if !b.salted {
		b.salted = true
		b.origin = seal.Section(appendHeader(nil, &b.header, 0, 0, [5]int{}))
	}
	return b.origin
}

// State adds an actor's state after the block, for light persistence. At most
// once per actor and block.
func (b *Builder) State(actor int, seq core.Seq, state []byte) {
	d := binary.AppendUvarint(b.states, uint64(actor))
	d = binary.AppendUvarint(d, uint64(seq))
	d = binary.AppendUvarint(d, uint64(len(state)))
	b.states = append(d, state...)
}

// Note says what a block of a move is about.
func (b *Builder) Note(note []byte) {
	core.Assert(b.header.Kind.Moves(), "a note in a block of kind %s", b.header.Kind)
	b.states = append(b.states[:0], note...)
}

// Finish returns the block, which is good until the next Start, and its hash.
func (b *Builder) Finish() ([]byte, seal.Hash) {
	b.buildFooter()
	sizes := [5]int{len(b.outcomes), len(b.rows), len(b.states), len(b.footer), len(b.personal)}
	total := headerBytes
	for _, n := range sizes {
		total += n
	}
	data := slices.Grow(b.data[:0], total)
	data = appendHeader(data, &b.header, b.nOutcomes, len(b.rowEnds), sizes)
	data = append(data, b.outcomes...)
	data = append(data, b.rows...)
	data = append(data, b.states...)
	data = append(data, b.footer...)
	data = append(data, b.personal...)
	b.data = data
	return data, blockHash(data[:headerBytes], b.outcomes, b.leaves, b.states, b.footer)
}

func (b *Builder) buildFooter() {
	d := binary.AppendUvarint(b.footer[:0], uint64(len(b.sessions)))
	for i := range b.sessions {
		d = append(d, b.sessions[i][:]...)
	}
	d = binary.AppendUvarint(d, uint64(len(b.principals)))
	for _, p := range b.principals {
		d = binary.AppendUvarint(d, uint64(len(p)))
		d = append(d, p...)
	}
	d = binary.AppendUvarint(d, uint64(len(b.actors)))
	b.group(b.eventActor, len(b.actors))
	for i := range b.actors {
		a := &b.actors[i]
		d = binary.AppendUvarint(d, uint64(len(a.id)))
		d = append(d, a.id...)
		d = binary.AppendUvarint(d, uint64(a.prev))
		d = binary.AppendUvarint(d, uint64(a.first))
		d = appendOrdinals(d, b.sorted[b.starts[i]:b.starts[i+1]])
	}
	d = binary.AppendUvarint(d, uint64(len(b.types)))
	b.group(b.eventType, len(b.types))
	for i, name := range b.types {
		d = binary.AppendUvarint(d, uint64(len(name)))
		d = append(d, name...)
		d = appendOrdinals(d, b.sorted[b.starts[i]:b.starts[i+1]])
	}
	b.footer = d
}

// group sorts event ordinals by their group number: starts[g] is where the
// ordinals of group g begin in sorted.
func (b *Builder) group(of []uint32, groups int) {
	b.starts = append(b.starts[:0], make([]uint32, groups+2)...)
	for _, g := range of {
		b.starts[g+2]++
	}
	for g := 2; g < len(b.starts); g++ {
		b.starts[g] += b.starts[g-1]
	}
	if cap(b.sorted) < len(of) {
		b.sorted = make([]uint32, len(of))
	}
	b.sorted = b.sorted[:len(of)]
	for ordinal, g := range of {
		b.sorted[b.starts[g+1]] = uint32(ordinal)
		b.starts[g+1]++
	}
}

func appendOrdinals(d []byte, list []uint32) []byte {
	d = binary.AppendUvarint(d, uint64(len(list)))
	next := uint32(0)
	for _, ordinal := range list {
		d = binary.AppendUvarint(d, uint64(ordinal-next))
		next = ordinal + 1
	}
	return d
}

// EncodeEmpty returns a block that is all header: a Fence, a Lease or an Upgrade.
func EncodeEmpty(h Header) ([]byte, seal.Hash) { return EncodeNote(h, nil) }

// EncodeNote returns a block without outcomes: one that has a note, or nothing.
func EncodeNote(h Header, note []byte) ([]byte, seal.Hash) {
	b := &Builder{}
	b.Start(h)
	if len(note) > 0 {
		b.Note(note)
	}
	return b.Finish()
}
