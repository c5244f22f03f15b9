package simfile

import (
	"github.com/tidwall/btree"

	"actordb/disk"
)

// A direntOp is a change of names that is not durable.
type direntOp struct {
	kind      disk.OpKind // OpCreate, OpRename or OpRemove
	name, to  string
	file      *inode
	displaced *inode // what a rename replaced, or nil
}

// undo takes the change back. All later ones on its names must have been taken
// back before.
func (c *direntOp) undo(names *btree.Map[string, *inode]) {
	switch c.kind {
	case disk.OpCreate:
		names.Delete(c.name)
	case disk.OpRemove:
		names.Set(c.name, c.file)
	case disk.OpRename:
		names.Set(c.name, c.file)
		if c.displaced != nil {
			names.Set(c.to, c.displaced)
		} else {
			names.Delete(c.to)
		}
	}
}

func (d *Disk) addDirent(c direntOp) {
	if len(d.dirents) == direntsMax {
		clear(d.dirents)
		d.dirents = d.dirents[:0]
	}
	d.dirents = append(d.dirents, c)
}

// Crash ends everything in flight. With power set the machine lost power: what
// is not durable is lost as the rates in force say (S2, S3). Otherwise only the
// process died (S4). Tickets given before are void.
func (d *Disk) Crash(power bool) {
	d.crashInflight(power)
	if power {
		d.crashDirents()
	}
	d.used = 0
	d.names.Scan(func(name string, f *inode) bool {
		f.name = name
		if power || f.limbo {
			d.crashFile(f, power)
		}
		d.used += f.charge()
		return true
	})
	d.first += uint64(len(d.queue) - d.head)
	clear(d.queue)
	d.queue, d.head = d.queue[:0], 0
	clear(d.lanes)
	d.dir = lane{}
}

// crashInflight decides how far the Ops in flight got.
func (d *Disk) crashInflight(power bool) {
	for _, p := range d.queue[d.head:] {
		if p.done || p.fail || p.op.Check() != nil {
			continue
		}
		if power {
			// The device is free in what it does first (F2), so each Op has
			// happened or not. Which sectors of a write did is drawn with those
			// of all other undurable writes.
			if d.cfg.Rand.IntN(2) == 0 {
				d.happen(p.op)
			}
			continue
		}
		if p.lane.stopped {
			continue
		}
		switch d.cfg.Rand.IntN(3) {
		case 0:
			d.happen(p.op)
		case 1:
			p.lane.stopped = true
			if p.op.Kind == disk.OpWrite && len(p.op.Data) > 0 {
				p.op.Data = p.op.Data[:d.cfg.Rand.IntN(len(p.op.Data))]
				d.happen(p.op)
			}
		case 2:
			p.lane.stopped = true
		}
	}
}

// happen lets an Op take effect that nobody will hear of.
func (d *Disk) happen(op disk.Op) {
	switch op.Kind {
	case disk.OpCreate, disk.OpRename, disk.OpRemove, disk.OpTruncate, disk.OpReserve:
		_ = d.change(op)
	case disk.OpWrite:
		if f, ok := d.names.Get(op.Name); ok && len(op.Data) > 0 && d.fits(f, op.Offset+int64(len(op.Data))) {
			d.used -= f.charge()
			f.write(op.Data, op.Offset, false)
			d.used += f.charge()
		}
	}
}

// crashDirents undoes changes of names, from the last one back. A change that
// stays pins its names: all earlier ones on them stay too (S3).
func (d *Disk) crashDirents() {
	pinned := make(map[string]bool) // asked, never listed
	for i := len(d.dirents) - 1; i >= 0; i-- {
		c := &d.dirents[i]
		if !pinned[c.name] && !pinned[c.to] && d.chance(d.faults.LostDirent) {
			c.undo(&d.names)
			d.hit(SiteLostDirent)
			continue
		}
		pinned[c.name] = true
		if c.kind == disk.OpRename {
			pinned[c.to] = true
		}
	}
	clear(d.dirents)
	d.dirents = d.dirents[:0]
}

func (d *Disk) crashFile(f *inode, power bool) {
	reserved := f.reservedDurable
	losses, tears := f.settle(func(r *record) fate { return d.fate(r, power) },
		func() bool { return d.cfg.Rand.IntN(2) == 0 })
	for range losses {
		d.hit(SiteLostUnsynced)
	}
	for range tears {
		d.hit(SiteTornWrite)
	}
	if power && reserved < f.reserved && d.chance(d.faults.LostUnsynced) {
		f.reserved = reserved
	}
	f.reservedDurable = f.reserved
}

// fate draws what becomes of a record in a crash.
func (d *Disk) fate(r *record, power bool) fate {
	switch {
	case r.state == synced:
		return kept
	case r.state == doomed && r.truncate:
		return fate(d.cfg.Rand.IntN(2)) // kept or lost
	case r.state == doomed:
		return torn
	case !power:
		return kept
	case !r.truncate && d.chance(d.faults.TornWrite):
		return torn
	case d.chance(d.faults.LostUnsynced):
		return lost
	}
	return kept
}

// Wipe makes the directory empty, and durably so, after a crash: as if the disk had
// been exchanged for a new one. Damage goes with it.
func (d *Disk) Wipe() {
	d.names.Clear()
	clear(d.dirents)
	d.dirents, d.used = d.dirents[:0], 0
}
