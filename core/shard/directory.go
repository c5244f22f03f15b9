package shard

import (
	//arch:allow ambient: the hash decides where a handle stands, which nothing shows: handles go by order of arrival
	"hash/maphash"
	"strings"

	"actordb/core"
)

// known is what a shard remembers of every actor that it has, in memory or not.
// All fields but hot tell of durable events only. There may be millions: the
// type is kept at 56 bytes.
type known struct {
	id        core.ActorID
	seq       core.Seq
	last      core.Index  // block of its newest events
	uncovered core.Index  // first block with events after its newest snapshot; 0: none
	snaps     *[]core.Seq // retained snapshots, ascending; nil: none
	hot       place       // in memory, or 0
	nextDirty uint32      // the next actor changed since the last checkpoint, plus 2; 1: none; 0: it is not changed itself
}

func (k *known) snapshots() []core.Seq {
	if k.snaps == nil {
		return nil
	}
	return *k.snaps
}

func (k *known) setSnapshots(list []core.Seq) {
	if len(list) == 0 {
		k.snaps = nil
		return
	}
	k.snaps = &list
}

// snap is the newest snapshot, 0 for none.
func (k *known) snap() core.Seq {
	if list := k.snapshots(); len(list) > 0 {
		return list[len(list)-1]
	}
	return 0
}

// chunkActors is how many actors the directory makes room for at a time: it
// grows without moving what it has.
const chunkActors = 1024

// directory finds actors by id, once at the door, and by handle from then on.
//
// The index is an open-addressing hash table of handles, in parts that grow one
// by one, so that no growth takes long. It holds no ids: those stand with the
// actors, and a tag of the hash in each slot makes a needless look at them rare.
// To find out that an actor is new and to enter it is one probe, which a map
// does twice; most of a new actor's cost is waiting for memory.
type directory struct {
	seed   maphash.Seed
	parts  [directoryParts]part
	chunks []*[chunkActors]known
	ids    strings.Builder // room for ids: they stand together, in pieces that go when the last one of each does
	used   uint32          // handles ever given out
	free   []uint32        // of actors that came to nothing
	count  int
}

// directoryParts is a power of two: the top bits of the hash choose the part.
const directoryParts = 256

type part struct {
	slots []slot // a power of two of them, or none
	used  int    // slots that hold an actor or a grave
	live  int    // slots that hold an actor
}

// slot is 0 when it was never used. A grave, left by a forgotten actor, has
// handle 0 and a tag. The tag alone says where in its part a slot belongs, so
// that a part grows without looking at its actors.
type slot struct {
	tag    uint32
	handle uint32 // plus 1
}

// tagOf takes the hash's lower bits; the part comes from the top ones.
func tagOf(hash uint64) uint32 { return uint32(hash) | 1 }

// home is where the search for a tag begins. Its lowest bit is always set.
func home(tag uint32, mask int) int { return int(tag>>1) & mask }

func newDirectory() directory { return directory{seed: maphash.MakeSeed()} }

func (d *directory) len() int { return d.count }

func (d *directory) at(handle uint32) *known {
	return &d.chunks[handle/chunkActors][handle%chunkActors]
}

// hash is keyed, so that nobody can choose ids that collide.
func (d *directory) hash(id core.ActorID) uint64 {
	return maphash.String(d.seed, string(id))
}

// probe returns the slot of an id, or the slot where it belongs.
func (d *directory) probe(p *part, hash uint64, id core.ActorID) (at int, found bool) {
	tag, mask, grave := tagOf(hash), len(p.slots)-1, -1
	for i := home(tag, mask); ; i = (i + 1) & mask {
		s := &p.slots[i]
		switch {
		case s.tag == 0 && grave >= 0:
			return grave, false
		case s.tag == 0:
			return i, false
		case s.handle == 0 && grave < 0:
			grave = i
		case s.handle != 0 && s.tag == tag && d.at(s.handle-1).id == id:
			return i, true
		}
	}
}

// touch starts the search for an id: it returns what the first slot says, a handle
// plus 1 or 0. Searches that are started one after the other wait for memory
// together, and searches made one after the other each on its own.
func (d *directory) touch(hash uint64) uint32 {
	p := &d.parts[hash>>56]
	if len(p.slots) == 0 {
		return 0
	}
	return p.slots[home(tagOf(hash), len(p.slots)-1)].handle
}

func (d *directory) find(hash uint64, id core.ActorID) (uint32, *known) {
	p := &d.parts[hash>>56]
	if len(p.slots) == 0 {
		return 0, nil
	}
	if i, found := d.probe(p, hash, id); found {
		h := p.slots[i].handle - 1
		return h, d.at(h)
	}
	return 0, nil
}

// enter returns the actor, made known if it was not. The id may alias a frame.
func (d *directory) enter(hash uint64, id core.ActorID) (uint32, *known) {
	p := &d.parts[hash>>56]
	if 4*(p.used+1) > 3*len(p.slots) {
		d.grow(p)
	}
	i, found := d.probe(p, hash, id)
	if found {
		h := p.slots[i].handle - 1
		return h, d.at(h)
	}
	h := d.handle()
	if p.slots[i].tag == 0 {
		p.used++
	}
	p.live++
	p.slots[i] = slot{tag: tagOf(hash), handle: h + 1}
	d.count++
	k := d.at(h)
	*k = known{id: d.own(id)}
	return h, k
}

// idBytes is how much room for ids is made at a time.
const idBytes = 4096

func (d *directory) own(id core.ActorID) core.ActorID {
	if len(id) > d.ids.Cap()-d.ids.Len() {
		d.ids = strings.Builder{}
		d.ids.Grow(idBytes)
	}
	from := d.ids.Len()
	d.ids.WriteString(string(id))
	return core.ActorID(d.ids.String()[from:])
}

func (d *directory) handle() uint32 {
	if n := len(d.free); n > 0 {
		h := d.free[n-1]
		d.free = d.free[:n-1]
		return h
	}
	h := d.used
	d.used++
	if int(h/chunkActors) == len(d.chunks) {
		d.chunks = append(d.chunks, new([chunkActors]known))
	}
	return h
}

// grow doubles a part, or clears its graves if these are many.
func (d *directory) grow(p *part) {
	size := max(8, len(p.slots))
	if 2*p.live >= size {
		size *= 2
	}
	old, mask := p.slots, size-1
	p.slots, p.used = make([]slot, size), p.live
	for _, s := range old {
		if s.handle == 0 {
			continue
		}
		i := home(s.tag, mask)
		for p.slots[i].tag != 0 {
			i = (i + 1) & mask
		}
		p.slots[i] = s
	}
}

// forget gives an actor's handle back.
func (d *directory) forget(h uint32) {
	id := d.at(h).id
	hash := d.hash(id)
	p := &d.parts[hash>>56]
	i, found := d.probe(p, hash, id)
	core.Assert(found, "%s is not in the directory", id)
	core.Assert(d.at(h).nextDirty == 0, "%s has changed and is forgotten", id)
	p.slots[i].handle = 0
	p.live--
	*d.at(h) = known{}
	d.free = append(d.free, h)
	d.count--
}

// each calls visit for every handle, those that are free included: their known
// is empty.
func (d *directory) each(visit func(h uint32, k *known)) {
	for h := range d.used {
		visit(h, d.at(h))
	}
}
