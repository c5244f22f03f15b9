package core

import (
	"testing"

	"actordb/core/proc"
	"pgregory.net/rapid"
)

// A backoff never shrinks, never exceeds its limit and never overflows, however
// many attempts there were (the class of dragonfly#4851).
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := proc.Tick(rapid.Int64Range(1, 1<<40).Draw(t, "base"))
		limit := proc.Tick(rapid.Int64Range(int64(base), 1<<61).Draw(t, "limit"))
		attempt := rapid.IntRange(1, 1<<20).Draw(t, "attempt")
		d, next := Backoff(base, limit, attempt), Backoff(base, limit, attempt+1)
		if d < base || d > limit || next < d || next > 2*d {
			t.Fatalf("backoff %d, then %d: base %d, limit %d, attempt %d", d, next, base, limit, attempt)
		}
	})
	if d := Backoff(5, 100, 1); d != 5 {
		t.Errorf("first backoff %d, want the base", d)
	}
}
