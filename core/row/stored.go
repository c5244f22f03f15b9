package row

import (
	"encoding/binary"
	"math/bits"
)

// A stored batch is
//
//	rows, columns     uvarints
//	per column        kind, element kind: a byte each
//	                  flags: a byte; 1: a bitmap of nulls follows, 8 bytes for each 64 rows
//	  fixed           least value: 8 bytes; width in bytes: a byte, 0 to 8;
//	                  each value less the least, little endian, of that width
//	  bytes           length of each value, uvarints; all values
//
// So a column of small or near numbers takes a byte or two per row, and a
// constant one none. Formats keep nothing but canonical values: see
// docs/formats.md.

const flagNulls = 1

// AppendStored appends the stored form of b.
func (b *Batch) AppendStored(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.N))
	dst = binary.AppendUvarint(dst, uint64(len(b.Cols)))
	for _, c := range b.Cols {
		dst = c.appendStored(dst)
	}
	return dst
}

func (v *Vector) appendStored(dst []byte) []byte {
	dst = append(dst, byte(v.Type.Kind), byte(v.Type.Elem))
	n := v.Len()
	if v.Nulls.Any() {
		dst = append(dst, flagNulls)
		for w := range (n + 63) / 64 {
			var u uint64
			if w < len(v.Nulls) {
				u = v.Nulls[w]
			}
			dst = binary.LittleEndian.AppendUint64(dst, u)
		}
	} else {
		dst = append(dst, 0)
	}
	if !v.Type.Fixed() {
		for i := range n {
			dst = binary.AppendUvarint(dst, uint64(v.Off[i+1]-v.Off[i]))
		}
		return append(dst, v.Data...)
	}
	return AppendInts(dst, v.I)
}

// AppendInts appends numbers as offsets from the least of them.
func AppendInts(dst []byte, xs []int64) []byte {
	var least, most int64
	if len(xs) > 0 {
		least, most = xs[0], xs[0]
	}
	for _, x := range xs {
		least, most = min(least, x), max(most, x)
	}
	width := (bits.Len64(uint64(most)-uint64(least)) + 7) / 8
	dst = binary.LittleEndian.AppendUint64(dst, uint64(least))
	dst = append(dst, byte(width))
	for _, x := range xs {
		u := uint64(x) - uint64(least)
		for range width {
			dst = append(dst, byte(u))
			u >>= 8
		}
	}
	return dst
}

// DecodeInts appends n numbers that AppendInts wrote to xs.
func DecodeInts(xs []int64, src []byte, n int) (out []int64, rest []byte, err error) {
	if len(src) < 9 || src[8] > 8 || n > (len(src)-9)/max(int(src[8]), 1) && src[8] > 0 {
		return xs, nil, errorf(CodeInvalidPayload, "a stored column is cut short")
	}
	least, width := binary.LittleEndian.Uint64(src), int(src[8])
	src = src[9:]
	// While 8 bytes are there a value is read at once.
	mask := uint64(1)<<(8*width) - 1
	for n > 0 && len(src) >= 8 {
		xs = append(xs, int64(least+binary.LittleEndian.Uint64(src)&mask))
		src = src[width:]
		n--
	}
	for range n {
		var u uint64
		for k := range width {
			u |= uint64(src[k]) << (8 * k)
		}
		src = src[width:]
		xs = append(xs, int64(least+u))
	}
	return xs, src, nil
}

// DecodeStored reads what AppendStored wrote into b and returns what follows.
// The types must be the expected ones. Values are not judged: the store's
// checksums answer for them.
func (b *Batch) DecodeStored(src []byte, types []Type) (rest []byte, err error) {
	bad := errorf(CodeInvalidPayload, "a stored batch is cut short")
	n, k := binary.Uvarint(src)
	if k <= 0 || n > BatchRowsMax {
		return nil, bad
	}
	src = src[k:]
	cols, k := binary.Uvarint(src)
	if k <= 0 || cols != uint64(len(types)) {
		return nil, errorf(CodeInvalidPayload, "a stored batch has %d columns where %d are expected", cols, len(types))
	}
	src = src[k:]
	b.Reset(types)
	for _, c := range b.Cols {
		if src, err = c.decodeStored(src, int(n)); err != nil {
			b.Reset(types)
			return nil, err
		}
	}
	b.N = int(n)
	return src, nil
}

func (v *Vector) decodeStored(src []byte, n int) (rest []byte, err error) {
	bad := errorf(CodeInvalidPayload, "a stored column is cut short")
	if len(src) < 3 {
		return nil, bad
	}
	if t := (Type{Kind(src[0]), Kind(src[1])}); t != v.Type {
		return nil, errorf(CodeInvalidPayload, "a stored column is of type %d,%d where %s is expected", src[0], src[1], v.Type)
	}
	flags := src[2]
	src = src[3:]
	if flags&^flagNulls != 0 {
		return nil, errorf(CodeInvalidPayload, "a stored column has unknown flags %x", flags)
	}
	if flags&flagNulls != 0 {
		words := (n + 63) / 64
		if len(src) < 8*words {
			return nil, bad
		}
		for w := range words {
			v.Nulls = append(v.Nulls, binary.LittleEndian.Uint64(src[8*w:]))
		}
		v.Nulls.truncate(n)
		src = src[8*words:]
	}
	if v.Type.Fixed() {
		v.I, rest, err = DecodeInts(v.I, src, n)
		return rest, err
	}
	end := uint64(0)
	for range n {
		size, k := binary.Uvarint(src)
		if k <= 0 || size > VectorBytesMax {
			return nil, bad
		}
		src = src[k:]
		if end += size; end > VectorBytesMax {
			return nil, bad
		}
		v.Off = append(v.Off, uint32(end))
	}
	if uint64(len(src)) < end {
		return nil, bad
	}
	v.Data = append(v.Data, src[:end]...)
	return src[end:], nil
}
