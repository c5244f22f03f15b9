package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"actordb/core"
)

// ErrBeyondMending is wrapped when entries alone cannot heal a damage.
var ErrBeyondMending = errors.New("the damage cannot be mended from entries: restore the file from a backup")

// Mend makes the bytes that belong into [d.From, d.To) of a damaged segment from
// entries of another replica or a backup. What it returns is written at d.From and
// synced before the log is opened again; it may be shorter than the damage, and
// there may be more damage behind it: nothing is written that was not made anew.
//
// Two kinds of damage can be mended, both with proof. Under a valid header, the
// payload must be one that the header's checksum covers. Without one, the frames
// must all have been entries: consecutive ones that fill the gap to the byte, and
// the last of them must be the one to which the next valid frame is chained. The
// durable field of a lost header cannot be known; d.From is put in its place,
// since the frame or segment that proved the damage vouches for all below it.
// Everything else wraps ErrBeyondMending: other frames are this replica's own.
func Mend(id Identity, d *Damage, segment []byte, pristine []*pb.Entry) ([]byte, error) {
	number, ok := segmentNumber(d.Segment)
	if !ok || d.From < 0 || d.From >= d.To || d.To > int64(len(segment)) {
		return nil, fmt.Errorf("%w (%s bytes %d to %d of %d)", ErrBeyondMending, d.Segment, d.From, d.To, len(segment))
	}
	salt := id.salt(number)
	prev, err := chainTo(segment, salt, d.From)
	if err != nil {
		return nil, err
	}
	h, ok := parseFrameHeader(segment[d.From:], salt, d.From)
	if end := d.From + int64(frameBytes(h.length)); ok && h.prev == prev && end <= d.To {
		frame := segment[d.From:end]
		payload := segment[d.From+frameHeaderBytes : d.From+frameHeaderBytes+int64(h.length)]
		switch {
		case checksum(saltOf(h.kind, salt), payload) != h.payloadCRC:
			return mendPayload(d, frame, h, salt, pristine)
		case !cleanPadding(segment[d.From:], h.length): // the payload is sound
			patch := append([]byte(nil), frame...)
			clear(patch[frameHeaderBytes+h.length : frameBytes(h.length)])
			return patch, nil
		}
	}
	next, ok := parseFrameHeader(segment[d.To:], salt, d.To)
	if !ok {
		return nil, fmt.Errorf("%w (no valid frame follows at byte %d)", ErrBeyondMending, d.To)
	}
	return mendGap(d, salt, prev, next.prev, pristine)
}

// chainTo walks the sound frames before a damage and returns what the next one
// is chained to.
func chainTo(segment []byte, salt uint32, to int64) (prev uint32, err error) {
	for at := int64(0); at < to; {
		h, ok := parseFrameHeader(segment[at:], salt, at)
		if !ok || at+int64(frameBytes(h.length)) > to {
			return 0, fmt.Errorf("%w (damaged before it, at byte %d)", ErrBeyondMending, at)
		}
		prev = h.payloadCRC
		at += int64(frameBytes(h.length))
	}
	return prev, nil
}

// mendPayload looks for the payload that belongs under a valid header.
func mendPayload(d *Damage, frame []byte, h frameHeader, salt uint32, pristine []*pb.Entry) ([]byte, error) {
	patch := append([]byte(nil), frame...)
	into := patch[frameHeaderBytes:frameBytes(h.length)]
	put := func(head, body []byte) bool {
		if len(head)+len(body) != h.length || checksum(checksum(salt, head), body) != h.payloadCRC {
			return false
		}
		clear(into)
		copy(into[copy(into, head):], body)
		return true
	}
	switch h.kind {
	case frameEntry:
		var head [entryFixedBytes]byte
		for _, e := range pristine {
			if putEntryHead(head[:], e); put(head[:], e.GetData()) {
				return patch, nil
			}
		}
	case frameSeal: // it says what the entries before it say
		if put(binary.LittleEndian.AppendUint64(nil, uint64(d.After)), nil) {
			return patch, nil
		}
	}
	return nil, fmt.Errorf("%w (none of %d entries is the one that stood at byte %d)", ErrBeyondMending, len(pristine), d.From)
}

// mendGap looks for consecutive entries that fill a gap and join the chain.
func mendGap(d *Damage, salt, prev, joins uint32, pristine []*pb.Entry) ([]byte, error) {
	var head [entryFixedBytes]byte
	for first := range pristine {
		var patch []byte
		last := prev
		for i := first; i < len(pristine) && int64(len(patch)) < d.To-d.From; i++ {
			e := pristine[i]
			if core.Index(e.GetIndex()) != core.Index(pristine[first].GetIndex())+core.Index(i-first) {
				break
			}
			putEntryHead(head[:], e)
			at := len(patch)
			patch = appendFrame(patch, salt, frameHeader{kind: frameEntry, offset: d.From + int64(at), durable: d.From, prev: last}, head[:], e.GetData())
			last = binary.LittleEndian.Uint32(patch[at+4:])
		}
		if int64(len(patch)) == d.To-d.From && last == joins {
			return patch, nil
		}
	}
	return nil, fmt.Errorf("%w (no run of the %d entries fills bytes %d to %d)", ErrBeyondMending, len(pristine), d.From, d.To)
}
