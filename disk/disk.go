// Package disk is the contract of storage, and nothing else: it imports only
// the standard library and stands at the bottom of the import lattice.
//
// There are two stores. A File is an array of bytes that is written at
// offsets and synced; the journal, which is the truth, lives in Files. A KV is
// an ordered map of derived state that can be thrown away and rebuilt.
//
// Both are described twice. FS, File and KV are the synchronous interfaces
// that a backend implements and that disk/disktest judges. Op and KVOp are the
// same calls as values: a process emits them as effects, because it may not
// wait, and its host answers each with exactly one Result or KVResult.
//
// # What a File promises
//
// F1. Ops of one process on one file name are executed and completed in the
// order in which they were submitted. Ops on different names are unordered, and
// so are ops on the directory (List, Rename, Remove, SyncDir) towards ops on
// files: a caller that needs an order awaits the completion.
//
// F2. A write is readable once it has completed, and durable once a Sync
// submitted after its completion, or the Sync flag of the write itself, has
// completed without error. Before that a power loss may keep any subset of its
// sectors (SectorBytes), in any order, and lose the rest.
//
// F3. A created, renamed or removed name is durable once a SyncDir submitted
// after its completion has completed. Before that a power loss may undo it.
// A file whose name is lost is lost with its synced bytes.
//
// F4. A write may be short: N < len(Data) with a nil error. The caller
// submits the rest, or fails.
//
// F5. After a Sync has failed, what was written since the last successful Sync
// may be lost though reads still return it; a second Sync that succeeds proves
// nothing (the lesson known as fsyncgate). The caller stops and recovers.
//
// F6. A read returns N bytes, fewer than asked only at the end of the file.
// The bytes may be damaged: checksums are the caller's work.
package disk

import (
	"errors"
	"fmt"
)

// SectorBytes is the unit that a disk writes atomically: of a write that a
// power loss interrupts, each aligned sector is either old or new.
const SectorBytes = 512

// The reasons for which an Op fails. Test with errors.Is: a Result's Err wraps
// one of them with the place.
var (
	ErrNotExist   = errors.New("no such file")
	ErrExist      = errors.New("file exists already")
	ErrNoSpace    = errors.New("no space left on device")
	ErrIO         = errors.New("input/output error")
	ErrBadRequest = errors.New("malformed request")
)

// A PathError says which call on which file failed.
type PathError struct {
	Kind   OpKind
	Name   string
	Offset int64
	Err    error
}

func (e *PathError) Error() string {
	return fmt.Sprintf("%s %s at byte %d: %v", e.Kind, e.Name, e.Offset, e.Err)
}

func (e *PathError) Unwrap() error { return e.Err }

// OpKind names a call on a directory of files.
type OpKind uint8

const (
	OpList     OpKind = iota + 1 // names in the directory, sorted
	OpCreate                     // a new empty file; ErrExist if the name is taken
	OpWrite                      // Data at Offset; with Sync set, durable on completion
	OpRead                       // up to Length bytes at Offset
	OpSync                       // everything completed before it is durable
	OpTruncate                   // the file ends at Offset; not durable before a Sync
	OpReserve                    // space for Offset bytes in all is set aside; the size is unchanged
	OpStat                       // Size
	OpRename                     // Name becomes To, replacing To if it exists
	OpRemove                     // Name goes away
	OpSyncDir                    // names created, renamed and removed before it are durable
)

var opNames = [...]string{"?", "list", "create", "write", "read", "sync", "truncate", "reserve", "stat", "rename", "remove", "syncdir"}

func (k OpKind) String() string {
	if int(k) < len(opNames) {
		return opNames[k]
	}
	return opNames[0]
}

// An Op is one call on a directory of files, as a value. Data belongs to the
// host from submission to completion and must not change meanwhile.
type Op struct {
	Kind   OpKind
	Sync   bool   // OpWrite: complete only when durable
	Name   string // no path separators: a process owns one flat directory
	To     string // OpRename
	Offset int64  // bytes
	Length int    // OpRead: bytes
	Data   []byte // OpWrite
}

func (o Op) String() string {
	s := fmt.Sprintf("%s %s", o.Kind, o.Name)
	switch o.Kind {
	case OpRename:
		s += " to " + o.To
	case OpWrite:
		s += fmt.Sprintf(" [%d,+%d)", o.Offset, len(o.Data))
		if o.Sync {
			s += " sync"
		}
	case OpRead:
		s += fmt.Sprintf(" [%d,+%d)", o.Offset, o.Length)
	case OpTruncate, OpReserve:
		s += fmt.Sprintf(" %d", o.Offset)
	}
	return s
}

// A Result completes an Op. Data of a read belongs to the receiver.
type Result struct {
	Kind  OpKind
	N     int      // OpWrite: bytes written; OpRead: len(Data)
	Size  int64    // OpStat
	Data  []byte   // OpRead
	Names []string // OpList
	Err   error
}

// File is an open file of a synchronous backend.
type File interface {
	ReadAt(p []byte, off int64) (n int, err error) // n < len(p) with a nil error at the end of the file
	WriteAt(p []byte, off int64) (n int, err error)
	Sync() error
	Truncate(size int64) error
	Reserve(size int64) error
	Size() (int64, error)
	Close() error
}

// FS is a flat directory of a synchronous backend.
type FS interface {
	List() ([]string, error)
	Create(name string) (File, error)
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir() error
}
