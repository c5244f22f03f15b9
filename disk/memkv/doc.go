// Package memkv is disk.KV in memory, in two forms. A Store is a plain ordered
// map. A Sim is a Store that a simulator can submit operations to, crash and
// lose; all chance comes from the stream that it was given, so the same calls
// give the same outcomes.
//
// # What a Sim promises beyond package disk
//
// M1. Operations take effect when they are completed. They complete in the
// order of their submission, and the latencies are such; another order is a bug
// of the host and panics.
//
// M2. After a crash of either kind (a store without a log of its own loses its
// memory with the process as it does with the power) the store holds a prefix
// of the submitted batches. It includes everything applied before the last good
// Flush, and at most everything submitted.
//
// M3. Memory is bounded: beside its contents the store keeps what it takes to
// undo the batches since the last Flush, up to undoBatchesMax and undoBytesMax
// (limits.go). When there are more, the oldest become durable without a Flush,
// as in a store that writes its full memory tables by itself. K2 allows that: a
// Flush says what is durable at least.
//
// M4. With a rate of zero a fault never happens and draws nothing from the
// stream. A failed Apply has changed nothing; a failed Flush has made nothing
// durable; a failed read gives no value. A fault is counted when it had an
// effect.
package memkv
