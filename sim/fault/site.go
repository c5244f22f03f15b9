package fault

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The sites. Their names are stable: saved plans and reports use them.
const (
	Crash            = "crash"             // a server's processes die
	PowerLoss        = "power_loss"        // a server goes dark
	Pause            = "pause"             // a server stands still, unaware
	Partition        = "partition"         // two sides cannot reach each other
	PartitionOneway  = "partition_oneway"  // one side cannot reach the other
	PartitionPartial = "partition_partial" // two servers cannot reach each other, and the rest can reach both
	SlowLink         = "slow_link"         // little bandwidth between two servers
	Reset            = "reset"             // a connection breaks
	HalfFrame        = "half_frame"        // a connection breaks in the middle of a frame
	Drop             = "drop"              // a frame is lost
	Duplicate        = "duplicate"         // a frame arrives twice
	Delay            = "delay"             // a frame takes much longer
	Reorder          = "reorder"           // a frame is overtaken
	ClockJump        = "clock_jump"        // a wall clock is off for a while, either way
	ClockDrift       = "clock_drift"       // both clocks of a server run fast or slow
	ClockFreeze      = "clock_freeze"      // a wall clock stands still
	ClientCrash      = "client_crash"      // a client dies and comes back without memory
	TornWrite        = "torn_write"        // a power loss keeps some sectors of a write
	LostUnsynced     = "lost_unsynced"     // a power loss takes unsynced bytes
	LostDirent       = "lost_dirent"       // a power loss takes unsynced names
	ShortWrite       = "short_write"       // fewer bytes are written than asked
	BitFlip          = "bit_flip"          // a bit of a file rots
	MisdirectedWrite = "misdirected_write" // a write lands in another place
	ReadError        = "read_error"        // a read fails
	SyncError        = "sync_error"        // a sync fails
	WriteError       = "write_error"       // a write fails
	DiskFull         = "disk_full"         // no space is left
	SlowDisk         = "slow_disk"         // operations take much longer
	KVLost           = "kv_lost"           // a derived store is lost whole
	Reformat         = "reformat"          // a server's disks are exchanged for new ones
	Upgrade          = "upgrade"           // a server goes on with the next release's program, one after the other, or back
)

// spec says how a site is drawn. A site has either a rate or events.
type spec struct {
	site  string
	light bool // part of profile light

	ppm [2]int64 // rate: parts per million, from mild to hard

	lasts  [2]time.Duration // event
	amount [2]int64         // event: size, its meaning depends on the site
	signed bool             // the amount may be negative
	each   bool             // event: every server has one at least
	group  string           // P4: events of a group do not overlap on a node; "": of the site
}

const (
	ms = time.Millisecond
	s  = time.Second

	down = "down" // the group of what stops a node
)

// specs returns the specs of all sites, in the order of the constants.
func specs() []spec {
	return []spec{
		{site: Crash, light: true, lasts: span(100*ms, 5*s), group: down},
		{site: PowerLoss, lasts: span(100*ms, 5*s), group: down},
		{site: Pause, light: true, lasts: span(50*ms, 5*s), group: down},
		{site: Partition, light: true, lasts: span(500*ms, 10*s)},
		{site: PartitionOneway, lasts: span(500*ms, 10*s)},
		{site: PartitionPartial, lasts: span(500*ms, 10*s)},
		{site: SlowLink, light: true, lasts: span(1*s, 10*s), amount: pair(1_000, 1_000_000)}, // bytes/s
		{site: Reset, light: true, ppm: pair(10, 2_000)},
		{site: HalfFrame, ppm: pair(10, 2_000)},
		{site: Drop, light: true, ppm: pair(100, 50_000)},
		{site: Duplicate, light: true, ppm: pair(100, 50_000)},
		{site: Delay, light: true, ppm: pair(100, 20_000)},
		{site: Reorder, ppm: pair(100, 100_000)},
		{site: ClockJump, light: true, lasts: span(1*s, 10*s), amount: pair(int64(ms), int64(time.Hour)), signed: true}, // ns
		{site: ClockDrift, lasts: span(1*s, 10*s), amount: pair(100, 100_000), signed: true},                            // ppm
		{site: ClockFreeze, lasts: span(1*s, 10*s)},
		{site: ClientCrash, light: true, lasts: span(100*ms, 2*s)},
		{site: TornWrite, ppm: pair(100_000, 1_000_000)},
		{site: LostUnsynced, ppm: pair(100_000, 1_000_000)},
		{site: LostDirent, ppm: pair(100_000, 1_000_000)},
		{site: ShortWrite, ppm: pair(10, 10_000)},
		{site: BitFlip, ppm: pair(1, 1_000)},
		{site: MisdirectedWrite, ppm: pair(1, 500)},
		{site: ReadError, ppm: pair(1, 2_000)},
		{site: SyncError, ppm: pair(1, 500)},
		{site: WriteError, ppm: pair(1, 500)},
		{site: DiskFull, lasts: span(1*s, 10*s), amount: pair(1, 1<<20)}, // bytes left
		{site: SlowDisk, lasts: span(1*s, 10*s), amount: pair(2, 100)},   // times as slow
		{site: KVLost, lasts: span(100*ms, 2*s), group: down},
		{site: Reformat, lasts: span(100*ms, 2*s), group: down},
		{site: Upgrade, lasts: span(50*ms, 1*s), each: true, group: down},
	}
}

func span(mild, hard time.Duration) [2]time.Duration { return [2]time.Duration{mild, hard} }

func pair(mild, hard int64) [2]int64 { return [2]int64{mild, hard} }

func (p *spec) hasRate() bool { return p.ppm[1] > 0 }

// ofNetwork and ofDisk tell who carries a site out. The rest is the world's.
func ofNetwork(site string) bool {
	switch site {
	case Partition, PartitionOneway, PartitionPartial, SlowLink, Reset, HalfFrame, Drop, Duplicate, Delay, Reorder:
		return true
	}
	return false
}

func ofTarget(site string) bool {
	switch site {
	case TornWrite, LostUnsynced, LostDirent, ShortWrite, BitFlip, MisdirectedWrite, ReadError, SyncError, WriteError,
		DiskFull, SlowDisk, KVLost, Reformat, Upgrade, ClientCrash:
		return true
	}
	return false
}

// Sites returns the names of all sites, sorted.
func Sites() []string {
	var all []string
	for _, p := range specs() {
		all = append(all, p.site)
	}
	slices.Sort(all)
	return all
}

// An UnknownError is a name in a profile that is no site.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no fault is called %q: there are none, light, swarm, or a list of %s", e.Name, strings.Join(Sites(), ", "))
}

// parse returns the sites that a list names.
func parse(profile string) (map[string]bool, error) {
	known, on := Sites(), map[string]bool{}
	for _, name := range strings.Split(profile, ",") {
		name = strings.TrimSpace(name)
		if _, ok := slices.BinarySearch(known, name); !ok {
			return nil, &UnknownError{name}
		}
		on[name] = true
	}
	if on[TornWrite] || on[LostUnsynced] || on[LostDirent] {
		on[PowerLoss] = true
	}
	return on, nil
}
