package pebblekv

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"actordb/disk"
)

var (
	// ErrCorrupt is what a Fault wraps when bytes are not those that were
	// written. The store holds derived state: remove the directory and rebuild it.
	ErrCorrupt = errors.New("store is damaged: remove its directory, to have it rebuilt")

	// ErrClosed is the answer of a store that was closed.
	ErrClosed = errors.New("store is closed")

	// ErrNone says that there is no store to read.
	ErrNone = errors.New("there is no store")
)

// A Fault says what broke in which store. It wraps one of package disk's reasons
// or ErrCorrupt, and what Pebble said.
type Fault struct {
	Dir    string
	Doing  string
	Fatal  bool // Pebble must not run on (P4)
	Reason error
	Err    error
}

func (f *Fault) Error() string {
	return fmt.Sprintf("store %s: %s: %v (%v)", f.Dir, f.Doing, f.Reason, f.Err)
}

func (f *Fault) Unwrap() []error { return []error{f.Reason, f.Err} }

func newFault(dir, doing string, err error) *Fault {
	return &Fault{Dir: dir, Doing: doing, Reason: reason(err), Err: err}
}

func reason(err error) error {
	switch {
	case pebble.IsCorruptionError(err), errors.Is(err, ErrCorrupt):
		return ErrCorrupt
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, disk.ErrNoSpace):
		return disk.ErrNoSpace
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, disk.ErrNotExist):
		return disk.ErrNotExist
	}
	return disk.ErrIO
}

// A VersionError says that a later version of the program wrote a store.
type VersionError struct {
	Dir          string
	Found, Known uint64
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("store %s has format %d, this program knows formats up to %d: use the program that wrote it, or remove the directory to have it rebuilt",
		e.Dir, e.Found, e.Known)
}

// fail records the first fault and releases who waits.
func (s *Store) fail(f *Fault) {
	if s.fault.CompareAndSwap(nil, f) {
		close(s.failed)
		if s.onFault != nil {
			s.onFault(f)
		}
	}
}

// faulty returns the fault, if there was one.
func (s *Store) faulty() error {
	if f := s.fault.Load(); f != nil {
		return f
	}
	return nil
}

// A logger takes what Pebble has to say. Only the fatal is of interest: events
// report the rest.
type logger struct{ s *Store }

func (logger) Infof(string, ...any)  {}
func (logger) Errorf(string, ...any) {}

func (l logger) Fatalf(format string, args ...any) {
	err := error(nil)
	for _, a := range args { // an error among them tells the reason
		if e, ok := a.(error); ok {
			err = e
		}
	}
	why := disk.ErrIO
	if err != nil {
		why = reason(err)
	}
	l.s.stop(&Fault{Dir: l.s.dir, Doing: "pebble stopped", Reason: why, Err: fmt.Errorf(format, args...)})
}

// stop does not return: Pebble must not run on. It ends the goroutine, which
// releases the locks that it holds; where that is the caller's own, in a read, it
// panics instead, and the read turns that into an error.
func (s *Store) stop(f *Fault) {
	f.Fatal = true
	first := s.dead.CompareAndSwap(false, true)
	s.fail(f)
	if first {
		close(s.stopped) // after the fault is there for those who wait
	}
	if inRead() {
		panic(f)
	}
	runtime.Goexit()
}

// stopFS stops Pebble when a directory cannot be synced. Pebble would panic, for
// the manifest's marker in a goroutine where nobody can recover: it does not know
// then which manifest is the one that a crash would leave.
type stopFS struct {
	vfs.FS
	s *Store
}

func (f stopFS) Unwrap() vfs.FS { return f.FS }

func (f stopFS) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return stopDir{d, f.s}, nil
}

type stopDir struct {
	vfs.File
	s *Store
}

func (d stopDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.s.stop(newFault(d.s.dir, "sync the directory", err))
	}
	return nil
}

// inRead reports whether the goroutine stands in a read of this package.
func inRead() bool {
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "/pebblekv.(*Store).read") {
			return true
		}
		if !more {
			return false
		}
	}
}

// read runs a read in the caller's goroutine.
func (s *Store) read(doing string, f func() error) (err error) {
	if err := s.faulty(); err != nil {
		return err
	}
	if s.closed {
		return ErrClosed
	}
	defer func() {
		if p := recover(); p != nil {
			fault, ok := p.(*Fault)
			if !ok {
				panic(p)
			}
			err = fault
		}
	}()
	if err := f(); err != nil {
		fault := newFault(s.dir, doing, err)
		if fault.Reason == ErrCorrupt {
			s.fail(fault)
		}
		return fault
	}
	return s.faulty() // what was read of a broken store may be wrong
}

// change runs a change in a goroutine of its own, which a fatal fault may end or
// leave waiting for ever.
func (s *Store) change(doing string, f func() error) error {
	if err := s.faulty(); err != nil {
		return err
	}
	if s.closed {
		return ErrClosed
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err == nil {
			return nil
		}
		if fault := s.faulty(); fault != nil {
			return fault
		}
		return newFault(s.dir, doing, err)
	case <-s.failed:
		return s.faulty()
	}
}
