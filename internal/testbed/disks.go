package testbed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/sim/fault"
)

// store is the disk of one shard replica.
type store struct {
	node     proc.NodeID
	addr     proc.Addr
	identity journal.Identity
	label    string // prefix of its files in reports: they share their node's disk
	files    *simfile.Disk
	kv       *memkv.Sim
	atlas    *simfile.Atlas

	alone   bool            // there is no other replica
	begun   bool            // its journal has been opened once
	ghost   []shard.Watched // of a replica that was removed and came back as if it were new: what it did while nobody counts on it
	haunts  bool
	since   core.Index // the group had last changed here when it came back
	retired bool       // its replica was removed from the group, and does nothing any more

	faults  simfile.Faults
	ops     uint64 // counted when bits were last flipped
	damaged []*damage
}

// damage is one that was done on purpose and is not settled yet.
type damage struct {
	checkers.Damage
	name     string
	reported bool
	settled  bool
}

// disks are all stores of a run. They are the fault schedule's target for what
// concerns storage and clients, and the operator who mends what was damaged.
type disks struct {
	run     *run
	stores  []*store
	views   []*viewStore
	rates   map[string]int
	flips   *rand.Rand
	hits    map[string]uint64
	reports []checkers.Report

	mended, restored int // damages, from entries and from the backup
}

func (d *disks) add(label string, node proc.NodeID) *store {
	w := d.run.world
	s := &store{node: node, label: label, atlas: &simfile.Atlas{Redundancy: 1}}
	now := func() int64 { return int64(w.Now()) }
	count := func(site string) { d.hits[site]++ }
	slow := time.Duration(d.run.settings.slower)
	s.files = simfile.New(simfile.Config{
		Rand: w.Stream("disk " + label), Now: now, Count: count, Atlas: s.atlas,
		Latencies: simfile.Latencies{
			Read:  simfile.Latency{Base: slow * 60 * time.Microsecond, Jitter: slow * 40 * time.Microsecond},
			Write: simfile.Latency{Base: slow * 20 * time.Microsecond, Jitter: slow * 20 * time.Microsecond},
			Sync:  simfile.Latency{Base: slow * 200 * time.Microsecond, Jitter: slow * 200 * time.Microsecond, TailPPM: 2000, Tail: 20 * time.Millisecond},
			Meta:  simfile.Latency{Base: 50 * time.Microsecond, Jitter: 50 * time.Microsecond},
		},
		Eligible: func(name string, off, n int64) bool { return s.vouched(name) >= off+n },
	})
	s.kv = memkv.NewSim(memkv.Config{
		Rand: w.Stream("kv " + label), Now: now, Count: count,
		Latencies: memkv.Latencies{
			Read:  memkv.Latency{Base: 30 * time.Microsecond, Jitter: 30 * time.Microsecond},
			Apply: memkv.Latency{Base: 10 * time.Microsecond, Jitter: 10 * time.Microsecond},
			Flush: memkv.Latency{Base: 2 * time.Millisecond, Jitter: 2 * time.Millisecond},
		},
	})
	d.stores = append(d.stores, s)
	return s
}

// vouched is how many first bytes of a file the journal can tell to be damaged
// if they are: what lies beyond looks like a torn tail, and a group of one has
// no second copy to know better.
func (s *store) vouched(name string) int64 {
	image, ok := s.files.ExportDurable(name)
	if !ok {
		return 0
	}
	return journal.Vouched(image)
}

func (d *disks) apply(s *store) {
	ppm := func(site string) uint32 { return uint32(d.rates[site]) }
	f := &s.faults
	f.ShortWrite, f.WriteError = ppm(fault.ShortWrite), ppm(fault.WriteError)
	f.ReadError, f.SyncError = ppm(fault.ReadError), ppm(fault.SyncError)
	f.TornWrite, f.LostUnsynced, f.LostDirent = ppm(fault.TornWrite), ppm(fault.LostUnsynced), ppm(fault.LostDirent)
	s.files.SetFaults(*f)
	d.applyKV(s.kv)
}

func (d *disks) applyKV(kv *memkv.Sim) {
	ppm := func(site string) uint32 { return uint32(d.rates[site]) }
	kv.SetFaults(memkv.Faults{ReadError: ppm(fault.ReadError), WriteError: ppm(fault.WriteError), LostUnflushed: d.lostUnflushed()})
}

// lostUnflushed: a store without its own log always stands to lose what it did
// not flush, in half of the crashes of a run with faults.
func (d *disks) lostUnflushed() uint32 {
	if d.run.options.Faults == "none" {
		return 0
	}
	return 500_000
}

// strictly makes power losses take all that they may: what nobody synced, and
// every name that nobody made durable.
func (d *disks) strictly(on bool) {
	for _, s := range d.stores {
		f := s.faults
		if on {
			f = simfile.Faults{LostUnsynced: 1_000_000, LostDirent: 1_000_000}
		}
		s.files.SetFaults(f)
	}
}

// SetRate implements fault.Target.
func (d *disks) SetRate(site string, ppm int) error {
	d.rates[site] = ppm
	for _, s := range d.stores {
		d.apply(s)
	}
	for _, s := range d.views {
		d.applyKV(s.kv)
	}
	return nil
}

// DiskFull implements fault.Target.
func (d *disks) DiskFull(node proc.NodeID, bytesLeft int64) {
	for _, s := range d.of(node) {
		s.faults.QuotaBytes = 0
		if bytesLeft >= 0 {
			s.faults.QuotaBytes = s.used(d.run.settings.shard.SegmentBytes) + bytesLeft
		}
		d.apply(s)
	}
}

// used is what a store's files take, reservations included, or a little more.
func (s *store) used(segment int64) (n int64) {
	names := s.files.Names()
	for i, name := range names {
		image, _ := s.files.Export(name)
		if i == len(names)-1 {
			n += max(int64(len(image)), segment)
		} else {
			n += int64(len(image))
		}
	}
	return max(n, 1)
}

// SlowDisk implements fault.Target.
func (d *disks) SlowDisk(node proc.NodeID, times int64) {
	for _, s := range d.of(node) {
		s.faults.SlowDisk, s.faults.SlowFactor = 0, 0
		if times > 1 {
			s.faults.SlowDisk, s.faults.SlowFactor = 1_000_000, int(times)
		}
		d.apply(s)
	}
}

// LoseKV implements fault.Target. A compacted journal cannot rebuild the store, so
// there it is lost only while another replica has all of its own.
func (d *disks) LoseKV(node proc.NodeID) bool {
	lost := false
	for _, s := range d.of(node) {
		if d.run.settings.shard.CompactKeep > 0 && !d.copied(s) {
			continue
		}
		lost = lost || s.kv.Len() > 0
		s.kv.Lose()
	}
	for _, s := range d.views {
		if s.node == node {
			lost = s.harm() || lost
			d.applyKV(s.kv)
		}
	}
	return lost
}

// Reformat implements fault.Target: a server's disks are new and empty. That needs
// all others of the groups, each with all that it should have.
func (d *disks) Reformat(node proc.NodeID) bool {
	for _, s := range d.of(node) {
		if s.alone || !s.begun || !d.covered(s) {
			return false
		}
	}
	for _, s := range d.of(node) {
		s.files.Wipe()
		s.kv.Lose()
		s.gone()
	}
	for _, s := range d.views {
		if s.node == node {
			s.kv.Lose()
		}
	}
	return true
}

// gone settles the damage that went with its files, unread.
func (s *store) gone() {
	now := s.files.Damages()
	for _, x := range s.damaged {
		x.settled = x.settled || !slices.ContainsFunc(now, func(y simfile.Damage) bool { return y.Name == x.name && y.Offset == x.Offset })
	}
}

// covered tells whether every other replica of the group has all that it should have,
// undamaged as far as anybody knows: so that one more may lose something.
func (d *disks) covered(s *store) bool {
	for _, other := range d.stores {
		if other == s || other.identity.Shard != s.identity.Shard || other.retired {
			continue
		}
		if !other.sound(d) || len(other.files.Damages()) > 0 {
			return false
		}
	}
	return true
}

func (s *store) sound(d *disks) bool {
	p, ok := d.run.world.Process(s.addr).(*shard.Shard)
	return ok && d.run.world.Running(s.addr) && p.Sound()
}

// copied tells whether another replica of the shard has its derived state.
func (d *disks) copied(s *store) bool {
	return slices.ContainsFunc(d.stores, func(other *store) bool {
		p, ok := d.run.world.Process(other.addr).(*shard.Shard)
		return ok && other != s && other.identity.Shard == s.identity.Shard && d.run.world.Running(other.addr) && p.Serving()
	})
}

// CrashClient implements fault.Target.
func (d *disks) CrashClient(node proc.NodeID) bool { return d.run.crashClient(node) }

// RestartClient implements fault.Target.
func (d *disks) RestartClient(node proc.NodeID) { d.run.restartClient(node) }

// Hits implements fault.Target.
func (d *disks) Hits() map[string]uint64 {
	hits := make(map[string]uint64, len(d.hits))
	for site, n := range d.hits {
		if site != fault.KVLost {
			hits[site] = n
		}
	}
	return hits
}

func (d *disks) of(node proc.NodeID) []*store {
	var list []*store
	for _, s := range d.stores {
		if s.node == node {
			list = append(list, s)
		}
	}
	return list
}

// rot flips bits, as many as the rate says of the operations since the last
// time, and looks after the damage that was done before.
func (d *disks) rot() {
	for _, s := range d.stores {
		d.settle(s)
		n := s.files.OpCount()
		chance := uint64(d.rates[fault.BitFlip]) * (n - s.ops)
		s.ops = n
		if chance > 0 && d.flips.Uint64N(1_000_000) < chance && (s.alone || s.sound(d) && d.covered(s)) {
			d.flip(s)
		}
	}
}

// flip damages one bit where a group of one can tell: below what a later frame
// vouches for.
func (d *disks) flip(s *store) {
	var ranges []simfile.Range
	for _, name := range s.files.Names() {
		if n := s.vouched(name); n > 0 {
			ranges = append(ranges, simfile.Range{Name: name, Offset: 0, Length: n})
		}
	}
	before := s.files.Damages()
	if len(ranges) == 0 || !s.files.FlipRandom(ranges) {
		return
	}
	for _, x := range s.files.Damages() {
		if slices.ContainsFunc(before, func(y simfile.Damage) bool { return y.Name == x.Name && y.Offset == x.Offset }) {
			continue
		}
		s.damaged = append(s.damaged, &damage{name: x.Name, Damage: checkers.Damage{
			Place: s.place(x.Name, x.Offset, x.Length), Kind: x.Kind, At: int64(d.run.world.Now()), Truth: true}})
	}
}

func (s *store) place(name string, off, n int64) checkers.Place {
	return checkers.Place{Node: uint32(s.node), File: s.label + "/" + name, Offset: off, Length: n}
}

// settle looks for damage that is gone though nobody mended it: cut off, or
// written over by one who did not look.
func (d *disks) settle(s *store) {
	now := s.files.Damages()
	if slices.Contains(s.files.Names(), journal.ForgottenName) {
		s.gone() // the journal is void; nothing is damaged while it is (see rot)
	}
	for _, x := range s.damaged {
		if x.settled || slices.ContainsFunc(now, func(y simfile.Damage) bool {
			return y.Name == x.name && y.Offset < x.Offset+x.Length && x.Offset < y.Offset+y.Length
		}) {
			continue
		}
		x.settled = true
		image, exists := s.files.Export(x.name)
		switch {
		case x.reported || !exists: // mended; or compacted away, unread
		case int64(len(image)) <= x.Offset:
			x.Exposed = true
			d.report(s, x.name, x.Offset, x.Length, checkers.Cut, "the file ends before the damage")
		default:
			x.Exposed = true // written over
		}
	}
}

func (d *disks) report(s *store, name string, off, n int64, outcome checkers.Outcome, detail string) {
	d.reports = append(d.reports, checkers.Report{Place: s.place(name, off, n), Outcome: outcome,
		At: int64(d.run.world.Now()), Detail: detail})
}

// halted is told why a replica stopped. If it found damage, the operator mends
// it from the pristine copy that stands for a replica or a backup.
func (d *disks) halted(addr proc.Addr, cause error) error {
	var found *journal.Damage
	if !errors.As(cause, &found) {
		return nil
	}
	for _, s := range d.stores {
		if s.addr != addr {
			continue
		}
		d.found(s, found)
		if s.alone {
			return d.mend(s, found)
		}
	}
	return nil
}

// found notes that a replica told of damage: to its operator, or to its group, which
// mends it.
func (d *disks) found(s *store, found *journal.Damage) {
	d.report(s, found.Segment, found.From, found.To-found.From, checkers.Declined, found.Error())
	for _, x := range s.damaged {
		if x.name == found.Segment && x.Offset < found.To && found.From < x.Offset+x.Length {
			x.reported, x.Exposed = true, true
		}
	}
}

// mend writes the damaged bytes anew: as the journal makes them from another
// copy of its entries where it can, else as the backup has them.
func (d *disks) mend(s *store, found *journal.Damage) error {
	f, err := s.files.FS().Open(found.Segment)
	if err != nil {
		return fmt.Errorf("the operator cannot open %s: %w", found.Segment, err)
	}
	defer f.Close()
	s.files.SetFaults(simfile.Faults{}) // the operator works on a healthy machine
	defer d.apply(s)
	image, _ := s.files.Export(found.Segment)
	backup := slices.Clone(image)
	var healed []simfile.Damage
	for _, x := range s.files.Damages() {
		if x.Name != found.Segment {
			continue
		}
		copy(backup[x.Offset:], x.Pristine)
		if x.Offset < found.To && found.From < x.Offset+x.Length {
			healed = append(healed, x) // what was not found stays, to be found later
		}
	}
	patch, err := journal.Mend(s.identity, found, image, journal.EntriesOf(backup))
	if err == nil {
		d.mended++
		if _, err := f.WriteAt(patch, found.From); err != nil {
			return err
		}
		return f.Sync()
	}
	if !errors.Is(err, journal.ErrBeyondMending) {
		return err
	}
	for _, x := range healed {
		d.restored++
		if _, err := f.WriteAt(x.Pristine, x.Offset); err != nil {
			return err
		}
	}
	return f.Sync()
}

// expose marks what the last recovery went over: all that is still damaged.
func (d *disks) expose() []checkers.Damage {
	var list []checkers.Damage
	for _, s := range d.stores {
		d.settle(s)
		for _, x := range s.damaged {
			if !x.settled && !s.retired { // nobody reads what was taken away
				x.Exposed = true
			}
			list = append(list, x.Damage)
		}
	}
	return list
}
