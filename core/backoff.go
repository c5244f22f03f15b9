package core

import "actordb/core/proc"

// Backoff is how long to wait before attempt number attempt (from 1): base,
// doubled each time, at most limit. It never overflows, however many attempts
// there were.
func Backoff(base, limit proc.Tick, attempt int) proc.Tick {
	d := base
	for i := 1; i < attempt && d < limit; i++ {
		d *= 2 // d < limit ≤ 2⁶², so this fits
	}
	return min(d, limit)
}
