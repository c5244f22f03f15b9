package row

import (
	"encoding/binary"
	"math/bits"
)

// Odd constants without structure: the first 64 fractional bits of pi, e,
// sqrt(2) and the golden ratio, made odd.
const (
	hashPi   = 0x243f6a8885a308d3
	hashE    = 0xb7e151628aed2a6b
	hashRoot = 0x6a09e667f3bcc909
	hashGold = 0x9e3779b97f4a7c15
)

// mix folds the 128-bit product of its arguments (the step of the MUM family
// of hash functions: https://github.com/vnmakarov/mum-hash).
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// HashBytes hashes b under a seed. It is part of stored formats.
func HashBytes(seed uint64, b []byte) uint64 {
	h := seed ^ mix(uint64(len(b))^hashPi, hashGold)
	for len(b) >= 16 {
		h = mix(binary.LittleEndian.Uint64(b)^hashPi^h, binary.LittleEndian.Uint64(b[8:])^hashE)
		b = b[16:]
	}
	var lo, hi uint64
	switch n := len(b); {
	case n >= 8:
		lo, hi = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		lo, hi = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		lo = uint64(b[0])<<16 | uint64(b[n>>1])<<8 | uint64(b[n-1])
	}
	return mix(lo^hashRoot^h, hi^hashGold)
}

// hashInt mixes one value into a hash.
func hashInt(h, x uint64) uint64 { return mix(x^hashPi^h, hashGold^bits.RotateLeft64(h, 32)) }

// hashEnd spreads a row's last column over all bits.
func hashEnd(h uint64) uint64 { return mix(h^hashRoot, hashE) }

const hashNull = 0x3bd39e10cb0ef593 // the place of a null: any value would do

// Hash appends the hash of each row of the columns cols to dst. Rows that are
// not distinct have the same hash. It is the same on every machine.
func (b *Batch) Hash(cols []int, dst []uint64) []uint64 {
	at := len(dst)
	for range b.N {
		dst = append(dst, hashRoot)
	}
	hs := dst[at:]
	for _, c := range cols {
		b.Cols[c].hashInto(hs)
	}
	for i, h := range hs {
		hs[i] = hashEnd(h)
	}
	return dst
}

func (v *Vector) hashInto(hs []uint64) {
	switch {
	case v.Type.Fixed() && len(v.Nulls) == 0:
		in := v.I[:len(hs)]
		for i, x := range in {
			hs[i] = hashInt(hs[i], uint64(x))
		}
	case v.Type.Fixed():
		for i := range hs {
			x := uint64(v.I[i])
			if v.Nulls.Get(i) {
				x = hashNull
			}
			hs[i] = hashInt(hs[i], x)
		}
	default:
		for i := range hs {
			if v.Nulls.Get(i) {
				hs[i] = hashInt(hs[i], hashNull)
				continue
			}
			hs[i] = HashBytes(hs[i], v.Data[v.Off[i]:v.Off[i+1]])
		}
	}
}

// SortPrefix appends 8 bytes of each row's value under a sort, as a number: of
// two rows the one that sorts first has the smaller number, or the same.
func (b *Batch) SortPrefix(s Sort, dst []uint64) []uint64 {
	v := b.Cols[s.Col]
	at := len(dst)
	if v.Type.Fixed() {
		for _, x := range v.I[:b.N] {
			dst = append(dst, uint64(x)^1<<63)
		}
	} else {
		for i := range b.N {
			var room [8]byte
			copy(room[:], v.Data[v.Off[i]:v.Off[i+1]])
			dst = append(dst, binary.BigEndian.Uint64(room[:]))
		}
	}
	ps := dst[at:]
	if s.Desc {
		for i := range ps {
			ps[i] = ^ps[i]
		}
	}
	if len(v.Nulls) > 0 {
		for i := range ps {
			if v.Nulls.Get(i) {
				ps[i] = ^uint64(0)
				if s.NullsFirst {
					ps[i] = 0
				}
			}
		}
	}
	return dst
}
