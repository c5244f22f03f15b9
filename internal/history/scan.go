package history

import (
	"errors"
	"fmt"
	"slices"

	"actordb/core"
	"actordb/core/journal"
)

// Whose says which log is wanted. Nil: whichever it is.
type Whose struct {
	Cluster [16]byte
	Shard   core.ShardID
}

// Scan reads all segments and finds entries, problems and notes. progress, if
// not nil, is told of bytes read. The error is of the machine.
func (l *Log) Scan(whose *Whose, progress func(bytes int64)) error {
	l.Problems, l.Notes, l.Segments, l.Entries = nil, nil, nil, nil
	l.Floor, l.Hard, l.Voters = 0, journal.State{}, nil
	for i := range l.files {
		if i > 0 && l.files[i].number != l.files[i-1].number+1 {
			l.problem(journal.SegmentName(l.files[i-1].number+1), 0, "the segment is missing")
		}
		image, err := l.Image(i)
		if err != nil {
			return err
		}
		s := segmentScan{log: l, i: i, image: image, last: i == len(l.files)-1, whose: whose}
		s.run()
		if progress != nil {
			progress(int64(len(image)))
		}
	}
	if l.Hard.Commit > l.Last() && len(l.Problems) == 0 && len(l.Segments) > 0 {
		n := len(l.Segments) - 1
		l.problem(l.name(n), l.Segments[n].Bytes, fmt.Sprintf("entries up to %d were committed, the log ends at %d", l.Hard.Commit, l.Last()))
	}
	return nil
}

func (l *Log) problem(file string, offset int64, what string) {
	l.Problems = append(l.Problems, Problem{File: file, Offset: offset, Entry: l.Last(), What: what, Cure: cureRestore})
}

// segmentScan reads one segment.
type segmentScan struct {
	log   *Log
	whose *Whose
	i     int
	image []byte
	last  bool

	seg     *journal.Segment
	found   Segment
	at      int64
	before  int64 // offset of the last sound frame
	prev    uint32
	sealed  bool
	damaged bool // frames are missing: what follows need not continue what came before
	index   core.Index
}

func (s *segmentScan) name() string { return s.log.name(s.i) }

func (s *segmentScan) problem(offset int64, format string, args ...any) {
	s.log.problem(s.name(), offset, fmt.Sprintf(format, args...))
}

func (s *segmentScan) run() {
	l := s.log
	seg, err := journal.OpenSegment(s.image)
	var version *core.VersionError
	switch {
	case errors.As(err, &version):
		l.Problems = append(l.Problems, Problem{File: s.name(), What: version.Error(), Cure: "nothing here was changed"})
		l.Segments = append(l.Segments, Segment{})
		return
	case err != nil:
		s.headless()
		return
	}
	s.seg, s.found.SegmentInfo = seg, seg.SegmentInfo
	if s.unborn() {
		return
	}
	s.header()
	s.index = seg.LastIndex
	for s.next() {
	}
	s.found.Bytes, s.found.Sealed, s.found.End = s.at, s.sealed, s.index
	l.Segments = append(l.Segments, s.found)
	if !s.last && !s.sealed && !s.damaged {
		s.problem(s.at, "the segment ends without a seal, and another one follows")
	}
	if s.sealed && s.at < int64(len(s.image)) {
		if slices.ContainsFunc(s.image[s.at:], func(b byte) bool { return b != 0 }) {
			l.note(s.name(), s.at, "bytes behind the seal are not the zeros that they should be: nothing reads them")
		}
	}
}

// headless deals with a file that does not begin with a segment frame: it never
// became a segment, or it is damaged.
func (s *segmentScan) headless() {
	number := s.log.files[s.i].number
	s.seg = journal.Salted(journal.Identity{}, number, s.image)
	if n := len(s.log.Segments); n > 0 {
		s.seg = journal.Salted(s.log.Segments[n-1].Identity, number, s.image)
	} else if s.whose != nil {
		s.seg = journal.Salted(journal.Identity{Cluster: s.whose.Cluster, Shard: s.whose.Shard, Replica: 1}, number, s.image)
	}
	if s.unborn() {
		return
	}
	s.problem(0, "the segment's first frame is not valid")
	s.log.Segments = append(s.log.Segments, Segment{})
}

// unborn tells whether the newest file is not a segment yet: its first write,
// segment and state frame, is not whole, nothing vouches for it, and nothing
// proves that it was whole once.
func (s *segmentScan) unborn() bool {
	number := s.log.files[s.i].number
	first, whole, _ := s.seg.Frame(0)
	if whole {
		if f, whole, _ := s.seg.Frame(first.End); whole && f.Kind() == "state" {
			return false
		}
	}
	if !s.last || len(s.image) > journal.UnbornBytesMax || s.i == 0 && number > 1 {
		return false
	}
	for at, durable, ok := s.seg.Next(0); ok; at, durable, ok = s.seg.Next(at) {
		if durable > 0 {
			return false
		}
	}
	s.log.note(s.name(), 0, "a segment that was never begun: recovery removes it")
	return true
}

func (l *Log) note(file string, offset int64, what string) {
	l.Notes = append(l.Notes, Note{file, offset, what})
}

// header checks whose segment it is, and that it continues the one before.
func (s *segmentScan) header() {
	l, id := s.log, s.seg.Identity
	switch w := s.whose; {
	case s.seg.Number != l.files[s.i].number:
		s.problem(0, "this is segment %d under another name", s.seg.Number)
	case w != nil && (id.Cluster != w.Cluster || id.Shard != w.Shard):
		s.problem(0, "the segment belongs to shard %d of cluster %x, not to shard %d of cluster %x", id.Shard, id.Cluster[:4], w.Shard, w.Cluster[:4])
	case s.i > 0 && len(l.Segments) > 0 && l.Segments[s.i-1].Number > 0 && id.Replica != l.Segments[s.i-1].Identity.Replica:
		s.problem(0, "the segment belongs to replica %d", id.Replica)
	}
	if s.i == 0 {
		l.Floor, l.Voters = s.seg.LastIndex, id.Voters
		if s.seg.Number == 1 && l.Floor > 0 {
			s.problem(0, "the first segment continues entry %d", l.Floor)
		}
		return
	}
	if last := l.Segments[s.i-1].End; s.seg.LastIndex != last && len(l.Problems) == 0 {
		s.problem(0, "the segment continues entry %d, the one before it ends at %d", s.seg.LastIndex, last)
	}
}

// next takes one frame. It returns false at the end of the segment.
func (s *segmentScan) next() bool {
	if s.sealed || s.at >= int64(len(s.image)) {
		return false
	}
	f, whole, err := s.seg.Frame(s.at)
	switch {
	case whole && s.damaged:
		s.damaged = false // the chain begins again
	case whole && s.at > 0 && f.Prev != s.prev:
		whole, err = false, errors.New("the frame does not follow the one before it")
	}
	if !whole {
		return s.invalid(&f, err)
	}
	s.take(&f)
	s.prev, s.before, s.at = f.Sum, s.at, f.End
	return true
}

// invalid judges bytes that are no valid frame here: damage, if a later frame or
// a later segment says that they were durable, else a torn tail.
func (s *segmentScan) invalid(f *journal.Frame, why error) bool {
	vouched := !s.last || s.at == 0
	if f.End > 0 && f.Durable > s.before && f.Prev != s.prev {
		vouched = true // what it should follow was durable
	}
	resume := int64(-1)
	for at, durable, ok := s.seg.Next(s.at); ok; at, durable, ok = s.seg.Next(at) {
		if resume < 0 {
			resume = at
		}
		vouched = vouched || durable > s.at
	}
	if !vouched {
		if rest := s.image[s.at:]; slices.ContainsFunc(rest, func(b byte) bool { return b != 0 }) {
			s.log.note(s.name(), s.at, fmt.Sprintf("a torn tail of %d bytes that were never durable: recovery cuts it off", len(rest)))
		}
		return false
	}
	s.damaged = true
	if resume < 0 {
		s.problem(s.at, "%v, and it was durable; nothing that can be read follows", why)
		return false
	}
	s.problem(s.at, "%v, and it was durable; damaged are bytes %d to %d", why, s.at, resume)
	s.at = resume
	return true
}

// take accepts a frame.
func (s *segmentScan) take(f *journal.Frame) {
	l := s.log
	if e, ok := f.Entry(); ok {
		s.entry(f, &e)
		return
	}
	if h, ok := f.State(); ok {
		if h.Term < l.Hard.Term || h.Commit < l.Hard.Commit {
			s.problem(f.Offset, "term %d and commit %d after term %d and commit %d", h.Term, h.Commit, l.Hard.Term, l.Hard.Commit)
		}
		l.Hard = h
		return
	}
	if index, _, ok := f.Restore(); ok {
		l.Floor, l.Entries, s.index = index, l.Entries[:0], index
		return
	}
	if last, ok := f.Seal(); ok {
		s.sealed = true
		if last != s.index && len(l.Problems) == 0 {
			s.problem(f.Offset, "the seal names entry %d, the last one is %d", last, s.index)
		}
	}
}

// entry adds an entry, which replaces those from its index on.
func (s *segmentScan) entry(f *journal.Frame, e *journal.Entry) {
	l := s.log
	s.index = e.Index
	ref := Ref{Term: e.Term, Type: e.Type, Bytes: len(e.Data), file: s.i, offset: f.Offset}
	switch {
	case e.Index == 0 || e.Index > l.Last()+1:
		if len(l.Problems) == 0 {
			s.problem(f.Offset, "entry %d in a log of %d to %d", e.Index, l.Floor+1, l.Last())
		}
		return
	case e.Index <= l.Floor:
		l.Entries = l.Entries[:0] // it replaced an entry of a segment that is gone
		return
	}
	if e.Index <= l.Hard.Commit && e.Index <= l.Last() && len(l.Problems) == 0 {
		s.problem(f.Offset, "entry %d replaces one that was committed", e.Index)
	}
	l.Entries = append(l.Entries[:e.Index-l.Floor-1], ref)
	if n := len(l.Entries); n > 1 && l.Entries[n-2].Term > e.Term {
		s.problem(f.Offset, "entry %d of term %d after one of term %d", e.Index, e.Term, l.Entries[n-2].Term)
	}
}
