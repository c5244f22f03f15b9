package journal

import (
	"errors"
	"testing"

	"actordb/core"
	"actordb/disk"
)

func seedBlocks(f *testing.F) {
	f.Helper()
	fence, _ := EncodeEmpty(Header{Kind: Fence, Shard: 1, Raise: 2, Timestamp: 3})
	f.Add(fence)
	d := &draft{header: Header{Kind: Commands, Timestamp: 3},
		outcomes: []Outcome{{Number: 1, Actor: 1, Seq: 1, Count: 1}},
		events:   []core.Event{{Seq: 1, Type: "added", Version: 1, Payload: []byte("abc"), Personal: []byte("name")}},
		states:   []LightState{{Actor: 1, Seq: 1, State: []byte("state")}}}
	data, _ := d.build(NewBuilder(&testSalter))
	f.Add(data)
	f.Add(erase(data, 0))
	f.Add(data[:headerBytes])
	f.Add([]byte{})
}

// ParseBlock takes any bytes: it gives a block that can be walked, or says where
// it is malformed.
func FuzzParseBlock(f *testing.F) {
	seedBlocks(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBlock(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		b.Hash()
		for i := range b.Rows() {
			b.Event(i)
			b.Leaf(i)
		}
		for _, a := range b.Actors {
			b.FindActor(a.ID)
			b.LightStateOf(a.ID)
		}
	})
}

// ParseHeader agrees with ParseBlock and never panics.
func FuzzParseHeader(f *testing.F) {
	seedBlocks(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHeader(data)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if b, wrong := ParseBlock(data); wrong == nil && (err != nil || b.Header != h) {
			t.Fatalf("ParseBlock says %+v, ParseHeader %+v, %v", b.Header, h, err)
		}
	})
}

// Recovery takes any bytes for two segments: it opens with entries whose frames
// are sound, or says why not; and it opens again the same.
func FuzzRecovery(f *testing.F) {
	files, _, _ := specimen(f)
	one, two := files[segmentName(1)], files[segmentName(2)]
	f.Add(one, two)
	f.Add(one, []byte{})
	f.Add(one, two[:300])
	f.Add(one[:1000], []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		files := map[string][]byte{segmentName(1): one}
		if len(two) > 0 {
			files[segmentName(2)] = two
		}
		h := newHost(restore(t, files))
		if err := h.open(); err != nil {
			var d *Damage
			var p *disk.PathError
			if !errors.As(err, &d) && !errors.As(err, &p) && !errors.Is(err, ErrForeign) && err.Error() == "" {
				t.Fatal(err)
			}
			return
		}
		last := h.log.Last()
		for index := h.log.Floor() + 1; index <= last; index++ {
			if _, err := h.entry(index); err != nil {
				t.Fatalf("entry %d: %v", index, err)
			}
		}
		h.crash(true)
		if err := h.open(); err != nil || h.log.Last() != last {
			t.Fatalf("opened again: %d entries after %d, %v", h.log.Last(), last, err)
		}
	})
}
