package journal

import "actordb/core"

const (
	// BlockBytesMax bounds a block: one command at its largest, as events and
	// as light state, with room for the dictionaries.
	BlockBytesMax = 2*core.CommandBytesMax + 1<<20
	// BlockCommandsMax bounds the commands of a block, so that its ordinals and
	// the work of one apply stay small.
	BlockCommandsMax = 1 << 14
	// BlockEventsMax likewise.
	BlockEventsMax = 1 << 16
	// SegmentBytesMin keeps a segment larger than its own overhead.
	SegmentBytesMin = 16 << 10
	// SegmentBytesMax keeps offsets in 32 bits with a block to spare.
	SegmentBytesMax = 2 << 30
	// SegmentsMax bounds the files of one log: with segments of 64 MiB, 1 TiB.
	SegmentsMax = 1 << 14
	// votersMax bounds a segment header: Raft groups have a handful of voters.
	votersMax = 64
	// readBytes is how much recovery reads at a time.
	readBytes = 256 << 10
	// readAttempts: a read that fails this often in a row is a fault, not a hiccup.
	readAttempts = 4
	// aheadBytes of zeros are written at a time: so much the sync of one append in
	// a thousand carries in addition, and recovery reads and cuts.
	aheadBytes = 256 << 10
	// aheadAppendMax is the largest append that zeros go ahead of. Larger ones
	// gain less from them than writing twice as much costs: 3 kB appends have 1.5
	// times the syncs, 50 kB ones 0.8 times.
	aheadAppendMax = 16 << 10
)
