// Package osfile is disk.FS over a real directory. It adds nothing to what the
// operating system does but the exact form of package disk's contract: names
// without separators, one system call for each write, errors with a place and a
// reason, and syncs that cannot be retried into a lie.
//
//	d, err := osfile.Open("/var/lib/actordb/log")
//	e := disk.NewExecutor(d, 64)
//
// # What it promises beyond package disk
//
// O1. A directory has one owner. A second Open, of this process or another, is
// an *OwnedError that names the owner's process if it is known. The kernel takes
// the lock back when the owner ends, however it ends. The lock file (LockName)
// is not listed and its name is refused.
//
// O2. Every error is a *disk.PathError around a *SystemError, which wraps one of
// package disk's reasons and what the system said. ENOSPC, EDQUOT and EFBIG are
// disk.ErrNoSpace; what has no reason of its own is disk.ErrIO.
//
// O3. Once a Sync of a file has failed, every later one through that handle fails
// with the same error, and once a SyncDir has failed all do. Linux tells of a
// failed write-back once and then calls the pages clean. The cached pages are
// dropped, so that what is read afterwards comes from the disk as far as the
// kernel allows.
//
// O4. Reserve allocates blocks and leaves the size alone (Linux; where a file
// system cannot, it does nothing, and a full disk shows at the write instead).
//
// Sync is fdatasync on Linux (contents and size) and F_FULLFSYNC on Darwin.
// Descriptors are not inherited by child processes.
//
// # Why there is no O_DIRECT
//
// BenchmarkAppendSync and BenchmarkDirect write the same batches of 200-byte
// events and make each durable. Two shared cores, ext4 on a virtual disk,
// medians of three runs, syncs per second:
//
//	events in a batch                    1      16     256    1600
//	growing file                      4446    3443    2617    2352
//	with space reserved               4168    3819    3217    2379
//	over bytes written before         5715    5322    5024    3414
//	O_DIRECT, with space reserved     4521    5035    4647    3381
//	O_DIRECT, over bytes written      6903    7124    6184    4150
//
// What costs most is a size that grows and blocks that are written for the first
// time: such a sync commits the file system's own journal as well. Writing over
// zeros is worth 1.3 to 1.9 times the syncs, and is the caller's to do; package
// disk's Reserve keeps the size. core/journal does it for small appends. O_DIRECT is worth 1.1 to 1.4 times on either,
// but wants memory, offsets and lengths aligned to sectors. A caller that appends
// frames of any length would have its last sector read back and written again on
// each append, outside the page cache that its reads come from. It pays for one
// that pads what it appends to sectors; there is none yet.
package osfile
