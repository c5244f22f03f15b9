package actor

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"actordb/core"
)

// twin is the table of sessions as plain maps.
type twin struct {
	floor   map[core.SessionID]core.CommandNumber
	answers map[core.SessionID]map[core.CommandNumber]Recorded
	ran     map[string]bool // durable executions, for ever
	limits  SessionLimits
}

func (w *twin) look(c *core.Command, digest uint64, now core.Timestamp) (Verdict, core.Code) {
	answers, known := w.answers[c.Session]
	expires := c.Session.Expires()
	kept := 0
	for n := range answers {
		if n >= c.AckedBelow {
			kept++
		}
	}
	r, answered := answers[c.Number]
	switch {
	case c.Number == 0:
		return Decline, core.CodeMalformed
	case !known && expires <= now:
		return Decline, core.CodeSessionExpired
	case !known && expires > now+core.SessionLifetimeMax:
		return Decline, core.CodeSessionTooLong
	case !known && len(w.answers) >= w.limits.Sessions:
		return Decline, core.CodeSessionsFull
	case known && c.Number < w.floor[c.Session]:
		return Decline, core.CodeBelowFloor
	case answered && r.Digest != digest:
		return Decline, core.CodeReused
	case answered:
		return Repeated, core.CodeNone
	case known && expires <= now:
		return Decline, core.CodeSessionExpired
	case known && kept >= w.limits.Window:
		return Decline, core.CodeWindowFull
	}
	return Run, core.CodeNone
}

type running struct {
	c core.Command
	r Recorded
}

// S1 to S4, against a plain model: commands repeated, reused, out of order, in
// flight and dropped; floors raised; sessions expiring; tables full.
func TestSessionsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := SessionLimits{Sessions: 3, Window: 4}
		table := NewSessions(limits)
		w := &twin{floor: map[core.SessionID]core.CommandNumber{}, answers: map[core.SessionID]map[core.CommandNumber]Recorded{},
			ran: map[string]bool{}, limits: limits}
		now := core.Timestamp(1000)
		var flying []running
		ids := make([]core.SessionID, 6)
		for i := range ids {
			ids[i] = core.NewSessionID(core.Timestamp(rapid.Int64Range(900, 1100).Draw(t, "expires")), uint64(i))
		}
		ids = append(ids, core.NewSessionID(now+2*core.SessionLifetimeMax, 7), core.NewSessionID(-5, 8))
		t.Repeat(map[string]func(*rapid.T){
			"command": func(t *rapid.T) {
				c := core.Command{Session: rapid.SampledFrom(ids).Draw(t, "session"), Number: core.CommandNumber(rapid.IntRange(0, 12).Draw(t, "number"))}
				c.AckedBelow = core.CommandNumber(rapid.Uint64Range(0, uint64(c.Number)).Draw(t, "acked"))
				digest := uint64(rapid.IntRange(0, 9).Draw(t, "digest") / 9)
				verdict, recorded, code := table.Look(&c, digest, now)
				wantVerdict, wantCode := w.look(&c, digest, now)
				if verdict != wantVerdict || code != wantCode {
					t.Fatalf("%s/%d acked %d at %d: %d %s, want %d %s", c.Session, c.Number, c.AckedBelow, now, verdict, code, wantVerdict, wantCode)
				}
				if verdict == Repeated && *recorded != w.answers[c.Session][c.Number] {
					t.Fatalf("%+v, want %+v", *recorded, w.answers[c.Session][c.Number])
				}
				if verdict != Run {
					return
				}
				if w.ran[fmt.Sprint(c.Session, c.Number)] {
					t.Fatalf("%s/%d runs again", c.Session, c.Number) // S1, S2, S3
				}
				r := Recorded{Number: c.Number, Digest: digest, Seq: core.Seq(now), Timestamp: now, Pending: true}
				s := table.Admit(c.Session)
				s.Record(&r)
				if w.answers[c.Session] == nil {
					w.answers[c.Session] = map[core.CommandNumber]Recorded{}
				}
				w.answers[c.Session][c.Number] = r
				flying = append(flying, running{c, r})
			},
			"apply": func(t *rapid.T) {
				if len(flying) == 0 {
					t.Skip("nothing in flight")
				}
				f := flying[0]
				flying = flying[1:]
				f.r.Pending = false
				w.ran[fmt.Sprint(f.c.Session, f.c.Number)] = true
				s := table.Get(f.c.Session)
				if s == nil {
					t.Skip("expired in flight")
				}
				s.Record(&f.r)
				s.Raise(f.c.AckedBelow)
				if f.c.Number >= w.floor[f.c.Session] {
					w.answers[f.c.Session][f.c.Number] = f.r
				}
				w.floor[f.c.Session] = max(w.floor[f.c.Session], f.c.AckedBelow)
				for n := range w.answers[f.c.Session] {
					if n < w.floor[f.c.Session] {
						delete(w.answers[f.c.Session], n)
					}
				}
			},
			"drop": func(t *rapid.T) {
				for _, f := range flying {
					if table.Get(f.c.Session) != nil {
						table.Forget(f.c.Session, f.c.Number)
						if w.answers[f.c.Session][f.c.Number].Pending {
							delete(w.answers[f.c.Session], f.c.Number)
						}
						if len(w.answers[f.c.Session]) == 0 && w.floor[f.c.Session] == 0 {
							delete(w.answers, f.c.Session)
						}
					}
				}
				flying = nil
			},
			"time": func(t *rapid.T) {
				now += core.Timestamp(rapid.IntRange(0, 40).Draw(t, "passes"))
				gone := map[core.SessionID]bool{}
				table.Expire(now, func(id core.SessionID) { gone[id] = true })
				for id := range w.answers {
					if expired := id.Expires() < now; expired != gone[id] {
						t.Fatalf("%s at %d: forgotten %v", id, now, gone[id])
					}
					if gone[id] {
						delete(w.answers, id)
						delete(w.floor, id)
					}
				}
			},
			"": func(t *rapid.T) {
				if table.Len() != len(w.answers) || table.Len() > limits.Sessions || len(table.expiry) != table.Len() {
					t.Fatalf("%d sessions, %d in the heap, want %d", table.Len(), len(table.expiry), len(w.answers))
				}
				for id, answers := range w.answers {
					s := table.Get(id)
					if s == nil || len(s.Answers) != len(answers) || s.Floor != w.floor[id] {
						t.Fatalf("%s: %+v, want %v above %d", id, s, answers, w.floor[id])
					}
					if len(s.Answers) > limits.Window+len(flying) {
						t.Fatalf("%s keeps %d answers", id, len(s.Answers))
					}
					for i, r := range s.Answers {
						if r != answers[r.Number] || i > 0 && r.Number <= s.Answers[i-1].Number || r.Number < s.Floor {
							t.Fatalf("%s: answer %+v, want %+v", id, r, answers[r.Number])
						}
					}
				}
			},
		})
	})
}

// A command of the same block that declares a number answered keeps it from being
// recorded below the floor, on leader and follower alike.
func TestNothingIsRecordedBelowTheFloor(t *testing.T) {
	s := &Session{}
	s.Record(&Recorded{Number: 1, Pending: true})
	s.Record(&Recorded{Number: 5})
	s.Raise(5)
	s.Record(&Recorded{Number: 1})
	if len(s.Answers) != 1 || s.Answers[0].Number != 5 {
		t.Errorf("%+v", s.Answers)
	}
}

func BenchmarkLookAndRecord(b *testing.B) {
	table := NewSessions(SessionLimits{Sessions: 1 << 10, Window: 1 << 10})
	id := core.NewSessionID(1e9, 1)
	s := table.Admit(id)
	c := core.Command{Session: id}
	b.ReportAllocs()
	for b.Loop() {
		c.Number++
		if c.Number > 100 {
			c.AckedBelow = c.Number - 100
		}
		if v, _, code := table.Look(&c, 1, 1); v != Run {
			b.Fatal(code)
		}
		s.Record(&Recorded{Number: c.Number, Digest: 1})
		s.Raise(c.AckedBelow)
	}
}
