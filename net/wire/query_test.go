package wire

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"actordb/core"
)

var someAsks = []Ask{
	{ID: AskID{1, 2}, Op: Run, Node: 7, Proc: 300, Principal: "alice", Batch: true, AtLeast: 5, After: -3, Window: 1 << 20, Text: "SELECT $1, $2",
		Params: []Param{{Text: "x"}, {Null: true}}},
	{ID: AskID{3}, Op: More, Next: 9, Window: 4096, Again: true},
	{ID: AskID{3}, Op: Cancel},
	{ID: AskID{4}, Op: Run},
	{ID: AskID{5}, Op: Describe, AtLeast: 9, Exact: true, Text: "SELECT 1"},
}

var someReplies = []Reply{
	{ID: AskID{1}, What: ReplyHead, Columns: []AnswerColumn{{"item", "text"}, {"n", "int8"}}},
	{ID: AskID{1}, Number: 1, What: ReplyRows, Cut: 77, Batch: []byte("rows"), Weights: []byte{}},
	{ID: AskID{1}, Number: 2, What: ReplyRows, Cut: 77, Batch: []byte{}, Weights: []byte("w")},
	{ID: AskID{1}, Number: 3, What: ReplyStep, Cut: 78},
	{ID: AskID{1}, Number: 4, What: ReplyDone, Cut: 79, Tag: "SELECT", Rows: 300},
	{ID: AskID{2}, What: ReplyError, Cut: -1, Error: QueryError{State: "42703", Message: "no such column", Cure: "name another", Position: 12, Resumable: true}},
	{ID: AskID{2}, What: ReplyError, Error: QueryError{State: "XX000", Position: -1}},
	{ID: AskID{1}, What: ReplyHead, Columns: []AnswerColumn{{"item", "text"}}, Params: []string{"int8", "text[]"}},
}

func askFrame() []byte {
	var w Writer
	for i := range someAsks {
		w.Ask(&someAsks[i])
	}
	return w.Finish(Asks)
}

func replyFrame() []byte {
	var w Writer
	for i := range someReplies {
		w.Reply(&someReplies[i])
	}
	return w.Finish(Replies)
}

// Statements and replies are read as they were written.
func TestQueryFrames(t *testing.T) {
	r, err := Open(askFrame())
	var a Ask
	for _, want := range someAsks {
		if !r.Ask(&a) {
			t.Fatal(err, r.Err())
		}
		if len(a.Params) == 0 {
			a.Params = nil
		}
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%+v, want %+v", a, want)
		}
	}
	if r.Ask(&a) || r.Err() != nil {
		t.Fatal("more asks, or ", r.Err())
	}
	r, err = Open(replyFrame())
	var p Reply
	for _, want := range someReplies {
		if !r.Reply(&p) {
			t.Fatal(err, r.Err())
		}
		if !reflect.DeepEqual(p, want) {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
	if r.Reply(&p) || r.Err() != nil {
		t.Fatal("more replies, or ", r.Err())
	}
}

// The bytes are those of docs/formats.md.
func TestQueryBytes(t *testing.T) {
	var w Writer
	w.Ask(&someAsks[0])
	const ask = "01020000000000000000000000000000" + "01" + "07" + "ac02" + "05616c696365" + "01" + "0a" + "05" + "808040" + "0d53454c4543542024312c202432" + "02" + "010178" + "00"
	if got := hex.EncodeToString(w.Finish(Asks)[headerBytes:]); got != ask {
		t.Errorf("an ask is\n%s, want\n%s", got, ask)
	}
	w.Reply(&someReplies[1])
	w.Reply(&someReplies[4])
	const reply = "01000000000000000000000000000000" + "01" + "02" + "9a01" + "04726f7773" + "00" +
		"01000000000000000000000000000000" + "04" + "04" + "9e01" + "0653454c454354" + "ac02"
	if got := hex.EncodeToString(w.Finish(Replies)[headerBytes:]); got != reply {
		t.Errorf("replies are\n%s, want\n%s", got, reply)
	}
}

// What exceeds a limit is refused, and says which.
func TestQueryLimits(t *testing.T) {
	for what, a := range map[string]Ask{
		"window of":  {Op: More, Window: WindowMax + 1},
		"parameters": {Op: Run, Params: make([]Param, ParamsMax+1)},
		"unknown op": {Op: 9},
	} {
		var w Writer
		w.Ask(&a)
		r, err := Open(w.Finish(Asks))
		if err != nil || r.Ask(&a) || !errors.Is(r.Err(), ErrFrame) || !strings.Contains(r.Err().Error(), what) {
			t.Errorf("%s: %v, %v", what, err, r.Err())
		}
	}
	var w Writer
	w.Reply(&Reply{What: ReplyHead, Columns: make([]AnswerColumn, columnsMax+1)})
	r, _ := Open(w.Finish(Replies))
	if r.Reply(new(Reply)) || !strings.Contains(r.Err().Error(), "columns, the limit is 1600") {
		t.Error(r.Err())
	}
}

// Whatever a sealed frame holds, reading it gives what was written or an error.
func FuzzQuery(f *testing.F) {
	f.Add(askFrame()[headerBytes:], byte(Asks), uint32(len(someAsks)))
	f.Add(replyFrame()[headerBytes:], byte(Replies), uint32(len(someReplies)))
	f.Fuzz(func(t *testing.T, body []byte, kind byte, items uint32) {
		r, err := Open(sealed(Kind(kind), items, body))
		if err != nil {
			return
		}
		var a Ask
		var p Reply
		var w Writer
		switch r.Kind {
		case Asks:
			for r.Ask(&a) {
				w.Ask(&a)
			}
		case Replies:
			for r.Reply(&p) {
				w.Reply(&p)
			}
		default:
			return
		}
		if r.Err() != nil {
			if !errors.Is(r.Err(), ErrFrame) {
				t.Fatal(r.Err())
			}
			return
		}
		if n := w.Count(); n != int(min(items, core.FrameCommandsMax)) {
			t.Fatalf("%d items of %d", n, items)
		}
	})
}
