package wire

import (
	"encoding/binary"
	"fmt"

	"actordb/core"
)

// Frames between the replicas of a shard hold Raft's messages, which this
// package does not read:
//
//	body     [16] cluster  u shard  u from  u to, then for each item: b message
//
// A frame is for one replica. Its receiver looks at who sent it before at what
// it says: From is a claim.

// Peers is the kind of frames between replicas that hold Raft's messages, and
// Transfers of those that hold state.
const (
	Peers     Kind = 3
	Transfers Kind = 4
)

// A PeerHeader says from which replica to which a frame is.
type PeerHeader struct {
	Cluster  [16]byte
	Shard    core.ShardID
	From, To uint64 // replicas of the shard
}

// Message adds a message to a frame between replicas; the first one begins it.
func (w *Writer) Message(h *PeerHeader, message []byte) {
	begun := w.buf != nil
	d := w.start()
	if !begun {
		d = append(d, h.Cluster[:]...)
		d = binary.AppendUvarint(d, uint64(h.Shard))
		d = binary.AppendUvarint(d, h.From)
		d = binary.AppendUvarint(d, h.To)
	}
	w.buf = appendBytes(d, message)
}

// KindOf is what a frame claims to be, 0 if it is none.
func KindOf(frame []byte) Kind {
	if len(frame) < headerBytes {
		return 0
	}
	return Kind(frame[5])
}

// OpenPeers checks a frame between replicas as a whole and reads its header.
func OpenPeers(frame []byte) (Reader, PeerHeader, error) {
	var h PeerHeader
	r, err := open(frame)
	if err == nil && r.Kind != Peers && r.Kind != Transfers {
		err = fmt.Errorf("%w: kind %d", ErrFrame, r.Kind)
	}
	if err != nil {
		return Reader{}, h, err
	}
	copy(h.Cluster[:], r.take(16, "cluster"))
	shard := r.uvarint("shard")
	if shard > 1<<32-1 {
		r.fail("shard over 32 bits")
	}
	h.Shard = core.ShardID(shard)
	h.From, h.To = r.uvarint("from"), r.uvarint("to")
	return r, h, r.err
}

// Message reads the next message, which aliases the frame. It returns false at
// the end and on an error (see Err).
func (r *Reader) Message() (message []byte, ok bool) {
	if !r.more() {
		return nil, false
	}
	message = r.bytes("message")
	return message, r.err == nil
}
