package columnar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/plain"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"actordb/core/row"
	"actordb/core/seal"
)

// A Writer collects rows and makes a file of them.
type Writer struct {
	about  Description
	schema row.Schema
	rows   *row.Batch
	sorts  []row.Sort
	group  int // GroupRows; tests want less
}

// NewWriter begins a file. The description's Version and Chunks are the writer's to
// fill in.
func NewWriter(d Description) (*Writer, error) {
	s, err := d.Schema()
	if err != nil {
		return nil, fmt.Errorf("columnar: %w", err)
	}
	w := &Writer{about: d, schema: s, rows: row.NewBatch(s.Types()), group: GroupRows}
	for i, c := range d.Columns {
		if c.Sorted {
			w.sorts = append(w.sorts, row.Sort{Col: i})
		}
	}
	return w, nil
}

// Rows is how many there are.
func (w *Writer) Rows() int { return w.rows.N }

// Describe says of which ranges the rows are, and what of them has none.
func (w *Writer) Describe(ranges []Range, unreadable int64, first string) {
	w.about.Ranges, w.about.Unreadable, w.about.First = ranges, unreadable, first
}

// Full reports whether it is time to Finish: there is room for one more batch.
func (w *Writer) Full() bool {
	n := 0
	for _, v := range w.rows.Cols {
		n += 8*len(v.I) + 4*len(v.Off) + len(v.Data)
	}
	return w.rows.N+GroupRows > RowsMax || n > BytesMax/2
}

// Add adds rows of the description's columns. Those that would make the file too large
// are refused, as a whole.
func (w *Writer) Add(b *row.Batch) error {
	if len(b.Cols) != len(w.schema) {
		return fmt.Errorf("columnar: %d columns for the %d of %s", len(b.Cols), len(w.schema), w.about.Table)
	}
	n := 0
	for i, v := range b.Cols {
		if v.Type != w.schema[i].Type {
			return fmt.Errorf("columnar: a column of %s for %q of %s, which is %s", v.Type, w.schema[i].Name, w.about.Table, w.schema[i].Type)
		}
		if w.schema[i].NotNull && v.Nulls.Any() {
			return fmt.Errorf("columnar: a null for %q of %s", w.schema[i].Name, w.about.Table)
		}
		n += 8*len(v.I) + 4*len(v.Off) + len(v.Data)
		n += 8*len(w.rows.Cols[i].I) + 4*len(w.rows.Cols[i].Off) + len(w.rows.Cols[i].Data)
	}
	if w.rows.N+b.N > RowsMax || n > BytesMax {
		return fmt.Errorf("columnar: %d rows more than the %d that there are exceed the limits of %d rows and %d bytes: finish the file", b.N, w.rows.N, RowsMax, BytesMax)
	}
	w.rows.AppendRange(b, 0, b.N)
	return nil
}

// Finish makes the file, and begins an empty one of the same description.
func (w *Writer) Finish() (file []byte, name seal.Hash, err error) {
	order := make([]int32, w.rows.N)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if o := row.CompareBy(w.sorts, w.rows, int(a), w.rows, int(b)); o != 0 {
			return o
		}
		return int(a - b)
	})
	var out bytes.Buffer
	p := parquet.NewWriter(&out, w.config())
	group := row.NewBatch(w.schema.Types())
	for len(order) > 0 {
		n := min(len(order), w.group)
		group.Clear()
		group.AppendGather(w.rows, order[:n])
		order = order[n:]
		if err := writeGroup(p, group); err != nil {
			return nil, name, fmt.Errorf("columnar: %w", err)
		}
	}
	if err := p.Close(); err != nil {
		return nil, name, fmt.Errorf("columnar: %w", err)
	}
	w.rows.Clear()
	return w.finish(out.Bytes(), p.File().Metadata())
}

// finish puts the hashes of the column chunks into the footer, which was written
// without them.
func (w *Writer) finish(file []byte, footer *format.FileMetaData) (_ []byte, name seal.Hash, err error) {
	about := w.about
	about.Version, about.Chunks = version, nil
	for i := range footer.RowGroups {
		for k := range footer.RowGroups[i].Columns {
			at, size := extent(&footer.RowGroups[i].Columns[k].MetaData)
			h := seal.Section(file[at : at+size])
			about.Chunks = append(about.Chunks, h[:])
		}
	}
	text, err := about.encode()
	if err != nil {
		return nil, name, fmt.Errorf("columnar: %w", err)
	}
	footer.KeyValueMetadata = []format.KeyValue{{Key: metadataKey, Value: text}}
	b, err := thrift.Marshal(new(thrift.CompactProtocol), footer)
	if err != nil {
		return nil, name, fmt.Errorf("columnar: %w", err)
	}
	if len(b) > footerMax {
		return nil, name, fmt.Errorf("columnar: a footer of %d bytes, the limit is %d: finish files of %s earlier", len(b), footerMax, about.Table)
	}
	was := int(binary.LittleEndian.Uint32(file[len(file)-tailBytes:]))
	file = append(file[:len(file)-tailBytes-was], b...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(b)))
	return append(file, magic...), seal.Section(b), nil
}

// A file ends with the length of its footer and the magic.
const (
	magic     = "PAR1"
	tailBytes = 4 + len(magic)
)

// extent is where a column chunk stands in its file.
func extent(c *format.ColumnMetaData) (at, size int64) {
	at = c.DataPageOffset
	if c.DictionaryPageOffset > 0 {
		at = min(at, c.DictionaryPageOffset)
	}
	return at, c.TotalCompressedSize
}

func (w *Writer) config() *parquet.WriterConfig {
	root := &ordered{Group: parquet.Group{}}
	// parquet-go v0.32.0 reads back other values than it was given under LZ4, of columns
	// that do not compress (TestEncodings finds it).
	codec := &zstd.Codec{Level: zstd.SpeedFastest}
	var sorting []parquet.SortingColumn
	for i, c := range w.schema {
		node := parquet.Compressed(parquet.Encoded(nodeOf(c.Type), w.encoding(i)), codec)
		if !c.NotNull {
			node = parquet.Optional(node)
		}
		root.Group[c.Name] = node
		root.names = append(root.names, c.Name)
		if w.about.Columns[i].Sorted {
			sorting = append(sorting, parquet.Ascending(c.Name))
		}
	}
	c := parquet.DefaultWriterConfig()
	c.CreatedBy = "ActorDB version 1 (build unknown)"
	c.Schema = parquet.NewSchema("event", root)
	c.Sorting = parquet.SortingConfig{SortingColumns: sorting}
	c.MaxRowsPerRowGroup = GroupRows
	return c
}

// ordered is a group whose fields stand in the order of the schema, not of their names.
type ordered struct {
	parquet.Group
	names []string
}

func (o *ordered) Fields() []parquet.Field {
	list := o.Group.Fields()
	slices.SortFunc(list, func(a, b parquet.Field) int {
		return slices.Index(o.names, a.Name()) - slices.Index(o.names, b.Name())
	})
	return list
}

// repeated is how often a value must come, on average, for a dictionary to pay.
const repeated = 4

// encoding chooses by the values that there are: a dictionary where they repeat, else
// differences of integers, else as they are.
func (w *Writer) encoding(col int) encoding.Encoding {
	v := w.rows.Cols[col]
	p := physicalOf(v.Type)
	if p == asBool {
		return &plain.Encoding{}
	}
	some := min(v.Len(), GroupRows)
	if v.Type.Fixed() {
		seen := map[int64]struct{}{}
		for _, x := range v.I[:some] {
			seen[x] = struct{}{}
		}
		if len(seen)*repeated <= some {
			return &rle.DictionaryEncoding{}
		}
		if p == asFloat || p == asDouble {
			return &plain.Encoding{}
		}
		return &delta.BinaryPackedEncoding{}
	}
	seen := map[string]struct{}{}
	for i := range some {
		seen[string(v.Bytes(i))] = struct{}{}
	}
	switch {
	case len(seen)*repeated <= some:
		return &rle.DictionaryEncoding{}
	case p == asUUID:
		return &plain.Encoding{}
	}
	return &delta.LengthByteArrayEncoding{}
}

// valuesAtOnce are handed to Parquet together.
const valuesAtOnce = 1024

func writeGroup(p *parquet.Writer, group *row.Batch) error {
	var values []parquet.Value
	var scratch []byte
	for col, to := range p.ColumnWriters() {
		v := group.Cols[col]
		how := physicalOf(v.Type)
		present := 0 // definition level of a value
		if !p.Schema().Fields()[col].Required() {
			present = 1
		}
		for from := 0; from < group.N; from += valuesAtOnce {
			values, scratch = values[:0], scratch[:0]
			for i := from; i < min(from+valuesAtOnce, group.N); i++ {
				var x parquet.Value
				if v.Null(i) {
					values = append(values, parquet.NullValue().Level(0, 0, col))
					continue
				}
				x, scratch = how.value(v, i, scratch)
				values = append(values, x.Level(0, present, col))
			}
			if _, err := to.WriteRowValues(values); err != nil {
				return err
			}
		}
	}
	return p.Flush()
}
