package journal

import pb "go.etcd.io/raft/v3/raftpb"

// These functions look at a segment's bytes from outside: for backups, tools
// and whoever mends a log.

// eachFrame calls visit for the frames of a segment's image, in order, until one
// is invalid or visit returns false. Payloads are not checked.
func eachFrame(image []byte, visit func(h frameHeader, frame []byte, salt uint32) bool) {
	first, ok := parseFrameHeader(image, 0, 0)
	if !ok || first.kind != frameSegment || len(image) < frameBytes(first.length) {
		return
	}
	header, err := parseSegmentHeader(image[frameHeaderBytes : frameHeaderBytes+first.length])
	if err != nil {
		return
	}
	salt := header.identity.salt(header.number)
	for at := frameBytes(first.length); at+frameHeaderBytes <= len(image); {
		h, ok := parseFrameHeader(image[at:], salt, int64(at))
		if !ok || at+frameBytes(h.length) > len(image) || !visit(h, image[at:], salt) {
			return
		}
		at += frameBytes(h.length)
	}
}

// Vouched returns up to where a segment's durable bytes are vouched for by a
// frame that stands in them: damage below is told from a torn tail, whatever a
// crash takes (J3).
func Vouched(image []byte) (end int64) {
	eachFrame(image, func(h frameHeader, _ []byte, _ uint32) bool {
		end = max(end, h.durable)
		return true
	})
	return end
}

// EntriesOf returns the entries of a sound segment, such as a backup's, up to
// the first frame that is not sound. They are what Mend wants.
func EntriesOf(image []byte) (entries []*pb.Entry) {
	eachFrame(image, func(h frameHeader, frame []byte, salt uint32) bool {
		payload := frame[frameHeaderBytes : frameHeaderBytes+h.length]
		if checksum(salt, payload) != h.payloadCRC {
			return false
		}
		if h.kind == frameEntry && len(payload) >= entryFixedBytes {
			entries = append(entries, decodeEntry(payload))
		}
		return true
	})
	return entries
}
