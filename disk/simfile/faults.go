package simfile

import "time"

// Faults says how often what goes wrong. Rates are in parts per million of the
// chances that there are. The zero value is a perfect disk.
type Faults struct {
	ShortWrite      uint32 // a write of several bytes writes fewer, without error
	WriteError      uint32 // a write fails, maybe after some of its sectors; Create, Truncate, Reserve, Rename, Remove fail
	ReadError       uint32 // a read fails, once
	ReadErrorSticky uint32 // a sector can be read no more until it is overwritten (S6)
	SyncError       uint32 // a Sync, SyncDir or syncing write fails at the sync (S7)
	Misdirected     uint32 // a write lands at another place (S6)
	SlowDisk        uint32 // an Op takes SlowFactor times as long
	SlowFactor      int

	QuotaBytes int64 // when not 0, the bytes that all files may take or reserve together

	// What a power loss does.
	TornWrite    uint32 // of an unsynced write, each sector is kept or lost by itself
	LostUnsynced uint32 // an unsynced write that is not torn is lost as a whole
	LostDirent   uint32 // an unsynced change of a name is undone, if it legally can be
}

// Latency is the distribution of the time that a kind of Op takes: Base, plus
// PerKiB for its bytes, plus up to Jitter, plus, in TailPPM of a million cases,
// up to Tail.
type Latency struct {
	Base    time.Duration
	PerKiB  time.Duration
	Jitter  time.Duration
	TailPPM uint32
	Tail    time.Duration
}

// Latencies of the kinds of Ops. A syncing write takes Write and Sync.
type Latencies struct {
	Read  Latency
	Write Latency
	Sync  Latency // Sync, SyncDir
	Meta  Latency // all others
}

// The sites of faults, as they are counted.
const (
	SiteBitFlip      = "bit_flip"
	SiteDiskFull     = "disk_full"
	SiteLostDirent   = "lost_dirent"
	SiteLostUnsynced = "lost_unsynced"
	SiteMisdirected  = "misdirected_write"
	SiteReadError    = "read_error"
	SiteShortWrite   = "short_write"
	SiteSlowDisk     = "slow_disk"
	SiteSyncError    = "sync_error"
	SiteTornWrite    = "torn_write"
	SiteWriteError   = "write_error"
)

// sites is sorted, so that what is exported by it is.
var sites = [...]string{
	SiteBitFlip, SiteDiskFull, SiteLostDirent, SiteLostUnsynced, SiteMisdirected, SiteReadError,
	SiteShortWrite, SiteSlowDisk, SiteSyncError, SiteTornWrite, SiteWriteError,
}

// A Hit tells how often a fault had an effect.
type Hit struct {
	Site  string
	Count uint64
}

// Hits returns the count of every site, sorted by its name.
func (d *Disk) Hits() []Hit {
	hits := make([]Hit, len(sites))
	for i, s := range sites {
		hits[i] = Hit{s, d.hits[i]}
	}
	return hits
}

// HitCount returns the count of one site.
func (d *Disk) HitCount(site string) uint64 {
	for i, s := range sites {
		if s == site {
			return d.hits[i]
		}
	}
	return 0
}

func (d *Disk) hit(site string) {
	for i, s := range sites {
		if s == site {
			d.hits[i]++
		}
	}
	if d.cfg.Count != nil {
		d.cfg.Count(site)
	}
}

// SetFaults puts new rates in force.
func (d *Disk) SetFaults(f Faults) { d.faults = f }

// Heal ends all injection of faults. Damage done stays until it is overwritten.
func (d *Disk) Heal() {
	d.faults = Faults{}
	d.failAt = 0
}

// FailNth makes the n-th Op submitted from now fail with disk.ErrIO and without
// effect, n counting from 1: only that one, or with once unset all from there
// on. n = 0 takes it back.
func (d *Disk) FailNth(n uint64, once bool) {
	d.failAt, d.failOnce = 0, once
	if n > 0 {
		d.failAt = d.opCount + n
	}
}

// OpCount returns the number of Ops submitted so far.
func (d *Disk) OpCount() uint64 { return d.opCount }

// chance draws whether something of this rate happens now, and draws nothing
// for a rate of zero.
func (d *Disk) chance(ppm uint32) bool {
	return ppm > 0 && d.cfg.Rand.Uint32N(1_000_000) < ppm
}

func (d *Disk) draw(l *Latency, bytes int) time.Duration {
	t := l.Base + l.PerKiB*time.Duration(bytes)/1024
	if l.Jitter > 0 {
		t += time.Duration(d.cfg.Rand.Int64N(int64(l.Jitter) + 1))
	}
	if l.Tail > 0 && d.chance(l.TailPPM) {
		t += time.Duration(d.cfg.Rand.Int64N(int64(l.Tail) + 1))
	}
	return t
}
