package disktest

import (
	"testing"

	"actordb/disk"
)

// T is what a check needs of a test. Fatalf and Skipf do not return.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// FSHarness is one directory under test, empty at first.
type FSHarness struct {
	// Open opens the directory, again and again: what a process does when it
	// starts. Files opened before are not used any more. Required.
	Open func() (disk.FS, error)

	// Crash cuts the power. The suite opens the directory again. Optional.
	Crash func() error

	// FailNextSync makes the next File.Sync fail. Optional.
	FailNextSync func()
}

// KVHarness is one store under test, empty at first.
type KVHarness struct {
	// Open opens the store: what a process does when it starts. The suite closes
	// the one before, unless there was a Crash. Required.
	Open func() (disk.KV, error)

	// Crash ends the process without closing the store. Optional.
	Crash func() error
}

// An FSCheck is one subtest of the suite for disk.FS.
type FSCheck struct {
	Name     string
	Protects string
	Run      func(t T, h FSHarness)
}

// A KVCheck is one subtest of the suite for disk.KV.
type KVCheck struct {
	Name     string
	Protects string
	Run      func(t T, h KVHarness)
}

// TestFS judges a backend of disk.FS.
func TestFS(t *testing.T, harness func(t *testing.T) FSHarness) {
	for _, c := range FSChecks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Log("protects " + c.Protects)
			c.Run(t, harness(t))
		})
	}
}

// TestKV judges a backend of disk.KV.
func TestKV(t *testing.T, harness func(t *testing.T) KVHarness) {
	for _, c := range KVChecks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Log("protects " + c.Protects)
			c.Run(t, harness(t))
		})
	}
}

// crashRounds is how often a check cuts the power. A backend that loses what it
// may in half of the cases shows a fault of any one round with near certainty.
const crashRounds = 24
