// Package pebblekv is disk.KV over Pebble v2: the default store of derived
// state. It is not simulated, so it does as little as it can.
//
//	store, err := pebblekv.Open(pebblekv.Config{
//		Dir:     "/var/lib/actordb/state",
//		OnFault: func(f *pebblekv.Fault) { stop(f) },
//	})
//
// # What it promises beyond package disk
//
// P1. Pebble has no log of its own here; a crash takes what no flush has made
// durable. Apply is one Pebble batch. Batches enter the memory tables in order
// of their sequence numbers, a batch lies in one table as a whole, tables are
// written oldest first, and one record of the manifest, synced, makes a written
// table part of the store. So what a crash leaves is a prefix of the batches
// (K2), without a log. A table that is full is written unasked, so it may be a
// longer prefix than that of the last Flush.
//
// P2. Flush returns nil only when the manifest that names everything applied
// before it is synced. With nothing applied since the last one it does nothing.
//
// P3. After the first fault the store answers every call with it, and with no
// data. A fault is an error of a flush or a compaction in the background, damage
// that was found, or what Pebble calls fatal: after that it must not run on, and
// its own answer is to end the process. Here the goroutine that called it ends
// instead, the waiting calls return, and OnFault is told once. What was flushed
// before is untouched. The owner decides; it stops, or rebuilds what it can. Until
// it closes the store, Pebble tries a flush that failed again and again.
//
// P4. After a fatal fault Close leaves Pebble as it is, with its lock and its
// goroutines: the directory can be opened again by another process only.
//
// P5. Memory is bounded (limits.go): the block cache, and a few memory tables.
// When they are full, or compactions are too far behind, Apply waits.
//
// P6. The format is pinned (formatVersion): a directory never silently becomes
// unreadable for the version that wrote it. One of a later version is a
// *VersionError, and stays as it is.
//
// P7. A store whose creation a crash cut short is created again. Pebble refuses
// it; the file CREATING, which is durable before Pebble makes its first and gone
// before Open returns, proves that there was nothing in it.
//
// Get, Apply, Flush and Scan may be called from several goroutines; Close may
// not run beside them.
//
// # Over a disk.FS
//
// OverFS lets Pebble use a directory of package disk instead of the operating
// system: simulated files that crash and fail in the tests of this package, or
// disk/losefs, so that a killed node loses what its derived state had not synced.
package pebblekv
