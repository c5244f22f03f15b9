package load

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used so far, and those that it has started.
type Usage struct {
	CPU     time.Duration // in user and system mode, of all threads
	Written int64         // bytes given to the page cache to be written to a device
	Memory  int64         // bytes resident
}

// Sub is what was used since.
func (u Usage) Sub(before Usage) Usage {
	return Usage{u.CPU - before.CPU, u.Written - before.Written, u.Memory}
}

// clockTick is the unit of /proc/PID/stat: USER_HZ, 100 on all of Linux's
// architectures that Go runs on.
const clockTick = time.Second / 100

// UsageOf asks Linux (proc_pid_stat(5), proc_pid_io(5)). Of another system, or of
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
					u.CPU, u.Written, u.Memory = u.CPU+c.CPU, u.Written+c.Written, u.Memory+c.Memory
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
	const utime, stime, rss = 14 - state, 15 - state, 24 - state
	if len(fields) <= rss {
		return u, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
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
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			u.Written, err = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	return u, err
}
