package simfile

import (
	"slices"

	"actordb/disk"
)

// An Atlas limits what the disks that hold copies of the same truth may destroy
// together (S6). It is shared by them, or belongs to one.
type Atlas struct {
	// Redundancy is how many disks may be damaged in one region at the same
	// time: the number of copies minus one, or fewer if more are needed to
	// recover. At zero nothing is damaged.
	Redundancy int

	// Region names the truth that is held in a range, equally on all disks, so
	// that damage to different truths does not count together. Nil means that
	// all is one region: then at most Redundancy disks are damaged at all.
	Region func(name string, off, n int64) string

	disks []*Disk
}

func (a *Atlas) region(name string, off, n int64) string {
	if a.Region == nil {
		return ""
	}
	return a.Region(name, off, n)
}

// Damage is a range of a file that does not hold, or does not give, the bytes
// that were written there.
type Damage struct {
	Name     string
	Offset   int64
	Length   int64
	Kind     string // SiteBitFlip, SiteMisdirected or SiteReadError
	Pristine []byte // the bytes that belong there
}

// A damage is a Damage of an inode, whose name may change.
type damage struct {
	off      int64
	kind     string
	pristine []byte
}

func (g damage) end() int64 { return g.off + int64(len(g.pristine)) }

// within returns the part of g in [from, to).
func (g damage) within(from, to int64) (damage, bool) {
	from, to = max(from, g.off), min(to, g.end())
	if from >= to {
		return damage{}, false
	}
	return damage{from, g.kind, g.pristine[from-g.off : to-g.off]}, true
}

// addDamage records g, which overlaps no other.
func (f *inode) addDamage(g damage) {
	i, _ := slices.BinarySearchFunc(f.damages, g, func(a, b damage) int { return int(a.off - b.off) })
	f.damages = slices.Insert(f.damages, i, g)
}

// heal forgets the damage in [from, to) and returns it.
func (f *inode) heal(from, to int64) (healed []damage) {
	if !f.damaged(from, to) {
		return nil
	}
	var rest []damage
	for _, g := range f.damages {
		part, ok := g.within(from, to)
		if !ok {
			rest = append(rest, g)
			continue
		}
		healed = append(healed, part)
		if before, ok := g.within(g.off, part.off); ok {
			rest = append(rest, before)
		}
		if after, ok := g.within(part.end(), g.end()); ok {
			rest = append(rest, after)
		}
	}
	f.damages = rest
	return healed
}

func (f *inode) damaged(from, to int64) bool {
	return slices.ContainsFunc(f.damages, func(g damage) bool { return g.off < to && from < g.end() })
}

func (f *inode) unreadable(from, to int64) bool {
	return slices.ContainsFunc(f.damages, func(g damage) bool {
		return g.kind == SiteReadError && g.off < to && from < g.end()
	})
}

// holds tells whether the disk has damage in a region, or could have it again
// after a power loss.
func (d *Disk) holds(region string) bool {
	found := false
	look := func(f *inode) {
		in := func(g damage) bool {
			return d.cfg.Atlas.region(f.name, g.off, int64(len(g.pristine))) == region
		}
		found = found || slices.ContainsFunc(f.damages, in)
		for i := range f.undo {
			found = found || slices.ContainsFunc(f.undo[i].healed, in)
		}
	}
	d.names.Scan(func(_ string, f *inode) bool {
		look(f)
		return !found
	})
	for _, c := range d.dirents {
		if c.file != nil {
			look(c.file)
		}
		if c.displaced != nil {
			look(c.displaced)
		}
	}
	return found
}

// admit tells whether [off, off+n) of f may be damaged.
func (d *Disk) admit(f *inode, off, n int64) bool {
	a := d.cfg.Atlas
	if a == nil || a.Redundancy <= 0 || d.cfg.Eligible == nil ||
		!d.cfg.Eligible(f.name, off, n) || f.damaged(off, off+n) {
		return false
	}
	region := a.region(f.name, off, n)
	others := 0
	for _, other := range a.disks {
		if other != d && other.holds(region) {
			others++
		}
	}
	return others < a.Redundancy
}

// Damages returns the damage that is not healed, by name and offset.
func (d *Disk) Damages() []Damage {
	var all []Damage
	d.names.Scan(func(name string, f *inode) bool {
		for _, g := range f.damages {
			all = append(all, Damage{name, g.off, int64(len(g.pristine)), g.kind, slices.Clone(g.pristine)})
		}
		return true
	})
	return all
}

// Pristine returns what [off, off+n) of a file would hold without damage, cut
// at its end, or nil if there is no such file.
func (d *Disk) Pristine(name string, off, n int64) []byte {
	f, ok := d.names.Get(name)
	if !ok || off < 0 || n < 0 {
		return nil
	}
	p := make([]byte, max(0, min(n, f.size-off)))
	f.read(p, off)
	for _, g := range f.damages {
		if part, ok := g.within(off, off+int64(len(p))); ok {
			copy(p[part.off-off:], part.pristine)
		}
	}
	return p
}

// FlipBit flips one bit of the byte at off, and tells whether S6 allowed it.
func (d *Disk) FlipBit(name string, off int64) bool {
	f, ok := d.names.Get(name)
	if !ok || off < 0 || off >= f.size || !d.admit(f, off, 1) {
		return false
	}
	var b [1]byte
	f.read(b[:], off)
	f.addDamage(damage{off, SiteBitFlip, []byte{b[0]}})
	b[0] ^= 1 << d.cfg.Rand.IntN(8)
	f.put(b[:], off)
	d.hit(SiteBitFlip)
	return true
}

// A Range is a part of a file.
type Range struct {
	Name   string
	Offset int64
	Length int64
}

// FlipRandom flips a bit of one byte of the ranges, each byte being equally
// likely, and tells whether S6 allowed it.
func (d *Disk) FlipRandom(ranges []Range) bool {
	var total int64
	for _, r := range ranges {
		total += max(0, r.Length)
	}
	if total == 0 {
		return false
	}
	at := d.cfg.Rand.Int64N(total)
	for _, r := range ranges {
		if at < max(0, r.Length) {
			return d.FlipBit(r.Name, r.Offset+at)
		}
		at -= max(0, r.Length)
	}
	return false
}

// misdirect lets a write land at another place, if one is found that may be
// damaged, as the place that the write was meant for may.
func (d *Disk) misdirect(f *inode, p []byte, off int64) bool {
	n := int64(len(p))
	_, victim, _ := d.names.GetAt(d.cfg.Rand.IntN(d.names.Len()))
	if victim.size < n {
		return false
	}
	at := d.cfg.Rand.Int64N((victim.size-n)/disk.SectorBytes+1) * disk.SectorBytes
	if victim == f && at < off+n && off < at+n {
		return false
	}
	if !d.admit(f, off, n) || !d.admit(victim, at, n) {
		return false
	}
	old := make([]byte, n)
	victim.read(old, at)
	victim.write(p, at, false)
	victim.addDamage(damage{at, SiteMisdirected, old})
	f.write(p, off, true)
	f.addDamage(damage{off, SiteMisdirected, slices.Clone(p)})
	d.hit(SiteMisdirected)
	return true
}

// spoil makes one sector of [off, off+n) unreadable, if it may be damaged.
func (d *Disk) spoil(f *inode, off, n int64) {
	first := off / disk.SectorBytes
	sectors := (off+n-1)/disk.SectorBytes - first + 1
	from := (first + d.cfg.Rand.Int64N(sectors)) * disk.SectorBytes
	to := min(from+disk.SectorBytes, f.size)
	if !d.admit(f, from, to-from) {
		return
	}
	p := make([]byte, to-from)
	f.read(p, from)
	f.addDamage(damage{from, SiteReadError, p})
}
