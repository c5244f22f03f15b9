package shard

import (
	"fmt"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/seal"
	"actordb/disk"
	"actordb/net/wire"
)

// A replica whose derived state is older than its log, because the group has
// compacted what is between, or because the store was lost, fetches that of
// another one: a manifest, which names chunks by their hashes, and then the chunks.
// Entries that are committed meanwhile are only stored, and applied when it has
// caught up.
//
// Who gives state holds its checkpoints back meanwhile, so that what it reads, in
// pieces and between other work, is all as of the last one. It waits for nobody
// longer than giveQuiet, and for all together no longer than giveMost.
//
// A fetch first makes the old state void and removes it; the position is written
// last. A crash between leaves no position, and the fetch begins anew.

const (
	giveQuiet = 20  // ticks without a question
	giveMost  = 600 // ticks
	fetchWait = 5   // ticks for an answer
	fetchAsks = 4   // for the same chunk, of the same replica
)

// giving is what a replica is giving away.
type giving struct {
	wanted bool       // somebody asked: no checkpoint and no snapshot begins any more
	at     core.Index // the checkpoint that is held; 0: none is yet
	ticks  int
	quiet  int
	whole  bool // the manifest is made
	name   seal.Hash
	list   []seal.Hash
	starts [][]byte // first key of each chunk
	next   []byte   // where the manifest's scan goes on
	busy   bool     // a scan is under way
	asks   []wish   // by peer; one each
}

// wish is a question of a peer that is not answered yet.
type wish struct {
	peer  uint64
	chunk int // -1: the manifest
}

type fetchStep uint8

const (
	fetchNone   fetchStep = iota
	fetchAsk              // for a manifest
	fetchVoid             // the old state is being made void
	fetchWipe             // and removed
	fetchChunks           // one after the other
	fetchEnd              // the position is being written
)

// fetching is what a replica fetches.
type fetching struct {
	step fetchStep
	need core.Index // as of this entry, or a later one
	peer int        // who is asked, in Shard.peers
	wait int        // ticks since it was
	asks int        // for what is waited for
	busy bool       // the derived store works
	name seal.Hash
	at   core.Index
	list []seal.Hash
	next int
	meta []byte
}

func (s *Shard) parcel(to uint64, p *parcel) {
	peer := s.peer(to)
	if peer == nil {
		s.out.Mark(markNoPeer)
		return
	}
	var w wire.Writer
	w.Message(&wire.PeerHeader{Cluster: s.cfg.Cluster, Shard: s.cfg.Shard, From: s.cfg.Replica, To: to}, p.encode())
	s.out.Send(peer.Addr, w.Finish(wire.Transfers))
}

// parcelFrom takes a parcel.
func (s *Shard) parcelFrom(from uint64, b []byte) {
	p, err := decodeParcel(b)
	if err != nil {
		s.out.Mark(markBadFrame)
		return
	}
	switch p.kind {
	case parcelAsk:
		s.wantedBy(from, p.at)
	case parcelFetch:
		if g := &s.give; !g.whole || p.name != g.name || p.chunk >= len(g.list) {
			s.parcel(from, &parcel{kind: parcelNone})
			return
		}
		s.question(from, p.chunk)
	case parcelWant:
		s.lend(from, p.at, p.chunk)
	case parcelEntries:
		s.lent(p)
	case parcelRecall:
		s.witness(from, p)
	case parcelWitness:
		s.witnessed(from, p)
	case parcelInquiry:
		s.inquired(from, p)
	case parcelHorizon:
		s.horizonTold(p)
	case parcelPoll:
		s.polledBy(from, p)
	case parcelSpeaks:
		s.spoke(from, p)
	default:
		s.fetched(from, p)
	}
}

// wantedBy answers a peer whose log begins after an entry. Of what is before it the peer
// can read nothing, so it needs a state in which all of that is in snapshots; if the last
// checkpoint is not one, the next one will be.
func (s *Shard) wantedBy(from uint64, at core.Index) {
	c := &s.checkpoint
	if s.phase != phaseServing || s.behind || s.applied < at || at == 0 {
		s.parcel(from, &parcel{kind: parcelNone})
		return
	}
	if c.durable < at || c.covered < at {
		c.wanted = max(c.wanted, at)
		s.cover(at)
		s.parcel(from, &parcel{kind: parcelNone})
		return
	}
	s.question(from, -1)
}

// question notes what a peer wants, in the place of what it wanted before.
func (s *Shard) question(from uint64, chunk int) {
	g := &s.give
	g.wanted, g.quiet = true, 0
	for i := range g.asks {
		if g.asks[i].peer == from {
			g.asks[i].chunk = chunk
			return
		}
	}
	g.asks = append(g.asks, wish{from, chunk})
}

// holding reports whether derived state must stay as it is.
func (s *Shard) holding() bool { return s.give.wanted }

// serve goes on giving.
func (s *Shard) serve() {
	g := &s.give
	if !g.wanted || g.busy {
		return
	}
	c := &s.checkpoint
	if g.at == 0 {
		if c.busy || c.storing > 0 {
			return // they end by themselves
		}
		s.out.Mark(markGive)
		g.at, g.next = c.durable, []byte{0}
	}
	if !g.whole {
		s.giveScan(g.next)
		return
	}
	for len(g.asks) > 0 {
		a := g.asks[0]
		if a.chunk >= 0 {
			s.giveScan(g.starts[a.chunk])
			return
		}
		g.asks = g.asks[1:]
		s.parcel(a.peer, &parcel{kind: parcelManifest, at: g.at, list: g.list})
	}
}

func (s *Shard) giveScan(from []byte) {
	s.give.busy = true
	s.out.KV(tokenGive, disk.KVOp{Kind: disk.KVScan, Lo: from, Limit: chunkPairs})
}

// given takes the pairs of a chunk.
func (s *Shard) given(res *disk.KVResult) {
	g := &s.give
	g.busy = false
	if g.at == 0 {
		return // it was given up meanwhile
	}
	if res.Err != nil {
		s.endGiving() // they will ask another one
		return
	}
	chunk, used := cutChunk(res.Pairs)
	if g.whole {
		a := g.asks[0]
		g.asks = g.asks[1:]
		core.Assert(seal.Section(chunk) == g.list[a.chunk], "chunk %d of the state that is held has changed", a.chunk)
		s.parcel(a.peer, &parcel{kind: parcelChunk, name: g.name, chunk: a.chunk, bytes: chunk})
		return
	}
	if used > 0 {
		g.starts = append(g.starts, g.next)
		g.list = append(g.list, seal.Section(chunk))
		g.next = append(append([]byte(nil), res.Pairs[used-1].Key...), 0)
	}
	if used == len(res.Pairs) && !res.More || len(g.list) >= chunksMax {
		g.whole = true
		g.name = seal.Section((&parcel{kind: parcelManifest, at: g.at, list: g.list}).encode())
	}
}

// giveTick gives up on those who have stopped asking.
func (s *Shard) giveTick() {
	g := &s.give
	if !g.wanted {
		return
	}
	g.ticks++
	if g.quiet++; g.quiet > giveQuiet || g.ticks > giveMost {
		s.endGiving()
	}
}

func (s *Shard) endGiving() {
	for _, a := range s.give.asks {
		s.parcel(a.peer, &parcel{kind: parcelNone})
	}
	s.give = giving{busy: s.give.busy}
}

// holds tells whether derived state needs nothing of the log up to an entry: it
// reflects that one, and no actor's events up to there are outside of a snapshot.
func (s *Shard) holds(index core.Index) bool {
	whole := s.applied >= index
	s.actors.each(func(_ uint32, k *known) {
		whole = whole && (k.uncovered == 0 || k.uncovered > index)
	})
	return whole
}

// fetchState begins to fetch state as of an entry or later.
func (s *Shard) fetchState(need core.Index) {
	s.behind = true
	s.load.until = max(s.load.until, need)
	if f := &s.fetching; f.step == fetchNone || f.step == fetchAsk || f.at < need {
		*f = fetching{step: fetchAsk, need: need, peer: f.peer, wait: fetchWait, busy: f.busy}
	}
}

// fetchOn asks whom it is time to ask.
func (s *Shard) fetchOn() {
	f := &s.fetching
	if s.journal.Durable() < s.anew {
		return // state must not be ahead of a journal that does not say why
	}
	if f.wait < fetchWait || f.busy || s.checkpoint.busy || s.checkpoint.storing > 0 || len(s.peers) == 0 {
		return
	}
	switch f.step {
	case fetchAsk:
		if f.peer++; f.asks == 0 && s.lead != 0 { // who leads has all of it, if somebody has
			for i, p := range s.peers {
				if p.ID == s.lead {
					f.peer = i
				}
			}
		}
		f.peer %= len(s.peers)
		f.wait = 0
		f.asks++
		s.parcel(s.peers[f.peer].ID, &parcel{kind: parcelAsk, at: f.need})
	case fetchChunks:
		if f.asks++; f.asks > fetchAsks {
			s.fetchAnew()
			return
		}
		f.wait = 0
		s.parcel(s.peers[f.peer].ID, &parcel{kind: parcelFetch, name: f.name, chunk: f.next})
	}
}

// fetchAnew gives up on who was asked.
func (s *Shard) fetchAnew() {
	f := &s.fetching
	*f = fetching{step: fetchAsk, need: f.need, peer: f.peer, wait: fetchWait, asks: 1, busy: f.busy}
}

func (s *Shard) fetchTick() {
	if s.fetching.step != fetchNone {
		s.fetching.wait++
	}
}

// fetched takes what a replica gives.
func (s *Shard) fetched(from uint64, p *parcel) {
	f := &s.fetching
	if f.step == fetchNone || len(s.peers) == 0 || s.peers[f.peer%len(s.peers)].ID != from || f.busy {
		return
	}
	switch {
	case p.kind == parcelNone && (f.step == fetchAsk || f.step == fetchChunks):
		s.fetchAnewLater()
	case p.kind == parcelManifest && f.step == fetchAsk && f.wait < fetchWait:
		if p.at < f.need {
			s.fetchAnewLater()
			return
		}
		s.out.Mark(markFetch)
		f.name, f.at, f.list, f.next, f.asks = seal.Section(p.encode()), p.at, p.list, 0, 0
		s.voidDerived()
	case p.kind == parcelChunk && f.step == fetchChunks && p.name == f.name && p.chunk == f.next:
		if seal.Section(p.bytes) != f.list[f.next] {
			s.out.Mark(markBadFrame)
			return // it is asked for again
		}
		s.install(p.bytes)
	}
}

// fetchAnewLater asks the next one, but not at once: it might have nothing either.
func (s *Shard) fetchAnewLater() {
	s.fetchAnew()
	s.fetching.wait = fetchWait - 1
}

// voidDerived forgets all derived state, in memory and in the store.
func (s *Shard) voidDerived() {
	core.Assert(!s.leading && len(s.flights) == 0, "a leader's state is made void")
	s.load.until = max(s.load.until, s.handed, min(s.applied, s.journal.Last()))
	parked := s.waits
	s.waits = nil
	for p := s.memory.oldest; p != 0; {
		a := s.memory.at(p)
		if p = a.newer; a.hydration != nil {
			parked = append(parked, a.hydration.waiting...)
		}
	}
	for _, w := range s.walks {
		if w.request != nil {
			parked = append(parked, w.request)
		}
	}
	for _, p := range parked {
		s.reject(p, core.CodeNotLeader, "")
	}
	s.rejectReads()
	s.waiting, s.walks, s.wanted, s.memory = 0, nil, nil, warmth{}
	s.pages = [pagesKept]page{}
	s.actors = newDirectory()
	s.sessions = actor.NewSessions(s.cfg.Sessions)
	s.checkpoint = checkpointing{}
	s.noPosition()
	f := &s.fetching
	f.step, f.busy, f.meta = fetchVoid, true, nil
	batch := &disk.Batch{}
	batch.Delete([]byte{keyMeta})
	s.out.KV(tokenFetchApply, disk.KVOp{Kind: disk.KVApply, Batch: batch})
	s.out.KV(tokenFetch, disk.KVOp{Kind: disk.KVFlush})
}

// noPosition is that of a replica that has applied nothing.
func (s *Shard) noPosition() {
	s.applied, s.chain, s.clock, s.slotEpoch, s.policyEpoch, s.catalog = 0, seal.Hash{}, 0, 0, 0, 0
	s.lease, s.voids, s.unread, s.version = 0, nil, 0, core.VersionMin
	s.slots = Holding{placement: s.slots.placement}
}

// install puts a chunk into the store. What no actor names stays out: snapshots that
// are newer than the position.
func (s *Shard) install(chunk []byte) {
	f := &s.fetching
	pairs, err := pairsOf(chunk)
	if err != nil {
		s.halt(fmt.Errorf("replica %d gave a chunk of state that cannot be read: %w", s.peers[f.peer].ID, err))
		return
	}
	batch := &disk.Batch{}
	v := DerivedVisitor{
		Position: func(Position) error { return nil },
		Actor:    func(DerivedActor) error { return nil },
		Session:  func(*actor.Session) error { return nil },
	}
	for i := range pairs {
		p := &pairs[i]
		named := true
		v.Snapshot = func(d DerivedSnapshot) error {
			_, k := s.actors.find(s.actors.hash(d.ID), d.ID)
			named = k != nil && k.names(d.Seq)
			return nil
		}
		err := v.Visit(p.Key, p.Value)
		if err == nil && p.Key[0] != keyMeta {
			err = s.loadPair(disk.Pair{Key: p.Key, Value: p.Value})
		}
		if err != nil {
			s.halt(fmt.Errorf("replica %d gave state that cannot be read: %w", s.peers[f.peer].ID, err))
			return
		}
		switch {
		case p.Key[0] == keyMeta:
			f.meta = p.Value
		case named:
			batch.Put(p.Key, p.Value)
		}
	}
	f.busy = true
	s.out.KV(tokenFetch, disk.KVOp{Kind: disk.KVApply, Batch: batch})
}

// names tells whether the actor has this snapshot.
func (k *known) names(seq core.Seq) bool {
	for _, x := range k.snapshots() {
		if x == seq {
			return true
		}
	}
	return false
}

// fetchStored goes on when the store has done what the fetch asked of it.
func (s *Shard) fetchStored(res *disk.KVResult) {
	f := &s.fetching
	f.busy = false
	switch f.step {
	case fetchVoid, fetchWipe:
		if res.Kind == disk.KVScan && len(res.Pairs) == 0 {
			f.step, f.wait, f.asks = fetchChunks, fetchWait, 0
			return
		}
		f.step, f.busy = fetchWipe, true
		if res.Kind == disk.KVScan {
			batch := &disk.Batch{}
			for i := range res.Pairs {
				batch.Delete(res.Pairs[i].Key)
			}
			s.out.KV(tokenFetch, disk.KVOp{Kind: disk.KVApply, Batch: batch})
			return
		}
		s.out.KV(tokenFetch, disk.KVOp{Kind: disk.KVScan, Lo: []byte{0}, Limit: chunkPairs})
	case fetchChunks:
		f.wait, f.asks = fetchWait, 0
		if f.next++; f.next < len(f.list) {
			return
		}
		if f.meta == nil {
			s.halt(fmt.Errorf("replica %d gave state without a position", s.peers[f.peer].ID))
			return
		}
		if err := s.decodeMeta(f.meta); err != nil || s.applied != f.at {
			s.halt(fmt.Errorf("replica %d gave state as of entry %d for %d: %w", s.peers[f.peer].ID, s.applied, f.at, err))
			return
		}
		s.unread = s.applied // its list of void entries need not begin where this log does
		batch := &disk.Batch{}
		batch.Put([]byte{keyMeta}, s.encodeMeta())
		f.step, f.busy = fetchEnd, true
		s.out.KV(tokenFetchApply, disk.KVOp{Kind: disk.KVApply, Batch: batch})
		s.out.KV(tokenFetch, disk.KVOp{Kind: disk.KVFlush})
	case fetchEnd:
		s.installed()
	}
}

// installed takes the fetched state for its own.
func (s *Shard) installed() {
	f := &s.fetching
	s.out.Mark(markFetched)
	need := f.need
	s.fetching = fetching{peer: f.peer}
	s.checkpoint.durable, s.checkpoint.covered = s.applied, s.coveredTo()
	s.headChain, s.headClock = s.chain, s.clock
	if s.cfg.Tap != nil {
		s.cfg.Tap(Applied{Shard: s.cfg.Shard, Index: s.applied, Timestamp: s.clock, Restored: true})
	}
	s.watch(Watched{Did: Installed, Index: s.applied})
	s.versionKnown()
	if floor := s.journal.Floor(); s.applied < need || !s.holds(floor) {
		s.fetchState(max(need, floor)) // the log began anew once more
	}
}

// catchUp fetches state, or applies what was committed meanwhile. State that was
// fetched may be ahead of the log: then its entries are waited for, since what names
// them (where an actor's newest event stands) would lead out of the log, or to entries
// that the group has voided.
func (s *Shard) catchUp() {
	if s.fetching.step != fetchNone {
		s.fetchOn()
		return
	}
	if s.replay() && s.applied <= s.load.until {
		s.behind = false
	}
}
