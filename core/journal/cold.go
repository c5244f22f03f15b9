package journal

import (
	"errors"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

// A replica that lags asks for entries that have left the memory window of the one
// that leads. They are read back in ranges, the next one ahead of its use, and
// a few ranges are kept, so that several replicas can lag in different places.
const (
	coldRanges     = 4
	coldRangeBytes = 1 << 20 // read at a time; one entry at least
)

type cold struct {
	ranges [coldRanges][]*pb.Entry // consecutive entries each; the oldest range is replaced
	next   int                     // range to be replaced
	wanted core.Index              // 0: none
	missed bool                    // Raft was told so just now
	first  core.Index              // of the range being read; 0: none is
	last   core.Index
	op     disk.Op
	tries  int
}

// coldEntries returns what is there of a range below the window.
func (l *Log) coldEntries(lo, hi core.Index, maxSize uint64) ([]*pb.Entry, error) {
	for _, r := range l.cold.ranges {
		if len(r) == 0 || lo < core.Index(r[0].GetIndex()) || lo > core.Index(r[len(r)-1].GetIndex()) {
			continue
		}
		after := core.Index(r[len(r)-1].GetIndex()) + 1
		if l.isCold(after) && !l.haveCold(after) {
			l.cold.wanted = after
		}
		from := core.Index(r[0].GetIndex())
		return slices.Clone(limited(r[lo-from:min(hi, after)-from], maxSize)), nil
	}
	l.cold.wanted, l.cold.missed = lo, true
	return nil, raft.ErrCompacted
}

func (l *Log) isCold(index core.Index) bool {
	return index > l.floor && index <= l.Last() && (index < l.windowFirst || len(l.window) == 0)
}

func (l *Log) haveCold(index core.Index) bool {
	return slices.ContainsFunc(l.cold.ranges[:], func(r []*pb.Entry) bool {
		return len(r) > 0 && index >= core.Index(r[0].GetIndex()) && index <= core.Index(r[len(r)-1].GetIndex())
	})
}

// FetchCold reads the range that was asked for last, unless one is being read.
func (l *Log) FetchCold(out *proc.Effects) {
	c := &l.cold
	if c.wanted == 0 || c.first != 0 || l.state != logOpen {
		return
	}
	first := c.wanted
	c.wanted = 0
	if !l.isCold(first) || l.refs[first-l.floor-1].length == 0 {
		return
	}
	c.op, c.last = l.ReadRange(first, coldRangeBytes)
	if len(l.window) > 0 { // what is in memory may still be being written
		c.last = min(c.last, l.windowFirst-1)
	}
	c.first, c.tries = first, 0
	out.Mark(markCold)
	out.File(l.cfg.Tokens+tokenCold, c.op)
}

func (l *Log) readCold(res *disk.Result, out *proc.Effects) {
	c := &l.cold
	first, last := c.first, c.last
	if first <= l.floor || last > l.Last() { // compacted meanwhile
		c.first = 0
		return
	}
	if res.Err != nil {
		if c.tries++; c.tries < readAttempts {
			out.Mark(markReadRetry)
			out.File(l.cfg.Tokens+tokenCold, c.op)
			return
		}
		l.fail(res.Err, out)
		return
	}
	c.first = 0
	var list []*pb.Entry
	from := l.refs[first-l.floor-1].offset
	var err error
	for index := first; index <= last && err == nil; index++ {
		var e *pb.Entry
		at := min(int(l.refs[index-l.floor-1].offset-from), len(res.Data))
		if e, err = l.decodeAt(index, res.Data[at:]); err == nil {
			list = append(list, e)
		}
	}
	var damage *Damage
	switch {
	case errors.As(err, &damage):
		l.damaged(damage, out)
		return
	case err != nil:
		l.fail(err, out)
		return
	}
	c.ranges[c.next%coldRanges] = list
	c.next++
}
