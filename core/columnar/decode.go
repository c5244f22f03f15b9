package columnar

import (
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"actordb/core/row"
)

// decoder appends the pages of one column chunk to a vector.
type decoder struct {
	of         row.Type
	how        physical
	optional   bool
	dictionary *row.Vector // nil: no page has had one
	present    *row.Vector // scratch: the values of a page that has nulls, too
}

func (d *decoder) page(out *row.Vector, p parquet.Page) error {
	n := int(p.NumValues())
	levels, nulls, err := d.levels(p, n)
	if err != nil {
		return err
	}
	if nulls == 0 {
		return d.values(out, p, n)
	}
	if d.present == nil {
		d.present = row.NewVector(d.of)
	}
	d.present.Reset(d.of)
	if err := d.values(d.present, p, n-nulls); err != nil {
		return err
	}
	next := 0
	for _, l := range levels {
		if l&1 == 0 {
			out.AppendNull()
			continue
		}
		out.AppendRow(d.present, next)
		next++
	}
	return nil
}

// levels are a page's definition levels, if its column may have nulls, and how many nulls
// there are.
func (d *decoder) levels(p parquet.Page, n int) (levels []byte, nulls int, err error) {
	if d.optional {
		if levels = p.DefinitionLevels(); len(levels) != n {
			return nil, 0, fmt.Errorf("%d definition levels for %d values", len(levels), n)
		}
	}
	for _, l := range levels {
		nulls += int(1 - l&1)
	}
	return levels, nulls, nil
}

// values appends the n values of a page that are not null.
func (d *decoder) values(out *row.Vector, p parquet.Page, n int) error {
	indexes, err := d.indexes(p, n)
	switch {
	case err != nil || n == 0:
		return err
	case indexes != nil:
		out.AppendGather(d.dictionary, indexes)
		return nil
	}
	data := p.Data()
	return d.plain(out, &data, n)
}

// indexes are where in the dictionary the n values of a page stand that are not null; nil:
// the page has none.
func (d *decoder) indexes(p parquet.Page, n int) ([]int32, error) {
	from := p.Dictionary()
	if from == nil {
		return nil, nil
	}
	if d.dictionary == nil {
		d.dictionary = row.NewVector(d.of)
		entries := from.Page().Data()
		if err := d.plain(d.dictionary, &entries, from.Len()); err != nil {
			return nil, err
		}
	}
	data := p.Data()
	indexes := data.Int32()
	if len(indexes) < n {
		return nil, fmt.Errorf("%d indexes for %d values", len(indexes), n)
	}
	for _, i := range indexes[:n] {
		if uint(i) >= uint(d.dictionary.Len()) {
			return nil, fmt.Errorf("index %d of a dictionary of %d", i, d.dictionary.Len())
		}
	}
	return indexes[:n:n], nil
}

// plain appends the first n of values that stand for themselves.
func (d *decoder) plain(out *row.Vector, data *encoding.Values, n int) error {
	have := n
	switch d.how {
	case asBool:
		bits := data.Boolean()
		have = min(n, 8*len(bits))
		for i := range have {
			out.I = append(out.I, int64(bits[i/8]>>(i%8)&1))
		}
	case asInt32, asDay:
		list := data.Int32()
		have = min(n, len(list))
		for _, x := range list[:have] {
			if d.how == asDay {
				out.I = append(out.I, day(x))
			} else {
				out.I = append(out.I, int64(x))
			}
		}
	case asInt64, asMoment:
		list := data.Int64()
		have = min(n, len(list))
		at := len(out.I)
		out.I = append(out.I, list[:have]...)
		for i, x := range out.I[at:] {
			if d.how == asMoment && x == negInfinity {
				out.I[at+i] = row.NegInfinity
			}
		}
	case asFloat:
		list := data.Float()
		have = min(n, len(list))
		for _, x := range list[:have] {
			out.I = append(out.I, row.FromFloat(float64(x))) //arch:allow float: the bits alone are moved
		}
	case asDouble:
		list := data.Double()
		have = min(n, len(list))
		for _, x := range list[:have] {
			out.I = append(out.I, row.FromFloat(x)) //arch:allow float: the bits alone are moved
		}
	case asUUID:
		list, size := data.FixedLenByteArray()
		if size != uuidBytes {
			return fmt.Errorf("values of %d bytes", size)
		}
		have = min(n, len(list)/size)
		for i := range have {
			out.AppendBytes(list[i*size : (i+1)*size])
		}
	default:
		return d.bytes(out, data, n)
	}
	if have < n {
		return fmt.Errorf("%d values where %d are said to be", have, n)
	}
	return nil
}

const uuidBytes = 16

// bytes is plain of values of any length.
func (d *decoder) bytes(out *row.Vector, data *encoding.Values, n int) error {
	list, off := data.ByteArray()
	if len(off) < n+1 {
		return fmt.Errorf("%d values where %d are said to be", max(len(off)-1, 0), n)
	}
	for i := range n {
		if off[i] > off[i+1] || int(off[i+1]) > len(list) {
			return fmt.Errorf("value %d of bytes %d to %d", i, off[i], off[i+1])
		}
	}
	if d.how == asText {
		for i := range n {
			if err := out.ParseAppend(list[off[i]:off[i+1]]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(out.Data)+int(off[n]-off[0]) > row.VectorBytesMax {
		return fmt.Errorf("more than %d bytes", row.VectorBytesMax)
	}
	base := uint32(len(out.Data)) - off[0]
	out.Data = append(out.Data, list[off[0]:off[n]]...)
	for _, o := range off[1 : n+1] {
		out.Off = append(out.Off, o+base)
	}
	return nil
}
