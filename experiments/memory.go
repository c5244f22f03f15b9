package experiments

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/net/wire"
)

// counter is the actor of the experiments: a sum.
func counter(policy actor.Policy) *actor.Type[counterState, int64, int64] {
	encode := func(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }
	decode := func(b []byte) (int64, error) {
		n, k := binary.Varint(b)
		if k != len(b) || k <= 0 {
			return 0, fmt.Errorf("no number in %d bytes", len(b))
		}
		return n, nil
	}
	t, err := actor.Define(actor.Behavior[counterState, int64, int64]{
		Type:          counterType,
		New:           func(core.ActorID) counterState { return counterState{} },
		Decide:        func(_ *counterState, c int64, out []int64) ([]int64, *core.Refusal) { return append(out, c), nil },
		Evolve:        func(s *counterState, e int64) { s.sum += e },
		EncodeCommand: func(dst []byte, c int64) (string, []byte) { return "add", encode(dst, c) },
		DecodeCommand: func(_ string, b []byte) (int64, error) { return decode(b) },
		EncodeEvent: func(dst []byte, e int64) ([]byte, actor.EventMeta) {
			return encode(dst, e), actor.EventMeta{Name: "added", Version: 1}
		},
		DecodeEvent: func(_ string, b, _ []byte) (int64, error) { return decode(b) },
		EncodeState: func(dst []byte, s *counterState) []byte { return encode(dst, s.sum) },
		DecodeState: func(b []byte) (counterState, error) { n, err := decode(b); return counterState{n}, err },
		Policy:      policy,
	})
	if err != nil {
		panic(core.Bug(err.Error()))
	}
	return t
}

type counterState struct{ sum int64 }

const counterType = "counted"

// memory is the smallest host of a shard: one thread, files and store in memory,
// every operation completed at once. It measures the engine and nothing else.
type memory struct {
	shard   *shard.Shard
	files   *disk.Executor
	kv      *memkv.Sim
	now     proc.Now
	out     proc.Effects
	queue   []proc.Input
	answers int
	onFrame func(frame []byte) // of answers; nil: they are counted
	fault   error
}

// newMemory starts a shard over files, or over files in memory if that is nil.
func newMemory(files disk.FS, policy actor.Policy, change func(*shard.Config)) (*memory, error) {
	m := &memory{now: proc.Now{Mono: 1, Wall: time.Now().UnixNano()}}
	if files == nil {
		files = simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(1, 2))}).FS()
	}
	m.files = disk.NewExecutor(files, 64)
	m.kv = memkv.NewSim(memkv.Config{Rand: rand.New(rand.NewPCG(3, 4))})
	placement, err := shard.Spread([]proc.Addr{{}})
	if err != nil {
		return nil, err
	}
	c := shard.DefaultConfig()
	c.Placement, c.Kinds = placement, []actor.Kind{counter(policy).Instance()}
	c.WindowBytes, c.CheckpointBytes = 0, 1<<50
	if change != nil {
		change(&c)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m.shard = shard.New(c, proc.Env{Name: "shard", Rand: rand.New(rand.NewPCG(5, 6))})
	m.put(proc.Input{Kind: proc.Start})
	return m, m.fault
}

// put gives the shard an input and does all that follows from it.
func (m *memory) put(in proc.Input) {
	m.queue = append(m.queue, in)
	for i := 0; i < len(m.queue) && m.fault == nil; i++ {
		m.step(m.queue[i])
	}
	clear(m.queue)
	m.queue = m.queue[:0]
}

func (m *memory) step(in proc.Input) {
	m.out.Reset()
	m.now.Mono += 1000
	m.now.Wall += 1000
	m.shard.Step(m.now, in, &m.out)
	m.fault = m.out.Fault
	for i := range m.out.Files {
		f := &m.out.Files[i]
		res := m.files.Do(f.Op)
		m.queue = append(m.queue, proc.Input{Kind: proc.FileDone, Token: f.Token, File: &res})
	}
	for i := range m.out.KVs {
		k := &m.out.KVs[i]
		res := disk.DoKV(m.kv.KV(), k.Op)
		m.queue = append(m.queue, proc.Input{Kind: proc.KVDone, Token: k.Token, KV: &res})
	}
	for _, s := range m.out.Sends {
		if m.onFrame != nil {
			m.onFrame(s.Frame)
		} else if r, err := wire.Open(s.Frame); err == nil {
			m.answers += r.Len()
		}
	}
}

// batch is how many commands a client puts into one frame.
const batch = 256

// adds makes frames of commands of one session, each frame after all commands of the
// one before are answered.
type adds struct {
	session core.SessionID
	number  core.CommandNumber
	writer  wire.Writer
	payload []byte
}

func newAdds(now proc.Now, random uint64) *adds {
	return &adds{session: core.NewSessionID(core.Timestamp(now.Wall)+3600e9, random), payload: binary.AppendVarint(nil, 1)}
}

func (a *adds) frame(n int, id func(i int) core.ActorID) []byte {
	c := core.Command{Session: a.session, Kind: core.Decide, Expected: core.AnySeq, Type: "add", Payload: a.payload,
		Principal: "spiffe://experiment/client", AckedBelow: a.number + 1}
	for i := range n {
		a.number++
		c.Number, c.Actor = a.number, id(i)
		a.writer.Command(&c)
	}
	return a.writer.Finish(wire.Commands)
}

func counterID(i int) core.ActorID { return core.ActorID(fmt.Sprintf("%s/%012d", counterType, i)) }

// heap is what is in use after a collection.
func heap() (inUse, allocated uint64) {
	runtime.GC()
	runtime.GC() // what the first one's sweep found
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc, s.TotalAlloc
}
