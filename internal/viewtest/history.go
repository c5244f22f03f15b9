package viewtest

import (
	"slices"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/seal"
)

// An Event is one that happened to an actor.
type Event struct {
	Actor core.ActorID
	core.NewEvent
}

// A Block is one of a history, with the entry that it is in.
type Block struct {
	Index core.Index
	*journal.Block
}

// A History writes events into blocks. The zero value is empty.
type History struct {
	builder *journal.Builder
	index   core.Index
	seqs    map[core.ActorID]core.Seq
	entries map[core.ActorID]int
}

// Write makes the block that commits these events at a time, after those before.
func (h *History) Write(at core.Timestamp, events []Event) (Block, error) {
	if h.builder == nil {
		h.builder, h.seqs, h.entries = journal.NewBuilder(&seal.Salter{}), map[core.ActorID]core.Seq{}, map[core.ActorID]int{}
	}
	h.index++
	clear(h.entries)
	b := h.builder
	b.Start(journal.Header{Kind: journal.Commands, Term: 1, Timestamp: at})
	session := b.Session(core.SessionID{1})
	for i := range events {
		e := &events[i]
		entry, ok := h.entries[e.Actor]
		if !ok {
			entry = b.Actor(e.Actor, 0, h.seqs[e.Actor]+1)
			h.entries[e.Actor] = entry
		}
		h.seqs[e.Actor]++
		b.Event(entry, h.seqs[e.Actor], &e.NewEvent)
		b.Outcome(session, entry, &journal.Outcome{Number: core.CommandNumber(i + 1), Principal: Principal, Seq: h.seqs[e.Actor], Count: 1})
	}
	data, _ := b.Finish()
	parsed, err := journal.ParseBlock(slices.Clone(data))
	return Block{h.index, parsed}, err
}

// Principal is who causes the events of a History.
const Principal = core.Principal("alice")
