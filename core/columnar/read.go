package columnar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"actordb/core/row"
	"actordb/core/seal"
)

// A File is one that is read. It is not safe for concurrent use; several can be opened
// of the same bytes.
type File struct {
	Description
	Name seal.Hash
	// FooterBytes is how much of the file was read to open it.
	FooterBytes int64
	schema      row.Schema
	file        *parquet.File
	from        io.ReaderAt
	buffer      []byte // a column chunk
	coded       []coded
	counts      []int32
}

// Open reads the footer of the file of a name. Bytes that are not those of the name are
// refused with *Damage.
func Open(from io.ReaderAt, size int64, name seal.Hash) (*File, error) {
	footer := func(what string, args ...any) error {
		return &Damage{Name: name, Group: -1, What: fmt.Sprintf(what, args...)}
	}
	var tail [tailBytes]byte
	if size < int64(tailBytes+len(magic)) {
		return nil, footer("%d bytes are no Parquet file", size)
	}
	if err := readAt(from, tail[:], size-int64(tailBytes)); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != magic || length > min(footerMax, size-int64(tailBytes+len(magic))) {
		return nil, footer("it does not end as a Parquet file does")
	}
	b := make([]byte, length)
	if err := readAt(from, b, size-int64(tailBytes)-length); err != nil {
		return nil, err
	}
	if seal.Section(b) != name {
		return nil, footer("its hash is not the file's name")
	}
	p, err := parquet.OpenFile(from, size, &parquet.FileConfig{SkipMagicBytes: true, SkipPageIndex: true, SkipBloomFilters: true, ReadBufferSize: readBuffer})
	if err != nil {
		return nil, footer("%v", err)
	}
	f := &File{Name: name, FooterBytes: length + int64(tailBytes), file: p, from: from}
	text, _ := p.Lookup(metadataKey)
	d, err := decodeDescription(text)
	if err != nil {
		return nil, footer("its description: %v", err)
	}
	f.Description = *d
	if f.schema, err = d.Schema(); err != nil {
		return nil, footer("its description: %v", err)
	}
	if what := f.disagree(); what != "" {
		return nil, footer("%s", what)
	}
	return f, nil
}

const readBuffer = 64 << 10

// readAt reads all that is wanted: a file that is shorter than it was said to be is
// an error of its own.
func readAt(from io.ReaderAt, b []byte, at int64) error {
	if n, err := from.ReadAt(b, at); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("columnar: reading %d bytes at %d: %w", len(b), at, err)
	}
	return nil
}

// disagree says how the description differs from the Parquet file around it.
func (f *File) disagree() string {
	leaves := f.file.Root().Columns()
	if len(leaves) != len(f.schema) || len(f.Chunks) != len(f.schema)*len(f.file.RowGroups()) {
		return fmt.Sprintf("%d columns, %d row groups, %d hashes", len(leaves), len(f.file.RowGroups()), len(f.Chunks))
	}
	for i, leaf := range leaves {
		c := f.schema[i]
		want := nodeOf(c.Type)
		if leaf.Name() != c.Name || !leaf.Leaf() || leaf.Repeated() || leaf.Optional() == c.NotNull || leaf.Type().Kind() != want.Type().Kind() || leaf.Type().Length() != want.Type().Length() {
			return fmt.Sprintf("column %d is not %q of %s", i, c.Name, c.Type)
		}
	}
	for _, h := range f.Chunks {
		if len(h) != seal.Bytes {
			return fmt.Sprintf("a hash of %d bytes", len(h))
		}
	}
	for i, g := range f.file.RowGroups() {
		if n := g.NumRows(); n <= 0 || n > GroupRows {
			return fmt.Sprintf("row group %d has %d rows", i, n)
		}
	}
	return ""
}

// Types are those of the columns.
func (f *File) Types() []row.Type { return f.schema.Types() }

// Groups is how many row groups there are.
func (f *File) Groups() int { return len(f.file.RowGroups()) }

// Rows is how many a row group has.
func (f *File) Rows(group int) int { return int(f.file.RowGroups()[group].NumRows()) }

func (f *File) chunk(group, col int) *format.ColumnMetaData {
	return &f.file.Metadata().RowGroups[group].Columns[col].MetaData
}

// Stored is how many bytes of a row group a scan of some columns reads.
func (f *File) Stored(group int, cols []int) (n int64) {
	for _, col := range cols {
		_, size := extent(f.chunk(group, col))
		n += size
	}
	return n
}

// A Bound keeps the rows of which a column's value is at least Least and at most Most;
// one that is of no type is no bound. Nulls are never kept.
type Bound struct {
	Column      int
	Least, Most row.Value
}

// Meets reports whether a row group may have a row within all bounds: what its
// footer says of the least and the greatest values does not rule it out.
func (f *File) Meets(group int, bounds []Bound) bool {
	for i := range bounds {
		b := &bounds[i]
		least, most, ok := f.zone(group, b.Column)
		if !ok {
			continue
		}
		if b.Least.Type.Valid() && compareValues(most, b.Least) < 0 || b.Most.Type.Valid() && compareValues(least, b.Most) > 0 {
			return false
		}
	}
	return true
}

// zone is the least and the greatest value of a column chunk, of those types that
// Parquet orders as we do.
func (f *File) zone(group, col int) (least, most row.Value, ok bool) {
	lo, hi, ok := f.file.RowGroups()[group].ColumnChunks()[col].(*parquet.FileColumnChunk).Bounds()
	if !ok {
		return least, most, false
	}
	t := f.schema[col].Type
	value := func(v parquet.Value) row.Value {
		switch physicalOf(t) {
		case asInt32:
			return row.Value{Type: t, I: int64(v.Int32())}
		case asInt64:
			return row.Value{Type: t, I: v.Int64()}
		case asMoment:
			return row.Value{Type: t, I: moment(v.Int64())}
		case asDay:
			return row.Value{Type: t, I: day(v.Int32())}
		case asBytes:
			return row.Value{Type: t, B: v.ByteArray()}
		}
		ok = false // floats have NaN, text stands for values of another order
		return row.Value{}
	}
	return value(lo), value(hi), ok && t.Kind != row.JSONB
}

func compareValues(a, b row.Value) int {
	x, y := row.NewVector(a.Type), row.NewVector(b.Type)
	x.AppendValue(a)
	y.AppendValue(b)
	return row.Compare(x, 0, y, 0)
}

// Read reads some columns of a row group into out, which becomes a batch of theirs, in
// the order of cols. It reads Stored bytes. What is damaged is refused with *Damage.
func (f *File) Read(group int, cols []int, out *row.Batch) error {
	types := make([]row.Type, len(cols))
	for i, col := range cols {
		types[i] = f.schema[col].Type
	}
	out.Reset(types)
	out.N = f.Rows(group)
	for i, col := range cols {
		if err := f.column(group, col, out.Cols[i]); err != nil {
			out.Reset(types)
			return err
		}
		if n := out.Cols[i].Len(); n != out.N {
			out.Reset(types)
			return f.damage(group, col, "%d values of %d rows", n, f.Rows(group))
		}
	}
	return nil
}

func (f *File) damage(group, col int, what string, args ...any) error {
	return &Damage{Name: f.Name, Group: group, Column: f.schema[col].Name, What: fmt.Sprintf(what, args...)}
}

// column reads one column chunk.
func (f *File) column(group, col int, out *row.Vector) error {
	d := decoder{of: out.Type, how: physicalOf(out.Type), optional: !f.schema[col].NotNull}
	return f.pages(group, col, func(p parquet.Page) error { return d.page(out, p) })
}

// load reads the bytes of a column chunk, which are there until the next one is read.
func (f *File) load(group, col int) (window, error) {
	at, size := extent(f.chunk(group, col))
	if at < 0 || size < 0 || size > f.file.Size()-at {
		return window{}, f.damage(group, col, "%d bytes at %d are not in the file", size, at)
	}
	if int64(cap(f.buffer)) < size {
		f.buffer = make([]byte, size+size/4)
	}
	w := window{at, f.buffer[:size]}
	if err := readAt(f.from, w.b, at); err != nil {
		return window{}, err
	}
	if seal.Section(w.b) != seal.Hash(f.Chunks[group*len(f.schema)+col]) {
		return window{}, f.damage(group, col, "its bytes are not those that were written")
	}
	return w, nil
}

// pages hands on the pages of a column chunk, whose bytes have proved to be the right ones.
func (f *File) pages(group, col int, take func(parquet.Page) error) error {
	w, err := f.load(group, col)
	if err != nil {
		return err
	}
	pages := f.file.RowGroups()[group].ColumnChunks()[col].(*parquet.FileColumnChunk).PagesFrom(w)
	defer pages.Close()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = take(page)
			parquet.Release(page)
		}
		if errors.Is(err, errPlain) {
			return err
		}
		if err != nil {
			return f.damage(group, col, "%v", err)
		}
	}
}

// window is a part of a file that stands in memory.
type window struct {
	at int64
	b  []byte
}

func (w window) ReadAt(b []byte, off int64) (int, error) {
	if off < w.at || off-w.at > int64(len(w.b)) {
		return 0, io.EOF
	}
	n := copy(b, w.b[off-w.at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
