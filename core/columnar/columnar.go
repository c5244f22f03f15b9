// Package columnar keeps events of one type as a Parquet file, a column for each
// column of the type's table, so that a scan reads what it needs and nothing else. A
// file is derived from journals and can be made again from them; any tool that reads
// Parquet can read it.
//
//	columnar.go   what a file says about itself
//	types.go      how a column's values stand in Parquet
//	write.go      rows to a file's bytes
//	read.go       a file's row groups to batches, as far as they are wanted
//	decode.go     one column of one row group
//	distinct.go   row groups as sets, with how often each row is there
//
// A file is ordinary Parquet (https://parquet.apache.org/docs/file-format/): row groups
// of GroupRows rows in the order of the columns that it is sorted by, with the least and
// the greatest value of each column chunk and page, dictionaries where values repeat,
// and zstd. Its key-value metadata has one entry,
// "actordb": a Description in JSON.
//
//	G1  The same rows give the same bytes, in whatever order they were added, if the
//	    columns of the order tell them apart.
//	G2  A file is named by the SHA-256 of its footer, which has the SHA-256 of each column
//	    chunk. Nothing is decoded before its bytes have proved to be those of the
//	    name; what has not is refused with its place, as Damage.
//	G3  What is read is what was added: nulls, infinities and NaN too, in canonical form.
package columnar

import (
	"encoding/json"
	"fmt"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/seal"
)

// Limits.
const (
	// GroupRows is how many rows a row group has: what is decoded at once is a batch.
	GroupRows = row.BatchRowsMax
	// RowsMax and BytesMax bound what a file holds; the bytes are those of the rows in memory.
	RowsMax  = 1 << 20
	BytesMax = 512 << 20
	// footerMax bounds the end of a file, which is read as a whole.
	footerMax = 64 << 20
)

// metadataKey is where the Description stands among a file's metadata.
const metadataKey = "actordb"

const version = 1

// A Range is a part of a shard's log.
type Range struct {
	Shard core.ShardID `json:"shard"`
	First core.Index   `json:"first"`
	Last  core.Index   `json:"last"`
	Chain string       `json:"chain,omitempty"` // hash over the applied blocks up to Last, in hex
}

// A Description is what a file says about itself.
type Description struct {
	Version int     `json:"version"`
	Table   string  `json:"table"`
	Ranges  []Range `json:"ranges,omitempty"` // its rows are all rows of the table that these have
	// Unreadable events of the ranges have no row; First says where the first one stands, and
	// why it has none.
	Unreadable int64    `json:"unreadable,omitempty"`
	First      string   `json:"first_unreadable,omitempty"`
	Columns    []Column `json:"columns"`
	Chunks     [][]byte `json:"chunks,omitempty"` // SHA-256 of each column chunk, row group by row group
}

// A Column is one of a file.
type Column struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // as SQL calls it
	NotNull bool   `json:"not_null,omitempty"`
	Sorted  bool   `json:"sorted,omitempty"` // the rows are in the order of such columns, ascending
}

// Schema is that of the rows.
func (d *Description) Schema() (s row.Schema, err error) {
	for _, c := range d.Columns {
		t, err := row.ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		s = append(s, row.Column{Name: c.Name, Type: t, NotNull: c.NotNull})
	}
	if len(s) == 0 {
		return nil, fmt.Errorf("table %s has no columns", d.Table)
	}
	return s, s.Check()
}

// ColumnsOf describes a schema's columns, of which the first so many say the order.
func ColumnsOf(s row.Schema, sorted int) (list []Column) {
	for i, c := range s {
		list = append(list, Column{Name: c.Name, Type: c.Type.String(), NotNull: c.NotNull, Sorted: i < sorted})
	}
	return list
}

func (d *Description) encode() (string, error) {
	b, err := json.Marshal(d)
	return string(b), err
}

func decodeDescription(text string) (*Description, error) {
	d := &Description{}
	if err := json.Unmarshal([]byte(text), d); err != nil {
		return nil, err
	}
	if d.Version != version {
		return nil, &core.VersionError{Place: "a columnar file", Found: uint64(d.Version), Reads: version}
	}
	return d, nil
}

// Damage is what is wrong with a file's bytes, and where.
type Damage struct {
	Name   seal.Hash // of the file
	Group  int       // row group, or -1: the footer
	Column string    // of the row group
	What   string
}

func (d *Damage) Error() string {
	place := "its footer"
	if d.Group >= 0 {
		place = fmt.Sprintf("column %q of row group %d", d.Column, d.Group)
	}
	return fmt.Sprintf("columnar file %s: %s: %s; remove it: it is made anew from the journals", d.Name, place, d.What)
}
