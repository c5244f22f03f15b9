// Package checked gives a value a checksum of its own, for backends of disk.KV
// over databases that do not checksum what they store (K4).
//
//	stored = CRC-32C of key and value, little-endian u32 | value
package checked

import (
	"encoding/binary"
	"hash/crc32"
)

const sumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// Seal returns what is stored for a value. It keeps neither slice.
func Seal(key, value []byte) []byte {
	p := make([]byte, sumBytes, sumBytes+len(value))
	binary.LittleEndian.PutUint32(p, sum(key, value))
	return append(p, value...)
}

// Value returns the value in what was stored, of which it is a part, and whether
// it is the one that was sealed under the key.
func Value(key, stored []byte) (value []byte, ok bool) {
	if len(stored) < sumBytes {
		return nil, false
	}
	value = stored[sumBytes:]
	return value, sum(key, value) == binary.LittleEndian.Uint32(stored)
}
