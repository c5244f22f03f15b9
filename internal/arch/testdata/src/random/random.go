package random

import (
	_ "crypto/rand" // want `rand: import of crypto/rand`
	_ "math/rand"   // want `rand: import of math/rand`
	"math/rand/v2"
)

func wrong() int {
	rand.Shuffle(3, func(i, j int) {}) // want `rand: use of the global source by rand.Shuffle`
	f := rand.Uint64                   // want `rand: use of the global source by rand.Uint64`
	_ = f
	return rand.IntN(5) // want `rand: use of the global source by rand.IntN`
}

func right(r *rand.Rand) int {
	own := rand.New(rand.NewPCG(1, 2))
	own.Shuffle(3, func(i, j int) {})
	return r.IntN(5)
}
