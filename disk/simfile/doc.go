// Package simfile is a simulated directory of files: disk.FS with a model of
// what crashes, full disks and rotten sectors do. One Disk is the directory of
// one process. It keeps everything in memory, never waits, and draws all chance
// from the stream that it was given, so the same calls give the same outcomes.
//
// A host submits an Op, is told how long it will take, and completes it when
// that time has come. An Op takes effect when it is completed; until then a
// Crash finds it in flight.
//
// # What it promises beyond package disk
//
// S1. Latencies are such that the Ops of one name complete in the order of
// their submission, and likewise those on the directory (List, Rename, Remove,
// SyncDir). Completing them in another order is a bug of the host and panics.
//
// S2. After a power loss a sector holds one of the contents that it had since
// it was last synced, the synced one included. The file ends at one of the
// sizes that it had, or where its last kept sector ends; what lies between kept
// sectors reads as zeros. A Truncate is kept or lost as a whole.
//
// S3. After a power loss the directory is what some legal order of writing it
// back leaves: an operation on a name is undone only together with all later
// ones on the same names, and a rename is undone on both its names or on none.
//
// S4. When a process crashes and the machine does not (Crash(false)), all that
// completed stays readable and stays as undurable as it was. Of the Ops in
// flight on one name some first ones have happened, the next one perhaps in
// part.
//
// S5. With a rate of zero a fault never happens and draws nothing from the
// stream. With TornWrite, LostUnsynced and LostDirent at zero a power loss
// takes nothing that had completed.
//
// S6. Damage that destroys truth (a flipped bit, a misdirected write, a sector
// that can be read no more) is done only to ranges that Eligible names, and to
// no more copies than the Atlas allows. The Disk remembers each damaged range
// with the bytes that belong there until it is overwritten, cut off or removed,
// and if a power loss undoes that, remembers it again.
//
// S7. What a failed Sync leaves in doubt (disk F5) is decided at the next crash
// of either kind. It must be decided then: recovery reads the file, and if what
// it read could still vanish after a good Sync, no recovery would be sound.
//
// S8. A fault is counted when it had an effect, and not when it was only drawn.
//
// # What it does not do
//
// It never writes back behind the caller's back, except when a file's undo
// records reach their limit (limits.go), as a kernel does when dirty memory
// runs out; F2 allows it. It models no reordering between a file's Sync and the
// directory: a Sync never makes a name durable.
package simfile
