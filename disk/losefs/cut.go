package losefs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"actordb/disk"
)

// million is the scale of rates.
const million = 1_000_000

// A Take says how much of what is not durable a power loss takes, each in
// millionths.
type Take struct {
	Unsynced uint32 // writes and truncations that are lost as a whole
	Torn     uint32 // writes of which each sector is lost or not; drawn first
	Names    uint32 // changes of names that are undone
}

// Everything takes all that may be taken.
var Everything = Take{Unsynced: million, Names: million}

// Lost counts what a power loss took.
type Lost struct {
	Writes int   // lost as a whole, truncations among them
	Torn   int   // lost in part
	Bytes  int64 // in the sectors that were lost
	Names  int   // changes of names that were undone
}

func (l Lost) String() string {
	return fmt.Sprintf("%d writes lost and %d torn (%d bytes), %d changes of names undone", l.Writes, l.Torn, l.Bytes, l.Names)
}

func (l *Lost) add(m Lost) {
	l.Writes, l.Torn, l.Bytes, l.Names = l.Writes+m.Writes, l.Torn+m.Torn, l.Bytes+m.Bytes, l.Names+m.Names
}

// Cut makes of the directory what a power loss would have left. The process that
// used it must be dead. rnd may be nil if take is Everything. A Cut that was
// itself interrupted is not to be trusted: start again from a copy.
func Cut(under, side disk.FS, take Take, rnd *rand.Rand) (lost Lost, err error) {
	l, j, err := load(under, side)
	if err != nil {
		return lost, err
	}
	if lost, err = cut(l, under, j, take, rnd); err != nil {
		return lost, errors.Join(fmt.Errorf("power loss: %w", err), j.file.Close())
	}
	return lost, j.file.Close()
}

func cut(l *ledger, under disk.FS, j *journal, take Take, rnd *rand.Rand) (lost Lost, err error) {
	if lost.Names, err = l.loseNames(under, take, rnd); err != nil {
		return lost, err
	}
	l.dirSynced()
	for _, file := range l.sorted() {
		if len(file.undo) > 0 {
			some, err := settle(under, j, file, take, rnd)
			if err != nil {
				return lost, err
			}
			lost.add(some)
		}
	}
	if err := l.clear(under); err != nil {
		return lost, err
	}
	if err := under.SyncDir(); err != nil {
		return lost, err
	}
	return lost, j.file.Truncate(0)
}

func (l *ledger) sorted() []*inode {
	return slices.SortedFunc(maps.Values(l.inodes), func(a, b *inode) int { return cmp.Compare(a.id, b.id) })
}

// chance draws only where there is something to decide.
func chance(rate uint32, rnd *rand.Rand) bool {
	switch rate {
	case 0:
		return false
	case million:
		return true
	}
	return rnd.Uint32N(million) < rate
}

// loseNames undoes changes of names, from the last one back. One that stays pins
// its names: all earlier ones on them stay too (L2).
func (l *ledger) loseNames(under disk.FS, take Take, rnd *rand.Rand) (undone int, err error) {
	pinned := map[string]bool{} // asked, never listed
	var kept []dirent
	for i := len(l.dirents) - 1; i >= 0; i-- {
		c := l.dirents[i]
		if pinned[c.from] || c.kind == kindRename && pinned[c.to] || !chance(take.Names, rnd) {
			pinned[c.from] = true
			if c.kind == kindRename {
				pinned[c.to] = true
			}
			kept = append(kept, c)
			continue
		}
		if err := unname(under, &c); err != nil {
			return undone, err
		}
		l.undoNames(&c)
		undone++
	}
	slices.Reverse(kept)
	l.dirents = kept
	return undone, nil
}

// unname undoes a change of names in the directory.
func unname(under disk.FS, c *dirent) error {
	switch c.kind {
	case kindCreate:
		return under.Remove(c.from)
	case kindRemove:
		return under.Rename(graveName(c.file.id), c.from)
	}
	if err := under.Rename(c.to, c.from); err != nil || c.displaced == nil {
		return err
	}
	return under.Rename(graveName(c.displaced.id), c.to)
}

// A fate is what becomes of a record.
type fate uint8

const (
	kept fate = iota
	gone
	torn
)

func (t Take) fate(file *inode, r *record, rnd *rand.Rand) fate {
	switch {
	case file.failed: // whatever a later Sync said (F5)
		return gone
	case !r.truncate && chance(t.Torn, rnd):
		return torn
	case chance(t.Unsynced, rnd):
		return gone
	}
	return kept
}

// settle decides every record of a file: it goes back in time, and a sector
// stays as it was after the last record of it that is kept. The rest is durable.
func settle(under disk.FS, j *journal, file *inode, take Take, rnd *rand.Rand) (lost Lost, err error) {
	f, err := under.Open(file.name)
	if err != nil {
		return lost, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	newSize, err := f.Size()
	if err != nil {
		return lost, err
	}
	settled := map[int64]bool{} // by sector; asked, never listed
	size, end, sizeSettled := newSize, int64(0), false
	for i := len(file.undo) - 1; i >= 0; i-- {
		r := &file.undo[i]
		how := take.fate(file, r, rnd)
		back := restorer{f: f, j: j, r: r}
		keptSectors := 0
		for s := r.off / disk.SectorBytes; s*disk.SectorBytes < r.off+r.n; s++ {
			switch {
			case settled[s]:
			case how == kept || how == torn && rnd.IntN(2) == 0:
				settled[s] = true
				keptSectors++
				if !r.truncate {
					end = max(end, min((s+1)*disk.SectorBytes, newSize))
				}
			default:
				if err := back.add(max(r.off, s*disk.SectorBytes), min(r.off+r.n, (s+1)*disk.SectorBytes)); err != nil {
					return lost, err
				}
			}
		}
		if err := back.flush(); err != nil {
			return lost, err
		}
		if !sizeSettled && newSize != r.oldSize {
			if how == kept || how == torn && rnd.IntN(2) == 0 {
				size, sizeSettled = newSize, true
			} else {
				size = r.oldSize
			}
		}
		switch {
		case back.bytes > 0 && keptSectors > 0:
			lost.Torn++
		case how == gone:
			lost.Writes++
		}
		lost.Bytes += back.bytes
		newSize = r.oldSize
	}
	if err := f.Truncate(max(size, end)); err != nil {
		return lost, err
	}
	return lost, f.Sync()
}

// A restorer puts back what a record changed, neighbouring sectors at once.
type restorer struct {
	f        disk.File
	j        *journal
	r        *record
	from, to int64
	bytes    int64
}

func (b *restorer) add(from, to int64) error {
	if b.to == from && b.to > b.from {
		b.to = to
		return nil
	}
	err := b.flush()
	b.from, b.to = from, to
	return err
}

func (b *restorer) flush() error {
	if b.from == b.to {
		return nil
	}
	p := make([]byte, b.to-b.from) // zeros where there was nothing
	if n := min(b.to-b.r.off, b.r.oldLen) - (b.from - b.r.off); n > 0 {
		if err := b.j.read(p[:n], b.r.oldAt+b.from-b.r.off); err != nil {
			return err
		}
	}
	b.bytes += b.to - b.from
	err := writeAll(b.f, p, b.from)
	b.from, b.to = 0, 0
	return err
}
