package shard

import (
	"errors"
	"fmt"
	"slices"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/net/wire"
)

// A feed sends the applied blocks to one follower, in order, from where it stands:
// as they are applied when it keeps up, from the journal when it does not. The
// follower's window bounds what is under way, so that a slow one costs nothing
// but its place in this list. Blocks that are void are left out.
//
//	D1  What a feed sends is applied, hence committed: it is never taken back.
//	D2  Within a stream the frames join: each begins where the one before ended.
//	    A lost one shows as a gap, and the follower starts a new stream.
//	D3  Closed in a frame holds for every entry from its Next on.
type feed struct {
	to      proc.Addr
	lane    uint32 // of the follower's feeds
	stream  uint64
	next    core.Index // not sent yet
	sent    uint64     // bytes of blocks, as the follower counts them
	taken   uint64     // of these, used up
	window  uint64
	want    core.Timestamp // to be closed
	closed  core.Timestamp // announced last
	due     bool           // a frame is owed though nothing is new
	heard   proc.Tick
	reading proc.Token // entries from next on are being read, or 0
	op      disk.Op
	last    core.Index // of these
	tries   int
	blocked int // bytes of the entry that the window had no room for
	writer  wire.Writer
	first   core.Index // of the frame being written, or 0
}

const (
	// feedIdle: a follower that says nothing for so long is forgotten.
	feedIdle = proc.Tick(10e9)
	// feedFrameBytes is when a frame of blocks is sent off.
	feedFrameBytes = 256 << 10
)

// errWindow ends the reading of entries that the window has no room for.
var errWindow = errors.New("the window is full")

const (
	markFeedLive    proc.Mark = "shard.feed-live"
	markFeedRead    proc.Mark = "shard.feed-read-from-disk"
	markFeedGone    proc.Mark = "shard.feed-of-compacted-entries"
	markFeedRefused proc.Mark = "shard.feed-refused"
)

// follow takes a follower's word.
func (s *Shard) follow(from proc.Addr, peer string, r *wire.Reader) {
	if !s.trusted(peer) {
		s.out.Mark(markBadFrame)
		return
	}
	var m wire.Follow
	for r.Follow(&m) {
		if m.Shard != s.cfg.Shard || s.phase != phaseServing {
			continue // it asks again
		}
		f := s.feedTo(from, m.Lane)
		if f == nil {
			s.out.Mark(markFeedRefused)
			var w wire.Writer
			s.out.Send(from, w.FinishFeed(&wire.Feed{Shard: s.cfg.Shard, Stream: m.Stream, First: m.Next, Next: m.Next, Refused: true}))
			continue
		}
		switch {
		case m.Stream>>32 == f.stream>>32 && m.Stream < f.stream:
			continue // sent before the one that began the present stream
		case m.Stream != f.stream:
			*f = feed{to: from, lane: m.Lane, stream: m.Stream, next: max(m.Next, 1), sent: m.Got, taken: m.Taken}
		}
		f.heard, f.due = s.now.Mono, true
		f.taken, f.window = max(f.taken, min(m.Taken, f.sent)), uint64(m.Window)
		f.want = max(f.want, m.Close)
	}
	if r.Err() != nil {
		s.out.Mark(markBadFrame)
	}
}

// feedTo finds a follower's feed or gives it one, if there is room.
func (s *Shard) feedTo(to proc.Addr, lane uint32) *feed {
	for _, f := range s.feeds {
		if f.to == to && f.lane == lane {
			return f
		}
	}
	for i, f := range s.feeds {
		if s.now.Mono-f.heard > feedIdle {
			*f = feed{to: to, lane: lane}
			return s.feeds[i]
		}
	}
	if len(s.feeds) >= s.cfg.Feeds {
		return nil
	}
	f := &feed{to: to, lane: lane}
	s.feeds = append(s.feeds, f)
	return f
}

// room tells whether a block may be sent. One larger than the window goes alone.
func (f *feed) room(bytes int) bool {
	return f.sent == f.taken || f.sent-f.taken+uint64(bytes) <= f.window
}

// feedApplied hands an entry that was just applied to those who wait for it.
func (s *Shard) feedApplied(index core.Index, data []byte, void bool) {
	if void {
		s.voids = append(s.voids, index)
	}
	for _, f := range s.feeds {
		if f.next == index && f.reading == 0 && f.window > 0 && s.now.Mono-f.heard <= feedIdle {
			s.feedEntry(f, index, data, void)
		}
	}
}

// feedEntry adds an entry to the feed's frame, unless the window is full.
func (s *Shard) feedEntry(f *feed, index core.Index, data []byte, void bool) bool {
	effect := len(data) > 0 && !void
	if effect && !f.room(len(data)) {
		f.blocked = len(data)
		return false
	}
	f.blocked = 0
	if f.first == 0 {
		f.first = index
	}
	f.next = index + 1
	if effect {
		f.sent += uint64(len(data))
		f.writer.Block(index, data)
		if f.writer.Bytes() >= feedFrameBytes {
			s.sendFeed(f, s.clock)
		}
	}
	return true
}

// sendFeed closes the frame. What is closed is told with the frame that reaches
// up to what is applied: an earlier one's entries are followed by more.
func (s *Shard) sendFeed(f *feed, closed core.Timestamp) {
	h := wire.Feed{Shard: s.cfg.Shard, Stream: f.stream, First: f.first, Next: f.next, Leads: s.leading}
	if f.first == 0 {
		h.First = f.next
	}
	if f.next > s.applied {
		h.Closed, f.closed = closed, closed
	}
	if f.due {
		h.Roster, h.Homes = s.roster.Index, s.homes()
	}
	f.first, f.due = 0, false
	s.out.Send(f.to, f.writer.FinishFeed(&h))
}

// homes is where the group's replicas run: whoever follows one may have to follow another.
func (s *Shard) homes() (list []wire.Home) {
	for _, m := range s.roster.Members {
		at := s.located(m).Addr
		list = append(list, wire.Home{Node: uint32(at.Node), Proc: at.Proc})
	}
	return list
}

// feedAll brings every follower as far as it can be brought, at a step's end.
func (s *Shard) feedAll() {
	if len(s.feeds) == 0 || s.out.Fault != nil {
		return
	}
	want := core.Timestamp(0)
	for _, f := range s.feeds {
		if s.now.Mono-f.heard > feedIdle || f.stream == 0 {
			continue
		}
		s.bring(f)
		if f.next > s.applied && f.want > f.closed {
			want = max(want, f.want)
		}
	}
	closed := s.clock
	if want > closed {
		closed = s.closeTo(want)
	}
	for _, f := range s.feeds {
		if f.stream != 0 && (f.first != 0 || f.due || f.next > s.applied && f.want > f.closed && closed > f.closed) {
			s.sendFeed(f, closed)
		}
	}
}

// bring sends what is applied already: from memory as far as that reaches, else
// the next piece is read.
func (s *Shard) bring(f *feed) {
	for !s.behind && f.reading == 0 && f.window > 0 && f.next <= s.applied && f.room(f.blocked) {
		if f.next <= max(s.journal.Floor(), s.unread) {
			s.feedGone(f)
			return
		}
		data, ok := s.journal.Entry(f.next)
		if !ok {
			s.readFeed(f)
			return
		}
		if !s.feedEntry(f, f.next, data, s.isVoid(f.next)) {
			return
		}
		s.out.Mark(markFeedLive)
	}
}

func (s *Shard) readFeed(f *feed) {
	s.walkNext++
	room := f.window - min(f.window, f.sent-f.taken) // one entry is read at least
	op, last := s.journal.ReadRange(f.next, int(min(room, feedFrameBytes)))
	f.reading, f.op, f.last = s.walkNext, op, min(last, s.applied)
	s.out.Mark(markFeedRead)
	s.out.File(f.reading, op)
}

// feedRead takes entries that had to be read, as many as the window has room for.
func (s *Shard) feedRead(token proc.Token, res *disk.Result) {
	for _, f := range s.feeds {
		if f.reading != token {
			continue
		}
		f.reading = 0
		switch {
		case f.next <= s.journal.Floor(): // compacted meanwhile: the next turn says so
		case res.Err != nil:
			if f.tries++; f.tries >= kvAttempts {
				s.halt(fmt.Errorf("feed of entries from %d: %w", f.next, res.Err))
				return
			}
			s.readFeed(f)
		default:
			f.tries = 0
			err := s.journal.EachOf(f.next, f.last, res.Data, func(index core.Index, data []byte) error {
				if !s.feedEntry(f, index, data, s.isVoid(index)) {
					return errWindow
				}
				return nil
			})
			if err != nil && err != errWindow {
				s.halt(err)
			}
		}
		return
	}
}

// feedGone tells a follower that what it asks for was compacted away.
func (s *Shard) feedGone(f *feed) {
	if f.due {
		f.due = false
		s.out.Mark(markFeedGone)
		s.out.Send(f.to, f.writer.FinishFeed(&wire.Feed{Shard: s.cfg.Shard, Stream: f.stream, First: f.next, Next: f.next,
			Leads: s.leading, Compacted: max(s.journal.Floor(), s.unread)}))
	}
}

// isVoid tells of an applied entry whether it had no effect because it did not
// stand on those before it. It happens when leaders change: the list is short.
func (s *Shard) isVoid(index core.Index) bool {
	_, found := slices.BinarySearch(s.voids, index)
	return found
}

// pruneVoids forgets entries that are compacted away.
func (s *Shard) pruneVoids() {
	n := 0
	for n < len(s.voids) && s.voids[n] <= s.journal.Floor() {
		n++
	}
	s.voids = append(s.voids[:0], s.voids[n:]...)
}
