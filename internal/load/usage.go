//go:build linux

package load

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used so far, and those that it has started, also
// those of them that have ended.
type Usage struct {
	CPU    time.Duration // in user and system mode, of all threads
	Memory int64         // bytes resident
}

// clockTick is the unit of /proc/PID/stat: USER_HZ, 100 on all of Linux's
// architectures that Go runs on.
const clockTick = time.Second / 100

// UsageOf asks Linux (proc_pid_stat(5)). Of another system, or of
// a process that has ended, it is an error.
func UsageOf(pid int) (Usage, error) {
	u, err := usageOfOne(pid)
	if err != nil {
		return u, err
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return u, err
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended has no children
		}
		for _, child := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				if c, err := UsageOf(n); err == nil { // else it has just ended
					u.CPU, u.Memory = u.CPU+c.CPU, u.Memory+c.Memory
				}
			}
		}
	}
	return u, nil
}

func usageOfOne(pid int) (u Usage, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	stat := string(b)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name may have anything in it
	const state = 3                                                     // the first of these, counted from 1
	const utime, cstime, rss = 14 - state, 17 - state, 24 - state       // utime, stime, and both of children that it has waited for
	if len(fields) <= rss {
		return u, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		u.CPU += time.Duration(n) * clockTick
	}
	pages, err := strconv.ParseInt(fields[rss], 10, 64)
	if err != nil {
		return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	u.Memory = pages * int64(os.Getpagesize())
	return u, nil
}

// Device is what was done to a disk so far, by anybody on the machine. A process's
// own write_bytes (/proc/PID/io) would not do: they count whole folios of the page
// cache, of which a small write to a large one dirties, and the disk gets, a part.
type Device struct {
	Written int64 // bytes
	Flushes int64 // of its cache: what a sync ends in
}

const sectorBytes = 512 // in Linux's counts, whatever the disk's own are

// DeviceOf asks Linux (Documentation/block/stat.rst) about the disk that a path is
// on. It is an error if that is on none, as in memory.
func DeviceOf(path string) (d Device, err error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return d, err
	}
	name := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)))
	b, err := os.ReadFile(name)
	if err != nil {
		return d, err
	}
	fields := strings.Fields(string(b))
	const written, flushes = 6, 15
	if len(fields) <= flushes {
		return d, fmt.Errorf("%s: %q", name, b)
	}
	if d.Written, err = strconv.ParseInt(fields[written], 10, 64); err == nil {
		d.Flushes, err = strconv.ParseInt(fields[flushes], 10, 64)
	}
	d.Written *= sectorBytes
	return d, err
}
