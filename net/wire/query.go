package wire

import (
	"encoding/binary"
	"fmt"

	"actordb/core"
)

// Frames by which clients ask in SQL (package core/query). A client asks, its gateway
// says who it is, and the query process answers the client itself: with a stream of
// replies, numbered from 0, of which so many bytes may be under way as the client
// allows.
//
//	asks     [16] id  u8 op (1 run, 2 more, 3 cancel)  u node  u proc  s principal
//	         run:   u8 flags (1 batch)  z at least  z after  u window  b text
//	                u n, parameters: u8 1 and b text, or u8 0
//	         more:  u next  u window  u8 again
//	replies  [16] id  u number  u8 what (1 head, 2 rows, 3 step, 4 done, 5 error)
//	         head:  u n, columns: b name  s type
//	         rows:  z cut  b batch (package core/row)  b weights, or none
//	         step:  z cut
//	         done:  z cut  b tag  u rows
//	         error: s SQLSTATE  u position+1  u8 flags (1 resumable)  z cut  b message  b cure
//
// Replies of one frame may belong to several asks.

// Kinds of frames of SQL.
const (
	Asks    Kind = 10
	Replies Kind = 11
)

// An AskID names one statement that a client runs; the client draws it.
type AskID [16]byte

func (id AskID) String() string { return fmt.Sprintf("%x", id[:]) }

// AskOp is what an Ask wants.
type AskOp uint8

const (
	Run      AskOp = 1 + iota // a statement
	More                      // of its replies, beginning with Next
	Cancel                    // no more of them
	Describe                  // what a statement takes and returns: a head, and the end
)

// An Ask is a client's word about one statement.
type Ask struct {
	ID        AskID
	Op        AskOp
	Node      uint32 // where the client is: set by its gateway, as Principal is
	Proc      uint32
	Principal core.Principal

	Batch   bool           // Run: others go first; Describe is encoded as Run is
	AtLeast core.Timestamp // Run: a read token, or 0: the answer's cut is that or later
	Exact   bool           // Run, Describe: AtLeast is the answer's cut, and not only the least
	After   core.Timestamp // Run of SUBSCRIBE: the changes after this cut, or 0: all rows first
	Window  uint32         // Run, More: bytes of replies that may be under way
	Text    string         // Run
	Params  []Param        // Run

	Next  uint64 // More: the first reply not received; those before are used up
	Again bool   // More: what was sent from Next on is lost
}

// A Param is a parameter as text, or null.
type Param struct {
	Null bool
	Text string
}

// ReplyWhat says what a Reply brings.
type ReplyWhat uint8

const (
	ReplyHead  ReplyWhat = 1 + iota // the columns
	ReplyRows                       // some rows, or weighted changes
	ReplyStep                       // of a subscription: all rows up to the cut were sent
	ReplyDone                       // the end
	ReplyError                      // the end, too
)

// A Reply is a part of the answer to a statement.
type Reply struct {
	ID     AskID
	Number uint64
	What   ReplyWhat

	Columns []AnswerColumn // ReplyHead
	Params  []string       // ReplyHead, when asked to Describe: types
	Cut     core.Timestamp // all others
	Batch   []byte         // ReplyRows
	Weights []byte         // ReplyRows of a subscription
	Tag     string         // ReplyDone: the statement's name, as PostgreSQL has it
	Rows    uint64         // ReplyDone
	Error   QueryError     // ReplyError
}

// An AnswerColumn is a column of an answer.
type AnswerColumn struct {
	Name, Type string
}

// A QueryError declines a statement.
type QueryError struct {
	State     string // SQLSTATE
	Message   string
	Cure      string
	Position  int  // in the text, in bytes, or -1
	Resumable bool // of a subscription: it can go on after the reply's Cut
}

// Limits of these frames.
const (
	// ParamsMax is what PostgreSQL's protocol counts in 16 bits.
	ParamsMax = 65_535
	// columnsMax is PostgreSQL's limit of columns.
	columnsMax = 1_600
	// WindowMax bounds the bytes under way to one client for one statement.
	WindowMax = 64 << 20
)

// Ask adds an Ask to the frame.
func (w *Writer) Ask(a *Ask) {
	d := append(w.start(), a.ID[:]...)
	d = append(d, byte(a.Op))
	d = binary.AppendUvarint(d, uint64(a.Node))
	d = binary.AppendUvarint(d, uint64(a.Proc))
	d = appendText(d, string(a.Principal))
	switch a.Op {
	case Run, Describe:
		d = append(d, flag(a.Batch)|flag(a.Exact)<<1)
		d = binary.AppendVarint(d, int64(a.AtLeast))
		d = binary.AppendVarint(d, int64(a.After))
		d = binary.AppendUvarint(d, uint64(a.Window))
		d = appendString(d, a.Text)
		d = binary.AppendUvarint(d, uint64(len(a.Params)))
		for _, p := range a.Params {
			if d = append(d, flag(!p.Null)); !p.Null {
				d = appendString(d, p.Text)
			}
		}
	case More:
		d = binary.AppendUvarint(d, a.Next)
		d = binary.AppendUvarint(d, uint64(a.Window))
		d = append(d, flag(a.Again))
	}
	w.buf = d
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendString(d []byte, s string) []byte {
	return append(binary.AppendUvarint(d, uint64(len(s))), s...)
}

// Ask reads the next Ask into a. Its strings alias the frame.
func (r *Reader) Ask(a *Ask) bool {
	if !r.more() {
		return false
	}
	*a = Ask{Params: a.Params[:0]}
	copy(a.ID[:], r.take(16, "id"))
	a.Op = AskOp(r.byte("op"))
	a.Node, a.Proc = r.u32("node"), r.u32("process")
	a.Principal = core.Principal(r.text("principal"))
	switch a.Op {
	case Run, Describe:
		flags := r.byte("flags")
		if flags > 3 {
			r.fail("flags")
			return false
		}
		a.Batch, a.Exact = flags&1 != 0, flags&2 != 0
		a.AtLeast = core.Timestamp(r.varint("at least"))
		a.After = core.Timestamp(r.varint("after"))
		a.Window = r.window()
		a.Text = r.str("text")
		n := r.uvarint("parameters")
		if n > ParamsMax {
			r.fail(fmt.Sprintf("%d parameters, the limit is %d", n, ParamsMax))
			return false
		}
		for range n {
			p := Param{Null: !r.bool("parameter")}
			if !p.Null {
				p.Text = r.str("parameter")
			}
			if r.err != nil {
				return false
			}
			a.Params = append(a.Params, p)
		}
	case More:
		a.Next = r.uvarint("next")
		a.Window = r.window()
		a.Again = r.bool("again")
	case Cancel:
	default:
		r.fail("unknown op")
	}
	return r.err == nil
}

func (r *Reader) u32(what string) uint32 {
	n := r.uvarint(what)
	if n > 1<<32-1 {
		r.fail(what + " over 32 bits")
	}
	return uint32(n)
}

func (r *Reader) bool(what string) bool {
	b := r.byte(what)
	if b > 1 {
		r.fail(what + ": neither 0 nor 1")
	}
	return b == 1
}

func (r *Reader) window() uint32 {
	n := r.uvarint("window")
	if n > WindowMax {
		r.fail(fmt.Sprintf("a window of %d bytes, the limit is %d", n, WindowMax))
	}
	return uint32(n)
}

func (r *Reader) str(what string) string { return string(r.bytes(what)) }

// Reply adds a Reply to the frame.
func (w *Writer) Reply(p *Reply) {
	d := append(w.start(), p.ID[:]...)
	d = binary.AppendUvarint(d, p.Number)
	d = append(d, byte(p.What))
	if p.What == ReplyHead {
		d = binary.AppendUvarint(d, uint64(len(p.Columns)))
		for _, c := range p.Columns {
			d = appendText(appendString(d, c.Name), c.Type)
		}
		d = binary.AppendUvarint(d, uint64(len(p.Params)))
		for _, t := range p.Params {
			d = appendText(d, t)
		}
		w.buf = d
		return
	}
	if p.What == ReplyError {
		e := &p.Error
		d = appendText(d, e.State)
		d = binary.AppendUvarint(d, uint64(e.Position+1))
		d = append(d, flag(e.Resumable))
		d = binary.AppendVarint(d, int64(p.Cut))
		w.buf = appendString(appendString(d, e.Message), e.Cure)
		return
	}
	d = binary.AppendVarint(d, int64(p.Cut))
	switch p.What {
	case ReplyRows:
		d = appendBytes(appendBytes(d, p.Batch), p.Weights)
	case ReplyDone:
		d = binary.AppendUvarint(appendString(d, p.Tag), p.Rows)
	}
	w.buf = d
}

// Reply reads the next Reply into p. Its bytes alias the frame.
func (r *Reader) Reply(p *Reply) bool {
	if !r.more() {
		return false
	}
	*p = Reply{}
	copy(p.ID[:], r.take(16, "id"))
	p.Number = r.uvarint("number")
	switch p.What = ReplyWhat(r.byte("what")); p.What {
	case ReplyHead:
		n := r.uvarint("columns")
		if n > columnsMax {
			r.fail(fmt.Sprintf("%d columns, the limit is %d", n, columnsMax))
			return false
		}
		for range n {
			c := AnswerColumn{Name: r.str("column"), Type: string([]byte(r.text("type")))}
			if r.err != nil {
				return false
			}
			p.Columns = append(p.Columns, c)
		}
		if n = r.uvarint("parameters"); n > ParamsMax {
			r.fail(fmt.Sprintf("%d parameters, the limit is %d", n, ParamsMax))
			return false
		}
		for range n {
			t := string([]byte(r.text("type")))
			if r.err != nil {
				return false
			}
			p.Params = append(p.Params, t)
		}
	case ReplyRows:
		p.Cut = core.Timestamp(r.varint("cut"))
		p.Batch, p.Weights = r.bytes("batch"), r.bytes("weights")
	case ReplyStep:
		p.Cut = core.Timestamp(r.varint("cut"))
	case ReplyDone:
		p.Cut = core.Timestamp(r.varint("cut"))
		p.Tag, p.Rows = r.str("tag"), r.uvarint("rows")
	case ReplyError:
		e := &p.Error
		e.State = string([]byte(r.text("state")))
		at := r.uvarint("position")
		if at > core.FrameBytesMax {
			r.fail("position over the limit")
		}
		e.Position = int(at) - 1
		e.Resumable = r.bool("flags")
		p.Cut = core.Timestamp(r.varint("cut"))
		e.Message, e.Cure = r.str("message"), r.str("cure")
	default:
		r.fail("unknown reply")
	}
	return r.err == nil
}
