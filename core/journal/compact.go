package journal

import (
	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

// compaction removes whole segments from the front, one at a time, each
// removal durable before the next: so a crash leaves at most the newest
// removed one, and never a hole (J5).
type compaction struct {
	busy    bool
	syncing bool
	upTo    core.Index
}

// CompactionTarget is the last entry of the oldest segments that together hold
// at least excess bytes.
func (l *Log) CompactionTarget(excess int64) core.Index {
	target := l.floor
	for i := 0; i+1 < len(l.segments) && excess > 0; i++ {
		excess -= l.segments[i].size
		target = l.segments[i+1].header.lastIndex
	}
	return target
}

// CompactableTo returns the highest index at or below limit up to which whole
// segments could be removed, or the present floor.
func (l *Log) CompactableTo(limit core.Index) core.Index {
	floor := l.floor
	for i := 1; i < len(l.segments) && l.segments[i].header.lastIndex <= limit; i++ {
		floor = max(floor, l.segments[i].header.lastIndex)
	}
	return floor
}

// Compact removes the segments before which no entry above upTo, which must be
// applied and stored durably elsewhere, was begun. An entry at or below the new
// floor that replaced one of a removed segment may remain: recovery passes it over.
func (l *Log) Compact(upTo core.Index, out *proc.Effects) {
	core.Assert(upTo <= l.applied, "compaction to %d beyond the applied entry %d", upTo, l.applied)
	l.compacting.upTo = max(l.compacting.upTo, upTo)
	if l.state == logOpen && !l.compacting.busy {
		l.compactNext(out)
	}
}

func (l *Log) compactNext(out *proc.Effects) {
	c := &l.compacting
	c.busy = false
	if len(l.segments) < 2 {
		return
	}
	h := &l.segments[1].header
	if h.lastIndex > c.upTo {
		return
	}
	c.busy = true
	out.Mark(markCompact)
	name := segmentName(l.segments[0].number)
	if h.lastIndex > l.floor {
		drop := h.lastIndex - l.floor
		// Not the header's term: the entry may have been replaced since.
		l.floor, l.floorTerm = h.lastIndex, l.refs[drop-1].term
		l.refs = append([]ref(nil), l.refs[drop:]...)
		for len(l.window) > 0 && l.windowFirst <= l.floor {
			l.windowBytes -= int64(len(l.window[0].GetData()))
			l.window = l.window[1:]
			l.windowFirst++
		}
	}
	l.segments = append([]segment(nil), l.segments[1:]...)
	l.firstSegment = l.segments[0].number
	out.File(l.cfg.Tokens+tokenCompact, disk.Op{Kind: disk.OpRemove, Name: name})
}

func (l *Log) compacted(res *disk.Result, out *proc.Effects) {
	if res.Err != nil {
		l.fail(res.Err, out)
		return
	}
	if c := &l.compacting; !c.syncing {
		c.syncing = true
		out.File(l.cfg.Tokens+tokenCompact, disk.Op{Kind: disk.OpSyncDir})
		return
	}
	l.compacting.syncing = false
	l.compactNext(out)
}
