package host

import (
	"math"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// collectAt is how far the heap grows between two collections, in percent of what
// lives. Go's default of 100 makes a database that keeps millions of small actors
// mark them again and again; at 400 a write to a new actor takes about a fifth less
// time, for more memory, which CollectLess bounds.
const collectAt = 400

// CollectLess makes the program collect garbage less often, and as often as before
// when it uses three quarters of the machine's memory. What GOGC or GOMEMLIMIT say
// holds instead.
func CollectLess() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(collectAt)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		if bytes := float64(info.Totalram) * float64(info.Unit) * 3 / 4; bytes < math.MaxInt64 {
			debug.SetMemoryLimit(int64(bytes))
		}
	}
}
