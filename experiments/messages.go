package experiments

import (
	"context"
	"fmt"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/internal/host"
	"actordb/net/wire"
)

// messages is how many messages a second actors in memory take (D9): commands to
// actors, from their frame to their answer, and frames between two processes of
// the production host.
var messages = Experiment{
	Name: "messages", Claim: "D9", Says: "messages a second between local actors, beside protoactor-go",
	run: runMessages,
}

func runMessages(ctx context.Context, e *Env) (*Result, error) {
	n := e.scale(5_000_000)
	var asks, tells []float64
	var others [][]Row
	for range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ask, err := askActors(n)
		if err != nil {
			return nil, err
		}
		tell, err := tellProcesses(ctx, n)
		if err != nil {
			return nil, err
		}
		e.Say("%.0f asks/s of actors, %.0f messages/s between processes", ask, tell)
		asks, tells = append(asks, ask), append(tells, tell)
		peers, err := e.peerMessages(ctx, n)
		if err != nil {
			return nil, err
		}
		others = append(others, peers)
	}
	r := row("messages between two processes of a node, in frames of 256, both decoded", "1/s", tells)
	rows := []Row{row("asks of 100,000 actors by one thread: a state read and answered", "1/s", asks)}
	return e.about(r, r.Value >= 28e6, "28 M/s (checklist D9)", append(rows, merge(others)...)...), nil
}

// merge makes one row of those of the same place in all rounds.
func merge(rounds [][]Row) (list []Row) {
	for i, first := range rounds[0] {
		if first.Value == 0 { // it is missing
			list = append(list, first)
			continue
		}
		var samples []float64
		for _, r := range rounds {
			samples = append(samples, r[i].Value)
		}
		r := row(first.Name, first.Unit, samples)
		r.Note = first.Note
		list = append(list, r)
	}
	return list
}

// askActors reads the states of actors in memory, one frame of many after another.
func askActors(n int) (perSecond float64, err error) {
	const actors = 100_000
	m, err := newMemory(nil, actor.Policy{}, func(c *shard.Config) { c.HotActors = 2 * actors })
	if err != nil {
		return 0, err
	}
	a := newAdds(m.now, 1)
	for done := 0; done < actors; done += batch {
		from := done
		m.put(proc.Input{Kind: proc.Message, Frame: a.frame(batch, func(i int) core.ActorID { return counterID((from + i) % actors) })})
	}
	var w wire.Writer
	var frames [][]byte
	for f := range 64 {
		for i := range batch {
			w.Command(&core.Command{Number: core.CommandNumber(i + 1), Actor: counterID((f*batch + i) * 7919 % actors), Kind: core.Read, Expected: core.AnySeq})
		}
		frames = append(frames, w.Finish(wire.Commands))
	}
	m.answers = 0
	begun := time.Now()
	for i := 0; m.answers < n && m.fault == nil; i++ {
		m.put(proc.Input{Kind: proc.Message, Frame: frames[i%len(frames)]})
	}
	return float64(m.answers) / time.Since(begun).Seconds(), m.fault
}

// echo answers every frame of commands with one of as many answers.
type echo struct{ w wire.Writer }

// Step implements proc.Process.
func (p *echo) Step(_ proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind != proc.Message {
		return
	}
	r, err := wire.Open(in.Frame)
	if err != nil {
		out.Halt(err)
		return
	}
	var c core.Command
	for r.Command(&c) {
		p.w.Answer(&core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted})
	}
	out.Send(in.From, p.w.Finish(wire.Answers))
}

// asker keeps some frames under way until n messages have come back.
type asker struct {
	to    proc.Addr
	n     int
	got   int
	adds  *adds
	ended chan struct{}
}

// Step implements proc.Process.
func (p *asker) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	frames := 1
	switch in.Kind {
	case proc.Start:
		p.adds, frames = newAdds(now, 1), 16
	case proc.Message:
		r, err := wire.Open(in.Frame)
		if err != nil {
			out.Halt(err)
			return
		}
		var a core.Answer
		for r.Answer(&a) {
			p.got++
		}
		if p.got >= p.n {
			if p.ended != nil {
				close(p.ended)
				p.ended = nil
			}
			return
		}
	default:
		return
	}
	for range frames {
		out.Send(p.to, p.adds.frame(batch, func(int) core.ActorID { return "counted/1" }))
	}
}

// tellProcesses counts messages both ways: each is encoded, handed over, decoded.
func tellProcesses(ctx context.Context, n int) (perSecond float64, err error) {
	h, err := host.New(host.Config{Node: 1})
	if err != nil {
		return 0, err
	}
	to, err := h.Spawn("echo", "spiffe://experiment/echo", host.Storage{}, func(proc.Env) proc.Process { return &echo{} })
	if err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	begun := time.Now()
	if _, err := h.Spawn("asker", "spiffe://experiment/asker", host.Storage{}, func(proc.Env) proc.Process {
		return &asker{to: to, n: n / 2, ended: ended}
	}); err != nil {
		return 0, err
	}
	select {
	case <-ended:
	case <-h.Done():
		return 0, fmt.Errorf("the host stopped: %w", h.Wait())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	took := time.Since(begun)
	return float64(n) / took.Seconds(), h.Close()
}
