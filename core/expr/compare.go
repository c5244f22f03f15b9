package expr

import (
	"bytes"

	"actordb/core/row"
)

// compareRow orders two values that are not null as PostgreSQL does.
func compareRow(a *row.Vector, i int, b *row.Vector, j int) int {
	if a.Type.Kind == row.Interval {
		return bytes.Compare(row.IntervalSpan(a.Bytes(i)), row.IntervalSpan(b.Bytes(j)))
	}
	return row.Compare(a, i, b, j)
}

// comparisons are the six operators, each by which of less, equal and greater
// it is true for.
var comparisons = map[string][3]int64{
	"=": {0, 1, 0}, "<>": {1, 0, 1}, "<": {1, 0, 0}, "<=": {1, 1, 0}, ">": {0, 0, 1}, ">=": {0, 1, 1},
}

func compareKernel(op string) kernel {
	table := comparisons[op]
	return func(c *call) {
		a, b, out := c.args[0], c.args[1], c.out.I
		if a.Type.Fixed() {
			compareInts(op, a.I[:c.n], b.I[:c.n], out)
			return
		}
		if a.Type.Kind == row.Interval {
			for i := range out {
				if !c.nulls.Get(i) {
					out[i] = table[compareRow(a, i, b, i)+1]
				}
			}
			return
		}
		switch op {
		case "=":
			for i := range out {
				out[i] = bit(bytes.Equal(a.Data[a.Off[i]:a.Off[i+1]], b.Data[b.Off[i]:b.Off[i+1]]))
			}
		default:
			for i := range out {
				out[i] = table[bytes.Compare(a.Data[a.Off[i]:a.Off[i+1]], b.Data[b.Off[i]:b.Off[i+1]])+1]
			}
		}
	}
}

func compareInts(op string, a, b, out []int64) {
	b, out = b[:len(a)], out[:len(a)]
	switch op {
	case "=":
		for i, x := range a {
			out[i] = bit(x == b[i])
		}
	case "<>":
		for i, x := range a {
			out[i] = bit(x != b[i])
		}
	case "<":
		for i, x := range a {
			out[i] = bit(x < b[i])
		}
	case "<=":
		for i, x := range a {
			out[i] = bit(x <= b[i])
		}
	case ">":
		for i, x := range a {
			out[i] = bit(x > b[i])
		}
	case ">=":
		for i, x := range a {
			out[i] = bit(x >= b[i])
		}
	}
}
