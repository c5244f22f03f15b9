// Package history reads what a node's directory holds, without the engine: the
// journals frame by frame, the derived stores, and what the blocks amount to. It
// changes nothing, holds no lock, and works beside a running node: files that
// compaction removes stay readable for it, and what the node appends meanwhile
// is not looked at.
//
// Of the engine it uses the decoders of single frames, blocks and pairs, which
// define the formats. What makes them a log (order, gaps, seals, torn tails and
// damage, which blocks are void) it finds out by code of its own, so that a
// mistake of recovery does not hide here.
package history

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"actordb/core"
	"actordb/core/journal"
)

// A Problem is something that must not be, where it is, and what to do about it.
type Problem struct {
	File   string     `json:"file"`
	Offset int64      `json:"offset"`          // bytes
	Entry  core.Index `json:"entry,omitempty"` // of the log, if it is known
	What   string     `json:"what"`
	Cure   string     `json:"cure"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s, byte %d: %s; %s", p.File, p.Offset, p.What, p.Cure)
}

// A Note is worth knowing and no problem.
type Note struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	What   string `json:"what"`
}

const cureRestore = "mend it from a replica, or restore the directory from a backup"

// A Log is a journal opened for reading.
type Log struct {
	dir   string
	files []logFile
	stray []string
	// Problems and Notes are what Scan found.
	Problems []Problem
	Notes    []Note
	Segments []Segment
	Floor    core.Index
	Entries  []Ref // of entry Floor+1 and on, without holes
	Hard     journal.State
	Voters   []uint64
}

type logFile struct {
	number uint64
	f      *os.File
	size   int64
}

// A Segment is what was found in one file.
type Segment struct {
	journal.SegmentInfo
	Bytes  int64 // of valid frames
	Sealed bool
	End    core.Index // last entry in the files where it ends
}

// A Ref is where an entry stands.
type Ref struct {
	Term   core.Term
	Type   byte
	Bytes  int   // of its data
	file   int   // in files
	offset int64 // of its frame
}

// OpenLog takes hold of the segments in a directory; a missing directory is an
// empty log.
func OpenLog(dir string) (*Log, error) {
	l := &Log{dir: dir}
	if err := l.Refresh(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Refresh takes hold of segments that came since, and looks at sizes again.
func (l *Log) Refresh() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l.stray = l.stray[:0]
	for _, e := range entries {
		number, ok := journal.SegmentNumber(e.Name())
		if !ok {
			l.stray = append(l.stray, e.Name())
			continue
		}
		if slices.ContainsFunc(l.files, func(f logFile) bool { return f.number == number }) {
			continue
		}
		f, err := os.Open(filepath.Join(l.dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // compacted meanwhile
		}
		if err != nil {
			return err
		}
		l.files = append(l.files, logFile{number: number, f: f})
	}
	slices.SortFunc(l.files, func(a, b logFile) int { return int(int64(a.number) - int64(b.number)) })
	for i := range l.files {
		info, err := l.files[i].f.Stat()
		if err != nil {
			return err
		}
		l.files[i].size = info.Size()
	}
	return nil
}

// Close lets the segments go.
func (l *Log) Close() (err error) {
	for i := range l.files {
		err = errors.Join(err, l.files[i].f.Close())
	}
	l.files = nil
	return err
}

// Stray lists the other names in the directory.
func (l *Log) Stray() []string { return l.stray }

// Bytes is how much there is to read.
func (l *Log) Bytes() (n int64) {
	for i := range l.files {
		n += l.files[i].size
	}
	return n
}

// Last is the last entry.
func (l *Log) Last() core.Index { return l.Floor + core.Index(len(l.Entries)) }

// Image reads a segment as it was when the log was opened or refreshed.
func (l *Log) Image(i int) ([]byte, error) {
	f := &l.files[i]
	image := make([]byte, f.size)
	n, err := f.f.ReadAt(image, 0)
	if err == io.EOF {
		err = nil
	}
	return image[:n], err
}

func (l *Log) name(i int) string { return journal.SegmentName(l.files[i].number) }

// Place is where entry index stands, for messages.
func (l *Log) Place(index core.Index) (file string, offset int64) {
	if index <= l.Floor || index > l.Last() {
		return "", 0
	}
	r := &l.Entries[index-l.Floor-1]
	return l.name(r.file), r.offset
}

// FileOf is in which of Segments entry index stands.
func (l *Log) FileOf(index core.Index) int { return l.Entries[index-l.Floor-1].file }

// Entry reads an entry that Scan has found.
func (l *Log) Entry(index core.Index) (journal.Entry, error) {
	r := &l.Entries[index-l.Floor-1]
	s := &l.files[r.file]
	frame := make([]byte, journal.EntryFrameBytes(r.Bytes))
	n, err := s.f.ReadAt(frame, r.offset)
	if err != nil && err != io.EOF {
		return journal.Entry{}, err
	}
	// The frame is checked again: the file may have changed since.
	f, _, err := journal.Salted(l.Segments[r.file].Identity, s.number, nil).Parse(frame[:n], r.offset)
	if err == nil {
		if e, ok := f.Entry(); ok && e.Index == index && e.Term == r.Term {
			if e.Type != 0 { // it changes the group, and says nothing to the actors
				e.Type, e.Data = 0, nil
			}
			return e, nil
		}
		err = errors.New("another entry stands here")
	}
	return journal.Entry{}, &Problem{File: l.name(r.file), Offset: r.offset, Entry: index, What: err.Error(), Cure: cureRestore}
}

// ImageOf reads the segment of a number, nil if there is none.
func (l *Log) ImageOf(number uint64) ([]byte, error) {
	for i := range l.files {
		if l.files[i].number == number {
			return l.Image(i)
		}
	}
	return nil, nil
}
