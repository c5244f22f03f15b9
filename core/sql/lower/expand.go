package lower

import (
	"actordb/core/row"
)

// rowsMax bounds the rows that a function in FROM makes of one row.
const rowsMax = 1_000_000

var tooMany = row.Errorf("54000", "a function in FROM makes at most %d rows of one", rowsMax)

// series is generate_series of integers: from, to, step.
type series struct {
	types []row.Type
	at    []int
}

func (s *series) Types() []row.Type { return s.types }

func (s *series) Expand(in *row.Batch, out *row.Batch, counts []int32, errs *row.Errors) []int32 {
	from, to, step := in.Cols[s.at[0]], in.Cols[s.at[1]], in.Cols[s.at[2]]
	for i := range in.N {
		n := int32(0)
		switch by := step.I[i]; {
		case from.Null(i) || to.Null(i) || step.Null(i):
		case by == 0:
			errs.Add(i, row.Errorf("22023", "step size cannot equal zero"))
		default:
			for x := from.I[i]; by > 0 && x <= to.I[i] || by < 0 && x >= to.I[i]; {
				if n == rowsMax {
					errs.Add(i, tooMany)
					out.Truncate(out.N - int(n))
					n = 0
					break
				}
				out.Cols[0].AppendInt(x)
				out.N++
				n++
				next := x + by
				if (next > x) != (by > 0) {
					break
				}
				x = next
			}
		}
		counts = append(counts, n)
	}
	return counts
}

// unnest is the elements of an array.
type unnest struct {
	types []row.Type
	at    int
}

func (u *unnest) Types() []row.Type { return u.types }

func (u *unnest) Expand(in *row.Batch, out *row.Batch, counts []int32, errs *row.Errors) []int32 {
	v := in.Cols[u.at]
	for i := range in.N {
		n := 0
		if !v.Null(i) {
			before := out.Cols[0].Len()
			if err := row.DecodeArray(v.Bytes(i), out.Cols[0]); err != nil {
				out.Cols[0].Truncate(before)
				errs.Add(i, row.Errorf(row.CodeInvalidPayload, "%v", err))
			}
			n = out.Cols[0].Len() - before
			out.N += n
		}
		counts = append(counts, int32(n))
	}
	return counts
}

// hop is the windows [start, start + size) that a time is in; they begin at
// multiples of slide.
type hop struct {
	types       []row.Type
	at          int
	slide, size int64
}

func (h *hop) Types() []row.Type { return h.types }

func (h *hop) Expand(in *row.Batch, out *row.Batch, counts []int32, errs *row.Errors) []int32 {
	v := in.Cols[h.at]
	for i := range in.N {
		n := int32(0)
		switch us := v.I[i]; {
		case v.Null(i):
		case us == row.Infinity || us == row.NegInfinity:
			errs.Add(i, row.Errorf(row.CodeDatetimeRange, "a window of time needs a finite time"))
		case h.size/h.slide > rowsMax:
			errs.Add(i, tooMany)
		default:
			for start := row.FloorDiv(us, h.slide) * h.slide; start > us-h.size; start -= h.slide {
				out.Cols[0].AppendInt(start)
				out.Cols[1].AppendInt(start + h.size)
				out.N++
				n++
			}
		}
		counts = append(counts, n)
	}
	return counts
}
