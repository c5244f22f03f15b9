package testbed

import (
	"math/rand/v2"
	"time"

	"actordb/core/proc"
)

// Operators move slots (moves.go) and exchange replicas (members.go), now and then.

// restOf is how long an operator waits who does something every so often.
func restOf(every time.Duration, random *rand.Rand) proc.Tick {
	return proc.Tick(every/2) + proc.Tick(random.Int64N(int64(every)))
}
