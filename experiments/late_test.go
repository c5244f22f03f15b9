package experiments

import (
	"math"
	"math/rand/v2"
	"testing"

	"actordb/checkers"
	"actordb/internal/viewcheck"
)

// The bounds are those of tables: without failures the rule of three, with failures
// the quantile of the beta distribution.
func TestUpperBound(t *testing.T) {
	for _, c := range []struct {
		k, n int64
		want float64
	}{{0, 3_000_000, 9.9858e-7}, {0, 10, 0.25887}, {1, 10, 0.39416}, {3, 100, 0.075714}, {0, 0, 1}, {5, 5, 1}} {
		if got := upperBound(c.k, c.n); math.Abs(got-c.want) > 1e-4*c.want {
			t.Errorf("%d of %d: %g, want %g", c.k, c.n, got, c.want)
		}
	}
}

// A run whose views and judge disagree by one microsecond of correction is counted as
// failed.
func TestLateCanFail(t *testing.T) {
	failed := 0
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := viewcheck.NewHistory(r, viewcheck.Classes)
		v := &lateViews{rand: r, judge: func(timing checkers.Timing) checkers.Timing {
			timing.Correction++
			return timing
		}}
		if _, err := v.follow(h, 60, 4); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("a judge of another opinion agreed")
	}
}
