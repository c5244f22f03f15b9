package flow

import "actordb/core/row"

const (
	// NodesMax bounds a plan: one step visits all nodes.
	NodesMax = 4096
	// chunkRows is how long operators' batches are, about.
	chunkRows = row.ChunkRows
	// fuelPart: memory is looked at whenever an operator has worked on that many
	// rows, so that many are held beyond the limit at most.
	fuelPart = 1 << 14
	// memoryDefault is a circuit's limit if its Config has none.
	memoryDefault = 256 << 20
	// multiplicityMax bounds the copies of one row that a window function or an
	// array_agg numbers one by one.
	multiplicityMax = 1 << 20
	// errorTextMax bounds the text of an error that is kept.
	errorTextMax = 500
)
