package zset

import "encoding/binary"

// A Decoder reads the fields of what was checkpointed; Bad tells that there were too few
// bytes.
type Decoder struct {
	B   []byte
	Bad bool
}

// Uvarint reads a number.
func (d *Decoder) Uvarint() uint64 {
	x, n := binary.Uvarint(d.B)
	return x * d.taken(n)
}

// Varint reads a number with a sign.
func (d *Decoder) Varint() int64 {
	x, n := binary.Varint(d.B)
	return x * int64(d.taken(n))
}

// Fixed reads a number of 8 bytes.
func (d *Decoder) Fixed() uint64 {
	if len(d.B) < 8 {
		d.Bad, d.B = true, nil
		return 0
	}
	x := binary.LittleEndian.Uint64(d.B)
	d.B = d.B[8:]
	return x
}

// taken goes on by what was read: it is 1, or 0 if there was nothing to read.
func (d *Decoder) taken(n int) uint64 {
	if n <= 0 || d.Bad {
		d.Bad, d.B = true, nil
		return 0
	}
	d.B = d.B[n:]
	return 1
}

// Bytes reads some bytes behind their number.
func (d *Decoder) Bytes() []byte {
	n := d.Count(len(d.B))
	b := d.B[:n]
	d.B = d.B[n:]
	return b
}

// Count reads how many things follow, of a byte at least each.
func (d *Decoder) Count(most int) int {
	n := d.Uvarint()
	if n > uint64(min(most, len(d.B))) {
		d.Bad, d.B = true, nil
		return 0
	}
	return int(n)
}
