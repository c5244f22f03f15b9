package wire

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
)

func drawBytes(t *rapid.T, name string, most int) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, most).Draw(t, name)
}

func drawCommand(t *rapid.T) core.Command {
	c := core.Command{
		Number:   core.CommandNumber(rapid.Uint64().Draw(t, "number")),
		Actor:    core.ActorID(rapid.StringN(0, 20, 249).Draw(t, "actor")),
		Kind:     core.CommandKind(rapid.Byte().Draw(t, "kind")),
		Expected: rapid.SampledFrom([]core.Seq{0, 1, 77, core.AnySeq, core.AnySeq - 1}).Draw(t, "expected"),
		Type:     rapid.StringN(0, 10, 48).Draw(t, "type"), Principal: core.Principal(rapid.StringN(0, 20, 255).Draw(t, "principal")),
		Payload: drawBytes(t, "payload", 40), Events: []core.NewEvent{},
	}
	c.AckedBelow = core.CommandNumber(rapid.Uint64Range(0, uint64(c.Number)).Draw(t, "acked"))
	copy(c.Session[:], drawBytes(t, "session", 16))
	for range rapid.IntRange(0, 3).Draw(t, "events") {
		c.Events = append(c.Events, core.NewEvent{Type: rapid.StringN(0, 10, 48).Draw(t, "event"), Version: rapid.Uint16().Draw(t, "version"),
			EventTime: core.Timestamp(rapid.Int64().Draw(t, "time")), Payload: drawBytes(t, "columns", 30), Personal: drawBytes(t, "personal", 30)})
	}
	return c
}

func drawAnswer(t *rapid.T) core.Answer {
	a := core.Answer{Number: core.CommandNumber(rapid.Uint64().Draw(t, "number")), Kind: core.CommandKind(rapid.Byte().Draw(t, "kind")),
		Status: core.Status(rapid.Byte().Draw(t, "status")), Code: core.Code(rapid.Uint16().Draw(t, "code")),
		Detail: rapid.StringN(0, 20, 200).Draw(t, "detail"), Seq: core.Seq(rapid.Uint64().Draw(t, "seq")),
		Count: uint32(rapid.IntRange(0, core.CommandEventsMax).Draw(t, "count")), Timestamp: core.Timestamp(rapid.Int64().Draw(t, "timestamp")),
		State: drawBytes(t, "state", 50)}
	copy(a.Session[:], drawBytes(t, "session", 16))
	return a
}

// drain reads a frame to its end.
func drain(frame []byte) (commands []core.Command, answers []core.Answer, err error) {
	r, err := Open(frame)
	if err != nil {
		return nil, nil, err
	}
	for r.Kind == Commands {
		var c core.Command
		if !r.Command(&c) {
			break
		}
		if c.Events == nil {
			c.Events = []core.NewEvent{}
		}
		commands = append(commands, c)
	}
	for r.Kind == Answers {
		var a core.Answer
		if !r.Answer(&a) {
			break
		}
		answers = append(answers, a)
	}
	return commands, answers, r.Err()
}

// What is written is read, in order; a frame cut anywhere, or with any bit
// flipped, is a bad one.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Writer
		var commands []core.Command
		var answers []core.Answer
		kind := rapid.SampledFrom([]Kind{Commands, Answers}).Draw(t, "of")
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			if kind == Commands {
				commands = append(commands, drawCommand(t))
				w.Command(&commands[len(commands)-1])
			} else {
				answers = append(answers, drawAnswer(t))
				w.Answer(&answers[len(answers)-1])
			}
		}
		if w.Count() != len(commands)+len(answers) {
			t.Fatalf("%d items counted", w.Count())
		}
		frame := w.Finish(kind)
		if w.Count() != 0 || w.Bytes() != 0 {
			t.Fatal("the writer is not empty")
		}
		gotCommands, gotAnswers, err := drain(frame)
		if err != nil || !reflect.DeepEqual(gotCommands, commands) || !reflect.DeepEqual(gotAnswers, answers) {
			t.Fatalf("%v\n%+v\n%+v\nwant\n%+v\n%+v", err, gotCommands, gotAnswers, commands, answers)
		}
		for n := range frame {
			if _, _, err := drain(frame[:n]); !errors.Is(err, ErrFrame) {
				t.Fatalf("cut to %d of %d bytes: %v", n, len(frame), err)
			}
		}
		for bit := range 8 * len(frame) {
			bad := slices.Clone(frame)
			bad[bit/8] ^= 1 << (bit % 8)
			if _, _, err := drain(bad); !errors.Is(err, ErrFrame) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit%8, bit/8, err)
			}
		}
		if _, _, err := drain(append(slices.Clone(frame), 0)); !errors.Is(err, ErrFrame) {
			t.Fatalf("a byte too many: %v", err)
		}
	})
}

// seal makes a frame of any body with a right checksum.
func sealed(kind Kind, items uint32, body []byte) []byte {
	w := Writer{buf: append(make([]byte, headerBytes), body...), count: items}
	return w.Finish(kind)
}

// Limits hold against a sender that computes right checksums.
func TestLimits(t *testing.T) {
	var one Writer
	one.Command(&core.Command{Number: 1, Actor: "cart/1", Kind: core.Append})
	body := one.Finish(Commands)[headerBytes:]
	events := append(slices.Clone(body[:len(body)-1]), 0x81, 0x80, 0x04) // 65,537 events
	acked := slices.Clone(body)
	acked[17] = 2 // acknowledged below −1
	for what, frame := range map[string][]byte{
		"items":      sealed(Commands, core.FrameCommandsMax+1, nil),
		"more items": sealed(Commands, 2, body),
		"left over":  sealed(Commands, 1, append(slices.Clone(body), 0)),
		"events":     sealed(Commands, 1, events),
		"acked":      sealed(Commands, 1, acked),
		"kind":       sealed(3, 1, body),
		"bytes":      sealed(Commands, 1, make([]byte, core.FrameBytesMax)),
	} {
		if _, _, err := drain(frame); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := drain(sealed(Answers, 0, nil)); err != nil {
		t.Errorf("an empty frame: %v", err)
	}
}

// A command that the door would refuse for its size fits the wire all the same.
func TestTextsAtTheirLimits(t *testing.T) {
	c := core.Command{Actor: core.ActorID(strings.Repeat("a", core.TypeNameBytesMax) + "/" + strings.Repeat("k", core.ActorKeyBytesMax)),
		Principal: core.Principal(strings.Repeat("p", core.PrincipalBytesMax)), Type: strings.Repeat("t", core.TypeNameBytesMax), Events: []core.NewEvent{}}
	var w Writer
	w.Command(&c)
	list, _, err := drain(w.Finish(Commands))
	if err != nil || len(list) != 1 || list[0].Actor != c.Actor || list[0].Principal != c.Principal || list[0].Type != c.Type {
		t.Errorf("%+v, %v", list, err)
	}
}

// A History answer's events read back, and cut anywhere they give an error or a
// shorter list that is right.
func TestEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []core.Event
		ends := map[int]int{0: 0}
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			e := core.Event{Actor: "cart/1", Seq: core.Seq(rapid.Uint64().Draw(t, "seq")), Type: rapid.StringN(0, 10, 48).Draw(t, "type"),
				Version: rapid.Uint16().Draw(t, "version"), EventTime: core.Timestamp(rapid.Int64().Draw(t, "time")),
				Committed: core.Timestamp(rapid.Int64().Draw(t, "committed")), Number: core.CommandNumber(rapid.Uint64().Draw(t, "number")),
				Principal: core.Principal(rapid.StringN(0, 10, 255).Draw(t, "principal")), Payload: drawBytes(t, "payload", 30), Personal: drawBytes(t, "personal", 9)}
			b = AppendEvent(b, &e)
			want = append(want, e)
			ends[len(b)] = len(want)
		}
		for n := 0; n <= len(b); n++ {
			got, err := DecodeEvents("cart/1", b[:n])
			k, whole := ends[n]
			if whole != (err == nil) || err == nil && !reflect.DeepEqual(append([]core.Event{}, got...), append([]core.Event{}, want[:k]...)) {
				t.Fatalf("%d of %d bytes: %+v, %v", n, len(b), got, err)
			}
		}
	})
	// A version that does not fit is no smaller one.
	if _, err := DecodeEvents("cart/1", append([]byte{1, 1, 'a', 0x80, 0x80, 0x04}, make([]byte, 30)...)); !errors.Is(err, ErrFrame) {
		t.Errorf("version 65536: %v", err)
	}
}

// Open and the reader take any bytes; what they accept is written back the same.
func FuzzFrame(f *testing.F) {
	var w Writer
	w.Command(&core.Command{Number: 3, AckedBelow: 2, Actor: "cart/1", Kind: core.Append, Expected: core.AnySeq,
		Events: []core.NewEvent{{Type: "added", Version: 1, Payload: []byte("x"), Personal: []byte("y")}}})
	f.Add(w.Finish(Commands), true)
	w.Answer(&core.Answer{Number: 3, Status: core.Refused, Code: core.CodeRule, Detail: "no"})
	f.Add(w.Finish(Answers), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, frame []byte, mend bool) {
		if mend && len(frame) >= headerBytes { // get past the checksum
			frame = sealed(Kind(frame[5]), uint32(frame[8]), frame[headerBytes:])
		}
		commands, answers, err := drain(frame)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		var again Writer
		for i := range commands {
			again.Command(&commands[i])
		}
		for i := range answers {
			again.Answer(&answers[i])
		}
		c, a, err := drain(again.Finish(Kind(frame[5])))
		if err != nil || !reflect.DeepEqual(c, commands) || !reflect.DeepEqual(a, answers) {
			t.Fatalf("written again: %v", err)
		}
	})
}

func benchCommand() core.Command {
	return core.Command{Session: core.SessionID{1}, Number: 1000, AckedBelow: 990, Actor: "cart/customer-000001", Kind: core.Decide,
		Expected: core.AnySeq, Type: "add", Principal: "spiffe://example.org/client", Payload: make([]byte, 100)}
}

func BenchmarkWriteCommand(b *testing.B) {
	c := benchCommand()
	var w Writer
	b.ReportAllocs()
	for b.Loop() {
		if w.Command(&c); w.Count() == 256 {
			w.Finish(Commands)
		}
	}
}

func BenchmarkReadCommand(b *testing.B) {
	c := benchCommand()
	var w Writer
	for range 256 {
		w.Command(&c)
	}
	frame := w.Finish(Commands)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 256 {
		r, err := Open(frame)
		if err != nil {
			b.Fatal(err)
		}
		for r.Command(&c) {
		}
	}
}

// The State of a History answer may be any bytes; what is accepted is written back
// the same.
func FuzzEvents(f *testing.F) {
	event := core.Event{Actor: "cart/1", Seq: 7, Type: "added", Version: 2, EventTime: -5, Committed: 9, Number: 3,
		Principal: "spiffe://example.org/client", Payload: []byte("x"), Personal: []byte("y")}
	f.Add(AppendEvent(AppendEvent(nil, &event), &event))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := DecodeEvents("cart/1", b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		for i := range events {
			again = AppendEvent(again, &events[i])
		}
		if back, err := DecodeEvents("cart/1", again); err != nil || !reflect.DeepEqual(back, events) {
			t.Fatalf("written again: %v", err)
		}
	})
}
