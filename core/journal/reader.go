package journal

import "encoding/binary"

// reader takes fields off a section. After the first error every call returns
// zero, so that a parser checks once per row.
type reader struct {
	b    []byte
	at   int
	base int // of the section in the block, for error places
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = malformed(r.base+r.at, format, args...)
		r.at = len(r.b)
	}
}

func (r *reader) end() error {
	if r.err == nil && r.at != len(r.b) {
		r.fail("%d bytes left over", len(r.b)-r.at)
	}
	return r.err
}

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.fail("section ends early")
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail("no varint")
		return 0
	}
	r.at += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b[r.at:])
	if n <= 0 {
		r.fail("no varint")
		return 0
	}
	r.at += n
	return v
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b)-r.at {
		r.fail("%d bytes wanted, %d left", n, len(r.b)-r.at)
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
}

// count reads how many entries of at least least bytes follow.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)-r.at)/uint64(least) {
		r.fail("%d entries do not fit", n)
		return 0
	}
	return int(n)
}

// index reads a number below limit.
func (r *reader) index(limit int) int {
	n := r.uvarint()
	if n >= uint64(limit) {
		r.fail("index %d of %d", n, limit)
		return 0
	}
	return int(n)
}

// sized reads a length and as many bytes.
func (r *reader) sized(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail("%d bytes exceed %d", n, limit)
		return nil
	}
	return r.bytes(int(n))
}

// ordinals reads an ascending list of event ordinals, stored as differences, and
// adds it to list.
func (r *reader) ordinals(list []uint32, events int) []uint32 {
	n := r.count(1)
	next := uint64(0)
	for range n {
		next += r.uvarint()
		if next >= uint64(events) {
			r.fail("ordinal %d of %d", next, events)
			return list
		}
		list = append(list, uint32(next))
		next++
	}
	return list
}
