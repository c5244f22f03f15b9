// Package losefs makes a kill as bad as a power loss. SIGKILL alone leaves what
// a process wrote in the page cache, so a test that only kills proves little
// about syncs. An FS passes every call on to a real directory and writes down
// beside it how to take back whatever is not durable yet; Cut takes it back.
//
//	// in the process under test
//	fs, err := losefs.Open(osDir, sideDir)      // both disk.FS, two directories
//	…                                            // SIGKILL at any point
//	// in the test, when that process is dead
//	lost, err := losefs.Cut(osDir, sideDir, losefs.Everything, rnd)
//	// now start the process again
//
// Without a Cut in between, a new process continues where the last one died:
// what was not durable then is not durable now.
//
// # What it promises beyond package disk
//
// L1. The undo journal in the side directory is ahead of the directory: what a
// call is about to change is written down before, and that it is durable only
// after. It is never synced, since a kill takes nothing from the page cache. So
// it is right whenever the process is killed, in the midst of a call too: a
// record that was half written is of a call that had not begun.
//
// L2. After a Cut the directory is what a power loss may leave (F2, F3): of each
// write that was not synced a Take's share is lost, as a whole or by sectors; a
// truncation is kept or lost as a whole; a change of a name is undone only
// together with all later ones on the same names, and a rename on both its names
// or on none. The file ends at one of the sizes that it had, or where its last
// kept sector ends. What is left is durable.
//
// L3. Once a Sync has failed, all of that file fail. What it left in doubt is
// lost by the next Cut or the next Open, whichever comes first: recovery must
// not build on bytes that may vanish after it has looked (F5).
//
// L4. A removed or replaced file keeps its bytes under a name of its own
// (graveName) until a SyncDir, so that its removal can be undone. List does not
// show these names.
//
// # What it does not do
//
// A reservation is never lost. Only what goes through the FS is remembered. It
// costs one more write for each change, of a few bytes for an append, and holds
// one lock for it: it is for tests of durability, not for measurements.
//
// # The undo journal
//
//	record  = crc32c u32 | length u32 | body      little endian; crc of the body
//	body    = kind u8 | id u64 | other u64 | off i64 | n i64 | size i64
//	          | from u16+bytes | to u16+bytes | old bytes of the file
//
// A file has an id from when it is first opened. Records are one of: adopt (a
// file that was there), write and truncate (with the bytes that they overwrite),
// synced, failed; create, rename, remove, undone (the last of these three did
// not happen), dirsynced. When there is much more journal than there is to undo
// it is written again and replaces the old one by a rename.
package losefs
