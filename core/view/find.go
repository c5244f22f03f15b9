package view

import (
	"actordb/core/row"
	"actordb/core/zset"
)

// A Finder finds a view's rows by their key (View.Key), again and again in the same memory.
// It belongs to who reads the view between two steps.
type Finder struct {
	view *View
	rows zset.Rows
	at   []int
	hash []uint64
}

// Key are the columns of the answer by which its rows are found: those by which they are
// grouped if the answer shows them all, else all.
func (v *View) Key() []int { return v.all.Key() }

// Finder makes one.
func (v *View) Finder() *Finder {
	f := &Finder{view: v}
	for i := range v.all.Key() {
		f.at = append(f.at, i)
	}
	return f
}

// Find appends the rows with a key, the one row of a batch of its columns, to out.
func (f *Finder) Find(key *row.Batch, out *zset.Batch) error {
	v := f.view
	if err := v.Err(); err != nil {
		return err
	}
	f.hash = key.Hash(f.at, f.hash[:0])
	f.rows.Finder(v.all, v.all.State(), nil)
	for f.rows.Find(f.hash[0], key, f.at, 0); f.rows.Next(); {
		out.Add(&f.rows.B.Batch.Batch, f.rows.I, f.rows.Old)
	}
	if f.rows.Err != nil {
		return v.fail(f.rows.Err)
	}
	return nil
}
