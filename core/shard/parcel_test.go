package shard

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"actordb/core"
	"actordb/core/seal"
	"actordb/disk"
)

func parcels() []*parcel {
	return []*parcel{
		{kind: parcelAsk, at: 1 << 40}, {kind: parcelNone}, {kind: parcelManifest, at: 7, list: []seal.Hash{{1}, {2, 31: 3}}},
		{kind: parcelManifest, list: []seal.Hash{}}, {kind: parcelFetch, name: seal.Hash{4}, chunk: 300},
		{kind: parcelWant, at: 9, chunk: 70}, {kind: parcelEntries, entries: [][]byte{[]byte("x"), []byte("yz")}},
		{kind: parcelRecall, nonce: 5, at: 3}, {kind: parcelWitness, nonce: 6, term: 7, at: 8},
		{kind: parcelInquiry, nonce: 9, time: 10}, {kind: parcelHorizon, nonce: 11, at: 12, time: 13}, {kind: parcelPoll, nonce: 14}, {kind: parcelSpeaks, nonce: 14, speaks: core.Spoken()},
		{kind: parcelChunk, name: seal.Hash{5}, chunk: 2, bytes: []byte("pairs")},
	}
}

// A parcel arrives as it was sent, and cut anywhere it is none.
func TestParcels(t *testing.T) {
	for _, p := range parcels() {
		b := p.encode()
		got, err := decodeParcel(b)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v for %+v, %v", got, p, err)
		}
		for n := range b {
			if _, err := decodeParcel(b[:n]); !errors.Is(err, errParcel) {
				t.Errorf("%d of %d bytes of %+v: %v", n, len(b), p, err)
			}
		}
	}
}

// Chunks together hold all pairs, in their order, whatever their sizes.
func TestChunks(t *testing.T) {
	var pairs []disk.Pair
	for i := range 50 {
		pairs = append(pairs, disk.Pair{Key: []byte{byte(i)}, Value: bytes.Repeat([]byte{1}, (i*i%7)*chunkBytes/6)})
	}
	var got []disk.Pair
	for rest := pairs; len(rest) > 0; {
		chunk, used := cutChunk(rest)
		list, err := pairsOf(chunk)
		if err != nil || len(list) != used || used == 0 {
			t.Fatalf("%d pairs of %d, %v", len(list), used, err)
		}
		got, rest = append(got, list...), rest[used:]
	}
	if len(got) != len(pairs) {
		t.Fatalf("%d pairs of %d", len(got), len(pairs))
	}
	for i := range got {
		if !bytes.Equal(got[i].Key, pairs[i].Key) || !bytes.Equal(got[i].Value, pairs[i].Value) {
			t.Fatalf("pair %d has changed", i)
		}
	}
}

// Any bytes are a parcel, which is written again as it was, or an error; so are
// those of a chunk pairs or an error.
func FuzzParcel(f *testing.F) {
	for _, p := range parcels() {
		f.Add(p.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := pairsOf(b); err != nil && len(b) == 0 {
			t.Fatal(err)
		}
		p, err := decodeParcel(b)
		if err != nil {
			if !errors.Is(err, errParcel) {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeParcel(p.encode())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v is written again as %+v, %v", p, again, err)
		}
	})
}
