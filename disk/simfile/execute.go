package simfile

import (
	"actordb/disk"
)

// execute runs op with all faults.
func (d *Disk) execute(op disk.Op, fail bool) disk.Result {
	res := disk.Result{Kind: op.Kind}
	if res.Err = op.Check(); res.Err != nil {
		return res
	}
	var err error
	switch op.Kind {
	case disk.OpList:
		err = d.list(fail, &res)
	case disk.OpCreate, disk.OpRename, disk.OpRemove, disk.OpTruncate, disk.OpReserve:
		if fail || d.chance(d.faults.WriteError) {
			d.hit(SiteWriteError)
			err = disk.ErrIO
		} else {
			err = d.change(op)
		}
	case disk.OpSyncDir:
		if fail || d.chance(d.faults.SyncError) {
			d.hit(SiteSyncError)
			err = disk.ErrIO
		} else {
			clear(d.dirents)
			d.dirents = d.dirents[:0]
		}
	default:
		f, ok := d.names.Get(op.Name)
		switch {
		case !ok && fail:
			err = disk.ErrIO
		case !ok:
			err = disk.ErrNotExist
		case op.Kind == disk.OpWrite:
			err = d.write(f, op, fail, &res)
		case op.Kind == disk.OpRead:
			err = d.read(f, op, fail, &res)
		case op.Kind == disk.OpSync:
			err = d.sync(f, fail)
		case op.Kind == disk.OpStat && fail:
			d.hit(SiteReadError)
			err = disk.ErrIO
		case op.Kind == disk.OpStat:
			res.Size = f.size
		}
	}
	if err != nil {
		res.Err = &disk.PathError{Kind: op.Kind, Name: op.Name, Offset: op.Offset, Err: err}
	}
	return res
}

func (d *Disk) list(fail bool, res *disk.Result) error {
	if fail {
		d.hit(SiteReadError)
		return disk.ErrIO
	}
	res.Names = d.Names()
	return nil
}

// change runs an Op that changes the directory or the extent of a file.
func (d *Disk) change(op disk.Op) error {
	f, ok := d.names.Get(op.Name)
	if op.Kind == disk.OpCreate {
		return d.create(op.Name, ok)
	}
	if !ok {
		return disk.ErrNotExist
	}
	switch op.Kind {
	case disk.OpRename:
		d.rename(f, op.Name, op.To)
	case disk.OpRemove:
		d.names.Delete(op.Name)
		d.used -= f.charge()
		d.addDirent(direntOp{kind: disk.OpRemove, name: op.Name, file: f})
		d.tidyLane(op.Name)
	case disk.OpTruncate:
		if !d.fits(f, op.Offset) {
			return disk.ErrNoSpace
		}
		d.used -= f.charge()
		f.truncate(op.Offset)
		d.used += f.charge()
	case disk.OpReserve:
		if !d.fits(f, op.Offset) {
			return disk.ErrNoSpace
		}
		d.used -= f.charge()
		f.reserved = max(f.reserved, op.Offset)
		d.used += f.charge()
	}
	return nil
}

func (d *Disk) create(name string, taken bool) error {
	if taken {
		return disk.ErrExist
	}
	if q := d.faults.QuotaBytes; q != 0 && d.used >= q {
		d.hit(SiteDiskFull)
		return disk.ErrNoSpace
	}
	f := &inode{name: name}
	d.names.Set(name, f)
	d.addDirent(direntOp{kind: disk.OpCreate, name: name, file: f})
	return nil
}

func (d *Disk) rename(f *inode, from, to string) {
	if from == to {
		return
	}
	d.names.Delete(from)
	displaced, _ := d.names.Set(to, f)
	if displaced != nil {
		d.used -= displaced.charge()
	}
	f.name = to
	d.addDirent(direntOp{kind: disk.OpRename, name: from, to: to, file: f, displaced: displaced})
	d.tidyLane(from)
}

// fits tells whether f may extend to end, and counts a full disk. What f has
// reserved is charged already and always fits.
func (d *Disk) fits(f *inode, end int64) bool {
	if end > fileBytesMax {
		return false
	}
	q := d.faults.QuotaBytes
	if more := end - f.charge(); q != 0 && more > 0 && d.used+more > q {
		d.hit(SiteDiskFull)
		return false
	}
	return true
}

func (d *Disk) write(f *inode, op disk.Op, fail bool, res *disk.Result) error {
	p := op.Data
	if len(p) > 0 {
		if fail {
			d.hit(SiteWriteError)
			return disk.ErrIO
		}
		if d.chance(d.faults.WriteError) {
			d.hit(SiteWriteError)
			done := d.cfg.Rand.IntN(len(p)+1) / disk.SectorBytes * disk.SectorBytes
			d.store(f, p[:done], op.Offset)
			return disk.ErrIO
		}
		if len(p) > 1 && d.chance(d.faults.ShortWrite) {
			p = p[:1+d.cfg.Rand.IntN(len(p)-1)]
			d.hit(SiteShortWrite)
		}
		if err := d.store(f, p, op.Offset); err != nil {
			return err
		}
		res.N = len(p)
	}
	if op.Sync {
		return d.sync(f, fail)
	}
	return nil
}

// store is the write that the caller believes in, which may go astray.
func (d *Disk) store(f *inode, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if !d.fits(f, off+int64(len(p))) {
		return disk.ErrNoSpace
	}
	d.used -= f.charge()
	if !d.chance(d.faults.Misdirected) || !d.misdirect(f, p, off) {
		f.write(p, off, false)
	}
	d.used += f.charge()
	return nil
}

func (d *Disk) read(f *inode, op disk.Op, fail bool, res *disk.Result) error {
	n := max(0, min(int64(op.Length), f.size-op.Offset))
	if fail || d.chance(d.faults.ReadError) {
		d.hit(SiteReadError)
		return disk.ErrIO
	}
	if n > 0 && d.chance(d.faults.ReadErrorSticky) {
		d.spoil(f, op.Offset, n)
	}
	if f.unreadable(op.Offset, op.Offset+n) {
		d.hit(SiteReadError)
		return disk.ErrIO
	}
	res.Data = make([]byte, n)
	f.read(res.Data, op.Offset)
	res.N = int(n)
	return nil
}

func (d *Disk) sync(f *inode, fail bool) error {
	if fail || d.chance(d.faults.SyncError) {
		d.hit(SiteSyncError)
		f.syncFailed()
		return disk.ErrIO
	}
	f.sync()
	return nil
}
