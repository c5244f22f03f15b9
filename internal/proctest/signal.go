package proctest

import "sync/atomic"

// A Signal is set in a Step, on whatever goroutine the host runs it, and read by
// the test.
type Signal struct{ set *atomic.Bool }

// NewSignal makes one that is not set.
func NewSignal() Signal { return Signal{new(atomic.Bool)} }

// Set sets it.
func (s Signal) Set() { s.set.Store(true) }

// IsSet reports whether it was set; what was done before Set is visible then.
func (s Signal) IsSet() bool { return s.set.Load() }
