package zset

import "actordb/core/row"

const (
	// blockRows is the length of a run's blocks: what is read, written and
	// merged at once.
	blockRows = row.ChunkRows
	// mergeFactor: a run is merged with the one before it unless that is this
	// many times longer. Larger means fewer copies and more runs to look into.
	mergeFactor = 4
	// cacheBlocks bounds the stored blocks that an arrangement holds decoded.
	cacheBlocks = 16
	// storedBytesMax bounds a stored block that is read.
	storedBytesMax = row.VectorBytesMax
	// manifestBytesMax bounds a manifest that is read.
	manifestBytesMax = 64 << 20
)
