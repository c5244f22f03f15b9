package losefs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"actordb/disk"
)

// The undo journal and its next version, in the side directory.
const (
	journalName = "undo"
	rewriteName = "undo.new"
)

type kind uint8

const (
	kindAdopt kind = iota + 1
	kindWrite
	kindTruncate
	kindSynced
	kindFailed
	kindCreate
	kindRename
	kindRemove
	kindUndone
	kindDirSynced
)

// An entry is a record of the journal.
type entry struct {
	kind  kind
	id    uint64
	other uint64 // kindRename: the file that was replaced, or 0
	off   int64  // kindWrite, kindTruncate: where it starts to change the file
	n     int64  // and for how many bytes
	size  int64  // the size before
	from  string // the name; of a rename the old one
	to    string
	old   []byte // bytes from off on, as many as there were
	oldAt int64  // where they lie in the journal
}

const (
	headerBytes = 8
	fixedBytes  = 1 + 5*8 + 2*2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (e *entry) encode(p []byte) []byte {
	start := len(p)
	p = append(p, make([]byte, headerBytes)...)
	p = append(p, byte(e.kind))
	p = binary.LittleEndian.AppendUint64(p, e.id)
	p = binary.LittleEndian.AppendUint64(p, e.other)
	for _, v := range []int64{e.off, e.n, e.size} {
		p = binary.LittleEndian.AppendUint64(p, uint64(v))
	}
	for _, s := range []string{e.from, e.to} {
		p = binary.LittleEndian.AppendUint16(p, uint16(len(s)))
		p = append(p, s...)
	}
	p = append(p, e.old...)
	body := p[start+headerBytes:]
	binary.LittleEndian.PutUint32(p[start:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(p[start+4:], uint32(len(body)))
	return p
}

// decode reads a body that lies at a place of the journal. It returns false for
// what encode did not write.
func decode(body []byte, at int64) (e entry, ok bool) {
	if len(body) < fixedBytes {
		return e, false
	}
	e.kind = kind(body[0])
	e.id = binary.LittleEndian.Uint64(body[1:])
	e.other = binary.LittleEndian.Uint64(body[9:])
	e.off = int64(binary.LittleEndian.Uint64(body[17:]))
	e.n = int64(binary.LittleEndian.Uint64(body[25:]))
	e.size = int64(binary.LittleEndian.Uint64(body[33:]))
	rest := body[41:]
	for _, s := range []*string{&e.from, &e.to} {
		if len(rest) < 2 {
			return e, false
		}
		n := int(binary.LittleEndian.Uint16(rest))
		if len(rest) < 2+n {
			return e, false
		}
		*s, rest = string(rest[2:2+n]), rest[2+n:]
	}
	e.old, e.oldAt = rest, at+int64(len(body)-len(rest))
	return e, e.off >= 0 && e.n >= 0 && e.size >= 0 && e.kind >= kindAdopt && e.kind <= kindDirSynced
}

// A journal is the open undo journal. Its owner guards it.
type journal struct {
	side disk.FS
	file disk.File
	end  int64
	buf  []byte
}

// openJournal opens the journal, made if there is none, and gives each entry to
// visit, in order. What follows the last whole record is cut off.
func openJournal(side disk.FS, visit func(e *entry) error) (*journal, error) {
	f, err := side.Open(journalName)
	if errors.Is(err, disk.ErrNotExist) {
		f, err = side.Create(journalName)
	}
	if err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	j := &journal{side: side, file: f}
	if err := j.replay(visit); err != nil {
		return nil, errors.Join(fmt.Errorf("undo journal: %w", err), f.Close())
	}
	return j, nil
}

func (j *journal) replay(visit func(e *entry) error) error {
	size, err := j.file.Size()
	if err != nil {
		return err
	}
	var header [headerBytes]byte
	for j.end+headerBytes <= size {
		if _, err := j.file.ReadAt(header[:], j.end); err != nil {
			return err
		}
		length := int64(binary.LittleEndian.Uint32(header[4:]))
		at := j.end + headerBytes
		if length > min(bodyBytesMax, size-at) {
			break
		}
		body := make([]byte, length)
		if _, err := j.file.ReadAt(body, at); err != nil {
			return err
		}
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(header[:]) {
			break
		}
		e, ok := decode(body, at)
		if !ok {
			return fmt.Errorf("record at byte %d of another version: %w", j.end, disk.ErrBadRequest)
		}
		if err := visit(&e); err != nil {
			return err
		}
		j.end = at + length
	}
	if j.end < size {
		return j.file.Truncate(j.end)
	}
	return nil
}

// append writes e and fills in where its old bytes lie.
func (j *journal) append(e *entry) error {
	j.buf = e.encode(j.buf[:0])
	if len(j.buf)-headerBytes > bodyBytesMax {
		return fmt.Errorf("undo journal: a change of %d bytes: %w", len(e.old), disk.ErrBadRequest)
	}
	if err := writeAll(j.file, j.buf, j.end); err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	j.end += int64(len(j.buf))
	e.oldAt = j.end - int64(len(e.old))
	if cap(j.buf) > compactBytes {
		j.buf = nil
	}
	return nil
}

// read fills p with what lies at a place of the journal.
func (j *journal) read(p []byte, at int64) error {
	n, err := j.file.ReadAt(p, at)
	if err == nil && n < len(p) {
		err = &disk.PathError{Kind: disk.OpRead, Name: journalName, Offset: at, Err: disk.ErrIO}
	}
	return err
}

// rewrite replaces the journal by what list gives. A kill leaves the old one or
// the new one.
func (j *journal) rewrite(list func(add func(*entry) error) error) error {
	if err := j.side.Remove(rewriteName); err != nil && !errors.Is(err, disk.ErrNotExist) {
		return err
	}
	f, err := j.side.Create(rewriteName)
	if err != nil {
		return err
	}
	next := &journal{side: j.side, file: f}
	err = list(next.append)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := j.side.Rename(rewriteName, journalName); err != nil {
		return err
	}
	if f, err = j.side.Open(journalName); err != nil {
		return err
	}
	err = j.file.Close()
	j.file, j.end = f, next.end
	return err
}

// writeAll writes all of p: a write may be short (F4).
func writeAll(f disk.File, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := f.WriteAt(p, off)
		if err != nil {
			return err
		}
		if n <= 0 || n > len(p) {
			return fmt.Errorf("a write of %d bytes wrote %d: %w", len(p), n, disk.ErrIO)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}
