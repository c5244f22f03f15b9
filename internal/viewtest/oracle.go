package viewtest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/checkers/relational"
	"actordb/core"
	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
)

// An Oracle answers queries by the naive evaluator. It reads payloads of int8, text
// and timestamptz, without the engine's decoder.
type Oracle struct {
	DB    *relational.DB
	types map[string]*tree.CreateEventType
}

// NewOracle knows the types of event that these statements create.
func NewOracle(schema []string) (*Oracle, error) {
	db := relational.NewDB()
	db.Pairs = 1 << 30
	o := &Oracle{DB: db, types: map[string]*tree.CreateEventType{}}
	common, err := parse.One(`CREATE EVENT TYPE x.y (key text, seq int8, event_time timestamptz, commit_time timestamptz, principal text)`)
	if err != nil {
		return nil, err
	}
	for _, text := range schema {
		s, err := parse.One(text)
		if err != nil {
			return nil, err
		}
		t, ok := s.(*tree.CreateEventType)
		if !ok {
			return nil, fmt.Errorf("viewtest: %q creates no type of event", text)
		}
		table, err := relational.NewTable(append(slices.Clone(common.(*tree.CreateEventType).Columns), t.Columns...))
		if err != nil {
			return nil, err
		}
		name := t.Name.Schema + "." + t.Name.Name
		o.DB.Tables[name], o.types[name] = table, t
	}
	return o, nil
}

// Take adds a block's events to the tables.
func (o *Oracle) Take(b Block) error {
	for i := range b.Rows() {
		e := b.Event(i)
		name := e.Actor.Type() + "." + e.Type
		t := o.types[name]
		if t == nil {
			continue
		}
		values := []relational.Value{{K: "text", V: e.Actor.Key()}, {K: "int8", V: int64(e.Seq)}, {K: "timestamptz", V: floorMicros(e.EventTime)},
			{K: "timestamptz", V: floorMicros(e.Committed)}, {K: "text", V: string(e.Principal)}}
		fields, err := values1(t.Columns, o.DB.Tables[name].Kinds()[len(values):], e.Payload)
		if err == nil {
			err = o.DB.Tables[name].Add(append(values, fields...))
		}
		if err != nil {
			return fmt.Errorf("viewtest: %s: %w", &e, err)
		}
	}
	return nil
}

// values1 reads one payload.
func values1(columns []tree.Column, kinds []relational.Kind, payload []byte) ([]relational.Value, error) {
	out := make([]relational.Value, len(columns))
	for i := range out {
		out[i].K = kinds[i]
	}
	for len(payload) > 0 {
		number, wire, n := protowire.ConsumeTag(payload)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		payload = payload[n:]
		if int(number) > len(out) {
			return nil, fmt.Errorf("field %d of %d", number, len(out))
		}
		v := &out[number-1]
		switch {
		case v.K == "int8" && wire == protowire.VarintType:
			x, k := protowire.ConsumeVarint(payload)
			v.V, n = protowire.DecodeZigZag(x), k
		case v.K == "text" && wire == protowire.BytesType:
			text, k := protowire.ConsumeString(payload)
			v.V, n = text, k
		case v.K == "timestamptz" && wire == protowire.Fixed64Type && len(payload) >= 8:
			v.V, n = int64(binary.LittleEndian.Uint64(payload)), 8
		default:
			return nil, fmt.Errorf("field %d, a %s, has wire type %d", number, v.K, wire)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		payload = payload[n:]
	}
	return out, nil
}

func floorMicros(t core.Timestamp) int64 { return (int64(t) - (int64(t)%1000+1000)%1000) / 1000 }

// Answer is the answer of a query, its lines sorted.
func (o *Oracle) Answer(q *tree.Query) ([]string, error) {
	t, err := o.DB.Query(q)
	if err != nil {
		return nil, err
	}
	return Shown(t), nil
}

// Shown are a table's rows as sorted lines.
func Shown(t *relational.Table) (lines []string) {
	var cells []string
	for _, r := range t.Rows() {
		cells = cells[:0]
		for _, v := range r {
			text := v.String()
			if v.K == "numeric" && strings.Contains(text, ".") { // the engine keeps no zeros that say nothing
				text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
			}
			cells = append(cells, cell(v.V == nil, text))
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	slices.Sort(lines)
	return lines
}

// Lines are the rows of an answer of the engine as sorted lines.
func Lines(read func(func(*row.Batch) error) error) (lines []string, err error) {
	var cells []string
	err = read(func(b *row.Batch) error {
		for i := range b.N {
			cells = cells[:0]
			for _, c := range b.Cols {
				cells = append(cells, cell(c.Null(i), string(c.AppendText(nil, i))))
			}
			lines = append(lines, strings.Join(cells, "|"))
		}
		return nil
	})
	slices.Sort(lines)
	return lines, err
}

func cell(null bool, text string) string {
	if null {
		return "NULL"
	}
	return text
}
