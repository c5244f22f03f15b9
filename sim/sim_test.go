package sim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/disk"

	"pgregory.net/rapid"
)

// stepFunc is a process made of one function.
type stepFunc func(now proc.Now, in proc.Input, out *proc.Effects)

func (f stepFunc) Step(now proc.Now, in proc.Input, out *proc.Effects) { f(now, in, out) }

func always(f stepFunc) func(proc.Env) proc.Process {
	return func(proc.Env) proc.Process { return f }
}

// gossip sends a frame to a random peer on every input and now and then sets,
// moves and cancels timers, so that every part of the scheduler has work.
type gossip struct {
	env   proc.Env
	peers *[]proc.Addr
	got   uint64
}

func (g *gossip) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind == proc.FileDone && in.File.Err != nil {
		out.Halt(in.File.Err)
	}
	g.got++
	frame := binary.LittleEndian.AppendUint64(nil, g.got)
	switch in.Kind {
	case proc.Start, proc.Timer:
		out.SetTimer(1, now.Mono+proc.Tick(g.env.Rand.IntN(int(time.Millisecond))))
		out.Send((*g.peers)[g.env.Rand.IntN(len(*g.peers))], frame)
	case proc.Message:
		if g.env.Rand.IntN(4) == 0 {
			out.Send(in.From, frame)
		}
		if g.env.Rand.IntN(4) == 0 {
			out.SetTimer(2, now.Mono+proc.Tick(time.Millisecond))
		}
		if g.env.Rand.IntN(8) == 0 {
			out.CancelTimer(2)
		}
		out.File(proc.Token(g.got), disk.Op{Kind: disk.OpWrite, Name: string(rune('a' + g.got%3)), Data: frame})
		out.KV(proc.Token(g.got), disk.KVOp{Kind: disk.KVGet, Lo: frame})
	}
}

// slowFiles completes operations after a random time with their ticket as size.
type slowFiles struct {
	rng    *rand.Rand
	ticket uint64
	done   []uint64
	live   map[uint64]bool
}

func (s *slowFiles) submit() (uint64, time.Duration) {
	s.ticket++
	if s.live == nil {
		s.live = map[uint64]bool{}
	}
	s.live[s.ticket] = true
	return s.ticket, time.Duration(s.rng.IntN(int(300 * time.Microsecond)))
}

func (s *slowFiles) complete(ticket uint64) {
	if !s.live[ticket] {
		panic("completed twice, or after a crash")
	}
	delete(s.live, ticket)
	s.done = append(s.done, ticket)
}

func (s *slowFiles) Crash(bool) { clear(s.live) }

func (s *slowFiles) Submit(disk.Op) (uint64, time.Duration) { return s.submit() }
func (s *slowFiles) Complete(t uint64) disk.Result {
	s.complete(t)
	return disk.Result{Kind: disk.OpWrite, Size: int64(t)}
}

type slowKV struct{ slowFiles }

func (s *slowKV) Submit(disk.KVOp) (uint64, time.Duration) { return s.submit() }
func (s *slowKV) Complete(t uint64) disk.KVResult {
	s.complete(t)
	return disk.KVResult{Kind: disk.KVGet, Value: binary.LittleEndian.AppendUint64(nil, t)}
}

// shaky delays, loses, repeats, truncates and breaks.
type shaky struct{ rng *rand.Rand }

func (s shaky) Route(_ time.Duration, _, _ proc.Addr, size int, dst []Delivery) []Delivery {
	d := Delivery{Outcome: Whole, Delay: time.Duration(100_000 + s.rng.IntN(400_000))}
	switch s.rng.IntN(40) {
	case 0:
		return dst
	case 1:
		return append(dst, d, d)
	case 2:
		return append(dst, Delivery{Outcome: Part, Keep: size / 2, Delay: d.Delay}, Delivery{Outcome: ResetReceiver, Delay: d.Delay + 1})
	case 3:
		return append(dst, Delivery{Outcome: Break}, Delivery{Outcome: ResetSender, Delay: 1000}, Delivery{Outcome: ResetReceiver, Delay: 1000})
	}
	d.Ordered = s.rng.IntN(2) == 0
	return append(dst, d)
}

// stormy is a world in which everything happens. It runs for 50 ms.
func stormy(t testing.TB, cfg Config) *World {
	cfg.Network = shaky{Stream(cfg.Seed, "net")}
	w := New(cfg)
	peers := new([]proc.Addr)
	for i := range 5 {
		id := w.AddNode(ClockConfig{DriftPPM: int64(i*100 - 200), Offset: time.Duration(i) * time.Second})
		for j := range 2 {
			name := fmt.Sprintf("g%d.%d", i, j)
			st := Storage{
				Files: &slowFiles{rng: Stream(cfg.Seed, "files/"+name)},
				KV:    &slowKV{slowFiles{rng: Stream(cfg.Seed, "kv/"+name)}},
			}
			*peers = append(*peers, w.Spawn(id, name, "spiffe://test/"+name, st, func(env proc.Env) proc.Process {
				return &gossip{env: env, peers: peers}
			}))
		}
	}
	ms := time.Millisecond
	w.At(5*ms, "pause", func() { w.Pause(1, 9*ms) })
	w.At(6*ms, "crash", func() { w.Crash(2, false) })
	w.At(7*ms, "crash of a paused process", func() { w.CrashProc((*peers)[0]) })
	w.At(8*ms, "restart", func() { w.Restart(2); w.RestartProc((*peers)[0]) })
	w.At(10*ms, "power", func() { w.Crash(3, true); w.SetClockRate(4, 50_000) })
	w.At(11*ms, "jump", func() { w.JumpWall(4, -time.Hour); w.FreezeWall(5) })
	w.At(12*ms, "long pause", func() { w.Pause(5, time.Second) })
	w.At(20*ms, "heal", w.Heal)
	if err := w.Run(50 * ms); err != nil {
		t.Fatal(err)
	}
	return w
}

func strategies() []Strategy {
	return []Strategy{{Kind: Time}, {Kind: Random}, {Kind: PCT, Depth: 5, Steps: 2000}}
}

// S1: one seed, one trace.
func TestSameSeedSameTrace(t *testing.T) {
	for _, s := range strategies() {
		want := stormy(t, Config{Seed: 7, Strategy: s})
		if want.Steps() < 1000 {
			t.Fatalf("%v: only %d steps", s.Kind, want.Steps())
		}
		for _, procs := range []int{1, 2, runtime.GOMAXPROCS(0)} {
			old := runtime.GOMAXPROCS(procs)
			got := stormy(t, Config{Seed: 7, Strategy: s, Record: true, Trace: func(string) {}})
			runtime.GOMAXPROCS(old)
			if got.TraceHash() != want.TraceHash() || got.Steps() != want.Steps() {
				t.Fatalf("%v: trace %s after %d steps, then %s after %d", s.Kind, want.TraceHash(), want.Steps(), got.TraceHash(), got.Steps())
			}
		}
		if other := stormy(t, Config{Seed: 8, Strategy: s}); other.TraceHash() == want.TraceHash() {
			t.Fatalf("%v: seeds 7 and 8 have one trace", s.Kind)
		}
	}
}

// S1: strategies differ, or else there is only one.
func TestStrategiesDiffer(t *testing.T) {
	seen := map[string]StrategyKind{}
	for _, s := range strategies() {
		h := stormy(t, Config{Seed: 7, Strategy: s}).TraceHash()
		if other, ok := seen[h]; ok {
			t.Fatalf("%v and %v have the trace %s", s.Kind, other, h)
		}
		seen[h] = s.Kind
		if k, err := ParseStrategy(s.Kind.String()); err != nil || k != s.Kind {
			t.Fatalf("%v parses as %v, %v", s.Kind, k, err)
		}
	}
	if _, err := ParseStrategy("luck"); err == nil {
		t.Fatal("there is a strategy called luck")
	}
}

// S4: a draw more in one stream shifts no other.
func TestStreamsAreIndependent(t *testing.T) {
	a, b := Stream(1, "a"), Stream(1, "b")
	want := [2]uint64{b.Uint64(), b.Uint64()}
	b = Stream(1, "b")
	a.Uint64()
	x := b.Uint64()
	a.Uint64()
	if got := [2]uint64{x, b.Uint64()}; got != want {
		t.Fatalf("stream b gave %v, and %v after draws from a", want, got)
	}
	if Stream(1, "a").Uint64() == Stream(2, "a").Uint64() || Stream(1, "a").Uint64() == Stream(1, "b").Uint64() {
		t.Fatal("streams of other seeds or names are equal")
	}
}

// S4, within a world: a process that draws more does not shift the others.
func TestProcessStreamsAreIndependent(t *testing.T) {
	drawn := func(extra int) (got uint64) {
		w := New(Config{Seed: 3})
		n := w.AddNode(ClockConfig{})
		w.Spawn(n, "greedy", "", Storage{}, func(env proc.Env) proc.Process {
			return stepFunc(func(proc.Now, proc.Input, *proc.Effects) {
				for range extra {
					env.Rand.Uint64()
				}
			})
		})
		w.Spawn(n, "modest", "", Storage{}, func(env proc.Env) proc.Process {
			return stepFunc(func(proc.Now, proc.Input, *proc.Effects) { got = env.Rand.Uint64() })
		})
		run(t, w, time.Millisecond)
		return got
	}
	if drawn(0) != drawn(10) {
		t.Fatal("draws of one process shift those of another")
	}
}

func run(t testing.TB, w *World, until time.Duration) {
	t.Helper()
	if err := w.Run(until); err != nil {
		t.Fatal(err)
	}
}

// S3: every strategy keeps the order of channels, and Random and PCT change
// the order between them.
func TestChannelsAreFIFO(t *testing.T) {
	for _, s := range strategies() {
		for seed := range uint64(20) {
			w := New(Config{Seed: seed, Strategy: s})
			last := map[string]proc.Token{}
			var frames uint64
			n := w.AddNode(ClockConfig{})
			m := w.AddNode(ClockConfig{})
			sink := w.Spawn(m, "sink", "", Storage{}, always(func(_ proc.Now, in proc.Input, _ *proc.Effects) {
				if in.Kind != proc.Message {
					return
				}
				if k := binary.LittleEndian.Uint64(in.Frame); k != frames {
					t.Fatalf("%v seed %d: frame %d came for %d", s.Kind, seed, k, frames)
				}
				frames++
			}))
			files := &slowFiles{rng: w.Stream("files")}
			kv := &slowKV{slowFiles{rng: w.Stream("kv")}}
			w.Spawn(n, "source", "", Storage{files, kv}, always(func(_ proc.Now, in proc.Input, out *proc.Effects) {
				key := ""
				switch in.Kind {
				case proc.Start:
					for i := range 50 {
						for _, name := range []string{"a", "b"} {
							out.File(proc.Token(i*2)+proc.Token(name[0]-'a'), disk.Op{Kind: disk.OpRead, Name: name})
						}
						out.KV(proc.Token(i), disk.KVOp{Kind: disk.KVGet})
						out.Send(sink, binary.LittleEndian.AppendUint64(nil, uint64(i)))
					}
					return
				case proc.FileDone:
					key = string(rune('a' + in.Token%2))
				case proc.KVDone:
					key = "kv"
				}
				if got, ok := last[key]; ok && in.Token <= got {
					t.Fatalf("%v seed %d: %s completes %d after %d", s.Kind, seed, key, in.Token, got)
				}
				last[key] = in.Token
			}))
			run(t, w, time.Second)
			if frames != 50 || len(files.done) != 100 || len(kv.done) != 50 || w.Pending() != 0 {
				t.Fatalf("%v seed %d: %d frames, %d and %d completions", s.Kind, seed, frames, len(files.done), len(kv.done))
			}
		}
	}
}

// S2: no input is early, none is later than the slack.
func TestDelayIsBounded(t *testing.T) {
	for _, s := range strategies() {
		s.Slack = 50 * time.Microsecond
		w := New(Config{Seed: 1, Strategy: s})
		n := w.AddNode(ClockConfig{})
		rng := w.Stream("test")
		for i := range 20 {
			due := map[proc.TimerID]proc.Tick{}
			var id proc.TimerID
			w.Spawn(n, fmt.Sprint("p", i), "", Storage{}, always(func(now proc.Now, in proc.Input, out *proc.Effects) {
				if in.Kind == proc.Timer {
					if late := now.Mono - due[in.Timer]; late < 0 || late > proc.Tick(s.Slack) {
						t.Fatalf("%v: timer is %d ns late", s.Kind, late)
					}
				}
				id++
				due[id] = now.Mono + proc.Tick(rng.IntN(30_000))
				out.SetTimer(id, due[id])
			}))
		}
		run(t, w, 20*time.Millisecond)
		if w.Steps() < 10_000 {
			t.Fatalf("%v: %d steps", s.Kind, w.Steps())
		}
	}
}

// H4: a timer fires once per Set; setting replaces and a negative time cancels.
func TestTimers(t *testing.T) {
	var fired []string
	w := New(Config{})
	n := w.AddNode(ClockConfig{DriftPPM: 100_000})
	w.Spawn(n, "p", "", Storage{}, always(func(now proc.Now, in proc.Input, out *proc.Effects) {
		if in.Kind == proc.Timer {
			fired = append(fired, fmt.Sprintf("%d at %d", in.Timer, now.Mono))
			return
		}
		for id, at := range []proc.Tick{100, 200, 300, 400} {
			out.SetTimer(proc.TimerID(id), at)
		}
		out.SetTimer(0, 250)
		out.SetTimer(3, 50)
		out.CancelTimer(1)
		out.CancelTimer(9)
		out.SetTimer(5, 1<<62)
	}))
	run(t, w, time.Second)
	if want := []string{"3 at 50", "0 at 250", "2 at 300"}; !reflect.DeepEqual(fired, want) {
		t.Fatalf("fired %v, want %v", fired, want)
	}
	if w.Pending() != 1 {
		t.Fatalf("%d inputs are pending, want the timer that never fires", w.Pending())
	}
}

// H4: timers follow a change of the clock's rate.
func TestTimerFollowsRate(t *testing.T) {
	var at time.Duration
	w := New(Config{})
	n := w.AddNode(ClockConfig{})
	w.Spawn(n, "p", "", Storage{}, always(func(_ proc.Now, in proc.Input, out *proc.Effects) {
		if in.Kind == proc.Timer {
			at = w.Now()
			return
		}
		out.SetTimer(1, proc.Tick(time.Second))
	}))
	w.At(500*time.Millisecond, "double", func() { w.SetClockRate(n, 1_000_000) })
	run(t, w, 10*time.Second)
	if at != 750*time.Millisecond {
		t.Fatalf("fired at %v, want 750ms", at)
	}
}

// S5: after a crash nothing of the old incarnation is delivered or completed.
func TestCrashVoids(t *testing.T) {
	for _, power := range []bool{false, true} {
		w := New(Config{})
		n, m := w.AddNode(ClockConfig{}), w.AddNode(ClockConfig{})
		files := &slowFiles{rng: w.Stream("files")}
		kv := &slowKV{slowFiles{rng: w.Stream("kv")}}
		var got []proc.Kind
		var monos []proc.Tick
		victim := w.Spawn(n, "victim", "", Storage{files, kv}, func(env proc.Env) proc.Process {
			first := w.Incarnation(env.Self) == 1
			return stepFunc(func(now proc.Now, in proc.Input, out *proc.Effects) {
				got = append(got, in.Kind)
				monos = append(monos, now.Mono)
				if first {
					out.SetTimer(1, now.Mono+1000)
					for i := range 10 {
						out.File(proc.Token(i), disk.Op{Kind: disk.OpRead, Name: "a"})
						out.KV(proc.Token(i), disk.KVOp{Kind: disk.KVGet})
					}
				}
			})
		})
		w.Spawn(m, "peer", "", Storage{}, always(func(now proc.Now, in proc.Input, out *proc.Effects) {
			out.Send(victim, []byte("hello"))
			if in.Kind == proc.Start {
				out.SetTimer(1, proc.Tick(10*time.Microsecond)) // while the victim is down
			}
		}))
		w.At(900, "crash", func() { w.Crash(n, power) })
		w.At(50*time.Microsecond, "restart", func() { w.Restart(n) })
		run(t, w, time.Second)
		if want := []proc.Kind{proc.Start, proc.Start}; !reflect.DeepEqual(got, want) {
			t.Fatalf("power %v: inputs %v, want %v", power, got, want)
		}
		if len(files.done)+len(kv.done) != 0 || len(files.live)+len(kv.live) != 0 {
			t.Fatal("an operation was completed, or survived the crash")
		}
		if want := proc.Tick(50 * time.Microsecond); !power && monos[1] != want || power && monos[1] != 0 {
			t.Fatalf("power %v: mono is %d after the restart", power, monos[1])
		}
	}
}

// A paused node gets its inputs when the pause ends, in order, and late timers.
func TestPause(t *testing.T) {
	w := New(Config{})
	n, m := w.AddNode(ClockConfig{}), w.AddNode(ClockConfig{})
	var got []string
	victim := w.Spawn(n, "victim", "", Storage{}, always(func(now proc.Now, in proc.Input, out *proc.Effects) {
		got = append(got, fmt.Sprintf("%v%s %d", in.Kind, in.Frame, time.Duration(now.Mono)/time.Microsecond))
		if in.Kind == proc.Start {
			out.SetTimer(1, proc.Tick(250*time.Microsecond))
		}
	}))
	var k byte
	w.Spawn(m, "peer", "", Storage{}, always(func(now proc.Now, in proc.Input, out *proc.Effects) {
		out.Send(victim, []byte{'0' + k})
		if k++; k < 5 {
			out.SetTimer(1, now.Mono+proc.Tick(100*time.Microsecond))
		}
	}))
	w.At(150*time.Microsecond, "pause", func() {
		w.Pause(n, 400*time.Microsecond)
		w.Pause(n, 450*time.Microsecond)
		w.Pause(n, 300*time.Microsecond)
	})
	run(t, w, time.Second)
	want := []string{"start 0", "message0 100", "message1 450", "timer 450", "message2 450", "message3 450", "message4 500"}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// S10, H7: mono never goes back within an incarnation and no timer is early,
// whatever is done to the clock.
func TestClockProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := New(Config{Seed: 1})
		n := w.AddNode(ClockConfig{
			Offset:   time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "offset")),
			DriftPPM: rapid.Int64Range(ratePPMMin, ratePPMMax).Draw(t, "drift"),
		})
		last, lastIncarnation := proc.Now{}, uint32(0)
		var armed proc.Tick
		rng := w.Stream("test")
		var a proc.Addr
		a = w.Spawn(n, "p", "", Storage{}, func(env proc.Env) proc.Process {
			return stepFunc(func(now proc.Now, in proc.Input, out *proc.Effects) {
				if i := w.Incarnation(env.Self); i != lastIncarnation {
					last, lastIncarnation = now, i
				}
				if now.Mono < last.Mono {
					t.Fatalf("mono went from %d to %d", last.Mono, now.Mono)
				}
				if in.Kind == proc.Timer && (now.Mono < armed || now.Mono > armed+20) {
					t.Fatalf("timer for %d fired at %d", armed, now.Mono)
				}
				last = now
				armed = now.Mono + proc.Tick(rng.IntN(int(time.Millisecond)))
				out.SetTimer(1, armed)
			})
		})
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			if err := w.Run(w.Now() + time.Duration(rapid.Int64Range(0, int64(5*time.Millisecond)).Draw(t, "wait"))); err != nil {
				t.Fatal(err)
			}
			before := w.Clock(n)
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				by := rapid.Int64Range(-1e12, 1e12).Draw(t, "by")
				w.JumpWall(n, time.Duration(by))
				if after := w.Clock(n); after.Mono != before.Mono || after.Wall != before.Wall+by {
					t.Fatalf("jump by %d: %+v became %+v", by, before, after)
				}
			case 1:
				w.FreezeWall(n)
				if after := w.Clock(n); after != before {
					t.Fatalf("freeze: %+v became %+v", before, after)
				}
			case 2:
				w.UnfreezeWall(n)
			case 3:
				w.SetClockRate(n, rapid.Int64Range(ratePPMMin, ratePPMMax).Draw(t, "rate"))
				if after := w.Clock(n); after != before {
					t.Fatalf("change of rate: %+v became %+v", before, after)
				}
			case 4:
				w.Crash(n, true)
				w.Restart(n)
				if after := w.Clock(n); after.Mono != 0 || after.Wall != before.Wall {
					t.Fatalf("boot: %+v became %+v", before, after)
				}
			case 5:
				w.Heal()
				if !w.Running(a) {
					t.Fatal("healed and not running")
				}
			}
		}
	})
}

// A frozen wall clock stands while mono goes on, and catches up after it.
func TestFreeze(t *testing.T) {
	w := New(Config{})
	n := w.AddNode(ClockConfig{})
	start := w.Clock(n)
	run(t, w, time.Second)
	w.FreezeWall(n)
	run(t, w, 3*time.Second)
	if c := w.Clock(n); c.Wall-start.Wall != int64(time.Second) || time.Duration(c.Mono) != 3*time.Second {
		t.Fatalf("frozen: %+v", c)
	}
	w.UnfreezeWall(n)
	if c := w.Clock(n); c.Wall-start.Wall != int64(3*time.Second) {
		t.Fatalf("unfrozen: %+v", c)
	}
}

// S6: bytes that change in the wrong hands stop the world.
func TestSharingIsDetected(t *testing.T) {
	for _, kind := range []string{"sender", "receiver", "write", "batch"} {
		w := New(Config{})
		n := w.AddNode(ClockConfig{})
		sink := w.Spawn(n, "sink", "", Storage{}, always(func(_ proc.Now, in proc.Input, _ *proc.Effects) {
			if kind == "receiver" && in.Kind == proc.Message {
				in.Frame[0]++
			}
		}))
		frame := []byte("frame")
		batch := &disk.Batch{}
		batch.Put([]byte("k"), frame)
		st := Storage{&slowFiles{rng: w.Stream("f")}, &slowKV{slowFiles{rng: w.Stream("k")}}}
		source := w.Spawn(n, "source", "", st, always(func(_ proc.Now, in proc.Input, out *proc.Effects) {
			if in.Kind == proc.Timer && kind != "receiver" {
				frame[0]++
			}
			if in.Kind != proc.Start {
				return
			}
			out.SetTimer(1, 0)
			switch kind {
			case "write":
				out.File(1, disk.Op{Kind: disk.OpWrite, Name: "a", Data: frame})
			case "batch":
				out.KV(1, disk.KVOp{Kind: disk.KVApply, Batch: batch})
			default:
				out.Send(sink, frame)
			}
		}))
		err := w.Run(time.Second)
		var se *SharingError
		if !errors.As(err, &se) {
			t.Fatalf("%s: %v", kind, err)
		}
		if se.Sender != source || se.Held != (kind == "receiver") || se.Step == 0 {
			t.Fatalf("%s: %+v", kind, se)
		}
		if again := w.Run(2 * time.Second); again != err {
			t.Fatalf("%s: a stopped world goes on: %v", kind, again)
		}
	}
}

// An append by the receiver must not write into the sender's array.
func TestFrameHasNoSpareCapacity(t *testing.T) {
	w := New(Config{})
	n := w.AddNode(ClockConfig{})
	sink := w.Spawn(n, "sink", "", Storage{}, always(func(_ proc.Now, in proc.Input, _ *proc.Effects) {
		if in.Kind == proc.Message && cap(in.Frame) != len(in.Frame) {
			t.Fatalf("a frame of %d bytes has room for %d", len(in.Frame), cap(in.Frame))
		}
	}))
	w.Spawn(n, "source", "", Storage{}, always(func(_ proc.Now, in proc.Input, out *proc.Effects) {
		out.Send(sink, make([]byte, 3, 10))
	}))
	run(t, w, time.Second)
}

// S8: a log repeats the run of any strategy, also after a trip through JSON.
func TestReplay(t *testing.T) {
	for _, s := range strategies() {
		for seed := range uint64(10) {
			replayEquals(t, seed, s)
		}
	}
}

func replayEquals(t *testing.T, seed uint64, s Strategy) {
	t.Helper()
	want := stormy(t, Config{Seed: seed, Strategy: s, Record: true})
	b, err := json.Marshal(want.Log())
	if err != nil {
		t.Fatal(err)
	}
	var log Log
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	if s.Kind != Time && len(log.Decisions()) < 100 {
		t.Fatalf("%v made %d decisions", s.Kind, len(log.Decisions()))
	}
	got := stormy(t, Config{Seed: seed, Strategy: Strategy{Kind: Replay, Log: &log}, Record: true})
	if got.TraceHash() != log.TraceHash || got.Steps() != log.Steps {
		t.Fatalf("%v: trace %s, replayed %s", s.Kind, log.TraceHash, got.TraceHash())
	}
	if again := got.Log(); !bytes.Equal(again.Packed, log.Packed) || !reflect.DeepEqual(again.Events, log.Events) {
		t.Fatalf("%v: the replay's log differs", s.Kind)
	}
	if same := log.WithDecisions(log.Decisions()); !bytes.Equal(same.Packed, log.Packed) {
		t.Fatalf("%v: unpacking and packing changes the log", s.Kind)
	}
}

// S8: a replay that cannot follow its log says so; a loose one goes on.
func TestReplayDiverges(t *testing.T) {
	log := stormy(t, Config{Seed: 11, Strategy: Strategy{Kind: Random}, Record: true}).Log()
	var de *DivergenceError
	if err := New(Config{Seed: 12, Strategy: Strategy{Kind: Replay, Log: log}}).Run(1); !errors.As(err, &de) {
		t.Fatalf("another seed: %v", err)
	}
	if err := New(Config{Strategy: Strategy{Kind: Replay}}).Run(1); !errors.As(err, &de) {
		t.Fatalf("no log: %v", err)
	}
	w := New(Config{Seed: 11, Strategy: Strategy{Kind: Replay, Log: log}})
	w.AddNode(ClockConfig{})
	w.At(1, "not in the log", func() {})
	if err := w.Run(time.Second); !errors.As(err, &de) {
		t.Fatalf("another event: %v", err)
	}
	all := log.Decisions()
	half := log.WithDecisions(all[:len(all)/2])
	loose := Strategy{Kind: Replay, Log: half, Loose: true}
	a := stormy(t, Config{Seed: 11, Strategy: loose})
	b := stormy(t, Config{Seed: 11, Strategy: loose})
	if a.TraceHash() != b.TraceHash() {
		t.Fatal("a loose replay is not deterministic")
	}
	if a.Misses() != 0 {
		t.Fatalf("a prefix of the log has %d misses", a.Misses())
	}
	thinned := log.WithDecisions(append([]Decision{{Step: 1, Seq: 1 << 40}}, all[len(all)/2:]...))
	if c := stormy(t, Config{Seed: 11, Strategy: Strategy{Kind: Replay, Log: thinned, Loose: true}}); c.Misses() == 0 {
		t.Fatal("a decision on an input that does not exist is no miss")
	}
}

// PCT finds a bug of depth 2 that time order does not: it needs "use" to
// overtake "init", which was sent earlier.
func TestPCTFindsDepth2(t *testing.T) {
	finds := func(s Strategy, seed uint64) (found bool) {
		w := New(Config{Seed: seed, Strategy: s})
		shared := false // stands for a third party that both write to
		n := w.AddNode(ClockConfig{})
		for i := range 6 {
			w.Spawn(n, fmt.Sprint("bystander", i), "", Storage{}, always(func(now proc.Now, _ proc.Input, out *proc.Effects) {
				out.SetTimer(1, now.Mono+1000)
			}))
		}
		w.Spawn(n, "init", "", Storage{}, always(func(_ proc.Now, in proc.Input, out *proc.Effects) {
			if in.Kind == proc.Start {
				out.SetTimer(1, 50_000)
				return
			}
			shared = true
		}))
		w.Spawn(n, "use", "", Storage{}, always(func(now proc.Now, in proc.Input, out *proc.Effects) {
			if in.Kind == proc.Start {
				out.SetTimer(1, 150_000)
				return
			}
			found = !shared
		}))
		run(t, w, 200*time.Microsecond)
		return found
	}
	hits := func(s Strategy) (n int) {
		for seed := range uint64(100) {
			if finds(s, seed) {
				n++
			}
		}
		return n
	}
	if n := hits(Strategy{Kind: Time}); n != 0 {
		t.Fatalf("time order finds it with %d of 100 seeds", n)
	}
	if n := hits(Strategy{Kind: PCT, Depth: 2, Steps: 1000}); n < 10 {
		t.Fatalf("PCT finds it with %d of 100 seeds", n)
	}
}

type gauged struct {
	stepFunc
	n int
}

func (g *gauged) Queues(dst []proc.Queue) []proc.Queue {
	return append(dst, proc.Queue{Name: "empty", Limit: 1}, proc.Queue{Name: "inbox", Len: g.n, Limit: 3})
}

// S7: queues, pending inputs, steps and livelocks are bounded.
func TestLimits(t *testing.T) {
	forever := always(func(now proc.Now, _ proc.Input, out *proc.Effects) { out.SetTimer(1, now.Mono) })
	t.Run("queue", func(t *testing.T) {
		w := New(Config{})
		w.Spawn(w.AddNode(ClockConfig{}), "p", "", Storage{}, func(proc.Env) proc.Process {
			g := &gauged{}
			g.stepFunc = func(now proc.Now, _ proc.Input, out *proc.Effects) {
				g.n++
				out.SetTimer(1, now.Mono+1)
			}
			return g
		})
		var qe *QueueError
		if err := w.Run(time.Second); !errors.As(err, &qe) || qe.Queue.Len != 4 || qe.Step != 4 {
			t.Fatal(err)
		}
		if want := []High{{"p", "empty", 0, 1}, {"p", "inbox", 4, 3}}; !reflect.DeepEqual(w.HighWater(), want) {
			t.Fatalf("high water %v, want %v", w.HighWater(), want)
		}
	})
	for what, cfg := range map[string]Config{
		"steps":                {Limits: Limits{Steps: 10}},
		"steps at one instant": {Limits: Limits{StepsPerInstant: 10}},
		"pending inputs":       {Limits: Limits{Pending: 3}},
		"bytes of decisions":   {Limits: Limits{DecisionBytes: 8}, Record: true, Strategy: Strategy{Kind: Random}},
	} {
		t.Run(what, func(t *testing.T) {
			w := New(cfg)
			n := w.AddNode(ClockConfig{})
			for i := range 4 {
				w.Spawn(n, fmt.Sprint("p", i), "", Storage{}, forever)
			}
			var le *LimitError
			if err := w.Run(time.Second); !errors.As(err, &le) || le.What != what {
				t.Fatal(err)
			}
		})
	}
}

// A panic of a process, or an effect without sense, is a verdict with its place.
func TestPanic(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		step stepFunc
	}{
		{"panic", func(proc.Now, proc.Input, *proc.Effects) { panic(boom) }},
		{"address", func(_ proc.Now, _ proc.Input, out *proc.Effects) { out.Send(proc.Addr{Node: 9, Proc: 1}, nil) }},
		{"files", func(_ proc.Now, _ proc.Input, out *proc.Effects) { out.File(1, disk.Op{}) }},
		{"kv", func(_ proc.Now, _ proc.Input, out *proc.Effects) { out.KV(1, disk.KVOp{}) }},
	} {
		w := New(Config{})
		a := w.Spawn(w.AddNode(ClockConfig{}), "p", "", Storage{}, always(c.step))
		var pe *PanicError
		if err := w.Run(time.Second); !errors.As(err, &pe) || pe.Addr != a || pe.Step != 1 {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.name == "panic" && (!errors.Is(pe, boom) || !strings.Contains(string(pe.Stack), "TestPanic")) {
			t.Fatalf("%v\n%s", pe, pe.Stack)
		}
	}
	w := New(Config{})
	w.At(1, "user", func() { panic(boom) })
	defer func() {
		if recover() == nil {
			t.Fatal("the panic of a callback was swallowed")
		}
	}()
	_ = w.Run(time.Second)
}

// H8: a fault halts the node, the observer hears of it, and may restart it.
func TestHalt(t *testing.T) {
	broken := errors.New("broken disk")
	var w *World
	var heard []string
	w = New(Config{OnHalt: func(a proc.Addr, err error) {
		heard = append(heard, fmt.Sprintf("%v %v up=%v", a, err, w.Up(a.Node)))
		w.After(time.Millisecond, "restart", func() { w.Restart(a.Node) })
	}})
	n := w.AddNode(ClockConfig{})
	starts := 0
	w.Spawn(n, "bystander", "", Storage{}, always(func(proc.Now, proc.Input, *proc.Effects) { starts++ }))
	a := w.Spawn(n, "p", "", Storage{}, always(func(_ proc.Now, _ proc.Input, out *proc.Effects) {
		out.Mark("reached")
		if len(heard) == 0 {
			out.Halt(broken)
		}
	}))
	run(t, w, time.Second)
	if len(heard) != 1 || heard[0] != "n1.2 broken disk up=false" || starts != 2 || !w.Running(a) {
		t.Fatalf("heard %q, %d starts", heard, starts)
	}
	if m := w.Marks(); m["reached"] != 2 {
		t.Fatalf("marks %v", m)
	}
}

// S9: callbacks run at their time and before the inputs of that time, under
// every strategy.
func TestCallbacksAreExact(t *testing.T) {
	for _, s := range strategies() {
		w := New(Config{Strategy: s})
		n := w.AddNode(ClockConfig{})
		ran := time.Duration(-1)
		for i := range 5 {
			w.Spawn(n, fmt.Sprint("p", i), "", Storage{}, always(func(now proc.Now, _ proc.Input, out *proc.Effects) {
				if now.Mono >= 500 != (ran == 500) {
					t.Fatalf("%v: step at %d, callback at %d", s.Kind, now.Mono, ran)
				}
				out.SetTimer(1, now.Mono+10)
			}))
		}
		w.At(500, "callback", func() { ran = w.Now() })
		run(t, w, 1000)
	}
}

// RunUntil stops at the first step after which its condition holds.
func TestRunUntil(t *testing.T) {
	w := New(Config{})
	w.Spawn(w.AddNode(ClockConfig{}), "p", "", Storage{}, always(func(now proc.Now, _ proc.Input, out *proc.Effects) {
		out.SetTimer(1, now.Mono+10)
	}))
	ok, err := w.RunUntil(func() bool { return w.Steps() == 5 }, time.Second)
	if !ok || err != nil || w.Steps() != 5 || w.Now() != 40 {
		t.Fatalf("%v %v after %d steps at %v", ok, err, w.Steps(), w.Now())
	}
	if ok, err := w.RunUntil(func() bool { return false }, 100); ok || err != nil || w.Now() != 100 {
		t.Fatalf("%v %v at %v", ok, err, w.Now())
	}
	if ok, err := w.StepOnce(); !ok || err != nil || w.Now() != 110 {
		t.Fatalf("%v %v at %v", ok, err, w.Now())
	}
}

// The heap against a deliberately dumb twin.
func TestQueueAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		live := map[int32]key{}
		seq := uint64(0)
		least := func() (best key) {
			best.at = timeMax
			for _, k := range live {
				if k.before(best) {
					best = k
				}
			}
			return best
		}
		for range rapid.IntRange(1, 200).Draw(t, "ops") {
			at := time.Duration(rapid.IntRange(0, 20).Draw(t, "at"))
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op == 0 || len(live) == 0:
				seq++
				s := q.alloc()
				q.slab[s] = entry{at: at, seq: seq}
				q.push(s)
				live[s] = key{at, seq, s}
			case op == 1:
				k := q.heap[rapid.IntRange(0, len(q.heap)-1).Draw(t, "i")]
				q.slab[k.slot].at = at
				q.fix(k.slot)
				live[k.slot] = key{at, k.seq, k.slot}
			default:
				i := 0
				if op == 3 {
					i = rapid.IntRange(0, len(q.heap)-1).Draw(t, "i")
				}
				k := q.heap[i]
				q.take(int32(i))
				q.release(k.slot)
				delete(live, k.slot)
			}
			if len(live) != len(q.heap) || q.used != len(live) {
				t.Fatalf("%d live, %d in the heap, %d used", len(live), len(q.heap), q.used)
			}
			if len(live) > 0 && q.heap[0] != least() {
				t.Fatalf("first is %v, want %v", q.heap[0], least())
			}
			for i, k := range q.heap {
				if int(q.slab[k.slot].pos) != i {
					t.Fatalf("slot %d is at %d and believes %d", k.slot, i, q.slab[k.slot].pos)
				}
			}
		}
	})
}

// chatter is the cheapest process that keeps a world going: every frame is
// answered, every timer set again.
type chatter struct {
	next  proc.Addr
	frame []byte
}

func (c *chatter) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start, proc.Timer:
		out.SetTimer(1, now.Mono+1_000_000)
		out.Send(c.next, c.frame)
	case proc.Message:
		out.Send(c.next, c.frame)
		out.SetTimer(1, now.Mono+1_000_000)
	}
}

func benchWorld(s Strategy, nodes int) *World {
	w := New(Config{Seed: 1, Strategy: s})
	for i := range nodes {
		id := w.AddNode(ClockConfig{})
		next := proc.Addr{Node: proc.NodeID((i+1)%nodes + 1), Proc: 1}
		w.Spawn(id, fmt.Sprint("c", i), "", Storage{}, func(proc.Env) proc.Process {
			return &chatter{next: next, frame: make([]byte, 100)}
		})
	}
	return w
}

// The whole scheduler with processes that do nothing: one frame of 100 bytes
// sent, hashed three times, routed, traced and delivered, and one timer moved,
// per step.
func BenchmarkStep(b *testing.B) {
	for _, s := range []Strategy{{Kind: Time}, {Kind: Random}, {Kind: PCT}} {
		for _, nodes := range []int{5, 100} {
			b.Run(fmt.Sprintf("%v/%d", s.Kind, nodes), func(b *testing.B) {
				w := benchWorld(s, nodes)
				if err := w.Run(10 * time.Millisecond); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if _, err := w.StepOnce(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
			})
		}
	}
}

// The scheduler itself allocates nothing once it is warm.
func TestStepDoesNotAllocate(t *testing.T) {
	for _, s := range strategies() {
		w := benchWorld(s, 5)
		run(t, w, 10*time.Millisecond)
		if n := testing.AllocsPerRun(1000, func() { _, _ = w.StepOnce() }); n != 0 {
			t.Fatalf("%v: %v allocations a step", s.Kind, n)
		}
	}
}
