package flow

import (
	"math"

	"actordb/core/row"
	"actordb/core/zset"
)

// An Expiry says that a key's time comes to an end: when the bound of a clock has
// passed it by more than After, its state is discarded, while its rows stay in the
// result as they are. Rows for it are late from then on (see Plan.Late).
type Expiry struct {
	Col   int   // 1 plus the position of the time in the key; 0: keys never end
	Clock int   // which of the circuit's bounds, see Circuit.Advance
	After int64 // at least 0
}

// ClocksMax bounds the clocks of a circuit.
const ClocksMax = 64

// lapse is an Expiry of a column of rows.
type lapse struct {
	col   int // or -1
	clock int
	after int64
	gap   int64 // of sessions by that column, which end as a whole; 0: each row by itself
}

var never = lapse{col: -1}

// over is the bound below which a column of a step is over.
func (k *core) over(l lapse) int64 {
	b := k.c.bounds[l.clock]
	if b < math.MinInt64+l.after {
		return math.MinInt64
	}
	return b - l.after
}

// expiry is e as a lapse of a key's columns; rows that are late are filtered out.
func (p *Plan) expiry(in Node, key []int, e Expiry) (filtered Node, l lapse, ok bool) {
	switch {
	case e.Col <= 0:
		return in, never, true
	case e.Col > len(key):
		p.fail("only a column of the key can expire")
		return in, never, false
	}
	l = lapse{col: key[e.Col-1], clock: e.Clock, after: e.After}
	in = p.Temporal(in, l.col, e)
	return in, l, in >= 0
}

// Advance sets the bound of a clock for this step and those after it: rows whose
// time is older are late, and state that only older ones need is discarded when the
// step ends. It never goes back.
func (c *Circuit) Advance(clock int, bound int64) { c.bounds[clock] = max(c.bounds[clock], bound) }

// Bound is what Advance has set.
func (c *Circuit) Bound(clock int) int64 { return c.bounds[clock] }

// discardBelow takes out the rows whose column col is below bound.
func discardBelow(a *zset.Arrangement, col int, bound int64, scratch *zset.Batch) error {
	scratch.Clear()
	var rows zset.Rows
	for rows.Open(a, a.State(), nil); rows.Next(); {
		if v := rows.B.Cols[col]; v.I[rows.I] < bound && !v.Null(rows.I) {
			if err := takeOut(a, &rows, scratch); err != nil {
				return err
			}
		}
	}
	if rows.Err != nil {
		return rows.Err
	}
	return settle(a, scratch)
}

// takeOut retracts the row of a walk.
func takeOut(a *zset.Arrangement, rows *zset.Rows, scratch *zset.Batch) error {
	scratch.Add(&rows.B.Batch.Batch, rows.I, -rows.Old)
	if scratch.N < row.BatchRowsMax {
		return nil
	}
	err := a.Add(scratch)
	scratch.Clear()
	return err
}

// settle makes what was taken out a part of the state.
func settle(a *zset.Arrangement, scratch *zset.Batch) error {
	err := a.Add(scratch)
	scratch.Clear()
	for done := false; !done && err == nil; {
		done, err = a.Seal(1 << 20)
	}
	if err != nil {
		return err
	}
	return a.Commit()
}

// discardSessions takes out the sessions whose last row is below bound: the rows of
// one key whose times are at most gap apart. They are read in the order of key and
// time, twice: a session's rows stay until its last one is known.
func discardSessions(a *zset.Arrangement, key []int, l lapse, bound int64, scratch *zset.Batch) error {
	scratch.Clear()
	var rows, ahead zset.Rows // ahead finds where the session of rows ends
	rows.Open(a, a.State(), nil)
	ahead.Open(a, a.State(), nil)
	last := row.NewBatch(a.Types()) // the row that ahead was on
	more := ahead.Next()
	for more {
		n := 0 // rows of one session
		for same := true; same; {
			n++
			last.Clear()
			last.AppendRow(&ahead.B.Batch.Batch, ahead.I)
			if more = ahead.Next(); !more {
				break
			}
			same = sameSession(last, &ahead.B.Batch.Batch, ahead.I, key, l)
		}
		gone := !last.Cols[l.col].Null(0) && last.Cols[l.col].I[0] < bound
		for ; n > 0 && rows.Next(); n-- {
			if !gone {
				continue
			}
			if err := takeOut(a, &rows, scratch); err != nil {
				return err
			}
		}
	}
	if rows.Err != nil {
		return rows.Err
	}
	if ahead.Err != nil {
		return ahead.Err
	}
	return settle(a, scratch)
}

// sameSession reports whether a row goes on with the session of the one before.
func sameSession(before, in *row.Batch, i int, key []int, l lapse) bool {
	for _, k := range key {
		if !row.Same(before.Cols[k], 0, in.Cols[k], i) {
			return false
		}
	}
	x, y := before.Cols[l.col], in.Cols[l.col]
	return x.Null(0) == y.Null(i) && (x.Null(0) || shifted(y.I[i], l.gap, true) <= x.I[0])
}
