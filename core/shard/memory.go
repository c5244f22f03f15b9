package shard

import (
	"actordb/core"
	"actordb/core/actor"
)

// hot is an actor in memory, or on its way there. There may be millions: the
// type is kept at 80 bytes and has few pointers for a collector to follow.
type hot struct {
	state     actor.State // nil while it hydrates
	hydration *hydration  // nil when it is hydrated
	seq       core.Seq    // of the head state
	last      core.Index  // block of the head's newest events
	snap      core.Seq    // newest snapshot taken, durable or in flight

	generation uint64 // of the block in which entry is its dictionary number
	entry      int32
	handle     uint32
	self       place  // where it stands
	newer      place  // by use
	older      place  // by use, or the next free one
	light      uint32 // bytes of its last state in a block
	kind       uint16
	flights    uint8 // blocks in flight that touch it
	touched    bool  // has events in the block being built
}

// hydration is what an actor on its way to memory has besides.
type hydration struct {
	waiting []*pending // until it is there
	queued  bool       // waits for a place to be hydrated
}

// place is where a hot actor stands in memory, plus 1; 0 is none.
type place uint32

// slabActors is how many hot actors memory makes room for at a time.
const slabActors = 256

// warmth holds the actors in memory, in the order of their use. Room once made
// is used again and never given back: it is bounded by the limit of hot actors.
type warmth struct {
	slabs  []*[slabActors]hot
	made   int // places ever used
	free   place
	newest place
	oldest place
	count  int
}

func (m *warmth) at(p place) *hot {
	return &m.slabs[(p-1)/slabActors][(p-1)%slabActors]
}

// of returns the actor in memory, or nil.
func (m *warmth) of(k *known) *hot {
	if k.hot == 0 {
		return nil
	}
	return m.at(k.hot)
}

// add gives an actor a place. Its state is yet to come.
func (m *warmth) add(handle uint32, k *known, kind uint16) *hot {
	p := m.free
	if p == 0 {
		if m.made == len(m.slabs)*slabActors {
			m.slabs = append(m.slabs, new([slabActors]hot))
		}
		m.made++
		p = place(m.made)
	} else {
		m.free = m.at(p).older
	}
	a := m.at(p)
	*a = hot{self: p, handle: handle, kind: kind}
	k.hot = p
	m.count++
	m.link(a)
	return a
}

// remove frees an actor's place.
func (m *warmth) remove(a *hot, k *known) {
	m.unlink(a)
	p := a.self
	*a = hot{older: m.free}
	m.free = p
	k.hot = 0
	m.count--
}

// use makes a the newest.
func (m *warmth) use(a *hot) {
	if m.newest != a.self {
		m.unlink(a)
		m.link(a)
	}
}

func (m *warmth) link(a *hot) {
	a.older = m.newest
	if m.newest != 0 {
		m.at(m.newest).newer = a.self
	}
	m.newest = a.self
	if m.oldest == 0 {
		m.oldest = a.self
	}
}

func (m *warmth) unlink(a *hot) {
	if a.newer != 0 {
		m.at(a.newer).older = a.older
	} else {
		m.newest = a.older
	}
	if a.older != 0 {
		m.at(a.older).newer = a.newer
	} else {
		m.oldest = a.newer
	}
	a.newer, a.older = 0, 0
}

// heat gives an actor a place in memory. Its state is there if it has no events,
// and else yet to come.
func (s *Shard) heat(handle uint32, k *known) *hot {
	kind := s.kindOf(k.id)
	a := s.memory.add(handle, k, kind.number)
	if k.seq == 0 {
		a.state = kind.New(k.id)
	} else {
		a.hydration = &hydration{}
	}
	return a
}

// cool drops an actor from memory; one that never had an event is forgotten.
func (s *Shard) cool(a *hot) {
	handle := a.handle
	k := s.actors.at(handle)
	s.memory.remove(a, k)
	if k.seq == 0 {
		s.actors.forget(handle)
	}
}

// passivate drops the least recently used actors when there are too many.
// Those in flight or hydrating stay.
func (s *Shard) passivate() {
	for p := s.memory.oldest; p != 0 && s.memory.count > s.cfg.HotActors; {
		a := s.memory.at(p)
		p = a.newer
		if a.flights == 0 && a.state != nil {
			s.out.Mark(markPassivate)
			s.cool(a)
		}
	}
}
