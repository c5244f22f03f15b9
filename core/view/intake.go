package view

import (
	"slices"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/zset"
)

// An intake turns the events of one type into rows of its table.
type intake struct {
	event    *EventType
	rows     *zset.Batch // of the present step
	plain    *row.Decoder
	personal *row.Decoder
	place    []int      // where a column of the table is decoded: in one (plain) or the other
	one      *row.Batch // of a payload, and of the personal columns
	other    *row.Batch
	times    *tracker // nil: of a type without lateness
	named    []byte   // scratch: the name of a source
}

func newIntake(t *EventType) (*intake, error) {
	types := t.table.Schema.Types()
	if t.Timing != nil {
		types = append(types, row.Of(row.Timestamptz)) // plan.Clock.Closed
	}
	in := &intake{event: t, rows: zset.NewBatch(types)}
	if t.Timing != nil {
		in.times = newTracker(*t.Timing)
	}
	var plain, personal []int
	for i := range t.Fields {
		if t.Personal[i] {
			in.place = append(in.place, len(personal))
			personal = append(personal, i)
		} else {
			in.place = append(in.place, len(plain))
			plain = append(plain, i)
		}
	}
	var err error
	if in.plain, err = row.NewDecoder(t.Fields, plain); err != nil {
		return nil, err
	}
	if in.personal, err = row.NewDecoder(t.Fields, personal); err != nil {
		return nil, err
	}
	in.one, in.other = row.NewBatch(in.plain.Types()), row.NewBatch(in.personal.Types())
	return in, nil
}

// take adds an event's row. An error says why its payload cannot be read.
func (in *intake) take(e *core.Event) error {
	in.one.Clear()
	in.other.Clear()
	if err := in.plain.Append(in.one, e.Payload); err != nil {
		return err
	}
	if len(in.other.Cols) > 0 { // else they may be in any form
		if err := in.personal.Append(in.other, e.Personal); err != nil { // erased: of no fields
			return err
		}
	}
	b := in.rows
	b.Cols[colKey].AppendString(e.Actor.Key())
	b.Cols[colSeq].AppendInt(int64(e.Seq))
	b.Cols[colEventTime].AppendInt(micros(e.EventTime))
	b.Cols[colCommitTime].AppendInt(micros(e.Committed))
	b.Cols[colPrincipal].AppendString(string(e.Principal))
	for i, at := range in.place {
		from := in.one
		if in.event.Personal[i] {
			from = in.other
		}
		b.Cols[in.event.fieldCol()+i].AppendRow(from.Cols[at], 0)
	}
	if in.times != nil { // asked for once more, the watermark is the same until the block ends
		mark := in.times.at(micros(e.Committed))
		b.Cols[systemCols].AppendInt(mark)
		b.Cols[len(b.Cols)-1].AppendInt(in.times.closed(mark))
	}
	b.N++
	b.W = append(b.W, 1)
	return nil
}

// closed is what is closed for a type's events that come after a cut.
func (in *intake) closed(cut core.Timestamp) int64 { return in.times.closed(in.times.at(micros(cut))) }

// seen takes the times of the rows from a place on into account, those of a block.
func (in *intake) seen(from int) {
	if in.times == nil || from == in.rows.N {
		return
	}
	at := in.times.Source
	for i := from; i < in.rows.N; i++ {
		in.named = in.named[:0]
		if at >= 0 && !in.rows.Cols[at].Null(i) {
			in.named = in.rows.Cols[at].AppendText(append(in.named, '.'), i) // apart from null
		}
		in.times.see(in.named, in.rows.Cols[colEventTime].I[i], in.rows.Cols[colCommitTime].I[i])
	}
	in.times.advance()
}

// micros is a timestamp as SQL has it, rounded down.
func micros(t core.Timestamp) int64 {
	m := int64(t) / 1000
	if int64(t)%1000 < 0 {
		m--
	}
	return m
}

// takeBlock gives each event of a block to the intake of its type, and to undecodable
// those that cannot be read. What was moved from another shard's log came from there.
func takeBlock(intakes map[string]*intake, b *journal.Block, undecodable func(*core.Event, error)) {
	if b.Kind == journal.Import {
		return
	}
	var timed []*intake
	var from []int // their rows before the block
	for i := range b.Types {
		t := &b.Types[i]
		for _, ordinal := range t.Rows {
			e := b.Event(int(ordinal))
			in := intakes[e.Actor.Type()+"."+t.Name]
			if in == nil {
				continue
			}
			if in.times != nil && !slices.Contains(timed, in) {
				timed, from = append(timed, in), append(from, in.rows.N)
			}
			if err := in.take(&e); err != nil {
				undecodable(&e, err)
			}
		}
	}
	for i, in := range timed {
		in.seen(from[i])
	}
}
