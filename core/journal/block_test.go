package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/seal"
)

var testSalter = seal.Salter{Secret: [32]byte{1, 2, 3}}

// A draft is a block as it was asked for, kept plainly.
type draft struct {
	header   Header
	outcomes []Outcome
	events   []core.Event
	states   []LightState
	note     []byte
}

// build makes a block from a draft in the manner of a shard.
func (d *draft) build(b *Builder) ([]byte, seal.Hash) {
	b.Start(d.header)
	sessions, actors := map[core.SessionID]int{}, map[core.ActorID]int{}
	next := 0
	for i := range d.outcomes {
		o := &d.outcomes[i]
		id := core.ActorID(fmt.Sprintf("cart/%d", o.Actor))
		a, ok := actors[id]
		if !ok {
			a = b.Actor(id, core.Index(o.Actor+5), o.Seq-core.Seq(o.rows())+1)
			actors[id] = a
		}
		for range o.rows() {
			e := &d.events[next]
			b.Event(a, e.Seq, &core.NewEvent{Type: e.Type, Version: e.Version, EventTime: e.EventTime, Payload: e.Payload, Personal: e.Personal})
			next++
		}
		s, ok := sessions[o.Session]
		if !ok {
			s = b.Session(o.Session)
			sessions[o.Session] = s
		}
		b.Outcome(s, a, o)
	}
	if d.header.Kind.Moves() {
		b.Note(d.note)
	}
	for _, s := range d.states {
		b.State(actors[core.ActorID(fmt.Sprintf("cart/%d", s.Actor))], s.Seq, s.State)
	}
	return b.Finish()
}

func drawDraft(t *rapid.T) *draft {
	u64 := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
	some := func(name string, most int) []byte { return rapid.SliceOfN(rapid.Byte(), 0, most).Draw(t, name) }
	d := &draft{header: Header{Kind: Commands, Shard: core.ShardID(u64("shard")), Term: core.Term(u64("term")),
		SlotEpoch: core.Epoch(u64("slot")), PolicyEpoch: core.Epoch(u64("policy")), Catalog: core.Epoch(u64("catalog")),
		Timestamp: core.Timestamp(rapid.Int64Range(1, 1<<62).Draw(t, "timestamp"))}}
	copy(d.header.Extends[:], some("extends", 32))
	if d.header.Version = core.Version(rapid.IntRange(1, 2).Draw(t, "version")); d.header.Version == 2 {
		d.header.Decider = rapid.Uint64Min(1).Draw(t, "decider")
		d.header.Wall = core.Timestamp(rapid.Int64Range(0, int64(d.header.Timestamp)).Draw(t, "wall"))
	}
	moved := rapid.IntRange(0, 3).Draw(t, "moved") == 0
	if moved {
		d.header.Kind, d.note = Import, some("note", 40)
	}
	seqs := map[int]core.Seq{}
	touched := map[int]bool{}
	for range rapid.IntRange(0, 6).Draw(t, "outcomes") {
		a := rapid.IntRange(0, 3).Draw(t, "actor")
		o := Outcome{Actor: a, Number: core.CommandNumber(u64("number")), Digest: u64("digest"),
			Principal: core.Principal(rapid.StringN(0, 20, 255).Draw(t, "principal")), Committed: d.header.Timestamp}
		if moved {
			o.Committed -= core.Timestamp(rapid.Int64Range(0, int64(d.header.Timestamp)).Draw(t, "age"))
		}
		o.AckedBelow = core.CommandNumber(rapid.Uint64Range(0, uint64(o.Number)).Draw(t, "acked"))
		copy(o.Session[:], some("session", 16))
		if _, ok := seqs[a]; !ok {
			seqs[a] = core.Seq(rapid.Uint64Range(0, 1<<40).Draw(t, "seq"))
		}
		if rapid.Bool().Draw(t, "refused") {
			o.Code, o.Detail = core.Code(rapid.Uint16Range(1, 65535).Draw(t, "code")), rapid.StringN(0, 50, 200).Draw(t, "detail")
			o.Seq = seqs[a]
			if !touched[a] {
				// The first outcome of an actor gives the footer its First.
				touched[a] = true
			}
		} else if moved && !touched[a] && rapid.Bool().Draw(t, "bare") {
			// The events before those that the block holds are there already.
			o.Bare, o.Count, o.Seq = true, uint32(min(3, seqs[a])), seqs[a]
		} else {
			o.Count = uint32(rapid.IntRange(0, 3).Draw(t, "events"))
			touched[a] = true
			for range o.Count {
				seqs[a]++
				d.events = append(d.events, core.Event{Actor: core.ActorID(fmt.Sprintf("cart/%d", a)), Seq: seqs[a],
					Type: rapid.SampledFrom([]string{"added", "removed", "paid"}).Draw(t, "type"), Version: rapid.Uint16Range(1, 65535).Draw(t, "version"),
					EventTime: core.Timestamp(rapid.Int64().Draw(t, "time")), Committed: o.Committed,
					Session: o.Session, Number: o.Number, Principal: o.Principal,
					Payload: some("payload", 40), Personal: some("personal", 20)})
			}
			o.Seq = seqs[a]
		}
		d.outcomes = append(d.outcomes, o)
	}
	for a := 0; a < 4; a++ {
		if !moved && touched[a] && rapid.Bool().Draw(t, "light") {
			d.states = append(d.states, LightState{Actor: a, Seq: seqs[a], State: some("state", 30)})
		}
	}
	return d
}

func parseOrFatal(t *rapid.T, data []byte) *Block {
	b, err := ParseBlock(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameBlock compares a parsed block with its draft.
func (d *draft) check(t *rapid.T, b *Block) {
	if b.Header != d.header {
		t.Fatalf("header %+v, want %+v", b.Header, d.header)
	}
	if len(b.Outcomes) != len(d.outcomes) || len(b.Rows()) != len(d.events) || len(b.States()) != len(d.states) {
		t.Fatalf("%d outcomes, %d events, %d states", len(b.Outcomes), len(b.Rows()), len(b.States()))
	}
	if !bytes.Equal(b.Note(), d.note) {
		t.Fatalf("note %x, want %x", b.Note(), d.note)
	}
	for i, o := range b.Outcomes {
		want := d.outcomes[i]
		if b.Actors[o.Actor].ID != core.ActorID(fmt.Sprintf("cart/%d", want.Actor)) {
			t.Fatalf("outcome %d of %s", i, b.Actors[o.Actor].ID)
		}
		o.Actor = want.Actor
		if !reflect.DeepEqual(o, want) {
			t.Fatalf("outcome %+v, want %+v", o, want)
		}
	}
	for i, want := range d.events {
		got := b.Event(i)
		if !bytes.Equal(got.Payload, want.Payload) || !bytes.Equal(got.Personal, want.Personal) {
			t.Fatalf("event %d: %x %x, want %x %x", i, got.Payload, got.Personal, want.Payload, want.Personal)
		}
		got.Payload, got.Personal, want.Payload, want.Personal = nil, nil, nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("event %+v, want %+v", got, want)
		}
		entry, ok := b.FindActor(want.Actor)
		if !ok || !slices.Contains(entry.Rows, uint32(i)) || entry.First+core.Seq(slices.Index(entry.Rows, uint32(i))) != want.Seq {
			t.Fatalf("event %d is not indexed under %s: %+v", i, want.Actor, entry)
		}
	}
	for _, want := range d.states {
		got, ok := b.LightStateOf(core.ActorID(fmt.Sprintf("cart/%d", want.Actor)))
		if !ok || got.Seq != want.Seq || !bytes.Equal(got.State, want.State) {
			t.Fatalf("state of %d: %+v, want %+v", want.Actor, got, want)
		}
	}
}

// A block reads back as it was built, and its hash is the builder's.
func TestBlockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuilder(&testSalter)
		for range rapid.IntRange(1, 3).Draw(t, "blocks") { // a builder is reused
			d := drawDraft(t)
			data, hash := d.build(b)
			block := parseOrFatal(t, data)
			d.check(t, block)
			if block.Hash() != hash {
				t.Fatal("the parsed block hashes otherwise")
			}
			if len(data) > b.Bytes()+64+len(d.outcomes)*300 {
				t.Fatalf("Bytes says %d of %d", b.Bytes(), len(data))
			}
			h, err := ParseHeader(data)
			if err != nil || h != d.header {
				t.Fatalf("header %+v, %v", h, err)
			}
		}
	})
}

// erase blots out the personal columns of one event as the format says, without
// the help of the parser's code.
func erase(data []byte, ordinal int) []byte {
	at := headerBytes
	for i := range 4 {
		at += int(binary.LittleEndian.Uint32(data[20+4*i:]))
	}
	out := slices.Clone(data[:at])
	size := 0
	for at < len(data) {
		o, n := binary.Uvarint(data[at:])
		length, m := binary.Uvarint(data[at+n+1+16:])
		end := at + n + 1 + 16 + m + int(length)
		record := data[at:end]
		if int(o) == ordinal {
			record = append(binary.AppendUvarint(nil, o), append([]byte{1}, make([]byte, 17)...)...)
		}
		out = append(out, record...)
		size += len(record)
		at = end
	}
	binary.LittleEndian.PutUint32(out[36:], uint32(size))
	return out
}

// Erasing personal columns changes no leaf and no hash, and leaves nothing.
func TestErasure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t)
		data, hash := d.build(NewBuilder(&testSalter))
		whole := parseOrFatal(t, data)
		for i, e := range d.events {
			if len(e.Personal) == 0 {
				continue
			}
			cut := erase(data, i)
			b := parseOrFatal(t, cut)
			if b.Hash() != hash || b.Leaf(i) != whole.Leaf(i) {
				t.Fatal("erasing changed a hash")
			}
			if row := b.Rows()[i]; !row.Erased || len(row.Personal) > 0 || !row.Committed {
				t.Fatalf("erased row: %+v", row)
			}
			if len(e.Personal) >= 8 && bytes.Contains(cut[len(cut)-int(binary.LittleEndian.Uint32(cut[36:])):], e.Personal) {
				t.Fatal("the bytes are still there")
			}
		}
	})
}

// What says that it is erased holds nothing, and what has a commitment says what
// became of its columns.
func TestPersonalColumnsMustAddUp(t *testing.T) {
	b := NewBuilder(&testSalter)
	b.Start(Header{Kind: Commands, Timestamp: 5})
	a := b.Actor("cart/1", 0, 1)
	b.Event(a, 1, &core.NewEvent{Type: "added", Version: 1, Payload: []byte("plain"), Personal: []byte("secret")})
	b.Outcome(b.Session(core.SessionID{1}), a, &Outcome{Number: 1, Seq: 1, Count: 1})
	data, _ := b.Finish()
	personal := int(binary.LittleEndian.Uint32(data[36:]))
	start := len(data) - personal
	flagged := slices.Clone(data)
	flagged[start+1] = 1
	dropped := slices.Clone(data[:start])
	binary.LittleEndian.PutUint32(dropped[36:], 0)
	salted := erase(data, 0)
	salted[len(salted)-2] = 1
	twice := append(slices.Clone(data), data[start:]...)
	binary.LittleEndian.PutUint32(twice[36:], uint32(2*personal))
	for what, bad := range map[string][]byte{"flagged": flagged, "dropped": dropped, "salt kept": salted, "twice": twice} {
		if _, err := ParseBlock(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Salts are never used twice: not in a block decided again on the same chain, not
// in another shard.
func TestSaltsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, h := range []Header{{}, {Shard: 1}, {Term: 1}, {Timestamp: 1}, {SlotEpoch: 1}, {Extends: seal.Hash{1}}} {
		h.Kind = Commands
		b := NewBuilder(&testSalter)
		b.Start(h)
		a := b.Actor("cart/1", 0, 1)
		for i := core.Seq(1); i < 3; i++ {
			b.Event(a, i, &core.NewEvent{Type: "added", Version: 1, Personal: []byte("x")})
		}
		for i := range 2 {
			salt := b.personal[i*20+2 : i*20+18]
			if at, ok := seen[string(salt)]; ok {
				t.Errorf("event %d of %+v has the salt of %s", i, h, at)
			}
			seen[string(salt)] = fmt.Sprintf("event %d of %+v", i, h)
		}
	}
}

// Every flipped bit of a block changes its hash or makes it malformed, but in the
// personal section, where every flip is malformed.
func TestEveryBitOfABlock(t *testing.T) {
	d := &draft{header: Header{Kind: Commands, Shard: 1, Term: 2, Timestamp: 3},
		outcomes: []Outcome{{Number: 1, Actor: 1, Seq: 2, Count: 2, Principal: "p", Session: core.SessionID{1}},
			{Number: 2, AckedBelow: 1, Actor: 2, Seq: 9, Code: core.CodeRule, Detail: "no", Session: core.SessionID{1}}},
		events: []core.Event{{Seq: 1, Type: "added", Version: 1, Payload: []byte("abc"), Personal: []byte("name")},
			{Seq: 2, Type: "paid", Version: 2, Payload: []byte("de")}},
		states: []LightState{{Actor: 1, Seq: 2, State: []byte("state")}},
	}
	data, hash := d.build(NewBuilder(&testSalter))
	for bit := range 8 * len(data) {
		bad := slices.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		b, err := ParseBlock(bad)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("byte %d: %v", bit/8, err)
			}
			continue
		}
		if b.Hash() == hash {
			t.Errorf("bit %d of byte %d: nobody notices", bit%8, bit/8)
		}
	}
	for n := range data {
		if _, err := ParseBlock(data[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// A fence raises an epoch and does nothing else.
func TestFence(t *testing.T) {
	want := Header{Version: 1, Kind: Fence, Shard: 3, Extends: seal.Hash{9}, Term: 4, SlotEpoch: 5, Raise: 6, Timestamp: 7}
	data, hash := EncodeEmpty(want)
	b, err := ParseBlock(data)
	if err != nil || b.Header != want || b.Hash() != hash {
		t.Fatalf("%+v, %v", b, err)
	}
	d := &draft{header: want, outcomes: []Outcome{{Number: 1}}}
	if data, _ = d.build(NewBuilder(&testSalter)); data != nil {
		if _, err := ParseBlock(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("a fence with an outcome: %v", err)
		}
	}
}

// A block of version 2 says who decided it and when by its clock, one of version 1 has no
// place for that; an upgrade is written in the version that it raises to.
func TestBlockVersions(t *testing.T) {
	two := Header{Version: 2, Kind: Upgrade, Shard: 3, Term: 4, Raise: 2, Timestamp: 7, Decider: 9, Wall: 5}
	data, hash := EncodeEmpty(two)
	if b, err := ParseBlock(data); err != nil || b.Header != two || b.Hash() != hash {
		t.Fatalf("%+v, %v", b, err)
	}
	for name, spoil := range map[string]func(h *Header){
		"nobody decided it":          func(h *Header) { h.Decider = 0 },
		"a clock ahead":              func(h *Header) { h.Wall = 8 },
		"an upgrade to another one":  func(h *Header) { h.Raise = 3 },
		"an upgrade of version 1":    func(h *Header) { h.Version, h.Raise = 1, 1 },
		"a version of a later day":   func(h *Header) { h.Version, h.Raise = core.VersionMax+1, core.Epoch(core.VersionMax)+1 },
		"a kind that there is not":   func(h *Header) { h.Kind = Upgrade + 1 },
		"a fence that nobody raised": func(h *Header) { h.Kind, h.Decider = Fence, 0 },
	} {
		h := two
		spoil(&h)
		data, _ := EncodeEmpty(h)
		_, err := ParseBlock(data)
		var future *core.VersionError
		if !errors.Is(err, ErrMalformed) || errors.As(err, &future) != (h.Version > core.VersionMax) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
