// Package seal makes the hashes that bind the log: the commitment to an
// event's personal columns, the leaf of an event, the hash of a block, and the
// chain over blocks. It is the only importer of cryptography in core.
//
// All hashes are SHA-256 with one leading byte that says what is hashed, so
// that no leaf can pass for an inner hash (RFC 6962, section 2.1).
//
//	commitment = H(0x02 ‖ salt ‖ personal)     stored in the event's plain row
//	leaf       = H(row)                        rows start with 0x00
//	block      = H(0x01 ‖ header ‖ H(sections) … ‖ H(leaves))
//	chain      = H(0x03 ‖ chain before ‖ block)
//
// The salt and the personal bytes stand in a section of their own which no
// hash covers directly. Erasing both leaves every leaf, block and chain valid,
// and what remains tells nothing of the erased bytes: 128 bits of salt stand
// between the commitment and a guess.
package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Bytes is the size of a Hash, SaltBytes that of a salt.
const (
	Bytes     = sha256.Size
	SaltBytes = 16
)

// The leading byte of what is hashed.
const (
	TagRow    = 0x00
	tagBlock  = 0x01
	tagCommit = 0x02
	tagChain  = 0x03
	tagSalt   = 0x04
)

// Hash is a SHA-256 digest.
type Hash [Bytes]byte

func (h Hash) String() string { return hex.EncodeToString(h[:8]) }

// Leaf hashes an event's plain row, which starts with TagRow and ends with the
// commitment to the personal columns if it has any.
func Leaf(row []byte) Hash { return sha256.Sum256(row) }

// Section hashes bytes that need no tag because their place in the block's
// hash says what they are.
func Section(b []byte) Hash { return sha256.Sum256(b) }

// Block hashes a block from its header and the hashes of its sections.
func Block(header []byte, sections ...Hash) Hash {
	buf := make([]byte, 0, 1+256+8*Bytes)
	buf = append(buf, tagBlock)
	buf = append(buf, header...)
	for i := range sections {
		buf = append(buf, sections[i][:]...)
	}
	return sha256.Sum256(buf)
}

// Chain extends the chain by a block.
func Chain(before, block Hash) Hash {
	var buf [1 + 2*Bytes]byte
	buf[0] = tagChain
	copy(buf[1:], before[:])
	copy(buf[1+Bytes:], block[:])
	return sha256.Sum256(buf[:])
}

// Commit binds personal columns under a salt.
func Commit(salt [SaltBytes]byte, personal []byte) Hash {
	h := sha256.New()
	h.Write([]byte{tagCommit})
	h.Write(salt[:])
	h.Write(personal)
	var out Hash
	h.Sum(out[:0])
	return out
}

// A Salter derives salts from a secret. They are unpredictable to whoever lacks
// it, and do not repeat for one secret as long as no (origin, ordinal) does: two
// commitments under one salt would let the erasing of one be undone by the other.
type Salter struct{ Secret [32]byte }

// Salt is the salt of the event with this ordinal in the block that origin names.
func (s *Salter) Salt(origin Hash, ordinal uint32) (salt [SaltBytes]byte) {
	var buf [1 + 32 + Bytes + 4]byte
	buf[0] = tagSalt
	copy(buf[1:], s.Secret[:])
	copy(buf[33:], origin[:])
	binary.BigEndian.PutUint32(buf[33+Bytes:], ordinal)
	full := sha256.Sum256(buf[:])
	copy(salt[:], full[:])
	return salt
}
