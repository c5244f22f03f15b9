// Package proctest is the conformance suite of hosts: whoever runs processes
// (package proc) passes it. The simulator and the production host do.
//
// Each check's name begins with the promise that it holds.
package proctest

import (
	"errors"
	"fmt"
	"slices"

	"actordb/core/proc"
	"actordb/disk"
)

// T is what the suite needs of a *testing.T.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// A Host is one empty host with one node, under test. Processes have files and
// a KV of their own.
type Host interface {
	// Spawn starts a process whose peers see the given identity.
	Spawn(name, peer string, factory func(proc.Env) proc.Process) proc.Addr
	// Run lets the host work until finish was called (from within a Step) or the
	// node halted, and returns the fault of the halt. It fails the test if
	// neither happens.
	Run(finished func() bool) error
}

// A Check is one test of the suite.
type Check struct {
	Name string
	Run  func(t T, h Host)
}

// Checks lists the suite.
func Checks() []Check {
	return []Check{
		{"H1 the first input is Start, once", startsOnce},
		{"H2 a step's frames arrive in the order in which they were sent", framesInOrder},
		{"H3 every file operation completes once, in order by name", filesComplete},
		{"H3 every KV operation completes once, in order", kvCompletes},
		{"H4 a timer fires once, not before its time, and can be replaced and cancelled", timersHold},
		{"H6 a frame's peer is the identity of its sender", peersAreTrue},
		{"H7 monotonic time never goes back", timeGoesOn},
		{"H8 nothing is delivered after a halt, and the fault is reported", haltStops},
	}
}

// script is a process made of a function.
type script func(now proc.Now, in proc.Input, out *proc.Effects)

// Step implements proc.Process.
func (s script) Step(now proc.Now, in proc.Input, out *proc.Effects) { s(now, in, out) }

func plain(s script) func(proc.Env) proc.Process { return func(proc.Env) proc.Process { return s } }

func run(t T, h Host, finished func() bool) {
	t.Helper()
	if err := h.Run(finished); err != nil {
		t.Fatalf("the node halted: %v", err)
	}
}

func startsOnce(t T, h Host) {
	var kinds []proc.Kind
	done := NewSignal()
	h.Spawn("a", "a", plain(func(now proc.Now, in proc.Input, out *proc.Effects) {
		kinds = append(kinds, in.Kind)
		switch len(kinds) {
		case 1:
			out.SetTimer(1, now.Mono+1e6)
		case 2:
			done.Set()
		}
	}))
	run(t, h, done.IsSet)
	if !slices.Equal(kinds, []proc.Kind{proc.Start, proc.Timer}) {
		t.Errorf("inputs %v", kinds)
	}
}

func framesInOrder(t T, h Host) {
	const frames = 100
	var got []byte
	done := NewSignal()
	to := h.Spawn("receiver", "r", plain(func(_ proc.Now, in proc.Input, _ *proc.Effects) {
		if in.Kind == proc.Message {
			if got = append(got, in.Frame[0]); len(got) == frames {
				done.Set()
			}
		}
	}))
	h.Spawn("sender", "s", plain(func(_ proc.Now, in proc.Input, out *proc.Effects) {
		if in.Kind == proc.Start {
			for i := range frames {
				out.Send(to, []byte{byte(i)})
			}
		}
	}))
	run(t, h, done.IsSet)
	for i := range got {
		if got[i] != byte(i) {
			t.Fatalf("frame %d came as number %d: %v", got[i], i, got)
		}
	}
}

func filesComplete(t T, h Host) {
	const writes = 50
	names := []string{"a", "b", "c"}
	seen := make(map[proc.Token]int)
	last := make(map[string]proc.Token)
	created, left := 0, len(names)*writes
	done := NewSignal()
	h.Spawn("p", "p", plain(func(_ proc.Now, in proc.Input, out *proc.Effects) {
		switch {
		case in.Kind == proc.Start:
			for i, name := range names {
				out.File(proc.Token(i), disk.Op{Kind: disk.OpCreate, Name: name})
			}
		case in.Kind == proc.FileDone && in.File.Err != nil:
			t.Errorf("%s: %v", in.File.Kind, in.File.Err)
			done.Set()
		case in.Kind == proc.FileDone && in.File.Kind == disk.OpCreate:
			if created++; created == len(names) {
				for k := range writes {
					for i, name := range names {
						out.File(proc.Token(100*(i+1)+k), disk.Op{Kind: disk.OpWrite, Name: name, Offset: int64(k), Data: []byte{byte(k)}, Sync: k%10 == 0})
					}
				}
			}
		case in.Kind == proc.FileDone:
			seen[in.Token]++
			name := names[in.Token/100-1]
			if in.Token < last[name] {
				t.Errorf("%s: token %d completed after %d", name, in.Token, last[name])
			}
			last[name] = in.Token
			if left--; left == 0 {
				done.Set()
			}
		}
	}))
	run(t, h, done.IsSet)
	for token, n := range seen {
		if n != 1 {
			t.Errorf("token %d completed %d times", token, n)
		}
	}
}

func kvCompletes(t T, h Host) {
	const puts = 50
	var order []proc.Token
	done := NewSignal()
	h.Spawn("p", "p", plain(func(_ proc.Now, in proc.Input, out *proc.Effects) {
		switch in.Kind {
		case proc.Start:
			for k := range puts {
				b := &disk.Batch{}
				b.Put([]byte("key"), []byte{byte(k)})
				out.KV(proc.Token(2*k), disk.KVOp{Kind: disk.KVApply, Batch: b})
				out.KV(proc.Token(2*k+1), disk.KVOp{Kind: disk.KVGet, Lo: []byte("key")})
			}
		case proc.KVDone:
			if in.KV.Err != nil {
				t.Errorf("%s: %v", in.KV.Kind, in.KV.Err)
			}
			if in.KV.Kind == disk.KVGet && (!in.KV.Found || in.KV.Value[0] != byte(in.Token/2)) {
				t.Errorf("get %d sees %v", in.Token, in.KV.Value)
			}
			if order = append(order, in.Token); len(order) == 2*puts {
				done.Set()
			}
		}
	}))
	run(t, h, done.IsSet)
	for i, token := range order {
		if token != proc.Token(i) {
			t.Fatalf("completion %d is of token %d", i, token)
		}
	}
}

func timersHold(t T, h Host) {
	const ms = proc.Tick(1e6)
	var start proc.Tick
	fired := make(map[proc.TimerID]proc.Tick)
	done := NewSignal()
	h.Spawn("p", "p", plain(func(now proc.Now, in proc.Input, out *proc.Effects) {
		switch in.Kind {
		case proc.Start:
			start = now.Mono
			out.SetTimer(1, start+20*ms) // replaced by a later one
			out.SetTimer(1, start+40*ms)
			out.SetTimer(2, start+50*ms) // replaced by an earlier one
			out.SetTimer(2, start+10*ms)
			out.SetTimer(3, start+15*ms) // cancelled
			out.CancelTimer(3)
			out.SetTimer(4, start+80*ms) // the end
			out.SetTimer(5, start)       // due at once
		case proc.Timer:
			if _, twice := fired[in.Timer]; twice {
				t.Errorf("timer %d fired twice", in.Timer)
			}
			if fired[in.Timer] = now.Mono - start; in.Timer == 4 {
				done.Set()
			}
		}
	}))
	run(t, h, done.IsSet)
	for id, least := range map[proc.TimerID]proc.Tick{1: 40 * ms, 2: 10 * ms, 4: 80 * ms, 5: 0} {
		if at, ok := fired[id]; !ok || at < least {
			t.Errorf("timer %d fired: %t, after %d, want after %d", id, ok, at, least)
		}
	}
	if _, ok := fired[3]; ok {
		t.Errorf("a cancelled timer fired")
	}
}

func peersAreTrue(t T, h Host) {
	done := NewSignal()
	seen := make(map[string]proc.Addr)
	to := h.Spawn("receiver", "r", plain(func(_ proc.Now, in proc.Input, _ *proc.Effects) {
		if in.Kind == proc.Message {
			if seen[in.Peer] = in.From; len(seen) == 2 {
				done.Set()
			}
		}
	}))
	want := make(map[string]proc.Addr)
	for _, peer := range []string{"spiffe://a", "spiffe://b"} {
		want[peer] = h.Spawn(peer, peer, plain(func(_ proc.Now, in proc.Input, out *proc.Effects) {
			if in.Kind == proc.Start {
				out.Send(to, []byte("I am spiffe://root"))
			}
		}))
	}
	run(t, h, done.IsSet)
	for peer, addr := range want {
		if seen[peer] != addr {
			t.Errorf("%s came from %v, want %v", peer, seen[peer], addr)
		}
	}
}

func timeGoesOn(t T, h Host) {
	const steps = 200
	var last proc.Tick
	n := 0
	done := NewSignal()
	h.Spawn("p", "p", plain(func(now proc.Now, _ proc.Input, out *proc.Effects) {
		if now.Mono < last {
			t.Errorf("monotonic time %d after %d", now.Mono, last)
		}
		last = now.Mono
		if n++; n == steps {
			done.Set()
			return
		}
		out.SetTimer(1, now.Mono+10_000)
	}))
	run(t, h, done.IsSet)
}

func haltStops(t T, h Host) {
	fault := fmt.Errorf("the disk is gone")
	halted, after := false, 0
	h.Spawn("p", "p", plain(func(now proc.Now, _ proc.Input, out *proc.Effects) {
		if halted {
			after++
			return
		}
		halted = true
		out.SetTimer(1, now.Mono)
		out.SetTimer(2, now.Mono+1000)
		out.Halt(fault)
		out.Halt(fmt.Errorf("a consequence"))
	}))
	err := h.Run(func() bool { return false })
	if err == nil || !errors.Is(err, fault) {
		t.Errorf("the host reports %v, want %v", err, fault)
	}
	if after > 0 {
		t.Errorf("%d inputs after the halt", after)
	}
}
