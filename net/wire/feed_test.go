package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"actordb/core"
)

var (
	oneFollow = Follow{Shard: 3, Stream: 7<<32 | 5, Next: 12, Got: 100, Taken: 90, Window: 4096, Close: -1}
	oneFeed   = Feed{Shard: 3, Stream: 9, First: 12, Next: 15, Closed: 77, Leads: true, Compacted: 4, Roster: 9, Homes: []Home{{1, 2}, {300, 70}}}
)

func feedFrame(blocks ...string) []byte {
	var w Writer
	for i, b := range blocks {
		w.Block(core.Index(12+i), []byte(b))
	}
	return w.FinishFeed(&oneFeed)
}

func TestFeedFrames(t *testing.T) {
	var w Writer
	w.Follow(&oneFollow)
	r, err := Open(w.Finish(Follows))
	var f Follow
	if err != nil || r.Kind != Follows || !r.Follow(&f) || f != oneFollow || r.Follow(&f) || r.Err() != nil {
		t.Fatalf("%+v, %v, %v", f, err, r.Err())
	}
	for _, blocks := range [][]string{nil, {"a"}, {"a", "", "ccc"}} {
		r, err := Open(feedFrame(blocks...))
		var h Feed
		if err != nil || r.Kind != Blocks || !r.Feed(&h) || !reflect.DeepEqual(h, oneFeed) {
			t.Fatalf("%+v, %v, %v", h, err, r.Err())
		}
		for i, want := range blocks {
			if index, data, ok := r.Block(); !ok || index != core.Index(12+i) || string(data) != want {
				t.Fatalf("block %d: %d %q %t", i, index, data, ok)
			}
		}
		if _, _, ok := r.Block(); ok || r.Err() != nil {
			t.Fatalf("more blocks, or %v", r.Err())
		}
	}
}

// Whatever a sealed frame holds, reading it gives what was written or an error.
func FuzzFeed(f *testing.F) {
	var w Writer
	w.Follow(&oneFollow)
	f.Add(w.Finish(Follows)[headerBytes:], byte(Follows), uint32(1))
	f.Add(feedFrame("a", "bb")[headerBytes:], byte(Blocks), uint32(2))
	f.Add(feedFrame()[headerBytes:], byte(Blocks), uint32(0))
	f.Fuzz(func(t *testing.T, body []byte, kind byte, items uint32) {
		r, err := Open(sealed(Kind(kind), items, body))
		if err != nil {
			return
		}
		var again Writer
		var frame []byte
		switch r.Kind {
		case Follows:
			var m Follow
			for r.Follow(&m) {
				again.Follow(&m)
			}
			frame = again.Finish(Follows)
		case Blocks:
			var h Feed
			if !r.Feed(&h) {
				break
			}
			for {
				index, data, ok := r.Block()
				if !ok {
					break
				}
				again.Block(index, data)
			}
			frame = again.FinishFeed(&h)
		}
		if r.Err() != nil {
			if !errors.Is(r.Err(), ErrFrame) {
				t.Fatal(r.Err())
			}
			return
		}
		if frame == nil {
			return
		}
		// Varints have longer forms: what is written again is not longer.
		if len(frame) > headerBytes+len(body) || len(frame) == headerBytes+len(body) && !bytes.Equal(frame[headerBytes:], body) {
			t.Fatalf("%x is written again as %x", body, frame[headerBytes:])
		}
	})
}
