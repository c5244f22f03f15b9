package pgkv

import "time"

const (
	// applicationName is in pg_stat_activity, in the lock's name, and in the
	// messages of Flush.
	applicationName = "actordb"
	// commentPrefix and the format's number are the table's comment.
	commentPrefix = "ActorDB derived state, format "
	formatVersion = 1
	// serverVersionMin is the oldest release that gets fixes from its makers.
	serverVersionMin = 140000

	// tableBytesMax is what PostgreSQL keeps of a name.
	tableBytesMax = 63
	// keyBytesMax: an entry of a B-tree index takes a third of a page, 2,704
	// bytes with its head.
	keyBytesMax = 2600
	// batchBytesMax keeps the pipeline, which pgx builds in memory, within bounds,
	// and partBytes one message of it, of which the server takes 1 GB.
	batchBytesMax = 512 << 20
	partBytes     = 4 << 20

	// A page of a scan begins small, for those who want a few pairs only, and is
	// in memory as a whole.
	pageRowsFirst = 32
	pageRowsMax   = 256
	// readersMax is how many scans may run at a time; further ones wait.
	readersMax = 4

	timeoutDefault   = 30 * time.Second
	ownerWaitDefault = 5 * time.Second
)
