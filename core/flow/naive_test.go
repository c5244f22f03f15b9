package flow

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// The naive evaluator: relations are lists of rows, rows are lists of Go
// values (nil, int64, string, bool, *big.Int), and every operator is the
// definition in SQL, written down. It shares nothing with the package.

type nrow []any

type nrel struct {
	rows []nrow
	errs []string // code and text of each failed evaluation
}

func show(x any) string {
	switch x := x.(type) {
	case nil:
		return "NULL"
	case bool:
		if x {
			return "t"
		}
		return "f"
	case *big.Int:
		return x.String()
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = show(e)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return fmt.Sprint(x)
}

func (r nrow) String() string {
	s := ""
	for _, x := range r {
		s += show(x) + "|"
	}
	return s
}

// ncmp orders values, null last.
func ncmp(a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(b2i(a == nil), b2i(b == nil))
	}
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case string:
		return cmp.Compare(a, b.(string))
	case bool:
		return cmp.Compare(b2i(a), b2i(b.(bool)))
	case *big.Int:
		return a.Cmp(b.(*big.Int))
	}
	panic("a value of no type")
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

type nsort struct {
	col              int
	desc, nullsFirst bool
}

func nsortCmp(sorts []nsort, a, b nrow) int {
	for _, s := range sorts {
		x, y := a[s.col], b[s.col]
		if (x == nil) != (y == nil) {
			if (x == nil) == s.nullsFirst {
				return -1
			}
			return 1
		}
		if x == nil {
			continue
		}
		if c := ncmp(x, y); c != 0 {
			if s.desc {
				return -c
			}
			return c
		}
	}
	return 0
}

// nordered sorts by sorts, ties by all columns.
func nordered(rows []nrow, sorts []nsort) []nrow {
	out := slices.Clone(rows)
	slices.SortStableFunc(out, func(a, b nrow) int {
		if c := nsortCmp(sorts, a, b); c != 0 {
			return c
		}
		for i := range a {
			if c := ncmp(a[i], b[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	return out
}

func pickRow(r nrow, cols []int) nrow {
	out := nrow{}
	for _, c := range cols {
		out = append(out, r[c])
	}
	return out
}

// ngroups divides rows by columns, null being a value.
func ngroups(rows []nrow, key []int) (keys []nrow, groups [][]nrow) {
	at := map[string]int{}
	for _, r := range rows {
		k := pickRow(r, key)
		i, ok := at[k.String()]
		if !ok {
			i = len(keys)
			at[k.String()] = i
			keys = append(keys, k)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return keys, groups
}

func nequal(l nrow, lk []int, r nrow, rk []int) bool {
	for i := range lk {
		if l[lk[i]] == nil || r[rk[i]] == nil || ncmp(l[lk[i]], r[rk[i]]) != 0 {
			return false
		}
	}
	return true
}

func njoin(kind JoinKind, l, r nrel, lk, rk []int, lw, rw int, on func(nrow) (bool, string)) nrel {
	out := nrel{errs: append(slices.Clone(l.errs), r.errs...)}
	matchedR := make([]bool, len(r.rows))
	for _, x := range l.rows {
		matched := false
		for j, y := range r.rows {
			if !nequal(x, lk, y, rk) {
				continue
			}
			both := append(slices.Clone(x), y...)
			if on != nil {
				ok, err := on(both)
				if err != "" {
					out.errs = append(out.errs, err)
				}
				if !ok {
					continue
				}
			}
			matched, matchedR[j] = true, true
			if kind < Semi {
				out.rows = append(out.rows, both)
			}
		}
		if kind == Semi && matched || kind == Anti && !matched {
			out.rows = append(out.rows, x)
		}
		if !matched && (kind == Left || kind == Full) {
			out.rows = append(out.rows, append(slices.Clone(x), make(nrow, rw)...))
		}
	}
	if kind == Right || kind == Full {
		for j, y := range r.rows {
			if !matchedR[j] {
				out.rows = append(out.rows, append(make(nrow, lw), y...))
			}
		}
	}
	return out
}

func nset(kind SetKind, l, r nrel) nrel {
	out := nrel{errs: append(slices.Clone(l.errs), r.errs...)}
	count := func(rows []nrow, s string) (n int) {
		for _, r := range rows {
			n += b2i(r.String() == s)
		}
		return n
	}
	seen := map[string]bool{}
	for _, x := range l.rows {
		s := x.String()
		if seen[s] {
			continue
		}
		seen[s] = true
		a, b := count(l.rows, s), count(r.rows, s)
		n := 0
		switch kind {
		case ExceptAll:
			n = a - b
		case Except:
			n = b2i(b == 0)
		case IntersectAll:
			n = min(a, b)
		case Intersect:
			n = b2i(b > 0)
		}
		for ; n > 0; n-- {
			out.rows = append(out.rows, x)
		}
	}
	return out
}

// nagg is one aggregate over the rows of a group or a frame.
type nagg struct {
	kind     AggKind
	arg      int
	filter   int // -1: none
	distinct bool
	order    []nsort
	wide     bool // the sum of bigint is numeric
}

func (a nagg) eval(rows []nrow) any {
	var kept []nrow
	seen := map[string]bool{}
	for _, r := range rows {
		if a.filter >= 0 && r[a.filter] != true {
			continue
		}
		if a.kind == CountRows {
			kept = append(kept, r)
			continue
		}
		if r[a.arg] == nil && a.kind != ArrayAgg {
			continue
		}
		if s := show(r[a.arg]); a.distinct && seen[s] {
			continue
		} else {
			seen[s] = true
		}
		kept = append(kept, r)
	}
	if a.kind == CountRows || a.kind == Count {
		return int64(len(kept))
	}
	if len(kept) == 0 {
		return nil
	}
	switch a.kind {
	case SumOf:
		sum := new(big.Int)
		for _, r := range kept {
			sum.Add(sum, big.NewInt(r[a.arg].(int64)))
		}
		return sum
	case Min, Max:
		best := kept[0][a.arg]
		for _, r := range kept {
			if c := ncmp(r[a.arg], best); c < 0 && a.kind == Min || c > 0 && a.kind == Max {
				best = r[a.arg]
			}
		}
		return best
	case BoolAnd, BoolOr:
		all, any := true, false
		for _, r := range kept {
			all, any = all && r[a.arg].(bool), any || r[a.arg].(bool)
		}
		if a.kind == BoolAnd {
			return all
		}
		return any
	}
	kept = nordered(kept, append(slices.Clone(a.order), nsort{col: a.arg}))
	var list []any
	s := ""
	for i, r := range kept {
		list = append(list, r[a.arg])
		if i > 0 {
			s += ","
		}
		s += show(r[a.arg])
	}
	if a.kind == StringAgg {
		return s
	}
	return list
}

func naggregate(in nrel, key []int, scalar bool, aggs []nagg) nrel {
	out := nrel{errs: in.errs}
	keys, groups := ngroups(in.rows, key)
	if scalar && len(keys) == 0 {
		keys, groups = []nrow{{}}, [][]nrow{nil}
	}
	for i, k := range keys {
		r := slices.Clone(k)
		for _, a := range aggs {
			r = append(r, a.eval(groups[i]))
		}
		out.rows = append(out.rows, r)
	}
	return out
}

func ntopk(in nrel, part []int, sorts []nsort, offset, limit int) nrel {
	out := nrel{errs: in.errs}
	_, groups := ngroups(in.rows, part)
	for _, g := range groups {
		for i, r := range nordered(g, sorts) {
			if i >= offset && (limit < 0 || i < offset+limit) {
				out.rows = append(out.rows, r)
			}
		}
	}
	return out
}

// nframe returns the rows of a frame, by looking at every row.
func nframe(rows []nrow, sorts []nsort, f Frame, i int) (frame []nrow) {
	group := func(j int) (n int) {
		for k := 1; k <= j; k++ {
			n += b2i(nsortCmp(sorts, rows[k-1], rows[k]) != 0)
		}
		return n
	}
	// place tells where row j is, seen from row i, in the frame's measure.
	inside := func(j int, b Bound, start bool) bool {
		if b.Kind == Unbounded {
			return true
		}
		offset := b.Offset
		if b.Kind == CurrentRow {
			offset = 0
		} else if b.Kind == Preceding {
			offset = -offset
		}
		var distance int64
		switch f.Mode {
		case Rows:
			distance = int64(j - i)
		case Groups:
			distance = int64(group(j) - group(i))
		case Range:
			if b.Kind == CurrentRow {
				distance = int64(group(j) - group(i))
				break
			}
			x, y := rows[i][sorts[0].col], rows[j][sorts[0].col]
			if x == nil || y == nil {
				if x == nil && y == nil {
					distance, offset = 0, 0
				} else {
					distance, offset = int64(group(j)-group(i)), 0
				}
				break
			}
			distance = y.(int64) - x.(int64)
			if sorts[0].desc {
				distance = -distance
			}
		}
		if start {
			return distance >= offset
		}
		return distance <= offset
	}
	for j := range rows {
		if inside(j, f.Start, true) && inside(j, f.End, false) {
			frame = append(frame, rows[j])
		}
	}
	return frame
}

func nwindow(in nrel, part []int, sorts []nsort, funcs []WindowFunc) nrel {
	out := nrel{errs: in.errs}
	_, groups := ngroups(in.rows, part)
	for _, g := range groups {
		rows := nordered(g, sorts)
		for i, r := range rows {
			full := slices.Clone(r)
			for _, f := range funcs {
				full = append(full, nwindowFunc(rows, sorts, f, i))
			}
			out.rows = append(out.rows, full)
		}
	}
	return out
}

func nwindowFunc(rows []nrow, sorts []nsort, f WindowFunc, i int) any {
	before := func(j int) bool { return nsortCmp(sorts, rows[j], rows[i]) < 0 }
	switch f.Kind {
	case RowNumber:
		return int64(i + 1)
	case Rank, DenseRank:
		n := int64(1)
		for j := range rows {
			if before(j) && (f.Kind == Rank || nsortCmp(sorts, rows[j], rows[j+1]) != 0) {
				n++
			}
		}
		return n
	case Ntile:
		bucket := int64(0)
		for j, left := 0, int64(len(rows)); j <= i; {
			bucket++
			size := (left + f.Offset - bucket) / (f.Offset - bucket + 1)
			j += int(size)
			left -= size
		}
		return bucket
	case Lag, Lead:
		j := i + int(f.Offset)
		if f.Kind == Lag {
			j = i - int(f.Offset)
		}
		if j < 0 || j >= len(rows) {
			return nil
		}
		return rows[j][f.Arg]
	case SessionStart, SessionEnd:
		col := sorts[0].col
		if rows[i][col] == nil {
			return nil
		}
		first, last := i, i
		for first > 0 && rows[first-1][col] != nil && rows[first][col].(int64)-rows[first-1][col].(int64) <= f.Offset {
			first--
		}
		for last+1 < len(rows) && rows[last+1][col] != nil && rows[last+1][col].(int64)-rows[last][col].(int64) <= f.Offset {
			last++
		}
		if f.Kind == SessionStart {
			return rows[first][col]
		}
		return rows[last][col].(int64) + f.Offset
	}
	frame := nframe(rows, sorts, f.Frame, i)
	switch {
	case f.Kind == WindowAgg:
		return nagg{kind: f.Agg, arg: f.Arg, filter: -1}.eval(frame)
	case len(frame) == 0:
		return nil
	case f.Kind == FirstValue:
		return frame[0][f.Arg]
	case f.Kind == LastValue:
		return frame[len(frame)-1][f.Arg]
	case int(f.Offset) > len(frame):
		return nil
	}
	return frame[f.Offset-1][f.Arg]
}
