// Package feed follows the applied blocks of shards and hands them out in the order
// of time, cut by cut.
//
// A cut is a timestamp t: all blocks stamped t or less, of all shards. It is known
// when each shard has closed t (see core/shard: lease.go). So what is computed at a
// cut depends on the journals and t alone, not on which frame came first.
//
//	C1  Every block with effect is handed out exactly once, in the order of
//	    (timestamp, shard), from the position that the feed began at.
//	C2  Cut never goes back, and no block stamped with the cut or less comes later.
//	C3  What is held and under way stays within the window of each shard; one block
//	    may exceed it, alone. A shard that is out of reach holds back the cut and
//	    so, by their windows, the others.
//
// A Feed is a part of the process that owns it: the owner passes messages and the
// timer on, and takes the blocks when it is ready for them.
package feed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/net/wire"
)

// A Source is a shard and where its replicas run: one of them is followed.
type Source struct {
	Shard core.ShardID
	Homes []proc.Addr
}

// A Position is where a feed stands: all blocks up to the cut are handed out. Next
// has the first entry after them of each source. The zero Position is the beginning.
type Position struct {
	Cut  core.Timestamp
	Next []core.Index
}

// Config of a feed.
type Config struct {
	Sources []Source
	// Peers is the prefix of the identities that blocks are taken from: the
	// cluster's own.
	Peers  string
	Lane   uint32       // tells the feeds of one owner apart
	Window int          // bytes of each shard's blocks, held and under way
	Timer  proc.TimerID // the owner's, for the feed
	Tick   proc.Tick    // between two looks at what is late
}

// WindowDefault and TickDefault are for a network within a building.
const (
	WindowDefault = 4 << 20
	TickDefault   = proc.Tick(50e6)
)

const (
	silence = proc.Tick(500e6) // a replica that says nothing for so long is given up
	greet   = proc.Tick(1e9)   // an idle feed says that it is there
	// barren is how long a replica that does not lead may answer and tell nothing new,
	// though there is more: it may have left the group, and not know.
	barren = proc.Tick(300e6)
)

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case len(c.Sources) == 0:
		return fmt.Errorf("feed: no shards to follow")
	case c.Window <= 0 || c.Window > core.FeedWindowMax:
		return fmt.Errorf("feed: a window of %d bytes: want 1 to %d", c.Window, core.FeedWindowMax)
	case c.Tick <= 0:
		return fmt.Errorf("feed: the tick must be positive")
	}
	seen := make(map[core.ShardID]bool)
	for _, s := range c.Sources {
		if len(s.Homes) == 0 || seen[s.Shard] {
			return fmt.Errorf("feed: shard %d is named twice or has no replica", s.Shard)
		}
		seen[s.Shard] = true
	}
	return nil
}

// A Block is a block of a shard's log, applied and with effect.
type Block struct {
	Shard     core.ShardID
	Index     core.Index
	Timestamp core.Timestamp
	Data      []byte // as the journal has it; it aliases the frame that it came in
}

// source is how far one shard is followed.
type source struct {
	Source
	home   int        // of Homes, followed now
	gone   int        // replicas in a row that have no more what is wanted
	roster core.Index // the entry that made the group what Homes says
	stream uint64
	next   core.Index     // not received yet
	handed core.Index     // entries before it are handed out, or have no effect
	got    uint64         // bytes received, ever
	taken  uint64         // of these, handed out
	freed  int            // bytes handed out since the shard was told
	held   []Block        // received, not handed out
	first  int            // of held
	known  core.Timestamp // every entry from next on is stamped later
	leads  bool
	level  bool           // the last frame reached up to what the replica had applied
	asked  core.Timestamp // to be closed, told in this stream
	heard  proc.Tick      // from the replica, or when it was first asked
	gained proc.Tick      // it last told something new, or was first asked
	said   proc.Tick
}

// A Feed follows several shards.
type Feed struct {
	cfg     Config
	sources []source
	cut     core.Timestamp // handed out
	want    core.Timestamp
	serial  uint32
	epoch   uint64
	stopped bool
	err     error
}

// New makes a feed that begins after at. Rand makes its streams differ from those of
// the incarnation before.
func New(cfg Config, at Position, random *rand.Rand) *Feed {
	core.Assert(cfg.Validate() == nil, "%v", cfg.Validate())
	core.Assert(len(at.Next) == 0 || len(at.Next) == len(cfg.Sources), "a position in %d shards, there are %d", len(at.Next), len(cfg.Sources))
	f := &Feed{cfg: cfg, sources: make([]source, len(cfg.Sources)), cut: at.Cut, want: at.Cut}
	f.epoch = uint64(random.Uint32()|1) << 32
	for i := range f.sources {
		s := &f.sources[i]
		*s = source{Source: cfg.Sources[i], next: 1, known: at.Cut}
		if len(at.Next) > 0 {
			s.next = at.Next[i]
		}
		s.handed = s.next
	}
	return f
}

// Start asks every shard for its blocks.
func (f *Feed) Start(now proc.Now, out *proc.Effects) {
	for i := range f.sources {
		f.restream(&f.sources[i], now, out)
	}
	out.SetTimer(f.cfg.Timer, now.Mono+f.cfg.Tick)
}

// Err is why the feed cannot go on: it is to be built anew from elsewhere.
func (f *Feed) Err() error { return f.err }

// Cut is the time up to which everything was handed out.
func (f *Feed) Cut() core.Timestamp { return f.cut }

// Held is how many bytes of blocks wait to be handed out, the newest of each shard
// aside: so it is bounded by the windows (C3).
func (f *Feed) Held() int {
	n := 0
	for i := range f.sources {
		if s := &f.sources[i]; s.first < len(s.held) {
			n += int(s.got-s.taken) - len(s.held[len(s.held)-1].Data)
		}
	}
	return n
}

// Position is where a later feed may go on. It is that of a cut only when Next has
// said that nothing is left below it.
func (f *Feed) Position() Position {
	p := Position{Cut: f.cut}
	for i := range f.sources {
		p.Next = append(p.Next, f.sources[i].handed)
	}
	return p
}

// Level reports whether the replicas that are followed had no more blocks than those
// received, when they last spoke.
func (f *Feed) Level() bool {
	for i := range f.sources {
		if !f.sources[i].level {
			return false
		}
	}
	return true
}

// Sources are the shards, with the replicas that are known by now.
func (f *Feed) Sources() (list []Source) {
	for i := range f.sources {
		list = append(list, f.sources[i].Source)
	}
	return list
}

// Want asks for a cut at t or later. Without it the cut moves with the blocks.
func (f *Feed) Want(t core.Timestamp) { f.want = max(f.want, t) }

// WantNow is Want, and asks at once and not when the timer fires.
func (f *Feed) WantNow(t core.Timestamp, now proc.Now, out *proc.Effects) {
	f.Want(t)
	f.askAll(now, out)
}

// Stop gives the shards no more room: the feed is of no more use.
func (f *Feed) Stop(now proc.Now, out *proc.Effects) {
	f.stopped = true
	for i := range f.sources {
		f.say(&f.sources[i], now, out)
	}
	out.CancelTimer(f.cfg.Timer)
}

// Owns tells whether a stream is, or was, this feed's.
func (f *Feed) Owns(stream uint64) bool { return stream>>32 == f.epoch>>32 }

// restream begins a new stream from what is not received yet, at another replica if
// the present one is silent.
func (f *Feed) restream(s *source, now proc.Now, out *proc.Effects) {
	f.serial++
	s.stream = f.epoch | uint64(f.serial)
	s.asked, s.heard, s.gained, s.level = 0, now.Mono, now.Mono, false
	f.say(s, now, out)
}

// say tells the shard where the feed stands.
func (f *Feed) say(s *source, now proc.Now, out *proc.Effects) {
	var w wire.Writer
	window := uint32(f.cfg.Window)
	if f.stopped {
		window = 0
	}
	s.said, s.freed = now.Mono, 0
	if s.known < f.want {
		s.asked = f.want
	}
	w.Follow(&wire.Follow{Shard: s.Shard, Lane: f.cfg.Lane, Stream: s.stream, Next: s.next, Got: s.got, Taken: s.taken,
		Window: window, Close: s.asked})
	out.Send(s.Homes[s.home], w.Finish(wire.Follows))
}

// Receive takes a message, if it is one of the feed's.
func (f *Feed) Receive(now proc.Now, peer string, frame []byte, out *proc.Effects) bool {
	r, err := wire.Open(frame)
	if err != nil || r.Kind != wire.Blocks {
		return false
	}
	var h wire.Feed
	if strings.HasPrefix(peer, f.cfg.Peers) && r.Feed(&h) {
		f.Accept(now, &h, &r, out)
	}
	return true
}

// Accept takes a frame of blocks whose head was read, for owners of several feeds.
// It reports whether the blocks were what comes next.
func (f *Feed) Accept(now proc.Now, h *wire.Feed, r *wire.Reader, out *proc.Effects) bool {
	i := slices.IndexFunc(f.sources, func(s source) bool { return s.Shard == h.Shard })
	if i < 0 || f.sources[i].stream != h.Stream || f.err != nil || f.stopped {
		return false // of a stream that was given up
	}
	s := &f.sources[i]
	s.heard, s.leads = now.Mono, h.Leads
	if len(h.Homes) > 0 && h.Roster > s.roster {
		s.regroup(h)
	}
	switch {
	case h.Refused:
		return false // the timer tries again, elsewhere
	case h.Compacted > 0:
		if s.gone++; s.gone == len(s.Homes) { // none has it
			f.err = &CompactedError{Shard: h.Shard, Wanted: s.next, Floor: h.Compacted}
			return false
		}
		s.home = (s.home + 1) % len(s.Homes)
		f.restream(s, now, out)
		return false
	case h.First < s.next:
		return false // it came twice
	case h.First > s.next:
		f.restream(s, now, out) // one was lost
		return false
	}
	if !f.take(s, r) {
		f.restream(s, now, out)
		return false
	}
	if h.Next > s.next || h.Closed > s.known {
		s.gained = now.Mono
	}
	s.next, s.gone = h.Next, 0
	if s.first == len(s.held) {
		s.handed = s.next
	}
	s.known, s.level = max(s.known, h.Closed), h.Closed > 0
	f.want = max(f.want, s.known)
	f.askAll(now, out)
	return true
}

// regroup takes note of where the replicas run now. The one that is followed may have
// left the group: it goes on answering as long as it hears of anything, and when it is silent the
// first of the others is asked.
func (s *source) regroup(h *wire.Feed) {
	at := s.Homes[s.home]
	s.Homes, s.roster, s.gone = nil, h.Roster, 0
	for _, x := range h.Homes {
		s.Homes = append(s.Homes, proc.Addr{Node: proc.NodeID(x.Node), Proc: x.Proc})
	}
	if s.home = slices.Index(s.Homes, at); s.home < 0 {
		s.Homes = append(s.Homes, at)
		s.home = len(s.Homes) - 1
	}
}

// take keeps the blocks of a frame, all or none.
func (f *Feed) take(s *source, r *wire.Reader) bool {
	n, bytes, known := len(s.held), 0, s.known
	for {
		index, data, ok := r.Block()
		if !ok {
			break
		}
		h, err := journal.ParseHeader(data)
		if err != nil || index < s.next || h.Timestamp <= known {
			if f.err = err; err == nil {
				f.err = fmt.Errorf("feed: shard %d, entry %d: stamped %s after %s was closed", s.Shard, index, h.Timestamp, known)
			}
			break
		}
		known = h.Timestamp
		bytes += len(data)
		s.held = append(s.held, Block{Shard: s.Shard, Index: index, Timestamp: h.Timestamp, Data: data})
	}
	if r.Err() != nil || f.err != nil {
		s.held = s.held[:n]
		return false
	}
	s.known = known
	s.got += uint64(bytes)
	return true
}

// askAll asks those shards to close times that hold back the cut.
func (f *Feed) askAll(now proc.Now, out *proc.Effects) {
	for i := range f.sources {
		if s := &f.sources[i]; s.known < f.want && s.asked < f.want {
			f.say(s, now, out)
		}
	}
}

// Timer is to be called when the feed's timer fires.
func (f *Feed) Timer(now proc.Now, out *proc.Effects) {
	out.SetTimer(f.cfg.Timer, now.Mono+f.cfg.Tick)
	if f.err != nil {
		return
	}
	for i := range f.sources {
		s := &f.sources[i]
		wanting := s.known < f.want
		switch {
		case wanting && !s.leads && now.Mono-s.gained > barren, now.Mono-s.heard > silence+greet || wanting && now.Mono-s.heard > silence || wanting && !s.leads && now.Mono-s.heard > f.cfg.Tick:
			s.home = (s.home + 1) % len(s.Homes)
			f.restream(s, now, out)
		case wanting && now.Mono-s.said >= f.cfg.Tick || now.Mono-s.said >= greet || s.freed > 0:
			f.say(s, now, out)
		}
	}
}

// Next hands out the next block up to the greatest cut that is known. When there is
// none left, the cut has moved there.
func (f *Feed) Next(now proc.Now, out *proc.Effects) (Block, bool) {
	until := f.sources[0].known
	var best *source
	for i := range f.sources {
		s := &f.sources[i]
		until = min(until, s.known)
		if s.first < len(s.held) {
			b := &s.held[s.first]
			if best == nil || b.Timestamp < best.held[best.first].Timestamp ||
				b.Timestamp == best.held[best.first].Timestamp && s.Shard < best.Shard {
				best = s
			}
		}
	}
	if best == nil || best.held[best.first].Timestamp > until || f.err != nil {
		if f.err == nil {
			f.cut = max(f.cut, until)
		}
		return Block{}, false
	}
	s := best
	b := s.held[s.first]
	s.held[s.first] = Block{}
	s.first++
	s.freed += len(b.Data)
	s.taken += uint64(len(b.Data))
	if s.first == len(s.held) {
		s.held, s.first, s.handed = s.held[:0], 0, s.next
	} else {
		s.handed = s.held[s.first].Index
	}
	if s.freed >= f.cfg.Window/2 {
		f.say(s, now, out)
	}
	return b, true
}

// A CompactedError says that blocks are wanted which the shard has no more.
type CompactedError struct {
	Shard  core.ShardID
	Wanted core.Index
	Floor  core.Index // the last entry that is gone
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("shard %d: entries from %d are wanted, those up to %d were compacted away: keep more of the journal (compact_keep_bytes), or build from a backup",
		e.Shard, e.Wanted, e.Floor)
}
