package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Stream returns the random stream called name of seed. Streams of different
// names are unrelated (S4), so whoever draws takes one of its own.
func Stream(seed uint64, name string) *rand.Rand {
	return rand.New(rand.NewPCG(streamSeed(seed, 1, name), streamSeed(seed, 2, name)))
}

func streamSeed(seed, half uint64, name string) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	binary.LittleEndian.PutUint64(b[8:], half)
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(b[:]) // a Digest never fails
	_, _ = d.WriteString(name)
	return d.Sum64()
}

func incarnationStream(seed uint64, name string, incarnation uint32) *rand.Rand {
	return Stream(seed, "process/"+name+"/"+strconv.FormatUint(uint64(incarnation), 10))
}
