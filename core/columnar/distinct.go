package columnar

import (
	"errors"

	"github.com/parquet-go/parquet-go"

	"actordb/core/row"
)

// coded is a column chunk as places in its dictionary.
type coded struct {
	decoder
	codes []int32 // of each row; that of a null is the dictionary's length
}

// size is how many codes there can be.
func (c *coded) size() int {
	n := 0
	if c.dictionary != nil {
		n = c.dictionary.Len()
	}
	if c.optional {
		n++
	}
	return n
}

// errPlain says that a column chunk does not stand in a dictionary alone.
var errPlain = errors.New("a page without a dictionary")

// ReadDistinct is Read for who counts: of rows that are equal in all of cols it returns one,
// with how many they are, as far as dictionaries make that cheap; otherwise some or all come
// one by one. Weights are appended to weights[:0].
func (f *File) ReadDistinct(group int, cols []int, out *row.Batch, weights []int64) ([]int64, error) {
	weights = weights[:0]
	rows := f.Rows(group)
	places := 1
	list := f.coded[:0]
	for _, col := range cols {
		if len(list) == cap(list) {
			list = append(list, coded{})
		} else {
			list = list[:len(list)+1]
		}
		c := &list[len(list)-1]
		err := f.codes(group, col, c)
		f.coded = list
		switch {
		case err == nil && len(c.codes) != rows:
			return weights, f.damage(group, col, "%d values of %d rows", len(c.codes), rows)
		case err == nil:
			places *= c.size()
		case !errors.Is(err, errPlain):
			return weights, err
		}
		if err != nil || places*repeated > rows {
			for range rows {
				weights = append(weights, 1)
			}
			return weights, f.Read(group, cols, out)
		}
	}
	f.counts = append(f.counts[:0], make([]int32, places)...)
	f.count(list, rows)
	types := make([]row.Type, len(cols))
	for i, col := range cols {
		types[i] = f.schema[col].Type
	}
	out.Reset(types)
	for place, n := range f.counts {
		if n == 0 {
			continue
		}
		weights = append(weights, int64(n))
		out.N++
		for i := len(list) - 1; i >= 0; i-- {
			c := &list[i]
			code := place % c.size()
			place /= c.size()
			if c.dictionary == nil || code == c.dictionary.Len() {
				out.Cols[i].AppendNull()
			} else {
				out.Cols[i].AppendRow(c.dictionary, code)
			}
		}
	}
	return weights, nil
}

// count counts the rows of each combination of codes.
func (f *File) count(list []coded, rows int) {
	switch len(list) {
	case 0:
		f.counts[0] = int32(rows)
		return
	case 1:
		for _, code := range list[0].codes {
			f.counts[code]++
		}
		return
	}
	for i := range rows {
		place := 0
		for k := range list {
			place = place*list[k].size() + int(list[k].codes[i])
		}
		f.counts[place]++
	}
}

// codes reads a column chunk that stands in a dictionary. errPlain: it does not.
func (f *File) codes(group, col int, c *coded) error {
	c.codes, c.how, c.optional = c.codes[:0], physicalOf(f.schema[col].Type), !f.schema[col].NotNull
	c.dictionary, c.of = nil, f.schema[col].Type
	return f.pages(group, col, c.page)
}

// page appends the codes of a page.
func (c *coded) page(p parquet.Page) error {
	n := int(p.NumValues())
	levels, nulls, err := c.levels(p, n)
	if err != nil {
		return err
	}
	if nulls == n && p.Dictionary() == nil { // what a null's code is would not be known
		return errPlain
	}
	indexes, err := c.indexes(p, n-nulls)
	if err != nil {
		return err
	}
	if indexes == nil {
		return errPlain
	}
	if nulls == 0 {
		c.codes = append(c.codes, indexes...)
		return nil
	}
	next := 0
	for _, l := range levels {
		if l&1 == 0 {
			c.codes = append(c.codes, int32(c.dictionary.Len()))
			continue
		}
		c.codes = append(c.codes, indexes[next])
		next++
	}
	return nil
}
