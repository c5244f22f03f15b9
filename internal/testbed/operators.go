package testbed

import (
	"math/rand/v2"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// Operators move slots (moves.go) and exchange replicas (members.go), now and then.

// eachAnswer visits the answers of a frame; one that holds none is let go.
func eachAnswer(frame []byte, visit func(*core.Answer)) {
	r, err := wire.Open(frame)
	if err != nil || r.Kind != wire.Answers {
		return
	}
	var a core.Answer
	for r.Answer(&a) {
		visit(&a)
	}
}

// restOf is how long an operator waits who does something every so often.
func restOf(every time.Duration, random *rand.Rand) proc.Tick {
	return proc.Tick(every/2) + proc.Tick(random.Int64N(int64(every)))
}
