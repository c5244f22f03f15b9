package simfile

import (
	"slices"

	"actordb/disk"
)

// An inode is the contents of a file as reads see them, with what is needed to
// take back the writes that are not durable.
//
// Chunk i holds the bytes from i*chunkBytes on. It may be shorter than a chunk;
// what it does not hold is zero.
type inode struct {
	name            string // the last one
	chunks          [][]byte
	size            int64
	reserved        int64
	reservedDurable int64
	undo            []record
	pendingFrom     int    // records before it are not pending
	pre             []byte // bytes that the records overwrote
	limbo           bool   // a Sync failed: some records are doomed
	damages         []damage
}

// recordState is what a Sync has made of a record.
type recordState uint8

const (
	pending recordState = iota // since the last Sync
	doomed                     // before a failed Sync: may be lost though a later one succeeds
	synced                     // kept only because an earlier record is doomed
)

// A record can undo one write or truncation.
type record struct {
	off, n           int64 // bytes whose contents it changed
	preOff, preLen   int   // what they were, in inode.pre; beyond preLen, zeros
	oldSize, newSize int64
	state            recordState
	truncate         bool
	healed           []damage // damage that the record overwrote
}

// charge is what the file costs of the quota.
func (f *inode) charge() int64 { return max(f.size, f.reserved) }

// read fills p with the bytes at off.
func (f *inode) read(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/chunkBytes), int(off%chunkBytes)
		n := min(len(p), chunkBytes-at)
		copied := 0
		if i < len(f.chunks) && at < len(f.chunks[i]) {
			copied = copy(p[:n], f.chunks[i][at:])
		}
		clear(p[copied:n])
		p, off = p[n:], off+int64(n)
	}
}

// put stores p at off and leaves the size alone.
func (f *inode) put(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/chunkBytes), int(off%chunkBytes)
		n := min(len(p), chunkBytes-at)
		for i >= len(f.chunks) {
			f.chunks = append(f.chunks, nil)
		}
		if at+n > len(f.chunks[i]) {
			f.chunks[i] = grow(f.chunks[i], at, at+n, i > 0)
		}
		copy(f.chunks[i][at:], p[:n])
		p, off = p[n:], off+int64(n)
	}
}

// grow lengthens a chunk to end and clears it up to from, where the caller is
// going to write. Only the first chunk of a file grows in steps.
func grow(c []byte, from, end int, whole bool) []byte {
	old := len(c)
	if cap(c) >= end {
		c = c[:end]
		if old < from {
			clear(c[old:from])
		}
		return c
	}
	room := chunkBytes
	if !whole {
		room = min(chunkBytes, max(2*cap(c), end, disk.SectorBytes))
	}
	g := make([]byte, end, room)
	copy(g, c)
	return g
}

// cut drops the stored bytes from size on.
func (f *inode) cut(size int64) {
	i, at := int(size/chunkBytes), int(size%chunkBytes)
	if i >= len(f.chunks) {
		return
	}
	f.chunks[i] = f.chunks[i][:min(at, len(f.chunks[i]))]
	clear(f.chunks[i+1:])
	f.chunks = f.chunks[:i+1]
}

// save appends a record for a change of [off, off+n) and remembers the bytes
// there.
func (f *inode) save(off, n, newSize int64, truncate bool) {
	r := record{off: off, n: n, preOff: len(f.pre), oldSize: f.size, newSize: newSize, truncate: truncate}
	if off < f.size {
		r.preLen = int(min(n, f.size-off))
		f.pre = slices.Grow(f.pre, r.preLen)[:r.preOff+r.preLen]
		f.read(f.pre[r.preOff:], off)
	}
	if len(f.damages) > 0 {
		r.healed = f.heal(off, off+n)
	}
	f.undo = append(f.undo, r)
}

// write stores p at off. With miss set everything happens but the change of the
// bytes: the disk wrote them elsewhere.
func (f *inode) write(p []byte, off int64, miss bool) {
	n := int64(len(p))
	newSize := max(f.size, off+n)
	f.save(off, n, newSize, false)
	if !miss {
		f.put(p, off)
	}
	f.size = newSize
	f.limit()
}

func (f *inode) truncate(size int64) {
	f.save(size, max(0, f.size-size), size, true)
	if size < f.size {
		f.cut(size)
		f.reserved = min(f.reserved, size)
	}
	f.size = size
	f.limit()
}

// limit makes everything durable when there is too much to undo.
func (f *inode) limit() {
	if len(f.undo) > undoRecordsMax || len(f.pre) > undoBytesMax {
		f.clean()
	}
}

// clean makes everything durable.
func (f *inode) clean() {
	clear(f.undo) // for the damage that they may point to
	f.undo, f.pendingFrom = f.undo[:0], 0
	f.pre = f.pre[:0]
	if cap(f.pre) > undoKeptBytes {
		f.pre = nil
	}
	f.limbo = false
	f.reservedDurable = f.reserved
}

func (f *inode) sync() {
	if !f.limbo {
		f.clean()
		return
	}
	f.markPending(synced)
	f.reservedDurable = f.reserved
}

// syncFailed dooms what was written since the last good Sync.
func (f *inode) syncFailed() {
	if f.markPending(doomed) {
		f.limbo = true
	}
}

func (f *inode) markPending(as recordState) (some bool) {
	for ; f.pendingFrom < len(f.undo); f.pendingFrom++ {
		f.undo[f.pendingFrom].state, some = as, true
	}
	return some
}

// clone copies the file for a look at what it could become.
func (f *inode) clone() *inode {
	c := *f
	c.chunks = make([][]byte, len(f.chunks))
	for i := range c.chunks {
		c.chunks[i] = slices.Clone(f.chunks[i])
	}
	c.undo = slices.Clone(f.undo)
	c.damages = slices.Clone(f.damages)
	return &c
}

func (f *inode) bytes() []byte {
	p := make([]byte, f.size)
	f.read(p, 0)
	return p
}

// A fate is what a crash does to a record.
type fate uint8

const (
	kept fate = iota
	lost
	torn // each sector by itself
)

// settle decides every record: it goes back in time, and a sector stays as it
// was after the last record of it that is kept (S2). coin decides the sectors
// of torn records. It returns how many records were lost as a whole and in
// part, as far as that changed the file.
func (f *inode) settle(decide func(*record) fate, coin func() bool) (losses, tears int) {
	if len(f.undo) == 0 {
		return 0, 0
	}
	var extent int64
	for i := range f.undo {
		extent = max(extent, f.undo[i].oldSize, f.undo[i].newSize)
	}
	settled := make([]uint64, extent/disk.SectorBytes/64+1)
	was := f.size
	size, end := f.size, int64(0)
	sizeSettled := false
	for i := len(f.undo) - 1; i >= 0; i-- {
		r := &f.undo[i]
		how := decide(r)
		keptSectors, lostSectors := 0, 0
		for s := r.off / disk.SectorBytes; s*disk.SectorBytes < r.off+r.n; s++ {
			if settled[s/64]&(1<<(s%64)) != 0 {
				continue
			}
			if how == kept || how == torn && coin() {
				settled[s/64] |= 1 << (s % 64)
				keptSectors++
				if !r.truncate {
					end = max(end, min((s+1)*disk.SectorBytes, r.newSize))
				}
			} else if f.restore(r, max(r.off, s*disk.SectorBytes), min(r.off+r.n, (s+1)*disk.SectorBytes)) {
				lostSectors++
			}
		}
		if !sizeSettled && r.newSize != r.oldSize {
			if how == kept || how == torn && coin() {
				size, sizeSettled = r.newSize, true
			} else {
				size = r.oldSize
			}
		}
		switch {
		case lostSectors > 0 && keptSectors > 0:
			tears++
		case lostSectors > 0:
			losses++
		}
	}
	f.size = max(size, end)
	f.cut(f.size)
	f.heal(f.size, extent)
	f.clean()
	if f.size != was && losses+tears == 0 {
		losses++ // what was lost were zeros, or a truncation
	}
	return losses, tears
}

// restore puts back what r changed in [from, to), which lies in one sector. It
// tells whether that changed anything.
func (f *inode) restore(r *record, from, to int64) (changed bool) {
	var old, now [disk.SectorBytes]byte
	n := to - from
	if pre := f.pre[r.preOff : r.preOff+r.preLen]; from-r.off < int64(len(pre)) {
		copy(old[:n], pre[from-r.off:])
	}
	f.read(now[:n], from)
	changed = old != now
	if changed {
		f.put(old[:n], from)
	}
	f.heal(from, to)
	for _, g := range r.healed {
		if part, ok := g.within(from, to); ok {
			f.addDamage(part)
		}
	}
	return changed
}
