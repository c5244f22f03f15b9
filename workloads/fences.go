package workloads

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"actordb/core"
	"actordb/core/proc"
	"actordb/net/wire"
)

// FenceConfig of an operator that raises fences, in one shard after another.
type FenceConfig struct {
	Gateways []proc.Addr
	Actors   []core.ActorID // one in each shard: a fence goes where its actor lives
	Interval proc.Tick      // between fences
	Count    int            // in all; 0: until stopped
	Retry    Retry
}

// Validate reports the first thing wrong with c.
func (c *FenceConfig) Validate() error {
	switch {
	case len(c.Gateways) == 0 || len(c.Actors) == 0:
		return errors.New("workloads: fences want gateways and an actor in each shard")
	case c.Interval <= 0 || c.Interval > 1<<60 || c.Count < 0:
		return fmt.Errorf("workloads: %d fences, %d ns apart", c.Count, c.Interval)
	}
	return c.Retry.Validate()
}

// FenceActors finds an actor id in each of the shards 0 to shards−1.
func FenceActors(shardOf func(core.ActorID) core.ShardID, shards int) ([]core.ActorID, error) {
	const triesPerShard = 1000
	list := make([]core.ActorID, shards)
	for i, missing := 0, shards; missing > 0; i++ {
		if i > triesPerShard*shards {
			return nil, fmt.Errorf("no actor found in %d of %d shards", missing, shards)
		}
		id := core.ActorID("counter/fence-" + strconv.Itoa(i))
		if s := int(shardOf(id)); s < shards && list[s] == "" {
			list[s] = id
			missing--
		}
	}
	return list, nil
}

// Fences is what an operator did, in all of its incarnations. Epochs rise with
// each fence that is begun, accepted or not.
type Fences struct {
	begun    int
	accepted atomic.Int64
	open     atomic.Bool
}

// Accepted is how many fences are known to stand. Safe to call from anywhere.
func (f *Fences) Accepted() int { return int(f.accepted.Load()) }

// Open reports whether one is under way. Safe to call from anywhere.
func (f *Fences) Open() bool { return f.open.Load() }

// A FenceOperator is a process that raises fences. It must run under the
// identity of an operator, which the gateway makes the commands' principal. It
// implements proc.Process.
type FenceOperator struct {
	cfg     FenceConfig
	link    caller
	fences  *Fences
	control *Control
	session core.SessionID
	number  core.CommandNumber
	call    call
	busy    bool
}

const fenceTimer proc.TimerID = 0

// NewFenceOperator makes an incarnation. The config must be valid.
func NewFenceOperator(cfg FenceConfig, env proc.Env, fences *Fences, control *Control) *FenceOperator {
	core.Assert(cfg.Validate() == nil, "invalid config: %v", cfg.Validate())
	fences.open.Store(false)
	return &FenceOperator{cfg: cfg, fences: fences, control: control,
		link:    caller{gateways: cfg.Gateways, retry: cfg.Retry, rand: env.Rand},
		session: core.NewSessionID(0, env.Rand.Uint64())}
}

// Step implements proc.Process.
func (f *FenceOperator) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	f.link.out = out
	switch in.Kind {
	case proc.Start:
		out.SetTimer(fenceTimer, now.Mono+f.cfg.Interval)
	case proc.Timer:
		f.timer(now)
	case proc.Message:
		wire.EachAnswer(in.Frame, func(a *core.Answer) { f.answer(now, a) })
	}
	f.link.flush()
	f.link.out = nil
}

func (f *FenceOperator) timer(now proc.Now) {
	switch {
	case !f.busy:
		if f.control.Stopped() || f.cfg.Count > 0 && f.fences.begun >= f.cfg.Count {
			return
		}
		f.begin(now)
	case now.Mono >= f.call.deadline:
		f.end(now)
		return
	case now.Mono >= f.call.due:
		f.link.leave(f.call.gateway)
		f.link.send(now.Mono, &f.call)
	}
	f.link.out.SetTimer(fenceTimer, f.call.wake())
}

func (f *FenceOperator) begin(now proc.Now) {
	shard := f.fences.begun % len(f.cfg.Actors)
	f.fences.begun++
	f.number++
	f.call.command = core.Command{Session: f.session, Number: f.number, Actor: f.cfg.Actors[shard], Kind: core.Fence,
		Expected: core.AnySeq, Payload: binary.LittleEndian.AppendUint64(nil, uint64(f.fences.begun))}
	f.busy = true
	f.fences.open.Store(true)
	f.link.begin(now.Mono, &f.call)
}

func (f *FenceOperator) end(now proc.Now) {
	f.busy = false
	f.fences.open.Store(false)
	f.link.out.SetTimer(fenceTimer, now.Mono+f.cfg.Interval)
}

func (f *FenceOperator) answer(now proc.Now, a *core.Answer) {
	if !f.busy || !f.call.matches(a) {
		return
	}
	switch {
	case react(a) != settled:
		f.link.later(now.Mono, &f.call)
		f.link.out.SetTimer(fenceTimer, f.call.wake())
		return
	case a.Status == core.Accepted:
		f.link.out.Mark(markFenced)
		f.fences.accepted.Add(1)
	}
	f.end(now)
}
