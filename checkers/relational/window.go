package relational

import (
	"slices"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// windowKind is the kind of a window function's value.
func (s *scope) windowKind(e *tree.Call) Kind {
	if isAggregate(e.Name) {
		return s.aggregateKind(e)
	}
	switch e.Name {
	case "row_number", "rank", "dense_rank":
		return Int8
	case "ntile":
		return Int4
	case "percent_rank", "cume_dist":
		return Float8
	case "lag", "lead":
		k := s.kinds(e.Args[0])[0]
		if len(e.Args) > 2 {
			k = unify(k, s.kinds(e.Args[2])[0])
		}
		if k == Unknown {
			k = Text
		}
		return k
	case "first_value", "last_value", "nth_value":
		return s.common(e.Args[0])
	}
	panic(failure{sqlerr.At(e.Pos, sqlerr.UndefinedFunction, "window function %s does not exist", e.Name)})
}

// computeWindows evaluates every window function for every row.
func (s *scope) computeWindows(b *tree.SelectBody, items []tree.Item, order []tree.Order, rows []*scope) {
	var calls []*tree.Call
	look := func(e tree.Expr) {
		tree.Walk(e, func(e tree.Expr) bool {
			if c, ok := e.(*tree.Call); ok && c.Over != nil {
				calls = append(calls, c)
				return false
			}
			return true
		})
	}
	for _, i := range items {
		look(i.Expr)
	}
	for _, o := range order {
		look(o.Expr)
	}
	for _, r := range rows {
		r.windows = map[*tree.Call]Value{}
	}
	for _, c := range calls {
		w := resolve(b, *c.Over)
		for _, part := range partitions(w, rows) {
			for i := range part {
				part[i].scope.windows[c] = windowValue(c, w, part, i)
			}
		}
	}
}

// resolve fills a window in from the one it names.
func resolve(b *tree.SelectBody, w tree.Window) tree.Window {
	base := w.Base + w.Name
	if base == "" {
		return w
	}
	for _, named := range b.Windows {
		if named.Name != base {
			continue
		}
		named.Name = ""
		named = resolve(b, named)
		named.Pos = w.Pos
		if len(w.OrderBy) > 0 {
			named.OrderBy = w.OrderBy
		}
		if w.Frame != nil {
			named.Frame = w.Frame
		}
		return named
	}
	panic(failure{sqlerr.At(w.Pos, sqlerr.UndefinedObject, "window %q does not exist", base)})
}

type windowRow struct {
	scope *scope
	keys  []Value
}

// partitions are the rows by their partition, each in order.
func partitions(w tree.Window, rows []*scope) (out [][]windowRow) {
	var names [][]Value
	for _, r := range rows {
		var name []Value
		for _, e := range w.PartitionBy {
			name = append(name, r.eval(e))
		}
		row := windowRow{scope: r}
		for _, o := range w.OrderBy {
			row.keys = append(row.keys, r.eval(o.Expr))
		}
		i := slices.IndexFunc(names, func(n []Value) bool { return sameRow(n, name) })
		if i < 0 {
			i = len(names)
			names, out = append(names, name), append(out, nil)
		}
		out[i] = append(out[i], row)
	}
	for _, p := range out {
		slices.SortStableFunc(p, func(a, b windowRow) int { return compareKeys(a.keys, b.keys, w.OrderBy) })
	}
	return out
}

func peers(a, b windowRow) bool { return sameRow(a.keys, b.keys) }

// windowValue is the function's value for row i of its partition.
func windowValue(c *tree.Call, w tree.Window, part []windowRow, i int) Value {
	s := part[i].scope
	k := s.windowKind(c)
	first := slices.IndexFunc(part, func(o windowRow) bool { return peers(o, part[i]) })
	last := i
	for last+1 < len(part) && peers(part[last+1], part[i]) {
		last++
	}
	n := int64(len(part))
	switch c.Name {
	case "row_number":
		return Value{k, int64(i + 1)}
	case "rank":
		return Value{k, int64(first + 1)}
	case "dense_rank":
		d := int64(1)
		for j := 1; j <= i; j++ {
			if !peers(part[j], part[j-1]) {
				d++
			}
		}
		return Value{k, d}
	case "percent_rank":
		if n == 1 {
			return Value{k, 0.0}
		}
		return Value{k, float64(first) / float64(n-1)}
	case "cume_dist":
		return Value{k, float64(last+1) / float64(n)}
	case "ntile":
		return ntile(cast(s.eval(c.Args[0]), Int4), int64(i), n)
	case "lag", "lead":
		return shifted(c, k, part, i)
	}
	var frame []*scope
	for j := range part {
		if inFrame(w, part, i, j) {
			frame = append(frame, part[j].scope)
		}
	}
	if isAggregate(c.Name) {
		return s.aggregate(c, frame)
	}
	at := 0
	switch c.Name {
	case "last_value":
		at = len(frame) - 1
	case "nth_value":
		v := cast(s.eval(c.Args[1]), Int4)
		if v.null() {
			return null(k)
		}
		if v.V.(int64) < 1 {
			return fail("22016", "argument of nth_value must be greater than zero")
		}
		at = int(v.V.(int64)) - 1
	}
	if at < 0 || at >= len(frame) {
		return null(k)
	}
	return cast(frame[at].eval(c.Args[0]), k)
}

// ntile puts row i of n into one of v buckets, the first ones one larger.
func ntile(v Value, i, n int64) Value {
	if v.null() {
		return v
	}
	b := v.V.(int64)
	if b < 1 {
		return fail("22014", "argument of ntile must be greater than zero")
	}
	size, more := n/b, n%b
	if i < more*(size+1) {
		return Value{Int4, i/(size+1) + 1}
	}
	return Value{Int4, more + (i-more*(size+1))/size + 1}
}

func shifted(c *tree.Call, k Kind, part []windowRow, i int) Value {
	s := part[i].scope
	n := int64(1)
	if len(c.Args) > 1 {
		v := cast(s.eval(c.Args[1]), Int4)
		if v.null() {
			return null(k)
		}
		n = v.V.(int64)
	}
	if c.Name == "lag" {
		n = -n
	}
	if j := int64(i) + n; j >= 0 && j < int64(len(part)) {
		return cast(part[j].scope.eval(c.Args[0]), k)
	}
	if len(c.Args) > 2 {
		return cast(s.eval(c.Args[2]), k)
	}
	return null(k)
}

// inFrame tells whether row j is in the frame of row i.
func inFrame(w tree.Window, part []windowRow, i, j int) bool {
	f := w.Frame
	if f == nil {
		return j <= i || peers(part[i], part[j])
	}
	switch {
	case f.Exclude == tree.ExcludeCurrentRow && i == j,
		f.Exclude == tree.ExcludeGroup && peers(part[i], part[j]),
		f.Exclude == tree.ExcludeTies && i != j && peers(part[i], part[j]):
		return false
	}
	return after(w, f.Start, part, i, j) && before(w, f.End, part, i, j)
}

func group(part []windowRow, i int) (n int64) {
	for j := 1; j <= i; j++ {
		if !peers(part[j], part[j-1]) {
			n++
		}
	}
	return n
}

// distance compares where j is with the bound at i: negative if before it.
func distance(w tree.Window, b tree.Bound, part []windowRow, i, j int) int {
	s := part[i].scope
	offset := Value{Int8, int64(0)}
	if b.Offset != nil {
		if offset = s.eval(b.Offset); w.Frame.Mode != tree.Range {
			offset = cast(offset, Int8)
		}
		if offset.null() {
			fail(sqlerr.InvalidFrame, "frame offset must not be null")
		}
	}
	sign := int64(1)
	if b.Kind == tree.Preceding {
		sign = -1
	}
	switch w.Frame.Mode {
	case tree.Rows, tree.Groups:
		n := offset.V.(int64)
		if n < 0 {
			fail(sqlerr.InvalidFrame, "frame offset must not be negative")
		}
		at, to := int64(i), int64(j)
		if w.Frame.Mode == tree.Groups {
			at, to = group(part, i), group(part, j)
		}
		return int(to - at - sign*n)
	}
	if b.Kind == tree.CurrentRow {
		if peers(part[i], part[j]) {
			return 0
		}
		return j - i
	}
	x, y := part[i].keys[0], part[j].keys[0]
	if x.null() || y.null() {
		if x.null() && y.null() {
			return 0
		}
		return j - i // the NULLs are before or after all others
	}
	if w.OrderBy[0].Descending {
		sign = -sign
	}
	op := "+"
	if sign < 0 {
		op = "-"
	}
	if numberRank(x.K) > 0 && numberRank(x.K) < numberRank(Numeric) { // the bound may be out of the kind's range
		x, offset = cast(x, Numeric), cast(offset, Numeric)
	}
	c := compareAny(y, s.binary(op, x, offset))
	if w.OrderBy[0].Descending {
		c = -c
	}
	return c
}

func compareAny(a, b Value) int {
	a, b = match(a, b)
	return compare(a, b)
}

func after(w tree.Window, b tree.Bound, part []windowRow, i, j int) bool {
	return b.Kind == tree.UnboundedPreceding || b.Kind != tree.UnboundedFollowing && distance(w, b, part, i, j) >= 0
}

func before(w tree.Window, b tree.Bound, part []windowRow, i, j int) bool {
	return b.Kind == tree.UnboundedFollowing || b.Kind != tree.UnboundedPreceding && distance(w, b, part, i, j) <= 0
}
