//go:build !linux

package load

import (
	"errors"
	"time"
)

// Usage is what a process has used so far, and those that it has started.
type Usage struct {
	CPU    time.Duration
	Memory int64
}

// Device is what was done to a disk so far.
type Device struct{ Written, Flushes int64 }

var errUnknown = errors.New("only Linux tells what a process uses")

// UsageOf is known on Linux only.
func UsageOf(int) (Usage, error) { return Usage{}, errUnknown }

// DeviceOf is known on Linux only.
func DeviceOf(string) (Device, error) { return Device{}, errUnknown }
