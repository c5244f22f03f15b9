package shard

import "actordb/core"

// known is what a shard remembers of every actor that it has, in memory or not.
// All fields but hot tell of durable events only. There may be millions: the
// type is kept at 64 bytes.
type known struct {
	id        core.ActorID
	seq       core.Seq
	last      core.Index  // block of its newest events
	uncovered core.Index  // first block with events after its newest snapshot; 0: none
	snaps     *[]core.Seq // retained snapshots, ascending; nil: none
	hot       *hot
	dirty     bool // changed since the last checkpoint
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
type directory struct {
	handles map[core.ActorID]uint32
	chunks  []*[chunkActors]known
	used    uint32   // handles ever given out
	free    []uint32 // of actors that came to nothing
}

func newDirectory() directory { return directory{handles: make(map[core.ActorID]uint32)} }

func (d *directory) len() int { return len(d.handles) }

func (d *directory) at(handle uint32) *known {
	return &d.chunks[handle/chunkActors][handle%chunkActors]
}

func (d *directory) find(id core.ActorID) (uint32, *known) {
	if h, ok := d.handles[id]; ok {
		return h, d.at(h)
	}
	return 0, nil
}

// add makes an actor known that is not yet. It keeps the id.
func (d *directory) add(k known) (uint32, *known) {
	var h uint32
	if n := len(d.free); n > 0 {
		h = d.free[n-1]
		d.free = d.free[:n-1]
	} else {
		h = d.used
		d.used++
		if int(h/chunkActors) == len(d.chunks) {
			d.chunks = append(d.chunks, new([chunkActors]known))
		}
	}
	d.handles[k.id] = h
	*d.at(h) = k
	return h, d.at(h)
}

// forget gives an actor's handle back.
func (d *directory) forget(h uint32) {
	delete(d.handles, d.at(h).id)
	*d.at(h) = known{}
	d.free = append(d.free, h)
}

// each calls visit for every handle, those that are free included: their known
// is empty.
func (d *directory) each(visit func(h uint32, k *known)) {
	for h := range d.used {
		visit(h, d.at(h))
	}
}
