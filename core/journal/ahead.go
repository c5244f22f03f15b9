package journal

import (
	"actordb/core"
	"actordb/core/proc"
	"actordb/disk"
)

// Zeros are written ahead of small appends, into the space that is reserved: a
// sync after a write over bytes that were written before commits nothing in the
// file system's own journal, and is up to 1.8 times as fast
// (disk/osfile, BenchmarkAppendSync).
//
// To recovery they are what it finds after a power loss anyway: bytes that no
// write has reached read as zeros, hold no frame, and are cut off. A sealed
// segment may end in them; nothing reads beyond a seal.
//
// It is sound because ops on one file take effect in their order (F1): zeros
// begin behind all appends submitted before, and appends submitted later go over
// them. So zeros that were written short are not submitted again.

// zeroAhead writes zeros behind an append of n bytes that was just submitted, if
// few are left.
func (l *Log) zeroAhead(n int64, out *proc.Effects) {
	s := l.last()
	if l.zeroing || n > aheadAppendMax || l.zeroed-s.size >= aheadBytes/2 {
		return
	}
	from := max(l.zeroed, s.size)
	to := min(from+aheadBytes, l.reserved)
	if from >= to {
		return
	}
	if l.zeros == nil {
		l.zeros = make([]byte, min(aheadBytes, l.reserved))
	}
	l.zeroing, l.zeroed = true, from
	out.Mark(markZeros)
	out.File(l.cfg.Tokens+tokenZero, disk.Op{Kind: disk.OpWrite, Name: segmentName(s.number), Offset: from, Data: l.zeros[:min(to-from, int64(len(l.zeros)))]})
}

// wroteZeros handles the completion. A failed write is one (J7), though nothing
// would be lost with this one: the disk it went to is the log's.
func (l *Log) wroteZeros(res *disk.Result, out *proc.Effects) {
	core.Assert(l.zeroing, "zeros were written that nobody asked for")
	l.zeroing = false
	if res.Err != nil {
		l.fail(res.Err, out)
		return
	}
	l.zeroed += int64(res.N)
}
