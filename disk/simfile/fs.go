package simfile

import "actordb/disk"

// FS returns the directory as a synchronous file system: each call is submitted
// and completed at once, and counts as an Op. Nothing else may be in flight on
// the names that it uses.
func (d *Disk) FS() disk.FS { return fs{d} }

type fs struct{ d *Disk }

func (d *Disk) do(op disk.Op) disk.Result {
	ticket, _ := d.Submit(op)
	return d.Complete(ticket)
}

func (v fs) List() ([]string, error) {
	res := v.d.do(disk.Op{Kind: disk.OpList})
	return res.Names, res.Err
}

func (v fs) Create(name string) (disk.File, error) {
	if res := v.d.do(disk.Op{Kind: disk.OpCreate, Name: name}); res.Err != nil {
		return nil, res.Err
	}
	return &file{d: v.d, name: name}, nil
}

func (v fs) Open(name string) (disk.File, error) {
	if res := v.d.do(disk.Op{Kind: disk.OpStat, Name: name}); res.Err != nil {
		return nil, res.Err
	}
	return &file{d: v.d, name: name}, nil
}

func (v fs) Rename(from, to string) error {
	return v.d.do(disk.Op{Kind: disk.OpRename, Name: from, To: to}).Err
}

func (v fs) Remove(name string) error {
	return v.d.do(disk.Op{Kind: disk.OpRemove, Name: name}).Err
}

func (v fs) SyncDir() error { return v.d.do(disk.Op{Kind: disk.OpSyncDir}).Err }

// A file goes by its name: after a rename it is the file that has the name.
type file struct {
	d      *Disk
	name   string
	closed bool
}

func (f *file) do(op disk.Op) disk.Result {
	op.Name = f.name
	if f.closed {
		return disk.Result{Err: &disk.PathError{Kind: op.Kind, Name: f.name, Offset: op.Offset, Err: disk.ErrBadRequest}}
	}
	return f.d.do(op)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	res := f.do(disk.Op{Kind: disk.OpRead, Offset: off, Length: len(p)})
	return copy(p, res.Data), res.Err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	res := f.do(disk.Op{Kind: disk.OpWrite, Offset: off, Data: p})
	return res.N, res.Err
}

func (f *file) Sync() error { return f.do(disk.Op{Kind: disk.OpSync}).Err }

func (f *file) Truncate(size int64) error {
	return f.do(disk.Op{Kind: disk.OpTruncate, Offset: size}).Err
}

func (f *file) Reserve(size int64) error {
	return f.do(disk.Op{Kind: disk.OpReserve, Offset: size}).Err
}

func (f *file) Size() (int64, error) {
	res := f.do(disk.Op{Kind: disk.OpStat})
	return res.Size, res.Err
}

func (f *file) Close() error {
	f.closed = true
	return nil
}
