package simfile

const (
	// chunkBytes is the unit in which file contents are allocated: large enough
	// that bookkeeping does not show, small enough that files need not be copied
	// to grow.
	chunkBytes = 64 << 10

	// fileBytesMax bounds one file. Its chunk table then has at most 2^18
	// entries, so that one write at a wild offset cannot eat the memory of the
	// simulator. Beyond it a write gets ErrNoSpace.
	fileBytesMax = 16 << 30

	// undoRecordsMax and undoBytesMax bound what one file remembers to undo its
	// unsynced writes. Beyond them everything written so far becomes durable.
	undoRecordsMax = 1 << 16
	undoBytesMax   = 64 << 20

	// undoKeptBytes is how much undo memory a file keeps for its next writes.
	undoKeptBytes = 1 << 20

	// direntsMax bounds the directory operations that can be undone. Beyond it
	// all become durable.
	direntsMax = 1 << 16
)
