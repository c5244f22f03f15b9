package pgkv

import (
	"errors"
	"fmt"

	"actordb/disk"
)

var (
	// ErrCorrupt is what a Fault wraps when bytes are not those that were written.
	// The store holds derived state: drop the table and have it rebuilt.
	ErrCorrupt = errors.New("store is damaged: drop its table, to have it rebuilt")
	// ErrAway is what a Fault wraps when the server cannot be reached, or not any
	// more.
	ErrAway = errors.New("server is away: see that it runs and takes connections, then open the store again")
	// ErrClosed is what a closed store says.
	ErrClosed = errors.New("store is closed")
)

// SQLSTATEs, from PostgreSQL's appendix on error codes.
const (
	lockNotAvailable = "55P03"
	diskFull         = "53100"
	dataCorrupted    = "XX001"
	indexCorrupted   = "XX002"
)

// A Fault says what broke in which store.
type Fault struct {
	Store  string // host/database/table
	Doing  string
	Reason error // one of package disk's, ErrAway or ErrCorrupt
	Err    error
}

func (f *Fault) Error() string {
	return fmt.Sprintf("store %s: %s: %v (%v)", f.Store, f.Doing, f.Reason, f.Err)
}

func (f *Fault) Unwrap() []error { return []error{f.Reason, f.Err} }

func (s *Store) fault(doing string, err error) *Fault {
	f := &Fault{Store: s.name, Doing: doing, Reason: disk.ErrIO, Err: err}
	switch code := state(err); {
	case errors.Is(err, ErrCorrupt), code == dataCorrupted, code == indexCorrupted:
		f.Reason = ErrCorrupt
	case errors.Is(err, disk.ErrBadRequest):
		f.Reason = disk.ErrBadRequest
	case code == diskFull:
		f.Reason = disk.ErrNoSpace
	case code == "", len(code) == 5 && (code[:2] == "08" || code[:3] == "57P"): // not the server's word, or its last
		f.Reason = ErrAway
	}
	return f
}

// A VersionError says that the server is too old, or that the table is not ours,
// or a later version's.
type VersionError struct {
	Store   string
	Server  int    // its version, if that is the reason
	Format  int    // of the table, if it is one of ours
	Comment string // of the table
}

func (e *VersionError) Error() string {
	switch {
	case e.Server != 0:
		return fmt.Sprintf("store %s: the server is PostgreSQL %d, the oldest that is known to do is %d: upgrade it",
			e.Store, e.Server/10000, serverVersionMin/10000)
	case e.Format == 0:
		return fmt.Sprintf("%s is not a store of ActorDB (its comment is %.60q): it is left as it is; choose another table", e.Store, e.Comment)
	}
	return fmt.Sprintf("store %s has format %d, this program knows formats up to %d: use the program that wrote it, or drop the table to have it rebuilt",
		e.Store, e.Format, formatVersion)
}

// An OwnedError says that somebody has the store open.
type OwnedError struct {
	Store string
	PID   int    // of the owner's session on the server, 0 if it has just ended
	From  string // where that session comes from
}

func (e *OwnedError) Error() string {
	return fmt.Sprintf("store %s is open already, by session %d from %s: stop that one, or wait until the server has noticed that it is gone (tcp_keepalives_idle)", e.Store, e.PID, e.From)
}

// An UnsafeError says that a crash could take what was flushed.
type UnsafeError struct{ Store, Reason, Cure string }

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("store %s cannot keep what was flushed: %s; %s", e.Store, e.Reason, e.Cure)
}
