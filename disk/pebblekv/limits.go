package pebblekv

import "github.com/cockroachdb/pebble/v2"

const (
	// formatVersion is the newest of Pebble v2.1. Raising it needs a decision and
	// a directory of the old format as test data: there is no way back.
	formatVersion = pebble.FormatValueSeparation

	// cacheBytesDefault holds the blocks that are read often. A node has one
	// store per shard.
	cacheBytesDefault = 64 << 20

	// memTableBytesDefault is what a flush writes as one piece; with
	// memTablesMax, Apply waits when 64 MB are unwritten.
	memTableBytesDefault = 16 << 20
	memTablesMax         = 4

	// l0Max is how many layers of flushed tables there may be before Apply waits
	// for compactions; each layer is one more table that a read looks into.
	l0Compact = 4
	l0Max     = 24

	// openFilesMax bounds descriptors.
	openFilesMax = 512

	// batchBytesMax is far below Pebble's own limit of 4 GB. A batch above half a
	// memory table is a table by itself.
	batchBytesMax = 256 << 20

	// bloomBits is bits per key: about one in a hundred misses costs a read.
	bloomBits = 10
)
