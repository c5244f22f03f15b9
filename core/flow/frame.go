package flow

import (
	"math"
	"sort"

	"actordb/core/row"
)

// FrameMode is what a frame counts.
type FrameMode uint8

const (
	Range  FrameMode = iota // differences of the order's one column; peers belong together
	Rows                    // rows
	Groups                  // groups of peers
)

// BoundKind is an end of a frame.
type BoundKind uint8

const (
	Unbounded BoundKind = iota // the partition's begin, as a start; its end, as an end
	Preceding
	CurrentRow
	Following
)

// A Bound is an end of a frame. Offset is of Preceding and Following: rows,
// groups, or units of the column (days of a date, microseconds of a time).
type Bound struct {
	Kind   BoundKind
	Offset int64
}

// A Frame is the rows that a window function sees from a row of its partition.
// The zero Frame is the whole partition; SQL's default is DefaultFrame.
type Frame struct {
	Mode       FrameMode
	Start, End Bound
}

// DefaultFrame is RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW.
func DefaultFrame() Frame { return Frame{End: Bound{Kind: CurrentRow}} }

// partition is the rows of one partition in order, and who is whose peer.
type partition struct {
	rows      *row.Batch
	sorts     []row.Sort
	peerStart []int32 // first row of each row's peers
	peerEnd   []int32 // the row after the last
	group     []int32 // number of each row's group of peers
	groupAt   []int32 // first row of each group, and the end
	lo, hi    []int32 // the frame of each row, hi not included
}

// prepare finds the peers.
func (p *partition) prepare(rows *row.Batch, sorts []row.Sort) {
	n := rows.N
	p.rows, p.sorts = rows, sorts
	p.peerStart, p.peerEnd, p.group, p.groupAt = resize(p.peerStart, n), resize(p.peerEnd, n), resize(p.group, n), p.groupAt[:0]
	p.lo, p.hi = resize(p.lo, n), resize(p.hi, n)
	for i := 0; i < n; {
		j := i + 1
		for j < n && row.CompareBy(sorts, rows, i, rows, j) == 0 {
			j++
		}
		for k := i; k < j; k++ {
			p.peerStart[k], p.peerEnd[k], p.group[k] = int32(i), int32(j), int32(len(p.groupAt))
		}
		p.groupAt = append(p.groupAt, int32(i))
		i = j
	}
	p.groupAt = append(p.groupAt, int32(n))
}

func resize(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n, n+n/4)
	}
	return s[:n]
}

// frame fills lo and hi. Both never fall from one row to the next.
func (p *partition) frame(f Frame) {
	for i := range p.rows.N {
		p.lo[i] = p.bound(f.Mode, f.Start, i, true)
		p.hi[i] = max(p.bound(f.Mode, f.End, i, false), p.lo[i])
	}
}

// bound returns where the frame of row i starts, or the row after its end.
func (p *partition) bound(mode FrameMode, b Bound, i int, start bool) int32 {
	n := int64(p.rows.N)
	if b.Kind == Unbounded {
		if start {
			return 0
		}
		return int32(n)
	}
	offset := min(b.Offset, math.MaxInt32)
	if b.Kind == CurrentRow {
		offset = 0
	} else if b.Kind == Preceding {
		offset = -offset
	}
	switch {
	case mode == Rows && start:
		return int32(min(max(int64(i)+offset, 0), n))
	case mode == Rows:
		return int32(min(max(int64(i)+offset+1, 0), n))
	case mode == Groups:
		last := int64(len(p.groupAt) - 1)
		at := int64(p.group[i]) + offset
		if !start {
			at++
		}
		return p.groupAt[min(max(at, 0), last)]
	case b.Kind == CurrentRow && start:
		return p.peerStart[i]
	case b.Kind == CurrentRow:
		return p.peerEnd[i]
	}
	return p.valueBound(b, i, start)
}

// valueBound is a bound of RANGE with an offset: by the value of the order's
// column. Nulls are peers of nulls only.
func (p *partition) valueBound(b Bound, i int, start bool) int32 {
	s := p.sorts[0]
	v := p.rows.Cols[s.Col]
	if v.Null(i) {
		if start {
			return p.peerStart[i]
		}
		return p.peerEnd[i]
	}
	back := b.Kind == Preceding
	target := shifted(v.I[i], b.Offset, back != s.Desc)
	// Nulls are at one end; the others are in order.
	from := sort.Search(p.rows.N, func(j int) bool { return !v.Null(j) || !s.NullsFirst })
	to := from + sort.Search(p.rows.N-from, func(j int) bool { return v.Null(from + j) })
	at := from + sort.Search(to-from, func(j int) bool {
		x := v.I[from+j]
		switch {
		case start && s.Desc:
			return x <= target
		case start:
			return x >= target
		case s.Desc:
			return x < target
		}
		return x > target
	})
	return int32(at)
}

// shifted adds or takes away an offset; the ends of int64 hold.
func shifted(x, offset int64, down bool) int64 {
	if down {
		if x < math.MinInt64+offset {
			return math.MinInt64
		}
		return x - offset
	}
	if x > math.MaxInt64-offset {
		return math.MaxInt64
	}
	return x + offset
}
