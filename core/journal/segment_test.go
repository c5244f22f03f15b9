package journal

import (
	"bytes"
	"testing"

	"actordb/core"
)

// An Image is read back as it was made, frame by frame, and by recovery.
func TestImage(t *testing.T) {
	id := Identity{Cluster: [16]byte{1, 2}, Shard: 3, Replica: 1, Voters: []uint64{1}}
	m := NewImage(SegmentInfo{Identity: id, Number: 4, LastIndex: 10, LastTerm: 2}, State{Term: 2, Commit: 10})
	for i := range 3 {
		m.Entry(Entry{Term: 2, Index: core.Index(11 + i), Data: bytes.Repeat([]byte{byte(i)}, 100*i)})
	}
	m.State(State{Term: 2, Commit: 13})
	m.Seal()
	s, err := OpenSegment(m.Bytes())
	if err != nil || s.Number != 4 || s.LastIndex != 10 || s.Identity.Shard != 3 {
		t.Fatalf("%+v: %v", s, err)
	}
	kinds, prev := "", uint32(0)
	for at := int64(0); at < int64(len(m.Bytes())); {
		f, whole, err := s.Frame(at)
		if !whole || f.Prev != prev || f.Durable != at {
			t.Fatalf("byte %d: %+v: %v", at, f, err)
		}
		kinds += f.Kind() + " "
		prev, at = f.Sum, f.End
	}
	if kinds != "segment state entry entry entry state seal " {
		t.Error(kinds)
	}
	if entries := EntriesOf(m.Bytes()); len(entries) != 3 || Vouched(m.Bytes()) == 0 {
		t.Errorf("%d entries, vouched to %d", len(entries), Vouched(m.Bytes()))
	}
}

// No bytes make the reader of segments panic; frames do not overlap or run out
// of the image.
func FuzzSegment(f *testing.F) {
	m := NewImage(SegmentInfo{Identity: Identity{Voters: []uint64{1}}, Number: 1}, State{})
	m.Entry(Entry{Term: 1, Index: 1, Data: []byte("data")})
	m.Seal()
	f.Add(m.Bytes())
	f.Fuzz(func(t *testing.T, image []byte) {
		s, err := OpenSegment(image)
		if err != nil {
			s = Salted(Identity{}, 1, image)
		}
		for at, _, ok := s.Next(0); ok; at, _, ok = s.Next(at) {
			frame, whole, err := s.Frame(at)
			if whole != (err == nil) || whole && (frame.End <= at || frame.End > int64(len(image))) {
				t.Fatalf("byte %d: %+v, %v", at, frame, err)
			}
		}
	})
}
