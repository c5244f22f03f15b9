package view

import (
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
}

func newIntake(t *EventType) (*intake, error) {
	in := &intake{event: t, rows: zset.NewBatch(t.table.Schema.Types())}
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
	if err := in.personal.Append(in.other, e.Personal); err != nil { // erased: of no fields
		return err
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
		b.Cols[systemCols+i].AppendRow(from.Cols[at], 0)
	}
	b.N++
	b.W = append(b.W, 1)
	return nil
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
// those that cannot be read.
func takeBlock(intakes map[string]*intake, b *journal.Block, undecodable func(*core.Event, error)) {
	for i := range b.Types {
		t := &b.Types[i]
		for _, ordinal := range t.Rows {
			e := b.Event(int(ordinal))
			in := intakes[e.Actor.Type()+"."+t.Name]
			if in == nil {
				continue
			}
			if err := in.take(&e); err != nil {
				undecodable(&e, err)
			}
		}
	}
}
