package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
	"actordb/core/seal"
	"actordb/disk"
)

// A parcel is what replicas say to each other about derived state:
//
//	ask       1  u need                                  a manifest of state as of entry need or later
//	manifest  2  u at  u n, n × [32] hash of a chunk
//	fetch     3  [32] name of a manifest  u chunk
//	chunk     4  [32] name of a manifest  u chunk  b bytes
//	want      6  u first  u bytes                        entries from first on
//	entries   7  u n, n × b entry                        protobuf's encoding of raftpb.Entry
//	recall    8  u nonce  u last                         what term are you in? My log ends at last
//	witness   9  u nonce  u term  u last                 this one; a leader also tells where its log ends
//	inquiry  10  u nonce  u time                         up to where does the log go? Close this time, too
//	horizon  11  u nonce  u at  u time                   up to entry at, and no later one is stamped time or less
//	poll     12  u nonce                                 which versions does your program speak?
//	speaks   13  u nonce  u low  u high                  these
//	none      5  nothing to give now: ask another replica, or later
//
// A manifest is named by the hash of its bytes. A chunk is pairs of the derived
// store, in the order of their keys: b key b value each.
type parcel struct {
	kind  parcelKind
	at    core.Index // ask, manifest
	list  []seal.Hash
	name  seal.Hash
	chunk int
	bytes []byte // aliases the frame

	entries [][]byte // likewise
	nonce   uint64
	term    core.Term
	time    core.Timestamp
	speaks  core.Versions
}

type parcelKind byte

const (
	parcelAsk      parcelKind = 1
	parcelManifest parcelKind = 2
	parcelFetch    parcelKind = 3
	parcelChunk    parcelKind = 4
	parcelNone     parcelKind = 5
	parcelWant     parcelKind = 6
	parcelEntries  parcelKind = 7
	parcelRecall   parcelKind = 8
	parcelWitness  parcelKind = 9
	parcelInquiry  parcelKind = 10
	parcelHorizon  parcelKind = 11
	parcelPoll     parcelKind = 12
	parcelSpeaks   parcelKind = 13
)

const (
	// chunkBytes of pairs make a chunk, and one pair at least: 256 KiB keep a
	// step short.
	chunkBytes = 256 << 10
	chunkPairs = 1024
	// chunksMax lets a manifest fit a frame: 48 GiB of state.
	chunksMax = 200_000
)

var errParcel = errors.New("not a parcel")

func (p *parcel) encode() []byte {
	b := []byte{byte(p.kind)}
	switch p.kind {
	case parcelAsk:
		b = binary.AppendUvarint(b, uint64(p.at))
	case parcelManifest:
		b = binary.AppendUvarint(b, uint64(p.at))
		b = binary.AppendUvarint(b, uint64(len(p.list)))
		for i := range p.list {
			b = append(b, p.list[i][:]...)
		}
	case parcelFetch, parcelChunk:
		b = append(b, p.name[:]...)
		b = binary.AppendUvarint(b, uint64(p.chunk))
		if p.kind == parcelChunk {
			b = binary.AppendUvarint(b, uint64(len(p.bytes)))
			b = append(b, p.bytes...)
		}
	case parcelWant:
		b = binary.AppendUvarint(b, uint64(p.at))
		b = binary.AppendUvarint(b, uint64(p.chunk))
	case parcelEntries:
		b = binary.AppendUvarint(b, uint64(len(p.entries)))
		for _, e := range p.entries {
			b = binary.AppendUvarint(b, uint64(len(e)))
			b = append(b, e...)
		}
	case parcelRecall, parcelWitness:
		b = binary.AppendUvarint(b, p.nonce)
		if p.kind == parcelWitness {
			b = binary.AppendUvarint(b, uint64(p.term))
		}
		b = binary.AppendUvarint(b, uint64(p.at))
	case parcelInquiry, parcelHorizon:
		b = binary.AppendUvarint(b, p.nonce)
		if p.kind == parcelHorizon {
			b = binary.AppendUvarint(b, uint64(p.at))
		}
		b = binary.AppendUvarint(b, uint64(p.time))
	case parcelPoll:
		b = binary.AppendUvarint(b, p.nonce)
	case parcelSpeaks:
		b = binary.AppendUvarint(b, p.nonce)
		b = AppendVersion(AppendVersion(b, p.speaks.Low), p.speaks.High)
	}
	return b
}

func decodeParcel(b []byte) (*parcel, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errParcel)
	}
	p := &parcel{kind: parcelKind(b[0])}
	r := fields{b: b, at: 1}
	switch p.kind {
	case parcelAsk:
		p.at = core.Index(r.uvarint())
	case parcelManifest:
		p.at = core.Index(r.uvarint())
		n := r.uvarint()
		if n > chunksMax || n > uint64(len(b)/len(seal.Hash{})) {
			return nil, fmt.Errorf("%w: %d chunks", errParcel, n)
		}
		p.list = make([]seal.Hash, n)
		for i := range p.list {
			copy(p.list[i][:], r.bytes(len(p.list[i])))
		}
	case parcelFetch, parcelChunk:
		copy(p.name[:], r.bytes(len(p.name)))
		n := r.uvarint()
		if n >= chunksMax {
			return nil, fmt.Errorf("%w: chunk %d", errParcel, n)
		}
		p.chunk = int(n)
		if p.kind == parcelChunk {
			p.bytes = r.bytes(int(min(r.uvarint(), core.FrameBytesMax)))
		}
	case parcelWant:
		p.at, p.chunk = core.Index(r.uvarint()), int(min(r.uvarint(), core.FrameBytesMax))
	case parcelEntries:
		for n := r.uvarint(); n > 0 && r.err == nil; n-- {
			p.entries = append(p.entries, r.bytes(int(min(r.uvarint(), core.FrameBytesMax))))
		}
	case parcelRecall:
		p.nonce, p.at = r.uvarint(), core.Index(r.uvarint())
	case parcelWitness:
		p.nonce, p.term, p.at = r.uvarint(), core.Term(r.uvarint()), core.Index(r.uvarint())
	case parcelInquiry, parcelHorizon:
		p.nonce = r.uvarint()
		if p.kind == parcelHorizon {
			p.at = core.Index(r.uvarint())
		}
		if p.time = core.Timestamp(r.uvarint()); p.time < 0 {
			return nil, fmt.Errorf("%w: time %d", errParcel, p.time)
		}
	case parcelPoll:
		p.nonce = r.uvarint()
	case parcelSpeaks:
		p.nonce = r.uvarint()
		p.speaks = core.Versions{Low: r.version(), High: r.version()}
		if p.speaks.Low == 0 || p.speaks.Low > p.speaks.High {
			return nil, fmt.Errorf("%w: versions %d to %d", errParcel, p.speaks.Low, p.speaks.High)
		}
	case parcelNone:
	default:
		return nil, fmt.Errorf("%w: kind %d", errParcel, b[0])
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("%w: %w", errParcel, err)
	}
	return p, nil
}

// cutChunk takes as many of the pairs as make a chunk.
func cutChunk(pairs []disk.Pair) (chunk []byte, used int) {
	for used < len(pairs) && (used == 0 || len(chunk) < chunkBytes) {
		p := &pairs[used]
		chunk = binary.AppendUvarint(chunk, uint64(len(p.Key)))
		chunk = append(chunk, p.Key...)
		chunk = binary.AppendUvarint(chunk, uint64(len(p.Value)))
		chunk = append(chunk, p.Value...)
		used++
	}
	return chunk, used
}

// pairsOf reads a chunk. The pairs alias it.
func pairsOf(chunk []byte) (pairs []disk.Pair, err error) {
	r := fields{b: chunk}
	for r.err == nil && r.at < len(chunk) {
		key := r.bytes(int(min(r.uvarint(), uint64(len(chunk)))))
		value := r.bytes(int(min(r.uvarint(), uint64(len(chunk)))))
		pairs = append(pairs, disk.Pair{Key: key, Value: value})
	}
	return pairs, r.end()
}
