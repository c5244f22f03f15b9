package wire

import (
	"encoding/binary"

	"actordb/core"
)

// Frames by which a shard's applied blocks reach those that derive something from
// them: views, subscribers, checkers. A follower says where it stands, the shard
// answers with what comes next (package core/feed).
//
//	follow   u shard  u lane  u stream  u next  u got  u taken  u window  z close
//	blocks   u shard  u stream  u first  u next  z closed  u8 flags (1: leads, 2: refused)  u compacted
//	         u roster  u n, replicas: u node  u proc
//	         then each item: u index  b block
//
// The items of a frame of blocks come after its head, which is no item.

// A Follow asks for blocks and gives room for more of them. It says all
// that its sender knows, so that a lost one is made good by the next.
type Follow struct {
	Shard  core.ShardID
	Lane   uint32         // which of the follower's feeds it is
	Stream uint64         // another one than before begins anew at Next: the upper half is the follower's life, the lower one counts up
	Next   core.Index     // the first entry not received
	Got    uint64         // bytes of blocks received, ever
	Taken  uint64         // of these, used up
	Window uint32         // bytes of blocks that may be under way
	Close  core.Timestamp // wanted: that no later block is stamped with it or less; 0 for nothing
}

// A Feed is the head of a frame of blocks. The blocks, and those entries that have
// no effect, are all entries from First to before Next.
type Feed struct {
	Shard     core.ShardID
	Stream    uint64
	First     core.Index
	Next      core.Index
	Closed    core.Timestamp // every entry from Next on is stamped later
	Leads     bool           // the replica leads, and can close later times
	Refused   bool           // too many follow the shard: ask again later
	Compacted core.Index     // the entries up to here are gone: First is not to be had, or 0
	Roster    core.Index     // the entry that made the group what it is
	Homes     []Home         // where its replicas run, now and then
}

// A Home is where a replica runs.
type Home struct {
	Node, Proc uint32
}

// homesMax keeps the head within what its size byte can tell.
const homesMax = 16

// Follow adds a Follow to the frame.
func (w *Writer) Follow(f *Follow) {
	d := w.start()
	d = binary.AppendUvarint(d, uint64(f.Shard))
	d = binary.AppendUvarint(d, uint64(f.Lane))
	d = binary.AppendUvarint(d, f.Stream)
	d = binary.AppendUvarint(d, uint64(f.Next))
	d = binary.AppendUvarint(d, f.Got)
	d = binary.AppendUvarint(d, f.Taken)
	d = binary.AppendUvarint(d, uint64(f.Window))
	w.buf = binary.AppendVarint(d, int64(f.Close))
}

// Follow reads the next Follow.
func (r *Reader) Follow(f *Follow) bool {
	if !r.more() {
		return false
	}
	f.Shard = r.shard()
	f.Lane = r.u32("lane")
	f.Stream = r.uvarint("stream")
	f.Next = core.Index(r.uvarint("next"))
	f.Got = r.uvarint("got")
	if f.Taken = r.uvarint("taken"); f.Taken > f.Got {
		r.fail("more taken than received")
	}
	window := r.uvarint("window")
	if window > core.FeedWindowMax {
		r.fail("window over the limit")
	}
	f.Window = uint32(window)
	f.Close = core.Timestamp(r.varint("close"))
	return r.err == nil
}

func (r *Reader) shard() core.ShardID {
	n := r.uvarint("shard")
	if n > 1<<32-1 {
		r.fail("shard over 32 bits")
	}
	return core.ShardID(n)
}

// Block adds a block to a frame of blocks.
func (w *Writer) Block(index core.Index, block []byte) {
	d := binary.AppendUvarint(w.start(), uint64(index))
	w.buf = appendBytes(d, block)
}

// FinishFeed returns the frame of the blocks added and gives it away.
func (w *Writer) FinishFeed(f *Feed) []byte {
	var flags byte
	if f.Leads {
		flags |= 1
	}
	if f.Refused {
		flags |= 2
	}
	if w.buf == nil {
		w.start()
		w.count = 0
	}
	d := w.buf
	at := len(d) // the head goes to the end, and its size behind it: the blocks need not be moved
	d = binary.AppendUvarint(d, uint64(f.Shard))
	d = binary.AppendUvarint(d, f.Stream)
	d = binary.AppendUvarint(d, uint64(f.First))
	d = binary.AppendUvarint(d, uint64(f.Next))
	d = binary.AppendVarint(d, int64(f.Closed))
	d = append(d, flags)
	d = binary.AppendUvarint(d, uint64(f.Compacted))
	d = binary.AppendUvarint(d, uint64(f.Roster))
	d = binary.AppendUvarint(d, uint64(min(len(f.Homes), homesMax)))
	for _, h := range f.Homes[:min(len(f.Homes), homesMax)] {
		d = binary.AppendUvarint(binary.AppendUvarint(d, uint64(h.Node)), uint64(h.Proc))
	}
	w.buf = append(d, byte(len(d)-at))
	return w.Finish(Blocks)
}

// Feed reads the head of a frame of blocks. It is to be called before Block.
func (r *Reader) Feed(f *Feed) bool {
	if r.err != nil || len(r.b) <= headerBytes {
		r.fail("no head")
		return false
	}
	n := int(r.b[len(r.b)-1])
	if n > len(r.b)-1-headerBytes {
		r.fail("the head is longer than the frame")
		return false
	}
	tail := Reader{b: r.b[:len(r.b)-1], at: len(r.b) - 1 - n}
	f.Shard = tail.shard()
	f.Stream = tail.uvarint("stream")
	f.First = core.Index(tail.uvarint("first"))
	f.Next = core.Index(tail.uvarint("next"))
	f.Closed = core.Timestamp(tail.varint("closed"))
	flags := tail.byte("flags")
	if flags > 3 {
		tail.fail("unknown flags")
	}
	f.Leads, f.Refused = flags&1 != 0, flags&2 != 0
	f.Compacted = core.Index(tail.uvarint("compacted"))
	f.Roster, f.Homes = core.Index(tail.uvarint("roster")), nil
	homes := tail.uvarint("replicas")
	if homes > homesMax {
		tail.fail("replicas over the limit")
		homes = 0
	}
	for range homes {
		f.Homes = append(f.Homes, Home{Node: tail.u32("node"), Proc: tail.u32("process")})
	}
	if tail.err == nil && tail.at != len(tail.b) {
		tail.fail("bytes left over")
	}
	if r.err = tail.err; r.err != nil {
		r.left = 0
		return false
	}
	r.b = r.b[:len(r.b)-1-n]
	return true
}

// Block reads the next block. Its bytes alias the frame.
func (r *Reader) Block() (index core.Index, block []byte, ok bool) {
	if !r.more() {
		return 0, nil, false
	}
	index = core.Index(r.uvarint("index"))
	block = r.bytes("block")
	return index, block, r.err == nil
}
